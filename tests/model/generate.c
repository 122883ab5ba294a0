// Generation token by token from a cache gives the bits of one forward over the whole text, in
// decoders with and without windows, caps, tables of positions and layers without rotation.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/model/generate.h"
#include "src/model/model.h"
#include "tests/t.h"

enum { TOKENS = 14, PREFIX = 4 };

static struct md_model *open_model(struct t *t, const char *folder, enum rt_type storage)
{
    struct md_model *m;
    T_OK(md_model_open(t_dev(t),
                       &(struct md_model_desc){.folder = folder,
                                               .storage = storage,
                                               .max_tokens = TOKENS,
                                               .max_segments = 1,
                                               .max_rows = TOKENS,
                                               .max_seqs = 1,
                                               .max_positions = TOKENS,
                                               .max_keys = TOKENS},
                       &m));
    return m;
}

// Run ids[at .. at + n) behind what the cache holds (NULL: nothing), the rows all scored.
static void run(struct md_model *m, struct md_cache *cache, const uint32_t *ids, uint32_t at,
                uint32_t n)
{
    uint32_t pos[TOKENS], rows[TOKENS];
    const uint32_t starts[2] = {0, n};
    const struct op_segment seg = {.q_end = n, .k_begin = at};
    struct rt_cmd *cmd;

    for (uint32_t i = 0; i < n; i++) {
        pos[i] = at + i;
        rows[i] = i;
    }
    T_OK(md_pass_load(m, &(struct md_batch){.n_tokens = n,
                                            .n_segments = 1,
                                            .n_rows = n,
                                            .n_seqs = 1,
                                            .ids = ids + at,
                                            .pos = pos,
                                            .segs = &seg,
                                            .rows = rows,
                                            .targets = ids + at,
                                            .seq_starts = starts}));
    T_OK(rt_cmd_create(m->dev, &cmd));
    T_OK(md_forward(m, cmd, md_policy(m), cache));
    T_OK(rt_cmd_wait(&cmd));
}

static void same_bits(struct t *t, const char *folder, enum rt_type storage)
{
    struct md_model *m = open_model(t, folder, storage);
    const uint32_t vocab = m->arch.vocab;
    float *want = t_alloc(t, (size_t) TOKENS * vocab * sizeof(*want));
    float *got = t_alloc(t, vocab * sizeof(*got));
    uint32_t ids[TOKENS];
    struct md_cache cache;

    for (uint32_t i = 0; i < TOKENS; i++)
        ids[i] = (7 * i + 3) % vocab;
    run(m, NULL, ids, 0, TOKENS);
    for (uint32_t i = 0; i < TOKENS; i++)
        T_OK(md_logits(m, md_policy(m), i, want + (size_t) i * vocab));
    T_OK(md_cache_create(m, TOKENS, &cache));
    for (uint32_t at = 0; at < TOKENS; at += at ? 1 : PREFIX) {
        const uint32_t n = at ? 1 : PREFIX;
        run(m, &cache, ids, at, n);
        T_OK(md_logits(m, md_policy(m), n - 1, got));
        if (memcmp(got, want + (size_t) (at + n - 1) * vocab, vocab * sizeof(*got)) != 0)
            fail_msg("%s, %s on %s: token %u: other logits than at once", folder,
                     rt_type_name(storage), t_name(t), at + n - 1);
    }
    md_cache_destroy(m, &cache);
    md_model_close(&m);
    t_reset(t);
}

static bool no_token(void *user, uint32_t id)
{
    (void) user;
    (void) id;
    return true;
}

// Keys in the cache would be turned by other frequencies than those that follow.
static void across_longrope(struct t *t, const char *folder)
{
    struct md_model *m = open_model(t, folder, RT_F32);
    const uint32_t ids[PREFIX] = {1, 2, 3, 4};
    struct rng rng;
    struct md_generate_args a = {.prompt = ids,
                                 .n_prompt = PREFIX,
                                 .max_new_tokens = TOKENS - PREFIX,
                                 .top_p = 1.0f,
                                 .on_token = no_token};
    rng_seed(&rng, 1);
    T_ERR(RT_E_UNSUPPORTED, md_generate(m, md_policy(m), &a, &rng));
    a.max_new_tokens = 12 - PREFIX;
    T_OK(md_generate(m, md_policy(m), &a, &rng));
    md_model_close(&m);
    t_reset(t);
}

// A table of 32 positions: training that needs more is refused, a text may stay below them.
static void table_end(struct t *t, const char *folder)
{
    struct md_model *m;
    struct md_model_desc desc = {.folder = folder,
                                 .max_tokens = TOKENS,
                                 .max_segments = 1,
                                 .max_positions = 33,
                                 .train = true};
    T_ERR(RT_E_UNSUPPORTED, md_model_open(t_dev(t), &desc, &m));
    assert_null(m);
    desc.train = false;
    T_OK(md_model_open(t_dev(t), &desc, &m));
    assert_int_equal(m->max_positions, 32);
    md_model_close(&m);
}

static void body(struct t *t)
{
    static const char *const MODELS[] = {"qwen2_window", "phi3_partial", "smollm3",     "granite",
                                         "gpt2",         "gemma2",       "gemma3_text", "olmo2",
                                         "cohere2",      "mixtral",      "qwen3_moe"};
    char path[512];

    for (size_t i = 0; i < COUNT_OF(MODELS); i++) {
        snprintf(path, sizeof(path), "%s/tests/golden/families/%s", os_env("ANYDPO_SOURCE"),
                 MODELS[i]);
        for (enum rt_type type = RT_F32; type <= RT_BF16; type++)
            if (t_due(t, 3 * i + type, 9)) // a driver compiles kernels for each
                same_bits(t, path, type);
    }
    snprintf(path, sizeof(path), "%s/tests/golden/families/phi3_long", os_env("ANYDPO_SOURCE"));
    across_longrope(t, path);
    snprintf(path, sizeof(path), "%s/tests/golden/families/gpt2", os_env("ANYDPO_SOURCE"));
    table_end(t, path);
}

int main(void)
{
    return t_each_device(body);
}
