"""One week on a real JupyterHub, with real accounts. Run it in namespaces of its own, as root:

    unshare --mount --pid --fork --mount-proc python tests/teach/hub_round.py SCRATCH

Accounts, /etc, /home and /srv are this process's own and go with it. The settings are those that
docs/on_a_hub.md prints. Prints a line for each step.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import requests
import tiny

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PAGE = (ROOT / "docs" / "on_a_hub.md").read_text("utf-8")
PEOPLE = ("instructor", "ada", "bob")
PORT = 18000
HUB = f"http://127.0.0.1:{PORT}"
NAME = tiny.NAME


def settings(first_line):
    """The block of the page that begins with this comment."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    return next(block for block in blocks if block.startswith(f"# {first_line}\n"))


def run(*command, **more):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **more)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


def own_system(scratch):
    """Folders that are nobody else's, and accounts in them."""
    shutil.copytree("/etc", scratch / "etc", symlinks=True, ignore_dangling_symlinks=True)
    run("mount", "--bind", scratch / "etc", "/etc")
    for folder in ("/home", "/srv"):
        run("mount", "-t", "tmpfs", "tmpfs", folder)
    above = (*Path(sys.prefix).parents, *Path(sys.base_prefix).resolve().parents)
    for number, folder in enumerate(above):
        if not folder.stat().st_mode & 1:  # /root, say, where this Python is: opened only here
            upper, work = scratch / f"upper{number}", scratch / f"work{number}"
            upper.mkdir()
            work.mkdir()
            layers = f"lowerdir={folder},upperdir={upper},workdir={work}"
            run("mount", "-t", "overlay", "overlay", "-o", layers, folder)
            folder.chmod(0o755)
    for person in PEOPLE:
        run("useradd", "-m", "-s", "/bin/bash", person)
        run("chmod", "700", f"/home/{person}")
        run("chpasswd", input=f"{person}:secret-of-{person}")
    exchange = Path("/srv/nbgrader/exchange")
    exchange.mkdir(parents=True)
    exchange.chmod(0o777)
    config = Path("/home/instructor/.jupyter/nbgrader_config.py")
    config.parent.mkdir()
    config.write_text(settings("~/.jupyter/nbgrader_config.py"))
    run("chown", "-R", "instructor", config.parent)
    everybody = Path("/etc/jupyter/nbgrader_config.py")
    everybody.parent.mkdir(exist_ok=True)
    everybody.write_text(settings("/etc/jupyter/nbgrader_config.py"))


def start_hub(scratch):
    kept = {k: v for k, v in os.environ.items()
            if k in ("PATH", "PYTHONPATH", "JUPYTER_PATH", "JUPYTER_CONFIG_PATH")}  # fmt: skip
    lines = settings("jupyterhub_config.py").replace("127.0.0.1:8000", f"127.0.0.1:{PORT}")
    lines += f"c.Spawner.environment = {kept!r}\nc.Spawner.start_timeout = 300\n"
    lines += f"c.Spawner.http_timeout = 300\nc.JupyterHub.hub_port = {PORT + 1}\n"
    lines += f"c.ConfigurableHTTPProxy.api_url = 'http://127.0.0.1:{PORT + 2}'\n"
    (scratch / "jupyterhub_config.py").write_text(lines)
    log = (scratch / "hub.log").open("w")
    return subprocess.Popen(
        [sys.executable, "-m", "jupyterhub", "-f", "jupyterhub_config.py"],
        cwd=scratch, stdout=log, stderr=log,
    )  # fmt: skip


class Person:
    """A browser in which somebody logs in with a password."""

    def __init__(self, name):
        self.name, self.session = name, requests.Session()
        wait(lambda: self.session.get(f"{HUB}/hub/login", timeout=30).ok)
        token = self.session.cookies["_xsrf"]
        answer = self.session.post(
            f"{HUB}/hub/login", timeout=60,
            data={"username": name, "password": f"secret-of-{name}", "_xsrf": token},
        )  # fmt: skip
        assert answer.ok, answer.text
        self.session.get(f"{HUB}/hub/spawn", timeout=300)
        wait(lambda: "/hub/" not in self.get("lab").url)  # until then: pending

    def get(self, path, **params):
        return self.session.get(f"{HUB}/user/{self.name}/{path}", params=params, timeout=300)

    def post(self, path, json=None, **data):
        cookies = [c for c in self.session.cookies if c.name == "_xsrf"]
        token = next(c.value for c in cookies if c.path == f"/user/{self.name}/")
        answer = self.session.post(
            f"{HUB}/user/{self.name}/{path}", headers={"X-XSRFToken": token}, timeout=600,
            data=data or None, json=json,
        )  # fmt: skip
        assert answer.ok, (path, answer.status_code, answer.text)
        found = answer.json()
        assert found.get("success", True), found
        return found

    def command(self, *words):
        """In a terminal of theirs."""
        kept = {k: v for k, v in os.environ.items() if k not in ("HOME", "USER", "LOGNAME")}
        return run("runuser", "-u", self.name, "--", *words, cwd=f"/home/{self.name}",
                   env=kept | {"HOME": f"/home/{self.name}", "USER": self.name})  # fmt: skip


def wait(done, seconds=300):
    end = time.monotonic() + seconds
    while True:
        try:
            if done():
                return
        except (requests.RequestException, KeyError):
            pass
        assert time.monotonic() < end, "it did not come up"
        time.sleep(0.5)


def say(text, start=time.monotonic()):  # noqa: B008
    print(f"{time.monotonic() - start:6.1f} s  {text}", flush=True)


def week(scratch):
    source = scratch / "source" / NAME / f"{NAME}.ipynb"
    source.parent.mkdir(parents=True)
    nbformat.write(tiny.source(), source)
    run("chmod", "-R", "a+rX", scratch)
    teacher = Person("instructor")
    say("instructor is logged in, and has a server")
    teach = (sys.executable, "-m", "vae_course", "teach")
    course = ("--course", "my-course")
    say(teacher.command(*teach, "release", NAME, "--source", source.parents[1], *course).strip())
    assert NAME in teacher.get("formgrader/api/assignments").text, "the formgrader is empty"
    teacher.post(f"formgrader/api/assignment/{NAME}/release")
    say("released through the formgrader")
    students = [Person(name) for name in PEOPLE[1:]]
    for student in students:
        student.post("assignments/fetch", course_id="vae", assignment_id=NAME)
        file = Path(f"/home/{student.name}/{NAME}/{NAME}.ipynb")
        notebook = tiny.fill(nbformat.read(file, as_version=4), student.name, written=False)
        for round_ in ("first", "second"):  # a resubmission: the last one counts
            if round_ == "second":
                tiny.fill(notebook, student.name)
            nbformat.write(notebook, file)
            shutil.chown(file, student.name)
            student.post("assignments/submit", course_id="vae", assignment_id=NAME)
            time.sleep(1.1)  # the exchange tells submissions apart by the second
        say(f"{student.name}: logged in, fetched, submitted twice")
    private = ("/srv/nbgrader/exchange/vae/inbound", "/home/ada")
    others = subprocess.run(["runuser", "-u", "bob", "--", "ls", *private], capture_output=True)
    assert others.returncode and not others.stdout, "bob sees what ada handed in"
    teacher.post(f"formgrader/api/assignment/{NAME}/collect")
    say("collected through the formgrader")
    say(teacher.command(*teach, "grade", NAME, *course).strip().replace("\n", "; "))
    submissions = teacher.get(f"formgrader/api/submissions/{NAME}").json()
    for one in submissions:
        assert one["autograded"] and one["needs_manual_grade"], one
        (notebook,) = teacher.get(f"formgrader/api/submitted_notebooks/{NAME}/{NAME}").json()[:1]
        assert notebook["code_score"] == 13, notebook
        (written,) = (g for g in teacher.get(
            "formgrader/api/grades", submission_id=notebook["id"]).json()
            if g["name"] == "written-why")  # fmt: skip
    page = teacher.get(f"formgrader/submissions/{notebook['id']}/")
    assert page.ok and "because the prior" in page.text
    say("the formgrader shows points and written answers")
    with_points = Path("/home/instructor/my-course/scores") / f"{NAME}-written.csv"
    teacher.command(*teach, "marks", NAME, *course)
    text = with_points.read_text("utf-8").replace("written-why,5,,", "written-why,5,4,Well said.")
    with_points.write_text(text, "utf-8")
    filled = f"my-course/scores/{NAME}-written.csv"
    say(teacher.command(*teach, "marks", NAME, filled, *course).strip())
    say(teacher.command(*teach, "feedback", NAME, *course).strip().replace("\n", "; "))
    teacher.post(f"formgrader/api/assignment/{NAME}/release_feedback")
    for student in students:
        student.post("assignments/fetch_feedback", course_id="vae", assignment_id=NAME)
        (page,) = Path(f"/home/{student.name}/{NAME}/feedback").rglob("*.html")
        text = page.read_text("utf-8")
        assert "15 of 16 points" in text and "Well said." in text
        say(f"{student.name}: fetched the feedback, which says 15 of 16 points")
    assert written
    say(teacher.command(*teach, "scores", NAME, *course).strip())


def main():
    scratch = Path(sys.argv[1])
    own_system(scratch)
    hub = start_hub(scratch)
    try:
        week(scratch)
    except BaseException:
        print((scratch / "hub.log").read_text()[-6000:])
        raise
    finally:
        hub.terminate()
        hub.wait(60)
    say("the hub has ended")


if __name__ == "__main__":
    main()
