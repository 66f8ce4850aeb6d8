"""The demo model's vocabulary, as a Hugging Face tokenizer.json.

Byte-level BPE with the o200k split, like gpt-oss's own, but trained so that a word is the same
tokens wherever it stands: merges stay inside runs of letters or of punctuation, digits are single,
and a leading space is joined only to frequent words that are one token already (these merges rank
last). A name therefore looks the same after a space, a quote or a line break, which is what makes
copying easy to learn.

Run: python training/tokenizer.py OUT.json
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

SPLIT = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPECIALS = ["startoftext", "endoftext", "return", "constrain", "channel", "start", "end", "message", "call"]
SIZE_MULTIPLE = 32  # padded with reserved control tokens
MERGES = 1780
SPACE_WORDS = 300
SEED = 20240601


def base(split_letters: bool) -> Tokenizer:
    tok = Tokenizer(models.BPE())
    steps = [pre_tokenizers.Split(Regex(SPLIT), "isolated")]
    if split_letters:
        steps += [pre_tokenizers.Split(Regex(r"[\p{L}\p{M}]+"), "isolated"), pre_tokenizers.Split(Regex(r"\p{N}"), "isolated")]
    steps.append(pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False))
    tok.pre_tokenizer = pre_tokenizers.Sequence(steps)
    tok.decoder = decoders.ByteLevel()
    return tok


def train(texts: list[str]) -> dict:
    """The tokenizer.json object."""
    # Very frequent template words must not crowd out the pieces that rare names are made of:
    # every distinct run counts by a power of its frequency.
    runs = Counter()
    for t in texts:
        runs.update(re.findall(r"[^\W\d_]+|\d|[^\w\s]+|\s*\n+| [^\w\s]+|_", t))
    corpus = []
    for run, n in runs.items():
        corpus += [run] * max(1, round(n**0.6))
    learner = base(split_letters=True)
    learner.train_from_iterator(corpus, trainers.BpeTrainer(
        vocab_size=256 + MERGES, special_tokens=[], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    model = json.loads(learner.to_str())["model"]
    vocab = [t for t, _ in sorted(model["vocab"].items(), key=lambda kv: kv[1])]
    merges = [tuple(m) for m in model["merges"]]
    known = set(vocab)
    words = Counter()
    for t in texts:
        words.update(re.findall(r"(?<= )[^\W\d_]+", t))
    for word, _ in words.most_common():
        if len([v for v in vocab if v.startswith("Ġ") and len(v) > 1]) >= SPACE_WORDS:
            break
        shown = "".join(BYTES[b] for b in word.encode())
        # Single letters and capitalised words are parts or slots of names: left alone.
        if shown in known and (len(word) > 1 or word == "a") and word == word.lower():
            merges.append(("Ġ", shown))
            vocab.append("Ġ" + shown)
    tok = json.loads(base(split_letters=False).to_str())
    tok["model"].update(vocab={t: i for i, t in enumerate(vocab)}, merges=[list(m) for m in merges], ignore_merges=False)
    tok["added_tokens"] = [
        {"id": len(vocab) + i, "content": f"<|{name}|>", "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
        for i, name in enumerate(SPECIALS + [f"reserved_{i}" for i in range(-(len(vocab) + len(SPECIALS)) % SIZE_MULTIPLE)])
    ]
    return tok


def byte_alphabet() -> dict[int, str]:
    """The printable character that stands for each byte in vocab and merges (GPT-2's table)."""
    keep = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table = {b: chr(b) for b in keep}
    extra = 256
    for b in range(256):
        if b not in table:
            table[b] = chr(extra)
            extra += 1
    return table


BYTES = byte_alphabet()


class Codec:
    """Segments to ids. Text never yields a control token: it is encoded without the added ones."""

    def __init__(self, path: str | Path):
        self.json = json.loads(Path(path).read_text())
        self.special = {t["content"]: t["id"] for t in self.json["added_tokens"]}
        self.size = max(self.special.values()) + 1
        self.full = Tokenizer.from_str(json.dumps(self.json))
        self.plain = Tokenizer.from_str(json.dumps({**self.json, "added_tokens": []}))

    def text(self, value: str) -> list[int]:
        return self.plain.encode(value).ids

    def encode(self, segments) -> list[int]:
        out = []
        for value, special, *_ in segments:
            out += [self.special[value]] if special else self.text(value)
        return out

    def decode(self, ids: list[int]) -> str:
        return self.full.decode(ids, skip_special_tokens=False)

    def parts(self, word: str) -> list[str]:
        """The tokens of a word as text; the whole word if a token ends inside a character."""
        parts = [self.full.decode([t]) for t in self.text(word)]
        return parts if "".join(parts) == word else [word]

    def pieces(self) -> list[str]:
        """Pure ASCII letter tokens of one to five letters, for made-up words."""
        return [t for t in self.json["model"]["vocab"] if re.fullmatch(r"[A-Za-z][a-z]{0,4}", t)]


def main(out: str):
    import data
    gen = data.Generator(SEED)
    texts = []
    for _ in range(12000):
        c = gen.context()
        texts += [t for t, special, _ in c.segments() if not special]
        for b in c.branches:
            texts += [t for t, special, _ in b.segments() if not special]
    tok = train(texts)
    Path(out).write_text(json.dumps(tok, ensure_ascii=False, indent=1))
    codec = Codec(out)
    n = sum(len(codec.text(t)) for t in texts[:20000])
    print("vocabulary", codec.size, "characters per token", sum(map(len, texts[:20000])) / n)


if __name__ == "__main__":
    main(sys.argv[1])
