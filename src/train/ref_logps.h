// src/train/ref_logps.h -- a file of the reference's log-probs: plain JSON lines, with what they
// depend on.
//
// A file holds a section for each dataset: a line
//   {"ref_logps": 1, "set": "train", "pairs": N, "key": {...}, "kernels": "...", "device": "..."}
// and N lines {"row": 0, "chosen": -466.5, "rejected": -105.25}, nats, in the order of the data.
#ifndef TRAIN_REF_LOGPS_H
#define TRAIN_REF_LOGPS_H

#include "src/format/json.h"
#include "src/train/dataset.h"

// What the values of one dataset depend on: names and texts. Owned by whoever declares it.
struct tr_ref_key {
    cJSON *parts;
};

// Hashes of the reference's files (weights, config.json, adapter), the storage types, ld_alpha, and
// of the token ids as they are trained on; and, to name what made those differ, of the file of
// rows, tokenizer, template and truncation. Reads all of the weights once. Errors: those of
// fmt_st_open, file_map_open; RT_E_NOMEM.
RT_NODISCARD enum rt_err tr_ref_key_make(const struct tr_config *c, const struct tr_dataset *d,
                                         struct tr_ref_key *out);
void tr_ref_key_free(struct tr_ref_key *k);

// What decides, and `kernels` (which fixes the last bits), in 16 hexadecimal digits.
void tr_ref_key_name(const struct tr_ref_key *k, const char *kernels, char out[17]);

// The section of `path` whose key is k: *out = (2 n) values as tr_dataset.ref_logps; free() it.
// NULL: the file has no section for this dataset.
// Errors: RT_E_USAGE   it has one of that name, with another key: the parts that differ are named
//         RT_E_FORMAT  the file is damaged (line)
//         RT_E_NOT_FOUND, RT_E_IO, RT_E_NOMEM
RT_NODISCARD enum rt_err tr_ref_logps_read(const char *path, const struct tr_ref_key *k,
                                           const char *kernels, const struct tr_dataset *d,
                                           float **out);

// Append a section for d->ref_logps. `device` is for people. Errors: RT_E_NUMERIC a value is not
// finite (names the row); RT_E_IO, RT_E_NOMEM.
RT_NODISCARD enum rt_err tr_ref_logps_append(const char *path, const struct tr_ref_key *k,
                                             const char *kernels, const char *device,
                                             const struct tr_dataset *d);

#endif // TRAIN_REF_LOGPS_H
