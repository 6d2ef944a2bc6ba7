r"""One long training of a VAE: settings, objective, the loop on Accelerate, log, checkpoints, card.

The random numbers of an epoch come from (seed, epoch, process), not from what was drawn before.
So a run that goes on from the checkpoint of an epoch draws what it would have drawn.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from tqdm import tqdm

from vae_course import _vae_card, losses
from vae_course._resume import fingerprint
from vae_course.checkpoints import (
    CheckpointError,
    read_checkpoint,
    remove_remains,
    write_checkpoint,
)
from vae_course.data import ImageData, binarize
from vae_course.history import History
from vae_course.models import VAE, ConditionalVAE, build_vae


@dataclasses.dataclass(frozen=True)
class Settings:
    r"""Everything that decides the weights. Learning rate: 200 steps up, then a cosine to 0."""

    model: str = "conv-vae"
    dataset: str = "mnist"
    epochs: int = 200
    samples: int = 1  # K: 1 trains the ELBO, more the importance-weighted bound
    latent_dim: int = 20
    width: int = 32  # channels of the first convolution, or hidden units of a dense model
    batch_size: int = 128  # over all processes together
    learning_rate: float = 1e-3
    optimizer: str = "adam"  # or "muon": matrices by Muon, everything else by Adam
    binarized: bool = False  # pixels drawn anew, black or white, each time an image is used
    precision: str = "float32"  # of the network in training, or "bfloat16"
    importance_samples: int = 100  # of the bound measured at the end, on the whole test set
    seed: int = 0

    def build(self) -> VAE:
        return build_vae(self.model, latent_dim=self.latent_dim, width=self.width)

    def learning_rate_at(self, step: int, steps: int) -> float:
        r"""Of step 0, 1, …, steps − 1."""
        rising = min(1.0, (step + 1) / 200)
        return self.learning_rate * rising * 0.5 * (1 + math.cos(math.pi * step / steps))


class Objective(nn.Module):
    r"""A VAE with its loss: what is called, and wrapped by Accelerate, in each step."""

    def __init__(self, vae: VAE, settings: Settings):
        super().__init__()
        self.vae, self.samples = vae, settings.samples
        self.half = settings.precision == "bfloat16"

    def forward(self, image: Tensor, label: Tensor) -> dict[str, Tensor]:
        r"""Batch averages in nats: image (B, 1, 28, 28), label (B,) → loss, reconstruction, kl."""
        count = self.samples
        with torch.autocast(image.device.type, torch.bfloat16, enabled=self.half):
            codes = self.vae.encode(image)
        mean, log_var = (part.float() for part in codes)  # (B, D)
        wide_mean, wide_log_var = (part.expand(count, *part.shape) for part in (mean, log_var))
        latent = self.vae.sampling(wide_mean, wide_log_var)  # (K, B, D)
        decoder_input = latent.flatten(end_dim=1)  # (K · B, D)
        if isinstance(self.vae, ConditionalVAE):
            decoder_input = self.vae.decoder_input(decoder_input, label.repeat(count))
        with torch.autocast(image.device.type, torch.bfloat16, enabled=self.half):
            logits = self.vae.decoder(decoder_input)  # (K · B, 1, 28, 28)
        repeated = image.repeat(count, 1, 1, 1)
        nll = losses.bernoulli_nll(logits.float(), repeated).view(count, -1)  # (K, B)
        kl = losses.gaussian_kl(mean, log_var)  # (B,)
        if count == 1:
            loss = nll[0] + kl  # −ELBO, with the KL in closed form
        else:
            zero = torch.zeros_like(wide_mean)
            prior = losses.gaussian_log_prob(latent, zero, zero)
            posterior = losses.gaussian_log_prob(latent, wide_mean, wide_log_var)
            loss = -losses.iwae_bound(prior - posterior - nll)  # (B,)
        return {"loss": loss.mean(), "reconstruction": nll.mean(), "kl": kl.mean()}


class Run:
    r"""One training: model, optimizers and log, after some epoch."""

    def __init__(self, settings: Settings, data: ImageData, *, cpu: bool = False):
        self.settings, self.accelerator = settings, Accelerator(cpu=cpu)
        world = self.accelerator.num_processes
        if settings.batch_size % world or settings.batch_size > len(data.train_images):
            raise ValueError(
                f"a batch of {settings.batch_size} can't be shared by {world} processes, or is "
                f"more than the {len(data.train_images):,} training images"
            )
        self.data = data.to(self.accelerator.device)
        self.data_digest = fingerprint(data.train_images, data.train_labels)
        torch.manual_seed(settings.seed)
        vae = settings.build()
        if settings.model == "paper-vae":
            _initialize_as_published(vae, data.train_images)
        optimizers = _optimizers(vae, settings)
        objective, *self.optimizers = self.accelerator.prepare(
            Objective(vae, settings), *optimizers
        )
        self.objective: nn.Module = objective
        self.history, self.seconds = History(), 0.0
        self.commands: list[str] = []

    @property
    def vae(self) -> VAE:
        return self.accelerator.unwrap_model(self.objective).vae

    @property
    def steps(self) -> int:
        r"""Whole batches an epoch; the images left over are others in each epoch."""
        return len(self.data.train_images) // self.settings.batch_size

    def train(self, out: Path) -> None:
        r"""To the last epoch; after each one a line of the log and a checkpoint."""
        main, epochs = self.accelerator.is_main_process, self.settings.epochs
        total, done = epochs * self.steps, len(self.history.rows) * self.steps
        start = time.perf_counter() - self.seconds
        hidden = None if main else True
        with tqdm(total=total, initial=done, unit="step", disable=hidden) as bar:
            for epoch in range(len(self.history.rows) + 1, epochs + 1):
                row = self._epoch(epoch, bar)
                self.seconds = time.perf_counter() - start
                self.history.rows.append(row | {"seconds": round(self.seconds)})
                if main:
                    self.save_checkpoint(out)
                    left = self.seconds / epoch * (epochs - epoch) / 60
                    shown = f"train {row['train_loss']:.2f} · test {row['test_loss']:.2f} nats"
                    tqdm.write(f"epoch {epoch}/{epochs} · {shown} · about {left:.0f} min left")
                self.accelerator.wait_for_everyone()

    def _epoch(self, epoch: int, bar: tqdm) -> dict[str, float]:
        settings, process = self.settings, self.accelerator.process_index
        world, device = self.accelerator.num_processes, self.accelerator.device
        order_generator = torch.Generator().manual_seed(_seed(settings.seed, epoch))
        order = torch.randperm(len(self.data.train_images), generator=order_generator)
        torch.manual_seed(_seed(settings.seed, epoch, process))
        self.objective.train()
        sums, steps = torch.zeros(3, device=device), self.steps
        for index in range(steps):
            batch = order[index * settings.batch_size :][: settings.batch_size][process::world]
            image = self.data.train_images[batch.to(device)]
            image = binarize(image) if settings.binarized else image
            terms = self.objective(image, self.data.train_labels[batch.to(device)])
            rate = settings.learning_rate_at((epoch - 1) * steps + index, settings.epochs * steps)
            for optimizer in self.optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = rate * group["share"]
                optimizer.zero_grad()
            self.accelerator.backward(terms["loss"])
            for optimizer in self.optimizers:
                optimizer.step()
            sums += torch.stack([value.detach() for value in terms.values()])
            bar.update()
        means = self.accelerator.reduce(sums, "mean") / steps
        if not means.isfinite().all():
            raise FloatingPointError(
                f"the loss became {means[0].item()} in epoch {epoch}, learning rate {rate:.2g}: "
                "try a smaller one"
            )
        row = dict(zip(terms, (round(value, 4) for value in means.tolist()), strict=True))
        test = {name: round(value, 4) for name, value in self._test(epoch).items()}
        return {
            "epoch": epoch,
            **{f"train_{name}": value for name, value in row.items()},
            **{f"test_{name}": value for name, value in test.items()},
            "learning_rate": float(f"{rate:.4g}"),
        }

    @torch.no_grad()
    def _test(self, epoch: int) -> dict[str, float]:
        r"""The objective on the test images; the same noise and the same pixels each epoch."""
        torch.manual_seed(_seed(self.settings.seed, 0))
        self.objective.eval()
        objective = self.accelerator.unwrap_model(self.objective)
        sums = torch.zeros(3, device=self.accelerator.device)
        images, labels = self.data.test_images, self.data.test_labels
        for image, label in zip(images.split(500), labels.split(500), strict=True):
            image = binarize(image) if self.settings.binarized else image
            terms = objective(image, label)
            sums += torch.stack(list(terms.values())) * len(image)
        return dict(zip(terms, (sums / len(images)).tolist(), strict=True))

    def save_checkpoint(self, out: Path) -> None:
        state = {
            "settings": dataclasses.asdict(self.settings), "data": self.data_digest,
            "rows": self.history.rows, "seconds": self.seconds, "commands": self.commands,
            "processes": self.accelerator.num_processes,
        }  # fmt: skip
        optimizers = [held.optimizer for held in self.optimizers]
        write_checkpoint(
            out / "checkpoint.safetensors", model=self.vae, optimizer=optimizers, state=state
        )
        self.history.to_csv(out / "log.csv")

    def resume(self, out: Path) -> None:
        r"""Put the run where the checkpoint in `out` left it. Raises: CheckpointError."""
        found = read_checkpoint(out / "checkpoint.safetensors")
        if self.accelerator.is_main_process:
            remove_remains(found.path)
        if found.state["data"] != self.data_digest:
            raise CheckpointError(
                f"{found.path} was trained on other images than {self.data.name!r} has now"
            )
        optimizers = [held.optimizer for held in self.optimizers]
        found.restore(model=self.vae, optimizer=optimizers)
        self.history.rows[:] = found.state["rows"]
        self.seconds, self.commands = found.state["seconds"], found.state["commands"]

    def save_model(self, out: Path) -> dict:
        return _vae_card.save_model(self, out)


def stored_settings(out: Path) -> Settings:
    r"""The settings of the run in `out`. Raises: CheckpointError if there is none to go on with."""
    path = out / "checkpoint.safetensors"
    try:
        state = read_checkpoint(path).state
    except FileNotFoundError:
        raise CheckpointError(f"there is no checkpoint to resume in {out}") from None
    try:
        return Settings(**state["settings"])
    except (KeyError, TypeError):
        raise CheckpointError(f"{path} is no checkpoint of a VAE's long run") from None


def _initialize_as_published(vae: VAE, images: Tensor) -> None:
    r"""Glorot uniform weights; the output biases are the logits of the mean training pixels."""
    for layer in vae.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    last = [layer for layer in vae.decoder if isinstance(layer, nn.Linear)][-1]
    with torch.no_grad():
        last.bias.copy_(torch.logit(images.mean(dim=0).flatten(), eps=1e-3))


def _optimizers(vae: nn.Module, settings: Settings) -> list[torch.optim.Optimizer]:
    if settings.optimizer == "adam":
        adam = torch.optim.Adam(vae.parameters(), lr=settings.learning_rate, fused=True)
        adam.param_groups[0]["share"] = 1.0
        return [adam]
    if not hasattr(torch.optim, "Muon"):
        raise ValueError(f"optimizer muon needs torch 2.9 or newer, this is {torch.__version__}")
    matrices = [p for p in vae.parameters() if p.dim() == 2]
    others = [p for p in vae.parameters() if p.dim() != 2]
    muon = torch.optim.Muon(
        matrices, lr=settings.learning_rate, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"
    )
    adam = torch.optim.Adam(others, lr=settings.learning_rate, fused=True)
    muon.param_groups[0]["share"], adam.param_groups[0]["share"] = 1.0, 0.2
    return [muon, adam]


def _seed(*numbers: int) -> int:
    r"""One seed from several numbers, such that (0, 12) and (1, 2) do not meet."""
    digest = hashlib.sha256(json.dumps(numbers).encode()).digest()
    return int(np.frombuffer(digest[:8], dtype=np.int64)[0]) & (2**63 - 1)
