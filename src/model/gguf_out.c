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

// The name of a key of the family `f`, for the length of a statement.
#define KEY(name) md_gguf_key(f, (name)).text

static enum rt_err refuse(const struct md_gguf_out *o, const char *what)
{
    return rt_fail(RT_E_UNSUPPORTED, "%s: %s cannot be written as GGUF of a %s", o->folder, what,
                   o->arch->model_type);
}

static bool is_one(float x)
{
    return fabsf(x - 1.0f) <= 0.0f;
}

static enum rt_err check_rope(const struct md_gguf_out *o, const struct md_gguf_family *f)
{
    enum rt_err err = RT_OK;
    const struct md_arch *a = o->arch;
    const bool longrope = f->takes & MD_GGUF_LONGROPE;

    if (a->family->learned_positions)
        goto done;
    if (a->rope.scaling == MD_ROPE_YARN || (a->rope.scaling == MD_ROPE_LONGROPE && !longrope))
        RT_TRY(refuse(o, "rope scaling of the kinds yarn and longrope"));
    if (a->rope.scaling == MD_ROPE_LLAMA3 &&
        (fabs(a->rope.low_freq_factor - 1.0) > 0.0 || fabs(a->rope.high_freq_factor - 4.0) > 0.0 ||
         !(f->takes & MD_GGUF_ROPE_FREQS)))
        RT_TRY(
            refuse(o, "llama3 rope scaling with other factors than low 1 and high 4, or at all,"));
    if (a->local_rope.scaling != MD_ROPE_DEFAULT)
        RT_TRY(refuse(o, "rope scaling of layers with a window"));
    if (a->rot_dim != a->head_dim && !longrope)
        RT_TRY(refuse(o, "a rotation of a part of the head"));
done:
    return err;
}

static enum rt_err check_scales(const struct md_gguf_out *o, const struct md_gguf_family *f)
{
    const struct md_arch *a = o->arch;
    const double scale = 1.0 / sqrt((double) md_gguf_attn_scalar(f, a));
    const float embed = a->family->embed_sqrt ? sqrtf((float) a->hidden) : 1.0f;
    const bool scales = f->takes & MD_GGUF_SCALES;
    bool good = scales || (is_one(a->embed_scale / embed) && is_one(a->residual_scale) &&
                           fabs((double) a->attn_scale / scale - 1.0) <= 1e-6);

    good = good && (scales || f->takes & MD_GGUF_LOGIT_SCALE || is_one(a->logit_scale));
    good = good && (a->attn_softcap > 0.0f) == !!(f->takes & MD_GGUF_SOFTCAPS);
    good = good && (f->takes & MD_GGUF_LOGIT_CAP || !(a->logit_softcap > 0.0f));
    return good ? RT_OK : refuse(o, "a scale or cap");
}

// Layers differ as the family's do, but for which of them have the window.
static enum rt_err check_layers(const struct md_gguf_out *o, const struct md_gguf_family *f)
{
    enum rt_err err = RT_OK;
    const struct md_arch *a = o->arch;
    const bool takes = f->takes & MD_GGUF_WINDOW;
    const uint8_t mask = takes ? UINT8_MAX : (uint8_t) ~MD_LAYER_WINDOW;

    for (uint32_t l = 0; l < a->layers; l++) {
        const bool window = takes && a->layer[l] & MD_LAYER_WINDOW;
        if ((a->layer[l] ^ md_gguf_layer_bits(f, window, l)) & mask)
            RT_TRY(refuse(o, "a layer with another rotation, or none, or without experts,"));
    }
    if (takes && a->window == 0 && !f->no_window_there && !(f->takes & MD_GGUF_LOCAL_ROPE))
        RT_TRY(refuse(o, "a model without a window"));
    if (a->window && a->window < a->max_positions && (!takes || f->no_window_there))
        log_warn("%s: llama.cpp has no sliding window for this family: its numbers are the same up "
                 "to %u tokens",
                 o->folder, a->window);
done:
    return err;
}

// What the keys below have no word for.
static enum rt_err check(const struct md_gguf_out *o, const struct md_gguf_family *f)
{
    enum rt_err err = RT_OK;
    const struct md_arch *a = o->arch;
    enum op_act act;

    RT_REQUIRE(md_act_find(a->family->act, &act), RT_E_ARG);
    if (a->act != act)
        RT_TRY(refuse(o, "an activation other than the family's"));
    if (!(f->takes & (a->tied ? MD_GGUF_TIED : MD_GGUF_UNTIED)))
        RT_TRY(refuse(o, a->tied ? "a head that is the embedding" : "a head of its own"));
    if ((a->o_bias || a->mlp_bias) && !(f->takes & MD_GGUF_BIAS))
        RT_TRY(refuse(o, "a bias behind attention"));
    if (a->experts > 0 && !a->top_k_norm)
        RT_TRY(refuse(o, "weights of experts that do not sum to 1"));
    if (a->heads * a->head_dim != a->hidden && !(f->takes & MD_GGUF_ANY_HEAD))
        RT_TRY(refuse(o, "heads that are not as wide together as the hidden state"));
    if (f->most_layers && a->layers > f->most_layers)
        RT_TRY(refuse(o, "so many layers"));
    RT_TRY(check_rope(o, f));
    RT_TRY(check_scales(o, f));
    RT_TRY(check_layers(o, f));
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
        {"vocab_size", a->vocab},
    };

    for (size_t i = 0; i < COUNT_OF(ROWS); i++)
        RT_TRY(fmt_gguf_put_u32(w, KEY(ROWS[i].name), ROWS[i].value));
    if (!(f->takes & MD_GGUF_EXPERTS))
        goto done;
    RT_TRY(fmt_gguf_put_u32(w, KEY("expert_count"), a->experts));
    RT_TRY(fmt_gguf_put_u32(w, KEY("expert_used_count"), a->top_k));
    RT_TRY(fmt_gguf_put_u32(w, KEY("expert_feed_forward_length"), a->expert_ffn));
done:
    return err;
}

static enum rt_err put_rope(const struct md_arch *a, const struct md_gguf_family *f,
                            struct fmt_gguf_writer *w)
{
    enum rt_err err = RT_OK;
    const struct md_rope *r = &a->rope;

    if (a->family->learned_positions)
        goto done;
    RT_TRY(fmt_gguf_put_u32(w, KEY("rope.dimension_count"), a->rot_dim));
    RT_TRY(fmt_gguf_put_f32(w, KEY("rope.freq_base"), (float) r->theta));
    if (f->takes & MD_GGUF_LOCAL_ROPE)
        RT_TRY(fmt_gguf_put_f32(w, KEY("rope.freq_base_swa"), (float) a->local_rope.theta));
    if (r->scaling == MD_ROPE_LINEAR) {
        RT_TRY(put_word(w, KEY("rope.scaling.type"), "linear"));
        RT_TRY(fmt_gguf_put_f32(w, KEY("rope.scaling.factor"), (float) r->factor));
    }
    // The rest of these two is in tensors.
    if (r->scaling == MD_ROPE_LLAMA3 || r->scaling == MD_ROPE_LONGROPE)
        RT_TRY(fmt_gguf_put_u32(w, KEY("rope.scaling.original_context_length"),
                                r->original_max_positions));
    if (r->scaling == MD_ROPE_LONGROPE)
        RT_TRY(fmt_gguf_put_f32(w, KEY("rope.scaling.attn_factor"), (float) r->attention_factor));
done:
    return err;
}

// The window, and which layers have it where those are not the family's.
static enum rt_err put_window(const struct md_arch *a, const struct md_gguf_family *f,
                              struct fmt_gguf_writer *w)
{
    enum rt_err err = RT_OK;
    bool usual = true;

    if (!(f->takes & MD_GGUF_WINDOW) || (a->window == 0 && !f->no_window_there))
        goto done;
    RT_TRY(fmt_gguf_put_u32(w, KEY("attention.sliding_window"), a->window));
    for (uint32_t l = 0; l < a->layers; l++)
        usual = usual && a->layer[l] == md_gguf_layer(f, a->window, f->window_step, l);
    if (usual)
        goto done;
    RT_TRY(fmt_gguf_put_array(w, KEY("attention.sliding_window_pattern"), FMT_GGUF_I32, a->layers));
    for (uint32_t l = 0; l < a->layers; l++)
        RT_TRY(fmt_gguf_item_i32(w, a->layer[l] & MD_LAYER_WINDOW ? 1 : 0));
done:
    return err;
}

static enum rt_err put_scales(const struct md_arch *a, const struct md_gguf_family *f,
                              struct fmt_gguf_writer *w)
{
    enum rt_err err = RT_OK;
    const bool all = f->takes & MD_GGUF_SCALES;
    const struct {
        const char *name;
        bool put;
        float value;
    } ROWS[] = {
        {"attn_logit_softcapping", f->takes & MD_GGUF_SOFTCAPS, a->attn_softcap},
        {"final_logit_softcapping",
         f->takes & MD_GGUF_SOFTCAPS || (f->takes & MD_GGUF_LOGIT_CAP && a->logit_softcap > 0.0f),
         a->logit_softcap},
        {"logit_scale", f->takes & MD_GGUF_LOGIT_SCALE, a->logit_scale},
        {"logit_scale", all, (float) md_gguf_inverse(a->logit_scale)},
        {"attention.scale", all, a->attn_scale},
        {"embedding_scale", all, a->embed_scale},
        {"residual_scale", all, a->residual_scale},
    };

    for (size_t i = 0; i < COUNT_OF(ROWS); i++)
        if (ROWS[i].put)
            RT_TRY(fmt_gguf_put_f32(w, KEY(ROWS[i].name), ROWS[i].value));
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
    RT_TRY(fmt_gguf_put_f32(w, KEY(md_gguf_eps_key(a)), a->norm_eps));
    RT_TRY(put_rope(a, f, w));
    RT_TRY(put_window(a, f, w));
    RT_TRY(put_scales(a, f, w));
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
    if (p->rank == 1 || p->weight == MD_POSITIONS ||
        p->weight == MD_ROUTER) // as llama.cpp's converter
        return FMT_QUANT_F32;
    return p->cols % fmt_quant_find(o->kind)->elements ? FMT_QUANT_F16 : o->kind;
}

static enum rt_err declare(const struct out *d, const struct md_params *params)
{
    enum rt_err err = RT_OK;
    const uint64_t half = d->o->arch->rot_dim / 2;

    if (d->o->arch->rope.scaling == MD_ROPE_LLAMA3)
        RT_TRY(fmt_gguf_writer_add(d->w, "rope_freqs.weight", FMT_QUANT_F32, 1, &half));
    if (d->o->arch->rope.scaling == MD_ROPE_LONGROPE) {
        RT_TRY(fmt_gguf_writer_add(d->w, MD_GGUF_LONG_FACTORS, FMT_QUANT_F32, 1, &half));
        RT_TRY(fmt_gguf_writer_add(d->w, MD_GGUF_SHORT_FACTORS, FMT_QUANT_F32, 1, &half));
    }
    for (uint32_t i = 0; i < params->n; i++) {
        const struct md_param *p = &params->all[i];
        const struct md_gguf_key name = md_gguf_name(p);
        const bool expert = md_weight_is_expert(p->weight);
        const uint64_t shape[3] = {d->o->arch->experts, p->rows, p->cols};
        if (!name.text[0])
            RT_TRY(refuse(d->o, p->name));
        if (p->expert == 0) // the others follow it in one tensor
            RT_TRY(fmt_gguf_writer_add(d->w, name.text, kind_of(d->o, p), p->rank + expert,
                                       shape + (expert ? 0 : 3 - p->rank)));
    }
done:
    return err;
}

// What llama.cpp divides the frequencies by.
static enum rt_err put_rope_freqs(const struct out *d)
{
    enum rt_err err = RT_OK;
    const struct md_arch *a = d->o->arch;
    const struct md_rope plain = {.theta = a->rope.theta};
    const uint32_t n = a->rot_dim / 2;
    double scaled_freq[MD_MAX_HEAD_DIM / 2], plain_freq[MD_MAX_HEAD_DIM / 2];
    float x[MD_MAX_HEAD_DIM / 2];
    const int sets = a->rope.scaling == MD_ROPE_LLAMA3     ? 1
                     : a->rope.scaling == MD_ROPE_LONGROPE ? 2
                                                           : 0;

    for (int k = 0; k < sets; k++) { // the long ones first
        md_rope_frequencies(&a->rope, a->rot_dim, k == 0, scaled_freq);
        md_rope_frequencies(&plain, a->rot_dim, false, plain_freq);
        for (uint32_t j = 0; j < n; j++)
            x[j] = (float) (plain_freq[j] / scaled_freq[j]);
        RT_TRY(fmt_gguf_writer_put_f32(d->w, x, n));
    }
done:
    return err;
}

// Rows [row, row + n) of the file; of a vector, its elements.
static enum rt_err read_rows(const struct out *d, const struct md_param *p,
                             const struct fmt_tensor *t, uint32_t row, uint32_t n)
{
    enum rt_err err = RT_OK;
    const uint64_t width = p->rank == 1 ? 1 : p->cols, count = (uint64_t) n * p->cols / width;

    if (md_gguf_row_of_file(d->family, d->o->arch, p->weight, 1) == 1) {
        RT_TRY(fmt_tensor_to_f32(t, (uint64_t) row * p->cols, (uint64_t) n * p->cols, d->x));
        goto done;
    }
    for (uint32_t i = 0; i < count; i++) {
        const uint64_t from = md_gguf_row_of_file(d->family, d->o->arch, p->weight, row + i);
        RT_TRY(fmt_tensor_to_f32(t, from * width, width, d->x + i * width));
    }
done:
    return err;
}

// A tensor that the folder has the other way round, as a whole.
static enum rt_err put_transposed(const struct out *d, const struct md_param *p,
                                  const struct fmt_tensor *t)
{
    enum rt_err err = RT_OK;
    const uint64_t n = (uint64_t) p->rows * p->cols;

    RT_TRY(fmt_tensor_to_f32(t, 0, n, d->x));
    md_transpose(d->x, p->cols, p->rows, d->x + n);
    RT_TRY(fmt_gguf_writer_put_f32(d->w, d->x + n, n));
done:
    return err;
}

static enum rt_err put_one(const struct out *d, const struct md_param *p)
{
    enum rt_err err = RT_OK;
    const struct fmt_tensor *t;
    const bool plus_one = md_gguf_is_plus_one(d->o->arch, p->weight);
    const uint32_t step = u32_max(1, SLICE / p->cols);

    RT_TRY(md_tensor_find(d->st, p, d->o->folder, &t));
    if (p->transposed)
        RT_TRY(put_transposed(d, p, t));
    for (uint32_t row = 0; !p->transposed && row < p->rows; row += step) {
        const uint32_t k = u32_min(step, p->rows - row);
        RT_TRY(read_rows(d, p, t, row, k));
        for (uint32_t i = 0; plus_one && i < p->cols; i++)
            d->x[i] += 1.0f;
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
    RT_TRY(md_params_make(o->arch, (struct md_room){UINT64_MAX, UINT64_MAX}, &params));
    for (uint32_t i = 0; i < params.n; i++) { // before anything is written
        RT_TRY(md_tensor_find(st, &params.all[i], o->folder, &t));
        most = u64_max(most, md_gguf_room(&params.all[i], true));
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
