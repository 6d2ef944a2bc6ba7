r"""The picture of an explorer, which says where it is pressed; the front end is picture.js.

Where anywidget is missing, it is an `ipywidgets.Image`, which shows the same and takes no pointer.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import ipywidgets
import traitlets

try:
    import anywidget
except ImportError:
    anywidget = None


def make_picture(alt: str, pressed: Callable[[float, float], None]) -> ipywidgets.DOMWidget:
    r"""A widget with `value`, the bytes of a PNG.

    alt: what it is a picture of
    pressed: called with the place of the pointer as fractions of width and height, from the top
        left; a new place comes when the call for the last one has returned
    """
    # No tooltip: in ipywidgets 8.1 an Image that has one can't be shown.
    return Picture(alt, pressed) if anywidget else ipywidgets.Image(format="png")


if anywidget:

    class Picture(anywidget.AnyWidget):
        r"""A PNG that reports where it is pressed and dragged, within `grips`."""

        _esm = Path(__file__).with_name("picture.js")
        png = traitlets.Bytes().tag(sync=True)
        alt = traitlets.Unicode().tag(sync=True)
        grips = traitlets.List().tag(sync=True)  # {"box": …, "x": …, "y": …}, see `Grip`

        def __init__(self, alt: str, pressed: Callable[[float, float], None]):
            if colab := sys.modules.get("google.colab"):
                colab.output.enable_custom_widget_manager()
            super().__init__(alt=alt)
            self._pressed = pressed
            self.on_msg(self._take)

        @property
        def value(self) -> bytes:
            return self.png

        @value.setter
        def value(self, png: bytes) -> None:
            self.png = png

        def _take(self, _widget, point: dict, _buffers) -> None:
            try:
                self._pressed(point["x"], point["y"])
            finally:
                self.send({"drawn": True})  # the next place may come
