r"""Small sets for a first try, cut from what is installed anyway: colour pictures and a table."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from vae_course import require
from vae_course.data.image_data import ImageData
from vae_course.data.tables import TableData, load_table
from vae_course.files import own_path, prepare_folder

__all__ = ["load_patches", "load_table_example", "write_patches"]

_PHOTOGRAPHS = ("china", "flower")  # of scikit-learn, 427 × 640 each
LICENCE = (
    "patches of china.jpg (danielbuechele) and flower.jpg (vultilion), CC BY 2.0, from scikit-learn"
)


def load_patches(*, size: int = 32, images: int = 2000, seed: int = 0) -> ImageData:
    r"""Colour patches of two photographs that come with scikit-learn. No download.

    The photographs ("china", "flower") are the classes. The right fifth of each is for test
    patches, the fifth beside it for validation patches, the rest for training: no test patch
    shares a pixel with a training patch.

    size: height and width of a patch, 8 to 64
    images: how many, eight tenths of them for training; more than there are different places for
        means that patches overlap within their part
    Raises: TypeError, ValueError on the arguments.
    Source: china.jpg (danielbuechele) and flower.jpg (vultilion), both CC BY 2.0.
    """
    require.count(size=size, least=8)
    require.count(images=images, least=20)
    require.seed(seed)
    if size > 64:
        raise ValueError(f"size is {size}; expected 64 or less, so that a fifth holds patches")
    random = np.random.RandomState(seed % 2**32)
    parts = {"train": images - 2 * (images // 10)}
    parts["validation"] = parts["test"] = images // 10
    edges = {"train": (0.0, 0.6), "validation": (0.6, 0.8), "test": (0.8, 1.0)}
    tensors = {}
    for part, count in parts.items():
        patches, labels = [], np.arange(count) % len(_PHOTOGRAPHS)
        photographs = [_photograph(name) for name in _PHOTOGRAPHS]
        for label in labels:
            photograph = photographs[label]
            high, wide = photograph.shape[:2]
            left, right = (round(edge * wide) for edge in edges[part])
            top = random.randint(0, high - size + 1)
            column = random.randint(left, right - size + 1)
            patches.append(photograph[top : top + size, column : column + size])
        pixels = np.stack(patches).transpose(0, 3, 1, 2)
        tensors[f"{part}_images"] = torch.from_numpy(pixels.astype(np.float32)).div_(255)
        tensors[f"{part}_labels"] = torch.from_numpy(labels.astype(np.int64))
    return ImageData(name="patches", class_names=_PHOTOGRAPHS, source=LICENCE, **tensors)


def write_patches(
    folder: str | os.PathLike[str], *, size: int = 64, images: int = 2000, seed: int = 0
) -> Path:
    r"""Store `load_patches` as PNG files in a folder for each class, to try `load_folder` on.

    folder: made if missing; its parent must be there
    Raises: OSError if it can't be written; TypeError, ValueError as load_patches does.
    """
    folder = own_path(folder)
    patches = load_patches(size=size, images=images, seed=seed)
    folder.mkdir(exist_ok=True)
    for part in ("train", "validation", "test"):
        (folder / part).mkdir(exist_ok=True)
        tensors = (getattr(patches, f"{part}_images"), getattr(patches, f"{part}_labels"))
        for row, (image, label) in enumerate(zip(*tensors, strict=True)):
            below = folder / part / patches.class_names[label]
            below.mkdir(exist_ok=True)
            prepare_folder(below)
            pixels = (image * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
            Image.fromarray(pixels).save(below / f"{row:05d}.png")
    return folder


def load_table_example(*, validation: float = 0.15, test: float = 0.15, seed: int = 0) -> TableData:
    r"""178 Italian wines, 13 measured numbers each, of three growers. No download.

    Source: the Wine recognition data (Aeberhard & Forina 1992, UCI repository, CC BY 4.0), as it
        comes with scikit-learn.
    """
    from sklearn.datasets import load_wine

    wine = load_wine(as_frame=True)
    table = wine.frame.assign(grower=[f"grower {1 + target}" for target in wine.target])
    return load_table(
        table.drop(columns="target"), label="grower", validation=validation, test=test, seed=seed,
        name="wine",
    )  # fmt: skip


def _photograph(name: str) -> np.ndarray:
    from sklearn.datasets import load_sample_image

    return np.asarray(load_sample_image(f"{name}.jpg"))
