// src/model/model.h -- a decoder on a device: weights, activations, one pass forward and backward.
//
// A pass is a flat axis of T tokens without padding, cut into segments (op/attention.h), M scored
// rows (positions that predict a completion token) grouped into sequences. All memory is allocated
// by md_model_open for the largest pass; a pass allocates nothing. One thread uses a model.
#ifndef MODEL_MODEL_H
#define MODEL_MODEL_H

#include "runtime/rt.h"
#include "src/model/adapter.h"
#include "src/model/graph.h"
#include "src/model/params.h"
#include "src/op/attention.h"
#include "src/op/logprob.h"

// One pass, in host memory of the caller.
struct md_batch {
    uint32_t n_tokens, n_segments, n_rows,
        n_seqs;                    // n_rows and n_seqs may be 0: then nothing is scored
    const uint32_t *ids;           // (T) token ids, < vocab
    const uint32_t *pos;           // (T) positions, < max_positions of the model's desc
    const struct op_segment *segs; // (n_segments)
    const uint32_t *rows;          // (M) token whose output predicts ...
    const uint32_t *targets;       // (M) ... this id; a sequence's rows lie together, in order
    const uint32_t *seq_starts;    // (n_seqs + 1) first row of each sequence, ends with M
    const uint32_t *counts; // (T) how often a token counts in the load-balancing loss; read where
                            // the model was opened for that
};

struct md_model_desc {
    const char *folder;      // Hugging Face folder, or GGUF file
    enum rt_type storage;    // RT_F32, RT_F16, RT_BF16: weights, activations
    enum rt_type load_dtype; // what the file's weights are rounded to once; RT_F32 = as they are
    uint32_t max_tokens, max_segments, max_rows, max_seqs; // of the largest pass
    uint32_t max_positions;                                // positions are below this
    uint32_t max_keys;             // of the longest KV cache that attention will be given; 0 = none
    bool train;                    // keep what the backward reads; what is trained are masters
    struct md_recompute recompute; // with train: the same numbers in less memory, for more time
    const struct fmt_peft *peft;   // an adapter on top: it alone is trained; NULL = none
    const char *adapter;           // folder of its tensors; NULL: a new one, from `seed`
    uint64_t seed;
    bool drop;    // buffers for dropout on the adapter's input (md_model.drop)
    bool balance; // buffers for the load-balancing loss of experts (md_model.balance)
};

// Dropout on the input of adapters, in the forward and backward that are recorded now: set by
// whoever records, only where the model was opened for it. p 0 = none. The mask follows from key,
// adapter and element.
struct md_drop {
    double p; // of being left out, below 1
    uint64_t key;
};

// cos and sin of a set of frequencies: (max_positions, rot_dim / 2) f32, times attention_factor.
struct md_rope_table {
    struct rt_buf *cos, *sin;
};
enum { MD_ROPE_MAIN, MD_ROPE_LOCAL, MD_ROPE_LONG, MD_ROPE_TABLES };

struct md_model {
    struct md_arch arch;
    struct md_params params;
    struct md_graph graph;
    struct rt_dev *dev;
    enum rt_type storage;
    uint32_t max_tokens, max_segments, max_rows, max_seqs, max_positions;
    bool squares; // md_score also makes OP_LOGPROB_WEIGHT; set by whoever records
    bool prepare; // md_backward is to follow: md_score of a head that is not trained also makes the
                  // gradient of what it reads, of one that is keeps the logits where there is room;
                  // set by whoever records
    bool swept, kept; // the last md_score did
    bool may_keep;    // there is room for all logits
    struct md_drop drop;

    struct md_flat work; // storage type; masters if it is what is trained

    struct md_adapter adapter;   // empty: none
    struct md_flat adapter_work; // storage type; masters with `train`
    struct md_flat adapter_ref;  // the adapter as it was loaded: the reference; empty: none
    struct rt_buf *dora_d; // (rows at once, widest) f32: B A; this and the next three for DoRA
    struct rt_buf *dora_factor, *dora_norm; // (widest) f32
    struct rt_buf *dora_dz;                 // (max_tokens, widest) storage type; train
    struct rt_buf *adapter_x;   // (max_tokens, widest) storage type: an input with dropout
    struct rt_buf *adapter_dx;  // (max_tokens, widest) f32: its gradient; both only for dropout
    struct rt_buf *adapter_sum; // (max_tokens, widest) f32: what is rounded once
    struct rt_buf *adapter_dt;  // (max_tokens, rank) storage type; train

    // Experts. The rows that a pass has at them: top_k times its tokens.
    struct rt_buf *routed;       // (rows, hidden) storage type: of one node at a time
    struct op_mat *experts;      // (experts) host memory: the weights of a node,
    struct op_mat_out *dexperts; // and their gradients
    struct rt_buf *counts;       // (max_tokens) u32: md_batch.counts; this and the next: balance
    struct rt_buf *balance_sums; // (2 experts) f32: op_route_balance() over layers and passes
    bool balance; // md_forward adds to them; set by whoever records, who sets them to zero too
    double balance_factor; // of op_route_backward(), in md_backward; 0 = none; likewise

    struct rt_buf **slots;                                  // graph.n_slots buffers
    struct md_rope_table rope[MD_ROPE_TABLES];              // those that the description needs
    struct rt_buf *ids, *pos, *rows, *targets, *seq_starts; // u32, as loaded
    struct rt_buf *attn_index, *embed_index, *rows_index;   // u32: made by the ops' host helpers
    struct rt_buf *pos_index;        // likewise, where positions have embeddings
    struct rt_buf *scored;           // (max_rows, OP_LOGPROB_COLUMNS) f32: results of the head
    struct rt_buf *seq_logp;         // (max_seqs) f32: sums of log-probs, nats
    struct rt_buf *row_coef;         // (max_rows) f32: d loss / d log-prob
    struct rt_buf *scratch;          // f32, the largest that any op asks for
    struct op_logprob_scratch head;  // of op_logprob; its matmul is `scratch`
    struct op_logprob_chunks chunks; // how the head is cut
    struct rt_buf *delta;            // (heads, max_tokens) f32; train
    struct rt_buf
        *dy; // (max_tokens, hidden) storage type: the stream's gradient, rounded; train, 16-bit

    // The pass that is loaded.
    struct md_batch now; // counts only; pointers are NULL
    struct op_attention_index attn;
    uint32_t *words; // host memory for indices
    uint32_t n_words;
    uint32_t n_embed_ids, n_row_ids; // distinct token ids, distinct scored tokens
    uint32_t n_pos_ids;              // distinct positions
    bool now_long;                   // LONGROPE: the pass goes beyond the original positions
};

// Read config and weights and allocate everything. Errors: those of md_arch_read, fmt_st_get,
// rt_buf_create; RT_E_SHAPE a tensor of another shape than config.json says (named);
// RT_E_UNSUPPORTED.
RT_NODISCARD enum rt_err md_model_open(struct rt_dev *dev, const struct md_model_desc *desc,
                                       struct md_model **out);
void md_model_close(struct md_model **m);

// Read the weights of `folder`, or of a GGUF file (the same architecture, else RT_E_SHAPE) into
// `to`; in slices, so that host memory stays small. load_dtype as in md_model_desc.
RT_NODISCARD enum rt_err md_weights_load(const struct md_params *params, const char *folder,
                                         enum rt_type load_dtype, struct md_flat *to);
// Write all tensors as `dtype` (f32, f16, bf16), each times `scale`, into dir/STEM.safetensors or
// shards of it. stem NULL = "model". Also for gradients, which have the same layout.
RT_NODISCARD enum rt_err md_weights_save(const struct md_params *params, const struct md_flat *from,
                                         const char *dir, const char *stem, enum rt_type dtype,
                                         double scale);

// What a pass computes with: all weights, and the adapter on top of them.
struct md_weights {
    const struct md_flat *base;    // layout of md_model.params
    const struct md_flat *adapter; // NULL: none, or switched off
};

// The policy: the model's weights, with the adapter if it has one.
struct md_weights md_policy(const struct md_model *m);

// What is trained: all weights, or the adapter.
struct md_trained {
    const struct md_params *params;
    struct md_flat *work; // masters
};
struct md_trained md_trained_of(struct md_model *m);

// Upload a pass. Errors: RT_E_ARG a count beyond the model's limits, an id >= vocab or a position
// out of range; those of op_attention_index.
RT_NODISCARD enum rt_err md_pass_load(struct md_model *m, const struct md_batch *batch);

// The same in the order of cmd, without a wait: work that was recorded before has the pass before
// it. Recording goes on with this one.
RT_NODISCARD enum rt_err md_pass_write(struct md_model *m, struct rt_cmd *cmd,
                                       const struct md_batch *batch);

// Keys and values of earlier tokens, for generation.
struct md_cache {
    struct rt_buf **k,
        **v;              // a layer each: (capacity, op_stride(kv_heads * head_dim)), storage type
    uint32_t capacity, n; // n = tokens held
};
RT_NODISCARD enum rt_err md_cache_create(const struct md_model *m, uint32_t capacity,
                                         struct md_cache *out);
void md_cache_destroy(const struct md_model *m, struct md_cache *cache);

// Record the decoder on the loaded pass with weights `w` (md_policy, or a reference of the same
// layouts): up to the final norm of the scored rows. With a cache, the pass's tokens are appended
// to it and segments refer to its keys.
RT_NODISCARD enum rt_err md_forward(struct md_model *m, struct rt_cmd *cmd, struct md_weights w,
                                    struct md_cache *cache);

// Record the head: m->scored and m->seq_logp of the loaded pass. After md_forward with the same
// weights.
RT_NODISCARD enum rt_err md_score(struct md_model *m, struct rt_cmd *cmd, struct md_weights w);

// The head is not trained: there is an adapter, and no copy of the head in it.
static inline bool md_head_frozen(const struct md_model *m)
{
    return md_adapter_any(&m->adapter) && md_adapter_of(&m->adapter, MD_HEAD, 0).full < 0;
}

// How the backward of the head gets its logits: "one sweep" (the forward makes what it needs: a
// frozen head), "logits kept", "logits recomputed".
const char *md_head_way(const struct md_model *m);

// Record the backward of sum_s dlogp[s] * seq_logp[s] (dlogp: (n_seqs) f32): gradients are added to
// `grads` (f32, layout of md_trained_of().params). After md_forward and md_score with the policy's
// weights.
RT_NODISCARD enum rt_err md_backward(struct md_model *m, struct rt_cmd *cmd,
                                     const struct rt_buf *dlogp, struct md_flat *grads);

// Logits of scored row `row` (vocab f32 values) to host memory. Runs and waits. After md_forward
// has run.
RT_NODISCARD enum rt_err md_logits(struct md_model *m, struct md_weights w, uint32_t row,
                                   float *out);

// The buffer of an activation in the loaded pass, for dumps and tests; NULL if it has none.
struct rt_buf *md_activation(const struct md_model *m, const char *name, uint32_t layer,
                             uint32_t *cols, uint32_t *ld);

#endif // MODEL_MODEL_H
