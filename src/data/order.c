#include "src/data/order.h"

#include <math.h>
#include <stdlib.h>

#include "src/base/arith.h"
#include "src/base/rng.h"

static void shuffle(struct ds_order *o)
{
    struct rng r;
    rng_seed(&r, o->args.seed + o->epoch);
    rng_permutation(&r, o->args.n_pairs, o->perm);
    for (uint32_t i = 0; o->args.sequential && i < o->args.n_pairs; i++)
        o->perm[i] = i;
}

enum rt_err ds_order_make(const struct ds_order_args *a, struct ds_order *out)
{
    enum rt_err err = RT_OK;
    struct ds_order o = {.args = *a};

    *out = (struct ds_order){0};
    RT_REQUIRE(a->n_pairs >= 1 && a->batch >= 1 && a->accumulation >= 1, RT_E_ARG);
    RT_REQUIRE(a->n_pairs < UINT32_MAX / 20, RT_E_ARG); // torch.randperm takes another way beyond
    o.micro_batches =
        a->drop_last ? a->n_pairs / a->batch : (uint32_t) div_up(a->n_pairs, a->batch);
    if (o.micro_batches == 0)
        RT_TRY(rt_fail(RT_E_FORMAT,
                       "dataloader_drop_last leaves nothing: %u pairs, a micro-batch has %u",
                       a->n_pairs, a->batch));
    o.steps_per_epoch = (uint32_t) div_up(o.micro_batches, a->accumulation);
    o.total_steps =
        a->max_steps > 0 ? (uint64_t) a->max_steps : (uint64_t) ceil(a->epochs * o.steps_per_epoch);
    o.perm = malloc(a->n_pairs * sizeof(*o.perm));
    if (!o.perm)
        RT_TRY(rt_fail(RT_E_NOMEM, "out of memory: order of %u pairs", a->n_pairs));
    shuffle(&o);
    *out = o;
done:
    return err;
}

void ds_order_free(struct ds_order *o)
{
    free(o->perm);
    *o = (struct ds_order){0};
}

// The next micro-batch is the first of a new epoch only once it is asked for, so that the epoch's
// fraction reads n, not n + 0, at its end.
static void turn(struct ds_order *o)
{
    if (o->micro == o->micro_batches) {
        o->micro = 0;
        o->epoch++;
        shuffle(o);
    }
}

void ds_order_next(struct ds_order *o, const uint32_t **pairs, uint32_t *n)
{
    turn(o);
    const uint32_t first = o->micro * o->args.batch;
    *pairs = o->perm + first;
    *n = u32_min(o->args.batch, o->args.n_pairs - first);
    o->micro++;
}

uint32_t ds_order_window(const struct ds_order *o)
{
    const uint32_t at = o->micro == o->micro_batches ? 0 : o->micro;
    return u32_min(o->args.accumulation, o->micro_batches - at);
}

enum rt_err ds_order_seek(struct ds_order *o, uint32_t epoch, uint32_t micro)
{
    enum rt_err err = RT_OK;
    RT_REQUIRE(micro <= o->micro_batches, RT_E_ARG);
    o->epoch = epoch;
    o->micro = micro;
    shuffle(o);
done:
    return err;
}

double ds_order_epoch(const struct ds_order *o)
{
    return o->epoch + (double) o->micro / o->micro_batches;
}
