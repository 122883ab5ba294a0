// Names of devices, the order of `auto`, and a machine that has neither Vulkan nor OpenCL.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/op/op.h"
#include "tests/t.h"

static char g_lines[4096]; // of the log, all levels

static void sink(void *user, enum log_level level, const char *line)
{
    const size_t n = strlen(g_lines);
    (void) user;
    (void) level;
    snprintf(g_lines + n, sizeof(g_lines) - n, "%s\n", line);
}

static enum rt_err open_name(const char *name, struct rt_dev **out)
{
    g_lines[0] = 0;
    return rt_dev_open(&(struct rt_dev_desc){.name = name, .kernels = op_kernels()}, out);
}

static void unknown(const char *name)
{
    struct rt_dev *dev = NULL;
    const enum rt_err err = open_name(name, &dev);
    assert_null(dev);
    if (err == RT_E_UNSUPPORTED && strstr(g_lines, "built without"))
        return; // its backend is switched off
    assert_int_equal(err, RT_E_NOT_FOUND);
    assert_non_null(strstr(g_lines, name));
    assert_non_null(strstr(g_lines, "host (float64 reference)")); // says what is there
}

// Place in rt.h's order.
static int place(const struct rt_caps *c)
{
    const bool gpu = c->kind == RT_GPU_DISCRETE || c->kind == RT_GPU_INTEGRATED;
    if (strcmp(c->api, "vulkan") == 0)
        return gpu ? (int) c->kind : c->kind == RT_CPU ? 5 : 6;
    if (strcmp(c->api, "opencl") == 0)
        return gpu ? 3 : c->kind == RT_CPU ? 4 : 6;
    return 7;
}

static void ordered(void **state)
{
    struct rt_dev_info *list;
    uint32_t n;
    (void) state;
    T_OK(rt_dev_list(&list, &n));
    assert_true(n >= 1);
    assert_string_equal(list[n - 1].id, "host");
    for (uint32_t i = 1; i < n; i++)
        assert_true(place(&list[i - 1].caps) <= place(&list[i].caps));
    free(list);
}

static void named(void **state)
{
    struct rt_dev_info *list;
    struct rt_dev *dev;
    char name[300];
    uint32_t n;

    (void) state;
    T_OK(rt_dev_list(&list, &n));
    for (uint32_t i = 0; i + 1 < n;
         i++) { // by id, by part of its name in capitals, behind an alternative
        T_OK(open_name(list[i].id, &dev));
        assert_string_equal(rt_dev_id(dev), list[i].id);
        rt_dev_close(&dev);
        snprintf(name, sizeof(name), "%s:nothing like it|%.12s", list[i].caps.api,
                 list[i].caps.name);
        for (char *p = strchr(name, '|'); *p; p++)
            *p = *p >= 'a' && *p <= 'z' ? (char) (*p - 32) : *p;
        T_OK(open_name(name, &dev));
        assert_int_equal(strncmp(rt_dev_id(dev), list[i].caps.api, strlen(list[i].caps.api)), 0);
        rt_dev_close(&dev);
    }
    T_OK(open_name("auto", &dev));
    assert_string_equal(rt_dev_id(dev), list[0].id);
    rt_dev_close(&dev);
    T_OK(open_name(NULL, &dev));
    rt_dev_close(&dev);
    T_OK(open_name("host:f64", &dev));
    assert_true(rt_dev_is_f64(dev));
    rt_dev_close(&dev);
    free(list);
    unknown("vulkan:99");
    unknown("opencl:99");
    unknown("opencl:");
    unknown("vulkan:no such card");
    unknown("cuda");
    unknown("");
}

static void neither_api(void **state)
{
    struct rt_dev_info *list;
    struct rt_dev *dev;
    uint32_t n;

    (void) state;
    T_OK(rt_dev_list(&list, &n));
    assert_int_equal(n, 1);
    assert_string_equal(list[0].id, "host");
    free(list);
    T_OK(open_name("auto", &dev));
    assert_string_equal(rt_dev_id(dev), "host");
    assert_non_null(strstr(g_lines, "no Vulkan or OpenCL device"));
    rt_dev_close(&dev);
    unknown("vulkan");
    unknown("opencl:0");
}

// Loaders read these variables once, so the bare machine is a process of its own.
static int bare_machine(void)
{
    static const struct CMUnitTest tests[] = {cmocka_unit_test(neither_api)};
    static const char *const NAMES[] = {"OCL_ICD_VENDORS", "OCL_ICD_FILENAMES", "VK_ICD_FILENAMES",
                                        "VK_DRIVER_FILES"};
    for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++)
        setenv(NAMES[i], "/nonexistent", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {cmocka_unit_test(ordered), cmocka_unit_test(named)};
    int status = 1;
    const pid_t child = fork();

    log_set_sink(sink, NULL);
    if (child == 0)
        return bare_machine();
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
        status = 1;
    return cmocka_run_group_tests(tests, NULL, NULL) + status;
}
