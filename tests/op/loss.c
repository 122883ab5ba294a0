#include "src/op/loss.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/format/json.h"
#include "tests/support/golden.h"
#include "tests/t.h"

static const uint32_t SIZES[] = {1, 63, 64, 65, 1031}; // around a group, and many

// Inputs of one call, in f64; buffers are made of them on any device.
struct input {
    struct op_loss_spec spec;
    uint32_t n;
    const double *logp, *ref, *len, *log_weight; // (2n); log_weight may be NULL
    double beta, scale, sft_scale;
};

static void record(struct t *t, struct rt_dev *dev, const struct input *in, struct rt_buf **loss,
                   struct rt_buf **dlogp)
{
    struct rt_cmd *cmd;
    const uint32_t n = in->n;
    uint32_t *scratch = t_alloc(t, 2 * n * sizeof(*scratch)),
             *partner = t_alloc(t, 2 * n * sizeof(*partner));
    *loss = t_output(t, dev, RT_F32, n);
    *dlogp = t_output(t, dev, RT_F32, 2 * n);
    op_loss_partners(n, in->logp, in->ref, scratch, partner);
    T_OK(rt_cmd_create(dev, &cmd));
    T_OK(op_loss(
        cmd, &(struct op_loss_args){
                 .spec = &in->spec,
                 .logp = t_buf(t, dev, RT_F32, in->logp, 2 * n),
                 .ref_logp = t_buf(t, dev, RT_F32, in->ref, 2 * n),
                 .len = t_buf(t, dev, RT_F32, in->len, 2 * n),
                 .log_weight = in->log_weight ? t_buf(t, dev, RT_F32, in->log_weight, 2 * n) : NULL,
                 .partner = t_buf_u32(t, dev, partner, 2 * n),
                 .loss = *loss,
                 .dlogp = *dlogp,
                 .n_pairs = n,
                 .beta = in->beta,
                 .grad_scale = in->scale,
                 .sft_scale = in->sft_scale}));
    T_OK(rt_cmd_wait(&cmd));
}

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

static struct op_loss_spec spec_of(enum op_loss_type type, enum op_divergence d)
{
    return (struct op_loss_spec){.terms = {{type, 1.0}},
                                 .n_terms = 1,
                                 .discopop_tau = 0.05,
                                 .divergence = d,
                                 .label_smoothing = 0.1,
                                 .alpha = 0.5};
}

// ---- The oracle -------------------------------------------------------------------------------

static void numbers(const cJSON *list, double *out)
{
    const cJSON *v;
    assert_non_null(list);
    cJSON_ArrayForEach(v, list) *out++ = v->valuedouble;
}

static enum op_loss_type type_of(const char *name)
{
    enum op_loss_type t = 0;
    const size_t n = strcspn(name, "+"),
                 cut = strstr(name, "_eps") ? (size_t) (strstr(name, "_eps") - name) : n;
    while (t < OP_LOSS_TYPES &&
           (strlen(op_loss_name(t)) != cut || strncmp(op_loss_name(t), name, cut) != 0))
        t++;
    assert_true(t < OP_LOSS_TYPES);
    return t;
}

static enum op_divergence divergence_of(const char *name)
{
    enum op_divergence d = 0;
    while (d < OP_DIVERGENCES && strcmp(op_divergence_name(d), name) != 0)
        d++;
    assert_true(d < OP_DIVERGENCES);
    return d;
}

// Read back from host:f64, so nothing is rounded.
static void read_all(struct rt_buf *b, uint64_t n, double *out)
{
    T_OK(rt_buf_read(b, 0, n, RT_F64, out));
}

// Every loss against numbers that TRL's formulas gave in float64
// (tests/golden/losses/vectors.json). aot lists its losses in the order of ranks, so its mean is
// compared.
static void oracle_vectors(struct t *t)
{
    cJSON *root;
    const cJSON *v;
    double x[4][8], len[8], want[4], want_d[8], got[4], got_d[8];
    T_OK(fmt_json_read(golden_own_path("losses/vectors.json"), &root));
    const cJSON *in = cJSON_GetObjectItem(root, "inputs");
    numbers(cJSON_GetObjectItem(in, "chosen_logps"), x[0]);
    numbers(cJSON_GetObjectItem(in, "rejected_logps"), x[0] + 4);
    numbers(cJSON_GetObjectItem(in, "ref_chosen_logps"), x[1]);
    numbers(cJSON_GetObjectItem(in, "ref_rejected_logps"), x[1] + 4);
    numbers(cJSON_GetObjectItem(in, "len_chosen"), len);
    numbers(cJSON_GetObjectItem(in, "len_rejected"), len + 4);
    cJSON_ArrayForEach(v, cJSON_GetObjectItem(root, "outputs"))
    {
        struct input i = {spec_of(type_of(v->string), 0), 4, x[0], x[1], len, NULL, 0.1, 1.0, 0.0};
        struct rt_buf *loss, *dlogp;
        double mean = 0.0;
        i.spec.label_smoothing = cJSON_GetObjectItem(v, "eps")->valuedouble;
        if (strchr(v->string, '+'))
            i.spec.divergence = divergence_of(strchr(v->string, '+') + 1);
        record(t, t_ref(t), &i, &loss, &dlogp);
        read_all(loss, 4, got);
        read_all(dlogp, 8, got_d);
        numbers(cJSON_GetObjectItem(v, "loss"), want);
        memcpy(want_d, got_d, sizeof(want_d));
        if (cJSON_GetObjectItem(v, "dpc")) { // not of aot
            numbers(cJSON_GetObjectItem(v, "dpc"), want_d);
            numbers(cJSON_GetObjectItem(v, "dpr"), want_d + 4);
        }
        for (int k = 0; k < 4; k++) {
            mean += got[k] / 4.0;
            // beta and the constants are f32 parameters: 2^-24 of numbers up to 1e2
            if (!op_loss_needs_batch(i.spec.terms[0].type) &&
                !(fabs(got[k] - want[k]) <= 3e-6 + 1e-6 * fabs(want[k])))
                fail_msg("%s: loss of pair %d is %.9g, TRL's %.9g", v->string, k, got[k], want[k]);
        }
        for (int k = 0; k < 8; k++)
            if (!(fabs(got_d[k] - want_d[k]) <= 1e-6 + 1e-6 * fabs(want_d[k])))
                fail_msg("%s: gradient %d is %.9g, TRL's %.9g", v->string, k, got_d[k], want_d[k]);
        const double m = cJSON_GetObjectItem(v, "mean")->valuedouble;
        if (!(fabs(mean - m) <= 3e-6 + 1e-6 * fabs(m)))
            fail_msg("%s: the mean is %.9g, TRL's %.9g", v->string, mean, m);
        t_reset(t);
    }
    cJSON_Delete(root);
}

// ---- The oracle against TRL's own _compute_loss (tests/golden/losses/compute_loss.json) -------

enum { SEQS = 4, LEN = 8, WORDS = 11 }; // two pairs: both chosen, then both rejected

struct logits {
    double x[SEQS][LEN][WORDS], logp[SEQS][LEN], p[SEQS][LEN][WORDS],
        log_p2[SEQS][LEN]; // at t: of token t + 1
    int id[SEQS][LEN], mask[SEQS][LEN];
};

static const cJSON *at(const cJSON *list, int i)
{
    return cJSON_GetArrayItem(list, i);
}

static void read_logits(const cJSON *root, const char *key, struct logits *l)
{
    for (int s = 0; s < SEQS; s++)
        for (int i = 0; i < LEN; i++) {
            l->id[s][i] = at(at(cJSON_GetObjectItem(root, "input_ids"), s), i)->valueint;
            l->mask[s][i] = at(at(cJSON_GetObjectItem(root, "completion_mask"), s), i)->valueint;
            numbers(at(at(cJSON_GetObjectItem(root, key), s), i), l->x[s][i]);
        }
    for (int s = 0; s < SEQS; s++)
        for (int i = 0; i + 1 < LEN; i++) {
            double sum = 0.0, squares = 0.0;
            for (int v = 0; v < WORDS; v++)
                sum += exp(l->x[s][i][v]);
            for (int v = 0; v < WORDS; v++) {
                l->p[s][i][v] = exp(l->x[s][i][v]) / sum;
                squares += l->p[s][i][v] * l->p[s][i][v];
            }
            l->logp[s][i] = l->x[s][i][l->id[s][i + 1]] - log(sum);
            l->log_p2[s][i] = log(squares);
        }
}

static int scored(const struct logits *l, int s)
{
    int n = 0;
    for (int i = 1; i < LEN; i++)
        n += l->mask[s][i];
    return n;
}

// ld_alpha of the tokens beyond the shorter completion of the pair, else 1.
static double token_weight(const struct logits *l, int s, int i, double ld_alpha)
{
    const int other = (s + 2) % SEQS,
              shorter = scored(l, s) < scored(l, other) ? scored(l, s) : scored(l, other);
    int before = 0;
    for (int k = 1; k <= i; k++)
        before += l->mask[s][k];
    return before < shorter ? 1.0 : ld_alpha;
}

static void sums(const struct logits *l, double ld_alpha, double *logp)
{
    for (int s = 0; s < SEQS; s++)
        for (int i = 0; i + 1 < LEN; i++)
            logp[s] += l->mask[s][i + 1] ? token_weight(l, s, i, ld_alpha) * l->logp[s][i] : 0.0;
}

static double config_num(const cJSON *config, const char *key, double def)
{
    return cJSON_GetObjectItem(config, key) ? cJSON_GetObjectItem(config, key)->valuedouble : def;
}

static struct op_loss_spec config_spec(const cJSON *config)
{
    const cJSON *types = cJSON_GetObjectItem(config, "loss_types"),
                *weights = cJSON_GetObjectItem(config, "loss_weights"), *v;
    const cJSON *d = cJSON_GetObjectItem(config, "f_divergence_type");
    struct op_loss_spec s = {.discopop_tau = 0.05,
                             .alpha = 0.5,
                             .label_smoothing = config_num(config, "label_smoothing", 0.0),
                             .divergence = d ? divergence_of(d->valuestring) : OP_REVERSE_KL};
    cJSON_ArrayForEach(v, types) s.terms[s.n_terms++] =
        (struct op_loss_term){type_of(v->valuestring), 1.0};
    for (uint32_t i = 0; weights && i < s.n_terms; i++)
        s.terms[i].weight = at(weights, (int) i)->valuedouble;
    return s;
}

// Largest distance from TRL's dloss/dlogits, and the largest of them.
static double gradient_distance(const cJSON *grad, const struct logits *l, double ld_alpha,
                                const double *dlogp, double *most)
{
    double worst = 0.0, g[WORDS];
    *most = 0.0;
    for (int s = 0; s < SEQS; s++)
        for (int i = 0; i + 1 < LEN; i++) {
            const double d = l->mask[s][i + 1] * token_weight(l, s, i, ld_alpha) * dlogp[s];
            numbers(at(at(grad, s), i), g);
            for (int v = 0; v < WORDS; v++) {
                *most = fmax(*most, fabs(g[v]));
                worst = fmax(worst, fabs(d * ((l->id[s][i + 1] == v) - l->p[s][i][v]) - g[v]));
            }
        }
    return worst;
}

// TRL's f32 is 4e-6 of the loss and of the largest gradient away.
static void trl_case(struct t *t, const cJSON *c, const struct logits *policy,
                     const struct logits *reference, double beta)
{
    const cJSON *config = cJSON_GetObjectItem(c, "config");
    const double ld = config_num(config, "ld_alpha", 1.0),
                 want = cJSON_GetObjectItem(c, "loss")->valuedouble;
    double logp[SEQS] = {0}, ref[SEQS] = {0}, len[SEQS], log_weight[SEQS] = {0}, got[2], d[SEQS],
           most;
    struct rt_buf *loss, *dlogp;
    char *text = cJSON_PrintUnformatted(config);
    sums(policy, ld, logp);
    sums(reference, ld, ref);
    for (int s = 0; s < SEQS; s++) {
        len[s] = scored(policy, s) + policy->mask[s][0];
        for (int i = 0; i + 1 < LEN; i++)
            log_weight[s] += policy->mask[s][i + 1] * (policy->logp[s][i] - policy->log_p2[s][i]) /
                             scored(policy, s);
    }
    const struct input in = {config_spec(config),
                             2,
                             logp,
                             ref,
                             len,
                             cJSON_IsTrue(cJSON_GetObjectItem(config, "use_weighting")) ? log_weight
                                                                                        : NULL,
                             config_num(config, "beta", beta),
                             0.5,
                             2.0 / (scored(policy, 0) + scored(policy, 1))};
    record(t, t_ref(t), &in, &loss, &dlogp);
    read_all(loss, 2, got);
    read_all(dlogp, SEQS, d);
    if (!(fabs((got[0] + got[1]) / 2.0 - want) <= 1e-5 * fabs(want)))
        fail_msg("%s: the loss is %.9g, TRL's %.9g", text, (got[0] + got[1]) / 2.0, want);
    const double worst = gradient_distance(cJSON_GetObjectItem(c, "grad"), policy, ld, d, &most);
    if (!(worst <= 1e-5 * most))
        fail_msg("%s: a gradient is %.3g beside TRL's, of at most %.3g", text, worst, most);
    cJSON_free(text);
    t_reset(t);
}

static void oracle_trl(struct t *t)
{
    static struct logits policy, reference;
    cJSON *root;
    const cJSON *c;
    T_OK(fmt_json_read(golden_own_path("losses/compute_loss.json"), &root));
    read_logits(root, "policy_logits", &policy);
    read_logits(root, "ref_logits", &reference);
    cJSON_ArrayForEach(c, cJSON_GetObjectItem(root, "cases"))
        trl_case(t, c, &policy, &reference, cJSON_GetObjectItem(root, "beta")->valuedouble);
    cJSON_Delete(root);
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
    for (int i = 0; i < 2 * N; i++)
        x[i] = nearbyint(x[i] / h) * h;
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
    T_OK(op_loss_unfold(cmd, t_buf(t, t_dev(t), RT_F32, x, n), dx, n, 0.25));
    T_OK(rt_cmd_wait(&cmd));
    for (uint32_t i = 0; i < n; i++)
        want[i] = x[2 * i] + 0.25 * x[2 * i + 1];
    t_close_to(t, "fold", y, want, n, tol);
    for (uint32_t i = 0; i < 2 * n; i++)
        want[i] = i % 2 ? 0.25 * x[i / 2] : x[i / 2];
    t_close_to(t, "unfold", dx, want, 2 * n, tol);
    T_ERR(RT_E_ARG, op_loss_fold(NULL, dx, y, 0, 0.25));
    T_ERR(RT_E_ARG, op_loss_unfold(NULL, y, dx, n, (double) NAN));
    T_ERR(RT_E_SHAPE, op_loss_fold(NULL, y, y, n + T_GUARD, 0.25));
    T_ERR(RT_E_SHAPE, op_loss_unfold(NULL, y, y, n + T_GUARD, 0.25));
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
    const struct op_loss_args good = {&s, b, b, b, b, u, b, b, 34, 0.1, 1.0, 1.0};
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
    oracle_vectors(t);
    oracle_trl(t);
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
