r"""Random arguments for the exercises' cases, all from one generator."""

import torch
from torch import Generator, Tensor


def integer(generator: Generator, low: int, high: int) -> int:
    r"""A whole number from low to high, both included."""
    return int(torch.randint(low, high + 1, (), generator=generator))


def sizes(generator: Generator, *, count: int, low: int, high: int) -> list[int]:
    r"""`count` different whole numbers from low to high: no axis can be taken for another."""
    return (torch.randperm(high - low + 1, generator=generator)[:count] + low).tolist()


def normal(generator: Generator, *shape: int, scale: float = 1.0) -> Tensor:
    r"""Normal numbers with standard deviation `scale`."""
    return scale * torch.randn(shape, generator=generator)


def pixels(generator: Generator, *shape: int) -> Tensor:
    r"""Numbers in [0, 1]."""
    return torch.rand(shape, generator=generator)
