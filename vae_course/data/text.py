r"""Text for language models: one string, from Python itself, from the network or from a file."""

from __future__ import annotations

import difflib
import hashlib
import http.client
import os
import urllib.request
from pathlib import Path

from vae_course import require
from vae_course.files import (
    DataError,
    cache_folder,
    disk_is_full,
    own_path,
    prepare_folder,
    write_whole,
)

TEXT_SETS = ("python-docs", "shakespeare")

_SHAKESPEARE = (
    "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
)
_SHAKESPEARE_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
_INSTEAD = "or use load_text('python-docs'), which needs no download"
_SECONDS = 30  # that a silent network is waited for


def load_text(
    name: str | os.PathLike[str] = "python-docs", *, folder: str | os.PathLike[str] | None = None
) -> str:
    r"""Load a text, all of it, as one string.

    "python-docs": the language reference that comes with Python itself and that help("for")
        shows. No download. The text is not the same in every Python: about 465,000 characters in
        3.11, 492,000 in 3.12, 511,000 in 3.13, so losses measured on it differ a little too.
    "shakespeare": 1,115,394 characters of plays, downloaded once and checked (SHA-256): the set
        that published character models are measured on.
    Any other name is the path of a text file of your own, in UTF-8.

    folder: where a download is looked for and stored, an existing folder; default cache_folder()
    Raises: ValueError if the name is neither a set nor a file; DataError, with what to do, if the
        text can't be had.
    """
    if not isinstance(name, str | os.PathLike):
        raise TypeError(f"name is {require.kind(name)}; expected a set's name or a path")
    if name == "python-docs":
        return _python_docs()
    if name == "shakespeare":
        return _shakespeare(cache_folder() if folder is None else own_path(folder))
    path = own_path(name)
    if path.is_file():
        return _own_file(path)
    close = difflib.get_close_matches(str(name).lower().replace("_", "-"), TEXT_SETS, n=1)
    meant = f" Did you mean {close[0]!r}?" if close else ""
    known = ", ".join(map(repr, TEXT_SETS))
    raise ValueError(
        f"There is no text set and no file {os.fspath(name)!r}; known sets: {known}.{meant}"
    )


def _python_docs() -> str:
    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise DataError(
            "This Python came without its own reference (the module pydoc_data.topics): install a "
            "full Python, or pass the path of a text file of your own to load_text."
        ) from None
    return "\n\n".join(topics[name].strip() for name in sorted(topics)) + "\n"


def _own_file(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not a text in UTF-8 (byte {error.start}): store it as UTF-8 first."
        ) from None
    except OSError as error:
        raise DataError(f"{path} can't be read ({error.strerror or error}).") from None
    if not text.strip():
        raise DataError(f"{path} holds no text: choose a file that is not empty.")
    return text


def _shakespeare(folder: Path) -> str:
    path = folder / "shakespeare" / "input.txt"
    content = _intact(path)
    if content is None:
        content = _download(path, folder)
    return content.decode("ascii")


def _intact(path: Path) -> bytes | None:
    r"""The file's bytes, or None if it is missing or a bit differs from the published text."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    return content if hashlib.sha256(content).hexdigest() == _SHAKESPEARE_SHA256 else None


def _download(path: Path, folder: Path) -> bytes:
    r"""Fetch the text, check it, and store it whole. Raises: DataError."""
    try:
        prepare_folder(folder)
        path.parent.mkdir(exist_ok=True)
        prepare_folder(path.parent)
    except FileNotFoundError:
        raise DataError(
            f"shakespeare can't be read or stored, because the data folder {folder} does not "
            f"exist: correct VAE_COURSE_DATA (or folder=), or make that folder, {_INSTEAD}."
        ) from None
    except OSError as error:
        raise DataError(
            f"shakespeare is not whole in {path.parent}, and that folder can't be written "
            f"({error.strerror or error}): set VAE_COURSE_DATA to a folder that you may write to, "
            f"{_INSTEAD}."
        ) from None
    print(f"Downloading shakespeare (1.1 MB) from {_SHAKESPEARE}")
    try:
        with urllib.request.urlopen(_SHAKESPEARE, timeout=_SECONDS) as response:
            content = response.read()
        if hashlib.sha256(content).hexdigest() != _SHAKESPEARE_SHA256:
            raise OSError("another text came than the published one, its SHA-256 differs")
        write_whole(path, content)
    except (OSError, http.client.HTTPException) as error:
        if disk_is_full(error):
            raise DataError(
                f"shakespeare does not fit on the disk of {path.parent} ({error.strerror}): make "
                f"room, or set VAE_COURSE_DATA to a folder elsewhere, {_INSTEAD}."
            ) from None
        raise DataError(
            f"shakespeare could not be downloaded from {_SHAKESPEARE} "
            f"({' '.join(str(error).split())}): run this again when you are online, or store that "
            f"file as {path} yourself, {_INSTEAD}."
        ) from None
    return content
