"""The doctor's look at JupyterLab, its kernel and the widgets."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from vae_course.admin.doctor import Finding
from vae_course.admin.doctor._shared import Install, brief, version

# Which jupyterlab_widgets draws the widgets of which ipywidgets. pip does not know it: ipywidgets
# 7 accepts every jupyterlab_widgets, also those that show nothing of it.
_DRAWN_BY = {"7": ("1", ">=1.1.11,<2"), "8": ("3", ">=3,<4")}
_EXTENSION = "@jupyter-widgets/jupyterlab-manager"


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


CHECKS = (jupyterlab, kernel, widgets)
