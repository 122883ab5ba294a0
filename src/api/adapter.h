// src/api/adapter.h -- which model an adapter is of, and where its tokenizer lies.
#ifndef API_ADAPTER_H
#define API_ADAPTER_H

#include "src/base/err.h"
#include "src/format/peft.h"

// A model and the adapter on it. Strings and settings are owned; { 0 } is empty.
struct api_adapted {
    char *model;          // Hugging Face folder
    char *adapter;        // folder of PEFT's, NULL = none
    char *tokenizer;      // the adapter's folder if that has a tokenizer.json, else the model's
    struct fmt_peft peft; // of the adapter
};

// `model` may be an adapter itself: its base is then the model. `adapter` NULL = none.
// Errors: RT_E_USAGE both are adapters; RT_E_NOT_FOUND the base is no folder here; those of
// fmt_peft_read.
RT_NODISCARD enum rt_err api_adapted_open(const char *model, const char *adapter,
                                          struct api_adapted *out);
void api_adapted_close(struct api_adapted *a);

#endif // API_ADAPTER_H
