#include "src/api/bench.h"

#include "src/base/arith.h"
#include "src/op/bench.h"
#include "src/op/open.h"

static const char *const FORMS[] = {"NT", "NN", "TN"};

// Rows so far: the best of each storage type, against which the ops are held.
struct printer {
    const struct api_bench_args *args;
    double best[RT_TYPE_COUNT], copy; // GFLOP/s; GB/s of the fastest memory-bound op
};

static void matmul_row(void *user, const struct op_bench_row *r)
{
    struct printer *p = user;
    const char *variant = op_matmul_variant_name(r->variant), *mark = r->is_choice ? "*" : "";

    if (r->gflops > p->best[r->type])
        p->best[r->type] = r->gflops;
    if (p->args->json)
        fprintf(p->args->out,
                "{\"op\": \"matmul\", \"variant\": \"%s\", \"chosen\": %s, \"form\": \"%s\", "
                "\"storage\": \"%s\", \"m\": %u, \"n\": %u, \"k\": %u, \"seconds\": %.3e, "
                "\"gflops\": %.2f}\n",
                variant, r->is_choice ? "true" : "false", FORMS[r->form], rt_type_name(r->type),
                r->m, r->n, r->k, r->seconds, r->gflops);
    else
        fprintf(p->args->out, "matmul  %-9s%1s %-2s %-5s %5u %5u %5u %9.3f ms %8.1f GFLOP/s\n",
                variant, mark, FORMS[r->form], rt_type_name(r->type), r->m, r->n, r->k,
                1e3 * r->seconds, r->gflops);
    fflush(p->args->out);
}

static void op_row(void *user, const struct op_bench_op_row *r)
{
    struct printer *p = user;

    if (r->gbytes > p->copy)
        p->copy = r->gbytes;
    if (p->args->json)
        fprintf(p->args->out,
                "{\"op\": \"%s\", \"storage\": \"%s\", \"seconds\": %.3e, \"gbytes_per_s\": %.2f, "
                "\"gflops\": %.2f}\n",
                r->op, rt_type_name(r->type), r->seconds, r->gbytes, r->gflops);
    else if (r->gflops > 0.0 && p->best[r->type] > 0.0)
        fprintf(p->args->out, "%-19s %-5s %9.3f ms %8.1f GFLOP/s  %3.0f %% of the best matmul\n",
                r->op, rt_type_name(r->type), 1e3 * r->seconds, r->gflops,
                100.0 * r->gflops / p->best[r->type]);
    else
        fprintf(p->args->out, "%-19s %-5s %9.3f ms %8.1f %s\n", r->op, rt_type_name(r->type),
                1e3 * r->seconds, r->gflops > 0.0 ? r->gflops : r->gbytes,
                r->gflops > 0.0 ? "GFLOP/s" : "GB/s");
    fflush(p->args->out);
}

static void peaks(const struct printer *p)
{
    fprintf(p->args->out, p->args->json ? "{\"best_matmul_gflops\": {" : "best matmul:");
    for (int t = RT_F32, n = 0; t <= RT_BF16; t++)
        if (p->best[t] > 0.0)
            fprintf(p->args->out, p->args->json ? "%s\"%s\": %.1f" : "%s %s %.1f GFLOP/s",
                    n++ ? "," : "", rt_type_name((enum rt_type) t), p->best[t]);
    fprintf(p->args->out,
            p->args->json ? "}, \"best_gbytes_per_s\": %.1f}\n" : "; fastest op %.1f GB/s\n",
            p->copy);
}

// "4096x14336". Without one: *n = 0.
static enum rt_err parse_shape(const char *text, struct op_bench_shape *out, size_t *n)
{
    enum rt_err err = RT_OK;
    char rest;

    *n = 0;
    if (!text || !*text)
        return RT_OK;
    if (sscanf(text, "%9ux%9u%c", &out->out, &out->in, &rest) != 2 || !out->out || !out->in)
        RT_TRY(rt_fail(RT_E_USAGE, "bench: shape: expected OUTxIN as in 4096x14336, found %.60s",
                       text));
    out->tokens = 2;
    *n = 1;
done:
    return err;
}

static enum rt_err bench_matmul(struct rt_dev *dev, struct printer *p)
{
    enum rt_err err = RT_OK;
    const struct api_bench_args *a = p->args;
    struct op_bench_shape own;
    size_t n;

    RT_TRY(parse_shape(a->shape, &own, &n));
    for (size_t i = 0; i < (n ? n : OP_BENCH_SHAPE_COUNT); i++) {
        struct op_bench_shape s = n ? own : OP_BENCH_SHAPES[i];
        s.tokens = s.tokens > 1 ? a->tokens : 1;
        for (enum rt_type t = RT_F32; a->chosen && t <= RT_BF16; t++)
            RT_TRY(op_bench_matmul(dev, &s, 1, &t, a->seconds, matmul_row, p));
        if (!a->chosen)
            RT_TRY(op_bench_matmul(dev, &s, 1, NULL, a->seconds, matmul_row, p));
    }
done:
    return err;
}

enum rt_err api_bench(const struct api_bench_args *a)
{
    enum rt_err err = RT_OK;
    struct printer p = {.args = a};
    struct rt_dev *dev = NULL;

    RT_TRY(op_dev_open(&(struct op_device){.device = a->device,
                                           .disable = a->disable,
                                           .clamp = a->clamp,
                                           .cache_dir = a->cache_dir},
                       &dev));
    const struct rt_caps *caps = &rt_dev_plan(dev)->caps;
    fprintf(a->out,
            a->json ? "{\"device\": \"%s\", \"name\": \"%s\", \"driver\": \"%s\"}\n"
                    : "%s: %s, %s; medians of 5; * = what training uses\n",
            rt_dev_id(dev), caps->name, caps->driver);
    if (a->matmul)
        RT_TRY(bench_matmul(dev, &p));
    if (a->ops)
        RT_TRY(op_bench_ops(dev, a->seconds, op_row, &p));
    peaks(&p);
done:
    rt_dev_close(&dev);
    return err;
}
