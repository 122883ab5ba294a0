// What a device will be used as: a pure function of what it reports, testable with no device
// present.
#include "runtime/rt.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"

static const struct {
    const char *name;
    uint32_t bit;
} RUNGS[] = {
    {"storage16", RT_RUNG_STORAGE16},     {"fp16", RT_RUNG_FP16},
    {"subgroup", RT_RUNG_SUBGROUP},       {"subgroup_size", RT_RUNG_SUBGROUP_SIZE},
    {"integer_dot", RT_RUNG_INTEGER_DOT}, {"coopmat", RT_RUNG_COOPMAT},
    {"bf16_dot", RT_RUNG_BF16_DOT},       {"wide", RT_RUNG_WIDE},
    {"unified", RT_RUNG_UNIFIED},         {"push_descriptors", RT_RUNG_PUSH_DESCRIPTORS},
};

const char *rt_rung_name(uint32_t i, uint32_t *bit)
{
    *bit = i < COUNT_OF(RUNGS) ? RUNGS[i].bit : 0;
    return i < COUNT_OF(RUNGS) ? RUNGS[i].name : NULL;
}

static enum rt_err parse_rung(const char *s, size_t n, struct rt_clamp *out)
{
    for (size_t i = 0; i < COUNT_OF(RUNGS); i++)
        if (strlen(RUNGS[i].name) == n && memcmp(RUNGS[i].name, s, n) == 0) {
            out->disable |= RUNGS[i].bit;
            return RT_OK;
        }
    return rt_fail(
        RT_E_USAGE,
        "disable: unknown rung \"%.*s\"; known: storage16, fp16, subgroup, subgroup_size, "
        "integer_dot, coopmat, bf16_dot, wide, unified, push_descriptors",
        (int) n, s);
}

// "16K", "128", "1G" -> number; false when it is not one.
static bool parse_size(const char *s, size_t n, uint64_t *out)
{
    char *end;
    const unsigned long long v = strtoull(s, &end, 10);
    uint64_t unit = 1;
    if (end == s || *s == '-')
        return false;
    if (end < s + n) {
        const char *const units = "KMG", *u = strchr(units, *end);
        if (!u || !*u)
            return false;
        unit = (uint64_t) 1 << (10 * (u - units + 1));
        end++;
    }
    return end == s + n && !__builtin_mul_overflow(v, unit, out);
}

static enum rt_err parse_limit(const char *s, size_t n, struct rt_clamp *c)
{
    const char *eq = memchr(s, '=', n);
    const size_t key = eq ? (size_t) (eq - s) : n;
    uint64_t v = 0;

    if (!eq || !parse_size(eq + 1, n - key - 1, &v))
        return rt_fail(RT_E_USAGE, "clamp: expected KEY=NUMBER[K|M|G], found \"%.*s\"", (int) n, s);
    if (key == 6 && memcmp(s, "shared", 6) == 0)
        c->shared_bytes = (uint32_t) u64_min(v, UINT32_MAX);
    else if (key == 11 && memcmp(s, "invocations", 11) == 0)
        c->group_invocations = (uint32_t) u64_min(v, UINT32_MAX);
    else if (key == 5 && memcmp(s, "range", 5) == 0)
        c->range_bytes = v;
    else if (key == 5 && memcmp(s, "alloc", 5) == 0)
        c->alloc_bytes = v;
    else if (key == 6 && memcmp(s, "memory", 6) == 0)
        c->memory_bytes = v;
    else if (key == 9 && memcmp(s, "subgroups", 9) == 0)
        c->no_subgroups = v == 0;
    else
        return rt_fail(
            RT_E_USAGE,
            "clamp: unknown key \"%.*s\"; known: shared, invocations, range, alloc, memory, "
            "subgroups",
            (int) key, s);
    return RT_OK;
}

static enum rt_err each_item(const char *list,
                             enum rt_err (*fn)(const char *, size_t, struct rt_clamp *),
                             struct rt_clamp *out)
{
    enum rt_err err = RT_OK;
    while (list && *list && err == RT_OK) {
        const size_t n = strcspn(list, ",");
        err = fn(list, n, out);
        list += n + (list[n] == ',');
    }
    return err;
}

enum rt_err rt_clamp_parse(const char *disable, const char *clamp, struct rt_clamp *out)
{
    enum rt_err err = RT_OK;
    *out = (struct rt_clamp){0};
    RT_TRY(each_item(disable, parse_rung, out));
    RT_TRY(each_item(clamp, parse_limit, out));
done:
    return err;
}

static uint32_t lower32(uint32_t have, uint32_t clamp)
{
    return clamp ? u32_min(have, clamp) : have;
}
static uint64_t lower64(uint64_t have, uint64_t clamp)
{
    return clamp ? u64_min(have, clamp) : have;
}

static void clamp_caps(struct rt_caps *c, const struct rt_clamp *by)
{
    c->shared_bytes = lower32(c->shared_bytes, by->shared_bytes);
    c->group_invocations = lower32(c->group_invocations, by->group_invocations);
    c->range_bytes = lower64(c->range_bytes, by->range_bytes);
    c->alloc_bytes = lower64(c->alloc_bytes, by->alloc_bytes);
    c->memory_bytes = lower64(c->memory_bytes, by->memory_bytes);
    for (int i = 0; i < 3; i++)
        c->group_size[i] = u32_min(c->group_size[i], c->group_invocations);
    if (by->no_subgroups) {
        c->subgroup_size = 0;
        c->subgroup_arithmetic = c->subgroup_size_control = false;
    }
}

static uint32_t rungs_of(const struct rt_caps *c)
{
    uint32_t r = 0;
    r |= c->storage_16bit ? RT_RUNG_STORAGE16 : 0;
    r |= c->fp16 ? RT_RUNG_FP16 : 0;
    r |= c->subgroup_arithmetic ? RT_RUNG_SUBGROUP : 0;
    r |= c->subgroup_size_control ? RT_RUNG_SUBGROUP_SIZE : 0;
    r |= c->integer_dot ? RT_RUNG_INTEGER_DOT : 0;
    r |= c->cooperative_matrix ? RT_RUNG_COOPMAT : 0;
    r |= c->bf16_dot ? RT_RUNG_BF16_DOT : 0;
    r |= c->kind == RT_CPU && strcmp(c->api, "opencl") == 0 ? RT_RUNG_WIDE : 0;
    r |= c->unified_memory ? RT_RUNG_UNIFIED : 0;
    r |= c->push_descriptors ? RT_RUNG_PUSH_DESCRIPTORS : 0;
    return r;
}

enum rt_err rt_plan_make(const struct rt_caps *caps, const struct rt_clamp *clamp,
                         struct rt_plan *out)
{
    enum rt_err err = RT_OK;
    struct rt_plan p = {.caps = *caps};

    clamp_caps(&p.caps, clamp);
    if (p.caps.group_invocations < 128 || p.caps.group_size[0] < 128)
        RT_TRY(rt_fail(RT_E_UNSUPPORTED, "%s: expected groups of at least 128 work-items, found %u",
                       caps->name, u32_min(p.caps.group_invocations, p.caps.group_size[0])));
    if (p.caps.shared_bytes < 16384)
        RT_TRY(rt_fail(RT_E_UNSUPPORTED,
                       "%s: expected at least 16384 bytes of shared memory, found %u", caps->name,
                       p.caps.shared_bytes));
    if (p.caps.params_bytes < 128 || p.caps.range_bytes < (1u << 20) ||
        p.caps.alloc_bytes < (1u << 20))
        RT_TRY(rt_fail(RT_E_UNSUPPORTED,
                       "%s: expected 128 bytes of parameters and 1 MiB of binding range and "
                       "allocation, found %u, %llu, %llu",
                       caps->name, p.caps.params_bytes, (unsigned long long) p.caps.range_bytes,
                       (unsigned long long) p.caps.alloc_bytes));
    p.rungs = rungs_of(&p.caps) & ~clamp->disable;
    p.group = 64;
    p.arena_bytes = u64_min(p.caps.alloc_bytes, (uint64_t) 1 << 30) & ~(uint64_t) 255;
    p.range_bytes = p.caps.range_bytes & ~(uint64_t) 255;
    *out = p;
done:
    return err;
}
