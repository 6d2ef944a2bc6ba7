r"""A notebook executed in a fresh kernel, with what it took and what it showed first.

The file is left alone. Cells that fail are noted and the rest still runs.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.machine import Watch
from vae_course.admin.notebooks import read_notebook

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


@dataclass
class Run:
    r"""seconds from the kernel's start; the next four as `Watch.row` has them."""

    seconds: float = 0.0
    processor: float = 0.0
    memory: float = 0.0
    disk: float = 0.0
    others: float = 0.0
    first_figure: float | None = None
    first_figure_processor: float | None = None
    cells: dict[int, float] = field(default_factory=dict)  # number of the cell, seconds
    failures: list[str] = field(default_factory=list)
    said: str = ""  # what the last cell printed


def execute(
    path: Path,
    *,
    before: str = "",
    after: str = "",
    change: Callable[[int, str], str] | None = None,
    environment: dict[str, str] | None = None,
) -> Run:
    r"""Run a notebook in its folder.

    before, after: sources of a cell ahead of the first and behind the last one
    change(number, source): another source for a code cell, counted from 1 over all cells
    """
    import nbformat
    from ipykernel.kernelspec import get_kernel_dict
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient
    from nbclient.exceptions import CellTimeoutError, DeadKernelError

    class ThisPython(AsyncKernelManager):
        kernel_spec = KernelSpec(**get_kernel_dict())

    result, number, started = Run(), [0], [0.0]

    class Client(NotebookClient):
        def process_message(self, msg, cell, cell_index):
            if result.first_figure is None and "image/png" in msg["content"].get("data", {}):
                result.first_figure = round(time.perf_counter() - began, 2)
                result.first_figure_processor = watch.look()
            return super().process_message(msg, cell, cell_index)

        async def async_start_new_kernel(self, **options):
            await super().async_start_new_kernel(**options)
            watch.follow(self.km.provisioner.pid)

    def at_start(cell, cell_index):
        number[0], started[0] = cell_index, time.perf_counter()

    def at_end(cell, cell_index, execute_reply):
        result.cells[cell_index] = round(time.perf_counter() - started[0], 2)

    notebook = nbformat.from_dict(read_notebook(path))
    for index, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type == "code":
            cell.outputs = []
            cell.source = change(index, cell.source) if change else cell.source
    # Cell 0 is `before`, so that the notebook's own cells count from 1.
    notebook.cells = [
        nbformat.v4.new_code_cell(before or "pass"), *notebook.cells,
        nbformat.v4.new_code_cell(after or "pass"),
    ]  # fmt: skip
    client = Client(
        notebook, kernel_manager_class=ThisPython, timeout=3600, allow_errors=True,
        resources={"metadata": {"path": str(path.parent)}}, store_widget_state=False,
        on_cell_start=at_start, on_cell_executed=at_end,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        surroundings = os.environ | {"TQDM_DISABLE": "1", "TMPDIR": scratch} | (environment or {})
        with Watch(Path(scratch)) as watch:
            began = time.perf_counter()
            try:
                client.execute(env=surroundings, stderr=subprocess.DEVNULL)
            except (CellTimeoutError, DeadKernelError) as error:
                result.failures.append(f"cell {number[0]}: {str(error).splitlines()[0]}")
    for name, value in watch.row().items():
        setattr(result, name, value)
    result.cells.pop(0, None)
    result.cells.pop(len(notebook.cells) - 1, None)
    for index, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", []):
            if output["output_type"] == "error":
                words = _COLOUR.sub("", output["evalue"]).splitlines()[:1]
                result.failures.append(f"cell {index}: {output['ename']}: {' '.join(words)}")
    result.said = "".join(o.get("text", "") for o in notebook.cells[-1].outputs)
    return result


def code_digest(path: Path) -> str:
    r"""Twelve hexadecimal digits that change with the code of a notebook, not with its outputs."""
    import hashlib

    cells = read_notebook(path)["cells"]
    code = [cell["source"] for cell in cells if cell["cell_type"] == "code"]
    return hashlib.sha256(json.dumps(code).encode()).hexdigest()[:12]
