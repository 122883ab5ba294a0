// src/train/samples.h -- answers of the policy to a few fixed prompts, while it is trained.
#ifndef TRAIN_SAMPLES_H
#define TRAIN_SAMPLES_H

#include "src/model/generate.h"
#include "src/text/chat.h"
#include "src/text/tokenizer.h"
#include "src/train/config.h"

struct tr_sample_prompt {
    char *shown; // JSON: the text or the messages, as given
    struct txt_ids ids;
};

// Owned by the session; { 0 } is none.
struct tr_samples {
    struct tr_sample_prompt *prompts;
    uint32_t n;
    uint32_t longest; // tokens of the longest prompt
    uint32_t max_new_tokens;
    struct md_cache cache; // of the longest prompt and its answer
};

// Read c->sample_prompts (NULL: none). A line of text is a user's turn, through the chat template
// if there is one; of a .jsonl file a line is an object with "messages", through the template, or
// with "prompt": a text that is continued as it is, or messages. Empty lines are skipped. Errors:
// those of file_read, txt_chat_render, txt_encode; RT_E_FORMAT a line is neither, or no prompt is
// left (names file and line).
RT_NODISCARD enum rt_err tr_samples_read(const struct tr_config *c, const struct txt_tokenizer *tok,
                                         const struct txt_chat *chat, struct tr_samples *out);
void tr_samples_free(struct tr_samples *s, const struct md_model *model);

// Raise the capacities in `desc` to what the prompts need.
void tr_samples_limits(const struct tr_samples *s, struct md_model_desc *desc);

// Allocate the cache. After the model is open; later nothing is allocated on the device.
RT_NODISCARD enum rt_err tr_samples_open(struct tr_samples *s, const struct md_model *model);

// Greedy answers of the policy, a line of JSON each, {"step": 10, "prompt": ..., "answer": "..."},
// appended to `path`, and shown in the log. Errors: those of md_generate; RT_E_IO.
RT_NODISCARD enum rt_err tr_samples_run(struct tr_samples *s, struct md_model *model,
                                        const struct txt_tokenizer *tok, uint64_t step,
                                        const char *path);

// Before a run goes on from `step`: leave out of `path` what was written after that step (all, of a
// new run).
RT_NODISCARD enum rt_err tr_samples_rewind(const char *path, uint64_t step);

#endif // TRAIN_SAMPLES_H
