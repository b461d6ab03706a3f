"""Manifold-constrained hyper-connections (docs/spec/model.md 3.2): n residual streams, mixed before and after
each sub-layer by weights that depend on the token. T counts tokens, n streams, D channels."""

import torch
import torch.nn.functional as F
from torch import nn


def mixing_logits(streams, projection, eps):
    """streams [T,n,D], projection [m,n*D] -> [T,m]: the projection of the streams at unit RMS."""
    flat = streams.flatten(1)
    return F.linear(flat, projection) * torch.rsqrt(flat.square().mean(-1, keepdim=True) + eps)


def sinkhorn(logits, iterations, eps):
    """logits [T,n,n] -> matrices whose columns sum to 1 and whose rows nearly do."""
    m = logits.softmax(-1) + eps
    m = m / (m.sum(-2, keepdim=True) + eps)
    for _ in range(iterations - 1):
        m = m / (m.sum(-1, keepdim=True) + eps)
        m = m / (m.sum(-2, keepdim=True) + eps)
    return m


class HyperConnection(nn.Module):
    """The mixing around sub-layer number `index`, counted over the whole model. It starts near the identity:
    each sub-layer reads mostly one stream and writes mostly the next."""

    def __init__(self, config, index):
        super().__init__()
        n, width = config.hc_mult, config.hidden_size
        self.n, self.iterations = n, config.hc_sinkhorn_iters
        self.eps, self.norm_eps = config.hc_eps, config.rms_norm_eps
        read = torch.full((n,), -1.0)
        read[index % n] = 2.0
        write = torch.full((n,), -1.0)
        write[(index + 1) % n] = 1.0
        self.fn = nn.Parameter(torch.randn((2 + n) * n, n * width) * 0.02)
        self.base = nn.Parameter(torch.cat([read, write, (4.0 * torch.eye(n)).flatten()]))
        self.scale = nn.Parameter(torch.full((3,), 0.1))

    def reduce(self, streams):
        """streams [T,n,D] -> (input of the sub-layer [T,D], weights for `expand`)."""
        n = self.n
        logits = mixing_logits(streams, self.fn, self.norm_eps)
        read, write, mix = logits.split([n, n, n * n], 1)
        read = torch.sigmoid(read * self.scale[0] + self.base[:n]) + self.eps
        write = 2 * torch.sigmoid(write * self.scale[1] + self.base[n : 2 * n])
        mix = (mix * self.scale[2] + self.base[2 * n :]).view(-1, n, n)
        mix = sinkhorn(mix, self.iterations, self.eps)
        return torch.bmm(read.unsqueeze(1), streams).squeeze(1), (write, mix)

    def expand(self, output, streams, weights):
        """output of the sub-layer [T,D], streams that `reduce` read -> streams [T,n,D] for the next
        sub-layer."""
        write, mix = weights
        return torch.baddbmm(write.unsqueeze(-1) * output.unsqueeze(1), mix.transpose(1, 2), streams)


class StreamHead(nn.Module):
    """Collapses the streams before the last norm (docs/spec/model.md 3.10)."""

    def __init__(self, config):
        super().__init__()
        n = config.hc_mult
        self.eps, self.norm_eps = config.hc_eps, config.rms_norm_eps
        self.fn = nn.Parameter(torch.randn(n, n * config.hidden_size) * 0.02)
        self.base = nn.Parameter(torch.zeros(n))
        self.scale = nn.Parameter(torch.full((1,), 0.1))

    def forward(self, streams):
        """[T,n,D] -> [T,D]"""
        logits = mixing_logits(streams, self.fn, self.norm_eps)
        read = torch.sigmoid(logits * self.scale + self.base) + self.eps
        return torch.bmm(read.unsqueeze(1), streams).squeeze(1)
