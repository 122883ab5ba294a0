#include "src/model/gguf_out.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/model/family.h"
#include "src/model/gguf_names.h"
#include "src/model/internal.h"

enum { SLICE = 1 << 20 }; // elements converted at once

// ---- keys ----

static enum rt_err refuse(const struct md_gguf_out *o, const char *what)
{
    return rt_fail(RT_E_UNSUPPORTED, "%s: %s cannot be written as GGUF of a %s", o->folder, what,
                   o->arch->model_type);
}

static bool is_one(float x)
{
    return fabsf(x - 1.0f) <= 0.0f;
}

// What the keys below have no word for.
static enum rt_err check(const struct md_gguf_out *o, const struct md_gguf_family *f)
{
    enum rt_err err = RT_OK;
    const struct md_arch *a = o->arch;
    const double scale = 1.0 / sqrt((double) a->head_dim);

    if (a->rope.scaling == MD_ROPE_YARN || a->rope.scaling == MD_ROPE_LONGROPE)
        RT_TRY(refuse(o, "rope scaling of the kinds yarn and longrope"));
    if (a->rope.scaling == MD_ROPE_LLAMA3 &&
        (fabs(a->rope.low_freq_factor - 1.0) > 0.0 || fabs(a->rope.high_freq_factor - 4.0) > 0.0))
        RT_TRY(refuse(o, "llama3 rope scaling with other factors than low 1 and high 4"));
    if (a->rot_dim != a->head_dim)
        RT_TRY(refuse(o, "a rotation of a part of the head"));
    if (a->act != OP_ACT_SILU)
        RT_TRY(refuse(o, "an activation other than silu"));
    if (!is_one(a->embed_scale) || !is_one(a->residual_scale) || !is_one(a->logit_scale) ||
        a->attn_softcap > 0.0f || a->logit_softcap > 0.0f ||
        fabs((double) a->attn_scale / scale - 1.0) > 1e-6)
        RT_TRY(refuse(o, "a scale or cap"));
    for (uint32_t l = 0; l < a->layers; l++)
        if (!!(a->layer[l] & MD_LAYER_NO_ROPE) !=
                (f->no_rope_step && (l + 1) % f->no_rope_step == 0) ||
            (a->layer[l] & MD_LAYER_LOCAL_ROPE))
            RT_TRY(refuse(o, "a layer with another rotation, or none,"));
    if (a->window && a->window < a->max_positions)
        log_warn("%s: llama.cpp has no sliding window for this family: its numbers are the same up "
                 "to %u tokens",
                 o->folder, a->window);
done:
    return err;
}

static enum rt_err put_word(struct fmt_gguf_writer *w, const char *key, const char *text)
{
    return fmt_gguf_put_text(w, key, text, strlen(text));
}

// The last part of a path.
static enum rt_err put_name(const struct md_gguf_out *o, struct fmt_gguf_writer *w)
{
    const char *end = o->folder + strlen(o->folder), *start;
    while (end > o->folder && end[-1] == '/')
        end--;
    for (start = end; start > o->folder && start[-1] != '/'; start--)
        ;
    return fmt_gguf_put_text(w, "general.name", start, (size_t) (end - start));
}

// Number of llama.cpp's file type.
static uint32_t file_type(uint32_t kind)
{
    return kind == FMT_QUANT_F32 ? 0 : kind == FMT_QUANT_F16 ? 1 : kind == FMT_QUANT_Q8_0 ? 7 : 32;
}

static enum rt_err put_counts(const struct md_gguf_out *o, const struct md_gguf_family *f,
                              struct fmt_gguf_writer *w)
{
    enum rt_err err = RT_OK;
    const struct md_arch *a = o->arch;
    const struct {
        const char *name;
        uint32_t value;
    } ROWS[] = {
        {"block_count", a->layers},
        {"context_length", a->max_positions},
        {"embedding_length", a->hidden},
        {"feed_forward_length", a->ffn},
        {"attention.head_count", a->heads},
        {"attention.head_count_kv", a->kv_heads},
        {"attention.key_length", a->head_dim},
        {"attention.value_length", a->head_dim},
        {"rope.dimension_count", a->rot_dim},
        {"vocab_size", a->vocab},
    };

    for (size_t i = 0; i < COUNT_OF(ROWS); i++)
        RT_TRY(fmt_gguf_put_u32(w, md_gguf_key(f, ROWS[i].name).text, ROWS[i].value));
done:
    return err;
}

enum rt_err md_gguf_put_keys(const struct md_gguf_out *o, struct fmt_gguf_writer *w)
{
    enum rt_err err = RT_OK;
    const struct md_arch *a = o->arch;
    const struct md_gguf_family *f;

    RT_TRY(md_gguf_family_of(o->folder, a, &f));
    RT_TRY(check(o, f));
    RT_TRY(put_word(w, "general.architecture", f->arch));
    RT_TRY(put_word(w, "general.type", "model"));
    RT_TRY(put_name(o, w));
    RT_TRY(fmt_gguf_put_u32(w, "general.file_type", file_type(o->kind)));
    RT_TRY(fmt_gguf_put_u32(w, "general.quantization_version", 2));
    RT_TRY(put_counts(o, f, w));
    RT_TRY(fmt_gguf_put_f32(w, md_gguf_key(f, "rope.freq_base").text, (float) a->rope.theta));
    RT_TRY(
        fmt_gguf_put_f32(w, md_gguf_key(f, "attention.layer_norm_rms_epsilon").text, a->norm_eps));
    if (a->rope.scaling == MD_ROPE_LINEAR) {
        RT_TRY(put_word(w, md_gguf_key(f, "rope.scaling.type").text, "linear"));
        RT_TRY(fmt_gguf_put_f32(w, md_gguf_key(f, "rope.scaling.factor").text,
                                (float) a->rope.factor));
    }
    if (a->rope.scaling == MD_ROPE_LLAMA3) // the rest is in rope_freqs.weight
        RT_TRY(fmt_gguf_put_u32(w, md_gguf_key(f, "rope.scaling.original_context_length").text,
                                a->rope.original_max_positions));
done:
    return err;
}

// ---- weights ----

struct out {
    const struct md_gguf_out *o;
    const struct md_gguf_family *family;
    const struct fmt_st *st;
    struct fmt_gguf_writer *w;
    float *x; // SLICE, or one row
};

static uint32_t kind_of(const struct md_gguf_out *o, const struct md_param *p)
{
    if (p->rank == 1)
        return FMT_QUANT_F32;
    return p->cols % fmt_quant_find(o->kind)->elements ? FMT_QUANT_F16 : o->kind;
}

static enum rt_err declare(const struct out *d, const struct md_params *params)
{
    enum rt_err err = RT_OK;
    const uint64_t half = d->o->arch->rot_dim / 2;

    if (d->o->arch->rope.scaling == MD_ROPE_LLAMA3)
        RT_TRY(fmt_gguf_writer_add(d->w, "rope_freqs.weight", FMT_QUANT_F32, 1, &half));
    for (uint32_t i = 0; i < params->n; i++) {
        const struct md_param *p = &params->all[i];
        const struct md_gguf_key name = md_gguf_name(p);
        const uint64_t shape[2] = {p->rank == 2 ? p->rows : p->cols, p->cols};
        if (!name.text[0] || p->transposed)
            RT_TRY(refuse(d->o, p->name));
        RT_TRY(fmt_gguf_writer_add(d->w, name.text, kind_of(d->o, p), p->rank, shape));
    }
done:
    return err;
}

// What llama.cpp divides the frequencies by.
static enum rt_err put_rope_freqs(const struct out *d)
{
    const struct md_arch *a = d->o->arch;
    const struct md_rope plain = {.theta = a->rope.theta};
    double scaled_freq[MD_MAX_HEAD_DIM / 2], plain_freq[MD_MAX_HEAD_DIM / 2];
    float x[MD_MAX_HEAD_DIM / 2];

    if (a->rope.scaling != MD_ROPE_LLAMA3)
        return RT_OK;
    md_rope_frequencies(&a->rope, a->rot_dim, false, scaled_freq);
    md_rope_frequencies(&plain, a->rot_dim, false, plain_freq);
    for (uint32_t j = 0; j < a->rot_dim / 2; j++)
        x[j] = (float) (plain_freq[j] / scaled_freq[j]);
    return fmt_gguf_writer_put_f32(d->w, x, a->rot_dim / 2);
}

// Rows [row, row + n) of the file; of a vector, its elements.
static enum rt_err read_rows(const struct out *d, const struct md_param *p,
                             const struct fmt_tensor *t, uint32_t row, uint32_t n)
{
    enum rt_err err = RT_OK;
    const uint64_t width = p->rank == 1 ? 1 : p->cols, count = (uint64_t) n * p->cols / width;

    for (uint32_t i = 0; i < count; i++) {
        const uint64_t from = md_gguf_row_of_file(d->family, d->o->arch, p->weight, row + i);
        RT_TRY(fmt_tensor_to_f32(t, from * width, width, d->x + i * width));
    }
done:
    return err;
}

static enum rt_err put_one(const struct out *d, const struct md_param *p)
{
    enum rt_err err = RT_OK;
    const struct fmt_tensor *t;
    const uint32_t step = u32_max(1, SLICE / p->cols);

    RT_TRY(md_tensor_find(d->st, p, d->o->folder, &t));
    for (uint32_t row = 0; row < p->rows; row += step) {
        const uint32_t k = u32_min(step, p->rows - row);
        RT_TRY(read_rows(d, p, t, row, k));
        RT_TRY(fmt_gguf_writer_put_f32(d->w, d->x, (uint64_t) k * p->cols));
    }
    fmt_st_done_with(d->st, t, 0, t->count);
done:
    return err;
}

enum rt_err md_gguf_put_weights(const struct md_gguf_out *o, const struct fmt_st *st,
                                struct fmt_gguf_writer *w)
{
    enum rt_err err = RT_OK;
    struct out d = {.o = o, .st = st, .w = w};
    struct md_params params = {0};
    const struct fmt_tensor *t;
    size_t most = SLICE;

    RT_TRY(md_gguf_family_of(o->folder, o->arch, &d.family));
    RT_TRY(md_params_make(o->arch, UINT64_MAX, &params));
    for (uint32_t i = 0; i < params.n; i++) { // before anything is written
        RT_TRY(md_tensor_find(st, &params.all[i], o->folder, &t));
        most = params.all[i].cols > most ? params.all[i].cols : most;
    }
    d.x = malloc(most * sizeof(*d.x));
    if (!d.x)
        RT_TRY(rt_fail(RT_E_NOMEM, "out of memory: %zu floats", most));
    RT_TRY(declare(&d, &params));
    RT_TRY(fmt_gguf_writer_begin(w));
    RT_TRY(put_rope_freqs(&d));
    for (uint32_t i = 0; i < params.n; i++)
        RT_TRY(put_one(&d, &params.all[i]));
done:
    free(d.x);
    md_params_free(&params);
    return err;
}
