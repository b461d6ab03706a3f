"""Held-out questions for evaluation: JSON Lines {domain, messages, answer, reply, thinking}, as
`foretoken-eval generate` reads them. A right reply contains `answer`; `reply` is the whole one.

`python3 -m training.corpus.questions --seed 31337 --count 190 --out held_out.jsonl`
"""

import argparse
import json
import random

from training.chat_format import calls_text, to_json
from training.corpus.conversation import KINDS, question_messages, reply_messages, system_message
from training.corpus.recall import recall

LONG = "recall_long"  # recall from a text of dozens of facts
ATTEMPTS = 50  # to draw a question that is new; closed lists are short


def question(rng, kind, after_call):
    """-> messages up to the reply, what a right reply contains, whether to think. Every second question about
    tools asks for the reply to the result (`after_call`), the others for the call."""
    if kind == LONG:
        item = recall(rng, True, rng.choice([24, 32, 40]))
    else:
        item = KINDS[kind][0](rng, True)
    thinking = item.needs_thinking and not item.task
    system = system_message(item, item.system)
    messages = ([system] if system else []) + question_messages(item)
    expected, reply = item.key, item.final if item.calls else item.answer
    if item.calls and after_call:
        messages += reply_messages(item, "chat")[:-1]
    elif item.calls:
        expected, reply = f'invoke name="{item.calls[0]["function"]["name"]}"', calls_text(item.calls)
    drawn = dict(domain=kind, messages=messages, answer=expected, thinking=thinking)
    return drawn if kind == "story" else dict(drawn, reply=reply)  # a story has no one right text


def held_out_questions(seed, count):
    """As many of each kind, in turns, without repeats as far as there are enough."""
    rng, seen, found = random.Random(seed), set(), []
    kinds = [*KINDS, LONG]
    for i in range(count):
        for _ in range(ATTEMPTS):
            drawn = question(rng, kinds[i % len(kinds)], i // len(kinds) % 2 == 1)
            asked = to_json(drawn["messages"])
            if asked not in seen:
                break
        seen.add(asked)
        found.append(drawn)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=31337)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--out", required=True)
    a = parser.parse_args()
    with open(a.out, "w", encoding="utf-8") as file:
        for line in held_out_questions(a.seed, a.count):
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
