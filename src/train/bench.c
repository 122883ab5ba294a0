#include "src/train/bench.h"

#include <math.h>
#include <stdlib.h>

#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/op/bench.h"
#include "src/train/optimizer.h"
#include "src/train/plan.h"

struct bench {
    const struct tr_config *c;
    struct tr_session s;
    struct ds_order order;
    struct tr_optimizer opt;
    struct tr_work work;
    double pairs, tokens, flops; // of the step that is handed over
    uint64_t batches;
    struct tr_job *job; // as in struct tr_flight
    struct rt_cmd *update;
    double taken_at; // when the update before was done
};

static void count(struct bench *b, const struct tr_batch *batch)
{
    const struct ds_set *set = &batch->data->set;

    for (uint32_t i = 0; i < batch->n; i++) {
        b->flops += tr_work_flops(&b->work, set, batch->pairs[i]);
        b->tokens += ds_pack_measure(set, batch->pairs[i]).tokens;
    }
    b->pairs += batch->n;
}

// Wait for what was handed over before.
static enum rt_err take(struct bench *b)
{
    enum rt_err err = RT_OK;
    struct tr_job *job = b->job;
    struct tr_result result;

    b->job = NULL;
    if (job)
        RT_TRY(tr_objective_end(b->s.objective, job, &result));
    if (b->update) {
        RT_TRY(rt_cmd_wait(&b->update));
        b->taken_at = os_seconds();
    }
done:
    return err;
}

// Hand over a step and take the one before, as training does (src/train/steps.h).
static enum rt_err step(struct bench *b)
{
    enum rt_err err = RT_OK;
    const uint32_t window = ds_order_window(&b->order);

    for (uint32_t i = 0; i < window; i++) {
        struct tr_batch batch = {.data = &b->s.train, .number = b->batches++};
        struct tr_job *job;
        ds_order_next(&b->order, &batch.pairs, &batch.n);
        RT_TRY(tr_objective_begin(b->s.objective, &batch, &b->opt.grads,
                                  1.0 / ((double) batch.n * window), &job));
        count(b, &batch);
        RT_TRY(take(b));
        b->job = job;
    }
    RT_TRY(rt_cmd_create(b->s.dev, &b->update));
    RT_TRY(tr_grad_measure(&b->opt, b->update, 1.0, 1.0));
    RT_TRY(tr_optimizer_step(&b->opt, b->update, b->s.model, b->c, b->c->learning_rate));
    RT_TRY(md_flat_zero(b->update, &b->opt.grads));
    RT_TRY(rt_cmd_submit(b->update));
done:
    return err;
}

static void best(void *user, const struct op_bench_row *r)
{
    double *gflops = user;
    *gflops = fmax(*gflops, r->gflops);
}

static enum rt_err matmul(struct bench *b, double *gflops)
{
    const struct md_arch *a = &b->s.model->arch;
    const uint32_t tokens = b->s.model->max_tokens;
    const struct op_bench_shape shapes[] = {{tokens, a->ffn, a->hidden},
                                            {tokens, a->hidden, a->ffn},
                                            {tokens, a->hidden, a->hidden},
                                            {tokens, u32_min(a->vocab, 8192), a->hidden}};
    *gflops = 0.0;
    return op_bench_matmul(b->s.dev, shapes, COUNT_OF(shapes), &b->c->storage, 0.1, best, gflops);
}

static enum rt_err open_bench(struct bench *b, uint32_t steps)
{
    enum rt_err err = RT_OK;
    const struct tr_config *c = b->c;

    RT_TRY(tr_session_open(c, true, &b->s));
    RT_TRY(tr_dataset_order(c, &b->s.train, (int64_t) steps + 1, &b->order));
    RT_TRY(tr_optimizer_create(b->s.model, c->optim, &b->opt));
    tr_work_make(b->s.model, tr_plan_forwards(c), &b->work);
done:
    return err;
}

// What a step had to do, then how fast it was.
struct rates {
    double *seconds, *pairs, *tokens, *gflops; // [step]
};

static enum rt_err timed(struct bench *b, uint32_t steps, const struct rates *r)
{
    enum rt_err err = RT_OK;

    RT_TRY(step(b));                        // kernels are compiled, memory is touched
    for (uint32_t i = 0; i <= steps; i++) { // a step lasts from the last one's end to its own
        const double before = b->taken_at;
        b->pairs = b->tokens = b->flops = 0.0;
        RT_TRY(i < steps ? step(b) : take(b));
        if (i > 0) {
            const double seconds = r->seconds[i - 1] = b->taken_at - before;
            r->pairs[i - 1] /= seconds;
            r->tokens[i - 1] /= seconds;
            r->gflops[i - 1] /= 1e9 * seconds;
        }
        if (i < steps) {
            r->pairs[i] = b->pairs;
            r->tokens[i] = b->tokens;
            r->gflops[i] = b->flops;
        }
    }
done:
    return err;
}

enum rt_err tr_bench_step(const struct tr_config *c, uint32_t steps, struct tr_bench *out)
{
    enum rt_err err = RT_OK;
    struct bench b = {.c = c};
    double *each = calloc((size_t) steps + 1, 4 * sizeof(*each));

    *out = (struct tr_bench){0};
    RT_REQUIRE(each, RT_E_NOMEM);
    RT_REQUIRE(steps >= 1, RT_E_ARG);
    RT_TRY(open_bench(&b, steps));
    const struct rates r = {each, each + steps, each + 2 * steps, each + 3 * steps};
    RT_TRY(timed(&b, steps, &r));
    *out = (struct tr_bench){.steps = steps,
                             .seconds = op_bench_median(r.seconds, steps),
                             .pairs_per_s = op_bench_median(r.pairs, steps),
                             .tokens_per_s = op_bench_median(r.tokens, steps),
                             .useful_gflops = op_bench_median(r.gflops, steps)};
    RT_TRY(matmul(&b, &out->matmul_gflops));
done:
    rt_cmd_destroy(&b.update);
    tr_objective_destroy(&b.s.objective); // waits for what is on its way
    tr_optimizer_destroy(&b.opt);
    ds_order_free(&b.order);
    tr_session_close(&b.s);
    free(each);
    return err;
}
