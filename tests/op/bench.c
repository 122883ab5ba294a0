#include "src/op/bench.h"

#include "src/base/arith.h"
#include "tests/t.h"

// Every variant of the device is timed in every form and type, the chosen one is marked once for
// each, and the figures are numbers. Speed itself is not tested.
struct seen {
    uint32_t rows, choices;
};

static void row(void *user, const struct op_bench_row *r)
{
    struct seen *s = user;
    s->rows++;
    s->choices += r->is_choice;
    assert_true(r->seconds > 0.0 && r->gflops > 0.0);
    assert_true(r->variant > OP_MATMUL_AUTO && r->variant < OP_MATMUL_VARIANTS);
    assert_true(r->m * r->n * r->k == 30 * 24 * 17);
}

static void body(struct t *t)
{
    static const struct op_bench_shape SHAPE = {30, 24, 17}, BAD = {30, 0, 17};
    struct seen s = {0};
    uint32_t want = 0;

    for (int v = OP_MATMUL_TILE; v < OP_MATMUL_VARIANTS; v++)
        for (int type = RT_F32; type <= RT_BF16; type++)
            want += 3 * op_matmul_has(t_dev(t), (enum op_matmul_variant) v, (enum rt_type) type);
    T_ERR(RT_E_ARG, op_bench_matmul(t_dev(t), &BAD, 1, NULL, 0.0, row, &s));
    T_ERR(RT_E_ARG, op_bench_matmul(t_dev(t), &SHAPE, 1, NULL, -1.0, row, &s));
    T_OK(op_bench_matmul(t_dev(t), &SHAPE, 1, NULL, 0.0, row, &s));
    assert_int_equal(s.rows, want);
    assert_int_equal(s.choices, 9);
    T_OK(op_bench_matmul(t_dev(t), &SHAPE, 1, NULL, 1e-3, row, &s));
    assert_int_equal(s.rows, 2 * want);
    s = (struct seen){0};
    T_OK(op_bench_matmul(t_dev(t), &SHAPE, 1, &(enum rt_type){RT_F16}, 0.0, row, &s));
    assert_int_equal(s.rows, 3);
    assert_int_equal(s.choices, 3);
}

int main(void)
{
    return t_each_device(body);
}
