// src/text/open.h -- the tokenizer and the chat of a model, wherever they are: a Hugging Face
// folder or a GGUF file.
#ifndef TEXT_OPEN_H
#define TEXT_OPEN_H

#include "src/text/chat.h"
#include "src/text/tokenizer.h"

// `path` is a folder with tokenizer.json, or a .gguf file. Errors: those of txt_tokenizer_open; for
// a file those of fmt_gguf_open, txt_gguf_tokenizer and txt_gguf_config.
RT_NODISCARD enum rt_err txt_tokenizer_open_any(const char *path, struct txt_tokenizer **out);

// The same of the chat. Errors: those of txt_chat_open; for a file those of fmt_gguf_open and
// txt_gguf_config.
RT_NODISCARD enum rt_err txt_chat_open_any(const char *path, struct txt_chat **out);

#endif // TEXT_OPEN_H
