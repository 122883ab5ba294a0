#!/usr/bin/env python3
"""tests/golden/steps.json: log histories of TRL's DPOTrainer for options that no run in runs/ has.

    python3 tests/golden/make_steps.py        (trl 1.16, transformers 5.23, torch; CPU, float32)

Model and rows are the repository's own: models/llama and runs/family_llama/train.jsonl.
"""
import json
import os
import tempfile

from datasets import load_dataset
from transformers import AutoTokenizer
from trl import DPOConfig, DPOTrainer

HERE = os.path.dirname(os.path.abspath(__file__))
BASE = {"per_device_train_batch_size": 3, "gradient_accumulation_steps": 2, "learning_rate": 1e-3, "max_steps": 4,
        "logging_steps": 1, "beta": 0.1, "lr_scheduler_type": "constant", "weight_decay": 0.01}
CASES = {
    "ld_sft": {"ld_alpha": 0.5, "loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, 0.5]},
    "ld_weighted": {"ld_alpha": 0.25, "use_weighting": True},
    "sgd": {"optim": "sgd", "learning_rate": 0.5, "weight_decay": 0.05},
    "polynomial": {"lr_scheduler_type": "polynomial", "lr_scheduler_kwargs": {"power": 2.0, "lr_end": 1e-4},
                   "warmup_steps": 0.3},
    "stable_decay": {"lr_scheduler_type": "warmup_stable_decay", "lr_scheduler_kwargs": {"num_decay_steps": 2},
                     "warmup_steps": 1},
    "log_share": {"logging_steps": 0.3, "max_steps": 6},
    "log_epoch": {"logging_strategy": "epoch", "max_steps": -1, "num_train_epochs": 1.5},
    "log_epoch_cut": {"logging_strategy": "epoch", "max_steps": 3},
    "epochs": {"num_train_epochs": 0.6, "max_steps": -1},
}
KEYS = ("step", "epoch", "loss", "grad_norm", "learning_rate", "rewards/margins", "logps/chosen", "train_loss")


def main():
    rows = load_dataset("json", data_files=os.path.join(HERE, "runs/family_llama/train.jsonl"), split="train")
    model = os.path.join(HERE, "models/llama")
    out = {}
    for name, more in CASES.items():
        with tempfile.TemporaryDirectory() as d:
            args = DPOConfig(output_dir=d, bf16=False, use_cpu=True, report_to=[], save_strategy="no", seed=42,
                             disable_tqdm=True, gradient_checkpointing=False, dataloader_pin_memory=False,
                             **{**BASE, **more})
            tr = DPOTrainer(model=model, args=args, train_dataset=rows,
                            processing_class=AutoTokenizer.from_pretrained(model))
            tr.train()
            log = [{k: e[k] for k in KEYS if k in e} for e in tr.state.log_history]
        out[name] = {"options": {**BASE, **more}, "log_history": log}
    with open(os.path.join(HERE, "steps.json"), "w") as f:
        json.dump(out, f, indent=1)
        f.write("\n")


if __name__ == "__main__":
    main()
