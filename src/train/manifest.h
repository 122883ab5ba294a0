// src/train/manifest.h -- manifest.json: size and checksum of every other file of a folder.
//
// {"format": 1, "files": [{"name": "model.safetensors", "bytes": 123, "xxh64": "16 hex digits"}]};
// names are relative to the folder. A folder that has one is whole: it is written last.
#ifndef TRAIN_MANIFEST_H
#define TRAIN_MANIFEST_H

#include "src/base/str.h"

#define TR_MANIFEST "manifest.json"

// Write it for what lies in `dir` and its subfolders, and wait until all of that is on disk.
// Errors: RT_E_IO, RT_E_NOMEM.
RT_NODISCARD enum rt_err tr_manifest_write(const char *dir);

// Read every file of it. RT_E_FORMAT: one is missing, has another size or other bytes, or the
// manifest itself is missing or damaged; then *why (appended to) says which, and it is not logged.
// Other errors are: RT_E_IO, RT_E_NOMEM.
RT_NODISCARD enum rt_err tr_manifest_verify(const char *dir, struct str *why);

#endif // TRAIN_MANIFEST_H
