"""How far f32 and f64 runs of TRL lie apart: the tolerances."""
from goldens_base import *
from goldens_models import *
from goldens_trainer import *

# ---------------------------------------------------------------------------------------------------------- precision


def no_k_bias(tensors):
    """gpt2's key bias has no effect on the softmax: its gradient is rounding noise, which Adam turns into steps of size lr."""
    out = dict(tensors)
    for n, t in tensors.items():
        if n.endswith("attn.c_attn.bias"):
            k = t.numel() // 3
            out[n] = torch.cat([t[:k], t[2 * k :]])
    return out


def compare(a, b):
    """fp32 trainer a against float64 trainer b, same case."""
    r = {}
    ga, gb = no_k_bias(a.grad1), no_k_bias(b.grad1)
    ha, hb = history(a), history(b)
    keys = sorted({k for h in ha for k in h if k not in ("step", "epoch", "total_flos", "learning_rate", "num_tokens")})
    r["log_history_max_abs"] = {k: max(abs(x[k] - y[k]) for x, y in zip(ha, hb) if k in x and k in y) for k in keys}
    r["grad_norm_max_rel"] = max(abs(x["grad_norm"] - y["grad_norm"]) / y["grad_norm"] for x, y in zip(ha, hb) if "grad_norm" in x)
    tok = seq = 0.0
    for x, y in zip(a.step1, b.step1):
        for s in ("chosen", "rejected"):
            for p, q in zip(x[f"{s}_token_logps"], y[f"{s}_token_logps"]):
                tok = max([tok] + [abs(u - v) for u, v in zip(p, q)])
            seq = max([seq] + [abs(u - v) for u, v in zip(x[f"{s}_logps"], y[f"{s}_logps"])])
    r["step1_token_logp_max_abs"], r["step1_seq_logp_max_abs"] = tok, seq
    g = {k: float((v.double() - gb[k]).norm() / gb[k].norm()) for k, v in ga.items() if float(gb[k].norm()) > 0}
    r["grad1_rel_l2_max"], r["grad1_rel_l2_worst"] = max(g.values()), max(g, key=g.get)
    tot = math.sqrt(sum(float(v.double().norm()) ** 2 for v in gb.values()))
    r["grad1_diff_over_total_norm_max"] = max(float((v.double() - gb[k]).norm()) / tot for k, v in ga.items())
    fa, fb = no_k_bias(trainables(a.model)), no_k_bias(trainables(b.model))
    r["final_max_abs"] = max(float((v.double() - fb[k].double()).abs().max()) for k, v in fa.items())
    r["final_rel_l2_max"] = max(float((v.double() - fb[k].double()).norm() / fb[k].double().norm()) for k, v in fa.items())
    init = no_k_bias(a.initial)
    u = {k: float((v.double() - fb[k]).norm()) / float((fb[k] - init[k]).norm()) for k, v in fa.items() if float((fb[k] - init[k]).norm()) > 0}
    r["final_update_rel_l2_max"], r["final_update_rel_l2_worst"] = max(u.values()), max(u, key=u.get)
    h = [x for x in ha if "loss" in x]
    r["loss_abs_by_step"] = [abs(x["loss"] - y["loss"]) for x, y in zip(h, [x for x in hb if "loss" in x])]
    return r


def allow_f64_alpha():
    """TRL's table of clamps for the alpha divergence has no float64 entry: add it (same bound as float32)."""
    src = textwrap.dedent(inspect.getsource(trl_dpo.DPOTrainer._compute_loss))
    assert "torch.float32: 80.0}" in src
    env = {}
    exec(src.replace("torch.float32: 80.0}", "torch.float32: 80.0, torch.float64: 80.0}"), trl_dpo.__dict__, env)
    trl_dpo.DPOTrainer._compute_loss = env["_compute_loss"]


def f64_run(T, spec, init):
    """The same case with every number in float64, from the same initial values (LoRA's A is random)."""
    d = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float64)
        with F64Mode():
            tr = build(T, spec, "tmp_out", f64=True)
            for m in (tr.model, tr.ref_model):
                if m is not None:
                    bad = [n for n, t in list(m.named_parameters()) + list(m.named_buffers()) if t.dtype == torch.float32]
                    assert not bad, bad
            with torch.no_grad():
                for n, p in tr.model.named_parameters():
                    if p.requires_grad:
                        p.copy_(init[short(n)])
            tr.train()
    finally:
        torch.set_default_dtype(d)
        shutil.rmtree("tmp_out", ignore_errors=True)
    assert all(g.dtype == torch.float64 for g in tr.grad1.values())
    return tr


def precision(T, C, only):
    os.makedirs("precision", exist_ok=True)
    allow_f64_alpha()
    out = {}
    for name in C:
        if only and not re.search(only, name):
            continue
        if C[name].get("args", {}).get("gradient_checkpointing"):
            continue  # (recomputation does not work under F64Mode; the case is bit-equal to family_llama anyway)
        a = build(T, C[name], "tmp_out")
        a.initial = trainables(a.model)
        a.train()
        try:
            b = f64_run(T, C[name], a.initial)
        except Exception as e:  # e.g. gradient checkpointing, which cannot recompute under F64Mode
            print(name, "no float64 run:", type(e).__name__, flush=True)
            shutil.rmtree("tmp_out", ignore_errors=True)
            continue
        out[name] = compare(a, b)
        print(name, {k: v for k, v in out[name].items() if isinstance(v, float)}, flush=True)
        if name == "family_llama":
            jdump("precision/llama_float64_log_history.json", history(b), indent=1)
            jdump("precision/llama_float64_step1.json", {"micro_batches": b.step1})
            jdump("precision/llama_float32_log_history.json", history(a), indent=1)
            # (fp16=True with use_cpu does nothing in accelerate 1.15: it runs plain fp32. So bf16 only.)
            spec = copy.deepcopy(C[name])
            spec["args"] = {**spec.get("args", {}), "bf16": True}
            c = build(T, spec, "tmp_out")
            c.initial = a.initial
            c.train()
            jdump("precision/llama_bf16_autocast_log_history.json", history(c), indent=1)
            jdump("precision/llama_bf16_autocast_step1.json", {"micro_batches": c.step1})
            out["family_llama_bf16_autocast_against_float64"] = compare(c, b)
    shutil.rmtree("tmp_out", ignore_errors=True)
    path = "precision/fp32_against_float64.json"
    if only and os.path.exists(path):  # renew some cases in the full table
        out = {**json.load(open(path)), **out}
    jdump(path, out, indent=1)
    if not only or len(out) > len(C) // 2:
        jdump("precision/tolerances.json", tolerances(T, C, out), indent=1)
    return out


FACTOR = 20


def tolerances(T, C, out):
    """20 x the distance of fp32 from float64: per case, and never below 20 x the largest over the family cases."""
    fam = [out[f"family_{f}"] for f in T["families"]]
    keys = [k for k in fam[0] if k.endswith(("_abs", "_max", "_rel")) and isinstance(fam[0][k], float)]
    logs = [k for k in fam[0]["log_history_max_abs"] if k not in ("rewards/accuracies", "mean_token_accuracy")]

    def nice(x):
        return float(f"{x:.1e}")

    floor = {k: max(f[k] for f in fam) for k in keys}
    lfloor = {k: max(f["log_history_max_abs"][k] for f in fam) for k in logs}
    res = {"factor": FACTOR, "floor": {**{k: nice(FACTOR * v) for k, v in floor.items()},
                                       "log_history_abs": {k: nice(FACTOR * v) for k, v in lfloor.items()}}, "cases": {}}
    for name in C:
        o = out.get(name) or out["family_llama"]
        lh = o["log_history_max_abs"]
        res["cases"][name] = {**{k: nice(FACTOR * max(o[k], floor[k])) for k in keys},
                              "log_history_abs": {k: nice(FACTOR * max(v, lfloor.get(k.removeprefix("eval_"), 0.0))) for k, v in lh.items()
                                                  if k.removeprefix("eval_") in logs}}
    return res
