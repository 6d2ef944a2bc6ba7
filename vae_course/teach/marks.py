r"""`vae-course teach marks`: grading written answers in a table instead of the formgrader."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import nbformat

from . import _course, gradebook
from ._course import Course, TeachError

COLUMNS = ["student", "cell", "of", "points", "comment", "answer"]


def template(course: Course, name: str) -> str:
    r"""A CSV with every written answer, and the points and comments given so far."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    with gradebook.open_gradebook(course) as book:
        for student in course.students(name):
            record = course.record(name, student)
            path = course.notebook("autograded", name, student)
            if record is None or not path.exists():
                continue
            for cell in nbformat.read(path, as_version=4).cells:
                settings = cell.metadata.get("nbgrader", {})
                if settings.get("grade") and settings.get("solution"):
                    key = (settings.grade_id, name, name, student)
                    grade = book.find_grade(*key)
                    given = grade.manual_score if grade.manual_score is not None else None
                    points = grade.auto_score if given is None else given
                    comment = book.find_comment(*key).comment or ""
                    writer.writerow(
                        dict(zip(COLUMNS, [student, settings.grade_id, grade.max_score,
                             "" if points is None else points, comment, cell.source], strict=True))
                    )  # fmt: skip
    return text.getvalue()


def enter(course: Course, name: str, path: Path) -> int:
    r"""Enter the points and comments of such a table; returns how many rows had points.

    Rows without points are left alone. Raises: TeachError before anything is entered, if a row
    names nobody's cell or has points that can't be.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = [row for row in csv.DictReader(file) if (row.get("points") or "").strip()]
    with gradebook.open_gradebook(course) as book:
        for number, row in enumerate(rows, start=2):
            try:
                grade = book.find_grade(row["cell"], name, name, row["student"])
                points = float(row["points"].replace(",", "."))
            except Exception:
                raise TeachError(f"{path}, row {number}: no such cell, or no number") from None
            if not 0 <= points <= grade.max_score:
                raise TeachError(f"{path}, row {number}: {points:g} points of {grade.max_score:g}")
            grade.manual_score, grade.needs_manual_grade = points, False
            if row.get("comment"):
                comment = book.find_comment(row["cell"], name, name, row["student"])
                comment.manual_comment = row["comment"]
        book.db.commit()
    return len(rows)


def write_template(course: Course, name: str) -> Path:
    r"""scores/NAME-written.csv. Raises: TeachError if it is there: it may hold your work."""
    path = course.folder / "scores" / f"{name}-written.csv"
    if path.exists():
        raise TeachError(f"{path} is there already: enter it, or move it away first")
    _course.write(path, template(course, name))
    return path
