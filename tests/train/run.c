// What must hold on every device whatever the numbers are: ln 2 at step 1, the same bits twice, no
// influence of the batch on a sequence, fp16's loss scale.
#include "src/train/run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/format/json.h"
#include "tests/support/golden.h"
#include "tests/t.h"
#include "tests/train/config.h"

static struct tr_config base(struct t *t, enum rt_type storage)
{
    struct tr_config c = train_config(t, storage, "run-out");
    c.max_steps = 2;
    c.schedule.kind = TR_LINEAR;
    return c;
}

// What the log entries said.
struct seen {
    double loss[512], norm[512], margin[512], chosen[512];
    int n;
};

static void on_log(void *user, const struct tr_entry *e)
{
    struct seen *s = user;
    if (isnan(e->loss) && isnan(e->grad_norm))
        return;
    s->loss[s->n] = e->loss;
    s->norm[s->n] = e->grad_norm;
    s->margin[s->n] = tr_metrics_get(e->metrics, TR_REWARDS_MARGINS);
    s->chosen[s->n++] = tr_metrics_get(e->metrics, TR_REWARDS_CHOSEN);
}

static struct seen run(const struct tr_config *c)
{
    struct seen s = {.n = 0};
    T_OK(tr_run(c, &(struct tr_hooks){.on_log = on_log, .user = &s}));
    return s;
}

// Policy and reference are one computation at step 1: rewards are 0 to the bit, the loss is ln 2.
static void starts_at_ln2(struct t *t)
{
    static const enum rt_type STORAGE[] = {RT_F32, RT_F16, RT_BF16};
    for (size_t i = 0; i < COUNT_OF(STORAGE); i++) {
        struct tr_config c = base(t, STORAGE[i]);
        c.max_steps = 1;
        const struct seen s = run(&c);
        if (!(fabs(s.loss[0] - 0.69314718055994531) < 1e-7) || s.margin[0] != 0.0 ||
            s.chosen[0] != 0.0)
            fail_msg("%s on %s: step 1: loss %.9g, margin %g, chosen reward %g",
                     rt_type_name(STORAGE[i]), t_name(t), s.loss[0], s.margin[0], s.chosen[0]);
    }
}

static void same_bits_twice(struct t *t)
{
    static const enum rt_type STORAGE[] = {RT_F32, RT_F16};
    for (size_t i = 0; i < COUNT_OF(STORAGE); i++) {
        struct str a = {0}, b = {0};
        struct tr_config c = base(t, STORAGE[i]);
        c.max_steps = 3;
        (void) run(&c);
        T_OK(file_read("run-out/model.safetensors", &a));
        (void) run(&c);
        T_OK(file_read("run-out/model.safetensors", &b));
        if (a.len != b.len || memcmp(a.data, b.data, a.len) != 0)
            fail_msg("%s on %s: two runs gave different weights", rt_type_name(STORAGE[i]),
                     t_name(t));
        str_free(&a);
        str_free(&b);
    }
}

// Log-probs by row out of a dump: x[2 * row] chosen, x[2 * row + 1] rejected. The weights do not
// move.
static void logps_by_row(struct t *t, enum rt_type storage, uint32_t batch, uint32_t pass_tokens,
                         double *x)
{
    struct tr_config c = base(t, storage);
    cJSON *root;
    const cJSON *step, *micro, *row;
    c.learning_rate = 0.0;
    c.per_device_train_batch_size = batch;
    c.max_steps = -1;
    c.pass_tokens = pass_tokens;
    c.dump_dir = "run-dump";
    (void) run(&c);
    T_OK(fmt_json_read("run-dump/batches.json", &root));
    cJSON_ArrayForEach(step, cJSON_GetObjectItem(root, "steps"))
        cJSON_ArrayForEach(micro, cJSON_GetObjectItem(step, "micro_batches"))
    {
        int i = 0;
        cJSON_ArrayForEach(row, cJSON_GetObjectItem(micro, "rows"))
        {
            x[2 * row->valueint] =
                cJSON_GetArrayItem(cJSON_GetObjectItem(micro, "chosen_logps"), i)->valuedouble;
            x[2 * row->valueint + 1] =
                cJSON_GetArrayItem(cJSON_GetObjectItem(micro, "rejected_logps"), i++)->valuedouble;
        }
    }
    cJSON_Delete(root);
}

static void batch_does_not_matter(struct t *t)
{
    enum { ROWS = 27 };
    static const enum rt_type STORAGE[] = {RT_F32, RT_BF16};
    for (size_t i = 0; i < COUNT_OF(STORAGE); i++) {
        double alone[2 * ROWS] = {0}, together[2 * ROWS] = {0};
        logps_by_row(t, STORAGE[i], 1, 0, alone);
        logps_by_row(t, STORAGE[i], 9, 4096, together);
        for (int k = 0; k < 2 * ROWS; k++)
            if (alone[k] != together[k] || alone[k] == 0.0)
                fail_msg("%s on %s: row %d: log-prob %.9g alone, %.9g in a batch of 9",
                         rt_type_name(STORAGE[i]), t_name(t), k / 2, alone[k], together[k]);
    }
}

// From a scale of 2^40 the first steps overflow: each is skipped and halves the scale, until one is
// clean.
static void overflow_halves_the_scale(struct t *t)
{
    struct tr_config c = base(t, RT_F16);
    int skipped = 0;
    c.loss_scale = 0x1p40;
    c.max_steps = 30;
    const struct seen s = run(&c);
    while (skipped < s.n && !isfinite(s.norm[skipped]))
        skipped++;
    if (skipped < 5 || skipped > 28 || !(fabs(s.loss[skipped] - 0.69314718055994531) < 1e-7))
        fail_msg("on %s: %d steps overflowed; then the loss was %.9g", t_name(t), skipped,
                 s.loss[skipped]);
}

// Numbers are read when the next step has begun, and yet the step that broke is named, logged up to
// and nothing is left of it: watched, where each step is settled, and not.
static void a_broken_step_is_named(struct t *t)
{
    struct tr_config c = base(t, RT_F32);
    struct seen s = {.n = 0};
    struct str text = {0};

    c.schedule.kind = TR_CONSTANT;
    c.learning_rate = 1e30; // weights after step 1 are of no use
    c.max_steps = 6;
    c.output_dir = "broken-out";
    for (int watched = 0; watched < 2; watched++) {
        const struct tr_hooks hooks = {.on_log = on_log, .user = &s};
        T_OK(dir_remove(c.output_dir));
        t_logged();
        assert_int_equal(tr_run(&c, watched ? &hooks : NULL), RT_E_NUMERIC);
        assert_non_null(strstr(t_logged(), "step 2: the "));
        T_OK(file_read("broken-out/metrics.jsonl", &text));
        const char *end = strchr(text.data, '\n');
        assert_true(end && end[1] == 0 && strstr(text.data, "\"step\": 1"));
        assert_false(file_exists("broken-out/model.safetensors"));
        str_free(&text);
    }
    assert_int_equal(s.n, 1);
}

static void long_fp16_run(struct t *t)
{
    struct tr_config c = base(t, RT_F16);
    c.max_steps = 200;
    const struct seen s = run(&c);
    assert_int_equal(s.n, 200);
    for (int i = 0; i < s.n; i++)
        if (!isfinite(s.loss[i]) || !isfinite(s.norm[i]))
            fail_msg("on %s: step %d: loss %g, grad_norm %g", t_name(t), i + 1, s.loss[i],
                     s.norm[i]);
    if (!(s.loss[199] < 0.3))
        fail_msg("on %s: the loss is %g after 200 steps", t_name(t), s.loss[199]);
}

static void body(struct t *t)
{
    starts_at_ln2(t);
    same_bits_twice(t);
    batch_does_not_matter(t);
    overflow_halves_the_scale(t);
    a_broken_step_is_named(t);
    long_fp16_run(t);
}

int main(void)
{
    return t_each_device(body);
}
