// LoRA runs: the base keeps its bits, the first rewards are exactly 0, the reference is the right
// one, and what an option says against an adapter's file is an error.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/base/rng.h"
#include "src/train/adapter.h"
#include "src/train/optimizer.h"
#include "src/train/save.h"
#include "src/train/session.h"
#include "tests/support/golden.h"
#include "tests/t.h"
#include "tests/train/config.h"

enum { PAIRS = 3 };

// A path of tests/golden that stays.
static const char *own(const char *name, char buf[512])
{
    snprintf(buf, 512, "%s", golden_own_path(name));
    return buf;
}

static struct tr_config config(struct t *t, enum rt_type storage, const char *adapter)
{
    static char model[512], data[512];
    return (struct tr_config){.model_name_or_path = own("models/llama", model),
                              .dataset_name = own("runs/family_llama/train.jsonl", data),
                              .device = t_name(t),
                              .storage = storage,
                              .lora = {.use = true, .r = adapter ? 0 : 4, .adapter = adapter},
                              .max_length = 1024,
                              .seed = 42,
                              .data_seed = 42,
                              .per_device_train_batch_size = PAIRS,
                              .gradient_accumulation_steps = 1,
                              .beta = 0.1,
                              .learning_rate = 1e-2,
                              .adam_beta1 = 0.9,
                              .adam_beta2 = 0.999,
                              .adam_epsilon = 1e-8,
                              .loss = {.terms = {{OP_LOSS_SIGMOID, 1.0}}, .n_terms = 1}};
}

static double *whole(struct t *t, const struct md_flat *flat, uint64_t *n)
{
    *n = 0;
    for (uint32_t i = 0; i < flat->n; i++)
        *n += rt_buf_count(flat->chunk[i]);
    double *x = t_alloc(t, *n * sizeof(*x));
    for (uint64_t i = 0, at = 0; i < flat->n; at += rt_buf_count(flat->chunk[i++]))
        T_OK(rt_buf_read(flat->chunk[i], 0, rt_buf_count(flat->chunk[i]), RT_F64, x + at));
    return x;
}

static struct tr_result result_of(struct tr_session *s, struct md_flat *grads)
{
    static const uint32_t FIRST[PAIRS] = {0, 1, 2};
    const struct tr_batch b = {.data = &s->train, .pairs = FIRST, .n = PAIRS};
    return train_batch(s, &b, grads, 1.0);
}

static void step(struct tr_session *s, const struct tr_config *c, struct tr_optimizer *o)
{
    struct rt_cmd *cmd;
    T_OK(rt_cmd_create(s->dev, &cmd));
    T_OK(tr_grad_measure(o, cmd, 0.0, 1.0));
    T_OK(tr_optimizer_step(o, cmd, s->model, c, c->learning_rate));
    T_OK(md_flat_zero(cmd, &o->grads));
    T_OK(rt_cmd_wait(&cmd));
}

static bool zero_rewards(const struct tr_result *r)
{
    const size_t bytes = PAIRS * sizeof(*r->chosen_logps);
    return memcmp(r->chosen_logps, r->ref_chosen_logps, bytes) == 0 &&
           memcmp(r->rejected_logps, r->ref_rejected_logps, bytes) == 0;
}

// Train a little from `adapter` (NULL: a new one) and save to `dir`.
static void base_stays(struct t *t, enum rt_type storage, const char *adapter, const char *dir)
{
    const struct tr_config c = config(t, storage, adapter);
    struct tr_session s;
    struct tr_optimizer o;
    struct tr_result r;
    double ref[PAIRS];
    uint64_t n, k;

    T_OK(tr_session_open(&c, true, &s));
    T_OK(tr_optimizer_create(s.model, 0, &o));
    assert_null(s.model->work.low[0]);
    assert_int_equal(s.ref.copy.n, 0);
    const double *base = whole(t, &s.model->work, &n);
    const double *start = whole(t, &s.model->adapter_work, &k);
    for (int i = 0; i < 3; i++) {
        r = result_of(&s, &o.grads);
        assert_int_equal(zero_rewards(&r), i == 0);
        if (i == 0)
            memcpy(ref, r.ref_chosen_logps, sizeof(ref));
        assert_memory_equal(ref, r.ref_chosen_logps, sizeof(ref)); // the reference does not move
        step(&s, &c, &o);
    }
    if (memcmp(base, whole(t, &s.model->work, &n), n * sizeof(*base)) != 0)
        fail_msg("%s on %s: the base has moved", rt_type_name(storage), t_name(t));
    assert_memory_not_equal(start, whole(t, &s.model->adapter_work, &k), k * sizeof(*start));
    T_OK(tr_save_model(s.model, s.tok, c.model_name_or_path, dir, RT_F32));
    tr_optimizer_destroy(&o);
    tr_session_close(&s);
    t_reset(t);
}

static bool exists(const char *dir, const char *name)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return file_exists(path);
}

// Going on from an adapter: what it was is the reference, and is saved beside what it became.
static void goes_on(struct t *t, enum rt_type storage)
{
    char dir[64], next[64];
    snprintf(dir, sizeof(dir), "adapter-out-%s", rt_type_name(storage));
    snprintf(next, sizeof(next), "adapter-next-%s", rt_type_name(storage));
    base_stays(t, storage, NULL, dir);
    assert_true(exists(dir, "adapter_config.json") && exists(dir, "adapter_model.safetensors"));
    assert_true(exists(dir, "tokenizer.json"));
    assert_false(exists(dir, "config.json") || exists(dir, "model.safetensors"));
    assert_false(exists(dir, "ref/adapter_config.json"));
    base_stays(t, storage, dir, next);
    assert_true(exists(next, "ref/adapter_config.json"));
    // What it was: the file that it came from, to the bit, where nothing is rounded between.
    struct str was = {0}, ref = {0};
    char path[128];
    snprintf(path, sizeof(path), "%s/adapter_model.safetensors", dir);
    T_OK(file_read(path, &was));
    snprintf(path, sizeof(path), "%s/ref/adapter_model.safetensors", next);
    T_OK(file_read(path, &ref));
    assert_int_equal(was.len, ref.len);
    if (storage == RT_F32)
        assert_memory_equal(was.data, ref.data, was.len);
    str_free(&was);
    str_free(&ref);
}

static void contradictions(struct t *t)
{
    const char *dir = "adapter-out-f32";
    struct tr_config c[6];
    static const char *const SAYS[] = {"lora_r",     "lora_alpha",          "lora_dropout",
                                       "use_rslora", "lora_target_modules", "lora_modules_to_save"};
    cJSON *one = cJSON_CreateString("k_proj");

    for (size_t i = 0; i < COUNT_OF(c); i++)
        c[i] = config(t, RT_F32, dir);
    c[0].lora.r = 5;
    c[1].lora.has_alpha = c[2].lora.has_dropout = c[3].lora.has_rslora = true;
    c[1].lora.alpha = 33.0;
    c[2].lora.dropout = 0.5;
    c[3].lora.use_rslora = true;
    c[4].lora.targets = c[5].lora.save = one;
    for (size_t i = 0; i < COUNT_OF(c); i++) {
        struct tr_session s;
        (void) t_logged();
        const enum rt_err err = tr_session_open(&c[i], true, &s);
        const char *said = t_logged();
        if (err != RT_E_USAGE || !strstr(said, SAYS[i]) || !strstr(said, dir))
            fail_msg("%s: expected a usage error that names it, found %s: %s", SAYS[i],
                     rt_err_name(err), said);
    }
    // The same values are no contradiction; "q_proj|v_proj" as a pattern means the same modules.
    struct tr_config same = config(t, RT_F32, dir);
    cJSON *pattern = cJSON_CreateString(".*\\.(q|v)_proj");
    struct tr_session s;
    same.lora.r = 4;
    same.lora.has_alpha = same.lora.has_dropout = true;
    same.lora.alpha = 32.0;
    same.lora.dropout = 0.05;
    same.lora.targets = pattern;
    T_OK(tr_session_open(&same, true, &s));
    tr_session_close(&s);
    cJSON_Delete(one);
    cJSON_Delete(pattern);
}

// An adapter of one base on another: one message that names the tensor and both shapes.
static void another_base(struct t *t)
{
    struct tr_config c = config(t, RT_F32, "adapter-out-f32");
    struct tr_session s;
    char want[64];

    c.model_name_or_path = golden_own_path("models/llama3");
    (void) t_logged();
    const enum rt_err err = tr_session_open(&c, true, &s);
    const char *said = t_logged();
    snprintf(want, sizeof(want), "expected shape (4, ");
    if (err != RT_E_SHAPE || !strstr(said, "q_proj.lora_A.weight") || !strstr(said, want) ||
        !strstr(said, "found ("))
        fail_msg("expected one message on the shape, found %s: %s", rt_err_name(err), said);
}

// Dropout within the model is refused by the key that asks for it; the adapter's is not.
static void dropout_of_the_model(struct t *t)
{
    struct tr_config c = config(t, RT_F32, NULL);
    struct str text = {0};
    struct tr_session s;
    char path[600];

    c.lora.drop = true;
    T_OK(tr_session_open(&c, true, &s));
    tr_session_close(&s);
    snprintf(path, sizeof(path), "%s/config.json", c.model_name_or_path);
    T_OK(file_read(path, &text));
    char *at = strchr(text.data, '{');
    assert_non_null(at);
    T_OK(dir_make("adapter-model"));
    struct str changed = {0};
    T_OK(str_printf(&changed, "{\"resid_pdrop\": 0.1,%s", at + 1));
    T_OK(file_write("adapter-model/config.json", changed.data, changed.len));
    c.model_name_or_path = "adapter-model";
    (void) t_logged();
    assert_int_equal(tr_dropout_check(&c), RT_E_UNSUPPORTED);
    assert_non_null(strstr(t_logged(), "resid_pdrop"));
    c.lora.drop = false;
    T_OK(tr_dropout_check(&c));
    str_free(&text);
    str_free(&changed);
}

static void body(struct t *t)
{
    static const enum rt_type STORAGE[] = {RT_F32, RT_F16, RT_BF16};
    for (size_t i = 0; i < COUNT_OF(STORAGE); i++)
        if (t_due(t, i, 3)) // a driver compiles every kernel for each
            goes_on(t, STORAGE[i]);
    if (!t_on_host(t))
        return;
    contradictions(t);
    another_base(t);
    dropout_of_the_model(t);
}

int main(void)
{
    return t_each_device(body);
}
