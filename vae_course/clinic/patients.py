r"""Sick trainings of a second each, to practise on: what the clinic of notebook 09 looks like.

    patient = patients.admit("the noise is too wide")
    patient.history, patient.pictures(10)    # what a student sees
    patient.examine()                        # what the clinic says

All are small VAEs of 1,500 digits of 14 × 14 pixels, alike in everything but the illness.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vae_course import data, losses, models, training
from vae_course.clinic.examination import examine
from vae_course.clinic.report import Report
from vae_course.training import History

__all__ = ["ILLNESSES", "Patient", "admit"]

_SHAPE = (1, 14, 14)
_EPOCHS, _RATE, _BATCH = 8, 2e-3, 32


@dataclasses.dataclass(frozen=True, eq=False)
class Patient:
    r"""A trained model with what `examine` wants of it.

    illness: in a few words, "" for a healthy one; finding: the name that the clinic has for it
    code: the line that did it
    """

    illness: str
    finding: str
    code: str
    model: nn.Module
    images: Tensor
    test_images: Tensor
    loss: Callable
    history: History

    def examine(self) -> Report:
        return examine(
            self.model, self.images, test_images=self.test_images, loss=self.loss,
            history=self.history, batch_size=_BATCH,
        )  # fmt: skip

    @torch.no_grad()
    def pictures(self, count: int, *, seed: int = 0) -> dict[str, Tensor]:
        r"""Test images, their reconstructions, samples from N(0, I): (count, 1, 14, 14) each."""
        generator = torch.Generator().manual_seed(seed)
        images = self.test_images[:count]
        return {
            "test images": ((images - images.min()) / (images.max() - images.min())),
            "reconstructions": self.model.reconstruct(images),
            "samples": self.model.sample(count, generator=generator),
        }


@cache
def digits() -> tuple[Tensor, Tensor]:
    r"""1,500 training and 400 test digits of 14 × 14 pixels."""
    made = data.load_images("mnist-5k")
    return F.avg_pool2d(made.train_images[:1500], 2), F.avg_pool2d(made.test_images[:400], 2)


def small_vae(latent_dim: int = 4, *, hidden: int = 64) -> models.VAE:
    r"""196 → hidden → D → hidden → 196; the same weights at every call."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return models.VAE.dense(latent_dim, hidden=hidden, image_shape=_SHAPE)


def cross_entropy(logits: Tensor, image: Tensor) -> Tensor:
    r"""Nats of each image, whatever the pixels are (`losses.bernoulli_nll` refuses some)."""
    each = F.binary_cross_entropy_with_logits(logits, image, reduction="none")
    return each.flatten(start_dim=1).sum(dim=1)


def _negative_elbo(model, image):
    logits, mean, log_var = model(image)
    return (cross_entropy(logits, image) + losses.gaussian_kl(mean, log_var)).mean()


class _Sampler(nn.Module):
    r"""Another sampling layer: z = rule(mean, log_var)."""

    def __init__(self, rule: Callable):
        super().__init__()
        self.rule = rule

    def forward(self, mean: Tensor, log_var: Tensor) -> Tensor:
        return self.rule(mean, log_var)


def _trained(model, loss=_negative_elbo, images=None, test_images=None, *, epochs=_EPOCHS,
             learning_rate=_RATE, batch_size=_BATCH) -> dict:  # fmt: skip
    images = digits()[0] if images is None else images
    test_images = digits()[1] if test_images is None else test_images
    history = training.fit(
        model, loss, images, test_images=test_images, epochs=epochs, batch_size=batch_size,
        learning_rate=learning_rate, seed=0, progress=False,
    )  # fmt: skip
    return {"model": model.eval(), "loss": loss, "images": images, "test_images": test_images,
            "history": history}  # fmt: skip


_MADE: dict[str, tuple[str, str, Callable[[], dict]]] = {}


def _illness(words: str, finding: str, code: str):
    def register(function):
        _MADE[words] = finding, code, function
        return function

    return register


@_illness("nothing", "", "z = mean + (0.5 * log_var).exp() * noise; (nll + kl).mean()")
def _healthy():
    return _trained(small_vae())


@_illness("pixels normalised", "pixels-normalised", "image = (image - 0.1307) / 0.3081")
def _normalised():
    train, test = ((image - 0.1307) / 0.3081 for image in digits())
    return _trained(small_vae(), _negative_elbo, train, test, epochs=8)


@_illness("noise too wide", "wrong-spread", "z = mean + log_var.exp() * noise")
def _variance_for_std():
    model = small_vae()
    model.sampling = _Sampler(lambda m, log_var: m + log_var.exp() * torch.randn_like(m))
    return _trained(model)


@_illness("no noise", "no-noise", "z = mean")
def _no_noise():
    model = small_vae()
    model.sampling = _Sampler(lambda mean, log_var: mean + 0 * log_var)
    return _trained(model)


@_illness("the noise is always the same", "frozen-noise", "torch.manual_seed(0) in forward")
def _frozen():
    def rule(mean, log_var):
        fixed = torch.Generator().manual_seed(0)
        return mean + (0.5 * log_var).exp() * torch.randn(mean.shape, generator=fixed)

    model = small_vae()
    model.sampling = _Sampler(rule)
    return _trained(model)


@_illness("the KL counts too much", "beta-large", "nll.mean() + kl.sum()")
def _kl_of_the_batch():
    def loss(model, image):
        logits, mean, log_var = model(image)
        return cross_entropy(logits, image).mean() + losses.gaussian_kl(mean, log_var).sum()

    return _trained(small_vae(), loss)


@_illness("the KL counts too little", "beta-small", "nll.sum(dim=1) + kl.mean(dim=1)")
def _kl_averaged():
    def loss(model, image):
        logits, mean, log_var = model(image)
        kl = losses.gaussian_kl_per_dimension(mean, log_var).mean()
        return cross_entropy(logits, image).mean() + kl

    return _trained(small_vae(16), loss)


@_illness("a sigmoid twice", "sigmoid-twice", "cross_entropy_with_logits(sigmoid(logits), image)")
def _sigmoid_twice():
    def loss(model, image):
        logits, mean, log_var = model(image)
        nll = cross_entropy(logits.sigmoid(), image)
        return (nll + losses.gaussian_kl(mean, log_var)).mean()

    return _trained(small_vae(), loss)


@_illness("the code is not used", "collapse", "seven sigmoid layers in the decoder")
def _collapse():
    model = small_vae()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        layers: list[nn.Module] = [nn.Linear(4, 64)]
        for _ in range(6):
            layers += [nn.Sigmoid(), nn.Linear(64, 64)]
        layers += [nn.Sigmoid(), nn.Linear(64, 196), nn.Unflatten(1, _SHAPE)]
        model.decoder = nn.Sequential(*layers)
    return _trained(model)


@_illness("the learning rate is too high", "learning-rate-high", "Adam(parameters, lr=0.5)")
def _hot():
    return _trained(small_vae(), learning_rate=0.5)


@_illness("the learning rate is too low", "not-finished", "Adam(parameters, lr=0.00001)")
def _cold():
    return _trained(small_vae(), learning_rate=1e-5)


@_illness("the training images are learned by heart", "memorised", "images = images[:60]")
def _memorised():
    train, test = digits()
    model = small_vae(16, hidden=256)
    return _trained(model, _negative_elbo, train[:60], test, epochs=150, learning_rate=4e-3)


ILLNESSES = tuple(_MADE)


def admit(illness: str) -> Patient:
    r"""Train the model with this illness, in a second or two; "nothing" for a healthy one.

    Raises: ValueError that lists the illnesses.
    """
    if illness not in _MADE:
        raise ValueError(f"there is no illness {illness!r}; there are {', '.join(ILLNESSES)}")
    finding, code, train = _MADE[illness]
    return Patient(illness=illness, finding=finding, code=code, **train())
