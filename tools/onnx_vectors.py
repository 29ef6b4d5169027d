#!/usr/bin/env python3
"""ONNX's own test cases as vectors for `dbvq-wgpu conformance --vectors`.

    python3 -m pip install -r tools/requirements-onnx.txt
    python3 tools/onnx_vectors.py OUT_DIR

The package `onnx` carries node cases, `onnx/backend/test/data/node/NAME`: a model of one node with its inputs and
outputs (Apache-2.0). Each case that our operations can express becomes `OUT_DIR/NAME.safetensors` (and
`NAME.OUTPUT.safetensors` for further outputs of the same case); the `_expanded` duplicates are left out. `coverage.json`
and `coverage.md` in the same folder say per operator how many cases are covered and name every other one with the
reason; with `--docs FILE` the table is also put into that page, between its two `coverage` comments.

A case may be rewritten only where that is plainly the same mathematics, and the file's `note` then says what was done:
* shapes: a one-dimensional convolution or pool is one of height 1, matrices get a batch of 1, an axis moves to the
  place where our operation has it (and the expected result with it);
* numbers folded beforehand: Gemm's alpha and beta, class weights and `ignore_index` into weights per row;
* padding of one side put into the input: zeros, or for a maximum a number below every other;
* heads of keys and values repeated where queries share them, and columns of zeros where the values' size differs.
Nothing is computed from the expected results, and none of them is changed in value. A rewriting is checked in no way
here: if it were wrong, the vector would fail on every adapter.
"""

import argparse
import json
import math
import pathlib
import sys

import numpy as np
import onnx
from onnx import helper, numpy_helper

from vector_file import write

CONVERTERS = {}
# Cases whose own data do not allow a comparison at f32's precision.
INEXACT = {"test_averagepool_2d_ceil_last_window_starts_on_pad": "its expected result is given to four digits only"}


class Left(Exception):
    """Why a case is left out."""


def operator(*names):
    """Registers a converter: it takes a `Case` and returns an `Op`, or a list of (suffix, `Op`)."""

    def register(function):
        CONVERTERS.update(dict.fromkeys(names, function))
        return function

    return register


class Op:
    """One vector to write."""

    def __init__(self, op, inputs, outputs, note=None, **params):
        self.op, self.inputs, self.outputs, self.note, self.params = op, inputs, outputs, note, params


class Case:
    """A node case: attributes, inputs by position (None where absent), outputs by position."""

    def __init__(self, folder):
        model = onnx.load(folder / "model.onnx")
        (node,) = model.graph.node
        self.name, self.operator = folder.name, node.op_type
        self.attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        given = self.read(folder, "input", model.graph.input)
        made = self.read(folder, "output", model.graph.output)
        self.inputs = [given.get(name) for name in node.input]
        self.outputs = [made.get(name) for name in node.output]

    @staticmethod
    def read(folder, kind, values):
        arrays = {}
        for i, value in enumerate(values):
            if not value.type.HasField("tensor_type"):
                raise Left("an optional or a sequence, not a tensor")
            tensor = onnx.TensorProto()
            tensor.ParseFromString((folder / "test_data_set_0" / f"{kind}_{i}.pb").read_bytes())
            arrays[value.name] = numpy_helper.to_array(tensor)
        return arrays

    def attribute(self, name, default=None):
        value = self.attributes.get(name, default)
        return value.decode() if isinstance(value, bytes) else value

    def input(self, position):
        return self.inputs[position] if position < len(self.inputs) else None

    @property
    def x(self):
        return floats(self.inputs[0])

    @property
    def y(self):
        return floats(self.outputs[0])


def floats(array):
    if array.dtype not in (np.float32, np.float64):
        raise Left(f"{array.dtype}, and kernels compute in f32")
    if array.size == 0:
        raise Left("an empty tensor")
    if not np.isfinite(array).all():
        raise Left("infinities or NaN")
    return array


def axis_last(array, axis):
    return np.moveaxis(array, axis, -1)


# Functions of one element and arithmetic ---------------------------------------------------------------------------

UNARY = {"Exp": "exp", "Log": "log", "Relu": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh"}


@operator(*UNARY)
def unary(case):
    return Op(UNARY[case.operator], {"x": case.x}, {"y": case.y})


@operator("Neg")
def negation(case):
    return Op("affine", {"x": case.x}, {"y": case.y}, scale=-1.0, shift=0.0)


@operator("Identity")
def identity(case):
    return Op("affine", {"x": case.x}, {"y": case.y}, scale=1.0, shift=0.0)


@operator("Elu")
def elu(case):
    if case.attribute("alpha", 1.0) != 1.0:
        raise Left("alpha is not 1")
    return Op("elu", {"x": case.x}, {"y": case.y})


@operator("Gelu")
def gelu(case):
    if case.attribute("approximate", "none") != "none":
        raise Left("the tanh approximation")
    return Op("gelu", {"x": case.x}, {"y": case.y})


@operator("Swish")
def swish(case):
    if case.attribute("alpha", 1.0) != 1.0:
        raise Left("alpha is not 1")
    return Op("silu", {"x": case.x}, {"y": case.y})


BINARY = {"Add": "add", "Sub": "sub", "Mul": "mul", "Div": "div"}


@operator(*BINARY)
def binary(case):
    return Op(BINARY[case.operator], {"a": case.x, "b": floats(case.inputs[1])}, {"y": case.y})


@operator("Reciprocal")
def reciprocal(case):
    one = np.ones(1, np.float32)
    return Op("div", {"a": one, "b": case.x}, {"y": case.y}, "1 is a tensor of one element")


@operator("Sum", "Mean")
def of_all_inputs(case):
    stacked = np.stack([floats(x) for x in case.inputs])
    return Op(case.operator.lower(), {"x": stacked}, {"y": case.y}, "the inputs are stacked along a new axis 0", axis=0)


# Sums and layout ---------------------------------------------------------------------------------------------------


@operator("ReduceSum", "ReduceMean", "ReduceSumSquare")
def reduction(case):
    x, axes = case.x, case.input(1)
    axes = list(case.attribute("axes", [])) if axes is None else axes.tolist()
    if not axes:
        if case.attribute("noop_with_empty_axes", 0):
            raise Left("nothing is reduced")
        axes = list(range(x.ndim))
    op = {"ReduceSum": "sum", "ReduceMean": "mean", "ReduceSumSquare": "sum_square"}[case.operator]
    kept = [size for i, size in enumerate(x.shape) if i not in [axis % x.ndim for axis in axes]]
    return Op(op, {"x": x}, {"y": case.y.reshape(kept)}, axis=axes)


@operator("ArgMin", "ArgMax")
def extremum(case):
    x, axis = case.x, case.attribute("axis", 0)
    codes, notes = case.outputs[0].reshape([size for i, size in enumerate(x.shape) if i != axis % x.ndim]), []
    if case.operator == "ArgMax":
        x, notes = -x, ["the least of the negated numbers"]
    if case.attribute("select_last_index", 0):
        x, codes = np.flip(x, axis), x.shape[axis] - 1 - codes
        notes.append("the last of equals is the first of the reversed axis")
    return Op("argmin", {"x": x}, {"codes": codes}, "; ".join(notes) or None, axis=axis)


@operator("Concat")
def concatenation(case):
    if len(case.inputs) != 2:
        raise Left("not two inputs")
    return Op("concat", {"a": case.x, "b": floats(case.inputs[1])}, {"y": case.y}, axis=case.attribute("axis"))


@operator("Split")
def split(case):
    axis, start, parts = case.attribute("axis", 0), 0, []
    for i, y in enumerate(case.outputs):
        op = Op("narrow", {"x": case.x}, {"y": floats(y)}, axis=axis, start=start, length=y.shape[axis])
        parts.append((f".{i}" if i else "", op))
        start += y.shape[axis]
    return parts


@operator("Slice")
def slicing(case):
    x, starts, ends = case.x, case.inputs[1].tolist(), case.inputs[2].tolist()
    axes = range(len(starts)) if case.input(3) is None else case.inputs[3].tolist()
    steps = [1] * len(starts) if case.input(4) is None else case.inputs[4].tolist()
    if any(step != 1 for step in steps):
        raise Left("a step other than 1")
    ranges = {axis % x.ndim: range(x.shape[axis])[start:end] for axis, start, end in zip(axes, starts, ends)}
    cut = [(axis, r) for axis, r in ranges.items() if len(r) < x.shape[axis]]
    floats(case.outputs[0])
    if len(cut) != 1:
        raise Left("more than one axis is cut")
    ((axis, kept),) = cut
    return Op("narrow", {"x": x}, {"y": case.y}, axis=axis, start=kept.start, length=len(kept))


@operator("Transpose")
def transpose(case):
    x = case.x
    return Op("transpose", {"x": x}, {"y": case.y}, perm=list(case.attribute("perm", range(x.ndim)[::-1])))


@operator("DepthToSpace", "SpaceToDepth")
def depth_and_space(case):
    (n, c, h, w), b = case.x.shape, case.attribute("blocksize")
    if case.operator == "SpaceToDepth":
        shape, perm = (n, c, h // b, b, w // b, b), [0, 3, 5, 1, 2, 4]
    elif case.attribute("mode", "DCR") == "DCR":
        shape, perm = (n, b, b, c // b // b, h, w), [0, 3, 4, 1, 5, 2]
    else:
        shape, perm = (n, c // b // b, b, b, h, w), [0, 1, 4, 2, 5, 3]
    y = case.y.reshape([shape[i] for i in perm])
    return Op("transpose", {"x": case.x.reshape(shape)}, {"y": y}, "blocks have axes of their own", perm=perm)


@operator("Pad")
def pad(case):
    floats(case.x)
    if case.attribute("mode", "constant") != "constant":
        raise Left("not a constant")
    if case.input(2) is not None and case.inputs[2] != 0:
        raise Left("a constant other than 0")
    pads, rank = case.inputs[1].tolist(), case.x.ndim
    axes = list(range(rank)) if case.input(3) is None else [a % rank for a in case.inputs[3].tolist()]
    before, after = dict(zip(axes, pads)), dict(zip(axes, pads[len(axes) :]))
    if rank != 4 or any(before.get(i, 0) or after.get(i, 0) for i in (0, 1)) or min(pads) < 0:
        raise Left("not zeros around height and width")
    sides = [before.get(2, 0), after.get(2, 0), before.get(3, 0), after.get(3, 0)]
    return Op("pad", {"x": case.x}, {"y": case.y}, pad=sides)


@operator("Einsum")
def einsum(case):
    equation, arrays = case.attribute("equation").replace(" ", ""), [floats(x) for x in case.inputs]
    if equation == "bij,bjk->bik":
        return Op("matmul", {"a": arrays[0], "b": arrays[1]}, {"y": case.y})
    if equation == "i,i":
        a, b = (x.reshape(1, 1, -1) for x in arrays)
        return Op("matmul", {"a": a, "b": b}, {"y": case.y.reshape(1, 1, 1)}, "a row times a column", trans_b=True)
    if equation == "ij->i":
        return Op("sum", {"x": arrays[0]}, {"y": case.y}, axis=1)
    if equation == "ij->ji":
        return Op("transpose", {"x": arrays[0]}, {"y": case.y}, perm=[1, 0])
    raise Left(f"no operation is {equation}")


# Rows by index -----------------------------------------------------------------------------------------------------


@operator("Gather")
def gather(case):
    x, axis = case.x, case.attribute("axis", 0) % case.x.ndim
    codes = case.inputs[1].astype(np.int64) % x.shape[axis]
    first = np.moveaxis(x, axis, 0)
    table = first.reshape(first.shape[0], -1)
    y = np.moveaxis(case.y, range(axis, axis + codes.ndim), range(codes.ndim)).reshape(*codes.shape, -1)
    note = f"rows along axis {axis}; negative indices counted from the end" if axis or (case.inputs[1] < 0).any() else None
    return Op("embedding", {"table": table, "codes": codes}, {"y": y}, note)


FLAT = "rows of one element, addressed by their place in the flattened data"


@operator("GatherElements")
def gather_elements(case):
    places = element_places(case.x.shape, case.inputs[1], case.attribute("axis", 0))
    return Op("embedding", {"table": case.x.reshape(-1, 1), "codes": places}, {"y": case.y[..., None]}, FLAT)


@operator("GatherND")
def gather_nd(case):
    if case.attribute("batch_dims", 0):
        raise Left("batch dimensions")
    table, codes = rows_by_prefix(case.x, case.inputs[1])
    return Op("embedding", {"table": table, "codes": codes}, {"y": case.y.reshape(*codes.shape, -1)}, "rows by flat index")


def element_places(shape, indices, axis):
    """Where in the flattened data each index along `axis` points."""
    grid = list(np.indices(indices.shape))
    grid[axis] = indices % shape[axis]
    return np.ravel_multi_index(grid, shape).astype(np.int64)


def rows_by_prefix(data, indices):
    """The data as rows that the last axis of `indices` addresses, and their numbers."""
    depth = indices.shape[-1]
    sizes = data.shape[:depth]
    codes = np.ravel_multi_index(tuple(np.moveaxis(indices % np.array(sizes), -1, 0)), sizes).astype(np.int64)
    return data.reshape(math.prod(sizes), -1), codes


@operator("ScatterElements", "ScatterND")
def scatter(case):
    reduction = case.attribute("reduction", "none")
    if reduction != "add":
        raise Left(f"reduction {reduction}, ours adds")
    x, indices, updates = case.x, case.inputs[1], floats(case.inputs[2])
    if case.operator == "ScatterElements":
        table, codes = x.reshape(-1, 1), element_places(x.shape, indices, case.attribute("axis", 0))
    else:
        table, codes = rows_by_prefix(x, indices)
    rows = np.concatenate([table, updates.reshape(codes.size, -1)])
    codes = np.concatenate([np.arange(len(table)), codes.ravel()])
    note = "the data are the first rows added, each to its own place"
    return Op("scatter_add", {"x": rows, "codes": codes}, {"y": case.y.reshape(table.shape)}, note, entries=len(table))


# Products ----------------------------------------------------------------------------------------------------------


@operator("MatMul")
def matmul(case):
    a, b, y = case.x, floats(case.inputs[1]), case.y
    a2, b2 = (a[None] if a.ndim == 1 else a), (b[:, None] if b.ndim == 1 else b)
    batch = np.broadcast_shapes(a2.shape[:-2], b2.shape[:-2])
    flat = lambda x: np.broadcast_to(x, (*batch, *x.shape[-2:])).reshape(-1, *x.shape[-2:])
    a3, b3 = flat(a2), flat(b2)
    note = None if a.ndim == 3 == b.ndim else "shapes brought to [batch, ., .], repeated where they broadcast"
    return Op("matmul", {"a": a3, "b": b3}, {"y": y.reshape(len(a3), a3.shape[1], b3.shape[2])}, note)


@operator("Gemm")
def gemm(case):
    a, b, c = case.x, floats(case.inputs[1]), case.input(2)
    alpha, beta = case.attribute("alpha", 1.0), case.attribute("beta", 1.0)
    a = a.T if case.attribute("transA", 0) else a
    w = b if case.attribute("transB", 0) else b.T
    note = []
    if case.attribute("transA", 0) or not case.attribute("transB", 0):
        note.append("operands turned to the rows and weights of a linear layer")
    if alpha != 1.0:
        w = w.astype(np.float64) * np.float64(np.float32(alpha))
        note.append("alpha folded into the weights")
    if c is None:
        return Op("linear", {"x": a, "w": w}, {"y": case.y}, "; ".join(note) or None)
    if beta != 1.0:
        c = c.astype(np.float64) * np.float64(np.float32(beta))
        note.append("beta folded into the bias")
    if c.ndim == 2 and c.shape[0] > 1:
        a, w = np.concatenate([a, np.eye(len(a), dtype=a.dtype)], 1), np.concatenate([w, c.T], 1)
        note.append("the matrix added is a product with the identity, beside the other in one")
        return Op("linear", {"x": a, "w": w}, {"y": case.y}, "; ".join(note))
    bias = np.broadcast_to(c.reshape(-1), (len(w),))
    return Op("linear", {"x": a, "w": w, "b": bias}, {"y": case.y}, "; ".join(note) or None)


@operator("Attention", "FlexAttention")
def attention(case):
    arrays = [floats(x) for x in case.inputs[:3]]
    if len([x for x in case.inputs[3:] if x is not None]):
        raise Left("a mask, cached keys or lengths")
    for name in ("softcap", "score_mod", "prob_mod"):
        if case.attribute(name):
            raise Left(name)
    note, y = [], case.y
    if arrays[0].ndim == 3:
        q_heads, kv_heads = case.attribute("q_num_heads"), case.attribute("kv_num_heads")
        arrays = [heads(x, count) for x, count in zip(arrays, (q_heads, kv_heads, kv_heads))]
        y = heads(y, q_heads)
        note.append("heads split off the last axis")
    q, k, v = arrays
    group, d = q.shape[1] // k.shape[1], q.shape[3]
    params = {"scale": case.attribute("scale")} if case.attribute("scale") else {}
    if group > 1:
        k, v = (np.repeat(x, group, 1) for x in (k, v))
        note.append(f"each head of keys and values repeated for its {group} heads of queries")
    if v.shape[3] != d:
        size = max(d, v.shape[3])
        params.setdefault("scale", 1.0 / math.sqrt(d))
        q, k, v = (np.pad(x, [(0, 0)] * 3 + [(0, size - x.shape[3])]) for x in (q, k, v))
        y = np.pad(y, [(0, 0)] * 3 + [(0, size - y.shape[3])])
        note.append("columns of zeros where keys and values differ in size")
    if case.attribute("is_causal", 0):
        params["causal"] = True
    if len(case.outputs) > 1:
        note.append("the result Y only")
    return Op("attention", {"q": q, "k": k, "v": v}, {"y": y}, "; ".join(note) or None, **params)


def heads(x, count):
    n, length, size = x.shape
    return x.reshape(n, length, count, size // count).transpose(0, 2, 1, 3)


# Softmax and losses ------------------------------------------------------------------------------------------------


@operator("Softmax", "LogSoftmax")
def softmax(case):
    op = "softmax" if case.operator == "Softmax" else "log_softmax"
    return Op(op, {"x": case.x}, {"y": case.y}, axis=case.attribute("axis", -1))


@operator("SoftmaxCrossEntropyLoss", "NegativeLogLikelihoodLoss")
def loss(case):
    x, target, weights = case.x, case.inputs[1], case.input(2)
    ignored, reduction = case.attribute("ignore_index"), case.attribute("reduction", "mean")
    rows, target = np.moveaxis(x, 1, -1).reshape(-1, x.shape[1]), target.astype(np.int64).ravel()
    name = "logits" if case.operator == "SoftmaxCrossEntropyLoss" else "x"
    op = "cross_entropy" if name == "logits" else "nll_loss"
    inputs, note = {name: rows, "target": target}, []
    if x.ndim > 2:
        note.append("classes moved to the last axis")
    if weights is not None or (ignored is not None and (target == ignored).any()):
        kept = target != (ignored if ignored is not None else x.shape[1])
        inputs["target"] = np.where(kept, target, 0)
        factor = np.ones(x.shape[1], np.float32) if weights is None else floats(weights)
        inputs["weight"] = np.where(kept, factor[inputs["target"]], 0).astype(np.float32)
        note.append("weights of classes and ignore_index as weights of rows")
    first = Op(op, inputs, {"loss": case.y.reshape(-1)}, "; ".join(note) or None, reduction=reduction)
    if len(case.outputs) == 1:
        return first
    log_prob = np.moveaxis(floats(case.outputs[1]), 1, -1).reshape(rows.shape)
    second = Op("log_softmax", {"x": rows}, {"y": log_prob}, "; ".join(note[:1]) or None, axis=-1)
    return [("", first), (".log_prob", second)]


# Convolution and pooling -------------------------------------------------------------------------------------------


class Window:
    """Kernel, stride and padding of a convolution or pool over height and width."""

    def __init__(self, case, x, kernel):
        self.rank = x.ndim - 2
        if self.rank > 2:
            raise Left("three-dimensional")
        if set(case.attribute("dilations", [1])) != {1}:
            raise Left("dilation other than 1")
        if case.attribute("group", 1) != 1:
            raise Left("groups")
        self.size, self.kernel = self.flat(x.shape[2:]), self.flat(kernel)
        strides = list(case.attribute("strides", [1] * self.rank))
        if len(set(strides)) > 1:
            raise Left("strides of height and width differ")
        self.stride = strides[0]
        pads = list(case.attribute("pads", [0] * 2 * self.rank))
        self.before, self.after = self.flat(pads[: self.rank], 0), self.flat(pads[self.rank :], 0)

    def flat(self, sizes, filler=1):
        """Sizes of height and width; one-dimensional data have height 1."""
        return [filler] * (2 - self.rank) + list(sizes)

    def pad_as_same(self, upper):
        for i in range(2):
            out = -(-self.size[i] // self.stride)
            total = max((out - 1) * self.stride + self.kernel[i] - self.size[i], 0)
            self.before[i], self.after[i] = (total // 2, total - total // 2) if upper else (total - total // 2, total // 2)

    def image(self, x):
        n, c = x.shape[:2]
        return x.reshape(n, c, *self.flat(x.shape[2:]))

    def symmetric(self):
        return self.before == self.after


def automatic(case, window):
    kind = case.attribute("auto_pad", "NOTSET")
    if kind.startswith("SAME"):
        window.pad_as_same(kind == "SAME_UPPER")
    return kind


def remark(window):
    return ["height 1"] if window.rank == 1 else []


def around(x, before, after, value):
    return np.pad(x, [(0, 0), (0, 0), *zip(before, after)], constant_values=value)


@operator("Conv")
def convolution(case):
    x, w = case.x, floats(case.inputs[1])
    window, note = Window(case, x, w.shape[2:]), []
    automatic(case, window)
    image, padding = window.image(x), window.before
    if not window.symmetric():
        image, padding = around(image, window.before, window.after, 0), [0, 0]
        note.append("the padding, which differs from side to side, is in the input")
    note += remark(window)
    inputs = {"x": image, "w": window.image(w)}
    if case.input(2) is not None:
        inputs["b"] = floats(case.inputs[2])
    y = window.image(case.y)
    return Op("conv2d", inputs, {"y": y}, "; ".join(note) or None, stride=window.stride, padding=padding)


@operator("ConvTranspose")
def transposed_convolution(case):
    x, w = case.x, floats(case.inputs[1])
    window = Window(case, x, w.shape[2:])
    y = window.image(case.y)
    extra = window.flat(case.attribute("output_padding", [0] * window.rank), 0)
    natural = [(window.size[i] - 1) * window.stride + window.kernel[i] for i in range(2)]
    kind, shape = case.attribute("auto_pad", "NOTSET"), case.attribute("output_shape")
    if shape or kind.startswith("SAME"):
        # The operator's rule: the whole padding follows from the wanted size, and its odd one goes to one side.
        wanted = window.flat(shape) if shape else [size * window.stride for size in window.size]
        total = [natural[i] + extra[i] - wanted[i] for i in range(2)]
        small, large = [t // 2 for t in total], [t - t // 2 for t in total]
        window.before, window.after = (small, large) if kind == "SAME_UPPER" else (large, small)
    padding = window.before
    # y is the whole result without `before` and `after` rows; ours drops `padding` on both sides and adds `extra`.
    extra = [extra[i] + padding[i] - window.after[i] for i in range(2)]
    if min(extra) < 0 or max(extra) >= max(window.stride, 1):
        raise Left("padding that differs from side to side")
    inputs = {"x": window.image(x), "w": window.image(w)}
    if case.input(2) is not None:
        inputs["b"] = floats(case.inputs[2])
    params = {"stride": window.stride, "padding": padding, "output_padding": extra}
    return Op("conv_transpose2d", inputs, {"y": y}, "; ".join(remark(window)) or None, **params)


@operator("AveragePool", "MaxPool")
def pooling(case):
    x = case.x
    window, note = Window(case, x, case.attribute("kernel_shape")), []
    automatic(case, window)
    image, y, highest = window.image(x), window.image(case.y), case.operator == "MaxPool"
    # ceil_mode makes one more window where elements are left: the end is padded until the usual rule makes it too.
    missing = [
        max((y.shape[2 + i] - 1) * window.stride + window.kernel[i] - s - window.before[i] - window.after[i], 0)
        for i, s in enumerate(window.size)
    ]
    after = [window.after[i] + missing[i] for i in range(2)]
    padding = window.before
    if window.before != after:
        if not highest:
            raise Left("windows cut off at one side average fewer elements")
        image, padding = around(image, window.before, after, x.min() - 1), [0, 0]
        note.append("the padding, which differs from side to side, is in the input, below every number there")
    note += remark(window)
    params = {"kernel": window.kernel, "stride": window.stride, "padding": padding}
    if not highest:
        params["count_include_pad"] = bool(case.attribute("count_include_pad", 0))
    if 2 * padding[0] > window.kernel[0] or 2 * padding[1] > window.kernel[1]:
        if not highest:
            raise Left("padding over half the kernel")
        image, params["padding"] = around(image, padding, padding, x.min() - 1), [0, 0]
        note.append("padding over half the kernel is in the input, below every number there")
    if len(case.outputs) > 1:
        note.append("the values only, not their places")
    return Op("max_pool2d" if highest else "avg_pool2d", {"x": image}, {"y": y}, "; ".join(note) or None, **params)


@operator("GlobalAveragePool", "GlobalMaxPool")
def global_pooling(case):
    op = "avg_pool2d" if case.operator == "GlobalAveragePool" else "max_pool2d"
    kernel = list(case.x.shape[2:])
    return Op(op, {"x": case.x}, {"y": case.y}, "one window over all", kernel=kernel, stride=1, padding=[0, 0])


@operator("Resize", "Upsample")
def resize(case):
    x = case.x
    if case.attribute("mode", "nearest") != "nearest":
        raise Left("interpolation")
    ratios = [y / s for y, s in zip(case.outputs[0].shape, x.shape)]
    whole = x.ndim == 4 and ratios[:2] == [1, 1] and all(r >= 1 and r == int(r) for r in ratios)
    if not whole or case.attribute("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise Left("not to a whole multiple of the size")
    if case.operator == "Resize":
        kind, rounding = case.attribute("coordinate_transformation_mode", "half_pixel"), case.attribute("nearest_mode")
        if kind != "half_pixel" or rounding not in (None, "round_prefer_floor", "round_prefer_ceil"):
            if (kind, rounding) != ("asymmetric", "floor"):
                raise Left(f"coordinates {kind} rounded {rounding or 'round_prefer_floor'} repeat pixels unevenly")
    scale = [int(r) for r in ratios[2:]]
    return Op("upsample_nearest", {"x": x}, {"y": case.y}, scale=scale)


# Normalisation and training ----------------------------------------------------------------------------------------


def affine(case):
    return {"x": case.x, "gamma": floats(case.inputs[1]), "beta": floats(case.inputs[2])}


@operator("GroupNormalization", "InstanceNormalization")
def group_normalisation(case):
    groups = case.attribute("num_groups", case.x.shape[1])
    note = None if case.operator == "GroupNormalization" else "one group a channel"
    return Op("group_norm", affine(case), {"y": case.y}, note, groups=groups, eps=case.attribute("epsilon", 1e-5))


@operator("LayerNormalization")
def layer_normalisation(case):
    inputs, axis, note = affine(case), case.attribute("axis", -1), ["the result Y only"]
    last = math.prod(inputs["x"].shape[axis % case.x.ndim :])
    if last != inputs["x"].shape[-1]:
        note.append("the normalised axes are one")
    inputs = {"x": inputs["x"].reshape(-1, last), "gamma": inputs["gamma"].ravel(), "beta": inputs["beta"].ravel()}
    y = case.y.reshape(-1, last)
    return Op("layer_norm", inputs, {"y": y}, "; ".join(note), eps=case.attribute("epsilon", 1e-5))


@operator("BatchNormalization")
def batch_normalisation(case):
    if case.attribute("training_mode", 0):
        raise Left("training mode; ours is for inference")
    inputs = affine(case) | {"mean": floats(case.inputs[3]), "var": floats(case.inputs[4])}
    return Op("batch_norm", inputs, {"y": case.y}, eps=case.attribute("epsilon", 1e-5))


@operator("Adam")
def adam(case):
    # R, T, then X, G, V, H of each tensor; out X, V, H.
    rate, step, tensors = case.inputs[0].item(), case.inputs[1].item(), case.inputs[2:]
    count = len(tensors) // 4
    joined = lambda arrays, i: np.concatenate([floats(a) for a in arrays[i * count : (i + 1) * count]])
    x, g, v, h = (joined(tensors, i) for i in range(4))
    if case.attribute("norm_coefficient_post", 0.0):
        raise Left("decay after the step")
    note = ["the tensors are one"] if count > 1 else []
    decay = case.attribute("norm_coefficient", 0.0)
    if decay:
        g = g.astype(np.float64) + np.float64(np.float32(decay)) * x
        note.append("norm_coefficient folded into the gradient")
    if step:
        raise Left("a correction that puts epsilon elsewhere")
    note.append("no bias correction at T = 0, as ours after very many steps")
    params = {"lr": rate, "beta1": case.attribute("alpha", 0.9), "beta2": case.attribute("beta", 0.999)}
    params |= {"eps": case.attribute("epsilon", 0.0), "weight_decay": 0.0, "steps": 1, "done": 1_000_000}
    outputs = {name: joined(case.outputs, i) for i, name in enumerate("pmv")}
    return Op("adam", {"p": x, "g": g[None], "m": v, "v": h}, outputs, "; ".join(note), **params)


# The whole ---------------------------------------------------------------------------------------------------------


def convert(folder, out):
    """(operator, None or why it is left out)."""
    model = onnx.load(folder / "model.onnx")
    operator = "+".join(node.op_type for node in model.graph.node)
    if operator not in CONVERTERS:
        return operator, "no such operation here"
    if folder.name in INEXACT:
        return operator, INEXACT[folder.name]
    try:
        ops = CONVERTERS[operator](Case(folder))
        for suffix, op in ops if isinstance(ops, list) else [("", ops)]:
            path = out / f"{folder.name}{suffix}.safetensors"
            note = f"ONNX {onnx.__version__} node case" + (f"; {op.note}" if op.note else "")
            write(path, op.op, op.params, op.inputs, op.outputs, note=note)
    except Left as left:
        return operator, str(left)
    return operator, None


def table(coverage):
    """The page about what is covered."""
    covered = sum(len(entry["covered"]) for entry in coverage.values())
    total = sum(len(entry["covered"]) + len(entry["uncovered"]) for entry in coverage.values())
    known = {name: entry for name, entry in sorted(coverage.items()) if name in CONVERTERS}
    lines = [
        f"Of the {total} node cases of ONNX {onnx.__version__} (without the `_expanded` duplicates) {covered} become vectors.",
        "",
        "| operator | covered | cases left out, and why |",
        "|---|---|---|",
    ]
    for name, entry in known.items():
        reasons = {}
        for case, reason in entry["uncovered"].items():
            reasons.setdefault(reason, []).append(f"`{case.removeprefix('test_')}`")
        why = "; ".join(f"{reason}: {', '.join(cases)}" for reason, cases in reasons.items())
        count = len(entry["covered"])
        lines.append(f"| {name} | {count} of {count + len(entry['uncovered'])} | {why} |")
    others = [f"{name} ({len(entry['uncovered'])})" for name, entry in sorted(coverage.items()) if name not in known]
    lines += ["", "Operators that no operation here is: " + ", ".join(others) + ". `coverage.json` names their cases."]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description="ONNX's node cases as vectors")
    parser.add_argument("out", type=pathlib.Path, help="folder for the vectors, coverage.md and coverage.json")
    parser.add_argument("--docs", type=pathlib.Path, help="page whose coverage table is to be renewed")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for old in arguments.out.glob("*.safetensors"):
        old.unlink()
    data = pathlib.Path(onnx.__file__).parent / "backend/test/data/node"
    coverage = {}
    for folder in sorted(data.iterdir()):
        if not folder.is_dir() or "_expanded" in folder.name:
            continue
        operator, reason = convert(folder, arguments.out)
        entry = coverage.setdefault(operator, {"covered": [], "uncovered": {}})
        if reason is None:
            entry["covered"].append(folder.name)
        else:
            entry["uncovered"][folder.name] = reason
    page = table(coverage)
    (arguments.out / "coverage.json").write_text(json.dumps(coverage, indent=1, sort_keys=True) + "\n")
    (arguments.out / "coverage.md").write_text("# ONNX's node cases\n\n" + page)
    if arguments.docs:
        text = arguments.docs.read_text()
        begin, end = "<!-- coverage -->\n", "<!-- end of coverage -->"
        head, rest = text.split(begin)
        arguments.docs.write_text(head + begin + page + end + rest.split(end)[1])
    print(page.splitlines()[0])


if __name__ == "__main__":
    sys.exit(main())
