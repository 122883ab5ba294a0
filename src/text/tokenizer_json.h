// src/text/tokenizer_json.h -- walking tokenizer.json with the path of each place, for messages.
#ifndef TEXT_TOKENIZER_JSON_H
#define TEXT_TOKENIZER_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/base/err.h"
#include "src/base/str.h"

// A value and where it is ("pre_tokenizer.pretokenizers[1]"). `v` is NULL for what is missing or
// null. Borrowed from the document.
struct txt_node {
    const json_t *v;
    char path[240];
};

// Log "tokenizer.json: PATH: ..." and return `code`.
RT_NODISCARD enum rt_err txt_node_fail(const struct txt_node *at, enum rt_err code, const char *fmt,
                                       ...) RT_PRINTF(3, 4);

// Member `key` of an object (RT_E_FORMAT if `of` is no object), element i of an array that is known
// to be one. RT_E_UNSUPPORTED when the nesting is too deep for a path.
RT_NODISCARD enum rt_err txt_node_get(const struct txt_node *of, const char *key,
                                      struct txt_node *out);
RT_NODISCARD enum rt_err txt_node_at(const struct txt_node *of, size_t i, struct txt_node *out);

// Member `key` that must be an array; its length to *n.
RT_NODISCARD enum rt_err txt_node_array(const struct txt_node *of, const char *key,
                                        struct txt_node *out, size_t *n);

// Members of a type; RT_E_FORMAT names the place when the type is another one, or nothing is there.
// The _or forms leave *out as it is when the member is missing or null.
RT_NODISCARD enum rt_err txt_node_text(const struct txt_node *of, const char *key, const char **s,
                                       size_t *n);
RT_NODISCARD enum rt_err txt_node_bool(const struct txt_node *of, const char *key, bool *out);
RT_NODISCARD enum rt_err txt_node_bool_or(const struct txt_node *of, const char *key, bool *out);
RT_NODISCARD enum rt_err txt_node_u32(const struct txt_node *of, const char *key, uint32_t *out);
RT_NODISCARD enum rt_err txt_node_char(const struct txt_node *of, const char *key,
                                       uint32_t *out); // of one character

// jansson refuses U+0000 in keys, which a vocabulary may have. If keys of json[0..len) have it,
// *out becomes a copy in which they have *stand_in instead, a noncharacter that is nowhere else in
// the text; else *out stays empty and *stand_in 0. Only the escape \u0000 counts: the bare byte is
// no JSON. Errors: RT_E_NOMEM, RT_E_UNSUPPORTED every noncharacter is taken.
RT_NODISCARD enum rt_err txt_json_nul_keys(const char *json, size_t len, struct str *out,
                                           uint32_t *stand_in);

// One row for each kind of component that is supported, and how to read it.
struct txt_tokenizer;
struct txt_kind {
    const char *type;
    enum rt_err (*read)(struct txt_tokenizer *tok, const struct txt_node *at);
};

// Read the component at `at` by its "type". RT_E_UNSUPPORTED: no row has that type.
RT_NODISCARD enum rt_err txt_read_kind(struct txt_tokenizer *tok, const struct txt_node *at,
                                       const struct txt_kind *kinds, size_t n);

// Read each element of the array `key`, in order, for the kinds "Sequence".
RT_NODISCARD enum rt_err txt_read_each(struct txt_tokenizer *tok, const struct txt_node *at,
                                       const char *key, const struct txt_kind *kinds, size_t n);

#endif // TEXT_TOKENIZER_JSON_H
