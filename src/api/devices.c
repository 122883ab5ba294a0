#include "src/api/devices.h"

#include <stdlib.h>

#include "runtime/rt.h"
#include "src/format/json.h"

static const char *kind_name(enum rt_dev_kind kind)
{
    static const char *const NAMES[] = {"discrete GPU", "integrated GPU", "CPU", "other"};
    return NAMES[kind];
}

static enum rt_err rungs_text(uint32_t rungs, struct str *out)
{
    enum rt_err err = RT_OK;
    const char *name;
    uint32_t bit;
    for (uint32_t i = 0; (name = rt_rung_name(i, &bit)) != NULL; i++)
        if (rungs & bit)
            RT_TRY(str_printf(out, " %s", name));
done:
    return err;
}

static enum rt_err as_text(const struct rt_dev_info *d, uint32_t rungs, struct str *out)
{
    enum rt_err err = RT_OK;
    const struct rt_caps *c = &d->caps;
    char mem[32], range[32], shared[32];

    RT_TRY(str_printf(out, "%s: %s, %s\n  %s %s, driver %s\n", d->id, c->name, kind_name(c->kind),
                      c->api, c->version, c->driver));
    RT_TRY(str_printf(out, "  memory %s, binding range %s, shared %s, groups of %u\n",
                      str_bytes(mem, (double) c->memory_bytes),
                      str_bytes(range, (double) c->range_bytes), str_bytes(shared, c->shared_bytes),
                      c->group_invocations));
    RT_TRY(str_puts(out, "  rungs:"));
    RT_TRY(rungs_text(rungs, out));
    RT_TRY(str_putc(out, '\n'));
done:
    return err;
}

static void as_json(const struct rt_dev_info *d, const char *rungs, struct fmt_jw *w)
{
    const struct rt_caps *c = &d->caps;
    const struct {
        const char *key, *text;
        uint64_t number;
    } rows[] = {
        {"id", d->id, 0},
        {"name", c->name, 0},
        {"kind", kind_name(c->kind), 0},
        {"api", c->api, 0},
        {"version", c->version, 0},
        {"driver", c->driver, 0},
        {"rungs", rungs[0] ? rungs + 1 : "", 0},
        {"memory_bytes", NULL, c->memory_bytes},
        {"range_bytes", NULL, c->range_bytes},
        {"alloc_bytes", NULL, c->alloc_bytes},
        {"shared_bytes", NULL, c->shared_bytes},
        {"group_invocations", NULL, c->group_invocations},
        {"subgroup_size", NULL, c->subgroup_size},
    };
    fmt_jw_object(w);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        fmt_jw_key(w, rows[i].key);
        if (rows[i].text)
            fmt_jw_str(w, rows[i].text);
        else
            fmt_jw_int(w, (int64_t) (rows[i].number > INT64_MAX ? INT64_MAX : rows[i].number));
    }
    fmt_jw_end(w);
}

enum rt_err api_devices(bool json, struct str *out)
{
    enum rt_err err = RT_OK;
    struct rt_dev_info *list = NULL;
    struct str rungs = {0};
    struct fmt_jw w = {.out = out, .indent = 2};
    uint32_t n = 0;

    RT_TRY(rt_dev_list(&list, &n));
    if (json)
        fmt_jw_array(&w);
    for (uint32_t i = 0; i < n; i++) {
        struct rt_plan plan;
        const bool usable = rt_plan_make(&list[i].caps, &(struct rt_clamp){0}, &plan) == RT_OK;
        str_clear(&rungs);
        RT_TRY(rungs_text(usable ? plan.rungs : 0, &rungs));
        if (json)
            as_json(&list[i], rungs.data ? rungs.data : "", &w);
        else
            RT_TRY(as_text(&list[i], usable ? plan.rungs : 0, out));
    }
    if (json) {
        fmt_jw_end(&w);
        RT_TRY(fmt_jw_done(&w));
        RT_TRY(str_putc(out, '\n'));
    }
done:
    free(list);
    str_free(&rungs);
    return err;
}
