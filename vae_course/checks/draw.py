r"""Random arguments for exercises, all from one generator.

A letter in a shape is a size: `normal(g, "B", "D")` draws B and D once a case, different from each
other, so that no axis can be taken for another, and a later "B" of the same case has the same size.
"""

import torch
from torch import Generator, Tensor

LOW, HIGH = 3, 9  # sizes of the letters


class Case(Generator):
    r"""A generator of one case's arguments; it remembers what the letters stand for."""

    letters: dict[str, int]


def case(seed: int) -> Case:
    r"""The generator of the case with this seed."""
    generator = Case()
    generator.manual_seed(seed)
    generator.letters = {}
    return generator


def size(generator: Generator, letter: str) -> int:
    r"""What a letter stands for in this case: from 3 to 9, no two letters alike."""
    letters = generator.letters
    if letter not in letters:
        free = [each for each in range(LOW, HIGH + 1) if each not in letters.values()]
        letters[letter] = free[integer(generator, 0, len(free) - 1)]
    return letters[letter]


def _shape(generator: Generator, shape: tuple) -> list[int]:
    return [size(generator, each) if isinstance(each, str) else each for each in shape]


def integer(generator: Generator, low: int, high: int) -> int:
    r"""A whole number from low to high, both included."""
    return int(torch.randint(low, high + 1, (), generator=generator))


def number(generator: Generator, low: float = 0.0, high: float = 1.0) -> float:
    r"""A number between low and high."""
    return low + (high - low) * float(torch.rand((), generator=generator))


def sizes(generator: Generator, *, count: int, low: int, high: int) -> list[int]:
    r"""`count` different whole numbers from low to high."""
    return (torch.randperm(high - low + 1, generator=generator)[:count] + low).tolist()


def normal(generator: Generator, *shape: int | str, scale: float = 1.0) -> Tensor:
    r"""Normal numbers with standard deviation `scale`."""
    return scale * torch.randn(_shape(generator, shape), generator=generator)


def pixels(generator: Generator, *shape: int | str) -> Tensor:
    r"""Numbers in [0, 1]."""
    return torch.rand(_shape(generator, shape), generator=generator)


def fixed(*shape: int, seed: int = 7, scale: float = 1.0) -> Tensor:
    r"""Normal numbers that are the same at every call: for properties."""
    return scale * torch.randn(shape, generator=Generator().manual_seed(seed))
