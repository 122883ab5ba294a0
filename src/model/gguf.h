// src/model/gguf.h -- a decoder's description and weights out of a GGUF file.
//
// GGUF is llama.cpp's format: metadata under keys of the architecture, "llama.", tensors under
// short names, rows of q and k in another order, Gemma's norms plus one. What comes out of here is
// as Hugging Face has it. Source: ggml's docs/gguf.md; llama.cpp's convert_hf_to_gguf.py with
// conversion/*.py (names, permute, rope_freqs), src/llama-arch.cpp (keys) and src/models/*.cpp
// (what has no key).
#ifndef MODEL_GGUF_H
#define MODEL_GGUF_H

#include "src/format/gguf.h"
#include "src/format/safetensors.h"
#include "src/model/arch.h"
#include "src/model/params.h"

// Read the description from the metadata. The vocabulary has as many rows as token_embd.weight; the
// head is the embedding when there is no output.weight. The scaling of Llama 3.1 and later is found
// from the factors in rope_freqs.weight. bos, eos (with the tokens that end a turn or a message)
// and pad come from tokenizer.ggml.*; only their range is checked. Errors: RT_E_NOT_FOUND    a key
// or token_embd.weight is missing (named)
//         RT_E_FORMAT       a key of the wrong type or range (named)
//         RT_E_UNSUPPORTED  another architecture, or a key or rope factors that would change the
//                           numbers and are not supported (named)
//         RT_E_SHAPE        rope_freqs.weight has another length than head_dim / 2
RT_NODISCARD enum rt_err md_gguf_arch(const struct fmt_gguf *g, struct md_arch *out);

// The description of the model in the file `path`, whose weights are checked as below. Errors:
// those of fmt_gguf_open, md_gguf_arch and md_gguf_check_weights.
RT_NODISCARD enum rt_err md_gguf_arch_read(const char *path, struct md_arch *out);

// Every weight of the description is there with its shape and can be read, and there is no other.
// Errors: RT_E_NOT_FOUND a tensor is missing; RT_E_SHAPE it has another shape; RT_E_UNSUPPORTED its
// block format cannot be read, or a tensor has no place in the model; RT_E_NOMEM. Each is named.
RT_NODISCARD enum rt_err md_gguf_check_weights(const struct fmt_gguf *g,
                                               const struct md_arch *arch);

// Declare all weights under their Hugging Face names in *w, which must be new, and put their values
// as `dtype` (F32, F16 or BF16), rounded to nearest even, with the rows of q and k in Hugging
// Face's order. At most 4 MiB of values, one row, or two copies of a transposed tensor are in
// memory at a time. The caller commits. Errors: those of md_gguf_check_weights; RT_E_NUMERIC a
// value is not finite, or too large for dtype (tensor and value named); those of
// fmt_st_writer_begin and _put_f32.
RT_NODISCARD enum rt_err md_gguf_weights(const struct fmt_gguf *g, const struct md_arch *arch,
                                         enum fmt_dtype dtype, struct fmt_st_writer *w);

// Read the weights of a list (all of a model's, or some) of the file `path` into `to`, as
// md_weights_load does of a folder. A head that the file does not have is the embedding.
// Errors: those of fmt_gguf_open and md_gguf_arch; RT_E_NOT_FOUND, RT_E_SHAPE, RT_E_UNSUPPORTED a
// tensor (named); RT_E_NUMERIC a value is not finite.
RT_NODISCARD enum rt_err md_gguf_load(const struct md_params *params, const char *path,
                                      enum rt_type load_dtype, struct md_flat *to);

// Append the text of config.json: transformers 4 spelling (rope_theta, rope_scaling, torch_dtype),
// which transformers 5 reads too. RT_E_NOMEM.
RT_NODISCARD enum rt_err md_gguf_config(const struct md_arch *arch, enum fmt_dtype dtype,
                                        struct str *out);

// Append the text of generation_config.json. RT_E_NOMEM.
RT_NODISCARD enum rt_err md_gguf_generation_config(const struct md_arch *arch, struct str *out);

#endif // MODEL_GGUF_H
