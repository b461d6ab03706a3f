"""Compressed entries and the indexer that chooses among them (docs/spec/model.md 3.5 and 3.6)."""

import torch
from torch import nn

from training.layers import Linear, RMSNorm, rotate

NEVER = -1e30  # the score of tokens that are not there


class Compressor(nn.Module):
    """Pools `ratio` tokens into one entry of `channels`. With ratio 4 an entry also sees the 4 tokens before,
    through other channels of the two projections."""

    def __init__(self, switches, config, ratio, channels, gain=1.0):
        super().__init__()
        self.ratio, self.channels, self.overlaps = ratio, channels, ratio == 4
        wide = channels * (2 if self.overlaps else 1)
        self.ape = nn.Parameter(torch.randn(ratio, wide) * 0.02)
        self.wkv = Linear(switches, config.hidden_size, wide, "bf16")
        self.wgate = Linear(switches, config.hidden_size, wide, "bf16", gain=0.3)
        self.norm = RMSNorm(channels, config.rms_norm_eps, gain)

    def forward(self, x, table):
        """x [B,T,D] -> entries [B, T // ratio, channels]"""
        return self.pool(self.wkv(x), self.wgate(x), table)

    def pool(self, values, scores, table):
        """values, scores [B,T,wide]: both projections of consecutive tokens, from the first one on."""
        batch, tokens, wide = values.shape
        count = tokens // self.ratio
        shape = (batch, count, self.ratio, wide)
        values = values[:, : count * self.ratio].reshape(shape)
        scores = scores[:, : count * self.ratio].reshape(shape) + self.ape
        if self.overlaps:
            values, scores = self._with_block_before(values, 0.0), self._with_block_before(scores, NEVER)
        entries = (values * scores.softmax(2)).sum(2)
        return rotate(self.norm(entries), table[: count * self.ratio : self.ratio])

    def _with_block_before(self, blocks, nothing):
        """[B,n,4,2c] -> [B,n,8,c]: the lower channels of the block before, then the upper ones of the block
        itself."""
        c = self.channels
        first = blocks.new_full((len(blocks), 1, self.ratio, c), nothing)
        before = torch.cat([first, blocks[:, :-1, :, :c]], 1)
        return torch.cat([before, blocks[..., c:]], 2)


class Indexer(nn.Module):
    """Scores entries for each query. The Hadamard rotation of inference is orthogonal, so without
    quantisation it would change nothing here."""

    def __init__(self, switches, config):
        super().__init__()
        self.heads, self.channels = config.index_n_heads, config.index_head_dim
        self.wq_b = Linear(switches, config.q_lora_rank, self.heads * self.channels)
        self.weights_proj = Linear(switches, config.hidden_size, self.heads, "bf16")
        self.compressor = Compressor(switches, config, 4, self.channels)

    def forward(self, x, low_rank, table):
        """x [B,T,D], low_rank [B,T,q_lora_rank] -> [B,T,entries]"""
        return self.scores(x, low_rank, table, self.compressor(x, table))

    def scores(self, x, low_rank, table, entries):
        """As forward(), with entries [B,N,channels] that exist already; `table` is that of x."""
        batch, tokens, _ = x.shape
        q = self.wq_b(low_rank).view(batch, tokens, self.heads, self.channels)
        q = rotate(q, table.unsqueeze(-2)).flatten(1, 2)
        match = torch.bmm(q, entries.transpose(1, 2)).relu().view(batch, tokens, self.heads, -1)
        weight = self.weights_proj(x) * (self.channels * self.heads) ** -0.5
        return (match * weight.unsqueeze(-1)).sum(2)
