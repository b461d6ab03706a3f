"""Draws the loss curves of runs: `python3 -m training.draw_run model.pt draft.pt --out curves.svg`."""

import argparse
from pathlib import Path

from training.curves import Curve, smoothed, svg
from training.run import read_log


def loss_curves(path, name):
    """Loss on training batches, and dashed on validation rows, per tokens read in millions."""
    log = read_log(path)
    trained = [(line["tokens"] / 1e6, line["loss"]) for line in log if "loss" in line]
    valid = [(line["tokens"] / 1e6, line["valid_loss"]) for line in log if "valid_loss" in line]
    return [Curve(name, smoothed(trained)), Curve(f"{name}, held out", valid, dashed=True)]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--out", type=Path, default="curves.svg")
    a = parser.parse_args()
    curves = [curve for run in a.runs for curve in loss_curves(run, Path(run).stem)]
    a.out.write_text(svg("Loss of the model's own tokens", "million tokens", "nats per token", curves))


if __name__ == "__main__":
    main()
