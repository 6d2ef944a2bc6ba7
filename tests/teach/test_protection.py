"""The parts of the protection, one by one: restoring, guarding, picturing, fencing."""

import copy
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import tiny
import torch

from teach_tools import cell_of
from vae_course import checks, cli, losses
from vae_course.teach import fence, fingerprint, guard, release, restore, verify


@pytest.fixture(scope="module")
def master(tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "it.ipynb"
    nbformat.write(tiny.source(), path)
    return restore.master(path)


def restored(master, change):
    notebook = copy.deepcopy(master)
    change(notebook)
    made, found = restore.restore(notebook, master)
    return {c.metadata.nbgrader.grade_id: c for c in made.cells if "nbgrader" in c.metadata}, found


class TestRestore:
    def test_untouched_stays_as_it_is(self, master):
        cells, found = restored(master, lambda notebook: None)
        assert found == [] and set(tiny.TESTS) < set(cells)

    def test_hidden_tests_come_back(self, master):
        def as_released(notebook):
            for name in tiny.TESTS:
                cell = cell_of(notebook, name)
                cell.source = restore.visible(cell.source)

        cells, found = restored(master, as_released)
        assert "twice(3) == 6" in cells["test-bonus-twice"].source and found == []

    def test_points_and_cell_types_are_the_assignments(self, master):
        def cheat(notebook):
            cell_of(notebook, "test-answers").metadata.nbgrader.points = 99
            cell_of(notebook, "test-answers").cell_type = "markdown"
            cell_of(notebook, "code-gaussian_kl").cell_type = "raw"

        cells, found = restored(master, cheat)
        assert cells["test-answers"].metadata.nbgrader.points == 3
        assert cells["test-answers"].cell_type == cells["code-gaussian_kl"].cell_type == "code"
        assert any("had become raw" in sentence for sentence in found)

    def test_missing_test_stands_behind_what_it_tests(self, master):
        notebook = copy.deepcopy(master)
        gone = cell_of(notebook, "test-gaussian_kl")
        notebook.cells.remove(gone)
        made, _ = restore.restore(notebook, master)
        names = [c.metadata.get("nbgrader", {}).get("grade_id") for c in made.cells]
        assert names.index("test-gaussian_kl") == names.index("code-gaussian_kl") + 1

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
    def test_what_is_no_notebook_is_said(self, tmp_path, content, said):
        path = tmp_path / "x.ipynb"
        path.write_bytes(content)
        with pytest.raises(restore.Unreadable, match=said):
            restore.read(path)

    def test_identifier_is_read(self, master):
        assert restore.says_student(master) == "your-id"


class TestLeaks:
    def test_solution_text_in_a_release_is_found(self, tmp_path):
        path = tmp_path / "it.ipynb"
        nbformat.write(tiny.source(), path)
        whole = nbformat.writes(tiny.source()).encode()
        assert any("log_var.exp()" in line for line in release.leaks(path, whole))
        assert any("BEGIN HIDDEN" in line for line in release.leaks(path, whole))


class TestGuard:
    @pytest.mark.parametrize(
        "source",
        [
            "().__class__.__base__.__subclasses__()",
            "f.__globals__['x']",
            "torch.os.system('ls')",
            "torch._C.TensorBase",
            "operator.attrgetter('__globals__')",
            "def __torch_function__(): pass",
            "e.__traceback__.tb_frame.f_back",
        ],
    )
    def test_reaching_for_the_insides_is_seen(self, source):
        assert guard.objections(source)

    def test_ordinary_code_is_not(self):
        source = (
            "import os\nfrom __future__ import annotations\n"
            "class Net(torch.nn.Module):\n    def __init__(self):\n        super().__init__()\n"
            "if __name__ == '__main__':\n    x = Net()(y)\n"
        )
        assert guard.objections(source) == []

    def run(self, source, course=None):
        refused = []
        space = guard.namespace(course or {}, refused)
        exec(compile(source, "<your cell>", "exec"), space)
        return space, refused

    def test_having_a_forbidden_module_is_fine_and_calling_it_is_not(self):
        assert self.run("import os\nos.environ['A'] = '1'\nfrom sys import path")[1] == []
        for source in ("import os\nos.getcwd()", "open('x')", "eval('1')"):
            with pytest.raises(guard.NotWhileGraded):
                self.run(source)

    def test_attribute_names_made_at_run_time_are_refused(self):
        with pytest.raises(guard.NotWhileGraded):
            self.run("import torch\ngetattr(torch, 'o' + 's')")

    def test_parts_of_the_course_that_the_assignment_does_not_use_are_refused(self):
        space, _ = self.run("from vae_course import losses", {"losses": losses})
        assert space["losses"] is losses
        with pytest.raises(ImportError, match="not part of this assignment"):
            self.run("from vae_course import variants", {"losses": losses})


class TestFingerprint:
    @pytest.mark.parametrize(
        "owner, name",
        [(torch, "allclose"), (torch.Tensor, "allclose"), (checks, "_verdict"),
         (checks.Verdict, "passed"), (losses, "gaussian_kl")],
    )  # fmt: skip
    def test_replacing_is_seen(self, monkeypatch, owner, name):
        before = fingerprint.take()
        monkeypatch.setattr(owner, name, lambda *args: True)
        assert any(entry.endswith(f".{name}") for entry in fingerprint.changed(before))

    def test_changing_the_code_inside_is_seen(self, monkeypatch):
        before = fingerprint.take()
        monkeypatch.setattr(losses.gaussian_kl, "__code__", (lambda mean, log_var: 1).__code__)
        assert "vae_course.losses.gaussian_kl" in fingerprint.changed(before)

    def test_nothing_happened(self):
        before = fingerprint.take()
        torch.randn(3).sum()
        torch.Tensor.mine = 3
        try:
            assert fingerprint.changed(before) == []
        finally:
            del torch.Tensor.mine


class TestBorrowing:
    def borrowed(self, source):
        space = guard.namespace({}, [])
        space |= {"losses": losses, "solved": checks.exercise("gaussian_kl").reference}
        exec(compile(source, "<your cell>", "exec"), space)
        return verify.borrowed_from_course(checks.exercise("gaussian_kl"), space["f"], 1)

    def test_wrappers_are_seen(self):
        assert "gaussian_kl" in self.borrowed("def f(m, v): return losses.gaussian_kl(m, v)")
        assert "gaussian_kl" in self.borrowed("def f(m, v, g=solved): return g(m, v)")

    def test_own_work_is_not_accused(self):
        own = "def f(m, v): print('x'); return 0.5 * (m**2 + v.exp() - 1 - v).sum(1)"
        assert self.borrowed(own) == ""


def _fenced(folder, outside, pipe):
    fence.shut([folder], [])
    seen = {}
    for name, action in {
        "inside": lambda: Path(folder, "x").write_text("x"),
        "outside": lambda: Path(outside, "x").write_text("x"),
        "read": lambda: Path(outside, "kept").read_text(),
        "program": lambda: subprocess.run([sys.executable, "--version"], check=True),
    }.items():
        try:
            action()
            seen[name] = True
        except OSError:
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
    assert not (outside / "x").exists()


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
