#include "src/train/reference.h"

#include "src/op/lerp.h"

static enum rt_err freeze_adapter(struct md_model *m)
{
    enum rt_err err = RT_OK;
    struct rt_cmd *cmd = NULL;

    RT_TRY(md_flat_create(m->dev, &m->adapter.params, m->storage, "reference adapter",
                          &m->adapter_ref));
    RT_TRY(rt_cmd_create(m->dev, &cmd));
    RT_TRY(md_flat_copy(cmd, &m->adapter_work, &m->adapter_ref));
    RT_TRY(rt_cmd_wait(&cmd));
done:
    rt_cmd_destroy(&cmd);
    return err;
}

// Into `to`: the named model, or the policy.
static enum rt_err fill(const struct tr_config *c, struct md_model *model, struct md_flat *to)
{
    enum rt_err err = RT_OK;
    struct rt_cmd *cmd = NULL;

    if (c->ref_model_name_or_path) {
        RT_TRY(md_weights_load(&model->params, c->ref_model_name_or_path, c->load_dtype, to));
        goto done;
    }
    RT_TRY(rt_cmd_create(model->dev, &cmd));
    RT_TRY(md_flat_copy(cmd, &model->work, to));
    RT_TRY(rt_cmd_wait(&cmd));
done:
    rt_cmd_destroy(&cmd);
    return err;
}

enum rt_err tr_reference_open(const struct tr_config *c, bool train, struct md_model *model,
                              struct tr_reference *out)
{
    enum rt_err err = RT_OK;

    *out = (struct tr_reference){.none = c->reference_free};
    if (out->none)
        goto done;
    if (!c->ref_model_name_or_path && md_adapter_any(&model->adapter)) {
        if (train && c->lora.adapter)
            RT_TRY(freeze_adapter(model));
        goto done;
    }
    if (!c->ref_model_name_or_path && (!train || c->precompute_ref_log_probs))
        goto done;
    RT_TRY(md_flat_create(model->dev, &model->params, c->storage, "reference weights", &out->copy));
    if (train && c->sync_ref_model)
        RT_TRY(md_flat_add_low("masters beside the reference", &out->copy));
    RT_TRY(fill(c, model, &out->copy));
done:
    if (err != RT_OK)
        tr_reference_close(out);
    return err;
}

void tr_reference_close(struct tr_reference *r)
{
    md_flat_destroy(&r->copy);
}

struct md_weights tr_reference_weights(const struct tr_reference *r, const struct md_model *model)
{
    if (r->copy.n)
        return (struct md_weights){&r->copy, NULL};
    return (struct md_weights){&model->work, model->adapter_ref.n ? &model->adapter_ref : NULL};
}

enum rt_err tr_reference_sync(struct tr_reference *r, struct rt_cmd *cmd, struct md_model *model,
                              double alpha)
{
    enum rt_err err = RT_OK;
    const struct md_trained t = md_trained_of(model);

    RT_REQUIRE(t.params == &model->params && r->copy.n == t.work->n, RT_E_ARG);
    for (uint32_t i = 0; i < r->copy.n; i++) {
        const struct op_lerp_args a = {.x = md_flat_master(t.work, i, 0),
                                       .y = md_flat_master(&r->copy, i, 0),
                                       .n = t.params->chunks[i].count,
                                       .alpha = alpha};
        RT_TRY(op_lerp(cmd, &a));
    }
done:
    return err;
}
