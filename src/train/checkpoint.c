#include "src/train/checkpoint.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/train/manifest.h"
#include "src/train/run_eval.h"
#include "src/train/save.h"

#define PREFIX "checkpoint-"

// ---- Names ------------------------------------------------------------------------------------

// The digits at s, and nothing else, as a number; false if there is none.
static bool to_step(const char *s, uint64_t *out)
{
    const size_t n = strspn(s, "0123456789");
    *out = n && n < 19 ? strtoull(s, NULL, 10) : 0;
    return n && n < 19 && s[n] == 0;
}

static bool is_checkpoint(const char *name, uint64_t *step)
{
    return str_has_prefix(name, PREFIX) && to_step(name + strlen(PREFIX), step);
}

static int by_step(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;
    return (x > y) - (x < y);
}

// Steps of the checkpoint folders in `dir`, ascending; free() them. None if there is no `dir`.
static enum rt_err list_steps(const char *dir, uint64_t **steps, uint32_t *n)
{
    enum rt_err err = RT_OK;
    struct dir_names names = {0};

    *steps = NULL;
    *n = 0;
    if (!dir_exists(dir))
        goto done;
    RT_TRY(dir_list(dir, &names));
    *steps = malloc((names.n + 1) * sizeof(**steps));
    RT_REQUIRE(*steps, RT_E_NOMEM);
    for (size_t i = 0; i < names.n; i++)
        if (is_checkpoint(names.name[i], &(*steps)[*n]))
            ++*n;
    qsort(*steps, *n, sizeof(**steps), by_step);
done:
    dir_names_free(&names);
    return err;
}

static enum rt_err path_of(const char *dir, uint64_t step, struct str *out)
{
    str_clear(out);
    return str_printf(out, "%s/" PREFIX "%" PRIu64, dir, step);
}

static bool has_file(const char *dir, const char *name)
{
    char *path = NULL;
    const bool has = path_join(dir, name, &path) == RT_OK && file_exists(path);
    free(path);
    return has;
}

// Was this folder written with training state? Either file may have been lost since.
static bool has_state(const char *dir)
{
    return has_file(dir, TR_MANIFEST) || has_file(dir, TR_TRAINING_STATE);
}

// ---- Finding ----------------------------------------------------------------------------------

// Is it NAME.tmp-PROCESS, as this program calls what it has not finished?
static bool is_leftover(const char *name)
{
    const char *mark = strstr(name, ".tmp-");
    uint64_t process;
    return mark && to_step(mark + strlen(".tmp-"), &process);
}

static enum rt_err remove_leftovers(const char *dir)
{
    enum rt_err err = RT_OK;
    struct dir_names names = {0};
    char *path = NULL;

    if (!dir_exists(dir))
        goto done;
    RT_TRY(dir_list(dir, &names));
    for (size_t i = 0; i < names.n; i++) {
        if (!is_leftover(names.name[i]))
            continue;
        free(path);
        RT_TRY(path_join(dir, names.name[i], &path));
        log_info("removing %s, which a run that was killed left unfinished", path);
        RT_TRY(dir_remove(path));
    }
done:
    free(path);
    dir_names_free(&names);
    return err;
}

// The newest checkpoint of `dir` with training state; RT_E_NOT_FOUND if there is none.
static enum rt_err find_newest(const char *dir, struct str *out)
{
    enum rt_err err = RT_OK;
    uint64_t *steps = NULL;
    uint32_t n, i;

    RT_TRY(list_steps(dir, &steps, &n));
    for (i = n; i > 0; i--) {
        RT_TRY(path_of(dir, steps[i - 1], out));
        if (has_state(out->data))
            goto done;
    }
    err = rt_fail(RT_E_NOT_FOUND,
                  "resume_from_checkpoint: there is no checkpoint with training state in %s%s; "
                  "leave it out to start anew",
                  dir, n ? ", only models (save_only_model)" : "");
done:
    free(steps);
    return err;
}

// The newest whole checkpoint before `bad`, which lies in its parent folder, as a hint for a
// message, appended to *out; nothing if there is none.
static void offer_older(const char *bad, struct str *out)
{
    const char *slash = strrchr(bad, '/'), *name = slash ? slash + 1 : bad;
    uint64_t *steps = NULL, step;
    uint32_t n = 0;
    char *parent = NULL;
    struct str path = {0}, why = {0};

    if (!is_checkpoint(name, &step) ||
        str_dup_n(slash ? bad : ".", slash ? (size_t) (slash - bad) : 1, &parent) != RT_OK ||
        list_steps(parent, &steps, &n) != RT_OK)
        n = 0;
    for (; n > 0; n--)
        if (steps[n - 1] < step && path_of(parent, steps[n - 1], &path) == RT_OK &&
            has_file(path.data, TR_TRAINING_STATE) && tr_manifest_verify(path.data, &why) == RT_OK)
            break;
    if (n && str_printf(out, "; the newest whole one before it is %s", path.data) != RT_OK)
        str_clear(out);
    str_free(&path);
    str_free(&why);
    free(steps);
    free(parent);
}

// Refuse what is damaged, and what never was a checkpoint of a run.
static enum rt_err verify(const char *dir)
{
    enum rt_err err = RT_OK;
    struct str why = {0}, older = {0};

    if (!dir_exists(dir))
        RT_TRY(rt_fail(RT_E_NOT_FOUND, "resume_from_checkpoint: there is no folder %s", dir));
    if (!has_state(dir))
        RT_TRY(rt_fail(RT_E_FORMAT,
                       "resume_from_checkpoint: %s has no %s: it is no checkpoint of this program, "
                       "or was saved with save_only_model",
                       dir, TR_TRAINING_STATE));
    err = tr_manifest_verify(dir, &why);
    if (err == RT_E_FORMAT) {
        offer_older(dir, &older);
        err = rt_fail(RT_E_FORMAT, "%s cannot be resumed from: %s%s", dir,
                      why.data ? why.data : "damaged", older.data ? older.data : "");
    }
done:
    str_free(&older);
    str_free(&why);
    return err;
}

// What the checkpoint decides, or must agree with, before anything is opened.
static enum rt_err take_config(const struct tr_checkpoint *k, struct tr_config *c)
{
    enum rt_err err = RT_OK;
    const struct fmt_json j = {k->state, k->dir};
    const char *storage;
    uint32_t pass_tokens;

    RT_TRY(tr_options_compare(k->dir, cJSON_GetObjectItemCaseSensitive(k->state, "options"),
                              c->options));
    RT_TRY(fmt_json_str(&j, "storage", &storage));
    if (strcmp(storage, rt_type_name(c->storage)) != 0)
        RT_TRY(rt_fail(RT_E_USAGE,
                       "%s: fp16, bf16: the checkpoint is of a run in %s, this one is %s", k->dir,
                       storage, rt_type_name(c->storage)));
    RT_TRY(fmt_json_int(&j, "clock", &c->now));
    RT_TRY(fmt_json_u32(&j, "pass_tokens", &pass_tokens));
    if (c->pass_tokens && c->pass_tokens != pass_tokens)
        log_warn("%s: pass_tokens was %u and is %u: the run goes on with other roundings", k->dir,
                 pass_tokens, c->pass_tokens);
    else
        c->pass_tokens = pass_tokens;
done:
    return err;
}

// A new run among the checkpoints of another may be a slip.
static enum rt_err note_earlier(const char *dir)
{
    uint64_t *steps = NULL;
    uint32_t n = 0;
    const enum rt_err err = list_steps(dir, &steps, &n);

    if (n)
        log_info("%s has checkpoints of an earlier run up to step %" PRIu64
                 "; this run begins anew (resume_from_checkpoint true would go on from there)",
                 dir, steps[n - 1]);
    free(steps);
    return err;
}

enum rt_err tr_checkpoint_open(struct tr_config *c, struct tr_checkpoint *out)
{
    enum rt_err err = RT_OK;
    struct tr_checkpoint k = {0};
    struct str dir = {0};
    char *path = NULL;

    *out = k;
    RT_TRY(remove_leftovers(c->output_dir));
    if (!c->resume_from_checkpoint) {
        RT_TRY(note_earlier(c->output_dir));
        if (!c->now)
            RT_TRY(os_clock(&c->now));
        goto done;
    }
    if (strcmp(c->resume_from_checkpoint, "true") == 0)
        RT_TRY(find_newest(c->output_dir, &dir));
    else
        RT_TRY(str_puts(&dir, c->resume_from_checkpoint));
    while (dir.len > 1 && dir.data[dir.len - 1] == '/')
        dir.data[--dir.len] = 0;
    RT_TRY(verify(dir.data));
    RT_TRY(path_join(dir.data, TR_TRAINING_STATE, &path));
    RT_TRY(fmt_json_read(path, &k.state));
    RT_TRY(str_dup(dir.data, &k.dir));
    RT_TRY(take_config(&k, c));
    *out = k;
    k = (struct tr_checkpoint){0};
done:
    tr_checkpoint_close(&k);
    str_free(&dir);
    free(path);
    return err;
}

void tr_checkpoint_close(struct tr_checkpoint *k)
{
    cJSON_Delete(k->state);
    free(k->dir);
    *k = (struct tr_checkpoint){0};
}

// ---- Going on ---------------------------------------------------------------------------------

static enum rt_err check_prints(const struct tr_run_state *r, const struct fmt_json *j)
{
    enum rt_err err = RT_OK;
    const struct {
        const char *key, *what;
        uint64_t now;
    } rows[] = {
        {"data", "dataset_name, max_length or the tokenizer: the rows give other tokens",
         r->print.data},
        {"model", "model_name_or_path: it is another model", r->print.model},
        {"trained", "adapter_name_or_path or model: training began from other weights",
         r->print.trained},
        {"reference", "ref_model_name_or_path: it is another reference", r->print.reference},
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const char *then;
        char now[17];
        snprintf(now, sizeof(now), "%016" PRIx64, rows[i].now);
        RT_TRY(fmt_json_str(j, rows[i].key, &then));
        if (strcmp(then, now) != 0)
            RT_TRY(rt_fail(RT_E_USAGE, "%s does not belong to this run: %s than there was",
                           r->from.dir, rows[i].what));
    }
done:
    return err;
}

static enum rt_err warn_of_kernels(struct tr_run_state *r)
{
    enum rt_err err = RT_OK;
    const cJSON *then = cJSON_GetObjectItemCaseSensitive(r->from.state, "kernels"), *a, *b;
    struct str text = {0};
    struct fmt_jw w = {.out = &text};
    cJSON *now = NULL;

    tr_kernels_write(&w, &r->s);
    RT_TRY(fmt_jw_done(&w));
    RT_TRY(fmt_json_parse(text.data, text.len, "kernels", &now));
    cJSON_ArrayForEach(a, then)
    {
        b = cJSON_GetObjectItemCaseSensitive(now, a->string);
        if (cJSON_IsString(a) && cJSON_IsString(b) && strcmp(a->valuestring, b->valuestring) != 0)
            log_warn("%s: %s was %s and is %s: the run goes on with other roundings", r->from.dir,
                     a->string, a->valuestring, b->valuestring);
    }
done:
    cJSON_Delete(now);
    str_free(&text);
    return err;
}

static enum rt_err check_length(const struct tr_run_state *r, const struct fmt_json *j)
{
    enum rt_err err = RT_OK;
    int64_t done, total;
    const int64_t now = (int64_t) r->order.total_steps;

    RT_TRY(fmt_json_int(j, "step", &done));
    RT_TRY(fmt_json_int(j, "max_steps", &total));
    if (done > now)
        RT_TRY(rt_fail(RT_E_USAGE,
                       "%s has %" PRId64 " steps behind it, this run shall have %" PRId64
                       ": raise max_steps or num_train_epochs",
                       r->from.dir, done, now));
    if (total != now && r->c->schedule.kind != TR_CONSTANT)
        log_warn("%s: the run had %" PRId64 " steps and has %" PRId64
                 ": learning rates go on by the new length",
                 r->from.dir, total, now);
done:
    return err;
}

enum rt_err tr_checkpoint_check(struct tr_run_state *r)
{
    enum rt_err err = RT_OK;
    const struct fmt_json j = {r->from.state, r->from.dir};
    const struct tr_config *c = r->c;

    RT_TRY(tr_fingerprint_take(&r->s, &r->print));
    if (c->save_strategy == TR_SAVE_STEPS)
        r->save_every = c->save_steps < 1.0
                            ? (uint64_t) ceil(c->save_steps * (double) r->order.total_steps)
                            : (uint64_t) c->save_steps;
    if (!r->from.dir)
        goto done;
    RT_TRY(check_prints(r, &j));
    RT_TRY(check_length(r, &j));
    RT_TRY(warn_of_kernels(r));
done:
    return err;
}

enum rt_err tr_checkpoint_restore(struct tr_run_state *r)
{
    enum rt_err err = RT_OK;

    if (!r->from.dir)
        goto done;
    RT_TRY(tr_state_read(r, &r->from));
    log_info("going on from %s: %" PRIu64 " of %" PRIu64 " steps are done", r->from.dir, r->at.step,
             r->order.total_steps);
done:
    return err;
}

// ---- Writing ----------------------------------------------------------------------------------

static enum rt_err fill(struct tr_run_state *r, const char *dir, bool only_model)
{
    enum rt_err err = RT_OK;
    const struct tr_config *c = r->c;

    r->at.elapsed_s = os_seconds() - r->started;
    r->at.since_log_s = os_seconds() - r->logged_at;
    RT_TRY(tr_save_model(r->s.model, r->s.tok, c->model_name_or_path, dir, c->save_dtype));
    RT_TRY(tr_log_save_state(&r->log, dir, r->at.step, ds_order_epoch(&r->order)));
    if (only_model) {
        RT_TRY(dir_sync(dir));
        goto done;
    }
    RT_TRY(tr_log_keep(&r->log, dir));
    RT_TRY(tr_state_write(r, dir));
    RT_TRY(tr_manifest_write(dir));
done:
    return err;
}

// Rename before removing: a folder called checkpoint-N is whole at any moment.
static enum rt_err remove_checkpoint(const char *dir)
{
    enum rt_err err = RT_OK;
    struct str away = {0};

    RT_TRY(str_printf(&away, "%s.tmp-%ld", dir, os_process()));
    RT_TRY(dir_replace(dir, away.data));
    RT_TRY(dir_remove(away.data));
done:
    str_free(&away);
    return err;
}

// Must it stay whatever save_total_limit says?
static bool is_protected(const struct tr_run_state *r, uint64_t step)
{
    return step == r->at.step || step == r->log.best.saved_step;
}

// The oldest go until save_total_limit are left. Source: transformers' rotate_checkpoints.
static enum rt_err rotate(struct tr_run_state *r)
{
    enum rt_err err = RT_OK;
    uint64_t *steps = NULL;
    uint32_t n = 0;
    struct str path = {0};

    if (!r->c->save_total_limit)
        goto done;
    RT_TRY(list_steps(r->c->output_dir, &steps, &n));
    for (uint32_t i = 0, left = n; i < n && left > r->c->save_total_limit; i++) {
        if (is_protected(r, steps[i]))
            continue;
        RT_TRY(path_of(r->c->output_dir, steps[i], &path));
        RT_TRY(remove_checkpoint(path.data));
        left--;
    }
done:
    free(steps);
    str_free(&path);
    return err;
}

// The best step has a checkpoint: now, or since it was the best.
static enum rt_err note_best(struct tr_run_state *r)
{
    enum rt_err err = RT_OK;
    struct tr_best *b = &r->log.best;
    struct str dir = {0};

    if (!b->step)
        goto done;
    RT_TRY(path_of(r->c->output_dir, b->step, &dir));
    if (b->step == r->at.step || dir_exists(dir.data))
        b->saved_step = b->step;
done:
    str_free(&dir);
    return err;
}

static enum rt_err save(struct tr_run_state *r, bool only_model)
{
    enum rt_err err = RT_OK;
    struct str dir = {0}, tmp = {0};

    RT_TRY(path_of(r->c->output_dir, r->at.step, &dir));
    RT_TRY(str_printf(&tmp, "%s.tmp-%ld", dir.data, os_process()));
    RT_TRY(dir_remove(tmp.data));
    RT_TRY(note_best(r));
    RT_TRY(fill(r, tmp.data, only_model));
    RT_TRY(dir_replace(tmp.data, dir.data));
    if (!only_model)
        r->saved_step = r->at.step;
    log_info("saved %s", dir.data);
    RT_TRY(rotate(r));
done:
    if (err != RT_OK && tmp.len && dir_remove(tmp.data) != RT_OK)
        log_warn("%s is left over; the next run removes it", tmp.data);
    str_free(&dir);
    str_free(&tmp);
    return err;
}

// Is this step's evaluation, if there was one, the best so far? Source: transformers'
// _determine_best_metric.
static enum rt_err watch_metric(struct tr_run_state *r, bool *is_best)
{
    enum rt_err err = RT_OK;
    const char *name = r->c->metric_for_best_model;
    struct tr_best *b = &r->log.best;
    struct str key = {0};
    double value;

    *is_best = false;
    if (!name || r->s.n_evals == 0 || r->evaluated_at != r->at.step)
        goto done;
    RT_TRY(str_printf(&key, "%s%s", str_has_prefix(name, "eval_") ? "" : "eval_", name));
    if (!tr_run_eval_metric(r, key.data, &value))
        RT_TRY(rt_fail(RT_E_USAGE, "metric_for_best_model: no evaluation gives %s", key.data));
    if (b->step)
        *is_best = r->c->greater_is_better ? value > b->metric : value < b->metric;
    else
        *is_best = r->c->greater_is_better ? value > -(double) INFINITY : value < (double) INFINITY;
    if (*is_best) {
        b->metric = value;
        b->step = r->at.step;
    }
done:
    str_free(&key);
    return err;
}

bool tr_checkpoint_is_due(const struct tr_run_state *r, uint64_t step)
{
    const bool last = step >= r->order.total_steps;
    switch (r->c->save_strategy) {
    case TR_SAVE_STEPS:
        return last || (r->save_every && step % r->save_every == 0);
    case TR_SAVE_EPOCH:
        return last || r->order.micro == r->order.micro_batches;
    default:
        return false;
    }
}

enum rt_err tr_checkpoint_step(struct tr_run_state *r)
{
    enum rt_err err = RT_OK;
    bool is_best;

    RT_TRY(watch_metric(r, &is_best));
    if (tr_checkpoint_is_due(r, r->at.step) || (is_best && r->c->save_strategy == TR_SAVE_BEST))
        RT_TRY(save(r, r->c->save_only_model));
done:
    return err;
}

void tr_checkpoint_name_last(const struct tr_run_state *r)
{
    if (r->saved_step)
        log_info("the last checkpoint is that of step %" PRIu64
                 "; resume_from_checkpoint true goes on from there",
                 r->saved_step);
    else if (r->from.dir && r->at.step)
        log_info("the last checkpoint is %s, which this run went on from", r->from.dir);
}

enum rt_err tr_checkpoint_load_best(struct tr_run_state *r)
{
    enum rt_err err = RT_OK;
    const struct tr_best *b = &r->log.best;
    struct str dir = {0}, why = {0};

    if (!r->c->load_best_model_at_end || !b->saved_step)
        goto done;
    RT_TRY(path_of(r->c->output_dir, b->saved_step, &dir));
    if (!dir_exists(dir.data)) {
        log_warn("%s, the best checkpoint, is gone: the last weights are kept", dir.data);
        goto done;
    }
    if (has_state(dir.data))
        err = tr_manifest_verify(dir.data, &why);
    if (err == RT_E_FORMAT)
        err =
            rt_fail(err, "%s, the best checkpoint: %s", dir.data, why.data ? why.data : "damaged");
    RT_TRY(err);
    RT_TRY(tr_state_read_weights(r, dir.data));
    log_info("the model is that of %s, the best by %s: %g", dir.data, r->c->metric_for_best_model,
             b->metric);
done:
    str_free(&dir);
    str_free(&why);
    return err;
}

enum rt_err tr_checkpoint_stop(struct tr_run_state *r)
{
    return r->saved_step == r->at.step ? RT_OK : save(r, false);
}
