#include "src/op/embed.h"

enum rt_err op_embed(struct rt_cmd *cmd, const struct op_embed_args *a)
{
    enum rt_err err = RT_OK;
    RT_REQUIRE(a->x.buf && rt_buf_type(a->x.buf) == RT_F32, RT_E_SHAPE);
    RT_TRY(op_rows_gather(cmd, &(struct op_rows_gather_args){.x = a->w,
                                                             .ids = a->ids,
                                                             .y = a->x,
                                                             .n_table = a->n_vocab,
                                                             .n_rows = a->n_tokens,
                                                             .cols = a->cols,
                                                             .ldx = a->ldw,
                                                             .ldy = a->ldx,
                                                             .scale = a->scale,
                                                             .add = a->add}));
done:
    return err;
}

enum rt_err op_embed_backward(struct rt_cmd *cmd, const struct op_embed_backward_args *a)
{
    return op_rows_scatter_add(cmd, &(struct op_rows_scatter_args){.dy = a->dx,
                                                                   .index = a->index,
                                                                   .dx = a->dw,
                                                                   .n_table = a->n_vocab,
                                                                   .n_rows = a->n_tokens,
                                                                   .n_unique = a->n_unique,
                                                                   .cols = a->cols,
                                                                   .ldx = a->ldw,
                                                                   .ldy = a->ldx,
                                                                   .scale = a->scale});
}
