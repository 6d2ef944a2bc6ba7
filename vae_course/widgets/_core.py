r"""The explorer: controls, one picture that follows them, and its state in words.

The picture is an `ipywidgets.Image` filled with PNG bytes by a function of the values. No Output
widget, no `interact`: it is fast, works on ipywidgets 7.7 and 8, and its errors are seen. The
static twin draws with the same function, so the two can't drift apart.
"""

from __future__ import annotations

import html
import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets
from PIL import Image

from vae_course import plots
from vae_course.plots.pictures import CSS_DPI, DPI, labelled_grid
from vae_course.widgets._controls import Again, Choice, Control, Slider, build, label_width


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


class Explorer:
    r"""A picture that follows its controls.

    title: what it explores, a few words without a full stop
    controls: name → Slider, Choice, Switch or Again; the names are those of draw's arguments
    draw(**values) → PNG bytes, the same for the same values whatever was drawn before
    describe(**values) → one or two sentences: what the picture shows there, for a screen reader
    limits(**values) → {name: (low, high)}, optional: narrower ends for sliders that depend on
        other controls; values beyond them are moved in
    """

    def __init__(
        self,
        title: str,
        controls: Mapping[str, Control],
        draw: Callable[..., bytes],
        describe: Callable[..., str],
        *,
        limits: Callable[..., Mapping[str, tuple[float, float]]] | None = None,
        how_to: str = "Drag a slider, use the arrow keys on it, or type a number and press Enter.",
    ):
        if not title or title.endswith("."):
            raise ValueError(f"title is {title!r}; expected a few words without a full stop")
        self.title = title
        self.controls = dict(controls)
        self._draw, self._describe, self._limits = draw, describe, limits
        self._values = self._tidied({name: item.value for name, item in self.controls.items()})
        self._busy = self._failed = False

        # No tooltip: in ipywidgets 8.1 an Image that has one can't be shown. The status names it.
        self.image = ipywidgets.Image(format="png")
        self.status = ipywidgets.HTML()
        labelled = [c.label for c in self.controls.values() if not isinstance(c, Again)]
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

    def picture(self, **values: Any) -> bytes:
        r"""The PNG at these values; what is not named stands where it stood at first."""
        return self._drawn(self._state(values))

    def words(self, **values: Any) -> str:
        r"""The same state in words: the values, and what the picture shows."""
        return self._worded(self._state(values))

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
            picture, words = self._drawn(self._values), self._worded(self._values)
        except Exception as error:
            # JupyterLab hides what a callback raises in its log: say it where the reader looks.
            told = html.escape(f"{type(error).__name__}: {error}")
            self.status.value = f"<b>Error, the picture is not up to date.</b> {told}"
            raise
        self._failed = False
        self.image.value = picture
        self.status.value = html.escape(words)

    @property
    def sentence(self) -> str:
        r"""What a reader without a running kernel sees in its place; the same in every run."""
        return (
            f"Interactive explorer: {self.title}. "
            "Run this cell to move it; the figure below tells the same story."
        )

    def show(self) -> None:
        r"""Show the explorer; outside a notebook, its sentence."""
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
