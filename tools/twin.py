#!/usr/bin/env python3
"""The image models in plain PyTorch: same names, same outputs, same losses.

    DBVQ_TWIN=target/twin cargo test --test twin                    (writes what is compared)
    python3 tools/twin.py target/twin                               (needs torch, numpy, safetensors)
    python3 tools/twin.py target/twin --golden tests/golden/first-steps.json

Takes weights that `dbvq-wgpu export` wrote, and compares for every stage: the outputs of the trained model for the same
inputs, and the losses of the first training steps from the same start, batches and random numbers. Computes in f64.
With --golden the losses are written into that file, against which the Rust test compares its own.
"""

import json
import math
import pathlib
import sys
import tomllib

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

from twin_models import MODELS, CodesPrior

torch.set_default_dtype(torch.float64)
# The trainings, each with its stage.
STAGES = {"vqvae": "vqvae", "prior": "prior", "pixelcnn": "pixelcnn", "joint": "joint", "codes": "prior", "codes-data": "prior"}
# Outputs may differ by this much, losses by this share.
OUTPUTS, LOSSES = 1e-5, 1e-5


# Files ---------------------------------------------------------------------------------------------------------------


def load(folder, name):
    """Model, configuration, and moments and spread of the latents of an export."""
    config = tomllib.loads((folder / f"{name}.toml").read_text())
    weights = {key: value.double() for key, value in load_file(folder / f"{name}.safetensors").items()}
    moments = [weights.pop(key, None) for key in ("latents.mean", "latents.std", "codes.spread")]
    codes = config.get("unet", {}).get("prediction") == "codes" and config["stage"] == "prior"
    model = (CodesPrior if codes else MODELS[config["stage"]])(config)
    model.load_state_dict(weights, strict=True)
    return model, config, moments


def data(folder, stage):
    """Batches, random numbers, inputs, outputs; images and latents [.., h, w, c] become [.., c, h, w]."""
    tensors = {key: value.double() for key, value in load_file(folder / f"{stage}-data.safetensors").items()}
    return {key: value.movedim(-1, -3) if value.dim() > 3 else value for key, value in tensors.items()}


# The bridge ----------------------------------------------------------------------------------------------------------


def bridge(config):
    """√ᾱ_t and √(v (1 − ᾱ_t)) for t = 0..T."""
    c = config["bridge"]
    betas = torch.linspace(c["beta_start"], c["beta_end"], c["steps"])
    kept = torch.cat([torch.ones(1), (1 - betas).cumprod(0)])
    return kept.sqrt(), (c["eta"] ** 2 / (2 * c["theta"]) * (1 - kept)).sqrt()


def moments(vqvae, images, config):
    """Mean and standard deviation of every channel of z_0, and its variance about the code vectors in units of the latter."""
    z = vqvae.encoder(images)
    vectors = positions(vqvae.look_up(vqvae.nearest(z)))
    z = vectors if config["prior"]["diffuse"] == "codes" else positions(z)
    std = z.std(0, unbiased=False)
    return z.mean(0), std, (z - vectors).var(0, unbiased=False) / std.square()


def know(model, config, vqvae, measured):
    """Tells a prior that predicts codes what it computes with; returns the moments."""
    mean, std, spread = moments(vqvae, measured, config)
    model.vectors = (vqvae.codebook.weight - mean) / std - config["bridge"]["target"]
    model.spread = spread
    return mean, std


# Training ------------------------------------------------------------------------------------------------------------


class Autoencoding:
    """The VQ-VAE's losses, and its code vectors, which follow the latents by running averages."""

    def __init__(self, model, config):
        self.model, self.c = model, config["vqvae"]
        model.codebook.weight.requires_grad_(False)

    def place(self, counts, sums):
        self.counts, self.sums = counts.clone(), sums.clone()
        self.model.codebook.weight.copy_(sums / counts[:, None])

    def loss(self, images, z):
        codes = self.model.nearest(z.detach())
        self.rows, self.hits = positions(z.detach()), F.one_hot(codes.flatten(), self.c["codes"]).double()
        quantised = self.model.look_up(codes)
        image = self.model.decoder(z + (quantised - z).detach())
        return F.mse_loss(image, images) + self.c["commitment"] * F.mse_loss(z, quantised)

    def follow(self):
        keep = self.c["decay"]
        self.place(keep * self.counts + (1 - keep) * self.hits.sum(0), keep * self.sums + (1 - keep) * self.hits.T @ self.rows)


def positions(z):
    """Latents [n, d, h, w] one below the other."""
    return z.movedim(1, -1).flatten(0, 2)


def noised(config, z0, t, eps):
    signal, noise = (x[t, None, None, None] for x in bridge(config))
    target = config["bridge"]["target"]
    return target + signal * (z0 - target) + noise * eps


def diffusion(config, unet, z0, t, eps):
    return F.mse_loss(unet(noised(config, z0, t, eps) - config["bridge"]["target"], t), eps)


def regulariser(config, zt, codebook, t):
    """KL(q || p) of the codes at z_t, minimised."""
    c = config["joint"]
    logits = -c["scale"] * (zt.movedim(1, -1).unsqueeze(-2) - codebook).square().sum(-1)
    tau = c["reg_tau_first"] * (c["reg_tau_last"] / c["reg_tau_first"]) ** (t / config["bridge"]["steps"])
    log_q, log_p = (logits / c["reg_tau"]).log_softmax(-1), (logits / tau[:, None, None, None]).log_softmax(-1)
    return (log_q.exp() * (log_q - log_p)).sum(-1).mean()


# Each takes a model, the configuration, the data and the frozen VQ-VAE, and returns the loss as a function of the step, and
# what comes after the optimiser's step.


def vqvae_training(model, config, d, _):
    parts = Autoencoding(model, config)

    def loss(step):
        z = model.encoder(d["images"][step])
        if step == 0:
            parts.place(torch.ones(len(d["rows"])), positions(z.detach())[d["rows"].long()])
        return parts.loss(d["images"][step], z)

    return loss, parts.follow


def prior_training(model, config, d, vqvae):
    mean, std = (x[:, None, None] for x in moments(vqvae, d["measured"], config)[:2])

    def loss(step):
        z0 = (vqvae.encoder(d["images"][step]) - mean) / std
        return diffusion(config, model, z0, d["levels"][step].long(), d["noise"][step])

    return loss, lambda: None


def codes_training(model, config, d, vqvae):
    mean, std = (x[:, None, None] for x in know(model, config, vqvae, d["measured"]))
    target, (signals, noises) = config["bridge"]["target"], bridge(config)

    def loss(step):
        z, t, eps, known = vqvae.encoder(d["images"][step]), d["levels"][step].long(), d["noise"][step], d["known"][step]
        codes = vqvae.nearest(z)
        start = vqvae.look_up(codes) if config["prior"]["diffuse"] == "codes" else z
        z0 = (start - mean) / std
        zt = noised(config, z0, t, eps) - target
        law = model.law(zt, t, signals[t], noises[t], known, z0 - target)
        if config["stages"]["prior"]["loss"] == "cross-entropy":
            nats, hidden = -law.gather(-1, codes[..., None])[..., 0], 1 - known[:, 0]
            return (nats * hidden).sum() / hidden.sum()
        error = (model.z0(zt, signals[t], noises[t], law) - (z0 - target)).square().mean((1, 2, 3))
        return (error * (signals[t] / noises[t]).square()).mean()

    return loss, lambda: None


def pixelcnn_training(model, config, d, vqvae):
    def loss(step):
        codes = vqvae.nearest(vqvae.encoder(d["images"][step]))
        return F.cross_entropy(model(codes), codes)

    return loss, lambda: None


def joint_training(model, config, d, _):
    c, parts = config["joint"], Autoencoding(model.vqvae, config)
    assert (c["diffuse"], c["diffusion_gradient"], c["regulariser"]) == ("data", "scale", "kl"), "not in the twin"
    parts.place(d["codebook.counts"], d["codebook.sums"])
    mean, std = d["latents.mean"], d["latents.std"]

    def loss(step):
        z, t, eps = model.vqvae.encoder(d["images"][step]), d["levels"][step].long(), d["noise"][step]
        z0, part = (z - mean[:, None, None]) / std[:, None, None], c["gradient_scale"]
        codebook = (model.vqvae.codebook.weight - mean) / std
        return (
            parts.loss(d["images"][step], z)
            + diffusion(config, model.prior, part * z0 + (1 - part) * z0.detach(), t, eps)
            + c["regulariser_weight"] * regulariser(config, noised(config, z0, t, eps), codebook, t)
        )

    return loss, parts.follow


TRAININGS = {"vqvae": vqvae_training, "prior": prior_training, "pixelcnn": pixelcnn_training, "joint": joint_training}


def groups(stage, model, config):
    """Peak learning rates, and what they are for."""
    parts = [(config["stages"][stage]["lr"], model)]
    if stage == "joint":
        parts = [(config["stages"]["joint"]["lr"], model.prior), (config["joint"]["vqvae_lr"], model.vqvae)]
    return [(lr, [p for p in part.parameters() if p.requires_grad]) for lr, part in parts]


def train(stage, model, config, d, frozen):
    """Losses of the steps. The model is left with the running averages of its weights."""
    c = config["stages"][stage]
    codes = isinstance(model, CodesPrior)
    loss_of, after = (codes_training if codes else TRAININGS[stage])(model, config, d, frozen)
    parts = groups(stage, model, config)
    options = {"betas": (c["beta1"], c["beta2"]), "eps": c["eps"], "weight_decay": c["weight_decay"]}
    adam = torch.optim.AdamW([{"params": weights} for _, weights in parts], **options)
    weights = sum((weights for _, weights in parts), [])
    averages, losses = [w.detach().clone() for w in weights], []
    for step in range(len(d["images"])):
        share = min((step + 1) / max(c["warmup"], 1), 1) * (1 + math.cos(math.pi * step / c["steps"])) / 2
        loss = loss_of(step)
        adam.zero_grad()
        loss.backward()
        for group, (lr, part) in zip(adam.param_groups, parts):
            group["lr"] = lr * share
            nn.utils.clip_grad_norm_(part, c["clip"])
        adam.step()
        with torch.no_grad():
            after()
        keep = min(c["ema"], (1 + step) / (10 + step))
        for average, weight in zip(averages, weights):
            average.mul_(keep).add_((1 - keep) * weight.detach())
        losses.append(loss.item())
    for average, weight in zip(averages, weights):
        weight.data.copy_(average)
    return torch.tensor(losses)


# Comparing -----------------------------------------------------------------------------------------------------------


def outputs(stage, model, config, d):
    """What the models compute of the inputs, by the names of the file."""
    found, joint = {}, stage == "joint"
    if joint or stage == "vqvae":
        vqvae = model.vqvae if joint else model
        z = vqvae.encoder(d["in.images"])
        codes = vqvae.nearest(z)
        found |= {"out.latents": z, "out.codes": codes, "out.decoded": vqvae.decoder(vqvae.look_up(codes))}
    if isinstance(model, CodesPrior):
        z, t = d["in.z"] - config["bridge"]["target"], d["in.t"].expand(len(d["in.z"])).long()
        signal, noise = (x[t] for x in bridge(config))
        z0 = model.z0(z, signal, noise, model.law(z, t, signal, noise))
        found["out.eps"] = (z - signal.view(-1, 1, 1, 1) * z0) / noise.view(-1, 1, 1, 1)
    elif joint or stage == "prior":
        unet, z = model.prior if joint else model, d["in.z"]
        found["out.eps"] = unet(z - config["bridge"]["target"], d["in.t"].expand(len(z)))
    if stage == "pixelcnn":
        found["out.logits"] = model(d["in.codes"].long())
    return found


@torch.no_grad()
def apart(stage, model, config, d):
    """The largest difference between the model's outputs and those of the file."""
    return max((value - d[key]).abs().max().item() for key, value in outputs(stage, model, config, d).items())


def check(folder, name, stage):
    """Prints what was compared; returns the losses and whether all agrees."""
    d = data(folder, name)
    end, config, latents = load(folder, f"{name}-end")
    frozen = load(folder, "vqvae-end")[0].requires_grad_(False)
    if isinstance(end, CodesPrior):
        know(end, config, frozen, d["measured"])
    off = {"outputs": (apart(stage, end, config, d), OUTPUTS)}
    if stage == "prior":
        found = [(a, b) for a, b in zip(moments(frozen, d["measured"], config), latents) if b is not None]
        off["moments"] = (max((a - b).abs().max().item() for a, b in found), OUTPUTS)
    model = load(folder, f"{name}-start")[0]
    losses = train(stage, model, config, d, frozen)
    off["losses"] = ((d["losses"] / losses - 1).abs().max().item(), LOSSES)
    off["outputs of the trained twin"] = (apart(stage, model, config, d), 10 * OUTPUTS)
    print(f"{name:10}", "; ".join(f"{what} off by {found:.1e}" for what, (found, _) in off.items()))
    return [round(loss, 9) for loss in losses.tolist()], all(found <= limit for found, limit in off.values())


def main():
    match sys.argv[1:]:
        case [folder]:
            golden = None
        case [folder, "--golden", golden]:
            pass
        case _:
            sys.exit(__doc__)
    results = {name: check(pathlib.Path(folder), name, stage) for name, stage in STAGES.items()}
    if golden:
        lines = (f'  "{name}": {json.dumps(losses)}' for name, (losses, _) in results.items())
        made = f"PyTorch {torch.__version__.split('+')[0]} in f64, by tools/twin.py"
        pathlib.Path(golden).write_text(f'{{\n  "made": "{made}",\n' + ",\n".join(lines) + "\n}\n")
    if not all(fine for _, fine in results.values()):
        sys.exit("the twin differs by more than the limits")


if __name__ == "__main__":
    main()
