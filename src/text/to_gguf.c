#include "src/text/to_gguf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/file.h"
#include "src/format/json.h"
#include "src/text/chat_internal.h"
#include "src/text/gguf_pre.h"
#include "src/text/to_gguf_spm.h"
#include "src/text/tokenizer_parts.h"

struct source {
    const struct txt_gguf_args *args;
    char *path; // of tokenizer.json
    json_t *doc;
    struct txt_tokenizer *tok;
    struct txt_chat *chat;
    bool is_spm; // SentencePiece BPE, else byte-level BPE
    const struct txt_gguf_pre *pre;
    struct txt_spm_scores spm;
    bool add_bos, add_eos;
    int64_t ids[TXT_SPECIAL_COUNT]; // -1 = none
};

static const char *text_of(const json_t *object, const char *key)
{
    const char *s = json_string_value(json_object_get(object, key));
    return s ? s : "";
}

// ---- the pre-tokenizer ----

// What a row of gguf_pre.h tells apart.
struct shape {
    const char *regex;
    bool digits, byte_level, use_regex;
};

// False: no row has such a step there.
static bool add_step(const json_t *step, struct shape *s)
{
    const char *type = text_of(step, "type");
    const json_t *pattern = json_object_get(json_object_get(step, "pattern"), "Regex");

    if (s->byte_level) // the last
        return false;
    if (strcmp(type, "Digits") == 0) {
        s->digits = true;
        return !s->regex && json_is_true(json_object_get(step, "individual_digits"));
    }
    if (strcmp(type, "Split") == 0) {
        const bool first = !s->regex;
        s->regex = json_string_value(pattern);
        return first && s->regex && strcmp(text_of(step, "behavior"), "Isolated") == 0 &&
               !json_is_true(json_object_get(step, "invert"));
    }
    s->byte_level = true;
    s->use_regex = !json_is_false(json_object_get(step, "use_regex"));
    return strcmp(type, "ByteLevel") == 0 &&
           !json_is_true(json_object_get(step, "add_prefix_space"));
}

static bool is_shape(const struct txt_gguf_pre *row, const struct shape *s, bool nfc, bool ignore)
{
    const bool same =
        row->regex && s->regex ? strcmp(row->regex, s->regex) == 0 : !row->regex && !s->regex;
    return same && row->digits == s->digits && s->use_regex == !row->regex && row->nfc == nfc &&
           row->ignore_merges == ignore;
}

static enum rt_err find_pre(struct source *s)
{
    enum rt_err err = RT_OK;
    const json_t *pre = json_object_get(s->doc, "pre_tokenizer"),
                 *list = json_object_get(pre, "pretokenizers");
    const struct txt_norms *n = &s->tok->norms;
    const bool nfc = n->n == 1 && n->steps[0].kind == TXT_NORM_FORM &&
                     strcmp(text_of(json_object_get(s->doc, "normalizer"), "type"), "NFC") == 0;
    bool good = n->n == 0 || nfc;
    struct shape shape = {0};
    struct str known = {0};

    if (!list)
        good = add_step(pre, &shape) && good;
    for (size_t i = 0; i < json_array_size(list); i++)
        good = add_step(json_array_get(list, i), &shape) && good;
    for (const struct txt_gguf_pre *row = txt_gguf_pres(); row->name; row++) {
        if (!s->pre && good && shape.byte_level &&
            is_shape(row, &shape, nfc, s->tok->bpe.ignore_merges))
            s->pre = row;
        RT_TRY(str_printf(&known, "%s%s", known.len ? ", " : "", row->name));
    }
    if (!s->pre)
        RT_TRY(rt_fail(RT_E_UNSUPPORTED,
                       "%s: normalizer, pre_tokenizer and ignore_merges are together none that "
                       "can be written as GGUF; known: %s",
                       s->path, known.data));
done:
    str_free(&known);
    return err;
}

// ---- what is to be written ----

static enum rt_err check_model(const struct source *s)
{
    const char *type = text_of(json_object_get(s->doc, "model"), "type");

    if (s->tok->word != txt_bpe_word)
        return rt_fail(RT_E_UNSUPPORTED, "%s: model %s cannot be written as GGUF: only BPE can",
                       s->path, type);
    if (txt_vocab_size(s->tok) > s->args->rows)
        return rt_fail(RT_E_FORMAT, "%s: %u tokens, the embedding has %u rows", s->path,
                       txt_vocab_size(s->tok), s->args->rows);
    return RT_OK;
}

static void find_ids(struct source *s)
{
    const int32_t config[TXT_SPECIAL_COUNT] = {[TXT_BOS] = s->args->bos,
                                               [TXT_EOS] = s->args->eos,
                                               [TXT_PAD] = s->args->pad,
                                               [TXT_UNK] = -1};

    for (size_t i = 0; i < TXT_SPECIAL_COUNT; i++) {
        const struct txt_special_token t = txt_special(s->tok, (enum txt_special) i);
        const bool good = config[i] >= 0 && (uint32_t) config[i] < s->args->rows;
        s->ids[i] = t.has_id ? (int64_t) t.id : good ? config[i] : -1;
    }
}

// What is added to an empty text: bos, eos or both. What comes first is bos where none is named.
static enum rt_err find_additions(struct source *s)
{
    enum rt_err err = RT_OK;
    struct txt_ids ids = {0};
    size_t at = 0;

    RT_TRY(txt_encode(s->tok, "", 0, true, &ids));
    if (ids.len > 0 && s->ids[TXT_BOS] < 0 && ids.data[0] != s->ids[TXT_EOS])
        s->ids[TXT_BOS] = ids.data[0];
    s->add_bos = at < ids.len && ids.data[at] == s->ids[TXT_BOS];
    at += s->add_bos;
    s->add_eos = at < ids.len && ids.data[at] == s->ids[TXT_EOS];
    at += s->add_eos;
    if (at < ids.len)
        RT_TRY(rt_fail(RT_E_UNSUPPORTED,
                       "%s: post_processor: token %u is added to texts; GGUF knows bos before and "
                       "eos behind them",
                       s->path, ids.data[at]));
done:
    txt_ids_free(&ids);
    return err;
}

static enum rt_err open_source(struct source *s)
{
    enum rt_err err = RT_OK;
    struct file_map map = {0};

    RT_TRY(path_join(s->args->folder, "tokenizer.json", &s->path));
    RT_TRY(txt_tokenizer_open(s->args->folder, &s->tok));
    RT_TRY(txt_chat_open(s->args->folder, &s->chat));
    RT_TRY(file_map_open(s->path, &map));
    RT_TRY(fmt_jansson_parse((const char *) map.data, map.size, s->path, 1, &s->doc));
    RT_TRY(check_model(s));
    s->is_spm = s->tok->bpe.byte_fallback;
    RT_TRY(s->is_spm ? txt_spm_scores(s->tok, s->doc, s->path, &s->spm) : find_pre(s));
    find_ids(s);
    RT_TRY(find_additions(s));
done:
    file_map_close(&map);
    return err;
}

// ---- writing ----

static enum rt_err put_word(struct fmt_gguf_writer *w, const char *key, const char *text)
{
    return fmt_gguf_put_text(w, key, text, strlen(text));
}

static enum txt_gguf_token type_of(const struct source *s, uint32_t id)
{
    const struct txt_tokenizer *tok = s->tok;
    const bool added = id < tok->added.names.rows && tok->added.by_id[id];
    size_t len;
    const char *name = txt_name_of(tok, id, &len);

    if (!name)
        return TXT_GGUF_UNUSED;
    if (s->is_spm && tok->bpe.unk == id)
        return TXT_GGUF_UNKNOWN;
    if (s->is_spm && !added && txt_fallback_byte(name, len) >= 0)
        return TXT_GGUF_BYTE;
    return !added                    ? TXT_GGUF_NORMAL
           : txt_is_special(tok, id) ? TXT_GGUF_CONTROL
                                     : TXT_GGUF_USER_DEFINED;
}

static enum rt_err put_tokens(const struct source *s, struct fmt_gguf_writer *w)
{
    enum rt_err err = RT_OK;
    const uint32_t n = s->args->rows;
    char unused[24];

    RT_TRY(fmt_gguf_put_array(w, "tokenizer.ggml.tokens", FMT_GGUF_STR, n));
    for (uint32_t id = 0; id < n; id++) {
        const char *name = txt_token_name(s->tok, id);
        snprintf(unused, sizeof(unused), "[PAD%u]", id);
        name = name ? name : unused;
        RT_TRY(fmt_gguf_item_text(w, name, strlen(name)));
    }
    RT_TRY(fmt_gguf_put_array(w, "tokenizer.ggml.token_type", FMT_GGUF_I32, n));
    for (uint32_t id = 0; id < n; id++)
        RT_TRY(fmt_gguf_item_i32(w, (int32_t) type_of(s, id)));
done:
    return err;
}

// "a b", or ["a", "b"].
static enum rt_err put_merge(const struct source *s, const json_t *merge, struct str *text,
                             struct fmt_gguf_writer *w)
{
    enum rt_err err = RT_OK;

    str_clear(text);
    if (json_is_string(merge))
        RT_TRY(str_append(text, json_string_value(merge), json_string_length(merge)));
    else if (json_array_size(merge) == 2)
        RT_TRY(str_printf(text, "%s %s", json_string_value(json_array_get(merge, 0)),
                          json_string_value(json_array_get(merge, 1))));
    const char *space = text->len ? memchr(text->data, ' ', text->len) : NULL;
    if (!space || strchr(space + 1, ' '))
        RT_TRY(
            rt_fail(RT_E_FORMAT, "%s: model.merges: expected two tokens without spaces", s->path));
    RT_TRY(fmt_gguf_item_text(w, text->data, text->len));
done:
    return err;
}

static enum rt_err put_merges(const struct source *s, struct fmt_gguf_writer *w)
{
    enum rt_err err = RT_OK;
    const json_t *merges = json_object_get(json_object_get(s->doc, "model"), "merges");
    struct str text = {0};

    RT_TRY(fmt_gguf_put_array(w, "tokenizer.ggml.merges", FMT_GGUF_STR, json_array_size(merges)));
    for (size_t i = 0; i < json_array_size(merges); i++)
        RT_TRY(put_merge(s, json_array_get(merges, i), &text, w));
done:
    str_free(&text);
    return err;
}

static enum rt_err put_scores(const struct source *s, struct fmt_gguf_writer *w)
{
    enum rt_err err = RT_OK;

    RT_TRY(fmt_gguf_put_array(w, "tokenizer.ggml.scores", FMT_GGUF_F32, s->args->rows));
    for (uint32_t id = 0; id < s->args->rows; id++)
        RT_TRY(fmt_gguf_item_f32(w, id < s->tok->vocab.rows ? s->spm.at[id] : -1e6f));
    RT_TRY(fmt_gguf_put_bool(w, "tokenizer.ggml.add_space_prefix", s->spm.prefix));
done:
    return err;
}

static enum rt_err put_template(const struct source *s, struct fmt_gguf_writer *w)
{
    enum rt_err err = RT_OK;
    const struct txt_chat *c = s->chat;

    for (size_t i = 0; i < c->n; i++)
        if (strcmp(c->t[i].name, "default") == 0)
            RT_TRY(fmt_gguf_put_text(w, "tokenizer.chat_template",
                                     c->t[i].text.len ? c->t[i].text.data : "", c->t[i].text.len));
done:
    return err;
}

enum rt_err txt_gguf_put(const struct txt_gguf_args *args, struct fmt_gguf_writer *w)
{
    static const char *const IDS[TXT_SPECIAL_COUNT] = {
        [TXT_BOS] = "tokenizer.ggml.bos_token_id",
        [TXT_EOS] = "tokenizer.ggml.eos_token_id",
        [TXT_PAD] = "tokenizer.ggml.padding_token_id",
        [TXT_UNK] = "tokenizer.ggml.unknown_token_id",
    };
    enum rt_err err = RT_OK;
    struct source s = {.args = args};

    RT_TRY(open_source(&s));
    RT_TRY(put_word(w, "tokenizer.ggml.model", s.is_spm ? "llama" : "gpt2"));
    RT_TRY(put_word(w, "tokenizer.ggml.pre", s.is_spm ? "default" : s.pre->name));
    RT_TRY(put_tokens(&s, w));
    RT_TRY(s.is_spm ? put_scores(&s, w) : put_merges(&s, w));
    for (size_t i = 0; i < TXT_SPECIAL_COUNT; i++)
        if (s.ids[i] >= 0)
            RT_TRY(fmt_gguf_put_u32(w, IDS[i], (uint32_t) s.ids[i]));
    RT_TRY(fmt_gguf_put_bool(w, "tokenizer.ggml.add_bos_token", s.add_bos));
    RT_TRY(fmt_gguf_put_bool(w, "tokenizer.ggml.add_eos_token", s.add_eos));
    RT_TRY(put_template(&s, w));
done:
    txt_spm_scores_free(&s.spm);
    json_decref(s.doc);
    txt_chat_close(&s.chat);
    txt_tokenizer_close(&s.tok);
    free(s.path);
    return err;
}
