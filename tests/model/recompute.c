// What the backward makes again has the bits of what it would have kept: the gradient is the same,
// in less memory.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/base/str.h"
#include "tests/support/golden.h"
#include "tests/model/pass.h"
#include "tests/t.h"

// Each kind, in one layer and in all.
static struct md_recompute step_of(uint32_t i)
{
    return (struct md_recompute){.kinds = i / 2, .layers = i % 2};
}
enum { STEPS = 2 * MD_AGAIN_COUNT + 1 };

// Each shape of a graph: norms before sublayers, around them, behind them; fused and plain linears;
// experts.
static const char *const MODELS[] = {"models/llama", "families/mixtral", "models/gemma2",
                                     "models/olmo2", "models/phi3",      "models/gpt2"};

// All gradients as f32, one behind the other.
static void gradient_of(struct md_model *m, struct str *out)
{
    struct md_flat grads;

    pass_load(m);
    pass_gradient(m, &grads);
    for (uint32_t i = 0; i < grads.n; i++) {
        const uint64_t n = rt_buf_count(grads.chunk[i]);
        float *x = malloc(n * sizeof(*x));
        assert_non_null(x);
        T_OK(rt_buf_read(grads.chunk[i], 0, n, RT_F32, x));
        T_OK(str_append(out, x, n * sizeof(*x)));
        free(x);
    }
    md_flat_destroy(&grads);
}

// Bytes of the device that the model takes are returned.
static uint64_t run(struct rt_dev *dev, const char *folder, enum rt_type storage,
                    const struct fmt_peft *peft, struct md_recompute recompute, struct str *out)
{
    const uint64_t before = rt_dev_stats(dev).bytes;
    struct md_model *m;

    T_OK(md_model_open(dev,
                       &(struct md_model_desc){.folder = folder,
                                               .storage = storage,
                                               .max_tokens = PASS_TOKENS,
                                               .max_segments = PASS_SEQS,
                                               .max_rows = PASS_ROWS,
                                               .max_seqs = PASS_SEQS,
                                               .max_positions = PASS_TOKENS,
                                               .train = true,
                                               .peft = peft,
                                               .recompute = recompute,
                                               .seed = 7},
                       &m));
    const uint64_t bytes = rt_dev_stats(dev).bytes - before;
    m->prepare = true;
    m->may_keep = m->may_keep && !md_again_logits(recompute);
    m->chunks = (struct op_logprob_chunks){64, 128}; // several
    gradient_of(m, out);
    assert_int_equal(m->kept, !peft && !md_again_logits(recompute));
    md_model_close(&m);
    return bytes;
}

static void same_bits(struct t *t, const char *folder, enum rt_type storage,
                      const struct fmt_peft *peft)
{
    struct str want = {0}, got = {0};
    uint64_t least = run(t_dev(t), folder, storage, peft, step_of(0), &want);

    for (uint32_t i = 1; i < STEPS; i++) {
        str_clear(&got);
        const uint64_t bytes = run(t_dev(t), folder, storage, peft, step_of(i), &got);
        // A kind in one layer saves nothing: its buffers are those that other layers would share.
        // With an adapter, what few layers save can be less than what was not kept anyhow.
        if (!(bytes <= least || i % 2 == 1 || (peft && i + 1 < STEPS)))
            fail_msg("%s, %s, step %u: %llu bytes, %llu before", folder, rt_type_name(storage), i,
                     (unsigned long long) bytes, (unsigned long long) least);
        least = i % 2 ? least : bytes;
        assert_int_equal(got.len, want.len);
        if (memcmp(got.data, want.data, want.len) != 0)
            fail_msg("%s, %s, step %u: another gradient", folder, rt_type_name(storage), i);
    }
    str_free(&want);
    str_free(&got);
}

static void body(struct t *t)
{
    struct fmt_peft peft = {.r = 3, .alpha = 5.0, .targets = cJSON_Parse("\"all-linear\"")};
    struct fmt_peft attention = {
        .r = 3, .alpha = 5.0, .targets = cJSON_Parse("[\"q_proj\", \"o_proj\"]")};

    for (size_t i = 0; i < COUNT_OF(MODELS); i++) {
        char folder[512];
        if (!golden_path(MODELS[i]))
            continue; // the repository has the first two
        snprintf(folder, sizeof(folder), "%s", golden_path(MODELS[i]));
        for (enum rt_type type = RT_F32; type <= RT_BF16; type++) {
            if (!t_due(t, 3 * i + type, 8)) // a driver compiles everything anew for each
                continue;
            same_bits(t, folder, type, NULL);
            same_bits(t, folder, type, i == 1 ? &attention : &peft); // experts have none
        }
    }
    cJSON_Delete(peft.targets);
    cJSON_Delete(attention.targets);
}

int main(void)
{
    return t_each_device(body);
}
