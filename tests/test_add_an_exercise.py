r"""docs/add_an_exercise.md, done step by step as it stands; and the files that it starts from."""

import json
import re
from pathlib import Path

import pytest

from vae_course import checks, cli

PAGE = Path(__file__).parents[1] / "docs" / "add_an_exercise.md"
BLOCKS = re.findall(r"```(bash|python|text)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)


def test_the_page_works_as_it_stands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(checks, "_loaded", {})
    space, file = {"__name__": "__main__"}, ""
    for kind, block in BLOCKS:
        if kind == "bash":
            assert cli.main(block.split()[1:]) == 0
        elif kind == "text":
            assert capsys.readouterr().out == block
        elif block.startswith("# bits_per_pixel.py"):
            file += block
            Path("bits_per_pixel.py").write_text(file, encoding="utf-8")
        else:
            capsys.readouterr()
            exec(compile(block, "the page", "exec"), space)
    assert sorted(p.name for p in tmp_path.glob("*.py")) == [
        "bits_per_pixel.py",
        "other_exercise.py",
    ]


def test_a_first_exercise_takes_fifteen_lines():
    first = next(block for _, block in BLOCKS if block.startswith("# bits_per_pixel.py\n"))
    assert len([line for line in first.splitlines()[1:] if line.strip()]) <= 15


@pytest.mark.parametrize("graded", [False, True])
def test_the_files_to_start_from_are_an_exercise_that_works(graded, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(checks, "_loaded", {})
    options = ["--graded"] if graded else []
    assert cli.main(["notebooks", "new-exercise", "first", *options]) == 0
    assert cli.main(["notebooks", "new-exercise", "first", *options]) == 2  # never written over
    assert cli.main(["notebooks", "new-exercise", "not-a-name"]) == 2
    notebook = json.loads(Path("first.ipynb").read_text(encoding="utf-8"))
    space = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            exec(cell["source"], space)
    found = checks.exercise("first")
    assert checks.judge(found, found.reference).passed
    assert checks.judge(found, found.wrong("averaged")).mistake == "averaged"
    points = [c["metadata"].get("nbgrader", {}).get("points") for c in notebook["cells"]]
    assert (1 in points) == graded
