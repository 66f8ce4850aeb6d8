"""Structured output: a JSON schema, sentences, and the JSON that they contain."""

from __future__ import annotations

import harmony as h
import words as w
from words import a, join_and, made_up, pick

# Fields: JSON type and a value maker. Spellings are the keys a schema may use for it.
FIELDS = {
    "name": ("string", lambda r: w.name(r), ["name", "name", "name", "full_name", "person"]),
    "city": ("string", lambda r: w.city(r), ["city", "city", "city", "location", "town", "home"]),
    "profession": ("string", lambda r: pick(r, w.JOBS, 0.25), ["profession", "profession", "job", "occupation"]),
    "age": ("integer", lambda r: r.randint(18, 90), ["age"]),
    "country": ("string", lambda r: pick(r, w.COUNTRIES, 0.2), ["country", "nation"]),
    "hobby": ("string", lambda r: pick(r, w.HOBBIES, 0.2), ["hobby", "interest"]),
    "color": ("string", lambda r: pick(r, w.COLORS, 0.2), ["color", "favorite_color"]),
    "product": ("string", lambda r: pick(r, w.PRODUCTS, 0.3), ["product", "item"]),
    "price": ("number", lambda r: r.randint(1, 999), ["price", "cost"]),
    "quantity": ("integer", lambda r: r.randint(2, 99), ["quantity", "count"]),
    "title": ("string", lambda r: " ".join(made_up(r, True) for _ in range(r.randint(1, 3))), ["title", "book"]),
    "author": ("string", lambda r: w.name(r), ["author", "writer"]),
    "year": ("integer", lambda r: r.randint(1900, 2025), ["year"]),
    "animal": ("string", lambda r: pick(r, w.ANIMALS, 0.2), ["animal", "species"]),
    "pet": ("string", lambda r: pick(r, w.NAMES, 0.6), ["pet_name", "name"]),
    "company": ("string", lambda r: made_up(r, True), ["company", "employer"]),
    "language": ("string", lambda r: pick(r, w.LANGUAGES, 0.1), ["language"]),
    "event": ("string", lambda r: pick(r, w.EVENTS, 0.3), ["name", "name", "name", "event", "title"]),
    "date": ("string", lambda r: w.date(r), ["date", "date", "day"]),
    "participants": ("array", lambda r: list(dict.fromkeys(pick(r, w.NAMES, 0.35) for _ in range(r.randint(1, 4)))), ["participants", "participants", "attendees", "people"]),
}

SENTENCES = [
    ["name", "profession", "city"], "{name} is {a profession} who lives in {city}.", "{name} is {a profession} from {city}.", "{name} lives in {city} and works as {a profession}.",
    "{name} works as {a profession} in {city}.", "In {city}, {name} is known as {a profession}.", "{name}, {a profession}, lives in {city}.", "Meet {name}, {a profession} from {city}.", "{name} is {a profession} living in {city}.", "The {profession} {name} lives in {city}.",
    ["name", "age", "city"], "{name} is {age} years old and lives in {city}.", "{name}, {age}, lives in {city}.", "{name} from {city} is {age} years old.",
    ["name", "profession"], "{name} is {a profession}.", "{name} works as {a profession}.", "My friend {name} is {a profession}.",
    ["name", "city"], "{name} lives in {city}.", "{name} moved to {city} last year.", "{name} was born in {city}.",
    ["name", "age", "profession"], "{name} is {age} years old and works as {a profession}.", "{name}, {age}, is {a profession}.",
    ["name", "country", "hobby"], "{name} from {country} loves {hobby}.", "{name} lives in {country} and likes {hobby}.",
    ["name", "company", "profession"], "{name} works at {company} as {a profession}.", "{name} is {a profession} at {company}.",
    ["product", "price"], "The {product} costs {price} dollars.", "I bought {a product} for {price} euros.", "A new {product} is {price} dollars.",
    ["product", "quantity", "price"], "We need {quantity} units of the {product} at {price} dollars each.", "Please order {quantity} of the {product} for {price} euros each.",
    ["title", "author", "year"], "{title} was written by {author} in {year}.", "In {year}, {author} published {title}.", "The book {title} by {author} came out in {year}.",
    ["title", "author"], "{title} was written by {author}.", "I am reading {title} by {author}.",
    ["pet", "animal", "color"], "{pet} is a {color} {animal}.", "My {color} {animal} is called {pet}.",
    ["name", "language", "city"], "{name} speaks {language} and lives in {city}.", "{name} teaches {language} in {city}.",
    ["name", "color"], "{name} likes the color {color}.", "The favorite color of {name} is {color}.",
    ["name", "age"], "{name} is {age} years old.", "{name} turned {age} yesterday.",
    ["name", "profession", "age", "city"], "{name} is {a profession} from {city} and {age} years old.", "{name}, {age}, works as {a profession} in {city}.",
]
EVENT_SENTENCES = [
    "{participants} are going to {a event} on {date}.", "{participants} will attend the {event} on {date}.", "{participants} meet for {a event} on {date}.", "On {date}, {participants} are going to the {event}.",
    "There is {a event} on {date} with {participants}.", "{participants} have {a event} on {date}.", "The {event} with {participants} is on {date}.", "{participants} plan {a event} for {date}.", "{participants} will go to {a event} on {date}.",
    "One {event} is planned for {date}; {participants} will come.", "Please add the {event} on {date} with {participants}.", "{participants} are visiting the {event} on {date}.", "{participants} join the {event} on {date}.",
]


def groups():
    out, current = [], None
    for item in SENTENCES:
        if isinstance(item, list):
            current = (item, [])
            out.append(current)
        else:
            current[1].append(item)
    return out


GROUPS = groups()
TITLES = ["Person", "person", "Profile", "Record", "response", "response", "extraction", "Entity", "person_info", "result", "Data", "output", "info", "details", "extract"]
EVENT_TITLES = ["CalendarEvent", "CalendarEvent", "CalendarEvent", "calendar_event", "calendar_event", "event", "Event", "response", "Meeting"]


def make_schema(rng, title, keys, fields):
    """A schema in the style of zod or hand, or of pydantic."""
    properties = {}
    pydantic = rng.random() < 0.45
    for key, field in zip(keys, fields):
        kind = FIELDS[field][0]
        one = {"items": {"type": "string"}, "title": key.replace("_", " ").title(), "type": "array"} if pydantic and kind == "array" else {"title": key.replace("_", " ").title(), "type": kind} if pydantic else {"type": kind}
        if kind == "array" and not pydantic:
            one["items"] = {"type": "string"}
        if not pydantic and rng.random() < 0.1:
            one["description"] = f"The {key}"
        properties[key] = one
    if pydantic:
        schema = {"properties": properties, "required": keys, "title": title, "type": "object"}
        if rng.random() < 0.8:
            schema["additionalProperties"] = False
        return schema
    schema = {"type": "object", "properties": properties}
    if rng.random() < 0.92:
        schema["required"] = list(keys)
    if rng.random() < 0.8:
        schema["additionalProperties"] = False
    if rng.random() < 0.15:
        schema = {"$schema": rng.choice(("http://json-schema.org/draft-07/schema#", "https://json-schema.org/draft/2020-12/schema")), **schema} if rng.random() < 0.4 else {**schema, "$schema": rng.choice(("http://json-schema.org/draft-07/schema#", "https://json-schema.org/draft/2020-12/schema"))}
    return schema


def said(field_values: dict, sentence: str) -> str:
    for field, value in field_values.items():
        text = join_and(value) if isinstance(value, list) else str(value)
        if "{a " + field + "}" in sentence:
            sentence = sentence.replace("{a " + field + "}", a(text))
        sentence = sentence.replace("{" + field + "}", text)
    return sentence


WRAPS = ["Extract the {f} from the following sentence: '{s}'", "Extract the {f} from this sentence: {s}", "Extract the {f}: {s}", 'Get the {f} from the sentence "{s}"', "What are the {f} in the following sentence? {s}",
    "Find the {f} in: {s}", "{s}", "{s}", "Extract: {s}", "Extract the information from the following sentence: '{s}'", "Read the {f} out of this text: '{s}'", "Extract {f} from: '{s}'", "Parse this: {s}"]
SYSTEMS = ["Extract the information.", "Extract the data as JSON.", "You extract structured data.", "Answer in JSON.", "Extract the fields.", "Return JSON.", "You are a helpful assistant."]
EVENT_SYSTEMS = ["Extract the event information.", "Extract the event information.", "Extract the event information.", "Extract the event.", "Extract the calendar event.", "You extract events.", "Extract the event details as JSON."]


def fill(gen, c, n):
    rng = gen.rng
    fields, sentences = rng.choice(GROUPS) if rng.random() < 0.6 else GROUPS[0]
    order = list(fields)
    if rng.random() < 0.7:
        rng.shuffle(order)
    if len(order) > 2 and rng.random() < 0.12:
        order.pop()
    keys = []
    for f in order:
        key = rng.choice(FIELDS[f][2]) if rng.random() < 0.9 else f
        keys.append(key if key not in keys else f)
    title = rng.choice(TITLES)
    c.response_format = {"name": title, "schema": make_schema(rng, title, keys, order)}
    if rng.random() < 0.12:
        c.response_format["description"] = rng.choice(("A person.", "The data of the sentence.", "One record.", "The result"))
    if rng.random() < 0.4:
        c.instructions = rng.choice(SYSTEMS)
    finish(gen, c, n, order, keys, sentences, "extract", WRAPS)


def fill_event(gen, c, n):
    rng = gen.rng
    order = ["event", "date", "participants"]
    if rng.random() < 0.35:
        rng.shuffle(order)
    if rng.random() < 0.12:
        order.pop()
    keys = [rng.choice(FIELDS[f][2]) for f in order]
    title = rng.choice(EVENT_TITLES)
    c.response_format = {"name": title, "schema": make_schema(rng, title, keys, order)}
    if rng.random() < 0.7:
        c.instructions = rng.choice(EVENT_SYSTEMS)
    finish(gen, c, n, order, keys, EVENT_SENTENCES, "event", ["{s}", "{s}", "{s}", "Extract the event: {s}", "Extract the event information: '{s}'", "Extract the {f} from: {s}"])


def finish(gen, c, n, order, keys, sentences, skill, wraps):
    from data import Branch
    rng = gen.rng
    every = {"participants", "event", "date"} if skill == "event" else {f for g, s in GROUPS if s is sentences for f in g}
    for _ in range(n):
        values = {f: FIELDS[f][1](rng) for f in sorted(every)}
        if skill == "event" and len(values["participants"]) == 1:
            values["participants"] += [pick(rng, w.NAMES, 0.3)]
            values["participants"] = list(dict.fromkeys(values["participants"]))
        sentence = said(values, rng.choice(sentences))
        wrap = rng.choice(wraps)
        names = list(keys)
        listing = ", ".join(names[:-1]) + rng.choice((", and ", " and ")) + names[-1] if len(names) > 2 else " and ".join(names)
        ask = wrap.format(f=listing.replace("_", " "), s=sentence)
        result = {k: values[f] for k, f in zip(keys, order)}
        think = gen.think("Fill " + ", ".join(f"{k}" for k in keys) + ".", "Copy the values from the sentence.", "Only JSON.")
        c.branches.append(Branch(skill, [("user", ask), ("answer", think, h.compact(result))]))
