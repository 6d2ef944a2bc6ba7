r"""`vae-course teach release`: from assignments with solutions to what students get."""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path

import nbformat

from . import _course, gradebook
from ._course import Course, TeachError

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

    The instructor's own source/NAME counts; where there is none it is copied from `source`.
    Raises: TeachError if solution text is left, or if the release exists and would change.
    """
    from nbgrader.converters import GenerateAssignment

    own = course.notebook("source", name)
    original = own if own.exists() else sources(source)[name]
    made = _build(original, name)
    leftover = leaks(original, made)
    if leftover:
        raise TeachError(f"{name}: solution text is left in the release: {leftover[0]!r}")
    path = course.notebook("release", name)
    if path.exists() and path.read_bytes() == made and _entered(course, name):
        return "unchanged"
    if path.exists() and path.read_bytes() != made and not again:
        raise TeachError(
            f"{name}: the source is no longer what was released. Students may have the old one; "
            "--again writes the new one."
        )
    course.prepare()
    if not own.exists():
        _course.write(own, original.read_bytes())
    with tempfile.TemporaryDirectory() as scratch:  # enters the cells into the real gradebook
        aside = {"release_directory": str(Path(scratch) / "release")}
        config = _course.nbgrader_config(course.folder, name, CourseDirectory=aside)
        _course.convert(GenerateAssignment, config)
    _course.write(path, made)
    return "released"


def _entered(course: Course, name: str) -> bool:
    from nbgrader.api import MissingEntry

    if not (course.folder / "gradebook.db").exists():
        return False
    with gradebook.open_gradebook(course) as book:
        try:
            book.find_notebook(name, name)
        except MissingEntry:
            return False
    return True


def empty_course(original: Path, name: str, root: Path) -> Path:
    r"""A course folder with nothing but this assignment in its gradebook; returns the release."""
    from nbgrader.converters import GenerateAssignment

    copy = root / "source" / name / f"{name}.ipynb"
    copy.parent.mkdir(parents=True)
    shutil.copyfile(original, copy)
    _course.convert(GenerateAssignment, _course.nbgrader_config(root, name))
    return root / "release" / name / f"{name}.ipynb"


def _build(original: Path, name: str) -> bytes:
    r"""The release's bytes, made in a folder of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        return empty_course(original, name, Path(scratch)).read_bytes()


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
        settings = cell.metadata.get("nbgrader", {})
        whole = settings.get("solution") and not regions  # nbgrader clears the whole cell
        secret |= set("\n".join([cell.source] if whole else regions).splitlines())
        given |= set() if whole else set(REGION.sub("", cell.source).splitlines())
    told = {line.strip() for line in secret} - {line.strip() for line in given}
    found += sorted(line for line in told & kept if len(line) > 12)
    return found
