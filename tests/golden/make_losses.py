#!/usr/bin/env python3
"""tests/golden/losses/relatives.json: losses that TRL has in other trainers than DPO's.

    python3 tests/golden/make_losses.py        (trl 1.16, torch)

simpo is CPOTrainer.cpo_loss and orpo ORPOTrainer.odds_ratio_loss (without its likelihood term, which is sft's), run
with a stand-in for the trainer; cdpo is the sigmoid branch of TRL 0.28's dpo_loss. Losses of six pairs, and their
gradient by the summed log-probs; three pairs are saturated.
"""
import json
import os
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from trl.experimental.cpo import CPOTrainer
from trl.experimental.orpo import ORPOTrainer

LOGPS = [-12.5, -30.0, -8.25, -4000.0, -0.5, -9000.0, -14.0, -28.5, -20.0, -3.0, -9000.0, -8999.0]
REF = [-13.0, -29.0, -9.0, -60.0, -60.0, -8000.0, -13.5, -29.5, -18.0, -50.0, -50.0, -100.0]
LENGTHS = [5.0, 12.0, 3.0, 20.0, 4.0, 6.0, 6.0, 10.0, 8.0, 18.0, 9.0, 7.0]
N = 6


def cdpo(logps, beta, smoothing, gamma):
    rho = logps - torch.tensor(REF, dtype=torch.float64)
    z = beta * (rho[:N] - rho[N:])
    return -F.logsigmoid(z) * (1 - smoothing) - F.logsigmoid(-z) * smoothing


def simpo(logps, beta, smoothing, gamma):
    me = SimpleNamespace(alpha=0.0, beta=beta, label_smoothing=smoothing, simpo_gamma=gamma, loss_type="simpo",
                         accelerator=SimpleNamespace(device="cpu"))
    mean = logps / torch.tensor(LENGTHS, dtype=torch.float64)
    return CPOTrainer.cpo_loss(me, mean[:N], mean[N:])[0]


def orpo(logps, beta, smoothing, gamma):
    me = SimpleNamespace(beta=beta, accelerator=SimpleNamespace(device="cpu"))
    mean = logps / torch.tensor(LENGTHS, dtype=torch.float64)
    return -ORPOTrainer.odds_ratio_loss(me, mean[:N], mean[N:])[0]


def main():
    cases = []
    for f, beta, smoothing, gamma in ((cdpo, 0.1, 0.0, 0.0), (cdpo, 0.1, 0.1, 0.0), (cdpo, 0.5, 0.3, 0.0),
                                      (simpo, 2.0, 0.0, 0.5), (simpo, 2.5, 0.1, 1.4), (simpo, 0.1, 0.0, 0.0),
                                      (orpo, 0.1, 0.0, 0.0), (orpo, 1.0, 0.0, 0.0)):
        x = torch.tensor(LOGPS, dtype=torch.float64, requires_grad=True)
        loss = f(x, beta, smoothing, gamma)
        loss.sum().backward()
        cases.append({"type": f.__name__, "beta": beta, "label_smoothing": smoothing, "simpo_gamma": gamma,
                      "loss": loss.double().tolist(), "dlogp": x.grad.tolist()})
    out = os.path.join(os.path.dirname(os.path.abspath(__file__)), "losses", "relatives.json")
    with open(out, "w") as f:
        json.dump({"logps": LOGPS, "ref_logps": REF, "lengths": LENGTHS, "cases": cases}, f, indent=1)
        f.write("\n")


if __name__ == "__main__":
    main()
