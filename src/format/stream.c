#include "src/format/stream.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/base/str.h"

enum { KEEP = 16 << 20 }; // bytes of the map that stay in memory behind the place of reading

struct fmt_stream {
    struct file_map map; // closed for bytes in memory
    char *where;
    const unsigned char *bytes;
    size_t size, at, given_back;
    enum fmt_packing packing;
    z_stream z;
    bool z_open, between; // between: no member or frame has begun since the last one ended
    ZSTD_DCtx *zstd;
};

static enum rt_err start(struct fmt_stream *s)
{
    s->between = true;
    if (s->packing == FMT_GZIP) {
        if (inflateInit2(&s->z, 15 + 16) != Z_OK) // 16: gzip headers only
            return rt_fail(RT_E_NOMEM, "out of memory: unpacking %s", s->where);
        s->z_open = true;
    }
    if (s->packing == FMT_ZSTD) {
        s->zstd = ZSTD_createDCtx();
        if (!s->zstd)
            return rt_fail(RT_E_NOMEM, "out of memory: unpacking %s", s->where);
    }
    return RT_OK;
}

enum rt_err fmt_stream_open_memory(const void *bytes, size_t size, const char *where,
                                   enum fmt_packing packing, struct fmt_stream **out)
{
    enum rt_err err = RT_OK;
    struct fmt_stream *s = calloc(1, sizeof(*s));

    *out = NULL;
    if (!s)
        RT_TRY(rt_fail(RT_E_NOMEM, "out of memory: %s", where));
    s->bytes = bytes;
    s->size = size;
    s->packing = packing;
    RT_TRY(str_dup(where, &s->where));
    RT_TRY(start(s));
    *out = s;
    s = NULL;
done:
    fmt_stream_close(&s);
    return err;
}

enum rt_err fmt_stream_open(const char *path, enum fmt_packing packing, struct fmt_stream **out)
{
    enum rt_err err = RT_OK;
    struct file_map map = {0};

    *out = NULL;
    RT_TRY(file_map_open(path, &map));
    RT_TRY(fmt_stream_open_memory(map.data, map.size, path, packing, out));
    (*out)->map = map;
    map = (struct file_map){0};
done:
    file_map_close(&map);
    return err;
}

void fmt_stream_close(struct fmt_stream **stream)
{
    struct fmt_stream *s = *stream;
    if (!s)
        return;
    if (s->z_open)
        inflateEnd(&s->z);
    ZSTD_freeDCtx(s->zstd);
    file_map_close(&s->map);
    free(s->where);
    free(s);
    *stream = NULL;
}

static enum rt_err damaged(const struct fmt_stream *s, const char *what)
{
    return rt_fail(RT_E_FORMAT, "%s: damaged %s: %s at byte %zu of %zu", s->where,
                   s->packing == FMT_GZIP ? "gzip" : "zstd", what, s->at, s->size);
}

static enum rt_err inflate_some(struct fmt_stream *s, unsigned char *buf, size_t cap, size_t *n)
{
    enum rt_err err = RT_OK;
    const uInt in = (uInt) u64_min(s->size - s->at, 1u << 30), room = (uInt) u64_min(cap, 1u << 30);

    s->z.next_in = (Bytef *) (uintptr_t) (s->bytes + s->at);
    s->z.avail_in = in;
    s->z.next_out = buf;
    s->z.avail_out = room;
    const int r = inflate(&s->z, Z_NO_FLUSH);
    s->at += in - s->z.avail_in;
    *n = room - s->z.avail_out;
    s->between = r == Z_STREAM_END;
    if (r == Z_STREAM_END) {
        if (inflateReset(&s->z) != Z_OK)
            RT_TRY(damaged(s, "cannot go on"));
    } else if (r == Z_MEM_ERROR) {
        RT_TRY(rt_fail(RT_E_NOMEM, "out of memory: unpacking %s", s->where));
    } else if (r != Z_OK && r != Z_BUF_ERROR) {
        RT_TRY(damaged(s, s->z.msg ? s->z.msg : "unknown data"));
    } else if (s->at == s->size && *n == 0) {
        RT_TRY(damaged(s, "it ends in the middle"));
    }
done:
    return err;
}

static enum rt_err unzstd_some(struct fmt_stream *s, unsigned char *buf, size_t cap, size_t *n)
{
    enum rt_err err = RT_OK;
    ZSTD_inBuffer in = {s->bytes, s->size, s->at};
    ZSTD_outBuffer out = {buf, cap, 0};
    const size_t r = ZSTD_decompressStream(s->zstd, &out, &in);

    if (ZSTD_isError(r))
        RT_TRY(damaged(s, ZSTD_getErrorName(r)));
    s->between = r == 0;
    if (in.pos == s->at && out.pos == 0 && !s->between)
        RT_TRY(damaged(s, "it ends in the middle"));
    s->at = in.pos;
    *n = out.pos;
done:
    return err;
}

enum rt_err fmt_stream_read(struct fmt_stream *s, void *buf, size_t cap, size_t *n)
{
    enum rt_err err = RT_OK;

    *n = 0;
    RT_REQUIRE(cap > 0, RT_E_ARG);
    if (s->packing == FMT_PLAIN) {
        *n = (size_t) u64_min(cap, s->size - s->at);
        if (*n)
            memcpy(buf, s->bytes + s->at, *n);
        s->at += *n;
    }
    while (s->packing != FMT_PLAIN && *n == 0 && !(s->between && s->at == s->size))
        RT_TRY(s->packing == FMT_GZIP ? inflate_some(s, buf, cap, n) : unzstd_some(s, buf, cap, n));
    if (s->map.data && s->at > s->given_back + 2 * (size_t) KEEP) {
        file_map_done_with(&s->map, s->given_back, s->at - s->given_back - KEEP);
        s->given_back = s->at - KEEP;
    }
done:
    return err;
}
