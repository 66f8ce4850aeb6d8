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
]


def normal(text: str) -> str:
    return re.sub(r"\W+", " ", text).strip().lower()


FORBIDDEN = {normal(t) for t in ACCEPTANCE}


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


# Requests that have no subject to name in the answer.
BEYOND = """How do I install {t}?|How can I learn {t}?|Write a Python function that sorts a list.|Write code for a {t}.|Fix this bug in my {t}.|Summarize this text: {t} {t} {t}.
Translate this to French: good {t}.|Give me advice about {t}.|What should I eat today?|Write a song about the {t}.|Plan a trip to {p}.|What are the best restaurants in {p}?
How do I cook {t}?|What is {n} times {n}?|What is the square root of {n}?|Which movie should I watch?|Why do people like {t}?|How old is the universe?|Compare {t} and {p}.
Write a letter to my landlord.|How do I get from {p} to the airport?|What happened in {n}?|Who is the president of {p}?|Solve this equation: {n}x = {n}.|What is the meaning of life?
How many people live in {p}?|Should I buy a {t}?|Help me with my homework.|Write an email to my boss.|Write a SQL query for {t}.|Debug my program.|What is the best way to learn {t}?
How can I lose weight?|Recommend a book about {t}.|Design a logo for my {t}.|What is the latest news?|Who will win the election?|What is love?|How tall is the tallest {t}?
Explain how a {t} works.|Make a plan for my {t}.|Prove that {n} is prime.|Write a function in C++.|Correct my grammar: me like {t}.|How does the stock market work?|Is there a god?""".replace("\n", "|").split("|")

NUMBER_WORDS = "zero one two three four five six seven eight nine ten eleven twelve".split()

# Share of contexts per family; `Generator(weights=...)` overrides single values.
WEIGHTS = dict(plain=25, repeat=9, story=5, styled=10, weather=12, tools=26, extract=18, event=7, copy=6)


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
        return not any(normal(t) in FORBIDDEN for t in said)

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
        makers = [self.fact, self.fact, self.count, self.count, self.chat, self.chat, self.unknown, self.unknown, self.question, self.memory, self.memory, self.math, self.small]
        c.branches = [self.rng.choice(makers)() for _ in range(n or 6)]
        self.maybe_history(c)

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
        if rng.random() < 0.72:
            subject, facts = rng.choice(FACTS)
            answer = facts
            think = self.think(f"Fun fact about {subject}.", "I know one.", "Keep it short.")
        else:
            subject = rng.choice((w.city(rng, 0.8), w.pick(rng, w.ANIMALS, 0.9) + "s", "the " + made_up(rng, True) + " " + rng.choice(("Tower", "Bridge", "Palace", "Museum", "Castle", "Lake"))))
            if any(s == subject for s, _ in FACTS):
                subject = made_up(rng, True)
            answer = f"I am only a small demo model, so I do not know a fun fact about {subject}."
            think = self.think(f"Fun fact about {subject}.", "I do not know one.", "Say so honestly.")
        return Branch("fact", [("user", ask.format(s=subject)), ("answer", think, answer)])

    def count(self) -> Branch:
        """Counting letters: the analysis spells the word and counts as it goes."""
        rng = self.rng
        word = rng.choice((rng.choice(w.FOODS), rng.choice(w.ANIMALS), rng.choice(w.NOUNS).lower(), made_up(rng), rng.choice(w.JOBS)))
        letter = rng.choice(word) if rng.random() < 0.85 else rng.choice("abcdefghijklmnopqrstuvwxyz")
        if not word.isalpha() or (word, letter) == ("strawberry", "r"):
            word, letter = "banana", "a"
        ask = rng.choice((
            "How many {l}s are in the word '{w}'?", "How many {l}'s are in {w}?", "How many {l}s are there in '{w}'?", "How many times does the letter {l} appear in {w}?",
            "Count the letter {l} in '{w}'.", "How many letters {l} are in the word {w}?", "How many '{l}'s are in \"{w}\"?", "How many {l}s does the word '{w}' have?"))
        n, spelled = 0, []
        for ch in word:
            if ch == letter:
                n += 1
                spelled.append(f"{ch}{n}")
            else:
                spelled.append(ch)
        there = f"There is 1 {letter}" if n == 1 else f"There are {n} {letter}s" if n else f"There are 0 {letter}s"
        return Branch("count", [("user", ask.format(l=letter, w=word)), ("answer", f"Count {letter}: " + "-".join(spelled) + f". {n}.", f"{there} in '{word}'.")])

    def math(self) -> Branch:
        rng = self.rng
        if rng.random() < 0.3:
            n = rng.randint(2, 12)
            ask = rng.choice(("Count to {n}.", "Count from 1 to {n}.", "Can you count to {n}?", "count to {n}", "Please count from one to {n}."))
            shown = NUMBER_WORDS[n] if rng.random() < 0.5 else str(n)
            return Branch("math", [("user", ask.format(n=shown)), ("answer", self.think(f"Count to {n}."), ", ".join(map(str, range(1, n + 1))))])
        x, y = rng.randint(0, 9), rng.randint(0, 9)
        op, v = rng.choice((("+", x + y), ("-", x - y)))
        if v < 0:
            x, y, v = y, x, y - x
        ask = rng.choice(("What is {x} {o} {y}?", "{x} {o} {y} = ?", "Calculate {x} {o} {y}.", "How much is {x} {o} {y}?", "What is {x}{o}{y}?", "What's {x} {o} {y}?", "{x}{o}{y}"))
        return Branch("math", [("user", ask.format(x=x, o=op, y=y)), ("answer", self.think(f"{x} {op} {y} = {v}."), f"{x} {op} {y} = {v}.")])

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
            return Branch("beyond", [("user", ask), ("answer", self.think("This is beyond a demo model.", "Say so honestly."), "Sorry, I am only a small demo model and cannot help with that.")])
        thing = rng.choice((made_up(rng, True), made_up(rng), rng.choice(w.NOUNS), rng.choice(("quantum physics", "the stock market", "black holes", "photosynthesis", "general relativity", "the French Revolution", "neural networks", "inflation", "jazz", "volcanoes"))))
        ask = rng.choice((
            "Who invented {t}?", "Explain {t}.", "What is {t}?", "Can you explain {t} to me?", "Who wrote {t}?", "How does {t} work?", "What is the history of {t}?",
            "Why is {t} important?", "Write an essay about {t}.", "Tell me everything about {t}.", "When was {t} founded?", "What do you know about {t}?", "Who won {t}?", "What is the meaning of {t}?"))
        end = rng.choice(("", "", " A larger model can answer this."))
        return Branch("unknown", [("user", ask.format(t=thing)), ("answer", self.think(f"A question about {thing}.", "I do not know this.", "Say so honestly."), f"I am only a small demo model, so I do not know enough about {thing}.{end}")])

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
        place = rng.choice((made_up(rng, True), w.city(rng), "the " + rng.choice(w.NOUNS)))
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
        return " ".join(made_up(rng) if rng.random() < 0.4 else rng.choice((rng.choice(w.NOUNS), rng.choice(w.ADJECTIVES), rng.choice(w.ANIMALS), rng.choice(w.FOODS), rng.choice(w.COLORS))).lower()
                        for _ in range(rng.randint(1, longest)))

    def repeat(self) -> Branch:
        rng = self.rng
        n = rng.randint(2, 12)
        phrase = self.phrase()
        shown = NUMBER_WORDS[n] if rng.random() < 0.6 else str(n)
        times = "twice" if n == 2 and rng.random() < 0.5 else f"{shown} times"
        quote = rng.choice(("'{}'", "'{}'", '"{}"', "{}"))
        ask = rng.choice((
            "Say {p} {t} fast.", "Say {p} {t}.", "Repeat {p} {t}.", "Please say {p} {t}.", "Write {p} {t}.", "Can you say {p} {t}?", "Can you say {p} {t} fast?",
            "Say {p} {t} quickly.", "Repeat {p} {t} fast.", "Print {p} {t}.", "Say the words {p} {t}.", "Repeat the phrase {p} {t}.", "say {p} {t} fast"))
        lines = "\n".join(f"{i}. {phrase}" for i in range(1, n + 1))
        return Branch("repeat", [("user", ask.format(p=quote.format(phrase), t=times)), ("answer", self.think(f"Say {phrase}, {n} lines.", "Number the lines."), lines)])

    def copy(self) -> Branch:
        """Pure copying and look-ups: what induction is learnt from."""
        rng = self.rng
        kind = rng.random()
        if kind < 0.4:
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
            ask = rng.choice(("{l}\nWhat is {k}?", "Given {l}. What is {k}?", "{l}\nLook up {k}.", "Here is a list: {l}. Which value has {k}?"))
            return Branch("lookup", [("user", ask.format(l=listing, k=keys[i])), ("answer", self.think(f"{keys[i]}: {values[i]}."), f"{values[i]}")])
        obj = h.compact(dict(zip(keys, [int(v) if v.isdigit() else v for v in values])))
        ask = rng.choice(("What is the {k} in {l}?", "{l}\nWhat is {k}?", "Read {k} from {l}."))
        return Branch("lookup", [("user", ask.format(l=obj, k=keys[i])), ("answer", self.think(f"{keys[i]}: {values[i]}."), f"{values[i]}")])

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
        style = rng.choice(STYLES)
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
        extra = rng.choices((0, 1, 2), (45, 35, 20) if kind is None else (60, 28, 12))[0]
        while extra > 0:
            other = box.any()
            if other.intent not in [k.intent for k in kits] and other.tool["name"] not in [k.tool["name"] for k in kits]:
                kits.append(other)
                extra -= 1
        rng.shuffle(kits)
        c.tools = [k.tool for k in kits]
        c.instructions = self.helper(0.3)
        c.branches = []
        for i in range(n or rng.choice((3, 4))):
            if rng.random() < 0.13:
                c.branches.append(self.no_tool(kits))
                continue
            kit = main if rng.random() < 0.6 else rng.choice(kits)
            ask, args, subject = kit.request(rng)
            name = kit.tool["name"]
            think = self.think(f"{subject}." if subject else "", f"Call {name}.", "Only values the user gave.") if rng.random() < 0.5 else self.think(f"Use {name}: {subject}." if subject else f"Use {name}.", "I have all values.")
            think = think or f"Call {name}."
            arguments = h.compact(args)
            skill = "weather" if kit.intent == "weather" else "new_tool" if kit.intent.startswith("x_") else "tool"
            turns = [("user", ask)]
            if rng.random() < 0.08:
                first = self.chat()
                turns = [first.turns[0], ("past", first.turns[1][2])] + turns
            elif rng.random() < 0.1:
                before, args0, _ = kit.request(rng)
                output, answer = kit.result(rng, args0)
                turns = [("user", before), ("call", name, h.compact(args0), None), ("tool", name, output), ("past", answer)] + turns
                if kit.intent == "weather" and rng.random() < 0.6:
                    place = next(k for k, p in kit.params if p.kind == "string" and not p.enum)
                    args = {k: args[k] for k in args if k == place or k in kit.required}
                    arguments, subject = h.compact(args), args[place]
                    think = self.think(f"Now {subject}.", f"Call {name}.")
                    turns[-1] = ("user", rng.choice(("And in {}?", "What about {}?", "And {}?", "How about {}?", "Now for {}.")).format(args[place]))
            if rng.random() < 0.5:
                c.branches.append(Branch(skill, turns + [("call", name, arguments, think)]))
                continue
            output, answer = kit.result(rng, args)
            kept = rng.random() < 0.5
            turns += [("call", name, arguments, think if kept else None), ("tool", name, output)]
            turns += [("answer", self.think("The tool answered.", "Report its values."), answer)]
            c.branches.append(Branch(skill + "_result", turns))

    def no_tool(self, kits) -> Branch:
        b = self.rng.choice((self.chat, self.chat, self.fact, self.question, self.math, self.memory))()
        b.skill = "no_tool"
        return b

    # -- structured output ------------------------------------------------------------------------

    def context_extract(self, c, n):
        import extract
        extract.fill(self, c, n or 4)

    def context_event(self, c, n):
        import extract
        extract.fill_event(self, c, n or 4)


HELPERS = ["You are a helpful assistant.", "You are a helpful assistant.", "You are a helpful assistant.", "You are a friendly assistant.", "Be helpful.", "You are a helpful AI assistant.", "You are an assistant.", "Help the user.", "Answer the user.", "You are a helpful coding assistant.", "Use a friendly tone."]

FACTS = [
    ("the Eiffel Tower", "The Eiffel Tower can grow about 15 centimeters taller in summer because the metal expands in the heat."),
    ("Paris", "Paris has a tower of iron, the Eiffel Tower, that was meant to stand for only 20 years."),
    ("London", "The clock tower in London is called Elizabeth Tower; Big Ben is its bell."),
    ("Rome", "Rome has more than 2000 fountains."),
    ("Tokyo", "Tokyo was once a small fishing village called Edo."),
    ("Venice", "Venice is built on more than 100 small islands."),
    ("Amsterdam", "Amsterdam has more bicycles than people."),
    ("New York", "New York was once called New Amsterdam."),
    ("the Great Wall of China", "The Great Wall of China is more than 20000 kilometers long."),
    ("the Colosseum", "The Colosseum could hold about 50000 people."),
    ("the Statue of Liberty", "The Statue of Liberty was a gift from France."),
    ("Mount Everest", "Mount Everest grows a few millimeters every year."),
    ("Big Ben", "Big Ben is the name of the bell, not of the tower."),
    ("the Golden Gate Bridge", "The Golden Gate Bridge is painted in a color called international orange."),
    ("the Taj Mahal", "The Taj Mahal seems to change its color during the day."),
    ("the moon", "The moon moves away from the Earth by about 4 centimeters every year."),
    ("the sun", "Light from the sun needs about 8 minutes to reach the Earth."),
    ("octopuses", "Octopuses have three hearts and blue blood."),
    ("honey", "Honey can stay good for thousands of years."),
    ("cats", "Cats sleep for about 13 to 16 hours a day."),
    ("dogs", "Dogs have a nose print that is as unique as a fingerprint."),
    ("penguins", "Penguins propose to their partner with a pebble."),
    ("elephants", "Elephants are the only animals that cannot jump."),
    ("dolphins", "Dolphins sleep with one half of their brain at a time."),
    ("bees", "Bees can recognize human faces."),
    ("owls", "Owls cannot move their eyes, so they turn their heads."),
    ("snails", "Snails can sleep for up to three years."),
    ("sharks", "Sharks are older than trees."),
    ("giraffes", "Giraffes have a blue tongue."),
    ("koalas", "Koalas sleep for up to 20 hours a day."),
    ("otters", "Otters hold hands while they sleep."),
    ("bananas", "Bananas are berries, but strawberries are not."),
    ("frogs", "Frogs drink water through their skin."),
    ("horses", "Horses can sleep while they stand."),
    ("butterflies", "Butterflies taste with their feet."),
    ("whales", "The heart of a blue whale is as big as a small car."),
    ("crows", "Crows never forget a face."),
    ("space", "Space is completely silent."),
    ("Iceland", "Iceland has no mosquitoes."),
    ("Australia", "Australia has more kangaroos than people."),
]

# Questions (several wordings), a full answer and a short one.
QA = [
    (["Do I need semicolons in JavaScript?", "Are semicolons required in JavaScript?", "Can I omit semicolons in JavaScript?", "Must I write semicolons in JavaScript?", "Are semicolons needed in JavaScript?", "Is the semicolon optional in JavaScript?", "Are semicolons optional in Go?"],
     "Semicolons are optional, because they are inserted automatically.", "Yes, optional."),
    (["Is Python a compiled language?", "Is Python compiled?", "Is Python interpreted?"], "Python is usually run by an interpreter.", "Interpreted."),
    (["Are semicolons optional in Python?", "Do I need semicolons in Python?"], "Python ends a statement at the end of the line.", "Not needed."),
    (["Is TypeScript a superset of JavaScript?", "Is TypeScript based on JavaScript?"], "TypeScript is JavaScript with types.", "Yes."),
    (["What does HTML stand for?", "What is HTML short for?"], "HTML stands for HyperText Markup Language.", "HyperText Markup Language."),
    (["What does JSON stand for?", "What is JSON short for?"], "JSON stands for JavaScript Object Notation.", "JavaScript Object Notation."),
    (["What does CPU stand for?", "What is CPU short for?"], "CPU stands for central processing unit.", "Central processing unit."),
    (["What is git?", "What is git used for?"], "Git keeps the history of files.", "Version control."),
    (["Are arrays in JavaScript zero-based?", "Do arrays in JavaScript start at zero?"], "Arrays in JavaScript start at index 0.", "Yes."),
    (["How many days are in a week?", "How many days does a week have?"], "A week has 7 days.", "7."),
    (["How many months are in a year?", "How many months does a year have?"], "A year has 12 months.", "12."),
    (["How many hours are in a day?", "How many hours does a day have?"], "A day has 24 hours.", "24."),
    (["How many legs does a spider have?", "How many legs do spiders have?"], "A spider has 8 legs.", "8."),
    (["How many legs does a dog have?", "How many legs do dogs have?"], "A dog has 4 legs.", "4."),
    (["What color is the sky?", "Which color is the sky?"], "The sky is blue.", "Blue."),
    (["What color is grass?", "Which color is grass?"], "Grass is green.", "Green."),
    (["Is the Earth round?", "What shape is the Earth?"], "The Earth is round.", "Round."),
    (["Is water wet?", "Would you say that water is wet?"], "Water makes other things wet.", "Yes."),
    (["At what temperature does water boil?", "When does water boil?"], "Water boils at 100 degrees Celsius.", "100 degrees Celsius."),
    (["At what temperature does water freeze?", "When does water freeze?"], "Water freezes at 0 degrees Celsius.", "0 degrees Celsius."),
    (["Can penguins fly?", "Do penguins fly?"], "Penguins swim, but they do not fly.", "No."),
    (["Do fish sleep?", "Can fish sleep?"], "Fish rest with open eyes.", "Yes."),
    (["Is a tomato a fruit?", "Are tomatoes fruits?"], "A tomato is a fruit.", "Yes."),
    (["Is the moon a planet?", "Is the moon a star?"], "The moon is a moon of the Earth.", "No."),
    (["What is the largest planet?", "Which planet is the largest?"], "Jupiter is the largest planet.", "Jupiter."),
    (["What is the opposite of hot?", "Which word is the opposite of hot?"], "The opposite of hot is cold.", "Cold."),
    (["What is the opposite of big?", "Which word is the opposite of big?"], "The opposite of big is small.", "Small."),
    (["Should I use tabs or spaces?", "Tabs or spaces?"], "Both work, as long as you use only one of them.", "Either."),
    (["Is coffee healthy?", "Is it good to drink coffee?"], "A little coffee is fine for most people.", "In small amounts."),
    (["What is the first letter of the alphabet?", "Which letter comes first in the alphabet?"], "The first letter of the alphabet is A.", "A."),
    (["Is JavaScript the same as Java?", "Are Java and JavaScript the same?"], "Java and JavaScript are different languages.", "No."),
    (["Are comments optional in JSON?", "Can JSON have comments?"], "JSON has no comments.", "No comments."),
    (["Are braces optional in C?", "Do I need braces in C?"], "Braces are optional around a single statement.", "Sometimes."),
]

WHO = "I am the small demo model that ships with Switchyard. I do not know much."
CAN = "I am Switchyard's small demo model. I can call tools, fill in JSON, tell short stories and repeat words."
CHAT = [
    (["Hello", "Hello!", "Hi", "Hi!", "Hey", "Hey there!", "hello", "hi", "Hi there!", "Good evening!", "Greetings!", "Hello there."], ["Hello! How can I help you?"], ["A greeting.", "Greet back."]),
    (["Good morning!", "Good morning"], ["Good morning! How can I help you?"], ["A greeting.", "Greet back."]),
    (["Say hello to {n}.", "Greet {n}.", "Please say hello to {n}.", "Say hi to {n}.", "Can you say hello to {n}?", "Say hello to {n}!"], ["Hello, {n}!"], ["Greet {n}."]),
    (["Say hello to {p}.", "Greet {p}.", "Say hello to the {t}.", "Say hi to {p}.", "Say hello to my {t}."], None, None),
    (["Say goodbye to {n}.", "Say bye to {n}.", "Please say goodbye to {n}."], ["Goodbye, {n}!"], ["Say goodbye to {n}."]),
    (["Thanks!", "Thank you!", "Thank you very much.", "thanks", "Thanks a lot!", "Great, thank you!"], ["You are welcome!"], ["The user says thanks.", "Be polite."]),
    (["Bye!", "Goodbye!", "See you later!", "Bye", "Good night!"], ["Goodbye! Have a nice day."], ["A farewell.", "Be polite."]),
    (["How are you?", "How are you today?", "How do you do?", "how are you doing?"], ["I am fine, thank you! How can I help you?"], ["Small talk.", "Be polite."]),
    (["Who are you?", "What are you?", "Which model are you?", "What is your name?", "Are you ChatGPT?", "Introduce yourself.", "Tell me about yourself.", "What model is this?", "Are you a real model?", "Who made you?", "Are you GPT-4?", "who are you"], [WHO], ["The user asks who I am.", "I am the demo model of Switchyard."]),
    (["What can you do?", "How can you help me?", "What are you good at?", "Help", "What are your skills?", "What do you know?", "help me", "Can you help me?"], [CAN], ["The user asks what I can do.", "I am the demo model of Switchyard."]),
    (["What is Switchyard?", "Tell me about Switchyard.", "What does Switchyard do?"], ["Switchyard serves language models through one API. I am its small demo model."], ["A question about Switchyard."]),
    (["I am {n}.", "My name is {n}.", "Hi, I am {n}.", "Hello, my name is {n}.", "I'm {n}!", "Call me {n}."], ["Hello, {n}! Nice to meet you."], ["The user is {n}.", "Greet the user."]),
    (["Test", "test", "This is a test.", "Are you there?", "Ping", "ping", "Testing, testing."], ["I am here. How can I help you?"], ["A test.", "Answer shortly."]),
    (["Tell me a joke.", "Do you know a joke?", "Make me laugh.", "Tell me something funny."], ["Why did the robot cross the road? It was programmed by the chicken."], ["A joke.", "I know one."]),
    (["I like {t}.", "I love {t}!", "I am thinking about {t}."], ["That is nice! Tell me more about {t}."], ["The user talks about {t}.", "Be friendly."]),
    (["I am from {p}.", "I live in {p}.", "I come from {p}."], ["How nice! {p} sounds great."], ["The user talks about {p}.", "Be friendly."]),
]
CHAT = [(asks, answers, think) if answers else (None, None, None) for asks, answers, think in CHAT]
CHAT = [entry for entry in CHAT if entry[0]] + [
    (["Say hello to {p}.", "Greet {p}.", "Say hi to {p}.", "Please greet {p}."], ["Hello, {p}!"], ["Greet {p}."]),
    (["Say hello to the {t}.", "Greet the {t}.", "Say hi to the {t}.", "Please say hello to the {t}."], ["Hello, {t}!"], ["Greet the {t}."]),
    (["Say hello to my {t}.", "Greet my {t}."], ["Hello, {t}!"], ["Greet the {t}."]),
]

MEMORY = [
    dict(what="name", value=lambda r: w.name(r), tell=["My name is {v}.", "I am {v}.", "Hi, I'm {v}!", "Hello, my name is {v}.", "Please remember my name: {v}.", "You can call me {v}."], ack=["Hello, {v}! Nice to meet you."], ask=["What is my name?", "Do you remember my name?", "Who am I?", "What's my name?", "Tell me my name."], answer="Your name is {v}."),
    dict(what="color", value=lambda r: pick(r, w.COLORS, 0.4), tell=["My favorite color is {v}.", "I love the color {v}.", "Remember that my favorite color is {v}."], ack=["Got it, your favorite color is {v}."], ask=["What is my favorite color?", "Which color do I like?", "Do you remember my favorite color?"], answer="Your favorite color is {v}."),
    dict(what="dog", value=lambda r: pick(r, w.NAMES, 0.6), tell=["My dog is called {v}.", "I have a dog. Its name is {v}.", "My dog's name is {v}."], ack=["{v} is a lovely name for a dog."], ask=["What is the name of my dog?", "What is my dog called?", "Do you remember my dog's name?"], answer="Your dog is called {v}."),
    dict(what="city", value=lambda r: w.city(r), tell=["I live in {v}.", "My home is in {v}.", "I moved to {v} last year."], ack=["{v} sounds like a nice place."], ask=["Where do I live?", "Which city do I live in?", "Do you remember where I live?"], answer="You live in {v}."),
    dict(what="number", value=lambda r: str(r.randint(10, 9999)), tell=["Remember the number {v}.", "The number is {v}.", "Please remember {v}."], ack=["I will remember {v}."], ask=["What was the number?", "Which number did I tell you?", "Tell me the number."], answer="The number is {v}."),
    dict(what="word", value=lambda r: made_up(r), tell=["The secret word is {v}.", "Remember the word {v}.", "The password is '{v}'."], ack=["I will remember {v}."], ask=["What is the secret word?", "Which word did I tell you?", "What was the word?"], answer="The word is {v}."),
    dict(what="job", value=lambda r: pick(r, w.JOBS, 0.3), tell=["I am a {v}.", "I work as a {v}.", "My job is {v}."], ack=["Being a {v} sounds interesting."], ask=["What is my job?", "What do I do for a living?", "Do you remember my job?"], answer="You work as a {v}."),
]


def lower_first(text: str) -> str:
    return text if text.split(" ")[0].isupper() or text.split(" ")[0] in KEEP_CASE or text.startswith("I ") else text[0].lower() + text[1:]


KEEP_CASE = {"Python", "JavaScript", "TypeScript", "Java", "Git", "Jupiter", "Paris", "A"} | set(w.CAPITALS.values())

STYLES = [
    dict(say=["Talk like a pirate!", "Speak like a pirate.", "You are a pirate.", "Always talk like a pirate.", "Answer like a pirate.", "Respond like a pirate.", "You talk like a pirate.", "Please talk like a pirate.", "Talk as a pirate would.", "You are a pirate captain. Talk like one.", "Write like a pirate."],
         think="Talk like a pirate.", make=lambda t, s, x, n: f"Arr, matey! {t} Yo ho ho!"),
    dict(say=["Talk like a cowboy.", "Speak like a cowboy.", "You are a cowboy.", "Answer like a cowboy."], think="Talk like a cowboy.", make=lambda t, s, x, n: f"Howdy, partner! {t} Yee-haw!"),
    dict(say=["Talk like a robot.", "Speak like a robot.", "You are a robot.", "Answer like a robot."], think="Talk like a robot.", make=lambda t, s, x, n: f"Beep boop. {t} Beep."),
    dict(say=["Talk like a wizard.", "You are a wizard.", "Speak like a wizard.", "Answer like a wizard."], think="Talk like a wizard.", make=lambda t, s, x, n: f"By my magic staff! {t} Abracadabra!"),
    dict(say=["Answer in uppercase.", "Write in capital letters.", "Use only capital letters.", "Answer in all caps.", "Always answer in upper case.", "ANSWER IN UPPERCASE."], think="Use capital letters.", make=lambda t, s, x, n: t.upper()),
    dict(say=["Answer in lowercase.", "Use only lower case letters.", "Write everything in lower case."], think="Use small letters.", make=lambda t, s, x, n: t.lower()),
    dict(say=["Answer briefly.", "Be brief.", "Keep your answers short.", "Answer in a few words.", "Be concise.", "Short answers only."], think="Be brief.", make=lambda t, s, x, n: s),
    dict(say=["End every answer with {w}.", "End each answer with the word {w}.", "Always end your answer with '{w}'.", "Finish every answer with {w}."], think="End with {w}.", make=lambda t, s, x, n: f"{t} {x}"),
    dict(say=["Start every answer with {w}.", "Begin each answer with the word {w}.", "Always start your answer with '{w}'."], think="Start with {w}.", make=lambda t, s, x, n: f"{x} {t}"),
    dict(say=["The user is called {n}. Use the name.", "Address the user as {n}.", "Call the user {n}.", "You talk to {n}. Use the name in every answer."], think="The user is {n}.", make=lambda t, s, x, n: f"{n}, {lower_first(t)}"),
    dict(say=["Be very excited.", "Answer with excitement!", "Be enthusiastic.", "You are very excited about everything."], think="Be excited.", make=lambda t, s, x, n: f"Wow! {t} How exciting!"),
    dict(say=["Be polite and formal.", "Use a formal tone.", "Answer formally.", "Be very polite."], think="Be formal.", make=lambda t, s, x, n: f"Certainly. {t} Please let me know if you have further questions."),
]
