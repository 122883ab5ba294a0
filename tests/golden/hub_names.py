"""Tensors of a mixture of experts under the names that they have on the Hub, one an expert: transformers 5
holds them fused, (experts, 2 * ffn, hidden) and (experts, hidden, ffn)."""
import re

FUSED = re.compile(r"(.*\.layers\.\d+\.)mlp\.(experts\.gate_up_proj|experts\.down_proj|gate\.weight)$")
WORDS = {"mixtral": ("block_sparse_moe.", "w1", "w3", "w2"), "": ("mlp.", "gate_proj", "up_proj", "down_proj")}


def hub_names(tensors, model_type):
    block, gate, up, down = WORDS.get(model_type, WORDS[""])
    out = {}
    for name, t in tensors.items():
        m = FUSED.match(name)
        if not m:
            out[name] = t
        elif m.group(2) == "gate.weight":
            out[m.group(1) + block + "gate.weight"] = t
        else:
            for e in range(t.shape[0]):
                base = f"{m.group(1)}{block}experts.{e}."
                parts = {down: t[e]}
                if m.group(2).endswith("gate_up_proj"):
                    parts = dict(zip((gate, up), t[e].chunk(2)))
                out.update({f"{base}{k}.weight": v.contiguous().clone() for k, v in parts.items()})
    return out
