r"""Questions of chapter 08 with numbers of one's own."""

import math
from functools import cache
from types import SimpleNamespace

from .question import Question, Slip

# --- 08-your-line: a line of one's own under a shipped model ------------------------------------

SPEAKERS = (
    "ROMEO", "JULIET", "MERCUTIO", "PETRUCHIO", "KATHARINA", "MENENIUS", "CORIOLANUS", "GLOUCESTER",
    "BUCKINGHAM", "LEONTES", "PAULINA", "PROSPERO", "ANGELO", "ISABELLA", "WARWICK",
)  # fmt: skip
OPENINGS = ("I prithee", "Now by my faith", "Good my lord", "Alas the day", "O gentle sir")
ENDINGS = (
    "the king is at th", "my heart doth sp", "he hath a sword an", "this is the qu",
)  # fmt: skip


@cache
def _logits(text):
    r"""Logits (T, V) after each character of the text, and its tokens (T,)."""
    import torch

    model, tokenizer = _model()
    tokens = tokenizer.encode(text)
    with torch.no_grad():
        return model(tokens[None])[0].double(), tokens


@cache
def _model():
    from vae_course.pretrained import load_gpt

    model, tokenizer, _ = load_gpt("gpt-shakespeare-minutes")
    return model, tokenizer


def _draw_line(random):
    while True:
        words = f"{random.choice(OPENINGS)}, {random.choice(ENDINGS)}"
        line = f"{random.choice(SPEAKERS)}:\n{words}"
        top = _line(SimpleNamespace(line=line))["top"]
        if 0.2 < top < 0.9:  # neither sure nor clueless: the temperature makes a difference
            return {"line": line}


def _losses(n, *, shift=1):
    logits, tokens = _logits(n.line)
    log_probs = logits.log_softmax(dim=-1)[: len(tokens) - shift]
    return -log_probs.gather(1, tokens[shift:, None])[:, 0]  # (T − shift,)


def _top(n, temperature):
    logits, _ = _logits(n.line)
    return (logits[-1] / temperature).softmax(dim=-1).max().item()


def _line(n):
    return {"nats": _losses(n).mean().item(), "top": _top(n, 1.0), "cold": _top(n, 0.5)}


LINE = Question(
    name="08-your-line",
    draw=_draw_line,
    text="Your line, as Python writes it: {line!r}",
    answers=_line,
    unit={"nats": "nats per character", "top": "a probability", "cold": "a probability"},
    slips=(
        Slip(
            "bits",
            "That is in bits per character. Nats were asked for.",
            lambda n: {"nats": _losses(n).mean().item() / math.log(2)},
        ),
        Slip(
            "summed",
            "That is the cost of the whole line. Asked is the average per character.",
            lambda n: {"nats": _losses(n).sum().item()},
        ),
        Slip(
            "not-shifted",
            "Logits and characters are not shifted: the logits at a place predict the *next* "
            "character.",
            lambda n: {"nats": _losses(n, shift=0).mean().item()},
        ),
        Slip(
            "temperature-multiplied",
            "The logits were multiplied by the temperature. Cold makes the likely likelier.",
            lambda n: {"cold": _top(n, 2.0)},
        ),
        Slip(
            "not-normalised",
            "p² is not a probability yet: the squares of all characters have to sum to 1 again.",
            lambda n: {"cold": _top(n, 1.0) ** 2},
        ),
        Slip(
            "temperature-forgotten",
            "That is the probability at temperature 1.",
            lambda n: {"cold": _top(n, 1.0)},
        ),
        Slip(
            "last-seen",
            "That is how likely the line's own last character was. Asked is the one to come.",
            lambda n: {"top": math.exp(-_losses(n)[-1].item())},
        ),
    ),
)

# --- 08-who-looks-where: causal attention by hand ---------------------------------------------


def _draw_attention(random):
    def numbers(count):
        return [random.randrange(-15, 16) / 10 for _ in range(count)]

    while True:
        drawn = {
            "query": numbers(4),
            "keys": [numbers(4) for _ in range(3)],
            "values": [random.randrange(-50, 51) / 10 for _ in range(3)],
        }
        right, wrong = _attend(SimpleNamespace(**drawn)), _attention_slips(SimpleNamespace(**drawn))
        apart = [
            abs(value - right[name]) > 0.03 * abs(right[name]) + 1e-3
            for slip in wrong.values()
            for name, value in slip.items()
        ]
        if all(apart) and abs(right["output"]) > 0.05:
            return drawn


def _attend(n, *, scale=2.0, seen=2):
    scores = [
        sum(q * k for q, k in zip(n.query, key, strict=True)) / scale for key in n.keys[:seen]
    ]
    total = sum(math.exp(score) for score in scores)
    weights = [math.exp(score) / total for score in scores]
    output = sum(w * v for w, v in zip(weights, n.values, strict=False))
    return {"first": n.values[0], "weight": weights[1], "output": output}


def _pick(answers, *names):
    return {name: answers[name] for name in names}


def _attention_slips(n):
    right = _attend(n)
    return {
        "no-mask": _pick(_attend(n, seen=3), "weight", "output"),
        "no-scale": _pick(_attend(n, scale=1.0), "weight", "output"),
        "divided-by-channels": _pick(_attend(n, scale=4.0), "weight", "output"),
        "swapped": {
            "weight": 1 - right["weight"],
            "output": n.values[0] + n.values[1] - right["output"],
        },
        "average": {"first": sum(n.values) / 3, "output": sum(n.values[:2]) / 2},
    }


_ATTENTION_HINTS = {
    "no-mask": "The third position was looked at. For the second one it is the future.",
    "no-scale": "The scores were not divided by the root of the number of channels.",
    "divided-by-channels": "The scores were divided by the number of channels, not by its root.",
    "swapped": "The weights of the first and the second position are exchanged.",
    "average": "That is a plain average. The weights come from the scores, by a softmax over what "
    "may be seen.",
}

ATTENTION = Question(
    name="08-who-looks-where",
    draw=_draw_attention,
    text=(
        "The second position's query: {query}. The keys of the three positions: {keys}. Their "
        "values, one number each: {values}."
    ),
    answers=_attend,
    unit={"first": "", "weight": "a share", "output": ""},
    slips=tuple(
        Slip(name, hint, lambda n, name=name: _attention_slips(n)[name])
        for name, hint in _ATTENTION_HINTS.items()
    ),
)

QUESTIONS = (LINE, ATTENTION)
