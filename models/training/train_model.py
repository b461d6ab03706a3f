"""Trains the main model with its MTP block: `python3 -m training.train_model --data data --out model.pt`."""

import argparse

import torch

from training.batches import TrainingRows, load
from training.config import SIZES, Config
from training.losses import fixed_generator, model_losses, validate
from training.model import Transformer, index_loss
from training.muon import muon_and_adamw
from training.options import add_run_options, start_torch
from training.run import Run, Schedule

MTP_WEIGHT = 0.3
INDEX_WEIGHT = 0.3
INDEX_EVERY = 4  # steps between two in which the indexers learn; in long rows they always do


class ModelTraining:
    """What one step of the main model's training computes."""

    def __init__(self, model, rows, schedule, tokens, seed):
        self.model, self.rows, self.schedule, self.tokens, self.seed = model, rows, schedule, tokens, seed

    def loss(self, step):
        switches = self.model.switches
        switches.sparse = self.schedule.is_sparse(step)
        switches.quantized = self.schedule.is_quantized(step)
        ids, role = self.rows.batch(step, self.tokens, switches.sparse)
        switches.index_loss = step % INDEX_EVERY == 0 or ids.size(1) > self.rows.base.ids.size(1)
        generator = fixed_generator(ids.device, self.seed * 1_000_003 + step)
        half = max(1, len(ids) // 2)
        main, mtp, measured = model_losses(self.model, ids, role, generator, half)
        total = main + MTP_WEIGHT * mtp
        if switches.index_loss:
            total = total + INDEX_WEIGHT * index_loss(self.model)
        return total, ids.numel(), measured


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=SIZES, default="nano")
    parser.add_argument("--init", help="start from the averaged weights of this run")
    parser.add_argument(
        "--sparse-at", type=float, default=0.82, help="fraction of the steps with full attention"
    )
    add_run_options(parser, out="model.pt", steps=2000, tokens=6144, lr=6e-3, adamw_lr=3e-3)
    parser.set_defaults(warmup=60, decay_from=0.5, quantized_at=0.9)
    a = parser.parse_args()
    start_torch(a)
    config = SIZES[a.size]()
    if a.init:
        state = torch.load(a.init, map_location="cpu")
        config = Config(state["config"])
    model = Transformer(config)
    if a.init:
        model.load_state_dict(state["average"])
    model.to(a.device)
    schedule = Schedule(a.steps, a.warmup, a.decay_from, a.sparse_at, a.quantized_at)
    run = Run(a.out, model, muon_and_adamw(model, a.lr, a.adamw_lr), schedule, config)
    run.start(a.resume)
    training = ModelTraining(model, TrainingRows(a.data, a.seed, a.device), schedule, a.tokens, a.seed)
    valid = load([f"{a.data}/valid.npz"], a.device)
    run.train(training.loss, a.until, a.report_every, a.save_every, lambda: validate(model, *valid))


if __name__ == "__main__":
    main()
