r"""Generative adversarial networks: a generator, a discriminator, and the game they play.

The generator is the decoder of the VAE, so that the two can be compared on equal terms. Shapes:
B images, D latent dimensions. Generators return pixels in [0, 1], discriminators logits (B,):
positive where an image looks real. The ring of Gaussians of notebook 06 lives in `_rings.py`.
"""

import math
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
from vae_course.training import TrainingDiverged, loop
from vae_course.training.history import History

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
    terms = _discriminator_terms(generator, discriminator, real, latent, r1)
    _update(optimizer, terms["loss"])
    return terms["loss"].item()


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


def _discriminator_terms(generator, discriminator, real, latent, r1) -> dict[str, Tensor]:
    with torch.no_grad():  # the generator is a given here: .detach() on its images does as well
        fake = generator(latent)
    check_images(real, fake)
    real_logits, fake_logits = discriminator(real), discriminator(fake)
    loss = discriminator_loss(real_logits, fake_logits)
    if r1:
        loss = loss + r1 * r1_penalty(discriminator, real)
    means = {"real": real_logits.sigmoid().mean(), "fake": fake_logits.sigmoid().mean()}
    return {"loss": loss, **means}


def _update(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


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
) -> History:
    r"""Train both networks in place, one step each per batch, and return the history of the game.

    The history has, per epoch, the averages d_loss and g_loss (nats), and d_real and d_fake: the
    probability "real" that the discriminator gives to real and to generated images.

    latent_dim: by default the generator's own
    learning_rate, betas: of Adam, for both; discriminator_rate: a rate of its own for the
        discriminator (two time-scales, Heusel et al. 2017)
    r1: weight γ of the penalty on the discriminator's slope at real images, see `r1_penalty`
    average: 0.999, say, trains as ever, but hands over (to you and to after_epoch) a generator
        with the moving average of the weights: each step, 0.999 of it stays
    seed: the same seed gives the same result twice on one machine. The random numbers drawn
        outside are left alone.
    after_epoch(epoch, generator, history): finds the generator in eval mode, with random numbers
        of its own.
    Ctrl-C: training ends, the networks stay as they are, and history.interrupted is True.

    Shapes: images (N, …), pixels in [0, 1] if they are images; moved to the generator's device
    Raises: TrainingDiverged once a loss is NaN or infinite; ValueError or TypeError on arguments
        that cannot be trained with, such as images of another range or shape.
    """
    (images,) = loop.on_model_device(generator, images=images)
    latent_dim = check_settings(generator, discriminator, latent_dim, r1, seed,
                                epochs=epochs, batch_size=batch_size)  # fmt: skip
    with torch.no_grad(), loop.aside(generator, seed):
        check_images(images, generator(torch.zeros(1, latent_dim, device=images.device)))
    rates = learning_rate, learning_rate if discriminator_rate is None else discriminator_rate
    g_optimizer = loop.adam(generator, rates[0], betas=betas)
    d_optimizer = loop.adam(discriminator, rates[1], betas=betas)
    both = nn.ModuleList([generator, discriminator])
    smooth = MovingAverage(generator, average)
    shuffling = torch.Generator().manual_seed(seed)
    history, epoch, steps = History(), 0, math.ceil(len(images) / batch_size)

    with loop.around_training(both, seed, progress, epochs * steps) as bar:
        try:
            for epoch in range(1, epochs + 1):
                bar.set_description(f"epoch {epoch}/{epochs}")
                both.train()
                d_means, g_means = (loop.Averages(both, stop_at_nan=True) for _ in range(2))
                for (real,) in loop.shuffled([images], batch_size, shuffling):
                    latent = torch.randn(len(real), latent_dim, device=real.device)
                    terms = _discriminator_terms(generator, discriminator, real, latent, r1)
                    d_means.add(terms, len(real))  # a NaN stops here, before the weights change
                    _update(d_optimizer, terms["loss"])

                    latent = torch.randn(len(real), latent_dim, device=real.device)
                    loss = generator_loss(discriminator(generator(latent)))
                    g_means.add({"loss": loss}, len(real))
                    _update(g_optimizer, loss)
                    smooth.add(generator)
                    bar.update()
                row = {"epoch": epoch, **d_means.means("d_"), **g_means.means("g_")}
                loop.check_finite(both, row, steps)
                history.rows.append(row)
                if after_epoch is not None:
                    with smooth.shown(generator), loop.aside(both, seed):
                        after_epoch(epoch, generator, history)
        except KeyboardInterrupt:
            history.interrupted = True
        except loop.NotFinite as found:
            raise _diverged(found, epoch, steps, max(rates), history) from None
    smooth.put(generator)
    if history.interrupted:
        print(f"interrupted in epoch {epoch}/{epochs}, networks kept")
    return history


def _diverged(found, epoch, steps, rate, history) -> TrainingDiverged:
    message = (
        f"{found} in epoch {epoch}, step {found.step} of {steps}. Likely causes:\n"
        f"  - a learning rate is too high: the larger one is {rate:g}, try {rate / 10:g}\n"
        "  - log(sigmoid(logits)) of a discriminator that is sure: compute losses from logits\n"
        "The epochs completed before are in the exception's .history"
    )
    return TrainingDiverged(
        message, epoch=epoch, step=found.step, learning_rate=rate, history=history
    )
