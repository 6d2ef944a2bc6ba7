r"""The course folder: where everything of an instructor's course lies, and its nbgrader settings.

    source/NAME/NAME.ipynb               assignments with solutions, the instructor's own copy
    release/NAME/NAME.ipynb              what students get
    submitted/STUDENT/NAME/NAME.ipynb    what came back, the newest attempt
    earlier/STUDENT/NAME/…               attempts that a newer one replaced
    collected/NAME.csv                   which file became whose submission, and why not
    autograded/, feedback/, gradebook.db as nbgrader has them
    checked/NAME/STUDENT.json            the record of one grading: points, mistakes, flags
    scores/                              tables and the class report
"""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vae_course.files import write_whole

STUB = "pass  # your code here"
WRITTEN_STUB = "*Your answer here.*"
STUDENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")
CONFIG = """\
# nbgrader's settings for this folder: `nbgrader` and the formgrader read them, and so does
# `vae-course teach`.
c = get_config()  # noqa: F821
c.CourseDirectory.course_id = "vae"
c.ClearSolutions.code_stub = {"python": "pass  # your code here"}
c.ClearSolutions.text_stub = "*Your answer here.*"
"""


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
        return self.folder / "checked" / name / f"{student}.json"

    def record(self, name: str, student: str) -> dict[str, Any] | None:
        r"""What the last grading of this submission found, or None."""
        try:
            return json.loads(self.record_path(name, student).read_text("utf-8"))
        except (OSError, ValueError):
            return None

    def students(self, name: str) -> list[str]:
        r"""Who handed in this assignment, sorted."""
        folders = (self.folder / "submitted").glob(f"*/{name}")
        return sorted(f.parent.name for f in folders if STUDENT.fullmatch(f.parent.name))

    def released(self) -> list[str]:
        return sorted(path.parent.name for path in (self.folder / "release").glob("*/*.ipynb"))

    def secret(self) -> str:
        r"""The random text that the grader's seeds come from, the same at every grading."""
        path = self.folder / ".seed"
        if not path.exists():
            write(path, secrets.token_hex(16) + "\n")
        return path.read_text("utf-8").strip()

    def prepare(self) -> None:
        r"""Make the folder, with nbgrader's configuration in it where there is none."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / "nbgrader_config.py"
        if not path.exists():
            write(path, CONFIG)


def write(path: Path, content: str | bytes) -> None:
    r"""Write a file whole, in a folder that is made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content.encode("utf-8") if isinstance(content, str) else content)


def write_json(path: Path, value: Any) -> None:
    write(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def nbgrader_config(root: Path, name: str, student: str = "*", **more: dict[str, Any]):
    r"""nbgrader's configuration for one assignment below `root`; `more` by class name."""
    from traitlets.config import Config

    config = Config()
    config.CourseDirectory.root = str(root.resolve())
    config.CourseDirectory.course_id = "vae"
    config.CourseDirectory.assignment_id = name
    config.CourseDirectory.student_id = student
    config.ClearSolutions.code_stub = {"python": STUB}
    config.ClearSolutions.text_stub = WRITTEN_STUB
    for class_name, settings in more.items():
        config[class_name].update(settings)
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
        converter(coursedir=CourseDirectory(config=config, log=log), config=config, log=log).start()
    except (NbGraderException, SystemExit, RuntimeError, ValueError, OSError) as error:
        raise TeachError("\n".join([*lines, str(error)]).strip()) from error
