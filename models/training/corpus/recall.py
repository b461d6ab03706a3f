"""Questions about a text that the user gives."""

from training.corpus.item import Item, name, one_of, several, until, word
from training.corpus.vocabulary import ANIMALS, CITIES, COLORS, DAYS, HOBBIES, JOBS, MONTHS, NAMES, WORDS

FURTHER_QUESTIONS = 5


def _digits(rng, held, least, most, kind):
    draw = lambda: "".join(rng.choice("0123456789") for _ in range(rng.randint(least, most)))
    return until(rng, held, draw, kind)


FILLER = [
    "The weather was {a} and the {w} was {c}.",
    "Nobody saw the {w} near the {v}.",
    "A {c} {w} stood next to the {v}.",
    "{n} walked to the {w} and came back late.",
    "It was {d} and the {w} was closed.",
    "The {v} is {a} than the {w}.",
    "{n} and {m} talked about the {w} for hours.",
    "There were {k} {w}s on the {v}.",
    "In {t} the {w} is often {a}.",
    "{n} painted the {v} {c}.",
]


def filler(rng):
    return one_of(
        rng,
        FILLER,
        a=rng.choice(["cold", "warm", "nice", "old", "calm", "strange"]),
        w=rng.choice(WORDS),
        v=rng.choice(WORDS),
        c=rng.choice(COLORS),
        n=rng.choice(NAMES),
        m=rng.choice(NAMES),
        d=rng.choice(DAYS),
        k=rng.randint(2, 30),
        t=rng.choice(MONTHS),
    )


# Each kind -> (text, what stands between text and question, [(question, answer, key, what to look for)])


def table(rng, held, entries):
    keys = several(rng, word, entries, held)
    rows = [(key, _digits(rng, held, 3, 5, "code")) for key in keys]
    ask = ["What is the value of {k}?", "What number belongs to {k}?", "What is the code for {k}?"]
    text = rng.choice(["Here is a table.\n", "", "Remember these codes:\n"])
    text += "\n".join(f"{key}: {value}" for key, value in rows)
    return text, "\n", [(one_of(rng, ask, k=k), v, v, f"{k}: {v}") for k, v in rows]


def homes(rng, held, entries):
    rows = [(who, rng.choice(CITIES)) for who in several(rng, name, min(entries, 60), held)]
    ask = ["Where does {n} live?", "In which city does {n} live?"]
    text = " ".join(f"{who} lives in {city}." for who, city in rows)
    return text, " ", [(one_of(rng, ask, n=n), f"{n} lives in {c}.", c, f"{n}: {c}") for n, c in rows]


def needle(rng, held, entries):
    sentences, questions = [filler(rng) for _ in range(entries)], []
    for what in rng.sample(["secret code", "password", "door number", "magic number"], rng.choice([1, 1, 2])):
        value = _digits(rng, held, 6, 10, "pk")
        sentences.insert(rng.randrange(len(sentences) + 1), f"The {what} is {value}.")
        questions.append((f"What is the {what}?", f"The {what} is {value}.", value, f"the {what}: {value}"))
    return " ".join(sentences), "\n\n", questions


def people(rng, held, entries):
    text, questions = [], []
    for who in several(rng, name, min(max(2, entries // 3), 40), held):
        age, job, city = rng.randint(18, 80), rng.choice(JOBS), rng.choice(CITIES)
        pet, hobby = rng.choice(ANIMALS), rng.choice(HOBBIES)
        text.append(f"{who} is a {age} year old {job} from {city} who likes {hobby} and has a {pet}.")
        for question, answer, key in [
            (f"How old is {who}?", f"{who} is {age} years old.", str(age)),
            (f"What is {who}'s job?", f"{who} is a {job}.", job),
            (f"Where is {who} from?", f"{who} is from {city}.", city),
            (f"What pet does {who} have?", f"{who} has a {pet}.", pet),
            (f"What does {who} like?", f"{who} likes {hobby}.", hobby),
        ]:
            questions.append((question, answer, key, f"{who}: {key}"))
    return " ".join(text), rng.choice([" ", "\n\n"]), questions


def variables(rng, held, entries):
    letters = rng.sample("abcdefghijklmnopqrstuvwxyz", min(entries, 26))
    rows = [(x, str(until(rng, held, lambda: rng.randint(0, 999), "reg"))) for x in letters]
    ask = ["What is {x}?", "Give me the value of {x}?"]
    text = "\n".join(f"{x} = {v}" for x, v in rows)
    return text, "\n", [(one_of(rng, ask, x=x), f"{x} = {v}", v, f"{x}: {v}") for x, v in rows]


def colors(rng, held, entries):
    rows = [(thing, rng.choice(COLORS)) for thing in several(rng, word, entries, held)]
    text = " ".join(f"The {thing} is {color}." for thing, color in rows)
    return text, " ", [(f"What color is the {t}?", f"The {t} is {c}.", c, f"the {t}: {c}") for t, c in rows]


def recall(rng, held, entries=None):
    """`entries`: about how many facts the text has."""
    entries = entries or rng.choice([2, 3, 3, 4, 5, 6, 8, 10, 14])
    kind = rng.choice([table, homes, needle, people, variables, colors])
    text, between, questions = kind(rng, held, entries)
    rng.shuffle(questions)
    items = [Item(q, answer, key, f"Look for {found}.") for q, answer, key, found in questions]
    first = items[0]
    first.user = text + between + first.user
    first.more = items[1 : 1 + FURTHER_QUESTIONS]
    return first
