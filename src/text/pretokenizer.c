#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/text/tokenizer_parts.h"

// ---- reading ----

static enum rt_err push(struct txt_tokenizer *tok, const struct txt_node *at,
                        const struct txt_pre *step)
{
    enum rt_err err = RT_OK;
    void *item = NULL;

    if (tok->pres.n == TXT_STEPS_MAX)
        RT_TRY(txt_node_fail(at, RT_E_UNSUPPORTED, "more than %d components", TXT_STEPS_MAX));
    RT_TRY(txt_push(&tok->pres.steps, &tok->pres.n, sizeof(*step), &item));
    *(struct txt_pre *) item = *step;
done:
    return err;
}

static enum rt_err read_byte_level(struct txt_tokenizer *tok, const struct txt_node *at)
{
    enum rt_err err = RT_OK;
    bool prefix, regex = true;

    RT_TRY(txt_node_bool(at, "add_prefix_space", &prefix));
    RT_TRY(txt_node_bool_or(at, "use_regex", &regex));
    if (prefix)
        RT_TRY(push(tok, at, &(struct txt_pre){.kind = TXT_PRE_PREFIX}));
    if (regex)
        RT_TRY(push(tok, at, &(struct txt_pre){.kind = TXT_PRE_GPT2}));
    RT_TRY(push(tok, at, &(struct txt_pre){.kind = TXT_PRE_BYTES}));
done:
    return err;
}

static enum rt_err read_behavior(const struct txt_node *at, enum txt_behavior *out)
{
    static const char *const NAMES[] = {
        [TXT_REMOVED] = "Removed",
        [TXT_ISOLATED] = "Isolated",
        [TXT_WITH_PREVIOUS] = "MergedWithPrevious",
        [TXT_WITH_NEXT] = "MergedWithNext",
        [TXT_CONTIGUOUS] = "Contiguous",
    };
    enum rt_err err = RT_OK;
    const char *name;
    size_t len, i = 0;

    RT_TRY(txt_node_text(at, "behavior", &name, &len));
    while (i < COUNT_OF(NAMES) && strcmp(NAMES[i], name) != 0)
        i++;
    if (i == COUNT_OF(NAMES))
        RT_TRY(txt_node_fail(at, RT_E_UNSUPPORTED, "unsupported behavior \"%.100s\"", name));
    *out = (enum txt_behavior) i;
done:
    return err;
}

static enum rt_err read_digits(struct txt_tokenizer *tok, const struct txt_node *at)
{
    enum rt_err err = RT_OK;
    struct txt_pre step = {.kind = TXT_PRE_CLASS, .flags = TXT_NUMERIC};
    bool single;

    RT_TRY(txt_node_bool(at, "individual_digits", &single));
    step.behavior = single ? TXT_ISOLATED : TXT_CONTIGUOUS;
    RT_TRY(push(tok, at, &step));
done:
    return err;
}

static enum rt_err read_punctuation(struct txt_tokenizer *tok, const struct txt_node *at)
{
    enum rt_err err = RT_OK;
    struct txt_pre step = {.kind = TXT_PRE_CLASS, .flags = TXT_PUNCT, .behavior = TXT_ISOLATED};
    struct txt_node behavior;

    RT_TRY(txt_node_get(at, "behavior", &behavior));
    if (behavior.v)
        RT_TRY(read_behavior(at, &step.behavior));
    RT_TRY(push(tok, at, &step));
done:
    return err;
}

static const struct txt_pre NO_SPACE = {
    .kind = TXT_PRE_CLASS, .flags = TXT_SPACE, .behavior = TXT_REMOVED};

static enum rt_err read_whitespace_split(struct txt_tokenizer *tok, const struct txt_node *at)
{
    return push(tok, at, &NO_SPACE);
}

// \w+|[^\w\s]+ is the same as these two in a row.
static enum rt_err read_whitespace(struct txt_tokenizer *tok, const struct txt_node *at)
{
    enum rt_err err = RT_OK;

    RT_TRY(push(tok, at, &NO_SPACE));
    RT_TRY(push(
        tok, at,
        &(struct txt_pre){.kind = TXT_PRE_CLASS, .flags = TXT_WORD, .behavior = TXT_CONTIGUOUS}));
done:
    return err;
}

static enum rt_err read_bert(struct txt_tokenizer *tok, const struct txt_node *at)
{
    enum rt_err err = RT_OK;

    RT_TRY(push(tok, at, &NO_SPACE));
    RT_TRY(push(
        tok, at,
        &(struct txt_pre){.kind = TXT_PRE_CLASS, .flags = TXT_PUNCT, .behavior = TXT_ISOLATED}));
done:
    return err;
}

static enum rt_err read_delimiter(struct txt_tokenizer *tok, const struct txt_node *at)
{
    enum rt_err err = RT_OK;
    struct txt_pre step = {.kind = TXT_PRE_CHAR, .behavior = TXT_REMOVED};

    RT_TRY(txt_node_char(at, "delimiter", &step.c));
    RT_TRY(push(tok, at, &step));
done:
    return err;
}

static enum rt_err read_split(struct txt_tokenizer *tok, const struct txt_node *at)
{
    enum rt_err err = RT_OK;
    struct txt_pre step = {.kind = TXT_PRE_REGEX};

    RT_TRY(read_behavior(at, &step.behavior));
    RT_TRY(txt_node_bool(at, "invert", &step.invert));
    RT_TRY(txt_node_pattern(at, "pattern", &step.re));
    RT_TRY(push(tok, at, &step));
    step.re = NULL;
done:
    txt_regex_destroy(&step.re);
    return err;
}

enum rt_err txt_read_metaspace(const struct txt_node *at, uint32_t *c, enum txt_prepend *prepend,
                               bool *split)
{
    static const char *const NAMES[] = {[TXT_PREPEND_ALWAYS] = "always",
                                        [TXT_PREPEND_FIRST] = "first",
                                        [TXT_PREPEND_NEVER] = "never"};
    enum rt_err err = RT_OK;
    struct txt_node scheme;
    bool old = true;

    *split = true;
    *prepend = TXT_PREPEND_ALWAYS;
    RT_TRY(txt_node_char(at, "replacement", c));
    RT_TRY(txt_node_bool_or(at, "split", split));
    RT_TRY(txt_node_bool_or(at, "add_prefix_space", &old));
    RT_TRY(txt_node_get(at, "prepend_scheme", &scheme));
    if (scheme.v) {
        size_t i = 0;
        const char *name = json_is_string(scheme.v) ? json_string_value(scheme.v) : "";
        while (i < COUNT_OF(NAMES) && strcmp(NAMES[i], name) != 0)
            i++;
        if (i == COUNT_OF(NAMES))
            RT_TRY(txt_node_fail(&scheme, RT_E_UNSUPPORTED, "not one of always, first, never"));
        *prepend = (enum txt_prepend) i;
    }
    if (!old && *prepend != TXT_PREPEND_NEVER)
        RT_TRY(txt_node_fail(at, RT_E_FORMAT,
                             "add_prefix_space is false, but prepend_scheme is not never"));
done:
    return err;
}

static enum rt_err read_metaspace(struct txt_tokenizer *tok, const struct txt_node *at)
{
    enum rt_err err = RT_OK;
    struct txt_pre step = {.kind = TXT_PRE_METASPACE};
    bool split;

    RT_TRY(txt_read_metaspace(at, &step.c, &step.prepend, &split));
    RT_TRY(push(tok, at, &step));
    if (split)
        RT_TRY(
            push(tok, at,
                 &(struct txt_pre){.kind = TXT_PRE_CHAR, .c = step.c, .behavior = TXT_WITH_NEXT}));
done:
    return err;
}

static enum rt_err read_sequence(struct txt_tokenizer *tok, const struct txt_node *at);
static const struct txt_kind KINDS[] = {
    {"Sequence", read_sequence},     {"ByteLevel", read_byte_level},
    {"Split", read_split},           {"Digits", read_digits},
    {"Metaspace", read_metaspace},   {"Punctuation", read_punctuation},
    {"Whitespace", read_whitespace}, {"WhitespaceSplit", read_whitespace_split},
    {"BertPreTokenizer", read_bert}, {"CharDelimiterSplit", read_delimiter},
};
static enum rt_err read_sequence(struct txt_tokenizer *tok, const struct txt_node *at)
{
    return txt_read_each(tok, at, "pretokenizers", KINDS, COUNT_OF(KINDS));
}

enum rt_err txt_pres_read(struct txt_tokenizer *tok, const struct txt_node *at)
{
    return at->v ? txt_read_kind(tok, at, KINDS, COUNT_OF(KINDS)) : RT_OK;
}

void txt_pres_free(struct txt_pres *p)
{
    for (size_t i = 0; i < p->n; i++)
        txt_regex_destroy(&p->steps[i].re);
    free(p->steps);
    *p = (struct txt_pres){0};
}

// ---- running: a piece goes through step k, its parts through the steps behind ----

static enum rt_err run(struct txt_encoding *e, size_t k, const char *text, size_t len, bool first);

// Matches and what lies between them come in order; pieces go out as the behavior says. The rules
// of the two merging ones are the library's: in a row of matches only the outermost joins its
// neighbour.
struct splitter {
    struct txt_encoding *e;
    size_t next_step;
    const char *text;
    bool first, any, is_match;
    enum txt_behavior behavior;
    size_t start, end; // the piece that may still grow
};

static enum rt_err emit(struct splitter *s, size_t start, size_t end)
{
    if (start == end)
        return RT_OK;
    return run(s->e, s->next_step, s->text + start, end - start, s->first && start == 0);
}

static enum rt_err item(struct splitter *s, size_t start, size_t end, bool is_match)
{
    enum rt_err err = RT_OK;
    bool join = false;

    switch (s->behavior) {
    case TXT_REMOVED:
        return is_match ? RT_OK : emit(s, start, end);
    case TXT_ISOLATED:
        return emit(s, start, end);
    case TXT_WITH_PREVIOUS:
        join = is_match && !s->is_match;
        break;
    case TXT_WITH_NEXT:
        join = s->is_match && !is_match;
        break;
    case TXT_CONTIGUOUS:
        join = is_match == s->is_match;
        break;
    }
    if (s->any && join) {
        s->end = end;
    } else {
        if (s->any)
            RT_TRY(emit(s, s->start, s->end));
        s->start = start;
        s->end = end;
    }
    s->any = true;
    s->is_match = is_match;
done:
    return err;
}

static enum rt_err finish(struct splitter *s)
{
    return s->any ? emit(s, s->start, s->end) : RT_OK;
}

static enum rt_err run_regex(struct splitter *s, const struct txt_pre *p, struct txt_scan *scan,
                             size_t len)
{
    enum rt_err err = RT_OK;
    size_t at = 0, start, end;
    bool found;

    RT_TRY(txt_scan_begin(scan, p->re, s->e->tok->chars, s->text, len));
    for (;;) {
        RT_TRY(txt_scan_next(scan, &start, &end, &found));
        if (!found)
            break;
        if (at != start)
            RT_TRY(item(s, at, start, p->invert));
        RT_TRY(item(s, start, end, !p->invert));
        at = end;
    }
    if (at != len)
        RT_TRY(item(s, at, len, p->invert));
    RT_TRY(finish(s));
done:
    return err;
}

static enum rt_err run_class(struct splitter *s, const struct txt_pre *p, size_t len)
{
    enum rt_err err = RT_OK;
    const uint8_t *chars = s->e->tok->chars;
    size_t at = 0;

    for (size_t i = 0, n; i < len; i += n) {
        uint32_t c;
        n = txt_utf8_get(s->text + i, &c);
        if (p->kind == TXT_PRE_CHAR ? c != p->c : !(txt_char_flags(chars, c) & p->flags))
            continue;
        if (at < i)
            RT_TRY(item(s, at, i, false));
        RT_TRY(item(s, i, i + n, true));
        at = i + n;
    }
    if (at < len)
        RT_TRY(item(s, at, len, false));
    RT_TRY(finish(s));
done:
    return err;
}

// 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ by hand.
static size_t contraction(const char *text, size_t len)
{
    static const char *const TAILS[] = {"s", "t", "re", "ve", "m", "ll", "d"};

    if (text[0] != '\'')
        return 0;
    for (size_t i = 0; i < COUNT_OF(TAILS); i++) {
        const size_t n = strlen(TAILS[i]);
        if (n < len && memcmp(text + 1, TAILS[i], n) == 0)
            return n + 1;
    }
    return 0;
}

// End of the run of characters of one class that begins at i; *last is where its last character
// begins.
static size_t run_end(const uint8_t *chars, const char *text, size_t len, size_t i, size_t *last)
{
    enum { MASK = TXT_L | TXT_N | TXT_SPACE };
    uint32_t c;
    size_t n = txt_utf8_get(text + i, &c);
    const int kind = txt_char_flags(chars, c) & MASK;

    *last = i;
    for (i += n; i < len; i += n) {
        n = txt_utf8_get(text + i, &c);
        if ((txt_char_flags(chars, c) & MASK) != kind)
            break;
        *last = i;
    }
    return i;
}

static bool space_at(const uint8_t *chars, const char *text, size_t i)
{
    uint32_t c;
    txt_utf8_get(text + i, &c);
    return txt_char_flags(chars, c) & TXT_SPACE;
}

static size_t gpt2_end(const uint8_t *chars, const char *text, size_t len, size_t i)
{
    size_t end = contraction(text + i, len - i), last;

    if (end)
        return i + end;
    if (text[i] == ' ' && i + 1 < len && !space_at(chars, text, i + 1))
        return run_end(chars, text, len, i + 1, &last);
    end = run_end(chars, text, len, i, &last);
    if (end < len && last > i && space_at(chars, text, i)) // the last space belongs to what follows
        return last;
    return end;
}

static enum rt_err run_metaspace(struct txt_encoding *e, size_t k, const char *text, size_t len,
                                 bool first)
{
    enum rt_err err = RT_OK;
    const struct txt_pre *p = &e->tok->pres.steps[k];
    struct str *to = &e->texts[k];
    char mark[TXT_UTF8_MAX];
    const size_t n = txt_utf8_put(mark, p->c);
    bool has;

    str_clear(to);
    has = len > 0 && (text[0] == ' ' || (len >= n && memcmp(text, mark, n) == 0));
    if (!has && (p->prepend == TXT_PREPEND_ALWAYS || (p->prepend == TXT_PREPEND_FIRST && first)))
        RT_TRY(str_append(to, mark, n));
    for (const char *end = text + len, *gap; text < end; text = gap) {
        gap = memchr(text, ' ', (size_t) (end - text));
        gap = gap ? gap : end;
        RT_TRY(str_append(to, text, (size_t) (gap - text)));
        for (; gap < end && *gap == ' '; gap++)
            RT_TRY(str_append(to, mark, n));
    }
    RT_TRY(run(e, k + 1, to->data ? to->data : "", to->len, first));
done:
    return err;
}

static enum rt_err run_bytes(struct txt_encoding *e, size_t k, const char *text, size_t len,
                             bool first)
{
    enum rt_err err = RT_OK;
    struct str *to = &e->texts[k];

    str_clear(to);
    RT_TRY(str_reserve(to, 2 * len));
    for (size_t i = 0; i < len; i++)
        to->len += txt_utf8_put(to->data + to->len, txt_byte_char((uint8_t) text[i]));
    RT_TRY(run(e, k + 1, to->data, to->len, first));
done:
    return err;
}

static enum rt_err run_gpt2(struct txt_encoding *e, size_t k, const char *text, size_t len,
                            bool first)
{
    enum rt_err err = RT_OK;

    for (size_t i = 0, end; i < len; i = end) {
        end = gpt2_end(e->tok->chars, text, len, i);
        RT_TRY(run(e, k + 1, text + i, end - i, first && i == 0));
    }
done:
    return err;
}

static enum rt_err run_prefix(struct txt_encoding *e, size_t k, const char *text, size_t len,
                              bool first)
{
    enum rt_err err = RT_OK;

    if (text[0] != ' ') {
        str_clear(&e->texts[k]);
        RT_TRY(str_putc(&e->texts[k], ' '));
        RT_TRY(str_append(&e->texts[k], text, len));
        text = e->texts[k].data;
        len++;
    }
    RT_TRY(run(e, k + 1, text, len, first));
done:
    return err;
}

static enum rt_err run(struct txt_encoding *e, size_t k, const char *text, size_t len, bool first)
{
    const struct txt_pres *pres = &e->tok->pres;
    const struct txt_pre *p;
    struct splitter s = {.e = e, .next_step = k + 1, .text = text, .first = first};

    if (len == 0)
        return RT_OK;
    if (k == pres->n)
        return e->tok->word(e->tok, &e->model, text, len, e->out);
    p = &pres->steps[k];
    s.behavior = p->behavior;
    switch (p->kind) {
    case TXT_PRE_PREFIX:
        return run_prefix(e, k, text, len, first);
    case TXT_PRE_GPT2:
        return run_gpt2(e, k, text, len, first);
    case TXT_PRE_BYTES:
        return run_bytes(e, k, text, len, first);
    case TXT_PRE_METASPACE:
        return run_metaspace(e, k, text, len, first);
    case TXT_PRE_REGEX:
        return run_regex(&s, p, &e->scans[k], len);
    case TXT_PRE_CLASS:
    case TXT_PRE_CHAR:
        return run_class(&s, p, len);
    }
    return rt_fail(RT_E_ARG, "%s: bad step", __func__);
}

enum rt_err txt_pretokenize(struct txt_encoding *e, const char *text, size_t len, bool first)
{
    return run(e, 0, text, len, first);
}
