"""No honest notebook loses a point or is accused, however it is written.

Some ten minutes, with the table of what each earned and was given:
`python -m pytest tests/teach/test_styles.py -m unusual_styles -n 0 -s`.
"""

import copy
import json
from pathlib import Path

import nbformat
import pytest
from styles import NAME, STYLES, solved

from teach_tools import chosen, teach
from vae_course.teach import grade, scores
from vae_course.teach.course import Course

SOURCE = Path(__file__).parents[2] / "assignments" / "source" / NAME / f"{NAME}.ipynb"


class Graded:
    def __init__(self, folder, styles):
        self.course = Course(folder)
        teach("release", NAME, course=folder)
        source = nbformat.read(SOURCE, as_version=4)
        release = nbformat.read(self.course.notebook("release", NAME), as_version=4)
        for style in styles:
            student = style.strip("_").replace("_", "-")
            notebook = solved(source, copy.deepcopy(release), student)
            made = STYLES[style](notebook) or nbformat.writes(notebook).encode()
            path = self.course.notebook("submitted", NAME, student)
            path.parent.mkdir(parents=True)
            path.write_bytes(made)
        teach("grade", NAME, "--jobs", "2", course=folder)
        self.rows = {r["student"]: r for r in scores.table(self.course, NAME,
                                                           self.course.students(NAME))}  # fmt: skip
        self.flags = grade.advice(self.course, NAME)

    def judge(self, style):
        student = style.strip("_").replace("_", "-")
        row = self.rows[student]
        record = json.dumps(self.course.record(NAME, student), indent=1)
        assert row["points"] == row["of"] - 3 and row["bonus"] == row["of_bonus"], record
        assert row["pending"] == "written-reply", record  # waits for a person
        assert self.flags.get(student, []) == [], record


@pytest.fixture(scope="module")
def everybody(request, tmp_path_factory):
    styles = chosen(request, "test_every_style")
    graded = Graded(tmp_path_factory.mktemp("all") / "course", styles)
    for student, row in graded.rows.items():
        earned = f"{row['of'] - 3:g} + {row['of_bonus']:g}"
        flags = "; ".join(flag["reason"] for flag in graded.flags.get(student, []))
        print(f"\n{student:32s} earned {earned}, given {row.get('points'):g} + {row['bonus']:g}, "
              f"flagged: {flags or 'no'}", end="")  # fmt: skip
    return graded


@pytest.mark.unusual_styles
@pytest.mark.parametrize("style", STYLES)
def test_every_style(everybody, style):
    everybody.judge(style)


def test_there_are_sixty():
    assert len(STYLES) >= 60
