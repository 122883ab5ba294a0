// The decoder against transformers' forward pass: every hidden state, then the logits, on every
// device.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/base/file.h"
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

// The gradient of the sum of the log-probs of all tokens but the first, tensor by tensor, where the
// file has it. transformers ran in f64, but for its norms: what is left is our f32.
static void compare_gradient(struct t *t, struct md_model *m, const struct fmt_st *st,
                             const char *family)
{
    const struct md_params *params = md_trained_of(m).params;
    const double one[2] = {1.0, 0.0};
    struct rt_buf *dlogp = t_buf(t, t_dev(t), RT_F32, one, 2);
    struct md_flat grads;
    struct rt_cmd *cmd;
    uint64_t count;
    char name[160];

    T_OK(md_flat_create(t_dev(t), params, RT_F32, "gradients", &grads));
    T_OK(rt_cmd_create(t_dev(t), &cmd));
    T_OK(md_forward(m, cmd, md_policy(m), NULL));
    T_OK(md_score(m, cmd, md_policy(m)));
    T_OK(md_backward(m, cmd, dlogp, &grads));
    T_OK(rt_cmd_wait(&cmd));
    for (uint32_t i = 0; i < params->n; i++) {
        const struct md_param *p = &params->all[i];
        float *got = t_alloc(t, (size_t) p->rows * p->cols * sizeof(*got));
        snprintf(name, sizeof(name), "grad.%s", p->name);
        if (!fmt_st_find(st, name))
            break; // all or none
        const double *want = load(t, st, name, &count);
        double far = 0.0, size = 0.0;
        T_OK(md_flat_read(&grads, p, 0, p->rows, got));
        assert_int_equal(count, (uint64_t) p->rows * p->cols);
        for (uint64_t k = 0; k < count; k++) {
            const uint64_t at = p->transposed ? k % p->rows * p->cols + k / p->rows : k;
            far += ((double) got[at] - want[k]) * ((double) got[at] - want[k]);
            size += want[k] * want[k];
        }
        if (!(sqrt(far) <= 2e-5 * sqrt(size) + 1e-5))
            fail_msg("%s on %s: gradient of %s: l2 %.4g, off by %.4g", family, t_name(t), p->name,
                     sqrt(size), sqrt(far));
    }
    md_flat_destroy(&grads);
}

static void family(struct t *t, const char *folder, const char *name)
{
    char path[512];
    struct fmt_st st;
    struct md_model *m;
    uint64_t n;

    snprintf(path, sizeof(path), "%s/forward.safetensors", folder);
    T_OK(fmt_st_open(path, &st));
    const double *ids = load(t, &st, "input_ids", &n);
    uint32_t *x = t_alloc(t, 3 * n * sizeof(*x)), *pos = x + n, *next = pos + n;
    for (uint32_t i = 0; i < n; i++) {
        x[i] = (uint32_t) ids[i];
        pos[i] = i;
        next[i] = (uint32_t) ids[(i + 1) % n];
    }
    T_OK(md_model_open(t_dev(t),
                       &(struct md_model_desc){.folder = folder,
                                               .max_tokens = (uint32_t) n,
                                               .max_segments = 1,
                                               .max_rows = (uint32_t) n,
                                               .max_seqs = 2,
                                               .max_positions = (uint32_t) n,
                                               .train = true},
                       &m));
    const struct op_segment seg = {0, (uint32_t) n, 0, 0, 0, 0};
    const uint32_t starts[3] = {0, (uint32_t) n - 1, (uint32_t) n};
    T_OK(md_pass_load(m, &(struct md_batch){.n_tokens = (uint32_t) n,
                                            .n_segments = 1,
                                            .n_rows = (uint32_t) n,
                                            .n_seqs = 2,
                                            .ids = x,
                                            .pos = pos,
                                            .segs = &seg,
                                            .rows = pos,
                                            .targets = next,
                                            .seq_starts = starts}));
    compare(t, m, &st, (uint32_t) n, name);
    compare_gradient(t, m, &st, name);
    md_model_close(&m);
    fmt_st_close(&st);
    t_reset(t);
}

static void body(struct t *t)
{
    static const char *const FAMILIES[] = {"llama", "llama3",      "mistral", "qwen2",
                                           "qwen3", "gpt2",        "gemma",   "gemma2",
                                           "phi3",  "gemma3_text", "olmo2"};
    // tests/golden/make_families.py
    static const char *const TINY[] = {
        "llama_bias", "llama_linear", "llama_dynamic", "llama_yarn",  "qwen2_window",
        "phi3_short", "phi3_long",    "phi3_partial",  "smollm3",     "granite",
        "qwen3",      "gpt2",         "gemma2",        "gemma3_text", "olmo2",
        "cohere",     "cohere2",      "mixtral",       "qwen3_moe"};
    // A driver compiles kernels for each, a CPU's OpenCL for half a minute.
    const size_t days = rt_dev_plan(t_dev(t))->rungs & RT_RUNG_WIDE ? 6 : 3;
    char path[512];

    for (size_t i = 0; i < COUNT_OF(TINY); i++) {
        if (!t_due(t, i, days))
            continue;
        snprintf(path, sizeof(path), "%s/tests/golden/families/%s", os_env("ANYDPO_SOURCE"),
                 TINY[i]);
        family(t, path, TINY[i]);
    }
    for (size_t i = 0; i < COUNT_OF(FAMILIES); i++) {
        snprintf(path, sizeof(path), "models/%s", FAMILIES[i]);
        const char *folder = golden_path(path);
        if (folder && t_due(t, i, days))
            family(t, folder, FAMILIES[i]);
        assert_true(folder || i >= 2); // the repository has the first two
    }
}

int main(void)
{
    return t_each_device(body);
}
