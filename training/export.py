"""Writes a checkpoint in the layout of gpt-oss's own: BF16 tensors, MXFP4 experts as blocks and scales.

    python training/export.py --state DIR/state.pt --tokenizer DIR/tokenizer.json --out models/demo [--weights mean]

`load(folder)` reads such a folder back into `model.Model`; `evaluate.py` measures that, the shipped
function, and `verify.py` compares it with transformers.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from model import Config, Model, e2m1
from tokenizer import Codec

FP4 = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6])


def pack(w: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """[E, out, in] to blocks [E, out, in/32, 16] and scales [E, out, in/32]; the rule of `fp4_round`."""
    b = w.reshape(*w.shape[:-1], -1, 32)
    amax = b.abs().amax(-1, keepdim=True).clamp_min(2.0**-120)
    best = None
    for k in (torch.ceil(torch.log2(amax / 6)), torch.floor(torch.log2(amax)) - 2):
        q = e2m1(b / torch.exp2(k))
        err = ((q * torch.exp2(k) - b) ** 2).sum(-1, keepdim=True)
        if best is None:
            best, best_k, best_err = q, k, err
        else:
            take = err < best_err
            best, best_k = torch.where(take, q, best), torch.where(take, k, best_k)
    magnitude = (best.abs()[..., None] - FP4[:8]).abs().argmin(-1)
    codes = (magnitude + 8 * torch.signbit(best)).to(torch.uint8)
    return codes[..., 0::2] | (codes[..., 1::2] << 4), (best_k.squeeze(-1) + 127).clamp(0, 254).to(torch.uint8)


def unpack(blocks: torch.Tensor, scales: torch.Tensor) -> torch.Tensor:
    pairs = torch.stack((FP4[(blocks & 15).long()], FP4[(blocks >> 4).long()]), -1).flatten(-2)
    return (pairs * torch.exp2(scales.float() - 127)[..., None]).flatten(-2)


NAMES = {
    "attn_norm": "input_layernorm.weight", "mlp_norm": "post_attention_layernorm.weight",
    "q": "self_attn.q_proj.weight", "k": "self_attn.k_proj.weight", "v": "self_attn.v_proj.weight", "o": "self_attn.o_proj.weight",
    "q_bias": "self_attn.q_proj.bias", "k_bias": "self_attn.k_proj.bias", "v_bias": "self_attn.v_proj.bias", "o_bias": "self_attn.o_proj.bias",
    "sinks": "self_attn.sinks", "router": "mlp.router.weight", "router_bias": "mlp.router.bias",
    "b1": "mlp.experts.gate_up_proj_bias", "b2": "mlp.experts.down_proj_bias",
}
EXPERTS = {"w1": "mlp.experts.gate_up_proj", "w2": "mlp.experts.down_proj"}


def tensors(params: dict[str, torch.Tensor], layers: int) -> dict[str, torch.Tensor]:
    bf16 = lambda t: t.bfloat16().contiguous()
    head = params["embed"] * params["head_scale"] + params["head_delta"]
    out = {"model.embed_tokens.weight": bf16(params["embed"]), "lm_head.weight": bf16(head), "model.norm.weight": bf16(params["norm"])}
    for i in range(layers):
        for ours, theirs in NAMES.items():
            out[f"model.layers.{i}.{theirs}"] = bf16(params[f"blocks.{i}.{ours}"])
        for ours, theirs in EXPERTS.items():
            blocks, scales = pack(params[f"blocks.{i}.{ours}"].float())
            out[f"model.layers.{i}.{theirs}_blocks"], out[f"model.layers.{i}.{theirs}_scales"] = blocks.contiguous(), scales.contiguous()
    return out


def config_json(cfg: Config, codec: Codec) -> dict:
    eos = codec.special["<|return|>"]
    return {
        "architectures": ["GptOssForCausalLM"], "attention_bias": True, "attention_dropout": 0.0, "eos_token_id": eos,
        "experts_per_token": cfg.num_experts_per_tok, "head_dim": cfg.head_dim, "hidden_act": "silu", "hidden_size": cfg.hidden_size,
        "initial_context_length": cfg.rope_original, "initializer_range": 0.02, "intermediate_size": cfg.intermediate_size,
        "layer_types": ["full_attention" if i % 2 else "sliding_attention" for i in range(cfg.num_hidden_layers)],
        "max_position_embeddings": 4096, "model_type": "gpt_oss", "num_attention_heads": cfg.num_attention_heads,
        "num_experts_per_tok": cfg.num_experts_per_tok, "num_hidden_layers": cfg.num_hidden_layers,
        "num_key_value_heads": cfg.num_key_value_heads, "num_local_experts": cfg.num_local_experts, "output_router_logits": False,
        "pad_token_id": codec.special["<|endoftext|>"],
        "quantization_config": {"modules_to_not_convert": ["model.layers.*.self_attn", "model.layers.*.mlp.router", "model.embed_tokens", "lm_head"], "quant_method": "mxfp4"},
        "rms_norm_eps": cfg.rms_norm_eps,
        "rope_scaling": {"beta_fast": cfg.beta_fast, "beta_slow": cfg.beta_slow, "factor": cfg.rope_factor,
                         "original_max_position_embeddings": cfg.rope_original, "rope_type": "yarn", "truncate": False},
        "rope_theta": cfg.rope_theta, "router_aux_loss_coef": 0.01, "sliding_window": cfg.sliding_window, "swiglu_limit": cfg.swiglu_limit,
        "tie_word_embeddings": False, "torch_dtype": "bfloat16", "use_cache": True, "vocab_size": cfg.vocab_size,
    }


def export(state: Path, tokenizer: Path, out: Path, which: str):
    s = torch.load(state, map_location="cpu")
    cfg, codec = Config(**s["config"]), Codec(tokenizer)
    out.mkdir(parents=True, exist_ok=True)
    save_file(tensors(s[which], cfg.num_hidden_layers), out / "model.safetensors", metadata={"format": "pt"})
    eos = codec.special["<|return|>"]
    files = {
        "config.json": config_json(cfg, codec),
        "generation_config.json": {"bos_token_id": codec.special["<|startoftext|>"], "do_sample": False,
            "eos_token_id": [eos, codec.special["<|endoftext|>"], codec.special["<|call|>"]], "pad_token_id": codec.special["<|endoftext|>"]},
        "tokenizer_config.json": {"added_tokens_decoder": {str(t["id"]): {k: t[k] for k in t if k != "id"} for t in codec.json["added_tokens"]},
            "bos_token": "<|startoftext|>", "eos_token": "<|return|>", "pad_token": "<|endoftext|>", "clean_up_tokenization_spaces": False,
            "model_input_names": ["input_ids", "attention_mask"], "model_max_length": 4096, "tokenizer_class": "PreTrainedTokenizerFast"},
    }
    for name, value in files.items():
        (out / name).write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
    shutil.copy(tokenizer, out / "tokenizer.json")
    print(f"step {s['step']}, {s['tokens']} tokens, {which}; {sum(f.stat().st_size for f in out.iterdir())} bytes in {out}")


def load(folder: str | Path) -> tuple[Model, Codec]:
    """The model as shipped, experts expanded, in fp32."""
    folder = Path(folder)
    c = json.loads((folder / "config.json").read_text())
    fields = Config.__dataclass_fields__
    cfg = Config(**{k: c[k] for k in c if k in fields})
    t = load_file(folder / "model.safetensors")
    model = Model(cfg)
    p = {"embed": t["model.embed_tokens.weight"].float(), "norm": t["model.norm.weight"].float(), "head_scale": torch.tensor(0.0), "head_delta": t["lm_head.weight"].float()}
    for i in range(cfg.num_hidden_layers):
        for ours, theirs in NAMES.items():
            p[f"blocks.{i}.{ours}"] = t[f"model.layers.{i}.{theirs}"].float()
        for ours, theirs in EXPERTS.items():
            p[f"blocks.{i}.{ours}"] = unpack(t[f"model.layers.{i}.{theirs}_blocks"], t[f"model.layers.{i}.{theirs}_scales"])
    model.load_state_dict(p, strict=False)
    return model.eval(), Codec(folder / "tokenizer.json")


if __name__ == "__main__":
    ap = argparse.ArgumentParser()
    ap.add_argument("--state", type=Path, required=True)
    ap.add_argument("--tokenizer", type=Path, required=True)
    ap.add_argument("--out", type=Path, required=True)
    ap.add_argument("--weights", choices=("model", "mean"), default="model", help="the last weights, or their running mean (better before a cooldown)")
    a = ap.parse_args()
    export(a.state, a.tokenizer, a.out, a.weights)
