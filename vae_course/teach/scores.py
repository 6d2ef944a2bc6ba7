r"""`vae-course teach scores`: tables of points, and of mistakes, from the records and gradebook."""

from __future__ import annotations

import csv
import io
from collections import Counter
from typing import Any

from . import _course, gradebook
from ._course import Course

STATES = ("solved", "not attempted", "error in the code", "wrong, not recognised")


def table(course: Course, name: str, roster: list[str] = ()) -> list[dict[str, Any]]:
    r"""A row a student: points of each cell, in all, of the bonus, what is pending or to look at.

    `roster` adds those who handed in nothing. Points given by hand count.
    """
    rows = []
    students = sorted({*course.students(name), *roster})
    for student in students:
        record = course.record(name, student)
        if record is None:
            there = course.notebook("submitted", name, student).exists()
            status = "not graded yet" if there else "nothing handed in"
            rows.append({"student": student, "assignment": name, "status": status})
            continue
        points = gradebook.by_hand(course, name, student)
        cells = record["cells"]
        pending = [c for c in cells if cells[c]["written"] and points.get(c) is None]
        sums = {True: 0.0, False: 0.0}
        for cell, entry in cells.items():
            sums[entry["bonus"]] += points.get(cell) or 0.0
        rows.append(
            {
                "student": student,
                "assignment": name,
                "status": record["status"],
                "handed_in": gradebook.handed_in(course, name, student) or "",
                "points": round(sums[False], 4),
                "of": sum(e["of"] for e in cells.values() if not e["bonus"]),
                "bonus": round(sums[True], 4),
                "pending": " ".join(pending),
                "review": "; ".join(record["review"]),
                "notes": "; ".join([*record["found"], *_identity(record)]),
                **{cell: "" if points.get(cell) is None else points[cell] for cell in cells},
            }
        )
    return rows


def _identity(record: dict[str, Any]) -> list[str]:
    from vae_course.checks.graded import EXAMPLE

    said, student = record["says"], record["student"]
    if not said or said in (EXAMPLE, student):
        return []
    return [f"the notebook says STUDENT = {said!r}; graded with the numbers of {student!r}"]


def outcomes(course: Course, name: str) -> dict[str, dict[str, Counter]]:
    r"""For each exercise and question: how many students did what (a state), and which mistakes."""
    found: dict[str, dict[str, Counter]] = {}
    for student in course.students(name):
        record = course.record(name, student)
        for entry in (record or {"cells": {}})["cells"].values():
            for verdict in entry.get("verdicts", []):
                counts = found.setdefault(
                    verdict["exercise"], {"states": Counter(), "mistakes": Counter()}
                )
                mistakes = (verdict["mistake"] or "").split("+") if verdict["mistake"] else []
                counts["mistakes"].update(mistakes)
                if not mistakes:
                    counts["states"][_STATE[verdict["status"]]] += 1
    return found


_STATE = {
    "passed": "solved",
    "not attempted": "not attempted",
    "error": "error in the code",
    "wrong": "wrong, not recognised",
}


def mistake_rows(course: Course, name: str) -> list[dict[str, Any]]:
    r"""The mistakes of an assignment, the most frequent first, each with its hint."""
    rows = []
    for exercise, counts in outcomes(course, name).items():
        for kind in ("states", "mistakes"):
            for what, students in counts[kind].items():
                hint = _hint(exercise, what) if kind == "mistakes" else ""
                rows.append(
                    {"exercise": exercise, "outcome": what, "students": students, "hint": hint}
                )
    return sorted(rows, key=lambda r: (not r["hint"], -r["students"], r["exercise"], r["outcome"]))


def _hint(exercise: str, mistake: str) -> str:
    r"""The catalogue's sentence for a mistake or property; for questions, that of the slip."""
    from vae_course import checks
    from vae_course.checks import variants

    name = exercise.partition(" · ")[0]
    if " · " in exercise:
        known = variants.question(name).slips
    else:
        chosen = checks.exercise(name)
        known = (*chosen.mistakes, *chosen.properties)
    hints = [each.hint for each in known if each.name == mistake]
    return hints[0] if hints else _GENERAL.get(mistake, "")


_GENERAL = {
    "not-own-work": "The course's own function was called or handed in.",
    "edits-its-input": "The function changes its argument in place.",
}


def to_csv(rows: list[dict[str, Any]]) -> str:
    r"""Rows as CSV text, with all columns that any row has."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows({k: _safe(v) for k, v in row.items()} for row in rows)
    return text.getvalue()


def _safe(value: Any) -> Any:
    r"""No text that a spreadsheet would take for a formula."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return value


def write_all(course: Course, name: str, roster: list[str] = ()) -> list[dict[str, Any]]:
    r"""scores/NAME.csv, NAME-mistakes.csv, NAME-mistakes.png and NAME.html; returns the rows."""
    from . import report

    folder = course.folder / "scores"
    rows = table(course, name, roster)
    _course.write(folder / f"{name}.csv", to_csv(rows))
    mistakes = mistake_rows(course, name)
    columns = mistakes or [{"exercise": "", "outcome": "", "students": "", "hint": ""}]
    _course.write(folder / f"{name}-mistakes.csv", to_csv(columns))
    graded = sum(row["status"] == "graded" for row in rows)
    picture, alt = report.picture(outcomes(course, name), graded, name)
    _course.write(folder / f"{name}-mistakes.png", picture)
    _course.write(folder / f"{name}.html", report.page(name, rows, mistakes, alt))
    return rows
