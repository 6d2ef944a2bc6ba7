"""A training repeated over seeds by the notebook's own code, and the tables that ship."""

import json

import pytest

from benchmarks import seeds
from vae_course import pretrained
from vae_course.admin.notebooks import find_notebooks


@pytest.fixture
def notebook(tmp_path):
    def make(*sources):
        cells = [
            {"cell_type": "code", "metadata": {}, "source": source, "outputs": [],
             "execution_count": None} for source in sources
        ]  # fmt: skip
        raw = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
        path = tmp_path / "00_tossing.ipynb"
        path.write_text(json.dumps(raw), encoding="utf-8")
        return path

    return make


def test_the_notebook_s_own_function_runs_over_the_seeds_and_nothing_below_it(notebook, tmp_path):
    path = notebook(
        "def measure_coins(seed):\n    return 0, [{'coin': c, 'heads': seed / c} for c in (2, 3)]",
        'stored = load_results("seeds-00-coins")\n1 / 0',
        "1 / 0",
    )
    rows = seeds.repeat(path, "00-coins", seeds=2)
    assert [(row["seed"], row["coin"]) for row in rows] == [(0, 2), (0, 3), (1, 2), (1, 3)]
    text = seeds.write("00-coins", rows, tmp_path).read_text()
    assert text == "seed,coin,heads\n0,2,0\n0,3,0\n1,2,0.5\n1,3,0.333333\n"


def test_what_fails_is_said(notebook):
    broken = notebook("1 / 0", 'load_results("seeds-00-tossing")')
    with pytest.raises(SystemExit, match=r"00_tossing.ipynb: cell 1: ZeroDivisionError"):
        seeds.repeat(broken, "00-tossing")


def test_an_unknown_table_is_refused_with_those_that_there_are(capsys):
    with pytest.raises(SystemExit):
        seeds.main(["01-seizes"])
    assert "no notebook reads 01-seizes; expected " in capsys.readouterr().err


TABLES = [(path, name) for path in find_notebooks() for name in seeds.readers(path)]


@pytest.mark.parametrize("path, name", TABLES, ids=[name for _, name in TABLES])
def test_each_table_has_the_same_rows_of_every_seed(path, name):
    assert path.name.startswith(name.partition("-")[0] + "_")
    rows = pretrained.load_results(f"seeds-{name}")
    of_seed = [[row for row in rows if row["seed"] == seed] for seed in range(seeds.SEEDS)]
    assert sum(map(len, of_seed)) == len(rows) and len({len(some) for some in of_seed}) == 1
    assert all(value is not None for row in rows for value in row.values())


def test_every_stored_table_is_read_by_a_notebook():
    stored = {path.stem.removeprefix("seeds-") for path in seeds.RUNS.glob("seeds-*.csv")}
    assert stored == {name for _, name in TABLES}


def test_results_are_numbers_where_they_can_be():
    first = pretrained.load_results("shipped-samples")[0]
    assert isinstance(first["model"], str) and isinstance(first["precision"], float)
    with pytest.raises(pretrained.DataError, match="none"):
        pretrained.load_results("none")
