r"""What public functions ask of their arguments, so that all of them refuse in the same words."""

import functools
import math
from numbers import Integral, Real

import torch
from torch import Generator, Tensor


def kind(thing: object) -> str:
    r"""What came, for a message: "a list", "None", "the class int"."""
    if thing is None:
        return "None"
    return f"the class {thing.__name__}" if isinstance(thing, type) else f"a {type(thing).__name__}"


def check_tensors(**given: Tensor) -> None:
    r"""Raises: TypeError unless all are tensors of floats."""
    for name, value in given.items():
        if not isinstance(value, Tensor):
            raise TypeError(
                f"{name} is {kind(value)}; expected a torch.Tensor: torch.as_tensor may convert it"
            )
        if not value.is_floating_point():
            raise TypeError(f"{name} has dtype {value.dtype}; expected floats: {name}.float()")


def check_whole_tensor(name: str, value: Tensor, *, dims: int, dtypes=()) -> None:
    r"""Raises: TypeError unless it holds whole numbers, ValueError on other dimensions."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} is {kind(value)}; expected a torch.Tensor of whole numbers")
    dtype = value.dtype
    if dtype.is_floating_point or dtype.is_complex or dtype == torch.bool:
        raise TypeError(f"{name} has dtype {dtype}; expected whole numbers: {name}.long()")
    if dtypes and dtype not in dtypes:
        raise TypeError(f"{name} has dtype {dtype}; expected int64: {name}.long()")
    if value.dim() != dims:
        raise ValueError(f"{name} has shape {tuple(value.shape)}; expected {dims} dimensions")


def check_whole(*, least: int = 1, **given: int) -> None:
    r"""Raises: TypeError unless all are whole numbers, ValueError if one is below `least`."""
    for name, value in given.items():
        if not isinstance(value, Integral) or isinstance(value, bool):
            came = f"{value!r}" if isinstance(value, Real) else kind(value)
            raise TypeError(f"{name} is {came}; expected a whole number")
        if value < least:
            raise ValueError(f"{name} is {value}; expected {least} or more")


def check_numbers(*, least: float = -math.inf, most: float = math.inf, **given: float) -> None:
    r"""Raises: TypeError unless all are single numbers, ValueError if infinite or out of range."""
    for name, value in given.items():
        alone = isinstance(value, Tensor) and value.dim() == 0
        if not (alone or isinstance(value, Real)):
            raise TypeError(f"{name} is {kind(value)}; expected a number")
        if not (least <= value <= most and -math.inf < value < math.inf):
            bounds = [f"{least:g} or more"] * (least > -math.inf)
            bounds += [f"{most:g} or less"] * (most < math.inf)
            raise ValueError(
                f"{name} is {float(value):g}; expected a finite number{', ' * bool(bounds)}"
                f"{', '.join(bounds)}"
            )


def check_seed(seed: int) -> None:
    r"""Raises: TypeError unless it is a whole number, ValueError if torch can't hold it."""
    check_whole(seed=seed, least=-(2**63))
    if seed >= 2**63:
        raise ValueError(f"seed is {seed}; expected a number below 2⁶³")


def check_generator(generator: Generator | None) -> None:
    r"""Raises: TypeError unless it is a source of random numbers, or None."""
    if generator is not None and not isinstance(generator, Generator):
        raise TypeError(
            f"generator is {kind(generator)}; expected torch.Generator().manual_seed(0), say"
        )


def common_floats(*tensors: Tensor) -> tuple[Tensor, ...]:
    r"""The tensors in one dtype, float32 or finer, for what is not there in half precision."""
    dtype = functools.reduce(torch.promote_types, (t.dtype for t in tensors), torch.float32)
    return tuple(tensor.to(dtype) for tensor in tensors)
