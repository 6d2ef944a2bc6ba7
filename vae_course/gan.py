r"""Generative adversarial networks: a generator, a discriminator, and the game they play.

The generator is the decoder of the VAE, so that the two can be compared on equal terms. Shapes:
B images, D latent dimensions. Generators return pixels in [0, 1], discriminators logits (B,):
positive where an image looks real. At the end stands the ring of Gaussians of notebook 06, on
which a generator's collapse can be seen and counted.
"""

import itertools
import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.optim.swa_utils import AveragedModel

from vae_course import require
from vae_course.models import IMAGE_SHAPE, conv_decoder, conv_shapes
from vae_course.training import History, NotFinite, core
from vae_course.training.source import source

# --------------------------------------------------------------------------------- the networks


class Generator(nn.Module):
    r"""Latents to images: a decoder, and a sigmoid that makes pixels of its logits.

    Shapes: latent (B, D) → pixels (B, 1, 28, 28) in [0, 1].
    """

    def __init__(self, decoder: nn.Module, *, latent_dim: int):
        super().__init__()
        require.count(latent_dim=latent_dim)
        self.decoder = decoder
        self.latent_dim = latent_dim

    @classmethod
    def conv(cls, latent_dim: int, *, channels: int = 32, image_shape=IMAGE_SHAPE) -> "Generator":
        r"""With the very decoder of `VAE.conv`."""
        require.count(latent_dim=latent_dim, channels=channels)
        decoder = conv_decoder(latent_dim, channels=channels, image_shape=image_shape)
        return cls(decoder, latent_dim=latent_dim)

    def decode(self, latent: Tensor) -> Tensor:
        r"""The same as calling it; the name that a VAE has for it."""
        return self(latent)

    def forward(self, latent: Tensor) -> Tensor:
        require.shape(("images", self.latent_dim), latent=latent)
        require.dtype(next(self.parameters(), latent).dtype, latent=latent)
        return torch.sigmoid(self.decoder(latent))  # (B, 1, 28, 28)


def conv_discriminator(
    *, channels: int = 32, spectral: bool = False, image_shape=IMAGE_SHAPE
) -> nn.Sequential:
    r"""Images to one logit each, 28 → 14 → 7 → 1: (B, 1, 28, 28) → (B,).

    spectral: divide each weight matrix by its largest singular value, so that no layer can
        stretch a difference between images. Then the logits change at most as fast as the image.
    Source: Radford et al. 2016 (DCGAN), here without batch normalisation; Miyato et al. 2018.
    """
    shapes = conv_shapes(channels, image_shape)  # (1, 28, 28), (32, 14, 14), (64, 7, 7)
    layers: list[nn.Module] = []
    for (before, _, _), (after, _, _) in itertools.pairwise(shapes):
        layers += [nn.Conv2d(before, after, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
    layers += [nn.Flatten(), nn.Linear(math.prod(shapes[-1]), 1)]  # (B, 64 · 7 · 7), (B, 1)
    if spectral:
        layers = [spectral_norm(layer) if hasattr(layer, "weight") else layer for layer in layers]
    return nn.Sequential(*layers, nn.Flatten(start_dim=0))  # (B,)


# ----------------------------------------------------------------------------------- the losses


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    r"""−E log D(real) − E log(1 − D(fake)) in nats, D = sigmoid(logits); log 4 where D is ½.

    Shapes: real_logits (B,), fake_logits (B′,) → scalar. Both halves are averages.
    Source: Goodfellow et al. 2014, equation 1.
    """
    require.not_empty(real_logits=real_logits, fake_logits=fake_logits)
    return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()


def generator_loss(fake_logits: Tensor) -> Tensor:
    r"""−E log D(fake) in nats, the non-saturating loss: (B,) → scalar.

    Source: Goodfellow et al. 2014, section 3.
    """
    require.not_empty(fake_logits=fake_logits)
    return F.softplus(-fake_logits).mean()


def saturating_generator_loss(fake_logits: Tensor) -> Tensor:
    r"""E log(1 − D(fake)), the game's own: flat where the generator is worst. (B,) → scalar."""
    require.not_empty(fake_logits=fake_logits)
    return -F.softplus(fake_logits).mean()


def r1_penalty(discriminator: nn.Module, real: Tensor) -> Tensor:
    r"""½ E ‖∂ logit / ∂ image‖² at real images: the discriminator's slope where it should be flat.

    Shapes: real (B, …) → scalar, itself differentiable in the discriminator's weights.
    Raises: ValueError unless there is one logit an image, which the image has an influence on.
    Source: Mescheder, Geiger & Nowozin 2018, equation 9, without its γ.
    """
    require.batch(real=real)
    real = real.detach().requires_grad_()
    logits = discriminator(real)
    if logits.numel() != len(real) or not logits.requires_grad:
        raise ValueError(
            f"from {tuple(real.shape)} the discriminator made {tuple(logits.shape)}; expected one "
            "logit an image, with a gradient: not under torch.no_grad(), and not detached"
        )
    (slope,) = torch.autograd.grad(logits.sum(), real, create_graph=True)  # like real
    return 0.5 * slope.flatten(start_dim=1).square().sum(dim=1).mean()


# ------------------------------------------------------------------------------------ the game


def discriminator_step(
    generator: nn.Module,
    discriminator: nn.Module,
    optimizer: torch.optim.Optimizer,
    real: Tensor,
    latent: Tensor,
    *,
    r1: float = 0.0,
) -> float:
    r"""Teach the discriminator to tell `real` from generator(latent); only it changes.

    r1: γ, the weight of `r1_penalty`, which is minimised too; 0 leaves it out
    Shapes: real (B, …), latent (B′, D) → the loss before the step, without the penalty
    Raises: ValueError if real and generated images differ in shape, pixels leave [0, 1], or the
        optimizer is the other player's; TypeError on anything that is no tensor or network.
    """
    require.network(discriminator=discriminator)
    require.function(generator=generator)
    require.optimizer_of(discriminator, optimizer)
    require.batch(real=real, latent=latent)
    require.number(r1=r1, least=0)
    with torch.no_grad():  # the generator is a given here: .detach() on its images does as well
        fake = generator(latent)
    require.same_kind(real=real, generated=fake)
    loss = discriminator_loss(discriminator(real), discriminator(fake))
    penalty = r1 * r1_penalty(discriminator, real) if r1 else 0.0
    _update(optimizer, loss + penalty)
    return loss.item()  # comparable whatever r1 is


def generator_step(
    generator: nn.Module, discriminator: nn.Module, optimizer: torch.optim.Optimizer, latent: Tensor
) -> float:
    r"""Teach the generator to be taken for real; only it changes.

    The gradient passes through the discriminator, and leaves gradients in it: they are not used,
    and the next `discriminator_step` begins by removing them.

    Shapes: latent (B, D) → the loss before the step
    Raises: ValueError, TypeError as `discriminator_step`.
    """
    require.network(generator=generator)
    require.function(discriminator=discriminator)
    require.optimizer_of(generator, optimizer)
    require.batch(latent=latent)
    loss = generator_loss(discriminator(generator(latent)))
    _update(optimizer, loss)
    return loss.item()


def _update(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    if not loss.isfinite():  # before it changes the weights
        raise NotFinite(f"the loss became {loss.item()}")
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def weight_average(network: nn.Module, decay: float) -> AveragedModel:
    r"""A copy of the network whose weights follow it slowly: each update, `decay` of them stays.

    In the first updates less stays, so that the start is forgotten sooner.
    """
    require.number(average=decay, least=0, most=1)
    if decay == 1:
        raise ValueError("average is 1; expected a number below it, such as 0.999")

    @torch.no_grad()
    def towards(average: list[Tensor], weights: list[Tensor], updates: Tensor) -> None:
        step = int(updates) + 1
        torch._foreach_lerp_(average, weights, 1 - min(decay, step / (step + 10)))

    return AveragedModel(network, multi_avg_fn=towards)


@torch.no_grad()
def mean_probabilities(
    discriminator: nn.Module, real: Tensor, generator: nn.Module, latent: Tensor
) -> dict[str, float]:
    r"""The mean probability "real" that real and that generated images get: d_real, d_fake."""
    pairs = {"d_real": real, "d_fake": generator(latent)}
    return {name: discriminator(images).sigmoid().mean().item() for name, images in pairs.items()}


CAUSES = "  - log(sigmoid(logits)) of a discriminator that is sure: compute losses from logits\n"


def fit_gan(
    generator: nn.Module,
    discriminator: nn.Module,
    images: Tensor,
    *,
    epochs: int,
    latent_dim: int | None = None,
    batch_size: int = 64,
    learning_rate: float = 2e-4,
    discriminator_rate: float | None = None,
    betas: tuple[float, float] = (0.5, 0.999),
    r1: float = 0.0,
    average: float = 0.0,
    seed: int = 0,
    progress: bool = True,
    after_epoch: Callable[[int, nn.Module, History], object] | None = None,
    history: History | None = None,
) -> History:
    r"""Train both networks in place, one step each per batch, and return the history of the game.

    The history has, per epoch, the averages d_loss and g_loss (nats, without the penalty), and
    d_real and d_fake: the probability "real" that the discriminator gives to real and to generated
    images (up to 1,000 of each) at the end of the epoch.

    latent_dim: by default the generator's own
    learning_rate, betas: of Adam, for both; discriminator_rate: a rate of its own for the
        discriminator (two time-scales, Heusel et al. 2017)
    r1: weight γ of the penalty on the discriminator's slope at real images, see `r1_penalty`
    average: 0.999, say, trains as ever, but hands over (to you and to after_epoch) a generator
        with the moving average of the weights: each step, 0.999 of it stays
    seed, after_epoch(epoch, generator, history), history and Ctrl-C: as in `training.fit`

    Shapes: images (N, …), pixels in [0, 1] if they are images; moved to the generator's device
    Raises: TrainingDiverged once a loss is NaN or infinite; ValueError or TypeError on arguments
        that cannot be trained with, such as images of another range or shape.
    """
    require.count(epochs=epochs, batch_size=batch_size)
    require.network(generator=generator, discriminator=discriminator)
    data = source(generator, images, None, batch_size)
    latent_dim = getattr(generator, "latent_dim", None) if latent_dim is None else latent_dim
    if latent_dim is None:
        raise ValueError("how many latents does this generator take? Pass latent_dim=…")
    require.count(latent_dim=latent_dim)
    require.number(r1=r1, least=0)
    rates = learning_rate, learning_rate if discriminator_rate is None else discriminator_rate
    g_optimizer = core.adam(generator, rates[0], betas=betas)
    d_optimizer = core.adam(discriminator, rates[1], betas=betas)
    averaged = weight_average(generator, average).eval()
    shown = averaged.module if average else generator  # what the world gets to see
    history = History() if history is None else history
    both, seed = nn.ModuleList([generator, discriminator]), core.seed_after(generator, seed)
    shuffling = torch.Generator().manual_seed(seed)
    device = core.device_of(generator)

    def one_epoch(epoch: int, tick: core.Tick) -> dict[str, float]:
        averages = core.Averages(generator)
        for (real,) in tick(data.shuffled(shuffling)):
            latent = torch.randn(len(real), latent_dim, device=device)
            d_loss = discriminator_step(generator, discriminator, d_optimizer, real, latent, r1=r1)
            latent = torch.randn(len(real), latent_dim, device=device)
            g_loss = generator_step(generator, discriminator, g_optimizer, latent)
            averages.add({"d_loss": d_loss, "g_loss": g_loss}, len(real))
            if average:
                averaged.update_parameters(generator)
        with core.evaluating(both, seed):
            real = data.pixels()[:1000]
            latent = torch.randn(len(real), latent_dim, device=device)
            probabilities = mean_probabilities(discriminator, real, generator, latent)
        return {"epoch": epoch, **averages.means(), **probabilities}

    with torch.no_grad(), core.evaluating(generator, seed):
        fake = generator(torch.zeros(1, latent_dim, device=device))
        require.same_kind(real=data.pixels(), generated=fake)
    try:
        return core.train_epochs(
            one_epoch, both, epochs=epochs, steps=data.steps, seed=seed, history=history,
            learning_rate=lambda: max(rates), causes=lambda: CAUSES, progress=progress,
            after_epoch=after_epoch and (lambda epoch: after_epoch(epoch, shown, history)),
        )  # fmt: skip
    finally:
        generator.load_state_dict(shown.state_dict())


# ------------------------------------------------- a ring of Gaussians, where modes can be counted


def ring_centers(modes: int = 8, *, radius: float = 2.0) -> Tensor:
    r"""The centres of `modes` Gaussians, evenly spaced on a circle: (modes, 2)."""
    require.count(modes=modes)
    require.number(radius=radius, least=0)
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
    require.count(count=count)
    require.number(std=std, least=0)
    centers = ring_centers(modes, radius=radius)
    chosen = torch.randint(modes, (count,), generator=generator)
    return centers[chosen] + std * torch.randn(count, 2, generator=generator)


def point_generator(latent_dim: int, *, hidden: int = 64) -> nn.Sequential:
    r"""Latents to points of the plane, two hidden layers: (B, D) → (B, 2)."""
    require.count(latent_dim=latent_dim, hidden=hidden)
    return nn.Sequential(
        nn.Linear(latent_dim, hidden), nn.ReLU(),  # (B, hidden)
        nn.Linear(hidden, hidden), nn.ReLU(),
        nn.Linear(hidden, 2),  # (B, 2)
    )  # fmt: skip


def point_discriminator(*, hidden: int = 64, spectral: bool = False) -> nn.Sequential:
    r"""Points to one logit each, two hidden layers: (B, 2) → (B,).

    spectral: divide each weight matrix by its largest singular value (see `conv_discriminator`)
    """
    require.count(hidden=hidden)
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
    require.shape(("count", 2), samples=samples, centers=centers)
    require.number(radius=radius, least=0)
    exact = "donot_use_mm_for_euclid_dist"  # a matrix product would round
    distances = torch.cdist(*require.common_floats(samples, centers), compute_mode=exact)  # (N, M)
    return int((distances <= radius).any(dim=0).sum())
