"""The notebooks where no kernel runs: what a page, and a listener who hears it, gets of them."""

import itertools
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from bs4 import BeautifulSoup  # nbconvert needs it, too

from vae_course.admin.notebooks import find_notebooks, html_exporter, read_notebook

ROOT = Path(__file__).parent.parent
RUBBISH = ("Error displaying widget", "model_id", "version_major", "jupyter.widget")
PIXELS = re.compile(r"(?<=src=\"data:image/)[^\"]+")  # long, and nothing to read in them
ANNOUNCED = re.compile(r"Interactive (?:explorer|quiz)")


@pytest.fixture(scope="module")
def exporter():
    """One for all notebooks: to make it and read its templates takes longer than a page."""
    exporter = html_exporter()
    exporter.exclude_input = True  # to colour code is half of the work; nothing below reads it
    return exporter


@pytest.fixture(scope="module", params=find_notebooks(), ids=lambda path: path.stem)
def notebook(request, exporter):
    html, _ = exporter.from_filename(str(request.param))
    page = BeautifulSoup(PIXELS.sub("", html), "html.parser")
    for tag in page(["style", "script"]):
        tag.decompose()
    cells = read_notebook(request.param)["cells"]
    is_companion = request.param.stem.split("_")[0].endswith("b")  # half as long, often no explorer
    return SimpleNamespace(page=page, cells=cells, text=page.get_text(), is_companion=is_companion)


def test_it_names_its_language_and_itself(notebook):
    assert notebook.page.html["lang"] == "en"
    assert notebook.page.title.get_text().strip()


def test_nothing_of_a_widget_but_its_sentence(notebook):
    assert [word for word in RUBBISH if word in str(notebook.page)] == []
    announced = [d for d in map(_plain, notebook.cells) if ANNOUNCED.search(d)]
    assert len(ANNOUNCED.findall(notebook.text)) >= len(announced)
    assert announced or notebook.is_companion


def test_each_explorer_is_followed_by_its_static_picture(notebook):
    """Its sentence says "the figure below": that is in its cell or in the next code cell."""
    code = [cell for cell in notebook.cells if cell["cell_type"] == "code"]
    for cell, after in zip(code, [*code[1:], {"outputs": []}], strict=True):
        if ANNOUNCED.search(_plain(cell)):
            outputs = cell["outputs"] + after["outputs"]
            assert any("image/png" in output.get("data", {}) for output in outputs), cell["source"]


def test_every_picture_says_what_it_shows(notebook):
    pictures = notebook.page.find_all("img")
    assert len(notebook.page.select(".output_png img")) >= (2 if notebook.is_companion else 4)
    for picture in pictures:
        assert len(picture.get("alt", "")) > 20, picture


def test_the_same_words_stand_under_the_picture(notebook):
    """Few programs read a stored alt text; everyone gets the line that is printed under it."""
    text = "".join(notebook.text.split())
    for picture in notebook.page.select(".output_png img"):
        assert ":" + "".join(picture["alt"].split()) in text


def test_headings_leave_no_level_out(notebook):
    levels = [int(heading.name[1]) for heading in notebook.page.find_all(re.compile("^h[1-6]$"))]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_tables_name_their_columns(notebook):
    for table in notebook.page.find_all("table"):
        names = [head.get_text().strip() for head in table.find_all("th")]
        assert names and all(names), names


def test_folds_say_what_they_hold_and_are_closed(notebook):
    folds = notebook.page.find_all("details")
    assert folds
    for fold in folds:
        assert fold.summary.get_text().strip() and not fold.has_attr("open")
        inside = fold.get_text().strip().removeprefix(fold.summary.get_text().strip())
        assert inside and "```" not in inside  # Markdown inside was rendered, not shown raw


def test_no_link_says_here_only(notebook):
    """Links are listed by themselves in a screen reader: "here" tells nothing there."""
    for link in notebook.page.find_all("a", href=True):
        words = link.get_text().strip() or " ".join(i.get("alt", "") for i in link.find_all("img"))
        assert words.lower() not in ("", "here", "this", "link", "click here"), link


def _plain(cell) -> str:
    """What the outputs of a cell say where widgets and pictures can't be shown."""
    outputs = [output.get("data", {}) for output in cell.get("outputs", [])]
    return "\n".join(data.get("text/plain", "") for data in outputs)
