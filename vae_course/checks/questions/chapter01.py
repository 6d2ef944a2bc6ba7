r"""Questions of chapter 01 with numbers of one's own."""

from functools import cache

from .question import Question, Slip

# --- 01-the-link: values and bits of a message -------------------------------------------------


def _draw_link(random):
    return {
        "channels": random.choice((2, 3, 4)),
        "height": random.randrange(24, 49, 4),
        "width": random.randrange(52, 97, 4),
        "pixel_bits": random.choice((8, 10, 12)),
        "kept": random.randrange(12, 41, 2),
        "number_bits": random.choice((16, 32)),
    }


def _values(n):
    return n.channels * n.height * n.width


def _link(n):
    ratio = _values(n) / n.kept
    return {
        "ratio": ratio,
        "bit_ratio": ratio * n.pixel_bits / n.number_bits,
        "most": (_values(n) * n.pixel_bits - 1) // n.number_bits,
    }


# --- 01-last-week: a plane fitted to some digits, asked about others --------------------


@cache
def _digits():
    r"""Training and test digits as (N, 784) and (1000, 784) in double precision."""
    from vae_course import data

    digits = data.load_images("mnist-5k")
    return digits.train_images.flatten(1).double(), digits.test_images.flatten(1).double()


def _fit(images):
    r"""Mean (784,) and directions, strongest first, a row each, of images (N, 784)."""
    import torch

    mean = images.mean(dim=0)
    centred = images - mean
    if len(images) < images.shape[1]:
        return mean, torch.linalg.svd(centred, full_matrices=False).Vh
    return mean, torch.linalg.eigh(centred.T @ centred).eigenvectors.flip(1).T


@cache
def _fitted(part: int):
    r"""Of all training images (0) or all test images (1)."""
    return _fit(_digits()[part])


def _week(first: int):
    r"""Fifty test digits in a row: (50, 784)."""
    return _digits()[1][first : first + 50]


def _errors(first: int, *, fitted_on: str = "train"):
    r"""Mean error of fifty test digits on the plane of 0, 1, 2, … components.

    fitted_on: "train", "test", or "week" for the fifty digits themselves
    """
    import torch

    digits = _week(first)
    mean, directions = _fit(digits) if fitted_on == "week" else _fitted(int(fitted_on == "test"))
    away = digits - mean
    kept = (away @ directions.T).square().cumsum(dim=1)  # (50, components)
    kept = torch.cat([kept.new_zeros(len(kept), 1), kept], dim=1)
    return (away.square().sum(dim=1, keepdim=True) - kept).clamp(min=0).mean(dim=0) / 784


def _draw_last_week(random):
    first = random.randrange(950)
    return {
        "first": first,
        "last": first + 49,
        "k": random.randrange(10, 31),
        "limit": round(random.uniform(0.008, 0.016), 4),
    }


def _share(errors, k):
    return 1 - float(errors[k] / errors[0])


def _last_week(n, *, shift=0, fitted_on="train"):
    errors = _errors(n.first, fitted_on=fitted_on)
    return {
        "error": float(errors[n.k + shift]),
        "share": _share(errors, n.k + shift),
        "enough": int((errors > n.limit).sum()),  # the errors fall: the first one at the limit
    }


def _left_over(n):
    return {"share": 1 - _last_week(n)["share"]}


def _summed(n):
    return {"error": 784 * _last_week(n)["error"]}


def _origin_for_mean(n):
    r"""The share is taken of the digits' squared length, not of their distance from the mean."""
    length = float(_week(n.first).square().mean())
    return {"share": 1 - _last_week(n)["error"] / length}


QUESTIONS = (
    Question(
        name="01-the-link",
        draw=_draw_link,
        text="Your camera: {channels} channels, {height} rows, {width} columns, {pixel_bits} bits "
             "a value.\n"
             "Your message: {kept} numbers of {number_bits} bits each.",
        answers=_link,
        unit={
            "ratio": "values in per number sent",
            "bit_ratio": "bits in per bit sent",
            "most": "numbers",
        },
        slips=(
            Slip("channels-dropped",
                 "The channels are missing: each pixel has one value a channel.",
                 lambda n: {key: value / n.channels for key, value in _link(n).items()}),
            Slip("inverted", "Upside down: what goes in stands on top, what is sent below.",
                 lambda n: {key: 1 / _link(n)[key] for key in ("ratio", "bit_ratio")}),
            Slip("values-for-bits",
                 "That compares values with numbers. A value and a number don't have the same "
                 "count of bits.",
                 lambda n: {"bit_ratio": _link(n)["ratio"], "most": _values(n) - 1}),
            Slip("bits-exchanged", "The two counts of bits changed places.",
                 lambda n: {"bit_ratio": _link(n)["ratio"] * n.number_bits / n.pixel_bits}),
            Slip("one-too-many",
                 "With that many the message is at least as long as the picture: it has to be "
                 "shorter.", lambda n: {"most": _link(n)["most"] + 1}),
        ),
        rtol=3e-3,
    ),
    Question(
        name="01-last-week",
        draw=_draw_last_week,
        text="Your fifty digits: test images {first} to {last}.\n"
             "Components: k = {k}. Limit: {limit}.",
        answers=_last_week,
        unit={
            "error": "squared pixel values, averaged over pixels and digits",
            "share": "parts of 1",
            "enough": "components",
        },
        slips=(
            Slip("fitted-on-the-test-digits",
                 "Mean and directions come from the test digits. The hut chose its plane before "
                 "it saw these digits: fit on the training images.",
                 lambda n: {"error": _last_week(n, fitted_on="test")["error"]}),
            Slip("fitted-on-your-digits",
                 "The plane was fitted to your fifty digits themselves: no error is left to be "
                 "surprised by. Fit on the training images, then send yours through.",
                 lambda n: {"error": _last_week(n, fitted_on="week")["error"]}),
            Slip("summed",
                 "The squares are summed over the pixels of a digit; they are to be averaged.",
                 _summed),
            Slip("one-component-short", "That is with k − 1 components.",
                 lambda n: {"error": _last_week(n, shift=-1)["error"]}),
            Slip("one-component-more", "That is with k + 1 components.",
                 lambda n: {"error": _last_week(n, shift=1)["error"]}),
            Slip("what-is-left",
                 "That is the share that is lost. Asked for is the share that the plane keeps.",
                 _left_over),
            Slip("measured-from-black",
                 "That is a share of the distance from a black image. What costs nothing is the "
                 "mean image: measure from there.", _origin_for_mean),
            Slip("one-short-of-enough",
                 "One component fewer is still above the limit: an index counts from 0, "
                 "components from 1.", lambda n: {"enough": _last_week(n)["enough"] - 1}),
        ),
        rtol=1e-3,
    ),
)  # fmt: skip
