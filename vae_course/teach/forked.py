r"""What runs in child processes. Loaded once in a server, from which each child is forked.

The server never runs anything of a student's: every child starts from the same clean state, without
the seconds that importing torch and nbgrader takes.
"""

from __future__ import annotations

import os
import tempfile

from vae_course import data, losses, models, plots  # what assignments import
from vae_course.teach import verify, worker

verify.preload()
assert data and losses and models and plots


def execute(job: dict, pipe) -> None:
    r"""nbgrader's part; sends '' or what went wrong."""
    os.setsid()
    os.environ.clear()
    os.environ.update(job["environment"])
    tempfile.tempdir = None  # the server's is not for us
    os.chdir(job["root"])
    log = os.open("worker.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(log, stream)
    try:
        worker.run(job["root"], job["name"], job["student"], job["limits"])
        pipe.send_bytes(b"")
    except Exception as error:
        pipe.send_bytes(f"{type(error).__name__}: {str(error)[-1500:]}".encode())
    pipe.close()


def check(job: dict, pipe) -> None:
    r"""The independent check; sends its result as JSON, or nothing if it breaks down."""
    os.setsid()
    verify.run(job, pipe)
