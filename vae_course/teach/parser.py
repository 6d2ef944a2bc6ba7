r"""`vae-course teach …`: parses, calls, reports. Loads nothing heavy."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path


def example(text: str) -> dict[str, object]:
    r"""How a command's help ends."""
    kept = argparse.RawDescriptionHelpFormatter
    return {"epilog": f"example:\n  {text}", "formatter_class": kept}


def add_command(commands: argparse._SubParsersAction) -> None:
    r"""Add the subcommand `teach` to the command line."""
    teach = commands.add_parser(
        "teach",
        help="an instructor's week: release, collect, grade, feedback, scores",
        description="Assignments over nbgrader, in a course folder of yours: assignments/README.md "
        "tells the whole week.",
        **example("vae-course teach release 04 --course my-course"),
    )
    actions = teach.add_subparsers(dest="action", metavar="ACTION", required=True)

    def action(name: str, work: Callable, text: str, sample: str) -> argparse.ArgumentParser:
        made = actions.add_parser(
            name, help=text, description=text, **example(f"vae-course teach {sample}")
        )
        made.add_argument("--course", type=Path, default=Path("course"), metavar="FOLDER",
                          help="your course folder (default: course)")  # fmt: skip
        made.set_defaults(work=lambda arguments: _guarded(work, arguments))
        return made

    release = action("release", _release, "make what students get, and check it", "release 04")
    release.add_argument("names", nargs="*", metavar="NAME", help="04 or 04_kl_loss (default: all)")
    release.add_argument("--source", type=Path, metavar="FOLDER",
                         help="assignments with solutions (default: the checkout's)")  # fmt: skip
    release.add_argument("--again", action="store_true", help="write it again where it changed")

    collect = action("collect", _collect, "take in a folder or an archive of notebooks",
                     "collect 04 downloads/04.zip")  # fmt: skip
    collect.add_argument("name", metavar="NAME", help="04 or 04_kl_loss")
    collect.add_argument("where", type=Path, metavar="FOLDER_OR_ZIP", help="what came in")
    _roster(collect)

    grade = action("grade", _grade, "grade what is not graded yet, a student at a time", "grade 04")
    grade.add_argument("name", metavar="NAME", help="04 or 04_kl_loss")
    grade.add_argument("students", nargs="*", metavar="STUDENT", help="only these")
    grade.add_argument("--again", action="store_true", help="also those graded before")
    grade.add_argument("--jobs", type=int, default=1, metavar="N", help="students side by side")
    grade.add_argument("--cell-seconds", type=int, metavar="S", help="limit of a cell (60)")
    grade.add_argument("--notebook-seconds", type=int, metavar="S", help="of a notebook (300)")
    grade.add_argument("--memory", type=int, metavar="MB", help="of a submission (4000)")

    marks = action("marks", _marks, "written answers: as a table out, with your points in",
                   "marks 04")  # fmt: skip
    marks.add_argument("name", metavar="NAME", help="04 or 04_kl_loss")
    marks.add_argument("table", nargs="?", type=Path, metavar="CSV", help="the table to enter")

    feedback = action("feedback", _feedback, "one HTML page a student, with hints", "feedback 04")
    feedback.add_argument("name", metavar="NAME", help="04 or 04_kl_loss")
    feedback.add_argument("students", nargs="*", metavar="STUDENT", help="only these")

    scores = action("scores", _scores, "tables of points and of mistakes, and a class report",
                    "scores 04")  # fmt: skip
    scores.add_argument("names", nargs="*", metavar="NAME", help="04 or 04_kl_loss (default: all)")
    _roster(scores)


def _roster(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--students", type=Path, metavar="CSV",
                        help="a column `student` with identifiers, other columns with names for "
                             "them (default: students.csv in the course folder)")  # fmt: skip


def _guarded(work: Callable, arguments: argparse.Namespace) -> int:
    from vae_course.teach._course import Course, TeachError

    try:
        import nbgrader  # noqa: F401
    except ModuleNotFoundError:
        print('vae-course: teaching needs nbgrader: pip install -e ".[teach]" in a clone of the '
              "course", file=sys.stderr)  # fmt: skip
        return 1
    try:
        return work(arguments, Course(arguments.course))
    except TeachError as error:
        print(f"vae-course: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"vae-course: {error}", file=sys.stderr)
        return 1
    except ValueError as error:
        print(f"vae-course: {error}", file=sys.stderr)
        return 2


def _release(arguments: argparse.Namespace, course) -> int:
    from vae_course.teach import release

    source = arguments.source or _checkout()
    known = {**release.sources(source), **release.sources(course.folder / "source")}
    failures = 0
    for name in release.pick(arguments.names, sorted(known), str(source)):
        try:
            outcome = release.release(course, source, name, again=arguments.again)
        except release.TeachError as error:
            failures += 1
            print(f"vae-course: {error}", file=sys.stderr)
        else:
            print(f"{name}: {outcome}: {course.notebook('release', name)}")
    return 1 if failures else 0


def _checkout() -> Path:
    from vae_course.teach._course import TeachError

    folder = Path(__file__).resolve().parents[2] / "assignments" / "source"
    if not folder.is_dir():
        raise TeachError(
            "the assignments are in a clone of the course, not in the installed package: install "
            'it there with pip install -e ".[teach]", or name a folder with --source'
        )
    return folder


def _name(arguments: argparse.Namespace, course) -> str:
    from vae_course.teach.release import pick

    return pick([arguments.name], course.released(), f"{course.folder}/release")[0]


def _known(arguments: argparse.Namespace, course) -> dict[str, str]:
    from vae_course.teach import names

    path = arguments.students or course.folder / "students.csv"
    return names.mapping(path) if arguments.students or path.exists() else {}


def _collect(arguments: argparse.Namespace, course) -> int:
    from vae_course.teach import collect

    name = _name(arguments, course)
    known = _known(arguments, course)
    rows = collect.collect(course, name, arguments.where, known=known)
    taken = {row.student for row in rows if row.outcome in ("collected", "unchanged")}
    listed = course.folder / "collected" / f"{name}.csv"
    print(f"{len(rows)} files, {len(taken)} students. The list: {listed}")
    for row in rows:
        if row.outcome not in ("collected", "unchanged"):
            print(f"  {row.file}: {row.outcome}")
    for row in rows:
        if row.student in taken and row.notebook_says not in ("", row.student):
            print(f"  {row.file}: taken for {row.student}, but the notebook says "
                  f"STUDENT = {row.notebook_says!r}. Map one to the other in students.csv, "
                  "else its numbers are those of somebody else.")  # fmt: skip
    if known:
        for stranger in sorted(taken - set(known.values())):
            print(f"  {stranger}: not in the list of students")
    return 0


def _grade(arguments: argparse.Namespace, course) -> int:
    from vae_course.teach import fence, grade

    name = _name(arguments, course)
    asked = {"cell_seconds": arguments.cell_seconds, "memory_mb": arguments.memory,
             "notebook_seconds": arguments.notebook_seconds}  # fmt: skip
    limits = {key: value for key, value in asked.items() if value}
    if unknown := set(arguments.students) - set(course.students(name)):
        raise ValueError(f"{', '.join(sorted(unknown))}: nothing was handed in for {name}")
    if not fence.version():
        print("This system has no Landlock: what students wrote can write wherever you can. Grade "
              "in a container (assignments/README.md).", file=sys.stderr)  # fmt: skip
    done = failed = 0
    for record, seconds in grade.grade(
        course, name, students=arguments.students, again=arguments.again,
        jobs=max(1, arguments.jobs), limits=limits,
    ):  # fmt: skip
        done += 1
        failed += record["status"] == "failed"
        print(f"{record['student']}: {_sum(record)}, {seconds:.0f} s", flush=True)
        for sentence in record["review"]:
            print(f"    look at: {sentence.splitlines()[0]}", flush=True)
    skipped = len(course.students(name)) - done
    print(f"{done} graded, {skipped} left as they were (graded before, or not asked for)")
    return 1 if failed else 0


def _sum(record: dict) -> str:
    if record["status"] != "graded":
        return record["status"]
    cells = record["cells"].values()
    points = sum(c["points"] or 0 for c in cells if not c["bonus"])
    of = sum(c["of"] for c in cells if not c["bonus"])
    bonus = sum(c["points"] or 0 for c in cells if c["bonus"])
    waiting = sum(c["points"] is None for c in cells)
    more = f", bonus {bonus:g}" if bonus else ""
    return f"{points:g} of {of:g}{more}" + (f", {waiting} to grade by hand" if waiting else "")


def _marks(arguments: argparse.Namespace, course) -> int:
    from vae_course.teach import marks

    name = _name(arguments, course)
    if arguments.table is None:
        print(f"fill in the column points: {marks.write_template(course, name)}")
    else:
        print(f"{marks.enter(course, name, arguments.table)} rows entered")
    return 0


def _feedback(arguments: argparse.Namespace, course) -> int:
    from vae_course.teach import feedback

    name = _name(arguments, course)
    failures = 0
    for student in arguments.students or course.students(name):
        try:
            outcome = feedback.feedback(course, name, student)
        except feedback.TeachError as error:
            failures += 1
            print(f"vae-course: {error}", file=sys.stderr)
        else:
            print(f"{student}: {outcome}")
    return 1 if failures else 0


def _scores(arguments: argparse.Namespace, course) -> int:
    from vae_course.teach import release, scores

    roster = sorted(set(_known(arguments, course).values()))
    for name in release.pick(arguments.names, course.released(), f"{course.folder}/release"):
        rows = scores.write_all(course, name, roster)
        print(f"{name}: {len(rows)} students: {course.folder}/scores/{name}.csv and .html")
    return 0
