// src/op/matmul_kernels.h -- parameters and oracles of the kernels behind src/op/matmul.h, private
// to it and to experts.c.
#ifndef OP_MATMUL_KERNELS_H
#define OP_MATMUL_KERNELS_H

#include "shaders/matmul.h"
#include "src/op/matmul.h"

enum { MATMUL_ACCUMULATE = 1, MATMUL_BIAS = 2 }; // bits of flags

OP_PARAMS(matmul, MATMUL_PARAMS);
OP_PARAMS(matmul_wide, MATMUL_WIDE_PARAMS);
OP_PARAMS(matmul_round, MATMUL_ROUND_PARAMS);

// Names of what `anydpo tune` keeps, by storage type: the variant, and the number of the tile for
// many rows.
extern const char *const MATMUL_TUNED_VARIANT[], *const MATMUL_TUNED_TILE[];

// How many tiles there are for many rows on this device.
uint32_t matmul_tiles(const struct rt_dev *dev);

// A product whose operands are bound and fit, ready for one dispatch.
struct matmul_job {
    const struct rt_dev *dev;
    struct matmul_params p;
    struct rt_bind binds[4]; // in the order of MATMUL_BUFFERS
};

// Record it as `variant`, which the device has. Errors: rt_cmd_dispatch()'s.
RT_NODISCARD enum rt_err matmul_run(struct rt_cmd *cmd, enum op_matmul_variant variant,
                                    const struct matmul_job *job);

// How a work-item of the wide kernels (shaders/matmul_wide.h) cuts a product: its rows and columns
// of C, and k. `in_c`: C is f32, so that sums of blocks of k can wait in it. k = 0: not known, with
// in_c.
struct matmul_cut {
    uint32_t chunk, width, block;
};
struct matmul_cut matmul_wide_cut(const struct rt_dev *dev, uint32_t m, uint32_t n, uint32_t k,
                                  bool in_c);

// Their tunes, for this device. `dot`: with AVX512-BF16's dot product.
void matmul_wide_tunes(const struct rt_dev *dev, enum op_matmul_form form, bool dot,
                       struct rt_dispatch_desc *d);

// Oracles and host kernels. Buffers and parameters as listed in shaders/matmul.h. Cannot fail.
void op_matmul_ref(const struct rt_host_call *call);
void op_matmul_round_ref(const struct rt_host_call *call);

#endif // OP_MATMUL_KERNELS_H
