"""What the tests of grading share: the command, and the cells of an assignment by their name."""

import subprocess
import sys


def teach(*arguments, course, check=True, env=None):
    """`vae-course teach …`; succeeds, unless check is False, and never ends in a traceback."""
    command = [sys.executable, "-m", "vae_course", "teach", *map(str, arguments)]
    done = subprocess.run(
        [*command, "--course", str(course)], capture_output=True, text=True, timeout=6000, env=env
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return done


def chosen(request, test):
    """The parameters that this run asks a test for: all, or a share of them."""
    items = [item for item in request.session.items if item.originalname == test]
    return [value for item in items for value in item.callspec.params.values()]


def cell_of(notebook, grade_id):
    return next(
        cell for cell in notebook.cells
        if cell.metadata.get("nbgrader", {}).get("grade_id") == grade_id
    )  # fmt: skip
