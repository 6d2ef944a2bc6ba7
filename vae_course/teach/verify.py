r"""The independent check: the student's functions, judged where the student could not reach.

In a process of its own the checker and torch are loaded and pictured first. Then the student's
cells run (without the test cells) in `guard`'s surroundings, and then the assignment's own test
cells, hidden tests included, with the untouched checker and with seeds that only the grader has.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import io
import json
import os
import sys
import tempfile
import types
from typing import Any

from vae_course import checks
from vae_course.checks import CheckFailed, Verdict, _run, graded, variants

from . import fence, fingerprint, guard


def run(job: dict[str, Any], pipe) -> None:
    r"""Check one submission and send the result, as JSON, through the pipe. For a child process."""
    settings = job["fence"]
    os.environ.clear()
    os.environ.update(job["environment"])
    os.environ["NBGRADER_EXECUTION"] = "autograde"
    tempfile.tempdir = None  # the server's is not for us
    os.chdir(settings["write"][0])
    fence.limit(**settings["limits"])
    fence.shut(settings["write"], settings["read"])
    empty = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(empty, stream)
    pipe.send_bytes(json.dumps(check(job)).encode())
    pipe.close()


def check(job: dict[str, Any]) -> dict[str, Any]:
    r"""Points and verdicts of every test cell.

    job: `cells` (each with source, name of the test or "", points), `imports` (the assignment's
    own import statements), `seed`, `cell_seconds`, `student`.
    """
    import matplotlib

    matplotlib.use("Agg")
    course: dict[str, Any] = {}
    exec(job["imports"], course)  # the instructor's own lines
    judge = Judge(job["seed"])
    variants.questions()
    parts = _course_parts(job["imports"])
    before = fingerprint.take()
    copies = {name: dict(vars(module)) for name, module in parts.items() if name in _COPIED}

    refused: list[str] = []
    space = guard.namespace(parts, refused)
    notes, errors, places = [], {}, {}
    for index, cell in enumerate(job["cells"]):
        if cell["test"]:  # the names as they are here: later cells may use them for something else
            places[cell["test"]] = dict(space)
        else:
            found, error = _execute(cell["source"], space, job["cell_seconds"])
            notes += found
            if error:
                errors[index] = error
    _calm()
    tampered = _tampered(before, parts, copies)
    results = {}
    for cell in job["cells"]:
        if cell["test"]:
            results[cell["test"]] = judge.score(
                cell, places[cell["test"]], course, job["cell_seconds"]
            )
            tampered = tampered or _tampered(before, parts, copies)
    return {
        "tests": results,
        "tampered": sorted(set(tampered)),
        "refused": sorted(set(refused)),
        "objections": sorted(set(notes)),
        "errors": errors,
    }


_COPIED = ("checks", "graded")


def _course_parts(imports: str) -> dict[str, Any]:
    r"""What students may import from the course: what the assignment does, checker replaced."""
    import importlib

    names = set()
    for node in ast.walk(ast.parse(imports)):
        if isinstance(node, ast.ImportFrom) and node.module == "vae_course":
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vae_course."):
            names.add(node.module.split(".")[1])
    parts = {name: importlib.import_module(f"vae_course.{name}") for name in names - set(_COPIED)}
    for name in _COPIED:
        parts[name] = types.ModuleType(name)
    nothing = lambda *args, **kwargs: None  # noqa: E731
    vars(parts["checks"]).update(check=nothing, exercises=lambda *args: [])
    vars(parts["graded"]).update(
        check=nothing, answers=nothing, numbers=graded.numbers, attempt=graded.attempt
    )
    return parts


def _execute(source: str, space: dict, seconds: float) -> tuple[list[str], str]:
    r"""Run one of the student's cells; returns objections, and what went wrong or ''."""
    from IPython.core.inputtransformer2 import TransformerManager

    try:
        source = TransformerManager().transform_cell(source)
        found = guard.objections(source)
        if found:
            return found, "not run: " + ", ".join(found)
        with _quiet(), _run.time_limit(seconds):
            exec(compile(source, "<your cell>", "exec"), space)
    except _run.TooSlow:
        return [], f"stopped after {seconds:.0f} s"
    except BaseException as error:
        return [], f"{type(error).__name__}: {str(error)[:200]}"
    return [], ""


@contextlib.contextmanager
def _quiet():
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def _calm() -> None:
    r"""Undo what cells may set in good faith and the checker depends on."""
    import matplotlib.pyplot as plt
    import torch

    plt.close("all")
    torch.set_default_dtype(torch.float32)
    torch.set_default_device("cpu")
    torch.set_grad_enabled(True)
    torch.set_num_threads(1)
    sys.setrecursionlimit(3000)


def _tampered(before, parts, copies) -> list[str]:
    found = fingerprint.changed(before)
    for name, old in copies.items():
        now = vars(parts[name])
        found += [f"vae_course.{name}.{key}" for key in old if now.get(key) is not old[key]]
    return found


class Judge:
    r"""Runs test cells with the untouched checker and keeps the verdicts."""

    def __init__(self, seed: str):
        self.seed, self.verdicts = seed, []
        self.own = types.SimpleNamespace(
            check=self._check, answers=self._answers, numbers=graded.numbers,
            attempt=graded.attempt, student=graded.student, EXAMPLE=graded.EXAMPLE,
        )  # fmt: skip

    def score(self, cell, space, course, seconds) -> dict[str, Any]:
        r"""Run one test cell as nbgrader scores it: an error is 0, a number is that many points."""
        self.verdicts = []
        here = {k: v for k, v in space.items() if k != "__builtins__"}
        here |= {k: v for k, v in course.items() if k != "__builtins__"}
        here |= {"graded": self.own}
        points, why = cell["points"], ""
        try:
            *lines, last = ast.parse(cell["source"]).body
            with _quiet(), _run.time_limit(4 * seconds):
                exec(compile(ast.Module(lines, []), "<test>", "exec"), here)
                if isinstance(last, ast.Expr):
                    value = eval(compile(ast.Expression(last.value), "<test>", "eval"), here)
                    if type(value) in (int, float):
                        points = min(max(float(value), 0.0), points)
                else:
                    exec(compile(ast.Module([last], []), "<test>", "exec"), here)
        except CheckFailed as error:
            points, why = 0.0, str(error).strip("\n┌─ ").partition("\n")[0]
        except BaseException as error:
            points, why = 0.0, f"{type(error).__name__}: {str(error)[:200]}"
        plain = [{k: v for k, v in vars(v).items() if k != "function"} for v in self.verdicts]
        return {"points": points, "why": why, "verdicts": plain}

    def _check(self, name: str, function) -> None:
        exercise = checks.exercise(name)
        module = str(getattr(function, "__module__", "")).split(".")[0]
        verdict = checks._verdict(exercise, function, self._number(name))
        borrowed = "the course's own function" if module == "vae_course" else ""
        if verdict.passed:
            borrowed = borrowed or borrowed_from_course(exercise, function, self._number(name))
        if borrowed:
            verdict = Verdict(name, "wrong", "not-own-work", f"It calls {borrowed}.")
        self.verdicts.append(verdict)
        if not verdict.passed:
            raise CheckFailed(str(verdict))

    def _answers(self, question: str, name: str, *, points: float, **given) -> float:
        asked = variants.question(question)
        mine = variants.numbers(asked, graded.student(name))
        expected = asked.answers(mine)
        verdicts = [
            graded._verdict(asked, mine, part, given.get(part), expected[part]) for part in expected
        ]
        self.verdicts += verdicts
        return points * sum(verdict.passed for verdict in verdicts) / len(verdicts)

    def _number(self, name: str) -> int:
        return int.from_bytes(hashlib.sha256(f"{self.seed} {name}".encode()).digest()[:4], "big")


def borrowed_from_course(exercise, function, seed: int) -> str:
    r"""The course's function that the student's one calls, or ''. Helpers of the checker are not.

    Every call is looked at while the function runs on one input.
    """
    package = str(_run.PACKAGE)
    ours = tuple(str(_run.PACKAGE / part) for part in ("checks", "teach"))
    references = {e.reference.__code__: e.name for e in checks.exercises()}
    found = []

    def look(frame, event, _):
        if event == "call" and frame.f_back and frame.f_back.f_code.co_filename == "<your cell>":
            code = frame.f_code
            outside = code.co_filename.startswith(package + os.sep)
            if code in references or (outside and not code.co_filename.startswith(ours)):
                found.append(references.get(code, code.co_name))

    sys.setprofile(look)
    try:
        with _run.sheltered(), contextlib.suppress(_run.NotAttempted):
            _run.run(exercise, function, seed)
    finally:
        sys.setprofile(None)
    return f"the course's {found[0]}" if found else ""


def preload() -> None:
    r"""Load what every check needs, once, before processes are forked from this one."""
    import matplotlib.pyplot
    import numpy.testing
    import sklearn
    import torch._dynamo  # the first optimizer loads it, and it replaces torch.manual_seed
    import torch.distributions

    checks.exercises()
    variants.questions()
    assert matplotlib.pyplot and numpy.testing and sklearn and torch._dynamo
