#!/usr/bin/env python3
"""A run of a mixture of experts with the load-balancing loss, as make_goldens.py makes the others.

Made with the versions named there:   HF_HUB_OFFLINE=1 python make_moe.py OUT
OUT/models/moe, OUT/runs/moe_aux: Qwen3-MoE, a layer with experts behind one without. Gradients and weights have the
Hub's names.
"""
from goldens_base import *  # first: it sets the environment, and starts python again if it must
from goldens_models import *
from goldens_trainer import *
import goldens_trainer
from hub_names import hub_names

T = copy.deepcopy(SHARED)
T["families"] = {"moe": {"config": {
    "model_type": "qwen3_moe", "hidden_size": 16, "intermediate_size": 24, "moe_intermediate_size": 8,
    "num_hidden_layers": 2, "mlp_only_layers": [0], "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
    "vocab_size": 448, "num_experts": 5, "num_experts_per_tok": 3, "norm_topk_prob": False,
    "tie_word_embeddings": True}, "tok": "split", "template": "chatml"}}


class MoeTrainer(GoldenTrainer):
    def _keep_grad(self, model):
        first = self.grad1 is None
        super()._keep_grad(model)
        if first:
            self.grad1 = hub_names(self.grad1, model.config.model_type)


def main():
    os.makedirs(sys.argv[1], exist_ok=True)
    os.chdir(sys.argv[1])
    make_model(T, "moe", T["families"]["moe"], train_bpe(T), 60)
    for name in ("generation_config.json", "forward.safetensors"):
        os.remove(f"models/moe/{name}")
    goldens_trainer.GoldenTrainer = MoeTrainer
    goldens_trainer.KEEP.append("router_aux_loss_coef")
    raw = goldens_trainer.trainables
    goldens_trainer.trainables = lambda m: hub_names(raw(m), m.config.model_type)
    args = dict(router_aux_loss_coef=0.2, max_steps=4, per_device_train_batch_size=3)
    write_case(T, "moe_aux", dict(model="moe", rows=std_rows(66, 12, T["words"]), args=args))


if __name__ == "__main__":
    main()
