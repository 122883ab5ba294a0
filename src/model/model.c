// Opening a model: everything that a pass needs is allocated here, once.
#include "src/model/internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/op/colsum.h"
#include "src/op/norm.h"
#include "src/op/route.h"
#include "src/op/rows.h"

static enum rt_type slot_type(const struct md_model *m, const struct md_slot *s)
{
    if (s->kind == MD_INDEX)
        return RT_U32;
    return s->kind == MD_STORED && !s->wide ? m->storage : RT_F32;
}

static enum rt_err make_slots(struct md_model *m)
{
    enum rt_err err = RT_OK;
    const struct md_graph *g = &m->graph;

    m->slots = calloc((size_t) g->n_slots, sizeof(*m->slots));
    if (!m->slots)
        RT_TRY(rt_fail(RT_E_NOMEM, "out of memory: list of %d buffers", g->n_slots));
    for (int i = 0; i < g->n_slots; i++) {
        const struct md_slot *s = &g->slots[i];
        const uint64_t rows = s->scored ? m->max_rows : (uint64_t) s->times * m->max_tokens;
        const uint64_t cols = s->kind == MD_SCALAR ? s->cols : op_stride(s->cols);
        const uint64_t n = s->kind == MD_INDEX
                               ? op_route_words(m->max_tokens, m->arch.experts, m->arch.top_k)
                               : rows * cols;
        RT_TRY(rt_buf_create(m->dev, slot_type(m, s), n, "activations", &m->slots[i]));
    }
done:
    return err;
}

static enum rt_err make_rope_table(struct md_model *m, const struct md_rope *rope, bool is_long,
                                   struct md_rope_table *out)
{
    enum rt_err err = RT_OK;
    const uint32_t half = m->arch.rot_dim / 2;
    const uint64_t n = (uint64_t) m->max_positions * half;
    const double factor = rope->attention_factor > 0.0 ? rope->attention_factor : 1.0;
    double *x = malloc((n + half) * sizeof(*x)), *freq = x + n;

    if (!x)
        RT_TRY(rt_fail(RT_E_NOMEM, "out of memory: rope table of %u positions", m->max_positions));
    md_rope_frequencies(rope, m->arch.rot_dim, is_long, freq);
    RT_TRY(rt_buf_create(m->dev, RT_F32, n, "rope cos", &out->cos));
    RT_TRY(rt_buf_create(m->dev, RT_F32, n, "rope sin", &out->sin));
    for (uint64_t i = 0; i < n; i++)
        x[i] = factor * cos((double) (i / half) * freq[i % half]);
    RT_TRY(rt_buf_write(out->cos, 0, n, RT_F64, x));
    for (uint64_t i = 0; i < n; i++)
        x[i] = factor * sin((double) (i / half) * freq[i % half]);
    RT_TRY(rt_buf_write(out->sin, 0, n, RT_F64, x));
done:
    free(x);
    return err;
}

static enum rt_err make_rope(struct md_model *m)
{
    enum rt_err err = RT_OK;
    const struct md_rope *rope = &m->arch.rope;
    bool local = false;

    for (uint32_t l = 0; l < m->arch.layers; l++)
        local = local || m->arch.layer[l] & MD_LAYER_LOCAL_ROPE;
    if (m->arch.family->learned_positions)
        goto done;
    RT_TRY(make_rope_table(m, rope, false, &m->rope[MD_ROPE_MAIN]));
    if (local)
        RT_TRY(make_rope_table(m, &m->arch.local_rope, false, &m->rope[MD_ROPE_LOCAL]));
    if (rope->scaling == MD_ROPE_LONGROPE && m->max_positions > rope->original_max_positions)
        RT_TRY(make_rope_table(m, rope, true, &m->rope[MD_ROPE_LONG]));
done:
    return err;
}

// Positions that the model was not made for: a warning where they can be computed. Where not, an
// error in training, whose longest sequence is known; else a text may stay below them, and a pass
// that does not is refused.
static enum rt_err check_positions(struct md_model *m, const struct md_model_desc *desc)
{
    const uint32_t most = m->arch.max_positions;
    const bool table = m->arch.family->learned_positions;
    const char *why = table ? "the model has no more positions than config.json's n_positions"
                            : "with rope type dynamic no more than max_position_embeddings are "
                              "supported";
    if (m->max_positions <= most)
        return RT_OK;
    if ((table || m->arch.rope.scaling == MD_ROPE_DYNAMIC) && desc->train)
        return rt_fail(RT_E_UNSUPPORTED, "%s: sequences of %u tokens, %s (%u)", desc->folder,
                       m->max_positions, why, most);
    if (table || m->arch.rope.scaling == MD_ROPE_DYNAMIC)
        m->max_positions = most;
    else if (!rt_dev_is_dry(m->dev))
        log_warn("%s: sequences of %u tokens, the model was made for %u", desc->folder,
                 m->max_positions, most);
    return RT_OK;
}

static enum rt_err make_index(struct md_model *m)
{
    enum rt_err err = RT_OK;
    const uint64_t attn = op_attention_index_max(m->dev, m->max_tokens, m->max_segments);
    const uint64_t embed = op_scatter_words(m->max_tokens), rows = op_scatter_words(m->max_rows);
    const uint64_t most = u64_max(u64_max(attn, embed), rows);

    RT_REQUIRE(most <= UINT32_MAX, RT_E_ARG);
    m->n_words = (uint32_t) most;
    m->words = malloc(most * sizeof(*m->words));
    if (!m->words)
        RT_TRY(rt_fail(RT_E_NOMEM, "out of memory: index of %u tokens", m->max_tokens));
    RT_TRY(rt_buf_create(m->dev, RT_U32, attn, "attention index", &m->attn_index));
    RT_TRY(rt_buf_create(m->dev, RT_U32, embed, "embedding index", &m->embed_index));
    RT_TRY(rt_buf_create(m->dev, RT_U32, rows, "row index", &m->rows_index));
    if (m->arch.family->learned_positions)
        RT_TRY(rt_buf_create(m->dev, RT_U32, embed, "position index", &m->pos_index));
    RT_TRY(rt_buf_create(m->dev, RT_U32, m->max_tokens, "token ids", &m->ids));
    RT_TRY(rt_buf_create(m->dev, RT_U32, m->max_tokens, "positions", &m->pos));
    RT_TRY(rt_buf_create(m->dev, RT_U32, m->max_rows, "scored rows", &m->rows));
    RT_TRY(rt_buf_create(m->dev, RT_U32, m->max_rows, "targets", &m->targets));
    RT_TRY(rt_buf_create(m->dev, RT_U32, (uint64_t) m->max_seqs + 1, "sequence starts",
                         &m->seq_starts));
done:
    return err;
}

// The largest scratch that the products of a linear with `rows` outputs ask for.
static uint64_t linear_scratch(const struct md_model *m, bool train, uint32_t rows, uint32_t cols)
{
    uint64_t most = op_matmul_scratch(m->dev, OP_NT, m->storage, m->max_tokens, rows, cols);
    if (!train)
        return most;
    most = u64_max(most, op_matmul_scratch(m->dev, OP_NN, m->storage, m->max_tokens, cols, rows));
    return u64_max(most, op_matmul_scratch(m->dev, OP_TN, m->storage, rows, cols, m->max_tokens));
}

// What a node asks for: products, and sums over rows.
static uint64_t node_scratch(const struct md_model *m, bool train, const struct md_node *n)
{
    const uint32_t rows = u32_max(m->max_tokens, m->max_rows), cols = m->graph.tensors[n->out].cols;
    uint64_t most = 0;

    if (n->op == MD_OP_NORM && train)
        return op_norm_scratch(rows * n->heads, cols / n->heads);
    if (n->op != MD_OP_LINEAR)
        return 0;
    most = linear_scratch(m, train, cols, md_weight_of(m, n)->cols);
    if (n->adapted) {
        const uint32_t r = m->adapter.rank;
        most = u64_max(most, linear_scratch(m, train, cols, r));
        most = u64_max(most, linear_scratch(m, train, r, md_weight_of(m, n)->cols));
    }
    if (n->adapted && m->adapter.peft.use_dora) {
        const uint32_t in = md_weight_of(m, n)->cols;
        most = u64_max(
            most, op_matmul_scratch(m->dev, OP_NN, m->storage, MD_DORA_ROWS, in, m->adapter.rank));
        most = u64_max(most, train ? op_colsum_scratch(rows, cols) : 0);
    }
    if (train && n->bias != MD_WEIGHT_COUNT)
        most = u64_max(most, op_colsum_scratch(rows, cols));
    return most;
}

// The largest scratch that any op of the walk asks for.
static uint64_t scratch_size(const struct md_model *m, const struct md_model_desc *desc,
                             const struct op_logprob_sizes *head)
{
    uint64_t most = head->matmul;
    for (int i = 0; i < m->graph.n_nodes; i++)
        most = u64_max(most, node_scratch(m, desc->train, &m->graph.nodes[i]));
    const struct op_attention_args a = {.n_tokens = m->max_tokens,
                                        .n_keys = u32_max(m->max_tokens, desc->max_keys),
                                        .n_heads = m->arch.heads,
                                        .n_kv_heads = m->arch.kv_heads,
                                        .head_dim = m->arch.head_dim};
    most = u64_max(most, op_attention_scratch(m->dev, &a, false));
    if (desc->train)
        most = u64_max(most, op_attention_scratch(m->dev, &a, true));
    return u64_max(most, 1);
}

const char *md_head_way(const struct md_model *m)
{
    return md_head_frozen(m) ? "one sweep" : m->may_keep ? "logits kept" : "logits recomputed";
}

// f32 elements of logits: those of a chunk, or all where they are kept for the backward, as they
// are wherever they are no more.
static uint64_t logits_size(struct md_model *m, const struct md_model_desc *desc, uint64_t chunk)
{
    const uint64_t all = op_logprob_all_logits(m->dev, m->max_rows, m->arch.vocab, m->chunks);
    const uint64_t most = rt_dev_plan(m->dev)->caps.alloc_bytes / sizeof(float);

    m->may_keep = desc->train && !md_head_frozen(m) &&
                  (all <= chunk || (all <= most && !md_again_logits(desc->recompute)));
    return u64_max(u64_max(m->may_keep ? all : 0, chunk), 8192); // md_logits
}

static enum rt_err make_head(struct md_model *m, const struct md_model_desc *desc)
{
    enum rt_err err = RT_OK;
    const struct md_param *p = md_params_get(&m->params, MD_HEAD, 0);
    struct op_logprob_sizes s;

    m->chunks = (struct op_logprob_chunks){.rows = 1024, .vocab = 8192};
    s = op_logprob_sizes(m->dev, m->storage, m->max_rows, p->cols, p->rows, m->chunks, desc->train);
    RT_TRY(rt_buf_create(m->dev, RT_F32, scratch_size(m, desc, &s), "scratch", &m->scratch));
    RT_TRY(
        rt_buf_create(m->dev, RT_F32, logits_size(m, desc, s.logits), "logits", &m->head.logits));
    RT_TRY(rt_buf_create(m->dev, RT_F32, u64_max(s.state, 1), "head state", &m->head.state));
    if (desc->train)
        RT_TRY(rt_buf_create(m->dev, m->storage, u64_max(s.dlogits, 1), "logits' gradient",
                             &m->head.dlogits));
    m->head.matmul = m->scratch;
    RT_TRY(rt_buf_create(m->dev, RT_F32, (uint64_t) m->max_rows * OP_LOGPROB_COLUMNS, "scores",
                         &m->scored));
    RT_TRY(rt_buf_create(m->dev, RT_F32, m->max_seqs, "sequence log-probs", &m->seq_logp));
done:
    return err;
}

static enum rt_err make_backward(struct md_model *m)
{
    enum rt_err err = RT_OK;
    RT_TRY(rt_buf_create(m->dev, RT_F32, m->max_rows, "row coefficients", &m->row_coef));
    RT_TRY(rt_buf_create(m->dev, RT_F32, (uint64_t) m->arch.heads * m->max_tokens,
                         "attention delta", &m->delta));
    if (m->storage != RT_F32)
        RT_TRY(rt_buf_create(m->dev, m->storage,
                             (uint64_t) m->max_tokens * op_stride(m->arch.hidden),
                             "stream gradient, rounded", &m->dy));
done:
    return err;
}

static enum rt_err make_weights(struct md_model *m, const struct md_model_desc *desc)
{
    enum rt_err err = RT_OK;

    RT_TRY(md_flat_create(m->dev, &m->params, m->storage, "weights", &m->work));
    if (desc->train && !desc->peft)
        RT_TRY(md_flat_add_low("masters beside weights", &m->work));
    RT_TRY(md_weights_load(&m->params, desc->folder, desc->load_dtype, &m->work));
done:
    return err;
}

// DoRA's buffers; of a new adapter the magnitudes are the norms of the weights, so that it changes
// nothing at first.
static enum rt_err make_dora(struct md_model *m, const struct md_model_desc *desc, uint32_t widest)
{
    enum rt_err err = RT_OK;
    const uint64_t ld = op_stride(widest);

    RT_TRY(rt_buf_create(m->dev, RT_F32, MD_DORA_ROWS * ld, "dora products", &m->dora_d));
    RT_TRY(rt_buf_create(m->dev, RT_F32, round_up(ld, 128), "dora factors", &m->dora_factor));
    RT_TRY(rt_buf_create(m->dev, RT_F32, round_up(ld, 128), "dora norms", &m->dora_norm));
    if (desc->train)
        RT_TRY(rt_buf_create(m->dev, m->storage, m->max_tokens * ld, "dora gradient", &m->dora_dz));
    RT_TRY(md_dora_check(m));
    if (!desc->adapter)
        RT_TRY(md_dora_init(m));
done:
    return err;
}

// The adapter's tensors, and what an adapted linear needs beside them.
static enum rt_err make_adapter(struct md_model *m, const struct md_model_desc *desc)
{
    enum rt_err err = RT_OK;
    const struct md_params *list = &m->adapter.params;
    struct md_flat *to = &m->adapter_work;
    uint32_t widest = m->adapter.rank;

    for (uint32_t i = 0; i < list->n; i++)
        widest = u32_max(widest, list->all[i].part == MD_PART_LORA_A   ? list->all[i].cols
                                 : list->all[i].part == MD_PART_LORA_B ? list->all[i].rows
                                                                       : 1);
    const uint64_t sum = (uint64_t) m->max_tokens * op_stride(widest),
                   dt = (uint64_t) m->max_tokens * op_stride(m->adapter.rank);
    RT_TRY(rt_buf_create(m->dev, RT_F32, sum, "sums of adapters", &m->adapter_sum));
    if (desc->train)
        RT_TRY(rt_buf_create(m->dev, m->storage, dt, "adapter gradient", &m->adapter_dt));
    if (desc->drop) {
        RT_TRY(rt_buf_create(m->dev, m->storage, sum, "adapter dropout", &m->adapter_x));
        RT_TRY(rt_buf_create(m->dev, RT_F32, sum, "adapter dropout gradient", &m->adapter_dx));
    }
    RT_TRY(md_flat_create(m->dev, list, m->storage, "adapter", to));
    if (desc->train)
        RT_TRY(md_flat_add_low("masters beside the adapter", to));
    if (desc->adapter)
        RT_TRY(md_adapter_load(&m->adapter, desc->adapter, to));
    else
        RT_TRY(md_adapter_init(&m->adapter, desc->folder, desc->load_dtype, desc->seed, to));
    if (m->adapter.peft.use_dora)
        RT_TRY(make_dora(m, desc, widest));
done:
    return err;
}

enum rt_err md_model_open(struct rt_dev *dev, const struct md_model_desc *desc,
                          struct md_model **out)
{
    enum rt_err err = RT_OK;
    struct md_model *m = calloc(1, sizeof(*m));
    const struct rt_plan *plan = rt_dev_plan(dev);

    *out = NULL;
    if (!m)
        RT_TRY(rt_fail(RT_E_NOMEM, "out of memory: model"));
    m->dev = dev;
    m->storage = desc->storage;
    m->max_tokens = desc->max_tokens;
    m->max_segments = desc->max_segments;
    m->max_rows = u32_max(desc->max_rows, 1);
    m->max_seqs = u32_max(desc->max_seqs, 1);
    m->max_positions = desc->max_positions;
    RT_REQUIRE(m->max_tokens && m->max_segments && m->max_positions, RT_E_ARG);
    RT_TRY(md_arch_read(desc->folder, &m->arch));
    RT_TRY(check_positions(m, desc));
    RT_TRY(md_params_make(&m->arch, md_room_of(plan), &m->params));
    if (desc->peft)
        RT_TRY(md_adapter_make(&m->arch, &m->params, desc->peft, md_room_of(plan), &m->adapter));
    RT_TRY(md_graph_make(&m->arch, &m->adapter, desc->train, desc->recompute, &m->graph));
    RT_TRY(make_weights(m, desc));
    if (desc->peft)
        RT_TRY(make_adapter(m, desc));
    RT_TRY(make_slots(m));
    RT_TRY(make_rope(m));
    RT_TRY(make_index(m));
    RT_TRY(md_experts_make(m, desc));
    RT_TRY(make_head(m, desc));
    if (desc->train)
        RT_TRY(make_backward(m));
    *out = m;
    m = NULL;
done:
    md_model_close(&m);
    return err;
}

void md_model_close(struct md_model **model)
{
    struct md_model *m = *model;
    if (!m)
        return;
    struct rt_buf **const single[] = {
        &m->pos_index,  &m->ids,         &m->pos,         &m->rows,        &m->targets,
        &m->seq_starts, &m->attn_index,  &m->embed_index, &m->rows_index,  &m->scored,
        &m->seq_logp,   &m->row_coef,    &m->scratch,     &m->head.logits, &m->head.dlogits,
        &m->head.state, &m->delta,       &m->dy,          &m->adapter_sum, &m->adapter_dt,
        &m->dora_d,     &m->dora_factor, &m->dora_norm,   &m->dora_dz,     &m->adapter_x,
        &m->adapter_dx,
    };
    for (size_t i = 0; i < COUNT_OF(single); i++)
        rt_buf_destroy(single[i]);
    for (int i = 0; i < MD_ROPE_TABLES; i++) {
        rt_buf_destroy(&m->rope[i].cos);
        rt_buf_destroy(&m->rope[i].sin);
    }
    for (int i = 0; m->slots && i < m->graph.n_slots; i++)
        rt_buf_destroy(&m->slots[i]);
    free(m->slots);
    md_experts_free(m);
    md_flat_destroy(&m->work);
    md_flat_destroy(&m->adapter_work);
    md_flat_destroy(&m->adapter_ref);
    md_adapter_free(&m->adapter);
    md_graph_free(&m->graph);
    md_params_free(&m->params);
    free(m->words);
    free(m);
    *model = NULL;
}

struct md_weights md_policy(const struct md_model *m)
{
    return (struct md_weights){&m->work, m->adapter_work.n ? &m->adapter_work : NULL};
}

struct md_trained md_trained_of(struct md_model *m)
{
    if (m->adapter_work.n)
        return (struct md_trained){&m->adapter.params, &m->adapter_work};
    return (struct md_trained){&m->params, &m->work};
}

// ---- A pass -----------------------------------------------------------------------------------

static enum rt_err check_batch(const struct md_model *m, const struct md_batch *b)
{
    enum rt_err err = RT_OK;
    RT_REQUIRE(b->n_tokens >= 1 && b->n_tokens <= m->max_tokens, RT_E_ARG);
    RT_REQUIRE(b->n_segments <= m->max_segments && b->n_rows <= m->max_rows &&
                   b->n_seqs <= m->max_seqs,
               RT_E_ARG);
    for (uint32_t i = 0; i < b->n_tokens; i++)
        if (b->ids[i] >= m->arch.vocab || b->pos[i] >= m->max_positions)
            RT_TRY(rt_fail(
                RT_E_ARG,
                "token %u: id %u at position %u; the model has %u ids, the pass %u positions", i,
                b->ids[i], b->pos[i], m->arch.vocab, m->max_positions));
    for (uint32_t i = 0; i < b->n_rows; i++)
        RT_REQUIRE(b->rows[i] < b->n_tokens && b->targets[i] < m->arch.vocab, RT_E_ARG);
done:
    return err;
}

// n words to a buffer of the pass: in the order of cmd; NULL: now.
static enum rt_err put(struct rt_cmd *cmd, struct rt_buf *to, uint64_t n, const uint32_t *words)
{
    return cmd ? rt_cmd_write(cmd, to, 0, n, RT_U32, words) : rt_buf_write(to, 0, n, RT_U32, words);
}

static enum rt_err load_positions(struct md_model *m, struct rt_cmd *cmd, const struct md_batch *b)
{
    enum rt_err err = RT_OK;
    uint32_t most = 0;

    for (uint32_t i = 0; i < b->n_tokens; i++)
        most = u32_max(most, b->pos[i]);
    m->now_long = m->rope[MD_ROPE_LONG].cos && most >= m->arch.rope.original_max_positions;
    if (!m->pos_index)
        goto done;
    m->n_pos_ids = op_scatter_index(b->pos, b->n_tokens, m->words);
    RT_TRY(put(cmd, m->pos_index, op_scatter_words(b->n_tokens), m->words));
done:
    return err;
}

enum rt_err md_pass_write(struct md_model *m, struct rt_cmd *cmd, const struct md_batch *b)
{
    enum rt_err err = RT_OK;

    RT_TRY(check_batch(m, b));
    m->now = (struct md_batch){.n_tokens = b->n_tokens,
                               .n_segments = b->n_segments,
                               .n_rows = b->n_rows,
                               .n_seqs = b->n_seqs};
    RT_TRY(put(cmd, m->ids, b->n_tokens, b->ids));
    RT_TRY(put(cmd, m->pos, b->n_tokens, b->pos));
    if (m->counts && b->counts)
        RT_TRY(put(cmd, m->counts, b->n_tokens, b->counts));
    RT_TRY(op_attention_index(m->dev, b->segs, b->n_segments, m->words, m->n_words, &m->attn));
    RT_TRY(put(cmd, m->attn_index, m->attn.words, m->words));
    m->n_embed_ids = op_scatter_index(b->ids, b->n_tokens, m->words);
    for (uint32_t i = 0; i < m->n_embed_ids && !m->arch.family->trains_pad; i++)
        if (m->arch.pad >= 0 && m->words[i] == (uint32_t) m->arch.pad)
            m->words[i] = UINT32_MAX; // no row: adds nothing
    RT_TRY(put(cmd, m->embed_index, op_scatter_words(b->n_tokens), m->words));
    RT_TRY(load_positions(m, cmd, b));
    if (b->n_rows == 0)
        goto done;
    m->n_row_ids = op_scatter_index(b->rows, b->n_rows, m->words);
    RT_TRY(put(cmd, m->rows_index, op_scatter_words(b->n_rows), m->words));
    RT_TRY(put(cmd, m->rows, b->n_rows, b->rows));
    RT_TRY(put(cmd, m->targets, b->n_rows, b->targets));
    RT_TRY(put(cmd, m->seq_starts, (uint64_t) b->n_seqs + 1, b->seq_starts));
done:
    if (err != RT_OK)
        m->now = (struct md_batch){0};
    return err;
}

enum rt_err md_pass_load(struct md_model *m, const struct md_batch *b)
{
    return md_pass_write(m, NULL, b);
}

enum rt_err md_cache_create(const struct md_model *m, uint32_t capacity, struct md_cache *out)
{
    enum rt_err err = RT_OK;
    const uint64_t n = (uint64_t) capacity * op_stride(m->arch.kv_heads * m->arch.head_dim);

    *out = (struct md_cache){.capacity = capacity};
    out->k = calloc(m->arch.layers, sizeof(*out->k));
    out->v = calloc(m->arch.layers, sizeof(*out->v));
    if (!out->k || !out->v)
        RT_TRY(rt_fail(RT_E_NOMEM, "out of memory: key and value cache"));
    for (uint32_t l = 0; l < m->arch.layers; l++) {
        RT_TRY(rt_buf_create(m->dev, m->storage, n, "key cache", &out->k[l]));
        RT_TRY(rt_buf_create(m->dev, m->storage, n, "value cache", &out->v[l]));
    }
done:
    if (err != RT_OK)
        md_cache_destroy(m, out);
    return err;
}

void md_cache_destroy(const struct md_model *m, struct md_cache *cache)
{
    for (uint32_t l = 0; cache->k && l < m->arch.layers; l++)
        rt_buf_destroy(&cache->k[l]);
    for (uint32_t l = 0; cache->v && l < m->arch.layers; l++)
        rt_buf_destroy(&cache->v[l]);
    free(cache->k);
    free(cache->v);
    *cache = (struct md_cache){0};
}

struct rt_buf *md_activation(const struct md_model *m, const char *name, uint32_t layer,
                             uint32_t *cols, uint32_t *ld)
{
    const int t = md_graph_find(&m->graph, name, layer);
    if (t == MD_NONE)
        return NULL;
    *cols = m->graph.tensors[t].cols;
    *ld = md_ld(m, t);
    return md_buf(m, t);
}
