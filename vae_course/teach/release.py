r"""`vae-course teach release`: from assignments with solutions to what students get."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

import nbformat

from .course import Course, TeachError, convert, nbgrader_config, write

MARKS = ("BEGIN SOLUTION", "END SOLUTION", "BEGIN HIDDEN", "END HIDDEN")
REGION = re.compile(r"BEGIN (?:SOLUTION|HIDDEN TESTS)\n(.*?)\n[^\n]*END (?:SOLUTION|HIDDEN)", re.S)


def sources(folder: Path) -> dict[str, Path]:
    r"""The assignments in a source folder, by name."""
    found = sorted(folder.glob("*/*.ipynb"))
    return {path.stem: path for path in found if path.stem == path.parent.name}


def pick(names: list[str], known: list[str] | dict, where: str) -> list[str]:
    r"""Full names for `04` or `04_kl_loss`; all of them for none. Raises: ValueError."""
    picked = []
    for given in names or known:
        matches = [name for name in known if name == given or name.split("_")[0] == given]
        if len(matches) != 1:
            there = ", ".join(known) or "none"
            raise ValueError(f"no assignment {given!r} in {where}. There are: {there}")
        picked += matches
    return picked


def release(course: Course, source: Path, name: str, *, again: bool = False) -> str:
    r"""Make release/NAME and enter the assignment into the gradebook; says what happened.

    The instructor's own source/NAME counts; where there is none it is copied from `source`, with
    the files beside it (exercises of one's own, data), which students get as they are.
    Raises: TeachError if solution text is left, or if the release exists and would change.
    """
    course.prepare()
    own, path = course.notebook("source", name), course.notebook("release", name)
    if not own.exists():
        shutil.copytree(sources(source)[name].parent, own.parent, dirs_exist_ok=True,
                        ignore=shutil.ignore_patterns(".*", "__pycache__"))  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        folder = enter(course, name, Path(scratch))
        made = {each.relative_to(folder): each.read_bytes() for each in folder.rglob("*")
                if each.is_file()}  # fmt: skip
    leftover = leaks(own, made[Path(path.name)])
    if leftover:
        raise TeachError(f"{name}: solution text is left in the release: {leftover[0]!r}")
    differs = [f for f, content in made.items() if _content(path.parent / f) not in (None, content)]
    if differs and not again:
        raise TeachError(
            f"{name}: the source is no longer what was released. Students may have the old one; "
            "--again writes the new one."
        )
    if all(_content(path.parent / file) == content for file, content in made.items()):
        return "unchanged"
    for file, content in made.items():
        write(path.parent / file, content)
    return "released"


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def enter(course: Course, name: str, scratch: Path) -> Path:
    r"""Enter the source's cells into the gradebook; returns the release made in `scratch`.

    Raises: TeachError if nbgrader can't, as when graded cells come or go after hand-ins.
    """
    from nbgrader.converters import GenerateAssignment

    convert(GenerateAssignment, nbgrader_config(course.folder, name, release_directory=scratch))
    return scratch / name


def leaks(original: Path, made: bytes) -> list[str]:
    r"""Lines of solutions or hidden tests, marks and outputs that the release still holds."""
    released = nbformat.reads(made.decode("utf-8"), as_version=4)
    text = "\n".join(cell.source for cell in released.cells)
    kept = {line.strip() for line in text.splitlines()}
    found = [mark for mark in MARKS if mark in text]
    found += [f"an output of cell {cell.id}" for cell in released.cells if cell.get("outputs")]
    secret, given = set(), set()
    for cell in nbformat.read(original, as_version=4).cells:
        regions = REGION.findall(cell.source)
        whole = cell.metadata.get("nbgrader", {}).get("solution") and not regions  # all is cleared
        secret |= {x.strip() for r in ([cell.source] if whole else regions) for x in r.split("\n")}
        given |= {x.strip() for x in ("" if whole else REGION.sub("", cell.source)).split("\n")}
    return found + sorted(line for line in (secret - given) & kept if len(line) > 12)
