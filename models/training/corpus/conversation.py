"""Joins items into conversations of one or more turns."""

import random
from dataclasses import dataclass

from training.chat_format import fim_segments, segments
from training.corpus.chinese import chinese
from training.corpus.code import fill_in, json_by_schema, json_object, python, sql
from training.corpus.facts import calendar, facts
from training.corpus.item import Item
from training.corpus.numbers import arithmetic, compare, units, word_problem
from training.corpus.recall import recall
from training.corpus.talk import chat, saying, story, unknown
from training.corpus.tools import tools
from training.corpus.vocabulary import CITIES
from training.corpus.words import copy, letters, lists


def tool_use(rng, held):
    return tools(rng, held, chat)


def quick_instruction(rng, held):
    """What a product asks beside the conversation: whether to search, the domain, a search query."""
    kind = rng.choice(["action", "domain", "query"])
    if kind == "action":
        draw, label = rng.choice([(saying, "Answer"), (saying, "Answer"), (unknown, "Search")])
        return Item(draw(rng, held).user, label, task="action")
    if kind == "domain":
        draw, label = rng.choice(
            [
                *((arithmetic, "math"), (python, "code"), (sql, "code"), (facts, "knowledge")),
                *((letters, "language"), (calendar, "time")),
            ]
        )
        return Item(draw(rng, held).user, label, task="domain")
    city = rng.choice(CITIES)
    what = rng.choice(["weather", "news", "mayor", "population", "museums", "hotels"])
    question = rng.choice([f"I want to know the {what} of {city}", f"Can you find the {what} of {city}?"])
    return Item(question, f"{what} {city}", task="query")


# Kind of question -> (what draws it, its share)
KINDS = {
    "arith": (arithmetic, 16),
    "story_math": (word_problem, 7),
    "compare": (compare, 7),
    "units": (units, 3),
    "letters": (letters, 10),
    "lists": (lists, 9),
    "copy": (copy, 7),
    "recall": (recall, 20),
    "python": (python, 2.5),
    "sql": (sql, 2),
    "json": (json_object, 6),
    "json_schema": (json_by_schema, 3),
    "calendar": (calendar, 6),
    "facts": (facts, 12),
    "story": (story, 3),
    "chat": (chat, 7),
    "chinese": (chinese, 3),
    "tools": (tool_use, 4),
    "task": (quick_instruction, 1),
}
FILL_IN_SHARE = 0.015
ALONE = ("tools", "task", "json_schema")  # kinds that are never a later turn of another conversation
LONGEST_LATER_QUESTION = 300  # characters

SYSTEM_MESSAGES = [
    "You are a helpful assistant.",
    "You are v4-nano, a small and helpful assistant.",
    "You are a helpful assistant. Answer briefly.",
    "Answer the user's questions.",
    "You are a concise assistant.",
]


@dataclass
class Conversation:
    messages: list
    mode: str  # one of chat_format.MODES

    def segments(self):
        return segments(self.messages, self.mode)


@dataclass
class FillIn:
    before: str
    after: str
    missing: str

    def segments(self):
        return fim_segments(self.before, self.after, self.missing)


def draw_kind(rng):
    return rng.choices(list(KINDS), [share for _, share in KINDS.values()])[0]


def question_messages(item):
    question = dict(role="user", content=item.user)
    if item.task:
        question["task"] = item.task
    return item.before + [question]


def reasoning(item, mode):
    text = item.think or "This is easy."
    return f"{text} {item.check}" if mode == "max" and item.check else text


def reply_messages(item, mode):
    first = dict(role="assistant", content=item.answer, reasoning_content=reasoning(item, mode))
    if not item.calls:
        return [first]
    first["tool_calls"] = item.calls
    results = [dict(role="tool", content=result) for result in item.results]
    last = dict(role="assistant", content=item.final, reasoning_content="The tool gave a result.")
    return [first, *results, last]


def system_message(item, text):
    """The first message, or None where there is nothing to say."""
    if item.tools:
        return dict(role="system", content=text or "You are a helpful assistant.", tools=item.tools)
    if item.schema:
        return dict(role="system", content=text, response_format=item.schema)
    return dict(role="system", content=text) if text else None


def turns(rng, held, kind, recall_entries):
    """The questions of one conversation. One that needs reasoning is the last, for only the last turn shows
    its reasoning."""
    first = recall(rng, held, recall_entries) if kind == "recall" else KINDS[kind][0](rng, held)
    if first.more:
        return [first, *first.more]
    items = [first]
    if kind in ALONE:
        return items
    for _ in range(rng.randrange(5)):
        if items[-1].needs_thinking:
            break
        later = draw_kind(rng)
        item = KINDS[later][0](rng, held)
        if later not in ALONE and len(item.user) <= LONGEST_LATER_QUESTION:
            items.append(item)
    return items


def conversation(rng, held, kind=None, recall_entries=None):
    """A whole conversation, the last message a reply. `recall_entries`: ask about a text with so many
    facts."""
    if kind is None and recall_entries is None and rng.random() < FILL_IN_SHARE:
        return FillIn(*fill_in(rng, held))
    kind = "recall" if recall_entries else kind or draw_kind(rng)
    items = turns(rng, held, kind, recall_entries)
    mode = "chat"
    if kind != "task" and (items[-1].needs_thinking or rng.random() < 0.25):
        mode = rng.choices(["low", "high", "max"], [8, 1, 1])[0]
    text = rng.choice(SYSTEM_MESSAGES) if rng.random() < 0.3 else ""
    if len(items) == 1 and items[0].system:
        text = items[0].system
    system = system_message(items[0], text)
    messages = [system] if system else []
    for item in items:
        messages += question_messages(item) + reply_messages(item, mode)
    return Conversation(messages, mode)


def print_some(count, seed, kind, held):
    rng = random.Random(seed)
    for _ in range(count):
        drawn = conversation(rng, held, kind)
        print("".join(f"[{text}]" if is_reply else text for text, is_reply in drawn.segments()), "\n")
