#!/usr/bin/env python3
"""pytorch-fid's Inception-v3 as a safetensors file for `dbvq-wgpu`.

    python3 tools/inception_weights.py pt_inception-2015-12-05-6726825d.pth inception.safetensors
    python3 tools/inception_weights.py --random 7 random.safetensors

The first needs torch and safetensors, the second (weights without meaning, for tests) pytorch-fid too. Names and layouts
stay PyTorch's: `Mixed_5b.branch1x1.conv.weight` [out, in, height, width] and `….bn.weight`, `bias`, `running_mean`,
`running_var` [out], all float32. The classifier is left out.
"""

import math
import pathlib
import sys
from unittest import mock

import numpy as np
import torch
from safetensors.torch import save_file

LEFT_OUT = ("fc.", "AuxLogits.")


# Random numbers ------------------------------------------------------------------------------------------------------


def words(count, seed, step, stream):
    """`count` random words: Philox-4x32-10 with key `seed`, counters (index / 4, 0, step, stream); as src/philox.rs."""
    word = np.uint64(0xFFFFFFFF)
    block = np.arange((count + 3) // 4, dtype=np.uint64)
    c = [block, np.zeros_like(block), np.full_like(block, step), np.full_like(block, stream)]
    key = [np.uint64(seed & 0xFFFFFFFF), np.uint64(seed >> 32)]
    for _ in range(10):
        a, b = np.uint64(0xD2511F53) * c[0], np.uint64(0xCD9E8D57) * c[2]
        high = np.uint64(32)
        c = [(b >> high) ^ c[1] ^ key[0], b & word, (a >> high) ^ c[3] ^ key[1], a & word]
        key = [(key[0] + np.uint64(0x9E3779B9)) & word, (key[1] + np.uint64(0xBB67AE85)) & word]
    return np.stack(c, 1).reshape(-1)[:count]


def uniform(count, seed, step, stream):
    """Uniform in (0, 1), exact in float32."""
    return ((words(count, seed, step, stream) >> np.uint64(9)) + 0.5) * 2.0**-23


def number_of(name):
    """A number for a tensor's name."""
    number = 0
    for byte in name.encode():
        number = (31 * number + byte) % 2**32
    return number


# Weights -------------------------------------------------------------------------------------------------------------


def network():
    """pytorch-fid's network with PyTorch's own initial weights: nothing is downloaded."""
    from pytorch_fid import inception

    with (
        mock.patch.object(inception, "load_state_dict_from_url", lambda *_, **__: {}),
        mock.patch.object(torch.nn.Module, "load_state_dict", lambda *_, **__: None),
    ):
        return inception.fid_inception_v3()


def wanted(name):
    return not name.startswith(LEFT_OUT) and not name.endswith("num_batches_tracked")


def random(seed):
    """A tensor for each name that is wanted, of scales that keep activations as large as they are."""
    return {name: entries(seed, name, list(value.shape)) for name, value in network().state_dict().items() if wanted(name)}


def entries(seed, name, shape):
    bound = math.sqrt(6 / math.prod(shape[1:]))
    ranges = {
        "conv.weight": (-bound, bound),
        "bn.weight": (0.8, 1.2),
        "bn.bias": (-0.2, 0.2),
        "bn.running_mean": (-0.1, 0.1),
        "bn.running_var": (0.5, 1.5),
    }
    low, high = next(value for end, value in ranges.items() if name.endswith(end))
    values = low + (high - low) * uniform(math.prod(shape), seed, number_of(name), 0)
    return torch.from_numpy(values.astype(np.float32).reshape(shape))


def main():
    if len(sys.argv) == 4 and sys.argv[1] == "--random":
        tensors = random(int(sys.argv[2]))
    elif len(sys.argv) == 3:
        state = torch.load(sys.argv[1], map_location="cpu", weights_only=True)
        tensors = {name: value.float().contiguous() for name, value in state.items() if wanted(name)}
    else:
        sys.exit(__doc__)
    out = pathlib.Path(sys.argv[-1])
    save_file(tensors, out)
    print(f"{out}: {len(tensors)} tensors, {sum(value.numel() for value in tensors.values())} numbers")


if __name__ == "__main__":
    main()
