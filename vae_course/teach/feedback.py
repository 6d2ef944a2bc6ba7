r"""`vae-course teach feedback`: one page a student, nbgrader's, with the hints in it."""

from __future__ import annotations

import html
import shutil
import tempfile
from pathlib import Path

from . import _course
from ._course import Course, TeachError

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{name}: feedback</title></head>
<body style="font-family: sans-serif; max-width: 42em; margin: 3em auto; line-height: 1.5">
<h1>{name}</h1>
<p>Your file could not be graded, and has 0 points so far.</p>
<p><strong>{problem}</strong></p>
<p>Open it in JupyterLab or Colab, run all cells, save it as .ipynb, and hand it in again. If it
looks right to you, write to your instructor.</p>
</body></html>
"""
# What `nbgrader release_feedback` reads to know whose page it is, where the exchange collected it.
_FOR_THE_EXCHANGE = ("timestamp.txt", "submission_secret.txt")


def feedback(course: Course, name: str, student: str) -> str:
    r"""Make feedback/STUDENT/NAME/NAME.html; says whether it changed.

    Raises: TeachError if the submission is not graded yet.
    """
    record = course.record(name, student)
    if record is None:
        raise TeachError(f"{student}: not graded yet: vae-course teach grade {name}")
    if course.notebook("autograded", name, student).exists():
        page = _nbgraders(course, name, student)
    else:
        problem = html.escape(record["problem"])
        page = _PAGE.format(name=html.escape(name), problem=problem).encode()
    path = course.notebook("feedback", name, student).with_suffix(".html")
    for file in _FOR_THE_EXCHANGE:
        found = course.notebook("submitted", name, student).with_name(file)
        if found.exists():
            _course.write(path.with_name(file), found.read_bytes())
    if path.exists() and path.read_bytes() == page:
        return "unchanged"
    _course.write(path, page)
    return "written"


def _nbgraders(course: Course, name: str, student: str) -> bytes:
    from nbgrader.converters import GenerateFeedback

    with tempfile.TemporaryDirectory() as scratch:
        aside = {"feedback_directory": scratch}
        safe = {"sanitize_html": True}  # a student's output holds no script when you open it
        config = _course.nbgrader_config(
            course.folder, name, student, CourseDirectory=aside, HTMLExporter=safe
        )
        _course.convert(GenerateFeedback, config)
        made = Path(scratch) / student / name / f"{name}.html"
        if not made.exists():
            raise TeachError(f"{student}: nbgrader made no feedback")
        page = made.read_bytes()
        shutil.rmtree(made.parent)
    return page
