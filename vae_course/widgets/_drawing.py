r"""A matplotlib figure that is redrawn in milliseconds: what stands still is drawn once."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from vae_course.plots.pictures import fast_png
from vae_course.plots.style import HOUSE_STYLE
from vae_course.widgets._core import Grip


class LiveFigure:
    r"""A figure of which a few artists move. Change them, then ask for the `png`.

    Make the figure inside `house_figure`. After a change of anything else (limits, ticks, a
    title) call `refresh`, which is a full draw: about 40 ms where `png` alone takes 5 to 10.
    """

    def __init__(self, figure: Figure, moving: Sequence[Artist]):
        self.figure = figure
        self.moving = sorted(moving, key=lambda artist: artist.get_zorder())
        self._canvas = FigureCanvasAgg(figure)
        for artist in self.moving:
            artist.set_animated(True)
        self._fixed = None

    def refresh(self) -> None:
        r"""Draw what stands still, once more."""
        with matplotlib.rc_context(HOUSE_STYLE):
            self._canvas.draw()
        self.figure.set_layout_engine("none")  # laid out once: nothing jumps while it moves
        self._fixed = self._canvas.copy_from_bbox(self.figure.bbox)

    def png(self) -> bytes:
        r"""The picture as it stands now."""
        if self._fixed is None:
            self.refresh()
        self._canvas.restore_region(self._fixed)
        renderer = self._canvas.get_renderer()
        for artist in self.moving:
            artist.draw(renderer)
        size = self._canvas.get_width_height()
        return fast_png(Image.frombuffer("RGBA", size, self._canvas.buffer_rgba()).convert("RGB"))

    def grip(
        self,
        axes: Axes,
        x: str | None = None,
        y: str | None = None,
        *,
        across: tuple[float, float] | None = None,
        down: tuple[float, float] | None = None,
        x_ends: Sequence[float] | None = None,
        y_ends: Sequence[float] | None = None,
    ) -> Grip:
        r"""Axes, or a part of them, to take hold of.

        x, y: the controls that move along x and along y
        across, down: from where to where in data, left to right and top to bottom; by default all
        x_ends, y_ends: the controls' values there; by default the data's
        """
        if self._fixed is None:  # not laid out yet
            self.png()
        across = across or axes.get_xlim()
        down = down or axes.get_ylim()[::-1]
        corners = list(zip(across, down, strict=True))
        (left, top), (right, bottom) = axes.transData.transform(corners)
        width, height = self._canvas.get_width_height()
        box = left / width, 1 - top / height, (right - left) / width, (top - bottom) / height
        ends = [tuple(map(float, here)) for here in (x_ends or across, y_ends or down)]
        return Grip(tuple(map(float, box)), x, ends[0], y, ends[1])


def house_figure(width: float, height: float) -> Figure:
    r"""An empty figure in the house style, width × height inches, laid out by matplotlib.

    Add axes and artists inside `with matplotlib.rc_context(HOUSE_STYLE):`.
    """
    with matplotlib.rc_context(HOUSE_STYLE):
        return Figure(figsize=(width, height), layout="constrained")
