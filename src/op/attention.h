// src/op/attention.h -- causal attention in which a query sees two key ranges (design.md
// section 6.2).
//
// Flash attention: T x T is never stored. A flat token axis holds rows, a row is one segment or
// prompt | chosen | rejected. Key blocks are counted from row_begin and from seg_begin and every
// sum has a fixed order, so a segment's results have the same bits wherever it lies and whatever
// lies beside it.
#ifndef OP_ATTENTION_H
#define OP_ATTENTION_H

#include "shaders/attention.h"
#include "src/op/op.h"

OP_PARAMS(attention, ATTENTION_PARAMS);

// Queries [q_begin, q_end) of one segment. Query i's own key is k_begin + (i - q_begin); it sees
// keys [row_begin, prompt_end) and [seg_begin, own key]. In training k_begin == q_begin ==
// seg_begin; the prompt's own segment, or a row that is one segment, has prompt_end == row_begin
// (an empty first range). With a KV cache queries are few, keys lie in a long buffer, and seg_begin
// <= k_begin.
// Positions, which a window compares: key k of the first range has k - row_begin, of the second
// (prompt_end - row_begin) + (k - seg_begin), and a query that of its own key. They restart behind
// the prompt in each segment of a row.
struct op_segment {
    uint32_t q_begin, q_end; // q_begin == q_end: an empty segment, left out
    uint32_t k_begin;
    uint32_t row_begin, prompt_end; // keys
    uint32_t seg_begin;             // key
};

// What op_attention_index() found. Its words are uploaded by the caller into a u32 buffer.
struct op_attention_index {
    uint32_t words;                // words written to out
    uint32_t q_blocks, n_q_blocks; // word offset and number of the query blocks
    uint32_t k_blocks, n_k_blocks; // the same of the key blocks; none when `backward` is false
    uint32_t positions;            // word offset of the queries' positions; likewise
    uint32_t n_tokens, n_keys;     // one past the last query and the last key that a segment names
    bool backward;                 // op_attention_backward() may use it (see op_attention_index())
    uint64_t n_pairs; // visible (query, key) pairs without a window, for counting the work
};

// Most words that an index of so many queries in so many segments can have. Cannot fail.
uint32_t op_attention_index_max(const struct rt_dev *dev, uint32_t max_tokens,
                                uint32_t max_segments);

// Fill `out` with query blocks, which never straddle a segment, and key blocks with the range of
// queries that sees them: a segment's key is seen by the rest of the segment, a prompt's key also
// by every later segment of its row. Segments are in order of q_begin, those of one row beside each
// other. Key blocks are made, and `backward` set, if for each row its segments' queries are
// contiguous, k_begin == seg_begin, k_begin - q_begin is one number for the row, and its prompt's
// keys are those of its first segment.
// Errors: RT_E_ARG  segments out of order or overlapping, or a key range that is not
//                   row_begin <= prompt_end <= seg_begin <= k_begin; says which segment
//         RT_E_ARG  cap is less than op_attention_index_max() of these segments asks for
RT_NODISCARD enum rt_err op_attention_index(const struct rt_dev *dev, const struct op_segment *segs,
                                            uint32_t n_segs, uint32_t *out, uint32_t cap,
                                            struct op_attention_index *info);

// A tensor inside a flat buffer. `first` is a multiple of 128 elements. For matrices `ld` is the
// row stride, a multiple of 8, >= op_stride(columns); for lse and delta it is ignored.
struct op_attention_view {
    const struct rt_buf *buf; // outputs are written through it
    uint64_t first;
    uint32_t ld;
};

// T queries, Tk keys, H query heads, KV key heads (H a multiple of KV: query head h reads key head
// h / (H / KV)), D elements a head. S is f32, f16 or bf16, the same type for all but lse and delta.
// Outputs must not overlap any other tensor. Padding columns of outputs, up to op_stride(columns),
// are written as zeros; tokens and keys of no segment are left untouched.
struct op_attention_args {
    struct op_attention_view q;    // (T, ldq)  in: S, [t][h * D + d]
    struct op_attention_view k, v; // (Tk, ldk) in: S, [t][g * D + d]
    struct op_attention_view o;    // (T, ldq)  S; out of op_attention, in for the backward
    struct op_attention_view lse;  // (H, T)    f32, nats, [h * T + t]; like o
    const struct rt_buf *index;    // u32, as uploaded
    uint64_t index_first;          // where in it the index starts; a multiple of 64
    const struct op_attention_index *info;
    struct op_attention_view scratch; // f32, op_attention_scratch() elements; empty if that is 0
    uint32_t n_tokens, n_keys;        // T, Tk
    uint32_t n_heads, n_kv_heads;     // H, KV
    uint32_t head_dim;                // D, even, 2 .. 256
    float scale;                      // finite; 1/sqrt(D) in most models
    float softcap;                    // finite, >= 0; 0 = none
    uint32_t window;                  // a query sees keys less than so many positions back; 0 = all
    const char *variant; // NULL: choose; "wide", "portable", its forms "staged", "small", "direct"

    // The backward alone; ignored by op_attention.
    struct op_attention_view d_o;    // (T, ldq)  in: S, gradient of o
    struct op_attention_view delta;  // (H, T)    f32, overwritten: rowsum(d_o * o)
    struct op_attention_view dq;     // (T, ldq)  out: S
    struct op_attention_view dk, dv; // (Tk, ldk) out: S
};

// f32 elements of args->scratch that op_attention, or with `backward` op_attention_backward, needs
// on this device. Reads n_tokens, n_keys, n_heads, n_kv_heads, head_dim and variant of `args`.
// Grows with n_tokens and n_keys, so the largest pass decides. May be 0.
uint64_t op_attention_scratch(const struct rt_dev *dev, const struct op_attention_args *args,
                              bool backward);

// s = scale * q k^T over the visible keys, with a softcap softcap * tanh(s / softcap);
// o = softmax(s) v,  lse = log sum exp(s).
// Outputs are valid after rt_cmd_wait().
// Errors: RT_E_ARG          n_heads is not a positive multiple of n_kv_heads; head_dim is odd or
//                           not in 2 .. 256; scale or softcap is not finite, or softcap < 0; an ld
//                           or first breaks the rule of op_attention_view; no info, or no query in
//                           it; an unknown variant
//         RT_E_UNSUPPORTED  the variant is not for this device; the index cannot serve a backward;
//         a tensor is larger than the device can
//                           bind at once (use fewer tokens)
//         RT_E_SHAPE        a buffer is missing, smaller than its shape above or of another type;
//                           the index names tokens or keys beyond n_tokens or n_keys
//         else              what rt_cmd_dispatch() returns
// Source: Dao 2023, arXiv:2307.08691, algorithms 1 and 2 (the backward without atomics: dq by query
// block, dk and dv by key block).
RT_NODISCARD enum rt_err op_attention(struct rt_cmd *cmd, const struct op_attention_args *args);

// Gradients of sum(o * d_o). dq, dk and dv are written, not accumulated. Errors as above.
RT_NODISCARD enum rt_err op_attention_backward(struct rt_cmd *cmd,
                                               const struct op_attention_args *args);

// The same maths in float64: oracles and kernels of the host backend. Buffers as in
// shaders/attention.h.
void op_attention_ref(const struct rt_host_call *call);
void op_attention_delta_ref(const struct rt_host_call *call);
void op_attention_dq_ref(const struct rt_host_call *call);
void op_attention_dkv_ref(const struct rt_host_call *call);

#endif // OP_ATTENTION_H
