"""The explorers in a real browser: keys and typed numbers move the picture, nothing complains."""

import pytest
from jupyter_browser import JupyterLab
from live_widgets import explorers, quizzes

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
    """import numpy as np
from PIL import Image
from vae_course.plots.pictures import fast_png
from vae_course.widgets import Again, Choice, Explorer, Slider, Switch, Text

def draw(size, shape, inverted, word, again):
    wide = size * (2 if shape == "bar" else 1)
    pixels = np.full((20 * size, 20 * wide), (40 * again + 9 * len(word)) % 200, np.uint8)
    return fast_png(Image.fromarray(255 - pixels if inverted else pixels))

controls = {
    "size": Slider("size", 1, 9, 5, 1, play=200),
    "shape": Choice("shape", ["square", "bar"], "bar"),
    "inverted": Switch("inverted"), "word": Text("word"), "again": Again("New grey"),
}
Explorer("every kind of control", controls, draw, lambda **_: "A grey area.").show()""",
    """greys = {"dark": 0.2, "light": 0.9}
pictures = {name: np.full((3, 1, 8, 8), grey) for name, grey in greys.items()}
widgets.Quiz(pictures, count=5).show()""",
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
        yield page


@pytest.fixture
def explorer(notebook):
    return explorers(notebook)[0]


@pytest.fixture
def toy(notebook):
    return explorers(notebook)[1]


def test_everything_ran_without_a_complaint(notebook, explorer):
    assert notebook.problems() == []
    assert "all done" in notebook.texts()
    assert "Figure: A ring follows the point" in notebook.texts()


def test_arrow_keys_move_the_picture_and_the_words(notebook, explorer):
    explorer.type_number("0.5", box=0)
    handle = explorer.root.locator(".noUi-handle").first
    handle.focus()
    for _ in range(10):
        explorer.changed_by(lambda: notebook.page.keyboard.press("ArrowRight"))
    explorer.wait_for_text("z₁ = 1.5,")
    assert notebook.problems() == []


def test_a_typed_number_moves_slider_and_picture(notebook, explorer):
    explorer.type_number("-2.35", box=1)
    explorer.wait_for_text("z₂ = −2.35.")
    handle = explorer.root.locator(".widget-slider .noUi-handle").nth(1)
    assert float(handle.get_attribute("aria-valuetext")) == pytest.approx(-2.35, abs=0.06)


def test_the_tab_key_reaches_every_control(notebook, explorer, toy):
    assert explorer.stops_of_the_tab_key() == (4, 4)
    reached, count = toy.stops_of_the_tab_key()
    assert reached == count > 6
    assert notebook.problems() == []


def test_each_control_is_moved_by_mouse_and_by_keyboard(notebook, explorer, toy):
    assert explorer.move_everything() == 2
    assert toy.move_everything() == 6
    assert notebook.problems() == []


def test_a_key_that_moves_nothing_is_noticed(notebook, toy):
    from playwright.sync_api import TimeoutError

    with pytest.raises(TimeoutError):
        toy.changed_by(lambda: notebook.page.keyboard.press("Shift"), seconds=1)


def test_a_quiz_is_taken_by_keyboard_and_by_mouse(notebook):
    (quiz,) = quizzes(notebook)
    assert quiz.names == ["dark", "light"]
    assert len(quiz.play_by_keyboard("dark")) == 5
    quiz.wait_for_text("3 of 5 right")
    quiz.start_again()
    quiz.play_by_mouse("light")
    quiz.wait_for_text("2 of 5 right")
    assert notebook.problems() == []


def test_a_screen_reader_finds_the_boxes_by_name(notebook):
    for label in ("z₁", "z₂"):
        assert notebook.page.get_by_role("spinbutton", name=label, exact=True).count() == 1
