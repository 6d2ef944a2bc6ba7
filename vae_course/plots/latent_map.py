r"""Two-dimensional codes on a plane, each drawn as the class it belongs to."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from vae_course.plots.pictures import DPI, as_array
from vae_course.plots.style import HOUSE_STYLE, MARKERS, PALETTE

# Ten hues that also differ in lightness: the palette without its yellow, and three more. Glyphs or
# markers tell the classes apart for readers to whom two of the colours look alike.
CLASS_COLOURS = [*PALETTE[:7], "#7B3F00", "#7A5CC8", "#8C8C8C"]
_MOST_POINTS = 2000  # drawn in a map; more only darken it


def latent_map(
    latents,
    labels,
    class_names: Sequence[str],
    *,
    ax: Axes | None = None,
    title: str | None = None,
) -> Figure:
    r"""Two-dimensional codes, each drawn as its class; the name stands at each class's centre.

    Shapes: latents (N, 2), labels (N,) whole numbers, an index into class_names.
    Where every name is one character (digits), each code is drawn as that character; longer names
    get a marker each. Of more than 2,000 codes, 2,000 chosen at random are drawn.
    Raises: ValueError on other shapes or a label without a name.
    """
    points, classes = as_array(latents), as_array(labels).astype(int)
    if points.ndim != 2 or points.shape[1] != 2 or classes.shape != points.shape[:1]:
        raise ValueError(
            f"latents {points.shape} and labels {classes.shape}; expected (N, 2) and (N,). "
            "For more than two latent dimensions choose two: latents[:, :2]"
        )
    if len(classes) and not 0 <= classes.min() <= classes.max() < len(class_names):
        raise ValueError(
            f"labels from {classes.min()} to {classes.max()}, but {len(class_names)} class names"
        )
    picked = thinned(len(points), _MOST_POINTS)
    shown, kinds = points[picked], classes[picked]
    glyphs = all(len(name) == 1 for name in class_names)
    with matplotlib.rc_context(HOUSE_STYLE):
        if ax is None:
            ax = Figure(figsize=(6.0, 4.8), dpi=DPI, layout="constrained").add_subplot()
            ax.set_aspect("equal", adjustable="datalim")
        for index, name in enumerate(class_names):
            if not (members := kinds == index).any():
                continue
            colour = CLASS_COLOURS[index % len(CLASS_COLOURS)]
            mark = f"${name}$" if glyphs and name.isalnum() else MARKERS[index % len(MARKERS)]
            style = {"s": 30, "linewidths": 0.25} if glyphs else {"s": 14, "linewidths": 0}
            ax.scatter(*shown[members].T, marker=mark, color=colour, alpha=0.75, **style)
        names = []
        room = ax.get_window_extent().height / DPI  # inches
        size = min(17, 7 + 2.4 * room) if glyphs else min(10, 5 + 1.2 * room)
        for index, name in enumerate(class_names):
            if (members := classes == index).any():
                colour = CLASS_COLOURS[index % len(CLASS_COLOURS)]
                text = ax.text(
                    *np.median(points[members], axis=0),
                    name,
                    color=colour,
                    size=size,
                    weight="bold",
                    ha="center",
                    va="center",
                    zorder=20,  # over whatever a caller draws into the map
                    path_effects=[patheffects.withStroke(linewidth=4, foreground="white")],
                )
                names.append(text)
        ax.set(xlabel="latent $z_1$", ylabel="latent $z_2$")
        if title:
            ax.set_title(title)
        _spread(names)
    return ax.figure


def _spread(texts: list[Text]) -> None:
    r"""Move texts that cover one another apart, up and down, until each can be read."""
    if not texts:
        return
    figure = texts[0].figure
    if (engine := figure.get_layout_engine()) is not None:
        engine.execute(figure)  # a whole drawing would settle the layout too, for twice the time
    texts[0].axes.apply_aspect()
    boxes = np.array([text.get_window_extent().extents for text in texts])  # left, low, right, high
    for _ in range(100):
        moved = False
        for one, other in itertools.combinations(np.argsort(boxes[:, 1]), 2):
            wide = min(boxes[one, 2], boxes[other, 2]) - max(boxes[one, 0], boxes[other, 0])
            high = boxes[one, 3] - boxes[other, 1]
            if wide > 0 and high > 0.5:
                boxes[one, 1::2] -= high / 2
                boxes[other, 1::2] += high / 2
                moved = True
        if not moved:
            break
    for text, (left, low, right, high) in zip(texts, boxes, strict=True):
        middle = ((left + right) / 2, (low + high) / 2)
        text.set_position(text.get_transform().inverted().transform(middle))


def thinned(count: int, most: int) -> np.ndarray:
    r"""At most `most` indices below `count`, always the same ones, in order.

    Chosen at random: every second one would leave out half of the classes of a set in which the
    classes take turns.
    """
    return np.sort(np.random.default_rng(0).permutation(count)[:most])
