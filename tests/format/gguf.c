// GGUF: a file built here byte by byte, damaged in every field; block formats by hand.
#include "tests/format/util.h"

#include "src/base/half.h"
#include "src/format/gguf.h"
#include "src/format/quant.h"

static void put(struct str *s, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        U_OK(str_putc(s, (char) (v >> (8 * i))));
}

static void put_str(struct str *s, const char *text)
{
    put(s, strlen(text), 8);
    U_OK(str_puts(s, text));
}

// What a good file says; a row of hostile[] changes one field.
struct spec {
    uint32_t version;
    uint64_t tensors, kvs;
    const char *key; // of the second entry
    uint64_t key_len;
    uint32_t type, element;
    uint64_t count, word_len;
    uint32_t alignment, rank;
    uint64_t dim, second_dim;
    uint32_t kind;
    uint64_t offset;
    const char *name; // of the second tensor
    size_t data;
    uint32_t boolean, nesting, parts;
};

static const struct spec GOOD = {
    .version = 3,
    .tensors = 2,
    .kvs = 7,
    .key = "list",
    .key_len = 4,
    .type = FMT_GGUF_ARRAY,
    .element = FMT_GGUF_U32,
    .count = 3,
    .word_len = 2,
    .alignment = 64,
    .rank = 2,
    .dim = 32,
    .second_dim = 2,
    .kind = 8,
    .offset = 128,
    .name = "t1",
    .data = 144,
    .boolean = 1,
    .nesting = 1,
    .parts = 1,
};

// Seven entries, a Q8_0 tensor t0 of 2 rows of 32 (68 bytes) and an F32 tensor t1 of 4.
static void build(struct str *s, const struct spec *f)
{
    str_clear(s);
    U_OK(str_puts(s, "GGUF"));
    put(s, f->version, 4);
    put(s, f->tensors, 8);
    put(s, f->kvs, 8);
    put_str(s, "general.alignment");
    put(s, FMT_GGUF_U32, 4);
    put(s, f->alignment, 4);
    put(s, f->key_len, 8);
    U_OK(str_append(s, f->key, 4));
    put(s, f->type, 4);
    put(s, f->element, 4);
    put(s, f->count, 8);
    for (uint32_t i = 0; i < 3; i++)
        put(s, 10 + i, 4);
    put_str(s, "words");
    put(s, FMT_GGUF_ARRAY, 4);
    put(s, FMT_GGUF_STR, 4);
    put(s, 3, 8);
    put_str(s, "");
    put(s, f->word_len, 8);
    U_OK(str_append(s, "a\0", 2)); // U+0000 is a character like others
    put_str(s, "z");
    put_str(s, "flag");
    put(s, FMT_GGUF_BOOL, 4);
    put(s, f->boolean, 1);
    put_str(s, "eps");
    put(s, FMT_GGUF_F32, 4);
    put(s, f32_bits(0.5f), 4);
    put_str(s, "deep");
    put(s, FMT_GGUF_ARRAY, 4);
    for (uint32_t i = 1; i < f->nesting; i++) {
        put(s, FMT_GGUF_ARRAY, 4);
        put(s, 1, 8);
    }
    put(s, FMT_GGUF_I16, 4);
    put(s, 1, 8);
    put(s, 0xfffe, 2);
    put_str(s, "split.count");
    put(s, FMT_GGUF_U32, 4);
    put(s, f->parts, 4);

    put_str(s, "t0");
    put(s, f->rank, 4);
    put(s, f->dim, 8);
    put(s, f->second_dim, 8);
    put(s, f->kind, 4);
    put(s, 0, 8);
    put_str(s, f->name);
    put(s, 1, 4);
    put(s, 4, 8);
    put(s, 0, 4);
    put(s, f->offset, 8);
    while (s->len % 64)
        put(s, 0, 1);
    for (size_t i = 0; i < f->data; i++) { // t0: d = 1 and 2; t1: 1, 1, 1, 1
        const size_t in = i % 34;
        const unsigned half = i < 34 ? 0x3c00u : 0x4000u, one = 0x3f800000u;
        put(s, i >= 128 ? one >> (i % 4 * 8) : in < 2 ? half >> (in * 8) : i - 20, 1);
    }
}

static const struct {
    size_t at, size; // the field of the spec
    uint64_t value;
    enum rt_err code;
    const char *word;
} DAMAGE[] = {
#define ROW(field, value, code, word)                                                              \
    {                                                                                              \
        offsetof(struct spec, field), sizeof(GOOD.field), value, code, word                        \
    }
    ROW(version, 1, RT_E_UNSUPPORTED, "version 1"),
    ROW(version, 0x03000000, RT_E_UNSUPPORTED, "big endian"),
    ROW(version, 4, RT_E_UNSUPPORTED, "version 4"),
    ROW(tensors, 3, RT_E_FORMAT, "m.gguf: t"),
    ROW(tensors, UINT64_MAX, RT_E_FORMAT, "tensors: a number of tensors"),
    ROW(tensors, 1u << 21, RT_E_FORMAT, "tensors: a number of tensors"),
    ROW(kvs, 8, RT_E_FORMAT, "m.gguf: tensors: truncated"),
    ROW(kvs, 6, RT_E_FORMAT, "m.gguf: "),
    ROW(kvs, UINT64_MAX, RT_E_FORMAT, "header: a number of keys"),
    ROW(key_len, 0, RT_E_FORMAT, "metadata: a name is empty"),
    ROW(key_len, UINT64_MAX, RT_E_FORMAT, "metadata: truncated, or a length"),
    ROW(key_len, 70000, RT_E_FORMAT, "metadata: truncated, or a length"),
    ROW(type, 13, RT_E_FORMAT, "list: unknown value type (13"),
    ROW(element, 99, RT_E_FORMAT, "list: unknown value type (99"),
    ROW(count, 1u << 20, RT_E_FORMAT, "list: a count that exceeds"),
    ROW(count, UINT64_MAX, RT_E_FORMAT, "list: a count that exceeds"),
    ROW(element, FMT_GGUF_STR, RT_E_FORMAT, "list: truncated, or a length"),
    ROW(element, FMT_GGUF_F64, RT_E_FORMAT, "m.gguf: "),
    ROW(word_len, UINT64_MAX, RT_E_FORMAT, "words: truncated, or a length"),
    ROW(boolean, 2, RT_E_FORMAT, "flag: a boolean"),
    ROW(nesting, 5, RT_E_FORMAT, "deep: arrays nested deeper"),
    ROW(alignment, 0, RT_E_FORMAT, "general.alignment: expected a power of two"),
    ROW(alignment, 48, RT_E_FORMAT, "general.alignment: expected a power of two"),
    ROW(alignment, 1u << 31, RT_E_FORMAT, "tensor data: truncated"),
    ROW(parts, 2, RT_E_UNSUPPORTED, "one of 2 parts"),
    ROW(rank, 0, RT_E_FORMAT, "t0: expected 1 to 4 dimensions"),
    ROW(rank, 5, RT_E_FORMAT, "t0: expected 1 to 4 dimensions"),
    ROW(dim, 0, RT_E_FORMAT, "t0: a dimension is 0"),
    ROW(dim, UINT64_MAX, RT_E_FORMAT, "t0: a dimension is 0, or the product"),
    ROW(dim, 33, RT_E_FORMAT, "t0: a row is no whole number of blocks"),
    ROW(second_dim, 1u << 20, RT_E_FORMAT, "t0: its data are outside the file"),
    ROW(second_dim, 1ull << 58, RT_E_FORMAT, "t0: its size overflows"),
    ROW(second_dim, 4, RT_E_FORMAT, "tensor t1 overlaps t0"),
    ROW(offset, 0, RT_E_FORMAT, "overlaps"),
    ROW(offset, 64, RT_E_FORMAT, "tensor t1 overlaps t0"),
    ROW(offset, 100, RT_E_FORMAT, "t1: its offset is not aligned"),
    ROW(offset, 192, RT_E_FORMAT, "t1: its data are outside"),
    ROW(offset, UINT64_MAX - 63, RT_E_FORMAT, "t1: its data are outside"),
    ROW(data, 143, RT_E_FORMAT, "t1: its data are outside"),
    ROW(data, 0, RT_E_FORMAT, "t0: its data are outside"),
#undef ROW
};

static void hostile(void **state)
{
    struct str s = {0};
    struct fmt_gguf g;
    (void) state;
    for (size_t i = 0; i < COUNT_OF(DAMAGE); i++) {
        struct spec f = GOOD;
        const uint32_t low = (uint32_t) DAMAGE[i].value;
        memcpy((char *) &f + DAMAGE[i].at,
               DAMAGE[i].size == 4 ? (const void *) &low : &DAMAGE[i].value, DAMAGE[i].size);
        if (DAMAGE[i].at == offsetof(struct spec, second_dim) && DAMAGE[i].value == 1ull << 58)
            f.kind = 1, f.dim = 32; // 2^63 elements of two bytes
        build(&s, &f);
        U_FAILS(DAMAGE[i].code, DAMAGE[i].word, fmt_gguf_open_memory(s.data, s.len, "m.gguf", &g));
        assert_null(g.kvs);
    }
    struct spec f = GOOD;
    f.key = "a\0cd";
    build(&s, &f);
    U_FAILS(RT_E_FORMAT, "metadata: a name", fmt_gguf_open_memory(s.data, s.len, "m.gguf", &g));
    f.key = "flag";
    build(&s, &f);
    U_FAILS(RT_E_FORMAT, "key flag is given twice",
            fmt_gguf_open_memory(s.data, s.len, "m.gguf", &g));
    f = GOOD;
    f.name = "t0";
    build(&s, &f);
    U_FAILS(RT_E_FORMAT, "tensor t0 is given twice",
            fmt_gguf_open_memory(s.data, s.len, "m.gguf", &g));
    s.data[0] = 'X';
    U_FAILS(RT_E_FORMAT, "no GGUF file", fmt_gguf_open_memory(s.data, s.len, "m.gguf", &g));
    str_free(&s);
}

static void truncated(void **state)
{
    struct str s = {0};
    struct fmt_gguf g;
    struct u_log log;
    (void) state;
    build(&s, &GOOD);
    for (size_t n = 0; n < s.len; n++) {
        char *exact = malloc(n ? n : 1); // so that a sanitizer sees a read behind the end
        assert_non_null(exact);
        memcpy(exact, s.data, n);
        u_listen(&log);
        assert_int_equal(fmt_gguf_open_memory(exact, n, "m.gguf", &g), RT_E_FORMAT);
        u_listen(NULL);
        assert_true(log.n == 1 && strstr(log.text, "m.gguf"));
        free(exact);
    }
    str_free(&s);
}

static void wrong_types(const struct fmt_gguf *g)
{
    struct fmt_gguf_str s;
    const struct fmt_gguf_kv *kv;
    uint32_t u;
    float f;
    bool b;
    U_FAILS(RT_E_NOT_FOUND, "m.gguf: key none is missing", fmt_gguf_u32(g, "none", &u));
    U_FAILS(RT_E_FORMAT, "key eps: expected an integer", fmt_gguf_u32(g, "eps", &u));
    U_FAILS(RT_E_FORMAT, "key flag: expected an integer", fmt_gguf_u32(g, "flag", &u));
    U_FAILS(RT_E_FORMAT, "found an array of u32", fmt_gguf_u32(g, "list", &u));
    U_FAILS(RT_E_FORMAT, "key flag: expected a float", fmt_gguf_f32(g, "flag", &f));
    U_FAILS(RT_E_FORMAT, "key eps: expected a boolean, found f32", fmt_gguf_bool(g, "eps", &b));
    U_FAILS(RT_E_FORMAT, "key eps: expected a string", fmt_gguf_text(g, "eps", &s));
    U_FAILS(RT_E_FORMAT, "key words: expected a string", fmt_gguf_text(g, "words", &s));
    U_FAILS(RT_E_FORMAT, "expected an array of string, found an array of u32",
            fmt_gguf_array(g, "list", FMT_GGUF_STR, &kv));
    assert_null(kv);
}

static void metadata(void **state)
{
    struct str bytes = {0};
    struct fmt_gguf g;
    struct fmt_gguf_str s;
    const struct fmt_gguf_kv *kv;
    uint32_t u;
    uint64_t wide;
    int64_t i;
    double d;
    float f;
    bool b;
    (void) state;

    struct spec spec = GOOD;
    spec.nesting = 4;
    build(&bytes, &spec);
    U_OK(fmt_gguf_open_memory(bytes.data, bytes.len, "m.gguf", &g));
    assert_true(g.version == 3 && g.n_kvs == 7 && g.n_tensors == 2 && g.alignment == 64);
    U_OK(fmt_gguf_u32(&g, "split.count", &u));
    assert_int_equal(u, 1);
    U_OK(fmt_gguf_u32_or(&g, "none", 9, &u));
    assert_int_equal(u, 9);
    U_OK(fmt_gguf_u64(&g, "general.alignment", &wide));
    assert_int_equal(wide, 64);
    U_OK(fmt_gguf_f32(&g, "eps", &f));
    assert_true(f == 0.5f);
    U_OK(fmt_gguf_f32_or(&g, "none", 2.0f, &f));
    assert_true(f == 2.0f);
    U_OK(fmt_gguf_bool(&g, "flag", &b));
    assert_true(b);
    U_OK(fmt_gguf_bool_or(&g, "none", false, &b));
    assert_false(b);
    U_OK(fmt_gguf_array(&g, "list", FMT_GGUF_U32, &kv));
    assert_int_equal(kv->count, 3);
    assert_true(fmt_gguf_int_at(kv, 2, &i) && i == 12);
    assert_true(fmt_gguf_num_at(kv, 0, &d) && d == 10.0);
    assert_false(fmt_gguf_int_at(kv, 3, &i));
    assert_false(fmt_gguf_num_at(kv, 3, &d));
    kv = fmt_gguf_find(&g, "deep");
    assert_true(kv->is_array && kv->type == FMT_GGUF_ARRAY && kv->count == 1);

    U_OK(fmt_gguf_array(&g, "words", FMT_GGUF_STR, &kv));
    struct fmt_gguf_iter it = fmt_gguf_iter(kv);
    assert_true(fmt_gguf_next(&it, &s) && s.len == 0);
    assert_true(fmt_gguf_next(&it, &s) && s.len == 2 && memcmp(s.data, "a\0", 2) == 0);
    assert_true(fmt_gguf_next(&it, &s) && s.len == 1 && s.data[0] == 'z');
    assert_false(fmt_gguf_next(&it, &s));
    it = fmt_gguf_iter(fmt_gguf_find(&g, "list"));
    assert_false(fmt_gguf_next(&it, &s));

    wrong_types(&g);
    fmt_gguf_close(&g);
    fmt_gguf_close(&g);
    str_free(&bytes);
}

// Integers of every width, at the edges.
static void integers(void **state)
{
    static const unsigned char FF[8] = {255, 255, 255, 255, 255, 255, 255, 255};
    struct fmt_gguf_kv kv = {.key = NULL, .count = 1, .data = FF};
    int64_t i;
    double d;
    (void) state;
    kv.type = FMT_GGUF_I8;
    assert_true(fmt_gguf_int_at(&kv, 0, &i) && i == -1);
    kv.type = FMT_GGUF_I16;
    assert_true(fmt_gguf_int_at(&kv, 0, &i) && i == -1);
    kv.type = FMT_GGUF_I32;
    assert_true(fmt_gguf_int_at(&kv, 0, &i) && i == -1);
    kv.type = FMT_GGUF_I64;
    assert_true(fmt_gguf_int_at(&kv, 0, &i) && i == -1);
    kv.type = FMT_GGUF_U8;
    assert_true(fmt_gguf_int_at(&kv, 0, &i) && i == 255);
    kv.type = FMT_GGUF_U16;
    assert_true(fmt_gguf_int_at(&kv, 0, &i) && i == 65535);
    kv.type = FMT_GGUF_U32;
    assert_true(fmt_gguf_int_at(&kv, 0, &i) && i == UINT32_MAX);
    kv.type = FMT_GGUF_U64;
    assert_false(fmt_gguf_int_at(&kv, 0, &i));
    assert_true(fmt_gguf_num_at(&kv, 0, &d) && d == 0x1p64);
    kv.type = FMT_GGUF_STR;
    assert_false(fmt_gguf_num_at(&kv, 0, &d));
}

static void tensors(void **state)
{
    struct str bytes = {0};
    struct fmt_gguf g;
    float x[64], part[64];
    char *dir = u_dir(), *path = u_in(dir, "m.gguf");
    (void) state;

    build(&bytes, &GOOD);
    U_OK(file_write(path, bytes.data, bytes.len));
    U_OK(fmt_gguf_open(path, &g));
    const struct fmt_gguf_tensor *t0 = fmt_gguf_tensor(&g, "t0"), *t1 = fmt_gguf_tensor(&g, "t1");
    assert_true(t0 && t1 && !fmt_gguf_tensor(&g, "t2"));
    assert_true(t0->rank == 2 && t0->shape[0] == 2 && t0->shape[1] == 32 && t0->bytes == 68);
    U_OK(fmt_gguf_to_f32(t0, 0, 64, x));
    assert_true(x[0] == -18.0f && x[31] == 13.0f && x[32] == 2.0f * 16.0f && x[63] == 2.0f * 47.0f);
    for (uint64_t first = 0; first < 64; first++) { // any range gives the same elements
        for (uint64_t n = 0; n <= 64 - first; n++) {
            U_OK(fmt_gguf_to_f32(t0, first, n, part));
            assert_memory_equal(part, x + first, n * sizeof(*x));
        }
    }
    U_OK(fmt_gguf_to_f32(t1, 0, 4, x));
    assert_true(x[0] == 1.0f && x[3] == 1.0f);
    fmt_gguf_done_with(&g, t0);
    U_OK(fmt_gguf_to_f32(t0, 63, 1, x));
    assert_true(x[0] == 94.0f);
    U_FAILS(RT_E_SHAPE, "tensor t0", fmt_gguf_to_f32(t0, 64, 1, x));
    U_FAILS(RT_E_SHAPE, "tensor t0", fmt_gguf_to_f32(t0, UINT64_MAX, 2, x));
    fmt_gguf_close(&g);

    struct spec f = GOOD;
    f.kind = 35; // known size: 66 bytes for 256
    f.dim = 256;
    f.second_dim = 1;
    build(&bytes, &f);
    U_OK(fmt_gguf_open_memory(bytes.data, bytes.len, "m", &g));
    U_FAILS(RT_E_UNSUPPORTED, "tensor t0: kind TQ2_0 (35)", fmt_gguf_to_f32(g.tensors, 0, 1, x));
    fmt_gguf_close(&g);
    f.kind = 77;
    build(&bytes, &f);
    U_OK(fmt_gguf_open_memory(bytes.data, bytes.len, "m", &g));
    U_FAILS(RT_E_UNSUPPORTED, "tensor t0: kind unknown (77)", fmt_gguf_to_f32(g.tensors, 0, 1, x));
    fmt_gguf_close(&g);
    U_FAILS(RT_E_NOT_FOUND, "/none.gguf", fmt_gguf_open("/none.gguf", &g));
    str_free(&bytes);
    free(path);
    u_drop(dir);
}

// Halves 0.5 and -2, and bytes, placed into a block of zeros; the elements that follow by hand.
static const struct {
    uint32_t kind;
    const char *name;
    unsigned char at[10], byte[10]; // up to the first 0 in `byte`
    struct {
        unsigned index;
        float value;
    } want[5];
} BLOCKS[] = {
    // d = 0.5 (0x3800). q[0] = 0xf3: element 0 is 3 - 8, element 16 is 15 - 8; others -8.
    {2,
     "Q4_0",
     {1, 2},
     {0x38, 0xf3},
     {{0, -2.5f}, {16, 3.5f}, {1, -4.0f}, {17, -4.0f}, {31, -4.0f}}},
    // d = 0.5, m = -2 (0xc000). q[15] = 0x4a: element 15 is 10, element 31 is 4.
    {3,
     "Q4_1",
     {1, 3, 19},
     {0x38, 0xc0, 0x4a},
     {{15, 3.0f}, {31, 0.0f}, {0, -2.0f}, {16, -2.0f}, {30, -2.0f}}},
    // fifth bits of elements 0 and 17; q[0] = 0x21, q[1] = 0x30.
    {6,
     "Q5_0",
     {1, 2, 4, 6, 7},
     {0x38, 0x01, 0x02, 0x21, 0x30},
     {{0, 0.5f}, {16, -7.0f}, {17, 1.5f}, {1, -8.0f}, {31, -8.0f}}},
    {7,
     "Q5_1",
     {1, 3, 4, 6, 8, 9},
     {0x38, 0xc0, 0x01, 0x02, 0x21, 0x30},
     {{0, 6.5f}, {16, -1.0f}, {17, 7.5f}, {1, -2.0f}, {31, -2.0f}}},
    {8,
     "Q8_0",
     {1, 2, 3, 33},
     {0x38, 0x80, 0x7f, 0xff},
     {{0, -64.0f}, {1, 63.5f}, {31, -0.5f}, {2, 0.0f}, {30, 0.0f}}},
    // d = 0.5, dmin = -2. Scales: s[0] = 0x42: sub-block 0 has 2, and bits 16 for sub-block 4;
    // s[4] = 0x83: minimum 3 of sub-block 0, and bits 32 for the minimum of sub-block 4;
    // s[8] = 0x51: sub-block 4 has 16 + 1 = 17 and minimum 32 + 5 = 37.
    // q[0] = 0xf7 of sub-blocks 0, 1; q[64] = 0x09 of sub-blocks 4, 5 (scale 0: zero).
    {12,
     "Q4_K",
     {1, 3, 4, 8, 12, 16, 80},
     {0x38, 0xc0, 0x42, 0x83, 0x51, 0xf7, 0x09},
     {{0, 13.0f}, {1, 6.0f}, {32, 0.0f}, {128, 150.5f}, {129, 74.0f}}},
    // The same with fifth bits: h[0] = 0x11 for element 0 of sub-blocks 0 and 4.
    {13,
     "Q5_K",
     {1, 3, 4, 8, 12, 16, 48, 112},
     {0x38, 0xc0, 0x42, 0x83, 0x51, 0x11, 0xf7, 0x09},
     {{0, 29.0f}, {1, 6.0f}, {32, 0.0f}, {128, 286.5f}, {129, 74.0f}}},
    // d = 0.5; low[0] = 0x95, low[70] = 0x30; high[0] = 0xb1, high[38] = 0x40; scales 0, 4,
    // 12, 15.
    // Element 0: 5 + 16 - 32 = -11, scale 2. 64: 9 + 3 * 16 - 32 = 25, scale 3 (sub-block 4).
    // 198 = 128 + 64 + 6: 3 + 0 - 32, sub-block 12, scale -1. 240: -32, sub-block 15, scale 1.
    // 230 = 128 + 96 + 6: low of 38 is 0, high bits 1: -16, sub-block 14, scale 0.
    {14,
     "Q6_K",
     {0, 70, 128, 166, 192, 196, 204, 207, 209},
     {0x95, 0x30, 0xb1, 0x40, 0x02, 0x03, 0xff, 0x01, 0x38},
     {{0, -11.0f}, {64, 37.5f}, {198, 14.5f}, {240, -16.0f}, {230, -0.0f}}},
    // d = 0.5, dmin = -2. Scale byte 0 = 0x32: 2 and minimum 3; byte 15 = 0x01. q[0] = 0x83:
    // element
    // 0 has 3, 96 has 2 (scale 0). q[63] = 0x40: element 255 has 1.
    {10,
     "Q2_K",
     {0, 15, 16, 79, 81, 83},
     {0x32, 0x01, 0x83, 0x40, 0x38, 0xc0},
     {{0, 9.0f}, {1, 6.0f}, {96, 0.0f}, {255, 0.5f}, {254, 0.0f}}},
    // d = 0.5. Third bits: byte 1 = 0x81: elements 1 and 225. q[1] = 0x02: element 1; q[63] = 0xc0:
    // 255. Scales: s[0] = 0x05, s[8] = 0x03: scale 0 is 5 + 48 - 32 = 21, scales 4 and 8 -32; s[6]
    // =
    // 0x70: scale 14 is 7 - 32, s[7] = 0x10: 15 is 1 + 2 * 16 - 32 with s[11] = 0x80.
    {11,
     "Q3_K",
     {1, 33, 95, 96, 102, 103, 104, 107, 109},
     {0x81, 0x02, 0xc0, 0x05, 0x70, 0x10, 0x03, 0x80, 0x38},
     {{1, 21.0f}, {224, 50.0f}, {225, 0.0f}, {255, -0.5f}, {64, 64.0f}}},
    {1, "F16", {1}, {0x38}, {{0, 0.5f}, {0, 0.5f}, {0, 0.5f}, {0, 0.5f}}},
    {30, "BF16", {0, 1}, {0x80, 0xbf}, {{0, -1.0f}, {0, -1.0f}, {0, -1.0f}}},
    {28, "F64", {6, 7}, {0xe0, 0x3f}, {{0, 0.5f}, {0, 0.5f}, {0, 0.5f}}},
    {0, "F32", {3}, {0xc0}, {{0, -2.0f}, {0, -2.0f}, {0, -2.0f}}},
};

static void blocks(void **state)
{
    float x[FMT_QUANT_MAX_ELEMENTS];
    (void) state;
    for (size_t r = 0; r < COUNT_OF(BLOCKS); r++) {
        unsigned char block[512] = {0};
        const struct fmt_quant *q = fmt_quant_find(BLOCKS[r].kind);
        assert_non_null(q);
        assert_string_equal(q->name, BLOCKS[r].name);
        for (size_t i = 0; i < 10 && BLOCKS[r].byte[i]; i++)
            block[BLOCKS[r].at[i]] = BLOCKS[r].byte[i];
        q->decode(block, 1, x);
        for (size_t i = 0; i < 5 && (q->elements > 1 || i < 3); i++)
            if (x[BLOCKS[r].want[i].index] != BLOCKS[r].want[i].value)
                fail_msg("%s: element %u: expected %g, found %g", q->name, BLOCKS[r].want[i].index,
                         (double) BLOCKS[r].want[i].value, (double) x[BLOCKS[r].want[i].index]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hostile),  cmocka_unit_test(truncated), cmocka_unit_test(metadata),
        cmocka_unit_test(integers), cmocka_unit_test(tensors),   cmocka_unit_test(blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
