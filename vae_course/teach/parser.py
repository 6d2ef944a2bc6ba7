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

    def action(name: str, work: Callable, text: str, sample: str = "", many: bool = False):
        made = actions.add_parser(
            name, help=text, description=text, **example(f"vae-course teach {name} 04{sample}")
        )
        which = "04 or 04_kl_loss" + (" (default: all)" if many else "")
        made.add_argument("names" if many else "name", nargs="*" if many else None,
                          metavar="NAME", help=which)  # fmt: skip
        made.set_defaults(work=lambda arguments: _guarded(work, arguments))
        return made.add_argument

    add = action("release", _release, "make what students get, and check it", many=True)
    add("--source", type=Path, metavar="FOLDER",
        help="assignments with solutions (default: the checkout's)")  # fmt: skip
    add("--again", action="store_true", help="write it again where it changed")

    add = action("collect", _collect, "take in a folder or an archive of notebooks", " in.zip")
    add("where", type=Path, metavar="FOLDER_OR_ZIP", help="what came in")

    add = action("grade", _grade, "grade what is not graded yet, a student at a time")
    add("students", nargs="*", metavar="STUDENT", help="only these, again")
    add("--again", action="store_true", help="also those graded before")
    add("--jobs", type=int, default=1, metavar="N", help="students side by side")
    add("--cell-seconds", type=int, metavar="S", help="limit of a cell (60)")
    add("--notebook-seconds", type=int, metavar="S", help="of a notebook (300)")
    add("--memory", type=int, metavar="MB", dest="memory_mb", help="of a submission (4000)")
    add("--due", metavar="DATE", help="2026-02-06T23:59, by the clock of what came in")
    add("--late-penalty", type=float, metavar="PERCENT", help="of the points, for each day begun")
    add("--extend", action="append", default=[], metavar="STUDENT=DAYS", help="later for one")
    add("--late", action="append", default=[], metavar="STUDENT=DAYS",
        help="where the platform knows and its archive doesn't")  # fmt: skip

    add = action("marks", _marks, "what a person reads: as a table out, with your points in")
    add("table", nargs="?", type=Path, metavar="CSV", help="the table to enter")

    add = action("feedback", _feedback, "one HTML page a student, with hints")
    add("students", nargs="*", metavar="STUDENT", help="only these")

    add = action("scores", _scores, "tables of points and of mistakes, and a class report",
                 many=True)  # fmt: skip
    add("--into", type=Path, metavar="CSV", help="your platform's grade table, to be filled in")
    add("--column", metavar="NAME", help="its column for the points")

    for parser in actions.choices.values():
        parser.add_argument("--course", type=Path, default=Path("course"), metavar="FOLDER",
                            help="your course folder (default: course)")  # fmt: skip
        parser.add_argument("--students", type=Path, metavar="CSV", dest="roster",
                            help="a column `student` with identifiers, other columns with "
                            "names for them (default: students.csv in the course folder)",
                            )  # fmt: skip


def _guarded(work: Callable, arguments: argparse.Namespace) -> int:
    from vae_course.teach.course import Course, TeachError

    try:
        import nbgrader  # noqa: F401

        return work(arguments, Course(arguments.course))
    except ModuleNotFoundError as error:
        if error.name != "nbgrader":
            raise
        print('vae-course: teaching needs nbgrader: pip install -e ".[teach]" in a clone of the '
              "course", file=sys.stderr)  # fmt: skip
    except (TeachError, OSError, ValueError) as error:
        print(f"vae-course: {error}", file=sys.stderr)
        return 2 if isinstance(error, ValueError) else 1
    return 1


def _each(students: list[str], work: Callable[[str], str]) -> int:
    r"""Do it for each, say how it went, go on where one can't; returns the exit code."""
    from vae_course.teach.course import TeachError

    failures = 0
    for student in students:
        try:
            print(f"{student}: {work(student)}", flush=True)
        except TeachError as error:
            failures += 1
            print(f"vae-course: {error}", file=sys.stderr)
    return 1 if failures else 0


def _release(arguments: argparse.Namespace, course) -> int:
    from vae_course.teach import release

    source = arguments.source or Path(__file__).resolve().parents[2] / "assignments" / "source"
    if not source.is_dir():
        raise release.TeachError(
            "the assignments are in a clone of the course, not in the installed package: install "
            'it there with pip install -e ".[teach]", or name a folder with --source'
        )
    known = {**release.sources(source), **release.sources(course.folder / "source")}

    def one(name: str) -> str:
        outcome = release.release(course, source, name, again=arguments.again)
        return f"{outcome}: {course.notebook('release', name)}"

    return _each(release.pick(arguments.names, sorted(known), str(source)), one)


def _name(arguments: argparse.Namespace, course) -> str:
    from vae_course.teach.release import pick

    return pick([arguments.name], course.released(), f"{course.folder}/release")[0]


def _people(arguments: argparse.Namespace, course) -> tuple[dict[str, str], dict[str, dict]]:
    r"""The list of students: names → identifier, and identifier → the other columns."""
    from vae_course.teach import names
    from vae_course.teach.course import read_table

    path = arguments.roster or course.folder / "students.csv"
    if not (arguments.roster or path.exists()):
        return {}, {}
    known = names.mapping(path)
    return known, {known[names.key(row.pop("student"))]: row for row in read_table(path)[0]}


def _collect(arguments: argparse.Namespace, course) -> int:
    from vae_course.teach import collect

    name = _name(arguments, course)
    known, people = _people(arguments, course)
    rows = collect.collect(course, name, arguments.where, known=known)
    taken = {row.student for row in rows if row.outcome.startswith(collect.TAKEN)}
    listed = course.folder / "collected" / f"{name}.csv"
    print(f"{len(rows)} files, {len(taken)} students. The list: {listed}")
    for row in rows:
        if row.outcome not in collect.TAKEN:
            print(f"  {row.path}: {row.outcome}")
        if row.student not in taken:
            continue
        if row.late:
            print(f"  {row.path}: late, says the platform (grade --late {row.student}=DAYS)")
        if row.notebook_says not in ("", row.student):
            print(f"  {row.path}: taken for {row.student}, but the notebook says STUDENT = "
                  f"{row.notebook_says!r}. If that is the same person, add it to the row of "
                  f"{row.student} in students.csv.")  # fmt: skip
    for stranger in sorted(taken - set(people)) if people else []:
        print(f"  {stranger}: not in the list of students")
    if any(row.downloaded for row in rows):
        print("Such an archive doesn't say when they were handed in, your platform does: nobody "
              "counts as late, unless you say so with grade --late STUDENT=DAYS.")  # fmt: skip
    return 0


def _grade(arguments: argparse.Namespace, course) -> int:
    from vae_course.teach import fence, grade, late, scores

    name = _name(arguments, course)
    limits = {key: vars(arguments)[key] for key in ("cell_seconds", "memory_mb", "notebook_seconds")
              if vars(arguments)[key]}  # fmt: skip
    if unknown := set(arguments.students) - set(course.students(name)):
        raise ValueError(f"{', '.join(sorted(unknown))}: nothing was handed in for {name}")
    late.set_dates(course, name, arguments.due, arguments.late_penalty, arguments.extend,
                   arguments.late)  # fmt: skip
    if not fence.version():
        print("This system has no Landlock: what students wrote can write wherever you can. Grade "
              "in a container (assignments/README.md).", file=sys.stderr)  # fmt: skip
    done = failed = 0
    for record, seconds in grade.grade(
        course, name, students=arguments.students, jobs=max(1, arguments.jobs), limits=limits,
        again=arguments.again or bool(arguments.students), known=_people(arguments, course)[0],
    ):  # fmt: skip
        done += 1
        failed += record["status"] == "failed"
        (row,) = scores.table(course, name, [record["student"]])
        print(f"{record['student']}: {scores.words(row)} ({seconds:.0f} s)", flush=True)
    students = course.students(name)
    for row in scores.table(course, name, students, advice=grade.advice(course, name)):
        if row.get("review"):
            print(f"look at {row['student']}: {row['review']}")
    left = len(students) - done
    print(f"{done} graded, {left} left as they were (graded before, or not asked for)")
    return 1 if failed else 0


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
    code = _each(arguments.students or course.students(name),
                 lambda student: feedback.feedback(course, name, student))  # fmt: skip
    if path := feedback.archive(course, name):
        print(f"all of them, named as they came in, for your platform: {path}")
    return code


def _scores(arguments: argparse.Namespace, course) -> int:
    from vae_course.teach import release, scores

    known, people = _people(arguments, course)
    for name in release.pick(arguments.names, course.released(), f"{course.folder}/release"):
        rows = scores.write_all(course, name, people)
        print(f"{name}: {len(rows)} students: {course.folder}/scores/{name}.csv and .html")
        if arguments.into:
            path, entered = scores.fill_in(
                course, name, rows, known, arguments.into, arguments.column
            )
            print(f"{entered} totals entered: {path}")
    return 0
