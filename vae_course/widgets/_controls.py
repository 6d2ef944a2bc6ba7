r"""What the reader moves: sliders with a number box, choices, switches and a button.

A control is a small description; `build` makes its widgets. They behave alike on ipywidgets 7.7
and 8. Each number can be typed as well as dragged, because a box has a label that a screen reader
reads and a slider's handle has none.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ipywidgets


@dataclass(frozen=True)
class Slider:
    r"""A number from `low` to `high`. If all four numbers are whole, so are the values.

    play: milliseconds between two steps; adds buttons that let whole numbers run by themselves.
    """

    label: str
    low: float
    high: float
    value: float
    step: float = 0.1
    unit: str = ""
    play: int | None = None

    def __post_init__(self) -> None:
        if not self.low <= self.value <= self.high or self.low == self.high or self.step <= 0:
            raise ValueError(
                f"slider {self.label!r}: value {self.value}, range {self.low} to {self.high}, step "
                f"{self.step}; expected low ≤ value ≤ high, low < high and a positive step"
            )
        if self.play is not None and not self.whole:
            raise ValueError(f"slider {self.label!r} plays; expected whole low, high, value, step")

    @property
    def whole(self) -> bool:
        return all(
            isinstance(number, numbers.Integral)
            for number in (self.low, self.high, self.value, self.step)
        )

    def checked(self, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, numbers.Real):
            raise TypeError(f"{self.label} is {value!r}; expected a number")
        if not self.low <= value <= self.high:
            raise ValueError(f"{self.label} is {value}; expected {self.low} to {self.high}")
        return self.clamped(value)

    def clamped(self, value: float) -> float:
        value = min(max(value, self.low), self.high)
        return round(value) if self.whole else round(float(value), 10)

    def nearest(self, value: float) -> float:
        r"""The step nearest to any number; beyond an end, the end."""
        steps = round((min(max(value, self.low), self.high) - self.low) / self.step)
        return self.clamped(self.low + steps * self.step)

    def words(self, value: float) -> str:
        return f"{self.label} = {value:.4g}{self.unit and ' ' + self.unit}".replace("-", "−")


@dataclass(frozen=True)
class Choice:
    r"""One of several options: names, or a mapping from the shown name to the value."""

    label: str
    options: Sequence | Mapping[str, Any]
    value: Any

    def __post_init__(self) -> None:
        self.checked(self.value)

    @property
    def pairs(self) -> list[tuple[str, Any]]:
        if isinstance(self.options, Mapping):
            return list(self.options.items())
        return [(str(option), option) for option in self.options]

    def checked(self, value: Any) -> Any:
        if value not in [option for _, option in self.pairs]:
            known = ", ".join(repr(option) for _, option in self.pairs)
            raise ValueError(f"{self.label} is {value!r}; expected one of {known}")
        return value

    def words(self, value: Any) -> str:
        return f"{self.label}: {next(name for name, option in self.pairs if option == value)}"


@dataclass(frozen=True)
class Switch:
    r"""A box to tick: True or False."""

    label: str
    value: bool = False

    def checked(self, value: Any) -> bool:
        if not isinstance(value, bool):
            raise TypeError(f"{self.label} is {value!r}; expected True or False")
        return value

    def words(self, value: bool) -> str:
        return f"{self.label}: {'on' if value else 'off'}"


@dataclass(frozen=True)
class Text:
    r"""A line of text, taken over when Enter is pressed or the field is left."""

    label: str
    value: str = ""

    def checked(self, value: Any) -> str:
        if not isinstance(value, str):
            raise TypeError(f"{self.label} is {value!r}; expected a text")
        return value

    def words(self, value: str) -> str:
        return f"{self.label}: {value}"


@dataclass(frozen=True)
class Again:
    r"""A button such as "New noise"; its value counts the presses, to serve as a seed."""

    label: str
    value: int = 0

    def checked(self, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 0:
            raise ValueError(f"{self.label} is {value!r}; expected a count, 0 or more")
        return int(value)

    def words(self, value: int) -> str:
        return (
            f"{self.label}: pressed {value} times" if value != 1 else f"{self.label}: pressed once"
        )


Control = Slider | Choice | Switch | Text | Again


@dataclass
class Row:
    r"""The widgets of one control: what holds its value, and the line that shows them."""

    line: ipywidgets.Widget
    holders: list[ipywidgets.Widget]

    def put(self, value: Any) -> None:
        for widget in self.holders:
            here = _on_grid(widget, value) if _snaps(widget) else value
            if not _same(widget.value, here):
                widget.value = here

    def bound(self, low: float, high: float) -> None:
        r"""Move the ends of a slider, in the order in which its widgets accept it."""
        for widget in self.holders:
            if low > widget.max:
                widget.max = high
            widget.min, widget.max = low, high


def build(control: Control, changed: Callable[[Any], None], *, label_width: str) -> Row:
    r"""The widgets of a control; `changed(value)` is called when one was moved (a button: None)."""
    label = {"description": control.label, "style": {"description_width": label_width}}
    if hasattr(control, "row"):  # it makes its own
        return control.row(changed, label)
    if isinstance(control, Slider):
        return _slider_row(control, changed, label)
    if isinstance(control, Choice):
        wide = {"layout": {"width": f"calc({label_width} + 212px)", "max_width": "100%"}}
        widget = ipywidgets.Dropdown(options=control.pairs, value=control.value, **label, **wide)
    elif isinstance(control, Switch):
        whole = {"layout": {"width": "auto"}}  # its words stand to the right of the box
        widget = ipywidgets.Checkbox(value=control.value, indent=True, **label, **whole)
    elif isinstance(control, Text):
        wide = {"layout": {"width": f"calc({label_width} + 330px)", "max_width": "100%"}}
        widget = ipywidgets.Text(value=control.value, continuous_update=False, **label, **wide)
    else:
        short = {"width": "auto", "align_self": "flex-start"}  # else as wide as the whole column
        widget = ipywidgets.Button(description=control.label, layout=short)
        widget.on_click(lambda _button: changed(None))
        return Row(widget, [])
    widget.observe(lambda change: changed(change["new"]), names="value")
    return Row(widget, [widget])


def _slider_row(control: Slider, changed: Callable[[Any], None], label: dict) -> Row:
    span = {"min": control.low, "max": control.high, "value": control.value, "step": control.step}
    if control.whole:
        box_type, slider_type = ipywidgets.BoundedIntText, ipywidgets.IntSlider
    else:
        box_type, slider_type = ipywidgets.BoundedFloatText, ipywidgets.FloatSlider
    width = f"calc({label['style']['description_width']} + 90px)"
    box = box_type(**span, **label, layout={"width": width})
    slider = slider_type(**span, readout=False, layout={"width": "300px"})
    holders = [box, slider]
    if control.play is not None:
        holders.append(ipywidgets.Play(**span, interval=control.play))

    def moved(change: Mapping[str, Any]) -> None:
        # A browser's slider moves what it gets onto its steps and sends it back: that is no move,
        # and the number that was typed between two steps stays.
        if _snaps(change["owner"]) and _same(change["new"], _on_grid(change["owner"], box.value)):
            return
        changed(change["new"])

    for widget in holders:
        widget.observe(moved, names="value")
    wrap = ipywidgets.Layout(flex_flow="row wrap", align_items="center")
    return Row(ipywidgets.HBox(holders, layout=wrap), holders)


def _snaps(widget: ipywidgets.Widget) -> bool:
    return isinstance(widget, ipywidgets.FloatSlider | ipywidgets.IntSlider)


def _on_grid(slider: ipywidgets.Widget, value: float) -> float:
    r"""The step of the slider that is nearest to a value; its end is always one."""
    if value >= slider.max:
        return slider.max
    steps = round((value - slider.min) / slider.step)
    return min(round(slider.min + steps * slider.step, 10), slider.max)


def _same(one: Any, other: Any) -> bool:
    r"""Equal, but for the last digits of a sum of steps."""
    if isinstance(one, float) and isinstance(other, numbers.Real):
        return math.isclose(one, other, rel_tol=0, abs_tol=1e-9)
    return one == other


def label_width(labels: Sequence[str]) -> str:
    r"""Room for the longest label, so that the boxes stand below one another."""
    return f"{math.ceil(7.6 * max(map(len, labels), default=0)) + 12}px"
