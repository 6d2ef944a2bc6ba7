"""The command line: parses, calls, reports. The work of each subcommand is in its own module."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from vae_course import __version__
from vae_course.admin import doctor, stamp, start
from vae_course.teach import parser as teach_parser


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


def _parser() -> argparse.ArgumentParser:
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
    for action in (run, check, tidy):
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
    doctor.add_command(commands)
    stamp.add_command(commands)
    start.add_command(commands)
    teach_parser.add_to(commands, _example)
    return parser


def _add_train(commands: argparse._SubParsersAction) -> None:
    train = commands.add_parser(
        "train",
        help="a long training run with a log, checkpoints and a model card",
        description="Train a model and write into --out: log.csv, checkpoint.safetensors while it "
        "runs, and at the end model.safetensors with its card, model.json.",
        **_example(
            "vae-course train --model conv-vae --dataset mnist-5k --epochs 20 --out runs/digits\n"
            "  vae-course train --model gpt --preset minutes --out runs/shakespeare\n"
            "  accelerate launch --multi_gpu --num_processes 2 -m vae_course train --model … "
            "(without GPUs add --device cpu)"
        ),
    )
    vaes = ["conv-vae", "dense-vae", "conditional-vae", "paper-vae"]
    train.add_argument("--model", required=True, choices=[*vaes, "gpt"], help="what to train")
    train.add_argument("--dataset", metavar="NAME", help="an image set (default: mnist); for gpt: "
                       "shakespeare, python-docs or the path of a text file")  # fmt: skip
    train.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="made if missing")
    train.add_argument("--seed", type=int, metavar="N", help="of every random number (default: 0)")
    train.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    train.add_argument("--device", metavar="NAME", default="auto", help="cpu, cuda (default: auto)")
    train.add_argument("--batch-size", type=_whole, metavar="N", help="images or windows a step")
    train.add_argument("--learning-rate", type=float, metavar="X", help="the highest one")
    train.add_argument("--precision", choices=["float32", "bfloat16"], help="of matrix products")
    vae = train.add_argument_group("the VAEs")
    for name, help_text in {
        "epochs": "passes over the images", "latent-dim": "dimensions of z (default: 20)",
        "samples": "K: 1 trains the ELBO, more the importance-weighted bound",
        "width": "channels of the first convolution, hidden units of dense-vae, channels of gpt",
        "importance-samples": "of the bound on log p(x) measured at the end",
    }.items():  # fmt: skip
        vae.add_argument(f"--{name}", type=_whole, metavar="N", help=help_text)
    vae.add_argument("--optimizer", choices=["adam", "muon"], help="muon needs torch 2.9")
    vae.add_argument("--binarized", action=argparse.BooleanOptionalAction, default=None,
                     help="black or white pixels, drawn anew in each epoch")  # fmt: skip
    gpt = train.add_argument_group("--model gpt")
    gpt.add_argument("--preset", choices=["minutes", "hour"], help="settings to start from")
    for name, help_text in {
        "steps": "optimizer steps in all", "layers": "blocks", "heads": "attention heads a block",
        "block-size": "characters of context",
    }.items():  # fmt: skip
        gpt.add_argument(f"--{name}", type=_whole, metavar="N", help=help_text)
    gpt.add_argument("--dropout", type=float, metavar="P", help="share of values dropped")
    gpt.add_argument("--store", choices=["float32", "float16"], help="dtype of the stored weights")
    train.set_defaults(work=_train)


def _whole(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of 1 or more")
    return number


_whole.__name__ = "whole number"  # in argparse's "invalid … value"


def _train(arguments: argparse.Namespace) -> int:
    from vae_course.files import DataError

    try:
        if arguments.model == "gpt":
            from vae_course.runs.train_gpt import train_and_save
        else:
            from vae_course.runs.train_vae import train_and_save
        if sentence := train_and_save(arguments):
            print(sentence)
    except (DataError, FloatingPointError, OSError) as error:
        print(f"vae-course: {error}", file=sys.stderr)
        return 1
    except ValueError as error:
        raise _BadArgument(str(error)) from None
    return 0


def _notebooks_run(arguments: argparse.Namespace) -> int:
    from vae_course.admin import notebooks

    failures = 0
    for path in _notebook_paths(arguments):
        print(f"{path.stem} … ", end="", flush=True)
        try:
            seconds = notebooks.run_notebook(path)
        except notebooks.NotebookFailed as failure:
            failures += 1
            print(f"failed, the stored notebook is unchanged\n\n{failure}\n")
        else:
            print(f"{seconds:.0f} s")
    return 1 if failures else 0


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
    arguments = _parser().parse_args(argv)
    try:
        return arguments.work(arguments)
    except _BadArgument as error:
        print(f"vae-course: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        extra = "train" if error.name == "accelerate" else "test"
        print(
            f"vae-course: this command needs {error.name}: "
            f'python -m pip install -e ".[{extra}]" in a clone of the course',
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print("\nvae-course: interrupted", file=sys.stderr)
        return 130
