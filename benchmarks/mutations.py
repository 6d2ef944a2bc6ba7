r"""Do the tests notice a slip in the teaching code? Each fault of mutations.toml, one at a time.

    python -m benchmarks.mutations                  # all; writes MUTATIONS.md beside this file
    python -m benchmarks.mutations --only gpt.py    # one module's, or one fault's; only prints
    python -m benchmarks.mutations --only gpt.py --update    # and replaces their rows there

A fault is made in a copy of the package in a temporary folder; the tests run there and import that
copy. First they must pass on the copy without a fault. Needs a system that can fork.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TABLE = Path(__file__).with_name("MUTATIONS.md")
PRELOADED = ["torch", "hypothesis", "pytest"]  # imported once, not by each process
CPU_SECONDS = 240  # that the tests of one file may take; a fault can make a loop endless
HEADER = """# Mutations

Made by `python -m benchmarks.mutations` on {cores} cores: {total} faults in the teaching code,
each made alone in a copy of the package; {caught} were caught by a test,
{survived} survived{equivalent}.
The test named is the first that failed: the quickest file of a module is asked first.
{later}
| module | fault | caught by |
|---|---|---|
"""


@dataclass(frozen=True)
class Fault:
    r"""A slip: in `module` of vae_course, `old` becomes `new`."""

    module: str
    name: str
    old: str
    new: str


@dataclass(frozen=True)
class Plan:
    r"""All faults, which tests look at a module, and why a fault may change nothing."""

    faults: list[Fault]
    tests: dict[str, list[str]]
    every_other: list[str]
    equivalent: dict[str, str]

    def files(self, module: str) -> list[str]:
        own = self.tests[module]
        return own + [name for name in self.every_other if name not in own]


def read_plan(path: Path) -> Plan:
    plan = tomllib.loads(path.read_text(encoding="utf-8"))
    faults = [
        Fault(module, name, *texts)
        for module, named in plan["faults"].items()
        for name, texts in named.items()
    ]
    return Plan(faults, plan["tests"], plan["every_other"], plan.get("equivalent", {}))


def mutated(source: str, fault: Fault) -> str:
    r"""The module with the fault in it. Raises: ValueError if the text is not there just once."""
    count = source.count(fault.old)
    if count != 1 or fault.old == fault.new:
        raise ValueError(
            f"{fault.module}, {fault.name!r}: its text stands there {count} times, expected once: "
            f"bring mutations.toml in line with the module\n{fault.old}"
        )
    return source.replace(fault.old, fault.new)


def copy_of_the_repository(folder: Path) -> Path:
    r"""A folder that tests can run in: package and tests copied, the rest linked to."""
    ignore = shutil.ignore_patterns("__pycache__", "_data")
    for name in ("vae_course", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    for entry in ROOT.iterdir():
        if entry.is_file():
            shutil.copy(entry, folder)
        elif entry.name not in ("vae_course", "tests") and not entry.name.startswith("."):
            (folder / entry.name).symlink_to(entry)
    return folder


class FirstFailure:
    r"""A pytest plugin that remembers which test, or which file's import, failed first."""

    found: str | None = None

    def pytest_runtest_logreport(self, report):
        if report.failed and self.found is None:
            self.found = report.nodeid

    pytest_collectreport = pytest_runtest_logreport


def _run_tests(folder: Path, file: str, answer) -> None:
    r"""In a process of its own: run a file of tests in the folder, send the first failure."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    sys.dont_write_bytecode = True  # a fault of the same length would be taken for the old file
    nothing = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(nothing, stream)
    import pytest

    first = FirstFailure()
    options = ["-o", "addopts=", "-n", "0", "-p", "no:nbval", "-p", "no:cacheprovider", "-xq"]
    code = pytest.main([*options, "--basetemp", f"{folder}/tmp", f"tests/{file}"], plugins=[first])
    package = Path(sys.modules["vae_course"].__file__).parent
    if package != folder / "vae_course":
        first.found = f"the tests imported {package}, not the copy"
    elif code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) and first.found is None:
        first.found = f"pytest ended with code {int(code)}"
    answer.send(first.found)


def first_failure(folder: Path, file: str) -> str | None:
    r"""The first test of a file that fails in this folder, or None."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_run_tests, args=(folder, file, there))
    process.start()
    there.close()
    try:
        return here.recv()
    except EOFError:
        process.join()
        return f"{file}: ended with code {process.exitcode}, {CPU_SECONDS} s are given"
    finally:
        process.join()


def caught_by(fault: Fault, files: Iterable[str], folder: Path) -> str | None:
    r"""The test that notices the fault; None if it survives all these files."""
    path = folder / "vae_course" / fault.module
    clean = path.read_text(encoding="utf-8")
    path.write_text(mutated(clean, fault), encoding="utf-8")
    try:
        return next(filter(None, (first_failure(folder, file) for file in files)), None)
    finally:
        path.write_text(clean, encoding="utf-8")


def run(plan: Plan, *, jobs: int) -> dict[Fault, str | None]:
    r"""Which test catches each fault. Raises: ValueError if a fault is stale or a test fails."""
    for fault in plan.faults:  # before any test runs
        mutated((ROOT / "vae_course" / fault.module).read_text(encoding="utf-8"), fault)
    with tempfile.TemporaryDirectory() as temporary, ThreadPoolExecutor(jobs) as pool:
        folders = [copy_of_the_repository(Path(temporary, str(job))) for job in range(jobs)]

        def with_a_folder(function, *args):
            folder = folders.pop()  # as many as there are threads
            try:
                return function(*args, folder)
            finally:
                folders.append(folder)

        def clean(file, folder):
            return first_failure(folder, file)

        def judge(fault, folder):
            found = caught_by(fault, plan.files(fault.module), folder)
            print(f"{fault.module:24s} {fault.name:55s} {short(found)}", flush=True)
            return found

        files = sorted({file for f in plan.faults for file in plan.tests[f.module]})
        for failure in pool.map(lambda file: with_a_folder(clean, file), files):
            if failure:
                raise ValueError(f"without any fault fails: {failure}")
        return dict(
            zip(plan.faults, pool.map(lambda f: with_a_folder(judge, f), plan.faults), strict=True)
        )


def short(test: str | None) -> str:
    r"""tests/properties/test_x.py::TestY::test_z[1] as "test_x · test_z[1]"."""
    if test is None:
        return "SURVIVED"
    return f"{Path(test.partition('::')[0]).stem} · {test.rpartition('::')[2]}".replace("|", "\\|")


def rows(found: dict[Fault, str | None], equivalent: dict[str, str]) -> dict[str, str]:
    r"""The answer of each fault, by "module | name"."""
    answers = {}
    for fault, test in found.items():
        why = equivalent.get(fault.name) if test is None else None
        answers[f"{fault.module} | {fault.name}"] = (
            f"`{short(test)}`" if test else f"no test: {why}" if why else "**survived**"
        )
    return answers


def rows_of(text: str) -> dict[str, str]:
    r"""The answers that a table holds, as `rows` gives them."""
    lines = [line.strip("| ").rsplit(" | ", 1) for line in text.splitlines() if ".py | " in line]
    return {key: answer for key, answer in lines}


def table(answers: dict[str, str], later: Iterable[str] = ()) -> str:
    r"""later: the names of rows that were made anew after the last whole run."""
    survived = [answer for answer in answers.values() if not answer.startswith("`")]
    same = sum(answer.startswith("no test") for answer in survived)
    later = "; ".join(sorted(later))
    text = HEADER.format(
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        total=len(answers), caught=len(answers) - len(survived), survived=len(survived),
        equivalent=f" ({same} of them change nothing)" if survived else "",
        later=f"Made anew since the whole run, `--only … --update`: {later}.\n" if later else "",
    )  # fmt: skip
    return text + "".join(f"| {key} | {answer} |\n" for key, answer in answers.items())


def updated(text: str, answers: dict[str, str]) -> str:
    r"""A table with some of its rows replaced; those that it lacks follow their module's last."""
    kept = rows_of(text) | answers
    modules = list(dict.fromkeys(key.split(" | ")[0] for key in kept))
    kept = dict(sorted(kept.items(), key=lambda row: modules.index(row[0].split(" | ")[0])))
    _, found, before = text.partition("--update`: ")
    later = set(before.split(".\n")[0].split("; ")) if found else set()
    return table(kept, later | {key.split(" | ")[1] for key in answers})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", help="part of a module's or a fault's name")
    parser.add_argument("--update", action="store_true", help="their rows in MUTATIONS.md too")
    parser.add_argument("--jobs", type=int, default=2, help="faults at a time")
    chosen = parser.parse_args()
    plan = read_plan(Path(__file__).with_suffix(".toml"))
    plan.faults[:] = [f for f in plan.faults if chosen.only in f"{f.module}: {f.name}"]
    os.environ |= {"OMP_NUM_THREADS": "1", "VAE_COURSE_SHRINK": "0"}
    found = run(plan, jobs=chosen.jobs)
    answers = rows(found, plan.equivalent)
    if chosen.only and not chosen.update:
        print(table(answers))
    else:
        old = TABLE.read_text(encoding="utf-8") if chosen.only else ""
        from vae_course.files import write_whole  # not above: the tests import a copy

        write_whole(TABLE, (updated(old, answers) if chosen.only else table(answers)).encode())
        print(f"written: {TABLE}")
    lost = [f for f, test in found.items() if test is None and f.name not in plan.equivalent]
    sys.exit(f"survived: {[fault.name for fault in lost]}" if lost else 0)


if __name__ == "__main__":
    main()
