r"""`vae-course teach marks`: grading in a table what a person reads, instead of the formgrader."""

from __future__ import annotations

from pathlib import Path

import nbformat

from . import course as _course
from . import grade, late
from .course import Course, TeachError


def write_template(course: Course, name: str) -> Path:
    r"""scores/NAME-written.csv: every written answer, and every test to look at, with its points.

    Raises: TeachError if it is there: it may hold your work.
    """
    path = course.folder / "scores" / f"{name}-written.csv"
    if path.exists():
        raise TeachError(f"{path} is there already: enter it, or move it away first")
    advice, rows = grade.advice(course, name), []
    with course.gradebook() as book:
        for student in course.students(name):
            notebook = course.notebook("autograded", name, student)
            if not notebook.exists():
                continue
            cells = {c.metadata.nbgrader.grade_id: c for c in nbformat.read(notebook, 4).cells
                     if c.metadata.get("nbgrader", {}).get("grade_id")}  # fmt: skip
            why = {flag["cell"]: flag["reason"] for flag in advice.get(student, [])}
            graded = book.find_submission_notebook(name, name, student)
            comments = {c.name: c.manual_comment for c in graded.comments}
            for entry in graded.grades:
                if entry.name in cells and (entry.name in comments or entry.name in why):
                    by_hand = entry.manual_score is not None
                    given = entry.manual_score if by_hand else entry.auto_score
                    rows.append({
                        "student": student, "cell": entry.name, "of": f"{entry.max_score:g}",
                        "points": "" if given is None else f"{given:g}",
                        "comment": comments.get(entry.name) or "",
                        "look_at": why.get(entry.name, ""), "answer": cells[entry.name].source,
                    })  # fmt: skip
    _course.write(path, _course.table_text(rows))
    return path


def enter(course: Course, name: str, path: Path) -> int:
    r"""Enter the points and comments of such a table; returns how many rows had points.

    Rows without points are left alone. Raises: TeachError before anything is entered, if a row
    names nobody's cell or has points that can't be, or if there is nothing to enter.
    """
    table, separator = _course.read_table(path)
    if not table or not {"student", "cell", "points"} <= set(table[0]):
        raise TeachError(f"{path}: expected are columns student, cell, points and comment")
    rows = [(n, row) for n, row in enumerate(table, start=2) if row["points"].strip()]
    if not rows:
        raise TeachError(f"{path}: the column points is empty in all {len(table)} rows")
    partner = grade.partners(nbformat.read(course.notebook("release", name), as_version=4))
    with course.gradebook() as book:
        for number, row in rows:
            key = (name, name, row["student"])
            try:
                entry = book.find_grade(row["cell"], *key)
                points = float(row["points"].replace(",", "."))
            except Exception:
                raise TeachError(f"{path}, row {number}: no such cell, or no number") from None
            if not 0 <= points <= entry.max_score:
                raise TeachError(f"{path}, row {number}: {points:g} points of {entry.max_score:g}")
            if points != entry.auto_score or entry.needs_manual_grade:
                entry.manual_score, entry.needs_manual_grade = points, False
            if row.get("comment"):  # under a test nbgrader has no room: under what it tests
                names = {c.name for c in book.find_submission_notebook(*key).comments}
                cell = row["cell"] if row["cell"] in names else partner[row["cell"]]
                book.find_comment(cell, *key).manual_comment = row["comment"]
        book.db.commit()
    late.settle(course, name)
    return len(rows)
