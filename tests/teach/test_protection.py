"""What stands between a submission and a grade, part by part: restoring, leaks, the fence."""

import copy
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import tiny

from teach_tools import cell_of, teach
from vae_course import cli
from vae_course.teach import fence, release, restore


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    path = folder / "source" / tiny.NAME / f"{tiny.NAME}.ipynb"
    path.parent.mkdir(parents=True)
    nbformat.write(tiny.source(), path)
    teach("release", tiny.NAME, "--source", folder / "source", course=folder / "course")
    return nbformat.read(folder / "course" / "release" / tiny.NAME / path.name, as_version=4)


def restored(released, change):
    notebook = copy.deepcopy(released)
    change(notebook)
    made, notes, changed = restore.restore(notebook, released)
    return {c.metadata.nbgrader.grade_id: c for c in made.cells if "nbgrader" in c.metadata}, (
        notes, changed, [c.metadata.get("nbgrader", {}).get("grade_id") for c in made.cells]
    )  # fmt: skip


def without_metadata(notebook):
    for cell in notebook.cells:
        cell.metadata = {}


class TestRestore:
    def test_untouched_stays_as_it_is(self, released):
        cells, (notes, changed, _) = restored(released, lambda notebook: None)
        assert notes == changed == [] and set(tiny.TESTS) < set(cells)

    def test_all_is_known_again_without_metadata(self, released):
        def stripped(notebook):
            tiny.fill(notebook, "ada")
            without_metadata(notebook)

        cells, (notes, changed, order) = restored(released, stripped)
        assert {*tiny.TESTS, "code-gaussian_kl", "written-why"} < set(cells)
        assert cells["written-why"].source == "ada: because the prior is where samples come from."
        assert changed == []
        assert order.index("test-gaussian_kl") == order.index("code-gaussian_kl") + 1

    def test_a_changed_test_is_told_from_one_in_another_form(self, released):
        def edit(notebook):
            cell = cell_of(notebook, "test-gaussian_kl")
            cell.source = "# now\ngraded.check( 'gaussian_kl',gaussian_kl )  # ok"
            cell_of(notebook, "test-answers").source = "3.0"

        _, (_, changed, _) = restored(released, edit)
        assert changed == ["test-answers"]

    @pytest.mark.parametrize("test", tiny.TESTS)
    def test_missing_test_stands_behind_what_it_tests(self, released, test):
        def delete(notebook):
            notebook.cells.remove(cell_of(notebook, test))

        _, (notes, _, order) = restored(released, delete)
        assert order.index(test) == order.index(test.replace("test-", "code-")) + 1
        assert "was missing" in notes[0]

    def test_a_test_above_what_it_tests_moves_behind_it(self, released):
        def move(notebook):
            notebook.cells.insert(3, notebook.cells.pop(4))

        _, (_, _, order) = restored(released, move)
        assert order.index("test-gaussian_kl") == order.index("code-gaussian_kl") + 1


REPLY = "Since samples are drawn from the prior, and nothing else."


def in_a_new_cell(kind, shift, source=REPLY):
    def change(notebook):
        at = notebook.cells.index(cell_of(notebook, "written-why")) + shift
        make = nbformat.v4.new_code_cell if kind == "code" else nbformat.v4.new_markdown_cell
        notebook.cells.insert(at, make(source))

    return change


def in_place(**settings):
    def change(notebook):
        cell = cell_of(notebook, "written-why")
        cell.source = REPLY
        for name, value in settings.items():
            cell[name] = value

    return change


def without_its_cell(notebook):
    in_a_new_cell("markdown", 0)(notebook)
    notebook.cells.remove(cell_of(notebook, "written-why"))


def all_at_the_end(notebook):
    notebook.cells.append(nbformat.v4.new_markdown_cell(REPLY))


def at_the_top(notebook):
    notebook.cells[0].source += f"\n\n{REPLY}"


class TestWrittenAnswers:
    @pytest.mark.parametrize(
        "change",
        [
            in_place(),
            in_place(metadata={}),
            in_place(cell_type="raw"),
            in_place(cell_type="code", metadata={}),
            in_a_new_cell("markdown", 1),
            in_a_new_cell("markdown", 0),
            in_a_new_cell("code", 1),
            in_a_new_cell("code", 1, f"# {REPLY}"),
            in_a_new_cell("code", 0, f'"""{REPLY}"""'),
            without_its_cell,
            all_at_the_end,
            at_the_top,
        ],
    )
    @pytest.mark.parametrize("stripped", [False, True])
    def test_never_vanish(self, released, change, stripped):
        def both(notebook):
            change(notebook)
            if stripped:
                without_metadata(notebook)

        cells, _ = restored(released, both)
        assert REPLY in cells["written-why"].source

    def test_nothing_written_stays_nothing(self, released):
        cells, _ = restored(released, lambda notebook: None)
        assert cells["written-why"].source == "*Your answer here.*"


class TestRead:
    @pytest.mark.parametrize(
        "content, said",
        [
            (b"", "empty"),
            (b"[]", "no list of cells"),
            (b'{"cells": 3}', "no list of cells"),
            (b'{"cells": [1]}', "not a Jupyter notebook"),
            (b'{"cells": [{"cell_type": "code"}]}', "damaged notebook"),
            (b"\xff\xfe\x00", "not a Jupyter notebook"),
            (b"[" * 200_000, "not a Jupyter notebook"),
        ],
    )
    def test_what_is_no_notebook_is_said(self, content, said):
        with pytest.raises(restore.Unreadable, match=said):
            restore.read(content)

    def test_identifier_is_read(self, released):
        assert restore.says_student(released) is None  # not set
        released = copy.deepcopy(released)
        released.cells.append(nbformat.v4.new_code_cell("STUDENT = ' ada '"))
        released.cells.pop(2)
        assert restore.says_student(released) == "ada"


def test_the_checker_tells_its_verdicts_to_the_grader(monkeypatch, shell):
    """Without this the map of mistakes is empty, and every point earned looks odd."""
    from IPython.utils.capture import capture_output

    from vae_course import checks, losses
    from vae_course.teach import witness

    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    with capture_output() as seen:
        checks.check("gaussian_kl", lambda mean, log_var: losses.gaussian_kl(mean, log_var))
    (verdict,) = [o.data[witness.MIME] for o in seen.outputs if witness.MIME in o.data]
    assert (verdict["exercise"], verdict["status"]) == ("gaussian_kl", "passed")


class TestLeaks:
    def test_solution_text_in_a_release_is_found(self, tmp_path):
        path = tmp_path / "it.ipynb"
        nbformat.write(tiny.source(), path)
        whole = nbformat.writes(tiny.source()).encode()
        assert any("log_var.exp()" in line for line in release.leaks(path, whole))
        assert any("BEGIN HIDDEN" in line for line in release.leaks(path, whole))


def _fenced(folder, outside, pipe):
    fence.shut([folder], [])
    seen = {}
    for name, action in {
        "inside": lambda: Path(folder, "x").write_text("x"),
        "outside": lambda: Path(outside, "x").write_text("x"),
        "read": lambda: Path(outside, "kept").read_text(),
        "program": lambda: subprocess.run(
            ["touch", f"{outside}/touched"], check=True, stderr=subprocess.DEVNULL
        ),
    }.items():
        try:
            action()
            seen[name] = True
        except (OSError, subprocess.CalledProcessError):
            seen[name] = False
    pipe.send(seen)


def test_the_fence_holds(tmp_path):
    if not fence.version():
        pytest.skip("this system has no Landlock")
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    (outside / "kept").write_text("kept")
    context = multiprocessing.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    child = context.Process(target=_fenced, args=(str(inside), str(outside), send))
    child.start()
    seen = receive.recv()
    child.join()
    assert seen == {"inside": True, "outside": False, "read": False, "program": False}
    assert sorted(path.name for path in outside.iterdir()) == ["kept"]


def test_without_nbgrader_one_line_says_how_to_install_it(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "nbgrader", None)
    assert cli.main(["teach", "release", "--course", str(tmp_path / "c")]) == 1
    assert capsys.readouterr().err.splitlines() == [
        'vae-course: teaching needs nbgrader: pip install -e ".[teach]" in a clone of the course'
    ]
    assert not os.path.exists(tmp_path / "c")


@pytest.mark.parametrize("arguments", [["teach"], ["teach", "grade"], ["teach", "marks"]])
def test_bad_arguments_end_with_exit_code_2(arguments):
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2


def test_unknown_assignment_lists_what_there_is(capsys, tmp_path):
    assert cli.main(["teach", "grade", "77", "--course", str(tmp_path)]) == 2
    assert "no assignment '77'" in capsys.readouterr().err
