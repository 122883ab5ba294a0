// src/model/gguf_names.h -- what GGUF calls families, keys and weights, both ways.
// Source: llama.cpp's src/llama-arch.cpp and convert_hf_to_gguf.py.
#ifndef MODEL_GGUF_NAMES_H
#define MODEL_GGUF_NAMES_H

#include "src/format/gguf.h"
#include "src/model/arch.h"
#include "src/model/params.h"

// Bits of md_gguf_family.takes: what an architecture has beside what all have.
enum {
    MD_GGUF_WINDOW = 1,    // attention.sliding_window, with its _pattern
    MD_GGUF_SOFTCAPS = 2,  // attn_logit_softcapping, and the next
    MD_GGUF_LOGIT_CAP = 4, // final_logit_softcapping
    MD_GGUF_SCALES = 8,    // attention.scale, embedding_scale, residual_scale; logit_scale divides
    MD_GGUF_LOGIT_SCALE = 16, // logit_scale multiplies
    MD_GGUF_LONGROPE = 32,    // rope_factors_*.weight, and a rotation of a part of the head
    MD_GGUF_ROPE_FREQS = 64,  // rope_freqs.weight
    MD_GGUF_LOCAL_ROPE = 128, // rope.freq_base_swa, of layers with the window
    MD_GGUF_BIAS = 256,       // biases of attention's output and the feed-forward block
    MD_GGUF_TIED = 512,    // the head is the embedding or a tensor of its own; without the next ...
    MD_GGUF_UNTIED = 1024, // ... bit, or with it alone, only the one
    MD_GGUF_EXPERTS = 4096,  // expert_count and what belongs to it; in every layer
    MD_GGUF_ANY_HEAD = 2048, // heads * head_dim need not be the hidden size
};

// A row for each model_type; several may go by one architecture, the first is what it reads as, of
// those with experts where the file has some.
struct md_gguf_family {
    const char *arch;       // general.architecture
    const char *model_type; // of config.json
    uint32_t takes;
    bool pairs; // elements j and j + D/2 of a head of q and k, which rotate together, lie side by
                // side
    uint32_t no_rope_step; // every so many layers one has no rotation; 0 = all have
    uint32_t window_step;  // every so many layers one has no window, where no key says otherwise
    bool no_rope_full;     // layers without the window have no rotation
    bool no_window_there;  // llama.cpp does not look at the window
    uint32_t wide_layers;  // with so many layers attention's scale is of hidden / heads
    uint32_t most_layers;  // 0: any number
};

// The family of a file's general.architecture. Errors: RT_E_NOT_FOUND the key is missing;
// RT_E_UNSUPPORTED another one (named, with those that there are).
RT_NODISCARD enum rt_err md_gguf_family_find(const struct fmt_gguf *g,
                                             const struct md_gguf_family **out);

// The family of a model. RT_E_UNSUPPORTED: there is none (named); `where` is the folder.
RT_NODISCARD enum rt_err md_gguf_family_of(const char *where, const struct md_arch *a,
                                           const struct md_gguf_family **out);

// "ARCHITECTURE.name".
struct md_gguf_key {
    char text[96];
};
struct md_gguf_key md_gguf_key(const struct md_gguf_family *f, const char *name);

// The name of a weight; text "" if GGUF has none.
struct md_gguf_key md_gguf_name(const struct md_param *p);

// What layer l differs in, by the family: bits of md_arch.layer. `window`: of the file, 0 = none;
// `step` as window_step.
uint8_t md_gguf_layer(const struct md_gguf_family *f, uint32_t window, uint32_t step, uint32_t l);
// The same where the window is given.
uint8_t md_gguf_layer_bits(const struct md_gguf_family *f, bool window, uint32_t l);

// Of the norms' epsilon, behind the architecture.
const char *md_gguf_eps_key(const struct md_arch *a);

// Names of Phi-3's factors.
#define MD_GGUF_LONG_FACTORS "rope_factors_long.weight"
#define MD_GGUF_SHORT_FACTORS "rope_factors_short.weight"

// What longrope multiplies cos and sin by where nobody says it; 1 of other kinds.
double md_gguf_longrope_factor(const struct md_arch *a);

// Attention's scale is 1 / sqrt of this, where no key says otherwise.
uint32_t md_gguf_attn_scalar(const struct md_gguf_family *f, const struct md_arch *a);

// Row `row` of a weight, as Hugging Face has it, is this row in the file; and the other way round.
uint32_t md_gguf_row_in_file(const struct md_gguf_family *f, const struct md_arch *a,
                             enum md_weight w, uint32_t row);
uint32_t md_gguf_row_of_file(const struct md_gguf_family *f, const struct md_arch *a,
                             enum md_weight w, uint32_t row);

// The file has a norm's weight plus one.
bool md_gguf_is_plus_one(const struct md_arch *a, enum md_weight w);

// Elements that a slice of the weight needs: its rows one by one, or with `whole` a transposed one
// twice.
uint64_t md_gguf_room(const struct md_param *p, bool whole);

// The value that was meant: the shortest decimal that reads back as the same float.
double md_gguf_widen(float f);
// The same of a float that was computed as 1 / value.
double md_gguf_inverse(float f);

#endif // MODEL_GGUF_NAMES_H
