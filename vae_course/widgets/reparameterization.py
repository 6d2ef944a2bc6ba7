r"""The explorer of chapter 03: fixed noise under a moving mean and spread."""

from __future__ import annotations

import itertools
import math

import matplotlib
import numpy as np

from vae_course.plots.style import HOUSE_STYLE, PALETTE
from vae_course.widgets._controls import Again, Choice, Slider
from vae_course.widgets._core import Explorer
from vae_course.widgets._drawing import LiveFigure, house_figure

SAMPLES = 5  # dots: enough to see a spread, few enough to follow one
_SEED = 4  # noise before the first press of the button
_WIDTH = 6.0  # half the width of the axis
_TOP = 1.0  # height of the row of noise; the row of samples is at 0
_HILL = 0.42  # height of the density of the noise, drawn above its row
_LANES = -0.15 - 0.07 * (np.arange(SAMPLES) % 3)  # heights of the arrows, so that none hides one
_ARROWS = {"the mean μ": "mean", "σ": "std", "nothing": "none"}
_SPEEDS = {"mean": "arrows: ∂z/∂μ = 1", "std": "arrows: ∂z/∂σ = ε", "none": ""}


def reparameterization_explorer(
    *, title: str = "fixed noise under a moving mean and spread"
) -> Explorer:
    r"""Numbered draws of noise ε above, the samples z = mean + std · ε below, joined by lines.

    The sliders set the mean and log σ²; the noise stays until the button draws it anew. Arrows
    under the samples show which way, and how fast, each would move: dz/dmean = 1, dz/dσ = ε.
    """
    grid = np.linspace(-_WIDTH, _WIDTH, 400)
    with matplotlib.rc_context(HOUSE_STYLE):
        figure = house_figure(6.4, 3.9)
        axes = figure.subplots()
        axes.set(xlim=(-_WIDTH, _WIDTH), ylim=(-0.4, 1.95), xlabel="value", yticks=[])
        axes.grid(False)
        for side in ("left", "right", "top"):
            axes.spines[side].set_visible(False)
        axes.axhline(_TOP, color="#999999", linewidth=0.8, linestyle="-")
        axes.axhline(0, color="#999999", linewidth=0.8, linestyle="-")
        axes.plot(grid, _TOP + _HILL * _bell(grid, 0, 1), color="#666666", linestyle="-")
        axes.text(-_WIDTH, _TOP + 0.06, "noise ε ~ N(0, 1)", size=9)
        axes.text(-_WIDTH, 0.06, "samples z", size=9)
        (hill,) = axes.plot([], [], color=PALETTE[0], linestyle="-")
        (centre,) = axes.plot([0, 0], [0, 0], color=PALETTE[0], linestyle=":")
        lines = [axes.plot([], [], color="#aaaaaa", lw=1, ls="-")[0] for _ in range(SAMPLES)]
        arrows = axes.quiver(
            np.zeros(SAMPLES), _LANES, np.ones(SAMPLES), np.zeros(SAMPLES),
            color=PALETTE[2], units="inches", width=0.022, scale_units="x", scale=1, zorder=4,
        )  # fmt: skip
        dots = [
            axes.plot([], [], "o", ls="none", ms=12, mfc=PALETTE[0], mec="white", zorder=5)[0]
            for _ in range(2 * SAMPLES)
        ]
        centred = {"ha": "center", "va": "center_baseline"}
        names = [
            axes.text(0, 0, str(i % SAMPLES + 1), size=8, color="white", zorder=6, **centred)
            for i in range(2 * SAMPLES)
        ]
        note = axes.text(-_WIDTH, 1.9, "", size=10, va="top", zorder=7)
        speeds = axes.text(-_WIDTH, -0.33, "", size=9, color=PALETTE[2], zorder=7)
        axes.tick_params(left=False)
    live = LiveFigure(figure, [hill, centre, *lines, arrows, *dots, *names, note, speeds])

    def draw(mean: float, log_var: float, sample: int, arrow: str, noise: int) -> bytes:
        std, draws = math.exp(0.5 * log_var), _draws(noise)
        latents = mean + std * draws
        hill.set_data(grid, _HILL * _bell(grid, mean, std) / max(1.0, 1 / std))
        centre.set_data([mean, mean], [0, _HILL])
        ends = [*((x, _TOP) for x in draws), *((x, 0.0) for x in latents)]
        for index, (x, y) in enumerate(ends):
            chosen = index % SAMPLES == sample - 1
            dots[index].set(
                data=([x], [y]),
                markerfacecolor=PALETTE[1 if chosen else 0],
                marker="s" if chosen else "o",
            )
            names[index].set(position=(x, y - 0.01), visible=abs(x) <= _WIDTH)
        for index, line in enumerate(lines):
            chosen = index == sample - 1
            line.set(
                data=([draws[index], latents[index]], [_TOP, 0]),
                color=PALETTE[1] if chosen else "#aaaaaa",
                linewidth=2 if chosen else 1,
            )
        speed = {"mean": np.ones(SAMPLES), "std": draws, "none": np.zeros(SAMPLES)}[arrow]
        arrows.set_offsets(np.stack([latents, _LANES], axis=1))
        arrows.set_UVC(0.8 * speed, np.zeros(SAMPLES))
        arrows.set_visible(arrow != "none")
        speeds.set_text(_SPEEDS[arrow])
        note.set_text(formula(mean, log_var, sample, noise))
        return live.png()

    def describe(mean: float, log_var: float, sample: int, arrow: str, noise: int) -> str:
        value = _draws(noise)[sample - 1]
        moves = {
            "mean": "If the mean grows by 0.1, every sample moves by 0.1.",
            "std": f"If σ grows by 0.1, sample {sample} moves by {_sign(0.1 * value, 3)}.",
            "none": "",
        }
        said = formula(mean, log_var, sample, noise).replace("\n", ", ")
        return f"{said}. {moves[arrow]}".strip()

    def grips(noise: int, **_values):
        draws = _draws(noise)
        between = [-_WIDTH, *((draws[1:] + draws[:-1]) / 2), _WIDTH]
        dots = [
            live.grip(axes, "sample", across=strip, down=(_TOP + 0.2, _TOP - 0.2), x_ends=(i, i))
            for i, strip in enumerate(itertools.pairwise(between), 1)
        ]
        return [*dots, live.grip(axes, "mean", down=(_HILL, -0.4))]

    return Explorer(
        title,
        {
            "mean": Slider("mean μ", -2.0, 2.0, 1.5, 0.1),
            "log_var": Slider("log σ²", -4.0, 1.4, -1.0, 0.1),
            "sample": Slider("sample shown", 1, SAMPLES, 2, 1),
            "arrow": Choice("arrows for a step in", _ARROWS, "std"),
            "noise": Again("New noise"),
        },
        draw,
        describe,
        grips=grips,
        live={"mean": 11, "log_var": 7, "sample": None, "noise": 2},
        hold="Press a number above to choose a sample; drag the samples below to move their mean.",
    )


def formula(mean: float, log_var: float, sample: int, noise: int) -> str:
    r"""The two lines above the picture: σ from log σ², and the chosen sample with its numbers."""
    std, draw = math.exp(0.5 * log_var), _draws(noise)[sample - 1]
    return (
        f"σ = exp(½ · log σ²) = exp(½ · {_sign(log_var, 1, inside=True)}) = {std:.2f}\n"
        f"z = μ + σ · ε = {_sign(mean, 1)} + {std:.2f} · {_sign(draw, 2, inside=True)} "
        f"= {_sign(mean + std * draw, 2)}"
    )


def _draws(presses: int) -> np.ndarray:
    return np.sort(np.random.default_rng(_SEED + presses).normal(size=SAMPLES))


def _bell(x: np.ndarray, mean: float, std: float) -> np.ndarray:
    r"""A normal density, scaled to height 1 for std = 1: a narrow one is high."""
    return np.exp(-0.5 * ((x - mean) / std) ** 2) / std


def _sign(value: float, digits: int, *, inside: bool = False) -> str:
    text = f"{value:.{digits}f}".replace("-", "−")
    return f"({text})" if inside and value < 0 else text
