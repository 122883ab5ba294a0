// src/op/self_check.h -- variants of ops that a device need not have are tried before they are
// used.
//
// Wrong results are the commonest bug of drivers. The variants that are written for some kind of
// device alone stand above portable ones that take their place where they fail.
#ifndef OP_SELF_CHECK_H
#define OP_SELF_CHECK_H

#include "src/op/matmul.h"

// What can be dropped: the variants of matmul but OP_MATMUL_TILE, by number, and
enum { OP_DROP_ATTENTION_WIDE = OP_MATMUL_VARIANTS, OP_DROP_EXPERTS_WIDE, OP_DROPS };

// Hold the variants that ops of storage type `type` would choose on `dev` against the float64
// oracle, on the case of `anydpo conform`. One that computes wrong or does not run is dropped with
// a warning that names it, and the next choice is tried. What was found is kept beside what was
// tuned, in the disk cache, by device and driver: it is done again when the kernels or the choice
// change. Nothing is done on the host or on a dry device. Errors: RT_E_NOMEM, and what opening the
// host gives.
RT_NODISCARD enum rt_err op_self_check(struct rt_dev *dev, enum rt_type type);

// The same of the products of experts, for models that have some; after op_self_check().
RT_NODISCARD enum rt_err op_self_check_experts(struct rt_dev *dev, enum rt_type type);

// Whether op_self_check() has dropped it.
bool op_is_dropped(const struct rt_dev *dev, enum rt_type type, uint32_t what);

#endif // OP_SELF_CHECK_H
