"""What the makers of the runs share: set-up, the table of shapes and words, small tools, rows."""
import os, sys

if os.environ.get("PYTHONHASHSEED") != "0":  # PEFT writes sets; fix their order
    os.environ["PYTHONHASHSEED"] = "0"
    os.execv(sys.executable, [sys.executable] + sys.argv)
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TQDM_DISABLE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import argparse, copy, hashlib, inspect, json, math, random, re, shutil, textwrap, time, warnings

warnings.filterwarnings("ignore")
import numpy as np
import torch

torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)
import transformers
from datasets import Dataset
from datasets.utils.logging import disable_progress_bar
from peft import LoraConfig, PeftModel
from safetensors.torch import load_file, save_file
from tokenizers import Regex, Tokenizer, decoders, models as tk_models, normalizers, pre_tokenizers, processors, trainers
from torch.overrides import TorchFunctionMode
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast, set_seed
from transformers.trainer_callback import PrinterCallback, ProgressCallback
from trl import DPOConfig, DPOTrainer
from trl.trainer import dpo_trainer as trl_dpo

disable_progress_bar()
transformers.utils.logging.set_verbosity_error()

# ---------------------------------------------------------------------------------------------------- variant table

SHARED = {
    "seed": 42,
    "weight_seed": 1000,
    "data_seed": 11,
    "tok_vocab": 443,
    "linear_std": 0.10,
    "embed_std": 0.12,
    "words": {
        "thing": "river lamp garden engine letter window bridge kitchen violin harbor market forest planet ladder bottle".split(),
        "adj": "quiet bright heavy narrow honest simple cold patient broken clever yellow modern".split(),
        "verb": "build repair describe paint measure clean explain carry find protect".split(),
        "place": "in the old town|near the sea|at school|on the hill|behind the station|under the roof".split("|"),
        "name": "Anna Peter Maria Tom Julia Ravi Chen Omar".split(),
    },
    "extra_lines": ["The café opens at 7:30, naïve as it is.", "Total: 1234 + 56 = 1290.", "Emoji test 🙂 done.",
                    "def add(a, b):\n    return a + b", "\tIndented line\n\n  two spaces"],
    "train_rows": 27,
    "eval_rows": 5,
    "families": {
        "llama": {"config": {"model_type": "llama", "hidden_size": 56, "intermediate_size": 96, "num_hidden_layers": 2,
                             "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 448,
                             "tie_word_embeddings": True, "rope_parameters": {"rope_type": "default", "rope_theta": 100000.0}},
                  "tok": "plain", "template": "smol"},
        "llama3": {"config": {"model_type": "llama", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
                              "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 448, "tie_word_embeddings": False,
                              "rope_parameters": {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0,
                                                  "high_freq_factor": 4.0, "original_max_position_embeddings": 32}},
                   "tok": "split_bos", "template": "chatml"},
        "mistral": {"config": {"model_type": "mistral", "hidden_size": 64, "intermediate_size": 112, "num_hidden_layers": 2,
                               "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 448, "sliding_window": 12,
                               "tie_word_embeddings": False}, "tok": "bos", "template": "chatml"},
        "qwen2": {"config": {"model_type": "qwen2", "hidden_size": 64, "intermediate_size": 112, "num_hidden_layers": 2,
                             "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 456, "tie_word_embeddings": True},
                  "tok": "split", "template": "chatml"},
        "qwen3": {"config": {"model_type": "qwen3", "hidden_size": 64, "intermediate_size": 112, "num_hidden_layers": 2,
                             "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 24, "vocab_size": 448,
                             "tie_word_embeddings": True}, "tok": "split", "template": "chatml"},
        "gpt2": {"config": {"model_type": "gpt2", "n_embd": 64, "n_layer": 2, "n_head": 4, "n_inner": 128, "n_positions": 192,
                            "vocab_size": 448}, "tok": "plain", "template": "chatml"},
        "gemma": {"config": {"model_type": "gemma", "hidden_size": 64, "intermediate_size": 112, "num_hidden_layers": 2,
                             "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 16, "vocab_size": 448},
                  "tok": "bos", "template": "chatml"},
        "gemma2": {"config": {"model_type": "gemma2", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3,
                              "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 448,
                              "sliding_window": 14, "attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0,
                              "query_pre_attn_scalar": 20}, "tok": "bos", "template": "chatml"},
        "gemma3_text": {"config": {"model_type": "gemma3_text", "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3,
                                   "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 448,
                                   "sliding_window": 12, "query_pre_attn_scalar": 24,
                                   "layer_types": ["sliding_attention", "sliding_attention", "full_attention"],
                                   "rope_parameters": {"sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
                                                       "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0}}},
                        "tok": "bos", "template": "chatml"},
        "phi3": {"config": {"model_type": "phi3", "hidden_size": 64, "intermediate_size": 112, "num_hidden_layers": 2,
                            "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 448, "tie_word_embeddings": False},
                 "tok": "plain", "template": "chatml"},
        "olmo2": {"config": {"model_type": "olmo2", "hidden_size": 64, "intermediate_size": 112, "num_hidden_layers": 2,
                             "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 448, "tie_word_embeddings": False,
                             "rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}},
                  "tok": "plain", "template": "chatml"},
    },
    "values": {"beta_alt": 0.5, "exo_eps": 1e-3, "robust_eps": 0.1, "aot_eps": 0.1, "alpha_coef": 0.5, "alpha_coef2": 1.7,
               "ld_alpha": 0.5, "tau": 0.05, "mpo": [0.8, 0.2, 1.0], "rpo": 0.5, "seed_alt": 1, "data_seed_alt": 7, "max_len": 30,
               "max_len_end": 26, "sync_steps": 2, "sync_alpha": 0.6, "adam": [0.8, 0.95, 1e-6, 0.2], "clip_tiny": 0.01,
               "lr_big": 0.02, "epoch_rows": 11, "epoch_gas": 4, "drop_rows": 13, "lora_r": 8, "lora_alpha": 16,
               "qv_r": 4, "qv_alpha": 8, "pad_mult": 16, "eval_rows": 5, "eval_bs": 2},
}

SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<s>"]
CHATML = ("{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
          "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
SMOL = ("{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are a helpful "
        "assistant.<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
SPLIT_RE = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")

# -------------------------------------------------------------------------------------------------------- small tools


def jdump(path, obj, indent=None):
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        json.dump(obj, f, ensure_ascii=False, indent=indent)
        f.write("\n")


def jlines(path, rows):
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        for r in rows:
            f.write(json.dumps(r, ensure_ascii=False) + "\n")


def floats(t):
    return [float(x) for x in t.detach().reshape(-1).tolist()]


def stats(tensors):
    out = {}
    for n, t in sorted(tensors.items()):
        d = t.detach().double().reshape(-1)
        k = d.numel()
        idx = sorted({0, k // 3, (2 * k) // 3, k - 1})
        out[n] = {"shape": list(t.shape), "sum": float(d.sum()), "l2": float(d.norm()),
                  "samples": [[i, float(d[i])] for i in idx]}
    return out


# --------------------------------------------------------------------------------------------------------------- data


def sentence(r, w):
    t, a, v = (lambda: r.choice(w["thing"])), (lambda: r.choice(w["adj"])), (lambda: r.choice(w["verb"]))
    p, n = (lambda: r.choice(w["place"])), (lambda: r.choice(w["name"]))
    k = r.randrange(7)
    if k == 0:
        return f"The {a()} {t()} stands {p()}."
    if k == 1:
        return f"{n()} wants to {v()} the {t()} {p()}."
    if k == 2:
        return f"You should {v()} a {a()} {t()} before you {v()} the {t()}."
    if k == 3:
        return f"It costs {r.randrange(2, 990)} coins and takes {r.randrange(2, 60)} minutes."
    if k == 4:
        return f"{n()} said: \"{v().capitalize()} the {a()} {t()}!\""
    if k == 5:
        return f"A {t()} is {a()}, but a {t()} isn't {a()}."
    return f"First {v()} the {t()}, then {v()} the {a()} one, and ask {n()}."


def question(r, w):
    k = r.randrange(5)
    t, a, v, p = r.choice(w["thing"]), r.choice(w["adj"]), r.choice(w["verb"]), r.choice(w["place"])
    return [f"How do I {v} a {t}?", f"Why is the {t} {p} so {a}?", f"Write {r.randrange(2, 5)} lines about a {a} {t}.",
            f"Who can {v} the {t}?", f"Tell {r.choice(w['name'])} how to {v} the {a} {t} {p}."][k]


def answers(r, w):
    """Two texts that begin differently, of unlike lengths."""
    while True:
        c = " ".join(sentence(r, w) for _ in range(r.randrange(1, 4)))
        d = " ".join(sentence(r, w) for _ in range(r.randrange(1, 4)))
        if c[0] != d[0]:
            return c, d


def std_rows(seed, n, w, extra=()):
    r = random.Random(seed)
    rows = []
    for i in range(n):
        c, d = answers(r, w)
        if i < len(extra):
            c = c + " " + extra[i]
        rows.append({"prompt": f"Question: {question(r, w)}\nAnswer:", "chosen": " " + c, "rejected": " " + d})
    return rows


def implicit_rows(seed, n, w):
    """Whole texts; the longest common character prefix becomes the prompt (it may end inside a word)."""
    r = random.Random(seed)
    rows = []
    for i in range(n):
        q = question(r, w)
        c, d = answers(r, w)
        if i % 3 == 0:  # share the first letters of the answer
            d = c[: r.randrange(1, 8)] + d
        if i % 5 == 4:  # one text is a prefix of the other
            d = c[: max(3, len(c) // 2)]
        rows.append({"chosen": f"{q} {c}", "rejected": f"{q} {d}"})
    return rows


def merge_rows(seed, n, w):
    """Explicit prompts that end inside a word or with a space, so that tokens merge across the boundary."""
    r = random.Random(seed)
    rows = []
    for i in range(n):
        q = question(r, w)
        c, d = answers(r, w)
        t1, t2 = r.choice(w["thing"]), r.choice(w["thing"])
        if i % 3 == 0:
            k = r.randrange(1, len(t1))
            rows.append({"prompt": f"{q} The {t1[:k]}", "chosen": f"{t1[k:]} it is. {c}", "rejected": f"{t1[k:]}s are not. {d}"})
        elif i % 3 == 1:
            rows.append({"prompt": f"{q} ", "chosen": f"{c}", "rejected": f"{d}"})
        else:
            rows.append({"prompt": f"{q}\n", "chosen": f"\n{c}", "rejected": f"{t2} {d}"})
    return rows


def conv_rows(seed, n, w, implicit=False):
    r = random.Random(seed)
    rows = []
    for i in range(n):
        prompt = []
        if i % 4 == 1:
            prompt.append({"role": "system", "content": f"You are a {r.choice(w['adj'])} guide."})
        prompt.append({"role": "user", "content": question(r, w)})
        if i % 3 == 2:
            prompt.append({"role": "assistant", "content": sentence(r, w)})
            prompt.append({"role": "user", "content": "Are you sure?\n" + question(r, w)})
        c, d = answers(r, w)
        cc, dd = [{"role": "assistant", "content": c}], [{"role": "assistant", "content": d}]
        if i % 7 == 3:
            cc = cc + [{"role": "user", "content": "Thanks!"}, {"role": "assistant", "content": sentence(r, w)}]
        rows.append({"chosen": prompt + cc, "rejected": prompt + dd} if implicit
                    else {"prompt": prompt, "chosen": cc, "rejected": dd})
    return rows
