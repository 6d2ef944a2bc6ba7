r"""Chapter 05: a training walked through epoch by epoch, and a class written on request."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import matplotlib
import numpy as np
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from vae_course.plots.pictures import as_array, checked_pixels
from vae_course.plots.style import HOUSE_STYLE, PALETTE
from vae_course.widgets._controls import Choice, Slider
from vae_course.widgets._core import Explorer
from vae_course.widgets._drawing import LiveFigure, house_figure

_GAP = 2  # image pixels between two images of a sheet


def training_explorer(
    history,
    samples: Sequence,
    *,
    originals=None,
    copies: Sequence | None = None,
    columns: int = 6,
    title: str = "a training, epoch by epoch",
) -> Explorer:
    r"""A slider over the epochs; the curves of −ELBO and KL, and what the model draws there.

    history: a `training.History` whose loss logs "loss", "reconstruction" and "kl", with
        validation images, or else test images
    samples: one (N, 1, H, W) an epoch, decoded from the same latents, the first one before
        training: one more than the history has rows
    originals, copies: images (M, 1, H, W) and, as with samples, their reconstructions
    Raises: ValueError if the number of snapshots does not fit the history.
    """
    part = "validation" if "validation_loss" in history.columns else "test"
    held_out, kl, train = history[f"{part}_loss"], history[f"{part}_kl"], history["train_loss"]
    epochs = len(held_out)
    for name, given in {"samples": samples, "copies": copies}.items():
        if given is not None and len(given) != epochs + 1:
            raise ValueError(
                f"{name} holds {len(given)} snapshots and the history {epochs} epochs; expected "
                f"{epochs + 1}: one before training and one after each epoch"
            )
    if (originals is None) != (copies is None):
        raise ValueError("originals and copies belong together: give both or neither")
    sheets = [sheet(each, columns) for each in samples]
    if copies is not None:
        above = checked_pixels(as_array(originals), clip=False)
        pairs = [np.concatenate([above, checked_pixels(as_array(c), clip=False)]) for c in copies]
        pairs = [sheet(pair, len(above)) for pair in pairs]

    with matplotlib.rc_context(HOUSE_STYLE):
        figure = house_figure(6.6, 3.7)
        left, right = figure.subfigures(1, 2, width_ratios=[1, 1.05])
        top, bottom = left.subplots(2, 1, sharex=True, height_ratios=[1.5, 1])
        steps = range(1, epochs + 1)
        top.plot(steps, train, "-", color=PALETTE[0], label="training")
        top.plot(steps, held_out, "--", color=PALETTE[1], label=part)
        top.set(ylabel="−ELBO (nats)", title="nats per image")
        top.legend()
        bottom.plot(steps, kl, "-", color=PALETTE[2])
        bottom.set(xlabel="epoch", ylabel=f"{part} KL (nats)", xlim=(-0.4, epochs + 0.4))
        bottom.xaxis.set_major_locator(MaxNLocator(integer=True))
        lines = [ax.axvline(0, color="black", linewidth=1.2) for ax in (top, bottom)]
        dots = [ax.plot([], [], "o", color="black", markersize=6)[0] for ax in (top, bottom)]
        rows = [sheets] if copies is None else [sheets, pairs]
        heights = [len(row[0]) for row in rows]
        axes = np.atleast_1d(right.subplots(len(heights), 1, height_ratios=heights))
        titles = ["samples, always from the same latents", f"{part} images and their copies"]
        shown = []
        look = {"cmap": "gray", "vmin": 0, "vmax": 255, "interpolation": "nearest"}
        for ax, text, row in zip(axes, titles, rows, strict=False):
            ax.set_axis_off()
            ax.set_title(text, fontsize=9.5)
            shown.append(ax.imshow(row[0], **look))
    live = LiveFigure(figure, [*lines, *dots, *shown])

    def draw(epoch: int) -> bytes:
        for line, dot, values in zip(lines, dots, (held_out, kl), strict=True):
            line.set_xdata([epoch, epoch])
            dot.set_data([[epoch], [values[epoch - 1]]] if epoch else [[], []])
        shown[0].set_data(sheets[epoch])
        if copies is not None:
            shown[1].set_data(pairs[epoch])
        return live.png()

    def describe(epoch: int) -> str:
        if epoch == 0:
            return "Before training: the weights are random and so are the samples."
        row = history.rows[epoch - 1]
        return (
            f"{part.capitalize()} images: reconstruction {row[f'{part}_reconstruction']:.1f} + KL "
            f"{row[f'{part}_kl']:.1f} = −ELBO {row[f'{part}_loss']:.1f} nats per image; "
            f"training {row['train_loss']:.1f}."
        )

    return Explorer(
        title, {"epoch": Slider("epoch", 0, epochs, 0, 1, play=400)}, draw, describe,
        grips=lambda **_: [live.grip(axes, "epoch") for axes in (top, bottom)],
        hold="Press or drag along the curves.",
    )  # fmt: skip


def class_explorer(
    decode: Callable,
    class_names: Sequence[str],
    *,
    latent_dim: int,
    dimensions: tuple[int, int] = (0, 1),
    judge: Callable | None = None,
    title: str = "a class on request, and two of its latent numbers",
) -> Explorer:
    r"""Choose a class and two latent numbers; beside it, every class from the same latent.

    decode: latents (B, D) and labels (B,) → (B, 1, H, W) pixels, as ConditionalVAE.decode
    dimensions: which two of the D latent numbers the sliders move; the others stay 0
    judge: (B, 1, H, W) → (B, classes) probabilities, a classifier's opinion, told in words
    """
    import torch

    count = len(class_names)
    columns = math.ceil(count / 2)

    def images(za: float, zb: float) -> torch.Tensor:
        latent = torch.zeros(count, latent_dim)
        latent[:, dimensions[0]], latent[:, dimensions[1]] = za, zb
        with torch.no_grad():
            return decode(latent, torch.arange(count))

    last: dict[tuple[float, float], torch.Tensor] = {}

    def decoded(za: float, zb: float) -> torch.Tensor:
        if (za, zb) not in last:
            last.clear()
            last[za, zb] = images(za, zb)
        return last[za, zb]

    start = checked_pixels(as_array(decoded(0.0, 0.0)), clip=False)
    height, width = start.shape[1:3]
    with matplotlib.rc_context(HOUSE_STYLE):
        figure = house_figure(6.4, 2.25)
        left, right = figure.subplots(1, 2, width_ratios=[1, columns / 2])
        left.set_title("the class you chose", fontsize=10)
        right.set_title("each class, from the same latent", fontsize=10)
        look = {"cmap": "gray", "vmin": 0, "vmax": 255, "interpolation": "nearest"}
        chosen = left.imshow(start[0], **look)
        every = right.imshow(sheet(start, columns), **look)
        frame = Rectangle(
            (0, 0), width + 1, height + 1, fill=False, ec=PALETTE[1], lw=3, clip_on=False
        )
        right.add_patch(frame)
        for ax in (left, right):
            ax.set_axis_off()
    live = LiveFigure(figure, [chosen, every, frame])

    def draw(label: int, za: float, zb: float) -> bytes:
        pixels = checked_pixels(as_array(decoded(za, zb)), clip=False)
        chosen.set_data(pixels[label])
        every.set_data(sheet(pixels, columns))
        row, column = divmod(label, columns)
        frame.set_xy((column * (width + _GAP) - 1, row * (height + _GAP) - 1))
        return live.png()

    def describe(label: int, za: float, zb: float) -> str:
        asked = f"Asked for: {class_names[label]}."
        if judge is None:
            return f"{asked} The picture is {float(decoded(za, zb)[label].mean()):.0%} white."
        with torch.no_grad():
            opinion = judge(decoded(za, zb))
        best = int(opinion[label].argmax())
        right_ones = int((opinion.argmax(dim=1) == torch.arange(count)).sum())
        return (
            f"{asked} The classifier says: {class_names[best]} ({float(opinion[label, best]):.0%} "
            f"sure). From this latent it reads {right_ones} of {count} classes as asked."
        )

    names = [f"latent {d}" for d in dimensions]
    controls = {
        "label": Choice("class", {name: i for i, name in enumerate(class_names)}, 0),
        "za": Slider(names[0], -3.0, 3.0, 0.0, 0.1),
        "zb": Slider(names[1], -3.0, 3.0, 0.0, 0.1),
    }

    def grips(**_values):
        found = []
        for row in range(-(-count // columns)):
            first, cells = row * columns, min(columns, count - row * columns)
            down = (row * (height + _GAP) - 0.5, (row + 1) * (height + _GAP) - _GAP - 0.5)
            across = (-0.5 - _GAP / 2, cells * (width + _GAP) - 0.5 - _GAP / 2)
            ends = (first - 0.5, first + cells - 0.5)
            found.append(live.grip(right, "label", across=across, down=down, x_ends=ends))
        return found

    return Explorer(
        title, controls, draw, describe, grips=grips, live={"label": None, "za": 11, "zb": 11},
        hold="Press a picture to choose its class.",
    )  # fmt: skip


def sheet(images, columns: int) -> np.ndarray:
    r"""Images as one picture, uint8, in rows of `columns` with white gaps between them.

    Shapes: (N, 1, H, W) in [0, 1], or (N, H, W) uint8 → (rows · (H + 2) − 2, columns · (W + 2) − 2)
    """
    images = as_array(images)
    pixels = images if images.dtype == np.uint8 else checked_pixels(images, clip=False)
    count, height, width = pixels.shape
    rows = -(-count // columns)
    page = np.full((rows * (height + _GAP), columns * (width + _GAP)), 255, np.uint8)
    for index, image in enumerate(pixels):
        top, left = (index // columns) * (height + _GAP), (index % columns) * (width + _GAP)
        page[top : top + height, left : left + width] = image
    return page[:-_GAP, :-_GAP]
