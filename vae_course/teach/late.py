r"""Due dates, extensions and penalties: kept in dates.json, reckoned into nbgrader's gradebook."""

from __future__ import annotations

import math
from datetime import datetime, timedelta

from .course import Course, TeachError, read_json, write_json


def set_dates(
    course: Course,
    name: str,
    due: str | None,
    penalty: float | None,
    extensions: list[str],
    late: list[str],
) -> None:
    r"""Keep what was given; what was not given stays. Raises: TeachError for no date or number.

    `extensions` and `late` are STUDENT=DAYS. Days late that are given count, not the clock's.
    """
    path = course.folder / "dates.json"
    dates = read_json(path) or {}
    mine = dates.setdefault(name, {"due": None, "percent_a_day": 0, "extensions": {}})
    if due is not None:
        try:
            mine["due"] = datetime.fromisoformat(due).isoformat(" ")
        except ValueError:
            raise TeachError(f"--due {due!r}: expected is, say, 2026-02-06T23:59") from None
    if penalty is not None:
        mine["percent_a_day"] = penalty
    for key, texts in (("extensions", extensions), ("late", late)):
        for text in texts:
            student, _, days = text.partition("=")
            if not days.replace(".", "", 1).isdigit():
                raise TeachError(f"{text!r}: expected is STUDENT=DAYS, as in aberg7=3")
            mine.setdefault(key, {})[student] = float(days)
    if due is not None or penalty is not None or extensions or late:
        write_json(path, dates)


def settle(course: Course, name: str) -> dict[str, float]:
    r"""Enter dates and penalties into the gradebook; returns the days late of each student.

    The penalty is a share of the points earned so far for each day begun, so this is done anew
    whenever points change.
    """
    mine = (read_json(course.folder / "dates.json") or {}).get(name)
    days: dict[str, float] = {}
    if not mine or not (course.folder / "gradebook.db").exists():
        return days
    with course.gradebook() as book:
        book.find_assignment(name).duedate = mine["due"] and datetime.fromisoformat(mine["due"])
        for submission in book.assignment_submissions(name):
            student = submission.student_id
            extension = mine["extensions"].get(student)
            submission.extension = timedelta(days=extension) if extension else None
            by_clock = submission.total_seconds_late / 86400
            days[student] = mine.get("late", {}).get(student, by_clock)
            share = min(1.0, mine["percent_a_day"] / 100 * math.ceil(days[student]))
            for notebook in submission.notebooks:
                notebook.late_submission_penalty = round(share * notebook.score, 4) or None
        book.db.commit()
    return days
