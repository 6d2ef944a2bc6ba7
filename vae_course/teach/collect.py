r"""`vae-course teach collect`: from a folder or an archive to one notebook a student."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from . import course as _course
from . import names, restore
from .course import Course, TeachError

MOST_FILES = 20_000
MOST_BYTES = 2 * 2**30  # of all that is read from one archive
_TOO_LARGE = f"refused: larger than {restore.LARGEST // 2**20} MB"
TAKEN = ("collected", "unchanged")  # how the outcome of what counts begins
DOWNLOADED = "downloaded.txt"  # instead of timestamp.txt, where the time of handing in is unknown


@dataclass
class Found:
    r"""One file that came in, whose it is, and what became of it."""

    path: PurePosixPath
    content: bytes = b""
    time: datetime = datetime(1980, 1, 1, tzinfo=UTC)
    outcome: str = ""
    student: str = ""
    notebook_says: str = ""
    late: bool = False
    downloaded: bool = False

    def row(self) -> dict[str, str]:
        time = "" if self.time.year == 1980 else f"{self.time:%Y-%m-%d %H:%M:%S}"
        return {"file": str(self.path), "student": self.student, "time": time,
                "notebook_says": self.notebook_says, "outcome": self.outcome}  # fmt: skip


def collect(
    course: Course, name: str, where: Path, *, known: dict[str, str] | None = None
) -> list[Found]:
    r"""Put every student's newest attempt into submitted/; says of each file what became of it.

    Nothing is lost: an attempt that a newer one replaces goes to earlier/, and so does one that
    came in under another name before the mapping told whose it is.
    Raises: TeachError if `where` is neither a folder nor a zip archive, or not to be trusted.
    """
    came, attempts, people, known = list(_files(where)), {}, {}, known or {}
    for found in [each for each in came if not each.outcome]:
        origin = names.origin(found.path, name)
        found.late, found.downloaded = origin.late, origin.downloaded
        if origin.time:
            found.time = datetime.strptime(origin.time, "%Y-%m-%d-%H-%M-%S").replace(tzinfo=UTC)
        student = names.identifier(origin.names, known)
        if student is None:
            found.outcome = "whose is it? Nothing in its name tells: name it in the mapping"
            continue
        found.student, found.notebook_says = student, _says(found.content, known)
        order = (name in found.path.stem, found.time, origin.attempt, str(found.path))
        attempts.setdefault(student, []).append((order, found))
        if not any(names.key(each) in known for each in origin.names):
            people.setdefault(student, set()).add(origin.person or origin.names[0].casefold())
    for student in [each for each, numbers in people.items() if len(numbers) > 1]:
        for _, found in attempts.pop(student):
            found.outcome = (
                f"whose is it? Several people are called {student!r}: name them or their numbers "
                f"({', '.join(sorted(people[student]))}) in the mapping"
            )
    course.prepare()
    for entries in attempts.values():
        entries.sort(key=lambda entry: entry[0])
        for order, found in entries:
            if entries[-1][0][0] and not order[0]:
                found.outcome = "ignored: another one bears the assignment's name"
            else:
                found.outcome = _keep(course, name, found) + _hand_over(course, name, found)
    log = course.folder / "collected" / f"{name}.csv"
    old = _course.read_table(log)[0] if log.exists() else []
    new = [found.row() for found in came]  # those that count stand last
    _course.write(log, _course.table_text([row for row in old if row not in new] + new))
    return came


def came_as(course: Course, name: str) -> dict[str, str]:
    r"""For each student the name of the file that counts, as it came in: of the last archive."""
    path = course.folder / "collected" / f"{name}.csv"
    rows = _course.read_table(path)[0] if path.exists() else []
    return {row["student"]: row["file"] for row in rows if row["outcome"].startswith(TAKEN)}


def _keep(course: Course, name: str, found: Found) -> str:
    path = course.notebook("submitted", name, found.student)
    if path.exists():
        if path.read_bytes() == found.content:
            return "unchanged"
        before = course.handed_in(name, found.student) or course.handed_in(
            name, found.student, DOWNLOADED
        )
        before = before.replace(tzinfo=UTC) if before else None
        if before is not None and before > found.time:
            return _earlier(course, name, found.student, found.content, found.time)
        _earlier(course, name, found.student, path.read_bytes(), before or found.time)
    _course.write(path, found.content)
    stamps = [path.with_name(file) for file in ("timestamp.txt", DOWNLOADED)]
    stamps[1 - found.downloaded].unlink(missing_ok=True)
    _course.write(stamps[found.downloaded], found.time.isoformat() + "\n")
    return "collected"


def _hand_over(course: Course, name: str, found: Found) -> str:
    r"""Take back what the same file was collected as before the mapping told whose it is."""
    before = names.identifier(names.origin(found.path, name).names, {})
    path = course.notebook("submitted", name, before or "")
    if before in (None, found.student) or not path.exists() or path.read_bytes() != found.content:
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


def _says(content: bytes, known: dict[str, str]) -> str:
    r"""Who the notebook says it is from; '' where it can't be read or STUDENT was not set."""
    try:
        said = restore.says_student(restore.read(content))
    except restore.Unreadable:
        return ""
    return names.identifier((said, ""), known) or said.strip() if said else ""


def _files(where: Path) -> Iterator[Found]:
    if where.is_dir():
        for folder, folders, files in os.walk(where, followlinks=False):
            folders[:] = sorted(f for f in folders if not f.startswith((".", "__")))
            for file in sorted(files):
                path = Path(folder, file)
                inside = PurePosixPath(path.relative_to(where).as_posix())
                if path.is_symlink() or not path.is_file():
                    yield Found(inside, outcome="refused: a link, not a file")
                    continue
                time = datetime.fromtimestamp(int(path.stat().st_mtime), UTC)
                content = b"" if path.stat().st_size > restore.LARGEST else path.read_bytes()
                yield from _one(inside, content, path.stat().st_size, time, [MOST_BYTES], 1)
    elif zipfile.is_zipfile(where):
        yield from _in_archive(where.read_bytes(), PurePosixPath(), [MOST_BYTES], depth=0)
    else:
        raise TeachError(f"{where}: expected is a folder or a zip archive. Is the path right?")


def _in_archive(
    content: bytes, base: PurePosixPath, budget: list[int], depth: int
) -> Iterator[Found]:
    r"""The files in a zip. Names are only read, never used as paths; sizes are not believed."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except (zipfile.BadZipFile, ValueError, OSError):
        yield Found(base, outcome="refused: a damaged archive")
        return
    entries = [e for e in archive.infolist() if not e.is_dir()]
    if len(entries) > MOST_FILES:
        raise TeachError(f"the archive holds {len(entries)} files; {MOST_FILES} is the most.")
    for entry in sorted(entries, key=lambda e: e.filename):
        path = base / PurePosixPath(entry.filename.replace("\\", "/").lstrip("/"))
        if ".." in path.parts:
            yield Found(path, outcome="refused: its name leads out of the archive")
        if any(part.startswith((".", "__MACOSX")) for part in path.parts):
            continue
        try:
            with archive.open(entry) as file:
                data = file.read(restore.LARGEST + 1)
        except Exception as error:  # encrypted, damaged, an unknown compression
            yield Found(path, outcome=f"refused: {type(error).__name__}: {error}")
            continue
        time = Found.time
        with contextlib.suppress(ValueError):  # a date that is none
            time = datetime(*entry.date_time, tzinfo=UTC)
        yield from _one(path, data, len(data), time, budget, depth)


def _one(path, content: bytes, size: int, time, budget: list[int], depth: int) -> Iterator[Found]:
    budget[0] -= len(content)
    if budget[0] < 0:
        raise TeachError(f"the archive unpacks to more than {MOST_BYTES // 2**30} GB: refused.")
    if size > restore.LARGEST:
        yield Found(path, outcome=_TOO_LARGE)
    elif path.suffix.lower() == ".zip" and depth < 2:
        yield from _in_archive(content, path.with_suffix(""), budget, depth + 1)
    elif path.suffix.lower() == ".ipynb":
        yield Found(path, content, time)
    else:
        yield Found(path, outcome="ignored: not a notebook (.ipynb)")
