#include "src/train/work.h"

// Elements of a weight that a token meets: of experts, of those that it goes to.
static double elements_of(const struct md_arch *a, const struct md_param *p)
{
    const double share = md_weight_is_expert(p->weight) ? (double) a->top_k / a->experts : 1.0;
    return share * p->rows * p->cols;
}

void tr_work_make(const struct md_model *m, double forwards, struct tr_work *out)
{
    const struct md_params *p = &m->params;
    const struct md_arch *a = &m->arch;

    *out =
        (struct tr_work){.head = (double) a->vocab * a->hidden,
                         .products = forwards + (md_adapter_any(&m->adapter) ? 1.0 : 2.0),
                         .attention = (4.0 * forwards + 8.0) * a->head_dim * a->heads * a->layers};
    for (uint32_t i = 0; i < p->n; i++)
        if (p->all[i].linear || md_weight_is_routed(p->all[i].weight))
            out->body += elements_of(a, &p->all[i]);
    for (int i = 0; i < m->graph.n_nodes; i++) {
        const struct md_node *n = &m->graph.nodes[i];
        const struct md_param *q = n->dropped && n->weight != MD_WEIGHT_COUNT
                                       ? md_params_get(p, n->weight, n->layer)
                                       : NULL;
        if (q && q->rank == 2)
            out->again += elements_of(a, q) * m->graph.tensors[n->out].cols / q->rows;
    }
}

// Pairs of a query and a key that it sees, in a row prompt | chosen | rejected.
static double visible(const struct ds_set *set, uint32_t pair)
{
    const struct ds_sequence c = ds_sequence_of(set, pair, true);
    const struct ds_sequence r = ds_sequence_of(set, pair, false);
    const double p = c.n_prompt, x = c.n_completion, y = r.n_completion;
    return p * (p + 1.0) / 2.0 + x * (p + (x + 1.0) / 2.0) + y * (p + (y + 1.0) / 2.0);
}

double tr_work_flops(const struct tr_work *w, const struct ds_set *set, uint32_t pair)
{
    const struct ds_pack_size s = ds_pack_measure(set, pair);
    return 2.0 * w->products * (w->body * s.tokens + w->head * s.rows) +
           w->attention * visible(set, pair);
}
