#include "src/train/ref_logps.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/base/hash.h"
#include "src/format/gguf.h"
#include "src/format/safetensors.h"

enum { VERSION = 1 };

// ---- The key ----------------------------------------------------------------------------------

// Parts that decide whether values fit, and what a person changes to change them.
static const struct {
    const char *name, *says;
} DECIDES[] = {
    {"model", "the reference model's weights or config.json"},
    {"adapter", "the adapter that is the reference (adapter_name_or_path)"},
    {"storage", "the storage type (fp16, bf16)"},
    {"dtype", "dtype"},
    {"ld_alpha", "ld_alpha"},
    {"tokens", "the tokens that are trained on"},
};
// Parts that explain a difference in "tokens".
static const struct {
    const char *name, *says;
} EXPLAINS[] = {
    {"rows", "the file of rows"},
    {"tokenizer", "tokenizer.json"},
    {"chat_template", "the chat template or tokenizer_config.json"},
    {"max_length", "max_length"},
    {"truncation_mode", "truncation_mode"},
};

static enum rt_err add_text(struct tr_ref_key *k, const char *name, const char *text)
{
    return cJSON_AddStringToObject(k->parts, name, text)
               ? RT_OK
               : rt_fail(RT_E_NOMEM, "out of memory: key of the reference's log-probs");
}

static enum rt_err add_hash(struct tr_ref_key *k, const char *name, const struct hash *h)
{
    char text[17];
    snprintf(text, sizeof(text), "%016" PRIx64, hash_end(h));
    return add_text(k, name, text);
}

static enum rt_err hash_file(struct hash *h, const char *dir, const char *name)
{
    enum rt_err err = RT_OK;
    struct file_map map = {0};
    char *path = NULL;

    RT_TRY(dir ? path_join(dir, name, &path) : str_dup(name, &path));
    if (!file_exists(path))
        goto done;
    RT_TRY(file_map_open(path, &map));
    hash_add(h, &map.size, sizeof(map.size));
    hash_add(h, map.data, map.size);
done:
    file_map_close(&map);
    free(path);
    return err;
}

// config.json and all files of weights, or the GGUF file.
static enum rt_err add_model(struct tr_ref_key *k, const char *dir)
{
    enum rt_err err = RT_OK;
    struct fmt_st st = {0};
    struct hash h;

    hash_begin(&h, 0);
    if (fmt_gguf_is(dir)) {
        RT_TRY(hash_file(&h, NULL, dir));
        RT_TRY(add_hash(k, "model", &h));
        goto done;
    }
    RT_TRY(hash_file(&h, dir, "config.json"));
    RT_TRY(fmt_st_open(dir, &st));
    for (uint32_t i = 0; i < st.n_files; i++)
        RT_TRY(hash_file(&h, NULL, st.files[i].path));
    RT_TRY(add_hash(k, "model", &h));
done:
    fmt_st_close(&st);
    return err;
}

static enum rt_err add_adapter(struct tr_ref_key *k, const struct tr_config *c)
{
    enum rt_err err = RT_OK;
    struct hash h;

    if (c->ref_model_name_or_path || !c->lora.adapter)
        return add_text(k, "adapter", "none");
    hash_begin(&h, 0);
    RT_TRY(hash_file(&h, c->lora.adapter, "adapter_config.json"));
    RT_TRY(hash_file(&h, c->lora.adapter, "adapter_model.safetensors"));
    RT_TRY(add_hash(k, "adapter", &h));
done:
    return err;
}

// What a forward of each sequence sees: ids after truncation.
static enum rt_err add_tokens(struct tr_ref_key *k, const struct ds_set *set)
{
    struct hash h;

    hash_begin(&h, 0);
    for (uint32_t i = 0; i < 2 * set->n; i++) {
        const struct ds_sequence s = ds_sequence_of(set, i / 2, i % 2 == 0);
        const uint32_t head[] = {s.n_prompt, s.n_completion};
        hash_add(&h, head, sizeof(head));
        hash_add(&h, s.prompt, s.n_prompt * sizeof(*s.prompt));
        hash_add(&h, s.completion, s.n_completion * sizeof(*s.completion));
    }
    return add_hash(k, "tokens", &h);
}

static enum rt_err add_explanations(struct tr_ref_key *k, const struct tr_config *c,
                                    const struct tr_dataset *d)
{
    enum rt_err err = RT_OK;
    struct hash h;
    char text[16];

    hash_begin(&h, 0);
    RT_TRY(hash_file(&h, NULL, d->path));
    RT_TRY(add_hash(k, "rows", &h));
    hash_begin(&h, 0);
    RT_TRY(hash_file(&h, c->model_name_or_path, "tokenizer.json"));
    RT_TRY(add_hash(k, "tokenizer", &h));
    hash_begin(&h, 0);
    RT_TRY(hash_file(&h, c->model_name_or_path, "tokenizer_config.json"));
    RT_TRY(hash_file(&h, c->model_name_or_path, "chat_template.jinja"));
    RT_TRY(add_hash(k, "chat_template", &h));
    snprintf(text, sizeof(text), "%u", c->max_length);
    RT_TRY(add_text(k, "max_length", text));
    RT_TRY(add_text(k, "truncation_mode",
                    c->truncation_mode == DS_KEEP_END ? "keep_end" : "keep_start"));
done:
    return err;
}

enum rt_err tr_ref_key_make(const struct tr_config *c, const struct tr_dataset *d,
                            struct tr_ref_key *out)
{
    enum rt_err err = RT_OK;
    struct tr_ref_key k = {cJSON_CreateObject()};
    char text[32];

    *out = (struct tr_ref_key){0};
    RT_REQUIRE(k.parts, RT_E_NOMEM);
    RT_TRY(add_model(&k, c->ref_model_name_or_path ? c->ref_model_name_or_path
                                                   : c->model_name_or_path));
    RT_TRY(add_adapter(&k, c));
    RT_TRY(add_text(&k, "storage", rt_type_name(c->storage)));
    RT_TRY(add_text(&k, "dtype", rt_type_name(c->load_dtype)));
    RT_TRY(add_text(&k, "ld_alpha", c->ld ? fmt_num_print(text, c->ld_alpha, false) : "none"));
    RT_TRY(add_tokens(&k, &d->set));
    RT_TRY(add_explanations(&k, c, d));
    *out = k;
    k = (struct tr_ref_key){0};
done:
    tr_ref_key_free(&k);
    return err;
}

void tr_ref_key_free(struct tr_ref_key *k)
{
    cJSON_Delete(k->parts);
    *k = (struct tr_ref_key){0};
}

static const char *part(const cJSON *parts, const char *name)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(parts, name);
    return cJSON_IsString(v) ? v->valuestring : "";
}

void tr_ref_key_name(const struct tr_ref_key *k, const char *kernels, char out[17])
{
    struct hash h;

    hash_begin(&h, VERSION);
    for (size_t i = 0; i < COUNT_OF(DECIDES); i++) {
        const char *text = part(k->parts, DECIDES[i].name);
        hash_add(&h, text, strlen(text) + 1);
    }
    hash_add(&h, kernels, strlen(kernels));
    snprintf(out, 17, "%016" PRIx64, hash_end(&h));
}

static bool fits(const cJSON *a, const cJSON *b)
{
    for (size_t i = 0; i < COUNT_OF(DECIDES); i++)
        if (strcmp(part(a, DECIDES[i].name), part(b, DECIDES[i].name)) != 0)
            return false;
    return true;
}

// One error that names every part that differs.
static enum rt_err refuse(const char *path, const char *set, const cJSON *then, const cJSON *now)
{
    enum rt_err err = RT_OK;
    struct str why = {0};

    for (size_t i = 0; i < COUNT_OF(DECIDES); i++) {
        if (strcmp(part(then, DECIDES[i].name), part(now, DECIDES[i].name)) == 0)
            continue;
        RT_TRY(str_printf(&why, "%s%s", why.len ? "; " : "", DECIDES[i].says));
        bool first = true;
        for (size_t e = 0; strcmp(DECIDES[i].name, "tokens") == 0 && e < COUNT_OF(EXPLAINS); e++) {
            if (strcmp(part(then, EXPLAINS[e].name), part(now, EXPLAINS[e].name)) == 0)
                continue;
            RT_TRY(str_printf(&why, "%s%s", first ? ": " : ", ", EXPLAINS[e].says));
            first = false;
        }
    }
    err = rt_fail(RT_E_USAGE,
                  "%s: the reference log-probs of %s do not belong to this run; what differs: %s",
                  path, set, why.data ? why.data : "nothing");
done:
    str_free(&why);
    return err;
}

// ---- Reading ----------------------------------------------------------------------------------

// A text, line by line.
struct lines {
    const char *path, *at, *end;
    size_t line; // number of the one that was handed out last
};

// The next line as JSON; *out NULL at the end.
static enum rt_err next_line(struct lines *l, cJSON **out)
{
    enum rt_err err = RT_OK;
    char where[600];
    const char *stop;

    *out = NULL;
    if (l->at == l->end)
        return RT_OK;
    stop = memchr(l->at, '\n', (size_t) (l->end - l->at));
    stop = stop ? stop : l->end;
    l->line++;
    snprintf(where, sizeof(where), "%.500s:%zu", l->path, l->line);
    err = fmt_json_parse(l->at, (size_t) (stop - l->at), where, out);
    l->at = stop < l->end ? stop + 1 : stop;
    return err;
}

static enum rt_err damaged(const struct lines *l, const char *expected)
{
    return rt_fail(RT_E_FORMAT,
                   "%s:%zu: expected %s: the file is damaged; delete it to have the "
                   "reference's log-probs computed again",
                   l->path, l->line, expected);
}

// n rows; with `out`, which are kept: they must be those of the dataset.
static enum rt_err read_rows(struct lines *l, uint32_t n, const struct tr_dataset *d, float *out)
{
    enum rt_err err = RT_OK;
    cJSON *row = NULL;

    for (uint32_t i = 0; i < n; i++) {
        RT_TRY(next_line(l, &row));
        const cJSON *r = cJSON_GetObjectItemCaseSensitive(row, "row");
        const cJSON *c = cJSON_GetObjectItemCaseSensitive(row, "chosen");
        const cJSON *j = cJSON_GetObjectItemCaseSensitive(row, "rejected");
        if (!cJSON_IsNumber(r) || !cJSON_IsNumber(c) || !cJSON_IsNumber(j) ||
            !isfinite(c->valuedouble) || !isfinite(j->valuedouble))
            RT_TRY(damaged(l, "numbers row, chosen and rejected"));
        if (out && fabs(r->valuedouble - d->set.pairs[i].row) > 0.0)
            RT_TRY(damaged(l, "the rows of the data in order"));
        if (out) {
            out[i] = (float) c->valuedouble;
            out[n + i] = (float) j->valuedouble;
        }
        cJSON_Delete(row);
        row = NULL;
    }
done:
    cJSON_Delete(row);
    return err;
}

static enum rt_err read_section(struct lines *l, const cJSON *head, const struct tr_ref_key *k,
                                const char *kernels, const struct tr_dataset *d, float **out)
{
    enum rt_err err = RT_OK;
    const struct fmt_json j = {head, l->path};
    const cJSON *key = cJSON_GetObjectItemCaseSensitive(head, "key");
    uint32_t version, n;

    RT_TRY(fmt_json_u32(&j, "ref_logps", &version));
    RT_TRY(fmt_json_u32(&j, "pairs", &n));
    if (version != VERSION || n > (uint32_t) (l->end - l->at))
        RT_TRY(damaged(l, "a section's head of version 1"));
    if (!fits(key, k->parts)) {
        if (strcmp(part(head, "set"), d->name) == 0)
            RT_TRY(refuse(l->path, d->name, key, k->parts));
        RT_TRY(read_rows(l, n, d, NULL));
        goto done;
    }
    if (n != d->set.n)
        RT_TRY(damaged(l, "as many pairs as the data have"));
    *out = malloc(2 * (size_t) n * sizeof(**out));
    RT_REQUIRE(*out, RT_E_NOMEM);
    RT_TRY(read_rows(l, n, d, *out));
    if (strcmp(part(head, "kernels"), kernels) != 0)
        log_info("%s: the log-probs of %s were made with other kernels, on %s: they may differ in "
                 "the last digits",
                 l->path, d->name, part(head, "device"));
done:
    if (err != RT_OK) {
        free(*out);
        *out = NULL;
    }
    return err;
}

enum rt_err tr_ref_logps_read(const char *path, const struct tr_ref_key *k, const char *kernels,
                              const struct tr_dataset *d, float **out)
{
    enum rt_err err = RT_OK;
    struct str text = {0};
    cJSON *head = NULL;

    *out = NULL;
    RT_TRY(file_read(path, &text));
    struct lines l = {.path = path, .at = text.data, .end = text.data + text.len};
    for (; l.at < l.end && !*out; cJSON_Delete(head), head = NULL) {
        RT_TRY(next_line(&l, &head));
        RT_TRY(read_section(&l, head, k, kernels, d, out));
    }
done:
    cJSON_Delete(head);
    str_free(&text);
    return err;
}

// ---- Writing ----------------------------------------------------------------------------------

static void write_head(struct fmt_jw *w, const struct tr_ref_key *k, const char *kernels,
                       const char *device, const struct tr_dataset *d)
{
    fmt_jw_object(w);
    fmt_jw_put_int(w, "ref_logps", VERSION);
    fmt_jw_put_str(w, "set", d->name);
    fmt_jw_put_int(w, "pairs", d->set.n);
    fmt_jw_key(w, "key");
    fmt_jw_cjson(w, k->parts);
    fmt_jw_put_str(w, "kernels", kernels);
    fmt_jw_put_str(w, "device", device);
    fmt_jw_end(w);
}

enum rt_err tr_ref_logps_append(const char *path, const struct tr_ref_key *k, const char *kernels,
                                const char *device, const struct tr_dataset *d)
{
    enum rt_err err = RT_OK;
    const uint32_t n = d->set.n;
    const float *v = d->ref_logps;
    struct str s = {0};
    struct fmt_jw head = {.out = &s};

    write_head(&head, k, kernels, device, d);
    RT_TRY(fmt_jw_done(&head));
    for (uint32_t i = 0; i < n; i++) {
        char a[32], b[32];
        if (!isfinite(v[i]) || !isfinite(v[n + i]))
            RT_TRY(rt_fail(RT_E_NUMERIC, "%s: row %u: the reference's log-probs are %g and %g",
                           d->path, d->set.pairs[i].row, (double) v[i], (double) v[n + i]));
        RT_TRY(str_printf(&s, "\n{\"row\": %u, \"chosen\": %s, \"rejected\": %s}",
                          d->set.pairs[i].row, fmt_num_print(a, (double) v[i], true),
                          fmt_num_print(b, (double) v[n + i], true)));
    }
    RT_TRY(str_putc(&s, '\n'));
    RT_TRY(file_append(path, s.data, s.len));
done:
    str_free(&s);
    return err;
}
