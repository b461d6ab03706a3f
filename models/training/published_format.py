"""Weights in the names and formats of published checkpoints (docs/spec/model.md section 2,
docs/spec/dspark.md 1.9), and back."""

import numpy as np
import torch

from training.experts import Experts, Gate
from training.hyper_connections import HyperConnection, StreamHead
from training.layers import Linear
from training.number_formats import ROUND_TRIPS, quantize_fp4, quantize_fp8, spread_tiles

E2M1 = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0])  # by code
_F32_NAMES = ("ape", "attn_sink")


def storages(model):
    """State name -> "fp8", "fp4", "bf16", "f32" or "i64", for every weight of the model."""
    found = {}
    for name in model.state_dict():
        found[name] = "f32" if name.rsplit(".", 1)[-1] in _F32_NAMES else "bf16"
    for prefix, module in model.named_modules():
        for name in module.state_dict():
            key = f"{prefix}.{name}"
            if isinstance(module, (Linear, Experts)):
                found[key] = module.storage
            elif isinstance(module, (HyperConnection, StreamHead)):
                found[key] = "f32"
            elif isinstance(module, Gate) and name != "weight":
                found[key] = "i64" if name == "tid2eid" else "f32"
    return found


@torch.no_grad()
def round_weights(model):
    """Rounds every weight to what a checkpoint stores, so that the model equals the exported one."""
    state, storage = model.state_dict(), storages(model)
    for name, value in state.items():
        if storage[name] in ROUND_TRIPS:
            value.copy_(ROUND_TRIPS[storage[name]](value))


def published_name(name):
    """The tensor of a state name, without .weight, .scale and the number of an expert."""
    for module in ("hc_attn", "hc_ffn", "hc_head"):
        name = name.replace(f"{module}.", f"{module}_")
    name = name.replace("markov_w", "markov_head.markov_w").replace("confidence", "confidence_head.proj")
    return name[: -len(".weight")] if name.endswith(".weight") else name


def matrices(name, tensor):
    """Experts are stored one by one, the shared one without a number. -> [(published name, matrix)]"""
    base = published_name(name)
    if ".experts." in name:
        prefix, matrix = base.rsplit(".", 1)
        return [(f"{prefix}.{i}.{matrix}", t) for i, t in enumerate(tensor)]
    return [(base, tensor[0] if ".shared_experts." in name else tensor)]


def encode(model):
    """-> published name -> (type, array), as training.safetensors_file writes them"""
    state, storage, tensors = model.state_dict(), storages(model), {}
    for name, value in state.items():
        for base, tensor in matrices(name, value.detach().cpu()):
            tensors.update(_ENCODERS[storage[name]](base, tensor))
    return tensors


def _encode_fp8(base, w):
    values, scale = quantize_fp8(w)
    return {
        base + ".weight": ("F8_E4M3", e4m3_codes(values)),
        base + ".scale": ("F8_E8M0", e8m0_codes(scale)),
    }


def _encode_fp4(base, w):
    values, scale = quantize_fp4(w)
    return {base + ".weight": ("I8", e2m1_codes(values)), base + ".scale": ("F8_E8M0", e8m0_codes(scale))}


def _encode_bf16(base, w):
    bits = w.bfloat16().view(torch.int16).numpy().view(np.uint16)
    return {base + ".weight": ("BF16", bits)}


_ENCODERS = {
    "fp8": _encode_fp8,
    "fp4": _encode_fp4,
    "bf16": _encode_bf16,
    "f32": lambda base, w: {base: ("F32", w.float().numpy())},
    "i64": lambda base, w: {base: ("I64", w.numpy())},
}


def e4m3_codes(values):
    """Values on the E4M3 grid -> bytes: sign, 4 bits exponent, 3 bits mantissa."""
    size = values.abs()
    exponent = (torch.frexp(size)[1] - 1).clamp(min=-6)
    significand = torch.round(torch.ldexp(size, 3 - exponent)).int()  # from 8 on with the hidden bit
    code = torch.where(significand >= 8, (exponent + 7) * 8 + significand - 8, significand)
    return (code + 128 * (values < 0)).byte().numpy()


def e8m0_codes(scale):
    """Powers of two -> their exponents plus 127."""
    return (torch.frexp(scale)[1] - 1 + 127).byte().numpy()


def e2m1_codes(values):
    """Values on the E2M1 grid [...,K] -> [...,K/2]: two codes a byte, the first one low."""
    codes = torch.bucketize(values.abs(), E2M1) + 8 * (values < 0)
    return (codes[..., 0::2] + 16 * codes[..., 1::2]).byte().numpy()


def decode(model, tensors):
    """Fills the model with the tensors of a checkpoint, as float32."""
    state, storage = model.state_dict(), storages(model)
    for name, value in state.items():
        for base, place in matrices(name, value):
            place.copy_(_decoded(tensors, base, storage[name]))
    return model


def _decoded(tensors, base, storage):
    if storage in ("f32", "i64"):
        return torch.from_numpy(tensors[base][1].copy())
    stored = tensors[base + ".weight"][1]
    if storage == "bf16":
        return torch.from_numpy((stored.astype(np.uint32) << 16).view(np.float32))
    codes = torch.from_numpy(stored.astype(np.int64))
    scale = torch.ldexp(torch.ones(()), torch.from_numpy(tensors[base + ".scale"][1].astype(np.int32)) - 127)
    if storage == "fp4":
        values = torch.cat([E2M1, -E2M1])[torch.stack([codes & 15, codes >> 4], -1).flatten(-2)]
        return values * scale.repeat_interleave(32, -1)
    return e4m3_values()[codes] * spread_tiles(scale, codes.shape)


def e4m3_values():
    """The 256 values by code."""
    code = torch.arange(256)
    exponent, mantissa = (code >> 3) & 15, (code & 7) / 8
    size = torch.where(exponent == 0, mantissa * 2.0**-6, (1 + mantissa) * 2.0 ** (exponent - 7.0))
    size[(code & 127) == 127] = float("nan")
    return torch.where(code >= 128, -size, size)
