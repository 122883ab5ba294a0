#include "src/op/self_check.h"

#include <math.h>
#include <stdio.h>

#include "src/base/hash.h"
#include "src/base/log.h"
#include "src/base/str.h"
#include "src/op/conform.h"
#include "src/op/experts.h"

// What is known of a storage type, in a number of the device's: two bits a variant and a part of a
// hash of the kernels that were tried. 0: nothing yet.
enum { BITS = 7, TEXT_BITS = 30 - 2 * BITS };
_Static_assert((int) OP_DROPS <= (int) BITS, "a number holds what can be dropped");

struct state {
    uint32_t dropped, tried, text;
};

static const char *const NAME[] = {"self_check.f32", "self_check.f16", "self_check.bf16"};

static struct state load(const struct rt_dev *dev, enum rt_type type)
{
    const uint32_t n = (uint32_t) rt_dev_tuned(dev, NAME[type], 0), mask = (1u << BITS) - 1;
    return (struct state){n & mask, n >> BITS & mask, n >> 2 * BITS};
}

static enum rt_err store(struct rt_dev *dev, enum rt_type type, const struct state *s)
{
    return rt_dev_tune(dev, NAME[type],
                       (int32_t) (s->text << 2 * BITS | s->tried << BITS | s->dropped));
}

bool op_is_dropped(const struct rt_dev *dev, enum rt_type type, uint32_t what)
{
    return type <= RT_BF16 && (load(dev, type).dropped >> what & 1u);
}

// Of the kernels that are for one API alone, which are those that can be dropped.
static enum rt_err hash_kernels(uint32_t *text)
{
    enum rt_err err = RT_OK;
    struct str s = {0};
    struct hash h;

    hash_begin(&h, 0);
    for (const struct rt_kernel *const *k = op_kernels(); *k; k++) {
        const char *file = (*k)->opencl_only ? (*k)->opencl_only : (*k)->vulkan_only;
        if (file)
            RT_TRY(rt_source(file, &s));
    }
    hash_add(&h, s.data, s.len);
    *text = hash_end(&h) & ((1u << TEXT_BITS) - 1);
done:
    str_free(&s);
    return err;
}

struct trial {
    const struct rt_dev *dev;
    bool told;
};

static void on_row(void *user, const struct op_conform_row *r)
{
    struct trial *t = user;
    char what[128];

    if (r->ok || t->told)
        return;
    t->told = true;
    if (isinf(r->error))
        snprintf(what, sizeof(what), "does not run, or gives no number");
    else
        snprintf(what, sizeof(what), "computes wrong (%s is off by %.2g, expected %.2g at most)",
                 r->output, r->error, r->bound);
    log_warn("device %s, %s: %s %s in %s %s; it is not used", rt_dev_plan(t->dev)->caps.name,
             rt_dev_plan(t->dev)->caps.driver, r->op, r->variant, rt_type_name(r->type), what);
}

// variant: of the case of `op` in conform_cases.c.
static enum rt_err try_one(struct rt_dev *dev, enum rt_type type, uint32_t what, const char *op,
                           int variant, struct state *s)
{
    enum rt_err err = RT_OK;
    uint32_t failed = 0;
    struct trial t = {.dev = dev};

    RT_TRY(op_conform_one(dev, op, variant, type, on_row, &t, &failed));
    s->tried |= 1u << what;
    s->dropped |= failed ? 1u << what : 0;
    RT_TRY(store(dev, type, s));
done:
    return err;
}

// What is known of `type`, of these kernels; *skip: nothing is to be tried on this device.
static enum rt_err begin(struct rt_dev *dev, enum rt_type type, struct state *s, bool *skip)
{
    enum rt_err err = RT_OK;
    uint32_t text;

    *skip = str_has_prefix(rt_dev_id(dev), "host") || rt_dev_is_dry(dev) || type > RT_BF16;
    if (*skip)
        goto done;
    RT_TRY(hash_kernels(&text));
    *s = load(dev, type);
    if (s->text != text) {
        *s = (struct state){.text = text};
        RT_TRY(store(dev, type, s));
    }
done:
    return err;
}

enum rt_err op_self_check(struct rt_dev *dev, enum rt_type type)
{
    enum rt_err err = RT_OK;
    enum op_matmul_variant v;
    struct state s;
    uint32_t before;
    bool skip;

    RT_TRY(begin(dev, type, &s, &skip));
    if (skip)
        goto done;
    before = s.tried;
    while ((v = op_matmul_choice(dev, OP_NT, type, 576, 576)) != OP_MATMUL_TILE &&
           !(s.tried >> v & 1u)) // what is dropped is not chosen again
        RT_TRY(try_one(dev, type, v, "matmul", (int) (v - OP_MATMUL_TILE), &s));
    if (!(s.tried >> OP_DROP_ATTENTION_WIDE & 1u))
        RT_TRY(try_one(dev, type, OP_DROP_ATTENTION_WIDE, "attention", 1, &s));
    if (s.tried != before)
        rt_dev_tuned_keep(dev);
done:
    return err;
}

enum rt_err op_self_check_experts(struct rt_dev *dev, enum rt_type type)
{
    enum rt_err err = RT_OK;
    struct state s;
    bool skip;

    RT_TRY(begin(dev, type, &s, &skip));
    if (skip || s.tried >> OP_DROP_EXPERTS_WIDE & 1u)
        goto done;
    const enum op_matmul_variant v = op_experts_choice(dev, type);
    if (v == OP_MATMUL_TILE)
        goto done;
    RT_TRY(try_one(dev, type, OP_DROP_EXPERTS_WIDE, "experts", (int) (v - OP_MATMUL_TILE), &s));
    rt_dev_tuned_keep(dev);
done:
    return err;
}
