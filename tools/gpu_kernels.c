// tools/gpu_kernels.c -- the text of every kernel as a GPU would get it, for compilers that need no
// GPU (tools/gpu_report). usage: gpu_kernels FOLDER
//
// GPUs are made up whose commands compute nothing: vulkan, opencl, and opencl-few with few
// registers a lane. What the ops dispatch on one is written to FOLDER/GPU/NAME.comp or .cl, each
// distinct text once. A line of FOLDER/GPU/list names it: file, kernel, lanes, types of buffers,
// defines; separated by tabs. What ops are run with: the cases of `conform`, the head sizes,
// windows and softcaps of the families, products of few, some and many rows by every tile; forms
// that FORMS lists; and kernels that none of these reaches, as they are by default.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/backend.h"
#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/base/str.h"
#include "src/op/attention.h"
#include "src/op/conform.h"
#include "src/op/matmul_kernels.h"

enum { MAX_TEXTS = 4096 };

// A device that writes down what it is asked to run.
struct recorder {
    struct rt_backend backend; // first: the device's pointer to it finds the rest
    const char *folder;
    bool vulkan;
    struct str list;
    uint64_t keys[MAX_TEXTS];
    size_t n;
};

static const char *const TYPE[RT_TYPE_COUNT] = {"f32", "f16", "bf16", "u32", "f64"};

// What a kernel is compiled with beyond what the ops are run with here; values 0 .. most. Some only
// where a buffer is f32.
static const struct form {
    const char *kernel, *tune; // kernel: the beginning of its name
    int32_t most;
    const char *f32;
} FORMS[] = {{"norm", "CENTER", 1, NULL},      {"norm", "BIAS", 1, NULL},
             {"norm", "ADD", 1, "y"},          {"act", "ACT", 2, NULL},
             {"logprob_grad", "CAP", 2, NULL}, {"logprob_cap", "CAP", 2, NULL},
             {"rows_gather", "ADD", 1, "y"},   {"dora_scale", "ADD", 1, "y"},
             {"dora_scale", "BIAS", 1, NULL},  {"rope", "ODD", 1, NULL}};

static enum rt_err describe(struct recorder *r, const struct rt_work *w, const char *file)
{
    enum rt_err err = RT_OK;
    RT_TRY(str_printf(&r->list, "%s\t%s\t%u\t", file, w->kernel->name, w->group[0] * w->group[1]));
    for (uint32_t i = 0; i < w->kernel->n_bufs; i++)
        if (w->kernel->bufs[i].elem == RT_ELEM_elem)
            RT_TRY(str_printf(&r->list, "%s=%s ", w->kernel->bufs[i].name,
                              TYPE[rt_buf_type(w->bufs[i].buf)]));
    RT_TRY(str_puts(&r->list, "\t"));
    for (uint32_t i = 0; i < RT_MAX_TUNES && w->tune[i].name; i++)
        RT_TRY(str_printf(&r->list, "%s=%d ", w->tune[i].name, (int) w->tune[i].value));
    RT_TRY(str_puts(&r->list, "\n"));
done:
    return err;
}

// Write the text of `w`, unless it was.
static enum rt_err keep(struct recorder *r, const struct rt_work *w)
{
    enum rt_err err = RT_OK;
    struct str text = {0}, path = {0};
    const uint64_t key = rt_work_key(w);
    size_t at;

    for (size_t i = 0; i < r->n; i++)
        if (r->keys[i] == key)
            return RT_OK;
    RT_REQUIRE(r->n < MAX_TEXTS, RT_E_NOMEM);
    r->keys[r->n++] = key;
    RT_TRY(rt_kernel_text(w, r->vulkan, &text));
    RT_TRY(str_printf(&path, "%s/", r->folder));
    at = path.len;
    RT_TRY(str_printf(&path, "%s-%zu.%s", w->kernel->name, r->n, r->vulkan ? "comp" : "cl"));
    RT_TRY(file_write(path.data, text.data, text.len));
    RT_TRY(describe(r, w, path.data + at));
done:
    str_free(&text);
    str_free(&path);
    return err;
}

static void set_tune(struct rt_work *w, const char *name, int32_t value)
{
    uint32_t i = 0;
    while (i + 1 < RT_MAX_TUNES && w->tune[i].name && strcmp(w->tune[i].name, name) != 0)
        i++;
    w->tune[i] = (struct rt_tune){name, value};
}

static bool is_f32(const struct rt_work *w, const char *name)
{
    for (uint32_t i = 0; i < w->kernel->n_bufs; i++)
        if (strcmp(w->kernel->bufs[i].name, name) == 0)
            return rt_buf_type(w->bufs[i].buf) == RT_F32;
    return true;
}

static bool is_form_of(const struct form *f, const struct rt_work *w)
{
    return strncmp(w->kernel->name, f->kernel, strlen(f->kernel)) == 0 &&
           (!f->f32 || is_f32(w, f->f32));
}

// `w` and, for the forms from number `from` on that are its kernel's, each of their values.
static enum rt_err keep_forms(struct recorder *r, const struct rt_work *w, size_t from)
{
    enum rt_err err = RT_OK;

    while (from < COUNT_OF(FORMS) && !is_form_of(&FORMS[from], w))
        from++;
    if (from == COUNT_OF(FORMS))
        return keep(r, w);
    for (int32_t v = 0; v <= FORMS[from].most; v++) {
        struct rt_work form = *w;
        set_tune(&form, FORMS[from].tune, v);
        RT_TRY(keep_forms(r, &form, from + 1));
    }
done:
    return err;
}

static enum rt_err record(struct rt_cmd *cmd, const struct rt_work *work)
{
    return keep_forms((struct recorder *) (uintptr_t) cmd->dev->backend, work, 0);
}

// ---- What is run ------------------------------------------------------------------------------

static const enum rt_type STORED[] = {RT_F32, RT_F16, RT_BF16};

static enum rt_err conform_cases(struct rt_dev *dev, enum rt_type type)
{
    enum rt_err err = RT_OK;
    for (const struct op_conform_case *c = OP_CONFORM_CASES; c->op; c++)
        for (int v = 0; v == 0 || (c->variants && c->variants[v]); v++) {
            struct op_side s = {.dev = dev, .type = type, .variant = v};
            if (c->has && !c->has(dev, v, type))
                continue;
            err = rt_cmd_create(dev, &s.cmd);
            if (err == RT_OK)
                err = c->record(&s);
            rt_cmd_destroy(&s.cmd);
            while (s.n_bufs)
                rt_buf_destroy(&s.bufs[--s.n_bufs]);
            RT_TRY(err);
        }
done:
    return err;
}

// Buffers, as many as asked for, of `n` elements; destroyed together.
static enum rt_err make_buffers(struct rt_dev *dev, const enum rt_type *types, size_t n_types,
                                uint64_t n, struct rt_buf **out)
{
    enum rt_err err = RT_OK;
    for (size_t i = 0; i < n_types; i++)
        RT_TRY(rt_buf_create(dev, types[i], n, "gpu_kernels", &out[i]));
done:
    return err;
}

static enum rt_err one_attention(struct rt_cmd *cmd, struct rt_dev *dev, enum rt_type s,
                                 uint32_t head_dim, uint32_t window, float softcap)
{
    enum { Q, K, V, O, D_O, DQ, DK, DV, LSE, DELTA, INDEX, N };
    enum { T = 128, WORDS = 4096 };
    const enum rt_type types[N] = {s, s, s, s, s, s, s, s, RT_F32, RT_F32, RT_U32};
    const struct op_segment seg = {.q_end = T};
    enum rt_err err = RT_OK;
    struct rt_buf *b[N] = {0};
    uint32_t words[WORDS];
    struct op_attention_index info;

    RT_TRY(make_buffers(dev, types, N, (uint64_t) T * 256, b));
    RT_TRY(op_attention_index(dev, &seg, 1, words, WORDS, &info));
    const uint32_t ld = op_stride(head_dim);
    const struct op_attention_args a = {.q = {b[Q], 0, ld},
                                        .k = {b[K], 0, ld},
                                        .v = {b[V], 0, ld},
                                        .o = {b[O], 0, ld},
                                        .lse = {b[LSE], 0, 0},
                                        .index = b[INDEX],
                                        .info = &info,
                                        .n_tokens = T,
                                        .n_keys = T,
                                        .n_heads = 1,
                                        .n_kv_heads = 1,
                                        .head_dim = head_dim,
                                        .scale = 1.0f,
                                        .softcap = softcap,
                                        .window = window,
                                        .d_o = {b[D_O], 0, ld},
                                        .delta = {b[DELTA], 0, 0},
                                        .dq = {b[DQ], 0, ld},
                                        .dk = {b[DK], 0, ld},
                                        .dv = {b[DV], 0, ld}};
    RT_TRY(op_attention(cmd, &a));
    RT_TRY(op_attention_backward(cmd, &a));
done:
    for (size_t i = 0; i < N; i++)
        rt_buf_destroy(&b[i]);
    return err;
}

// The head sizes of the families; windows and softcaps as Gemma 2 and Mistral have them.
static enum rt_err attentions(struct rt_cmd *cmd, struct rt_dev *dev, enum rt_type type)
{
    static const uint32_t HEADS[] = {32, 64, 80, 96, 128, 256};
    enum rt_err err = RT_OK;
    for (size_t i = 0; i < COUNT_OF(HEADS); i++) {
        RT_TRY(one_attention(cmd, dev, type, HEADS[i], 0, 0.0f));
        RT_TRY(one_attention(cmd, dev, type, HEADS[i], 32, 0.0f));
        RT_TRY(one_attention(cmd, dev, type, HEADS[i], 32, 50.0f));
    }
done:
    return err;
}

static enum rt_err matmuls(struct rt_cmd *cmd, struct rt_dev *dev, enum rt_type type, bool f32_c)
{
    enum { K = 256, LD = 1024 };
    static const uint32_t M[] = {4, 64, 512, 512, 512}, N[] = {256, 256, 256, 16, 32};
    enum rt_err err = RT_OK;
    const enum rt_type types[] = {type, type, f32_c ? RT_F32 : type};
    struct rt_buf *b[3] = {0};

    RT_TRY(make_buffers(dev, types, COUNT_OF(types), (uint64_t) LD * LD, b));
    for (size_t i = 0; i < COUNT_OF(M); i++)
        for (int form = OP_NT; form <= OP_TN; form++)
            RT_TRY(op_matmul(cmd, &(struct op_matmul_args){.form = (enum op_matmul_form) form,
                                                           .m = M[i],
                                                           .n = N[i],
                                                           .k = K,
                                                           .a = {b[0], 0, LD},
                                                           .b = {b[1], 0, LD},
                                                           .c = {b[2], 0, LD}}));
done:
    for (size_t i = 0; i < COUNT_OF(b); i++)
        rt_buf_destroy(&b[i]);
    return err;
}

// By every tile that `anydpo tune` may choose.
static enum rt_err products(struct rt_cmd *cmd, struct rt_dev *dev, enum rt_type type)
{
    enum rt_err err = RT_OK;
    for (uint32_t i = 0; i < matmul_tiles(dev); i++) {
        RT_TRY(rt_dev_tune(dev, MATMUL_TUNED_TILE[type], (int32_t) i));
        RT_TRY(matmuls(cmd, dev, type, false));
        RT_TRY(matmuls(cmd, dev, type, true));
    }
done:
    return err;
}

// Kernels that nothing reached so far, in one storage type and with their own defaults.
static enum rt_err rest(struct recorder *r, struct rt_dev *dev, enum rt_type type, size_t reached)
{
    enum rt_err err = RT_OK;
    struct rt_buf *buf = NULL;

    RT_TRY(rt_buf_create(dev, type, 1, "gpu_kernels", &buf));
    for (const struct rt_kernel *const *k = dev->kernels; *k; k++) {
        struct rt_work w = {.kernel = *k, .group = {dev->plan.group, 1}};
        struct str name = {0};
        bool known = !(*k)->source;
        RT_TRY(str_printf(&name, "\t%s\t", (*k)->name));
        known = known || (r->list.data && strstr(r->list.data, name.data) &&
                          (size_t) (strstr(r->list.data, name.data) - r->list.data) < reached);
        str_free(&name);
        for (uint32_t i = 0; i < (*k)->n_bufs; i++)
            w.bufs[i].buf = buf;
        if (!known)
            RT_TRY(keep_forms(r, &w, 0));
    }
done:
    rt_buf_destroy(&buf);
    return err;
}

// ---- Devices ----------------------------------------------------------------------------------

static enum rt_err open_recorder(struct recorder *r, bool few, struct rt_dev **out)
{
    enum rt_err err = RT_OK;
    struct rt_dev like = {.id = "gpu:0", .kernels = op_kernels()};
    const struct rt_clamp clamp = {0};
    struct rt_caps caps = {.kind = RT_GPU_DISCRETE,
                           .group_invocations = r->vulkan ? 1024 : 256,
                           .group_size = {1024, 1024, 64},
                           .group_count = {65535, 65535, 65535},
                           .shared_bytes = 32 << 10,
                           .range_bytes = (uint64_t) 1 << 30,
                           .alloc_bytes = (uint64_t) 1 << 30,
                           .memory_bytes = (uint64_t) 1 << 33,
                           .offset_align_bytes = 64,
                           .params_bytes = 256,
                           .subgroup_size = 32};

    *out = NULL;
    strcpy(caps.api, r->vulkan ? "vulkan" : "opencl");
    strcpy(caps.name, few ? "Intel" : "GPU");
    RT_TRY(rt_plan_make(&caps, &clamp, &like.plan));
    RT_TRY(rt_dev_open_dry(&like, out));
    r->backend = *(*out)->backend;
    r->backend.cmd_dispatch = record;
    (*out)->backend = &r->backend;
done:
    return err;
}

static enum rt_err write_gpu(const char *folder, const char *name)
{
    enum rt_err err = RT_OK;
    struct recorder *r = calloc(1, sizeof(*r));
    struct rt_dev *dev = NULL;
    struct rt_cmd *cmd = NULL;
    struct str path = {0};
    size_t reached;

    RT_REQUIRE(r, RT_E_NOMEM);
    RT_TRY(str_printf(&path, "%s/%s", folder, name));
    RT_TRY(dir_make(path.data));
    r->folder = path.data;
    r->vulkan = strcmp(name, "vulkan") == 0;
    RT_TRY(open_recorder(r, strcmp(name, "opencl-few") == 0, &dev));
    RT_TRY(rt_cmd_create(dev, &cmd));
    for (size_t i = 0; i < COUNT_OF(STORED); i++) {
        RT_TRY(conform_cases(dev, STORED[i]));
        RT_TRY(attentions(cmd, dev, STORED[i]));
        RT_TRY(products(cmd, dev, STORED[i]));
    }
    reached = r->list.len;
    for (size_t i = 0; i < COUNT_OF(STORED); i++)
        RT_TRY(rest(r, dev, STORED[i], reached));
    printf("%s: %zu texts\n", path.data, r->n);
    RT_TRY(str_puts(&path, "/list"));
    RT_TRY(file_write(path.data, r->list.data, r->list.len));
done:
    rt_cmd_destroy(&cmd);
    rt_dev_close(&dev);
    if (r)
        str_free(&r->list);
    free(r);
    str_free(&path);
    return err;
}

int main(int argc, char **argv)
{
    static const char *const GPUS[] = {"vulkan", "opencl", "opencl-few"};

    if (argc != 2) {
        fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 2;
    }
    for (size_t i = 0; i < COUNT_OF(GPUS); i++)
        if (write_gpu(argv[1], GPUS[i]) != RT_OK)
            return 1;
    return 0;
}
