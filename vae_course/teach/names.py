r"""Whose file is it? From the names that learning platforms, mail and instructors give to files.

    Moodle      Anna Berg_1234_assignsubmission_file_/04_kl_loss.ipynb, or the same in one name
    Canvas      berganna_LATE_4321_98765_04_kl_loss-1.ipynb
    Blackboard  Homework_aberg_attempt_2026-02-01-10-30-00_04_kl_loss.ipynb
    others      aberg/04_kl_loss.ipynb, aberg.ipynb, 04_kl_loss_aberg.ipynb
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from .course import TeachError, read_table

_MOODLE = re.compile(r"(?P<name>.+?)_(?P<id>\d+)_assignsubmission_\w+?_?(?P<rest>_.*|$)")
_CANVAS = re.compile(r"(?P<name>[^_]+)_(?P<late>LATE_)?(?P<id>\d+)_\d+_(?P<rest>.+)")
_BLACKBOARD = re.compile(r"(?:.*_)?(?P<name>[^_]+)_attempt_(?P<time>\d{4}(?:-\d\d){5})(?:_.*)?")
_COPY = re.compile(r"(?: ?\((\d+)\)|-(\d{1,2}))$")
_NO_NAMES = {"submitted", "submissions", "notebooks", "downloads", "abgaben"}
# Letters that are no accent on a plain one.
_LETTERS = str.maketrans(dict(zip("ıłøđðħŋŧ", "iloddhnt", strict=True))
                         | {"ß": "ss", "æ": "ae", "œ": "oe", "þ": "th"})  # fmt: skip


@dataclass(frozen=True)
class Origin:
    r"""What a path says: names of the student to look up, best first; which attempt; when.

    `person`: the learning platform's number, which tells two people of the same name apart.
    `downloaded`: the file bears the time of a download, as all do from Moodle and Canvas.
    """

    names: tuple[str, ...]
    attempt: int = 0
    time: str = ""
    late: bool = False
    person: str = ""
    downloaded: bool = False


def origin(path: PurePosixPath, assignment: str) -> Origin:
    r"""Read the student out of a file's path inside a folder or archive."""
    stem, attempt = _without_copy(path.stem)
    for part in (path.stem, *reversed(path.parts[:-1])):
        if found := _MOODLE.match(part):
            names, person = (found["name"], found["id"], path.name), found["id"]
            return Origin(names, attempt, person=person, downloaded=True)
        if found := _BLACKBOARD.match(part):
            return Origin((found["name"], path.name), attempt, found["time"])
        if found := _CANVAS.match(part):
            names, person = (found["name"], found["id"], path.name), found["id"]
            late = found["late"] is not None
            return Origin(names, attempt, late=late, person=person, downloaded=True)
    folders = [p for p in path.parts[:-1] if p != assignment and p.lower() not in _NO_NAMES]
    if folders:
        return Origin((folders[-1], path.name), attempt)
    name = re.sub(rf"[ _-]*{re.escape(assignment)}[ _-]*", "", stem)
    return Origin(tuple(n for n in (name, path.name) if n), attempt)


def _without_copy(stem: str) -> tuple[str, int]:
    found = _COPY.search(stem)
    if not found:
        return stem, 0
    return stem[: found.start()], int(found[1] or found[2])


def identifier(names: tuple[str, ...], known: dict[str, str]) -> str | None:
    r"""The student's identifier: from the mapping, else made from the first name."""
    for name in names:
        if key(name) in known:
            return known[key(name)]
    made = key(names[0]).replace(" ", "-") if len(names) > 1 else ""
    made = "".join(c for c in made if c in "_.@-" or unicodedata.category(c)[0] in "LNM")
    made = made.lstrip("_.@-")[:64]
    return made if can_be(made) else None


def can_be(student: str) -> bool:
    r"""Can this be an identifier? Letters of any script, digits and _ . @ -, no space."""
    kinds = {unicodedata.category(c)[0] for c in student if c not in "_.@-"}
    return bool(student) and student[0].isalnum() and kinds <= set("LNM") and len(student) <= 64


def key(name: str) -> str:
    r"""A name in lower case without the accents of Latin letters: "Yılmaz, Åsa" → "yilmaz, asa".

    Letters of other scripts stay as they are: no two names become one.
    """
    plain = ""
    for letter in unicodedata.normalize("NFKD", name.lower()).translate(_LETTERS):
        if not (unicodedata.combining(letter) and plain[-1:].isascii() and plain):
            plain += letter
    return " ".join(unicodedata.normalize("NFC", plain).split())


def mapping(path: Path) -> dict[str, str]:
    r"""A CSV whose column `student` holds identifiers; all other columns are names for them.

    "Anna Berg" is also "berganna", as Canvas writes it, where nobody else is.
    Raises: TeachError for a file without that column, or with an identifier that can't be one.
    """
    rows, _ = read_table(path)
    if not rows or "student" not in rows[0]:
        raise TeachError(f"{path}: expected is a first line with a column `student`, then rows.")
    known: dict[str, str] = {}
    canvas: dict[str, set[str]] = {}
    for number, row in enumerate(rows, start=2):
        student = row["student"].strip().lower()
        if not can_be(student):
            raise TeachError(
                f"{path}, line {number}: {student!r} can't be an identifier. Letters, digits and "
                "_ . @ - can be in one; a letter or digit comes first."
            )
        for value in [student, *row.values()]:
            if value and known.setdefault(key(value), student) != student:
                raise TeachError(f"{path}, line {number}: {value!r} stands for two students.")
            words = re.findall(r"\w+", key(value))
            for first in range(1, len(words)):
                canvas.setdefault("".join(words[first:] + words[:first]), set()).add(student)
    return {name: min(who) for name, who in canvas.items() if len(who) == 1} | known
