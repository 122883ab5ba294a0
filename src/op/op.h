// src/op/op.h -- what all ops share: the kernel table, and rows of it made from the kernels' lists.
//
// One op, one leaf name: shaders/x.h (buffers and parameters), shaders/x.comp, src/op/x.h
// (contract), src/op/x.c (oracle, dispatch, row of the table), tests/op/x.c.
#ifndef OP_OP_H
#define OP_OP_H

#include "runtime/rt.h"

// All kernels of the program, for rt_dev_desc.kernels. Static.
const struct rt_kernel *const *op_kernels(void);

// clang-format off
// struct x_params out of the list in shaders/x.h. Use once, in src/op/x.h.
#define OP_PARAMS(x, list)                                                                         \
    struct x##_params {                                                                            \
        list                                                                                       \
    }

// What the lists of shaders/*.h expand to in C: fields of the params struct, rows of buffers.
#define U32(x) uint32_t x;
#define F32(x) float x;
#define IN(n, t, x) { #x, RT_ACCESS_IN, RT_ELEM_##t },
#define OUT(n, t, x) { #x, RT_ACCESS_OUT, RT_ELEM_##t },
#define INOUT(n, t, x) { #x, RT_ACCESS_INOUT, RT_ELEM_##t },

// Initialiser of the table's row: kernel function NAME in shaders/FILE, its lists, its host
// function.
#define OP_KERNEL(fn, file, buffers, params_type, host_fn)                                         \
    {                                                                                              \
        .name = #fn, .source = (file), .params_bytes = sizeof(params_type), .host = (host_fn),     \
        .n_bufs = sizeof((const struct rt_kernel_buf[]){ buffers }) / sizeof(struct rt_kernel_buf), \
        .bufs = { buffers }                                                                        \
    }
// clang-format on

// Row stride, in elements, of a tensor with `cols` columns: a multiple of 8, so that rows of halves
// begin at whole 16-byte words (design.md section 2). Padding columns hold zeros.
static inline uint32_t op_stride(uint32_t cols) { return (cols + 7u) & ~7u; }

// How many items of `bytes` bytes each (<= 4096) an op may bind at once on the buffer's device: a
// multiple of 256 items, at most 2^30. Ops that stream over large tensors cut them into such
// pieces.
static inline uint64_t op_range_items(const struct rt_buf *buf, uint32_t bytes)
{
    const uint64_t n = rt_dev_plan(rt_buf_dev(buf))->range_bytes / bytes & ~(uint64_t) 255;
    return n < (1u << 30) ? n : (1u << 30);
}

// A tensor inside a flat buffer (parameters, gradients): it begins at element `first`, a multiple
// of 128, so that it can be bound in every storage type. Also names outputs: the op's contract says
// which.
struct op_vec {
    const struct rt_buf *buf;
    uint64_t first;
};

// v lies at an allowed place and holds at least n elements. For RT_REQUIRE; says nothing of the
// type.
static inline bool op_vec_holds(struct op_vec v, uint64_t n)
{
    return v.buf && v.first % 128 == 0 && v.first <= rt_buf_count(v.buf) &&
           n <= rt_buf_count(v.buf) - v.first;
}

// A row of `cols` columns with stride ld is as every op wants it: even, and in whole 16-byte words.
static inline bool op_row_ok(uint32_t cols, uint32_t ld)
{
    return cols >= 2 && cols % 2 == 0 && ld % 8 == 0 && ld >= cols;
}

// How many rows of `row_bytes` bytes an op may bind at once on the buffer's device: a multiple of
// 64, so that a cut is bindable in every tensor of the op (also in one of a word a row), at most
// 2^30; 0 when not even 64 rows fit.
static inline uint32_t op_range_rows(const struct rt_buf *buf, uint64_t row_bytes)
{
    const uint64_t n = rt_dev_plan(rt_buf_dev(buf))->range_bytes / row_bytes & ~(uint64_t) 63;
    return n < (1u << 30) ? (uint32_t) n : 1u << 30;
}

// The same for rows of a tensor with stride ld, in its own type.
static inline uint32_t op_vec_range_rows(struct op_vec v, uint32_t ld)
{
    return op_range_rows(v.buf, (uint64_t) ld * rt_type_size(rt_buf_type(v.buf)));
}

// Bind rows [begin, begin + count) of a tensor with stride ld.
static inline struct rt_bind op_bind_rows(struct op_vec v, uint32_t ld, uint32_t begin,
                                          uint32_t count, enum rt_access access)
{
    const uint64_t first = v.first + (uint64_t) begin * ld;
    return (struct rt_bind){ v.buf, access, first, (uint64_t) count * ld };
}

// Groups that cover `lanes` lanes of a one-dimensional grid on the buffer's device. lanes <= 2^32 -
// 1.
static inline uint32_t op_groups(const struct rt_buf *buf, uint64_t lanes)
{
    const uint32_t group = rt_dev_plan(rt_buf_dev(buf))->group;
    return (uint32_t) ((lanes + group - 1) / group);
}

// The device is a CPU behind OpenCL, whose compiler makes vectors of a group's lanes.
static inline bool op_is_cpu(const struct rt_buf *buf)
{
    const struct rt_caps *caps = &rt_dev_plan(rt_buf_dev(buf))->caps;
    return caps->kind == RT_CPU && caps->api[0] == 'o';
}

// A GPU on which a lane has few registers, so that large tiles spill: Intel's, whose threads share
// 128 of 32 bytes (docs/gpu-compilers.md); and phones' and the Raspberry Pi's, by what is said of
// them.
bool op_has_few_registers(const struct rt_dev *dev);

// How a row of an elementwise kernel is cut: groups along x of `group` lanes with `per` elements
// each (the kernel's PER); `whole` = no lane is beyond the end (its WHOLE).
struct op_grid {
    uint32_t groups, group;
    int32_t per, whole;
};

// Cut rows of n elements (even, >= 2) into groups of plan.group lanes with two elements each; on a
// CPU into equal parts of 32 to 1024 lanes with one element each, where n has such parts.
static inline struct op_grid op_grid(const struct rt_buf *buf, uint32_t n)
{
    const struct rt_plan *plan = rt_dev_plan(rt_buf_dev(buf));
    const uint32_t limit = plan->caps.group_invocations, most = limit < 1024 ? limit : 1024;
    for (uint32_t g = (n - 1) / most + 1; op_is_cpu(buf) && (g == 1 || n / g >= 32); g++)
        if (n % g == 0)
            return (struct op_grid){ g, n / g, 1, 1 };
    return (struct op_grid){ (n / 2 - 1) / plan->group + 1, plan->group, 2, 0 };
}

// Lanes of a group that reduces a row, a power of two: plan.group; one on a CPU, where it works in
// vectors of four.
static inline uint32_t op_row_lanes(const struct rt_buf *buf)
{
    return op_is_cpu(buf) ? 1 : rt_dev_plan(rt_buf_dev(buf))->group;
}

// For a dispatch of an elementwise kernel.
#define OP_GRID_TUNES(grid) { "PER", (grid).per }, { "WHOLE", (grid).whole }

#endif // OP_OP_H
