r"""Questions of chapter 09 with numbers of one's own."""

import math
from types import SimpleNamespace

from .question import Question, Slip

_HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)

# --- 09-a-bottle: one number of one bottle, from the file to nats --------------------------------


def _draw_bottle(random):
    while True:
        drawn = {
            "mean": random.randrange(6000, 9000) / 10,
            "std": random.randrange(1500, 3500) / 10,
            "value": random.randrange(3000, 15000) / 10,
            "output": random.randrange(-15, 16) / 10,
            "sigma": random.randrange(20, 81) / 100,
        }
        n = SimpleNamespace(**drawn)
        right, wrong = _bottle(n), [wrong(n) for wrong in _BOTTLE_SLIPS.values()]
        apart = all(
            abs(value - right[name]) > 0.03 * abs(right[name]) + 0.01
            for slip in wrong
            for name, value in slip.items()
        )
        if apart and 0.2 < abs(right["z"]) < 2.5 and 0.1 < right["nats"] < 15:
            return drawn


def _z(n):
    return (n.value - n.mean) / n.std


def _off(n):
    return (_z(n) - n.output) / n.sigma


def _bottle(n):
    nats = 0.5 * _off(n) ** 2 + math.log(n.sigma) + _HALF_LOG_2PI
    return {"z": _z(n), "nats": nats, "in_units": nats + math.log(n.std)}


_BOTTLE_SLIPS = {
    "variance": lambda n: {"z": (n.value - n.mean) / n.std**2},
    "not-centred": lambda n: {"z": n.value / n.std},
    "constant-dropped": lambda n: {"nats": _bottle(n)["nats"] - _HALF_LOG_2PI},
    "half-missing": lambda n: {"nats": _bottle(n)["nats"] + 0.5 * _off(n) ** 2},
    "log-sigma-dropped": lambda n: {"nats": _bottle(n)["nats"] - math.log(n.sigma)},
    "sigma-for-variance": lambda n: {
        "nats": 0.5 * (_z(n) - n.output) ** 2 / n.sigma + math.log(n.sigma) + _HALF_LOG_2PI
    },
    "unit-ignored": lambda n: {"in_units": _bottle(n)["nats"]},
    "unit-the-wrong-way": lambda n: {"in_units": _bottle(n)["nats"] - math.log(n.std)},
}
_BOTTLE_HINTS = {
    "variance": "The difference was divided by the variance. One standard deviation is the unit.",
    "not-centred": "The mean was not taken off before the division.",
    "constant-dropped": "The constant ½ log 2π is missing.",
    "half-missing": "The squared deviation counts half.",
    "log-sigma-dropped": "log σ is missing: a wide Gaussian spreads its probability thin.",
    "sigma-for-variance": "The squared deviation was divided by σ. It is measured in σ, so σ² "
    "divides its square.",
    "unit-ignored": "A density has a unit. In the file's unit the same Gaussian is wider, and its "
    "density lower.",
    "unit-the-wrong-way": "The unit counts the other way round: in the file's unit the Gaussian is "
    "`std` times as wide, so its density is lower and the nats are more.",
}

BOTTLE = Question(
    name="09-a-bottle",
    draw=_draw_bottle,
    text=(
        "Proline: mean {mean}, std {std} over the training rows; your bottle has {value}. For the "
        "standardised column the decoder says mean {output}, σ = {sigma}."
    ),
    answers=_bottle,
    unit={"z": "standard deviations", "nats": "nats", "in_units": "nats"},
    slips=tuple(
        Slip(name, _BOTTLE_HINTS[name], wrong) for name, wrong in _BOTTLE_SLIPS.items()
    ),
)

# --- 09-what-the-loss-says: β of a loss that nobody shows -----------------------------------------


def _draw_loss(random):
    while True:
        beta = random.choice((0.1, 0.25, 0.5, 3, 5, 8, 13, 20))
        scale = random.choice((0.01, 0.05, 0.2, 4, 16, 32))
        constant = random.randrange(3, 15)
        nll = [random.randrange(80, 200) / 10 for _ in range(4)]
        kl = [random.randrange(10, 90) / 10 for _ in range(4)]
        loss = [round(scale * (r + beta * k + constant), 5) for r, k in zip(nll, kl, strict=True)]
        drawn = {"loss": loss, "nll": nll, "kl": kl}
        n = SimpleNamespace(**drawn)
        if abs(_determinant(n)) < 15:
            continue
        right = _loss(n)
        wrong = [slip(n) for slip in _LOSS_SLIPS.values()]
        apart = all(
            abs(value - right[name]) > 0.03 * abs(right[name]) + 1e-4
            for each in wrong
            for name, value in each.items()
        )
        if apart and abs(right["beta"] / beta - 1) < 1e-3:
            return drawn


def _steps(n):
    r"""How loss, reconstruction and KL differ from the first probe, at the second and third."""
    return [[values[i] - values[0] for i in (1, 2)] for values in (n.loss, n.nll, n.kl)]


def _determinant(n):
    _, r, k = _steps(n)
    return r[0] * k[1] - r[1] * k[0]


def _loss(n):
    v, r, k = _steps(n)
    of_nll = (v[0] * k[1] - v[1] * k[0]) / _determinant(n)
    of_kl = (r[0] * v[1] - r[1] * v[0]) / _determinant(n)
    return {"beta": of_kl / of_nll, "scale": of_nll}


_LOSS_SLIPS = {
    "inverted": lambda n: {"beta": 1 / _loss(n)["beta"]},
    "scale-left-in": lambda n: {"beta": _loss(n)["beta"] * _loss(n)["scale"]},
    "scale-of-the-kl": lambda n: {"scale": _loss(n)["beta"] * _loss(n)["scale"]},
    "no-scale": lambda n: {"beta": (n.loss[0] - n.nll[0]) / n.kl[0]},
    "quotient": lambda n: {"scale": n.loss[0] / (n.nll[0] + n.kl[0])},
}
_LOSS_HINTS = {
    "inverted": "That is 1/β: the weight of the reconstruction against that of the KL.",
    "scale-left-in": "That is the KL's weight in the loss as it stands. β is this weight divided "
    "by the reconstruction's.",
    "scale-of-the-kl": "That is the weight of the KL. The scale is the reconstruction's weight.",
    "no-scale": "From one probe alone, and with the scale taken as 1 and the constant as 0. Use "
    "how the probes differ.",
    "quotient": "loss / (reconstruction + KL) is the scale only if β is 1 and nothing is constant.",
}

LOSS = Question(
    name="09-what-the-loss-says",
    draw=_draw_loss,
    text="At four probes the loss was {loss}, the reconstruction {nll}, the KL {kl} (nats).",
    answers=_loss,
    unit={"beta": "", "scale": ""},
    slips=tuple(Slip(name, _LOSS_HINTS[name], wrong) for name, wrong in _LOSS_SLIPS.items()),
)

QUESTIONS = (BOTTLE, LOSS)
