"""The DSpark draft (docs/spec/dspark.md section 1). A anchors, G rows of a block, n streams, D channels, W
window.

A block stands at an anchor: row 0 is the anchor token at position p, the others are noise, and row j predicts
the token at p + j + 1. All rows see the same keys: those made of the main model's taps at p-W .. p-1, and the
block's own.
"""

import torch
import torch.nn.functional as F
from torch import nn

from training.attention import HIDDEN, AttentionProjections, products, weighted_values
from training.hyper_connections import StreamHead
from training.layers import Linear, RMSNorm, Switches
from training.model import Block
from training.number_formats import round_trip_bf16


class DraftAttention(AttentionProjections):
    def __init__(self, switches, config):
        super().__init__(switches, config, 0)

    def forward(self, x, context, hidden, positions):
        """x [A,G,D], context keys [A,W,C], hidden [A,W] where there is no context, positions [A,G] ->
        [A,G,D]"""
        table = self.table(int(positions.max()) + 1, x.device)[positions]
        _, q = self.query(x, table)
        keys = torch.cat([context, self.keys(x, table)], 1)
        unseen = torch.zeros(hidden.shape, device=x.device).masked_fill(hidden, HIDDEN)
        unseen = F.pad(unseen, (0, x.size(1)))
        logits = products(q * self.channels**-0.5, keys) + unseen[:, None, None, :]
        return self.output(weighted_values(self.probabilities(logits), keys), table)


class Draft(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config, self.switches = config, Switches()
        taps, width, rank = config.dspark_target_layer_ids, config.hidden_size, config.dspark_markov_rank
        self.mtp = nn.ModuleList(
            Block(self.switches, config, config.num_hidden_layers + i, DraftAttention(self.switches, config))
            for i in range(len(taps))
        )
        first, last = self.mtp[0], self.mtp[-1]
        first.main_proj = Linear(self.switches, width * len(taps), width)
        first.main_norm = RMSNorm(width, config.rms_norm_eps)
        last.norm = RMSNorm(width, config.rms_norm_eps)
        last.hc_head = StreamHead(config)
        last.markov_w1 = nn.Parameter(torch.randn(config.vocab_size, rank) * 0.1)
        last.markov_w2 = nn.Parameter(torch.zeros(config.vocab_size, rank))
        last.confidence = nn.Parameter(torch.zeros(1, width + rank))

    def start_from(self, model):
        """Copies what fits from the tapped layers of the main model: a stage has the shape of a window
        layer."""
        for stage, layer in zip(self.mtp, self.config.dspark_target_layer_ids):
            source, own = model.layers[layer].state_dict(), stage.state_dict()
            shared = {k: source[k] for k in own if k in source and source[k].shape == own[k].shape}
            stage.load_state_dict({**own, **shared})

    def context(self, taps):
        """taps [B,T,stages*D] -> keys [B,T,C] of each stage"""
        first = self.mtp[0]
        m = first.main_norm(first.main_proj(taps))
        return [stage.attn.keys(m, stage.attn.table(taps.size(1), taps.device)) for stage in self.mtp]

    def block(self, context, row, position, anchor, embed):
        """Anchors at position [A] of sequence row [A] with token anchor [A] -> hidden states [A,G,D] before
        the norm."""
        window, size = self.config.sliding_window, self.config.dspark_block_size
        ids = torch.full((len(row), size), self.config.dspark_noise_token_id, device=anchor.device)
        ids[:, 0] = anchor
        streams = F.embedding(ids, embed).unsqueeze(2).expand(-1, -1, self.config.hc_mult, -1)
        seen = position[:, None] - window + torch.arange(window, device=position.device)
        hidden, seen = seen < 0, seen.clamp(min=0)
        positions = position[:, None] + torch.arange(size, device=position.device)
        for stage, keys in zip(self.mtp, context):
            near = keys[row[:, None], seen]

            def attend(x, stage=stage, near=near):
                return stage.attn(x, near, hidden, positions)

            streams = stage(streams, ids, attend)
        return self.mtp[-1].hc_head(streams.flatten(0, 1)).view(len(row), size, -1)

    def base_logits(self, hidden, head):
        """hidden [...,D] -> [...,V], before the bias of the token before"""
        return F.linear(self.mtp[-1].norm(hidden), head)

    def markov(self, before):
        """Tokens before [...] -> (their embedding [...,rank], their bias on the logits [...,V])"""
        last = self.mtp[-1]
        embedding = F.embedding(before, self._stored(last.markov_w1))
        return embedding, F.linear(embedding, self._stored(last.markov_w2))

    def confidence(self, hidden, embedding):
        """Logit of the probability that the row's token is accepted [...] (docs/spec/dspark.md 1.6)"""
        return F.linear(torch.cat([hidden, embedding], -1), self._stored(self.mtp[-1].confidence)).squeeze(-1)

    def _stored(self, weight):
        return round_trip_bf16(weight) if self.switches.quantized else weight

    @torch.no_grad()
    def greedy(self, hidden, anchor, head):
        """-> (drafted tokens [A,G], confidence logits [A,G])"""
        logits, before, tokens, confidence = self.base_logits(hidden, head), anchor, [], []
        for row in range(hidden.size(1)):
            embedding, bias = self.markov(before)
            confidence.append(self.confidence(hidden[:, row], embedding))
            before = (logits[:, row] + bias).argmax(-1)
            tokens.append(before)
        return torch.stack(tokens, 1), torch.stack(confidence, 1)
