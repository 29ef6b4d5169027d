"""Writes a vector, the file that `dbvq-wgpu conformance --vectors` reads; docs/vectors.md describes the format."""

import json
import struct

import numpy as np

FORMAT = "dbvq-wgpu vector 1"
TYPES = {"float32": "F32", "float64": "F64", "int64": "I64", "uint32": "U32"}


def write(path, op, params, inputs, outputs, cotangents=None, grads=None, note=None):
    """One case. Floating-point arrays must be float32 or float64, indices int64 or uint32.

    The package `safetensors` writes metadata in an order of its own each time; here equal content gives equal bytes.
    """
    parts = {"in": inputs, "out": outputs, "cot": cotangents or {}, "grad": grads or {}}
    named = [(f"{part}.{name}", array) for part, arrays in parts.items() for name, array in arrays.items()]
    metadata = {"format": FORMAT, "op": op, "params": json.dumps(params, sort_keys=True)}
    header = {"__metadata__": metadata | ({"note": note} if note else {})}
    data = b""
    # Larger elements first, so that all are aligned.
    for name, array in sorted(named, key=lambda entry: (-entry[1].dtype.itemsize, entry[0])):
        if array.dtype.name not in TYPES:
            raise TypeError(f"{name} is {array.dtype}")
        raw = np.asarray(array, array.dtype.newbyteorder("<")).tobytes()
        offsets = [len(data), len(data) + len(raw)]
        header[name] = {"dtype": TYPES[array.dtype.name], "shape": list(array.shape), "data_offsets": offsets}
        data += raw
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
