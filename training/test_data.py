"""The generator never makes an acceptance prompt, and its segments are what the renderer prints.

Run: python training/test_data.py
"""

import json

import data
import evaluate
import harmony as h


def test_no_acceptance_prompt():
    gen = data.Generator(5)
    for _ in range(20000):
        c = gen.context()
        said = [c.instructions or ""] + [t[1] for b in c.branches for t in b.turns if t[0] == "user"]
        assert not data.FORBIDDEN & {data.normal(s) for s in said}


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


if __name__ == "__main__":
    for name, test in list(globals().items()):
        if name.startswith("test_"):
            test()
            print("ok", name)
