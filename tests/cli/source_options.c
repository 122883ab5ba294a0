// Where model and rows come from: model_init_kwargs, env, names in a made-up Hugging
// Face cache; and how the table treats what it knows.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/file.h"
#include "tests/cli/options.h"

#define COMMIT "0123456789abcdef0123456789abcdef01234567"

static const struct row REFUSED[] = {
    {{{"model_init_kwargs", "{\"quantization_config\": \"x\"}"}}, "quantization_config"},
    {{{"model_init_kwargs", "{\"dtype\": 16}"}}, "expected text, found a number"},
    {{{"model_init_kwargs", "{\"dtype\": \"int8\"}"}}, "expected one of float32"},
    {{{"model_init_kwargs", "bfloat16"}}, "expected a mapping"},
    {{{"disable", "everything"}}, "fp16"},
    {{{"clamp", "range=banana"}}, "banana"},
};

static void becomes(void)
{
    static const struct {
        struct row row;
        const char *dataset;
        enum rt_type dtype;
    } ROWS[] = {
        {{{{"dataset_name", "rows.jsonl"}}, NULL}, "rows.jsonl", RT_F32},
        {{{{"dataset_name", "d"}, {"model_init_kwargs", "{\"dtype\": \"torch.float16\"}"}}, NULL},
         "d",
         RT_F16},
        {{{{"dataset_name", "d"},
           {"dtype", "float16"},
           {"model_init_kwargs", "{\"torch_dtype\": \"bfloat16\", \"device_map\": \"auto\"}"}},
          NULL},
         "d",
         RT_BF16},
    };
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        struct options o = options_start();
        struct tr_config c;
        T_OK(options_row(&o, &ROWS[i].row, &c));
        assert_string_equal(c.dataset_name, ROWS[i].dataset);
        assert_int_equal(c.load_dtype, ROWS[i].dtype);
        assert_int_equal(c.save_dtype, ROWS[i].dtype);
        options_destroy(&o);
    }
}

// A recipe's env is set before anything else, and a mapping may be nested in YAML.
static void recipe(void)
{
    static const char YAML[] =
        "env:\n  ANYDPO_TEST_A: text\n  ANYDPO_TEST_B: 3\n  ANYDPO_TEST_C: "
        "true\nlr_scheduler_type: polynomial\nlr_scheduler_kwargs:\n  power: "
        "2\n  lr_end: 0\ndatasets:\n  - path: rows.jsonl\nloss_type:\n  - "
        "sigmoid\n  - sft\n";
    struct options o = {0};
    struct tr_config c;
    T_OK(file_write("source.yaml", YAML, strlen(YAML)));
    T_OK(options_create(&o));
    T_OK(options_load(&o, "source.yaml"));
    assert_string_equal(os_env("ANYDPO_TEST_A"), "text");
    assert_string_equal(os_env("ANYDPO_TEST_B"), "3");
    assert_string_equal(os_env("ANYDPO_TEST_C"), "True");
    T_OK(options_set_text(&o, "model_name_or_path", "x", "test"));
    T_OK(options_set_text(&o, "output_dir", "x", "test"));
    T_OK(options_resolve(&o, true, &c));
    assert_string_equal(c.dataset_name, "rows.jsonl");
    assert_true(c.schedule.kind == TR_POLYNOMIAL && c.schedule.power == 2.0 &&
                c.schedule.end == 0.0);
    assert_int_equal(c.loss.n_terms, 2);
    options_destroy(&o);
}

static const char *text(const struct options *o, const char *name)
{
    size_t i = 0;
    while (strcmp(OPT_ROWS[i].name, name) != 0)
        i++;
    return o->values[i]->valuestring;
}

static void hub(void)
{
    static const char *const FOLDERS[] = {
        "cache/models--org--model/refs", "cache/models--org--model/snapshots/" COMMIT,
        "cache/datasets--org--rows/refs", "cache/datasets--org--rows/snapshots/" COMMIT};
    struct options o = {0};
    for (size_t i = 0; i < COUNT_OF(FOLDERS); i++)
        T_OK(dir_make(FOLDERS[i]));
    T_OK(file_write("cache/models--org--model/refs/v1", COMMIT, strlen(COMMIT)));
    T_OK(file_write("cache/datasets--org--rows/refs/main", COMMIT, strlen(COMMIT)));
    T_OK(os_env_set("HF_HUB_CACHE", "cache"));
    T_OK(options_create(&o));
    T_OK(options_set_text(&o, "model_name_or_path", "org/model", "test"));
    T_OK(options_set_text(&o, "model_init_kwargs", "{\"revision\": \"v1\"}", "test"));
    T_OK(options_set_text(&o, "dataset_name", "org/rows", "test"));
    T_OK(options_set_text(&o, "ref_model_name_or_path", "org/model", "test"));
    T_OK(options_find(&o));
    assert_string_equal(text(&o, "model_name_or_path"),
                        "cache/models--org--model/snapshots/" COMMIT);
    assert_string_equal(text(&o, "ref_model_name_or_path"),
                        "cache/models--org--model/snapshots/" COMMIT);
    assert_string_equal(text(&o, "dataset_name"), "cache/datasets--org--rows/snapshots/" COMMIT);
    T_OK(options_find(&o)); // folders are left alone
    T_OK(options_set_text(&o, "model_name_or_path", "org/none", "test"));
    (void) t_logged();
    T_ERR(RT_E_NOT_FOUND, options_find(&o));
    options_destroy(&o);
}

// Every row without effect takes a value and says so; every other refuses with its reason. No name
// is there twice, and every default is in its row's range.
static void table(void)
{
    for (const struct opt_row *r = OPT_ROWS; r->name; r++) {
        struct options o = {0};
        const bool number = r->kind == OPT_INT || r->kind == OPT_NUM;
        const char *other = r->kind == OPT_MAP                      ? "{\"a\": 1}"
                            : number                                ? "7"
                            : r->kind != OPT_BOOL                   ? "something"
                            : r->def && strcmp(r->def, "true") == 0 ? "false"
                                                                    : "true";
        for (const struct opt_row *q = OPT_ROWS; q < r; q++)
            if (strcmp(q->name, r->name) == 0)
                fail_msg("%s is in the table twice", r->name);
        T_OK(options_create(&o));
        if (r->def && r->rule != OPT_GONE)
            T_OK(options_set_text(&o, r->name, r->def, "default"));
        if (r->rule == OPT_NOTHING)
            T_OK(options_set_text(&o, r->name, other, "test"));
        (void) t_logged();
        if (r->rule == OPT_DEFAULT || r->rule == OPT_GONE) {
            if (options_set_text(&o, r->name, other, "test") != RT_E_USAGE)
                fail_msg("%s %s is not refused", r->name, other);
            if (!strstr(t_logged(), r->help))
                fail_msg("%s: the reason is not said: %s", r->name, r->help);
        }
        options_destroy(&o);
    }
}

// The ends of every range are taken, and what is just beyond is refused by name.
static void ranges(void)
{
    char value[40], *end;
    for (const struct opt_row *r = OPT_ROWS; r->name; r++) {
        struct options o = {0};
        if (r->rule != OPT_USED || (r->kind != OPT_INT && r->kind != OPT_NUM))
            continue;
        T_OK(options_create(&o));
        for (int k = 0; k < 2; k++) {
            const double x = k ? r->max : r->min,
                         beyond = x + (k ? 1.0 : -1.0) * (1.0 + 0.1 * (x < 0 ? -x : x));
            snprintf(value, sizeof(value), "%.17g", x);
            T_OK(options_set_text(&o, r->name, value, "test"));
            snprintf(value, sizeof(value), r->kind == OPT_INT ? "%.0f" : "%.17g", beyond);
            (void) t_logged();
            if (options_set_text(&o, r->name, value, "test") != RT_E_USAGE ||
                !strstr(t_logged(), r->name))
                fail_msg("%s %s is not refused by name", r->name, value);
        }
        if (options_set_text(&o, r->name, "many", "test") != RT_E_USAGE)
            fail_msg("%s many is not refused", r->name);
        if (r->def) {
            const double d = strtod(r->def, &end);
            if (*end || d < r->min || d > r->max)
                fail_msg("%s: its default %s is out of its range", r->name, r->def);
        }
        options_destroy(&o);
    }
}

static void body(struct t *t)
{
    (void) t;
    options_refuse(REFUSED, COUNT_OF(REFUSED));
    becomes();
    recipe();
    hub();
    table();
    ranges();
}

int main(void)
{
    return t_each_device(body);
}
