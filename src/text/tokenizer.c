#include "src/text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/base/hash.h"
#include "src/format/json.h"
#include "src/text/tokenizer_parts.h"

// ---- ids ----

void txt_ids_free(struct txt_ids *ids)
{
    free(ids->data);
    *ids = (struct txt_ids){0};
}

void txt_ids_clear(struct txt_ids *ids)
{
    ids->len = 0;
}

enum rt_err txt_ids_append(struct txt_ids *ids, const uint32_t *data, size_t n)
{
    enum rt_err err = RT_OK;
    size_t need, bytes, cap = ids->cap ? ids->cap : 32;

    RT_REQUIRE(size_add(ids->len, n, &need) && need <= SIZE_MAX / 16, RT_E_NOMEM);
    if (need > ids->cap) {
        uint32_t *p;
        while (cap < need)
            cap *= 2;
        RT_REQUIRE(size_mul(cap, sizeof(*p), &bytes), RT_E_NOMEM);
        p = realloc(ids->data, bytes);
        RT_REQUIRE(p, RT_E_NOMEM);
        ids->data = p;
        ids->cap = cap;
    }
    if (n)
        memcpy(ids->data + ids->len, data, n * sizeof(*data));
    ids->len = need;
done:
    return err;
}

enum rt_err txt_push(void *array, size_t *n, size_t size, void **item)
{
    enum rt_err err = RT_OK;
    char *old, *p;

    *item = NULL;
    memcpy(&old, array, sizeof(old)); // the caller's pointer is of another type
    p = realloc(old, (*n + 1) * size);
    RT_REQUIRE(p, RT_E_NOMEM);
    memset(p + *n * size, 0, size);
    memcpy(array, &p, sizeof(p));
    *item = p + (*n)++ * size;
done:
    return err;
}

// ---- opening ----

static enum rt_err read_bpe_or(struct txt_tokenizer *tok, const struct txt_node *at)
{
    static const struct txt_kind KINDS[] = {{"BPE", txt_bpe_read}, {"Unigram", txt_unigram_read}};
    enum rt_err err = RT_OK;
    struct txt_node type, merges;

    if (!at->v)
        RT_TRY(txt_node_fail(at, RT_E_FORMAT, "is missing"));
    RT_TRY(txt_node_get(at, "type", &type));
    RT_TRY(txt_node_get(at, "merges", &merges));
    if (!type.v && merges.v) // files of before models had a type
        RT_TRY(txt_bpe_read(tok, at));
    else
        RT_TRY(txt_read_kind(tok, at, KINDS, COUNT_OF(KINDS)));
done:
    return err;
}

// The parts in the order in which they need each other.
static enum rt_err read_parts(struct txt_tokenizer *tok, const json_t *doc)
{
    static const struct {
        const char *key;
        enum rt_err (*read)(struct txt_tokenizer *, const struct txt_node *);
    } PARTS[] = {
        {"normalizer", txt_norms_read},    {"model", read_bpe_or},
        {"added_tokens", txt_added_read},  {"pre_tokenizer", txt_pres_read},
        {"post_processor", txt_post_read}, {"decoder", txt_decs_read},
    };
    enum rt_err err = RT_OK;
    const struct txt_node top = {.v = doc};
    struct txt_node part;

    for (size_t i = 0; i < COUNT_OF(PARTS); i++) {
        RT_TRY(txt_node_get(&top, PARTS[i].key, &part));
        RT_TRY(PARTS[i].read(tok, &part));
    }
done:
    return err;
}

// What needs all parts: words as bytes, the number of rows, the bytes of each id.
static enum rt_err finish(struct txt_tokenizer *tok)
{
    enum rt_err err = RT_OK;
    struct txt_pres *p = &tok->pres;

    if (p->n > 0 && p->steps[p->n - 1].kind == TXT_PRE_BYTES && tok->word == txt_bpe_word &&
        tok->bpe.all_bytes) {
        p->n--;
        RT_TRY(txt_bpe_use_bytes(tok));
    }
    tok->rows = u32_max(tok->vocab.rows, tok->added.names.rows);
    for (size_t i = 0; i < tok->post.items.len; i++)
        if (tok->post.items.data[i] != TXT_POST_TEXT)
            tok->rows = u32_max(tok->rows, tok->post.items.data[i] + 1);
    RT_TRY(txt_decs_bytes(tok));
done:
    return err;
}

// The text of a special token: a string, or an object with "content".
static const char *special_text(const cJSON *v)
{
    if (cJSON_IsObject(v))
        v = cJSON_GetObjectItemCaseSensitive(v, "content");
    return cJSON_IsString(v) ? v->valuestring : NULL;
}

enum rt_err txt_specials_read(struct txt_tokenizer *tok, const cJSON *doc)
{
    static const char *const KEYS[] = {[TXT_BOS] = "bos_token",
                                       [TXT_EOS] = "eos_token",
                                       [TXT_PAD] = "pad_token",
                                       [TXT_UNK] = "unk_token"};
    enum rt_err err = RT_OK;

    for (size_t i = 0; i < TXT_SPECIAL_COUNT; i++) {
        const char *text = special_text(cJSON_GetObjectItemCaseSensitive(doc, KEYS[i]));
        struct txt_special_token *s = &tok->specials[i];
        if (!text || s->text)
            continue;
        RT_TRY(str_dup(text, &tok->special_text[i]));
        s->text = tok->special_text[i];
        s->len = strlen(s->text);
        s->has_id = txt_token_id(tok, s->text, s->len, &s->id);
        hash_add(&tok->digest, KEYS[i], strlen(KEYS[i]));
        hash_add(&tok->digest, s->text, s->len + 1);
    }
done:
    return err;
}

static enum rt_err read_specials(struct txt_tokenizer *tok, const char *folder, const char *name)
{
    enum rt_err err = RT_OK;
    char *path = NULL;
    cJSON *doc = NULL;

    RT_TRY(path_join(folder, name, &path));
    if (!file_exists(path))
        goto done;
    RT_TRY(fmt_json_read(path, &doc));
    RT_TRY(txt_specials_read(tok, doc));
done:
    cJSON_Delete(doc);
    free(path);
    return err;
}

enum rt_err txt_tokenizer_parse(const char *json, size_t len, const char *where,
                                struct txt_tokenizer **out)
{
    enum rt_err err = RT_OK;
    struct txt_tokenizer *tok = NULL;
    struct str changed = {0};
    json_t *doc = NULL;

    *out = NULL;
    tok = calloc(1, sizeof(*tok));
    RT_REQUIRE(tok, RT_E_NOMEM);
    hash_begin(&tok->digest, 0);
    hash_add(&tok->digest, json, len);
    RT_TRY(txt_json_nul_keys(json, len, &changed, &tok->nul_key));
    if (tok->nul_key) {
        json = changed.data;
        len = changed.len;
    }
    RT_TRY(fmt_jansson_parse(json, len, where, 1, &doc));
    RT_TRY(txt_chars_create(&tok->chars));
    RT_TRY(read_parts(tok, doc));
    RT_TRY(finish(tok));
    *out = tok;
    tok = NULL;
done:
    json_decref(doc);
    str_free(&changed);
    txt_tokenizer_close(&tok);
    return err;
}

enum rt_err txt_tokenizer_open(const char *folder, struct txt_tokenizer **out)
{
    enum rt_err err = RT_OK;
    struct txt_tokenizer *tok = NULL;
    struct file_map map = {0};
    char *path = NULL;

    *out = NULL;
    RT_TRY(path_join(folder, "tokenizer.json", &path));
    RT_TRY(file_map_open(path, &map));
    RT_TRY(txt_tokenizer_parse((const char *) map.data, map.size, path, &tok));
    RT_TRY(read_specials(tok, folder, "tokenizer_config.json"));
    RT_TRY(read_specials(tok, folder, "special_tokens_map.json"));
    *out = tok;
    tok = NULL;
done:
    file_map_close(&map);
    free(path);
    txt_tokenizer_close(&tok);
    return err;
}

uint64_t txt_tokenizer_digest(const struct txt_tokenizer *tok)
{
    return hash_end(&tok->digest);
}

void txt_tokenizer_close(struct txt_tokenizer **tok)
{
    struct txt_tokenizer *t = *tok;

    if (!t)
        return;
    free(t->chars);
    txt_norms_free(&t->norms);
    txt_added_free(&t->added);
    txt_pres_free(&t->pres);
    txt_vocab_free(&t->vocab);
    txt_bpe_free(&t->bpe);
    txt_unigram_free(&t->unigram);
    txt_ids_free(&t->post.items);
    txt_decs_free(&t->decs);
    for (size_t i = 0; i < TXT_SPECIAL_COUNT; i++)
        free(t->special_text[i]);
    free(t);
    *tok = NULL;
}

// ---- encoding ----

// A piece without raw added tokens: normalize it, take out the normalized ones, and split the rest.
static enum rt_err encode_plain(struct txt_encoding *e, const char *text, size_t len, bool first)
{
    enum rt_err err = RT_OK;
    struct txt_cut cut = {0};
    const struct txt_added_token *token;
    size_t start, end;
    bool moved;

    RT_TRY(txt_normalize(e->tok, &e->norm, text, len, &text, &len, &moved));
    while (txt_added_next(e->tok, &e->tok->added.normal, text, len, &cut, &start, &end, &token)) {
        if (start == end)
            continue;
        if (token)
            RT_TRY(txt_ids_append(e->out, &token->id, 1));
        else
            RT_TRY(txt_pretokenize(e, text + start, end - start, first && !moved && start == 0));
    }
done:
    return err;
}

static enum rt_err encode_text(struct txt_encoding *e, const char *text, size_t len)
{
    enum rt_err err = RT_OK;
    struct txt_cut cut = {0};
    const struct txt_added_token *token;
    size_t start, end;

    while (txt_added_next(e->tok, &e->tok->added.raw, text, len, &cut, &start, &end, &token)) {
        if (start == end)
            continue;
        if (token)
            RT_TRY(txt_ids_append(e->out, &token->id, 1));
        else
            RT_TRY(encode_plain(e, text + start, end - start, start == 0));
    }
done:
    return err;
}

static void encoding_free(struct txt_encoding *e)
{
    txt_norm_scratch_free(&e->norm);
    txt_model_scratch_free(&e->model);
    for (size_t i = 0; i < TXT_STEPS_MAX; i++) {
        txt_scan_free(&e->scans[i]);
        str_free(&e->texts[i]);
    }
}

enum rt_err txt_encode(const struct txt_tokenizer *tok, const char *text, size_t len,
                       bool add_special, struct txt_ids *out)
{
    enum rt_err err = RT_OK;
    const size_t before = out->len;
    const uint32_t whole = TXT_POST_TEXT;
    const struct txt_ids *row =
        add_special ? &tok->post.items : &(struct txt_ids){(uint32_t[]){whole}, 1, 1};
    struct txt_encoding e = {.tok = tok, .out = out};
    struct str repaired = {0};

    RT_REQUIRE(len <= INT32_MAX / 4, RT_E_ARG);
    if (txt_utf8_valid(text, len) != len) {
        RT_TRY(txt_utf8_repair(text, len, &repaired));
        text = repaired.data;
        len = repaired.len;
    }
    RT_TRY(txt_model_scratch_begin(&e.model, len));
    for (size_t i = 0; i < row->len; i++) {
        if (row->data[i] == TXT_POST_TEXT)
            RT_TRY(encode_text(&e, text, len));
        else
            RT_TRY(txt_ids_append(out, &row->data[i], 1));
    }
done:
    if (err)
        out->len = before;
    encoding_free(&e);
    str_free(&repaired);
    return err;
}

// ---- the rest of the interface ----

enum rt_err txt_decode(const struct txt_tokenizer *tok, const uint32_t *ids, size_t n,
                       bool skip_special, struct str *out)
{
    bool started = false;
    return txt_decode_ids(tok, &(struct txt_decode_args){ids, n, skip_special}, &started, out);
}

const char *txt_name_of(const struct txt_tokenizer *tok, uint32_t id, size_t *len)
{
    const char *name = txt_vocab_name(&tok->added.names, id, len);
    return name ? name : txt_vocab_name(&tok->vocab, id, len);
}

// The added token with an id, or NULL.
static const struct txt_added_token *added_of(const struct txt_tokenizer *tok, uint32_t id)
{
    const uint32_t i = id < tok->added.names.rows ? tok->added.by_id[id] : 0;
    return i ? &tok->added.tokens[i - 1] : NULL;
}

const char *txt_shown_name(const struct txt_tokenizer *tok, uint32_t id, size_t *len)
{
    const struct txt_added_token *t = added_of(tok, id);
    if (!t || !t->shown)
        return txt_name_of(tok, id, len);
    *len = t->shown_len;
    return t->shown;
}

const char *txt_token_name(const struct txt_tokenizer *tok, uint32_t id)
{
    size_t len;
    return txt_name_of(tok, id, &len);
}

bool txt_token_bytes(const struct txt_tokenizer *tok, uint32_t id, const char **bytes, size_t *len)
{
    const size_t *at = tok->decs.bytes_at;

    *bytes = NULL;
    *len = 0;
    if (id >= tok->rows || at[id + 1] == at[id])
        return false;
    *bytes = tok->decs.bytes.data + at[id];
    *len = at[id + 1] - at[id] - 1;
    return true;
}

bool txt_token_id(const struct txt_tokenizer *tok, const char *name, size_t len, uint32_t *id)
{
    return txt_table_get(&tok->added.names.ids, name, len, id) ||
           txt_table_get(&tok->vocab.ids, name, len, id);
}

bool txt_is_special(const struct txt_tokenizer *tok, uint32_t id)
{
    const struct txt_added_token *t = added_of(tok, id);
    return t && t->special;
}

bool txt_is_skipped(const struct txt_tokenizer *tok, uint32_t id)
{
    const struct txt_added_token *t = added_of(tok, id);
    return t && t->skipped;
}

uint32_t txt_vocab_size(const struct txt_tokenizer *tok)
{
    return tok->rows;
}

struct txt_special_token txt_special(const struct txt_tokenizer *tok, enum txt_special which)
{
    return tok->specials[which];
}
