// safetensors: hostile files, folders and indices, conversions, what is written reads back.
#include "tests/format/util.h"

#include <math.h>

#include "src/base/half.h"
#include "src/format/json.h"
#include "src/format/safetensors.h"

// header length, header, and `data` bytes 0, 1, 2, ...
static void build(struct str *s, const char *header, size_t data)
{
    unsigned char length[8];
    str_clear(s);
    for (unsigned i = 0; i < 8; i++)
        length[i] = (unsigned char) ((uint64_t) strlen(header) >> (8 * i));
    U_OK(str_append(s, length, 8));
    U_OK(str_puts(s, header));
    for (size_t i = 0; i < data; i++)
        U_OK(str_putc(s, (char) i));
}

#define T(name, dtype, shape, offsets)                                                             \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static void hostile(void **state)
{
    static const struct {
        const char *header;
        size_t data;
        const char *word;
    } ROWS[] = {
        {"[1]", 0, "no JSON object"},
        {" {}", 0, "no JSON object"},
        {"", 0, "no JSON object"},
        {"{\"a\"", 0, "m.st:1:"},
        {"{}", 1, "1 bytes behind the last tensor"},
        {"{\"a\": 1}", 0, "tensor a: key \"dtype\" is missing"},
        {"{\"a\": {}}", 0, "tensor a: key \"dtype\" is missing"},
        {"{" T("a", "F33", "[1]", "[0,4]") "}", 4, "tensor a: unknown dtype \"F33\""},
        {"{" T("a", "F32", "1", "[0,4]") "}", 4, "tensor a: key \"shape\""},
        {"{" T("a", "F32", "[1.5]", "[0,4]") "}", 4, "tensor a: shape: expected whole"},
        {"{" T("a", "F32", "[-1]", "[0,4]") "}", 4, "tensor a: shape: expected whole"},
        {"{" T("a", "F32", "[\"1\"]", "[0,4]") "}", 4, "tensor a: shape: expected whole"},
        {"{" T("a", "F32", "[NaN]", "[0,4]") "}", 4, "tensor a: shape: expected whole"},
        {"{" T("a", "F32", "[9007199254740992]", "[0,4]") "}", 4, "tensor a: shape: expected"},
        {"{" T("a", "F32", "[4294967296,4294967296,2]", "[0,4]") "}", 4, "tensor a: the product"},
        {"{" T("a", "F32", "[4294967296,1073741824]", "[0,0]") "}", 0, "tensor a: 0 bytes"},
        {"{" T("a", "F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]") "}", 4, "a: more than 8 dimensions"},
        {"{" T("a", "F32", "[1]", "[0]") "}", 4, "tensor a: data_offsets: expected two"},
        {"{" T("a", "F32", "[1]", "[0,4,8]") "}", 4, "tensor a: data_offsets: expected two"},
        {"{" T("a", "F32", "[1]", "[-4,0]") "}", 4, "tensor a: data_offsets: expected two"},
        {"{" T("a", "F32", "[1]", "[4,0]") "}", 4, "tensor a: data_offsets [4, 0] are outside"},
        {"{" T("a", "F32", "[2]", "[0,8]") "}", 4, "tensor a: data_offsets [0, 8] are outside"},
        {"{" T("a", "F32", "[1]", "[1,9007199254740991]") "}", 4, "tensor a: data_offsets [1,"},
        {"{" T("a", "F32", "[2]", "[0,4]") "}", 4, "tensor a: 4 bytes of data do not fit"},
        {"{" T("a", "F32", "[1]", "[0,8]") "}", 8, "tensor a: 8 bytes of data do not fit"},
        {"{" T("a", "F4", "[3]", "[0,1]") "}", 1, "tensor a: 1 bytes of data do not fit"},
        {"{" T("a", "F32", "[1]", "[0,4]") "," T("b", "F32", "[1]", "[2,6]") "}", 6,
         "tensor b: overlaps another"},
        {"{" T("a", "F32", "[1]", "[0,4]") "," T("b", "F32", "[1]", "[0,4]") "}", 4,
         "tensor b: overlaps another"},
        {"{" T("a", "F32", "[1]", "[0,4]") "," T("b", "F32", "[1]", "[5,9]") "}", 9,
         "tensor b: a hole before it"},
        {"{" T("a", "F32", "[1]", "[1,5]") "}", 5, "tensor a: a hole before it"},
        {"{" T("a", "F32", "[1]", "[0,4]") "}", 5, "1 bytes behind the last tensor"},
        {"{" T("a", "F32", "[1]", "[0,4]") "," T("a", "F32", "[1]", "[4,8]") "}", 8,
         "key \"a\" is given twice"},
        {"{\"__metadata__\": 1}", 0, "__metadata__: expected an object"},
        {"{\"__metadata__\": {\"k\": 1}}", 0, "key \"k\": expected a string"},
    };
    struct str s = {0};
    struct fmt_st st;
    (void) state;
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        build(&s, ROWS[i].header, ROWS[i].data);
        U_FAILS(RT_E_FORMAT, ROWS[i].word, fmt_st_open_memory(s.data, s.len, "m.st", &st));
        assert_null(st.tensors);
    }
    str_free(&s);
}

// Every truncation of a good file is refused, and so are lengths that lie.
static void truncated(void **state)
{
    struct str s = {0};
    struct fmt_st st;
    struct u_log log;
    (void) state;
    build(&s, "{" T("a", "F32", "[2]", "[0,8]") "}", 8);
    U_OK(fmt_st_open_memory(s.data, s.len, "m.st", &st));
    fmt_st_close(&st);
    for (size_t n = 0; n < s.len; n++) {
        char *exact = malloc(n ? n : 1); // so that a sanitizer sees a read behind the end
        assert_non_null(exact);
        memcpy(exact, s.data, n);
        u_listen(&log);
        assert_int_equal(fmt_st_open_memory(exact, n, "m.st", &st), RT_E_FORMAT);
        u_listen(NULL);
        assert_true(log.n == 1 && strstr(log.text, "m.st"));
        free(exact);
    }
    s.data[0] = (char) (s.data[0] + 9); // one byte more than the file has
    U_FAILS(RT_E_FORMAT, "header length", fmt_st_open_memory(s.data, s.len, "m.st", &st));
    memset(s.data, 0xff, 8);
    U_FAILS(RT_E_FORMAT, "header length 18446744073709551615",
            fmt_st_open_memory(s.data, s.len, "m.st", &st));
    str_free(&s);
}

static void accepted(void **state)
{
    struct str s = {0};
    struct fmt_st st;
    const struct fmt_tensor *t;
    double x[2];
    float f[2];
    (void) state;
    build(&s,
          "{" T("b", "I16", "[2]", "[1,5]") ",\"__metadata__\":{\"format\":\"pt\"}," T(
              "a", "U8", "[]", "[0,1]") "," T("e", "F32", "[0,3]", "[1,1]") "}  ",
          5);
    U_OK(fmt_st_open_memory(s.data, s.len, "m.st", &st));
    assert_int_equal(st.n, 3);
    assert_string_equal(st.tensors[0].name, "a"); // by place, not as declared
    assert_string_equal(st.tensors[1].name, "e");
    assert_string_equal(st.tensors[2].name, "b");
    assert_string_equal(fmt_st_meta(&st, "format"), "pt");
    assert_null(fmt_st_meta(&st, "none"));
    U_OK(fmt_st_get(&st, "b", &t)); // unaligned
    U_OK(fmt_tensor_to_f64(t, 0, 2, x));
    assert_true(x[0] == 0x0201 && x[1] == 0x0403);
    U_FAILS(RT_E_UNSUPPORTED, "tensor b: type I16", fmt_tensor_to_f32(t, 0, 2, f));
    U_FAILS(RT_E_SHAPE, "tensor b", fmt_tensor_to_f64(t, 1, 2, x));
    U_FAILS(RT_E_SHAPE, "tensor b", fmt_tensor_to_f64(t, UINT64_MAX, 2, x));
    U_OK(fmt_tensor_to_f64(t, 2, 0, x));
    U_FAILS(RT_E_NOT_FOUND, "no tensor bb (nearest: b)", fmt_st_get(&st, "bb", &t));
    assert_null(t);
    fmt_st_close(&st);
    fmt_st_close(&st);
    str_free(&s);
}

struct decl {
    const char *name;
    enum fmt_dtype dtype;
    uint32_t rank;
    uint64_t shape[2];
    uint64_t count;
};

static const struct decl DECLS[] = {
    {"empty.first", FMT_F16, 1, {0}, 0},
    {"w.f32", FMT_F32, 2, {3, 7}, 21},
    {"w.f16", FMT_F16, 2, {5, 5}, 25},
    {"empty", FMT_F32, 2, {0, 4}, 0},
    {"w.bf16", FMT_BF16, 1, {40000}, 40000},
    {"scalar", FMT_F64, 0, {0}, 1},
    {"odd", FMT_BF16, 1, {3}, 3},
};

static float value(size_t tensor, uint64_t i)
{
    return (float) sin((double) (tensor + 1) * 0.37 + (double) i * 1.7) * 3.0f;
}

// What a dtype makes of it.
static double stored(enum fmt_dtype dtype, float x)
{
    return (double) (dtype == FMT_F16    ? f16_to_f32(f16_from_f32(x))
                     : dtype == FMT_BF16 ? bf16_to_f32(bf16_from_f32(x))
                                         : x);
}

static void declare(struct fmt_st_writer *w)
{
    for (size_t k = 0; k < COUNT_OF(DECLS); k++)
        U_OK(fmt_st_writer_add(w, DECLS[k].name, DECLS[k].dtype, DECLS[k].rank, DECLS[k].shape));
}

// Put all data, `step` elements at a time.
static void put_all(struct fmt_st_writer *w, uint64_t step)
{
    static float x[40000];
    for (size_t k = 0; k < COUNT_OF(DECLS); k++) {
        for (uint64_t i = 0, n; i < DECLS[k].count; i += n) {
            n = u64_min(step, DECLS[k].count - i);
            for (uint64_t e = 0; e < n; e++)
                x[e] = value(k, i + e);
            U_OK(fmt_st_writer_put_f32(w, x, n));
        }
    }
}

static void check_all(const char *path)
{
    struct fmt_st st;
    static float x[40000];
    U_OK(fmt_st_open(path, &st));
    assert_int_equal(st.n, COUNT_OF(DECLS));
    assert_string_equal(fmt_st_meta(&st, "format"), "pt");
    for (size_t k = 0; k < COUNT_OF(DECLS); k++) {
        const struct fmt_tensor *t;
        U_OK(fmt_st_get(&st, DECLS[k].name, &t));
        assert_true(t->dtype == DECLS[k].dtype && t->rank == DECLS[k].rank);
        assert_memory_equal(t->shape, DECLS[k].shape, t->rank * sizeof(t->shape[0]));
        U_OK(fmt_tensor_to_f32(t, 0, t->count, x));
        fmt_st_done_with(&st, t, 0, t->count); // and the pages come back
        for (uint64_t i = 0; i < t->count; i++) {
            double again;
            assert_true((double) x[i] == stored(t->dtype, value(k, i)));
            if (i % 101)
                continue;
            U_OK(fmt_tensor_to_f64(t, i, 1, &again));
            assert_true(again == (double) x[i]);
        }
    }
    assert_int_equal(((uintptr_t) st.tensors[0].data - (uintptr_t) st.files[0].map.data) % 8, 0);
    fmt_st_close(&st);
}

static void round_trip(void **state)
{
    char *dir = u_dir(), *single = u_in(dir, "model.safetensors");
    char *index = u_in(dir, "model.safetensors.index.json");
    char *shard = u_in(dir, "model-00002-of-00003.safetensors");
    (void) state;
    for (int pass = 0; pass < 3; pass++) { // one file, shards over it, one file over those
        const bool cut = pass == 1;
        struct fmt_st_writer *w;
        U_OK(fmt_st_writer_create(
            &(struct fmt_st_writer_args){.dir = dir, .max_shard_bytes = cut ? 150 : 0}, &w));
        declare(w);
        U_OK(fmt_st_writer_begin(w));
        put_all(w, cut ? 7 : 40000);
        assert_true(file_exists(single) == (pass == 1)); // nothing is in place yet
        U_OK(fmt_st_writer_commit(w));
        fmt_st_writer_destroy(&w);
        assert_true(file_exists(single) == !cut);
        assert_true(file_exists(index) == cut);
        assert_true(file_exists(shard) == (pass > 0));
        check_all(dir);
        check_all(cut ? index : single);
    }
    free(single);
    free(index);
    free(shard);
    u_drop(dir);
}

static void writer_refuses(void **state)
{
    static const uint64_t HUGE[2] = {UINT64_MAX / 2, 3}, TWO[1] = {2};
    static const float X[3] = {1, 2, 3};
    char *dir = u_dir();
    struct fmt_st_writer *w;
    const struct fmt_st_writer_args args = {.dir = dir};
    (void) state;

    U_OK(fmt_st_writer_create(&args, &w));
    U_FAILS(RT_E_ARG, "before begin", fmt_st_writer_put_f32(w, X, 1));
    U_FAILS(RT_E_ARG, "before begin", fmt_st_writer_put_raw(w, X, 1));
    U_FAILS(RT_E_ARG, "commit", fmt_st_writer_commit(w));
    U_FAILS(RT_E_ARG, "name", fmt_st_writer_add(w, "", FMT_F32, 1, TWO));
    U_FAILS(RT_E_ARG, "bits", fmt_st_writer_add(w, "x", FMT_F4, 1, TWO));
    U_FAILS(RT_E_ARG, "rank", fmt_st_writer_add(w, "x", FMT_F32, 9, TWO));
    U_FAILS(RT_E_SHAPE, "tensor x", fmt_st_writer_add(w, "x", FMT_F32, 2, HUGE));
    U_OK(fmt_st_writer_add(w, "a", FMT_F32, 1, TWO));
    U_OK(fmt_st_writer_add(w, "b", FMT_I32, 1, TWO));
    U_OK(fmt_st_writer_begin(w));
    U_FAILS(RT_E_ARG, "add", fmt_st_writer_add(w, "c", FMT_F32, 1, TWO));
    U_FAILS(RT_E_SHAPE, "tensor a", fmt_st_writer_put_f32(w, X, 3));
    U_FAILS(RT_E_SHAPE, "tensor a: 0 bytes", fmt_st_writer_commit(w));
    U_OK(fmt_st_writer_put_f32(w, X, 2));
    U_FAILS(RT_E_UNSUPPORTED, "tensor b", fmt_st_writer_put_f32(w, X, 2));
    U_OK(fmt_st_writer_put_raw(w, X, 8));
    U_FAILS(RT_E_SHAPE, "behind the last", fmt_st_writer_put_raw(w, X, 1));
    fmt_st_writer_destroy(&w);
    assert_null(w);

    U_OK(fmt_st_writer_create(&args, &w));
    U_OK(fmt_st_writer_add(w, "a", FMT_F32, 1, TWO));
    U_OK(fmt_st_writer_add(w, "a", FMT_F32, 1, TWO));
    U_FAILS(RT_E_ARG, "tensor a is declared twice", fmt_st_writer_begin(w));
    fmt_st_writer_destroy(&w);
    assert_int_equal(remove(dir), 0); // empty: nothing was left behind
    U_OK(fmt_st_writer_create(&args, &w));
    U_FAILS(RT_E_NOT_FOUND, "model.safetensors", fmt_st_writer_begin(w));
    fmt_st_writer_destroy(&w);
    fmt_st_writer_destroy(&w);
    free(dir);
}

static void put_text(const char *dir, const char *name, const char *text)
{
    char *path = u_in(dir, name);
    U_OK(file_write(path, text, strlen(text)));
    free(path);
}

static void folders(void **state)
{
    static const struct {
        const char *index;
        enum rt_err code;
        const char *word;
    } ROWS[] = {
        {"{\"weight_map\": {\"a\": \"s1.st\", \"z\": \"s2.st\"}}", RT_E_NOT_FOUND, "/s2.st"},
        {"{\"weight_map\": {\"a\": \"s1.st\", \"z\": \"s1.st\"}}", RT_E_FORMAT, "tensor z, which "},
        {"{\"weight_map\": {\"a\": \"../s1.st\"}}", RT_E_FORMAT, "tensor a: expected the name"},
        {"{\"weight_map\": {\"a\": \"..\"}}", RT_E_IO, "/.."},
        {"{\"weight_map\": {\"a\": 1}}", RT_E_FORMAT, "tensor a: expected the name"},
        {"{\"weight_map\": 1}", RT_E_FORMAT, "key \"weight_map\""},
        {"{}", RT_E_FORMAT, "key \"weight_map\""},
        {"{", RT_E_FORMAT, "index.json:1:"},
    };
    char *dir = u_dir();
    struct str s = {0};
    struct fmt_st st;
    (void) state;

    U_FAILS(RT_E_NOT_FOUND, "model.safetensors.index.json", fmt_st_open(dir, &st));
    put_text(dir, "pytorch_model.bin", "x");
    U_FAILS(RT_E_UNSUPPORTED, "pytorch_model.bin", fmt_st_open(dir, &st));
    U_FAILS(RT_E_NOT_FOUND, "/none", fmt_st_open("/none", &st));
    build(&s, "{" T("a", "F32", "[1]", "[0,4]") "," T("b", "F32", "[1]", "[4,8]") "}", 8);
    char *path = u_in(dir, "s1.st");
    U_OK(file_write(path, s.data, s.len));
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        put_text(dir, "model.safetensors.index.json", ROWS[i].index);
        U_FAILS(ROWS[i].code, ROWS[i].word, fmt_st_open(dir, &st));
    }
    put_text(dir, "model.safetensors.index.json", "{\"weight_map\": {\"b\": \"s1.st\"}}");
    U_OK(fmt_st_open(dir, &st));
    assert_true(st.n == 1 && fmt_st_find(&st, "b") && !fmt_st_find(&st, "a"));
    fmt_st_close(&st);
    free(path);
    str_free(&s);
    u_drop(dir);
}

// The same tensors in one file, in two shards, in bf16 and in f16.
static void goldens(void **state)
{
    static const char *const NAMES[] = {"models/llama", "models/llama_sharded", "models/llama_bf16",
                                        "models/llama_fp16"};
    struct fmt_st st[COUNT_OF(NAMES)];
    (void) state;
    for (size_t k = 0; k < COUNT_OF(NAMES); k++) {
        char *path = u_golden(NAMES[k]);
        if (!path)
            skip();
        U_OK(fmt_st_open(path, &st[k]));
        free(path);
        assert_int_equal(st[k].n, st[0].n);
    }
    assert_int_equal(st[1].n_files, 2);
    for (uint32_t i = 0; i < st[0].n; i++) {
        const struct fmt_tensor *t = &st[0].tensors[i], *u;
        float *x = calloc(2 * t->count, sizeof(*x));
        assert_non_null(x);
        U_OK(fmt_tensor_to_f32(t, 0, t->count, x));
        for (size_t k = 1; k < COUNT_OF(NAMES); k++) {
            U_OK(fmt_st_get(&st[k], t->name, &u));
            assert_int_equal(u->count, t->count);
            U_OK(fmt_tensor_to_f32(u, 0, t->count, x + t->count));
            for (uint64_t e = 0; k == 1 && e < t->count; e++)
                assert_true(x[e] == x[t->count + e]);
        }
        free(x);
    }
    for (size_t k = 0; k < COUNT_OF(NAMES); k++)
        fmt_st_close(&st[k]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hostile),    cmocka_unit_test(truncated),      cmocka_unit_test(accepted),
        cmocka_unit_test(round_trip), cmocka_unit_test(writer_refuses), cmocka_unit_test(folders),
        cmocka_unit_test(goldens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
