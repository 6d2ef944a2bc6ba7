"""The harness that makes faults: what matters is caught, what does not survives, stale ones err."""

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytest.importorskip("resource", reason="the harness limits processor time, which Windows can't")

from benchmarks import mutations  # noqa: E402

PLAN = mutations.read_plan(ROOT / "benchmarks" / "mutations.toml")


def test_every_fault_is_in_step_with_the_code_and_has_tests():
    for fault in PLAN.faults:
        source = (ROOT / "vae_course" / fault.module).read_text(encoding="utf-8")
        compile(mutations.mutated(source, fault), fault.module, "exec")
        for file in PLAN.files(fault.module):
            assert (ROOT / "tests" / file).is_file(), file
    assert len(PLAN.faults) >= 60


def test_a_stale_fault_is_an_error():
    fault = mutations.Fault("losses.py", "gone", "no such text", "other")
    with pytest.raises(ValueError, match="0 times, expected once"):
        mutations.mutated("some source", fault)
    with pytest.raises(ValueError, match="2 times"):
        mutations.mutated("no such text, no such text", fault)


def test_what_matters_is_caught_and_what_does_not_survives(tmp_path, monkeypatch):
    monkeypatch.setattr(mutations, "PRELOADED", [])
    folder = mutations.copy_of_the_repository(tmp_path)
    (folder / "tests" / "test_tiny.py").write_text(
        "from vae_course.training.history import History\n\n"
        "def test_empty():\n    assert len(History()) == 0\n"
    )
    path = folder / "vae_course" / "training" / "history.py"
    clean = path.read_text(encoding="utf-8")
    line = "    def __len__(self) -> int:\n        return len(self.rows)\n"
    assert clean.count(line) == 1
    wrong = line.replace("len(self.rows)", "len(self.rows) + 1")
    same = line.replace("len(self.rows)", "sum(1 for _ in self.rows)")
    module = "training/history.py"
    found = [
        mutations.caught_by(mutations.Fault(module, "", line, new), ["test_tiny.py"], folder)
        for new in (wrong, same)
    ]
    assert found == ["tests/test_tiny.py::test_empty", None]
    assert path.read_text(encoding="utf-8") == clean


def test_the_table_counts_what_survived():
    caught, lost, same = (mutations.Fault("losses.py", name, "a", "b") for name in "xyz")
    found = {caught: "tests/a.py::test_b[c|d]", lost: None, same: None}
    text = mutations.table(mutations.rows(found, {"z": "why"}))
    assert "3 faults" in text and "1 were caught" in text and "2 survived (1 of them" in text
    assert r"`a · test_b[c\|d]`" in text and "**survived**" in text and "no test: why" in text


def test_rows_made_anew_replace_their_own_and_are_named():
    a, b, c = (mutations.Fault("losses.py", name, "a", "b") for name in ("x, y", "y", "z"))
    text = mutations.table(mutations.rows({a: "tests/a.py::test_a", b: None, c: None}, {}))
    for fault in (b, c):
        text = mutations.updated(text, mutations.rows({fault: "tests/b.py::test_b"}, {}))
    answers = mutations.rows_of(text)
    assert list(answers) == ["losses.py | x, y", "losses.py | y", "losses.py | z"]
    assert answers["losses.py | x, y"] == "`a · test_a`" and "0 survived" in text
    assert "--update`: y; z.\n" in text and "3 were caught" in text
    other, new = (mutations.Fault(module, "new", "a", "b") for module in ("gan.py", "losses.py"))
    for fault in (other, new):
        text = mutations.updated(text, mutations.rows({fault: None}, {}))
    assert list(mutations.rows_of(text))[-2:] == ["losses.py | new", "gan.py | new"]
    assert "2 survived" in text


def test_the_data_is_read_as_it_is_written():
    raw = tomllib.loads((ROOT / "benchmarks" / "mutations.toml").read_text(encoding="utf-8"))
    assert set(raw["tests"]) == set(raw["faults"])
    known = {fault.name for fault in PLAN.faults}
    assert set(raw.get("equivalent", {})) <= known, "an equivalent fault that nobody makes"
