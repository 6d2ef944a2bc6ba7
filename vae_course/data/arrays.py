r"""Images of your own in an array: a .npy or .npz file, or one in memory."""

from __future__ import annotations

import math
import os
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vae_course import require
from vae_course.data.image_data import ImageData
from vae_course.data.splits import grouping, split_rows
from vae_course.files import DataError, own_path

__all__ = ["load_array", "made_set", "name_not_finite", "to_unit"]

_PART_KEYS = {  # the names under which .npz files hold images and labels of each part
    "train": (("x_train", "train_images", "train_x"), ("y_train", "train_labels", "train_y")),
    "validation": (
        ("x_val", "x_valid", "val_images", "validation_images"),
        ("y_val", "y_valid", "val_labels", "validation_labels"),
    ),
    "test": (("x_test", "test_images", "test_x"), ("y_test", "test_labels", "test_y")),
}
_WHOLE_KEYS = (("images", "x", "data", "imgs", "arr_0"), ("labels", "y", "targets", "arr_1"))


_ELSEWHERE = {
    **dict.fromkeys(
        (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp"),
        "one picture: load_folder reads the folder that it lies in, with many of them.",
    ),
    **dict.fromkeys(
        (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar"),
        "an archive: unpack it, and give the folder to load_folder.",
    ),
    **dict.fromkeys(
        (".pt", ".pth", ".pkl", ".h5", ".hdf5", ".mat", ".parquet", ".tfrecord"),
        "read by another package: open it there, and pass the array, or store it by np.save.",
    ),
}


def load_array(
    source: str | os.PathLike[str] | np.ndarray | Tensor,
    labels: Sequence | np.ndarray | Tensor | None = None,
    *,
    key: str | None = None,
    layout: str | None = None,
    scale: float | str | None = None,
    validation: float = 0.1,
    test: float = 0.1,
    seed: int = 0,
    groups: Sequence | np.ndarray | Tensor | None = None,
    name: str | None = None,
) -> ImageData:
    r"""Images from a .npy or .npz file, or from an array in memory, split by seed.

    Bytes and 16-bit numbers are divided by the largest that they can hold, floats of any width
    must lie in [0, 1] and become float32; anything else is refused with the division that mends
    it. A .npz that holds x_train, x_test (and y_train, …) keeps its own split.

    Shapes: (images, height, width), (images, channels, height, width) or (images, height, width,
        channels), 1 to 4 channels
    labels: one for each image: whole numbers or names, any number of classes
    key: which array of a .npz file holds the images
    layout: "channels first" or "channels last", where the shape leaves both open
    scale: divide by this number instead; "keep" for values that are no pixels, such as a
        spectrogram's, for which a Gaussian likelihood is the choice
    validation, test: shares of the images. Near-duplicates stay in one part (see `splits`)
    groups: one for each image: those of a group (a person, a film) stay in one part
    name: what the set is called; default the file's name
    Raises: DataError, with what to do, if it can't be read or is not such an array; ValueError,
        TypeError on the other arguments.
    """
    if layout not in (None, "channels first", "channels last"):
        raise ValueError(
            f"layout is {layout!r}; expected 'channels first', 'channels last' or None"
        )
    if isinstance(scale, str):
        if scale != "keep":
            raise ValueError(f"scale is {scale!r}; expected a number, 'keep' or None")
    elif scale is not None:
        require.number(scale=scale, least=1e-30)
    if isinstance(source, str | os.PathLike):
        path = own_path(source)
        found = _read(path, key)
        said, name = str(path), name or path.stem
    elif isinstance(source, np.ndarray | Tensor | list | tuple):
        found = {"all": (_as_array(source, "the images"), None)}
        said, name = "an array in memory", name or "own images"
    else:
        raise TypeError(
            f"source is {require.kind(source)}; expected a path of a .npy or .npz file, or an array"
        )
    if labels is not None:
        if set(found) != {"all"}:
            raise ValueError(f"{said} holds training and test images with their own labels")
        found["all"] = (found["all"][0], labels)
    notes: list[str] = []
    images, raw_labels, parts = [], [], []
    for part, (array, part_labels) in found.items():
        where = f"{part} images of {said}" if part != "all" else said
        array = _arranged(array, layout, where)
        images.append(to_unit(array, name=where, scale=scale, notes=notes))
        raw_labels.append(_as_labels(part_labels, len(array), where))
        parts += [None if part == "all" else part] * len(array)
    if len({image.shape[1:] for image in images}) > 1:
        shapes = " and ".join(str(tuple(image.shape)) for image in images)
        raise DataError(f"The parts of {said} hold images of different shapes: {shapes}.")
    if any(label is None for label in raw_labels):
        if any(label is not None for label in raw_labels):
            raise DataError(f"Some parts of {said} have labels and others have none.")
        number, names = torch.zeros(len(parts), dtype=torch.int64), ("all",)
    else:
        number, names = class_numbers(np.concatenate(raw_labels))
    group = None
    if groups is not None:
        if len(groups) != len(parts):
            raise ValueError(f"groups has length {len(groups)}; expected {len(parts)}")
        group, _ = class_numbers(np.asarray(groups))
    return made_set(
        name=name, images=torch.cat(images), labels=number, class_names=names,
        source=f"own images, {said}", parts=parts, groups=group, validation=validation, test=test,
        seed=seed, notes=notes,
    )  # fmt: skip


# ---------------------------------------------------------------------------- the file


def _read(path: Path, key: str | None) -> dict[str, tuple[np.ndarray, np.ndarray | None]]:
    r"""Images and labels of each part, or of "all". Raises: DataError."""
    if path.is_dir():
        raise DataError(f"{path} is a folder: load_folder reads pictures in a folder.")
    ending = path.suffix.lower()
    if ending in (".csv", ".tsv", ".txt"):
        raise DataError(f"{path} is a text file: load_table reads tables.")
    if ending in _ELSEWHERE:
        raise DataError(f"{path} is {_ELSEWHERE[ending]}")
    try:
        loaded = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise DataError(f"{path} is not there: check the path.") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        if "allow_pickle" in str(error):
            raise DataError(
                f"{path} holds Python objects (images of different sizes?), which are not read "
                "from files: store one array of numbers, np.save(path, np.stack(images))."
            ) from None
        raise DataError(
            f"{path} can't be read ({' '.join(str(error).split())[:100]}): expected a .npy or .npz "
            "file that NumPy wrote."
        ) from None
    if isinstance(loaded, np.ndarray):
        return {"all": (loaded, None)}
    with loaded:
        try:
            return _chosen(path, loaded, key)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile, zipfile.zlib.error) as error:
            raise DataError(
                f"{path} can't be read ({' '.join(str(error).split())[:100]}): copy it again."
            ) from None


def _chosen(path, loaded, key):
    names = {name.casefold(): name for name in loaded.files}

    def first(candidates):
        return next((loaded[names[c]] for c in candidates if c in names), None)

    if key is not None:
        if key not in loaded.files:
            raise DataError(f"{path} has no array {key!r}; it holds {', '.join(loaded.files)}.")
        return {"all": (loaded[key], first(_WHOLE_KEYS[1]))}
    parts = {part: (first(x), first(y)) for part, (x, y) in _PART_KEYS.items()}
    parts = {part: pair for part, pair in parts.items() if pair[0] is not None}
    if "train" in parts:
        return parts
    images = first(_WHOLE_KEYS[0])
    if images is None:
        arrays = {name: loaded[name] for name in loaded.files}
        several = [name for name, array in arrays.items() if array.ndim in (3, 4)]
        if len(several) != 1:
            listed = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
            raise DataError(f"{path} holds {listed}: say which one are the images, key=….")
        images = arrays[several[0]]
    return {"all": (images, first(_WHOLE_KEYS[1]))}


# ---------------------------------------------------------------------------- its axes and values


def _as_array(source, what: str) -> np.ndarray:
    if isinstance(source, Tensor):
        source = source.detach().cpu()
        source = source.float() if source.dtype in (torch.bfloat16,) else source
        return source.numpy()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return np.asarray(source)
    except (ValueError, Warning):
        raise DataError(
            f"{what} have different sizes; expected one array: bring them to one size first, or "
            "store them as pictures and use load_folder(path, size=64)."
        ) from None


def _arranged(array: np.ndarray, layout: str | None, name: str) -> np.ndarray:
    r"""(images, channels, height, width). Raises: DataError if the axes can't be told."""
    shape = array.shape
    if 0 in shape:
        raise DataError(f"{name} has shape {shape}: there is nothing in it.")
    if array.ndim == 2:
        side = math.isqrt(shape[1])
        square = f" array.reshape(-1, {side}, {side})," if side * side == shape[1] else ""
        raise DataError(
            f"{name} has shape {shape}: a table, or images whose rows were joined. For images give "
            f"them their height and width back,{square} for a table use load_table."
        )
    if array.ndim == 3:
        if shape[-1] <= 4 < shape[0] or shape[0] <= 4 < shape[-1]:
            last = shape[-1] <= 4
            one = f"{shape[:2] if last else shape[1:]} with {shape[-1 if last else 0]} channels"
            raise DataError(
                f"{name} has shape {shape}: one image of {one} (a set needs more of them: "
                f"np.stack(images)), or {shape[0]} grey images of {shape[1]} × {shape[2]} "
                "(then pass array[:, None])."
            )
        return array[:, None]
    if array.ndim != 4:
        hint = "films or volumes: pass single frames" if array.ndim == 5 else "expected 3 or 4 axes"
        raise DataError(f"{name} has shape {shape}: {hint}.")
    first, last = 1 <= shape[1] <= 4, 1 <= shape[3] <= 4
    as_first = f"{shape[1]} channels of {shape[2]} × {shape[3]} (channels first)"
    as_last = f"{shape[3]} channels of {shape[1]} × {shape[2]} (channels last)"
    if layout is None and first == last:
        why = "both readings are possible" if first else "neither reading has 1 to 4 channels"
        raise DataError(
            f"{name} has shape {shape}: {as_first} or {as_last}; {why}. "
            + ("Say which, with layout='channels first' or 'channels last'." if first else
               "Models for pictures take 1 to 4 channels.")
        )  # fmt: skip
    if layout is None:
        layout = "channels first" if first else "channels last"
    count = shape[1] if layout == "channels first" else shape[3]
    if not 1 <= count <= 4:
        reading = as_first if layout == "channels first" else as_last
        raise DataError(f"{name} has shape {shape}: {reading}; expected 1 to 4 channels.")
    return array if layout == "channels first" else np.moveaxis(array, 3, 1)


def to_unit(array: np.ndarray, *, name: str, scale, notes: list[str]) -> Tensor:
    r"""Values of any dtype as float32 pixels in [0, 1]. Raises: DataError with what mends it."""
    array = array.astype(array.dtype.newbyteorder("="), copy=False)  # files of other machines
    dtype = array.dtype
    if dtype == np.bool_:
        return torch.from_numpy(array.astype(np.float32))
    if not (np.issubdtype(dtype, np.integer) or np.issubdtype(dtype, np.floating)):
        raise DataError(f"{name} holds {dtype}; expected numbers.")
    low, high = array.min(), array.max()
    if np.issubdtype(dtype, np.floating):
        with np.errstate(over="ignore"):
            values = array.astype(np.float32)
        name_not_finite(**{name: values})
    elif scale is None and dtype in (np.uint8, np.uint16):
        full = np.iinfo(dtype).max
        if dtype == np.uint16 and 255 < high < 8192:
            bits = int(high).bit_length()
            notes.append(
                f"no value of {name} is above {high}: if these are {bits} bits stored in 16, pass "
                f"scale={2**bits - 1}, else the images are dark"
            )
        return torch.from_numpy(array.astype(np.float32)).div_(float(full))
    elif scale is None:
        full = next((f for f in (1, 255, 65535) if low >= 0 and high <= f), None)
        mend = f"pass scale={full}, which divides by {full}" if full else "pass scale=…"
        raise DataError(
            f"{name} holds whole numbers ({dtype}) from {low} to {high}; expected bytes, or floats "
            f"in [0, 1]: {mend}."
        )
    else:
        values = array.astype(np.float32)
    if scale == "keep":
        return torch.from_numpy(values)
    if scale is not None:
        values = values / np.float32(scale)
        low, high = low / scale, high / scale
    if low >= -1e-6 and high <= 1 + 1e-6:
        return torch.from_numpy(values.clip(0, 1))
    low, high = float(low), float(high)
    if scale is not None:
        advice = f"scale={scale:g} does not bring them there"
    elif low >= 0:
        full = 255 if high <= 255 else 65535 if high <= 65535 else high
        advice = f"divide by {full:g}, or pass scale={full:g}"
    elif low >= -1.0001 and high <= 1.0001:
        advice = "they were moved to [−1, 1]: undo it, (x + 1) / 2"
    elif low > -10 and high < 10:
        advice = "they were normalised: undo it, x * std + mean"
    else:
        advice = "bring them there"
    raise DataError(
        f"{name} has values from {low:.4g} to {high:.4g}; expected pixels in [0, 1]: {advice}; or "
        "pass scale='keep' for values that are no pixels, and train with a Gaussian likelihood."
    )


def name_not_finite(**sets: np.ndarray | Tensor) -> None:
    r"""Raises: DataError that names the set, how many NaN and infinities, and the first row."""
    for name, values in sets.items():
        values = torch.as_tensor(values)
        flat = values.reshape(len(values), -1)
        bad = ~flat.isfinite()
        if not bad.any():
            continue
        rows = bad.any(dim=1).nonzero()[:, 0]
        nan = int(flat.isnan().sum())
        infinite = int(bad.sum()) - nan
        what = " and ".join(
            [f"{nan:,} NaN"] * (nan > 0)
            + [f"{infinite:,} infinit{'y' if infinite == 1 else 'ies'}"] * (infinite > 0)
        )
        raise DataError(
            f"{name}: {what} in {len(rows):,} of {len(values):,} rows, the first in row "
            f"{int(rows[0])} (counted from 0): remove these rows, or fill them in."
        )


def _as_labels(labels, count: int, name: str) -> np.ndarray | None:
    if labels is None:
        return None
    labels = _as_array(labels, "labels") if isinstance(labels, Tensor) else np.asarray(labels)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim == 2:
        raise DataError(f"labels of {name} have shape {labels.shape}: labels.argmax(1) if one-hot.")
    if labels.ndim != 1 or len(labels) != count:
        raise DataError(
            f"labels of {name} have shape {labels.shape}; expected one for each of {count} images."
        )
    if np.issubdtype(labels.dtype, np.floating):
        raise DataError(f"labels of {name} are {labels.dtype}; expected whole numbers or names.")
    return labels


def class_numbers(labels: np.ndarray) -> tuple[Tensor, tuple[str, ...]]:
    r"""Labels of any kind as 0, 1, … and the name of each. Shapes: (N,) → (N,)"""
    values, number = np.unique(labels, return_inverse=True)
    names = tuple(str(value) for value in values.tolist())
    return torch.from_numpy(number.reshape(-1).astype(np.int64)), names


# ---------------------------------------------------------------------------- the set


def made_set(
    *, name, images, labels, class_names, source, parts, groups, validation, test, seed, notes
) -> ImageData:
    r"""An ImageData of images that are split here, or that come split (`parts`, one an image)."""
    group, said = grouping(images, groups, kept_together=None in parts)
    notes = [*notes, *said]
    given = {part: [row for row, p in enumerate(parts) if p == part] for part in set(parts)}
    if None in given:
        split = split_rows(
            len(images), validation=validation, test=test, seed=seed, labels=labels, groups=group
        )
        rows = {"train": split.train, "validation": split.validation, "test": split.test}
    else:
        rows = _kept_split(given, len(images), labels, group, validation, test, seed, notes)
    cut = {
        f"{part}_{what}": values[rows[part]]
        for part in ("train", "validation", "test")
        for what, values in (("images", images), ("labels", labels))
    }
    return ImageData(name=name, class_names=class_names, source=source, notes=tuple(notes), **cut)


def _kept_split(given, count, labels, group, validation, test, seed, notes) -> dict[str, Tensor]:
    r"""A split that the user made is kept; a part that it lacks is drawn from training rows."""
    rows = {part: torch.tensor(given.get(part, []), dtype=torch.int64) for part in _PART_KEYS}
    across = set(group[rows["train"]].tolist()) & set(
        group[torch.cat([rows["validation"], rows["test"]])].tolist()
    )
    if across:
        held = torch.cat([rows["validation"], rows["test"]])
        leaked = sum(int(g) in across for g in group[held])
        notes.append(
            f"{leaked:,} of {len(held):,} validation and test images are near-duplicates of "
            "training images: numbers measured on them are too good"
        )
    missing = {
        "validation": validation if not len(rows["validation"]) else 0,
        "test": test if not len(rows["test"]) else 0,
    }
    if any(missing.values()):
        train = rows["train"]
        split = split_rows(
            len(train), **missing, seed=seed, labels=labels[train], groups=group[train]
        )
        for part in missing:
            if missing[part]:
                rows[part] = train[getattr(split, part)]
        rows["train"] = train[split.train]
    return rows
