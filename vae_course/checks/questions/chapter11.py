r"""Questions of chapter 11 with numbers of one's own."""

import math
from types import SimpleNamespace

from .question import Question, Slip

# --- 11-a-grain: one pixel there and back -------------------------------------------------------


def _draw_grain(random):
    while True:
        drawn = {
            "pixel": random.randrange(-95, 96) / 100,
            "noise": random.randrange(-200, 201) / 100,
            "predicted": random.randrange(-200, 201) / 100,
            "alpha_bar": random.randrange(20, 71) / 100,
            "alpha_bar_next": random.randrange(75, 96) / 100,
        }
        n = SimpleNamespace(**drawn)
        right, wrong = _grain(n), _grain_slips(n)
        apart = all(
            abs(value - right[part]) > 0.03 * abs(right[part]) + 1e-3
            for slip in wrong.values()
            for part, value in slip.items()
        )
        if apart and min(abs(value) for value in right.values()) > 0.15:
            return drawn


def _grain(n):
    now, then = n.alpha_bar, n.alpha_bar_next
    aged = math.sqrt(now) * n.pixel + math.sqrt(1 - now) * n.noise
    guess = (aged - math.sqrt(1 - now) * n.predicted) / math.sqrt(now)
    younger = math.sqrt(then) * guess + math.sqrt(1 - then) * n.predicted
    return {"aged": aged, "guess": guess, "younger": younger}


def _grain_slips(n):
    now, then, right = n.alpha_bar, n.alpha_bar_next, _grain(n)
    fresh = math.sqrt(then) * n.pixel + math.sqrt(1 - then) * n.noise
    return {
        "roots-forgotten": {
            "aged": now * n.pixel + (1 - now) * n.noise,
            "younger": then * right["guess"] + (1 - then) * n.predicted,
        },
        "not-divided": {"guess": math.sqrt(now) * right["guess"]},
        "noise-unscaled": {"guess": (right["aged"] - n.predicted) / math.sqrt(now)},
        "the-pixel-itself": {"guess": n.pixel, "younger": fresh},
        "guess-scaled-only": {"younger": math.sqrt(then) * right["guess"]},
        "where-it-was": {"younger": right["aged"]},
        "the-true-noise": {
            "younger": math.sqrt(then) * right["guess"] + math.sqrt(1 - then) * n.noise
        },
    }


_GRAIN_HINTS = {
    "roots-forgotten": "The roots are missing: ᾱ and 1 − ᾱ are shares of the variance.",
    "not-divided": "After the noise is taken off, √ᾱ times the pixel is left: divide by √ᾱ.",
    "noise-unscaled": "The predicted noise was taken off at full strength. Only √(1 − ᾱ) of it is "
    "in there.",
    "the-pixel-itself": "That comes from the true noise. The restorer knows only what was "
    "predicted.",
    "guess-scaled-only": "The guess was scaled but not noised again: add √(1 − ᾱ_next) of the "
    "predicted noise.",
    "where-it-was": "That is where you came from: noise the guess to ᾱ_next.",
    "the-true-noise": "You noised the guess with the true noise. A step of DDIM uses the predicted "
    "one.",
}

GRAIN = Question(
    name="11-a-grain",
    draw=_draw_grain,
    text=(
        "Your pixel: {pixel}. Noise: {noise}, at ᾱ = {alpha_bar}. The restorer predicts the noise "
        "{predicted} and steps to ᾱ_next = {alpha_bar_next}."
    ),
    answers=_grain,
    unit={"aged": "pixel values", "guess": "pixel values", "younger": "pixel values"},
    slips=tuple(
        Slip(name, hint, lambda n, name=name: _grain_slips(n)[name])
        for name, hint in _GRAIN_HINTS.items()
    ),
)

# --- 11-one-step: what a step back costs --------------------------------------------------------


def _draw_step(random):
    return {
        "beta": random.randrange(4, 31) / 100,
        "before": random.randrange(30, 81) / 100,
        "error": random.randrange(15, 91) / 10,
    }


def _step(n):
    now = n.before * (1 - n.beta)
    variance = n.beta * (1 - n.before) / (1 - now)
    distance = n.beta / math.sqrt((1 - n.beta) * (1 - now)) * math.sqrt(n.error)
    return {"variance": variance, "distance": distance, "nats": distance**2 / (2 * variance)}


def _subtracted(n):
    now = n.before - n.beta
    variance = n.beta * (1 - n.before) / (1 - now)
    return {"variance": variance}


STEP = Question(
    name="11-one-step",
    draw=_draw_step,
    text=(
        "Your step: β_t = {beta}, ᾱ_(t−1) = {before}. The squared error of the predicted noise, "
        "summed over the plate: {error}."
    ),
    answers=_step,
    unit={"variance": "squared pixel values", "distance": "pixel values", "nats": "nats"},
    slips=(
        Slip(
            "beta",
            "That takes β for the variance of the step back. Given the clean plate it is smaller: "
            "β (1 − ᾱ_(t−1)) / (1 − ᾱ_t).",
            lambda n: {"variance": n.beta, "nats": _step(n)["distance"] ** 2 / (2 * n.beta)},
        ),
        Slip(
            "upside-down",
            "The fraction is upside down: (1 − ᾱ_(t−1)), the smaller one, stands above.",
            lambda n: {"variance": n.beta**2 / _step(n)["variance"]},
        ),
        Slip(
            "subtracted",
            "ᾱ_t is ᾱ_(t−1) *times* (1 − β_t), not minus β_t.",
            _subtracted,
        ),
        Slip(
            "squared",
            "That is the squared distance of the two means. Asked is the distance.",
            lambda n: {"distance": _step(n)["distance"] ** 2},
        ),
        Slip(
            "error-not-rooted",
            "The error is a squared one already: its root belongs in the distance.",
            lambda n: {"distance": _step(n)["distance"] * math.sqrt(n.error)},
        ),
        Slip(
            "half-missing",
            "The ½ is missing: the KL of two Gaussians of one variance is "
            "distance² / (2 variance).",
            lambda n: {"nats": 2 * _step(n)["nats"]},
        ),
        Slip(
            "bits",
            "Those are bits. Nats were asked for.",
            lambda n: {"nats": _step(n)["nats"] / math.log(2)},
        ),
    ),
)

QUESTIONS = (GRAIN, STEP)
