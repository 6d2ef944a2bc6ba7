r"""Questions of chapter 07 with numbers of one's own."""

import math
from functools import cache
from types import SimpleNamespace

from .question import Question, Slip

# --- 07-two-plates: two digits in the latent space of the shipped model --------------------------


@cache
def _codes():
    r"""Means and log-variances (1000, 20) of the test digits of mnist-5k under "vae-conv"."""
    import torch

    from vae_course import data, pretrained

    model, _ = pretrained.load_vae("vae-conv")
    with torch.no_grad():
        codes = model.encode(data.load_images("mnist-5k").test_images)
    return tuple(part.double() for part in codes)


def _draw_plates(random):
    while True:
        first, second = random.sample(range(1000), 2)
        drawn = {"first": first, "second": second}
        if abs(_cosine(SimpleNamespace(**drawn))) > 0.03:  # at 90° a sum is as long as a difference
            return drawn


def _rate(n):
    mean, log_var = (part[n.first] for part in _codes())
    return 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum().item()  # nats


def _cosine(n):
    one, other = _codes()[0][n.first], _codes()[0][n.second]
    return (one @ other / (one.norm() * other.norm())).item()


def _plates(n):
    one, other = _codes()[0][n.first], _codes()[0][n.second]
    return {
        "angle": math.degrees(math.acos(_cosine(n))),
        "halfway": ((one + other) / 2).norm().item(),
        "bits": _rate(n) / math.log(2),
    }


def _mean_only(n):
    mean, _ = (part[n.first] for part in _codes())
    return 0.5 * mean.square().sum().item() / math.log(2)


PLATES = Question(
    name="07-two-plates",
    draw=_draw_plates,
    text="Your two digits: digits.test_images[{first}] and digits.test_images[{second}].",
    answers=_plates,
    unit={"angle": "degrees", "halfway": "units of the latent space", "bits": "bits"},
    slips=(
        Slip(
            "radians",
            "That is in radians. The angle is asked in degrees.",
            lambda n: {"angle": math.acos(_cosine(n))},
        ),
        Slip(
            "cosine",
            "That is the cosine of the angle.",
            lambda n: {"angle": _cosine(n)},
        ),
        Slip(
            "norm-of-the-ends",
            "That is the average of the two ends' norms. The middle of a line lies nearer to 0 "
            "than its ends do.",
            lambda n: {
                "halfway": sum(_codes()[0][i].norm().item() for i in (n.first, n.second)) / 2
            },
        ),
        Slip(
            "half-the-distance",
            "That is half of the distance between the two. Asked is how far the middle is from 0.",
            lambda n: {"halfway": (_codes()[0][n.first] - _codes()[0][n.second]).norm().item() / 2},
        ),
        Slip("nats", "Those are nats. A bit is log 2 nats.", lambda n: {"bits": _rate(n)}),
        Slip(
            "mean-only",
            "Only ½ μ² was added up. How narrow q is costs bits too.",
            lambda n: {"bits": _mean_only(n)},
        ),
        Slip(
            "floats",
            "That is what 20 numbers of 32 bits take in memory. The rate is what the code says.",
            lambda n: {"bits": 640.0},
        ),
    ),
)

# --- 07-alarms-in-a-year: what a threshold means where junk is rare ------------------------------


def _draw_alarms(random):
    return {
        "orders": random.randrange(4000, 20001, 500),
        "junk": random.randrange(20, 81, 5) / 1000,
        "caught": random.randrange(55, 96) / 100,
        "false_alarms": random.randrange(20, 101, 5) / 1000,
    }


def _alarms(n):
    right = n.orders * n.junk * n.caught
    wrong = n.orders * (1 - n.junk) * n.false_alarms
    return {
        "alarms": right + wrong,
        "trust": right / (right + wrong),
        "allowed": n.junk * n.caught / (1 - n.junk),
    }


ALARMS = Question(
    name="07-alarms-in-a-year",
    draw=_draw_alarms,
    text=(
        "{orders} orders a year, a share of {junk} of them junk. Your score catches a share of "
        "{caught} of the junk, at a false-alarm rate of {false_alarms}."
    ),
    answers=_alarms,
    unit={"alarms": "alarms a year", "trust": "a share", "allowed": "a share"},
    slips=(
        Slip(
            "false-alarms-only",
            "Those are the false alarms alone. Junk rings too.",
            lambda n: {"alarms": n.orders * (1 - n.junk) * n.false_alarms},
        ),
        Slip(
            "true-alarms-only",
            "Those are the alarms about junk alone. Good orders ring too.",
            lambda n: {"alarms": n.orders * n.junk * n.caught},
        ),
        Slip(
            "caught",
            "That is the share of the junk that rings. Asked is the share of the alarms that are "
            "junk: the other way round.",
            lambda n: {"trust": n.caught},
        ),
        Slip(
            "odds",
            "That is junk alarms per false alarm. A share has all alarms below the line.",
            lambda n: {"trust": n.junk * n.caught / ((1 - n.junk) * n.false_alarms)},
        ),
        Slip(
            "all-junk-caught",
            "You let all of the junk ring. Only the caught share does.",
            lambda n: {"allowed": n.junk / (1 - n.junk)},
        ),
        Slip(
            "share-of-all-orders",
            "The rate of false alarms counts good orders only: divide by 1 − junk.",
            lambda n: {"allowed": n.junk * n.caught},
        ),
    ),
)

QUESTIONS = (PLATES, ALARMS)
