#include "src/op/bench.h"

#include <math.h>
#include <stdlib.h>

#include "src/base/arith.h"
#include "src/base/file.h"

const struct op_bench_shape OP_BENCH_SHAPES[] = {
    {1024, 576, 576},  {1024, 192, 576}, {1024, 1536, 576}, {1024, 576, 1536},
    {1024, 8192, 576}, {1, 1536, 576},   {1024, 1024, 1024}};
const size_t OP_BENCH_SHAPE_COUNT = COUNT_OF(OP_BENCH_SHAPES);

enum { TIMES = 5 };

// Numbers of ordinary size, so that no half is subnormal and no sum overflows.
static enum rt_err filled(struct rt_dev *dev, enum rt_type type, uint64_t n, struct rt_buf **out)
{
    enum rt_err err = RT_OK;
    float *x = malloc(n * sizeof(*x));

    *out = NULL;
    RT_REQUIRE(x, RT_E_NOMEM);
    for (uint64_t i = 0; i < n; i++)
        x[i] = (float) (i * 2654435761u % 2001) / 1000.0f - 1.0f;
    RT_TRY(rt_buf_create(dev, type, n, "bench", out));
    RT_TRY(rt_buf_write(*out, 0, n, RT_F32, x));
done:
    free(x);
    return err;
}

// The product of a form, with its buffers: a, b, c and scratch, in this order.
static enum rt_err prepare(struct rt_dev *dev, const struct op_bench_shape *s,
                           struct op_bench_row *r, struct op_matmul_args *a, struct rt_buf *bufs[4])
{
    enum rt_err err = RT_OK;
    const uint32_t t = s->tokens, in = op_stride(s->in), out = op_stride(s->out);
    const bool nt = r->form == OP_NT, tn = r->form == OP_TN;
    uint64_t scratch;

    r->m = tn ? s->out : t;
    r->n = nt ? s->out : s->in;
    r->k = nt ? s->in : tn ? t : s->out;
    *a = (struct op_matmul_args){
        .form = r->form, .m = r->m, .n = r->n, .k = r->k, .accumulate = tn, .variant = r->variant};
    a->a.ld = nt ? in : out;
    a->b.ld = in;
    a->c.ld = nt ? out : in;
    RT_TRY(filled(dev, r->type, (uint64_t) t * a->a.ld, &bufs[0]));
    RT_TRY(filled(dev, r->type, (uint64_t) (tn ? t : s->out) * in, &bufs[1]));
    RT_TRY(rt_buf_create(dev, tn ? RT_F32 : r->type, (uint64_t) r->m * a->c.ld, "bench", &bufs[2]));
    scratch = op_matmul_scratch(dev, r->form, r->type, r->m, r->n, r->k);
    if (scratch)
        RT_TRY(rt_buf_create(dev, RT_F32, scratch, "bench", &bufs[3]));
    a->a.buf = bufs[0];
    a->b.buf = bufs[1];
    a->c.buf = bufs[2];
    a->scratch = bufs[3];
done:
    return err;
}

static enum rt_err repeat(void *user, struct rt_dev *dev, uint32_t times)
{
    enum rt_err err = RT_OK;
    struct rt_cmd *cmd = NULL;

    RT_TRY(rt_cmd_create(dev, &cmd));
    for (uint32_t i = 0; i < times; i++)
        RT_TRY(op_matmul(cmd, user));
    RT_TRY(rt_cmd_wait(&cmd));
done:
    rt_cmd_destroy(&cmd);
    return err;
}

static int by_size(const void *x, const void *y)
{
    const double a = *(const double *) x, b = *(const double *) y;
    return (a > b) - (a < b);
}

double op_bench_median(double *x, size_t n)
{
    qsort(x, n, sizeof(*x), by_size);
    return x[n / 2];
}

enum rt_err op_bench_time(op_bench_repeat *run, void *user, struct rt_dev *dev, double seconds,
                          double *out)
{
    enum rt_err err = RT_OK;
    double each[TIMES], start;
    const int times = seconds > 0.0 ? TIMES : 1;
    uint32_t n = 1;

    RT_TRY(run(user, dev, 1)); // compiles
    if (seconds > 0.0) {
        start = os_seconds();
        RT_TRY(run(user, dev, 1));
        const double fit = seconds / TIMES / fmax(os_seconds() - start, 1e-6);
        n = fit < 1.0 ? 1 : fit > 1000.0 ? 1000 : (uint32_t) fit;
    }
    for (int i = 0; i < times; i++) {
        start = os_seconds();
        RT_TRY(run(user, dev, n));
        each[i] = (os_seconds() - start) / n;
    }
    *out = fmax(op_bench_median(each, (size_t) times), 1e-9);
done:
    return err;
}

static bool is_choice(const struct rt_dev *dev, const struct op_bench_shape *s,
                      const struct op_bench_row *r)
{
    const uint32_t n = r->form == OP_NT ? s->out : s->in;
    const uint32_t k = r->form == OP_NT ? s->in : r->form == OP_TN ? s->tokens : s->out;
    return r->variant == op_matmul_choice(dev, r->form, r->type, n, k);
}

static enum rt_err one(struct rt_dev *dev, const struct op_bench_shape *s, double seconds,
                       struct op_bench_row *r)
{
    enum rt_err err = RT_OK;
    struct op_matmul_args a;
    struct rt_buf *bufs[4] = {0};

    RT_TRY(prepare(dev, s, r, &a, bufs));
    r->is_choice = is_choice(dev, s, r);
    RT_TRY(op_bench_time(repeat, &a, dev, seconds, &r->seconds));
    r->gflops = 2.0 * r->m * r->n * r->k / r->seconds / 1e9;
done:
    for (int i = 0; i < 4; i++)
        rt_buf_destroy(&bufs[i]);
    return err;
}

enum rt_err op_bench_matmul(struct rt_dev *dev, const struct op_bench_shape *shapes,
                            size_t n_shapes, const enum rt_type *only, double seconds,
                            void (*row)(void *user, const struct op_bench_row *row), void *user)
{
    static const enum rt_type TYPES[] = {RT_F32, RT_F16, RT_BF16};
    enum { FORMS = OP_TN + 1, EACH = OP_MATMUL_VARIANTS * COUNT_OF(TYPES) * FORMS };
    enum rt_err err = RT_OK;

    RT_REQUIRE(seconds >= 0.0, RT_E_ARG);
    for (size_t i = 0; i < n_shapes; i++)
        RT_REQUIRE(shapes[i].tokens && shapes[i].out && shapes[i].in, RT_E_ARG);
    for (size_t i = 0; i < n_shapes * EACH; i++) {
        const size_t j = i % EACH;
        struct op_bench_row r = {.variant = (enum op_matmul_variant)(j / FORMS / COUNT_OF(TYPES)),
                                 .type = TYPES[j / FORMS % COUNT_OF(TYPES)],
                                 .form = (enum op_matmul_form)(j % FORMS)};
        if (r.variant == OP_MATMUL_AUTO || !op_matmul_has(dev, r.variant, r.type))
            continue;
        if (only && (r.type != *only || !is_choice(dev, &shapes[i / EACH], &r)))
            continue;
        RT_TRY(one(dev, &shapes[i / EACH], seconds, &r));
        row(user, &r);
    }
done:
    return err;
}
