r"""Exercise checks that say what went wrong.

    verdict = checks.check("gaussian_kl", gaussian_kl)   # prints one box, returns a Verdict
    gaussian_kl = verdict.function                       # yours if it passed, else the reference
    checks.challenge("04", model)                        # a trained model against a target
    checks.exercises()                                   # what there is, by chapter
    print(checks.solution("gaussian_kl"))                # the reference
    checks.load("mine.py")                               # exercises of your own, by name as well

One module a chapter (`chapter01.py` …) holds its exercises as data; they are found by name.
"""

import difflib
import importlib
import importlib.util
import os
import pkgutil
import sys
import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

from vae_course import progress, require

from .challenges import challenge
from .definition import Exercise, Mistake, Property
from .verdict import CheckFailed, Verdict, show

__all__ = [
    "CheckFailed",
    "Exercise",
    "Mistake",
    "Property",
    "Verdict",
    "challenge",
    "check",
    "exercise",
    "exercises",
    "hint",
    "judge",
    "load",
    "solution",
]

_loaded: dict[str, Exercise] = {}  # from files of one's own


@cache
def _ours() -> dict[str, Exercise]:
    names = sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name.startswith("chapter"))
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names]
    return {each.name: each for module in modules for each in _defined(module)}


def _defined(module) -> list[Exercise]:
    return [each for each in vars(module).values() if isinstance(each, Exercise)]


def exercises(chapter: int | None = None) -> list[Exercise]:
    r"""All exercises of the course, or one chapter's: name, signature, minutes, difficulty.

    Raises: ValueError if there is no such chapter.
    """
    known = {e.chapter for e in _ours().values()}
    if chapter is not None and not (isinstance(chapter, int) and chapter in known):
        came = chapter if isinstance(chapter, int | float | str) else require.kind(chapter)
        raise ValueError(f"there is no chapter {came!r}; expected one of {sorted(known)}")
    return [e for e in _ours().values() if chapter in (None, e.chapter)]


def exercise(name: str | Exercise) -> Exercise:
    r"""The exercise of this name, the course's or a loaded one; an exercise is handed back.

    Raises: ValueError that lists what there is.
    """
    if isinstance(name, Exercise):
        return name
    known = _ours() | _loaded
    if isinstance(name, str) and name in known:
        return known[name]
    near = difflib.get_close_matches(str(name), known, n=1)
    meant = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"no exercise is called {name!r}.{meant} There are: {', '.join(known)}")


def load(path: str | os.PathLike[str]) -> list[Exercise]:
    r"""Run a Python file that defines exercises; `check` knows them by name from then on.

    Raises: FileNotFoundError; ValueError if the file defines no exercise.
    """
    file = Path(path).resolve()
    if not file.is_file():
        raise FileNotFoundError(f"there is no file {file}")
    name = f"vae_course_exercises_{file.stem}_{zlib.crc32(str(file).encode()):08x}"
    specification = importlib.util.spec_from_file_location(name, file)
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    specification.loader.exec_module(module)
    found = _defined(module)
    if not found:
        raise ValueError(f"{file.name} defines no Exercise: see docs/add_an_exercise.md")
    _loaded.update({each.name: each for each in found})
    return found


def solution(name: str) -> str:
    r"""Source text of the reference solution."""
    return exercise(name).solution


def hint(name: str, mistake: str) -> str:
    r"""The catalogue's sentence for a mistake or property of an exercise, or ''."""
    chosen = exercise(name)
    known = {each.name: each.hint for each in (*chosen.mistakes, *chosen.properties)}
    return known.get(mistake, _GENERAL.get(mistake, ""))


_GENERAL = {
    "not-own-work": "The course's own function was called or handed in.",
    "edits-its-input": "The function changes its argument in place.",
    "calls-backward": "The loss sends its gradient back itself.",
    "gradient": "The value is right, but the gradient is cut or wrong.",
    "return-missing": "A `return` is missing.",
    "nan": "The answer holds NaN.",
    "shape": "The answer has the wrong shape.",
    "too-slow": "The function did not come to an end.",
}


def check(name: str | Exercise, function: Callable, *, seed: int | None = None) -> Verdict:
    r"""Check a function against an exercise, print the verdict and return it.

    The same function gets the same verdict at every call; `seed` draws other inputs. While
    nbgrader grades (NBGRADER_EXECUTION is set), anything but "passed" raises CheckFailed as well.

    Raises: ValueError for an unknown exercise, TypeError for a seed that is no whole number;
        CheckFailed as above.
    """
    if seed is not None:
        require.seed(seed)
    chosen = exercise(name)
    found = judge(chosen, function, seed)
    found = replace(found, function=function if found.passed else chosen.reference)
    if found.passed:
        progress.record("exercises", chosen.name)
    show(found, _done(chosen.chapter))
    if os.environ.get("NBGRADER_EXECUTION") and not found.passed:
        raise CheckFailed(f"\n{found}")
    return found


def _done(chapter: int) -> str:
    r"""The chapter's exercises, those passed with a sign: "Chapter 04: ✓ a · ○ b (1 of 2)"."""
    passed = progress.done("exercises")
    names = [each.name for each in _ours().values() if each.chapter == chapter]
    # Signs that stay beside their names where the line is broken.
    signs = " · ".join(f"{'✓' if name in passed else '○'}\u00a0{name}" for name in names)
    count = f"{sum(name in passed for name in names)} of {len(names)}"
    return f"Chapter {chapter:02d}: {signs} ({count})" if names else ""


def judge(exercise: Exercise, function: Callable, seed: int | None = None) -> Verdict:
    r"""The verdict of `check`, without printing it."""
    from . import diagnose

    usual = zlib.crc32(exercise.name.encode()) % 2**31
    return diagnose.judge(exercise, function, usual if seed is None else seed)
