// Evaluation: TRL's averages against a small case by hand, when it is due, and that looking at
// other pairs changes nothing of the training.
#include "src/train/evaluate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/format/json.h"
#include "src/train/eval.h"
#include "src/train/run.h"
#include "src/train/run_eval.h"
#include "tests/support/golden.h"
#include "tests/t.h"
#include "tests/train/config.h"

static void a_short_batch_is_left_out(void)
{
    assert_true(tr_eval_pairs(5, 2, false) == 5);
    assert_true(tr_eval_pairs(5, 2, true) == 4);
    assert_true(tr_eval_pairs(4, 2, true) == 4);
    assert_true(tr_eval_pairs(1, 2, true) == 1); // the only one
}

// Batches of 2, 2 and 1 pairs with losses 1, 2 and 6: over pairs (1 + 1 + 2 + 2 + 6) / 5 = 2.4,
// over batches 3.
static void loss_is_a_mean_over_pairs(void)
{
    struct tr_eval_loss s = {0};
    tr_eval_loss_add(&s, 1.0, 2);
    tr_eval_loss_add(&s, 2.0, 2);
    tr_eval_loss_add(&s, 6.0, 1);
    assert_true(fabs(tr_eval_loss_mean(&s, false) - 2.4) < 1e-15);
    assert_true(fabs(tr_eval_loss_mean(&s, true) - 2.4) < 1e-15);
    tr_eval_loss_add(&s, (double) NAN, 2);
    tr_eval_loss_add(&s, (double) INFINITY, 1);
    assert_true(fabs(tr_eval_loss_mean(&s, false) - 2.4) < 1e-15); // filtered
    assert_true(isnan(tr_eval_loss_mean(&s, true)));
    s = (struct tr_eval_loss){0};
    tr_eval_loss_add(&s, (double) NAN, 2);
    assert_true(isnan(tr_eval_loss_mean(&s, false))); // nothing is left to average
}

// Rewards with beta 0.5: batch 1 margins 0.5 * (2 - 1) and 0.5 * (-1 - 3), batch 2 margin 0.5 * 4.
// Over batches: ((0.5 - 2) / 2 + 2) / 2 = 0.625; accuracy (1/2 + 1) / 2 = 0.75.
static void metrics_are_means_over_batches(void)
{
    static const double CHOSEN[] = {2.0, -1.0}, REJECTED[] = {1.0, 3.0}, ZERO[2], FOUR[] = {4.0};
    const struct tr_result one = {.n = 2,
                                  .chosen_logps = CHOSEN,
                                  .rejected_logps = REJECTED,
                                  .ref_chosen_logps = ZERO,
                                  .ref_rejected_logps = ZERO,
                                  .num_tokens = 7,
                                  .entropy = 1.0};
    const struct tr_result two = {.n = 1,
                                  .chosen_logps = FOUR,
                                  .rejected_logps = ZERO,
                                  .ref_chosen_logps = ZERO,
                                  .ref_rejected_logps = ZERO,
                                  .num_tokens = 5,
                                  .entropy = 4.0};
    struct tr_evaluation e = {.name = "eval_near", .loss = 0.25, .runtime = 2.0};
    double v;

    tr_metrics_add(&e.metrics, &one, 0.5);
    tr_metrics_add(&e.metrics, &two, 0.5);
    assert_true(tr_evaluation_get(&e, "eval_rewards/margins", &v) && fabs(v - 0.625) < 1e-15);
    assert_true(tr_evaluation_get(&e, "eval_rewards/accuracies", &v) && fabs(v - 0.75) < 1e-15);
    assert_true(tr_evaluation_get(&e, "eval_entropy", &v) && fabs(v - 2.5) < 1e-15);
    assert_true(tr_evaluation_get(&e, "eval_near_loss", &v) && fabs(v - 0.25) < 1e-15);
    assert_true(tr_evaluation_get(&e, "eval_near_runtime", &v) && fabs(v - 2.0) < 1e-15);
    assert_false(tr_evaluation_get(&e, "eval_loss", &v));
    assert_false(tr_evaluation_get(&e, "rewards/margins", &v));
    assert_false(tr_evaluation_get(&(struct tr_evaluation){0}, "eval_loss", &v));
}

// After losses 1 and 3 of two steps a NaN of the third counts as 4 / 3.
static void no_number_counts_as_the_mean(void)
{
    assert_true(fabs(tr_loss_filter((double) NAN, 4.0, 2) - 4.0 / 3.0) < 1e-15);
    assert_true(fabs(tr_loss_filter((double) -INFINITY, 4.0, 1) - 2.0) < 1e-15);
    assert_true(tr_loss_filter((double) NAN, 0.0, 0) == 0.0);
    assert_true(tr_loss_filter(5.0, 4.0, 2) == 5.0);
}

static void due_when_hf_says(void)
{
    static const struct {
        enum tr_eval_strategy strategy;
        double every, delay;
        struct tr_eval_clock at;
        bool due;
    } ROWS[] = {
        {TR_EVAL_NO, 2, 0, {2, 10, 0.5, true}, false},
        {TR_EVAL_STEPS, 2, 0, {2, 10, 0.5, false}, true},
        {TR_EVAL_STEPS, 2, 0, {3, 10, 0.5, false}, false},
        {TR_EVAL_STEPS, 2, 4, {2, 10, 0.5, false}, false},
        {TR_EVAL_STEPS, 2, 4, {4, 10, 0.5, false}, true},
        {TR_EVAL_STEPS, 4, 0, {10, 10, 1.0, true}, true},    // the end, though no multiple
        {TR_EVAL_STEPS, 0.25, 0, {3, 10, 0.3, false}, true}, // ceil(2.5)
        {TR_EVAL_STEPS, 0.25, 0, {2, 10, 0.3, false}, false},
        {TR_EVAL_STEPS, 0, 0, {5, 10, 0.3, false}, true}, // logging_steps
        {TR_EVAL_STEPS, 0, 0, {4, 10, 0.3, false}, false},
        {TR_EVAL_EPOCH, 2, 0, {2, 10, 0.5, false}, false},
        {TR_EVAL_EPOCH, 2, 0, {5, 10, 1.0, true}, true},
        {TR_EVAL_EPOCH, 2, 1.5, {5, 10, 1.0, true}, false},
    };
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        const struct tr_config c = {.eval_strategy = ROWS[i].strategy,
                                    .eval_steps = ROWS[i].every,
                                    .eval_delay = ROWS[i].delay,
                                    .logging_steps = 5};
        if (tr_eval_due(&c, &ROWS[i].at) != ROWS[i].due)
            fail_msg("row %zu: expected %d", i, ROWS[i].due);
    }
}

// The first n rows of a file, as another: a run on the host with the sanitizers takes its time.
static void few_rows(const char *from, uint32_t n, const char *to)
{
    struct str s = {0};
    size_t end = 0;

    T_OK(file_read(from, &s));
    for (; n && end < s.len; end++)
        n -= s.data[end] == '\n';
    T_OK(file_write(to, s.data, end));
    str_free(&s);
}

static struct tr_config base(struct t *t, enum rt_type storage)
{
    struct tr_config c = train_config(t, storage, "evaluate-out");
    c.dataset_name = "evaluate-few.jsonl";
    c.max_steps = 3;
    c.logging_steps = 2;
    return c;
}

// The order of entries: T a training log, a name an evaluation, E the end.
struct seen {
    char order[256];
    double loss[16], margin[16];
    uint64_t first_bytes, last_bytes; // most device memory so far
    int n;
    uint32_t at_end; // micro-batches whose metrics the last entry has
};

static void on_log(void *user, const struct tr_entry *e)
{
    struct seen *s = user;
    const size_t used = strlen(s->order);
    snprintf(s->order + used, sizeof(s->order) - used, "%llu:%s ", (unsigned long long) e->step,
             e->eval                ? e->eval->name
             : isnan(e->train_loss) ? "T"
                                    : "E");
    s->first_bytes = s->first_bytes ? s->first_bytes : e->device_bytes;
    s->last_bytes = e->device_bytes;
    s->at_end = e->metrics->n;
    if (e->eval) {
        s->loss[s->n] = e->eval->loss;
        s->margin[s->n++] = tr_metrics_get(e->metrics, TR_REWARDS_MARGINS);
    }
}

static struct seen run(const struct tr_config *c)
{
    struct seen s = {.n = 0};
    T_OK(tr_run(c, &(struct tr_hooks){.on_log = on_log, .user = &s}));
    return s;
}

static void bytes_of_the_model(struct str *s)
{
    str_clear(s);
    T_OK(file_read("evaluate-out/model.safetensors", s));
}

// Two files, one of them the training file: names, order of entries, ln 2 before the first step;
// and the weights are those of a run that does not evaluate.
static void looking_changes_nothing(struct t *t)
{
    struct tr_config c = base(t, RT_F32);
    struct str without = {0}, with = {0};

    assert_true(run(&c).at_end > 0); // of step 3, which no other entry has
    bytes_of_the_model(&without);
    c.eval_files[0] = (struct tr_eval_file){NULL, c.dataset_name};
    c.eval_files[1] = (struct tr_eval_file){"far", c.dataset_name};
    c.n_eval_files = 2;
    c.eval_strategy = TR_EVAL_STEPS;
    c.eval_steps = 2;
    c.eval_on_start = true;
    c.per_device_eval_batch_size = 5;
    const struct seen s = run(&c);
    bytes_of_the_model(&with);
    assert_string_equal(s.order,
                        "0:eval_evaluate-few 0:eval_far 2:T 2:eval_evaluate-few 2:eval_far "
                        "3:eval_evaluate-few 3:eval_far 3:E ");
    assert_true(s.at_end == 0); // TRL's last entry has none after an evaluation
    assert_true(s.first_bytes > 0 && s.first_bytes == s.last_bytes); // all is allocated before
    assert_true(fabs(s.loss[0] - 0.69314718055994531) < 1e-7);
    assert_true(s.margin[0] == 0.0 && s.margin[2] != 0.0);
    for (int i = 0; i < s.n; i += 2) // the same pairs under two names
        assert_true(s.loss[i] == s.loss[i + 1] && s.margin[i] == s.margin[i + 1]);
    if (with.len != without.len || memcmp(with.data, without.data, with.len) != 0)
        fail_msg("on %s: evaluating changed the trained weights", t_name(t));
    str_free(&without);
    str_free(&with);
}

// A folder's test.jsonl; nothing to evaluate on; two files of one name.
static void files_are_found(struct t *t)
{
    struct tr_config c = base(t, RT_F32);
    const char *rows = c.dataset_name;

    c.eval_strategy = TR_EVAL_EPOCH;
    train_refused(&c, RT_E_USAGE, "eval_dataset_name");
    T_OK(dir_make("evaluate-data"));
    T_OK(file_copy(rows, "evaluate-data/train.jsonl"));
    c.dataset_name = "evaluate-data";
    (void) remove("evaluate-data/test.jsonl");
    train_refused(&c, RT_E_NOT_FOUND, "test.jsonl");
    c.eval_strategy = TR_EVAL_NO;
    c.max_steps = 1;
    assert_string_equal(run(&c).order, "1:E ");
    c.eval_strategy = TR_EVAL_EPOCH;
    T_OK(file_copy(rows, "evaluate-data/test.jsonl"));
    assert_string_equal(run(&c).order, "1:eval 1:E "); // the epoch ends with the run
    c.eval_files[0] = c.eval_files[1] = (struct tr_eval_file){NULL, rows};
    c.n_eval_files = 2;
    train_refused(&c, RT_E_USAGE, "eval_evaluate-few");
}

// ---- anydpo eval ------------------------------------------------------------------------------

struct results {
    char names[64];
    struct tr_eval e[4];
    int n;
};

static void on_file(void *user, const char *name, const struct tr_eval *e)
{
    struct results *r = user;
    const size_t used = strlen(r->names);
    snprintf(r->names + used, sizeof(r->names) - used, "%s ", name);
    r->e[r->n++] = *e;
}

// A line a pair, in the order of the files, of which the results are the means.
static void rows_add_up(struct t *t)
{
    const char *const near = "evaluate-few.jsonl";
    const char *const far = "evaluate-far.jsonl";
    struct tr_config c = base(t, RT_F32);
    struct results r = {.n = 0};
    struct str text = {0};
    cJSON *row;
    uint32_t k = 0;

    c.eval_files[0] = (struct tr_eval_file){"near", near};
    c.eval_files[1] = (struct tr_eval_file){"far", far};
    c.n_eval_files = 2;
    c.dataset_name = NULL;
    c.per_row = "evaluate-rows.jsonl";
    c.ref_model_name_or_path = golden_own_path("models/llama");
    T_OK(tr_eval_run(&c, on_file, &r));
    assert_string_equal(r.names, "eval_near eval_far ");
    T_OK(file_read(c.per_row, &text));
    const char *at = text.data;
    for (int f = 0; f < 2; f++) {
        double loss = 0.0, chosen = 0.0;
        for (uint32_t i = 0; i < r.e[f].pairs; i++, k++) {
            const char *stop = strchr(at, '\n');
            assert_non_null(stop);
            T_OK(fmt_json_parse(at, (size_t) (stop - at), "rows", &row));
            assert_string_equal(cJSON_GetObjectItem(row, "set")->valuestring,
                                f ? "eval_far" : "eval_near");
            assert_int_equal(cJSON_GetObjectItem(row, "row")->valueint, i);
            assert_true(cJSON_GetObjectItem(row, "chosen_tokens")->valueint > 0);
            assert_true(cJSON_GetObjectItem(row, "margin")->valuedouble ==
                        0.0); // its own reference
            loss += cJSON_GetObjectItem(row, "loss")->valuedouble;
            chosen += cJSON_GetObjectItem(row, "chosen_logp")->valuedouble;
            cJSON_Delete(row);
            at = stop + 1;
        }
        if (!(fabs(loss / r.e[f].pairs - r.e[f].loss) < 1e-12) ||
            !(fabs(chosen / r.e[f].pairs - r.e[f].logp_chosen) < 1e-9) ||
            !(fabs(r.e[f].loss - 0.69314718055994531) < 1e-7))
            fail_msg("file %d: loss %.9g of rows, %.9g of the file", f, loss / r.e[f].pairs,
                     r.e[f].loss);
    }
    assert_int_equal(*at, 0);
    str_free(&text);
}

static void body(struct t *t)
{
    few_rows(golden_own_path("runs/family_llama/train.jsonl"), 7, "evaluate-few.jsonl");
    few_rows(golden_own_path("runs/conv_implicit/train.jsonl"), 3, "evaluate-far.jsonl");
    loss_is_a_mean_over_pairs();
    a_short_batch_is_left_out();
    metrics_are_means_over_batches();
    no_number_counts_as_the_mean();
    due_when_hf_says();
    looking_changes_nothing(t);
    files_are_found(t);
    rows_add_up(t);
}

int main(void)
{
    return t_each_device(body);
}
