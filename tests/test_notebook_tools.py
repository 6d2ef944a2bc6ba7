"""Re-executing and storing notebooks, through the functions and through the command line."""

import ast
import copy
import json
import subprocess
import sys

import pytest

from vae_course import cli
from vae_course.admin import notebooks
from vae_course.admin.notebooks import (
    WIDGET_VIEW,
    NotebookFailed,
    bootstrap_source,
    clean,
    read_notebook,
)

EXPLORER = f"""\
import ipywidgets
from IPython.display import display
from tqdm.auto import tqdm

picture = ipywidgets.Image(value=b"1")
slider = ipywidgets.FloatSlider()
slider.observe(lambda change: setattr(picture, "value", b"2"), "value")
box = ipywidgets.VBox([slider, picture])
view = dict(version_major=2, version_minor=0, model_id=box.model_id)  # ipywidgets 7 and 8
data = {{"text/plain": "An explorer.", "{WIDGET_VIEW}": view}}
display(data, raw=True)
slider.value = 3"""


def cell(source, **more):
    made = {"cell_type": "code", "metadata": {}, "source": source, "outputs": []}
    return made | {"execution_count": None} | more


def notebook(*cells):
    return {"cells": list(cells), "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


@pytest.fixture
def stored(tmp_path):
    """Writes cells as notebook 00_small; returns its path."""

    def write(*sources):
        path = tmp_path / "00_small.ipynb"
        path.write_text(json.dumps(notebook(*map(cell, sources))), encoding="utf-8")
        return path

    return write


class TestRun:
    def test_stores_what_nbval_accepts(self, stored, capfd):
        path = stored("print(6 * 7)", EXPLORER, "open('out.txt', 'w').close()")
        assert cli.main(["notebooks", "run", str(path)]) == 0
        text = path.read_text(encoding="utf-8")
        cells = read_notebook(path)["cells"]
        assert [c["execution_count"] for c in cells] == [1, 2, 3]
        assert cells[0]["outputs"] == [{"output_type": "stream", "name": "stdout", "text": "42\n"}]
        assert [o["data"] for o in cells[1]["outputs"]] == [{"text/plain": "An explorer."}]
        assert (path.parent / "out.txt").exists(), "a notebook runs in its own folder"
        assert "00_small … " in capfd.readouterr().out

        assert cli.main(["notebooks", "check", str(path)]) == 0
        path.write_text(text.replace("42", "43"), encoding="utf-8")
        assert cli.main(["notebooks", "check", str(path)]) == 1
        assert "Cell 0: Cell outputs differ" in capfd.readouterr().out

    def test_the_same_twice(self, stored):
        path = stored("print(1)", "print(1)")
        notebooks.run_notebook(path)
        first = path.read_bytes()
        notebooks.run_notebook(path)
        assert path.read_bytes() == first
        assert first.endswith(b"}\n")
        assert b"\r" not in first

    def test_error_keeps_the_file_and_is_reported(self, stored, capsys):
        path = stored("print(1)", "a = 1\nb = a / 0", "print(2)")
        before = path.read_bytes()
        assert cli.main(["notebooks", "run", str(path)]) == 1
        said = capsys.readouterr().out
        assert "00_small.ipynb, cell 2:\n    | a = 1\n    | b = a / 0\n" in said
        assert "ZeroDivisionError: division by zero" in said
        assert "\x1b[" not in said
        assert path.read_bytes() == before
        assert [p.name for p in path.parent.iterdir()] == ["00_small.ipynb"]

    def test_stderr_is_an_error(self, stored):
        path = stored("print(1)", "import sys\nprint('careful', file=sys.stderr)")
        with pytest.raises(NotebookFailed, match=r"(?s)cell 2:.*stderr.*careful"):
            notebooks.run_notebook(path)

    def test_a_kernel_that_dies_is_reported(self, stored):
        path = stored("print(1)", "import os\nos._exit(1)")
        with pytest.raises(NotebookFailed, match=r"00_small.ipynb, cell 2:"):
            notebooks.run_notebook(path)

    def test_no_notebook_at_all(self, tmp_path):
        path = tmp_path / "00_small.ipynb"
        for text in ("", "[]", "{}", '{"nbformat": 3}'):
            path.write_text(text, encoding="utf-8")
            with pytest.raises(NotebookFailed, match=r"00_small.ipynb"):
                notebooks.run_notebook(path)


class TestClean:
    def test_drops_what_changes_and_what_nobody_can_show(self):
        bar = "  0%|          | 0/10 [00:00<?, ?it/s]"
        shown = {"output_type": "display_data", "metadata": {}}
        outputs = [
            shown | {"data": {"text/plain": bar, WIDGET_VIEW: {}}},
            shown | {"data": {"text/plain": "An explorer.", WIDGET_VIEW: {}}},
            shown | {"data": {WIDGET_VIEW: {}}},
            {"output_type": "stream", "name": "stderr", "text": f"{bar}\r 5%|█| 5/10 [00:01<0:01]"},
            {"output_type": "stream", "name": "stdout", "text": f"\r{bar}\nepoch 1 | 3.2\n"},
        ]
        raw = notebook(cell("1", outputs=outputs, id="kept"), cell("1", id="kept"), cell("1"))
        raw["metadata"] = {"widgets": {}, "colab": {}, "language_info": {"version": "3.11.7"}}
        raw["cells"][0]["metadata"] = {"tags": ["a"], "execution": {}, "scrolled": True}
        cleaned = clean(raw)
        first = cleaned["cells"][0]
        left = [output.get("data", output.get("text")) for output in first["outputs"]]
        assert left == [{"text/plain": "An explorer."}, "epoch 1 | 3.2\n"]
        assert first["metadata"] == {"tags": ["a"]}
        ids = [c["id"] for c in cleaned["cells"]]
        assert ids[0] == "kept"
        assert len(set(ids)) == 3
        assert set(cleaned["metadata"]) == {"kernelspec", "language_info"}
        assert "version" not in cleaned["metadata"]["language_info"]
        assert clean(copy.deepcopy(cleaned)) == cleaned

    def test_leaves_ordinary_output_alone(self):
        texts = ["loss 10% | better\n", "a | b\n--|--\n", "  2\n\n", "[00:01]\n"]
        for text in texts:
            outputs = [{"output_type": "stream", "name": "stdout", "text": text}]
            assert clean(notebook(cell("1", outputs=outputs)))["cells"][0]["outputs"] == outputs

    def test_joins_a_stream_in_pieces_but_not_across_a_picture(self):
        def said(text):
            return {"output_type": "stream", "name": "stdout", "text": text}

        picture = {"output_type": "display_data", "metadata": {}, "data": {"text/plain": "p"}}
        outputs = [said("a\n"), said("b\n"), picture, said("c\n")]
        cleaned = clean(notebook(cell("1", outputs=outputs)))["cells"][0]["outputs"]
        assert cleaned == [said("a\nb\n"), picture, said("c\n")]


class TestBootstrap:
    def test_shape(self):
        lines = bootstrap_source().splitlines()
        assert len(lines) <= 12
        assert max(map(len, lines)) <= 88
        ast.parse(bootstrap_source())

    def test_does_nothing_where_the_package_is(self, monkeypatch):
        monkeypatch.setattr(subprocess, "run", lambda *a, **k: pytest.fail("installs"))
        exec(bootstrap_source(), {})

    @pytest.mark.parametrize("spec", [None, "vae-course-elsewhere"])
    def test_installs_where_it_is_missing(self, spec, monkeypatch):
        calls = []
        monkeypatch.setattr(subprocess, "run", lambda command, check: calls.append(command))
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        monkeypatch.delenv("VAE_COURSE_SPEC", raising=False)
        if spec:
            monkeypatch.setenv("VAE_COURSE_SPEC", spec)
        exec(bootstrap_source(), {})
        at_branch = f"@{notebooks.repository_branch()}".replace("@main", "")
        wanted = spec or f"git+{notebooks.repository_address()}{at_branch}"
        assert calls == [[sys.executable, "-m", "pip", "install", "-q", wanted]]


class TestFind:
    @pytest.fixture
    def folder(self, tmp_path):
        for name in ("01_one", "02_two", "10_ten"):
            (tmp_path / f"{name}.ipynb").touch()
        (tmp_path / ".hidden.ipynb").touch()
        return tmp_path

    @pytest.mark.parametrize(
        ("names", "found"),
        [
            ([], ["01_one", "02_two", "10_ten"]),
            (["02"], ["02_two"]),
            (["02_two", "01_one.ipynb", "02"], ["02_two", "01_one"]),
        ],
    )
    def test_by_name(self, folder, names, found):
        assert [p.stem for p in notebooks.find_notebooks(names, folder=folder)] == found

    @pytest.mark.parametrize("name", ["1", "03", "one", "", "03_x.ipynb"])
    def test_unknown_name_lists_the_known(self, folder, name):
        with pytest.raises(ValueError, match="01_one, 02_two, 10_ten"):
            notebooks.find_notebooks([name], folder=folder)


class TestCommandLine:
    @pytest.mark.parametrize(
        "arguments",
        [
            [],
            ["dance"],
            ["notebooks"],
            ["notebooks", "run", "--loud"],
            ["notebooks", "run", "77_nothing"],
            ["notebooks", "check", "--folder", "nowhere"],
        ],
    )
    def test_bad_arguments_get_one_line_and_exit_code_2(self, arguments):
        command = [sys.executable, "-m", "vae_course", *arguments]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 2
        assert done.stdout == ""
        assert done.stderr.startswith("vae-course")
        assert done.stderr.count("\n") == 1

    @pytest.mark.parametrize("arguments", [[], ["notebooks"], ["notebooks", "run"]])
    def test_help_has_an_example(self, arguments, capsys):
        with pytest.raises(SystemExit) as left:
            cli.main([*arguments, "--help"])
        assert left.value.code == 0
        assert "example:\n  vae-course notebooks" in capsys.readouterr().out

    def test_a_missing_extra_is_named(self, monkeypatch, capsys, tmp_path):
        (tmp_path / "00_a.ipynb").write_text(json.dumps(notebook()), encoding="utf-8")
        monkeypatch.setitem(sys.modules, "nbval", None)
        assert cli.main(["notebooks", "check", "--folder", str(tmp_path)]) == 1
        assert 'needs nbval: python -m pip install -e ".[test]"' in capsys.readouterr().err
