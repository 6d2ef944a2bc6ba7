r"""One readable training loop, `fit`, and what it leaves behind, a `History`.

Notebook 01 writes the loop out by hand. This is the same loop with what a long evening of
training needs: seeds, a progress bar, interruption, and a clear word when the loss becomes NaN.
What stands around the loop (checks, averages, random numbers, the bar) is in `loop.py`.
"""

import random
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from vae_course.training import loop
from vae_course.training.history import History
from vae_course.training.resume import DeviceLost, Resumable
from vae_course.training.source import source

__all__ = [
    "DeviceLost",
    "History",
    "TrainingDiverged",
    "count_parameters",
    "evaluate",
    "fit",
    "seed_everything",
]

Loss = Callable[..., Tensor | dict[str, Tensor]]


class TrainingDiverged(RuntimeError):
    r"""The loss or a weight became NaN or infinite, so `fit` stopped.

    epoch, and step within the epoch, count from 1; learning_rate is the optimizer's; history
    holds the epochs completed before.
    """

    def __init__(self, message, *, epoch: int, step: int, learning_rate: float, history: History):
        super().__init__(message)
        self.epoch, self.step = epoch, step
        self.learning_rate = learning_rate
        self.history = history


def seed_everything(seed: int) -> None:
    r"""Seed the random numbers of Python, NumPy and torch (on every device)."""
    import numpy as np

    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def count_parameters(model: nn.Module) -> int:
    r"""How many numbers training can change: the trainable parameters, shared ones once."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def fit(
    model: nn.Module,
    loss: Loss,
    images: Tensor | DataLoader,
    *,
    epochs: int,
    batch_size: int = 128,
    learning_rate: float = 1e-3,
    optimizer: torch.optim.Optimizer | None = None,
    test_images: Tensor | DataLoader | None = None,
    labels: Tensor | None = None,
    test_labels: Tensor | None = None,
    seed: int = 0,
    progress: bool = True,
    after_epoch: Callable[[int, nn.Module, History], object] | None = None,
    checkpoint: str | Path | None = None,
) -> History:
    r"""Train `model` in place and return the history of its losses.

    loss(model, image), or loss(model, image, label) where labels are given, returns an average
    over the batch, or a dict of averages of which "loss" is optimized. The history logs every
    entry as a mean over images: train values are collected while the weights still change, test
    values belong to the weights at the end of the epoch.

    images, test_images: tensors; or, for more images than memory holds, a DataLoader that gives
        images or (images, labels). Its own batch size counts, and its order (`streaming`).
    optimizer: by default Adam with `learning_rate`; one passed in keeps its own learning rate.
    seed: the same seed gives the same result twice on one machine. The random numbers drawn
        outside are left alone. For another round of training, give another seed.
    after_epoch(epoch, model, history): finds the model in eval mode. Its random numbers are the
        same after each epoch and leave the training's alone.
    checkpoint: a file, NAME.safetensors, written anew after each epoch. Where it exists already,
        training goes on from it: the same call again, after a crash or with more epochs, ends
        with the same weights, to the last bit, as if it had never stopped.
    Ctrl-C, or the notebook's stop button: training ends, the model stays as it is, and
        history.interrupted is True.

    Shapes: images (N, …), labels (N, …); both are moved to the model's device
    Raises: TrainingDiverged once the loss is NaN or infinite; ValueError or TypeError on
        arguments and loss values that cannot be trained with; CheckpointError (a ValueError) if
        the checkpoint is damaged, or of another model, data set, batch size or seed; DeviceLost
        (an OSError) if the GPU stops working; OSError if the checkpoint can't be written.
    """
    streamed = isinstance(images, DataLoader) or isinstance(test_images, DataLoader)
    loop.check_arguments(epochs, batch_size, labels, test_images, test_labels, streamed)
    data = source(model, images, labels, batch_size)
    if optimizer is None:
        optimizer = loop.adam(model, learning_rate)
    loop.check_optimizer(optimizer, model)
    shuffling = torch.Generator().manual_seed(seed)
    history, epoch, steps = History(), 0, data.steps
    saved = Resumable(
        checkpoint, data.identity(), model=model, optimizer=optimizer, shuffling=shuffling,
        history=history,
        settings={"batch_size": data.batch_size, "seed": seed, "learning_rate": learning_rate},
    )  # fmt: skip

    around = loop.around_training(model, seed, progress, epochs * steps)
    with saved.device_watched(), around as bar:
        try:
            epoch = done = saved.start(epochs)  # 0, or what an earlier call has trained
            bar.update(done * steps)
            for epoch in range(done + 1, epochs + 1):
                bar.set_description(_headline(f"epoch {epoch}/{epochs}", history))
                model.train()
                averages = loop.Averages(model, stop_at_nan=True)
                for image, *label in data.shuffled(shuffling):
                    terms = loop.terms(loss(model, image, *label), trains=True)
                    averages.add(terms, len(image))  # a NaN stops here, before the weights change
                    optimizer.zero_grad()
                    terms["loss"].backward()
                    optimizer.step()
                    bar.update()
                row = {"epoch": epoch, **averages.means("train_")}
                if test_images is not None:
                    test = evaluate(model, loss, test_images, labels=test_labels)
                    row |= {f"test_{name}": value for name, value in test.items()}
                loop.check_finite(model, row, steps)
                history.rows.append(row)
                if after_epoch is not None:
                    with loop.aside(model, seed):
                        after_epoch(epoch, model, history)
                saved.save()
        except KeyboardInterrupt:
            history.interrupted = True
        except loop.NotFinite as found:
            raise _diverged(found, epoch, steps, optimizer, data.pixels(), history) from None

    if history.interrupted:
        print(_headline(f"interrupted in epoch {epoch}/{epochs}, model kept", history))
    elif progress:
        print(_headline(f"epoch {epoch}/{epochs}", history))
    return history


@torch.no_grad()
def evaluate(
    model: nn.Module,
    loss: Loss,
    images: Tensor | DataLoader,
    *,
    batch_size: int = 1000,
    labels: Tensor | None = None,
    seed: int = 0,
) -> dict[str, float]:
    r"""Every entry of the loss as a mean over all images, with the model in eval mode.

    A loss that draws random numbers takes them from `seed`, so it gives the same value twice.

    Shapes: images (N, …), labels (N, …); both are moved to the model's device
    images: a tensor, or a DataLoader as for `fit`
    Raises: ValueError or TypeError on arguments and loss values that cannot be averaged.
    """
    data = source(model, images, labels, batch_size)
    averages = loop.Averages(model)
    with loop.aside(model, seed):
        for image, *label in data.in_order():
            averages.add(loop.terms(loss(model, image, *label)), len(image))
    return averages.means()


def _headline(start: str, history: History) -> str:
    r"""Such as "epoch 12/12 · train loss 27.41 · test loss 28.02"."""
    last = history.rows[-1] if history.rows else {}
    for name, value in last.items():
        if name in ("train_loss", "test_loss"):
            shown = f"{value:.2f}" if abs(value) >= 1 else f"{value:.4g}"
            start += f" · {name.replace('_', ' ')} {shown}"
    return start


def _diverged(found, epoch, steps, optimizer, images, history) -> TrainingDiverged:
    learning_rate = float(optimizer.param_groups[0]["lr"])
    low, high = (float(value) for value in images.detach().aminmax())
    if low >= 0 and high <= 1:  # False for NaN
        about_images = "not the images: they lie in [0, 1]"
    else:
        about_images = (
            f"images outside [0, 1]: they run from {low:.3g} to {high:.3g}, so divide by 255, or "
            "undo the normalization"
        )
    message = (
        f"{found} in epoch {epoch}, step {found.step} of {steps}, learning rate {learning_rate:g}. "
        "Likely causes:\n"
        f"  - the learning rate is too high: try {learning_rate / 10:g}\n"
        "  - a log-variance overflowed, exp(log_var) is infinite above 88: bound it, for example "
        "log_var.clamp(-10, 10)\n"
        "  - the log of 0, or a division by 0: compute the loss from logits\n"
        f"  - {about_images}\n"
        "The epochs completed before are in the exception's .history"
    )
    return TrainingDiverged(
        message, epoch=epoch, step=found.step, learning_rate=learning_rate, history=history
    )
