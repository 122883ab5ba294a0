// src/api/text.h -- what the commands tokenize and chat do: JSON lines in, JSON lines out.
#ifndef API_TEXT_H
#define API_TEXT_H

#include <stdbool.h>
#include <stdio.h>

#include "src/base/err.h"

// Lines are read from `in`, blank ones are skipped, and each answer is flushed to `out` before the
// next line is read. The caller owns both.
struct api_tokenize_args {
    const char *model; // folder with tokenizer.json, or a GGUF file
    bool decode;       // a line is a list of ids, its answer a string; else the other way round
    bool no_special;   // encoding: without what the tokenizer adds (bos, eos)
    bool skip_special; // decoding: special tokens are left out
    FILE *in, *out;
};

// Errors: those of txt_tokenizer_open_any; RT_E_FORMAT  a line is no JSON, or of another type, or
// an id is no integer in 0 .. 2^32-1 (the message names the line), or the tokenizer cannot express
// a text; RT_E_IO, RT_E_NOMEM.
RT_NODISCARD enum rt_err api_tokenize(const struct api_tokenize_args *args);

struct api_chat_args {
    const char *model;         // folder, or a GGUF file, or
    const char *template_file; // a template without special tokens; one of the two is NULL
    FILE *in, *out;
};

// A line is an object: messages, and optionally tools, documents, add_generation_prompt,
// continue_final_message and kwargs (further variables, as special tokens); other keys are ignored.
// Its answer is the rendered text as a JSON string, or {"error": MESSAGE} where the template does
// not parse or fails on it; that is no error of this function. The clock is os_clock's.
// Errors: those of txt_chat_open_any and txt_chat_open_file; RT_E_FORMAT  a line is no JSON object,
// or a key has another type (the message names the line); RT_E_USAGE, RT_E_IO, RT_E_NOMEM.
RT_NODISCARD enum rt_err api_chat(const struct api_chat_args *args);

#endif // API_TEXT_H
