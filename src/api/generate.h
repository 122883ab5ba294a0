// src/api/generate.h -- answers to prompts with a model folder.
#ifndef API_GENERATE_H
#define API_GENERATE_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/rt.h"
#include "src/text/chat.h"
#include "src/text/tokenizer.h"

struct api_generator; // a model opened for generation; one thread uses it

struct api_generator_desc {
    const char *folder;  // Hugging Face folder, or a PEFT adapter that names one as its base
    const char *adapter; // folder of a PEFT adapter of it; NULL = none
    const char *device, *disable, *clamp, *cache_dir; // as the options of train
    enum rt_type storage;
    uint32_t max_tokens; // prompt and answer together
};
// Errors: those of rt_dev_open, txt_tokenizer_open, md_model_open.
RT_NODISCARD enum rt_err api_generator_open(const struct api_generator_desc *desc,
                                            struct api_generator **out);
void api_generator_close(struct api_generator **g);

struct api_generate_args {
    const char *prompt; // UTF-8
    size_t prompt_len;
    const char *system; // NULL = none; with `chat`
    bool chat;          // the prompt is a user's turn: apply the chat template
    uint32_t max_new_tokens;
    float temperature, top_p; // as md_generate_args
    uint32_t top_k;
    uint64_t seed;
    // Called with each piece of the answer as it is certain; NULL: not at all.
    void (*on_text)(void *user, const char *text, size_t len);
    void *user;
};

// The answer, appended to *out: up to the model's eos, or max_new_tokens, or the end of max_tokens.
// Errors: RT_E_FORMAT chat and no template; RT_E_ARG the prompt fills max_tokens; those of
// md_generate.
RT_NODISCARD enum rt_err api_generate(struct api_generator *g, const struct api_generate_args *args,
                                      struct str *out);

#endif // API_GENERATE_H
