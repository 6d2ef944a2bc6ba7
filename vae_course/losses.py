r"""Losses, per image and in nats, and the likelihoods that a decoder's output stands for.

Every function sums over pixels and latent dimensions and leaves the batch alone: a tensor
of shape (batch,) comes back. Averaging over the batch happens where you can see it, in the
training step. That keeps the balance between reconstruction and KL exactly as derived
(notebook 04 shows what happens to people who mix `mean` and `sum`).

Sums are taken in float32 or finer, whatever the dtype of the network and also under autocast:
784 numbers of a few nats each can't be added up in half precision.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from vae_course import require
from vae_course.require import common_floats

LOG_2PI = math.log(2 * math.pi)


def _sum_per_image(values: Tensor) -> Tensor:
    return values.flatten(start_dim=1).sum(dim=1)  # (batch, …) → (batch,)


# ------------------------------------------------------------------------------ reconstruction


def mse_per_image(image: Tensor, reconstruction: Tensor) -> Tensor:
    r"""Squared error of each image, averaged over its pixels.

    Shapes: image, reconstruction (batch, …) → (batch,)
    Units: squared pixel values, for pixels in [0, 1].
    Raises: ValueError if the shapes differ (a silent broadcast would average wrong pairs).
    """
    require.same_shape(image=image, reconstruction=reconstruction)
    require.some_pixels(image=image)
    image, reconstruction = common_floats(image, reconstruction)
    return (image - reconstruction).square().flatten(start_dim=1).mean(dim=1)


def bernoulli_nll(logits: Tensor, image: Tensor) -> Tensor:
    r"""−log p(image | logits) of each image under independent Bernoulli pixels, in nats.

    Shapes: logits, image (batch, …) → (batch,)
    Units: image pixels in [0, 1]; grey values are read as probabilities of a white pixel.
    Raises: ValueError if the shapes differ or pixels lie outside [0, 1].
    Source: Kingma & Welling 2014, appendix C.1.
    """
    require.same_shape(logits=logits, image=image)
    require.pixels(image=image)
    logits, image = common_floats(logits, image)
    return _sum_per_image(F.binary_cross_entropy_with_logits(logits, image, reduction="none"))


def gaussian_nll(mean: Tensor, image: Tensor, *, std: float | Tensor = 1.0) -> Tensor:
    r"""−log N(image; mean, std²) of each image, in nats; "MSE" is this with a choice of std.

    Shapes: mean, image (batch, …) → (batch,); std a positive number, or a tensor with as many
        dimensions as mean, each of the same size or 1
    Raises: ValueError if the shapes differ or std is not positive.
    Source: the Gaussian density; Kingma & Welling 2014, appendix C.2.
    """
    require.same_shape(mean=mean, image=image)
    mean, image = common_floats(mean, image)
    std = require.std(std, of=mean)
    return _sum_per_image(0.5 * ((image - mean) / std).square() + std.log() + 0.5 * LOG_2PI)


# ---------------------------------------------------------------------- the KL, and the bounds


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
    require.same_shape(mean=mean, log_var=log_var)
    mean, log_var = common_floats(mean, log_var)
    return 0.5 * (mean.square() + log_var.exp() - 1 - log_var)


def gaussian_kl_between(
    mean_q: Tensor, log_var_q: Tensor, mean_p: Tensor, log_var_p: Tensor
) -> Tensor:
    r"""KL(q ‖ p) of each image between two diagonal Gaussians, in nats.

    Shapes: all (batch, latent) → (batch,)
    Raises: ValueError if the shapes differ.
    Source: the integral of q log(q / p); `gaussian_kl` is the case mean_p = log_var_p = 0.
    """
    require.same_shape(mean_q=mean_q, log_var_q=log_var_q, mean_p=mean_p, log_var_p=log_var_p)
    mean_q, log_var_q, mean_p, log_var_p = common_floats(mean_q, log_var_q, mean_p, log_var_p)
    spread = (log_var_q - log_var_p).exp()
    shift = (mean_q - mean_p).square() * (-log_var_p).exp()
    return _sum_per_image(0.5 * (spread + shift - 1 + log_var_p - log_var_q))


def gaussian_log_prob(value: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    r"""log N(value; mean, diag(exp(log_var))), summed over the last dimension, in nats.

    Shapes: value (…, latent) → (…); mean and log_var the same, or without the leading dimensions
    Raises: ValueError if the shapes do not fit.
    """
    require.same_latents(value, mean=mean, log_var=log_var)
    value, mean, log_var = common_floats(value, mean, log_var)
    squared = (value - mean).square() * (-log_var).exp()
    return -0.5 * (squared + log_var + LOG_2PI).sum(dim=-1)


def monte_carlo_kl(mean: Tensor, log_var: Tensor, noise: Tensor) -> Tensor:
    r"""`gaussian_kl` estimated from samples: the average of log q(z) − log p(z), in nats.

    noise: standard normal draws
    Shapes: mean, log_var (batch, latent), noise (samples, batch, latent) → (batch,)
    Raises: ValueError if the shapes do not fit.
    """
    require.same_shape(mean=mean, log_var=log_var)
    require.shape(("batch", "latent"), mean=mean)
    require.shape(("samples", *mean.shape), noise=noise, least=1)
    mean, log_var, noise = common_floats(mean, log_var, noise)
    latent = mean + (0.5 * log_var).exp() * noise  # (samples, batch, latent)
    zero = torch.zeros_like(mean)
    log_ratio = gaussian_log_prob(latent, mean, log_var) - gaussian_log_prob(latent, zero, zero)
    return log_ratio.mean(dim=0)


def negative_elbo(
    logits: Tensor, image: Tensor, mean: Tensor, log_var: Tensor, beta: float = 1.0
) -> Tensor:
    r"""Bernoulli reconstruction + β · KL, averaged over the batch, in nats per image.

    For any other likelihood: `model.elbo_terms(image)` gives the two parts of each image.

    Shapes: logits, image (batch, …), mean, log_var (batch, latent) → scalar
    Raises: ValueError if shapes differ, batches differ or are empty, or pixels leave [0, 1].
    Source: Kingma & Welling 2014, equation 10, negated; β after Higgins et al. 2017.
    """
    require.number(beta=beta)
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
    require.shape(("samples", "batch"), log_weights=log_weights, least=1)
    (log_weights,) = common_floats(log_weights)
    return torch.logsumexp(log_weights, dim=0) - math.log(len(log_weights))


def free_bits_kl(mean: Tensor, log_var: Tensor, *, floor: float) -> Tensor:
    r"""KL in which no latent dimension pays for its first `floor` nats (batch average).

    Each dimension's KL is averaged over the batch, then raised to at least `floor`: below it
    the gradient is zero, so no dimension is pushed to collapse.

    Shapes: mean, log_var (batch, latent) → scalar
    Raises: ValueError if the shapes differ, the batch is empty, or floor is negative.
    Source: Kingma et al. 2016, section C.8 (free bits, here with one dimension a group).
    """
    require.number(floor=floor, least=0)
    require.batch(mean=mean)
    kl = gaussian_kl_per_dimension(mean, log_var)  # (batch, latent)
    return kl.mean(dim=0).clamp(min=floor).sum()


# ------------------------------------------------------------------------------- likelihoods


class Likelihood(nn.Module):
    r"""What the numbers that come out of a decoder mean: p(x | z). Each kind below has

        channels                            network outputs for one value
        nll(output, target) → (B,)          −log p(target | output), in nats
        mean(output)                        what is shown
        sample(output, generator=None)      a draw from p(x | z), noise of the pixels included
        features(target)                    what an encoder sees of the target
        spec                                a short text that `likelihood_of` makes it of again

    Shapes: output (B, channels · C, H, W), target (B, C, H, W); rows (B, channels · N), (B, N).
    """

    channels = inputs = 1

    def features(self, target: Tensor) -> Tensor:
        require.floats(image=target)
        return target


def _uniform(like: Tensor, generator: Generator | None) -> Tensor:
    r"""Random numbers in (0, 1), drawn where the generator lives and moved to where they go."""
    place = like.device if generator is None else generator.device
    drawn = torch.rand(like.shape, generator=generator, device=place)
    return drawn.clamp(1e-6, 1 - 1e-6).to(like.device)


class Bernoulli(Likelihood):
    r"""Values in [0, 1] by one logit each: black or white, yes or no; grey counts as in between."""

    spec = "bernoulli"

    def nll(self, output: Tensor, target: Tensor) -> Tensor:
        return bernoulli_nll(output, target)

    def mean(self, output: Tensor) -> Tensor:
        return torch.sigmoid(output)

    def sample(self, output: Tensor, generator: Generator | None = None) -> Tensor:
        return (_uniform(output, generator) < torch.sigmoid(output)).to(output.dtype)


class Gaussian(Likelihood):
    r"""Values of any size, normal around the network's output.

    std: a number, the σ of all values; "learned", one σ that is trained with the weights, or with
        shape=(C, H, W) or (columns,) one for each value; or "predicted", from the network for each
        value of each image (it then gives log σ beside each mean: two channels)
    least: σ never falls below it. A pixel that is always black would earn ever more nats
        by an ever smaller σ.
    Source: Kingma & Welling 2014, appendix C.2; Rybkin et al. 2021 (σ-VAE).
    """

    def __init__(self, std: float | str = 1.0, *, shape: Sequence[int] = (), least: float = 1e-3):
        super().__init__()
        if std not in ("learned", "predicted"):
            require.positive(std=std)
        require.positive(least=least)
        self.std, self.shape, self.least = std, tuple(shape), least
        self.channels = 2 if std == "predicted" else 1
        if std == "learned":
            self.log_std = nn.Parameter(torch.zeros(self.shape))

    @property
    def spec(self) -> str:
        size = ":" + "x".join(map(str, self.shape)) if self.shape else ""
        return f"gaussian:{self.std}{size}"

    def mean_and_std(self, output: Tensor) -> tuple[Tensor, float | Tensor]:
        r"""Of each value: the mean, and a σ that can be stretched to the mean's shape."""
        (output,) = common_floats(output)
        if self.std == "learned":
            return output, self.log_std.to(output.dtype).exp().clamp(min=self.least)[None]
        if self.std == "predicted":
            mean, log_std = output.chunk(2, dim=1)  # (B, 2C, …) → (B, C, …) each
            return mean, log_std.exp().clamp(min=self.least)
        return output, self.std

    def nll(self, output: Tensor, target: Tensor) -> Tensor:
        mean, std = self.mean_and_std(output)
        return gaussian_nll(mean, target, std=std)

    def mean(self, output: Tensor) -> Tensor:
        return self.mean_and_std(output)[0].to(output.dtype)

    def sample(self, output: Tensor, generator: Generator | None = None) -> Tensor:
        mean, std = self.mean_and_std(output)
        place = mean.device if generator is None else generator.device
        noise = torch.randn(mean.shape, generator=generator, device=place).to(mean)
        return (mean + std * noise).to(output.dtype)


class DiscretizedLogistic(Likelihood):
    r"""Pixels k / (levels − 1), k = 0 … levels − 1: photographs of 8 bit and their colours.

    The network gives a place μ and a log-scale for each value, on the scale from −1 to 1. The
    probability of a level is that of the interval of its width around it; the two ends take
    what lies beyond them. So the nats are those of the file's own numbers.

    Source: Salimans et al. 2017 (PixelCNN++), with one logistic instead of a mixture.
    """

    channels = 2

    def __init__(self, levels: int = 256):
        super().__init__()
        require.count(levels=levels, least=2)
        self.levels = levels

    @property
    def spec(self) -> str:
        return f"logistic:{self.levels}"

    def place_and_log_scale(self, output: Tensor) -> tuple[Tensor, Tensor]:
        (output,) = common_floats(output)
        place, log_scale = output.chunk(2, dim=1)  # (B, 2C, …) → (B, C, …) each
        return place, log_scale.clamp(min=-7)  # a scale of a tenth of one of 256 levels

    def nll(self, output: Tensor, target: Tensor) -> Tensor:
        place, log_scale = self.place_and_log_scale(output)
        require.same_shape(output=place, target=target)
        require.levels(self.levels, target=target)
        centre = 2 * target.to(place.dtype) - 1  # [0, 1] → [−1, 1]
        half = 1 / (self.levels - 1)  # half the distance between two levels
        upper = (centre + half - place) * (-log_scale).exp()
        lower = (centre - half - place) * (-log_scale).exp()
        # log(sigmoid(upper) − sigmoid(lower)), written so that nothing is lost far from μ
        inside = torch.log(-torch.expm1(lower - upper))
        log_prob = F.logsigmoid(upper) * (target < 1 - half / 2)  # at white all above counts
        log_prob = log_prob + F.logsigmoid(-lower) * (target > half / 2)  # at black all below
        ends = (target < half / 2) | (target > 1 - half / 2)
        return -_sum_per_image(log_prob + torch.where(ends, 0.0, inside))

    def mean(self, output: Tensor) -> Tensor:
        r"""The middle of the logistic, μ, within [0, 1]."""
        place, _ = self.place_and_log_scale(output)
        return (0.5 * (place + 1)).clamp(0, 1).to(output.dtype)

    def sample(self, output: Tensor, generator: Generator | None = None) -> Tensor:
        place, log_scale = self.place_and_log_scale(output)
        value = place + log_scale.exp() * torch.logit(_uniform(place, generator))
        level = (0.5 * (value + 1)).clamp(0, 1) * (self.levels - 1)
        return (level.round() / (self.levels - 1)).to(output.dtype)


class Categorical(Likelihood):
    r"""One of so many classes, 0 … classes − 1, by a logit for each."""

    def __init__(self, classes: int):
        super().__init__()
        require.count(classes=classes, least=2)
        self.channels = self.inputs = self.classes = classes

    @property
    def spec(self) -> str:
        return f"categorical:{self.classes}"

    def logits(self, output: Tensor) -> Tensor:
        (output,) = common_floats(output)
        return output.unflatten(1, (self.classes, -1))  # (B, K · C, …) → (B, K, C, …)

    def nll(self, output: Tensor, target: Tensor) -> Tensor:
        require.whole_values(self.classes, target=target)
        return _sum_per_image(F.cross_entropy(self.logits(output), target.long(), reduction="none"))

    def mean(self, output: Tensor) -> Tensor:
        r"""The most likely class: classes have no mean."""
        return self.logits(output).argmax(dim=1).to(output.dtype)

    def features(self, target: Tensor) -> Tensor:
        r"""One-hot: (B, C, …) → (B, K · C, …)."""
        require.whole_values(self.classes, target=target)
        one_hot = F.one_hot(target.long(), self.classes).movedim(-1, 1)  # (B, K, C, …)
        return one_hot.flatten(1, 2).float()

    def sample(self, output: Tensor, generator: Generator | None = None) -> Tensor:
        logits = self.logits(output)  # (B, K, C, …)
        gumbel = -torch.log(-torch.log(_uniform(logits, generator)))  # the largest is a fair draw
        return (logits + gumbel).argmax(dim=1).to(output.dtype)


class Poisson(Likelihood):
    r"""Counts 0, 1, 2, … by the logarithm of their mean."""

    spec = "poisson"

    def nll(self, output: Tensor, target: Tensor) -> Tensor:
        require.whole_values(target=target)
        log_rate, target = common_floats(output, target)
        require.same_shape(output=log_rate, target=target)
        return _sum_per_image(log_rate.exp() - target * log_rate + torch.lgamma(target + 1))

    def mean(self, output: Tensor) -> Tensor:
        return output.exp()

    def features(self, target: Tensor) -> Tensor:
        require.whole_values(target=target)
        return target.float().log1p()  # counts of hundreds would swamp the rest

    def sample(self, output: Tensor, generator: Generator | None = None) -> Tensor:
        rate = output.float().exp()
        place = rate.device if generator is None else generator.device
        return torch.poisson(rate.to(place), generator=generator).to(output)


class Table(Likelihood):
    r"""Rows of a table, each column under a likelihood of its own: (B, columns).

    columns: likelihoods, their short texts ("gaussian:learned", "poisson", "categorical:3"), or the
        columns of `data.load_table`: numbers, counts and categories
    channels, inputs: here of the whole row
    """

    def __init__(self, columns: Sequence[Likelihood | str]):
        super().__init__()
        require.count(columns=len(columns))
        made = [likelihood_of(column) for column in columns]
        self.columns = nn.ModuleList(made)
        self.widths = [column.channels for column in made]
        self.channels = sum(self.widths)
        self.inputs = sum(column.inputs for column in made)

    @property
    def spec(self) -> list[str]:
        return [column.spec for column in self.columns]

    def _columns(self, output: Tensor):
        require.shape(("B", self.channels), output=output)
        return zip(self.columns, output.split(self.widths, dim=1), strict=True)

    def nll(self, output: Tensor, target: Tensor) -> Tensor:
        return self.nll_per_column(output, target).sum(dim=1)

    def nll_per_column(self, output: Tensor, target: Tensor) -> Tensor:
        r"""Which column costs how much, in nats: (B, columns)."""
        require.shape((len(output), len(self.columns)), target=target)
        pairs = zip(self._columns(output), target.split(1, dim=1), strict=True)
        return torch.stack([column.nll(part, value) for (column, part), value in pairs], dim=1)

    def mean(self, output: Tensor) -> Tensor:
        return torch.cat([column.mean(part) for column, part in self._columns(output)], dim=1)

    def sample(self, output: Tensor, generator: Generator | None = None) -> Tensor:
        drawn = [column.sample(part, generator) for column, part in self._columns(output)]
        return torch.cat(drawn, dim=1)

    def features(self, target: Tensor) -> Tensor:
        require.shape(("B", len(self.columns)), rows=target)
        pairs = zip(self.columns, target.split(1, dim=1), strict=True)  # (B, 1) each
        return torch.cat([column.features(value) for column, value in pairs], dim=1)


def likelihood_of(spec: str | Sequence[str]) -> Likelihood:
    r"""The likelihood of a short text, as it stands on model cards and the command line.

    "bernoulli", "gaussian" (σ = 1), "gaussian:0.1", "gaussian:learned", "gaussian:learned:1x28x28"
    (a σ for each pixel), "gaussian:predicted", "logistic" (256 levels), "logistic:16",
    "categorical:3", "poisson"; a list of them is a `Table`.
    Raises: ValueError if there is no such likelihood.
    """
    if isinstance(spec, Likelihood):
        return spec
    if hasattr(spec, "kind"):  # a column of a table, as data.load_table describes it
        categories = f"categorical:{max(2, len(spec.categories))}"
        spec = {"number": "gaussian:learned", "count": "poisson", "category": categories}[spec.kind]
    if not isinstance(spec, str):
        return Table(spec)
    name, *settings = spec.split(":")
    try:
        match name, settings:
            case "bernoulli", []:
                return Bernoulli()
            case "gaussian", ["predicted"]:
                return Gaussian("predicted")
            case "gaussian", ["learned", *shape]:
                return Gaussian(
                    "learned", shape=[int(n) for part in shape for n in part.split("x")]
                )
            case "gaussian", [*std]:
                return Gaussian(*map(float, std))
            case "logistic", [*levels]:
                return DiscretizedLogistic(*map(int, levels))
            case "categorical", [classes]:
                return Categorical(int(classes))
            case "poisson", []:
                return Poisson()
    except (TypeError, ValueError) as error:
        raise ValueError(f"likelihood {spec!r}: {error}") from None
    raise ValueError(
        f"there is no likelihood {spec!r}; expected bernoulli, gaussian, gaussian:0.1, "
        "gaussian:learned, gaussian:predicted, logistic, categorical:3 or poisson"
    )
