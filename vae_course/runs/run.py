r"""One long training of any model: the training core on Accelerate, its log, checkpoints and card.

The random numbers of an epoch come from (seed, epoch, process), not from what was drawn before.
So a run that goes on from the checkpoint of an epoch draws what it would have drawn.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from tqdm import tqdm

from vae_course import pretrained
from vae_course.training import History, core
from vae_course.training.checkpoints import (
    CheckpointError,
    read_checkpoint,
    remove_remains,
    write_checkpoint,
)
from vae_course.training.resume import plain

CHECKPOINT = "checkpoint.safetensors"


class Task(Protocol):
    r"""What is trained, how, and what is measured: a family's `Task(settings)` has all of this."""

    settings: Any  # a frozen dataclass
    model: nn.Module  # what is trained, and kept in checkpoints
    objective: nn.Module  # called with a batch in each step → averages, "loss" among them
    optimizers: list[torch.optim.Optimizer]  # a group's "share" multiplies the learning rate
    steps: int  # of the optimizer, in all
    every: int  # steps from one row of the log to the next: an epoch
    clip: float | None  # the longest gradient
    stored: nn.Module  # what is stored at the end: the model, or its averaged weights
    identity: str  # of the data, so that a run is not resumed on others

    def to(self, device: torch.device) -> None:
        r"""Move model and data."""

    def batches(self, generator: torch.Generator) -> Iterator[tuple[Tensor, ...]]:
        r"""`every` batches or more, for all processes together, as the generator orders them."""

    def learning_rate_at(self, step: int) -> float:
        r"""Of step 0, 1, …, steps − 1."""

    def place(self, step: int) -> dict[str, float]:
        r"""How a row of the log begins, after so many steps: {"epoch": 3}."""

    def held_out(self) -> dict[str, float]:
        r"""Losses on data that are not trained on, with their names in the log."""

    def card(self) -> dict[str, object]:
        r"""What the model card says of the model (architecture) and its data."""

    def measured(self) -> dict[str, object]:
        r"""What is measured at the end, with the weights as stored."""

    def sentence(self, card: dict) -> str:
        r"""The result in a few words."""

    # and, if there is something to look at: page(out, card, history) → the path of what it wrote


class Run:
    r"""One training of a task: on one process or several, new or resumed.

    Raises: ValueError if the batch can't be shared among the processes, or the device isn't there.
    """

    go_on = (
        "A checkpoint in --out is kept: give the same command with --resume to go on from it, and "
        "with --device cpu if the device stays away."
    )

    def __init__(self, task: Task, out: Path, *, device: str = "auto", trackers: str | None = None):
        self.task, self.out, self.settings = task, out, task.settings
        self.accelerator = Accelerator(
            cpu=device == "cpu", log_with=trackers, project_dir=out if trackers else None
        )
        found = self.accelerator.device
        if device not in ("auto", found.type):
            raise ValueError(f"--device {device}: torch finds none here; leave --device out")
        self.world = self.accelerator.num_processes
        if self.settings.batch_size % self.world:
            raise ValueError(
                f"a batch of {self.settings.batch_size} can't be shared by {self.world} processes"
            )
        task.to(found)
        objective, *self.optimizers = self.accelerator.prepare(task.objective, *task.optimizers)
        self.objective: nn.Module = objective
        self.history, self.seconds, self.step = History(), 0.0, 0
        self.commands: list[str] = []
        self.earlier: list[dict] = []  # rows of the log before it was resumed

    @property
    def main(self) -> bool:
        return self.accelerator.is_main_process

    # --------------------------------------------------------------------- training

    def train(self) -> dict:
        r"""To the last step; after each epoch a row of the log and a checkpoint. Returns the card.

        Raises: TrainingDiverged, DeviceLost, OSError; what is stored stays.
        """
        self.began = time.perf_counter() - self.seconds
        epochs = len(self.earlier) + -(-(self.task.steps - self.step) // self.task.every)
        if self.accelerator.log_with:
            self.accelerator.init_trackers("vae-course", plain(dataclasses.asdict(self.settings)))
        core.train_epochs(
            self.one_epoch, self.task.model, epochs=epochs, steps=self.task.every,
            seed=self.settings.seed, history=self.history, progress=self.main,
            learning_rate=lambda: self.task.learning_rate_at(max(0, self.step - 1)), saved=self,
        )  # fmt: skip
        self.accelerator.end_training()
        return self.save_model() if self.main else {}

    def one_epoch(self, epoch: int, tick: core.Tick) -> dict[str, float]:
        r"""Up to the next row of the log: a step of each optimizer a batch; then the row."""
        task, index = self.task, self.accelerator.process_index
        count = min(task.every - self.step % task.every, task.steps - self.step)
        place = self.step // task.every + 1, *filter(None, [self.step % task.every])
        order = torch.Generator().manual_seed(core.seed_of(self.settings.seed, *place))
        torch.manual_seed(core.seed_of(self.settings.seed, *place, index))
        self.objective.train()
        averages = core.Averages(task.model, stop_at_nan=True)
        for _, batch in tick(zip(range(count), task.batches(order), strict=False)):
            part = [tensor[index :: self.world].to(self.accelerator.device) for tensor in batch]
            terms = self.objective(*part)
            averages.add(terms, len(part[0]))  # a NaN stops here, before the weights change
            self._update(terms["loss"])
        row = self._over_processes(averages.means("train_"))
        with core.evaluating(task.objective, core.seed_of(self.settings.seed, 0)):
            row |= task.held_out()
        row = {name: round(value, 4) for name, value in row.items()}
        row["learning_rate"] = float(f"{task.learning_rate_at(self.step - 1):.4g}")
        self.seconds = time.perf_counter() - self.began
        return task.place(self.step) | row | {"seconds": round(self.seconds)}

    def _update(self, loss: Tensor) -> None:
        rate = self.task.learning_rate_at(self.step)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate * group.get("share", 1.0)
            optimizer.zero_grad()
        self.accelerator.backward(loss)
        if self.task.clip is not None:
            self.accelerator.clip_grad_norm_(self.objective.parameters(), self.task.clip)
        for optimizer in self.optimizers:
            optimizer.step()
        self.step += 1

    def _over_processes(self, means: dict[str, float]) -> dict[str, float]:
        if self.world == 1:
            return means
        values = torch.tensor(list(means.values()), device=self.accelerator.device)
        return dict(zip(means, self.accelerator.reduce(values, "mean").tolist(), strict=True))

    # --------------------------------------------------------------------- what is kept

    def start(self, epochs: int) -> int:
        r"""For `train_epochs`: the rows that `resume` has read."""
        self.history.rows.extend(self.earlier)
        return len(self.earlier)

    def save(self) -> None:
        r"""After each epoch: a line on the screen, the log and the checkpoint."""
        row = self.history.last
        if self.accelerator.log_with:
            self.accelerator.log(row, step=self.step)
        if self.main:
            state = {
                "settings": dataclasses.asdict(self.settings), "data": self.task.identity,
                "step": self.step, "rows": self.history.rows, "seconds": self.seconds,
                "commands": self.commands, "processes": self.world,
            }  # fmt: skip
            write_checkpoint(
                self.out / CHECKPOINT, model=self.task.model, state=state,
                optimizer=[held.optimizer for held in self.optimizers],
            )  # fmt: skip
            self.history.to_csv(self.out / "log.csv")
            self._say_how_far()
        self.accelerator.wait_for_everyone()

    def _say_how_far(self) -> None:
        if self.step < self.task.steps:  # the last line is that of `train_epochs`
            (unit, done), *_ = self.task.place(self.step).items()
            start = f"{unit} {done}/{self.task.place(self.task.steps)[unit]}"
            left = self.seconds / self.step * (self.task.steps - self.step) / 60
            tqdm.write(f"{core.headline(start, self.history)} · about {left:.0f} min left")

    def resume(self) -> None:
        r"""Put the run where the checkpoint left it. Raises: CheckpointError."""
        found = read_checkpoint(self.out / CHECKPOINT)
        if self.main:
            remove_remains(found.path)
        if found.state["data"] != self.task.identity:
            raise CheckpointError(
                f"{found.path} was trained on other data than {self.settings.dataset!r} has now"
            )
        optimizers = [held.optimizer for held in self.optimizers]
        found.restore(model=self.task.model, optimizer=optimizers)
        self.earlier = found.state["rows"]
        self.step, self.seconds = found.state["step"], found.state["seconds"]
        self.commands = found.state["commands"]

    def save_model(self) -> dict:
        r"""Write model.safetensors and model.json; returns the card."""
        path, task = self.out / "model.safetensors", self.task
        card = pretrained.save(
            path, task.stored, dtype=getattr(self.settings, "store", "float32"), **task.card(),
            protocol=dataclasses.asdict(self.settings), commands=self.commands,
        )  # fmt: skip
        with core.evaluating(task.stored, self.settings.seed):
            card["measured"] = task.measured()
        card["measured"] |= task.place(self.step) | {
            "steps": self.step, "seconds": round(self.seconds),
            "threads": torch.get_num_threads(), "processes": self.world,
            "device": str(self.accelerator.device),
        }  # fmt: skip
        pretrained.write_card(path, card)
        return card


def stored_settings(out: Path) -> dict[str, Any]:
    r"""The settings of the run in `out`. Raises: CheckpointError if there is none to go on with."""
    path = out / CHECKPOINT
    try:
        settings = read_checkpoint(path).state["settings"]
    except FileNotFoundError:
        raise CheckpointError(f"there is no checkpoint to resume in {out}") from None
    except KeyError:
        settings = {}
    if "model" not in settings:
        raise CheckpointError(f"{path} is no checkpoint of `vae-course train`: give another --out")
    return settings
