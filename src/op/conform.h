// src/op/conform.h -- does a device compute right? Every op, storage type and variant against the
// float64 oracle.
#ifndef OP_CONFORM_H
#define OP_CONFORM_H

#include "src/op/op.h"

// One output of one op on one device.
struct op_conform_row {
    const char *op, *variant, *output; // static; variant "-" where the op has one
    enum rt_type type;
    double error,
        bound; // largest |got - want| over the largest |want| of the output; error is Inf for NaN
    bool ok;
};

// Run every case on `dev` and on a host:f64 device, and hand each row to `row` as it is done.
// *failed counts the rows that are not ok. A variant that the device lacks is left out; a case that
// does not run at all is a row with error Inf. Errors: RT_E_NOMEM; what opening the host gives.
RT_NODISCARD enum rt_err op_conform(struct rt_dev *dev,
                                    void (*row)(void *user, const struct op_conform_row *row),
                                    void *user, uint32_t *failed);

// The case of `op` in one variant, by its number in the case, and one storage type: as above.
// *failed is 0 and `row` not called where the device lacks it.
RT_NODISCARD enum rt_err op_conform_one(struct rt_dev *dev, const char *op, int variant,
                                        enum rt_type type,
                                        void (*row)(void *user, const struct op_conform_row *row),
                                        void *user, uint32_t *failed);

// ---- Shared by conform.c and conform_cases.c ----

enum { OP_CONFORM_OUTPUTS = 6, OP_CONFORM_BUFFERS = 32 };

// One side of a comparison: a device, and what a case made on it. Buffers are filled from a seeded
// generator, so that both sides hold the same numbers, rounded to the storage type.
struct op_side {
    struct rt_dev *dev;
    struct rt_cmd *cmd;
    enum rt_type type; // storage type of the case
    int variant;       // number of the case's variant
    struct rt_buf *bufs[OP_CONFORM_BUFFERS];
    uint32_t n_bufs;
    struct {
        const char *name;
        const struct rt_buf *buf;
        uint64_t n;
        double bound; // share of the largest |want|
    } outputs[OP_CONFORM_OUTPUTS];
    uint32_t n_outputs;
};

// n numbers uniform in [lo, hi], seeded. RT_OK: *out is a buffer of the side, destroyed with it.
enum rt_err op_side_fill(struct op_side *s, enum rt_type type, uint64_t n, uint32_t seed, double lo,
                         double hi, struct rt_buf **out);
enum rt_err op_side_words(struct op_side *s, const uint32_t *x, uint64_t n, struct rt_buf **out);
// Declare an output whose f32 arithmetic alone errs by up to `f32` of its largest value; rounding
// to its own type comes on top.
void op_side_output(struct op_side *s, const char *name, const struct rt_buf *buf, uint64_t n,
                    double f32);

struct op_conform_case {
    const char *op;
    const char *const *variants; // ends with NULL; NULL = one, "-"
    bool (*has)(const struct rt_dev *dev, int variant, enum rt_type type); // NULL: always
    enum rt_err (*record)(struct op_side *s);
};
enum rt_err op_conform_experts(struct op_side *s);      // conform_experts.c
extern const struct op_conform_case OP_CONFORM_CASES[]; // ends with a NULL op

#endif // OP_CONFORM_H
