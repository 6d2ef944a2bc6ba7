r"""Generative adversarial networks: a generator, a discriminator, and the game they play.

The generator is the decoder of the VAE, so that the two can be compared on equal terms. Shapes:
B images, D latent dimensions. Generators return pixels in [0, 1], discriminators logits (B,):
positive where an image looks real. The ring of Gaussians of notebook 06 lives in `_rings.py`.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vae_course._gan_checks import (
    check_batch,
    check_images,
    check_logits,
    check_settings,
    check_step,
)
from vae_course._gan_networks import Generator, MovingAverage, conv_discriminator
from vae_course._rings import (
    modes_covered,
    point_discriminator,
    point_generator,
    ring_centers,
    ring_of_gaussians,
)
from vae_course.require import check_numbers
from vae_course.training import History, NotFinite, core
from vae_course.training.source import source

__all__ = [
    "Generator",
    "conv_discriminator",
    "discriminator_loss",
    "discriminator_step",
    "fit_gan",
    "generator_loss",
    "generator_step",
    "modes_covered",
    "point_discriminator",
    "point_generator",
    "r1_penalty",
    "ring_centers",
    "ring_of_gaussians",
    "saturating_generator_loss",
]


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    r"""−E log D(real) − E log(1 − D(fake)) in nats, D = sigmoid(logits); log 4 where D is ½.

    Shapes: real_logits (B,), fake_logits (B′,) → scalar. Both halves are averages.
    Source: Goodfellow et al. 2014, equation 1.
    """
    check_logits(real_logits=real_logits, fake_logits=fake_logits)
    return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()


def generator_loss(fake_logits: Tensor) -> Tensor:
    r"""−E log D(fake) in nats, the non-saturating loss: (B,) → scalar.

    Source: Goodfellow et al. 2014, section 3.
    """
    check_logits(fake_logits=fake_logits)
    return F.softplus(-fake_logits).mean()


def saturating_generator_loss(fake_logits: Tensor) -> Tensor:
    r"""E log(1 − D(fake)), the game's own: flat where the generator is worst. (B,) → scalar."""
    check_logits(fake_logits=fake_logits)
    return -F.softplus(fake_logits).mean()


def r1_penalty(discriminator: nn.Module, real: Tensor) -> Tensor:
    r"""½ E ‖∂ logit / ∂ image‖² at real images: the discriminator's slope where it should be flat.

    Shapes: real (B, …) → scalar, itself differentiable in the discriminator's weights.
    Raises: ValueError unless there is one logit an image, which the image has an influence on.
    Source: Mescheder, Geiger & Nowozin 2018, equation 9, without its γ.
    """
    check_batch(real=real)
    real = real.detach().requires_grad_()
    logits = discriminator(real)
    if logits.numel() != len(real) or not logits.requires_grad:
        raise ValueError(
            f"from {tuple(real.shape)} the discriminator made {tuple(logits.shape)}; expected one "
            "logit an image, with a gradient: not under torch.no_grad(), and not detached"
        )
    (slope,) = torch.autograd.grad(logits.sum(), real, create_graph=True)  # like real
    return 0.5 * slope.flatten(start_dim=1).square().sum(dim=1).mean()


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

    r1: γ, the weight of `r1_penalty`; 0 leaves it out
    Shapes: real (B, …), latent (B′, D) → the loss, penalty included, before the step
    Raises: ValueError if real and generated images differ in shape, pixels leave [0, 1], or the
        optimizer is the other player's; TypeError on anything that is no tensor or network.
    """
    check_step(optimizer, discriminator, generator, real=real, latent=latent)
    check_numbers(r1=r1, least=0)
    with torch.no_grad():  # the generator is a given here: .detach() on its images does as well
        fake = generator(latent)
    check_images(real, fake)
    loss = discriminator_loss(discriminator(real), discriminator(fake))
    if r1:
        loss = loss + r1 * r1_penalty(discriminator, real)
    _update(optimizer, loss)
    return loss.item()


def generator_step(
    generator: nn.Module, discriminator: nn.Module, optimizer: torch.optim.Optimizer, latent: Tensor
) -> float:
    r"""Teach the generator to be taken for real; only it changes.

    The gradient passes through the discriminator, and leaves gradients in it: they are not used,
    and the next `discriminator_step` begins by removing them.

    Shapes: latent (B, D) → the loss before the step
    Raises: ValueError, TypeError as `discriminator_step`.
    """
    check_step(optimizer, generator, discriminator, latent=latent)
    loss = generator_loss(discriminator(generator(latent)))
    _update(optimizer, loss)
    return loss.item()


def _update(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    if not loss.isfinite():  # before it changes the weights
        raise NotFinite(f"the loss became {loss.item()}")
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


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

    The history has, per epoch, the averages d_loss and g_loss (nats), and d_real and d_fake: the
    probability "real" that the discriminator gives to real and to generated images (up to 1,000
    of each) at the end of the epoch.

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
    data = source(generator, images, None, batch_size)
    latent_dim = check_settings(generator, discriminator, latent_dim, r1, seed,
                                epochs=epochs, batch_size=batch_size)  # fmt: skip
    device = core.device_of(generator)
    with torch.no_grad(), core.evaluating(generator, seed):
        check_images(data.pixels(), generator(torch.zeros(1, latent_dim, device=device)))
    rates = learning_rate, learning_rate if discriminator_rate is None else discriminator_rate
    g_optimizer = core.adam(generator, rates[0], betas=betas)
    d_optimizer = core.adam(discriminator, rates[1], betas=betas)
    smooth = MovingAverage(generator, average)
    history = History() if history is None else history
    both, seed = nn.ModuleList([generator, discriminator]), core.seed_after(generator, seed)
    shuffling = torch.Generator().manual_seed(seed)

    def one_epoch(epoch: int, tick: core.Tick) -> dict[str, float]:
        averages = core.Averages(generator)
        for (real,) in tick(data.shuffled(shuffling)):
            latent = torch.randn(len(real), latent_dim, device=device)
            d_loss = discriminator_step(generator, discriminator, d_optimizer, real, latent, r1=r1)
            latent = torch.randn(len(real), latent_dim, device=device)
            g_loss = generator_step(generator, discriminator, g_optimizer, latent)
            averages.add({"d_loss": d_loss, "g_loss": g_loss}, len(real))
            smooth.add(generator)
        return {"epoch": epoch, **averages.means(), **opinions()}

    def opinions() -> dict[str, float]:
        real = data.pixels()[:1000]
        with torch.no_grad(), core.evaluating(both, seed):
            fake = generator(torch.randn(len(real), latent_dim, device=device))
            means = [discriminator(images).sigmoid().mean().item() for images in (real, fake)]
        return dict(zip(("d_real", "d_fake"), means, strict=True))

    def after(epoch: int) -> None:
        with smooth.shown(generator):
            after_epoch(epoch, generator, history)

    try:
        return core.train_epochs(
            one_epoch, both, epochs=epochs, steps=data.steps, seed=seed, history=history,
            learning_rate=lambda: max(rates), causes=lambda: CAUSES, progress=progress,
            after_epoch=after_epoch and after,
        )  # fmt: skip
    finally:
        smooth.put(generator)
