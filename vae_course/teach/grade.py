r"""`vae-course teach grade`: nbgrader's own run, one submission at a time, and advice beside it.

Points are nbgrader's alone. What an instructor should look at (a test cell that was changed, a
checker that was replaced, a function that only calls the course's own, an answer equal to another
student's) stands beside them, with the cell and the reason, and takes nothing away.
"""

from __future__ import annotations

import ast
import hashlib
import re
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbformat

from vae_course import __version__

from . import course as _course
from . import late, names, processes, release, restore
from .course import Course, TeachError
from .report import STATES

LIMITS = {"cell_seconds": 60, "notebook_seconds": 300, "memory_mb": 4000, "output_kb": 200}
ADVICE = "To look at (no points lost): "
_ENDS = ("KernelEnded", "NotRun", "CellTimeoutError")  # as `worker` names them
LONG = 150  # characters of an answer that two students don't write alike by chance
_BOOTSTRAP = "# Installs the course where it is missing"
_COLAB = re.compile(r"^(from|import) google\.colab", re.M)  # that nothing guards
_CHECKED = re.compile(r"\b(?:graded|checks)\.(?:check|answers)\(")
_SOLUTION = re.compile(
    r"^[^#\n]*\bchecks\.(solution\(|exercise\([^)]*\)\.(reference|solution)\b)", re.M
)


class Assignment:
    r"""What is the same for all submissions of one assignment."""

    def __init__(self, course: Course, name: str, known: dict[str, str]):
        source, path = course.notebook("source", name), course.notebook("release", name)
        if not source.exists() or not path.exists():
            raise TeachError(f"{name} is not released yet: vae-course teach release {name}")
        self.course, self.name, self.known = course, name, known
        with tempfile.TemporaryDirectory() as scratch:  # hidden tests may have changed since
            release.enter(course, name, Path(scratch))
        self.release = nbformat.read(path, as_version=4)
        files = sorted(p for p in source.parent.rglob("*") if p.is_file())
        self.source = hashlib.sha256(b"".join(p.read_bytes() for p in files)).hexdigest()
        self.everybody = {*course.students(name), *known.values()}
        self.imports, self.partner = [], partners(self.release)
        with course.gradebook() as book:
            self.tests = {
                c.source: c.name for c in book.find_notebook(name, name).source_cells if c.locked
            }
        for cell in self.release.cells:
            theirs = cell.cell_type == "code" and "nbgrader" not in cell.metadata
            if theirs and _BOOTSTRAP not in cell.source:
                self.imports += [ast.unparse(n) for n in ast.parse(cell.source).body
                                 if isinstance(n, ast.Import | ast.ImportFrom)]  # fmt: skip

    def record(self, student: str) -> dict[str, Any]:
        r"""An empty record: nothing earned, nothing said."""
        path = self.course.notebook("submitted", self.name, student)
        cells = {
            cell.metadata.nbgrader.grade_id: {
                "of": float(cell.metadata.nbgrader.points),
                "bonus": "-bonus-" in cell.metadata.nbgrader.grade_id,
                "verdicts": [],
            }
            for cell in self.release.cells
            if cell.metadata.get("nbgrader", {}).get("grade")
        }
        submission = hashlib.sha256(path.read_bytes()).hexdigest()
        return {"student": student, "submission": submission, "source": self.source,
                "version": __version__, "status": "graded", "problem": "", "says": None,
                "notes": [], "flags": [], "cells": cells}  # fmt: skip


def partners(release) -> dict[str, str]:
    r"""For each graded cell the solution that it is about: itself, or the last one above it."""
    found, solution = {}, ""
    for cell in release.cells:
        settings = cell.metadata.get("nbgrader", {})
        solution = settings.grade_id if settings.get("solution") else solution
        if settings.get("grade"):
            found[settings.grade_id] = solution
    return found


def grade(
    course: Course,
    name: str,
    *,
    students: list[str] | None = None,
    again: bool = False,
    jobs: int = 1,
    limits: dict[str, int] | None = None,
    known: dict[str, str] | None = None,
) -> Iterator[tuple[dict[str, Any], float]]:
    r"""Grade what is not graded yet; yields each record as it is done, with its seconds.

    Raises: TeachError if the assignment is not released, or the system can't grade.
    """
    processes.context()
    limits = LIMITS | (limits or {})
    assignment = Assignment(course, name, known or {})
    todo = [
        student
        for student in course.students(name)
        if (not students or student in students) and (again or _stale(assignment, student))
    ]
    lock = threading.Lock()
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        work = [pool.submit(_one, assignment, student, limits, lock) for student in todo]
        try:
            for future in work:
                yield future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    _comment(assignment)
    late.settle(course, name)


def _stale(assignment: Assignment, student: str) -> bool:
    r"""Not graded yet, or handed in again, or the assignment changed since."""
    old = assignment.course.record(assignment.name, student)
    new = assignment.record(student)
    same = ("submission", "source")
    return old is None or old["status"] == "failed" or any(old.get(k) != new[k] for k in same)


def _one(assignment: Assignment, student: str, limits, lock) -> tuple[dict[str, Any], float]:
    r"""Grade one submission and store everything; never raises for what a student did."""
    start = time.monotonic()
    record = assignment.record(student)
    path = assignment.course.notebook("autograded", assignment.name, student)
    root = Path(tempfile.mkdtemp(prefix="vae-course-"))
    path.unlink(missing_ok=True)
    try:
        _course.write(path, nbformat.writes(_run(assignment, student, record, limits, root)) + "\n")
    except restore.Unreadable as error:
        record |= {"status": "unreadable", "problem": str(error)}
    except Exception as error:
        record |= {"status": "failed", "problem": f"{type(error).__name__}: {error}"[:2000]}
    finally:
        shutil.rmtree(root, ignore_errors=True)
    if record["problem"]:
        with lock:
            _nothing(assignment, student)
    _course.write_json(assignment.course.record_path(assignment.name, student), record)
    return record, time.monotonic() - start


def _run(assignment: Assignment, student: str, record: dict, limits: dict, root: Path):
    r"""nbgrader's run of one submission; fills the record, returns the executed notebook."""
    course, name = assignment.course, assignment.name
    came = course.notebook("submitted", name, student)
    submitted = restore.read(came.read_bytes())
    record["says"] = restore.says_student(submitted)
    notebook, record["notes"], changed = restore.restore(submitted, assignment.release)
    _flag(record, changed, "the test was changed; the course's own ran in its place")
    target = root / "submitted" / student / name / came.name
    _course.write(target, nbformat.writes(notebook))
    if (stamp := came.with_name("timestamp.txt")).exists():
        shutil.copy(stamp, target.parent)
    executed = root / "autograded" / student / name / came.name
    who = _numbers_of(assignment, record)
    job = processes.surroundings(root, executed.parent, who, limits["memory_mb"]) | {
        "root": root,
        "limits": limits,
        "tests": assignment.tests,
        "imports": assignment.imports,
        "colab": any(_COLAB.search(cell.source) for cell in notebook.cells),
        "config": _course.nbgrader_config(
            course.folder, name, student,
            submitted_directory=root / "submitted", autograded_directory=root / "autograded",
        ),
    }  # fmt: skip
    for _ in range(2):  # a kernel that does not start is no student's fault
        why = processes.run(job, 8 * limits["notebook_seconds"] + 300)
        if not why and executed.exists():
            break
    else:
        log = root / "worker.log"
        said = log.read_text("utf-8", "replace")[-1000:] if log.exists() else ""
        raise TeachError(f"The notebook could not be run: {why or 'no notebook is left'}\n{said}")
    notebook = nbformat.read(executed, as_version=4)
    _look(record, notebook)
    return notebook


def _numbers_of(assignment: Assignment, record: dict) -> str:
    r"""Whose numbers count: those that the notebook was solved with, unless they are another's."""
    student, said = record["student"], (record["says"] or "").lower()
    person = assignment.known.get(names.key(said), said)
    if not said or person == student:
        return said or student
    if person in assignment.everybody:
        _flag(record, [""], f"the notebook says STUDENT = {said!r}, which is another student; "
                            f"graded with the numbers of {student!r}")  # fmt: skip
        return student
    record["notes"].append(f"the notebook says STUDENT = {said!r}, whom nobody knows; graded with "
                           "these numbers")  # fmt: skip
    return said


def _look(record: dict, notebook) -> None:
    r"""Take what the checker and the witness said out of the notebook and into the record."""
    from nbgrader.utils import determine_grade

    from . import witness

    seen = notebook.metadata.pop(witness.MIME, None)  # a student's code may have written it
    if not (isinstance(seen, dict) and isinstance(seen.get("seen"), dict)):
        seen = None
    ended = []
    for cell in notebook.cells:
        outputs = cell.get("outputs", [])
        ended += [o.evalue for o in outputs if o.get("ename") in _ENDS]
        said = [verdict for verdict in witness.messages(cell) if _well_formed(verdict)]
        for output in [o for o in outputs if witness.MIME in o.get("data", {})]:
            outputs.remove(output)
        settings = cell.metadata.get("nbgrader", {})
        if restore.is_test(cell):
            name = settings.grade_id
            record["cells"][name]["verdicts"] = said or [_verdict(cell, determine_grade(cell)[0])]
            silent = _CHECKED.search(cell.source) and not said
            if silent and not ended and determine_grade(cell)[0]:
                _flag(record, [name], "it gave points, but the course's checker said nothing")
        elif cell.cell_type == "code" and _SOLUTION.search(cell.source):
            _flag(record, [settings.get("grade_id", "")], "a cell asks for the course's solution")
    record["notes"] += list(dict.fromkeys(ended))[:1]
    if seen is None and not ended:
        _flag(record, [""], "the course's witness in the kernel was switched off")
    for test, reasons in (seen or {"seen": {}})["seen"].items():
        for reason in reasons:
            _flag(record, [test], str(reason))
    if seen and seen.get("replaced"):
        some = ", ".join(map(str, seen["replaced"][:4]))
        _flag(record, [""], f"replaced in the checker, and put back before each test: {some}")


def _well_formed(verdict: Any) -> bool:
    r"""Is it what the checker displays? A student's code can display anything."""
    if not isinstance(verdict, dict) or not isinstance(verdict.get("mistake", 0), str | None):
        return False
    texts = [verdict.get(key) for key in ("exercise", "hint", "status")]
    return all(isinstance(text, str) for text in texts) and verdict["status"] in STATES


def _flag(record: dict, cells: list[str], reason: str) -> None:
    for cell in cells:
        if {"cell": cell, "reason": reason} not in record["flags"]:
            record["flags"].append({"cell": cell, "reason": reason})


def _verdict(cell, points: float) -> dict[str, Any]:
    r"""What a test of plain asserts said, in the form of the checker's verdicts."""
    errors = [o for o in cell.outputs if o.output_type == "error"]
    text = "".join(o.get("text", "") for o in cell.outputs)
    status, mistake, hint = "passed" if points else "wrong", None, ""
    if "not attempted yet" in text:
        status = "not attempted"
    elif errors and errors[0].ename == "AssertionError":
        hint = errors[0].evalue.partition("\n")[0]
        mistake = hint[:60] or None
    elif errors:
        status, hint = "error", f"{errors[0].ename}: {errors[0].evalue}".partition("\n")[0]
    exercise = cell.metadata.nbgrader.grade_id.removeprefix("test-")
    return {"exercise": exercise, "status": status, "mistake": mistake, "hint": hint}


def twins(course: Course, name: str) -> dict[str, dict[str, str]]:
    r"""Long answers that are equal to the letter: student → cell → with whom."""
    path = course.notebook("release", name)
    printed = {line.strip() for c in nbformat.read(path, as_version=4).cells
               for line in c.source.splitlines()}  # fmt: skip
    answers: dict[tuple[str, str], list[str]] = {}
    for student in course.students(name):
        path = course.notebook("autograded", name, student)
        for cell in nbformat.read(path, as_version=4).cells if path.exists() else []:
            settings = cell.metadata.get("nbgrader", {})
            own = "\n".join(x for x in cell.source.splitlines() if x.strip() not in printed)
            if settings.get("solution") and len("".join(own.split())) >= LONG:
                answers.setdefault((settings.grade_id, own), []).append(student)
    found: dict[str, dict[str, str]] = {}
    for (cell, _), students in answers.items():
        for student in students if len(students) > 1 else []:
            others = [other for other in students if other != student]
            more = f" and {len(others) - 3} more" if len(others) > 3 else ""
            reason = f"equal to the letter to the answer of {', '.join(others[:3])}{more}"
            found.setdefault(student, {})[cell] = reason
    return found


def advice(course: Course, name: str) -> dict[str, list[dict[str, str]]]:
    r"""What to look at, by student: each with its cell ('' for the whole notebook) and reason."""
    equal = twins(course, name)
    found = {}
    for student in course.students(name):
        flags = list((course.record(name, student) or {"flags": []})["flags"])
        flags += [{"cell": c, "reason": r} for c, r in equal.get(student, {}).items()]
        if flags:
            found[student] = flags
    return found


def _comment(assignment: Assignment) -> None:
    r"""Put the advice into the gradebook as comments, which the formgrader shows."""
    name, first = assignment.name, next(iter(assignment.partner.values()))
    found = advice(assignment.course, name)
    with assignment.course.gradebook() as book:
        for submission in book.assignment_submissions(name):
            flags, texts = found.get(submission.student_id, []), {}
            for flag in flags:
                cell = assignment.partner.get(flag["cell"], flag["cell"]) or first
                about = f"{flag['cell']}: " if flag["cell"] else ""
                texts.setdefault(cell, []).append(about + flag["reason"])
            for comment in submission.notebooks[0].comments:
                if comment.name in texts:
                    comment.auto_comment = ADVICE + "; ".join(texts[comment.name])
                elif (comment.auto_comment or "").startswith(ADVICE):
                    comment.auto_comment = None
            for entry in submission.notebooks[0].grades:
                if entry.manual_score is None and entry.name in {flag["cell"] for flag in flags}:
                    entry.needs_manual_grade = True
        book.db.commit()


def _nothing(assignment: Assignment, student: str) -> None:
    r"""In the gradebook: a file came that could not be run, and nothing is earned so far."""
    with assignment.course.gradebook() as book:
        name = assignment.name
        book.update_or_create_student(student)
        when = assignment.course.handed_in(name, student)
        book.update_or_create_submission(name, student, timestamp=when)
        for entry in book.find_submission_notebook(name, name, student).grades:
            entry.auto_score, entry.needs_manual_grade = 0.0, False
        book.db.commit()
