// Profiling: each piece of work runs alone, and its time on the device is kept.
#include <stdlib.h>

#include "runtime/backend.h"
#include "src/base/file.h"

struct rt_profile {
    struct rt_profile_event *events;
    uint64_t n, cap;
    const char *phase;
    double opened; // host clock
};

enum { MOST_EVENTS = 1 << 22 };

enum rt_err rt_profile_open(struct rt_dev *dev)
{
    dev->profile = calloc(1, sizeof(*dev->profile));
    if (!dev->profile)
        return rt_fail(RT_E_NOMEM, "out of memory: a profile");
    dev->profile->phase = "other";
    dev->profile->opened = os_seconds();
    dev->profiling = true;
    return RT_OK;
}

void rt_profile_close(struct rt_dev *dev)
{
    if (dev->profile)
        free(dev->profile->events);
    free(dev->profile);
    dev->profile = NULL;
}

void rt_dev_phase(struct rt_dev *dev, const char *phase)
{
    if (dev->profile)
        dev->profile->phase = phase;
}

void rt_dev_profile_pause(struct rt_dev *dev, bool pause)
{
    dev->profiling = dev->profile && !pause;
}

const struct rt_profile_event *rt_dev_profile(const struct rt_dev *dev, uint64_t *n)
{
    *n = dev->profile ? dev->profile->n : 0;
    return dev->profile ? dev->profile->events : NULL;
}

static enum rt_err grow(struct rt_profile *p)
{
    const uint64_t cap = p->cap ? 2 * p->cap : 4096;
    struct rt_profile_event *more = realloc(p->events, cap * sizeof(*more));

    if (!more)
        return rt_fail(RT_E_NOMEM, "out of memory: %llu profiled kernels",
                       (unsigned long long) cap);
    p->events = more;
    p->cap = cap;
    return RT_OK;
}

enum rt_err rt_profile_begin(struct rt_cmd *cmd)
{
    cmd->dev->busy_s = 0.0;
    return cmd->dev->backend->cmd_wait(cmd);
}

enum rt_err rt_profile_end(struct rt_cmd *cmd, const char *name, double begin, double flops)
{
    enum rt_err err = RT_OK;
    struct rt_profile *p = cmd->dev->profile;

    RT_TRY(cmd->dev->backend->cmd_wait(cmd));
    const double host = os_seconds() - begin, seconds = cmd->dev->busy_s;
    if (p->n == MOST_EVENTS)
        goto done;
    if (p->n == p->cap)
        RT_TRY(grow(p));
    p->events[p->n++] = (struct rt_profile_event){.kernel = name,
                                                  .phase = p->phase,
                                                  .begin_s = begin - p->opened,
                                                  .seconds = seconds > 0.0 ? seconds : host,
                                                  .flops = flops};
done:
    return err;
}
