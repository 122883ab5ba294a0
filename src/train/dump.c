#include "src/train/dump.h"

#include <stdlib.h>

#include "src/base/file.h"
#include "src/format/json.h"

static void ids(struct fmt_jw *w, const char *key, const uint32_t *x, uint32_t n)
{
    fmt_jw_key(w, key);
    fmt_jw_array(w);
    for (uint32_t i = 0; i < n; i++)
        fmt_jw_int(w, x[i]);
    fmt_jw_end(w);
}

static void write_split(struct fmt_jw *w, const struct tr_dataset *data)
{
    const struct ds_set *set = &data->set;

    fmt_jw_key(w, data->name);
    fmt_jw_object(w);
    fmt_jw_key(w, "rows");
    fmt_jw_array(w);
    for (uint32_t i = 0; i < set->n; i++) {
        const struct ds_pair *p = &set->pairs[i];
        const uint32_t *x = set->ids.data + p->first;
        fmt_jw_object(w);
        fmt_jw_put_int(w, "row", p->row);
        ids(w, "prompt_ids", x, p->prompt);
        ids(w, "chosen_ids", x + p->prompt, p->chosen);
        ids(w, "rejected_ids", x + p->prompt + p->chosen, p->rejected);
        fmt_jw_end(w);
    }
    fmt_jw_end(w);
    ids(w, "dropped_rows", set->dropped, set->n_dropped);
    fmt_jw_end(w);
}

static enum rt_err write_file(const char *dir, const char *name, const struct str *s)
{
    enum rt_err err = RT_OK;
    char *path = NULL;

    RT_TRY(path_join(dir, name, &path));
    RT_TRY(file_write(path, s->data, s->len));
done:
    free(path);
    return err;
}

static void write_ref_logps(struct fmt_jw *w, const struct tr_dataset *d)
{
    const char *const keys[] = {"ref_chosen_logps", "ref_rejected_logps"};
    fmt_jw_key(w, d->name);
    fmt_jw_array(w);
    for (uint32_t i = 0; i < d->set.n; i++) {
        fmt_jw_object(w);
        fmt_jw_put_int(w, "row", d->set.pairs[i].row);
        for (size_t side = 0; side < 2; side++) {
            fmt_jw_put_num(w, keys[side], (double) d->ref_logps[side * d->set.n + i]);
        }
        fmt_jw_end(w);
    }
    fmt_jw_end(w);
}

// ref_logps.json of a run whose reference was computed beforehand.
static enum rt_err dump_ref_logps(const char *dir, const struct tr_dataset *train,
                                  const struct tr_dataset *evals, uint32_t n_evals)
{
    enum rt_err err = RT_OK;
    struct str s = {0};
    struct fmt_jw w = {.out = &s};

    if (!train->ref_logps)
        goto done;
    fmt_jw_object(&w);
    write_ref_logps(&w, train);
    for (uint32_t i = 0; i < n_evals; i++)
        write_ref_logps(&w, &evals[i]);
    fmt_jw_end(&w);
    RT_TRY(fmt_jw_done(&w));
    RT_TRY(write_file(dir, "ref_logps.json", &s));
done:
    str_free(&s);
    return err;
}

enum rt_err tr_dump_open(const char *dir, const struct tr_dataset *train,
                         const struct tr_dataset *evals, uint32_t n_evals, struct tr_dump *out)
{
    enum rt_err err = RT_OK;
    struct str s = {0};
    struct fmt_jw w = {.out = &s};

    *out = (struct tr_dump){.dir = dir};
    if (!dir)
        goto done;
    RT_TRY(dir_make(dir));
    fmt_jw_object(&w);
    write_split(&w, train);
    for (uint32_t i = 0; i < n_evals; i++)
        write_split(&w, &evals[i]);
    fmt_jw_end(&w);
    RT_TRY(fmt_jw_done(&w));
    RT_TRY(write_file(dir, "tokens.json", &s));
    RT_TRY(dump_ref_logps(dir, train, evals, n_evals));
    RT_TRY(str_puts(&out->batches, "{\"steps\": ["));
    RT_TRY(str_puts(&out->step1, "{\"micro_batches\": ["));
done:
    str_free(&s);
    return err;
}

void tr_dump_close(struct tr_dump *d)
{
    str_free(&d->batches);
    str_free(&d->evals);
    str_free(&d->step1);
    *d = (struct tr_dump){0};
}

static void token_logps(struct fmt_jw *w, const char *key, const struct tr_result *r,
                        uint32_t first)
{
    fmt_jw_key(w, key);
    fmt_jw_array(w);
    for (uint32_t i = first; i < first + r->n; i++) {
        fmt_jw_array(w);
        for (uint32_t t = r->token_starts[i]; t < r->token_starts[i + 1]; t++)
            fmt_jw_num(w, (double) r->token_logps[t]);
        fmt_jw_end(w);
    }
    fmt_jw_end(w);
}

// How a batch is written: with the number of steps done where `step` is not NULL, with its tokens.
struct form {
    const uint64_t *step;
    bool tokens;
};

static enum rt_err write_micro(struct str *to, const struct tr_batch *b, const struct tr_result *r,
                               struct form form)
{
    struct fmt_jw w = {.out = to};
    fmt_jw_object(&w);
    if (form.step) {
        fmt_jw_put_int(&w, "step", (int64_t) *form.step);
    }
    fmt_jw_key(&w, "rows");
    fmt_jw_array(&w);
    for (uint32_t i = 0; i < r->n; i++)
        fmt_jw_int(&w, b->data->set.pairs[b->pairs[i]].row);
    fmt_jw_end(&w);
    fmt_jw_put_num(&w, "loss", r->loss);
    fmt_jw_put_nums(&w, "chosen_logps", r->chosen_logps, r->n);
    fmt_jw_put_nums(&w, "rejected_logps", r->rejected_logps, r->n);
    fmt_jw_put_nums(&w, "ref_chosen_logps", r->ref_chosen_logps, r->n);
    fmt_jw_put_nums(&w, "ref_rejected_logps", r->ref_rejected_logps, r->n);
    if (form.tokens) {
        token_logps(&w, "chosen_token_logps", r, 0);
        token_logps(&w, "rejected_token_logps", r, r->n);
    }
    fmt_jw_end(&w);
    return fmt_jw_done(&w);
}

enum rt_err tr_dump_micro(struct tr_dump *d, uint64_t step, const struct tr_batch *b,
                          const struct tr_result *r)
{
    enum rt_err err = RT_OK;

    if (!d->dir)
        goto done;
    if (d->step != step) {
        RT_TRY(str_printf(&d->batches, "%s\n{\"step\": %llu, \"micro_batches\": [",
                          d->step ? "]}," : "", (unsigned long long) step));
        d->micro = 0;
    }
    d->step = step;
    if (d->micro)
        RT_TRY(str_puts(&d->batches, ", "));
    RT_TRY(write_micro(&d->batches, b, r, (struct form){NULL, false}));
    if (step == 1) {
        if (d->micro)
            RT_TRY(str_puts(&d->step1, ", "));
        RT_TRY(write_micro(&d->step1, b, r, (struct form){NULL, true}));
    }
    d->micro++;
done:
    return err;
}

enum rt_err tr_dump_eval(struct tr_dump *d, uint64_t step, const struct tr_batch *b,
                         const struct tr_result *r)
{
    enum rt_err err = RT_OK;

    if (!d->dir)
        goto done;
    if (d->evals.len)
        RT_TRY(str_puts(&d->evals, ",\n"));
    RT_TRY(write_micro(&d->evals, b, r, (struct form){&step, false}));
done:
    return err;
}

enum rt_err tr_dump_grads(struct tr_dump *d, const struct md_params *params,
                          const struct md_flat *grads, double scale)
{
    return d->dir ? md_weights_save(params, grads, d->dir, "grad1", RT_F32, scale) : RT_OK;
}

enum rt_err tr_dump_reference(struct tr_dump *d, const struct md_params *params,
                              const struct md_flat *reference)
{
    return d->dir ? md_weights_save(params, reference, d->dir, "final_ref", RT_F32, 1.0) : RT_OK;
}

enum rt_err tr_dump_finish(struct tr_dump *d)
{
    enum rt_err err = RT_OK;

    if (!d->dir)
        goto done;
    RT_TRY(str_printf(&d->batches, "%s], \"evals\": [%s]}\n", d->step ? "]}" : "",
                      d->evals.len ? d->evals.data : ""));
    RT_TRY(write_file(d->dir, "batches.json", &d->batches));
    RT_TRY(str_puts(&d->step1, "]}\n"));
    RT_TRY(write_file(d->dir, "step1.json", &d->step1));
done:
    return err;
}
