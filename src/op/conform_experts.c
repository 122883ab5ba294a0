// The case of `conform` for products of rows grouped by expert; see conform_cases.c.
#include <string.h>

#include "src/op/conform.h"
#include "src/op/experts.h"

#define ULP 0x1p-23
#define FILL(type, n, seed, lo, hi, out) RT_TRY(op_side_fill(s, type, n, seed, lo, hi, out))

// A prime of tokens; weights (EACH apart, a multiple of 128) that end inside a panel of every
// vector width.
enum {
    T = 67,
    E = 5,
    K = 2,
    M = T * K,
    ROWS = 46,
    COLS = 94,
    LDR = 48,
    LDC = 96,
    LDE = 8,
    EACH = 4480
};

static enum rt_err route(struct op_side *s, struct rt_buf **index)
{
    enum rt_err err = RT_OK;
    const uint32_t words[4096] = {0};
    struct rt_buf *logits, *weights;

    RT_REQUIRE(op_route_words(T, E, K) <= sizeof(words) / sizeof(*words), RT_E_ARG);
    FILL(RT_F32, T * LDE, 1, -2.0, 2.0, &logits);
    FILL(RT_F32, op_route_floats(T, K), 2, 0.0, 0.0, &weights);
    RT_TRY(op_side_words(s, words, op_route_words(T, E, K), index));
    RT_TRY(op_route(s->cmd, &(struct op_route_args){.logits = {logits, 0},
                                                    .index = *index,
                                                    .route = {weights, 0},
                                                    .n_tokens = T,
                                                    .n_experts = E,
                                                    .top_k = K,
                                                    .ld = LDE}));
    op_side_output(s, "route", weights, op_route_floats(T, K), 2 * (E + 20) * ULP);
done:
    return err;
}

enum rt_err op_conform_experts(struct op_side *s)
{
    enum rt_err err = RT_OK;
    const bool host = strncmp(rt_dev_id(s->dev), "host", 4) == 0;
    struct rt_buf *index, *x, *y, *w, *up, *down, *grad;
    struct op_mat in[E];
    struct op_mat_out dw[E];

    RT_TRY(route(s, &index));
    FILL(s->type, M * LDC, 3, -1.0, 1.0, &x);
    FILL(s->type, M * LDR, 4, -1.0, 1.0, &y);
    FILL(s->type, E * EACH, 5, -1.0, 1.0, &w);
    FILL(s->type, M * LDR, 6, 0.0, 0.0, &up);
    FILL(s->type, M * LDC, 7, 0.0, 0.0, &down);
    FILL(RT_F32, E * EACH, 8, -1.0, 1.0, &grad);
    for (uint32_t e = 0; e < E; e++) {
        in[e] = (struct op_mat){w, e * EACH, LDC};
        dw[e] = (struct op_mat_out){grad, e * EACH, LDC};
    }
    struct op_experts_matmul_args a = {
        .form = OP_NT,
        .of = {index, T, E, K},
        .w_rows = ROWS,
        .w_cols = COLS,
        .a = {x, 0, LDC},
        .b = {x, 0, LDC},
        .w = in,
        .c = {up, 0, LDR},
        .dw = dw,
        .variant = host ? OP_MATMUL_AUTO : (enum op_matmul_variant)(OP_MATMUL_TILE + s->variant)};
    RT_TRY(op_experts_matmul(s->cmd, &a));
    a.form = OP_NN;
    a.a = (struct op_mat){y, 0, LDR};
    a.c = (struct op_mat_out){down, 0, LDC};
    RT_TRY(op_experts_matmul(s->cmd, &a));
    a.form = OP_TN;
    RT_TRY(op_experts_matmul(s->cmd, &a));
    op_side_output(s, "nt", up, M * LDR, COLS * ULP);
    op_side_output(s, "nn", down, M * LDC, ROWS * ULP);
    op_side_output(s, "tn", grad, E * EACH, M * ULP);
done:
    return err;
}
