// src/api/convert.h -- other model files to Hugging Face folders.
#ifndef API_CONVERT_H
#define API_CONVERT_H

#include <stdint.h>

#include "runtime/rt.h"

struct api_convert_args {
    const char *from;   // a .gguf file of a llama, qwen2 or qwen3 with a BPE tokenizer
    const char *to;     // the folder, made with its parents if it is not there
    enum rt_type dtype; // RT_F32, RT_F16 or RT_BF16: of the weights, rounded to nearest even
    const char *pre;    // name of the pre-tokenizer instead of the file's, see txt_gguf_tokenizer
};

struct api_converted {
    uint32_t tensors;
    uint64_t parameters;
};

// Write config.json, generation_config.json, tokenizer.json, tokenizer_config.json and
// model.safetensors (or shards with their index) to args->to. Everything that can be checked is
// checked before the folder is touched; each file appears whole, the weights last. Files of these
// names are replaced; chat_template.jinja, special_tokens_map.json and added_tokens.json, which
// would be read in place of what is written here, are removed; other files stay. Errors: those of
// fmt_gguf_open, md_gguf_arch, md_gguf_weights and txt_gguf_tokenizer;
//         RT_E_FORMAT more tokens than rows of the embedding; RT_E_IO, RT_E_NOT_FOUND the folder
//         cannot be made or written.
RT_NODISCARD enum rt_err api_convert(const struct api_convert_args *args,
                                     struct api_converted *out);

#endif // API_CONVERT_H
