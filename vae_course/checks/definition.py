r"""What an exercise is: a reference, how its inputs are drawn, known mistakes, and properties.

    def gaussian_kl(mean, log_var):
        per_dimension = 0.5 * (mean.square() + log_var.exp() - 1 - log_var)  # (B, D)
        return per_dimension.sum(dim=1)  # (B,)

    kl = Exercise(
        gaussian_kl,
        inputs=lambda g: (draw.normal(g, "B", "D"), draw.normal(g, "B", "D")),
        returns="(B,), nats",
    )
    kl.mistake("half-missing", edit=("0.5 * (", "("), hint="The ½ is missing.")
    kl.must("zero-at-the-prior", lambda f: ..., hint="At the prior the KL is 0.")

docs/add_an_exercise.md goes through it step by step.
"""

import ast
import inspect
import itertools
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from torch import Generator

Edit = tuple[str, str]


@dataclass(frozen=True)
class Mistake:
    r"""A known wrong answer and the sentence that puts the student right.

    Either edits of the reference's text, as (start, end, new text), or a whole wrong function.
    """

    name: str
    hint: str
    spans: tuple[tuple[int, int, str], ...] = ()
    function: Callable | None = None
    in_pairs: bool = True

    def combines_with(self, other: "Mistake") -> bool:
        r"""Whether both can be made at once: two edits of different places."""
        if not (self.in_pairs and other.in_pairs and self.spans and other.spans):
            return False
        return all(a[1] <= b[0] or b[1] <= a[0] for a in self.spans for b in other.spans)


@dataclass(frozen=True)
class Property:
    r"""Something that every right answer satisfies: `holds(function)` is True.

    `hint` says what was tried and what should have come out. Of a wrong answer that nobody listed
    the first property that fails is told, so begin with what is plain to see.
    """

    name: str
    holds: Callable[[Callable], bool]
    hint: str


@dataclass(eq=False, repr=False)
class Exercise:
    r"""One exercise.

    reference    the right answer; its name, signature and source text are the exercise's
    inputs       inputs(generator) → the arguments of one case, as a tuple; see `draw`
    returns      shape and unit of what comes back: what is not said here is not demanded
    gradient     names of the arguments that a gradient must reach, if `returns` asks for one
    observe      observe(function, args) → what is compared, a dict of tensors, numbers, bools or
                 strings; default: the returned value. Where the answer is random or changes its
                 arguments, observe what every right answer shares (averages, changes).
    explain      a sentence for each observed field, shown when it differs and no known mistake fits
    rtol, atol   how far an observation may be from the reference's
    """

    reference: Callable
    inputs: Callable[[Generator], tuple]
    returns: str
    chapter: int = 0
    minutes: int = 10
    difficulty: int = 2  # 1 a line, 2 a few lines, 3 think first
    gradient: tuple[str, ...] = ()
    observe: Callable[[Callable, tuple], dict[str, Any]] | None = None
    explain: dict[str, str] = field(default_factory=dict)
    cases: int = 4
    rtol: float = 1e-3
    atol: float = 1e-5
    mistakes: list[Mistake] = field(default_factory=list, init=False)
    properties: list[Property] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        parameters = inspect.signature(self.reference).parameters
        unknown = set(self.gradient) - set(parameters)
        if unknown:
            raise ValueError(f"gradient names {sorted(unknown)}; there are {', '.join(parameters)}")

    # ------------------------------------------------------------------ what an author writes

    def mistake(
        self,
        name: str,
        *,
        hint: str,
        edit: Edit | Iterable[Edit] = (),
        function: Callable | None = None,
        in_pairs: bool = True,
    ) -> "Exercise":
        r"""Add a known mistake: edits of the reference's text, or a whole wrong function.

        edit      (old, new), or several; each `old` must stand in the reference exactly once.
                  Two edits of different places are also recognised together, unless
                  in_pairs=False.

        Raises: ValueError for a name that is taken, an empty hint, an edit that matches nowhere or
            twice, or one that leaves no valid Python.
        """
        if any(name == known.name for known in self.mistakes):
            raise ValueError(f"{self.name} has a mistake called {name!r} already")
        if not (isinstance(hint, str) and hint.strip()):
            raise ValueError(f"mistake {name!r} needs a hint: the sentence that the student reads")
        edits = [edit] if edit and isinstance(edit[0], str) else list(edit)
        if bool(edits) == (function is not None):
            raise ValueError(f"mistake {name!r} needs either edit=(old, new) or function=…")
        made = Mistake(name, hint, tuple(self._span(name, *e) for e in edits), function, in_pairs)
        if edits:
            self._edited([made])
        self.mistakes.append(made)
        return self

    def must(self, name: str, holds: Callable[[Callable], bool], *, hint: str) -> "Exercise":
        r"""Add a property: `holds(function)` is true of every right answer."""
        self.properties.append(Property(name, holds, hint))
        return self

    # ------------------------------------------------------------------------ what it answers

    @property
    def name(self) -> str:
        return self.reference.__name__

    @property
    def signature(self) -> str:
        parameters = inspect.signature(self.reference).parameters.values()
        plain = [p.replace(annotation=inspect.Parameter.empty) for p in parameters]
        return f"{self.name}{inspect.Signature(plain)}"

    @property
    def parameters(self) -> list[str]:
        return list(inspect.signature(self.reference).parameters)

    @property
    def solution(self) -> str:
        return _source(self.reference).strip()

    def wrong(self, *names: str) -> Callable:
        r"""The function of a student who makes the named mistakes.

        Raises: ValueError for an unknown mistake, or for two that can't be made at once.
        """
        known = {mistake.name: mistake for mistake in self.mistakes}
        unknown = [name for name in names if name not in known]
        if unknown or not names:
            raise ValueError(f"{self.name} knows no mistake {unknown}; there are {sorted(known)}")
        return self.make([known[name] for name in names])

    def make(self, mistakes: list[Mistake]) -> Callable:
        r"""The function with these mistakes in it."""
        for one, other in itertools.combinations(mistakes, 2):
            if not one.combines_with(other):
                raise ValueError(f"{one.name} and {other.name} can't be made at once")
        if mistakes[0].function is not None:
            return mistakes[0].function
        return _compiled(self.reference, self._edited(mistakes))

    def pairs(self) -> list[list[Mistake]]:
        r"""All two mistakes that can be made at once."""
        every = itertools.combinations(self.mistakes, 2)
        return [list(pair) for pair in every if pair[0].combines_with(pair[1])]

    def _span(self, name: str, old: str, new: str) -> tuple[int, int, str]:
        text = _source(self.reference)
        count = text.count(old) if old else 0
        if count != 1:
            where = "nowhere" if count == 0 else f"{count} times"
            raise ValueError(
                f"mistake {name!r} of {self.name}: {old!r} stands {where} in the reference; it has "
                f"to match exactly once. The reference is:\n{text}"
            )
        start = text.index(old)
        return start, start + len(old), new

    def _edited(self, mistakes: list[Mistake]) -> str:
        text = _source(self.reference)
        for start, end, new in sorted((s for m in mistakes for s in m.spans), reverse=True):
            text = text[:start] + new + text[end:]
        try:
            ast.parse(text)
        except SyntaxError as error:
            names = " and ".join(mistake.name for mistake in mistakes)
            raise ValueError(f"{names} of {self.name} is no valid Python:\n{text}") from error
        return text

    def __repr__(self) -> str:
        level = ("easy", "medium", "hard")[self.difficulty - 1]
        return f"{self.chapter:02d}  {level:6s}  {self.minutes:2d} min  {self.signature}"


@cache
def _source(function: Callable) -> str:
    try:
        return textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError) as error:
        raise ValueError(
            f"the text of {function!r} can't be read, so it can't be edited. Write the reference "
            "with `def`, in a file or in a notebook cell."
        ) from error


@cache
def _compiled(reference: Callable, text: str) -> Callable:
    space = dict(reference.__globals__) | inspect.getclosurevars(reference).nonlocals
    exec(compile(text, f"<{reference.__name__} with a mistake>", "exec"), space)
    return space[reference.__name__]
