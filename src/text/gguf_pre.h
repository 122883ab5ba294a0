// src/text/gguf_pre.h -- the names that GGUF has for pre-tokenizers, and kinds of tokens. Private
// to src/text/. Source: llama.cpp's src/llama-vocab.cpp; the regular expressions are published in
// the models' tokenizer.json.
#ifndef TEXT_GGUF_PRE_H
#define TEXT_GGUF_PRE_H

#include <stdbool.h>

// What the name of a pre-tokenizer stands for.
struct txt_gguf_pre {
    const char *name;
    const char *regex; // NULL: GPT-2's, which ByteLevel has built in
    bool digits;       // every digit by itself, before anything else
    bool nfc;
    bool ignore_merges;
    bool bos; // add_bos_token where the file has no such key
};

// All of them, up to one without a name. Of rows that stand for the same, the first is written.
const struct txt_gguf_pre *txt_gguf_pres(void);

enum txt_gguf_token {
    TXT_GGUF_NORMAL = 1,
    TXT_GGUF_UNKNOWN,
    TXT_GGUF_CONTROL,
    TXT_GGUF_USER_DEFINED,
    TXT_GGUF_UNUSED,
    TXT_GGUF_BYTE
};

#endif // TEXT_GGUF_PRE_H
