r"""The loop of notebook 01, `one_epoch`, and `fit`: that loop for a long evening."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler
from torch.utils.data import DataLoader

from vae_course import require
from vae_course.printing import say
from vae_course.training import core
from vae_course.training.history import History
from vae_course.training.resume import Resumable
from vae_course.training.source import Source, as_tuples, source

Loss = Callable[..., Tensor | dict[str, Tensor]]


def one_epoch(
    model: nn.Module,
    loss: Loss,
    batches: Iterable[Tensor | tuple[Tensor, ...]],
    optimizer: torch.optim.Optimizer,
    *,
    scheduler: LRScheduler | None = None,
    clip: float | None = None,
) -> dict[str, float]:
    r"""Once through the images: a step of the optimizer a batch. Returns means over the images.

    batches: images, or (images, labels), on the model's device; loss, scheduler, clip: as in `fit`
    Raises: NotFinite if the loss is NaN or infinite, before that changes the weights.
    """
    model.train()
    averages = core.Averages(model, stop_at_nan=True)
    for image, *label in as_tuples(batches):
        terms = core.as_terms(loss(model, image, *label), trains=True)
        averages.add(terms, len(image))  # a NaN stops here
        optimizer.zero_grad()
        terms["loss"].backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
    return averages.means()


def fit(
    model: nn.Module,
    loss: Loss,
    images: Tensor | DataLoader,
    *,
    epochs: int,
    batch_size: int = 128,
    learning_rate: float = 1e-3,
    optimizer: torch.optim.Optimizer | None = None,
    scheduler: LRScheduler | None = None,
    clip: float | None = None,
    patience: int | None = None,
    labels: Tensor | None = None,
    validation_images: Tensor | DataLoader | None = None,
    validation_labels: Tensor | None = None,
    test_images: Tensor | DataLoader | None = None,
    test_labels: Tensor | None = None,
    seed: int = 0,
    progress: bool = True,
    after_epoch: Callable[[int, nn.Module, History], object] | None = None,
    checkpoint: str | Path | None = None,
    history: History | None = None,
) -> History:
    r"""Train `model` in place and return the history of its losses.

    loss(model, image), or loss(model, image, label) where labels are given, returns an average
    over the batch, or a dict of averages of which "loss" is optimized. The history logs every
    entry as a mean over images: train values are collected while the weights still change,
    validation and test values belong to the weights at the end of the epoch.

    images, validation_images, test_images: tensors; or, for more images than memory holds, a
        DataLoader that gives images or (images, labels), in its own batches and order
    optimizer: by default Adam with `learning_rate`; one passed in keeps its own learning rate
    scheduler: of that optimizer; it steps once a batch, ⌈images / batch_size⌉ times an epoch
    clip: shorten a gradient that is longer than this (the norm over all weights)
    patience: stop after so many epochs without a new lowest validation loss (or test loss, where
        there are no validation images); the model keeps the weights of the last epoch
    seed: on one machine, the same seed and a new model give the same result twice. The random
        numbers drawn outside are left alone. A model that was trained before goes on with others:
        it counts its epochs in `model.epochs_begun`, so a second call repeats no order, no noise.
    after_epoch(epoch, model, history): finds the model in eval mode. Its random numbers are the
        same after each epoch and leave the training's alone.
    checkpoint: a file, NAME.safetensors, written anew after each epoch. Where it exists already,
        training goes on from it: the same call again, after a crash or with more epochs, ends
        with the same weights, to the last bit, as if it had never stopped. Stored are model,
        optimizer, scheduler, the random numbers of Python, NumPy and torch, and each generator
        that is found in the loss, the model or the DataLoader. Where the result hangs on something
        else that changes (a counter in the loss, a schedule by hand, generators in a DataLoader's
        workers), `fit` warns after the first epoch, and the file is not resumed from.
    history: one to go on with; the new rows follow its own, and an interruption leaves them in it
    Ctrl-C, or the notebook's stop button: TrainingInterrupted, a KeyboardInterrupt, goes on to the
        caller, so that Run All stops too. The model stays as it is, and the exception has
        .history, in a notebook `sys.last_value.history`.

    Shapes: images (N, …), labels (N, …); both are moved to the model's device
    Raises: TrainingInterrupted; TrainingDiverged once the loss is NaN or infinite; ValueError or
        TypeError on arguments and loss values that cannot be trained with; CheckpointError (a
        ValueError) if the checkpoint is damaged, or of another model, data set or settings;
        DeviceLost (an OSError) if the GPU stops working; OSError if the file can't be written.
    """
    require.count(epochs=epochs, batch_size=batch_size)
    data = source(model, images, labels, batch_size, loss)
    if isinstance(images, DataLoader) and not data.labels and data.gives_labels():
        say("The loader gives labels too; they are left out, since the loss takes (model, image).")
    held_out = {
        "validation": _held_out("validation", data, validation_images, validation_labels),
        "test": _held_out("test", data, test_images, test_labels),
    }
    _check_steps(model, optimizer, scheduler, clip)
    if optimizer is None:
        optimizer = core.adam(model, learning_rate)
    monitor = core.check_patience(patience, [n for n, given in held_out.items() if given])
    core.check_history(history, checkpoint)
    history = History() if history is None else history
    seed_now = core.seed_after(model, seed)
    shuffling = torch.Generator().manual_seed(seed_now)

    def train_one(epoch: int, tick: core.Tick) -> dict[str, float]:
        batches = tick(data.shuffled(shuffling))
        trained = one_epoch(model, loss, batches, optimizer, scheduler=scheduler, clip=clip)
        row = {"epoch": epoch} | {f"train_{name}": value for name, value in trained.items()}
        for part, given in held_out.items():
            if given:
                found = evaluate(model, loss, *given, batch_size=data.batch_size or 128)
                row |= {f"{part}_{name}": value for name, value in found.items()}
        return row

    return core.train_epochs(
        train_one, model, epochs=epochs, steps=data.steps, seed=seed_now, history=history,
        progress=progress, monitor=monitor,
        after_epoch=after_epoch and (lambda epoch: after_epoch(epoch, model, history)),
        learning_rate=lambda: optimizer.param_groups[0]["lr"],
        causes=lambda: _causes({"images": data.pixels()} | {
            f"{part}_images": given[0] for part, given in held_out.items()
            if given and isinstance(given[0], Tensor)
        }),
        saved=checkpoint and Resumable(
            checkpoint, data.identity(), model=model, optimizer=optimizer, scheduler=scheduler,
            shuffling=shuffling, history=history, loss=loss, images=images,
            settings={"batch_size": data.batch_size, "seed": seed, "clip": clip},
        ),
    )  # fmt: skip


@torch.no_grad()
def evaluate(
    model: nn.Module,
    loss: Loss,
    images: Tensor | DataLoader,
    labels: Tensor | None = None,
    *,
    batch_size: int = 128,
    seed: int = 0,
) -> dict[str, float]:
    r"""Every entry of the loss as a mean over all images, with the model in eval mode.

    A loss that draws random numbers takes them from `seed`, so it gives the same value twice.

    Shapes: images (N, …), labels (N, …); both are moved to the model's device
    images: a tensor, or a DataLoader as for `fit`
    Raises: ValueError or TypeError on arguments and loss values that cannot be averaged.
    """
    data = source(model, images, labels, batch_size, loss)
    averages = core.Averages(model)
    with core.evaluating(model, seed):
        for image, *label in data.in_order():
            averages.add(core.as_terms(loss(model, image, *label)), len(image))
    return averages.means()


def _held_out(part: str, data: Source, images, labels) -> tuple | None:
    r"""(images, labels), or None where there are none. Raises: ValueError, TypeError."""
    if images is None:
        if labels is not None:
            raise ValueError(f"got {part}_labels without {part}_images; pass both or neither")
        return None
    if isinstance(images, DataLoader) or isinstance(data.origin, DataLoader):
        return images, labels  # whether it has labels is seen later
    if data.labelled != (labels is not None):
        missing = f"{part}_labels" if data.labelled else "labels"
        raise ValueError(f"{missing} are missing; the loss takes labels always or never")
    require.examples(**{f"{part}_images": images, f"{part}_labels": labels})
    return images, labels


def _check_steps(model, optimizer, scheduler, clip) -> None:
    if optimizer is not None:
        require.optimizer_of(model, optimizer)
    if clip is not None:
        require.positive(clip=clip)
    if scheduler is None:
        return
    if not isinstance(scheduler, LRScheduler) or not hasattr(scheduler, "optimizer"):
        raise TypeError(
            f"scheduler is {require.kind(scheduler)}; expected one of "
            "torch.optim.lr_scheduler that steps once a batch, such as "
            "CosineAnnealingLR(optimizer, T_max=batches in all)"
        )
    if scheduler.optimizer is not optimizer:
        raise ValueError("the scheduler is another optimizer's: pass its own as optimizer=… too")


def _causes(sets: dict[str, Tensor]) -> str:
    about_images = "not the images: they lie in [0, 1]"
    for name, images in sets.items():
        rows = images.detach().reshape(len(images), -1)
        low, high = (float(value) for value in rows.aminmax())
        if not rows.isfinite().all():
            first = int((~rows.isfinite().all(dim=1)).nonzero()[0])
            about_images = f"{name}[{first}] holds NaN or infinity: leave it out, or repair it"
            break
        if low < 0 or high > 1:
            about_images = (
                f"{name} outside [0, 1]: they run from {low:.3g} to {high:.3g}; pixels are divided "
                "by 255, or their normalization is undone"
            )
    return (
        "  - a log-variance overflowed, exp(log_var) is infinite above 88: bound it, for example "
        "log_var.clamp(-10, 10)\n"
        "  - the log of 0, or a division by 0: compute the loss from logits\n"
        f"  - {about_images}\n"
    )
