// The plan is what a run allocates, to the byte; nothing is allocated after the first step; memory
// decides what is recomputed, and what does not fit is refused.
#include "src/train/plan.h"

#include <cjson/cJSON.h>

#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/train/optimizer.h"
#include "tests/support/golden.h"
#include "tests/t.h"
#include "tests/train/config.h"

static struct tr_config base(struct t *t, enum rt_type storage)
{
    struct tr_config c = train_config(t, storage, NULL);
    c.per_device_train_batch_size = 4;
    return c;
}

// A step on the first pairs.
static void step(const struct tr_config *c, struct tr_session *s, struct tr_optimizer *opt)
{
    const uint32_t pairs[] = {0, 1, 2, 3};
    const struct tr_batch b = {.data = &s->train, .pairs = pairs, .n = COUNT_OF(pairs)};
    struct rt_cmd *cmd;

    (void) train_batch(s, &b, &opt->grads, 0.25);
    assert_int_equal(s->model->swept, md_head_frozen(s->model));
    assert_int_equal(s->model->kept, s->model->may_keep);
    T_OK(rt_cmd_create(s->dev, &cmd));
    T_OK(tr_grad_measure(opt, cmd, 1.0, 1.0));
    T_OK(tr_optimizer_step(opt, cmd, s->model, c, 1e-3));
    T_OK(rt_cmd_wait(&cmd));
    assert_true(tr_grad_norm(opt, 1.0) > 0.0);
}

static void plan_is_run(const struct tr_config *c)
{
    struct tr_plan p;
    struct tr_session s;
    struct tr_optimizer opt;

    T_OK(tr_plan_run(c, &p, NULL));
    assert_true(p.bytes > 0 && p.n_rows < TR_PLAN_ROWS && p.n_helps > 0);
    T_OK(tr_session_open(c, true, &s));
    T_OK(tr_optimizer_create(s.model, c->optim, &opt));
    assert_int_equal(rt_dev_stats(s.dev).bytes, p.bytes);
    step(c, &s, &opt);
    const uint64_t allocs = rt_dev_stats(s.dev).allocs;
    step(c, &s, &opt);
    assert_int_equal(rt_dev_stats(s.dev).allocs, allocs);
    assert_int_equal(rt_dev_stats(s.dev).peak_bytes, p.bytes);
    tr_optimizer_destroy(&opt);
    tr_session_close(&s);
}

// The host waits for nothing that it handed over but what it then reads, once for each: not for a
// pass, nor for the norm of the gradient, nor for the weights. A loss that ranks all log-probs of a
// micro-batch on the host waits for them.
static void does_not_wait(struct tr_config c, enum op_loss_type loss, uint64_t within)
{
    const uint32_t pairs[] = {0, 1, 2, 3};
    struct tr_batch b = {.pairs = pairs, .n = COUNT_OF(pairs)};
    struct tr_session s;
    struct tr_optimizer opt;
    struct tr_job *job[TR_JOBS];
    struct tr_result r;
    struct rt_cmd *cmd;

    c.loss = (struct op_loss_spec){.terms = {{loss, 1.0}}, .n_terms = 1};
    c.pass_tokens = 1; // a pass for each pair
    T_OK(tr_session_open(&c, true, &s));
    T_OK(tr_optimizer_create(s.model, c.optim, &opt));
    b.data = &s.train;
    const uint64_t before = rt_dev_stats(s.dev).waits;
    for (int i = 0; i < TR_JOBS; i++)
        T_OK(tr_objective_begin(s.objective, &b, &opt.grads, 0.25, &job[i]));
    T_OK(rt_cmd_create(s.dev, &cmd));
    T_OK(tr_grad_measure(&opt, cmd, 1.0, 1.0));
    T_OK(tr_optimizer_step(&opt, cmd, s.model, &c, 1e-3));
    T_OK(rt_cmd_submit(cmd));
    assert_int_equal(rt_dev_stats(s.dev).waits, before + TR_JOBS * within);
    T_OK(tr_objective_end(s.objective, job[0], &r));
    T_ERR(RT_E_ARG, tr_objective_end(s.objective, job[0], &r)); // it is over
    T_OK(tr_objective_end(s.objective, job[1], &r));
    T_OK(rt_cmd_wait(&cmd));
    assert_int_equal(rt_dev_stats(s.dev).waits, before + TR_JOBS + 1 + within);
    T_OK(tr_objective_begin(s.objective, &b, NULL, 1.0, &job[0]));
    T_OK(tr_objective_begin(s.objective, &b, NULL, 1.0, &job[1]));
    T_ERR(RT_E_ARG, tr_objective_begin(s.objective, &b, NULL, 1.0, &job[0])); // no room for more
    assert_null(job[0]);
    tr_optimizer_destroy(&opt);
    tr_session_close(&s); // drops what is on its way
}

// With a byte less than the plan takes, less is kept, step by step, each to the byte, until not
// even the least fits.
static void memory_decides(const struct tr_config *c)
{
    struct tr_config less = *c;
    struct tr_plan p, q;
    struct tr_session s;
    struct tr_optimizer opt;
    char clamp[32];
    uint32_t steps = 0;

    T_OK(tr_plan_run(c, &p, NULL));
    assert_string_equal(p.recomputed, "none");
    less.clamp = clamp;
    for (q = p; q.limit == 0 || q.bytes <= q.limit; steps++) {
        const uint64_t bytes = q.bytes;
        snprintf(clamp, sizeof(clamp), "memory=%llu", (unsigned long long) bytes - 1);
        T_OK(tr_plan_run(&less, &q, NULL));
        if (q.bytes > q.limit)
            continue;
        assert_true(q.recompute.kinds + q.recompute.layers > 0 && q.bytes < bytes);
        T_OK(tr_plan_check(&q));
        T_OK(tr_session_open(&less, true, &s));
        T_OK(tr_optimizer_create(s.model, c->optim, &opt));
        assert_int_equal(rt_dev_stats(s.dev).bytes, q.bytes);
        tr_optimizer_destroy(&opt);
        tr_session_close(&s);
    }
    assert_true(steps > MD_AGAIN_ATTENTION);
    assert_int_equal(q.recompute.kinds, MD_AGAIN_COUNT);
    assert_string_equal(q.recomputed, "all but the stream between layers");
    less.gradient_checkpointing = TR_RECOMPUTE_NONE;
    T_OK(tr_plan_run(&less, &q, NULL));
    assert_int_equal(q.bytes, p.bytes);
    T_ERR(RT_E_DEVMEM, tr_plan_check(&q));
    assert_true(q.n_helps > 0);
}

static uint64_t head_bytes(const struct tr_plan *p)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < p->n_rows; i++)
        sum += strcmp(p->rows[i].group, "head") == 0 ? p->rows[i].bytes : 0;
    return sum;
}

// A vocabulary of many chunks: where all logits are more than one of them, they are kept if there
// is room; a frozen head never does. A plan needs no weights.
static void head_decides(struct tr_config c, const cJSON *targets)
{
    static const char CONFIG[] =
        "{\"model_type\": \"qwen2\", \"vocab_size\": 20000, \"hidden_size\": 64, "
        "\"intermediate_size\": 64, \"num_hidden_layers\": 1, \"num_attention_heads\": 4, "
        "\"num_key_value_heads\": 2, \"max_position_embeddings\": 2048, \"rms_norm_eps\": 1e-6, "
        "\"bos_token_id\": 1, \"eos_token_id\": 2, \"tie_word_embeddings\": true}";
    struct tr_plan p, q;
    char clamp[32];

    T_OK(dir_make("large"));
    T_OK(file_write("large/config.json", CONFIG, sizeof(CONFIG) - 1));
    T_OK(file_copy(golden_own_path("models/llama/tokenizer.json"), "large/tokenizer.json"));
    T_OK(file_copy(golden_own_path("models/llama/tokenizer_config.json"),
                   "large/tokenizer_config.json"));
    c.model_name_or_path = "large";
    T_OK(tr_plan_run(&c, &p, NULL));
    assert_string_equal(p.head, "logits kept");
    c.clamp = clamp;
    snprintf(clamp, sizeof(clamp), "memory=%llu", (unsigned long long) p.bytes - 1);
    c.gradient_checkpointing = TR_RECOMPUTE_NONE;
    T_OK(tr_plan_run(&c, &q, NULL));
    assert_string_equal(q.head, "logits recomputed");
    assert_true(q.bytes < p.bytes && head_bytes(&q) < head_bytes(&p));
    T_OK(tr_plan_check(&q));
    c.lora = (struct tr_lora){.use = true, .targets = targets};
    T_OK(tr_plan_run(&c, &q, NULL));
    assert_string_equal(q.head, "one sweep");
}

static void body(struct t *t)
{
    static char all[] = "all-linear";
    const cJSON targets = {.type = cJSON_String, .valuestring = all};

    for (enum rt_type type = RT_F32; type <= RT_BF16; type++) {
        struct tr_config c = base(t, type);
        plan_is_run(&c);
        c.gradient_checkpointing = TR_RECOMPUTE_ALL;
        plan_is_run(&c);
        c.lora = (struct tr_lora){.use = true, .targets = &targets};
        plan_is_run(&c);
        c = base(t, type);
        c.model_name_or_path = golden_own_path("models/moe");
        plan_is_run(&c);
    }
    const struct tr_config c = base(t, RT_F32);
    memory_decides(&c);
    does_not_wait(c, OP_LOSS_SIGMOID, 0);
    does_not_wait(c, OP_LOSS_AOT, 1);
    head_decides(base(t, RT_BF16), &targets);
}

int main(void)
{
    return t_each_device(body);
}
