// src/format/gguf_write.h -- writing GGUF version 3 files, tensor by tensor.
// Source: https://github.com/ggml-org/ggml, docs/gguf.md.
#ifndef FORMAT_GGUF_WRITE_H
#define FORMAT_GGUF_WRITE_H

#include "src/format/gguf.h"
#include "src/format/quant.h"

// Metadata, then the list of tensors, then begin, the data in the declared order, commit. The file
// appears under its name with commit; destroy without it leaves what was there. Metadata and names
// are kept in memory until begin, data are not. Tensors lie at multiples of 32 bytes. One thread.
struct fmt_gguf_writer;

// Errors: RT_E_NOMEM.
RT_NODISCARD enum rt_err fmt_gguf_writer_create(const char *path, struct fmt_gguf_writer **out);
void fmt_gguf_writer_destroy(struct fmt_gguf_writer **w); // accepts NULL; leaves NULL

// ---- metadata ----

// One entry. Strings are copied. Errors, naming file and key: RT_E_ARG after begin, the key is
// empty, too long or there already, or an array that was begun lacks elements; RT_E_NOMEM.
RT_NODISCARD enum rt_err fmt_gguf_put_u32(struct fmt_gguf_writer *w, const char *key, uint32_t v);
RT_NODISCARD enum rt_err fmt_gguf_put_f32(struct fmt_gguf_writer *w, const char *key, float v);
RT_NODISCARD enum rt_err fmt_gguf_put_bool(struct fmt_gguf_writer *w, const char *key, bool v);
RT_NODISCARD enum rt_err fmt_gguf_put_text(struct fmt_gguf_writer *w, const char *key,
                                           const char *text, size_t len);

// An array of FMT_GGUF_STR, FMT_GGUF_I32 or FMT_GGUF_F32; its `count` elements follow. Errors: as
// above; RT_E_ARG another type; an element of another type, or beyond the last.
RT_NODISCARD enum rt_err fmt_gguf_put_array(struct fmt_gguf_writer *w, const char *key,
                                            enum fmt_gguf_type type, uint64_t count);
RT_NODISCARD enum rt_err fmt_gguf_item_text(struct fmt_gguf_writer *w, const char *text,
                                            size_t len);
RT_NODISCARD enum rt_err fmt_gguf_item_i32(struct fmt_gguf_writer *w, int32_t v);
RT_NODISCARD enum rt_err fmt_gguf_item_f32(struct fmt_gguf_writer *w, float v);

// ---- tensors ----

// Declare a tensor of a kind that can be written (quant.h); shape (rank), slowest dimension first.
// Errors: RT_E_ARG after begin, a bad name, rank not 1 .. 4, or a kind without `encode`; RT_E_SHAPE
// a dimension is 0, rows are not whole blocks, or the size overflows; RT_E_NOMEM. Repeated names
// are found by begin.
RT_NODISCARD enum rt_err fmt_gguf_writer_add(struct fmt_gguf_writer *w, const char *name,
                                             uint32_t kind, uint32_t rank, const uint64_t *shape);

// Make the file, and write all but the data. Errors: RT_E_ARG a repeated tensor name, or an array
// lacks elements; RT_E_IO, RT_E_NOT_FOUND, RT_E_NOMEM.
RT_NODISCARD enum rt_err fmt_gguf_writer_begin(struct fmt_gguf_writer *w);

// The next `count` elements, whole blocks within one tensor. Errors: RT_E_ARG before begin or after
// commit; RT_E_SHAPE no whole blocks, or beyond the tensor or behind the last; RT_E_NUMERIC a value
// that is not finite, or too large for the kind (tensor and value named); RT_E_IO.
RT_NODISCARD enum rt_err fmt_gguf_writer_put_f32(struct fmt_gguf_writer *w, const float *x,
                                                 uint64_t count);

// Errors: RT_E_ARG not begun; RT_E_SHAPE data are missing, naming the tensor; RT_E_IO.
RT_NODISCARD enum rt_err fmt_gguf_writer_commit(struct fmt_gguf_writer *w);

// How many tensors are declared, and how many elements they have together.
void fmt_gguf_writer_count(const struct fmt_gguf_writer *w, uint32_t *tensors, uint64_t *elements);

#endif // FORMAT_GGUF_WRITE_H
