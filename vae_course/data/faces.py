r"""Faces for notebook 07: Labeled Faces in the Wild, through scikit-learn's loader, on request."""

from __future__ import annotations

import contextlib
import inspect
import os
import shutil
import tarfile
import tempfile
import warnings
import zlib
from pathlib import Path

import torch

from vae_course.data.image_data import ImageData
from vae_course.files import (
    DataError,
    cache_folder,
    disk_is_full,
    own_path,
    prepare_folder,
    temporary_folder,
)

__all__ = ["DOWNLOAD", "brightness", "light_from_the_right", "load_faces"]

DOWNLOAD = "233 MB from figshare.com (Labeled Faces in the Wild, funneled; Huang et al. 2007)"
_CROP = (slice(61, 189), slice(61, 189))  # the middle 128 × 128 of each 250 × 250 picture
_ATTEMPTS = 3  # a download that breaks is begun again twice
_UNREADABLE = (  # what a damaged picture or archive makes of a read
    OSError, EOFError, ValueError, RuntimeError, tarfile.TarError, zlib.error
)  # fmt: skip
_INSTEAD = "or go on with load_images('mnist-5k'), which needs no download"


def load_faces(
    *,
    folder: str | os.PathLike[str] | None = None,
    size: int = 28,
    fewest: int = 20,
    download: bool = True,
) -> ImageData:
    r"""Grey faces of people with at least `fewest` pictures; every fifth one is a test image.

    With size 28 they have the shape of the digits, so the same models take them. The pictures
    are looked for in folder/lfw_home; missing ones are downloaded once, by scikit-learn, which
    checks their SHA-256. Size and source are printed first; a broken download is tried again.

    folder: where files are looked for and stored, an existing folder; default cache_folder()
    size: pixels a side, 8 to 128; fewest: 20 leaves about 3,000 pictures of 62 people
    download: False to use only what is there
    Raises: DataError, with what to do, if the faces can't be had; ValueError for an odd size.
    """
    if not isinstance(size, int) or not 8 <= size <= 128:
        raise ValueError(f"size is {size!r}; expected a whole number of pixels, 8 to 128")
    folder = cache_folder() if folder is None else own_path(folder)
    try:
        found = _fetch(folder, size, fewest, download=False)
        if found is None and not download:
            raise DataError(
                f"There are no faces in {folder / 'lfw_home'}: call load_faces() to download them "
                f"({DOWNLOAD}), {_INSTEAD}."
            )
        found = found or _download(folder, size, fewest)
    except DataError:
        raise
    except _UNREADABLE as error:
        raise DataError(
            f"The faces in {folder / 'lfw_home'} can't be read ({_first_line(error)}): remove that "
            f"folder and call load_faces() again, {_INSTEAD}."
        ) from None
    pictures, people, names = found
    images = torch.from_numpy(pictures).float().clamp(0, 1).unsqueeze(1)
    labels = torch.from_numpy(people).long()
    test = torch.arange(len(images)) % 5 == 4
    return ImageData(
        name="lfw-faces",
        train_images=images[~test],
        train_labels=labels[~test],
        test_images=images[test],
        test_labels=labels[test],
        class_names=tuple(str(name) for name in names),
        source="Labeled Faces in the Wild, Huang et al. 2007",
    )


def brightness(images: torch.Tensor) -> torch.Tensor:
    r"""Mean grey value of each image, 0 to 1. Shapes: (N, 1, H, W) → (N,)"""
    return images.flatten(start_dim=1).mean(dim=1)


def light_from_the_right(images: torch.Tensor) -> torch.Tensor:
    r"""Mean of the right half minus mean of the left half, −1 to 1. Shapes: (N, 1, H, W) → (N,)"""
    half = images.shape[-1] // 2
    left, right = images[..., :half], images[..., -half:]
    return brightness(right) - brightness(left)


def _fetch(folder: Path, size: int, fewest: int, *, download: bool):
    r"""(pictures (N, size, size), people (N,), names), or None if files are missing.

    Raises: OSError if a download fails, ValueError if files can't be used.
    """
    from sklearn.datasets import fetch_lfw_people

    home = folder / "lfw_home"
    if not download and not home.is_dir():  # scikit-learn would make the folder
        return None
    archive, unpacked = home / "lfw-funneled.tgz", home / "lfw_funneled"
    if archive.exists() and unpacked.exists():  # an interruption while unpacking left half of it
        shutil.rmtree(unpacked)
    if home.is_dir() and not os.access(home, os.W_OK):
        return _fetch_read_only(home, size, fewest)
    options = {"n_retries": 1} if "n_retries" in _parameters(fetch_lfw_people) else {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its retries and of damaged files: we say it
            faces = fetch_lfw_people(
                data_home=str(folder),
                slice_=_CROP,
                resize=size / 128,
                min_faces_per_person=fewest,
                download_if_missing=download,
                **options,
            )
    except OSError as error:
        if not download and str(error).endswith("is missing"):
            return None
        raise
    return faces.images, faces.target, faces.target_names


def _fetch_read_only(home: Path, size: int, fewest: int):
    r"""`_fetch` of a folder that can't be written, where scikit-learn wants to keep a cache."""
    with tempfile.TemporaryDirectory() as temporary:
        links = Path(temporary) / "lfw_home"
        links.mkdir()
        for path in home.iterdir():
            if path.name != "joblib":
                (links / path.name).symlink_to(path.absolute(), path.is_dir())
        return _fetch(Path(temporary), size, fewest, download=False)


def _download(folder: Path, size: int, fewest: int):
    r"""Fetch the faces to a temporary folder and move them in once they are whole.

    So neither an interruption nor a second process leaves half of them. Raises: DataError.
    """
    home = folder / "lfw_home"
    try:
        prepare_folder(folder)
        temporary = temporary_folder(folder)
    except OSError as error:
        raise DataError(
            f"The faces ({DOWNLOAD}) can't be stored in {folder} ({error.strerror or error}): "
            f"set VAE_COURSE_DATA to an existing folder that you may write to, {_INSTEAD}."
        ) from None
    print(f"Downloading {DOWNLOAD} to {home}. This takes minutes, once.")
    failure: Exception | None = None
    coming = temporary / "lfw_home"
    try:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                found = _fetch(temporary, size, fewest, download=True)
            except (OSError, EOFError) as error:  # EOFError: the archive ended early
                failure = error
                if disk_is_full(error):
                    break
                with contextlib.suppress(OSError):
                    (coming / "lfw-funneled.tgz").unlink()
                shutil.rmtree(coming / "lfw_funneled", ignore_errors=True)  # half of it
                more = ", trying again" if attempt < _ATTEMPTS else ""
                print(f"Attempt {attempt} of {_ATTEMPTS} broke off: {_first_line(error)}{more}.")
            else:
                _move_in(coming, home)
                return found
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    if disk_is_full(failure):
        raise DataError(
            f"The faces do not fit on the disk of {folder} ({_first_line(failure)}): make room, "
            f"or set VAE_COURSE_DATA to a folder elsewhere, {_INSTEAD}."
        )
    raise DataError(
        f"The faces could not be downloaded ({_first_line(failure)}): run this again when you are "
        f"online, or copy the folder lfw_home of a machine that has them into {folder}, "
        f"{_INSTEAD}."
    )


def _move_in(whole: Path, home: Path) -> None:
    r"""Put a finished download in place, unless another process has done so by now."""
    shutil.rmtree(whole / "joblib", ignore_errors=True)  # scikit-learn's cache knows paths
    names = [path.name for path in whole.iterdir()]
    if all((home / name).exists() for name in names):
        return
    with contextlib.suppress(OSError):
        home.rename(whole.with_name("incomplete"))  # goes with the temporary folder
    with contextlib.suppress(OSError):
        whole.rename(home)


def _parameters(function) -> set[str]:
    return set(inspect.signature(function).parameters)


def _first_line(error: BaseException | None) -> str:
    text = str(error).strip().splitlines()
    return text[0][:160] if text else type(error).__name__
