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
#include "tests/train/config.h"

static const enum rt_type STORAGE[] = {RT_F32, RT_F16, RT_BF16};

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

static struct tr_config base(struct t *t, enum rt_type storage, const char *out)
{
    struct tr_config c = train_config(t, storage, out);
    c.dataset_name = "reference-rows.jsonl";
    c.max_steps = 4;
    return c;
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
        if (!t_due(t, i, 3)) // a driver compiles every kernel for each
            continue;
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
        if (!t_due(t, i, 3)) // a driver compiles every kernel for each
            continue;
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

// ---- Precomputed ------------------------------------------------------------------------------

// Log-probs computed beforehand are those of the running reference to the bit: step 1 is ln 2 with
// rewards of 0, and the trained weights are the same, also when the file is read again. Another
// model as the reference is loaded, used and dropped.
static void precomputed_alike(struct t *t)
{
    const char *const found = golden_path("models/llama_ref");
    char other[1024];

    snprintf(other, sizeof(other), "%s", found ? found : "");
    for (size_t i = 0; i < COUNT_OF(STORAGE); i++)
        for (int named = 0; named < (found && i == 0 ? 2 : 1); named++) {
            struct tr_config c = base(t, STORAGE[i], "reference-out"), p;
            struct seen a, b;
            c.ref_model_name_or_path = named ? other : NULL;
            c.max_steps = 2;
            c.ld = i == 1;
            c.ld_alpha = 0.5;
            a = run(&c);
            p = c;
            p.output_dir = "reference-again";
            p.precompute_ref_log_probs = true;
            p.precompute_ref_batch_size = i == 1 ? 3 : 0; // 0: passes as full as they get
            p.ref_log_probs_file = "reference-logps.jsonl";
            (void) remove(p.ref_log_probs_file);
            for (int again = 0; again < 2; again++) {
                b = run(&p);
                if (memcmp(&a, &b, sizeof(a)) != 0 || (!named && (b.margin[0] != 0.0)) ||
                    !same_file("reference-out/model.safetensors",
                               "reference-again/model.safetensors"))
                    fail_msg("%s on %s, %s reference: precomputing (run %d) changed the run: step "
                             "1: %.9g, %.9g",
                             rt_type_name(STORAGE[i]), t_name(t), named ? "another" : "own",
                             again + 1, a.loss[0], b.loss[0]);
            }
        }
}

static void edit(const char *path, const char *from, const char *to)
{
    struct str s = {0}, out = {0};
    T_OK(file_read(path, &s));
    const char *at = strstr(s.data, from);
    assert_non_null(at);
    T_OK(str_append(&out, s.data, (size_t) (at - s.data)));
    T_OK(str_puts(&out, to));
    T_OK(str_puts(&out, at + strlen(from)));
    T_OK(file_write(path, out.data, out.len));
    str_free(&s);
    str_free(&out);
}

// A checkpoint of such a run goes on, with values that were changed in their last digits too
// (another device made them); not with another reference.
static void precomputed_resumed(struct t *t)
{
    struct tr_config c = base(t, RT_F32, "reference-out");
    const char *const model = golden_path("models/llama_ref");
    char other[1024];

    snprintf(other, sizeof(other), "%s", model ? model : "");
    c.precompute_ref_log_probs = true;
    c.ref_log_probs_file = "reference-resumed.jsonl";
    (void) remove(c.ref_log_probs_file);
    c.save_strategy = TR_SAVE_STEPS;
    c.save_steps = 2;
    (void) run(&c);
    c.output_dir = "reference-again";
    c.resume_from_checkpoint = "reference-out/checkpoint-2";
    (void) run(&c);
    if (!same_file("reference-out/model.safetensors", "reference-again/model.safetensors"))
        fail_msg("on %s: resumed with a precomputed reference: other weights", t_name(t));
    edit(c.ref_log_probs_file, ", \"rejected\": -", "1, \"rejected\": -");
    (void) run(&c);
    if (!model)
        return;
    c.ref_log_probs_file = "reference-other.jsonl";
    (void) remove(c.ref_log_probs_file);
    c.ref_model_name_or_path = other;
    train_refused(&c, RT_E_USAGE, "another reference");
}

// A named file of another run is refused, and what differs is said; so is a damaged one. Values
// that someone changes are used: the file is what counts.
static void foreign_files(struct t *t)
{
    const char *const rows = golden_own_path("runs/conv_implicit/train.jsonl");
    const char *const model = golden_own_path("models/llama3");
    struct tr_config c = base(t, RT_F32, "reference-out"), d;
    double first;

    c.precompute_ref_log_probs = true;
    c.max_steps = 1;
    c.ref_log_probs_file = "reference-foreign.jsonl";
    (void) remove(c.ref_log_probs_file);
    first = run(&c).loss[0];
    d = c;
    d.max_length = 20;
    train_refused(&d, RT_E_USAGE, "the tokens that are trained on: max_length");
    d = c;
    d.dataset_name = rows;
    train_refused(&d, RT_E_USAGE, "the file of rows");
    d = c;
    d.storage = RT_BF16;
    train_refused(&d, RT_E_USAGE, "the storage type");
    d = c;
    d.ld = true;
    d.ld_alpha = 0.25;
    train_refused(&d, RT_E_USAGE, "ld_alpha");
    d = c;
    d.ref_model_name_or_path = model;
    train_refused(&d, RT_E_USAGE, "the reference model's weights");
    T_OK(file_copy(c.ref_log_probs_file, "reference-good.jsonl"));
    edit(c.ref_log_probs_file, "{\"row\": 3, ", "{\"row\": 4, ");
    train_refused(&c, RT_E_FORMAT, "reference-foreign.jsonl:5");
    T_OK(file_copy("reference-good.jsonl", c.ref_log_probs_file));
    edit(c.ref_log_probs_file, "\"rejected\": -", "\"rejected\": null, \"was\": -");
    train_refused(&c, RT_E_FORMAT, "reference-foreign.jsonl:2");
    T_OK(file_copy("reference-good.jsonl", c.ref_log_probs_file));
    edit(c.ref_log_probs_file, "\"pairs\": 8", "\"pairs\": 7");
    train_refused(&c, RT_E_FORMAT, "as many pairs");
    T_OK(file_copy("reference-good.jsonl", c.ref_log_probs_file));
    for (int i = 0; i < 8; i++)
        edit(c.ref_log_probs_file, "\"chosen\": -", "\"chosen\":  0");
    if (run(&c).loss[0] == first)
        fail_msg("on %s: the values of the file are not used", t_name(t));
}

// Without a name the file is in the cache folder: an evaluation set later adds its own; a damaged
// one is made again.
static void cache_heals(struct t *t)
{
    struct tr_config c = base(t, RT_F32, "reference-out");
    struct dir_names names = {0};
    char path[512];
    double first;

    c.precompute_ref_log_probs = true;
    c.max_steps = 1;
    c.cache_dir = "reference-cache";
    if (dir_exists("reference-cache"))
        T_OK(dir_remove("reference-cache"));
    first = run(&c).loss[0];
    T_OK(dir_list("reference-cache/ref_logps", &names));
    assert_int_equal(names.n, 1);
    snprintf(path, sizeof(path), "reference-cache/ref_logps/%s", names.name[0]);
    dir_names_free(&names);
    edit(path, "\"rejected\"", "\"refused\"");
    assert_true(run(&c).loss[0] == first);
    (void) t_logged();
    c.eval_files[0].path = golden_own_path("runs/conv_implicit/train.jsonl");
    c.n_eval_files = 1;
    c.eval_strategy = TR_EVAL_STEPS;
    assert_true(run(&c).loss[0] == first);
    T_OK(dir_list("reference-cache/ref_logps", &names));
    assert_int_equal(names.n, 2);
    dir_names_free(&names);
}

static void body(struct t *t)
{
    few_rows(golden_own_path("runs/family_llama/train.jsonl"), 8, "reference-rows.jsonl");
    whole_sync_is_ln2(t);
    small_syncs_add_up(t);
    resumed_alike(t);
    precomputed_alike(t);
    precomputed_resumed(t);
    foreign_files(t);
    cache_heals(t);
}

int main(void)
{
    return t_each_device(body);
}
