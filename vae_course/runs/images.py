r"""The images of a long run: a set by its name, or a folder or file of your own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from vae_course import data
from vae_course.training.resume import fingerprint


class Images:
    r"""Images and labels of a set, in batches.

    dataset: a name that `data.load_images` knows, a folder of pictures, or a file: .npy, .npz, .csv
    Raises: ValueError if a batch is larger than the set; DataError if it can't be had.
    """

    def __init__(self, dataset: str, batch_size: int):
        self.data, self.batch_size = load(dataset), batch_size
        count = len(self.data.train_images)
        if batch_size > count:
            raise ValueError(
                f"a batch of {batch_size} is more than the {count:,} training images: choose a "
                "smaller --batch-size"
            )
        self.identity = fingerprint(self.data.train_images, self.data.train_labels)
        self.steps = count // batch_size  # whole batches; those left over differ in each epoch

    def to(self, device: torch.device) -> None:
        self.data = self.data.to(device)

    def batches(self, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        r"""Whole batches of (images, labels), once through."""
        images, labels = self.data.train_images, self.data.train_labels
        order = torch.randperm(len(images), generator=generator).to(images.device)
        for rows in order[: self.steps * self.batch_size].split(self.batch_size):
            yield images[rows], labels[rows]

    def test_batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        r"""(images, labels) of the test set, in order, no larger than those of training."""
        images, labels = self.data.test_images, self.data.test_labels
        parts = images.split(self.batch_size), labels.split(self.batch_size)
        return zip(*parts, strict=True)

    def card(self, name: str) -> dict[str, object]:
        return {
            "name": name, "source": self.data.source, "fingerprint": self.identity,
            "training_images": len(self.data.train_images),
            "test_images": len(self.data.test_images),
        }  # fmt: skip


def load(dataset: str) -> data.ImageData:
    r"""Raises: ValueError, DataError with what to do if there is no such set, folder or file."""
    path = Path(dataset).expanduser()
    if dataset in data.IMAGE_SETS or not path.exists():
        return data.load_images(dataset)
    if path.is_dir():
        return data.load_folder(path)
    if path.suffix == ".csv":
        return data.load_table(path)
    return data.load_array(path)
