r"""Every notebook many times over: does a claim ever fail, and how far is each from failing?

    python -m benchmarks.stability --rounds 20 --out stability.jsonl
    python -m benchmarks.stability --table --out stability.jsonl

A round runs each notebook once, in a fresh kernel. Hash seeds differ from round to round, odd
rounds have one thread, even rounds two. A computer gives the same result twice, so from the third
round on the first gradient of every training is shifted by a millionth, as another processor's
rounding would, and Python's own text begins later, as every Python has another (`--plain` leaves
both out). One line is stored a run: the same command goes on where it was stopped, and runs of a
notebook whose code has changed since no longer count.

A margin is the distance of a comparison from failing. It is divided by its standard deviation over
the runs; where the sides of `abs(…)` differ in sign, that is a rough measure.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.claims import instrument
from benchmarks.kernels import code_digest, execute
from benchmarks.machine import cores
from vae_course.admin.notebooks import find_notebooks, read_notebook

ROOT = Path(__file__).resolve().parent.parent
TIGHT = 3.0  # standard deviations
PLAIN_ROUNDS = 2  # one with each number of threads, before gradients are shifted

_BEFORE = """\
import sys
sys.path.append({root!r})
__claims__ = __import__("benchmarks.claims", fromlist=["claims"])
__recorder__ = __claims__.Recorder()
__recorder__.install()
"""
_AFTER = "print(__import__('json').dumps(__recorder__.margins))"


def run_once(path: Path, number: int, *, plain: bool) -> dict[str, Any]:
    r"""Round `number` (from 0) of one notebook, as a line to be stored."""
    threads, shifted = 1 + number % 2, not plain and number >= PLAIN_ROUNDS
    before = _BEFORE.format(root=str(ROOT))
    if shifted:
        before += f"__claims__.shift_first_gradients({number})\n"
        before += f"__claims__.change_text({number})\n"
    result = execute(
        path, before=before, after=_AFTER,
        change=lambda cell, source: instrument(source, cell)[0],
        environment={"PYTHONHASHSEED": str(number), "OMP_NUM_THREADS": str(threads)},
    )  # fmt: skip
    try:
        margins = json.loads(result.said)
    except ValueError:
        margins = {}
        result.failures.append("the kernel did not live to the end")
    return {
        "notebook": path.stem, "code": code_digest(path), "round": number, "threads": threads,
        "shifted": shifted, "seconds": result.seconds, "processor": result.processor,
        "memory": result.memory, "others": result.others, "failures": result.failures,
        "margins": margins,
    }  # fmt: skip


def read_runs(out: Path) -> list[dict[str, Any]]:
    r"""All stored runs; the last line may be half of one."""
    runs = []
    for line in out.read_text(encoding="utf-8").splitlines() if out.exists() else []:
        try:
            runs.append(json.loads(line))
        except ValueError:
            continue
    return runs


def measure(paths: list[Path], *, rounds: int, out: Path, plain: bool) -> None:
    for number in range(rounds):
        for path in paths:
            name = (path.stem, code_digest(path), number)
            if any(name == (run["notebook"], run["code"], run["round"]) for run in read_runs(out)):
                continue
            run = run_once(path, number, plain=plain)
            with open(out, "a", encoding="utf-8") as file:
                file.write(json.dumps(run) + "\n")
            found = "; ".join(run["failures"]) or "every claim holds"
            print(
                f"round {number + 1}/{rounds}  {path.stem}  {run['threads']} threads  "
                f"{run['seconds']:.0f} s  {found}",
                flush=True,
            )


# ------------------------------------------------------------------------------ tables


def claims_of(path: Path) -> tuple[dict[str, str], int]:
    r"""The text of each measured comparison by its name, and the number of exact claims."""
    texts, exact = {}, 0
    for number, cell in enumerate(read_notebook(path)["cells"], start=1):
        if cell["cell_type"] == "code":
            _, found, more = instrument(cell["source"], number)
            texts |= found
            exact += more
    return texts, exact


def spread(runs: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    r"""For each comparison its tightest side: mean, deviation and minimum over the runs, ratio."""
    values: dict[tuple[str, int, int], list[float]] = {}
    for run in runs:
        for name, times in run["margins"].items():
            for occurrence, sides in enumerate(times):
                for side, margin in enumerate(sides):
                    if margin is not None:
                        values.setdefault((name, occurrence, side), []).append(margin)
    tightest: dict[str, dict[str, float]] = {}
    for (name, *_), margins in values.items():
        if len(margins) < 2:
            continue
        mean, deviation = statistics.fmean(margins), statistics.stdev(margins)
        varies = deviation > 1e-9 * max(abs(mean), 1e-300)
        ratio = mean / deviation if varies else math.copysign(math.inf, mean)
        found = {"mean": mean, "std": deviation, "min": min(margins), "ratio": ratio}
        if name not in tightest or ratio < tightest[name]["ratio"]:
            tightest[name] = found
    return tightest


def tables(paths: list[Path], runs: list[dict[str, Any]], *, show: int) -> Iterator[str]:
    r"""Two markdown tables: a row a notebook, and a row a claim, the tightest first."""
    yield (
        "| notebook | runs (1 thread, 2 threads) | failed | claims: measured, exact "
        "| never vary | under 3 sd | processor time (s) | most memory (MiB) |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    rows = []
    for path in paths:
        digest = code_digest(path)
        own = [run for run in runs if (run["notebook"], run["code"]) == (path.stem, digest)]
        (texts, exact), found = claims_of(path), spread(own)
        rows += [(entry["ratio"], path.stem, name, entry) for name, entry in found.items()]
        threads = [sum(run["threads"] == n for run in own) for n in (1, 2)]
        tight = sum(entry["ratio"] < TIGHT for entry in found.values())
        still = sum(math.isinf(entry["ratio"]) for entry in found.values())
        spent = statistics.median(run["processor"] for run in own) if own else 0
        most = max((run["memory"] for run in own), default=0)
        yield (
            f"| {path.stem} | {len(own)} ({threads[0]}, {threads[1]}) "
            f"| {sum(bool(run['failures']) for run in own)} | {len(texts)}, {exact} "
            f"| {still} | {tight} | {spent:.0f} | {most:,.0f} |"
        )
    yield ""
    yield "| sd from failing | claim | margin: mean | sd | smallest |"
    yield "|---|---|---|---|---|"
    rows.sort(key=lambda row: row[0])
    texts = {path.stem: claims_of(path)[0] for path in paths}
    tight = sum(row[0] < TIGHT for row in rows)
    for ratio, stem, name, entry in rows[: max(show, tight)]:
        if math.isinf(ratio) and ratio > 0:
            break
        text = texts[stem][name].replace("|", "\\|")
        yield (
            f"| {ratio:.1f} | {stem[:2]}, cell {name.split('.')[0]}: `{text}` "
            f"| {entry['mean']:.3g} | {entry['std']:.2g} | {entry['min']:.3g} |"
        )
    failures = {(run["notebook"][:2], words) for run in runs for words in run["failures"]}
    yield from (f"\nfailed: {stem}, {words}" for stem, words in sorted(failures))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="example: python -m benchmarks.stability --rounds 4 03 04 --out stability.jsonl",
    )
    parser.add_argument("names", nargs="*", help="notebooks, such as 03; default: all")
    parser.add_argument("--rounds", type=int, default=20, help="in all (default: %(default)s)")
    parser.add_argument("--out", type=Path, default=Path("stability.jsonl"), help="a line a run")
    parser.add_argument("--plain", action="store_true", help="never shift a gradient")
    parser.add_argument("--table", action="store_true", help="only print what is stored")
    parser.add_argument("--show", type=int, default=20, help="claims to list at least")
    options = parser.parse_args(arguments)
    paths = find_notebooks(options.names)
    if not options.table:
        measure(paths, rounds=options.rounds, out=options.out, plain=options.plain)
    print(f"{cores()}\n")
    runs = read_runs(options.out)
    print("\n".join(tables(paths, runs, show=options.show)))
    digests = {path.stem: code_digest(path) for path in paths}
    if any(run["failures"] for run in runs if run["code"] == digests.get(run["notebook"])):
        raise SystemExit("a claim failed")


if __name__ == "__main__":
    main()
