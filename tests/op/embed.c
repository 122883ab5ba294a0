#include "src/op/embed.h"

#include "tests/op/ops.h"

enum { V = 41, T = 23, C = 30, LD = 32 };

// The two names, against the formulas written out here; the kernels have their own test (rows.c).
static void forward(struct t *t, enum rt_type type)
{
    double *w = t_normal(t, (uint64_t) V * LD, 0.5), want[T * LD];
    const struct op_vec x = t_vec(t, t_dev(t), RT_F32, NULL, T * LD);
    uint32_t ids[T];
    struct rt_cmd *cmd;

    t_round(w, (uint64_t) V * LD, type);
    for (uint32_t i = 0; i < T; i++) {
        ids[i] = i * 17 % V;
        for (uint32_t c = 0; c < LD; c++)
            want[i * LD + c] = c < C ? 8.0 * w[ids[i] * LD + c] : 0.0;
    }
    T_OK(rt_cmd_create(t_dev(t), &cmd));
    T_OK(op_embed(cmd, &(struct op_embed_args){.w = t_vec(t, t_dev(t), type, w, (uint64_t) V * LD),
                                               .ids = t_buf_u32(t, t_dev(t), ids, T),
                                               .x = x,
                                               .n_vocab = V,
                                               .n_tokens = T,
                                               .cols = C,
                                               .ldw = LD,
                                               .ldx = LD,
                                               .scale = 8.0f}));
    T_OK(rt_cmd_wait(&cmd));
    const double *got = t_read(t, x, T * LD);
    for (uint32_t i = 0; i < T * LD; i++)
        assert_true(got[i] == want[i]); // a power of two times a half is exact
    t_reset(t);
}

static void backward(struct t *t)
{
    const double *dx = t_uniform(t, (uint64_t) T * LD, -1.0, 1.0);
    double *want = t_alloc(t, (size_t) (FIRST + V * LD) * sizeof(*want));
    struct op_vec dw;
    uint32_t ids[T], index[3 * T + 1], unique;
    struct rt_cmd *cmd;

    for (uint32_t i = 0; i < FIRST; i++)
        want[i] = 5.0;
    for (uint32_t i = 0; i < V * LD; i++)
        want[FIRST + i] = 0.125 * (i % 7);
    dw = t_vec(t, t_dev(t), RT_F32, want + FIRST, (uint64_t) V * LD);
    for (uint32_t i = 0; i < T; i++) {
        ids[i] = i * i % V;
        for (uint32_t c = 0; c < C; c++)
            want[FIRST + ids[i] * LD + c] += 2.0 * (double) (float) dx[i * LD + c];
    }
    unique = op_scatter_index(ids, T, index);
    T_OK(rt_cmd_create(t_dev(t), &cmd));
    T_OK(op_embed_backward(cmd, &(struct op_embed_backward_args){
                                    .dx = t_vec(t, t_dev(t), RT_F32, dx, (uint64_t) T * LD),
                                    .index = t_buf_u32(t, t_dev(t), index, 3 * T + 1),
                                    .dw = dw,
                                    .n_vocab = V,
                                    .n_tokens = T,
                                    .n_unique = unique,
                                    .cols = C,
                                    .ldw = LD,
                                    .ldx = LD,
                                    .scale = 2.0f}));
    T_OK(rt_cmd_wait(&cmd));
    // A sum of a few numbers below 2, each addition rounded to 2^-24 of it.
    t_close_to(t, "dw", (struct rt_buf *) (uintptr_t) dw.buf, want, FIRST + V * LD,
               (struct t_tol){.atol = 2e-6});
    t_reset(t);
}

static void errors(struct t *t)
{
    const struct op_vec w = t_vec(t, t_dev(t), RT_F16, NULL, 64);
    const uint32_t ids[1] = {0};
    T_ERR(RT_E_SHAPE, op_embed(NULL, &(struct op_embed_args){.w = w,
                                                             .ids = t_buf_u32(t, t_dev(t), ids, 1),
                                                             .x = w,
                                                             .n_vocab = 8,
                                                             .n_tokens = 1,
                                                             .cols = 8,
                                                             .ldw = 8,
                                                             .ldx = 8,
                                                             .scale = 1.0f}));
    T_ERR(RT_E_ARG, op_embed_backward(
                        NULL, &(struct op_embed_backward_args){.dx = w, .dw = w, .scale = 1.0f}));
    t_reset(t);
}

static void body(struct t *t)
{
    errors(t);
    for (size_t k = 0; k < 3; k++)
        forward(t, FLOATS[k]);
    backward(t);
}

int main(void)
{
    return t_each_device(body);
}
