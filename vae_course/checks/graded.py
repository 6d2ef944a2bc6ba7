r"""What the cells of a graded assignment call: the same for the student and for the grader.

    numbers = graded.numbers("04-kl-of-a-code", STUDENT)    # your own numbers, printed too
    graded.answers("04-kl-of-a-code", STUDENT, points=3, kl=kl, bits=bits)
    graded.check("gaussian_kl", gaussian_kl)
    kl = graded.attempt(lambda: gaussian_kl(mean, log_var), needs="gaussian_kl")
    if kl is not None:                                      # the story goes on

For a student they print and never raise. While nbgrader runs the notebook
(NBGRADER_EXECUTION is set), `check` raises unless the exercise is solved, and `answers` returns
the points earned, which nbgrader takes as partial credit from the last line of a test cell.
"""

import math
import numbers as abstract_numbers
import os
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from vae_course import checks
from vae_course.checks import CheckFailed, Verdict, errors, questions
from vae_course.checks.sandbox import is_stub
from vae_course.checks.verdict import show
from vae_course.printing import say

EXAMPLE = "your-id"  # what STUDENT is in an assignment that nobody filled in
ALPHABET = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,63}")

__all__ = ["EXAMPLE", "answers", "attempt", "check", "numbers", "student"]


def student(name: str) -> str:
    r"""The identifier whose numbers count: the one handed in under, when graded.

    Raises: ValueError for a name that can't be one.
    """
    given = os.environ.get("VAE_COURSE_STUDENT")
    if given:
        return given.strip().lower()
    if not isinstance(name, str) or not ALPHABET.fullmatch(name.strip()):
        raise ValueError(
            f"STUDENT is {name!r}. Expected is the identifier under which you hand in: letters, "
            "digits and any of _ . @ -, without spaces, a letter or digit first. Set it in the "
            "cell at the top."
        )
    return name.strip().lower()


def numbers(question: str, name: str) -> SimpleNamespace:
    r"""The student's own numbers of a question, as attributes; prints them as well."""
    asked, who = questions.question(question), student(name)
    mine = questions.numbers(asked, who)
    if who == EXAMPLE:
        say("STUDENT is not set yet: these are example numbers, not yours.")
    say(asked.text.format(**vars(mine)))
    return mine


def attempt(make: Callable[[], Any], *, needs: str = "the function above") -> Any | None:
    r"""What `make()` returns, or None with one printed line while `needs` is not filled in.

    For the cells that use what the student wrote: they never end in a traceback.
    """
    try:
        value = make()
    except NotImplementedError:
        value = None
    except Exception as error:
        surroundings = getattr(make, "__globals__", {})
        asked = [surroundings.get(word) for word in re.findall(r"\w+", needs)]
        # A stub's None or `...`, with which this line went on, is no mistake yet.
        if not any(map(is_stub, asked)) and "ellipsis" not in str(error):
            told = errors.explain(error).replace("\n", "\n  ")
            say(f"not there yet: in {needs}, or the line that uses it, {told}")
            return None
        value = None
    if value is None or value is Ellipsis:
        say(f"not attempted yet: fill in {needs} first")
        return None
    return value


def check(name: str, function: Callable) -> None:
    r"""`checks.check`, for a function that is the student's own.

    Raises: CheckFailed while nbgrader runs, unless the exercise is solved.
    """
    if str(getattr(function, "__module__", "")).split(".")[0] == "vae_course":
        hint = "This is the course's function. What counts is one that you write."
        _report(Verdict(name, "wrong", mistake="not-own-work", hint=hint))
        return
    checks.check(name, function)


def answers(question: str, name: str, *, points: float, **given: Any) -> float | None:
    r"""Check a question's answers by name; each right one earns its equal part of `points`.

    Returns the points while nbgrader grades, else None. Raises: CheckFailed while nbgrader
    validates, unless all are right; ValueError for a name that the question does not ask for.
    """
    asked, who = questions.question(question), student(name)
    mine = questions.numbers(asked, who)
    expected = asked.answers(mine)
    if given.keys() != expected.keys():
        raise ValueError(
            f"question {question!r} asks for {', '.join(expected)}; {', '.join(given)} came"
        )
    verdicts = [_verdict(asked, mine, part, given[part], expected[part]) for part in expected]
    for verdict in verdicts:
        show(verdict)
    if os.environ.get("VAE_COURSE_STUDENT") and str(name).strip().lower() not in (who, EXAMPLE):
        say(f"Handed in by {who!r}, but the notebook says STUDENT = {name!r}: {who!r} counts.")
    earned = points * sum(verdict.passed for verdict in verdicts) / len(verdicts)
    if not os.environ.get("NBGRADER_EXECUTION"):
        return None
    if os.environ["NBGRADER_EXECUTION"] == "validate" and earned < points:
        raise CheckFailed("\n" + "\n".join(str(v) for v in verdicts if not v.passed))
    return round(earned, 4)


def _verdict(asked, mine, part: str, got: Any, expected: float) -> Verdict:
    r"""One answer: right, a known slip, or how far off it is."""
    name = f"{asked.name} · {part}"
    if got is None or got is Ellipsis:
        return Verdict(name, "not attempted", hint=f"Set {part} to your answer.")
    value = _number(got)
    if value is None:
        kind = type(got).__name__
        return Verdict(name, "error", hint=f"{part} is a {kind}. Expected is one number.")
    if _close(value, expected, asked.rtol):
        return Verdict(name, "passed")
    found = [
        slip
        for slip in asked.slips
        if part in (led_to := slip.wrong(mine)) and _close(value, led_to[part], asked.rtol)
    ]
    if found:
        hint = " Or: ".join(slip.hint for slip in found)
        return Verdict(name, "wrong", mistake=found[0].name, hint=hint)
    return Verdict(name, "wrong", hint=_how_far(value, expected, asked.unit.get(part, "")))


def _number(got: Any) -> float | None:
    r"""A Python, NumPy or torch number as a float or int; None for anything else."""
    if isinstance(got, bool):
        return None
    if hasattr(got, "item") and getattr(got, "size", None) is not None:
        try:
            got = got.item()  # a tensor or array of one element
        except (RuntimeError, ValueError, TypeError):
            return None
    return got if isinstance(got, abstract_numbers.Real) and not isinstance(got, bool) else None


def _close(value: float, expected: float, rtol: float) -> bool:
    if isinstance(expected, int):
        return value == expected
    return math.isclose(value, expected, rel_tol=rtol, abs_tol=1e-9)


def _how_far(value: float, expected: float, unit: str) -> str:
    r"""A hint that does not give the answer away: not a number, sign, size, or nearly."""
    asked_in = f" It is asked in {unit}." if unit else ""
    if not math.isfinite(value):
        return f"That is {value}, not a finite number."
    if expected and value == -expected:
        return "The size is right and the sign is not."
    if isinstance(expected, int) and value != int(value):
        return "The answer is a whole number."
    if math.isclose(value, expected, rel_tol=0.05):
        return f"Close: within 5 %. A rounding on the way?{asked_in}"
    larger = "too large" if value > expected else "too small"
    return f"That is {larger}.{asked_in}"


def _report(verdict: Verdict) -> None:
    show(verdict)
    if os.environ.get("NBGRADER_EXECUTION"):
        raise CheckFailed(f"\n{verdict}")
