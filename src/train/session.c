#include "src/train/session.h"

#include <math.h>
#include <stdlib.h>

#include "src/op/open.h"
#include "src/op/self_check.h"
#include "src/text/open.h"
#include "src/train/adapter.h"
#include "src/train/balance.h"
#include "src/train/limits.h"
#include "src/train/plan.h"
#include "src/train/precompute.h"

uint32_t tr_session_datasets(const struct tr_session *s)
{
    return (s->train.set.n > 0) + s->n_evals;
}

struct tr_dataset *tr_session_dataset(struct tr_session *s, uint32_t i)
{
    const uint32_t first = s->train.set.n > 0;
    return first && i == 0 ? &s->train : &s->evals[i - first];
}

enum rt_err tr_session_open_data(const struct tr_config *c, bool train, struct tr_session *s)
{
    enum rt_err err = RT_OK;
    const bool files =
        train ? c->eval_strategy != TR_EVAL_NO || c->eval_on_start : c->n_eval_files > 0;

    RT_TRY(txt_tokenizer_open_any(c->model_name_or_path, &s->tok));
    RT_TRY(txt_chat_open_any(c->model_name_or_path, &s->chat));
    if (train || !files)
        RT_TRY(tr_dataset_open_train(c, s->tok, s->chat, &s->train));
    if (files)
        RT_TRY(tr_datasets_open_eval(c, s->tok, s->chat, &s->evals, &s->n_evals));
    if (train)
        RT_TRY(tr_samples_read(c, s->tok, s->chat, &s->samples));
done:
    return err;
}

enum rt_err tr_session_open_device(const struct tr_config *c, struct tr_session *s)
{
    enum rt_err err = RT_OK;

    RT_TRY(op_dev_open(&(struct op_device){.device = c->device,
                                           .disable = c->disable,
                                           .clamp = c->clamp,
                                           .cache_dir = c->cache_dir,
                                           .profile = c->profile},
                       &s->dev));
    RT_TRY(op_self_check(s->dev, c->storage));
    log_info("device %s: %s, %s", rt_dev_id(s->dev), rt_dev_plan(s->dev)->caps.name,
             rt_dev_plan(s->dev)->caps.driver);
done:
    return err;
}

// The reference, or its log-probs: then it is open only while they are computed.
static enum rt_err open_reference(const struct tr_config *c, bool train, struct tr_session *s)
{
    enum rt_err err = RT_OK;
    const bool before = c->precompute_ref_log_probs && (train || c->ref_model_name_or_path);
    const bool count = rt_dev_is_dry(s->dev); // then nothing is computed
    uint32_t missing = 1;

    if (before && !count)
        RT_TRY(tr_precompute_find(c, s, &missing));
    if (missing)
        RT_TRY(tr_reference_open(c, train, s->model, &s->ref));
    RT_TRY(tr_objective_create(c, s->model, &s->ref, &s->objective));
    if (before && missing && !count)
        RT_TRY(tr_precompute_run(c, s));
    if (before)
        tr_reference_close(&s->ref);
done:
    return err;
}

enum rt_err tr_session_open_model(const struct tr_config *c, bool train,
                                  struct md_recompute recompute, struct tr_session *s)
{
    enum rt_err err = RT_OK;
    struct fmt_peft peft = {0};
    double aux = 0.0;
    struct md_model_desc model = {.folder = c->model_name_or_path,
                                  .storage = c->storage,
                                  .load_dtype = c->load_dtype,
                                  .train = train,
                                  .adapter = c->lora.adapter,
                                  .recompute = recompute,
                                  .seed = c->seed};

    if (train)
        RT_TRY(tr_dropout_check(c));
    if (c->lora.use) {
        RT_TRY(tr_adapter_settings(c, &peft));
        model.peft = &peft;
        model.drop = train && c->lora.drop && peft.dropout > 0.0;
    }
    RT_TRY(tr_balance_coef(c, &aux));
    model.balance = fabs(aux) > 0.0;
    for (uint32_t i = 0; i < tr_session_datasets(s); i++)
        tr_session_dataset(s, i)->set.last_tokens = model.balance;
    for (uint32_t i = 0; i < tr_session_datasets(s); i++)
        tr_limits(c, &tr_session_dataset(s, i)->set,
                  train && i == 0 ? c->per_device_train_batch_size : tr_eval_batch(c), &model);
    for (uint32_t i = 0; i < tr_session_datasets(s) && c->precompute_ref_log_probs; i++)
        tr_limits_reference(c, &tr_session_dataset(s, i)->set, &model);
    tr_samples_limits(&s->samples, &model);
    RT_TRY(md_model_open(s->dev, &model, &s->model));
    RT_TRY(tr_samples_open(&s->samples, s->model));
    RT_TRY(tr_adapter_check(c, s->model));
    RT_TRY(open_reference(c, train, s));
done:
    fmt_peft_free(&peft);
    return err;
}

enum rt_err tr_session_open(const struct tr_config *c, bool train, struct tr_session *out)
{
    enum rt_err err = RT_OK;
    struct tr_plan plan;

    *out = (struct tr_session){0};
    RT_TRY(tr_session_open_data(c, train, out));
    RT_TRY(tr_session_open_device(c, out));
    RT_TRY(tr_plan_make(c, train, false, out, &plan));
    RT_TRY(tr_plan_check(&plan));
    tr_plan_report(c, &plan);
    RT_TRY(tr_session_open_model(c, train, plan.recompute, out));
done:
    if (err != RT_OK)
        tr_session_close(out);
    return err;
}

void tr_session_close_model(struct tr_session *s)
{
    tr_objective_destroy(&s->objective);
    tr_reference_close(&s->ref);
    if (s->model)
        md_cache_destroy(s->model, &s->samples.cache);
    md_model_close(&s->model);
}

void tr_session_close(struct tr_session *s)
{
    tr_session_close_model(s);
    tr_samples_free(&s->samples, NULL);
    rt_dev_close(&s->dev);
    for (uint32_t i = 0; i < s->n_evals; i++)
        tr_dataset_close(&s->evals[i]);
    free(s->evals);
    s->evals = NULL;
    s->n_evals = 0;
    tr_dataset_close(&s->train);
    txt_chat_close(&s->chat);
    txt_tokenizer_close(&s->tok);
}
