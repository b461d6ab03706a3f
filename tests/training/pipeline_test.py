"""The commands of models/training/README.md in order on tiny settings, and the engine beside torch on what
they export.

usage: pipeline_test.py FORETOKEN_EVAL
"""

import contextlib
import io
import json
import random
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from xml.etree import ElementTree

MODELS = Path(__file__).resolve().parents[2] / "models"
GOLDENS = MODELS.parent / "tests" / "data" / "nano" / "nano_goldens.json"
sys.path.insert(0, str(MODELS))
try:
    import torch
    import sentencepiece  # noqa: F401, which training.tokenizer imports
    import numpy
except ImportError as missing:
    print(f"SKIPPED: {missing}; apt-get install python3-torch python3-numpy python3-sentencepiece")
    sys.exit(0)

from training import published_format, safetensors_file
from training.checkpoint import load_checkpoint
from training.config import nano_config, with_draft
from training.corpus.conversation import KINDS, conversation
from training.export import write_checkpoint
from training.run import read_log
from training.tokenizer import Tokenizer
from training.train_draft import features

ENGINE = sys.argv.pop(1)
TOLERANCE = 2e-3  # of logits: both sides are float32, in other orders of summation
torch.set_num_threads(1)


def training(command, *arguments):
    words = [sys.executable, "-m", f"training.{command}", *map(str, arguments)]
    done = subprocess.run(words, cwd=MODELS, capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(f"{' '.join(words)}\n{done.stderr}")
    return done.stdout


def engine(command, **options):
    words = [ENGINE, command]
    for name, value in options.items():
        words += [f"--{name}", str(value)]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


class Pipeline(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = folder = Path(cls.temporary.name)
        tokenizer = MODELS / "v4-nano" / "tokenizer.model"
        sizes = "--tokens 2e5 --length 256 --long-tokens 4e4 --long-length 512 --valid-tokens 1e4 --shards 2"
        training("build_data", "--out", folder / "data", "--tokenizer", tokenizer, *sizes.split())
        cls.model = "--size tiny --steps 24 --tokens 512 --warmup 4 --report-every 2 --threads 1".split()
        cls.model += ["--data", folder / "data"]
        training("train_model", *cls.model, "--out", folder / "model.pt")
        draft = "--steps 12 --tokens 512 --warmup 2 --report-every 1 --threads 1".split()
        draft += ["--model", folder / "model.pt", "--data", folder / "data", "--out", folder / "draft.pt"]
        training("train_draft", *draft)
        drafted = ["--model", folder / "model.pt", "--draft", folder / "draft.pt"]
        training("calibrate", *drafted, "--data", folder / "data", "--rows", 4, "--threads", 1)
        drafted += ["--tokenizer", folder / "data" / "tokenizer.model"]
        training("export", *drafted, "--out", folder / "tiny", "--out-draft", folder / "tiny-dspark")
        rng = random.Random(5)
        drawn = [tokenizer_ids(tokenizer, conversation(rng, True)) for _ in range(40)]
        # Up to several windows and blocks of the 128:1 compression, and more entries than the indexer keeps.
        cls.sequences = sorted(drawn, key=len)[::6] + [sum(drawn, [])[:400]]
        cls.tokens = folder / "tokens.json"
        cls.tokens.write_text(json.dumps(cls.sequences))

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def assert_close(self, engine_values, torch_values, what):
        difference = numpy.abs(engine_values - torch_values.numpy()).max()
        self.assertLess(difference, TOLERANCE, what)

    def test_losses_fall(self):
        for run in ("model.pt", "draft.pt"):
            losses = [line["objective"] for line in read_log(self.folder / run) if "objective" in line]
            third = len(losses) // 3
            self.assertLess(sum(losses[-third:]), 0.85 * sum(losses[:third]), run)

    def test_a_resumed_run_equals_one_without_a_break(self):
        out = ["--out", self.folder / "resumed.pt"]
        training("train_model", *self.model, *out, "--until", 13)
        training("train_model", *self.model, *out, "--resume")
        whole, resumed = (torch.load(self.folder / name) for name in ("model.pt", "resumed.pt"))
        for name, weight in whole["average"].items():
            self.assertTrue(torch.equal(weight, resumed["average"][name]), name)

    def test_a_run_is_not_overwritten(self):
        with self.assertRaisesRegex(AssertionError, "model.pt exists: continue it with --resume"):
            training("train_model", *self.model, "--out", self.folder / "model.pt")

    def test_the_engine_computes_the_logits_of_torch(self):
        model, _ = load_checkpoint(self.folder / "tiny")
        out = self.folder / "logits.safetensors"
        engine("logits", model=self.folder / "tiny", tokens=self.tokens, mode="exact", threads=1, out=out)
        found = safetensors_file.read(out)
        for i, ids in enumerate(self.sequences):
            padded = model.padded(torch.tensor([ids]))
            expected = model.logits(model.streams(padded)[0])[0, : len(ids)]
            self.assert_close(found[f"logits.{i}"][1], expected, f"sequence {i}, {len(ids)} tokens")

    def test_the_engine_drafts_as_torch_does(self):
        model, draft = load_checkpoint(self.folder / "tiny-dspark")
        out = self.folder / "draft.safetensors"
        checkpoint = self.folder / "tiny-dspark"
        engine("draft", model=checkpoint, tokens=self.tokens, mode="exact", threads=1, out=out)
        found = safetensors_file.read(out)
        for i, ids in enumerate(self.sequences):
            anchor = torch.tensor(found[f"anchor.{i}"][1]).long()
            padded = model.padded(torch.tensor([ids]))
            taps, _ = features(model, padded, draft.config.dspark_target_layer_ids)
            place = torch.tensor([len(ids)])
            hidden = draft.block(draft.context(taps), torch.zeros_like(place), place, anchor, model.embed)
            self.assert_close(found[f"base_logits.{i}"][1], draft.base_logits(hidden, model.head)[0], i)
            tokens, confidence = draft.greedy(hidden, anchor, model.head)
            self.assertEqual(found[f"tokens.{i}"][1].tolist(), tokens[0].tolist())
            self.assert_close(found[f"confidence.{i}"][1], confidence[0], i)

    def test_the_engine_runs_the_mtp_block_as_torch_does(self):
        model, _ = load_checkpoint(self.folder / "tiny")
        out = self.folder / "mtp.safetensors"
        engine("draft", model=self.folder / "tiny", tokens=self.tokens, mode="exact", threads=1, out=out)
        found = safetensors_file.read(out)
        for i, ids in enumerate(self.sequences):
            padded = model.padded(torch.tensor([ids]))
            streams = model.mtp_streams(model.streams(padded)[0], padded)
            expected = model.logits(streams, model.mtp[0])[0, : len(ids) - 1]
            self.assert_close(found[f"mtp_logits.{i}"][1][:-1], expected, f"sequence {i}")

    def test_prompts_are_those_of_the_engine(self):
        rng, cases, expected = random.Random(7), [], []
        for kind in [*KINDS] * 8:
            drawn = conversation(rng, False, kind)
            mode = "chat" if drawn.mode == "chat" else "thinking"
            effort = None if drawn.mode == "chat" else drawn.mode
            settings = dict(thinking_mode=mode, reasoning_effort=effort)
            cases.append(dict(id=len(cases), messages=drawn.messages, kwargs=settings, profile="0731"))
            expected.append("".join(text for text, _ in drawn.segments()))
        path = self.folder / "cases.jsonl"
        path.write_text("".join(json.dumps(case) + "\n" for case in cases))
        for line, text in zip(engine("encode", cases=path).splitlines(), expected):
            self.assertEqual(json.loads(line).get("prompt"), text)

    def test_an_evaluation_reads_every_reply(self):
        questions, report = self.folder / "questions.jsonl", self.folder / "report.json"
        training("corpus.questions", "--count", 20, "--out", questions)
        limits = ["--max-tokens", 12, "--threads", 1, "--engine", ENGINE, "--questions", questions]
        checkpoints = ["--model", self.folder / "tiny-dspark", "--mtp-model", self.folder / "tiny"]
        printed = training("evaluate", *checkpoints, *limits, "--report", report)
        found = json.loads(report.read_text())
        self.assertEqual(found["all"]["questions"], 20)
        self.assertTrue(1.0 <= found["all"]["tokens_per_round"] <= 6.0)
        for kind in found:
            if kind != "path_calibration_error":
                self.assertIn(f"| {kind} |", printed)

    def test_figures_show_every_run(self):
        drawn, compared = self.folder / "curves.svg", self.folder / "optimizers.svg"
        training("draw_run", self.folder / "model.pt", self.folder / "draft.pt", "--out", drawn)
        settings = ["--steps", 3, "--tokens", 256, "--threads", 1, "--adamw-rates", "3e-3", "--out", compared]
        training(
            "compare_optimizers", "--data", self.folder / "data", "--runs", self.folder / "runs", *settings
        )
        for figure, names in [(drawn, ["model", "draft, held out"]), (compared, ["Muon", "AdamW"])]:
            texts = [element.text or "" for element in ElementTree.parse(figure).iter()]
            for name in names:
                self.assertTrue(any(text.startswith(name) for text in texts), f"{figure}: {name}")

    def test_golden_outputs_are_what_the_engine_writes(self):
        items = json.loads(GOLDENS.read_text())["items"]
        prompts, out = self.folder / "prompts.json", self.folder / "goldens.json"
        prompts.write_text(json.dumps(dict(items=items[:2])))
        checkpoints = ["--model", self.folder / "tiny", "--draft-model", self.folder / "tiny-dspark"]
        files = ["--prompts", prompts, "--out", out, "--engine", ENGINE]
        training("golden_outputs", *checkpoints, *files, "--threads", 1)
        recorded = json.loads(out.read_text())["items"]
        asked = self.folder / "asked.jsonl"
        asked.write_text("".join(json.dumps(dict(tokens=item["prompt_ids"])) + "\n" for item in recorded))
        replies = self.folder / "replies.jsonl"
        limits = ["--max-tokens", "64", "--ignore-eos", "--mode", "exact", "--threads", "1"]
        words = [ENGINE, "generate", "--model", self.folder / "tiny", "--prompts", asked, "--out", replies]
        subprocess.run([*words, *limits], check=True, capture_output=True)
        for item, line in zip(recorded, replies.read_text().splitlines()):
            self.assertEqual(json.loads(line)["tokens"], item["greedy_ids"])
            self.assertEqual(len(item["dspark_draft"]), 64)
            self.assertEqual(len(item["mtp_argmax"]), 64)

    def test_recorded_outputs_of_the_shipped_model_are_computed_again(self):
        recorded = json.loads(GOLDENS.read_text())["items"][:2]
        prompts, out = self.folder / "shipped_prompts.json", self.folder / "shipped.json"
        prompts.write_text(json.dumps(dict(items=recorded)))
        training("golden_outputs", "--prompts", prompts, "--out", out, "--engine", ENGINE, "--threads", 1)
        for before, now in zip(recorded, json.loads(out.read_text())["items"]):
            for name, value in before.items():
                if name in ("top2_gap", "logprob_sum", "dspark_confidence_logit"):
                    difference = numpy.abs(numpy.array(value) - numpy.array(now[name])).max()
                    self.assertLess(difference, TOLERANCE, name)
                else:
                    self.assertEqual(now[name], value, name)

    def test_every_command_of_the_readme_is_run_here(self):
        told = re.findall(r"python3 -m training\.([\w.]+)", (MODELS / "training" / "README.md").read_text())
        run = re.findall(r'training\(\s*"([\w.]+)"', Path(__file__).read_text())
        self.assertLessEqual(set(told) - {"corpus"}, set(run))  # corpus prints; corpus_test.py draws them

    def test_shipped_checkpoints_are_written_as_they_were_read(self):
        for name, config in [("v4-nano", nano_config()), ("v4-nano-dspark", with_draft(nano_config()))]:
            shipped, written = MODELS / name, self.folder / name
            model, draft = load_checkpoint(shipped)
            tensors = published_format.encode(model)
            if draft is not None:
                tensors = {**tensors, **published_format.encode(draft)}
            with contextlib.redirect_stdout(io.StringIO()):
                write_checkpoint(written, config, tensors, shipped / "tokenizer.model")
            for file in sorted(shipped.iterdir()):
                if file.name != "model.safetensors":
                    self.assertEqual((written / file.name).read_bytes(), file.read_bytes(), file)
            # The same numbers may have several scales; the weights are the same ones.
            again, draft_again = load_checkpoint(written)
            for before, now in [(model, again), (draft, draft_again)]:
                for key, value in before.state_dict().items() if before is not None else []:
                    self.assertTrue(torch.equal(value, now.state_dict()[key]), key)
            layouts = [safetensors_file.read(folder / "model.safetensors") for folder in (shipped, written)]
            self.assertEqual(
                *[{key: (dtype, a.shape) for key, (dtype, a) in found.items()} for found in layouts]
            )


def tokenizer_ids(path, drawn):
    return Tokenizer(path).encode("".join(text for text, _ in drawn.segments()))


if __name__ == "__main__":
    unittest.main()
