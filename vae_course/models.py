r"""Encoders, decoders and the autoencoders made of them.

Shapes are written beside each line: B images, H = W = 28, D latent dimensions. Decoders return
logits, never probabilities: `torch.sigmoid(logits)` are the pixels.
"""

import math

import torch
from torch import Tensor, nn

IMAGE_SHAPE = (1, 28, 28)


def dense_encoder(outputs: int, *, hidden: int = 400, image_shape=IMAGE_SHAPE) -> nn.Sequential:
    r"""Images to `outputs` numbers through one hidden layer: (B, 1, 28, 28) → (B, outputs)."""
    return nn.Sequential(
        nn.Flatten(),  # (B, 784)
        nn.Linear(math.prod(image_shape), hidden),  # (B, hidden)
        nn.ReLU(),
        nn.Linear(hidden, outputs),  # (B, outputs)
    )


def dense_decoder(latent_dim: int, *, hidden: int = 400, image_shape=IMAGE_SHAPE) -> nn.Sequential:
    r"""Latents to image logits through one hidden layer: (B, D) → (B, 1, 28, 28)."""
    return nn.Sequential(
        nn.Linear(latent_dim, hidden),  # (B, hidden)
        nn.ReLU(),
        nn.Linear(hidden, math.prod(image_shape)),  # (B, 784)
        nn.Unflatten(1, tuple(image_shape)),  # (B, 1, 28, 28)
    )


def conv_encoder(outputs: int, *, channels: int = 32) -> nn.Sequential:
    r"""Images to `outputs` numbers, 28 → 14 → 7 by strided convolutions (notebook 02)."""
    return nn.Sequential(
        nn.Conv2d(1, channels, kernel_size=4, stride=2, padding=1),  # (B, C, 14, 14)
        nn.ReLU(),
        nn.Conv2d(channels, 2 * channels, kernel_size=4, stride=2, padding=1),  # (B, 2C, 7, 7)
        nn.ReLU(),
        nn.Flatten(),  # (B, 2C · 49)
        nn.Linear(2 * channels * 7 * 7, outputs),  # (B, outputs)
    )


def conv_decoder(latent_dim: int, *, channels: int = 32) -> nn.Sequential:
    r"""Latents to image logits, 7 → 14 → 28 by transposed convolutions (notebook 02).

    Kernel 4 with stride 2: every output pixel is touched by the same number of stamps, so no
    checkerboard is built in.
    """
    return nn.Sequential(
        nn.Linear(latent_dim, 2 * channels * 7 * 7),  # (B, 2C · 49)
        nn.ReLU(),
        nn.Unflatten(1, (2 * channels, 7, 7)),  # (B, 2C, 7, 7)
        nn.ConvTranspose2d(2 * channels, channels, kernel_size=4, stride=2, padding=1),  # 14 × 14
        nn.ReLU(),
        nn.ConvTranspose2d(channels, 1, kernel_size=4, stride=2, padding=1),  # (B, 1, 28, 28)
    )


class Autoencoder(nn.Module):
    r"""An encoder to D numbers and a decoder back; `forward` returns image logits.

    Shapes: image (B, 1, 28, 28) → logits (B, 1, 28, 28); `encode` → (B, D).
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module):
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def encode(self, image: Tensor) -> Tensor:
        return self.encoder(image)  # (B, D)

    def decode(self, latent: Tensor) -> Tensor:
        r"""Pixels in [0, 1] for latents (B, D)."""
        return torch.sigmoid(self.decoder(latent))  # (B, 1, 28, 28)

    def reconstruct(self, image: Tensor) -> Tensor:
        r"""Pixels in [0, 1] after the way through the code: (B, 1, 28, 28) → the same shape."""
        return self.decode(self.encode(image))

    def forward(self, image: Tensor) -> Tensor:
        return self.decoder(self.encoder(image))  # logits (B, 1, 28, 28)


class DenseAutoencoder(Autoencoder):
    r"""784 → hidden → D → hidden → 784, the small dense autoencoder of notebook 01."""

    def __init__(self, latent_dim: int, *, hidden: int = 400):
        super().__init__(
            dense_encoder(latent_dim, hidden=hidden), dense_decoder(latent_dim, hidden=hidden)
        )


class ConvAutoencoder(Autoencoder):
    r"""28 → 14 → 7 → D → 7 → 14 → 28, the convolutional autoencoder of notebook 02."""

    def __init__(self, latent_dim: int, *, channels: int = 32):
        super().__init__(
            conv_encoder(latent_dim, channels=channels), conv_decoder(latent_dim, channels=channels)
        )


class GaussianSampling(nn.Module):
    r"""z = mean + exp(log_var / 2) · ε with ε ~ N(0, I): the sampling layer of notebook 03.

    Shapes: mean, log_var (B, D) → (B, D), differentiable in both.
    Raises: ValueError if the shapes differ.
    Source: Kingma & Welling 2014, section 2.4.
    """

    def forward(self, mean: Tensor, log_var: Tensor) -> Tensor:
        if mean.shape != log_var.shape:
            raise ValueError(
                f"mean {tuple(mean.shape)} and log_var {tuple(log_var.shape)} differ; "
                "expected one log-variance per mean"
            )
        noise = torch.randn_like(mean)  # (B, D): a fresh number for every image and dimension
        return mean + torch.exp(0.5 * log_var) * noise


class VAE(nn.Module):
    r"""A variational autoencoder: the encoder outputs 2·D numbers, a mean and a log-variance.

    Shapes: image (B, 1, 28, 28) → (logits (B, 1, 28, 28), mean (B, D), log_var (B, D)).
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, *, latent_dim: int):
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.sampling = GaussianSampling()
        self.latent_dim = latent_dim

    @classmethod
    def dense(cls, latent_dim: int, *, hidden: int = 400) -> "VAE":
        encoder = dense_encoder(2 * latent_dim, hidden=hidden)
        return cls(encoder, dense_decoder(latent_dim, hidden=hidden), latent_dim=latent_dim)

    @classmethod
    def conv(cls, latent_dim: int, *, channels: int = 32) -> "VAE":
        encoder = conv_encoder(2 * latent_dim, channels=channels)
        return cls(encoder, conv_decoder(latent_dim, channels=channels), latent_dim=latent_dim)

    def encode(self, image: Tensor) -> tuple[Tensor, Tensor]:
        r"""Mean and log-variance of q(z | image), each (B, D)."""
        mean, log_var = self.encoder(image).chunk(2, dim=1)
        return mean, log_var

    def decode(self, latent: Tensor) -> Tensor:
        r"""Pixels in [0, 1] for latents (B, D)."""
        return torch.sigmoid(self.decoder(latent))  # (B, 1, 28, 28)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_var = self.encode(image)  # (B, D) each
        latent = self.sampling(mean, log_var)  # (B, D)
        return self.decoder(latent), mean, log_var
