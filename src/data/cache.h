// src/data/cache.h -- a tokenised set as a file, so that it is made once and need not fit into
// memory. Private to src/data.
#ifndef DATA_CACHE_H
#define DATA_CACHE_H

#include "src/base/file.h"
#include "src/base/hash.h"
#include "src/data/pairs.h"
#include "src/data/source.h"

// XXH64 of the XXH64s of the 4 MiB blocks: the same in pieces as of the whole, which all cores can
// do. { 0 } is not begun.
struct ds_digest {
    struct hash all, block;
    uint64_t in_block;
};
void ds_digest_begin(struct ds_digest *d);
void ds_digest_add(struct ds_digest *d, const void *bytes, size_t n);
uint64_t ds_digest_end(struct ds_digest *d);
// On all cores. Errors: RT_E_NOMEM.
RT_NODISCARD enum rt_err ds_digest_of(const void *bytes, size_t n, uint64_t *out);

// What a set depends on, in 128 bits: contents of the files (not their names), columns and limits
// (of ds_limits), tokenizer, templates and special tokens, max_length and truncation, and where a
// template asks for the time, the day. Reads every file once. Errors: those of file_map_open.
struct ds_key {
    uint64_t a, b;
};
RT_NODISCARD enum rt_err ds_key_make(const struct ds_read_args *args, const struct ds_files *files,
                                     const uint64_t *limits, struct ds_key *out);

// FOLDER/KEY.tokens into a heap string.
RT_NODISCARD enum rt_err ds_cache_path(const char *folder, const struct ds_key *key, char **out);

// Map the set of that file. *hit false, with *out empty: there is none, or it is damaged, which is
// logged as a warning; the caller makes it anew. Errors: RT_E_NOMEM.
RT_NODISCARD enum rt_err ds_cache_open(const char *path, const struct ds_key *key,
                                       struct ds_set *out, bool *hit);

// Remove from the folder the token files that another version wrote or that nobody has used for
// DS_CACHE_DAYS, the longest unused while all together are larger than `most` bytes (0: any size),
// and what a killed run left half-written more than a day ago; never `keep`, and nothing that is
// not by name and contents a file of this cache. A failure is a warning.
enum { DS_CACHE_DAYS = 90 };
void ds_cache_trim(const char *folder, const char *keep, uint64_t most);

// Why no run of this program will use the file; "": it is none of this cache's by its end; NULL:
// one may.
const char *ds_cache_stale(const char *path);

// Writing: the ids in order, then the rest at once. The file appears when it is complete. A failure
// is RT_E_IO and is not logged but kept in `why`: the caller can do without the file.
struct ds_cache_out {
    struct file_out file;
    struct ds_digest digest;
    uint64_t n_ids;
    struct str why; // a write failed: the log's line
};
// *out is { 0 } before.
RT_NODISCARD enum rt_err ds_cache_begin(const char *path, struct ds_cache_out *out);
RT_NODISCARD enum rt_err ds_cache_add(struct ds_cache_out *c, const uint32_t *ids, size_t n);
// `set` has everything but the ids.
RT_NODISCARD enum rt_err ds_cache_commit(struct ds_cache_out *c, const struct ds_key *key,
                                         const struct ds_set *set);
void ds_cache_close(struct ds_cache_out *c); // accepts what was never begun, and committed

#endif // DATA_CACHE_H
