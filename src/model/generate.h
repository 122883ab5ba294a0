// src/model/generate.h -- continue a sequence of tokens, greedily or by sampling.
#ifndef MODEL_GENERATE_H
#define MODEL_GENERATE_H

#include "src/base/rng.h"
#include "src/model/model.h"

struct md_generate_args {
    const uint32_t *prompt; // (n_prompt) ids, >= 1
    uint32_t n_prompt;
    uint32_t max_new_tokens; // >= 1
    float temperature;       // 0 = greedy (the highest logit, the lowest id of equals), else > 0
    uint32_t top_k;          // 0 = all
    float top_p;             // in (0, 1]; 1 = all
    const uint32_t *stop;    // (n_stop) ids that end the text; they are not handed out
    uint32_t n_stop;
    struct md_cache *cache; // of at least n_prompt + max_new_tokens; what it holds is overwritten.
                            // NULL: one is made for the call
    // Called with each new id; false ends the text.
    bool (*on_token)(void *user, uint32_t id);
    void *user;
};

// Prefill the prompt, then one token at a time through a KV cache. The model must have been opened
// for at least n_prompt tokens (max_tokens, max_positions and max_keys >= n_prompt +
// max_new_tokens, 1 segment, 1 row). `rng` is advanced. Errors: RT_E_ARG; those of md_pass_load and
// md_forward; RT_E_NUMERIC a logit is NaN; RT_E_UNSUPPORTED
// the text would pass the length up to which longrope has its short factors; RT_E_NOMEM.
RT_NODISCARD enum rt_err md_generate(struct md_model *m, struct md_weights w,
                                     const struct md_generate_args *args, struct rng *rng);

// The id that the logits (n of them, overwritten) give under args. Source: the order of
// transformers' logits processors: temperature, top-k, top-p.
uint32_t md_sample(float *logits, uint32_t n, const struct md_generate_args *args, struct rng *rng);

#endif // MODEL_GENERATE_H
