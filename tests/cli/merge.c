// `anydpo convert --merge`: a merged model gives what base and adapter give together; what does not
// fit is named.
#include <math.h>

#include "anydpo.h"
#include "src/api/merge.h"
#include "src/format/safetensors.h"
#include "tests/format/util.h"

static char *g_dir;

static const char *own(const char *name, char buf[512])
{
    snprintf(buf, 512, "%s/tests/golden/%s", os_env("ANYDPO_SOURCE"), name);
    return buf;
}

static struct anydpo_eval evaluate(const char *model, const char *adapter)
{
    struct anydpo_job *job;
    struct anydpo_eval e;
    char data[512];

    assert_int_equal(anydpo_job_create(&job), ANYDPO_OK);
    const char *const set[][2] = {{"model_name_or_path", model},
                                  {"adapter_name_or_path", adapter ? adapter : "null"},
                                  {"dataset_name", own("runs/family_llama/train.jsonl", data)},
                                  {"device", "host"},
                                  {"bf16", "false"}};
    for (size_t i = 0; i < COUNT_OF(set); i++)
        assert_int_equal(anydpo_set(job, set[i][0], set[i][1]), ANYDPO_OK);
    assert_int_equal(anydpo_evaluate(job, &e), ANYDPO_OK);
    anydpo_job_destroy(&job);
    return e;
}

static void merged_is_unmerged(void **state)
{
    char base[512], adapter[512], *to = u_in(g_dir, "merged");
    struct api_merged did;
    (void) state;
    own("models/llama", base);
    own("runs/lora_qv_rslora/adapter_saved", adapter);
    U_OK(api_merge(
        &(struct api_merge_args){
            .base = base, .adapter = adapter, .to = to, .dtype = FMT_DTYPE_COUNT},
        &did));
    assert_int_equal(did.adapted, 4);
    assert_int_equal(did.replaced, 0);
    const struct anydpo_eval plain = evaluate(base, NULL), one = evaluate(base, adapter),
                             two = evaluate(to, NULL);
    // Sums of about 30 log-probs in f32: 1e-4 of roundings, where the adapter makes nats.
    assert_true(fabs(one.logps_chosen - two.logps_chosen) < 1e-4);
    assert_true(fabs(one.logps_rejected - two.logps_rejected) < 1e-4);
    assert_true(fabs(one.logps_chosen - plain.logps_chosen) > 1e-1);
    assert_true(one.rewards_margins > 0.0); // against the base
    U_FAILS(
        RT_E_ARG, "another folder",
        api_merge(&(struct api_merge_args){.base = base, .adapter = adapter, .to = base}, &did));
    free(to);
}

// Small tensors with known values: W + 2 * B A in a type of its own.
static void write_tensor(struct fmt_st_writer *w, const float *x, uint64_t n)
{
    U_OK(fmt_st_writer_put_f32(w, x, n));
}

struct tiny {
    bool magnitude, extra, wide, copy, flip;
};

static const float W[6] = {1, 2, 3, 4, 5, 6}, A[3] = {1, 0, -1}, B[2] = {1, 2}, M[2] = {10, 20};

static void make(const char *base, const char *adapter, struct tiny t)
{
    struct fmt_st_writer *w;
    char *path = u_in(adapter, "adapter_config.json"), *config = u_in(base, "config.json");
    struct str text = {0};

    U_OK(dir_make(base));
    U_OK(dir_make(adapter));
    U_OK(file_write(config, "{\"dtype\": \"float32\"}", 20));
    U_OK(str_printf(&text,
                    "{\"peft_type\": \"LORA\", \"r\": 1, \"lora_alpha\": 2, \"use_dora\": %s, "
                    "\"fan_in_fan_out\": %s}",
                    t.magnitude ? "true" : "false", t.flip ? "true" : "false"));
    U_OK(file_write(path, text.data, text.len));
    U_OK(fmt_st_writer_create(&(struct fmt_st_writer_args){.dir = base}, &w));
    const uint64_t shape[2] = {t.flip ? 3 : 2, t.flip ? 2 : 3}, two[1] = {2};
    U_OK(fmt_st_writer_add(w, "model.x.weight", FMT_F32, 2, shape));
    U_OK(fmt_st_writer_add(w, "model.norm.weight", FMT_F16, 1, two));
    U_OK(fmt_st_writer_begin(w));
    write_tensor(w, W, 6);
    write_tensor(w, W, 2);
    U_OK(fmt_st_writer_commit(w));
    fmt_st_writer_destroy(&w);

    const uint64_t a[2] = {1, t.wide ? 4 : 3}, b[2] = {2, 1};
    const float wide[4] = {0};
    U_OK(fmt_st_writer_create(&(struct fmt_st_writer_args){.dir = adapter, .stem = "adapter_model"},
                              &w));
    U_OK(fmt_st_writer_add(w, "base_model.model.model.x.lora_A.weight", FMT_F32, 2, a));
    U_OK(fmt_st_writer_add(w, "base_model.model.model.x.lora_B.weight", FMT_F32, 2, b));
    if (t.magnitude)
        U_OK(fmt_st_writer_add(w, "base_model.model.model.x.lora_magnitude_vector", FMT_F32, 1,
                               two));
    if (t.copy)
        U_OK(fmt_st_writer_add(w, "base_model.model.model.norm.weight", FMT_F32, 1, two));
    if (t.extra)
        U_OK(fmt_st_writer_add(w, "base_model.model.model.y.lora_A.weight", FMT_F32, 1, two));
    U_OK(fmt_st_writer_begin(w));
    write_tensor(w, t.wide ? wide : A, t.wide ? 4 : 3);
    write_tensor(w, B, 2);
    for (int i = 0; i < t.magnitude + t.copy + t.extra; i++)
        write_tensor(w, M, 2);
    U_OK(fmt_st_writer_commit(w));
    fmt_st_writer_destroy(&w);
    str_free(&text);
    free(path);
    free(config);
}

static enum rt_err merge(struct tiny t, enum fmt_dtype dtype, double x[6], double norm[2],
                         enum fmt_dtype found[2])
{
    char *base = u_in(g_dir, "base"), *adapter = u_in(g_dir, "adapter"), *to = u_in(g_dir, "to");
    struct fmt_st st = {0};
    struct api_merged did;
    make(base, adapter, t);
    const enum rt_err err = api_merge(
        &(struct api_merge_args){.base = base, .adapter = adapter, .to = to, .dtype = dtype}, &did);
    if (err == RT_OK) {
        U_OK(fmt_st_open(to, &st));
        const struct fmt_tensor *w = fmt_st_find(&st, "model.x.weight"),
                                *n = fmt_st_find(&st, "model.norm.weight");
        assert_non_null(w);
        assert_non_null(n);
        U_OK(fmt_tensor_to_f64(w, 0, 6, x));
        U_OK(fmt_tensor_to_f64(n, 0, 2, norm));
        found[0] = w->dtype;
        found[1] = n->dtype;
        assert_int_equal(did.replaced, t.copy);
        fmt_st_close(&st);
    }
    free(base);
    free(adapter);
    free(to);
    return err;
}

static void values(void **state)
{
    static const double PLAIN[6] = {3, 2, 1, 8, 5, 2}, FLIP[6] = {3, 6, 3, 4, 3, 2};
    double x[6], n[2];
    enum fmt_dtype found[2];
    (void) state;
    U_OK(merge((struct tiny){0}, FMT_DTYPE_COUNT, x, n, found));
    assert_memory_equal(x, PLAIN, sizeof(x));
    assert_true(found[0] == FMT_F32 && found[1] == FMT_F16 && n[0] == 1.0 && n[1] == 2.0);
    U_OK(merge((struct tiny){.copy = true}, FMT_BF16, x, n, found));
    assert_memory_equal(x, PLAIN, sizeof(x));
    assert_true(found[0] == FMT_BF16 && found[1] == FMT_BF16 && n[0] == 10.0 && n[1] == 20.0);
    U_OK(merge((struct tiny){.flip = true}, FMT_DTYPE_COUNT, x, n, found));
    assert_memory_equal(x, FLIP, sizeof(x));
    U_OK(merge((struct tiny){.magnitude = true}, FMT_DTYPE_COUNT, x, n, found));
    for (int i = 0; i < 6; i++) {
        const double *row = PLAIN + i / 3 * 3, m = (double) M[i / 3];
        const double want =
            m * PLAIN[i] / sqrt(row[0] * row[0] + row[1] * row[1] + row[2] * row[2]);
        assert_true(fabs(x[i] - want) <= 1e-6 * fabs(want));
    }
}

static void refusals(void **state)
{
    double x[6], n[2];
    enum fmt_dtype f[2];
    char base[512], adapter[512];
    struct api_merged did;
    (void) state;
    U_FAILS(RT_E_SHAPE, "expected shape (1, 3)",
            merge((struct tiny){.wide = true}, FMT_F32, x, n, f));
    U_FAILS(RT_E_FORMAT, "model.y.lora_A.weight",
            merge((struct tiny){.extra = true}, FMT_F32, x, n, f));
    U_FAILS(RT_E_UNSUPPORTED, "use_dora",
            merge((struct tiny){.magnitude = true, .flip = true}, FMT_F32, x, n, f));
    U_FAILS(RT_E_SHAPE, "q_proj.lora_A.weight",
            api_merge(&(struct api_merge_args){.base = own("models/llama3", base),
                                               .adapter = own("runs/lora_qv_rslora/adapter_saved",
                                                              adapter),
                                               .to = g_dir},
                      &did));
}

static int begin(void **state)
{
    (void) state;
    g_dir = u_dir();
    return 0;
}

static int end(void **state)
{
    static const char *const SUB[] = {"merged", "base", "adapter", "to"};
    (void) state;
    for (size_t i = 0; i < COUNT_OF(SUB); i++)
        u_drop(u_in(g_dir, SUB[i]));
    u_drop(g_dir);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merged_is_unmerged),
        cmocka_unit_test(values),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
