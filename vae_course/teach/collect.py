r"""`vae-course teach collect`: from a folder or an archive to one notebook a student."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import os
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from . import _course, gradebook, names, restore
from ._course import Course, TeachError

MOST_FILES = 20_000
MOST_BYTES = 2 * 2**30  # of all that is read from one archive
COLUMNS = ["file", "student", "notebook_says", "time", "outcome"]


@dataclass
class Found:
    r"""One file that came in: its bytes, or why it is not taken."""

    path: PurePosixPath
    content: bytes
    time: datetime
    refused: str = ""


@dataclass
class Row:
    r"""What became of it."""

    file: str
    student: str = ""
    notebook_says: str = ""
    time: str = ""
    outcome: str = ""


def collect(
    course: Course, name: str, where: Path, *, known: dict[str, str] | None = None
) -> list[Row]:
    r"""Put every student's newest attempt into submitted/; says of each file what became of it.

    Nothing is lost: an attempt that a newer one replaces goes to earlier/, and so does one that
    came in under another name before the mapping told whose it is.
    Raises: TeachError if `where` is neither a folder nor a zip archive, or not to be trusted.
    """
    rows, attempts, people = [], {}, {}
    for found in _files(where):
        row = Row(str(found.path), time=_stamp(found.time))
        rows.append(row)
        if found.refused:
            row.outcome = found.refused
            continue
        origin = names.origin(found.path, name)
        if origin.time:
            found.time = datetime.strptime(origin.time, "%Y-%m-%d-%H-%M-%S").replace(tzinfo=UTC)
            row.time = _stamp(found.time)
        student = names.identifier(origin.names, known or {})
        if student is None:
            row.outcome = "whose is it? Nothing in its name tells: name it in the mapping"
            continue
        row.student = student
        row.notebook_says = _says(found.content)
        named = name in found.path.stem
        order = (named, found.time, origin.attempt, str(found.path))
        attempts.setdefault(student, []).append((order, found, row))
        if not any(names.key(each) in (known or {}) for each in origin.names):
            people.setdefault(student, set()).add(origin.person)
    for student in [each for each, numbers in people.items() if len(numbers) > 1]:
        for _, _, row in attempts.pop(student):
            row.outcome = f"whose is it? Several people are called {student!r}: name their numbers "
            row.outcome += f"({', '.join(sorted(people[student]))}) in the mapping"
    course.prepare()
    for student, entries in attempts.items():
        entries.sort(key=lambda entry: entry[0])
        for order, found, row in entries:
            if entries[-1][0][0] and not order[0]:
                row.outcome = "ignored: the student handed in one that bears the assignment's name"
            else:
                row.outcome = _keep(course, name, student, found)
                row.outcome += _hand_over(course, name, row, found)
    _log(course.folder / "collected" / f"{name}.csv", rows)
    return rows


def _keep(course: Course, name: str, student: str, found: Found) -> str:
    path = course.notebook("submitted", name, student)
    stamp = path.with_name("timestamp.txt")
    if path.exists():
        if path.read_bytes() == found.content:
            return "unchanged"
        before = gradebook.handed_in(course, name, student)
        before = before.replace(tzinfo=UTC) if before else None
        if before is not None and before > found.time:
            return _earlier(course, name, student, found.content, found.time)
        _earlier(course, name, student, path.read_bytes(), before or found.time)
    _course.write(path, found.content)
    _course.write(stamp, found.time.isoformat() + "\n")
    return "collected"


def _hand_over(course: Course, name: str, row: Row, found: Found) -> str:
    r"""Take back what the same file was collected as before the mapping told whose it is."""
    before = names.identifier(names.origin(found.path, name).names, {})
    if before is None or before == row.student:
        return ""
    path = course.notebook("submitted", name, before)
    if not path.exists() or path.read_bytes() != found.content:
        return ""
    _earlier(course, name, before, found.content, found.time)
    shutil.rmtree(path.parent)
    with contextlib.suppress(OSError):  # something else was handed in under that name
        path.parent.parent.rmdir()
    return f", no longer as {before}"


def _earlier(course: Course, name: str, student: str, content: bytes, time: datetime) -> str:
    digest = hashlib.sha256(content).hexdigest()[:8]
    file = f"{time:%Y-%m-%d-%H-%M-%S}-{digest}.ipynb"
    path = course.folder / "earlier" / student / name / file
    if not path.exists():
        _course.write(path, content)
    return "an earlier attempt, kept in earlier/"


def _says(content: bytes) -> str:
    r"""STUDENT as the notebook has it; '' where it can't be read or was not set."""
    import tempfile

    from vae_course.checks.graded import EXAMPLE

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "it.ipynb"
        path.write_bytes(content)
        try:
            said = restore.says_student(restore.read(path))
        except restore.Unreadable:
            return ""
    return said if said and said != EXAMPLE else ""


def _files(where: Path) -> Iterator[Found]:
    if where.is_dir():
        yield from _in_folder(where)
    elif zipfile.is_zipfile(where):
        budget = [MOST_BYTES]
        yield from _in_archive(where.read_bytes(), PurePosixPath(), budget, depth=0)
    else:
        raise TeachError(f"{where}: expected is a folder or a zip archive. Is the path right?")


def _in_folder(where: Path) -> Iterator[Found]:
    for folder, folders, files in os.walk(where, followlinks=False):
        folders[:] = sorted(f for f in folders if not f.startswith((".", "__")))
        for file in sorted(files):
            path = Path(folder, file)
            inside = PurePosixPath(path.relative_to(where).as_posix())
            if path.is_symlink() or not path.is_file():
                yield _refused(inside, "refused: a link, not a file")
                continue
            time = datetime.fromtimestamp(int(path.stat().st_mtime), UTC)
            if path.stat().st_size > restore.LARGEST:
                yield _refused(inside, _too_large())
            elif file.lower().endswith(".zip"):
                yield from _in_archive(path.read_bytes(), inside.with_suffix(""), [MOST_BYTES], 1)
            else:
                yield from _judge(inside, path.read_bytes(), time)


def _in_archive(
    content: bytes, base: PurePosixPath, budget: list[int], depth: int
) -> Iterator[Found]:
    r"""The files in a zip. Names are only read, never used as paths; sizes are not believed."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except (zipfile.BadZipFile, ValueError, OSError):
        yield _refused(base, "refused: a damaged archive")
        return
    entries = [e for e in archive.infolist() if not e.is_dir()]
    if len(entries) > MOST_FILES:
        raise TeachError(f"the archive holds {len(entries)} files; {MOST_FILES} is the most.")
    for entry in sorted(entries, key=lambda e: e.filename):
        path = base / PurePosixPath(entry.filename.replace("\\", "/").lstrip("/"))
        if any(part.startswith((".", "__MACOSX")) for part in path.parts):
            if ".." in path.parts:
                yield _refused(path, "refused: its name leads out of the archive")
            continue
        try:
            with archive.open(entry) as file:
                data = file.read(restore.LARGEST + 1)
        except Exception as error:  # encrypted, damaged, an unknown compression
            yield _refused(path, f"refused: {type(error).__name__}: {error}")
            continue
        budget[0] -= len(data)
        if budget[0] < 0:
            raise TeachError(f"the archive unpacks to more than {MOST_BYTES // 2**30} GB: refused.")
        if len(data) > restore.LARGEST:
            yield _refused(path, _too_large())
        elif path.suffix.lower() == ".zip" and depth < 2:
            yield from _in_archive(data, path.with_suffix(""), budget, depth + 1)
        else:
            try:
                time = datetime(*entry.date_time, tzinfo=UTC)
            except ValueError:  # a date that is none
                time = datetime(1980, 1, 1, tzinfo=UTC)
            yield from _judge(path, data, time)


def _judge(path: PurePosixPath, content: bytes, time: datetime) -> Iterator[Found]:
    if path.suffix.lower() == ".ipynb":
        yield Found(path, content, time)
    else:
        yield _refused(path, "ignored: not a notebook (.ipynb)")


def _refused(path: PurePosixPath, why: str) -> Found:
    return Found(path, b"", datetime(1980, 1, 1, tzinfo=UTC), why)


def _too_large() -> str:
    return f"refused: larger than {restore.LARGEST // 2**20} MB"


def _stamp(time: datetime) -> str:
    return "" if time.year == 1980 else f"{time:%Y-%m-%d %H:%M:%S}"


def _log(path: Path, rows: list[Row]) -> None:
    r"""Add the rows that are new to the assignment's list."""
    old: list[dict[str, str]] = []
    if path.exists():
        with path.open(encoding="utf-8", newline="") as file:
            old = list(csv.DictReader(file))
    new = [vars(row) for row in rows]
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(old + [row for row in new if row not in old])
    _course.write(path, text.getvalue())
