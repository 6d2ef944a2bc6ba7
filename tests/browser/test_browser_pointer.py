"""Each explorer of the course by pointer, slider and key; the times from press and key to picture,
and beside them the processor's time of one drawing, which a busy machine does not change.

    python -m pytest -n 0 -s -m browser tests/browser/test_browser_pointer.py

The explorers are those of tests/test_pointer.py, on toy models where that is faster. Screenshots
and the table go to the folder that VAE_COURSE_ARTEFACTS names, else into pytest's temporary one.
"""

import statistics
import time
from pathlib import Path

import pytest
from jupyter_browser import JupyterLab
from live_widgets import explorers

from test_pointer import MIDDLES
from vae_course.widgets import Slider

pytestmark = pytest.mark.browser
nbformat = pytest.importorskip("nbformat")
NAMES = [make.__name__ for make in MIDDLES]
PRESSES = 25  # of each explorer, and as many keys


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    folder = tmp_path_factory.mktemp("notebooks")
    tests = Path(__file__).parent.parent
    start = f"import sys\nsys.path.insert(0, {str(tests)!r})\nfrom test_pointer import MIDDLES"
    shows = [f"[*MIDDLES][{number}]().show()" for number in range(len(NAMES))]
    cells = [nbformat.v4.new_code_cell(source) for source in (start, *shows)]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), folder / "all.ipynb")
    with JupyterLab(folder) as lab, lab.open("all.ipynb") as page:
        page.run_all(seconds=600)
        yield page


@pytest.fixture(scope="module")
def found(notebook):
    found = explorers(notebook)
    assert len(found) == len(NAMES)
    return dict(zip(NAMES, found, strict=True))


@pytest.fixture(scope="module")
def times(artefacts):
    """Name → milliseconds from press and key to picture, and of processor; a table at the end."""
    times = {}
    yield times
    heading = "explorer | pointer: median, 95 % (ms) | key: median, 95 % (ms) | processor (ms)"
    lines = [f"| {heading} |", "|---" * 4 + "|"]
    for name, (pointer, key, processor) in times.items():
        found = [f"{statistics.median(own):.0f}, {late(own):.0f}" for own in (pointer, key)]
        lines.append(f"| {name} | {' | '.join(found)} | {processor:.0f} |")
    text = "\n".join(lines) + "\n"
    (artefacts / "pointer-latency.md").write_text(text, encoding="utf-8")
    print(f"\n{text}in {artefacts}")


def late(times):
    return statistics.quantiles(times, n=20, method="inclusive")[-1]


def processor_time(make) -> float:
    """Milliseconds of processor from a key to picture and words, the median over all sliders."""
    explorer, times = make(), []
    for name, control in explorer.controls.items():
        if not isinstance(control, Slider):
            continue
        first = explorer.values[name]
        step = control.step if first < control.high else -control.step
        for value in (first + step, first) * 3:
            begun = time.process_time()
            explorer.set(**{name: control.clamped(value)})
            times.append(1000 * (time.process_time() - begun))
    return statistics.median(times)


@pytest.mark.parametrize("name", NAMES)
def test_pointer_slider_and_key_move_picture_and_words(name, notebook, found, times, artefacts):
    explorer = found[name]
    explorer.root.scroll_into_view_if_needed()
    explorer.root.screenshot(path=artefacts / f"pointer_{name}.png")
    words = explorer.root.locator(".widget-html").last
    said = {words.inner_text()}
    pointer, key = [], []
    for move in (
        lambda: pointer.extend(explorer.pointer_times(PRESSES)),
        lambda: key.extend(explorer.key_times(PRESSES)),
        lambda: explorer.press(explorer.handles[0]),
        lambda: explorer.drag(explorer.handles[0]),
    ):
        move()
        notebook.page.wait_for_timeout(200)  # the words come a moment after the picture
        said.add(words.inner_text())
    times[name] = pointer, key, processor_time(dict(zip(NAMES, MIDDLES, strict=True))[name])
    assert len(said) >= 3, said
    assert notebook.problems() == []
