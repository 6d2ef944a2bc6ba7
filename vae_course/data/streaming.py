r"""Images that memory can't hold, read from disk while a model trains.

A set in memory takes 4 bytes a pixel, and loading it takes a quarter more for a moment: the full
MNIST 188 MB, a hundred times that 19 GB. When that is more than about half of what is free, put
the images into one .npy file of bytes and train from there:

    loader = streaming.image_batches("images.npy", batch_size=512)
    training.fit(model, loss, loader, epochs=10)

The reading and the order are torch's: a Dataset over the file, a Sampler, a DataLoader.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, Dataset, Sampler, SequentialSampler

__all__ = ["ImageFile", "PoolSampler", "image_batches"]


class ImageFile(Dataset):
    r"""The images of a .npy file, read from disk when they are asked for; none stays in memory.

    Shapes: the file (N, height, width) or (N, channels, height, width), bytes, or floats in
        [0, 1]; an image (channels, height, width), float32 in [0, 1]
    labels: (N,), in memory; then an item is (image, label)
    Raises: FileNotFoundError; ValueError for another file, or other lengths.
    """

    def __init__(self, path: str | Path, *, labels: Tensor | None = None):
        self.path, self.labels = Path(path), labels
        shape, dtype = self._pixels().shape, self._pixels().dtype
        if len(shape) not in (3, 4) or 0 in shape or dtype not in (np.uint8, np.float32):
            raise ValueError(
                f"{path} holds {dtype} of shape {shape}; expected uint8 or float32 of shape "
                "(images, height, width) or (images, channels, height, width)"
            )
        if labels is not None and len(labels) != shape[0]:
            raise ValueError(f"{path} holds {shape[0]} images, but there are {len(labels)} labels")
        self.length, self.grey = shape[0], len(shape) == 3

    def _pixels(self) -> np.ndarray:
        # Opened anew for each batch: pages that were read are given back, and a worker process
        # gets the path and not (by pickling an open map) the whole file.
        try:
            return np.load(self.path, mmap_mode="r", allow_pickle=False)
        except ValueError as error:
            raise ValueError(f"{self.path} is no .npy file of images: {error}") from None

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, rows: int | list[int]) -> Tensor | tuple[Tensor, Tensor]:
        r"""One image, or a batch for a list of rows."""
        read = torch.from_numpy(np.array(self._pixels()[rows]))
        image = read.float().div_(255) if read.dtype == torch.uint8 else read
        if self.grey:
            image = image.unsqueeze(-3)
        return image if self.labels is None else (image, self.labels[rows])


class PoolSampler(Sampler[int]):
    r"""Every row once an epoch, in an order that a disk can follow.

    Blocks of neighbouring rows are drawn at random into a pool, whose rows are then shuffled. So
    each part of the file is read once, in one go. One pool or less is a full shuffle. The random
    numbers come from torch's: inside `fit`, from its seed.
    """

    def __init__(self, rows: int, *, block: int = 512, pool: int = 128):
        if min(rows, block, pool) < 1:
            raise ValueError(f"got rows={rows}, block={block}, pool={pool}; expected 1 or more")
        self.rows, self.block, self.pool = rows, block, pool

    def __len__(self) -> int:
        return self.rows

    def __iter__(self) -> Iterator[int]:
        seed = int(torch.empty((), dtype=torch.int64).random_())
        generator = torch.Generator().manual_seed(seed)
        starts = torch.arange(0, self.rows, self.block)
        order = starts[torch.randperm(len(starts), generator=generator)]
        for drawn in order.split(self.pool):
            rows = torch.cat(
                [torch.arange(start, min(start + self.block, self.rows)) for start in drawn]
            )
            yield from rows[torch.randperm(len(rows), generator=generator)].tolist()


def image_batches(
    path: str | Path,
    *,
    batch_size: int = 128,
    labels: Tensor | None = None,
    shuffle: bool = True,
    workers: int = 0,
) -> DataLoader:
    r"""A DataLoader over the images of a .npy file, for `training.fit` and `training.evaluate`.

    shuffle: in pools of 65,536 images, see `PoolSampler`
    workers: processes that read ahead; 0 reads in between, which a fast disk forgives
    Shapes: batches (batch_size, channels, height, width), with labels also (batch_size,)
    Raises: FileNotFoundError, ValueError as ImageFile does; ValueError on the batch size.
    """
    images = ImageFile(path, labels=labels)
    order = PoolSampler(len(images)) if shuffle else SequentialSampler(images)
    # batch_size=None: the sampler hands over lists of rows, and a batch is one gather.
    rows = BatchSampler(order, batch_size, drop_last=False)
    return DataLoader(images, sampler=rows, batch_size=None, num_workers=workers)
