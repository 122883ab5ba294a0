// src/model/gguf_out.h -- a decoder's description and weights into a GGUF file.
// Source: llama.cpp's convert_hf_to_gguf.py with conversion/*.py (keys, what is done to weights)
// and src/models/*.cpp (what it loads, and what it computes without a key).
#ifndef MODEL_GGUF_OUT_H
#define MODEL_GGUF_OUT_H

#include "src/format/gguf_write.h"
#include "src/format/safetensors.h"
#include "src/model/arch.h"

struct md_gguf_out {
    const char *folder; // where it comes from, for messages and general.name
    const struct md_arch *arch;
    uint32_t kind; // FMT_QUANT_F32, _F16, _BF16 or _Q8_0: of the matrices
};

// Put general.* and the keys of the architecture. A window that llama.cpp does not have for the
// family is warned of. Errors: RT_E_UNSUPPORTED a family, or something that the file has no word
// for (named); RT_E_NOMEM.
RT_NODISCARD enum rt_err md_gguf_put_keys(const struct md_gguf_out *o, struct fmt_gguf_writer *w);

// Declare all weights, begin, and put them: matrices in the kind (F16 instead of Q8_0 where rows
// are no whole blocks), vectors and GPT-2's positions as F32, rows of q and k in llama.cpp's order,
// norms of Gemma plus one, GPT-2's linears the right way round, rope_freqs.weight where rope is
// scaled as in Llama 3, rope_factors_*.weight of longrope, and no output.weight of a tied head. At
// most 4 MiB of values, one row, or two copies of a transposed tensor are in memory. The caller
// commits. Errors: RT_E_NOT_FOUND, RT_E_SHAPE a tensor of the folder; those of
// fmt_gguf_writer_begin and _put_f32.
RT_NODISCARD enum rt_err md_gguf_put_weights(const struct md_gguf_out *o, const struct fmt_st *st,
                                             struct fmt_gguf_writer *w);

#endif // MODEL_GGUF_OUT_H
