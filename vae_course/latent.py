r"""Small tools for work in a latent space: paths, directions, thresholds, rates, searches.

Notebook 07 asks for the first four as exercises, for single vectors, and 07b for the search; these
are the package's versions, which take batches and check what they get.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from vae_course import require
from vae_course.losses import gaussian_kl
from vae_course.models import VAE

__all__ = ["anomaly_threshold", "attribute_direction", "rate_in_bits", "search_code", "slerp"]


def slerp(start: Tensor, end: Tensor, t: float) -> Tensor:
    r"""The point at t on the arc from start (t = 0) to end (t = 1); beyond them it goes on.

    sin((1 − t) Ω) / sin Ω · start + sin(t Ω) / sin Ω · end, with Ω the angle between the two.
    Between vectors of one norm it keeps that norm. For (nearly) parallel or opposite vectors,
    where sin Ω < 0.001, it is the point on the straight line.

    Shapes: start, end (…, D), the same → (…, D)
    Raises: ValueError if the shapes differ or one of the vectors is zero.
    Source: Shoemake 1985; White 2016 for latent spaces.
    """
    require.directions(start=start, end=end)
    norms = [vector.norm(dim=-1, keepdim=True) for vector in (start, end)]  # (…, 1)
    cosine = (start / norms[0] * (end / norms[1])).sum(dim=-1, keepdim=True).clamp(-1, 1)
    angle = torch.acos(cosine)
    flat = torch.sin(angle) < 1e-3
    angle = torch.where(flat, 1.0, angle)  # any angle will do where the line is taken
    arc = torch.sin((1 - t) * angle) * start + torch.sin(t * angle) * end
    return torch.where(flat, (1 - t) * start + t * end, arc / torch.sin(angle))


def attribute_direction(latents: Tensor, has_attribute: Tensor) -> Tensor:
    r"""Mean latent of those with the attribute minus mean latent of those without.

    Shapes: latents (N, D), has_attribute (N,) bool → (D,)
    Raises: ValueError on other shapes, another dtype, or if one of the groups is empty.
    Source: Larsen et al. 2016, section 4.2.
    """
    require.shape(("N", "D"), latents=latents)
    require.some_of(len(latents), has_attribute=has_attribute)
    return latents[has_attribute].mean(dim=0) - latents[~has_attribute].mean(dim=0)


def anomaly_threshold(normal_scores: Tensor, false_positive_rate: float) -> float:
    r"""The score above which this share of the normal scores lies: flag `score > threshold`.

    Shapes: normal_scores (N,), high where suspicious
    Raises: ValueError if there are no scores, one is NaN, or the rate is not between 0 and 1.
    """
    require.shape(("N",), normal_scores=normal_scores, least=1)
    require.no_nan(normal_scores=normal_scores)
    require.number(false_positive_rate=false_positive_rate, least=0, most=1)
    return torch.quantile(normal_scores, 1 - false_positive_rate).item()


def rate_in_bits(mean: Tensor, log_var: Tensor) -> Tensor:
    r"""KL(N(mean, diag(exp(log_var))) ‖ N(0, I)) of each image, in bits.

    About what a sample of the code costs on average when many are coded together (relative entropy
    coding; in lossless coding, bits back reaches it too); a coder for one image alone pays more.

    Shapes: mean, log_var (batch, latent) → (batch,)
    Raises: ValueError if the shapes differ.
    Source: Flamich, Havasi & Hernández-Lobato 2020; bits back: Townsend, Bird & Barber 2019.
    """
    return gaussian_kl(mean, log_var) / math.log(2)


def search_code(
    model: VAE, nll: Callable[[Tensor], Tensor], count: int, *, steps: int = 120
) -> Tensor:
    r"""Pictures of the most probable codes, found by gradient: the least nll + ½ ‖code‖².

    The codes start at 0 and follow Adam at a rate of 0.1; the model stays as it is. Any object
    with `latent_dim` and `decode` will do for it.

    nll: −log p(given | picture) of each picture, nats; differentiable.
    Shapes: nll takes the decoded (count, …) and gives (count,) → (count, …)
    Raises: ValueError if nll gives another shape, or count or steps is below 1.
    Source: Bora et al. 2017.
    """
    require.function(nll=nll)
    require.count(count=count, steps=steps)
    code = torch.zeros(count, model.latent_dim, requires_grad=True)
    optimizer = torch.optim.Adam([code], lr=0.1)
    for _ in range(steps):
        unexplained = nll(model.decode(code))
        require.shape((count,), nll=unexplained)
        loss = (unexplained + 0.5 * code.square().sum(dim=1)).sum()
        (code.grad,) = torch.autograd.grad(loss, code)
        optimizer.step()
    with torch.no_grad():
        return model.decode(code)
