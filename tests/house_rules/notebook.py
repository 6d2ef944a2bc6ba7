"""A stored notebook, as the house rules look at it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

FENCED = re.compile(r"^(```+|~~~+).*?^\1", re.MULTILINE | re.DOTALL)
MATHS = re.compile(r"\$\$.+?\$\$|\$[^$\n]+\$", re.DOTALL)
INLINE_CODE = re.compile(r"`[^`\n]+`")
DETAILS = re.compile(r"<details\b.*?</details>", re.DOTALL)
COMPANION = re.compile(r"\d\db_")  # 02b_…: "going deeper", beside chapter 02


@dataclass
class Cell:
    """One cell; `number` counts all cells from 1, as a reader would."""

    number: int
    raw: dict[str, Any]

    @property
    def source(self) -> str:
        return self.raw["source"]

    @property
    def is_code(self) -> bool:
        return self.raw["cell_type"] == "code"

    @property
    def is_markdown(self) -> bool:
        return self.raw["cell_type"] == "markdown"

    @property
    def lines(self) -> list[str]:
        return self.source.splitlines()

    @property
    def outputs(self) -> list[dict[str, Any]]:
        return self.raw.get("outputs", [])

    @property
    def data(self) -> Iterator[dict[str, Any]]:
        """What each display and result of the cell shows, by type."""
        for output in self.outputs:
            if "data" in output:
                yield output["data"]

    @property
    def texts(self) -> Iterator[str]:
        """All text that a reader of the cell sees: source, streams, displays, alt text."""
        yield self.source
        for output in self.outputs:
            yield output.get("text", "")
            yield from (str(line) for line in output.get("traceback", []))
            yield str(output.get("metadata", ""))
            for kind, content in output.get("data", {}).items():
                if not kind.startswith("image/") or kind == "image/svg+xml":
                    yield str(content)

    @property
    def prose(self) -> str:
        """The source without fenced code, inline code and maths."""
        return INLINE_CODE.sub("", MATHS.sub("", FENCED.sub("", self.source)))

    @cached_property
    def tree(self) -> ast.Module:
        """The parsed code; empty where it is not plain Python (a rule of its own says so)."""
        try:
            return ast.parse(self.source)
        except SyntaxError:
            return ast.parse("")

    @property
    def tags(self) -> list[str]:
        return self.raw["metadata"].get("tags", [])

    @property
    def is_ignored(self) -> bool:
        """Whether nbval is told not to compare what the cell shows."""
        return "nbval-ignore-output" in self.tags

    @property
    def is_claim(self) -> bool:
        return "claim" in self.tags

    @property
    def has_picture(self) -> bool:
        return any("image/png" in data or "image/jpeg" in data for data in self.data)

    @property
    def headings(self) -> list[tuple[int, str]]:
        """Level and text of each heading."""
        if not self.is_markdown:
            return []
        found = re.findall(r"^(#{1,6})\s+(.+?)\s*$", FENCED.sub("", self.source), re.MULTILINE)
        return [(len(signs), text) for signs, text in found]

    def __str__(self) -> str:
        first = self.lines[0] if self.lines else ""
        return f"cell {self.number} ({first[:50] or 'empty'})"


@dataclass
class Notebook:
    """A notebook read by `vae_course.admin.notebooks.read_notebook`, and where it lies."""

    path: Path
    raw: dict[str, Any]
    solutions: dict[str, str] | None = field(default=None)  # of the chapter's exercises, by name

    def __post_init__(self) -> None:
        self.cells = [Cell(number, raw) for number, raw in enumerate(self.raw["cells"], start=1)]
        if self.solutions is None:
            from vae_course import checks

            chapter = int(self.path.name[:2])
            self.solutions = {e.name: checks.solution(e.name) for e in checks.exercises(chapter)}

    @property
    def number(self) -> str:
        """As in its name: "02", or "02b" for a companion."""
        return self.path.name.split("_")[0]

    @property
    def is_companion(self) -> bool:
        return COMPANION.match(self.path.name) is not None

    @property
    def siblings(self) -> list[Path]:
        """The notebooks of the folder, this one among them, in the order of the course."""
        return sorted({*self.path.parent.glob("[0-9]*.ipynb"), self.path})

    @property
    def family(self) -> list[Path]:
        """The chapter's lesson and its companion, without this notebook itself."""
        number = self.path.name[:2]
        return [p for p in self.siblings if p.name.startswith(number) and p != self.path]

    @property
    def code(self) -> list[Cell]:
        return [cell for cell in self.cells if cell.is_code]

    @property
    def markdown(self) -> list[Cell]:
        return [cell for cell in self.cells if cell.is_markdown]

    @property
    def imported(self) -> set[str]:
        """Names that any cell binds by an import."""
        nodes = [node for cell in self.code for node in ast.walk(cell.tree)]
        imports = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
        return {(a.asname or a.name).split(".")[0] for node in imports for a in node.names}

    @property
    def folded(self) -> list[str]:
        """The text of each <details> block."""
        return [block for cell in self.markdown for block in DETAILS.findall(cell.source)]
