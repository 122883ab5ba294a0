// src/model/adapter.h -- LoRA: which weights have an adapter, and the list of its tensors.
//
// A linear y = W x with an adapter is y = W x + scale * B (A x), A (r, in), B (out, r). A weight
// that PEFT calls a module to save has a trained copy, used in its place while the adapter is on.
// Source: Hu et al. 2021, arXiv:2106.09685, section 4.1; rsLoRA: Kalajdzievski 2023,
// arXiv:2312.03732; peft 0.21, tuners/lora/layer.py.
#ifndef MODEL_ADAPTER_H
#define MODEL_ADAPTER_H

#include "src/format/peft.h"
#include "src/model/params.h"

// Where the tensors of one weight are in an adapter's list, -1 = it has none.
struct md_adapted {
    int a, b, magnitude, full; // A and B of LoRA, DoRA's magnitude, the trained copy
};

// Owned by the model. { 0 } is no adapter.
struct md_adapter {
    struct md_params params; // tensors with PEFT's names
    struct md_adapted *of;   // of each weight of each layer
    uint32_t layers, rank;
    float scale;          // alpha / r, of rsLoRA alpha / sqrt(r)
    struct fmt_peft peft; // settings; targets as they are to be saved
};

// Lay out the adapter that `peft` describes for the weights `base`.
// Errors: RT_E_UNSUPPORTED  a target that is no linear of the decoder, lm_head among them, or a
//                           module both adapted and saved; a model type without default
//                           targets
//         RT_E_NOT_FOUND    no module has such a name; the message lists those that there are
//         RT_E_FORMAT, RT_E_NOMEM
RT_NODISCARD enum rt_err md_adapter_make(const struct md_arch *arch, const struct md_params *base,
                                         const struct fmt_peft *peft, struct md_room room,
                                         struct md_adapter *out);
void md_adapter_free(struct md_adapter *a);

static inline bool md_adapter_any(const struct md_adapter *a)
{
    return a->params.n > 0;
}

// The tensors of a weight, by value; all -1 where there is no adapter.
struct md_adapted md_adapter_of(const struct md_adapter *a, enum md_weight weight, uint32_t layer);

// The first values of a new adapter, as PEFT's: A uniform in +-1/sqrt(in) (kaiming_uniform_ with
// a = sqrt 5) from `seed`, B zero, DoRA's magnitudes zero (md_model_open sets them), copies as
// `folder` has them, rounded to load_dtype once. `to` (layout of a->params) must hold zeros.
RT_NODISCARD enum rt_err md_adapter_init(const struct md_adapter *a, const char *folder,
                                         enum rt_type load_dtype, uint64_t seed,
                                         struct md_flat *to);

// Read folder/adapter_model.safetensors. Errors: RT_E_NOT_FOUND a tensor is missing, RT_E_SHAPE it
// was made for another base, RT_E_FORMAT it has one that the settings do not speak of; each names
// it.
RT_NODISCARD enum rt_err md_adapter_load(const struct md_adapter *a, const char *folder,
                                         struct md_flat *to);

// Write dir/adapter_config.json and dir/adapter_model.safetensors (f32).
RT_NODISCARD enum rt_err md_adapter_save(const struct md_adapter *a, const struct md_flat *from,
                                         const char *base_model, const char *dir);

// Whether `targets` (as fmt_peft's; NULL = by the model's type) adapt the same weights as `a` has.
// Errors: those of md_adapter_make.
RT_NODISCARD enum rt_err md_adapter_same_targets(const struct md_adapter *a,
                                                 const struct md_arch *arch,
                                                 const struct md_params *base, const cJSON *targets,
                                                 bool *out);

#endif // MODEL_ADAPTER_H
