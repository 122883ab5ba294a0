#include "src/op/open.h"

#include <stdlib.h>

#include "src/base/file.h"

enum rt_err op_dev_open(const struct op_device *d, struct rt_dev **out)
{
    enum rt_err err = RT_OK;
    struct rt_dev_desc desc = {.name = d->device, .kernels = op_kernels(), .profile = d->profile};
    char *cache = NULL;

    *out = NULL;
    RT_TRY(rt_clamp_parse(d->disable, d->clamp, &desc.clamp));
    RT_TRY(dir_cache(d->cache_dir, &cache));
    desc.cache_dir = cache;
    RT_TRY(rt_dev_open(&desc, out));
done:
    free(cache);
    return err;
}
