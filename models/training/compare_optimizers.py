"""Muon beside AdamW on the same data, steps and initial weights: `python3 -m training.compare_optimizers
--data data`.

Every arm is a run of training.train_model's loss; the arms differ in who updates the matrices and in the
learning rate. Embeddings, heads, norms and scalars are always AdamW's. Draws the validation losses and writes
them as JSON beside the figure.
"""

import argparse
import json
from pathlib import Path

import torch

from training.batches import TrainingRows, load
from training.config import SIZES
from training.curves import Curve, svg
from training.losses import validate
from training.model import Transformer
from training.muon import adamw, muon_and_adamw, split_parameters
from training.run import Run, Schedule, read_log
from training.train_model import ModelTraining

OTHERS_RATE = 3e-3


def adamw_alone(model, rate, others_rate):
    matrices, others = split_parameters(model)
    return [adamw(matrices, rate, weight_decay=0.1), adamw(others, others_rate)]


ARMS = {"Muon": muon_and_adamw, "AdamW": adamw_alone}


def run_arm(arm, rate, a):
    """-> the run's log"""
    torch.manual_seed(a.seed)
    config = SIZES[a.size]()
    model = Transformer(config)
    schedule = Schedule(
        a.steps, warmup=max(1, a.steps // 20), decay_from=0.5, sparse_at=1.0, quantized_at=1.0
    )
    path = a.runs / f"{arm}-{rate:g}.pt"
    run = Run(path, model, ARMS[arm](model, rate, OTHERS_RATE), schedule, config)
    if path.exists():
        run.start(resume=True)
    else:
        run.start(resume=False)
    training = ModelTraining(model, TrainingRows(a.data, a.seed, "cpu"), schedule, a.tokens, a.seed)
    valid = load([Path(a.data) / "valid.npz"], "cpu")
    every = max(1, a.steps // 20)
    run.train(training.loss, report_every=every, save_every=every, at_save=lambda: validate(model, *valid))
    return read_log(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="data")
    parser.add_argument("--size", choices=SIZES, default="tiny")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--tokens", type=int, default=2048, help="per step")
    parser.add_argument("--muon-rates", type=float, nargs="*", default=[6e-3])
    parser.add_argument("--adamw-rates", type=float, nargs="*", default=[1e-3, 3e-3, 6e-3])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--runs", type=Path, default="optimizers", help="folder of the runs; finished ones are kept"
    )
    parser.add_argument("--out", type=Path, default="optimizers.svg")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    a.runs.mkdir(parents=True, exist_ok=True)
    arms = [("Muon", rate) for rate in a.muon_rates] + [("AdamW", rate) for rate in a.adamw_rates]
    curves, losses = [], {}
    for arm, rate in arms:
        log = [line for line in run_arm(arm, rate, a) if "valid_loss" in line]
        name = f"{arm}, rate {rate:g}: {log[-1]['valid_loss']:.3f} at the end"
        curves.append(
            Curve(name, [(line["step"], line["valid_loss"]) for line in log], dashed=arm == "AdamW")
        )
        losses[f"{arm} {rate:g}"] = [[line["step"], line["valid_loss"]] for line in log]
    title = f"Held-out loss, {a.size} model, {a.tokens} tokens a step"
    a.out.write_text(svg(title, "steps", "nats per token", curves))
    a.out.with_suffix(".json").write_text(json.dumps(losses, indent=1) + "\n")


if __name__ == "__main__":
    main()
