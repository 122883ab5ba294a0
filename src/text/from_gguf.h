// src/text/from_gguf.h -- Hugging Face tokenizer files out of a GGUF file's tokenizer.ggml.* keys.
#ifndef TEXT_FROM_GGUF_H
#define TEXT_FROM_GGUF_H

#include "src/base/str.h"
#include "src/format/gguf.h"

// Append the text of tokenizer.json for a byte-level BPE tokenizer (tokenizer.ggml.model "gpt2"),
// or a SentencePiece BPE one ("llama"), whose merges are made of its scores: vocabulary, merges,
// added tokens (CONTROL and the ids that the file names as bos, eos, eot, eom or pad are special,
// USER_DEFINED ones are not), and the parts that the name of the pre-tokenizer stands for. bos and
// eos are added to texts as add_bos_token and add_eos_token say; without these keys bos with
// SentencePiece and the Llama 3 pre-tokenizer, and nothing else. `pre`: the name to go by instead
// of tokenizer.ggml.pre, or NULL. Known:
//   gpt-2       the regex of GPT-2
//   smollm      the same: what this project's reference runs of SmolLM2 were tokenized with.
//               llama.cpp, and SmolLM2 itself, split off digits first: ask for starcoder
//   starcoder, refact   every digit by itself, then the regex of GPT-2
//   command-r   NFC, and the same
//   llama-bpe, llama-v3, llama3   the regex of Llama 3; whole words come before merges
//   qwen2       NFC, and the regex of Qwen2
// Errors: RT_E_NOT_FOUND    a key is missing (named)
//         RT_E_FORMAT       a key of the wrong type or length; a token that is not UTF-8, holds
//                           U+0000 or occurs twice; a merge whose parts or result are no tokens; an
//                           id that no token has
//         RT_E_UNSUPPORTED  another tokenizer.ggml.model, or an unknown pre-tokenizer
//         RT_E_NOMEM
// Source: ggml's docs/gguf.md; llama.cpp's src/llama-vocab.cpp (pre-tokenizers, token types);
// `tokenizers` 0.23 (the layout of tokenizer.json).
RT_NODISCARD enum rt_err txt_gguf_tokenizer(const struct fmt_gguf *g, const char *pre,
                                            struct str *out);

// Append the text of tokenizer_config.json: the special tokens, the chat template if the file has
// one, and the context length as model_max_length. Errors: RT_E_NOT_FOUND, RT_E_FORMAT as above, or
// a chat template that is not UTF-8; RT_E_NOMEM.
RT_NODISCARD enum rt_err txt_gguf_config(const struct fmt_gguf *g, struct str *out);

#endif // TEXT_FROM_GGUF_H
