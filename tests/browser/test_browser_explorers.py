"""The explorers in a real browser: keys, numbers and pointer move them, nothing complains."""

import json
import re

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
    """import json
print(json.dumps([grip.box for grip in explorer.grips()]))""",
    """pad = widgets.drawing_pad(
    lambda image: image.flatten(1)[:, 300:480:9], lambda code: decode(code[:1, :2]),
    images=torch.rand(50, 1, 28, 28, generator=torch.manual_seed(0)), labels=torch.arange(50) % 10,
)
pad.show()""",
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


@pytest.fixture
def pad(notebook):
    return explorers(notebook)[2]


def in_the_map(notebook, across, down):
    """A place of the map in fractions of the picture."""
    ((left, top, width, height),) = json.loads(re.search(r"\[\[.*\]\]", notebook.texts())[0])
    return left + across * width, top + down * height


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


def test_a_press_on_the_map_moves_picture_sliders_and_words(notebook, explorer):
    explorer.changed_by(lambda: explorer.drag_over(in_the_map(notebook, 0.75, 0.25)))
    explorer.wait_for_text("z₁ = 1.5, z₂ = 1.5.")
    handle = explorer.root.locator(".widget-slider .noUi-handle").nth(0)
    assert float(handle.get_attribute("aria-valuetext")) == pytest.approx(1.5, abs=0.06)
    assert explorer.image.get_attribute("alt") == explorer.title
    assert notebook.problems() == []


def test_a_drag_ends_where_the_pointer_ends_and_stops_at_the_edge(notebook, explorer):
    middle, corner = in_the_map(notebook, 0.5, 0.5), in_the_map(notebook, 0.25, 0.75)
    zigzag = [in_the_map(notebook, x, y) for x in (0.1, 0.9, 0.2, 0.8) for y in (0.3, 0.6)]
    explorer.changed_by(lambda: explorer.drag_over(middle, *zigzag, corner))
    explorer.wait_for_text("z₁ = −1.5, z₂ = −1.5.")
    explorer.changed_by(lambda: explorer.drag_over(middle, (0.99, 0.01)))
    explorer.wait_for_text("z₁ = 3, z₂ = 3.")


def test_a_press_beside_the_map_moves_nothing(notebook, explorer):
    explorer.changed_by(lambda: explorer.drag_over(in_the_map(notebook, 0.4, 0.4)))
    before = explorer.image.get_attribute("src")
    explorer.drag_over((0.8, 0.5), in_the_map(notebook, 0.5, 0.5))
    notebook.page.wait_for_timeout(500)
    assert explorer.image.get_attribute("src") == before


def test_what_is_drawn_on_the_pad_is_followed(notebook, pad):
    canvas = pad.root.locator("canvas.drawing-pad")
    pad.wait_for_text("drawing: 3, one of ours")
    strokes = [(0.3, 0.2), (0.7, 0.2), (0.5, 0.8)], [(0.4, 0.5), (0.7, 0.5)]
    for number, stroke in enumerate(strokes, 1):
        pad.changed_by(lambda s=stroke: pad.drag_over(*s, target=canvas))
        pad.wait_for_text(f"drawing: yours, {number} stroke")
    inked = "c => c.getContext('2d').getImageData(0, 0, 448, 448).data.filter(v => v > 128).length"
    drawn = canvas.evaluate(inked)
    pad.changed_by(lambda: pad.root.locator("select").select_option(label="our 8"))
    pad.wait_for_text("drawing: 8, one of ours")
    assert canvas.evaluate(inked) != drawn
    pad.changed_by(pad.root.get_by_role("button", name="Clear").click)
    pad.wait_for_text("drawing: yours, empty")
    assert canvas.evaluate(inked) == 0
    assert pad.root.get_by_text("not up to date").count() == 0 and notebook.problems() == []


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
