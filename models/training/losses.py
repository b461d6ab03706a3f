"""What is minimised. B sequences, T tokens, V vocabulary; roles as in training/build_data.py."""

import torch
import torch.nn.functional as F

from training.build_data import CONTEXT, PADDING, REPLY

CONTEXT_SHARE = (
    0.25  # of the tokens that the model does not write, so many are learned from, at CONTEXT_WEIGHT
)
CONTEXT_WEIGHT = 0.4


def token_loss(model, streams, owner, ids, role, ahead, generator):
    """Cross entropy of the token `ahead` places on, read through `owner`'s head. The model's own tokens count
    fully. -> (loss, {"loss", "accuracy"} on the model's own tokens)"""
    label = F.pad(ids[:, ahead:], (0, ahead))
    wanted = F.pad(role[:, ahead:], (0, ahead), value=PADDING)
    sampled = torch.rand(ids.shape, generator=generator, device=ids.device) < CONTEXT_SHARE
    kept = (wanted == REPLY) | ((wanted == CONTEXT) & sampled)
    logits = model.logits(streams[kept], owner)
    own, label = wanted[kept] == REPLY, label[kept]
    entropy = F.cross_entropy(logits, label, reduction="none")
    weight = torch.where(own, 1.0, CONTEXT_WEIGHT)
    measured = {
        "loss": entropy[own].mean().item(),
        "accuracy": (logits.argmax(-1) == label)[own].float().mean().item(),
    }
    return (entropy * weight).sum() / weight.sum(), measured


def model_losses(model, ids, role, generator, mtp_rows=None):
    """Losses of the main model and of the MTP block, which learns from the first `mtp_rows` rows.
    -> (main loss, MTP loss, measurements)"""
    streams, _ = model.streams(ids)
    main, measured = token_loss(model, streams, model, ids, role, 1, generator)
    rows = slice(mtp_rows)
    mtp_streams = model.mtp_streams(streams[rows], ids[rows])
    mtp, of_mtp = token_loss(model, mtp_streams, model.mtp[0], ids[rows], role[rows], 2, generator)
    return main, mtp, {**measured, **{"mtp_" + name: value for name, value in of_mtp.items()}}


def fixed_generator(device, seed):
    return torch.Generator(device=device).manual_seed(seed)


@torch.no_grad()
def validate(model, ids, role, rows=48, batch=8):
    """Mean measurements over the first `rows` rows."""
    was_training = model.training
    model.eval()
    found = []
    for first in range(0, min(rows, len(ids)), batch):
        part = slice(first, first + batch)
        generator = fixed_generator(ids.device, first)
        found.append(model_losses(model, ids[part], role[part], generator)[2])
    model.train(was_training)
    return {name: sum(f[name] for f in found) / len(found) for name in found[0]}


# Shares of the draft's loss (docs/spec/dspark.md section 1): the tokens themselves, the distance from the
# main model's distribution, and the confidence. Later rows count less, as they are reached less often.
CROSS_ENTROPY, TOTAL_VARIATION, CONFIDENCE = 0.1, 0.9, 1.0
ROW_DECAY = 4.0


def draft_loss(draft, tables, batch, row, position):
    """tables: embed and head of the main model; batch: ids, role [B,T], taps [B,T,stages*D] and what the head
    reads [B,T,D]; anchors at position [A] of row [A]. -> (loss, measurements)"""
    embed, head = tables
    ids, role, taps, normed = batch
    size = draft.config.dspark_block_size
    places = position[:, None] + torch.arange(size + 1, device=ids.device)
    inside = places < ids.size(1)
    places = places.clamp(max=ids.size(1) - 1)
    tokens = ids[row[:, None], places]
    own = inside & (role[row[:, None], places] == REPLY)
    counts = own[:, 1:].long().cumprod(1).bool()
    hidden = draft.block(draft.context(taps), row, position, tokens[:, 0], embed)
    embedding, bias = draft.markov(tokens[:, :-1])
    logits = draft.base_logits(hidden, head) + bias
    with torch.no_grad():
        target = F.linear(normed[row[:, None], places[:, :-1]], head).softmax(-1)
    weight = counts * torch.exp(-torch.arange(size, device=ids.device) / ROW_DECAY)
    distance = (logits.softmax(-1) - target).abs().sum(-1)
    accepted = (1 - distance / 2).clamp(0, 1).detach()
    entropy = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction="none").view_as(weight)
    confidence = F.binary_cross_entropy_with_logits(
        draft.confidence(hidden, embedding), accepted, reduction="none"
    )
    loss = CROSS_ENTROPY * entropy + TOTAL_VARIATION * distance + CONFIDENCE * confidence
    hits = ((logits.argmax(-1) == target.argmax(-1)) & counts).long().cumprod(1).sum(1)
    mean = weight / weight.sum()
    return (loss * mean).sum(), {
        "loss": (entropy * mean).sum().item(),
        "accepted": (accepted * mean).sum().item(),
        "length": 1 + hits[counts[:, 0]].float().mean().item(),
    }


def anchors(role, per_row, generator):
    """Up to `per_row` anchors in each row of role [B,T]: tokens of a reply that are followed by another.
    -> (row [A], position [A])"""
    fits = (role[:, :-1] == REPLY) & (role[:, 1:] == REPLY)
    fits[:, 0] = False
    priority = torch.rand(fits.shape, generator=generator, device=role.device) * fits
    chosen = priority.topk(min(per_row, fits.size(1)), 1)
    row, column = (chosen.values > 0).nonzero(as_tuple=True)
    return row, chosen.indices[row, column]
