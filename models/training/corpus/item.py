"""One question with its answer, and drawing what questions are about.

Closed lists, numbers and invented words are split by a hash with the kind of question: `held` draws from the
tenth that training never sees, so that held-out questions are about what was not learned by heart. The kinds'
names are part of the split: with another name, training would see questions of tests/data/nano/eval_qa.jsonl.
"""

import zlib
from dataclasses import dataclass, field
from typing import Optional

from training.corpus.vocabulary import NAMES, WORDS


@dataclass
class Item:
    user: str
    answer: str
    key: str = ""  # what a right reply contains; the whole answer if empty
    think: str = ""
    needs_thinking: bool = False  # hardly answered right without
    check: str = ""  # what maximal effort adds to `think`
    before: list = field(default_factory=list)  # messages that come first
    system: str = ""  # a system message that belongs to the question
    schema: Optional[dict] = None  # the JSON schema that the answer obeys
    more: list = field(default_factory=list)  # further items on the same text or tools
    task: str = ""  # the quick instruction that the question is for
    tools: list = field(default_factory=list)  # offered
    calls: list = field(default_factory=list)  # made, instead of `answer`
    results: list = field(default_factory=list)  # one JSON text per call
    final: str = ""  # the reply to the results

    def __post_init__(self):
        self.key = self.key or self.answer


def is_held(*key):
    return zlib.crc32("|".join(map(str, key)).encode()) % 10 == 0


def until(rng, held, draw, *kind):
    """Draws until the hash of `kind` and the value is in the wanted split."""
    while True:
        value = draw()
        parts = value if isinstance(value, (tuple, list)) else (value,)
        if is_held(*kind, *parts) == held:
            return value


def one_of(rng, templates, **values):
    return rng.choice(templates).format(**values)


def invented(rng):
    """A word that can be pronounced and means nothing."""
    syllables = rng.choice([1, 2, 2, 3])
    ends = ["", "", "", "n", "r", "l", "s"]
    return "".join(
        rng.choice("bcdfghjklmnprstvwz") + rng.choice("aeiou") + rng.choice(ends) for _ in range(syllables)
    )


def word(rng, held):
    return until(rng, held, lambda: invented(rng) if rng.random() < 0.1 else rng.choice(WORDS), "pick")


def name(rng, held):
    """A first name; many are invented, so that copying one does not become a choice from a list."""
    draw = lambda: invented(rng).capitalize() if rng.random() < 0.4 else rng.choice(NAMES)
    return until(rng, held, draw, "pick")


def several(rng, draw, count, held):
    """Different values of draw(rng, held), at least one of them held out if `held`."""
    values = []
    while len(values) < count:
        value = draw(rng, held and not values)
        if value not in values:
            values.append(value)
    rng.shuffle(values)
    return values


def with_article(noun):
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def capitalized(text):
    return text[0].upper() + text[1:]
