// The cache of tokens: a second read gives the same set from the file, any input changes the key,
// damage is noticed and repaired.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "src/base/arith.h"
#include "src/data/cache.h"

static struct txt_tokenizer *g_tok, *g_other_tok;
static struct txt_chat *g_chat, *g_other_chat, *g_clock_chat;
static struct str g_said;

static void hear(void *user, enum log_level level, const char *line)
{
    (void) user, (void) level;
    if (str_puts(&g_said, line) != RT_OK || str_putc(&g_said, '\n') != RT_OK)
        abort();
}

static const char ROWS[] =
    "{\"prompt\": \"one two\", \"chosen\": \" three\", \"rejected\": \" four five\"}\n"
    "{\"prompt\": \"a very long prompt that is dropped, word by word by word by word\", "
    "\"chosen\": \"x\", \"rejected\": \"y\"}\n"
    "{\"prompt\": \"six\", \"chosen\": \" seven eight nine ten eleven\", \"rejected\": \"\"}\n";

static struct ds_part g_part = {.paths = {"c/rows.jsonl"}, .n_paths = 1};

static struct ds_read_args plain_args(void)
{
    return (struct ds_read_args){.parts = &g_part,
                                 .n_parts = 1,
                                 .tok = g_tok,
                                 .chat = g_chat,
                                 .max_length = 20,
                                 .now = 1000000,
                                 .cache_dir = "c/cache"};
}

static bool same(const struct ds_set *a, const struct ds_set *b)
{
    bool ok = a->n == b->n && a->n_read == b->n_read && a->n_dropped == b->n_dropped &&
              a->n_cut == b->n_cut && a->n_truncated == b->n_truncated &&
              a->max_length == b->max_length && a->truncation == b->truncation &&
              a->ids.len == b->ids.len &&
              memcmp(a->ids.data, b->ids.data, a->ids.len * sizeof(uint32_t)) == 0;
    for (uint32_t i = 0; ok && i < a->n; i++)
        ok = a->pairs[i].row == b->pairs[i].row && a->pairs[i].first == b->pairs[i].first &&
             a->pairs[i].prompt == b->pairs[i].prompt && a->pairs[i].chosen == b->pairs[i].chosen &&
             a->pairs[i].rejected == b->pairs[i].rejected && a->pairs[i].cut == b->pairs[i].cut;
    for (uint32_t i = 0; ok && i < a->n_dropped; i++)
        ok = a->dropped[i] == b->dropped[i];
    return ok;
}

static bool said(const char *what)
{
    return g_said.data && strstr(g_said.data, what);
}

static void read_set(const struct ds_read_args *a, struct ds_set *out)
{
    str_clear(&g_said);
    if (ds_read(a, out) != RT_OK)
        fail_msg("ds_read: %s", g_said.data);
}

static struct ds_key key_of(const struct ds_read_args *a)
{
    struct ds_files files;
    uint64_t limits[DS_PARTS];
    struct ds_key key;
    assert_int_equal(ds_files_find(a->parts, a->n_parts, &files), RT_OK);
    assert_int_equal(ds_limits(a->parts, a->n_parts, &files, limits), RT_OK);
    assert_int_equal(ds_key_make(a, &files, limits, &key), RT_OK);
    ds_files_free(&files);
    return key;
}

static void hit(void **state)
{
    struct ds_read_args a = plain_args();
    struct ds_set fresh, first, second;

    (void) state;
    assert_int_equal(dir_remove("c/cache"), RT_OK);
    a.cache_dir = NULL;
    read_set(&a, &fresh);
    a.cache_dir = "c/cache";
    read_set(&a, &first);
    assert_false(said("earlier run"));
    read_set(&a, &second);
    assert_true(said("earlier run"));
    assert_int_equal(fresh.n, 2);
    assert_int_equal(fresh.n_dropped, 1);
    assert_null(fresh.map.data);
    assert_non_null(first.map.data);
    assert_non_null(second.map.data);
    assert_true(same(&fresh, &first));
    assert_true(same(&fresh, &second));
    ds_set_free(&fresh);
    ds_set_free(&first);
    ds_set_free(&second);
}

static void damage(void **state)
{
    const struct ds_read_args a = plain_args();
    struct ds_set want, got;
    struct str good = {0};
    struct ds_key key;
    char *path;

    (void) state;
    read_set(&a, &want);
    key = key_of(&a);
    assert_int_equal(ds_cache_path("c/cache", &key, &path), RT_OK);
    assert_int_equal(file_read(path, &good), RT_OK);
    for (size_t at = 0; at <= good.len; at++) { // a byte changed, or all behind it gone
        struct str bad = {0};
        assert_int_equal(str_append(&bad, good.data, good.len), RT_OK);
        if (at < good.len)
            bad.data[at] ^= 0x10;
        else
            bad.len = good.len / 2;
        assert_int_equal(file_write(path, bad.data, bad.len), RT_OK);
        read_set(&a, &got);
        if (!said("tokenised again") || !said(path) || !same(&want, &got))
            fail_msg("damage at byte %zu of %zu: %s", at, good.len, g_said.data);
        ds_set_free(&got);
        str_free(&bad);
    }
    assert_int_equal(file_write(path, "", 0), RT_OK);
    read_set(&a, &got);
    assert_true(said("tokenised again"));
    ds_set_free(&got);
    read_set(&a, &got); // it was written anew
    assert_true(said("earlier run"));
    assert_true(same(&want, &got));
    ds_set_free(&got);
    ds_set_free(&want);
    str_free(&good);
    free(path);
}

static bool differs(struct ds_key a, struct ds_key b)
{
    return a.a != b.a && a.b != b.b;
}

static void key(void **state)
{
    const struct ds_read_args plain = plain_args();
    const struct ds_key k = key_of(&plain);
    struct ds_part part = g_part;
    struct ds_read_args a = plain;

    (void) state;
    part.paths[0] = "c/same.jsonl"; // names do not count, nor does the time without a clock
    a.parts = &part;
    a.now += 86400;
    a.strict = true;
    const struct ds_key equal = key_of(&a);
    assert_memory_equal(&k, &equal, sizeof(k));
    part.paths[0] = "c/other.jsonl"; // one letter of the contents
    assert_true(differs(k, key_of(&a)));
    part.paths[0] = "c/rows.csv"; // the same bytes as another format
    assert_true(differs(k, key_of(&a)));
    part = g_part;
    part.paths[part.n_paths++] = "c/rows.jsonl";
    assert_true(differs(k, key_of(&a)));
    part = g_part;
    part.columns[part.n_columns++] = (struct ds_column){"chosen", "rejected"};
    const struct ds_key renamed = key_of(&a);
    assert_true(differs(k, renamed));
    part.columns[0].from = "prompt";
    assert_true(differs(renamed, key_of(&a)));
    part.select = true;
    assert_true(differs(renamed, key_of(&a)));
    a = plain;
    a.max_length = 21;
    assert_true(differs(k, key_of(&a)));
    a = plain;
    a.truncation = DS_KEEP_END;
    assert_true(differs(k, key_of(&a)));
    a = plain;
    a.tok = g_other_tok;
    assert_true(differs(k, key_of(&a)));
    a = plain;
    a.chat = g_other_chat;
    assert_true(differs(k, key_of(&a)));
    a.chat = g_clock_chat;
    const struct ds_key today = key_of(&a);
    assert_true(differs(k, today));
    a.now += 86400;
    assert_true(differs(today, key_of(&a)));
}

static void fraction_key(void **state)
{
    struct ds_part parts[2] = {g_part, g_part};
    struct ds_read_args a = plain_args();

    (void) state;
    a.parts = parts;
    a.n_parts = 2;
    const struct ds_key all = key_of(&a);
    parts[0].has_fraction = parts[1].has_fraction = true;
    parts[0].fraction = 0.7;
    parts[1].fraction = 0.3;
    assert_true(differs(all, key_of(&a)));
}

// A folder that cannot be made: said, and the set is there all the same.
static void no_folder(void **state)
{
    struct ds_read_args a = plain_args();
    struct ds_set want, got;

    (void) state;
    read_set(&a, &want);
    a.cache_dir = "c/rows.jsonl/cache";
    read_set(&a, &got);
    assert_true(said("stay in memory"));
    assert_null(got.map.data);
    assert_true(same(&want, &got));
    ds_set_free(&got);
    ds_set_free(&want);
}

// strict: a set with a cut prompt in the cache is an error all the same, and names the row.
static void strict(void **state)
{
    struct ds_part part = {.paths = {"c/cut.jsonl"}, .n_paths = 1};
    struct ds_read_args a = plain_args();
    struct ds_set got;
    static const char CUT[] =
        "{\"prompt\": \"one two\", \"chosen\": \" three\", \"rejected\": \" four\"}\n"
        "{\"prompt\": \"The bo\", \"chosen\": \"ttle it is\", \"rejected\": \"ttles are not\"}\n";

    (void) state;
    assert_int_equal(file_write("c/cut.jsonl", CUT, sizeof(CUT) - 1), RT_OK);
    a.parts = &part;
    read_set(&a, &got);
    assert_true(got.n_cut > 0);
    ds_set_free(&got);
    a.strict = true;
    str_clear(&g_said);
    assert_int_equal(ds_read(&a, &got), RT_E_FORMAT);
    assert_true(said("c/cut.jsonl:2"));
    assert_null(got.pairs);
}

static void age(const char *path, int days)
{
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 0}};
    times[1].tv_sec = (time_t) os_wall_seconds() - days * 86400;
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

// What is trimmed, and that nothing else is. A name is 32 digits of a key.
#define KEY(c) "c/trim/" c c c c c c c c c c c c c c c c
static const struct {
    const char *path;
    int days;
    bool damaged, old_version, goes; // without a bound
} TRIMMED[] = {
    {KEY("0a") ".tokens", 3, false, false, false},
    {KEY("0b") ".tokens", 5, false, false, false},
    {KEY("0c") ".tokens", 1, false, false, false},
    {KEY("0d") ".tokens", 200, false, false, true},
    {KEY("0e") ".tokens", 200, true, false, false}, // whose it is nobody knows
    {KEY("0f") ".tokens", 0, false, true, true},
    {KEY("1a") ".tokens.tmp-17", 2, true, false, true},
    {KEY("1b") ".tokens.tmp-17", 0, true, false, false},
    {KEY("1c") ".tokens.tmp-", 2, true, false, false},
    {KEY("1d") ".tokens.bak", 200, false, false, false},
    {"c/trim/0123.tokens", 200, false, false, false},
    {"c/trim/rows.jsonl", 200, false, false, false},
    {"c/trim/"
     "0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A0A"
     ".tokens",
     200, false, false, false},
};

static void make_trimmed(const struct str *good)
{
    assert_int_equal(dir_remove("c/trim"), RT_OK);
    assert_int_equal(dir_make("c/trim/sub"), RT_OK);
    for (size_t i = 0; i < COUNT_OF(TRIMMED); i++) {
        struct str bytes = {0};
        assert_int_equal(str_append(&bytes, good->data, good->len), RT_OK);
        if (TRIMMED[i].damaged)
            bytes.len = bytes.len / 2;
        if (TRIMMED[i].old_version)
            bytes.data[bytes.len - 72] ^= 4; // behind the magic word of the footer
        assert_int_equal(file_write(TRIMMED[i].path, bytes.data, bytes.len), RT_OK);
        age(TRIMMED[i].path, TRIMMED[i].days);
        str_free(&bytes);
    }
    // A link of a right name, to a file that is none of ours.
    assert_int_equal(symlink("rows.jsonl", KEY("2a") ".tokens"), 0);
}

static void trim(void **state)
{
    const struct ds_read_args a = plain_args();
    const struct ds_key k = key_of(&a);
    struct str good = {0};
    struct ds_set set;
    struct file_info info;
    char *path;

    (void) state;
    read_set(&a, &set);
    ds_set_free(&set);
    assert_int_equal(ds_cache_path("c/cache", &k, &path), RT_OK);
    assert_int_equal(file_read(path, &good), RT_OK);
    make_trimmed(&good);
    str_clear(&g_said);
    ds_cache_trim("c/trim", KEY("0a") ".tokens", 0);
    assert_true(said("3 files of tokens removed"));
    for (size_t i = 0; i < COUNT_OF(TRIMMED); i++)
        if (file_info(TRIMMED[i].path, &info) == TRIMMED[i].goes)
            fail_msg("%s: expected %s", TRIMMED[i].path, TRIMMED[i].goes ? "no file" : "a file");
    assert_true(file_exists(KEY("2a") ".tokens"));
    // A bound of one file: of 3, 5 and 1 days the first is the one in use, the others go.
    ds_cache_trim("c/trim", KEY("0a") ".tokens", good.len * 2);
    assert_false(file_info(KEY("0b") ".tokens", &info));
    assert_true(file_info(KEY("0c") ".tokens", &info));
    ds_cache_trim("c/trim", KEY("0a") ".tokens", 1);
    assert_false(file_info(KEY("0c") ".tokens", &info));
    assert_true(file_info(KEY("0a") ".tokens", &info));
    assert_true(file_info(KEY("0e") ".tokens", &info));
    str_free(&good);
    free(path);
}

// A file that a run finds is in use again; one that it adds may push out another.
static void in_use(void **state)
{
    struct ds_read_args a = plain_args();
    const struct ds_key k = key_of(&a);
    struct file_info info;
    struct ds_set set;
    char *path;

    (void) state;
    read_set(&a, &set);
    ds_set_free(&set);
    assert_int_equal(ds_cache_path("c/cache", &k, &path), RT_OK);
    age(path, 30);
    read_set(&a, &set);
    ds_set_free(&set);
    assert_true(file_info(path, &info) && info.age_s < 3600.0);
    a.max_length = 19;
    a.cache_bytes = 1;
    read_set(&a, &set);
    assert_non_null(set.map.data);
    assert_true(said("removed"));
    assert_false(file_info(path, &info));
    ds_set_free(&set);
    free(path);
}

// In pieces as in one, over the edge of a block.
static void digest(void **state)
{
    const size_t n = (4 << 20) * 2 + 12345;
    unsigned char *bytes = malloc(n);
    struct ds_digest d;
    uint64_t whole, less;

    (void) state;
    assert_non_null(bytes);
    for (size_t i = 0; i < n; i++)
        bytes[i] = (unsigned char) (i * 2654435761u >> 13);
    assert_int_equal(ds_digest_of(bytes, n, &whole), RT_OK);
    ds_digest_begin(&d);
    for (size_t at = 0; at < n; at += 777777)
        ds_digest_add(&d, bytes + at, (size_t) u64_min(777777, n - at));
    assert_true(ds_digest_end(&d) == whole);
    bytes[n - 1] ^= 1;
    assert_int_equal(ds_digest_of(bytes, n, &less), RT_OK);
    assert_true(less != whole);
    bytes[n - 1] ^= 1;
    assert_int_equal(ds_digest_of(bytes, 4 << 20, &less), RT_OK);
    ds_digest_begin(&d);
    ds_digest_add(&d, bytes, 4 << 20);
    assert_true(ds_digest_end(&d) == less);
    free(bytes);
}

static int open_all(const char *source)
{
    char model[1024];
    static const char OTHER[] = "{{ messages }}", CLOCK[] = "{{ strftime_now('%d') }}";

    snprintf(model, sizeof(model), "%s/tests/golden/models/llama", source);
    if (txt_tokenizer_open(model, &g_tok) != RT_OK || txt_chat_open(model, &g_chat) != RT_OK)
        return 1;
    snprintf(model, sizeof(model), "%s/tests/golden/models/llama3", source);
    return txt_tokenizer_open(model, &g_other_tok) != RT_OK ||
           txt_chat_open_text(OTHER, sizeof(OTHER) - 1, "t", &g_other_chat) != RT_OK ||
           txt_chat_open_text(CLOCK, sizeof(CLOCK) - 1, "t", &g_clock_chat) != RT_OK;
}

static int write_rows(void)
{
    char other[sizeof(ROWS)];
    memcpy(other, ROWS, sizeof(ROWS));
    other[13]++;
    return dir_remove("c") != RT_OK || dir_make("c") != RT_OK ||
           file_write("c/rows.jsonl", ROWS, sizeof(ROWS) - 1) != RT_OK ||
           file_write("c/same.jsonl", ROWS, sizeof(ROWS) - 1) != RT_OK ||
           file_write("c/rows.csv", ROWS, sizeof(ROWS) - 1) != RT_OK ||
           file_write("c/other.jsonl", other, sizeof(ROWS) - 1) != RT_OK;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hit),    cmocka_unit_test(damage),       cmocka_unit_test(key),
        cmocka_unit_test(strict), cmocka_unit_test(fraction_key), cmocka_unit_test(no_folder),
        cmocka_unit_test(digest), cmocka_unit_test(trim),         cmocka_unit_test(in_use),
    };
    const char *source = os_env("ANYDPO_SOURCE");

    log_set_sink(hear, NULL);
    if (open_all(source ? source : ".") || write_rows())
        return 1;
    const int status = cmocka_run_group_tests(tests, NULL, NULL);
    txt_tokenizer_close(&g_tok);
    txt_tokenizer_close(&g_other_tok);
    txt_chat_close(&g_chat);
    txt_chat_close(&g_other_chat);
    txt_chat_close(&g_clock_chat);
    str_free(&g_said);
    return status;
}
