// Timed steps: numbers are there, and their FLOPs are those of the mathematics.
#include "src/train/bench.h"

#include <cjson/cJSON.h>

#include "tests/support/golden.h"
#include "tests/t.h"
#include "tests/train/config.h"

static struct tr_bench bench(struct t *t, bool peft, bool precompute)
{
    static char all[] = "all-linear";
    const cJSON targets = {.type = cJSON_String, .valuestring = all};
    struct tr_config c = train_config(t, RT_F32, NULL);
    c.cache_dir = "bench-cache";
    c.lora = (struct tr_lora){.use = peft, .targets = &targets};
    c.precompute_ref_log_probs = precompute;
    c.gradient_accumulation_steps = 2;
    struct tr_bench b;

    T_OK(tr_bench_step(&c, 2, &b));
    assert_int_equal(b.steps, 2);
    assert_true(b.seconds > 0.0 && b.pairs_per_s > 0.0 && b.tokens_per_s > b.pairs_per_s);
    assert_true(b.matmul_gflops > 0.0);
    return b;
}

static double flops_of_token(const struct tr_bench *b)
{
    return 1e9 * b->useful_gflops / b->tokens_per_s;
}

static void body(struct t *t)
{
    const struct tr_bench full = bench(t, false, false), lora = bench(t, true, false);
    const struct tr_bench alone = bench(t, false, true);
    const double f = flops_of_token(&full), l = flops_of_token(&lora), a = flops_of_token(&alone);

    // 4 products a weight and token: reference, policy, dX, dW. LoRA has no dW, a precomputed
    // reference no forward: 3. Attention's share is the same (LoRA) or less.
    assert_true(l > 0.74 * f && l < 0.85 * f);
    assert_true(a > 0.72 * f && a < 0.78 * f);
}

int main(void)
{
    return t_each_device(body);
}
