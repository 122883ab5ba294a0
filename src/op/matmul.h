// src/op/matmul.h -- matrix products, the three forms that a linear layer needs.
//
// Every variant sums each element of C in an order over k that depends on the device, form, type,
// strides, n and k alone, so that a row of C has the same bits whatever m is and whatever the other
// rows hold. In TN, where m is no number of tokens, it may also depend on whether m <= 64.
#ifndef OP_MATMUL_H
#define OP_MATMUL_H

#include "src/op/op.h"

enum op_matmul_form {
    OP_NT, // C(m,n) = A(m,k) B(n,k)^T   Y = X W^T, W (out, in) as Hugging Face stores it
    OP_NN, // C(m,n) = A(m,k) B(k,n)     dX = dY W
    OP_TN, // C(m,n) = A(k,m)^T B(k,n)   dW = dY^T X, k = tokens
};

// How a product is computed. OP_MATMUL_AUTO lets the device, form and type choose.
enum op_matmul_variant {
    OP_MATMUL_AUTO,
    OP_MATMUL_TILE,     // tiles in shared memory; runs everywhere, the host included
    OP_MATMUL_REGISTER, // Vulkan: tiles in registers, no shared memory (for CPUs)
    OP_MATMUL_WIDE,     // OpenCL on a CPU: explicit vectors (RT_RUNG_WIDE)
    OP_MATMUL_BF16_DOT, // OpenCL on a CPU with AVX512-BF16, bf16 operands (RT_RUNG_BF16_DOT);
                        // subnormal operands count as zero
    OP_MATMUL_VARIANTS
};

// A matrix inside a buffer: element [i][j] at first + i * ld + j. ld and first are multiples of 8,
// ld >= the number of columns; every row, the last one too, has room for op_stride(columns)
// elements in the buffer.
struct op_mat {
    const struct rt_buf *buf;
    uint64_t first;
    uint32_t ld;
};
struct op_mat_out {
    struct rt_buf *buf;
    uint64_t first;
    uint32_t ld;
};

// C = A B (+ C if accumulate) (+ bias in every row). A and B have one type S: f32, f16 or bf16. C
// is f32 or S; the product is summed in f32 (f64 on the host) and rounded once. C overlaps neither
// A nor B.
struct op_matmul_args {
    enum op_matmul_form form;
    uint32_t m, n, k;          // each >= 1, <= 2^31 - 64; k = 1 and odd sizes are fine
    struct op_mat a, b;        // in: shapes as the form says. What lies in the padding columns is
                               // not used
    struct op_mat_out c;       // (m,n) out. Of a 16-bit row, element n is set to zero if n is odd;
                               // the rest of the padding, and all of f32 rows, stays untouched
    const struct rt_buf *bias; // (n) in: f32, f16 or bf16; NULL = none
    uint64_t bias_first;       // where it begins in its buffer, a multiple of 2
    bool accumulate;           // C += ...; f32 C only
    struct rt_buf *scratch;    // f32, op_matmul_scratch() elements at least, overwritten; NULL if
                               // that is 0
    enum op_matmul_variant variant;
};

// Record the product on `cmd`; C is valid after rt_cmd_wait(). Operands beyond the device's binding
// range are cut into slices.
// Errors: RT_E_ARG          a size is 0 or too big, ld or first is not a multiple of 8, accumulate
//                           with 16-bit C, an unknown form or variant
//         RT_E_SHAPE        a buffer is too small or of another type than said above; scratch is
//                           too small
//         RT_E_UNSUPPORTED  this device lacks the variant; eight rows are beyond the binding range
//         else              what rt_cmd_dispatch() returns
// On the first three nothing is recorded.
RT_NODISCARD enum rt_err op_matmul(struct rt_cmd *cmd, const struct op_matmul_args *a);

// f32 elements of scratch that such a product may need on this device, with any variant, m and
// smaller m, and strides of up to twice the columns; 0 = none. Take the maximum over all products
// of a run; one buffer serves them all.
uint64_t op_matmul_scratch(const struct rt_dev *dev, enum op_matmul_form form, enum rt_type type,
                           uint32_t m, uint32_t n, uint32_t k);

// Whether the device can run a variant on operands of this type, and which one OP_MATMUL_AUTO
// means.
bool op_matmul_has(const struct rt_dev *dev, enum op_matmul_variant variant, enum rt_type type);
enum op_matmul_variant op_matmul_choice(const struct rt_dev *dev, enum op_matmul_form form,
                                        enum rt_type type, uint32_t n, uint32_t k);
const char *op_matmul_variant_name(enum op_matmul_variant variant); // "tile", ...; never NULL

#endif // OP_MATMUL_H
