r"""Pictures of your own in a folder: any size, grey or colour, 8 or 16 bits, classes or none."""

from __future__ import annotations

import contextlib
import os
import unicodedata
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from vae_course import require
from vae_course.data.arrays import made_set, to_unit
from vae_course.data.image_data import ImageData
from vae_course.files import DataError, own_path

__all__ = ["load_folder"]

_PART_NAMES = {  # folders that say which part of the set they hold
    "train": "train", "training": "train",
    "val": "validation", "valid": "validation", "validation": "validation", "dev": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip
_CHANNELS = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "I;16": 1, "F": 1}
_CHANNEL_NAMES = ("", "grey", "grey with transparency", "colour", "colour with transparency")
_LISTED = 5  # files that a message names


def load_folder(
    path: str | os.PathLike[str],
    *,
    size: int | tuple[int, int] | None = None,
    channels: int | None = None,
    labels: bool = True,
    validation: float = 0.1,
    test: float = 0.1,
    seed: int = 0,
    groups: Callable[[Path], object] | None = None,
    scale: float | None = None,
    skip_unreadable: bool = False,
) -> ImageData:
    r"""Load the pictures in a folder, all of them, into memory, and split them by seed.

    The folder holds pictures; or a folder for each class, named after it (torchvision's
    ImageFolder layout); or train, test and perhaps validation, each of them in one of these ways:
    then that split is kept. Every format that Pillow reads; pictures are turned as their EXIF
    says; of an animation the first frame counts.

    size: height and width, one number for a square: the middle of each picture, as large as it
        can be, is brought to this size. None: all pictures must have one size already
    channels: 1 grey, 2 grey with transparency, 3 colour, 4 colour with transparency. None: as the
        pictures are, which must agree. Transparency that is not kept is laid over white
    labels: False to take the folders below as no classes
    validation, test: shares of the pictures. Near-duplicates stay in one part (see `splits`)
    groups: from a picture's path, what it belongs to (a person, a film, a patient): pictures with
        the same answer stay in one part, as in groups=lambda path: path.stem.split("_")[0]
    scale: the value of white, where it is not the largest that the files can hold: 4095 for
        12 bits stored in 16
    skip_unreadable: True to leave out files that can't be read; they are listed in .notes

    Raises: DataError, with what to do, if the folder, a file, sizes or channels won't do;
        ValueError, TypeError on the other arguments.
    """
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"path is {require.kind(path)}; expected the path of a folder of pictures")
    folder = own_path(path)
    target = _checked_size(size)
    if channels is not None and channels not in (1, 2, 3, 4):
        raise ValueError(f"channels is {channels!r}; expected 1, 2, 3 or 4")
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "is not there"
        raise DataError(f"{folder} {what}: expected a folder of pictures. load_array reads arrays.")
    files, part_of, class_of = _found(folder, labels)
    headers, notes, unreadable = [], [], []
    for file in files:
        try:
            headers.append(_header(file))
        except _UNREADABLE as error:
            unreadable.append(f"{file.relative_to(folder)} ({_reason(error)})")
            headers.append(None)
    mode, shape = _agreed(folder, headers, channels, target)
    pixels, kept = _read_all(folder, files, headers, mode, shape, unreadable)
    if unreadable:
        listed = _listed(unreadable)
        if not skip_unreadable:
            raise DataError(
                f"{len(unreadable)} of {len(files)} pictures in {folder} can't be read: {listed}. "
                "Repair or remove them, or leave them out with skip_unreadable=True."
            )
        notes.append(f"{len(unreadable)} unreadable files were left out: {listed}")
    if not kept:
        raise DataError(f"No picture in {folder} can be read.")
    frames = sum(headers[row].frames > 1 for row in kept)
    if frames:
        notes.append(f"of {frames} pictures with several frames, the first was taken")
    images = to_unit(pixels, name=f"the pictures in {folder}", scale=scale, notes=notes)
    names = sorted({class_of[row] for row in kept}, key=_by_name)
    label = torch.tensor([names.index(class_of[row]) for row in kept])
    group = None
    if groups is not None:
        answers = [groups(files[row]) for row in kept]
        known = {answer: number for number, answer in enumerate(dict.fromkeys(answers))}
        group = torch.tensor([known[answer] for answer in answers])
    return made_set(
        name=folder.resolve().name,
        images=images,
        labels=label,
        class_names=tuple(names),
        source=f"own pictures, {folder}",
        parts=[part_of[row] for row in kept],
        groups=group,
        validation=validation,
        test=test,
        seed=seed,
        notes=notes,
    )


# ---------------------------------------------------------------------------- which files


def _found(folder: Path, labels: bool) -> tuple[list[Path], list[str | None], list[str]]:
    r"""Each picture, the part of the set that its folder names, and its class."""
    below = [child for child in _children(folder) if child.is_dir()]
    named = {child: _PART_NAMES.get(child.name.casefold()) for child in below}
    if below and all(named.values()) and "train" in named.values():
        if _pictures(folder, deep=False):
            raise DataError(
                f"{folder} holds pictures beside {', '.join(child.name for child in below)}: move "
                "them into one of these folders."
            )
        parts = [(child, named[child]) for child in below]
    else:
        parts = [(folder, None)]
    files, part_of, class_of = [], [], []
    for root, part in parts:
        for file, name in _with_classes(root, labels):
            files.append(file)
            part_of.append(part)
            class_of.append(name)
    if not files:
        there = Counter(file.suffix or "no ending" for file in folder.rglob("*") if file.is_file())
        seen = ", ".join(f"{count} × {name}" for name, count in there.most_common(4))
        raise DataError(
            f"There is no picture in {folder} ({seen or 'it is empty'}): expected files such as "
            ".png or .jpg, there or in a folder for each class."
        )
    return files, part_of, class_of


def _with_classes(root: Path, labels: bool) -> Iterator[tuple[Path, str]]:
    flat = _pictures(root, deep=False)
    folders = {child: _pictures(child, deep=True) for child in _children(root) if child.is_dir()}
    folders = {child: pictures for child, pictures in folders.items() if pictures}
    if not labels:
        folders, flat = {}, _pictures(root, deep=True)
    if flat and folders:
        raise DataError(
            f"{root} holds {len(flat)} pictures beside the folders "
            f"{_listed([child.name for child in folders])}: move them into folders of their "
            "classes, or take all pictures without labels with labels=False."
        )
    for file in flat:
        yield file, "all"
    for child, pictures in folders.items():
        for file in pictures:
            yield file, child.name


def _children(folder: Path) -> list[Path]:
    try:
        children = list(folder.iterdir())
    except OSError as error:
        raise DataError(f"{folder} can't be read ({error.strerror or error}).") from None
    seen = [child for child in children if not child.name.startswith(".")]
    return sorted(seen, key=lambda child: _by_name(child.name))


def _pictures(folder: Path, *, deep: bool) -> list[Path]:
    Image.init()  # makes Pillow's list of endings complete
    endings = Image.registered_extensions()
    found = []
    for child in _children(folder):
        if child.is_dir() and deep:
            found += _pictures(child, deep=True)
        elif endings.get(child.suffix.lower()) in Image.OPEN and child.is_file():
            found.append(child)
    return found


def _by_name(name: str) -> tuple:
    r"""Sorts picture 2 before picture 10, and the same everywhere."""
    pieces = [[]]
    for character in unicodedata.normalize("NFC", name):
        if pieces[-1] and pieces[-1][-1].isdecimal() != character.isdecimal():
            pieces.append([])
        pieces[-1].append(character)
    words = ["".join(piece) for piece in pieces]
    return tuple((1, int(w), w) if w.isdecimal() else (0, 0, w.casefold()) for w in words), name


# ---------------------------------------------------------------------------- what they hold


class _Header:
    r"""What the first bytes of a picture say: its size after turning, its mode, its frames."""

    def __init__(self, picture: Image.Image):
        self.mode = _plain_mode(picture)
        turned = picture.getexif().get(0x0112, 1) >= 5
        self.size = picture.size if turned else picture.size[::-1]  # (height, width)
        self.frames = getattr(picture, "n_frames", 1)


_UNREADABLE = (OSError, EOFError, SyntaxError, ValueError, Image.DecompressionBombError)


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[Image.Image]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd metadata; what can't be read is an error
        with Image.open(file) as picture:
            yield picture


def _header(file: Path) -> _Header:
    with _opened(file) as picture:
        return _Header(picture)


def _plain_mode(picture: Image.Image) -> str:
    r"""The mode in which a picture is kept: L, LA, RGB, RGBA, I;16 or F."""
    mode = picture.mode
    if mode.startswith("I"):  # Pillow before 11.3 reads 16 bits as I
        return "I;16"
    if mode == "F":
        return "F"
    clear = "transparency" in picture.info or mode in ("LA", "PA", "RGBA", "La", "RGBa")
    grey = mode in ("1", "L", "LA", "La")
    return ("LA" if clear else "L") if grey else ("RGBA" if clear else "RGB")


def _agreed(folder, headers, channels, target) -> tuple[str, tuple[int, int]]:
    r"""The mode and the size of all pictures. Raises: DataError if they differ."""
    known = [header for header in headers if header is not None]
    modes = Counter(header.mode for header in known)
    shape = target
    if target is None and known:
        sizes = Counter(header.size for header in known)
        if len(sizes) > 1:
            common = ", ".join(f"{h} × {w} ({n:,})" for (h, w), n in sizes.most_common(3))
            smallest = min(min(pair) for pair in sizes)
            advice = max(8, min(64, 2 ** (smallest.bit_length() - 1)))
            raise DataError(
                f"The pictures in {folder} have {len(sizes)} sizes, most often {common} (height × "
                f"width): bring them to one with size={advice}, say."
            )
        shape = next(iter(sizes))
    deep = [mode for mode in modes if mode in ("I;16", "F")]
    if deep and len(modes) > 1:
        found = ", ".join(f"{count} {mode}" for mode, count in modes.items())
        raise DataError(
            f"The pictures in {folder} mix 8 and 16 bits, or whole numbers and fractions (Pillow's "
            f"modes: {found}): store all of them in one way."
        )
    if deep:
        if channels not in (None, 1):
            raise DataError(f"The pictures in {folder} are grey; channels={channels} can't be had.")
        return deep[0], shape
    kinds = Counter()
    for mode, count in modes.items():
        kinds[_CHANNELS[mode]] += count
    if channels is None and len(kinds) > 1:
        found = ", ".join(f"{count:,} {_CHANNEL_NAMES[n]}" for n, count in kinds.most_common())
        raise DataError(
            f"The pictures in {folder} are {found}: say which all should be, channels=3 (colour) "
            "or channels=1 (grey)."
        )
    wanted = channels or (next(iter(kinds)) if kinds else 1)
    return {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[wanted], shape


def _read_all(folder, files, headers, mode, shape, unreadable) -> tuple[np.ndarray, list[int]]:
    r"""(pictures, channels, height, width) in the dtype of the mode, and the rows that they are."""
    rows = [row for row, header in enumerate(headers) if header is not None]
    if not rows:
        return np.zeros((0, 1, 1, 1), np.uint8), []
    dtype = {"I;16": np.uint16, "F": np.float32}.get(mode, np.uint8)
    size = (len(rows), _CHANNELS[mode], *shape)
    _check_memory(folder, size)
    pixels, kept = np.empty(size, dtype), []
    for row in rows:
        try:
            pixels[len(kept)] = _pixels(files[row], mode, shape)
        except _UNREADABLE as error:
            unreadable.append(f"{files[row].relative_to(folder)} ({_reason(error)})")
        else:
            kept.append(row)
    return pixels[: len(kept)], kept


def _pixels(file: Path, mode: str, shape: tuple[int, int]) -> np.ndarray:
    r"""One picture, turned, in this mode and size: (channels, height, width)."""
    with _opened(file) as picture:
        picture.load()
        picture = ImageOps.exif_transpose(picture)
        plain = _plain_mode(picture)
        if mode in ("I;16", "F"):
            values = np.asarray(picture)
            if mode == "I;16" and (values.min() < 0 or values.max() > 65535):
                raise ValueError("whole numbers beyond 16 bits")
            picture = Image.fromarray(values.astype(np.float32))
        else:
            if plain in ("LA", "RGBA") and mode in ("L", "RGB"):  # lay it over white
                clear = picture.convert("RGBA")
                white = Image.new("RGBA", clear.size, "white")
                picture = Image.alpha_composite(white, clear).convert("RGB")
            picture = picture.convert(mode)
        if picture.size[::-1] != shape:
            picture = ImageOps.fit(picture, shape[::-1], Image.Resampling.LANCZOS)
        array = np.asarray(picture)
        if mode == "I;16":
            array = array.round().clip(0, 65535)
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


def _check_memory(folder: Path, size: tuple[int, ...]) -> None:
    need = 4 * int(np.prod(size, dtype=np.int64)) * 1.5
    try:
        have = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        return
    if need > 0.7 * have:
        raise DataError(
            f"{size[0]:,} pictures of {'×'.join(map(str, size[1:]))} take {need / 1e9:.1f} GB and "
            f"this machine has {have / 1e9:.1f} GB: choose a smaller size=, or store them as bytes "
            "in one .npy file and stream that (vae_course.data.streaming)."
        )


def _checked_size(size) -> tuple[int, int] | None:
    if size is None:
        return None
    sides = tuple(size) if isinstance(size, tuple | list) else (size, size)
    if len(sides) != 2:
        raise ValueError(f"size is {size!r}; expected one number, or (height, width)")
    require.count(size=sides[0], least=1)
    require.count(size=sides[1], least=1)
    return int(sides[0]), int(sides[1])


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def _reason(error: BaseException) -> str:
    if isinstance(error, Image.UnidentifiedImageError):
        return "no picture that Pillow knows"
    return " ".join(str(error).split())[:80] or type(error).__name__
