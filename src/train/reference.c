#include "src/train/reference.h"

enum rt_err tr_reference_open(const struct tr_config *c, bool train, struct md_model *model,
                              struct tr_reference *out)
{
    enum rt_err err = RT_OK;
    struct rt_cmd *cmd = NULL;

    *out = (struct tr_reference){0};
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
    return r->copy.n ? (struct md_weights){&r->copy, NULL}
                     : (struct md_weights){&model->work, NULL};
}
