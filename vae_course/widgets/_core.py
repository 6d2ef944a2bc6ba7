r"""The explorer: controls, one picture that follows them, and its state in words.

The picture is filled with PNG bytes by a function of the values, and takes the pointer where it
has grips. No Output widget, no `interact`: it is fast, works on ipywidgets 7.7 and 8, and its
errors are seen. The static twin draws with the same function, so the two can't drift apart.
"""

from __future__ import annotations

import html
import io
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ipywidgets
import numpy as np
from PIL import Image

from vae_course import plots
from vae_course.plots.pictures import CSS_DPI, DPI, labelled_grid
from vae_course.widgets import frozen
from vae_course.widgets._controls import (
    Again,
    Choice,
    Control,
    Slider,
    Switch,
    Text,
    build,
    label_width,
)
from vae_course.widgets.picture import make_picture


def show_widget(widget, sentence: str) -> None:
    r"""Display a widget; where no kernel runs, and outside a notebook, `sentence` instead."""
    from IPython import get_ipython
    from IPython.display import display

    if get_ipython() is None:
        print(sentence)
        return
    view = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
    data = {"text/plain": sentence, "application/vnd.jupyter.widget-view+json": view}
    display(data, raw=True)


@dataclass(frozen=True)
class Grip:
    r"""A part of the picture that can be taken hold of.

    box: left, top, width, height as fractions of the picture, from its top left
    x, y: the controls, Sliders or Choices, that move along x and along y; None: none does
    x_ends: values at the left and the right end, or more of them at equal distances in between
    y_ends: the same from the top to the bottom
    Of a Choice the value is the index into its options. What lies beyond a control's range is
    moved in, what lies between two steps goes to the nearer one.
    """

    box: tuple[float, float, float, float]
    x: str | None = None
    x_ends: tuple[float, ...] = (0.0, 1.0)
    y: str | None = None
    y_ends: tuple[float, ...] = (0.0, 1.0)

    def __post_init__(self) -> None:
        left, top, width, height = self.box
        fits = min(left, top) >= -1e-6 and max(left + width, top + height) <= 1 + 1e-6
        if not fits or min(width, height) <= 0:
            raise ValueError(
                f"box is {self.box}; expected left, top, width, height in fractions of the picture"
            )
        if self.x is None and self.y is None:
            raise ValueError("a grip without x and y; expected the name of a control for one")
        for name in ("x_ends", "y_ends"):
            ends = getattr(self, name)
            if len(ends) < 2 or not np.isfinite(ends).all():
                raise ValueError(f"{name} is {ends}; expected two or more finite numbers")

    def holds(self, x: float, y: float) -> bool:
        left, top, width, height = self.box
        return left <= x <= left + width and top <= y <= top + height

    def at(self, x: float, y: float) -> dict[str, float]:
        r"""Where a press puts its controls: not yet moved onto their steps."""
        left, top, width, height = self.box
        found = {}
        for name, ends, place in (
            (self.x, self.x_ends, (x - left) / width),
            (self.y, self.y_ends, (y - top) / height),
        ):
            if name is not None:
                found[name] = float(np.interp(place, np.linspace(0, 1, len(ends)), ends))
        return found


Grips = Sequence[Grip] | Callable[..., Sequence[Grip]]


class Explorer:
    r"""A picture that follows its controls.

    title: what it explores, a few words without a full stop
    controls: name → Slider, Choice, Switch or Again; the names are those of draw's arguments
    draw(**values) → PNG bytes, the same for the same values whatever was drawn before
    describe(**values) → one or two sentences: what the picture shows there, for a screen reader
    limits(**values) → {name: (low, high)}, optional: narrower ends for sliders that depend on
        other controls; values beyond them are moved in
    grips: parts of the picture that can be taken hold of; a function of the values where they
        depend on these. Of two that overlap the first counts.
    hold: how to do it, one sentence for the line above the controls
    live: of a page without a kernel (see `freeze`): the controls that move there, the most
        important one first, each with how many values it takes, a list of them, or None for all
    """

    def __init__(
        self,
        title: str,
        controls: Mapping[str, Control],
        draw: Callable[..., bytes],
        describe: Callable[..., str],
        *,
        limits: Callable[..., Mapping[str, tuple[float, float]]] | None = None,
        grips: Grips = (),
        hold: str = "Press or drag on the picture.",
        live: Mapping[str, Any] | None = None,
        how_to: str = "Drag a slider, use the arrow keys on it, or type a number and press Enter.",
    ):
        if not title or title.endswith("."):
            raise ValueError(f"title is {title!r}; expected a few words without a full stop")
        self.title, self.hold = title, hold
        self.controls = dict(controls)
        movable = [name for name, item in self.controls.items() if not isinstance(item, Text)]
        self.live = dict.fromkeys(movable) if live is None else dict(live)
        self._draw, self._describe, self._limits = draw, describe, limits
        self._values = self._tidied({name: item.value for name, item in self.controls.items()})
        self._busy = self._failed = False

        self._grips = grips if callable(grips) else lambda **_values: grips
        self.image = make_picture(title, self.press)
        self.status = ipywidgets.HTML()
        labelled = [c.label for c in self.controls.values() if not isinstance(c, Again | Switch)]
        width = label_width(labelled)
        self.rows = {
            name: build(control, self._changed(name), label_width=width)
            for name, control in self.controls.items()
        }
        self._put(self._values)
        self._redraw()
        dots = Image.open(io.BytesIO(self.image.value)).width
        self.image.layout = ipywidgets.Layout(
            width=f"{round(dots * CSS_DPI / DPI)}px", max_width="100%", object_fit="contain"
        )
        if any(isinstance(control, Choice) for control in self.controls.values()):
            # On a closed list JupyterLab takes the arrow keys for its own and leaves the cell.
            how_to += " The space bar opens a list."
        if getattr(self.image, "grips", []):  # takes the pointer, and there is something to hold
            how_to = f"{hold} {how_to}"
        heading = ipywidgets.HTML(f"<b>{html.escape(title)}</b><br>{html.escape(how_to)}")
        lines = [row.line for row in self.rows.values()]
        self.widget = ipywidgets.VBox([heading, *lines, self.image, self.status])

    @property
    def values(self) -> dict[str, Any]:
        r"""Where the controls stand now."""
        return dict(self._values)

    def set(self, **values: Any) -> None:
        r"""Move several controls at once; draws once, and not at all if nothing changed.

        Raises: ValueError or TypeError on an unknown name or a value outside its range.
        """
        self._apply(self._checked(values))

    def grips(self, **values: Any) -> tuple[Grip, ...]:
        r"""What can be taken hold of at these values; what is not named stands as at first."""
        return self._gripped(self._state(values))

    def held(self, x: float, y: float) -> dict[str, Any]:
        r"""The values that a press at (x, y) sets, now; empty where nothing can be held.

        x, y: fractions of the picture's width and height, from its top left
        """
        grips = (grip for grip in self._gripped(self._values) if grip.holds(x, y))
        grip = next(grips, None)
        if grip is None:
            return {}
        ends = self._ends(self._values)
        found = {}
        for name, value in grip.at(x, y).items():
            control = self.controls[name]
            if isinstance(control, Choice):
                options = [option for _, option in control.pairs]
                found[name] = options[min(max(round(value), 0), len(options) - 1)]
            else:
                low, high = ends.get(name, (control.low, control.high))
                found[name] = min(max(control.nearest(value), low), high)
        return found

    def press(self, x: float, y: float) -> None:
        r"""Press at (x, y), as the pointer does; outside of all grips nothing happens."""
        if values := self.held(x, y):
            self._apply(values)

    def picture(self, **values: Any) -> bytes:
        r"""The PNG at these values; what is not named stands where it stood at first."""
        return self._drawn(self._state(values))

    def words(self, **values: Any) -> str:
        r"""The same state in words: the values, and what the picture shows."""
        return self._worded(self._state(values))

    def ends(self, **values: Any) -> Mapping[str, tuple[float, float]]:
        r"""The narrower ends of sliders at these values, as `limits` sets them."""
        return self._ends(values)

    def freeze(self, folder: str | os.PathLike[str], *, limit: int = frozen.LIMIT) -> Path:
        r"""Draw it over a grid of its values, for a page in which it moves without a kernel.

        limit: bytes of the file at most
        Returns: the file; a page shows it with frozen.js, as `vae-course notebooks html --live`
        and the website do.
        Raises: ValueError if `live` names what can't move, the pictures differ in size, or
        nothing fits.
        """
        return frozen.freeze(self, Path(folder), limit=limit)

    def _state(self, values: Mapping[str, Any]) -> dict[str, Any]:
        first = {name: control.value for name, control in self.controls.items()}
        return self._tidied(first | self._checked(values))

    def _checked(self, values: Mapping[str, Any]) -> dict[str, Any]:
        for name in values:
            if name not in self.controls:
                raise ValueError(f"no control {name!r}; there are {', '.join(self.controls)}")
        return {name: self.controls[name].checked(value) for name, value in values.items()}

    def _tidied(self, values: dict[str, Any]) -> dict[str, Any]:
        for name, (low, high) in self._ends(values).items():
            values[name] = min(max(values[name], low), high)
        return values

    def _ends(self, values: Mapping[str, Any]) -> Mapping[str, tuple[float, float]]:
        return self._limits(**values) if self._limits else {}

    def _gripped(self, values: Mapping[str, Any]) -> tuple[Grip, ...]:
        grips = tuple(self._grips(**values))
        for name in (name for grip in grips for name in (grip.x, grip.y) if name is not None):
            if not isinstance(self.controls.get(name), Slider | Choice):
                raise ValueError(
                    f"a grip moves {name!r}; expected a Slider or a Choice of this explorer's "
                    f"{', '.join(self.controls)}"
                )
        return grips

    def _drawn(self, values: Mapping[str, Any]) -> bytes:
        picture = self._draw(**values)
        if not isinstance(picture, bytes) or not picture.startswith(b"\x89PNG"):
            raise TypeError(
                f"draw of {self.title!r} returned a {type(picture).__name__}; expected the bytes "
                "of a PNG, as LiveFigure.png and fast_png make them"
            )
        return picture

    def _worded(self, values: Mapping[str, Any]) -> str:
        where = ", ".join(self.controls[name].words(value) for name, value in values.items())
        return f"{where}. {self._describe(**values)}"

    def _changed(self, name: str) -> Callable[[Any], None]:
        def changed(value: Any) -> None:
            if self._busy:  # it is we who bring slider and box in step
                return
            if isinstance(self.controls[name], Slider):
                value = self.controls[name].clamped(value)
            elif isinstance(self.controls[name], Again):
                value = self._values[name] + 1
            self._apply({name: value})

        return changed

    def _apply(self, changed: Mapping[str, Any]) -> None:
        values = self._tidied(self._values | changed)
        self._put(values)
        if values != self._values or self._failed:
            self._values = values
            self._redraw()

    def _put(self, values: Mapping[str, Any]) -> None:
        self._busy = True
        try:
            for name, (low, high) in self._ends(values).items():
                self.rows[name].bound(low, high)
            for name, value in values.items():
                self.rows[name].put(value)
        finally:
            self._busy = False

    def _redraw(self) -> None:
        self._failed = True
        try:
            self.image.value = self._drawn(self._values)  # it is on its way while words are found
            grips, words = self._gripped(self._values), self._worded(self._values)
        except Exception as error:
            # JupyterLab hides what a callback raises in its log: say it where the reader looks.
            told = html.escape(f"{type(error).__name__}: {error}")
            self.status.value = f"<b>Error, the picture is not up to date.</b> {told}"
            raise
        self._failed = False
        if hasattr(self.image, "grips"):
            self.image.grips = [asdict(grip) for grip in grips]
        self.status.value = html.escape(words)

    @property
    def sentence(self) -> str:
        r"""What a reader without a running kernel sees in its place; the same in every run."""
        end = "" if self.title.endswith(("?", "!")) else "."
        return (
            f"Interactive explorer: {self.title}{end} "
            "Run this cell to move it; the figure below tells the same story."
        )

    def show(self) -> None:
        r"""Show the explorer; outside a notebook, its sentence.

        Where VAE_COURSE_FREEZE names a folder, it is also frozen there, and the processor's seconds
        that this took stand beside the file.
        """
        if folder := os.environ.get("VAE_COURSE_FREEZE"):
            begun = time.process_time()
            path = self.freeze(folder)
            spent = time.process_time() - begun
            path.with_suffix(".seconds").write_text(f"{spent:.1f}\n", encoding="utf-8")
        show_widget(self.widget, self.sentence)

    def _ipython_display_(self, **_options: Any) -> None:
        self.show()

    def static_picture(
        self,
        states: Sequence[Mapping[str, Any]],
        *,
        labels: Sequence[str] | None = None,
        columns: int = 2,
    ) -> Image.Image:
        r"""The explorer's own pictures at several states, in rows of `columns`, each labelled.

        labels: by default the values that the states name
        Raises: ValueError on no state, an unknown control, a value outside its range.
        """
        if not states:
            raise ValueError("no states; expected a list such as [{'z1': 0.0, 'z2': 1.5}, …]")
        if labels is None:
            labels = [
                ", ".join(self.controls[name].words(value) for name, value in state.items())
                for state in states
                if self._checked(state) is not None
            ]
        if isinstance(labels, str) or len(labels) != len(states):
            raise ValueError(f"labels is {labels!r}; expected {len(states)}, one a state")
        pictures = [Image.open(io.BytesIO(self.picture(**state))) for state in states]
        return labelled_grid(pictures, labels, columns=columns)

    def static(
        self,
        states: Sequence[Mapping[str, Any]],
        *,
        alt: str,
        labels: Sequence[str] | None = None,
        columns: int = 2,
    ) -> None:
        r"""Show the static twin: the same story where no kernel runs. See `static_picture`."""
        plots.show(self.static_picture(states, labels=labels, columns=columns), alt=alt)
