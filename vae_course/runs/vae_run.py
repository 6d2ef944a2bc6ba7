r"""One long training of a VAE: the loop on Accelerate, its log, checkpoints and card.

The random numbers of an epoch come from (seed, epoch, process), not from what was drawn before.
So a run that goes on from the checkpoint of an epoch draws what it would have drawn.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import time
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn
from tqdm import tqdm

from vae_course.data import ImageData, binarize
from vae_course.models import VAE
from vae_course.runs import vae_card
from vae_course.runs.vae_objective import (
    Objective,
    Settings,
    initialize_as_published,
    make_optimizers,
)
from vae_course.training.checkpoints import (
    CheckpointError,
    read_checkpoint,
    remove_remains,
    write_checkpoint,
)
from vae_course.training.core import NotFinite, check_finite
from vae_course.training.history import History
from vae_course.training.resume import fingerprint


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
            initialize_as_published(vae, data.train_images)
        optimizers = make_optimizers(vae, settings)
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
        row = dict(zip(terms, (round(value, 4) for value in means.tolist()), strict=True))
        test = {name: round(value, 4) for name, value in self._test(epoch).items()}
        row = {
            "epoch": epoch,
            **{f"train_{name}": value for name, value in row.items()},
            **{f"test_{name}": value for name, value in test.items()},
            "learning_rate": float(f"{rate:.4g}"),
        }
        try:
            check_finite(self.vae, row, steps)
        except NotFinite as found:  # before anything of this epoch is stored
            raise FloatingPointError(
                f"{found} in epoch {epoch}, learning rate {rate:.2g}: try a smaller one"
            ) from None
        return row

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
        return vae_card.save_model(self, out)


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


def _seed(*numbers: int) -> int:
    r"""One seed from several numbers, such that (0, 12) and (1, 2) do not meet."""
    digest = hashlib.sha256(json.dumps(numbers).encode()).digest()
    return int(np.frombuffer(digest[:8], dtype=np.int64)[0]) & (2**63 - 1)
