"""Mixture of experts (docs/spec/model.md 3.9). T counts tokens, D channels, E experts, K experts of a
token."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from training.number_formats import ROUND_TRIPS

_HASH_SEED = 1234


class Gate(nn.Module):
    """Chooses K experts per token: by its id in the first layers, by score plus a balancing bias in the
    others."""

    def __init__(self, config, layer):
        super().__init__()
        self.k, self.experts = config.num_experts_per_tok, config.n_routed_experts
        self.scale = config.routed_scaling_factor
        self.weight = nn.Parameter(torch.randn(self.experts, config.hidden_size) * 0.05)
        self.by_token = layer < config.num_hash_layers
        if self.by_token:
            generator = torch.Generator().manual_seed(_HASH_SEED + layer)
            order = torch.rand(config.vocab_size, self.experts, generator=generator).argsort(1)
            self.register_buffer("tid2eid", order[:, : self.k].contiguous())
        else:
            self.register_buffer("bias", torch.zeros(self.experts))
        self.load = None  # tokens per expert [E] since the last balance()

    def forward(self, x, ids):
        """x [T,D], ids [T] -> (weights [T,K], experts [T,K])"""
        score = F.softplus(F.linear(x, self.weight)).clamp(min=1e-12).sqrt()
        if self.by_token:
            chosen = self.tid2eid[ids]
        else:
            chosen = (score.detach() + self.bias).topk(self.k, -1)[1]
            if self.training:
                count = torch.bincount(chosen.flatten(), minlength=self.experts).float()
                self.load = count if self.load is None else self.load + count
        weight = score.gather(1, chosen)
        return weight / weight.sum(-1, keepdim=True) * self.scale, chosen

    @torch.no_grad()
    def balance(self, rate):
        """Moves each expert's bias by `rate` toward the mean load: balance without a loss of its own."""
        if self.load is not None:
            self.bias += rate * torch.sign(self.load.mean() - self.load)
            self.bias -= self.bias.mean()
            self.load = None


class Experts(nn.Module):
    """`count` feed-forward networks, stacked: w1, w3 [count, inner, D] and w2 [count, D, inner]."""

    def __init__(self, switches, config, count, storage):
        super().__init__()
        width, inner = config.hidden_size, config.moe_intermediate_size
        self.switches, self.storage, self.limit = switches, storage, config.swiglu_limit
        self.w1 = nn.Parameter(torch.randn(count, inner, width) * (0.7 / math.sqrt(width)))
        self.w3 = nn.Parameter(torch.randn(count, inner, width) * (0.7 / math.sqrt(width)))
        self.w2 = nn.Parameter(torch.randn(count, width, inner) * (0.35 / math.sqrt(inner)))

    def matrices(self):
        """One (w1, w2, w3) per expert, as exported if weights are quantised."""
        stacked = (self.w1, self.w2, self.w3)
        if self.switches.quantized:
            stacked = [ROUND_TRIPS[self.storage](w) for w in stacked]
        return list(zip(*(w.unbind(0) for w in stacked)))

    def run(self, x, matrices, weight=1.0):
        """x [T,D], weight [T,1] or 1 -> [T,D]"""
        w1, w2, w3 = matrices
        gate, up = F.linear(x, w1), F.linear(x, w3)
        hidden = F.silu(gate.clamp(max=self.limit)) * up.clamp(-self.limit, self.limit)
        return F.linear(hidden * weight, w2)


class MixtureOfExperts(nn.Module):
    def __init__(self, switches, config, layer):
        super().__init__()
        self.gate = Gate(config, layer)
        self.experts = Experts(switches, config, config.n_routed_experts, config.expert_dtype)
        self.shared_experts = Experts(switches, config, 1, "fp8")

    def forward(self, x, ids):
        """x [T,D], ids [T] -> [T,D]"""
        weight, chosen = self.gate(x, ids)
        pair = chosen.flatten().argsort()  # (token, place) pairs, grouped by expert
        token = torch.div(pair, chosen.size(1), rounding_mode="floor")
        counts = torch.bincount(chosen.flatten(), minlength=self.gate.experts).tolist()
        inputs = x[token].split(counts)
        weights = weight.flatten()[pair].unsqueeze(1).split(counts)
        routed = [
            self.experts.run(rows, matrices, w)
            for rows, w, matrices in zip(inputs, weights, self.experts.matrices())
        ]
        shared = self.shared_experts.run(x, self.shared_experts.matrices()[0])
        return shared.index_add(0, token, torch.cat(routed))
