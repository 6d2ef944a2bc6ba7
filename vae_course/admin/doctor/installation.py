"""What the checks share: a finding, the installation looked at, the probes' answers."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

from vae_course.admin.doctor.probe import FUNCTIONS, MARK

PROBE_SECONDS = 300  # a first import from a slow disk
_MODULES = {"pillow": "PIL", "scikit-learn": "sklearn"}


@dataclasses.dataclass(frozen=True)
class Finding:
    r"""One line of the report.

    kind: "ok", "note" (good to know, nothing to mend) or "problem"
    command: what mends a problem, or what a note offers; one line to copy into a shell
    """

    kind: str
    text: str
    command: str = ""


def quoted(text: str | Path) -> str:
    """As a shell takes it: one argument."""
    if os.name == "nt":  # cmd and PowerShell
        return f'"{text}"' if re.search(r"[^\w.:\\/=-]", str(text)) else str(text)
    return shlex.quote(str(text))


def module_name(package: str) -> str:
    """What a package of the course is imported as."""
    return _MODULES.get(package, package.replace("-", "_"))


def version(package: str) -> str:
    """The installed version, empty if there is none (or none that can be read)."""
    try:
        return metadata.version(package) or ""
    except Exception:  # damaged metadata raise all kinds of errors
        return ""


def requires(package: str) -> list[str]:
    """The requirements in the installed metadata, as they stand there."""
    try:
        return metadata.requires(package) or []
    except Exception:
        return []


class Install:
    """Where the course is, how it was installed, and what its packages answered."""

    def __init__(self) -> None:
        self.package = Path(__file__).resolve().parents[2]
        self.project: dict[str, Any] = {}
        self.root: Path | None = None  # the checkout that the package is imported from
        if (found := project_in(self.package.parent)) is not None:
            self.root, self.project = self.package.parent, found

    @functools.cached_property
    def python(self) -> str:
        """How a shell calls this Python."""
        found = shutil.which("python")
        here = Path(sys.executable).absolute().parent
        same = found is not None and Path(found).absolute().parent == here
        return "python" if same else quoted(sys.executable)

    def pip(self, arguments: str) -> str:
        return f"{self.python} -m pip install {arguments}"

    def again(self, root: Path | None = None) -> str:
        """The command that installs the course once more, from a checkout if there is one."""
        if (root := root or self.root) is not None:
            return self.pip("-e " + quoted(f"{root}[lab]"))
        address = self.address()
        return self.pip("--force-reinstall --no-deps " + quoted(f"vae-course @ git+{address}"))

    def address(self) -> str:
        """The repository in the metadata."""
        try:
            entries = metadata.metadata("vae-course").get_all("Project-URL") or []
        except metadata.PackageNotFoundError:
            entries = []
        pairs = (entry.partition(", ") for entry in entries)
        return next((url for label, _, url in pairs if label == "Repository"), "")

    @functools.cached_property
    def requirements(self) -> list[Any]:
        """The requirements as objects; with extras' they carry a marker."""
        if not can_read_requirements():
            return []
        texts = requires("vae-course")
        if not texts:
            texts = list(self.project.get("dependencies", []))
            for extra, more in self.project.get("optional-dependencies", {}).items():
                texts += [f'{text} ; extra == "{extra}"' for text in more]
        return [requirement(text) for text in texts]

    def core(self) -> list[Any]:
        """The requirements without an extra."""
        return [r for r in self.requirements if applies(r)]

    @functools.cached_property
    def answers(self) -> dict[str, dict[str, Any]]:
        """What the probes answered, by step: {"result": …} or {"error": …, "missing": …}."""
        names = [module_name(wanted.name.lower()) for wanted in self.core()]
        names += ["jupyterlab"] if version("jupyterlab") else []
        names += ["ipykernel"] if version("ipykernel") else []
        steps = [f"import {name}" for name in names]
        return probe([*steps, *(function.__name__ for function in FUNCTIONS)], self.package.parent)


def probe(steps: list[str], place: Path) -> dict[str, dict[str, Any]]:
    """Run the steps in a process; where one kills it, the rest run in the next process."""
    script = Path(__file__).with_name("probe.py")
    environment = os.environ | {"PYTHONUTF8": "1"}
    answers: dict[str, dict[str, Any]] = {}
    while remaining := [step for step in steps if step not in answers]:
        command = [sys.executable, "-P", str(script), str(place), *remaining]
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PROBE_SECONDS,
                env=environment,
            )  # fmt: skip
            output, ended = done.stdout, f"Python itself crashed (exit code {done.returncode})"
        except subprocess.TimeoutExpired as late:
            output, ended = late.stdout or b"", f"no answer after {PROBE_SECONDS} seconds"
        except OSError as error:
            return answers | {step: {"error": str(error), "missing": ""} for step in remaining}
        for line in output.decode("utf-8", "replace").splitlines():
            if line.startswith(MARK):
                answer = json.loads(line.removeprefix(MARK))
                answers[answer["step"]] = answer
        silent = next((step for step in remaining if step not in answers), None)
        if silent is not None:
            answers[silent] = {"error": ended, "missing": ""}
    return answers


def requirement(text: str) -> Any:
    """A requirement as packaging reads it, or the copy of packaging inside pip."""
    try:
        from packaging.requirements import Requirement
    except Exception:
        from pip._vendor.packaging.requirements import Requirement
    return Requirement(text)


def can_read_requirements() -> bool:
    try:
        requirement("name")
    except ImportError:
        return False
    return True


def applies(wanted: Any) -> bool:
    """Asked for on this Python and system, without any extra."""
    return wanted.marker is None or wanted.marker.evaluate({"extra": ""})


def project_in(folder: Path) -> dict[str, Any] | None:
    """[project] of a checkout of the course, None if `folder` is none."""
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    except (OSError, ValueError, KeyError):
        return None
    return project if project.get("name") == "vae-course" else None


def brief(error: str) -> str:
    """An error in at most 160 characters, without a final full stop."""
    error = re.sub(r"\s+", " ", error).strip().rstrip(".")
    return error if len(error) <= 160 else f"{error[:157]}…"


def set_variable(name: str, value: str) -> str:
    """The shell command that sets an environment variable; empty: that removes it."""
    if os.name == "nt":  # PowerShell
        return f'$env:{name} = "{value}"' if value else f"Remove-Item Env:{name}"
    return f"export {name}={quoted(value)}" if value else f"unset {name}"
