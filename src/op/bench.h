// src/op/bench.h -- how fast a device is: every variant, form and type of matmul, and the other
// ops.
#ifndef OP_BENCH_H
#define OP_BENCH_H

#include "src/op/matmul.h"

// A linear layer: Y (tokens, out) = X (tokens, in) W (out, in)^T, and its two backward products.
struct op_bench_shape {
    uint32_t tokens, out, in; // each >= 1
};

// The layers of a 135 M model at 1024 tokens (its head in chunks of 8192 rows), and a square.
extern const struct op_bench_shape OP_BENCH_SHAPES[];
extern const size_t OP_BENCH_SHAPE_COUNT;

// One product, timed.
struct op_bench_row {
    enum op_matmul_variant variant;
    enum op_matmul_form form;
    enum rt_type type; // of A and B; C is f32 for TN (with accumulate), else of this type
    uint32_t m, n, k;
    bool is_choice; // the variant that OP_MATMUL_AUTO means here
    double seconds; // median of one product, with what recording and waiting cost
    double gflops;  // 2 m n k / seconds / 1e9
};

// Time every variant that `dev` has on every form of every shape in f32, f16 and bf16, for about
// `seconds` each (0: one run after the first, which compiles), and hand each row to `row`. With
// `only` not NULL: of that type alone, and of the variants the chosen one.
// Errors: RT_E_ARG    a shape with a zero, seconds < 0
//         RT_E_DEVMEM, RT_E_NOMEM, else what op_matmul() returns; the rows before it were handed
//         over
RT_NODISCARD enum rt_err op_bench_matmul(struct rt_dev *dev, const struct op_bench_shape *shapes,
                                         size_t n_shapes, const enum rt_type *only, double seconds,
                                         void (*row)(void *user, const struct op_bench_row *row),
                                         void *user);

// One op of a layer, timed, in one storage type.
struct op_bench_op_row {
    const char *op; // "rms_norm_backward"
    enum rt_type type;
    double seconds, gbytes, gflops; // median of one run; per second; 0 where the other bounds it
};

// Time the ops at the sizes of a 135 M model with 1024 tokens (its head: 512 scored rows, all of
// 49152 ids; attention: one segment; experts: 8, two of them a token). Errors: as above.
RT_NODISCARD enum rt_err op_bench_ops(struct rt_dev *dev, double seconds,
                                      void (*row)(void *user, const struct op_bench_op_row *row),
                                      void *user);

// The middle one of n >= 1 numbers, which are sorted.
double op_bench_median(double *x, size_t n);

// Median seconds of one run of something, over 5 spans of about `seconds` / 5; 0 seconds: one run
// after the first. `run` does it so many times and waits.
typedef enum rt_err op_bench_repeat(void *user, struct rt_dev *dev, uint32_t times);
RT_NODISCARD enum rt_err op_bench_time(op_bench_repeat *run, void *user, struct rt_dev *dev,
                                       double seconds, double *out);

#endif // OP_BENCH_H
