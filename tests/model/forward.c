// The decoder against transformers' forward pass: every hidden state, then the logits, on every
// device.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "src/format/safetensors.h"
#include "src/model/model.h"
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

static void compare(struct t *t, struct md_model *m, const struct fmt_st *st, uint32_t n)
{
    uint32_t cols, ld;
    uint64_t count;
    char name[64];
    for (uint32_t l = 0; l <= m->arch.layers; l++) {
        const bool last = l == m->arch.layers;
        struct rt_buf *b = last ? md_activation(m, "final", 0, &cols, &ld)
                           : l  ? md_activation(m, "stream", l - 1, &cols, &ld)
                                : md_activation(m, "embed", 0, &cols, &ld);
        snprintf(name, sizeof(name), "hidden_states.%u", l);
        close_rows(name, b, cols, ld, load(t, st, name, &count), n, t);
    }
    double *want = load(t, st, "logits", &count);
    float *logits = t_alloc(t, m->arch.vocab * sizeof(*logits));
    for (uint32_t r = 0; r < n; r++) {
        T_OK(md_logits(m, md_policy(m), r, logits));
        for (uint32_t v = 0; v < m->arch.vocab; v++) {
            const double w = want[(size_t) r * m->arch.vocab + v], g = (double) logits[v];
            if (!(fabs(g - w) <= STATE.atol + STATE.rtol * fabs(w)))
                fail_msg("logits on %s: row %u id %u: got %.9g, want %.9g", t_name(t), r, v, g, w);
        }
    }
}

static void family(struct t *t, const char *name)
{
    char path[256];
    struct fmt_st st;
    struct md_model *m;
    struct rt_cmd *cmd;
    uint64_t n;

    snprintf(path, sizeof(path), "models/%s", name);
    const char *folder = golden_path(path);
    assert_non_null(folder);
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
    T_OK(rt_cmd_create(t_dev(t), &cmd));
    T_OK(md_forward(m, cmd, md_policy(m), NULL));
    T_OK(rt_cmd_wait(&cmd));
    compare(t, m, &st, (uint32_t) n);
    md_model_close(&m);
    fmt_st_close(&st);
    t_reset(t);
}

static void body(struct t *t)
{
    family(t, "llama");
    family(t, "llama3");
}

int main(void)
{
    return t_each_device(body);
}
