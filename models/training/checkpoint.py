"""Reads checkpoint folders back, as the float32 models that the engine's exact mode computes."""

from pathlib import Path

from training import published_format, safetensors_file
from training.config import Config
from training.draft import Draft
from training.model import Transformer


def load_checkpoint(folder):
    """-> (model, its DSpark draft or None), ready for inference"""
    config = Config.load(Path(folder) / "config.json")
    tensors = safetensors_file.read(Path(folder) / "model.safetensors")
    model = published_format.decode(Transformer(config), tensors).eval().requires_grad_(False)
    model.switches.sparse = True
    if "dspark_block_size" not in config:
        return model, None
    return model, published_format.decode(Draft(config), tensors).eval().requires_grad_(False)
