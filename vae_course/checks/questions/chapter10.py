r"""Questions of chapter 10 with numbers of one's own."""

import math
from types import SimpleNamespace

from .question import Question, Slip

# --- 10-a-letter-by-hand: one vector, five codes, and what pulls the vector ---------------------

WEIGHT = 0.25  # of the commitment loss


def _draw_letter(random):
    def pair():
        return [random.randrange(-30, 31) / 10 for _ in range(2)]

    while True:
        drawn = {"z": pair(), "book": [pair() for _ in range(5)], "gradient": pair()}
        n = SimpleNamespace(**drawn)
        near, second = sorted(_distances(n))[:2]
        right = _letter(n)
        pull = right["push"] - n.gradient[0]
        small = min(abs(pull), abs(right["push"]), abs(n.gradient[0])) < 0.1
        if not small and second > near + 0.3 and abs(right["commitment"] - 1) > 0.05:
            return drawn


def _distances(n):
    return [sum((a - b) ** 2 for a, b in zip(n.z, code, strict=True)) for code in n.book]


def _letter(n):
    distances = _distances(n)
    letter = distances.index(min(distances))
    pull = WEIGHT * (n.z[0] - n.book[letter][0])  # 2 (z − e) / 2 numbers, weighed
    return {
        "letter": letter,
        "commitment": distances[letter] / 2,
        "push": n.gradient[0] + pull,
    }


def _largest_product(n):
    products = [sum(a * b for a, b in zip(n.z, code, strict=True)) for code in n.book]
    letter = products.index(max(products))
    return {"letter": letter} if letter != _letter(n)["letter"] else {}


def _pull(n):
    return _letter(n)["push"] - n.gradient[0]


LETTER = Question(
    name="10-a-letter-by-hand",
    draw=_draw_letter,
    text=(
        "Your vector: z = {z}. Your book, letters 0 to 4: {book}. The gradient that the decoder "
        "sends back to its input: {gradient}."
    ),
    answers=_letter,
    unit={"letter": "", "commitment": "squared units", "push": "a derivative"},
    slips=(
        Slip(
            "counted-from-one",
            "You counted the letters from 1. The first one of the book is letter 0.",
            lambda n: {"letter": _letter(n)["letter"] + 1},
        ),
        Slip(
            "largest-product",
            "That letter has the largest inner product with z, which favours long codes. Compare "
            "distances.",
            _largest_product,
        ),
        Slip(
            "summed",
            "That is the sum of the two squared differences. The loss is their mean.",
            lambda n: {"commitment": 2 * _letter(n)["commitment"]},
        ),
        Slip(
            "root",
            "You took a root. The commitment loss is the mean *squared* difference.",
            lambda n: {"commitment": math.sqrt(_letter(n)["commitment"])},
        ),
        Slip(
            "rounding-blocks",
            "The decoder's gradient is missing. Rounding would stop it, but here it is handed "
            "on to z, unchanged.",
            lambda n: {"push": _pull(n)},
        ),
        Slip(
            "no-commitment",
            "That is the decoder's gradient alone. The commitment loss pulls z as well.",
            lambda n: {"push": n.gradient[0]},
        ),
        Slip(
            "wrong-way",
            "The commitment has the wrong sign: its gradient in z is positive where z is larger "
            "than its code, so that a step of descent brings z nearer.",
            lambda n: {"push": n.gradient[0] - _pull(n)},
        ),
        Slip(
            "unweighted",
            "The weight of the commitment loss, a quarter, is missing.",
            lambda n: {"push": n.gradient[0] + _pull(n) / WEIGHT},
        ),
    ),
)

# --- 10-the-bill: what a digit costs on the line ------------------------------------------------

PLACES = 49  # letters a digit


def _draw_bill(random):
    size, silent = random.randrange(9, 15), random.randrange(2, 5)
    counts = [0] * silent + [random.randrange(10, 400) for _ in range(size - silent)]
    random.shuffle(counts)
    return {"size": size, "counts": counts}


def _entropy(n):
    total = sum(n.counts)
    return -sum(c / total * math.log(c / total) for c in n.counts if c)  # nats a letter


def _bill(n):
    return {
        "flat": PLACES * math.log2(n.size),
        "perplexity": math.exp(_entropy(n)),
        "fair": PLACES * _entropy(n) / math.log(2),
    }


BILL = Question(
    name="10-the-bill",
    draw=_draw_bill,
    text="Your book has {size} letters. How often each was sent last month: {counts}.",
    answers=_bill,
    unit={"flat": "bits a digit", "perplexity": "letters", "fair": "bits a digit"},
    slips=(
        Slip(
            "nats",
            "Those are nats. A bit is log 2 nats: take the logarithm to the base 2.",
            lambda n: {part: _bill(n)[part] * math.log(2) for part in ("flat", "fair")},
        ),
        Slip(
            "one-letter",
            "That is the price of one letter. A digit has 49.",
            lambda n: {part: _bill(n)[part] / PLACES for part in ("flat", "fair")},
        ),
        Slip(
            "letters-that-occur",
            "That counts the letters that occur. The flat rate knows nothing of last month, and "
            "the perplexity weighs each letter by how often it was sent.",
            lambda n: {
                "flat": PLACES * math.log2(sum(c > 0 for c in n.counts)),
                "perplexity": float(sum(c > 0 for c in n.counts)),
            },
        ),
        Slip(
            "entropy",
            "That is the entropy in nats. The perplexity is its exponential.",
            lambda n: {"perplexity": _entropy(n)},
        ),
        Slip(
            "bits-in-exp",
            "The entropy was in bits, and exp needs nats (bits go with 2 to the power).",
            lambda n: {"perplexity": math.exp(_entropy(n) / math.log(2))},
        ),
        Slip(
            "squared-shares",
            "That is one over the sum of squared shares, another way of counting. Asked is exp of "
            "the entropy.",
            lambda n: {"perplexity": sum(n.counts) ** 2 / sum(count**2 for count in n.counts)},
        ),
    ),
)

QUESTIONS = (LETTER, BILL)
