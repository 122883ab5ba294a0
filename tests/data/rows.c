// Preference rows: TRL's split of an implicit prompt, truncation, the layout of a pass, the order
// of a run.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/data/order.h"
#include "src/data/pack.h"
#include "src/data/row.h"
#include "src/format/json.h"

static void extract_prompt(void **state)
{
    char path[1024];
    struct str text = {0};
    json_t *root, *c, *cases;
    size_t i;
    const char *source = os_env("ANYDPO_SOURCE");

    (void) state;
    snprintf(path, sizeof(path), "%s/tests/golden/extract_prompt.json", source ? source : ".");
    assert_int_equal(file_read(path, &text), RT_OK);
    assert_int_equal(fmt_jansson_parse(text.data, text.len, path, 1, &root), RT_OK);
    cases = json_object_get(root, "extract_prompt");
    assert_true(json_array_size(cases) > 5);
    json_array_foreach(cases, i, c)
    {
        struct ds_row row;
        const json_t *want = json_object_get(c, "out");
        assert_int_equal(ds_row_make(c, "case:1", &row), RT_OK);
        if (!json_equal(row.prompt, json_object_get(want, "prompt")) ||
            !json_equal(row.chosen, json_object_get(want, "chosen")) ||
            !json_equal(row.rejected, json_object_get(want, "rejected")))
            fail_msg("case %zu: prompt \"%s\"", i,
                     json_string_value(row.prompt) ? json_string_value(row.prompt) : "(messages)");
        ds_row_free(&row);
    }
    json_decref(root);
    str_free(&text);
}

// A set of one pair: prompt 1..p, chosen 101.., rejected 201...
static struct ds_set one_pair(uint32_t *ids, struct ds_pair *pair, uint32_t p, uint32_t c,
                              uint32_t r, uint32_t max_length, enum ds_truncation mode)
{
    for (uint32_t i = 0; i < p; i++)
        ids[i] = 1 + i;
    for (uint32_t i = 0; i < c; i++)
        ids[p + i] = 101 + i;
    for (uint32_t i = 0; i < r; i++)
        ids[p + c + i] = 201 + i;
    *pair = (struct ds_pair){0, 0, p, c, r, 0};
    return (struct ds_set){.ids = {ids, p + c + r, 0},
                           .pairs = pair,
                           .n = 1,
                           .max_length = max_length,
                           .truncation = mode};
}

static void same(const uint32_t *got, uint32_t n, const uint32_t *want, size_t m)
{
    assert_int_equal(n, m);
    for (size_t i = 0; i < m; i++)
        assert_int_equal(got[i], want[i]);
}
#define SAME(got, n, ...)                                                                          \
    same(got, n, (const uint32_t[]){__VA_ARGS__}, COUNT_OF(((const uint32_t[]){__VA_ARGS__})))

// The prompt once; its last position predicts the first token of both; the last tokens are no
// inputs.
static void shared_prompt(void **state)
{
    uint32_t ids[64], zero = 0;
    struct ds_pair pair;
    const struct ds_set set = one_pair(ids, &pair, 3, 3, 2, 0, DS_KEEP_START);
    struct ds_pack p = {0};

    (void) state;
    assert_int_equal(ds_pack_make(&set, &zero, 1, &p), RT_OK);
    SAME(p.ids, p.n_tokens, 1, 2, 3, 101, 102, 201);
    SAME(p.pos, p.n_tokens, 0, 1, 2, 3, 4, 3);
    SAME(p.rows, p.n_rows, 2, 3, 4, 2, 5);
    SAME(p.targets, p.n_rows, 101, 102, 103, 201, 202);
    SAME(p.seq_starts, 3, 0, 3, 5);
    SAME(p.lengths, 2, 3, 2);
    assert_int_equal(p.n_segments, 3);
    assert_int_equal(p.segs[2].begin, 5);
    assert_int_equal(p.segs[2].prompt_end, 3);
    assert_int_equal(p.num_tokens, 11);
    ds_pack_free(&p);
}

// keep_start cuts completions, each by itself; keep_end cuts prompts, here differently: two rows.
static void truncation(void **state)
{
    uint32_t ids[64], zero = 0;
    struct ds_pair pair;
    struct ds_set set = one_pair(ids, &pair, 3, 4, 2, 5, DS_KEEP_START);
    struct ds_pack p = {0};

    (void) state;
    assert_int_equal(ds_pack_make(&set, &zero, 1, &p), RT_OK);
    SAME(p.targets, p.n_rows, 101, 102, 201, 202);
    assert_int_equal(p.num_tokens, 10);
    set.truncation = DS_KEEP_END;
    assert_int_equal(ds_pack_make(&set, &zero, 1, &p), RT_OK);
    SAME(p.ids, p.n_tokens, 3, 101, 102, 103, 1, 2, 3, 201); // chosen lost 2 of its prompt
    SAME(p.pos, p.n_tokens, 0, 1, 2, 3, 0, 1, 2, 3);
    SAME(p.rows, p.n_rows, 0, 1, 2, 3, 6, 7);
    set.max_length =
        3; // cuts into the chosen completion: its first kept token has no log-prob, but counts
    assert_int_equal(ds_pack_make(&set, &zero, 1, &p), RT_OK);
    SAME(p.targets, p.n_rows, 103, 104, 201, 202);
    SAME(p.lengths, 2, 3, 2);
    ds_pack_free(&p);
}

static void empty_prompt(void **state)
{
    uint32_t ids[64], zero = 0;
    struct ds_pair pair;
    const struct ds_set set = one_pair(ids, &pair, 0, 2, 3, 0, DS_KEEP_START);
    struct ds_pack p = {0};

    (void) state;
    assert_int_equal(ds_pack_make(&set, &zero, 1, &p), RT_OK);
    SAME(p.ids, p.n_tokens, 101, 201, 202);
    SAME(p.targets, p.n_rows, 102, 202, 203);
    SAME(p.lengths, 2, 2, 3);
    ds_pack_free(&p);
}

// 17 rows, batch 4, accumulation 2: 5 micro-batches, 3 steps an epoch, the last of one micro-batch
// of one row.
static void order(void **state)
{
    static const uint32_t FIRST[] = {13, 4, 3, 15}, SECOND[] = {13, 1, 7, 8};
    struct ds_order o;
    const uint32_t *pairs;
    uint32_t n;

    (void) state;
    assert_int_equal(
        ds_order_make(
            &(struct ds_order_args){
                .n_pairs = 17, .batch = 4, .accumulation = 2, .seed = 42, .epochs = 1.5},
            &o),
        RT_OK);
    assert_int_equal(o.total_steps, 5);
    assert_int_equal(ds_order_window(&o), 2);
    ds_order_next(&o, &pairs, &n);
    same(pairs, n, FIRST, 4);
    for (int i = 0; i < 3; i++)
        ds_order_next(&o, &pairs, &n);
    assert_int_equal(ds_order_window(&o), 1);
    ds_order_next(&o, &pairs, &n);
    assert_int_equal(n, 1);
    assert_true(ds_order_epoch(&o) == 1.0);
    assert_int_equal(ds_order_window(&o), 2);
    ds_order_next(&o, &pairs, &n);
    same(pairs, n, SECOND, 4);
    ds_order_free(&o);
    assert_int_equal(
        ds_order_make(
            &(struct ds_order_args){
                .n_pairs = 3, .batch = 4, .accumulation = 1, .drop_last = true, .epochs = 1.0},
            &o),
        RT_E_FORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(extract_prompt), cmocka_unit_test(shared_prompt),
        cmocka_unit_test(truncation),     cmocka_unit_test(empty_prompt),
        cmocka_unit_test(order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
