"""Cells that run a second time: what a later cell broke is found, and what is whole is not."""

import json

import pytest

from benchmarks import again


@pytest.fixture
def notebook(tmp_path):
    def make(*sources):
        cells = [{"cell_type": "markdown", "metadata": {}, "source": "# Doubling"}]
        for source in sources:
            cells.append({"cell_type": "code", "metadata": {}, "source": source, "outputs": [],
                          "execution_count": None})  # fmt: skip
        raw = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
        path = tmp_path / "00_doubling.ipynb"
        path.write_text(json.dumps(raw), encoding="utf-8")
        return path

    return make


def test_what_a_later_cell_added_is_found_and_slow_cells_are_left_out(notebook):
    path = notebook(
        "import time\nfound, times = {'one': 1}, []",
        "((name, number),) = found.items()\nprint(name)",
        "assert not times\ntimes.append(1)\ntime.sleep(1.6)",
        "found['two'] = 2",
    )
    assert again.run_again(path, 1.5) == [
        "cell 3: ValueError: too many values to unpack (expected 1)"
    ]


def test_a_notebook_that_fails_at_once_says_so(notebook):
    (problem,) = again.run_again(notebook("1 / 0"), 1)
    assert problem == "it doesn't run even once: cell 2: ZeroDivisionError: division by zero"
