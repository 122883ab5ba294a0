#include "src/op/dpo.h"

#include <math.h>

#include "src/base/arith.h"
#include "tests/t.h"

// Vulkan bounds: log 2^-21 absolute on [0.5, 2], exp 3 + 2|x| ULP, divide 2.5 ULP;
// plus the rounding of m, for |log-prob| <= 90 and beta 0.1, so |m| < 18.
static const struct t_tol LOSS = { .atol = 1e-6, .rtol = 1e-6 };
static const struct t_tol GRAD = { .atol = 1e-9, .rtol = 1e-5 };
static const uint32_t SIZES[] = { 1, 63, 64, 65, 127, 4099 }; // around a group, and many

static void record(struct t *t, struct rt_dev *dev, const double *x, uint32_t n, struct rt_buf **loss, struct rt_buf **dlogp)
{
    struct rt_cmd *cmd;
    *loss = t_output(t, dev, RT_F32, n);
    *dlogp = t_output(t, dev, RT_F32, 2 * n);
    T_OK(rt_cmd_create(dev, &cmd));
    T_OK(op_dpo(cmd, &(struct op_dpo_args){
        t_buf(t, dev, RT_F32, x, 2 * n), t_buf(t, dev, RT_F32, x + 2 * n, 2 * n), *loss, *dlogp, n, 0.1f, 1.0f / (float) n }));
    T_OK(rt_cmd_wait(&cmd));
}

static void matches_reference(struct t *t, uint32_t n)
{
    double *x = t_uniform(t, 4 * n, -90.0, -1.0); // logp (2N), then ref_logp (2N)
    struct rt_buf *loss, *dlogp, *want_loss, *want_dlogp;

    x[0] = -10001.0;                    // pair 0: m = -1000, so a softplus that
    x[n] = x[2 * n] = x[3 * n] = -1.0;  // evaluates exp(-m) overflows to inf
    record(t, t_dev(t), x, n, &loss, &dlogp);
    record(t, t_ref(t), x, n, &want_loss, &want_dlogp);
    t_close(t, "loss", loss, want_loss, n, LOSS);
    t_close(t, "dlogp", dlogp, want_dlogp, 2 * n, GRAD);
    t_reset(t);
}

// The oracle against trl.md 1.3's acceptance vectors (TRL's own code), 6 digits.
static void oracle(struct t *t)
{
    static const double X[16] = { -12.5, -30, -8.25, -55, -14, -28.5, -20, -54, -13, -29, -9, -60, -13.5, -29.5, -18, -50 };
    static const double LOSSES[] = { 0.644397, 0.798139, 0.565071, 0.341154 };
    static const double GRADS[] = { -0.047502, -0.054983, -0.043168, -0.028905, 0.047502, 0.054983, 0.043168, 0.028905 };
    double grads[8];
    struct rt_buf *loss, *dlogp;
    for (int i = 0; i < 8; i++)
        grads[i] = GRADS[i] / 4.0;
    record(t, t_ref(t), X, 4, &loss, &dlogp);
    t_close_to(t, "TRL's loss", loss, LOSSES, 4, (struct t_tol){ .atol = 6e-7 });
    t_close_to(t, "TRL's gradient", dlogp, grads, 8, (struct t_tol){ .atol = 3e-7 });
    t_reset(t);
}

static void body(struct t *t)
{
    struct rt_buf *b = t_output(t, t_dev(t), RT_F32, 4); // 4 + T_GUARD floats: room for 34 pairs
    const struct op_dpo_args good = { b, b, b, b, 34, 0.1f, 1.0f };
    struct op_dpo_args a = good; // argument checks come before any use of cmd
    a.n_pairs = 0;
    T_ERR(RT_E_ARG, op_dpo(NULL, &a));
    a = good;
    a.beta = -0.1f;
    T_ERR(RT_E_ARG, op_dpo(NULL, &a));
    a = good;
    a.grad_scale = NAN;
    T_ERR(RT_E_ARG, op_dpo(NULL, &a));
    a = good;
    a.n_pairs = 35;
    T_ERR(RT_E_SHAPE, op_dpo(NULL, &a));
    oracle(t);
    for (size_t i = 0; i < COUNT_OF(SIZES); i++)
        matches_reference(t, SIZES[i]);
}

int main(void) { return t_each_device(body); }
