r"""Starting the child process of a grading, and ending it with all that it started."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import shutil
import site
import sys
from pathlib import Path

from vae_course.files import cache_folder

from .course import TeachError, write

KEPT = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "CONDA_PREFIX")


def context():
    r"""Where children come from: a warm process that runs nothing of a student's.

    Raises: TeachError on Windows.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        raise TeachError(
            "grading needs Linux or macOS. On Windows run it in WSL, in a container, or on a "
            "server."
        )
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(["vae_course.teach.worker"])
    return found


def run(job: dict, seconds: float) -> str:
    r"""Grade one submission in a child; returns '' or what went wrong."""
    receive, send = context().Pipe(duplex=False)
    child = context().Process(target=_start, args=(job, send), daemon=True)
    child.start()
    send.close()
    sent = False
    try:
        if not receive.poll(seconds):
            return f"stopped after {seconds:.0f} s"
        answer, sent = receive.recv_bytes(), True
        return answer.decode()
    except EOFError:
        child.join(5)
        return f"its process ended early (exit code {child.exitcode})"
    finally:
        receive.close()
        _end(child, sent)


def _start(job: dict, pipe) -> None:
    r"""In the child: `worker` is loaded there, and not in the process that asks."""
    from vae_course.teach import worker

    worker.execute(job, pipe)


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


def surroundings(root: Path, work: Path, student: str, memory_mb: int) -> dict:
    r"""Environment and fence for one submission in folders below `root`; `work` is its own."""
    import matplotlib

    home, temporary, jupyter = root / "home", root / "tmp", root / "jupyter"
    for folder in (home / "matplotlib", temporary):
        folder.mkdir(parents=True)
    environment = {key: os.environ[key] for key in KEPT if key in os.environ} | {
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "IPYTHONDIR": str(home / "ipython"),
        "JUPYTER_CONFIG_DIR": str(home / "jupyter"),
        "JUPYTER_DATA_DIR": str(home / "jupyter"),
        "JUPYTER_NO_CONFIG": "1",
        "JUPYTER_PATH": str(jupyter),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "MPLCONFIGDIR": str(home / "matplotlib"),
        "OMP_NUM_THREADS": "1",
        "PIP_NO_INDEX": "1",  # `!pip install` says at once that it can't
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUSERBASE": site.getuserbase(),
        "PYTHONWARNINGS": "ignore",
        "TQDM_DISABLE": "1",
        "VAE_COURSE_STUDENT": student,
    }
    kernel = {"argv": [sys.executable], "display_name": "Python 3", "language": "python",
              "metadata": {"kernel_provisioner": {"provisioner_name": "forked"}}}  # fmt: skip
    write(jupyter / "kernels" / "python3" / "kernel.json", json.dumps(kernel))
    data = str(cache_folder())  # the data sets that the instructor has: none stores its own
    if Path(data).is_dir():
        environment["VAE_COURSE_DATA"] = data
    fence = {"write": [str(work), str(home), str(temporary)], "read": [data]}
    for path in Path(matplotlib.get_cachedir()).glob("fontlist-*.json"):  # takes seconds to make
        shutil.copy(path, home / "matplotlib")
    return {"environment": environment, "fence": fence, "memory_mb": memory_mb, "work": str(work)}
