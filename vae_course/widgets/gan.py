r"""Chapter 06: one latent through two generators, and a blind test: real, VAE or GAN?"""

from __future__ import annotations

import math
from collections.abc import Callable

import matplotlib
import numpy as np

from vae_course.plots.pictures import as_array, checked_pixels
from vae_course.plots.style import HOUSE_STYLE, PALETTE
from vae_course.widgets._controls import Again, Slider
from vae_course.widgets._core import Explorer
from vae_course.widgets._drawing import LiveFigure, house_figure

STOPS = 13  # pictures along the circle; the last one is the first again


def two_generators_explorer(
    vae_decode: Callable,
    gan_decode: Callable,
    *,
    latent_dim: int,
    seed: int = 0,
    names: tuple[str, str] = ("VAE decoder", "GAN generator"),
    title: str = "one latent, two generators",
) -> Explorer:
    r"""The same latent goes into both; each shows its picture and its walk round the same circle.

    The latent is length · √D · (cos(angle) · a + sin(angle) · b) with two random directions a and
    b at right angles, and then one coordinate is shifted. At length 1 it is as long as a typical
    draw from N(0, I).

    vae_decode, gan_decode: (B, D) tensor → (B, 1, H, W) pixels from 0 to 1, called without gradient
    seed: of the first pair of directions; the button draws others
    Raises: ValueError if latent_dim is below 2, or a decoder returns something else than images.
    """
    if latent_dim < 2:
        raise ValueError(f"latent_dim is {latent_dim}; expected 2 or more, a circle needs a plane")
    walk = _Walk((vae_decode, gan_decode), names, latent_dim, seed)
    figure, moving, parts, rows = _stage(names, walk)
    live = LiveFigure(figure, moving)

    def draw(angle, length, coordinate, shift, pair) -> bytes:
        pictures = walk.at(angle, length, coordinate, shift, pair)
        for shown, picture in zip(parts["now"], pictures, strict=True):
            shown.set_data(picture)
        strips = walk.around(length, coordinate, shift, pair)
        for shown, strip in zip(parts["strips"], strips, strict=True):
            shown.set_data(strip)
        for mark in parts["marks"]:
            mark.set_xdata([(angle / 360 * (STOPS - 1) + 0.5) * walk.width] * 2)
        return live.png()

    def describe(angle, length, coordinate, shift, pair) -> str:
        latent = walk.latent([angle], length, coordinate, shift, pair)[0]
        pictures = walk.at(angle, length, coordinate, shift, pair)
        said = [
            f"{name}: {(picture > 25).mean():.0%} of the pixels have ink, of which "
            f"{_grey(picture):.0%} are grey rather than white"
            for name, picture in zip(names, pictures, strict=True)
        ]
        typical = math.sqrt(latent_dim)
        moved = f"Coordinate {coordinate} is not shifted."
        if shift:
            distances = walk.moved(angle, length, coordinate, shift, pair)
            moved = _moved(names, distances, coordinate)
        return (
            f"The latent is {np.linalg.norm(latent):.1f} long (typical: {typical:.1f}). "
            f"{'; '.join(said)}. {moved}"
        )

    controls = {
        "angle": Slider("angle on the circle", 0, 360, 30, 6, unit="degrees", play=200),
        "length": Slider("length of the latent", 0.0, 2.5, 1.0, 0.05, unit="times √D"),
        "coordinate": Slider("coordinate to shift", 1, latent_dim, 1, 1),
        "shift": Slider("shift by", -4.0, 4.0, 0.0, 0.25),
        "pair": Again("New directions"),
    }
    half = 360 / (STOPS - 1) / 2  # a picture is as wide as the way to the next one
    around = (-half, 360 + half)
    return Explorer(
        title, controls, draw, describe,
        grips=lambda **_: [live.grip(axes, "angle", x_ends=around) for axes in rows],
        live={"angle": 31, "length": 6, "shift": 5},
        hold="Press or drag on the walk round the circle.",
    )  # fmt: skip


class _Walk:
    r"""Latents on a circle and the pictures that two decoders make of them."""

    def __init__(self, decoders, names, latent_dim: int, seed: int):
        self.decoders, self.names = decoders, names
        self.latent_dim, self.seed = latent_dim, seed
        self.kept: dict[tuple, tuple] = {}  # the last walk round the circle
        self.last: dict[tuple, list] = {}  # the last pictures: describing needs them again
        self.height, self.width = self._pictures(np.zeros((1, latent_dim)))[0].shape[1:]

    def latent(self, angles, length, coordinate, shift, pair) -> np.ndarray:
        r"""(len(angles), D)"""
        drawn = np.random.default_rng([self.seed, pair]).standard_normal((self.latent_dim, 2))
        first, second = np.linalg.qr(drawn)[0].T  # (D,) each, length 1, at right angles
        turn = np.radians(np.asarray(angles, dtype=float))[:, None]
        latent = np.cos(turn) * first + np.sin(turn) * second
        latent *= length * math.sqrt(self.latent_dim)
        latent[:, coordinate - 1] += shift
        return latent

    def at(self, angle, *rest) -> list[np.ndarray]:
        r"""The two pictures at one angle, (H, W) bytes each."""
        if (angle, *rest) not in self.last:
            self.last.clear()
            pictures = self._pictures(self.latent([angle], *rest))
            self.last[angle, *rest] = [each[0] for each in pictures]
        return self.last[angle, *rest]

    def around(self, *rest) -> tuple[np.ndarray, ...]:
        r"""Two strips of pictures round the circle, (H, STOPS · W) bytes each."""
        if rest not in self.kept:
            self.kept.clear()
            angles = np.linspace(0, 360, STOPS)
            pictures = self._pictures(self.latent(angles, *rest))
            self.kept[rest] = tuple(np.concatenate(list(each), axis=1) for each in pictures)
        return self.kept[rest]

    def moved(self, angle, length, coordinate, shift, pair) -> list[float]:
        r"""How far the shift moved each picture: root mean square over the pixels, in 0 … 1."""
        after = self.at(angle, length, coordinate, shift, pair)
        before = self.at(angle, length, coordinate, 0.0, pair)
        differences = [(b / 255.0 - a / 255.0) for a, b in zip(before, after, strict=True)]
        return [float(np.sqrt(np.mean(difference**2))) for difference in differences]

    def _pictures(self, latent: np.ndarray) -> list[np.ndarray]:
        import torch

        batch = torch.tensor(latent, dtype=torch.float32)
        found = []
        for name, decode in zip(self.names, self.decoders, strict=True):
            with torch.no_grad():
                images = as_array(decode(batch))
            if images.ndim != 4 or images.shape[:2] != (len(batch), 1):
                raise ValueError(
                    f"{name} returned shape {images.shape} for latents {tuple(batch.shape)}; "
                    f"expected ({len(batch)}, 1, height, width)"
                )
            found.append(checked_pixels(images, clip=False))
        return found


def _stage(names, walk: _Walk):
    r"""The figure: two large pictures, and under them the two walks with a mark each."""
    look = {"cmap": "gray", "vmin": 0, "vmax": 255, "interpolation": "nearest"}
    with matplotlib.rc_context(HOUSE_STYLE):
        figure = house_figure(6.4, 4.3)
        upper, lower = figure.subfigures(2, 1, height_ratios=[2.1, 1.2])
        large, rows = upper.subplots(1, 2), lower.subplots(2, 1)
        blank, long = np.zeros((walk.height, walk.width)), np.zeros((walk.height, 1))
        now = [axes.imshow(blank, **look) for axes in large]
        extent = (0, STOPS * walk.width, walk.height, 0)
        strips = [axes.imshow(long, extent=extent, **look) for axes in rows]
        marks = [axes.axvline(0, color=PALETTE[1], linewidth=2.5) for axes in rows]
        for axes, name in zip(large, names, strict=True):
            axes.set_title(name, loc="center")
        for axes, name in zip(rows, names, strict=True):
            axes.set_ylabel(name.split()[0], rotation=0, ha="right", va="center")
        for axes in (*large, *rows):
            axes.set(xticks=[], yticks=[])
            axes.grid(False)
            axes.spines[:].set_visible(False)
        rows[1].set_xlabel("once round the circle; the line is where you are")
    parts = {"now": now, "strips": strips, "marks": marks}
    return figure, [*now, *strips, *marks], parts, rows


def _grey(picture: np.ndarray) -> float:
    r"""Of the pixels with ink (above a tenth), the share that is below nine tenths."""
    ink = picture[picture > 25]
    return float((ink < 230).mean()) if ink.size else 0.0


def _moved(names, distances, coordinate: int) -> str:
    said = " and ".join(
        f"the {name}'s by {far:.3f}" for name, far in zip(names, distances, strict=True)
    )
    return f"Shifting coordinate {coordinate} moved {said} (root mean square over the pixels)."
