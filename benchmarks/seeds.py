r"""One training of a notebook, repeated over ten seeds by the notebook's own code.

    python -m benchmarks.seeds             # all of them, over an hour of one core
    python -m benchmarks.seeds 01-sizes    # one, or several

A notebook that holds networks against each other trains each of them once, and takes what they come
to on ten seeds from data/runs/seeds-NAME.csv: `load_results("seeds-01-sizes")`. This command makes
that file. It runs the notebook's cells above the one that reads it and then, for every seed, the
function that stands there: `measure_sizes(seed)`. So the stored numbers come from the code that the
student sees, and the notebook holds its own against them.
"""

from __future__ import annotations

import argparse
import json
import os
import re
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from benchmarks.kernels import execute
from vae_course.admin.notebooks import find_notebooks, read_notebook
from vae_course.files import write_rows

RUNS = Path(__file__).resolve().parent.parent / "data/runs"
SEEDS = 10
_READER = re.compile(r'load_results\("seeds-([\w-]+)"\)')
_AFTER = """
def _all_rows(seeds):
    import json

    rows = []
    for seed in range(seeds):
        found = FUNCTION(seed)
        for row in found[-1] if isinstance(found, tuple) else found:
            rows.append({"seed": seed} | row)
    print("rows:" + json.dumps(rows, default=float))


_all_rows(SEEDS)
"""


def readers(path: Path) -> dict[str, int]:
    r"""The tables that a notebook reads, and the number of the cell that does, counted from 1."""
    found: dict[str, int] = {}
    for number, cell in enumerate(read_notebook(path)["cells"], start=1):
        if cell["cell_type"] == "code":
            found = {name: number for name in _READER.findall(cell["source"])} | found
    return found


def repeat(path: Path, name: str, seeds: int = SEEDS) -> list[dict]:
    r"""The rows of all seeds, each with its seed.

    name: "01-sizes" is made by the notebook's `measure_sizes(seed)`, which returns a list of
        dictionaries, alone or behind other things
    """
    function = "measure_" + name.partition("-")[2].replace("-", "_")
    last = readers(path)[name]
    run = execute(
        path,
        after=_AFTER.replace("FUNCTION", function).replace("SEEDS", str(seeds)),
        change=lambda number, source: source if number < last else "pass",
    )
    if run.failures:
        raise SystemExit(f"{path.name}: {run.failures[0]}")
    return json.loads(run.said.partition("rows:")[2])


def write(name: str, rows: list[dict], folder: Path = RUNS) -> Path:
    path = folder / f"seeds-{name}.csv"
    six_digits = [
        {k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows
    ]
    write_rows(path, six_digits)
    return path


def main(arguments: list[str] | None = None) -> None:
    known = {name: path for path in find_notebooks() for name in readers(path)}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"default: all ({', '.join(known)})")
    names = parser.parse_args(arguments).names or list(known)
    if unknown := [name for name in names if name not in known]:
        parser.error(f"no notebook reads {', '.join(unknown)}; expected {', '.join(known)}")
    for name in names:
        print(write(name, repeat(known[name], name)), flush=True)


if __name__ == "__main__":
    main()
