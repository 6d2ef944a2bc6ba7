r"""The two players for images: the VAE's decoder as a generator, and a small discriminator."""

from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from vae_course._gan_checks import check_latent
from vae_course.models import conv_decoder
from vae_course.require import check_numbers, check_whole


class Generator(nn.Module):
    r"""Latents to images: a decoder, and a sigmoid that makes pixels of its logits.

    Shapes: latent (B, D) → pixels (B, 1, 28, 28) in [0, 1].
    """

    def __init__(self, decoder: nn.Module, *, latent_dim: int):
        super().__init__()
        check_whole(latent_dim=latent_dim)
        self.decoder = decoder
        self.latent_dim = latent_dim

    @classmethod
    def conv(cls, latent_dim: int, *, channels: int = 32) -> "Generator":
        r"""With the very decoder of `VAE.conv(latent_dim, channels=channels)`."""
        check_whole(latent_dim=latent_dim, channels=channels)
        return cls(conv_decoder(latent_dim, channels=channels), latent_dim=latent_dim)

    def decode(self, latent: Tensor) -> Tensor:
        r"""The same as calling it; the name that a VAE has for it."""
        return self(latent)

    def forward(self, latent: Tensor) -> Tensor:
        first = next(self.parameters(), latent)
        check_latent(latent, self.latent_dim, first.dtype)
        return torch.sigmoid(self.decoder(latent))  # (B, 1, 28, 28)


def conv_discriminator(*, channels: int = 32, spectral: bool = False) -> nn.Sequential:
    r"""Images to one logit each, 28 → 14 → 7 → 1: (B, 1, 28, 28) → (B,).

    spectral: divide each weight matrix by its largest singular value, so that no layer can
        stretch a difference between images. Then the logits change at most as fast as the image.
    Source: Radford et al. 2016 (DCGAN), here without batch normalisation; Miyato et al. 2018.
    """
    check_whole(channels=channels)
    layers = [
        nn.Conv2d(1, channels, kernel_size=4, stride=2, padding=1),  # (B, C, 14, 14)
        nn.LeakyReLU(0.2),
        nn.Conv2d(channels, 2 * channels, kernel_size=4, stride=2, padding=1),  # (B, 2C, 7, 7)
        nn.LeakyReLU(0.2),
        nn.Flatten(),  # (B, 2C · 49)
        nn.Linear(2 * channels * 7 * 7, 1),  # (B, 1)
    ]
    if spectral:
        layers = [spectral_norm(layer) if hasattr(layer, "weight") else layer for layer in layers]
    return nn.Sequential(*layers, nn.Flatten(start_dim=0))  # (B,)


class MovingAverage:
    r"""The moving average of a network's weights; with decay 0 the weights themselves."""

    def __init__(self, network: nn.Module, decay: float):
        check_numbers(average=decay)
        if not 0 <= decay < 1:
            raise ValueError(f"average is {decay}; expected 0 (off) to below 1, such as 0.999")
        self.decay, self.steps = decay, 0
        self.weights = [p.detach().clone() for p in network.parameters()]

    @torch.no_grad()
    def add(self, network: nn.Module) -> None:
        self.steps += 1
        keep = min(self.decay, self.steps / (self.steps + 10))  # forget the first steps sooner
        torch._foreach_lerp_(self.weights, [p.detach() for p in network.parameters()], 1 - keep)

    @torch.no_grad()
    def put(self, network: nn.Module) -> None:
        if self.decay and self.steps:
            torch._foreach_copy_(list(network.parameters()), self.weights)

    @contextmanager
    def shown(self, network: nn.Module):
        r"""Inside, the network has the average; outside, its own weights again."""
        own = [p.detach().clone() for p in network.parameters()]
        self.put(network)
        try:
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_(list(network.parameters()), own)
