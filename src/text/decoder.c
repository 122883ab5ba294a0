#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/text/tokenizer_parts.h"

// ---- reading ----

static enum rt_err push(struct txt_tokenizer *tok, const struct txt_node *at,
                        enum txt_dec_kind kind, struct txt_dec **out)
{
    enum rt_err err = RT_OK;
    void *item = NULL;

    *out = NULL;
    if (tok->decs.n == TXT_STEPS_MAX)
        RT_TRY(txt_node_fail(at, RT_E_UNSUPPORTED, "more than %d components", TXT_STEPS_MAX));
    RT_TRY(txt_push(&tok->decs.steps, &tok->decs.n, sizeof(**out), &item));
    *out = item;
    (*out)->kind = kind;
done:
    return err;
}

static enum rt_err read_byte_level(struct txt_tokenizer *tok, const struct txt_node *at)
{
    struct txt_dec *d;
    return push(tok, at, TXT_DEC_BYTE_LEVEL, &d);
}

static enum rt_err read_fallback(struct txt_tokenizer *tok, const struct txt_node *at)
{
    struct txt_dec *d;
    return push(tok, at, TXT_DEC_FALLBACK, &d);
}

static enum rt_err read_fuse(struct txt_tokenizer *tok, const struct txt_node *at)
{
    struct txt_dec *d;
    return push(tok, at, TXT_DEC_FUSE, &d);
}

static enum rt_err read_replace(struct txt_tokenizer *tok, const struct txt_node *at)
{
    enum rt_err err = RT_OK;
    struct txt_dec *d;
    const char *text;

    RT_TRY(push(tok, at, TXT_DEC_REPLACE, &d));
    RT_TRY(txt_node_text(at, "content", &text, &d->len));
    RT_TRY(str_dup_n(text, d->len, &d->text));
    RT_TRY(txt_node_pattern(at, "pattern", &d->re));
done:
    return err;
}

static enum rt_err read_strip(struct txt_tokenizer *tok, const struct txt_node *at)
{
    enum rt_err err = RT_OK;
    struct txt_dec *d;

    RT_TRY(push(tok, at, TXT_DEC_STRIP, &d));
    RT_TRY(txt_node_char(at, "content", &d->c));
    RT_TRY(txt_node_u32(at, "start", &d->start));
    RT_TRY(txt_node_u32(at, "stop", &d->stop));
done:
    return err;
}

static enum rt_err read_metaspace(struct txt_tokenizer *tok, const struct txt_node *at)
{
    enum rt_err err = RT_OK;
    struct txt_dec *d;
    enum txt_prepend prepend;
    bool split;

    RT_TRY(push(tok, at, TXT_DEC_METASPACE, &d));
    RT_TRY(txt_read_metaspace(at, &d->c, &prepend, &split));
    d->drop_first = prepend != TXT_PREPEND_NEVER;
done:
    return err;
}

static enum rt_err read_sequence(struct txt_tokenizer *tok, const struct txt_node *at);
static const struct txt_kind KINDS[] = {
    {"Sequence", read_sequence},   {"ByteLevel", read_byte_level},
    {"Replace", read_replace},     {"ByteFallback", read_fallback},
    {"Fuse", read_fuse},           {"Strip", read_strip},
    {"Metaspace", read_metaspace},
};
static enum rt_err read_sequence(struct txt_tokenizer *tok, const struct txt_node *at)
{
    return txt_read_each(tok, at, "decoders", KINDS, COUNT_OF(KINDS));
}

// Whether the text of the first tokens does not depend on those that follow, but for bytes of a
// character.
static bool can_stream(const struct txt_decs *d)
{
    bool fused = false;

    for (size_t i = 0; i < d->n; i++) {
        const struct txt_dec *s = &d->steps[i];
        if (s->kind == TXT_DEC_BYTE_LEVEL && d->n > 1)
            return false;
        if (fused && !(s->kind == TXT_DEC_FUSE || (s->kind == TXT_DEC_STRIP && s->stop == 0)))
            return false;
        fused = fused || s->kind == TXT_DEC_FUSE;
    }
    return true;
}

enum rt_err txt_decs_read(struct txt_tokenizer *tok, const struct txt_node *at)
{
    enum rt_err err = RT_OK;

    tok->decs.spaced = at->v == NULL;
    if (at->v)
        RT_TRY(txt_read_kind(tok, at, KINDS, COUNT_OF(KINDS)));
    tok->decs.streams = can_stream(&tok->decs);
    for (size_t i = 0; i < tok->decs.n; i++)
        if (tok->decs.steps[i].kind == TXT_DEC_FALLBACK)
            tok->decs.fallback = true;
done:
    return err;
}

void txt_decs_free(struct txt_decs *d)
{
    for (size_t i = 0; i < d->n; i++) {
        txt_regex_destroy(&d->steps[i].re);
        free(d->steps[i].text);
    }
    free(d->steps);
    free(d->bytes_at);
    str_free(&d->bytes);
    *d = (struct txt_decs){0};
}

// ---- running: each step makes a list of strings into another ----

struct parts {
    struct str text;
    size_t *ends; // (cap)
    size_t n;
};

struct run {
    const struct txt_tokenizer *tok;
    bool started, fused; // text came before; the parts were made one
    struct parts in, out;
    struct txt_scan scan;
};

static void end_part(struct parts *p)
{
    p->ends[p->n++] = p->text.len;
}

static const char *part(const struct parts *p, size_t i, size_t *len)
{
    const size_t from = i ? p->ends[i - 1] : 0;
    *len = p->ends[i] - from;
    return p->text.data ? p->text.data + from : "";
}

// The byte of a name <0xHH>, or -1. A sign is taken for a digit, as Rust's parser takes it.
int txt_fallback_byte(const char *name, size_t len)
{
    int v = 0, digits = 0;

    if (len != 6 || memcmp(name, "<0x", 3) != 0 || name[5] != '>')
        return -1;
    for (size_t i = 3; i < 5; i++) {
        const char c = name[i];
        if (i == 3 && c == '+')
            continue;
        if (c >= '0' && c <= '9')
            v = v * 16 + (c - '0');
        else if ((c | 32) >= 'a' && (c | 32) <= 'f')
            v = v * 16 + ((c | 32) - 'a' + 10);
        else
            return -1;
        digits++;
    }
    return digits ? v : -1;
}

// A run of byte tokens is a part if its bytes are UTF-8, else U+FFFD once a byte.
static enum rt_err end_bytes(struct parts *out, struct str *bytes)
{
    enum rt_err err = RT_OK;

    if (bytes->len == 0)
        goto done;
    if (txt_utf8_valid(bytes->data, bytes->len) == bytes->len) {
        RT_TRY(str_append(&out->text, bytes->data, bytes->len));
        end_part(out);
    } else {
        for (size_t i = 0; i < bytes->len; i++) {
            RT_TRY(str_append(&out->text, "\xef\xbf\xbd", 3));
            end_part(out);
        }
    }
    str_clear(bytes);
done:
    return err;
}

static enum rt_err run_fallback(struct run *r)
{
    enum rt_err err = RT_OK;
    struct str bytes = {0};

    for (size_t i = 0; i < r->in.n; i++) {
        size_t len;
        const char *s = part(&r->in, i, &len);
        const int byte = txt_fallback_byte(s, len);
        if (byte >= 0) {
            RT_TRY(str_putc(&bytes, (char) byte));
            continue;
        }
        RT_TRY(end_bytes(&r->out, &bytes));
        RT_TRY(str_append(&r->out.text, s, len));
        end_part(&r->out);
    }
    RT_TRY(end_bytes(&r->out, &bytes));
done:
    str_free(&bytes);
    return err;
}

static enum rt_err run_byte_level(struct run *r)
{
    enum rt_err err = RT_OK;
    struct str bytes = {0};

    for (size_t i = 0; i < r->in.n; i++) {
        size_t len;
        const char *s = part(&r->in, i, &len);
        if (!txt_name_bytes(s, len, &bytes, &err))
            RT_TRY(str_append(&bytes, s, len));
        RT_TRY(err);
    }
    RT_TRY(txt_utf8_repair(bytes.data, bytes.len, &r->out.text));
    end_part(&r->out);
done:
    str_free(&bytes);
    return err;
}

static enum rt_err strip_part(const struct txt_dec *d, const char *s, size_t len, bool keep_start,
                              struct parts *out)
{
    enum rt_err err = RT_OK;
    const char *end = s + len;
    uint32_t c;
    size_t n;

    for (uint32_t i = 0; !keep_start && i < d->start && s < end; i++) {
        n = txt_utf8_get(s, &c);
        if (c != d->c)
            break;
        s += n;
    }
    for (uint32_t i = 0; i < d->stop && s < end; i++) {
        n = txt_utf8_last(s, end, &c);
        if (c != d->c)
            break;
        end -= n;
    }
    RT_TRY(str_append(&out->text, s, (size_t) (end - s)));
    end_part(out);
done:
    return err;
}

static enum rt_err metaspace_part(const struct txt_dec *d, const char *s, size_t len, bool drop,
                                  struct parts *out)
{
    enum rt_err err = RT_OK;

    for (size_t i = 0, n; i < len; i += n) {
        uint32_t c;
        n = txt_utf8_get(s + i, &c);
        if (c != d->c)
            RT_TRY(str_append(&out->text, s + i, n));
        else if (!drop)
            RT_TRY(str_putc(&out->text, ' '));
    }
    end_part(out);
done:
    return err;
}

static enum rt_err run_parts(struct run *r, const struct txt_dec *d)
{
    enum rt_err err = RT_OK;

    for (size_t i = 0; i < r->in.n; i++) {
        size_t len;
        const char *s = part(&r->in, i, &len);
        switch (d->kind) {
        case TXT_DEC_REPLACE:
            RT_TRY(txt_replace_all(&r->scan, &(struct txt_replace){d->re, d->text, d->len, NULL},
                                   r->tok->chars, s, len, &r->out.text));
            end_part(&r->out);
            break;
        case TXT_DEC_STRIP:
            RT_TRY(strip_part(d, s, len, r->fused && r->started, &r->out));
            break;
        case TXT_DEC_METASPACE:
            RT_TRY(metaspace_part(d, s, len, d->drop_first && i == 0 && !r->started, &r->out));
            break;
        default: // FUSE
            RT_TRY(str_append(&r->out.text, s, len));
        }
    }
    if (d->kind == TXT_DEC_FUSE) {
        r->fused = true;
        end_part(&r->out);
    }
done:
    return err;
}

static enum rt_err run_steps(struct run *r)
{
    enum rt_err err = RT_OK;
    const struct txt_decs *d = &r->tok->decs;

    r->fused = false;
    for (size_t i = 0; i < d->n; i++) {
        const struct parts swap = r->in;
        str_clear(&r->out.text);
        r->out.n = 0;
        if (d->steps[i].kind == TXT_DEC_BYTE_LEVEL)
            RT_TRY(run_byte_level(r));
        else if (d->steps[i].kind == TXT_DEC_FALLBACK)
            RT_TRY(run_fallback(r));
        else
            RT_TRY(run_parts(r, &d->steps[i]));
        r->in = r->out;
        r->out = swap;
    }
done:
    return err;
}

// ---- the whole ----

static void run_free(struct run *r)
{
    str_free(&r->in.text);
    str_free(&r->out.text);
    free(r->in.ends);
    free(r->out.ends);
    txt_scan_free(&r->scan);
}

static enum rt_err run_begin(struct run *r, const struct txt_tokenizer *tok, size_t n)
{
    enum rt_err err = RT_OK;

    r->tok = tok;
    RT_REQUIRE(n < SIZE_MAX / sizeof(size_t) - 1, RT_E_NOMEM);
    r->in.ends =
        malloc((n + 1) * sizeof(size_t)); // no step makes more parts than there are tokens,
    r->out.ends = malloc((n + 1) * sizeof(size_t)); // but Fuse one of none
    RT_REQUIRE(r->in.ends && r->out.ends, RT_E_NOMEM);
done:
    return err;
}

static bool wanted(const struct txt_tokenizer *tok, uint32_t id, bool skip_special)
{
    return id < tok->rows && tok->decs.bytes_at[id + 1] > tok->decs.bytes_at[id] &&
           !(skip_special && txt_is_skipped(tok, id));
}

// ByteLevel alone: the bytes of the tokens in a row.
static enum rt_err decode_bytes(const struct txt_tokenizer *tok, const struct txt_decode_args *a,
                                bool *started, struct str *out)
{
    enum rt_err err = RT_OK;
    struct str bytes = {0};

    for (size_t i = 0; i < a->n; i++) {
        size_t len;
        const char *s;
        if (!wanted(tok, a->ids[i], a->skip_special) || !txt_token_bytes(tok, a->ids[i], &s, &len))
            continue;
        *started = true;
        RT_TRY(str_append(&bytes, s, len));
    }
    RT_TRY(txt_utf8_repair(bytes.data, bytes.len, out));
done:
    str_free(&bytes);
    return err;
}

static enum rt_err decode_names(const struct txt_tokenizer *tok, const struct txt_decode_args *a,
                                bool *started, struct str *out)
{
    enum rt_err err = RT_OK;
    struct run r = {.started = *started};

    RT_TRY(run_begin(&r, tok, a->n));
    for (size_t i = 0; i < a->n; i++) {
        size_t len;
        const char *s = txt_shown_name(tok, a->ids[i], &len);
        if (!s || !wanted(tok, a->ids[i], a->skip_special))
            continue;
        if (tok->decs.spaced && (r.in.n > 0 || r.started))
            RT_TRY(str_putc(&r.in.text, ' '));
        RT_TRY(str_append(&r.in.text, s, len));
        end_part(&r.in);
    }
    *started = *started || r.in.n > 0;
    RT_TRY(run_steps(&r));
    RT_TRY(str_append(out, r.in.text.data, r.in.text.len));
done:
    run_free(&r);
    return err;
}

enum rt_err txt_decode_ids(const struct txt_tokenizer *tok, const struct txt_decode_args *args,
                           bool *started, struct str *out)
{
    const bool bytes = tok->decs.n == 1 && tok->decs.steps[0].kind == TXT_DEC_BYTE_LEVEL;
    return bytes ? decode_bytes(tok, args, started, out) : decode_names(tok, args, started, out);
}

// The bytes of one name in the middle of a text.
static enum rt_err name_bytes(struct run *r, const char *name, size_t len, struct str *out)
{
    enum rt_err err = RT_OK;
    const struct txt_decs *d = &r->tok->decs;
    const int byte = d->fallback ? txt_fallback_byte(name, len) : -1;

    if (byte >= 0) {
        RT_TRY(str_putc(out, (char) byte));
        goto done;
    }
    if (d->n == 1 && d->steps[0].kind == TXT_DEC_BYTE_LEVEL) {
        if (!txt_name_bytes(name, len, out, &err))
            RT_TRY(str_append(out, name, len));
        goto done;
    }
    str_clear(&r->in.text);
    r->in.n = 0;
    RT_TRY(str_append(&r->in.text, name, len));
    end_part(&r->in);
    RT_TRY(run_steps(r));
    RT_TRY(str_append(out, r->in.text.data, r->in.text.len));
done:
    return err;
}

enum rt_err txt_decs_bytes(struct txt_tokenizer *tok)
{
    enum rt_err err = RT_OK;
    struct txt_decs *d = &tok->decs;
    struct run r = {.started = true};

    RT_TRY(run_begin(&r, tok, 1));
    d->bytes_at = calloc((size_t) tok->rows + 1, sizeof(*d->bytes_at));
    RT_REQUIRE(d->bytes_at, RT_E_NOMEM);
    for (uint32_t id = 0; id < tok->rows; id++) {
        size_t len;
        const char *name = txt_shown_name(tok, id, &len);
        if (name) {
            RT_TRY(name_bytes(&r, name, len, &d->bytes));
            RT_TRY(str_putc(&d->bytes, 0));
        }
        d->bytes_at[id + 1] = d->bytes.len;
    }
done:
    run_free(&r);
    return err;
}
