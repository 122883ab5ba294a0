// Generation: what is streamed is the answer, it stops at the end of a turn, the seed decides.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/api/generate.h"
#include "src/base/file.h"
#include "tests/t.h"

struct pieces {
    struct str all;
    uint32_t n;
};

static void on_text(void *user, const char *text, size_t len)
{
    struct pieces *p = user;
    T_OK(str_append(&p->all, text, len));
    p->n++;
}

static struct api_generator *g_model; // the tiny model that the repository ships

static const struct api_generate_args GREEDY = {
    .prompt = "What is the capital of France?",
    .prompt_len = 30,
    .chat = true,
    .max_new_tokens = 64,
    .top_p = 1.0f,
};

static void answer(const struct api_generate_args *args, struct pieces *p)
{
    struct api_generate_args a = *args;
    struct str out = {0};

    *p = (struct pieces){0};
    a.on_text = on_text;
    a.user = p;
    T_OK(api_generate(g_model, &a, &out));
    assert_int_equal(out.len, p->all.len); // the pieces are the whole
    assert_memory_equal(out.data ? out.data : "", p->all.data ? p->all.data : "", out.len);
    str_free(&out);
}

static void streams_and_stops(void **state)
{
    struct pieces p, shorter;
    struct api_generate_args a = GREEDY;

    (void) state;
    answer(&a, &p);
    assert_true(p.n > 1 && p.n < 64); // it came in pieces, and ended before max_new_tokens
    assert_null(strstr(p.all.data, "<|im_end|>"));
    a.max_new_tokens = 128; // nothing comes behind the end of the turn
    answer(&a, &shorter);
    assert_int_equal(shorter.n, p.n);
    str_free(&shorter.all);
    a.max_new_tokens = 3;
    answer(&a, &shorter);
    assert_true(shorter.n <= 3 && shorter.all.len < p.all.len);
    assert_memory_equal(shorter.all.data, p.all.data, shorter.all.len);
    str_free(&p.all);
    str_free(&shorter.all);
}

static bool equal(const struct pieces *a, const struct pieces *b)
{
    return a->all.len == b->all.len && memcmp(a->all.data, b->all.data, a->all.len) == 0;
}

static void seeds(void **state)
{
    struct pieces first, again, other, greedy, top;
    struct api_generate_args a = GREEDY;

    (void) state;
    answer(&a, &greedy);
    a.temperature = 3.0f;
    a.seed = 1;
    answer(&a, &first);
    answer(&a, &again);
    a.seed = 2;
    answer(&a, &other);
    assert_true(equal(&first, &again));
    assert_false(equal(&first, &other));
    a.top_k = 1; // the likeliest alone, whatever the temperature
    answer(&a, &top);
    assert_true(equal(&greedy, &top));
    str_free(&top.all);
    a.top_k = 0;
    a.top_p = 1e-6f;
    answer(&a, &top);
    assert_true(equal(&greedy, &top));
    str_free(&first.all);
    str_free(&again.all);
    str_free(&other.all);
    str_free(&greedy.all);
    str_free(&top.all);
}

static void too_long(void **state)
{
    static char prompt[20000];
    struct api_generate_args a = GREEDY;
    struct str out = {0};

    (void) state;
    memset(prompt, 'x', sizeof(prompt));
    a.prompt = prompt;
    a.prompt_len = sizeof(prompt);
    T_ERR(RT_E_ARG, api_generate(g_model, &a, &out));
    assert_int_equal(out.len, 0);
    a = GREEDY;
    a.prompt = "\xff";
    a.prompt_len = 1;
    T_ERR(RT_E_FORMAT, api_generate(g_model, &a, &out));
    str_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_and_stops),
        cmocka_unit_test(seeds),
        cmocka_unit_test(too_long),
    };
    const char *source = os_env("ANYDPO_SOURCE");
    char folder[1024];

    snprintf(folder, sizeof(folder), "%s/data/tiny/model", source ? source : ".");
    if (api_generator_open(
            &(struct api_generator_desc){
                .folder = folder, .device = "host", .storage = RT_F32, .max_tokens = 256},
            &g_model) != RT_OK)
        return 1;
    const int status = cmocka_run_group_tests(tests, NULL, NULL);
    api_generator_close(&g_model);
    return status;
}
