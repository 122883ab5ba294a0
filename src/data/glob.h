// src/data/glob.h -- file patterns as load_dataset's data_files has them. Private to src/data.
#ifndef DATA_GLOB_H
#define DATA_GLOB_H

#include <stdbool.h>

#include "src/base/err.h"
#include "src/base/file.h"

enum {
    DS_GLOB_DEPTH = 32,
    DS_GLOB_MAX = 1 << 16
}; // parts of a pattern; files, and folders looked into

// Has it a `*`, `?` or `[`?
bool ds_glob_is(const char *path);

// Does one part of a path match: `*` any text, `?` a character (a byte), [abc], [a-z], [!abc]? Time
// is bounded by the product of the lengths.
bool ds_glob_match(const char *pattern, const char *name);

// The files of a pattern, sorted by bytes; a part `**` is any number of folders, none included.
// Names that begin with a dot match only a part that does, and what Hugging Face keeps beside the
// rows (README.md, config.json, dataset_info.json, dataset_infos.json, dataset_dict.json) only its
// own name. Errors: RT_E_NOT_FOUND  none; RT_E_UNSUPPORTED  more than the limits above; RT_E_IO,
// RT_E_NOMEM. Source: datasets 5, data_files.py; fsspec, glob.
RT_NODISCARD enum rt_err ds_glob(const char *pattern, struct dir_names *out);

#endif // DATA_GLOB_H
