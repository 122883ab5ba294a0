// Weights between model files and flat buffers, in slices of rows.
#include "src/model/model.h"

#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/format/safetensors.h"
#include "src/model/gguf.h"
#include "src/model/internal.h"

enum { SLICE = 1 << 20 }; // elements converted at once

static uint32_t slice_rows(const struct md_param *p)
{
    return u32_max(1, u32_min(p->rows, SLICE / p->cols));
}

static enum rt_err check_shape(const struct md_param *p, const struct fmt_tensor *t,
                               const char *folder)
{
    const uint32_t rows = p->transposed ? p->cols : p->rows,
                   cols = p->transposed ? p->rows : p->cols;
    const bool same = t->rank == p->rank && t->shape[p->rank - 1] == cols &&
                      (p->rank == 1 || t->shape[0] == rows);
    struct str found = {0};
    enum rt_err err = RT_OK;

    if (same)
        return RT_OK;
    for (uint32_t i = 0; i < t->rank && err == RT_OK; i++)
        err = str_printf(&found, "%s%llu", i ? ", " : "", (unsigned long long) t->shape[i]);
    const char *by =
        p->part == MD_PART_WEIGHT ? "config.json" : "adapter_config.json and the base model";
    if (p->rank == 1)
        err = rt_fail(RT_E_SHAPE, "%s: %s: expected shape (%u) by %s, found (%s)", folder, p->name,
                      p->cols, by, found.data ? found.data : "");
    else
        err = rt_fail(RT_E_SHAPE, "%s: %s: expected shape (%u, %u) by %s, found (%s)", folder,
                      p->name, rows, cols, by, found.data ? found.data : "");
    str_free(&found);
    return err;
}

void md_round_to(float *x, uint64_t n, enum rt_type type)
{
    for (uint64_t i = 0; type == RT_F16 && i < n; i++)
        x[i] = f16_to_f32(f16_from_f32(x[i]));
    for (uint64_t i = 0; type == RT_BF16 && i < n; i++)
        x[i] = bf16_to_f32(bf16_from_f32(x[i]));
}

// Some files leave out the first word of the names, "transformer." or "model.".
enum rt_err md_tensor_find(const struct fmt_st *st, const struct md_param *p, const char *folder,
                           const struct fmt_tensor **out)
{
    enum rt_err err = RT_OK;
    const char *dot = strchr(p->name, '.');

    *out = fmt_st_find(st, p->name);
    if (!*out && dot)
        *out = fmt_st_find(st, dot + 1);
    if (!*out)
        RT_TRY(fmt_st_get(st, p->name, out));
    RT_TRY(check_shape(p, *out, folder));
done:
    return err;
}

// In blocks that stay in the cache.
void md_transpose(const float *x, uint32_t rows, uint32_t cols, float *y)
{
    enum { B = 32 };
    for (uint32_t r0 = 0; r0 < rows; r0 += B)
        for (uint32_t c0 = 0; c0 < cols; c0 += B)
            for (uint32_t r = r0; r < rows && r < r0 + B; r++)
                for (uint32_t c = c0; c < cols && c < c0 + B; c++)
                    y[(size_t) c * rows + r] = x[(size_t) r * cols + c];
}

static enum rt_err two_alloc(const struct md_param *p, float **out)
{
    const size_t n = (size_t) p->rows * p->cols;
    *out = malloc(2 * n * sizeof(**out));
    return *out ? RT_OK : rt_fail(RT_E_NOMEM, "out of memory: %s, transposed", p->name);
}

// A tensor that the file has the other way round, as a whole.
static enum rt_err load_transposed(const struct fmt_st *st, const struct md_param *p,
                                   const struct fmt_tensor *t, enum rt_type load_dtype,
                                   struct md_flat *to)
{
    enum rt_err err = RT_OK;
    const uint64_t n = (uint64_t) p->rows * p->cols;
    float *x = NULL;

    RT_TRY(two_alloc(p, &x));
    RT_TRY(fmt_tensor_to_f32(t, 0, n, x));
    md_round_to(x, n, load_dtype);
    md_transpose(x, p->cols, p->rows, x + n);
    RT_TRY(md_flat_write(to, p, 0, p->rows, x + n));
    fmt_st_done_with(st, t, 0, n);
done:
    free(x);
    return err;
}

// The file's elements are those of the buffer: they go from its pages to the device.
static bool as_stored(const struct fmt_tensor *t, enum rt_type load_dtype, const struct rt_buf *to)
{
    static const enum rt_type TYPE[] = {
        [FMT_F32] = RT_F32, [FMT_F16] = RT_F16, [FMT_BF16] = RT_BF16};
    return t->dtype <= FMT_BF16 && TYPE[t->dtype] == rt_buf_type(to) &&
           (load_dtype == RT_F32 || load_dtype == TYPE[t->dtype]) && !rt_dev_is_f64(rt_buf_dev(to));
}

static enum rt_err load_one(const struct fmt_st *st, const struct md_param *p, const char *folder,
                            enum rt_type load_dtype, float *x, struct md_flat *to)
{
    enum rt_err err = RT_OK;
    const struct fmt_tensor *t;
    const uint32_t step = slice_rows(p);

    RT_TRY(md_tensor_find(st, p, folder, &t));
    if (p->transposed) {
        RT_TRY(load_transposed(st, p, t, load_dtype, to));
        goto done;
    }
    const bool stored = as_stored(t, load_dtype, to->chunk[p->chunk]);
    for (uint32_t row = 0; row < p->rows; row += step) {
        const uint32_t k = u32_min(step, p->rows - row);
        const uint64_t at = (uint64_t) row * p->cols, n = (uint64_t) k * p->cols;
        if (stored) {
            const size_t size = rt_type_size(rt_buf_type(to->chunk[p->chunk]));
            RT_TRY(md_flat_write_stored(to, p, row, k, (const char *) t->data + at * size));
        } else {
            RT_TRY(fmt_tensor_to_f32(t, at, n, x));
            md_round_to(x, n, load_dtype);
            RT_TRY(md_flat_write(to, p, row, k, x));
        }
        fmt_st_done_with(st, t, at, n);
    }
done:
    return err;
}

static enum rt_err slice_alloc(const struct md_params *params, float **out)
{
    uint64_t n = SLICE;
    for (uint32_t i = 0; i < params->n; i++)
        n = u64_max(n, params->all[i].cols);
    *out = malloc(n * sizeof(**out));
    return *out ? RT_OK : rt_fail(RT_E_NOMEM, "out of memory: %llu floats", (unsigned long long) n);
}

enum rt_err md_weights_load(const struct md_params *params, const char *folder,
                            enum rt_type load_dtype, struct md_flat *to)
{
    enum rt_err err = RT_OK;
    struct fmt_st st = {0};
    float *x = NULL;

    if (to->n && rt_dev_is_dry(rt_buf_dev(to->chunk[0]))) // nothing would keep them
        goto done;
    if (fmt_gguf_is(folder))
        return md_gguf_load(params, folder, load_dtype, to);
    RT_TRY(fmt_st_open(folder, &st));
    RT_TRY(slice_alloc(params, &x));
    for (uint32_t i = 0; i < params->n; i++)
        RT_TRY(load_one(&st, &params->all[i], folder, load_dtype, x, to));
done:
    free(x);
    fmt_st_close(&st);
    return err;
}

static enum rt_err save_transposed(struct fmt_st_writer *w, const struct md_param *p,
                                   const struct md_flat *from, double scale)
{
    enum rt_err err = RT_OK;
    const uint64_t n = (uint64_t) p->rows * p->cols;
    float *x = NULL;

    RT_TRY(two_alloc(p, &x));
    RT_TRY(md_flat_read(from, p, 0, p->rows, x));
    md_transpose(x, p->rows, p->cols, x + n);
    for (uint64_t i = n; scale != 1.0 && i < 2 * n; i++)
        x[i] = (float) (scale * (double) x[i]);
    RT_TRY(fmt_st_writer_put_f32(w, x + n, n));
done:
    free(x);
    return err;
}

static enum rt_err save_one(struct fmt_st_writer *w, const struct md_param *p,
                            const struct md_flat *from, float *x, double scale)
{
    enum rt_err err = RT_OK;
    const uint32_t step = slice_rows(p);

    if (p->transposed)
        return save_transposed(w, p, from, scale);
    for (uint32_t row = 0; row < p->rows; row += step) {
        const uint32_t k = u32_min(step, p->rows - row);
        const uint64_t n = (uint64_t) k * p->cols;
        RT_TRY(md_flat_read(from, p, row, k, x));
        for (uint64_t i = 0; scale != 1.0 && i < n; i++)
            x[i] = (float) (scale * (double) x[i]);
        RT_TRY(fmt_st_writer_put_f32(w, x, n));
    }
done:
    return err;
}

enum rt_err md_weights_save(const struct md_params *params, const struct md_flat *from,
                            const char *dir, const char *stem, enum rt_type dtype, double scale)
{
    enum rt_err err = RT_OK;
    const enum fmt_dtype to = dtype == RT_F16 ? FMT_F16 : dtype == RT_BF16 ? FMT_BF16 : FMT_F32;
    struct fmt_st_writer *w = NULL;
    float *x = NULL;

    RT_TRY(slice_alloc(params, &x));
    RT_TRY(fmt_st_writer_create(&(struct fmt_st_writer_args){.dir = dir, .stem = stem}, &w));
    for (uint32_t i = 0; i < params->n; i++) {
        const struct md_param *p = &params->all[i];
        const bool first_cols = p->rank == 1 || p->transposed;
        const uint64_t shape[2] = {first_cols ? p->cols : p->rows,
                                   p->transposed ? p->rows : p->cols};
        RT_TRY(fmt_st_writer_add(w, p->name, to, p->rank, shape));
    }
    RT_TRY(fmt_st_writer_begin(w));
    for (uint32_t i = 0; i < params->n; i++)
        RT_TRY(save_one(w, &params->all[i], from, x, scale));
    RT_TRY(fmt_st_writer_commit(w));
done:
    fmt_st_writer_destroy(&w);
    free(x);
    return err;
}
