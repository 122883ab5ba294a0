// Finding and opening devices by name.
#include "runtime/backend.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/base/str.h"

static const struct rt_backend *const BACKENDS[] = {&RTVK_BACKEND, &RTCL_BACKEND, &RTHOST_BACKEND};

// Place in the order of `auto`: lower is better.
static int rank(const struct rt_caps *c)
{
    const bool vulkan = strcmp(c->api, "vulkan") == 0, opencl = strcmp(c->api, "opencl") == 0;
    if (vulkan && c->kind == RT_GPU_DISCRETE)
        return 0;
    if (vulkan && c->kind == RT_GPU_INTEGRATED)
        return 1;
    if (opencl && (c->kind == RT_GPU_DISCRETE || c->kind == RT_GPU_INTEGRATED))
        return 2;
    if (opencl && c->kind == RT_CPU)
        return 3;
    if (vulkan && c->kind == RT_CPU)
        return 4;
    return vulkan || opencl ? 5 : 6;
}

static int by_rank(const void *a, const void *b)
{
    const struct rt_dev_info *x = a, *y = b;
    const int d = rank(&x->caps) - rank(&y->caps);
    return d ? d : strcmp(x->id, y->id);
}

enum rt_err rt_dev_list(struct rt_dev_info **out, uint32_t *count)
{
    enum rt_err err = RT_OK;
    struct rt_dev_info *all = NULL;
    uint32_t n = 0;

    *out = NULL;
    *count = 0;
    for (size_t i = 0; i < COUNT_OF(BACKENDS); i++) {
        struct rt_dev_info *some = NULL, *more;
        uint32_t k = 0;
        const enum rt_err e = BACKENDS[i]->list(&some, &k);
        if (e == RT_E_NOMEM)
            RT_TRY(e);
        if (e != RT_OK || k == 0)
            continue; // the backend said why
        more = realloc(all, (n + k) * sizeof(*all));
        if (!more) {
            free(some);
            RT_TRY(rt_fail(RT_E_NOMEM, "out of memory: list of devices"));
        }
        all = more;
        memcpy(all + n, some, k * sizeof(*all));
        n += k;
        free(some);
    }
    qsort(all, n, sizeof(*all), by_rank);
    *out = all;
    *count = n;
    all = NULL;
done:
    free(all);
    return err;
}

static bool holds_text(const char *text, const char *part, size_t n)
{
    for (; *text; text++) {
        size_t i = 0;
        while (i < n && text[i] &&
               tolower((unsigned char) text[i]) == tolower((unsigned char) part[i]))
            i++;
        if (i == n)
            return true;
    }
    return n == 0;
}

// Does "api:WHAT" mean this device? WHAT is a number, or alternatives of text.
static bool matches(const struct rt_dev_info *info, const char *name)
{
    const size_t api = strlen(info->caps.api);
    if (strcmp(name, info->id) == 0 || strcmp(name, info->caps.api) == 0)
        return true;
    if (strncmp(name, info->caps.api, api) != 0 || name[api] != ':')
        return false;
    const char *what = name + api + 1;
    if (*what && strspn(what, "0123456789") == strlen(what))
        return false; // a number that is not this one's
    for (;;) {
        const size_t n = strcspn(what, "|");
        if (n && (holds_text(info->caps.name, what, n) || holds_text(info->caps.driver, what, n)))
            return true;
        if (!what[n])
            return false;
        what += n + 1;
    }
}

static const struct rt_backend *backend_of(const struct rt_dev_info *info)
{
    for (size_t i = 0; i < COUNT_OF(BACKENDS); i++)
        if (strcmp(BACKENDS[i]->name, info->caps.api) == 0)
            return BACKENDS[i];
    return NULL;
}

static enum rt_err open_info(const struct rt_dev_info *info, const struct rt_dev_desc *desc,
                             struct rt_dev **out)
{
    const char *colon = strchr(info->id, ':');
    return backend_of(info)->open(colon ? (uint32_t) strtoul(colon + 1, NULL, 10) : 0, desc, out);
}

static enum rt_err fail_not_found(const char *name, const struct rt_dev_info *list, uint32_t n)
{
    struct str s = {0};
    enum rt_err err = RT_OK;
    for (uint32_t i = 0; i < n && err == RT_OK; i++)
        err = str_printf(&s, "%s%s (%s)", i ? ", " : "", list[i].id, list[i].caps.name);
    err = rt_fail(RT_E_NOT_FOUND, "device %s is not there; found: %s", name,
                  s.data ? s.data : "none");
    str_free(&s);
    return err;
}

enum rt_err rt_dev_open(const struct rt_dev_desc *desc, struct rt_dev **out)
{
    enum rt_err err = RT_OK;
    struct rt_dev_info *list = NULL;
    uint32_t n = 0;
    const char *name = desc->name ? desc->name : "auto";
    const bool any = strcmp(name, "auto") == 0;

    *out = NULL;
    RT_REQUIRE(desc->kernels, RT_E_ARG);
    if (strcmp(name, "host") == 0 || strcmp(name, "host:f64") == 0)
        return RTHOST_BACKEND.open(0, desc, out);
    for (size_t i = 0; i < COUNT_OF(BACKENDS); i++)
        if (BACKENDS[i]->off && strncmp(name, BACKENDS[i]->name, strlen(BACKENDS[i]->name)) == 0)
            RT_TRY(rt_fail(RT_E_UNSUPPORTED, "device %s: this program was built without %s (%s)",
                           name, BACKENDS[i]->name, BACKENDS[i]->off));
    RT_TRY(rt_dev_list(&list, &n));
    for (uint32_t i = 0; i < n; i++) {
        if (!any && !matches(&list[i], name))
            continue;
        if (any && strcmp(list[i].caps.api, "host") == 0)
            log_warn("auto: no Vulkan or OpenCL device can be used (is a driver installed?); the "
                     "host computes "
                     "in float64, which is slow");
        err = open_info(&list[i], desc, out);
        if (err == RT_OK || !any)
            goto done;
        log_warn("%s (%s) does not open (%s); trying the next device", list[i].id,
                 list[i].caps.name, rt_err_name(err));
    }
    err = fail_not_found(name, list, n);
done:
    free(list);
    return err;
}

void rt_dev_close(struct rt_dev **dev)
{
    if (*dev)
        (*dev)->backend->close(*dev);
    *dev = NULL;
}

enum rt_err rt_dev_init(struct rt_dev *dev, const struct rt_backend *backend, const char *id,
                        const struct rt_caps *caps, const struct rt_dev_desc *desc)
{
    enum rt_err err = RT_OK;
    dev->backend = backend;
    snprintf(dev->id, sizeof(dev->id), "%s", id);
    dev->kernels = desc->kernels;
    dev->clamp = desc->clamp;
    RT_TRY(rt_plan_make(caps, &desc->clamp, &dev->plan));
    if (desc->profile)
        RT_TRY(rt_profile_open(dev));
    if (desc->cache_dir)
        RT_TRY(str_dup(desc->cache_dir, &dev->cache_dir));
    RT_TRY(rt_tuned_load(dev));
done:
    return err;
}

void rt_dev_fini(struct rt_dev *dev)
{
    rt_profile_close(dev);
    free(dev->cache_dir);
    dev->cache_dir = NULL;
}

const struct rt_plan *rt_dev_plan(const struct rt_dev *dev)
{
    return &dev->plan;
}
const char *rt_dev_id(const struct rt_dev *dev)
{
    return dev->id;
}
bool rt_dev_is_f64(const struct rt_dev *dev)
{
    return dev->f64;
}
struct rt_stats rt_dev_stats(const struct rt_dev *dev)
{
    return dev->stats;
}
