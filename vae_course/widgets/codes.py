r"""Chapter 10: a digit as 7 × 7 letters; exchange one, or let a transformer write on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import matplotlib
import numpy as np

from vae_course.plots.pictures import as_array, checked_pixels
from vae_course.plots.style import HOUSE_STYLE, PALETTE
from vae_course.widgets._controls import Choice, Slider, Switch
from vae_course.widgets._core import Explorer
from vae_course.widgets._drawing import LiveFigure, house_figure

_KEPT = -1  # the letter that stands there


def codes_explorer(
    model, prior, images, labels, *, names: Sequence[str], seed: int = 0
) -> Explorer:
    r"""The letters of a digit, one of which can be exchanged, beside the picture that they spell.

    model: a `vq.VQVAE`; prior: the transformer of its codes, as `vq.prior_network` makes it
    images: (N, 1, H, W), the digits to choose from, with N labels and N names
    seed: of what the transformer writes: the same letters for the same state
    Raises: ValueError if the counts differ.
    """
    import torch

    from vae_course import vq

    names = [str(name) for name in names]
    if not len(images) == len(labels) == len(names):
        raise ValueError(
            f"{len(images)} images, {len(labels)} labels, {len(names)} names; expected one each"
        )
    (rows, columns), size = model.grid, model.codebook.size
    with torch.no_grad():
        letters = model.encode(images)  # (N, h, w)
    with matplotlib.rc_context(HOUSE_STYLE):
        figure = house_figure(7.4, 2.9)
        grid, picture, change = figure.subplots(1, 3, width_ratios=[1.25, 1, 1])
        blank = np.zeros((rows, columns))
        shades = grid.imshow(blank, cmap="Blues", vmin=0, vmax=2.2 * size, interpolation="nearest")
        texts = [
            grid.text(column, row, "", ha="center", va="center", size=8)
            for row in range(rows) for column in range(columns)
        ]  # fmt: skip
        frame = matplotlib.patches.Rectangle((-0.5, -0.5), 1, 1, fill=False, linewidth=2.5)
        frame.set_edgecolor(PALETTE[1])
        grid.add_patch(frame)
        shown = []
        for axes, title in ((picture, "what they spell"), (change, "what changed")):
            axes.set_title(title, loc="center", fontsize=10)
            pixels = np.zeros(tuple(images.shape[-2:]))
            shown.append(axes.imshow(pixels, cmap="gray", vmin=0, vmax=255,
                                     interpolation="nearest"))  # fmt: skip
        grid.set_title(f"letters, 0 to {size - 1}", loc="center", fontsize=10)
        for axes in (grid, picture, change):
            axes.set(xticks=[], yticks=[])
            axes.grid(False)
    live = LiveFigure(figure, [shades, *texts, frame, *shown])

    @lru_cache(maxsize=64)
    def spelled(digit: str, row: int, column: int, letter: int, write_on: bool):
        index = names.index(digit)
        own = letters[index].clone()
        if letter != _KEPT:
            own[row, column] = letter
        if write_on:
            standing = row * columns + column + 1
            generator = torch.Generator().manual_seed(seed)
            own = vq.write_codes(
                prior, labels[index : index + 1], model.grid, size,
                start=own.flatten()[None, :standing], generator=generator,
            )[0]  # fmt: skip
        with torch.no_grad():
            return own, model.decode(torch.stack([letters[index], own]))

    def draw(digit: str, row: int, column: int, letter: int, write_on: bool) -> bytes:
        own, pictures = spelled(digit, row, column, letter, write_on)
        shades.set_data(own.numpy())
        before = letters[names.index(digit)]
        for text, value, old in zip(texts, own.flatten(), before.flatten(), strict=True):
            text.set_text(str(int(value)))
            text.set_weight("bold" if value != old else "normal")
        frame.set_xy((column - 0.5, row - 0.5))
        first, second = checked_pixels(as_array(pictures), clip=False)
        shown[0].set_data(second)
        shown[1].set_data(np.abs(second.astype(int) - first.astype(int)))
        return live.png()

    def describe(digit: str, row: int, column: int, letter: int, write_on: bool) -> str:
        own, pictures = spelled(digit, row, column, letter, write_on)
        count = int((own != letters[names.index(digit)]).sum())
        change = (pictures[1] - pictures[0]).abs().squeeze()
        moved = int((change > 0.1).sum())
        return (
            f"{count} of {math.prod(model.grid)} letters differ from the digit's own, and "
            f"{moved} of {change.numel()} pixels change by more than a tenth."
        )

    controls = {
        "digit": Choice("digit", names, names[0]),
        "row": Slider("row", 0, rows - 1, rows // 2, 1),
        "column": Slider("column", 0, columns - 1, columns // 2, 1),
        "letter": Slider("letter (−1: as it is)", _KEPT, size - 1, _KEPT, 1),
        "write_on": Switch("let the transformer write on from here"),
    }
    return Explorer(
        "a digit in letters", controls, draw, describe,
        grips=lambda **_: [live.grip(grid, "column", "row")],
        live={"row": None, "column": None, "letter": 9, "write_on": None},
        hold="Press a letter to choose it.",
    )  # fmt: skip
