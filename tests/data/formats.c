// Files of rows: every format and packing gives the same tokens, and a bad row names its place.
#define _GNU_SOURCE // sched_setaffinity
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include <cmocka.h>

#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/data/pairs.h"

static struct txt_tokenizer *g_tok;
static struct txt_chat *g_chat;
static struct str g_said; // lines of the log
static int g_errors;

static void hear(void *user, enum log_level level, const char *line)
{
    (void) user;
    g_errors += level == LOG_ERROR;
    if (str_puts(&g_said, line) != RT_OK || str_putc(&g_said, '\n') != RT_OK)
        abort();
}

static void put(const char *path, const void *bytes, size_t n)
{
    assert_int_equal(file_write(path, bytes, n), RT_OK);
}

static void put_text(const char *path, const char *text)
{
    put(path, text, strlen(text));
}

// Append text as a member (or frame) of its own.
static void gzip(struct str *out, const char *text, size_t n)
{
    static unsigned char buf[1 << 20];
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (Bytef *) (uintptr_t) text;
    z.avail_in = (uInt) n;
    z.next_out = buf;
    z.avail_out = sizeof(buf);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    assert_int_equal(str_append(out, buf, sizeof(buf) - z.avail_out), RT_OK);
    deflateEnd(&z);
}

static void zstd(struct str *out, const char *text, size_t n)
{
    static unsigned char buf[1 << 20];
    const size_t k = ZSTD_compress(buf, sizeof(buf), text, n, 3);
    assert_false(ZSTD_isError(k));
    assert_int_equal(str_append(out, buf, k), RT_OK);
}

static enum rt_err read_parts(const struct ds_part *parts, uint32_t n, struct ds_set *out)
{
    str_clear(&g_said);
    g_errors = 0;
    return ds_read(
        &(struct ds_read_args){
            .parts = parts, .n_parts = n, .tok = g_tok, .chat = g_chat, .max_length = 64},
        out);
}

static enum rt_err read_path(const char *path, struct ds_set *out)
{
    return read_parts(&(struct ds_part){.paths = {path}, .n_paths = 1}, 1, out);
}

static bool same_pair(const struct ds_pair *a, const struct ds_pair *b)
{
    return a->row == b->row && a->first == b->first && a->prompt == b->prompt &&
           a->chosen == b->chosen && a->rejected == b->rejected && a->cut == b->cut;
}

static bool same(const struct ds_set *a, const struct ds_set *b)
{
    bool ok = a->n == b->n && a->ids.len == b->ids.len && a->n_read == b->n_read &&
              a->n_dropped == b->n_dropped && a->n_cut == b->n_cut &&
              a->n_truncated == b->n_truncated &&
              memcmp(a->ids.data, b->ids.data, a->ids.len * sizeof(uint32_t)) == 0;
    for (uint32_t i = 0; ok && i < a->n; i++)
        ok = same_pair(&a->pairs[i], &b->pairs[i]);
    return ok;
}

// ---- the same rows in every format --------------------------------------------------------------

static const char LINES[] =
    "{\"prompt\": \"Say, \\\"x\\\"\\n\\\",:\", \"chosen\": \"one\\ntwo\", \"rejected\": \" "
    "r\\u00e9\"}\n"
    "  \r\n"
    "{\"prompt\": \"a,b\", \"chosen\": \" c\\td\", \"rejected\": \"\", \"extra\": [1, {\"]\": 2}]}"
    "\r\n"
    "{\"prompt\": \"\", \"chosen\": \"last ]},{[\", \"rejected\": \"\\\\\"}";
static const char ARRAY[] =
    "\xef\xbb\xbf \n[{\"prompt\": \"Say, \\\"x\\\"\\n\\\",:\", \"chosen\": "
    "\"one\\ntwo\",\n\"rejected\": "
    "\" r\xc3\xa9\"}\n ,{\"prompt\": \"a,b\", \"chosen\": \" c\\td\", \"rejected\": \"\", "
    "\"extra\": [1, {\"]\": 2}]}, \n{\"prompt\": \"\", \"chosen\": \"last ]},{[\", \"rejected\": "
    "\"\\\\\"}\n]\n";
static const char CSV[] = "\xef\xbb\xbfprompt,extra,chosen,\"rejected\"\r\n"
                          "\"Say, \"\"x\"\"\n\"\",:\",1,\"one\ntwo\", r\xc3\xa9\r\n"
                          "\r\n"
                          "\"a,b\",,\" c\td\",\"\"\n"
                          ",z,\"last ]},{[\",\\";
static const char TSV[] = "prompt\tchosen\trejected\n"
                          "\"Say, \"\"x\"\"\n\"\",:\"\t\"one\ntwo\"\t r\xc3\xa9\n"
                          "a,b\t\" c\td\"\t\n"
                          "\tlast ]},{[\t\\\n";

static void write_all(void)
{
    const size_t n = sizeof(LINES) - 1;
    struct str gz = {0}, zst = {0}, csv = {0};

    put("f/a.jsonl", LINES, n);
    put("f/a.json", ARRAY, sizeof(ARRAY) - 1);
    put("f/lines.json", LINES, n);
    put("f/a.csv", CSV, sizeof(CSV) - 1);
    put("f/a.tsv", TSV, sizeof(TSV) - 1);
    gzip(&gz, LINES, 40);
    gzip(&gz, LINES + 40, n - 40);
    put("f/a.jsonl.gz", gz.data, gz.len);
    zstd(&zst, LINES, 41);
    zstd(&zst, LINES + 41, n - 41);
    put("f/a.jsonl.zst", zst.data, zst.len);
    gzip(&csv, CSV, sizeof(CSV) - 1);
    put("f/a.csv.gz", csv.data, csv.len);
    str_free(&gz);
    str_free(&zst);
    str_free(&csv);
}

static void formats(void **state)
{
    static const char *const PATHS[] = {"f/a.json",     "f/lines.json",  "f/a.csv",   "f/a.tsv",
                                        "f/a.jsonl.gz", "f/a.jsonl.zst", "f/a.csv.gz"};
    struct ds_set want, got;

    (void) state;
    assert_int_equal(read_path("f/a.jsonl", &want), RT_OK);
    assert_int_equal(want.n, 3);
    for (size_t i = 0; i < COUNT_OF(PATHS); i++) {
        if (read_path(PATHS[i], &got) != RT_OK || !same(&want, &got))
            fail_msg("%s differs: %u rows, %s", PATHS[i], got.n, g_said.data);
        ds_set_free(&got);
    }
    ds_set_free(&want);
}

// ---- columns, folders, fractions ----------------------------------------------------------------

static void columns(void **state)
{
    struct ds_set want, got;
    const struct ds_part renamed = {.paths = {"f/renamed.csv"},
                                    .n_paths = 1,
                                    .columns = {{"prompt", "chosen"}, {"chosen", "good"}},
                                    .n_columns = 2};
    const struct ds_part selected = {.paths = {"f/implicit.csv"},
                                     .n_paths = 1,
                                     .columns = {{"chosen", "chosen"}, {"rejected", "rejected"}},
                                     .n_columns = 2,
                                     .select = true};

    (void) state;
    put_text("f/plain.csv", "prompt,chosen,rejected\nq,a b,a c\n");
    put_text("f/renamed.csv", "chosen,good,rejected\nq,a b,a c\n");
    put_text("f/implicit.csv", "prompt,chosen,rejected\nwrong,a b,a c\n");
    put_text("f/bare.csv", "chosen,rejected\na b,a c\n");
    assert_int_equal(read_path("f/plain.csv", &want), RT_OK);
    assert_int_equal(read_parts(&renamed, 1, &got), RT_OK);
    assert_true(same(&want, &got));
    ds_set_free(&want);
    ds_set_free(&got);
    assert_int_equal(read_path("f/bare.csv", &want), RT_OK);
    assert_int_equal(read_parts(&selected, 1, &got), RT_OK);
    assert_true(same(&want, &got));
    ds_set_free(&want);
    ds_set_free(&got);
    const struct ds_part missing = {.paths = {"f/plain.csv"},
                                    .n_paths = 1,
                                    .columns = {{"prompt", "question"}},
                                    .n_columns = 1};
    assert_int_equal(read_parts(&missing, 1, &got), RT_E_FORMAT);
    assert_non_null(strstr(g_said.data, "f/plain.csv:2"));
    assert_non_null(strstr(g_said.data, "question"));
    assert_non_null(strstr(g_said.data, "rejected"));
}

static void put_rows(const char *path, uint32_t from, uint32_t to)
{
    struct str s = {0};
    for (uint32_t i = from; i < to; i++)
        assert_int_equal(str_printf(&s,
                                    "{\"prompt\": \"p%u\", \"chosen\": \"c\", \"rejected\": "
                                    "\"r %u\"}\n",
                                    i, i * 7),
                         RT_OK);
    put(path, s.data, s.len);
    str_free(&s);
}

static void folders(void **state)
{
    struct ds_set want, got;
    bool there;

    (void) state;
    assert_int_equal(dir_make("f/dir"), RT_OK);
    put_rows("f/dir/train-00000-of-00002.jsonl", 0, 5);
    put_rows("f/dir/train-00001-of-00002.jsonl", 5, 9);
    put_rows("f/dir/test.jsonl", 20, 23);
    put_rows("f/dir/training.jsonl", 30, 33);
    put_rows("f/whole.jsonl", 0, 9);
    assert_int_equal(read_path("f/whole.jsonl", &want), RT_OK);
    assert_int_equal(read_path("f/dir", &got), RT_OK);
    assert_true(same(&want, &got));
    ds_set_free(&got);
    ds_set_free(&want);
    const struct ds_part test = {.paths = {"dir"}, .n_paths = 1, .folder = "f", .split = "test"};
    assert_int_equal(read_parts(&test, 1, &got), RT_OK);
    assert_int_equal(got.n, 3);
    ds_set_free(&got);
    const struct ds_part none = {.paths = {"f/dir"}, .n_paths = 1, .split = "validation"};
    assert_int_equal(read_parts(&none, 1, &got), RT_E_NOT_FOUND);
    assert_non_null(strstr(g_said.data, "validation.jsonl"));
    assert_int_equal(ds_folder_has("f/dir", "test", &there), RT_OK);
    assert_true(there);
    assert_int_equal(ds_folder_has("f/dir", "eval", &there), RT_OK);
    assert_false(there);
    put_text("f/dir/train.parquet", "PAR1");
    assert_int_equal(read_path("f/dir", &got), RT_E_UNSUPPORTED);
    assert_non_null(strstr(g_said.data, "f/dir/train.parquet"));
    assert_non_null(strstr(g_said.data, "to_json"));
    remove("f/dir/train.parquet");
}

// TRL: 10 and 4 rows at 3 : 1 give min(10 / 0.75, 4 / 0.25) = 13.3: the first 10, and round(3.3).
static void fractions(void **state)
{
    struct ds_part parts[2] = {
        {.paths = {"f/ten.jsonl"}, .n_paths = 1, .has_fraction = true, .fraction = 3},
        {.paths = {"f/four.jsonl"}, .n_paths = 1, .has_fraction = true, .fraction = 1}};
    struct ds_set want, got;

    (void) state;
    put_rows("f/ten.jsonl", 0, 10);
    put_rows("f/four.jsonl", 10, 14);
    put_rows("f/thirteen.jsonl", 0, 13);
    assert_int_equal(read_path("f/thirteen.jsonl", &want), RT_OK);
    assert_int_equal(read_parts(parts, 2, &got), RT_OK);
    assert_true(same(&want, &got));
    ds_set_free(&got);
    ds_set_free(&want);
    parts[1].has_fraction = false;
    assert_int_equal(read_parts(parts, 2, &got), RT_E_USAGE);
    assert_non_null(strstr(g_said.data, "fraction"));
}

// ---- many rows ----------------------------------------------------------------------------------

// More rows than a batch: the same on one core, and in order.
static void cores(void **state)
{
    struct ds_set one, all;
    cpu_set_t before, first;

    (void) state;
    put_rows("f/many.jsonl", 0, 40000);
    assert_int_equal(read_path("f/many.jsonl", &all), RT_OK);
    assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
    CPU_ZERO(&first);
    for (size_t i = 0; i < CPU_SETSIZE && CPU_COUNT(&first) == 0; i++)
        if (CPU_ISSET(i, &before))
            CPU_SET(i, &first);
    assert_int_equal(sched_setaffinity(0, sizeof(first), &first), 0);
    assert_int_equal(os_cores(), 1);
    assert_int_equal(read_path("f/many.jsonl", &one), RT_OK);
    assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
    assert_int_equal(one.n, 40000);
    assert_true(same(&one, &all));
    for (uint32_t i = 0; i < one.n; i++)
        assert_int_equal(one.pairs[i].row, i);
    ds_set_free(&one);
    ds_set_free(&all);
}

// Of several bad rows the first is named, alone, however many cores there are.
static void first_error(void **state)
{
    struct str s = {0};
    struct ds_set got;

    (void) state;
    for (int i = 1; i <= 5000; i++)
        assert_int_equal(str_printf(&s,
                                    i == 17 || i > 2400 ? "{\"chosen\": %d}\n"
                                                        : "{\"prompt\": \"%d\", \"chosen\": "
                                                          "\"a\", \"rejected\": \"b\"}\n",
                                    i),
                         RT_OK);
    put("f/bad.jsonl", s.data, s.len);
    assert_int_equal(read_path("f/bad.jsonl", &got), RT_E_FORMAT);
    assert_int_equal(g_errors, 1);
    assert_non_null(strstr(g_said.data, "f/bad.jsonl:17:"));
    str_free(&s);
}

// ---- bad files ----------------------------------------------------------------------------------

#define HEAD "prompt,chosen,rejected\n"
#define ROW "{\"prompt\": \"a\", \"chosen\": \"b\", \"rejected\": \"c\"}"
static const struct {
    const char *name, *text;
    enum rt_err err;
    const char *says[3];
} BAD[] = {
    {"b1.csv", HEAD "a,b\n", RT_E_FORMAT, {"b1.csv:2", "3 fields", "found 2"}},
    {"b2.csv", HEAD "a,b,c,d\n", RT_E_FORMAT, {"b2.csv:2", "3 fields", "found 4"}},
    {"b3.csv", HEAD "a,\"x\ny\",c\na,\"b,c\n", RT_E_FORMAT, {"b3.csv:4", "closing quote"}},
    {"b4.csv", HEAD "a,\"b\"x,c\n", RT_E_FORMAT, {"b4.csv:2", "field 2", "closing quote"}},
    {"b5.csv", HEAD "a,b,\xff\n", RT_E_FORMAT, {"b5.csv:2", "field 3", "UTF-8"}},
    {"b6.csv", "prompt,chosen,chosen\na,b,c\n", RT_E_FORMAT, {"b6.csv:1", "chosen", "twice"}},
    {"b7.csv", "prompt,,chosen\na,b,c\n", RT_E_FORMAT, {"b7.csv:1", "name", "column 2"}},
    {"b8.csv", "prompt,good,bad\na,b,c\n", RT_E_FORMAT, {"b8.csv:2", "chosen"}},
    {"b9.csv", HEAD, RT_E_FORMAT, {"b9.csv", "none"}},
    {"b10.csv", "", RT_E_FORMAT, {"b10.csv", "none"}},
    {"b1.json", "[" ROW, RT_E_FORMAT, {"b1.json:1", "end"}},
    {"b2.json", "[" ROW ",\n" ROW ",]", RT_E_FORMAT, {"b2.json:2", "row"}},
    {"b3.json", "[" ROW "]\n{}", RT_E_FORMAT, {"b3.json:2", "behind"}},
    {"b4.json", "[\n" ROW ",\n\n 3]", RT_E_FORMAT, {"b4.json:4", "object", "integer"}},
    {"b5.json", "[" ROW "\n\n" ROW "]", RT_E_FORMAT, {"b5.json:3"}},
    {"b6.json", "[]", RT_E_FORMAT, {"b6.json", "none"}},
    {"b1.jsonl", ROW "\n\n\n[1]\n", RT_E_FORMAT, {"b1.jsonl:4", "object", "array"}},
    {"b2.jsonl", ROW "\n{\"prompt\n", RT_E_FORMAT, {"b2.jsonl:2"}},
    {"b1.jsonl.gz", ROW, RT_E_FORMAT, {"b1.jsonl.gz", "gzip"}},
    {"b1.jsonl.zst", ROW, RT_E_FORMAT, {"b1.jsonl.zst", "zstd"}},
    {"b1.jsonl.xz", "x", RT_E_UNSUPPORTED, {"b1.jsonl.xz", "gzip or zstd"}},
    {"b1.parquet", "PAR1", RT_E_UNSUPPORTED, {"b1.parquet", "to_json"}},
};

static void bad_files(void **state)
{
    struct ds_set got;

    (void) state;
    for (size_t i = 0; i < COUNT_OF(BAD); i++) {
        char path[64];
        snprintf(path, sizeof(path), "f/%s", BAD[i].name);
        put_text(path, BAD[i].text);
        if (read_path(path, &got) != BAD[i].err)
            fail_msg("%s: expected %s; %s", path, rt_err_name(BAD[i].err), g_said.data);
        for (size_t k = 0; k < 3 && BAD[i].says[k]; k++)
            if (!g_said.data || !strstr(g_said.data, BAD[i].says[k]))
                fail_msg("%s: the message does not name %s: %s", path, BAD[i].says[k],
                         g_said.data ? g_said.data : "none");
        assert_int_equal(g_errors, 1);
        assert_null(got.pairs);
    }
}

// A packed file that is cut, or has a byte changed.
static void damaged(void **state)
{
    static const char *const NAMES[] = {"f/a.jsonl.gz", "f/a.jsonl.zst"};
    struct ds_set got;

    (void) state;
    for (size_t i = 0; i < 2; i++) {
        struct str s = {0};
        char path[64];
        snprintf(path, sizeof(path), "f/damaged%zu.jsonl%s", i, i ? ".zst" : ".gz");
        assert_int_equal(file_read(NAMES[i], &s), RT_OK);
        put(path, s.data, s.len - 3);
        assert_int_equal(read_path(path, &got), RT_E_FORMAT);
        assert_non_null(strstr(g_said.data, "ends in the middle"));
        s.data[i ? 2 : 30] ^= 0x55;
        put(path, s.data, s.len);
        assert_int_equal(read_path(path, &got), RT_E_FORMAT);
        assert_non_null(strstr(g_said.data, path));
        str_free(&s);
    }
}

// A template that raises: its own words, and the row.
static void template_raises(void **state)
{
    static const char TEXT[] = "{% for m in messages %}{% if m.role == 'tool' %}"
                               "{{ raise_exception('no tools, please') }}{% endif %}"
                               "{{ m.content }}{% endfor %}";
    struct txt_chat *before = g_chat;
    struct ds_set got;

    (void) state;
    put_text("f/raise.jsonl",
             "{\"prompt\": [{\"role\": \"user\", \"content\": \"a\"}], \"chosen\": [{\"role\": "
             "\"assistant\", \"content\": \"b\"}], \"rejected\": [{\"role\": \"assistant\", "
             "\"content\": \"c\"}]}\n"
             "{\"prompt\": [{\"role\": \"tool\", \"content\": \"a\"}], \"chosen\": [{\"role\": "
             "\"assistant\", \"content\": \"b\"}], \"rejected\": [{\"role\": \"assistant\", "
             "\"content\": \"c\"}]}\n");
    assert_int_equal(txt_chat_open_text(TEXT, sizeof(TEXT) - 1, "t", &g_chat), RT_OK);
    assert_int_equal(read_path("f/raise.jsonl", &got), RT_E_FORMAT);
    assert_non_null(strstr(g_said.data, "no tools, please"));
    assert_non_null(strstr(g_said.data, "f/raise.jsonl:2"));
    txt_chat_close(&g_chat);
    g_chat = before;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats),   cmocka_unit_test(columns), cmocka_unit_test(folders),
        cmocka_unit_test(fractions), cmocka_unit_test(cores),   cmocka_unit_test(first_error),
        cmocka_unit_test(bad_files), cmocka_unit_test(damaged), cmocka_unit_test(template_raises),
    };
    const char *source = os_env("ANYDPO_SOURCE");
    char model[1024];

    snprintf(model, sizeof(model), "%s/tests/golden/models/llama", source ? source : ".");
    log_set_sink(hear, NULL);
    if (dir_make("f") != RT_OK || txt_tokenizer_open(model, &g_tok) != RT_OK ||
        txt_chat_open(model, &g_chat) != RT_OK)
        return 1;
    write_all();
    const int status = cmocka_run_group_tests(tests, NULL, NULL);
    txt_tokenizer_close(&g_tok);
    txt_chat_close(&g_chat);
    str_free(&g_said);
    return status;
}
