"""Trains the demo model. Resumable; runs on a CPU or a GPU.

    python training/train.py --out DIR --tokenizer DIR/tokenizer.json --end 12:25 --cooldown 30 --quantise 15

The schedule follows the clock, because on a shared machine the number of steps is not known: a
constant rate, then a linear cooldown that ends at --end; the experts are MXFP4 and everything else
bf16 (straight-through) in the last --quantise minutes, so that the exported weights are the
function that was trained. Stop it at any time; the same command goes on from the last checkpoint.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import time
from datetime import datetime, timedelta
from pathlib import Path

import torch
import torch.nn.functional as F

import data
import words
from model import Config, Model, fp4_round, masks
from tokenizer import Codec

TOKENS = 448  # length of a row
ROWS = 14
LEARNT = 0.48  # share of the tokens of a batch that may carry loss; fixed for the compiler
CHOICE = 6.0  # weight of the tokens that choose a function: few, and the rest of a call hangs on them


class Rows:
    """Packs contexts into rows: the prefix once, then as many of its branches as fit."""

    def __init__(self, codec: Codec, seed: int, weights: dict | None = None, length: int = TOKENS):
        self.codec, self.length = codec, length
        self.generator = data.Generator(seed, weights)

    def row(self):
        while True:
            c = self.generator.context(branches=16 if self.generator.rng.random() < 0.9 else None)
            prefix = self.codec.encode(c.segments())
            if len(prefix) > self.length - 90:
                continue
            ids, pos, seg, lab = list(prefix), list(range(len(prefix))), [0] * len(prefix), [-1] * len(prefix)
            emphasis = [1.0] * len(prefix)
            used = 0
            for b in c.branches:
                tokens, learnt, weight = [], [], []
                for value, special, learn in b.segments():
                    piece = [self.codec.special[value]] if special else self.codec.text(value)
                    tokens += piece
                    learnt += [learn] * len(piece)
                    weight += self.choice(value, len(piece)) if c.tools else [1.0] * len(piece)
                if len(ids) + len(tokens) - 1 > self.length:
                    continue
                used += 1
                n = len(tokens) - 1  # the last token is only a label
                ids += tokens[:-1]
                pos += range(len(prefix), len(prefix) + n)
                seg += [used] * n
                lab += [t if l else -1 for t, l in zip(tokens[1:], learnt[1:])]
                emphasis += weight[1:]
            if used:
                return ids, pos, seg, lab, emphasis

    def choice(self, value: str, length: int) -> list[float]:
        """Weights of a segment's tokens: more for the first ones after `Use`, which name the function."""
        at = value.find(". Use ")
        first = len(self.codec.text(value[: at + len(". Use")])) if at >= 0 else length
        return [CHOICE if first <= i < first + 3 else 1.0 for i in range(length)]

    def batch(self, rows: int):
        T = self.length
        ids, pos = torch.zeros(rows, T, dtype=torch.long), torch.zeros(rows, T, dtype=torch.long)
        seg, lab, emphasis = torch.full((rows, T), -1), torch.full((rows, T), -1), torch.ones(rows, T)
        for i in range(rows):
            for target, values in zip((ids, pos, seg, lab, emphasis), self.row()):
                target[i, : len(values)] = torch.tensor(values)
        return ids, pos, seg, lab, emphasis


def select(lab: torch.Tensor, emphasis: torch.Tensor, count: int):
    """`count` flat indices with a label, their labels, and weights that are 0 for fillers."""
    flat = lab.flatten()
    index = (flat >= 0).nonzero().squeeze(1)
    if len(index) > count:
        index = index[torch.randperm(len(index))[:count]]
    n = len(index)
    index = F.pad(index, (0, count - n))
    weight = emphasis.flatten()[index]
    weight[n:] = 0
    return index, flat[index].clamp_min(0), weight


class Muon:
    """Momentum with orthogonalised updates for the matrices (also each expert's)."""

    def __init__(self, params: list[torch.nn.Parameter], momentum=0.95, decay=0.01):
        self.params, self.momentum, self.decay = params, momentum, decay
        self.state = [torch.zeros_like(p) for p in params]

    @torch.no_grad()
    def step(self, lr: float):
        groups: dict[tuple, list[int]] = {}
        for i, p in enumerate(self.params):
            buf = self.state[i]
            buf.lerp_(p.grad, 1 - self.momentum)
            groups.setdefault(tuple(p.shape[-2:]), []).append(i)
        for shape, members in groups.items():
            stack = torch.cat([self.params[i].grad.lerp(self.state[i], self.momentum).reshape(-1, *shape) for i in members])
            update = orthogonal(stack) * max(1.0, shape[0] / shape[1]) ** 0.5
            at = 0
            for i in members:
                p = self.params[i]
                n = p.numel() // (shape[0] * shape[1])
                p.mul_(1 - lr * self.decay)
                p.add_(update[at : at + n].reshape(p.shape), alpha=-lr)
                at += n


def orthogonal(g: torch.Tensor, steps: int = 5) -> torch.Tensor:
    """Newton-Schulz iteration towards the nearest orthogonal matrix, batched."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g.bfloat16()
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        m = x @ x.mT
        x = a * x + (b * m + c * (m @ m)) @ x
    return (x.mT if tall else x).float()


class Rounded:
    """Puts the shipped precision in place of the weights for one forward and backward pass.

    The gradient of the rounded weights is then applied to the exact ones (straight-through). Done
    outside of the model, so that the compiled graph stays the same when the phase begins.
    """

    def __init__(self, model: Model, enabled: bool):
        self.pairs = [(p, n.split(".")[-1] in ("w1", "w2")) for n, p in model.named_parameters()] if enabled else []

    @torch.no_grad()
    def __enter__(self):
        self.exact = [p.detach().clone() for p, _ in self.pairs]
        for p, expert in self.pairs:
            p.copy_(fp4_round(p) if expert else p.bfloat16().float())

    @torch.no_grad()
    def __exit__(self, *_):
        for (p, _), exact in zip(self.pairs, self.exact):
            p.copy_(exact)


def at_clock(text: str) -> float:
    """The next time the clock shows HH:MM, as a timestamp."""
    now = datetime.now()
    t = datetime.strptime(text, "%H:%M").replace(year=now.year, month=now.month, day=now.day)
    return (t if t > now else t + timedelta(days=1)).timestamp()


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--out", required=True)
    ap.add_argument("--tokenizer", required=True)
    ap.add_argument("--end", required=True)
    ap.add_argument("--cooldown", type=float, default=30)
    ap.add_argument("--quantise", type=float, default=15)
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--lr", type=float, default=0.02)
    ap.add_argument("--adam", type=float, default=3e-3)
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--weights", default="{}", help="JSON: shares of families that differ from data.WEIGHTS")
    ap.add_argument("--plain", action="store_true", help="no torch.compile")
    ap.add_argument("--steps", type=int, default=10**9)
    args = ap.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    codec = Codec(args.tokenizer)
    words.PIECES[:] = codec.pieces()
    data.parts_of = codec.parts
    cfg = Config(vocab_size=codec.size)
    model = Model(cfg).to(device)
    matrices = [p for n, p in model.named_parameters() if n.split(".")[-1] in ("q", "k", "v", "o", "w1", "w2")]
    tables = [model.embed]
    small = [p for n, p in model.named_parameters() if n.split(".")[-1] not in ("q", "k", "v", "o", "w1", "w2", "embed")]
    muon = Muon(matrices)
    adam = torch.optim.Adam([dict(params=tables, scale=3.0), dict(params=small, scale=1.0)], lr=args.adam, betas=(0.9, 0.97), eps=1e-10)
    mean = {n: p.detach().clone() for n, p in model.named_parameters()}
    step, tokens, spent = 0, 0, 0.0
    state = out / "state.pt"
    if state.exists():
        s = torch.load(state, map_location=device)
        model.load_state_dict(s["model"], strict=False)
        adam.load_state_dict(s["adam"])
        muon.state = s["muon"]
        mean, step, tokens, spent = s["mean"], s["step"], s["tokens"], s["spent"]
        print("resumed at step", step, flush=True)
    print(f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters, vocabulary {cfg.vocab_size}, seed {args.seed}", flush=True)

    def save():
        tmp = out / "state.tmp"
        torch.save(dict(model={n: p.detach() for n, p in model.named_parameters()}, mean=mean, adam=adam.state_dict(), muon=muon.state,
                        config=cfg.to_dict(), step=step, tokens=tokens, spent=spent), tmp)
        os.replace(tmp, state)

    rows = Rows(codec, args.seed * 1_000_003 + step, json.loads(args.weights))
    run = model if args.plain else torch.compile(model, dynamic=False)
    end = at_clock(args.end)
    count = int(TOKENS * ROWS * LEARNT)
    began = saved = told = time.time()
    losses, hits, total, told_tokens = [], 0.0, 0.0, 0
    stopping = []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
    while time.time() < end and step < args.steps and not stopping:
        left = (end - time.time()) / 60
        rate = min(1.0, max(0.02, left / args.cooldown), (step + 1) / 100)
        quantised = left < args.quantise
        ids, pos, seg, lab, emphasis = rows.batch(ROWS)
        full, window = masks(pos, seg, cfg.sliding_window)
        index, label, weight = select(lab, emphasis, count)
        ids, pos, full, window, index, label, weight = (t.to(device) for t in (ids, pos, full, window, index, label, weight))
        with Rounded(model, quantised):
            with torch.autocast(device, torch.bfloat16):
                logits, aux = run(ids, pos, full, window, index)
            loss = (F.cross_entropy(logits, label, reduction="none") * weight).sum() / weight.sum()
            (loss + 0.01 * aux).backward()
        torch.nn.utils.clip_grad_norm_(tables + small, 1.0)
        muon.step(args.lr * rate)
        for g in adam.param_groups:
            g["lr"] = args.adam * rate * g["scale"]
        adam.step()
        model.zero_grad()
        decay = min(0.996, 1 - 1 / (step / 5 + 2))
        with torch.no_grad():
            torch._foreach_lerp_([mean[n] for n, _ in model.named_parameters()], [p.detach() for _, p in model.named_parameters()], 1 - decay)
        step += 1
        used = int((seg >= 0).sum())
        tokens += used
        told_tokens += used
        losses.append(loss.item())
        hits += float(((logits.argmax(-1) == label) * (weight > 0)).sum())
        total += float((weight > 0).sum())
        now = time.time()
        if step <= 3 or step % 50 == 0:
            print(f"{datetime.now():%H:%M:%S} step {step} loss {sum(losses) / len(losses):.4f} accuracy {hits / max(total, 1):.4f} aux {float(aux.detach()):.3f} rate {rate:.3f} "
                  f"tokens {tokens / 1e6:.2f} M, {told_tokens / (now - told):.0f}/s quantised {quantised}", flush=True)
            losses, hits, total, told_tokens, told = [], 0.0, 0.0, 0, now
        if now - saved > 150:
            spent += now - began
            began = saved = now
            save()
    spent += time.time() - began
    save()
    print("done", step, "steps,", tokens, "tokens,", round(spent), "s", flush=True)


if __name__ == "__main__":
    main()
