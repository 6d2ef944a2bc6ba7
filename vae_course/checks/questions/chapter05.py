r"""Questions of chapter 05 with numbers of one's own."""

import math
from functools import cache

from .question import Question, Slip


@cache
def _test_images():
    from vae_course import data

    return data.load_images("mnist-5k").test_images.flatten(1).double()


def _coin(p):
    r"""Entropy of a coin that shows white with probability p, elementwise, in nats."""
    import torch

    return -(torch.xlogy(p, p) + torch.xlogy(1 - p, 1 - p))


def _draw_digit(random):
    while True:
        index = random.randrange(1000)
        if _coin(_test_images()[index]).sum() > 5:  # two of the digits have no grey pixel
            return {"index": index}


def _digit(numbers):
    image = _test_images()[numbers.index]  # (784,)
    shade = image.mean()
    return {
        "one_shade": len(image) * _coin(shade).item(),
        "floor": _coin(image).sum().item(),
        "sigma": (image - shade).square().mean().sqrt().item(),
    }


def _times(factor, *names):
    return lambda n: {name: factor * value for name, value in _digit(n).items() if name in names}


def _white_only(numbers):
    import torch

    image = _test_images()[numbers.index]
    return {
        "one_shade": -image.sum().item() * math.log(image.mean().item()),
        "floor": -torch.xlogy(image, image).sum().item(),
    }


DIGIT = Question(
    name="05-cost-of-your-digit",
    draw=_draw_digit,
    text="Your digit: digits.test_images[{index}], its pixels as they are, grey ones too.",
    answers=_digit,
    unit={"one_shade": "nats", "floor": "nats", "sigma": "pixel values, between 0 and 1"},
    slips=(
        Slip(
            "bits",
            "That is in bits. Take the natural logarithm.",
            _times(1 / math.log(2), "one_shade", "floor"),
        ),
        Slip(
            "per-pixel",
            "That is the cost of one pixel on average. The picture costs the sum over its pixels.",
            _times(1 / 784, "one_shade", "floor"),
        ),
        Slip(
            "white-only",
            "Only −x log p was added up. A pixel that is not white costs something as well.",
            _white_only,
        ),
        Slip(
            "rounded",
            "A decoder that knows every pixel would pay nothing for black and white ones. Yours "
            "are grey: did you round them?",
            lambda n: {"floor": 0.0},
        ),
        Slip(
            "variance",
            "That is σ². The width σ is its square root.",
            lambda n: {"sigma": _digit(n)["sigma"] ** 2},
        ),
        Slip(
            "about-zero",
            "That is the root mean square of the pixels themselves. The error is what is left "
            "after the prediction, the one shade, is subtracted.",
            lambda n: {"sigma": _test_images()[n.index].square().mean().sqrt().item()},
        ),
    ),
)


def _draw_weights(random):
    largest = -random.uniform(90, 140)
    offsets = [0.0, *(random.uniform(0.4, 7) for _ in range(4))]
    random.shuffle(offsets)
    return {"log_weights": [round(largest - offset, 1) for offset in offsets]}


def _bounds(numbers):
    weights, largest = numbers.log_weights, max(numbers.log_weights)
    total = sum(math.exp(weight - largest) for weight in weights)
    return {
        "elbo": sum(weights) / len(weights),
        "bound": largest + math.log(total / len(weights)),
        "share": 1 / total,
    }


WEIGHTS = Question(
    name="05-five-weights",
    draw=_draw_weights,
    text="Your digit's five log-weights, in nats: {log_weights}.",
    answers=_bounds,
    unit={"elbo": "nats", "bound": "nats", "share": "a share, between 0 and 1"},
    rtol=3e-4,
    slips=(
        Slip(
            "no-log-count",
            "That is the logarithm of the sum. The bound takes the mean of the five weights.",
            lambda n: {"bound": _bounds(n)["bound"] + math.log(5)},
        ),
        Slip(
            "log-count-twice",
            "log 5 was subtracted twice: the mean has it already.",
            lambda n: {"bound": _bounds(n)["bound"] - math.log(5)},
        ),
        Slip(
            "largest",
            "That is the largest log-weight alone. It is close, and the others count too.",
            lambda n: {"bound": max(n.log_weights)},
        ),
        Slip(
            "swapped",
            "The mean of the logarithms and the logarithm of the mean are exchanged.",
            lambda n: {"elbo": _bounds(n)["bound"], "bound": _bounds(n)["elbo"]},
        ),
        Slip(
            "sign",
            "Both bounds are bounds on log p(x) here, which is negative.",
            lambda n: {"elbo": -_bounds(n)["elbo"], "bound": -_bounds(n)["bound"]},
        ),
        Slip(
            "summed",
            "That is the sum of the five log-weights. The ELBO estimate is their mean.",
            lambda n: {"elbo": sum(n.log_weights)},
        ),
        Slip(
            "share-of-the-logs",
            "You divided logarithms. The share is one of weights: w / Σ w.",
            lambda n: {"share": max(n.log_weights) / sum(n.log_weights)},
        ),
    ),
)

QUESTIONS = (DIGIT, WEIGHTS)
