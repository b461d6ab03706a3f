"""Trains the DSpark draft of a frozen main model: `python3 -m training.train_draft --model model.pt --data
data --out draft.pt`."""

import argparse
from pathlib import Path

import torch

from training.batches import Rows, load
from training.config import Config, with_draft
from training.draft import Draft
from training.losses import anchors, draft_loss, fixed_generator
from training.model import Transformer
from training.muon import muon_and_adamw
from training.options import add_run_options, start_torch
from training.published_format import round_weights
from training.run import Run, Schedule, averaged


def frozen_model(run, device):
    """The main model as it will be exported: a draft must fit that one."""
    config, weights = averaged(run)
    model = Transformer(Config(config))
    model.load_state_dict(weights)
    round_weights(model)
    model.switches.sparse = True
    return model.to(device).eval().requires_grad_(False)


@torch.no_grad()
def features(model, ids, layers):
    """What the draft sees of the main model: taps [B,T,len(layers)*D] and what the head reads [B,T,D]."""
    streams, taps = model.streams(ids, layers)
    return taps, model.normed(streams)


class DraftTraining:
    """What one step of the draft's training computes. The main model is run once over each batch of the pool;
    its features stay in memory, in half precision."""

    def __init__(self, draft, model, rows, schedule, a):
        self.draft, self.model, self.rows, self.schedule = draft, model, rows, schedule
        self.tokens, self.anchors, self.seed = a.tokens, a.anchors, a.seed
        self.batches = max(1, a.pool_tokens // a.tokens)
        self._features = {}

    def loss(self, step):
        self.draft.switches.quantized = self.schedule.is_quantized(step)
        number = step % self.batches
        ids, role = self.rows.batch(number, self.tokens)
        if number not in self._features:
            layers = self.draft.config.dspark_target_layer_ids
            self._features[number] = [f.half() for f in features(self.model, ids, layers)]
        taps, normed = (f.float() for f in self._features[number])
        generator = fixed_generator(ids.device, self.seed * 1_000_003 + step)
        row, position = anchors(role, self.anchors, generator)
        batch = (ids, role, taps, normed)
        loss, measured = draft_loss(self.draft, (self.model.embed, self.model.head), batch, row, position)
        return loss, ids.numel(), measured

    @torch.no_grad()
    def validate(self, ids, role, rows=32):
        ids, role = ids[:rows], role[:rows]
        taps, normed = features(self.model, ids, self.draft.config.dspark_target_layer_ids)
        row, position = anchors(role, self.anchors, fixed_generator(ids.device, 0))
        batch = (ids, role, taps, normed)
        tables = (self.model.embed, self.model.head)
        self.draft.eval()
        measured = draft_loss(self.draft, tables, batch, row, position)[1]
        self.draft.train()
        return measured


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="model.pt", help="run of training.train_model")
    parser.add_argument("--anchors", type=int, default=48, help="blocks per row")
    parser.add_argument("--pool-tokens", type=int, default=500_000, help="2 KB of memory each")
    add_run_options(parser, out="draft.pt", steps=1000, tokens=4096, lr=5e-3, adamw_lr=2e-3)
    parser.set_defaults(warmup=30, decay_from=0.4, quantized_at=0.7, seed=1)
    a = parser.parse_args()
    start_torch(a)
    model = frozen_model(a.model, a.device)
    config = with_draft(model.config)
    draft = Draft(config)
    draft.start_from(model)
    draft.to(a.device)
    schedule = Schedule(a.steps, a.warmup, a.decay_from, 0.0, a.quantized_at)
    run = Run(a.out, draft, muon_and_adamw(draft, a.lr, a.adamw_lr), schedule, config)
    run.start(a.resume)
    rows = Rows(sorted(Path(a.data).glob("train-*.npz")), a.seed, a.device)
    training = DraftTraining(draft, model, rows, schedule, a)
    valid = load([f"{a.data}/valid.npz"], a.device)
    run.train(training.loss, a.until, a.report_every, a.save_every, lambda: training.validate(*valid))


if __name__ == "__main__":
    main()
