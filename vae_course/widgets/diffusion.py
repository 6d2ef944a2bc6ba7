r"""Chapter 11: time as a slider, noise to digit, with the guess of the clean digit beside it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import matplotlib
import numpy as np

from vae_course.plots.pictures import as_array
from vae_course.plots.style import HOUSE_STYLE
from vae_course.widgets._controls import Choice, Slider
from vae_course.widgets._core import Explorer
from vae_course.widgets._drawing import LiveFigure, house_figure


def diffusion_explorer(
    model, *, names: Sequence[str], steps: int = 50, seed: int = 0
) -> Explorer:
    r"""A digit on its way out of the noise, beside the clean digit that the network guesses there.

    model: a `diffusion.Diffusion` of pictures in −1 … 1 that knows as many classes as there are
        names; the way takes `steps` steps without new noise, so it is the same for one state
    """
    import torch

    names = [str(name) for name in names]
    with matplotlib.rc_context(HOUSE_STYLE):
        figure = house_figure(4.8, 2.6)
        shown = []
        titles = "the picture at this time", "the network's guess of the end"
        pair = figure.subplots(1, 2)
        for axes, title in zip(pair, titles, strict=True):
            axes.set_title(title, loc="center", fontsize=10)
            axes.set(xticks=[], yticks=[])
            axes.grid(False)
            blank = np.zeros(model.shape[-2:])
            shown.append(axes.imshow(blank, cmap="gray", vmin=-1, vmax=1, interpolation="nearest"))
    live = LiveFigure(figure, shown)

    @lru_cache(maxsize=64)
    def way(digit: str, guidance: float):
        r"""The pictures and the guesses at each time: two (steps + 1, H, W), and its times."""
        times, pictures, guesses = [], [], []

        def keep(t, picture, guess):
            times.append(t)
            pictures.append(picture[0, 0])
            guesses.append(guess[0, 0].clamp(-1, 1))

        end = model.sample(
            1, label=torch.tensor([names.index(digit)]), steps=steps, guidance=guidance,
            generator=torch.Generator().manual_seed(seed), after_step=keep,
        )[0, 0]  # fmt: skip
        return [*times, 0], torch.stack([*pictures, end]), torch.stack([*guesses, end])

    def draw(digit: str, done: int, guidance: float) -> bytes:
        _, pictures, guesses = way(digit, guidance)
        shown[0].set_data(as_array(pictures[done]))
        shown[1].set_data(as_array(guesses[done]))
        return live.png()

    def describe(digit: str, done: int, guidance: float) -> str:
        times, pictures, guesses = way(digit, guidance)
        t = times[done]
        left = float(model.alpha_bar[t])
        away = (guesses[done] - guesses[-1]).square().mean().sqrt()
        return (
            f"t = {t} of {model.steps}: {left:.0%} of the variance is picture, the rest noise. "
            f"The guess differs from the end by {away / 2:.2f} of the grey range (rms)."
        )

    controls = {
        "digit": Choice("digit", names, names[0]),
        "done": Slider("steps taken", 0, steps, steps // 2, 1, play=120),
        "guidance": Slider("guidance", 0.0, 6.0, 0.0, 1.0),
    }
    return Explorer(
        "a digit out of noise", controls, draw, describe,
        grips=lambda **_: [live.grip(axes, "done", x_ends=(0, steps)) for axes in pair],
        live={"digit": None, "done": 26, "guidance": (0.0, 2.0, 6.0)},
        hold="Drag across a picture, from the noise at its left to the digit at its right.",
    )  # fmt: skip
