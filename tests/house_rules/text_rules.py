"""House rules for the prose: headings, links, pictures, folded answers and solutions."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlparse

from vae_course.admin.notebooks import read_notebook, repository_address, repository_branch

from .notebook import COMPANION, DETAILS, FENCED, Cell, Notebook

LABEL = r"[^\[\]]*(?:\[[^\]]*\][^\[\]]*)*"  # may hold one level of brackets
LINK = re.compile(rf"(?<!!)\[{LABEL}\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
IMAGE = re.compile(r"!\[([^\]]*)\]\(\s*<?([^)\s>]+)")
HTML_LINK = re.compile(r"<(?:a|img)\b[^>]*?\b(?:href|src)=[\"']([^\"']+)[\"']")
HTML_IMAGE = re.compile(r"<img\b[^>]*>")
FOLD = re.compile(r"<details>\s*<summary>.+?</summary>[ \t]*\n[ \t]*\n", re.DOTALL)
COLAB = "https://colab.research.google.com"
SECTIONS = ("summary", "quiz", "references")  # of a lesson
GUIDE = {"cells": 80, "words": 3000}  # of a lesson; a companion has half


def headings_in_order(notebook: Notebook) -> Iterator[str]:
    """One title, at the very top, and no level left out on the way down."""
    titles = [cell for cell in notebook.markdown for level, _ in cell.headings if level == 1]
    if len(titles) != 1:
        yield f"expected exactly one title (# …), found {len(titles)}"
    elif titles[0].number != 1:
        yield f"{titles[0]} is the title; it belongs into the first cell"
    before = 0
    for cell in notebook.markdown:
        for level, text in cell.headings:
            if level > before + 1:
                yield f'{cell}: "{text}" is a heading of level {level} under one of level {before}'
            before = level


def closing_sections(notebook: Notebook) -> Iterator[str]:
    """Summary, a quiz of at least three folded answers, references; a companion: references."""
    text = "\n".join(FENCED.sub("", cell.source) for cell in notebook.markdown)
    headings = re.findall(r"^#{1,6} .*", text.lower(), re.MULTILINE)
    for section in SECTIONS[-1:] if notebook.is_companion else SECTIONS:
        if not any(section in heading for heading in headings):
            yield f'no heading holds "{section}"; every lesson has that section'
    quiz = re.search(r"^##* [^\n]*quiz.*?(?=^#{1,2} |\Z)", text, re.MULTILINE | re.DOTALL | re.I)
    if quiz and (answers := len(DETAILS.findall(quiz[0]))) < 3:
        yield f"the quiz has {answers} folded answers, expected at least 3"


def links_lead_through_the_course(notebook: Notebook) -> Iterator[str]:
    """A lesson links to the one before, the one after and its companion; a companion back to it."""
    linked = {urlparse(t).path for cell in notebook.markdown for t in LINK.findall(cell.prose)}
    lessons = [path for path in notebook.siblings if not COMPANION.match(path.name)]
    wanted = list(notebook.family)
    if not notebook.is_companion:
        place = lessons.index(notebook.path)
        wanted += [*lessons[max(place - 1, 0) : place], *lessons[place + 1 : place + 2]]
    for path in wanted:
        if path.name not in linked:
            yield f"no link leads to {path.name}; previous, next and companion stand at the end"


def size(notebook: Notebook) -> dict[str, int]:
    """Cells and words that a reader sees: without claims, code, formulas."""
    words = sum(len(re.findall(r"\w+", cell.prose)) for cell in notebook.markdown)
    return {"cells": sum(not cell.is_claim for cell in notebook.cells), "words": words}


def over_the_guide(notebook: Notebook) -> list[str]:
    """How far a notebook passes the guide: a warning, not a rule."""
    share = 0.5 if notebook.is_companion else 1
    most = {what: round(share * number) for what, number in GUIDE.items()}
    found = size(notebook)
    return [
        f"{found[what]} {what} (guide: {most[what]})" for what in most if found[what] > most[what]
    ]


def links_resolve(notebook: Notebook) -> Iterator[str]:
    """Relative links and anchors exist; other links are at least well formed."""
    for cell in notebook.markdown:
        pictures = [target for _, target in IMAGE.findall(cell.prose)]
        for target in LINK.findall(cell.prose) + pictures + HTML_LINK.findall(cell.prose):
            if problem := _problem(target, notebook):
                yield f"{cell}: the link {target} {problem}"


def colab_opens_this_notebook(notebook: Notebook) -> Iterator[str]:
    """The title links to Colab, and the link opens this very notebook of our repository."""
    place = urlparse(repository_address()).path
    folder = f"{COLAB}/github{place}/blob/{repository_branch()}/notebooks"
    wanted = f"{folder}/{notebook.path.name}"
    if not any(wanted in LINK.findall(cell.prose) for cell in notebook.markdown[:1]):
        yield f"the first cell has no link to {wanted}; every title has that badge"


def _problem(target: str, notebook: Notebook) -> str:
    parts = urlparse(target)
    if parts.scheme in ("http", "https"):
        return "" if re.fullmatch(r"[\w-]+(\.[\w-]+)+(:\d+)?", parts.netloc) else "has no host"
    if parts.scheme == "mailto":
        return ""
    if parts.scheme or parts.netloc:
        return "is neither relative nor http(s)"
    path = notebook.path.parent / unquote(parts.path) if parts.path else notebook.path
    if parts.path and not path.exists():
        return "leads nowhere; paths are relative to the notebook"
    if not parts.fragment:
        return ""
    if re.search(r"[^\w-]", parts.fragment, re.ASCII):
        return "works in JupyterLab alone: headings with other signs have another anchor elsewhere"
    known = notebook.markdown if not parts.path else _markdown_cells(path)
    anchors = {anchor for cell in known for anchor in _anchors(cell, path)}
    return "" if unquote(parts.fragment) in anchors else "names no heading there"


def _markdown_cells(path: Path) -> list[Cell]:
    if path.suffix == ".ipynb":
        raw = [cell for cell in read_notebook(path)["cells"] if cell["cell_type"] == "markdown"]
    elif path.suffix == ".md":
        raw = [{"cell_type": "markdown", "source": path.read_text(encoding="utf-8")}]
    else:
        raw = []
    return [Cell(number, cell) for number, cell in enumerate(raw, start=1)]


def _anchors(cell: Cell, path: Path) -> Iterator[str]:
    """Anchors as JupyterLab makes them in notebooks, and GitHub in Markdown files."""
    yield from re.findall(r"<\w+[^>]*\b(?:id|name)=[\"']([^\"']+)[\"']", cell.source)
    for _, text in cell.headings:
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", re.sub(r"[`*]", "", text))
        if path.suffix == ".md":
            plain = re.sub(r"[^\w\- ]", "", plain.lower())
        yield plain.replace(" ", "-")


def markdown_pictures(notebook: Notebook) -> Iterator[str]:
    """Pictures in the prose have alt text, and are files, not base64."""
    for cell in notebook.markdown:
        alts = [alt for alt, _ in IMAGE.findall(cell.prose)]
        for tag in HTML_IMAGE.findall(cell.prose):
            found = re.search(r"\balt=[\"']([^\"']*)[\"']", tag)
            alts.append(found[1] if found else "")
        for alt in alts:
            if len(alt.strip()) <= 20:
                yield f"{cell} has a picture with alt text {alt!r}; expected a sentence"
        if cell.raw.get("attachments") or "base64," in cell.source:
            yield f"{cell} holds a picture as base64; store it as a file and link to it"


def folds_are_well_formed(notebook: Notebook) -> Iterator[str]:
    """<details> has a summary and an empty line after it: else its Markdown is shown raw."""
    for cell in notebook.markdown:
        text = FENCED.sub("", cell.source)
        opened, closed = text.count("<details"), text.count("</details>")
        if opened != closed:
            yield f"{cell} opens {opened} folds and closes {closed}"
        elif len(FOLD.findall(text)) != opened:
            yield f"{cell}: write <details><summary>…</summary>, then an empty line, then the text"


def predictions_have_answers(notebook: Notebook) -> Iterator[str]:
    """The answer to a "Predict" prompt is folded, in its cell or in the next one."""
    for cell, after in zip(notebook.cells, [*notebook.cells[1:], None], strict=True):
        if cell.is_markdown and re.search(r"\*\*Predict\b", cell.prose):
            near = [cell.source, after.source if after and after.is_markdown else ""]
            if not any(DETAILS.search(text) for text in near):
                yield f"{cell} asks for a prediction; fold the answer under it with <details>"


def exercises_have_solutions(notebook: Notebook) -> Iterator[str]:
    """Each exercise of the chapter is checked, and its folded solution is the reference."""
    folded = {code.strip() for fold in notebook.folded for code in _python(fold)}
    checked = _checked(notebook.code)
    for name, cell in checked.items():
        if name not in notebook.solutions:
            yield f"{cell} checks {name!r}, which is no exercise of this chapter"
        elif notebook.solutions[name].strip() not in folded:
            yield (
                f"{cell} checks {name!r}, but no folded ```python block equals "
                f"checks.solution({name!r}); paste what that prints"
            )
    for path in notebook.family:  # the lesson's and the companion's exercises are the chapter's
        raw = read_notebook(path)["cells"]
        checked |= _checked([Cell(0, cell) for cell in raw if cell["cell_type"] == "code"])
    for name in notebook.solutions:
        if name not in checked:
            yield f'the exercise {name!r} is missing; add a stub and checks.check("{name}", {name})'


def _checked(cells: list[Cell]) -> dict[str | None, Cell]:
    """The exercises that are checked, by name, and the cell that does it."""
    checked = {}
    for cell in cells:
        for node in ast.walk(cell.tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "checks.check":
                name = node.args[0].value if isinstance(node.args[0], ast.Constant) else None
                checked[name] = cell
    return checked


def _python(text: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
