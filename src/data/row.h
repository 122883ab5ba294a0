// src/data/row.h -- one preference row: its four formats, and its texts. Private to src/data.
#ifndef DATA_ROW_H
#define DATA_ROW_H

#include "src/data/pairs.h"

// A row with an explicit prompt. Strings for plain rows, arrays of messages for conversational
// ones.
struct ds_row {
    json_t *prompt, *chosen, *rejected; // owned references
    const json_t *tools, *kwargs;       // borrowed from the row; NULL = none
    json_t *tools_owned;                // when the column holds JSON text
    bool conversational;
};

// Check the columns and split off an implicit prompt (trl.md 3.2: the longest common prefix, a
// space before it going to the completions; of two equal texts the last character stays outside).
// `where` is "file:line". Errors: RT_E_FORMAT names the column; RT_E_NOMEM.
RT_NODISCARD enum rt_err ds_row_make(const json_t *object, const char *where, struct ds_row *out);
void ds_row_free(struct ds_row *row);

#endif // DATA_ROW_H
