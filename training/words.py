"""Word lists for the data generator, and made-up words."""

from __future__ import annotations

import random
import re

NAMES = """Alice Bob Carol David Emma Frank Grace Henry Irene Jack Karen Liam Maria Noah Olivia Peter Quinn Rosa Sam Tina
Uma Victor Wendy Xavier Yara Zoe Amélie Zoë José Björn Søren Chloé François Renée Łukasz Jürgen Núria Iñigo Anaïs Hélène
Mehmet Ayşe Priya Arjun Wei Mei Kenji Yuki Omar Layla Ahmed Fatima Kofi Ama Ivan Olga Luca Giulia Pablo Lucía Tom Anna Ben
Clara Daniel Eva Felix Hannah Ida Jonas Kim Lena Max Nina Oscar Paula Ruth Simon Theo Ursula Vera Walter Ines Marco Elena
Hugo Ella Leo Mia Ravi Sofia Tariq Ingrid Dmitri Aisha Mateo Beatriz Gustav Linnéa Rafael Naomi Julian Esther""".split()
SURNAMES = """Smith Jones Brown Garcia Müller Rossi Silva Tanaka Kim Novak Larsen Dubois Moreau Costa Fischer Weber Lopez
Haddad Okafor Nguyen Patel Singh Ivanova Berg Lindqvist Walsh Murphy Clark Turner Baker""".split()
CITIES = """Paris London Berlin Madrid Rome Tokyo Oslo Lima Cairo Delhi Boston Chicago Denver Dallas Seattle Austin Miami
Toronto Sydney Vienna Prague Lisbon Dublin Athens Warsaw Helsinki Stockholm Zürich Genève Málaga København Kraków Montréal
Bogotá Brasília Reykjavík Kyoto Osaka Seoul Beijing Mumbai Nairobi Lagos Accra Dakar Tunis Porto Lyon Nice Naples Milan
Hamburg Munich Köln Leeds Bristol Glasgow Cardiff Ghent Bruges Riga Vilnius Tallinn Sofia Bucharest Belgrade Zagreb
Ljubljana Budapest Istanbul Ankara Tehran Karachi Lahore Dhaka Bangkok Hanoi Jakarta Manila Perth Brisbane Auckland
Wellington Santiago Quito Caracas Havana Phoenix Portland Houston Atlanta Detroit Memphis Nashville Cleveland""".split()
CITIES2 = ["New York", "Los Angeles", "San Francisco", "San Diego", "Buenos Aires", "Mexico City", "Cape Town", "Hong Kong",
    "Tel Aviv", "São Paulo", "Rio de Janeiro", "Kuala Lumpur", "New Delhi", "Salt Lake City", "Las Vegas", "Saint Louis"]
COUNTRIES = """France Germany Spain Italy Japan Norway Peru Egypt India Canada Australia Austria Portugal Ireland Greece
Poland Finland Sweden Denmark Brazil Mexico Chile Kenya Ghana China Turkey Iceland Hungary Croatia Belgium""".split()
CAPITALS = dict(France="Paris", Germany="Berlin", Spain="Madrid", Italy="Rome", Japan="Tokyo", Norway="Oslo", Peru="Lima",
    Egypt="Cairo", Austria="Vienna", Portugal="Lisbon", Ireland="Dublin", Greece="Athens", Poland="Warsaw", Finland="Helsinki",
    Sweden="Stockholm", Hungary="Budapest", Cuba="Havana", England="London")
JOBS = """chef doctor teacher nurse baker painter singer lawyer farmer pilot writer dancer gardener carpenter plumber
engineer scientist actor librarian photographer journalist architect dentist barber butcher florist tailor potter sailor
electrician translator violinist programmer firefighter musician waiter designer accountant detective astronaut biologist
mechanic poet surgeon blacksmith beekeeper cartographer fisherman shoemaker weaver""".split()
ANIMALS = """cat dog fox bear owl rabbit horse dragon mouse lion tiger elephant penguin whale dolphin turtle frog duck goose
hedgehog squirrel otter beaver badger wolf deer pony kitten puppy hamster parrot swan crow eagle bee butterfly snail octopus
seal koala panda kangaroo giraffe zebra camel donkey sheep goat cow pig hen spider crab phoenix griffin mermaid dinosaur
robot fairy lamb raccoon unicorn""".split()
COLORS = "red blue green yellow purple orange pink brown black white grey silver golden teal turquoise scarlet violet".split()
BERRIES = """blueberry raspberry blackberry cranberry gooseberry strawberry cherry cranberries blueberries raspberries straw berry berries
bilberry elderberry mulberry strawberries""".split()
WORDS = """hello world banana bananas apple orange grape peach lemon melon tomato potato carrot pepper onion garlic cucumber broccoli spinach
mississippi tennessee california florida alabama hawaii programming programmer computer keyboard internet language model letter letters word
sentence elephant giraffe crocodile alligator rhinoceros butterfly grasshopper dragonfly caterpillar chimpanzee gorilla accommodation address
necessary successful committee possess parallel occurrence bookkeeper balloon coffee toffee cheese freeze sleepless keeper raccoon hippopotamus
library february december wednesday tomorrow yesterday mirror terror error arrow borrow narrow sorry carry ferry merry parrot rhythm school
teacher student science history music picture weather temperature mountain ocean river island desert forest garden flower summer winter
spring autumn happy little bottle kettle paddle middle puzzle pizza buzz jazz fizz quick brown jumps over lazy queen quiet question antidisestablish
onomatopoeia encyclopedia refrigerator helicopter airplane bicycle motorcycle umbrella pineapple watermelon chocolate vanilla caramel cinnamon""".split()
FOODS = """pizza pasta soup salad bread cheese rice noodles sushi curry tacos pancakes waffles cake pie chocolate ice-cream
apples bananas mangoes oranges strawberries dumplings burgers falafel paella risotto""".split()
HOBBIES = """chess painting hiking cycling swimming reading cooking dancing fishing knitting running singing sailing skiing
gardening photography climbing pottery yoga surfing drawing juggling birdwatching""".split()
DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April May June July August September October November December".split()
EVENTS = ["science fair", "birthday party", "concert", "book club", "picnic", "wedding", "football match", "team meeting", "art exhibition",
    "chess tournament", "cooking class", "movie night", "farmers market", "poetry reading", "jazz festival", "board game night",
    "garden party", "museum tour", "yoga class", "hackathon", "dinner", "lunch", "play", "film festival", "charity run", "car show",
    "flower show", "design workshop", "barbecue", "dance contest", "school play", "street market", "boat trip", "space lecture"]
PRODUCTS = """laptop phone chair table lamp book camera bicycle guitar kettle toaster jacket backpack umbrella mug blanket
notebook keyboard monitor headphones scarf tent watch clock piano drum printer sofa mirror carpet""".split()
ITEMS = """milk eggs bread butter apples rice flour sugar tea coffee soap paper candles batteries onions carrots lemons
honey pepper salt tomatoes cheese yogurt oats""".split()
LANGUAGES = "French German Spanish Italian Japanese Korean Portuguese Dutch Polish Swedish Turkish Greek Hindi Arabic Latin".split()
NOUNS = """river window garden bridge candle pocket engine button ribbon ladder basket hammer pillow mountain island forest
castle tunnel market station harbor planet rocket pencil bottle blanket lantern whistle puzzle mirror carpet teapot wagon anchor
compass feather marble acorn barrel copper velvet silver thunder shadow meadow puddle bubble pebble rubber double bath
toy boat yellow lorry proper coffee pot unique New cold sheep sleep sea shell six sick slick great good bright little""".split()
ADJECTIVES = "small brave quiet happy sleepy clever gentle curious shy kind tiny lonely cheerful friendly proud silly".split()
CURRENCIES = "USD EUR GBP JPY CHF CAD AUD SEK NOK INR".split()
STOCKS = "AAPL MSFT GOOG TSLA NVDA AMZN META IBM ORCL INTC NFLX ADBE".split()

ONSETS = "b c d f g h j k l m n p r s t v w z bl br ch cl cr dr fl fr gl gr kr pl pr qu sh sk sl sn sp st str th tr tw".split()
VOWELS = "a e i o u a e i o u ai au ea ee ie oa oo ou y".split()
CODAS = ["", "", "", "", "b", "d", "g", "k", "l", "m", "n", "p", "r", "s", "t", "x", "nd", "ng", "nk", "rd", "rk", "rt", "sh", "st", "ll", "ck", "mp", "lt"]

# Letter pieces of the trained vocabulary; made-up words are then also glued from these, so that
# every token is met in a slot that has to be copied.
PIECES: list[str] = []

# Syllables put together at random also spell what nobody wants to read.
RUDE = re.compile("fuc|fuk|shit|cunt|cock|dick|twat|nig|fag|slut|whor|tit|ass|cum|piss|crap|porn|sex|rap|jew|nazi|pus|wank|anal|anus|arse|spic|kike|homo|dyke|damn|hell")


def made_up(rng: random.Random, cap: bool = False) -> str:
    """A word that exists nowhere, `blorp` or `Tovandel`."""
    while True:
        if PIECES and rng.random() < 0.35:
            word = "".join(rng.choice(PIECES) for _ in range(rng.choice((1, 2, 2, 3)))).lower()
        else:
            word = "".join(rng.choice(ONSETS) + rng.choice(VOWELS) + rng.choice(CODAS) for _ in range(rng.choice((1, 2, 2, 2, 3))))
        word = word[:14]
        if not RUDE.search(word):
            return word.capitalize() if cap else word


# Families of words that share beginnings and endings, as tongue twisters do: copying them needs more
# than the last one or two tokens.
TWISTERS = [line.split() for line in (
    "double trouble bubble pebble rubble stubble nibble wobble marble", "butter better bitter batter letter latter", "peter piper pepper paper proper copper pickled",
    "sea shell she sells sheep ship sleep seashore", "toy boat coat goat bath path both", "red lorry yellow lorry really rarely", "big black bug bit blue bear back",
    "fresh fried fish french fry flesh", "six sick slick slim sheets", "good cook could book cookies look", "thin thick things think three free", "rubber baby buggy bumper babble",
    "unique new york you know", "wood would chuck woodchuck", "blue glue gun green grue grows", "bath math path bathtub bathe both")]


def twister(rng: random.Random, count: int) -> list[str]:
    """Up to `count` different words that look alike."""
    if rng.random() < 0.4:
        group = rng.choice(TWISTERS)
        return rng.sample(group, min(count, len(group)))
    base = made_up(rng)
    tail = base.lstrip("bcdfghjklmnpqrstvwxz") or base
    head = base[: len(base) - len(tail)] or rng.choice(ONSETS)
    words = []
    for _ in range(count):
        word = rng.choice((rng.choice(ONSETS) + tail, rng.choice(ONSETS) + tail, head + rng.choice(VOWELS) + rng.choice(CODAS), base))[:14]
        if not RUDE.search(word):
            words.append(word)
    return list(dict.fromkeys(words)) or [base]


def pick(rng: random.Random, words: list[str], invent: float = 0.4) -> str:
    """One of the words, or a made-up one in the same letter case."""
    if rng.random() < invent:
        return made_up(rng, words[0][0].isupper())
    return rng.choice(words)


def city(rng, invent=0.45):
    return rng.choice(CITIES2) if rng.random() < 0.12 else (made_up(rng, True) + " " + made_up(rng, True) if rng.random() < 0.06 else pick(rng, CITIES, invent))


def name(rng, invent=0.4):
    first = pick(rng, NAMES, invent)
    return first + " " + pick(rng, SURNAMES, 0.5) if rng.random() < 0.15 else first


def a(word: str) -> str:
    vowel = word[:1].lower() in "aeiou" and word[:3].lower() not in ("uni", "use", "eur")
    return ("an " if vowel else "a ") + word


def date(rng) -> str:
    kind = rng.random()
    if kind < 0.45:
        return rng.choice(DAYS)
    if kind < 0.55:
        return rng.choice(("next ", "this ")) + rng.choice(DAYS)
    if kind < 0.62:
        return "tomorrow"
    if kind < 0.85:
        return f"{rng.choice(MONTHS)} {rng.randint(1, 28)}"
    return f"{rng.randint(1, 28)} {rng.choice(MONTHS)}"


def iso(rng) -> str:
    return f"{rng.randint(2024, 2028)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"


def join_and(items: list[str]) -> str:
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1]
