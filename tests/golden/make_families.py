#!/usr/bin/env python3
"""Tiny random decoders by transformers: their forward, and the gradient of a sequence's log-prob.

python3 make_families.py OUT [NAME ...]     made with torch 2.15.0, transformers 5.23.0, in float64

OUT/NAME/config.json, model.safetensors (f32), forward.safetensors: input_ids (T), hidden_states.i
and logits (f32, from a run in float64) as in the families' goldens, and grad.NAME: gradient of the
sum over t of log p(ids[t + 1] | ids[.. t]) in each weight.
"""
import json
import os
import sys

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoConfig

from hub_names import hub_names

BASE = dict(vocab_size=38, hidden_size=16, intermediate_size=24, num_hidden_layers=2,
            num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=64,
            bos_token_id=1, eos_token_id=2, pad_token_id=0)
FACTORS = dict(short_factor=[1.0, 1.5, 2.0, 3.0], long_factor=[1.0, 2.0, 5.0, 9.0])


def rope(**kw):
    return dict(rope_parameters=dict(rope_theta=10000.0, **kw))


# Sequences of 14 tokens: beyond longrope's original 12 in one case, not in the other.
MODELS = {
    "llama_bias": dict(model_type="llama", attention_bias=True, mlp_bias=True, hidden_act="gelu"),
    "llama_linear": dict(model_type="llama", **rope(rope_type="linear", factor=3.0)),
    "llama_dynamic": dict(model_type="llama", **rope(rope_type="dynamic", factor=3.0)),
    "llama_yarn": dict(model_type="llama", **rope(rope_type="yarn", factor=4.0,
                       original_max_position_embeddings=16)),
    "qwen2_window": dict(model_type="qwen2", use_sliding_window=True, sliding_window=5,
                         max_window_layers=1),
    "phi3_short": dict(model_type="phi3", original_max_position_embeddings=20,
                       **rope(rope_type="longrope", original_max_position_embeddings=20, **FACTORS)),
    "phi3_long": dict(model_type="phi3", original_max_position_embeddings=12,
                      **rope(rope_type="longrope", original_max_position_embeddings=12, **FACTORS)),
    "phi3_partial": dict(model_type="phi3", sliding_window=6,
                         **rope(rope_type="default", partial_rotary_factor=0.5)),
    "smollm3": dict(model_type="smollm3", num_hidden_layers=3, no_rope_layers=[1, 0, 1]),
    "qwen3": dict(model_type="qwen3", head_dim=8, tie_word_embeddings=True),
    "gpt2": dict(model_type="gpt2", n_embd=16, n_head=2, n_layer=2, n_inner=24, n_positions=32),
    "gemma2": dict(model_type="gemma2", head_dim=10, sliding_window=5, query_pre_attn_scalar=12,
                   attn_logit_softcapping=2.0, final_logit_softcapping=3.0),
    "gemma3_text": dict(model_type="gemma3_text", head_dim=8, sliding_window=5,
                        query_pre_attn_scalar=12,
                        attn_logit_softcapping=2.0,  # which transformers does not use
                        layer_types=["sliding_attention", "full_attention"],
                        rope_parameters=dict(
                            full_attention=dict(rope_theta=1e6, rope_type="linear", factor=8.0),
                            sliding_attention=dict(rope_theta=1e4, rope_type="default"))),
    "olmo2": dict(model_type="olmo2"),
    "granite": dict(model_type="granite", embedding_multiplier=3.0, attention_multiplier=0.2,
                    residual_multiplier=0.4, logits_scaling=2.0, tie_word_embeddings=True),
    "cohere": dict(model_type="cohere", attention_bias=True, logit_scale=0.5),
    "cohere2": dict(model_type="cohere2", num_hidden_layers=3, logit_scale=0.25, sliding_window=5,
                    layer_types=["sliding_attention", "full_attention", "sliding_attention"]),
    "mixtral": dict(model_type="mixtral", intermediate_size=6, num_local_experts=3,
                    num_experts_per_tok=2),
    "qwen3_moe": dict(model_type="qwen3_moe", moe_intermediate_size=4, num_experts=3,
                      num_experts_per_tok=2, num_hidden_layers=3, decoder_sparse_step=2, head_dim=8,
                      intermediate_size=8),
}


SEEDS = {"cohere": 101, "cohere2": 102, "mixtral": 103, "qwen3_moe": 104}  # of those that came later


def make(name, out):
    torch.manual_seed(SEEDS.get(name) or sorted(set(MODELS) - set(SEEDS)).index(name) + 1)
    base = {k: v for k, v in BASE.items() if k.endswith("_id") or k == "vocab_size"}
    kw = {**(base if name == "gpt2" else BASE), **MODELS[name]}
    config = AutoConfig.for_model(kw.pop("model_type"), **kw)
    config._attn_implementation = "eager"
    config._experts_implementation = "eager"  # the other has no float64
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for key, p in model.named_parameters():
            norm = "norm" in key or ".ln_" in key
            scale = 0.1 if key.endswith("bias") else 0.2 if norm else 0.35
            one = norm and key.endswith("weight") and "gemma" not in name
            p.copy_(torch.randn_like(p) * scale + (1.0 if one else 0.0))
    model.eval()
    folder = os.path.join(out, name)
    os.makedirs(folder, exist_ok=True)
    tied = config.tie_word_embeddings
    weights = {k: v.contiguous() for k, v in model.state_dict().items()
               if not (tied and k == "lm_head.weight")}
    weights = hub_names(weights, config.model_type)
    save_file(weights, os.path.join(folder, "model.safetensors"))
    config.architectures = [type(model).__name__]
    config.to_json_file(os.path.join(folder, "config.json"), use_diff=False)
    trim(os.path.join(folder, "config.json"))

    model.double()
    ids = torch.randint(0, kw["vocab_size"], (1, 14))
    res = model(input_ids=ids, output_hidden_states=True, use_cache=False)
    logp = torch.log_softmax(res.logits[0, :-1], -1).gather(1, ids[0, 1:, None]).sum()
    logp.backward()
    tensors = {"input_ids": ids[0].to(torch.int32), "logits": res.logits[0].detach().float()}
    for i, h in enumerate(res.hidden_states):
        tensors[f"hidden_states.{i}"] = h[0].detach().float().contiguous()
    grads = hub_names({key: p.grad for key, p in model.named_parameters()}, config.model_type)
    for key, g in grads.items():
        tensors["grad." + key] = g.float().contiguous()
    save_file(tensors, os.path.join(folder, "forward.safetensors"))


def trim(path):
    """Only what config.json of a saved model has."""
    drop = ("return_dict", "output_", "id2label", "label2id", "problem_type", "is_encoder",
            "chunk_size", "_name_or_path", "_attn", "tie_encoder", "cross_attention")
    with open(path) as f:
        config = json.load(f)
    config = {k: v for k, v in config.items() if not k.startswith(drop)}
    with open(path, "w") as f:
        json.dump(config, f, indent=1, sort_keys=True)
        f.write("\n")


if __name__ == "__main__":
    for which in sys.argv[2:] or MODELS:
        make(which, sys.argv[1])
