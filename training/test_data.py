"""The generator never makes an acceptance prompt, and its segments are what the renderer prints.

Run: python training/test_data.py
"""

import json
import random
import re

import data
import evaluate
import harmony as h
import words


def test_no_acceptance_prompt():
    gen = data.Generator(5)
    for _ in range(20000):
        c = gen.context()
        said = [c.instructions or ""] + [t[1] for b in c.branches for t in b.turns if t[0] == "user"]
        assert not data.FORBIDDEN & {data.normal(s) for s in said}
        assert not any("double bubble bath" in data.normal(s) for s in said)


def test_filter_catches():
    gen = data.Generator(6)
    bad = data.Branch("chat", [("user", "say hello to the world"), ("answer", "", "")])
    assert not gen.allowed(data.Context("2025-01-01", "low"), bad)


def test_training_rows_are_server_prompts():
    """Prefix and branch up to the last answer equal the prompt made from the Chat form."""
    gen = data.Generator(7)
    for _ in range(3000):
        c = gen.context()
        for b in c.branches:
            row = "".join(t for t, _, _ in c.segments() + b.segments())
            assert row.startswith(h.join(evaluate.prompt(evaluate.item(c, b)))), row


def test_arguments_are_json_in_schema_order():
    gen = data.Generator(8)
    for _ in range(2000):
        c = gen.context("tools")
        order = {t["name"]: list(t["parameters"]["properties"]) for t in c.tools}
        for b in c.branches:
            for t in b.turns:
                if t[0] == "call":
                    keys = list(json.loads(t[2]))
                    assert keys == [k for k in order[t[1]] if k in keys]


def test_counts_add_up():
    """The parts of a counted word give the word, the last number is the count, and never the rs of 'strawberry'."""
    gen = data.Generator(9)
    data.parts_of = lambda word: [word[i : i + 3] for i in range(0, len(word), 3)]
    for _ in range(3000):
        (_, ask), (_, think, answer) = gen.count().turns
        letter, word = re.search(r"(\w)s? in '(\w+)'", answer).groups()
        parts = re.findall(r"(\w+): ([\w-]+)", think)
        assert "".join(p for p, _ in parts) == word and all(re.sub(r"[-\d]", "", s) == p for p, s in parts)
        n = word.lower().count(letter.lower())
        assert think.endswith(f". {n}.") and f" {n} {letter}" in answer and (word, letter) != ("strawberry", "r"), ask


def test_repeats_end_at_the_goal():
    gen = data.Generator(10)
    for branch in (b for _ in range(400) for b in gen.context("repeat", 5).branches):
        (_, ask), (_, think, answer) = branch.turns
        goal = re.search(r"until \((\d+)\)", think).group(1)
        lines = answer.split("\n")
        assert lines[-1].endswith(f" ({goal})") and len(lines) == int(goal), ask


def test_made_up_words_are_polite():
    rng = random.Random(11)
    for _ in range(50000):
        assert not words.RUDE.search(words.made_up(rng))


if __name__ == "__main__":
    for name, test in list(globals().items()):
        if name.startswith("test_"):
            test()
            print("ok", name)
