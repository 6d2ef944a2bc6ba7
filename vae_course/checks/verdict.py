r"""What the student reads: one box, no traceback."""

import os
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, field

from vae_course.checks import box
from vae_course.printing import say

WIDTH = 78
MIME = "application/vnd.vae-course.verdict+json"  # how a grader reads a verdict
_TITLES = {
    "passed": "✓ {name}: passed",
    "wrong": "✗ {name}: not right yet",
    "not attempted": "… {name}: not attempted yet",
    "error": "! {name}: your function raised an error",
}


class CheckFailed(AssertionError):
    r"""Raised instead of only printed while nbgrader grades; its message is the box."""

    def _render_traceback_(self) -> list[str]:
        r"""What a notebook shows: one line, because the box stands above it already."""
        return ["Not solved yet: the box above says why."]


@dataclass(frozen=True)
class Verdict:
    r"""The result of a check.

    status    "passed", "wrong", "not attempted" or "error"
    mistake   identifier of the recognised mistake ("a+b" for two at once), or None
    hint      the sentence shown: it names the slip, not the solution
    example   one input with what was expected and what came, or ""
    function  the student's own if it passed, else the reference: a lesson goes on with it
    """

    exercise: str
    status: str
    mistake: str | None = None
    hint: str = ""
    example: str = ""
    function: Callable | None = field(default=None, repr=False, compare=False)

    @property
    def passed(self) -> bool:
        return self.status == "passed"

    @property
    def title(self) -> str:
        r"""The verdict in one line, its sign first."""
        return _TITLES[self.status].format(name=self.exercise)

    def __str__(self) -> str:
        lines = ["┌─ " + self.title]
        for paragraph in self.hint.splitlines():
            lines += ["│  " + line for line in textwrap.wrap(paragraph, WIDTH - 3) or [""]]
        if self.example:
            lines += ["│"] + ["│  " + line for line in self.example.splitlines()]
        return "\n".join([*lines, "└─"])

    def _ipython_display_(self) -> None:
        r"""Nothing: the box was printed already."""


def show(verdict: Verdict, done: str = "") -> None:
    r"""Put the box on the page; while nbgrader grades, what it says as data beside it.

    done: a line about the chapter's other exercises
    """
    if verdict.status == "not attempted":  # nothing is judged, and notebooks store it
        say(str(verdict))
    else:
        paragraphs = verdict.hint.splitlines()
        box.put(str(verdict), verdict.title, paragraphs, example=verdict.example, done=done)
    if os.environ.get("NBGRADER_EXECUTION") == "autograde":
        from IPython.display import publish_display_data

        fields = {key: value for key, value in vars(verdict).items() if key != "function"}
        publish_display_data({MIME: fields})
