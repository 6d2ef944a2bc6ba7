r"""What a question with numbers of one's own is: data and small functions."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any


@dataclass(frozen=True)
class Slip:
    r"""A known wrong way to the answers, and the sentence that puts the student right.

    wrong(numbers) gives the answers that this slip leads to: all of them, or some by name, or
    none where a student's numbers make no difference.
    """

    name: str
    hint: str
    wrong: Callable[[Any], dict[str, float]]


@dataclass(frozen=True)
class Question:
    r"""A question whose numbers differ from student to student.

    name       "04-kl-of-a-code": the chapter, then what it is about
    draw       draw(random) -> dict of the student's numbers (rounded, so that they print in full),
               or small data (lists); `random` is a `random.Random` seeded by the student's name
    text       the student's numbers as printed, a format string over what `draw` gave
    answers    answers(numbers) -> dict of name to number; `numbers` has what `draw` gave as
               attributes. Whole numbers (int) are compared exactly.
    slips      known wrong ways; each differs from the right answers for every student
    unit       unit of each answer, for example {"kl": "nats"}
    rtol       how far a decimal number may be off: a hand calculator's rounding passes
    """

    name: str
    draw: Callable[[Random], dict[str, Any]]
    text: str
    answers: Callable[[Any], dict[str, float]]
    slips: tuple[Slip, ...]
    unit: dict[str, str]
    rtol: float = 5e-3

    @property
    def chapter(self) -> int:
        return int(self.name[:2])
