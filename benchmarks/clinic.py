r"""The clinic's table: sick trainings that it named or missed, healthy ones that it left in peace.

`python -m benchmarks.clinic` trains and examines those that its limits were not set on, and writes
CLINIC.md beside this file (some minutes on two quiet cores); with --all the others too.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
os.environ.setdefault("OMP_NUM_THREADS", "1")  # the models are small: threads only wait
os.environ.setdefault("TQDM_DISABLE", "1")

from benchmarks import machine  # noqa: E402

TABLE = Path(__file__).with_name("CLINIC.md")
HEADER = """# The clinic

Made by `python -m benchmarks.clinic` on {machine}.

`clinic.examine` is given model, training and test images, loss and history, and knows nothing of
the illness. *Named*: one of the names that were written down for this training before stands among
the severe or notable findings. An alarm is any such finding about a healthy training. The limits of
the clinic were set on the trainings of `tests/clinic_trainings.py`, which the tests hold; the
strangers here (`tests/clinic_strangers.py`), with other data, sizes, widths, optimizers and ways of
writing a VAE, were written afterwards.

{summary}
"""


def findings_about(train) -> tuple[list, str]:
    r"""What the clinic finds about a training, and why it could not look at it, "" if it could."""
    import test_clinic

    try:
        return list(test_clinic.examined(train()).findings), ""
    except ValueError as error:
        return [], f"**not recognised**: {str(error)[:120]}"


def ward(title: str, made) -> tuple[list[str], list[str]]:
    r"""Lines of the summary, and of the table, of one group of trainings."""
    lines = [
        f"## {title}",
        "",
        "| sick training | should be called | found | |",
        "|---|---|---|---|",
    ]
    named = first = 0
    for name, (names, train) in made.SICK.items():
        begun = time.perf_counter()
        findings, why = findings_about(train)
        found = [f.name for f in findings if f.severity >= 2]
        hit = bool(set(names) & set(found))
        named, first = named + hit, first + (bool(found) and found[0] in names)
        lines.append(f"| {name} | {' or '.join(names)} | {', '.join(found) or why or '–'} | "
                     f"{'named' if hit else '**missed**'} |")  # fmt: skip
        print(lines[-1], f"{time.perf_counter() - begun:.1f} s", flush=True)
    lines += ["", "| healthy training | alarms | remarks |", "|---|---|---|"]
    groups = {"healthy": made.HEALTHY, "public": made.PUBLIC}
    alarms = {}
    for group, trainings in groups.items():
        alarms[group] = 0
        for name, train in trainings.items():
            begun = time.perf_counter()
            findings, why = findings_about(train)
            said = why or ", ".join(f.name for f in findings if f.severity >= 2)
            alarms[group] += bool(said)
            remarks = ", ".join(f.name for f in findings if f.severity < 2)
            lines.append(f"| {name} | {said or 'none'} | {remarks} |")
            print(lines[-1], f"{time.perf_counter() - begun:.1f} s", flush=True)
    count = {group: len(trainings) for group, trainings in groups.items()}
    summary = (
        f"- **{title}**: {named} of {len(made.SICK)} sick trainings named ({first} of them by the "
        f"first finding); alarms at {alarms['healthy']} of {count['healthy']} healthy ones and at "
        f"{alarms['public']} of {count['public']} that are written as public code writes them."
    )
    print(summary, flush=True)
    return [summary], [*lines, ""]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--all", action="store_true", help="also those that it was tuned on")
    wanted = parser.parse_args()
    import clinic_strangers
    import clinic_trainings

    wards = {"Strangers": clinic_strangers}
    if wanted.all:
        wards["Trainings that it was tuned on"] = clinic_trainings
    summaries, tables = [], []
    for title, made in wards.items():
        summary, lines = ward(title, made)
        summaries, tables = summaries + summary, tables + lines
    said = f"{machine.cores()}, Python {platform.python_version()}, {platform.system()}"
    text = HEADER.format(machine=said, summary="\n".join(summaries)) + "\n" + "\n".join(tables)
    TABLE.write_text(text, encoding="utf-8")
    print(f"written to {TABLE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
