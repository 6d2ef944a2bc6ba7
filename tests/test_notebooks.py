"""Every notebook keeps the house rules, present and future; nbval runs their cells elsewhere."""

from pathlib import Path

import pytest

from house_rules import RULES, Notebook
from vae_course.admin.notebooks import find_notebooks, read_notebook

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_house_rule(rule, path):
    problems = [f"- {problem}" for problem in rule(Notebook(path, read_notebook(path)))]
    if problems:
        pytest.fail("\n".join([f"{path.name}: {rule.__doc__}", *problems]), pytrace=False)


def test_there_are_notebooks():
    assert (FOLDER / "01_autoencoders.ipynb") in NOTEBOOKS
    assert find_notebooks(folder=FOLDER) == NOTEBOOKS


def test_notebooks_are_numbered_once():
    numbers = [path.name[:3] for path in NOTEBOOKS]
    assert all(number[:2].isdigit() and number[2] == "_" for number in numbers), numbers
    assert len(set(numbers)) == len(numbers), numbers
