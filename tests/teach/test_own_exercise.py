"""An instructor's exercise, from a file beside the notebook, through a whole week."""

import nbformat
import pytest
import tiny

from teach_tools import cell_of, teach
from vae_course import checks
from vae_course.teach import grade, scores
from vae_course.teach.course import Course

pytestmark = pytest.mark.whole_class
NAME = "90_mine"
MINE = '''
from vae_course.checks import Exercise, draw


def spread(x):
    centred = x - x.mean(dim=1, keepdim=True)  # (B, D)
    return centred.square().mean(dim=1)  # (B,)


ours = Exercise(spread, inputs=lambda g: (draw.normal(g, "B", "D"),), returns="(B,)")
ours.mistake("not-squared", edit=(".square()", ".abs()"), hint="Distances are squared first.")
'''
RIGHT = "def spread(x):\n    return x.var(dim=1, correction=0)"
WRONG = "def spread(x):\n    return (x - x.mean(1, keepdim=True)).abs().mean(1)"


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    if not hasattr(checks, "load"):
        pytest.skip("exercises from files are not there yet")
    folder = tmp_path_factory.mktemp("own")
    source = tiny.source()
    source.cells = [
        source.cells[0],
        nbformat.v4.new_code_cell(
            "from vae_course import checks\nfrom vae_course.checks import graded\n\n"
            "checks.load('mine.py')"
        ),
        tiny._code("def spread(x):\n    ### BEGIN SOLUTION\n    return x.var(dim=1, correction=0)\n"
                   "    ### END SOLUTION", "code-spread"),
        tiny._code('graded.check("spread", spread)', "test-spread", points=5),
    ]  # fmt: skip
    path = folder / "source" / NAME / f"{NAME}.ipynb"
    path.parent.mkdir(parents=True)
    nbformat.write(source, path)
    (path.parent / "mine.py").write_text(MINE)
    made = Course(folder / "course")
    teach("release", NAME, "--source", folder / "source", course=made.folder)
    for student, answer in {"right": RIGHT, "wrong": WRONG, "unfilled": ""}.items():
        notebook = nbformat.read(made.notebook("release", NAME), as_version=4)
        if answer:
            cell_of(notebook, "code-spread").source = answer
        file = made.notebook("submitted", NAME, student)
        file.parent.mkdir(parents=True)
        nbformat.write(notebook, file)
    teach("grade", NAME, course=made.folder)
    teach("feedback", NAME, course=made.folder)
    teach("scores", NAME, course=made.folder)
    return made


def test_it_travels_with_the_release(course):
    assert (course.folder / "release" / NAME / "mine.py").read_text() == MINE


def test_it_is_graded(course):
    rows = scores.table(course, NAME, course.students(NAME))
    assert {r["student"]: r["points"] for r in rows} == {"right": 5, "unfilled": 0, "wrong": 0}
    assert grade.advice(course, NAME) == {}


def test_its_mistakes_are_told_and_counted(course):
    page = course.notebook("feedback", NAME, "wrong").with_suffix(".html").read_text("utf-8")
    assert "Distances are squared first." in page
    found = [r for r in scores.outcomes(course, NAME) if r["outcome"] == "not-squared"]
    assert [(r["exercise"], r["students"], r["hint"]) for r in found] == [
        ("spread", 1, "Distances are squared first.")
    ]
    report = (course.folder / "scores" / f"{NAME}.html").read_text("utf-8")
    assert "Distances are squared first." in report
