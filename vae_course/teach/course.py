r"""The course folder: where everything of an instructor's course lies, and its nbgrader settings.

    source/NAME/                         assignments with solutions, the instructor's own copy
    release/NAME/                        what students get
    submitted/STUDENT/NAME/NAME.ipynb    what came back, the newest attempt
    earlier/STUDENT/NAME/…               attempts that a newer one replaced
    collected/NAME.csv                   which file became whose submission, and why not
    autograded/, feedback/, gradebook.db as nbgrader has them
    graded/NAME/STUDENT.json             the record of one grading: mistakes, what to look at
    dates.json                           due dates, extensions, penalties
    scores/                              tables and the class report
"""

from __future__ import annotations

import csv
import io
import json
import logging
import os
import re
import sys
import warnings
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from vae_course.files import write_whole

CONFIG = """\
# nbgrader's settings for this folder: `nbgrader`, the formgrader and `vae-course teach` read them.
c = get_config()  # noqa: F821
c.CourseDirectory.course_id = "vae"
c.ClearSolutions.code_stub = {"python": "pass  # your code here"}
c.ClearSolutions.text_stub = "*Your answer here.*"
# What a cell writes to stderr (a log, a progress bar) is no failed test; an error is.
c.IgnorePattern.enabled = True
c.IgnorePattern.pattern = r"[\\s\\S]"
# What is for the instructor to look at stays out of the students' pages.
c.GenerateFeedback.preprocessors = [
    "vae_course.teach.feedback.ForStudents",
    "nbconvert.preprocessors.CSSHTMLHeaderPreprocessor",
]
"""
_FORMULA = re.compile("[=+@\t\r-]")  # as a first letter, to a spreadsheet


class TeachError(RuntimeError):
    r"""Something an instructor has to decide or repair; the message says what."""


@dataclass(frozen=True)
class Course:
    r"""The folder of one course. Paths only; nothing is made before something is written."""

    folder: Path

    def notebook(self, step: str, name: str, student: str | None = None) -> Path:
        parts = [step, name] if student is None else [step, student, name]
        return self.folder.joinpath(*parts, f"{name}.ipynb")

    def record_path(self, name: str, student: str) -> Path:
        return self.folder / "graded" / name / f"{student}.json"

    def record(self, name: str, student: str) -> dict[str, Any] | None:
        r"""What the last grading of this submission found, or None."""
        return read_json(self.record_path(name, student))

    def students(self, name: str) -> list[str]:
        r"""Who handed in this assignment, sorted."""
        return sorted(path.parent.name for path in (self.folder / "submitted").glob(f"*/{name}"))

    def released(self) -> list[str]:
        return sorted(path.parent.name for path in (self.folder / "release").glob("*/*.ipynb"))

    def handed_in(self, name: str, student: str, file: str = "timestamp.txt") -> datetime | None:
        r"""When a submission came in, in UTC without saying so, as nbgrader has times."""
        from nbgrader.utils import parse_utc

        stamp = self.notebook("submitted", name, student).with_name(file)
        try:
            return parse_utc(stamp.read_text("utf-8").strip())
        except (OSError, ValueError):  # none, or no time: dateutil's error is a ValueError
            return None

    def prepare(self) -> None:
        r"""Make the folder, with nbgrader's configuration in it where there is none."""
        path = self.folder / "nbgrader_config.py"
        if not path.exists():
            write(path, CONFIG)

    def gradebook(self):
        r"""nbgrader's gradebook; use it in a `with`."""
        from nbgrader.api import Gradebook

        tools_on_path()
        warnings.filterwarnings("ignore", module="sqlalchemy|nbgrader")
        return Gradebook(f"sqlite:///{self.folder.resolve() / 'gradebook.db'}", course_id="vae")


def write(path: Path, content: str | bytes) -> None:
    r"""Write a file whole, in a folder that is made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content.encode("utf-8") if isinstance(content, str) else content)


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None


def write_json(path: Path, value: Any) -> None:
    write(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def read_table(path: Path) -> tuple[list[dict[str, str]], str]:
    r"""A CSV's rows and its separator: comma, semicolon or tab, from whatever spreadsheet."""
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252", "replace")  # a spreadsheet's own code page
    separator = max(",;\t", key=text.partition("\n")[0].count)
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, restval="")
    return [{k.strip(): v for k, v in row.items() if isinstance(k, str)} for row in rows], separator


def table_text(rows: list[dict[str, Any]], separator: str = ",", as_it_came: bool = False) -> str:
    r"""Rows as CSV with all columns that any row has, and no text that a spreadsheet would run.

    A platform's own table stays `as_it_came`: there a "-" means something.
    """
    columns = list(dict.fromkeys(column for row in rows for column in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, delimiter=separator, lineterminator="\n", restval="")
    writer.writeheader()
    for row in rows:
        formula = {k: f"'{v}" for k, v in row.items() if isinstance(v, str) and _FORMULA.match(v)}
        writer.writerow(row if as_it_came else row | formula)
    return text.getvalue()


def nbgrader_config(root: Path, name: str, student: str = "*", **folders: Path):
    r"""nbgrader's configuration for one assignment below `root`, as in its nbgrader_config.py."""
    from traitlets.config.loader import PyFileConfigLoader

    root = root.resolve()
    config = PyFileConfigLoader("nbgrader_config.py", path=str(root)).load_config()
    config.CourseDirectory.update(
        root=str(root), db_url=f"sqlite:///{root / 'gradebook.db'}", assignment_id=name,
        student_id=student, **{key: str(path) for key, path in folders.items()},
    )  # fmt: skip
    return config


def tools_on_path() -> None:
    r"""Let nbgrader find `alembic`, which it starts by name, where no environment is activated."""
    folder = str(Path(sys.executable).parent)
    if folder not in os.environ.get("PATH", "").split(os.pathsep):
        os.environ["PATH"] = os.pathsep.join([folder, os.environ.get("PATH", "")])


def convert(converter: type, config) -> None:
    r"""Run one of nbgrader's converters. Raises: TeachError with what nbgrader logged."""
    from nbgrader.converters.base import NbGraderException
    from nbgrader.coursedir import CourseDirectory

    tools_on_path()
    lines: list[str] = []
    log = logging.Logger("nbgrader", logging.WARNING)  # not the shared one: no global state
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    log.addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of SQLAlchemy, about nbgrader's way to add rows
            converter(coursedir=CourseDirectory(config=config, log=log), config=config,
                      log=log).start()  # fmt: skip
    except (NbGraderException, SystemExit, RuntimeError, ValueError, OSError) as error:
        raise TeachError("\n".join([*lines, str(error)]).strip()) from error
