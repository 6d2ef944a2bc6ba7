"""Seconds to grade one student: `vae-course teach grade` against plain `nbgrader autograde`.

    python -m benchmarks.grading

The same solved notebooks, in turn, medians. Processor seconds count everything that was started,
down to the kernels, so that they mean something beside other work. Linux, with ".[teach]".
"""

import argparse
import contextlib
import copy
import ctypes
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbgrader.api import Gradebook

ASSIGNMENTS = Path(__file__).resolve().parents[1] / "assignments"
ADOPT_ORPHANS = 36  # prctl's PR_SET_CHILD_SUBREAPER: else their seconds are lost


def measured(command: list[str], folder: Path) -> tuple[float, float]:
    r"""Wall and processor seconds of a command and of all that it started."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, text=True, capture_output=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    wall = time.monotonic() - start
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def solve(course: Path, name: str, students: int) -> None:
    r"""Hand in the released notebook with the source's solutions, for each student."""
    source, release = (
        nbformat.read(course / step / name / f"{name}.ipynb", 4) for step in ("source", "release")
    )
    solved = {c.metadata.nbgrader.grade_id: c.source for c in source.cells
              if c.metadata.get("nbgrader", {}).get("solution")}  # fmt: skip
    for number in range(students):
        mine = copy.deepcopy(release)
        for cell in mine.cells:
            cell.source = solved.get(cell.metadata.get("nbgrader", {}).get("grade_id"), cell.source)
        path = course / "submitted" / f"student{number}" / name / f"{name}.ipynb"
        path.parent.mkdir(parents=True)
        nbformat.write(mine, path)


def points(course: Path, name: str) -> list[float]:
    with Gradebook(f"sqlite:///{course / 'gradebook.db'}") as book:
        return [submission.score for submission in book.assignment_submissions(name)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--assignment", default="04_kl_loss")
    parser.add_argument("--students", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    name, students = arguments.assignment, arguments.students
    ctypes.CDLL(None).prctl(ADOPT_ORPHANS, 1, 0, 0, 0)
    os.environ |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ASSIGNMENTS.parent),
                   "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        ours, plain = Path(scratch, "ours"), Path(scratch, "plain")
        measured(["vae_course", "teach", "release", name, "--course", str(ours)], Path(scratch))
        solve(ours, name, students)
        for step in ("source", "submitted"):
            shutil.copytree(ours / step, plain / step)
        shutil.copy(ASSIGNMENTS / "nbgrader_config.py", plain)
        measured(["nbgrader", "generate_assignment", name, "--create"], plain)
        commands = {
            "plain": (["nbgrader", "autograde", name, "--create", "--force",
                       "--Execute.timeout=600"], plain),
            "ours": (["vae_course", "teach", "grade", name, "--again", "--course", "."], ours),
        }
        seconds: dict[str, list] = {which: [] for which in commands}
        for _ in range(arguments.rounds):
            for which, command in commands.items():
                seconds[which].append([x / students for x in measured(*command)])
                print(which, *(f"{x:.1f}" for x in seconds[which][-1]), flush=True)
        assert points(ours, name) == points(plain, name), "not the same work"
    load, cores = os.getloadavg()[0], len(os.sched_getaffinity(0))
    print(f"{name}, a student of {students}, median of {arguments.rounds}")
    print(f"{cores} cores, load {load:.0f}")
    for which, runs in seconds.items():
        wall, cpu = (statistics.median(column) for column in zip(*runs, strict=True))
        print(f"{which:6s} {cpu:6.1f} processor s {wall:6.1f} s")


if __name__ == "__main__":
    main()
