#include "src/api/conform.h"

#include <math.h>

#include "src/op/conform.h"
#include "src/op/open.h"

struct printer {
    const struct api_conform_args *args;
    uint32_t rows;
};

static void print_row(void *user, const struct op_conform_row *r)
{
    struct printer *p = user;
    p->rows++;
    if (p->args->json)
        fprintf(p->args->out,
                "{\"op\": \"%s\", \"variant\": \"%s\", \"storage\": \"%s\", \"output\": \"%s\", "
                "\"error\": %s%.3g%s, "
                "\"bound\": %.3g, \"ok\": %s}\n",
                r->op, r->variant, rt_type_name(r->type), r->output, isfinite(r->error) ? "" : "\"",
                r->error, isfinite(r->error) ? "" : "\"", r->bound, r->ok ? "true" : "false");
    else
        fprintf(p->args->out, "%-10s %-9s %-5s %-8s %9.2e %9.2e  %s\n", r->op, r->variant,
                rt_type_name(r->type), r->output, r->error, r->bound, r->ok ? "ok" : "FAIL");
    fflush(p->args->out);
}

enum rt_err api_conform(const struct api_conform_args *a, uint32_t *failed)
{
    enum rt_err err = RT_OK;
    struct printer p = {.args = a};
    struct rt_dev *dev = NULL;

    *failed = 0;
    RT_TRY(op_dev_open(&(struct op_device){.device = a->device,
                                           .disable = a->disable,
                                           .clamp = a->clamp,
                                           .cache_dir = a->cache_dir},
                       &dev));
    rt_dev_tuned_clear(dev); // for this run: what was dropped is tried too
    if (!a->json)
        fprintf(a->out, "%s: %s, %s\n%-10s %-9s %-5s %-8s %9s %9s\n", rt_dev_id(dev),
                rt_dev_plan(dev)->caps.name, rt_dev_plan(dev)->caps.driver, "op", "variant", "type",
                "output", "error", "bound");
    RT_TRY(op_conform(dev, print_row, &p, failed));
    if (!a->json)
        fprintf(a->out, "%u rows, %u failed\n", p.rows, *failed);
done:
    rt_dev_close(&dev);
    return err;
}
