r"""Where files live, and how they come to be there whole: never half written, never unchecked."""

from __future__ import annotations

import contextlib
import csv
import errno
import hashlib
import io
import logging
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

if TYPE_CHECKING:
    import numpy as np

_logger = logging.getLogger(__name__)
_DIGEST_BYTES = hashlib.sha256().digest_size
_TEMPORARY = ".download-"  # begins the name of a folder that a download is still going to


class DataError(RuntimeError):
    r"""A data set can't be had; the message says which file, why, and what to do."""


def _default_folder() -> Path:
    try:
        return Path(platformdirs.user_cache_dir("vae_course"))
    except RuntimeError:  # no home folder; an older platformdirs leaves the "~" in
        return Path("~", ".cache", "vae_course")


def cache_folder() -> Path:
    r"""The folder for downloads and caches: VAE_COURSE_DATA if set, else the user's cache folder.

    The folder may not exist yet. The default one is made when something is stored in it; one
    that VAE_COURSE_DATA names never is, because a path that isn't there is probably mistyped.
    A user without a home folder gets a path below "~" that `prepare_folder` refuses, so nothing
    is cached.
    """
    named = os.environ.get("VAE_COURSE_DATA")
    return own_path(named) if named else _default_folder()


def own_path(path: str | os.PathLike[str]) -> Path:
    r"""A path as its user wrote it, "~" for the home folder, where there is one.

    Raises: DataError if there is none.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise DataError(
            f"{os.fspath(path)!r} begins in the home folder, but this user has no home folder: "
            "write the whole path, in VAE_COURSE_DATA too."
        ) from None


def package_data(relative: str | os.PathLike[str]) -> Path:
    r"""The path of a file or folder that ships with the course, such as "pretrained".

    Looks in vae_course/_data (an installed wheel), else in data/ beside the package (a checkout).
    Raises: DataError if there is no such file.
    """
    package = Path(__file__).resolve().parent
    folder = package / "_data"
    if not folder.is_dir():
        folder = package.parent / "data"
    path = folder / relative
    if not path.exists():
        raise DataError(
            f"The course has no file {os.fspath(relative)!r} in {folder}: check the name, or "
            "install vae_course again if files are missing."
        )
    return path


def prepare_folder(folder: Path) -> None:
    r"""Make the default folder where it is missing; refuse one that can't or mustn't be written.

    Raises: OSError. A folder marked read-only is left alone even where root could write to it.
    """
    if folder.parts[:1] == ("~",):  # would become a folder named "~" in the working folder
        raise PermissionError(errno.EACCES, "this user has no home folder", str(folder))
    if folder == _default_folder():
        folder.mkdir(parents=True, exist_ok=True)
    if not folder.is_dir():
        raise FileNotFoundError(errno.ENOENT, "there is no such folder", str(folder))
    if os.name == "posix" and not folder.stat().st_mode & 0o222:
        raise PermissionError(errno.EACCES, "the folder is read-only", str(folder))


def disk_is_full(error: BaseException) -> bool:
    r"""Whether an error says that the disk, or the user's share of it, is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def temporary_folder(parent: Path) -> Path:
    r"""A new folder to download to; those that a killed run left a day ago or more are removed."""
    for leftover in parent.glob(f"{_TEMPORARY}*"):
        with contextlib.suppress(OSError):  # another process may be faster
            if time.time() - leftover.stat().st_mtime > 24 * 3600:
                shutil.rmtree(leftover)
    return Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=parent))


def write_whole(path: Path, content: bytes) -> None:
    r"""Write a file so that no reader, and no interruption, ever leaves half of it.

    The bytes go to a temporary file beside it, which is then renamed.
    Raises: OSError; what was at `path` before is then still there.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def write_rows(path: Path, rows: Sequence[Mapping], columns: Iterable[str] = ()) -> None:
    r"""Write a CSV file, whole or not at all: `columns`, then all others that any row has.

    Raises: OSError
    """
    names = dict.fromkeys([*columns, *(name for row in rows for name in row)])
    text = io.StringIO()
    table = csv.DictWriter(text, list(names), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_whole(path, text.getvalue().encode())


def save_checked(path: Path, array: np.ndarray) -> None:
    r"""Store an array as .npy, followed by the SHA-256 of those bytes. Raises: OSError."""
    import numpy as np  # here: the command line reads this file, and starts at once

    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    payload = buffer.getvalue()
    prepare_folder(path.parent)
    write_whole(path, payload + hashlib.sha256(payload).digest())


def load_checked(path: Path) -> np.ndarray | None:
    r"""The array that `save_checked` stored, or None if it is missing or a bit differs."""
    import numpy as np

    try:
        content = path.read_bytes()
    except OSError:
        return None
    payload, digest = content[:-_DIGEST_BYTES], content[-_DIGEST_BYTES:]
    if hashlib.sha256(payload).digest() != digest:
        _logger.info("The cached file %s is damaged and will be made again.", path)
        return None
    return np.load(io.BytesIO(payload), allow_pickle=False)
