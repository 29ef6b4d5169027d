"""Has TensorBoard read the event files of a run directory, and compares what it sees with metrics.jsonl and the pictures.

    python tools/tensorboard_check.py RUN
"""

import json
import pathlib
import struct
import sys

from tensorboard.backend.event_processing.event_accumulator import IMAGES, SCALARS, EventAccumulator


def single(value):
    """`value` as a float of 32 bits, as events hold it."""
    return struct.unpack("f", struct.pack("f", value))[0]


def logged(run):
    """The numbers of metrics.jsonl by name and step."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {(name, line["step"]): single(value) for line in lines for name, value in line.items() if name != "step"}


def main(run):
    events = EventAccumulator(str(run), size_guidance={SCALARS: 0, IMAGES: 0}).Reload()
    tags = events.Tags()
    seen = [((tag, event.step), event.value) for tag in tags[SCALARS] for event in events.Scalars(tag)]
    assert len(seen) == len(dict(seen)), "TensorBoard sees a step twice"
    assert seen and dict(seen) == logged(run), f"TensorBoard sees {dict(seen)}, metrics.jsonl has {logged(run)}"
    pictures = [(tag, event) for tag in tags[IMAGES] for event in events.Images(tag)]
    for tag, event in pictures:
        file = run / f"{tag}-{event.step:06}.png"
        assert event.encoded_image_string == file.read_bytes(), f"TensorBoard sees another picture than {file}"
    assert len(pictures) == len(list(run.glob("*.png"))) > 0, f"TensorBoard sees {len(pictures)} pictures"
    print(f"TensorBoard reads {len(seen)} numbers and {len(pictures)} pictures as they are in {run}")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
