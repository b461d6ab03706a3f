"""Attention of whole sequences (docs/spec/model.md 3.3 to 3.8): a sliding window, and in most layers
compressed entries.

Shapes: B sequences, T tokens, D channels, H query heads on one key/value head, C channels of a head, W
window. The rounding that inference applies to activations and cached values is left out: training and "exact"
inference are float32.
"""

import torch
import torch.nn.functional as F
from torch import nn

from training.compressor import Compressor, Indexer
from training.layers import Linear, RMSNorm, rotary_table, rotate, unit_rms

HIDDEN = -1e30  # added to the logit of what may not be seen
# Queries have unit RMS by construction, so with 128 channels the logits stay flat unless keys start above 1.
# With keys that started at 1 the model never learned to find digits by position.
KEY_GAIN = 2.0


class AttentionProjections(nn.Module):
    """The projections that every kind of attention shares."""

    def __init__(self, switches, config, ratio):
        super().__init__()
        self.switches, self.config, self.ratio = switches, config, ratio
        self.heads, self.channels = config.num_attention_heads, config.head_dim
        self.groups, self.group_rank = config.o_groups, config.o_lora_rank
        width, eps = config.hidden_size, config.rms_norm_eps
        grouped = self.groups * self.group_rank
        self.attn_sink = nn.Parameter(torch.zeros(self.heads))
        self.wq_a = Linear(switches, width, config.q_lora_rank)
        self.q_norm = RMSNorm(config.q_lora_rank, eps)
        self.wq_b = Linear(switches, config.q_lora_rank, self.heads * self.channels)
        self.wkv = Linear(switches, width, self.channels)
        self.kv_norm = RMSNorm(self.channels, eps, KEY_GAIN)
        self.wo_a = Linear(switches, self.heads * self.channels // self.groups, grouped)
        self.wo_b = Linear(switches, grouped, width, gain=0.5)
        self._table = None

    def table(self, positions, device):
        """Rotary table [positions, rope/2]."""
        if self._table is None or len(self._table) < positions or self._table.device != device:
            self._table = rotary_table(self.config, positions, self.ratio > 0, device)
        return self._table[:positions]

    def query(self, x, table):
        """x [B,T,D], table [..,T,rope/2] -> (low-rank query [B,T,q_lora_rank], q [B,T,H,C])"""
        low_rank = self.q_norm(self.wq_a(x))
        q = self.wq_b(low_rank).view(*x.shape[:2], self.heads, self.channels)
        return low_rank, rotate(unit_rms(q, self.config.rms_norm_eps), table.unsqueeze(-2))

    def keys(self, x, table):
        """x [B,T,D] -> [B,T,C], both keys and values"""
        return rotate(self.kv_norm(self.wkv(x)), table)

    def output(self, o, table):
        """o [B,T,H,C] -> [B,T,D]"""
        batch, tokens = o.shape[:2]
        o = rotate(o, table.conj().unsqueeze(-2))
        o = o.reshape(batch * tokens, self.groups, -1).transpose(0, 1)
        matrix = self.wo_a.matrix().view(self.groups, self.group_rank, -1)
        low_rank = torch.bmm(o, matrix.transpose(1, 2)).transpose(0, 1)
        return self.wo_b(low_rank.reshape(batch, tokens, -1))

    def probabilities(self, logits):
        """Softmax of the logits [B,T,H,N] beside a sink that takes part of the mass and has no value."""
        sink = self.attn_sink.view(1, 1, -1, 1).expand(*logits.shape[:3], 1)
        return torch.cat([logits, sink], -1).softmax(-1)[..., :-1]


def products(q, keys):
    """q [B,T,H,C], keys [B,N,C] -> [B,T,H,N]"""
    batch, tokens, heads, _ = q.shape
    return torch.bmm(q.flatten(1, 2), keys.transpose(1, 2)).view(batch, tokens, heads, -1)


def weighted_values(p, values):
    """p [B,T,H,N], values [B,N,C] -> [B,T,H,C]"""
    batch, tokens, heads, _ = p.shape
    return torch.bmm(p.flatten(1, 2), values).view(batch, tokens, heads, -1)


class Attention(AttentionProjections):
    """`ratio` 0: window only (SWA). 4: window and the compressed entries that the indexer chooses (CSA).
    Else: window and all compressed entries (HCA)."""

    def __init__(self, switches, config, ratio):
        super().__init__(switches, config, ratio)
        if ratio:
            self.compressor = Compressor(switches, config, ratio, config.head_dim, KEY_GAIN)
        if ratio == 4:
            self.indexer = Indexer(switches, config)
        self.index_loss = None  # of the last forward pass, if it was asked for

    def forward(self, x):
        """x [B,T,D], T a multiple of W -> [B,T,D]"""
        self.index_loss = None
        table = self.table(x.size(1), x.device)
        low_rank, q = self.query(x, table)
        q = q * self.channels**-0.5
        window = self._window_keys(self.keys(x, table))
        logits = self._window_logits(q, window)
        width = logits.size(-1)
        entries = self.compressor(x, table) if self.ratio else x.new_empty(len(x), 0, self.channels)
        if entries.size(1):
            hidden, scores = self._hidden_entries(x, low_rank, table, entries.size(1))
            logits = torch.cat([logits, products(q, entries) + hidden.unsqueeze(2)], -1)
        p = self.probabilities(logits)
        blocks = p[..., :width].reshape(len(window), -1, self.heads, width)
        o = weighted_values(blocks, window).view(q.shape)
        if entries.size(1):
            o = o + weighted_values(p[..., width:], entries)
            if scores is not None:
                self.index_loss = index_loss(scores, p[..., width:].detach())
        return self.output(o, table)

    def _window_keys(self, keys):
        """keys [B,T,C] -> [B*T/W, 2W, C]: each block of W queries sees the keys of its own and of the block
        before."""
        batch, tokens, channels = keys.shape
        window = self.config.sliding_window
        blocks = keys.view(batch, tokens // window, window, channels)
        before = F.pad(blocks, (0, 0, 0, 0, 1, 0))[:, :-1]
        return torch.cat([before, blocks], 2).view(-1, 2 * window, channels)

    def _window_logits(self, q, window_keys):
        """-> [B,T,H,2W]"""
        window = self.config.sliding_window
        batch, tokens = q.shape[:2]
        logits = products(q.reshape(-1, window, self.heads, self.channels), window_keys)
        i = torch.arange(window, device=q.device)[:, None]
        j = torch.arange(2 * window, device=q.device)
        seen = ((j > i) & (j <= i + window)).repeat(tokens // window, 1, 1)
        seen[0] &= j >= window  # before the first block there is nothing
        hidden = torch.zeros(seen.shape, device=q.device).masked_fill(~seen, HIDDEN)
        return (logits + hidden.repeat(batch, 1, 1).unsqueeze(2)).view(batch, tokens, self.heads, -1)

    def _hidden_entries(self, x, low_rank, table, entries):
        """-> (0 for entries that a query sees and HIDDEN for others [B,T,entries], index scores or None)"""
        complete = (torch.arange(x.size(1), device=x.device) + 1) // self.ratio
        seen = torch.arange(entries, device=x.device) < complete[:, None]
        hidden = torch.zeros(seen.shape, device=x.device).masked_fill(~seen, HIDDEN).expand(len(x), -1, -1)
        chooses = self.ratio == 4 and self.switches.sparse and entries > self.config.index_topk
        learns = self.ratio == 4 and self.switches.index_loss and self.training
        if not (chooses or learns):
            return hidden, None
        # The indexer learns from its own loss alone: its choice has no gradient.
        scores = self.indexer(x.detach(), low_rank.detach(), table) + hidden
        if chooses:
            best = best_entries(scores.detach(), self.config.index_topk)
            hidden = hidden + torch.full_like(scores, HIDDEN).scatter(-1, best, 0.0)
        return hidden, scores if learns else None


def best_entries(scores, count):
    """scores [...,N] -> places of the `count` best [...,count]; among equal ones the first, as in the
    engine."""
    return scores.sort(dim=-1, descending=True, stable=True)[1][..., :count]


def index_loss(scores, p):
    """Divergence of softmax(scores) [B,T,N] from the attention that all heads give to entries, p
    [B,T,H,N]."""
    mass = p.sum(2)
    target = mass / mass.sum(-1, keepdim=True).clamp(min=1e-6)
    log_ratio = target.clamp(min=1e-9).log() - scores.log_softmax(-1).clamp(min=-50)
    return (target * log_ratio).sum(-1).mean()
