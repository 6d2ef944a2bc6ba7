"""The doctor's look at Python, the folder you work in, the installation and the packages."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from vae_course import __version__
from vae_course.admin.doctor import Finding
from vae_course.admin.doctor._shared import (
    Install,
    applies,
    brief,
    can_read_requirements,
    module_name,
    project_in,
    quoted,
    requirement,
    requires,
    version,
)


def python(install: Install) -> Iterator[Finding]:
    """The version of Python."""
    wanted = install.project.get("requires-python") or ""
    if not wanted:
        try:
            wanted = metadata.metadata("vae-course").get("Requires-Python") or ">=3.11"
        except metadata.PackageNotFoundError:
            wanted = ">=3.11"
    text = f"Python {platform.python_version()} ({sys.executable})"
    readable = can_read_requirements()
    if not readable or platform.python_version() in requirement(f"python{wanted}").specifier:
        yield Finding("ok", text)
    else:
        make = "py -3.12 -m venv .venv" if os.name == "nt" else "python3.12 -m venv .venv"
        yield Finding("problem", f"{text} is not what the course runs on ({wanted}).", make)


def shadows(install: Install) -> Iterator[Finding]:
    """Files of yours that hide a package of the same name."""
    names = {module_name(wanted.name.lower()) for wanted in install.requirements}
    names |= set(sys.stdlib_module_names) | {"vae_course"}
    folders = [Path.cwd()]
    if install.root is not None and install.root / "notebooks" not in folders:
        folders.append(install.root / "notebooks")
    for folder in folders:
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            hides = path.suffix == ".py" or (path / "__init__.py").is_file()
            if not hides or path.stem not in names or path == install.package:
                continue
            if path.resolve() == install.package or (folder / "pyproject.toml").is_file():
                continue  # a checkout, which `environment` looks at
            yield Finding(
                "problem",
                f"{path} hides the real {path.stem}: a program in that folder that imports "
                f"{path.stem} gets your file. Give it another name.",
                f"mv {quoted(path)} {quoted(path.with_name(f'my_{path.name}'))}",
            )


def environment(install: Install) -> Iterator[Finding]:
    """The virtual environment and the copy of the course in use."""
    active = os.environ.get("VIRTUAL_ENV")
    if active and Path(active).resolve() != Path(sys.prefix).resolve():
        inner = Path(active, "Scripts", "python.exe") if os.name == "nt" else f"{active}/bin/python"
        what = quoted(f"{install.root}[lab]") if install.root else "vae-course"
        yield Finding(
            "problem",
            f"The active virtual environment is {active}, but this vae-course belongs to "
            f"{sys.prefix}: the course is not installed where you work.",
            f"{quoted(inner)} -m pip install -e {what}",
        )
    checkout = next((f for f in (Path.cwd(), *Path.cwd().parents) if project_in(f)), None)
    if checkout is not None and checkout.resolve() != install.package.parent:
        yield Finding(
            "problem",
            f"You work in the checkout {checkout}, but vae_course {__version__} comes from "
            f"{install.package}: these notebooks run on another copy of the package.",
            install.again(checkout),
        )
    elif (stale := _stale(install)) is not None:
        yield Finding("problem", stale, install.again())
    else:
        yield Finding("ok", f"vae-course {__version__} ({install.package})")


def _stale(install: Install) -> str | None:
    """Why the installed metadata do not describe the package in use, None if they do."""
    try:
        found = metadata.distribution("vae-course")
        installed = found.version
    except metadata.PackageNotFoundError:
        return f"vae_course is imported from {install.package} but was never installed."
    place = _editable_place(found) or Path(str(found.locate_file("vae_course"))).parent
    if place.resolve() != install.package.parent:
        return f"vae-course is installed in {place}, but {install.package} is imported instead."
    project = install.project
    if installed != project.get("version", __version__):
        return f"The package is {__version__}, but version {installed} was installed."
    if project and can_read_requirements():
        written = {str(requirement(text)) for text in project.get("dependencies", [])}
        known = {str(wanted) for wanted in map(requirement, requires("vae-course"))}
        address = project.get("urls", {}).get("Repository", "")
        if written - known or address != install.address():
            return "pyproject.toml has changed since the course was installed."
    return None


def _editable_place(found: metadata.Distribution) -> Path | None:
    """The checkout of an editable installation."""
    from urllib.parse import urlparse
    from urllib.request import url2pathname

    described = json.loads(found.read_text("direct_url.json") or "{}")
    if not described.get("dir_info", {}).get("editable"):
        return None
    return Path(url2pathname(urlparse(described["url"]).path))


def versions(install: Install) -> Iterator[Finding]:
    """The versions of the packages."""
    if not can_read_requirements():
        text = "Versions cannot be compared: neither packaging nor pip can be imported."
        yield Finding("problem", text, f"{install.python} -m ensurepip")
        return
    core = install.core()
    missing = [r for r in core if not version(r.name) and not _importable(install, r)]
    if missing:
        names = ", ".join(wanted.name for wanted in missing)
        course = len(missing) > 3
        listed = " ".join(quoted(f"{wanted.name}{wanted.specifier}") for wanted in missing)
        yield Finding(
            "problem",
            f"Not installed: {names}.",
            install.again() if course and install.root else install.pip(listed),
        )
    optional = [r for r in install.requirements if not applies(r) and version(r.name)]
    old = {r.name: r for r in (*core, *optional) if _unfit(r)}
    for wanted in old.values():
        yield Finding(
            "problem",
            f"{wanted.name} {version(wanted.name)} does not fit, the course needs "
            f"{wanted.specifier}.",
            install.pip(quoted(f"{wanted.name}{wanted.specifier}")),
        )
    quarrels = list(_quarrels(install, {r.name for r in core if version(r.name)} - old.keys()))
    yield from quarrels
    if not missing and not old and not quarrels:
        yield Finding("ok", f"{len(core)} packages of the course, all of versions that fit")


def _importable(install: Install, wanted: Any) -> bool:
    return "error" not in install.answers[f"import {module_name(wanted.name.lower())}"]


def _unfit(wanted: Any) -> bool:
    found = version(wanted.name)
    return bool(found) and not wanted.specifier.contains(found, prereleases=True)


def _quarrels(install: Install, names: set[str]) -> Iterator[Finding]:
    """Packages of the course that need other versions of each other, say torchvision of torch."""
    for name in sorted(names):
        for wanted in map(requirement, requires(name)):
            if wanted.name.lower() in names and applies(wanted) and _unfit(wanted):
                yield Finding(
                    "problem",
                    f"{name} {version(name)} needs {wanted.name}{wanted.specifier}, but "
                    f"{wanted.name} {version(wanted.name)} is installed.",
                    install.pip(f"--upgrade {name} {wanted.name}"),
                )


def imports(install: Install) -> Iterator[Finding]:
    """Whether the packages can be imported."""
    failed: set[str] = set()
    if not install.requirements:
        return
    optional = [requirement(name) for name in ("ipykernel", "jupyterlab") if version(name)]
    order = sorted(install.core(), key=lambda r: (r.name != "numpy", r.name != "torch", r.name))
    for wanted in (*order, *optional):
        module = module_name(wanted.name.lower())
        error = install.answers[f"import {module}"].get("error")
        if error is None:
            continue
        failed.add(wanted.name.lower())
        if not version(wanted.name) and error.startswith("ModuleNotFoundError"):
            continue  # `versions` said so
        needed = {requirement(text).name.lower() for text in requires(wanted.name)}
        if needed & (failed - {wanted.name.lower()}):
            yield Finding("note", f"{wanted.name} cannot be imported either, for that reason.")
        else:
            text = f"{wanted.name} is installed, but cannot be imported ({brief(error)})."
            yield Finding("problem", text, _mend(install, wanted.name, error))
    if not failed:
        yield Finding("ok", "all of them can be imported")
    if not failed & {"numpy", "torch"} and "error" in (answer := install.answers["exchange"]):
        yield Finding(
            "problem",
            f"torch and numpy do not work together ({brief(answer['error'])}).",
            install.pip("--upgrade torch numpy"),
        )


def _mend(install: Install, name: str, error: str) -> str:
    if os.name == "nt" and name == "torch" and error.startswith("OSError"):
        return "winget install Microsoft.VCRedist.2015+.x64"  # the usual reason on a new Windows
    found = version(name).partition("+")[0]
    # torch's libraries lie in packages of their own: those are brought in again too
    alone = "" if name == "torch" else "--no-deps "
    return install.pip(f"--force-reinstall {alone}" + quoted(f"{name}=={found}" if found else name))


CHECKS = (python, shadows, environment, versions, imports)
