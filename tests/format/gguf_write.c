// What the GGUF writer writes is what the reader reads, and what it refuses.
#include <math.h>

#include "src/base/half.h"
#include "src/format/gguf_write.h"
#include "tests/format/util.h"

static const uint64_t VECTOR[] = {5}, MATRIX[] = {3, 64};

static float value(uint64_t i)
{
    return (float) ((double) (i * 7919 % 1000) / 300.0 - 1.5);
}

static void put_all(struct fmt_gguf_writer *w, uint64_t n)
{
    float x[192];
    for (uint64_t i = 0; i < n; i++)
        x[i] = value(i);
    U_OK(fmt_gguf_writer_put_f32(w, x, n));
}

// q by hand: the block's largest magnitude is 127.
static void check_q8(const struct fmt_gguf_tensor *t)
{
    float got[192];
    U_OK(fmt_gguf_to_f32(t, 0, 192, got));
    for (uint64_t block = 0; block < 6; block++) {
        double amax = 0.0;
        for (uint64_t i = 0; i < 32; i++)
            amax = fmax(amax, fabs((double) value(block * 32 + i)));
        // half a step of d, and d's own rounding (2^-11) times 127 of it
        for (uint64_t i = 0; i < 32; i++)
            assert_true(fabs((double) got[block * 32 + i] - (double) value(block * 32 + i)) <=
                        amax / 127 * 0.5001 + amax * 0x1p-11);
    }
}

static void round_trip(void **state)
{
    char *dir = u_dir(), *path = u_in(dir, "m.gguf");
    struct fmt_gguf_writer *w;
    struct fmt_gguf g;
    struct fmt_gguf_str s;
    const struct fmt_gguf_kv *kv;
    float x[192], f;
    uint32_t u;
    int64_t v;
    bool b;
    (void) state;

    U_OK(fmt_gguf_writer_create(path, &w));
    U_OK(fmt_gguf_put_text(w, "general.architecture", "lla\0ma", 6));
    U_OK(fmt_gguf_put_u32(w, "u", 4000000000u));
    U_OK(fmt_gguf_put_f32(w, "f", 0.1f));
    U_OK(fmt_gguf_put_bool(w, "b", true));
    U_OK(fmt_gguf_put_array(w, "texts", FMT_GGUF_STR, 2));
    U_OK(fmt_gguf_item_text(w, "", 0));
    U_OK(fmt_gguf_item_text(w, "Ġa", 3));
    U_OK(fmt_gguf_put_array(w, "ints", FMT_GGUF_I32, 1));
    U_OK(fmt_gguf_item_i32(w, -3));
    U_OK(fmt_gguf_put_array(w, "floats", FMT_GGUF_F32, 1));
    U_OK(fmt_gguf_item_f32(w, -0.5f));
    U_OK(fmt_gguf_writer_add(w, "a", FMT_QUANT_F32, 1, VECTOR));
    U_OK(fmt_gguf_writer_add(w, "b", FMT_QUANT_F16, 2, MATRIX));
    U_OK(fmt_gguf_writer_add(w, "c", FMT_QUANT_BF16, 1, VECTOR));
    U_OK(fmt_gguf_writer_add(w, "d", FMT_QUANT_Q8_0, 2, MATRIX));
    U_OK(fmt_gguf_writer_begin(w));
    put_all(w, 5);
    put_all(w, 192);
    put_all(w, 5);
    put_all(w, 192);
    assert_false(file_exists(path));
    U_OK(fmt_gguf_writer_commit(w));
    fmt_gguf_writer_destroy(&w);

    U_OK(fmt_gguf_open(path, &g));
    assert_true(g.version == 3 && g.n_kvs == 7 && g.n_tensors == 4);
    U_OK(fmt_gguf_text(&g, "general.architecture", &s));
    assert_true(s.len == 6 && memcmp(s.data, "lla\0ma", 6) == 0);
    U_OK(fmt_gguf_u32(&g, "u", &u));
    U_OK(fmt_gguf_f32(&g, "f", &f));
    U_OK(fmt_gguf_bool(&g, "b", &b));
    assert_true(u == 4000000000u && f == 0.1f && b);
    U_OK(fmt_gguf_array(&g, "texts", FMT_GGUF_STR, &kv));
    struct fmt_gguf_iter it = fmt_gguf_iter(kv);
    assert_true(fmt_gguf_next(&it, &s) && s.len == 0);
    assert_true(fmt_gguf_next(&it, &s) && s.len == 3);
    U_OK(fmt_gguf_array(&g, "ints", FMT_GGUF_I32, &kv));
    assert_true(fmt_gguf_int_at(kv, 0, &v) && v == -3);
    for (uint32_t i = 0; i < 3; i++) {
        const struct fmt_gguf_tensor *t = &g.tensors[i];
        assert_true(t->count == (i == 1 ? 192 : 5));
        U_OK(fmt_gguf_to_f32(t, 0, t->count, x));
        for (uint64_t k = 0; k < t->count; k++)
            assert_true(x[k] == (i == 0   ? value(k)
                                 : i == 1 ? f16_to_f32(f16_from_f32(value(k)))
                                          : bf16_to_f32(bf16_from_f32(value(k)))));
    }
    check_q8(&g.tensors[3]);
    fmt_gguf_close(&g);
    free(path);
    u_drop(dir);
}

// A block by hand: amax 2 gives d = 2/127, whose f16 is 0x2408 (2^-6 (1 + 8 / 1024)).
static void q8_block(void **state)
{
    float x[32] = {2.0f, -2.0f, 1.0f, -0.0f, 0.5f * 2.0f / 127.0f, -0.49f * 2.0f / 127.0f};
    unsigned char p[34];
    (void) state;

    fmt_quant_find(FMT_QUANT_Q8_0)->encode(x, 1, p);
    assert_true(p[0] == 0x08 && p[1] == 0x24);
    assert_true((int8_t) p[2] == 127 && (int8_t) p[3] == -127 && p[4] == 64 && p[5] == 0);
    assert_true(p[7] == 0); // 63.5 above and 0.49 below round away from zero and to it
    for (size_t i = 0; i < 32; i++)
        x[i] = 1e-44f;
    fmt_quant_find(FMT_QUANT_Q8_0)->encode(x, 1, p);
    for (size_t i = 0; i < 34; i++)
        assert_int_equal(p[i], 0);
}

static void refused(void **state)
{
    static const uint64_t HUGE_SHAPE[] = {UINT64_MAX / 2, 64}, ZERO[] = {0}, ROWS[] = {64, 3};
    char *dir = u_dir(), *path = u_in(dir, "m.gguf");
    float x[5] = {0};
    struct fmt_gguf_writer *w;
    (void) state;

    U_OK(fmt_gguf_writer_create(path, &w));
    U_OK(fmt_gguf_put_u32(w, "u", 1));
    U_FAILS(RT_E_ARG, "key u is put twice", fmt_gguf_put_f32(w, "u", 1.0f));
    U_FAILS(RT_E_ARG, "0 bytes", fmt_gguf_put_u32(w, "", 1));
    U_FAILS(RT_E_ARG, "type", fmt_gguf_put_array(w, "a", FMT_GGUF_U8, 1));
    U_FAILS(RT_E_ARG, "element", fmt_gguf_item_i32(w, 1));
    U_OK(fmt_gguf_put_array(w, "a", FMT_GGUF_I32, 1));
    U_FAILS(RT_E_ARG, "element", fmt_gguf_item_text(w, "x", 1));
    U_FAILS(RT_E_ARG, "key a: 1 elements are missing", fmt_gguf_put_u32(w, "v", 1));
    U_FAILS(RT_E_ARG, "key a: 1 elements are missing", fmt_gguf_writer_begin(w));
    U_OK(fmt_gguf_item_i32(w, 1));
    U_FAILS(RT_E_SHAPE, "tensor t", fmt_gguf_writer_add(w, "t", FMT_QUANT_F32, 2, HUGE_SHAPE));
    U_FAILS(RT_E_SHAPE, "tensor t", fmt_gguf_writer_add(w, "t", FMT_QUANT_F32, 1, ZERO));
    U_FAILS(RT_E_SHAPE, "blocks of 32", fmt_gguf_writer_add(w, "t", FMT_QUANT_Q8_0, 2, ROWS));
    U_FAILS(RT_E_ARG, "rank", fmt_gguf_writer_add(w, "t", FMT_QUANT_F32, 5, ROWS));
    U_FAILS(RT_E_ARG, "encode", fmt_gguf_writer_add(w, "t", 12, 1, VECTOR));
    U_OK(fmt_gguf_writer_add(w, "t", FMT_QUANT_F16, 1, VECTOR));
    U_OK(fmt_gguf_writer_add(w, "t", FMT_QUANT_F16, 1, VECTOR));
    U_FAILS(RT_E_ARG, "tensor t is declared twice", fmt_gguf_writer_begin(w));
    fmt_gguf_writer_destroy(&w);

    U_OK(fmt_gguf_writer_create(path, &w));
    U_OK(fmt_gguf_writer_add(w, "t", FMT_QUANT_F16, 1, VECTOR));
    U_FAILS(RT_E_ARG, "begun", fmt_gguf_writer_put_f32(w, x, 5));
    U_OK(fmt_gguf_writer_begin(w));
    U_FAILS(RT_E_SHAPE, "6 more", fmt_gguf_writer_put_f32(w, x, 6));
    x[4] = 65520.0f;
    U_FAILS(RT_E_NUMERIC, "tensor t: 65520", fmt_gguf_writer_put_f32(w, x, 5));
    U_FAILS(RT_E_SHAPE, "tensor t: 0 elements were put", fmt_gguf_writer_commit(w));
    x[4] = 65519.0f;
    U_OK(fmt_gguf_writer_put_f32(w, x, 5));
    U_FAILS(RT_E_SHAPE, "behind the last", fmt_gguf_writer_put_f32(w, x, 5));
    fmt_gguf_writer_destroy(&w);
    assert_false(file_exists(path)); // never committed
    free(path);
    u_drop(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trip),
        cmocka_unit_test(q8_block),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
