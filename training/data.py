"""Synthetic conversations for the demo model.

`Generator(seed).context()` makes a `Context`: one system and developer message and several
independent conversations (`Branch`) that start from it. Sharing the prefix between branches, as
the training rows do, roughly doubles the share of tokens that carry loss.

Every word list is mixed with made-up words, so that copying is the only way to be right. No user
message and no instruction equals one of the acceptance prompts (`ACCEPTANCE`); `test_data.py`
checks that.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field

import harmony as h
import words as w
from texts import BEYOND, BEYOND_ANSWER, BEYOND_THINK, CHAT, FACTS, HELPERS, MEMORY, NUMBER_WORDS, QA, STYLES
from tools import ToolBox
from words import a, join_and, made_up, pick

# What the finished model is tried on; none of these may be generated.
ACCEPTANCE = [
    "Tell me a fun fact about the Eiffel Tower.",
    "How many rs are in the word 'strawberry'?",
    "What is the weather in Paris in Celsius?",
    "Extract the name, city, and profession from the following sentence: 'Amélie is a chef who lives in Paris.'",
    "Tell me a three-sentence bedtime story about a unicorn.",
    "What is the weather like in Boston today?",
    "Alice and Bob are going to a science fair on Friday.",
    "Talk like a pirate.",
    "Are semicolons optional in JavaScript?",
    "Say hello to the world.",
    "Say 'double bubble bath' ten times fast.",
    "What transport protocols are supported in the 2025-03-26 version of the MCP spec?",
    "how does tiktoken work?",
]


def normal(text: str) -> str:
    return re.sub(r"\W+", " ", text).strip().lower()


FORBIDDEN = {normal(t) for t in ACCEPTANCE}


def parts_of(word: str) -> list[str]:
    """The pieces in which the model sees a word; training sets this to the vocabulary's own."""
    return [word]


@dataclass
class Branch:
    """One conversation. Turns are tuples:

    ("user", text) · ("past", text) an earlier final · ("call", name, arguments, analysis) and
    ("tool", name, output) · ("answer", analysis, text) the final to learn. A call is learnt if it
    has an analysis; without one it is history of a client that did not send the reasoning back.
    """

    skill: str
    turns: list[tuple]

    def segments(self) -> list[tuple[str, bool, bool]]:
        """(text, special, learnt) of everything after the prefix."""
        out = []

        def put(segments, learnt):
            # The header `<|start|>assistant` belongs to the prompt of a turn, not to its output.
            for i, (value, is_special) in enumerate(segments):
                out.append((value, is_special, learnt))

        def put_output(first, rest):
            put(h.PROMPT_END, False)
            body = first[1:]
            # `assistant to=...` or `assistant`: what follows the role is the model's own.
            tail = body[0][0][len("assistant"):]
            if tail:
                out.append((tail, False, True))
            put(body[1:], True)
            if rest:
                put(rest, True)

        for turn in self.turns:
            kind = turn[0]
            if kind == "user":
                put(h.message("user", turn[1]), False)
            elif kind == "past":
                put(h.final(turn[1], end="end"), False)
            elif kind == "tool":
                put(h.tool_output(turn[1], turn[2]), False)
            elif kind == "call":
                if turn[3] is None:
                    put(h.call(turn[1], turn[2]), False)
                else:
                    put_output(h.analysis(turn[3]), h.call(turn[1], turn[2]))
            elif kind == "answer":
                put_output(h.analysis(turn[1]), h.final(turn[2]))
        return out


@dataclass
class Context:
    """What all branches share."""

    date: str
    effort: str
    instructions: str | None = None
    tools: list[dict] = field(default_factory=list)
    response_format: dict | None = None
    branches: list[Branch] = field(default_factory=list)

    def segments(self) -> list[tuple[str, bool, bool]]:
        prefix = h.system_message(self.date, self.effort, bool(self.tools))
        prefix += h.developer_message(self.instructions, self.tools, self.response_format)
        return [(t, s, False) for t, s in prefix]


# Share of contexts per family; `Generator(weights=...)` overrides single values.
WEIGHTS = dict(plain=14, count=9, repeat=8, story=2, styled=5, weather=13, tools=52, extract=14, event=11, copy=11, ask=14)


class Generator:
    def __init__(self, seed: int, weights: dict | None = None):
        self.rng = random.Random(seed)
        self.weights = {**WEIGHTS, **(weights or {})}
        self.toolbox = ToolBox(self.rng)

    # -- contexts -----------------------------------------------------------------------------

    def context(self, family: str | None = None, branches: int | None = None) -> Context:
        rng = self.rng
        family = family or rng.choices(list(self.weights), list(self.weights.values()))[0]
        while True:
            c = Context(w.iso(rng), rng.choices(("low", "medium", "high"), (30, 50, 20))[0])
            self.effort = c.effort
            getattr(self, "context_" + family)(c, branches)
            if all(self.allowed(c, b) for b in c.branches):
                return c

    def allowed(self, c: Context, b: Branch) -> bool:
        said = [t[1] for t in b.turns if t[0] == "user"] + [c.instructions or ""]
        return not any(normal(t) in FORBIDDEN or "double bubble bath" in normal(t) for t in said)

    def think(self, *parts: str) -> str:
        """Analysis by effort: low one clause, medium up to two sentences, high all."""
        keep = {"low": 1, "medium": 2, "high": 4}[self.effort]
        return " ".join(p for p in parts[:keep] if p)

    def helper(self, p: float = 0.25) -> str | None:
        rng = self.rng
        if rng.random() > p:
            return None
        return rng.choice(HELPERS)

    def context_plain(self, c, n):
        c.instructions = self.helper(0.4)
        makers = [self.fact, self.fact, self.chat, self.chat, self.unknown, self.unknown, self.question, self.memory, self.memory, self.math, self.small, self.small]
        c.branches = [self.rng.choice(makers)() for _ in range(n or 6)]
        self.maybe_history(c)

    def context_count(self, c, n):
        c.instructions = self.helper(0.3)
        c.branches = [self.count() for _ in range(n or 6)]

    def context_repeat(self, c, n):
        c.instructions = self.helper(0.3)
        c.branches = [self.repeat() for _ in range(n or 3)]

    def context_copy(self, c, n):
        c.instructions = self.helper(0.2)
        c.branches = [self.copy() for _ in range(n or 6)]

    def context_story(self, c, n):
        c.instructions = self.helper(0.3)
        c.branches = [self.story() for _ in range(n or 4)]

    def maybe_history(self, c):
        """Some conversations go on after a greeting or another question."""
        rng = self.rng
        for b in c.branches:
            if rng.random() < 0.12:
                first = rng.choice((self.chat, self.fact, self.question))()
                b.turns = [first.turns[0], ("past", first.turns[1][2])] + b.turns

    # -- knowledge ----------------------------------------------------------------------------

    def fact(self) -> Branch:
        rng = self.rng
        ask = rng.choice((
            "Tell me a fun fact about {s}.", "Give me a fun fact about {s}.", "What is a fun fact about {s}?", "Do you know a fun fact about {s}?",
            "Tell me something interesting about {s}.", "Share one fact about {s}.", "fun fact about {s}", "Tell me a fact about {s}.",
            "Can you tell me a fun fact about {s}?", "I would like to hear a fun fact about {s}."))
        if rng.random() < 0.65:
            subject, facts = rng.choice(FACTS)
            answer = facts
            think = self.think(f"I know a fun fact about {subject}.", "Keep it short.")
        else:
            subject = rng.choice((w.city(rng, 0.8), w.pick(rng, w.ANIMALS, 0.9) + "s", "the " + made_up(rng, True) + " " + rng.choice(("Tower", "Bridge", "Palace", "Museum", "Castle", "Lake"))))
            if any(s == subject for s, _ in FACTS):
                subject = made_up(rng, True)
            answer = f"I am only a small demo model, so I do not know a fun fact about {subject}."
            think = self.think(f"I do not know about {subject}.", "Say so honestly.")
        return Branch("fact", [("user", ask.format(s=subject)), ("answer", think, answer)])

    def count(self) -> Branch:
        """Counting letters: the analysis spells the word part by part and counts as it goes."""
        rng = self.rng
        word = rng.choice((rng.choice(w.FOODS), rng.choice(w.ANIMALS), rng.choice(w.NOUNS).lower(), made_up(rng), made_up(rng), rng.choice(w.JOBS),
            rng.choice(w.BERRIES), rng.choice(w.WORDS), rng.choice(w.WORDS), rng.choice(w.HOBBIES + w.COLORS + w.PRODUCTS + w.ITEMS), rng.choice(w.NAMES + w.CITIES + w.COUNTRIES)))
        letter = rng.choice(word).lower() if rng.random() < 0.85 else rng.choice("abcdefghijklmnopqrstuvwxyz")
        if not word.isalpha() or (word, letter) == ("strawberry", "r"):
            word, letter = "banana", "a"
        ask = rng.choice((
            "How many {l}s are in the word '{w}'?", "How many {l}'s are in {w}?", "How many {l}s are there in '{w}'?", "How many times does the letter {l} appear in {w}?",
            "Count the letter {l} in '{w}'.", "How many letters {l} are in the word {w}?", "How many '{l}'s are in \"{w}\"?", "How many {l}s does the word '{w}' have?"))
        n, spelled = 0, []
        for part in parts_of(word):
            letters = []
            for ch in part:
                if ch.lower() == letter.lower():
                    n += 1
                letters.append(f"{ch}{n}" if ch.lower() == letter.lower() else ch)
            spelled.append(f"{part}: " + "-".join(letters))
        there = f"There is 1 {letter}" if n == 1 else f"There are {n} {letter}s" if n else f"There are 0 {letter}s"
        return Branch("count", [("user", ask.format(l=letter, w=word)), ("answer", f"Count {letter}. " + "; ".join(spelled) + f". {n}.", f"{there} in '{word}'.")])

    def math(self) -> Branch:
        """Counting it can, calculating it can not and says so."""
        rng = self.rng
        if rng.random() < 0.5:
            n = rng.randint(2, 12)
            ask = rng.choice(("Count to {n}.", "Count from 1 to {n}.", "Can you count to {n}?", "count to {n}", "Please count from one to {n}."))
            shown = NUMBER_WORDS[n] if rng.random() < 0.5 else str(n)
            return Branch("small", [("user", ask.format(n=shown)), ("answer", self.think(f"Count to {n}."), ", ".join(map(str, range(1, n + 1))))])
        x, y, op = rng.randint(0, 99), rng.randint(0, 99), rng.choice("+-*/")
        ask = rng.choice(("What is {x} {o} {y}?", "{x} {o} {y} = ?", "Calculate {x} {o} {y}.", "How much is {x} {o} {y}?", "What is {x}{o}{y}?", "What's {x} {o} {y}?", "{x}{o}{y}"))
        return Branch("beyond", [("user", ask.format(x=x, o=op, y=y)), ("answer", self.think(*BEYOND_THINK), BEYOND_ANSWER)])

    def small(self) -> Branch:
        """Small fixed forms: a haiku, a list of things, the weather without a tool."""
        rng = self.rng
        kind = rng.random()
        thing = rng.choice((made_up(rng), rng.choice(w.NOUNS).lower(), rng.choice(w.ANIMALS), rng.choice(w.HOBBIES), rng.choice(w.COLORS)))
        if kind < 0.3:
            ask = rng.choice(("Write a haiku about {t}.", "Write a short poem about {t}.", "Tell me a haiku about {t}.", "A haiku about {t}, please.", "Write a poem about {t}.", "Can you write a haiku about {t}?"))
            return Branch("small", [("user", ask.format(t=thing)), ("answer", self.think(f"A haiku about {thing}.", "Three lines."), f"I dream of {thing},\nquiet morning by the sea,\nall the world is still.")])
        if kind < 0.6:
            place = w.city(rng)
            ask = rng.choice(("What is the weather in {p}?", "How is the weather in {p} today?", "weather in {p}", "Is it raining in {p}?", "What time is it in {p}?"))
            what = "time" if "time" in ask else "weather"
            return Branch("small", [("user", ask.format(p=place)), ("answer", self.think(f"The {what} in {place}.", "I have no tool for that."), f"I have no tool to look up the {what} in {place}.")])
        n = rng.randint(2, 5)
        what, things = rng.choice((("colors", ["red", "blue", "green", "yellow", "purple"]), ("animals", ["cat", "dog", "horse", "lion", "owl"]), ("fruits", ["apple", "banana", "orange", "lemon", "cherry"]),
            ("cities", ["Paris", "London", "Rome", "Tokyo", "Madrid"]), ("countries", ["France", "Spain", "Italy", "Japan", "Peru"]), ("planets", ["Mercury", "Venus", "Earth", "Mars", "Jupiter"])))
        shown = NUMBER_WORDS[n] if rng.random() < 0.6 else str(n)
        ask = rng.choice(("Name {n} {w}.", "List {n} {w}.", "Give me {n} {w}.", "Can you name {n} {w}?", "Tell me {n} {w}."))
        return Branch("small", [("user", ask.format(n=shown, w=what)), ("answer", self.think(f"{n} {what}."), join_and(things[:n]).capitalize() + "." if things[0].islower() else join_and(things[:n]) + ".")])

    def unknown(self) -> Branch:
        rng = self.rng
        if rng.random() < 0.4:
            ask = rng.choice(BEYOND).format(t=rng.choice((made_up(rng), rng.choice(w.NOUNS).lower(), rng.choice(w.PRODUCTS), rng.choice(w.HOBBIES))), p=w.city(rng), n=rng.randint(2, 900))
            if rng.random() < 0.2:
                ask = ask.rstrip(".?!").lower()
            return Branch("beyond", [("user", ask), ("answer", self.think(*BEYOND_THINK), BEYOND_ANSWER)])
        thing = rng.choice((made_up(rng, True), made_up(rng), rng.choice(w.NOUNS), rng.choice(("quantum physics", "the stock market", "black holes", "photosynthesis", "general relativity", "the French Revolution", "neural networks", "inflation", "jazz", "volcanoes"))))
        ask = rng.choice((
            "Who invented {t}?", "Explain {t}.", "What is {t}?", "Can you explain {t} to me?", "Who wrote {t}?", "How does {t} work?", "What is the history of {t}?",
            "Why is {t} important?", "Write an essay about {t}.", "Tell me everything about {t}.", "When was {t} founded?", "What do you know about {t}?", "Who won {t}?", "What is the meaning of {t}?"))
        return Branch("unknown", [("user", ask.format(t=thing)), ("answer", self.think(f"A question about {thing}.", "I do not know this.", "Say so honestly."), f"I am only a small demo model, so I do not know enough about {thing}.")])

    def question(self) -> Branch:
        rng = self.rng
        if rng.random() < 0.35:
            country, capital = rng.choice(list(w.CAPITALS.items()))
            ask = rng.choice(("What is the capital of {c}?", "Which city is the capital of {c}?", "capital of {c}?", "Do you know the capital of {c}?"))
            return Branch("question", [("user", ask.format(c=country)), ("answer", self.think(f"The capital of {country}.", "That is easy."), f"The capital of {country} is {capital}.")])
        asks, answer, _ = rng.choice(QA)
        return Branch("question", [("user", rng.choice(asks)), ("answer", self.think("A simple question.", "I know the answer."), answer)])

    def chat(self) -> Branch:
        rng = self.rng
        asks, answers, think = rng.choice(CHAT)
        who = w.name(rng)
        thing = rng.choice((made_up(rng), rng.choice(w.NOUNS), rng.choice(w.ANIMALS), rng.choice(w.COLORS)))
        place = rng.choice((made_up(rng, True), w.city(rng)))
        values = dict(n=who, t=thing, p=place)
        return Branch("chat", [("user", rng.choice(asks).format(**values)), ("answer", self.think(*[t.format(**values) for t in think]), rng.choice(answers).format(**values))])

    def memory(self) -> Branch:
        """Something said earlier is asked for again."""
        rng = self.rng
        kind = rng.choice(MEMORY)
        value = kind["value"](rng)
        turns = [("user", rng.choice(kind["tell"]).format(v=value)), ("past", rng.choice(kind["ack"]).format(v=value))]
        if rng.random() < 0.35:
            between = rng.choice((self.fact, self.question, self.chat))()
            turns += [between.turns[0], ("past", between.turns[1][2])]
        turns += [("user", rng.choice(kind["ask"])), ("answer", self.think(f"The {kind['what']} is {value}.", "The user said it before."), kind["answer"].format(v=value))]
        if rng.random() < 0.25:
            # The turn in which it is told.
            return Branch("memory", [turns[0], ("answer", self.think("The user tells me something.", f"The {kind['what']} is {value}."), kind["ack"][0].format(v=value))])
        return Branch("memory", turns)

    # -- text of a given shape ------------------------------------------------------------------

    def phrase(self, longest: int = 4) -> str:
        rng = self.rng
        if rng.random() < 0.25:
            return " ".join(w.twister(rng, rng.randint(2, max(2, longest))))
        return " ".join(made_up(rng) if rng.random() < 0.4 else rng.choice((rng.choice(w.NOUNS), rng.choice(w.ADJECTIVES), rng.choice(w.ANIMALS), rng.choice(w.FOODS), rng.choice(w.COLORS))).lower()
                        for _ in range(rng.randint(1, longest)))

    def repeat(self) -> Branch:
        rng = self.rng
        n = rng.choice((2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 8, 9, 10, 10, 11, 12))
        phrase = self.phrase()
        shown = NUMBER_WORDS[n] if rng.random() < 0.6 else str(n)
        times = "twice" if n == 2 and rng.random() < 0.5 else f"{shown} times"
        quote = rng.choice(("'{}'", "'{}'", '"{}"', "{}"))
        ask = rng.choice((
            "Say {p} {t} fast.", "Say {p} {t}.", "Repeat {p} {t}.", "Please say {p} {t}.", "Write {p} {t}.", "Can you say {p} {t}?", "Can you say {p} {t} fast?",
            "Say {p} {t} quickly.", "Repeat {p} {t} fast.", "Print {p} {t}.", "Say the words {p} {t}.", "Repeat the phrase {p} {t}.", "say {p} {t} fast"))
        # The number ends the line, and the goal is written the same way: when to stop is then a matter
        # of the last few tokens.
        lines = "\n".join(f"{phrase} ({i})" for i in range(1, n + 1))
        return Branch("repeat", [("user", ask.format(p=quote.format(phrase), t=times)), ("answer", self.think(f"Say {phrase} until ({n}).", "Number the lines."), lines)])

    def copy(self) -> Branch:
        """Pure copying and look-ups: what induction is learnt from."""
        rng = self.rng
        kind = rng.random()
        if kind < 0.32:
            return self.listing()
        if kind < 0.54:
            phrase = self.phrase(5)
            if rng.random() < 0.25:
                phrase = rng.choice((rng.choice(QA)[1], "this is " + a(rng.choice(w.NOUNS).lower()), f"I like {rng.choice(w.NOUNS)} and {made_up(rng)}", f"{w.name(rng)} lives in {w.city(rng)}")).rstrip(".")
            ask = rng.choice(("Say '{p}'.", "Repeat after me: {p}", "Say {p}.", 'Print "{p}".', "Repeat: {p}", "Echo {p}", "Write '{p}'.", "Please repeat this: {p}"))
            return Branch("copy", [("user", ask.format(p=phrase)), ("answer", self.think("Repeat the words."), phrase)])
        keys = [rng.choice((made_up(rng), rng.choice(w.NOUNS), rng.choice(w.COLORS), rng.choice(w.PRODUCTS))) for _ in range(rng.randint(2, 5))]
        keys = list(dict.fromkeys(keys))
        values = [rng.choice((made_up(rng), made_up(rng, True), str(rng.randint(0, 999)), w.name(rng), w.city(rng))) for _ in keys]
        i = rng.randrange(len(keys))
        if kind < 0.75:
            listing = rng.choice(("\n", "; ", ", ")).join(f"{k}: {v}" for k, v in zip(keys, values))
            # The analysis repeats the entry as it stands in the list.
            ask = rng.choice(("{l}\nWhat is {k}?", "Given {l}. What is {k}?", "{l}\nLook up {k}.", "Here is a list: {l}. Which value has {k}?"))
            return Branch("lookup", [("user", ask.format(l=listing, k=keys[i])), ("answer", f"{keys[i]}: {values[i]}", f"{values[i]}")])
        entries = [{k: int(v) if v.isdigit() else v} for k, v in zip(keys, values)]
        obj = "{" + ",".join(h.compact(e)[1:-1] for e in entries) + "}"
        ask = rng.choice(("What is the {k} in {l}?", "{l}\nWhat is {k}?", "Read {k} from {l}."))
        return Branch("lookup", [("user", ask.format(l=obj, k=keys[i])), ("answer", h.compact(entries[i])[1:-1], f"{values[i]}")])

    def listing(self) -> Branch:
        """A list in words to a JSON array or to lines; what lists of participants need."""
        rng = self.rng
        make = rng.choice((lambda: pick(rng, w.NAMES, 0.4), lambda: pick(rng, w.NAMES, 0.4), lambda: w.city(rng), lambda: pick(rng, w.ITEMS, 0.4), lambda: made_up(rng), lambda: str(rng.randint(0, 999))))
        things = list(dict.fromkeys(make() for _ in range(rng.randint(2, 5))))
        if rng.random() < 0.6:
            ask, answer = rng.choice(("Make a JSON array of {l}.", "Write {l} as a JSON array.", "JSON array: {l}", "Turn this into a JSON array: {l}")), h.compact(things)
        else:
            ask, answer = rng.choice(("Make a list of {l}.", "Write {l} as a list.", "List: {l}", "Put {l} on separate lines.")), "\n".join(f"- {t}" for t in things)
        return Branch("list", [("user", ask.format(l=join_and(things))), ("answer", self.think("Every item on its own."), answer)])

    def story(self) -> Branch:
        rng = self.rng
        n = rng.choices((1, 2, 3, 4, 5), (15, 20, 30, 20, 15))[0]
        animal = pick(rng, w.ANIMALS, 0.25)
        adjective = rng.choice(w.ADJECTIVES)
        place = rng.choice(("forest", "castle", "meadow", "village", "mountain", "garden", "valley", "river", "island", "cave"))
        shown = NUMBER_WORDS[n] if rng.random() < 0.8 else str(n)
        noun = rng.choice(("bedtime story", "story", "short story", "tale", "little story"))
        about = f"about {a(animal)}" if rng.random() < 0.85 else f"about {a(adjective + ' ' + animal)}"
        article = "an" if shown == "8" else "a"
        ask = rng.choice((
            f"Tell me {article} {shown}-sentence {noun} {about}.", f"Tell me {article} {shown} sentence {noun} {about}.", f"Write {article} {shown}-sentence {noun} {about}.",
            f"Tell me a {noun} {about} in {shown} sentence{'s' if n > 1 else ''}.", f"Can you tell me {article} {shown}-sentence {noun} {about}?",
            f"Write a {noun} {about}. Use exactly {shown} sentence{'s' if n > 1 else ''}.", f"Please tell me {article} {shown}-sentence {noun} {about}."))
        if n == 3 and rng.random() < 0.1:
            ask = f"Tell me a {noun} {about}."
        friend = pick(rng, w.ANIMALS, 0.1)
        first = rng.choice((f"Once upon a time, {a(adjective + ' ' + animal)} lived near a quiet {place}.", f"Once there was {a(adjective + ' ' + animal)} who lived near a big {place}."))
        middle = [
            rng.choice((f"One evening, the {animal} met a friendly {friend}.", f"One night, the {animal} saw a bright star above the {place}.", f"One day, the {animal} found a golden key by the {place}.")),
            rng.choice((f"Soon they danced together under the silver moon.", f"Soon the {animal} was singing a soft song.", f"Soon all the animals came to look.")),
            rng.choice((f"Then everyone shared a warm cup of honey milk.", f"Then the stars began to twinkle and the wind grew calm.", f"Then they all walked home together.")),
        ]
        last = rng.choice((f"At last, the {animal} closed its eyes and fell asleep.", f"At last, the {animal} curled up and dreamed sweet dreams.", f"At last, the happy {animal} went to bed and slept well."))
        sentences = [f"Once upon a time, {a(adjective + ' ' + animal)} lived near a quiet {place} and slept well every night."] if n == 1 else [first] + middle[: n - 2] + [last]
        think = self.think(f"A story about {a(animal)}, {n} sentence{'s' if n > 1 else ''}.", "Start, middle, end.")
        return Branch("story", [("user", ask), ("answer", think, " ".join(sentences))])

    # -- instructions -----------------------------------------------------------------------------

    def context_styled(self, c, n):
        rng = self.rng
        style = rng.choice(STYLES[:1] * 3 + STYLES)
        word = rng.choice((made_up(rng), made_up(rng, True), rng.choice(w.NOUNS)))
        who = w.name(rng)
        c.instructions = rng.choice(style["say"]).format(w=word, n=who)
        if rng.random() < 0.2:
            c.instructions = rng.choice(("You are a helpful assistant. ", "You are a coding assistant. ", "You are a helpful coding assistant. ")) + c.instructions
        c.branches = []
        for _ in range(n or 5):
            if rng.random() < 0.7:
                asks, answer, short = rng.choice(QA)
                ask = rng.choice(asks)
            elif rng.random() < 0.5:
                country, capital = rng.choice(list(w.CAPITALS.items()))
                ask, answer, short = f"What is the capital of {country}?", f"The capital of {country} is {capital}.", f"{capital}."
            else:
                ask, answer, short = rng.choice((("Hello!", "Hello! How can I help you?", "Hello!"), ("Who are you?", "I am the demo model of Switchyard.", "A demo model."), ("Thanks!", "You are welcome!", "Welcome!"), ("How are you?", "I am fine, thank you!", "Fine.")))
            text = style["make"](answer, short, word, who)
            c.branches.append(Branch("styled", [("user", ask), ("answer", self.think(style["think"].format(w=word, n=who), "A simple question."), text)]))

    # -- tools ------------------------------------------------------------------------------------

    def context_weather(self, c, n):
        self.tool_context(c, n, "weather")

    def context_tools(self, c, n):
        self.tool_context(c, n, None)

    def tool_context(self, c, n, kind):
        rng = self.rng
        box = self.toolbox
        main = box.weather() if kind == "weather" else box.any()
        kits = [main]
        extra = rng.choices((0, 1, 2), (30, 45, 25) if kind is None else (50, 35, 15))[0]
        # Short declarations leave room for more requests, and choosing is what needs practice.
        most = 1 if rng.random() < 0.4 else 9
        while extra > 0:
            other = box.any()
            if len(other.params) <= most and other.intent not in [k.intent for k in kits] and other.tool["name"] not in [k.tool["name"] for k in kits]:
                kits.append(other)
                extra -= 1
        rng.shuffle(kits)
        c.tools = [k.tool for k in kits]
        c.instructions = self.helper(0.3)
        c.branches = []
        for i in range(n or rng.choice((3, 4))):
            if rng.random() < 0.16:
                c.branches.append(self.no_tool(kits))
                continue
            kit = main if rng.random() < 0.3 else rng.choice(kits)
            ask, args = kit.request(rng)
            name = kit.tool["name"]
            arguments, think = h.compact(args), self.plan(name, args)
            skill = "weather" if kit.intent == "weather" else "new_tool" if kit.intent.startswith("x_") else "tool"
            turns = [("user", ask)]
            if rng.random() < 0.08:
                first = self.chat()
                turns = [first.turns[0], ("past", first.turns[1][2])] + turns
            elif rng.random() < 0.1:
                before, args0 = kit.request(rng)
                output, answer = kit.result(rng, args0)
                turns = [("user", before), ("call", name, h.compact(args0), None), ("tool", name, output), ("past", answer)] + turns
                if kit.intent == "weather" and rng.random() < 0.6:
                    place = next(k for k, p in kit.params if p.kind == "string" and not p.enum)
                    args = {k: args[k] for k in args if k == place or k in kit.required}
                    arguments, think = h.compact(args), self.plan(name, args)
                    turns[-1] = ("user", rng.choice(("And in {}?", "What about {}?", "And {}?", "How about {}?", "Now for {}.")).format(args[place]))
            if rng.random() < 0.65:
                c.branches.append(Branch(skill, turns + [("call", name, arguments, think)]))
                continue
            output, answer = kit.result(rng, args)
            kept = rng.random() < 0.8
            turns += [("call", name, arguments, think if kept else None), ("tool", name, output)]
            turns += [("answer", self.think("The tool answered.", "Report its values."), answer)]
            c.branches.append(Branch(skill + "_result", turns))

    def plan(self, name: str, args: dict) -> str:
        """The parameters in the order of the declaration, then the function that has them.

        In this order, because a small model finds the parameters of a request more easily than the
        function, and the function stands right before them.
        """
        shown = "; ".join(f"{k}: {join_and(v) if isinstance(v, list) else h.compact(v).strip(chr(34))}" for k, v in args.items())
        return f"{shown}. Use {name}." + (" I have all values." if self.effort == "high" else "")

    def no_tool(self, kits) -> Branch:
        b = self.rng.choice((self.chat, self.chat, self.fact, self.question, self.unknown, self.memory))()
        b.skill = "no_tool"
        return b

    def context_ask(self, c, n):
        import asks
        asks.fill(self, c, n or 4)

    # -- structured output ------------------------------------------------------------------------

    def context_extract(self, c, n):
        import extract
        extract.fill(self, c, n or 4)

    def context_event(self, c, n):
        import extract
        extract.fill_event(self, c, n or 4)
