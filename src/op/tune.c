#include "src/op/tune.h"

#include "src/base/arith.h"
#include "src/op/matmul_kernels.h"

enum { MOST = 32 };

const struct op_bench_shape OP_TUNE_SHAPES[] = {{1024, 1536, 576}, {1024, 576, 1536}};
const size_t OP_TUNE_SHAPE_COUNT = COUNT_OF(OP_TUNE_SHAPES);

// What a run of op_tune was asked for.
struct tune {
    struct rt_dev *dev;
    const struct op_bench_shape *shapes;
    size_t n_shapes;
    double seconds;
    void (*row)(void *user, const struct op_tune_row *row, bool winner);
    void *user;
};

struct sum {
    double flops, seconds;
};

static void add(void *user, const struct op_bench_row *r)
{
    struct sum *s = user;
    s->flops += 2.0 * r->m * r->n * r->k;
    s->seconds += r->seconds;
}

static enum rt_err use(struct rt_dev *dev, const struct op_tune_row *r)
{
    enum rt_err err = RT_OK;
    RT_TRY(rt_dev_tune(dev, MATMUL_TUNED_VARIANT[r->type], (int32_t) r->variant));
    RT_TRY(rt_dev_tune(dev, MATMUL_TUNED_TILE[r->type], r->tile));
done:
    return err;
}

static enum rt_err measure(const struct tune *k, struct op_tune_row *r, double seconds)
{
    enum rt_err err = RT_OK;
    struct sum s = {0};

    RT_TRY(use(k->dev, r));
    RT_TRY(op_bench_matmul(k->dev, k->shapes, k->n_shapes, &r->type, seconds, add, &s));
    r->gflops = s.flops / s.seconds / 1e9;
    r->rough = seconds <= 0.0;
done:
    return err;
}

// The default first.
static uint32_t candidates(const struct rt_dev *dev, enum rt_type type,
                           struct op_tune_row out[MOST])
{
    uint32_t n = 0;
    const bool wide = op_matmul_has(dev, OP_MATMUL_WIDE, type); // then tiles are far behind
    const enum op_matmul_variant first = op_matmul_choice(dev, OP_NT, type, 576, 576);

    out[n++] = (struct op_tune_row){.type = type, .variant = first};
    for (enum op_matmul_variant v = OP_MATMUL_TILE; v < OP_MATMUL_VARIANTS; v++) {
        const uint32_t tiles = v == OP_MATMUL_TILE && !wide ? matmul_tiles(dev) : 1;
        for (uint32_t t = 0; t < tiles && op_matmul_has(dev, v, type) && n < MOST; t++)
            if (v != first || t != 0)
                out[n++] = (struct op_tune_row){.type = type, .variant = v, .tile = (int32_t) t};
    }
    return n;
}

static enum rt_err tune_type(const struct tune *k, enum rt_type type, struct op_tune_row *best)
{
    enum rt_err err = RT_OK;
    struct op_tune_row c[MOST];
    const uint32_t n = candidates(k->dev, type, c);
    double most = 0.0;

    for (uint32_t i = 0; i < n; i++) { // one run each
        RT_TRY(measure(k, &c[i], 0.0));
        most = c[i].gflops > most ? c[i].gflops : most;
    }
    *best = c[0];
    for (uint32_t i = 0; i < n; i++) {
        if (i == 0 || c[i].gflops > 0.6 * most)
            RT_TRY(measure(k, &c[i], k->seconds));
        k->row(k->user, &c[i], false);
        if (i == 0 || (!c[i].rough && c[i].gflops > 1.03 * best->gflops))
            *best = c[i];
    }
done:
    return err;
}

enum rt_err op_tune(struct rt_dev *dev, const struct op_bench_shape *shapes, size_t n_shapes,
                    double seconds,
                    void (*row)(void *user, const struct op_tune_row *row, bool winner), void *user)
{
    enum rt_err err = RT_OK;
    const struct tune k = {dev, shapes, n_shapes, seconds, row, user};
    struct op_tune_row best[3];

    rt_dev_tuned_clear(dev);
    RT_REQUIRE(seconds > 0.0, RT_E_ARG);
    for (enum rt_type t = RT_F32; t <= RT_BF16; t++) {
        RT_TRY(tune_type(&k, t, &best[t]));
        rt_dev_tuned_clear(dev); // the next type's default is the program's
    }
    for (enum rt_type t = RT_F32; t <= RT_BF16; t++) {
        RT_TRY(use(dev, &best[t]));
        row(user, &best[t], true);
    }
done:
    if (err != RT_OK)
        rt_dev_tuned_clear(dev);
    return err;
}
