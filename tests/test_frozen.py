"""Frozen explorers: every state once, in words too; small enough, the same each time; in a page."""

import base64
import gzip
import json
import re
import struct
import zlib
from pathlib import Path

import nbformat
import numpy as np
import pytest

from vae_course.admin.notebooks import (
    NotebookFailed,
    find_notebooks,
    freeze_notebook,
    place_explorers,
)
from vae_course.plots.pictures import fast_png
from vae_course.widgets import Again, Choice, Explorer, Grip, Quiz, Slider, Switch, Text
from vae_course.widgets.frozen import file_name, freeze_quiz, inline, plan, table
from vae_course.widgets.pad import Drawing

SIDE = 100  # dots: four squares, three of them cut off


def explorer(**options):
    """Grey squares whose tint says where the sliders stand; a red dot says that it is inverted."""

    def draw(grey, place, inverted, shape, prompt, again):
        picture = np.full((SIDE, SIDE, 3), 255, np.uint8)
        picture[:50, :50] = 3 * grey
        picture[70:, 70:] = 3 * (10 + place)
        if inverted:
            picture[0, 99] = (255, 0, 0)
        return fast_png(picture)

    return Explorer(
        "a grey square",
        {
            "grey": Slider("grey", 0, 30, 6, 5),
            "place": Slider("place", 0.0, 4.0, 1.0, 1.0),
            "inverted": Switch("inverted"),
            "shape": Choice("shape", ["one", "two"], "one"),
            "prompt": Text("prompt", "hello"),
            "again": Again("New noise"),
        },
        draw,
        lambda grey, place, **_: f"It is {grey}, {place:g} <deep>.",
        grips=[Grip((0, 0, 1, 1), "grey", (0, 30), "again" if options.pop("bad", 0) else "place")],
        **options,
    )


def thawed(path):
    """What frozen.js makes of a file, in Python: the description, and draw(picture) → colours."""
    data = path.read_bytes()
    text, index = struct.unpack("<II", data[:8])
    about = json.loads(gzip.decompress(data[8 : 8 + text]))
    rows = np.frombuffer(gzip.decompress(data[8 + text : 8 + text + index]), "<u2")
    rows = rows.reshape(len(about["words"]), len(about["changing"]))
    pieces, side = data[8 + text + index :], about["square"]
    examples = gzip.decompress(pieces[: about["examples_length"]])
    starts = np.cumsum([0, *about["examples"]]) * side * side
    palette = np.frombuffer(base64.b64decode(about["palette"]), np.uint8).reshape(-1, 3)
    width, height = about["size"]
    across = -(-width // side)

    def draw(picture):
        canvas = np.zeros((-(-height // side) * side, across * side), np.uint8)
        squares = {p: examples[s : s + side * side] for p, s in enumerate(starts[:-1])}
        offset = about["examples_length"]
        for at, (place, lengths) in enumerate(zip(about["changing"], about["lengths"])):
            number = rows[picture, at]
            start = offset + sum(lengths[:number])
            inflate = zlib.decompressobj(-15, zdict=examples[starts[place] : starts[place + 1]])
            squares[place] = inflate.decompress(
                pieces[start : start + lengths[number]] + b"\0\0\xff\xff"
            )
            offset += sum(lengths)
        for place, square in squares.items():
            top, left = place // across * side, place % across * side
            canvas[top : top + side, left : left + side] = np.frombuffer(square, np.uint8).reshape(
                side, side
            )
        return palette[canvas[:height, :width]]

    return about, draw


def test_each_state_is_there_in_picture_and_words(tmp_path):
    about, draw = thawed(explorer().freeze(tmp_path))
    controls = {control["name"]: control for control in about["controls"]}
    assert list(controls) == ["grey", "place", "inverted", "shape", "again"]
    shape = [len(control["texts"]) for control in about["controls"]]
    assert np.prod(shape) == len(about["drawn"])
    assert shape == [7, 5, 2, 2, 4]
    for at in [(0, 0, 0, 0, 0), (3, 2, 1, 0, 3), (shape[0] - 1, 4, 1, 1, 2)]:
        number = np.ravel_multi_index(at, shape)
        grey, place = (int(controls[n]["values"][i]) for n, i in zip(list(controls)[:2], at))
        picture = draw(about["drawn"][number])
        assert (picture[:50, :50] == 3 * grey).all()
        assert (picture[70:, 70:] == 3 * (10 + place)).all()
        assert list(picture[0, 99]) == ([255, 0, 0] if at[2] else [255, 255, 255])
        words = about["words"][about["drawn"][number]]
        assert f"grey = {grey}, " in words and words.endswith(f"It is {grey}, {place} <deep>.")
    first = np.ravel_multi_index([control["first"] for control in about["controls"]], shape)
    assert about["words"][about["drawn"][first]] == explorer().words()
    assert about["note"] == (
        "Fixed on this page, free in the notebook: prompt: hello, New noise: one of 4."
    )


def test_texts_can_be_chosen_where_nothing_can_be_typed_and_large_steps_are_said(tmp_path):
    live = {"prompt": ["hello", "you"], "grey": 3}
    about, _ = thawed(explorer(live=live).freeze(tmp_path))
    prompt = about["controls"][0]
    assert (prompt["kind"], prompt["texts"]) == ("choice", ["hello", "you"])
    assert "prompt: one of 2," in about["note"] and "Sliders take larger steps" in about["note"]


def test_a_pad_says_where_one_can_draw(tmp_path):
    made = Explorer("a pad", {"drawing": Drawing("drawing", ["3", "4"], "3")},
                    lambda drawing: fast_png(np.full((4, 4), int(drawing), np.uint8)),
                    lambda drawing: "")  # fmt: skip
    about, _ = thawed(made.freeze(tmp_path))
    assert about["note"].startswith("To draw a digit of your own, run the notebook")


def test_a_quiz_is_frozen_with_its_pictures_and_its_key(tmp_path):
    sources = {"real": np.zeros((4, 1, 5, 6)), "GAN": np.ones((4, 1, 5, 6))}
    quiz = Quiz(sources, count=4)
    path = quiz.freeze(tmp_path)
    assert path.name == "4-pictures-real-or-gan.bin"
    data = path.read_bytes()
    about = json.loads(gzip.decompress(data[8 : 8 + struct.unpack("<I", data[:4])[0]]))
    assert about["title"] == quiz.title
    assert [about["quiz"]["names"][kind] for kind in about["quiz"]["key"]] == quiz.key
    for text, size, picture in zip(
        about["quiz"]["pictures"], about["quiz"]["sizes"], quiz.pictures, strict=True
    ):
        assert size == [6, 5] and base64.b64decode(text) == picture.tobytes()


def test_grips_travel_and_the_same_comes_out_twice(tmp_path):
    one, two = explorer().freeze(tmp_path / "a"), explorer().freeze(tmp_path / "b")
    assert one.read_bytes() == two.read_bytes()
    about, _ = thawed(one)
    assert [[g["x"], g["x_ends"], g["y"]] for g in about["grips"][0]] == [
        ["grey", [0, 30], "place"]
    ]
    still, _ = thawed(explorer(live={"place": None}).freeze(tmp_path))
    assert [[g["x"], g["y"]] for g in still["grips"][0]] == [[None, "place"]]


def test_too_large_means_fewer_values_then_fewer_controls_and_it_is_said(tmp_path):
    live = dict.fromkeys(["grey", "place", "again"])
    size = explorer(live=live).freeze(tmp_path).stat().st_size
    small = explorer(live=live).freeze(tmp_path, limit=2 * size // 3)
    about, _ = thawed(small)
    assert small.stat().st_size <= 2 * size // 3
    assert "New noise: pressed 0 times" in about["note"]
    with pytest.raises(
        ValueError, match=r"'a grey square' needs .* bytes for .* states, the limit"
    ):
        explorer().freeze(tmp_path, limit=100)


def test_the_plan_keeps_first_values_and_ends():
    controls = {"a": Slider("a", 0.0, 1.0, 0.37, 0.01), "b": Choice("b", list("uvw"), "v")}
    axes = plan(controls, {"a": None, "b": None}, 60)
    assert len(axes["a"]) == 20 and 0.37 in axes["a"] and axes["a"][::19] == [0.0, 1.0]
    assert axes["b"] == ["u", "v", "w"]
    assert list(plan(controls, {"a": None, "b": None}, 14)) == ["a"]
    assert plan(controls, {"a": (0.5,), "b": 2}, 99) == {"a": [0.37, 0.5], "b": ["u", "v"]}
    assert plan({"n": Again("New", 2)}, {"n": None}, 9) == {"n": [2, 3, 4, 5]}


def test_limits_are_kept_in_the_page(tmp_path):
    dot = fast_png(np.eye(3, dtype=np.uint8))
    controls = {"size": Slider("size", 1, 3, 2, 1), "step": Slider("step", 0, 9, 4, 1)}
    made = Explorer("steps", controls, lambda **_: dot, lambda **_: "",
                    limits=lambda size, **_: {"step": (0, size * size)})  # fmt: skip
    about, _ = thawed(made.freeze(tmp_path))
    for number, to in enumerate(about["moves"]):
        (size, step), (to_size, to_step) = divmod(number, 10), divmod(to, 10)
        assert (to_size, to_step) == (size, min(step, (size + 1) ** 2))
    assert len(about["words"]) == 2 + 5 + 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"live": {"gray": None}}, "live names 'gray'; expected a slider"),
        ({"live": {"prompt": None}}, "live names 'prompt'"),
        ({"live": {"grey": 1}}, "'grey' is 1; expected a list of values, a count"),
        ({"live": {"grey": (99,)}}, "grey is 99; expected 0 to 30"),
    ],
)
def test_what_cannot_move_is_refused(options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        explorer(**options).freeze(tmp_path)


def test_odd_pictures_and_folders_are_refused(tmp_path):
    def draw(n):
        return fast_png(np.zeros((n, 5), np.uint8))

    made = Explorer("sizes", {"n": Slider("n", 1, 5, 1, 1)}, draw, lambda n: "")
    with pytest.raises(ValueError, match=r"pictures of 5 × 1, 5 × 2.* dots; expected one size"):
        made.freeze(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="is a file; expected a folder"):
        made.freeze(tmp_path / "file")
    with pytest.raises(ValueError, match="limit 0"):
        made.freeze(tmp_path, limit=0)


def test_show_freezes_where_it_is_told_to(tmp_path, monkeypatch):
    monkeypatch.setenv("VAE_COURSE_FREEZE", str(tmp_path))
    explorer(live={"place": None}).show()
    names = sorted(file.name for file in tmp_path.iterdir())
    assert names == ["a-grey-square.bin", "a-grey-square.seconds"]


def test_the_table_says_what_moves_and_what_it_cost(tmp_path, monkeypatch):
    folder = tmp_path / "99_made"
    monkeypatch.setenv("VAE_COURSE_FREEZE", str(folder))
    folder.mkdir()
    explorer(live={"place": None}).show()
    (folder / "a-grey-square.seconds").write_text("12.3\n")
    freeze_quiz("VAE or GAN?", {"key": [0, 1, 1]}, folder)
    said = table(tmp_path)
    assert "| 99 | a grey square | 0.00 |" in said and "| 12 | place (" in said
    assert "| 99 | VAE or GAN? | 0.00 | 3 | – | buttons, letters | – |" in said
    assert "2 files, 0.0 MB." in said


def test_a_page_takes_it_in_the_place_of_its_sentence(tmp_path):
    title = "what is wrong with this training?"  # a sign that no file name should have
    output = {
        "output_type": "display_data",
        "metadata": {},
        "data": {
            "text/plain": f"Interactive explorer: {title}. Run this cell to move it; the figure"
        },
    }
    notebook = {"cells": [{"cell_type": "code", "outputs": [output]}, {"cell_type": "markdown"}]}
    place_explorers(notebook, {"other.bin": "x"})
    assert "text/html" not in output["data"]
    place_explorers(notebook, {file_name(title): "here.bin"})
    said = "Interactive quiz, 20 pictures: VAE or GAN? Run this cell to take it; "
    quiz = {"data": {"text/plain": said}}
    place_explorers({"cells": [{"outputs": [quiz]}]}, {"20-pictures-vae-or-gan.bin": "quiz.bin"})
    assert 'data-from="quiz.bin"' in quiz["data"]["text/html"]
    assert 'class="frozen-explorer" data-from="here.bin"' in output["data"]["text/html"]
    path = explorer(live={"place": None}).freeze(tmp_path)
    scripts = inline([path])
    assert 'id="a-grey-square"' in scripts and "import {" not in scripts
    assert "export " not in scripts and "function grip(" in scripts


@pytest.mark.parametrize("path", find_notebooks(), ids=lambda path: path.stem)
def test_each_explorer_of_a_notebook_has_a_file_of_its_own(path):
    said = re.findall(r"Interactive explorer: (.+?)[.?!] Run this cell", path.read_text("utf-8"))
    names = [file_name(title) for title in said]
    assert len(set(names)) == len(names)


def written(tmp_path, *sources, shown):
    """A notebook of these cells, the one numbered `shown` with an explorer's stored sentence."""
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    said = "Interactive explorer: a square. Run this cell to move it; the figure below"
    output = nbformat.v4.new_output("display_data", {"text/plain": said})
    cells[shown]["outputs"] = [output]
    path = tmp_path / "99_made.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def test_cells_after_the_last_explorer_are_not_run(tmp_path):
    source = "import os; open(f'{os.environ[\"VAE_COURSE_FREEZE\"]}/made.bin', 'w').close()"
    notebook = written(tmp_path, source, "1 / 0", shown=0)
    made = freeze_notebook(notebook, tmp_path / "frozen")
    assert made == [tmp_path / "frozen" / "made.bin"] and made[0].is_file()


def test_a_folder_is_meant_from_here_not_from_the_notebook(tmp_path, monkeypatch):
    source = "import os; open(f'{os.environ[\"VAE_COURSE_FREEZE\"]}/made.bin', 'w').close()"
    (tmp_path / "notebooks").mkdir()
    notebook = written(tmp_path / "notebooks", source, shown=0)
    monkeypatch.chdir(tmp_path)
    assert len(freeze_notebook(notebook, Path("build/frozen"))) == 1
    assert (tmp_path / "build" / "frozen" / "made.bin").is_file()


def test_a_notebook_without_explorers_is_not_run(tmp_path):
    notebook = tmp_path / "99_none.ipynb"
    cells = [nbformat.v4.new_code_cell("1 / 0")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), notebook)
    assert freeze_notebook(notebook, tmp_path / "frozen") == []


def test_a_failed_freezing_keeps_what_was_frozen(tmp_path):
    notebook = written(tmp_path, "1 / 0", shown=0)
    (tmp_path / "frozen").mkdir()
    kept = tmp_path / "frozen" / "old.bin"
    kept.write_bytes(b"old")
    with pytest.raises(NotebookFailed):
        freeze_notebook(notebook, tmp_path / "frozen")
    assert [*(tmp_path / "frozen").iterdir()] == [kept] and kept.read_bytes() == b"old"
