#include "src/train/reference.h"

static enum rt_err freeze_adapter(struct md_model *m)
{
    enum rt_err err = RT_OK;
    struct rt_cmd *cmd = NULL;

    RT_TRY(md_flat_create(m->dev, &m->adapter.params, m->storage, "reference adapter",
                          &m->adapter_ref));
    RT_TRY(rt_cmd_create(m->dev, &cmd));
    RT_TRY(md_flat_cast(cmd, &m->adapter_work, &m->adapter_ref));
    RT_TRY(rt_cmd_wait(&cmd));
done:
    rt_cmd_destroy(&cmd);
    return err;
}

enum rt_err tr_reference_open(const struct tr_config *c, bool train, struct md_model *model,
                              struct tr_reference *out)
{
    enum rt_err err = RT_OK;
    struct rt_cmd *cmd = NULL;

    *out = (struct tr_reference){0};
    if (!c->ref_model_name_or_path && md_adapter_any(&model->adapter)) {
        if (train && c->lora.adapter)
            RT_TRY(freeze_adapter(model));
        goto done;
    }
    if (!train && !c->ref_model_name_or_path)
        goto done;
    RT_TRY(md_flat_create(model->dev, &model->params, c->storage, "reference weights", &out->copy));
    if (c->ref_model_name_or_path) {
        RT_TRY(
            md_weights_load(&model->params, c->ref_model_name_or_path, c->load_dtype, &out->copy));
        goto done;
    }
    RT_TRY(rt_cmd_create(model->dev, &cmd));
    RT_TRY(md_flat_cast(cmd, &model->work, &out->copy));
    RT_TRY(rt_cmd_wait(&cmd));
done:
    rt_cmd_destroy(&cmd);
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
