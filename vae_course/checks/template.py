r"""A new exercise to start from: its file, and a notebook with the cells that ask it."""

import json
import keyword
from pathlib import Path

_FILE = '''r"""The exercise `{name}`: one sentence on what is asked."""

from vae_course.checks import Exercise, draw


def {name}(x):
    return x.square().sum(dim=1)  # (B,): your right answer


exercise = Exercise(
    {name},
    inputs=lambda g: (draw.normal(g, "B", "D"),),  # B and D are sizes, drawn for each case
    returns="(B,), what the numbers are, in which unit",
)
exercise.mistake("averaged", edit=(".sum(dim=1)", ".mean(dim=1)"),
                 hint="You averaged over the D numbers of a row; they are to be added up.")
'''
_TASK = """### {name}

Say what is wanted, in which shape and unit: what is not said here and in `returns` is not demanded.
"""
_LOAD = 'from vae_course import checks\n\nchecks.load("{name}.py");'
_STUB = "def {name}(x):\n    # (B, D) → (B,)\n    ..."
_CHECK = '{name} = checks.check("{name}", {name}).function'
_SOLUTION = (
    "def {name}(x):\n    ### BEGIN SOLUTION\n    return x.square().sum(dim=1)\n    ### END SOLUTION"
)
_TEST = 'from vae_course.checks import graded\n\ngraded.check("{name}", {name})'


def new_exercise(name: str, folder: Path, *, graded: bool = False) -> list[Path]:
    r"""Write NAME.py and NAME.ipynb into the folder; graded: with the cells of an nbgrader source.

    Raises: ValueError for a name that no function can have; FileExistsError rather than write over
        a file.
    """
    if not name.isidentifier() or keyword.iskeyword(name):
        raise ValueError(f"{name!r} can't be the name of a function: letters, digits and _ only")
    files = folder / f"{name}.py", folder / f"{name}.ipynb"
    for file in files:
        if file.exists():
            raise FileExistsError(f"{file} is there already; nothing was written")
    cells = [_cell("markdown", _TASK, name), _cell("code", _LOAD, name)]
    if graded:
        cells += [
            _cell("code", _SOLUTION, name, grade_id=name, solution=True),
            _cell("code", _TEST, name, grade_id=f"test-{name}", grade=True, locked=True, points=1),
        ]
    else:
        cells += [_cell("code", _STUB, name), _cell("code", _CHECK, name)]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook = {
        "cells": [cell | {"id": f"cell-{index}"} for index, cell in enumerate(cells)],
        "metadata": {"kernelspec": kernel},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    files[0].write_text(_FILE.format(name=name), encoding="utf-8")
    text = json.dumps(notebook, indent=1, ensure_ascii=False)
    files[1].write_text(text + "\n", encoding="utf-8")
    return list(files)


def _cell(kind: str, source: str, name: str, **nbgrader) -> dict:
    cell = {"cell_type": kind, "metadata": {}, "source": source.format(name=name)}
    if nbgrader:
        usual = {"schema_version": 3, "task": False, "grade": False, "solution": False}
        cell["metadata"]["nbgrader"] = usual | {"locked": False} | nbgrader
    return cell | ({"outputs": [], "execution_count": None} if kind == "code" else {})
