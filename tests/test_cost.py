"""The bookkeeping around what is measured: nothing lost, nothing measured twice, misses named."""

import json
import re
import subprocess
import sys

import pytest

from benchmarks import cost
from benchmarks.machine import Watch, folder_bytes
from vae_course.admin.notebooks import find_notebooks

ROW = {"seconds": 60.0, "processor": 50.0, "memory": 900, "disk": 1.0, "others": 0.0}


def test_what_is_stored_is_not_measured_again(tmp_path):
    path = tmp_path / "cost.json"
    cost.Store(path).measure("a", lambda: ROW, again=False)
    store = cost.Store(path)
    store.measure("a", lambda: pytest.fail("measured twice"), again=False)
    assert store.rows["a"].items() >= ROW.items()
    store.measure("a", lambda: ROW | {"seconds": 1.0}, again=True)
    assert json.loads(path.read_text())["a"]["seconds"] == 1


def test_an_interrupted_measurement_leaves_the_earlier_ones(tmp_path):
    store = cost.Store(tmp_path / "cost.json")
    store.measure("a", lambda: ROW, again=False)
    with pytest.raises(ZeroDivisionError):
        store.measure("b", lambda: 1 / 0, again=False)
    assert list(cost.Store(store.path).rows) == ["a"]


def rows_of_notebooks(**change):
    more = {"machine": "here", "threads": "1", "first_figure": 4.0, "first_figure_processor": 3.0}
    paths = find_notebooks()
    more["seconds"] = 800 / len(paths)  # together a little less than they may take
    rows = {
        f"notebook {path.stem}": {**ROW, **more, "code": cost.code_digest(path)} for path in paths
    }
    first = next(iter(rows))
    rows[first] = rows[first] | change
    return rows


@pytest.mark.parametrize(
    ("change", "missed"),
    [
        ({}, []),
        ({"seconds": 901.0}, ["- seconds in all: {all}, at most 900: NOT met"]),
        ({"memory": 3000}, ["- MiB, the largest: 3,000, at most 2,048: NOT met"]),
        ({"first_figure": 12.0}, ["- s to the first figure, the slowest: 12, at most 5: NOT met"]),
    ],
    ids=["all met", "slow", "large", "late"],
)
def test_every_miss_is_named(change, missed):
    paths = find_notebooks()
    rows = rows_of_notebooks(**change)
    lines = list(cost.table(rows, paths))
    together = f"{sum(row['seconds'] for row in rows.values()):,.0f}"
    missed = [line.replace("{all}", together) for line in missed]
    assert [line for line in lines if "NOT met" in line] == missed
    assert sum("at most" in line for line in lines) == 3


def test_a_busy_machine_a_failure_and_other_code_are_seen():
    change = {"seconds": 60.0, "unit": 2.0, "others": 0.5, "code": "old"}
    rows = rows_of_notebooks(**change, failed="cell 3: KeyError")
    lines = list(cost.table(rows, find_notebooks()))
    (row,) = (line for line in lines if "| notebook 01" in line)
    assert "60.0*" in row and "| 25 |" in row and "4.0* (3.0)" in row and "cell 3: KeyError" in row
    assert lines[-1] == "- not measured: none; changed since: 01_autoencoders"


def test_readme_has_the_seconds_of_the_table():
    """Both are written by one command, so that neither is older than the other."""
    readme = (cost.ROOT / "README.md").read_text(encoding="utf-8")
    table = (cost.ROOT / "benchmarks/COST.md").read_text(encoding="utf-8")
    seconds = re.findall(r"\| notebook (\w+) \| ([\d.]+)", table)
    rows = {f"notebook {name}": {"seconds": float(number)} for name, number in seconds}
    assert cost.into_readme(readme, rows, find_notebooks()) == readme
    first, *others = find_notebooks()
    rows[f"notebook {first.stem}"] = {"seconds": 321.4}
    other = cost.into_readme(readme, rows, [first])
    assert other.count("| 321 |") == 1 and other != readme
    with pytest.raises(ValueError, match=f"{others[0].stem} is not measured"):
        cost.into_readme(readme, {}, others)
    with pytest.raises(ValueError, match="has 0 lines"):
        cost.into_readme("# Nothing", rows, [first])


def test_modules_are_the_public_ones():
    modules = cost.public_modules()
    assert {"vae_course", "vae_course.training", "vae_course.checks"} <= set(modules)
    assert not [name for name in modules if "._" in name]


def test_a_failing_command_is_said():
    row = cost.command_cost([sys.executable, "-c", "raise SystemExit('no')"])
    assert row["failed"] == "exit code 1: ['no']"


def test_memory_processor_and_disk_of_a_process_and_its_child(tmp_path):
    child = "x = bytearray(100 * 2**20); print(len(x), flush=True); input()"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    with Watch(tmp_path, every=0.01) as watch:
        process = subprocess.Popen(
            [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        watch.follow(process.pid)
        process.stdout.readline()  # the memory is taken
        (tmp_path / "file").write_bytes(bytes(3 * 2**20))
        assert watch.look() > 0
        process.communicate(b"\n")
    row = watch.row()
    assert 100 < row["memory"] < 300
    assert row["disk"] == pytest.approx(3, abs=0.1)
    assert row["processor"] > 0


def test_a_file_with_two_names_counts_once(tmp_path):
    (tmp_path / "a").write_bytes(bytes(2**20))
    (tmp_path / "b").hardlink_to(tmp_path / "a")
    assert folder_bytes(tmp_path) == pytest.approx(2**20, rel=0.01)
    assert folder_bytes(tmp_path / "nothing") == 0
