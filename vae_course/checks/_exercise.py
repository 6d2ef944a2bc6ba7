r"""What an exercise is: data and small functions. A chapter module holds nothing else."""

import inspect
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import Generator


@dataclass(frozen=True)
class Mistake:
    r"""A known wrong answer and the sentence that puts the student right.

    Either a slip, which the exercise's `slipped` function makes when it finds `name` among the
    slips (slips combine: pairs are tried too), or, with `alone`, a whole wrong function.
    """

    name: str
    hint: str
    alone: Callable | None = None


@dataclass(frozen=True)
class Property:
    r"""Something every right answer satisfies: `holds(function)` is True.

    Tested when the values agree as well: it covers what random inputs do not reach (an overflow,
    a gradient that is cut). `hint` says what was tried and what should have come out.
    """

    name: str
    holds: Callable[[Callable], bool]
    hint: str


@dataclass(frozen=True)
class Exercise:
    r"""One exercise: its reference, how inputs are drawn, its known mistakes and properties.

    case(generator)        fresh arguments, as a tuple; called anew for every call of a function,
                           so a function that edits its inputs harms nobody.
    slipped(slips, *args)  the reference with the named slips made in it; without slips it must
                           equal the reference (a test compares them).
    observe(function, args)  what is compared, a dict of tensors, numbers, bools or strings.
                           Default: the returned value. Where the answer is random or changes
                           its arguments, observe properties instead (mean, spread, gradients).
    explain                a sentence for each observed field, shown when it differs and no
                           catalogued mistake fits.
    rtol, atol             how far an observation may be from the reference's.
    """

    name: str
    chapter: int
    minutes: int
    difficulty: int  # 1 a line, 2 a few lines, 3 think first
    returns: str
    reference: Callable
    case: Callable[[Generator], tuple]
    mistakes: tuple[Mistake, ...]
    slipped: Callable | None = None
    observe: Callable | None = None
    explain: dict[str, str] | None = None
    properties: tuple[Property, ...] = ()
    cases: int = 4
    rtol: float = 1e-3
    atol: float = 1e-5

    @property
    def signature(self) -> str:
        parameters = inspect.signature(self.reference).parameters.values()
        plain = [p.replace(annotation=inspect.Parameter.empty) for p in parameters]
        return f"{self.name}{inspect.Signature(plain)}"

    @property
    def solution(self) -> str:
        return textwrap.dedent(inspect.getsource(self.reference)).strip()

    def with_slips(self, *names: str) -> Callable:
        r"""The function a student writes who makes the named mistakes."""
        for mistake in self.mistakes:
            if mistake.alone is not None and mistake.name in names:
                return mistake.alone
        return partial(self.slipped, frozenset(names))

    def __repr__(self) -> str:
        level = ("easy", "medium", "hard")[self.difficulty - 1]
        return f"{self.chapter:02d}  {level:6s}  {self.minutes:2d} min  {self.signature}"
