// src/api/export.h -- Hugging Face folders to GGUF files.
#ifndef API_EXPORT_H
#define API_EXPORT_H

#include <stdint.h>

#include "src/base/err.h"

struct api_export_args {
    const char *from; // a Hugging Face folder
    const char *to;   // the .gguf file
    const char *type; // "f32", "f16", "bf16", "q8_0"; NULL = "bf16" of bf16 weights, else "f16"
};

struct api_exported {
    uint32_t tensors;
    uint64_t parameters;
    const char *type; // static
};

// Write the model with its tokenizer and chat template as llama.cpp reads them. The file appears
// whole. Errors: RT_E_USAGE another type; RT_E_UNSUPPORTED an adapter, or a model or tokenizer that
// cannot be written (named); those of md_arch_read, fmt_st_open, md_gguf_put_keys, txt_gguf_put and
// md_gguf_put_weights.
RT_NODISCARD enum rt_err api_export(const struct api_export_args *args, struct api_exported *out);

#endif // API_EXPORT_H
