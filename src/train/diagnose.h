// src/train/diagnose.h -- what the metrics of a run so far say, in plain words, once each.
//
// Pure functions of numbers that the log has anyway. The thresholds are rules of thumb, on the
// quiet side.
#ifndef TRAIN_DIAGNOSE_H
#define TRAIN_DIAGNOSE_H

#include <stdint.h>

enum tr_advice {
    TR_ADVICE_CHOSEN_FALLS, // chosen answers get less likely while the margin grows
    TR_ADVICE_LEARNED,      // every pair is ranked right, and the margin still grows
    TR_ADVICE_TRUNCATED,    // most pairs are cut
    TR_ADVICE_SCALE,        // fp16's loss scale has collapsed
    TR_ADVICE_FLAT,         // the loss does not move
    TR_ADVICE_COUNT
};

// What it means and which options to try. Static.
const char *tr_advice_text(enum tr_advice a);

// One log entry. Numbers that do not apply are NAN.
struct tr_signs {
    double loss, learning_rate;
    double chosen_fell;  // nats by which the chosen answers are less likely than with the reference
    double logps_chosen; // nats
    double margin, accuracy;
    double loss_scale; // 0 = not fp16
    double truncated;  // share of the pairs
};

enum { TR_SIGNS_KEPT = 5 };

// The history as far as it is needed. Plain data; { 0 } is empty.
struct tr_diagnosis {
    uint32_t said;                  // bits of enum tr_advice
    uint32_t n;                     // entries so far that had a loss and a learning rate above 0
    double fell, logp, margin;      // running means
    double margins[TR_SIGNS_KEPT];  // running means after the last entries; entry k is at k % KEPT
    uint32_t sure;                  // entries in a row with accuracy 1
    double sure_margin;             // margin of the first of them
    double least, most, first_loss; // losses
};

// Add an entry; the bits of what has become true and was not said before.
uint32_t tr_diagnose(struct tr_diagnosis *d, const struct tr_signs *s);

#endif // TRAIN_DIAGNOSE_H
