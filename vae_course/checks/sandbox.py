r"""Calling a student's function: limits on time, memory and print, and nothing left behind."""

import contextlib
import ctypes
import dis
import io
import os
import random
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import draw
from .definition import Exercise
from .values import equal_tensors, plain

TIME_LIMIT = 10.0  # seconds of one check; a loop without end must not hang the notebook
PATIENCE = 6  # times as long may it take where others keep the processor busy
MEMORY = 4 * 2**30  # bytes that one check may use on top of what is in use
PRINTED = 2000  # characters that are shown of what a function prints
PACKAGE = Path(__file__).parent.parent


class TooSlow(BaseException):
    r"""The time limit rang. No Exception, so that a student's `except Exception` lets it pass."""


class NothingReturned(Exception):
    r"""None came back, or `...`; `stub` says whether there was anything to run at all."""

    def __init__(self, stub: bool):
        super().__init__("None came back")
        self.stub = stub


@dataclass
class Outcome:
    r"""What one call showed: the observed fields or the error, and the arguments it changed."""

    args: tuple
    fields: dict[str, Any] = field(default_factory=dict)
    error: BaseException | None = None
    edited: tuple[str, ...] = ()
    switched: tuple[str, ...] = ()  # the models that it left in another mode
    left: str = ""  # the argument in which it left a gradient
    coarse: torch.dtype | None = None  # the type that came back, if it has fewer digits


# ------------------------------------------------------------------------------ state and limits


@contextlib.contextmanager
def sheltered() -> Iterator[None]:
    r"""Ordinary surroundings, whatever they were before; everything is put back afterwards.

    One thread: the tensors are tiny, and two threads on busy cores wait for each other.
    """
    states = torch.random.get_rng_state(), np.random.get_state(), random.getstate()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()), ordinary():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_num_threads(threads)
        torch.random.set_rng_state(states[0])
        np.random.set_state(states[1])
        random.setstate(states[2])
        if cuda:
            torch.cuda.set_rng_state_all(cuda)


@contextlib.contextmanager
def ordinary() -> Iterator[None]:
    r"""The settings of a fresh Python; what a function makes of them is undone."""
    kept = [(read, write, read()) for read, write, _ in _SETTINGS]
    for read, write, usual in _SETTINGS:
        if usual is not None and read() != usual:
            write(usual)
    try:
        with (
            np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"),
            torch.autocast("cpu", enabled=False),
            torch.inference_mode(False),
            torch.enable_grad(),
        ):
            yield
    finally:
        for read, write, value in kept:
            if read() != value:
                write(value)


def _get_device() -> torch.device:
    try:
        return torch.get_default_device()
    except AttributeError:  # torch 2.4 trips here once a default device was taken back
        return torch.device("cpu")


def _set_device(device: torch.device) -> None:
    torch.set_default_device(None if device.type == "cpu" else device)
    try:
        torch.get_default_device()
    except AttributeError:  # torch 2.4
        torch.set_default_device(device)


def _set_folder(folder: str | None) -> None:
    if folder is not None:
        with contextlib.suppress(OSError):
            os.chdir(folder)


def _folder() -> str | None:
    with contextlib.suppress(OSError):  # it may have been removed
        return os.getcwd()
    return None


_SETTINGS: list[tuple[Callable, Callable, Any]] = [  # how to read it, to write it, what is usual
    (torch.is_grad_enabled, torch.set_grad_enabled, True),
    (torch.get_default_dtype, torch.set_default_dtype, torch.float32),
    (_get_device, _set_device, torch.device("cpu")),
    (
        lambda: (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
        ),
        lambda value: torch.use_deterministic_algorithms(value[0], warn_only=value[1]),
        (False, False),
    ),
    (
        lambda: (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()),
        lambda value: torch.autograd.set_detect_anomaly(*value),
        (False, True),
    ),
    (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, None),
    (_folder, _set_folder, None),
    (sys.getrecursionlimit, sys.setrecursionlimit, None),
]


@contextlib.contextmanager
def limits(seconds: float = TIME_LIMIT) -> Iterator[None]:
    r"""One limit on time and one on memory for everything inside."""
    with time_limit(seconds), _memory_limit():
        yield


@contextlib.contextmanager
def time_limit(seconds: float = TIME_LIMIT) -> Iterator[None]:
    r"""Raise TooSlow in code that does not end.

    Two alarms: one counts the processor time, which a busy machine does not make longer; the other
    one rings for code that waits, and is patient only while others keep the processor busy. Where
    there are no alarms, or not in this thread, a second thread raises it.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not (in_main_thread and hasattr(signal, "setitimer")):
        with _watched_by_a_thread(seconds):
            yield
        return
    end = time.monotonic() + PATIENCE * seconds

    def ring(number, _):
        starved = os.getloadavg()[0] > (os.cpu_count() or 1)
        if number == signal.SIGALRM and starved and time.monotonic() < end:
            return
        raise TooSlow(f"no answer after {seconds:.0f} s")

    alarms = {signal.ITIMER_PROF: signal.SIGPROF, signal.ITIMER_REAL: signal.SIGALRM}
    before = {number: signal.signal(number, ring) for number in alarms.values()}
    for timer in alarms:
        signal.setitimer(timer, seconds, max(seconds / 10, 0.1))  # again, if it was swallowed
    try:
        yield
    finally:
        for timer, number in alarms.items():
            signal.setitimer(timer, 0)
            signal.signal(number, before[number])


@contextlib.contextmanager
def _watched_by_a_thread(seconds: float) -> Iterator[None]:
    here, raised = ctypes.c_ulong(threading.get_ident()), threading.Event()

    def ring():
        raised.set()
        ctypes.pythonapi.PyThreadState_SetAsyncExc(here, ctypes.py_object(TooSlow))

    timer = threading.Timer(seconds, ring)
    timer.daemon = True
    timer.start()
    try:
        yield
    except TooSlow:
        raise TooSlow(f"no answer after {seconds:.0f} s") from None
    finally:
        timer.cancel()
        if raised.is_set():
            ctypes.pythonapi.PyThreadState_SetAsyncExc(here, None)


@contextlib.contextmanager
def _memory_limit() -> Iterator[None]:
    r"""Where Linux counts it: an allocation beyond the limit fails, and the kernel lives on."""
    try:
        import resource

        in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        before = resource.getrlimit(resource.RLIMIT_AS)
    except (ImportError, OSError):
        yield
        return
    limit = in_use + MEMORY
    for bound in before:
        limit = limit if bound == resource.RLIM_INFINITY else min(limit, bound)
    resource.setrlimit(resource.RLIMIT_AS, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


class _Short(io.TextIOBase):
    r"""Lets the first characters through and counts the rest."""

    def __init__(self, target: io.TextIOBase):
        self.target, self.left, self.hidden = target, PRINTED, 0

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        shown = text[: self.left]
        self.left -= len(shown)
        self.hidden += len(text) - len(shown)
        if shown:
            self.target.write(shown)
        return len(text)

    def close(self) -> None:
        if self.hidden:
            self.target.write(f"\n… ({self.hidden:,} more characters were printed)\n")
        super().close()


@contextlib.contextmanager
def printing(quiet: bool) -> Iterator[None]:
    r"""Show the beginning of what is printed inside, or nothing of it."""
    if quiet:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
        return
    short = _Short(sys.stdout)
    try:
        with contextlib.redirect_stdout(short):
            yield
    finally:
        short.close()


# ----------------------------------------------------------------------------- one call, observed


class Guarded:
    r"""The student's function as checks call it: None is an error, odd dtypes become the usual."""

    def __init__(self, function: Callable):
        self.function, self.coarse = function, None

    def __call__(self, *args, **kwargs):
        value = self.function(*args, **kwargs)
        if value is None or value is Ellipsis:
            raise NothingReturned(value is Ellipsis or is_stub(self.function))
        if isinstance(value, Tensor) and value.dtype in (torch.float16, torch.bfloat16):
            self.coarse = value.dtype
        return plain(value, args)


def is_stub(function: Callable) -> bool:
    r"""Whether a function holds nothing to run: a docstring, `...`, `pass` or `return None`."""
    code = getattr(function, "__code__", None)
    if code is None:
        return False
    return all(step.opname in _IDLE for step in dis.get_instructions(code))


_IDLE = {"RESUME", "RETURN_CONST", "LOAD_CONST", "RETURN_VALUE", "POP_TOP", "NOP"}


def run(
    exercise: Exercise,
    function: Callable,
    seed: int,
    *,
    quiet: bool = True,
    chance: int | None = None,
) -> Outcome:
    r"""Call `function` on the case of this seed and observe it.

    chance: the seed of what the function draws itself; default: that of the case
    """
    args, fresh = (exercise.inputs(draw.case(seed)) for _ in range(2))
    outcome = Outcome(args=fresh)
    chance = seed if chance is None else chance
    torch.default_generator.manual_seed(chance)  # torch.manual_seed would reseed every device too
    np.random.seed(chance)
    random.seed(chance)
    guarded = Guarded(function)
    before = None if exercise.observe else _gradients(args)
    try:
        with printing(quiet), ordinary():
            if exercise.observe:
                outcome.fields = exercise.observe(guarded, args)
            else:
                outcome.fields = {"value": guarded(*args)}
    except (Exception, SystemExit) as error:
        outcome.error = error
    outcome.coarse = guarded.coarse
    names = exercise.parameters
    outcome.edited = tuple(
        name
        for name, given, right in zip(names, args, fresh, strict=False)
        if isinstance(given, Tensor) and not equal_tensors(given, right, 0.0, 0.0)
    )
    if before is not None and outcome.error is None:
        outcome.switched = tuple(
            name
            for name, given, right in zip(names, args, fresh, strict=False)
            if isinstance(given, torch.nn.Module) and _modes(given) != _modes(right)
        )
        after = _gradients(args)
        changed = [i for i in before if before[i] != after[i]]
        outcome.left = names[changed[0]] if changed else ""
    return outcome


def _modes(model: torch.nn.Module) -> list[bool]:
    return [part.training for part in model.modules()]


def _gradients(args: tuple) -> dict[int, list]:
    r"""The gradients that lie in the arguments, as sums: enough to see that one was added."""
    found = {}
    for index, arg in enumerate(args):
        leaves = list(arg.parameters()) if isinstance(arg, torch.nn.Module) else [arg]
        leaves = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        found[index] = [None if x.grad is None else float(x.grad.double().sum()) for x in leaves]
    return found
