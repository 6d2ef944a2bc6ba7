r"""What a student has done: exercises passed and challenges met, in one small file.

The file lies in the working folder that `vae-course start` made. Anywhere else nothing is written.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from vae_course.files import write_whole

FILE = Path(".vae-course") / "progress.json"
_here: dict[str, set[str]] = {}  # what this process has seen done


def read(folder: Path | None = None) -> dict:
    r"""{"copied": {file: digest}, "exercises": […], "challenges": […]}; empty if there is none."""
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(((folder or Path.cwd()) / FILE).read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return found
    return {}


def write(folder: Path, state: dict) -> None:
    r"""Raises: OSError if the folder can't be written."""
    (folder / FILE).parent.mkdir(exist_ok=True)
    write_whole(folder / FILE, (json.dumps(state, indent=1) + "\n").encode())


def record(kind: str, name: str) -> None:
    r"""Note an exercise or a challenge ("exercises", "challenges") as done. Never fails."""
    _here.setdefault(kind, set()).add(name)
    folder = Path.cwd()
    if not (folder / FILE).is_file():
        return
    state = read(folder)
    done = state.setdefault(kind, [])
    if name not in done:
        done.append(name)
        with contextlib.suppress(OSError):  # a full disk must not spoil a right answer
            write(folder, state)


def done(kind: str) -> set[str]:
    r"""What is done of a kind: in this process, and in the working folder's file."""
    noted = read().get(kind)
    noted = [name for name in noted if isinstance(name, str)] if isinstance(noted, list) else []
    return _here.get(kind, set()) | set(noted)
