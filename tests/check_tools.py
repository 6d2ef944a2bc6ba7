"""What the tests of the chapters ask of the checker: is right passed, and who is wrong helped?"""

import contextlib
import io

import pytest

from vae_course import checks


def quiet(name, function, seed=None):
    """The verdict, and what the check printed."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        verdict = checks.check(name, function, seed=seed)
    return verdict, printed.getvalue()


def verdict(name, function, seed=None):
    return quiet(name, function, seed)[0]


def flat(table):
    """For parametrize: {exercise: {label: (function, words)}}, or {exercise: [function, …]}."""
    found = []
    for name, cases in table.items():
        if not isinstance(cases, dict):
            cases = {function.__name__: (function,) for function in cases}
        found += [pytest.param(name, *case, id=f"{name}-{label}") for label, case in cases.items()]
    return found


def assert_passes(name, function, seeds):
    for seed in seeds:
        found = verdict(name, function, seed)
        assert found.passed, found


def assert_helped(name, wrong, words, seeds=(1, 300)):
    """Not passed, not taken for a mistake of the catalogue, and told something that helps."""
    catalogue = {mistake.name for mistake in checks.exercise(name).mistakes}
    for seed in seeds:
        found = verdict(name, wrong, seed)
        assert found.status in ("wrong", "error"), found
        assert not set((found.mistake or "").split("+")) & catalogue, found
        assert words in f"{found.hint} {found.example}", found


def assert_named(name, wrong, *mistakes, seeds=(0, 5)):
    """Not passed, and given the hints of these mistakes of the catalogue."""
    hints = {mistake.name: mistake.hint for mistake in checks.exercise(name).mistakes}
    for seed in seeds:
        found = verdict(name, wrong, seed)
        assert not found.passed
        assert all(hints[mistake] in found.hint for mistake in mistakes), found


def assert_both_named(name, first, second):
    assert_named(name, checks.exercise(name).wrong(first, second), first, second)
