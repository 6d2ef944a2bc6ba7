r"""Where `fit` and `evaluate` take their batches from: tensors in memory, or a DataLoader."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from vae_course import require
from vae_course.data import batches
from vae_course.training import core

Batches = Iterator[tuple[Tensor, ...]]


class InMemory:
    r"""Tensors that lie in memory, on the model's device; a batch is one gather."""

    def __init__(self, model: nn.Module, images: Tensor, labels: Tensor | None, batch_size: int):
        self.tensors = on_model_device(model, images=images, labels=labels)
        self.origin, self.labelled = images, labels is not None
        self.batch_size = batch_size
        self.steps = math.ceil(len(images) / batch_size)

    def shuffled(self, generator: torch.Generator) -> Batches:
        return as_tuples(batches(*self.tensors, batch_size=self.batch_size, generator=generator))

    def in_order(self) -> Batches:
        return as_tuples(batches(*self.tensors, batch_size=self.batch_size, shuffle=False))

    def identity(self) -> list[Tensor]:
        r"""What a checkpoint's fingerprint is taken of."""
        return self.tensors

    def pixels(self) -> Tensor:
        return self.tensors[0]


class Streamed:
    r"""A DataLoader: only a few batches are in memory at a time. Its order is its own affair.

    labels: False leaves out what it gives beside the images
    """

    def __init__(self, model: nn.Module, loader: DataLoader, *, labels: bool = True):
        if isinstance(loader.dataset, IterableDataset):
            raise TypeError(
                "the DataLoader is over an IterableDataset, whose length nobody knows; expected a "
                "Dataset with __len__ and __getitem__"
            )
        if len(loader) == 0:
            raise ValueError("the DataLoader gives no batch: is its data set empty?")
        self.labels = labels
        self.origin, self.steps, self.batch_size = loader, len(loader), loader.batch_size
        self.device = core.device_of(model)
        self.latest = torch.empty(0)

    def shuffled(self, generator: torch.Generator) -> Batches:
        r"""The loader's own order: its random numbers are torch's, which `fit` has seeded."""
        return self.in_order()

    def in_order(self) -> Batches:
        for tensors in as_tuples(self.origin):
            tensors = tensors if self.labels else tensors[:1]
            names = ("images", "labels", *(f"item {n + 1}" for n in range(2, len(tensors))))
            require.examples(**dict(zip(names, tensors, strict=False)))
            self.latest = tensors[0]
            yield tuple(tensor.to(self.device) for tensor in tensors)

    def gives_labels(self) -> bool:
        r"""Whether an example is more than an image."""
        with torch.random.fork_rng(devices=[]):  # its transforms may be random
            return isinstance(self.origin.dataset[0], tuple | list)

    def identity(self) -> list[Tensor]:
        r"""Only sizes: reading every pixel would cost an epoch, and transforms may be random."""
        return [torch.tensor([len(self.origin.dataset), self.steps])]

    def pixels(self) -> Tensor:
        r"""The batch that was read last."""
        return self.latest


Source = InMemory | Streamed


def source(
    model: nn.Module,
    images: Tensor | DataLoader,
    labels: Tensor | None,
    batch_size: int,
    loss: Callable | None = None,
) -> Source:
    r"""Labels of a loader are left out for a loss of (model, image).

    Raises: TypeError, ValueError if no batches can be taken from it.
    """
    if not isinstance(images, DataLoader):
        return InMemory(model, images, labels, batch_size)
    require.network(model=model)
    if labels is not None:
        raise ValueError(
            "got labels beside a DataLoader; let its data set return (image, label) instead"
        )
    return Streamed(model, images, labels=loss is None or takes_labels(loss))


def takes_labels(loss: Callable) -> bool:
    r"""Whether loss(model, image, label) can be called."""
    try:
        inspect.signature(loss).bind(None, None, None)
    except TypeError:
        return False
    except ValueError:  # written in C
        return True
    return True


def as_tuples(items: Iterable) -> Batches:
    r"""Each batch as a tuple, whether it came as images alone or with labels."""
    return (tuple(item) if isinstance(item, list | tuple) else (item,) for item in items)


def on_model_device(model: nn.Module, **tensors: Tensor | None) -> list[Tensor]:
    r"""The tensors that were given, on the model's device. Raises: TypeError, ValueError."""
    require.examples(**tensors)
    require.network(model=model)
    given = [tensor for tensor in tensors.values() if tensor is not None]
    if not given:
        raise TypeError(f"{next(iter(tensors))} is None; expected a torch.Tensor")
    device = core.device_of(model, default=given[0].device)
    return [tensor.to(device) for tensor in given]
