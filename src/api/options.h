// src/api/options.h -- every option: one table that is parser, help, README list and refusals at
// once.
#ifndef API_OPTIONS_H
#define API_OPTIONS_H

#include <cjson/cJSON.h>

#include "src/base/str.h"
#include "src/train/config.h"

enum opt_kind {
    OPT_BOOL,
    OPT_INT,
    OPT_NUM,
    OPT_STR,
    OPT_LIST,
    OPT_PATH, // text, true or false
    OPT_MAP   // an object; as text it is JSON
};

// What happens to a value that differs from the default.
enum opt_rule {
    OPT_USED,    // it is used
    OPT_NOTHING, // it changes nothing here: accepted, and listed once
    OPT_DEFAULT, // only the default is supported: refused with the reason
    OPT_GONE     // the name itself is refused with the reason, whatever the value
};

// A row. `def` is the default as one would write it, NULL = not given. Ranges are for numbers.
struct opt_row {
    const char *name;
    enum opt_kind kind;
    enum opt_rule rule;
    const char *def;
    double min, max;
    const char *values; // OPT_STR: the known words, separated by |; NULL = any text
    const char *help;   // meaning, or the reason of a refusal
};

extern const struct opt_row OPT_ROWS[]; // ends with a NULL name

// The values of one run: one JSON node a row, NULL = not given. Owned by whoever declares it; { 0 }
// is empty.
struct options {
    cJSON **values;
};

RT_NODISCARD enum rt_err options_create(struct options *out);
void options_destroy(struct options *o);

// Set one option from text ("0.1", "true", "[\"sigmoid\"]", "sigmoid"); `from` names the place in
// messages ("--beta"). Errors: RT_E_USAGE unknown name (with the nearest known), refused, wrong
// type or out of range; RT_E_NOMEM.
RT_NODISCARD enum rt_err options_set_text(struct options *o, const char *name, const char *text,
                                          const char *from);

// A word as JSON text, appended: for the items of a list option.
RT_NODISCARD enum rt_err options_quote(struct str *out, const char *word);

// Every key of a recipe (JSON or YAML). Those that are set already are kept: a flag beats the file.
RT_NODISCARD enum rt_err options_load(struct options *o, const char *path);

// Before options_resolve: names on the Hub that are no files or folders here become their folders
// in the Hugging Face cache (src/format/hub.h); model and its equal as reference at
// model_revision. Then options_follow_adapter. Errors: those of the two; RT_E_USAGE.
RT_NODISCARD enum rt_err options_find(struct options *o);

// A model_name_or_path that is a PEFT adapter becomes adapter_name_or_path, and the base that its
// file names the model. Before options_resolve. Errors: RT_E_USAGE, RT_E_NOT_FOUND the base is no
// folder here; those of fmt_peft_read.
RT_NODISCARD enum rt_err options_follow_adapter(struct options *o);

// Check the whole (required ones, contradictions) and translate. Strings stay owned by the options.
// Lists the options without effect once. `train`: output_dir is required. Errors: RT_E_USAGE.
RT_NODISCARD enum rt_err options_resolve(const struct options *o, bool train,
                                         struct tr_config *out);

// A JSON object of all options that are used, with their values or defaults in one spelling each,
// appended to *out: what tr_config.options wants. RT_E_NOMEM.
RT_NODISCARD enum rt_err options_print(const struct options *o, struct str *out);

// Help text of all rows, one a line, appended to *out. And their names by what happens to them, as
// the README lists them.
RT_NODISCARD enum rt_err options_help(struct str *out);
RT_NODISCARD enum rt_err options_markdown(struct str *out);

#endif // API_OPTIONS_H
