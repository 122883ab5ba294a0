#include "src/train/bench.h"

#include <math.h>
#include <stdlib.h>

#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/data/order.h"
#include "src/op/bench.h"
#include "src/train/optimizer.h"
#include "src/train/session.h"

struct bench {
    const struct tr_config *c;
    struct tr_session s;
    struct ds_order order;
    struct tr_optimizer opt;
    double body, head;                    // elements of the layers' matrices, of the head
    double seconds, pairs, tokens, flops; // of the timed steps
    uint64_t batches;
    struct tr_job *job; // as in struct tr_flight
    struct rt_cmd *update;
    double taken_at; // when the update before was done
};

// Pairs of a query and a key that it sees, in a row prompt | chosen | rejected.
static double visible(const struct ds_set *set, uint32_t pair)
{
    const struct ds_sequence c = ds_sequence_of(set, pair, true);
    const struct ds_sequence r = ds_sequence_of(set, pair, false);
    const double p = c.n_prompt, x = c.n_completion, y = r.n_completion;
    return p * (p + 1.0) / 2.0 + x * (p + (x + 1.0) / 2.0) + y * (p + (y + 1.0) / 2.0);
}

static void count(struct bench *b, const struct tr_batch *batch)
{
    const struct md_arch *a = &b->s.model->arch;
    const bool full = !md_adapter_any(&b->s.model->adapter);
    const double forwards = b->c->precompute_ref_log_probs || b->s.ref.none ? 1.0 : 2.0;
    const double products = forwards + (full ? 2.0 : 1.0); // of 2 N FLOPs a token each

    for (uint32_t i = 0; i < batch->n; i++) {
        const struct ds_pack_size s = ds_pack_measure(&batch->data->set, batch->pairs[i]);
        const double attention = (4.0 * forwards + 8.0) * a->head_dim * a->heads * a->layers;
        b->flops += 2.0 * products * (b->body * s.tokens + b->head * s.rows) +
                    attention * visible(&batch->data->set, batch->pairs[i]);
        b->tokens += s.tokens;
    }
    b->pairs += batch->n;
}

static void count_weights(struct bench *b)
{
    const struct md_params *p = &b->s.model->params;
    const struct md_arch *a = &b->s.model->arch;
    for (uint32_t i = 0; i < p->n; i++) { // of experts, those that a token goes to
        const bool expert = md_weight_is_expert(p->all[i].weight);
        const double share = expert ? (double) a->top_k / a->experts : 1.0;
        if (p->all[i].linear || md_weight_is_routed(p->all[i].weight))
            b->body += share * p->all[i].rows * p->all[i].cols;
    }
    b->head = (double) b->s.model->arch.vocab * b->s.model->arch.hidden;
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
    RT_TRY(ds_order_make(&(struct ds_order_args){.n_pairs = b->s.train.set.n,
                                                 .batch = c->per_device_train_batch_size,
                                                 .accumulation = c->gradient_accumulation_steps,
                                                 .drop_last = c->dataloader_drop_last,
                                                 .sequential = c->sequential,
                                                 .seed = c->data_seed,
                                                 .max_steps = (int64_t) steps + 1},
                         &b->order));
    RT_TRY(tr_optimizer_create(b->s.model, c->optim, &b->opt));
    count_weights(b);
done:
    return err;
}

enum rt_err tr_bench_step(const struct tr_config *c, uint32_t steps, struct tr_bench *out)
{
    enum rt_err err = RT_OK;
    struct bench b = {.c = c};
    double *each = calloc((size_t) steps + 1, sizeof(*each));

    *out = (struct tr_bench){0};
    RT_REQUIRE(each, RT_E_NOMEM);
    RT_REQUIRE(steps >= 1, RT_E_ARG);
    RT_TRY(open_bench(&b, steps));
    RT_TRY(step(&b)); // kernels are compiled, memory is touched
    b.pairs = b.tokens = b.flops = 0.0;
    for (uint32_t i = 0; i <= steps; i++) { // a step lasts from the last one's end to its own
        const double before = b.taken_at;
        RT_TRY(i < steps ? step(&b) : take(&b));
        if (i > 0)
            b.seconds += each[i - 1] = b.taken_at - before;
    }
    *out = (struct tr_bench){.steps = steps,
                             .seconds = op_bench_median(each, steps),
                             .pairs_per_s = b.pairs / b.seconds,
                             .tokens_per_s = b.tokens / b.seconds,
                             .useful_gflops = b.flops / b.seconds / 1e9};
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
