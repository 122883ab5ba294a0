#include "src/op/conform.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/rng.h"

enum rt_err op_side_fill(struct op_side *s, enum rt_type type, uint64_t n, uint32_t seed, double lo,
                         double hi, struct rt_buf **out)
{
    enum rt_err err = RT_OK;
    struct rng r;
    float *x = malloc(n * sizeof(*x));
    const struct rt_host_buf half = {.data = &(uint16_t){0}, .type = type, .count = 1};

    RT_REQUIRE(x && s->n_bufs < OP_CONFORM_BUFFERS, RT_E_NOMEM);
    rng_seed(&r, seed);
    for (uint64_t i = 0; i < n; i++) {
        x[i] = (float) (lo + (hi - lo) * (double) rng_uniform(&r));
        if (type == RT_F16 || type == RT_BF16) { // the float64 side gets what the device can hold
            rt_host_store(&half, 0, (double) x[i]);
            x[i] = (float) rt_host_load(&half, 0);
        }
    }
    RT_TRY(rt_buf_create(s->dev, type, n, "conform", out));
    s->bufs[s->n_bufs++] = *out;
    RT_TRY(rt_buf_write(*out, 0, n, RT_F32, x));
done:
    free(x);
    return err;
}

enum rt_err op_side_words(struct op_side *s, const uint32_t *x, uint64_t n, struct rt_buf **out)
{
    enum rt_err err = RT_OK;
    RT_REQUIRE(s->n_bufs < OP_CONFORM_BUFFERS, RT_E_NOMEM);
    RT_TRY(rt_buf_create(s->dev, RT_U32, n, "conform", out));
    s->bufs[s->n_bufs++] = *out;
    RT_TRY(rt_buf_write(*out, 0, n, RT_U32, x));
done:
    return err;
}

void op_side_output(struct op_side *s, const char *name, const struct rt_buf *buf, uint64_t n,
                    double f32)
{
    static const double ROUNDING[RT_TYPE_COUNT] = {0x1p-24, 0x1p-11, 0x1p-8, 0.0, 0.0};
    s->outputs[s->n_outputs].name = name;
    s->outputs[s->n_outputs].buf = buf;
    s->outputs[s->n_outputs].n = n;
    s->outputs[s->n_outputs++].bound = f32 + ROUNDING[rt_buf_type(buf)];
}

static void side_clear(struct op_side *s)
{
    rt_cmd_destroy(&s->cmd);
    while (s->n_bufs)
        rt_buf_destroy(&s->bufs[--s->n_bufs]);
    s->n_outputs = 0;
}

static enum rt_err side_run(struct op_side *s, const struct op_conform_case *c, struct rt_dev *dev,
                            enum rt_type type, int variant)
{
    enum rt_err err = RT_OK;
    *s = (struct op_side){.dev = dev, .type = type, .variant = variant};
    RT_TRY(rt_cmd_create(dev, &s->cmd));
    RT_TRY(c->record(s));
    RT_TRY(rt_cmd_wait(&s->cmd));
done:
    return err;
}

// Largest |got - want| over the largest |want|; Inf when a number is not one.
static enum rt_err compare(const struct rt_buf *got, const struct rt_buf *want, uint64_t n,
                           double *error)
{
    enum rt_err err = RT_OK;
    double *x = malloc(2 * n * sizeof(*x)), *y = x + n, most = 0.0, worst = 0.0;

    RT_REQUIRE(x, RT_E_NOMEM);
    RT_TRY(rt_buf_read(got, 0, n, RT_F64, x));
    RT_TRY(rt_buf_read(want, 0, n, RT_F64, y));
    for (uint64_t i = 0; i < n; i++) {
        most = fmax(most, fabs(y[i]));
        if (!(fabs(x[i] - y[i]) <= worst))
            worst = isnan(x[i]) ? (double) INFINITY : fabs(x[i] - y[i]);
    }
    *error = worst > 0.0 ? worst / most : 0.0;
done:
    free(x);
    return err;
}

struct conform {
    struct rt_dev *dev, *ref;
    void (*row)(void *user, const struct op_conform_row *row);
    void *user;
    uint32_t failed;
};

static void hand(struct conform *k, struct op_conform_row row)
{
    row.ok = row.error <= row.bound;
    k->failed += !row.ok;
    k->row(k->user, &row);
}

static enum rt_err one_case(struct conform *k, const struct op_conform_case *c, enum rt_type type,
                            int variant)
{
    enum rt_err err = RT_OK;
    struct op_side got = {0}, want = {0};
    struct op_conform_row row = {.op = c->op,
                                 .variant = c->variants ? c->variants[variant] : "-",
                                 .output = "-",
                                 .type = type,
                                 .error = (double) INFINITY};

    RT_TRY(side_run(&want, c, k->ref, type, variant));
    if (side_run(&got, c, k->dev, type, variant) != RT_OK) {
        hand(k, row); // the log says why
        goto done;
    }
    for (uint32_t i = 0; i < want.n_outputs; i++) {
        row.output = want.outputs[i].name;
        row.bound = want.outputs[i].bound;
        RT_TRY(compare(got.outputs[i].buf, want.outputs[i].buf, want.outputs[i].n, &row.error));
        hand(k, row);
    }
done:
    side_clear(&got);
    side_clear(&want);
    return err;
}

enum rt_err op_conform(struct rt_dev *dev,
                       void (*row)(void *user, const struct op_conform_row *row), void *user,
                       uint32_t *failed)
{
    static const enum rt_type TYPES[] = {RT_F32, RT_F16, RT_BF16};
    enum rt_err err = RT_OK;
    struct conform k = {.dev = dev, .row = row, .user = user};

    *failed = 0;
    RT_TRY(rt_dev_open(&(struct rt_dev_desc){.name = "host:f64", .kernels = op_kernels()}, &k.ref));
    for (const struct op_conform_case *c = OP_CONFORM_CASES; c->op; c++)
        for (size_t t = 0; t < sizeof(TYPES) / sizeof(TYPES[0]); t++)
            for (int v = 0; v == 0 || (c->variants && c->variants[v]); v++)
                if (!c->has || c->has(dev, v, TYPES[t]))
                    RT_TRY(one_case(&k, c, TYPES[t], v));
    *failed = k.failed;
done:
    rt_dev_close(&k.ref);
    return err;
}

enum rt_err op_conform_one(struct rt_dev *dev, const char *op, int variant, enum rt_type type,
                           void (*row)(void *user, const struct op_conform_row *row), void *user,
                           uint32_t *failed)
{
    enum rt_err err = RT_OK;
    struct conform k = {.dev = dev, .row = row, .user = user};
    const struct op_conform_case *c = OP_CONFORM_CASES;

    *failed = 0;
    while (c->op && strcmp(c->op, op) != 0)
        c++;
    RT_REQUIRE(c->op, RT_E_ARG);
    RT_TRY(rt_dev_open(&(struct rt_dev_desc){.name = "host:f64", .kernels = op_kernels()}, &k.ref));
    if (!c->has || c->has(dev, variant, type))
        RT_TRY(one_case(&k, c, type, variant));
    *failed = k.failed;
done:
    rt_dev_close(&k.ref);
    return err;
}
