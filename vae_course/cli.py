"""The command line: parses, calls, reports. The work of each subcommand is in its own module."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from vae_course import __version__
from vae_course.runs import FAMILIES

# Commands whose options stand beside their work, in a module that is loaded when it is asked for.
ELSEWHERE = {
    "start": ("vae_course.admin.start", "the notebooks in a folder of your own"),
    "doctor": ("vae_course.admin.doctor", "what is wrong here, and the command that mends it"),
    "generate": ("vae_course.runs.trained", "new pictures (or rows) from a trained VAE"),
    "reconstruct": ("vae_course.runs.trained", "test pictures and what a VAE makes of them"),
    "examine": ("vae_course.runs.trained", "the clinic: what is wrong with a trained VAE"),
    "stamp": ("vae_course.admin.stamp", "write your fork's address into badges and notebooks"),
    "teach": ("vae_course.teach.parser", "an instructor's week: release, collect, grade, scores"),
}


class _BadArgument(Exception):
    """An argument that only the work itself can judge, for example a name that does not exist."""


class _Parser(argparse.ArgumentParser):
    """An argument parser that says what is wrong in one line and leaves with exit code 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _example(text: str) -> dict[str, object]:
    return {
        "epilog": f"example:\n  {text}",
        "formatter_class": argparse.RawDescriptionHelpFormatter,
    }


def _parser(wanted: str) -> argparse.ArgumentParser:
    r"""With all options of the command that is wanted, and a line for each of the others."""
    parser = _Parser(
        prog="vae-course",
        description="Tools of the course on variational autoencoders.",
        **_example("vae-course notebooks run 01"),
    )
    parser.add_argument("--version", action="version", version=f"vae-course {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    notebooks = commands.add_parser(
        "notebooks",
        help="re-execute the notebooks in place, or check what they store",
        description="Re-execute the notebooks in place, or check what they store.",
        **_example("vae-course notebooks check"),
    )
    actions = notebooks.add_subparsers(dest="action", metavar="ACTION", required=True)
    run = actions.add_parser(
        "run",
        help="re-execute in place and store clean outputs",
        description="Re-execute notebooks in place and store clean outputs: no timing, no progress "
        "bars, no widget state. A notebook that fails is left as it was.",
        **_example("vae-course notebooks run 01 02"),
    )
    check = actions.add_parser(
        "check",
        help="run and compare with the stored outputs (nbval, strict)",
        description="Run notebooks in a fresh kernel and compare every output with the stored one.",
        **_example("vae-course notebooks check 01_autoencoders"),
    )
    tidy = actions.add_parser(
        "tidy",
        help="bring into the stored form without running",
        description="Store notebooks without an editor's metadata, and with what the cells' tags "
        "(claim, setup, hide-input) mean to JupyterLab, Colab and the website. Nothing is run.",
        **_example("vae-course notebooks tidy 01"),
    )
    page = actions.add_parser(
        "html",
        help="one HTML page of a notebook, with --live one in which the explorers move",
        description="Write a notebook with its stored outputs as one HTML page, to hand out. With "
        "--live the notebook is executed once, and its explorers move in the page without Python.",
        **_example("vae-course notebooks html 04 --live"),
    )
    page.add_argument("--live", action="store_true", help="let the explorers move (runs it once)")
    page.add_argument("--to", type=Path, metavar="FILE", help="the page (default: NAME.html here)")
    page.add_argument("names", nargs=1, metavar="NAME", help="notebook, such as 04")
    page.add_argument("--folder", type=Path, help="where the notebooks are")
    page.set_defaults(work=_notebooks_html)
    freeze = actions.add_parser(
        "freeze",
        help="draw the explorers of notebooks for the website",
        description="Execute notebooks and store their explorers, drawn over a grid of their "
        "values, in a folder for each notebook. The website takes them from build/frozen.",
        **_example("vae-course notebooks freeze 04 --to build/frozen"),
    )
    freeze.add_argument("--to", type=Path, default=Path("build/frozen"), metavar="FOLDER",
                        help="the folder (default: build/frozen)")  # fmt: skip
    freeze.set_defaults(work=_notebooks_freeze)
    exercise = actions.add_parser(
        "new-exercise",
        help="a file and a notebook to start an exercise from",
        description="Write NAME.py, an exercise of your own to fill in, and NAME.ipynb, the cells "
        "that ask it. docs/add_an_exercise.md goes on from there.",
        **_example("vae-course notebooks new-exercise bits_per_pixel"),
    )
    exercise.add_argument("name", metavar="NAME", help="the function that students write")
    exercise.add_argument("--folder", type=Path, default=Path(), help="where (default: here)")
    exercise.add_argument("--graded", action="store_true", help="cells of an nbgrader assignment")
    exercise.set_defaults(work=_new_exercise)
    for action in (run, check, tidy, freeze):
        action.add_argument(
            "names", nargs="*", metavar="NAME", help="01, 01_autoencoders or a path (default: all)"
        )
        action.add_argument(
            "--folder", type=Path, help="where the notebooks are (default: those of the checkout)"
        )
    run.set_defaults(work=_notebooks_run)
    check.set_defaults(work=_notebooks_check)
    tidy.set_defaults(work=_notebooks_tidy)
    _add_train(commands)
    for name, (module, text) in ELSEWHERE.items():
        if name == wanted:
            loaded = importlib.import_module(module)
            add = getattr(loaded, f"add_{name}", None) or loaded.add_command
            add(commands)
        else:
            commands.add_parser(name, help=text)
    return parser


def _add_train(commands: argparse._SubParsersAction) -> None:
    train = commands.add_parser(
        "train",
        help="a long training run with a log, checkpoints and a model card",
        description="Train a model and write into --out: log.csv, checkpoint.safetensors while it "
        "runs, and at the end model.safetensors with its card, model.json. Each model has options "
        "of its own: vae-course train --model NAME --help",
        add_help=False,
        allow_abbrev=False,
        **_example(
            "vae-course train --model conv-vae --dataset mnist-5k --epochs 20 --out runs/digits\n"
            "  vae-course train --model conv-vae --data my-pictures/ --out runs/mine\n"
            "  vae-course train --model gpt --preset minutes --out runs/shakespeare\n"
            "  accelerate launch --multi_gpu --num_processes 2 -m vae_course train --model … "
            "(without GPUs add --device cpu)"
        ),
    )
    train.add_argument("-h", "--help", action=_TrainHelp, nargs=0, help="show this, or a model's")
    train.add_argument("--model", required=True, choices=list(FAMILIES), help="what to train")
    train.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="made if missing")
    train.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    train.add_argument("--device", choices=["auto", "cpu", "cuda", "mps"], default="auto",
                       help="default: auto, the fastest there is")  # fmt: skip
    train.add_argument("--log-with", metavar="TRACKER", help="tensorboard, wandb or another that "
                       "Accelerate knows, beside log.csv")  # fmt: skip
    train.set_defaults(work=_train)


class _TrainHelp(argparse.Action):
    """--help of `train`: with a model named before it, that model's own options."""

    def __call__(self, parser, namespace, values, option_string=None):
        parser.print_help() if namespace.model is None else _model_parser(namespace).print_help()
        parser.exit()


def _model_parser(arguments: argparse.Namespace) -> _Parser:
    from vae_course.runs import command

    prog = f"vae-course train --model {arguments.model}"
    parser = _Parser(prog=prog, allow_abbrev=False, usage=f"{prog} --out FOLDER [option …]")
    command.add_options(parser, arguments.model)
    return parser


def _train(arguments: argparse.Namespace) -> int:
    from vae_course.files import DataError
    from vae_course.runs import command
    from vae_course.training import TrainingDiverged

    parser = _model_parser(arguments)
    named = parser.format_help()
    parser.parse_args(arguments.rest, arguments)
    try:
        if sentence := command.train(arguments):
            print(sentence)
    except TrainingDiverged as error:
        what = str(error).partition(". Likely causes")[0]
        print(f"vae-course: {what}: try a smaller one", file=sys.stderr)
        return 1
    except (DataError, OSError) as error:
        how = ' (here as --loading "…")' if "=" in str(error) and "--loading" in named else ""
        print(f"vae-course: {error}{how}", file=sys.stderr)
        return 1
    except ValueError as error:
        raise _BadArgument(str(error)) from None
    return 0


def _new_exercise(arguments: argparse.Namespace) -> int:
    from vae_course.checks.template import new_exercise

    try:
        files = new_exercise(arguments.name, arguments.folder, graded=arguments.graded)
    except (ValueError, OSError) as error:
        raise _BadArgument(str(error)) from error
    print(*(f"wrote {file}" for file in files), sep="\n")
    return 0


def _notebooks_run(arguments: argparse.Namespace) -> int:
    from vae_course.admin import notebooks

    return _each_notebook(arguments, lambda path: f"{notebooks.run_notebook(path):.0f} s")


def _each_notebook(arguments: argparse.Namespace, work: Callable[[Path], str]) -> int:
    from vae_course.admin import notebooks

    failures = 0
    for path in _notebook_paths(arguments):
        print(f"{path.stem} … ", end="", flush=True)
        try:
            print(work(path), flush=True)
        except notebooks.NotebookFailed as failure:
            failures += 1
            print(f"failed, what was stored is unchanged\n\n{failure}\n")
    return 1 if failures else 0


def _notebooks_html(arguments: argparse.Namespace) -> int:
    from vae_course.admin import notebooks

    [path, *others] = _notebook_paths(arguments)
    if others:
        raise _BadArgument(f"{arguments.names[0]!r} fits several notebooks; give one in full")
    to = arguments.to or Path(f"{path.stem}.html")
    if to.is_dir() or not to.absolute().parent.is_dir():
        raise _BadArgument(f"--to is {to}; expected a file in a folder that exists")
    try:
        moving = notebooks.html_page(path, to, live=arguments.live)
    except notebooks.NotebookFailed as failure:
        print(f"no page was written\n\n{failure}\n")
        return 1
    said = f", {moving} explorers and quizzes in it are alive" if arguments.live else ""
    print(f"{to}: {to.stat().st_size / 1e6:.1f} MB{said}")
    return 0


def _notebooks_freeze(arguments: argparse.Namespace) -> int:
    from vae_course.admin import notebooks
    from vae_course.files import write_whole
    from vae_course.widgets.frozen import table

    def frozen(path: Path) -> str:
        files = notebooks.freeze_notebook(path, arguments.to / path.stem)
        size = sum(file.stat().st_size for file in files) / 1e6
        return f"{len(files)} explorers and quizzes, {size:.1f} MB"

    failed = _each_notebook(arguments, frozen)
    about = table(arguments.to)
    write_whole(arguments.to / "table.md", about.encode())
    print(f"\n{about}\nin {arguments.to / 'table.md'}")
    return failed


def _notebooks_check(arguments: argparse.Namespace) -> int:
    from vae_course.admin import notebooks

    return notebooks.check_notebooks(_notebook_paths(arguments))


def _notebooks_tidy(arguments: argparse.Namespace) -> int:
    from vae_course.admin import notebooks

    for path in _notebook_paths(arguments):
        try:
            changed = notebooks.tidy_notebook(path)
        except notebooks.NotebookFailed as failure:
            print(failure)
            return 1
        print(f"{path.stem}: {'tidied' if changed else 'nothing to do'}")
    return 0


def _notebook_paths(arguments: argparse.Namespace) -> list[Path]:
    from vae_course.admin import notebooks

    try:
        return notebooks.find_notebooks(arguments.names, folder=arguments.folder)
    except (ValueError, FileNotFoundError) as error:
        raise _BadArgument(str(error)) from None


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code: 0 done, 1 failed, 2 bad arguments, 130 interrupted."""
    for stream in (sys.stdout, sys.stderr):  # a Windows console or pipe may not know "…"
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    # Read when torch is loaded, here or in a kernel started from here. Threads that
    # wait for each other turn in a circle; soon asleep, they leave the core to whoever is late.
    # Only libgomp (Linux) knows it; 30,000 turns: benchmarks.waiting.
    os.environ.setdefault("GOMP_SPINCOUNT", "30000")
    argv = sys.argv[1:] if argv is None else argv
    parser = _parser(next((word for word in argv if not word.startswith("-")), ""))
    arguments, arguments.rest = parser.parse_known_args(argv)
    if arguments.rest and arguments.work is not _train:  # whose options depend on the model
        parser.error(f"unrecognized arguments: {' '.join(arguments.rest)}")
    try:
        return arguments.work(arguments)
    except _BadArgument as error:
        print(f"vae-course: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        extra = {"accelerate": "train", "latex2mathml": "lab"}.get(error.name, "test")
        print(
            f"vae-course: this command needs {error.name}: "
            f'python -m pip install -e ".[{extra}]" in a clone of the course',
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print("\nvae-course: interrupted", file=sys.stderr)
        return 130
