"""Runs foretoken-eval: replies of an exported checkpoint, faster than torch could generate them."""

import json
import subprocess
import tempfile
from pathlib import Path

DEFAULT = Path(__file__).resolve().parents[2] / "build" / "release" / "bin" / "foretoken-eval"


def add_engine_option(parser):
    parser.add_argument("--engine", default=DEFAULT, help="the program foretoken-eval")


def replies(engine, model, prompts, **options):
    """prompts: one JSON value each, as `foretoken-eval generate` reads them -> its output lines, one each. An
    option that is True is a flag."""
    with tempfile.TemporaryDirectory() as folder:
        questions, out = Path(folder) / "prompts.jsonl", Path(folder) / "replies.jsonl"
        questions.write_text("".join(json.dumps(p) + "\n" for p in prompts), encoding="utf-8")
        words = [engine, "generate", "--model", model, "--prompts", questions, "--out", out]
        for name, value in options.items():
            words += [f"--{name.replace('_', '-')}"] + ([] if value is True else [value])
        subprocess.run([str(word) for word in words], check=True, stdout=subprocess.DEVNULL)
        return [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
