// src/text/to_gguf.h -- a Hugging Face folder's tokenizer and chat template as GGUF metadata.
#ifndef TEXT_TO_GGUF_H
#define TEXT_TO_GGUF_H

#include "src/format/gguf_write.h"

struct txt_gguf_args {
    const char *folder;
    uint32_t rows;         // of the embedding: ids that the tokenizer lacks become unused tokens
    int32_t bos, eos, pad; // of config.json, -1 = none: taken where the tokenizer names none
};

// Put the keys tokenizer.ggml.* and tokenizer.chat_template of a byte-level BPE tokenizer, or one
// of SentencePiece (BPE with byte_fallback), whose merges become scores. Tokens of added_tokens are
// CONTROL if special, else USER_DEFINED. add_bos_token and add_eos_token are what the
// post-processor adds. The pre-tokenizer's name is that of a row of gguf_pre.h which stands for the
// same pieces. What txt_gguf_tokenizer makes of it gives the same ids. Errors: those of
// txt_tokenizer_open and txt_chat_open;
//         RT_E_UNSUPPORTED  no such BPE, or a normalizer, pre-tokenizer or post-processor
//         that
//                           GGUF has no name for (named)
//         RT_E_FORMAT       more tokens than rows, or a merge that is no pair; RT_E_NOMEM
// Source: llama.cpp's convert_hf_to_gguf.py (get_vocab_base) and gguf-py's vocab.py.
RT_NODISCARD enum rt_err txt_gguf_put(const struct txt_gguf_args *args, struct fmt_gguf_writer *w);

#endif // TEXT_TO_GGUF_H
