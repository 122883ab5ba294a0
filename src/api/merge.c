#include "src/api/merge.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/base/file.h"
#include "src/base/thread.h"
#include "src/format/gguf.h"
#include "src/format/peft.h"
#include "src/format/safetensors.h"
#include "src/train/save.h"

enum { SLICE = 1 << 22 }; // elements that are in memory at once

static const char PREFIX[] = "base_model.model.", HEAD[] = "lm_head.weight";

// What becomes of one tensor of the new model.
struct part {
    const char *name;               // in the new model
    const struct fmt_tensor *w;     // of the base, or the adapter's copy of it
    const struct fmt_tensor *a, *b; // NULL: not adapted
    const struct fmt_tensor *m;     // DoRA's magnitude, or NULL
};

struct merge {
    const struct api_merge_args *args;
    struct fmt_peft peft;
    double scale;
    struct fmt_st base, adapter;
    struct part *parts;
    uint32_t n;
    bool untied;
};

// ---- Which tensor belongs to which ------------------------------------------------------------

// The adapter's tensor of a base's: NAME is the base's without its last word, WORD what follows.
// Folders of old models leave out the name of the decoder.
static const struct fmt_tensor *find(const struct merge *m, const char *name, size_t n,
                                     const char *word)
{
    static const char *const INSIDE[] = {"", "model.", "transformer."};
    const struct fmt_tensor *t = NULL;
    for (size_t i = 0; i < COUNT_OF(INSIDE) && !t; i++) {
        struct str s = {0};
        if (str_printf(&s, "%s%s%.*s%s", PREFIX, INSIDE[i], (int) n, name, word) == RT_OK)
            t = fmt_st_find(&m->adapter, s.data);
        str_free(&s);
    }
    return t;
}

static enum rt_err fail_shape(const struct merge *m, const struct fmt_tensor *t, uint64_t rows,
                              uint64_t cols)
{
    return rt_fail(RT_E_SHAPE,
                   "%s: %s: expected shape (%llu, %llu) by the base %s, found rank %u (%llu, %llu)",
                   m->args->adapter, t->name, (unsigned long long) rows, (unsigned long long) cols,
                   m->args->base, t->rank, (unsigned long long) (t->rank > 0 ? t->shape[0] : 0),
                   (unsigned long long) (t->rank > 1 ? t->shape[1] : 0));
}

// Sizes of a linear: its weight lies (out, in), of gpt2's layers (in, out).
static uint64_t out_of(const struct merge *m, const struct fmt_tensor *w)
{
    return w->shape[m->peft.fan_in_fan_out ? 1 : 0];
}
static uint64_t in_of(const struct merge *m, const struct fmt_tensor *w)
{
    return w->shape[m->peft.fan_in_fan_out ? 0 : 1];
}

static enum rt_err check_adapted(const struct merge *m, const struct part *p)
{
    enum rt_err err = RT_OK;
    const uint64_t r = m->peft.r;

    if (!p->a || !p->b)
        RT_TRY(rt_fail(RT_E_NOT_FOUND, "%s: %s has only one of lora_A and lora_B", m->args->adapter,
                       p->name));
    if (p->w->rank != 2)
        RT_TRY(rt_fail(RT_E_UNSUPPORTED, "%s: %s: expected a matrix, found rank %u", m->args->base,
                       p->name, p->w->rank));
    if (p->a->rank != 2 || p->a->shape[0] != r || p->a->shape[1] != in_of(m, p->w))
        RT_TRY(fail_shape(m, p->a, r, in_of(m, p->w)));
    if (p->b->rank != 2 || p->b->shape[0] != out_of(m, p->w) || p->b->shape[1] != r)
        RT_TRY(fail_shape(m, p->b, out_of(m, p->w), r));
    if (p->m && p->m->count != out_of(m, p->w))
        RT_TRY(fail_shape(m, p->m, out_of(m, p->w), 1));
    if (!p->m == m->peft.use_dora)
        RT_TRY(rt_fail(RT_E_FORMAT, "%s: %s: lora_magnitude_vector is %s, use_dora is %s",
                       m->args->adapter, p->name, p->m ? "there" : "missing",
                       m->peft.use_dora ? "true" : "false"));
done:
    return err;
}

static enum rt_err add_part(struct merge *m, const char *name, const struct fmt_tensor *w)
{
    enum rt_err err = RT_OK;
    struct part *p = &m->parts[m->n];
    const char *dot = strrchr(name, '.');
    const size_t n = dot ? (size_t) (dot - name) : 0;
    const bool weight = dot && strcmp(dot, ".weight") == 0;

    *p = (struct part){.name = name, .w = w};
    const struct fmt_tensor *copy = find(m, name, strlen(name), "");
    p->a = weight ? find(m, name, n, ".lora_A.weight") : NULL;
    p->b = weight ? find(m, name, n, ".lora_B.weight") : NULL;
    p->m = weight ? find(m, name, n, ".lora_magnitude_vector") : NULL;
    if (p->a || p->b)
        RT_TRY(check_adapted(m, p));
    if (copy &&
        (copy->rank != w->rank || memcmp(copy->shape, w->shape, w->rank * sizeof(*w->shape))))
        RT_TRY(fail_shape(m, copy, w->shape[0], w->rank > 1 ? w->shape[1] : 1));
    if (copy)
        p->w = copy;
    m->n++;
done:
    return err;
}

static const char *const EMBEDDINGS[] = {"model.embed_tokens.weight", "embed_tokens.weight",
                                         "transformer.wte.weight", "wte.weight"};

// A base without lm_head.weight is tied. The adapter may have parted the two.
static enum rt_err add_head(struct merge *m)
{
    enum rt_err err = RT_OK;
    const struct fmt_tensor *embed = NULL;

    for (size_t i = 0; i < COUNT_OF(EMBEDDINGS) && !embed; i++)
        embed = fmt_st_find(&m->base, EMBEDDINGS[i]);
    if (fmt_st_find(&m->base, HEAD) || !embed)
        goto done;
    m->untied = find(m, HEAD, strlen(HEAD), "") || find(m, embed->name, strlen(embed->name), "");
    if (m->untied)
        RT_TRY(add_part(m, HEAD, embed));
done:
    return err;
}

static enum rt_err match(struct merge *m)
{
    enum rt_err err = RT_OK;

    m->parts = calloc((size_t) m->base.n + 1, sizeof(*m->parts));
    if (!m->parts)
        RT_TRY(rt_fail(RT_E_NOMEM, "out of memory: list of %u tensors", m->base.n));
    for (uint32_t i = 0; i < m->base.n; i++)
        RT_TRY(add_part(m, m->base.tensors[i].name, &m->base.tensors[i]));
    RT_TRY(add_head(m));
    for (uint32_t i = 0; i < m->adapter.n; i++) {
        const struct fmt_tensor *t = &m->adapter.tensors[i];
        uint32_t k = 0;
        while (k < m->n && m->parts[k].a != t && m->parts[k].b != t && m->parts[k].m != t &&
               m->parts[k].w != t)
            k++;
        if (k == m->n)
            RT_TRY(rt_fail(RT_E_FORMAT, "%s: %s: belongs to no weight of the base %s",
                           m->args->adapter, t->name, m->args->base));
    }
done:
    return err;
}

// ---- Values -----------------------------------------------------------------------------------

// Rows of a weight that are merged at once, as they lie in the file.
struct rows {
    const struct merge *m;
    float *w;           // (n, cols), in place
    const float *left;  // (rows, r): B; of gpt2's layers A transposed
    const float *right; // (r, cols): A; of gpt2's layers B transposed
    const float *mag;   // DoRA's magnitude of each row, or NULL
    uint64_t first, cols;
};

enum { BLOCK = 256 }; // columns that are summed at once

// sum = W + scale * left right, n columns of a row from `col` on.
static void sum_block(const struct rows *s, uint64_t row, uint64_t col, uint64_t n, double *sum)
{
    const float *w = s->w + (row - s->first) * s->cols + col;
    const uint32_t r = s->m->peft.r;

    for (uint64_t j = 0; j < n; j++)
        sum[j] = (double) w[j];
    for (uint32_t k = 0; k < r; k++) {
        const double c = s->m->scale * (double) s->left[row * r + k];
        const float *right = s->right + k * s->cols + col;
        for (uint64_t j = 0; j < n; j++)
            sum[j] += c * (double) right[j];
    }
}

static void merge_rows(void *user, uint64_t begin, uint64_t end)
{
    const struct rows *s = user;
    double sum[BLOCK];

    for (uint64_t row = s->first + begin; row < s->first + end; row++) {
        double square = 0.0;
        for (uint64_t col = 0, n; col < s->cols && s->mag; col += n) {
            n = u64_min(BLOCK, s->cols - col);
            sum_block(s, row, col, n, sum);
            for (uint64_t j = 0; j < n; j++)
                square += sum[j] * sum[j];
        }
        const double c = s->mag ? (double) s->mag[row] / sqrt(square) : 1.0;
        for (uint64_t col = 0, n; col < s->cols; col += n) {
            n = u64_min(BLOCK, s->cols - col);
            sum_block(s, row, col, n, sum);
            for (uint64_t j = 0; j < n; j++)
                s->w[(row - s->first) * s->cols + col + j] = (float) (c * sum[j]);
        }
    }
}

// A whole tensor as floats, (rows, cols) or that transposed. NULL t: *out NULL.
static enum rt_err read_whole(const struct fmt_tensor *t, bool transpose, float **out)
{
    enum rt_err err = RT_OK;
    float *x = NULL, *y = NULL;

    *out = NULL;
    if (!t)
        goto done;
    x = malloc(u64_max(t->count, 1) * sizeof(*x));
    y = malloc(transpose ? t->count * sizeof(*y) : 1);
    if (!x || !y)
        RT_TRY(rt_fail(RT_E_NOMEM, "out of memory: %s", t->name));
    RT_TRY(fmt_tensor_to_f32(t, 0, t->count, x));
    for (uint64_t i = 0; transpose && i < t->count; i++)
        y[i % t->shape[1] * t->shape[0] + i / t->shape[1]] = x[i];
    *out = transpose ? y : x;
    if (transpose)
        y = NULL;
    else
        x = NULL;
done:
    free(x);
    free(y);
    return err;
}

static enum rt_err put_adapted(const struct merge *m, const struct part *p, struct fmt_st_writer *w)
{
    enum rt_err err = RT_OK;
    const bool flip = m->peft.fan_in_fan_out;
    const uint64_t n_rows = p->w->shape[0], cols = p->w->shape[1],
                   step = u64_max(1, SLICE / u64_max(cols, 1));
    float *left = NULL, *right = NULL, *mag = NULL, *x = malloc(step * cols * sizeof(*x));

    if (!x)
        RT_TRY(rt_fail(RT_E_NOMEM, "out of memory: rows of %s", p->name));
    RT_TRY(read_whole(flip ? p->a : p->b, flip, &left));
    RT_TRY(read_whole(flip ? p->b : p->a, flip, &right));
    RT_TRY(read_whole(p->m, false, &mag));
    for (uint64_t row = 0; row < n_rows; row += step) {
        const uint64_t k = u64_min(step, n_rows - row);
        struct rows s = {m, x, left, right, mag, row, cols};
        RT_TRY(fmt_tensor_to_f32(p->w, row * cols, k * cols, x));
        thread_for(k, 16, merge_rows, &s);
        RT_TRY(fmt_st_writer_put_f32(w, x, k * cols));
        fmt_st_done_with(&m->base, p->w, row * cols, k * cols);
    }
done:
    free(left);
    free(right);
    free(mag);
    free(x);
    return err;
}

static bool is_float(enum fmt_dtype t)
{
    return t <= FMT_F64;
}

static enum fmt_dtype dtype_of(const struct merge *m, const struct part *p)
{
    const struct fmt_tensor *of = fmt_st_find(&m->base, p->name);
    const enum fmt_dtype base = of ? of->dtype : p->w->dtype;
    return m->args->dtype == FMT_DTYPE_COUNT || !is_float(base) ? base : m->args->dtype;
}

static enum rt_err put_plain(const struct merge *m, const struct part *p, struct fmt_st_writer *w)
{
    enum rt_err err = RT_OK;
    float *x = NULL;

    if (dtype_of(m, p) == p->w->dtype) {
        RT_TRY(fmt_st_writer_put_raw(w, p->w->data, p->w->bytes));
        goto done;
    }
    x = malloc(SLICE * sizeof(*x));
    if (!x)
        RT_TRY(rt_fail(RT_E_NOMEM, "out of memory: %s", p->name));
    for (uint64_t at = 0; at < p->w->count; at += SLICE) {
        const uint64_t n = u64_min(SLICE, p->w->count - at);
        RT_TRY(fmt_tensor_to_f32(p->w, at, n, x));
        RT_TRY(fmt_st_writer_put_f32(w, x, n));
    }
done:
    free(x);
    return err;
}

static enum rt_err write_weights(const struct merge *m, struct fmt_st_writer *w,
                                 struct api_merged *did)
{
    enum rt_err err = RT_OK;

    for (uint32_t i = 0; i < m->n; i++)
        RT_TRY(fmt_st_writer_add(w, m->parts[i].name, dtype_of(m, &m->parts[i]),
                                 m->parts[i].w->rank, m->parts[i].w->shape));
    RT_TRY(fmt_st_writer_begin(w));
    for (uint32_t i = 0; i < m->n; i++) {
        const struct part *p = &m->parts[i];
        RT_TRY(p->a ? put_adapted(m, p, w) : put_plain(m, p, w));
        did->adapted += p->a != NULL;
        did->replaced += strncmp(p->w->name, PREFIX, sizeof(PREFIX) - 1) == 0;
        did->parameters += p->w->count;
    }
    did->tensors = m->n;
done:
    return err;
}

// ---- The whole --------------------------------------------------------------------------------

static enum rt_err open_merge(struct merge *m)
{
    enum rt_err err = RT_OK;
    const struct api_merge_args *a = m->args;
    char *path = NULL;

    if (strcmp(a->to, a->base) == 0 || strcmp(a->to, a->adapter) == 0)
        RT_TRY(rt_fail(RT_E_ARG, "%s: expected another folder for the merged model", a->to));
    if (fmt_gguf_is(a->base))
        RT_TRY(rt_fail(RT_E_UNSUPPORTED,
                       "%s: an adapter can be merged into a folder only: convert the file first",
                       a->base));
    RT_TRY(fmt_peft_read(a->adapter, &m->peft));
    if (m->peft.use_dora && m->peft.fan_in_fan_out)
        RT_TRY(rt_fail(RT_E_UNSUPPORTED, "%s: use_dora with fan_in_fan_out is not supported",
                       a->adapter));
    m->scale = m->peft.alpha / (m->peft.use_rslora ? sqrt((double) m->peft.r) : m->peft.r);
    RT_TRY(path_join(a->adapter, "adapter_model.safetensors", &path));
    RT_TRY(fmt_st_open(path, &m->adapter));
    RT_TRY(fmt_st_open(a->base, &m->base));
    RT_TRY(match(m));
done:
    free(path);
    return err;
}

static enum rt_err write_files(const struct merge *m)
{
    enum rt_err err = RT_OK;
    const struct api_merge_args *a = m->args;
    char *tokenizer = NULL;

    RT_TRY(path_join(a->adapter, "tokenizer.json", &tokenizer));
    RT_TRY(tr_save_files(a->base, a->to, true));
    if (file_exists(tokenizer))
        RT_TRY(tr_save_files(a->adapter, a->to, false));
    RT_TRY(tr_save_config(a->base, a->to, a->dtype, m->untied));
done:
    free(tokenizer);
    return err;
}

enum rt_err api_merge(const struct api_merge_args *args, struct api_merged *out)
{
    enum rt_err err = RT_OK;
    struct merge m = {.args = args};
    struct fmt_st_writer *w = NULL;
    struct api_merged did = {0};

    *out = did;
    RT_TRY(open_merge(&m));
    RT_TRY(dir_make(args->to));
    RT_TRY(fmt_st_writer_create(&(struct fmt_st_writer_args){.dir = args->to}, &w));
    RT_TRY(write_weights(&m, w, &did)); // under temporary names
    RT_TRY(write_files(&m));
    RT_TRY(fmt_st_writer_commit(w));
    *out = did;
done:
    fmt_st_writer_destroy(&w);
    free(m.parts);
    fmt_st_close(&m.base);
    fmt_st_close(&m.adapter);
    fmt_peft_free(&m.peft);
    return err;
}
