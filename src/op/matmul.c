// Products: what is checked, which variant runs, and how operands are cut to the binding range.
#include "src/op/matmul.h"

#include <string.h>

#include "src/base/arith.h"
#include "src/op/matmul_kernels.h"
#include "src/op/self_check.h"

enum { MAX_SIZE = INT32_MAX - 63, CUT = 8 }; // cuts lie at multiples of CUT rows or columns

static const char *const NAME[OP_MATMUL_VARIANTS] = {"auto", "tile", "register", "wide",
                                                     "bf16_dot"};

const char *const MATMUL_TUNED_VARIANT[] = {"matmul.f32", "matmul.f16", "matmul.bf16"};

const char *op_matmul_variant_name(enum op_matmul_variant variant)
{
    return (unsigned) variant < OP_MATMUL_VARIANTS ? NAME[variant] : "?";
}

bool op_matmul_has(const struct rt_dev *dev, enum op_matmul_variant variant, enum rt_type type)
{
    const struct rt_plan *plan = rt_dev_plan(dev);
    const bool wide = strcmp(plan->caps.api, "opencl") == 0 && plan->rungs & RT_RUNG_WIDE;

    if (op_is_dropped(dev, type, variant))
        return false;
    switch (variant) {
    case OP_MATMUL_AUTO:
    case OP_MATMUL_TILE:
        return true;
    case OP_MATMUL_REGISTER:
        return strcmp(plan->caps.api, "vulkan") == 0;
    case OP_MATMUL_WIDE:
        return wide;
    case OP_MATMUL_BF16_DOT:
        return wide && plan->rungs & RT_RUNG_BF16_DOT && type == RT_BF16;
    default:
        return false;
    }
}

enum op_matmul_variant op_matmul_choice(const struct rt_dev *dev, enum op_matmul_form form,
                                        enum rt_type type, uint32_t n, uint32_t k)
{
    static const enum op_matmul_variant CPU_FIRST[] = {OP_MATMUL_BF16_DOT, OP_MATMUL_WIDE,
                                                       OP_MATMUL_REGISTER};
    const int32_t tuned = rt_dev_tuned(dev, MATMUL_TUNED_VARIANT[type], OP_MATMUL_AUTO);

    (void) form;
    (void) n;
    (void) k;
    if (tuned > OP_MATMUL_AUTO && tuned < OP_MATMUL_VARIANTS &&
        op_matmul_has(dev, (enum op_matmul_variant) tuned, type))
        return (enum op_matmul_variant) tuned;
    if (rt_dev_plan(dev)->caps.kind == RT_CPU)
        for (size_t i = 0; i < COUNT_OF(CPU_FIRST); i++)
            if (op_matmul_has(dev, CPU_FIRST[i], type))
                return CPU_FIRST[i];
    return OP_MATMUL_TILE;
}

// ---- Shapes -----------------------------------------------------------------------------------

static uint32_t a_rows(const struct op_matmul_args *a)
{
    return a->form == OP_TN ? a->k : a->m;
}
static uint32_t a_cols(const struct op_matmul_args *a)
{
    return a->form == OP_TN ? a->m : a->k;
}
static uint32_t b_rows(const struct op_matmul_args *a)
{
    return a->form == OP_NT ? a->n : a->k;
}
static uint32_t b_cols(const struct op_matmul_args *a)
{
    return a->form == OP_NT ? a->k : a->n;
}

static bool placed(uint64_t first, uint32_t ld, uint32_t cols)
{
    return first % 8 == 0 && ld % 8 == 0 && ld >= cols;
}

static bool holds(const struct rt_buf *buf, uint64_t first, uint32_t ld, uint32_t rows,
                  uint32_t cols)
{
    const uint64_t n = (uint64_t) (rows - 1) * ld + op_stride(cols);
    return buf && first <= rt_buf_count(buf) && n <= rt_buf_count(buf) - first;
}

// Elements of `buf` that may be bound at once from a place that is not aligned.
static uint64_t range_of(const struct rt_dev *dev, enum rt_type type)
{
    const uint64_t bytes = u64_min(rt_dev_plan(dev)->range_bytes, (uint64_t) 1 << 32);
    return (bytes - 256) / rt_type_size(type);
}

// Rows with this stride that fit into the range; cut to a multiple of CUT, 0 if not even CUT fit.
static uint32_t rows_in_range(const struct rt_dev *dev, enum rt_type type, uint32_t ld,
                              uint32_t rows)
{
    const uint64_t fit = range_of(dev, type) / ld;
    return fit >= rows ? rows : (uint32_t) (fit / CUT * CUT);
}

// Most of m, n and k that one dispatch takes.
struct step {
    uint32_t m, n, k;
};

static struct step step_of(const struct rt_dev *dev, const struct op_matmul_args *a)
{
    const enum rt_type type = rt_buf_type(a->a.buf);
    const uint32_t ra = rows_in_range(dev, type, a->a.ld, a_rows(a));
    const uint32_t rb = rows_in_range(dev, type, a->b.ld, b_rows(a));
    const uint32_t rc = rows_in_range(dev, rt_buf_type(a->c.buf), a->c.ld, a->m);
    switch (a->form) {
    case OP_NT:
        return (struct step){u32_min(ra, rc), rb, a->k};
    case OP_NN:
        return (struct step){u32_min(ra, rc), a->n, rb};
    default:
        return (struct step){rc, a->n, u32_min(ra, rb)};
    }
}

// ---- Parts of k -------------------------------------------------------------------------------

// A product with few columns (in TN, or few rows) makes few groups of tiles. The tile variant then
// sums a long k in parts, each a group of its own along z, in scratch, and adds them up in order.
// What one part of k is depends on n and k alone, in TN also on whether m is small; never on rows.
enum { SKINNY = 64, PART = 256, MOST_PARTS = 8 };

static bool is_host(const struct rt_dev *dev)
{
    return strcmp(rt_dev_plan(dev)->caps.api, "host") == 0;
}

static bool is_skinny(enum op_matmul_form form, uint32_t m, uint32_t n)
{
    return n <= SKINNY || (form == OP_TN && m <= SKINNY);
}

// Elements of k in one part; k itself without parts.
static uint32_t part_of(uint32_t k)
{
    const uint32_t parts = u32_min(k / PART, MOST_PARTS);
    return parts > 1 ? (uint32_t) round_up(div_up(k, parts), 16) : k;
}

static bool splits(const struct rt_dev *dev, const struct op_matmul_args *a, struct step step)
{
    return a->variant == OP_MATMUL_TILE && !is_host(dev) && is_skinny(a->form, a->m, a->n) &&
           part_of(a->k) < a->k && step.k >= a->k && step.n >= a->n;
}

// Scratch for the parts. TN: rows may be cut to where they are few.
static uint64_t parts_scratch(const struct rt_dev *dev, enum op_matmul_form form, uint32_t m,
                              uint32_t n, uint32_t k)
{
    const uint32_t rows = n <= SKINNY ? m : form == OP_TN ? u32_min(m, SKINNY) : 0;
    if (is_host(dev) || part_of(k) == k)
        return 0;
    return div_up(k, part_of(k)) * rows * op_stride(n);
}

// A 16-bit result whose k is cut is summed in f32 scratch first. The strides are not known here:
// twice the columns is what is allowed for without a cut.
uint64_t op_matmul_scratch(const struct rt_dev *dev, enum op_matmul_form form, enum rt_type type,
                           uint32_t m, uint32_t n, uint32_t k)
{
    const uint64_t widest = form == OP_TN ? u32_max(m, n) : n;
    const uint64_t parts = parts_scratch(dev, form, m, n, k);
    if (form == OP_NT || type == RT_F32 || k <= range_of(dev, type) / (2 * round_up(widest, 8)))
        return parts;
    return u64_max(parts, (uint64_t) m * op_stride(n));
}

// ---- Checks -----------------------------------------------------------------------------------

static enum rt_err check(const struct op_matmul_args *a)
{
    enum rt_err err = RT_OK;
    const uint32_t most = u32_max(a->m, u32_max(a->n, a->k));
    enum rt_type type, c_type;

    RT_REQUIRE((unsigned) a->form <= OP_TN && (unsigned) a->variant < OP_MATMUL_VARIANTS, RT_E_ARG);
    RT_REQUIRE(a->m >= 1 && a->n >= 1 && a->k >= 1 && most <= MAX_SIZE, RT_E_ARG);
    RT_REQUIRE(placed(a->a.first, a->a.ld, a_cols(a)), RT_E_ARG);
    RT_REQUIRE(placed(a->b.first, a->b.ld, b_cols(a)), RT_E_ARG);
    RT_REQUIRE(placed(a->c.first, a->c.ld, a->n), RT_E_ARG);
    RT_REQUIRE(holds(a->a.buf, a->a.first, a->a.ld, a_rows(a), a_cols(a)), RT_E_SHAPE);
    RT_REQUIRE(holds(a->b.buf, a->b.first, a->b.ld, b_rows(a), b_cols(a)), RT_E_SHAPE);
    RT_REQUIRE(holds(a->c.buf, a->c.first, a->c.ld, a->m, a->n), RT_E_SHAPE);
    type = rt_buf_type(a->a.buf);
    c_type = rt_buf_type(a->c.buf);
    RT_REQUIRE(type == RT_F32 || type == RT_F16 || type == RT_BF16, RT_E_SHAPE);
    RT_REQUIRE(rt_buf_type(a->b.buf) == type, RT_E_SHAPE);
    RT_REQUIRE(c_type == RT_F32 || c_type == type, RT_E_SHAPE);
    RT_REQUIRE(!a->accumulate || c_type == RT_F32, RT_E_ARG);
    if (a->bias) {
        RT_REQUIRE(a->bias_first % 2 == 0 && rt_buf_type(a->bias) != RT_U32, RT_E_ARG);
        RT_REQUIRE(a->bias_first <= rt_buf_count(a->bias), RT_E_SHAPE);
        RT_REQUIRE(a->n <= rt_buf_count(a->bias) - a->bias_first, RT_E_SHAPE);
    }
done:
    return err;
}

// ---- One slice --------------------------------------------------------------------------------

// Bind n elements from `first`, which need not be aligned; *rest is where they begin in the
// binding.
static struct rt_bind bind_at(const struct rt_buf *buf, enum rt_access access, uint64_t first,
                              uint64_t n, uint32_t *rest)
{
    const uint64_t align = 256 / rt_type_size(rt_buf_type(buf));
    *rest = (uint32_t) (first % align);
    return (struct rt_bind){buf, access, first - *rest, n + *rest};
}

static struct rt_bind bind_mat(struct op_mat mat, enum rt_access access, uint64_t row, uint64_t col,
                               uint32_t rows, uint32_t cols, uint32_t *rest)
{
    return bind_at(mat.buf, access, mat.first + row * mat.ld + col,
                   (uint64_t) (rows - 1) * mat.ld + op_stride(cols), rest);
}

// A slice of the product: `size` elements of m, n and k from `at` on; k in parts of `k_part`, each
// into a C of its own right behind the one before.
static enum rt_err run_slice(struct rt_cmd *cmd, const struct op_matmul_args *a, struct step at,
                             struct step size, uint32_t k_part)
{
    const bool tn = a->form == OP_TN, nt = a->form == OP_NT, first = at.k == 0;
    const bool bias = a->bias && first, accumulate = a->accumulate || !first;
    const struct op_mat c = {a->c.buf, a->c.first, a->c.ld};
    struct matmul_job job = {.dev = rt_buf_dev(a->a.buf),
                             .p = {.form = (uint32_t) a->form,
                                   .m = size.m,
                                   .n = size.n,
                                   .k = size.k,
                                   .lda = a->a.ld,
                                   .ldb = a->b.ld,
                                   .ldc = a->c.ld,
                                   .k_part = k_part,
                                   .c_part = size.m * a->c.ld}};
    struct matmul_params *p = &job.p;

    p->flags = (accumulate ? MATMUL_ACCUMULATE : 0u) | (bias ? MATMUL_BIAS : 0u);
    job.binds[0] = bind_mat(a->a, RT_ACCESS_IN, tn ? at.k : at.m, tn ? at.m : at.k,
                            tn ? size.k : size.m, tn ? size.m : size.k, &p->a_first);
    job.binds[1] = bind_mat(a->b, RT_ACCESS_IN, nt ? at.n : at.k, nt ? at.k : at.n,
                            nt ? size.n : size.k, nt ? size.k : size.n, &p->b_first);
    job.binds[2] = job.binds[0]; // no bias: something must be bound
    if (bias)
        job.binds[2] = bind_at(a->bias, RT_ACCESS_IN, a->bias_first + at.n, size.n, &p->bias_first);
    const uint32_t rows = (uint32_t) div_up(size.k, k_part) * size.m;
    job.binds[3] = bind_mat(c, RT_ACCESS_INOUT, at.m, at.n, rows, size.n, &p->c_first);
    return matmul_run(cmd, a->variant, &job);
}

static enum rt_err run_slices(struct rt_cmd *cmd, const struct op_matmul_args *a, struct step step)
{
    enum rt_err err = RT_OK;
    for (uint32_t i = 0; i < a->m; i += step.m)
        for (uint32_t j = 0; j < a->n; j += step.n)
            for (uint32_t l = 0; l < a->k; l += step.k) {
                const struct step size = {u32_min(step.m, a->m - i), u32_min(step.n, a->n - j),
                                          u32_min(step.k, a->k - l)};
                RT_TRY(run_slice(cmd, a, (struct step){i, j, l}, size, size.k));
            }
done:
    return err;
}

// C = X + bias (+ C); X is f32 with stride op_stride(n) in scratch from row x_row on: `parts` times
// `rows` rows, to be added up. Rows `row` .. of C.
static enum rt_err round_rows(struct rt_cmd *cmd, const struct op_matmul_args *a, uint32_t row,
                              uint32_t rows, uint32_t x_row, uint32_t parts)
{
    const uint32_t ldx = op_stride(a->n);
    struct matmul_round_params p = {.flags = (a->bias ? MATMUL_BIAS : 0u) |
                                             (a->accumulate ? MATMUL_ACCUMULATE : 0u),
                                    .m = rows,
                                    .n = a->n,
                                    .ldx = ldx,
                                    .ldc = a->c.ld,
                                    .parts = parts,
                                    .x_part = rows * ldx};
    struct rt_bind x, bias, c;

    x = bind_at(a->scratch, RT_ACCESS_IN, (uint64_t) x_row * ldx, (uint64_t) parts * rows * ldx,
                &p.x_first);
    bias = x;
    if (a->bias)
        bias = bind_at(a->bias, RT_ACCESS_IN, a->bias_first, a->n, &p.bias_first);
    c = bind_mat((struct op_mat){a->c.buf, a->c.first, a->c.ld}, RT_ACCESS_INOUT, row, 0, rows,
                 a->n, &p.c_first);
    return rt_cmd_dispatch(cmd,
                           &(struct rt_dispatch_desc){.kernel = "matmul_round",
                                                      .items = (uint64_t) rows * div_up(a->n, 2),
                                                      .bufs = {x, bias, c},
                                                      .params = &p,
                                                      .params_size = sizeof(p)});
}

// A 16-bit result whose k is cut: summed in f32 scratch, then rounded once.
static enum rt_err run_in_scratch(struct rt_cmd *cmd, const struct op_matmul_args *a,
                                  struct step step)
{
    enum rt_err err = RT_OK;
    struct op_matmul_args sum = *a;
    const uint32_t ldx = op_stride(a->n);

    RT_REQUIRE(rt_buf_holds(a->scratch, RT_F32, (uint64_t) a->m * ldx), RT_E_SHAPE);
    sum.c = (struct op_mat_out){a->scratch, 0, ldx};
    sum.bias = NULL;
    step.m = u32_min(step.m, rows_in_range(rt_buf_dev(a->scratch), RT_F32, ldx, a->m));
    RT_REQUIRE(step.m > 0, RT_E_UNSUPPORTED);
    RT_TRY(run_slices(cmd, &sum, step));
    for (uint32_t i = 0; i < a->m; i += step.m)
        RT_TRY(round_rows(cmd, a, i, u32_min(step.m, a->m - i), i, 1));
done:
    return err;
}

// Few columns or rows, long k: parts of k summed in scratch beside each other, then added up.
static enum rt_err run_split(struct rt_cmd *cmd, const struct op_matmul_args *a, struct step step)
{
    enum rt_err err = RT_OK;
    struct op_matmul_args sum = *a;
    const uint32_t ldx = op_stride(a->n), part = part_of(a->k);
    const uint32_t parts = (uint32_t) div_up(a->k, part);
    const struct rt_dev *dev = rt_buf_dev(a->a.buf);

    RT_REQUIRE(rt_buf_holds(a->scratch, RT_F32, (uint64_t) parts * a->m * ldx), RT_E_SHAPE);
    sum.c = (struct op_mat_out){a->scratch, 0, ldx};
    sum.bias = NULL;
    sum.accumulate = false;
    step.m = u32_min(step.m, rows_in_range(dev, RT_F32, parts * ldx, a->m));
    RT_REQUIRE(step.m > 0, RT_E_UNSUPPORTED);
    for (uint32_t i = 0; i < a->m; i += step.m) {
        const uint32_t rows = u32_min(step.m, a->m - i);
        sum.c.first = (uint64_t) i * (parts - 1) * ldx; // row i of C is row i * parts of scratch
        RT_TRY(run_slice(cmd, &sum, (struct step){i, 0, 0}, (struct step){rows, a->n, a->k}, part));
        RT_TRY(round_rows(cmd, a, i, rows, i * parts, parts));
    }
done:
    return err;
}

enum rt_err op_matmul(struct rt_cmd *cmd, const struct op_matmul_args *args)
{
    enum rt_err err = RT_OK;
    struct op_matmul_args a = *args;
    const struct rt_dev *dev;
    enum rt_type type;
    struct step step;

    RT_TRY(check(&a));
    dev = rt_buf_dev(a.a.buf);
    type = rt_buf_type(a.a.buf);
    if (a.variant == OP_MATMUL_AUTO)
        a.variant = op_matmul_choice(dev, a.form, type, a.n, a.k);
    if (!op_matmul_has(dev, a.variant, type))
        RT_TRY(rt_fail(RT_E_UNSUPPORTED, "matmul: %s lacks the variant %s for %s", rt_dev_id(dev),
                       op_matmul_variant_name(a.variant), rt_type_name(type)));
    step = step_of(dev, &a);
    if (step.m == 0 || step.n == 0 || step.k == 0)
        RT_TRY(rt_fail(
            RT_E_UNSUPPORTED, "matmul: %d rows of %s, %s or %s are more than %s can bind at once",
            CUT, rt_buf_name(a.a.buf), rt_buf_name(a.b.buf), rt_buf_name(a.c.buf), rt_dev_id(dev)));
    if (splits(dev, &a, step))
        RT_TRY(run_split(cmd, &a, step));
    else if (step.k < a.k && rt_buf_type(a.c.buf) != RT_F32)
        RT_TRY(run_in_scratch(cmd, &a, step));
    else
        RT_TRY(run_slices(cmd, &a, step));
done:
    return err;
}
