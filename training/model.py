"""The gpt-oss architecture at demo size, written for fast CPU training.

Same function as `transformers`' GptOss (see `export.py` for the check), with two differences in
form, not in result: every expert is computed for every token as one product (four small experts
are cheaper that way than gathering tokens), and attention takes an explicit mask, because a
training row holds several conversations that share one prefix (see `data.py`).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import torch
import torch.nn as nn
import torch.nn.functional as F


@dataclass
class Config:
    """Shape of the model; field names follow the Hugging Face config where one exists."""

    vocab_size: int = 2048
    hidden_size: int = 192
    intermediate_size: int = 128
    num_hidden_layers: int = 6
    num_local_experts: int = 4
    num_experts_per_tok: int = 2
    num_attention_heads: int = 8
    num_key_value_heads: int = 2
    head_dim: int = 32
    sliding_window: int = 128
    rope_theta: float = 150000.0
    rope_factor: float = 32.0
    rope_original: int = 4096
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    rms_norm_eps: float = 1e-5
    swiglu_limit: float = 7.0
    swiglu_alpha: float = 1.702

    def to_dict(self) -> dict:
        return asdict(self)


def rope_tables(cfg: Config, positions: int) -> tuple[torch.Tensor, torch.Tensor]:
    """YaRN cos and sin, [positions, head_dim / 2], ramp not truncated, concentration included."""
    d = cfg.head_dim
    half = d // 2
    freq = cfg.rope_theta ** (torch.arange(half, dtype=torch.float64) * 2 / d)
    low = half * math.log(cfg.rope_original / (cfg.beta_fast * 2 * math.pi)) / math.log(cfg.rope_theta)
    high = half * math.log(cfg.rope_original / (cfg.beta_slow * 2 * math.pi)) / math.log(cfg.rope_theta)
    ramp = ((torch.arange(half, dtype=torch.float64) - low) / (high - low)).clamp(0, 1)
    inv = ramp / (cfg.rope_factor * freq) + (1 - ramp) / freq
    c = 0.1 * math.log(cfg.rope_factor) + 1
    angle = torch.arange(positions, dtype=torch.float64)[:, None] * inv[None]
    return (angle.cos() * c).float(), (angle.sin() * c).float()


def inverse_frequencies(cfg: Config) -> torch.Tensor:
    """The rotation per position of each pair, read back from the tables' definition."""
    cos, sin = rope_tables(cfg, 2)
    return torch.atan2(sin[1], cos[1])


def fp4_round(w: torch.Tensor) -> torch.Tensor:
    """Nearest MXFP4 value of every weight; the last dimension is cut into blocks of 32.

    For each block both candidate exponents are tried (no clipping, and the OCP rule that clips)
    and the one with the smaller squared error is kept. `export.py` packs exactly this result.
    """
    shape = w.shape
    b = w.reshape(-1, 32)
    amax = b.abs().amax(-1, keepdim=True).clamp_min(2.0**-120)
    best = None
    for k in (torch.ceil(torch.log2(amax / 6)), torch.floor(torch.log2(amax)) - 2):
        scale = torch.exp2(k)
        q = e2m1(b / scale) * scale
        err = ((q - b) ** 2).sum(-1, keepdim=True)
        if best is None:
            best, best_err = q, err
        else:
            best = torch.where(err < best_err, q, best)
    return best.reshape(shape)


def e2m1(x: torch.Tensor) -> torch.Tensor:
    """Round to the nearest of 0, .5, 1, 1.5, 2, 3, 4, 6 with sign, ties to the even code."""
    a = x.abs().clamp_max(6.0)
    # Steps of 0.5 below 2, of 1 below 4, of 2 above: torch.round is ties-to-even in each range.
    r = torch.where(a < 2, torch.round(a * 2) / 2, torch.where(a < 4, torch.round(a), torch.round(a / 2) * 2))
    return torch.copysign(r, x)


def rms_norm(x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weight


QUERY_PARTS = 4


class Block(nn.Module):
    """One layer: attention with sinks, then the mixture of experts."""

    def __init__(self, cfg: Config, index: int):
        super().__init__()
        self.cfg, self.index = cfg, index
        H, I, E, d = cfg.hidden_size, cfg.intermediate_size, cfg.num_local_experts, cfg.head_dim
        nq, nk = cfg.num_attention_heads, cfg.num_key_value_heads
        self.attn_norm = nn.Parameter(torch.ones(H))
        self.q = nn.Parameter(torch.randn(nq * d, H) / math.sqrt(H))
        self.k = nn.Parameter(torch.randn(nk * d, H) / math.sqrt(H))
        self.v = nn.Parameter(torch.randn(nk * d, H) / math.sqrt(H))
        self.q_bias = nn.Parameter(torch.zeros(nq * d))
        self.k_bias = nn.Parameter(torch.zeros(nk * d))
        self.v_bias = nn.Parameter(torch.zeros(nk * d))
        self.o = nn.Parameter(torch.randn(H, nq * d) * 0.2 / math.sqrt(nq * d))
        self.o_bias = nn.Parameter(torch.zeros(H))
        self.sinks = nn.Parameter(torch.zeros(nq))
        self.mlp_norm = nn.Parameter(torch.ones(H))
        self.router = nn.Parameter(torch.randn(E, H) * 0.02)
        self.router_bias = nn.Parameter(torch.zeros(E))
        # Rows of w1 are interleaved: even rows gate, odd rows up, as in the checkpoint.
        self.w1 = nn.Parameter(torch.randn(E, 2 * I, H) / math.sqrt(H))
        self.b1 = nn.Parameter(torch.zeros(E, 2 * I))
        self.w2 = nn.Parameter(torch.randn(E, H, I) * 0.2 / math.sqrt(I))
        self.b2 = nn.Parameter(torch.zeros(E, H))

    def attention(self, t, cos, sin, mask, cache=None):
        cfg = self.cfg
        B, T, _ = t.shape
        d, nq, nk = cfg.head_dim, cfg.num_attention_heads, cfg.num_key_value_heads
        q = F.linear(t, self.q, self.q_bias).view(B, T, nq, d)
        k = F.linear(t, self.k, self.k_bias).view(B, T, nk, d)
        v = F.linear(t, self.v, self.v_bias).view(B, T, nk, d)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        if cache is not None:
            k, v = cache.append(self.index, k, v)
        S = k.shape[1]
        q = (q * d**-0.5).view(B, T, nk, nq // nk, d).permute(0, 2, 3, 1, 4)
        k, v, sink = k.permute(0, 2, 3, 1), v.transpose(1, 2), self.sinks.view(1, nk, nq // nk, 1, 1)
        # In training no token sees a later one, so a part of the queries needs the first keys only.
        parts = QUERY_PARTS if S == T and T % QUERY_PARTS == 0 and self.training else 1
        out = []
        for i in range(parts):
            low, high = i * T // parts, (i + 1) * T // parts
            end = S - T + high
            n = high - low
            scores = torch.matmul(q[..., low:high, :].reshape(B, nk, -1, d), k[..., :end]).float()
            scores = scores.view(B, nk, nq // nk, n, end) + mask[:, None, None, low:high, :end]
            top = torch.maximum(scores.amax(-1, keepdim=True), sink).detach()
            p = torch.exp(scores - top)
            p = p / (p.sum(-1, keepdim=True) + torch.exp(sink - top))
            o = torch.matmul(p.to(v.dtype).view(B, nk, -1, end), v[:, :, :end])
            out.append(o.view(B, nk, nq // nk, n, d))
        o = torch.cat(out, 3).permute(0, 3, 1, 2, 4).reshape(B, T, nq * d)
        return F.linear(o, self.o, self.o_bias)

    def moe(self, t):
        cfg = self.cfg
        E, I, H = cfg.num_local_experts, cfg.intermediate_size, cfg.hidden_size
        logits = F.linear(t, self.router, self.router_bias).float()
        top, idx = logits.topk(cfg.num_experts_per_tok, dim=-1)
        weights = torch.zeros_like(logits).scatter(-1, idx, top.softmax(-1))
        h = F.linear(t, self.w1.view(E * 2 * I, H), self.b1.view(-1))
        h = h.view(*t.shape[:-1], E * I, 2)
        gate = h[..., 0].clamp(max=cfg.swiglu_limit)
        up = h[..., 1].clamp(-cfg.swiglu_limit, cfg.swiglu_limit)
        a = gate * torch.sigmoid(cfg.swiglu_alpha * gate) * (up + 1)
        a = a.view(*t.shape[:-1], E, I) * weights.to(a.dtype)[..., None]
        w2 = self.w2.permute(1, 0, 2).reshape(H, E * I)
        out = F.linear(a.flatten(-2), w2) + torch.matmul(weights.to(a.dtype), self.b2)
        # Load balance (training only): share of first choices times mean probability.
        share = (weights > 0).float().mean(dim=(0, 1))
        aux = E * (share * logits.softmax(-1).mean(dim=(0, 1))).sum() / cfg.num_experts_per_tok
        return out, aux

    def forward(self, x, cos, sin, mask, cache=None):
        cfg = self.cfg
        x = x + self.attention(rms_norm(x, self.attn_norm, cfg.rms_norm_eps), cos, sin, mask, cache)
        y, aux = self.moe(rms_norm(x, self.mlp_norm, cfg.rms_norm_eps))
        return x + y, aux


def rotate(x, cos, sin):
    """Half-split rotation; cos and sin are [B or 1, T, head_dim / 2]."""
    a, b = x.chunk(2, dim=-1)
    cos, sin = cos[:, :, None].to(x.dtype), sin[:, :, None].to(x.dtype)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)


class Model(nn.Module):
    """Embedding, blocks, norm and an untied output matrix."""

    def __init__(self, cfg: Config):
        super().__init__()
        self.cfg = cfg
        self.embed = nn.Parameter(torch.randn(cfg.vocab_size, cfg.hidden_size))
        self.blocks = nn.ModuleList(Block(cfg, i) for i in range(cfg.num_hidden_layers))
        self.norm = nn.Parameter(torch.ones(cfg.hidden_size))
        # The output matrix starts as a scaled copy of the embedding and is stored as a difference
        # to it: what a head copies is then readable for every token, also for rare ones. The
        # exported matrices are two separate ones.
        self.head_scale = nn.Parameter(torch.tensor(0.3 / math.sqrt(cfg.hidden_size)))
        self.head_delta = nn.Parameter(torch.zeros(cfg.vocab_size, cfg.hidden_size))
        cos, sin = rope_tables(cfg, 4096)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        self.structured_init()

    @torch.no_grad()
    def structured_init(self):
        """Start with heads that look a fixed number of tokens back.

        With zero q/k weights the score depends on distance only: sum_i a cos(f_i (n - back)), a
        peak at n = back. Such a head in layer 0 is half of an induction head; finding it by
        gradient alone costs several million tokens.
        """
        cfg, d = self.cfg, self.cfg.head_dim
        half, group = d // 2, cfg.num_attention_heads // cfg.num_key_value_heads
        f = inverse_frequencies(cfg)
        amp = torch.zeros(half)
        amp[:4] = math.sqrt(9.0 * math.sqrt(d) / 1.8133)  # about 9 units of logit per pair
        block = self.blocks[0]
        block.k[:d] = 0
        block.k_bias[:half] = amp
        for head in range(group):
            back = head + 1
            if head == 3:
                break  # the last head of the group stays free
            block.q[head * d : (head + 1) * d] = 0
            # Key at distance n is rotated by -n f against the query: turn the query by -back f.
            block.q_bias[head * d : head * d + half] = amp * torch.cos(-back * f)
            block.q_bias[head * d + half : (head + 1) * d] = amp * torch.sin(-back * f)
            block.o[:, head * d : (head + 1) * d] *= 3

    @property
    def head(self) -> torch.Tensor:
        return self.embed * self.head_scale + self.head_delta

    def forward(self, ids, positions, full_mask, window_mask, select=None, cache=None):
        """Logits at the flat indices `select` (all if None) and the mean load-balance term.

        Masks are additive: 0 where a key may be seen, a large negative number elsewhere.
        """
        x = F.embedding(ids, self.embed)
        cos, sin = self.cos[positions], self.sin[positions]
        aux = 0.0
        for i, block in enumerate(self.blocks):
            x, a = block(x, cos, sin, window_mask if i % 2 == 0 else full_mask, cache)
            aux = aux + a
        if select is not None:
            x = x.reshape(-1, x.shape[-1])[select]
        x = rms_norm(x, self.norm, self.cfg.rms_norm_eps)
        return F.linear(x, self.head).float(), aux / len(self.blocks)


class Cache:
    """Keys and values of the positions already seen, for greedy generation."""

    def __init__(self):
        self.kv: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def append(self, layer, k, v):
        if layer in self.kv:
            pk, pv = self.kv[layer]
            k, v = torch.cat((pk, k), 1), torch.cat((pv, v), 1)
        self.kv[layer] = (k, v)
        return k, v


NEG = -1e9


def masks(positions: torch.Tensor, segment: torch.Tensor, window: int, last: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Additive masks of rows that hold one shared prefix (segment 0) and branches 1, 2, ...

    A token sees the prefix and its own branch, never another branch; -1 is padding. With `last`,
    only for that many queries at the end.
    """
    pq, pk = positions[:, -last:, None], positions[:, None, :]
    sq, sk = segment[:, -last:, None], segment[:, None, :]
    seen = (pk <= pq) & ((sk == sq) | (sk == 0))
    full = torch.where(seen, 0.0, NEG)
    windowed = torch.where(seen & (pq - pk < window), 0.0, NEG)
    return full, windowed
