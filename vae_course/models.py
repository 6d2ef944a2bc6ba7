r"""Encoders, decoders and the autoencoders made of them.

Shapes are written beside each line: B images, H = W = 28, D latent dimensions. Decoders return
logits, never probabilities: `torch.sigmoid(logits)` are the pixels.
"""

import itertools
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

    @classmethod
    def paper(cls) -> "VAE":
        r"""784-200-200-50 with tanh, the one-layer model of Burda et al. 2016 (appendix C)."""
        encoder = nn.Sequential(nn.Flatten(), *_tanh_layers(784, 200, 200, 2 * 50))
        decoder = nn.Sequential(*_tanh_layers(50, 200, 200, 784), nn.Unflatten(1, IMAGE_SHAPE))
        return cls(encoder, decoder, latent_dim=50)

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


class ConditionalVAE(VAE):
    r"""A VAE that is told the label: the decoder gets the latent and the label, p(x | z, y).

    The encoder sees the image alone. Nothing is lost by that: the label can be read off the image,
    so q(z | x) may use it. The bound on log p(image | label) is the usual one.

    Shapes: image (B, 1, 28, 28), label (B,) integers → (logits, mean (B, D), log_var (B, D))
    Source: Kingma et al. 2014, model M2; Sohn et al. 2015.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, *, latent_dim: int, classes: int):
        super().__init__(encoder, decoder, latent_dim=latent_dim)
        self.classes = classes

    @classmethod
    def dense(cls, latent_dim: int, *, classes: int = 10, hidden: int = 400) -> "ConditionalVAE":
        encoder = dense_encoder(2 * latent_dim, hidden=hidden)
        decoder = dense_decoder(latent_dim + classes, hidden=hidden)
        return cls(encoder, decoder, latent_dim=latent_dim, classes=classes)

    @classmethod
    def conv(cls, latent_dim: int, *, classes: int = 10, channels: int = 32) -> "ConditionalVAE":
        encoder = conv_encoder(2 * latent_dim, channels=channels)
        decoder = conv_decoder(latent_dim + classes, channels=channels)
        return cls(encoder, decoder, latent_dim=latent_dim, classes=classes)

    @classmethod
    def paper(cls) -> "VAE":
        raise TypeError("the model of the paper knows no labels: VAE.paper()")

    def decoder_input(self, latent: Tensor, label: Tensor) -> Tensor:
        r"""Latents with the label behind them as ten zeros and ones: (B, D), (B,) → (B, D + 10).

        Raises: ValueError, TypeError if there is not one label in 0 … classes − 1 a latent.
        """
        if label.is_floating_point() or label.dtype == torch.bool:
            raise TypeError(f"label has dtype {label.dtype}; expected integers: labels.long()")
        if label.shape != latent.shape[:1]:
            raise ValueError(
                f"label has shape {tuple(label.shape)}; expected one label for each of the "
                f"{len(latent)} latents, shape ({len(latent)},)"
            )
        if len(label) and not (label.min() >= 0 and label.max() < self.classes):
            raise ValueError(
                f"labels run from {label.min()} to {label.max()}; expected 0 to {self.classes - 1}"
            )
        one_hot = torch.nn.functional.one_hot(label.long(), self.classes)  # (B, 10)
        return torch.cat([latent, one_hot.to(latent.dtype)], dim=1)  # (B, D + 10)

    def decode(self, latent: Tensor, label: Tensor) -> Tensor:
        r"""Pixels in [0, 1] for latents (B, D) and labels (B,)."""
        return torch.sigmoid(self.decoder(self.decoder_input(latent, label)))

    def forward(self, image: Tensor, label: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_var = self.encode(image)  # (B, D) each
        latent = self.sampling(mean, log_var)  # (B, D)
        return self.decoder(self.decoder_input(latent, label)), mean, log_var


def build_vae(kind: str, *, latent_dim: int, width: int) -> VAE:
    r"""A VAE by the name it has on the command line and on model cards.

    kind: "conv-vae", "dense-vae", "conditional-vae" (convolutional) or "paper-vae"
    width: channels of the first convolution, or hidden units
    Raises: ValueError if there is no such kind.
    """
    if kind == "dense-vae":
        return VAE.dense(latent_dim, hidden=width)
    if kind == "conv-vae":
        return VAE.conv(latent_dim, channels=width)
    if kind == "conditional-vae":
        return ConditionalVAE.conv(latent_dim, channels=width)
    if kind == "paper-vae" and (latent_dim, width) == (50, 200):
        return VAE.paper()
    raise ValueError(f"there is no {kind!r} with {latent_dim} latents and width {width}")


def _tanh_layers(*widths: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.Tanh()]
    return layers[:-1]  # the last layer is linear
