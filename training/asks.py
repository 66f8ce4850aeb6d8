"""Questions about anything, for a tool that searches: the whole question is its argument, the text that comes back the answer.

This is the tool of documentation servers and wikis. Everything is copied, so that it holds for subjects that no training text
ever named.
"""

from __future__ import annotations

import random

import harmony as h
import words as w
from data import Branch
from tools import P, Kit, ToolBox, made_up, plain

NAMES = """search search_docs docs_search ask ask_question search_documentation fetch_documentation search_wiki read_wiki
query_docs search_knowledge knowledge_search find_answer lookup_docs search_pages get_docs search_code documentation""".split()
ABOUT = ["Search the documentation.", "Searches documents.", "Ask any question about a project.", "Answers questions.", "Search a knowledge base.",
         "Semantically search in the documentation.", "Look something up.", "Search the wiki.", "Find an answer in the docs.", "Fetch documentation for a question."]
QUERY = P(["query", "query", "question", "q", "search", "text"], "string", ["What to look for", "", "The question", "The search query", "What to search for"], plain(lambda r: ""))
ASKS = ["How does {a} work?", "What is {a}?", "Who made {a}?", "Why is {a} used?", "What does {a} do?", "How do I install {a}?", "What are the {n}s of {a}?", "Which {n}s does {a} support?",
        "What {n} {m}s are supported in the {v} version of the {a} {k}?", "How many {n}s are in the {v} version of {a}?", "What changed in {a} {v}?", "How do I use a {n} with {a}?", "When was {a} released?",
        "Which {n} is the default in {a}?", "What {n}s are there in {a}?", "Can {a} read a {n}?", "Where is the {n} of {a} stored?", "What is the {n} of {a} {v}?", "Does {a} have a {n}?"]
SAYS = ["{A} is a {n} for {b}.", "{A} uses {b} and {c}.", "The {n} of {a} is {b}.", "It has {i} {n}s: {b}, {c} and {d}.", "{A} splits a {n} into {m}s.", "{A} was made by {p} in {y}.", "Version {v} supports {b} and {c}.",
        "There are two {n}s: {b} and {c}.", "The {v} version of {a} has {i} {n}s.", "Use the {n} {b} for it.", "{A} works with {b}, a {n} from {c}.", "No {n} is needed.", "It supports {i} {n}s, among them {b}."]


def fill_in(rng: random.Random, template: str, about: str) -> str:
    noun = lambda: rng.choice(w.NOUNS + w.PRODUCTS).lower()
    year, month, day = rng.randint(1998, 2027), rng.randint(1, 12), rng.randint(1, 28)
    version = rng.choice((f"{year}-{month:02}-{day:02}", f"{rng.randint(0, 9)}.{rng.randint(0, 20)}", f"v{rng.randint(1, 9)}"))
    made = lambda: rng.choice((made_up(rng), made_up(rng, True), made_up(rng) + "-" + made_up(rng)))
    return template.format(a=about, A=about[0].upper() + about[1:], n=noun(), m=noun(), k=rng.choice(("spec", "guide", "book", "format", "protocol")), v=version, i=rng.randint(2, 40), y=year,
                           p=w.name(rng), b=made(), c=made(), d=made())


def subject(rng: random.Random) -> str:
    return rng.choice((made_up(rng), made_up(rng, True), "".join(rng.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ") for _ in range(rng.randint(2, 4))), f"{made_up(rng)} {rng.choice(w.NOUNS).lower()}", made_up(rng) + made_up(rng)))


def names(rng: random.Random, about: str) -> list[str]:
    """Spellings of one server's tools; many carry the server's name, some the subject, and words come twice in them."""
    kinds = ["documentation", "docs", "code", "wiki", "pages", "knowledge", "files"]
    word = rng.choice((made_up(rng), "".join(ch for ch in about.lower() if ch.isalnum())[:16], "docs", "wiki", "git"))
    plain_names = rng.sample(NAMES, 2)
    of_subject = [f"{verb}_{word}_{kind}" for verb, kind in zip(rng.sample(["search", "fetch", "read", "query", "find"], 2), rng.sample(kinds, 2))]
    chosen = rng.choice((plain_names, plain_names, of_subject))
    if rng.random() < 0.6:
        server = rng.choice((made_up(rng), word, "docs", "wiki", "git", "github", "project", "help", made_up(rng) + rng.choice(("docs", "mcp", "-docs"))))
        chosen = [f"{server}{rng.choice(('__', '__', '__', '_'))}{name}" for name in chosen]
    return list(dict.fromkeys(name[:60] for name in chosen))


def kit(box: ToolBox, name: str) -> Kit:
    return box.build("ask", name, box.rng.choice(ABOUT), [QUERY], [], {}, False)


def fill(gen, c, n: int) -> None:
    """A context with a search tool, alone or beside another tool, and questions for it."""
    rng = gen.rng
    about = subject(rng)
    names_here = names(rng, about)
    main = kit(gen.toolbox, names_here[0])
    kits = [main]
    if rng.random() < 0.3:
        kits.append(gen.toolbox.any())
    rng.shuffle(kits)
    c.tools = [k.tool for k in kits]
    c.instructions = gen.helper(0.2)
    key, name = main.params[0][0], main.tool["name"]
    c.branches = []
    for _ in range(n):
        if rng.random() < 0.08:
            chat = gen.chat()
            chat.skill = "no_tool"
            c.branches.append(chat)
            continue
        about = about if rng.random() < 0.4 else subject(rng)
        question = fill_in(rng, rng.choice(ASKS), about)
        if rng.random() < 0.2:
            question = question.lower() if about.islower() else question[0].lower() + question[1:]
        if rng.random() < 0.15:
            question = question.rstrip("?")
        args = {key: question.rstrip("?")}
        call = ("call", name, h.compact(args), gen.plan(name, args))
        if rng.random() < 0.6:
            c.branches.append(Branch("ask", [("user", question), call]))
            continue
        said = [fill_in(rng, rng.choice(SAYS), about) for _ in range(rng.choice((1, 1, 1, 2)))]
        told = " ".join(said)
        turns = [("user", question), call[:3] + (call[3] if rng.random() < 0.8 else None,), ("tool", name, told)]
        c.branches.append(Branch("ask_result", turns + [("answer", gen.think("The tool answered.", "Report what it says."), told)]))
