"""Whatever the checker is handed: a verdict with the right status, and never a traceback."""

import contextlib
import functools
import io
import operator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from property_tools import EXAMPLES, Covers, refused, seeds

import check_tools
from vae_course import checks

covers = Covers(checks)
EXERCISES = checks.exercises()
exercises = st.sampled_from(EXERCISES)


def quiet(name, function, seed=None):
    """The verdict; nothing is left behind on stderr or in torch's global settings."""
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors):
        verdict, text = check_tools.quiet(name, function, seed)
    assert isinstance(verdict, checks.Verdict) and verdict.exercise == name
    assert verdict.status in ("passed", "wrong", "not attempted", "error")
    assert text.endswith(f"{verdict}\n") and verdict.hint
    assert "Traceback" not in text and errors.getvalue() == ""
    assert torch.equal(torch.get_rng_state(), state) and torch.get_num_threads() == threads
    assert torch.is_grad_enabled() and torch.get_default_dtype() == torch.float32
    return verdict


# ---------------------------------------------------------------------- right, wrong, unfinished


@covers("check", "judge", "Verdict", "Exercise", "Mistake", "Property", "exercises", "solution")
@given(exercises, seeds)
def test_right_answers_pass_on_every_draw(exercise, seed):
    assert quiet(exercise.name, exercise.reference, seed).passed
    assert checks.judge(exercise, exercise.reference, seed).passed
    assert f"def {exercise.name}(" in checks.solution(exercise.name)
    assert exercise in checks.exercises(exercise.chapter)


@covers("hint", "exercise")
@given(exercises, seeds, st.data())
def test_catalogued_mistakes_never_pass(exercise, seed, data):
    mistake = data.draw(st.sampled_from(exercise.mistakes))
    verdict = quiet(exercise.name, exercise.wrong(mistake.name), seed)
    assert verdict.status in ("wrong", "error") and mistake.hint in verdict.hint
    assert checks.hint(checks.exercise(exercise.name).name, mistake.name) == mistake.hint


@given(exercises, st.sampled_from([..., NotImplementedError, NotImplementedError("later")]))
def test_stubs_are_not_attempted(exercise, what):
    def stub(*args, **kwargs):
        if what is Ellipsis:
            return what
        raise what

    for unwritten in (stub, lambda *args: None, None, ...):
        assert quiet(exercise.name, unwritten).status == "not attempted"


# ---------------------------------------------------------------------------- what is no answer


class Hostile:
    """Answers no question without an error."""

    def _fail(self, *_):
        raise RuntimeError("not with me")

    __eq__ = __bool__ = __len__ = __iter__ = __float__ = __repr__ = __str__ = __array__ = _fail
    __hash__ = None

    def __getattr__(self, name):
        raise RuntimeError(f"nor .{name}")


class Unprintable(Exception):
    def __str__(self):
        raise ValueError("no words")


VALUES = {
    "hostile": Hostile(), "hostile class": Hostile, "text": "text", "bytes": b"x", "list": [1.0],
    "nested": [[], [torch.ones(2)]], "dict": {"value": 1}, "set": {1}, "generator": iter([1]),
    "huge int": 10**400, "no printing": 10**9999, "numpy complex": np.complex128(1),
    "span": np.timedelta64(1, "s"),
    "complex": 1j, "nan": float("nan"), "inf": float("inf"), "true": True,
    "array": np.ones((2, 2)), "text array": np.array(["a"]), "scalar array": np.float64(1),
    "meta": torch.ones(3, device="meta"), "sparse": torch.eye(3).to_sparse(),
    "complex tensor": torch.ones(3, dtype=torch.complex64), "bool tensor": torch.ones(3).bool(),
    "bytes tensor": torch.ones(3, dtype=torch.uint8), "empty": torch.ones(0), "0-d": torch.ones(()),
    "with gradient": torch.ones(3, requires_grad=True), "half": torch.ones(3).half(),
    "float8": torch.ones(3).to(torch.float8_e5m2), "stretched": torch.ones(1).expand(10**6, 9),
    "parameter": torch.nn.Parameter(torch.ones(3)), "module": torch.nn.Linear(2, 2),
    "distribution": torch.distributions.Normal(0.0, 1.0), "not implemented": NotImplemented,
    "nested tensor": torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
}  # fmt: skip


@given(exercises, st.sampled_from(list(VALUES)))
@settings(max_examples=3 * EXAMPLES)
def test_whatever_comes_back_is_wrong_and_said_so(exercise, name):
    assert quiet(exercise.name, lambda *args: VALUES[name]).status in ("wrong", "error")


@given(exercises, st.sampled_from([*(v for v in VALUES.values() if not callable(v)), 0, -1.5]))
def test_what_is_no_function_is_named(exercise, value):
    verdict = quiet(exercise.name, value)
    assert verdict.status == "error" and "without calling it" in verdict.hint


ERRORS = [
    *(ValueError("no"), KeyError("k"), ZeroDivisionError(), StopIteration(1), RecursionError()),
    *(MemoryError(), SystemExit(3), Unprintable(), OSError(2, "gone"), AssertionError(), Warning()),
    *(UnicodeDecodeError("utf-8", b"x", 0, 1, "bad"), ExceptionGroup("two", [ValueError(1)])),
    *(RuntimeError("size must match\nsecond line"), TypeError("x" * 10_000)),
]


@given(exercises, st.sampled_from(ERRORS), st.integers(0, 3))
@settings(max_examples=2 * EXAMPLES)
def test_errors_become_verdicts(exercise, error, calls_before):
    calls = 0

    def fails(*args):
        nonlocal calls
        calls += 1
        if calls > calls_before:
            raise error
        return exercise.reference(*args)

    status = quiet(exercise.name, fails).status
    assert status in ("error", "wrong") or calls <= calls_before


def test_an_interruption_is_let_through():
    def stopped(*args):
        raise KeyboardInterrupt

    state = torch.get_rng_state()
    with pytest.raises(KeyboardInterrupt):
        checks.check("mse_per_image", stopped)
    assert torch.equal(torch.get_rng_state(), state)


# -------------------------------------------------------------------------- odd kinds of callables


class Callable:
    def __init__(self, function):
        self.function = function

    def __call__(self, *args):
        return self.function(*args)


@given(exercises, st.sampled_from(["partial", "object", "lambda", "method", "wrapped", "keywords"]))
def test_the_kind_of_callable_does_not_matter(exercise, kind):
    right = exercise.reference
    forms = {
        "partial": functools.partial(right), "object": Callable(right),
        "lambda": lambda *args: right(*args), "method": Callable(right).__call__,
        "wrapped": functools.wraps(right)(lambda *args, **kwargs: right(*args, **kwargs)),
        "keywords": lambda *args, verbose=False: right(*args),
    }  # fmt: skip
    assert quiet(exercise.name, forms[kind]).passed


STRANGERS = [print, int, type, dict, list, len, max, isinstance, object, Hostile, np.sum, np.add,
             torch.add, torch.zeros, torch.nn.Identity(), torch.nn.Linear, operator.itemgetter(0),
             contextlib.suppress, Exception, staticmethod(len), str.upper, breakpoint.__class__,
             (lambda: 0), (lambda **only: 0), (lambda *args: (yield 1))]  # fmt: skip


@given(exercises, st.sampled_from(STRANGERS))
@settings(max_examples=2 * EXAMPLES)
def test_foreign_callables_are_judged_and_do_not_pass(exercise, stranger):
    assert not quiet(exercise.name, stranger).passed


async def waits(*args):
    return args


@pytest.mark.filterwarnings("ignore:coroutine")
@given(exercises)
def test_coroutines_are_no_answers(exercise):
    assert quiet(exercise.name, waits).status in ("wrong", "error")


# ------------------------------------------------------------------------------ side effects

EFFECTS = {
    "default dtype": lambda args: torch.set_default_dtype(torch.float64),
    "no gradients": lambda args: torch.set_grad_enabled(False),
    "threads": lambda args: torch.set_num_threads(2),
    "seed": lambda args: torch.manual_seed(0),
    "numpy errors": lambda args: np.seterr(all="raise"),
    "prints": lambda args: print("x" * 1000),
    "resizes": lambda args: [a.data.resize_(0) for a in args if isinstance(a, torch.Tensor)],
    "overwrites": lambda args: [a.data.zero_() for a in args if isinstance(a, torch.Tensor)],
}


@given(exercises, st.sampled_from(list(EFFECTS)))
@settings(max_examples=2 * EXAMPLES)
def test_what_a_function_does_on_the_side_stays_inside(exercise, name):
    def busy(*args):
        result = exercise.reference(*args)
        EFFECTS[name](args)
        return result

    before = np.geterr()
    quiet(exercise.name, busy)
    assert np.geterr() == before
    assert quiet(exercise.name, exercise.reference).passed


# ---------------------------------------------------------------------------- names and seeds


@covers("CheckFailed")
def test_grading_raises_what_is_not_passed(monkeypatch):
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    for wrong in (None, 5, lambda *args: 0, Hostile):
        with contextlib.redirect_stdout(io.StringIO()), pytest.raises(checks.CheckFailed):
            checks.check("mse_per_image", wrong)


@covers("load", "challenge")
@given(st.text() | st.none() | st.integers() | st.lists(st.integers()) | st.binary())
def test_unknown_exercises_are_named(name):
    if name not in [exercise.name for exercise in EXERCISES]:
        refused(checks.check, name, len, words="no exercise is called")
        refused(checks.solution, name, words="no exercise is called")
        refused(checks.challenge, name, words="no challenge")


def test_odd_names_seeds_and_chapters_are_refused():
    for wrong in (torch.ones(2), np.ones(2), {"mse_per_image"}, object()):
        refused(checks.solution, wrong, words="no exercise is called")
    for wrong in ("0", 1.5, [1], 2**70, True, torch.ones(2)):
        refused(checks.check, "mse_per_image", len, seed=wrong, words="seed")
    for wrong in (0, 99, -1, "4", 4.5, [4], torch.ones(2)):
        refused(checks.exercises, wrong, words="chapter")


def test_every_public_function_has_a_property_test():
    covers.check()
