#!/usr/bin/env python3
"""FID and KID of pytorch-fid and torch-fidelity, to compare ours with.

    DBVQ_TWIN=target/twin cargo test --test fid                      (writes what is compared)
    python3 tools/fid_twin.py target/twin                            (needs tools/requirements-twin.txt)
    python3 tools/fid_twin.py target/twin --golden tests/golden/fid.json

Weights, images and features are made from the same random numbers on both sides. The images go through pytorch-fid as PNG
files. With --golden what the libraries say is written into that file, against which the Rust test compares.
"""

import json
import pathlib
import sys
import tempfile
from unittest import mock

import numpy as np
import torch
from PIL import Image
from pytorch_fid import fid_score, inception
from torch_fidelity.metric_kid import kid_features_to_metric

import inception_weights

# How far numbers may be apart, as a share.
TOLERANCE = 1e-3
SEED = 7
# Sides and numbers of the two sets of images.
SETS = {"a": (32, range(0, 4)), "b": (84, range(4, 7))}
# Rows and columns of two made-up sets of features; the second pair has fewer rows than columns.
SYNTHETIC = {"full": (300, 240, 64), "few": (20, 30, 64)}


# What both sides make ------------------------------------------------------------------------------------------------


def picture(number, side):
    """[side, side, 3] bytes: a slope in each channel and noise."""
    y, x, c = np.meshgrid(np.arange(side), np.arange(side), np.arange(3), indexing="ij")
    slopes = x * (3 + number % 5) + y * (c + 1) * (1 + number % 3) + 40 * number
    noise = inception_weights.words(side * side * 3, SEED, number, 1) % np.uint64(56)
    return (slopes % 200 + noise.astype(int).reshape(side, side, 3)).astype(np.uint8)


def rows(which, count, width):
    """[count, width] features: neighbours depend on each other, set 1 is larger than set 0."""
    u = inception_weights.uniform(count * width, SEED, which, 2).reshape(count, width)
    return ((1 + 0.25 * which) * u + 0.5 * np.roll(u, -1, axis=1)).astype(np.float32)


# What the libraries say ----------------------------------------------------------------------------------------------


def features(model, folder, name):
    side, numbers = SETS[name]
    files = []
    for number in numbers:
        files.append(folder / f"{name}{number:02}.png")
        Image.fromarray(picture(number, side)).save(files[-1])
    return fid_score.get_activations(files, model, batch_size=4, dims=2048, num_workers=0)


def statistics(rows):
    return rows.mean(0), np.cov(rows, rowvar=False)


def kid(a, b):
    """Of the first rows, as many as both have, in one subset."""
    size = min(len(a), len(b))
    a, b = (torch.from_numpy(np.asarray(x[:size], np.float64)) for x in (a, b))
    options = dict(kid_subsets=1, kid_subset_size=size, rng_seed=0, verbose=False)
    return kid_features_to_metric(a, b, **options)["kernel_inception_distance_mean"]


def measured(a, b):
    fid = fid_score.calculate_frechet_distance(*statistics(a.astype(np.float64)), *statistics(b.astype(np.float64)))
    return {"fid": float(fid), "kid": kid(a, b)}


def theirs():
    network = inception_weights.network()
    missing, _ = network.load_state_dict(inception_weights.random(SEED), strict=False)
    assert not any(map(inception_weights.wanted, missing)), missing
    with mock.patch.object(inception, "fid_inception_v3", lambda: network):
        model = inception.InceptionV3([3])
    with tempfile.TemporaryDirectory() as folder:
        of = {name: features(model, pathlib.Path(folder), name) for name in SETS}
    found = {"network": measured(of["a"], of["b"])}
    for name, (first, second, width) in SYNTHETIC.items():
        found[name] = measured(rows(0, first, width), rows(1, second, width))
    return found, of


# Comparison ----------------------------------------------------------------------------------------------------------


def summary(rows):
    """Every 64th feature of each image, and the length of all together."""
    return {"some": rows[:, ::64].tolist(), "length": np.linalg.norm(rows, axis=1).tolist()}


def compare(folder, found, of):
    ours = json.loads((folder / "fid.json").read_text())
    wrong = []

    def check(what, off):
        print(f"{what}: off by {off:.1e}")
        if not off < TOLERANCE:
            wrong.append(what)

    for name, rows in of.items():
        mine = np.array(ours[f"features {name}"]).reshape(rows.shape)
        check(f"features {name}, largest, share of their root mean square", np.abs(mine - rows).max() / np.sqrt((rows**2).mean()))
    for name, numbers in found.items():
        for metric, number in numbers.items():
            check(f"{metric} {name} ({number:.6g})", abs(ours[name][metric] / number - 1))
    # A file of ours as pytorch-fid reads it.
    with np.load(folder / "statistics.npz") as file:
        mean, covariance = statistics(rows_of_file())
        check("statistics.npz, mean", np.abs(file["mu"] - mean).max())
        check("statistics.npz, covariance", np.abs(file["sigma"] - covariance).max())
    return wrong


def rows_of_file():
    return rows(0, 40, 6).astype(np.float64)


def main():
    folder = pathlib.Path(sys.argv[1])
    torch.set_num_threads(2)
    found, of = theirs()
    if "--golden" in sys.argv:
        golden = pathlib.Path(sys.argv[sys.argv.index("--golden") + 1])
        found["features"] = {name: summary(rows) for name, rows in of.items()}
        golden.write_text(json.dumps(found) + "\n")
        mean, covariance = statistics(rows_of_file())
        np.savez_compressed(golden.with_name("fid-statistics.npz"), mu=mean, sigma=covariance)
        return
    wrong = compare(folder, found, of)
    if wrong:
        sys.exit(f"differs from pytorch-fid or torch-fidelity: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
