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
            for act in (_press, _drag):
                before = notebook.source(number)
                act(handle)
                notebook.page.wait_for_function(
                    "([n, old]) => document.querySelectorAll('img.widget-image')[n].src !== old",
                    arg=[number, before],
                )
            explorer.screenshot(path=str(folder / f"{path.stem}_{number}.png"))
        assert notebook.problems() == []


def _press(handle) -> None:
    """One step by the keyboard, away from the end that the handle may stand at."""
    now, high = (float(handle.get_attribute(f"aria-value{end}")) for end in ("now", "max"))
    handle.press("ArrowLeft" if now >= high else "ArrowRight")


def _drag(handle) -> None:
    """Pull the handle to the end of the track that is farther away."""
    box, mouse = handle.bounding_box(), handle.page.mouse
    track = handle.locator("xpath=ancestor::*[contains(@class, 'noUi-target')]").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    to_the_left = x > track["x"] + track["width"] / 2
    mouse.move(x, y)
    mouse.down()
    mouse.move(track["x"] + (0 if to_the_left else track["width"]), y, steps=5)
    mouse.up()
