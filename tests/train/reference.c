// The reference: synced with the policy, and what that leaves behind.
#include "src/train/reference.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/train/run.h"
#include "tests/support/golden.h"
#include "tests/t.h"

static const enum rt_type STORAGE[] = {RT_F32, RT_F16, RT_BF16};

static struct tr_config base(struct t *t, enum rt_type storage, const char *out)
{
    return (struct tr_config){.model_name_or_path = golden_own_path("models/llama"),
                              .dataset_name = golden_own_path("runs/family_llama/train.jsonl"),
                              .output_dir = out,
                              .device = t_name(t),
                              .storage = storage,
                              .max_length = 1024,
                              .seed = 42,
                              .data_seed = 42,
                              .per_device_train_batch_size = 2,
                              .gradient_accumulation_steps = 1,
                              .num_train_epochs = 1.0,
                              .max_steps = 4,
                              .beta = 0.1,
                              .learning_rate = 1e-3,
                              .schedule = {.kind = TR_CONSTANT},
                              .adam_beta1 = 0.9,
                              .adam_beta2 = 0.999,
                              .adam_epsilon = 1e-8,
                              .max_grad_norm = 1.0,
                              .logging_steps = 1,
                              .disable_tqdm = true};
}

struct seen {
    double loss[8], margin[8];
    int n;
};

static void on_log(void *user, const struct tr_entry *e)
{
    struct seen *s = user;
    if (isnan(e->loss) || s->n == 8)
        return;
    s->loss[s->n] = e->loss;
    s->margin[s->n++] = tr_metrics_get(e->metrics, TR_REWARDS_MARGINS);
}

static struct seen run(const struct tr_config *c)
{
    struct seen s = {.n = 0};
    T_OK(tr_run(c, &(struct tr_hooks){.on_log = on_log, .user = &s}));
    return s;
}

static bool same_file(const char *a, const char *b)
{
    struct str x = {0}, y = {0};
    T_OK(file_read(a, &x));
    T_OK(file_read(b, &y));
    const bool same = x.len == y.len && memcmp(x.data, y.data, x.len) == 0;
    str_free(&x);
    str_free(&y);
    return same;
}

// With alpha 1 the reference is the policy after each sync: each step that follows one begins at
// ln 2 with rewards of 0 to the bit, in every storage, and the others do not.
static void whole_sync_is_ln2(struct t *t)
{
    for (size_t i = 0; i < COUNT_OF(STORAGE); i++) {
        struct tr_config c = base(t, STORAGE[i], "reference-out");
        c.sync_ref_model = true;
        c.ref_model_mixup_alpha = 1.0;
        c.ref_model_sync_steps = 2;
        const struct seen s = run(&c);
        for (int k = 0; k < 4; k++) {
            const bool fresh = k % 2 == 0;
            if ((s.margin[k] == 0.0) != fresh ||
                (fabs(s.loss[k] - 0.69314718055994531) < 1e-7) != fresh)
                fail_msg("%s on %s: step %d: loss %.9g, margin %g", rt_type_name(STORAGE[i]),
                         t_name(t), k + 1, s.loss[k], s.margin[k]);
        }
    }
}

// Small steps are not lost in 16-bit storage: after four syncs of 1/512 the reference is not what
// it was, though every one of them is below a unit of bf16's last place.
static void small_syncs_add_up(struct t *t)
{
    struct tr_config c = base(t, RT_BF16, "reference-out");
    c.sync_ref_model = true;
    c.ref_model_sync_steps = 1;
    c.dump_dir = "reference-dump";
    c.ref_model_mixup_alpha = 0x1p-9;
    (void) run(&c);
    T_OK(file_copy("reference-dump/final_ref.safetensors", "reference-moved.safetensors"));
    c.ref_model_mixup_alpha = 0.0;
    (void) run(&c);
    if (same_file("reference-dump/final_ref.safetensors", "reference-moved.safetensors"))
        fail_msg("on %s: the reference did not move", t_name(t));
}

// A checkpoint holds the reference as it has become.
static void resumed_alike(struct t *t)
{
    for (size_t i = 0; i < COUNT_OF(STORAGE); i++) {
        struct tr_config c = base(t, STORAGE[i], "reference-out");
        c.sync_ref_model = true;
        c.ref_model_mixup_alpha = 0.5;
        c.ref_model_sync_steps = 1;
        c.save_strategy = TR_SAVE_STEPS;
        c.save_steps = 2;
        (void) run(&c);
        c.output_dir = "reference-again";
        c.resume_from_checkpoint = "reference-out/checkpoint-2";
        (void) run(&c);
        if (!same_file("reference-out/model.safetensors", "reference-again/model.safetensors"))
            fail_msg("%s on %s: resumed with a synced reference: other weights",
                     rt_type_name(STORAGE[i]), t_name(t));
    }
}

static void body(struct t *t)
{
    whole_sync_is_ln2(t);
    small_syncs_add_up(t);
    resumed_alike(t);
}

int main(void)
{
    return t_each_device(body);
}
