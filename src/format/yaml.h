// src/format/yaml.h -- recipes: YAML 1.1 as PyYAML's safe_load reads it, into a cJSON tree.
#ifndef FORMAT_YAML_H
#define FORMAT_YAML_H

#include <cjson/cJSON.h>
#include <stddef.h>

#include "src/base/err.h"

#define FMT_YAML_BYTES (1u << 20) // largest text
#define FMT_YAML_NODES 10000u     // most nodes, copies made by aliases and merge keys included
#define FMT_YAML_DEPTH 64u
#define FMT_YAML_ANCHORS 64u

// Parse one document into *out (free with cJSON_Delete); an empty text gives a null node.
// Plain scalars become null, booleans (yes, no, on, off too), integers and floats by PyYAML's
// patterns (octal, hexadecimal, binary, sexagesimal, underscores, .inf, .nan); everything else is a
// string. So "5e-7", which has no dot, is a string as in PyYAML: fmt_json_to_num() reads it. So are
// integers from 2^53 on, whose digits a double would lose, and dates, which PyYAML makes objects
// of. Keys are strings as written ("on: 1" has the key "on", where PyYAML makes it True). Aliases
// and the merge key "<<" copy. Known tags: !!str, !!int, !!float, !!bool, !!null, !!map, !!seq.
// Messages read "where:line:column: ...".
// Errors: RT_E_FORMAT  not YAML, more than one document, a key given twice or that is no scalar, a
//                      repeated or unknown anchor, an alias inside its own anchor, another tag,
//                      U+0000, or beyond the limits above; RT_E_NOMEM
RT_NODISCARD enum rt_err fmt_yaml_parse(const char *text, size_t len, const char *where,
                                        cJSON **out);

// Read a recipe, JSON if the name ends in .json and else YAML; the top level is an object.
// Errors: RT_E_NOT_FOUND, RT_E_IO  the file; RT_E_USAGE  it is damaged or no mapping; RT_E_NOMEM
RT_NODISCARD enum rt_err fmt_recipe_read(const char *path, cJSON **out);

#endif // FORMAT_YAML_H
