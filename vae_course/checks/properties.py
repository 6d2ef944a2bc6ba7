r"""What exercises of several chapters share: reductions gone wrong, properties of right answers.

Of a wrong answer that nobody listed, the first property that fails is told. So they go from what
is plain to see (one image, one pixel, a number known by heart) to what is not (an overflow).
"""

import math
from collections.abc import Callable

import torch

from . import draw
from .definition import Exercise
from .values import close

HALF = "The ½ is missing: it comes from the exponent of the Gaussian, −½ (z − μ)² / σ²."
MEAN_OVER_LATENTS = (
    "You averaged over the latent dimensions. Independent dimensions add up; with an average the "
    "KL counts D times too little: an unstated β of 1/D."
)
SHAPES = ((6,), (1, 4, 3), (2, 3, 5))  # of one image: flat, grey, in colour


def reductions(exercise: Exercise) -> None:
    r"""Known mistakes of `.sum(dim=1)`, (B, D) to (B,)."""
    for name, new, hint in (
        ("per-dimension", "", "One number per image and dimension came back. The dimensions of a "
         "diagonal Gaussian are independent, so their KLs add up: one number per image."),
        ("averaged-over-latents", ".mean(dim=1)", MEAN_OVER_LATENTS),
        ("summed-over-images", ".sum(dim=0)", "You summed over axis 0, the images: what is left is "
         "one number per latent dimension. Add up the dimensions (axis 1) and keep the images "
         "apart."),
        ("summed-over-everything", ".sum()", "Images and dimensions were added up together, so one "
         "number is left and it grows with the batch. Keep one KL per image; the batch is averaged "
         "in the training step."),
        ("averaged-over-everything", ".mean()", "Everything was averaged, images and dimensions. "
         "Add the dimensions up and keep the images apart: this average hides a β of 1/D."),
        ("averaged-over-images-too", ".sum(dim=1).mean()", "The images were averaged too. That "
         "belongs in the training step, where it can be seen: return one KL per image."),
        ("keeps-an-axis", ".sum(dim=1, keepdim=True)", "The shape is (B, 1), not (B,). Added to a "
         "reconstruction loss of shape (B,) it would broadcast to (B, B) without a word."),
    ):  # fmt: skip
        exercise.mistake(name, edit=(".sum(dim=1)", new), hint=hint)


def structure(exercise: Exercise, count: int, *noise: torch.Tensor) -> None:
    r"""How the values of images and dimensions hang together; count: of the (B, D) arguments."""

    def some(batch=4):
        return [draw.fixed(batch, 3, seed=7 + i) for i in range(count)]

    def dimensions_add_up(function):
        args = [*some(), *noise]
        parts = [function(*(a[..., d : d + 1] for a in args)) for d in range(3)]
        return close(function(*args), sum(parts))

    exercise.must(
        "one-image",
        lambda f: f(*some(1), *(n[:, :1] for n in noise)).shape == (1,),
        hint="A batch of one image, shape (1, D), must give shape (1,): look for a `squeeze`, or "
        "for an index that only works on larger batches.",
    )
    exercise.must(
        "adds-up",
        dimensions_add_up,
        hint="The answer for all dimensions is not the sum of the answers for each dimension "
        "alone. The KL of a diagonal Gaussian is: is one left out, or a constant used once "
        "instead of D times?",
    )
    exercise.must(
        "stands-alone",
        lambda f: stand_alone(f, *some(), *noise, dim=-2),
        hint="The KL of an image changes with the other images in the batch (their number, say). "
        "Each image stands alone.",
    )


def stand_alone(function: Callable, *args: torch.Tensor, dim: int = 0) -> bool:
    r"""The answer for a batch is that of its images one by one, in order."""
    count = args[0].shape[dim]
    parts = [function(*(a.narrow(dim, i, 1) for a in args)) for i in range(count)]
    whole = function(*args)
    return whole.dim() == 1 and close(whole, torch.stack(parts).reshape(-1))


def gives(function: Callable, expected: float, *values: list) -> bool:
    r"""f(values) is `expected`, one number."""
    value = float(function(*map(torch.tensor, values)))
    return math.isclose(value, expected, rel_tol=1e-3, abs_tol=1e-5)


def image_case(generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    r"""Logits and image, (B, P), (B, 1, H, W), (B, 2, H, W): consecutive seeds, all three."""
    kinds = (("P",), (1, "H", "W"), (2, "H", "W"))
    shape = ("B", *kinds[generator.initial_seed() % 3])
    image = draw.pixels(generator, *shape)
    return draw.normal(generator, *shape, scale=1.5), image


def fixed_image(*shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    return draw.fixed(*shape, seed=9), draw.pixels(draw.case(9), *shape)


def pixel(function: Callable, logit: float, value: float) -> float:
    r"""The answer for one image of one pixel, as a number."""
    return float(function(torch.tensor([[float(logit)]]), torch.tensor([[float(value)]])))


def far_logits() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    r"""Sure and wrong twice, sure and right, in one batch: (logits, image, nats of each image)."""
    sign = torch.tensor([[1.0], [-1.0], [1.0]]).expand(3, 4)
    image = torch.tensor([[0.0], [1.0], [1.0]]).expand(3, 4)
    return 200.0 * sign, image.clone(), 4 * torch.tensor([200.0, 200.0, 0.0])
