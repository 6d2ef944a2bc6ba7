"""--share K/N: the N shares together are everything, and what belongs together stays together."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

CASES = """
import pytest

@pytest.mark.parametrize("name", ["a", "b", "c", "d"])
@pytest.mark.parametrize("number", [1, 2])
def test_one(name, number): pass

@pytest.mark.parametrize("name", ["x", "y", "z"])
class TestSome:
    def test_this(self, name): pass
    def test_that(self, name): pass

def test_alone(): pass
"""


@pytest.fixture(scope="module")
def collected(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shared")
    (folder / "test_cases.py").write_text(CASES, encoding="utf-8")
    cells = [nbformat.v4.new_code_cell(f"{number} + 1") for number in range(5)]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / "some.ipynb")
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}

    def collect(*options):
        command = [sys.executable, "-m", "pytest", "-q", "--collect-only", "-p", "conftest"]
        command += ["--noconftest", "--nbval", *options, "."]
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, env=environment, timeout=120
        )
        return [line for line in done.stdout.splitlines() if "::" in line], done

    return collect


def test_the_shares_are_everything_once(collected):
    everything, _ = collected()
    shares = [collected("--share", f"{which}/3")[0] for which in range(3)]
    assert len(everything) == 20 and all(shares)
    assert sorted(line for share in shares for line in share) == sorted(everything)
    for share in shares:
        kept = {name for name in "xyz" if any(f"[{name}]" in line for line in share)}
        assert sum("TestSome" in line for line in share) == 2 * len(kept)
        assert sum("some.ipynb" in line for line in share) in (0, 5)


@pytest.mark.parametrize("text", ["3/3", "a"])
def test_a_share_that_is_none_is_refused(collected, text):
    _, done = collected(f"--share={text}")
    assert done.returncode == 4 and f"{text!r}: expected K/N" in done.stderr
