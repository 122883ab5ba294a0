// The weights: GGUF tensors -> Hugging Face names and order, in slices of rows.
#include <math.h>
#include <stdlib.h>

#include "src/base/arith.h"
#include "src/format/quant.h"
#include "src/model/gguf.h"
#include "src/model/gguf_names.h"
#include "src/model/internal.h"
#include "src/model/params.h"

enum { SLICE = 1 << 20 }; // elements converted at once

// Not weights: read by md_gguf_arch.
static const char *const ROPE_FACTORS[] = {"rope_freqs.weight", MD_GGUF_LONG_FACTORS,
                                           MD_GGUF_SHORT_FACTORS};

static enum rt_err fail_shape(const struct fmt_gguf *g, const struct fmt_gguf_tensor *t,
                              const struct md_param *p, uint32_t experts)
{
    enum rt_err err = RT_OK;
    struct str want = {0}, found = {0};

    if (md_weight_is_expert(p->weight))
        RT_TRY(str_printf(&want, "%u, ", experts));
    if (p->rank == 2)
        RT_TRY(str_printf(&want, "%u, ", p->rows));
    RT_TRY(str_printf(&want, "%u", p->cols));
    for (uint32_t i = 0; i < t->rank; i++)
        RT_TRY(str_printf(&found, "%s%llu", i ? ", " : "", (unsigned long long) t->shape[i]));
    err = rt_fail(RT_E_SHAPE, "%s: tensor %s: expected shape (%s) by the metadata, found (%s)",
                  g->path, t->name, want.data, found.data);
done:
    str_free(&want);
    str_free(&found);
    return err;
}

struct reader {
    const struct fmt_gguf *g;
    const struct md_arch *arch;
    const struct md_gguf_family *family;
    bool whole; // transposed weights at once, with as much room behind them
};

// The tensor of a weight, of the right shape and readable.
static enum rt_err find(const struct fmt_gguf *g, const struct md_param *p, uint32_t experts,
                        const struct fmt_gguf_tensor **out)
{
    enum rt_err err = RT_OK;
    struct md_gguf_key name = md_gguf_name(p);
    const struct fmt_gguf_tensor *t;
    const struct fmt_quant *q;

    *out = t = fmt_gguf_tensor(g, name.text);
    if (!t && p->weight == MD_HEAD) {
        name = md_gguf_name(&(struct md_param){.weight = MD_EMBED});
        *out = t = fmt_gguf_tensor(g, name.text);
    }
    if (!t)
        RT_TRY(rt_fail(RT_E_NOT_FOUND, "%s: tensor %s is missing", g->path, name.text));
    const uint64_t want[3] = {experts, p->rows, p->cols};
    const uint32_t rank = p->rank + md_weight_is_expert(p->weight);
    bool same = t->rank == rank;
    for (uint32_t i = 0; same && i < rank; i++)
        same = t->shape[i] == want[3 - rank + i];
    if (!same)
        RT_TRY(fail_shape(g, t, p, experts));
    q = fmt_quant_find(t->kind);
    if (!q || !q->decode)
        RT_TRY(rt_fail(RT_E_UNSUPPORTED,
                       "%s: tensor %s: block format %s cannot be read (number %u)", g->path,
                       name.text, q ? q->name : "unknown", t->kind));
done:
    return err;
}

static enum rt_err check_list(const struct fmt_gguf *g, const struct md_params *params,
                              uint32_t experts)
{
    enum rt_err err = RT_OK;
    const struct fmt_gguf_tensor *t;
    bool *used = calloc((size_t) g->n_tensors + 1, sizeof(*used));

    RT_REQUIRE(used, RT_E_NOMEM);
    for (uint32_t i = 0; i < params->n; i++) {
        RT_TRY(find(g, &params->all[i], experts, &t));
        used[t - g->tensors] = true;
    }
    for (size_t i = 0; i < COUNT_OF(ROPE_FACTORS); i++)
        if ((t = fmt_gguf_tensor(g, ROPE_FACTORS[i])))
            used[t - g->tensors] = true;
    for (uint32_t i = 0; i < g->n_tensors; i++)
        if (!used[i])
            RT_TRY(rt_fail(RT_E_UNSUPPORTED, "%s: tensor %s: no place for it in such a model",
                           g->path, g->tensors[i].name));
done:
    free(used);
    return err;
}

enum rt_err md_gguf_check_weights(const struct fmt_gguf *g, const struct md_arch *arch)
{
    enum rt_err err = RT_OK;
    struct md_params params = {0};

    RT_TRY(md_params_make(arch, (struct md_room){UINT64_MAX, UINT64_MAX}, &params));
    RT_TRY(check_list(g, &params, arch->experts));
done:
    md_params_free(&params);
    return err;
}

// Rows [row, row + n) of a weight as Hugging Face has them; of a vector, its elements.
static enum rt_err read_rows(const struct reader *r, const struct md_param *p,
                             const struct fmt_gguf_tensor *t, uint32_t row, uint32_t n, float *x)
{
    enum rt_err err = RT_OK;
    const uint64_t cols = p->cols, width = p->rank == 1 ? 1 : cols, count = n * cols / width;

    if (md_gguf_row_in_file(r->family, r->arch, p->weight, 1) == 1) {
        RT_TRY(fmt_gguf_to_f32(t, (p->expert * (uint64_t) p->rows + row) * cols, n * cols, x));
        goto done;
    }
    for (uint32_t i = 0; i < count; i++) {
        const uint64_t from = md_gguf_row_in_file(r->family, r->arch, p->weight, row + i);
        RT_TRY(fmt_gguf_to_f32(t, from * width, width, x + i * width));
    }
done:
    return err;
}

// Magnitudes from here on are not finite after rounding: halfway between the largest number and the
// power of two above it.
static float limit_of(enum fmt_dtype dtype)
{
    return dtype == FMT_F16 ? 65520.0f : dtype == FMT_BF16 ? 0x1.ffp127f : INFINITY;
}

static enum rt_err check_finite(const struct fmt_gguf *g, const struct fmt_gguf_tensor *t,
                                enum fmt_dtype dtype, const float *x, uint64_t n)
{
    const float limit = limit_of(dtype);
    for (uint64_t i = 0; i < n; i++)
        if (!(fabsf(x[i]) < limit))
            return rt_fail(RT_E_NUMERIC, "%s: tensor %s: %g is not finite, or not as %s", g->path,
                           t->name, (double) x[i], fmt_dtype_name(dtype));
    return RT_OK;
}

// What is done with some rows of a weight, as Hugging Face has them.
struct sink {
    enum rt_err (*put)(void *user, const struct md_param *p, uint32_t row, uint32_t n, float *x);
    void *user;
};

static enum rt_err read_one(const struct reader *r, const struct md_param *p, enum fmt_dtype dtype,
                            float *x, const struct sink *to)
{
    enum rt_err err = RT_OK;
    const struct fmt_gguf_tensor *t;
    const bool whole = r->whole && p->transposed, norm = md_gguf_is_plus_one(r->arch, p->weight);
    const uint32_t step = whole ? p->rows : u32_max(1, SLICE / p->cols);

    RT_TRY(find(r->g, p, r->arch->experts, &t));
    for (uint32_t row = 0; row < p->rows; row += step) {
        const uint32_t k = u32_min(step, p->rows - row);
        RT_TRY(read_rows(r, p, t, row, k, x));
        for (uint32_t i = 0; norm && i < p->cols; i++)
            x[i] -= 1.0f;
        RT_TRY(check_finite(r->g, t, dtype, x, (uint64_t) k * p->cols));
        RT_TRY(to->put(to->user, p, row, k, x));
    }
    fmt_gguf_done_with(r->g, t);
done:
    return err;
}

static enum rt_err read_all(const struct reader *r, const struct md_params *params,
                            enum fmt_dtype dtype, const struct sink *to)
{
    enum rt_err err = RT_OK;
    size_t most = SLICE;
    float *x = NULL;

    for (uint32_t i = 0; i < params->n; i++)
        most = u64_max(most, md_gguf_room(&params->all[i], r->whole));
    x = malloc(most * sizeof(*x));
    if (!x)
        RT_TRY(rt_fail(RT_E_NOMEM, "out of memory: %zu floats", most));
    for (uint32_t i = 0; i < params->n; i++)
        RT_TRY(read_one(r, &params->all[i], dtype, x, to));
done:
    free(x);
    return err;
}

static enum rt_err put_in_file(void *user, const struct md_param *p, uint32_t row, uint32_t n,
                               float *x)
{
    const uint64_t count = (uint64_t) n * p->cols;
    (void) row;
    if (p->transposed)
        md_transpose(x, p->rows, p->cols, x + count);
    return fmt_st_writer_put_f32(user, p->transposed ? x + count : x, count);
}

enum rt_err md_gguf_weights(const struct fmt_gguf *g, const struct md_arch *arch,
                            enum fmt_dtype dtype, struct fmt_st_writer *w)
{
    enum rt_err err = RT_OK;
    struct reader r = {.g = g, .arch = arch, .whole = true};
    struct md_params params = {0};

    RT_REQUIRE(dtype == FMT_F32 || dtype == FMT_F16 || dtype == FMT_BF16, RT_E_ARG);
    RT_TRY(md_gguf_family_find(g, &r.family));
    RT_TRY(md_params_make(arch, (struct md_room){UINT64_MAX, UINT64_MAX}, &params));
    RT_TRY(check_list(g, &params, arch->experts));
    for (uint32_t i = 0; i < params.n; i++) {
        const struct md_param *p = &params.all[i];
        const bool first_cols = p->rank == 1 || p->transposed;
        const uint64_t shape[2] = {first_cols ? p->cols : p->rows,
                                   p->transposed ? p->rows : p->cols};
        RT_TRY(fmt_st_writer_add(w, p->name, dtype, p->rank, shape));
    }
    RT_TRY(fmt_st_writer_begin(w));
    RT_TRY(read_all(&r, &params, dtype, &(struct sink){put_in_file, w}));
done:
    md_params_free(&params);
    return err;
}

// ---- into a model ----

struct load {
    enum rt_type dtype;
    struct md_flat *to;
};

static enum rt_err put_in_flat(void *user, const struct md_param *p, uint32_t row, uint32_t n,
                               float *x)
{
    const struct load *l = user;
    md_round_to(x, (uint64_t) n * p->cols, l->dtype);
    return md_flat_write(l->to, p, row, n, x);
}

enum rt_err md_gguf_load(const struct md_params *params, const char *path, enum rt_type load_dtype,
                         struct md_flat *to)
{
    enum rt_err err = RT_OK;
    struct load l = {load_dtype, to};
    struct fmt_gguf g = {0};
    struct md_arch arch;
    struct reader r = {.g = &g, .arch = &arch};

    RT_TRY(fmt_gguf_open(path, &g));
    RT_TRY(md_gguf_arch(&g, &arch));
    RT_TRY(md_gguf_family_find(&g, &r.family));
    RT_TRY(read_all(&r, params, FMT_F32, &(struct sink){put_in_flat, &l}));
done:
    fmt_gguf_close(&g);
    return err;
}
