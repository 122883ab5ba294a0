#include "src/train/estimate.h"

#include <math.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/op/bench.h"

enum { COPY = 1 << 23 }; // floats

// ---- What the device does in a second ---------------------------------------------------------

struct sum {
    double flops, seconds;
};

static void add(void *user, const struct op_bench_row *r)
{
    struct sum *s = user;
    s->flops += 2.0 * r->m * r->n * r->k;
    s->seconds += r->seconds;
}

static enum rt_err copy(void *user, struct rt_dev *dev, uint32_t times)
{
    enum rt_err err = RT_OK;
    struct rt_buf **b = user;
    struct rt_cmd *cmd = NULL;

    RT_TRY(rt_cmd_create(dev, &cmd));
    for (uint32_t i = 0; i < times; i++)
        RT_TRY(rt_cmd_copy(cmd, b[0], 0, b[1], 0, COPY));
    RT_TRY(rt_cmd_wait(&cmd));
done:
    rt_cmd_destroy(&cmd);
    return err;
}

// Products of a layer and of the head, each as often as in a step: forward, dX, dW.
static enum rt_err measure(const struct tr_config *c, const struct tr_session *s,
                           const struct tr_plan *p, struct tr_estimate *e)
{
    enum rt_err err = RT_OK;
    const bool host = strcmp(rt_dev_plan(s->dev)->caps.api, "host") == 0; // float64, and slow
    const uint32_t tokens = u32_min(p->max_tokens, host ? 8 : 512);
    const struct op_bench_shape shapes[] = {{tokens, p->ffn, p->hidden},
                                            {tokens, p->hidden, p->ffn},
                                            {tokens, p->hidden, p->hidden},
                                            {tokens, u32_min(p->vocab, 8192), p->hidden}};
    struct rt_buf *b[2] = {NULL, NULL};
    struct sum sum = {0};
    double seconds;

    RT_TRY(op_bench_matmul(s->dev, shapes, COUNT_OF(shapes), &c->storage, host ? 0.0 : 0.04, add,
                           &sum));
    RT_TRY(rt_buf_create(s->dev, RT_F32, COPY, "copied", &b[0]));
    RT_TRY(rt_buf_create(s->dev, RT_F32, COPY, "copy", &b[1]));
    RT_TRY(op_bench_time(copy, b, s->dev, 0.1, &seconds));
    e->gflops = sum.flops / sum.seconds / 1e9;
    e->gbytes = 2.0 * COPY * sizeof(float) / seconds / 1e9;
done:
    rt_buf_destroy(&b[0]);
    rt_buf_destroy(&b[1]);
    return err;
}

// ---- What a step is ---------------------------------------------------------------------------

static uint64_t bytes_of(const struct tr_plan *p, const char *group)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < p->n_rows; i++)
        sum += strcmp(p->rows[i].group, group) == 0 ? p->rows[i].bytes : 0;
    return sum;
}

// An update reads and writes weights, m and v, reads gradients twice and clears them. A pass reads
// the weights as often as it multiplies by them, adds to gradients, and touches an activation about
// six times: written, read by the next op, written and read again by both sides of the backward.
static double bytes_a_step(const struct tr_plan *p, double passes)
{
    const double weights = (double) bytes_of(p, "weights"),
                 grads = (double) bytes_of(p, "gradients");
    return 2.0 * ((double) bytes_of(p, "optimizer") + weights) + 3.0 * grads +
           passes * (p->work.products * weights + 2.0 * grads +
                     6.0 * (double) bytes_of(p, "activations"));
}

enum rt_err tr_estimate_make(const struct tr_config *c, const struct tr_session *s,
                             const struct tr_plan *p, struct tr_estimate *out)
{
    enum rt_err err = RT_OK;
    const struct ds_set *set = &s->train.set;
    const double pairs = (double) c->per_device_train_batch_size * c->gradient_accumulation_steps;
    struct ds_order order = {0};
    struct tr_estimate e = {0};
    double tokens = 0.0;

    *out = e;
    RT_TRY(tr_dataset_order(c, &s->train, c->max_steps, &order));
    for (uint32_t i = 0; i < set->n; i++) {
        const double t = ds_pack_measure(set, i).tokens;
        tokens += t;
        e.step_flops += tr_work_flops(&p->work, set, i) + 2.0 * p->work.again * t;
    }
    const double share = fmin(pairs, set->n) / set->n, // of the data that a step sees
        passes = c->pass_tokens == 1 ? fmin(pairs, set->n)
                                     : fmax(1.0, ceil(tokens * share / p->max_tokens));
    e.step_flops *= share;
    e.step_bytes = bytes_a_step(p, passes);
    e.steps = order.total_steps;
    RT_TRY(measure(c, s, p, &e));
    e.step_s = e.step_flops / e.gflops / 1e9 + e.step_bytes / e.gbytes / 1e9;
    e.run_s = e.step_s * (double) e.steps;
    *out = e;
done:
    ds_order_free(&order);
    return err;
}
