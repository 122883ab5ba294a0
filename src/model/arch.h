// src/model/arch.h -- the description of a decoder, read from a Hugging Face config.json.
//
// One description drives one forward and one backward; what families have in common and where they
// differ is in the table of family.h, and nothing else knows about families.
#ifndef MODEL_ARCH_H
#define MODEL_ARCH_H

#include <stdbool.h>
#include <stdint.h>

#include "src/base/err.h"
#include "src/base/str.h"
#include "src/op/act.h"

enum { MD_MAX_LAYERS = 1024, MD_MAX_HEAD_DIM = 256 };

enum md_rope_scaling {
    MD_ROPE_DEFAULT,
    MD_ROPE_LINEAR,
    MD_ROPE_DYNAMIC, // as DEFAULT up to max_position_embeddings, which may not be passed
    MD_ROPE_LLAMA3,
    MD_ROPE_YARN,
    MD_ROPE_LONGROPE
};

struct md_rope {
    double theta;
    enum md_rope_scaling scaling;
    double factor;                            // all but DEFAULT and LONGROPE
    double low_freq_factor, high_freq_factor; // LLAMA3
    uint32_t original_max_positions;          // LLAMA3, YARN, LONGROPE
    double beta_fast, beta_slow;              // YARN
    bool truncate;                            // YARN
    double attention_factor;                  // cos and sin are multiplied by it; 0 = 1
    double short_factor[MD_MAX_HEAD_DIM / 2], long_factor[MD_MAX_HEAD_DIM / 2]; // LONGROPE
};

enum md_qk_norm {
    MD_QK_NORM_NONE,
    MD_QK_NORM_HEAD, // RMSNorm of each head of q and k, before the rotation
    MD_QK_NORM_FULL  // of all heads together
};

// Bits of md_arch.layer.
enum { MD_LAYER_WINDOW = 1, MD_LAYER_NO_ROPE = 2, MD_LAYER_LOCAL_ROPE = 4, MD_LAYER_EXPERTS = 8 };

struct md_family;

// Counts are checked: all > 0, heads a multiple of kv_heads, head_dim even and <= 256, hidden and
// ffn even, head_dim a multiple of 8 where heads are normalised.
struct md_arch {
    char model_type[32];            // "llama"
    const struct md_family *family; // static
    uint32_t vocab, hidden, layers, heads, kv_heads, head_dim, ffn, max_positions;
    uint32_t rot_dim; // of head_dim elements, those that are rotated
    float norm_eps;
    enum op_act act;
    bool qkv_bias, o_bias, mlp_bias;
    struct md_rope rope, local_rope; // local_rope: layers with MD_LAYER_LOCAL_ROPE
    float embed_scale;               // of the embedding's output
    float attn_scale;                // of attention's scores
    float residual_scale;            // of what a sublayer adds to the stream
    float logit_scale;
    float attn_softcap, logit_softcap; // 0 = none
    uint32_t window;                   // of layers with MD_LAYER_WINDOW; 0 = no layer has one
    // Of layers with MD_LAYER_EXPERTS: experts, of which a token goes to top_k, their ffn; whether
    // the weights of those are made to sum to 1; the coefficient of the load-balancing loss by
    // default.
    uint32_t experts, top_k, expert_ffn; // experts 0 = no layer has any
    bool top_k_norm;
    double router_aux_loss_coef;
    uint8_t layer[MD_MAX_LAYERS];
    bool tied;                // the head is the embedding
    int32_t bos, eos[4], pad; // token ids of config.json, -1 = none; eos as many as n_eos
    uint32_t n_eos;
    // torch.nn.Embedding's padding_idx is pad in most families: what the token's embedding gets as
    // an input's gradient is dropped, though not what a tied head's row gets.
};

// Read `folder`/config.json, in the spelling of transformers 4 or 5; or the metadata of a GGUF file
// (gguf.h, whose errors these are then).
// Errors: RT_E_NOT_FOUND, RT_E_FORMAT damaged, or a key of the wrong type or range (named);
//         RT_E_UNSUPPORTED an architecture, or a key whose value would change the numbers and is
//         not supported (named with its value). Keys that nothing here knows are listed in one
//         warning.
// Source: transformers' configuration_*.py, modeling_*.py and modeling_rope_utils.py, versions 4.57
// and 5.
RT_NODISCARD enum rt_err md_arch_read(const char *folder, struct md_arch *out);

// What a family has when its config.json says nothing more than the sizes: for readers of other
// files. RT_E_UNSUPPORTED no such family (named, with those that there are).
RT_NODISCARD enum rt_err md_arch_init(const char *where, const char *model_type,
                                      struct md_arch *out);

// The ranges above, under the names of config.json; `where` is the file, for the message.
// RT_E_FORMAT.
RT_NODISCARD enum rt_err md_arch_check(const char *where, const struct md_arch *a);

// inv_freq[j], j < rot_dim / 2: the angle of pair j per position, in float64 (transformers
// computes it in f32). `is_long`: a pass that goes beyond original_max_positions (LONGROPE).
void md_rope_frequencies(const struct md_rope *r, uint32_t rot_dim, bool is_long, double *inv_freq);

#endif // MODEL_ARCH_H
