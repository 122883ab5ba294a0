"""What tools/make_tiny_model feeds to anydpo: rows of a small made-up world, and random first weights.

usage: make_tiny_model.py init FOLDER    a llama folder with random weights, around a tokenizer.json that lies there
       make_tiny_model.py sft FILE       rows that teach the world and both manners of answering
       make_tiny_model.py pairs FOLDER   train.jsonl, test.jsonl and prompts.txt: direct answers over rambling ones

Everything follows from fixed seeds. The world has things with a place, a colour, a price, an owner and a
material, and small sums. Things come in two halves: preference pairs for training are about the first, the
held-out ones about the second, so what is learned from pairs is a manner and not the answers.
"""
import json
import math
import random
import struct
import sys

PLACES = ["kitchen", "garden", "harbor", "tower", "market", "river", "bridge", "cellar"]
COLORS = ["red", "blue", "green", "white", "black", "yellow"]
OWNERS = ["Ann", "Ben", "Eva", "Leo", "Mia", "Tom"]
STUFFS = ["wood", "iron", "glass", "paper", "wool"]
TRAIN_THINGS = ["bottle", "letter", "violin", "engine", "lamp", "kettle", "map", "drum", "coat", "ladder", "basket", "bell"]
TEST_THINGS = ["candle", "hammer", "boat", "cup", "mirror", "chair"]

# kind: questions; the fact as a short answer, as a full sentence, as a clause after "I think that"
KINDS = {
    "place": (["Where is the {t}?", "Where can I find the {t}?", "Tell me where the {t} is."],
              "In the {place}.", "The {t} is in the {place}.", "the {t} is in the {place}"),
    "color": (["What color is the {t}?", "Which color does the {t} have?", "Tell me the color of the {t}."],
              "It is {color}.", "The {t} is {color}.", "the color of the {t} is {color}"),
    "price": (["How much does the {t} cost?", "What is the price of the {t}?", "Tell me what the {t} costs."],
              "It costs {price} coins.", "The {t} costs {price} coins.", "the {t} costs {price} coins"),
    "owner": (["Who owns the {t}?", "Whose {t} is this?", "Tell me who owns the {t}."],
              "{owner} owns it.", "{owner} owns the {t}.", "the {t} belongs to {owner}"),
    "stuff": (["What is the {t} made of?", "Of what is the {t} made?", "Tell me what the {t} is made of."],
              "It is made of {stuff}.", "The {t} is made of {stuff}.", "the {t} is made of {stuff}"),
}
SUMS = (["What is {a} plus {b}?", "How much is {a} and {b}?", "Tell me the sum of {a} and {b}."],
        "It is {c}.", "{a} plus {b} is {c}.", "{a} plus {b} is {c}")

OPENERS = ["That is a good question.", "Well, let me think about this.", "Many people want to know this.",
           "Thank you so much for asking.", "There is a lot to say here."]
OPENER_WEIGHTS = [6, 3, 2, 2, 1]
HEDGES = ["As far as I can tell, ", "If I am not wrong, ", "Some will not agree, but ", "I would say that perhaps "]
TAILS = [" I hope that this helps you.", " But who can really say?", " There is more to tell, of course.", ""]


def world():
    rng = random.Random(1)
    return {t: {"t": t, "place": rng.choice(PLACES), "color": rng.choice(COLORS), "price": rng.randint(2, 9),
                "owner": rng.choice(OWNERS), "stuff": rng.choice(STUFFS)} for t in TRAIN_THINGS + TEST_THINGS}


def questions(things, sums):
    """Every (prompt, short, full, clause) about these things and sums."""
    facts = world()
    out = []
    for t in things:
        for asks, *answers in KINDS.values():
            out += [tuple(x.format(**facts[t]) for x in (ask, *answers)) for ask in asks]
    for a, b in sums:
        asks, *answers = SUMS
        out += [tuple(x.format(a=a, b=b, c=a + b) for x in (ask, *answers)) for ask in asks]
    return out


def direct(rng, short, full):
    return short if rng.random() < 0.5 else full


def rambling(rng, clause):
    opener = rng.choices(OPENERS, OPENER_WEIGHTS)[0]
    hedge = rng.choice(HEDGES)
    return f"{opener} {hedge}{clause}.{rng.choice(TAILS)}"


def row(prompt, chosen, rejected):
    say = lambda role, text: [{"role": role, "content": text}]
    return {"prompt": say("user", prompt), "chosen": say("assistant", chosen), "rejected": say("assistant", rejected)}


def write_rows(path, rows):
    with open(path, "w", encoding="utf-8") as f:
        f.writelines(json.dumps(r, ensure_ascii=False) + "\n" for r in rows)


SUMS_OF_TRAIN = [(a, b) for a in range(1, 6) for b in range(1, 5) if (a + 2 * b) % 4]
SUMS_OF_TEST = [(a, b) for a in range(1, 6) for b in range(1, 5) if (a + 2 * b) % 4 == 0]


def make_sft(path):
    """Each question with seven answers that ramble and three that do not; `rejected` is not looked at."""
    rng = random.Random(2)
    rows = []
    for prompt, short, full, clause in questions(TRAIN_THINGS + TEST_THINGS, SUMS_OF_TRAIN + SUMS_OF_TEST):
        rows += [row(prompt, rambling(rng, clause), "-") for _ in range(7)]
        rows += [row(prompt, direct(rng, short, full), "-") for _ in range(3)]
    rng.shuffle(rows)
    write_rows(path, rows)


def make_pairs(folder):
    rng = random.Random(3)
    train = questions(TRAIN_THINGS, SUMS_OF_TRAIN)
    test = questions(TEST_THINGS, SUMS_OF_TEST)
    rng.shuffle(train)
    rng.shuffle(test)
    pair = lambda q: row(q[0], direct(rng, q[1], q[2]), rambling(rng, q[3]))
    write_rows(folder + "/train.jsonl", map(pair, train[:160]))
    write_rows(folder + "/test.jsonl", map(pair, test[:60]))
    with open(folder + "/prompts.txt", "w", encoding="utf-8") as f:
        f.writelines(q[0] + "\n" for q in test[60:64])


CONFIG = {"architectures": ["LlamaForCausalLM"], "attention_bias": False, "bos_token_id": 1, "dtype": "float32",
          "eos_token_id": 2, "head_dim": 16, "hidden_act": "silu", "hidden_size": 96, "intermediate_size": 256,
          "max_position_embeddings": 256, "mlp_bias": False, "model_type": "llama", "num_attention_heads": 6,
          "num_hidden_layers": 3, "num_key_value_heads": 3, "pad_token_id": 0, "rms_norm_eps": 1e-06,
          "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"}, "tie_word_embeddings": True,
          "vocab_size": 448}
TEMPLATE = ("{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + "
            "'<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")
TOKENIZER_CONFIG = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|im_start|>", "eos_token": "<|im_end|>",
                    "pad_token": "<|endoftext|>", "unk_token": "<|endoftext|>", "clean_up_tokenization_spaces": False,
                    "model_max_length": 256, "chat_template": TEMPLATE}


def make_init(folder):
    """Normal weights with standard deviation 1 / sqrt(inputs); the two products that end a block are smaller."""
    c, f, v = CONFIG["hidden_size"], CONFIG["intermediate_size"], CONFIG["vocab_size"]
    q, kv = (CONFIG[n] * CONFIG["head_dim"] for n in ("num_attention_heads", "num_key_value_heads"))
    end = 1 / math.sqrt(2 * CONFIG["num_hidden_layers"])
    shapes = {"model.embed_tokens.weight": ((v, c), 0.05), "model.norm.weight": ((c,), None)}
    for i in range(CONFIG["num_hidden_layers"]):
        p = f"model.layers.{i}."
        for name, shape, scale in (("self_attn.q_proj", (q, c), 1), ("self_attn.k_proj", (kv, c), 1),
                                   ("self_attn.v_proj", (kv, c), 1), ("self_attn.o_proj", (c, q), end),
                                   ("mlp.gate_proj", (f, c), 1), ("mlp.up_proj", (f, c), 1), ("mlp.down_proj", (c, f), end)):
            shapes[p + name + ".weight"] = (shape, scale / math.sqrt(shape[1]))
        shapes[p + "input_layernorm.weight"] = shapes[p + "post_attention_layernorm.weight"] = ((c,), None)
    rng = random.Random(4)
    header, blobs, offset = {}, [], 0
    for name, (shape, std) in sorted(shapes.items()):
        n = math.prod(shape)
        values = [1.0] * n if std is None else [rng.gauss(0.0, std) for _ in range(n)]
        blobs.append(struct.pack(f"<{n}f", *values))
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [offset, offset + 4 * n]}
        offset += 4 * n
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(folder + "/model.safetensors", "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text + b"".join(blobs))
    for name, value in (("config", CONFIG), ("tokenizer_config", TOKENIZER_CONFIG)):
        with open(f"{folder}/{name}.json", "w", encoding="utf-8") as out:
            json.dump(value, out, indent=2)
            out.write("\n")


if __name__ == "__main__":
    made = {"init": make_init, "sft": make_sft, "pairs": make_pairs}
    if len(sys.argv) != 3 or sys.argv[1] not in made:
        sys.exit(__doc__)
    made[sys.argv[1]](sys.argv[2])
