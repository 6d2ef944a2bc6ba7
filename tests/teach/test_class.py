"""A class hands in: everybody is graded or reported, and nobody gains what was not earned.

The ordinary run grades a few; `python -m pytest tests/teach -m whole_class -n 0` all of them.
"""

import copy
import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys

import nbformat
import pytest
import tiny
from the_class import STUDENTS

from teach_tools import teach

QUICK = [name for name, student in STUDENTS.items() if student.quick]


def snapshot(*folders):
    return {
        path: hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


class Graded:
    """A course folder in which a class was graded."""

    def __init__(self, root, names):
        self.course, self.names = root / "course", names
        outside, source, scratch = root / "outside", root / "source", root / "tmp"
        for folder in (outside, scratch):
            folder.mkdir()
        (outside / "kept.txt").write_text("kept")
        path = source / tiny.NAME / f"{tiny.NAME}.ipynb"
        path.parent.mkdir(parents=True)
        nbformat.write(tiny.source(), path)
        teach("release", tiny.NAME, "--source", source, course=self.course)
        release = nbformat.read(self.course / "release" / tiny.NAME / path.name, as_version=4)
        for name in names:
            file = self.course / "submitted" / name / tiny.NAME / path.name
            file.parent.mkdir(parents=True)
            file.write_bytes(STUDENTS[name].hand_in(release, outside))
        watched = [outside, source, *(self.course / f for f in ("source", "release", "submitted"))]
        self.before = snapshot(*watched)
        jobs = str(min(2, os.cpu_count() or 1))
        self.printed = teach(
            "grade", tiny.NAME, "--jobs", jobs, "--cell-seconds", "30", "--notebook-seconds",
            "100", course=self.course, env=os.environ | {"TMPDIR": str(scratch)},
        ).stdout  # fmt: skip
        self.after = snapshot(*watched)
        kept = "torchinductor"  # torch's own empty cache folder, made when the grader loads it
        self.left = [path for path in scratch.iterdir() if not path.name.startswith(kept)]
        teach("feedback", tiny.NAME, course=self.course)
        teach("scores", tiny.NAME, course=self.course)
        with (self.course / "scores" / f"{tiny.NAME}.csv").open(encoding="utf-8") as rows:
            self.rows = {row["student"]: row for row in csv.DictReader(rows)}

    def record(self, name):
        return json.loads((self.course / "graded" / tiny.NAME / f"{name}.json").read_text("utf-8"))

    def feedback(self, name):
        page = self.course / "feedback" / name / tiny.NAME / f"{tiny.NAME}.html"
        return page.read_text("utf-8")


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    return Graded(tmp_path_factory.mktemp("few"), QUICK)


@pytest.fixture(scope="module")
def everybody(tmp_path_factory):
    return Graded(tmp_path_factory.mktemp("all"), list(STUDENTS))


@pytest.fixture
def own(few, tmp_path):
    """The few in a course folder of the test's own, for tests that change it."""
    own = copy.copy(few)
    own.course = shutil.copytree(few.course, tmp_path / "course")
    return own


def judge(graded, name):
    student, row, record = STUDENTS[name], graded.rows[name], graded.record(name)
    points = {cell: float(row[cell]) for cell in student.deserves}
    assert points == pytest.approx(student.deserves, abs=1e-3), json.dumps(record, indent=1)
    told = " ".join([row["review"], row["notes"], record["problem"]])
    for words in student.reads:
        assert words in told
    assert name in graded.printed and len(graded.feedback(name)) > 300


@pytest.mark.parametrize("name", QUICK)
def test_a_few(few, name):
    judge(few, name)


@pytest.mark.whole_class
@pytest.mark.parametrize("name", STUDENTS)
def test_everybody(everybody, name):
    judge(everybody, name)


def unharmed(graded):
    assert graded.before == graded.after
    assert graded.left == []
    listed = {path.parent.parent.name for path in graded.course.glob("autograded/*/*/*")}
    assert listed <= set(graded.names)


def test_nothing_outside_was_touched(few):
    unharmed(few)


@pytest.mark.whole_class
def test_nothing_outside_was_touched_by_anybody(everybody):
    unharmed(everybody)


def test_feedback_holds_the_hint(few):
    page = "".join(few.feedback("sign").replace("│", "").split())
    assert "Thesigniswrong" in page
    assert "Traceback (most recent" not in few.feedback("sign")


def test_written_answer_waits_until_it_is_graded_by_hand(own):
    assert own.rows["perfect"]["pending"] == "written-why"
    assert own.rows["unfilled"]["pending"] == ""
    teach("marks", tiny.NAME, course=own.course)
    table = own.course / "scores" / f"{tiny.NAME}-written.csv"
    with table.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        if row["student"] == "perfect":
            row |= {"points": "4,5", "comment": "Well said."}
    filled = table.with_name("filled.csv")
    with filled.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    teach("marks", tiny.NAME, filled, course=own.course)
    teach("scores", tiny.NAME, course=own.course)
    teach("feedback", tiny.NAME, "perfect", course=own.course)
    text = (own.course / "scores" / f"{tiny.NAME}.csv").read_text("utf-8")
    row = next(r for r in csv.DictReader(text.splitlines()) if r["student"] == "perfect")
    assert row["written-why"] == "4.5" and row["pending"] == ""
    assert float(row["points"]) == 15.5 and float(row["bonus"]) == 2
    assert "Well said." in own.feedback("perfect")


def test_a_second_grading_leaves_everything_as_it_is(few):
    before = snapshot(few.course / "graded", few.course / "autograded")
    assert "0 graded" in teach("grade", tiny.NAME, course=few.course).stdout
    assert snapshot(few.course / "graded", few.course / "autograded") == before


def test_a_changed_submission_is_graded_anew(own):
    path = own.course / "submitted" / "unfilled" / tiny.NAME / f"{tiny.NAME}.ipynb"
    path.write_bytes(b"changed")
    printed = teach("grade", tiny.NAME, course=own.course).stdout
    assert "unfilled: unreadable" in printed and "1 graded" in printed


def nbgrader(*arguments, cwd, exchange):
    command = [sys.executable, "-m", "nbgrader", *arguments, f"--Exchange.root={exchange}"]
    command.append(f"--Exchange.cache={exchange.parent / 'cache'}")
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr


@pytest.mark.whole_class
def test_nbgraders_exchange_works_from_the_course_folder(tmp_path):
    """As on JupyterHub: released, fetched, handed in, collected, graded, returned, read."""
    course, home, exchange = tmp_path / "course", tmp_path / "home", tmp_path / "exchange"
    for folder in (home, exchange):
        folder.mkdir()
    exchange.chmod(0o777)
    path = tmp_path / "source" / tiny.NAME / f"{tiny.NAME}.ipynb"
    path.parent.mkdir(parents=True)
    nbformat.write(tiny.source(), path)
    teach("release", tiny.NAME, "--source", tmp_path / "source", course=course)
    nbgrader("release_assignment", tiny.NAME, cwd=course, exchange=exchange)
    for step in ("fetch_assignment", "submit"):
        nbgrader(step, tiny.NAME, "--course", "vae", cwd=home, exchange=exchange)
    nbgrader("collect", tiny.NAME, cwd=course, exchange=exchange)
    for step in ("grade", "feedback"):
        teach(step, tiny.NAME, course=course)
    nbgrader("release_feedback", tiny.NAME, cwd=course, exchange=exchange)
    nbgrader("fetch_feedback", tiny.NAME, "--course", "vae", cwd=home, exchange=exchange)
    (page,) = home.rglob("*.html")
    assert "not attempted yet" in page.read_text("utf-8")


def test_report_counts_the_mistakes(few):
    text = (few.course / "scores" / f"{tiny.NAME}-mistakes.csv").read_text("utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    sign = next(r for r in rows if r["exercise"] == "gaussian_kl" and r["outcome"] == "sign")
    assert sign["students"] == "1" and sign["hint"].startswith("The sign is wrong")
    page = (few.course / "scores" / f"{tiny.NAME}.html").read_text("utf-8")
    assert "The sign is wrong" in page and "patches-checker" in page
