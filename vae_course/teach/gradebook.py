r"""Points in nbgrader's gradebook, so that the formgrader, feedback and exports show the same."""

from __future__ import annotations

import warnings
from datetime import datetime
from typing import Any

from nbformat import NotebookNode

from ._course import Course, tools_on_path

STOPPED = ("KernelEnded", "CellTimeoutError", "NotRun")


def open_gradebook(course: Course):
    r"""The course's gradebook; use it in a `with`."""
    from nbgrader.api import Gradebook

    tools_on_path()
    return Gradebook(f"sqlite:///{course.folder.resolve() / 'gradebook.db'}", course_id="vae")


def kernel_points(notebook: NotebookNode) -> dict[str, float]:
    r"""What nbgrader makes of each executed test cell."""
    from nbgrader.utils import determine_grade

    points = {}
    for cell in notebook.cells:
        settings = cell.metadata.get("nbgrader", {})
        if settings.get("grade") and not settings.get("solution"):
            try:
                points[settings.grade_id] = float(determine_grade(cell)[0] or 0.0)
            except (ValueError, KeyError):  # more points than there are, or no text in the result
                points[settings.grade_id] = 0.0
    return points


def note(notebook: NotebookNode, name: str, text: str) -> None:
    r"""Put a sentence under a test cell, for the feedback."""
    for cell in notebook.cells:
        if cell.metadata.get("nbgrader", {}).get("grade_id") == name:
            cell.outputs.append(NotebookNode(output_type="stream", name="stdout", text=text + "\n"))


def handed_in(course: Course, name: str, student: str) -> datetime | None:
    r"""When a submission came in, in UTC without saying so, as nbgrader has times."""
    from nbgrader.utils import parse_utc

    stamp = course.notebook("submitted", name, student).with_name("timestamp.txt")
    try:
        return parse_utc(stamp.read_text("utf-8").strip())
    except (OSError, ValueError):  # none, or no time: dateutil's error is a ValueError
        return None


def store(course: Course, record: dict[str, Any], notebook: NotebookNode | None) -> None:
    r"""Enter a record. Points and comments given by hand stay."""
    from nbgrader.utils import compute_checksum, determine_grade

    name, student = record["assignment"], record["student"]
    executed = {
        cell.metadata.nbgrader.grade_id: cell
        for cell in (notebook.cells if notebook else [])
        if cell.metadata.get("nbgrader", {}).get("grade_id")
    }
    when = handed_in(course, name, student)
    with warnings.catch_warnings(), open_gradebook(course) as book:
        warnings.simplefilter("ignore")  # of SQLAlchemy, about nbgrader's way to add rows
        book.update_or_create_student(student)
        book.update_or_create_submission(name, student, timestamp=when)
        for cell_name, entry in record["cells"].items():
            grade = book.find_grade(cell_name, name, name, student)
            cell = executed.get(cell_name)
            if entry["written"]:
                grade.auto_score = determine_grade(cell)[0] if cell else 0.0
                entry["points"] = grade.auto_score  # None: to be graded by hand
            else:
                grade.auto_score = entry["points"]
            disputed = not entry["written"] and any(cell_name in r for r in record["review"])
            by_hand = grade.auto_score is None or grade.manual_score is not None
            grade.needs_manual_grade = by_hand or disputed
        for cell_name, cell in executed.items():
            if cell.metadata.nbgrader.get("solution"):
                comment = book.find_comment(cell_name, name, name, student)
                same = cell.metadata.nbgrader.get("checksum") == compute_checksum(cell)
                comment.auto_comment = "No response." if same else None
        book.db.commit()


def by_hand(course: Course, name: str, student: str) -> dict[str, float | None]:
    r"""The points that count for each cell now, given by hand or not; None where still missing."""
    from nbgrader.api import MissingEntry

    with open_gradebook(course) as book:
        try:
            grades = book.find_submission_notebook(name, name, student).grades
        except MissingEntry:
            return {}
        return {
            grade.name: grade.manual_score if grade.manual_score is not None else grade.auto_score
            for grade in grades
        }
