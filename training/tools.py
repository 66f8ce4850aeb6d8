"""Random tools, requests that need them, and what they answer.

A `Kit` is one declared function with its way to ask for it. About half of the kits come from
`INTENTS` (real-life functions in many spellings), the rest are built around made-up nouns, so that
the declaration is the only thing that tells what to call.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from typing import Callable

import harmony as h
import words as w
from words import join_and, made_up, pick


@dataclass
class Param:
    """One parameter: spellings, JSON type, descriptions, and a value with the words that say it."""

    keys: list[str]
    kind: str
    about: list[str]
    value: Callable[[random.Random], tuple[object, str]]
    optional: bool = False
    enum: list[str] | None = None


def plain(make):
    """A string value said as it is."""
    return lambda rng: (lambda v: (v, v))(make(rng))


def number(lo, hi):
    return lambda rng: (lambda v: (v, str(v)))(rng.randint(lo, hi))


def several(make, lo=1, hi=3):
    def values(rng):
        items = list(dict.fromkeys(make(rng) for _ in range(rng.randint(lo, hi))))
        return items, join_and(items)
    return values


def choice(options):
    return lambda rng: (lambda v: (v, v))(rng.choice(options))


def text_phrase(rng):
    return " ".join(rng.choice((made_up(rng), rng.choice(w.NOUNS).lower(), rng.choice(w.ITEMS), rng.choice(w.FOODS))) for _ in range(rng.randint(1, 4)))


def code(rng):
    return "".join(rng.choice("ABCDEFGHJKLMNPRSTUVWXYZ") for _ in range(rng.randint(1, 3))) + rng.choice(("", "-")) + str(rng.randint(1, 9999))


def email(rng):
    return f"{rng.choice((made_up(rng), rng.choice(w.NAMES[:12]).lower()))}@{rng.choice((made_up(rng), 'example'))}.{rng.choice(('com', 'org', 'net'))}"


def clock(rng):
    return rng.choice((f"{rng.randint(1, 12)} {rng.choice(('am', 'pm'))}", f"{rng.randint(0, 23):02}:{rng.choice(('00', '15', '30', '45'))}"))


P = Param
CITY = P(["location", "location", "city", "place", "town"], "string", ["The city and state, e.g. San Francisco, CA", "The city", "City name", "Name of the city", "The city and country, e.g. Bogotá, Colombia", "", "The location", "Location to get the weather for"], plain(w.city))
UNIT = P(["unit", "unit", "format", "units"], "string", ["The temperature unit", "", "", "Unit of the temperature", "The unit to use"], choice(["celsius", "fahrenheit"]), True, ["celsius", "fahrenheit"])
PERSON = P(["name", "person", "user", "contact", "recipient", "to"], "string", ["The name", "Who", "", "Name of the person"], plain(lambda r: w.name(r)))
TEXT = P(["text", "message", "content", "body", "note"], "string", ["The text", "", "What to say", "The content"], plain(text_phrase))
DATE = P(["date", "day", "when"], "string", ["The date", "", "The day"], plain(lambda r: w.date(r)))
TIME = P(["time", "at"], "string", ["The time", ""], plain(clock))

# id, function names (snake case), descriptions, parameters, requests, result keys with values.
# {0}, {1}.. are the parameters' words; [..] is left out when an optional parameter is not given.
INTENTS = [
    ("population", ["get_population", "population", "city_population", "lookup_population"], ["Get the population of a city.", "Returns how many people live in a city.", "Population of a place"], [CITY],
     ["What is the population of {0}?", "How many people live in {0}?", "Population of {0}?", "Tell me the population of {0}."], {"population": number(1000, 9999999)}),
    ("time", ["get_time", "get_current_time", "current_time", "local_time"], ["Get the current time in a city.", "Returns the local time of a place.", "Current time"], [P(["city", "location", "timezone", "place"], "string", ["The city", "", "Name of the city"], plain(w.city))],
     ["What time is it in {0}?", "What is the local time in {0}?", "Tell me the time in {0}.", "time in {0}?", "What time is it in {0} right now?"], {"time": plain(lambda r: f"{r.randint(0, 23):02}:{r.randint(0, 59):02}")}),
    ("stock", ["get_stock_price", "stock_price", "get_quote", "lookup_stock"], ["Get the price of a stock.", "Returns the current stock price.", "Stock price by symbol"], [P(["symbol", "ticker", "stock"], "string", ["The ticker symbol", "", "Stock symbol, e.g. AAPL"], plain(lambda r: r.choice(w.STOCKS) if r.random() < 0.5 else "".join(r.choice("ABCDEFGHIKLMNOPRSTVXZ") for _ in range(r.randint(3, 4)))))],
     ["What is the price of {0}?", "How much is {0} stock?", "What is the stock price of {0}?", "Get me a quote for {0}.", "price of {0}"], {"price": number(5, 999)}),
    ("mail", ["send_email", "email", "send_mail", "write_email"], ["Send an email.", "Sends an email to somebody.", "Send a mail"], [P(["to", "recipient", "address"], "string", ["The email address", "", "Address of the recipient"], plain(email)), P(["subject", "title"], "string", ["The subject", ""], plain(text_phrase), True)],
     ["Send an email to {0}[ with the subject '{1}'].", "Email {0}[ about {1}].", "Please write an email to {0}[ with subject {1}].", "Mail {0}[ about '{1}']."], {"status": choice(["sent", "queued", "delivered"])}),
    ("message", ["send_message", "send_sms", "message", "text_contact", "notify"], ["Send a message to a person.", "Sends a text message.", "Message somebody"], [PERSON, TEXT],
     ["Send {0} the message '{1}'.", "Text {0}: {1}", "Tell {0} '{1}'.", "Send a message to {0} saying {1}.", "Message {0}: {1}"], {"status": choice(["sent", "delivered"])}),
    ("remind", ["set_reminder", "create_reminder", "remind_me", "add_reminder"], ["Set a reminder.", "Creates a reminder.", "Remind the user"], [P(["text", "task", "title", "message"], "string", ["What to be reminded of", "", "The task"], plain(lambda r: r.choice(("call ", "buy ", "water ", "visit ", "clean ", "feed ", "fix ")) + r.choice(("the " + r.choice(w.PRODUCTS), made_up(r), r.choice(w.ITEMS), w.name(r))))), P(["time", "when", "date"], "string", ["When", "", "The time"], lambda r: (lambda v: (v, v))(r.choice((clock(r), w.date(r)))))],
     ["Remind me to {0} at {1}.", "Set a reminder to {0} for {1}.", "Please remind me to {0} on {1}.", "Create a reminder: {0}, {1}"], {"status": choice(["created", "saved", "ok"]), "id": number(1, 999)}),
    ("timer", ["set_timer", "start_timer", "timer", "countdown"], ["Start a timer.", "Starts a countdown.", "Set a timer in minutes"], [P(["minutes", "duration", "duration_minutes"], "integer", ["Minutes", "", "How many minutes"], number(1, 90))],
     ["Set a timer for {0} minutes.", "Start a {0} minute timer.", "Timer {0} minutes please.", "Count down {0} minutes."], {"status": choice(["started", "running"])}),
    ("alarm", ["set_alarm", "create_alarm", "wake_up"], ["Set an alarm.", "Creates an alarm clock entry."], [TIME], ["Set an alarm for {0}.", "Wake me up at {0}.", "I need an alarm at {0}.", "Alarm at {0} please."], {"status": choice(["set", "ok"])}),
    ("convert", ["convert_currency", "exchange", "currency_converter", "convert_money"], ["Convert an amount of money.", "Converts between currencies.", "Currency conversion"], [P(["amount", "value"], "number", ["The amount", ""], number(1, 9999)), P(["from", "source", "from_currency"], "string", ["Currency to convert from", ""], choice(w.CURRENCIES)), P(["to", "target", "to_currency"], "string", ["Currency to convert to", ""], choice(w.CURRENCIES))],
     ["Convert {0} {1} to {2}.", "How much is {0} {1} in {2}?", "What are {0} {1} in {2}?", "Exchange {0} {1} for {2}."], {"result": number(1, 9999)}),
    ("translate", ["translate", "translate_text", "get_translation"], ["Translate a text.", "Translates text to another language."], [P(["text", "phrase"], "string", ["The text", ""], plain(text_phrase)), P(["language", "target_language", "to"], "string", ["The target language", "", "Language to translate to"], choice(w.LANGUAGES))],
     ["Translate '{0}' to {1}.", "How do you say '{0}' in {1}?", "What is {0} in {1}?", "Translate {0} into {1}."], {"translation": plain(lambda r: made_up(r) + " " + made_up(r))}),
    ("search", ["search", "web_search", "search_web", "find_pages"], ["Search the web.", "Searches the internet.", "Web search"], [P(["query", "q", "search_term"], "string", ["The query", "", "What to search for"], plain(text_phrase)), P(["limit", "max_results", "count"], "integer", ["How many results", ""], number(1, 20), True)],
     ["Search the web for {0}[ and give me {1} results].", "Search for '{0}'[, at most {1} results].", "Find pages about {0}[, {1} results].", "Look up {0} on the web[ with {1} results]."], {"title": plain(lambda r: made_up(r, True) + " " + made_up(r))}),
    ("music", ["play_song", "play_music", "play", "start_song"], ["Play a song.", "Plays music.", "Start a song"], [P(["title", "song", "track"], "string", ["The song", ""], plain(lambda r: " ".join(made_up(r, True) for _ in range(r.randint(1, 3))))), P(["artist", "band", "by"], "string", ["The artist", ""], plain(lambda r: w.name(r)), True)],
     ["Play {0}[ by {1}].", "Please play '{0}'[ by {1}].", "I want to hear {0}[ by {1}].", "Start the song {0}[ by {1}]."], {"status": choice(["playing", "queued"])}),
    ("light", ["set_light", "switch_light", "control_light", "turn_light"], ["Switch a light.", "Turns a light on or off.", "Control the lights"], [P(["room", "where", "location"], "string", ["The room", ""], plain(lambda r: pick(r, ["kitchen", "bedroom", "bathroom", "garage", "hallway", "office", "attic", "cellar"], 0.3))), P(["state", "power", "mode"], "string", ["The state", ""], choice(["on", "off"]), False, ["on", "off"])],
     ["Turn the {0} light {1}.", "Switch {1} the light in the {0}.", "Turn {1} the lights in the {0}.", "{0} light {1} please."], {"status": choice(["ok", "done"])}),
    ("order", ["order_food", "place_order", "order", "create_order"], ["Order something to eat.", "Places an order.", "Order food"], [P(["item", "product", "dish"], "string", ["What to order", ""], plain(lambda r: pick(r, w.FOODS, 0.4))), P(["quantity", "count", "amount"], "integer", ["How many", ""], number(1, 20))],
     ["Order {1} {0}.", "I would like {1} {0}.", "Please order {1} {0} for me.", "Get me {1} {0}."], {"order_id": plain(code), "minutes": number(5, 90)}),
    ("track", ["track_order", "get_order_status", "track_package", "order_status"], ["Track an order.", "Returns the status of an order.", "Where is a package"], [P(["order_id", "id", "order", "tracking_number"], "string", ["The order number", "", "Id of the order"], plain(code))],
     ["Where is my order {0}?", "Track the package {0}.", "What is the status of order {0}?", "Has {0} been shipped?", "status of {0}"], {"status": choice(["shipped", "delivered", "in transit", "delayed", "packed"])}),
    ("book", ["book_table", "reserve_table", "make_reservation", "book_restaurant"], ["Book a table.", "Reserves a table in a restaurant."], [P(["restaurant", "name", "place"], "string", ["The restaurant", ""], plain(lambda r: made_up(r, True))), P(["people", "guests", "party_size"], "integer", ["How many people", ""], number(1, 12)), P(["time", "when"], "string", ["The time", ""], plain(clock), True)],
     ["Book a table at {0} for {1} people[ at {2}].", "Reserve a table for {1} at {0}[ at {2}].", "Table for {1} at {0}[, {2}] please."], {"status": choice(["confirmed", "waiting list", "full"])}),
    ("flight", ["find_flights", "search_flights", "get_flights", "flight_search"], ["Find flights.", "Searches flights between two cities.", "Flight search"], [P(["from", "origin", "departure"], "string", ["Where it starts", ""], plain(w.city)), P(["to", "destination", "arrival"], "string", ["Where it ends", ""], plain(w.city)), P(["date", "day"], "string", ["The date", ""], plain(lambda r: w.date(r)), True)],
     ["Find a flight from {0} to {1}[ on {2}].", "I want to fly from {0} to {1}[ on {2}].", "Show me flights from {0} to {1}[ for {2}].", "flights {0} to {1}[, {2}]"], {"flight": plain(code), "price": number(40, 999)}),
    ("route", ["get_directions", "get_route", "distance", "get_distance"], ["Get the way between two places.", "Distance between two cities."], [P(["from", "origin", "start"], "string", ["Start", ""], plain(w.city)), P(["to", "destination", "end"], "string", ["End", ""], plain(w.city))],
     ["How far is it from {0} to {1}?", "How do I get from {0} to {1}?", "What is the distance between {0} and {1}?", "route from {0} to {1}"], {"distance": number(3, 9000), "hours": number(1, 40)}),
    ("add", ["add", "add_numbers", "sum", "plus"], ["Add two numbers.", "Returns the sum of two numbers."], [P(["a", "x", "first"], "number", ["First number", ""], number(0, 9999)), P(["b", "y", "second"], "number", ["Second number", ""], number(0, 9999))],
     ["What is {0} plus {1}?", "Add {0} and {1}.", "{0} + {1}?", "Sum of {0} and {1}?"], {"result": number(1, 19999)}),
    ("multiply", ["multiply", "times", "product", "multiply_numbers"], ["Multiply two numbers.", "Returns the product of two numbers."], [P(["a", "x", "first"], "number", ["First number", ""], number(2, 999)), P(["b", "y", "second"], "number", ["Second number", ""], number(2, 999))],
     ["What is {0} times {1}?", "Multiply {0} by {1}.", "{0} * {1}?", "Product of {0} and {1}?"], {"result": number(1, 99999)}),
    ("calc", ["calculate", "calculator", "evaluate", "eval_math"], ["Evaluate an expression.", "Calculates a math expression."], [P(["expression", "expr", "input"], "string", ["The expression", ""], plain(lambda r: f"{r.randint(1, 999)} {r.choice('+-*/')} {r.randint(1, 999)}"))],
     ["Calculate {0}.", "What is {0}?", "Compute {0}.", "{0} = ?", "How much is {0}?"], {"result": number(1, 99999)}),
    ("list_add", ["add_item", "add_to_list", "shopping_list_add", "add_items"], ["Add items to the shopping list.", "Puts items on a list."], [P(["items", "products", "things"], "array", ["The items", "", "Items to add"], several(lambda r: pick(r, w.ITEMS, 0.35)))],
     ["Add {0} to my shopping list.", "Put {0} on the list.", "I need {0}.", "Please add {0}."], {"count": number(1, 30)}),
    ("meeting", ["schedule_meeting", "create_event", "add_event", "create_meeting"], ["Create a meeting.", "Adds an event to the calendar.", "Schedule a meeting"], [P(["title", "topic", "name"], "string", ["The title", ""], plain(lambda r: pick(r, w.EVENTS, 0.3))), P(["date", "day"], "string", ["The day", ""], plain(lambda r: w.date(r))), P(["participants", "attendees", "people"], "array", ["Who takes part", ""], several(lambda r: pick(r, w.NAMES, 0.4)), True)],
     ["Schedule a {0} on {1}[ with {2}].", "Create the event {0} on {1}[ with {2}].", "Add a {0} to my calendar for {1}[, invite {2}]."], {"status": choice(["created", "ok"]), "id": number(1, 9999)}),
    ("horoscope", ["get_horoscope", "horoscope"], ["Get today's horoscope for an astrological sign.", "Returns a horoscope."], [P(["sign"], "string", ["An astrological sign like Taurus or Aquarius", "The sign", ""], plain(lambda r: pick(r, "Aries Taurus Gemini Cancer Leo Virgo Libra Scorpio Sagittarius Capricorn Pisces Aquarius".split(), 0.2)))],
     ["What is my horoscope? I am {0}.", "Horoscope for {0}?", "I am {0}. What is my horoscope?", "Tell me the horoscope of {0}."], {"horoscope": plain(lambda r: f"you will meet {w.name(r)}")}),
    ("product", ["get_product", "find_product", "lookup_product", "check_stock"], ["Look up a product.", "Returns price and stock of a product."], [P(["product", "name", "item"], "string", ["The product", ""], plain(lambda r: pick(r, w.PRODUCTS, 0.5)))],
     ["Do you have the {0} in stock?", "How much is the {0}?", "Look up the {0}.", "Is the {0} available?"], {"price": number(1, 999), "stock": number(0, 99)}),
    ("user", ["get_user", "find_user", "lookup_customer", "get_customer"], ["Look up a user.", "Returns a customer record.", "Find a user by id"], [P(["user_id", "id", "customer_id"], "integer", ["The id", ""], number(1, 99999))],
     ["Who is user {0}?", "Look up the customer {0}.", "Find user {0}.", "Show me user number {0}."], {"name": plain(lambda r: w.name(r)), "city": plain(w.city)}),
    ("news", ["get_news", "latest_news", "news"], ["Get the latest news.", "Returns news about a topic."], [P(["topic", "query", "category"], "string", ["The topic", ""], plain(lambda r: r.choice((made_up(r), r.choice(w.NOUNS), r.choice(w.HOBBIES))))) ],
     ["What is the news about {0}?", "Show me news about {0}.", "Any news on {0}?", "latest {0} news"], {"headline": plain(lambda r: f"{made_up(r, True)} wins {r.choice(w.NOUNS)} prize")}),
    ("recipe", ["find_recipe", "get_recipe", "search_recipes"], ["Find a recipe.", "Returns a recipe with given ingredients."], [P(["ingredients", "items"], "array", ["The ingredients", ""], several(lambda r: pick(r, w.ITEMS, 0.3))), P(["vegetarian", "vegan"], "boolean", ["Only without meat", ""], lambda r: (True, "vegetarian"), True)],
     ["Find a [{1} ]recipe with {0}.", "What can I cook with {0}?", "Give me a [{1} ]recipe that uses {0}."], {"recipe": plain(lambda r: f"{made_up(r)} {r.choice(w.FOODS)}"), "minutes": number(5, 90)}),
    ("forecast", ["get_forecast", "weather_forecast", "forecast"], ["Get the weather forecast for some days.", "Returns a forecast."], [CITY, P(["days", "num_days", "n"], "integer", ["How many days", ""], number(2, 14))],
     ["What is the forecast for {0} for the next {1} days?", "{1} day forecast for {0}.", "Give me a {1}-day weather forecast for {0}."], {"forecast": choice(["sunny", "rain", "snow", "mostly cloudy"])}),
    ("volume", ["set_volume", "volume", "change_volume"], ["Set the volume.", "Changes the volume of the speaker."], [P(["level", "volume", "percent"], "integer", ["The level", ""], number(0, 100))], ["Set the volume to {0}.", "Volume {0} please.", "Turn the sound to {0}."], {"volume": number(0, 100)}),
    ("file", ["read_file", "open_file", "get_file"], ["Read a file.", "Returns the content of a file."], [P(["path", "file", "filename"], "string", ["The path", ""], plain(lambda r: f"{made_up(r)}.{r.choice(('txt', 'md', 'json', 'py', 'csv'))}"))],
     ["Open {0}.", "What is in {0}?", "Read the file {0}.", "Show me {0}."], {"content": plain(text_phrase)}),
]

WEATHER_NAMES = ["get_current_weather", "get_current_weather", "get_weather", "get_weather", "weather", "fetch_weather", "current_weather", "lookup_weather", "check_weather", "get_temperature"]
WEATHER_ABOUT = ["Get the current weather in a given location", "Gets the current weather in the provided location.", "Get current temperature for a given location.", "Returns the weather of a city.", "Get the weather", "Current weather", "Get the weather for a city.", "Determine weather in my location"]
WEATHER_ASK = ["What is the weather in {0}?", "What's the weather in {0}?", "How is the weather in {0}?", "What is the weather like in {0}?", "What's the weather like in {0} today?", "How is the weather in {0} today?", "weather in {0}", "Tell me the weather in {0}.", "Is it raining in {0}?", "How warm is it in {0}?",
    "What is the temperature in {0}?", "Do I need an umbrella in {0}?", "Is it cold in {0} today?", "Weather {0}?", "What's the weather like in {0}?", "Can you check the weather in {0}?", "I am in {0}. What is the weather like?", "How hot is it in {0} now?", "What is the weather in {0} right now?", "Please get the weather for {0}.", "What is the current weather in {0}?", "Is it sunny in {0}?", "I want to know the weather in {0}."]
WEATHER_UNIT = [" in {1}", " in {1}", " in {1}", ", in {1}", " in degrees {1}", " (in {1})", " using {1}"]

VERBS = "get find lookup fetch check show read compute query list".split()
ACTIONS = "set update start stop open close add remove create delete send move rename assign paint wash repair".split()


def camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


@dataclass
class Kit:
    intent: str
    tool: dict
    params: list[tuple[str, Param]]
    asks: list[str]
    results: dict
    required: list[str]

    def request(self, rng) -> tuple[str, dict]:
        """A user sentence and the arguments in the order of the schema."""
        ask = rng.choice(self.asks)
        given, words = {}, {}
        for i, (key, p) in enumerate(self.params):
            value, said = p.value(rng)
            slot = "{%d}" % i
            wanted = slot in ask and (key in self.required or not p.optional or rng.random() < 0.6)
            if slot in ask and not wanted:
                ask = re.sub(r"\[[^\]]*\{%d\}[^\]]*\]" % i, "", ask)
                if slot in ask:
                    wanted = True
            if wanted:
                given[key], words[i] = value, said
                if self.intent == "weather" and i == 1:
                    words[i] = rng.choice((said.capitalize(), said.capitalize(), said))
            elif key in self.required:
                # Required but not said: the first value of the enum.
                given[key] = p.enum[0] if p.enum else value
        ask = ask.replace("[", "").replace("]", "")
        for i, said in words.items():
            ask = ask.replace("{%d}" % i, said)
        if rng.random() < 0.06:
            ask = ask.rstrip("?.!")
        if rng.random() < 0.05:
            ask = rng.choice(("Please: ", "Hi! ", "Hello. ", "Quick question: ", "Hey, ")) + ask
        order = [k for k in self.tool["parameters"]["properties"] if k in given]
        return ask, {k: given[k] for k in order}

    def result(self, rng, args: dict) -> tuple[str, str]:
        """The tool's output and the final answer that reports it."""
        if rng.random() < 0.06:
            error = rng.choice(("not found", "timeout", "service unavailable", f"unknown {made_up(rng)}", "no access"))
            return rng.choice((h.compact({"error": error}), f'{{"error": "{error}"}}')), f"Sorry, the tool reported an error: {error}."
        if self.intent == "weather":
            return weather_result(rng, args)
        values = {k: v(rng)[0] for k, v in self.results.items()}
        echo = next(((k, v) for k, v in args.items() if isinstance(v, str)), None)
        if rng.random() < 0.25:
            # Plain text instead of JSON: a short value or a sentence.
            key, value = next(iter(values.items()))
            if rng.random() < 0.5:
                return str(value), f"The result is {value}."
            sentence = rng.choice((f"The {spoken(key)} is {value}.", f"{spoken(key).capitalize()}: {value}.", f"Done, {spoken(key)} {value}.", f"{made_up(rng, True)} says {value}."))
            return sentence, sentence
        shown = dict(values)
        if echo and rng.random() < 0.4:
            shown = {echo[0]: echo[1], **values} if echo[0] not in values else values
        answer = join_and([f"the {spoken(k)} is {str(v).lower() if isinstance(v, bool) else v}" for k, v in values.items()])
        text = h.compact(shown) if rng.random() < 0.6 else h.json.dumps(shown, ensure_ascii=False)
        return text, answer[0].upper() + answer[1:] + "."


def spoken(key: str) -> str:
    return re.sub(r"([a-z])([A-Z])", r"\1 \2", key.replace("_", " ")).lower()


def weather_result(rng, args):
    place = next((v for k, v in args.items() if k in CITY.keys), "there")
    unit = next((v for v in args.values() if v in ("celsius", "fahrenheit")), None)
    t = rng.randint(-9, 38) if unit != "fahrenheit" else rng.randint(20, 99)
    sky = rng.choice(("sunny", "cloudy", "rainy", "snowy", "windy", "foggy", "clear", "partly cloudy", "stormy", "clear skies", "light rain", made_up(rng)))
    if rng.random() < 0.2:
        text = rng.choice((f"{t}°C, {sky}", f"{t} degrees and {sky}", f"{sky}, {t}°F", f"{sky}, {t} degrees"))
        return text, f"The weather in {place}: {text}."
    out = {}
    keys = [("location", place)] if rng.random() < 0.5 else []
    keys.append((rng.choice(("temperature", "temperature", "temp")), rng.choice((t, str(t)))))
    unit = unit or rng.choice((None, "celsius", "fahrenheit"))
    has_unit = unit and rng.random() < 0.8
    if has_unit:
        keys.append(("unit", unit))
    has_sky = rng.random() < 0.75
    if has_sky:
        keys.append((rng.choice(("condition", "conditions", "description", "forecast", "weather")), sky))
    if rng.random() < 0.25:
        rng.shuffle(keys)
    out = dict(keys)
    said = f"It is {t} degrees" + (f" {unit.capitalize()}" if has_unit else "") + (f" and {sky}" if has_sky else "") + f" in {place}."
    return (h.compact(out) if rng.random() < 0.6 else h.json.dumps(out, ensure_ascii=False)), said


class ToolBox:
    def __init__(self, rng: random.Random):
        self.rng = rng

    def build(self, intent, name, about, params, asks, results, shuffle=True) -> Kit:
        rng = self.rng
        keyed = []
        for p in params:
            key = rng.choice(p.keys)
            while key in [k for k, _ in keyed]:
                key = rng.choice(p.keys) + rng.choice(("", "_name", "_value", "2"))
            keyed.append((key, p))
        if rng.random() < 0.3:
            name = camel(name)
            keyed = [(camel(k), p) for k, p in keyed]
        order = list(keyed)
        if shuffle and rng.random() < 0.25:
            rng.shuffle(order)
        properties, required = {}, []
        for key, p in order:
            schema = {"type": p.kind}
            if p.kind == "array":
                schema["items"] = {"type": "string"}
            about_p = rng.choice(p.about)
            if about_p and rng.random() < 0.75:
                schema["description"] = about_p
            if p.enum:
                schema["enum"] = list(p.enum)
                if p.optional and rng.random() < 0.2:
                    schema["default"] = p.enum[0]
            properties[key] = schema
            if not p.optional or rng.random() < 0.12:
                required.append(key)
        parameters = {"type": "object", "properties": properties, "required": required}
        if rng.random() < 0.3:
            parameters["additionalProperties"] = False
        tool = {"name": name, "description": about if rng.random() < 0.93 else None, "parameters": parameters}
        return Kit(intent, tool, keyed, asks, results, required)

    def weather(self) -> Kit:
        rng = self.rng
        with_unit = rng.random() < 0.65
        asks = []
        for ask in WEATHER_ASK:
            asks.append(ask)
            if with_unit and "{0}" in ask:
                asks.append(re.sub(r"( today| right now| now)?([?.]?)$", lambda m: "[" + rng.choice(WEATHER_UNIT) + "]" + m.group(2), ask, count=1))
        params = [CITY, UNIT] if with_unit else [CITY]
        return self.build("weather", rng.choice(WEATHER_NAMES), rng.choice(WEATHER_ABOUT), params, asks, {})

    def any(self) -> Kit:
        rng = self.rng
        if rng.random() < 0.06:
            return self.weather()
        if rng.random() < 0.38:
            return self.invented()
        intent, names, abouts, params, asks, results = rng.choice(INTENTS)
        return self.build(intent, rng.choice(names), rng.choice(abouts), params, asks, results)

    def invented(self) -> Kit:
        """A function around a noun that may not exist; asked for with the noun of its declaration."""
        rng = self.rng
        noun = rng.choice((made_up(rng), made_up(rng), rng.choice(w.NOUNS).lower(), rng.choice(w.PRODUCTS)))
        thing = rng.choice((
            P(["name", "id", "code", "item", made_up(rng), noun], "string", ["The " + noun, "", "Which one"], plain(lambda r: r.choice((made_up(r), made_up(r, True), code(r), w.name(r), w.city(r))))),
            P(["number", "n", "index", made_up(rng)], "integer", ["The number", ""], number(0, 9999)),
            P(["city", "place", "country"], "string", ["The place", ""], plain(w.city)),
            P(["person", "user", "owner"], "string", ["Who", ""], plain(lambda r: w.name(r)))))
        second = rng.choice((
            P(["color", "shade"], "string", ["The color", ""], plain(lambda r: pick(r, w.COLORS, 0.3))),
            P(["value", "amount", "level", made_up(rng)], "integer", ["The value", ""], number(0, 999)),
            P(["label", "target", "text", made_up(rng)], "string", ["The new value", ""], plain(lambda r: r.choice((made_up(r), text_phrase(r))))),
            DATE))
        if rng.random() < 0.55:
            verb = rng.choice(VERBS)
            return self.build("x_" + noun, f"{verb}_{noun}", rng.choice((f"{verb.capitalize()} the {noun}.", f"Returns the {noun}.", f"Get the {noun} of something.", f"The {noun}.")), [thing],
                [f"What is the {noun} of {{0}}?", f"{verb.capitalize()} the {noun} of {{0}}.", f"Tell me the {noun} of {{0}}.", f"Which {noun} does {{0}} have?", f"I need the {noun} of {{0}}.", f"What {noun} has {{0}}?", f"{noun} of {{0}}"],
                {rng.choice((noun, "result", "value", made_up(rng))): rng.choice((number(0, 9999), plain(lambda r: made_up(r)), plain(lambda r: made_up(r, True)), plain(code)))})
        verb = rng.choice(ACTIONS)
        return self.build("x_" + noun, f"{verb}_{noun}", rng.choice((f"{verb.capitalize()} a {noun}.", f"{verb.capitalize()} the {noun}.", f"Can {verb} a {noun}.")), [thing, second],
            [f"{verb.capitalize()} the {noun} {{0}} to {{1}}.", f"{verb.capitalize()} {noun} {{0}} with {{1}}.", f"Please {verb} the {noun} {{0}}: {{1}}", f"{verb.capitalize()} the {noun} of {{0}} with {{1}}.", f"Can you {verb} the {noun} {{0}} with {{1}}?"],
            {"status": choice(["ok", "done", "saved", "failed"])} if rng.random() < 0.6 else {"id": number(1, 9999), "state": plain(lambda r: made_up(r))})
