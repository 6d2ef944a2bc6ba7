r"""A ring of Gaussians in the plane: data on which a GAN's collapse can be seen and counted."""

import math

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from vae_course.require import check_numbers, check_tensors, check_whole, common_floats


def ring_centers(modes: int = 8, *, radius: float = 2.0) -> Tensor:
    r"""The centres of `modes` Gaussians, evenly spaced on a circle: (modes, 2)."""
    check_whole(modes=modes)
    check_numbers(radius=radius, least=0)
    angle = torch.arange(modes) * (2 * math.pi / modes)  # (modes,)
    return radius * torch.stack([angle.cos(), angle.sin()], dim=1)


def ring_of_gaussians(
    count: int,
    *,
    modes: int = 8,
    radius: float = 2.0,
    std: float = 0.05,
    generator: torch.Generator | None = None,
) -> Tensor:
    r"""Points drawn from narrow Gaussians on a circle, all equally likely: (count, 2).

    std: of each Gaussian, in each direction
    generator: the same seed, the same points
    Raises: ValueError if there is nothing to draw or std is negative.
    """
    check_whole(count=count)
    check_numbers(std=std, least=0)
    centers = ring_centers(modes, radius=radius)
    chosen = torch.randint(modes, (count,), generator=generator)
    return centers[chosen] + std * torch.randn(count, 2, generator=generator)


def point_generator(latent_dim: int, *, hidden: int = 64) -> nn.Sequential:
    r"""Latents to points of the plane, two hidden layers: (B, D) → (B, 2)."""
    check_whole(latent_dim=latent_dim, hidden=hidden)
    return nn.Sequential(
        nn.Linear(latent_dim, hidden), nn.ReLU(),  # (B, hidden)
        nn.Linear(hidden, hidden), nn.ReLU(),
        nn.Linear(hidden, 2),  # (B, 2)
    )  # fmt: skip


def point_discriminator(*, hidden: int = 64, spectral: bool = False) -> nn.Sequential:
    r"""Points to one logit each, two hidden layers: (B, 2) → (B,).

    spectral: divide each weight matrix by its largest singular value (`gan.conv_discriminator`)
    """
    check_whole(hidden=hidden)
    linear = [nn.Linear(2, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, 1)]
    if spectral:
        linear = [spectral_norm(layer) for layer in linear]
    return nn.Sequential(
        linear[0], nn.LeakyReLU(0.2),  # (B, hidden)
        linear[1], nn.LeakyReLU(0.2),
        linear[2], nn.Flatten(start_dim=0),  # (B,)
    )  # fmt: skip


def modes_covered(samples: Tensor, centers: Tensor, radius: float) -> int:
    r"""How many centres have at least one sample within `radius`.

    Shapes: samples (N, 2), centers (M, 2) → a whole number from 0 to M
    Raises: ValueError on other shapes, TypeError on other things.
    """
    named = {"samples": samples, "centers": centers}
    check_tensors(**named)
    check_numbers(radius=radius, least=0)
    for name, points in named.items():
        if points.dim() != 2 or points.shape[1] != 2:
            raise ValueError(f"{name} have shape {tuple(points.shape)}; expected (count, 2)")
    exact = "donot_use_mm_for_euclid_dist"  # a matrix product would round
    distances = torch.cdist(*common_floats(samples, centers), compute_mode=exact)  # (N, M)
    return int((distances <= radius).any(dim=0).sum())
