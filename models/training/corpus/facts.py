"""Days and dates, and questions that facts.json answers. Held-out questions ask for the same facts in other
words."""

import json
from pathlib import Path

from training.corpus.item import Item, capitalized, one_of, until, with_article
from training.corpus.vocabulary import DAYS, DAYS_OF_MONTH, MONTHS
from training.corpus.words import ORDINALS

FACTS = json.loads((Path(__file__).parent / "facts.json").read_text(encoding="utf-8"))


def day_in(rng, held):
    day, count = until(rng, held, lambda: (rng.randrange(7), rng.randint(2, 14)), "cal")
    asks = ["Today is {d}. What day is it in {n} days?", "If today is {d}, what day will it be in {n} days?"]
    result = DAYS[(day + count) % 7]
    reasoning = " ".join(f"{i}:{DAYS[(day + i) % 7]}" for i in range(1, count + 1))
    question = one_of(rng, asks, d=DAYS[day], n=count)
    return Item(question, f"It will be {result}.", result, reasoning, needs_thinking=True)


def _neighbour(rng, names, question):
    i, (where, step) = rng.randrange(len(names)), rng.choice([("after", 1), ("before", -1)])
    result = names[(i + step) % len(names)]
    return Item(question.format(w=where, x=names[i]), f"{result} comes {where} {names[i]}.", result)


def day_beside(rng, held):
    return _neighbour(rng, DAYS, "What day comes {w} {x}?")


def month_beside(rng, held):
    return _neighbour(rng, MONTHS, "Which month comes {w} {x}?")


def month_length(rng, held):
    month = rng.randrange(12)
    days = str(DAYS_OF_MONTH[month])
    answer = (
        f"{MONTHS[month]} has {days} days." if month != 1 else "February has 28 days, or 29 in a leap year."
    )
    return Item(f"How many days does {MONTHS[month]} have?", answer, days)


def time_in(rng, held):
    draw = lambda: (rng.randint(0, 22), rng.randrange(0, 60, 5), rng.randrange(5, 60, 5))
    hour, minute, more = until(rng, held, draw, "t")
    total = minute + more
    result = f"{hour + total // 60:02d}:{total % 60:02d}"
    reasoning = f"{minute}+{more}={total}."
    if total >= 60:
        reasoning += f" {total}-60={total - 60}, next hour {hour + 1:02d}."
    else:
        reasoning += f" Same hour {hour:02d}."
    question = f"It is {hour:02d}:{minute:02d}. What time will it be in {more} minutes?"
    return Item(question, f"It will be {result}.", result, reasoning, needs_thinking=True)


def leap_year(rng, held):
    year = until(rng, held, lambda: rng.randint(1900, 2100), "ly")
    is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    answer = f"Yes, {year} is a leap year." if is_leap else f"No, {year} is not a leap year."
    reasoning = f"{year} / 4 leaves {year % 4}." + (" It ends in 00." if year % 100 == 0 else "")
    return Item(f"Is {year} a leap year?", answer, answer.split(",")[0], reasoning)


def iso_date(rng, held):
    month, day = until(rng, held, lambda: (rng.randrange(12), rng.randint(1, 27)), "dt")
    year = rng.randint(2000, 2035)
    asks = ["Write {m} {d}, {y} as YYYY-MM-DD.", "Convert the date {m} {d}, {y} to ISO format."]
    question = one_of(rng, asks, m=MONTHS[month], d=day, y=year)
    return Item(question, f"{year}-{month + 1:02d}-{day:02d}", think=f"{MONTHS[month]} is month {month + 1}.")


def calendar(rng, held):
    kinds = [day_in, day_beside, month_beside, month_length, time_in, leap_year, iso_date]
    return rng.choice(kinds)(rng, held)


def capital(rng, held):
    country, city = rng.choice(list(FACTS["capitals"].items()))
    if not held and rng.random() < 0.2:
        asks = ["{t} is the capital of which country?", "Which country has {t} as its capital?"]
        return Item(one_of(rng, asks, t=city), f"{city} is the capital of {country}.", country)
    asks = [
        *("What is the capital of {c}?", "Which city is the capital of {c}?", "Name the capital of {c}."),
        *("capital of {c}?", "What's the capital city of {c}?"),
    ]
    question = one_of(rng, ["Tell me the capital of {c}, please."] if held else asks, c=country)
    answer = f"The capital of {country} is {city}."
    return Item(question, answer, city, answer)


def element(rng, held):
    e = rng.choice(FACTS["elements"])
    asked = rng.choices(["number", "name", "symbol"], [30, 28, 42])[0]
    held_ask, asks, answer, key = {
        "number": (
            "Tell me the atomic number of {name}.",
            ["What is the atomic number of {name}?", "Which atomic number does {name} have?"],
            "The atomic number of {name} is {number}.",
            "{number}",
        ),
        "name": (
            "Name the element with the symbol {symbol}.",
            ["Which element has the symbol {symbol}?", "What element is {symbol}?"],
            "{symbol} is the symbol for {name}.",
            "{name}",
        ),
        "symbol": (
            "Tell me the symbol for {name}.",
            ["What is the chemical symbol for {name}?", "What's the symbol of {name}?"],
            "The chemical symbol for {name} is {symbol}.",
            " {symbol}.",
        ),
    }[asked]
    return Item(one_of(rng, [held_ask] if held else asks, **e), answer.format(**e), key.format(**e))


def opposite(rng, held):
    a, b = rng.choice(list(FACTS["opposites"].items()))
    asks = ['What is the opposite of "{a}"?', "What's the antonym of {a}?", "Opposite of {a}?"]
    question = one_of(rng, ['Give me the opposite of "{a}".'] if held else asks, a=a)
    return Item(question, f'The opposite of "{a}" is "{b}".', f'"{b}"')


def limbs(rng, held):
    animal, count_and_part = rng.choice(list(FACTS["limbs"].items()))
    count, part = count_and_part.split()
    question = "Tell me how many {p} {a} has." if held else "How many {p} does {a} have?"
    return Item(question.format(p=part, a=animal), f"{capitalized(animal)} has {count} {part}.", count)


def young(rng, held):
    animal, called = rng.choice(list(FACTS["young"].items()))
    question = "What is the name for a young {a}?" if held else "What do you call a baby {a}?"
    return Item(question.format(a=animal), f"A baby {animal} is called {with_article(called)}.", called)


def planet(rng, held):
    i = rng.randrange(8)
    planet_name = FACTS["planets"][i]
    question = "Name the {o} planet from the Sun." if held else "Which planet is the {o} from the Sun?"
    answer = f"The {ORDINALS[i]} planet from the Sun is {planet_name}."
    return Item(question.format(o=ORDINALS[i]), answer, planet_name)


def general(rng, held):
    fact = rng.choice(FACTS["questions"])
    question = fact["question"]
    if held:
        question = "Quick question: " + question[0].lower() + question[1:]
    return Item(question, fact["answer"], fact["key"])


def definition(rng, held):
    thing, meaning = rng.choice(list(FACTS["definitions"].items()))
    named = thing if thing in ("energy", "gravity", "democracy") else with_article(thing)
    asks = ["What is {w}?", "Define {w}.", "What does {w} mean?", "Explain what {w} is."]
    question = one_of(rng, ["Please explain the word {w}."] if held else asks, w=named)
    return Item(question, f"{capitalized(named)} is {meaning}.", meaning)


def facts(rng, held):
    kinds = [capital, element, opposite, limbs, young, planet, general, definition]
    return rng.choices(kinds, [4, 2, 2, 1, 1, 1, 2, 1])[0](rng, held)
