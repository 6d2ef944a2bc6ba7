"""Tests that take many minutes run only where asked for, by their marker: pytest -m NAME."""

import pytest

SLOW = {
    "faults": "kills each kind of training fifty times (many minutes)",
    "whole_class": "grades some forty submissions of a simulated class (minutes)",
    "every_assignment": "grades three submissions of each assignment (ten minutes)",
    "assignments_full": "every mistake of the catalogue in a graded submission (an hour)",
}


FAULT = """fault(name, how): the fault that a test makes happen, for benchmarks/faults.py. Both may
hold the test's parameters in braces, as in "cut at {share:.0%}". A test that tries several times
says so with `record_property("tried", n)`, and with ("survived", m) where some did not."""


def pytest_configure(config):
    config.addinivalue_line("markers", " ".join(FAULT.split()))
    for name, text in SLOW.items():
        config.addinivalue_line("markers", f"{name}: {text}")


def pytest_collection_modifyitems(config, items):
    asked = config.option.markexpr or ""
    for item in items:
        for name in SLOW:
            if item.get_closest_marker(name) and name not in asked:
                item.add_marker(pytest.mark.skip(reason=f"{SLOW[name]}; ask with -m {name}"))
