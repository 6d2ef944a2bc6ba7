r"""One submission through nbgrader, in a process and a course folder of its own.

The folder holds nothing but this submission and an empty gradebook: what the student's code does to
it harms nobody. Points are read from the executed notebook that is left there.
"""

from __future__ import annotations

import time
from pathlib import Path

from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from nbgrader.converters import Autograde
from nbgrader.preprocessors import (
    CheckCellMetadata,
    Execute,
    IgnorePattern,
    LimitOutput,
)
from traitlets import Float, Integer

from . import _course


class LimitedExecute(Execute):
    r"""nbgrader's execution with a limit for the notebook and for each cell's output.

    A kernel that ends, or a notebook that takes too long, is no reason to lose the cells before.
    """

    notebook_seconds = Float(240.0).tag(config=True)
    output_bytes = Integer(200_000).tag(config=True)

    def preprocess(self, nb, resources=None, km=None):
        self.ends = None
        self.at, self.cell_timeout = 0, self.timeout
        self.written = {}
        try:
            return super().preprocess(nb, resources, km=km)
        except CellTimeoutError:
            why = f"This cell took longer than {self.timeout} s and could not be interrupted."
        except DeadKernelError:
            why = "Python ended while this cell ran."
        except Exception as error:
            if self.ends is None:  # it did not even start: nothing that a student did
                raise
            why = f"Python could not go on: {type(error).__name__}: {str(error)[-300:]}"
        _end(nb.cells[self.at], "KernelEnded", why)
        for cell in nb.cells[self.at + 1 :]:
            _end(cell, "NotRun", f"Not run: it was over in cell {self.at + 1}. {why}")
        return nb, resources

    def preprocess_cell(self, cell, resources, index):
        self.at = index
        if self.ends is None:  # the kernel is up: its start does not count
            self.ends = time.monotonic() + self.notebook_seconds
        left = self.ends - time.monotonic()
        if left <= 0:
            seconds = f"{self.notebook_seconds:.0f} s"
            _end(cell, "NotRun", f"Not run: the notebook took longer than {seconds} in all.")
            return cell, resources
        self.timeout = max(1, min(self.cell_timeout, int(left)))
        cell, resources = super().preprocess_cell(cell, resources, index)
        if any(output.get("ename") == "CellTimeoutError" for output in cell.get("outputs", [])):
            cell.outputs = [o for o in cell.outputs if o.get("ename") != "KeyboardInterrupt"]
            _end(cell, "CellTimeoutError", f"Stopped: it took longer than {self.timeout} s.")
        return cell, resources

    def process_message(self, msg, cell, cell_index):
        if msg["msg_type"] in ("stream", "display_data", "execute_result", "update_display_data"):
            content = msg["content"]
            size = len(content.get("text", "")) + sum(map(_size, content.get("data", {}).values()))
            before = self.written.get(cell_index, 0)
            self.written[cell_index] = before + size
            if before > self.output_bytes:
                return None
            if before + size > self.output_bytes:
                text = content.get("text", "")[: self.output_bytes - before]
                note = f"\n[cut here: more than {self.output_bytes // 1000} kB of output]\n"
                msg = {**msg, "msg_type": "stream", "header": {**msg["header"]}}
                msg["header"]["msg_type"] = "stream"
                msg["content"] = {"name": content.get("name", "stdout"), "text": text + note}
        return super().process_message(msg, cell, cell_index)


def _size(value) -> int:
    return len(value) if isinstance(value, str) else len(repr(value))


def _end(cell: NotebookNode, name: str, text: str) -> None:
    if cell.cell_type == "code":
        cell.outputs = [o for o in cell.get("outputs", []) if o.get("ename") != name]
        cell.outputs.append(
            NotebookNode(output_type="error", ename=name, evalue=text, traceback=[text])
        )


class OneNotebook(Autograde):
    r"""nbgrader's autograding without the gradebook at its end, and with our limits."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.autograde_preprocessors = [
            LimitedExecute,
            IgnorePattern,
            LimitOutput,
            CheckCellMetadata,
        ]


def run(root: Path, name: str, student: str, limits: dict) -> None:
    r"""Execute submitted/STUDENT/NAME below `root` into autograded/. Raises: TeachError."""
    settings = {
        "timeout": limits["cell_seconds"],
        "notebook_seconds": limits["notebook_seconds"],
        "output_bytes": limits["output_kb"] * 1000,
        "startup_timeout": 300,
        "iopub_timeout": 10,
        "kernel_name": "python3",
    }
    config = _course.nbgrader_config(root, name, student, LimitedExecute=settings)
    config.OneNotebook.permissions = 644
    config.OneNotebook.force = True  # its folder is there already, for the kernel to write in
    _course.convert(OneNotebook, config)
