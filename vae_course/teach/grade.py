r"""`vae-course teach grade`: each submission by itself, twice, and the smaller score counts."""

from __future__ import annotations

import ast
import hashlib
import json
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

from . import _course, children, gradebook, release, restore
from ._course import Course, TeachError

LIMITS = {"cell_seconds": 60, "notebook_seconds": 300, "memory_mb": 4000, "output_kb": 200}
BOOTSTRAP = "# Installs the course where it is missing"


class Assignment:
    r"""What is the same for all submissions of one assignment."""

    def __init__(self, course: Course, name: str, scratch: Path):
        source = course.notebook("source", name)
        if not source.exists() or not course.notebook("release", name).exists():
            raise TeachError(f"{name} is not released yet: vae-course teach release {name}")
        self.course, self.name = course, name
        self.empty = scratch / "empty"
        release.empty_course(source, name, self.empty)
        self.master = restore.master(source)
        self.source = hashlib.sha256(source.read_bytes()).hexdigest()
        self.cells = {
            c.metadata.nbgrader.grade_id: c
            for c in self.master.cells
            if c.metadata.get("nbgrader", {}).get("grade")
        }
        self.imports = _imports(self.master)

    def record(self, student: str) -> dict[str, Any]:
        r"""An empty record: nothing earned, nothing said."""
        path = self.course.notebook("submitted", self.name, student)
        cells = {
            name: {
                "of": float(cell.metadata.nbgrader.points),
                "bonus": "-bonus-" in name,
                "written": bool(cell.metadata.nbgrader.solution),
                "points": 0.0,
            }
            for name, cell in self.cells.items()
        }
        return {
            "student": student,
            "assignment": self.name,
            "submission": hashlib.sha256(path.read_bytes()).hexdigest(),
            "source": self.source,
            "version": __version__,
            "status": "graded",
            "problem": "",
            "says": None,
            "found": [],
            "review": [],
            "cells": cells,
        }


def _imports(master) -> str:
    r"""The import statements of the assignment's own cells."""
    lines = []
    for cell in master.cells:
        if cell.cell_type == "code" and "nbgrader" not in cell.metadata:
            if cell.source.startswith(BOOTSTRAP):
                continue
            body = ast.parse(cell.source).body
            lines += [ast.unparse(n) for n in body if isinstance(n, ast.Import | ast.ImportFrom)]
    return "\n".join(lines)


def grade(
    course: Course,
    name: str,
    *,
    students: list[str] | None = None,
    again: bool = False,
    jobs: int = 1,
    limits: dict[str, int] | None = None,
) -> Iterator[tuple[dict[str, Any], float]]:
    r"""Grade what is not graded yet; yields each record as it is done, with its seconds.

    Raises: TeachError if the assignment is not released, or the system can't grade.
    """
    children.context()
    limits = LIMITS | (limits or {})
    with tempfile.TemporaryDirectory(prefix="vae-course-") as folder:
        assignment = Assignment(course, name, Path(folder))
        todo = [
            student
            for student in course.students(name)
            if (not students or student in students) and (again or _stale(assignment, student))
        ]
        lock = threading.Lock()
        with ThreadPoolExecutor(max_workers=jobs) as pool:
            work = [pool.submit(_one, assignment, s, limits, lock) for s in todo]
            try:
                for future in work:
                    yield future.result()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise


def _stale(assignment: Assignment, student: str) -> bool:
    r"""Not graded yet, or handed in again, or the assignment changed since."""
    old = assignment.course.record(assignment.name, student)
    new = assignment.record(student)
    same = ("submission", "source")
    return old is None or old["status"] == "failed" or any(old.get(k) != new[k] for k in same)


def _one(assignment: Assignment, student: str, limits, lock) -> tuple[dict[str, Any], float]:
    r"""Grade one submission and store everything; never raises for what a student did."""
    start = time.monotonic()
    record, notebook = assignment.record(student), None
    scratch = Path(tempfile.mkdtemp(prefix="vae-course-"))
    try:
        notebook = _run(assignment, student, record, limits, scratch)
    except restore.Unreadable as error:
        record |= {"status": "unreadable", "problem": str(error)}
    except Exception as error:
        record |= {"status": "failed", "problem": f"{type(error).__name__}: {error}"[:2000]}
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if record["problem"]:
        record["review"].append(record["problem"])
    with lock:
        path = assignment.course.notebook("autograded", assignment.name, student)
        if notebook is None:
            path.unlink(missing_ok=True)
        else:
            _course.write(path, nbformat.writes(notebook) + "\n")
        gradebook.store(assignment.course, record, notebook)
        _course.write_json(assignment.course.record_path(assignment.name, student), record)
    return record, time.monotonic() - start


def _run(assignment: Assignment, student: str, record: dict, limits: dict, scratch: Path):
    r"""Both gradings of one submission; fills the record, returns the executed notebook."""
    submitted = restore.read(assignment.course.notebook("submitted", assignment.name, student))
    record["says"] = restore.says_student(submitted)
    notebook, record["found"] = restore.restore(submitted, assignment.master)
    root = scratch / "course"
    target = root / "submitted" / student / assignment.name / f"{assignment.name}.ipynb"
    target.parent.mkdir(parents=True)
    nbformat.write(notebook, target)
    shutil.copy(assignment.empty / "gradebook.db", root)
    around = children.surroundings(root, assignment.name, student, limits)
    job = {"root": root, "name": assignment.name, "student": student, "limits": limits}
    seconds = limits["notebook_seconds"]
    start = 300 + 90  # the most that a kernel may take to start and to be ended
    for _ in range(2):  # a kernel that does not start is no student's fault
        sent, why = children.ask("execute", job | around, seconds + start)
        if sent == b"":
            break
    executed = root / "autograded" / student / assignment.name / f"{assignment.name}.ipynb"
    if sent is None or sent or not executed.exists():
        log = root / "worker.log"
        said = why or (sent or b"").decode() or "nbgrader left no notebook"
        said += "\n" + (log.read_text("utf-8", "replace")[-1000:] if log.exists() else "")
        record |= {"status": "failed", "problem": f"The notebook could not be run: {said}"}
        return None
    checked, why = _checked(assignment, notebook, student, around, limits)
    notebook = nbformat.read(executed, as_version=4)
    _settle(record, notebook, checked, why)
    return notebook


def _checked(assignment, notebook, student, around, limits) -> tuple[dict | None, str]:
    cells = []
    for cell in notebook.cells:
        settings = cell.metadata.get("nbgrader", {})
        if cell.cell_type != "code" or cell.source.startswith(BOOTSTRAP):
            continue
        name = settings.get("grade_id", "") if settings.get("grade") else ""
        source = assignment.cells[name].source if name else cell.source
        points = assignment.cells[name].metadata.nbgrader.points if name else 0
        cells.append({"source": source, "test": name, "points": float(points)})
    job = {
        "cells": cells,
        "imports": assignment.imports,
        "seed": f"{assignment.course.secret()} {student}",
        "cell_seconds": limits["cell_seconds"],
    }
    sent, why = children.ask("check", job | around, limits["notebook_seconds"])
    try:
        return (json.loads(sent), "") if sent else (None, why or "it sent nothing")
    except ValueError:
        return None, "it sent something else than a result"


def _settle(record: dict, notebook, checked: dict | None, why: str) -> None:
    r"""The smaller of the two scores, and what the instructor should look at."""
    kernel, review = gradebook.kernel_points(notebook), record["review"]
    if checked is None:
        review.append(f"the independent check did not finish: {why}")
        checked = {"tests": {}, "tampered": [], "refused": [], "objections": [], "errors": {}}
    if checked["tampered"]:
        review.append("replaced: " + ", ".join(checked["tampered"][:5]))
    review += [f"a cell {sentence}" for sentence in checked["objections"]]
    review += checked["refused"]
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    ended = [o for o in outputs if o.get("ename") in gradebook.STOPPED]
    reasons = [o.evalue for o in ended if o.ename != "NotRun"] or [o.evalue for o in ended[:1]]
    review += list(dict.fromkeys(reasons))[:3]
    for name, entry in record["cells"].items():
        if entry["written"]:
            continue
        ours = checked["tests"].get(name, {"points": 0.0, "why": why, "verdicts": []})
        entry["kernel"], entry["check"] = kernel.get(name, 0.0), ours["points"]
        entry["verdicts"], entry["why"] = ours["verdicts"], ours["why"]
        entry["points"] = 0.0 if checked["tampered"] else min(entry["kernel"], entry["check"])
        own = [v for v in entry["verdicts"] if v["mistake"] == "not-own-work"]
        review += [f"{name}: {v['hint']}" for v in own]
        if abs(entry["kernel"] - entry["check"]) > 1e-6:
            reason = f" ({ours['why']})" if ours["why"] else ""
            review.append(
                f"{name}: {entry['kernel']:g} points in the notebook, {entry['check']:g} in the "
                f"independent check{reason}"
            )
        if entry["kernel"] > entry["points"]:
            gradebook.note(notebook, name, _told(entry, checked))


def _told(entry: dict, checked: dict) -> str:
    r"""What the student reads under a test cell whose points were not all counted."""
    reason = entry["why"] or ("something was replaced" if checked["tampered"] else "they differ")
    hints = " ".join(v["hint"] for v in entry["verdicts"] if v["status"] != "passed")
    return (
        f"Counted: {entry['points']:g} of {entry['of']:g}. A second, independent check came to "
        f"another result: {reason} {hints} Your instructor will look at it."
    )


