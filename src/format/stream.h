// src/format/stream.h -- the bytes of a file, plain or compressed, from its beginning to its end.
#ifndef FORMAT_STREAM_H
#define FORMAT_STREAM_H

#include <stddef.h>

#include "src/base/err.h"

enum fmt_packing { FMT_PLAIN, FMT_GZIP, FMT_ZSTD };

// One open file. One thread uses it. What is read is not kept in memory.
struct fmt_stream;

// Errors: RT_E_NOT_FOUND, RT_E_IO, RT_E_NOMEM.
RT_NODISCARD enum rt_err fmt_stream_open(const char *path, enum fmt_packing packing,
                                         struct fmt_stream **out);
// The same for bytes in memory, which must outlive *out; `where` names them in messages.
RT_NODISCARD enum rt_err fmt_stream_open_memory(const void *bytes, size_t size, const char *where,
                                                enum fmt_packing packing, struct fmt_stream **out);
void fmt_stream_close(struct fmt_stream **s); // accepts NULL; leaves NULL

// The next 1 .. cap unpacked bytes into buf; *n = 0 at the end. cap > 0. Several gzip members or
// zstd frames behind each other are one text.
// Errors: RT_E_FORMAT  not of that packing, damaged (checksum), or ending in the middle;
// RT_E_NOMEM. Source: zlib 1.2.13 and zstd 1.5.4, their headers.
RT_NODISCARD enum rt_err fmt_stream_read(struct fmt_stream *s, void *buf, size_t cap, size_t *n);

#endif // FORMAT_STREAM_H
