#include "src/text/gguf_pre.h"

#include <stddef.h>

// Published expressions, from the models' tokenizer.json.
#define ANY_CASE "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|"
#define OTHERS "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define LLAMA3 ANY_CASE "\\p{N}{1,3}" OTHERS
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define TEKKEN                                                                                     \
    "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER            \
    "*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

static const struct txt_gguf_pre PRES[] = {
    {.name = "gpt-2"},
    {.name = "smollm"},
    {.name = "starcoder", .digits = true},
    {.name = "refact", .digits = true}, // Granite's
    {.name = "command-r", .digits = true, .nfc = true},
    {.name = "llama-bpe", .regex = LLAMA3, .ignore_merges = true, .bos = true},
    {.name = "llama-v3", .regex = LLAMA3, .ignore_merges = true, .bos = true},
    {.name = "llama3", .regex = LLAMA3, .ignore_merges = true, .bos = true},
    {.name = "qwen2", .regex = ANY_CASE "\\p{N}" OTHERS, .nfc = true},
    {.name = "dbrx", .regex = LLAMA3},
    {.name = "tekken", .regex = TEKKEN, .ignore_merges = true, .bos = true},
    {0},
};

const struct txt_gguf_pre *txt_gguf_pres(void)
{
    return PRES;
}
