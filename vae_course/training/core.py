r"""The training core: the same for `fit`, a GAN, and the long runs of `vae-course train`.

`train_epochs` calls a function that trains one epoch and returns a row of the history. Everything
that a long evening needs stands around that call, once: random numbers, modes, the progress bar,
an end at NaN, interruption, checkpoints, early stopping.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from numbers import Real
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from vae_course import require
from vae_course.printing import say
from vae_course.training.history import History
from vae_course.training.resume import device_watched

# Reading a number from a GPU waits for it to finish, so there the losses are read 50 steps at a
# time. The message still names the right step, but up to 49 further steps have been taken.
READ_EVERY_ON_GPU = 50

# Threads share the work of one operation and meet at its end. With fewer parameters they wait
# longer than they work: the ring of notebook 06 (9,000) took 1.4 times as long with two.
PARAMETERS_FOR_ONE_THREAD = 20_000

Tick = Callable[[Iterable], Iterator]  # passes batches on, and counts them on the progress bar


class NotFinite(FloatingPointError):
    r"""A loss or a weight became NaN or infinite; `step` of the epoch, from 1, if it is known."""

    def __init__(self, what: str, step: int | None = None):
        super().__init__(what)
        self.step = step


class TrainingDiverged(RuntimeError):
    r"""The loss or a weight became NaN or infinite, so the training stopped.

    epoch, and step within the epoch, count from 1; learning_rate is the optimizer's; history
    holds the epochs completed before.
    """

    def __init__(self, message, *, epoch: int, step: int, learning_rate: float, history: History):
        super().__init__(message)
        self.epoch, self.step = epoch, step
        self.learning_rate = learning_rate
        self.history = history


class TrainingInterrupted(KeyboardInterrupt):
    r"""Ctrl-C, or the stop button. The model stays as it is; history holds the epochs completed."""

    def __init__(self, message: str, history: History):
        super().__init__(message)
        self.history = history


class Saved(Protocol):
    r"""What `train_epochs` asks of a checkpoint file."""

    go_on: str  # what to do after the device was lost

    def start(self, epochs: int) -> int:
        r"""Go on from the file, if there is one; returns how many epochs it holds."""

    def save(self) -> None:
        r"""Write the file, after an epoch."""


def train_epochs(
    train_one: Callable[[int, Tick], dict[str, float]],
    model: nn.Module,
    *,
    epochs: int,
    steps: int,
    seed: int,
    history: History,
    learning_rate: Callable[[], float],
    causes: Callable[[], str] = lambda: "",
    after_epoch: Callable[[int], object] | None = None,
    saved: Saved | None = None,
    monitor: tuple[str, int] | None = None,
    progress: bool = True,
) -> History:
    r"""Train by calling train_one(epoch, tick) → row, `epochs` times; the rows go into `history`.

    model: all that is trained; two networks in an nn.ModuleList
    steps: batches an epoch, which train_one passes through tick(batches)
    monitor: (column, patience): stop after so many epochs without a new lowest value
    causes: what else to say, one line each, when something became NaN
    Raises: TrainingInterrupted, TrainingDiverged, DeviceLost, and what train_one raises.
    """
    history.interrupted = False
    first = epoch = len(history)
    last = first + epochs
    go_on = saved.go_on if saved else "fit(checkpoint=…) would have kept the epochs completed."
    step = 0

    def tick(batches: Iterable) -> Iterator:
        nonlocal step
        for step, batch in enumerate(batches, start=1):  # noqa: B007
            yield batch
            bar.update()

    with (
        progress_bar(epochs * steps, progress) as bar, device_watched(go_on),
        modes_kept(model), random_numbers(model, seed), one_thread_if_small(model),
    ):  # fmt: skip
        try:
            if saved:
                first = epoch = saved.start(epochs)  # what an earlier call has trained
                bar.update(first * steps)
                count_epochs(model, first)
            for epoch in range(first + 1, last + 1):
                if monitor and is_stale(history, *monitor):
                    break
                bar.set_description(headline(f"epoch {epoch}/{last}", history))
                model.train()
                count_epochs(model)
                row = train_one(epoch, tick)
                check_finite(model, row, steps)
                history.rows.append(row)
                if after_epoch:
                    with evaluating(model, seed):
                        after_epoch(epoch)
                if saved:
                    saved.save()
        except KeyboardInterrupt:
            history.interrupted = True
            what = headline(f"interrupted in epoch {epoch}/{last}, model kept", history)
            raise TrainingInterrupted(what, history) from None
        except NotFinite as found:
            where = {"epoch": epoch, "step": found.step or step, "history": history}
            raise _diverged(found, steps, learning_rate(), causes(), **where) from None
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise ValueError(
                "a batch holds a single image, and batch normalization needs two for a variance: "
                "choose another batch_size, or leave an image out (images[:-1])"
            ) from error
    if progress:
        say(headline(f"epoch {len(history)}/{last}", history))
    return history


def _diverged(found, steps, learning_rate, causes, *, epoch, step, history) -> TrainingDiverged:
    message = (
        f"{found} in epoch {epoch}, step {step} of {steps}, learning rate {learning_rate:g}. "
        f"Likely causes:\n  - the learning rate is too high: try {learning_rate / 10:g}\n{causes}"
        "The epochs completed before are in the exception's .history"
    )
    return TrainingDiverged(
        message, epoch=epoch, step=step, learning_rate=float(learning_rate), history=history
    )


def headline(start: str, history: History) -> str:
    r"""Such as "epoch 12/12 · train loss 27.41 · test loss 28.02"."""
    for name, value in (history.rows[-1] if history.rows else {}).items():
        if name.endswith("_loss"):
            shown = f"{value:.2f}" if abs(value) >= 1 else f"{value:.4g}"
            start += f" · {name.replace('_', ' ')} {shown}"
    return start


# ------------------------------------------------------------------- one epoch after the other


def count_epochs(model: nn.Module, more: int = 1) -> None:
    r"""Note on a model that it was trained, so that a second call takes other random numbers."""
    for network in model if isinstance(model, nn.ModuleList) else [model]:
        network.epochs_begun = getattr(network, "epochs_begun", 0) + more


def seed_after(model: nn.Module, seed: int) -> int:
    r"""The seed itself for a new model; another one, made of it, after each epoch of training."""
    require.seed(seed)
    require.network(model=model)
    begun = getattr(model, "epochs_begun", 0)
    return seed_of(seed, "epochs begun", begun) if begun else seed


def seed_of(*parts: object) -> int:
    r"""One seed from several numbers, such that (0, 12) and (1, 2) do not meet."""
    digest = hashlib.sha256(json.dumps(parts).encode()).digest()
    return int.from_bytes(digest[:8], "little") & (2**63 - 1)


def is_stale(history: History, column: str, patience: int) -> bool:
    r"""Whether the lowest value of a column lies `patience` epochs back, or more."""
    values = [row.get(column, math.inf) for row in history.rows]
    return bool(values) and len(values) - 1 - values.index(min(values)) >= patience


def check_patience(patience: int | None, held_out: list[str]) -> tuple[str, int] | None:
    r"""What `train_epochs` monitors. Raises: ValueError, TypeError if there is nothing to watch."""
    if patience is None:
        return None
    require.count(patience=patience)
    if not held_out:
        raise ValueError("patience watches the validation loss: pass validation_images=… too")
    return f"{held_out[0]}_loss", patience


def check_history(history: History | None, checkpoint: object) -> None:
    r"""Raises: TypeError, ValueError unless the rows of this training can follow its own."""
    if history is not None and not isinstance(history, History):
        raise TypeError(
            f"history is {require.kind(history)}; expected what an earlier fit returned"
        )
    if history and checkpoint is not None:
        raise ValueError(
            "got a history with rows and a checkpoint, which has its own: pass an empty History()"
        )


# ------------------------------------------------------------------- checks of the arguments


def device_of(model: nn.Module, default: torch.device | str = "cpu") -> torch.device:
    first = next(model.parameters(), None)
    return torch.device(default) if first is None else first.device


def adam(model: nn.Module, learning_rate: float, *, betas=(0.9, 0.999)) -> torch.optim.Adam:
    r"""Adam, fused (one pass over each weight a step, not ten) wherever that is safe."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        raise ValueError(
            "the model has no trainable parameters: are its layers attributes of an nn.Module "
            "(lists need nn.ModuleList), and is requires_grad still True?"
        )
    if not 0 < learning_rate < math.inf:
        raise ValueError(f"learning_rate is {learning_rate}; expected a positive number like 1e-3")
    # The fused kernel walks through memory in a straight line: on weights with gaps (a slice such
    # as basis[:, :2]) it gives wrong numbers on the CPU, silently (seen with torch 2.15).
    gapless = all(
        p.is_contiguous() or p.is_contiguous(memory_format=torch.channels_last) for p in parameters
    )
    try:
        return torch.optim.Adam(parameters, lr=learning_rate, betas=betas, fused=gapless)
    except RuntimeError:  # no fused kernel for this device or dtype
        return torch.optim.Adam(parameters, lr=learning_rate, betas=betas)


def as_terms(result: object, *, trains: bool = False) -> dict[str, Tensor]:
    r"""What a loss function returned as a dict of scalars. Raises: TypeError, ValueError."""
    named = dict(result) if isinstance(result, Mapping) else {"loss": result}
    if "loss" not in named:
        raise ValueError(f"the loss returned a dict of {list(named)}; expected 'loss' among them")
    for name, value in named.items():
        if isinstance(value, Real) and name != "loss":
            named[name] = torch.tensor(float(value))
        elif not isinstance(value, Tensor):
            hint = "is a return missing?" if value is None else "leave out .item() and float()"
            came = f"{require.kind(value)} as {name!r}"
            raise TypeError(f"the loss returned {came}; expected a tensor: {hint}")
        elif value.dim() > 0:
            raise ValueError(
                f"the loss returned shape {tuple(value.shape)} as {name!r}; expected one number: "
                "end with .mean(), the average over the batch"
            )
    if trains and not named["loss"].requires_grad:
        raise ValueError(
            "the loss carries no gradient back to the model: look for .detach(), .data, .item(), "
            "torch.tensor(loss), NumPy, or torch.no_grad() on the way, or for a loss that never "
            "calls the model"
        )
    return named


def check_finite(model: nn.Module, row: dict[str, float], step: int) -> None:
    r"""The end of an epoch: neither test loss nor weights may be NaN. Raises: NotFinite."""
    for name, value in row.items():
        if name.endswith("_loss") and not math.isfinite(value):
            raise NotFinite(f"the {name.replace('_', ' ')} became {value}", step)
    if not all(p.isfinite().all() for p in model.parameters()):
        raise NotFinite("a weight of the model became NaN or infinite", step)


# ------------------------------------------------------------------------- inside the loop


class Averages:
    r"""Means over images, not over batches: the last batch may be a short one."""

    def __init__(self, model: nn.Module, *, stop_at_nan: bool = False):
        self.read_every = 1 if device_of(model).type == "cpu" else READ_EVERY_ON_GPU
        self.stop_at_nan = stop_at_nan
        self.step = 0
        self.unread: list[tuple[dict[str, Tensor], int]] = []
        self.sums: dict[str, float] = defaultdict(float)
        self.counts: dict[str, int] = defaultdict(int)

    def add(self, named: Mapping[str, Tensor | float], images: int) -> None:
        r"""Note one batch's averages. Raises: NotFinite if the loss is not, and stop_at_nan."""
        values = {n: v.detach() if isinstance(v, Tensor) else v for n, v in named.items()}
        self.unread.append((values, images))
        if len(self.unread) >= self.read_every:
            self._read()

    def _read(self) -> None:
        for named, images in self.unread:
            self.step += 1
            for name, value in named.items():
                number = float(value)
                if self.stop_at_nan and name == "loss" and not math.isfinite(number):
                    raise NotFinite(f"the loss became {number}", self.step)
                self.sums[name] += images * number
                self.counts[name] += images
        self.unread.clear()

    def means(self, prefix: str = "") -> dict[str, float]:
        self._read()
        return {prefix + name: self.sums[name] / self.counts[name] for name in self.sums}


# ------------------------------------------------------------------------- around the loop


@contextmanager
def progress_bar(steps: int, progress: bool) -> Iterator[tqdm]:
    # disable=None shows the bar in notebooks and terminals, but not where stderr is a file.
    hidden = True if not progress or os.environ.get("TQDM_DISABLE") else None
    bar = tqdm(total=steps, unit="batch", leave=False, disable=hidden)
    try:
        yield bar
    finally:
        bar.total = bar.n  # a notebook would keep an unfinished bar, in red
        bar.close()


@contextmanager
def evaluating(model: nn.Module, seed: int) -> Iterator[None]:
    r"""The model in eval mode and random numbers of its own, without a trace on the training."""
    with modes_kept(model), random_numbers(model, seed):
        model.eval()
        yield


@contextmanager
def one_thread_if_small(model: nn.Module) -> Iterator[None]:
    r"""Inside, one thread for a network too small to be shared; outside, as many as before."""
    threads = torch.get_num_threads()
    if sum(p.numel() for p in model.parameters()) < PARAMETERS_FOR_ONE_THREAD:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def modes_kept(model: nn.Module) -> Iterator[None]:
    r"""Each part of the model back in its mode, train or eval, at the end."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def random_numbers(model: nn.Module, seed: int) -> Iterator[None]:
    r"""Random numbers start from `seed` inside and go on as if nothing was, outside.

    Those of torch, on the CPU and on the model's device, of NumPy and of Python.
    """
    device = device_of(model)
    apple = torch.mps.get_rng_state() if device.type == "mps" else None
    others = np.random.get_state(), random.getstate()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        seed_everything(seed)
        try:
            yield
        finally:
            np.random.set_state(others[0])
            random.setstate(others[1])
            if apple is not None:
                torch.mps.set_rng_state(apple)


def seed_everything(seed: int) -> None:
    r"""Seed the random numbers of Python, NumPy and torch (on every device)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def count_parameters(model: nn.Module) -> int:
    r"""How many numbers training can change: the trainable parameters, shared ones once."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
