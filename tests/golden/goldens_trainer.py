"""One run of TRL's trainer, and what is kept of it."""
from goldens_base import *
from goldens_models import *

# ------------------------------------------------------------------------------------------------------------ trainer

KEEP = """loss_type loss_weights beta label_smoothing f_divergence_type f_alpha_divergence_coef ld_alpha use_weighting discopop_tau
max_length truncation_mode pad_to_multiple_of precompute_ref_log_probs precompute_ref_batch_size sync_ref_model ref_model_mixup_alpha
ref_model_sync_steps disable_dropout per_device_train_batch_size per_device_eval_batch_size gradient_accumulation_steps
num_train_epochs max_steps learning_rate lr_scheduler_type lr_scheduler_kwargs warmup_steps weight_decay adam_beta1 adam_beta2
adam_epsilon max_grad_norm optim seed data_seed dataloader_drop_last gradient_checkpointing logging_steps logging_strategy
logging_first_step eval_strategy eval_steps save_strategy save_steps bf16 fp16 train_sampling_strategy
logging_nan_inf_filter""".split()
TIMES = ("train_runtime", "train_samples_per_second", "train_steps_per_second", "eval_runtime", "eval_samples_per_second",
         "eval_steps_per_second", "eval_model_preparation_time", "model_preparation_time")
BASE = dict(per_device_train_batch_size=2, per_device_eval_batch_size=2, gradient_accumulation_steps=2, max_steps=6,
            learning_rate=1e-3, lr_scheduler_type="linear", warmup_steps=2, max_grad_norm=1.0, weight_decay=0.01, beta=0.1,
            logging_steps=1, gradient_checkpointing=False, save_strategy="no", report_to=[], use_cpu=True, bf16=False, fp16=False,
            dataloader_pin_memory=False, disable_tqdm=True)


class F64Mode(TorchFunctionMode):
    """Turn every explicit float32 into float64, so that nothing inside a model or the loss drops to fp32."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is torch.Tensor.float:
            return args[0].double()
        if getattr(func, "__name__", "") in ("frombuffer", "asarray", "view"):  # safetensors reading fp32 bytes
            return func(*args, **kwargs)
        args = tuple(torch.float64 if a is torch.float32 else a for a in args)
        kwargs = {k: (torch.float64 if v is torch.float32 else v) for k, v in kwargs.items()}
        return func(*args, **kwargs)


class GoldenTrainer(DPOTrainer):
    def __init__(self, *a, **k):
        self.queue, self.eval_queue, self.micro, self.evals = [], [], [], []
        self.grad1 = self.first = None
        super().__init__(*a, **k)
        inner = self.data_collator

        def collate(examples):
            rows = [e["row"] for e in examples]
            (self.eval_queue if rows[0] >= 100000 else self.queue).append([r % 100000 for r in rows])
            return inner(examples)

        self.data_collator = collate
        base = self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model
        self._wrap(base)
        if self.ref_model is not None:
            self._wrap(self.ref_model)
        self.remove_callback(PrinterCallback)
        self.remove_callback(ProgressCallback)

    def _wrap(self, m):
        inner = m.forward
        self._seen = []

        def fwd(*a, **k):
            out = inner(*a, **k)
            if k.get("fused_lm_head"):
                self._seen.append(out.log_probs.detach())
            return out

        m.forward = fwd

    def _set_signature_columns_if_needed(self):
        super()._set_signature_columns_if_needed()
        if "row" not in self._signature_columns:
            self._signature_columns = self._signature_columns + ["row"]

    def _compute_loss(self, model, inputs, return_outputs):
        self._seen = []
        loss = super()._compute_loss(model, inputs, return_outputs)
        train = self.model.training
        rows = (self.queue if train else self.eval_queue).pop(0)
        n = len(rows)
        mask = inputs["completion_mask"][:, 1:].bool()
        pol = self._seen[0]
        ref = self._seen[1] if len(self._seen) > 1 else None

        def seq(t):
            if self.ld_alpha is None:
                return floats(t.sum(1))
            lens = mask.sum(1)
            share = torch.minimum(lens[:n], lens[n:]).repeat(2)
            pos = mask.cumsum(1)
            head = (t * ((pos > 0) & (pos <= share[:, None]))).sum(1)
            return floats(head + self.ld_alpha * (t * (pos > share[:, None])).sum(1))

        if ref is not None:
            rl = seq(ref)
        else:
            rl = floats(inputs["ref_chosen_logps"]) + floats(inputs["ref_rejected_logps"])
        pl = seq(pol)
        rec = {"rows": rows, "loss": float(loss.detach()), "chosen_logps": pl[:n], "rejected_logps": pl[n:],
               "ref_chosen_logps": rl[:n], "ref_rejected_logps": rl[n:]}
        if train:
            self.micro.append({"step": self.state.global_step + 1, **rec})
            if self.state.global_step == (self.first if self.first is not None else self.state.global_step):
                self.first = self.state.global_step
                full = dict(rec)
                for side, off in (("chosen", 0), ("rejected", n)):
                    full[f"{side}_token_logps"] = [floats(pol[off + i][mask[off + i]]) for i in range(n)]
                    if ref is not None:
                        full[f"ref_{side}_token_logps"] = [floats(ref[off + i][mask[off + i]]) for i in range(n)]
                self.step1.append(full)
        else:
            self.evals.append({"step": self.state.global_step, **rec})
        return loss

    step1 = None

    def train(self, *a, **k):
        self.step1 = []
        return super().train(*a, **k)

    def _keep_grad(self, model):
        if self.grad1 is None:
            self.grad1 = {short(n): p.grad.detach().clone() for n, p in model.named_parameters() if p.requires_grad and p.grad is not None}

    def _clip_grad_norm(self, model):
        self._keep_grad(model)
        return super()._clip_grad_norm(model)

    def _get_grad_norm(self, model, grad_norm=None):
        if grad_norm is None:  # max_grad_norm 0: nothing was clipped
            self._keep_grad(model)
        return super()._get_grad_norm(model, grad_norm=grad_norm)


def short(name):
    return name.replace(".default.", ".")


def trainables(model):
    return {short(n): p.detach().clone().contiguous() for n, p in model.named_parameters() if p.requires_grad}


def build(T, spec, out, f64=False):
    """-> (trainer, rows, eval_rows)"""
    rows, ev = spec["rows"], spec.get("eval_rows")
    args = {**BASE, "seed": T["seed"], **spec.get("args", {}), "output_dir": out}
    path = f"models/{spec['model']}"
    tok = PreTrainedTokenizerFast.from_pretrained(path)  # tokenizer.json as it is, no per-family rebuild
    dtype = torch.float64 if f64 else torch.float32
    kw = dict(dtype=dtype, attn_implementation="eager")
    model = AutoModelForCausalLM.from_pretrained(path, **kw)
    ref = AutoModelForCausalLM.from_pretrained(f"models/{spec['ref']}", **kw) if spec.get("ref") else None
    peft_config = None
    if spec.get("lora"):
        peft_config = LoraConfig(task_type="CAUSAL_LM", **spec["lora"])
    if spec.get("adapter"):
        model = PeftModel.from_pretrained(model, spec["adapter"], is_trainable=True)
        model = model.double() if f64 else model
    ds = Dataset.from_list([{**r, "row": i} for i, r in enumerate(rows)])
    eds = Dataset.from_list([{**r, "row": 100000 + i} for i, r in enumerate(ev)]) if ev else None
    tr = GoldenTrainer(model=model, ref_model=ref, args=DPOConfig(**args), train_dataset=ds, eval_dataset=eds,
                       processing_class=tok, peft_config=peft_config)
    return tr


def history(tr):
    return [{k: v for k, v in h.items() if k not in TIMES} for h in tr.state.log_history]


def token_dump(ds, n):
    kept = {r % 100000: i for i, r in enumerate(ds["row"])}
    return {"rows": [{"row": r, "prompt_ids": ds[i]["prompt_ids"], "chosen_ids": ds[i]["chosen_ids"],
                      "rejected_ids": ds[i]["rejected_ids"]} for r, i in kept.items()],
            "dropped_rows": [i for i in range(n) if i not in kept]}


GRADS = {}


def write_case(T, name, spec):
    d, tmp = f"runs/{name}", "tmp_out"
    shutil.rmtree(d, ignore_errors=True)
    shutil.rmtree(tmp, ignore_errors=True)
    os.makedirs(d)
    rows, ev = spec["rows"], spec.get("eval_rows")
    jlines(f"{d}/train.jsonl", rows)
    if ev:
        jlines(f"{d}/eval.jsonl", ev)
    tr = build(T, spec, tmp)
    a = tr.args
    args = {"model": f"models/{spec['model']}", "ref_model": f"models/{spec['ref']}" if spec.get("ref") else None}
    args.update({k: getattr(a, k) for k in KEEP})
    args = {k: (v.value if hasattr(v, "value") else v) for k, v in args.items()}
    if spec.get("lora"):
        args["peft_config"] = {"peft_type": "LORA", "task_type": "CAUSAL_LM", **spec["lora"]}
    if spec.get("adapter"):
        args["adapter"] = spec["adapter"]
    if spec.get("note"):
        args["note"] = spec["note"]
    jdump(f"{d}/args.json", args, indent=1)
    tokens = {"train": token_dump(tr.train_dataset, len(rows))}
    if ev:
        tokens["eval"] = token_dump(tr.eval_dataset, len(ev))
    jdump(f"{d}/tokens.json", tokens)
    if a.precompute_ref_log_probs:
        ref = {}
        for k, ds in (("train", tr.train_dataset), ("eval", tr.eval_dataset)):
            if ds is not None:
                ref[k] = [{"row": r["row"] % 100000, "ref_chosen_logps": r["ref_chosen_logps"],
                           "ref_rejected_logps": r["ref_rejected_logps"]} for r in ds]
        jdump(f"{d}/ref_logps.json", ref)
    if spec.get("lora") or spec.get("adapter"):
        init = trainables(tr.model)
        os.makedirs(f"{d}/adapter_init")
        tr.model.save_pretrained(f"{d}/adapter_init")
        for junk in ("README.md",):
            if os.path.exists(f"{d}/adapter_init/{junk}"):
                os.remove(f"{d}/adapter_init/{junk}")
    tr.train()
    # --- results
    by_step = {}
    for m in tr.micro:
        by_step.setdefault(m["step"], []).append({k: v for k, v in m.items() if k != "step"})
    res = {"steps": [{"step": s, "micro_batches": v} for s, v in by_step.items()]}
    if tr.evals:
        res["evals"] = tr.evals
    jdump(f"{d}/batches.json", res)
    jdump(f"{d}/step1.json", {"micro_batches": tr.step1})
    jdump(f"{d}/log_history.json", history(tr), indent=1)
    grad = {k: v.contiguous() for k, v in tr.grad1.items()}
    key = hashlib.sha256(b"".join(k.encode() + v.numpy().tobytes() for k, v in sorted(grad.items()))).hexdigest()
    if key in GRADS and GRADS[key] != name:
        jdump(f"{d}/grad1.same_as.json", {"case": GRADS[key], "file": f"runs/{GRADS[key]}/grad1.safetensors"})
    else:
        GRADS[key] = name
        save_file(grad, f"{d}/grad1.safetensors", metadata={"format": "pt"})
    fin = trainables(tr.model)
    if spec.get("final") or spec.get("lora") or spec.get("adapter"):
        key = "final" + hashlib.sha256(b"".join(k.encode() + v.numpy().tobytes() for k, v in sorted(fin.items()))).hexdigest()
        if key in GRADS:
            jdump(f"{d}/final.same_as.json", {"case": GRADS[key], "file": f"runs/{GRADS[key]}/final.safetensors"})
        else:
            GRADS[key] = name
            save_file(fin, f"{d}/final.safetensors", metadata={"format": "pt"})
    jdump(f"{d}/final_stats.json", stats(fin))
    if a.sync_ref_model:
        jdump(f"{d}/final_ref_stats.json", stats({n: p for n, p in tr.ref_model.named_parameters()}))
    if spec.get("lora") or spec.get("adapter"):
        tr.save_model(f"{tmp}/saved")
        shutil.copytree(f"{tmp}/saved", f"{d}/adapter_saved", ignore=shutil.ignore_patterns("training_args.bin", "README.md", "tokenizer*", "chat_template*"))
        jdump(f"{d}/adapter_saved_files.json", listing(f"{tmp}/saved"), indent=1)
    if spec.get("resume"):
        resume_case(T, d, tmp, spec, tr)
    shutil.rmtree(tmp, ignore_errors=True)
    return tr


def listing(folder):
    out = []
    for base, _, files in sorted(os.walk(folder)):
        out += [os.path.relpath(os.path.join(base, f), folder).replace(os.sep, "/") for f in files]
    return sorted(out)


def strip_times(state):
    s = dict(state)
    s["log_history"] = [{k: v for k, v in h.items() if k not in TIMES} for h in s["log_history"]]
    return s


def resume_case(T, d, tmp, spec, tr):
    """tr ran all steps with a checkpoint in the middle; run again from that checkpoint and compare bit by bit."""
    k = spec["resume"]
    jdump(f"{d}/checkpoint_files.json", {os.path.basename(p): listing(p) for p in
                                         sorted(os.path.join(tmp, x) for x in os.listdir(tmp) if x.startswith("checkpoint-"))}, indent=1)
    st = json.load(open(f"{tmp}/checkpoint-{k}/trainer_state.json"))
    jdump(f"{d}/checkpoint_trainer_state.json", strip_times(st), indent=2)
    opt = torch.load(f"{tmp}/checkpoint-{k}/optimizer.pt", weights_only=True)
    names = [[n for n, p in tr.model.named_parameters() if p.requires_grad and (n in tr.get_decay_parameter_names(tr.model)) == dec]
             for dec in (True, False)]
    flat = [n for g in names for n in g]
    adam, step = {}, None
    for i, s in opt["state"].items():
        adam[short(flat[i]) + ".exp_avg"] = s["exp_avg"].contiguous()
        adam[short(flat[i]) + ".exp_avg_sq"] = s["exp_avg_sq"].contiguous()
        step = float(s["step"])
    save_file(adam, f"{d}/checkpoint_adam.safetensors", metadata={"format": "pt"})
    mid = load_file(f"{tmp}/checkpoint-{k}/model.safetensors")
    jdump(f"{d}/checkpoint_stats.json", {"adam_step": step, "param_groups": [
        {kk: vv for kk, vv in g.items() if kk not in ("params",)} for g in opt["param_groups"]],
        "decay": sorted(names[0]), "no_decay": sorted(names[1]), "params": stats(mid)}, indent=1)
    tr2 = build(T, spec, tmp)
    tr2.train(resume_from_checkpoint=f"{tmp}/checkpoint-{k}")
    a, b = trainables(tr.model), trainables(tr2.model)
    diff = max(float((a[n] - b[n]).abs().max()) for n in a)
    h1 = [h for h in history(tr) if "loss" in h]
    h2 = [h for h in history(tr2) if "loss" in h]
    jdump(f"{d}/resume.json", {"resume_from_step": k, "max_abs_weight_difference": diff, "log_history_after_resume": history(tr2),
                               "rows_after_resume": [m["rows"] for m in tr2.micro],
                               "same_rows": [m["rows"] for m in tr2.micro] == [m["rows"] for m in tr.micro if m["step"] > k],
                               "same_loss": [h["loss"] for h in h1] == [h["loss"] for h in h2],
                               "keys_that_differ": sorted({kk for x, y in zip(h1, h2) for kk in x if x[kk] != y.get(kk)})}, indent=1)
