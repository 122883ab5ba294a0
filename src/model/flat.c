// Flat buffers: weights, masters, gradients and Adam's state, and floats to and from them.
#include <stdlib.h>

#include "src/base/arith.h"
#include "src/model/params.h"

enum rt_err md_flat_create(struct rt_dev *dev, const struct md_params *params, enum rt_type type,
                           const char *name, struct md_flat *out)
{
    enum rt_err err = RT_OK;
    *out = (struct md_flat){0};
    for (uint32_t i = 0; i < params->n_chunks; i++) {
        const struct md_chunk *c = &params->chunks[i];
        RT_TRY(rt_buf_create(dev, c->f32 ? RT_F32 : type, c->count, name, &out->chunk[i]));
        out->n = i + 1;
    }
done:
    if (err != RT_OK)
        md_flat_destroy(out);
    return err;
}

enum rt_err md_flat_add_low(const char *name, struct md_flat *flat)
{
    enum rt_err err = RT_OK;
    for (uint32_t i = 0; i < flat->n; i++) {
        const struct rt_buf *b = flat->chunk[i];
        if (rt_buf_type(b) != RT_F32)
            RT_TRY(
                rt_buf_create(rt_buf_dev(b), rt_buf_type(b), rt_buf_count(b), name, &flat->low[i]));
    }
done:
    return err;
}

void md_flat_destroy(struct md_flat *flat)
{
    for (uint32_t i = 0; i < flat->n; i++) {
        rt_buf_destroy(&flat->chunk[i]);
        rt_buf_destroy(&flat->low[i]);
    }
    flat->n = 0;
}

enum rt_err md_flat_copy(struct rt_cmd *cmd, const struct md_flat *from, struct md_flat *to)
{
    enum rt_err err = RT_OK;
    for (uint32_t i = 0; i < from->n; i++) {
        const uint64_t n = rt_buf_count(from->chunk[i]);
        RT_TRY(rt_cmd_copy(cmd, from->chunk[i], 0, to->chunk[i], 0, n));
        if (from->low[i] && to->low[i])
            RT_TRY(rt_cmd_copy(cmd, from->low[i], 0, to->low[i], 0, n));
    }
done:
    return err;
}

enum rt_err md_flat_zero(struct rt_cmd *cmd, struct md_flat *flat)
{
    enum rt_err err = RT_OK;
    for (uint32_t i = 0; i < flat->n; i++)
        RT_TRY(rt_cmd_zero(cmd, flat->chunk[i], 0, rt_buf_count(flat->chunk[i])));
done:
    return err;
}

// ---- Floats -----------------------------------------------------------------------------------

enum { AT_ONCE = 1 << 14 }; // elements of 16-bit chunks that are taken apart at once

// n elements of a chunk in one piece, to or from x.
struct piece {
    struct rt_buf *chunk, *low;
    uint64_t at, n;
    enum rt_type type; // of x
};

static enum rt_err split(const struct piece *p, const void *x)
{
    enum rt_err err = RT_OK;
    const struct rt_host_buf from = {.data = (void *) (uintptr_t) x, .type = p->type};
    const enum rt_type type = rt_buf_type(p->chunk);
    uint16_t *w = malloc(2 * AT_ONCE * sizeof(*w)), *low = w + AT_ONCE;

    RT_REQUIRE(w, RT_E_NOMEM);
    for (uint64_t i = 0, n; i < p->n; i += n) {
        n = u64_min(AT_ONCE, p->n - i);
        for (uint64_t k = 0; k < n; k++) {
            const struct op_split s = op_split(type, (float) rt_host_load(&from, i + k));
            w[k] = s.w;
            low[k] = s.low;
        }
        RT_TRY(rt_buf_write(p->chunk, p->at + i, n, type, w));
        if (p->low)
            RT_TRY(rt_buf_write(p->low, p->at + i, n, type, low));
    }
done:
    free(w);
    return err;
}

static enum rt_err join(const struct piece *p, void *x)
{
    enum rt_err err = RT_OK;
    const struct rt_host_buf to = {.data = x, .type = p->type};
    const enum rt_type type = rt_buf_type(p->chunk);
    uint16_t *w = malloc(2 * AT_ONCE * sizeof(*w)), *low = w + AT_ONCE;

    RT_REQUIRE(w, RT_E_NOMEM);
    for (uint64_t i = 0, n; i < p->n; i += n) {
        n = u64_min(AT_ONCE, p->n - i);
        RT_TRY(rt_buf_read(p->chunk, p->at + i, n, type, w));
        RT_TRY(rt_buf_read(p->low, p->at + i, n, type, low));
        for (uint64_t k = 0; k < n; k++)
            rt_host_store(&to, i + k, (double) op_join(type, (struct op_split){w[k], low[k]}));
    }
done:
    free(w);
    return err;
}

static enum rt_err move(const struct piece *p, bool write, void *x)
{
    if (write)
        return rt_buf_type(p->chunk) == RT_F32 ? rt_buf_write(p->chunk, p->at, p->n, p->type, x)
                                               : split(p, x);
    return p->low ? join(p, x) : rt_buf_read(p->chunk, p->at, p->n, p->type, x);
}

// Rows go one by one when they are padded, at once when they are not.
static enum rt_err move_rows(const struct md_flat *flat, const struct md_param *p, uint32_t row,
                             uint32_t n_rows, enum rt_type type, bool write, void *x)
{
    enum rt_err err = RT_OK;
    const bool whole = p->ld == p->cols;
    struct piece piece = {.chunk = flat->chunk[p->chunk],
                          .low = flat->low[p->chunk],
                          .n = whole ? (uint64_t) n_rows * p->cols : p->cols,
                          .type = type};

    for (uint32_t i = 0; i < (whole ? 1 : n_rows); i++) {
        piece.at = p->first + ((uint64_t) row + i) * p->ld;
        RT_TRY(move(&piece, write, (char *) x + i * piece.n * rt_type_size(type)));
    }
done:
    return err;
}

static enum rt_err clear(struct rt_buf *low, uint64_t at, uint64_t n)
{
    static const uint16_t ZEROS[AT_ONCE];
    enum rt_err err = RT_OK;
    for (uint64_t i = 0; low && i < n; i += AT_ONCE)
        RT_TRY(rt_buf_write(low, at + i, u64_min(AT_ONCE, n - i), rt_buf_type(low), ZEROS));
done:
    return err;
}

enum rt_err md_flat_write_stored(struct md_flat *flat, const struct md_param *p, uint32_t row,
                                 uint32_t n_rows, const void *x)
{
    enum rt_err err = RT_OK;
    struct rt_buf *b = flat->chunk[p->chunk];
    const size_t size = rt_type_size(rt_buf_type(b));
    const bool whole = p->ld == p->cols;
    const uint64_t n = whole ? (uint64_t) n_rows * p->cols : p->cols;

    for (uint32_t i = 0; i < (whole ? 1 : n_rows); i++) {
        const uint64_t at = p->first + ((uint64_t) row + i) * p->ld;
        RT_TRY(rt_buf_write(b, at, n, rt_buf_type(b), (const char *) x + i * n * size));
        RT_TRY(clear(flat->low[p->chunk], at, n));
    }
done:
    return err;
}

enum rt_err md_flat_write_as(struct md_flat *flat, const struct md_param *p, uint32_t row,
                             uint32_t n_rows, enum rt_type type, const void *x)
{
    return move_rows(flat, p, row, n_rows, type, true, (void *) (uintptr_t) x);
}

enum rt_err md_flat_read_as(const struct md_flat *flat, const struct md_param *p, uint32_t row,
                            uint32_t n_rows, enum rt_type type, void *x)
{
    return move_rows(flat, p, row, n_rows, type, false, x);
}

enum rt_err md_flat_write(struct md_flat *flat, const struct md_param *p, uint32_t row,
                          uint32_t n_rows, const float *x)
{
    return md_flat_write_as(flat, p, row, n_rows, RT_F32, x);
}

enum rt_err md_flat_read(const struct md_flat *flat, const struct md_param *p, uint32_t row,
                         uint32_t n_rows, float *x)
{
    return md_flat_read_as(flat, p, row, n_rows, RT_F32, x);
}
