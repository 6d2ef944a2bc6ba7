r"""The work of `vae-course train --model conv-vae` and its like: long runs of VAEs.

A run writes into one folder: log.csv (a line an epoch), checkpoint.safetensors (all that is needed
to go on), and at the end model.safetensors with model.json, its card. On several processes only
the first one writes and prints.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from vae_course.data import load_images
from vae_course.runs import GO_ON
from vae_course.runs.vae_objective import Settings
from vae_course.runs.vae_run import Run, stored_settings
from vae_course.training.resume import device_watched

__all__ = ["DEFAULTS", "Run", "Settings", "settings_from", "train_and_save"]

# Where a model differs from the defaults in `Settings`.
DEFAULTS = {
    "conv-vae": {},
    "conditional-vae": {},
    "dense-vae": {"width": 400},
    # The protocol of Burda et al. 2016, trained in larger batches with a faster optimizer.
    "paper-vae": {
        "latent_dim": 50, "width": 200, "batch_size": 500, "epochs": 800, "optimizer": "muon",
        "learning_rate": 1e-2, "binarized": True, "importance_samples": 5000,
    },
}  # fmt: skip
ONLY_GPT = ("steps", "layers", "heads", "block_size", "dropout", "store", "preset")


def settings_from(model: str, **given: object) -> Settings:
    r"""The model's settings, with those that are given and not None in their place.

    Raises: ValueError on values that nothing can be trained with.
    """
    if model not in DEFAULTS:
        raise ValueError(f"there is no model {model!r}; choose from {', '.join(DEFAULTS)}")
    chosen = {key: value for key, value in given.items() if value is not None}
    settings = Settings(model=model, **(DEFAULTS[model] | chosen))
    for field in ("epochs", "samples", "latent_dim", "width", "batch_size", "importance_samples"):
        if getattr(settings, field) < 1:
            raise ValueError(f"{field} must be 1 or more, but is {getattr(settings, field)}")
    if model == "paper-vae" and (settings.latent_dim, settings.width) != (50, 200):
        raise ValueError("paper-vae is 784-200-200-50: leave out --latent-dim and --width")
    if not 0 < settings.learning_rate < 100:
        raise ValueError(f"learning_rate must be positive, but is {settings.learning_rate}")
    return settings


def train_and_save(arguments: argparse.Namespace) -> str:
    r"""Do what the command line asks for; returns the sentence to print at the end, "" if none.

    Raises: ValueError on arguments that don't fit; DataError if the images can't be had.
    """
    fields = {field.name for field in dataclasses.fields(Settings)} - {"model"}
    given = {name: getattr(arguments, name, None) for name in sorted(fields)}
    given = {name: value for name, value in given.items() if value is not None}
    out: Path = arguments.out
    if strange := [name for name in ONLY_GPT if getattr(arguments, name, None) is not None]:
        raise ValueError(f"--{strange[0].replace('_', '-')} belongs to --model gpt; leave it out")
    if arguments.device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"--device {arguments.device}: choose from auto, cpu, cuda")
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out {out} is a file; give a folder")
    if arguments.resume:
        settings = _resumed(out, arguments.model, given)
    elif (out / "checkpoint.safetensors").exists():
        raise ValueError(f"{out} holds a run already: add --resume, or give another --out")
    else:
        settings = settings_from(arguments.model, **given)
    run = Run(settings, load_images(settings.dataset), cpu=arguments.device == "cpu")
    if arguments.device == "cuda" and run.accelerator.device.type != "cuda":
        raise ValueError("--device cuda: torch finds no CUDA device here; leave --device out")
    if arguments.resume:
        run.resume(out)
    run.commands.append(_command(arguments, given, run.accelerator.num_processes))
    run.accelerator.wait_for_everyone()  # nobody makes the folder before all have looked at it
    out.mkdir(parents=True, exist_ok=True)
    with device_watched(GO_ON):
        run.train(out)
    if not run.accelerator.is_main_process:
        return ""
    card = run.save_model(out)
    measured = card["measured"]["negative_elbo"]
    return (
        f"{out / 'model.safetensors'}: −ELBO {measured['mean']} ± {measured['standard_error']} "
        "nats per test image"
    )


def _resumed(out: Path, model: str, given: dict[str, object]) -> Settings:
    settings = stored_settings(out)
    if settings.model != model:
        raise ValueError(f"{out} holds a run of {settings.model}, not of {model}")
    changed = [name for name, value in given.items() if getattr(settings, name) != value]
    if changed:
        raise ValueError(
            f"--resume keeps the run's settings (the schedule depends on them); leave out "
            f"{', '.join('--' + name.replace('_', '-') for name in changed)}"
        )
    return settings


def _command(arguments: argparse.Namespace, given: dict[str, object], processes: int) -> str:
    options = [f"--model {arguments.model}"]
    for name, value in given.items():
        option = name.replace("_", "-")
        if isinstance(value, bool):
            options.append(f"--{'' if value else 'no-'}{option}")
        else:
            options.append(f"--{option} {value}")
    options += [f"--device {arguments.device}"] * (processes > 1 and arguments.device != "auto")
    options += ["--resume"] * arguments.resume
    start = "vae-course train"
    if processes > 1:
        start = f"accelerate launch --multi_gpu --num_processes {processes} -m vae_course train"
    return " ".join([start, *options, "--out FOLDER"])
