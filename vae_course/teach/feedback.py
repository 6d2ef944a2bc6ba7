r"""`vae-course teach feedback`: one page a student, nbgrader's, with the hints in it."""

from __future__ import annotations

import html
import io
import re
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from nbgrader.converters import GenerateFeedback
from nbgrader.preprocessors import GetGrades

from . import collect, grade, scores
from . import course as _course
from .course import Course, TeachError

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
# Beside nbgrader's own: tables with gaps between columns, nothing wider than a phone.
_STYLE = """<style>td, th {padding: .2em .8em .2em 0; text-align: left; vertical-align: top}
.panel-body {overflow-x: auto} #notebook-container {padding: 15px; width: auto; max-width: 1140px}
img {max-width: 100%; height: auto} .panel-heading {overflow: auto; height: auto}
pre {white-space: pre-wrap; word-break: normal; overflow-wrap: anywhere}
.container {width: auto; max-width: 1170px}</style>
</head>"""
# What `nbgrader release_feedback` reads to know whose page it is, where the exchange collected it.
_FOR_THE_EXCHANGE = ("timestamp.txt", "submission_secret.txt")


class ForStudents(GetGrades):
    r"""Scores and comments, without what only the instructor is to look at."""

    def preprocess_cell(self, cell, resources, cell_index):
        cell, resources = super().preprocess_cell(cell, resources, cell_index)
        if (cell.metadata.get("nbgrader", {}).get("comment") or "").startswith(grade.ADVICE):
            cell.metadata.nbgrader.comment = None
        return cell, resources


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
    path = _page(course, name, student)
    for file in _FOR_THE_EXCHANGE:
        found = course.notebook("submitted", name, student).with_name(file)
        if found.exists():
            _course.write(path.with_name(file), found.read_bytes())
    if path.exists() and path.read_bytes() == page:
        return "unchanged"
    _course.write(path, page)
    return "written"


def _page(course: Course, name: str, student: str) -> Path:
    return course.notebook("feedback", name, student).with_suffix(".html")


def _nbgraders(course: Course, name: str, student: str) -> bytes:
    with tempfile.TemporaryDirectory() as scratch:
        config = _course.nbgrader_config(course.folder, name, student,
                                         feedback_directory=Path(scratch))  # fmt: skip
        config.HTMLExporter.sanitize_html = True  # a student's output holds no script
        _course.convert(GenerateFeedback, config)
        made = Path(scratch) / student / name / f"{name}.html"
        if not made.exists():
            raise TeachError(f"{student}: nbgrader made no feedback")
        text = made.read_text("utf-8")
    (row,) = scores.table(course, name, [student])
    text = re.sub(r"\(Score: [\d.]+ / [\d.]+\)", f"({scores.words(row)})", text, count=1)
    text = text.replace("</head>", _STYLE, 1)
    cells = (course.record(name, student) or {"cells": {}})["cells"]
    link = r'<a href="#((?:test-|written-)?([^"]+))">(?:Test cell|Written response)</a>(.*)</li>'
    return re.sub(link, lambda found: _line(found, cells), text).encode("utf-8")


def _line(found: re.Match, cells: dict) -> str:
    r"""A line of the page's list: the exercise, its points, and why some are missing."""
    cell, exercise, points = found.groups()
    said = [v["hint"] or v["status"] for v in cells.get(cell, {}).get("verdicts", [])
            if v["status"] != "passed"]  # fmt: skip
    why = html.escape(" ".join(dict.fromkeys(said)))
    return f'<a href="#{cell}">{exercise}</a>{points}{"<br>" * bool(why)}{why}</li>'


def archive(course: Course, name: str) -> Path | None:
    r"""scores/NAME-feedback.zip: each page under the name of the file that came in, as learning
    platforms take feedback back; None where nothing came in as files."""
    path = course.folder / "scores" / f"{name}-feedback.zip"
    pages = {
        PurePosixPath(file).with_suffix(".html"): _page(course, name, student)
        for student, file in collect.came_as(course, name).items()
        if _page(course, name, student).exists()
    }
    if not pages:
        return None
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as made:
        for inside, page in sorted(pages.items()):
            made.writestr(zipfile.ZipInfo(str(inside)), page.read_bytes(), zipfile.ZIP_DEFLATED)
    _course.write(path, content.getvalue())
    return path
