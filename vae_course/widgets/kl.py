r"""Chapter 04: the KL between two densities, and the gap between the ELBO and log p(x)."""

from __future__ import annotations

import math
from functools import lru_cache

import matplotlib
import numpy as np

from vae_course.plots.style import HOUSE_STYLE, PALETTE
from vae_course.widgets._controls import Choice, Slider
from vae_course.widgets._core import Explorer
from vae_course.widgets._drawing import LiveFigure, house_figure

LOG_2PI = math.log(2 * math.pi)
_GRID = np.linspace(-24, 24, 2401)  # wide enough for every density that the sliders allow
_SHOWN = np.abs(_GRID) <= 6
_HOLD = "Press or drag in the upper picture: q goes"
_BUMPS = (-2.0, 2.0)  # the means of the two-bump target, standard deviation 0.6 each


def _log_normal(z: np.ndarray, mean: float, log_var: float) -> np.ndarray:
    return -0.5 * ((z - mean) ** 2 * math.exp(-log_var) + log_var + LOG_2PI)


def _log_target(z: np.ndarray, target: str) -> np.ndarray:
    if target == "normal":
        return _log_normal(z, 0.0, 0.0)
    parts = [_log_normal(z, mean, 2 * math.log(0.6)) for mean in _BUMPS]
    return np.logaddexp(*parts) - math.log(2)


def _number(value: float, digits: int = 2) -> str:
    return f"{value:.{digits}f}".replace("-", "−")


def kl_between_curves(mean: float, log_var: float, target: str) -> dict[str, float]:
    r"""Both directions in nats, by adding up the integrand on a fine grid.

    Returns: {"q first": KL(q ‖ p), "p first": KL(p ‖ q)} for q = N(mean, exp(log_var)) and
    p = "normal", N(0, 1), or "bumps", two Gaussians.
    """
    q_first, p_first = _integrands(mean, log_var, target)
    width = _GRID[1] - _GRID[0]
    return {"q first": float(q_first.sum() * width), "p first": float(p_first.sum() * width)}


@lru_cache(maxsize=4)
def _integrands(mean: float, log_var: float, target: str) -> tuple[np.ndarray, np.ndarray]:
    log_q, log_p = _log_normal(_GRID, mean, log_var), _log_target(_GRID, target)
    return np.exp(log_q) * (log_q - log_p), np.exp(log_p) * (log_p - log_q)


def _as_high_as(top: float) -> tuple[float, ...]:
    r"""The log-variances of the Gaussians whose peaks are as high as axes from `top` down to 0."""
    return tuple(-2 * np.log(np.linspace(top, 0, 200).clip(0.01)) - LOG_2PI)


def _area_under(z: np.ndarray, height: np.ndarray) -> np.ndarray:
    r"""Corners of the area between a curve and zero (set_data of an area needs matplotlib 3.10).

    Shapes: z, height (points,) → (2 · points, 2)
    """
    there_and_back = np.concatenate([z, z[::-1]])
    return np.column_stack([there_and_back, np.concatenate([height, 0 * height])])


def kl_explorer() -> Explorer:
    r"""Two densities, the integrand between them, and the KL as its area, in both directions.

    Sliders move q's mean and log-variance; p is N(0, 1) or has two bumps. The area above the axis
    minus the area below it is the KL. Against N(0, 1) the closed form is filled in beside it.
    """
    names = {"q first": ("q", "p"), "p first": ("p", "q")}
    z = _GRID[_SHOWN]
    with matplotlib.rc_context(HOUSE_STYLE):
        figure = house_figure(5.8, 4.1)
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=[1, 1])
        above.set(xlim=(-6, 6), ylim=(0, 1.25), ylabel="density")
        below.set(xlim=(-6, 6), ylim=(-0.6, 2.0), xlabel="z", ylabel="nats per unit of z")
        below.set_title(" \n ", fontsize=11)  # room for two lines that move
        below.axhline(0, color="#666666", linewidth=1)
        (q_line,) = above.plot(z, 0 * z, color=PALETTE[0], label="q, the one you move")
        (p_line,) = above.plot(z, 0 * z, color=PALETTE[1], linestyle="--", label="p, the target")
        above.legend(loc="upper right")
        (curve,) = below.plot(z, 0 * z, color="black", linewidth=1.5)
        gain = below.fill_between(z, 0, 0 * z, color=PALETTE[2], alpha=0.45, linewidth=0)
        loss = below.fill_between(z, 0, 0 * z, color=PALETTE[3], alpha=0.6, linewidth=0, hatch="//")
        place = {"transform": below.transAxes, "va": "bottom"}
        title = below.text(0, 1.14, "", size=10.5, weight="bold", **place)
        formula = below.text(0, 1.025, "", size=9, **place)
    live = LiveFigure(figure, [q_line, p_line, gain, loss, curve, title, formula])

    def draw(mean: float, log_var: float, target: str, direction: str) -> bytes:
        q_line.set_ydata(np.exp(_log_normal(z, mean, log_var)))
        p_line.set_ydata(np.exp(_log_target(z, target)))
        integrand = _integrands(mean, log_var, target)[direction == "p first"][_SHOWN]
        curve.set_ydata(integrand)
        gain.set_verts([_area_under(z, np.maximum(integrand, 0))])
        loss.set_verts([_area_under(z, np.minimum(integrand, 0))])
        value = kl_between_curves(mean, log_var, target)[direction]
        left, right = names[direction]
        title.set_text(
            f"area = KL({left} ‖ {right}) = {_number(value)} nats = "
            f"{_number(value / math.log(2))} bits"
        )
        formula.set_text(_closed_form(mean, log_var, target, direction))
        return live.png()

    def describe(mean: float, log_var: float, target: str, direction: str) -> str:
        both = kl_between_curves(mean, log_var, target)
        said = {
            key: f"KL({left} ‖ {right}) is {_number(both[key])} nats, "
            f"{_number(both[key] / math.log(2))} bits"
            for key, (left, right) in names.items()
        }
        other = "p first" if direction == "q first" else "q first"
        peak = _integrands(mean, log_var, target)[direction == "p first"][_SHOWN].max()
        leaves = " The drawn curve leaves the frame." if peak > 2.0 else ""
        closed = _closed_form(mean, log_var, target, direction).replace("\n", "; ")
        return f"{said[direction]}; the other way, {said[other]}. {closed}.{leaves}"

    controls = {
        "mean": Slider("mean μ of q", -4.0, 4.0, 1.5, 0.1),
        "log_var": Slider("log σ² of q", -3.0, 2.0, -1.0, 0.1),
        "target": Choice("target p", {"N(0, 1)": "normal", "two bumps": "bumps"}, "normal"),
        "direction": Choice(
            "integrand", {"q log(q/p): KL(q ‖ p)": "q first", "p log(p/q): KL(p ‖ q)": "p first"},
            "q first",
        ),
    }
    return Explorer(
        "two densities and the KL between them", controls, draw, describe,
        grips=lambda **_: [live.grip(above, "mean", "log_var", y_ends=_as_high_as(1.25))],
        live={"mean": 13, "log_var": 11, "target": None, "direction": None},
        hold=f"{_HOLD} where its peak should be.",
    )  # fmt: skip


def _closed_form(mean: float, log_var: float, target: str, direction: str) -> str:
    if target != "normal":
        return "no closed form here: the area is added up on a grid"
    square, variance = mean**2, math.exp(log_var)
    signed = f"{'−' if log_var >= 0 else '+'} {_number(abs(log_var))}"
    if direction == "q first":
        value = 0.5 * (square + variance - 1 - log_var)
        terms = f"½ (μ² + σ² − 1 − log σ²) = ½ ({square:.2f} + {variance:.2f} − 1 {signed})"
    else:
        value = 0.5 * ((1 + square) / variance - 1 + log_var)
        signed = f"{'+' if log_var >= 0 else '−'} {_number(abs(log_var))}"
        terms = f"½ ((1 + μ²)/σ² − 1 + log σ²) = ½ ({(1 + square) / variance:.2f} − 1 {signed})"
    return f"{terms} = {_number(value)}"


# --- the ELBO gap ----------------------------------------------------------------------------


class LinearGaussian:
    r"""z ~ N(0, 1), x | z ~ N(weight · z, noise_std²), one number each: everything is exact."""

    def __init__(self, weight: float, noise_std: float):
        if noise_std <= 0:
            raise ValueError(f"noise_std is {noise_std}; expected a positive number")
        self.weight, self.noise_std = weight, noise_std
        self.posterior_var = 1 / (1 + (weight / noise_std) ** 2)

    def posterior_mean(self, x: float) -> float:
        return self.posterior_var * self.weight * x / self.noise_std**2

    def log_evidence(self, x: float) -> float:
        variance = self.weight**2 + self.noise_std**2
        return -0.5 * (x**2 / variance + math.log(variance) + LOG_2PI)

    def terms(self, x: float, mean: float, log_var: float) -> dict[str, float]:
        r"""The ELBO of q = N(mean, exp(log_var)) and what it is made of, all in nats."""
        variance = math.exp(log_var)
        error = (x - self.weight * mean) ** 2 + self.weight**2 * variance
        noise = 2 * math.log(self.noise_std)
        reconstruction = -0.5 * (error / self.noise_std**2 + noise + LOG_2PI)
        kl = 0.5 * (mean**2 + variance - 1 - log_var)
        ratio = variance / self.posterior_var
        shift = (mean - self.posterior_mean(x)) ** 2 / self.posterior_var
        return {
            "reconstruction": reconstruction,
            "kl_prior": kl,
            "elbo": reconstruction - kl,
            "log_evidence": self.log_evidence(x),
            "kl_posterior": 0.5 * (ratio + shift - 1 - math.log(ratio)),
        }

    def importance_bound(self, x: float, mean: float, log_var: float, noise: np.ndarray) -> float:
        r"""The K-sample bound averaged over repeats; noise (repeats, K)."""
        z = mean + math.exp(0.5 * log_var) * noise
        log_joint = _log_normal(z, 0.0, 0.0) + _log_normal(
            x - self.weight * z, 0.0, 2 * math.log(self.noise_std)
        )
        log_weights = log_joint - _log_normal(z, mean, log_var)
        top = log_weights.max(axis=1, keepdims=True)
        return float((top[:, 0] + np.log(np.exp(log_weights - top).mean(axis=1))).mean())


def elbo_gap_explorer(*, weight: float = 1.0, noise_std: float = 0.6) -> Explorer:
    r"""A world where log p(x) is known: move q, and see ELBO + KL(q ‖ posterior) stay put.

    Bars end at log p(x) or at a bound on it: further right is better. The third bar is the
    importance-weighted bound with K samples, averaged over repeats that share 24,000 fixed draws.
    Raises: ValueError if noise_std is not positive.
    """
    world = LinearGaussian(weight, noise_std)
    noise = np.random.default_rng(4).standard_normal(12_000)
    noise = np.random.default_rng(5).permutation(np.concatenate([noise, -noise]))
    noise /= noise.std()  # mean 0 and variance 1 exactly: with K = 1 the bound is the ELBO
    z = np.linspace(-4, 4, 401)
    with matplotlib.rc_context(HOUSE_STYLE):
        figure = house_figure(5.8, 4.0)
        above, below = figure.subplots(2, 1, height_ratios=[1.15, 1])
        above.set(xlim=(-4, 4), ylim=(0, 1.6), xlabel="z", ylabel="density")
        (q_line,) = above.plot(z, 0 * z, color=PALETTE[0], label="q(z), the one you move")
        (p_line,) = above.plot(z, 0 * z, color=PALETTE[1], linestyle="--", label="p(z | x)")
        above.plot(z, np.exp(_log_normal(z, 0, 0)), color="#888888", linestyle=":", label="p(z)")
        above.legend(loc="upper right")
        below.set(xlim=(-9, 0), ylim=(3.05, -0.55))
        below.set_xlabel("nats: further right is better")
        below.set_yticks([0, 1, 2], ["log p(x)", "ELBO", "IW bound"])
        below.grid(visible=False, axis="y")
        colours = [PALETTE[1], PALETTE[0], PALETTE[2]]
        bars = below.barh([0, 1, 2], [1, 1, 1], left=-9, height=0.6, color=colours, alpha=0.8)
        hatched = {"height": 0.6, "facecolor": "none", "edgecolor": PALETTE[0], "hatch": "////"}
        (gap,) = below.barh([1], [1], **hatched)
        (evidence,) = below.plot([-1, -1], [-0.5, 2.35], color=PALETTE[1], ls="--", lw=1.5)
        box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.9, "pad": 1}
        look = {"va": "center", "size": 9, "weight": "bold", "zorder": 5}
        texts = [below.text(-8.9, row, "", **look) for row in range(3)]
        note = below.text(-0.05, 2.68, "", ha="right", va="center", size=9, bbox=box, zorder=5)
    live = LiveFigure(figure, [q_line, p_line, *bars, gap, evidence, *texts, note])

    @lru_cache(maxsize=4)
    def state(x: float, mean: float, log_var: float, samples: int) -> tuple[dict, float]:
        repeats = len(noise) // samples
        drawn = noise[: repeats * samples].reshape(repeats, samples)
        found = world.terms(x, mean, log_var)
        return found, world.importance_bound(x, mean, log_var, drawn)

    def draw(x: float, mean: float, log_var: float, samples: int) -> bytes:
        found, bound = state(x, mean, log_var, samples)
        q_line.set_ydata(np.exp(_log_normal(z, mean, log_var)))
        log_var_posterior = math.log(world.posterior_var)
        p_line.set_ydata(np.exp(_log_normal(z, world.posterior_mean(x), log_var_posterior)))
        values = (found["log_evidence"], found["elbo"], bound)
        for bar, text, value in zip(bars, texts, values, strict=True):
            bar.set(width=max(value + 9, 0))
            text.set(text=_number(value), color="black")
            text.set_bbox(box)
        texts[2].set_text(f"{_number(bound)}   (K = {samples})")
        gap.set_x(max(found["elbo"], -9))
        gap.set_width(max(found["log_evidence"] - max(found["elbo"], -9), 0))
        evidence.set_xdata([found["log_evidence"]] * 2)
        note.set_text(f"hatched gap = KL(q ‖ p(z | x)) = {_number(found['kl_posterior'])}")
        return live.png()

    def describe(x: float, mean: float, log_var: float, samples: int) -> str:
        found, bound = state(x, mean, log_var, samples)
        said = {name: _number(value) for name, value in found.items()}
        return (
            f"ELBO = reconstruction {said['reconstruction']} − KL(q ‖ p(z)) {said['kl_prior']} = "
            f"{said['elbo']} nats; log p(x) = {said['log_evidence']}; the gap, "
            f"{_number(found['log_evidence'] - found['elbo'])}, is KL(q ‖ p(z | x)) = "
            f"{said['kl_posterior']}. With K = {samples} importance samples the bound is "
            f"{_number(bound)}. The posterior has mean {_number(world.posterior_mean(x))} and "
            f"log-variance {_number(math.log(world.posterior_var))}."
        )

    controls = {
        "x": Slider("observed x", -3.0, 3.0, 1.5, 0.1),
        "mean": Slider("mean μ of q", -2.5, 2.5, 0.0, 0.05),
        "log_var": Slider("log σ² of q", -3.0, 1.0, 0.0, 0.05),
        "samples": Slider("samples K", 1, 64, 1, 1),
    }
    return Explorer(
        "the ELBO, the gap and log p(x)", controls, draw, describe,
        grips=lambda **_: [live.grip(above, "mean", "log_var", y_ends=_as_high_as(1.6))],
        live={"mean": 11, "log_var": 9, "x": (0.0, 1.5, 3.0), "samples": (1, 8, 64)},
        hold=f"{_HOLD} where its peak should be.",
    )  # fmt: skip
