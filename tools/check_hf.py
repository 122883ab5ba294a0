#!/usr/bin/env python3
"""Lay a training run of anydpo beside Hugging Face transformers. For developers: the program itself needs no Python.

usage: check_hf.py MODEL_DIR DUMP_DIR OUTPUT_DIR [--max_length N] [--tolerance NATS]
                   [--prompts PROMPTS.jsonl --anydpo PROGRAM [--device D] [--max_new_tokens N]]

MODEL_DIR is what was trained (model_name_or_path), DUMP_DIR and OUTPUT_DIR what `anydpo train` left behind (dump_dir,
output_dir), with the run's max_length. Needs torch, transformers 4.46 or later, and safetensors.
 - The log-probs of step 1 (step1.json) are computed again by transformers in f32 from the ids in tokens.json.
 - OUTPUT_DIR must load in transformers with no weight missing, left over or of another shape; its tensors must have the
   names and shapes of MODEL_DIR's and the type that its config.json names; none may hold NaN or Inf.
 - With --prompts, lines {"prompt": TEXT}: greedy answers of OUTPUT_DIR by both programs must be the same text.
Prints a line for each sequence and check; exit 0 only if all hold.
"""
import argparse
import json
import os
import subprocess
import sys

import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def read(*path):
    with open(os.path.join(*path), encoding="utf-8") as f:
        return json.load(f)


def load(folder):
    model, info = AutoModelForCausalLM.from_pretrained(folder, torch_dtype=torch.float32, output_loading_info=True)
    return model.eval(), info


def token_logps(model, prompt, completion, max_length):
    """Log-probs of the completion's tokens that have a logit, cut as keep_start does."""
    ids = (prompt + completion)[:max_length]
    with torch.no_grad():
        logp = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
    return [logp[i - 1, ids[i]].item() for i in range(max(len(prompt), 1), len(ids))]


def check_logps(model, dump, max_length, tolerance):
    rows = {r["row"]: r for r in read(dump, "tokens.json")["train"]["rows"]}
    worst_token = worst = 0.0
    failed = 0
    for micro in read(dump, "step1.json")["micro_batches"]:
        for i, row in enumerate(micro["rows"]):
            for side in ("chosen", "rejected"):
                want = token_logps(model, rows[row]["prompt_ids"], rows[row][side + "_ids"], max_length)
                got = micro[side + "_token_logps"][i]
                total = micro[side + "_logps"][i]
                if len(got) != len(want):
                    print(f"FAIL row {row} {side}: {len(got)} tokens, transformers has {len(want)}")
                    failed += 1
                    continue
                off = abs(total - sum(want))
                worst = max(worst, off)
                worst_token = max([worst_token] + [abs(g - w) for g, w in zip(got, want)])
                print(f"row {row:5d} {side:8s} {len(want):4d} tokens: {total:.6f} transformers {sum(want):.6f}")
    ok = failed == 0 and worst <= tolerance
    print(f"{'ok  ' if ok else 'FAIL'} step-1 log-probs: worst of a sequence {worst:.3g} nats (bound {tolerance:g}), "
          f"of a token {worst_token:.3g}")
    return ok


def tensors(folder):
    """name -> (shape, type, all finite) of every tensor in the folder's safetensors files."""
    out = {}
    for name in sorted(os.listdir(folder)):
        if name.startswith("model") and name.endswith(".safetensors"):
            with safe_open(os.path.join(folder, name), "pt") as f:
                for key in f.keys():
                    t = f.get_tensor(key)
                    out[key] = (tuple(t.shape), t.dtype, bool(torch.isfinite(t).all()))
    return out


def check_folder(original, output):
    want, got = tensors(original), tensors(output)
    config = read(output, "config.json")
    dtype = DTYPES[config.get("dtype") or config.get("torch_dtype")]
    bad = [f"{n}: missing" for n in want if n not in got] + [f"{n}: not in the original" for n in got if n not in want]
    for n in sorted(set(want) & set(got)):
        if want[n][0] != got[n][0]:
            bad.append(f"{n}: shape {got[n][0]}, in the original {want[n][0]}")
        if got[n][1] != dtype:
            bad.append(f"{n}: {got[n][1]}, config.json says {dtype}")
        if not got[n][2]:
            bad.append(f"{n}: holds NaN or Inf")
    model, info = load(output)
    for key in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        bad += [f"transformers: {key}: {n}" for n in info[key]]
    AutoTokenizer.from_pretrained(output)
    for line in bad[:20]:
        print("FAIL", line)
    print(f"{'FAIL' if bad else 'ok  '} {output}: {len(got)} tensors, {dtype}; the original's: "
          f"{sorted({str(t[1]) for t in want.values()})}")
    return not bad, model


def check_prompts(model, a):
    tok = AutoTokenizer.from_pretrained(a.output)
    ok = True
    for line in open(a.prompts, encoding="utf-8"):
        prompt = json.loads(line)["prompt"]
        x = tok.apply_chat_template([{"role": "user", "content": prompt}], add_generation_prompt=True, return_dict=True,
                                    return_tensors="pt")
        y = model.generate(**x, max_new_tokens=a.max_new_tokens, do_sample=False)[0][x["input_ids"].shape[1]:]
        want = tok.decode(y, skip_special_tokens=True)
        got = subprocess.run([a.anydpo, "generate", "--model_name_or_path", a.output, "--prompt", prompt, "--device", a.device,
                              "--max_new_tokens", str(a.max_new_tokens)], stdout=subprocess.PIPE, check=True).stdout.decode()
        same = got.rstrip("\n") == want.rstrip("\n")
        ok = ok and same
        print(f"{'ok  ' if same else 'FAIL'} {prompt[:60]!r}: {got[:200]!r}" + ("" if same else f" transformers {want[:200]!r}"))
    return ok


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("model")
    ap.add_argument("dump")
    ap.add_argument("output")
    ap.add_argument("--max_length", type=int, default=1024)
    ap.add_argument("--tolerance", type=float, default=2e-3)
    ap.add_argument("--prompts")
    ap.add_argument("--anydpo")
    ap.add_argument("--device", default="auto")
    ap.add_argument("--max_new_tokens", type=int, default=32)
    a = ap.parse_args()
    if bool(a.prompts) != bool(a.anydpo):
        ap.error("--prompts and --anydpo go together")
    model, _ = load(a.model)
    good = check_logps(model, a.dump, a.max_length, a.tolerance)
    same, model = check_folder(a.model, a.output)
    good = good and same
    if a.prompts:
        good = check_prompts(model, a) and good
    print("PASS" if good else "FAIL")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
