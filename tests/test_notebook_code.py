"""The helper that takes definitions out of notebooks."""

import json

import pytest

from notebook_code import definitions

SOURCES = [
    "import math\n\nprint('not executed')",
    "SIZE = 3  # pixels",
    "def area(side):\n    return side",
    "1 / 0",
    "def area(side):\n    return math.pow(side, 2) + zero()\n\n\ndef zero():\n    return 0",
    'def zero():\n    """A stub."""\n    ...',
    'def volume(side):\n    """A stub."""\n    ...',
]


@pytest.fixture
def folder(tmp_path):
    cells = [{"cell_type": "code", "source": source, "outputs": []} for source in SOURCES]
    notebook = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (tmp_path / "00_areas.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    return tmp_path


def test_last_definition_with_its_imports(folder, capsys):
    notebook = definitions("00_areas", "area", "zero", "SIZE", folder=folder)
    assert notebook.area(notebook.SIZE) == 9
    assert capsys.readouterr().out == ""


def test_a_stub_does_not_replace_a_definition(folder):
    assert definitions("00_areas", "zero", folder=folder).zero() == 0


def test_missing_name_lists_what_there_is(folder):
    with pytest.raises(LookupError, match=r"does not define volume; it defines: SIZE, area, zero"):
        definitions("00_areas", "volume", folder=folder)
