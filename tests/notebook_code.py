"""Functions out of a notebook's code cells, so that a test can hold them against the package's:

notebook = definitions("01_autoencoders", "mse_per_image", "LATENT_DIM")
assert_close(notebook.mse_per_image(image, other), losses.mse_per_image(image, other))
"""

from __future__ import annotations

import ast
from pathlib import Path
from types import SimpleNamespace

from vae_course.admin.notebooks import read_notebook

FOLDER = Path(__file__).parent.parent / "notebooks"


def definitions(name: str, *wanted: str, folder: Path = FOLDER) -> SimpleNamespace:
    """Functions, classes and constants as the notebook's cells define them, by name.

    The notebook's imports are executed, its other cells are not. Stubs (a body of nothing but
    `...`) don't count. Where a name is defined several times, the last one is taken. A definition
    that uses another one of the notebook needs that in `wanted` too.

    Raises: LookupError that lists what the notebook defines.
    """
    cells = read_notebook(folder / f"{name}.ipynb")["cells"]
    trees = [ast.parse(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    statements = [node for tree in trees for node in tree.body]
    found = {bound: node for node in statements if (bound := _bound(node)) is not None}
    missing = sorted(set(wanted) - set(found))
    if missing:
        raise LookupError(
            f"notebook {name} does not define {', '.join(missing)}; it defines: "
            f"{', '.join(found) or 'nothing'}"
        )
    chosen = {id(found[bound]) for bound in wanted}
    kept = [n for n in statements if isinstance(n, ast.Import | ast.ImportFrom) or id(n) in chosen]
    namespace: dict[str, object] = {}
    exec(compile(ast.Module(kept, type_ignores=[]), f"{name}.ipynb", "exec"), namespace)
    return SimpleNamespace(**{bound: namespace[bound] for bound in wanted})


def _bound(node: ast.stmt) -> str | None:
    """The name that a statement defines, None for a stub or another kind of statement."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        body = [n for n in node.body if not _is_constant_expression(n)]
        return node.name if body else None
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id
    return None


def _is_constant_expression(node: ast.stmt) -> bool:
    """A docstring or `...`."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
