// src/model/arch.h -- the description of a decoder, read from a Hugging Face config.json.
//
// One description drives one forward and one backward; nothing else knows about families.
#ifndef MODEL_ARCH_H
#define MODEL_ARCH_H

#include <stdbool.h>
#include <stdint.h>

#include "src/base/err.h"
#include "src/base/str.h"

enum md_rope_scaling { MD_ROPE_DEFAULT, MD_ROPE_LLAMA3, MD_ROPE_LINEAR };

struct md_rope {
    double theta;
    enum md_rope_scaling scaling;
    double factor, low_freq_factor, high_freq_factor; // LLAMA3; factor also LINEAR
    uint32_t original_max_positions;                  // LLAMA3
};

// Counts are checked: all > 0, heads a multiple of kv_heads, head_dim even and <= 256, hidden and
// ffn even.
struct md_arch {
    char model_type[32]; // "llama"
    uint32_t vocab, hidden, layers, heads, kv_heads, head_dim, ffn, max_positions;
    float norm_eps;
    struct md_rope rope;
    bool tied;                // the head is the embedding
    int32_t bos, eos[4], pad; // token ids of config.json, -1 = none; eos as many as n_eos
    uint32_t n_eos;
};

// Read `folder`/config.json, in the spelling of transformers 4 or 5.
// Errors: RT_E_NOT_FOUND, RT_E_FORMAT damaged, or a key of the wrong type or range (named);
//         RT_E_UNSUPPORTED an architecture, or a key whose value would change the numbers and is
//         not supported (named with its value). Keys that nothing here knows are listed in one
//         warning.
// Source: transformers' configuration_llama.py and modeling_rope_utils.py, versions 4.57 and 5.
RT_NODISCARD enum rt_err md_arch_read(const char *folder, struct md_arch *out);

// The ranges above, under the names of config.json; `where` is the file, for the message.
// RT_E_FORMAT.
RT_NODISCARD enum rt_err md_arch_check(const char *where, const struct md_arch *a);

// inv_freq[j], j < head_dim / 2: the angle of pair j per position, in float64 (transformers
// computes it in f32).
void md_rope_frequencies(const struct md_arch *a, double *inv_freq);

#endif // MODEL_ARCH_H
