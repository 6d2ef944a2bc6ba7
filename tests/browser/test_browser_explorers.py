"""The explorers in a real browser: keys and typed numbers move the picture, nothing complains."""

import statistics

import pytest
from jupyter_browser import JupyterLab

pytestmark = pytest.mark.browser
nbformat = pytest.importorskip("nbformat")

CELLS = [
    """import torch
from vae_course import plots, widgets
plots.use_house_style()

grid = torch.linspace(-3, 3, 28)
def decode(latent):
    z1, z2 = latent[0] / 3
    far = ((grid[None] / 3 - z1) ** 2 + (-grid[:, None] / 3 - z2) ** 2).sqrt()
    return torch.sigmoid(12 * (0.45 - (far - 0.4).abs() * 2))[None, None]

labels = torch.arange(300) % 10
angle = labels * 0.628
centres = torch.stack([2 * angle.cos(), 2 * angle.sin()], dim=1)
codes = centres + 0.3 * torch.randn(300, 2, generator=torch.manual_seed(0))""",
    """explorer = widgets.latent_explorer(decode, codes=codes, labels=labels, limit=3.0)
explorer.show()""",
    """places = [{"z1": -2.0, "z2": 1.0}, {"z1": 2.0, "z2": -1.0}]
explorer.static(places, alt="A ring follows the point: upper left, then lower right.")""",
    'print("all done")',
]


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    folder = tmp_path_factory.mktemp("notebooks")
    cells = [nbformat.v4.new_code_cell(source) for source in CELLS]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), folder / "toy.ipynb")
    with JupyterLab(folder) as lab, lab.open("toy.ipynb") as page:
        page.run_all()
        page.show_explorer()
        yield page


def test_everything_ran_without_a_complaint(notebook):
    assert notebook.problems() == []
    assert "all done" in notebook.texts()
    assert "Figure: A ring follows the point" in notebook.texts()


def test_arrow_keys_move_the_picture_and_the_words(notebook):
    notebook.type_number("0.5", box=0)
    times = [notebook.press("ArrowRight") for _ in range(10)]
    print(f"key to picture: median {statistics.median(times):.0f} ms, most {max(times):.0f} ms")
    notebook.wait_for_text("z₁ = 1.5,")
    assert notebook.problems() == []


def test_a_typed_number_moves_slider_and_picture(notebook, tmp_path):
    notebook.type_number("-2.35", box=1)
    notebook.wait_for_text("z₂ = −2.35.")
    handle = notebook.page.locator(".widget-slider .noUi-handle").nth(1)
    assert float(handle.get_attribute("aria-valuetext")) == pytest.approx(-2.35, abs=0.06)
    notebook.screenshot(tmp_path / "explorer.png")
    assert (tmp_path / "explorer.png").stat().st_size > 10_000


def test_a_screen_reader_finds_the_boxes_by_name(notebook):
    for label in ("z₁", "z₂"):
        assert notebook.page.get_by_role("spinbutton", name=label, exact=True).count() == 1
