"""The margins of claims: measured without changing what an assert does."""

import builtins
import json
import math

import numpy as np
import pytest
import torch

from benchmarks import claims, stability
from benchmarks.claims import Recorder, change_text, instrument, shift_first_gradients
from vae_course import data


@pytest.fixture
def recorder(monkeypatch):
    recorder = Recorder()
    monkeypatch.setattr(builtins, "__claim__", recorder, raising=False)
    return recorder


def margins(recorder, source, **names):
    """The margins of a cell's only claim, once for each time it was reached."""
    exec(instrument(source)[0], names)
    (found,) = recorder.margins.values()
    return found


class TestMargins:
    @pytest.mark.parametrize(
        ("claim", "expected"),
        [
            ("1 < x", [2]),
            ("x < 10, 'words'", [7]),
            ("x > 1", [2]),
            ("1 <= x <= 3", [2, 0]),
            ("10 > x > 1", [7, 2]),
            ("abs(x - 5) < 4", [2]),
            ("(t > x).all()", [1]),
            ("(t > 100).any() or x < 10", [7]),
            ("np.array([1.5, 9]).min() < x", [1.5]),
            ("(t.numpy() < 7).all()", [1]),
            ("x < 10 and True", [7]),
        ],
    )
    def test_distance_from_failing(self, recorder, claim, expected):
        found = margins(recorder, f"assert {claim}", x=3, t=torch.tensor([4.0, 6]), np=np)
        assert found == [expected]

    def test_a_claim_that_is_reached_twice(self, recorder):
        assert margins(recorder, "assert all(v < x for v in [1, 2])", x=3) == [[2], [1]]

    def test_the_element_nearest_to_the_limit_or_the_farthest(self, recorder):
        t = torch.tensor([4.0, 6])
        assert margins(recorder, "assert (t > 5).any()", t=t) == [[1]]

    def test_each_side_once_and_in_order_and_only_while_it_holds(self, recorder):
        seen = []

        def side(value):
            seen.append(value)
            return value

        names = {"side": side}
        with pytest.raises(AssertionError, match="too large"):
            exec(instrument("assert side(1) < side(5) < side(3) < side(9), 'too large'")[0], names)
        assert seen == [1, 5, 3]
        assert recorder.margins == {"0.0.0": [[4, -2]]}

    def test_in_loops_and_functions_it_sees_their_names(self, recorder):
        source = "def f(a):\n    for b in a:\n        assert b < 3  # why\n    return a\nf([1, 2])"
        assert margins(recorder, source) == [[2], [1]]

    def test_an_or_that_holds_by_its_other_side_notes_that_one(self, recorder):
        assert margins(recorder, "assert x > 5 or x < 4", x=3) == [[1]]

    @pytest.mark.parametrize(
        "claim",
        ["x == 3", "'a' < 'b'", "{1} <= {1, 2}", "[1] < [2]", "not (x > 4)", "x in (3, 4)",
         "float('inf') > x", "any(v > 2 for v in [1, x])", "sorted([2, 1], key=lambda v: v < 2)"],
    )  # fmt: skip
    def test_what_has_no_distance_is_not_measured(self, recorder, claim):
        exec(instrument(f"assert {claim}")[0], {"x": 3})
        assert recorder.margins == {}

    def test_a_false_claim_still_fails_and_a_tensor_without_all_still_raises(self, recorder):
        with pytest.raises(AssertionError):
            exec(instrument("assert (t > 5).all()")[0], {"t": torch.tensor([4.0, 6])})
        assert recorder.margins == {"0.0.0": [[-1]]}
        with pytest.raises(RuntimeError, match="ambiguous"):
            exec(instrument("assert t > 5")[0], {"t": torch.tensor([4.0, 6])})


class TestInstrument:
    def test_leaves_everything_else_as_it_is(self):
        source = '# σ²\nx = "µ"; assert (\n    x < 3\n), "ß"  # end\ny = 1'
        changed, texts, exact = instrument(source, 7)
        start, end = '# σ²\nx = "µ"; assert __claim__(', ", 'ß'  # end\ny = 1"
        assert changed.startswith(start) and changed.endswith(end)
        assert (texts, exact) == ({"7.0.0": "x < 3"}, 0)

    def test_counts_exact_claims_and_numbers_the_others(self):
        _, texts, exact = instrument("assert a == b\nassert a < b and c > d\nassert ok(a)")
        assert list(texts.values()) == ["a < b", "c > d"]
        assert list(texts) == ["0.1.0", "0.1.1"]
        assert exact == 2

    def test_no_assert_no_change(self):
        source = "x = 1 < 2\n"
        assert instrument(source) == (source, {}, 0)


class TestShift:
    @pytest.fixture(autouse=True)
    def hooks_taken_back(self, monkeypatch):
        from torch.optim import optimizer

        hooks = optimizer._global_optimizer_pre_hooks
        monkeypatch.setattr(optimizer, "_global_optimizer_pre_hooks", hooks.copy())

    def step(self, optimizer, weight):
        weight.grad = torch.ones_like(weight)
        optimizer.step()
        return weight.grad - 1

    def test_the_first_gradient_only_and_the_same_each_time(self):
        shift_first_gradients(3)
        torch.manual_seed(0)
        expected = torch.rand(2)
        torch.manual_seed(0)
        first = []
        for _ in range(2):
            weight = torch.zeros(100, requires_grad=True)
            optimizer = torch.optim.SGD([weight], lr=1.0)
            first.append(self.step(optimizer, weight))
            assert not self.step(optimizer, weight).any()
        assert torch.equal(*first)
        assert 0 < first[0].abs().max() < 1e-5
        assert torch.equal(torch.rand(2), expected)

    def test_a_resumed_optimizer_is_left_alone(self):
        shift_first_gradients(3)
        weight = torch.zeros(100, requires_grad=True)
        one, two = (torch.optim.Adam([weight]) for _ in range(2))
        self.step(one, weight)
        two.load_state_dict(one.state_dict())
        assert not self.step(two, weight).any()


def test_the_text_is_another_one_in_each_round(monkeypatch):
    whole = data.load_text()
    monkeypatch.setattr(data.text, "_python_docs", data.text._python_docs)  # taken back
    change_text(2)
    assert data.load_text() == whole[10_000:]


def notebook(path, *sources):
    cells = [
        {"cell_type": "code", "metadata": {}, "source": source, "outputs": [],
         "execution_count": None, "id": f"c{n}"}
        for n, source in enumerate(sources)
    ]  # fmt: skip
    path.write_text(
        json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})
    )
    return path


def test_runs_are_kept_counted_and_forgotten_when_the_code_changes(tmp_path, capsys):
    path = notebook(
        tmp_path / "00_small.ipynb",
        "import os\nx = int(os.environ['PYTHONHASHSEED'])",
        "assert x < 1, 'only the first round'\nassert x == x",
        "assert os.environ['OMP_NUM_THREADS'] == str(1 + x % 2)",
    )
    before, out = path.read_bytes(), tmp_path / "runs.jsonl"
    stability.measure([path], rounds=2, out=out, plain=True)
    with open(out, "a") as file:
        file.write('{"half a li')
    runs = stability.read_runs(out)
    assert path.read_bytes() == before
    assert [run["margins"] for run in runs] == [{"2.0.0": [[1]]}, {"2.0.0": [[0]]}]
    assert [run["failures"] for run in runs] == [
        [], ["cell 2: AssertionError: only the first round"]
    ]  # fmt: skip
    assert runs[0]["memory"] > 5

    capsys.readouterr()
    stability.measure([path], rounds=2, out=out, plain=True)
    assert capsys.readouterr().out == "", "nothing was left to do"
    rows = list(stability.tables([path], runs, show=5))
    assert rows[2].startswith("| 00_small | 2 (1, 1) | 1 | 1, 2 | 0 | 1 |")
    assert "cell 2: `x < 1`" in rows[6]
    assert "failed: 00, cell 2: AssertionError" in rows[7]

    notebook(path, "assert 1 < 2")
    rows = list(stability.tables([path], runs, show=5))
    assert rows[2].startswith("| 00_small | 0 (0, 0) | 0 | 1, 0 |")


def test_a_kernel_that_dies_is_a_failure(tmp_path):
    path = notebook(tmp_path / "00_small.ipynb", "import os\nos._exit(1)", "assert 1 < 2")
    run = stability.run_once(path, 0, plain=True)
    assert run["failures"] == ["cell 1: Kernel died", "the kernel did not live to the end"]


def test_spread_takes_the_tightest_side():
    runs = [{"margins": {"1.0.0": [[5.0, 0.1 + wiggle], [9.0, 9.0]]}} for wiggle in (0, 0.1, 0.2)]
    found = stability.spread(runs)["1.0.0"]
    assert found["mean"] == pytest.approx(0.2) and found["min"] == pytest.approx(0.1)
    assert found["ratio"] == pytest.approx(2)
    still = [{"margins": {"1.0.0": [[0.25]]}}] * 3
    assert math.isinf(stability.spread(still)["1.0.0"]["ratio"])


def test_every_notebook_can_be_measured():
    for path in stability.find_notebooks():
        texts, exact = stability.claims_of(path)
        assert len(texts) + exact > 5, path.stem


def test_the_recorder_is_found_where_functions_of_the_notebook_look(monkeypatch):
    monkeypatch.setattr(builtins, "__claim__", None, raising=False)
    recorder = claims.Recorder()
    recorder.install()
    assert builtins.__claim__ is recorder
