"""Every notebook in a real JupyterLab: run all, move each explorer's first slider by key and mouse.

Slow (it runs the notebooks): pytest -m browser tests/browser/test_browser_notebooks.py
Screenshots of the explorers are kept in the folder that VAE_COURSE_SCREENSHOTS names, if any.
"""

import os
from pathlib import Path

import pytest
from jupyter_browser import JupyterLab

from vae_course.notebook_tools import find_notebooks

pytestmark = pytest.mark.browser
SECONDS = 600  # for a whole notebook on a busy machine
OUTPUT = ".jp-OutputArea-output:has(img.widget-image)"


@pytest.mark.parametrize("path", find_notebooks(), ids=lambda path: path.stem)
def test_explorers_follow_keys_and_mouse(path, tmp_path):
    folder = Path(os.environ.get("VAE_COURSE_SCREENSHOTS", tmp_path))
    (tmp_path / path.name).write_bytes(path.read_bytes())
    with JupyterLab(tmp_path) as lab, lab.open(path.name) as notebook:
        notebook.run_all(seconds=SECONDS)
        count = path.read_text(encoding="utf-8").count("Interactive explorer: ")
        assert count > 0
        for number in range(count):
            notebook.show_explorer(number)
            explorer = notebook.page.locator(OUTPUT).nth(number)
            handle = explorer.locator(".widget-slider .noUi-handle").first
            for act in (lambda h=handle: h.press("ArrowRight"), lambda h=handle: _drag(h, -25)):
                before = notebook.source(number)
                act()
                notebook.page.wait_for_function(
                    "([n, old]) => document.querySelectorAll('img.widget-image')[n].src !== old",
                    arg=[number, before],
                )
            explorer.screenshot(path=str(folder / f"{path.stem}_{number}.png"))
        assert notebook.problems() == []


def _drag(handle, dots: int) -> None:
    """Pull a slider's handle to the side by so many screen dots."""
    box, mouse = handle.bounding_box(), handle.page.mouse
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    mouse.move(x, y)
    mouse.down()
    mouse.move(x + dots, y, steps=5)
    mouse.up()
