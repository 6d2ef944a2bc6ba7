"""`vae-course start`: copies that never cost a student anything, and a page that knows the way."""

import json
import os
import subprocess
import sys

import pytest

from vae_course import checks, cli, progress
from vae_course.admin import start


def cell(source, kind="markdown"):
    extra = {"outputs": [], "execution_count": None} if kind == "code" else {}
    return {"cell_type": kind, "id": str(abs(hash(source)) % 10**8), "metadata": {},
            "source": source, **extra}  # fmt: skip


def notebook(title, text="1 + 1"):
    cells = [cell(f"# {title}\n\n*What is it?*\n"), cell(text, "code")]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


@pytest.fixture
def course(tmp_path):
    source = tmp_path / "course"
    source.mkdir()
    (source / "01_autoencoders.ipynb").write_text(notebook("01 · Autoencoders"))
    (source / "02_transposed.ipynb").write_text(notebook("02 · Transposed convolution"))
    return source, tmp_path / "work"


def test_the_first_start_copies_and_the_second_changes_nothing(course):
    source, work = course
    assert start.copy_notebooks(work, source=source).new == [
        "01_autoencoders.ipynb", "02_transposed.ipynb",
    ]  # fmt: skip
    before = {path: path.read_bytes() for path in work.rglob("*") if path.is_file()}
    assert str(start.copy_notebooks(work, source=source)) == "all notebooks are up to date"
    assert before == {path: path.read_bytes() for path in work.rglob("*") if path.is_file()}


def test_nothing_that_a_student_changed_is_lost(course):
    source, work = course
    start.copy_notebooks(work, source=source)
    mine, own = work / "01_autoencoders.ipynb", work / "notes.ipynb"
    mine.write_text(notebook("01 · Autoencoders", "my_answer = 42"))
    own.write_text("mine")
    for name in ("01_autoencoders", "02_transposed"):
        (source / f"{name}.ipynb").write_text(notebook(name, "better"))
    found = start.copy_notebooks(work, source=source)
    assert "my_answer" in mine.read_text() and own.read_text() == "mine"
    assert found.renewed == ["02_transposed.ipynb"]
    beside = work / found.beside["01_autoencoders.ipynb"]
    assert "better" in beside.read_text()
    assert "stays" in str(found)
    beside.write_text("worked on")
    start.copy_notebooks(work, source=source)  # once more: the copy beside is theirs too
    assert beside.read_text() == "worked on" and "my_answer" in mine.read_text()


def test_a_change_without_a_new_version_makes_no_second_file(course):
    source, work = course
    start.copy_notebooks(work, source=source)
    (work / "01_autoencoders.ipynb").write_text("{}")
    assert not start.copy_notebooks(work, source=source).beside
    assert len(list(work.glob("*.ipynb"))) == 2


def test_a_working_folder_of_before_is_taken_as_the_students(course):
    source, work = course
    work.mkdir()
    (work / "01_autoencoders.ipynb").write_text("an older one, perhaps changed")
    found = start.copy_notebooks(work, source=source)
    assert (work / "01_autoencoders.ipynb").read_text().startswith("an older one")
    assert found.beside


def test_passing_a_check_moves_the_page_on(course, monkeypatch, capsys):
    source, work = course
    start.copy_notebooks(work, source=source)
    assert "its next exercise is `mse_per_image`" in start.page(work)
    monkeypatch.chdir(work)
    space = {}
    exec("import math, torch\n" + checks.solution("mse_per_image"), space)
    checks.check("mse_per_image", space["mse_per_image"])
    assert progress.read(work)["exercises"] == ["mse_per_image"]
    checks.check("mse_per_image", lambda image, reconstruction: image.mean())
    page = start.page(work)
    assert "1 of 4" in page and "`mse_per_image`" not in page and "What is it?" in page


def test_outside_of_a_working_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    progress.record("exercises", "mse_per_image")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_record_stops_nobody(course, monkeypatch):
    source, work = course
    start.copy_notebooks(work, source=source)
    (work / progress.FILE).write_text("{half")
    monkeypatch.chdir(work)
    progress.record("exercises", "mse_per_image")
    assert progress.read(work)["exercises"] == ["mse_per_image"]
    start.copy_notebooks(work, source=source)


def test_the_command(tmp_path, capsys):
    work = tmp_path / "deep" / "work"
    assert cli.main(["start", str(work), "--no-lab"]) == 0
    assert (work / start.PAGE).is_file() and len(list(work.glob("*.ipynb"))) >= 8
    assert "copied" in capsys.readouterr().out


@pytest.mark.parametrize("own", [None, "7"])
def test_jupyterlab_s_threads_soon_sleep_while_they_wait_unless_the_student_says_otherwise(
    tmp_path, monkeypatch, own
):
    seen = {}

    def lab(command, **options):
        seen.update(options.get("env") or os.environ)
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setenv("GOMP_SPINCOUNT", "kept by monkeypatch")  # so that it is put back
    monkeypatch.delenv("GOMP_SPINCOUNT")
    if own:
        monkeypatch.setenv("GOMP_SPINCOUNT", own)
    monkeypatch.setattr(start, "_has_lab", lambda: True)
    monkeypatch.setattr(start.subprocess, "run", lab)
    assert cli.main(["start", str(tmp_path / "work")]) == 0
    assert seen["GOMP_SPINCOUNT"] == (own or "30000")


def test_a_folder_that_cannot_be_made(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert cli.main(["start", str(tmp_path / "file" / "work"), "--no-lab"]) == 1
    assert "vae-course:" in capsys.readouterr().err


def test_copying_loads_nothing_heavy():
    code = "import sys, vae_course.admin.start; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
