// src/model/graph.h -- the decoder as one static list of nodes.
//
// The description is expanded once. The forward walks the list, the backward walks it in reverse;
// buffers, what is saved and what is trainable are read off the same list.
#ifndef MODEL_GRAPH_H
#define MODEL_GRAPH_H

#include "src/model/adapter.h"
#include "src/model/arch.h"
#include "src/model/params.h"

enum md_op {
    MD_OP_EMBED,
    MD_OP_NORM,
    MD_OP_LINEAR,
    MD_OP_ROPE,
    MD_OP_ATTENTION,
    MD_OP_ACT,
    MD_OP_ROWS,
    MD_OP_ROUTE,       // logits to weights of rows, beside an index (op/route.h)
    MD_OP_EXPERT,      // a linear of the rows of tokens, each with its expert's weight
    MD_OP_EXPERT_ACT,  // activation, times the rows' weights
    MD_OP_EXPERT_DOWN, // a linear of rows as EXPERT, summed over a token's rows onto a stream
    MD_OP_ROUND,       // a stream in the storage type, where linears read it without a norm
    MD_OP_ADD          // onto a stream, times the description's residual_scale
};

enum md_kind {
    MD_STREAM, // f32 whatever the storage: the residual stream
    MD_STORED, // the storage type
    MD_WIDE,   // f32 whatever the storage, gradient in the storage type: a router's logits
    MD_INDEX,  // u32: op_route_words()
    MD_SCALAR  // f32, one value a row (1 / rms), or some (log-sum-exp of each head)
};

enum { MD_NONE = -1 };

// An activation: `cols` columns a row; rows are tokens, or scored rows where `scored` is set.
struct md_tensor {
    const char *name; // "attn_norm"; with the layer it names the tensor
    uint32_t layer, cols;
    uint32_t times; // rows of each token, 1 but where tokens go to several experts
    enum md_kind kind;
    bool scored;
    bool saved;   // the backward reads it
    bool moves;   // something that is trained has a part in it: it has a gradient
    bool dropped; // its buffer is taken by the next layer; the backward makes it again
    int readers;  // nodes that read it: more than one means that its gradient is a sum, kept in f32
    int slot, grad; // buffer numbers, MD_NONE = no buffer of its own (streams share one gradient)
};

struct md_node {
    enum md_op op;
    uint32_t layer;
    enum md_weight weight; // MD_WEIGHT_COUNT = none
    enum md_weight bias;   // of a LINEAR or NORM; likewise
    uint32_t row;          // of a LINEAR: `out` is what rows [row, row + columns of out) give
    uint32_t heads;        // of a NORM: parts of a row that are normalised, 1 = the whole
    int in[3], out; // tensors; LINEAR, NORM, ADD, EXPERT_DOWN with in[1] add their result to that
                    // stream, and so does EMBED, of positions, with in[0]; in[2] is the index of
                    // EXPERT and EXPERT_DOWN, the weights of EXPERT_ACT
    int aux;        // stats of a NORM, log-sum-exp of ATTENTION, scale * A x of an adapted LINEAR,
                    // the index of ROUTE
    bool adapted;   // a LINEAR with LoRA
    bool trains;    // the weight itself, or its copy in the adapter, gets a gradient
    bool sums; // of a LINEAR: the backward adds to the gradient of in[0], which has a part already
    bool back; // has a backward: `out` moves
    bool dropped; // what it makes is dropped
    int again; // before its backward the dropped ones from this node on are run again, or MD_NONE
};

// A buffer that tensors share: rows x ld elements of one kind, allocated for the largest pass.
struct md_slot {
    enum md_kind kind;
    bool scored, wide; // wide: f32 although MD_STORED (a summed gradient)
    uint32_t cols, times;
};

struct md_graph {
    struct md_tensor *tensors;
    struct md_node *nodes;
    struct md_slot *slots;
    int n_tensors, n_nodes, n_slots;
    int last;        // the final norm's output: what the head reads
    int stream_grad; // slot of the residual stream's gradient
};

// What a layer can make again, by what that costs for each byte that is not kept, cheapest first:
// one pass over memory; products of C FLOPs a byte (half of that for a stream, which is f32);
// attention, of as many as there are keys; the rest, of as many as the block is wide.
enum md_again {
    MD_AGAIN_NORM, // norms that feed sublayers, of q and k too
    MD_AGAIN_ACT,
    MD_AGAIN_LOGITS, // not of layers: of a head that is trained, (scored rows, vocabulary) f32
    MD_AGAIN_MIDDLE, // the stream between attention and feed-forward block
    MD_AGAIN_UP,     // gate and up
    MD_AGAIN_QKV,    // q, k and v, rotated
    MD_AGAIN_ATTENTION,
    MD_AGAIN_REST, // with this, all but the stream between layers
    MD_AGAIN_COUNT
};

// What the backward makes again instead of keeping it: so many kinds in all layers, and the next
// kind in so many layers, lowest first. { 0 }: nothing; { MD_AGAIN_COUNT }: everything.
struct md_recompute {
    uint32_t kinds, layers;
    bool logits; // whatever the kinds say
};

static inline bool md_again_logits(struct md_recompute r)
{
    return r.logits || r.kinds > MD_AGAIN_LOGITS;
}

// "norms, activations", "norms in 3 of 30 layers", "none" into out.
void md_recompute_text(struct md_recompute r, uint32_t layers, char out[static 160]);

// Expand. With `train`, what the backward reads has buffers of its own, and gradients have buffers;
// without, everything is reused as soon as it can be. An adapter that is not empty is trained in
// the weights' place: nodes below the lowest that it has a part in have no backward.
// Errors: RT_E_NOMEM.
RT_NODISCARD enum rt_err md_graph_make(const struct md_arch *arch, const struct md_adapter *adapter,
                                       bool train, struct md_recompute recompute,
                                       struct md_graph *out);
void md_graph_free(struct md_graph *g);

// Tensor by name and layer, or MD_NONE: for dumps and tests.
int md_graph_find(const struct md_graph *g, const char *name, uint32_t layer);

#endif // MODEL_GRAPH_H
