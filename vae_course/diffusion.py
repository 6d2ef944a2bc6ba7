r"""Diffusion: a deep VAE whose encoder is nothing but noise.

The chain x₀ → x₁ → … → x_T adds noise and has no weights; the generative chain goes back, and its
ELBO is that of notebook 04, term by term. Times are whole numbers t = 1 … T; ᾱ_t ("alpha_bar") is
the share of the picture's variance that is left at t, with ᾱ_0 = 1. Shapes beside each line: B
pictures (or latents) of any shape, D numbers each. Losses are nats a picture unless they say not.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

# ------------------------------------------------------------------ the way there: no weights


def cosine_schedule(steps: int, *, start: float = 0.9999, end: float = 1e-4) -> Tensor:
    r"""ᾱ_0 = 1, ᾱ_1 … ᾱ_T along a squared cosine, from `start` to `end`: (T + 1,) float64.

    Source: Nichol & Dhariwal 2021, equation 17, with its ends where they are asked for.
    """
    angles = [math.acos(math.sqrt(share)) for share in (start, end)]
    angle = torch.linspace(angles[0], angles[1], steps, dtype=torch.float64)  # (T,)
    return torch.cat([angle.new_ones(1), angle.cos().square()])


def linear_schedule(steps: int, *, first: float = 1e-4, last: float = 0.02) -> Tensor:
    r"""ᾱ_t of noise variances β_t that rise in a straight line: (T + 1,) float64.

    first, last: β_1 and β_T of a chain of 1,000 steps; for other lengths they are scaled, so that
        the same noise is reached.
    Source: Ho, Jain & Abbeel 2020, section 4.
    """
    beta = torch.linspace(first, last, steps, dtype=torch.float64) * (1000 / steps)  # (T,)
    return torch.cat([beta.new_ones(1), (1 - beta.clamp(max=0.999)).cumprod(dim=0)])


def noised(image: Tensor, noise: Tensor, alpha_bar: Tensor) -> Tensor:
    r"""x_t from x_0 in one step: √ᾱ_t · image + √(1 − ᾱ_t) · noise.

    Shapes: image, noise (B, …), alpha_bar (B,) → (B, …)
    Source: Ho et al. 2020, equation 4.
    """
    alpha_bar = _beside(alpha_bar, image)
    return alpha_bar.sqrt() * image + (1 - alpha_bar).sqrt() * noise


def _beside(values: Tensor, image: Tensor) -> Tensor:
    r"""One number a picture, (B,), as (B, 1, …, 1) in the picture's dtype."""
    return values.to(image).view(-1, *[1] * (image.dim() - 1))


# ------------------------------------------------------------------ the way back, and its ELBO


def diffusion_kl(
    beta: Tensor, alpha_bar: Tensor, alpha_bar_before: Tensor, noise_error: Tensor
) -> Tensor:
    r"""KL(q(x_{t−1} | x_t, x_0) ‖ p(x_{t−1} | x_t)), the ELBO's term of step t > 1, in nats.

    Both are Gaussians of one variance, β̃ = β (1 − ᾱ_{t−1}) / (1 − ᾱ_t); only their means differ,
    by a multiple of the error of the predicted noise.

    Shapes: all (B,); noise_error is the squared error summed over a picture's numbers → (B,)
    Source: Ho et al. 2020, equations 8 and 12.
    """
    variance = beta * (1 - alpha_bar_before) / (1 - alpha_bar)  # (B,)
    factor = beta.square() / ((1 - beta) * (1 - alpha_bar))  # (B,)
    return factor * noise_error / (2 * variance)


def end_kl(image: Tensor, alpha_bar: Tensor) -> Tensor:
    r"""KL(q(x_T | x_0) ‖ N(0, I)), what is left of the picture at the end: (B, …) → (B,) nats."""
    left = _beside(alpha_bar.expand(len(image)), image)
    per_number = 0.5 * (left * image.square() - left - torch.log1p(-left))
    return per_number.flatten(start_dim=1).sum(dim=1)


def noise_from_v(noisy: Tensor, v: Tensor, alpha_bar: Tensor) -> Tensor:
    r"""The noise that a prediction of v = √ᾱ · noise − √(1 − ᾱ) · image amounts to.

    Source: Salimans & Ho 2022, section 4.
    """
    alpha_bar = _beside(alpha_bar, noisy)
    return (1 - alpha_bar).sqrt() * noisy + alpha_bar.sqrt() * v


def image_from_noise(noisy: Tensor, noise: Tensor, alpha_bar: Tensor) -> Tensor:
    r"""The clean picture that a prediction of the noise amounts to: → like noisy."""
    alpha_bar = _beside(alpha_bar, noisy)
    return (noisy - (1 - alpha_bar).sqrt() * noise) / alpha_bar.sqrt()


def ddim_step(
    noisy: Tensor, predicted_noise: Tensor, alpha_bar: Tensor, alpha_bar_next: Tensor
) -> Tensor:
    r"""From x_t to an earlier time without new noise: guess the picture, noise it again, less.

    Shapes: noisy, predicted_noise (B, …), alpha_bar, alpha_bar_next (B,) → (B, …)
    Source: Song, Meng & Ermon 2021, equation 12 with σ = 0.
    """
    image = image_from_noise(noisy, predicted_noise, alpha_bar)
    return noised(image, predicted_noise, alpha_bar_next)


def ancestral_step(
    noisy: Tensor,
    predicted_noise: Tensor,
    alpha_bar: Tensor,
    alpha_bar_next: Tensor,
    noise: Tensor,
) -> Tensor:
    r"""A draw from p(x_s | x_t), s < t: the mean of q(x_s | x_t, guess) and a share of noise.

    Shapes: as `ddim_step`; noise (B, …) standard normal
    Source: Ho et al. 2020, algorithm 2, with the smaller of its two variances.
    """
    now, then = _beside(alpha_bar, noisy), _beside(alpha_bar_next, noisy)
    variance = (1 - then) / (1 - now) * (1 - now / then)  # β̃ of the step from s to t
    image = image_from_noise(noisy, predicted_noise, alpha_bar)
    mean = then.sqrt() * image + (1 - then - variance).clamp(min=0).sqrt() * predicted_noise
    return mean + variance.sqrt() * noise


# ------------------------------------------------------------------ a model of the chain


class Diffusion(nn.Module):
    r"""A network that is asked, at every time of a fixed chain, what the noise is.

    network(noisy (B, …), time (B,) in 0 … 1, label (B,) or None) → (B, …), a prediction of v, or
        of the noise.
    Shapes: the things diffused are (B, *shape), scaled to a variance near 1.
    """

    def __init__(
        self, network: nn.Module, *, shape: tuple[int, ...], steps: int = 1000,
        alpha_bar: Tensor | None = None, predicts: str = "v",
    ):  # fmt: skip
        super().__init__()
        if predicts not in ("v", "noise"):
            raise ValueError(f"predicts is {predicts!r}; expected 'v' or 'noise'")
        self.network, self.shape, self.predicts = network, tuple(shape), predicts
        alpha_bar = cosine_schedule(steps) if alpha_bar is None else alpha_bar
        self.alpha_bar = alpha_bar.double().cpu()  # (T + 1,): no buffer, MPS has no doubles

    @classmethod
    def unet(cls, *, channels: int = 32, steps: int = 1000, image_shape=(1, 28, 28)) -> Diffusion:
        r"""Of pictures scaled to −1 … 1, with a small U-Net.

        Raises: ValueError unless height and width are multiples of 4.
        """
        _, height, width = image_shape
        if height % 4 or width % 4:
            raise ValueError(
                f"pictures of {height} × {width} pixels came; two halvings need multiples of 4: "
                "pad or crop them"
            )
        network = UNet(colours=image_shape[0], channels=channels)
        return cls(network, shape=tuple(image_shape), steps=steps)

    @property
    def steps(self) -> int:
        return len(self.alpha_bar) - 1

    def left(self, t: Tensor) -> Tensor:
        r"""ᾱ_t, in doubles on the CPU: (B,) int64 on any device → (B,)."""
        return self.alpha_bar[t.cpu()]

    def predict(
        self, noisy: Tensor, t: Tensor, label: Tensor | None = None, *, guidance: float = 0.0
    ) -> Tensor:
        r"""The noise in x_t. guidance: 0 follows the label, more exaggerates what it changes.

        Shapes: noisy (B, …), t (B,) int64 in 1 … T, label (B,) or None → (B, …)
        Source: Ho & Salimans 2022, equation 6 (classifier-free guidance).
        """
        time = t / self.steps
        output = self.network(noisy, time, label)
        if guidance and label is not None:
            output = output + guidance * (output - self.network(noisy, time, None))
        if self.predicts == "noise":
            return output
        return noise_from_v(noisy, output, self.left(t))

    def loss(self, image: Tensor, label: Tensor | None = None, *, drop: float = 0.1) -> Tensor:
        r"""Squared error of the prediction at a random time, a mean over everything: ().

        The ELBO without its weights. drop: this share of the labels is hidden, so that the network
        learns the unconditional picture too.
        """
        # One time in each of B equal parts of 1 … T, shuffled: as random, with less scatter.
        even = (torch.randperm(len(image)) + torch.rand(len(image))) / len(image)  # (B,)
        t = (even * self.steps).long().to(image.device) + 1  # (B,)
        noise = torch.randn_like(image)
        left = self.left(t)
        noisy = noised(image, noise, left)
        if label is not None and drop:
            hidden = torch.rand(len(label), device=label.device) < drop
            label = label.masked_fill(hidden, -1)
        output = self.network(noisy, t / self.steps, label)
        if self.predicts == "noise":
            return F.mse_loss(output, noise)
        left = _beside(left, image)
        return F.mse_loss(output, left.sqrt() * noise - (1 - left).sqrt() * image)

    def terms(self, image: Tensor, t: Tensor, noise: Tensor, label: Tensor | None = None) -> Tensor:
        r"""The ELBO's term of time t > 1 with this noise, in nats: (B, …), (B,), (B, …) → (B,)."""
        now, before = self.left(t), self.left(t - 1)
        predicted = self.predict(noised(image, noise, now), t, label)
        error = (predicted - noise).cpu().double().square().flatten(start_dim=1).sum(dim=1)  # (B,)
        return diffusion_kl(1 - now / before, now, before, error)

    def first_term(
        self, image: Tensor, noise: Tensor, label: Tensor | None = None, *, levels: int = 256
    ) -> Tensor:
        r"""−log p(x_0 | x_1), the reconstruction, in nats; x_0 has `levels` grey values in −1 … 1.

        A Gaussian around the guess, as narrow as the noise of step 1, its mass summed over each
        grey value's cell. Shapes: (B, …), (B, …) → (B,)
        Source: Ho et al. 2020, equation 13.
        """
        t = torch.ones(len(image), dtype=torch.long, device=image.device)
        left = self.left(t)
        noisy = noised(image, noise, left)
        mean = image_from_noise(noisy, self.predict(noisy, t, label), left).cpu().double()
        image = image.cpu().double()
        std, half = ((1 - left[0]) / left[0]).sqrt(), 1 / (levels - 1)
        gaussian = torch.distributions.Normal(mean, std)
        above = torch.where(image > 1 - half, 1.0, gaussian.cdf(image + half))
        below = torch.where(image < half - 1, 0.0, gaussian.cdf(image - half))
        return -(above - below).clamp(min=1e-12).log().flatten(start_dim=1).sum(dim=1)

    @torch.no_grad()
    def sample(
        self, count: int, *, label: Tensor | None = None, steps: int = 50, ancestral: bool = False,
        guidance: float = 0.0, generator: Generator | None = None,
        after_step: Callable[[int, Tensor, Tensor], object] | None = None,
    ) -> Tensor:  # fmt: skip
        r"""Draws from noise to x_0 in `steps` steps: (count, *shape).

        ancestral: new noise at each step, as the chain has it; else DDIM, which needs none.
        after_step(t, x, guess): sees every step, and the clean picture guessed there.
        """
        device = next((p.device for p in self.parameters()), self.alpha_bar.device)
        x = torch.randn(count, *self.shape, generator=generator).to(device)
        times = torch.linspace(self.steps, 0, steps + 1).round().long().tolist()
        for now, then in itertools.pairwise(times):
            t = torch.full((count,), now, device=device)
            noise = self.predict(x, t, label, guidance=guidance)
            left, left_then = self.left(t), self.left(t - t + then)
            if after_step is not None:
                after_step(now, x, image_from_noise(x, noise, left))
            if ancestral and then:
                fresh = torch.randn(count, *self.shape, generator=generator).to(device)
                x = ancestral_step(x, noise, left, left_then, fresh)
            else:
                x = ddim_step(x, noise, left, left_then)
        return x


class Bound(NamedTuple):
    r"""The chain's −ELBO of each picture, (B,) each, in nats: their sum is the bound."""

    end: Tensor
    middle: Tensor
    first: Tensor

    @property
    def total(self) -> Tensor:
        return self.end + self.middle + self.first

    def __repr__(self) -> str:
        parts = zip(self._fields, self, strict=True)
        means = " + ".join(f"{name} {part.mean():.2f}" for name, part in parts)
        return f"Bound({len(self.end):,} images: {self.total.mean():.2f} nats an image = {means})"


@torch.no_grad()
def bound(
    model: Diffusion, image: Tensor, label: Tensor | None = None, *,
    draws: int = 20, levels: int = 256, generator: Generator | None = None,
) -> Bound:  # fmt: skip
    r"""An upper bound on −log p(x_0) of each picture, with `draws` of its T − 1 middle terms.

    The times are drawn evenly over the chain, one in each of `draws` equal parts, so the sum over
    all times is estimated without bias.
    """
    count, middle_terms = len(image), model.steps - 1
    middle = torch.zeros(count, dtype=torch.float64)
    for part in range(draws):
        place = (part + torch.rand(count, generator=generator)) / draws  # (B,) in 0 … 1
        t = (place * middle_terms).long().clamp(max=middle_terms - 1).to(image.device) + 2
        noise = torch.randn(image.shape, generator=generator).to(image.device)
        middle += model.terms(image, t, noise, label) * (middle_terms / draws)
    noise = torch.randn(image.shape, generator=generator).to(image.device)
    return Bound(
        end_kl(image.cpu().double(), model.alpha_bar[-1]), middle,
        model.first_term(image, noise, label, levels=levels),
    )  # fmt: skip


# ------------------------------------------------------------------ networks


def time_features(time: Tensor, width: int) -> Tensor:
    r"""Sines and cosines of a time in 0 … 1, from slow to fast: (B,) → (B, width).

    Source: Vaswani et al. 2017, section 3.5.
    """
    rates = torch.exp(torch.linspace(0, math.log(1000), width // 2, device=time.device))
    angle = time.float()[:, None] * rates  # (B, width / 2)
    return torch.cat([angle.sin(), angle.cos()], dim=1)


class Conditions(nn.Module):
    r"""What time it is, and which class is asked for, in one vector: (B,), (B,) → (B, width).

    A label of −1 (or None) stands for "any".
    """

    def __init__(self, width: int, classes: int):
        super().__init__()
        self.width, self.classes = width, classes
        self.from_time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.from_label = nn.Embedding(classes + 1, width)  # the last one is "any"

    def forward(self, time: Tensor, label: Tensor | None) -> Tensor:
        if label is None:
            label = torch.full(time.shape, -1, device=time.device)
        label = torch.where(label < 0, self.classes, label)
        features = time_features(time, self.width).to(self.from_label.weight.dtype)
        return self.from_time(features) + self.from_label(label)  # (B, width)


class DenseDenoiser(nn.Module):
    r"""A residual network of dense layers for latents: (B, D), (B,), (B,) or None → (B, D)."""

    def __init__(self, latent_dim: int, *, width: int = 256, layers: int = 3, classes: int = 10):
        super().__init__()
        self.conditions = Conditions(width, classes)
        self.enter = nn.Linear(latent_dim, width)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.SiLU(), nn.Linear(width, width))
            for _ in range(layers)
        )
        self.leave = nn.Linear(width, latent_dim)

    def forward(self, noisy: Tensor, time: Tensor, label: Tensor | None = None) -> Tensor:
        conditions = self.conditions(time, label)  # (B, width)
        x = self.enter(noisy)  # (B, width)
        for layer in self.layers:
            x = x + layer(x + conditions)  # (B, width)
        return self.leave(x)  # (B, D)


class ResidualBlock(nn.Module):
    r"""Two convolutions beside a shortcut; the conditions shift what lies between them."""

    def __init__(self, inputs: int, outputs: int, conditions: int):
        super().__init__()
        self.norm_1, self.norm_2 = nn.GroupNorm(8, inputs), nn.GroupNorm(8, outputs)
        self.conv_1 = nn.Conv2d(inputs, outputs, kernel_size=3, padding=1)
        self.conv_2 = nn.Conv2d(outputs, outputs, kernel_size=3, padding=1)
        self.shift = nn.Linear(conditions, outputs)
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        nn.init.zeros_(self.conv_2.weight)  # at first every block passes on what came

    def forward(self, x: Tensor, conditions: Tensor) -> Tensor:
        inside = self.conv_1(F.silu(self.norm_1(x)))  # (B, outputs, H, W)
        inside = inside + self.shift(F.silu(conditions))[:, :, None, None]
        return self.shortcut(x) + self.conv_2(F.silu(self.norm_2(inside)))


class UNet(nn.Module):
    r"""Pictures to pictures at three sizes (28, 14, 7), with bridges between the same sizes.

    Shapes: (B, colours, H, W), (B,), (B,) or None → (B, colours, H, W); H, W multiples of 4
    Source: Ronneberger et al. 2015; Ho et al. 2020, appendix B, much smaller.
    """

    def __init__(self, *, colours: int = 1, channels: int = 32, classes: int = 10):
        super().__init__()
        wide, both = 2 * channels, 4 * channels
        self.conditions = Conditions(both, classes)
        self.enter = nn.Conv2d(colours, channels, kernel_size=3, padding=1)
        self.down_1 = ResidualBlock(channels, channels, both)  # 28 × 28
        self.halve_1 = nn.Conv2d(channels, wide, kernel_size=3, stride=2, padding=1)
        self.down_2 = ResidualBlock(wide, wide, both)  # 14 × 14
        self.halve_2 = nn.Conv2d(wide, wide, kernel_size=3, stride=2, padding=1)
        self.middle = nn.ModuleList(ResidualBlock(wide, wide, both) for _ in range(2))  # 7 × 7
        self.up_2 = ResidualBlock(2 * wide, wide, both)  # 14 × 14, with the bridge
        self.up_1 = ResidualBlock(wide + channels, channels, both)  # 28 × 28, with the bridge
        self.leave = nn.Sequential(
            nn.GroupNorm(8, channels), nn.SiLU(),
            nn.Conv2d(channels, colours, kernel_size=3, padding=1),
        )  # fmt: skip

    def forward(self, noisy: Tensor, time: Tensor, label: Tensor | None = None) -> Tensor:
        conditions = self.conditions(time, label)  # (B, 4C)
        large = self.down_1(self.enter(noisy), conditions)  # (B, C, 28, 28)
        medium = self.down_2(self.halve_1(large), conditions)  # (B, 2C, 14, 14)
        x = self.halve_2(medium)  # (B, 2C, 7, 7)
        for block in self.middle:
            x = block(x, conditions)
        x = torch.cat([F.interpolate(x, scale_factor=2), medium], dim=1)  # (B, 4C, 14, 14)
        x = torch.cat([F.interpolate(self.up_2(x, conditions), scale_factor=2), large], dim=1)
        return self.leave(self.up_1(x, conditions))  # (B, colours, 28, 28)


# ------------------------------------------------------------------ latent diffusion


class LatentDiffusion(nn.Module):
    r"""A diffusion model of a VAE's codes: it fills the hole between prior and posterior.

    The codes are scaled to mean 0 and variance 1 before they are diffused; the scale belongs to
    the weights. `decode` turns draws into pictures with the VAE's own decoder.
    """

    def __init__(self, vae: nn.Module, *, width: int = 256, layers: int = 3, steps: int = 1000):
        super().__init__()
        object.__setattr__(self, "vae", vae)  # a part of another model: not in our state_dict
        size = vae.latent_dim
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("std", torch.ones(size))
        network = DenseDenoiser(size, width=width, layers=layers)
        self.diffusion = Diffusion(network, shape=(size,), steps=steps)

    @torch.no_grad()
    def set_scale(self, codes: Tensor) -> None:
        self.mean.copy_(codes.mean(dim=0))
        self.std.copy_(codes.std(dim=0))

    def loss(self, codes: Tensor, label: Tensor | None = None, *, drop: float = 0.1) -> Tensor:
        r"""`Diffusion.loss` of codes drawn from q(z | x): (B, D) → ()."""
        return self.diffusion.loss((codes - self.mean) / self.std, label, drop=drop)

    @torch.no_grad()
    def sample(self, count: int, **options) -> Tensor:
        r"""Pixels in [0, 1]; options as `Diffusion.sample`."""
        codes = self.diffusion.sample(count, **options) * self.std + self.mean
        return self.vae.decode(codes)
