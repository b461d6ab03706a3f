"""What the drafts of a checkpoint do on a given text: each place of it as if the text had been generated up
to there."""

from dataclasses import dataclass, field

import torch


class Reading:
    """What the main model computes on a token list [T], with the taps of `draft` if there is one."""

    @torch.no_grad()
    def __init__(self, model, ids, draft=None):
        self.model, self.length = model, len(ids)
        self.ids = model.padded(torch.tensor([ids]))
        self.streams, self.taps = model.streams(
            self.ids, draft.config.dspark_target_layer_ids if draft else ()
        )

    @torch.no_grad()
    def logits(self, start=0):
        """[T - start, V]"""
        return self.model.logits(self.streams[0, start : self.length])

    @torch.no_grad()
    def mtp_tokens(self):
        """Tokens [T]; number t is the MTP block's guess of token t + 2, made from those before it."""
        streams = self.model.mtp_streams(self.streams, self.ids)
        return self.model.logits(streams, self.model.mtp[0])[0, : self.length].argmax(-1).tolist()

    @torch.no_grad()
    def draft_blocks(self, draft, start):
        """For an anchor at each position from `start` on -> (greedy drafts, their runners-up, confidence logits),
        each a list per anchor with one entry per row"""
        position = torch.arange(start, self.length)
        anchor = self.ids[0, position]
        row = torch.zeros_like(position)
        hidden = draft.block(draft.context(self.taps), row, position, anchor, self.model.embed)
        tokens, confidence = draft.greedy(hidden, anchor, self.model.head)
        before = torch.cat([anchor[:, None], tokens[:, :-1]], 1)
        logits = draft.base_logits(hidden, self.model.head) + draft.markov(before)[1]
        return tokens.tolist(), logits.topk(2, -1)[1][..., 1].tolist(), confidence.tolist()


@dataclass
class Rounds:
    """Chains of drafts, each verified from its anchor to the first token that is not the text's."""

    count: int = 0
    emitted: int = 0  # tokens, the model's own one after each chain included
    refused: int = 0  # chains that ended before their last token
    second_choices: int = 0  # of those: the text's token was the draft's runner-up
    confidences: list = field(default_factory=list)  # (logits up to here, accepted) of every drafted token

    def add(self, ids, start, blocks):
        """Reads ids from `start` on in rounds; `blocks` as of Reading.draft_blocks()."""
        drafts, runners_up, confidence = blocks
        place, last = start, len(ids) - 1
        while place < last:
            chain = drafts[place - start]
            room = min(len(chain), last - place)
            accepted = 0
            while accepted < room and chain[accepted] == ids[place + 1 + accepted]:
                accepted += 1
            logits = confidence[place - start]
            self.confidences += [(logits[: row + 1], accepted > row) for row in range(room)]
            if accepted < room:
                self.refused += 1
                self.second_choices += runners_up[place - start][accepted] == ids[place + 1 + accepted]
            self.count += 1
            self.emitted += min(accepted + 1, last - place)
            place += accepted + 1

    def join(self, other):
        self.count += other.count
        self.emitted += other.emitted
        self.refused += other.refused
        self.second_choices += other.second_choices
        self.confidences += other.confidences


def calibration_error(predicted, happened, bins=20):
    """Mean distance between predicted probability and frequency, over equal bins (docs/spec/dspark.md 1.7).
    Tensors [N]."""
    bin_of = (predicted * bins).long().clamp(max=bins - 1)
    difference = torch.zeros(bins).index_add_(0, bin_of, predicted - happened.float())
    return (difference.abs().sum() / len(predicted)).item()


def path_calibration_error(confidences):
    """Of the probability that a whole path up to a token is accepted."""
    predicted = torch.stack([torch.tensor(logits).sigmoid().prod() for logits, _ in confidences])
    return calibration_error(predicted, torch.tensor([accepted for _, accepted in confidences]))
