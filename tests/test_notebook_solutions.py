"""Every folded solution, pasted into its stub, passes its check with what the notebook has by then.

Imports of the cells above count, and the definitions there that the solution uses; nothing else.
"""

import ast
import builtins
from pathlib import Path

import pytest

from house_rules import Notebook
from vae_course import checks
from vae_course.admin.notebooks import read_notebook

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def checked(notebook):
    """(position among the code cells, exercise, name of the function that the cell checks)."""
    for position, cell in enumerate(notebook.code):
        for node in ast.walk(cell.tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "checks.check":
                yield position, node.args[0].value, ast.unparse(node.args[1])


def used(node):
    """Names that the code reads and does not bind itself."""
    names = [n for n in ast.walk(node) if isinstance(n, ast.Name)]
    bound = {n.id for n in names if isinstance(n.ctx, ast.Store)}
    bound |= {n.arg for n in ast.walk(node) if isinstance(n, ast.arg)}
    bound |= {n.name for n in ast.walk(node) if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    return {n.id for n in names} - bound - set(dir(builtins))


def _asked(node):
    """The exercise that the statement checks."""
    calls = [n for n in ast.walk(node) if isinstance(n, ast.Call)]
    return next(n.args[0].value for n in calls if ast.unparse(n.func) == "checks.check")


def namespace(notebook, position, wanted):
    """What the cells before `position` import, and of their definitions those that are wanted.

    A function that an earlier cell checks is the reference, as in the notebook.
    """
    statements = [node for cell in notebook.code[:position] for node in cell.tree.body]
    statements += [n for n in notebook.code[position].tree.body if not isinstance(n, ast.Expr)]
    imports = [node for node in statements if isinstance(node, ast.Import | ast.ImportFrom)]
    found, solved, open_names = [], {}, set(wanted)
    for node in reversed(statements):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            bound = {node.name}
        elif isinstance(node, ast.Assign):
            bound = {n.id for t in node.targets for n in ast.walk(t) if isinstance(n, ast.Name)}
        else:
            continue
        if bound & open_names and "checks.check(" in ast.unparse(node):
            (name,) = bound
            solved[name] = checks.exercise(_asked(node)).reference
            open_names -= bound
        elif bound & open_names:
            found.insert(0, node)
            open_names = (open_names - bound) | used(node)
    given = dict(solved)
    exec(compile(ast.Module(imports + found, []), notebook.path.name, "exec"), given)
    return given


CASES = [
    pytest.param(path, *case, id=f"{path.stem[:3]}-{case[1]}")
    for path in NOTEBOOKS
    for case in checked(Notebook(path, read_notebook(path), solutions={}))
]


@pytest.mark.parametrize(("path", "position", "name", "function"), CASES)
def test_solution_passes_in_its_stub(path, position, name, function, capsys):
    notebook = Notebook(path, read_notebook(path))
    solution = ast.parse(notebook.solutions[name])
    given = namespace(notebook, position, used(solution))
    exec(compile(solution, f"the solution of {name}", "exec"), given)
    assert function in given, f"the cell checks {function}, the solution does not define it"
    verdict = checks.check(name, given[function])
    assert verdict.passed, capsys.readouterr().out


def test_there_are_solutions():
    chapters = {int(path.name[:2]) for path in NOTEBOOKS}
    assert len(CASES) >= sum(exercise.chapter in chapters for exercise in checks.exercises())
