// src/train/save_gguf.h -- the small files of a Hugging Face folder, of a model that is a GGUF
// file.
#ifndef TRAIN_SAVE_GGUF_H
#define TRAIN_SAVE_GGUF_H

#include "src/format/gguf.h"
#include "src/format/tensor.h"

// Write tokenizer.json and tokenizer_config.json, with the chat template, of the file `path` into
// `dir`. Errors: those of fmt_gguf_open, txt_gguf_tokenizer and txt_gguf_config; RT_E_IO.
RT_NODISCARD enum rt_err tr_gguf_tokenizer(const char *path, const char *dir);

// Write config.json and generation_config.json, for weights of the type (one that is none: F32).
// Errors: those of md_gguf_arch_read; RT_E_IO, RT_E_NOMEM.
RT_NODISCARD enum rt_err tr_gguf_config(const char *path, const char *dir, enum fmt_dtype dtype);

#endif // TRAIN_SAVE_GGUF_H
