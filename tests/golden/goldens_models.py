"""Tiny models and their tokenizers."""
from goldens_base import *

# ------------------------------------------------------------------------------------------------------------- models


def train_bpe(T):
    r = random.Random(T["data_seed"] + 500)
    w = T["words"]
    lines = [sentence(r, w) for _ in range(400)] + [question(r, w) for _ in range(200)] + list(T["extra_lines"])
    lines += ["user", "assistant", "system", "You are a helpful assistant.", "Question: Answer:"] * 20
    tok = Tokenizer(tk_models.BPE())
    tok.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True),
                                                 pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)])
    tok.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=T["tok_vocab"], special_tokens=SPECIALS, show_progress=False,
                                  initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()))
    tok.train_from_iterator(lines, trainer)
    return tok


def write_tokenizer(bpe, folder, kind, template):
    tok = Tokenizer.from_str(bpe.to_str())
    if kind.startswith("split"):
        tok.normalizer = normalizers.NFC()
        tok.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(SPLIT_RE), "isolated", False),
                                                     pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    if kind.endswith("bos"):
        tok.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B",
                                                           special_tokens=[("<s>", tok.token_to_id("<s>"))])
    tok.save(os.path.join(folder, "tokenizer.json"))
    bos = "<s>" if kind.endswith("bos") else "<|im_start|>"
    cfg = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": bos, "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>",
           "unk_token": "<|endoftext|>", "clean_up_tokenization_spaces": False, "model_max_length": 1024,
           "padding_side": "right"}
    text = SMOL if template == "smol" else CHATML
    if kind.endswith("bos"):
        text = "{{ bos_token }}" + text
    if template == "smol":
        cfg["chat_template"] = text  # transformers 4 place
    else:
        with open(os.path.join(folder, "chat_template.jinja"), "w") as f:  # transformers 5 place
            f.write(text)
    jdump(os.path.join(folder, "tokenizer_config.json"), cfg, indent=2)


def perturb(model, seed, T, gemma):
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in sorted(model.named_parameters()):
            low = name.lower()
            z = torch.randn(p.shape, generator=g)
            if "norm" in low or re.search(r"\.ln_", low):
                if low.endswith("bias"):
                    p.copy_(0.1 * z)
                else:
                    p.copy_((0.0 if gemma else 1.0) + 0.2 * z)
            elif low.endswith("bias"):
                p.copy_(0.1 * z)
            elif "embed" in low or "wte" in low or "wpe" in low or "lm_head" in low:
                p.copy_(T["embed_std"] * z)
            else:
                p.copy_(T["linear_std"] * z)


def make_model(T, fam, spec, bpe, index, folder=None, noise=None):
    folder = folder or f"models/{fam}"
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    c = dict(spec["config"])
    mt = c.pop("model_type")
    bos = bpe.token_to_id("<s>") if spec["tok"].endswith("bos") else bpe.token_to_id("<|im_start|>")
    ids = dict(bos_token_id=bos, eos_token_id=bpe.token_to_id("<|im_end|>"), pad_token_id=bpe.token_to_id("<|endoftext|>"))
    if mt != "gpt2":
        c.setdefault("max_position_embeddings", 256)
    cfg = AutoConfig.for_model(mt, **c, **ids)
    cfg._attn_implementation = "eager"
    set_seed(T["weight_seed"] + index)
    model = AutoModelForCausalLM.from_config(cfg, dtype=torch.float32)
    perturb(model, T["weight_seed"] + index, T, gemma=mt.startswith("gemma"))
    if noise:
        g = torch.Generator().manual_seed(T["weight_seed"] + 77)
        with torch.no_grad():
            for _, p in sorted(model.named_parameters()):
                p.add_(noise * p.std() * torch.randn(p.shape, generator=g))
    model.save_pretrained(folder)
    write_tokenizer(bpe, folder, spec["tok"], spec["template"])
    if noise is None:  # one forward pass, layer by layer, longer than every sliding window
        model.eval()
        r = random.Random(T["weight_seed"] + index)
        x = torch.tensor([[r.randrange(4, bpe.get_vocab_size()) for _ in range(21)]])
        with torch.no_grad():
            o = model(input_ids=x, output_hidden_states=True, use_cache=False)
        t = {"input_ids": x[0].to(torch.int32), "logits": o.logits[0].contiguous()}
        t.update({f"hidden_states.{i}": h[0].contiguous() for i, h in enumerate(o.hidden_states)})
        save_file(t, f"{folder}/forward.safetensors", metadata={"format": "pt"})
    return model


def v4_config(cfg):
    """The config.json spelling of transformers 4: rope_theta / rope_scaling / torch_dtype at top level."""
    c = dict(cfg)
    rp = c.pop("rope_parameters", None)
    if rp:
        c["rope_theta"] = rp["rope_theta"]
        extra = {k: v for k, v in rp.items() if k not in ("rope_theta",)}
        c["rope_scaling"] = None if extra.get("rope_type") == "default" else extra
    if "dtype" in c:
        c["torch_dtype"] = c.pop("dtype")
    c["transformers_version"] = "4.46.0"
    return dict(sorted(c.items()))


def make_models(T):
    bpe = train_bpe(T)
    for i, (fam, spec) in enumerate(T["families"].items()):
        make_model(T, fam, spec, bpe, i)
    # a second llama near the first: the explicit reference model of the loss cases
    spec = T["families"]["llama"]
    make_model(T, "llama", spec, bpe, 0, folder="models/llama_ref", noise=T.get("ref_noise", 0.12))
    # and one far from it, for the losses that sort inside the micro-batch (near references sort alike)
    make_model(T, "llama", spec, bpe, 0, folder="models/llama_far", noise=0.7)
    for fam in ("llama", "llama3"):
        cfg = json.load(open(f"models/{fam}/config.json"))
        jdump(f"models/{fam}/config.v4.json", v4_config(cfg), indent=2)
    m = AutoModelForCausalLM.from_pretrained("models/llama", dtype=torch.float32)
    for kind in ("sharded", "bf16", "fp16"):
        d = f"models/llama_{kind}"
        shutil.rmtree(d, ignore_errors=True)
        shutil.copytree("models/llama", d)
        os.remove(f"{d}/model.safetensors")
        os.remove(f"{d}/config.v4.json")
        os.remove(f"{d}/forward.safetensors")
        if kind == "sharded":
            size = sum(p.numel() for p in m.parameters()) * 4
            m.save_pretrained(d, max_shard_size=int(size * 0.6))
        else:
            dt = torch.bfloat16 if kind == "bf16" else torch.float16
            copy.deepcopy(m).to(dt).save_pretrained(d)
        for extra in ("generation_config.json",):
            if os.path.exists(f"{d}/{extra}"):
                os.remove(f"{d}/{extra}")
    for fam in os.listdir("models"):
        p = f"models/{fam}/generation_config.json"
        if os.path.exists(p):
            os.remove(p)
