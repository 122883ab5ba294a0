#include "src/train/log.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/format/json.h"

enum rt_err tr_log_open(const struct tr_config *c, uint64_t max_steps, struct tr_log *out)
{
    enum rt_err err = RT_OK;
    struct tr_log log = {.c = c, .max_steps = max_steps};

    *out = (struct tr_log){0};
    RT_TRY(path_join(c->output_dir, "metrics.jsonl", &log.metrics_path));
    RT_TRY(file_write(log.metrics_path, "", 0)); // a new run: a new file
    *out = log;
    log = (struct tr_log){0};
done:
    tr_log_close(&log);
    return err;
}

void tr_log_close(struct tr_log *log)
{
    if (log->progress_shown)
        fputc('\n', stderr);
    str_free(&log->history);
    free(log->metrics_path);
    *log = (struct tr_log){0};
}

static void number(struct fmt_jw *w, const char *key, double v)
{
    if (isnan(v))
        return;
    fmt_jw_put_num(w, key, v);
}

// HF's keys of an evaluation begin with the dataset's name, TRL's with "eval" whatever the name.
static void write_eval(struct fmt_jw *w, const struct tr_evaluation *e)
{
    const struct {
        const char *key;
        double value;
    } own[] = {{"loss", e->loss},
               {"runtime", e->runtime},
               {"samples_per_second", e->samples_per_s},
               {"steps_per_second", e->steps_per_s}};
    char key[320];

    for (size_t i = 0; i < COUNT_OF(own); i++) {
        snprintf(key, sizeof(key), "%.256s_%s", e->name, own[i].key);
        fmt_jw_put_num(w, key, own[i].value);
    }
}

static void write_metrics(struct fmt_jw *w, const struct tr_metrics *m, const char *prefix)
{
    char key[64];
    for (int i = 0; m && m->n && i < TR_METRIC_COUNT; i++) {
        snprintf(key, sizeof(key), "%s%s", prefix, tr_metric_name((enum tr_metric) i));
        number(w, key, tr_metrics_get(m, (enum tr_metric) i));
    }
}

static void write_entry(struct fmt_jw *w, const struct tr_entry *e, bool ours)
{
    fmt_jw_object(w);
    if (e->eval)
        write_eval(w, e->eval);
    number(w, "loss", e->loss);
    number(w, "grad_norm", e->grad_norm);
    number(w, "learning_rate", e->learning_rate);
    number(w, "train_runtime", e->train_runtime);
    number(w, "train_samples_per_second", e->samples_per_s);
    number(w, "train_steps_per_second", e->steps_per_s);
    number(w, "train_loss", e->train_loss);
    write_metrics(w, e->metrics, e->eval ? "eval_" : "");
    number(w, "epoch", e->epoch);
    fmt_jw_put_int(w, "step", (int64_t) e->step);
    if (ours) {
        number(w, "step_time_s", e->step_time_s);
        number(w, "pairs_per_s", e->pairs_per_s);
        number(w, "tokens_per_s", e->tokens_per_s);
        fmt_jw_put_int(w, "device_bytes", (int64_t) e->device_bytes);
        fmt_jw_put_int(w, "host_bytes", (int64_t) os_peak_rss());
    }
    fmt_jw_end(w);
}

static void report(const struct tr_log *log, const struct tr_entry *e)
{
    if (e->eval)
        log_info("step %llu/%llu  %s: loss %.4f  margin %.4f  accuracy %.3f  (%u pairs in %.1f s)",
                 (unsigned long long) e->step, (unsigned long long) log->max_steps, e->eval->name,
                 e->eval->loss, tr_metrics_get(e->metrics, TR_REWARDS_MARGINS),
                 tr_metrics_get(e->metrics, TR_REWARDS_ACCURACIES), e->eval->pairs,
                 e->eval->runtime);
    if (isnan(e->loss))
        return;
    log_info("step %llu/%llu  loss %.4f  margin %.4f  accuracy %.3f  grad_norm %.3g  lr %.3g  %.2f "
             "s/step  %.0f tokens/s",
             (unsigned long long) e->step, (unsigned long long) log->max_steps, e->loss,
             tr_metrics_get(e->metrics, TR_REWARDS_MARGINS),
             tr_metrics_get(e->metrics, TR_REWARDS_ACCURACIES), e->grad_norm, e->learning_rate,
             e->step_time_s, e->tokens_per_s);
}

enum rt_err tr_log_add(struct tr_log *log, const struct tr_entry *e)
{
    enum rt_err err = RT_OK;
    struct str line = {0};
    struct fmt_jw w = {.out = &line}, h = {.out = &log->history};

    if (log->history.len)
        RT_TRY(str_puts(&log->history, ",\n    "));
    write_entry(&h, e, false);
    RT_TRY(fmt_jw_done(&h));
    write_entry(&w, e, true);
    RT_TRY(fmt_jw_done(&w));
    RT_TRY(str_putc(&line, '\n'));
    RT_TRY(file_append(log->metrics_path, line.data, line.len));
    report(log, e);
done:
    str_free(&line);
    return err;
}

#define HISTORY "\"log_history\": [\n    " // what comes before the entries

// "best_global_step" and its like, null where there is none yet.
static enum rt_err put_best(const struct tr_log *log, struct str *s)
{
    enum rt_err err = RT_OK;
    const struct tr_best *b = &log->best;
    struct str path = {0};
    char text[32];

    if (b->step && log->c->save_strategy != TR_SAVE_NO)
        RT_TRY(str_printf(s, "  \"best_global_step\": %llu,\n", (unsigned long long) b->step));
    else
        RT_TRY(str_puts(s, "  \"best_global_step\": null,\n"));
    RT_TRY(str_printf(s, "  \"best_metric\": %s,\n  \"best_model_checkpoint\": ",
                      b->step ? fmt_num_print(text, b->metric, true) : "null"));
    if (b->saved_step) {
        RT_TRY(str_printf(&path, "%s/checkpoint-%llu", log->c->output_dir,
                          (unsigned long long) b->saved_step));
        RT_TRY(fmt_json_escape(s, path.data, path.len, true));
    } else
        RT_TRY(str_puts(s, "null"));
    RT_TRY(str_puts(s, ",\n"));
done:
    str_free(&path);
    return err;
}

// Steps between two, as transformers keeps them: 500 where they do not apply.
static unsigned long long every(bool applies, double steps, uint64_t total)
{
    return applies ? (unsigned long long) tr_schedule_every(steps, total) : 500;
}

enum rt_err tr_log_save_state(const struct tr_log *log, const char *dir, uint64_t step,
                              double epoch)
{
    enum rt_err err = RT_OK;
    const struct tr_config *c = log->c;
    struct str s = {0};
    char *path = NULL;
    char number_text[32];

    RT_TRY(str_puts(&s, "{\n"));
    RT_TRY(put_best(log, &s));
    RT_TRY(str_printf(&s,
                      "  \"epoch\": %s,\n  \"eval_steps\": %llu,\n"
                      "  \"global_step\": %llu,\n  \"is_hyper_param_search\": false,\n"
                      "  \"is_local_process_zero\": true,\n  \"is_world_process_zero\": true,\n"
                      "  " HISTORY,
                      fmt_num_print(number_text, epoch, true),
                      every(c->eval_strategy == TR_EVAL_STEPS, c->eval_steps, log->max_steps),
                      (unsigned long long) step));
    RT_TRY(str_append(&s, log->history.data ? log->history.data : "", log->history.len));
    RT_TRY(str_printf(
        &s,
        "\n  ],\n  \"logging_steps\": %llu,\n  \"max_steps\": %llu,\n"
        "  \"num_input_tokens_seen\": 0,\n  \"num_train_epochs\": %lld,\n  \"save_steps\": %llu,\n"
        "  \"stateful_callbacks\": {},\n  \"total_flos\": 0.0,\n  \"train_batch_size\": %u,\n"
        "  \"trial_name\": null,\n  \"trial_params\": null\n}\n",
        (unsigned long long) tr_schedule_every(c->logging_steps, log->max_steps),
        (unsigned long long) log->max_steps,
        (long long) ceil(c->max_steps > 0 ? epoch : c->num_train_epochs),
        every(c->save_strategy == TR_SAVE_STEPS, c->save_steps, log->max_steps),
        c->per_device_train_batch_size));
    RT_TRY(path_join(dir, "trainer_state.json", &path));
    RT_TRY(file_write(path, s.data, s.len));
done:
    free(path);
    str_free(&s);
    return err;
}

enum rt_err tr_log_keep(const struct tr_log *log, const char *dir)
{
    enum rt_err err = RT_OK;
    char *path = NULL;

    RT_TRY(path_join(dir, "metrics.jsonl", &path));
    RT_TRY(file_copy(log->metrics_path, path));
done:
    free(path);
    return err;
}

enum rt_err tr_log_restore(struct tr_log *log, const char *dir, uint64_t bytes)
{
    enum rt_err err = RT_OK;
    struct str state = {0};
    char *from = NULL, *path = NULL;

    RT_TRY(path_join(dir, "metrics.jsonl", &from));
    RT_TRY(file_copy(from, log->metrics_path));
    RT_TRY(path_join(dir, "trainer_state.json", &path));
    RT_TRY(file_read(path, &state));
    const char *at = state.data ? strstr(state.data, HISTORY) : NULL;
    if (!at || bytes > strlen(at + strlen(HISTORY)))
        RT_TRY(rt_fail(RT_E_FORMAT, "%s: expected a log_history of %llu bytes", path,
                       (unsigned long long) bytes));
    str_clear(&log->history);
    RT_TRY(str_append(&log->history, at + strlen(HISTORY), (size_t) bytes));
done:
    str_free(&state);
    free(from);
    free(path);
    return err;
}

void tr_log_progress(struct tr_log *log, uint64_t step, double loss, double margin, double accuracy,
                     double seconds_per_step, double tokens_per_s, uint64_t device_bytes)
{
    char mem[32];
    const double left = (double) (log->max_steps - step) * seconds_per_step;
    if (log->c->disable_tqdm)
        return;
    fprintf(stderr,
            "\r%llu/%llu  loss %.4f  margin %.4f  acc %.2f  %.0f tok/s  %s  %.0f:%02.0f left\033[K",
            (unsigned long long) step, (unsigned long long) log->max_steps, loss, margin, accuracy,
            tokens_per_s, str_bytes(mem, (double) device_bytes), floor(left / 60.0),
            fmod(left, 60.0));
    fflush(stderr);
    log->progress_shown = true;
}
