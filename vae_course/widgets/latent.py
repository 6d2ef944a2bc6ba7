r"""Chapter 01: move a point in the plane of codes and see what it decodes to."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence

import matplotlib
import numpy as np
from matplotlib import patheffects

from vae_course.plots.latent_map import latent_map, thinned
from vae_course.plots.pictures import as_array, checked_pixels
from vae_course.plots.style import HOUSE_STYLE, PALETTE
from vae_course.widgets._controls import Slider
from vae_course.widgets._core import Explorer
from vae_course.widgets._drawing import LiveFigure, house_figure

_DRAWN_CODES = 700  # more only darken a map of this size
Range = tuple[float, float]


def latent_explorer(
    decode: Callable,
    *,
    codes=None,
    labels=None,
    class_names: Sequence[str] | None = None,
    limit: float | tuple[Range, Range] | None = None,
    clip: bool = False,
    title: str = "two latent numbers and the image they decode to",
) -> Explorer:
    r"""Two sliders move a point over the map of codes; beside it stands the decoded image.

    decode: (1, 2) tensor → (1, 1, H, W) pixels from 0 to 1, called without gradient
    codes, labels: (N, 2) and (N,), the map in the background; class_names names the labels
    limit: 3.0 for −3 to 3 in both, or ((low, high), (low, high)); by default around the codes,
        without codes −3 to 3
    clip: cut decoded values outside [0, 1], which are an error otherwise
    Raises: ValueError on codes of another shape, or if decode returns something else.
    """
    import torch

    points = None if codes is None else as_array(codes).astype(float)
    if points is not None and (points.ndim != 2 or points.shape[1] != 2 or not len(points)):
        raise ValueError(f"codes of shape {points.shape}; expected (N, 2): it is a map of a plane")
    kinds = None if labels is None else as_array(labels).astype(int)
    if class_names is None and kinds is not None:
        class_names = [str(index) for index in range(kinds.max() + 1)]
    ranges = _ranges(points, limit)
    steps = [_round_step((high - low) / 60) for low, high in ranges]
    starts = [0.0, 0.0] if points is None else np.median(points, axis=0)

    def image(z1: float, z2: float) -> np.ndarray:
        with torch.no_grad():
            decoded = as_array(decode(torch.tensor([[z1, z2]], dtype=torch.float32)))
        if decoded.ndim != 4 or decoded.shape[:2] != (1, 1):
            raise ValueError(
                f"decode returned shape {decoded.shape} for one code (1, 2); expected "
                "(1, 1, height, width)"
            )
        return checked_pixels(decoded, clip=clip)[0]

    with matplotlib.rc_context(HOUSE_STYLE):
        figure = house_figure(5.6, 3.0)
        left, right = figure.subplots(1, 2, width_ratios=[1.12, 1])
        left.set(xlim=ranges[0], ylim=ranges[1])
        if points is not None and kinds is not None:
            few = thinned(len(points), _DRAWN_CODES)
            latent_map(points[few], kinds[few], class_names, ax=left)
        elif points is not None:
            left.plot(*points.T, ".", color="#888888", markersize=3)
        left.set(xlim=ranges[0], ylim=ranges[1], xlabel="latent $z_1$", ylabel="latent $z_2$")
        right.set_axis_off()
        right.set_title("decoded image", loc="center", fontsize=10)
        halo = [patheffects.withStroke(linewidth=4, foreground="white")]
        cross = [
            left.axvline(0, color="black", linewidth=1, linestyle="-", alpha=0.6),
            left.axhline(0, color="black", linewidth=1, linestyle="-", alpha=0.6),
        ]
        (ring,) = left.plot(
            [0],
            [0],
            "o",
            markersize=13,
            markerfacecolor="none",
            markeredgecolor=PALETTE[1],
            markeredgewidth=2.5,
            linestyle="none",
            path_effects=halo,
            zorder=10,
            clip_on=False,
        )
        start = image(*starts)
        digit = right.imshow(start, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    live = LiveFigure(figure, [*cross, ring, digit])

    last = {}  # what was drawn last: describing it must not decode it again

    def draw(z1: float, z2: float) -> bytes:
        last.clear()
        last[z1, z2] = image(z1, z2)
        digit.set_data(last[z1, z2])
        cross[0].set_xdata([z1, z1])
        cross[1].set_ydata([z2, z2])
        ring.set_data([z1], [z2])
        return live.png()

    def describe(z1: float, z2: float) -> str:
        decoded = last[z1, z2] if (z1, z2) in last else image(z1, z2)
        ink = f"The decoded image is {decoded.mean() / 255:.0%} white."
        return f"{ink} {_neighbours(z1, z2, points, kinds, class_names)}".strip()

    controls = {
        name: Slider(label, *span, _start(start, *span, step), step)
        for name, label, span, start, step in zip(
            ("z1", "z2"), ("z₁", "z₂"), ranges, starts, steps, strict=True
        )
    }
    return Explorer(
        title, controls, draw, describe,
        grips=lambda **_: [live.grip(left, "z1", "z2")],
        live={"z1": 31, "z2": 31},
        hold="Press or drag on the map to move the point.",
    )  # fmt: skip


def _neighbours(z1, z2, points, kinds, class_names) -> str:
    r"""Which codes lie nearest, and how near: says whether the point stands in a hole."""
    if points is None:
        return ""
    distances = np.hypot(points[:, 0] - z1, points[:, 1] - z2)
    nearest = distances.argsort()[:10]
    far = f"{distances[nearest[0]]:.2g} away"
    if kinds is None:
        return f"The nearest code is {far}."
    counts = Counter(class_names[kind] for kind in kinds[nearest]).most_common()
    classes = ", ".join(f"{count} of class {name}" for name, count in counts)
    return f"The nearest code is {far}. The {len(nearest)} nearest codes: {classes}."


def _ranges(points: np.ndarray | None, limit) -> list[Range]:
    if limit is None and points is not None:
        low, high = points.min(axis=0), points.max(axis=0)
        pad = 0.05 * (high - low) + 1e-3
        limit = tuple(zip(low - pad, high + pad, strict=True))
    elif limit is None:
        limit = 3.0
    if np.isscalar(limit):
        limit = ((-limit, limit), (-limit, limit))
    ranges = []
    for low, high in limit:
        if not low < high:
            raise ValueError(f"limit {limit}; expected a positive number or two ranges (low, high)")
        step = _round_step((high - low) / 60)
        ends = (math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step)
        ranges.append(tuple(round(end, 10) for end in ends))
    return ranges


def _round_step(step: float) -> float:
    r"""1, 2 or 5 times a power of ten, the nearest from below."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(round(n * power, 10) for n in (5, 2, 1) if n * power <= step * 1.001)


def _start(value: float, low: float, high: float, step: float) -> float:
    return round(min(max(round(value / step) * step, low), high), 10)
