r"""What the whole course costs: time, memory and disk of every step, as one table.

    python -m benchmarks.cost                         # imports and notebooks, about ten minutes
    python -m benchmarks.cost notebooks --names 03    # a part
    python -m benchmarks.cost install tests           # the long ones, each in a fresh environment
    python -m benchmarks.cost start                   # fresh clone to first picture, by uv and pip
    python -m benchmarks.cost --table                 # print what has been measured so far
    python -m benchmarks.cost --table --readme > benchmarks/COST.md  # and README's seconds

Each measurement is stored at once (`--out`), so the same command goes on where it was stopped;
`--again` measures anew. Memory is resident memory of a process and its children, sampled; disk is
the largest size of the temporary folder that the step was given, or of the new environment.

Seconds age with the machine. So the matrix products of one standard epoch (`benchmarks.epoch`:
784-400-20, 60,000 digits, batches of 128) are timed before each notebook and before the tests, and
the table gives processor time in that unit as well.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.kernels import code_digest, execute
from benchmarks.machine import NOT_QUIET, Watch, cores, folder_bytes
from vae_course.admin.notebooks import find_notebooks
from vae_course.files import write_whole

ROOT = Path(__file__).resolve().parent.parent
STEPS = ("import", "first", "notebooks", "install", "tests", "start")
# What the course asks for, on two cores.
MOST_SECONDS_IN_ALL, MOST_MEMORY, MOST_SECONDS_TO_FIGURE = 900, 2048, 5
_FIRST_USE = "from vae_course import data, plots; data.load_images(); plots.use_house_style()"


_UNIT = """
import time, statistics, torch
from benchmarks.epoch import matrix_products, new_model
torch.set_num_threads(1)
model, times = new_model("vae", 0), []
for _ in range(3):
    began = time.process_time()
    matrix_products(model, images=60_000, batch_size=128)
    times.append(time.process_time() - began)
print(statistics.median(times))
"""

# The README's two ways to start, in a fresh clone; what `start` would open is run instead.
WAYS = {
    "uv": ["uv run --extra lab vae-course start --no-lab", "uv run --extra lab python"],
    "pip": [
        "{python} -m venv .venv && . .venv/bin/activate && "
        'python -m pip install -q -e ".[lab]" && python -m vae_course start --no-lab',
        "python",
    ],
}
_FIRST_PICTURE = """
import nbformat
from nbclient import NotebookClient
notebook = nbformat.read("vae-course-work/01_autoencoders.ipynb", 4)
client = NotebookClient(notebook, resources={"metadata": {"path": "vae-course-work"}})
with client.setup_kernel():
    for number, cell in enumerate(notebook.cells):
        client.execute_cell(cell, number)
        if any("image/png" in output.get("data", {}) for output in cell.get("outputs", [])):
            break
    else:
        raise SystemExit("no picture")
"""


class Store:
    r"""Measured rows by name, in a JSON file that is written after each."""

    def __init__(self, path: Path):
        self.path = path
        self.rows: dict[str, dict[str, Any]] = (
            json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        )

    def measure(self, name: str, how: Callable[[], dict[str, Any]], *, again: bool) -> None:
        if name in self.rows and not again:
            return
        print(f"{name} …", flush=True)
        threads = os.environ.get("OMP_NUM_THREADS", "as many as cores")
        threads += f", spin count {os.environ.get('GOMP_SPINCOUNT', 'as it comes')}"
        row = how() | {"machine": cores(), "threads": threads, "measured": time.strftime("%F %R")}
        self.rows[name] = row
        write_whole(self.path, json.dumps(self.rows, indent=1, ensure_ascii=False).encode())
        print(f"{name}: {_figures(row)}", flush=True)


def command_cost(command: list[str], *, every: float = 0.02, **options) -> dict[str, Any]:
    r"""A command run to its end, in a temporary folder of its own for temporary files."""
    with tempfile.TemporaryDirectory() as scratch, Watch(Path(scratch), every=every) as watch:
        surroundings = os.environ | {"TMPDIR": scratch} | options.pop("env", {})
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            env=surroundings, **options,
        )  # fmt: skip
        watch.follow(process.pid)
        _, errors = process.communicate()
    row = watch.row()
    if process.returncode:
        row["failed"] = f"exit code {process.returncode}: {errors.strip().splitlines()[-1:]}"
    return row


def public_modules() -> list[str]:
    r"""vae_course and its modules, private ones left out."""
    package = ROOT / "vae_course"
    names = {path.stem for path in package.glob("*.py")}
    names |= {path.parent.name for path in package.glob("*/__init__.py")}
    modules = sorted(f"vae_course.{name}" for name in names if not name.startswith("_"))
    return ["vae_course", *modules]


def measure_imports(store: Store, *, again: bool) -> None:
    store.measure("import nothing", lambda: import_cost("sys"), again=again)
    for module in public_modules():
        store.measure(f"import {module}", lambda m=module: import_cost(m), again=again)


def import_cost(module: str) -> dict[str, Any]:
    r"""Python's start and one import."""
    return command_cost([sys.executable, "-c", f"import {module}"])


def first_use() -> dict[str, Any]:
    r"""Digits and fonts with empty caches, as on the day of the installation."""
    with tempfile.TemporaryDirectory() as cache:
        folders = {"XDG_CACHE_HOME": cache, "MPLCONFIGDIR": f"{cache}/matplotlib"}
        row = command_cost([sys.executable, "-c", _FIRST_USE], env=folders)
        row["disk"] += round(folder_bytes(Path(cache)) / 2**20, 1)
        return row


def unit() -> float:
    r"""Processor seconds of one core for the matrix products of a standard epoch, now."""
    done = subprocess.run(
        [sys.executable, "-c", _UNIT], cwd=ROOT, check=True, capture_output=True, text=True
    )  # fmt: skip
    return round(float(done.stdout), 3)


def notebook_cost(path: Path) -> dict[str, Any]:
    products, run = unit(), execute(path)
    slowest = sorted(run.cells.items(), key=lambda item: -item[1])[:2]
    row = {
        "seconds": run.seconds, "processor": run.processor, "memory": run.memory,
        "disk": run.disk, "others": run.others, "first_figure": run.first_figure,
        "first_figure_processor": run.first_figure_processor,
        "code": code_digest(path), "unit": products,
        "dominates": ", ".join(f"cell {n}: {seconds:.0f} s" for n, seconds in slowest),
    }  # fmt: skip
    return row | ({"failed": run.failures[0]} if run.failures else {})


def install(folder: Path) -> dict[str, Any]:
    r"""The README's installation into a fresh environment, with nothing from pip's cache."""
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    temporary = folder / "tmp"
    with Watch(folder, disk_every=5) as watch:
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        temporary.mkdir()
        process = subprocess.Popen(
            [str(python), "-m", "pip", "install", "-q", "--no-cache-dir", "-e", ".[lab,test]"],
            cwd=ROOT, env=os.environ | {"TMPDIR": str(temporary)},
        )  # fmt: skip
        watch.follow(process.pid)
        failed = process.wait()
    row = watch.row() | ({"failed": f"pip's exit code is {failed}"} if failed else {})
    packages = [path for path in folder.rglob("site-packages/*") if path.is_dir()]
    sizes = sorted(((folder_bytes(path) / 2**20, path.name) for path in packages), reverse=True)
    row["dominates"] = ", ".join(f"{name} {size:,.0f} MiB" for size, name in sizes[:3])
    return row


def first_picture(way: str) -> dict[str, Any]:
    r"""From `git clone` to the first picture of notebook 01, with empty caches.

    Disk is everything: clone, environment, caches, temporary files.
    """
    with tempfile.TemporaryDirectory() as name, Watch(Path(name), disk_every=5) as watch:
        folder = Path(name)
        made, tmp = folder / "clone", folder / "tmp"
        tmp.mkdir()
        (folder / "first.py").write_text(_FIRST_PICTURE, encoding="utf-8")
        start, python = WAYS[way]
        line = f"git clone -q {shlex.quote(str(ROOT))} {made} && cd {made} && "
        line += f"{start.format(python=shlex.quote(sys.executable))} && {python} ../first.py"
        kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
        empty = {"TMPDIR": str(tmp), "HOME": name, "XDG_CACHE_HOME": f"{name}/cache"}
        process = subprocess.Popen(
            ["bash", "-c", line], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            env=kept | empty,
        )  # fmt: skip
        watch.follow(process.pid)
        _, errors = process.communicate()
    failed = {"failed": errors.strip()[-300:]} if process.returncode else {}
    return watch.row() | failed


def measure_long(store: Store, steps: list[str], folder: Path | None, *, again: bool) -> None:
    r"""The installation, and the test command in that environment, or in this one."""
    place = folder or Path(tempfile.mkdtemp())
    python = sys.executable
    try:
        if "install" in steps:
            store.measure("install", lambda: install(place / "venv"), again=again)
            made = place / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
            python = str(made) if made.exists() else python
        if "tests" in steps:
            command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
            run = lambda: {"unit": unit()} | command_cost(command, every=0.2, cwd=ROOT)  # noqa: E731
            store.measure("all tests", run, again=again)
            ruff = [python, "-m", "ruff", "check", "--no-cache", "."]
            store.measure("ruff", lambda: command_cost(ruff, cwd=ROOT), again=again)
        for way in WAYS if "start" in steps else ():
            row = f"start by {way}, clone to first picture"
            store.measure(row, lambda way=way: first_picture(way), again=again)
    finally:
        if folder is None:
            shutil.rmtree(place, ignore_errors=True)


# ------------------------------------------------------------------------------ the table


def _figures(row: dict[str, Any]) -> str:
    shown = f"{row['seconds']:.1f} s, {row['memory']:,} MiB, {row['disk']:,.1f} MiB on disk"
    return shown + (f", FAILED: {row['failed']}" if "failed" in row else "")


def table(rows: dict[str, dict[str, Any]], notebooks: list[Path]) -> Iterator[str]:
    r"""Markdown: what was measured, in the order of STEPS, then what was asked for."""
    yield "# What the course costs\n\nMade by `python -m benchmarks.cost --table`.\n"
    kinds = ("import", "first", "notebook", "start", "install", "all", "ruff")
    rows = dict(sorted(rows.items(), key=lambda row: (kinds.index(row[0].split()[0]), row[0])))
    for line in dict.fromkeys((row["machine"], row["threads"]) for row in rows.values()):
        yield f"{line[0]}, OMP threads: {line[1]}. A star: the machine was busy with other things"
    heads = (
        "step", "time (s)", "processor (s)", "in epochs' products",
        "first figure: time (processor)", "memory (MiB)", "disk (MiB)", "most of it",
    )  # fmt: skip
    yield f"\n| {' | '.join(heads)} |\n{'|---' * len(heads)}|"
    for name, row in rows.items():
        star = "*" if row["others"] > NOT_QUIET else ""
        figure = "–"
        if row.get("first_figure"):
            figure = f"{row['first_figure']:.1f}{star} ({row['first_figure_processor']:.1f})"
        epochs = f"{row['processor'] / row['unit']:.0f}" if row.get("unit") else "–"
        note = row.get("failed") or row.get("dominates", "")
        yield (
            f"| {name} | {row['seconds']:.1f}{star} | {row['processor']:.1f} | {epochs} | {figure} "
            f"| {row['memory']:,} | {row['disk']:,.1f} | {note} |"
        )
    own = {path: rows.get(f"notebook {path.stem}") for path in notebooks}
    old = [path.stem for path, row in own.items() if row and row["code"] != code_digest(path)]
    missing = [path.stem for path, row in own.items() if row is None]
    measured = [row for row in own.values() if row]
    if measured:
        total = sum(row["seconds"] for row in measured)
        yield f"\n{len(measured)} notebooks one after the other: {total:.0f} s"
        for what, key, most in (
            ("seconds in all", None, MOST_SECONDS_IN_ALL),
            ("MiB, the largest", "memory", MOST_MEMORY),
            ("s to the first figure, the slowest", "first_figure", MOST_SECONDS_TO_FIGURE),
        ):
            value = total if key is None else max(row[key] or 0 for row in measured)
            yield f"- {what}: {value:,.0f}, at most {most:,}: {_met(value <= most)}"
    if missing or old:
        yield f"- not measured: {', '.join(missing) or 'none'}; changed since: {', '.join(old)}"
    whole = [rows[name]["seconds"] for name in ("install", "all tests", "ruff") if name in rows]
    if len(whole) == 3:
        yield f"- the whole CI (install, tests, ruff): {sum(whole):.0f} s"


def into_readme(text: str, rows: dict[str, dict[str, Any]], notebooks: list[Path]) -> str:
    r"""README's text with the measured seconds of each notebook in its column "run (s)".

    Raises: ValueError if a notebook was not measured or has no line in the table
    """
    for path in notebooks:
        row = rows.get(f"notebook {path.stem}")
        line = rf"(\| \[[^]]*\]\(notebooks/{re.escape(path.name)}\) \|[^|]*\|[^|]*\| )\d+( \|)"
        if row is None:
            raise ValueError(f"{path.stem} is not measured: python -m benchmarks.cost notebooks")
        text, found = re.subn(line, rf"\g<1>{round(round(row['seconds'], 1))}\2", text)
        if found != 1:
            raise ValueError(f"README.md has {found} lines for {path.name}, expected one")
    return text


def _met(value: bool) -> str:
    return "met" if value else "NOT met"


def main(arguments: list[str] | None = None) -> None:
    os.environ.setdefault("GOMP_SPINCOUNT", "30000")  # as `vae-course start` does
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="example: python -m benchmarks.cost notebooks --names 03 04",
    )
    parser.add_argument("steps", nargs="*", help=f"of {', '.join(STEPS)}; default: the first three")
    parser.add_argument("--names", nargs="+", default=[], help="notebooks, such as 03")
    parser.add_argument("--out", type=Path, default=Path("cost.json"), help="default: %(default)s")
    parser.add_argument("--again", action="store_true", help="measure what is stored already")
    parser.add_argument("--folder", type=Path, help="for the new environment, which is then kept")
    parser.add_argument("--table", action="store_true", help="measure nothing")
    parser.add_argument("--readme", action="store_true", help="write README's column of seconds")
    options = parser.parse_args(arguments)
    if unknown := set(options.steps) - set(STEPS):
        parser.error(f"unknown steps {sorted(unknown)}; there are {', '.join(STEPS)}")
    steps, again = options.steps or list(STEPS[:3]), options.again
    store, paths = Store(options.out), find_notebooks(options.names)
    if not options.table:
        if "import" in steps:
            measure_imports(store, again=again)
        if "first" in steps:
            store.measure("first use, empty caches", first_use, again=again)
        for path in paths if "notebooks" in steps else ():
            name = f"notebook {path.stem}"
            store.measure(name, lambda path=path: notebook_cost(path), again=again)
        measure_long(store, steps, options.folder, again=again)
    print("\n".join(table(store.rows, find_notebooks())))
    if options.readme:
        path = ROOT / "README.md"
        text = into_readme(path.read_text(encoding="utf-8"), store.rows, find_notebooks())
        write_whole(path, text.encode())


if __name__ == "__main__":
    main()
