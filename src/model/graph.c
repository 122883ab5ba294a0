#include "src/model/graph.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/model/family.h"
#include "src/op/norm.h"

// ---- Expansion --------------------------------------------------------------------------------

static int tensor(struct md_graph *g, const char *name, uint32_t layer, uint32_t cols,
                  enum md_kind kind)
{
    g->tensors[g->n_tensors] = (struct md_tensor){.name = name,
                                                  .layer = layer,
                                                  .cols = cols,
                                                  .times = 1,
                                                  .kind = kind,
                                                  .slot = MD_NONE,
                                                  .grad = MD_NONE};
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

static const struct md_node NODE = {.weight = MD_WEIGHT_COUNT,
                                    .bias = MD_WEIGHT_COUNT,
                                    .heads = 1,
                                    .in = {MD_NONE, MD_NONE, MD_NONE},
                                    .aux = MD_NONE};

// A norm of x, of each of `heads` parts of a row; onto `stream` when that is not MD_NONE.
static int norm(struct md_graph *g, const struct md_arch *a, enum md_weight w, uint32_t layer,
                int x, uint32_t heads, int stream, const char *name)
{
    const int out =
        tensor(g, name, layer, g->tensors[x].cols, stream == MD_NONE ? MD_STORED : MD_STREAM);
    const uint32_t numbers = op_norm_stats(a->family->layer_norm ? OP_NORM_LAYER : OP_NORM_RMS);
    const int stats = tensor(g, "stats", layer, heads * numbers, MD_SCALAR);
    struct md_node n = NODE;

    g->tensors[out].scored = g->tensors[stats].scored = g->tensors[x].scored;
    n.op = MD_OP_NORM;
    n.layer = layer;
    n.weight = w;
    if (a->family->norm_bias)
        n.bias = w + 1;
    n.heads = heads;
    n.in[0] = x;
    n.in[1] = stream;
    n.out = out;
    n.aux = stats;
    return node(g, n);
}

// What a linear computes: rows [row, row + cols) of a weight, with a bias where there is one.
struct slice {
    enum md_weight weight;
    uint32_t row, cols;
};

// A projection; onto `stream` when that is not MD_NONE.
static int linear(struct md_graph *g, const struct md_arch *a, struct slice w, uint32_t layer,
                  int x, int stream, const char *name)
{
    struct md_node n = NODE;
    n.op = MD_OP_LINEAR;
    n.layer = layer;
    n.weight = w.weight;
    if (md_arch_has(a, w.weight + 1)) // the bias, if that is what comes next in the list
        n.bias = w.weight + 1;
    n.row = w.row;
    n.in[0] = x;
    n.in[1] = stream;
    n.out = tensor(g, name, layer, w.cols, stream == MD_NONE ? MD_STORED : MD_STREAM);
    return node(g, n);
}

// A node without a weight, of one input, or onto a stream.
static int simple(struct md_graph *g, enum md_op op, uint32_t layer, int x, int stream,
                  const char *name)
{
    struct md_node n = NODE;
    n.op = op;
    n.layer = layer;
    n.in[0] = x;
    n.in[1] = stream;
    n.out = tensor(g, name, layer, g->tensors[x].cols, stream == MD_NONE ? MD_STORED : MD_STREAM);
    return node(g, n);
}

// q or k as attention reads it: normalised and rotated, where the family and the layer do that.
static int prepare(struct md_graph *g, const struct md_arch *a, uint32_t l, int x,
                   enum md_weight norm_weight, uint32_t heads, const char *normed, const char *name)
{
    const enum md_qk_norm kind = a->family->qk_norm;
    if (kind != MD_QK_NORM_NONE)
        x = norm(g, a, norm_weight, l, x, kind == MD_QK_NORM_HEAD ? heads : 1, MD_NONE, normed);
    if (a->family->learned_positions || a->layer[l] & MD_LAYER_NO_ROPE)
        return x;
    return simple(g, MD_OP_ROPE, l, x, MD_NONE, name);
}

static int attention(struct md_graph *g, const struct md_arch *a, uint32_t l, int x)
{
    const uint32_t q_cols = a->heads * a->head_dim, k_cols = a->kv_heads * a->head_dim;
    const bool fused = a->family->fused_qkv;
    const struct slice wq = {fused ? MD_QKV : MD_Q, 0, q_cols},
                       wk = {fused ? MD_QKV : MD_K, fused ? q_cols : 0, k_cols},
                       wv = {fused ? MD_QKV : MD_V, fused ? q_cols + k_cols : 0, k_cols};
    struct md_node n = NODE;

    n.op = MD_OP_ATTENTION;
    n.layer = l;
    n.in[0] = prepare(g, a, l, linear(g, a, wq, l, x, MD_NONE, "q_raw"), MD_Q_NORM, a->heads,
                      "q_norm", "q");
    n.in[1] = prepare(g, a, l, linear(g, a, wk, l, x, MD_NONE, "k_raw"), MD_K_NORM, a->kv_heads,
                      "k_norm", "k");
    n.in[2] = linear(g, a, wv, l, x, MD_NONE, "v");
    n.out = tensor(g, "attn", l, q_cols, MD_STORED);
    n.aux = tensor(g, "lse", l, a->heads, MD_SCALAR);
    return node(g, n);
}

static int mlp(struct md_graph *g, const struct md_arch *a, uint32_t l, int x)
{
    const bool fused = a->family->fused_gate;
    const struct slice gate = {fused ? MD_GATE_UP : MD_GATE, 0, a->ffn},
                       up = {fused ? MD_GATE_UP : MD_UP, fused ? a->ffn : 0, a->ffn};
    struct md_node n = NODE;

    n.op = MD_OP_ACT;
    n.layer = l;
    if (!a->family->no_gate)
        n.in[0] = linear(g, a, gate, l, x, MD_NONE, "gate");
    n.in[a->family->no_gate ? 0 : 1] = linear(g, a, up, l, x, MD_NONE, "up");
    n.out = tensor(g, "act", l, a->ffn, MD_STORED);
    return node(g, n);
}

// A linear of the rows that tokens have at experts.
static int expert(struct md_graph *g, const struct md_arch *a, enum md_weight w, uint32_t l, int x,
                  int index, const char *name)
{
    struct md_node n = NODE;
    n.op = MD_OP_EXPERT;
    n.layer = l;
    n.weight = w;
    n.in[0] = x;
    n.in[2] = index;
    n.out = tensor(g, name, l, a->expert_ffn, MD_STORED);
    g->tensors[n.out].times = a->top_k;
    return node(g, n);
}

// A layer's feed-forward block of experts, onto the stream.
static int experts(struct md_graph *g, const struct md_arch *a, uint32_t l, int x, int stream)
{
    struct md_node router = NODE, route = NODE, act = NODE, down = NODE;

    router.op = MD_OP_LINEAR;
    route.op = MD_OP_ROUTE;
    act.op = MD_OP_EXPERT_ACT;
    down.op = MD_OP_EXPERT_DOWN;
    router.layer = route.layer = act.layer = down.layer = l;
    router.weight = MD_ROUTER;
    router.in[0] = x;
    router.out = tensor(g, "router", l, a->experts, MD_WIDE);
    route.in[0] = node(g, router);
    route.out = tensor(g, "route", l, a->top_k + 2, MD_SCALAR); // op_route_floats()
    route.aux = tensor(g, "route_index", l, 0, MD_INDEX);
    act.in[2] = node(g, route);
    act.in[0] = expert(g, a, MD_EXPERT_GATE, l, x, route.aux, "expert_gate");
    act.in[1] = expert(g, a, MD_EXPERT_UP, l, x, route.aux, "expert_up");
    act.out = tensor(g, "expert_act", l, a->expert_ffn, MD_STORED);
    g->tensors[act.out].times = a->top_k;
    down.weight = MD_EXPERT_DOWN;
    down.in[0] = node(g, act);
    down.in[1] = stream;
    down.in[2] = route.aux;
    down.out = tensor(g, "stream", l, a->hidden, MD_STREAM);
    return node(g, down);
}

// What a sublayer reads from the stream x.
static int enter(struct md_graph *g, const struct md_arch *a, enum md_weight w, uint32_t l, int x,
                 const char *name)
{
    if (a->family->pre_norm)
        return norm(g, a, w, l, x, 1, MD_NONE, name);
    return simple(g, MD_OP_ROUND, l, x, MD_NONE, name);
}

// The last projection of a sublayer, onto the stream: behind a norm, or times a number, or as it
// is.
static int leave(struct md_graph *g, const struct md_arch *a, enum md_weight w, enum md_weight post,
                 uint32_t l, int y, int stream, const char *name)
{
    const bool direct = !a->family->post_norm && !(fabsf(a->residual_scale - 1.0f) > 0.0f);
    const struct slice all = {w, 0, a->hidden};
    if (direct)
        return linear(g, a, all, l, y, stream, name);
    y = linear(g, a, all, l, y, MD_NONE, w == MD_O ? "attn_out" : "mlp_out");
    if (a->family->post_norm)
        return norm(g, a, post, l, y, 1, stream, name);
    return simple(g, MD_OP_ADD, l, y, stream, name);
}

static int embed(struct md_graph *g, const struct md_arch *a)
{
    const bool positions = a->family->learned_positions;
    struct md_node n = NODE;

    n.op = MD_OP_EMBED;
    n.weight = MD_EMBED;
    n.out = tensor(g, positions ? "tokens" : "embed", 0, a->hidden, MD_STREAM);
    node(g, n);
    if (!positions)
        return n.out;
    n.weight = MD_POSITIONS;
    n.in[0] = n.out;
    n.out = tensor(g, "embed", 0, a->hidden, MD_STREAM);
    return node(g, n);
}

static void expand(struct md_graph *g, const struct md_arch *a)
{
    int x = embed(g, a);
    struct md_node n = NODE;

    for (uint32_t l = 0; l < a->layers; l++) {
        int in = enter(g, a, MD_ATTN_NORM, l, x, "attn_norm"), y = attention(g, a, l, in);
        x = leave(g, a, MD_O, MD_ATTN_POST_NORM, l, y, x, "attn_stream");
        if (!a->family->parallel)
            in = enter(g, a, MD_MLP_NORM, l, x, "mlp_norm");
        if (a->layer[l] & MD_LAYER_EXPERTS) {
            x = experts(g, a, l, in, x);
            continue;
        }
        y = mlp(g, a, l, in);
        x = leave(g, a, MD_DOWN, MD_MLP_POST_NORM, l, y, x, "stream");
    }
    n.op = MD_OP_ROWS;
    n.in[0] = x;
    n.out = tensor(g, "scored", 0, a->hidden, MD_STREAM);
    g->tensors[n.out].scored = true;
    g->last = norm(g, a, MD_FINAL_NORM, 0, node(g, n), 1, MD_NONE, "final");
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

static bool is_linear(enum md_op op)
{
    return op == MD_OP_LINEAR || op == MD_OP_EXPERT || op == MD_OP_EXPERT_DOWN;
}

// What the backward of a node reads. The gradient of a frozen linear's input needs the weight only.
static void mark_saved(struct md_graph *g, const struct md_node *n)
{
    const bool linear = is_linear(n->op),
               inputs = linear ? n->trains || n->adapted
                               : n->op == MD_OP_NORM || n->op == MD_OP_ATTENTION ||
                                     n->op == MD_OP_ACT || n->op == MD_OP_ROUTE ||
                                     n->op == MD_OP_EXPERT_ACT;
    const int stream = linear || n->op == MD_OP_NORM ? 1 : 3; // not what is added to, nor an index
    for (int k = 0; k < stream; k++)
        if (inputs && n->in[k] != MD_NONE)
            g->tensors[n->in[k]].saved = true;
    if (n->op == MD_OP_ATTENTION || n->op == MD_OP_ROUTE)
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

static bool is_middle(const struct md_graph *g, int t)
{
    return strcmp(g->tensors[t].name, "attn_stream") == 0;
}

// MD_AGAIN_COUNT: never.
static enum md_again kind_of(const struct md_graph *g, const struct md_node *n)
{
    switch (n->op) {
    case MD_OP_NORM:
        if (n->in[1] == MD_NONE)
            return MD_AGAIN_NORM;
        return n->weight == MD_ATTN_POST_NORM ? MD_AGAIN_MIDDLE : MD_AGAIN_REST;
    case MD_OP_ACT:
    case MD_OP_EXPERT_ACT:
        return MD_AGAIN_ACT;
    case MD_OP_EXPERT:
        return MD_AGAIN_UP;
    case MD_OP_ADD:
        return is_middle(g, n->out) ? MD_AGAIN_MIDDLE : MD_AGAIN_REST;
    case MD_OP_ROUND: // it would take the stream, which is not kept for anything else
        return MD_AGAIN_COUNT;
    case MD_OP_ROPE:
        return MD_AGAIN_QKV;
    case MD_OP_ATTENTION:
        return MD_AGAIN_ATTENTION;
    case MD_OP_LINEAR:
        return n->weight >= MD_QKV && n->weight < MD_Q_NORM     ? MD_AGAIN_QKV
               : n->weight == MD_O                              ? MD_AGAIN_MIDDLE
               : n->weight >= MD_GATE_UP && n->weight < MD_DOWN ? MD_AGAIN_UP
                                                                : MD_AGAIN_REST;
    default:
        return MD_AGAIN_REST;
    }
}

static bool again(struct md_recompute r, enum md_again kind, uint32_t layer)
{
    return kind < r.kinds || (kind == r.kinds && layer < r.layers);
}

// Where the dropped ones of each layer begin, and what only the layer itself reads: the rest is
// kept.
static void find_layers(struct md_graph *g)
{
    for (int i = 0; i < g->n_nodes; i++) {
        g->nodes[i].again = MD_NONE;
        g->tensors[g->nodes[i].out].dropped = in_layer(g, &g->nodes[i]);
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
}

// What would be saved and can be made again is dropped; what it is made of is saved, or dropped in
// turn. What an adapter's A gives is small, and kept, and so are a norm's statistics.
static void drop(struct md_graph *g, struct md_recompute r)
{
    find_layers(g);
    for (int i = g->n_nodes - 1; i >= 0; i--) {
        struct md_node *n = &g->nodes[i];
        struct md_tensor *out = &g->tensors[n->out];
        n->dropped = out->dropped && out->saved && again(r, kind_of(g, n), n->layer);
        out->dropped = n->dropped;
        for (int k = 0; k < 3; k++)
            if (n->dropped && n->in[k] != MD_NONE)
                g->tensors[n->in[k]].saved = true;
        // What is made beside `out`: nobody else's place if it is made again.
        struct md_tensor *aux = n->aux == MD_NONE ? NULL : &g->tensors[n->aux];
        if (!aux || !n->dropped)
            continue;
        aux->saved = true;
        aux->dropped = !n->adapted && (n->op != MD_OP_NORM || again(r, MD_AGAIN_REST, n->layer));
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
            s->wide == want.wide && s->cols == want.cols && s->times == want.times) {
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
    return (struct md_slot){
        .kind = t->kind, .scored = t->scored, .cols = t->cols, .times = t->times};
}

// A dropped tensor shares its slot with other layers, and with none of its own.
static int take_shared(struct pool *p, const struct md_tensor *t)
{
    const struct md_slot want = slot_of(t);
    for (int i = 0; i < p->g->n_slots; i++) {
        const struct md_slot *s = &p->g->slots[i];
        if (p->user[i] && p->user[i] != 1 + t->layer && s->kind == want.kind &&
            s->cols == want.cols && s->times == want.times) {
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
    return (!is_linear(n->op) || g->tensors[n->in[k]].moves) &&
           g->tensors[n->in[k]].kind != MD_INDEX;
}

// Backward: a gradient lives from the first node (in reverse) that writes it to the node that made
// its tensor.
static void place_backward(struct pool *p)
{
    struct md_graph *g = p->g;
    g->stream_grad = take(p, slot_of(&g->tensors[0]));
    for (int i = g->n_nodes - 1; i >= 0; i--) {
        struct md_node *n = &g->nodes[i];
        for (int k = 0; k < 3; k++) {
            struct md_tensor *t = makes_grad(g, n, k) ? &g->tensors[n->in[k]] : NULL;
            n->sums = n->sums || (t && k == 0 && t->grad != MD_NONE);
            if (!t || t->grad != MD_NONE || (t->kind == MD_STREAM && !t->scored))
                continue;
            struct md_slot want = slot_of(t);
            want.wide = t->kind == MD_STORED && t->readers > 1;
            want.kind = t->kind == MD_WIDE ? MD_STORED : t->kind;
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
    const size_t most = 40 * ((size_t) arch->layers + 1), slots = 3 * most;
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

void md_recompute_text(struct md_recompute r, uint32_t layers, char out[static 160])
{
    static const char *const NAMES[] = {
        "norms",       "activations", "logits",   "the stream in the middle of layers",
        "gate and up", "q, k, v",     "attention"};
    size_t n = 0;

    snprintf(out, 160, "%s",
             r.kinds >= MD_AGAIN_COUNT ? "all but the stream between layers"
             : r.kinds + r.layers == 0 ? (r.logits ? "logits" : "none")
                                       : "");
    for (uint32_t k = 0; k < r.kinds && r.kinds < MD_AGAIN_COUNT; k++)
        n += (size_t) snprintf(out + n, 160 - n, "%s%s", k ? ", " : "", NAMES[k]);
    if (r.kinds < MD_AGAIN_COUNT && r.layers)
        snprintf(out + n, 160 - n, "%s%s in %u of %u layers", n ? ", " : "",
                 r.kinds == MD_AGAIN_REST ? "all" : NAMES[r.kinds], r.layers, layers);
}

int md_graph_find(const struct md_graph *g, const char *name, uint32_t layer)
{
    for (int i = 0; i < g->n_tensors; i++)
        if (g->tensors[i].layer == layer && strcmp(g->tensors[i].name, name) == 0)
            return i;
    return MD_NONE;
}
