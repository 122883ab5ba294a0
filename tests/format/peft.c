// PEFT's settings: its own file, what is refused, what is written, which modules are meant.
#include "src/format/peft.h"

#include "src/format/json.h"
#include "tests/format/util.h"

static char *g_dir;

static void put(const char *text)
{
    char *path = u_in(g_dir, "adapter_config.json");
    U_OK(file_write(path, text, strlen(text)));
    free(path);
}

static void read_what_peft_wrote(void **state)
{
    struct fmt_peft p;
    char path[512];
    (void) state;
    snprintf(path, sizeof(path), "%s/tests/golden/runs/lora_qv_rslora/adapter_saved",
             os_env("ANYDPO_SOURCE"));
    assert_true(fmt_peft_is(path));
    U_OK(fmt_peft_read(path, &p));
    assert_int_equal(p.r, 4);
    assert_true(p.alpha == 8.0 && p.dropout == 0.05 && p.use_rslora && !p.use_dora);
    assert_int_equal(cJSON_GetArraySize(p.targets), 2);
    assert_null(p.save);
    assert_string_equal(p.base_model, "models/llama");
    fmt_peft_free(&p);
}

static void least_file_has_defaults(void **state)
{
    struct fmt_peft p;
    (void) state;
    put("{\"peft_type\": \"LORA\", \"new_key\": null, \"other\": {}, \"lora_bias\": false}");
    U_OK(fmt_peft_read(g_dir, &p));
    assert_true(p.r == 8 && p.alpha == 8.0 && p.dropout == 0.0 && !p.use_rslora);
    assert_true(!p.targets && !p.save && !p.base_model && !p.exclude && !p.layers);
    fmt_peft_free(&p);
}

static void refusals(void **state)
{
    static const struct {
        const char *text, *word;
        enum rt_err err;
    } BAD[] = {
        {"[]", "object", RT_E_FORMAT},
        {"{\"peft_type\": \"LOHA\"}", "peft_type", RT_E_UNSUPPORTED},
        {"{\"task_type\": \"SEQ_CLS\"}", "task_type", RT_E_UNSUPPORTED},
        {"{\"bias\": \"all\"}", "bias", RT_E_UNSUPPORTED},
        {"{\"rank_pattern\": {\"q_proj\": 4}}", "rank_pattern", RT_E_UNSUPPORTED},
        {"{\"alpha_pattern\": {\"q_proj\": 4}}", "alpha_pattern", RT_E_UNSUPPORTED},
        {"{\"layers_to_transform\": [\"1\"]}", "layers_to_transform", RT_E_FORMAT},
        {"{\"layers_to_transform\": \"1\"}", "layers_to_transform", RT_E_FORMAT},
        {"{\"layers_to_transform\": 1, \"target_modules\": \".*\"}", "a pattern", RT_E_FORMAT},
        {"{\"layers_pattern\": [1]}", "layers_pattern", RT_E_FORMAT},
        {"{\"exclude_modules\": [1]}", "exclude_modules", RT_E_FORMAT},
        {"{\"target_parameters\": [\"x\"]}", "target_parameters", RT_E_UNSUPPORTED},
        {"{\"lora_bias\": true}", "lora_bias", RT_E_UNSUPPORTED},
        {"{\"some_new_thing\": 3}", "some_new_thing", RT_E_UNSUPPORTED},
        {"{\"init_lora_weights\": \"pissa\"}", "pissa", RT_E_UNSUPPORTED},
        {"{\"r\": 0}", "1 .. ", RT_E_FORMAT},
        {"{\"r\": 1.5}", "r", RT_E_FORMAT},
        {"{\"r\": 100000}", "100000", RT_E_FORMAT},
        {"{\"lora_alpha\": Infinity}", "lora_alpha", RT_E_FORMAT},
        {"{\"lora_dropout\": 1}", "lora_dropout", RT_E_FORMAT},
        {"{\"lora_dropout\": -0.1}", "lora_dropout", RT_E_FORMAT},
        {"{\"target_modules\": 3}", "target_modules", RT_E_FORMAT},
        {"{\"target_modules\": [3]}", "target_modules", RT_E_FORMAT},
        {"{\"target_modules\": \"\"}", "target_modules", RT_E_FORMAT},
        {"{\"modules_to_save\": \"lm_head\"}", "modules_to_save", RT_E_FORMAT},
        {"{\"use_dora\": 1}", "use_dora", RT_E_FORMAT},
    };
    struct fmt_peft p;
    (void) state;
    for (size_t i = 0; i < COUNT_OF(BAD); i++) {
        put(BAD[i].text);
        U_FAILS(BAD[i].err, BAD[i].word, fmt_peft_read(g_dir, &p));
        assert_true(!p.targets && !p.save && !p.base_model && !p.exclude && !p.layers);
    }
}

static void what_is_written_is_read(void **state)
{
    struct fmt_peft p = {.r = 3,
                         .alpha = 5.5,
                         .dropout = 0.25,
                         .use_rslora = true,
                         .fan_in_fan_out = true,
                         .targets = cJSON_Parse("[\"q_proj\"]"),
                         .save = cJSON_Parse("[\"lm_head\"]"),
                         .exclude = cJSON_Parse("[\"k_proj\"]"),
                         .layers = cJSON_Parse("[0, 3]"),
                         .pattern = cJSON_Parse("[\"layers\"]")},
                    q, copy;
    cJSON *root;
    char *path;
    (void) state;
    U_OK(str_dup("some/where", &p.base_model));
    U_OK(fmt_peft_copy(&p, &copy));
    U_OK(fmt_peft_write(&copy, g_dir));
    U_OK(fmt_peft_read(g_dir, &q));
    assert_true(q.r == 3 && q.alpha == 5.5 && q.dropout == 0.25);
    assert_true(q.use_rslora && !q.use_dora && q.fan_in_fan_out);
    assert_true(cJSON_Compare(p.targets, q.targets, true) && cJSON_Compare(p.save, q.save, true));
    assert_true(cJSON_Compare(p.exclude, q.exclude, true));
    assert_true(cJSON_Compare(p.layers, q.layers, true));
    assert_true(cJSON_Compare(p.pattern, q.pattern, true));
    assert_string_equal(q.base_model, "some/where");
    path = u_in(g_dir, "adapter_config.json");
    U_OK(fmt_json_read(path, &root));
    assert_true(cJSON_IsTrue(cJSON_GetObjectItem(root, "inference_mode")));
    // As json.dumps(sort_keys=True) has them.
    for (const cJSON *v = root->child; v->next; v = v->next)
        assert_true(strcmp(v->string, v->next->string) < 0);
    cJSON_Delete(root);
    free(path);
    fmt_peft_free(&p);
    fmt_peft_free(&q);
    fmt_peft_free(&copy);
}

static bool is_target(const char *targets, const char *path)
{
    cJSON *v = cJSON_Parse(targets);
    bool yes;
    assert_non_null(v);
    U_OK(fmt_peft_targets(v, path, &yes));
    cJSON_Delete(v);
    return yes;
}

static void targets(void **state)
{
    static const char PATH[] = "model.layers.11.self_attn.q_proj";
    bool yes;
    (void) state;
    assert_true(is_target("[\"v_proj\", \"q_proj\"]", PATH));
    assert_true(is_target("[\"self_attn.q_proj\"]", PATH));
    assert_true(is_target("[\"model.layers.11.self_attn.q_proj\"]", PATH));
    assert_false(is_target("[\"proj\"]", PATH));
    assert_false(is_target("[\"k_proj\", \"self_attn\"]", PATH));
    assert_false(is_target("[\"xmodel.layers.11.self_attn.q_proj\"]", PATH));
    assert_true(is_target("\".*\\\\.[qv]_proj\"", PATH));
    assert_true(is_target("\"k|.*q_proj\"", PATH));
    assert_false(is_target("\"q_proj\"", PATH)); // the whole path, as re.fullmatch
    assert_false(is_target("\".*q_pro\"", PATH));
    assert_false(is_target("\"model.layers.1.self_attn.q_proj\"", PATH));
    assert_true(is_target("\"model.layers.1..self_attn.q_proj\"", PATH));
    cJSON *v = cJSON_CreateString("(a"), *slow = cJSON_CreateString("(m|mo|o|[a-z.0-9_])*x{3}");
    U_FAILS(RT_E_FORMAT, "(a", fmt_peft_targets(v, PATH, &yes));
    const enum rt_err err = fmt_peft_targets(slow, PATH, &yes); // ends in time
    assert_true((err == RT_OK || err == RT_E_UNSUPPORTED) && !yes);
    cJSON_Delete(v);
    cJSON_Delete(slow);
    v = cJSON_CreateString("All-Linear");
    assert_true(fmt_peft_all_linear(v));
    cJSON_Delete(v);
}

// As check_target_module_exists of peft 0.21 says of each.
static void layers_and_exclusions(void **state)
{
    static const struct {
        const char *settings, *path;
        bool yes;
    } ROWS[] = {
        {"{\"exclude_modules\": [\"q_proj\"]}", "model.layers.1.self_attn.q_proj", false},
        {"{\"exclude_modules\": [\"proj\"]}", "model.layers.1.self_attn.q_proj", true},
        {"{\"exclude_modules\": \".*1.*\"}", "model.layers.1.self_attn.q_proj", false},
        {"{\"exclude_modules\": null}", "model.layers.1.self_attn.q_proj", true},
        {"{\"layers_to_transform\": 1}", "model.layers.1.self_attn.q_proj", true},
        {"{\"layers_to_transform\": [0, 11]}", "model.layers.11.self_attn.q_proj", true},
        {"{\"layers_to_transform\": [0, 11]}", "model.layers.1.self_attn.q_proj", false},
        {"{\"layers_to_transform\": []}", "model.layers.1.self_attn.q_proj", true},
        {"{\"layers_to_transform\": [1]}", "model.layers.0.experts.1.q_proj", false}, // the first
        {"{\"layers_to_transform\": [1]}", "layers.1.q_proj", false}, // no word before `layers`
        {"{\"layers_to_transform\": [1]}", "lm_head", false},
        {"{\"layers_to_transform\": [1], \"layers_pattern\": \"experts\"}",
         "model.layers.0.experts.1.q_proj", true},
        {"{\"layers_to_transform\": [1], \"layers_pattern\": [\"h\", \"layers\"]}",
         "layers.1.q_proj", true},
        {"{\"layers_to_transform\": [1], \"layers_pattern\": \"ayers\"}", "a.layers.1.q_proj",
         false},
        {"{\"layers_to_transform\": [1], \"layers_pattern\": \"layer\"}", "a.layers.1.q_proj",
         false},
        {"{\"layers_to_transform\": [1], \"target_modules\": [\"a.layers.2.q_proj\"]}",
         "a.layers.2.q_proj", true}, // a whole path is meant in any case
    };
    (void) state;
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        struct fmt_peft p;
        bool yes;
        put(ROWS[i].settings);
        U_OK(fmt_peft_read(g_dir, &p));
        if (!p.targets)
            p.targets = cJSON_Parse("[\"q_proj\"]");
        U_OK(fmt_peft_admits(&p, ROWS[i].path, &yes));
        if (yes != ROWS[i].yes)
            fail_msg("%s: %s: %d", ROWS[i].settings, ROWS[i].path, yes);
        fmt_peft_free(&p);
    }
}

static void saved_modules(void **state)
{
    static const struct {
        const char *names, *path;
        bool yes;
    } ROWS[] = {
        {"[\"lm_head\"]", "lm_head", true},
        {"[\"head\"]", "lm_head", true}, // by the end of the text, as PEFT
        {"[\"embed_tokens\"]", "model.embed_tokens", true},
        {"[\"mlp\"]", "model.layers.0.mlp.up_proj", true}, // a module that holds it
        {"[\"up\"]", "model.layers.0.mlp.up_proj", false},
        {"[\"layers.0\"]", "model.layers.10.mlp.up_proj", false},
        {"[\"x_lm_head\"]", "lm_head", false},
        {"[\"a\", \"norm\"]", "model.norm", true},
    };
    (void) state;
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        cJSON *v = cJSON_Parse(ROWS[i].names);
        if (fmt_peft_saves(v, ROWS[i].path) != ROWS[i].yes)
            fail_msg("%s and %s: expected %d", ROWS[i].names, ROWS[i].path, ROWS[i].yes);
        cJSON_Delete(v);
    }
    assert_false(fmt_peft_saves(NULL, "lm_head"));
}

static int begin(void **state)
{
    (void) state;
    g_dir = u_dir();
    assert_false(fmt_peft_is(g_dir));
    return 0;
}

static int end(void **state)
{
    (void) state;
    u_drop(g_dir);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read_what_peft_wrote),
        cmocka_unit_test(least_file_has_defaults),
        cmocka_unit_test(refusals),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(targets),
        cmocka_unit_test(layers_and_exclusions),
        cmocka_unit_test(saved_modules),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
