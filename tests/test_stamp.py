"""Stamping a fork's address: everything in step, nothing else touched, and back again."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from vae_course import cli
from vae_course.admin import stamp
from vae_course.admin.notebooks import bootstrap_source, read_notebook

ROOT = Path(__file__).parent.parent
HOME = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
HOME = HOME["Repository"]
FORK = "/".join(("https:", "", "github.com", "A-Teacher", "vae.course_2"))  # stands nowhere


@pytest.fixture(scope="module")
def texts():
    """The text files of this checkout."""
    return {path.relative_to(ROOT): path.read_bytes() for path in stamp.text_files(ROOT)}


@pytest.fixture
def tree(texts, tmp_path):
    """A copy of them, without git."""
    for name, content in texts.items():
        target = tmp_path / "tree" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return tmp_path / "tree"


def contents(root):
    return {p.relative_to(root): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def place(address):
    return "/".join(address.split("/")[-2:])


@pytest.mark.parametrize("branch", [None, "term-2"])
def test_there_and_back(tree, branch):
    before = contents(tree)
    changed = stamp.stamp(tree, FORK, branch=branch)
    after = contents(tree)
    assert [tree / name for name in sorted(before) if before[name] != after[name]] == changed != []
    for name, text in after.items():  # the old address is nowhere, and only addresses have changed
        assert place(HOME).encode() not in text, name
        if branch is None:
            assert text.replace(place(FORK).encode(), place(HOME).encode()) == before[name], name
    assert stamp.stamp(tree, FORK, branch=branch) == []
    stamp.stamp(tree, HOME, branch="main")
    assert contents(tree) == before


@pytest.mark.parametrize("branch", ["main", "term-2"])
def test_all_in_step(tree, branch):
    stamp.stamp(tree, FORK, branch=branch)
    assert stamp.read_address(tree) == (FORK, branch)
    at = "" if branch == "main" else f"@{branch}"
    assert f"repository-code: {FORK}\n" in (tree / "CITATION.cff").read_text(encoding="utf-8")
    assert f"]({FORK}/actions/" in (tree / "README.md").read_text(encoding="utf-8")
    notebooks = list((tree / "notebooks").glob("*.ipynb"))
    assert notebooks
    for path in notebooks:
        first, *_, code = (c["source"] for c in _until_code(read_notebook(path)["cells"]))
        link = f"colab.research.google.com/github/{place(FORK)}/blob/{branch}/notebooks/{path.name}"
        assert link in first
        assert code.startswith(bootstrap_source().replace(f"git+{HOME}", f"git+{FORK}{at}"))


def _until_code(cells):
    for cell in cells:
        yield cell
        if cell["cell_type"] == "code":
            return


def test_every_file_with_the_address_is_found(tree):
    """Whatever comes later and repeats the address, a first cell or a badge, is stamped too."""
    (tree / "assignments").mkdir(exist_ok=True)
    later = tree / "assignments" / "later.ipynb"
    later.write_bytes(f'{{"source": ["git+{HOME}\\"", "{HOME}.git", "{HOME}."]}}'.encode())
    site = tree / "site.txt"
    owner, name = place(HOME).split("/")
    site.write_bytes(f"https://{owner}.github.io/{name}/01.html\r\n".encode())
    stamp.stamp(tree, FORK)
    assert later.read_text() == f'{{"source": ["git+{FORK}\\"", "{FORK}.git", "{FORK}."]}}'
    owner, name = place(FORK).split("/")
    assert site.read_bytes() == f"https://{owner}.github.io/{name}/01.html\r\n".encode()


@pytest.mark.parametrize("tail", ["-2", "2", "_x", ".x"])
def test_another_repository_with_a_longer_name_stays(tree, tail):
    other = tree / "other.md"
    other.write_text(f"{HOME}{tail}")
    stamp.stamp(tree, FORK)
    assert other.read_text() == f"{HOME}{tail}"


def test_refuses_what_could_not_be_undone(tree):
    (tree / "credits.md").write_text(f"thanks to {FORK}")
    before = contents(tree)
    with pytest.raises(ValueError, match=r"credits\.md.*--from"):
        stamp.stamp(tree, FORK)
    assert contents(tree) == before


def test_after_a_merge_the_old_address_is_replaced_once_more(tree):
    stamp.stamp(tree, FORK, branch="term-2")
    stamped = contents(tree)
    merged = tree / "notebooks" / "01_autoencoders.ipynb"
    merged.write_bytes((ROOT / "notebooks" / merged.name).read_bytes())
    assert stamp.stamp(tree, FORK) == []
    assert stamp.stamp(tree, FORK, old=HOME) == [merged]
    assert contents(tree) == stamped


def test_git_decides_what_is_text_of_the_project(tree):
    subprocess.run(["git", "init", "-q"], cwd=tree, check=True)
    (tree / ".gitignore").write_text("mine/\n")
    (tree / "mine").mkdir()
    (tree / "mine" / "notes.md").write_text(HOME)
    stamp.stamp(tree, FORK)
    assert (tree / "mine" / "notes.md").read_text() == HOME


@pytest.mark.parametrize(
    "bad",
    ["vae-course", "https://gitlab.com/a/b", "https://github.com/a", "https://github.com/a/b/c"],
)
def test_a_bad_address_is_a_bad_argument(bad, capsys):
    with pytest.raises(SystemExit) as left:
        cli.main(["stamp", bad])
    assert left.value.code == 2
    assert "https://github.com/OWNER/REPOSITORY" in capsys.readouterr().err


def test_command(tree, capsys):
    assert cli.main(["stamp", f"{FORK}.git", "--folder", str(tree)]) == 0
    assert "pip install --no-deps -e ." in capsys.readouterr().out
    assert cli.main(["stamp", FORK, "--folder", str(tree)]) == 0
    assert "already" in capsys.readouterr().out
    assert cli.main(["stamp", FORK, "--folder", str(tree.parent)]) == 2
    assert "is no checkout of the course" in capsys.readouterr().err


def test_is_light():
    code = "import sys, vae_course.admin.stamp; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
