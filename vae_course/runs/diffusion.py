r"""Diffusion: `vae-course train --model diffusion` (of pixels) and `--model latent-diffusion`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from vae_course import diffusion, metrics, pretrained
from vae_course.models import VAE
from vae_course.runs import setting
from vae_course.runs.images import Images, can_be_judged, judged, up_and_down


@dataclasses.dataclass(frozen=True)
class Settings:
    r"""Everything that decides the weights. Learning rate: up to 200 steps up, then a cosine to 0.

    Raises: ValueError on values that nothing can be trained with.
    """

    model: str = "diffusion"
    dataset: str = setting("mnist", "an image set, or a folder or file of your own")
    seed: int = setting(0, "of every random number")
    epochs: int = setting(20, "passes over the images")
    batch_size: int = setting(128, "images a step, over all processes together")
    learning_rate: float = setting(1e-3, "the highest one")
    width: int = setting(32, "channels of the U-Net, or hidden units of latent-diffusion")
    layers: int = setting(3, "of latent-diffusion")
    vae: str = setting("vae-conv", "the VAE whose codes are diffused (latent-diffusion)")
    steps: int = setting(1000, "T, the length of the chain")
    drop: float = setting(0.1, "share of the labels hidden in training")
    average: float = setting(0.999, "share of the averaged weights that stays at each step")
    precision: str = setting("float32", "of matrix products", choices=("float32", "bfloat16"))
    store: str = setting("float16", "dtype of the stored weights", choices=("float32", "float16"))


DEFAULTS = {
    "diffusion": {"precision": "bfloat16"},
    "latent-diffusion": {"width": 256, "epochs": 100, "batch_size": 256, "drop": 0.25},
}


class Objective(nn.Module):
    r"""A diffusion model with its loss, and the running average of its weights."""

    def __init__(self, model: nn.Module, settings: Settings):
        super().__init__()
        self.model, self.drop = model, settings.drop
        self.half = settings.precision == "bfloat16"
        average = get_ema_multi_avg_fn(settings.average)
        self.average = AveragedModel(model, multi_avg_fn=average).requires_grad_(False)

    def forward(self, thing: Tensor, label: Tensor) -> dict[str, Tensor]:
        r"""Pictures in −1 … 1 or codes (B, …), labels (B,) → mean squared error."""
        if self.training:  # the weights that the last step has left
            self.average.update_parameters(self.model)
        with torch.autocast(thing.device.type, torch.bfloat16, enabled=self.half):
            return {"loss": self.model.loss(thing, label, drop=self.drop)}


class Task:
    r"""A diffusion model of pixels or codes, and what its card says: see `run.Task`."""

    clip = 1.0

    def __init__(self, settings: Settings):
        self.settings = settings
        self.images = Images(settings.dataset, settings.batch_size)
        self.every, self.steps = self.images.steps, settings.epochs * self.images.steps
        self.identity, self.latent = self.images.identity, settings.model == "latent-diffusion"
        torch.manual_seed(settings.seed)
        data = self.images.data
        if self.latent:
            vae, card = pretrained.load(settings.vae)
            if not isinstance(vae, VAE):
                raise ValueError(f"--vae {settings.vae} is a {pretrained.kind_of(card)}, no VAE")
            self.codes = metrics.latent_codes(vae, data.train_images)  # mean and log σ², (N, D)
            self.test_codes = metrics.latent_codes(vae, data.test_images)
            self.architecture = {
                "vae": settings.vae, "width": settings.width, "layers": settings.layers,
                "steps": settings.steps,
            }  # fmt: skip
            rest = {name: value for name, value in self.architecture.items() if name != "vae"}
            model = diffusion.LatentDiffusion(vae, **rest)
            model.set_scale(_drawn(*self.codes))
        else:
            self.architecture = {
                "channels": settings.width, "steps": settings.steps,
                "image_shape": data.image_shape,
            }  # fmt: skip
            model = diffusion.Diffusion.unet(**self.architecture)
        self.objective = Objective(model, settings)
        self.model = self.objective  # both the weights and their average go into checkpoints
        self.stored = self.objective.average.module
        if self.latent:
            object.__setattr__(self.stored, "vae", vae)
        parameters = [p for p in model.parameters() if p.requires_grad]
        self.optimizers = [torch.optim.Adam(parameters, settings.learning_rate, fused=True)]

    def to(self, device: torch.device) -> None:
        self.model.to(device)
        self.images.to(device)
        if self.latent:
            self.stored.vae.to(device)
            self.codes = tuple(part.to(device) for part in self.codes)
            self.test_codes = tuple(part.to(device) for part in self.test_codes)

    def batches(self, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        if not self.latent:
            for image, label in self.images.batches(generator):
                yield 2 * image - 1, label
            return
        labels, size = self.images.train_labels, self.settings.batch_size
        order = torch.randperm(len(labels), generator=generator).to(labels.device)
        for rows in order[: self.every * size].split(size):
            yield _drawn(*(part[rows] for part in self.codes)), labels[rows]

    def learning_rate_at(self, step: int) -> float:
        return self.settings.learning_rate * up_and_down(step, self.steps)

    def place(self, step: int) -> dict[str, float]:
        return {"epoch": step // self.every}

    @torch.no_grad()
    def held_out(self) -> dict[str, float]:
        r"""The loss of the averaged weights on 2,000 test images."""
        count = 2000
        label = self.images.test_labels[:count]
        if self.latent:
            thing = _drawn(*(part[:count] for part in self.test_codes))
        else:
            thing = 2 * self.images.test[:count] - 1
        parts = zip(thing.split(500), label.split(500), strict=True)
        losses = [self.stored.loss(*part, drop=0.0).item() * len(part[0]) for part in parts]
        return {"test_loss": sum(losses) / len(label)}

    def card(self) -> dict[str, object]:
        return {
            "architecture": self.architecture, "data": self.images.card,
        }  # fmt: skip

    @torch.no_grad()
    def measured(self) -> dict[str, object]:
        data = self.images.data
        found: dict[str, object] = {"test_loss": round(self.held_out()["test_loss"], 4)}
        if not self.latent:
            found |= self._bound()
        if not can_be_judged(data):
            return found
        labels = torch.arange(1000, device=self.images.train.device) % len(data.class_names)
        samples = [self.stored.sample(len(part), label=part,
                                      generator=torch.Generator().manual_seed(number))
                   for number, part in enumerate(labels.split(250))]  # fmt: skip
        samples = torch.cat(samples)
        if not self.latent:
            samples = ((samples + 1) / 2).clamp(0, 1)
        found["sampling"] = "50 steps without new noise, classes in turn, no guidance"
        return found | judged(samples.float(), labels, data)

    def _bound(self, count: int = 1000) -> dict[str, object]:
        r"""The chain's ELBO of the first test images, their pixels as 256 grey values."""
        grey = (self.images.test[:count] * 255).round() / 127.5 - 1
        generator = torch.Generator().manual_seed(0)
        pairs = zip(grey.split(250), self.images.test_labels[:count].split(250), strict=True)
        totals = [diffusion.bound(self.stored, image, label, draws=50, generator=generator).total
                  for image, label in pairs]  # fmt: skip
        mean, error = metrics.mean_with_error(torch.cat(totals).cpu())
        return {
            "negative_elbo": {"mean": round(mean, 3), "standard_error": round(error, 3)},
            "unit": "nats per image",
            "how": f"the first {len(grey):,} test images given their class, "
            "256 grey values a pixel",
        }  # fmt: skip

    def sentence(self, card: dict) -> str:
        found = card["measured"]
        distance = found.get("sample_report", {}).get("frechet_distance", {})
        return (
            f"test loss {found['test_loss']}, Fréchet distance {distance.get('value', 'unknown')}"
        )


def _drawn(mean: Tensor, log_var: Tensor) -> Tensor:
    r"""A code of each image, from q(z | x): (N, D), (N, D) → (N, D)."""
    return mean + torch.exp(0.5 * log_var) * torch.randn_like(mean)
