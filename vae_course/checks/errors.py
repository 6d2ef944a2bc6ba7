r"""Exceptions explained as what they are, and the place where a NaN or an infinity arises."""

import contextlib
import linecache
import re
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from . import draw, sandbox
from .definition import Exercise
from .sandbox import PACKAGE

_LIBRARY = Path(contextlib.__file__).parent  # Python's own

# ------------------------------------------------------------------------------------ exceptions

_CAUSES = (  # of an error's text, the first that matches is told
    (r"NoneType", "Something is None in this line: does a function that you call lack its "
     "`return`?"),
    (r"ellipsis", "A `...` is still there: replace it with your own lines."),
    (r"size of tensor a \((\d+)\) must match the size of tensor b \((\d+)\)",
     "Two shapes do not fit together: along one axis {0} numbers meet {1}."),
    (r"shapes cannot be multiplied \((\w+) and (\w+)\)",
     "A matrix product of {0} with {1}: the columns of the first must be as many as the rows of "
     "the second. Is an axis missing, or a transpose?"),
    (r"size mismatch|Expected size|expected.*\bbatch1?\b|must match|inconsistent tensor size|"
     r"could not be broadcast|does not broadcast|not aligned|same shape|expand\(",
     "Two shapes do not fit together."),
    (r"shape '\[(.*)\]' is invalid for input of size (\d+)",
     "`view` or `reshape` to ({0}) does not have room for exactly {1} numbers."),
    (r"view size is not compatible", "`view` needs its numbers in order; `reshape` copies them."),
    (r"Dimension out of range.*got (-?\d+)", "There is no axis {0}: the tensor has fewer axes."),
    (r"too many indices", "There are more indices than axes."),
    (r"index (-?\d+) is out of bounds.*size (\d+)", "Index {0} into {1} entries: they count from "
     "0."),
    (r"out of range|out of bounds", "An index lies beyond the end."),
    (r"does not require grad",
     "The value has no gradient to send back: look for `.detach()`, `.item()` or "
     "`torch.no_grad()` on its way."),
    (r"modified by an inplace operation|leaf [Vv]ariable that requires grad.*in-place",
     "A tensor that the gradient still needs was changed in place (`+=`, `x[…] = …`, a name that "
     "ends in `_`): write the result into a new tensor."),
    (r"backward through the graph a second time|freed",
     "The gradient was sent back already, inside: a loss is returned, and the training step calls "
     "`.backward()` on it."),
    (r"implicitly created only for scalar", "`.backward()` starts from one number; several came."),
    (r"numpy\(\) on Tensor that requires grad|numpy\(\) on tensor that requires grad",
     "NumPy does not know gradients: stay with torch, or detach where none is needed."),
    (r"converted to (Python )?scalars?|converted to Scalar|only (length-1|size-1|0-dim)",
     "`float`, `int` and `.item()` want one number; a tensor of several came."),
    (r"[Tt]ruth value.*ambiguous|Boolean value of Tensor",
     "An `if`, `and` or `max` got a tensor of several numbers; it wants one truth value."),
    (r"tensors used as indices", "Indices are whole numbers or truth values; decimals came."),
    (r"same dtype|expected scalar type|Found dtype",
     "Two dtypes meet (float32 and float64, or integers and decimals): turn one into the other."),
    (r"result type (\w+) can't be cast to.*output type (\w+)",
     "{0} does not fit into a tensor of {1}, so it can't be written there in place."),
    (r"to satisfy the constraint",
     "A distribution got a parameter it can't have: a standard deviation must be positive, a "
     "probability between 0 and 1."),
    (r"all elements of (input|target) should be between 0 and 1",
     "A function of probabilities got numbers outside of [0, 1]: are they logits?"),
    (r"probability tensor contains", "Probabilities to draw from must be 0 or more, and finite."),
    (r"can.t allocate memory|not enough memory", "More memory was asked for than a check may use."),
    (r"math domain error|expected a (positive|nonnegative) input",
     "`math` got a number outside the function's domain, such as the logarithm of a negative one."),
    (r"math range error", "A number became too large for `math`."),
)  # fmt: skip
_BY_TYPE = (
    (NameError, "A name is not defined: run the cells above, or look for a typing error."),
    (KeyError, "That key is not in the dictionary."),
    (AttributeError, "That object has no such attribute or method."),
    (ZeroDivisionError, "Something is divided by 0."),
    (RecursionError, "The function calls itself without end."),
    (MemoryError, "More memory was asked for than a check may use."),
    (SystemExit, "Return the value; do not exit."),
    (FloatingPointError, "A number is no longer one: see the line."),
    (AssertionError, "An `assert` of your own did not hold."),
    (ImportError, "A module can't be imported here."),
)


def explain(error: BaseException, exercise: Exercise | None = None, args: tuple = ()) -> str:
    r"""The exception, its line and its most likely cause."""
    line = where(error)
    first = f"{type(error).__name__}{f' (in {line})' if line else ''}: {message(error)}"
    return f"{first}\n{cause(error, exercise, args)}".rstrip()


def cause(error: BaseException, exercise: Exercise | None = None, args: tuple = ()) -> str:
    r"""The most likely cause of an exception, and only of that one."""
    text = message(error)
    came = f" The arguments were {inputs(exercise, args)}." if exercise and args else ""
    if isinstance(error, TypeError) and re.search(r"positional argument|keyword argument", text):
        if exercise is not None and not where(error):
            return f"The signature is fixed: {exercise.signature}."
        return "A function was called with arguments that it does not take."
    if not isinstance(error, KeyError | NameError | ImportError):
        for pattern, sentence in _CAUSES:
            found = re.search(pattern, text)
            if found:
                shapes = came if "shape" in sentence or "axis" in sentence else ""
                return sentence.format(*found.groups()) + shapes
    for kind, sentence in _BY_TYPE:
        if isinstance(error, kind):
            return sentence
    return came.strip()


def message(error: BaseException) -> str:
    r"""The first line of what an error says, and not more of it than one can read."""
    try:
        lines = str(error).splitlines()
    except Exception:  # its own __str__ fails
        return ""
    return lines[0][:300] if lines else ""


def where(error: BaseException) -> str:
    r"""The line of the student's function that raised, as `line 2: return x + y`, or ''."""
    own = [f for f in traceback.extract_tb(error.__traceback__) if _is_own(f.filename)]
    return f"line {own[-1].lineno}: {own[-1].line}" if own and own[-1].line else ""


def _is_own(filename: str) -> bool:
    if "site-packages" in filename or filename.startswith(("<frozen", "<__array_function__")):
        return False
    return PACKAGE not in Path(filename).parents and _LIBRARY not in Path(filename).parents


def inputs(exercise: Exercise, args: tuple) -> str:
    r"""The arguments by name: shapes of tensors, small values as they are."""
    told = []
    for name, arg in zip(exercise.parameters, args, strict=False):
        if isinstance(arg, Tensor) and arg.dim() and arg.numel() <= 4:
            told.append(f"{name} = {_rounded(arg.tolist())}")
        elif isinstance(arg, Tensor) and arg.dim():
            told.append(f"{name} {tuple(arg.shape)}")
        elif isinstance(arg, float) or (isinstance(arg, Tensor) and arg.is_floating_point()):
            told.append(f"{name} = {float(arg):.4g}")
        else:
            told.append(f"{name} = {arg!r}" if isinstance(arg, int | str | tuple) else name)
    return ", ".join(told)


def _rounded(value: Any) -> Any:
    return [_rounded(v) for v in value] if isinstance(value, list) else float(f"{value:.4g}")


# ----------------------------------------------------------------------------- NaN and infinities


@dataclass(frozen=True)
class Origin:
    r"""Where the first NaN (or infinity) arose: the operation, what it got, and the line."""

    operation: str
    got: float
    line: str
    what: str

    def __str__(self) -> str:
        place = f" in {self.line}" if self.line else ""
        return f"The first {self.what} arises{place}: {self._reason()}."

    def _reason(self) -> str:
        got, name = f"{self.got:.4g}".replace("inf", "∞"), self.operation
        if name.startswith("log") and "softmax" not in name and "sigmoid" not in name:
            return f"the logarithm of {got}" + ("" if self.got == 0 else ", a negative number")
        if name in ("sqrt", "rsqrt", "pow"):
            return f"the root (or a power) of {got}"
        if name in ("acos", "asin", "atanh", "acosh"):
            return f"{name} of {self.got:.8g}, outside its domain"
        if name == "div" or name == "reciprocal":
            return "0 / 0" if self.what == "NaN" and abs(self.got) == 0 else (
                "∞ / ∞" if self.what == "NaN" else "a division by 0")
        if name in ("sub", "add", "sum", "logaddexp"):
            return "∞ − ∞" if self.what == "NaN" else "a sum that is too large"
        if name in ("mul", "mm", "bmm", "dot", "mv", "matmul"):
            return "0 · ∞" if self.what == "NaN" else "a product that is too large"
        if "softmax" in name:
            return "a softmax over nothing but −∞"
        if name in ("exp", "exp2", "expm1"):
            return f"exp({got}) is too large for a number"
        if name in ("mean", "var", "std", "var_mean"):
            return f"a {name} of too few numbers" if self.what == "NaN" else "an average of ∞"
        return f"`{name}` makes it"  # fmt: skip


_NO_ORIGINS = ("full", "empty", "fill", "lift_fresh", "empty_like", "scalar_tensor")


class _Watch(TorchDispatchMode):
    r"""Looks at every operation of torch for the first one that makes a NaN (or ∞) of none."""

    def __init__(self, what: str):
        super().__init__()
        self.what, self.origin = what, None

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        tensors = [x for x in args if isinstance(x, Tensor) and self.origin is None]
        given = [x.detach().clone() for x in tensors if x.numel() <= 1_000_000]
        value = func(*args, **(kwargs or {}))
        if self.origin is None and isinstance(value, Tensor) and self._bad(value):
            numbers = [x for x in args if isinstance(x, float)]
            if not any(self._bad(x) for x in given) and not any(x != x for x in numbers):
                name, line = func.__name__.partition(".")[0].strip("_"), _line()
                if name not in _NO_ORIGINS and line is not None:
                    self.origin = Origin(name, self._offender(value, given), line, self.what)
        return value

    def _bad(self, value: Tensor) -> bool:
        if not value.is_floating_point() or value.numel() > 1_000_000:
            return False
        return bool(value.isnan().any() if self.what == "NaN" else value.isinf().any())

    def _offender(self, value: Tensor, given: list[Tensor]) -> float:
        r"""The number that was made into the first bad one: of the last argument that fits."""
        bad = (value.isnan() if self.what == "NaN" else value.isinf()).flatten()
        for each in reversed(given):
            with contextlib.suppress(RuntimeError):
                fitting = each.expand(value.shape) if value.dim() else each
                if fitting.numel() == bad.numel():
                    return float(fitting.flatten()[bad][0])
        return 0.0


def _line() -> str | None:
    r"""The line of the student's function that is running, or ''; None outside of it."""
    frame, found = sys._getframe(), ""
    while frame is not None:
        if frame.f_code is sandbox.Guarded.__call__.__code__:
            return found
        name = frame.f_code.co_filename
        if not found and _is_own(name):
            text = linecache.getline(name, frame.f_lineno).strip()
            found = f"line {frame.f_lineno}: `{text}`" if text else ""
        frame = frame.f_back
    return None


def origin(exercise: Exercise, function: Callable, seed: int, what: str = "NaN") -> Origin | None:
    r"""Where this function makes its first NaN (or "infinity") on the case of this seed."""
    args = exercise.inputs(draw.case(seed))
    torch.default_generator.manual_seed(seed)
    watch = _Watch(what)
    call = exercise.observe or (lambda f, given: f(*given))
    try:
        with sandbox.printing(quiet=True), sandbox.ordinary(), np.errstate(invalid="raise"), watch:
            call(sandbox.Guarded(function), args)
    except FloatingPointError as error:
        text = message(error).rpartition(" ")[2]
        return watch.origin or Origin(text, -1.0, where(error), what)
    except (Exception, SystemExit):
        pass
    return watch.origin
