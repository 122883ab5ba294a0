// tests/support/golden.h -- finding golden files: the repository's own in tests/golden, the full
// set where it is.
#ifndef TESTS_SUPPORT_GOLDEN_H
#define TESTS_SUPPORT_GOLDEN_H

// Path of `name` ("models/llama") in the full goldens ($ANYDPO_GOLDENS) if it is there, else in
// tests/golden. NULL when it is in neither. The first call of a program prints which set is used.
// Static memory: the result holds until four more calls.
const char *golden_path(const char *name);

// The same in tests/golden alone.
const char *golden_own_path(const char *name);

#endif // TESTS_SUPPORT_GOLDEN_H
