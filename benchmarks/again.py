r"""Can every cell be run again after the last one, as students do?

    python -m benchmarks.again             # all notebooks, about half an hour
    python -m benchmarks.again 04b 06

A notebook runs to its end, then its code cells again from the last to the first, but for those that
took longer than `--seconds`. Whatever raises then, a claim too, was broken by a cell below it.
The house rule `names_keep_their_meaning` finds a name that is given anew; this finds as well what
grows, such as a dictionary to which a later cell adds.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from benchmarks.kernels import execute
from vae_course.admin.notebooks import find_notebooks, read_notebook

_BEFORE = """
def _watched():
    import time

    ran, events = [["", time.monotonic()]], get_ipython().events  # this cell ends watched
    events.register("pre_run_cell", lambda info: ran.append([info.raw_cell, time.monotonic()]))
    events.register("post_run_cell", lambda result: ran[-1].append(time.monotonic() - ran[-1][1]))
    return ran


_ran = _watched()
"""
_AFTER = """
def _run_again(most):
    import contextlib, io, json

    wrong, names = [], get_ipython().user_ns
    for position, (source, _, seconds) in reversed(list(enumerate(_ran[1:-1]))):
        if seconds <= most:
            try:
                with contextlib.redirect_stdout(io.StringIO()):
                    exec(source, names)
            except Exception as error:
                wrong.append([position, type(error).__name__, str(error).split("\\n")[0]])
    print(json.dumps(wrong))


_run_again({most})
"""


def run_again(path: Path, most: float) -> list[str]:
    r"""What fails when the cells of a notebook run a second time, the last one first.

    most: seconds that a cell may have taken the first time to be run again
    """
    run = execute(path, before=_BEFORE, after=_AFTER.replace("{most}", repr(most)))
    if run.failures:
        return [f"it doesn't run even once: {failure}" for failure in run.failures]
    cells = read_notebook(path)["cells"]
    numbers = [number for number, cell in enumerate(cells, 1) if cell["cell_type"] == "code"]
    return [
        f"cell {numbers[position]}: {kind}: {words}"
        for position, kind, words in json.loads(run.said)
    ]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="notebooks, such as 03 04b; default: all")
    parser.add_argument("--seconds", type=float, default=3.0, help="default: %(default)s")
    options = parser.parse_args(arguments)
    failed = 0
    for path in find_notebooks(options.names):
        wrong = run_again(path, options.seconds)
        failed += len(wrong)
        print(f"{path.stem}: {'every cell runs again' if not wrong else ''}", *wrong, sep="\n  ")
    return int(failed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
