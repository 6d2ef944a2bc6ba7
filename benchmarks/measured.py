r"""Runs the short benchmarks one after the other and keeps what they print: MEASURED.md.

    python -m benchmarks.measured                    # all of them: about half an hour, quiet
    python -m benchmarks.measured epoch explorers    # these; the other sections stay

A section is the command, the machine, the commit, how busy other programs were meanwhile, and the
command's output, word for word. A command that fails leaves its old section in place.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.machine import cores, cpu_seconds_of_others
from vae_course.files import write_whole

ROOT = Path(__file__).resolve().parents[1]
TABLE = Path(__file__).with_name("MEASURED.md")
COMMANDS = {
    "epoch": "python -m benchmarks.epoch",
    "vae_cost": "python -m benchmarks.vae_cost --figure docs/vae-cost.png",
    "batch_size": "python -m benchmarks.batch_size --figure docs/batch-size.png",
    "waiting": "python -m benchmarks.waiting",
    "explorers": "python -m benchmarks.explorers",
    "checks": "python -m benchmarks.checks",
    "gpt_speed": "python benchmarks/gpt_speed.py",
    "sample_metrics": "python -m benchmarks.sample_metrics --images-from mnist",
}
HEADER = """# Measured

Made by `python -m benchmarks.measured`. What each number is: [README.md](README.md).
"""


def sections(text: str) -> dict[str, str]:
    r"""The sections of MEASURED.md by their names, each from its heading on."""
    parts = text.split("\n## ")[1:]
    return {part.split("\n", 1)[0].strip(): "## " + part.rstrip() + "\n" for part in parts}


def measure(name: str) -> str:
    r"""Run the command called `name`; its section. Raises: RuntimeError if it fails."""
    command = COMMANDS[name]
    arguments = command.split()[1:]
    others, start = cpu_seconds_of_others(), time.perf_counter()
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(f"{command} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    busy = max(0.0, cpu_seconds_of_others() - others) / seconds
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()
    return (
        f"## {name}\n\n`{command}`: {seconds:.0f} s on {cores()}, commit {commit or 'unknown'}; "
        f"other programs kept {busy:.2f} of a core busy.\n\n"
        f"```text\n{done.stdout.strip()}\n```\n"
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(COMMANDS))
    names = parser.parse_args(arguments).names or list(COMMANDS)
    if unknown := [name for name in names if name not in COMMANDS]:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(COMMANDS)}")
    failed = 0
    for name in names:
        try:
            new = measure(name)
        except RuntimeError as error:
            print(error, file=sys.stderr)
            failed += 1
            continue
        kept = sections(TABLE.read_text(encoding="utf-8")) if TABLE.exists() else {}
        kept[name] = new
        text = "\n".join([HEADER, *(kept[key] for key in COMMANDS if key in kept)])
        write_whole(TABLE, text.encode())
        print(new, flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
