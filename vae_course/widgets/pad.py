r"""Draw a digit of your own, and see where a model puts it and what it makes of it.

The front end of the pad is pad.js. Where anywidget is missing, ten digits of ours can be chosen.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import ipywidgets
import matplotlib
import numpy as np
import traitlets
from matplotlib import patheffects
from PIL import Image, ImageDraw

from vae_course.plots.latent_map import latent_map, thinned
from vae_course.plots.pictures import as_array, checked_pixels
from vae_course.plots.style import HOUSE_STYLE, PALETTE
from vae_course.widgets._controls import Choice, Slider, Switch
from vae_course.widgets._core import Explorer
from vae_course.widgets._drawing import LiveFigure, house_figure
from vae_course.widgets.picture import anywidget

Strokes = tuple[tuple[tuple[float, float], ...], ...]  # (x, y) from the pad's top left, 0 to 1
_FINE = 280  # dots along one side of a drawing before it is made small
_OWN = "yours"
_NEAREST = 6  # training digits shown


@cache
def our_digits() -> Mapping[str, Strokes]:
    r"""Ten digits of our own, "0" to "9", as strokes: points along the way of the pen."""
    text = Path(__file__).with_name("digits.json").read_text(encoding="utf-8")
    return MappingProxyType({name: checked_strokes(one) for name, one in json.loads(text).items()})


def checked_strokes(strokes: Sequence) -> Strokes:
    r"""Strokes as tuples. Raises: ValueError unless they are lists of points (x, y) in [0, 1]."""
    try:
        found = tuple(tuple((float(x), float(y)) for x, y in stroke) for stroke in strokes)
        good = all(found) and all(0 <= v <= 1 for one in found for point in one for v in point)
    except (TypeError, ValueError):
        good = False
    if not good:
        raise ValueError("expected strokes: lists of points (x, y), each number from 0 to 1")
    return found


def ink(strokes: Sequence, width: float = 2.2) -> np.ndarray:
    r"""Strokes as a picture, white on black: (280, 280) in [0, 1].

    width: of the line, in pixels of a picture of 28 × 28
    """
    dots = width * _FINE / 28
    picture = Image.new("L", (_FINE, _FINE))
    pen = ImageDraw.Draw(picture)
    for stroke in checked_strokes(strokes):
        way = [(x * _FINE, y * _FINE) for x, y in stroke]
        pen.line(way, fill=255, width=round(dots))
        for x, y in way:  # round ends and corners
            pen.ellipse((x - dots / 2, y - dots / 2, x + dots / 2, y + dots / 2), fill=255)
    return np.asarray(picture, dtype=np.float32) / 255


def centred_digit(picture) -> np.ndarray:
    r"""A digit, white on black, at the size and place that digits of MNIST have.

    What is above a tenth is fitted into 20 × 20 pixels, its proportions kept; then its centre of
    mass is moved to pixel (14, 14) of 28 × 28, as far as nothing leaves the picture.

    Shapes: (height, width) in [0, 1] → (28, 28) in [0, 1]; black stays black
    Raises: ValueError on another shape or range.
    Source: LeCun, Cortes & Burges, The MNIST database.
    """
    pixels = as_array(picture).astype(np.float32)
    if pixels.ndim != 2 or not pixels.size or not (pixels.min() >= 0 and pixels.max() <= 1):
        raise ValueError(f"a picture of shape {pixels.shape}; expected (height, width) in [0, 1]")
    field28 = np.zeros((28, 28), np.float32)
    if not (pixels > 0.1).any():
        return field28
    (top, bottom), (left, right) = (
        np.flatnonzero((pixels > 0.1).any(axis=axis))[[0, -1]] + [0, 1] for axis in (1, 0)
    )
    cut = Image.fromarray(pixels[top:bottom, left:right])
    scale = 20 / max(cut.size)
    size = tuple(max(1, round(side * scale)) for side in cut.size)  # width, height
    small = np.asarray(cut.resize(size, Image.Resampling.BOX if scale < 1 else None)).clip(0, 1)
    mass = small.sum()
    places = []
    for axis, side in ((1, small.shape[0]), (0, small.shape[1])):
        centre = (small.sum(axis=axis) * np.arange(side)).sum() / mass
        places.append(min(max(round(14 - centre), 0), 28 - side))
    row, column = places
    field28[row : row + small.shape[0], column : column + small.shape[1]] = small
    return field28


def _strokes(drawing: str | Strokes) -> Strokes:
    return our_digits()[drawing] if isinstance(drawing, str) else drawing


if anywidget:

    class Pad(anywidget.AnyWidget):
        r"""What is drawn on; `fresh`: the next stroke begins a new drawing."""

        _esm = Path(__file__).with_name("pad.js")
        strokes = traitlets.List().tag(sync=True)
        width = traitlets.Float(2.2).tag(sync=True)
        fresh = traitlets.Bool(True).tag(sync=True)


class Drawing(Choice):
    r"""One of `our_digits`, by its name, or strokes of the reader's own."""

    in_a_page = "To draw a digit of your own, run the notebook; here you choose among ours."

    def checked(self, value: Any) -> str | Strokes:
        return super().checked(value) if isinstance(value, str) else checked_strokes(value)

    def words(self, value: str | Strokes) -> str:
        if isinstance(value, str):
            return f"{self.label}: {value}, one of ours"
        strokes = f"{len(value)} stroke{'s' * (len(value) != 1)}"
        return f"{self.label}: yours, {strokes if value else 'empty'}"

    def row(self, changed: Callable[[Any], None], label: dict) -> DrawingRow:
        return DrawingRow(self, changed, label)


class DrawingRow:
    r"""The pad, a list of our digits, and a button that clears the pad."""

    def __init__(self, control: Drawing, changed: Callable[[Any], None], label: dict):
        options = [(_OWN, _OWN), *((f"our {name}", name) for name in control.options)]
        room = {"width": f"calc({label['style']['description_width']} + 120px)"}
        self.list = ipywidgets.Dropdown(options=options, layout=room, **label)
        self.list.observe(
            lambda change: changed(() if change["new"] == _OWN else change["new"]), names="value"
        )
        clear = ipywidgets.Button(description="Clear", layout={"width": "auto"})
        clear.add_class("clears-the-pad")
        clear.on_click(lambda _button: changed(()))
        wrap = ipywidgets.Layout(flex_flow="row wrap", align_items="center")
        self.holders, parts = [self.list], [ipywidgets.HBox([self.list, clear], layout=wrap)]
        self.pad = Pad() if anywidget else None
        if self.pad:
            self.pad.observe(
                lambda change: changed(checked_strokes(change["new"])), names="strokes"
            )
            parts.append(self.pad)
        self.line = ipywidgets.VBox(parts)

    def put(self, value: str | Strokes) -> None:
        self.list.value = value if isinstance(value, str) else _OWN
        if self.pad:
            strokes = [[list(point) for point in one] for one in _strokes(value)]
            if self.pad.strokes != strokes:
                self.pad.strokes = strokes
            self.pad.fresh = isinstance(value, str)


def drawing_pad(
    encode: Callable,
    decode: Callable,
    *,
    images,
    labels,
    class_names: Sequence[str] | None = None,
    title: str = "a digit of your own",
) -> Explorer:
    r"""Draw: the code moves over the map, the copy and the nearest training digits follow.

    encode: (B, 1, 28, 28) → codes (B, D), or a VAE's (mean, log_var)
    decode: codes (B, D) → (B, 1, 28, 28) pixels from 0 to 1; both are called without gradient
    images, labels: (N, 1, 28, 28) and (N,), training digits: the map, and the digits to be near to
    With D > 2 the map shows the two directions in which the codes vary most (PCA). The nearest are
    those with the smallest distance between codes.
    Raises: ValueError on other shapes, or fewer than six images.
    """
    import torch

    images, labels = torch.as_tensor(images).float(), as_array(labels).astype(int)
    if images.shape[1:] != (1, 28, 28) or len(images) != len(labels) or len(images) < _NEAREST:
        raise ValueError(
            f"images {tuple(images.shape)} and {len(labels)} labels; expected (N, 1, 28, 28) and "
            f"(N,), {_NEAREST} or more"
        )
    class_names = class_names or [str(index) for index in range(labels.max() + 1)]

    @torch.no_grad()
    def encoded(pictures: torch.Tensor) -> torch.Tensor:
        codes = encode(pictures)
        codes = codes[0] if isinstance(codes, tuple) else codes
        if codes.shape[:1] != pictures.shape[:1] or codes.ndim != 2 or codes.shape[1] < 2:
            raise ValueError(
                f"encode returned shape {tuple(codes.shape)} for {tuple(pictures.shape)}; expected "
                f"({len(pictures)}, D) with D from 2"
            )
        return codes

    @torch.no_grad()
    def copied(codes: torch.Tensor) -> np.ndarray:
        return checked_pixels(as_array(decode(codes)), clip=False)  # (B, 28, 28) bytes

    codes = torch.cat([encoded(batch) for batch in images.split(1000)])  # (N, D)
    few = thinned(len(codes), 500)
    own = copied(codes[few]) / 255 - as_array(images[few])[:, 0]
    usual_error = float(np.median((own**2).mean(axis=(1, 2))))
    usual_gap = float(torch.cdist(codes[few], codes).topk(2, largest=False).values[:, 1].median())
    middle, axes_of_map = codes.mean(dim=0), torch.eye(2)
    if flat := codes.shape[1] == 2:
        middle = torch.zeros(2)
    else:
        axes_of_map = torch.linalg.svd(codes - middle, full_matrices=False)[2][:2].T  # (D, 2)
    places = as_array((codes - middle) @ axes_of_map)  # (N, 2)

    with matplotlib.rc_context(HOUSE_STYLE):
        figure = house_figure(7.4, 2.7)
        left, *others = figure.subplots(1, 4, width_ratios=[1.5, 1, 1, 1.1])
        shown = thinned(len(places), 700)
        latent_map(places[shown], labels[shown], class_names, ax=left)
        names = ["latent $z_1$", "latent $z_2$"] if flat else ["direction 1", "direction 2"]
        pad = 0.05 * np.ptp(places, axis=0)
        low, high = places.min(axis=0) - pad, places.max(axis=0) + pad
        left.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), xlabel=names[0], ylabel=names[1])
        halo = [patheffects.withStroke(linewidth=4, foreground="white")]
        (ring,) = left.plot(
            [0], [0], "o", ms=13, mfc="white", mec=PALETTE[1], mew=2.5, ls="none", zorder=30,
            path_effects=halo, clip_on=False,
        )  # fmt: skip
        pictures = []
        titles = ("as it goes in", "its copy", "nearest codes")
        for axes, text in zip(others, titles, strict=True):
            axes.set_axis_off()
            axes.set_title(text, loc="center", fontsize=10)
            blank = np.zeros((28, 28) if len(pictures) < 2 else (88, 58))
            pictures.append(axes.imshow(blank, cmap="gray", vmin=0, vmax=255,
                                        interpolation="nearest"))  # fmt: skip
    live = LiveFigure(figure, [ring, *pictures])
    last: dict[tuple, tuple] = {}  # what was drawn last: describing it must not encode it again

    def state(drawing, width: float, centred: bool):
        if (drawing, width, centred) not in last:
            fine = ink(_strokes(drawing), width)
            digit = centred_digit(fine) if centred else fine.reshape(28, 10, 28, 10).mean((1, 3))
            code = encoded(torch.from_numpy(digit)[None, None])
            far, nearest = torch.cdist(code, codes)[0].topk(_NEAREST, largest=False)
            last.clear()
            last[drawing, width, centred] = digit, code, copied(code)[0], far, nearest
        return last[drawing, width, centred]

    def draw(drawing, width: float, centred: bool) -> bytes:
        digit, code, copy, _, nearest = state(drawing, width, centred)
        x, y = as_array((code - middle) @ axes_of_map)[0]
        ring.set_data([min(max(x, low[0]), high[0])], [min(max(y, low[1]), high[1])])
        pictures[0].set_data(digit * 255)
        pictures[1].set_data(copy)
        page = np.full((3, 2, 30, 30), 255.0)
        page[:, :, :28, :28] = 255 * as_array(images[nearest]).reshape(3, 2, 28, 28)
        pictures[2].set_data(page.transpose(0, 2, 1, 3).reshape(90, 60)[:-2, :-2])
        return live.png()

    def describe(drawing, width: float, centred: bool) -> str:
        digit, _, copy, far, nearest = state(drawing, width, centred)
        error = float(np.square(copy / 255 - digit).mean())
        read = ", ".join(class_names[label] for label in labels[as_array(nearest)])
        return (
            f"The nearest training digits: {read}. The first is {float(far[0]):.2f} away "
            f"(median of a training digit to its nearest: {usual_gap:.2f}). The copy differs by "
            f"{error:.3f} (mean squared error; median of training digits: {usual_error:.3f})."
        )

    controls = {
        "drawing": Drawing("drawing", list(our_digits()), "3"),
        "width": Slider("line width", 1.0, 4.0, 2.2, 0.2, unit="pixels"),
        "centred": Switch("centred and scaled, as MNIST does it", True),
    }
    explorer = Explorer(
        title, controls, draw, describe,
        how_to="Draw a digit into the black square with mouse, pen or finger, or choose one of "
        "ours.",
    )  # fmt: skip
    if pad_widget := explorer.rows["drawing"].pad:
        ipywidgets.dlink((explorer.rows["width"].holders[0], "value"), (pad_widget, "width"))
    return explorer
