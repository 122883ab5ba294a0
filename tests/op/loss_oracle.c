// The loss's oracle against what TRL computes.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/format/json.h"
#include "tests/op/losses.h"
#include "tests/support/golden.h"

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

// cdpo, simpo and orpo against what TRL's CPOTrainer, its ORPOTrainer and TRL 0.28's formula gave
// (tests/golden/losses/relatives.json): saturated margins among them. TRL's ORPO computes in f32:
// 2^-22 of log-odds up to 40.
static void oracle_relatives(struct t *t)
{
    cJSON *root;
    const cJSON *c;
    double x[12], len[12], want[6], want_d[12], got[6], got_d[12], worst = 0.0;
    T_OK(fmt_json_read(golden_own_path("losses/relatives.json"), &root));
    numbers(cJSON_GetObjectItem(root, "logps"), x);
    numbers(cJSON_GetObjectItem(root, "lengths"), len);
    cJSON_ArrayForEach(c, cJSON_GetObjectItem(root, "cases"))
    {
        const char *name = cJSON_GetObjectItem(c, "type")->valuestring;
        double ref[12] = {0};
        struct input in = {spec_of(type_of(name), 0), 6, x, ref, len, NULL, 0.1, 1.0, 0.0};
        struct rt_buf *loss, *dlogp;
        in.beta = cJSON_GetObjectItem(c, "beta")->valuedouble;
        in.spec.label_smoothing = cJSON_GetObjectItem(c, "label_smoothing")->valuedouble;
        in.spec.simpo_gamma = cJSON_GetObjectItem(c, "simpo_gamma")->valuedouble;
        if (in.spec.terms[0].type == OP_LOSS_CDPO)
            numbers(cJSON_GetObjectItem(root, "ref_logps"), ref);
        record(t, t_ref(t), &in, &loss, &dlogp);
        read_all(loss, 6, got);
        read_all(dlogp, 12, got_d);
        numbers(cJSON_GetObjectItem(c, "loss"), want);
        numbers(cJSON_GetObjectItem(c, "dlogp"), want_d);
        for (int k = 0; k < 18; k++) {
            const double g = k < 6 ? got[k] : got_d[k - 6], w = k < 6 ? want[k] : want_d[k - 6];
            worst = fmax(worst, fabs(g - w) / fmax(1.0, fabs(w)));
            if (!(fabs(g - w) <= 1e-6 + 1e-5 * fabs(w)))
                fail_msg("%s, beta %g: %s %d is %.9g, TRL's %.9g", name, in.beta,
                         k < 6 ? "loss" : "gradient", k < 6 ? k : k - 6, g, w);
        }
        t_reset(t);
    }
    printf("cdpo, simpo, orpo: worst deviation from TRL %.2g\n", worst);
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
                     const struct logits *reference, double beta, double far[2])
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
    far[0] = fmax(far[0], fabs((got[0] + got[1]) / 2.0 - want) / fabs(want));
    far[1] = fmax(far[1], worst / most);
    cJSON_free(text);
    t_reset(t);
}

static void oracle_trl(struct t *t, const char *path)
{
    static struct logits policy, reference;
    cJSON *root;
    const cJSON *c;
    double far[2] = {0};
    T_OK(fmt_json_read(path, &root));
    read_logits(root, "policy_logits", &policy);
    read_logits(root, "ref_logits", &reference);
    cJSON_ArrayForEach(c, cJSON_GetObjectItem(root, "cases"))
        trl_case(t, c, &policy, &reference, cJSON_GetObjectItem(root, "beta")->valuedouble, far);
    printf("%d configurations of TRL's _compute_loss: worst relative deviation %.2g of a loss, "
           "%.2g of the largest gradient\n",
           cJSON_GetArraySize(cJSON_GetObjectItem(root, "cases")), far[0], far[1]);
    cJSON_Delete(root);
}

// The larger file that the repository's copy was cut from, where it is.
static void oracle_trl_shared(struct t *t)
{
    char path[1200];
    const char *goldens = os_env("ANYDPO_GOLDENS");
    snprintf(path, sizeof(path), "%s/../reference/trl_compute_loss.json", goldens ? goldens : ".");
    if (file_exists(path))
        oracle_trl(t, path);
    else
        printf("%s is not there: left out\n", path);
}

static void body(struct t *t)
{
    oracle_vectors(t);
    oracle_relatives(t);
    oracle_trl(t, golden_own_path("losses/compute_loss.json"));
    oracle_trl_shared(t);
}

int main(void)
{
    return t_each_device(body);
}
