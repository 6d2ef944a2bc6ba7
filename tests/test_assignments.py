r"""The assignments: solvable, clean when unfilled, and every known mistake is graded wrong.

The ordinary run reads them. Graded, the source, its unfilled release, and a release with the first
mistake of every exercise, some ten minutes:
`python -m pytest tests/test_assignments.py -m every_assignment -n 0`. All mistakes: the same with
`-m assignments_full`, an hour or so.
"""

import html
import importlib.util
import json
import re
import sys
from pathlib import Path

import nbformat
import pytest

from teach_tools import cell_of, teach
from vae_course import checks
from vae_course.teach.course import Course as TeachCourse

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("nbgrader") is None or sys.platform == "win32",
    reason='needs nbgrader (pip install -e ".[teach]") and Linux or macOS',
)
ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "assignments" / "source").glob("*/*.ipynb"))
NAMES = [path.stem for path in SOURCES]
ROUNDS = {name: max(len(e.mistakes) for e in checks.exercises(int(name[:2]))) for name in NAMES}
FULL = pytest.mark.assignments_full


def wrong(name, number):
    """A release in which every exercise has its mistake of this number, or its last one."""
    notebook = nbformat.read(ROOT / "assignments" / "source" / name / f"{name}.ipynb", as_version=4)
    asked = {cell.metadata.get("nbgrader", {}).get("grade_id") for cell in notebook.cells}
    made = {}
    for exercise in checks.exercises(int(name[:2])):
        if f"code-{exercise.name}" not in asked:  # a companion's
            continue
        mistake = exercise.mistakes[min(number, len(exercise.mistakes) - 1)]
        made[exercise.name] = mistake
        cell = cell_of(notebook, f"code-{exercise.name}")
        cell.source = (
            f"from vae_course import checks as _checks\n\n"
            f"_{exercise.name} = _checks.exercise({exercise.name!r}).wrong({mistake.name!r})\n"
            f"\n\ndef {exercise.name}(*args, **kwargs):\n"
            f"    return _{exercise.name}(*args, **kwargs)"
        )
    return notebook, made


def without_hidden_tests(notebook):
    """The bytes of a solved source as a student would hand it in."""
    from nbgrader.preprocessors import ClearHiddenTests

    return nbformat.writes(ClearHiddenTests().preprocess(notebook, {})[0]).encode()


class Course:
    """A course folder in which some students handed in one assignment."""

    def __init__(self, folder, name, hand_ins):
        self.folder, self.name = folder, name
        teach("release", name, course=folder)
        release = self.path("release").read_bytes()
        for student, notebook in ({"unfilled": release} | hand_ins).items():
            path = self.path("submitted", student)
            path.parent.mkdir(parents=True)
            path.write_bytes(notebook)
        teach("grade", name, "--jobs", "2", course=folder)
        teach("feedback", name, course=folder)

    def path(self, step, student=""):
        return self.folder / step / student / self.name / f"{self.name}.ipynb"

    def record(self, student):
        path = self.folder / "graded" / self.name / f"{student}.json"
        return json.loads(path.read_text("utf-8"))

    def points(self, student):
        with TeachCourse(self.folder).gradebook() as book:
            found = book.find_submission_notebook(self.name, self.name, student)
            return {grade.name: grade.score for grade in found.grades}

    def feedback(self, student):
        page = self.path("feedback", student).with_suffix(".html").read_text("utf-8")
        return squeezed(html.unescape(re.sub(r"<[^>]*>", "", page)))


def squeezed(text):
    return "".join(text.replace("│", "").split())


@pytest.fixture(scope="module")
def course_of(tmp_path_factory):
    made = {}

    def get(name):
        if name not in made:
            source = ROOT / "assignments" / "source" / name / f"{name}.ipynb"
            mistaken, _ = wrong(name, 0)
            hand_ins = {
                "source": without_hidden_tests(nbformat.read(source, as_version=4)),
                "mistaken": without_hidden_tests(mistaken),
            }
            made[name] = Course(tmp_path_factory.mktemp(name) / "course", name, hand_ins)
        return made[name]

    return get


@pytest.mark.parametrize("name", NAMES)
def test_has_all_exercises_20_points_and_a_bonus(name):
    notebook = nbformat.read(SOURCES[NAMES.index(name)], as_version=4)
    settings = [c.metadata.nbgrader for c in notebook.cells if "nbgrader" in c.metadata]
    graded = {s.grade_id: s.points for s in settings if s.grade}
    lesson = (ROOT / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8")
    of_the_chapter = {e.name for e in checks.exercises(int(name[:2]))}
    needed = {n for n in of_the_chapter if f'checks.check(\\"{n}' in lesson}  # not a companion's
    assert len(needed) >= 2 and {f"test-{exercise}" for exercise in needed} <= set(graded)
    assert sum(p for g, p in graded.items() if "-bonus-" not in g) == 20
    assert sum(p for g, p in graded.items() if "-bonus-" in g) == 2
    assert any(g.startswith("written-") for g in graded)
    assert any(g.startswith("test-answers") for g in graded)
    assert not any(c.get("outputs") for c in notebook.cells)


@pytest.mark.every_assignment
@pytest.mark.parametrize("name", NAMES)
class TestEveryAssignment:
    def test_solutions_get_full_marks(self, course_of, name):
        record = course_of(name).record("source")
        points = course_of(name).points("source")
        missed = {
            cell: entry
            for cell, entry in record["cells"].items()
            if not cell.startswith("written-") and points[cell] != entry["of"]
        }
        assert not missed and not record["flags"], json.dumps(record, indent=1)

    def test_unfilled_release_gets_nothing(self, course_of, name):
        record = course_of(name).record("unfilled")
        assert record["status"] == "graded"
        points = course_of(name).points("unfilled")
        assert {cell: earned for cell, earned in points.items() if earned} == {}

    def test_unfilled_release_runs_to_the_end_for_a_student(self, course_of, name, tmp_path):
        from nbclient import NotebookClient

        notebook = nbformat.read(course_of(name).path("release"), as_version=4)
        NotebookClient(notebook, timeout=300, kernel_name="python3",
                       resources={"metadata": {"path": str(tmp_path)}}).execute()  # fmt: skip
        for cell in notebook.cells:
            if cell.cell_type != "code":
                continue
            kinds = {o.get("name") or o.output_type for o in cell.outputs}
            assert "stderr" not in kinds and "error" not in kinds
            settings = cell.metadata.get("nbgrader", {})
            if settings.get("grade"):
                text = "".join(o.get("text", "") for o in cell.outputs)
                assert "not attempted yet" in text, settings.grade_id

    def test_mistakes_are_graded_wrong_and_named_in_the_feedback(self, course_of, name):
        judge_round(course_of(name), name, "mistaken", 0)

    def test_regeneration_is_byte_identical(self, course_of, name, tmp_path):
        teach("release", name, course=tmp_path / "again")
        again = tmp_path / "again" / "release" / name / f"{name}.ipynb"
        assert again.read_bytes() == course_of(name).path("release").read_bytes()

    def test_release_holds_no_solution(self, course_of, name):
        text = course_of(name).path("release").read_text("utf-8")
        assert "SOLUTION" not in text and "HIDDEN" not in text
        cells = "\n".join(cell.source for cell in nbformat.reads(text, as_version=4).cells)
        for exercise in checks.exercises(int(name[:2])):
            longest = max(exercise.solution.split("\n")[1:], key=len).partition("#")[0].strip()
            assert longest not in cells


def judge_round(course, name, student, number):
    page = course.feedback(student)
    for exercise, mistake in wrong(name, number)[1].items():
        assert course.points(student)[f"test-{exercise}"] == 0, exercise
        start = squeezed(mistake.hint)[:60]
        assert start in page, (exercise, mistake.name)


@FULL
@pytest.mark.parametrize("name", NAMES)
def test_every_mistake_in_rounds(name, tmp_path):
    hand_ins = {
        f"round-{number}": without_hidden_tests(wrong(name, number)[0])
        for number in range(ROUNDS[name])
    }
    course = Course(tmp_path / "course", name, hand_ins)
    for number in range(ROUNDS[name]):
        judge_round(course, name, f"round-{number}", number)
