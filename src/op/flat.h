// src/op/flat.h -- the frame of elementwise ops: one kernel over whole tensors, in runs that the
// device can bind.
#ifndef OP_FLAT_H
#define OP_FLAT_H

#include "src/op/op.h"

// One buffer of the kernel.
struct op_flat_buf {
    struct op_vec v; // (n); `first` a multiple of 128
    enum rt_access access;
    bool whole; // not (n): every run gets the buffer from its beginning, as it is
};

struct op_flat_args {
    const char *kernel;
    struct op_flat_buf bufs[RT_MAX_BUFS]; // in the order of its list; the first is (n)
    uint32_t n_bufs;
    uint64_t n;   // even, >= 2
    void *params; // the kernel's
    size_t params_size;
    uint32_t *count; // the word of params that holds the elements of a run; set here
    uint32_t *begin; // the word that holds where a run begins, for n <= 2^32; NULL: there is none
};

// Record the kernel over n elements; shaders/kernel.h says how a lane finds its own (PER, BEYOND).
// Errors: RT_E_ARG    n is odd or zero
//         RT_E_SHAPE  a buffer is missing or smaller than n
//         else        what rt_cmd_dispatch() returns
RT_NODISCARD enum rt_err op_flat(struct rt_cmd *cmd, const struct op_flat_args *a);

#endif // OP_FLAT_H
