#include "src/train/fingerprint.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/base/hash.h"
#include "src/op/experts.h"
#include "src/op/matmul.h"

static uint64_t print_data(const struct ds_set *set)
{
    struct hash h;
    const uint32_t how[] = {set->n, set->max_length, (uint32_t) set->truncation};

    hash_begin(&h, 0);
    hash_add(&h, how, sizeof(how));
    for (uint32_t i = 0; i < set->n; i++) {
        const struct ds_pair *p = &set->pairs[i];
        const uint32_t lengths[] = {p->prompt, p->chosen, p->rejected};
        const size_t n = (size_t) p->prompt + p->chosen + p->rejected;
        hash_add(&h, lengths, sizeof(lengths));
        hash_add(&h, set->ids.data + p->first, n * sizeof(*set->ids.data));
    }
    return hash_end(&h);
}

// Names, shapes and two rows of each weight: training moves every row of most weights, so that two
// models that differ at all differ there.
static enum rt_err print_flat(const struct md_flat *flat, const struct md_params *params,
                              uint64_t *out)
{
    enum rt_err err = RT_OK;
    struct hash h;
    uint32_t most = 1;
    float *x = NULL;

    *out = 0;
    if (flat->n == 0)
        goto done;
    for (uint32_t i = 0; i < params->n; i++)
        most = u32_max(most, params->all[i].cols);
    x = malloc(most * sizeof(*x));
    RT_REQUIRE(x, RT_E_NOMEM);
    hash_begin(&h, 0);
    for (uint32_t i = 0; i < params->n; i++) {
        const struct md_param *p = &params->all[i];
        const uint32_t shape[] = {p->rows, p->cols}, rows[] = {0, p->rows / 2};
        hash_add(&h, p->name, strlen(p->name));
        hash_add(&h, shape, sizeof(shape));
        for (size_t k = 0; k < COUNT_OF(rows); k++) {
            RT_TRY(md_flat_read(flat, p, rows[k], 1, x));
            hash_add(&h, x, p->cols * sizeof(*x));
        }
    }
    *out = hash_end(&h);
done:
    free(x);
    return err;
}

enum rt_err tr_fingerprint_take(const struct tr_session *s, struct tr_fingerprint *out)
{
    enum rt_err err = RT_OK;
    struct md_model *m = s->model;
    const struct md_trained t = md_trained_of(m);
    struct md_flat words = m->work;

    memset(words.low, 0, sizeof(words.low));
    *out = (struct tr_fingerprint){.data = print_data(&s->train.set)};
    RT_TRY(print_flat(&words, &m->params, &out->model));
    RT_TRY(print_flat(t.work, t.params, &out->trained));
    if (s->train.ref_logps)
        out->reference = s->train.ref_key;
    else if (m->adapter_ref.n)
        RT_TRY(print_flat(&m->adapter_ref, &m->adapter.params, &out->reference));
    else
        RT_TRY(print_flat(&s->ref.copy, &m->params, &out->reference));
done:
    return err;
}

// Which variant computes the products of each weight, "rows x cols: forward, dX, dW". One text a
// shape.
static void write_products(struct fmt_jw *w, const struct md_model *m)
{
    for (uint32_t i = 0; i < m->params.n; i++) {
        const struct md_param *p = &m->params.all[i];
        char key[64], value[96];
        bool seen = p->rank != 2;
        for (uint32_t k = 0; k < i && !seen; k++)
            seen = m->params.all[k].rows == p->rows && m->params.all[k].cols == p->cols;
        if (seen)
            continue;
        const enum op_matmul_variant v[] = {
            op_matmul_choice(m->dev, OP_NT, m->storage, p->rows, p->cols),
            op_matmul_choice(m->dev, OP_NN, m->storage, p->cols, p->rows),
            op_matmul_choice(m->dev, OP_TN, m->storage, p->cols, 64)};
        snprintf(key, sizeof(key), "product %u x %u", p->rows, p->cols);
        snprintf(value, sizeof(value), "%s, %s, %s", op_matmul_variant_name(v[0]),
                 op_matmul_variant_name(v[1]), op_matmul_variant_name(v[2]));
        fmt_jw_put_str(w, key, value);
    }
}

static void write_rungs(struct fmt_jw *w, uint32_t on)
{
    struct str s = {0};
    uint32_t bit;
    const char *name;

    for (uint32_t i = 0; (name = rt_rung_name(i, &bit)) != NULL; i++)
        if ((on & bit) && str_printf(&s, "%s%s", s.len ? "," : "", name) != RT_OK)
            w->err = RT_E_NOMEM;
    fmt_jw_put_str(w, "rungs", s.data ? s.data : "");
    str_free(&s);
}

void tr_kernels_write(struct fmt_jw *w, const struct tr_session *s)
{
    const struct rt_plan *plan = rt_dev_plan(s->dev);
    const struct rt_caps *c = &plan->caps;
    char limits[160], head[64];

    snprintf(limits, sizeof(limits),
             "group %u of %u, shared %u, range %" PRIu64 ", arena %" PRIu64 ", subgroup %u",
             plan->group, c->group_invocations, c->shared_bytes, plan->range_bytes,
             plan->arena_bytes, c->subgroup_size);
    snprintf(head, sizeof(head), "%u columns at once", s->model->chunks.vocab);
    const char *const rows[][2] = {
        {"api", c->api},    {"device", c->name}, {"driver", c->driver},
        {"limits", limits}, {"head", head},      {"f64", rt_dev_is_f64(s->dev) ? "y" : "n"}};
    fmt_jw_object(w);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        fmt_jw_put_str(w, rows[i][0], rows[i][1]);
    }
    write_rungs(w, plan->rungs);
    write_products(w, s->model);
    if (s->model->arch.experts)
        fmt_jw_put_str(w, "products of experts",
                       op_matmul_variant_name(op_experts_choice(s->dev, s->model->storage)));
    fmt_jw_end(w);
}
