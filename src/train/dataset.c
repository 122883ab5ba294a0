#include "src/train/dataset.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/file.h"

// The tokenizer and the template that rows go through.
struct reader {
    const struct tr_config *c;
    const struct txt_tokenizer *tok;
    const struct txt_chat *chat;
};

// The folder of tokenised rows; NULL, with a warning, where there can be none.
static enum rt_err rows_dir(const struct tr_config *c, char **out)
{
    enum rt_err err = RT_OK;
    struct str why = {0};
    char *cache = NULL;

    *out = NULL;
    log_capture(&why);
    err = dir_cache(c->cache_dir, &cache);
    log_capture(NULL);
    if (err == RT_OK)
        err = path_join(cache, "rows", out);
    else if (err != RT_E_NOMEM) {
        log_warn("the tokens stay in memory: %s", why.len ? why.data + 1 : rt_err_name(err));
        err = RT_OK;
    }
    free(cache);
    str_free(&why);
    return err;
}

// Takes ownership of `path` and `name`, also on error; `path` names the data in messages.
static enum rt_err read_rows(const struct reader *r, const struct ds_part *parts, uint32_t n_parts,
                             char *path, char *name, struct tr_dataset *out)
{
    enum rt_err err = RT_OK;
    const struct ds_set *s = &out->set;
    char *cache = NULL;
    int64_t now;

    *out = (struct tr_dataset){.name = name, .path = path};
    RT_TRY(os_clock(&now));
    RT_TRY(rows_dir(r->c, &cache));
    RT_TRY(ds_read(&(struct ds_read_args){.parts = parts,
                                          .n_parts = n_parts,
                                          .tok = r->tok,
                                          .chat = r->chat,
                                          .max_length = r->c->max_length,
                                          .truncation = r->c->truncation_mode,
                                          .strict = r->c->strict,
                                          .now = now,
                                          .cache_dir = cache,
                                          .cache_bytes = r->c->token_cache_bytes},
                   &out->set));
    log_info("%s: %u rows, %u pairs kept; %u dropped (prompt too long), %u truncated, %u with a "
             "prompt cut at a token boundary",
             path, s->n_read, s->n, s->n_dropped, s->n_truncated, s->n_cut);
done:
    free(cache);
    if (err != RT_OK)
        tr_dataset_close(out);
    return err;
}

// The first file or folder, and how many more.
static enum rt_err name_of_rows(const struct tr_config *c, char **out)
{
    enum rt_err err = RT_OK;
    struct str s = {0};
    uint32_t n = 0;

    *out = NULL;
    for (uint32_t i = 0; i < c->n_parts; i++)
        n += c->parts[i].n_paths;
    RT_TRY(str_puts(&s, c->dataset_name));
    if (n > 1)
        RT_TRY(str_printf(&s, " and %u more", n - 1));
    *out = s.data;
    s = (struct str){0};
done:
    str_free(&s);
    return err;
}

enum rt_err tr_dataset_open_train(const struct tr_config *c, const struct txt_tokenizer *tok,
                                  const struct txt_chat *chat, struct tr_dataset *out)
{
    enum rt_err err = RT_OK;
    const struct ds_part whole = {.paths = {c->dataset_name}, .n_paths = 1};
    char *path = NULL, *name = NULL;

    *out = (struct tr_dataset){0};
    RT_TRY(str_dup("train", &name));
    RT_TRY(name_of_rows(c, &path));
    err = read_rows(&(struct reader){c, tok, chat}, c->n_parts ? c->parts : &whole,
                    c->n_parts ? c->n_parts : 1, path, name, out);
    path = name = NULL;
done:
    free(path);
    free(name);
    return err;
}

// The split of a folder that is evaluated on: dataset_test_split, else "eval".
static enum rt_err find_split(const struct tr_config *c, const char *dir, const char **out)
{
    enum rt_err err = RT_OK;
    const char *const names[] = {c->dataset_test_split ? c->dataset_test_split : "test", "eval"};
    bool there = false;

    *out = NULL;
    for (size_t i = 0; i < 2 && !*out; i++) {
        RT_TRY(ds_folder_has(dir, names[i], &there));
        *out = there ? names[i] : NULL;
    }
    if (!*out)
        RT_TRY(rt_fail(RT_E_NOT_FOUND, "%s: expected a folder with %s.jsonl or eval.jsonl", dir,
                       names[0]));
done:
    return err;
}

// "eval_NAME"; without a name the file's, less folder and ending.
static enum rt_err name_of(const struct tr_eval_file *f, bool alone, char **out)
{
    enum rt_err err = RT_OK;
    const char *slash = strrchr(f->path, '/'), *stem = slash ? slash + 1 : f->path;
    const char *dot = strrchr(stem, '.');
    struct str s = {0};

    *out = NULL;
    RT_TRY(str_puts(&s, "eval"));
    if (f->name)
        RT_TRY(str_printf(&s, "_%s", f->name));
    else if (!alone)
        RT_TRY(str_printf(&s, "_%.*s", (int) (dot && dot > stem ? dot - stem : 255), stem));
    *out = s.data;
    s = (struct str){0};
done:
    str_free(&s);
    return err;
}

static enum rt_err open_eval(const struct reader *r, const struct tr_eval_file *f, bool alone,
                             struct tr_dataset *out)
{
    enum rt_err err = RT_OK;
    struct ds_part part = {.paths = {f->path}, .n_paths = 1};
    char *path = NULL, *name = NULL;

    if (r->c->n_parts == 1) { // the columns of the rows that are trained on
        memcpy(part.columns, r->c->parts[0].columns, sizeof(part.columns));
        part.n_columns = r->c->parts[0].n_columns;
        part.select = r->c->parts[0].select;
    }
    RT_TRY(name_of(f, alone, &name));
    if (dir_exists(f->path))
        RT_TRY(find_split(r->c, f->path, &part.split));
    RT_TRY(part.split ? path_join(f->path, part.split, &path) : str_dup(f->path, &path));
    err = read_rows(r, &part, 1, path, name, out);
    path = name = NULL;
done:
    free(path);
    free(name);
    return err;
}

static enum rt_err check_names(const struct tr_dataset *d, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < i; k++)
            if (strcmp(d[i].name, d[k].name) == 0)
                return rt_fail(RT_E_USAGE,
                               "eval_dataset_name: %s and %s are both %s: give a mapping of names "
                               "to files",
                               d[k].path, d[i].path, d[i].name);
    return RT_OK;
}

enum rt_err tr_datasets_open_eval(const struct tr_config *c, const struct txt_tokenizer *tok,
                                  const struct txt_chat *chat, struct tr_dataset **out, uint32_t *n)
{
    enum rt_err err = RT_OK;
    const struct reader r = {c, tok, chat};
    const struct tr_eval_file beside = {NULL, c->dataset_name}, *files = c->eval_files;
    uint32_t count = c->n_eval_files;

    *out = NULL;
    *n = 0;
    if (count == 0 && c->sample_prompts && !(c->dataset_name && dir_exists(c->dataset_name)))
        goto done; // prompts are answered, and nothing else
    if (count == 0 && !(c->dataset_name && dir_exists(c->dataset_name)))
        RT_TRY(rt_fail(RT_E_USAGE,
                       "eval_strategy is set and there is nothing to evaluate on: expected "
                       "eval_dataset_name, or dataset_name a folder that also has test.jsonl"));
    if (count == 0) {
        files = &beside;
        count = 1;
    }
    *out = calloc(count, sizeof(**out));
    RT_REQUIRE(*out, RT_E_NOMEM);
    for (; *n < count; ++*n)
        RT_TRY(open_eval(&r, &files[*n], count == 1, &(*out)[*n]));
    RT_TRY(check_names(*out, *n));
done:
    return err;
}

enum rt_err tr_dataset_order(const struct tr_config *c, const struct tr_dataset *d,
                             int64_t max_steps, struct ds_order *out)
{
    return ds_order_make(&(struct ds_order_args){.n_pairs = d->set.n,
                                                 .batch = c->per_device_train_batch_size,
                                                 .accumulation = c->gradient_accumulation_steps,
                                                 .drop_last = c->dataloader_drop_last,
                                                 .sequential = c->sequential,
                                                 .seed = c->data_seed,
                                                 .epochs = c->num_train_epochs,
                                                 .max_steps = max_steps},
                         out);
}

void tr_dataset_close(struct tr_dataset *d)
{
    free(d->name);
    free(d->path);
    free(d->ref_logps);
    ds_set_free(&d->set);
    *d = (struct tr_dataset){0};
}
