// tests/op/attention_run.h -- running attention on a layout of rows, for its tests.
#ifndef TESTS_OP_ATTENTION_RUN_H
#define TESTS_OP_ATTENTION_RUN_H

#include <math.h>

#include "src/base/arith.h"
#include "src/op/attention.h"
#include "tests/t.h"

static inline bool runs_wide(struct t *t)
{
    return (rt_dev_plan(t_dev(t))->rungs & RT_RUNG_WIDE) != 0;
}

// The variants that a device is tested with: the first n_variants(). OpenCL's compile slowly.
static inline const char *const *variants_of(struct t *t)
{
    static const char *const CPU[] = {"direct", "staged", "wide"};
    static const char *const ALL[] = {"direct", "staged", "small"};
    return runs_wide(t) ? CPU : ALL;
}
static inline size_t n_variants(struct t *t)
{
    return t_on_host(t) ? 1 : 3;
}

// What is compiled in beside the type and the head size.
enum extra { PLAIN, WINDOW, SOFTCAP, BOTH };

// A day takes of each variant one type, plain and with one of the extras, another one for each.
// Where the wide variant runs, the others are there for devices of another kind: there a day takes
// one of them. Both tests of attention choose alike, and so compile the same kernels.
static inline bool is_due(struct t *t, size_t variant, size_t type, enum extra extra)
{
    const bool aside = runs_wide(t) && variant < 2;
    const size_t days = aside ? 6 : 3, at = (aside ? 3 * variant + type : variant + type) % days;
    return extra == PLAIN ? t_due(t, at, days)
                          : t_due(t, at + days * ((extra - 1 + variant) % 3), days * 3);
}

enum { MOST_SEGS = 16 };

// Rows of prompt | chosen | rejected lengths; a row of one segment has the length alone.
struct shape {
    uint32_t rows[4][3];
    uint32_t h, kv, d;
    uint32_t window;
    float softcap;
};

struct layout {
    struct op_segment segs[MOST_SEGS];
    uint32_t n, tokens;
};

static inline struct layout lay_out(const struct shape *x)
{
    struct layout l = {0};
    for (int r = 0; r < 4; r++) {
        const uint32_t row = l.tokens, prompt_end = row + x->rows[r][0];
        for (int s = 0; s < 3; s++) {
            const uint32_t at = l.tokens, n = x->rows[r][s];
            if (n)
                l.segs[l.n++] =
                    (struct op_segment){at, at + n, at, s ? row : at, s ? prompt_end : at, at};
            l.tokens += n;
        }
    }
    return l;
}

// Inputs of one run in float64, and its outputs.
struct data {
    double *q, *k, *v, *d_o;
    double *o, *lse; // what the backward starts from; NULL: no backward, or
    bool chain;      // from what the forward made
};
struct result {
    struct rt_buf *o, *lse, *dq, *dk, *dv;
};

static inline struct op_attention_view mat(struct rt_buf *b, uint32_t cols)
{
    return (struct op_attention_view){b, 0, op_stride(cols)};
}

// Not t_buf(): on host:f64 the values stay as they are.
static inline struct rt_buf *put(struct t *t, struct rt_dev *dev, enum rt_type type,
                                 const double *x, uint64_t n)
{
    struct rt_buf *b = t_zeros(t, dev, type, n);
    T_OK(rt_buf_write(b, 0, n, RT_F64, x));
    return b;
}

static inline struct data random_data(struct t *t, const struct shape *x, uint32_t tokens,
                                      double sigma)
{
    const uint64_t nq = (uint64_t) tokens * op_stride(x->h * x->d),
                   nk = (uint64_t) tokens * op_stride(x->kv * x->d);
    return (struct data){t_normal(t, nq, sigma),
                         t_normal(t, nk, sigma),
                         t_normal(t, nk, 1.0),
                         t_normal(t, nq, 1.0),
                         NULL,
                         NULL,
                         false};
}

static inline struct rt_buf *upload_index(struct t *t, struct rt_dev *dev, const struct layout *l,
                                          struct op_attention_index *info)
{
    const uint32_t cap = op_attention_index_max(dev, l->tokens, l->n);
    uint32_t *words = t_alloc(t, cap * sizeof(*words));
    T_OK(op_attention_index(dev, l->segs, l->n, words, cap, info));
    return t_buf_u32(t, dev, words, info->words);
}

static inline struct op_attention_args args_of(const struct shape *x, uint32_t tokens)
{
    return (struct op_attention_args){.n_tokens = tokens,
                                      .n_keys = tokens,
                                      .n_heads = x->h,
                                      .n_kv_heads = x->kv,
                                      .head_dim = x->d,
                                      .scale = (float) (1.0 / sqrt((double) x->d)),
                                      .window = x->window,
                                      .softcap = x->softcap};
}

// Forward, and the backward if `x` asks for it.
static inline struct result run(struct t *t, struct rt_dev *dev, enum rt_type type,
                                const struct shape *s, const struct data *x, const char *variant)
{
    const struct layout l = lay_out(s);
    const uint32_t cols = s->h * s->d, key_cols = s->kv * s->d;
    const uint64_t nq = (uint64_t) l.tokens * op_stride(cols),
                   nk = (uint64_t) l.tokens * op_stride(key_cols);
    struct op_attention_args a = args_of(s, l.tokens);
    struct op_attention_index info;
    struct result r = {.o = t_output(t, dev, type, nq),
                       .lse = t_output(t, dev, RT_F32, s->h * l.tokens)};
    struct rt_cmd *cmd;

    a.variant = dev == t_ref(t) ? NULL : variant;
    a.index = upload_index(t, dev, &l, &info);
    a.info = &info;
    a.q = mat(put(t, dev, type, x->q, nq), cols);
    a.k = mat(put(t, dev, type, x->k, nk), key_cols);
    a.v = mat(put(t, dev, type, x->v, nk), key_cols);
    a.o = mat(r.o, cols);
    a.lse = (struct op_attention_view){.buf = r.lse};
    const uint64_t scratch =
        u64_max(op_attention_scratch(dev, &a, false), op_attention_scratch(dev, &a, true));
    if (scratch)
        a.scratch.buf = t_output(t, dev, RT_F32, scratch);
    T_OK(rt_cmd_create(dev, &cmd));
    T_OK(op_attention(cmd, &a));
    if (x->o || x->chain) {
        r.dq = t_output(t, dev, type, nq);
        r.dk = t_output(t, dev, type, nk);
        r.dv = t_output(t, dev, type, nk);
        if (!x->chain) {
            a.o = mat(put(t, dev, type, x->o, nq), cols);
            a.lse.buf = put(t, dev, RT_F32, x->lse, s->h * l.tokens);
        }
        a.d_o = mat(put(t, dev, type, x->d_o, nq), cols);
        a.delta.buf = t_output(t, dev, RT_F32, s->h * l.tokens);
        a.dq = mat(r.dq, cols);
        a.dk = mat(r.dk, key_cols);
        a.dv = mat(r.dv, key_cols);
        T_OK(op_attention_backward(cmd, &a));
    }
    T_OK(rt_cmd_wait(&cmd));
    return r;
}

static inline double *read_all(struct t *t, struct rt_buf *b, uint64_t n)
{
    double *x = t_alloc(t, n * sizeof(*x));
    T_OK(rt_buf_read(b, 0, n, RT_F64, x));
    return x;
}

#endif // TESTS_OP_ATTENTION_RUN_H
