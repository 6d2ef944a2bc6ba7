"""House rules for the code cells: their shape, their order, what stands behind a number."""

from __future__ import annotations

import ast
import builtins
import re
import statistics
from collections.abc import Iterator

from vae_course.admin.notebooks import bootstrap_source

from .notebook import Cell, Notebook

RE_EXECUTE = "re-execute: vae-course notebooks run"


def executed_in_order(notebook: Notebook) -> Iterator[str]:
    """Every code cell was run once, from top to bottom."""
    for expected, cell in enumerate(notebook.code, start=1):
        count = cell.raw.get("execution_count")
        if count != expected:
            yield f"{cell} has execution count {count}, expected {expected}; {RE_EXECUTE}"


def code_is_plain_python(notebook: Notebook) -> Iterator[str]:
    """No magics and no shell lines: the tests read the code, and plain Python is what is taught."""
    for cell in notebook.code:
        try:
            ast.parse(cell.source)
        except SyntaxError as error:
            yield f"{cell}, line {error.lineno}: {error.msg}; no magics (%), no shell lines (!)"
        if re.search(r"^\s*from \S+ import \*", cell.source, re.MULTILINE):
            yield f"{cell} imports *; name what it uses"


def cells_are_short(notebook: Notebook) -> Iterator[str]:
    """Median at most 8 lines, nine in ten at most 20, none over 40."""
    lengths = [len(cell.lines) for cell in notebook.code]
    if not lengths:
        yield "the notebook has no code cell"
        return
    if (median := statistics.median(lengths)) > 8:
        yield f"the median code cell has {median:g} lines, at most 8 allowed; split some cells"
    long = [cell for cell in notebook.code if len(cell.lines) > 20]
    if len(long) > 0.1 * len(lengths):
        names = "; ".join(str(cell) for cell in long)
        yield f"over 20 lines in {len(long)} of {len(lengths)} code cells, 1 in 10 allowed: {names}"
    for cell in notebook.code:
        if len(cell.lines) > 40:
            yield f"{cell} has {len(cell.lines)} lines, at most 40 allowed; split it"


def lines_are_narrow(notebook: Notebook) -> Iterator[str]:
    """Code is at most 88 columns wide: a projector and half a screen show it whole."""
    for cell in notebook.code:
        for number, line in enumerate(cell.lines, start=1):
            if len(line) > 88:
                yield f"{cell}, line {number} has {len(line)} columns, at most 88 allowed"


def prose_between_code(notebook: Notebook) -> Iterator[str]:
    """At most three code cells in a row."""
    row = 0
    for cell in notebook.cells:
        row = row + 1 if cell.is_code else 0
        if row == 4:
            yield f"{cell} is the fourth code cell without prose; say between them what happens"


def bootstrap_is_first(notebook: Notebook) -> Iterator[str]:
    """The first code cell is the bootstrap cell, the same in every notebook."""
    if not notebook.code or notebook.code[0].source != bootstrap_source():
        yield (
            "the first code cell is not the bootstrap cell; paste the output of: "
            'python -c "from vae_course.admin.notebooks import bootstrap_source as b; print(b())"'
        )


def settings_cell(notebook: Notebook) -> Iterator[str]:
    """One cell under the heading "Settings", early, with constants and a comment to each."""
    pairs = zip(notebook.cells, notebook.cells[1:], strict=False)
    cells = [
        after
        for before, after in pairs
        if after.is_code and any("settings" in text.lower() for _, text in before.headings)
    ]
    if len(cells) != 1:
        yield f'expected one code cell right under a heading "Settings", found {len(cells)}'
        return
    cell = cells[0]
    if cell not in notebook.code[:4]:
        yield f"{cell} is not among the first four code cells; readers look for it at the top"
    constants = [node for node in cell.tree.body if isinstance(node, ast.Assign | ast.AnnAssign)]
    if not constants:
        yield f"{cell} sets nothing; write constants, as in EPOCHS = 12  # full passes"
    for node in constants:
        target = node.targets[0] if isinstance(node, ast.Assign) else node.target
        if not (isinstance(target, ast.Name) and target.id.isupper()):
            yield f"{cell} sets {ast.unparse(target)}; a setting is a constant in capitals"
        elif not any("#" in line for line in cell.lines[node.lineno - 1 : node.end_lineno]):
            yield f"{cell} sets {target.id} without a comment; say what it is"


def markers_count(notebook: Notebook) -> Iterator[str]:
    """nbval reads a marker only on a comment line of its own; skipping and raising are out."""
    for cell in notebook.code:
        for number, line in enumerate(cell.lines, start=1):
            if "NBVAL_" in line and not re.fullmatch(r"\s*#+\s*NBVAL_\w+\s*", line):
                yield f"{cell}, line {number}: nbval reads a marker only on a line of its own"
        for marker in sorted(cell.markers - {"ignored"}):
            yield f"{cell} is marked {marker} and tests nothing; catch and print the error instead"


def ignored_output_has_a_claim(notebook: Notebook) -> Iterator[str]:
    """What nbval does not compare, a claim cell does (the precise rule: CONTRIBUTING.md)."""
    for position, cell in enumerate(notebook.code):
        if "ignored" not in cell.markers:
            continue
        if not cell.outputs:
            yield f"{cell} ignores its output but stores none; drop the marker, or {RE_EXECUTE}"
        after = notebook.code[position + 1 : position + 3]
        claims = [claim for claim in after if "ignored" not in claim.markers and _asserts(claim)]
        if not claims:
            yield (
                f"{cell} is marked NBVAL_IGNORE_OUTPUT and no claim cell follows; make one of the "
                "next two code cells an unmarked one with an assert (a band); a picture alone "
                "needs no marker"
            )
        elif not any(_names(claim, notebook) & _names(cell, notebook) for claim in claims):
            yield f"{claims[0]} asserts nothing that {cell} shows: they share no variable"


def _asserts(cell: Cell) -> bool:
    """Whether the cell runs an assert of something that could be false."""
    todo: list[ast.AST] = list(cell.tree.body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Assert) and any(isinstance(n, ast.Name) for n in ast.walk(node)):
            return True
        if not isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Lambda):
            todo.extend(ast.iter_child_nodes(node))
    return False


def _names(cell: Cell, notebook: Notebook) -> set[str]:
    """Variables and functions of the cell, without imports and what Python brings."""
    named = {node.id for node in ast.walk(cell.tree) if isinstance(node, ast.Name)}
    return named - notebook.imported - set(dir(builtins))
