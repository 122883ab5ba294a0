#include "src/op/loss.h"

#include <math.h>
#include <string.h>

#include "src/base/arith.h"

const struct rt_kernel op_loss_kernel =
    OP_KERNEL(loss, "loss.comp", LOSS_BUFFERS, struct loss_params, op_loss_ref);
const struct rt_kernel op_loss_fold_kernel = OP_KERNEL(
    loss_fold, "loss_fold.comp", LOSS_FOLD_BUFFERS, struct loss_fold_params, op_loss_fold_ref);
const struct rt_kernel op_loss_unfold_kernel =
    OP_KERNEL(loss_unfold, "loss_unfold.comp", LOSS_UNFOLD_BUFFERS, struct loss_fold_params,
              op_loss_unfold_ref);

// What TRL calls a type, and whether a divergence's score is part of it.
static const struct {
    const char *name;
    bool divergence;
} TYPES[OP_LOSS_TYPES] = {
    [OP_LOSS_SIGMOID] = {"sigmoid", true},
    [OP_LOSS_HINGE] = {"hinge", true},
    [OP_LOSS_IPO] = {"ipo", true},
    [OP_LOSS_EXO_PAIR] = {"exo_pair", true},
    [OP_LOSS_ROBUST] = {"robust", true},
    [OP_LOSS_DISCOPOP] = {"discopop", true},
    [OP_LOSS_SIGMOID_NORM] = {"sigmoid_norm", true},
    [OP_LOSS_AOT] = {"aot", false},
    [OP_LOSS_AOT_UNPAIRED] = {"aot_unpaired", false},
    [OP_LOSS_CDPO] = {"cdpo", true},
    [OP_LOSS_SIMPO] = {"simpo", false},
    [OP_LOSS_NCA_PAIR] = {"nca_pair", false},
    [OP_LOSS_BCO_PAIR] = {"bco_pair", false},
    [OP_LOSS_SPPO_HARD] = {"sppo_hard", false},
    [OP_LOSS_APO_ZERO] = {"apo_zero", false},
    [OP_LOSS_APO_DOWN] = {"apo_down", false},
    [OP_LOSS_SFT] = {"sft", true},
    [OP_LOSS_ORPO] = {"orpo", false},
};

const char *op_loss_name(enum op_loss_type t)
{
    return TYPES[t].name;
}

bool op_loss_takes_divergence(enum op_loss_type t)
{
    return TYPES[t].divergence;
}

bool op_loss_needs_batch(enum op_loss_type t)
{
    return t == OP_LOSS_AOT || t == OP_LOSS_AOT_UNPAIRED;
}

bool op_loss_is_alone(enum op_loss_type t)
{
    return t == OP_LOSS_SIMPO || t == OP_LOSS_ORPO;
}

bool op_loss_has(const struct op_loss_spec *spec, enum op_loss_type t)
{
    for (uint32_t i = 0; i < spec->n_terms; i++)
        if (spec->terms[i].type == t)
            return true;
    return false;
}

const char *op_divergence_name(enum op_divergence d)
{
    static const char *const NAMES[OP_DIVERGENCES] = {"reverse_kl", "forward_kl", "js_divergence",
                                                      "alpha_divergence"};
    return NAMES[d];
}

// ---- Oracle -----------------------------------------------------------------------------------

static double softplus(double x)
{
    return fmax(x, 0.0) + log1p(exp(-fabs(x)));
}

static double sigmoid(double x)
{
    return x >= 0.0 ? 1.0 / (1.0 + exp(-x)) : exp(x) / (1.0 + exp(x));
}

static double cut_exp(double x)
{
    return exp(fmin(x, (double) LOSS_EXP_MAX));
}

// A function's value and derivative.
struct dual {
    double value, slope;
};

static struct dual score(const struct loss_params *p, double rho)
{
    const double k = (double) p->alpha - 1.0, most = (double) LOSS_EXP_MAX,
                 cut = p->type == LOSS_IPO ? most / 2.0 : most;
    const double e = exp(fmin(p->divergence == LOSS_ALPHA ? k * rho : -rho, cut));
    switch (p->divergence) {
    case LOSS_FORWARD_KL:
        return (struct dual){1.0 - e, e};
    case LOSS_JS:
        return (struct dual){log(2.0) - softplus(-rho), sigmoid(-rho)};
    case LOSS_ALPHA:
        return (struct dual){(e - 1.0) / k, k * rho > most ? 0.0 : e};
    default:
        return (struct dual){rho, 1.0};
    }
}

static struct dual logistic(double keep, double flip, double z)
{
    return (struct dual){keep * softplus(-z) + flip * softplus(z),
                         flip * sigmoid(z) - keep * sigmoid(-z)};
}

static struct dual exo_pair(const struct loss_params *p, double z)
{
    const double keep = (double) p->c0, flip = (double) p->c1, s = sigmoid(z), t = sigmoid(-z);
    return (struct dual){s * (-softplus(-z) - keep) + t * (-softplus(z) - flip),
                         s * t * (z - (keep - flip))};
}

static struct dual discopop(const struct loss_params *p, double z)
{
    const double y = z * (double) p->c0, m = sigmoid(y), em = cut_exp(-z - softplus(-y));
    return (struct dual){softplus(-z) * sigmoid(-y) + em,
                         -sigmoid(-z) * sigmoid(-y) - em +
                             sigmoid(-y) * (double) p->c0 * (em - m * softplus(-z))};
}

// Derivatives are by x, not by z.
static struct dual of_margin(const struct loss_params *p, double x)
{
    const double beta = (double) p->beta, z = beta * x, u = x - (double) p->c0;
    struct dual d;
    switch (p->type) {
    case LOSS_IPO:
        return (struct dual){u * u, 2.0 * u};
    case LOSS_HINGE:
        d = (struct dual){fmax(1.0 - z, 0.0), z < 1.0 ? -1.0 : 0.0};
        break;
    case LOSS_EXO_PAIR:
        d = exo_pair(p, z);
        break;
    case LOSS_DISCOPOP:
        d = discopop(p, z);
        break;
    default:
        d = logistic((double) p->c0, (double) p->c1, z);
    }
    d.slope *= beta;
    return d;
}

// sign: 1 of the chosen side, -1 of the rejected.
static struct dual of_side(const struct loss_params *p, double rho, double sign)
{
    const double beta = (double) p->beta, y = beta * rho, u = rho - sign * (double) p->c0;
    struct dual d;
    if (p->type == LOSS_SPPO_HARD)
        return (struct dual){u * u, 2.0 * u};
    if (p->type == LOSS_APO_ZERO)
        d = (struct dual){sigmoid(-sign * y), -sign * sigmoid(y) * sigmoid(-y)};
    else
        d = sign > 0.0 ? logistic(1.0, (double) p->c0, y) : logistic(0.0, (double) p->c1, y);
    d.slope *= beta;
    return d;
}

// Value, derivative by the chosen log-prob, by the rejected one.
struct pair {
    double value, chosen, rejected;
};

static struct dual log_odds(double mean)
{
    const double least = (double) LOSS_ORPO_MIN, t = fmax(-mean, least), rest = -expm1(-t);
    return (struct dual){-t - log(rest), -mean > least ? 1.0 / rest : 0.0};
}

static struct pair odds_ratio(const struct loss_params *p, double logp_c, double logp_r,
                              double len_c, double len_r)
{
    const double beta = (double) p->beta, sft = (double) p->c0;
    const struct dual c = log_odds(logp_c / len_c), r = log_odds(logp_r / len_r);
    const double y = c.value - r.value, slope = beta * sigmoid(-y);
    return (struct pair){beta * softplus(-y) - logp_c * sft, -slope * c.slope / len_c - sft,
                         slope * r.slope / len_r};
}

static struct pair pair_loss(const struct loss_params *p, double rho_c, double rho_r, double len_c,
                             double len_r)
{
    if (p->type == LOSS_APO_DOWN) {
        const double beta = (double) p->beta, y = beta * rho_c, z = beta * (rho_c - rho_r);
        const double slope = beta * sigmoid(z) * sigmoid(-z);
        return (struct pair){sigmoid(y) + sigmoid(-z), beta * sigmoid(y) * sigmoid(-y) - slope,
                             slope};
    }
    if (p->type == LOSS_ORPO)
        return odds_ratio(p, rho_c, rho_r, len_c, len_r);
    if (p->type >= LOSS_OF_MARGIN) {
        const struct dual c = of_side(p, rho_c, 1.0), r = of_side(p, rho_r, -1.0);
        return (struct pair){c.value + r.value, c.slope, r.slope};
    }
    const bool norm = p->type == LOSS_IPO || p->type == LOSS_SIGMOID_NORM || p->type == LOSS_SIMPO;
    const double by_c = norm ? 1.0 / len_c : 1.0, by_r = norm ? 1.0 / len_r : 1.0;
    const struct dual a = score(p, rho_c), b = score(p, rho_r),
                      d = of_margin(p, a.value * by_c - b.value * by_r - (double) p->shift);
    return (struct pair){d.value, d.slope * by_c * a.slope, -d.slope * by_r * b.slope};
}

static void add(const struct loss_params *p, const struct rt_host_buf *to, uint64_t i, double x)
{
    rt_host_store(to, i, (p->first ? 0.0 : rt_host_load(to, i)) + x);
}

void op_loss_ref(const struct rt_host_call *call)
{
    const struct loss_params *p = call->params;
    const struct rt_host_buf *logp = &call->bufs[0], *ref = &call->bufs[1], *len = &call->bufs[2],
                             *lw = &call->bufs[3];
    const uint32_t *partner = call->bufs[4].data, n = p->n_pairs;

    for (uint32_t i = 0; i < n; i++) {
        const uint32_t c_ref = p->type == LOSS_AOT ? partner[i] : i;
        const uint32_t j = n + (p->type == LOSS_AOT_UNPAIRED ? partner[n + i] : i);
        const uint32_t j_ref = p->type == LOSS_AOT ? n + c_ref : j;
        const double chosen = rt_host_load(logp, i);
        const bool alone = op_loss_is_alone((enum op_loss_type) p->type);
        const double ref_c = alone ? 0.0 : rt_host_load(ref, c_ref),
                     ref_r = alone ? 0.0 : rt_host_load(ref, j_ref);
        const double w =
            (double) p->weight *
            (p->weighted ? cut_exp(rt_host_load(lw, i) + rt_host_load(lw, n + i)) : 1.0);
        const double g = w * (double) p->grad_scale, sft = (double) p->c0;
        const struct pair d = p->type == LOSS_SFT
                                  ? (struct pair){-chosen * sft, -sft, 0.0}
                                  : pair_loss(p, chosen - ref_c, rt_host_load(logp, j) - ref_r,
                                              rt_host_load(len, i), rt_host_load(len, j));
        add(p, &call->bufs[5], i, w * d.value);
        add(p, &call->bufs[6], i, g * d.chosen);
        add(p, &call->bufs[6], j, g * d.rejected);
    }
}

// ---- Dispatch ---------------------------------------------------------------------------------

// c0 and c1 of a term, as the kernel's formulas want them.
static enum rt_err constants(const struct op_loss_args *a, enum op_loss_type type, double c[2])
{
    enum rt_err err = RT_OK;
    const double e = a->spec->label_smoothing, tau = a->spec->discopop_tau,
                 half = 1.0 / (2.0 * a->beta);
    const double shared = 1.0 - 2.0 * e; // of robust
    const double table[OP_LOSS_TYPES][2] = {
        [OP_LOSS_SIGMOID] = {1.0, 0.0},
        [OP_LOSS_SIGMOID_NORM] = {1.0, 0.0},
        [OP_LOSS_IPO] = {half, 0.0},
        [OP_LOSS_EXO_PAIR] = {log1p(-e), log(e)},
        [OP_LOSS_ROBUST] = {(1.0 - e) / shared, -e / shared},
        [OP_LOSS_DISCOPOP] = {1.0 / tau, 0.0},
        [OP_LOSS_AOT] = {1.0 - e, e},
        [OP_LOSS_AOT_UNPAIRED] = {1.0 - e, e},
        [OP_LOSS_CDPO] = {1.0 - e, e},
        [OP_LOSS_SIMPO] = {1.0 - e, e},
        [OP_LOSS_NCA_PAIR] = {0.5, 0.5},
        [OP_LOSS_BCO_PAIR] = {0.0, 1.0},
        [OP_LOSS_SPPO_HARD] = {half, 0.0},
        [OP_LOSS_SFT] = {a->sft_scale, 0.0},
        [OP_LOSS_ORPO] = {a->sft_scale, 0.0},
    };

    c[0] = c[1] = 0.0;
    RT_REQUIRE(type < OP_LOSS_TYPES, RT_E_ARG);
    for (size_t i = 0; i < 2; i++) {
        c[i] = table[type][i];
        RT_REQUIRE(isfinite((float) c[i]),
                   RT_E_ARG); // e, tau or sft_scale is out of the type's range
    }
    RT_REQUIRE(type != OP_LOSS_DISCOPOP || tau > 0.0, RT_E_ARG);
done:
    return err;
}

static enum rt_err check(const struct op_loss_args *a)
{
    enum rt_err err = RT_OK;
    const uint64_t n = a->n_pairs;

    RT_REQUIRE(n >= 1 && n <= INT32_MAX, RT_E_ARG);
    RT_REQUIRE(isfinite(a->beta) && a->beta > 0.0 && isfinite(a->grad_scale), RT_E_ARG);
    RT_REQUIRE(a->spec->n_terms <= OP_LOSS_TERMS && a->spec->divergence < OP_DIVERGENCES, RT_E_ARG);
    RT_REQUIRE(isfinite(a->spec->alpha) && isfinite(a->spec->simpo_gamma), RT_E_ARG);
    RT_REQUIRE(rt_buf_holds(a->logp, RT_F32, 2 * n) && rt_buf_holds(a->ref_logp, RT_F32, 2 * n),
               RT_E_SHAPE);
    RT_REQUIRE(rt_buf_holds(a->len, RT_F32, 2 * n) && rt_buf_holds(a->partner, RT_U32, 2 * n),
               RT_E_SHAPE);
    RT_REQUIRE(!a->sft_logp || rt_buf_holds(a->sft_logp, RT_F32, 2 * n), RT_E_SHAPE);
    RT_REQUIRE(!a->log_weight || rt_buf_holds(a->log_weight, RT_F32, 2 * n), RT_E_SHAPE);
    RT_REQUIRE(rt_buf_holds(a->loss, RT_F32, n) && rt_buf_holds(a->dlogp, RT_F32, 2 * n),
               RT_E_SHAPE);
done:
    return err;
}

static enum rt_err term(struct rt_cmd *cmd, const struct op_loss_args *a, struct op_loss_term t,
                        bool first)
{
    enum rt_err err = RT_OK;
    const struct op_loss_spec *s = a->spec;
    const bool plain = (s->divergence == OP_ALPHA_DIVERGENCE && fabs(s->alpha - 1.0) < 1e-6) ||
                       op_loss_needs_batch(t.type) || op_loss_is_alone(t.type);
    const bool apart = a->sft_logp && t.type == OP_LOSS_SFT;
    double c[2];

    RT_REQUIRE(isfinite(t.weight), RT_E_ARG);
    RT_TRY(constants(a, t.type, c));
    const struct loss_params p = {
        .n_pairs = a->n_pairs,
        .type = t.type,
        .first = first,
        .weighted = a->log_weight != NULL,
        .divergence = plain ? OP_REVERSE_KL : s->divergence,
        .beta = (float) a->beta,
        .weight = (float) t.weight,
        .grad_scale = apart ? 0.0f : (float) a->grad_scale,
        .alpha = (float) s->alpha,
        .c0 = (float) c[0],
        .c1 = (float) c[1],
        .shift = t.type == OP_LOSS_SIMPO ? (float) (s->simpo_gamma / a->beta) : 0.0f};
    RT_TRY(rt_cmd_dispatch(
        cmd, &(struct rt_dispatch_desc){
                 .kernel = "loss",
                 .items = a->n_pairs,
                 .bufs = {RT_IN(apart ? a->sft_logp : a->logp), RT_IN(a->ref_logp), RT_IN(a->len),
                          RT_IN(a->log_weight ? a->log_weight : a->len), RT_IN(a->partner),
                          RT_INOUT(a->loss), RT_INOUT(a->dlogp)},
                 .params = &p,
                 .params_size = sizeof(p)}));
done:
    return err;
}

enum rt_err op_loss(struct rt_cmd *cmd, const struct op_loss_args *a)
{
    enum rt_err err = RT_OK;

    RT_TRY(check(a));
    if (a->spec->n_terms == 0)
        RT_TRY(term(cmd, a, (struct op_loss_term){OP_LOSS_SIGMOID, 1.0}, true));
    for (uint32_t i = 0; i < a->spec->n_terms; i++)
        RT_TRY(term(cmd, a, a->spec->terms[i], i == 0));
done:
    return err;
}

double op_loss_sft_slope(const struct op_loss_spec *spec, double grad_scale, double sft_scale)
{
    double slope = 0.0;
    for (uint32_t i = 0; i < spec->n_terms; i++)
        if (spec->terms[i].type == OP_LOSS_SFT)
            slope -= spec->terms[i].weight * grad_scale * sft_scale;
    return slope;
}

// ---- Heads and tails --------------------------------------------------------------------------

void op_loss_fold_ref(const struct rt_host_call *call)
{
    const struct loss_fold_params *p = call->params;
    for (uint64_t s = 0; s < p->n_seqs; s++)
        rt_host_store(&call->bufs[1], s,
                      rt_host_load(&call->bufs[0], 2 * s) +
                          (double) p->tail * rt_host_load(&call->bufs[0], 2 * s + 1));
}

void op_loss_unfold_ref(const struct rt_host_call *call)
{
    const struct loss_fold_params *p = call->params;
    for (uint64_t s = 0; s < p->n_seqs; s++) {
        const double more = s < p->n_seqs / 2 ? (double) p->plain : 0.0;
        rt_host_store(&call->bufs[1], 2 * s, rt_host_load(&call->bufs[0], s) + more);
        rt_host_store(&call->bufs[1], 2 * s + 1,
                      (double) p->tail * rt_host_load(&call->bufs[0], s) + more);
    }
}

static enum rt_err fold(struct rt_cmd *cmd, const char *kernel, const struct rt_buf *in,
                        struct rt_buf *out, const struct loss_fold_params *p)
{
    enum rt_err err = RT_OK;
    const uint32_t n = p->n_seqs;
    RT_REQUIRE(n >= 1 && n <= 1u << 30 && isfinite(p->tail) && isfinite(p->plain), RT_E_ARG);
    RT_TRY(rt_cmd_dispatch(cmd, &(struct rt_dispatch_desc){.kernel = kernel,
                                                           .items = n,
                                                           .bufs = {RT_IN(in), RT_OUT(out)},
                                                           .params = p,
                                                           .params_size = sizeof(*p)}));
done:
    return err;
}

enum rt_err op_loss_fold(struct rt_cmd *cmd, const struct rt_buf *x, struct rt_buf *y,
                         uint32_t n_seqs, double tail_weight)
{
    enum rt_err err = RT_OK;
    RT_REQUIRE(rt_buf_holds(x, RT_F32, 2 * (uint64_t) n_seqs) && rt_buf_holds(y, RT_F32, n_seqs),
               RT_E_SHAPE);
    err =
        fold(cmd, "loss_fold", x, y, &(struct loss_fold_params){n_seqs, (float) tail_weight, 0.0f});
done:
    return err;
}

enum rt_err op_loss_unfold(struct rt_cmd *cmd, const struct rt_buf *dy, struct rt_buf *dx,
                           uint32_t n_seqs, double tail_weight, double plain)
{
    enum rt_err err = RT_OK;
    RT_REQUIRE(rt_buf_holds(dy, RT_F32, n_seqs) && rt_buf_holds(dx, RT_F32, 2 * (uint64_t) n_seqs),
               RT_E_SHAPE);
    err = fold(cmd, "loss_unfold", dy, dx,
               &(struct loss_fold_params){n_seqs, (float) tail_weight, (float) plain});
done:
    return err;
}

// ---- Ranks ------------------------------------------------------------------------------------

static double key(const double *plus, const double *minus, uint32_t i)
{
    return plus[i] - minus[i];
}

// order[k] = the pair of rank k of plus[i] - minus[i]: merge sort, so equal keys keep their order.
// `other` is scratch, (n).
static void rank(uint32_t n, const double *plus, const double *minus, uint32_t *other,
                 uint32_t *order)
{
    for (uint32_t i = 0; i < n; i++)
        order[i] = i;
    for (uint64_t run = 1; run < n; run *= 2) {
        for (uint64_t first = 0; first < n; first += 2 * run) {
            const uint64_t mid = u64_min(first + run, n), end = u64_min(first + 2 * run, n);
            uint64_t a = first, b = mid;
            for (uint64_t to = first; to < end; to++) {
                const bool left =
                    a < mid &&
                    (b == end || !(key(plus, minus, order[b]) < key(plus, minus, order[a])));
                other[to] = order[left ? a++ : b++];
            }
        }
        memcpy(order, other, n * sizeof(*order));
    }
}

void op_loss_partners(uint32_t n, const double *logp, const double *ref_logp, uint32_t *scratch,
                      uint32_t *out)
{
    uint32_t *a = scratch, *b = scratch + n, *free = out + n; // free until the last lines
    rank(n, logp, logp + n, free, a);
    rank(n, ref_logp, ref_logp + n, free, b);
    for (uint32_t k = 0; k < n; k++)
        out[a[k]] = b[k];
    rank(n, logp, ref_logp, free, a);
    rank(n, logp + n, ref_logp + n, free, b);
    for (uint32_t k = 0; k < n; k++)
        out[n + a[k]] = b[k];
}
