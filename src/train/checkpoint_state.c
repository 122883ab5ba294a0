// What a checkpoint holds beyond the model's own files: flat buffers and training_state.json.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/format/safetensors.h"
#include "src/train/run_state.h"
#include "src/train/save.h"

enum { FORMAT = 1, SLICE = 1 << 20, MOST_FLATS = 8 };

// ---- Flat buffers -----------------------------------------------------------------------------

// One buffer with the layout of `params`, kept as tensors PREFIX + name in STEM.safetensors. Those
// of one stem follow each other. flat NULL or empty: there is none in this run.
struct kept {
    const char *stem, *prefix;
    struct md_flat *flat;
    const struct md_params *params;
};

// Do the model's own files hold the masters to the bit?
static bool model_has_masters(const struct tr_run_state *r)
{
    const struct md_trained t = md_trained_of(r->s.model);
    return t.params == &r->s.model->params && r->c->save_dtype == RT_F32 &&
           !rt_dev_is_f64(r->s.dev);
}

// Everything that steps change and that is not a number of training_state.json.
static uint32_t list_kept(struct tr_run_state *r, struct kept out[MOST_FLATS])
{
    const struct md_trained t = md_trained_of(r->s.model);
    const struct kept all[] = {
        {"master", "", model_has_masters(r) ? NULL : t.work, t.params},
        {"optimizer", "exp_avg.", &r->opt.m, t.params},
        {"optimizer", "exp_avg_sq.", &r->opt.v, t.params},
        {"reference", "", r->c->sync_ref_model ? &r->s.ref.copy : NULL, &r->s.model->params},
    };
    uint32_t n = 0;
    for (size_t i = 0; i < COUNT_OF(all); i++)
        if (all[i].flat && all[i].flat->n)
            out[n++] = all[i];
    return n;
}

// Rows of a weight that are moved at once, and elements of the largest such slice.
static uint32_t slice_rows(const struct md_param *p)
{
    return u32_max(1, u32_min(p->rows, SLICE / p->cols));
}

static enum rt_err slice_alloc(const struct tr_run_state *r, const struct md_params *params,
                               void **out)
{
    uint64_t n = 1;
    for (uint32_t i = 0; i < params->n; i++)
        n = u64_max(n, (uint64_t) slice_rows(&params->all[i]) * params->all[i].cols);
    *out = malloc(n * rt_type_size(rt_dev_is_f64(r->s.dev) ? RT_F64 : RT_F32));
    return *out ? RT_OK
                : rt_fail(RT_E_NOMEM, "out of memory: %llu elements", (unsigned long long) n);
}

static enum rt_err name_of(const struct kept *k, const struct md_param *p, struct str *out)
{
    str_clear(out);
    return str_printf(out, "%s%s", k->prefix, p->name);
}

static enum rt_err declare(struct fmt_st_writer *w, const struct kept *k, enum fmt_dtype dtype)
{
    enum rt_err err = RT_OK;
    struct str name = {0};

    for (uint32_t i = 0; i < k->params->n; i++) {
        const struct md_param *p = &k->params->all[i];
        const uint64_t shape[2] = {p->rank == 2 ? p->rows : p->cols, p->cols};
        RT_TRY(name_of(k, p, &name));
        RT_TRY(fmt_st_writer_add(w, name.data, dtype, p->rank, shape));
    }
done:
    str_free(&name);
    return err;
}

static enum rt_err put(struct fmt_st_writer *w, const struct kept *k, enum rt_type type, void *x)
{
    enum rt_err err = RT_OK;

    for (uint32_t i = 0; i < k->params->n; i++) {
        const struct md_param *p = &k->params->all[i];
        const uint32_t step = slice_rows(p);
        for (uint32_t row = 0; row < p->rows; row += step) {
            const uint32_t n = u32_min(step, p->rows - row);
            RT_TRY(md_flat_read_as(k->flat, p, row, n, type, x));
            RT_TRY(fmt_st_writer_put_raw(w, x, (size_t) n * p->cols * rt_type_size(type)));
        }
    }
done:
    return err;
}

// k[0 .. n) share a stem: one file.
static enum rt_err write_flats(struct tr_run_state *r, const struct kept *k, uint32_t n,
                               const char *dir)
{
    enum rt_err err = RT_OK;
    const bool f64 = rt_dev_is_f64(r->s.dev);
    struct fmt_st_writer *w = NULL;
    void *x = NULL;

    RT_TRY(fmt_st_writer_create(
        &(struct fmt_st_writer_args){.dir = dir, .stem = k->stem, .max_shard_bytes = UINT64_MAX},
        &w));
    for (uint32_t i = 0; i < n; i++)
        RT_TRY(declare(w, &k[i], f64 ? FMT_F64 : FMT_F32));
    RT_TRY(fmt_st_writer_begin(w));
    for (uint32_t i = 0; i < n; i++) {
        free(x);
        RT_TRY(slice_alloc(r, k[i].params, &x));
        RT_TRY(put(w, &k[i], f64 ? RT_F64 : RT_F32, x));
    }
    RT_TRY(fmt_st_writer_commit(w));
done:
    free(x);
    fmt_st_writer_destroy(&w);
    return err;
}

static enum rt_err get(const struct fmt_st *st, const struct kept *k, const struct md_param *p,
                       enum rt_type type, void *x)
{
    enum rt_err err = RT_OK;
    const uint32_t step = slice_rows(p);
    const size_t size = rt_type_size(type);
    const struct fmt_tensor *t;
    struct str name = {0};

    RT_TRY(name_of(k, p, &name));
    RT_TRY(fmt_st_get(st, name.data, &t));
    if (t->dtype != (type == RT_F64 ? FMT_F64 : FMT_F32) ||
        t->count != (uint64_t) p->rows * p->cols)
        RT_TRY(rt_fail(RT_E_SHAPE, "%s: %s: expected %u x %u of %s, found %" PRIu64 " of %s",
                       st->path, name.data, p->rows, p->cols, rt_type_name(type), t->count,
                       fmt_dtype_name(t->dtype)));
    for (uint32_t row = 0; row < p->rows; row += step) {
        const uint32_t n = u32_min(step, p->rows - row);
        const uint64_t at = (uint64_t) row * p->cols, count = (uint64_t) n * p->cols;
        memcpy(x, (const unsigned char *) t->data + at * size, count * size);
        RT_TRY(md_flat_write_as(k->flat, p, row, n, type, x));
        fmt_st_done_with(st, t, at, count);
    }
done:
    str_free(&name);
    return err;
}

static enum rt_err read_flat(struct tr_run_state *r, const struct kept *k, const char *dir)
{
    enum rt_err err = RT_OK;
    struct fmt_st st = {0};
    struct str path = {0};
    void *x = NULL;

    RT_TRY(str_printf(&path, "%s/%s.safetensors", dir, k->stem));
    RT_TRY(fmt_st_open(path.data, &st));
    RT_TRY(slice_alloc(r, k->params, &x));
    for (uint32_t i = 0; i < k->params->n; i++)
        RT_TRY(get(&st, k, &k->params->all[i], rt_dev_is_f64(r->s.dev) ? RT_F64 : RT_F32, x));
done:
    free(x);
    str_free(&path);
    fmt_st_close(&st);
    return err;
}

// ---- Numbers ----------------------------------------------------------------------------------

enum kind { U32, U64, F64 };

#define FIELD(name, kind, member)                                                                  \
    {                                                                                              \
        name, kind, offsetof(struct tr_run_state, member)                                          \
    }
static const struct field {
    const char *name;
    enum kind kind;
    size_t at;
} FIELDS[] = {
    FIELD("step", U64, at.step),
    FIELD("schedule_steps", U64, at.lr_steps),
    FIELD("adam_steps", U64, opt.t),
    FIELD("epoch", U32, order.epoch),
    FIELD("micro_batch", U32, order.micro),
    FIELD("loss_scale", F64, scaler.scale),
    FIELD("loss_scale_clean_steps", U32, scaler.clean),
    FIELD("loss_scale_skipped_steps", U64, scaler.skipped),
    FIELD("loss_sum_since_log", F64, at.loss_sum),
    FIELD("steps_since_log", U64, at.loss_steps),
    FIELD("loss_sum", F64, at.loss_total),
    FIELD("micro_batches_since_log", U32, metrics.n),
    FIELD("num_tokens", U64, metrics.num_tokens),
    FIELD("pairs_since_log", U64, at.pairs_since_log),
    FIELD("tokens_at_log", U64, at.tokens_at_log),
    FIELD("steps_at_log", U64, at.steps_at_log),
    FIELD("best_metric", F64, log.best.metric),
    FIELD("best_step", U64, log.best.step),
    FIELD("best_saved_step", U64, log.best.saved_step),
    FIELD("elapsed_s", F64, at.elapsed_s),
    FIELD("since_log_s", F64, at.since_log_s),
};

static void write_fields(struct fmt_jw *w, const struct tr_run_state *r)
{
    for (size_t i = 0; i < COUNT_OF(FIELDS); i++) {
        const void *p = (const char *) r + FIELDS[i].at;
        fmt_jw_key(w, FIELDS[i].name);
        if (FIELDS[i].kind == F64)
            fmt_jw_num(w, *(const double *) p);
        else
            fmt_jw_int(w, FIELDS[i].kind == U32 ? (int64_t) * (const uint32_t *) p
                                                : (int64_t) * (const uint64_t *) p);
    }
    fmt_jw_key(w, "metrics_since_log");
    fmt_jw_object(w);
    for (int i = 0; i < TR_METRIC_COUNT; i++) {
        fmt_jw_put_num(w, tr_metric_name((enum tr_metric) i), r->metrics.sums[i]);
    }
    fmt_jw_end(w);
}

static enum rt_err read_fields(const struct fmt_json *j, struct tr_run_state *r)
{
    enum rt_err err = RT_OK;
    struct fmt_json sums;
    int64_t n;

    for (size_t i = 0; i < COUNT_OF(FIELDS); i++) {
        void *p = (char *) r + FIELDS[i].at;
        if (FIELDS[i].kind == F64)
            RT_TRY(fmt_json_num(j, FIELDS[i].name, p));
        else if (FIELDS[i].kind == U32)
            RT_TRY(fmt_json_u32(j, FIELDS[i].name, p));
        else {
            RT_TRY(fmt_json_int(j, FIELDS[i].name, &n));
            *(uint64_t *) p = (uint64_t) n;
        }
    }
    RT_TRY(fmt_json_object(j, "metrics_since_log", &sums));
    for (int i = 0; i < TR_METRIC_COUNT; i++)
        RT_TRY(fmt_json_num_or(&sums, tr_metric_name((enum tr_metric) i), 0.0,
                               &r->metrics.sums[i])); // aux_loss is not in older ones
done:
    return err;
}

static void write_print(struct fmt_jw *w, const char *key, uint64_t v)
{
    char hex[17];
    snprintf(hex, sizeof(hex), "%016" PRIx64, v);
    fmt_jw_put_str(w, key, hex);
}

// What the run began with, and what it computes with.
static void write_origin(struct fmt_jw *w, const struct tr_run_state *r)
{
    write_print(w, "data", r->print.data);
    write_print(w, "model", r->print.model);
    write_print(w, "trained", r->print.trained);
    write_print(w, "reference", r->print.reference);
    fmt_jw_key(w, "kernels");
    tr_kernels_write(w, &r->s);
}

static enum rt_err write_json(struct tr_run_state *r, const char *dir)
{
    enum rt_err err = RT_OK;
    struct str text = {0};
    struct fmt_jw w = {.out = &text, .indent = 1};
    cJSON *options = NULL;
    char *path = NULL;

    fmt_jw_object(&w);
    fmt_jw_put_int(&w, "format", FORMAT);
    write_fields(&w, r);
    fmt_jw_put_int(&w, "log_history_bytes", (int64_t) r->log.history.len);
    fmt_jw_put_int(&w, "clock", r->c->now);
    fmt_jw_put_str(&w, "storage", rt_type_name(r->c->storage));
    fmt_jw_put_int(&w, "pass_tokens", r->c->pass_tokens);
    fmt_jw_put_int(&w, "max_steps", (int64_t) r->order.total_steps);
    write_origin(&w, r);
    fmt_jw_key(&w, "options");
    if (r->c->options)
        RT_TRY(fmt_json_parse(r->c->options, strlen(r->c->options), "options", &options));
    if (options)
        fmt_jw_cjson(&w, options);
    else
        fmt_jw_null(&w);
    fmt_jw_end(&w);
    RT_TRY(fmt_jw_done(&w));
    RT_TRY(str_putc(&text, '\n'));
    RT_TRY(path_join(dir, TR_TRAINING_STATE, &path));
    RT_TRY(file_write(path, text.data, text.len));
done:
    cJSON_Delete(options);
    free(path);
    str_free(&text);
    return err;
}

enum rt_err tr_state_write(struct tr_run_state *r, const char *dir)
{
    enum rt_err err = RT_OK;
    struct kept k[MOST_FLATS];
    const uint32_t n = list_kept(r, k);

    for (uint32_t i = 0, same; i < n; i += same) {
        for (same = 1; i + same < n && strcmp(k[i].stem, k[i + same].stem) == 0;)
            same++;
        RT_TRY(write_flats(r, &k[i], same, dir));
    }
    RT_TRY(write_json(r, dir));
done:
    return err;
}

enum rt_err tr_state_read_weights(struct tr_run_state *r, const char *dir)
{
    enum rt_err err = RT_OK;
    struct md_model *m = r->s.model;
    const struct md_trained t = md_trained_of(m);
    const struct kept own = {"master", "", t.work, t.params};
    struct str path = {0};

    // Where the masters are follows from the options of the run that wrote them.
    RT_TRY(str_printf(&path, "%s/master.safetensors", dir));
    if (file_exists(path.data))
        RT_TRY(read_flat(r, &own, dir));
    else if (md_adapter_any(&m->adapter))
        RT_TRY(md_adapter_load(&m->adapter, dir, t.work));
    else
        RT_TRY(md_weights_load(t.params, dir, RT_F32, t.work));
done:
    str_free(&path);
    return err;
}

enum rt_err tr_state_read(struct tr_run_state *r, const struct tr_checkpoint *from)
{
    enum rt_err err = RT_OK;
    const struct fmt_json j = {from->state, from->dir};
    const struct md_trained t = md_trained_of(r->s.model);
    struct kept k[MOST_FLATS];
    int64_t history;

    RT_TRY(tr_state_read_weights(r, from->dir));
    for (uint32_t i = 0, n = list_kept(r, k); i < n; i++)
        if (k[i].flat != t.work)
            RT_TRY(read_flat(r, &k[i], from->dir));
    RT_TRY(read_fields(&j, r));
    RT_TRY(ds_order_seek(&r->order, r->order.epoch, r->order.micro));
    RT_TRY(fmt_json_int(&j, "log_history_bytes", &history));
    RT_TRY(tr_log_restore(&r->log, from->dir, (uint64_t) history));
done:
    return err;
}
