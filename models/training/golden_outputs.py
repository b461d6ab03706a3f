"""Writes what torch computes on a checkpoint, for the tests: `python3 -m training.golden_outputs`.

By default the prompts are those of tests/data/nano/nano_goldens.json, whose outputs are replaced: this is the
command after the shipped checkpoints change. The engine only guesses the continuation; each of its tokens
must be what torch would have chosen, and where one is not, torch's token is put there and the engine asked
again.
"""

import argparse
import json
from pathlib import Path

import torch

from training import safetensors_file
from training.checkpoint import load_checkpoint
from training.config import EOS_ID
from training.drafting import Reading
from training.engine import add_engine_option, replies
from training.tokenizer import Tokenizer

ROOT = Path(__file__).resolve().parents[2]
LENGTH = 64  # of a continuation

NOTE = (
    "Reference outputs of v4-nano: float32 arithmetic on the dequantised exported weights, no activation, KV or indexer "
    "quantisation. greedy_ids are 64 tokens, not stopped at end of sentence (eos_at tells where it is). top2_gap[i] is the "
    "difference of the two largest logits when greedy_ids[i] was chosen. logit_positions index prompt_ids+greedy_ids; the rows "
    "are in the safetensors file as logits.<id>. mtp_argmax[i]: argmax of the MTP head fed the state at position "
    "len(prompt)-1+i and the next token. dspark_draft[i]: greedy draft with anchor at position len(prompt)+i. Where topk_active "
    "is true the indexer leaves entries out; entries with equal index scores (often exactly 0) may then be chosen differently, "
    "which moves logits by about 0.01."
)


def first_difference(logits, prompt, guess):
    """-> (place in `guess`, the token that torch chooses there), or None"""
    chosen = logits[len(prompt) - 1 : len(prompt) - 1 + len(guess)].argmax(-1).tolist()
    return next(((i, c) for i, (c, g) in enumerate(zip(chosen, guess)) if c != g), None)


def continuation(model, folder, engine, prompt, guess):
    """-> (the LENGTH tokens that torch chooses greedily, the reading of prompt and continuation)"""
    while True:
        reading = Reading(model, prompt + guess)
        difference = first_difference(reading.logits(), prompt, guess)
        if difference is None:
            return guess, reading
        place, token = difference
        kept = guess[:place] + [token]
        options = dict(mode="exact", max_tokens=max(1, LENGTH - len(kept)), ignore_eos=True, drafter="none")
        (line,) = replies(engine, folder, [dict(tokens=prompt + kept)], **options)
        guess = (kept + line["tokens"])[:LENGTH]


class Recorder:
    def __init__(self, folder, draft_folder, engine):
        self.folder, self.engine = folder, engine
        self.model, _ = load_checkpoint(folder)
        self.draft_model, self.draft = load_checkpoint(draft_folder)
        self.tokenizer = Tokenizer(Path(folder) / "tokenizer.model")

    def guesses(self, prompts):
        options = dict(mode="exact", max_tokens=LENGTH, ignore_eos=True, drafter="none")
        return [line["tokens"] for line in replies(self.engine, self.folder, prompts, **options)]

    def record(self, item, prompt, guess):
        """-> (the item with all outputs, logits [T,V])"""
        greedy, reading = continuation(self.model, self.folder, self.engine, prompt, guess)
        ids, first, logits = prompt + greedy, len(prompt), reading.logits()
        choosing = logits[first - 1 : len(ids) - 1]
        best = choosing.topk(2, -1).values
        own = choosing.log_softmax(-1)[torch.arange(LENGTH), torch.tensor(greedy)]
        drafted = Reading(self.draft_model, ids, self.draft).draft_blocks(self.draft, first)
        drafts, _, confidence = drafted
        kept = {key: item[key] for key in ("id", "domain", "messages", "thinking")}
        return {
            **kept,
            "prompt": self.tokenizer.decode(prompt),
            "prompt_ids": prompt,
            "greedy_ids": greedy,
            "greedy_text": self.tokenizer.decode(greedy),
            "eos_at": greedy.index(EOS_ID) if EOS_ID in greedy else -1,
            "top2_gap": [round(gap, 4) for gap in (best[:, 0] - best[:, 1]).tolist()],
            "answer": item["answer"],
            "topk_active": len(ids) // 4 > self.model.config.index_topk,
            "logprob_sum": round(own.sum().item(), 5),
            "mtp_argmax": reading.mtp_tokens()[first - 1 : len(ids) - 1],
            "dspark_draft": drafts,
            "dspark_confidence_logit": [[round(value, 5) for value in row] for row in confidence],
        }, logits


def recorded_places(prompt):
    """Where logits are kept: inside the prompt, at its end, inside the continuation, at its end."""
    return sorted({len(prompt) // 2, len(prompt) - 1, len(prompt) + 7, len(prompt) + LENGTH - 1})


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=ROOT / "models" / "v4-nano")
    parser.add_argument("--draft-model", default=ROOT / "models" / "v4-nano-dspark")
    parser.add_argument("--out", type=Path, default=ROOT / "tests" / "data" / "nano" / "nano_goldens.json")
    parser.add_argument(
        "--prompts",
        type=Path,
        help="another file with items {id, domain, messages, thinking, answer, prompt}",
    )
    parser.add_argument("--threads", type=int, default=2)
    add_engine_option(parser)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    recorder = Recorder(a.model, a.draft_model, a.engine)
    items = json.loads((a.prompts or a.out).read_text(encoding="utf-8"))["items"]
    prompts = [recorder.tokenizer.encode(item["prompt"]) for item in items]
    guesses = recorder.guesses([dict(tokens=prompt) for prompt in prompts])
    recorded, tensors = [], {}
    for item, prompt, guess in zip(items, prompts, guesses):
        record, logits = recorder.record(item, prompt, guess)
        if item["id"] % 4 == 0 or item["domain"] == "recall_long":
            record["logit_positions"] = recorded_places(prompt)
            tensors[f"logits.{item['id']}"] = ("F32", logits[record["logit_positions"]].numpy())
        recorded.append(record)
        print(f"{len(recorded)}/{len(items)}", flush=True)
    text = json.dumps(dict(meta=dict(note=NOTE), items=recorded), ensure_ascii=False)
    a.out.write_text(text, encoding="utf-8")
    safetensors_file.write(a.out.with_suffix(".safetensors"), tensors)


if __name__ == "__main__":
    main()
