r"""Starting the child processes of a grading, and ending them with all that they started."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import shutil
import site
import sys
from pathlib import Path

from ._course import TeachError, write, write_json

KEPT = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "CONDA_PREFIX")


def context():
    r"""Where children come from. Raises: TeachError on Windows."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        raise TeachError(
            "grading needs Linux or macOS. On Windows run it in WSL, in a container, or on a "
            "server."
        )
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(["vae_course.teach.forked"])
    return found


def ask(target: str, job: dict, seconds: float) -> tuple[bytes | None, str]:
    r"""Run a function of `forked` in a child; returns what it sent, or None and why not."""
    receive, send = context().Pipe(duplex=False)
    child = context().Process(target=_start, args=(target, job, send), daemon=True)
    child.start()
    send.close()
    answer = None
    try:
        if not receive.poll(seconds):
            return None, f"stopped after {seconds:.0f} s"
        answer = receive.recv_bytes()
        return answer, ""
    except EOFError:
        child.join(5)
        return None, f"its process ended early (exit code {child.exitcode})"
    finally:
        receive.close()
        _end(child, answer is not None)


def _start(target: str, job: dict, pipe) -> None:
    r"""In the child: `forked` is loaded there, and not in the process that asks."""
    from vae_course.teach import forked

    getattr(forked, target)(job, pipe)


def _end(child, sent: bool) -> None:
    r"""Let the child finish, then end it and everything that it started."""
    import psutil

    started: list = []
    with contextlib.suppress(psutil.Error):
        started += psutil.Process(child.pid).children(recursive=True)
        child.join(10 if sent else 0)
        started += psutil.Process(child.pid).children(recursive=True)
    for process in started:
        with contextlib.suppress(psutil.Error):
            process.kill()
    if child.is_alive():
        child.kill()
        child.join(10)


def surroundings(scratch: Path, name: str, student: str, limits: dict) -> dict:
    r"""Folders, environment and fence for one submission below `scratch`."""
    work = scratch / "autograded" / student / name
    home, temporary = scratch / "home", scratch / "tmp"
    for folder in (work, home, temporary, scratch / "jupyter"):
        folder.mkdir(parents=True)
    environment = {key: os.environ[key] for key in KEPT if key in os.environ}
    environment |= {
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "IPYTHONDIR": str(home / "ipython"),
        "JUPYTER_CONFIG_DIR": str(home / "jupyter"),
        "JUPYTER_DATA_DIR": str(home / "jupyter"),
        "JUPYTER_NO_CONFIG": "1",
        "JUPYTER_PATH": str(scratch / "jupyter"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "MPLCONFIGDIR": str(home / "matplotlib"),
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUSERBASE": site.getuserbase(),
        "PYTHONWARNINGS": "ignore",
        "TQDM_DISABLE": "1",
        "VAE_COURSE_STUDENT": student,
    }
    read = _shared_data(environment)
    _fonts(home / "matplotlib")
    fence = {
        "limits": {"memory_mb": limits["memory_mb"]},
        "write": [str(work), str(home), str(temporary)],
        "read": read,
    }
    write_json(scratch / "fence.json", fence)
    kernel = [sys.executable, "-m", "vae_course.teach.kernel", str(scratch / "fence.json")]
    spec = {"argv": [*kernel, "-f", "{connection_file}"], "display_name": "Python 3",
            "language": "python"}  # fmt: skip
    write(scratch / "jupyter" / "kernels" / "python3" / "kernel.json", json.dumps(spec))
    fence["read"].append(str(scratch / "fence.json"))
    return {"environment": environment, "fence": fence}


def _shared_data(environment: dict[str, str]) -> list[str]:
    r"""Let submissions read the data sets that the instructor has, and not store their own."""
    from vae_course.files import cache_folder

    folder = cache_folder()
    if not folder.is_dir():
        return []
    environment["VAE_COURSE_DATA"] = str(folder)
    return [str(folder)]


def _fonts(folder: Path) -> None:
    r"""matplotlib's list of fonts, which takes seconds to make anew."""
    import matplotlib

    folder.mkdir(parents=True)
    for path in Path(matplotlib.get_cachedir()).glob("fontlist-*.json"):
        shutil.copy(path, folder)
