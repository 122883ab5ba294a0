#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "tests/op/losses.h"

static const uint32_t SIZES[] = {1, 63, 64, 65, 1031}; // around a group, and many

static void compare(struct t *t, const char *what, const struct input *in, struct t_tol tol)
{
    struct rt_buf *loss, *dlogp, *want_loss, *want_dlogp;
    char name[96];
    record(t, t_dev(t), in, &loss, &dlogp);
    record(t, t_ref(t), in, &want_loss, &want_dlogp);
    snprintf(name, sizeof(name), "%s loss", what);
    t_close(t, name, loss, want_loss, in->n, tol);
    snprintf(name, sizeof(name), "%s dlogp", what);
    t_close(t, name, dlogp, want_dlogp, 2 * in->n, tol);
}

// ---- The oracle's gradient --------------------------------------------------------------------

static double total(struct t *t, const struct input *in)
{
    double x[16], sum = 0.0;
    struct rt_buf *loss, *dlogp;
    record(t, t_ref(t), in, &loss, &dlogp);
    read_all(loss, in->n, x);
    for (uint32_t i = 0; i < in->n; i++)
        sum += x[i];
    return sum;
}

// The oracle's gradient by central differences in float64. Inputs lie on the grid of h = 2^-12, so
// that they are f32 numbers; h^2 / 6 = 1e-8 times the third derivative, which is of the size of the
// gradient with beta 0.7 and tau 0.5.
static void finite_differences(struct t *t, enum op_loss_type type, enum op_divergence d)
{
    enum { N = 5 };
    const double h = 0x1p-12;
    double *x = t_uniform(t, 2 * N, -4.0, 4.0), *ref = t_uniform(t, 2 * N, -3.0, 3.0),
           *len = t_uniform(t, 2 * N, 1.0, 9.0);
    double *w = t_uniform(t, 2 * N, -1.0, 0.0), grad[2 * N];
    struct input in = {spec_of(type, d), N, x, ref, len, w, 0.7, 1.0, 0.3};
    struct rt_buf *loss, *dlogp;
    in.spec.discopop_tau = 0.5;
    for (int i = 0; i < 2 * N; i++) // odds are steep near certainty
        x[i] = nearbyint(x[i] / h) * h - (type == OP_LOSS_ORPO ? 12.0 : 0.0);
    in.spec.terms[in.spec.n_terms++] = (struct op_loss_term){OP_LOSS_SFT, 0.25};
    record(t, t_ref(t), &in, &loss, &dlogp);
    read_all(dlogp, 2 * N, grad);
    for (int i = 0; i < 2 * N; i++) {
        const double x0 = x[i];
        x[i] = x0 + h;
        const double up = total(t, &in);
        x[i] = x0 - h;
        const double slope = (up - total(t, &in)) / (2.0 * h);
        x[i] = x0;
        if (!(fabs(slope - grad[i]) <= 1e-5 + 1e-5 * fabs(slope)))
            fail_msg("%s, %s: derivative %d is %.9g, by differences %.9g", op_loss_name(type),
                     op_divergence_name(d), i, grad[i], slope);
    }
    t_reset(t);
}

// sft of log-probs of its own: its value is theirs, and its gradient is left to the caller.
static void sft_apart(struct t *t)
{
    enum { N = 3 };
    const double x[2 * N] = {-3, -5, -8, -4, -6, -9}, own[2 * N] = {-30, -50, -80, 0, 0, 0},
                       ref[2 * N] = {-2, -6, -8, -4, -5, -9}, len[2 * N] = {1, 1, 1, 1, 1, 1};
    struct op_loss_spec s = spec_of(OP_LOSS_SIGMOID, 0);
    struct rt_buf *out[2], *grad[2];
    double a[2 * N], b[2 * N];
    s.terms[s.n_terms++] = (struct op_loss_term){OP_LOSS_SFT, 0.5};
    for (int apart = 0; apart < 2; apart++) {
        struct rt_cmd *cmd;
        out[apart] = t_output(t, t_dev(t), RT_F32, N);
        grad[apart] = t_output(t, t_dev(t), RT_F32, 2 * N);
        T_OK(rt_cmd_create(t_dev(t), &cmd));
        T_OK(op_loss(cmd, &(struct op_loss_args){
                              .spec = &s,
                              .logp = t_buf(t, t_dev(t), RT_F32, x, 2 * N),
                              .ref_logp = t_buf(t, t_dev(t), RT_F32, ref, 2 * N),
                              .len = t_buf(t, t_dev(t), RT_F32, len, 2 * N),
                              .sft_logp = apart ? t_buf(t, t_dev(t), RT_F32, own, 2 * N) : NULL,
                              .partner = t_buf_u32(t, t_dev(t), (uint32_t[2 * N]){0}, 2 * N),
                              .loss = out[apart],
                              .dlogp = grad[apart],
                              .n_pairs = N,
                              .beta = 0.5,
                              .grad_scale = 2.0,
                              .sft_scale = 0.25}));
        T_OK(rt_cmd_wait(&cmd));
    }
    read_all(out[0], N, a);
    read_all(out[1], N, b);
    for (int i = 0; i < N; i++)
        if (!(fabs(b[i] - a[i] - 0.5 * 0.25 * (x[i] - own[i])) < 1e-5))
            fail_msg("sft of its own: loss %d is %.9g, beside %.9g", i, b[i], a[i]);
    read_all(grad[0], 2 * N, a);
    read_all(grad[1], 2 * N, b);
    for (int i = 0; i < 2 * N; i++)
        if (!(fabs(b[i] + (i < N ? op_loss_sft_slope(&s, 2.0, 0.25) : 0.0) - a[i]) < 1e-6))
            fail_msg("sft of its own: gradient %d is %.9g, beside %.9g", i, b[i], a[i]);
    t_reset(t);
}

// ---- The kernel -------------------------------------------------------------------------------

// Log-ratios are within +-6, +-2 where a divergence exponentiates them, so that scores are within
// +-7. An error of 2^-22 of a score is 2e-6 of a margin; ipo's and sppo_hard's squares (u up to 20)
// make 2u = 40 of it, discopop's slope 1 / (10 tau^2) = 40; exp adds 3 + 2|x| ULP, log 2^-21.
static const struct t_tol NEAR = {.atol = 1e-4, .rtol = 1e-5};

static void matches_reference(struct t *t, enum op_loss_type type, enum op_divergence d, uint32_t n)
{
    const double most = d == OP_REVERSE_KL ? 6.0 : 2.0;
    double *x = t_uniform(t, 2 * n, -90.0, -10.0), *ref = t_uniform(t, 2 * n, -most, most);
    double *len = t_uniform(t, 2 * n, 1.0, 40.0), *w = t_uniform(t, 2 * n, -2.0, 0.5);
    char what[64];
    t_round(x, 2 * n, RT_F32);
    for (uint32_t i = 0; i < 2 * n; i++) {
        ref[i] += x[i];
        len[i] = floor(len[i]);
    }
    t_round(ref, 2 * n, RT_F32);
    t_round(w, 2 * n, RT_F32);
    struct input in = {spec_of(type, d), n, x, ref, len, n % 2 ? w : NULL, 0.1, 0.5, 0.05};
    snprintf(what, sizeof(what), "%s, %s, %u pairs", op_loss_name(type), op_divergence_name(d), n);
    compare(t, what, &in, NEAR);
    t_reset(t);
}

// Log-ratios of up to 1e4 / beta: every result is finite, and that of the oracle. exp of 80 is good
// to 3 + 160 ULP.
static void far_out(struct t *t, enum op_loss_type type, enum op_divergence d)
{
    static const double FAR[] = {0.0, 1e4, -1e4, 50.0, -50.0, 89.0, -89.0, 2e3, -2e3};
    enum { F = COUNT_OF(FAR), N = F * F };
    double x[2 * N], ref[2 * N] = {0}, len[2 * N], got[2 * N];
    struct rt_buf *loss, *dlogp;
    char what[64];
    for (int i = 0; i < N; i++) {
        x[i] = FAR[i / F];
        x[N + i] = FAR[i % F];
        len[i] = len[N + i] = 1.0;
    }
    struct input in = {spec_of(type, d), N, x, ref, len, NULL, 1.0, 1.0, 1.0};
    snprintf(what, sizeof(what), "far %s, %s", op_loss_name(type), op_divergence_name(d));
    compare(t, what, &in, (struct t_tol){.atol = 1e-5, .rtol = 5e-5});
    record(t, t_dev(t), &in, &loss, &dlogp);
    read_all(loss, N, got);
    for (int i = 0; i < N; i++)
        if (!isfinite(got[i]))
            fail_msg("%s: log-ratios %g, %g: loss %g", what, x[i], x[N + i], got[i]);
    read_all(dlogp, 2 * N, got);
    for (int i = 0; i < 2 * N; i++)
        if (!isfinite(got[i]))
            fail_msg("%s: log-ratios %g, %g: gradient %g", what, x[i % N], x[N + i % N], got[i]);
    t_reset(t);
}

// Policy = reference: ln 2 and a slope of beta / 2, to the last bit but one.
static void starts_at_ln2(struct t *t)
{
    enum { N = 65 };
    double *x = t_uniform(t, 2 * N, -900.0, -1.0), len[2 * N], got[2 * N];
    struct rt_buf *loss, *dlogp;
    for (int i = 0; i < 2 * N; i++)
        len[i] = 3.0;
    const struct input in = {.n = N, .logp = x, .ref = x, .len = len, .beta = 0.5, .scale = 1.0};
    record(t, t_dev(t), &in, &loss, &dlogp);
    read_all(loss, N, got);
    for (int i = 0; i < N; i++)
        if (!(fabs(got[i] - 0.69314718055994531) < 6e-8))
            fail_msg("pair %d: loss %.9g", i, got[i]);
    read_all(dlogp, 2 * N, got);
    for (int i = 0; i < 2 * N; i++)
        if (!(fabs(got[i] - (i < N ? -0.25 : 0.25)) < 6e-8))
            fail_msg("gradient %d: %.9g", i, got[i]);
    t_reset(t);
}

// One multiplication and one addition: two roundings of at most |x| + |tail x|.
static void folds(struct t *t, uint32_t n)
{
    const struct t_tol tol = {.atol = 100.0 * 0x1p-23, .rtol = 0x1p-23};
    double *x = t_uniform(t, 2 * n, -100.0, 0.0), *want = t_alloc(t, 2 * n * sizeof(*want));
    struct rt_buf *y = t_output(t, t_dev(t), RT_F32, n), *dx = t_output(t, t_dev(t), RT_F32, 2 * n);
    struct rt_cmd *cmd;
    t_round(x, 2 * n, RT_F32);
    T_OK(rt_cmd_create(t_dev(t), &cmd));
    T_OK(op_loss_fold(cmd, t_buf(t, t_dev(t), RT_F32, x, 2 * n), y, n, 0.25));
    T_OK(op_loss_unfold(cmd, t_buf(t, t_dev(t), RT_F32, x, n), dx, n, 0.25, -3.0));
    T_OK(rt_cmd_wait(&cmd));
    for (uint32_t i = 0; i < n; i++)
        want[i] = x[2 * i] + 0.25 * x[2 * i + 1];
    t_close_to(t, "fold", y, want, n, tol);
    for (uint32_t i = 0; i < 2 * n; i++)
        want[i] = (i % 2 ? 0.25 : 1.0) * x[i / 2] - (i / 2 < n / 2 ? 3.0 : 0.0);
    t_close_to(t, "unfold", dx, want, 2 * n, tol);
    T_ERR(RT_E_ARG, op_loss_fold(NULL, dx, y, 0, 0.25));
    T_ERR(RT_E_ARG, op_loss_unfold(NULL, y, dx, n, (double) NAN, 0.0));
    T_ERR(RT_E_SHAPE, op_loss_fold(NULL, y, y, n + T_GUARD, 0.25));
    T_ERR(RT_E_ARG, op_loss_unfold(NULL, y, dx, n, 0.25, (double) INFINITY));
    T_ERR(RT_E_SHAPE, op_loss_unfold(NULL, y, y, n + T_GUARD, 0.25, 0.0));
    t_reset(t);
}

// Ranks of many pairs with ties, against their definition: how many come before.
static void ranks(struct t *t, uint32_t n)
{
    double *x = t_uniform(t, 4 * (uint64_t) n, -50.0, 50.0);
    uint32_t *scratch = t_alloc(t, 2 * n * sizeof(*scratch)),
             *out = t_alloc(t, 2 * n * sizeof(*out));
    for (uint32_t i = 0; i < 4 * n; i++)
        x[i] = nearbyint(x[i]);
    op_loss_partners(n, x, x + 2 * n, scratch, out);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at[4] = {0}; // ranks of i's policy margin and chosen ratio, and of their partners
        const double *r = x + 2 * n;
        const uint32_t m = out[i], k = out[n + i];
        for (uint32_t j = 0; j < n; j++) {
            const double a = (x[j] - x[n + j]) - (x[i] - x[n + i]),
                         b = (r[j] - r[n + j]) - (r[m] - r[n + m]),
                         c = (x[j] - r[j]) - (x[i] - r[i]),
                         d = (x[n + j] - r[n + j]) - (x[n + k] - r[n + k]);
            at[0] += a < 0.0 || (a == 0.0 && j < i);
            at[1] += b < 0.0 || (b == 0.0 && j < m);
            at[2] += c < 0.0 || (c == 0.0 && j < i);
            at[3] += d < 0.0 || (d == 0.0 && j < k);
        }
        if (at[0] != at[1] || at[2] != at[3])
            fail_msg("%u pairs: ranks of pair %u and its partners: %u and %u, %u and %u", n, i,
                     at[0], at[1], at[2], at[3]);
    }
    t_reset(t);
}

static void partners(void)
{
    static const double X[] = {5, 1, 3, 3, 0, 0, 0, 0}, REF[] = {0, 0, 0, 0, 4, 3, 2, 1};
    static const uint32_t WANT[] = {3, 0, 1, 2, 3, 0, 1, 2};
    uint32_t scratch[8], out[8];
    op_loss_partners(4, X, REF, scratch, out);
    assert_memory_equal(
        out, WANT,
        sizeof(WANT)); // margins 5 1 3 3; reference -4 -3 -2 -1; rejected ratios -4 -3 -2 -1
}

static void refuses(struct t *t)
{
    struct rt_buf *b = t_output(t, t_dev(t), RT_F32, 4),
                  *u = t_buf_u32(t, t_dev(t), (uint32_t[68]){0}, 68); // 34 pairs
    struct op_loss_spec s = spec_of(OP_LOSS_SIGMOID, 0);
    const struct op_loss_args good = {&s, b, b, b, NULL, b, u, b, b, 34, 0.1, 1.0, 1.0};
    struct op_loss_args a = good; // argument checks come before any use of cmd
    a.n_pairs = 0;
    T_ERR(RT_E_ARG, op_loss(NULL, &a));
    a = good;
    a.beta = -0.1;
    T_ERR(RT_E_ARG, op_loss(NULL, &a));
    a = good;
    a.grad_scale = (double) NAN;
    T_ERR(RT_E_ARG, op_loss(NULL, &a));
    a = good;
    a.n_pairs = 35;
    T_ERR(RT_E_SHAPE, op_loss(NULL, &a));
    a = good;
    a.partner = b;
    T_ERR(RT_E_SHAPE, op_loss(NULL, &a));
    static const struct {
        enum op_loss_type type;
        double smoothing, tau, weight;
    } BAD[] = {{OP_LOSS_EXO_PAIR, 0.0, 1.0, 1.0},
               {OP_LOSS_EXO_PAIR, 1.0, 1.0, 1.0},
               {OP_LOSS_ROBUST, 0.5, 1.0, 1.0},
               {OP_LOSS_DISCOPOP, 0.0, 0.0, 1.0},
               {OP_LOSS_DISCOPOP, 0.0, -1.0, 1.0},
               {OP_LOSS_TYPES, 0.0, 1.0, 1.0},
               {OP_LOSS_SIGMOID, 0.0, 1.0, (double) INFINITY}};
    for (size_t i = 0; i < COUNT_OF(BAD); i++) {
        s = spec_of(BAD[i].type, 0);
        s.label_smoothing = BAD[i].smoothing;
        s.discopop_tau = BAD[i].tau;
        s.terms[0].weight = BAD[i].weight;
        T_ERR(RT_E_ARG, op_loss(NULL, &good));
    }
    t_reset(t);
}

static void body(struct t *t)
{
    refuses(t);
    partners();
    for (size_t i = 0; i < COUNT_OF(SIZES); i++)
        ranks(t, SIZES[i]);
    sft_apart(t);
    starts_at_ln2(t);
    for (size_t i = 0; i < COUNT_OF(SIZES); i++)
        folds(t, SIZES[i]);
    for (enum op_loss_type type = 0; type < OP_LOSS_TYPES; type++)
        for (enum op_divergence d = 0; d < OP_DIVERGENCES; d++) {
            if (d != OP_REVERSE_KL && !op_loss_takes_divergence(type))
                continue;
            finite_differences(t, type, d);
            far_out(t, type, d);
            for (size_t i = 0; i < COUNT_OF(SIZES); i++)
                matches_reference(t, type, d, SIZES[i]);
        }
}

int main(void)
{
    return t_each_device(body);
}
