"""The boxes of checks and challenges in JupyterLab: light and dark, on a wide and a narrow window.

    python -m pytest -n 0 -m browser tests/browser/test_browser_verdicts.py

Screenshots go to the folder that VAE_COURSE_ARTEFACTS names.
"""

import pytest
from audit import serious
from jupyter_browser import JupyterLab

pytestmark = pytest.mark.browser
nbformat = pytest.importorskip("nbformat")

CELLS = [
    """from dataclasses import replace
import torch
from torch import nn
from vae_course import checks
from vae_course.checks.challenges import CHALLENGES""",
    """def gaussian_kl(mean, log_var):
    return 0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum(dim=1)
verdict = checks.check("gaussian_kl", gaussian_kl)""",
    """def gaussian_kl(mean, log_var):  # σ for σ², and the sign
    return -0.5 * (mean**2 + (0.5 * log_var).exp() - 1 - log_var).mean(dim=1)
verdict = checks.check("gaussian_kl", gaussian_kl)""",
    """def gaussian_kl(mean, log_var):
    return mean @ log_var
verdict = checks.check("gaussian_kl", gaussian_kl)""",
    """class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(784, 8))
        self.decoder = nn.Sequential(nn.Linear(8, 784), nn.Unflatten(1, (1, 28, 28)))
result = checks.challenge("01", Model())""",
    """CHALLENGES["01"] = replace(CHALLENGES["01"], target=1.0)
result = checks.challenge("01", Model())""",
    'result = checks.challenge("01", nn.Linear(784, 8))',
]
SIGNS = ["✓", "✗", "!", "✗", "✓", "!"]
BOXES = ".jp-RenderedHTMLCommon > div[style*='border-left']"


@pytest.fixture(scope="module", params=[False, True], ids=["light", "dark"])
def lab(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("notebooks")
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), folder / "all.ipynb")
    with JupyterLab(folder, dark=request.param) as lab:
        yield lab


def test_boxes_wrap_and_say_by_a_sign_what_their_colour_says(lab, artefacts):
    with lab.open("all.ipynb") as notebook:
        notebook.run_all()
        page = notebook.page
        boxes = page.locator(BOXES)
        assert [text[0] for text in boxes.all_inner_texts()] == SIGNS
        assert notebook.problems() == []
        for width in (1280, 800, 390):
            if width == 390:  # there the list of files is as wide as the window
                page.keyboard.press("ControlOrMeta+b")
            page.set_viewport_size({"width": width, "height": 1000})
            page.wait_for_timeout(500)
            for number, box in enumerate(boxes.all()):
                box.scroll_into_view_if_needed()
                assert box.evaluate("box => box.scrollWidth - box.clientWidth") <= 0
                theme = "dark" if lab.dark else "light"
                box.screenshot(path=artefacts / f"verdict-{theme}-{width}-{number}.png")
        assert [found for found in serious(page) if "border-left" in found] == []
        told = "\n".join(boxes.all_inner_texts())
        assert "Chapter 04: ✓\u00a0gaussian_kl · ○\u00a0" in told and "Traceback" not in told
