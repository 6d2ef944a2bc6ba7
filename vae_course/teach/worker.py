r"""One submission through nbgrader, in a process of its own; runs in child processes only.

This module is loaded once in a server from which each child is forked: none waits for torch and
nbgrader to be imported. The child forks once more: that process is the notebook's kernel, behind
the fence, and the child itself is nbgrader's autograding, which talks to it.
"""

from __future__ import annotations

import os
import signal
import tempfile
import time
from importlib.metadata import EntryPoint

os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # threads that wait leave the processor to others

import matplotlib.pyplot  # noqa: F401
import sklearn  # noqa: F401
import torch._dynamo  # noqa: F401  (the first optimizer loads it)
from ipykernel.kernelapp import IPKernelApp
from jupyter_client.provisioning import KernelProvisionerFactory
from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell
from nbgrader.converters import Autograde
from nbgrader.preprocessors import AssignLatePenalties, Execute
from nbgrader.utils import determine_grade
from traitlets import Float, Integer

from vae_course import checks, data, losses, models, plots, pretrained, training  # noqa: F401
from vae_course.checks import graded  # noqa: F401

from . import course, fence, restore, witness

checks.exercises()


class Kernel:
    r"""A kernel forked from this process, with what jupyter_client asks of a Popen."""

    stdin = stdout = stderr = returncode = None

    def __init__(self, job: dict):
        reading, self.writing = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.writing)
            try:
                _be_a_kernel(job, os.fdopen(reading).read())
            finally:
                os._exit(1)
        os.close(reading)

    def start(self, connection_file: str) -> None:
        os.write(self.writing, connection_file.encode())
        os.close(self.writing)

    def poll(self) -> int | None:
        if self.returncode is None and os.waitpid(self.pid, os.WNOHANG)[0]:
            self.returncode = 0
        return self.returncode

    def wait(self) -> None:
        while self.poll() is None:
            time.sleep(0.02)

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)


class Forked(LocalProvisioner):
    r"""Takes the kernel that was forked before the event loop began."""

    waiting: Kernel | None = None

    async def launch_kernel(self, cmd, **kwargs):
        self.process, self.pid = Forked.waiting, Forked.waiting.pid
        self.process.start(self.parent.connection_file)
        return self.connection_info


def _be_a_kernel(job: dict, connection_file: str) -> None:
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ["JPY_PARENT_PID"] = str(os.getppid())
    os.environ["NBGRADER_EXECUTION"] = "autograde"
    os.chdir(job["work"])
    app = IPKernelApp.instance()
    fence.limit(job["memory_mb"])
    fence.shut(job["fence"]["write"], job["fence"]["read"])
    app.initialize(["-f", connection_file, "--HistoryManager.hist_file=:memory:"])
    app.shell.enable_matplotlib("inline")  # matplotlib is loaded already and asks nobody
    witness.install(app.shell, job["tests"], job["imports"], job["colab"])
    app.start()
    os._exit(0)


class LimitedExecute(Execute):
    r"""nbgrader's execution with a limit for the notebook and for each cell's output.

    A kernel that ends, or a notebook that takes too long, is no reason to lose the cells before.
    """

    notebook_seconds = Float(240.0).tag(config=True)
    output_bytes = Integer(200_000).tag(config=True)

    def preprocess(self, nb, resources=None, km=None):
        self.ends = None
        self.at, self.cell_timeout, self.written = 0, self.timeout, {}
        nb.cells.append(new_code_cell(witness.REPORT))
        try:
            nb, resources = super().preprocess(nb, resources, km=km)
        except Exception as error:
            if self.ends is None:  # it did not even start: nothing that a student did
                raise
            why = {
                CellTimeoutError: f"It took longer than {self.timeout} s, whatever was tried.",
                DeadKernelError: "Python ended while this cell ran.",
            }.get(type(error), f"Python could not go on: {type(error).__name__}: {error}"[:400])
            _end(nb.cells[self.at], "KernelEnded", why)
            for cell in nb.cells[self.at + 1 :]:
                _end(cell, "NotRun", f"Not run: it was over in cell {self.at + 1}. {why}")
        nb.metadata[witness.MIME] = witness.said(nb.cells.pop())
        return nb, resources

    def preprocess_cell(self, cell, resources, index):
        self.at = index
        if self.ends is None:  # the kernel is up: its start does not count
            self.ends = time.monotonic() + self.notebook_seconds * _patience()
        left = self.ends - time.monotonic()
        if left <= 0 and cell.source != witness.REPORT:
            _end(cell, "NotRun", "Not run: the notebook took longer than "
                                 f"{self.notebook_seconds:.0f} s in all.")  # fmt: skip
            return cell, resources
        self.timeout = max(1, min(int(self.cell_timeout * _patience()), int(left)))
        cell, resources = super().preprocess_cell(cell, resources, index)
        if any(output.get("ename") == "CellTimeoutError" for output in cell.get("outputs", [])):
            cell.outputs = [o for o in cell.outputs if o.get("ename") != "KeyboardInterrupt"]
            _end(cell, "CellTimeoutError", f"Stopped: it took longer than {self.timeout} s.")
        if restore.is_test(cell):
            try:
                determine_grade(cell)
            except (ValueError, KeyError):
                _end(cell, "NoPoints", "The cell's result is no number of points.")
        return cell, resources

    def process_message(self, msg, cell, cell_index):
        if msg["msg_type"] in ("stream", "display_data", "execute_result", "update_display_data"):
            content = msg["content"]
            size = len(content.get("text", "")) + len(repr(content.get("data", "")))
            before = self.written.get(cell_index, 0)
            self.written[cell_index] = before + size
            if before > self.output_bytes:
                return None
            if before + size > self.output_bytes:
                text = content.get("text", "")[: self.output_bytes - before]
                note = f"\n[cut here: more than {self.output_bytes // 1000} kB of output]\n"
                msg = {**msg, "msg_type": "stream",
                       "header": {**msg["header"], "msg_type": "stream"},
                       "content": {"name": "stdout", "text": text + note}}  # fmt: skip
        return super().process_message(msg, cell, cell_index)


def _patience() -> float:
    r"""How much longer everything takes on this machine now, since others use it as well."""
    return min(max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)), 8.0)


def _end(cell: NotebookNode, name: str, text: str) -> None:
    if cell.cell_type == "code":
        cell.outputs = [o for o in cell.get("outputs", []) if o.get("ename") != name]
        cell.outputs.insert(0, NotebookNode(output_type="error", ename=name, evalue=text,
                                            traceback=[text]))  # fmt: skip


class OneNotebook(Autograde):
    r"""nbgrader's autograding with our limits; what is late is reckoned later."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.autograde_preprocessors = [
            LimitedExecute if each is Execute else each
            for each in self.autograde_preprocessors
            if each is not AssignLatePenalties
        ]


def execute(job: dict, pipe) -> None:
    r"""Autograde one submission into the course's gradebook; sends '' or what went wrong."""
    os.setsid()
    os.environ.clear()
    os.environ.update(job["environment"])
    tempfile.tempdir = None  # the server's is not for us
    os.chdir(job["root"])
    log = os.open("worker.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(log, stream)
    KernelProvisionerFactory.instance().provisioners["forked"] = EntryPoint(
        "forked", f"{__name__}:Forked", KernelProvisionerFactory.GROUP_NAME
    )
    Forked.waiting = Kernel(job)
    config, limits = job["config"], job["limits"]
    config.LimitedExecute.update(
        timeout=limits["cell_seconds"], notebook_seconds=limits["notebook_seconds"],
        output_bytes=limits["output_kb"] * 1000, startup_timeout=120, iopub_timeout=10,
        kernel_name="python3",
    )  # fmt: skip
    config.OneNotebook.permissions = 644
    try:
        course.convert(OneNotebook, config)
        pipe.send_bytes(b"")
    except Exception as error:
        pipe.send_bytes(f"{type(error).__name__}: {str(error)[-1500:]}".encode())
    pipe.close()
