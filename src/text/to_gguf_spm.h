// src/text/to_gguf_spm.h -- the scores of a SentencePiece BPE tokenizer out of its merges. Private
// to src/text/.
#ifndef TEXT_TO_GGUF_SPM_H
#define TEXT_TO_GGUF_SPM_H

#include <jansson.h>

#include "src/text/tokenizer_parts.h"

// What GGUF's tokenizer.ggml.model "llama" needs beside names. { 0 } is empty.
struct txt_spm_scores {
    float *at;   // (tok->vocab.rows)
    bool prefix; // a space is put before a text
};

// `doc` is tokenizer.json, `where` its path. The scores are minus the place of a token among those
// that merges make; merges made of them again must be the file's, for llama.cpp has the scores
// only. Errors: RT_E_UNSUPPORTED  a normalizer or pre-tokenizer that GGUF has no word for, or
// merges that
//                           are not those of scores; RT_E_NOMEM
RT_NODISCARD enum rt_err txt_spm_scores(const struct txt_tokenizer *tok, const json_t *doc,
                                        const char *where, struct txt_spm_scores *out);
void txt_spm_scores_free(struct txt_spm_scores *s);

// A plain token: neither an added one, nor the unknown one, nor a byte <0x41>.
bool txt_spm_takes(const struct txt_tokenizer *tok, uint32_t id);

#endif // TEXT_TO_GGUF_SPM_H
