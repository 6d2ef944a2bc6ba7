r"""A matplotlib figure that is redrawn in milliseconds: what stands still is drawn once."""

from __future__ import annotations

import math
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.text import Text
from matplotlib.transforms import IdentityTransform
from PIL import Image

from vae_course.plots.pictures import fast_png
from vae_course.plots.style import HOUSE_STYLE
from vae_course.widgets._core import Grip

_WORDS = 2000  # drawn texts that are kept, a few hundred bytes to a few kilobytes each


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
        self._words: dict[tuple, tuple[int, int, np.ndarray]] = {}

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
        page = np.asarray(self._canvas.buffer_rgba())  # (height, width, 4), not a copy
        for artist in self.moving:
            if _is_plain_image(artist):
                _put_image(artist, page)
            elif _is_plain_text(artist):
                self._put_text(artist, page)
            else:
                artist.draw(renderer)
        return fast_png(Image.fromarray(page).convert("RGB"))

    def _put_text(self, text: Text, page: np.ndarray) -> None:
        r"""As matplotlib draws it, on whole dots, but every word in every look only once."""
        if not text.get_visible() or not text.get_text():
            return
        x, y = map(round, text.get_transform().transform(text.get_position()).tolist())
        look = (
            text.get_text(), to_rgba(text.get_color(), text.get_alpha()), text.get_rotation(),
            text.get_ha(), text.get_va(), text.get_fontproperties(),
        )  # fmt: skip
        if look not in self._words:
            if len(self._words) >= _WORDS:
                self._words.clear()
            self._words[look] = self._drawn_alone(text)
        left, above, word = self._words[look]
        _blend(word, page, x + left, len(page) - y + above)

    def _drawn_alone(self, text: Text) -> tuple[int, int, np.ndarray]:
        r"""The dots of a text, and how far its top left lies from its position."""
        room = text.get_window_extent(self._canvas.get_renderer())
        x, y = math.ceil(room.width) + 8, math.ceil(room.height) + 8  # wherever it is anchored
        renderer = RendererAgg(2 * x, 2 * y, self.figure.dpi)
        kept = text.get_transform(), text.get_position()
        try:
            text.set_transform(IdentityTransform())
            text.set_position((x, y))
            with matplotlib.rc_context(HOUSE_STYLE):
                text.draw(renderer)
        finally:
            text.set_transform(kept[0])
            text.set_position(kept[1])
        dots = np.asarray(renderer.buffer_rgba())
        rows, columns = (np.flatnonzero(dots[..., 3].any(axis=axis)) for axis in (1, 0))
        if not len(rows):
            return 0, 0, dots[:0, :0].copy()
        top, left = rows[0], columns[0]
        word = dots[top : rows[-1] + 1, left : columns[-1] + 1].copy()
        return int(left) - x, int(top) - y, word

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


def _is_plain_text(artist: Artist) -> bool:
    return (
        type(artist) is Text
        and artist.get_bbox_patch() is None
        and not (artist.get_path_effects() or artist.get_clip_on())
    )


def _is_plain_image(artist: Artist) -> bool:
    return (
        type(artist) is AxesImage
        and artist.get_interpolation() == "nearest"
        and artist.get_alpha() is None
        and artist.origin == "upper"
    )


def _put_image(image: AxesImage, page: np.ndarray) -> None:
    r"""Every dot takes the pixel in which its centre lies: a tenth of matplotlib's time."""
    pixels = np.ma.getdata(image.to_rgba(np.ma.getdata(image.get_array()), bytes=True))
    left, right, bottom, top = image.get_extent()
    (x0, y0), (x1, y1) = image.get_transform().transform([(left, bottom), (right, top)])
    frame = image.axes.bbox
    columns = np.arange(round(max(x0, frame.x0)), round(min(x1, frame.x1)))
    rows = np.arange(round(len(page) - min(y1, frame.y1)), round(len(page) - max(y0, frame.y0)))
    height, width = pixels.shape[:2]
    across = ((columns + 0.5 - x0) / (x1 - x0) * width).astype(int).clip(0, width - 1)
    down = ((rows + 0.5 - len(page) + y1) / (y1 - y0) * height).astype(int).clip(0, height - 1)
    if not len(rows) or not len(columns):
        return
    whole = np.ascontiguousarray(pixels).view(np.uint32)[..., 0]  # a dot is one number
    dots = whole[down][:, across]
    if (pixels[..., 3] == 255).all():
        inside = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        page.view(np.uint32)[..., 0][inside] = dots
    else:
        _blend(dots[..., None].view(np.uint8), page, columns[0], rows[0])


def _blend(dots: np.ndarray, page: np.ndarray, left: int, top: int) -> None:
    r"""Lay dots, (h, w, 4) bytes with their opacity, over a page; what lies outside is cut off."""
    dots = dots[max(-top, 0) :, max(-left, 0) :]
    top, left = max(top, 0), max(left, 0)
    under = page[top : top + len(dots), left : left + dots.shape[1]]
    dots = dots[: under.shape[0], : under.shape[1]]
    cover = dots[..., 3:].astype(np.uint16)
    mixed = dots[..., :3] * cover + under[..., :3] * (255 - cover) + 127
    under[..., :3] = mixed // 255


def house_figure(width: float, height: float) -> Figure:
    r"""An empty figure in the house style, width × height inches, laid out by matplotlib.

    Add axes and artists inside `with matplotlib.rc_context(HOUSE_STYLE):`.
    """
    with matplotlib.rc_context(HOUSE_STYLE):
        return Figure(figsize=(width, height), layout="constrained")
