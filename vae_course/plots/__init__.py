r"""Figures in the house style: image grids, latent maps, curves, and `show`, which says in words
what a figure shows.

Every figure repeats by marker, line style or a digit what its colours say. Nothing here needs
torch: tensors are taken as they come, on any device, with or without a gradient.
"""

from __future__ import annotations

import itertools
import sys
import textwrap
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import (
    FixedLocator,
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    NullLocator,
)
from PIL import Image

from vae_course.plots import diagrams
from vae_course.plots.latent_map import latent_map
from vae_course.plots.pictures import (
    CSS_DPI,
    DPI,
    as_array,
    checked_pixels,
    display_png,
    figure_picture,
    image_strip,
    in_notebook,
    small_png,
)
from vae_course.plots.style import (
    FIGURE_SIZE,
    HOUSE_STYLE,
    LINE_STYLES,
    MARKERS,
    PALETTE,
    use_house_style,
)
from vae_course.printing import say

__all__ = [
    "HOUSE_STYLE",
    "LINE_STYLES",
    "MARKERS",
    "PALETTE",
    "curves",
    "diagrams",
    "image_grid",
    "latent_map",
    "plain_ticks",
    "show",
    "use_house_style",
]

_MARGIN = 12  # dots around an image grid: on a dark page the white picture ends somewhere
_WIDEST = 860  # screen pixels: the column of a notebook


def show(figure: Figure | Image.Image, *, alt: str) -> None:
    r"""Show a figure as a PNG with its description under it, and close it.

    figure: of matplotlib, its axes, a diagram, or a Pillow image
    alt: one sentence that tells what can be seen, for those who can't see it. It is stored with
    the picture, where few programs read it (JupyterLab does not), and stands under it as a line
    that wraps. Outside a notebook only the line is printed.
    Raises: ValueError if alt is missing or too short; TypeError if it gets something else.
    """
    if not isinstance(alt, str) or len(alt.strip()) <= 20:
        raise ValueError(
            f"alt is {alt!r}; expected a sentence of more than 20 characters that says what the "
            'figure shows, such as alt="Two falling curves: the test loss stays above the train '
            'loss after epoch 5."'
        )
    figure = getattr(figure, "figure", figure)  # of axes, or of a diagram
    if not isinstance(figure, (Figure, Image.Image)):
        raise TypeError(
            f"show got a {type(figure).__name__}; expected a matplotlib Figure, as plt.subplots "
            "returns it first: figure, axes = plt.subplots()"
        )
    alt = " ".join(alt.split())
    if in_notebook():
        with matplotlib.rc_context(HOUSE_STYLE):  # ticks are styled when they are first drawn
            picture = figure_picture(figure) if isinstance(figure, Figure) else figure
        # JupyterLab and nbconvert show it at this width: the finer pixels only make it sharp.
        width = min(round(picture.width * CSS_DPI / DPI), _WIDEST)
        display_png(small_png(picture), alt=alt, width=width)
    else:
        say(textwrap.fill(f"Figure: {alt}", 88))
    if "matplotlib.pyplot" in sys.modules and isinstance(figure, Figure):
        sys.modules["matplotlib.pyplot"].close(figure)


def image_grid(
    rows: Sequence,
    *,
    labels: Sequence[str] | None = None,
    column_labels: Sequence[str] | None = None,
    title: str | None = None,
    scale: float | None = None,
    clip: bool = False,
) -> Figure:
    r"""Rows of images, one label a row. Pixels from 0 (black) to 1 (white).

    rows: each (N, 1, H, W), (N, H, W) or, in colour, (N, 3, H, W); all rows alike
    scale: screen dots an image pixel; by default as large as fits the page, at most 4
    clip: cut values outside [0, 1] for display; without it they are an error
    Raises: ValueError on another shape, a value outside [0, 1], not a number, a wrong label count.
    """
    if hasattr(rows, "shape") and len(rows.shape) in (3, 4):
        rows = [rows]
    arrays = [checked_pixels(as_array(row), clip=clip) for row in rows]
    if not arrays:
        raise ValueError("image_grid got no rows; expected a list of (N, 1, H, W) tensors")
    if different := [array.shape for array in arrays if array.shape != arrays[0].shape]:
        raise ValueError(
            f"rows of {arrays[0].shape} and {different[0]} in one grid; expected the same number "
            "and size of images in each row: cut the longer one, row[:n]"
        )
    _count("labels", labels, len(arrays), "row")
    _count("column_labels", column_labels, len(arrays[0]), "column")

    with matplotlib.rc_context(HOUSE_STYLE):
        figure = Figure(layout="none", dpi=DPI)
        heading = figure.text(0, 0, title or "", size=11, va="top")
        texts = [figure.text(0, 0, text, size=9.5) for text in labels or []]
        left = max((text.get_window_extent().width for text in texts), default=0)
        left += _MARGIN + (12 if texts else 0)
        if scale is None:
            count, _, width = arrays[0].shape[:3]
            fits = (FIGURE_SIZE[0] * DPI - left - _MARGIN) / (count * width * 1.07)
            scale = min(4.0, max(1.0, int(2 * fits) / 2))
        strips = [image_strip(array, scale=scale) for array in arrays]
        height, width = strips[0].shape[:2]
        gap = max(2, round(2 * scale))
        head = _MARGIN + (28 if title else 0) + (24 if column_labels else 0)
        wide = max(left + width, _MARGIN + heading.get_window_extent().width) + _MARGIN
        total = (wide, head + len(strips) * (height + gap) - gap + _MARGIN)
        figure.set_size_inches(total[0] / DPI, total[1] / DPI)
        tops = [total[1] - head - index * (height + gap) for index in range(len(strips))]
        for strip, top in zip(strips, tops, strict=True):
            axes = figure.add_axes(
                (left / total[0], (top - height) / total[1], width / total[0], height / total[1])
            )
            axes.imshow(strip, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axes.set_axis_off()
        for text, top in zip(texts, tops, strict=False):
            text.set(position=((left - 12) / total[0], (top - height / 2) / total[1]))
            text.set(horizontalalignment="right", verticalalignment="center_baseline")
        cell = (width + gap) / len(arrays[0])
        for index, text in enumerate(column_labels or []):
            middle = (left + (index + 0.5) * cell - gap / 2) / total[0]
            figure.text(middle, (total[1] - head + 7) / total[1], text, ha="center", size=9)
        heading.set_position((_MARGIN / total[0], 1 - _MARGIN / total[1]))
    return figure


def _count(name: str, labels: Sequence[str] | None, expected: int, what: str) -> None:
    if labels is not None and (isinstance(labels, str) or len(labels) != expected):
        raise ValueError(f"{name} is {labels!r}; expected {expected} of them, one a {what}")


def curves(
    xs: Sequence[float],
    series: Mapping[str, Sequence[float]],
    *,
    xlabel: str,
    ylabel: str,
    title: str | None = None,
    bands: Mapping[str, tuple[Sequence[float], Sequence[float]]] | None = None,
    log_x: bool = False,
    log_y: bool = False,
    ax: Axes | None = None,
) -> Figure:
    r"""One line a series over shared xs; colour, marker and line style each tell them apart.

    A logarithmic axis names plain numbers: 2, 4, 8, or 1, 2, 5, 10.
    series: name → values, as long as xs. bands: name → (low, high), shaded around that line.
    xlabel, ylabel: with units, as in "negative ELBO (nats / image)".
    Raises: ValueError on an empty or unequal series, or a band without its line.
    """
    xs = as_array(xs)
    if not series or len(xs) == 0:
        raise ValueError("nothing to draw; expected xs and series={'train': [...], ...}")
    if unknown := set(bands or {}) - set(series):
        raise ValueError(f"bands for {sorted(unknown)}, which are no series ({', '.join(series)})")
    with matplotlib.rc_context(HOUSE_STYLE):
        if ax is None:
            ax = Figure(dpi=DPI, layout="constrained").add_subplot()
        looks = zip(
            itertools.cycle(PALETTE), itertools.cycle(MARKERS), itertools.cycle(LINE_STYLES)
        )
        for (name, values), (colour, marker, style) in zip(series.items(), looks, strict=False):
            values = as_array(values)
            if values.shape != xs.shape:
                raise ValueError(
                    f"series {name!r} has shape {values.shape}, xs {xs.shape}; "
                    "expected one value an x"
                )
            if name in (bands or {}):
                low, high = map(as_array, bands[name])
                ax.fill_between(xs, low, high, color=colour, alpha=0.18, linewidth=0)
            every = max(1, len(xs) // 12)
            look = {"color": colour, "marker": marker, "linestyle": style, "markevery": every}
            ax.plot(xs, values, label=name, markeredgecolor="white", markeredgewidth=0.6, **look)
        ax.set(xlabel=xlabel, ylabel=ylabel)
        if log_x:
            ax.set_xscale("log")
            plain_ticks(ax.xaxis, at=xs)
        elif (xs == np.round(xs)).all():  # epochs, steps, counts
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        if log_y:
            ax.set_yscale("log")
            plain_ticks(ax.yaxis)
        if len(series) > 1:
            ax.legend()
        if title:
            ax.set_title(title)
    return ax.figure


def plain_ticks(axis: Axis, *, at: Sequence[float] | None = None) -> None:
    r"""Plain numbers on a logarithmic axis (ax.xaxis or ax.yaxis), where matplotlib says 2 × 10⁰.

    at: the values to name, where there are at most nine; else 1, 2, 5, 10, 20, …, or powers of ten
    """
    values = np.unique(as_array(at)) if at is not None else []
    if 1 < len(values) <= 9 and values[0] > 0 and (values[1:] / values[:-1]).min() > 1.25:
        axis.set_major_locator(FixedLocator(values))
    else:
        low, high = sorted(axis.get_view_interval())
        steps = (1,) if low <= 0 or high / low > 1e4 else (1, 2, 5)
        axis.set_major_locator(LogLocator(subs=steps))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.12g}"))
    axis.set_minor_formatter(NullFormatter())
    axis.set_minor_locator(NullLocator())
