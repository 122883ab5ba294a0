// src/text/spm.h -- a SentencePiece BPE vocabulary (scores, no merges) as merges. Private to
// src/text/.
#ifndef TEXT_SPM_H
#define TEXT_SPM_H

#include "src/text/vocab.h"

#define TXT_SPM_LONGEST 1024u // bytes of a token

struct txt_spm_merge {
    float score;              // of the token that they make
    uint32_t left, right;     // ids
    uint32_t n_left, n_right; // characters
    uint32_t whole;           // id
};

// Every way to make a token that `takes` out of two that it takes, the best score first; of equal
// scores the longer left part, then the longer right part, then the smaller ids. *out (n) is the
// caller's to free. Errors: RT_E_UNSUPPORTED a token beyond TXT_SPM_LONGEST; RT_E_NOMEM.
// Source: transformers, convert_slow_tokenizer.py (generate_merges).
struct txt_spm_args {
    const struct txt_vocab *vocab;
    const float *scores; // (vocab->rows)
    const bool *takes;   // (vocab->rows)
    const char *where;   // name of the file, for messages
};
RT_NODISCARD enum rt_err txt_spm_merges(const struct txt_spm_args *args, struct txt_spm_merge **out,
                                        size_t *n);

#endif // TEXT_SPM_H
