r"""From a file that came back to a notebook that nbgrader can grade, and what was found on the way.

The student's cells stay, in their order. Cells of the assignment are known by nbgrader's metadata,
and where a tool has lost that, by their text or by what they define. Test cells that are gone come
back behind what they test (nbgrader itself restores the text of all of them). A written answer is
whatever the student wrote about where it is asked, in cells of their own too.
"""

from __future__ import annotations

import ast
import copy
import json
import re
from typing import Any

import nbformat
from nbformat import NotebookNode

LARGEST = 20 * 2**20  # bytes of a notebook; with stored pictures they have about one tenth of that
MOST_CELLS = 1000
_STUDENT = re.compile(r"""^STUDENT\s*(?::\s*\w+\s*)?=\s*(["'])(.*?)\1""", re.M)


class Unreadable(ValueError):
    r"""The file is no notebook that can be graded; the message says why, for the student."""


def read(content: bytes) -> NotebookNode:
    r"""The notebook in a file's bytes. Raises: Unreadable."""
    if not content:
        raise Unreadable("The file is empty.")
    if len(content) > LARGEST:
        size = len(content) / 2**20
        raise Unreadable(f"The file has {size:.0f} MB; {LARGEST // 2**20} is the most.")
    try:
        text = content.decode("utf-8-sig")
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
            cell |= {"outputs": [], "execution_count": None}
        else:
            cell.pop("outputs", None)
            cell.pop("execution_count", None)
    if "cells" in value:
        value |= {"nbformat": 4, "nbformat_minor": 4, "metadata": {}}
    return value


def restore(submitted: NotebookNode, release: NotebookNode):
    r"""The notebook to grade, a note on each thing put right, and the tests that were changed."""
    notes: list[str] = []
    place = _places(submitted.cells, release.cells, notes)
    known = {index: number for number, index in place.items()}
    changed = []
    cells: list[tuple[int | None, NotebookNode]] = []
    answers = _answers(submitted.cells, release.cells, place, notes)
    for index, cell in enumerate(submitted.cells):
        number = known.get(index)
        made = _new(cell.cell_type, cell.source)
        if number is not None and (settings := _settings(release.cells[number])):
            made.metadata.nbgrader = copy.deepcopy(settings)
            if number in answers:
                made.source = answers[number]
            elif is_test(made) and not same(cell.source, release.cells[number].source):
                changed.append(settings.grade_id)
        elif _is_test_again(cell, release.cells):
            continue
        cells.append((number, made))
    _complete(cells, release.cells, answers, notes)
    notebook = nbformat.v4.new_notebook(cells=[cell for _, cell in cells])
    notebook.metadata.kernelspec = release.metadata.kernelspec  # whatever the student's was called
    for index, cell in enumerate(notebook.cells):
        cell["id"] = f"c{index}"
    return notebook, notes, changed


def _settings(cell: NotebookNode) -> dict[str, Any]:
    settings = cell.metadata.get("nbgrader", {})
    named = isinstance(settings, dict) and isinstance(settings.get("grade_id"), str)
    return settings if named else {}


def is_written(cell: NotebookNode) -> bool:
    r"""Is this a cell of the assignment whose answer is read by a person?"""
    return bool(_settings(cell).get("grade") and _settings(cell).get("solution"))


def is_test(cell: NotebookNode) -> bool:
    return bool(_settings(cell).get("grade") and not _settings(cell).get("solution"))


def _new(kind: str, source: str) -> NotebookNode:
    make = nbformat.v4.new_code_cell if kind == "code" else nbformat.v4.new_markdown_cell
    return make(source)


def _places(cells, originals, notes: list[str]) -> dict[int, int]:
    r"""For each cell of the assignment, by number, which of the student's cells it is."""
    numbers = {_settings(c)["grade_id"]: n for n, c in enumerate(originals) if _settings(c)}
    place: dict[int, int] = {}
    for index, cell in enumerate(cells):
        name = _settings(cell).get("grade_id")
        if name in numbers:
            if numbers[name] in place:
                notes.append(f"the cell {name} was there twice: the last one counts")
            place[numbers[name]] = index
        elif name:
            notes.append(f"a cell {name!r} is not part of the assignment: not graded")
    solutions = [n for n, c in enumerate(originals) if _settings(c).get("solution")]
    for form, among in ((_form, range(len(originals))), (_defined, solutions)):
        forms = {n: form(originals[n].source) for n in among if n not in place}
        for index, cell in enumerate(cells):
            if index in place.values() or _settings(cell).get("grade_id") in numbers:
                continue
            mine = form(cell.source)
            found = [n for n in forms if n not in place and mine & forms[n]]
            if found:
                place[found[0]] = index
    return place


def same(text: str, other: str) -> bool:
    r"""Equal up to blank space; code up to comments and form as well."""
    return bool(_form(text) & _form(other))


def _form(text: str) -> set[str]:
    forms = {" ".join(text.split())}
    try:
        if (tree := ast.parse(text)).body:
            forms.add(ast.dump(tree))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        pass
    return forms


def _defined(source: str) -> set[str]:
    r"""Functions and classes that a cell defines, and names that it sets to be filled in."""
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    names = {node.name for node in body if isinstance(node, kinds)}
    assigned = [node for node in body if isinstance(node, ast.Assign)]
    return names | {t.id for node in assigned for t in node.targets if isinstance(t, ast.Name)}


def _is_test_again(cell: NotebookNode, originals) -> bool:
    r"""A second copy of a test cell: nobody's work, and it may stand where nothing works yet."""
    name = _settings(cell).get("grade_id")
    return any(is_test(c) and _settings(c)["grade_id"] == name for c in originals)


def _prose(cell: NotebookNode, printed: set[str]) -> str:
    r"""What the student wrote in a cell of their own, if it is text and not code."""
    if cell.cell_type == "code":
        try:
            body = ast.parse(cell.source).body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            body = []
        constants = [n for n in body if isinstance(getattr(n, "value", None), ast.Constant)]
        if len(body) > len(constants) or cell.source.lstrip().startswith(("%", "!")):
            return ""
    lines = [line for line in cell.source.splitlines() if line.strip() not in printed]
    return "\n".join(lines).strip()


def _answers(cells, originals, place: dict[int, int], notes: list[str]) -> dict[int, str]:
    r"""The text of each written answer that is not just what stood there."""
    printed = {line.strip() for c in originals for line in c.source.splitlines()}
    taken = {i for n, i in place.items() if n not in _written(originals)}
    prose = {i: _prose(cell, printed) for i, cell in enumerate(cells) if i not in taken}
    prose = {i: text for i, text in prose.items() if text}
    answers, used = {}, set()
    for number in _written(originals):
        before = max(((n, i) for n, i in place.items() if n < number), default=(0, -1))[1]
        after = min(((n, i) for n, i in place.items() if n > number), default=(0, len(cells)))[1]
        mine = [i for i in sorted(prose) if i == place.get(number) or before < i < after]
        used |= set(mine)
        if mine:
            answers[number] = "\n\n".join(prose[i] for i in mine)
        if any(i != place.get(number) for i in mine):
            notes.append(f"{_settings(originals[number])['grade_id']}: the reply is in a cell of "
                         "the student's own")  # fmt: skip
    left = [f"(from elsewhere in the notebook)\n\n{prose[i]}" for i in sorted(set(prose) - used)]
    for number in _written(originals):
        if number not in answers and left:
            answers[number] = "\n\n".join(left)
            notes.append(f"{_settings(originals[number])['grade_id']}: nothing stands where it is "
                         "asked for; what the student wrote elsewhere is shown")  # fmt: skip
    return answers


def _written(originals) -> list[int]:
    return [n for n, c in enumerate(originals) if is_written(c) and c.cell_type != "code"]


def _complete(cells, originals, answers: dict[int, str], notes: list[str]) -> None:
    r"""Put back graded cells that are gone, and tests behind what they test."""
    for number, original in enumerate(originals):
        if not _settings(original).get("grade"):
            continue
        at = [n for n, _ in cells]
        tested = [n for n in range(number) if _settings(originals[n]).get("solution")]
        behind = at.index(tested[-1]) + 1 if tested and tested[-1] in at else 0
        if number not in at:
            notes.append(f"the cell {_settings(original)['grade_id']} was missing: put back")
            later = [i for i, n in enumerate(at) if n is not None and n > number]
            cell = _new(original.cell_type, answers.get(number, original.source))
            cell.metadata.nbgrader = copy.deepcopy(_settings(original))
            spot = behind if behind and is_test(original) else (later or [len(cells)])[0]
            cells.insert(spot, (number, cell))
        elif is_test(original) and at.index(number) < behind:
            cells.insert(behind - 1, cells.pop(at.index(number)))


def says_student(notebook: NotebookNode) -> str | None:
    r"""The identifier that the notebook itself gives, `STUDENT = "…"`; None where it is not set."""
    from vae_course.checks.graded import EXAMPLE

    for cell in notebook.cells:
        if cell.cell_type == "code" and (found := _STUDENT.search(cell.source)):
            said = found[2].strip()
            return said if said and said != EXAMPLE else None
    return None
