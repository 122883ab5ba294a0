#include "src/model/params.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/model/family.h"
#include "src/op/op.h"

static bool per_layer(enum md_weight w)
{
    return w >= MD_ATTN_NORM && w <= MD_MLP_POST_NORM;
}

// Rows and columns; no rows: a vector.
static void shape_of(const struct md_arch *a, enum md_weight w, uint32_t *rows, uint32_t *cols)
{
    const uint32_t q = a->heads * a->head_dim, kv = a->kv_heads * a->head_dim, c = a->hidden;
    const bool full = a->family->qk_norm == MD_QK_NORM_FULL;
    const uint32_t shape[MD_WEIGHT_COUNT][2] = {
        [MD_EMBED] = {a->vocab, c},
        [MD_POSITIONS] = {a->max_positions, c},
        [MD_QKV] = {q + 2 * kv, c},
        [MD_QKV_BIAS] = {0, q + 2 * kv},
        [MD_Q] = {q, c},
        [MD_Q_BIAS] = {0, q},
        [MD_K] = {kv, c},
        [MD_K_BIAS] = {0, kv},
        [MD_V] = {kv, c},
        [MD_V_BIAS] = {0, kv},
        [MD_Q_NORM] = {0, full ? q : a->head_dim},
        [MD_K_NORM] = {0, full ? kv : a->head_dim},
        [MD_O] = {c, q},
        [MD_GATE_UP] = {2 * a->ffn, c},
        [MD_GATE] = {a->ffn, c},
        [MD_GATE_BIAS] = {0, a->ffn},
        [MD_UP] = {a->ffn, c},
        [MD_UP_BIAS] = {0, a->ffn},
        [MD_DOWN] = {c, a->ffn},
        [MD_EXPERT_GATE] = {a->expert_ffn, c},
        [MD_EXPERT_UP] = {a->expert_ffn, c},
        [MD_EXPERT_DOWN] = {c, a->expert_ffn},
        [MD_ROUTER] = {a->experts, c},
        [MD_HEAD] = {a->vocab, c},
    };
    *rows = shape[w][0];
    *cols = shape[w][1] ? shape[w][1] : c; // norms, and biases of what goes to the stream
}

static bool is_table(enum md_weight w)
{
    return w == MD_EMBED || w == MD_POSITIONS || w == MD_HEAD;
}

// A name with its "%u" for the layer and behind it, of an expert, one for the expert.
static void put_name(struct md_param *q, const char *name)
{
    const char *mark = strstr(name, "%u"), *other = mark ? strstr(mark + 2, "%u") : NULL;
    if (other)
        snprintf(q->name, sizeof(q->name), "%.*s%u%.*s%u%s", (int) (mark - name), name, q->layer,
                 (int) (other - mark - 2), mark + 2, q->expert, other + 2);
    else if (mark)
        snprintf(q->name, sizeof(q->name), "%.*s%u%s", (int) (mark - name), name, q->layer,
                 mark + 2);
    else
        snprintf(q->name, sizeof(q->name), "%s", name);
}

static void add(struct md_params *p, const struct md_arch *a, enum md_weight w, uint32_t layer,
                uint32_t expert)
{
    struct md_param *q = &p->all[p->n];
    uint32_t rows;

    *q = (struct md_param){.weight = w, .layer = layer, .expert = expert};
    shape_of(a, w, &rows, &q->cols);
    q->rank = rows ? 2 : 1;
    q->rows = rows ? rows : 1;
    q->decay = rows > 0;
    q->linear = rows > 0 && !is_table(w) && !md_weight_is_routed(w);
    q->transposed = q->linear && a->family->transposed;
    put_name(q, md_family_name(a->family, w));
    if (expert == 0)
        p->at[(size_t) layer * MD_WEIGHT_COUNT + w] = (int32_t) p->n;
    p->n++;
}

static uint64_t padded(const struct md_param *q)
{
    return round_up((uint64_t) q->rows * q->ld, 128);
}

// Tensors go to chunks in order; then each chunk is laid out, decayed tensors first.
enum rt_err md_params_place(struct md_params *p, struct md_room room)
{
    enum rt_err err = RT_OK;
    uint64_t sum = 0;

    for (uint32_t k = 0; k < 2 * p->n; k++) {
        const uint32_t i = k % p->n;
        const bool f32 = k >= p->n; // the second time round those that stay f32
        if ((p->all[i].part == MD_PART_MAGNITUDE) != f32)
            continue;
        p->all[i].ld = op_stride(p->all[i].cols);
        p->elements += (uint64_t) p->all[i].rows * p->all[i].cols;
        const uint64_t size = padded(&p->all[i]);
        if (size > room.tensor)
            RT_TRY(rt_fail(
                RT_E_UNSUPPORTED, "%s: %llu elements, one allocation of the device holds %llu",
                p->all[i].name, (unsigned long long) size, (unsigned long long) room.tensor));
        if (p->n_chunks == 0 || sum > room.chunk || size > room.chunk - sum ||
            p->chunks[p->n_chunks - 1].f32 != f32) {
            if (p->n_chunks == MD_MAX_CHUNKS)
                RT_TRY(rt_fail(RT_E_UNSUPPORTED, "the model needs more than %d allocations",
                               MD_MAX_CHUNKS));
            p->chunks[p->n_chunks++].f32 = f32;
            sum = 0;
        }
        p->all[i].chunk = p->n_chunks - 1;
        sum += size;
    }
    for (int decay = 1; decay >= 0; decay--)
        for (uint32_t i = 0; i < p->n; i++) {
            struct md_chunk *c = &p->chunks[p->all[i].chunk];
            if (p->all[i].decay != (decay == 1))
                continue;
            p->all[i].first = c->count;
            c->count += padded(&p->all[i]);
            if (decay)
                c->decay = c->count;
        }
done:
    return err;
}

enum rt_err md_params_make(const struct md_arch *arch, struct md_room room, struct md_params *out)
{
    enum rt_err err = RT_OK;
    struct md_params p = {0};
    const size_t most = (size_t) arch->layers * MD_WEIGHT_COUNT;

    *out = p;
    p.all = calloc(most + 3 * (size_t) arch->layers * arch->experts, sizeof(*p.all));
    p.at = malloc(most * sizeof(*p.at));
    if (!p.all || !p.at)
        RT_TRY(rt_fail(RT_E_NOMEM, "out of memory: list of weights"));
    for (size_t i = 0; i < most; i++)
        p.at[i] = -1;
    for (enum md_weight w = 0; w < MD_ATTN_NORM; w++)
        if (md_arch_has(arch, w))
            add(&p, arch, w, 0, 0);
    for (uint32_t l = 0; l < arch->layers; l++)
        for (enum md_weight w = MD_ATTN_NORM; w <= MD_MLP_POST_NORM; w++)
            for (uint32_t e = 0; e < (md_weight_is_expert(w) ? arch->experts : 1); e++)
                if (md_arch_layer_has(arch, w, l))
                    add(&p, arch, w, l, e);
    for (enum md_weight w = MD_FINAL_NORM; w < MD_WEIGHT_COUNT; w++)
        if (md_arch_has(arch, w) && !(w == MD_HEAD && arch->tied))
            add(&p, arch, w, 0, 0);
    RT_TRY(md_params_place(&p, room));
    *out = p;
    p = (struct md_params){0};
done:
    md_params_free(&p);
    return err;
}

void md_params_free(struct md_params *p)
{
    free(p->all);
    free(p->at);
    *p = (struct md_params){0};
}

const struct md_param *md_params_get(const struct md_params *p, enum md_weight weight,
                                     uint32_t layer)
{
    const size_t row = per_layer(weight) ? layer : 0;
    const int32_t at = p->at[row * MD_WEIGHT_COUNT + weight];
    if (at < 0 && weight == MD_HEAD)
        return &p->all[p->at[MD_EMBED]];
    return at < 0 ? NULL : &p->all[at];
}
