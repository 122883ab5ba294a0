// The plan over recorded devices: what each will be used as, what clamps do to it, what is refused.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/rt.h"
#include "src/base/arith.h"

#define KIB(n) ((uint64_t) (n) << 10)
#define MIB(n) ((uint64_t) (n) << 20)
#define GIB(n) ((uint64_t) (n) << 30)
#define SIZE3(n, z)                                                                                \
    {                                                                                              \
        (n), (n), (z)                                                                              \
    }
#define COUNT3                                                                                     \
    {                                                                                              \
        65535, 65535, 65535                                                                        \
    }

// As the drivers report them (Mesa 22.3 and 25, chromium 156, vulkan.gpuinfo.org for the GPUs).
static const struct rt_caps LAVAPIPE = {.name = "llvmpipe",
                                        .api = "vulkan",
                                        .version = "1.3.230",
                                        .kind = RT_CPU,
                                        .group_invocations = 1024,
                                        .group_size = SIZE3(1024, 1024),
                                        .group_count = COUNT3,
                                        .shared_bytes = KIB(32),
                                        .range_bytes = MIB(128),
                                        .alloc_bytes = GIB(2),
                                        .memory_bytes = GIB(2),
                                        .offset_align_bytes = 16,
                                        .params_bytes = 128,
                                        .subgroup_size = 8,
                                        .subgroup_arithmetic = true,
                                        .subgroup_size_control = true,
                                        .storage_16bit = true,
                                        .fp16 = true,
                                        .integer_dot = true,
                                        .unified_memory = true,
                                        .timestamps = true,
                                        .push_descriptors = true};
static const struct rt_caps SWIFTSHADER = {.name = "SwiftShader",
                                           .api = "vulkan",
                                           .version = "1.3.0",
                                           .kind = RT_CPU,
                                           .group_invocations = 256,
                                           .group_size = SIZE3(256, 64),
                                           .group_count = COUNT3,
                                           .shared_bytes = KIB(32),
                                           .range_bytes = GIB(1),
                                           .alloc_bytes = GIB(1),
                                           .memory_bytes = GIB(2),
                                           .offset_align_bytes = 256,
                                           .params_bytes = 128,
                                           .subgroup_size = 4,
                                           .subgroup_arithmetic = true,
                                           .unified_memory = true,
                                           .timestamps = true};
static const struct rt_caps V3D = {.name = "V3D 4.2",
                                   .api = "vulkan",
                                   .version = "1.2.255",
                                   .kind = RT_GPU_INTEGRATED,
                                   .group_invocations = 256,
                                   .group_size = SIZE3(256, 256),
                                   .group_count = COUNT3,
                                   .shared_bytes = KIB(16),
                                   .range_bytes = GIB(1),
                                   .alloc_bytes = GIB(1),
                                   .memory_bytes = GIB(2),
                                   .offset_align_bytes = 32,
                                   .params_bytes = 128,
                                   .subgroup_size = 16,
                                   .unified_memory = true,
                                   .timestamps = true};
static const struct rt_caps ADRENO = {.name = "Adreno 740",
                                      .api = "vulkan",
                                      .version = "1.3.128",
                                      .kind = RT_GPU_INTEGRATED,
                                      .group_invocations = 1024,
                                      .group_size = SIZE3(1024, 64),
                                      .group_count = COUNT3,
                                      .shared_bytes = KIB(32),
                                      .range_bytes = MIB(128),
                                      .alloc_bytes = GIB(1),
                                      .memory_bytes = GIB(8),
                                      .offset_align_bytes = 64,
                                      .params_bytes = 256,
                                      .subgroup_size = 64,
                                      .subgroup_arithmetic = true,
                                      .subgroup_size_control = true,
                                      .storage_16bit = true,
                                      .fp16 = true,
                                      .integer_dot = true,
                                      .unified_memory = true,
                                      .timestamps = true};
static const struct rt_caps NVIDIA = {.name = "NVIDIA GeForce RTX 3060",
                                      .api = "vulkan",
                                      .version = "1.3.277",
                                      .kind = RT_GPU_DISCRETE,
                                      .group_invocations = 1024,
                                      .group_size = SIZE3(1024, 64),
                                      .group_count = {INT32_MAX, 65535, 65535},
                                      .shared_bytes = KIB(48),
                                      .range_bytes = UINT32_MAX,
                                      .alloc_bytes = 0xffe00000u,
                                      .memory_bytes = GIB(12),
                                      .offset_align_bytes = 16,
                                      .params_bytes = 256,
                                      .subgroup_size = 32,
                                      .subgroup_arithmetic = true,
                                      .subgroup_size_control = true,
                                      .storage_16bit = true,
                                      .fp16 = true,
                                      .integer_dot = true,
                                      .cooperative_matrix = true,
                                      .timestamps = true,
                                      .push_descriptors = true};
static const struct rt_caps POCL = {.name = "pthread",
                                    .api = "opencl",
                                    .version = "1.2",
                                    .kind = RT_CPU,
                                    .group_invocations = 4096,
                                    .group_size = SIZE3(4096, 4096),
                                    .group_count = {UINT32_MAX, UINT32_MAX, UINT32_MAX},
                                    .shared_bytes = MIB(1),
                                    .range_bytes = GIB(2),
                                    .alloc_bytes = GIB(2),
                                    .memory_bytes = GIB(21),
                                    .offset_align_bytes = 128,
                                    .params_bytes = 1024,
                                    .unified_memory = true,
                                    .timestamps = true};

enum {
    ALL_VK = RT_RUNG_STORAGE16 | RT_RUNG_FP16 | RT_RUNG_SUBGROUP | RT_RUNG_SUBGROUP_SIZE |
             RT_RUNG_INTEGER_DOT,
};

static const struct {
    const struct rt_caps *caps;
    uint32_t rungs;
    uint64_t arena_bytes, range_bytes;
} DEVICES[] = {
    {&LAVAPIPE, ALL_VK | RT_RUNG_UNIFIED | RT_RUNG_PUSH_DESCRIPTORS, GIB(1), MIB(128)},
    {&SWIFTSHADER, RT_RUNG_SUBGROUP | RT_RUNG_UNIFIED, GIB(1), GIB(1)},
    {&V3D, RT_RUNG_UNIFIED, GIB(1), GIB(1)},
    {&ADRENO, ALL_VK | RT_RUNG_UNIFIED, GIB(1), MIB(128)},
    {&NVIDIA, ALL_VK | RT_RUNG_COOPMAT | RT_RUNG_PUSH_DESCRIPTORS, GIB(1), 0xffffff00u},
    {&POCL, RT_RUNG_WIDE | RT_RUNG_UNIFIED, GIB(1), GIB(2)},
};

static char g_line[512]; // the last one logged

static void sink(void *user, enum log_level level, const char *line)
{
    (void) user;
    (void) level;
    snprintf(g_line, sizeof(g_line), "%s", line);
}

static void expect_line(const char *part)
{
    if (!strstr(g_line, part))
        fail_msg("expected \"%s\" in \"%s\"", part, g_line);
}

static void recorded_devices(void **state)
{
    const struct rt_clamp none = {0};
    (void) state;
    for (size_t i = 0; i < COUNT_OF(DEVICES); i++) {
        struct rt_plan p;
        assert_int_equal(rt_plan_make(DEVICES[i].caps, &none, &p), RT_OK);
        if (p.rungs != DEVICES[i].rungs || p.arena_bytes != DEVICES[i].arena_bytes ||
            p.range_bytes != DEVICES[i].range_bytes || p.group != 64)
            fail_msg("%s: rungs 0x%x, arenas %llu, range %llu, group %u", DEVICES[i].caps->name,
                     p.rungs, (unsigned long long) p.arena_bytes,
                     (unsigned long long) p.range_bytes, p.group);
        assert_memory_equal(&p.caps, DEVICES[i].caps, sizeof(p.caps)); // nothing was taken away
    }
}

// One step under each floor, made from a device that is above all of them.
static void below_the_floor(void **state)
{
    const struct rt_clamp none = {0};
    struct {
        struct rt_caps caps;
        const char *says;
    } rows[] = {
        {V3D, "found 127"},
        {V3D, "found 64"},
        {V3D, "found 16383"},
        {V3D, "found 127, "},
        {V3D, "found 128, 1048575, "},
        {V3D, ", 1048575"},
    };
    struct rt_plan p;

    (void) state;
    rows[0].caps.group_invocations = 127;
    rows[1].caps.group_size[0] = 64;
    rows[2].caps.shared_bytes = 16383;
    rows[3].caps.params_bytes = 127;
    rows[4].caps.range_bytes = MIB(1) - 1;
    rows[5].caps.alloc_bytes = MIB(1) - 1;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (rt_plan_make(&rows[i].caps, &none, &p) != RT_E_UNSUPPORTED)
            fail_msg("row %zu was not refused", i);
        expect_line(rows[i].says);
        expect_line("V3D 4.2");
    }
}

static void plan_with(const char *disable, const char *clamp, struct rt_plan *out)
{
    struct rt_clamp c;
    assert_int_equal(rt_clamp_parse(disable, clamp, &c), RT_OK);
    assert_int_equal(rt_plan_make(&NVIDIA, &c, out), RT_OK);
}

static void clamps(void **state)
{
    struct rt_plan p;
    (void) state;
    plan_with(NULL, "shared=16K,invocations=128,range=64M,alloc=256M,memory=2G,subgroups=0", &p);
    assert_int_equal(p.caps.shared_bytes, KIB(16));
    assert_int_equal(p.caps.group_invocations, 128);
    assert_int_equal(p.caps.group_size[0], 128);
    assert_int_equal(p.caps.group_size[2], 64); // was lower already
    assert_int_equal(p.range_bytes, MIB(64));
    assert_int_equal(p.arena_bytes, MIB(256));
    assert_int_equal(p.caps.memory_bytes, GIB(2));
    assert_int_equal(p.caps.subgroup_size, 0);
    assert_int_equal(p.rungs & (RT_RUNG_SUBGROUP | RT_RUNG_SUBGROUP_SIZE), 0);
    assert_int_equal(p.rungs & RT_RUNG_FP16, RT_RUNG_FP16); // has nothing to do with subgroups

    plan_with(NULL, "shared=1M,range=100000000", &p);
    assert_int_equal(p.caps.shared_bytes, KIB(48)); // a clamp never raises
    assert_int_equal(p.range_bytes, 100000000 / 256 * 256);
    plan_with(NULL, "subgroups=1", &p);
    assert_int_equal(p.caps.subgroup_size, 32);

    plan_with("fp16,coopmat,push_descriptors", NULL, &p);
    assert_int_equal(p.rungs, ALL_VK & ~RT_RUNG_FP16);
    plan_with("storage16,fp16,subgroup,subgroup_size,integer_dot,coopmat,bf16_dot,wide,unified,"
              "push_descriptors",
              "", &p);
    assert_int_equal(p.rungs, 0);
}

static void clamped_below_the_floor(void **state)
{
    static const char *const CLAMPS[] = {"invocations=64", "shared=8K", "range=512K", "alloc=1"};
    struct rt_clamp c;
    struct rt_plan p;
    (void) state;
    for (size_t i = 0; i < COUNT_OF(CLAMPS); i++) {
        assert_int_equal(rt_clamp_parse(NULL, CLAMPS[i], &c), RT_OK);
        assert_int_equal(rt_plan_make(&NVIDIA, &c, &p), RT_E_UNSUPPORTED);
    }
}

static void refused_words(void **state)
{
    static const struct {
        const char *disable, *clamp, *says;
    } ROWS[] = {
        {"fp17", NULL, "unknown rung \"fp17\""},
        {"fp16,", NULL, NULL}, // a comma at the end is fine
        {"fp16,,coopmat", NULL, "unknown rung \"\""},
        {"FP16", NULL, "storage16, fp16, subgroup"}, // and the known ones are listed
        {"fp1", NULL, "unknown rung \"fp1\""},
        {NULL, "shared", "found \"shared\""},
        {NULL, "shared=", "found \"shared=\""},
        {NULL, "shared=16Q", "found \"shared=16Q\""},
        {NULL, "shared=16KB", "found \"shared=16KB\""},
        {NULL, "shared=-1", "found \"shared=-1\""},
        {NULL, "shared=16K,ranges=1", "unknown key \"ranges\""},
        {NULL, "=5", "unknown key \"\""},
        {NULL, "memory=99999999999999999G", "KEY=NUMBER"}, // does not fit
        {NULL, "range=,alloc=5", "found \"range=\""},
    };
    (void) state;
    for (size_t i = 0; i < COUNT_OF(ROWS); i++) {
        struct rt_clamp c;
        const enum rt_err got = rt_clamp_parse(ROWS[i].disable, ROWS[i].clamp, &c);
        if (got != (ROWS[i].says ? RT_E_USAGE : RT_OK))
            fail_msg("row %zu: %s", i, rt_err_name(got));
        if (ROWS[i].says)
            expect_line(ROWS[i].says);
    }
}

static void parses_numbers(void **state)
{
    struct rt_clamp c;
    (void) state;
    assert_int_equal(rt_clamp_parse(NULL, NULL, &c), RT_OK);
    assert_memory_equal(&c, &(struct rt_clamp){0}, sizeof(c));
    assert_int_equal(rt_clamp_parse("", "memory=3,alloc=3K,range=3M,shared=9G", &c), RT_OK);
    assert_int_equal(c.memory_bytes, 3);
    assert_int_equal(c.alloc_bytes, KIB(3));
    assert_int_equal(c.range_bytes, MIB(3));
    assert_int_equal(c.shared_bytes, UINT32_MAX); // as much as the field holds
    assert_false(c.no_subgroups);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_devices), cmocka_unit_test(below_the_floor),
        cmocka_unit_test(clamps),           cmocka_unit_test(clamped_below_the_floor),
        cmocka_unit_test(refused_words),    cmocka_unit_test(parses_numbers),
    };
    log_set_sink(sink, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
