r"""`vae-course teach scores`: tables of points, and of mistakes, from the records and gradebook."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Any

from . import collect, grade, late, names
from . import course as _course
from .course import Course, TeachError


def table(course: Course, name: str, students: list[str], people: dict | None = None,
          advice: dict | None = None) -> list[dict[str, Any]]:  # fmt: skip
    r"""A row a student: names, points, the bonus, what is late, pending or to look at, each cell.

    Points given by hand count. By student, `people` has further columns, `advice` what to look at.
    """
    from nbgrader.api import MissingEntry

    rows = []
    days = late.settle(course, name)
    with course.gradebook() as book:
        for student in students:
            row = {"student": student, **(people or {}).get(student, {}), "assignment": name}
            rows.append(row)
            record = course.record(name, student)
            try:
                entry = book.find_submission_notebook(name, name, student)
            except MissingEntry:
                entry = None
            if record is None or entry is None:
                there = course.notebook("submitted", name, student).exists()
                row["status"] = "not graded yet" if there else "nothing handed in"
                continue
            cells, sums = record["cells"], Counter()
            given = {g.name: (g.manual_score if g.manual_score is not None else g.auto_score,
                              g.extra_credit or 0.0) for g in entry.grades}  # fmt: skip
            for cell, settings in cells.items():
                of = "bonus" if settings["bonus"] else "points"
                sums[of] += (given[cell][0] or 0.0) + given[cell][1]
                sums["of_" + of] += settings["of"]
            penalty = entry.late_submission_penalty or 0.0
            row |= {
                "status": record["status"],
                "handed_in": course.handed_in(name, student) or "",
                "points": round(sums["points"], 4),
                "of": sums["of_points"],
                "bonus": round(sums["bonus"], 4),
                "of_bonus": sums["of_bonus"],
                "days_late": round(days.get(student, 0.0), 2) or "",
                "penalty": penalty or "",
                "total": round(sums["points"] + sums["bonus"] - penalty, 4),
                "pending": " ".join(c for c in cells if given[c][0] is None),
                "review": "; ".join(
                    [*filter(None, [record["problem"].partition("\n")[0]])]
                    + [": ".join(filter(None, (f["cell"], f["reason"])))
                       for f in (advice or {}).get(student, [])]
                ),
                "notes": "; ".join(record["notes"]),
                **{c: "" if given[c][0] is None else sum(given[c]) for c in cells},
            }  # fmt: skip
    return rows


def words(row: dict[str, Any]) -> str:
    r"""One row's points as every page and every message gives them."""
    if row["status"] != "graded":
        return row["status"]
    said = f"{row['points']:g} of {row['of']:g} points"
    if row["of_bonus"]:
        said += f", bonus {row['bonus']:g} of {row['of_bonus']:g}"
    if row["penalty"]:
        days = "day" if row["days_late"] == 1 else "days"
        said += f", {row['penalty']:g} off for {row['days_late']:g} {days} late"
    waiting = len(row["pending"].split())
    return said + (f", {waiting} still to be read by a person" if waiting else "")


def outcomes(course: Course, name: str) -> list[dict[str, Any]]:
    r"""A row for each exercise and what came of it: how many students, and what they read."""
    from .report import STATES

    counts: Counter = Counter()
    hints: dict[tuple[str, str], str] = {}
    for student in course.students(name):
        record = course.record(name, student) or {"cells": {}}
        for verdict in [v for c in record["cells"].values() for v in c["verdicts"]]:
            mistakes = (verdict["mistake"] or "").split("+") if verdict["mistake"] else []
            for what in mistakes or [STATES[verdict["status"]]]:
                counts[verdict["exercise"], what] += 1
                if mistakes:
                    hints.setdefault((verdict["exercise"], what), verdict["hint"])
    rows = [
        {"exercise": exercise, "outcome": what, "students": number,
         "hint": hints.get((exercise, what), "")}
        for (exercise, what), number in counts.items()
    ]  # fmt: skip
    return sorted(rows, key=lambda r: (not r["hint"], -r["students"], r["exercise"], r["outcome"]))


def write_all(course: Course, name: str, people: dict[str, dict[str, str]]) -> list[dict[str, Any]]:
    r"""scores/NAME.csv, NAME-mistakes.csv, NAME-mistakes.png and NAME.html; returns the rows."""
    from . import report

    folder = course.folder / "scores"
    everybody = sorted({*course.students(name), *people})
    rows = table(course, name, everybody, people, grade.advice(course, name))
    _course.write(folder / f"{name}.csv", _course.table_text(rows))
    found = outcomes(course, name)
    _course.write(folder / f"{name}-mistakes.csv", _course.table_text(found))
    picture, alt = report.picture(found, sum(row["status"] == "graded" for row in rows), name)
    _course.write(folder / f"{name}-mistakes.png", picture)
    _course.write(folder / f"{name}.html", report.page(name, rows, found, alt))
    return rows


def fill_in(course: Course, name: str, rows: list[dict], known: dict[str, str], sheet: Path,
            column: str | None) -> tuple[Path, int]:  # fmt: skip
    r"""A platform's own grade table with our totals in it, in scores/; returns it and how many.

    Raises: TeachError if no column can be meant.
    """
    lines, separator = _course.read_table(sheet)
    columns = list(lines[0]) if lines else []
    likely = [c for c in columns if name in c] + [
        c for c in columns if c.lower() in ("grade", "bewertung", "note", "score")
    ] + [c for c in columns if c.startswith(name.split("_")[0])]  # fmt: skip
    into = column or next(iter(likely), None)
    if into not in columns:
        raise TeachError(f"{sheet}: which column? --column NAME, one of {', '.join(columns)}")
    people = {}
    for student, file in collect.came_as(course, name).items():
        people[names.origin(PurePosixPath(file), name).person] = student
    totals, entered = {row["student"]: row.get("total") for row in rows}, 0
    plain = {re.sub(r"[\W_]", "", student): student for student in totals}
    for line in lines:
        values = [v for v in line.values() if v.strip()]
        numbers = [v.rpartition(" ")[2] for v in values]
        found = [known.get(names.key(v)) for v in values] + [people.get(n) for n in numbers]
        found += [plain.get(re.sub(r"[\W_]", "", names.key(v))) for v in values]
        student = next((s for s in found if s), None)
        if student is not None and totals.get(student) is not None:
            text = f"{totals[student]:g}"
            line[into] = text.replace(".", ",") if separator == ";" else text
            entered += 1
    path = course.folder / "scores" / f"{name}-{sheet.stem}.csv"
    _course.write(path, "\ufeff" + _course.table_text(lines, separator, as_it_came=True))
    return path, entered
