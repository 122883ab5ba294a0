// src/base/thread.h -- run a loop on all cores.
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <stdint.h>

typedef void thread_fn(void *user, uint64_t begin, uint64_t end);

// Call fn on disjoint ranges that cover [0, n), each of at least `grain` items but the last, from
// up to os_cores() threads, and return when all are done. Falls back to the calling thread when no
// thread can be started. Ranges are fixed by n, grain and the number of cores: fn must not let its
// result depend on where they are cut.
void thread_for(uint64_t n, uint64_t grain, thread_fn *fn, void *user);

#endif // BASE_THREAD_H
