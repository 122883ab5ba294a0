#include "src/model/generate.h"

#include <math.h>
#include <stdlib.h>

#include "src/base/arith.h"

static uint32_t argmax(const float *x, uint32_t n)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < n; i++)
        if (x[i] > x[best])
            best = i;
    return best;
}

struct candidate {
    float logit;
    uint32_t id;
};

static int by_logit(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->logit > y->logit || x->logit < y->logit)
        return x->logit > y->logit ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

// Candidates in order of probability; how many of them top_k and top_p leave, and the sum of what
// they weigh.
static uint32_t keep(struct candidate *c, uint32_t n, const struct md_generate_args *a, double *sum)
{
    const double inv = 1.0 / (double) a->temperature;
    double all = 0.0;
    uint32_t k = a->top_k ? u32_min(a->top_k, n) : n;

    qsort(c, n, sizeof(*c), by_logit);
    for (uint32_t i = 0; i < k; i++)
        all += exp(((double) c[i].logit - (double) c[0].logit) * inv);
    *sum = 0.0;
    for (uint32_t i = 0; i < k; i++) {
        *sum += exp(((double) c[i].logit - (double) c[0].logit) * inv);
        if (*sum >= (double) a->top_p * all)
            k = i + 1;
    }
    return k;
}

uint32_t md_sample(float *logits, uint32_t n, const struct md_generate_args *a, struct rng *rng)
{
    struct candidate *c = a->temperature > 0.0f ? malloc(n * sizeof(*c)) : NULL;
    double sum, left;
    uint32_t id, k;

    if (!c) // greedy; also what is left when memory is gone
        return argmax(logits, n);
    for (uint32_t i = 0; i < n; i++)
        c[i] = (struct candidate){logits[i], i};
    k = keep(c, n, a, &sum);
    left = (double) rng_uniform(rng) * sum;
    id = c[k - 1].id;
    for (uint32_t i = 0; i < k; i++) {
        left -= exp(((double) c[i].logit - (double) c[0].logit) / (double) a->temperature);
        if (left < 0.0) {
            id = c[i].id;
            break;
        }
    }
    free(c);
    return id;
}

// Run n tokens that begin at position `at`; the last one's logits go to `logits`.
static enum rt_err step(struct md_model *m, struct md_weights w, struct md_cache *cache,
                        const uint32_t *ids, uint32_t n, uint32_t *pos, float *logits)
{
    enum rt_err err = RT_OK;
    struct rt_cmd *cmd = NULL;
    const uint32_t at = cache->n, last = n - 1, zero = 0, starts[2] = {0, 1};
    const struct op_segment seg = {.q_begin = 0, .q_end = n, .k_begin = at};

    for (uint32_t i = 0; i < n; i++)
        pos[i] = at + i;
    RT_TRY(md_pass_load(m, &(struct md_batch){.n_tokens = n,
                                              .n_segments = 1,
                                              .n_rows = 1,
                                              .n_seqs = 1,
                                              .ids = ids,
                                              .pos = pos,
                                              .segs = &seg,
                                              .rows = &last,
                                              .targets = &zero,
                                              .seq_starts = starts}));
    RT_TRY(rt_cmd_create(m->dev, &cmd));
    RT_TRY(md_forward(m, cmd, w, cache));
    RT_TRY(rt_cmd_wait(&cmd));
    RT_TRY(md_logits(m, w, 0, logits));
    for (uint32_t v = 0; v < m->arch.vocab; v++)
        if (isnan(logits[v]))
            RT_TRY(rt_fail(RT_E_NUMERIC, "the logit of id %u after token %u is not a number", v,
                           at + n));
done:
    rt_cmd_destroy(&cmd);
    return err;
}

static bool stops(const struct md_generate_args *a, uint32_t id)
{
    for (uint32_t i = 0; i < a->n_stop; i++)
        if (a->stop[i] == id)
            return true;
    return false;
}

// Longer texts have other frequencies, and the keys that are held would need them too.
static enum rt_err check_longrope(const struct md_model *m, const struct md_generate_args *a)
{
    const uint32_t short_end = m->arch.rope.original_max_positions;
    if (m->arch.rope.scaling == MD_ROPE_LONGROPE && a->n_prompt <= short_end &&
        a->max_new_tokens > short_end - a->n_prompt)
        return rt_fail(RT_E_UNSUPPORTED,
                       "a text of %u tokens and %u new ones passes the %u up to which longrope has "
                       "its short factors: give fewer new ones",
                       a->n_prompt, a->max_new_tokens, short_end);
    return RT_OK;
}

enum rt_err md_generate(struct md_model *m, struct md_weights w, const struct md_generate_args *a,
                        struct rng *rng)
{
    enum rt_err err = RT_OK;
    struct md_cache own = {0}, *cache = a->cache ? a->cache : &own;
    float *logits = NULL;
    uint32_t *pos = NULL, id;

    RT_REQUIRE(a->n_prompt >= 1 && a->max_new_tokens >= 1 && a->n_prompt <= m->max_tokens,
               RT_E_ARG);
    RT_REQUIRE(a->temperature >= 0.0f && a->top_p > 0.0f && a->top_p <= 1.0f, RT_E_ARG);
    RT_TRY(check_longrope(m, a));
    logits = malloc(m->arch.vocab * sizeof(*logits));
    pos = malloc(a->n_prompt * sizeof(*pos));
    RT_REQUIRE(logits && pos, RT_E_NOMEM);
    if (!a->cache)
        RT_TRY(md_cache_create(m, a->n_prompt + a->max_new_tokens, &own));
    RT_REQUIRE(a->n_prompt + a->max_new_tokens <= cache->capacity, RT_E_ARG);
    cache->n = 0;
    RT_TRY(step(m, w, cache, a->prompt, a->n_prompt, pos, logits));
    for (uint32_t i = 0; i < a->max_new_tokens; i++) {
        id = md_sample(logits, m->arch.vocab, a, rng);
        if (stops(a, id) || !a->on_token(a->user, id) || i + 1 == a->max_new_tokens)
            break;
        RT_TRY(step(m, w, cache, &id, 1, pos, logits));
    }
done:
    md_cache_destroy(m, &own);
    free(logits);
    free(pos);
    return err;
}
