"""Every notebook keeps the house rules, present and future; nbval runs their cells elsewhere."""

import re
import runpy
import warnings
from pathlib import Path

import pytest

from house_rules import RULES, Notebook, text_rules
from vae_course import checks
from vae_course.admin.notebooks import find_notebooks, read_notebook

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_house_rule(rule, path):
    problems = [f"- {problem}" for problem in rule(Notebook(path, read_notebook(path)))]
    if problems:
        told = "\n".join([f"{path.name}: {rule.__doc__}", *problems])
        pytest.fail(told, pytrace=False)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_size(path):
    """A guide, not a rule: what is longer is told as a warning."""
    if over := text_rules.over_the_guide(Notebook(path, read_notebook(path))):
        warnings.warn(f"{path.stem} is long: {', '.join(over)}", stacklevel=1)


CHALLENGE = re.compile(r'checks\.challenge\("(\w+)", \w+\);?')


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_stored_task_of_a_challenge_is_the_one_that_is_set(path, capsys):
    for cell in Notebook(path, read_notebook(path)).code:
        if (found := CHALLENGE.search(cell.source)) and cell.outputs:
            checks.challenge(found[1], None)
            assert "".join(output["text"] for output in cell.outputs) == capsys.readouterr().out


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_challenge_stands_under_its_heading(path):
    text = ""
    for cell in read_notebook(path)["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            text += source + "\n"
        elif CHALLENGE.search(source):
            last = re.findall(r"^## (.*)", text, flags=re.MULTILINE)[-1]
            assert re.fullmatch(r"Challenge · .+ \(.*\d+ minutes\)", last), last


def test_there_are_notebooks():
    assert (FOLDER / "01_autoencoders.ipynb") in NOTEBOOKS
    assert find_notebooks(folder=FOLDER) == NOTEBOOKS


def test_notebooks_are_numbered_once():
    numbers = [path.name.split("_")[0] for path in NOTEBOOKS]
    assert all(re.fullmatch(r"\d\db?", number) for number in numbers), numbers
    assert len(set(numbers)) == len(numbers), numbers
    assert {number[:2] for number in numbers} <= set(numbers), "a companion without its lesson"


def test_the_cheat_sheet_is_in_step():
    docs = FOLDER.parent / "docs"
    maker = runpy.run_path(str(docs / "make_cheat_sheet.py"))
    printed = (docs / "cheat_sheet.md").read_text(encoding="utf-8")
    assert printed == maker["text"](), "run python docs/make_cheat_sheet.py"
    chapters = {path.name for path in NOTEBOOKS if re.match(r"\d\d_", path.name)}
    assert set(re.findall(r"notebooks/(\w+\.ipynb)", printed)) == chapters
