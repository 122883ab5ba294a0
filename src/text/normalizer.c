#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/text/tokenizer_parts.h"

// ---- reading ----

static enum rt_err push(struct txt_tokenizer *tok, const struct txt_node *at,
                        enum txt_norm_kind kind, struct txt_norm **out)
{
    enum rt_err err = RT_OK;
    void *item = NULL;

    *out = NULL;
    if (tok->norms.n == TXT_STEPS_MAX)
        RT_TRY(txt_node_fail(at, RT_E_UNSUPPORTED, "more than %d components", TXT_STEPS_MAX));
    RT_TRY(txt_push(&tok->norms.steps, &tok->norms.n, sizeof(**out), &item));
    *out = item;
    (*out)->kind = kind;
done:
    return err;
}

static enum rt_err read_form(struct txt_tokenizer *tok, const struct txt_node *at)
{
    static const char *const NAMES[] = {
        [TXT_NFC] = "NFC", [TXT_NFD] = "NFD", [TXT_NFKC] = "NFKC", [TXT_NFKD] = "NFKD"};
    enum rt_err err = RT_OK;
    struct txt_norm *norm;
    const char *type;
    size_t len;

    RT_TRY(txt_node_text(at, "type", &type, &len));
    RT_TRY(push(tok, at, TXT_NORM_FORM, &norm));
    for (size_t i = 0; i < COUNT_OF(NAMES); i++)
        if (strcmp(NAMES[i], type) == 0)
            norm->form = (enum txt_form) i;
done:
    return err;
}

static enum rt_err read_lower(struct txt_tokenizer *tok, const struct txt_node *at)
{
    struct txt_norm *norm;
    return push(tok, at, TXT_NORM_LOWER, &norm);
}

static enum rt_err read_accents(struct txt_tokenizer *tok, const struct txt_node *at)
{
    struct txt_norm *norm;
    return push(tok, at, TXT_NORM_ACCENTS, &norm);
}

static enum rt_err read_strip(struct txt_tokenizer *tok, const struct txt_node *at)
{
    enum rt_err err = RT_OK;
    struct txt_norm *norm;

    RT_TRY(push(tok, at, TXT_NORM_STRIP, &norm));
    RT_TRY(txt_node_bool(at, "strip_left", &norm->left));
    RT_TRY(txt_node_bool(at, "strip_right", &norm->right));
done:
    return err;
}

static enum rt_err read_prepend(struct txt_tokenizer *tok, const struct txt_node *at)
{
    enum rt_err err = RT_OK;
    struct txt_norm *norm;
    const char *text;

    RT_TRY(push(tok, at, TXT_NORM_PREPEND, &norm));
    RT_TRY(txt_node_text(at, "prepend", &text, &norm->len));
    RT_TRY(str_dup_n(text, norm->len, &norm->text));
done:
    return err;
}

enum rt_err txt_node_pattern(const struct txt_node *of, const char *key, struct txt_regex **out)
{
    enum rt_err err = RT_OK;
    struct txt_node at, text;
    struct txt_regex_args args = {0};
    char where[sizeof(at.path) + 32];

    *out = NULL;
    RT_TRY(txt_node_get(of, key, &at));
    RT_TRY(txt_node_get(&at, "String", &text));
    args.literal = text.v != NULL;
    RT_TRY(txt_node_text(&at, args.literal ? "String" : "Regex", &args.pattern, &args.len));
    snprintf(where, sizeof(where), "tokenizer.json: %s", at.path);
    args.where = where;
    RT_TRY(txt_regex_create(&args, out));
done:
    return err;
}

static enum rt_err read_replace(struct txt_tokenizer *tok, const struct txt_node *at)
{
    enum rt_err err = RT_OK;
    struct txt_norm *norm;
    const char *text;

    RT_TRY(push(tok, at, TXT_NORM_REPLACE, &norm));
    RT_TRY(txt_node_text(at, "content", &text, &norm->len));
    RT_TRY(str_dup_n(text, norm->len, &norm->text));
    RT_TRY(txt_node_pattern(at, "pattern", &norm->re));
done:
    return err;
}

static enum rt_err read_sequence(struct txt_tokenizer *tok, const struct txt_node *at);
static const struct txt_kind KINDS[] = {
    {"Sequence", read_sequence},
    {"NFC", read_form},
    {"NFD", read_form},
    {"NFKC", read_form},
    {"NFKD", read_form},
    {"Lowercase", read_lower},
    {"StripAccents", read_accents},
    {"Replace", read_replace},
    {"Strip", read_strip},
    {"Prepend", read_prepend},
};
static enum rt_err read_sequence(struct txt_tokenizer *tok, const struct txt_node *at)
{
    return txt_read_each(tok, at, "normalizers", KINDS, COUNT_OF(KINDS));
}

enum rt_err txt_norms_read(struct txt_tokenizer *tok, const struct txt_node *at)
{
    return at->v ? txt_read_kind(tok, at, KINDS, COUNT_OF(KINDS)) : RT_OK;
}

void txt_norms_free(struct txt_norms *n)
{
    for (size_t i = 0; i < n->n; i++) {
        txt_regex_destroy(&n->steps[i].re);
        free(n->steps[i].text);
    }
    free(n->steps);
    *n = (struct txt_norms){0};
}

// ---- running: each step appends the new text to *out ----

static enum rt_err lower(const char *text, size_t len, struct str *out)
{
    enum rt_err err = RT_OK;

    for (size_t i = 0; i < len;) {
        uint32_t c, to[2];
        size_t n;
        i += txt_utf8_get(text + i, &c);
        n = txt_lower(c, to);
        RT_TRY(str_reserve(out, (size_t) TXT_UTF8_MAX * 2));
        for (size_t k = 0; k < n; k++)
            out->len += txt_utf8_put(out->data + out->len, to[k]);
    }
done:
    return err;
}

static enum rt_err strip_accents(const uint8_t *chars, const char *text, size_t len,
                                 struct str *out, bool *moved)
{
    enum rt_err err = RT_OK;

    for (size_t i = 0, n; i < len; i += n) {
        uint32_t c;
        n = txt_utf8_get(text + i, &c);
        if (!(txt_char_flags(chars, c) & TXT_ACCENT))
            RT_TRY(str_append(out, text + i, n));
        else if (i == 0)
            *moved = true;
    }
done:
    return err;
}

static enum rt_err strip(const struct txt_norm *norm, const uint8_t *chars, const char *text,
                         size_t len, struct str *out, bool *moved)
{
    const char *end = text + len;
    uint32_t c;
    size_t n;

    while (norm->left && text < end &&
           (n = txt_utf8_get(text, &c), txt_char_flags(chars, c) & TXT_SPACE)) {
        text += n;
        *moved = true;
    }
    while (norm->right && text < end &&
           (n = txt_utf8_last(text, end, &c), txt_char_flags(chars, c) & TXT_SPACE))
        end -= n;
    return str_append(out, text, (size_t) (end - text));
}

enum rt_err txt_replace_all(struct txt_scan *scan, const struct txt_replace *r,
                            const uint8_t *chars, const char *text, size_t len, struct str *out)
{
    enum rt_err err = RT_OK;
    size_t at = 0, start, end;
    bool found;

    RT_TRY(txt_scan_begin(scan, r->re, chars, text, len));
    for (;;) {
        RT_TRY(txt_scan_next(scan, &start, &end, &found));
        if (!found)
            break;
        if (start == 0 && end > 0 && r->len == 0 && r->moved)
            *r->moved = true;
        RT_TRY(str_append(out, text + at, start - at));
        RT_TRY(str_append(out, r->text, r->len));
        at = end;
    }
    RT_TRY(str_append(out, text + at, len - at));
done:
    return err;
}

static enum rt_err run(const struct txt_norm *norm, const uint8_t *chars, struct txt_scan *scan,
                       const char *text, size_t len, struct str *out, bool *moved)
{
    enum rt_err err = RT_OK;

    switch (norm->kind) {
    case TXT_NORM_FORM:
        RT_TRY(txt_normal_form(chars, norm->form, text, len, out));
        break;
    case TXT_NORM_LOWER:
        RT_TRY(lower(text, len, out));
        break;
    case TXT_NORM_ACCENTS:
        RT_TRY(strip_accents(chars, text, len, out, moved));
        break;
    case TXT_NORM_STRIP:
        RT_TRY(strip(norm, chars, text, len, out, moved));
        break;
    case TXT_NORM_PREPEND:
        if (len > 0)
            RT_TRY(str_append(out, norm->text, norm->len));
        RT_TRY(str_append(out, text, len));
        break;
    case TXT_NORM_REPLACE:
        RT_TRY(txt_replace_all(scan, &(struct txt_replace){norm->re, norm->text, norm->len, moved},
                               chars, text, len, out));
        break;
    }
done:
    return err;
}

enum rt_err txt_normalize(const struct txt_tokenizer *tok, struct txt_norm_scratch *scratch,
                          const char *text, size_t len, const char **out, size_t *out_len,
                          bool *moved)
{
    enum rt_err err = RT_OK;
    struct str *to = &scratch->a;

    *moved = false;
    for (size_t i = 0; i < tok->norms.n; i++) {
        str_clear(to);
        RT_TRY(run(&tok->norms.steps[i], tok->chars, &scratch->scan, text, len, to, moved));
        text = to->data ? to->data : "";
        len = to->len;
        to = to == &scratch->a ? &scratch->b : &scratch->a;
    }
    *out = text;
    *out_len = len;
done:
    return err;
}

void txt_norm_scratch_free(struct txt_norm_scratch *s)
{
    str_free(&s->a);
    str_free(&s->b);
    txt_scan_free(&s->scan);
}
