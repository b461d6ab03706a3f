"""The loop that trains the main model and the draft: schedule, averages, progress, log, checkpoint and
resume."""

import json
import os
import time
from pathlib import Path

import torch

from training.model import gates


class Schedule:
    """Everything that changes during a run, by the fraction of its steps that are done."""

    def __init__(self, steps, warmup, decay_from, sparse_at, quantized_at):
        self.steps, self.warmup, self.decay_from = steps, warmup, decay_from
        self.sparse_at, self.quantized_at = sparse_at, quantized_at

    def rate(self, step):
        """Share of the full learning rate: up over `warmup` steps, level, then down to 2 % in a line."""
        left = (1 - step / self.steps) / (1 - self.decay_from)
        return min((step + 1) / self.warmup, 1.0) * max(0.02, min(1.0, left))

    def is_sparse(self, step):
        return step >= self.sparse_at * self.steps

    def is_quantized(self, step):
        return step >= self.quantized_at * self.steps


class Run:
    """One run in the file `path` (weights, their average, optimizers, step) and the log beside it,
    `path`.jsonl."""

    AVERAGE = 0.985  # of the average so far that a step keeps
    BALANCE_RATE = 0.011

    def __init__(self, path, model, optimizers, schedule, config):
        self.path, self.log_path = Path(path), Path(f"{path}.jsonl")
        self.model, self.optimizers, self.schedule, self.config = model, optimizers, schedule, config
        self.step, self.tokens, self.seconds = 0, 0, 0.0
        self.average = {name: value.detach().clone() for name, value in model.state_dict().items()}
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["full_lr"] = group["lr"]

    def start(self, resume):
        """Continues what `path` holds if `resume`; else refuses to overwrite it."""
        if resume:
            self._load()
        elif self.path.exists():
            raise SystemExit(f"{self.path} exists: continue it with --resume, or remove it")
        else:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.log_path.write_text("")

    def train(self, loss_of, until=None, report_every=20, save_every=100, at_save=None):
        """loss_of(step) -> (loss, tokens read, measurements) of each step up to `until`, or to the schedule's
        end. at_save() -> measurements that are logged with each save."""
        until = min(until or self.schedule.steps, self.schedule.steps)
        self.model.train()
        began, before, first = time.time(), self.seconds, self.step
        while self.step < until:
            loss, tokens, measured = loss_of(self.step)
            measured = {"objective": loss.item(), **measured}
            self._update(loss)
            self.step += 1
            self.tokens += tokens
            self.seconds = before + time.time() - began
            if self.step % report_every == 0 or self.step == until:
                left = (time.time() - began) / (self.step - first) * (self.schedule.steps - self.step)
                self._report(measured, f"about {left / 60:.0f} min left")
            if self.step % save_every == 0 or self.step == until:
                if at_save:
                    self._report({"valid_" + name: value for name, value in at_save().items()})
                self.save()

    def save(self):
        state = dict(
            config=dict(self.config),
            model=self.model.state_dict(),
            average=self.average,
            optimizers=[optimizer.state_dict() for optimizer in self.optimizers],
            step=self.step,
            tokens=self.tokens,
            seconds=self.seconds,
        )
        unfinished = f"{self.path}.unfinished"
        torch.save(state, unfinished)
        os.replace(unfinished, self.path)

    def _load(self):
        state = torch.load(self.path, map_location="cpu")
        self.model.load_state_dict(state["model"])
        for name, value in state["average"].items():
            self.average[name].copy_(value)
        for optimizer, saved in zip(self.optimizers, state["optimizers"]):
            optimizer.load_state_dict(saved)
        self.step, self.tokens, self.seconds = state["step"], state["tokens"], state["seconds"]
        kept = [line for line in read_log(self.path) if line["step"] <= self.step]
        self.log_path.write_text("".join(json.dumps(line) + "\n" for line in kept))

    def _update(self, loss):
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        rate = self.schedule.rate(self.step)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["full_lr"] * rate
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        for gate in gates(self.model):
            gate.balance(self.BALANCE_RATE * rate)
        self._update_average()

    @torch.no_grad()
    def _update_average(self):
        keep = min(self.AVERAGE, (self.step + 1) / (self.step + 10))
        for name, value in self.model.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, 1 - keep)

    def _report(self, measured, note=""):
        line = dict(step=self.step, tokens=self.tokens, seconds=round(self.seconds, 1))
        line.update((name, round(value, 5)) for name, value in measured.items())
        with open(self.log_path, "a") as file:
            file.write(json.dumps(line) + "\n")
        shown = " ".join(f"{name} {value:.4g}" for name, value in measured.items())
        print(
            f"step {self.step}/{self.schedule.steps}, {self.tokens / 1e6:.2f} M tokens: {shown} {note}",
            flush=True,
        )


def read_log(path):
    """The lines of the log beside the run `path`, as dictionaries."""
    with open(f"{path}.jsonl") as file:
        return [json.loads(line) for line in file]


def averaged(path):
    """-> (config, averaged weights) of the run in `path`"""
    state = torch.load(path, map_location="cpu")
    return state["config"], state["average"]
