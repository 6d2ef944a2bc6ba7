"""Re-executing the notebooks, the form in which they are stored, and notebooks as pages.

A stored notebook holds its outputs and nothing that changes from run to run: no timing, no widget
state, no progress bars. What an explorer leaves behind is its plain sentence and its static figure,
so that GitHub and a freshly opened JupyterLab show those instead of "Error displaying widget".
"""

from __future__ import annotations

import hashlib
import html
import importlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"

_BOOTSTRAP = """\
# Set-up: installs the course where it is missing (Colab), imports, sets the style.
import importlib.util
import os
import subprocess
import sys

if importlib.util.find_spec("vae_course") is None:
    home = "git+{address}{at_branch}"
    spec = os.environ.get("VAE_COURSE_SPEC", home)
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", spec], check=True)
    importlib.invalidate_caches()"""

_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    # No version: it would change with every patch release of Python.
    "language_info": {
        "codemirror_mode": {"name": "ipython", "version": 3},
        "file_extension": ".py",
        "mimetype": "text/x-python",
        "name": "python",
        "nbconvert_exporter": "python",
        "pygments_lexer": "ipython3",
    },
}
_KEPT_CELL_METADATA = ("deletable", "editable", "nbgrader", "tags")
# What a cell's tag says about its code: folded on the website, or the cell left out there. All
# three are collapsed in JupyterLab and in Colab. nbval reads its own tags (nbval-ignore-output).
_ON_THE_SITE = {"claim": "remove-cell", "setup": "hide-input", "hide-input": "hide-input"}
_PROGRESS_BAR = re.compile(r"(\d+%\|.*\||\b\d+it ).*\[\d+:\d\d.*\]")
# `fit` reads it: a bar that is never drawn can't reach a stored or a compared output.
_NO_BARS = {"TQDM_DISABLE": "1"}
_SENTENCE = re.compile(
    r"Interactive (explorer: (?P<explorer>.+?)(?:\.|(?<=[?!])) Run this cell to move it;"
    r"|quiz, (?P<quiz>.+?) Run this cell to take it;)"
)
_ANSI_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class NotebookFailed(RuntimeError):
    """A cell of a notebook failed; the message names the notebook, the cell and the error."""


def repository_address() -> str:
    """The address of the repository, from the metadata of the installed package."""
    return _project_url("Repository")


def repository_branch() -> str:
    """The branch that badges and first cells take, from the metadata of the installed package."""
    folder = _project_url("Notebooks").removeprefix(f"{repository_address()}/tree/")
    return folder.removesuffix("/notebooks")


def _project_url(wanted: str) -> str:
    from importlib.metadata import metadata

    for entry in metadata("vae-course").get_all("Project-URL") or []:
        label, _, address = entry.partition(", ")
        if label == wanted:
            return address
    raise RuntimeError(
        f"the metadata of vae-course names no {wanted}: look at [project.urls] in pyproject.toml "
        "and install again (python -m pip install -e .)"
    )


def bootstrap_source() -> str:
    """The source of the first code cell, the same in every notebook."""
    branch = repository_branch()
    at_branch = "" if branch == "main" else f"@{branch}"  # main is what pip takes by itself
    return _BOOTSTRAP.format(address=repository_address(), at_branch=at_branch)


def find_notebooks(names: Sequence[str] = (), *, folder: Path | None = None) -> list[Path]:
    """Paths of the named notebooks, of all without a name.

    A name is `01`, `01_autoencoders`, `01_autoencoders.ipynb` or a path.
    Raises: FileNotFoundError for a folder without notebooks; ValueError for a name that fits none.
    """
    found = [] if names else _known(folder)
    for name in names:
        if name.endswith(".ipynb") and Path(name).is_file():
            matches = [Path(name)]
        else:
            known, start = _known(folder), f"{name.removesuffix('.ipynb')}_"
            matches = [path for path in known if f"{path.stem}_".startswith(start)]
            if not matches:
                options = ", ".join(path.stem for path in known)
                raise ValueError(f"no notebook is called {name!r}; there are: {options}")
        found.extend(path for path in matches if path not in found)
    return found


def _known(folder: Path | None) -> list[Path]:
    if folder is None:
        package = Path(__file__).resolve().parents[1]  # a checkout, or an installed wheel
        places = [package.parent / "notebooks", package / "_notebooks", Path("notebooks")]
        folder = next((place for place in places if place.is_dir()), places[-1])
    known = sorted(path for path in folder.glob("*.ipynb") if not path.name.startswith("."))
    if not known:
        raise FileNotFoundError(
            f"no notebook (*.ipynb) in {folder}: run this in a clone, or give --folder"
        )
    return known


def read_notebook(path: Path) -> dict[str, Any]:
    """The notebook as nested dictionaries, every source and text joined to one string.

    Raises: NotebookFailed for a file that is no notebook, or one of another format.
    """
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        version = notebook["nbformat"]
    except (ValueError, KeyError, TypeError) as error:
        raise NotebookFailed(f"{path.name} is not a notebook: {error}") from None
    if version != 4:
        raise NotebookFailed(
            f"{path.name} has notebook format {version}, expected 4: open it in JupyterLab and "
            "save it"
        )
    for cell in notebook["cells"]:
        cell["source"] = "".join(cell["source"])
        for output in cell.get("outputs", []):
            if "text" in output:
                output["text"] = "".join(output["text"])
            for kind, content in output.get("data", {}).items():
                if isinstance(content, list) and not kind.endswith("json"):
                    output["data"][kind] = "".join(content)
    return notebook


def write_notebook(notebook: dict[str, Any], path: Path) -> None:
    """Write as Jupyter does (one-space indent, lists of lines), whole or not at all."""
    import nbformat

    from vae_course.files import write_whole

    text = nbformat.writes(nbformat.from_dict(notebook), version=4)
    write_whole(path, f"{text}\n".encode())


def clean(notebook: dict[str, Any]) -> dict[str, Any]:
    """Bring a notebook into the stored form, in place; returns it.

    Dropped: widget state, widget views (their text/plain stays), progress bars, timing, metadata
    of editors. Cell ids that are missing or doubled are made from the cell's source. What the tags
    `claim`, `setup` and `hide-input` mean to JupyterLab, Colab and the website is filled in.
    """
    notebook["metadata"] = json.loads(json.dumps(_METADATA))
    notebook["nbformat"], notebook["nbformat_minor"] = 4, 5
    seen: set[str] = set()
    for cell in notebook["cells"]:
        if cell.get("id") in seen or not cell.get("id"):
            cell["id"] = _new_id(cell["source"], seen)
        seen.add(cell["id"])
        cell["metadata"] = _cell_metadata(cell)
        if cell["cell_type"] == "code":
            outputs = map(_clean_output, cell["outputs"])
            cell["outputs"] = _joined([output for output in outputs if output is not None])
    return notebook


def _cell_metadata(cell: dict[str, Any]) -> dict[str, Any]:
    """Of a cell's metadata what is stored; whether its code is collapsed follows from its tags."""
    kept = {key: cell["metadata"][key] for key in _KEPT_CELL_METADATA if key in cell["metadata"]}
    tags = [tag for tag in kept.pop("tags", []) if tag != "remove-cell"]
    site = [_ON_THE_SITE[tag] for tag in tags if tag in _ON_THE_SITE]
    if site:
        kept |= {"cellView": "form", "jupyter": {"source_hidden": True}}
    if tags := list(dict.fromkeys([*tags, *site])):
        kept["tags"] = tags
    return kept


def _joined(outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Neighbouring pieces of one stream made one; a picture between them keeps its place."""
    joined: list[dict[str, Any]] = []
    for output in outputs:
        before = joined[-1] if joined else {}
        if output["output_type"] == "stream" and output["name"] == before.get("name"):
            before["text"] += output["text"]
        else:
            joined.append(output)
    return joined


def _new_id(source: str, seen: set[str]) -> str:
    count = 0
    while (made := hashlib.sha256(f"{count}{source}".encode()).hexdigest()[:8]) in seen:
        count += 1
    return made


def _clean_output(output: dict[str, Any]) -> dict[str, Any] | None:
    if output["output_type"] == "stream":
        lines = re.split(r"(?<=[\n\r])", output["text"])
        kept = [line for line in lines if not _PROGRESS_BAR.search(line)]
        if len(kept) < len(lines):  # what is left of a bar: its line ends
            output["text"] = "".join(kept).strip("\r\n") + "\n"
        return output if output["text"].strip() else None
    if output["output_type"] in ("display_data", "execute_result"):
        view = output["data"].pop(WIDGET_VIEW, None)
        if _PROGRESS_BAR.search(output["data"].get("text/plain", "")):
            return None
        if view is not None and not output["data"]:
            return None
    return output


def tidy_notebook(path: Path) -> bool:
    """Bring a notebook into the stored form without running it; returns whether that changed it."""
    before = path.read_bytes()
    write_notebook(clean(read_notebook(path)), path)
    return path.read_bytes() != before


def run_notebook(path: Path) -> float:
    """Execute a notebook in its folder and store it clean; returns the seconds it took.

    The kernel is the Python that runs this function. The file is replaced only when all cells ran.
    Raises: NotebookFailed for an error in a cell or text on stderr, and the file stays as it was.
    """
    start = time.perf_counter()
    executed = _executed(path)
    seconds = time.perf_counter() - start
    write_notebook(executed, path)
    return seconds


def freeze_notebook(path: Path, folder: Path) -> list[Path]:
    """Execute a notebook and freeze the explorers and quizzes that it shows; returns their files.

    Which ones it shows its stored outputs say; cells after the last of them are not run.
    folder: what it holds of other runs goes when this one has ended well; the notebook's own file
        stays as it is
    Raises: NotebookFailed as `run_notebook`, and `folder` stays as it was.
    """
    folder = folder.resolve()  # the notebook runs in a folder of its own
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file; expected a folder for frozen explorers")
    folder.mkdir(parents=True, exist_ok=True)
    shown = [at for at, cell in enumerate(read_notebook(path)["cells"], 1) if _titles(cell)]
    with tempfile.TemporaryDirectory(dir=folder) as made:
        if shown:
            _executed(path, cells=shown[-1], VAE_COURSE_FREEZE=made)
        for old in [*folder.glob("*.bin"), *folder.glob("*.seconds")]:
            old.unlink()
        for seconds in Path(made).glob("*.seconds"):
            seconds.replace(folder / seconds.name)
        return [file.replace(folder / file.name) for file in sorted(Path(made).glob("*.bin"))]


def place_explorers(notebook: dict[str, Any], addresses: Mapping[str, str]) -> dict[str, Any]:
    """Put frozen explorers and quizzes in the place of their sentences; returns the notebook.

    addresses: name of the file → its address, or "#ID" of an element of the page that holds it
    """
    from vae_course.widgets.frozen import file_name

    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            said = "".join(output.get("data", {}).get("text/plain", ""))
            title = _title(said)
            if title and (name := file_name(title)) in addresses:
                shown = f"<p>{html.escape(said)}</p>"
                shown = f'<div class="frozen-explorer" data-from="{addresses[name]}">{shown}</div>'
                output["data"] = {"text/html": shown, "text/plain": said}
    return notebook


def _title(sentence: str) -> str:
    """Of the explorer or quiz that left this sentence; empty if none did."""
    said = _SENTENCE.match(sentence)
    return (said["explorer"] or said["quiz"]) if said else ""


def _titles(cell: dict[str, Any]) -> list[str]:
    """Of the explorers and quizzes that a cell's stored outputs show."""
    outputs = cell.get("outputs", [])
    said = [_title("".join(output.get("data", {}).get("text/plain", ""))) for output in outputs]
    return [title for title in said if title]


def html_page(path: Path, to: Path, *, live: bool = False) -> int:
    """Write a notebook with its stored outputs as one HTML page; returns its explorers that move.

    Everything is inside the page, formulas as MathML: it can be read without a network.
    live: execute the notebook, and let its explorers move and its quizzes be taken
    Raises: NotebookFailed as `run_notebook`, if live.
    """
    from nbformat import from_dict

    from vae_course.admin import formulas
    from vae_course.files import write_whole

    notebook, files, scripts = read_notebook(path), [], ""
    if live:
        from vae_course.widgets import frozen

        with tempfile.TemporaryDirectory() as folder:
            files = freeze_notebook(path, Path(folder))
            scripts = frozen.inline(files)
        place_explorers(notebook, {file.name: f"#{file.stem}" for file in files})
    page, _ = html_exporter().from_notebook_node(
        from_dict(notebook), resources={"metadata": {"name": path.stem}}
    )
    # No library from another host: the course's notebooks need none of them.
    page = re.sub(r'<script src="[^"]*">\s*</script>\s*', "", page)
    page = re.sub(r'(?s)<script type="text/x-mathjax-config">.*?</script>', "", page)
    page = re.sub(r'(?s)<script type="module">\s*import mermaid.*?</script>', "", page)
    page = re.sub(r'<img (?=[^>]*src="https?:)[^>]*alt="([^"]*)"[^>]*>', r"\1", page)  # badges
    page = formulas.with_mathml(page.replace("</head>", f"{formulas.STYLE}\n</head>"))
    write_whole(to, page.replace("</body>", f"{scripts}\n</body>").encode())
    return len(files)


def html_exporter():
    """nbconvert's, so that a screen reader reads the page as well.

    Its default template gives every picture the alt text "No description has been provided"; the
    classic one takes what `plots.show` stored. The colours of the code have enough contrast.
    """
    import nbconvert
    from traitlets.config import Config

    settings = {"HTMLExporter": {"template_name": "classic"},
                "CSSHTMLHeaderPreprocessor": {"style": "xcode"}}  # fmt: skip
    return nbconvert.HTMLExporter(
        config=Config(settings), require_js_url="", jquery_url="", mermaid_js_url=""
    )


def _executed(path: Path, *, cells: int | None = None, **environment: str) -> dict[str, Any]:
    """A notebook run in its folder, with more environment variables, in the stored form.

    cells: how many from the first on; None for all
    """
    from ipykernel.kernelspec import get_kernel_dict
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
    from nbformat import from_dict

    class ThisPython(AsyncKernelManager):
        kernel_spec = KernelSpec(**get_kernel_dict())

    notebook = from_dict(clean(read_notebook(path)))
    notebook["cells"] = notebook["cells"][:cells]
    running = [1]  # the number of the cell that runs, kept for the report
    client = NotebookClient(
        notebook,
        kernel_manager_class=ThisPython,
        resources={"metadata": {"path": str(path.parent)}},
        timeout=1800,
        allow_errors=False,
        record_timing=False,
        store_widget_state=False,
        on_cell_start=lambda cell, cell_index: running.append(cell_index + 1),
    )
    try:
        # stderr: what the kernel process says about itself. What cells write there is captured.
        client.execute(env=os.environ | _NO_BARS | environment, stderr=subprocess.DEVNULL)
    except CellExecutionError as error:
        lines = _ANSI_COLOUR.sub("", error.traceback).strip().splitlines()
        raise _failure(path, notebook, running[-1], "\n".join(lines[-12:])) from None
    except (CellTimeoutError, DeadKernelError) as error:
        raise _failure(path, notebook, running[-1], str(error).splitlines()[0]) from None
    cleaned = clean(json.loads(json.dumps(notebook)))
    for number, cell in enumerate(cleaned["cells"], start=1):
        for output in cell.get("outputs", []):
            if output.get("name") == "stderr":
                problem = f"wrote to stderr, which nbval can't compare:\n{output['text'].rstrip()}"
                raise _failure(path, notebook, number, problem)
    return cleaned


def _failure(path: Path, notebook: dict, number: int, problem: str) -> NotebookFailed:
    """Notebook, cell and problem in one block."""
    source = notebook["cells"][number - 1]["source"].splitlines()
    shown = [f"    | {line}" for line in source[:12]]
    if len(source) > 12:
        shown.append(f"    | … {len(source) - 12} more lines")
    told = [f"    {line}" for line in problem.splitlines()]
    return NotebookFailed("\n".join([f"{path.name}, cell {number}:", *shown, "", *told]))


def check_notebooks(paths: Sequence[Path]) -> int:
    """Run nbval strictly over the notebooks, one kernel each; returns 0 if all outputs agree."""
    for name in ("nbval", "pytest", "xdist"):
        importlib.import_module(name)  # what is missing is said here, not by pytest's usage message

    command = [sys.executable, "-m", "pytest", "--quiet", "-p", "no:cacheprovider"]
    command += ["--nbval", "--nbval-current-env", "--dist=loadfile"]
    command += [f"--numprocesses={'auto' if len(paths) > 1 else 0}", *map(str, paths)]
    return 1 if subprocess.run(command, env=os.environ | _NO_BARS).returncode else 0
