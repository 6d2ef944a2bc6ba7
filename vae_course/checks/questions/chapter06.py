r"""Questions of chapter 06 with numbers of one's own."""

import math
from types import SimpleNamespace

from .question import Question, Slip

# --- 06-one-weighing: the best possible judge at one point ------------------------------------


def _draw_weighing(random):
    while True:
        drawn = _weighing(random)
        if abs(_judged(SimpleNamespace(**drawn))["judge"] - 0.5) > 0.03:  # D and 1 − D differ
            return drawn


def _weighing(random):
    width = round(random.uniform(0.04, 0.07), 3)
    side = random.choice((-1, 1))
    forged_width = round(width * random.uniform(1.5, 2.6), 3)
    forged = round(8.5 + side * random.uniform(1.2, 2.4) * width, 3)
    return {
        "real_width": width,
        "forged_mean": forged,
        "forged_width": forged_width,
        "weight": round(8.5 + side * random.uniform(0.7, 1.5) * width, 3),
    }


def _density(x, mean, std, *, norm=True):
    height = 1 / (std * math.sqrt(2 * math.pi)) if norm else 1.0
    return height * math.exp(-0.5 * ((x - mean) / std) ** 2)


def _judged(n, **options):
    real = _density(n.weight, 8.5, n.real_width, **options)
    forged = _density(n.weight, n.forged_mean, n.forged_width, **options)
    return _from_judge(real / (real + forged))


def _from_judge(judge):
    return {"judge": judge, "cost": -math.log(judge), "stronger": (1 - judge) / judge}


WEIGHING = Question(
    name="06-one-weighing",
    draw=_draw_weighing,
    text=(
        "Genuine 2-euro coins: mean 8.5 g, standard deviation {real_width} g. Forged ones: mean "
        "{forged_mean} g, standard deviation {forged_width} g. On the scale: {weight} g."
    ),
    answers=_judged,
    unit={"judge": "probabilities", "cost": "nats", "stronger": "times"},
    slips=(
        Slip(
            "judge-of-forgeries",
            "That belongs to q / (p + q), the probability of a forgery. D says how likely the coin "
            "is genuine.",
            lambda n: _from_judge(1 - _judged(n)["judge"]),
        ),
        Slip(
            "no-widths",
            "The densities lack their factor 1 / σ. The two widths differ, so it does not cancel.",
            lambda n: _judged(n, norm=False),
        ),
        Slip(
            "density-for-probability",
            "That is the density of genuine coins itself. D compares it with that of the forged.",
            lambda n: {"judge": _density(n.weight, 8.5, n.real_width)},
        ),
        Slip(
            "bits",
            "That is in bits. Take the natural logarithm.",
            lambda n: {"cost": _judged(n)["cost"] / math.log(2)},
        ),
        Slip(
            "cost-of-a-forgery",
            "That is −log(1 − D), what a forged coin of this weight costs. Yours is genuine.",
            lambda n: {"cost": -math.log(1 - _judged(n)["judge"])},
        ),
    ),
)

# --- 06-bag-of-forgeries: pieces on the plane, counted ----------------------------------------

EURO_COINS = (  # grams, millimetres
    (2.30, 16.25), (3.06, 18.75), (3.92, 21.25), (4.10, 19.75),
    (5.74, 22.25), (7.80, 24.25), (7.50, 23.25), (8.50, 25.75),
)  # fmt: skip
CENTERS = tuple(((gram - 5.4) / 1.6, (mm - 21.5) / 2.0) for gram, mm in EURO_COINS)
RADIUS = 0.2


def _nearest(x, y):
    distances = [math.hypot(x - a, y - b) for a, b in CENTERS]
    return min(distances), distances.index(min(distances))


def _piece(random, center, low, high):
    r"""A point whose nearest centre is this one, at a distance from low to high."""
    while True:
        angle, far = random.uniform(0, 2 * math.pi), random.uniform(low, high)
        x = round(CENTERS[center][0] + far * math.cos(angle), 2)
        y = round(CENTERS[center][1] + far * math.sin(angle), 2)
        distance, nearest = _nearest(x, y)
        if nearest == center and low - 0.02 < distance < high + 0.02:
            return x, y


def _draw_bag(random):
    forged = random.sample(range(8), random.randint(3, 6))
    counts = [random.choice((2, 3, 6)), *(random.choice((1, 2, 3, 6)) for _ in forged[1:])]
    hits = [
        _piece(random, c, 0, 0.15) for c, n in zip(forged, counts, strict=True) for _ in range(n)
    ]
    stray = random.choice([count for count in range(4, 10) if count != 8 - len(forged)])
    strays = [_piece(random, random.randrange(8), 0.28, 0.4) for _ in range(stray)]
    pieces = hits + strays
    random.shuffle(pieces)
    return {"pieces": pieces}


def _counted(n, *, radius=RADIUS, strays_too=False):
    nearest = [_nearest(*piece) for piece in n.pieces]
    on = [center for distance, center in nearest if distance <= radius]
    counts = [on.count(center) for center in sorted(set(on))]
    stray = len(nearest) - len(on)
    shares = counts + [stray] * (strays_too and stray > 0)
    entropy = -sum(c / sum(shares) * math.log(c / sum(shares)) for c in shares)
    return {"covered": len(counts), "stray": stray, "effective": math.exp(entropy)}


BAG = Question(
    name="06-bag-of-forgeries",
    draw=_draw_bag,
    text="Your bag (x, y on the plane of coins): {pieces}",
    answers=_counted,
    unit={"covered": "denominations", "stray": "pieces", "effective": "denominations"},
    slips=(
        Slip(
            "pieces-counted",
            "Those are the pieces that lie on some coin. Asked is how many denominations have one.",
            lambda n: {"covered": len(n.pieces) - _counted(n)["stray"]},
        ),
        Slip(
            "coins-left-out",
            "Those are the denominations that nobody forged. Asked are pieces that lie on no coin.",
            lambda n: {"stray": 8 - _counted(n)["covered"]},
        ),
        Slip(
            "squared-distance",
            "You compared the squared distance with the radius. Take the root, or square both.",
            lambda n: {"stray": _counted(n, radius=math.sqrt(RADIUS))["stray"]},
        ),
        Slip(
            "entropy",
            "That is the entropy in nats. The effective number is its exponential.",
            lambda n: {"effective": math.log(_counted(n)["effective"])},
        ),
        Slip(
            "strays-too",
            "The strays were counted as one more denomination. They belong to none: leave them "
            "out before you take shares.",
            lambda n: {"effective": _counted(n, strays_too=True)["effective"]},
        ),
    ),
)

QUESTIONS = (WEIGHING, BAG)
