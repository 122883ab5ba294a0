#include "src/model/graph.h"

#include <stdlib.h>
#include <string.h>

// ---- Expansion --------------------------------------------------------------------------------

static int tensor(struct md_graph *g, const char *name, uint32_t layer, uint32_t cols,
                  enum md_kind kind)
{
    g->tensors[g->n_tensors] = (struct md_tensor){
        .name = name, .layer = layer, .cols = cols, .kind = kind, .slot = MD_NONE, .grad = MD_NONE};
    return g->n_tensors++;
}

static int node(struct md_graph *g, struct md_node n)
{
    for (int i = 0; i < 3; i++)
        if (n.in[i] != MD_NONE)
            g->tensors[n.in[i]].readers++;
    g->nodes[g->n_nodes++] = n;
    return n.out;
}

static int norm(struct md_graph *g, enum md_weight w, uint32_t layer, int x, const char *name)
{
    const int out = tensor(g, name, layer, g->tensors[x].cols, MD_STORED);
    const int rstd = tensor(g, "rstd", layer, 1, MD_SCALAR);
    g->tensors[out].scored = g->tensors[rstd].scored = g->tensors[x].scored;
    return node(g, (struct md_node){.op = MD_OP_NORM,
                                    .layer = layer,
                                    .weight = w,
                                    .in = {x, MD_NONE, MD_NONE},
                                    .out = out,
                                    .aux = rstd});
}

// A projection; onto `stream` when that is not MD_NONE.
static int linear(struct md_graph *g, enum md_weight w, uint32_t layer, int x, int stream,
                  uint32_t cols, const char *name)
{
    const int out = tensor(g, name, layer, cols, stream == MD_NONE ? MD_STORED : MD_STREAM);
    return node(g, (struct md_node){.op = MD_OP_LINEAR,
                                    .layer = layer,
                                    .weight = w,
                                    .in = {x, stream, MD_NONE},
                                    .out = out,
                                    .aux = MD_NONE});
}

static int rope(struct md_graph *g, uint32_t layer, int x, const char *name)
{
    const int out = tensor(g, name, layer, g->tensors[x].cols, MD_STORED);
    return node(g, (struct md_node){.op = MD_OP_ROPE,
                                    .layer = layer,
                                    .weight = MD_WEIGHT_COUNT,
                                    .in = {x, MD_NONE, MD_NONE},
                                    .out = out,
                                    .aux = MD_NONE});
}

static int attention(struct md_graph *g, const struct md_arch *a, uint32_t l, int x)
{
    const uint32_t q_cols = a->heads * a->head_dim, k_cols = a->kv_heads * a->head_dim;
    const int q = rope(g, l, linear(g, MD_Q, l, x, MD_NONE, q_cols, "q_raw"), "q");
    const int k = rope(g, l, linear(g, MD_K, l, x, MD_NONE, k_cols, "k_raw"), "k");
    const int v = linear(g, MD_V, l, x, MD_NONE, k_cols, "v");
    const int out = tensor(g, "attn", l, q_cols, MD_STORED),
              lse = tensor(g, "lse", l, a->heads, MD_SCALAR);
    return node(g, (struct md_node){.op = MD_OP_ATTENTION,
                                    .layer = l,
                                    .weight = MD_WEIGHT_COUNT,
                                    .in = {q, k, v},
                                    .out = out,
                                    .aux = lse});
}

static int mlp(struct md_graph *g, const struct md_arch *a, uint32_t l, int x)
{
    const int gate = linear(g, MD_GATE, l, x, MD_NONE, a->ffn, "gate");
    const int up = linear(g, MD_UP, l, x, MD_NONE, a->ffn, "up");
    const int out = tensor(g, "act", l, a->ffn, MD_STORED);
    return node(g, (struct md_node){.op = MD_OP_SWIGLU,
                                    .layer = l,
                                    .weight = MD_WEIGHT_COUNT,
                                    .in = {gate, up, MD_NONE},
                                    .out = out,
                                    .aux = MD_NONE});
}

static void expand(struct md_graph *g, const struct md_arch *a)
{
    int x = tensor(g, "embed", 0, a->hidden, MD_STREAM), rows;
    node(g, (struct md_node){.op = MD_OP_EMBED,
                             .weight = MD_EMBED,
                             .in = {MD_NONE, MD_NONE, MD_NONE},
                             .out = x,
                             .aux = MD_NONE});
    for (uint32_t l = 0; l < a->layers; l++) {
        int y = attention(g, a, l, norm(g, MD_ATTN_NORM, l, x, "attn_norm"));
        x = linear(g, MD_O, l, y, x, a->hidden, "attn_stream");
        y = mlp(g, a, l, norm(g, MD_MLP_NORM, l, x, "mlp_norm"));
        x = linear(g, MD_DOWN, l, y, x, a->hidden, "stream");
    }
    rows = tensor(g, "scored", 0, a->hidden, MD_STREAM);
    g->tensors[rows].scored = true;
    node(g, (struct md_node){.op = MD_OP_ROWS,
                             .weight = MD_WEIGHT_COUNT,
                             .in = {x, MD_NONE, MD_NONE},
                             .out = rows,
                             .aux = MD_NONE});
    g->last = norm(g, MD_FINAL_NORM, 0, rows, "final");
}

// ---- What is trained --------------------------------------------------------------------------

// Linears with an adapter keep scale * A x.
static void add_adapter(struct md_graph *g, const struct md_adapter *a)
{
    for (int i = 0; i < g->n_nodes; i++) {
        struct md_node *n = &g->nodes[i];
        n->adapted = n->op == MD_OP_LINEAR && md_adapter_of(a, n->weight, n->layer).a >= 0;
        if (n->adapted)
            n->aux = tensor(g, "adapter", n->layer, a->rank, MD_STORED);
        if (n->adapted)
            g->tensors[n->aux].scored = g->tensors[n->out].scored;
    }
}

static bool trains(const struct md_node *n, const struct md_adapter *a)
{
    if (n->weight == MD_WEIGHT_COUNT)
        return false;
    return !md_adapter_any(a) || md_adapter_of(a, n->weight, n->layer).full >= 0;
}

// What the backward of a node reads. The gradient of a frozen linear's input needs the weight only.
static void mark_saved(struct md_graph *g, const struct md_node *n)
{
    const bool inputs = n->op == MD_OP_NORM || n->op == MD_OP_ATTENTION || n->op == MD_OP_SWIGLU ||
                        (n->op == MD_OP_LINEAR && (n->trains || n->adapted));
    for (int k = 0; k < (n->op == MD_OP_LINEAR ? 1 : 3); k++)
        if (inputs && n->in[k] != MD_NONE)
            g->tensors[n->in[k]].saved = true;
    if (n->op == MD_OP_ATTENTION)
        g->tensors[n->out].saved = true;
    if (n->aux != MD_NONE)
        g->tensors[n->aux].saved = true;
}

static void mark(struct md_graph *g, const struct md_adapter *a)
{
    for (int i = 0; i < g->n_nodes; i++) {
        struct md_node *n = &g->nodes[i];
        n->trains = trains(n, a);
        n->back = n->trains || n->adapted;
        for (int k = 0; k < 3; k++)
            n->back = n->back || (n->in[k] != MD_NONE && g->tensors[n->in[k]].moves);
        g->tensors[n->out].moves = n->back;
        if (n->back)
            mark_saved(g, n);
    }
    g->tensors[g->last].saved = true; // the head reads it
}

// ---- What is made again -----------------------------------------------------------------------

// One of the decoder's layers, not what is before or behind them.
static bool in_layer(const struct md_graph *g, const struct md_node *n)
{
    return n->op != MD_OP_EMBED && n->op != MD_OP_ROWS && !g->tensors[n->out].scored;
}

static bool cheap(const struct md_node *n)
{
    return n->op == MD_OP_NORM || n->op == MD_OP_SWIGLU;
}

// A tensor that another layer reads is kept, and so is what an adapter's A gives, which is small.
static void drop(struct md_graph *g, struct md_recompute r)
{
    for (int i = 0; i < g->n_nodes; i++) {
        struct md_node *n = &g->nodes[i];
        n->again = MD_NONE;
        n->dropped = in_layer(g, n) && (n->layer < r.layers || (r.cheap && cheap(n)));
        g->tensors[n->out].dropped = n->dropped;
        if (n->aux != MD_NONE && !n->adapted)
            g->tensors[n->aux].dropped = n->dropped && n->layer < r.layers;
    }
    for (int i = 0, first = 0; i < g->n_nodes; i++) {
        struct md_node *n = &g->nodes[i];
        const bool inside = in_layer(g, n);
        if (!inside || g->nodes[first].layer != n->layer || !in_layer(g, &g->nodes[first]))
            first = i;
        for (int k = 0; k < 3; k++)
            if (n->in[k] != MD_NONE && !(inside && g->tensors[n->in[k]].layer == n->layer))
                g->tensors[n->in[k]].dropped = false;
        const bool last = i + 1 == g->n_nodes || !in_layer(g, n + 1) || n[1].layer != n->layer;
        if (inside && last)
            n->again = first;
    }
    for (int i = 0; i < g->n_nodes; i++) {
        struct md_node *n = &g->nodes[i];
        n->dropped = n->dropped && g->tensors[n->out].dropped;
        for (int k = 0; k < 3; k++) // what it is made of again
            if (n->dropped && n->in[k] != MD_NONE)
                g->tensors[n->in[k]].saved = true;
    }
}

// ---- Buffers ----------------------------------------------------------------------------------

// Slots that hold nothing now. Taking one of equal shape before making a new one is enough: layers
// repeat.
struct pool {
    struct md_graph *g;
    bool *busy;
    uint32_t *user; // 1 + the last layer whose dropped tensor lies there; 0: none. Never free again
};

static int take(struct pool *p, struct md_slot want)
{
    struct md_graph *g = p->g;
    for (int i = 0; i < g->n_slots; i++) {
        const struct md_slot *s = &g->slots[i];
        if (!p->busy[i] && s->kind == want.kind && s->scored == want.scored &&
            s->wide == want.wide && s->cols == want.cols) {
            p->busy[i] = true;
            return i;
        }
    }
    g->slots[g->n_slots] = want;
    p->busy[g->n_slots] = true;
    return g->n_slots++;
}

static struct md_slot slot_of(const struct md_tensor *t)
{
    return (struct md_slot){.kind = t->kind, .scored = t->scored, .cols = t->cols};
}

// A dropped tensor shares its slot with other layers, and with none of its own.
static int take_shared(struct pool *p, const struct md_tensor *t)
{
    const struct md_slot want = slot_of(t);
    for (int i = 0; i < p->g->n_slots; i++) {
        const struct md_slot *s = &p->g->slots[i];
        if (p->user[i] && p->user[i] != 1 + t->layer && s->kind == want.kind &&
            s->cols == want.cols) {
            p->user[i] = 1 + t->layer;
            return i;
        }
    }
    const int slot = take(p, want);
    p->user[slot] = 1 + t->layer;
    return slot;
}

static int place(struct pool *p, const struct md_tensor *t)
{
    return t->dropped ? take_shared(p, t) : take(p, slot_of(t));
}

static void release(struct pool *p, const struct md_tensor *t)
{
    if (!t->saved && !t->dropped)
        p->busy[t->slot] = false;
}

// Forward: a tensor lives from the node that makes it to the last that reads it, or to the end if
// the backward reads it.
static void place_forward(struct pool *p, int *left)
{
    struct md_graph *g = p->g;
    for (int i = 0; i < g->n_tensors; i++)
        left[i] = g->tensors[i].readers;
    for (int i = 0; i < g->n_nodes; i++) {
        const struct md_node *n = &g->nodes[i];
        struct md_tensor *out = &g->tensors[n->out];
        out->slot = place(p, out);
        if (n->aux != MD_NONE)
            g->tensors[n->aux].slot = place(p, &g->tensors[n->aux]);
        if (n->aux != MD_NONE)
            release(p, &g->tensors[n->aux]);
        for (int k = 0; k < 3; k++)
            if (n->in[k] != MD_NONE && --left[n->in[k]] == 0)
                release(p, &g->tensors[n->in[k]]);
    }
}

// The gradient of input k is made: a frozen stream or a linear's input may have none.
static bool makes_grad(const struct md_graph *g, const struct md_node *n, int k)
{
    if (!n->back || n->in[k] == MD_NONE)
        return false;
    return n->op != MD_OP_LINEAR || g->tensors[n->in[k]].moves;
}

// Backward: a gradient lives from the first node (in reverse) that writes it to the node that made
// its tensor.
static void place_backward(struct pool *p)
{
    struct md_graph *g = p->g;
    g->stream_grad = take(p, (struct md_slot){.kind = MD_STREAM, .cols = g->tensors[0].cols});
    for (int i = g->n_nodes - 1; i >= 0; i--) {
        const struct md_node *n = &g->nodes[i];
        for (int k = 0; k < 3; k++) {
            struct md_tensor *t = makes_grad(g, n, k) ? &g->tensors[n->in[k]] : NULL;
            if (!t || t->grad != MD_NONE || (t->kind == MD_STREAM && !t->scored))
                continue;
            struct md_slot want = slot_of(t);
            want.wide = t->kind == MD_STORED && t->readers > 1;
            t->grad = take(p, want);
        }
        if (g->tensors[n->out].grad != MD_NONE)
            p->busy[g->tensors[n->out].grad] = false;
    }
}

enum rt_err md_graph_make(const struct md_arch *arch, const struct md_adapter *adapter, bool train,
                          struct md_recompute recompute, struct md_graph *out)
{
    enum rt_err err = RT_OK;
    struct md_graph g = {.stream_grad = MD_NONE};
    const size_t most = 24 * ((size_t) arch->layers + 1), slots = 3 * most;
    struct pool p = {&g, calloc(slots, sizeof(*p.busy)), calloc(slots, sizeof(*p.user))};
    int *left = calloc(most, sizeof(*left)); // readers of each tensor still to come

    *out = (struct md_graph){0};
    g.tensors = calloc(most, sizeof(*g.tensors));
    g.nodes = calloc(most, sizeof(*g.nodes));
    g.slots = calloc(slots, sizeof(*g.slots));
    if (!g.tensors || !g.nodes || !g.slots || !p.busy || !p.user || !left)
        RT_TRY(rt_fail(RT_E_NOMEM, "out of memory: list of %u layers", arch->layers));
    expand(&g, arch);
    add_adapter(&g, adapter);
    if (train) {
        mark(&g, adapter);
        drop(&g, recompute);
    }
    place_forward(&p, left);
    if (train) {
        // The head's gradient is summed over slices of the vocabulary: f32.
        struct md_slot want = slot_of(&g.tensors[g.last]);
        want.wide = true;
        g.tensors[g.last].grad = take(&p, want);
        place_backward(&p);
    }
    *out = g;
    g = (struct md_graph){0};
done:
    free(left);
    free(p.busy);
    free(p.user);
    md_graph_free(&g);
    return err;
}

void md_graph_free(struct md_graph *g)
{
    free(g->tensors);
    free(g->nodes);
    free(g->slots);
    *g = (struct md_graph){0};
}

int md_graph_find(const struct md_graph *g, const char *name, uint32_t layer)
{
    for (int i = 0; i < g->n_tensors; i++)
        if (g->tensors[i].layer == layer && strcmp(g->tensors[i].name, name) == 0)
            return i;
    return MD_NONE;
}
