#include "src/api/tune.h"

#include "src/op/tune.h"
#include "src/op/open.h"

static void print_row(void *user, const struct op_tune_row *r, bool winner)
{
    const struct api_tune_args *a = user;

    if (a->json)
        fprintf(a->out,
                "{\"storage\": \"%s\", \"variant\": \"%s\", \"tile\": %d, \"gflops\": %.2f, "
                "\"rough\": %s, \"winner\": %s}\n",
                rt_type_name(r->type), op_matmul_variant_name(r->variant), r->tile, r->gflops,
                r->rough ? "true" : "false", winner ? "true" : "false");
    else
        fprintf(a->out, "%-7s %-5s %-9s tile %d %9.1f GFLOP/s%s\n", winner ? "fastest" : "matmul",
                rt_type_name(r->type), op_matmul_variant_name(r->variant), r->tile, r->gflops,
                r->rough ? " (one run)" : "");
    fflush(a->out);
}

enum rt_err api_tune(const struct api_tune_args *a)
{
    enum rt_err err = RT_OK;
    struct rt_dev *dev = NULL;

    RT_TRY(op_dev_open(&(struct op_device){.device = a->device,
                                           .disable = a->disable,
                                           .clamp = a->clamp,
                                           .cache_dir = a->cache_dir},
                       &dev));
    rt_dev_tuned_clear(dev);
    if (!a->reset)
        RT_TRY(op_tune(dev, OP_TUNE_SHAPES, OP_TUNE_SHAPE_COUNT, a->seconds, print_row,
                       (void *) (uintptr_t) a));
    rt_dev_tuned_keep(dev);
    if (!a->json)
        fprintf(a->out, "%s: %s\n", rt_dev_id(dev),
                a->reset ? "as if it had never been tuned" : "kept for later runs on this device");
done:
    rt_dev_close(&dev);
    return err;
}
