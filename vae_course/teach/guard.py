r"""The surroundings in which `verify` runs a student's cells: what they may import and reach.

A fence against shortcuts and accidents, not a sandbox: Python can't keep a determined attacker in
the same process out. `fence` limits what such code can do to the machine.
"""

from __future__ import annotations

import ast
import builtins
import re
import types
from collections.abc import Callable
from typing import Any

ALLOWED = {
    "__future__", "abc", "cmath", "collections", "copy", "dataclasses", "decimal", "enum",
    "fractions", "functools", "heapq", "itertools", "json", "math", "numbers", "operator",
    "random", "re", "statistics", "string", "textwrap", "time", "typing", "warnings",
    "IPython", "PIL", "ipywidgets", "matplotlib", "mlxtend", "mpl_toolkits", "numpy",
    "pandas", "scipy", "seaborn", "sklearn", "torch", "torchmetrics", "torchvision", "tqdm"
}  # fmt: skip
DUNDERS = {
    "__init__", "__call__", "__name__", "__main__", "__len__", "__getitem__", "__setitem__",
    "__iter__", "__next__", "__repr__", "__str__", "__doc__", "__enter__", "__exit__",
    "__version__", "__all__", "__post_init__", "__future__", "__annotations__"
}  # fmt: skip
DUNDER = re.compile(r"__\w+__")
# Ways from an object to the interpreter, by attribute: modules that other modules hold, frames.
REACHING = {
    "sys", "os", "builtins", "inspect", "subprocess", "gc", "ctypes", "importlib", "_os",
    "_sys", "modules", "f_back", "f_globals", "f_locals", "f_code", "tb_frame", "gi_frame",
    "cr_frame", "ag_frame", "_getframe", "_C"
}  # fmt: skip
REMOVED = [
    "eval", "exec", "compile", "open", "input", "breakpoint", "exit", "quit", "globals",
    "vars", "help"
]  # fmt: skip


class NotWhileGraded(RuntimeError):
    r"""A student's cell used something that is not there while its functions are checked."""


def objections(source: str) -> list[str]:
    r"""What in a cell reaches for the interpreter's insides, each in words. Empty is usual.

    Raises: SyntaxError, ValueError, RecursionError, MemoryError for text that is no Python.
    """
    found = []
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Attribute):
            names = [node.attr]
            if node.attr in REACHING:
                found.append(f"uses .{node.attr}")
        elif isinstance(node, ast.Name):
            names = [node.id]
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names = [node.name]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            names = [node.value] if DUNDER.fullmatch(node.value) else []
        elif isinstance(node, ast.alias):
            names = node.name.split(".")
        found += [f"uses {n}" for n in names if DUNDER.fullmatch(n) and n not in DUNDERS]
    return sorted(set(found))


class _Missing:
    r"""Stands in for what is not allowed: having it is fine, calling it is not."""

    def __init__(self, name: str, refused: list[str]):
        self._name, self._refused = name, refused

    def __getattr__(self, attribute: str):
        return _Missing(f"{self._name}.{attribute}", self._refused)

    def __call__(self, *args, **kwargs):
        self._refused.append(f"a cell calls {self._name}")
        raise NotWhileGraded(f"{self._name} is not available while your functions are checked")

    def __setitem__(self, key, value):  # os.environ[…] = …
        pass

    def __getitem__(self, key):
        return _Missing(f"{self._name}[…]", self._refused)


def namespace(course: dict[str, Any], refused: list[str]) -> dict[str, Any]:
    r"""A namespace for the student's cells.

    `course` gives the parts of vae_course that may be imported, by name; `refused` collects what
    was asked for and is not there.
    """
    package = types.ModuleType("vae_course")
    vars(package).update(course)

    def fetch(name, globals=None, locals=None, fromlist=(), level=0):
        root, _, rest = name.partition(".")
        if root == "vae_course":
            part = rest.partition(".")[0]
            wanted = [part] if part else list(fromlist or ())
            unknown = [each for each in wanted if each not in course]
            if not unknown:
                return course[part] if part and fromlist else package
            refused.append(f"a cell imports vae_course.{unknown[0]}")
            raise ImportError(f"vae_course.{unknown[0]} is not part of this assignment")
        if root in ALLOWED:
            return builtins.__import__(name, globals, locals, fromlist, level)
        return _Missing(root, refused)

    safe = {k: v for k, v in vars(builtins).items() if k not in REMOVED}
    safe |= {name: _Missing(name, refused) for name in REMOVED}
    safe |= {
        "__import__": fetch,
        "getattr": _by_name(getattr),
        "setattr": _by_name(setattr),
        "delattr": _by_name(delattr),
        "hasattr": _by_name(hasattr),
        "print": lambda *args, **kwargs: None,
        "display": lambda *args, **kwargs: None,
        "get_ipython": lambda: _Shell(),
    }
    return {"__name__": "__main__", "__builtins__": safe}


def _by_name(function: Callable) -> Callable:
    def checked(target, name, *rest):
        if name in REACHING or (DUNDER.fullmatch(str(name)) and name not in DUNDERS):
            raise NotWhileGraded(f"{function.__name__} of {name!r} is not available here")
        return function(target, name, *rest)

    return checked


class _Shell:
    r"""`%matplotlib inline` and the like: nothing happens."""

    def __getattr__(self, name: str):
        return lambda *args, **kwargs: None
