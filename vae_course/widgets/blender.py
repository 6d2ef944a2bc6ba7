r"""Chapter 07: one digit becomes another, on three paths."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import matplotlib
import numpy as np

from vae_course.plots.pictures import as_array, checked_pixels
from vae_course.plots.style import HOUSE_STYLE, PALETTE
from vae_course.widgets._controls import Choice, Slider
from vae_course.widgets._core import Explorer
from vae_course.widgets._drawing import LiveFigure, house_figure

_PATHS = ("pixels mixed", "straight line", "great circle")


def blend_explorer(
    decode: Callable, images, latents, *, names: Sequence[str], start: int = 0, end: int = 1
) -> Explorer:
    r"""Two digits and a slider; the blend on three paths, and the norm of the latent on the way.

    decode: (1, D) tensor → (1, 1, H, W) pixels from 0 to 1, called without gradient
    images, latents: (N, 1, H, W) and (N, D), the digits to choose from and their codes
    names: N different names to choose them by; start, end: the two that are chosen at first
    Raises: ValueError if the counts differ or names are doubled.
    """
    import torch

    from vae_course.latent import slerp

    names = [str(name) for name in names]
    pixels = checked_pixels(as_array(images), clip=False) / 255
    codes = torch.as_tensor(latents).detach().float().cpu()
    if not len(pixels) == len(codes) == len(names) or len(set(names)) != len(names):
        raise ValueError(
            f"{len(pixels)} images, {len(codes)} latents, {len(names)} names; expected as many of "
            "each, and different names"
        )
    ts = torch.linspace(0, 1, 61).tolist()
    dim = codes.shape[1]
    typical = np.sqrt(np.random.default_rng(0).chisquare(dim, 20_000))
    low, high = np.quantile(typical, [0.025, 0.975])
    largest = max(float(codes.norm(dim=1).max()), high) * 1.08

    with matplotlib.rc_context(HOUSE_STYLE):
        figure = house_figure(5.8, 4.1)
        grid = figure.add_gridspec(2, 3, height_ratios=[1.15, 1])
        tops = [figure.add_subplot(grid[0, column]) for column in range(3)]
        below = figure.add_subplot(grid[1, :])
        pictures = []
        for axes, title in zip(tops, _PATHS, strict=True):
            axes.set_axis_off()
            axes.set_title(title, loc="center", fontsize=10)
            shown = axes.imshow(pixels[0], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            pictures.append(shown)
        below.set(xlim=(0, 1), ylim=(0, largest), xlabel="t", ylabel="norm of the latent")
        below.axhspan(low, high, color=PALETTE[2], alpha=0.18, linewidth=0)
        below.text(0.01, high, "95 % of the prior", size=8.5, va="bottom", color="#00674c")
        (line,) = below.plot(ts, ts, color=PALETTE[1], linestyle="--", label="straight line")
        (arc,) = below.plot(ts, ts, color=PALETTE[0], linestyle="-", label="great circle")
        dots = [
            below.plot([0], [0], mark, color=colour, ls="none", ms=9, mec="white", zorder=5)[0]
            for mark, colour in (("s", PALETTE[1]), ("o", PALETTE[0]))
        ]
        below.legend(loc="lower left", ncols=2)
    live = LiveFigure(figure, [*pictures, line, arc, *dots])

    def paths(start: str, end: str, t: float):
        first, last = codes[names.index(start)], codes[names.index(end)]
        return (1 - t) * first + t * last, slerp(first, last, t)

    @lru_cache(maxsize=256)
    def ways(start: str, end: str) -> np.ndarray:
        r"""Norms at all times on both paths, (times, 2)."""
        return np.array([[float(z.norm()) for z in paths(start, end, at)] for at in ts])

    def draw(start: str, end: str, t: float) -> bytes:
        one, other = pixels[names.index(start)], pixels[names.index(end)]
        pictures[0].set_data((1 - t) * one + t * other)
        with torch.no_grad():
            for shown, latent in zip(pictures[1:], paths(start, end, t), strict=True):
                shown.set_data(checked_pixels(as_array(decode(latent[None])), clip=False)[0] / 255)
        norms = ways(start, end)
        line.set_ydata(norms[:, 0])
        arc.set_ydata(norms[:, 1])
        for dot, latent in zip(dots, paths(start, end, t), strict=True):
            dot.set_data([t], [float(latent.norm())])
        return live.png()

    def describe(start: str, end: str, t: float) -> str:
        norms = [float(latent.norm()) for latent in paths(start, end, t)]
        where = ["inside" if low <= n <= high else "below" if n < low else "above" for n in norms]
        return (
            f"The latent has norm {norms[0]:.2f} on the straight line ({where[0]} the band that "
            f"holds 95 % of the prior, {low:.2f} to {high:.2f}) and {norms[1]:.2f} on the great "
            f"circle ({where[1]})."
        )

    controls = {
        "start": Choice("from", names, names[start]),
        "end": Choice("to", names, names[end]),
        "t": Slider("t", 0.0, 1.0, 0.5, 0.02),
    }
    return Explorer(
        "one digit becomes another, on three paths", controls, draw, describe,
        grips=lambda **_: [live.grip(below, "t")],
        live={"start": 8, "end": 8, "t": 21},
        hold="Press or drag in the lower picture to move along the paths.",
    )  # fmt: skip
