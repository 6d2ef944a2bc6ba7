"""The Dockerfile, mybinder's files and the dev container: what can be said without an image."""

import json
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
NAMES = {"pytorch": "torch", "matplotlib-base": "matplotlib"}


def docker_lines():
    text = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_binder_installs_what_the_course_and_the_lab_need():
    listed = yaml.safe_load((ROOT / ".binder" / "environment.yml").read_text("utf-8"))
    found = {r.name: r.specifier for r in map(Requirement, listed["dependencies"])}
    assert found.pop("python") == SpecifierSet(PROJECT["requires-python"])
    assert found.pop("pip") == SpecifierSet()
    wanted = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["lab"]
    expected = {r.name: r.specifier for r in map(Requirement, wanted)}
    assert {NAMES.get(name, name): s for name, s in found.items()} == expected


def test_binder_then_installs_the_course():
    script = ROOT / ".binder" / "postBuild"
    assert script.stat().st_mode & 0o111
    subprocess.run(["bash", "-n", str(script)], check=True)
    assert "pip install --no-deps -e ." in script.read_text("utf-8")


def test_threads_that_wait_soon_sleep_in_both():
    said = {"PATH": os.environ["PATH"]}  # binder's start gets the command that it shall run
    start = [str(ROOT / ".binder" / "start"), "bash", "-c", "echo $GOMP_SPINCOUNT"]
    done = subprocess.run(start, env=said, capture_output=True, text=True, check=True)
    assert done.stdout == "30000\n"
    assert "ENV GOMP_SPINCOUNT=30000" in docker_lines()


def test_the_image_is_made_of_what_there_is():
    lines = docker_lines()
    words = [line.split()[0] for line in lines]
    assert words == ["FROM", "ARG", "RUN", "COPY", "RUN", "USER", "WORKDIR", "ENV", "EXPOSE", "CMD"]
    version = re.search(r"python:(\S+)-slim", lines[0])[1]
    assert SpecifierSet(PROJECT["requires-python"]).contains(f"{version}.0")
    install = lines[4]
    extras = re.search(r"/opt/vae-course\[([\w,]+)\]", install)[1].split(",")
    assert set(extras) <= set(PROJECT["optional-dependencies"])
    subprocess.run(["bash", "-n", "-c", install.removeprefix("RUN")], check=True)


def test_the_dev_container_is_the_image_with_the_course_of_the_clone():
    folder = ROOT / ".devcontainer"
    said = json.loads((folder / "devcontainer.json").read_text("utf-8"))
    assert (folder / said["build"]["dockerfile"]).resolve() == ROOT / "Dockerfile"
    assert (folder / said["build"]["context"]).resolve() == ROOT
    assert f"USER {said['remoteUser']}" in docker_lines()
    assert f"EXPOSE {said['forwardPorts'][0]}" in docker_lines()
    # The image has a copy in a folder of root's; this one is the folder that is open.
    assert said["postCreateCommand"] == "python -m pip install --user --no-deps -e ."


@pytest.mark.skipif(
    shutil.which("docker") is None
    or subprocess.run(["docker", "info"], capture_output=True, check=False).returncode != 0,
    reason="needs a running Docker",
)
def test_the_image_grades(tmp_path):
    tag = "vae-course:test"
    subprocess.run(["docker", "build", "-t", tag, str(ROOT)], check=True)
    run = ["docker", "run", "--rm", "--network", "none", "-v", f"{tmp_path}:/course", tag]
    tmp_path.chmod(0o777)
    release = ["vae-course", "teach", "release", "04", "--course", "/course"]
    subprocess.run([*run, *release], check=True)
    assert (tmp_path / "release" / "04_kl_loss" / "04_kl_loss.ipynb").exists()
