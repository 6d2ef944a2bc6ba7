r"""Exercise checks that say what went wrong.

    verdict = checks.check("gaussian_kl", gaussian_kl)   # prints one box, returns a Verdict
    gaussian_kl = verdict.function                       # yours if it passed, else the reference
    checks.challenge("04", model)                        # a trained model against a target
    checks.exercises()                                   # what there is, by chapter
    print(checks.solution("gaussian_kl"))                # the reference

One module a chapter (`chapter01.py` …) holds its exercises as data; they are found by name.
"""

import difflib
import importlib
import os
import pkgutil
import secrets
from collections.abc import Callable
from dataclasses import replace
from functools import cache

from vae_course import progress, require

from ._exercise import Exercise, Mistake, Property
from ._verdict import CheckFailed, Verdict, show
from .challenges import challenge

__all__ = [
    "CheckFailed",
    "Exercise",
    "Mistake",
    "Property",
    "Verdict",
    "challenge",
    "check",
    "exercises",
    "solution",
]


@cache
def _by_name() -> dict[str, Exercise]:
    names = sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name.startswith("chapter"))
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names]
    return {exercise.name: exercise for module in modules for exercise in module.EXERCISES}


def exercises(chapter: int | None = None) -> list[Exercise]:
    r"""All exercises, or one chapter's: name, chapter, signature, minutes, difficulty.

    Raises: ValueError if there is no such chapter.
    """
    known = {e.chapter for e in _by_name().values()}
    if chapter is not None and not (isinstance(chapter, int) and chapter in known):
        came = chapter if isinstance(chapter, int | float | str) else require.kind(chapter)
        raise ValueError(f"there is no chapter {came!r}; expected one of {sorted(known)}")
    return [e for e in _by_name().values() if chapter in (None, e.chapter)]


def exercise(name: str) -> Exercise:
    r"""The exercise of this name. Raises: ValueError that lists what there is."""
    known = _by_name()
    if isinstance(name, str) and name in known:
        return known[name]
    near = difflib.get_close_matches(str(name), known, n=1)
    meant = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"no exercise is called {name!r}.{meant} There are: {', '.join(known)}")


def solution(name: str) -> str:
    r"""Source text of the reference solution."""
    return exercise(name).solution


def check(name: str, function: Callable, *, seed: int | None = None) -> Verdict:
    r"""Check a function against an exercise, print the verdict and return it.

    Inputs are drawn fresh at every call; `seed` repeats one particular draw. While nbgrader
    grades (NBGRADER_EXECUTION is set), anything but "passed" raises CheckFailed as well.

    Raises: ValueError for an unknown exercise, TypeError for a seed that is no whole number;
        CheckFailed as above.
    """
    if seed is not None:
        require.seed(seed)
    chosen = exercise(name)
    verdict = _verdict(chosen, function, secrets.randbits(31) if seed is None else seed)
    verdict = replace(verdict, function=function if verdict.passed else chosen.reference)
    if verdict.passed:
        progress.record("exercises", chosen.name)
    show(verdict)
    if os.environ.get("NBGRADER_EXECUTION") and not verdict.passed:
        raise CheckFailed(f"\n{verdict}")
    return verdict


def _verdict(chosen: Exercise, function: Callable, seed: int) -> Verdict:
    from . import _diagnose, _run

    if function is None or function is Ellipsis:
        return Verdict(chosen.name, "not attempted", hint="Define the function first.")
    if not callable(function):
        hint = (
            f"A {type(function).__name__} came instead of a function. Pass the function itself, "
            f"without calling it: checks.check({chosen.name!r}, {chosen.name})"
        )
        return Verdict(chosen.name, "error", hint=hint)
    try:
        with _run.sheltered(), _run.time_limit():
            return _diagnose.judge(chosen, function, seed)
    except _run.TooSlow as slow:
        hint = f"There was {slow}: is there a loop that never ends?"
        return Verdict(chosen.name, "error", hint=hint)
