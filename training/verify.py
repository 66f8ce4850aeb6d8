"""Exported files against transformers: the same greedy continuations and close logits.

    python training/verify.py models/demo
"""

from __future__ import annotations

import sys

import torch
from transformers import AutoTokenizer, GptOssForCausalLM, Mxfp4Config

import evaluate
from export import load
from model import masks

PROMPTS = [2, 5, 7, 10, 16]  # a tool call, two kinds of JSON, a story, a repeated phrase


@torch.no_grad()
def main(folder: str):
    ours, codec = load(folder)
    theirs = GptOssForCausalLM.from_pretrained(folder, dtype=torch.float32, quantization_config=Mxfp4Config(dequantize=True), attn_implementation="eager").float().eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    items = evaluate.acceptance()
    for i in PROMPTS:
        segments = evaluate.prompt(items[i])
        ids = codec.encode(segments)
        assert tokenizer(evaluate.h.join(segments), add_special_tokens=False).input_ids == ids
        mine = evaluate.generate(ours, codec, [ids])[0]
        stop = theirs.generation_config.eos_token_id
        other = theirs.generate(torch.tensor([ids]), attention_mask=torch.ones(1, len(ids)), max_new_tokens=220, do_sample=False, eos_token_id=stop)[0, len(ids):].tolist()
        whole = torch.tensor([ids + mine])
        pos = torch.arange(whole.shape[1])[None]
        full, window = masks(pos, torch.zeros_like(pos), ours.cfg.sliding_window)
        diff = (ours(whole, pos, full, window)[0] - theirs(whole).logits[0]).abs().max().item()
        print(f"prompt of {len(ids)} tokens, {len(mine)} generated: {'same' if mine == other else 'DIFFERENT'}; largest logit difference {diff:.1e}")
        assert mine == other and diff < 1e-2


if __name__ == "__main__":
    main(sys.argv[1])
