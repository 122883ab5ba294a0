// The work of a step against its closed form, and what twice of anything costs, by the plan alone.
#include "src/train/work.h"

#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/format/json.h"
#include "src/train/estimate.h"
#include "tests/support/golden.h"
#include "tests/t.h"
#include "tests/train/config.h"

static void plan_of(const struct tr_config *c, struct tr_session *s, struct tr_plan *p)
{
    *s = (struct tr_session){0};
    T_OK(tr_session_open_data(c, true, s));
    T_OK(tr_session_open_device(c, s));
    T_OK(tr_plan_make(c, true, false, s, p));
}

// Every query with every key that it sees, one by one.
static double count_visible(const struct ds_set *set, uint32_t pair)
{
    const struct ds_sequence c = ds_sequence_of(set, pair, true);
    const struct ds_sequence r = ds_sequence_of(set, pair, false);
    double n = 0.0;
    for (uint32_t i = 0; i < c.n_prompt; i++)
        n += i + 1;
    for (uint32_t i = 0; i < c.n_completion; i++)
        n += c.n_prompt + i + 1;
    for (uint32_t i = 0; i < r.n_completion; i++)
        n += c.n_prompt + i + 1;
    return n;
}

// 8 N a token of which a shared prompt has its own once, 8 V d a position that predicts an answer's
// token, and four times four FLOPs (forward, twice; two of five products of the backward each) of
// heads * head_dim * layers for each query and key. With an adapter a frozen weight has no
// gradient of its own: 6 N. Shape of the model: tests/golden/models/llama/config.json.
static void closed_form(struct t *t, bool lora)
{
    enum { C = 56, F = 96, H = 4, KV = 2, D = 14, L = 2, V = 448 };
    const double n = L * (2.0 * C * H * D + 2.0 * C * KV * D + 3.0 * C * F);
    struct tr_config c = train_config(t, RT_F16, NULL);
    struct tr_session s;
    struct tr_plan p;

    c.lora.use = lora;
    plan_of(&c, &s, &p);
    const struct ds_set *set = &s.train.set;
    for (uint32_t i = 0; i < set->n; i++) {
        const struct ds_sequence x = ds_sequence_of(set, i, true),
                                 y = ds_sequence_of(set, i, false);
        // An answer's last token predicts nothing.
        const double tokens = x.n_prompt + x.n_completion + y.n_completion - 2.0,
                     want = (lora ? 6.0 : 8.0) *
                                (n * tokens + (double) V * C * (x.n_completion + y.n_completion)) +
                            16.0 * H * D * L * count_visible(set, i);
        const double got = tr_work_flops(&p.work, set, i);
        if (!(fabs(got - want) <= 1e-12 * want))
            fail_msg("pair %u: %.17g FLOPs, %.17g by hand", i, got, want);
    }
    assert_true(p.work.again == 0.0);
    tr_session_close(&s);
    c.gradient_checkpointing = TR_RECOMPUTE_ALL;
    plan_of(&c, &s, &p);
    assert_true(p.work.again > 0.5 * n && p.work.again < n); // not what goes to the next layer
    tr_session_close(&s);
}

// ---- Twice ------------------------------------------------------------------------------------

// A made-up model that has no weights, only their shapes, and rows of so many words.
struct shape {
    uint32_t layers, vocab, words, pairs;
};

static void write_model(const char *dir, const struct shape *s)
{
    static const char *const FILES[] = {"tokenizer.json", "tokenizer_config.json"};
    cJSON *root;
    char *from, *to, *text;

    T_OK(dir_make(dir));
    for (size_t i = 0; i < COUNT_OF(FILES); i++) {
        T_OK(path_join(golden_own_path("models/llama"), FILES[i], &from));
        T_OK(path_join(dir, FILES[i], &to));
        T_OK(file_copy(from, to));
        free(from);
        free(to);
    }
    T_OK(path_join(golden_own_path("models/llama"), "config.json", &from));
    T_OK(fmt_json_read(from, &root));
    cJSON_SetNumberValue(cJSON_GetObjectItem(root, "num_hidden_layers"), s->layers);
    cJSON_SetNumberValue(cJSON_GetObjectItem(root, "vocab_size"), s->vocab);
    text = cJSON_Print(root);
    assert_non_null(text);
    T_OK(path_join(dir, "config.json", &to));
    T_OK(file_write(to, text, strlen(text)));
    free(from);
    free(to);
    free(text);
    cJSON_Delete(root);
}

static void write_rows(const char *path, uint32_t words)
{
    struct str s = {0};
    for (int row = 0; row < 8; row++) {
        T_OK(str_puts(&s, "{\"prompt\": \"Ask"));
        for (uint32_t i = 0; i < words; i++)
            T_OK(str_puts(&s, " a"));
        T_OK(str_puts(&s, "\", \"chosen\": \" yes"));
        for (uint32_t i = 0; i < words; i++)
            T_OK(str_puts(&s, " b"));
        T_OK(str_puts(&s, "\", \"rejected\": \" no"));
        for (uint32_t i = 0; i < words; i++)
            T_OK(str_puts(&s, " c"));
        T_OK(str_puts(&s, "\"}\n"));
    }
    T_OK(file_write(path, s.data, s.len));
    str_free(&s);
}

// Device bytes, and FLOPs of a step.
static void cost(struct t *t, const struct shape *shape, enum rt_type storage, double out[2])
{
    struct tr_config c = train_config(t, storage, NULL);
    struct tr_session s;
    struct tr_plan p;

    write_model("work-model", shape);
    write_rows("work-rows.jsonl", shape->words);
    c.model_name_or_path = "work-model";
    c.dataset_name = "work-rows.jsonl";
    c.per_device_train_batch_size = shape->pairs;
    plan_of(&c, &s, &p);
    out[0] = (double) p.bytes;
    out[1] = shape->pairs * tr_work_flops(&p.work, &s.train.set, 0);
    tr_session_close(&s);
}

static void twice(struct t *t, enum rt_type storage)
{
    const struct shape one = {.layers = 4, .vocab = 2048, .words = 24, .pairs = 2};
    const struct {
        const char *what;
        struct shape shape;
    } ROWS[] = {{"layers", {8, 2048, 24, 2}},
                {"vocabulary", {4, 4096, 24, 2}},
                {"tokens", {4, 2048, 48, 2}},
                {"pairs", {4, 2048, 24, 4}}};
    static const char *const OF[] = {"bytes", "FLOPs"};
    double a[2], b[2];

    cost(t, &one, storage, a);
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        cost(t, &ROWS[i].shape, storage, b);
        for (int k = 0; k < 2; k++)
            if (!(b[k] > a[k] && b[k] <= 2.1 * a[k]))
                fail_msg("twice the %s: %.3f times the %s", ROWS[i].what, b[k] / a[k], OF[k]);
    }
    t_reset(t);
}

// What the device does in a second is measured; a run is its steps.
static void estimate(struct t *t)
{
    struct tr_config c = train_config(t, RT_F16, NULL);
    struct tr_plan p;
    struct tr_estimate e;

    c.max_steps = 7;
    T_OK(tr_plan_run(&c, &p, &e));
    assert_true(e.step_flops > 0.0 && e.step_bytes > 0.0 && e.gflops > 0.0 && e.gbytes > 0.0);
    assert_int_equal(e.steps, 7);
    assert_true(e.step_s > 0.0 && fabs(e.run_s - 7.0 * e.step_s) <= 1e-9 * e.run_s);
}

static void body(struct t *t)
{
    closed_form(t, false);
    closed_form(t, true);
    twice(t, RT_F32);
    twice(t, RT_F16);
    estimate(t);
}

int main(void)
{
    return t_each_device(body);
}
