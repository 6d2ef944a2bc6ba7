r"""Calling a student's function safely and comparing what came back."""

import contextlib
import io
import random
import signal
import threading
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ._exercise import Exercise

TIME_LIMIT = 10.0  # seconds of one check; a loop without end must not hang the notebook
PATIENCE = 6  # times as long may it take where the processor is busy with other things
PACKAGE = Path(__file__).parent.parent


class TooSlow(BaseException):
    r"""The time limit rang. No Exception, so that a student's `except Exception` lets it pass."""


class NotAttempted(Exception):
    r"""The stub was left as it was: it returned `...` or None, or raised NotImplementedError."""


@dataclass
class Outcome:
    r"""What one call showed: the observed fields or the error, and the arguments it changed."""

    args: tuple
    fields: dict[str, Any] = field(default_factory=dict)
    error: BaseException | None = None
    edited: tuple[str, ...] = ()


@contextlib.contextmanager
def sheltered():
    r"""Leave random states and settings as they were, and keep warnings and stderr out of sight.

    One thread: the tensors are tiny, and two threads on busy cores wait for each other.
    """
    states = torch.random.get_rng_state(), np.random.get_state(), random.getstate()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()), _settings_kept():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_num_threads(threads)
        torch.random.set_rng_state(states[0])
        np.random.set_state(states[1])
        random.setstate(states[2])


@contextlib.contextmanager
def _settings_kept():
    r"""What a function may switch over for the whole notebook is switched back."""
    dtype, gradients = torch.get_default_dtype(), torch.is_grad_enabled()
    try:
        with np.errstate():
            yield
    finally:
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(gradients)


@contextlib.contextmanager
def time_limit(seconds: float = TIME_LIMIT):
    r"""Raise TooSlow in a function that does not end (where the system has alarms).

    Two alarms: one counts the processor time, which a busy machine does not make longer; the other
    one rings for a function that waits, and is patient.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not (in_main_thread and hasattr(signal, "setitimer")):
        yield
        return

    def ring(*_):
        raise TooSlow(f"no answer after {seconds:.0f} s")

    alarms = {
        signal.ITIMER_PROF: (signal.SIGPROF, seconds),
        signal.ITIMER_REAL: (signal.SIGALRM, PATIENCE * seconds),
    }
    before = {number: signal.signal(number, ring) for number, _ in alarms.values()}
    for timer, (_, limit) in alarms.items():
        signal.setitimer(timer, limit)
    try:
        yield
    finally:
        for timer, (number, _) in alarms.items():
            signal.setitimer(timer, 0)
            signal.signal(number, before[number])


def _attempted(function: Callable) -> Callable:
    def call(*args, **kwargs):
        try:
            value = function(*args, **kwargs)
        except NotImplementedError as error:
            raise NotAttempted from error
        if value is None or value is Ellipsis:
            raise NotAttempted
        return value

    return call


def run(exercise: Exercise, function: Callable, seed: int, *, quiet: bool = True) -> Outcome:
    r"""Call `function` on the case of this seed and observe it."""
    args = exercise.case(torch.Generator().manual_seed(seed))
    outcome = Outcome(args=exercise.case(torch.Generator().manual_seed(seed)))
    torch.default_generator.manual_seed(seed)  # torch.manual_seed would reseed every device too
    hush = contextlib.redirect_stdout(io.StringIO()) if quiet else contextlib.nullcontext()
    observe = exercise.observe or (lambda call, given: {"value": call(*given)})
    try:
        with hush, _settings_kept():
            outcome.fields = observe(_attempted(function), args)
    except NotAttempted:
        raise
    except (Exception, SystemExit) as error:
        outcome.error = error
    names = exercise.reference.__code__.co_varnames
    outcome.edited = tuple(
        name
        for name, given, fresh in zip(names, args, outcome.args, strict=False)
        if isinstance(given, torch.Tensor) and not _equal_tensors(given, fresh, 0.0, 0.0)
    )
    return outcome


def where(error: BaseException) -> str:
    r"""The line of the student's function that raised, as `line 2: return x + y`, or ''."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [
        frame
        for frame in frames
        if "site-packages" not in frame.filename and PACKAGE not in Path(frame.filename).parents
    ]
    return f"line {own[-1].lineno}: {own[-1].line}" if own and own[-1].line else ""


def same(got: Any, expected: Any, *, rtol: float, atol: float) -> bool:
    r"""Equal within the tolerance, in kind and shape too; NaN equals NaN."""
    if misfit(got, expected):
        return False
    if isinstance(expected, torch.Tensor):
        return _equal_tensors(_tensor(got), expected, rtol, atol)
    if isinstance(expected, float):
        return _equal_tensors(_tensor(got), _tensor(expected), rtol, atol)
    return bool(got == expected)


def misfit(got: Any, expected: Any) -> str | None:
    r"""Why `got` can't be compared with `expected` (type, dtype, shape); None if it can."""
    if isinstance(got, torch.Tensor) and not _ordinary(got):
        return f"{describe(got)} came back; expected a plain one on the CPU"
    if isinstance(expected, bool | str):
        right = isinstance(got, type(expected))
        return None if right else f"a {type(got).__name__} came back; expected {expected!r}"
    if isinstance(expected, int):
        if isinstance(got, int | np.integer) and not isinstance(got, bool) and _is_number(got):
            return None
        return f"{describe(got)} came back; expected a whole number (int), such as {expected}"
    scalar = isinstance(expected, float) or expected.dim() == 0
    if scalar and isinstance(got, int | float | np.number) and not isinstance(got, bool):
        return None if _is_number(got) else f"{describe(got)} came back; expected one number"
    if not isinstance(got, torch.Tensor):
        wanted = "one number" if scalar else f"a tensor of shape {tuple(expected.shape)}"
        return f"{describe(got)} came back; expected {wanted}"
    expected = _tensor(expected)
    if got.shape != expected.shape:
        return (
            f"a tensor of shape {tuple(got.shape)} came back; "
            f"expected {'one number, shape ()' if scalar else f'shape {tuple(expected.shape)}'}"
        )
    kinds = [_kind(got.dtype), _kind(expected.dtype)]
    if kinds[0] != kinds[1]:
        return f"the values are {kinds[0]} ({got.dtype}); expected {kinds[1]} ({expected.dtype})"
    return None


def describe(value: Any) -> str:
    if isinstance(value, torch.Tensor) and not _ordinary(value):
        return f"a {value.layout} tensor on {value.device}"
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, int) and abs(value) >= 2**63:
        return "an int of more than 18 digits"
    if isinstance(value, bool | int | float):
        return f"the {type(value).__name__} {value}"
    return f"a {type(value).__name__}"


def message(error: BaseException) -> str:
    r"""The first line of what an error says, and not more of it than one can read."""
    try:
        lines = str(error).splitlines()
    except Exception:  # its own __str__ fails
        return ""
    return lines[0][:300] if lines else ""


def _ordinary(tensor: torch.Tensor) -> bool:
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


def _tensor(value: Any) -> torch.Tensor:
    return value.detach() if isinstance(value, torch.Tensor) else torch.tensor(float(value))


def _equal_tensors(got: torch.Tensor, expected: torch.Tensor, rtol: float, atol: float) -> bool:
    if got.shape != expected.shape or got.device != expected.device:
        return False
    got, expected = got.detach().double(), expected.detach().double()
    return torch.allclose(got, expected, rtol=rtol, atol=atol, equal_nan=True)
