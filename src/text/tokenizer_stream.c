#include <string.h>

#include "src/text/tokenizer_parts.h"

// Whether what is held could still change: it ends inside a character, or with a byte that fell
// back.
static bool open_ended(const struct txt_tokenizer *tok, const struct txt_stream *s)
{
    char tail[TXT_UTF8_MAX];
    size_t n = 0; // bytes of tail in use, at its end

    for (size_t i = s->held.len; i-- > 0 && n < sizeof(tail);) {
        const uint32_t id = s->held.data[i];
        const char *bytes;
        size_t len;
        if (!txt_token_bytes(tok, id, &bytes, &len) || (s->skip_special && txt_is_skipped(tok, id)))
            continue;
        if (tok->decs.fallback) {
            const char *name = txt_shown_name(tok, id, &len);
            return txt_fallback_byte(name, len) >= 0;
        }
        while (len > 0 && n < sizeof(tail))
            tail[sizeof(tail) - ++n] = bytes[--len];
    }
    return txt_utf8_tail(tail + sizeof(tail) - n, n) > 0;
}

enum rt_err txt_stream_push(const struct txt_tokenizer *tok, struct txt_stream *s, uint32_t id,
                            struct str *out)
{
    enum rt_err err = RT_OK;

    RT_TRY(txt_ids_append(&s->held, &id, 1));
    if (tok->decs.streams && !open_ended(tok, s))
        RT_TRY(txt_stream_end(tok, s, out));
done:
    return err;
}

enum rt_err txt_stream_end(const struct txt_tokenizer *tok, struct txt_stream *s, struct str *out)
{
    enum rt_err err = RT_OK;
    const struct txt_decode_args args = {s->held.data, s->held.len, s->skip_special};

    RT_TRY(txt_decode_ids(tok, &args, &s->started, out));
    txt_ids_clear(&s->held);
done:
    return err;
}

void txt_stream_free(struct txt_stream *s)
{
    txt_ids_free(&s->held);
    *s = (struct txt_stream){0};
}
