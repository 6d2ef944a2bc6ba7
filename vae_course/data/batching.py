r"""Images that lie in memory, cut into batches and corrupted."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterator

import torch
from torch import Tensor

from vae_course import require

__all__ = ["add_noise", "batches", "binarize"]


def batches(
    images: Tensor,
    *others: Tensor,
    batch_size: int,
    shuffle: bool = True,
    generator: torch.Generator | None = None,
    drop_last: bool = False,
) -> Iterator[Tensor] | Iterator[tuple[Tensor, ...]]:
    r"""Cut tensors that lie in memory into batches, once through, in random order.

    With images alone each batch is a tensor; with others (labels, …) it is a tuple of the same
    rows of each. Much faster than a DataLoader: a batch is one gather, not 128 small calls.
    Without `shuffle` the batches are views: changing one in place changes the data set.

    Shapes: (images, …) → (batch_size, …), the last one shorter unless drop_last
    generator: decides the order, the same for the same seed wherever the images are
    Raises: ValueError if the lengths differ, or if there would be no batch at all.
    """
    tensors = (images, *others)
    if not all(isinstance(tensor, Tensor) and tensor.ndim for tensor in tensors):
        kinds = ", ".join(type(tensor).__name__ for tensor in tensors)
        raise ValueError(f"batches needs tensors with a row for each image, but got: {kinds}.")
    lengths = [len(tensor) for tensor in tensors]
    devices = [str(tensor.device) for tensor in tensors]
    if len(set(lengths)) > 1 or len(set(devices)) > 1:
        raise ValueError(
            "batches needs tensors of the same length on the same device, but got lengths "
            f"{lengths} on {devices}."
        )
    if not isinstance(batch_size, numbers.Integral) or batch_size < 1:
        raise ValueError(f"batch_size must be a whole number, 1 or more, but is {batch_size!r}.")
    batch_size = int(batch_size)  # NumPy's integers too
    require.generator(generator)
    count = lengths[0] - lengths[0] % batch_size if drop_last else lengths[0]
    if count == 0:
        raise ValueError(
            f"{lengths[0]} images make no batch of {batch_size} (drop_last={drop_last}): give "
            "more images or a smaller batch_size."
        )

    if shuffle:
        device = images.device if generator is None else generator.device
        order = torch.randperm(lengths[0], generator=generator, device=device)[:count]
        cut = (
            tuple(tensor.index_select(0, rows) for tensor in tensors)
            for rows in order.to(images.device).split(batch_size)
        )
    else:
        cut = zip(*(tensor[:count].split(batch_size) for tensor in tensors), strict=True)
    return (batch if others else batch[0] for batch in cut)


def binarize(images: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
    r"""Draw black-and-white images: each pixel is 1 with the probability that its grey says.

    Shapes: any → the same, of the same dtype, values 0 and 1
    generator: decides the draw, the same for the same seed wherever the images are
    Raises: ValueError unless the pixels are floats in [0, 1].
    """
    require.pixels(images=images)
    require.generator(generator)
    device = images.device if generator is None else generator.device
    uniform = torch.rand(images.shape, generator=generator, device=device)
    return (uniform.to(images.device) < images).to(images.dtype)


def add_noise(images: Tensor, *, std: float, generator: torch.Generator | None = None) -> Tensor:
    r"""Add Gaussian noise of standard deviation `std` to each pixel, then clamp to [0, 1].

    Shapes: any → the same
    std: in the units of a pixel, so 0.3 is a third of the way from black to white
    generator: decides the noise, the same for the same seed wherever the images are
    Raises: ValueError unless the pixels are floats in [0, 1] and std is finite and at least 0.
    """
    require.pixels(images=images)
    if not isinstance(std, numbers.Real) or not 0 <= std < math.inf:
        raise ValueError(f"std must be a finite number, 0 or more, but is {std!r}.")
    require.generator(generator)
    device = images.device if generator is None else generator.device
    noise = torch.randn(images.shape, generator=generator, device=device)
    return (images + std * noise.to(images)).clamp_(0, 1)
