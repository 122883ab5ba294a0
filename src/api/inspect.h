// src/api/inspect.h -- the rows of a run as the trainer sees them, as text or JSON.
#ifndef API_INSPECT_H
#define API_INSPECT_H

#include <stdbool.h>
#include <stdint.h>

#include "anydpo.h"
#include "src/base/str.h"

struct api_inspect_args {
    bool summary; // counts and histograms of lengths in place of rows
    bool json;    // a JSON object a line
    int64_t row;  // number of the row in the data, from 0; -1: the first rows
};

// Read the rows that `job` would train on and append what is asked for to *out. Token texts are
// those of the tokenizer; no device is opened. Errors: those of options_resolve,
// txt_tokenizer_open_any, txt_chat_open_any, ds_read; RT_E_NOT_FOUND there is no such row;
// RT_E_NOMEM.
RT_NODISCARD enum rt_err api_inspect(struct anydpo_job *job, const struct api_inspect_args *args,
                                     struct str *out);

#endif // API_INSPECT_H
