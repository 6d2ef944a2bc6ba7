r"""Chapter 09: a sick training, its curves and pictures; what it has is hidden until named."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import matplotlib
import numpy as np
from matplotlib.ticker import MaxNLocator

from vae_course.plots.pictures import as_array, checked_pixels, fast_png, figure_picture
from vae_course.plots.style import HOUSE_STYLE, PALETTE
from vae_course.widgets._controls import Choice, Slider
from vae_course.widgets._core import Explorer
from vae_course.widgets._drawing import house_figure
from vae_course.widgets.training import sheet

_SILENT, _TELL = "not yet", "tell me"
_COLUMNS = 8  # pictures a row


def diagnosis_explorer(patients: Sequence, *, columns: int = _COLUMNS) -> Explorer:
    r"""Walk through trainings, look at curves and pictures, and say what is wrong with each.

    patients: `clinic.patients.Patient`s, in the order in which they are shown
    columns: pictures a row
    Raises: ValueError unless there are two patients or more, each with an illness of its own.
    """
    patients = list(patients)
    illnesses = [patient.illness for patient in patients]
    if len(patients) < 2 or len(set(illnesses)) < len(patients):
        raise ValueError(f"patients with {illnesses}; expected two or more, no illness twice")

    @lru_cache(maxsize=len(patients))
    def examined(number: int):
        return patients[number - 1].examine()

    def verdict(number: int, guess: str) -> str:
        r"""What comes of the guess, in one line; nothing as long as there is none."""
        truth = patients[number - 1].illness
        if guess == _SILENT:
            return ""
        if guess == _TELL:
            return f"It is: {truth}."
        return f"Right: {truth}." if guess == truth else f"It is not: {guess}."

    @lru_cache(maxsize=64)
    def drawn(number: int, line: str) -> bytes:
        patient = patients[number - 1]
        rows = {
            name: checked_pixels(as_array(images), clip=True)
            for name, images in patient.pictures(columns).items()
        }
        with matplotlib.rc_context(HOUSE_STYLE):
            figure = house_figure(7.2, 2.7)
            curves, pictures = figure.subplots(1, 2, width_ratios=[1, 1.25])
            _draw_curves(curves, patient.history)
            curves.set_title(f"patient {number}", loc="left", fontsize=10)
            _draw_rows(pictures, rows, columns)
            pictures.set_title(line or "what is wrong?", loc="left", fontsize=10)
            return fast_png(figure_picture(figure))

    def draw(patient: int, guess: str) -> bytes:
        return drawn(patient, verdict(patient, guess))

    def describe(patient: int, guess: str) -> str:
        one, line = patients[patient - 1], verdict(patient, guess)
        train, test = one.history["train_loss"], one.history["test_loss"]
        seen = (
            f"The training loss goes from {train[0]:,.1f} to {train[-1]:,.1f}, the test loss ends "
            f"at {test[-1]:,.1f}."
        )
        if not line.startswith(("Right", "It is:")):
            return f"{seen} {line}".strip()
        found = [f for f in examined(patient).findings if f.name == one.finding]
        says = f' The clinic says: "{found[0].title}."' if found else ""
        return f"{seen} {line} The line that did it: {one.code}.{says}"

    controls = {
        "patient": Slider("patient", 1, len(patients), 1, 1),
        "guess": Choice("your diagnosis", [_SILENT, *sorted(illnesses), _TELL], _SILENT),
    }
    return Explorer("what is wrong with this training?", controls, draw, describe)


def _draw_curves(axes, history) -> None:
    steps = range(1, len(history["train_loss"]) + 1)
    axes.plot(steps, history["train_loss"], "--", color=PALETTE[0], label="training")
    axes.plot(steps, history["test_loss"], "-", color=PALETTE[1], label="test")
    axes.set(xlabel="epoch", ylabel="loss")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend()


def _draw_rows(axes, rows: dict[str, np.ndarray], columns: int) -> None:
    picture = sheet(np.concatenate(list(rows.values())), columns)
    axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    places = (np.arange(len(rows)) + 0.5) * picture.shape[0] / len(rows)
    axes.set(xticks=[], yticks=places, yticklabels=list(rows))
    axes.tick_params(length=0)
    axes.grid(False)
    axes.spines[:].set_visible(False)
