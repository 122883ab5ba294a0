// Sample prompts: answers while training are those of the model alone, change nothing of the
// training, and are written once a step, also when a run goes on from a checkpoint.
#include "src/train/samples.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/file.h"
#include "src/format/json.h"
#include "src/train/run.h"
#include "tests/support/golden.h"
#include "tests/t.h"
#include "tests/train/config.h"

static struct tr_config base(struct t *t, const char *out)
{
    struct tr_config c = train_config(t, RT_BF16, out);
    c.max_steps = 4;
    c.learning_rate = 1e-2;
    c.eval_strategy = TR_EVAL_STEPS;
    c.eval_steps = 1;
    c.sample_max_new_tokens = 12;
    c.sample_prompts = "samples-prompts.jsonl";
    return c;
}

static void read_text(const char *path, struct str *s)
{
    str_clear(s);
    T_OK(file_read(path, s));
}

static int count(const char *text, const char *word)
{
    int n = 0;
    for (; (text = strstr(text, word)) != NULL; text++)
        n++;
    return n;
}

static bool collect(void *user, uint32_t id)
{
    struct txt_ids *ids = user;
    return txt_ids_append(ids, &id, 1) == RT_OK;
}

// The answer of a model folder to the text, with a cache and a model of its own.
static void answer(struct t *t, const char *folder, const char *prompt, struct str *out)
{
    struct txt_tokenizer *tok;
    struct md_model *m;
    struct txt_ids in = {0}, ids = {0};
    struct rng rng;

    T_OK(txt_tokenizer_open(folder, &tok));
    T_OK(txt_encode(tok, prompt, strlen(prompt), true, &in));
    T_OK(md_model_open(t_dev(t),
                       &(struct md_model_desc){.folder = folder,
                                               .storage = RT_BF16,
                                               .max_tokens = (uint32_t) in.len,
                                               .max_segments = 1,
                                               .max_rows = 1,
                                               .max_seqs = 1,
                                               .max_positions = (uint32_t) in.len + 12,
                                               .max_keys = (uint32_t) in.len + 12},
                       &m));
    const struct txt_special_token eos = txt_special(tok, TXT_EOS);
    rng_seed(&rng, 0);
    T_OK(md_generate(m, md_policy(m),
                     &(struct md_generate_args){.prompt = in.data,
                                                .n_prompt = (uint32_t) in.len,
                                                .max_new_tokens = 12,
                                                .top_p = 1.0f,
                                                .stop = &eos.id,
                                                .n_stop = 1,
                                                .on_token = collect,
                                                .user = &ids},
                     &rng));
    T_OK(txt_decode(tok, ids.data, ids.len, true, out));
    txt_ids_free(&in);
    txt_ids_free(&ids);
    md_model_close(&m);
    txt_tokenizer_close(&tok);
}

// Most device memory so far, at the first entry of the log and at the last.
struct bytes {
    uint64_t first, last;
};

static void on_log(void *user, const struct tr_entry *e)
{
    struct bytes *b = user;
    b->first = b->first ? b->first : e->device_bytes;
    b->last = e->device_bytes;
}

static void alone_and_while_training(struct t *t)
{
    struct bytes bytes = {0};
    struct tr_config c = base(t, "samples-out");
    struct str text = {0}, with = {0}, without = {0}, want = {0};
    static const char PROMPTS[] = "{\"prompt\": \"The river\"}\n\n{\"messages\": [{\"role\": "
                                  "\"user\", \"content\": \"Hi\"}]}\n";

    T_OK(file_write(c.sample_prompts, PROMPTS, sizeof(PROMPTS) - 1));
    T_OK(tr_run(&c, &(struct tr_hooks){.on_log = on_log, .user = &bytes}));
    assert_true(bytes.first > 0 && bytes.first == bytes.last); // planned, allocated before
    read_text("samples-out/samples.jsonl", &text);
    assert_int_equal(count(text.data, "\n"), 8);
    assert_int_equal(count(text.data, "{\"step\": 4, "), 2);
    assert_int_equal(count(text.data, "\"prompt\": \"The river\""), 4);
    read_text("samples-out/model.safetensors", &with);
    answer(t, "samples-out", "The river", &want);
    const char *last = strstr(text.data, "{\"step\": 4, ");
    cJSON *row;
    T_OK(fmt_json_parse(last, (size_t) (strchr(last, '\n') - last), "sample", &row));
    if (strcmp(cJSON_GetObjectItem(row, "answer")->valuestring, want.data) != 0)
        fail_msg("on %s: the answer at the last step is %s, that of the saved model %s", t_name(t),
                 cJSON_GetObjectItem(row, "answer")->valuestring, want.data);
    cJSON_Delete(row);
    c.sample_prompts = NULL;
    c.eval_strategy = TR_EVAL_NO;
    T_OK(tr_run(&c, NULL));
    read_text("samples-out/model.safetensors", &without);
    if (with.len != without.len || memcmp(with.data, without.data, with.len) != 0)
        fail_msg("on %s: sampling changed the trained weights", t_name(t));
    str_free(&text);
    str_free(&with);
    str_free(&without);
    str_free(&want);
}

// Steps after the checkpoint are written again, not twice.
static void resumed(struct t *t)
{
    struct tr_config c = base(t, "samples-again");
    struct str a = {0}, b = {0};

    c.save_strategy = TR_SAVE_STEPS;
    c.save_steps = 2;
    T_OK(tr_run(&c, NULL));
    read_text("samples-again/samples.jsonl", &a);
    c.resume_from_checkpoint = "samples-again/checkpoint-2";
    T_OK(tr_run(&c, NULL));
    read_text("samples-again/samples.jsonl", &b);
    assert_string_equal(a.data, b.data);
    str_free(&a);
    str_free(&b);
}

static void bad_files(struct t *t)
{
    static const struct {
        const char *text, *naming;
    } ROWS[] = {
        {"\n \n", "samples-bad.jsonl"},
        {"{\"prompt\": \"a\"}\n{\"answer\": \"b\"}\n", "samples-bad.jsonl:2"},
        {"{\"prompt\": 3}\n", "samples-bad.jsonl:1"},
        {"{\"prompt\": \"\"}\n", "samples-bad.jsonl:1"},
        {"\n\n{\"prompt\": \"a\"\n", "samples-bad.jsonl:3"},
    };
    struct tr_config c = base(t, "samples-out");

    c.sample_prompts = "samples-bad.jsonl";
    for (size_t i = 0; i < sizeof(ROWS) / sizeof(*ROWS); i++) {
        T_OK(file_write(c.sample_prompts, ROWS[i].text, strlen(ROWS[i].text)));
        train_refused(&c, RT_E_FORMAT, ROWS[i].naming);
    }
}

static void body(struct t *t)
{
    alone_and_while_training(t);
    resumed(t);
    bad_files(t);
}

int main(void)
{
    return t_each_device(body);
}
