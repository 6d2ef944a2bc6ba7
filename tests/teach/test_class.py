"""A class hands in: everybody is graded or reported, and nobody gains what was not earned.

The ordinary run grades a few; `python -m pytest tests/teach -m whole_class -n 0` all of them, and
what takes several gradings; with `-s` it prints what each earned, was given, and what is told.
"""

import copy
import csv
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import zipfile

import nbformat
import pytest
import tiny
from the_class import STUDENTS

from teach_tools import chosen, teach
from vae_course.teach.course import Course

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

    def __init__(self, root, names, jobs=1):
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
        self.printed = teach(
            "grade", tiny.NAME, "--jobs", str(jobs), "--cell-seconds", "30", "--notebook-seconds",
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
def everybody(request, tmp_path_factory):
    jobs = min(2, os.cpu_count() or 1)
    names = {"perfect"} | set(chosen(request, "test_everybody"))  # whose name another one uses
    students = [name for name in STUDENTS if name in names]
    graded = Graded(tmp_path_factory.mktemp("all"), students, jobs)
    print()
    for name in graded.names:
        student = STUDENTS[name]
        row, earned = graded.rows[name], sum(student.deserves.values())
        given = sum(float(row[cell] or 0) for cell in student.deserves)
        print(f"{name:22s} earned {earned:4.1f}, given {given:4.1f}, gained {given - earned:+.1f}, "
              f"told: {row['review'] or row['notes'] or '-'}")  # fmt: skip
    return graded


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
    line = "gaussian_kl</a> (Score: 0.0 / 4.0)<br>The sign is wrong"  # in the list at the top
    assert line in few.feedback("sign")
    assert "gaussian_kl</a> (Score: 4.0 / 4.0)</li>" in few.feedback("perfect")
    assert "Traceback (most recent" not in few.feedback("sign")


@pytest.mark.whole_class
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


def table(path):
    text = path.read_text("utf-8-sig")
    separator = ";" if ";" in text.partition("\n")[0] else ","
    return list(csv.DictReader(io.StringIO(text), delimiter=separator))


def row_of(graded, student):
    teach("scores", tiny.NAME, course=graded.course)
    rows = table(graded.course / "scores" / f"{tiny.NAME}.csv")
    return next(row for row in rows if row["student"] == student)


def enter(graded, rows, separator=";"):
    """A table of marks as a spreadsheet of another country saves it."""
    path = graded.course / "filled.csv"
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=separator)
        writer.writeheader()
        writer.writerows(rows)
    return teach("marks", tiny.NAME, path, course=graded.course, check=False)


@pytest.mark.whole_class
def test_what_is_flagged_can_be_marked_down_and_commented(own):
    teach("marks", tiny.NAME, course=own.course)
    rows = table(own.course / "scores" / f"{tiny.NAME}-written.csv")
    (row,) = [r for r in rows if (r["student"], r["cell"]) == ("borrows", "test-gaussian_kl")]
    assert "calls the course's own" in row["look_at"]
    row |= {"points": "0,5", "comment": 'Half, for the "idea"; see me.'}
    done = enter(own, rows)
    assert done.returncode == 0, done.stderr
    found = row_of(own, "borrows")
    assert found["test-gaussian_kl"] == "0.5" and float(found["points"]) == 7.5
    teach("feedback", tiny.NAME, "borrows", course=own.course)
    page = own.feedback("borrows")
    assert "see me" in page and "7.5 of 16 points" in page
    assert "calls the course" not in page  # advice is for the instructor alone


@pytest.mark.whole_class
def test_a_table_with_nothing_to_enter_is_an_error(own):
    rows = [{"student": "perfect", "cell": "written-why", "points": "", "comment": "x"}]
    done = enter(own, rows)
    assert done.returncode == 1 and "is empty in all 1 rows" in done.stderr
    done = enter(own, [{"name": "x", "mark": "1"}])
    assert done.returncode == 1 and "columns student, cell, points" in done.stderr


@pytest.mark.whole_class
def test_late_work_costs_what_was_said_and_an_extension_saves_it(own):
    for student in ("perfect", "sign"):
        path = own.course / "submitted" / student / tiny.NAME / "timestamp.txt"
        path.write_text("2026-02-07T12:00:00+00:00\n")
    teach("grade", tiny.NAME, "perfect", "sign", "--due", "2026-02-06T00:00", "--late-penalty",
          "10", "--extend", "sign=2", course=own.course)  # fmt: skip
    row = row_of(own, "perfect")
    assert float(row["days_late"]) == 1.5 and float(row["penalty"]) == 2.6
    assert float(row["total"]) == 13 - 2.6
    teach("feedback", tiny.NAME, "perfect", course=own.course)
    assert "2.6 off for 1.5 days late" in own.feedback("perfect")
    assert row_of(own, "sign")["penalty"] == ""
    with Course(own.course).gradebook() as book:
        submission = book.find_submission(tiny.NAME, "perfect")
        assert submission.late_submission_penalty == 2.6 and submission.score == 13
    teach("grade", tiny.NAME, "--late", "perfect=1", course=own.course)  # by hand: it counts
    assert float(row_of(own, "perfect")["penalty"]) == 1.3
    wrong = teach("grade", tiny.NAME, "--due", "Friday", course=own.course, check=False)
    assert wrong.returncode == 1 and "--due 'Friday'" in wrong.stderr


PLATFORMS = {
    "moodle": (
        {"Identifier": "Participant 1234", "Full name": "Peer Fect", "Grade": "",
         "Maximum grade": "20,00", "Last modified (grade)": "-"},
        "Peer Fect_1234_assignsubmission_file_/04_tiny.ipynb", ";", "Grade",
    ),
    "canvas": (
        {"Student": "Fect, Peer", "ID": "4321", "Section": "1", "04 tiny (991)": ""},
        "fectpeer_4321_98765_04_tiny.ipynb", ",", "04 tiny (991)",
    ),
}  # fmt: skip


@pytest.mark.whole_class
@pytest.mark.parametrize("platform", PLATFORMS)
def test_feedback_and_grades_go_back_as_they_came(own, platform, tmp_path):
    line, file, separator, column = PLATFORMS[platform]
    came = own.course / "collected" / f"{tiny.NAME}.csv"
    came.parent.mkdir(exist_ok=True)
    came.write_text(f"file,student,outcome\n{file},perfect,collected\n")
    printed = teach("feedback", tiny.NAME, course=own.course).stdout
    with zipfile.ZipFile(own.course / "scores" / f"{tiny.NAME}-feedback.zip") as made:
        assert made.namelist() == [file.replace(".ipynb", ".html")]
        assert b"11 of 16 points" in made.read(made.namelist()[0])
    assert "named as they came in" in printed
    sheet = tmp_path / "grades.csv"
    other = dict.fromkeys(line, "x") | {column: "left as it is"}
    with sheet.open("w", encoding="utf-8-sig", newline="") as made:
        writer = csv.DictWriter(made, list(line), delimiter=separator)
        writer.writeheader()
        writer.writerows([other, line])
    printed = teach("scores", tiny.NAME, "--into", sheet, "--column", column, course=own.course)
    assert "1 totals entered" in printed.stdout
    rows = table(own.course / "scores" / f"{tiny.NAME}-grades.csv")
    assert rows == [other, line | {column: "13"}]


def test_the_numbers_agree_everywhere(few):
    said = "11 of 16 points, bonus 2 of 2, 1 still to be read by a person"
    assert f"perfect: {said}" in few.printed and said in few.feedback("perfect")
    row = few.rows["perfect"]
    numbers = [float(row[c]) for c in ("points", "of", "bonus", "of_bonus", "total")]
    assert numbers == [11, 16, 2, 2, 13]
    with Course(few.course).gradebook() as book:
        assert book.find_submission(tiny.NAME, "perfect").score == 13


def test_links_bear_the_names_of_the_exercises(few):
    page = few.feedback("perfect")
    assert ">gaussian_kl</a>" in page and ">why</a>" in page and "Test cell<" not in page


@pytest.mark.whole_class
def test_names_of_the_list_stand_in_the_scores(own):
    (own.course / "students.csv").write_text("student;name\nperfect;Peer Fect\nnobody;No Body\n")
    assert row_of(own, "perfect")["name"] == "Peer Fect"
    row = row_of(own, "nobody")
    assert row["status"] == "nothing handed in" and row["name"] == "No Body"


def test_a_message_of_a_plain_assert_is_counted_in_the_report(few):
    rows = table(few.course / "scores" / f"{tiny.NAME}-mistakes.csv")
    (row,) = [r for r in rows if r["exercise"] == "bonus-twice" and r["hint"]]
    assert (row["outcome"], row["students"]) == ("twice 3 is 6", "1")


def test_advice_is_a_comment_that_the_formgrader_shows(few):
    with Course(few.course).gradebook() as book:
        comment = book.find_comment("code-gaussian_kl", tiny.NAME, tiny.NAME, "borrows").comment
        assert comment.startswith("To look at (no points lost): test-gaussian_kl: gaussian_kl ")
        for student in ("sign", "once", "unfilled"):
            comments = book.find_submission_notebook(tiny.NAME, tiny.NAME, student).comments
            assert not any((c.comment or "").startswith("To look at") for c in comments)


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
