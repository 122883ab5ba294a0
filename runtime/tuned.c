// What `anydpo tune` found fastest on a device: numbers by name, kept in the disk cache.
#include <stdio.h>
#include <string.h>

#include "runtime/backend.h"
#include "src/base/arith.h"
#include "src/base/str.h"

static uint64_t key_of(const struct rt_dev *dev)
{
    const struct rt_caps *c = &dev->plan.caps;
    uint64_t h = rt_hash(0, c->api, strlen(c->api));
    h = rt_hash(h, c->name, strlen(c->name));
    return rt_hash(h, c->driver, strlen(c->driver));
}

enum rt_err rt_tuned_load(struct rt_dev *dev)
{
    enum rt_err err = RT_OK;
    struct str s = {0};
    const size_t one = sizeof(dev->tuned[0]);

    RT_TRY(rt_cache_load(dev->cache_dir, "tuned", key_of(dev), &s));
    if (s.len == 0 || s.len % one != 0 || s.len / one > COUNT_OF(dev->tuned))
        goto done; // nothing was tuned, or by another version of the program
    memcpy(dev->tuned, s.data, s.len);
    dev->n_tuned = (uint32_t) (s.len / one);
    for (uint32_t i = 0; i < dev->n_tuned; i++)
        dev->tuned[i].name[sizeof(dev->tuned[i].name) - 1] = 0;
done:
    str_free(&s);
    return err;
}

int32_t rt_dev_tuned(const struct rt_dev *dev, const char *name, int32_t otherwise)
{
    for (uint32_t i = 0; i < dev->n_tuned; i++)
        if (strcmp(dev->tuned[i].name, name) == 0)
            return dev->tuned[i].value;
    return otherwise;
}

enum rt_err rt_dev_tune(struct rt_dev *dev, const char *name, int32_t value)
{
    enum rt_err err = RT_OK;
    uint32_t i = 0;

    RT_REQUIRE(strlen(name) < sizeof(dev->tuned[0].name), RT_E_ARG);
    while (i < dev->n_tuned && strcmp(dev->tuned[i].name, name) != 0)
        i++;
    RT_REQUIRE(i < COUNT_OF(dev->tuned), RT_E_ARG);
    dev->n_tuned = u32_max(dev->n_tuned, i + 1);
    memset(&dev->tuned[i], 0, sizeof(dev->tuned[i]));
    snprintf(dev->tuned[i].name, sizeof(dev->tuned[i].name), "%s", name);
    dev->tuned[i].value = value;
done:
    return err;
}

void rt_dev_tuned_clear(struct rt_dev *dev)
{
    dev->n_tuned = 0;
}

void rt_dev_tuned_keep(const struct rt_dev *dev)
{
    rt_cache_store(dev->cache_dir, "tuned", key_of(dev), dev->tuned,
                   dev->n_tuned * sizeof(dev->tuned[0]));
}
