// All goldens of tokenizers: those in tests/golden/tokenizers, and those of ANYDPO_GOLDENS when it
// is there.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <dirent.h>

#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/format/json.h"
#include "src/text/tokenizer.h"

// ---- SHA-256 (FIPS 180-4), for the long text ----

struct sha {
    uint32_t h[8];
    unsigned char block[64];
    uint64_t bytes;
};

static uint32_t ror(uint32_t x, unsigned n)
{
    return x >> n | x << (32 - n);
}

static void sha_block(struct sha *s, const uint32_t k[64])
{
    uint32_t w[64], v[8];

    for (size_t i = 0; i < 16; i++)
        w[i] = (uint32_t) s->block[4 * i] << 24 | (uint32_t) s->block[4 * i + 1] << 16 |
               (uint32_t) s->block[4 * i + 2] << 8 | s->block[4 * i + 3];
    for (size_t i = 16; i < 64; i++)
        w[i] = w[i - 16] + w[i - 7] + (ror(w[i - 15], 7) ^ ror(w[i - 15], 18) ^ w[i - 15] >> 3) +
               (ror(w[i - 2], 17) ^ ror(w[i - 2], 19) ^ w[i - 2] >> 10);
    memcpy(v, s->h, sizeof(v));
    for (size_t i = 0; i < 64; i++) {
        const uint32_t a = v[7] + (ror(v[4], 6) ^ ror(v[4], 11) ^ ror(v[4], 25)) +
                           ((v[4] & v[5]) ^ (~v[4] & v[6])) + k[i] + w[i];
        const uint32_t b = (ror(v[0], 2) ^ ror(v[0], 13) ^ ror(v[0], 22)) +
                           ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
        memmove(v + 1, v, 7 * sizeof(*v));
        v[4] += a;
        v[0] = a + b;
    }
    for (size_t i = 0; i < 8; i++)
        s->h[i] += v[i];
}

// The first `bits` fractional bits of the square (or cube) roots of primes are its constants.
static void sha_constants(uint32_t h[8], uint32_t k[64])
{
    size_t n = 0;
    for (unsigned p = 2; n < 64; p++) {
        bool prime = true;
        for (unsigned d = 2; d * d <= p; d++)
            prime = prime && p % d != 0;
        if (!prime)
            continue;
        for (unsigned power = 2; power <= 3; power++) {
            // root(p) * 2^32 by bisection over integers: largest r with r^power <= p * 2^(32 power)
            long double lo = 1, hi = 64;
            for (int i = 0; i < 120; i++) {
                const long double mid = (lo + hi) / 2;
                if ((power == 2 ? mid * mid : mid * mid * mid) <= p)
                    lo = mid;
                else
                    hi = mid;
            }
            if (power == 2 && n < 8)
                h[n] = (uint32_t) ((lo - (unsigned) lo) * 4294967296.0L);
            if (power == 3)
                k[n] = (uint32_t) ((lo - (unsigned) lo) * 4294967296.0L);
        }
        n++;
    }
}

static void sha256(const char *data, size_t n, char hex[65])
{
    struct sha s = {0};
    uint32_t k[64];
    size_t at = 0;

    sha_constants(s.h, k);
    for (; n - at >= 64; at += 64) {
        memcpy(s.block, data + at, 64);
        sha_block(&s, k);
    }
    memset(s.block, 0, 64);
    memcpy(s.block, data + at, n - at);
    s.block[n - at] = 0x80;
    if (n - at >= 56) {
        sha_block(&s, k);
        memset(s.block, 0, 64);
    }
    for (size_t i = 0; i < 8; i++)
        s.block[63 - i] = (unsigned char) ((uint64_t) n * 8 >> (8 * i));
    sha_block(&s, k);
    for (size_t i = 0; i < 8; i++)
        snprintf(hex + 8 * i, 9, "%08x", (unsigned) s.h[i]);
}

// ---- comparing ----

static json_t *read_json(const char *folder, const char *name)
{
    char *path;
    struct str text = {0};
    json_t *doc;

    assert_int_equal(path_join(folder, name, &path), RT_OK);
    assert_int_equal(file_read(path, &text), RT_OK);
    assert_int_equal(fmt_jansson_parse(text.data, text.len, path, 1, &doc), RT_OK);
    str_free(&text);
    free(path);
    return doc;
}

static bool same_ids(const json_t *want, const struct txt_ids *got)
{
    bool same = json_array_size(want) == got->len;
    for (size_t i = 0; same && i < got->len; i++)
        same = json_integer_value(json_array_get(want, i)) == got->data[i];
    return same;
}

static bool same_text(const json_t *want, const struct str *got)
{
    return json_string_length(want) == got->len &&
           memcmp(json_string_value(want), got->data ? got->data : "", got->len) == 0;
}

static void stream(const struct txt_tokenizer *tok, const struct txt_ids *ids, bool skip,
                   struct str *out)
{
    struct txt_stream s = {.skip_special = skip};
    for (size_t i = 0; i < ids->len; i++)
        assert_int_equal(txt_stream_push(tok, &s, ids->data[i], out), RT_OK);
    assert_int_equal(txt_stream_end(tok, &s, out), RT_OK);
    txt_stream_free(&s);
}

static void show_ids(const char *what, const json_t *want, const struct txt_ids *got)
{
    print_message("   %s: want", what);
    for (size_t i = 0; i < json_array_size(want) && i < 24; i++)
        print_message(" %d", (int) json_integer_value(json_array_get(want, i)));
    print_message("\n        got ");
    for (size_t i = 0; i < got->len && i < 24; i++)
        print_message(" %u", got->data[i]);
    print_message("\n");
}

// Ids and decodings with and without special tokens, and the same decodings one id at a time.
static size_t check_case(const struct txt_tokenizer *tok, const json_t *c, size_t i)
{
    static const char *const IDS[] = {"ids_no_special", "ids_with_special"};
    static const char *const TEXT[] = {"decoded", "decoded_skip_special"};
    const json_t *text = json_object_get(c, "text");
    size_t bad = 0;

    for (int special = 0; special < 2; special++) {
        struct txt_ids ids = {0};
        struct str out = {0}, piecewise = {0};
        const json_t *want = json_object_get(c, IDS[special]),
                     *want_text = json_object_get(c, TEXT[special]);
        assert_int_equal(
            txt_encode(tok, json_string_value(text), json_string_length(text), special, &ids),
            RT_OK);
        if (!same_ids(want, &ids)) {
            print_message("case %zu, %s, text %.60s\n", i, IDS[special], json_string_value(text));
            show_ids(IDS[special], want, &ids);
            bad++;
        }
        assert_int_equal(txt_decode(tok, ids.data, ids.len, special, &out), RT_OK);
        stream(tok, &ids, special, &piecewise);
        if (!same_text(want_text, &out) || !same_text(want_text, &piecewise)) {
            print_message("case %zu, %s: want %.60s got %.60s piecewise %.60s\n", i, TEXT[special],
                          json_string_value(want_text), out.data, piecewise.data);
            bad++;
        }
        txt_ids_free(&ids);
        str_free(&out);
        str_free(&piecewise);
    }
    return bad;
}

static size_t check_long(const struct txt_tokenizer *tok, const char *folder,
                         const struct str *text)
{
    json_t *want = read_json(folder, "long.json");
    struct txt_ids ids = {0};
    struct str list = {0};
    char hex[65];
    bool same;
    double t = os_seconds();

    assert_int_equal(txt_encode(tok, text->data, text->len, false, &ids), RT_OK);
    t = os_seconds() - t;
    for (size_t i = 0; i < ids.len; i++)
        assert_int_equal(str_printf(&list, "%s%u", i ? "," : "[", ids.data[i]), RT_OK);
    assert_int_equal(str_puts(&list, "]"), RT_OK);
    sha256(list.data, list.len, hex);
    same = json_integer_value(json_object_get(want, "count")) == (json_int_t) ids.len &&
           strcmp(hex, json_string_value(json_object_get(want, "sha256"))) == 0;
    print_message("   long text: %zu ids, %s, %.1f MB/s\n", ids.len,
                  same ? "the same" : "DIFFERENT", (double) text->len / t / 1e6);
    json_decref(want);
    txt_ids_free(&ids);
    str_free(&list);
    return !same;
}

static size_t check_folder(const char *root, const char *name, const struct str *long_text)
{
    struct txt_tokenizer *tok;
    json_t *cases;
    char *folder;
    size_t bad = 0, n;
    double t = os_seconds();

    assert_int_equal(path_join(root, name, &folder), RT_OK);
    assert_int_equal(txt_tokenizer_open(folder, &tok), RT_OK);
    t = os_seconds() - t;
    cases = read_json(folder, "cases.json");
    n = json_array_size(cases);
    assert_true(n > 0);
    for (size_t i = 0; i < n; i++)
        bad += check_case(tok, json_array_get(cases, i), i);
    print_message("%s: %zu cases, %zu differences; opened in %.0f ms\n", name, n, bad, 1e3 * t);
    if (long_text)
        bad += check_long(tok, folder, long_text);
    json_decref(cases);
    txt_tokenizer_close(&tok);
    free(folder);
    return bad;
}

static int order(const void *a, const void *b)
{
    return strcmp(*(char *const *) a, *(char *const *) b);
}

// Every folder of `root` that has a cases.json.
static size_t check_root(const char *root, const struct str *long_text, size_t *n)
{
    DIR *dir = opendir(root);
    char *names[256] = {0};
    size_t bad = 0;

    *n = 0;
    assert_non_null(dir);
    for (const struct dirent *d; (d = readdir(dir)) && *n < COUNT_OF(names);) {
        struct str path = {0};
        assert_int_equal(str_printf(&path, "%s/%s/cases.json", root, d->d_name), RT_OK);
        if (file_exists(path.data))
            assert_int_equal(str_dup(d->d_name, &names[(*n)++]), RT_OK);
        str_free(&path);
    }
    closedir(dir);
    qsort(names, *n, sizeof(*names), order);
    for (size_t i = 0; i < *n; i++) {
        bad += check_folder(root, names[i], long_text);
        free(names[i]);
    }
    return bad;
}

// components.json: one small tokenizer for each kind and option; what is left out is as without
// special tokens.
static json_t *case_of(const json_t *tokenizer, const json_t *texts, size_t i)
{
    static const char *const KEYS[][2] = {
        {"ids_no_special", "ids_no_special"},
        {"ids_with_special", "ids_no_special"},
        {"decoded", "decoded"},
        {"decoded_skip_special", "decoded"},
    };
    json_t *c = json_object();

    assert_int_equal(json_object_set(c, "text", json_array_get(texts, i)), 0);
    for (size_t k = 0; k < COUNT_OF(KEYS); k++) {
        json_t *list = json_object_get(tokenizer, KEYS[k][0]);
        list = list ? list : json_object_get(tokenizer, KEYS[k][1]);
        assert_int_equal(json_object_set(c, KEYS[k][0], json_array_get(list, i)), 0);
    }
    return c;
}

static void components(void **state)
{
    struct str root = {0};
    json_t *doc;
    const json_t *all, *texts;
    size_t bad = 0;

    (void) state;
    assert_int_equal(str_printf(&root, "%s/tests/golden/tokenizers", os_env("ANYDPO_SOURCE")),
                     RT_OK);
    doc = read_json(root.data, "components.json");
    all = json_object_get(doc, "tokenizers");
    texts = json_object_get(doc, "texts");
    assert_true(json_array_size(all) > 50);
    for (size_t i = 0; i < json_array_size(all); i++) {
        const json_t *one = json_array_get(all, i);
        json_t *parts = json_object_get(one, "parts");
        const size_t model = (size_t) json_integer_value(json_object_get(one, "model"));
        const size_t before = bad;
        struct txt_tokenizer *tok;
        char *json;
        assert_int_equal(
            json_object_set(parts, "model", json_array_get(json_object_get(doc, "models"), model)),
            0);
        json = json_dumps(parts, 0);
        assert_int_equal(txt_tokenizer_parse(json, strlen(json), "components.json", &tok), RT_OK);
        free(json);
        for (size_t k = 0; k < json_array_size(texts); k++) {
            json_t *c = case_of(one, texts, k);
            bad += check_case(tok, c, k);
            json_decref(c);
        }
        if (bad > before)
            print_message("%s: %zu differences\n", json_string_value(json_object_get(one, "name")),
                          bad - before);
        txt_tokenizer_close(&tok);
    }
    json_decref(doc);
    str_free(&root);
    assert_int_equal(bad, 0);
}

static void own(void **state)
{
    struct str root = {0};
    size_t n;

    (void) state;
    assert_non_null(os_env("ANYDPO_SOURCE"));
    assert_int_equal(str_printf(&root, "%s/tests/golden/tokenizers", os_env("ANYDPO_SOURCE")),
                     RT_OK);
    assert_int_equal(check_root(root.data, NULL, &n), 0);
    assert_true(n >= 3);
    str_free(&root);
}

static void shared(void **state)
{
    struct str root = {0}, text = {0};
    size_t n;

    (void) state;
    if (!os_env("ANYDPO_GOLDENS") ||
        (assert_int_equal(str_printf(&root, "%s/tokenizers", os_env("ANYDPO_GOLDENS")), RT_OK),
         !dir_exists(root.data))) {
        print_message("ANYDPO_GOLDENS has no tokenizers: skipped\n");
        str_free(&root);
        skip();
    }
    assert_int_equal(str_puts(&root, "/long.txt"), RT_OK);
    assert_int_equal(file_read(root.data, &text), RT_OK);
    root.data[root.len - strlen("/long.txt")] = 0;
    assert_int_equal(check_root(root.data, &text, &n), 0);
    assert_true(n >= 16);
    str_free(&root);
    str_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(components), cmocka_unit_test(own),
                                       cmocka_unit_test(shared)};
    log_set_level(LOG_ERROR); // not that the library numbers added tokens itself
    return cmocka_run_group_tests(tests, NULL, NULL);
}
