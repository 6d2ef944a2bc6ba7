r"""From a file that came back to a notebook that can be graded, and what was found on the way.

The student's own cells stay, in their order. The cells that grade come from the assignment, each
once, whatever was done to them.
"""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

LARGEST = 20 * 2**20  # bytes of a notebook; with stored pictures they have about one tenth of that
MOST_CELLS = 1000


class Unreadable(ValueError):
    r"""The file is no notebook that can be graded; the message says why, for the student."""


def read(path: Path) -> NotebookNode:
    r"""The notebook in a file. Raises: Unreadable."""
    size = path.stat().st_size
    if size == 0:
        raise Unreadable("The file is empty.")
    if size > LARGEST:
        raise Unreadable(f"The file has {size / 2**20:.0f} MB; {LARGEST // 2**20} is the most.")
    try:
        text = path.read_bytes().decode("utf-8-sig")
        notebook = nbformat.reads(json.dumps(_plain(json.loads(text))), as_version=4)
        for cell in notebook.cells:
            cell.source = "".join(cell.source).replace("\r\n", "\n").replace("\r", "\n")
            cell.setdefault("metadata", NotebookNode())
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        short = str(error).partition("\n")[0][:200]
        raise Unreadable(f"It is not a Jupyter notebook: {short}") from None
    except nbformat.ValidationError as error:
        raise Unreadable(f"It is a damaged notebook: {str(error)[:200]}") from None
    if len(notebook.cells) > MOST_CELLS:
        raise Unreadable(f"It has {len(notebook.cells)} cells; {MOST_CELLS} is the most.")
    return notebook


def _plain(value: Any) -> Any:
    r"""The JSON of a notebook with what older tools leave out or add put right."""
    if not isinstance(value, dict) or not isinstance(value.get("cells", value), list | dict):
        raise ValueError("there is no list of cells in it")
    if "cells" not in value and "worksheets" not in value:
        raise ValueError("there are no cells in it")
    for cell in value.get("cells", []):
        cell.pop("id", None)  # given anew: two cells may have the same, or one that is not allowed
        if cell.get("cell_type") == "code":
            cell["outputs"] = []
            cell["execution_count"] = None
        else:
            cell.pop("outputs", None)
            cell.pop("execution_count", None)
    if "cells" in value:
        value["nbformat"], value["nbformat_minor"] = 4, 4
        value["metadata"] = {}
    return value


def master(source: Path) -> NotebookNode:
    r"""The assignment with its tests, hidden ones too, and without the solutions."""
    from ._course import STUB, WRITTEN_STUB

    notebook = nbformat.read(source, as_version=4)
    for cell in notebook.cells:
        if not cell.metadata.get("nbgrader", {}).get("solution"):
            continue
        stub = STUB if cell.cell_type == "code" else WRITTEN_STUB
        lines, inside, cleared = [], False, False
        for line in cell.source.split("\n"):
            if "BEGIN SOLUTION" in line:
                inside = cleared = True
                indent = line[: len(line) - len(line.lstrip())]
                lines.append(indent + stub)
            elif "END SOLUTION" in line:
                inside = False
            elif not inside:
                lines.append(line)
        cell.source = "\n".join(lines) if cleared else stub
    return notebook


def restore(submitted: NotebookNode, original: NotebookNode) -> tuple[NotebookNode, list[str]]:
    r"""The notebook to grade, and a sentence for each thing that was put right.

    `original` is the assignment as `master` gives it.
    """
    known = {c.metadata.nbgrader.grade_id: c for c in original.cells if "nbgrader" in c.metadata}
    found: list[str] = []
    last = {}
    for index, cell in enumerate(submitted.cells):
        last[_grade_id(cell)] = index
    cells = []
    for index, cell in enumerate(submitted.cells):
        name = _grade_id(cell)
        if name not in known or last[name] != index:
            if name in known:
                found.append(f"the cell {name} was there twice: the last one counts")
                if _grades(known[name]):
                    continue
            elif name:
                found.append(f"a cell {name!r} is not part of the assignment: not graded")
            cells.append(_own(cell))
        else:
            cells.append(_known(cell, known[name], found))
    present = {_grade_id(cell) for cell in cells}
    for name, cell in known.items():
        settings = cell.metadata.nbgrader
        if name not in present and settings.grade:
            found.append(f"the cell {name} was missing: put back")
            cells.insert(_place(cells, name), _copy(cell, cell.source))
    made = nbformat.v4.new_notebook(cells=cells)
    made.metadata.kernelspec = original.metadata.kernelspec  # whatever the student's was called
    made.nbformat_minor = 5
    for index, cell in enumerate(made.cells):
        cell["id"] = f"c{index}"
    return made, found


def _grade_id(cell: NotebookNode) -> str:
    settings = cell.metadata.get("nbgrader", {})
    name = settings.get("grade_id", "") if isinstance(settings, dict) else ""
    return name if isinstance(name, str) else ""


def _grades(cell: NotebookNode) -> bool:
    return cell.metadata.nbgrader.grade and not cell.metadata.nbgrader.solution


def _own(cell: NotebookNode) -> NotebookNode:
    if cell.cell_type == "code":
        return nbformat.v4.new_code_cell(cell.source)
    return nbformat.v4.new_markdown_cell(cell.source)


def _known(cell: NotebookNode, original: NotebookNode, found: list[str]) -> NotebookNode:
    name = original.metadata.nbgrader.grade_id
    if not original.metadata.nbgrader.solution:
        if cell.source.strip() not in (original.source.strip(), visible(original.source).strip()):
            found.append(f"the cell {name} was changed: the assignment's own is used")
        return _copy(original, original.source)
    if cell.cell_type != original.cell_type:
        found.append(f"the cell {name} had become {cell.cell_type}: read as {original.cell_type}")
    return _copy(original, cell.source)


def visible(source: str) -> str:
    r"""A test cell as students see it: without the hidden tests."""
    lines = source.split("\n")
    kept, hidden = [], False
    for line in lines:
        hidden = hidden or "BEGIN HIDDEN TESTS" in line
        if not hidden:
            kept.append(line)
        hidden = hidden and "END HIDDEN TESTS" not in line
    return "\n".join(kept)


def _copy(original: NotebookNode, source: str) -> NotebookNode:
    new = nbformat.v4.new_code_cell if original.cell_type == "code" else None
    cell = new(source) if new else nbformat.v4.new_markdown_cell(source)
    cell.metadata.nbgrader = NotebookNode(original.metadata.nbgrader)
    return cell


def _place(cells: list[NotebookNode], name: str) -> int:
    r"""Where a missing cell belongs: after the one that it tests, else at the end."""
    partner = "code-" + name.partition("-")[2]
    for index, cell in enumerate(cells):
        if _grade_id(cell) == partner:
            return index + 1
    return len(cells)


def says_student(notebook: NotebookNode) -> str | None:
    r"""The identifier that the notebook itself gives, `STUDENT = "…"`, or None."""
    for cell in notebook.cells:
        if cell.cell_type == "code" and "STUDENT" in cell.source:
            try:
                nodes = ast.parse(cell.source).body
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                continue
            for node in nodes:
                if (
                    isinstance(node, ast.Assign)
                    and [getattr(t, "id", None) for t in node.targets] == ["STUDENT"]
                    and isinstance(node.value, ast.Constant)
                    and isinstance(node.value.value, str)
                ):
                    return node.value.value.strip().lower()
    return None


