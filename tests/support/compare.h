// tests/support/compare.h -- lay a run's dump and output folders beside a golden case of TRL.
#ifndef TESTS_SUPPORT_COMPARE_H
#define TESTS_SUPPORT_COMPARE_H

#include <stdbool.h>

// Bounds are those of tolerances.json times `scale`; counts (accuracies) are compared only when
// scale is 1.
struct compare_args {
    const char *case_dir;   // goldens/runs/NAME
    const char *goldens;    // its root, for *.same_as.json
    const char *tolerances; // tolerances.json
    const char *dump_dir, *output_dir;
    double scale;
};

// Token ids, order of batches, step-1 log-probs by token, every gradient tensor, each log entry,
// final weights. Prints each quantity that is out of bounds; returns how many are. `worst`, if not
// NULL, gets the largest deviation as a share of its bound.
int golden_compare(const struct compare_args *args, double *worst);

#endif // TESTS_SUPPORT_COMPARE_H
