"""Reads and writes safetensors files: a header of names, types and places, then the bytes."""

import json
import struct
from pathlib import Path

import numpy as np

# Type in the file -> numpy type of the raw bytes. BF16 stays 16 bits, which numpy has no name for.
DTYPES = {
    "F32": np.float32,
    "I32": np.int32,
    "I64": np.int64,
    "BF16": np.uint16,
    "I8": np.uint8,
    "F8_E4M3": np.uint8,
    "F8_E8M0": np.uint8,
}


def write(path, tensors):
    """tensors: name -> (type in the file, array of that type)."""

    def width(name):
        return np.dtype(DTYPES[tensors[name][0]]).itemsize

    names = sorted(tensors, key=lambda name: (-width(name), name))  # wide ones first, so that all are aligned
    header, end = {"__metadata__": {"format": "pt"}}, 0
    for name in names:
        dtype, array = tensors[name]
        assert array.dtype == DTYPES[dtype], name
        header[name] = dict(dtype=dtype, shape=list(array.shape), data_offsets=[end, end + array.nbytes])
        end += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for name in names:
            file.write(np.ascontiguousarray(tensors[name][1]).tobytes())


def read(path):
    """-> name -> (type in the file, array)"""
    data = Path(path).read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        array = np.frombuffer(data[8 + length + begin : 8 + length + end], DTYPES[entry["dtype"]])
        tensors[name] = (entry["dtype"], array.reshape(entry["shape"]))
    return tensors
