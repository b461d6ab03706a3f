"""What the generated conversations promise: right answers, well-formed data, nothing held out in training.
usage: corpus_test.py"""

import ast
import json
import random
import re
import sys
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data"
sys.path.insert(0, str(ROOT / "models"))

from training.chat_format import MODES
from training.corpus import numbers
from training.corpus.code import fill_in
from training.corpus.conversation import KINDS, FillIn, conversation
from training.corpus.item import is_held
from training.corpus.questions import held_out_questions

DRAWS = 60  # of each kind
TYPES = {"string": str, "integer": int, "boolean": bool, "array": list}


def drawn(kind, held=False):
    rng = random.Random(kind)
    return [conversation(rng, held, kind) for _ in range(DRAWS)]


def obeys(schema, value):
    return set(value) == set(schema["required"]) == set(schema["properties"]) and all(
        isinstance(value[key], TYPES[kind["type"]]) for key, kind in schema["properties"].items()
    )


class CorpusTest(unittest.TestCase):
    def test_a_seed_gives_the_same_conversations(self):
        texts = [
            [c.segments() for c in (conversation(random.Random(3), False) for _ in range(5))] for _ in "ab"
        ]
        self.assertEqual(texts[0], texts[1])

    def test_conversations_end_with_a_reply_in_every_mode(self):
        modes = set()
        for kind in KINDS:
            for one in drawn(kind):
                self.assertEqual(one.messages[-1]["role"], "assistant", kind)
                self.assertTrue(one.segments()[-1][1])
                modes.add(one.mode)
        self.assertEqual(modes, set(MODES))

    def test_sums_are_right_and_reasoned_to_the_same_result(self):
        rng = random.Random(1)
        for held in (False, True):
            for _ in range(500):
                item = numbers.arithmetic(rng, held)
                expression, result = item.answer.split(" = ")
                self.assertEqual(eval(expression), int(result))
                self.assertTrue(item.think.endswith(f"={result}."), item.think)
                for equation in re.findall(r"\d+(?:[-+*/]\d+)+=\d+", item.think + item.check):
                    left, right = equation.split("=")
                    self.assertEqual(eval(left), int(right), item.think)

    def test_held_out_sums_are_not_in_training(self):
        for held in (False, True):
            rng = random.Random(2)
            for _ in range(300):
                a, b = numbers.operands(rng, held, "+")
                self.assertEqual(is_held("+", a, b), held)

    def test_training_never_asks_what_the_evaluation_asks(self):
        lines = (DATA / "nano" / "eval_qa.jsonl").read_text(encoding="utf-8").splitlines()
        held_out = {json.loads(line)["messages"][-1]["content"] for line in lines}
        rng = random.Random(6)
        # Not of closed lists, which are asked in other words; nor of units, where that file was made by another
        # rule.
        for kind in ("arith", "story_math", "compare", "letters", "lists", "copy", "recall", "sql", "json"):
            asked = {KINDS[kind][0](rng, False).user for _ in range(3000)}
            self.assertFalse(asked & held_out, kind)

    def test_python_is_python(self):
        rng = random.Random(4)
        blocks = [m["content"] for c in drawn("python") for m in c.messages if m["role"] == "assistant"]
        for block in re.findall(r"```python\n(.*?)\n```", "\n".join(blocks), re.DOTALL):
            ast.parse(block)
        for _ in range(DRAWS):
            before, after, missing = fill_in(rng, False)
            ast.parse(before + missing + after)
        self.assertTrue(FillIn(before, after, missing).segments()[1][0].startswith(missing))

    def test_json_obeys_its_schema(self):
        for one in drawn("json_schema"):
            schema = one.messages[0]["response_format"]
            self.assertTrue(obeys(schema, json.loads(one.messages[2]["content"])), one.messages)

    def test_tool_calls_obey_the_tools_and_come_in_every_form(self):
        forms = set()
        for one in drawn("tools"):
            tools = {tool["function"]["name"]: tool["function"] for tool in one.messages[0]["tools"]}
            for i, message in enumerate(one.messages):
                calls = message.get("tool_calls", [])
                for call in calls:
                    parameters = tools[call["function"]["name"]]["parameters"]
                    arguments = json.loads(call["function"]["arguments"])
                    self.assertTrue(obeys(parameters, arguments), message)
                    forms.add("several parameters" if len(arguments) > 1 else "one parameter")
                following = [m["role"] for m in one.messages[i + 1 : i + 1 + len(calls)]]
                self.assertEqual(following, ["tool"] * len(calls))
                forms.add({0: "", 1: "one call", 2: "parallel calls"}[len(calls)])
                if message["role"] == "user" and not one.messages[i + 1].get("tool_calls"):
                    forms.add("no call")
        self.assertLessEqual({"several parameters", "one call", "parallel calls", "no call"}, forms)

    def test_earlier_turns_show_no_reasoning_without_tools(self):
        for kind in ("arith", "facts", "chat"):
            for one in drawn(kind):
                replies = [text for text, is_reply in one.segments() if is_reply]
                for reply in replies[:-1]:
                    self.assertNotIn("</think>", reply)

    def test_questions_come_in_all_kinds_and_rarely_twice(self):
        questions = held_out_questions(11, 200)
        self.assertEqual({q["domain"] for q in questions}, {*KINDS, "recall_long"})
        asked = [json.dumps(q["messages"]) for q in questions]
        self.assertGreater(len(set(asked)), 190)
        self.assertEqual(questions, held_out_questions(11, 200))
        for question in questions:
            if question["domain"] != "story":
                self.assertIn(question["answer"], question["reply"])


if __name__ == "__main__":
    unittest.main()
