#!/usr/bin/env python3
"""tests/golden/schedules.json: what transformers' own schedules give, step by step.

    python3 tests/golden/make_schedules.py        (transformers 5.23, torch)

A case: lr_scheduler_type, lr_scheduler_kwargs, warmup_steps as TrainingArguments has it, all steps, the peak
learning rate, and the factor of the peak at scheduler steps 0 .. steps - 1.
"""
import json
import math
import os

import torch
from transformers import get_scheduler

LR = 1e-3
CASES = [
    ("linear", {}), ("constant", {}), ("constant_with_warmup", {}), ("cosine", {}), ("cosine", {"num_cycles": 1.25}),
    ("cosine_with_restarts", {}), ("cosine_with_restarts", {"num_cycles": 3}),
    ("polynomial", {}), ("polynomial", {"lr_end": 2e-4, "power": 2.5}), ("polynomial", {"lr_end": 0.0, "power": 0.5}),
    ("inverse_sqrt", {}), ("inverse_sqrt", {"timescale": 50}),
    ("cosine_with_min_lr", {"min_lr": 1e-4}), ("cosine_with_min_lr", {"min_lr_rate": 0.25, "num_cycles": 0.75}),
    ("cosine_warmup_with_min_lr", {"min_lr": 1e-4}),
    ("cosine_warmup_with_min_lr", {"min_lr_rate": 0.1, "warmup_lr_rate": 0.05}),
    ("warmup_stable_decay", {"num_decay_steps": 5}),
    ("warmup_stable_decay", {"num_decay_steps": 4, "num_stable_steps": 2, "min_lr_ratio": 0.1, "decay_type": "linear"}),
    ("warmup_stable_decay", {"num_decay_steps": 6, "decay_type": "1-sqrt", "warmup_type": "1-sqrt"}),
    ("warmup_stable_decay", {"num_decay_steps": 6, "warmup_type": "cosine", "min_lr_ratio": 0.2, "num_cycles": 1.0}),
]


def factors(kind, kwargs, warmup, steps):
    w = int(warmup) if warmup >= 1 else math.ceil(steps * warmup)  # TrainingArguments.get_warmup_steps
    opt = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=LR)
    s = get_scheduler(kind, opt, num_warmup_steps=w, num_training_steps=steps, scheduler_specific_kwargs=kwargs)
    return [float(s.lr_lambdas[0](k)) for k in range(steps)]


def main():
    out = []
    for kind, kwargs in CASES:
        for warmup, steps in ((0, 12), (3, 12), (0.3, 11), (1, 7), (20, 12)):
            if kind == "constant" and warmup:
                continue
            out.append({"type": kind, "kwargs": kwargs, "warmup_steps": warmup, "steps": steps, "lr": LR,
                        "factors": factors(kind, kwargs, warmup, steps)})
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "schedules.json")
    with open(path, "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(c) for c in out) + "\n]\n")


if __name__ == "__main__":
    main()
