// src/format/gguf.h -- GGUF model files, versions 2 and 3, little endian, memory mapped.
// Source: https://github.com/ggml-org/ggml, docs/gguf.md.
#ifndef FORMAT_GGUF_H
#define FORMAT_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/err.h"
#include "src/base/file.h"

enum fmt_gguf_type { // numbers of the file
    FMT_GGUF_U8,
    FMT_GGUF_I8,
    FMT_GGUF_U16,
    FMT_GGUF_I16,
    FMT_GGUF_U32,
    FMT_GGUF_I32,
    FMT_GGUF_F32,
    FMT_GGUF_BOOL,
    FMT_GGUF_STR,
    FMT_GGUF_ARRAY, // as an element type: an array of arrays
    FMT_GGUF_U64,
    FMT_GGUF_I64,
    FMT_GGUF_F64,
    FMT_GGUF_TYPE_COUNT
};

#define FMT_GGUF_MAX_RANK 4u
#define FMT_GGUF_MAX_NESTING 4u       // arrays in arrays
#define FMT_GGUF_MAX_NAME 65535u      // bytes of a key or tensor name, as the specification says
#define FMT_GGUF_MAX_ITEMS (1u << 20) // keys, and tensors

// Bytes inside the map; not NUL-terminated, and not checked to be UTF-8.
struct fmt_gguf_str {
    const char *data;
    size_t len;
};

// A metadata entry: one value, or an array of `count` of them, left where it lies in the file.
struct fmt_gguf_kv {
    char *key;               // owned by the fmt_gguf
    enum fmt_gguf_type type; // of the value, or of the elements
    bool is_array;
    uint64_t count; // 1 unless an array
    const unsigned char *data;
    size_t bytes;
};

struct fmt_gguf_tensor {
    char *name;                        // owned by the fmt_gguf
    uint32_t kind;                     // number of its block format, see quant.h
    uint32_t rank;                     // 1 .. 4
    uint64_t shape[FMT_GGUF_MAX_RANK]; // slowest dimension first: the file's order reversed
    uint64_t count;                    // elements, > 0
    const unsigned char *data;
    size_t bytes; // 0 when the kind is unknown
};

// Read-only once open, so that threads may share it. { 0 } is closed.
struct fmt_gguf {
    char *path;
    struct file_map map;
    bool borrowed; // map is the caller's memory
    uint32_t version, alignment;
    struct fmt_gguf_kv *kvs; // sorted by key
    uint32_t n_kvs;
    struct fmt_gguf_tensor *tensors; // in the file's order
    const struct fmt_gguf_tensor **by_name;
    uint32_t n_tensors;
};

// All lengths, counts, types, names, nesting, alignment, offsets and overlaps are checked.
// Errors: RT_E_NOT_FOUND, RT_E_IO  the file
//         RT_E_UNSUPPORTED  version 1, big endian, or one part of a split model
//         RT_E_FORMAT       damaged: the message names file, key or tensor, and the reason
//         RT_E_NOMEM
RT_NODISCARD enum rt_err fmt_gguf_open(const char *path, struct fmt_gguf *out);
void fmt_gguf_close(struct fmt_gguf *g); // accepts closed

// The same for a file in memory, which must outlive *out. `where` is its name in messages.
RT_NODISCARD enum rt_err fmt_gguf_open_memory(const void *bytes, size_t size, const char *where,
                                              struct fmt_gguf *out);

// A regular file that begins as GGUF files do.
bool fmt_gguf_is(const char *path);

// ---- metadata ----

const struct fmt_gguf_kv *fmt_gguf_find(const struct fmt_gguf *g, const char *key); // or NULL

// Typed values. An integer may be stored in any integer type, a float as F32 or F64. The _or forms
// give `def` when the key is absent. Errors, naming file and key: RT_E_NOT_FOUND it is absent;
// RT_E_FORMAT another type or out of range. On error *out is 0, false, { 0 } or NULL.
RT_NODISCARD enum rt_err fmt_gguf_u32(const struct fmt_gguf *g, const char *key, uint32_t *out);
RT_NODISCARD enum rt_err fmt_gguf_u32_or(const struct fmt_gguf *g, const char *key, uint32_t def,
                                         uint32_t *out);
RT_NODISCARD enum rt_err fmt_gguf_u64(const struct fmt_gguf *g, const char *key, uint64_t *out);
RT_NODISCARD enum rt_err fmt_gguf_f32(const struct fmt_gguf *g, const char *key, float *out);
RT_NODISCARD enum rt_err fmt_gguf_f32_or(const struct fmt_gguf *g, const char *key, float def,
                                         float *out);
RT_NODISCARD enum rt_err fmt_gguf_bool(const struct fmt_gguf *g, const char *key, bool *out);
RT_NODISCARD enum rt_err fmt_gguf_bool_or(const struct fmt_gguf *g, const char *key, bool def,
                                          bool *out);
RT_NODISCARD enum rt_err fmt_gguf_text(const struct fmt_gguf *g, const char *key,
                                       struct fmt_gguf_str *out);
// An array of elements of this type; its elements through the functions below.
RT_NODISCARD enum rt_err fmt_gguf_array(const struct fmt_gguf *g, const char *key,
                                        enum fmt_gguf_type type, const struct fmt_gguf_kv **out);

// Walk the strings of an array (or the one string of a value) without copies:
//   struct fmt_gguf_iter it = fmt_gguf_iter(kv);
//   while (fmt_gguf_next(&it, &s)) ...
// Nothing comes of an entry of another type.
struct fmt_gguf_iter {
    const unsigned char *at;
    uint64_t left;
};
struct fmt_gguf_iter fmt_gguf_iter(const struct fmt_gguf_kv *kv);
bool fmt_gguf_next(struct fmt_gguf_iter *it, struct fmt_gguf_str *out);

// Element i (0 of a single value) as an integer, or as a float; BOOL counts as integer 0 or 1 and
// integers as floats. False if i >= count, the type is another, or a U64 exceeds INT64_MAX.
bool fmt_gguf_int_at(const struct fmt_gguf_kv *kv, uint64_t i, int64_t *out);
bool fmt_gguf_num_at(const struct fmt_gguf_kv *kv, uint64_t i, double *out);

// ---- tensors ----

const struct fmt_gguf_tensor *fmt_gguf_tensor(const struct fmt_gguf *g,
                                              const char *name); // or NULL

// out[i] = element first + i of the row-major tensor, 0 <= i < count; any range, not only whole
// blocks. Errors: RT_E_SHAPE first + count exceeds the tensor; RT_E_UNSUPPORTED a kind that cannot
// be read, naming tensor and kind. On error out is untouched.
RT_NODISCARD enum rt_err fmt_gguf_to_f32(const struct fmt_gguf_tensor *t, uint64_t first,
                                         uint64_t count, float *out);

// A hint that the tensor will not be read again soon: its pages are given back.
void fmt_gguf_done_with(const struct fmt_gguf *g, const struct fmt_gguf_tensor *t);

#endif // FORMAT_GGUF_H
