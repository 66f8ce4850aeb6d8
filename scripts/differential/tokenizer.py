"""Texts of every kind and what tiktoken makes of them: one JSON line [text, ids] each, to standard output.

    pip install tiktoken
    python scripts/differential/tokenizer.py --texts 300000 --seed 1

tokenizer.ts runs this and compares. The texts are random unless --points or --long is given.
"""

import argparse
import base64
import hashlib
import json
import pathlib
import random
import sys
import unicodedata

import tiktoken

RANKS = pathlib.Path(__file__).parents[2] / "node_modules/gpt-tokenizer/data/o200k_base.tiktoken"
PATTERN = "|".join([
    r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?""",
    r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?""",
    r"""\p{N}{1,3}""",
    r""" ?[^\s\p{L}\p{N}]+[\r\n/]*""",
    r"""\s*[\r\n]+""",
    r"""\s+(?!\S)""",
    r"""\s+""",
])

SPACES = [" ", "  ", "   ", "\t", "\n", "\r", "\r\n", "\n\n", "\r\r\n", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x1f", "\x85",
          "\u00a0", "\u1680", "\u2000", "\u2003", "\u2009", "\u200a", "\u200b", "\u2028", "\u2029", "\u202f", "\u205f", "\u2060",
          "\u3000", "\ufeff", "\u180e", "\u200d", "\u200e"]
TAILS = [apostrophe + tail for apostrophe in ("'", "\u2019", "''", "\u02bc", "`") for tail in
         ("s", "t", "re", "ve", "m", "ll", "d", "S", "T", "RE", "Ve", "M", "LL", "lL", "D", "\u017f", "\u017fs", "\u212a", "x", "r", "v", "l", "")]
CONTROLS = ["<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|constrain|>", "<|return|>", "<|call|>", "<|endoftext|>",
            "<|startoftext|>", "<|reserved_200013|>", "<|endofprompt|>", "<|", "|>", "<|end", "<||>"]
EMOJI = ["\U0001f600", "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466", "\U0001f1e9\U0001f1ea", "\U0001f44d\U0001f3fd", "\u2764\ufe0f", "1\ufe0f\u20e3",
         "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f", "\u00a9\ufe0f", "\U0001f9d1\u200d\U0001f4bb", "\U0001fae9"]
WORDS = """the quick Brown FOX iPhone McDonald's don't DON'T it's I'll we've O'Neill HTTPServer parseJSON2 x86_64 naïve café Straße ǅungla ŉ ﬁn Ωmega
привет ПРИВЕТ Привет мир שלום עולם مرحبا بالعالم नमस्ते दुनिया สวัสดีชาวโลก 你好世界 こんにちは カタカナ 안녕하세요 Γειά ქართული ᲥᲐᲠᲗᲣᲚᲘ አማርኛ தமிழ் తెలుగు ಕನ್ನಡ മലയാളം
ಠ_ಠ ᏣᎳᎩ ꮳꮃꭹ ʰʷ ªº ⅷ Ⅷ ①② ² ½ ১২৩ ٣٤٥ १२३४ 𝟘𝟙 Ǆ ǅ ǆ ᾈ ﷽ ẞ İstanbul ıçı e\u0301 A\u0300B \u0301 q\u0307\u0323 zu\u0308g 𐐀𐐨 𞤀𞤢 𖹀𖹠 𐲀𐳀""".split()
CODE = [
    "def f(x):\n    return x ** 2  # squared\n", "fn main() {\r\n\tlet v: Vec<u8> = vec![0; 16];\r\n}\r\n", "#include <stdio.h>\nint main(void) { return !0; }\n",
    "const f = async (a, b) => ({ ...a, [b]: `${a?.x ?? 0}` })\n", "SELECT * FROM t WHERE a <> 'b''c' AND n >= 10;\n", "<div class=\"a b\">&nbsp;</div>\n<!-- x -->\n",
    "package main\n\nfunc main() {\n\tfmt.Println(\"hi\")\n}\n", "{\"a\": [1, 2.5e-3, null], \"b\": {\"c\": \"\\u00e9\"}}\n", "key: value\nlist:\n  - a\n  - 'b'\n",
    "#!/bin/sh\nset -eu\nfor i in $(seq 1 10); do echo \"$i\" >> /tmp/x; done\n", "public static void main(String[] args) throws Exception {\n        //\n}\n",
    "let rec fact = function 0 -> 1 | n -> n * fact (n-1);;\n", "main = putStrLn $ show <$> [1..10] >>= \\x -> x\n", "(defn f [x] (->> x (map inc) (reduce +)))\n",
    "module M\n  def m(a:, *b, **c) = a&.to_s\nend\n", "\\begin{align}\n  x &= \\frac{1}{2} \\\\\n\\end{align}\n", "mov eax, [rbp-0x10]\n\tjne .L2\n", "<?php echo $a['b'] . \"\\n\"; ?>\n",
    "| a | b |\n|---|:-:|\n| `x` | **y** |\n\n```js\n1\n```\n", "function Get-X { param([string]$a) $a | % { $_ } }\r\n", "val x = list.map { it + 1 }.filter(Int::isOdd)\n", "@media (max-width: 10px) { .a > .b::after { content: '//' } }\n",
    "diff --git a/x b/x\n@@ -1,2 +1,2 @@\n-a\n+b\n", "https://example.com/a/b?c=d&e=%20f#g\n", "2025-06-28T12:34:56.789Z 127.0.0.1 - - [28/Jun/2025] \"GET / HTTP/1.1\" 200 1234\n"]


def points_by_category():
    groups = {}
    for point in range(0x110000):
        if not 0xD800 <= point <= 0xDFFF:
            groups.setdefault(unicodedata.category(chr(point)), []).append(point)
    return groups


def blocks():
    """Code points close to each other, as a script's are."""
    return [range(start, start + 128) for start in (*range(0, 0x3000, 128), *range(0xA000, 0xAC00, 128), *range(0xF900, 0x10000, 128),
                                                    *range(0x10000, 0x12000, 128), *range(0x16800, 0x17000, 128), *range(0x1D000, 0x1FB00, 128), *range(0xE0000, 0xE0200, 128))]


class Texts:
    def __init__(self, seed):
        self.pick = random.Random(seed)
        self.groups = list(points_by_category().values())
        self.blocks = blocks()

    def text(self):
        pick = self.pick
        kind = pick.random()
        if kind < 0.002:
            unit = pick.choice([pick.choice(SPACES), pick.choice(WORDS), "a", "A", "!", "0", "\u4e2d", "\u0301", pick.choice(EMOJI), " \n"])
            return (unit * (pick.choice([1000, 10_000]) // len(unit)) + pick.choice(["", "x", " x", "\n", "'s"]))
        if kind < 0.5:
            return "".join(self.fragment() for _ in range(pick.randint(1, 24)))
        if kind < 0.7:
            block = pick.choice(self.blocks)
            letters = [chr(point) for point in block if not 0xD800 <= point <= 0xDFFF]
            return "".join(pick.choice(letters) if pick.random() < 0.8 else pick.choice(SPACES + TAILS + ["A", "a", "1", "_"]) for _ in range(pick.randint(1, 40)))
        if kind < 0.85:
            return "".join(chr(pick.choice(pick.choice(self.groups))) for _ in range(pick.randint(1, 30)))
        return "".join(pick.choice("aAzZ'sSlL01 \n\r\t/.,!\u0301\u02b0\u01c5\u4e2d\u00e9\u00c9\u00a0\u017f\u2019") for _ in range(pick.randint(1, 30)))

    def fragment(self):
        pick = self.pick
        kind = pick.randint(0, 11)
        if kind <= 2:
            return pick.choice(WORDS) + pick.choice(["", "", " "])
        if kind == 3:
            return pick.choice(SPACES) * pick.randint(1, 4)
        if kind == 4:
            return pick.choice(WORDS) + pick.choice(TAILS)
        if kind == 5:
            return pick.choice(CODE) if pick.random() < 0.5 else self.slice_of(pick.choice(CODE))
        if kind == 6:
            return pick.choice(CONTROLS)
        if kind == 7:
            return pick.choice(EMOJI)
        if kind == 8:
            return chr(pick.choice(pick.choice(self.groups)))
        if kind == 9:
            return pick.choice(["0", "12", "345", "6789", "1,000.00", "-7", "0x1F", "\u0663\u0664\u0665\u0666", "\u00bd\u2167"])
        if kind == 10:
            # A lone surrogate, which is no text: both sides have to take it for U+FFFD.
            return pick.choice(["\ud800", "\udfff", "\udc00\ud800"]) if pick.random() < 0.2 else pick.choice(TAILS)
        return "".join(pick.choice("!?.,;:-_=+()[]{}<>/\\|@#$%^&*~`\"'") for _ in range(pick.randint(1, 8)))

    def slice_of(self, text):
        start = self.pick.randrange(len(text))
        return text[start : start + self.pick.randint(1, 20)]


def in_every_context(points):
    for point in points:
        if 0xD800 <= point <= 0xDFFF:
            continue
        c = chr(point)
        yield f"a{c}b A{c} {c}a {c}'s 1{c}2{c}{c}\n{c}{c} {c}{c}\n/A{c}B{c}\r "


def long_runs():
    units = ["a", "A", "aB", "1", "!", "!?", "/\n", " ", "\n", " \n", "\r\n", "\t", "\u00a0", "\u3000", "\u4e2d", "\u4e2dA", "\u0301", "a\u0301", "\U0001f600", "'s",
             "ab", "hello", "0x", "\u0663", "\u01c5", "\u02b0", "\u2028", "<|end|>", "=", "-", "_", "\x00", "\u200d", "\ufeff", "\U000e0001"]
    for unit in units:
        for tail in ("", "x", " x", "\n", " \n x", "'ll", "A"):
            yield unit * (100_000 // len(unit)) + tail
            yield "A" + unit * (100_000 // len(unit)) + tail


def telling():
    """The fixture test/fixtures/tokenizer/differential.json: characters of Unicode 15.1, 16 and 17, and short random texts."""
    yield from in_every_context([0x1C89, 0xA7CB, 0x105C0, 0x10D50, 0x11F5A, 0x2EBF0, 0x88F, 0xA7CE, 0x11DB0, 0x16EA0, 0x1E6C0])
    made, count = Texts(3), 0
    while count < 80:
        text = made.text()
        if len(text) <= 50 and not any(0xD800 <= ord(c) <= 0xDFFF for c in text):
            count += 1
            yield text


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--points", action="store_true", help="every code point in every context")
    parser.add_argument("--fixture", action="store_true", help="the texts of the fixture, as its JSON")
    parser.add_argument("--hf", help="this tokenizer.json by Hugging Face's tokenizers in place of tiktoken; texts with <| are left out")
    parser.add_argument("--long", action="store_true", help="runs of 100,000 characters")
    arguments = parser.parse_args()
    data = RANKS.read_bytes()
    ranks = {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in data.splitlines())}
    encoding = tiktoken.Encoding("o200k_harmony", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={})
    print(f"tiktoken {tiktoken.__version__}, ranks {hashlib.sha256(data).hexdigest()[:12]}", file=sys.stderr)
    if arguments.points:
        texts = in_every_context(range(0x110000))
    elif arguments.fixture:
        cases = [json.dumps(dict(text=text, ids=encoding.encode_ordinary(text)), ensure_ascii=False) for text in telling()]
        oracle = f"tiktoken {tiktoken.__version__}; scripts/differential/tokenizer.py --fixture"
        print("{\n" + f'"oracle": "{oracle}",\n"cases": [\n' + ",\n".join(cases) + "\n]}")
        return
    elif arguments.long:
        texts = long_runs()
    else:
        made = Texts(arguments.seed)
        texts = (made.text() for _ in range(arguments.texts))
    encode = encoding.encode_ordinary
    if arguments.hf:
        import tokenizers

        hf = tokenizers.Tokenizer.from_file(arguments.hf)
        texts = (text for text in texts if "<|" not in text and not any(0xD800 <= ord(c) <= 0xDFFF for c in text))
        encode = lambda text: hf.encode(text, add_special_tokens=False).ids  # noqa: E731
    write = sys.stdout.write
    for text in texts:
        write(json.dumps([text, encode(text)], separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
