"""What has to be said in several files is the same in all of them."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest
import yaml
from nbclient import NotebookClient
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

import vae_course
from vae_course.admin.notebooks import bootstrap_source, repository_address

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ADDRESS = PROJECT["urls"]["Repository"]
CONDA_TO_PIP = {"pytorch": "torch", "matplotlib-base": "matplotlib"}
COMMANDS = {
    "lab": 'python -m pip install -e ".[lab]" && python -m vae_course start',
    "lab with uv": "uv run --extra lab vae-course start",
    "test": 'python -m pip install -e ".[lab,test]" && python -m pytest',
    "test with uv": "uv run --extra lab --extra test python -m pytest",
}


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


def requirements(*extras):
    listed = list(PROJECT["dependencies"])
    for extra in extras:
        listed += PROJECT["optional-dependencies"][extra]
    return {r.name: r.specifier for r in map(Requirement, listed)}


def pins(name):
    lines = [line for line in text(name).splitlines() if line and not line.startswith("#")]
    return {name: Version(version) for name, version in (line.split("==") for line in lines)}


class TestConda:
    environment = yaml.safe_load(text("environment.yml"))

    def test_same_packages_and_versions_as_pyproject(self):
        conda = [entry for entry in self.environment["dependencies"] if isinstance(entry, str)]
        found = {r.name: r.specifier for r in map(Requirement, conda)}
        assert found.pop("python") == SpecifierSet(PROJECT["requires-python"])
        assert found.pop("pip") == SpecifierSet()
        assert {CONDA_TO_PIP.get(n, n): s for n, s in found.items()} == requirements("lab", "test")

    def test_pip_installs_the_course_alone(self):
        pip = [entry for entry in self.environment["dependencies"] if isinstance(entry, dict)]
        assert pip == [{"pip": ["-e .[lab,test]"]}]

    def test_channels(self):
        assert self.environment["channels"] == ["conda-forge", "nodefaults"]


class TestReadme:
    @pytest.mark.parametrize("command", COMMANDS.values())
    def test_prints_the_commands(self, command):
        assert f"\n{command}\n" in text("README.md")

    def test_ci_runs_the_test_command(self):
        assert COMMANDS["test"] in [line.strip() for line in text(".ci/run").splitlines()]
        assert "bash .ci/run" in text(".github/workflows/ci.yml")

    def test_links_lead_somewhere(self):
        for name in ("README.md", "CONTRIBUTING.md", "data/README.md", "notebooks/README.md"):
            links = re.findall(r"\]\(([^)#\s]+)[^)]*\)|\bsrc=\"([^\"]+)\"", text(name))
            relative = [a or b for a, b in links if "://" not in (a or b)]
            lost = [link for link in relative if not (ROOT / name).parent.joinpath(link).exists()]
            assert lost == [], f"{name} links to what is not there"

    def test_the_table_links_every_notebook_and_no_other(self):
        linked = set(re.findall(r"\]\((notebooks/\w+\.ipynb)\)", text("README.md")))
        assert linked == {f"notebooks/{path.name}" for path in ROOT.glob("notebooks/*.ipynb")}

    def test_modules_that_it_maps_exist(self):
        named = set(re.findall(r"\| `(\w+)(?:\.py|/)` \|", text("README.md")))
        package = ROOT / "vae_course"
        there = {p.stem for p in package.iterdir() if p.suffix == ".py" or p.is_dir()}
        assert named == {name for name in there if not name.startswith("_")}


class TestAddress:
    def test_one_address_everywhere(self):
        owner = re.escape(ADDRESS.split("/")[-2])
        for name in ("README.md", "CITATION.cff", "CONTRIBUTING.md", "CHANGELOG.md"):
            for found in re.findall(rf"github(?:\.com)?/{owner}/[\w-]+", text(name)):
                assert found.split("/")[-2:] == ADDRESS.split("/")[-2:], name
        assert f"git+{ADDRESS}" in bootstrap_source()
        assert yaml.safe_load(text("CITATION.cff"))["repository-code"] == ADDRESS

    def test_installed_metadata_is_fresh(self):
        assert repository_address() == ADDRESS, "install again: python -m pip install -e ."

    def test_badges(self):
        badges = re.findall(r"\[!\[[^\]]*\]\((\S+?)\)\]\((\S+?)\)", text("README.md"))
        assert badges
        place = "/".join(ADDRESS.split("/")[-2:])
        assert all(f"/{place}/" in link for _, link in badges), badges


class TestVersion:
    def test_the_same_everywhere(self):
        assert vae_course.__version__ == PROJECT["version"]
        assert yaml.safe_load(text("CITATION.cff"))["version"] == PROJECT["version"]
        assert re.search(r"^## (\S+)", text("CHANGELOG.md"), re.MULTILINE)[1] == PROJECT["version"]

    def test_core_stays_within_colab(self):
        """What Colab has preinstalled is new enough, so that the course changes nothing there."""
        core, colab = requirements("train"), pins("tests/environments/colab.txt")
        assert len(core.keys() & colab.keys()) >= 9
        for name in core.keys() & colab.keys():
            assert colab[name] in core[name], name

    def test_the_oldest_versions_are_the_lower_bounds(self):
        oldest = pins("constraints-oldest.txt")
        for name, specifier in requirements("lab", "test").items():
            (bound,) = [Version(one.version) for one in specifier if one.operator == ">="]
            assert oldest[name] == bound, name

    def test_constraints_pin_every_direct_dependency_within_its_range(self):
        pinned = pins("constraints.txt")
        wanted = requirements("lab", "test")
        assert pinned.keys() == wanted.keys()
        assert all(pinned[name] in wanted[name] for name in wanted)


class TestImport:
    HEAVY = ("torch", "numpy", "matplotlib", "sklearn", "seaborn", "ipywidgets", "IPython")

    @pytest.mark.parametrize("module", ["", ".cli", ".admin.notebooks"])
    def test_loads_nothing_heavy(self, module):
        code = f"import json, sys, vae_course{module}; print(json.dumps(sorted(sys.modules)))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
        assert not set(self.HEAVY) & set(json.loads(done.stdout))


ANNOUNCED = [DeprecationWarning, PendingDeprecationWarning, FutureWarning]


class TestAnnouncedRemovals:
    """A call of ours that a library announces to remove fails; a library's own call does not."""

    @pytest.mark.parametrize("category", ANNOUNCED)
    @pytest.mark.parametrize("module", ["vae_course.module", "test_module", "house_rules.x", ""])
    def test_in_the_package_and_the_tests(self, category, module):
        names = {"kind": category} | ({"__name__": module} if module else {})
        with pytest.raises(category):
            exec("import warnings; warnings.warn('old', kind)", names)

    def test_in_a_notebook(self):
        """Cells, and modules of the package that they call; conftest.py says it to the kernels."""
        kinds = ["DeprecationWarning", "FutureWarning"]
        places = ["__main__", "vae_course.data", "vae_course.checks", "vae_course.checks.sandbox"]
        fine = ["torch.module"]
        cell = f"""
passed = []
for place in {[*places, *fine]}:
    for kind in {kinds}:
        try:
            exec(f"import warnings; warnings.warn('old', {{kind}})", {{"__name__": place}})
        except Warning:
            continue
        passed.append((place, kind))
print(passed)"""
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
        NotebookClient(notebook, timeout=120).execute()
        printed = [o["text"] for o in notebook.cells[0].outputs if o.get("name") == "stdout"]
        assert printed == [f"{[(place, kind) for place in fine for kind in kinds]}\n"]
