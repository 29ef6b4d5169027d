#!/usr/bin/env python3
"""Golden vectors: outputs and gradients of PyTorch in f64, as files for `dbvq-wgpu conformance --vectors`.

    python3 tools/golden_vectors.py kernels_test/golden        (needs torch and numpy)

Inputs are whole f32 numbers stored as F64, so that a GPU gets exactly what PyTorch got. Everything is seeded by the
case's name: running it again gives the same inputs, and the same results up to PyTorch's version.
"""

import pathlib
import sys
import zlib

import numpy as np
import torch
import torch.nn.functional as F

from vector_file import write

torch.set_default_dtype(torch.float64)
CASES = {}


class Draw:
    """Random numbers that f32 holds exactly."""

    def __init__(self, name):
        self.rng = np.random.default_rng(zlib.crc32(name.encode()))

    def normal(self, *dims, scale=1.0):
        return (self.rng.standard_normal(dims) * scale).astype(np.float32).astype(np.float64)

    def uniform(self, low, high, *dims):
        return self.rng.uniform(low, high, dims).astype(np.float32).astype(np.float64)

    def off_zero(self, *dims):
        """Numbers that keep away from a kink at 0."""
        return (self.rng.choice([-1.0, 1.0], dims) * self.rng.uniform(0.1, 3.0, dims)).astype(np.float32).astype(np.float64)

    def apart(self, *dims):
        """Numbers no two of which are near each other, for maxima."""
        count = int(np.prod(dims))
        return (self.rng.permutation(count).reshape(dims) * 0.0625 - count / 32).astype(np.float64)

    def codes(self, k, *dims):
        return self.rng.integers(0, k, dims, dtype=np.int64)


def case(name, op, **params):
    """Registers a function of a `Draw` that returns (inputs, function of their tensors, inputs without gradient)."""

    def register(make):
        CASES[name] = (op, params, make)
        return make

    return register


def compute(name):
    """Runs one case: (inputs, outputs, cotangents, gradients) as arrays."""
    op, _, make = CASES[name]
    draw = Draw(name)
    inputs, function, constant = make(draw)
    leaves = {key: torch.tensor(array) for key, array in inputs.items()}
    wanted = [key for key in inputs if key not in constant and leaves[key].is_floating_point()]
    for key in wanted:
        leaves[key].requires_grad_()
    outputs = function(**leaves)
    cotangents, total = {}, 0
    for key, output in outputs.items():
        if output.requires_grad:
            cotangents[key] = draw.normal(*output.shape)
            total = total + (torch.tensor(cotangents[key]) * output).sum()
    grads = torch.autograd.grad(total, [leaves[key] for key in wanted]) if cotangents else []
    arrays = {key: output.detach().numpy() for key, output in outputs.items()}
    return inputs, arrays, cotangents, {key: grad.numpy() for key, grad in zip(wanted, grads)}


def simple(function, *constant):
    """`make`'s return value but for the inputs, for a function with the one result y."""
    return (lambda **x: {"y": function(**x)}), constant


# Convolutions ------------------------------------------------------------------------------------------------------


def convolution(name, dims, weight, bias, stride=1, padding=(0, 0), mask=None, transposed=False, output_padding=(0, 0)):
    params = {"stride": stride, "padding": list(padding)}
    if mask:
        params["mask"] = mask
    if any(output_padding):
        params["output_padding"] = list(output_padding)

    @case(name, "conv_transpose2d" if transposed else "conv2d", **params)
    def make(draw):
        inputs = {"x": draw.normal(*dims), "w": draw.normal(*weight)}
        if bias:
            inputs["b"] = draw.normal(weight[1] if transposed else weight[0])

        def function(x, w, b=None):
            if transposed:
                return F.conv_transpose2d(x, w, b, stride, padding, output_padding)
            return F.conv2d(x, w * causal(weight, mask) if mask else w, b, stride, padding)

        return inputs, *simple(function)


def causal(weight, mask):
    """PixelCNN's mask: the taps before the centre in raster order, B with the centre itself."""
    _, _, kh, kw = weight
    keep = torch.zeros(kh, kw)
    keep[: kh // 2] = 1
    keep[kh // 2, : kw // 2 + (mask == "B")] = 1
    return keep


convolution("conv2d_3x3_bias", (2, 3, 6, 5), (4, 3, 3, 3), True, padding=(1, 1))
convolution("conv2d_channels_of_four", (1, 8, 5, 6), (4, 8, 3, 3), False, padding=(1, 1))
convolution("conv2d_4x4_stride_2", (2, 3, 8, 6), (5, 3, 4, 4), True, stride=2, padding=(1, 1))
convolution("conv2d_1x7", (1, 4, 3, 9), (3, 4, 1, 7), True, padding=(0, 3))
convolution("conv2d_1x1", (2, 6, 3, 4), (5, 6, 1, 1), True)
convolution("conv2d_mask_a_7x7", (1, 2, 8, 7), (3, 2, 7, 7), True, padding=(3, 3), mask="A")
convolution("conv2d_mask_b_3x3", (2, 4, 5, 5), (4, 4, 3, 3), False, padding=(1, 1), mask="B")
convolution("conv2d_mask_b_1x7", (1, 3, 4, 9), (2, 3, 1, 7), True, padding=(0, 3), mask="B")
convolution("conv_transpose2d_4x4_stride_2", (2, 4, 3, 4), (4, 3, 4, 4), True, 2, (1, 1), transposed=True)
convolution("conv_transpose2d_3x3", (1, 3, 5, 4), (3, 2, 3, 3), False, 1, (1, 1), transposed=True)
convolution(
    "conv_transpose2d_output_padding", (1, 3, 4, 3), (3, 4, 3, 3), True, 2, (1, 1), transposed=True, output_padding=(1, 1)
)


@case("upsample_nearest_2", "upsample_nearest", scale=2)
def _(draw):
    return {"x": draw.normal(2, 3, 4, 3)}, *simple(lambda x: F.interpolate(x, scale_factor=2, mode="nearest"))


@case("avg_pool2d_padding", "avg_pool2d", kernel=[3, 3], stride=2, padding=[1, 1], count_include_pad=False)
def _(draw):
    pool = lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False)
    return {"x": draw.normal(2, 3, 7, 6)}, *simple(pool)


@case("avg_pool2d_count_include_pad", "avg_pool2d", kernel=[2, 3], stride=1, padding=[1, 1], count_include_pad=True)
def _(draw):
    return {"x": draw.normal(1, 4, 5, 5)}, *simple(lambda x: F.avg_pool2d(x, (2, 3), 1, (1, 1)))


@case("max_pool2d_padding", "max_pool2d", kernel=[3, 3], stride=2, padding=[1, 1])
def _(draw):
    return {"x": draw.apart(2, 3, 7, 6)}, *simple(lambda x: F.max_pool2d(x, 3, 2, 1))


# Normalisation -----------------------------------------------------------------------------------------------------


def affine(draw, x, channels):
    return {"x": x, "gamma": draw.normal(channels), "beta": draw.normal(channels)}


@case("group_norm", "group_norm", groups=3, eps=1e-5)
def _(draw):
    norm = lambda x, gamma, beta: F.group_norm(x, 3, gamma, beta, 1e-5)
    return affine(draw, draw.uniform(-1, 3, 2, 6, 5, 4), 6), *simple(norm)


@case("group_norm_silu", "group_norm", groups=2, eps=1e-6, silu=True)
def _(draw):
    norm = lambda x, gamma, beta: F.silu(F.group_norm(x, 2, gamma, beta, 1e-6))
    return affine(draw, draw.normal(2, 8, 3, 5), 8), *simple(norm)


@case("group_norm_no_space", "group_norm", groups=1)
def _(draw):
    return affine(draw, draw.normal(5, 12), 12), *simple(lambda x, gamma, beta: F.group_norm(x, 1, gamma, beta))


@case("layer_norm", "layer_norm", eps=1e-5)
def _(draw):
    return affine(draw, draw.normal(3, 4, 9), 9), *simple(lambda x, gamma, beta: F.layer_norm(x, (9,), gamma, beta))


@case("batch_norm_inference", "batch_norm", eps=1e-5)
def _(draw):
    inputs = affine(draw, draw.normal(3, 5, 4, 3), 5) | {"mean": draw.normal(5), "var": draw.uniform(0.2, 2, 5)}
    norm = lambda x, gamma, beta, mean, var: F.batch_norm(x, mean, var, gamma, beta, False, eps=1e-5)
    return inputs, *simple(norm, "mean", "var")


# Attention and products --------------------------------------------------------------------------------------------


def attention(name, q, length, causal=False, scale=None):
    params = {"causal": causal} if causal else {}
    params |= {"scale": scale} if scale else {}

    @case(name, "attention", **params)
    def make(draw):
        n, heads, _, d = q
        inputs = {"q": draw.normal(*q), "k": draw.normal(n, heads, length, d), "v": draw.normal(n, heads, length, d)}
        return inputs, *simple(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=causal, scale=scale))


attention("attention", (2, 2, 7, 4), 7)
attention("attention_causal", (1, 2, 9, 4), 9, causal=True)
attention("attention_unequal_lengths", (2, 1, 5, 8), 11)
attention("attention_scale", (1, 3, 6, 3), 6, scale=0.25)


def product(name, a, b, trans_a, trans_b):
    @case(name, "matmul", trans_a=trans_a, trans_b=trans_b)
    def make(draw):
        turn = lambda x, trans: x.transpose(1, 2) if trans else x
        return {"a": draw.normal(*a), "b": draw.normal(*b)}, *simple(lambda a, b: turn(a, trans_a) @ turn(b, trans_b))


product("matmul", (2, 5, 7), (2, 7, 3), False, False)
product("matmul_trans_b", (2, 4, 8), (2, 6, 8), False, True)
product("matmul_trans_a", (1, 9, 4), (1, 9, 5), True, False)
product("matmul_trans_a_trans_b", (3, 6, 5), (3, 4, 6), True, True)


@case("linear_bias", "linear")
def _(draw):
    return {"x": draw.normal(2, 3, 7), "w": draw.normal(5, 7), "b": draw.normal(5)}, *simple(lambda x, w, b: F.linear(x, w, b))


@case("linear", "linear")
def _(draw):
    return {"x": draw.normal(6, 8), "w": draw.normal(4, 8)}, *simple(lambda x, w: F.linear(x, w))


# Softmax and losses ------------------------------------------------------------------------------------------------


@case("softmax_axis_1", "softmax", axis=1)
def _(draw):
    return {"x": draw.normal(2, 9, 4, scale=3.0)}, *simple(lambda x: F.softmax(x, 1))


@case("log_softmax", "log_softmax", axis=-1)
def _(draw):
    return {"x": draw.normal(5, 17, scale=3.0)}, *simple(lambda x: F.log_softmax(x, -1))


@case("cross_entropy", "cross_entropy")
def _(draw):
    inputs = {"logits": draw.normal(9, 8, scale=2.0), "target": draw.codes(8, 9)}
    return inputs, lambda logits, target: {"loss": F.cross_entropy(logits, target).reshape(1)}, ()


@case("cross_entropy_none", "cross_entropy", reduction="none")
def _(draw):
    inputs = {"logits": draw.normal(7, 12), "target": draw.codes(12, 7)}
    return inputs, lambda logits, target: {"loss": F.cross_entropy(logits, target, reduction="none")}, ()


@case("cross_entropy_weights", "cross_entropy")
def _(draw):
    inputs = {"logits": draw.normal(9, 8), "target": draw.codes(8, 9), "weight": draw.uniform(0.1, 2, 9)}

    def loss(logits, target, weight):
        rows = F.cross_entropy(logits, target, reduction="none")
        return {"loss": ((rows * weight).sum() / weight.sum()).reshape(1)}

    return inputs, loss, ("weight",)


@case("nll_loss", "nll_loss", reduction="sum")
def _(draw):
    inputs = {"x": draw.normal(7, 6), "target": draw.codes(6, 7)}
    return inputs, lambda x, target: {"loss": F.nll_loss(x, target, reduction="sum").reshape(1)}, ()


@case("gumbel_softmax", "gumbel_softmax", tau=0.7)
def _(draw):
    inputs = {"logits": draw.normal(6, 8), "uniform": draw.uniform(0.02, 0.98, 6, 8)}
    return inputs, *simple(lambda logits, uniform: F.softmax((logits - (-uniform.log()).log()) / 0.7, -1), "uniform")


@case("kl_divergence", "kl_divergence")
def _(draw):
    def divergence(p, q):
        log_p, log_q = F.log_softmax(p, -1), F.log_softmax(q, -1)
        return F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(-1)

    return {"p": draw.normal(3, 4, 9), "q": draw.normal(3, 4, 9)}, *simple(divergence)


@case("mse", "mse")
def _(draw):
    return {"a": draw.normal(4, 7), "b": draw.normal(4, 7)}, *simple(lambda a, b: F.mse_loss(a, b).reshape(1))


# Codes -------------------------------------------------------------------------------------------------------------


@case("nearest_code", "nearest_code")
def _(draw):
    inputs = {"x": draw.normal(40, 6), "codebook": draw.normal(16, 6)}
    return inputs, lambda x, codebook: {"codes": torch.cdist(x, codebook).argmin(1)}, ("x", "codebook")


@case("embedding", "embedding")
def _(draw):
    return {"table": draw.normal(7, 5), "codes": draw.codes(7, 3, 4)}, *simple(lambda table, codes: F.embedding(codes, table))


@case("scatter_add", "scatter_add", entries=6)
def _(draw):
    inputs = {"x": draw.normal(20, 3), "codes": draw.codes(6, 20)}
    return inputs, lambda x, codes: {"y": torch.zeros(6, 3).index_add(0, codes, x)}, ("x",)


@case("argmin", "argmin", axis=1)
def _(draw):
    return {"x": draw.apart(3, 9, 4)}, lambda x: {"codes": x.argmin(1)}, ("x",)


# Functions of an element -------------------------------------------------------------------------------------------


def unary(name, function, numbers, op=None):
    @case(name, op or name)
    def make(draw):
        return {"x": numbers(draw)}, *simple(lambda x: function(x))


wide = lambda draw: np.concatenate([draw.normal(60, scale=3.0), draw.uniform(-25, 25, 20)]).reshape(2, 2, 2, 5, 2)
unary("silu", F.silu, wide)
unary("gelu", F.gelu, lambda draw: draw.normal(2, 40, scale=2.0))
unary("relu", F.relu, lambda draw: draw.off_zero(9, 9))
unary("elu", F.elu, lambda draw: draw.off_zero(9, 9))
unary("tanh", torch.tanh, wide)
unary("sigmoid", torch.sigmoid, wide)
unary("exp", torch.exp, lambda draw: draw.normal(70))
unary("log", torch.log, lambda draw: draw.uniform(0.01, 9, 70))
unary("square", torch.square, lambda draw: draw.normal(70))


@case("affine", "affine", scale=1.3, shift=-0.7)
def _(draw):
    return {"x": draw.normal(70)}, *simple(lambda x: 1.3 * x - 0.7)


@case("gated", "gated", axis=1)
def _(draw):
    def gate(x):
        first, second = x.chunk(2, 1)
        return torch.tanh(first) * torch.sigmoid(second)

    return {"x": draw.normal(2, 6, 3, 4)}, *simple(gate)


def binary(name, function, a, b):
    @case(f"{name}_broadcast", name)
    def make(draw):
        return {"a": draw.normal(*a), "b": draw.uniform(0.5, 2, *b)}, *simple(lambda a, b: function(a, b))


binary("add", torch.add, (3, 4, 5), (4, 1))
binary("sub", torch.sub, (1, 5), (3, 1, 5))
binary("mul", torch.mul, (3, 1, 5), (4, 1))
binary("div", torch.div, (4, 5), (3, 1, 5))

# Gradients that are 0, or a small difference of large numbers ------------------------------------------------------------


@case("relu_zeros", "relu")
def _(draw):
    x = draw.normal(6, 7)
    x[::2, ::3] = 0.0
    x[1, 1] = -0.0
    return {"x": x}, *simple(lambda x: F.relu(x))


attention("attention_one_key", (2, 2, 6, 8), 1)
attention("attention_causal_first", (1, 2, 1, 16), 1, causal=True)


@case("attention_one_hot", "attention", scale=12.0)
def _(draw):
    inputs = {"q": draw.normal(1, 2, 5, 8), "k": draw.normal(1, 2, 9, 8), "v": draw.normal(1, 2, 9, 8)}
    return inputs, *simple(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, scale=12.0))


@case("group_norm_constant_group", "group_norm", groups=2)
def _(draw):
    x = draw.normal(2, 6, 5, 4)
    x[0, :3] = 3.7
    x[:, 3:] = -0.3
    x = x.astype(np.float32).astype(np.float64)
    return affine(draw, x, 6), *simple(lambda x, gamma, beta: F.group_norm(x, 2, gamma, beta))


@case("group_norm_silu_constant_group", "group_norm", groups=2, silu=True)
def _(draw):
    x = draw.normal(2, 4, 9)
    x[:, :2] = 100.0
    return affine(draw, x, 4), *simple(lambda x, gamma, beta: F.silu(F.group_norm(x, 2, gamma, beta)))


@case("layer_norm_constant_row", "layer_norm")
def _(draw):
    x = draw.normal(4, 33)
    x[1] = 0.7
    x = x.astype(np.float32).astype(np.float64)
    return affine(draw, x, 33), *simple(lambda x, gamma, beta: F.layer_norm(x, (33,), gamma, beta))


@case("layer_norm_one_channel", "layer_norm")
def _(draw):
    return affine(draw, draw.normal(7, 1), 1), *simple(lambda x, gamma, beta: F.layer_norm(x, (1,), gamma, beta))


def one_hot(draw, rows, k):
    """Logits of which one stands far above the others; in the last row they are equal."""
    x = draw.normal(rows, k)
    x[np.arange(rows), draw.codes(k, rows)] += 40.0
    x[-1] = 2.5
    return x.astype(np.float32).astype(np.float64)


@case("softmax_one_hot", "softmax")
def _(draw):
    return {"x": one_hot(draw, 6, 11)}, *simple(lambda x: F.softmax(x, -1))


@case("softmax_one_entry", "softmax")
def _(draw):
    return {"x": draw.normal(5, 1)}, *simple(lambda x: F.softmax(x, -1))


@case("log_softmax_one_hot", "log_softmax")
def _(draw):
    return {"x": one_hot(draw, 6, 11)}, *simple(lambda x: F.log_softmax(x, -1))


@case("cross_entropy_certain", "cross_entropy")
def _(draw):
    logits = one_hot(draw, 8, 10)
    inputs = {"logits": logits, "target": logits.argmax(1)}
    return inputs, lambda logits, target: {"loss": F.cross_entropy(logits, target).reshape(1)}, ()


@case("gumbel_softmax_one_hot", "gumbel_softmax", tau=0.05)
def _(draw):
    inputs = {"logits": draw.normal(6, 8, scale=3.0), "uniform": draw.uniform(0.02, 0.98, 6, 8)}
    return inputs, *simple(lambda logits, uniform: F.softmax((logits - (-uniform.log()).log()) / 0.05, -1), "uniform")


@case("kl_divergence_equal_laws", "kl_divergence")
def _(draw):
    def divergence(p, q):
        log_p, log_q = F.log_softmax(p, -1), F.log_softmax(q, -1)
        return F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(-1)

    p = draw.normal(4, 9, scale=3.0)
    return {"p": p, "q": p.copy()}, *simple(divergence)


@case("mse_equal", "mse")
def _(draw):
    a = draw.normal(5, 6)
    return {"a": a, "b": a.copy()}, *simple(lambda a, b: F.mse_loss(a, b).reshape(1))


unary("tanh_saturated", torch.tanh, lambda draw: draw.uniform(-40, 40, 50), "tanh")
unary("sigmoid_saturated", torch.sigmoid, lambda draw: draw.uniform(-80, 80, 50), "sigmoid")
unary("gelu_saturated", F.gelu, lambda draw: draw.uniform(-12, 12, 60), "gelu")
# Around where the slope is 0.
unary("silu_lowest", F.silu, lambda draw: draw.uniform(-1.2785, -1.2783, 40), "silu")
unary("gelu_lowest", F.gelu, lambda draw: draw.uniform(-0.7520, -0.7515, 40), "gelu")

# Reductions and layout ---------------------------------------------------------------------------------------------


@case("sum_two_axes", "sum", axis=[0, 2])
def _(draw):
    return {"x": draw.normal(3, 4, 5)}, *simple(lambda x: x.sum((0, 2)))


@case("sum_square", "sum_square", axis=[1, 2])
def _(draw):
    return {"x": draw.normal(3, 4, 5)}, *simple(lambda x: x.square().sum((1, 2)))


@case("mean", "mean", axis=1)
def _(draw):
    return {"x": draw.normal(3, 7, 4)}, *simple(lambda x: x.mean(1))


@case("concat_channels", "concat", axis=1)
def _(draw):
    return {"a": draw.normal(2, 3, 2, 3), "b": draw.normal(2, 5, 2, 3)}, *simple(lambda a, b: torch.cat([a, b], 1))


@case("narrow_channels", "narrow", axis=1, start=2, length=3)
def _(draw):
    return {"x": draw.normal(2, 7, 3, 2)}, *simple(lambda x: x.narrow(1, 2, 3))


@case("pad", "pad", pad=[1, 0, 2, 3])
def _(draw):
    return {"x": draw.normal(2, 3, 4, 3)}, *simple(lambda x: F.pad(x, (2, 3, 1, 0)))


@case("transpose", "transpose", perm=[2, 0, 1])
def _(draw):
    return {"x": draw.normal(3, 4, 5)}, *simple(lambda x: x.permute(2, 0, 1))


# Training ----------------------------------------------------------------------------------------------------------


def adam(name, weight_decay, optimiser):
    numbers = {"lr": 0.01, "beta1": 0.9, "beta2": 0.99, "eps": 1e-8, "weight_decay": weight_decay, "steps": 3}

    @case(name, "adam", **numbers)
    def make(draw):
        zeros = np.zeros(37)
        inputs = {"p": draw.normal(37), "g": draw.normal(3, 37), "m": zeros, "v": zeros}

        def steps(p, g, m, v):
            weight = p.clone().requires_grad_()
            options = {"weight_decay": weight_decay} if weight_decay else {}
            step = optimiser([weight], lr=0.01, betas=(0.9, 0.99), eps=1e-8, **options)
            for gradient in g:
                weight.grad = gradient.clone()
                step.step()
            state = step.state[weight]
            return {"p": weight.detach(), "m": state["exp_avg"], "v": state["exp_avg_sq"]}

        return inputs, steps, tuple(inputs)


adam("adam", 0.0, torch.optim.Adam)
adam("adam_weight_decay", 0.05, torch.optim.AdamW)


@case("ema", "ema", decay=0.75)
def _(draw):
    average = lambda a, b: torch.lerp(b, a, 0.75)
    return {"a": draw.normal(41), "b": draw.normal(41)}, *simple(average, "a", "b")


@case("ou_step", "ou_step", c0=1.01, c1=-0.2, c2=0.3, c3=-0.01)
def _(draw):
    inputs = {"z": draw.normal(2, 3, 4, 2), "eps": draw.normal(2, 3, 4, 2), "noise": draw.normal(2, 3, 4, 2)}
    inputs["target"] = draw.normal(3)
    step = lambda z, eps, noise, target: 1.01 * z - 0.2 * eps + 0.3 * noise - 0.01 * target.reshape(1, 3, 1, 1)
    return inputs, lambda **x: {"z": step(**x)}, tuple(inputs)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, (op, params, _) in CASES.items():
        write(folder / f"{name}.safetensors", op, params, *compute(name), note=f"PyTorch {torch.__version__}, CPU, f64")
    size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    print(f"{len(CASES)} vectors, {size} bytes, in {folder}; PyTorch {torch.__version__}")


if __name__ == "__main__":
    main()
