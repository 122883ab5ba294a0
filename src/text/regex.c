#define PCRE2_CODE_UNIT_WIDTH 8
#include "src/text/regex.h"

#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

#include "src/text/unicode.h"

enum { MATCH_LIMIT = 50000000, HEAP_LIMIT_KIB = 256 * 1024 };

struct txt_regex {
    char *literal; // the string to find (heap); then there is no code
    size_t literal_len;
    pcre2_code *code;
    pcre2_match_context *limits;
    bool jit;
};

static enum rt_err compile(struct txt_regex *re, const struct txt_regex_args *args)
{
    enum rt_err err = RT_OK;
    struct str pattern = {0};
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    PCRE2_SIZE where;
    PCRE2_UCHAR message[160];
    int code;

    re->limits = pcre2_match_context_create(NULL);
    RT_REQUIRE(context && re->limits, RT_E_NOMEM);
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    pcre2_set_match_limit(re->limits, MATCH_LIMIT);
    pcre2_set_heap_limit(re->limits, HEAP_LIMIT_KIB);
    RT_TRY(txt_regex_translate(args->pattern, args->len, args->where, &pattern));
    // Ruby's ^ and $ are always those of lines.
    re->code = pcre2_compile((PCRE2_SPTR) (pattern.data ? pattern.data : ""), pattern.len,
                             PCRE2_UTF | PCRE2_NO_UTF_CHECK | PCRE2_UCP | PCRE2_MULTILINE, &code,
                             &where, context);
    if (!re->code) {
        pcre2_get_error_message(code, message, sizeof(message));
        RT_TRY(rt_fail(RT_E_UNSUPPORTED,
                       "%s: PCRE2 does not accept the regular expression: %s at byte %zu of %.200s",
                       args->where, (const char *) message, (size_t) where, pattern.data));
    }
    re->jit = pcre2_jit_compile(re->code, PCRE2_JIT_COMPLETE) == 0;
done:
    pcre2_compile_context_free(context);
    str_free(&pattern);
    return err;
}

enum rt_err txt_regex_create(const struct txt_regex_args *args, struct txt_regex **out)
{
    enum rt_err err = RT_OK;
    struct txt_regex *re = NULL;

    *out = NULL;
    re = calloc(1, sizeof(*re));
    RT_REQUIRE(re, RT_E_NOMEM);
    if (args->literal) {
        re->literal_len = args->len;
        RT_TRY(str_dup_n(args->pattern, args->len, &re->literal));
    } else {
        RT_TRY(compile(re, args));
    }
    *out = re;
    re = NULL;
done:
    txt_regex_destroy(&re);
    return err;
}

void txt_regex_destroy(struct txt_regex **re)
{
    if (!*re)
        return;
    free((*re)->literal);
    pcre2_code_free((*re)->code);
    pcre2_match_context_free((*re)->limits);
    free(*re);
    *re = NULL;
}

// Where the first character is that PCRE2 must not see, or len.
static size_t find_moved(const uint8_t *chars, const char *text, size_t len, size_t at)
{
    while (at < len) {
        uint32_t c;
        size_t n;
        if ((unsigned char) text[at] < 0x80) {
            at++;
            continue;
        }
        n = txt_utf8_get(text + at, &c);
        if (txt_char_flags(chars, c) & TXT_MOVED)
            break;
        at += n;
    }
    return at;
}

enum rt_err txt_scan_begin(struct txt_scan *s, const struct txt_regex *re, const uint8_t *chars,
                           const char *text, size_t len)
{
    enum rt_err err = RT_OK;
    size_t moved = re->literal ? len : find_moved(chars, text, len, 0);

    if (!s->match_data && !re->literal) {
        s->match_data = pcre2_match_data_create(1, NULL);
        RT_REQUIRE(s->match_data, RT_E_NOMEM);
    }
    s->re = re;
    s->text = text;
    s->len = len;
    s->at = s->last_end = 0;
    s->any = false;
    if (moved < len) {
        str_clear(&s->copy);
        RT_TRY(str_append(&s->copy, text, len));
        for (; moved < len; moved = find_moved(chars, text, len, moved)) {
            uint32_t c;
            const size_t n = txt_utf8_get(text + moved, &c);
            txt_utf8_put(s->copy.data + moved, txt_char_classes[chars[c]].stand_in);
            moved += n;
        }
        s->text = s->copy.data;
    }
done:
    return err;
}

static bool find_literal(const struct txt_scan *s, size_t span[2])
{
    const char *want = s->re->literal, *p = s->text + s->at, *end = s->text + s->len;
    const size_t n = s->re->literal_len;

    while (p && n <= (size_t) (end - p) && memcmp(p, want, n) != 0)
        p = memchr(p + 1, want[0], (size_t) (end - p - 1));
    if (!p || n > (size_t) (end - p))
        return false;
    span[0] = (size_t) (p - s->text);
    span[1] = span[0] + n;
    return true;
}

static enum rt_err find_regex(const struct txt_scan *s, size_t span[2], bool *found)
{
    enum rt_err err = RT_OK;
    pcre2_match_data *md = s->match_data;
    const struct txt_regex *re = s->re;
    int got = PCRE2_ERROR_JIT_STACKLIMIT;

    if (re->jit)
        got = pcre2_jit_match(re->code, (PCRE2_SPTR) s->text, s->len, s->at, 0, md, re->limits);
    if (got == PCRE2_ERROR_JIT_STACKLIMIT)
        got = pcre2_match(re->code, (PCRE2_SPTR) s->text, s->len, s->at,
                          PCRE2_NO_JIT | PCRE2_NO_UTF_CHECK, md, re->limits);
    *found = got >= 0;
    if (got < 0 && got != PCRE2_ERROR_NOMATCH)
        RT_TRY(
            rt_fail(RT_E_UNSUPPORTED,
                    "a regular expression of tokenizer.json needs too many steps (PCRE2 error %d) "
                    "at byte %zu of a text of %zu bytes",
                    got, s->at, s->len));
    memcpy(span, pcre2_get_ovector_pointer(md), 2 * sizeof(*span));
done:
    return err;
}

enum rt_err txt_scan_next(struct txt_scan *s, size_t *start, size_t *end, bool *found)
{
    enum rt_err err = RT_OK;

    *found = false;
    while (s->at <= s->len) {
        size_t span[2] = {0, 0};
        bool got = false;
        if (s->re->literal)
            got = find_literal(s, span);
        else
            RT_TRY(find_regex(s, span, &got));
        if (!got)
            break;
        if (span[0] == span[1] && s->any && s->last_end == span[1]) { // empty, right behind a match
            uint32_t c;
            s->at += s->at < s->len ? txt_utf8_get(s->text + s->at, &c) : 1;
            continue;
        }
        *start = span[0];
        *end = s->at = s->last_end = span[1];
        s->any = *found = true;
        break;
    }
done:
    return err;
}

void txt_scan_free(struct txt_scan *s)
{
    pcre2_match_data_free(s->match_data);
    str_free(&s->copy);
    *s = (struct txt_scan){0};
}
