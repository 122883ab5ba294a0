// Checkpoints: a run that goes on has the bits of one that never stopped; what is damaged or does
// not belong to the run is refused by name; what is kept and what is cleared away.
#include "src/train/checkpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/format/json.h"
#include "src/train/run.h"
#include "tests/support/golden.h"
#include "tests/t.h"
#include "tests/train/config.h"

// 9 rows: an epoch has 9 micro-batches in 5 steps, the last one of a single micro-batch, so that
// the run ends in the second epoch, and logs at 3 and 6. In f16 the first loss scale overflows:
// some steps are skipped.
enum { ROWS = 9, STEPS = 7, EPOCH = 5 };
#define DATA "ck-rows.jsonl"
#define MODEL "model.safetensors"

static struct tr_config base(struct t *t, enum rt_type storage, const char *out)
{
    struct tr_config c = train_config(t, storage, out);
    c.dataset_name = DATA;
    c.per_device_train_batch_size = 1;
    c.gradient_accumulation_steps = 2;
    c.max_steps = STEPS;
    c.schedule = (struct tr_schedule){.kind = TR_LINEAR, .warmup_steps = 2};
    c.weight_decay = 0.01;
    c.loss_scale = 0x1p21;
    c.logging_steps = 3;
    c.save_strategy = TR_SAVE_STEPS;
    c.save_steps = 1;
    return c;
}

static void clear(const char *dir)
{
    T_OK(dir_remove(dir));
}

static struct str text_of(const char *dir, const char *name)
{
    struct str s = {0};
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    T_OK(file_read(path, &s));
    return s;
}

static void same_file(const char *a, const char *b, const char *name)
{
    struct str x = text_of(a, name), y = text_of(b, name);
    if (x.len != y.len || memcmp(x.data, y.data, x.len) != 0)
        fail_msg("%s differs between %s and %s", name, a, b);
    str_free(&x);
    str_free(&y);
}

// Is the value of this key a matter of the clock, or of the place?
static bool varies(const char *key)
{
    static const char *const KEYS[] = {"train_runtime",
                                       "train_samples_per_second",
                                       "train_steps_per_second",
                                       "step_time_s",
                                       "pairs_per_s",
                                       "tokens_per_s",
                                       "device_bytes",
                                       "host_bytes",
                                       "elapsed_s",
                                       "since_log_s",
                                       "log_history_bytes",
                                       "clock",
                                       "save_steps"};
    for (size_t i = 0; key && i < COUNT_OF(KEYS); i++)
        if (strcmp(key, KEYS[i]) == 0)
            return true;
    return false;
}

static void drop_varying(cJSON *node)
{
    for (cJSON *v = node->child, *next; v; v = next) {
        next = v->next;
        if (varies(v->string))
            cJSON_Delete(cJSON_DetachItemViaPointer(node, v));
        else
            drop_varying(v);
    }
}

// A JSON file, or one with a value a line, without what varies.
static cJSON *json_of(const char *dir, const char *name)
{
    struct str s = text_of(dir, name), all = {0};
    cJSON *root;
    T_OK(str_puts(&all, "["));
    for (char *line = strstr(name, "jsonl") ? strtok(s.data, "\n") : s.data; line;
         line = strstr(name, "jsonl") ? strtok(NULL, "\n") : NULL)
        T_OK(str_printf(&all, "%s%s", all.len > 1 ? "," : "", line));
    T_OK(str_puts(&all, "]"));
    T_OK(fmt_json_parse(all.data, all.len, name, &root));
    drop_varying(root);
    str_free(&s);
    str_free(&all);
    return root;
}

static void same_json(const char *a, const char *b, const char *name)
{
    cJSON *x = json_of(a, name), *y = json_of(b, name);
    if (!cJSON_Compare(x, y, true)) {
        char *p = cJSON_Print(x), *q = cJSON_Print(y);
        fail_msg("%s differs between %s and %s:\n%s\n%s", name, a, b, p, q);
    }
    cJSON_Delete(x);
    cJSON_Delete(y);
}

// ---- The same bits ----------------------------------------------------------------------------

static void same_run(const char *a, const char *b, const char *model)
{
    char x[256], y[256];
    same_file(a, b, model);
    same_json(a, b, "trainer_state.json");
    same_json(a, b, "metrics.jsonl");
    snprintf(x, sizeof(x), "%s/checkpoint-%d", a, STEPS);
    snprintf(y, sizeof(y), "%s/checkpoint-%d", b, STEPS);
    same_file(x, y, model);
    same_file(x, y, "optimizer.safetensors");
    same_json(x, y, "training_state.json");
    same_json(x, y, "trainer_state.json");
}

// The loss scale's state is in the checkpoint, and both kinds of steps were there.
static void steps_of_both_kinds(const char *dir)
{
    cJSON *root = json_of(dir, "training_state.json");
    const cJSON *j = root->child;
    const int clean = cJSON_GetObjectItem(j, "loss_scale_clean_steps")->valueint,
              skipped = cJSON_GetObjectItem(j, "loss_scale_skipped_steps")->valueint;
    if (skipped < 2 || clean < 1)
        fail_msg("%s: %d steps skipped, then %d clean", dir, skipped, clean);
    cJSON_Delete(root);
}

static void same_bits(struct t *t)
{
    static const struct {
        const char *name;
        enum rt_type storage, save;
        bool lora, sync;
    } CASES[] = {{"f32", RT_F32, RT_F32, false, false},
                 {"f16", RT_F16, RT_F16, false, false},
                 {"bf16, reference synced", RT_BF16, RT_F32, false, true},
                 {"f32, reference synced", RT_F32, RT_BF16, false, true},
                 {"bf16, LoRA", RT_BF16, RT_F32, true, false}};
    static const int AT[] = {1, 2, EPOCH, STEPS - 1, STEPS};
    char from[64];

    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        const char *model = CASES[i].lora ? "adapter_model.safetensors" : MODEL;
        struct tr_config c = base(t, CASES[i].storage, "ck/straight");
        clear("ck");
        c.save_dtype = CASES[i].save;
        c.lora.use = CASES[i].lora;
        c.sync_ref_model = CASES[i].sync;
        c.ref_model_sync_steps = 2;
        c.ref_model_mixup_alpha = 0.6;
        T_OK(tr_run(&c, NULL));
        for (size_t k = 0; k < COUNT_OF(AT); k++) {
            if (i >= 2 && AT[k] != 2) // once each is enough
                continue;
            printf("  %s on %s from step %d\n", CASES[i].name, t_name(t), AT[k]);
            snprintf(from, sizeof(from), "ck/straight/checkpoint-%d", AT[k]);
            clear("ck/resumed");
            c.output_dir = "ck/resumed";
            c.resume_from_checkpoint = from;
            c.save_steps = STEPS; // at the end alone
            T_OK(tr_run(&c, NULL));
            if (AT[k] == STEPS) // nothing is left to do, and no step to write a checkpoint after
                same_file("ck/straight", "ck/resumed", model);
            else
                same_run("ck/straight", "ck/resumed", model);
            if (AT[k] != STEPS && CASES[i].storage == RT_F16)
                steps_of_both_kinds("ck/resumed/checkpoint-7");
            if (CASES[i].sync)
                same_file("ck/straight/checkpoint-7", "ck/resumed/checkpoint-7",
                          "reference.safetensors");
        }
        if (i > 0)
            continue;
        // Saving changes nothing.
        c.output_dir = "ck/unsaved";
        c.resume_from_checkpoint = NULL;
        c.save_strategy = TR_SAVE_NO;
        T_OK(tr_run(&c, NULL));
        same_file("ck/straight", "ck/unsaved", model);
        assert_false(dir_exists("ck/unsaved/checkpoint-7"));
    }
}

// On the device whose every number is a double, masters are kept as doubles.
static void same_bits_in_f64(struct t *t)
{
    struct tr_config c = base(t, RT_F32, "ck/straight");
    clear("ck");
    c.device = "host:f64";
    T_OK(tr_run(&c, NULL));
    c.output_dir = "ck/resumed";
    c.resume_from_checkpoint = "ck/straight/checkpoint-2";
    T_OK(tr_run(&c, NULL));
    same_run("ck/straight", "ck/resumed", MODEL);
    same_file("ck/straight/checkpoint-7", "ck/resumed/checkpoint-7", "master.safetensors");
}

// Stopped by the caller, twice, and gone on in the same folder.
struct stopper {
    volatile int stop;
    uint64_t at;
};

static void on_log(void *user, const struct tr_entry *e)
{
    struct stopper *s = user;
    s->stop = s->stop || e->step == s->at;
}

static void stops(struct t *t)
{
    struct tr_config c = base(t, RT_F32, "ck/straight");
    struct stopper s = {.at = 3};
    const struct tr_hooks hooks = {.on_log = on_log, .user = &s, .stop = &s.stop};

    clear("ck");
    c.save_steps = STEPS;
    T_OK(tr_run(&c, NULL));
    c.output_dir = "ck/stopped";
    T_ERR(RT_E_INTERRUPTED, tr_run(&c, &hooks));
    assert_true(file_exists("ck/stopped/checkpoint-3/optimizer.safetensors"));
    assert_false(file_exists("ck/stopped/model.safetensors"));
    c.resume_from_checkpoint = "true";
    s = (struct stopper){.stop = 1}; // before the first step: nothing new to keep
    T_ERR(RT_E_INTERRUPTED, tr_run(&c, &hooks));
    s = (struct stopper){.at = 6};
    T_ERR(RT_E_INTERRUPTED, tr_run(&c, &hooks));
    s = (struct stopper){.at = 0};
    T_OK(tr_run(&c, &hooks));
    same_run("ck/straight", "ck/stopped", MODEL);
}

// ---- What is refused --------------------------------------------------------------------------

// Run `c` and expect an error of this code whose text has all of names. Returns the text.
static const char *refused(const struct tr_config *c, enum rt_err want, const char *const names[3])
{
    (void) t_logged();
    const enum rt_err err = tr_run(c, NULL);
    const char *said = t_logged();
    if (err != want)
        fail_msg("expected %s, found %s:\n%s", rt_err_name(want), rt_err_name(err), said);
    for (int i = 0; i < 3 && names[i]; i++)
        if (!strstr(said, names[i]))
            fail_msg("the message does not name %s:\n%s", names[i], said);
    return said;
}

// A straight run with all checkpoints, and the config that resumes the newest.
static struct tr_config prepared(struct t *t)
{
    struct tr_config c = base(t, RT_F32, "ck/out");
    clear("ck");
    c.max_steps = 3;
    c.logging_steps = 1;
    c.options = "{\"beta\": 0.1, \"learning_rate\": 0.001, \"logging_steps\": 4}";
    T_OK(tr_run(&c, NULL));
    c.resume_from_checkpoint = "true";
    return c;
}

static void flip(const char *path)
{
    struct str s = {0};
    T_OK(file_read(path, &s));
    s.data[s.len / 2] ^= 1;
    T_OK(file_write(path, s.data, s.len));
    str_free(&s);
}

static void cut(const char *path)
{
    struct str s = {0};
    T_OK(file_read(path, &s));
    T_OK(file_write(path, s.data, s.len - 1));
    str_free(&s);
}

static void gone(const char *path)
{
    T_OK(dir_remove(path));
}

static void damaged(struct t *t)
{
    static const char *const FILES[] = {
        "model.safetensors", "optimizer.safetensors", "training_state.json", "trainer_state.json",
        "metrics.jsonl",     "config.json",           "tokenizer.json",      "manifest.json"};
    static const struct {
        void (*harm)(const char *path);
        const char *word;
    } HARM[] = {{flip, "is damaged"}, {cut, "bytes, expected"}, {gone, "is missing"}};
    const struct tr_config c = prepared(t);
    char path[256];

    for (size_t i = 0; i < COUNT_OF(FILES); i++)
        for (size_t k = 0; k < COUNT_OF(HARM); k++) {
            struct str kept = text_of("ck/out/checkpoint-3", FILES[i]);
            printf("  %s %s\n", FILES[i], HARM[k].word);
            fflush(stdout);
            const bool manifest = i + 1 == COUNT_OF(FILES);
            snprintf(path, sizeof(path), "ck/out/checkpoint-3/%s", FILES[i]);
            HARM[k].harm(path);
            if (manifest && k == 1) // the last byte is a newline
                HARM[k].harm(path);
            if (!manifest)
                refused(&c, RT_E_FORMAT,
                        (const char *const[]){FILES[i], HARM[k].word, "ck/out/checkpoint-2"});
            else // a flipped letter may lie in a name, in a checksum, or between
                refused(&c, RT_E_FORMAT, (const char *const[]){"ck/out/checkpoint-3", NULL, NULL});
            T_OK(file_write(path, kept.data, kept.len));
            str_free(&kept);
        }
    flip("ck/out/checkpoint-3/model.safetensors");
    flip("ck/out/checkpoint-2/optimizer.safetensors");
    refused(&c, RT_E_FORMAT, (const char *const[]){"checkpoint-3", "checkpoint-1", NULL});
    T_OK(dir_remove("ck/out/checkpoint-1"));
    assert_null(strstr(refused(&c, RT_E_FORMAT, (const char *const[]){"checkpoint-3", NULL, NULL}),
                       "newest whole"));
}

static void foreign(struct t *t)
{
    const struct tr_config good = prepared(t);
    struct tr_config c = good;
    struct str rows = {0};

    c.options = "{\"beta\": 0.2, \"learning_rate\": 0.002, \"logging_steps\": 1}";
    refused(&c, RT_E_USAGE,
            (const char *const[]){"beta was 0.1 and is 0.2", "learning_rate was 0.001 and is 0.002",
                                  "checkpoint-3"});
    c = good; // what is only said or saved may differ
    c.options = "{\"beta\": 0.1, \"learning_rate\": 0.001, \"logging_steps\": 1}";
    c.max_steps = 4;
    T_OK(tr_run(&c, NULL));
    c = good;
    c.resume_from_checkpoint = "ck/out/checkpoint-3";
    c.max_steps = 2;
    refused(&c, RT_E_USAGE, (const char *const[]){"3 steps", "have 2", "max_steps"});
    c = good;
    c.storage = RT_BF16;
    refused(&c, RT_E_USAGE, (const char *const[]){"fp16, bf16", "f32", "bf16"});
    c = good;
    c.model_name_or_path = golden_own_path("models/llama3");
    refused(&c, RT_E_USAGE, (const char *const[]){"checkpoint-4", "does not belong", NULL});
    c = good;
    c.ref_model_name_or_path = "ck/out/checkpoint-2";
    refused(&c, RT_E_USAGE, (const char *const[]){"ref_model_name_or_path", NULL, NULL});
    c = good;
    T_OK(file_read(good.dataset_name, &rows));
    T_OK(file_write("ck/rows.jsonl", strchr(rows.data, '\n') + 1,
                    rows.len - (size_t) (strchr(rows.data, '\n') + 1 - rows.data)));
    c.dataset_name = "ck/rows.jsonl";
    refused(&c, RT_E_USAGE, (const char *const[]){"dataset_name", "checkpoint-4", NULL});
    str_free(&rows);
    c = good;
    c.resume_from_checkpoint = "ck/nowhere/checkpoint-1";
    refused(&c, RT_E_NOT_FOUND, (const char *const[]){"ck/nowhere/checkpoint-1", NULL, NULL});
    c.resume_from_checkpoint = good.model_name_or_path;
    refused(&c, RT_E_FORMAT, (const char *const[]){"models/llama", "training_state.json", NULL});
    c.resume_from_checkpoint = "true";
    c.output_dir = "ck/empty";
    refused(&c, RT_E_NOT_FOUND, (const char *const[]){"ck/empty", "no checkpoint", NULL});
    assert_false(file_exists("ck/empty/model.safetensors"));
}

// ---- What is kept -----------------------------------------------------------------------------

static uint32_t count(const char *dir, const char *text)
{
    struct dir_names names;
    uint32_t n = 0;
    T_OK(dir_list(dir, &names));
    for (size_t i = 0; i < names.n; i++)
        n += strstr(names.name[i], text) != NULL;
    dir_names_free(&names);
    return n;
}

static void limits(struct t *t)
{
    struct tr_config c = base(t, RT_F32, "ck/out");
    clear("ck");
    c.save_total_limit = 2;
    T_OK(tr_run(&c, NULL));
    assert_int_equal(count("ck/out", "checkpoint-"), 2);
    assert_true(dir_exists("ck/out/checkpoint-6") && dir_exists("ck/out/checkpoint-7"));
    // A share of all steps: ceil(0.4 * 7) = 3; and always the last one.
    clear("ck");
    c.save_total_limit = 0;
    c.save_steps = 0.4;
    T_OK(tr_run(&c, NULL));
    assert_int_equal(count("ck/out", "checkpoint-"), 3);
    assert_true(dir_exists("ck/out/checkpoint-3") && dir_exists("ck/out/checkpoint-6"));
    clear("ck");
    c.save_strategy = TR_SAVE_EPOCH;
    c.save_only_model = true;
    T_OK(tr_run(&c, NULL));
    assert_int_equal(count("ck/out", "checkpoint-"), 2);
    assert_true(file_exists("ck/out/checkpoint-5/model.safetensors"));
    assert_false(file_exists("ck/out/checkpoint-5/training_state.json"));
    c.resume_from_checkpoint = "true";
    refused(&c, RT_E_NOT_FOUND, (const char *const[]){"save_only_model", NULL, NULL});
    // A checkpoint is a model folder.
    clear("ck/next");
    c = base(t, RT_F32, "ck/next");
    c.model_name_or_path = "ck/out/checkpoint-5";
    c.max_steps = 1;
    T_OK(tr_run(&c, NULL));
}

// Evaluated on what is trained on, the loss falls: by the lowest the last model is the best, by the
// highest the first that was evaluated.
static struct tr_config watched(struct t *t, bool greater_is_better)
{
    struct tr_config c = base(t, RT_F32, "ck/out");
    c.eval_files[0].path = DATA;
    c.n_eval_files = 1;
    c.eval_strategy = TR_EVAL_STEPS;
    c.eval_steps = 2;
    c.save_steps = 2;
    c.metric_for_best_model = "loss";
    c.greater_is_better = greater_is_better;
    c.load_best_model_at_end = true;
    return c;
}

static void best_is(const char *dir, int step, bool saved)
{
    cJSON *root = json_of(dir, "trainer_state.json");
    const cJSON *state = root->child, *v = cJSON_GetObjectItem(state, "best_global_step"), *e;
    char path[64];

    assert_int_equal(v->valueint, step);
    cJSON_ArrayForEach(e, cJSON_GetObjectItem(state, "log_history"))
    {
        const cJSON *loss = cJSON_GetObjectItem(e, "eval_loss");
        if (loss && cJSON_GetObjectItem(e, "step")->valueint == step)
            assert_true(cJSON_Compare(loss, cJSON_GetObjectItem(state, "best_metric"), true));
    }
    snprintf(path, sizeof(path), "ck/out/checkpoint-%d", step);
    v = cJSON_GetObjectItem(state, "best_model_checkpoint");
    if (saved)
        assert_string_equal(v->valuestring, path);
    cJSON_Delete(root);
}

static void best(struct t *t)
{
    struct tr_config c = watched(t, true);
    clear("ck");
    c.save_total_limit = 2;
    T_OK(tr_run(&c, NULL));
    assert_int_equal(count("ck/out", "checkpoint-"), 2);
    assert_true(dir_exists("ck/out/checkpoint-2") && dir_exists("ck/out/checkpoint-7"));
    same_file("ck/out", "ck/out/checkpoint-2", MODEL);
    best_is("ck/out", 2, true);
    // Gone on from, the best is still known.
    c.resume_from_checkpoint = "true";
    T_OK(dir_remove("ck/out/model.safetensors"));
    c.max_steps = STEPS + 1;
    T_OK(tr_run(&c, NULL));
    same_file("ck/out", "ck/out/checkpoint-2", MODEL);
    best_is("ck/out", 2, true);
    c = watched(t, false);
    clear("ck");
    c.save_steps = 4;
    T_OK(tr_run(&c, NULL)); // also evaluated, and saved, at the last step
    same_file("ck/out", "ck/out/checkpoint-7", MODEL);
    best_is("ck/out", STEPS, true);
    best_is("ck/out/checkpoint-4", 4, true);
    // Only the best are saved; 16-bit models as they are.
    c = watched(t, true);
    clear("ck");
    c.save_strategy = TR_SAVE_BEST;
    c.save_only_model = true;
    T_OK(tr_run(&c, NULL));
    assert_int_equal(count("ck/out", "checkpoint-"), 1);
    same_file("ck/out", "ck/out/checkpoint-2", MODEL);
    c.metric_for_best_model = "rewards/nonsense";
    refused(&c, RT_E_USAGE, (const char *const[]){"eval_rewards/nonsense", NULL, NULL});
    c.metric_for_best_model = "eval_rewards/margins"; // grows: every evaluation is the best
    clear("ck");
    T_OK(tr_run(&c, NULL));
    assert_int_equal(count("ck/out", "checkpoint-"), 4);
}

static void leftovers(struct t *t)
{
    struct tr_config c = base(t, RT_F32, "ck/out");
    clear("ck");
    c.max_steps = 1;
    T_OK(dir_make("ck/out/checkpoint-7.tmp-123"));
    T_OK(file_write("ck/out/checkpoint-7.tmp-123/model.safetensors", "x", 1));
    T_OK(file_write("ck/out/model.safetensors.tmp-45", "x", 1));
    T_OK(file_write("ck/out/notes.tmp-of-mine", "x", 1));
    T_OK(tr_run(&c, NULL));
    assert_int_equal(count("ck/out", ".tmp-"), 1);
    assert_true(file_exists("ck/out/notes.tmp-of-mine"));
    // One of the same step is replaced.
    T_OK(file_write("ck/out/checkpoint-1/stale", "x", 1));
    T_OK(tr_run(&c, NULL));
    assert_false(file_exists("ck/out/checkpoint-1/stale"));
    assert_int_equal(count("ck/out", ".tmp-"), 1);
}

// Short ones: the host computes every number in f64, one by one.
static void write_rows(void)
{
    struct str s = {0};
    for (int i = 0; i < ROWS; i++)
        T_OK(str_printf(&s,
                        "{\"prompt\": \"q %d\", \"chosen\": \"yes %d\", \"rejected\": "
                        "\"no, %d is not\"}\n",
                        7 * i, i, i * i));
    T_OK(file_write(DATA, s.data, s.len));
    str_free(&s);
}

static void body(struct t *t)
{
    write_rows();
    same_bits(t);
    if (t_on_host(t))
        same_bits_in_f64(t);
    stops(t);
    damaged(t);
    foreign(t);
    limits(t);
    best(t);
    leftovers(t);
}

int main(void)
{
    return t_each_device(body);
}
