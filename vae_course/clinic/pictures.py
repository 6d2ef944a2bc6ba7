r"""The pictures of the evidence. Each function gives a figure and leaves pyplot alone."""

from __future__ import annotations

import math

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

_BLUE, _ORANGE, _GREY = "#0072B2", "#D55E00", "#888888"


def _axes(width: float = 6.0, height: float = 2.8):
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def rows_of_images(images: Tensor, reconstructions: Tensor, samples: Tensor, most: int = 10):
    r"""Three rows. Shapes: (N, C, H, W), of 1 to 4 channels; else no figure."""
    if images.dim() != 4 or images.shape[1] not in (1, 2, 3, 4):
        return None
    count = min(most, len(images), len(reconstructions), len(samples))
    high = float(images.max()) if float(images.max()) > 1.5 else 1.0
    figure = Figure(figsize=(0.75 * count + 1.2, 2.6), layout="constrained")
    grid = figure.subplots(3, count, squeeze=False)
    shown_rows = {"images": images, "reconstructions": reconstructions, "samples": samples}
    for row, (name, shown) in enumerate(shown_rows.items()):
        for axes, image in zip(grid[row], shown[:count], strict=True):
            pixels = (image.detach().float().cpu() / high).clamp(0, 1).permute(1, 2, 0).numpy()
            pixels = np.nan_to_num(pixels)
            pixels = pixels[..., 0] if pixels.shape[2] in (1, 2) else pixels
            axes.imshow(pixels, cmap="gray", vmin=0, vmax=1)
            axes.set_xticks([])
            axes.set_yticks([])
        grid[row][0].set_ylabel(name, rotation=0, ha="right", va="center")
    return figure


def histogram(pixels: Tensor, outputs: Tensor):
    figure, axes = _axes()
    sets = (("images", pixels, _BLUE), ("decoder", outputs, _ORANGE))
    for place, (name, values, colour) in enumerate(sets):
        values = values.detach().float().flatten().cpu()
        values = values[values.isfinite()][:200_000]
        axes.hist(values.numpy(), bins=60, color=colour, alpha=0.6, label=name, density=True,
                  hatch=("", "//")[place])  # fmt: skip
    axes.set_yscale("log")
    axes.set_xlabel("value")
    axes.set_ylabel("density")
    axes.legend(frameon=False)
    return figure


def spread(log_var: Tensor, noise: Tensor):
    r"""How far latents lie from their means, against what log_var says. Shapes: (N, D) each."""
    figure, axes = _axes()
    order = log_var.flatten().argsort()
    sizes = noise.flatten()[order].abs()
    groups = [(log_var.flatten()[order][g], sizes[g]) for g in torch.arange(len(order)).chunk(12)]
    places = [float(lv.mean()) for lv, _ in groups]
    stds = [max(float(size.square().mean().sqrt()), 1e-6) for _, size in groups]
    axes.plot(places, stds, "o", color=_ORANGE, label="measured")
    axes.plot(places, [math.exp(0.5 * p) for p in places], "-", color=_BLUE, label="exp(log_var/2)")
    axes.set_yscale("log")
    axes.set_xlabel("log_var")
    axes.set_ylabel("spread of z around its mean")
    axes.legend(frameon=False)
    return figure


def kl_bars(kl: Tensor):
    figure, axes = _axes()
    values = kl.sort(descending=True).values.tolist()
    axes.bar(range(1, len(values) + 1), values, color=_BLUE)
    axes.set_xlabel("latent dimension, sorted")
    axes.set_ylabel("KL (nats / image)")
    return figure


def codes(latent: Tensor):
    r"""Two dimensions of the codes against the prior's circle. Shapes: (N, D), D ≥ 2."""
    if latent.shape[1] < 2:
        return None
    figure, axes = _axes(3.6, 3.4)
    widest = latent.std(dim=0).argsort(descending=True)[:2]
    x, y = latent[:, widest[0]], latent[:, widest[1]]
    axes.plot(x.numpy(), y.numpy(), ".", color=_ORANGE, markersize=3, label="codes")
    turn = np.linspace(0, 2 * np.pi, 200)
    axes.plot(2 * np.cos(turn), 2 * np.sin(turn), color=_BLUE, label="prior, two σ")
    axes.set_xlabel(f"z{int(widest[0]) + 1}")
    axes.set_ylabel(f"z{int(widest[1]) + 1}")
    axes.set_aspect("equal")
    axes.legend(frameon=False, loc="upper right")
    return figure


def history(series: dict[str, list[float]]):
    figure, axes = _axes()
    for (name, values), style, colour in zip(series.items(), "-:", (_BLUE, _ORANGE), strict=False):
        axes.plot(range(1, len(values) + 1), values, style, color=colour, label=name)
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss")
    axes.legend(frameon=False)
    return figure


def bars(names: list[str], values: list[float], label: str):
    figure, axes = _axes(6.0, 0.5 * len(names) + 1.0)
    axes.barh(names, values, color=[_BLUE, _ORANGE, _GREY][: len(names)])
    axes.invert_yaxis()
    axes.set_xlabel(label)
    return figure
