r"""Questions of chapter 04 with numbers of one's own."""

import math
from functools import cache

from .question import Question, Slip

# --- 04-kl-of-a-code: one dimension, with a pencil ---------------------------------------------


def _kl(numbers):
    mean, std = numbers.mean, numbers.std
    kl = (mean**2 + std**2 - 1) / 2 - math.log(std)
    return {"kl": kl, "bits": kl / math.log(2)}


def _kl_plus(more):
    r"""The answers with something added to the divergence."""

    def wrong(n):
        kl = _kl(n)["kl"] + more(n)
        return {"kl": kl, "bits": kl / math.log(2)}

    return wrong


# --- 04-two-codes: how far one digit's code is from another's -----------------------------------


@cache
def _codes():
    r"""mean and log_var of the 1,000 test digits by the shipped model "vae-2d": (1000, 2) each."""
    import torch

    from vae_course import data, pretrained

    model = pretrained.load_vae("vae-2d")[0]
    with torch.no_grad():
        return tuple(half.double() for half in model.encode(data.load_images().test_images))


def _between(q: int, p: int, *, scale=1.0) -> float:
    r"""KL(code of digit q ‖ code of digit p) in nats; scale: of log_var, 1 if read rightly."""
    (mean, log_var) = _codes()
    shift = (mean[q] - mean[p]).square() / (scale * log_var[p]).exp()
    spread = (scale * (log_var[q] - log_var[p])).exp()
    return float(0.5 * (spread + shift - 1 + scale * (log_var[p] - log_var[q])).sum())


def _two_codes(n):
    return {"there": _between(n.digit, n.other), "back": _between(n.other, n.digit)}


def _from_each_prior(n):
    r"""The difference of the two divergences from the prior."""
    mean, log_var = _codes()
    kl = 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum(dim=1)
    off = float(kl[n.digit] - kl[n.other])
    return {"there": off, "back": -off}


def _draw_two_codes(random):
    digit, other = random.sample(range(1000), 2)
    return {"digit": digit, "other": other}


# --- 04-the-weight: which β somebody's loss really has ------------------------------------------

# What is done to the reconstruction and to the KL, for each of a few pairs.
_PAIRS = (
    ("mean", "mean"),
    ("mean", "batchmean"),
    ("mean", "sum"),
    ("batchmean", "mean"),
    ("sum", "batchmean"),
)


def _draw_weight(random):
    reconstruction, kl = random.choice(_PAIRS)
    side = random.choice((20, 24, 32, 36, 40))
    return {
        "reconstruction": reconstruction,
        "kl": kl,
        "side": side,
        "latents": random.randrange(10, 60),
        "batch": random.choice((48, 80, 96, 160, 200)),
        "weight": random.randrange(2, 100) / 1000,
    }


def _beta(n, *, side=1, latents=1, batch=1, swapped=False):
    r"""Effective β, with every size multiplied by the given factors."""
    pixels, latents, batch = (n.side * side) ** 2, n.latents * latents, n.batch * batch
    if swapped:
        pixels, latents = latents, pixels

    def weight(reduction, values):
        return {"sum": batch, "batchmean": 1, "mean": 1 / values}[reduction]

    return n.weight * weight(n.kl, latents) / weight(n.reconstruction, pixels)


def _weight(n):
    return {
        "beta": _beta(n),
        "beta_later": _beta(n, side=2, latents=3, batch=0.5),
        "repair": n.weight / _beta(n),
    }


def _weight_forgotten(n):
    wrong = {key: _weight(n)[key] / n.weight for key in ("beta", "beta_later")}
    return wrong | {"repair": 1 / _beta(n)}


def _inverted(n):
    return {
        "beta": n.weight**2 / _beta(n),
        "beta_later": n.weight**2 / _weight(n)["beta_later"],
        "repair": _beta(n) / n.weight,
    }


def _side_for_pixels(n):
    if n.reconstruction != "mean":
        return {}  # the pixels are not in it
    return {"beta_later": _beta(n, side=math.sqrt(2), latents=3, batch=0.5)}


QUESTIONS = (
    Question(
        name="04-kl-of-a-code",
        draw=lambda random: {
            "mean": round(random.uniform(0.4, 1.9), 2),
            "std": round(random.uniform(0.2, 0.7), 2),
        },
        text="Your code: q(z|x) = N(mean = {mean}, standard deviation = {std}).",
        answers=_kl,
        unit={"kl": "nats", "bits": "bits"},
        slips=(
            Slip("no-half", "Twice the divergence: a factor ½ is missing.",
                 lambda n: {key: 2 * value for key, value in _kl(n).items()}),
            Slip("nats-for-bits", "That is in nats. A bit is log 2 nats.",
                 lambda n: {"bits": _kl(n)["kl"]}),
            Slip("bits-the-wrong-way",
                 "A nat is more than a bit, so the number of bits is the larger one: divide by "
                 "log 2.", lambda n: {"bits": _kl(n)["kl"] * math.log(2)}),
            Slip("std-for-variance", "The standard deviation stands where the variance belongs.",
                 _kl_plus(lambda n: (n.std - n.std**2) / 2)),
            Slip("log-std-halved",
                 "The logarithm is that of the variance: ½ log σ² is log σ, not ½ log σ.",
                 _kl_plus(lambda n: math.log(n.std) / 2)),
            Slip("one-dropped", "The −1 is missing: with it the prior itself has 0.",
                 _kl_plus(lambda n: 0.5)),
        ),
    ),
    Question(
        name="04-two-codes",
        draw=_draw_two_codes,
        text="Your digits: test images {digit} and {other}.",
        answers=_two_codes,
        unit={"there": "nats", "back": "nats"},
        slips=(
            Slip("swapped",
                 "The arguments changed places: the first one is where the samples come from.",
                 lambda n: {"there": _two_codes(n)["back"], "back": _two_codes(n)["there"]}),
            Slip("no-half", "Twice the divergence: a factor ½ is missing.",
                 lambda n: {key: 2 * value for key, value in _two_codes(n).items()}),
            Slip("averaged-over-latents",
                 "The two dimensions were averaged. Independent dimensions add up.",
                 lambda n: {key: value / 2 for key, value in _two_codes(n).items()}),
            Slip("log-var-as-log-std", "The encoder's second output is log σ², not log σ.",
                 lambda n: {
                     "there": _between(n.digit, n.other, scale=2.0),
                     "back": _between(n.other, n.digit, scale=2.0),
                 }),
            Slip("difference-of-kls",
                 "That is how much farther one is from the prior than the other. Two codes can be "
                 "equally far from the prior and far from each other.", _from_each_prior),
        ),
        rtol=3e-3,
    ),
    Question(
        name="04-the-weight",
        draw=_draw_weight,
        text="Your file: pictures of {side} × {side} grey pixels, {latents} latents, batches of "
             "{batch}.\n"
             'Reconstruction: "{reconstruction}". KL: "{kl}". Weight in front of the KL: {weight}.',
        answers=_weight,
        unit={"beta": "a ratio", "beta_later": "a ratio", "repair": "a weight"},
        slips=(
            Slip("taken-as-written",
                 "That is the weight as it stands in the code. The reductions weigh, too.",
                 lambda n: {"beta": n.weight, "beta_later": n.weight, "repair": 1.0}),
            Slip("weight-forgotten", "The weight in front of the KL is not in it.",
                 _weight_forgotten),
            Slip("inverted", "Upside down: β is KL over reconstruction.", _inverted),
            Slip("sizes-exchanged", "Pixels and latents changed places.",
                 lambda n: {"beta": _beta(n, swapped=True)} if n.reconstruction != "sum" else {}),
            Slip("side-for-pixels",
                 "A side is not an area: twice the side is four times the pixels.",
                 _side_for_pixels),
            Slip("as-before", "One of the sizes that changed is in β for this pair of reductions.",
                 lambda n: {"beta_later": _beta(n)}),
        ),
    ),
)  # fmt: skip
