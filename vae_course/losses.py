r"""Losses, per image and in nats.

Every function sums over pixels and latent dimensions and leaves the batch alone: a tensor
of shape (batch,) comes back. Averaging over the batch happens where you can see it, in the
training step. That keeps the balance between reconstruction and KL exactly as derived
(notebook 04 shows what happens to people who mix `mean` and `sum`).
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from vae_course.require import check_numbers, check_tensors

LOG_2PI = math.log(2 * math.pi)


def _same_shape(**tensors: Tensor) -> None:
    check_tensors(**tensors)
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if len(set(shapes.values())) > 1:
        listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(f"expected the same shape everywhere, got {listed}")
    first = next(iter(shapes))
    if len(shapes[first]) < 2:
        raise ValueError(
            f"{first} has shape {shapes[first]}; expected a batch, (batch, …): "
            f"add the batch dimension with {first}[None]"
        )


def _stretches(tensor: Tensor, to: torch.Size) -> bool:
    r"""Whether broadcasting makes the tensor as large as `to`, and no larger."""
    own = tensor.shape
    pairs = zip(reversed(own), reversed(to), strict=False)
    return len(own) <= len(to) and all(n in (1, m) for n, m in pairs)


def _checked_std(std: float | Tensor, mean: Tensor, dtype: torch.dtype) -> Tensor:
    if not isinstance(std, Tensor):
        check_numbers(std=std)
    std = torch.as_tensor(std, dtype=dtype, device=mean.device)
    # As many dimensions as mean: (batch,) would be stretched along the wrong axis.
    one = std.numel() == 1
    if not (one or std.dim() == mean.dim()) or not _stretches(std, mean.shape):
        raise ValueError(f"std has shape {tuple(std.shape)}; expected () or {tuple(mean.shape)}")
    if not (std > 0).all():
        raise ValueError(f"std must be positive, got {std.min():.3g}; pass log_std.exp()")
    return std


def _same_latents(value: Tensor, **parameters: Tensor) -> None:
    check_tensors(value=value, **parameters)
    for name, given in parameters.items():
        alike = value.dim() > 0 and given.shape[-1:] == value.shape[-1:]
        if not alike or not _stretches(given, value.shape):
            raise ValueError(
                f"{name} has shape {tuple(given.shape)} and value {tuple(value.shape)}; expected "
                "the same, or what is left of it without its first dimensions"
            )


def _sum_per_image(values: Tensor) -> Tensor:
    return values.flatten(start_dim=1).sum(dim=1)


def check_pixels(image: Tensor) -> None:
    r"""Raises: ValueError unless all pixels lie in [0, 1], TypeError unless they are floats."""
    check_tensors(image=image)
    low, high = image.detach().aminmax() if image.numel() else (image.new_zeros(()),) * 2
    if not (low >= 0 and high <= 1):  # written so that NaN fails too
        raise ValueError(
            f"image values run from {low:.3g} to {high:.3g}; expected pixels in [0, 1]: "
            "divide by 255, or undo the normalisation"
        )


def mse_per_image(image: Tensor, reconstruction: Tensor) -> Tensor:
    r"""Squared error of each image, averaged over its pixels.

    Shapes: image, reconstruction (batch, …) → (batch,)
    Units: squared pixel values, for pixels in [0, 1].
    Raises: ValueError if the shapes differ (a silent broadcast would average wrong pairs).
    """
    _same_shape(image=image, reconstruction=reconstruction)
    if image.numel() == 0 and len(image):
        raise ValueError(f"images of shape {tuple(image.shape)} have no pixels to average over")
    return (image - reconstruction).square().flatten(start_dim=1).mean(dim=1)


def bernoulli_nll(logits: Tensor, image: Tensor) -> Tensor:
    r"""−log p(image | logits) of each image under independent Bernoulli pixels, in nats.

    Shapes: logits, image (batch, …) → (batch,)
    Units: image pixels in [0, 1]; grey values are read as probabilities of a white pixel.
    Raises: ValueError if the shapes differ or pixels lie outside [0, 1].
    Source: Kingma & Welling 2014, appendix C.1.
    """
    _same_shape(logits=logits, image=image)
    check_pixels(image)
    return _sum_per_image(F.binary_cross_entropy_with_logits(logits, image, reduction="none"))


def gaussian_nll(mean: Tensor, image: Tensor, *, std: float | Tensor = 1.0) -> Tensor:
    r"""−log N(image; mean, std²) of each image, in nats; "MSE" is this with a choice of std.

    Shapes: mean, image (batch, …) → (batch,); std a positive number, or a tensor with as many
        dimensions as mean, each of the same size or 1
    Raises: ValueError if the shapes differ or std is not positive.
    Source: the Gaussian density; Kingma & Welling 2014, appendix C.2.
    """
    _same_shape(mean=mean, image=image)
    std = _checked_std(std, mean, torch.result_type(mean, image))
    return _sum_per_image(0.5 * ((image - mean) / std).square() + std.log() + 0.5 * LOG_2PI)


def gaussian_kl(mean: Tensor, log_var: Tensor) -> Tensor:
    r"""KL(N(mean, diag(exp(log_var))) ‖ N(0, I)) of each image, in nats.

    Shapes: mean, log_var (batch, latent) → (batch,)
    Raises: ValueError if the shapes differ.
    Source: Kingma & Welling 2014, appendix B, sign flipped.
    """
    return _sum_per_image(gaussian_kl_per_dimension(mean, log_var))


def gaussian_kl_per_dimension(mean: Tensor, log_var: Tensor) -> Tensor:
    r"""The terms of `gaussian_kl` before they are summed over the latent dimensions, in nats.

    Shapes: mean, log_var (batch, latent) → (batch, latent)
    Raises: ValueError if the shapes differ.
    """
    _same_shape(mean=mean, log_var=log_var)
    return 0.5 * (mean.square() + log_var.exp() - 1 - log_var)


def gaussian_kl_between(
    mean_q: Tensor, log_var_q: Tensor, mean_p: Tensor, log_var_p: Tensor
) -> Tensor:
    r"""KL(q ‖ p) of each image between two diagonal Gaussians, in nats.

    Shapes: all (batch, latent) → (batch,)
    Raises: ValueError if the shapes differ.
    Source: the integral of q log(q / p); `gaussian_kl` is the case mean_p = log_var_p = 0.
    """
    _same_shape(mean_q=mean_q, log_var_q=log_var_q, mean_p=mean_p, log_var_p=log_var_p)
    spread = (log_var_q - log_var_p).exp()
    shift = (mean_q - mean_p).square() * (-log_var_p).exp()
    return _sum_per_image(0.5 * (spread + shift - 1 + log_var_p - log_var_q))


def gaussian_log_prob(value: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    r"""log N(value; mean, diag(exp(log_var))), summed over the last dimension, in nats.

    Shapes: value (…, latent) → (…); mean and log_var the same, or without the leading dimensions
    Raises: ValueError if the shapes do not fit.
    """
    _same_latents(value, mean=mean, log_var=log_var)
    squared = (value - mean).square() * (-log_var).exp()
    return -0.5 * (squared + log_var + LOG_2PI).sum(dim=-1)


def monte_carlo_kl(mean: Tensor, log_var: Tensor, noise: Tensor) -> Tensor:
    r"""`gaussian_kl` estimated from samples: the average of log q(z) − log p(z), in nats.

    Shapes: mean, log_var (batch, latent), noise (samples, batch, latent) → (batch,)
    Raises: ValueError if the shapes do not fit.
    """
    _same_shape(mean=mean, log_var=log_var)
    check_tensors(noise=noise)
    if mean.dim() != 2 or noise.dim() != 3 or noise.shape[1:] != mean.shape or len(noise) == 0:
        raise ValueError(
            f"noise has shape {tuple(noise.shape)} and mean {tuple(mean.shape)}; expected "
            "(samples, batch, latent), standard normal draws, and (batch, latent)"
        )
    latent = mean + (0.5 * log_var).exp() * noise
    zero = torch.zeros_like(mean)
    log_ratio = gaussian_log_prob(latent, mean, log_var) - gaussian_log_prob(latent, zero, zero)
    return log_ratio.mean(dim=0)


def negative_elbo(
    logits: Tensor, image: Tensor, mean: Tensor, log_var: Tensor, beta: float = 1.0
) -> Tensor:
    r"""Bernoulli reconstruction + β · KL, averaged over the batch, in nats per image.

    Shapes: logits, image (batch, …), mean, log_var (batch, latent) → scalar
    Raises: ValueError if shapes differ, batches differ or are empty, or pixels leave [0, 1].
    Source: Kingma & Welling 2014, equation 10, negated; β after Higgins et al. 2017.
    """
    check_numbers(beta=beta)
    nll, kl = bernoulli_nll(logits, image), gaussian_kl(mean, log_var)  # (batch,) each
    if not len(nll) == len(kl) > 0:
        raise ValueError(
            f"logits hold {len(nll)} images and mean {len(kl)}; expected the same batch, not empty"
        )
    return (nll + beta * kl).mean()


def iwae_bound(log_weights: Tensor) -> Tensor:
    r"""Importance-weighted lower bound on log p(x): log of the mean weight, in nats.

    Shapes: log_weights (samples, batch), each log p(x, z) − log q(z | x) → (batch,)
    Raises: ValueError unless log_weights has two dimensions and at least one sample.
    Source: Burda, Grosse & Salakhutdinov 2016, equation 8.
    """
    check_tensors(log_weights=log_weights)
    if log_weights.dim() != 2 or len(log_weights) == 0:
        raise ValueError(
            f"log_weights has shape {tuple(log_weights.shape)}; expected (samples, batch) "
            "with at least one sample"
        )
    return torch.logsumexp(log_weights, dim=0) - math.log(len(log_weights))


def free_bits_kl(mean: Tensor, log_var: Tensor, *, floor: float) -> Tensor:
    r"""KL in which no latent dimension pays for its first `floor` nats (batch average).

    Each dimension's KL is averaged over the batch, then raised to at least `floor`: below it
    the gradient is zero, so no dimension is pushed to collapse.

    Shapes: mean, log_var (batch, latent) → scalar
    Raises: ValueError if the shapes differ, the batch is empty, or floor is negative.
    Source: Kingma et al. 2016, section C.8 (free bits, here with one dimension a group).
    """
    check_numbers(floor=floor, least=0)
    kl = gaussian_kl_per_dimension(mean, log_var)  # (batch, latent)
    if len(kl) == 0:
        raise ValueError(f"mean has shape {tuple(mean.shape)}; expected at least one image")
    return kl.mean(dim=0).clamp(min=floor).sum()
