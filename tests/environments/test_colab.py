"""Every notebook in Colab's versions: the file alone, no course package, no checkout around it."""

import os
import re
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest
from colab_environment import Colab, make_venv

from vae_course.admin.notebooks import find_notebooks

pytestmark = pytest.mark.colab
NOTEBOOKS = find_notebooks(folder=Path(__file__).parent.parent.parent / "notebooks")
OURS = {"vae-course", "anywidget", "psygnal", "torchmetrics", "lightning-utilities"}
# The last cell of each run: where the package came from, what the process took at most, and every
# slider moved to its other end. A callback that raises ends this cell.
LAST_CELL = """
import ipywidgets, resource, vae_course
moved = 0
for widget in list(getattr(ipywidgets.Widget, "widgets", {}).values()):
    if isinstance(widget, (ipywidgets.IntSlider, ipywidgets.FloatSlider)):
        widget.value = widget.max if widget.value != widget.max else widget.min
        moved += 1
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print("LAST", moved, peak, ipywidgets.__version__, vae_course.__file__)
"""


@pytest.fixture(scope="module")
def colab(tmp_path_factory):
    """The environment without the course, as a fresh virtual machine of Colab has it."""
    work = tmp_path_factory.mktemp("colab")
    kept = os.environ.get("VAE_COURSE_COLAB_VENV")
    colab = Colab(make_venv(Path(kept) if kept else work / "venv"), work)
    colab.remove(OURS & colab.versions().keys())  # left by an earlier run
    colab.before = colab.versions()
    return colab


@pytest.fixture(scope="module")
def runs(colab, request):
    """The runs of the chosen notebooks: one, which installs the course, then two at a time."""
    chosen = [item.callspec.params["path"] for item in request.session.items
              if item.path == Path(__file__) and item.originalname == "test_runs"]  # fmt: skip
    pool = ThreadPoolExecutor(max_workers=2)
    ran = {}
    for path in chosen:
        ran[path] = pool.submit(colab.run, path, extra=LAST_CELL)
        if len(ran) == 1:
            wait(ran.values())
    yield ran
    pool.shutdown(cancel_futures=True)


def text_of(notebook):
    return "".join(
        output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", [])
    )


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs(colab, runs, path, record_property):
    """The first notebook that runs installs the course; the others find it, as in any second run.

    That their first cells are the same to the letter is a house rule.
    """
    done = runs[path].result()
    _bootstrap, *others = (cell for cell in done.cells if cell.cell_type == "code")  # pip may warn
    complaints = [
        f"{output.get('text') or output.get('evalue')} in: {cell.source[:200]}"
        for cell in others
        for output in cell.outputs
        if output.output_type == "error" or output.get("name") == "stderr"
    ]
    assert complaints == []
    moved, peak, version, place = re.search(r"^LAST (.*)$", text_of(done), re.M)[1].split(" ", 3)
    assert version == colab.before["ipywidgets"]
    assert Path(place).is_relative_to(colab.venv), "the package was not installed by the first cell"
    companion = path.stem.split("_")[0].endswith("b")
    assert int(moved) > 0 or companion, "no explorer was found"
    record_property("peak_mb", int(peak) // 1024)
    print(f"{path.stem}: {moved} sliders moved, at most {int(peak) // 1024} MB")


def test_installing_the_course_changed_nothing_else(colab):
    after = colab.versions()
    assert "vae-course" in after, "run after the notebooks"
    changed = {name: (old, after.get(name)) for name, old in colab.before.items()}
    assert {name: both for name, both in changed.items() if both[0] != both[1]} == {}
    new = after.keys() - colab.before.keys()
    assert new == OURS
