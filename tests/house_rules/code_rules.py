"""House rules for the code cells: their shape, their order, what stands behind a number."""

from __future__ import annotations

import ast
import builtins
import re
import statistics
from collections.abc import Iterator

from vae_course.admin.notebooks import bootstrap_source

from .names import Names
from .notebook import Cell, Notebook

RE_EXECUTE = "re-execute: vae-course notebooks run"
TAGS = {"claim", "hide-input", "nbval-ignore-output", "remove-cell", "setup"}
COLLAPSED = {"claim", "hide-input", "setup"}


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
    """Median at most 8 lines, nine in ten at most 20, none over 40; collapsed cells: the last."""
    if not notebook.code:
        yield "the notebook has no code cell"
        return
    taught = [cell for cell in notebook.code if not COLLAPSED & set(cell.tags)]
    lengths = [len(cell.lines) for cell in taught]
    if lengths and (median := statistics.median(lengths)) > 8:
        yield f"the median code cell has {median:g} lines, at most 8 allowed; split some cells"
    long = [cell for cell in taught if len(cell.lines) > 20]
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


def brackets_are_whole(notebook: Notebook) -> Iterator[str]:
    """A formatter's break inside a call's last bracket, `len(⏎ image⏎ )`, is put right by hand."""
    for cell in notebook.code:
        for opened, inner, closed in zip(cell.lines, cell.lines[1:], cell.lines[2:], strict=False):
            code, _, comment = closed.strip().partition("#")
            one = f"{opened}{inner.strip()}{code.rstrip()}"
            broken = opened.rstrip().endswith(("(", "[")) and code.startswith((")", "]"))
            if broken and not inner.rstrip().endswith((",", "(", "[", "{")) and len(one) <= 88:
                words = "; the comment goes on a line above" if comment else ""
                yield f"{cell} breaks {one.strip()!r} into three lines; join them{words}"


def prose_between_code(notebook: Notebook) -> Iterator[str]:
    """At most three code cells in a row; claims, which nobody sees, don't count."""
    row = 0
    for cell in notebook.cells:
        if cell.is_claim:
            continue
        row = row + 1 if cell.is_code else 0
        if row == 4:
            yield f"{cell} is the fourth code cell without prose; say between them what happens"


def setup_is_first(notebook: Notebook) -> Iterator[str]:
    """The first code cell, tagged `setup`, installs, imports, sets the style, and nothing else."""
    tagged = [cell for cell in notebook.code if "setup" in cell.tags]
    if tagged != notebook.code[:1]:
        yield f"tagged `setup`: {len(tagged)} cells; expected the first code cell, and no other"
        return
    (cell,) = tagged
    boot = bootstrap_source()
    if not cell.source.startswith(f"{boot}\n"):
        yield (
            "the set-up cell does not begin with the bootstrap; paste the output of: "
            'python -c "from vae_course.admin.notebooks import bootstrap_source as b; print(b())"'
        )
        return
    for node in ast.parse(cell.source[len(boot) :]).body:
        style = ast.unparse(node) == "plots.use_house_style()"
        if not style and not isinstance(node, ast.Import | ast.ImportFrom):
            held = ast.unparse(node)[:50]
            yield f"{cell} holds {held!r}; it is collapsed: move that to where it is seen"


def settings_have_comments(notebook: Notebook) -> Iterator[str]:
    """A constant in capitals says what it is, and is set once: EPOCHS = 12  # full passes."""
    where: dict[str, Cell] = {}
    for cell in notebook.code:
        for node in cell.tree.body:
            if not isinstance(node, ast.Assign | ast.AnnAssign):
                continue
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if not (isinstance(target, ast.Name) and target.id.isupper() and len(target.id) > 1):
                continue
            near = cell.lines[max(node.lineno - 2, 0) : node.end_lineno]
            if node.lineno == node.end_lineno and not any("#" in line for line in near):
                yield f"{cell} sets {target.id} without a comment; say what it is"
            if target.id in where:
                yield f"{cell} sets {target.id} again, after {where[target.id]}"
            where[target.id] = cell


def names_keep_their_meaning(notebook: Notebook) -> Iterator[str]:
    """What a cell takes from those above it no cell below gives anew: it can be run again."""
    names = [(cell, Names(cell.tree)) for cell in notebook.code]
    inside: dict[str, set[str]] = {}  # function → what it takes when it is called
    for place, (cell, own) in enumerate(names):
        above = {name for _, each in names[:place] for name in each.given}
        inside |= own.inside
        taken, todo = set[str](), [*own.taken]
        while todo:
            if (name := todo.pop()) not in taken:
                taken.add(name)
                todo += inside.get(name, set()) - own.given
        for name in sorted(taken & above):
            again = [below for below, each in names[place + 1 :] if name in each.given]
            if again:
                yield f"{cell} takes {name} from above, and {again[0]} gives it anew; rename one"


def tags_are_known(notebook: Notebook) -> Iterator[str]:
    """nbval, JupyterLab, Colab and the website read the tags; skipping and raising are out."""
    for cell in notebook.cells:
        for tag in cell.tags:
            if tag not in TAGS:
                yield f"{cell} has the tag {tag!r}; known are {', '.join(sorted(TAGS))}"
        if "NBVAL_" in cell.source:
            yield f"{cell} speaks to nbval in a comment; the tag nbval-ignore-output does it"


def claims_are_silent(notebook: Notebook) -> Iterator[str]:
    """An assert stands in a cell tagged `claim`, which shows nothing: it is nobody's reading."""
    for cell in notebook.code:
        if not cell.is_claim:
            if _asserts(cell):
                yield f"{cell} asserts; move that into a cell of its own with the tag claim"
            continue
        if not _asserts(cell):
            yield f"{cell} is tagged claim and asserts nothing that could be false"
        calls = [node for node in ast.walk(cell.tree) if isinstance(node, ast.Call)]
        if any(ast.unparse(call.func) in ("print", "plots.show") for call in calls):
            yield f"{cell} is a claim and speaks; what a reader should see stands in another cell"
        elif cell.outputs:
            yield f"{cell} is a claim and shows something; end it with the assert"
        if cell.is_ignored:
            yield f"{cell} is a claim: it has no output to ignore"


def ignored_output_has_a_claim(notebook: Notebook) -> Iterator[str]:
    """What nbval does not compare, a claim cell does (the precise rule: CONTRIBUTING.md)."""
    for position, cell in enumerate(notebook.code):
        if not cell.is_ignored:
            continue
        if not cell.outputs:
            yield f"{cell} ignores its output but stores none; drop the tag, or {RE_EXECUTE}"
        after = notebook.code[position + 1 : position + 5]
        claims = [claim for claim in after if claim.is_claim and _asserts(claim)]
        if not claims:
            yield (
                f"{cell} is tagged nbval-ignore-output and no claim cell follows; one of the next "
                "four code cells needs the tag claim and an assert (a band); a picture alone needs "
                "no tag"
            )
            continue
        shown = _names(cell, notebook)  # and what cells between the two make of it
        for between in after[: after.index(claims[0])]:
            if shown & (names := _names(between, notebook)):
                shown = shown | names
        if not any(shown & _names(claim, notebook) for claim in claims):
            yield f"{claims[0]} asserts nothing that {cell} shows: they share no variable"


def one_diagram(notebook: Notebook) -> Iterator[str]:
    """The chapter's idea as a diagram in the course's visual language (plots.diagrams)."""
    drawn = [cell for cell in notebook.code if re.search(r"\bdiagrams?\b", cell.source, re.I)]
    if not notebook.is_companion and not any(cell.has_picture for cell in drawn):
        yield "no cell shows a diagram; draw the chapter's idea with vae_course.plots.diagrams"


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
