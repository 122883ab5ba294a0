// src/model/family.h -- the table of model families: what tells one from the other.
#ifndef MODEL_FAMILY_H
#define MODEL_FAMILY_H

#include "src/format/json.h"
#include "src/model/arch.h"
#include "src/model/params.h"

struct md_family {
    const char *model_type;      // of config.json
    const char *architecture;    // of config.json
    const char *const *names;    // by enum md_weight; NULL, or NULL inside: as Llama's
    const char *act_key, *act;   // key of the activation, and its default
    const char *eps_key;         // key of the norms' epsilon
    double eps, theta;           // defaults
    uint32_t head_dim, kv_heads; // defaults; 0 = hidden / heads, heads
    uint32_t window;             // default of sliding_window
    enum md_qk_norm qk_norm;     //
    bool tied;                   // default of tie_word_embeddings
    bool layer_norm, norm_bias;  // LayerNorm, else RMSNorm; with a bias
    bool norm_offset;            // norm weights are stored less one
    bool embed_sqrt;             // embeddings are multiplied by sqrt(hidden), in f32
    bool pre_norm, post_norm;    // a norm before a sublayer; behind it
    bool parallel;               // attention and feed-forward read one norm, and add to one stream
    bool rope_pairs;             // see op_rope_args.pairs
    bool no_gate;                // the feed-forward block is plain: up, activation, down
    bool learned_positions;      // a table of positions, and no rotation
    bool trains_pad; // the padding token has an embedding like the others; see md_arch.pad
    bool fused_qkv, fused_gate;      // q, k, v (gate, up) are one tensor
    bool transposed;                 // linears are stored (in, out)
    bool qkv_bias, o_bias, mlp_bias; // defaults
    bool reads_attention_bias, reads_mlp_bias;
    // What is left: numbers that only this family has, and what its layers differ in.
    enum rt_err (*read)(const struct fmt_json *j, struct md_arch *a);
};

// By model_type, or NULL.
const struct md_family *md_family_find(const char *model_type);

// "gemma, gemma2, ...": all of them, for messages. RT_E_NOMEM.
RT_NODISCARD enum rt_err md_family_list(struct str *out);

// The file's name of a weight, with "%u" for the layer, and behind it one for the expert; NULL:
// there is none.
const char *md_family_name(const struct md_family *f, enum md_weight w);

// The activation by its name in config.json; false: there is none.
bool md_act_find(const char *name, enum op_act *out);

// Whether a decoder has the weight, beside the head of a tied one.
bool md_arch_has(const struct md_arch *a, enum md_weight w);

// Whether one of its layers does, for weights of layers.
bool md_arch_layer_has(const struct md_arch *a, enum md_weight w, uint32_t layer);

#endif // MODEL_FAMILY_H
