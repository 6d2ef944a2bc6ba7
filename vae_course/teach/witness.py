r"""What the kernel of a graded notebook sees beside the notebook: advice to the instructor.

Before each test cell the checker is put back as it was loaded, together with the names that the
test uses and the grader's environment. What had been replaced is noted, and so is, while a test
runs, a function of the student's that calls the course's own answer. Nothing here takes points, and
nothing keeps out somebody determined: it shares a process with the code that it watches.
"""

from __future__ import annotations

import ast
import builtins
import contextlib
import importlib
import math
import os
import pkgutil
import sys
import types
from pathlib import Path
from typing import Any

import torch

from vae_course import checks

MIME = "application/vnd.vae-course.verdict+json"
REPORT = "from vae_course.teach import witness\nwitness.report()"
_PACKAGE = str(Path(__file__).resolve().parents[1]) + os.sep
_FREE = {"__repr__", "__str__", "__format__", "__import__", "print", "input", "open", "help",
         "exit", "quit", "display", "set_printoptions"}  # fmt: skip
_GONE = object()
_here: Witness | None = None
for _module in pkgutil.walk_packages(checks.__path__, "vae_course.checks."):
    importlib.import_module(_module.name)  # all of the checker is loaded before it is looked at


def install(shell, tests: dict[str, str], imports: list[str], colab: bool) -> None:
    r"""Begin: `tests` maps the source of each test cell to its name."""
    global _here
    if colab:
        _pretend_colab()
    _here = Witness(shell, tests, imports)


def report() -> None:
    r"""Display what was seen, for the grader."""
    from IPython.display import publish_display_data

    seen = {test: sorted(reasons) for test, reasons in _here.seen.items()}
    _here.put_back()
    publish_display_data({MIME: {"replaced": sorted(_here.replaced), "seen": seen}})


def said(cell) -> Any:
    r"""The first piece of JSON that an executed cell displayed for the grader, or None."""
    return next(iter(messages(cell)), None)


def messages(cell) -> list[Any]:
    outputs = cell.get("outputs", [])
    return [o.data[MIME] for o in outputs if MIME in o.get("data", {})]


class Witness:
    r"""Callbacks around the cells of one notebook."""

    def __init__(self, shell, tests: dict[str, str], imports: list[str]):
        self.shell, self.tests = shell, tests
        self.seen: dict[str, set[str]] = {}
        self.replaced: set[str] = set()
        self.environment = {k: v for k, v in os.environ.items() if k.startswith(("NBGR", "VAE_"))}
        self.names: dict[str, Any] = {}
        for statement in imports:
            with contextlib.suppress(ImportError):
                exec(statement, self.names)
        self.picture = {}
        for name, holder in _watched():
            for key, value in vars(holder).items():
                if callable(value) and key not in _FREE:
                    inside = (value.__code__, value.__defaults__) if _plain(value) else None
                    self.picture[name, key] = holder, value, inside
        shell.events.register("pre_run_cell", self.before)
        shell.events.register("post_run_cell", self.after)

    def put_back(self) -> None:
        for (name, key), (holder, value, inside) in self.picture.items():
            if vars(holder).get(key) is not value:
                self.replaced.add(f"{name}.{key}")
                setattr(holder, key, value)
            if inside and (value.__code__ is not inside[0] or value.__defaults__ != inside[1]):
                self.replaced.add(f"{name}.{key}")
                value.__code__, value.__defaults__ = inside

    def before(self, info) -> None:
        self.theirs: dict[str, Any] = {}
        test = self.tests.get(info.raw_cell)
        if test is None:
            return
        self.put_back()
        os.environ.update(self.environment)
        nodes = list(ast.walk(ast.parse(info.raw_cell)))
        used = {node.id for node in nodes if isinstance(node, ast.Name)}
        self.theirs = {name: self.shell.user_ns.get(name, _GONE) for name in used & set(self.names)}
        self.shell.user_ns.update({name: self.names[name] for name in self.theirs})
        named = {str(node.value) for node in nodes if isinstance(node, ast.Constant)}
        self.tested, self.answers = used | named, set()
        for name in named:
            with contextlib.suppress(ValueError):
                self.answers.add(checks.exercise(name).reference.__code__)
        self.reasons = self.seen.setdefault(test, set())
        self.test_file = self.shell.compile.get_code_name(info.raw_cell, info.raw_cell, 0)
        self.cells = os.path.dirname(self.test_file) + os.sep
        sys.setprofile(self.look)

    def after(self, result) -> None:
        sys.setprofile(None)
        for name, value in self.theirs.items():
            if value is _GONE:
                self.shell.user_ns.pop(name, None)
            else:
                self.shell.user_ns[name] = value

    def look(self, frame, event: str, value) -> None:
        r"""Calls from the student's code into the course's, and what the student's code returns."""
        own = type(value).__module__ == "__main__" and isinstance(value, torch.Tensor)
        if event == "return" and own and frame.f_code.co_filename.startswith(self.cells):
            name = frame.f_code.co_name
            self.reasons.add(f"{name} gives back a tensor of a class of the student's own")
        if event != "call" or frame.f_back is None:
            return
        caller, code = frame.f_back.f_code, frame.f_code
        if caller.co_filename.startswith(self.cells) and caller.co_filename != self.test_file:
            ours = code.co_filename.startswith(_PACKAGE) and code.co_name in self.tested
            if ours or code in self.answers:
                self.reasons.add(f"{caller.co_name} calls the course's own {code.co_name}")


def _plain(value: Any) -> bool:
    return isinstance(value, types.FunctionType)


def _watched() -> list[tuple[str, Any]]:
    r"""The modules of the checker with their classes, and what comparisons rest on."""
    found = {"torch": torch, "torch.Tensor": torch.Tensor, "math": math, "builtins": builtins}
    for name, module in list(sys.modules.items()):
        if name.startswith(("vae_course.checks", "vae_course.require")):
            found[name] = module
            own = [v for v in vars(module).values() if isinstance(v, type)]
            found |= {f"{name}.{v.__name__}": v for v in own if v.__module__ == name}
    return list(found.items())


def _pretend_colab() -> None:
    r"""For a notebook that mounts its drive as Colab does: nothing happens instead of an error."""
    from unittest.mock import MagicMock

    sys.modules.setdefault("google", types.ModuleType("google"))
    sys.modules["google.colab"] = MagicMock()
    change, real = os.chdir, os.path.exists
    os.chdir = lambda path: change(path) if real(path) else None
