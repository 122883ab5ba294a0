// src/model/params.h -- the list of a model's weights, and where each lies in the flat buffers.
//
// Weights, masters, gradients and Adam's state are flat buffers with one layout: chunks of
// at most one arena each (or one tensor that needs more), tensors at multiples of 128 elements (256
// bytes in any storage), rows padded to a multiple of 8 elements, padding always zero. Within a
// chunk all tensors with weight decay come first.
#ifndef MODEL_PARAMS_H
#define MODEL_PARAMS_H

#include "runtime/rt.h"
#include "src/model/arch.h"
#include "src/op/master.h"

enum { MD_MAX_CHUNKS = 512 };

// What a weight is to the forward.
enum md_weight {
    MD_EMBED,
    MD_POSITIONS,
    MD_ATTN_NORM, // of a layer, from here ...
    MD_ATTN_NORM_BIAS,
    MD_QKV, // q, k and v, one behind the other
    MD_QKV_BIAS,
    MD_Q,
    MD_Q_BIAS,
    MD_K,
    MD_K_BIAS,
    MD_V,
    MD_V_BIAS,
    MD_Q_NORM,
    MD_K_NORM,
    MD_O,
    MD_O_BIAS,
    MD_ATTN_POST_NORM,
    MD_MLP_NORM,
    MD_MLP_NORM_BIAS,
    MD_GATE_UP, // gate and up, one behind the other
    MD_GATE,
    MD_GATE_BIAS,
    MD_UP,
    MD_UP_BIAS,
    MD_DOWN,
    MD_DOWN_BIAS,
    MD_EXPERT_GATE, // an expert's, as many as there are; so the next two
    MD_EXPERT_UP,
    MD_EXPERT_DOWN,
    MD_ROUTER,        // (experts, hidden)
    MD_MLP_POST_NORM, // ... to here
    MD_FINAL_NORM,
    MD_FINAL_NORM_BIAS,
    MD_HEAD,
    MD_WEIGHT_COUNT
};

// Of a layer of experts: one expert's, or the router.
static inline bool md_weight_is_expert(enum md_weight w)
{
    return w == MD_EXPERT_GATE || w == MD_EXPERT_UP || w == MD_EXPERT_DOWN;
}

static inline bool md_weight_is_routed(enum md_weight w)
{
    return md_weight_is_expert(w) || w == MD_ROUTER;
}

// Which tensor of a weight.
enum md_part {
    MD_PART_WEIGHT,    // the weight itself; in an adapter's list, a trained copy of it
    MD_PART_LORA_A,    // (r, in)
    MD_PART_LORA_B,    // (out, r)
    MD_PART_MAGNITUDE, // (out), of DoRA
};

struct md_param {
    char name[128]; // as in the model file, "model.layers.0.self_attn.q_proj.weight"
    enum md_weight weight;
    enum md_part part;
    uint32_t layer, expert;
    uint32_t rank; // 1: (cols); 2: (rows, cols)
    uint32_t rows, cols, ld;
    bool decay;      // weight decay applies (trl.md section 4: not to norms and biases)
    bool linear;     // of a linear layer of the decoder: may have an adapter
    bool transposed; // the file has (cols, rows)
    uint32_t chunk;
    uint64_t first; // element offset in the chunk
};

struct md_chunk {
    uint64_t count; // elements, padding included
    uint64_t decay; // the first so many hold the tensors with weight decay
    bool f32;       // in every flat buffer: DoRA's magnitudes, which halves would move at once
};

// Owned by the model. { 0 } is empty.
struct md_params {
    struct md_param *all; // in the order of the layers
    uint32_t n;
    struct md_chunk chunks[MD_MAX_CHUNKS];
    uint32_t n_chunks;
    uint64_t elements; // of the file's tensors, without padding
    int32_t *at; // of a model's list: number of a weight of a layer in `all`, -1 = none; of an
                 // expert's weight that of expert 0, which the others follow
};

// Most elements of a chunk of several tensors, and of the chunk of one that needs more than that.
struct md_room {
    uint64_t chunk, tensor;
};

// On a device, for tensors of f32.
static inline struct md_room md_room_of(const struct rt_plan *plan)
{
    return (struct md_room){plan->arena_bytes / sizeof(float),
                            plan->caps.alloc_bytes / sizeof(float)};
}

// Lay out `arch` within `room` (RT_E_UNSUPPORTED naming a tensor that is too large for it). Errors:
// RT_E_NOMEM, RT_E_UNSUPPORTED.
RT_NODISCARD enum rt_err md_params_make(const struct md_arch *arch, struct md_room room,
                                        struct md_params *out);
void md_params_free(struct md_params *p);

// Give the tensors that p->all lists (all but chunk and first are set) their places, and set
// chunks, ld and elements. Errors: RT_E_UNSUPPORTED as above.
RT_NODISCARD enum rt_err md_params_place(struct md_params *p, struct md_room room);

// The weight of a layer (layer ignored where there is one for the model), or NULL if a model has
// none. MD_HEAD of a tied model is the embedding.
const struct md_param *md_params_get(const struct md_params *p, enum md_weight weight,
                                     uint32_t layer);

// Flat buffers with the layout of `params`, one a chunk. Masters in 16-bit storage have beside a
// chunk what its rounding left out (src/op/master.h).
struct md_flat {
    struct rt_buf *chunk[MD_MAX_CHUNKS];
    struct rt_buf *low[MD_MAX_CHUNKS]; // NULL: nothing is left out
    uint32_t n;
};
RT_NODISCARD enum rt_err md_flat_create(struct rt_dev *dev, const struct md_params *params,
                                        enum rt_type type, const char *name,
                                        struct md_flat *out); // zero-filled
// Make masters of it: zeros beside all 16-bit chunks, so that they stand for themselves.
RT_NODISCARD enum rt_err md_flat_add_low(const char *name, struct md_flat *flat);
void md_flat_destroy(struct md_flat *flat);

// Elements [first, ...) of a chunk, for an op on masters.
static inline struct op_master md_flat_master(const struct md_flat *flat, uint32_t chunk,
                                              uint64_t first)
{
    const struct rt_buf *low = flat->low[chunk];
    return (struct op_master){{flat->chunk[chunk], first}, {low, low ? first : 0}};
}

// Copy a whole flat buffer of the same type, with what is beside it where both have that. Recorded
// on cmd.
RT_NODISCARD enum rt_err md_flat_copy(struct rt_cmd *cmd, const struct md_flat *from,
                                      struct md_flat *to);
RT_NODISCARD enum rt_err md_flat_zero(struct rt_cmd *cmd, struct md_flat *flat);

// Rows of a weight as the file has it (rows x cols, no padding) to and from host memory of floats,
// masters whole: a weight is rounded as op_split() says, whether its rest is kept or not.
RT_NODISCARD enum rt_err md_flat_write(struct md_flat *flat, const struct md_param *p, uint32_t row,
                                       uint32_t n_rows, const float *x);
RT_NODISCARD enum rt_err md_flat_read(const struct md_flat *flat, const struct md_param *p,
                                      uint32_t row, uint32_t n_rows, float *x);

// The same with elements of the chunk's own type, bit for bit: nothing is left out of them.
RT_NODISCARD enum rt_err md_flat_write_stored(struct md_flat *flat, const struct md_param *p,
                                              uint32_t row, uint32_t n_rows, const void *x);

// The same with RT_F32 or, on host:f64, RT_F64 in host memory.
RT_NODISCARD enum rt_err md_flat_write_as(struct md_flat *flat, const struct md_param *p,
                                          uint32_t row, uint32_t n_rows, enum rt_type type,
                                          const void *x);
RT_NODISCARD enum rt_err md_flat_read_as(const struct md_flat *flat, const struct md_param *p,
                                         uint32_t row, uint32_t n_rows, enum rt_type type, void *x);

#endif // MODEL_PARAMS_H
