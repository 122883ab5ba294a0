// src/text/from_gguf_spm.h -- the parts of tokenizer.json that a SentencePiece BPE tokenizer in a
// GGUF file (tokenizer.ggml.model "llama") has in its own way. Private to src/text/.
#ifndef TEXT_FROM_GGUF_SPM_H
#define TEXT_FROM_GGUF_SPM_H

#include "src/format/gguf.h"
#include "src/format/json.h"
#include "src/text/spm.h"

// { 0 } is empty. Borrows the vocabulary.
struct txt_gguf_spm {
    const struct txt_vocab *vocab;
    struct txt_spm_merge *merges;
    size_t n;
    bool prefix; // a space is put before a text
    bool bytes;  // characters that have no token become bytes
    int64_t unk; // id, -1 = none
};

// Make merges of tokenizer.ggml.scores; tokens whose `takes` is false are made of no others.
// Errors: RT_E_NOT_FOUND, RT_E_FORMAT the scores; those of txt_spm_merges.
RT_NODISCARD enum rt_err txt_gguf_spm_read(const struct fmt_gguf *g, const struct txt_vocab *vocab,
                                           const bool *takes, int64_t unk,
                                           struct txt_gguf_spm *out);
void txt_gguf_spm_free(struct txt_gguf_spm *s);

// Members normalizer, pre_tokenizer, decoder and model.
// Source: transformers, convert_slow_tokenizer.py (LlamaConverter).
void txt_gguf_spm_put(struct fmt_jw *w, const struct txt_gguf_spm *s);

#endif // TEXT_FROM_GGUF_SPM_H
