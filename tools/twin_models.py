"""The image models in plain PyTorch, with the names of `dbvq-wgpu export`: `load_state_dict(weights, strict=True)`.

Each takes the configuration that lies beside the weights, as a dict. Images and latents are [n, c, h, w].
"""

import math

import torch
import torch.nn.functional as F
from torch import nn


class Residual(nn.Module):
    def __init__(self, channels, inner):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, inner, 3, padding=1)
        self.conv2 = nn.Conv2d(inner, channels, 1)

    def forward(self, x):
        return x + self.conv2(F.relu(self.conv1(F.relu(x))))


class Encoder(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv_in = nn.Conv2d(3, c["channels"] // 2, 4, stride=2, padding=1)
        self.conv_down = nn.Conv2d(c["channels"] // 2, c["channels"], 4, stride=2, padding=1)
        self.blocks = nn.Sequential(*(Residual(c["channels"], c["inner"]) for _ in range(c["blocks"])))
        self.conv_out = nn.Conv2d(c["channels"], c["dim"], 1)

    def forward(self, x):
        return self.conv_out(F.relu(self.blocks(self.conv_down(F.relu(self.conv_in(x))))))


class Decoder(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv_in = nn.Conv2d(c["dim"], c["channels"], 3, padding=1)
        self.blocks = nn.Sequential(*(Residual(c["channels"], c["inner"]) for _ in range(c["blocks"])))
        self.conv_up = nn.ConvTranspose2d(c["channels"], c["channels"] // 2, 4, stride=2, padding=1)
        self.conv_out = nn.ConvTranspose2d(c["channels"] // 2, 3, 4, stride=2, padding=1)

    def forward(self, z):
        return self.conv_out(F.relu(self.conv_up(F.relu(self.blocks(self.conv_in(z))))))


def plain(config):
    """Refuses the options that these modules do not know."""
    known = {"classes": config.get("classes", 0) == 0,
             "vqvae.distance": config["vqvae"].get("distance", "euclidean") == "euclidean",
             "unet.prediction": config.get("unet", {}).get("prediction", "noise") in ("noise", "codes")}
    unknown = [key for key, fits in known.items() if not fits]
    if unknown:
        raise ValueError(f"the twin does not know the configuration's {', '.join(unknown)}")


class VqVae(nn.Module):
    def __init__(self, config):
        super().__init__()
        plain(config)
        c = config["vqvae"]
        self.encoder, self.decoder = Encoder(c), Decoder(c)
        self.codebook = nn.Embedding(c["codes"], c["dim"])

    def nearest(self, z):
        """Codes [n, h, w] of latents [n, d, h, w]."""
        return (z.movedim(1, -1).unsqueeze(-2) - self.codebook.weight).square().sum(-1).argmin(-1)

    def look_up(self, codes):
        return self.codebook(codes).movedim(-1, 1)


def group_norm(channels):
    return nn.GroupNorm(next(g for g in range(min(max(channels // 2, 1), 32), 0, -1) if channels % g == 0), channels)


def zero(layer):
    """A layer that starts as 0."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class Block(nn.Module):
    def __init__(self, channels, out, time):
        super().__init__()
        self.norm1, self.norm2 = group_norm(channels), group_norm(out)
        self.conv1 = nn.Conv2d(channels, out, 3, padding=1)
        self.time = nn.Linear(time, out)
        self.conv2 = zero(nn.Conv2d(out, out, 3, padding=1))
        self.shortcut = nn.Conv2d(channels, out, 1) if channels != out else None

    def forward(self, x, time):
        h = self.conv1(F.silu(self.norm1(x))) + self.time(time)[:, :, None, None]
        h = self.conv2(F.silu(self.norm2(h)))
        return h + (self.shortcut(x) if self.shortcut else x)


class SelfAttention(nn.Module):
    def __init__(self, channels, heads):
        super().__init__()
        self.norm, self.heads = group_norm(channels), heads
        self.query, self.key, self.value = (nn.Linear(channels, channels) for _ in range(3))
        self.out = zero(nn.Conv2d(channels, channels, 1))

    def forward(self, x):
        n, c, h, w = x.shape
        rows = self.norm(x).flatten(2).mT
        q, k, v = (f(rows).view(n, h * w, self.heads, -1).transpose(1, 2) for f in (self.query, self.key, self.value))
        return x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(2, 3).reshape(n, c, h, w))


class Level(nn.Module):
    """One size of the U-Net: pairs (channels in, channels out) of its blocks."""

    def __init__(self, pairs, time, heads, attends, resize):
        super().__init__()
        self.blocks = nn.ModuleList(Block(i, o, time) for i, o in pairs)
        self.attention = nn.ModuleList(SelfAttention(o, heads) for _, o in pairs if attends)
        self.resize = resize

    def step(self, i, x, time):
        x = self.blocks[i](x, time)
        return self.attention[i](x) if self.attention else x


class UNet(nn.Module):
    def __init__(self, config):
        super().__init__()
        plain(config)
        c, dim = config["unet"], config["vqvae"]["dim"]
        base, heads, time = c["base"], c["heads"], 2 * c["base"]
        self.base = base
        widths = [base * math.prod(c["multipliers"][: i + 1]) for i in range(len(c["multipliers"]))]
        last = len(widths) - 1
        self.time = nn.ModuleList([nn.Linear(base, time), nn.Linear(time, time)])
        codes = c["prediction"] == "codes"
        told = config["prior"]["known_share"] > 0
        self.conv_in = nn.Conv2d(2 * dim + 4 * told if codes else dim, base, 3, padding=1)
        self.down, self.up, skips, x = nn.ModuleList(), nn.ModuleList(), [base], base
        for i, width in enumerate(widths):
            pairs = [(x if b == 0 else width, width) for b in range(c["blocks"])]
            halve = nn.Conv2d(width, width, 3, stride=2, padding=1) if i < last else None
            self.down.append(Level(pairs, time, heads, i in c["attention"], halve))
            skips += [width] * (c["blocks"] + (i < last))
            x = width
        middle = {"block1": Block(x, x, time), "attention": SelfAttention(x, heads), "block2": Block(x, x, time)}
        self.middle = nn.ModuleDict(middle)
        for i, width in reversed(list(enumerate(widths))):
            pairs = [((x if b == 0 else width) + skips.pop(), width) for b in range(c["blocks"] + 1)]
            smooth = nn.Conv2d(width, width, 3, padding=1) if i > 0 else None
            self.up.append(Level(pairs, time, heads, i in c["attention"], smooth))
            x = width
        self.norm_out, self.conv_out = group_norm(x), zero(nn.Conv2d(x, config["vqvae"]["codes"] if codes else dim, 3, padding=1))
        self.position = nn.Parameter(torch.zeros((config["vqvae"]["size"] // 4) ** 2, base)) if c["position"] else None

    def forward(self, z, t):
        half = self.base // 2
        angles = t[:, None] * 1e-4 ** (torch.arange(half) / (half - 1))
        time = F.silu(self.time[0](torch.cat([angles.sin(), angles.cos()], 1)))
        time = F.silu(self.time[1](time))
        x = self.conv_in(z)
        if self.position is not None:
            x = x + self.position.mT.view(1, -1, *x.shape[2:])
        skips = [x]
        for level in self.down:
            for i in range(len(level.blocks)):
                x = level.step(i, x, time)
                skips.append(x)
            if level.resize:
                x = level.resize(x)
                skips.append(x)
        x = self.middle["block1"](x, time)
        x = self.middle["block2"](self.middle["attention"](x), time)
        for level in self.up:
            for i in range(len(level.blocks)):
                x = level.step(i, torch.cat([x, skips.pop()], 1), time)
            if level.resize:
                h, w = skips[-1].shape[2:]
                x = level.resize(F.interpolate(x, scale_factor=2)[:, :, :h, :w])
        return self.conv_out(F.silu(self.norm_out(x)))


class CodesPrior(UNet):
    """A prior that predicts codes. It must be told `vectors` e_k - z* [k, d] and `spread` [d], both standardised."""

    def __init__(self, config):
        super().__init__(config)
        self.config, self.told = config, config["prior"]["known_share"] > 0
        cells = (config["vqvae"]["size"] // 4) ** 2
        self.codes = nn.ParameterDict({"bias": nn.Parameter(torch.zeros(cells, config["vqvae"]["codes"]))})

    def scores(self, z, signal, noise, logits=0.0):
        """Of z_t - z* [n, d, h, w]: the law's logarithm up to a constant, [n, h, w, k]."""
        n, d, h, w = z.shape
        away = z.movedim(1, -1).unsqueeze(-2) - signal.view(n, 1, 1, 1, 1) * self.vectors
        variance = noise.view(n, 1).square() + signal.view(n, 1).square() * self.spread
        nearness = -0.5 * (away.square() / variance.view(n, 1, 1, 1, d)).sum(-1)
        return nearness + self.codes["bias"].view(h, w, -1) + logits

    def law(self, z, t, signal, noise, known=None, z0=None):
        """log p(k | z_t, i), [n, h, w, k]. Where `known` [n, 1, h, w] is 1 the network sees z_0 - z* = `z0`."""
        target = self.config["bridge"]["target"]
        scale = (signal.square() * (1 + target**2) + noise.square()).rsqrt()[:, None, None, None]
        soft = (self.scores(z, signal, noise).softmax(-1) @ self.vectors).movedim(-1, 1)
        seen = torch.cat([scale * z, soft], 1)
        if self.told:
            known = torch.zeros_like(z[:, :1]) if known is None else known
            z0 = torch.zeros_like(z) if z0 is None else z0
            seen = torch.cat([seen * (1 - known) + torch.cat([z0, z0], 1) * known, known.expand(-1, 4, -1, -1)], 1)
        logits = self.forward(seen, t).movedim(1, -1)
        return self.scores(z, signal, noise, logits).log_softmax(-1)

    def z0(self, z, signal, noise, law):
        """The estimate of z_0 - z* [n, d, h, w]."""
        mean = (law.exp() @ self.vectors).movedim(-1, 1)
        signal, noise, spread = signal.view(-1, 1, 1, 1), noise.view(-1, 1, 1, 1), self.spread[:, None, None]
        gain = signal * spread / (noise.square() + signal.square() * spread)
        return mean + gain * (z - signal * mean)


class Gated(nn.Module):
    """One layer of the PixelCNN. The kernels of the first (mask A) do without their last row and column."""

    def __init__(self, channels, kernel, first):
        super().__init__()
        self.half, self.first = kernel // 2, first
        self.vertical = nn.Conv2d(channels, 2 * channels, (self.half + 1, kernel))
        self.to_horizontal = nn.Conv2d(2 * channels, 2 * channels, 1)
        self.horizontal = nn.Conv2d(channels, 2 * channels, (1, self.half + 1))
        self.out = nn.Conv2d(channels, channels, 1)
        setattr(self, "class", nn.Embedding(1, 2 * channels))

    def forward(self, vertical, horizontal):
        half, late, (h, w) = self.half, int(self.first), vertical.shape[2:]
        reach = half + 1 - late
        of_class = getattr(self, "class").weight[0, :, None, None]
        above = F.pad(vertical[:, :, : h - late], (half, half, half, 0))
        above = F.conv2d(above, self.vertical.weight[:, :, :reach], self.vertical.bias)
        left = F.pad(horizontal[:, :, :, : w - late], (half, 0))
        left = F.conv2d(left, self.horizontal.weight[:, :, :, :reach], self.horizontal.bias)
        out = self.out(self.gate(left + self.to_horizontal(above) + of_class))
        return self.gate(above + of_class), out if self.first else out + horizontal

    def gate(self, x):
        a, b = x.chunk(2, 1)
        return a.tanh() * b.sigmoid()


class PixelCnn(nn.Module):
    def __init__(self, config):
        super().__init__()
        plain(config)
        c, codes = config["pixelcnn"], config["vqvae"]["codes"]
        kernels = [c["first_kernel"]] + [c["kernel"]] * (c["layers"] - 1)
        self.embedding = nn.Embedding(codes, c["channels"])
        self.layers = nn.ModuleList(Gated(c["channels"], kernel, i == 0) for i, kernel in enumerate(kernels))
        self.hidden = nn.Conv2d(c["channels"], c["head"], 1)
        self.logits = nn.Conv2d(c["head"], codes, 1)

    def forward(self, codes):
        vertical = horizontal = self.embedding(codes).movedim(-1, 1)
        for layer in self.layers:
            vertical, horizontal = layer(vertical, horizontal)
        return self.logits(F.relu(self.hidden(F.relu(horizontal))))


class Joint(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.vqvae, self.prior = VqVae(config), UNet(config)


MODELS = {"vqvae": VqVae, "prior": UNet, "pixelcnn": PixelCnn, "joint": Joint}
