// src/api/merge.h -- a model and a LoRA adapter of it to one model folder.
#ifndef API_MERGE_H
#define API_MERGE_H

#include <stdint.h>

#include "src/base/err.h"
#include "src/format/tensor.h"

struct api_merge_args {
    const char *base;     // Hugging Face folder
    const char *adapter;  // folder of PEFT's
    const char *to;       // the new folder, made with its parents; neither of the above
    enum fmt_dtype dtype; // of the weights, FMT_DTYPE_COUNT = each as in the base
};

struct api_merged {
    uint32_t tensors, adapted, replaced; // written; W + scale * B A; copies of modules_to_save
    uint64_t parameters;
};

// W' = W + scale * B A of every adapted weight (DoRA: times magnitude / its rows' norms), summed in
// float64; copies of modules_to_save take their weights' place; everything else as it is. A tied
// head that the adapter has parted from the embedding becomes a tensor of its own, and config.json
// says so. Tokenizer files are the adapter's where it has them. Runs on the host alone.
// Errors: RT_E_NOT_FOUND  a folder or tensor is missing
//         RT_E_SHAPE      the adapter was made for another base: names the tensor, the expected and
//                         the found shape
//         RT_E_FORMAT     the adapter has a tensor that belongs to no weight of the base
//         RT_E_UNSUPPORTED, RT_E_ARG `to` is one of the sources, RT_E_IO, RT_E_NOMEM
// Source: peft 0.21, tuners/lora/layer.py, merge.
RT_NODISCARD enum rt_err api_merge(const struct api_merge_args *args, struct api_merged *out);

#endif // API_MERGE_H
