// src/format/safetensors.h -- safetensors files and Hugging Face folders of them, memory mapped.
// Source: https://github.com/huggingface/safetensors, README "Format"; the checks are those of its
// reference reader (safetensors/src/tensor.rs): offsets without hole or overlap, to the file's end.
#ifndef FORMAT_SAFETENSORS_H
#define FORMAT_SAFETENSORS_H

#include <cjson/cJSON.h>

#include "src/base/file.h"
#include "src/format/tensor.h"

#define FMT_ST_MAX_HEADER 100000000u // bytes, as in the reference reader

struct fmt_st_file {
    char *path;
    struct file_map map;
    bool borrowed; // map is the caller's memory
    cJSON *header; // owns the names of the tensors
};

// An open model: the tensors of one file or of all shards, in file order. Read-only once open, so
// that threads may share it. { 0 } is closed.
struct fmt_st {
    char *path;                 // as given to open
    struct fmt_tensor *tensors; // files in turn, by offset within each
    uint32_t n;
    const struct fmt_tensor **by_name;
    struct fmt_st_file *files;
    uint32_t n_files;
};

// Open `path`: a .safetensors file, a .safetensors.index.json, or a folder with model.safetensors
// or else model.safetensors.index.json. Through an index only the tensors that it maps are visible.
// Errors: RT_E_NOT_FOUND    no such file or folder, or a shard that the index names is missing
//         RT_E_UNSUPPORTED  the folder holds pytorch_model*.bin and no safetensors
//         RT_E_FORMAT       the file or index is damaged; the message names file, tensor and reason
//         RT_E_IO, RT_E_NOMEM
RT_NODISCARD enum rt_err fmt_st_open(const char *path, struct fmt_st *out);
void fmt_st_close(struct fmt_st *st); // accepts closed

// The same for a file in memory, which must outlive *out. `where` is its name in messages.
RT_NODISCARD enum rt_err fmt_st_open_memory(const void *bytes, size_t size, const char *where,
                                            struct fmt_st *out);

// The tensor of this name, or NULL.
const struct fmt_tensor *fmt_st_find(const struct fmt_st *st, const char *name);

// The same; RT_E_NOT_FOUND names model and tensor, and the nearest name that it has.
RT_NODISCARD enum rt_err fmt_st_get(const struct fmt_st *st, const char *name,
                                    const struct fmt_tensor **out);

// Value of a metadata key, in the first file that has it, or NULL. Borrowed.
const char *fmt_st_meta(const struct fmt_st *st, const char *key);

// A hint that elements [first, first + count) of t will not be read again soon: their pages are
// given back, so that streaming a model does not fill the memory.
void fmt_st_done_with(const struct fmt_st *st, const struct fmt_tensor *t, uint64_t first,
                      uint64_t count);

// ---- writing ----

struct fmt_st_writer; // one thread at a time

struct fmt_st_writer_args {
    const char *dir;          // an existing folder
    const char *stem;         // "model" or "adapter_model"; NULL = "model"
    uint64_t max_shard_bytes; // 0 = 5e9, Hugging Face's "5GB"
};

// Write dir/STEM.safetensors, or, if the data exceed max_shard_bytes,
// dir/STEM-00001-of-0000N.safetensors and so on with STEM.safetensors.index.json. Declare all
// tensors, begin, put the data in the declared order, commit. Nothing appears under its name before
// commit; destroy without commit leaves the folder as it was. Metadata is {"format": "pt"}, as
// transformers writes and wants it.
RT_NODISCARD enum rt_err fmt_st_writer_create(const struct fmt_st_writer_args *args,
                                              struct fmt_st_writer **out);

// Declare a tensor; shape (rank) may be NULL if rank is 0. Copies name and shape.
// Errors: RT_E_ARG  after begin, an empty or repeated name, rank > FMT_MAX_RANK, a dtype of under
//                   8 bits; RT_E_SHAPE  the size overflows; RT_E_NOMEM
// Repeated names are found by begin.
RT_NODISCARD enum rt_err fmt_st_writer_add(struct fmt_st_writer *w, const char *name,
                                           enum fmt_dtype dtype, uint32_t rank,
                                           const uint64_t *shape);

// Cut into shards, create the files and write their headers. Errors: RT_E_ARG, RT_E_IO, RT_E_NOMEM.
RT_NODISCARD enum rt_err fmt_st_writer_begin(struct fmt_st_writer *w);

// The next `count` elements, which must lie within one tensor, of type F32, F16, BF16 or F64;
// rounded to nearest even. Errors: RT_E_ARG before begin; RT_E_SHAPE beyond the tensor or behind
// the last; RT_E_UNSUPPORTED another dtype; RT_E_IO.
RT_NODISCARD enum rt_err fmt_st_writer_put_f32(struct fmt_st_writer *w, const float *x,
                                               uint64_t count);

// The next n bytes as they are to lie in the file, within one tensor, any dtype.
RT_NODISCARD enum rt_err fmt_st_writer_put_raw(struct fmt_st_writer *w, const void *bytes,
                                               size_t n);

// Put all files in place, the index last, and remove a file of the other layout that would shadow
// them. Errors: RT_E_ARG not begun; RT_E_SHAPE data are missing, naming the tensor; RT_E_IO.
RT_NODISCARD enum rt_err fmt_st_writer_commit(struct fmt_st_writer *w);

void fmt_st_writer_destroy(struct fmt_st_writer **w); // accepts NULL and half-built; leaves NULL

#endif // FORMAT_SAFETENSORS_H
