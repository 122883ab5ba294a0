// src/op/dropout.h -- leave elements out at random, by a mask that can be made again.
#ifndef OP_DROPOUT_H
#define OP_DROPOUT_H

#include "shaders/dropout.h"
#include "src/op/op.h"

OP_PARAMS(dropout, DROPOUT_PARAMS);

// y[i] = x[i] / (1 - p) with probability 1 - p, else 0; with `add` that is added to y[i]. Whether i
// is kept follows from key and i alone: h(h(i ^ low word) ^ high word) >= p 2^32, h = lowbias32.
// Source: Srivastava et al. 2014, JMLR 15, inverted as in torch; h: C. Wellons, "Prospecting for
// Hash Functions", 2018.
struct op_dropout_args {
    const struct rt_buf *x; // (n) in: f32, f16 or bf16
    struct rt_buf *y;       // (n) out, with `add` in and out: f32, f16 or bf16; not x
    uint64_t n;             // even, 2 .. 2^32
    double p;               // 0 .. below 1
    uint64_t key;
    bool add;
};

// Errors: RT_E_ARG    n or p is out of range
//         RT_E_SHAPE  a buffer is smaller than n
//         else        what rt_cmd_dispatch() returns
RT_NODISCARD enum rt_err op_dropout(struct rt_cmd *cmd, const struct op_dropout_args *a);

// Oracle and host kernel.
void op_dropout_ref(const struct rt_host_call *call);

#endif // OP_DROPOUT_H
