"""A stand-in for Colab: its versions in a virtual environment, and a notebook file run there.

VAE_COURSE_COLAB_VENV names a folder to keep that environment in; without it, it is made anew.
VAE_COURSE_COLAB_PYTHON names the Python to make it with, by default 3.13 as in Colab if there is
one, else the Python that runs the tests.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent.parent
PINS = Path(__file__).with_name("colab.txt")
# A variable of the shell that a virtual machine in a data centre does not know.
_FOREIGN = (
    *("PYTHONPATH", "PYTHONWARNINGS", "VIRTUAL_ENV", "JUPYTER_PATH"),
    *("VAE_COURSE_DATA", "TQDM_DISABLE"),
)


class Colab:
    """A virtual environment with Colab's versions, and a working folder outside the checkout."""

    def __init__(self, venv: Path, work: Path):
        self.venv, self.work = venv, work
        self.python = venv / "bin/python"
        self.content = work / "content"
        self.content.mkdir(parents=True, exist_ok=True)
        self.environment = {k: v for k, v in os.environ.items() if k not in _FOREIGN}
        # No cache of this machine answers for what a fresh one has to do.
        self.environment |= {
            "PIP_CACHE_DIR": str(work / "pip"),
            "XDG_CACHE_HOME": str(work / "cache"),
            "IPYTHONDIR": str(work / "ipython"),
            "VAE_COURSE_SPEC": f"git+{repository(work).as_uri()}",
            "OMP_NUM_THREADS": "1",  # two notebooks run at a time
        }

    def versions(self) -> dict[str, str]:
        """Every installed distribution and its version."""
        command = [str(self.python), "-m", "pip", "list", "--format=json"]
        output = subprocess.run(
            command, check=True, capture_output=True, env=self.environment
        ).stdout
        return {entry["name"].lower(): entry["version"] for entry in json.loads(output)}

    def remove(self, names: set[str]) -> None:
        if names:
            command = [str(self.python), "-m", "pip", "uninstall", "-q", "-y", *sorted(names)]
            subprocess.run(command, check=True, env=self.environment)

    def run(self, notebook: Path, *, extra: str = "") -> nbformat.NotebookNode:
        """Run a copy of the notebook, alone in the working folder; `extra`: a last cell.

        Raises: CellExecutionError. nbclient passes over what a display reports, and over stderr:
        the caller looks at the outputs.
        """
        folder = self.content / notebook.stem
        folder.mkdir(exist_ok=True)
        copy = nbformat.read(shutil.copy(notebook, folder), as_version=4)
        for cell in copy.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        copy.cells.append(nbformat.v4.new_code_cell(extra))
        argv = [str(self.python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]

        class Kernel(AsyncKernelManager):
            kernel_spec = KernelSpec(argv=argv, display_name="Colab", language="python")

        client = NotebookClient(
            copy,
            kernel_manager_class=Kernel,
            resources={"metadata": {"path": str(folder)}},
            timeout=1800,
            record_timing=False,
        )
        client.execute(env=self.environment, stderr=subprocess.DEVNULL)
        return copy


def repository(work: Path) -> Path:
    """A git repository with the working tree as its one commit: what a push would publish."""
    target = work / "repository"
    if target.exists():
        return target
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    for name in filter(None, listed.split("\0")):
        if (source := ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target / name)
    who = ["-c", "user.name=test", "-c", "user.email=test@localhost", "-c", "core.autocrlf=false"]
    for command in (["init", "-q"], ["add", "-A"], [*who, "commit", "-q", "-m", "test"]):
        subprocess.run(["git", *command], cwd=target, check=True)
    return target


def make_venv(folder: Path) -> Path:
    """The environment, from scratch or as an earlier run left it there."""
    done = folder / "made-from.txt"
    if done.is_file() and done.read_bytes() == PINS.read_bytes():
        return folder
    subprocess.run([python(), "-m", "venv", "--clear", str(folder)], check=True)
    pip = [str(folder / "bin/python"), "-m", "pip"]
    subprocess.run([*pip, "install", "-q", "-r", str(PINS)], check=True)
    shutil.copyfile(PINS, done)
    return folder


def python() -> str:
    """The Python to make the environment with."""
    if named := os.environ.get("VAE_COURSE_COLAB_PYTHON"):
        return named
    code = "import ensurepip, sys; sys.exit(sys.version_info[:2] != (3, 13))"
    by_pyenv = Path.home().glob(".pyenv/versions/3.13.*/bin/python")
    for candidate in filter(None, (shutil.which("python3.13"), *by_pyenv)):
        # pyenv puts a python3.13 on the PATH that only says that it is not chosen
        if subprocess.run([candidate, "-c", code], capture_output=True).returncode == 0:
            return str(candidate)
    return sys.executable
