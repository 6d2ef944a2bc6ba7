"""The box of a verdict: HTML in a notebook's kernel, characters in a terminal and while grading."""

import os

import nbformat
import pytest
from nbclient import NotebookClient

from vae_course import checks, progress
from vae_course.checks import box

WRONG = """\
from vae_course import checks
def compression_ratio(image_shape, latent_dim):
    return "<b>wide</b>"
checks.check("compression_ratio", compression_ratio)"""
RIGHT = """\
from math import prod
def compression_ratio(image_shape, latent_dim):
    return prod(image_shape) / latent_dim
checks.check("compression_ratio", compression_ratio)"""
UNFILLED = 'checks.check("compression_ratio", ...)'


@pytest.fixture(scope="module")
def cells():
    cells = [nbformat.v4.new_code_cell(source) for source in (WRONG, RIGHT, UNFILLED)]
    cells.append(nbformat.v4.new_code_cell("import os; os.environ['NBGRADER_EXECUTION'] = 'x'"))
    cells.append(nbformat.v4.new_code_cell(RIGHT))
    cells.append(nbformat.v4.new_code_cell("checks.challenge('01')"))
    notebook = nbformat.v4.new_notebook(cells=cells)
    NotebookClient(notebook, kernel_name="python3", timeout=120).execute()
    return notebook.cells


def test_a_wrong_answer_is_a_box_of_html_with_the_text_beside_it(cells):
    (output,) = cells[0].outputs
    assert output.output_type == "display_data"
    assert output.data["text/plain"].startswith("┌─ ")
    markup = output.data["text/html"]
    assert box.COLOURS[output.data["text/plain"][3]] in markup
    assert "compression_ratio" in markup and "&lt;b&gt;wide" in markup and "<b>wide" not in markup


def test_what_is_passed_is_marked_among_the_chapters_exercises(cells):
    (output,) = cells[1].outputs
    markup = output.data["text/html"]
    assert box.COLOURS["✓"] in markup and "Chapter 01: " in markup
    names = [exercise.name for exercise in checks.exercises(1)]
    assert "✓\u00a0compression_ratio" in markup
    assert all(f"○\u00a0{name}" in markup for name in names if name != "compression_ratio")
    assert f"(1 of {len(names)})" in markup


def test_what_is_not_judged_and_what_is_graded_stays_characters(cells):
    for cell in (cells[2], cells[4], cells[5]):
        (output,) = cell.outputs
        assert output.output_type == "stream" and output.text.startswith("┌─ ")


def test_a_terminal_gets_characters(capsys):
    box.put("┌─ ✓ f: passed\n└─", "✓ f: passed", [])
    assert capsys.readouterr().out == "┌─ ✓ f: passed\n└─\n"


def test_every_sign_has_its_colour():
    for status in ("passed", "wrong", "error"):
        assert checks.Verdict("f", status).title[0] in box.COLOURS


def test_done_reads_this_process_and_the_file_whatever_it_holds(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "_here", {})
    monkeypatch.chdir(tmp_path)
    progress.record("exercises", "here")
    assert progress.done("exercises") == {"here"} and not os.listdir(tmp_path)
    progress.write(tmp_path, {"exercises": ["there", {"no": "name"}]})
    assert progress.done("exercises") == {"here", "there"}
    progress.write(tmp_path, {"exercises": 3})
    assert progress.done("exercises") == {"here"}
