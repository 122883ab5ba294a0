// shaders/loss.comp -- one term of the preference loss and its gradient, one lane a pair. Oracle: op_loss_ref().
#include "loss.h"
#define BUFFERS LOSS_BUFFERS
#define PARAMS LOSS_PARAMS
#define LOCALS
#include "kernel.h"

float softplus(float x) { return MAX(x, 0.0f) + log(1.0f + exp(-ABS(x))); }

float sigmoid(float x)
{
    const float e = exp(-ABS(x)); // in (0, 1]: no overflow
    return (x >= 0.0f ? 1.0f : e) / (1.0f + e);
}

// The functions below give (value, derivative).

// p softplus(-y) + q softplus(y)
vec2 logistic(float p, float q, float y)
{
    return vec2(p * softplus(-y) + q * softplus(y), q * sigmoid(y) - p * sigmoid(-y));
}

// `most`: exponents are cut there.
vec2 divergence_score(uint kind, float rho, float a, float most)
{
    if (kind == LOSS_FORWARD_KL) {
        const float e = exp(MIN(-rho, most));
        return vec2(1.0f - e, e);
    }
    if (kind == LOSS_JS)
        return vec2(0.693147181f - softplus(-rho), sigmoid(-rho));
    if (kind == LOSS_ALPHA) {
        const float k = a - 1.0f, t = k * rho, e = exp(MIN(t, most));
        return vec2((e - 1.0f) / k, t > LOSS_EXP_MAX ? 0.0f : e);
    }
    return vec2(rho, 1.0f);
}

vec2 exo_pair(float z, float log_keep, float log_flip)
{
    const float s = sigmoid(z), t = sigmoid(-z);
    return vec2(s * (-softplus(-z) - log_keep) + t * (-softplus(z) - log_flip), s * t * (z - (log_keep - log_flip)));
}

// e^-z m with m = sigmoid(z / tau) is one exponential, of an argument that is large for tau > 1 alone.
vec2 discopop(float z, float inv_tau)
{
    const float y = z * inv_tau, m = sigmoid(y), keep = sigmoid(-y), nats = softplus(-z);
    const float em = exp(MIN(-z - softplus(-y), LOSS_EXP_MAX));
    return vec2(nats * keep + em, keep * inv_tau * (em - m * nats) - sigmoid(-z) * keep - em);
}

vec2 of_margin(uint kind, float x, float b, float p, float q)
{
    const float z = b * x;
    vec2 r;
    if (kind == LOSS_IPO) {
        const float u = x - p;
        return vec2(u * u, 2.0f * u);
    }
    if (kind == LOSS_HINGE)
        r = vec2(MAX(1.0f - z, 0.0f), z < 1.0f ? -1.0f : 0.0f);
    else if (kind == LOSS_EXO_PAIR)
        r = exo_pair(z, p, q);
    else if (kind == LOSS_DISCOPOP)
        r = discopop(z, p);
    else
        r = logistic(p, q, z);
    return vec2(r.x, b * r.y);
}

vec2 of_side(uint kind, float rho, float sign, float b, float p, float q)
{
    const float y = b * rho;
    vec2 r;
    if (kind == LOSS_SPPO_HARD) {
        const float u = rho - sign * p;
        return vec2(u * u, 2.0f * u);
    }
    if (kind == LOSS_APO_ZERO)
        r = vec2(sigmoid(-sign * y), -sign * sigmoid(y) * sigmoid(-y));
    else if (sign > 0.0f)
        r = logistic(1.0f, p, y);
    else
        r = logistic(0.0f, q, y);
    return vec2(r.x, b * r.y);
}

// log(p / (1 - p)) of a mean log-prob, and its slope 1 / (1 - p). 1 - e^-t by its series where it cancels.
vec2 log_odds(float mean)
{
    const float t = MAX(-mean, LOSS_ORPO_MIN);
    const float near = t * (1.0f - t / 2.0f * (1.0f - t / 3.0f * (1.0f - t / 4.0f * (1.0f - t / 5.0f *
                       (1.0f - t / 6.0f * (1.0f - t / 7.0f * (1.0f - t / 8.0f)))))));
    const float rest = t < 0.5f ? near : 1.0f - exp(-t);
    return vec2(-t - log(rest), -mean > LOSS_ORPO_MIN ? 1.0f / rest : 0.0f);
}

KERNEL_BEGIN(loss)
    const uint i = GLOBAL_ID;
    if (i >= n_pairs)
        return; // no barrier follows

    // Who is compared: this pair, but for aot with another pair's reference, for aot_unpaired with another's rejected.
    const uint same = i + n_pairs;
    const uint c_ref = type == LOSS_AOT ? partner[i] : i;
    const uint j = type == LOSS_AOT_UNPAIRED ? partner[same] + n_pairs : same;
    const uint j_ref = type == LOSS_AOT ? c_ref + n_pairs : j;

    // `precise`: terms of ~1e2 nats differ by ~1e-1, so the compiler must not reassociate the
    // subtractions (Vulkan lets it by default).
    const bool alone = type == LOSS_SIMPO || type == LOSS_ORPO; // no reference
    precise float rho_c = logp[i] - (alone ? 0.0f : ref_logp[c_ref]);
    precise float rho_r = logp[j] - (alone ? 0.0f : ref_logp[j_ref]);
    float value = -logp[i] * c0, d_c = -c0, d_r = 0.0f; // sft, and orpo's share of it

    if (type < LOSS_OF_MARGIN) {
        const bool norm = type == LOSS_IPO || type == LOSS_SIGMOID_NORM || type == LOSS_SIMPO;
        const float by_c = norm ? 1.0f / len[i] : 1.0f, by_r = norm ? 1.0f / len[j] : 1.0f;
        const float most = type == LOSS_IPO ? 0.5f * LOSS_EXP_MAX : LOSS_EXP_MAX; // so that ipo's square is in f32's range
        const vec2 a = divergence_score(divergence, rho_c, alpha, most);
        const vec2 b = divergence_score(divergence, rho_r, alpha, most);
        precise float x = a.x * by_c - b.x * by_r - shift;
        const vec2 r = of_margin(type, x, beta, c0, c1);
        value = r.x;
        d_c = r.y * by_c * a.y;
        d_r = -r.y * by_r * b.y;
    } else if (type == LOSS_APO_DOWN) {
        precise float x = rho_c - rho_r;
        const float y = beta * rho_c, z = beta * x, slope = beta * sigmoid(z) * sigmoid(-z);
        value = sigmoid(y) + sigmoid(-z);
        d_c = beta * sigmoid(y) * sigmoid(-y) - slope;
        d_r = slope;
    } else if (type == LOSS_ORPO) {
        const float by_c = 1.0f / len[i], by_r = 1.0f / len[j];
        const vec2 c = log_odds(rho_c * by_c), r = log_odds(rho_r * by_r);
        precise float y = c.x - r.x;
        value += beta * softplus(-y);
        d_c -= beta * sigmoid(-y) * c.y * by_c;
        d_r = beta * sigmoid(-y) * r.y * by_r;
    } else if (type != LOSS_SFT) {
        const vec2 c = of_side(type, rho_c, 1.0f, beta, c0, c1), r = of_side(type, rho_r, -1.0f, beta, c0, c1);
        value = c.x + r.x;
        d_c = c.y;
        d_r = r.y;
    }

    const float w = weighted != 0u ? weight * exp(MIN(log_weight[i] + log_weight[same], LOSS_EXP_MAX)) : weight;
    const float g = grad_scale * w;
    loss[i] = (first != 0u ? 0.0f : loss[i]) + w * value;
    dlogp[i] = (first != 0u ? 0.0f : dlogp[i]) + g * d_c;
    dlogp[j] = (first != 0u ? 0.0f : dlogp[j]) + g * d_r;
KERNEL_END
