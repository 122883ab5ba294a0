// The decoder against transformers' forward pass: every hidden state, then the logits, on every
// device.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/format/safetensors.h"
#include "src/model/internal.h"
#include "tests/support/golden.h"
#include "tests/t.h"

// transformers computed in f32: each state carries a few dozen roundings of 2^-24 at magnitude ~10,
// and so do we.
static const struct t_tol STATE = {.atol = 5e-5, .rtol = 2e-5};

static double *load(struct t *t, const struct fmt_st *st, const char *name, uint64_t *n)
{
    const struct fmt_tensor *x;
    T_OK(fmt_st_get(st, name, &x));
    double *out = t_alloc(t, x->count * sizeof(*out));
    T_OK(fmt_tensor_to_f64(x, 0, x->count, out));
    *n = x->count;
    return out;
}

// Rows of a (T, ld) buffer against a dense (T, cols) array.
static void close_rows(const char *what, const struct rt_buf *got, uint32_t cols, uint32_t ld,
                       const double *want, uint32_t rows, struct t *t)
{
    double *x = t_alloc(t, (size_t) rows * ld * sizeof(*x));
    T_OK(rt_buf_read(got, 0, (uint64_t) rows * ld, RT_F64, x));
    for (uint32_t r = 0; r < rows; r++)
        for (uint32_t c = 0; c < cols; c++) {
            const double g = x[(size_t) r * ld + c], w = want[(size_t) r * cols + c];
            if (!(fabs(g - w) <= STATE.atol + STATE.rtol * fabs(w)))
                fail_msg("%s on %s: row %u column %u: got %.9g, want %.9g", what, t_name(t), r, c,
                         g, w);
        }
}

// Run node by node, and compare the stream behind each layer before its buffer is used again.
static void compare(struct t *t, struct md_model *m, const struct fmt_st *st, uint32_t n,
                    const char *family)
{
    uint64_t count;
    char name[64], what[96];
    for (int i = 0; i < m->graph.n_nodes; i++) {
        const struct md_node *x = &m->graph.nodes[i];
        const struct md_tensor *out = &m->graph.tensors[x->out];
        struct rt_cmd *cmd;
        T_OK(rt_cmd_create(t_dev(t), &cmd));
        T_OK(md_forward_node(m, cmd, md_policy(m), x));
        T_OK(rt_cmd_wait(&cmd));
        if (strcmp(out->name, "embed") == 0)
            snprintf(name, sizeof(name), "hidden_states.0");
        else if (x->out == m->graph.last)
            snprintf(name, sizeof(name), "hidden_states.%u", m->arch.layers);
        else if (strcmp(out->name, "stream") == 0 && out->layer + 1 < m->arch.layers)
            snprintf(name, sizeof(name), "hidden_states.%u", out->layer + 1);
        else
            continue;
        snprintf(what, sizeof(what), "%s: %s", family, name);
        close_rows(what, md_buf(m, x->out), out->cols, md_ld(m, x->out), load(t, st, name, &count),
                   n, t);
    }
    double *want = load(t, st, "logits", &count);
    float *logits = t_alloc(t, m->arch.vocab * sizeof(*logits));
    for (uint32_t r = 0; r < n; r++) {
        T_OK(md_logits(m, md_policy(m), r, logits));
        for (uint32_t v = 0; v < m->arch.vocab; v++) {
            const double w = want[(size_t) r * m->arch.vocab + v], g = (double) logits[v];
            if (!(fabs(g - w) <= STATE.atol + STATE.rtol * fabs(w)))
                fail_msg("%s: logits on %s: row %u id %u: got %.9g, want %.9g", family, t_name(t),
                         r, v, g, w);
        }
    }
}

static void family(struct t *t, const char *name)
{
    char path[256];
    struct fmt_st st;
    struct md_model *m;
    uint64_t n;

    snprintf(path, sizeof(path), "models/%s", name);
    const char *folder = golden_path(path);
    if (!folder) { // the repository has the first ones
        print_message("%s: not here\n", path);
        assert_true(strncmp(name, "llama", 5) != 0);
        return;
    }
    snprintf(path, sizeof(path), "%s/forward.safetensors", folder);
    T_OK(fmt_st_open(path, &st));
    const double *ids = load(t, &st, "input_ids", &n);
    uint32_t *x = t_alloc(t, 3 * n * sizeof(*x)), *pos = x + n, *zero = pos + n;
    for (uint32_t i = 0; i < n; i++) {
        x[i] = (uint32_t) ids[i];
        pos[i] = i;
    }
    T_OK(md_model_open(t_dev(t),
                       &(struct md_model_desc){.folder = folder,
                                               .max_tokens = (uint32_t) n,
                                               .max_segments = 1,
                                               .max_rows = (uint32_t) n,
                                               .max_seqs = 1,
                                               .max_positions = (uint32_t) n,
                                               .train = true},
                       &m));
    const struct op_segment seg = {0, (uint32_t) n, 0, 0, 0, 0};
    const uint32_t starts[2] = {0, (uint32_t) n};
    T_OK(md_pass_load(m, &(struct md_batch){.n_tokens = (uint32_t) n,
                                            .n_segments = 1,
                                            .n_rows = (uint32_t) n,
                                            .n_seqs = 1,
                                            .ids = x,
                                            .pos = pos,
                                            .segs = &seg,
                                            .rows = pos,
                                            .targets = zero,
                                            .seq_starts = starts}));
    compare(t, m, &st, (uint32_t) n, name);
    md_model_close(&m);
    fmt_st_close(&st);
    t_reset(t);
}

static void body(struct t *t)
{
    static const char *const FAMILIES[] = {"llama", "llama3",      "mistral", "qwen2",
                                           "qwen3", "gpt2",        "gemma",   "gemma2",
                                           "phi3",  "gemma3_text", "olmo2"};
    for (size_t i = 0; i < COUNT_OF(FAMILIES); i++)
        family(t, FAMILIES[i]);
}

int main(void)
{
    return t_each_device(body);
}
