r"""What the exercises on KLs share: reductions gone wrong, and properties of every right answer."""

import math

import torch

from . import _draw as draw
from ._exercise import Mistake, Property

HALF = "The ½ is missing: it comes from the exponent of the Gaussian, −½ (z − μ)² / σ²."
_PER_DIMENSION = (
    "One number per image and dimension came back. The dimensions of a diagonal Gaussian are "
    "independent, so their KLs add up: one number per image."
)
MEAN_OVER_LATENTS = (
    "You averaged over the latent dimensions. Independent dimensions add up; with an average the "
    "KL counts D times too little: an unstated β of 1/D."
)
_OVER_BATCH = (
    "You summed over axis 0, the images: what is left is one number per latent dimension. Add up "
    "the dimensions (axis 1) and keep the images apart."
)
_ONE_NUMBER = (
    "Images and dimensions were added up together, so one number is left and it grows with the "
    "batch. Keep one KL per image; the batch is averaged in the training step."
)
_BATCH_MEAN = (
    "The images were averaged too. That belongs in the training step, where it can be seen: "
    "return one KL per image."
)
_GRADIENT = (
    "The gradient does not follow the values: it has to reach every argument through every term. "
    "Look for `.detach()`, `.item()`, `.data`, NumPy or `torch.no_grad()`. As a loss it would "
    "train nothing, or the wrong thing."
)
_ONE_IMAGE = (
    "A batch of one image, shape (1, D), must give shape (1,): look for a `squeeze`, or for an "
    "index that only works on larger batches."
)


def reduce(slips, per_dimension):
    r"""(B, D) → what the student's reduction makes of it; without slips (B,)."""
    if "per-dimension" in slips:
        return per_dimension
    if "averaged-over-latents" in slips:
        return per_dimension.mean(dim=1)
    if "summed-over-images" in slips:
        return per_dimension.sum(dim=0)
    if "summed-over-everything" in slips:
        return per_dimension.sum()
    if "averaged-over-everything" in slips:
        return per_dimension.mean()
    if "averaged-over-images-too" in slips:
        return per_dimension.sum(dim=1).mean()
    if "keeps-an-axis" in slips:
        return per_dimension.sum(dim=1, keepdim=True)
    return per_dimension.sum(dim=1)


REDUCTIONS = (
    Mistake("per-dimension", _PER_DIMENSION),
    Mistake("averaged-over-latents", MEAN_OVER_LATENTS),
    Mistake("summed-over-images", _OVER_BATCH),
    Mistake("summed-over-everything", _ONE_NUMBER),
    Mistake(
        "averaged-over-everything",
        "Everything was averaged, images and dimensions. Add the "
        "dimensions up and keep the images apart: this average hides a β of 1/D.",
    ),
    Mistake("averaged-over-images-too", _BATCH_MEAN),
    Mistake(
        "keeps-an-axis",
        "The shape is (B, 1), not (B,). Added to a reconstruction loss of "
        "shape (B,) it would broadcast to (B, B) without a word.",
    ),
)


# Of a wrong answer that nobody listed, the first property that fails is told.


def fixed(count, *, batch=4, latent=3):
    generator = torch.Generator().manual_seed(7)
    return [draw.normal(generator, batch, latent) for _ in range(count)]


NOISE = draw.normal(torch.Generator().manual_seed(8), 5, 4, 3)


def gives(function, expected, *values) -> bool:
    r"""One image, one dimension: f(values) is `expected`."""
    return math.isclose(
        float(function(*map(torch.tensor, values))), expected, rel_tol=1e-3, abs_tol=1e-5
    )


def _dimensions_add_up(function, *args) -> bool:
    parts = [function(*(a[..., d : d + 1] for a in args)) for d in range(args[0].shape[-1])]
    return torch.allclose(function(*args), sum(parts), rtol=1e-3, atol=1e-4)


def _images_stand_alone(function, *args) -> bool:
    parts = [function(*(a[..., i : i + 1, :] for a in args)) for i in range(len(args[0]))]
    return torch.allclose(function(*args), torch.stack(parts).reshape(-1), rtol=1e-3, atol=1e-4)


def _gradient_follows_values(function, *args) -> bool:
    r"""Autograd against a small step, one argument at a time: right for a wrong formula too."""
    for index, arg in enumerate(args):
        leaf = arg.clone().requires_grad_()
        function(*args[:index], leaf, *args[index + 1 :]).sum().backward()
        step = 1e-2 * torch.linspace(0.5, 1.5, arg.numel()).view_as(arg)
        ahead, behind = (
            function(*args[:index], arg + sign * step, *args[index + 1 :]).sum() for sign in (1, -1)
        )
        slope, expected = float((leaf.grad * step).sum()), float(ahead - behind) / 2
        if not math.isclose(slope, expected, rel_tol=0.02, abs_tol=2e-4):
            return False
    return True


_ADD_UP = (
    "The dimensions do not add up: the KL of a diagonal Gaussian is the sum of the KLs of its "
    "dimensions, each computed alone. Is one left out, or a constant used once instead of D times?"
)
_STAND_ALONE = (
    "The KL of an image changes with the other images in the batch (their number, say). Each image "
    "stands alone."
)


def structure(count, *noise):
    r"""How the values of different images and dimensions hang together; count: of (B, D) inputs."""
    return (
        Property(
            "one-image",
            lambda f: f(*fixed(count, batch=1), *(n[:, :1] for n in noise)).shape == (1,),
            _ONE_IMAGE,
        ),
        Property("adds-up", lambda f: _dimensions_add_up(f, *fixed(count), *noise), _ADD_UP),
        Property(
            "stands-alone", lambda f: _images_stand_alone(f, *fixed(count), *noise), _STAND_ALONE
        ),
    )


def gradient(count, *noise):
    return Property(
        "gradient",
        lambda f: _gradient_follows_values(lambda *args: f(*args, *noise), *fixed(count)),
        _GRADIENT,
    )
