r"""What the two players of a GAN are asked before they play."""

import torch
from torch import Tensor, nn

from vae_course.require import check_numbers, check_seed, check_tensors, check_whole, kind
from vae_course.training import core


def check_logits(**logits: Tensor) -> None:
    r"""Raises: TypeError unless all are tensors of floats, ValueError if one is empty."""
    check_tensors(**logits)
    for name, given in logits.items():
        if given.numel() == 0:
            raise ValueError(f"{name} has shape {tuple(given.shape)}; nothing to average over")


def check_batch(**tensors: Tensor) -> None:
    r"""Raises: TypeError unless all are tensors of floats, ValueError unless (B, …), B ≥ 1."""
    check_tensors(**tensors)
    for name, given in tensors.items():
        if given.dim() < 2 or len(given) == 0:
            raise ValueError(f"{name} has shape {tuple(given.shape)}; expected a batch, (B, …)")


def check_step(optimizer: object, plays: nn.Module, watches: nn.Module, **tensors: Tensor) -> None:
    r"""Raises: ValueError, TypeError unless the optimizer is the player's, the tensors batches."""
    for network, right in (plays, isinstance(plays, nn.Module)), (watches, callable(watches)):
        if not right or isinstance(network, type):
            raise TypeError(f"a network is {kind(network)}; expected an nn.Module")
    core.check_optimizer(optimizer, plays)
    check_batch(**tensors)


def check_latent(latent: Tensor, latent_dim: int, dtype: torch.dtype) -> None:
    r"""Raises: ValueError, TypeError unless these are latents for this generator."""
    check_tensors(latent=latent)
    if latent.dim() != 2 or latent.shape[1] != latent_dim:
        raise ValueError(
            f"latent has shape {tuple(latent.shape)}; expected (images, {latent_dim}), "
            f"such as torch.randn(16, {latent_dim})"
        )
    if latent.dtype != dtype:
        raise TypeError(f"latent has dtype {latent.dtype}, the network {dtype}: latent.to({dtype})")


def check_images(real: Tensor, fake: Tensor) -> None:
    r"""Raises: ValueError unless real and generated images are of one kind: shape, dtype, range."""
    if real.shape[1:] != fake.shape[1:]:
        raise ValueError(
            f"real images have shape {tuple(real.shape)}, the generator's {tuple(fake.shape)}: all "
            f"but the first number must agree. Resize, or unsqueeze(1) a missing channel axis"
        )
    if real.dtype != fake.dtype:
        raise ValueError(
            f"real images are {real.dtype}, the generator's {fake.dtype}: images.to({fake.dtype})"
        )
    if real.dim() != 4:  # points, not images: any range will do
        return
    low, high = (value.item() for value in real.detach().aminmax())  # both NaN if any pixel is
    if not (low >= 0 and high <= 1):
        raise ValueError(
            f"real pixels run from {low:.3g} to {high:.3g}, the generator's (a sigmoid's) from 0 "
            "to 1: the discriminator would tell them apart by that alone. Divide bytes by 255; "
            "undo a scaling to [−1, 1], which belongs to a tanh, with (images + 1) / 2"
        )


def check_settings(generator, discriminator, latent_dim, r1, seed, **whole: int) -> int:
    r"""The number of latents. Raises: ValueError, TypeError on what `fit_gan` can't train with."""
    if not isinstance(discriminator, nn.Module):
        raise TypeError(f"discriminator is {kind(discriminator)}; expected an nn.Module")
    if latent_dim is None:
        latent_dim = getattr(generator, "latent_dim", None)
    if latent_dim is None:
        raise ValueError("how many latents does this generator take? Pass latent_dim=…")
    check_whole(latent_dim=latent_dim, **whole)
    check_numbers(r1=r1, least=0)
    check_seed(seed)
    return latent_dim
