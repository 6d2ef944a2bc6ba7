"""House rules for what is stored: outputs, pictures, nothing of this machine or this run."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator

from vae_course.admin.notebooks import WIDGET_VIEW, clean

from .code_rules import RE_EXECUTE
from .notebook import Notebook

WIDGET_REPR = re.compile(r"^\w+\((children=|.*\bvalue=b['\"]|.*\blayout=Layout\()", re.DOTALL)
LIBRARY_REPR = re.compile(r"<?\bmatplotlib\.|class=\"dataframe\"|\bat 0x[0-9a-f]{6}")
MACHINE_PATH = re.compile(
    r"(?<![\w.:/])/(?:home|Users|root|tmp|work|opt|usr|var|mnt|private|content)/\w"
    r"|\b[A-Z]:\\\w|site-packages|dist-packages|/ipykernel_\d"
)
URL = re.compile(r"\bhttps?://\S+")
REGISTRY = re.compile(
    r"py(?:pi|thonhosted)[.]org|download[.]pytorch[.]org|(?:ana)?conda[.](?:org|com)|npmjs[.]org"
)
LARGEST = 1_500_000  # bytes


def outputs_stored(notebook: Notebook) -> Iterator[str]:
    """Without stored outputs nbval passes and tests nothing."""
    if not any(cell.outputs for cell in notebook.code):
        yield f"no cell stores an output; {RE_EXECUTE}"
    for cell in notebook.code:
        if "print(" in cell.source and not cell.outputs and _prints(cell.tree.body):
            yield f"{cell} prints, but stores no output; {RE_EXECUTE}"


def _prints(body: list) -> bool:
    """Whether a statement of the cell itself is a call of print."""
    calls = [node.value for node in body if type(node).__name__ == "Expr"]
    return any(getattr(getattr(call, "func", None), "id", "") == "print" for call in calls)


def no_error_stored(notebook: Notebook) -> Iterator[str]:
    """A notebook runs to the end; a mistake that is shown is caught, and its message printed."""
    for cell in notebook.code:
        for output in cell.outputs:
            if output["output_type"] == "error":
                yield f"{cell} stores the error {output.get('ename')}; repair the cell, or catch it"


def no_stderr_stored(notebook: Notebook) -> Iterator[str]:
    """Warnings hold paths and change with versions; nbval compares them."""
    for cell in notebook.code:
        for output in cell.outputs:
            if output.get("name") == "stderr":
                text = output["text"].strip().splitlines()[-1][:80]
                yield f"{cell} stores stderr ({text}); remove its cause, or print to stdout"


def images_have_alt_text(notebook: Notebook) -> Iterator[str]:
    """Each stored picture says in words what it shows."""
    for cell in notebook.code:
        for output in cell.outputs:
            for kind in output.get("data", {}):
                if not kind.startswith("image/"):
                    continue
                alt = output.get("metadata", {}).get(kind, {}).get("alt", "")
                if len(alt.strip()) <= 20:
                    yield (
                        f"{cell} stores a picture with alt text {alt!r}; expected a sentence: "
                        'plots.show(fig, alt="…")'
                    )


def first_screen_has_a_picture(notebook: Notebook) -> Iterator[str]:
    """Something to see within the first five cells: what makes one ask how."""
    if not notebook.is_companion and not any(cell.has_picture for cell in notebook.cells[:5]):
        yield "none of the first five cells shows a picture; open with one (its code: hide-input)"


def no_widgets_stored(notebook: Notebook) -> Iterator[str]:
    """A stored widget shows "Error displaying widget"; its sentence and static figure are kept."""
    if "widgets" in notebook.raw["metadata"]:
        yield f"the metadata holds widget state; {RE_EXECUTE}"
    for cell in notebook.code:
        for data in cell.data:
            if WIDGET_VIEW in data:
                yield f"{cell} stores a widget view; {RE_EXECUTE}"
            if WIDGET_REPR.search(data.get("text/plain", "")):
                yield f"{cell} shows a bare widget; give it a sentence (vae_course.widgets does)"


def no_library_reprs(notebook: Notebook) -> Iterator[str]:
    """What is compared is text that we format: a library's own changes with its version."""
    for cell in notebook.code:
        for text in cell.texts:
            if text != cell.source and (found := LIBRARY_REPR.search(text)):
                yield (
                    f"{cell} stores a library's own text ({found[0]}…); print a table that you "
                    "format, end plots with plots.show"
                )


def no_bare_history(notebook: Notebook) -> Iterator[str]:
    """A training that ends a cell shows its History, whose numbers differ from CPU to CPU."""
    for cell in notebook.code:
        if "nbval-ignore-output" in cell.tags:
            continue
        if any(data.get("text/plain", "").startswith("History(") for data in cell.data):
            yield f"{cell} shows a History; assign it: history = training.fit(…)"


def no_machine_path(notebook: Notebook) -> Iterator[str]:
    """No absolute path: it tells of one machine and breaks on the next."""
    for cell in notebook.cells:
        for text in cell.texts:
            if found := MACHINE_PATH.search(URL.sub("", text)):
                start = max(found.start() - 20, 0)
                near = URL.sub("", text)[start : found.end() + 20]
                yield f"{cell} holds a path of one machine (… {near!r} …); make it relative"


def no_registry_host(notebook: Notebook) -> Iterator[str]:
    """Packages are named, not the address of the server that they come from."""
    for cell in notebook.cells:
        for text in cell.texts:
            if found := REGISTRY.search(text):
                yield f"{cell} names the package server {found[0]}; name the package"


def stored_form(notebook: Notebook) -> Iterator[str]:
    """The file is as `vae-course notebooks run` writes it: no editor's metadata, ids unique."""
    cleaned = clean(copy.deepcopy(notebook.raw))
    for key in ("metadata", "nbformat", "nbformat_minor"):
        if cleaned[key] != notebook.raw.get(key):
            yield f"its {key} is not in the stored form; {RE_EXECUTE}"
    for cell, form in zip(notebook.cells, cleaned["cells"], strict=True):
        for key in sorted(form.keys() | cell.raw.keys()):
            if form.get(key) != cell.raw.get(key):
                yield f"{cell}: its {key} is not in the stored form; {RE_EXECUTE}"


def small_enough(notebook: Notebook) -> Iterator[str]:
    """GitHub shows a notebook of a few MB slowly or not at all."""
    stored = json.dumps(notebook.raw, ensure_ascii=False, indent=1)
    size = len(stored.encode())
    if size > LARGEST:
        yield f"it has {size / 1e6:.1f} MB, at most {LARGEST / 1e6:.1f} allowed; lower the dpi"
