// src/model/gguf_names.h -- what GGUF calls families, keys and weights, both ways.
// Source: llama.cpp's src/llama-arch.cpp and convert_hf_to_gguf.py.
#ifndef MODEL_GGUF_NAMES_H
#define MODEL_GGUF_NAMES_H

#include "src/format/gguf.h"
#include "src/model/arch.h"
#include "src/model/params.h"

// A row for each model_type; several may go by one architecture, the first is what it reads as.
struct md_gguf_family {
    const char *arch;       // general.architecture
    const char *model_type; // of config.json
    bool pairs; // elements j and j + D/2 of a head of q and k, which rotate together, lie side by
                // side
    uint32_t no_rope_step; // every so many layers one has no rotation; 0 = all have
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

// Row `row` of a weight, as Hugging Face has it, is this row in the file; and the other way round.
uint32_t md_gguf_row_in_file(const struct md_gguf_family *f, const struct md_arch *a,
                             enum md_weight w, uint32_t row);
uint32_t md_gguf_row_of_file(const struct md_gguf_family *f, const struct md_arch *a,
                             enum md_weight w, uint32_t row);

// The value that was meant: the shortest decimal that reads back as the same float.
double md_gguf_widen(float f);

#endif // MODEL_GGUF_NAMES_H
