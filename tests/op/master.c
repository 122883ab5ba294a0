// Masters in 32 bits: taken apart and put together again on the host over all that matters, and on
// the device by a step of length 0.
#include "src/op/master.h"

#include "src/op/lerp.h"
#include "src/op/sgd.h"
#include "tests/op/ops.h"

static uint32_t join_bits(enum rt_type type, uint32_t u)
{
    return f32_bits(op_join(type, op_split(type, f32_from_bits(u))));
}

// The lower halves that matter: both ends, the tie and what is beside it, and some between.
static const uint32_t LOWS[] = {0,      1,      2,      0x0fff, 0x1000, 0x1001,
                                0x1fff, 0x2000, 0x7ffe, 0x7fff, 0x8000, 0x8001,
                                0x8002, 0xc350, 0xefff, 0xf000, 0xfffe, 0xffff};

// Every float but NaN comes back, to the bit; its word is as near as a bf16 can be.
static void bf16(void)
{
    for (uint32_t hi = 0; hi <= 0xffffu; hi++)
        for (size_t k = 0; k < COUNT_OF(LOWS); k++) {
            const uint32_t u = hi << 16 | LOWS[k];
            const struct op_split s = op_split(RT_BF16, f32_from_bits(u));
            const float x = f32_from_bits(u), w = bf16_to_f32(s.w);
            if ((u & 0x7fffffffu) > 0x7f800000u) {
                assert_true(isnan(w) && isnan(op_join(RT_BF16, s)));
                continue;
            }
            if (join_bits(RT_BF16, u) != u)
                fail_msg("bf16: %08x comes back as %08x", u, join_bits(RT_BF16, u));
            const float nearest = bf16_to_f32(bf16_from_f32(x));
            const bool tie = LOWS[k] == 0x8000;
            if (s.w != bf16_from_f32(x) &&
                !(tie && fabs((double) w - (double) x) <= fabs((double) nearest - (double) x)))
                fail_msg("bf16: %08x is kept as %04x", u, s.w);
        }
}

// What op/master.h says of f16: exact from 2^-14 on, and to 2^-41 below (2^-40 for a tie).
static void f16_one(uint32_t u)
{
    const float x = f32_from_bits(u);
    const struct op_split s = op_split(RT_F16, x);
    const float back = op_join(RT_F16, s);
    const double off = fabs((double) back - (double) x), a = fabs((double) x);

    if (isnan(x)) {
        assert_true(isnan(back));
        return;
    }
    if (s.w != f16_from_f32(x))
        fail_msg("f16: %08x is kept as %04x", u, s.w);
    if (a >= 65520.0) {
        assert_true(isinf(back) && signbit(back) == signbit(x));
        return;
    }
    const bool tie = fabs(a * 0x1p24 - floor(a * 0x1p24) - 0.5) <= 0x1p-17;
    const double most = a >= 0x1p-14 || (a >= 0x1p-17 && !tie) ? 0.0 : tie ? 0x1p-40 : 0x1p-41;
    if (!(off <= most) || signbit(back) != signbit(x))
        fail_msg("f16: %a comes back as %a", (double) x, (double) back);
    if (f32_bits(op_join(RT_F16, op_split(RT_F16, back))) != f32_bits(back))
        fail_msg("f16: %a is moved again", (double) back);
}

static void f16(void)
{
    for (uint32_t hi = 0; hi <= 0xffffu; hi++)
        for (size_t k = 0; k < COUNT_OF(LOWS); k++)
            f16_one(hi << 16 | LOWS[k]);
    for (uint32_t u = 0; u < 0xffff0000u; u += 65521) // a prime: all lower halves in turn
        f16_one(u);
    for (uint32_t h = 0; h < 0x7c00u; h++) // beside and between the f16s
        for (int sign = 0; sign < 2; sign++) {
            const uint32_t from = f32_bits(f16_to_f32((uint16_t) h)),
                           to = f32_bits(f16_to_f32((uint16_t) (h + 1))), middle = (from + to) / 2;
            const float half = h < 0x400 ? ((float) h + 0.5f) * 0x1p-24f : f32_from_bits(middle);
            for (uint32_t d = 0; d < 5; d++) {
                f16_one((from + d - 2) ^ (sign ? 0x80000000u : 0));
                f16_one((f32_bits(half) + d - 2) ^ (sign ? 0x80000000u : 0));
            }
        }
}

// On the device: weights and what is beside them as the host made them, through a step of length 0.
// Every word with every rest that belongs to it would be 2^32; a prime takes all rests in turn.
static void kept_on_device(struct t *t, enum rt_type type)
{
    enum { N = 1 << 18 };
    uint16_t *w = t_alloc(t, 2 * N * sizeof(*w)), *low = w + N, *got = t_alloc(t, N * sizeof(*w));
    struct rt_buf *b[2] = {t_zeros(t, t_dev(t), type, N), t_zeros(t, t_dev(t), type, N)};
    const struct op_vec g = {t_zeros(t, t_dev(t), RT_F32, N), 0};
    const double one = 1.0;
    struct rt_buf *mult = t_buf(t, t_dev(t), RT_F32, &one, 1);
    struct rt_cmd *cmd;

    for (uint32_t i = 0; i < N; i++) {
        uint32_t u = i * 16381u;
        if (i < 0x400 * 5) // ties of f16's subnormals, and what is beside them
            u = f32_bits(((float) (i / 5) + 0.5f) * 0x1p-24f) + i % 5 - 2;
        u = (u & 0x7fffffffu) >= (type == RT_F16 ? 0x477fe000u : 0x7f800000u) ? u & 0x3fffffffu : u;
        const struct op_split s = op_split(type, f32_from_bits(u));
        w[i] = s.w;
        low[i] = s.low;
    }
    T_OK(rt_buf_write(b[0], 0, N, type, w));
    T_OK(rt_buf_write(b[1], 0, N, type, low));
    T_OK(rt_cmd_create(t_dev(t), &cmd));
    T_OK(op_sgd(cmd, &(struct op_sgd_args){g, mult, {{b[0], 0}, {b[1], 0}}, N, 0.0f, 0.0f}));
    T_OK(rt_cmd_wait(&cmd));
    for (int k = 0; k < 2; k++) {
        T_OK(rt_buf_read(b[k], 0, N, type, got));
        for (uint32_t i = 0; i < N; i++)
            if (got[i] != (k ? low[i] : w[i]))
                fail_msg("%s: %04x, %04x: %s becomes %04x", rt_type_name(type), w[i], low[i],
                         k ? "the rest" : "the word", got[i]);
    }
    t_reset(t);
}

// Inf and NaN on the device.
static void specials(struct t *t, enum rt_type type)
{
    const double x[4] = {INFINITY, -INFINITY, NAN, 70000.0}, zeros[4] = {0.0};
    const struct op_master p = t_master(t, t_dev(t), type, x, 4);
    struct rt_cmd *cmd;

    T_OK(rt_cmd_create(t_dev(t), &cmd));
    T_OK(op_lerp(cmd, &(struct op_lerp_args){t_master(t, t_dev(t), type, zeros, 4), p, 4, 0.0}));
    T_OK(rt_cmd_wait(&cmd));
    const double *y = t_read_master(t, p, 4), *w = t_read(t, p.w, 4);
    assert_true(y[0] == x[0] && y[1] == x[1] && isnan(y[2]) && w[0] == x[0] && isnan(w[2]));
    assert_true(type == RT_F16 ? y[3] > 1e30 : y[3] == 70000.0);
    t_reset(t);
}

static void body(struct t *t)
{
    if (t_on_host(t)) {
        bf16();
        f16();
    }
    for (enum rt_type type = RT_F16; type <= RT_BF16; type++) {
        kept_on_device(t, type);
        specials(t, type);
    }
}

int main(void)
{
    return t_each_device(body);
}
