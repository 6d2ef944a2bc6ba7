r"""The fault table: what was made to go wrong, how often, and what was lost.

It runs the tests that are marked `fault` and makes the table of what they report, so that it holds
nothing that was not tried just now. `python benchmarks/faults.py` takes about ten minutes on two
quiet cores and writes FAULTS.md beside this file; --quick leaves the many repetitions out and only
prints.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import machine  # noqa: E402

TABLE = Path(__file__).with_name("FAULTS.md")
HEADER = """# Faults

Made by `python benchmarks/faults.py` on {machine}.

Each line is a fault that a test made happen. *Survived*: what came was right to the last bit, or
there was one clear message and nothing half done left behind; where training was hit, it went on
from its checkpoint to the same weights. *Lost*: anything else.

"""


@dataclass
class Row:
    r"""One fault, over all tests that make it happen."""

    how: dict[str, dict[str, None]] = field(default_factory=dict)  # way → what it was done to
    tests: dict[str, None] = field(default_factory=dict)
    tried: int = 0
    survived: int = 0

    @property
    def lost(self) -> int:
        return self.tried - self.survived

    def add_way(self, how: str) -> None:
        r"""how: "gpt: resumed from it" is the way "resumed from it", done to gpt."""
        subject, _, way = how.rpartition(": ")
        self.how.setdefault(way, {})[subject] = None

    def ways(self) -> str:
        shown = []
        for way, subjects in self.how.items():
            named = ", ".join(filter(None, subjects))
            shown.append(f"{way} ({named})" if named else way)
        return "; ".join(shown)


class Table:
    r"""A pytest plugin that collects what the tests marked `fault` report."""

    def __init__(self) -> None:
        self.names: dict[str, tuple[str, str]] = {}
        self.rows: dict[str, Row] = defaultdict(Row)
        self.notes: list[str] = []
        self.unexpected = 0

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            if mark := item.get_closest_marker("fault"):
                values = dict(getattr(getattr(item, "callspec", None), "params", {}))
                name, how = mark.args[0].format(**values), mark.kwargs["how"].format(**values)
                self.names[item.nodeid] = name, how

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.nodeid not in self.names:
            return
        name, how = self.names[report.nodeid]
        told = dict(report.user_properties)
        if report.skipped and not hasattr(report, "wasxfail"):
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else "skipped"
            self._note(f"Not tried: {name} ({how}): {reason.removeprefix('Skipped: ')}.")
            return
        if report.when != "call" and not report.failed:
            return
        row = self.rows[name]
        row.add_way(how)
        row.tests[report.nodeid.split("::")[0]] = None
        tried = told.get("tried", 1)
        survived = 0 if hasattr(report, "wasxfail") else told.get("survived", tried)
        if report.failed:
            survived = min(told.get("survived", tried - 1), tried - 1)
            self.unexpected += 1
            self._note(f"Lost, and not expected: {name} ({how}).")
        elif hasattr(report, "wasxfail"):
            self._note(f"Lost, and known: {name} ({how}): {report.wasxfail}.")
        row.tried += tried
        row.survived += survived
        if note := told.get("note"):
            self._note(f"{name}: {note}.")

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def __str__(self) -> str:
        lines = [
            "| fault | how it was made | tried | survived | lost | where tested |",
            "|---|---|---|---|---|---|",
        ]
        for name, row in self.rows.items():
            tests = ", ".join(f"`{test}`" for test in row.tests)
            numbers = f"{row.tried:,} | {row.survived:,} | {row.lost:,}"
            lines.append(f"| {name} | {row.ways()} | {numbers} | {tests} |")
        tried, lost = (sum(getattr(r, n) for r in self.rows.values()) for n in ("tried", "lost"))
        lines.append(f"| **all** | | **{tried:,}** | **{tried - lost:,}** | **{lost:,}** | |")
        return "\n".join([*lines, "", *(f"- {note}" for note in self.notes)]) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="without the many repetitions")
    quick = parser.parse_args().quick
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # the models are small: threads only wait
    table = Table()
    options = ["--rootdir", str(ROOT), "-p", "no:cacheprovider", "-n", "0", "-q", "--tb=short"]
    marker = "fault and not faults" if quick else "fault or faults or (fault and processes)"
    code = pytest.main([*options, "-m", marker, str(ROOT / "tests")], plugins=[table])
    versions = f"Python {platform.python_version()}, {platform.system()}"
    text = HEADER.format(machine=f"{machine.cores()}, {versions}") + str(table)
    print(f"\n{text}")
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        return int(code)
    if not quick:
        TABLE.write_text(text, encoding="utf-8")
        print(f"written to {TABLE}")
    return int(table.unexpected > 0)


if __name__ == "__main__":
    sys.exit(main())
