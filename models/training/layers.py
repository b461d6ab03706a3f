"""What all parts of the model are made of: switches, linear layers, RMS norms, rotary positions."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from training.number_formats import ROUND_TRIPS


class Switches:
    """One object per model, seen by all its modules."""

    quantized = False  # weights act as rounded to their export formats
    sparse = False  # CSA layers attend only to the entries that the indexer chooses
    index_loss = False  # CSA layers collect the indexer's loss


class Linear(nn.Module):
    """y = x W^T, W [outputs, inputs], stored in `storage` ("fp8" or "bf16")."""

    def __init__(self, switches, inputs, outputs, storage="fp8", gain=1.0):
        super().__init__()
        self.switches, self.storage = switches, storage
        self.weight = nn.Parameter(torch.randn(outputs, inputs) * (0.7 * gain / math.sqrt(inputs)))

    def matrix(self):
        return ROUND_TRIPS[self.storage](self.weight) if self.switches.quantized else self.weight

    def forward(self, x):
        return F.linear(x, self.matrix())


class RMSNorm(nn.Module):
    """docs/spec/model.md 3.0. `weight` starts at `gain`."""

    def __init__(self, width, eps, gain=1.0):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.full((width,), gain)), eps

    def forward(self, x):
        return unit_rms(x, self.eps) * self.weight


def unit_rms(x, eps):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)


def rotary_table(config, positions, compressed, device):
    """cos + i sin [positions, rope/2]. Layers with compression have the larger base and YaRN ("RoPE tables"
    in docs/spec/model.md section 1)."""
    width = config.qk_rope_head_dim
    base = config.compress_rope_theta if compressed else config.rope_theta
    frequency = 1.0 / (base ** (torch.arange(0, width, 2, dtype=torch.float32) / width))
    if compressed:
        scaling = config.rope_scaling
        trained = scaling["original_max_position_embeddings"]

        def channel(rotations):
            return width * math.log(trained / (rotations * 2 * math.pi)) / (2 * math.log(base))

        low = max(math.floor(channel(scaling["beta_fast"])), 0)
        high = min(math.ceil(channel(scaling["beta_slow"])), width - 1)
        span = high - low if high > low else 0.001
        ramp = ((torch.arange(width // 2, dtype=torch.float32) - low) / span).clamp(0, 1)
        frequency = frequency / scaling["factor"] * ramp + frequency * (1 - ramp)
    angle = torch.outer(torch.arange(positions, dtype=torch.float32), frequency)
    return torch.polar(torch.ones_like(angle), angle).to(device)


def rotate(x, table):
    """Rotates the last 2 * table.size(-1) channels of x in neighbouring pairs; `table` broadcasts against
    x."""
    width = 2 * table.size(-1)
    pairs = x[..., -width:].reshape(*x.shape[:-1], width // 2, 2).contiguous()
    turned = torch.view_as_real(torch.view_as_complex(pairs) * table)
    return torch.cat([x[..., :-width], turned.flatten(-2)], -1)
