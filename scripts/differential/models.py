"""Random tiny gpt-oss checkpoints, in both layouts: transformers beside our engine in each mode.

    pip install torch transformers safetensors numpy
    python scripts/differential/models.py --cases 20 --seed 1      random shapes
    python scripts/differential/models.py --configs                what a config may say that changes the numbers

`exact` has to be within 1e-3 of float32 transformers, and choose the same 24 tokens where the two best differ by more; of
`bf16` and `fast` the mean is told, and held to a bound (a small error can choose another expert, so that single logits are off).
"""

import argparse
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

import numpy
import torch
import transformers
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "fixtures"))
import make_model_golden as golden  # noqa: E402

MEAN_BOUNDS = {"bf16": 0.2, "fast": 0.3}  # of the logits' standard deviation


def random_case(seed):
    pick = random.Random(seed)
    kv = pick.choice([1, 2, 3, 4, 8])
    experts = pick.choice([1, 2, 3, 5, 8, 16, 32])
    layers = pick.randint(1, 5)
    rope = dict(factor=pick.choice([1.0, 1.5, 2.0, 8.0, 32.0, 40.0]), beta_fast=pick.choice([4.0, 16.0, 32.0, 64.0]), beta_slow=pick.choice([0.5, 1.0, 2.0]),
                original=pick.choice([16, 64, 512, 4096]), truncate=pick.random() < 0.5, theta=pick.choice([500.0, 1e4, 1.5e5, 1e6]))
    case = dict(hidden=32 * pick.randint(1, 6), intermediate=32 * pick.randint(1, 7), layers=layers, heads=kv * pick.choice([1, 2, 3, 4, 8]), kv=kv,
                head_dim=pick.choice([2, 6, 8, 16, 18, 32, 40, 64, 128]), experts=experts, k=pick.choice([1, experts, pick.randint(1, experts)]),
                vocab=pick.choice([33, 127, 201, 320, 1001]), window=pick.choice([1, 2, 3, 7, 16, 31, 33, 64, 127, 128, 1000]),
                lengths=[pick.choice([1, 2, 31, 33, 65, 130]), pick.choice([257, 600])], rope=None if pick.random() < 0.15 else rope,
                types="".join(pick.choice(pick.choice(["fs", "ffs", "s", "f"])) for _ in range(layers)), spelling=pick.choice(["rope_scaling", "rope_parameters"]),
                shards=pick.choice([1, 1, 2, 5]), quantised=pick.random() < 0.75, dtype=pick.choice([torch.bfloat16, torch.bfloat16, torch.float32, torch.float16]),
                norms=pick.choice([None, torch.float32]), bias=pick.random() < 0.75, tied=pick.random() < 0.25, eps=pick.choice([1e-6, 1e-5, 1e-3]),
                limit=pick.choice([7.0, 7.0, 2.0, 0.5, 30.0]))
    if seed % 2 == 0:
        # What the original layout can say.
        case.update(types=("sf" * layers)[:layers], quantised=True, bias=True, tied=False, eps=1e-5, rope=dict(rope, truncate=False))
    return case


def write_original(folder, case, tensors):
    """The names of OpenAI's own release. It can say neither layer types nor other norms, biases or roundings."""
    rope = case["rope"]
    config = dict(num_hidden_layers=case["layers"], num_experts=case["experts"], experts_per_token=case["k"], vocab_size=case["vocab"],
                  hidden_size=case["hidden"], intermediate_size=case["intermediate"], swiglu_limit=case["limit"], head_dim=case["head_dim"],
                  num_attention_heads=case["heads"], num_key_value_heads=case["kv"], sliding_window=case["window"], initial_context_length=rope["original"],
                  rope_theta=rope["theta"], rope_scaling_factor=rope["factor"], rope_ntk_alpha=rope["beta_slow"], rope_ntk_beta=rope["beta_fast"])
    out = {"embedding.weight": tensors["model.embed_tokens.weight"], "unembedding.weight": tensors["lm_head.weight"], "norm.scale": tensors["model.norm.weight"]}
    for layer in range(case["layers"]):
        old, new = f"model.layers.{layer}.", f"block.{layer}."
        out[new + "attn.norm.scale"] = tensors[old + "input_layernorm.weight"]
        out[new + "mlp.norm.scale"] = tensors[old + "post_attention_layernorm.weight"]
        for kind in ("weight", "bias"):
            out[new + f"attn.qkv.{kind}"] = torch.cat([tensors[old + f"self_attn.{letter}_proj.{kind}"] for letter in "qkv"])
            out[new + f"attn.out.{kind}"] = tensors[old + f"self_attn.o_proj.{kind}"]
            out[new + f"mlp.gate.{kind}"] = tensors[old + f"mlp.router.{kind}"]
        out[new + "attn.sinks"] = tensors[old + "self_attn.sinks"]
        for ours, theirs in (("mlp1", "gate_up_proj"), ("mlp2", "down_proj")):
            out[new + f"mlp.{ours}_bias"] = tensors[old + f"mlp.experts.{theirs}_bias"]
            for part in ("blocks", "scales"):
                out[new + f"mlp.{ours}_weight.{part}"] = tensors[old + f"mlp.experts.{theirs}_{part}"]
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    save_file({name: tensor.contiguous() for name, tensor in out.items()}, folder / "model.safetensors")


class Engine:
    def __init__(self):
        node = os.environ.get("NODE", "node")
        self.process = subprocess.Popen([node, HERE / "logits.ts"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.file = tempfile.NamedTemporaryFile(suffix=".f32")

    def logits(self, model, ids, mode="exact", isa="auto", prefill=0):
        ask = dict(model=str(model), ids=ids, mode=mode, isa=isa, prefill=prefill, out=self.file.name)
        self.process.stdin.write(json.dumps(ask) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        if "error" in answer:
            return answer["error"]
        return numpy.fromfile(self.file.name, dtype=numpy.float32).reshape(answer["rows"], answer["columns"])


class Report:
    def __init__(self):
        self.wrong = 0

    def check(self, right, what):
        if not right:
            self.wrong += 1
        print("ok    " if right else "WRONG ", what, flush=True)


@torch.no_grad()
def continuation(model, ids, steps=24):
    """Greedy ids, each with how far the second best is behind."""
    greedy, gaps = [], []
    for _ in range(steps):
        # Without its cache, which keeps everything where the window is 1.
        top = model(torch.tensor([ids + greedy]), use_cache=False).logits[0, -1].float().topk(2)
        greedy.append(int(top.indices[0]))
        gaps.append(float(top.values[0] - top.values[1]))
    return greedy, gaps


@torch.no_grad()
def compare(engine, report, folder, name, case, model, layouts):
    generator = torch.Generator().manual_seed(len(name))
    for length in case["lengths"]:
        ids = torch.randint(0, case["vocab"], (length,), generator=generator).tolist()
        oracle = model(torch.tensor([ids])).logits[0].float().numpy()
        for layout in layouts:
            if layout == "original" and length > case["rope"]["original"] * case["rope"]["factor"]:
                continue  # longer than that layout's context, which is computed
            for isa, prefill in (("scalar", 0), ("auto", 0), ("auto", length // 2)):
                ours = engine.logits(folder / layout, ids, isa=isa, prefill=prefill)
                off = ours if isinstance(ours, str) else float(numpy.abs(ours - oracle).max())
                report.check(not isinstance(off, str) and off <= 1e-3, f"{name}/{layout} exact {isa} {length} ids, {prefill} at once: {off}")
        for mode, bound in MEAN_BOUNDS.items():
            ours = engine.logits(folder / layouts[0], ids, mode=mode)
            off = ours if isinstance(ours, str) else float(numpy.abs(ours - oracle).mean() / oracle.std())
            refused = isinstance(off, str) and mode == "fast" and "fast" in off
            report.check(refused or (not isinstance(off, str) and off <= bound), f"{name}/{layouts[0]} {mode} {length} ids: {off}")
        greedy, gaps = continuation(model, ids)
        ours = engine.logits(folder / layouts[0], ids + greedy)
        chosen = ours[length - 1 : -1].argmax(axis=1) if not isinstance(ours, str) else [-1] * len(greedy)
        missed = [i for i, gap in enumerate(gaps) if gap > 2e-3 and chosen[i] != greedy[i]]
        report.check(not missed, f"{name} greedy {length} ids: {missed}")


def sweep(engine, report, cases, seed):
    for index in range(seed, seed + cases):
        case = random_case(index)
        with tempfile.TemporaryDirectory() as temporary:
            folder = pathlib.Path(temporary)
            tensors = golden.tensors_of(case, torch.Generator().manual_seed(index))
            golden.write_checkpoint(folder / "hf", case, tensors)
            layouts = ["hf"]
            rope = case["rope"]
            plain = case["quantised"] and case["bias"] and not case["tied"] and case["eps"] == 1e-5 and rope and not rope["truncate"]
            if plain and case["types"] == ("sf" * case["layers"])[: case["layers"]]:
                write_original(folder / "original", case, tensors)
                layouts.append("original")
            shown = {key: str(value) if isinstance(value, torch.dtype) else value for key, value in case.items()}
            print(f"-- {index} {layouts} {shown}", flush=True)
            compare(engine, report, folder, str(index), case, golden.oracle(folder / "hf", case), layouts)


# Each is merged into a config; None: as it is. What follows is what has to be seen: equal logits or a refusal that names the field.
CONFIGS = [
    ({}, "equal"),
    ({"rope_scaling": None}, "equal"),
    ({"rope_scaling": {}}, "equal"),
    ({"rope_scaling": {"rope_type": "default", "rope_theta": 5e3}}, "equal"),
    ({"rope_scaling": {"rope_type": "default", "attention_factor": 2.0}}, "equal"),
    ({"rope_scaling": {"rope_theta": 1e4}}, "equal"),
    ({"rope_scaling": {"type": "yarn", "factor": 8.0, "original_max_position_embeddings": 128}}, "equal"),
    ({"rope_scaling": {"rope_type": "yarn", "factor": 8.0}}, "equal"),
    ({"rope_scaling": {"rope_type": "yarn", "factor": None, "original_max_position_embeddings": 256}}, "equal"),
    ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 256, "attention_factor": 1.25}}, "equal"),
    ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 256, "mscale": 0.7, "mscale_all_dim": 1.3}}, "equal"),
    ({"rope_scaling": {"rope_type": "yarn", "factor": 0.5, "original_max_position_embeddings": 256}}, "equal"),
    ({"rope_scaling": {"rope_type": "yarn", "factor": 1.0, "original_max_position_embeddings": 256}}, "equal"),
    ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "beta_fast": 2.0, "beta_slow": 2.0, "original_max_position_embeddings": 64}}, "equal"),
    ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "beta_fast": 1.0, "beta_slow": 4.0, "original_max_position_embeddings": 64}}, "equal"),
    ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}, "original_max_position_embeddings": 100}, "equal"),
    ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}, "original_max_position_embeddings": 700}, "equal"),
    ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}, "rope_parameters": {"rope_type": "default"}}, "equal"),
    ({"rope_parameters": {"rope_type": "yarn", "factor": 16.0, "original_max_position_embeddings": 64, "rope_theta": 999.0}, "rope_scaling": None}, "equal"),
    ({"rope_scaling": {"rope_type": "yarn"}}, "factor"),
    ({"rope_scaling": {"factor": 8.0, "original_max_position_embeddings": 64}}, "rope_type"),
    ({"rope_scaling": {"rope_type": "linear", "factor": 8.0}}, "rope_type"),
    ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, "rope_type"),
    ({"rope_scaling": {"rope_type": "dynamic", "factor": 8.0}}, "rope_type"),
    ({"rope_scaling": {"rope_type": "yarn", "factor": 8.0, "partial_rotary_factor": 0.5, "original_max_position_embeddings": 64}}, "partial_rotary_factor"),
    ({"partial_rotary_factor": 0.5}, "partial_rotary_factor"),
    ({"partial_rotary_factor": 1.0}, "equal"),
    ({"rope_scaling": None, "rope_parameters": {"full_attention": {"rope_type": "default"}, "sliding_attention": {"rope_type": "default"}}}, "rope_parameters"),
    ({"layer_types": None}, "equal"),
    ({"layer_types": ["full_attention", "full_attention"]}, "equal"),
    ({"layer_types": ["chunked_attention", "full_attention"]}, "layer_types"),
    ({"layer_types": ["full_attention"]}, "layer_types"),
    ({"sliding_window": None}, "sliding_window"),
    ({"sliding_window": 0}, "sliding_window"),
    ({"num_key_value_heads": 3}, "num_attention_heads"),
    ({"tie_word_embeddings": True}, "equal"),
    ({"attention_bias": False}, "equal"),
    ({"swiglu_alpha": 1.5}, "swiglu_alpha"),
    ({"model_type": "llama"}, "model_type"),
    ({"hidden_act": "gelu"}, "equal"),
    ({"num_hidden_layers": 1}, "layer_types"),
    ({"num_hidden_layers": 3}, "layer_types"),
    ({"num_experts_per_tok": 9}, "experts"),
    ({"vocab_size": 128}, "config.json"),
    ({"head_dim": 31}, "head_dim"),
    ({"rms_norm_eps": 0.1}, "equal"),
    ({"max_position_embeddings": 64}, "equal"),
    ({"quantization_config": {"quant_method": "gptq"}}, "quantization_config"),
    ({"intermediate_size": 65}, "intermediate_size"),
]


@torch.no_grad()
def configs(engine, report):
    base = dict(hidden=64, intermediate=64, layers=2, heads=4, kv=2, head_dim=32, experts=4, k=2, vocab=127, window=9, quantised=False,
                rope=dict(factor=8.0, beta_fast=16.0, beta_slow=1.0, original=64, truncate=True))
    ids = torch.randint(0, 127, (50,), generator=torch.Generator().manual_seed(1)).tolist()
    for changes, expected in CONFIGS:
        with tempfile.TemporaryDirectory() as temporary:
            folder = pathlib.Path(temporary) / "hf"
            case = dict(base, extra=changes)
            golden.write_checkpoint(folder, case, golden.tensors_of(base, torch.Generator().manual_seed(7)))
            ours = engine.logits(folder, ids)
            said = ours if isinstance(ours, str) else "taken"
            if expected != "equal":
                report.check(isinstance(ours, str) and expected in ours, f"{json.dumps(changes)} names {expected}: {said}")
                continue
            oracle = golden.oracle(folder, case)(torch.tensor([ids])).logits[0].float().numpy()
            off = said if isinstance(ours, str) else float(numpy.abs(ours - oracle).max())
            report.check(not isinstance(off, str) and off <= 1e-3, f"{json.dumps(changes)} equal: {off}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--configs", action="store_true")
    arguments = parser.parse_args()
    transformers.logging.set_verbosity_error()
    engine, report = Engine(), Report()
    if arguments.configs:
        configs(engine, report)
    else:
        sweep(engine, report, arguments.cases, arguments.seed)
    engine.process.stdin.close()
    print(f"transformers {transformers.__version__}: {report.wrong} wrong")
    sys.exit(1 if report.wrong else 0)


if __name__ == "__main__":
    main()
