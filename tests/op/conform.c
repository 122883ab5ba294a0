// The conformance table itself: every row of every device under test is within its bound.
#include "src/op/conform.h"

#include <stdio.h>

#include "tests/t.h"

struct counts {
    uint32_t rows;
    char first[160];
};

static void on_row(void *user, const struct op_conform_row *r)
{
    struct counts *c = user;
    c->rows++;
    if (!r->ok && !c->first[0])
        snprintf(c->first, sizeof(c->first), "%s %s %s %s: error %.3g, bound %.3g", r->op,
                 r->variant, rt_type_name(r->type), r->output, r->error, r->bound);
}

static void body(struct t *t)
{
    struct counts c = {0};
    uint32_t failed;
    T_OK(op_conform(t_dev(t), on_row, &c, &failed));
    if (failed || c.rows < 90)
        fail_msg("%s: %u rows, %u failed; first: %s", t_name(t), c.rows, failed, c.first);
}

int main(void)
{
    return t_each_device(body);
}
