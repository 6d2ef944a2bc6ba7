"""What a student runs when something is wrong: what is found, and the one command that mends it.

Nothing of the course or of its libraries is imported here: each is tried in a process of its own
(`probe.py`), so a broken one is a line of the report and never a traceback.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vae_course.admin.doctor.installation import Finding

WIDTH = 80
_MARKS = {"ok": "ok", "note": "note", "problem": "PROBLEM"}


def add_command(commands: argparse._SubParsersAction) -> None:
    """Hook `vae-course doctor` into the command line."""
    parser = commands.add_parser(
        "doctor",
        help="what is wrong here, and the command that mends it",
        description="Look at Python, the packages, the data, the widgets and the machine. Exit "
        "code 0: all right, 1: something is to be mended.",
        epilog="example:\n  vae-course doctor\n  in a notebook: !{sys.executable} -m vae_course "
        "doctor",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="for programs: a list of findings")
    parser.set_defaults(work=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the report; return the exit code: 0 all right, 1 something is to be mended."""
    # With `python -m` the working folder comes first: a stray random.py there must not be ours.
    sys.path[:] = [place for place in sys.path if place and place != os.getcwd()]
    if arguments.json:
        import json

        findings = list(diagnose())
        print(json.dumps([dataclasses.asdict(finding) for finding in findings], indent=1))
        return int(any(finding.kind == "problem" for finding in findings))
    print("vae-course doctor looks around. Importing the packages takes a moment.\n", flush=True)
    problems = 0
    for finding in diagnose():
        problems += finding.kind == "problem"
        print(_shown(finding), flush=True)
    if problems:
        count = "1 problem" if problems == 1 else f"{problems} problems"
        last = f"\n{count}. Run the first command, then vae-course doctor again."
    else:
        last = "\nNo problems found."
    print(last)
    return int(problems > 0)


def diagnose() -> Iterator[Finding]:
    """All findings, in the order in which they should be mended."""
    # Only now, when no file of the working folder can be taken for a library.
    from vae_course.admin.doctor.checks import CHECKS
    from vae_course.admin.doctor.installation import Finding, Install

    install = Install()
    for check in CHECKS:
        try:
            yield from check(install)
        except Exception as error:  # whatever it is, the other checks still have their say
            what = (check.__doc__ or check.__name__).splitlines()[0].rstrip(".")
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            yield Finding("problem", f"{what}: could not be looked at ({reason}).", install.again())


def _shown(finding: Finding) -> str:
    """Wrapped at 80 columns; a command stays on one line, so that it can be copied whole."""
    lines = textwrap.wrap(
        finding.text,
        WIDTH,
        initial_indent=f"{_MARKS[finding.kind]:<9}",
        subsequent_indent=" " * 9,
        break_on_hyphens=False,
        break_long_words=False,  # a path stays whole too
    )
    if finding.command:
        lines.append(f"{'':9}run: {finding.command}")
    return "\n".join(lines)
