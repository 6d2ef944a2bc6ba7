r"""A blind test: one picture after the other, and where does each come from?"""

from __future__ import annotations

import base64
import html
import math
import os
from collections.abc import Mapping
from pathlib import Path

import ipywidgets
import numpy as np
from PIL import Image

from vae_course import plots
from vae_course.plots.pictures import as_array, checked_pixels, enlarged, fast_png, labelled_grid
from vae_course.widgets import frozen
from vae_course.widgets._core import show_widget

SCALE = 7  # screen dots an image pixel


class Quiz:
    r"""Pictures from several sources in random order; the reader says which is which.

    sources: name → (N, 1, H, W) pixels from 0 to 1. Names must begin with different letters: a
        typed letter is an answer, so the whole quiz can be taken on the keyboard.
    count: pictures asked, shared out among the sources as evenly as possible
    seed: which pictures, in which order; the same seed asks the same
    Raises: ValueError on fewer than two sources, equal first letters, or too few pictures.
    """

    def __init__(self, sources: Mapping[str, object], *, count: int = 20, seed: int = 0):
        self.names = list(sources)
        letters = [name[0].lower() for name in self.names]
        if len(self.names) < 2 or len(set(letters)) < len(letters):
            raise ValueError(
                f"sources are {self.names}; expected two or more that begin with different letters"
            )
        self.letters = dict(zip(letters, self.names, strict=True))
        self.key, self.pictures = _drawn(sources, count, seed)
        self.given: list[str] = []

        # No tooltips: in ipywidgets 8.1 an Image that has one can't be shown.
        self.image = ipywidgets.Image(format="png")
        self.status = ipywidgets.HTML()
        self.buttons = [ipywidgets.Button(description=name) for name in self.names]
        for button in self.buttons:
            button.on_click(lambda pressed: self.answer(pressed.description))
        self.typed = ipywidgets.Text(
            description="or type here:", style={"description_width": "85px"},
            layout={"width": "140px"},
        )  # fmt: skip
        self.typed.observe(self._letter, names="value")
        self.again = ipywidgets.Button(description="Start again")
        self.again.on_click(lambda _pressed: self.restart())
        first = " or ".join(f"{letter} for {name}" for letter, name in self.letters.items())
        heading = ipywidgets.HTML(
            f"<b>{html.escape(self.title)}</b><br>Press a button, or type {html.escape(first)}."
        )
        wrap = ipywidgets.Layout(flex_flow="row wrap", align_items="center")
        row = ipywidgets.HBox([*self.buttons, self.typed, self.again], layout=wrap)
        self.widget = ipywidgets.VBox([heading, self.image, row, self.status])
        self._redraw()

    @property
    def title(self) -> str:
        return f"{len(self.key)} pictures: {', '.join(self.names[:-1])} or {self.names[-1]}?"

    @property
    def finished(self) -> bool:
        return len(self.given) == len(self.key)

    @property
    def right(self) -> int:
        r"""How many of the answers given so far are right."""
        return sum(a == b for a, b in zip(self.given, self.key, strict=False))

    def answer(self, name: str) -> None:
        r"""Say where the present picture comes from; after the last one nothing happens.

        Raises: ValueError on a name that is no source.
        """
        if name not in self.names:
            raise ValueError(f"the answer is {name!r}; expected one of {', '.join(self.names)}")
        if not self.finished:
            self.given.append(name)
            self._redraw()

    def restart(self) -> None:
        r"""Forget the answers; the same pictures come again."""
        self.given.clear()
        self._redraw()

    def words(self) -> str:
        r"""Where the quiz stands; at the end the score, and what guessing would have scored."""
        if not self.finished:
            return f"Picture {len(self.given) + 1} of {len(self.key)}."
        total, chance = len(self.key), 1 / len(self.names)
        luck = sum(
            math.comb(total, k) * chance**k * (1 - chance) ** (total - k)
            for k in range(self.right, total + 1)
        )
        lucky = "less than 1 %" if luck < 0.01 else f"{luck:.0%}".replace("%", " %")
        return (
            f"{self.right} of {total} right; pure guessing gives {total * chance:.1f} on average, "
            f"and {self.right} or more in {lucky} of all quizzes. {self._table()}"
        )

    def _table(self) -> str:
        rows = []
        for source in self.names:
            given = [a for a, b in zip(self.given, self.key, strict=True) if b == source]
            said = ", ".join(f"{given.count(n)} × {n}" for n in self.names if n in given)
            rows.append(f"{source} ({len(given)} pictures): you said {said}.")
        return " ".join(rows)

    def _letter(self, change) -> None:
        letter = change["new"].strip()[-1:].lower()
        if not letter:
            return
        self.typed.value = ""  # ready for the next one
        if letter in self.letters:
            self.answer(self.letters[letter])

    def _redraw(self) -> None:
        place = min(len(self.given), len(self.key) - 1)
        picture = self._sheet() if self.finished else enlarged(self.pictures[place], SCALE)
        self.image.value = fast_png(picture.convert("RGB"))
        self.image.layout = ipywidgets.Layout(width=f"{picture.width}px", max_width="100%")
        self.status.value = html.escape(self.words())

    def _sheet(self, *, answers: bool = True) -> Image.Image:
        r"""All pictures, numbered; with the answers, and a cross where the reader was wrong."""
        labels = [str(number) for number in range(1, len(self.key) + 1)]
        if answers:
            wrong = [a != b for a, b in zip(self.given, self.key, strict=False)]
            wrong += [False] * (len(self.key) - len(wrong))
            labels = [
                f"{number}: {source}{' ×' * missed}"
                for number, source, missed in zip(labels, self.key, wrong, strict=True)
            ]
        pictures = [enlarged(picture, 4).convert("RGB") for picture in self.pictures]
        return labelled_grid(pictures, labels, columns=5, points=8)

    @property
    def sentence(self) -> str:
        r"""What a reader without a running kernel sees in its place; the same in every run."""
        return (
            f"Interactive quiz, {self.title} "
            "Run this cell to take it; the figure below shows the same pictures."
        )

    def freeze(self, folder: str | os.PathLike[str]) -> Path:
        r"""Write the quiz into a file with which a page asks it without a kernel; returns it."""
        about = {
            "names": self.names,
            "key": [self.names.index(name) for name in self.key],
            "sizes": [picture.shape[::-1] for picture in self.pictures],
            "pictures": [base64.b64encode(picture.tobytes()).decode() for picture in self.pictures],
            "scale": SCALE,
        }
        return frozen.freeze_quiz(self.title, about, Path(folder))

    def show(self) -> None:
        r"""Show the quiz; outside a notebook, its sentence.

        Where VAE_COURSE_FREEZE names a folder, it is also frozen there.
        """
        if folder := os.environ.get("VAE_COURSE_FREEZE"):
            self.freeze(folder)
        show_widget(self.widget, self.sentence)

    def _ipython_display_(self, **_options) -> None:
        self.show()

    def static(self, *, alt: str, answers: bool = False) -> None:
        r"""All pictures on one sheet, numbered: the quiz on paper; `answers` adds the key."""
        plots.show(self._sheet(answers=answers), alt=alt)


def _drawn(sources, count: int, seed: int) -> tuple[list[str], list[np.ndarray]]:
    r"""The names in the order asked, and the pictures, (H, W) bytes each."""
    numbers = np.random.default_rng(seed)
    key = [name for _, name in zip(range(count), _in_turn(list(sources)), strict=False)]
    key = [key[place] for place in numbers.permutation(count)]
    stock = {}
    for name, images in sources.items():
        pixels = checked_pixels(as_array(images), clip=False)
        if len(pixels) < key.count(name):
            raise ValueError(
                f"{len(pixels)} pictures of {name!r}; expected {key.count(name)} or more"
            )
        stock[name] = iter(pixels[numbers.permutation(len(pixels))])
    return key, [next(stock[name]) for name in key]


def _in_turn(names):
    while True:
        yield from names
