r"""How good is a VAE? Bounds on the likelihood, and what its latent space looks like.

Everything is per image and in nats; averaging is left to you (`mean_with_error`).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vae_course import require
from vae_course.losses import Bernoulli, gaussian_kl, gaussian_log_prob
from vae_course.models import VAE, ConditionalVAE, TwoLevelVAE, unwrap
from vae_course.training.core import evaluating
from vae_course.training.source import on_model_device


@dataclass(frozen=True)
class Elbo:
    r"""The two parts of −ELBO for each image, (N,) each, in nats."""

    reconstruction: Tensor
    kl: Tensor

    @property
    def total(self) -> Tensor:
        r"""reconstruction + kl: an upper bound on −log p(image), on average over the noise."""
        return self.reconstruction + self.kl

    def __repr__(self) -> str:
        parts = f"reconstruction {self.reconstruction.mean():.2f} + KL {self.kl.mean():.2f}"
        return f"Elbo({len(self.kl):,} images: {self.total.mean():.2f} nats an image = {parts})"


@dataclass(frozen=True)
class AggregatePosterior:
    r"""Moments of q(z) = (1/N) Σ q(z | x_n) for each latent dimension, (D,) each.

    kl_to_prior: KL in nats of the Gaussian with these moments from N(0, 1). It is 0 where the
    moments are those of the prior, though the shape of q(z) may still differ.
    """

    mean: Tensor
    std: Tensor
    kl_to_prior: Tensor

    def __repr__(self) -> str:
        return (
            f"AggregatePosterior({len(self.mean)} dimensions: "
            f"mean {self.mean.min():.2f} to {self.mean.max():.2f}, "
            f"std {self.std.min():.2f} to {self.std.max():.2f}, "
            f"KL to the prior {self.kl_to_prior.sum():.2f} nats together)"
        )


@torch.no_grad()
def elbo(
    model: VAE,
    images: Tensor,
    *,
    labels: Tensor | None = None,
    samples: int = 1,
    seed: int = 0,
    batch_size: int = 500,
) -> Elbo:
    r"""Reconstruction (mean over `samples` draws of z) and KL of each image, in nats.

    Shapes: images (N, …), labels (N,) for a ConditionalVAE → two tensors (N,)
    Raises: ValueError, TypeError on wrong shapes, a missing label, or values that the model's
        likelihood gives no probability to, such as pixels outside [0, 1].
    """
    require.count(samples=samples, batch_size=batch_size)
    require.seed(seed)
    parts: list[tuple[Tensor, Tensor]] = []
    model, data = _labelled(model, images, labels)
    with evaluating(model, seed):
        for image, *label in _batches(data, batch_size):
            if isinstance(model, TwoLevelVAE):
                draws = [torch.stack(model.elbo_terms(image)) for _ in range(samples)]
                parts.append(tuple(sum(draws) / samples))
                continue
            mean, log_var = model.encode(image)  # (B, D)
            draws = [
                _nll(model, model.sampling(mean, log_var), image, label) for _ in range(samples)
            ]
            parts.append((sum(draws) / samples, gaussian_kl(mean, log_var)))
    reconstruction, kl = (torch.cat(part) for part in zip(*parts, strict=True))
    return Elbo(reconstruction, kl)


@torch.no_grad()
def importance_bound(
    model: VAE,
    images: Tensor,
    *,
    samples: int,
    labels: Tensor | None = None,
    seed: int = 0,
    rows: int = 2000,
) -> Tensor:
    r"""Importance-weighted lower bound on log p(image), with K = `samples` draws of z, in nats.

    log (1/K) Σ p(x | z_k) p(z_k) / q(z_k | x), z_k ~ q(z | x). In expectation it grows with K, from
    the ELBO at K = 1 towards log p(x).

    At most `rows` latents are decoded at a time: the sum over K is taken piece by piece, so that
    memory does not grow with K.

    Shapes: images (N, …), labels (N,) for a ConditionalVAE → (N,)
    Raises: ValueError, TypeError as `elbo`.
    Source: Burda, Grosse & Salakhutdinov 2016, equation 8.
    """
    require.count(samples=samples, rows=rows)
    require.seed(seed)
    at_once = min(samples, rows)  # draws of z for one image that are decoded together
    model, data = _labelled(model, images, labels)
    bounds = []
    with evaluating(model, seed):
        for image, *label in _batches(data, max(1, rows // at_once)):
            posterior = () if isinstance(model, TwoLevelVAE) else model.encode(image)  # (B, D)
            total = torch.full((len(image),), -math.inf, device=image.device)
            for start in range(0, samples, at_once):
                count = min(at_once, samples - start)
                weights = _log_weights(model, image, label, posterior, count)  # (count, B)
                total = torch.logaddexp(total, torch.logsumexp(weights, dim=0))
            bounds.append(total - math.log(samples))
    return torch.cat(bounds)


def _log_weights(model, image, label, posterior, count) -> Tensor:
    r"""log p(x, z) − log q(z | x) for `count` draws of z an image: (count, B)."""
    if isinstance(model, TwoLevelVAE):
        return model.log_weights(image, count)
    mean, log_var = (part.expand(count, *part.shape) for part in posterior)  # (count, B, D)
    latent = model.sampling(mean, log_var)
    zero = torch.zeros_like(mean)
    log_ratio = gaussian_log_prob(latent, zero, zero) - gaussian_log_prob(latent, mean, log_var)
    image, *label = (given.repeat(count, *[1] * (given.dim() - 1)) for given in (image, *label))
    return log_ratio - _nll(model, latent.flatten(end_dim=1), image, label).view(count, -1)


def _nll(model: VAE, latent: Tensor, image: Tensor, label: list[Tensor]) -> Tensor:
    r"""−log p(image | latent) by the model's own likelihood (a model without one: Bernoulli)."""
    output = getattr(model, "output", model.decoder)(latent, *label)
    return getattr(model, "likelihood", Bernoulli()).nll(output, image)


@torch.no_grad()
def latent_codes(model: VAE, images: Tensor, *, batch_size: int = 1000) -> tuple[Tensor, Tensor]:
    r"""Mean and log-variance of q(z | image) for all images, in eval mode: (N, …) → two (N, D)."""
    require.count(batch_size=batch_size)
    model = unwrap(model)
    (images,) = _ready(model, images=images)
    with evaluating(model, seed=0):
        codes = [model.encode(batch) for batch in images.split(batch_size)]
    mean, log_var = (torch.cat(part) for part in zip(*codes, strict=True))
    return mean, log_var


def active_units(mean: Tensor, *, threshold: float = 0.01) -> Tensor:
    r"""Which latent dimensions carry something: the variance over images of their posterior mean.

    Shapes: mean (N, D), the means of q(z | x) for N images → (D,) bool
    Raises: ValueError unless mean has two dimensions and at least two images.
    Source: Burda, Grosse & Salakhutdinov 2016, section 5.2.
    """
    _check_codes(mean)
    require.number(threshold=threshold)
    return mean.var(dim=0) > threshold


def aggregate_posterior(mean: Tensor, log_var: Tensor) -> AggregatePosterior:
    r"""Mean and spread of the codes of all images together, to be held against N(0, 1).

    The variance of a mixture: the average of the variances plus the variance of the means.

    Shapes: mean, log_var (N, D) of q(z | x_n) → three tensors (D,)
    Raises: ValueError unless both are (N, D) with at least two images.
    """
    _check_codes(mean)
    require.floats(log_var=log_var)
    if mean.shape != log_var.shape:
        raise ValueError(f"mean {tuple(mean.shape)} and log_var {tuple(log_var.shape)} differ")
    center = mean.mean(dim=0)
    variance = log_var.exp().mean(dim=0) + mean.var(dim=0, correction=0)
    kl = 0.5 * (center.square() + variance - 1 - variance.log())
    return AggregatePosterior(center, variance.sqrt(), kl)


def mean_with_error(values: Tensor) -> tuple[float, float]:
    r"""The mean of one number an image and its standard error, std / √N.

    Shapes: values (N,), N ≥ 2 → (mean, error) floats
    Raises: ValueError unless values is one-dimensional with at least two entries.
    """
    if not isinstance(values, Tensor) or values.is_complex():
        raise TypeError(f"values are {require.kind(values)}; expected a tensor of numbers, (N,)")
    if values.dim() != 1 or len(values) < 2:
        raise ValueError(
            f"values have shape {tuple(values.shape)}; expected one number an image, (N,), N >= 2"
        )
    values = values.cpu().double()  # Apple's MPS has no doubles
    return values.mean().item(), (values.std() / math.sqrt(len(values))).item()


def _labelled(model: VAE, images: Tensor, labels: Tensor | None) -> tuple[VAE, list[Tensor]]:
    model = unwrap(model)
    if isinstance(model, ConditionalVAE) and labels is None:
        raise ValueError("a ConditionalVAE needs the labels too: pass labels=…, one an image")
    if not isinstance(model, ConditionalVAE) and labels is not None:
        raise ValueError(f"labels were given, but {type(model).__name__} knows no labels")
    if isinstance(labels, Tensor) and labels.dim() != 1:
        raise ValueError(f"labels have shape {tuple(labels.shape)}; expected one an image, (N,)")
    return model, _ready(model, images=images, labels=labels)


def _ready(model: VAE, **data: Tensor | None) -> list[Tensor]:
    r"""Images (and labels) on the model's device. Raises: ValueError, TypeError."""
    images, *others = on_model_device(model, **data)
    if not all(hasattr(model, part) for part in ("sampling", "decoder")):
        came = require.kind(model)
        raise TypeError(f"model is {came}; expected a VAE, with encode, sampling, decoder")
    return [images, *others]


def _batches(data: list[Tensor], batch_size: int):
    return zip(*(tensor.split(batch_size) for tensor in data), strict=True)


def _check_codes(mean: Tensor) -> None:
    require.floats(mean=mean)
    if mean.dim() != 2 or len(mean) < 2:
        raise ValueError(
            f"mean has shape {tuple(mean.shape)}; expected (images, latent) with at least 2 images"
        )
