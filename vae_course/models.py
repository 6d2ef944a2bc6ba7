r"""Encoders, decoders and the autoencoders made of them.

Shapes are written beside each line: B images, C channels of H × W pixels (1, 28, 28 unless you say
otherwise), D latent dimensions. A decoder's output is never pixels: what it means (logits, by
default) is the model's likelihood to say, `model.likelihood`.
"""

import itertools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from vae_course import require
from vae_course.losses import (
    Bernoulli,
    Likelihood,
    Table,
    gaussian_kl,
    gaussian_kl_between,
    gaussian_log_prob,
    likelihood_of,
)

IMAGE_SHAPE = (1, 28, 28)

# ------------------------------------------------------------------------ encoders and decoders


def dense_encoder(
    outputs: int, *, hidden: int = 400, layers: int = 1, image_shape=IMAGE_SHAPE
) -> nn.Sequential:
    r"""Images to `outputs` numbers through hidden layers, one unless said otherwise.

    Shapes: (B, 1, 28, 28) → (B, outputs)
    """
    require.count(layers=layers, least=1)
    return nn.Sequential(
        nn.Flatten(),  # (B, 784)
        *_relu_layers(math.prod(image_shape), hidden, layers),  # (B, hidden)
        nn.Linear(hidden, outputs),  # (B, outputs)
    )


def dense_decoder(
    latent_dim: int, *, hidden: int = 400, layers: int = 1, image_shape=IMAGE_SHAPE
) -> nn.Sequential:
    r"""Latents to image logits through hidden layers, one unless said otherwise.

    Shapes: (B, D) → (B, 1, 28, 28)
    """
    require.count(layers=layers, least=1)
    return nn.Sequential(
        *_relu_layers(latent_dim, hidden, layers),  # (B, hidden)
        nn.Linear(hidden, math.prod(image_shape)),  # (B, 784)
        nn.Unflatten(1, tuple(image_shape)),  # (B, 1, 28, 28)
    )


def conv_shapes(channels: int, image_shape: Sequence[int]) -> list[tuple[int, int, int]]:
    r"""Shapes on the way down, each half as high and wide, until a side is below 8.

    From (1, 28, 28): (1, 28, 28), (32, 14, 14), (64, 7, 7). Channels double, up to eight times.
    """
    require.count(channels=channels, least=1)
    depth, height, width = image_shape
    if min(height, width) < 8:
        raise ValueError(
            f"image_shape is {tuple(image_shape)}; expected (C, H, W) with at least 8 × 8 pixels: "
            "enlarge the images, or take a dense model"
        )
    shapes = [(depth, height, width)]
    while min(height, width) >= 8:
        height, width = height // 2, width // 2
        shapes.append((channels * 2 ** min(len(shapes) - 1, 3), height, width))
    return shapes


def conv_encoder(outputs: int, *, channels: int = 32, image_shape=IMAGE_SHAPE) -> nn.Sequential:
    r"""Images to `outputs` numbers, 28 → 14 → 7 by strided convolutions (notebook 02)."""
    shapes = conv_shapes(channels, image_shape)  # (1, 28, 28), (32, 14, 14), (64, 7, 7)
    layers: list[nn.Module] = []
    for (before, _, _), (after, _, _) in itertools.pairwise(shapes):
        layers += [
            nn.Conv2d(before, after, kernel_size=4, stride=2, padding=1),  # half as high and wide
            nn.ReLU(),
        ]
    layers += [
        nn.Flatten(),  # (B, 64 · 7 · 7)
        nn.Linear(math.prod(shapes[-1]), outputs),  # (B, outputs)
    ]
    return nn.Sequential(*layers)


def conv_decoder(latent_dim: int, *, channels: int = 32, image_shape=IMAGE_SHAPE) -> nn.Sequential:
    r"""Latents to image logits, 7 → 14 → 28 by transposed convolutions (notebook 02).

    Kernel 4, stride 2 and padding 1 double every size, and put every output pixel under the same
    number of stamps. Random weights weave a checkerboard all the same; training takes it out.
    """
    shapes = conv_shapes(channels, image_shape)[::-1]  # (64, 7, 7), (32, 14, 14), (1, 28, 28)
    layers: list[nn.Module] = [
        nn.Linear(latent_dim, math.prod(shapes[0])),  # (B, 64 · 7 · 7)
        nn.ReLU(),
        nn.Unflatten(1, shapes[0]),  # (B, 64, 7, 7)
    ]
    for (before, _, _), (after, height, width) in itertools.pairwise(shapes):
        odd = (height % 2, width % 2)  # a row and a column that halving had rounded off
        layers += [
            nn.ConvTranspose2d(before, after, 4, stride=2, padding=1, output_padding=odd),
            nn.ReLU(),  # (B, 32, 14, 14), (B, 1, 28, 28)
        ]
    return nn.Sequential(*layers[:-1])  # the last layer is linear


# -------------------------------------------------------------------------------- autoencoders


class Autoencoder(nn.Module):
    r"""An encoder to D numbers and a decoder back; `forward` returns image logits.

    Shapes: image (B, 1, 28, 28) → logits (B, 1, 28, 28); `encode` → (B, D).
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, *, image_shape=None):
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.image_shape = image_shape

    def encode(self, image: Tensor) -> Tensor:
        require.image_of(self.image_shape, image)
        return self.encoder(image)  # (B, D)

    def decode(self, latent: Tensor) -> Tensor:
        r"""Pixels in [0, 1] for latents (B, D)."""
        return torch.sigmoid(self.decoder(latent))  # (B, 1, 28, 28)

    def reconstruct(self, image: Tensor) -> Tensor:
        r"""Pixels in [0, 1] after the way through the code: (B, 1, 28, 28) → the same shape."""
        return self.decode(self.encode(image))

    def forward(self, image: Tensor) -> Tensor:
        return self.decoder(self.encode(image))  # logits (B, 1, 28, 28)


class DenseAutoencoder(Autoencoder):
    r"""784 → hidden → D → hidden → 784, the small dense autoencoder of notebook 01."""

    def __init__(self, latent_dim: int, *, hidden: int = 400, image_shape=IMAGE_SHAPE):
        sizes = {"hidden": hidden, "image_shape": image_shape}
        encoder, decoder = dense_encoder(latent_dim, **sizes), dense_decoder(latent_dim, **sizes)
        super().__init__(encoder, decoder, image_shape=image_shape)


class ConvAutoencoder(Autoencoder):
    r"""28 → 14 → 7 → D → 7 → 14 → 28, the convolutional autoencoder of notebook 02."""

    def __init__(self, latent_dim: int, *, channels: int = 32, image_shape=IMAGE_SHAPE):
        sizes = {"channels": channels, "image_shape": image_shape}
        encoder, decoder = conv_encoder(latent_dim, **sizes), conv_decoder(latent_dim, **sizes)
        super().__init__(encoder, decoder, image_shape=image_shape)


# --------------------------------------------------------------------- variational autoencoders


class GaussianSampling(nn.Module):
    r"""z = mean + exp(log_var / 2) · ε with ε ~ N(0, I): the sampling layer of notebook 03.

    Shapes: mean, log_var (B, D) → (B, D), differentiable in both.
    Raises: ValueError if the shapes differ.
    Source: Kingma & Welling 2014, section 2.4.
    """

    def forward(self, mean: Tensor, log_var: Tensor) -> Tensor:
        require.same_shape(mean=mean, log_var=log_var, batch=False)
        noise = torch.randn_like(mean)  # (B, D): a fresh number for every image and dimension
        return mean + torch.exp(0.5 * log_var) * noise


class VAE(nn.Module):
    r"""A variational autoencoder: the encoder outputs 2·D numbers, a mean and a log-variance.

    likelihood: what the decoder's output means (`losses.likelihood`), by default Bernoulli logits;
        its own parameters, such as a learned σ, are trained with the weights
    image_shape: (C, H, W); images of any other shape are refused. None lets all pass.

    Shapes: image (B, 1, 28, 28) → (output (B, 1, 28, 28), mean (B, D), log_var (B, D)).
    """

    def __init__(
        self, encoder: nn.Module, decoder: nn.Module, *, latent_dim: int,
        likelihood: Likelihood | None = None, image_shape: Sequence[int] | None = None,
    ):  # fmt: skip
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.sampling = GaussianSampling()
        self.likelihood = Bernoulli() if likelihood is None else likelihood
        self.latent_dim = latent_dim
        self.image_shape = image_shape and tuple(image_shape)

    @classmethod
    def dense(
        cls, latent_dim: int, *, hidden: int = 400, layers: int = 1,
        image_shape=IMAGE_SHAPE, likelihood: Likelihood | None = None,
    ) -> "VAE":  # fmt: skip
        r"""layers: hidden ones in the encoder, and as many in the decoder."""
        input_shape, output_shape = network_shapes(likelihood, image_shape)
        size = {"hidden": hidden, "layers": layers}
        encoder = dense_encoder(2 * latent_dim, **size, image_shape=input_shape)
        decoder = dense_decoder(latent_dim, **size, image_shape=output_shape)
        return cls(encoder, decoder, latent_dim=latent_dim,
                   likelihood=likelihood, image_shape=image_shape)  # fmt: skip

    @classmethod
    def conv(
        cls, latent_dim: int, *, channels: int = 32,
        image_shape=IMAGE_SHAPE, likelihood: Likelihood | None = None,
    ) -> "VAE":  # fmt: skip
        r"""For images of any size from 8 × 8: halved until a side is below 8, and doubled again."""
        input_shape, output_shape = network_shapes(likelihood, image_shape)
        encoder = conv_encoder(2 * latent_dim, channels=channels, image_shape=input_shape)
        decoder = conv_decoder(latent_dim, channels=channels, image_shape=output_shape)
        return cls(encoder, decoder, latent_dim=latent_dim,
                   likelihood=likelihood, image_shape=image_shape)  # fmt: skip

    @classmethod
    def table(
        cls, latent_dim: int, columns: Sequence[Likelihood | str], *, hidden: int = 128
    ) -> "VAE":
        r"""For rows of a table, (B, columns), each column under a likelihood of its own.

        columns: such as ["gaussian:learned", "poisson", "categorical:3"], see `losses.Table`
        """
        rows = Table(columns)
        return cls.dense(latent_dim, hidden=hidden, image_shape=(len(columns),), likelihood=rows)

    @classmethod
    def paper(cls) -> "VAE":
        r"""784-200-200-50 with tanh, the one-layer model of Burda et al. 2016 (appendix C)."""
        encoder = nn.Sequential(nn.Flatten(), *_tanh_layers(784, 200, 200, 2 * 50))
        decoder = nn.Sequential(*_tanh_layers(50, 200, 200, 784), nn.Unflatten(1, IMAGE_SHAPE))
        return cls(encoder, decoder, latent_dim=50, image_shape=IMAGE_SHAPE)

    def encode(self, image: Tensor) -> tuple[Tensor, Tensor]:
        r"""Mean and log-variance of q(z | image), each (B, D), in float32 or finer."""
        require.image_of(self.image_shape, image)
        features = self.likelihood.features(image)  # the image itself, unless it holds classes
        return _two_halves(self.encoder(_like_weights(self.encoder, features)))

    def output(self, latent: Tensor) -> Tensor:
        r"""What the decoder says about latents (B, D); `likelihood` knows how to read it."""
        return self.decoder(_like_weights(self.decoder, latent))  # (B, 1, 28, 28)

    def decode(self, latent: Tensor) -> Tensor:
        r"""What is shown of latents (B, D), the mean of p(x | z): pixels in [0, 1] by default."""
        return self.likelihood.mean(self.output(latent))  # (B, 1, 28, 28)

    def reconstruct(self, image: Tensor) -> Tensor:
        r"""Images after the way through the middle of their codes: the same shape comes back."""
        mean, _ = self.encode(image)
        return self.decode(mean)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_var = self.encode(image)  # (B, D) each
        latent = self.sampling(mean, log_var)  # (B, D)
        return self.output(latent), mean, log_var

    def elbo_terms(self, image: Tensor, *label: Tensor) -> tuple[Tensor, Tensor]:
        r"""The two parts of −ELBO for each image, one draw of z: reconstruction and KL in nats.

        Shapes: image (B, …), for a `ConditionalVAE` also label (B,) → (B,) and (B,)
        """
        output, mean, log_var = self(image, *label)
        return self.likelihood.nll(output, image), gaussian_kl(mean, log_var)

    @torch.no_grad()
    def sample(
        self, count: int, *label: Tensor, noise: bool = False, generator: Generator | None = None
    ) -> Tensor:
        r"""New images: latents from N(0, I), decoded. A `ConditionalVAE` wants label (count,) too.

        noise: draw from p(x | z) instead of showing its mean, as the model would have it
        generator: the same seed, the same images
        """
        require.count(count=count)
        require.generator(generator)
        first = next(self.parameters())
        place = first.device if generator is None else generator.device
        latent = torch.randn(count, self.latent_dim, generator=generator, device=place)  # (N, D)
        training = self.training
        self.eval()
        try:
            output = self.output(latent.to(first.device), *label)
        finally:
            self.train(training)
        shown = self.likelihood
        return shown.sample(output, generator) if noise else shown.mean(output)


class ConditionalVAE(VAE):
    r"""A VAE that is told the label: the decoder gets the latent and the label, p(x | z, y).

    The encoder sees the image alone. Nothing is lost by that: the label can be read off the image,
    so q(z | x) may use it. The bound on log p(image | label) is the usual one.

    Shapes: image (B, 1, 28, 28), label (B,) integers → (output, mean (B, D), log_var (B, D))
    Source: Kingma et al. 2014, model M2; Sohn et al. 2015.
    """

    def __init__(
        self, encoder: nn.Module, decoder: nn.Module, *, latent_dim: int, classes: int,
        likelihood: Likelihood | None = None, image_shape: Sequence[int] | None = None,
    ):  # fmt: skip
        super().__init__(encoder, decoder, latent_dim=latent_dim,
                         likelihood=likelihood, image_shape=image_shape)  # fmt: skip
        self.classes = classes

    @classmethod
    def dense(
        cls, latent_dim: int, *, classes: int = 10, hidden: int = 400,
        image_shape=IMAGE_SHAPE, likelihood: Likelihood | None = None,
    ) -> "ConditionalVAE":  # fmt: skip
        input_shape, output_shape = network_shapes(likelihood, image_shape)
        encoder = dense_encoder(2 * latent_dim, hidden=hidden, image_shape=input_shape)
        decoder = dense_decoder(latent_dim + classes, hidden=hidden, image_shape=output_shape)
        return cls(encoder, decoder, latent_dim=latent_dim, classes=classes,
                   likelihood=likelihood, image_shape=image_shape)  # fmt: skip

    @classmethod
    def conv(
        cls, latent_dim: int, *, classes: int = 10, channels: int = 32,
        image_shape=IMAGE_SHAPE, likelihood: Likelihood | None = None,
    ) -> "ConditionalVAE":  # fmt: skip
        input_shape, output_shape = network_shapes(likelihood, image_shape)
        encoder = conv_encoder(2 * latent_dim, channels=channels, image_shape=input_shape)
        decoder = conv_decoder(latent_dim + classes, channels=channels, image_shape=output_shape)
        return cls(encoder, decoder, latent_dim=latent_dim, classes=classes,
                   likelihood=likelihood, image_shape=image_shape)  # fmt: skip

    @classmethod
    def table(cls, *args, **options) -> "VAE":
        raise TypeError(
            "the model for tables knows no labels: make the label a column of the table"
        )

    @classmethod
    def paper(cls) -> "VAE":
        raise TypeError("the model of the paper knows no labels: VAE.paper()")

    def decoder_input(self, latent: Tensor, label: Tensor) -> Tensor:
        r"""Latents with the label behind them as ten zeros and ones: (B, D), (B,) → (B, D + 10).

        Raises: ValueError, TypeError if there is not one label in 0 … classes − 1 a latent.
        """
        require.labels(label, classes=self.classes, latents=len(latent))
        one_hot = F.one_hot(label.long(), self.classes)  # (B, 10)
        return torch.cat([latent, one_hot.to(latent.dtype)], dim=1)  # (B, D + 10)

    def output(self, latent: Tensor, label: Tensor) -> Tensor:
        return super().output(self.decoder_input(latent, label))

    def decode(self, latent: Tensor, label: Tensor) -> Tensor:
        r"""What is shown of latents (B, D) and labels (B,)."""
        return self.likelihood.mean(self.output(latent, label))

    def reconstruct(self, image: Tensor, label: Tensor) -> Tensor:
        mean, _ = self.encode(image)
        return self.decode(mean, label)

    def forward(self, image: Tensor, label: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_var = self.encode(image)  # (B, D) each
        latent = self.sampling(mean, log_var)  # (B, D)
        return self.output(latent, label), mean, log_var


class ResidualConv(nn.Module):
    r"""Two 3 × 3 convolutions beside a shortcut; at first nothing is added: (B, C, H, W) → same."""

    def __init__(self, channels: int):
        super().__init__()
        self.first = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        self.second = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.silu(self.first(F.silu(x))))


class TwoLevelVAE(nn.Module):
    r"""A VAE with two layers of latents: z₂ → z₁ → x.

    The generative chain is p(z₂) p(z₁ | z₂) p(x | z₁) with p(z₂) = N(0, I); the encoder goes the
    same way down, q(z₂ | x) q(z₁ | x, z₂). Every part is a diagonal Gaussian, so both KLs are
    exact given a draw of what lies above.

    features: (B, …) → (B, F); upper: (B, F) → (B, 2 D₂); lower: (B, F + D₂) → (B, 2 D₁);
    prior: (B, D₂) → (B, 2 D₁); decoder: (B, D₁) → (B, …), what `likelihood` reads.
    Source: Sønderby et al. 2016, with two layers.
    """

    def __init__(
        self, features: nn.Module, upper: nn.Module, lower: nn.Module, prior: nn.Module,
        decoder: nn.Module, *, latent_dims: tuple[int, int],
        likelihood: Likelihood | None = None, image_shape: Sequence[int] | None = None,
    ):  # fmt: skip
        super().__init__()
        self.features, self.upper, self.lower = features, upper, lower
        self.prior, self.decoder = prior, decoder
        self.sampling = GaussianSampling()
        self.likelihood = Bernoulli() if likelihood is None else likelihood
        self.latent_dims = tuple(latent_dims)  # D₁, D₂
        self.image_shape = image_shape and tuple(image_shape)

    @classmethod
    def dense(
        cls, latent_dims: tuple[int, int] = (20, 2), *, hidden: int = 400, image_shape=IMAGE_SHAPE
    ) -> "TwoLevelVAE":
        lower, upper = latent_dims
        return cls(
            nn.Sequential(dense_encoder(hidden, hidden=hidden, image_shape=image_shape), nn.ReLU()),
            nn.Linear(hidden, 2 * upper),
            nn.Linear(hidden + upper, 2 * lower),
            nn.Sequential(*_relu_layers(upper, hidden, 1), nn.Linear(hidden, 2 * lower)),
            dense_decoder(lower, hidden=hidden, image_shape=image_shape),
            latent_dims=latent_dims, image_shape=image_shape,
        )  # fmt: skip

    @classmethod
    def conv(
        cls, latent_dims: tuple[int, int] = (32, 16), *, channels: int = 32, hidden: int = 256
    ) -> "TwoLevelVAE":
        r"""For images of 28 × 28: convolutions up to z₁, dense layers between z₁ and z₂."""
        lower, upper = latent_dims
        wide, flat = 2 * channels, 2 * channels * 7 * 7
        return cls(
            nn.Sequential(
                nn.Conv2d(1, channels, kernel_size=4, stride=2, padding=1),  # (B, C, 14, 14)
                nn.SiLU(),
                nn.Conv2d(channels, wide, kernel_size=4, stride=2, padding=1),  # (B, 2C, 7, 7)
                ResidualConv(wide), nn.SiLU(), nn.Flatten(),
            ),
            nn.Sequential(nn.Linear(flat, hidden), nn.SiLU(), nn.Linear(hidden, 2 * upper)),
            nn.Linear(flat + upper, 2 * lower),
            nn.Sequential(nn.Linear(upper, hidden), nn.SiLU(), nn.Linear(hidden, 2 * lower)),
            nn.Sequential(
                nn.Linear(lower, flat), nn.Unflatten(1, (wide, 7, 7)), ResidualConv(wide),
                nn.SiLU(),
                nn.ConvTranspose2d(wide, channels, 4, stride=2, padding=1),  # (B, C, 14, 14)
                nn.SiLU(),
                nn.ConvTranspose2d(channels, 1, 4, stride=2, padding=1),  # (B, 1, 28, 28)
            ),
            latent_dims=latent_dims, image_shape=IMAGE_SHAPE,
        )  # fmt: skip

    def encode_upper(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        r"""The image's features (B, F), and mean and log-variance of q(z₂ | x), (B, D₂) each."""
        require.image_of(self.image_shape, image)
        features = self.features(image)
        return features, *_two_halves(self.upper(features))

    def encode_lower(self, features: Tensor, z2: Tensor) -> tuple[Tensor, Tensor]:
        r"""Mean and log-variance of q(z₁ | x, z₂), (B, D₁) each."""
        return _two_halves(self.lower(torch.cat([features, z2.to(features.dtype)], dim=1)))

    def prior_of_lower(self, z2: Tensor) -> tuple[Tensor, Tensor]:
        r"""Mean and log-variance of p(z₁ | z₂), (B, D₁) each."""
        return _two_halves(self.prior(z2))

    def decode(self, z1: Tensor) -> Tensor:
        r"""What is shown of lower latents (B, D₁): pixels in [0, 1]."""
        return self.likelihood.mean(self.decoder(z1))

    def reconstruct(self, image: Tensor) -> Tensor:
        r"""Images after the way through the middle of both their codes: the same shape."""
        features, z2, _ = self.encode_upper(image)
        z1, _ = self.encode_lower(features, z2)
        return self.decode(z1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        r"""The decoder's output (B, …), and the KL of the lower and of the upper layer, (B,) nats.

        −ELBO is −log p(x | z₁) + KL(q(z₁ | x, z₂) ‖ p(z₁ | z₂)) + KL(q(z₂ | x) ‖ p(z₂)).
        """
        features, mean2, log_var2 = self.encode_upper(image)
        z2 = self.sampling(mean2, log_var2)  # (B, D₂)
        mean1, log_var1 = self.encode_lower(features, z2)
        z1 = self.sampling(mean1, log_var1)  # (B, D₁)
        lower = gaussian_kl_between(mean1, log_var1, *self.prior_of_lower(z2))
        return self.decoder(z1), lower, gaussian_kl(mean2, log_var2)

    def elbo_terms(self, image: Tensor) -> tuple[Tensor, Tensor]:
        r"""Reconstruction, and the KLs of both layers together: (B,) and (B,) nats."""
        output, lower, upper = self(image)
        return self.likelihood.nll(output, image), lower + upper

    def log_weights(self, image: Tensor, samples: int) -> Tensor:
        r"""log p(x, z₁, z₂) − log q(z₁, z₂ | x) of `samples` draws: (B, …) → (S, B)."""
        parts = self.encode_upper(image)
        features, mean2, log_var2 = (part.repeat(samples, 1) for part in parts)  # (S · B, …)
        z2 = self.sampling(mean2, log_var2)
        mean1, log_var1 = self.encode_lower(features, z2)
        z1 = self.sampling(mean1, log_var1)
        zero = torch.zeros_like(z2)
        prior = gaussian_log_prob(z2, zero, zero) + gaussian_log_prob(z1, *self.prior_of_lower(z2))
        posterior = gaussian_log_prob(z2, mean2, log_var2) + gaussian_log_prob(z1, mean1, log_var1)
        repeated = image.repeat(samples, *[1] * (image.dim() - 1))
        nll = self.likelihood.nll(self.decoder(z1), repeated)
        return (prior - nll - posterior).view(samples, -1)

    @torch.no_grad()
    def sample(
        self, count: int, *, z2: Tensor | None = None, noise: bool = False,
        generator: Generator | None = None,
    ) -> Tensor:  # fmt: skip
        r"""New images: z₂ (count, D₂) from N(0, I) unless given, z₁ from p(z₁ | z₂), decoded.

        noise: draw the pixels too, instead of showing their mean
        """
        require.count(count=count)
        require.generator(generator)
        if z2 is None:
            z2 = torch.randn(count, self.latent_dims[1], generator=generator)
        mean, log_var = self.prior_of_lower(z2.to(next(self.parameters()).device))
        draw = torch.randn(mean.shape, generator=generator).to(mean.device)
        output = self.decoder(mean + torch.exp(0.5 * log_var) * draw)
        return self.likelihood.sample(output, generator) if noise else self.likelihood.mean(output)


def _two_halves(both: Tensor) -> tuple[Tensor, Tensor]:
    r"""Mean and log-variance out of one output, in float32 or finer: (B, 2 D) → (B, D) each."""
    return require.common_floats(*both.chunk(2, dim=1))


def build_vae(
    kind: str, *, latent_dim: int, width: int, image_shape: Sequence[int] = IMAGE_SHAPE,
    likelihood: str | Sequence[str] = "bernoulli", classes: int = 10, layers: int = 1,
    upper_dim: int = 16,
) -> "VAE | TwoLevelVAE":  # fmt: skip
    r"""A VAE by the name it has on the command line and on model cards.

    kind: "conv-vae", "dense-vae", "conditional-vae" (convolutional), "table-vae", "two-level-vae"
        or "paper-vae"
    width: channels of the first convolution, or hidden units; layers: hidden ones of a "dense-vae"
    likelihood: as `losses.likelihood_of` reads it; of a table, one text a column; of
        "two-level-vae" and "paper-vae" it is Bernoulli, and the images are IMAGE_SHAPE
    Raises: ValueError if there is no such kind, or not for such images.
    """
    if kind in ("two-level-vae", "paper-vae") and tuple(image_shape) != IMAGE_SHAPE:
        raise ValueError(
            f"{kind} is for images of shape {IMAGE_SHAPE}, got {tuple(image_shape)}: take conv-vae "
            "or dense-vae, or make the images grey and 28 × 28"
        )
    if kind == "table-vae":
        return VAE.table(latent_dim, likelihood, hidden=width)
    about = {"image_shape": tuple(image_shape), "likelihood": likelihood_of(likelihood)}
    if kind == "dense-vae":
        return VAE.dense(latent_dim, hidden=width, layers=layers, **about)
    if kind == "conv-vae":
        return VAE.conv(latent_dim, channels=width, **about)
    if kind == "conditional-vae":
        return ConditionalVAE.conv(latent_dim, channels=width, classes=classes, **about)
    if kind == "two-level-vae":
        return TwoLevelVAE.conv((latent_dim, upper_dim), channels=width)
    if kind == "paper-vae" and (latent_dim, width) == (50, 200):
        return VAE.paper()
    raise ValueError(f"there is no {kind!r} with {latent_dim} latents and width {width}")


def unwrap(model: nn.Module) -> nn.Module:
    r"""The model inside torch.compile's, DataParallel's or DistributedDataParallel's wrapper."""
    while True:
        if hasattr(model, "_orig_mod"):  # torch.compile
            model = model._orig_mod
        elif isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            model = model.module
        else:
            return model


def network_shapes(
    likelihood: Likelihood | None, image_shape: Sequence[int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    r"""The shapes of what the encoder reads and of what the decoder gives out for an image."""
    first, *others = image_shape
    if likelihood is None:
        return tuple(image_shape), tuple(image_shape)
    if isinstance(likelihood, Table):
        return (likelihood.inputs,), (likelihood.channels,)
    return (first * likelihood.inputs, *others), (first * likelihood.channels, *others)


def _like_weights(network: nn.Module, values: Tensor) -> Tensor:
    r"""The values in the dtype of the network's weights, where it has some."""
    return values.to(next(network.parameters(), values).dtype)


def _relu_layers(inputs: int, hidden: int, count: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for width in [inputs] + [hidden] * (count - 1):
        layers += [nn.Linear(width, hidden), nn.ReLU()]
    return layers


def _tanh_layers(*widths: int) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.Tanh()]
    return layers[:-1]  # the last layer is linear
