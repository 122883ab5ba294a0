#include "src/model/params.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/op/cast.h"
#include "src/op/op.h"

// The weights of a llama-shaped decoder. `rows` and `cols` come from the description, below.
static const struct weight_row {
    enum md_weight weight;
    const char *name; // %u = layer
    bool per_layer, matrix, decay;
} WEIGHTS[] = {
    {MD_EMBED, "model.embed_tokens.weight", false, true, true},
    {MD_ATTN_NORM, "model.layers.%u.input_layernorm.weight", true, false, false},
    {MD_Q, "model.layers.%u.self_attn.q_proj.weight", true, true, true},
    {MD_K, "model.layers.%u.self_attn.k_proj.weight", true, true, true},
    {MD_V, "model.layers.%u.self_attn.v_proj.weight", true, true, true},
    {MD_O, "model.layers.%u.self_attn.o_proj.weight", true, true, true},
    {MD_MLP_NORM, "model.layers.%u.post_attention_layernorm.weight", true, false, false},
    {MD_GATE, "model.layers.%u.mlp.gate_proj.weight", true, true, true},
    {MD_UP, "model.layers.%u.mlp.up_proj.weight", true, true, true},
    {MD_DOWN, "model.layers.%u.mlp.down_proj.weight", true, true, true},
    {MD_FINAL_NORM, "model.norm.weight", false, false, false},
    {MD_HEAD, "lm_head.weight", false, true, true},
};

static void shape_of(const struct md_arch *a, enum md_weight w, uint32_t *rows, uint32_t *cols)
{
    const uint32_t q = a->heads * a->head_dim, kv = a->kv_heads * a->head_dim;
    const uint32_t shape[MD_WEIGHT_COUNT][2] = {
        [MD_EMBED] = {a->vocab, a->hidden},
        [MD_ATTN_NORM] = {1, a->hidden},
        [MD_Q] = {q, a->hidden},
        [MD_K] = {kv, a->hidden},
        [MD_V] = {kv, a->hidden},
        [MD_O] = {a->hidden, q},
        [MD_MLP_NORM] = {1, a->hidden},
        [MD_GATE] = {a->ffn, a->hidden},
        [MD_UP] = {a->ffn, a->hidden},
        [MD_DOWN] = {a->hidden, a->ffn},
        [MD_FINAL_NORM] = {1, a->hidden},
        [MD_HEAD] = {a->vocab, a->hidden},
    };
    *rows = shape[w][0];
    *cols = shape[w][1];
}

static void add(struct md_params *p, const struct md_arch *a, const struct weight_row *row,
                uint32_t layer)
{
    struct md_param *q = &p->all[p->n++];
    *q = (struct md_param){
        .weight = row->weight, .layer = layer, .rank = row->matrix ? 2 : 1, .decay = row->decay};
    q->linear = row->matrix && row->weight != MD_EMBED && row->weight != MD_HEAD;
    shape_of(a, row->weight, &q->rows, &q->cols);
    // The one place with a format from a table: every name has at most one %u.
    const char *mark = strstr(row->name, "%u");
    if (mark)
        snprintf(q->name, sizeof(q->name), "%.*s%u%s", (int) (mark - row->name), row->name, layer,
                 mark + 2);
    else
        snprintf(q->name, sizeof(q->name), "%s", row->name);
}

static uint64_t padded(const struct md_param *q)
{
    return round_up((uint64_t) q->rows * q->ld, 128);
}

// Tensors go to chunks in order; then each chunk is laid out, decayed tensors first.
enum rt_err md_params_place(struct md_params *p, uint64_t max_elements)
{
    enum rt_err err = RT_OK;
    uint64_t sum = 0;

    for (uint32_t i = 0; i < p->n; i++) {
        p->all[i].ld = op_stride(p->all[i].cols);
        p->elements += (uint64_t) p->all[i].rows * p->all[i].cols;
        const uint64_t size = padded(&p->all[i]);
        if (size > max_elements)
            RT_TRY(rt_fail(
                RT_E_UNSUPPORTED, "%s: %llu elements, one allocation of the device holds %llu",
                p->all[i].name, (unsigned long long) size, (unsigned long long) max_elements));
        if (p->n_chunks == 0 || size > max_elements - sum) {
            if (p->n_chunks == MD_MAX_CHUNKS)
                RT_TRY(rt_fail(RT_E_UNSUPPORTED, "the model needs more than %d allocations",
                               MD_MAX_CHUNKS));
            p->n_chunks++;
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

enum rt_err md_params_make(const struct md_arch *arch, uint64_t max_elements, struct md_params *out)
{
    enum rt_err err = RT_OK;
    struct md_params p = {0};

    *out = p;
    p.all = calloc((size_t) arch->layers * COUNT_OF(WEIGHTS) + COUNT_OF(WEIGHTS), sizeof(*p.all));
    if (!p.all)
        RT_TRY(rt_fail(RT_E_NOMEM, "out of memory: list of weights"));
    add(&p, arch, &WEIGHTS[MD_EMBED], 0);
    for (uint32_t l = 0; l < arch->layers; l++)
        for (size_t i = 0; i < COUNT_OF(WEIGHTS); i++)
            if (WEIGHTS[i].per_layer)
                add(&p, arch, &WEIGHTS[i], l);
    add(&p, arch, &WEIGHTS[MD_FINAL_NORM], 0);
    if (!arch->tied)
        add(&p, arch, &WEIGHTS[MD_HEAD], 0);
    RT_TRY(md_params_place(&p, max_elements));
    *out = p;
    p.all = NULL;
done:
    free(p.all);
    return err;
}

void md_params_free(struct md_params *p)
{
    free(p->all);
    *p = (struct md_params){0};
}

const struct md_param *md_params_get(const struct md_params *p, enum md_weight weight,
                                     uint32_t layer)
{
    const uint32_t per_layer = MD_DOWN - MD_ATTN_NORM + 1, last = p->n - 1;
    if (weight == MD_EMBED)
        return &p->all[0];
    if (weight == MD_HEAD)
        return p->all[last].weight == MD_HEAD ? &p->all[last] : &p->all[0];
    if (weight == MD_FINAL_NORM)
        return &p->all[last - (p->all[last].weight == MD_HEAD)];
    return &p->all[1 + layer * per_layer + (uint32_t) (weight - MD_ATTN_NORM)];
}

enum rt_err md_flat_create(struct rt_dev *dev, const struct md_params *params, enum rt_type type,
                           const char *name, struct md_flat *out)
{
    enum rt_err err = RT_OK;
    *out = (struct md_flat){0};
    for (uint32_t i = 0; i < params->n_chunks; i++) {
        RT_TRY(rt_buf_create(dev, type, params->chunks[i].count, name, &out->chunk[i]));
        out->n = i + 1;
    }
done:
    if (err != RT_OK)
        md_flat_destroy(out);
    return err;
}

void md_flat_destroy(struct md_flat *flat)
{
    for (uint32_t i = 0; i < flat->n; i++)
        rt_buf_destroy(&flat->chunk[i]);
    flat->n = 0;
}

enum rt_err md_flat_cast(struct rt_cmd *cmd, const struct md_flat *from, struct md_flat *to)
{
    enum rt_err err = RT_OK;
    for (uint32_t i = 0; i < from->n; i++) {
        const uint64_t n = rt_buf_count(from->chunk[i]);
        if (rt_buf_type(from->chunk[i]) == rt_buf_type(to->chunk[i]))
            RT_TRY(rt_cmd_copy(cmd, from->chunk[i], 0, to->chunk[i], 0, n));
        else
            RT_TRY(op_cast(cmd,
                           &(struct op_cast_args){.x = from->chunk[i], .y = to->chunk[i], .n = n}));
    }
done:
    return err;
}

enum rt_err md_flat_zero(struct rt_cmd *cmd, struct md_flat *flat)
{
    enum rt_err err = RT_OK;
    for (uint32_t i = 0; i < flat->n; i++)
        RT_TRY(rt_cmd_zero(cmd, flat->chunk[i], 0, rt_buf_count(flat->chunk[i])));
done:
    return err;
}

// Rows go one by one when they are padded, at once when they are not.
enum rt_err md_flat_write(struct md_flat *flat, const struct md_param *p, uint32_t row,
                          uint32_t n_rows, const float *x)
{
    enum rt_err err = RT_OK;
    struct rt_buf *b = flat->chunk[p->chunk];
    const uint64_t at = p->first + (uint64_t) row * p->ld;

    if (p->ld == p->cols) {
        RT_TRY(rt_buf_write(b, at, (uint64_t) n_rows * p->cols, RT_F32, x));
        goto done;
    }
    for (uint32_t i = 0; i < n_rows; i++)
        RT_TRY(
            rt_buf_write(b, at + (uint64_t) i * p->ld, p->cols, RT_F32, x + (size_t) i * p->cols));
done:
    return err;
}

enum rt_err md_flat_read(const struct md_flat *flat, const struct md_param *p, uint32_t row,
                         uint32_t n_rows, float *x)
{
    enum rt_err err = RT_OK;
    const struct rt_buf *b = flat->chunk[p->chunk];
    const uint64_t at = p->first + (uint64_t) row * p->ld;

    if (p->ld == p->cols) {
        RT_TRY(rt_buf_read(b, at, (uint64_t) n_rows * p->cols, RT_F32, x));
        goto done;
    }
    for (uint32_t i = 0; i < n_rows; i++)
        RT_TRY(
            rt_buf_read(b, at + (uint64_t) i * p->ld, p->cols, RT_F32, x + (size_t) i * p->cols));
done:
    return err;
}
