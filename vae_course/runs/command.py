r"""What `vae-course train` does: options that a model has, a new or a resumed run, its end."""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import get_type_hints

import torch

from vae_course.data import IMAGE_SETS
from vae_course.printing import say
from vae_course.runs import family
from vae_course.runs.run import CHECKPOINT, Run, stored_settings
from vae_course.training.resume import device_watched


def add_options(parser: argparse.ArgumentParser, model: str) -> None:
    r"""Every field of the model's `Settings` as an option, and --preset where there are some."""
    described = family(model)
    defaults = described.Settings(model=model, **described.DEFAULTS[model])
    types = get_type_hints(described.Settings)
    for field in dataclasses.fields(described.Settings):
        if field.name == "model":
            continue
        names = [f"--{field.name.replace('_', '-')}"] + ["--data"] * (field.name == "dataset")
        default, kind = getattr(defaults, field.name), types[field.name]
        shown = f" (default: {default})" if default != "" else ""
        help_text = f"{field.metadata['help']}{shown}"
        options: dict[str, object] = {"dest": field.name, "default": None, "help": help_text}
        if kind is bool:
            parser.add_argument(*names, action=argparse.BooleanOptionalAction, **options)
            continue
        options["metavar"] = {int: "N", float: "X", str: "NAME"}[kind]
        if field.metadata["choices"]:
            options |= {"choices": field.metadata["choices"], "metavar": None}
        whole = kind is int and default  # where 0 means something, it is the default
        parser.add_argument(*names, type=whole_number if whole else kind, **options)
    if presets := getattr(described, "PRESETS", None):
        parser.add_argument("--preset", choices=sorted(presets), help="settings to start from")


def whole_number(text: str) -> int:
    r"""Raises: ArgumentTypeError, ValueError unless it is one of 1 or more."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of 1 or more")
    return number


whole_number.__name__ = "whole number"  # in argparse's "invalid … value"


def settings_from(model: str, *, preset: str | None = None, **given: object) -> object:
    r"""The model's settings: its defaults, a preset's, and those given that are not None.

    Raises: ValueError on values that nothing can be trained with.
    """
    described = family(model)
    presets: Mapping[str, dict] = getattr(described, "PRESETS", {})
    if preset is not None and preset not in presets:
        raise ValueError(f"there is no preset {preset!r}; choose from {', '.join(presets)}")
    chosen = {key: value for key, value in given.items() if value is not None}
    types = get_type_hints(described.Settings)
    own = getattr(described, "OWN_DEFAULTS", {}).get(model, {})
    if chosen.get("dataset", "mnist") in IMAGE_SETS:
        own = {}
    for name, value in chosen.items():
        if types[name] is int and value < 1 and getattr(described.Settings, name):
            raise ValueError(f"{name} must be 1 or more, but is {value}")
    chosen = described.DEFAULTS[model] | own | presets.get(preset, {}) | chosen
    settings = described.Settings(model=model, **chosen)
    if not 0 < settings.learning_rate < 100:
        raise ValueError(f"learning_rate must be positive, but is {settings.learning_rate}")
    return settings


def train(options: argparse.Namespace) -> str:
    r"""Train as the command line asks; returns the sentence to print at the end, "" if none.

    options: model, out, resume, and whatever of device, log_with, preset and the settings is given
    Raises: ValueError on what doesn't fit; DataError if the data can't be had; TrainingDiverged,
        DeviceLost, OSError in the training, whose checkpoint then stays.
    """
    described, out = family(options.model), Path(options.out)
    given = {
        field.name: value
        for field in dataclasses.fields(described.Settings)
        if field.name != "model" and (value := getattr(options, field.name, None)) is not None
    }
    preset, resume = getattr(options, "preset", None), options.resume
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out {out} is a file; give a folder")
    if resume:
        settings = _resumed(described, out, options.model, preset, given)
    elif (out / CHECKPOINT).exists():
        raise ValueError(f"{out} holds a run already: add --resume, or give another --out")
    else:
        settings = settings_from(options.model, preset=preset, **given)
    device = getattr(options, "device", None) or "auto"
    settings = _without_slow_bfloat16(settings, given, device, resume)
    run = Run(described.Task(settings), out, device=device,
              trackers=getattr(options, "log_with", None))  # fmt: skip
    if resume:
        run.resume()
    run.commands.append(_command(options.model, given, preset, resume, run.world, device))
    run.accelerator.wait_for_everyone()  # nobody makes the folder before all have looked at it
    out.mkdir(parents=True, exist_ok=True)
    with device_watched(run.go_on):
        card = run.train()
    if not card:  # another process writes it
        return ""
    said = f"{out / 'model.safetensors'}: {run.task.sentence(card)}"
    if hasattr(run.task, "page"):
        said += f"\n{run.task.page(out, card, run.history)}: what it makes, card and clinic"
    return said


def _without_slow_bfloat16(settings, given: dict, device: str, resume: bool) -> object:
    r"""The settings; in float32 where bfloat16 is slow and was only the default.

    What is changed is put into `given`, so that the card's command says it too.
    """
    half, muon = settings.precision == "bfloat16", getattr(settings, "optimizer", "") == "muon"
    if not (half or muon) or (times := _times_as_long(device)) < _TOO_SLOW:
        return settings
    slow = f"on this processor a layer takes {times:.0f} times as long in bfloat16"
    if muon:
        say(f"Slow: Muon computes in bfloat16, and {slow}. --optimizer adam does not.")
    if half and (resume or "precision" in given):
        say(f"Slow: {slow}. A new run with --precision float32 would not wait for that.")
    elif half:
        say(f"--precision float32 is taken in place of bfloat16: {slow}.")
        given["precision"] = "float32"
        return dataclasses.replace(settings, precision="float32")
    return settings


_TOO_SLOW = 2.0  # with instructions for it bfloat16 is the faster one


def _times_as_long(device: str) -> float:
    r"""A layer there and back in bfloat16 against float32; 0 on a GPU, which is not tried.

    Processors without instructions for bfloat16 emulate it: a whole training took 8 to 12 times.
    """
    if device != "cpu" and (torch.cuda.is_available() or torch.backends.mps.is_available()):
        return 0.0
    image, weight = torch.ones(128, 784), torch.ones(784, 400, requires_grad=True)
    seconds = {}
    for half in (False, True):
        tries = []
        for _ in range(5):
            began = time.perf_counter()
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                output = image @ weight
            output.sum().backward()
            tries.append(time.perf_counter() - began)
        seconds[half] = min(tries)  # the first also prepares
    return seconds[True] / seconds[False]


def _resumed(described: ModuleType, out: Path, model: str, preset, given: dict) -> object:
    stored = stored_settings(out)
    if stored["model"] != model:
        raise ValueError(f"{out} holds a run of {stored['model']}, not of {model}")
    may_change = getattr(described, "MAY_CHANGE", ())
    changed = [n for n, value in given.items() if n not in may_change and stored.get(n) != value]
    changed += ["preset"] * (preset is not None)
    if changed:
        raise ValueError(
            "--resume keeps the run's settings, on which its result depends; leave out "
            f"{', '.join('--' + name.replace('_', '-') for name in changed)}"
        )
    more = {name: value for name, value in given.items() if name in may_change}
    return described.Settings(**(stored | more))


def _command(model: str, given: dict, preset, resume: bool, world: int, device: str) -> str:
    r"""The command line as the model card shows it."""
    options = [f"--model {model}"] + [f"--preset {preset}"] * (preset is not None)
    for name, value in given.items():
        option = name.replace("_", "-")
        if isinstance(value, bool):
            options.append(f"--{'' if value else 'no-'}{option}")
        else:
            options.append(f"--{option} {value}")
    options += [f"--device {device}"] * (world > 1 and device != "auto") + ["--resume"] * resume
    start = "vae-course train"
    if world > 1:
        start = f"accelerate launch --multi_gpu --num_processes {world} -m vae_course train"
    return " ".join([start, *options, "--out FOLDER"])
