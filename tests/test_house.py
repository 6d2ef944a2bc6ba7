"""The plan of the house holds: arrows point one way, and a room's private names stay inside it."""

import ast
from pathlib import Path

import pytest
from importlinter import cli

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "vae_course"
FILES = sorted(PACKAGE.rglob("*.py"))


def test_imports_keep_to_the_plan_of_pyproject(monkeypatch, capsys):
    """Imports inside functions count. `lint-imports` shows the same on the command line."""
    monkeypatch.chdir(ROOT)
    status = cli.lint_imports(no_cache=True)
    assert status == cli.EXIT_STATUS_SUCCESS, capsys.readouterr().out


def room(module: str) -> str:
    """vae_course.metrics.samples → metrics"""
    return module.split(".")[1]


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def reaches_in(file: Path) -> set[str]:
    """Private names of other rooms that a module imports, or takes as an attribute of one."""
    module = ".".join(file.relative_to(ROOT).with_suffix("").parts)
    found, imported = set(), {}
    nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and not node.level and node.module:
            for name in node.names:
                imported[name.asname or name.name] = f"{node.module}.{name.name}"
    ours = {name: path for name, path in imported.items() if path.startswith("vae_course.")}
    paths = set(ours.values()) | {
        f"{ours[node.value.id]}.{node.attr}"
        for node in nodes
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in ours
    }
    for path in paths:
        parts = path.split(".")
        private = [place for place, name in enumerate(parts) if is_private(name)]
        if private and room(path) != room(module):
            found.add(f"{module}: {'.'.join(parts[: private[0] + 1])}")
    return found


def test_no_module_reaches_into_another_rooms_private_names():
    rooms = [file for file in FILES if file.parent != PACKAGE or file.name[0] != "_"]
    found = set().union(*map(reaches_in, rooms))
    assert not found, sorted(found)


def test_reaching_in_is_seen(tmp_path, monkeypatch):
    monkeypatch.setattr("test_house.ROOT", tmp_path)
    file = tmp_path / "vae_course" / "gan.py"
    file.parent.mkdir()
    for line in ("from vae_course.data._x import y", "from vae_course.data import _y",
                 "from vae_course import data\n\ndef f():\n    return data._y"):  # fmt: skip
        file.write_text(line)
        assert reaches_in(file), line
    for line in ("from vae_course.gan import _y", "from vae_course import data\ndata.__doc__",
                 "from torch import _y"):  # fmt: skip
        file.write_text(line)
        assert not reaches_in(file), line


@pytest.mark.parametrize("shard", ["_gan_*.py", "_gpt_*.py", "_rings.py"])
def test_subjects_are_flat_files(shard):
    assert not list(PACKAGE.glob(shard))
