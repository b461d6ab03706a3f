"""Calibrates the confidence of a trained draft: `python3 -m training.calibrate --model model.pt --draft
draft.pt --data data`.

The confidence head learns from the acceptance that sampling at temperature 1 would have. One temperature for
its logits is chosen so that the path probabilities fit what greedy decoding accepts on validation rows, and
is folded into the head's weights, for a checkpoint has no place for it. The engine refines this from what it
observes.
"""

import argparse
from pathlib import Path

import torch

from training.batches import load
from training.build_data import REPLY
from training.config import Config
from training.draft import Draft
from training.drafting import calibration_error
from training.losses import anchors, fixed_generator
from training.run import averaged
from training.train_draft import features, frozen_model

TEMPERATURES = torch.logspace(-2, 2, 61, base=2.0)  # 0.25 to 4


@torch.no_grad()
def greedy_outcomes(model, draft, ids, role, per_row):
    """-> (confidence logits [A,G], whether the path up to that row is accepted [A,G], whether the row is in a
    reply [A,G])"""
    taps, normed = features(model, ids, draft.config.dspark_target_layer_ids)
    row, position = anchors(role, per_row, fixed_generator(ids.device, 0))
    hidden = draft.block(draft.context(taps), row, position, ids[row, position], model.embed)
    tokens, confidence = draft.greedy(hidden, ids[row, position], model.head)
    places = position[:, None] + torch.arange(tokens.size(1))
    following = (places + 1).clamp(max=ids.size(1) - 1)
    counted = ((places + 1 < ids.size(1)) & (role[row[:, None], following] == REPLY)).long().cumprod(1).bool()
    # The rows follow the text as long as it is what the model itself would have written.
    own = (normed[row[:, None], places.clamp(max=ids.size(1) - 1)] @ model.head.T).argmax(-1)
    natural = (own == ids[row[:, None], following]).long().cumprod(1).bool()
    before = torch.cat([torch.ones_like(natural[:, :1]), natural[:, :-1]], 1)
    accepted = (tokens == own).long().cumprod(1).bool()
    return confidence, accepted, counted & before


def path_error(confidence, accepted, counted, temperature):
    predicted = (confidence / temperature).sigmoid().cumprod(1)
    return calibration_error(predicted[counted], accepted[counted])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="model.pt")
    parser.add_argument("--draft", default="draft.pt", help="its averaged weights are changed")
    parser.add_argument("--data", default="data")
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--anchors", type=int, default=48, help="per row")
    parser.add_argument("--threads", type=int, default=2)
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    model = frozen_model(a.model, "cpu")
    config, weights = averaged(a.draft)
    draft = Draft(Config(config)).eval()
    draft.load_state_dict(weights)
    ids, role = load([Path(a.data) / "valid.npz"], "cpu")
    outcomes = greedy_outcomes(model, draft, ids[: a.rows], role[: a.rows], a.anchors)
    errors = [path_error(*outcomes, temperature) for temperature in TEMPERATURES]
    best = TEMPERATURES[min(range(len(errors)), key=errors.__getitem__)].item()
    state = torch.load(a.draft)
    for name in state["average"]:
        if name.endswith("confidence"):
            state["average"][name] /= best
    torch.save(state, a.draft)
    print(
        f"temperature {best:.2f}: error of path probabilities {path_error(*outcomes, 1.0):.3f} -> {min(errors):.3f}"
    )


if __name__ == "__main__":
    main()
