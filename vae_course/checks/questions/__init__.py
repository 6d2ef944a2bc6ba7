r"""Questions with numbers of one's own: the graded assignments ask them, `graded` checks them.

One module a chapter (`chapter01.py` …) holds its questions as data; they are found by name.
"""

import difflib
import hashlib
import importlib
import pkgutil
from functools import cache
from random import Random
from types import SimpleNamespace

from .question import Question, Slip

__all__ = ["Question", "Slip", "numbers", "question", "questions"]


@cache
def _by_name() -> dict[str, Question]:
    names = sorted(m.name for m in pkgutil.iter_modules(__path__) if m.name.startswith("chapter"))
    modules = [importlib.import_module(f"{__name__}.{name}") for name in names]
    return {question.name: question for module in modules for question in module.QUESTIONS}


def questions(chapter: int | None = None) -> list[Question]:
    r"""All questions, or one chapter's."""
    return [q for q in _by_name().values() if chapter in (None, q.chapter)]


def question(name: str) -> Question:
    r"""The question of this name. Raises: ValueError that lists what there is."""
    known = _by_name()
    if name in known:
        return known[name]
    near = difflib.get_close_matches(str(name), known, n=1)
    meant = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"no question is called {name!r}.{meant} There are: {', '.join(known)}")


def numbers(asked: Question, student: str) -> SimpleNamespace:
    r"""The numbers that this student gets, the same on every machine and at every call."""
    digest = hashlib.sha256(f"{asked.name}\n{student}".encode()).digest()
    return SimpleNamespace(**asked.draw(Random(int.from_bytes(digest[:8], "big"))))
