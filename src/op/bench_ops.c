// The ops of a layer of a 135 M model at 1024 tokens, timed. Bytes are what an op must move: each
// tensor once.
#include "src/op/bench.h"

#include <stdlib.h>

#include "src/base/arith.h"
#include "src/op/adamw.h"
#include "src/op/attention.h"
#include "src/op/cast.h"
#include "src/op/conform.h"
#include "src/op/experts.h"
#include "src/op/logprob.h"
#include "src/op/norm.h"
#include "src/op/rope.h"
#include "src/op/sumsq.h"
#include "src/op/act.h"

enum { T = 1024, C = 576, F = 1536, H = 9, KV = 3, D = 64, V = 49152, M = 512, BIG = 1 << 22 };
enum { QUERY = H * D, KEY = KV * D, EXPERTS = 8, TOP = 2, ROUTED = T * TOP };

#define VEC(i) ((struct op_vec){s->bufs[i], 0})
#define MAKE(type, n) RT_TRY(op_side_fill(s, type, n, s->n_bufs + 1, 0.0, 1.0, &b))

// What an op's setup made, beside the buffers.
struct bench {
    struct op_side side;
    struct op_attention_index info;
};

static enum rt_err cast_setup(struct bench *k)
{
    enum rt_err err = RT_OK;
    struct op_side *s = &k->side;
    struct rt_buf *b;
    MAKE(RT_F32, BIG);
    MAKE(s->type, BIG);
done:
    return err;
}

static enum rt_err cast_run(struct bench *k)
{
    struct op_side *s = &k->side;
    return op_cast(s->cmd, &(struct op_cast_args){.x = s->bufs[0], .y = s->bufs[1], .n = BIG});
}

static enum rt_err norm_setup(struct bench *k)
{
    enum rt_err err = RT_OK;
    struct op_side *s = &k->side;
    struct rt_buf *b;
    MAKE(RT_F32, T * C);
    MAKE(s->type, C);
    MAKE(s->type, T * C);
    MAKE(RT_F32, T);
    MAKE(RT_F32, T * C);
    MAKE(RT_F32, C);
    MAKE(RT_F32, op_norm_scratch(T, C));
done:
    return err;
}

static enum rt_err norm_run(struct bench *k)
{
    struct op_side *s = &k->side;
    return op_norm(s->cmd, &(struct op_norm_args){.x = VEC(0),
                                                  .w = VEC(1),
                                                  .y = VEC(2),
                                                  .stats = VEC(3),
                                                  .n_rows = T,
                                                  .cols = C,
                                                  .ldx = C,
                                                  .ldy = C,
                                                  .eps = 1e-5f});
}

static enum rt_err norm_back_run(struct bench *k)
{
    struct op_side *s = &k->side;
    return op_norm_backward(s->cmd, &(struct op_norm_backward_args){.dy = VEC(2),
                                                                    .x = VEC(0),
                                                                    .w = VEC(1),
                                                                    .stats = VEC(3),
                                                                    .dx = VEC(4),
                                                                    .dw = VEC(5),
                                                                    .scratch = s->bufs[6],
                                                                    .n_rows = T,
                                                                    .cols = C,
                                                                    .ldx = C,
                                                                    .ldy = C,
                                                                    .lddx = C,
                                                                    .add = true});
}

static enum rt_err rope_setup(struct bench *k)
{
    enum rt_err err = RT_OK;
    struct op_side *s = &k->side;
    uint32_t pos[T];
    struct rt_buf *b;
    for (uint32_t i = 0; i < T; i++)
        pos[i] = i;
    MAKE(s->type, T * QUERY);
    MAKE(RT_F32, T * D / 2);
    MAKE(RT_F32, T * D / 2);
    RT_TRY(op_side_words(s, pos, T, &b));
    MAKE(s->type, T * QUERY);
done:
    return err;
}

static enum rt_err rope_run(struct bench *k)
{
    struct op_side *s = &k->side;
    return op_rope(s->cmd, &(struct op_rope_args){.x = VEC(0),
                                                  .cos_table = s->bufs[1],
                                                  .sin_table = s->bufs[2],
                                                  .pos = s->bufs[3],
                                                  .y = VEC(4),
                                                  .n_rows = T,
                                                  .n_heads = H,
                                                  .head_dim = D,
                                                  .n_pos = T,
                                                  .ldx = QUERY,
                                                  .ldy = QUERY});
}

static enum rt_err swiglu_setup(struct bench *k)
{
    enum rt_err err = RT_OK;
    struct op_side *s = &k->side;
    struct rt_buf *b;
    for (int i = 0; i < 5; i++)
        MAKE(s->type, T * F);
done:
    return err;
}

static enum rt_err swiglu_run(struct bench *k)
{
    struct op_side *s = &k->side;
    return op_act(s->cmd,
                  &(struct op_act_args){
                      .g = VEC(0), .u = VEC(1), .a = VEC(2), .n_rows = T, .cols = F, .ld = F});
}

static enum rt_err swiglu_back_run(struct bench *k)
{
    struct op_side *s = &k->side;
    return op_act_backward(s->cmd, &(struct op_act_backward_args){.g = VEC(0),
                                                                  .u = VEC(1),
                                                                  .da = VEC(2),
                                                                  .dg = VEC(3),
                                                                  .du = VEC(4),
                                                                  .n_rows = T,
                                                                  .cols = F,
                                                                  .ld = F});
}

static enum rt_err adamw_setup(struct bench *k)
{
    enum rt_err err = RT_OK;
    struct op_side *s = &k->side;
    struct rt_buf *b;
    for (int i = 0; i < 3; i++)
        MAKE(RT_F32, BIG);
    MAKE(s->type, BIG);
    MAKE(s->type, BIG);
    MAKE(RT_F32, op_sumsq_parts(BIG));
    MAKE(RT_F32, 1);
done:
    return err;
}

static enum rt_err adamw_run(struct bench *k)
{
    struct op_side *s = &k->side;
    const struct op_adamw_step step = {.decay = 1.0f,
                                       .beta1 = 0.9f,
                                       .one_minus_beta1 = 0.1f,
                                       .beta2 = 0.999f,
                                       .one_minus_beta2 = 0.001f,
                                       .step_size = 1e-6f,
                                       .inv_sqrt_bc2 = 1.0f,
                                       .eps = 1e-8f};
    const struct op_vec low = {s->type == RT_F32 ? NULL : s->bufs[4], 0};
    return op_adamw(s->cmd, &(struct op_adamw_args){.grad = VEC(0),
                                                    .mult = s->bufs[6],
                                                    .m = VEC(1),
                                                    .v = VEC(2),
                                                    .p = {VEC(3), low},
                                                    .n = BIG,
                                                    .step = step});
}

static enum rt_err sumsq_run(struct bench *k)
{
    struct op_side *s = &k->side;
    return op_sumsq(s->cmd, &(struct op_sumsq_args){.x = VEC(0), .n = BIG, .part = s->bufs[5]});
}

static struct op_attention_args attention_args(struct bench *k)
{
    struct op_side *s = &k->side;
    return (struct op_attention_args){.q = {s->bufs[0], 0, QUERY},
                                      .k = {s->bufs[1], 0, KEY},
                                      .v = {s->bufs[2], 0, KEY},
                                      .o = {s->bufs[3], 0, QUERY},
                                      .lse = {s->bufs[4], 0, 0},
                                      .d_o = {s->bufs[5], 0, QUERY},
                                      .delta = {s->bufs[6], 0, 0},
                                      .dq = {s->bufs[7], 0, QUERY},
                                      .dk = {s->bufs[8], 0, KEY},
                                      .dv = {s->bufs[9], 0, KEY},
                                      .index = s->bufs[10],
                                      .scratch = {s->bufs[11], 0, 0},
                                      .info = &k->info,
                                      .n_tokens = T,
                                      .n_keys = T,
                                      .n_heads = H,
                                      .n_kv_heads = KV,
                                      .head_dim = D,
                                      .scale = 0.125f};
}

static enum rt_err attention_setup(struct bench *k)
{
    static const uint32_t COLS[] = {QUERY, KEY, KEY, QUERY, 0, QUERY, 0, QUERY, KEY, KEY};
    enum { WORDS = 1 << 16 };
    enum rt_err err = RT_OK;
    struct op_side *s = &k->side;
    struct rt_buf *b;
    uint32_t *words = malloc(WORDS * sizeof(*words));
    const struct op_segment seg = {.q_end = T};

    RT_REQUIRE(words, RT_E_NOMEM);
    for (size_t i = 0; i < COUNT_OF(COLS); i++)
        MAKE(COLS[i] ? s->type : RT_F32, COLS[i] ? T * COLS[i] : H * T);
    RT_TRY(op_attention_index(s->dev, &seg, 1, words, WORDS, &k->info));
    RT_TRY(op_side_words(s, words, k->info.words, &b));
    const struct op_attention_args a = attention_args(k);
    MAKE(RT_F32, u64_max(u64_max(op_attention_scratch(s->dev, &a, true),
                                 op_attention_scratch(s->dev, &a, false)),
                         1));
done:
    free(words);
    return err;
}

static enum rt_err attention_run(struct bench *k)
{
    const struct op_attention_args a = attention_args(k);
    return op_attention(k->side.cmd, &a);
}

static enum rt_err attention_back_run(struct bench *k)
{
    const struct op_attention_args a = attention_args(k);
    return op_attention_backward(k->side.cmd, &a);
}

static const struct op_logprob_chunks CHUNKS = {.rows = 1024, .vocab = 8192};

static enum rt_err head_setup(struct bench *k)
{
    enum rt_err err = RT_OK;
    struct op_side *s = &k->side;
    struct rt_buf *b;
    uint32_t targets[M];
    const struct op_logprob_sizes n = op_logprob_sizes(s->dev, s->type, M, C, V, CHUNKS, true);
    for (uint32_t i = 0; i < M; i++)
        targets[i] = i * 97 % V;
    MAKE(s->type, M * C);
    MAKE(s->type, (uint64_t) V * C);
    RT_TRY(op_side_words(s, targets, M, &b));
    MAKE(RT_F32, M * OP_LOGPROB_COLUMNS);
    MAKE(RT_F32, n.logits);
    MAKE(RT_F32, n.state);
    MAKE(s->type, u64_max(n.dlogits, 1));
    MAKE(RT_F32, u64_max(n.matmul, 1));
    MAKE(RT_F32, M);
    MAKE(RT_F32, M * C);
    MAKE(RT_F32, (uint64_t) V * C);
done:
    return err;
}

static struct op_logprob_scratch head_scratch(const struct op_side *s)
{
    return (struct op_logprob_scratch){
        .logits = s->bufs[4], .state = s->bufs[5], .dlogits = s->bufs[6], .matmul = s->bufs[7]};
}

static enum rt_err head_forward(struct op_side *s, struct rt_buf *dh)
{
    return op_logprob(s->cmd, &(struct op_logprob_args){.h = {s->bufs[0], 0, C},
                                                        .w = {s->bufs[1], 0, C},
                                                        .targets = s->bufs[2],
                                                        .result = s->bufs[3],
                                                        .n_rows = M,
                                                        .cols = C,
                                                        .n_vocab = V,
                                                        .chunks = CHUNKS,
                                                        .scratch = head_scratch(s),
                                                        .dh = {dh, 0, C}});
}

static enum rt_err head_run(struct bench *k)
{
    return head_forward(&k->side, NULL);
}

static enum rt_err head_sweep_run(struct bench *k)
{
    return head_forward(&k->side, k->side.bufs[9]);
}

static enum rt_err head_back_run(struct bench *k)
{
    struct op_side *s = &k->side;
    return op_logprob_backward(s->cmd,
                               &(struct op_logprob_backward_args){.h = {s->bufs[0], 0, C},
                                                                  .w = {s->bufs[1], 0, C},
                                                                  .targets = s->bufs[2],
                                                                  .result = s->bufs[3],
                                                                  .coef = s->bufs[8],
                                                                  .dh = {s->bufs[9], 0, C},
                                                                  .dw = {s->bufs[10], 0, C},
                                                                  .n_rows = M,
                                                                  .cols = C,
                                                                  .n_vocab = V,
                                                                  .chunks = CHUNKS,
                                                                  .scratch = head_scratch(s)});
}

// Buffers: logits, index, routing, rows of C, weights, rows of F, gradients of the weights.
static enum rt_err experts_setup(struct bench *k)
{
    enum rt_err err = RT_OK;
    struct op_side *s = &k->side;
    struct rt_buf *b;
    uint32_t words[4 * ROUTED] = {0};

    RT_REQUIRE(op_route_words(T, EXPERTS, TOP) <= COUNT_OF(words), RT_E_ARG);
    MAKE(RT_F32, T * EXPERTS);
    RT_TRY(op_side_words(s, words, op_route_words(T, EXPERTS, TOP), &b));
    MAKE(RT_F32, op_route_floats(T, TOP));
    MAKE(s->type, ROUTED * C);
    MAKE(s->type, (uint64_t) EXPERTS * F * C);
    MAKE(s->type, ROUTED * F);
    MAKE(RT_F32, (uint64_t) EXPERTS * F * C);
    RT_TRY(rt_cmd_create(s->dev, &s->cmd));
    RT_TRY(op_route(s->cmd, &(struct op_route_args){.logits = VEC(0),
                                                    .index = s->bufs[1],
                                                    .route = VEC(2),
                                                    .n_tokens = T,
                                                    .n_experts = EXPERTS,
                                                    .top_k = TOP,
                                                    .ld = EXPERTS}));
    RT_TRY(rt_cmd_wait(&s->cmd));
done:
    rt_cmd_destroy(&s->cmd);
    return err;
}

static enum rt_err experts_run(struct bench *k, enum op_matmul_form form)
{
    struct op_side *s = &k->side;
    struct op_mat w[EXPERTS];
    struct op_mat_out dw[EXPERTS];
    const struct op_mat x = {s->bufs[3], 0, C}, y = {s->bufs[5], 0, F};

    for (uint32_t e = 0; e < EXPERTS; e++) {
        w[e] = (struct op_mat){s->bufs[4], (uint64_t) e * F * C, C};
        dw[e] = (struct op_mat_out){s->bufs[6], (uint64_t) e * F * C, C};
    }
    return op_experts_matmul(s->cmd,
                             &(struct op_experts_matmul_args){
                                 .form = form,
                                 .of = {s->bufs[1], T, EXPERTS, TOP},
                                 .w_rows = F,
                                 .w_cols = C,
                                 .a = form == OP_NT ? x : y,
                                 .b = x,
                                 .w = w,
                                 .c = {s->bufs[form == OP_NT ? 5 : 3], 0, form == OP_NT ? F : C},
                                 .dw = dw});
}

static enum rt_err experts_nt_run(struct bench *k)
{
    return experts_run(k, OP_NT);
}

static enum rt_err experts_nn_run(struct bench *k)
{
    return experts_run(k, OP_NN);
}

static enum rt_err experts_tn_run(struct bench *k)
{
    return experts_run(k, OP_TN);
}

// Bytes: f32 elements and elements of the storage type. FLOPs where they are what bounds the op;
// attention's are those of the visible half, the backward's with its recomputed scores.
static const struct bench_op {
    const char *name;
    enum rt_err (*setup)(struct bench *k);
    enum rt_err (*run)(struct bench *k); // once
    double f32, stored, flops;
} OPS[] = {
    {"cast", cast_setup, cast_run, BIG, BIG, 0.0},
    {"rms_norm", norm_setup, norm_run, T *C, T *C, 0.0},
    {"rms_norm_backward", norm_setup, norm_back_run, 3.0 * T *C, T *C, 0.0},
    {"rope", rope_setup, rope_run, 0.0, 2.0 * T *QUERY, 0.0},
    {"swiglu", swiglu_setup, swiglu_run, 0.0, 3.0 * T *F, 0.0},
    {"swiglu_backward", swiglu_setup, swiglu_back_run, 0.0, 5.0 * T *F, 0.0},
    {"sumsq", adamw_setup, sumsq_run, BIG, 0.0, 0.0},
    {"adamw", adamw_setup, adamw_run, 6.0 * BIG, 2.0 * BIG, 0.0},
    {"attention", attention_setup, attention_run, 0.0, 0.0, 2.0 * T *T *QUERY},
    {"attention_backward", attention_setup, attention_back_run, 0.0, 0.0, 5.0 * T *T *QUERY},
    {"experts", experts_setup, experts_nt_run, 0.0, 0.0, 2.0 * ROUTED * F * C},
    {"experts_dx", experts_setup, experts_nn_run, 0.0, 0.0, 2.0 * ROUTED * F * C},
    {"experts_dw", experts_setup, experts_tn_run, 0.0, 0.0, 2.0 * ROUTED * F * C},
    {"logprob", head_setup, head_run, 0.0, 0.0, 2.0 * M *V *C},
    {"logprob_sweep", head_setup, head_sweep_run, 0.0, 0.0, 4.0 * M *V *C},
    {"logprob_backward", head_setup, head_back_run, 0.0, 0.0, 6.0 * M *V *C},
};

static enum rt_err repeat(void *user, struct rt_dev *dev, uint32_t times)
{
    enum rt_err err = RT_OK;
    struct bench *k = ((void **) user)[0];
    const struct bench_op *op = ((void **) user)[1];

    RT_TRY(rt_cmd_create(dev, &k->side.cmd));
    for (uint32_t i = 0; i < times; i++)
        RT_TRY(op->run(k));
    RT_TRY(rt_cmd_wait(&k->side.cmd));
done:
    rt_cmd_destroy(&k->side.cmd);
    return err;
}

static enum rt_err one(struct rt_dev *dev, const struct bench_op *op, enum rt_type type,
                       double seconds, struct op_bench_op_row *row)
{
    enum rt_err err = RT_OK;
    struct bench k = {.side = {.dev = dev, .type = type}};
    const void *user[] = {&k, op};

    RT_TRY(op->setup(&k));
    RT_TRY(op_bench_time(repeat, user, dev, seconds, &row->seconds));
    row->gbytes = (4.0 * op->f32 + (double) rt_type_size(type) * op->stored) / row->seconds / 1e9;
    row->gflops = op->flops / row->seconds / 1e9;
done:
    for (uint32_t i = 0; i < k.side.n_bufs; i++)
        rt_buf_destroy(&k.side.bufs[i]);
    return err;
}

enum rt_err op_bench_ops(struct rt_dev *dev, double seconds,
                         void (*row)(void *user, const struct op_bench_op_row *row), void *user)
{
    static const enum rt_type TYPES[] = {RT_F32, RT_F16, RT_BF16};
    enum rt_err err = RT_OK;

    RT_REQUIRE(seconds >= 0.0, RT_E_ARG);
    for (size_t i = 0; i < COUNT_OF(OPS) * COUNT_OF(TYPES); i++) {
        struct op_bench_op_row r = {.op = OPS[i / COUNT_OF(TYPES)].name,
                                    .type = TYPES[i % COUNT_OF(TYPES)]};
        RT_TRY(one(dev, &OPS[i / COUNT_OF(TYPES)], r.type, seconds, &r));
        row(user, &r);
    }
done:
    return err;
}
