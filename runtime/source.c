// The text that a kernel is compiled from: embedded files, includes put in place, defines in front.
#include "runtime/backend.h"

#include <string.h>

#include "shaders/sources.h"
#include "src/base/str.h"

static const char *find(const char *file, size_t n)
{
    for (const struct shader_source *s = SHADER_SOURCES; s->name; s++)
        if (strlen(s->name) == n && memcmp(s->name, file, n) == 0)
            return s->text;
    return NULL;
}

static enum rt_err expand(const char *file, size_t n, int depth, struct str *out)
{
    static const char INCLUDE[] = "#include \"";
    enum rt_err err = RT_OK;
    const char *text = find(file, n);

    if (!text || depth > 4)
        RT_TRY(rt_fail(RT_E_NOT_FOUND, "kernel source %.*s: no such file", (int) n, file));
    while (*text) {
        const char *line_end = strchr(text, '\n');
        const size_t len = line_end ? (size_t) (line_end - text) + 1 : strlen(text);
        if (strncmp(text, INCLUDE, sizeof(INCLUDE) - 1) == 0) {
            const char *name = text + sizeof(INCLUDE) - 1;
            RT_TRY(expand(name, strcspn(name, "\""), depth + 1, out));
        } else {
            RT_TRY(str_append(out, text, len));
        }
        text += len;
    }
done:
    return err;
}

enum rt_err rt_source(const char *file, struct str *out)
{
    return expand(file, strlen(file), 0, out);
}

enum rt_err rt_kernel_text(const struct rt_work *work, bool vulkan, struct str *out)
{
    static const char *const TYPE[RT_TYPE_COUNT] = {"F32", "F16", "BF16", "U32", "F64"};
    enum rt_err err = RT_OK;
    const struct rt_kernel *k = work->kernel;
    const char *file = k->source ? k->source : vulkan ? k->vulkan_only : k->opencl_only;

    RT_REQUIRE(file, RT_E_UNSUPPORTED);
    if (vulkan)
        RT_TRY(str_puts(out, "#version 450\n"));
    RT_TRY(str_printf(out, "#define GROUP %u\n#define GROUP_Y_SIZE %u\n", work->group[0],
                      work->group[1]));
    for (uint32_t i = 0; i < k->n_bufs; i++)
        if (k->bufs[i].elem == RT_ELEM_elem)
            RT_TRY(str_printf(out, "#define TYPE_%s %s\n", k->bufs[i].name,
                              TYPE[rt_buf_type(work->bufs[i].buf)]));
    for (uint32_t i = 0; i < RT_MAX_TUNES && work->tune[i].name; i++)
        RT_TRY(str_printf(out, "#define %s %d\n", work->tune[i].name, (int) work->tune[i].value));
    RT_TRY(rt_source(file, out));
done:
    return err;
}

uint64_t rt_hash(uint64_t seed, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    uint64_t h = seed ? seed : 14695981039346656037u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 1099511628211u;
    return h;
}

uint64_t rt_work_key(const struct rt_work *work)
{
    const struct rt_kernel *k = work->kernel;
    uint64_t h = rt_hash(0, k->name, strlen(k->name));
    h = rt_hash(h, work->group, sizeof(work->group));
    for (uint32_t i = 0; i < k->n_bufs; i++) {
        const uint32_t type =
            k->bufs[i].elem == RT_ELEM_elem ? (uint32_t) rt_buf_type(work->bufs[i].buf) : 99u;
        h = rt_hash(h, &type, sizeof(type));
    }
    for (uint32_t i = 0; i < RT_MAX_TUNES && work->tune[i].name; i++) {
        h = rt_hash(h, work->tune[i].name, strlen(work->tune[i].name));
        h = rt_hash(h, &work->tune[i].value, sizeof(work->tune[i].value));
    }
    return h;
}
