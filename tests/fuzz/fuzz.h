// tests/fuzz/fuzz.h -- what every fuzz entry begins with. Included once a program.
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/log.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// Not printed, but a message says something.
static void fuzz_sink(void *user, enum log_level level, const char *line)
{
    (void) user, (void) level;
    if (strlen(line) == 0)
        abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void) argc, (void) argv;
    log_set_sink(fuzz_sink, NULL);
    return 0;
}

#endif // TESTS_FUZZ_FUZZ_H
