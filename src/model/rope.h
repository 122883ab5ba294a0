// src/model/rope.h -- parameters of the rotation out of a config.json.
#ifndef MODEL_ROPE_H
#define MODEL_ROPE_H

#include "src/format/json.h"
#include "src/model/arch.h"

// Read one set of parameters from `j` (rope_parameters of transformers 5, rope_scaling of 4; a node
// of NULL: there is none). a->rot_dim and a->max_positions are set; `original` and `theta` stand
// for what `j` does not say.
// Errors: RT_E_FORMAT, RT_E_UNSUPPORTED a type that is not known; the key is named.
// Source: transformers 5, modeling_rope_utils.py; YaRN: Peng et al. 2023, arXiv:2309.00071, section
// 3; LongRoPE: Ding et al. 2024, arXiv:2402.13753.
RT_NODISCARD enum rt_err md_rope_read(const struct fmt_json *j, const struct md_arch *a,
                                      uint32_t original, double theta, struct md_rope *out);

#endif // MODEL_ROPE_H
