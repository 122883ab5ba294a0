// src/data/summary.h -- how long the sequences of a set are.
#ifndef DATA_SUMMARY_H
#define DATA_SUMMARY_H

#include "src/data/pairs.h"

// What is counted, in tokens before truncation. A pair has one prompt and one completion of each
// kind; DS_LONGER is its prompt and the longer completion together, what max_length is held
// against.
enum ds_length { DS_PROMPT, DS_CHOSEN, DS_REJECTED, DS_LONGER, DS_LENGTHS };

enum { DS_BARS = 33 };

struct ds_histogram {
    uint32_t min, median, p95, max; // nearest rank
    double mean;
    uint32_t bars[DS_BARS]; // bars[0]: length 0; bars[i]: lengths 2^(i-1) .. 2^i - 1
};

// Over the kept pairs; all 0 if there is none. Errors: RT_E_NOMEM.
RT_NODISCARD enum rt_err ds_summarize(const struct ds_set *set,
                                      struct ds_histogram out[DS_LENGTHS]);

const char *ds_length_name(enum ds_length which); // "prompt", "chosen", "rejected", "pair"

#endif // DATA_SUMMARY_H
