"""The number formats of published checkpoints (docs/spec/model.md section 2.1), as values in float32.

A quantiser returns values on the grid of its format and their scales, which are powers of two. The stored
number is value * scale; round_trip functions return that, with the gradient of the identity (a
straight-through estimator), so that training feels the rounding of the export.
"""

import torch
import torch.nn.functional as F

FP8_TILE = 128  # rows and columns that share a scale
FP8_MAX = 448.0
FP4_GROUP = 32  # columns of one row that share a scale
FP4_MAX = 6.0


def power_of_two_at_least(x):
    mantissa, exponent = torch.frexp(x)
    return torch.ldexp(torch.ones_like(x), torch.where(mantissa == 0.5, exponent - 1, exponent))


def round_to_grid(x, largest, mantissa_bits, least_exponent):
    """Round to nearest, ties to even, onto 1 + mantissa_bits significant bits; subnormal below
    2^least_exponent."""
    x = x.clamp(-largest, largest)
    exponent = (torch.frexp(x)[1] - 1).clamp(min=least_exponent)
    step = torch.ldexp(torch.ones_like(x), exponent - mantissa_bits)
    return torch.round(x / step) * step


def round_e4m3(x):
    return round_to_grid(x, FP8_MAX, 3, -6)


def round_e2m1(x):
    return round_to_grid(x, FP4_MAX, 1, 0)


def spread_tiles(scale, shape):
    """scale [ceil(N/128), ceil(K/128)] -> [N,K], each scale over its tile."""
    rows = scale.repeat_interleave(FP8_TILE, 0)[: shape[0]]
    return rows.repeat_interleave(FP8_TILE, 1)[:, : shape[1]]


def quantize_fp8(w):
    """w [N,K] -> (values on the E4M3 grid [N,K], scale [ceil(N/128), ceil(K/128)])."""
    rows, columns = w.shape
    down, across = -(-rows // FP8_TILE), -(-columns // FP8_TILE)
    padded = F.pad(w, (0, across * FP8_TILE - columns, 0, down * FP8_TILE - rows))
    largest = padded.view(down, FP8_TILE, across, FP8_TILE).abs().amax((1, 3))
    scale = power_of_two_at_least(largest.clamp(min=1e-4) / FP8_MAX)
    return round_e4m3(w / spread_tiles(scale, w.shape)), scale


def quantize_fp4(w):
    """w [...,K] -> (values on the E2M1 grid [...,K], scale [...,K/32])."""
    groups = w.unflatten(-1, (-1, FP4_GROUP))
    scale = power_of_two_at_least(groups.abs().amax(-1).clamp(min=FP4_MAX * 2.0**-126) / FP4_MAX)
    return round_e2m1(groups / scale.unsqueeze(-1)).flatten(-2), scale


def straight_through(w, rounded):
    return w + (rounded - w).detach()


def round_trip_fp8(w):
    value, scale = quantize_fp8(w.detach())
    return straight_through(w, value * spread_tiles(scale, w.shape))


def round_trip_fp4(w):
    value, scale = quantize_fp4(w.detach())
    return straight_through(w, value * scale.repeat_interleave(FP4_GROUP, -1))


def round_trip_bf16(w):
    return straight_through(w, w.detach().bfloat16().float())


def _round_trip_each_fp8(w):
    """w [E,N,K]: every matrix has its own tiles."""
    return torch.stack([round_trip_fp8(matrix) for matrix in w])


ROUND_TRIPS = {
    "fp8": lambda w: _round_trip_each_fp8(w) if w.dim() == 3 else round_trip_fp8(w),
    "fp4": round_trip_fp4,
    "bf16": round_trip_bf16,
}
