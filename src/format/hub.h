// src/format/hub.h -- names on the Hugging Face Hub, found in the local cache. Nothing is fetched.
#ifndef FORMAT_HUB_H
#define FORMAT_HUB_H

#include <stdbool.h>

#include "src/base/err.h"

enum fmt_hub_kind { FMT_HUB_MODEL, FMT_HUB_DATASET };

// May it be a name on the Hub, "org/name" or "name"? No path with more parts, no file by its
// ending, no "." or "..".
bool fmt_hub_is_name(const char *s);

// Folder of the cache, as huggingface_hub finds it: HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE,
// HF_HOME/hub, XDG_CACHE_HOME/huggingface/hub, ~/.cache/huggingface/hub. *out is the caller's
// (free). Errors: RT_E_NOT_FOUND none of the variables and no home; RT_E_NOMEM.
RT_NODISCARD enum rt_err fmt_hub_cache(char **out);

// Folder of a snapshot in the cache: models--org--name/snapshots/COMMIT, where the commit is what
// refs/REVISION says, or REVISION itself. *out is NULL if it is not there, else the caller's.
// Errors: RT_E_FORMAT what refs/REVISION says is no commit; RT_E_NOMEM.
RT_NODISCARD enum rt_err fmt_hub_snapshot(const char *cache, enum fmt_hub_kind kind,
                                          const char *name, const char *revision, char **out);

// The path to read `name` from: NULL if it is a file or folder here, or can be no name on the Hub
// (whoever opens it will say so), else the snapshot in the cache. Errors: RT_E_NOT_FOUND "org/name"
// is in neither place: says where it was looked for and how it is fetched; a name without "org/"
// gives NULL then. RT_E_FORMAT, RT_E_NOMEM.
RT_NODISCARD enum rt_err fmt_hub_find(enum fmt_hub_kind kind, const char *name,
                                      const char *revision, char **out);

#endif // FORMAT_HUB_H
