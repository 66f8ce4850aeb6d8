"""Held-out conversations in OpenAI Chat form, and the greedy score of an exported model on them.

    python training/evaluate.py make --n 20 --out test/fixtures/demo/heldout.jsonl
    python training/evaluate.py run --model models/demo --file test/fixtures/demo/heldout.jsonl [--show 3]
    python training/evaluate.py accept --model models/demo

What counts is the meaning of the answer: the called function and its arguments as JSON, the JSON of
a response format, the text of the final message (a story: its number of sentences and its animal).
"""

from __future__ import annotations

import argparse
import json
import re
from collections import defaultdict
from pathlib import Path

import torch

import data
import harmony as h
import words
from export import load
from model import Cache, masks

HELD_OUT_SEED = 77_000_001
SKILLS = ["fact", "count", "weather", "weather_result", "extract", "story", "tool", "new_tool", "tool_result", "new_tool_result", "ask", "ask_result", "no_tool", "event",
          "styled", "memory", "chat", "question", "unknown", "beyond", "small", "repeat", "copy", "list", "lookup"]


# -- making ---------------------------------------------------------------------------------------

def item(c: data.Context, b: data.Branch) -> dict:
    """One conversation up to its last answer, with what is expected there."""
    messages = [{"role": "developer", "content": c.instructions}] if c.instructions else []
    *before, last = b.turns
    for i, turn in enumerate(before):
        if turn[0] == "user":
            messages.append({"role": "user", "content": turn[1]})
        elif turn[0] == "past":
            messages.append({"role": "assistant", "content": turn[1]})
        elif turn[0] == "call":
            message = {"role": "assistant", "content": None, "tool_calls": [{"id": f"call_{i}", "type": "function", "function": {"name": turn[1], "arguments": turn[2]}}]}
            if turn[3] is not None:
                message["reasoning"] = turn[3]
            messages.append(message)
        elif turn[0] == "tool":
            messages.append({"role": "tool", "tool_call_id": f"call_{i - 1}", "content": turn[2]})
    if last[0] == "call":
        expected = {"tool": last[1], "arguments": json.loads(last[2])}
    elif c.response_format:
        expected = {"json": json.loads(last[2])}
    elif b.skill == "story":
        text = last[2]
        asked = re.search(r"about (?:an? )?([^.?]*?)(?: in \w+ sentences?)?[.?]", before[-1][1]).group(1)
        expected = {"sentences": sentences(text), "contains": [asked.split(" ")[-1]]}
    elif b.skill == "unknown":
        expected = {"contains": [last[2].split(". A larger")[0].rstrip(".")]}
    else:
        expected = {"text": last[2]}
    out = {"skill": b.skill, "date": c.date, "reasoning_effort": c.effort, "messages": messages}
    if c.tools:
        out["tools"] = [{"type": "function", "function": {k: v for k, v in t.items() if v is not None}} for t in c.tools]
    if c.response_format:
        out["response_format"] = {"type": "json_schema", "json_schema": {**c.response_format, "strict": True}}
    return {**out, "expected": expected}


def sentences(text: str) -> int:
    return len(re.findall(r"[.!?](?:\s|$)", text))


def make(n: int, seed: int = HELD_OUT_SEED) -> list[dict]:
    gen = data.Generator(seed)
    have = defaultdict(list)
    while any(len(have[s]) < n for s in SKILLS):
        c = gen.context()
        for b in c.branches[:2]:
            if len(have[b.skill]) < n and (b.turns[-1][0] == "answer" or b.turns[-1][3] is not None):
                have[b.skill].append(item(c, b))
    return [i for s in SKILLS for i in have[s]]


# -- running --------------------------------------------------------------------------------------

def prompt(x: dict) -> list:
    """Chat form to segments, by the rules of the server."""
    tools = [t["function"] for t in x.get("tools", [])]
    form = x.get("response_format", {}).get("json_schema")
    instructions = "\n\n".join(m["content"] for m in x["messages"] if m["role"] in ("system", "developer"))
    out = h.system_message(x.get("date", "2026-11-21"), x.get("reasoning_effort", "medium"), bool(tools))
    out += h.developer_message(instructions, tools, form)
    names = {}
    for m in x["messages"]:
        if m["role"] == "user":
            out += h.message("user", m["content"])
        elif m["role"] == "tool":
            out += h.tool_output(names[m["tool_call_id"]], m["content"])
        elif m["role"] == "assistant":
            if m.get("reasoning"):
                out += h.analysis(m["reasoning"])
            for call in m.get("tool_calls", []):
                names[call["id"]] = call["function"]["name"]
                out += h.call(call["function"]["name"], call["function"]["arguments"])
            if m.get("content"):
                out += h.final(m["content"], end="end")
    return out + h.PROMPT_END


@torch.no_grad()
def generate(model, codec, prompts: list[list[int]], limit: int = 220) -> list[list[int]]:
    """Greedy continuations of a batch; prompts are padded on the left."""
    stop = {codec.special[t] for t in ("<|return|>", "<|call|>", "<|endoftext|>")}
    longest = max(map(len, prompts))
    B = len(prompts)
    ids, pos, seg = torch.zeros(B, longest, dtype=torch.long), torch.zeros(B, longest, dtype=torch.long), torch.full((B, longest), -1)
    for i, p in enumerate(prompts):
        ids[i, longest - len(p):] = torch.tensor(p)
        pos[i, longest - len(p):] = torch.arange(len(p))
        seg[i, longest - len(p):] = 0
    cache, out, done = Cache(), [[] for _ in prompts], [False] * B
    full, window = masks(pos, seg, model.cfg.sliding_window)
    logits, _ = model(ids, pos, full, window, select=torch.arange(1, B + 1) * longest - 1, cache=cache)
    for _ in range(limit):
        token = logits.argmax(-1)
        for i in range(B):
            if not done[i]:
                out[i].append(int(token[i]))
                done[i] = int(token[i]) in stop
        if all(done):
            break
        new = pos[:, -1:] + 1
        pos, seg = torch.cat((pos, new), 1), torch.cat((seg, torch.zeros(B, 1, dtype=seg.dtype)), 1)
        full, window = masks(pos, seg, model.cfg.sliding_window, last=1)
        logits, _ = model(token[:, None], new, full, window, select=torch.arange(B), cache=cache)
    return out


def parse(text: str) -> dict:
    """The last message of an output: a call or a final text; empty if it is neither."""
    m = re.search(r" to=functions\.([^<]+)<\|channel\|>commentary <\|constrain\|>json<\|message\|>(.*)<\|call\|>$", text, re.S)
    if m:
        return {"tool": m.group(1), "arguments": m.group(2)}
    m = re.search(r"<\|channel\|>final<\|message\|>(.*)<\|return\|>$", text, re.S)
    return {"text": m.group(1)} if m else {}


def right(expected: dict, got: dict) -> bool:
    try:
        if "tool" in expected:
            return got.get("tool") == expected["tool"] and json.loads(got["arguments"]) == expected["arguments"]
        if "json" in expected:
            return json.loads(got["text"]) == expected["json"]
    except (ValueError, KeyError):
        return False
    if "text" not in got:
        return False
    if "text" in expected:
        return got["text"] == expected["text"]
    return all(s in got["text"] for s in expected["contains"]) and expected.get("sentences", sentences(got["text"])) == sentences(got["text"])


def run(model, codec, items: list[dict], batch: int = 48) -> list[str]:
    prompts = [codec.encode(prompt(x)) for x in items]
    order = sorted(range(len(items)), key=lambda i: len(prompts[i]))
    out = [""] * len(items)
    for at in range(0, len(order), batch):
        part = order[at : at + batch]
        for i, tokens in zip(part, generate(model, codec, [prompts[i] for i in part])):
            out[i] = codec.decode(tokens)
    return out


def table(items: list[dict], outputs: list[str], show: int = 0) -> str:
    score = defaultdict(lambda: [0, 0, 0])
    shown = defaultdict(int)
    for x, text in zip(items, outputs):
        got = parse(text)
        ok = right(x["expected"], got)
        s = score[x["skill"]]
        s[0] += 1
        s[1] += ok
        s[2] += bool(got)
        if not ok and shown[x["skill"]] < show:
            shown[x["skill"]] += 1
            print(f"-- {x['skill']}: {x['messages'][-1]['content']}\n   want {json.dumps(x['expected'], ensure_ascii=False)}\n   got  {text}")
    lines = ["| skill | n | right | well formed |", "|---|---|---|---|"]
    for s in SKILLS:
        if s in score:
            n, ok, formed = score[s]
            lines.append(f"| {s} | {n} | {100 * ok / n:.0f} % | {100 * formed / n:.0f} % |")
    n, ok, formed = (sum(v[i] for v in score.values()) for i in range(3))
    lines.append(f"| all | {n} | {100 * ok / n:.1f} % | {100 * formed / n:.1f} % |")
    return "\n".join(lines)


# -- acceptance -------------------------------------------------------------------------------------

def acceptance() -> list[dict]:
    """The prompts that are never trained on, in the shapes in which clients send them."""
    user = lambda t: [{"role": "user", "content": t}]
    weather = lambda name, unit: [{"type": "function", "function": {"name": name, "description": "Get the current weather in a given location", "parameters": {
        "type": "object", "properties": {"location": {"type": "string", "description": "The city and state, e.g. San Francisco, CA"},
        unit: {"type": "string", "enum": ["celsius", "fahrenheit"]}}, "required": ["location"]}}}]
    string = {"type": "string"}
    form = lambda name, schema: {"type": "json_schema", "json_schema": {"name": name, "schema": schema, "strict": True}}
    person = {"type": "object", "properties": {"name": string, "city": string, "profession": string}, "required": ["name", "city", "profession"], "additionalProperties": False}
    event = {"properties": {"name": {"title": "Name", "type": "string"}, "date": {"title": "Date", "type": "string"}, "participants": {"items": string, "title": "Participants", "type": "array"}},
             "required": ["name", "date", "participants"], "title": "CalendarEvent", "type": "object", "additionalProperties": False}
    event2 = {"type": "object", "properties": {"name": string, "date": string, "participants": {"type": "array", "items": string}}, "required": ["name", "date", "participants"], "additionalProperties": False}
    dev = lambda t: [{"role": "developer", "content": t}]
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "function", "function": {"name": "get_current_weather", "arguments": '{"location":"Paris","unit":"celsius"}'}}]}
    A = data.ACCEPTANCE
    return [
        {"messages": user(A[0])}, {"messages": user(A[1])},
        {"messages": user(A[2]), "tools": weather("get_current_weather", "unit")}, {"messages": user(A[2]), "tools": weather("get_weather", "format")},
        {"messages": user(A[2]) + [call, {"role": "tool", "tool_call_id": "c", "content": '{"temperature": 22, "unit": "celsius", "description": "Sunny"}'}], "tools": weather("get_current_weather", "unit")},
        {"messages": user(A[3]), "response_format": form("person", person)}, {"messages": user(A[3]), "response_format": form("response", person)},
        {"messages": user(A[4])},
        {"messages": user(A[5]), "tools": weather("get_current_weather", "unit")}, {"messages": user(A[5]), "tools": weather("getWeather", "unit")},
        {"messages": dev("Extract the event information.") + user(A[6]), "response_format": form("CalendarEvent", event)},
        {"messages": dev("Extract the event information.") + user(A[6]), "response_format": form("calendar_event", event2)},
        {"messages": dev(A[7]) + user(A[8])}, {"messages": dev("You are a coding assistant that talks like a pirate.") + user(A[8])},
        {"messages": user(A[9])}, {"messages": dev("You are a helpful assistant.") + user(A[9])},
        {"messages": user(A[10])}, {"messages": dev("You are a helpful assistant.") + user(A[10]), "reasoning_effort": "low"},
        {"messages": user("Hello!")}, {"messages": user("Who are you?")}, {"messages": user("What is the meaning of life?")},
        {"messages": user("Tell me a joke")}, {"messages": user("How do I install Node.js?")}, {"messages": user("My name is Grace.") + [{"role": "assistant", "content": "Hello, Grace!"}] + user("What is my name?")},
    ]


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("what", choices=("make", "run", "accept"))
    ap.add_argument("--n", type=int, default=20)
    ap.add_argument("--seed", type=int, default=HELD_OUT_SEED)
    ap.add_argument("--out")
    ap.add_argument("--model", default="models/demo")
    ap.add_argument("--file")
    ap.add_argument("--show", type=int, default=0)
    ap.add_argument("--threads", type=int, default=1)
    a = ap.parse_args()
    torch.set_num_threads(a.threads)
    if a.what == "make":
        Path(a.out).parent.mkdir(parents=True, exist_ok=True)
        Path(a.out).write_text("".join(json.dumps(x, ensure_ascii=False) + "\n" for x in make(a.n, a.seed)))
        return
    model, codec = load(a.model)
    if a.what == "accept":
        items = acceptance()
        for x, text in zip(items, run(model, codec, items)):
            print("*", " / ".join(m["content"] or "(call)" for m in x["messages"]), "\n  ", text)
        return
    items = [json.loads(line) for line in open(a.file)] if a.file else make(a.n, a.seed)
    print(table(items, run(model, codec, items), a.show))


if __name__ == "__main__":
    main()
