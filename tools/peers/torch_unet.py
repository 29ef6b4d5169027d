"""The U-Net of Ho et al. (2020) with the layers of `src/models/unet.rs`, in PyTorch."""

import math

import torch
import torch.nn.functional as F
from torch import nn


def norm(channels):
    return nn.GroupNorm(min(32, channels // 2), channels)


class Block(nn.Module):
    """Two convolutions with group norm and SiLU; the embedding of t is added between them."""

    def __init__(self, c, o, time):
        super().__init__()
        self.norm1, self.conv1 = norm(c), nn.Conv2d(c, o, 3, padding=1)
        self.time = nn.Linear(time, o)
        self.norm2, self.conv2 = norm(o), nn.Conv2d(o, o, 3, padding=1)
        self.skip = nn.Conv2d(c, o, 1) if c != o else nn.Identity()

    def forward(self, x, time):
        h = self.conv1(F.silu(self.norm1(x))) + self.time(time)[:, :, None, None]
        return self.skip(x) + self.conv2(F.silu(self.norm2(h)))


class Attention(nn.Module):
    """One head over all positions."""

    def __init__(self, c):
        super().__init__()
        self.norm, self.qkv, self.out = norm(c), nn.Linear(c, 3 * c), nn.Linear(c, c)

    def forward(self, x):
        n, c, h, w = x.shape
        q, k, v = self.qkv(self.norm(x).flatten(2).transpose(1, 2)).chunk(3, dim=2)
        y = self.out(F.scaled_dot_product_attention(q[:, None], k[:, None], v[:, None])[:, 0])
        return x + y.transpose(1, 2).reshape(n, c, h, w)


class UNet(nn.Module):
    """ε_θ(z, t); attention at the lowest level and in the middle."""

    def __init__(self, dim, base, widths, blocks):
        super().__init__()
        time, last = 2 * base, len(widths) - 1
        self.base = base
        self.embed = nn.Sequential(nn.Linear(base, time), nn.SiLU(), nn.Linear(time, time), nn.SiLU())
        self.conv_in = nn.Conv2d(dim, base, 3, padding=1)
        c, skips = base, [base]
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for i, width in enumerate(widths):
            level = nn.ModuleList()
            for _ in range(blocks):
                level.append(nn.ModuleList([Block(c, width, time)] + ([Attention(width)] if i == last else [])))
                c = width
                skips.append(c)
            resize = nn.Conv2d(c, c, 3, stride=2, padding=1) if i < last else None
            skips += [c] if i < last else []
            self.down.append(nn.ModuleDict({"blocks": level} | ({"resize": resize} if resize else {})))
        self.middle = nn.ModuleList([Block(c, c, time), Attention(c), Block(c, c, time)])
        for i, width in reversed(list(enumerate(widths))):
            level = nn.ModuleList()
            for _ in range(blocks + 1):
                block = [Block(c + skips.pop(), width, time)] + ([Attention(width)] if i == last else [])
                level.append(nn.ModuleList(block))
                c = width
            resize = nn.Conv2d(c, c, 3, padding=1) if i > 0 else None
            self.up.append(nn.ModuleDict({"blocks": level} | ({"resize": resize} if resize else {})))
        self.norm_out, self.conv_out = norm(c), nn.Conv2d(c, dim, 3, padding=1)

    def forward(self, z, t):
        half = self.base // 2
        rates = torch.exp(-math.log(10_000) * torch.arange(half, device=z.device) / half)
        angles = t[:, None] * rates
        time = self.embed(torch.cat([angles.sin(), angles.cos()], dim=1))
        x = self.conv_in(z)
        skips = [x]
        for level in self.down:
            for block, *attention in level["blocks"]:
                x = block(x, time)
                for layer in attention:
                    x = layer(x)
                skips.append(x)
            if "resize" in level:
                x = level["resize"](x)
                skips.append(x)
        first, attention, second = self.middle
        x = second(attention(first(x, time)), time)
        for level in self.up:
            for block, *attention in level["blocks"]:
                x = block(torch.cat([x, skips.pop()], dim=1), time)
                for layer in attention:
                    x = layer(x)
            if "resize" in level:
                x = level["resize"](F.interpolate(x, scale_factor=2))
        return self.conv_out(F.silu(self.norm_out(x)))
