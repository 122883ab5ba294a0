#include "src/api/tune.h"

#include <stdlib.h>

#include "src/base/file.h"
#include "src/op/tune.h"

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
    struct rt_dev_desc desc = {.name = a->device, .kernels = op_kernels()};
    struct rt_dev *dev = NULL;
    char *cache = NULL;

    RT_TRY(rt_clamp_parse(a->disable, a->clamp, &desc.clamp));
    RT_TRY(dir_cache(a->cache_dir, &cache));
    desc.cache_dir = cache;
    RT_TRY(rt_dev_open(&desc, &dev));
    rt_dev_tuned_clear(dev);
    if (!a->reset)
        RT_TRY(op_tune(dev, OP_TUNE_SHAPES, OP_TUNE_SHAPE_COUNT, a->seconds, print_row,
                       (void *) (uintptr_t) a));
    rt_dev_tuned_keep(dev);
    if (!a->json)
        fprintf(a->out, "%s: %s\n", rt_dev_id(dev),
                a->reset ? "as if it had never been tuned" : "kept for later runs on this device");
done:
    free(cache);
    rt_dev_close(&dev);
    return err;
}
