#include "src/model/gguf_names.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/base/half.h"
#include "src/model/family.h"

#define EITHER (MD_GGUF_TIED | MD_GGUF_UNTIED)
static const struct md_gguf_family FAMILIES[] = {
    {"llama", "llama", .takes = EITHER | MD_GGUF_ANY_HEAD | MD_GGUF_BIAS | MD_GGUF_ROPE_FREQS,
     .pairs = true},
    {"llama", "mistral", .takes = EITHER | MD_GGUF_ANY_HEAD | MD_GGUF_ROPE_FREQS, .pairs = true},
    {"llama", "mixtral", .takes = EITHER | MD_GGUF_ANY_HEAD | MD_GGUF_ROPE_FREQS | MD_GGUF_EXPERTS,
     .pairs = true},
    {"qwen3moe", "qwen3_moe", .takes = EITHER | MD_GGUF_ANY_HEAD | MD_GGUF_EXPERTS},
    {"qwen2", "qwen2", .takes = EITHER | MD_GGUF_ANY_HEAD},
    {"qwen3", "qwen3", .takes = EITHER | MD_GGUF_ANY_HEAD},
    {"smollm3", "smollm3", .takes = EITHER | MD_GGUF_ANY_HEAD, .pairs = true, .no_rope_step = 4},
    {"gemma", "gemma", .takes = MD_GGUF_TIED | MD_GGUF_ANY_HEAD},
    {"gemma2", "gemma2",
     .takes =
         MD_GGUF_TIED | MD_GGUF_ANY_HEAD | MD_GGUF_WINDOW | MD_GGUF_SOFTCAPS | MD_GGUF_LOGIT_CAP,
     .window_step = 2, .wide_layers = 46},
    {"gemma3", "gemma3_text",
     .takes = EITHER | MD_GGUF_ANY_HEAD | MD_GGUF_WINDOW | MD_GGUF_LOGIT_CAP | MD_GGUF_LOCAL_ROPE,
     .window_step = 6, .wide_layers = 62},
    {"phi3", "phi3", .takes = EITHER | MD_GGUF_WINDOW | MD_GGUF_LONGROPE, .window_step = UINT32_MAX,
     .no_window_there = true},
    {"olmo2", "olmo2", .takes = MD_GGUF_UNTIED},
    {"granite", "granite",
     .takes = EITHER | MD_GGUF_ANY_HEAD | MD_GGUF_SCALES | MD_GGUF_BIAS | MD_GGUF_ROPE_FREQS,
     .pairs = true},
    {"gpt2", "gpt2", .takes = EITHER | MD_GGUF_BIAS},
    {"command-r", "cohere", .takes = MD_GGUF_TIED | MD_GGUF_LOGIT_SCALE, .most_layers = 63},
    {"cohere2", "cohere2", .takes = MD_GGUF_TIED | MD_GGUF_LOGIT_SCALE | MD_GGUF_WINDOW,
     .window_step = 4, .no_rope_full = true},
};
#undef EITHER

// Those with a dot in front are of a layer, "blk.N" before them.
static const char *const NAMES[MD_WEIGHT_COUNT] = {
    [MD_EMBED] = "token_embd.weight",
    [MD_POSITIONS] = "position_embd.weight",
    [MD_ATTN_NORM] = ".attn_norm.weight",
    [MD_ATTN_NORM_BIAS] = ".attn_norm.bias",
    [MD_QKV] = ".attn_qkv.weight",
    [MD_QKV_BIAS] = ".attn_qkv.bias",
    [MD_Q] = ".attn_q.weight",
    [MD_Q_BIAS] = ".attn_q.bias",
    [MD_K] = ".attn_k.weight",
    [MD_K_BIAS] = ".attn_k.bias",
    [MD_V] = ".attn_v.weight",
    [MD_V_BIAS] = ".attn_v.bias",
    [MD_Q_NORM] = ".attn_q_norm.weight",
    [MD_K_NORM] = ".attn_k_norm.weight",
    [MD_O] = ".attn_output.weight",
    [MD_O_BIAS] = ".attn_output.bias",
    [MD_ATTN_POST_NORM] = ".post_attention_norm.weight",
    [MD_MLP_NORM] = ".ffn_norm.weight",
    [MD_MLP_NORM_BIAS] = ".ffn_norm.bias",
    [MD_GATE_UP] = ".ffn_up.weight",
    [MD_GATE] = ".ffn_gate.weight",
    [MD_GATE_BIAS] = ".ffn_gate.bias",
    [MD_UP] = ".ffn_up.weight",
    [MD_UP_BIAS] = ".ffn_up.bias",
    [MD_DOWN] = ".ffn_down.weight",
    [MD_DOWN_BIAS] = ".ffn_down.bias",
    [MD_EXPERT_GATE] = ".ffn_gate_exps.weight",
    [MD_EXPERT_UP] = ".ffn_up_exps.weight",
    [MD_EXPERT_DOWN] = ".ffn_down_exps.weight",
    [MD_ROUTER] = ".ffn_gate_inp.weight",
    [MD_MLP_POST_NORM] = ".post_ffw_norm.weight",
    [MD_FINAL_NORM] = "output_norm.weight",
    [MD_FINAL_NORM_BIAS] = "output_norm.bias",
    [MD_HEAD] = "output.weight",
};

enum rt_err md_gguf_family_find(const struct fmt_gguf *g, const struct md_gguf_family **out)
{
    enum rt_err err = RT_OK;
    struct fmt_gguf_str s;
    struct str known = {0};

    uint32_t experts;
    bool fits = false; // *out has experts as the file has

    *out = NULL;
    RT_TRY(fmt_gguf_text(g, "general.architecture", &s));
    for (size_t i = COUNT_OF(FAMILIES); i-- > 0;) {
        const char *arch = FAMILIES[i].arch;
        const bool first = i == 0 || strcmp(FAMILIES[i - 1].arch, arch) != 0;
        if (s.len == strlen(arch) && memcmp(s.data, arch, s.len) == 0) {
            RT_TRY(fmt_gguf_u32_or(g, md_gguf_key(&FAMILIES[i], "expert_count").text, 0, &experts));
            const bool same = !!(FAMILIES[i].takes & MD_GGUF_EXPERTS) == (experts > 0);
            if (same || !fits)
                *out = &FAMILIES[i];
            fits = fits || same;
        }
        if (first)
            RT_TRY(str_printf(&known, "%s%s", known.len ? ", " : "", arch));
    }
    if (!*out)
        RT_TRY(rt_fail(RT_E_UNSUPPORTED,
                       "%s: general.architecture \"%.*s\" is not supported; known: %s", g->path,
                       (int) (s.len > 40 ? 40 : s.len), s.data, known.data));
done:
    str_free(&known);
    return err;
}

enum rt_err md_gguf_family_of(const char *where, const struct md_arch *a,
                              const struct md_gguf_family **out)
{
    enum rt_err err = RT_OK;
    struct str known = {0};

    *out = NULL;
    for (size_t i = 0; i < COUNT_OF(FAMILIES); i++) {
        if (strcmp(FAMILIES[i].model_type, a->model_type) == 0)
            *out = &FAMILIES[i];
        RT_TRY(str_printf(&known, "%s%s", i ? ", " : "", FAMILIES[i].model_type));
    }
    if (!*out)
        RT_TRY(rt_fail(RT_E_UNSUPPORTED,
                       "%s: model_type %s cannot be written as GGUF here; known: %s", where,
                       a->model_type, known.data));
done:
    str_free(&known);
    return err;
}

struct md_gguf_key md_gguf_key(const struct md_gguf_family *f, const char *name)
{
    struct md_gguf_key key;
    snprintf(key.text, sizeof(key.text), "%s.%s", f->arch, name);
    return key;
}

struct md_gguf_key md_gguf_name(const struct md_param *p)
{
    const char *name = NAMES[p->weight];
    struct md_gguf_key key = {""};

    if (name && name[0] == '.')
        snprintf(key.text, sizeof(key.text), "blk.%u%s", p->layer, name);
    else if (name)
        snprintf(key.text, sizeof(key.text), "%s", name);
    return key;
}

uint8_t md_gguf_layer_bits(const struct md_gguf_family *f, bool window, uint32_t l)
{
    const bool still =
        (f->no_rope_step && (l + 1) % f->no_rope_step == 0) || (f->no_rope_full && !window);
    const bool local = window && f->takes & MD_GGUF_LOCAL_ROPE;
    const uint8_t experts = f->takes & MD_GGUF_EXPERTS ? MD_LAYER_EXPERTS : 0;
    return (uint8_t) (experts | (window ? MD_LAYER_WINDOW : 0) | (still ? MD_LAYER_NO_ROPE : 0) |
                      (local ? MD_LAYER_LOCAL_ROPE : 0));
}

uint8_t md_gguf_layer(const struct md_gguf_family *f, uint32_t window, uint32_t step, uint32_t l)
{
    return md_gguf_layer_bits(f, window && (step == 0 || (l + 1) % step != 0), l);
}

uint32_t md_gguf_attn_scalar(const struct md_gguf_family *f, const struct md_arch *a)
{
    return f->wide_layers && a->layers == f->wide_layers ? a->hidden / a->heads : a->head_dim;
}

const char *md_gguf_eps_key(const struct md_arch *a)
{
    return a->family->layer_norm ? "attention.layer_norm_epsilon"
                                 : "attention.layer_norm_rms_epsilon";
}

double md_gguf_longrope_factor(const struct md_arch *a)
{
    const double original = a->rope.original_max_positions, by = a->max_positions / original;
    const bool grows = a->rope.scaling == MD_ROPE_LONGROPE && by > 1.0;
    return grows ? sqrt(1.0 + log(by) / log(original)) : 1.0;
}

bool md_gguf_is_plus_one(const struct md_arch *a, enum md_weight w)
{
    static const enum md_weight NORMS[] = {MD_ATTN_NORM,      MD_Q_NORM,   MD_K_NORM,
                                           MD_ATTN_POST_NORM, MD_MLP_NORM, MD_MLP_POST_NORM,
                                           MD_FINAL_NORM};
    bool norm = false;
    for (size_t i = 0; i < COUNT_OF(NORMS); i++)
        norm = norm || NORMS[i] == w;
    return norm && a->family->norm_offset;
}

uint64_t md_gguf_room(const struct md_param *p, bool whole)
{
    return whole && p->transposed ? 2 * (uint64_t) p->rows * p->cols : p->cols;
}

static bool is_moved(const struct md_gguf_family *f, enum md_weight w)
{
    return f->pairs && (w == MD_Q || w == MD_K || w == MD_Q_BIAS || w == MD_K_BIAS);
}

// llama.cpp rotates neighbours (2j, 2j+1) of a head, Hugging Face elements j and j + D/2, so its
// converter moves row j + s D/2 of each head of q and k to 2j + s.
uint32_t md_gguf_row_in_file(const struct md_gguf_family *f, const struct md_arch *a,
                             enum md_weight w, uint32_t row)
{
    const uint32_t half = a->head_dim / 2, in = row % a->head_dim;
    return is_moved(f, w) ? row - in + 2 * (in % half) + in / half : row;
}

uint32_t md_gguf_row_of_file(const struct md_gguf_family *f, const struct md_arch *a,
                             enum md_weight w, uint32_t row)
{
    const uint32_t half = a->head_dim / 2, in = row % a->head_dim;
    return is_moved(f, w) ? row - in + in % 2 * half + in / 2 : row;
}

// The shortest decimal of v that gives the same float, as it is or as 1 / it.
static double shortest(double v, float f, bool inverse)
{
    char buf[32];
    for (int digits = 1; digits <= 17 && isfinite(v); digits++) {
        snprintf(buf, sizeof(buf), "%.*e", digits - 1, v);
        const double x = strtod(buf, NULL);
        if (f32_bits(inverse ? (float) (1.0 / x) : strtof(buf, NULL)) == f32_bits(f))
            return x;
    }
    return v;
}

double md_gguf_widen(float f)
{
    return shortest((double) f, f, false);
}

double md_gguf_inverse(float f)
{
    return shortest(1.0 / (double) f, f, true);
}
