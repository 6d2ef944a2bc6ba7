r"""`vae-course start`: the notebooks in a working folder of one's own, and JupyterLab opened there.

The repository's notebooks stay as they are, so that `git pull` never conflicts. What a student has
changed is never overwritten: a newer version of such a notebook is put beside it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from vae_course import progress
from vae_course.admin.notebooks import find_notebooks, read_notebook
from vae_course.files import write_whole

PAGE = "start.md"
FOLDER = "vae-course-work"
# The start page opens as a page, not as its source, and nothing asks for the news.
SETTINGS = {
    "@jupyterlab/docmanager-extension:plugin": {"defaultViewers": {"markdown": "Markdown Preview"}},
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false"},
}


@dataclass
class Copied:
    r"""What `copy_notebooks` did: names of files."""

    new: list[str] = field(default_factory=list)
    renewed: list[str] = field(default_factory=list)  # untouched since they were copied
    beside: dict[str, str] = field(default_factory=dict)  # changed by the student: → the new one

    def __str__(self) -> str:
        lines = []
        if self.new:
            lines.append(f"{len(self.new)} notebooks copied")
        if self.renewed:
            lines.append(f"newer versions in place of untouched ones: {', '.join(self.renewed)}")
        for mine, theirs in self.beside.items():
            lines.append(f"{mine} holds your work and stays; the new version is {theirs}")
        return "\n".join(lines) or "all notebooks are up to date"


def copy_notebooks(folder: Path, *, source: Path | None = None) -> Copied:
    r"""Bring the course's notebooks into a working folder, made if it is missing.

    source: where they come from (default: the checkout's, or those in the installed package).
    Raises: OSError if the folder can't be written; FileNotFoundError if there are no notebooks.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state, done = progress.read(folder), Copied()
    copied = state.setdefault("copied", {})
    for path in find_notebooks([], folder=source):
        content, mine = path.read_bytes(), folder / path.name
        digest = hashlib.sha256(content).hexdigest()
        if not mine.exists():
            write_whole(mine, content)
            done.new.append(path.name)
        elif hashlib.sha256(mine.read_bytes()).hexdigest() == copied.get(path.name):
            if digest != copied[path.name]:
                write_whole(mine, content)
                done.renewed.append(path.name)
        elif digest != copied.get(path.name):
            beside = folder / f"{path.stem} (new version {digest[:6]}).ipynb"
            if not beside.exists():
                write_whole(beside, content)
            done.beside[path.name] = beside.name
            continue  # the digest on record stays that of the version which was changed
        copied[path.name] = digest
    state.setdefault("exercises", [])
    state.setdefault("challenges", [])
    progress.write(folder, state)
    return done


def page(folder: Path) -> str:
    r"""The start page of a working folder, in Markdown: chapters, what is done, where to go on."""
    from vae_course import checks

    state = progress.read(folder)
    passed, met = set(state.get("exercises", [])), set(state.get("challenges", []))
    rows, onward = [], None
    for path in sorted(folder.glob("[0-9][0-9]*_*.ipynb")):
        if path.name not in state.get("copied", {}):
            continue
        number = re.match(r"\d+b?", path.name)[0]
        title, question = _title(path)
        chapter = int(number[:2])
        own = [] if number.endswith("b") else _exercises(checks, chapter)
        done = [name for name in own if name in passed]
        exercises = f"{len(done)} of {len(own)}" if own else "–"
        challenge = "met" if number in met else "open" if own else "–"
        finished = bool(own) and len(done) == len(own)
        if onward is None and own and not finished:
            onward = (path, title, next(name for name in own if name not in passed))
        rows.append(
            f"| {'✓' if finished else ' '} | [{title}]({path.name}) | {question} | {exercises} | "
            f"{challenge} |"
        )
    if onward is None:
        ahead = "Every exercise is passed. What is left are the challenges, and data of your own."
    else:
        path, title, name = onward
        ahead = f"**Go on with [{title}]({path.name})**: its next exercise is `{name}`."
    return "\n".join([
        "# A hands-on course on variational autoencoders", "", ahead, "",
        "| | chapter | the question | exercises | challenge |",
        "|---|---|---|---|---|", *rows, "",
        "Notebooks in this folder are your own copies: change them as you like. `vae-course start` "
        "brings new versions without touching your work, and this page up to date.", "",
    ])  # fmt: skip


def _exercises(checks, chapter: int) -> list[str]:
    try:
        return [exercise.name for exercise in checks.exercises(chapter)]
    except ValueError:  # a chapter without exercises
        return []


def _title(path: Path) -> tuple[str, str]:
    r"""Title and question of a notebook, from its first cell."""
    first = read_notebook(path)["cells"][0]["source"]
    title = re.search(r"^# (.+)$", first, re.MULTILINE)
    question = re.search(r"^\*([^*\n]+)\*$", first, re.MULTILINE)
    return (title[1] if title else path.stem), (question[1] if question else "")


def add_command(commands: argparse._SubParsersAction) -> None:
    r"""Hook `vae-course start` into the command line."""
    parser = commands.add_parser(
        "start",
        help="your own copies of the notebooks, opened in JupyterLab",
        description="Copy the notebooks into a working folder, never over your own changes, and "
        "open JupyterLab there on a start page that shows what is done and where to go on.",
        epilog="example:\n  vae-course start my-course",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", nargs="?", type=Path, default=Path(FOLDER), metavar="FOLDER",
                        help=f"made if missing (default: {FOLDER})")  # fmt: skip
    parser.add_argument("--no-lab", action="store_true", help="copy only, open nothing")
    parser.set_defaults(work=_run)


def _run(arguments: argparse.Namespace) -> int:
    folder = arguments.folder.expanduser()
    try:
        print(copy_notebooks(folder))
        write_whole(folder / PAGE, page(folder).encode())
    except OSError as error:
        print(f"vae-course: {error}", file=sys.stderr)
        return 1
    if arguments.no_lab:
        print(f"open {folder / PAGE}, or the notebooks beside it, in JupyterLab")
        return 0
    if shutil.which("jupyter-lab") is None and not _has_lab():
        print(
            "vae-course: JupyterLab is not installed: "
            'python -m pip install -e ".[lab]" in a clone of the course',
            file=sys.stderr,
        )
        return 1
    settings = (folder / progress.FILE).parent.resolve() / "lab"
    settings.mkdir(exist_ok=True)
    write_whole(settings / "overrides.json", json.dumps(SETTINGS).encode())
    command = [
        sys.executable, "-m", "jupyterlab", f"--LabApp.default_url=/lab/tree/{PAGE}",
        f"--LabApp.app_settings_dir={settings}",
    ]  # fmt: skip
    return subprocess.run(command, cwd=folder, check=False).returncode


def _has_lab() -> bool:
    import importlib.util

    return importlib.util.find_spec("jupyterlab") is not None
