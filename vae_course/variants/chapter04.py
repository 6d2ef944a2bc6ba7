r"""Questions of chapter 04 with numbers of one's own."""

import math

from ._question import Question, Slip


def _kl(numbers):
    mean, std = numbers.mean, numbers.std
    kl = (mean**2 + std**2 - 1) / 2 - math.log(std)
    return {"kl": kl, "bits": kl / math.log(2)}


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
            Slip(
                "no-half",
                "Twice the divergence: a factor ½ is missing.",
                lambda n: {key: 2 * value for key, value in _kl(n).items()},
            ),
            Slip(
                "nats-for-bits",
                "That is in nats. A bit is log 2 nats.",
                lambda n: {"bits": _kl(n)["kl"]},
            ),
        ),
    ),
)
