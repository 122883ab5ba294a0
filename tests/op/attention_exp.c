// The exponential inside attention, and that the wide variant can be taken away.
#include <string.h>

#include "tests/op/attention_run.h"

enum { ROWS = 2048 };

// Rows of two tokens; the second sees scores -x and 0 and the values 1 and 0, so that o = e^-x / (1
// + e^-x). The wide variant promises e^-x to 2 ULP where it is a normal number; the sum, its
// reciprocal and the product add half an ULP or one each. Vulkan allows 3 + 2x ULP, OpenCL 3.
static void exponential(struct t *t, const char *variant)
{
    struct rt_dev *dev = t_dev(t);
    struct op_segment *segs = t_alloc(t, ROWS * sizeof(*segs));
    double *q = t_alloc(t, 2 * ROWS * 8 * sizeof(*q)), *k = t_alloc(t, 2 * ROWS * 8 * sizeof(*k));
    double *v = t_alloc(t, 2 * ROWS * 8 * sizeof(*v));
    const uint32_t cap = op_attention_index_max(dev, 2 * ROWS, ROWS);
    uint32_t *words = t_alloc(t, cap * sizeof(*words));
    struct op_attention_index info;
    struct rt_cmd *cmd;
    struct rt_buf *o = t_output(t, dev, RT_F32, 2 * ROWS * 8);

    for (uint32_t r = 0; r < ROWS; r++) {
        segs[r] = (struct op_segment){2 * r, 2 * r + 2, 2 * r, 2 * r, 2 * r, 2 * r};
        q[(2 * r + 1) * 8] = 1.0;
        k[2 * r * 8] = (double) (float) (-100.0 * r / ROWS);
        v[2 * r * 8] = 1.0;
    }
    T_OK(op_attention_index(dev, segs, ROWS, words, cap, &info));
    T_OK(rt_cmd_create(dev, &cmd));
    T_OK(op_attention(cmd,
                      &(struct op_attention_args){.q = mat(put(t, dev, RT_F32, q, 2 * ROWS * 8), 2),
                                                  .k = mat(put(t, dev, RT_F32, k, 2 * ROWS * 8), 2),
                                                  .v = mat(put(t, dev, RT_F32, v, 2 * ROWS * 8), 2),
                                                  .o = mat(o, 2),
                                                  .lse.buf = t_output(t, dev, RT_F32, 2 * ROWS),
                                                  .index = t_buf_u32(t, dev, words, info.words),
                                                  .info = &info,
                                                  .n_tokens = 2 * ROWS,
                                                  .n_keys = 2 * ROWS,
                                                  .n_heads = 1,
                                                  .n_kv_heads = 1,
                                                  .head_dim = 2,
                                                  .scale = 1.0f,
                                                  .variant = variant}));
    T_OK(rt_cmd_wait(&cmd));
    const double *got = read_all(t, o, 2 * ROWS * 8);
    for (uint32_t r = 0; r < ROWS; r++) {
        const double x = -k[2 * r * 8], want = exp(-x) / (1.0 + exp(-x));
        const double ulps = (strcmp(variant, "wide") == 0 ? 2.0 : 3.0 + 2.0 * x) + 2.5;
        if (!(fabs(got[(2 * r + 1) * 8] - want) <= 1.2e-38 + ulps * 0x1p-23 * want))
            fail_msg("%s on %s: e^-%g: got %.9g, want %.9g", variant, t_name(t), x,
                     got[(2 * r + 1) * 8], want);
    }
    t_reset(t);
}

static void without_wide(struct t *t)
{
    static const struct shape s = {{{4, 2, 2}}, 2, 1, 8, 0, 0};
    const struct layout l = lay_out(&s);
    struct op_attention_index info;
    struct op_attention_args a = args_of(&s, l.tokens);
    struct rt_buf *b = t_zeros(t, t_dev(t), RT_F32, 256);

    a.index = upload_index(t, t_dev(t), &l, &info);
    a.info = &info;
    a.q = a.o = mat(b, 16);
    a.k = a.v = mat(b, 8);
    a.lse.buf = b;
    a.variant = "wide";
    T_ERR(RT_E_UNSUPPORTED, op_attention(NULL, &a));
    t_reset(t);
}

static void body(struct t *t)
{
    for (size_t v = 0; v < n_variants(t); v++)
        exponential(t, variants_of(t)[v]);
    if (!runs_wide(t))
        without_wide(t);
}

int main(void)
{
    return t_each_device(body);
}
