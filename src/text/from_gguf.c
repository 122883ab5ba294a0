#include "src/text/from_gguf.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/format/json.h"
#include "src/text/from_gguf_spm.h"
#include "src/text/gguf_pre.h"
#include "src/text/unicode.h"
#include "src/text/vocab.h"

// Special tokens by their keys.
enum { BOS, EOS, PAD, UNK, EOT, EOM, NAMED };
static const char *const ID_KEYS[NAMED] = {
    [BOS] = "tokenizer.ggml.bos_token_id",     [EOS] = "tokenizer.ggml.eos_token_id",
    [PAD] = "tokenizer.ggml.padding_token_id", [UNK] = "tokenizer.ggml.unknown_token_id",
    [EOT] = "tokenizer.ggml.eot_token_id",     [EOM] = "tokenizer.ggml.eom_token_id",
};

// What is written. `vocab` owns NUL-terminated names.
struct source {
    const struct fmt_gguf *g;
    const struct txt_gguf_pre *pre;
    bool is_spm; // SentencePiece BPE, else byte-level BPE
    struct txt_vocab vocab;
    struct txt_gguf_spm spm;
    const struct fmt_gguf_kv *types, *merges; // types may be NULL
    int64_t named[NAMED];                     // ids, -1 = none
    bool add_bos, add_eos;
};

static int shown(size_t n)
{
    return (int) (n > 100 ? 100 : n);
}

static enum rt_err read_model(const struct fmt_gguf *g, bool *is_spm)
{
    enum rt_err err = RT_OK;
    struct fmt_gguf_str s;

    RT_TRY(fmt_gguf_text(g, "tokenizer.ggml.model", &s));
    *is_spm = s.len == 5 && memcmp(s.data, "llama", 5) == 0;
    if (!*is_spm && (s.len != 4 || memcmp(s.data, "gpt2", 4) != 0))
        RT_TRY(
            rt_fail(RT_E_UNSUPPORTED,
                    "%s: tokenizer.ggml.model \"%.*s\" is not supported; known: gpt2 (byte-level "
                    "BPE), llama (SentencePiece BPE)",
                    g->path, shown(s.len), s.data));
done:
    return err;
}

static enum rt_err read_pre(struct source *s, const char *name)
{
    enum rt_err err = RT_OK;
    struct fmt_gguf_str pre = {name, name ? strlen(name) : 0};
    struct str known = {0};

    if (!name)
        RT_TRY(fmt_gguf_text(s->g, "tokenizer.ggml.pre", &pre));
    for (const struct txt_gguf_pre *row = txt_gguf_pres(); row->name; row++) {
        if (strlen(row->name) == pre.len && memcmp(row->name, pre.data, pre.len) == 0)
            s->pre = row;
        RT_TRY(str_printf(&known, "%s%s", known.len ? ", " : "", row->name));
    }
    if (!s->pre)
        RT_TRY(
            rt_fail(RT_E_UNSUPPORTED,
                    "%s: pre-tokenizer \"%.*s\" (tokenizer.ggml.pre) is not supported; known: %s",
                    s->g->path, shown(pre.len), pre.data, known.data));
done:
    str_free(&known);
    return err;
}

static enum rt_err read_tokens(struct source *s)
{
    enum rt_err err = RT_OK;
    const struct fmt_gguf_kv *kv;
    struct fmt_gguf_iter it;
    struct fmt_gguf_str t;
    uint32_t id = 0, other;

    RT_TRY(fmt_gguf_array(s->g, "tokenizer.ggml.tokens", FMT_GGUF_STR, &kv));
    if (kv->count == 0 || kv->count > TXT_ID_LIMIT)
        RT_TRY(rt_fail(RT_E_FORMAT,
                       "%s: tokenizer.ggml.tokens: expected 1 .. 2^28 tokens, found %llu",
                       s->g->path, (unsigned long long) kv->count));
    RT_TRY(txt_table_reserve(&s->vocab.ids, (size_t) kv->count));
    for (it = fmt_gguf_iter(kv); fmt_gguf_next(&it, &t); id++) {
        if (txt_utf8_valid(t.data, t.len) != t.len || memchr(t.data, 0, t.len) || t.len == 0)
            RT_TRY(
                rt_fail(RT_E_FORMAT,
                        "%s: tokenizer.ggml.tokens: token %u is empty, not UTF-8, or holds U+0000",
                        s->g->path, id));
        if (txt_table_get(&s->vocab.ids, t.data, t.len, &other))
            RT_TRY(rt_fail(RT_E_FORMAT,
                           "%s: tokenizer.ggml.tokens: tokens %u and %u are both \"%.*s\"",
                           s->g->path, other, id, shown(t.len), t.data));
        RT_TRY(txt_vocab_add(&s->vocab, t.data, t.len, id, (size_t) kv->count));
    }
done:
    return err;
}

static enum rt_err read_types(struct source *s)
{
    enum rt_err err = RT_OK;
    const char *key = "tokenizer.ggml.token_type";
    const struct fmt_gguf_kv *kv = fmt_gguf_find(s->g, key);
    int64_t v;

    if (!kv)
        goto done; // old files: all are normal
    if (!kv->is_array || kv->count != s->vocab.rows)
        RT_TRY(rt_fail(RT_E_FORMAT, "%s: key %s: expected an array of %u integers, one a token",
                       s->g->path, key, s->vocab.rows));
    for (uint64_t i = 0; i < kv->count; i++)
        if (!fmt_gguf_int_at(kv, i, &v) || v < 0 || v > TXT_GGUF_BYTE)
            RT_TRY(rt_fail(RT_E_FORMAT, "%s: key %s: element %llu is no type of a token (0 .. 6)",
                           s->g->path, key, (unsigned long long) i));
    s->types = kv;
done:
    return err;
}

static enum rt_err read_ids(struct source *s)
{
    enum rt_err err = RT_OK;
    uint32_t id;

    for (size_t i = 0; i < NAMED; i++) {
        s->named[i] = -1;
        if (!fmt_gguf_find(s->g, ID_KEYS[i]))
            continue;
        RT_TRY(fmt_gguf_u32(s->g, ID_KEYS[i], &id));
        if (id >= s->vocab.rows)
            RT_TRY(rt_fail(RT_E_FORMAT, "%s: key %s: expected an id below %u, found %u", s->g->path,
                           ID_KEYS[i], s->vocab.rows, id));
        s->named[i] = id;
    }
done:
    return err;
}

// Both sides of a merge: "a b", split at the first space behind the first byte.
struct merge {
    struct fmt_gguf_str side[2];
};

static bool split_merge(struct fmt_gguf_str m, struct merge *out)
{
    const char *space = m.len > 2 ? memchr(m.data + 1, ' ', m.len - 2) : NULL;
    if (!space)
        return false;
    out->side[0] = (struct fmt_gguf_str){m.data, (size_t) (space - m.data)};
    out->side[1] = (struct fmt_gguf_str){space + 1, m.len - out->side[0].len - 1};
    return true;
}

static enum rt_err check_merges(struct source *s)
{
    enum rt_err err = RT_OK;
    struct fmt_gguf_iter it;
    struct fmt_gguf_str m;
    struct merge two;
    struct str whole = {0};
    uint32_t id, n = 0;

    RT_TRY(fmt_gguf_array(s->g, "tokenizer.ggml.merges", FMT_GGUF_STR, &s->merges));
    for (it = fmt_gguf_iter(s->merges); fmt_gguf_next(&it, &m); n++) {
        bool good = split_merge(m, &two);
        str_clear(&whole);
        for (size_t i = 0; good && i < 2; i++) {
            good = txt_table_get(&s->vocab.ids, two.side[i].data, two.side[i].len, &id);
            RT_TRY(str_append(&whole, two.side[i].data, two.side[i].len));
        }
        if (!good || !txt_table_get(&s->vocab.ids, whole.data, whole.len, &id))
            RT_TRY(
                rt_fail(RT_E_FORMAT,
                        "%s: tokenizer.ggml.merges: element %u, \"%.*s\", is not two tokens that "
                        "make a third",
                        s->g->path, n, shown(m.len), m.data));
    }
done:
    str_free(&whole);
    return err;
}

static enum rt_err read_additions(struct source *s)
{
    enum rt_err err = RT_OK;

    RT_TRY(fmt_gguf_bool_or(s->g, "tokenizer.ggml.add_bos_token", s->is_spm || s->pre->bos,
                            &s->add_bos));
    RT_TRY(fmt_gguf_bool_or(s->g, "tokenizer.ggml.add_eos_token", false, &s->add_eos));
    if ((s->add_bos && s->named[BOS] < 0) || (s->add_eos && s->named[EOS] < 0))
        RT_TRY(rt_fail(RT_E_NOT_FOUND,
                       "%s: key %s is missing, but the token is to be added to texts", s->g->path,
                       ID_KEYS[s->add_bos && s->named[BOS] < 0 ? BOS : EOS]));
done:
    return err;
}

static enum txt_gguf_token type_of(const struct source *s, uint32_t id)
{
    int64_t v = TXT_GGUF_NORMAL;
    for (size_t i = 0; i < NAMED; i++)
        if (i != UNK && s->named[i] == id)
            return TXT_GGUF_CONTROL;
    if (s->types)
        (void) fmt_gguf_int_at(s->types, id, &v);
    return v == TXT_GGUF_UNKNOWN ? TXT_GGUF_CONTROL : (enum txt_gguf_token) v;
}

// Merges out of scores. Without an unknown token by name it is the first of that type.
static enum rt_err read_spm(struct source *s)
{
    enum rt_err err = RT_OK;
    bool *takes = calloc(s->vocab.rows, sizeof(*takes));
    int64_t v, unk = s->named[UNK];

    RT_REQUIRE(takes, RT_E_NOMEM);
    for (uint32_t id = 0; id < s->vocab.rows; id++) {
        takes[id] = type_of(s, id) == TXT_GGUF_NORMAL;
        if (unk < 0 && s->types && fmt_gguf_int_at(s->types, id, &v) && v == TXT_GGUF_UNKNOWN)
            unk = id;
    }
    RT_TRY(txt_gguf_spm_read(s->g, &s->vocab, takes, unk, &s->spm));
done:
    free(takes);
    return err;
}

// ---- writing ----

static const char *name_of(const struct source *s, int64_t id)
{
    size_t len;
    return txt_vocab_name(&s->vocab, (uint32_t) id, &len);
}

static void put_type(struct fmt_jw *w, const char *type)
{
    fmt_jw_object(w);
    fmt_jw_put_str(w, "type", type);
}

static void put_added(struct fmt_jw *w, const struct source *s)
{
    static const char *const FLAGS[] = {"single_word", "lstrip", "rstrip", "normalized"};

    fmt_jw_key(w, "added_tokens");
    fmt_jw_array(w);
    for (uint32_t id = 0; id < s->vocab.rows; id++) {
        const enum txt_gguf_token type = type_of(s, id);
        if (type != TXT_GGUF_CONTROL && type != TXT_GGUF_USER_DEFINED)
            continue;
        fmt_jw_object(w);
        fmt_jw_put_int(w, "id", id);
        fmt_jw_put_str(w, "content", name_of(s, id));
        for (size_t i = 0; i < COUNT_OF(FLAGS); i++)
            fmt_jw_put_bool(w, FLAGS[i], false);
        fmt_jw_put_bool(w, "special", type == TXT_GGUF_CONTROL);
        fmt_jw_end(w);
    }
    fmt_jw_end(w);
}

static void put_byte_level(struct fmt_jw *w, bool prefix, bool trim, bool regex)
{
    put_type(w, "ByteLevel");
    fmt_jw_put_bool(w, "add_prefix_space", prefix);
    fmt_jw_put_bool(w, "trim_offsets", trim);
    fmt_jw_put_bool(w, "use_regex", regex);
    fmt_jw_end(w);
}

static void put_pre_tokenizer(struct fmt_jw *w, const struct txt_gguf_pre *pre)
{
    fmt_jw_key(w, "pre_tokenizer");
    if (!pre->digits && !pre->regex) {
        put_byte_level(w, false, true, true);
        return;
    }
    put_type(w, "Sequence");
    fmt_jw_key(w, "pretokenizers");
    fmt_jw_array(w);
    if (pre->digits) {
        put_type(w, "Digits");
        fmt_jw_put_bool(w, "individual_digits", true);
        fmt_jw_end(w);
    }
    if (pre->regex) {
        put_type(w, "Split");
        fmt_jw_key(w, "pattern");
        fmt_jw_object(w);
        fmt_jw_put_str(w, "Regex", pre->regex);
        fmt_jw_end(w);
        fmt_jw_put_str(w, "behavior", "Isolated");
        fmt_jw_put_bool(w, "invert", false);
        fmt_jw_end(w);
    }
    put_byte_level(w, false, true, !pre->regex);
    fmt_jw_end(w);
    fmt_jw_end(w);
}

static void put_piece(struct fmt_jw *w, const char *kind, const char *id, int type_id)
{
    fmt_jw_object(w);
    fmt_jw_key(w, kind);
    fmt_jw_object(w);
    fmt_jw_put_str(w, "id", id);
    fmt_jw_put_int(w, "type_id", type_id);
    fmt_jw_end(w);
    fmt_jw_end(w);
}

// One text, or a pair of them, between what is added.
static void put_template(struct fmt_jw *w, const struct source *s, const char *key, int texts)
{
    static const char *const TEXT[] = {"A", "B"};

    fmt_jw_key(w, key);
    fmt_jw_array(w);
    for (int i = 0; i < texts; i++) {
        if (s->add_bos)
            put_piece(w, "SpecialToken", name_of(s, s->named[BOS]), i);
        put_piece(w, "Sequence", TEXT[i], i);
        if (s->add_eos)
            put_piece(w, "SpecialToken", name_of(s, s->named[EOS]), i);
    }
    fmt_jw_end(w);
}

static void put_template_token(struct fmt_jw *w, const struct source *s, int64_t id)
{
    const char *name = name_of(s, id);

    fmt_jw_key(w, name);
    fmt_jw_object(w);
    fmt_jw_put_str(w, "id", name);
    fmt_jw_key(w, "ids");
    fmt_jw_array(w);
    fmt_jw_int(w, id);
    fmt_jw_end(w);
    fmt_jw_key(w, "tokens");
    fmt_jw_array(w);
    fmt_jw_str(w, name);
    fmt_jw_end(w);
    fmt_jw_end(w);
}

static void put_post_processor(struct fmt_jw *w, const struct source *s)
{
    fmt_jw_key(w, "post_processor");
    if (!s->add_bos && !s->add_eos) {
        if (s->is_spm)
            fmt_jw_null(w);
        else
            put_byte_level(w, true, false, true);
        return;
    }
    put_type(w, "Sequence");
    fmt_jw_key(w, "processors");
    fmt_jw_array(w);
    if (!s->is_spm)
        put_byte_level(w, true, false, true);
    put_type(w, "TemplateProcessing");
    put_template(w, s, "single", 1);
    put_template(w, s, "pair", 2);
    fmt_jw_key(w, "special_tokens");
    fmt_jw_object(w);
    if (s->add_bos)
        put_template_token(w, s, s->named[BOS]);
    if (s->add_eos && !(s->add_bos && s->named[BOS] == s->named[EOS]))
        put_template_token(w, s, s->named[EOS]);
    fmt_jw_end(w);
    fmt_jw_end(w);
    fmt_jw_end(w);
    fmt_jw_end(w);
}

static void put_model(struct fmt_jw *w, const struct source *s)
{
    static const char *const NONE[] = {"dropout", "unk_token", "continuing_subword_prefix",
                                       "end_of_word_suffix"};
    struct fmt_gguf_iter it = fmt_gguf_iter(s->merges);
    struct fmt_gguf_str m;
    struct merge two;

    fmt_jw_key(w, "model");
    put_type(w, "BPE");
    for (size_t i = 0; i < COUNT_OF(NONE); i++)
        fmt_jw_put_str(w, NONE[i], NULL);
    fmt_jw_put_bool(w, "fuse_unk", false);
    fmt_jw_put_bool(w, "byte_fallback", false);
    fmt_jw_put_bool(w, "ignore_merges", s->pre->ignore_merges);
    fmt_jw_key(w, "vocab");
    fmt_jw_object(w);
    for (uint32_t id = 0; id < s->vocab.rows; id++)
        fmt_jw_put_int(w, name_of(s, id), id);
    fmt_jw_end(w);
    fmt_jw_key(w, "merges");
    fmt_jw_array(w);
    while (fmt_gguf_next(&it, &m)) {
        if (!split_merge(m, &two)) // check_merges has seen to it
            continue;
        fmt_jw_array(w);
        for (size_t i = 0; i < 2; i++)
            fmt_jw_str_n(w, two.side[i].data, two.side[i].len);
        fmt_jw_end(w);
    }
    fmt_jw_end(w);
    fmt_jw_end(w);
}

static void put_parts(struct fmt_jw *w, const struct source *s)
{
    fmt_jw_key(w, "normalizer");
    if (s->pre->nfc) {
        put_type(w, "NFC");
        fmt_jw_end(w);
    } else {
        fmt_jw_null(w);
    }
    put_pre_tokenizer(w, s->pre);
    fmt_jw_key(w, "decoder");
    put_byte_level(w, true, true, true);
    put_model(w, s);
}

static enum rt_err put_tokenizer(const struct source *s, struct str *out)
{
    struct fmt_jw w = {.out = out, .indent = 2};

    fmt_jw_object(&w);
    fmt_jw_put_str(&w, "version", "1.0");
    fmt_jw_put_str(&w, "truncation", NULL);
    fmt_jw_put_str(&w, "padding", NULL);
    put_added(&w, s);
    put_post_processor(&w, s);
    if (s->is_spm)
        txt_gguf_spm_put(&w, &s->spm);
    else
        put_parts(&w, s);
    fmt_jw_end(&w);
    return fmt_jw_done(&w);
}

enum rt_err txt_gguf_tokenizer(const struct fmt_gguf *g, const char *pre, struct str *out)
{
    enum rt_err err = RT_OK;
    struct source s = {.g = g};

    RT_TRY(read_model(g, &s.is_spm));
    if (s.is_spm && pre)
        RT_TRY(rt_fail(RT_E_UNSUPPORTED, "%s: a SentencePiece tokenizer has no pre-tokenizer %s",
                       g->path, pre));
    if (!s.is_spm)
        RT_TRY(read_pre(&s, pre));
    RT_TRY(read_tokens(&s));
    RT_TRY(read_types(&s));
    RT_TRY(read_ids(&s));
    RT_TRY(s.is_spm ? read_spm(&s) : check_merges(&s));
    RT_TRY(read_additions(&s));
    RT_TRY(put_tokenizer(&s, out));
done:
    txt_gguf_spm_free(&s.spm);
    txt_vocab_free(&s.vocab);
    return err;
}

// ---- tokenizer_config.json ----

// "ARCHITECTURE.context_length", or 0 where there is none.
static enum rt_err context_length(const struct fmt_gguf *g, uint32_t *out)
{
    enum rt_err err = RT_OK;
    struct fmt_gguf_str arch;
    struct str key = {0};

    *out = 0;
    if (!fmt_gguf_find(g, "general.architecture"))
        goto done;
    RT_TRY(fmt_gguf_text(g, "general.architecture", &arch));
    RT_TRY(str_append(&key, arch.data, arch.len));
    RT_TRY(str_puts(&key, ".context_length"));
    RT_TRY(fmt_gguf_u32_or(g, key.data, 0, out));
done:
    str_free(&key);
    return err;
}

static enum rt_err read_template(const struct fmt_gguf *g, struct fmt_gguf_str *out)
{
    enum rt_err err = RT_OK;
    const char *key = "tokenizer.chat_template";

    *out = (struct fmt_gguf_str){0};
    if (!fmt_gguf_find(g, key))
        goto done;
    RT_TRY(fmt_gguf_text(g, key, out));
    if (txt_utf8_valid(out->data, out->len) != out->len)
        RT_TRY(rt_fail(RT_E_FORMAT, "%s: key %s: expected UTF-8", g->path, key));
done:
    return err;
}

enum rt_err txt_gguf_config(const struct fmt_gguf *g, struct str *out)
{
    static const char *const NAMES[] = {
        [BOS] = "bos_token", [EOS] = "eos_token", [PAD] = "pad_token", [UNK] = "unk_token"};
    enum rt_err err = RT_OK;
    struct source s = {.g = g};
    struct fmt_jw w = {.out = out, .indent = 2};
    struct fmt_gguf_str template;
    uint32_t length;

    RT_TRY(read_tokens(&s));
    RT_TRY(read_ids(&s));
    RT_TRY(read_template(g, &template));
    RT_TRY(context_length(g, &length));
    fmt_jw_object(&w);
    for (size_t i = 0; i < COUNT_OF(NAMES); i++)
        if (s.named[i] >= 0)
            fmt_jw_put_str(&w, NAMES[i], name_of(&s, s.named[i]));
    if (template.data) {
        fmt_jw_key(&w, "chat_template");
        fmt_jw_str_n(&w, template.data, template.len);
    }
    fmt_jw_put_bool(&w, "clean_up_tokenization_spaces", false);
    if (length)
        fmt_jw_put_int(&w, "model_max_length", length);
    fmt_jw_put_str(&w, "tokenizer_class", "PreTrainedTokenizerFast");
    fmt_jw_end(&w);
    RT_TRY(fmt_jw_done(&w));
done:
    txt_vocab_free(&s.vocab);
    return err;
}
