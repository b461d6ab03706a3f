"""Scores a checkpoint with a DSpark draft on questions: `python3 -m training.evaluate --model
v4-nano-dspark`.

The engine writes the replies. torch then reads each one and measures how sure the model was of it, and what
its drafts would have been; with --mtp-model, what the MTP block of that checkpoint would have drafted. Prints
a Markdown table by kind.
"""

import argparse
import json
import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import torch

from training.chat_format import DSML, END_THINK, EOS, prompt
from training.checkpoint import load_checkpoint
from training.drafting import Reading, Rounds, path_calibration_error
from training.engine import add_engine_option, replies
from training.tokenizer import Tokenizer

CERTAIN = (
    2.0  # nats between the best token and the next; rounding on another machine does not change such a choice
)
_CALLS = re.compile(
    rf'\n\n<{DSML}tool_calls>\n(<{DSML}invoke name="[^"\n]+">\n'
    rf'(<{DSML}parameter name="[^"\n]+" string="(true|false)">.*?</{DSML}parameter>\n)*</{DSML}invoke>\n)+</{DSML}tool_calls>$',
    re.DOTALL,
)


def contains(text, expected):
    """Whether the reply, reasoning left out, contains what is expected as a whole word."""
    reply = text.split(END_THINK)[-1]
    begins = r"(?<!\w)" if re.match(r"\w", expected, re.ASCII) else ""
    ends = r"(?!\w)" if re.match(r"\w", expected[-1], re.ASCII) else ""
    return re.search(begins + re.escape(expected) + ends, reply) is not None


def is_well_formed_call(text):
    return _CALLS.search(text) is not None


@dataclass
class Score:
    questions: int = 0
    right: int = 0  # replies that contain what is expected
    exact: int = 0  # replies that are what is expected, of those that have a `whole` one
    whole: int = 0
    certain: int = 0  # replies of which every token was CERTAIN
    calls: int = 0
    well_formed: int = 0
    mtp_hits: int = 0
    mtp_guesses: int = 0
    rounds: Rounds = field(default_factory=Rounds)

    def join(self, other):
        for name in (
            "questions",
            "right",
            "exact",
            "whole",
            "certain",
            "calls",
            "well_formed",
            "mtp_hits",
            "mtp_guesses",
        ):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.rounds.join(other.rounds)

    def figures(self):
        """None where there was nothing to count."""

        def share(part, whole):
            return round(part / whole, 4) if whole else None

        return dict(
            questions=self.questions,
            right=share(self.right, self.questions),
            exact=share(self.exact, self.whole),
            certain=share(self.certain, self.questions),
            mtp_acceptance=share(self.mtp_hits, self.mtp_guesses),
            tokens_per_round=share(self.rounds.emitted, self.rounds.count),
            second_choice_rate=share(self.rounds.second_choices, self.rounds.refused),
            well_formed_calls=share(self.well_formed, self.calls),
        )


def margin(reading, start):
    """Least distance between the best and the next logit over the tokens from `start` on."""
    best = reading.logits(start - 1)[:-1].topk(2, -1).values
    return (best[:, 0] - best[:, 1]).min().item()


class Evaluation:
    def __init__(self, folder, mtp_folder):
        self.model, self.draft = load_checkpoint(folder)
        self.mtp_model = load_checkpoint(mtp_folder)[0] if mtp_folder else None
        self.tokenizer = Tokenizer(Path(folder) / "tokenizer.model")

    def score(self, question, prompt_ids, reply):
        ids, start, text = prompt_ids + reply, len(prompt_ids), self.tokenizer.decode(reply)
        score = Score(questions=1, right=contains(text, question["answer"]))
        if "reply" in question:
            score.exact, score.whole = text.removesuffix(EOS).split(END_THINK)[-1] == question["reply"], 1
        reading = Reading(self.model, ids, self.draft)
        score.certain = margin(reading, start) >= CERTAIN
        if question["answer"].startswith("invoke name="):
            score.calls, score.well_formed = 1, is_well_formed_call(text.removesuffix(EOS))
        if self.mtp_model and len(reply) > 2:
            guesses = Reading(self.mtp_model, ids).mtp_tokens()
            hits = [guesses[t] == ids[t + 2] for t in range(start - 1, len(ids) - 2)]
            score.mtp_hits, score.mtp_guesses = sum(hits), len(hits)
        if self.draft and len(reply) > 2:
            score.rounds.add(ids, start, reading.draft_blocks(self.draft, start))
        return score


def table(scores):
    def shown(value):
        return "" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)

    names = list(Score().figures())
    lines = ["| kind | " + " | ".join(name.replace("_", " ") for name in names) + " |"]
    lines.append("|---" * (len(names) + 1) + "|")
    for kind, score in scores.items():
        lines.append(f"| {kind} | " + " | ".join(shown(v) for v in score.figures().values()) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="v4-nano-dspark")
    parser.add_argument("--mtp-model", help="the same main model with its MTP block")
    parser.add_argument("--questions", required=True, help="JSON Lines of training.corpus.questions")
    parser.add_argument(
        "--mode", default="official", choices=["official", "exact"], help="numerics of the replies"
    )
    parser.add_argument("--max-tokens", type=int, default=160)
    parser.add_argument("--report", help="JSON file of the figures")
    parser.add_argument("--threads", type=int, default=2)
    add_engine_option(parser)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    questions = [json.loads(line) for line in open(a.questions, encoding="utf-8")]
    evaluation = Evaluation(a.model, a.mtp_model)
    options = dict(mode=a.mode, max_tokens=a.max_tokens, threads=a.threads)
    lines = replies(a.engine, a.model, questions, **options)
    scores = defaultdict(Score)
    for i, (question, line) in enumerate(zip(questions, lines)):
        text = prompt(question["messages"], "low" if question["thinking"] else "chat")
        score = evaluation.score(question, evaluation.tokenizer.encode(text), line["tokens"])
        scores[question["domain"]].join(score)
        scores["all"].join(score)
        if (i + 1) % 20 == 0:
            print(f"{i + 1}/{len(questions)} questions", flush=True)
    scores["all"] = scores.pop("all")  # the last line of the table
    report = {kind: score.figures() for kind, score in scores.items()}
    print(table(scores))
    if evaluation.draft:
        report["path_calibration_error"] = path_calibration_error(scores["all"].rounds.confidences)
        print(f"\ncalibration error of path probabilities: {report['path_calibration_error']:.3f}")
    if a.report:
        Path(a.report).write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
