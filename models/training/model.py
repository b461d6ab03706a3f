"""The main model and its MTP block, on whole sequences. B sequences, T tokens, n streams, D channels, V
vocabulary."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from training.attention import Attention
from training.config import PAD_ID
from training.experts import Gate, MixtureOfExperts
from training.hyper_connections import HyperConnection, StreamHead
from training.layers import Linear, RMSNorm, Switches
from training.number_formats import round_trip_bf16


class Block(nn.Module):
    """Attention and experts, each between two mixings of the streams."""

    def __init__(self, switches, config, layer, attention):
        super().__init__()
        self.attn = attention
        self.ffn = MixtureOfExperts(switches, config, layer)
        self.attn_norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.ffn_norm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.hc_attn = HyperConnection(config, 2 * layer)
        self.hc_ffn = HyperConnection(config, 2 * layer + 1)

    def forward(self, streams, ids, attend=None):
        """streams [B,T,n,D], ids [B,T] -> [B,T,n,D]. `attend` stands for self.attn where that needs more than
        x."""
        batch, tokens, n, width = streams.shape
        flat = streams.reshape(batch * tokens, n, width)
        x, weights = self.hc_attn.reduce(flat)
        o = (attend or self.attn)(self.attn_norm(x).view(batch, tokens, width))
        flat = self.hc_attn.expand(o.reshape(-1, width), flat, weights)
        x, weights = self.hc_ffn.reduce(flat)
        flat = self.hc_ffn.expand(self.ffn(self.ffn_norm(x), ids.reshape(-1)), flat, weights)
        return flat.view(batch, tokens, n, width)


class MtpBlock(Block):
    """Predicts the token after next (docs/spec/model.md 3.11)."""

    def __init__(self, switches, config, layer):
        super().__init__(switches, config, layer, Attention(switches, config, 0))
        width, eps = config.hidden_size, config.rms_norm_eps
        self.e_proj, self.h_proj = Linear(switches, width, width), Linear(switches, width, width)
        self.enorm, self.hnorm, self.norm = (RMSNorm(width, eps) for _ in range(3))
        self.hc_head = StreamHead(config)

    def forward(self, streams, next_embedding, next_ids):
        """streams [B,T,n,D] of the main model at t, embedding [B,T,D] of the token at t+1 -> [B,T,n,D]"""
        joined = self.e_proj(self.enorm(next_embedding)).unsqueeze(2) + self.h_proj(self.hnorm(streams))
        return super().forward(joined, next_ids)


class Transformer(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config, self.switches = config, Switches()
        vocabulary, width = config.vocab_size, config.hidden_size
        self.embed = nn.Parameter(torch.randn(vocabulary, width) * 0.3)
        self.layers = nn.ModuleList(
            Block(self.switches, config, i, Attention(self.switches, config, config.compress_ratios[i]))
            for i in range(config.num_hidden_layers)
        )
        self.norm = RMSNorm(width, config.rms_norm_eps)
        self.head = nn.Parameter(torch.randn(vocabulary, width) * (0.5 / math.sqrt(width)))
        self.hc_head = StreamHead(config)
        self.mtp = nn.ModuleList()
        if "dspark_block_size" not in config:
            self.mtp.append(MtpBlock(self.switches, config, config.num_hidden_layers))

    def table(self, name):
        """`embed` or `head` [V,D], as exported if weights are quantised."""
        weight = getattr(self, name)
        return round_trip_bf16(weight) if self.switches.quantized else weight

    def embedded(self, ids):
        """ids [B,T] -> streams [B,T,n,D], all alike"""
        x = F.embedding(ids, self.table("embed"))
        return x.unsqueeze(2).expand(-1, -1, self.config.hc_mult, -1)

    def streams(self, ids, tapped=()):
        """ids [B,T], T a multiple of the window -> (streams after the last layer [B,T,n,D], the mean over
        streams after each tapped layer, side by side [B,T,len(tapped)*D])"""
        streams, taps = self.embedded(ids), []
        for i, layer in enumerate(self.layers):
            streams = layer(streams, ids)
            if i in tapped:
                taps.append(streams.mean(2))
        return streams, torch.cat(taps, -1) if taps else None

    def mtp_streams(self, streams, ids):
        """Streams of the MTP block [B,T,n,D] from those of the main model; the last position has no next
        token."""
        following = torch.cat([ids[:, 1:], ids[:, -1:]], 1)
        return self.mtp[0](streams, F.embedding(following, self.table("embed")), following)

    def logits(self, streams, owner=None):
        """streams [...,n,D] -> [...,V], through the norm and stream head of `owner` (this model or an MTP
        block)."""
        return F.linear(self.normed(streams, owner), self.table("head"))

    def normed(self, streams, owner=None):
        """What the head reads: streams [...,n,D] -> [...,D]"""
        owner = self if owner is None else owner
        x = owner.norm(owner.hc_head(streams.flatten(0, -3)))
        return x.view(*streams.shape[:-2], -1)

    def padded(self, ids):
        """ids [B,T] -> [B,T'], T' the next multiple of the window; what is on the right is never seen from
        the left."""
        return F.pad(ids, (0, -ids.size(1) % self.config.sliding_window), value=PAD_ID)


def gates(model):
    return [m for m in model.modules() if isinstance(m, Gate)]


def index_loss(model):
    """Mean loss of the indexers that ran since the switch was set; 0 without one."""
    losses = [m.index_loss for m in model.modules() if isinstance(m, Attention) and m.index_loss is not None]
    return sum(losses) / len(losses) if losses else 0.0
