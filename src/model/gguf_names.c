#include "src/model/gguf_names.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/arith.h"
#include "src/base/half.h"

static const struct md_gguf_family FAMILIES[] = {
    {"llama", "llama", .pairs = true},
    {"llama", "mistral", .pairs = true},
    {"qwen2", "qwen2", .pairs = false},
    {"qwen3", "qwen3", .pairs = false},
    {"smollm3", "smollm3", .pairs = true, .no_rope_step = 4},
};

// Those with a dot in front are of a layer, "blk.N" before them.
static const char *const NAMES[MD_WEIGHT_COUNT] = {
    [MD_EMBED] = "token_embd.weight",    [MD_ATTN_NORM] = ".attn_norm.weight",
    [MD_Q] = ".attn_q.weight",           [MD_Q_BIAS] = ".attn_q.bias",
    [MD_K] = ".attn_k.weight",           [MD_K_BIAS] = ".attn_k.bias",
    [MD_V] = ".attn_v.weight",           [MD_V_BIAS] = ".attn_v.bias",
    [MD_Q_NORM] = ".attn_q_norm.weight", [MD_K_NORM] = ".attn_k_norm.weight",
    [MD_O] = ".attn_output.weight",      [MD_O_BIAS] = ".attn_output.bias",
    [MD_MLP_NORM] = ".ffn_norm.weight",  [MD_GATE] = ".ffn_gate.weight",
    [MD_GATE_BIAS] = ".ffn_gate.bias",   [MD_UP] = ".ffn_up.weight",
    [MD_UP_BIAS] = ".ffn_up.bias",       [MD_DOWN] = ".ffn_down.weight",
    [MD_DOWN_BIAS] = ".ffn_down.bias",   [MD_FINAL_NORM] = "output_norm.weight",
    [MD_HEAD] = "output.weight",
};

enum rt_err md_gguf_family_find(const struct fmt_gguf *g, const struct md_gguf_family **out)
{
    enum rt_err err = RT_OK;
    struct fmt_gguf_str s;
    struct str known = {0};

    *out = NULL;
    RT_TRY(fmt_gguf_text(g, "general.architecture", &s));
    for (size_t i = COUNT_OF(FAMILIES); i-- > 0;) {
        const char *arch = FAMILIES[i].arch;
        const bool first = i == 0 || strcmp(FAMILIES[i - 1].arch, arch) != 0;
        if (s.len == strlen(arch) && memcmp(s.data, arch, s.len) == 0)
            *out = &FAMILIES[i];
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

double md_gguf_widen(float f)
{
    char buf[32];
    for (int digits = 1; digits <= 9 && isfinite(f); digits++) { // 9 always read back
        snprintf(buf, sizeof(buf), "%.*e", digits - 1, (double) f);
        if (f32_bits(strtof(buf, NULL)) == f32_bits(f))
            return strtod(buf, NULL);
    }
    return (double) f;
}
