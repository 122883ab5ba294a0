#include "src/train/reference.h"

#include "src/op/lerp.h"

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

// Into `to`, which has another type than the masters or not: the named model, or the policy.
static enum rt_err fill(const struct tr_config *c, struct md_model *model, struct md_flat *to)
{
    enum rt_err err = RT_OK;
    struct rt_cmd *cmd = NULL;
    const bool f32 = rt_buf_type(to->chunk[0]) == RT_F32;

    if (c->ref_model_name_or_path) {
        RT_TRY(md_weights_load(&model->params, c->ref_model_name_or_path, c->load_dtype, to));
        goto done;
    }
    RT_TRY(rt_cmd_create(model->dev, &cmd));
    RT_TRY(md_flat_cast(cmd, f32 ? md_trained_of(model).master : &model->work, to));
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
    RT_TRY(fill(c, model, &out->copy));
    if (!train || !c->sync_ref_model || c->storage == RT_F32)
        goto done;
    RT_TRY(md_flat_create(model->dev, &model->params, RT_F32, "reference masters", &out->master));
    RT_TRY(fill(c, model, &out->master));
done:
    if (err != RT_OK)
        tr_reference_close(out);
    return err;
}

void tr_reference_close(struct tr_reference *r)
{
    md_flat_destroy(&r->copy);
    md_flat_destroy(&r->master);
}

struct md_weights tr_reference_weights(const struct tr_reference *r, const struct md_model *model)
{
    if (r->copy.n)
        return (struct md_weights){&r->copy, NULL};
    return (struct md_weights){&model->work, model->adapter_ref.n ? &model->adapter_ref : NULL};
}

struct md_flat *tr_reference_master(struct tr_reference *r)
{
    return r->master.n ? &r->master : &r->copy;
}

enum rt_err tr_reference_refresh(struct tr_reference *r, struct rt_cmd *cmd)
{
    return r->master.n ? md_flat_cast(cmd, &r->master, &r->copy) : RT_OK;
}

enum rt_err tr_reference_sync(struct tr_reference *r, struct rt_cmd *cmd, struct md_model *model,
                              double alpha)
{
    enum rt_err err = RT_OK;
    const struct md_trained t = md_trained_of(model);
    struct md_flat *to = tr_reference_master(r);

    RT_REQUIRE(t.params == &model->params && to->n == t.master->n, RT_E_ARG);
    for (uint32_t i = 0; i < to->n; i++) {
        const struct op_lerp_args a = {.x = {.buf = t.master->chunk[i]},
                                       .y = {.buf = to->chunk[i]},
                                       .n = t.params->chunks[i].count,
                                       .alpha = alpha};
        RT_TRY(op_lerp(cmd, &a));
    }
    RT_TRY(tr_reference_refresh(r, cmd));
done:
    return err;
}
