r"""What came back: compared, described and shown, by shape before anything is copied."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

SHOWN = 10_000  # of a larger tensor only the shape is told


def plain(value: Any, args: tuple = ()) -> Any:
    r"""A decimal tensor in the dtype of the first decimal argument (else float32), in the graph.

    So float64 and half are as good as float32, wherever a check calls a function.
    """
    if not (isinstance(value, Tensor) and ordinary(value) and value.is_floating_point()):
        return value
    given = [arg.dtype for arg in args if isinstance(arg, Tensor) and arg.is_floating_point()]
    wanted = given[0] if given else torch.float32
    return value if value.dtype == wanted or _stretched(value) else value.to(wanted)


def _stretched(value: Tensor) -> bool:
    return value.numel() > 1_000_000  # no answer is that large, and an expanded view costs nothing


def same(
    got: Any, expected: Any, *, rtol: float, atol: float, coarse: torch.dtype | None = None
) -> bool:
    r"""Equal within the tolerance, in kind and shape too; NaN equals NaN.

    coarse: the type that a value came back in, if it has fewer digits than float32
    """
    if misfit(got, expected):
        return False
    if isinstance(expected, bool | str | int):
        return bool(got == expected)
    got, expected = _tensor(got), _tensor(expected)
    if coarse and expected.numel():
        digit = 4 * torch.finfo(coarse).eps
        size = float(expected.double().nan_to_num().abs().max())
        rtol, atol = max(rtol, digit), max(atol, digit * (1 + size))
    return equal_tensors(got, expected, rtol, atol)


def misfit(got: Any, expected: Any) -> str | None:
    r"""Why `got` can't be compared with `expected` (type, kind, shape); None if it can."""
    if isinstance(got, Tensor) and not ordinary(got):
        return f"{describe(got)} came back; expected a plain one on the CPU"
    if isinstance(expected, bool | str):
        right = isinstance(got, type(expected))
        return None if right else f"{describe(got)} came back; expected {expected!r}"
    if isinstance(expected, int):
        if isinstance(got, int | np.integer) and not isinstance(got, bool) and _is_number(got):
            return None
        return f"{describe(got)} came back; expected a whole number (int), such as {expected}"
    scalar = isinstance(expected, float) or expected.dim() == 0
    if scalar and isinstance(got, int | float | np.number) and not isinstance(got, bool):
        return None if _is_number(got) else f"{describe(got)} came back; expected one number"
    if not isinstance(got, Tensor):
        wanted = "one number" if scalar else f"a tensor of shape {tuple(expected.shape)}"
        return f"{describe(got)} came back; expected {wanted}{_REMEDY.get(kind(got), '')}"
    expected = _tensor(expected)
    if got.shape != expected.shape:
        return (
            f"a tensor of shape {tuple(got.shape)} came back; "
            f"expected {'one number, shape ()' if scalar else f'shape {tuple(expected.shape)}'}"
        )
    if _kind(got.dtype) != _kind(expected.dtype):
        return f"the values are {_kind(got.dtype)} ({got.dtype}); expected {_kind(expected.dtype)}"
    return None


_REMEDY = {
    "tuple": ". A comma at the end of the `return` line, or several values, make a tuple",
    "list": ". torch.stack makes a tensor of a list of tensors",
    "ndarray": ". torch.from_numpy makes a tensor of it",
    "coroutine": ". `async def` makes a function that has to be awaited; write `def`",
    "generator": ". A `yield` makes a generator; write `return`",
    "function": ". Call it, and return what it gives",
}


def kind(value: Any) -> str:
    return type(value).__name__


def describe(value: Any) -> str:
    if isinstance(value, Tensor) and not ordinary(value):
        return f"a {value.layout} tensor on {value.device}"
    if isinstance(value, Tensor | np.ndarray):
        name = "tensor" if isinstance(value, Tensor) else "NumPy array"
        return f"a {name} of shape {tuple(value.shape)}"
    if isinstance(value, tuple | list):
        return f"a {kind(value)} of {len(value)}"
    if isinstance(value, int) and abs(value) >= 2**63:
        return "an int of more than 18 digits"
    if isinstance(value, bool | int | float):
        return f"the {kind(value)} {value}"
    return f"a {kind(value)}"


def show(value: Any) -> str:
    r"""One short line."""
    try:
        return _shown(value)
    except Exception:  # a student's own object, whose __repr__ fails
        return describe(value)


def _shown(value: Any) -> str:
    if isinstance(value, Tensor) and value.dim():
        shape = f"(shape {tuple(value.shape)})"
        if value.numel() > SHOWN:
            return f"too much to show   {shape}"
        flat = value.detach().flatten()[:4].tolist()
        first = ", ".join(f"{x:.4g}" if isinstance(x, float) else str(x) for x in flat)
        return f"{first}{', …' if value.numel() > 4 else ''}   {shape}"
    if isinstance(value, float) or (isinstance(value, Tensor) and value.is_floating_point()):
        return f"{float(value):.4g}"
    return repr(value.item() if isinstance(value, Tensor) else value)[:60]


def ordinary(tensor: Tensor) -> bool:
    dense = tensor.layout == torch.strided and not tensor.is_nested and not tensor.is_quantized
    return dense and tensor.device.type == "cpu"


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (OverflowError, TypeError, ValueError):  # 10**400, a complex number, a span of time
        return False
    return True


def _kind(dtype: torch.dtype) -> str:
    if dtype.is_floating_point:
        return "decimal numbers"
    return "truth values" if dtype == torch.bool else "complex" if dtype.is_complex else "integers"


def _tensor(value: Any) -> Tensor:
    return value.detach() if isinstance(value, Tensor) else torch.tensor(float(value)).double()


def equal_tensors(got: Tensor, expected: Tensor, rtol: float, atol: float) -> bool:
    if got.shape != expected.shape or got.device != expected.device:
        return False
    got, expected = got.detach().double(), expected.detach().double()
    return torch.allclose(got, expected, rtol=rtol, atol=atol, equal_nan=True)


def countable(value: Any) -> bool:
    r"""Whether it is a number or an ordinary tensor of a size that one may copy."""
    if isinstance(value, Tensor):
        return ordinary(value) and not value.is_complex() and value.numel() <= 1_000_000
    return isinstance(value, float | int | np.number) and _is_number(value)


def flat(value: Any) -> Tensor:
    return _tensor(value).double().flatten()


def close(value: Any, expected: Any, rtol: float = 1e-3, atol: float = 1e-3) -> bool:
    r"""Equal in shape and, within the tolerance, in value, whatever the dtypes: for properties."""
    value, expected = (torch.as_tensor(each).detach().double() for each in (value, expected))
    return value.shape == expected.shape and torch.allclose(value, expected, rtol=rtol, atol=atol)
