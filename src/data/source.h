// src/data/source.h -- which files the rows of a data set come from, and which columns count.
#ifndef DATA_SOURCE_H
#define DATA_SOURCE_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "src/base/err.h"

enum { DS_PARTS = 16, DS_PATHS = 64, DS_COLUMNS = 16 };

// The column `from` of the file is the column `to` of the row.
struct ds_column {
    const char *to, *from;
};

// A part of a mixture: files behind each other. Strings are borrowed.
struct ds_part {
    const char
        *paths[DS_PATHS]; // files, patterns of them (glob.h), or folders with files of the split
    uint32_t n_paths;
    const char *folder; // where paths that do not begin with / are; NULL: the current folder
    const char *split;  // of folders; NULL: "train"
    struct ds_column columns[DS_COLUMNS];
    uint32_t n_columns;
    bool select;       // columns that are not named do not count
    bool has_fraction; // of all parts or of none
    double fraction;   // share of this part in the mixture, >= 0: the first rows are kept (TRL)
};

struct ds_file {
    char *path;
    uint32_t part;
};

// The files of the parts in order. Owned by whoever declares it; { 0 } is empty.
struct ds_files {
    struct ds_file *v;
    uint32_t n;
};

// Expand patterns, and folders: of SPLIT.EXT and SPLIT-*.EXT those that are there or else in the
// folder `data` in it, in the order of their names, EXT as ds_kind_of. Errors: RT_E_NOT_FOUND  a
// folder without such a file, or a pattern that no file matches; RT_E_UNSUPPORTED  a file of a
// format that is not read; RT_E_IO, RT_E_NOMEM.
RT_NODISCARD enum rt_err ds_files_find(const struct ds_part *parts, uint32_t n_parts,
                                       struct ds_files *out);
void ds_files_free(struct ds_files *files);

// Is there a file of that split in the folder?
RT_NODISCARD enum rt_err ds_folder_has(const char *folder, const char *split, bool *out);

// How many rows of each part are kept, (n_parts); UINT64_MAX: all. With fractions the rows are
// counted first: the largest mixture that repeats no row, and of each part round(share * all) rows,
// halves to even. Errors: RT_E_USAGE  a fraction for some parts alone, or all are 0; those of
// reading. Source: TRL 1.16, scripts/utils.py, get_dataset.
RT_NODISCARD enum rt_err ds_limits(const struct ds_part *parts, uint32_t n_parts,
                                   const struct ds_files *files, uint64_t *limits);

// Rename and select the columns of a row in place. Errors: RT_E_FORMAT  a column is not there (the
// message lists those that are); RT_E_NOMEM.
RT_NODISCARD enum rt_err ds_rename(const struct ds_part *part, const char *where, json_t *row);

#endif // DATA_SOURCE_H
