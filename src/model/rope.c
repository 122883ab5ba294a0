// Rotation frequencies: reading their parameters, and computing them.
#include "src/model/rope.h"

#include <math.h>
#include <string.h>

#include "src/base/arith.h"

// ---- Reading ----------------------------------------------------------------------------------

static const struct {
    const char *name;
    enum md_rope_scaling scaling;
} TYPES[] = {
    {"default", MD_ROPE_DEFAULT}, {"linear", MD_ROPE_LINEAR}, {"dynamic", MD_ROPE_DYNAMIC},
    {"llama3", MD_ROPE_LLAMA3},   {"yarn", MD_ROPE_YARN},     {"longrope", MD_ROPE_LONGROPE},
    {"su", MD_ROPE_LONGROPE}, // Phi-3's first releases
};

static enum rt_err read_type(const struct fmt_json *j, enum md_rope_scaling *out)
{
    enum rt_err err = RT_OK;
    const char *type = NULL, *old = NULL;

    RT_TRY(fmt_json_str_or(j, "type", "default", &old)); // transformers < 4.45
    RT_TRY(fmt_json_str_or(j, "rope_type", old, &type));
    for (size_t i = 0; i < COUNT_OF(TYPES); i++)
        if (strcmp(TYPES[i].name, type) == 0) {
            *out = TYPES[i].scaling;
            goto done;
        }
    RT_TRY(rt_fail(RT_E_UNSUPPORTED,
                   "%s: rope type \"%s\" is not supported; known: default, linear, dynamic, "
                   "llama3, yarn, longrope",
                   j->where, type));
done:
    return err;
}

static enum rt_err read_factors(const struct fmt_json *j, const char *key, uint32_t n, double *out)
{
    enum rt_err err = RT_OK;
    const cJSON *v = fmt_json_get(j, key), *item;
    uint32_t i = 0;

    if (!cJSON_IsArray(v) || cJSON_GetArraySize(v) != (int) n)
        RT_TRY(rt_fail(RT_E_FORMAT, "%s: rope %s: expected %u numbers, one a pair of a head",
                       j->where, key, n));
    cJSON_ArrayForEach(item, v)
    {
        if (!cJSON_IsNumber(item) || !(item->valuedouble > 0.0))
            RT_TRY(rt_fail(RT_E_FORMAT, "%s: rope %s: expected numbers > 0", j->where, key));
        out[i++] = item->valuedouble;
    }
done:
    return err;
}

static enum rt_err read_llama3(const struct fmt_json *j, struct md_rope *out)
{
    enum rt_err err = RT_OK;
    RT_TRY(fmt_json_num(j, "low_freq_factor", &out->low_freq_factor));
    RT_TRY(fmt_json_num(j, "high_freq_factor", &out->high_freq_factor));
    if (!(out->high_freq_factor > out->low_freq_factor))
        RT_TRY(rt_fail(RT_E_FORMAT,
                       "%s: rope: expected high_freq_factor > low_freq_factor, found %g and %g",
                       j->where, out->high_freq_factor, out->low_freq_factor));
done:
    return err;
}

static double mscale(double factor, double m)
{
    return factor <= 1.0 ? 1.0 : 0.1 * m * log(factor) + 1.0;
}

static enum rt_err read_yarn(const struct fmt_json *j, struct md_rope *out)
{
    enum rt_err err = RT_OK;
    double m, all;
    RT_TRY(fmt_json_num_or(j, "beta_fast", 32.0, &out->beta_fast));
    RT_TRY(fmt_json_num_or(j, "beta_slow", 1.0, &out->beta_slow));
    RT_TRY(fmt_json_bool_or(j, "truncate", true, &out->truncate));
    RT_TRY(fmt_json_num_or(j, "mscale", 0.0, &m));
    RT_TRY(fmt_json_num_or(j, "mscale_all_dim", 0.0, &all));
    const double both = m > 0.0 && all > 0.0 ? mscale(out->factor, m) / mscale(out->factor, all)
                                             : mscale(out->factor, 1.0);
    RT_TRY(fmt_json_num_or(j, "attention_factor", both, &out->attention_factor));
done:
    return err;
}

static enum rt_err read_longrope(const struct fmt_json *j, uint32_t max_positions, uint32_t rot_dim,
                                 struct md_rope *out)
{
    enum rt_err err = RT_OK;
    double factor;
    RT_TRY(read_factors(j, "short_factor", rot_dim / 2, out->short_factor));
    RT_TRY(read_factors(j, "long_factor", rot_dim / 2, out->long_factor));
    RT_TRY(fmt_json_num_or(j, "factor", (double) max_positions / out->original_max_positions,
                           &factor));
    const double by_length =
        factor <= 1.0 ? 1.0 : sqrt(1.0 + log(factor) / log((double) out->original_max_positions));
    RT_TRY(fmt_json_num_or(j, "attention_factor", by_length, &out->attention_factor));
done:
    return err;
}

static enum rt_err read_scaling(const struct fmt_json *j, const struct md_arch *a,
                                uint32_t original, struct md_rope *out)
{
    enum rt_err err = RT_OK;

    RT_TRY(read_type(j, &out->scaling));
    if (out->scaling == MD_ROPE_DEFAULT)
        goto done;
    RT_TRY(fmt_json_u32_or(j, "original_max_position_embeddings", original,
                           &out->original_max_positions));
    if (out->original_max_positions < 2)
        RT_TRY(
            rt_fail(RT_E_FORMAT,
                    "%s: rope original_max_position_embeddings: expected a number >= 2, found %u",
                    j->where, out->original_max_positions));
    if (out->scaling == MD_ROPE_LONGROPE) {
        RT_TRY(read_longrope(j, a->max_positions, a->rot_dim, out));
        goto done;
    }
    RT_TRY(fmt_json_num(j, "factor", &out->factor));
    if (!(out->factor >= 1.0))
        RT_TRY(rt_fail(RT_E_FORMAT, "%s: rope factor: expected a number >= 1, found %g", j->where,
                       out->factor));
    if (out->scaling == MD_ROPE_LLAMA3)
        RT_TRY(read_llama3(j, out));
    if (out->scaling == MD_ROPE_YARN)
        RT_TRY(read_yarn(j, out));
done:
    return err;
}

enum rt_err md_rope_read(const struct fmt_json *j, const struct md_arch *a, uint32_t original,
                         double theta, struct md_rope *out)
{
    enum rt_err err = RT_OK;
    *out = (struct md_rope){.theta = theta};
    if (j->node) {
        RT_TRY(fmt_json_num_or(j, "rope_theta", theta, &out->theta));
        RT_TRY(read_scaling(j, a, original, out));
    }
    if (!(out->theta > 0.0))
        RT_TRY(rt_fail(RT_E_FORMAT, "%s: rope_theta: expected a number > 0, found %g", j->where,
                       out->theta));
done:
    return err;
}

// ---- Frequencies ------------------------------------------------------------------------------

static const double TWO_PI = 6.283185307179586;

static double llama3_frequency(const struct md_rope *r, double f)
{
    const double length = TWO_PI / f;
    const double low = r->original_max_positions / r->low_freq_factor;
    const double high = r->original_max_positions / r->high_freq_factor;
    if (length < high)
        return f;
    if (length > low)
        return f / r->factor;
    const double smooth = (r->original_max_positions / length - r->low_freq_factor) /
                          (r->high_freq_factor - r->low_freq_factor);
    return (1.0 - smooth) * f / r->factor + smooth * f;
}

// The pair that turns so many times in the original length.
static double yarn_pair(const struct md_rope *r, uint32_t rot_dim, double turns)
{
    return rot_dim * log(r->original_max_positions / (turns * TWO_PI)) / (2.0 * log(r->theta));
}

// Pairs below `low` keep their frequency, those above `high` are divided by the factor.
static double yarn_frequency(const struct md_rope *r, uint32_t rot_dim, uint32_t j, double f)
{
    double low = yarn_pair(r, rot_dim, r->beta_fast), high = yarn_pair(r, rot_dim, r->beta_slow);
    low = fmax(r->truncate ? floor(low) : low, 0.0);
    high = fmin(r->truncate ? ceil(high) : high, rot_dim - 1.0);
    if (!(high > low || high < low))
        high += 0.001;
    const double ramp = fmin(fmax((j - low) / (high - low), 0.0), 1.0);
    return ramp * f / r->factor + (1.0 - ramp) * f;
}

void md_rope_frequencies(const struct md_rope *r, uint32_t rot_dim, bool is_long, double *inv_freq)
{
    for (uint32_t j = 0; j < rot_dim / 2; j++) {
        const double f = pow(r->theta, -2.0 * j / rot_dim);
        switch (r->scaling) {
        case MD_ROPE_LINEAR:
            inv_freq[j] = f / r->factor;
            break;
        case MD_ROPE_LLAMA3:
            inv_freq[j] = llama3_frequency(r, f);
            break;
        case MD_ROPE_YARN:
            inv_freq[j] = yarn_frequency(r, rot_dim, j, f);
            break;
        case MD_ROPE_LONGROPE:
            inv_freq[j] = f / (is_long ? r->long_factor : r->short_factor)[j];
            break;
        default:
            inv_freq[j] = f;
        }
    }
}
