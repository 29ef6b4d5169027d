"""Writes a vector, the file that `dbvq-wgpu conformance --vectors` reads; docs/vectors.md describes the format."""

import json

import numpy as np
from safetensors.numpy import save_file

FORMAT = "dbvq-wgpu vector 1"


def write(path, op, params, inputs, outputs, cotangents=None, grads=None, note=None):
    """One case. Floating-point arrays must be float32 or float64, indices int64 or uint32."""
    tensors = {}
    parts = {"in": inputs, "out": outputs, "cot": cotangents or {}, "grad": grads or {}}
    for prefix, arrays in parts.items():
        for name, array in arrays.items():
            array = np.ascontiguousarray(array)
            if array.dtype not in (np.float32, np.float64, np.int64, np.uint32):
                raise TypeError(f"{prefix}.{name} is {array.dtype}")
            tensors[f"{prefix}.{name}"] = array
    metadata = {"format": FORMAT, "op": op, "params": json.dumps(params, sort_keys=True)}
    if note:
        metadata["note"] = note
    save_file(tensors, path, metadata=metadata)
