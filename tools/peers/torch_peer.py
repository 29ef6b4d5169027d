"""The work of `dbvq-wgpu bench` on PyTorch, for `cargo xtask peers`; the talk is that of `protocol.rs`.

PEER_DEVICE: `cpu`, or `cuda`, `cuda-tf32`, `cuda-amp` for a CUDA GPU in f32 without and with TF32, and with automatic
mixed precision.
"""

import contextlib
import json
import math
import os
import sys
import time

import torch
import torch.nn.functional as F

from torch_unet import UNet

DEVICE = os.environ.get("PEER_DEVICE", "cpu")
CUDA = DEVICE.startswith("cuda")
LONG = 0.05  # seconds that a run lasts, where the work is shorter


def setup():
    if not CUDA:
        # As many threads as the machine has, unless told otherwise.
        torch.set_num_threads(int(os.environ.get("PEER_THREADS", os.cpu_count() or 1)))
        return torch.device("cpu")
    allowed = DEVICE != "cuda"
    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed
    torch.backends.cudnn.benchmark = True
    return torch.device("cuda")


def precision():
    return torch.autocast("cuda", dtype=torch.float16) if DEVICE == "cuda-amp" else contextlib.nullcontext()


def wait():
    if CUDA:
        torch.cuda.synchronize()


def differentiated(op, leaves, gradients):
    """`op` alone, or with the gradients of `leaves`."""
    if not gradients:
        def forward():
            with torch.no_grad(), precision():
                op()
        return forward
    for leaf in leaves:
        leaf.requires_grad_(True)
    with precision():
        dy = torch.randn_like(op())

    def both():
        with precision():
            y = op()
        torch.autograd.grad(y, leaves, dy)
    return both


def prepare(work, gradients, device):
    def normal(*shape):
        return torch.randn(*shape, device=device)

    op = work["op"]
    if op == "matmul":
        a, b = normal(work["m"], work["k"]), normal(work["k"], work["n"])
        return differentiated(lambda: a @ b, [a, b], gradients)
    if op in ("conv2d", "conv_transpose2d"):
        c, o, kernel = work["c"], work["o"], work["kernel"]
        x = normal(work["n"], c, work["h"], work["w"])
        # PyTorch's layout of images is its user's choice; channels-last is the faster one for convolutions on CPUs and GPUs.
        x = x.to(memory_format=torch.channels_last)
        weight = normal(*((o, c) if op == "conv2d" else (c, o)), kernel, kernel).to(memory_format=torch.channels_last)
        function = F.conv2d if op == "conv2d" else F.conv_transpose2d
        run = lambda: function(x, weight, stride=work["stride"], padding=work["padding"])  # noqa: E731
        return differentiated(run, [x, weight], gradients)
    if op == "group_norm_silu":
        x = normal(work["n"], work["c"], work["h"], work["w"])
        gamma, beta = normal(work["c"]), normal(work["c"])
        return differentiated(lambda: F.silu(F.group_norm(x, work["groups"], gamma, beta)), [x, gamma, beta], gradients)
    if op == "attention":
        q, k, v = (normal(work["n"], 1, work["len"], work["d"]) for _ in range(3))
        return differentiated(lambda: F.scaled_dot_product_attention(q, k, v), [q, k, v], gradients)
    if op == "nearest":
        z, codebook = normal(work["rows"], work["d"]), normal(work["codes"], work["d"])
        run = lambda: torch.argmin((codebook * codebook).sum(1) - 2.0 * z @ codebook.t(), dim=1)  # noqa: E731
        return differentiated(run, [], False)
    if op == "adam":
        weight = torch.zeros(work["count"], device=device, requires_grad=True)
        weight.grad = normal(work["count"])
        average = torch.zeros_like(weight)
        adam = torch.optim.Adam([weight], lr=1e-3, fused=True)

        @torch.no_grad()
        def step():
            adam.step()
            average.lerp_(weight, 0.01)
        return step
    if op == "ou_step":
        shape = (work["n"], work["h"], work["w"], work["c"])
        z, eps = normal(*shape), normal(*shape)
        return differentiated(lambda: 1.01 * z - 0.02 * eps + 0.1 * torch.randn_like(z), [], False)
    if op == "unet_step":
        return unet_step(work, device)
    raise NotImplementedError(f"{op} is not written for PyTorch")


def unet_step(work, device):
    n, c = work["n"], work["c"]
    model = UNet(c, base=64, widths=[64, 128, 128], blocks=2).to(device, memory_format=torch.channels_last)
    z, eps = (torch.randn(n, c, work["h"], work["w"], device=device) for _ in range(2))
    z, eps = (x.to(memory_format=torch.channels_last) for x in (z, eps))
    t = torch.arange(n, device=device) * 61 % 1000 + 1
    adam = torch.optim.Adam(model.parameters(), lr=1e-4, fused=True)
    scaler = torch.amp.GradScaler("cuda", enabled=DEVICE == "cuda-amp")
    parameters = list(model.parameters())
    averages = [p.detach().clone() for p in parameters]

    def step():
        with precision():
            loss = F.mse_loss(model(z, t).float(), eps)
        adam.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()
        scaler.unscale_(adam)
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        scaler.step(adam)
        scaler.update()
        with torch.no_grad():
            torch._foreach_lerp_(averages, parameters, 0.01)
    return step


def timed(run, times):
    begin = time.perf_counter()
    for _ in range(times):
        run()
    wait()
    return time.perf_counter() - begin


def main():
    device = setup()
    ready, times = None, 1
    for line in sys.stdin:
        try:
            request = json.loads(line)
            if "work" in request:
                ready = None
                begin = time.perf_counter()
                run = prepare(request["work"], request.get("gradients", False), device)
                timed(run, 1)
                first = time.perf_counter() - begin
                times = min(100, max(1, math.ceil(LONG / timed(run, 1))))
                ready = run
                answer = {"first_ms": 1e3 * first}
            else:
                answer = {"ms": 1e3 * timed(ready, times) / times}
        except Exception as error:  # noqa: BLE001: what a peer cannot do is a line of the table
            answer = {"error": str(error).splitlines()[0] if str(error) else type(error).__name__}
        print("answer", json.dumps(answer), flush=True)


main()
