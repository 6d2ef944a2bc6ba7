"""The fault table counts what the tests report: no loss is hidden, and nothing counts twice."""

from types import SimpleNamespace

import pytest

from benchmarks import faults


def report(nodeid, outcome, when="call", **more):
    flags = {name: name == outcome for name in ("passed", "failed", "skipped")}
    more = {"user_properties": [], "longrepr": ("file", 1, "Skipped: no disk")} | more
    return SimpleNamespace(nodeid=nodeid, when=when, **flags, **more)


@pytest.fixture
def table():
    def item(nodeid, **params):
        mark = SimpleNamespace(args=("cut at {share:.0%}",), kwargs={"how": "{name}: by hand"})
        return SimpleNamespace(
            nodeid=f"tests/a.py::{nodeid}", get_closest_marker=lambda _: mark,
            callspec=SimpleNamespace(params=params),
        )  # fmt: skip

    items = [item("x", share=0.5, name="gpt"), item("y", share=0.5, name="vae")]
    made = faults.Table()
    made.pytest_collection_finish(SimpleNamespace(items=items))
    return made


def test_the_phases_of_a_test_count_once_and_ways_are_joined(table):
    for name in "xy":
        for when in ("setup", "call", "teardown"):
            table.pytest_runtest_logreport(report(f"tests/a.py::{name}", "passed", when))
    assert "| cut at 50% | by hand (gpt, vae) | 2 | 2 | 0 | `tests/a.py` |" in str(table)
    assert table.unexpected == 0


@pytest.mark.parametrize("when", ["setup", "call"])
def test_a_failure_is_lost(table, when):
    table.pytest_runtest_logreport(report("tests/a.py::x", "failed", when))
    assert "| 1 | 0 | 1 |" in str(table) and table.unexpected == 1


def test_repetitions_count_and_a_failure_among_them_is_never_none_lost(table):
    told = [("tried", 50), ("survived", 47)]
    table.pytest_runtest_logreport(report("tests/a.py::x", "passed", user_properties=told))
    told = [("tried", 50), ("survived", 50)]  # it failed all the same, later on
    table.pytest_runtest_logreport(report("tests/a.py::y", "failed", user_properties=told))
    assert "| 100 | 96 | 4 |" in str(table)


def test_an_expected_failure_is_lost_with_its_reason_and_a_skip_not_tried(table):
    known = report("tests/a.py::x", "skipped", wasxfail="nobody publishes it")
    table.pytest_runtest_logreport(known)
    table.pytest_runtest_logreport(report("tests/a.py::y", "skipped", "setup"))
    text = str(table)
    assert "| 1 | 0 | 1 |" in text and "(gpt: by hand): nobody publishes it." in text
    assert "Not tried: cut at 50% (vae: by hand): no disk." in text and table.unexpected == 0
