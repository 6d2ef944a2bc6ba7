r"""The work of `vae-course train --model gpt`: long runs with a log, checkpoints and a model card.

A run writes into one folder: log.csv (a line every so many steps), checkpoint.safetensors (all
that is needed to go on), and at the end model.safetensors with model.json, its card.
"""

from __future__ import annotations

import argparse
import dataclasses

import torch

from vae_course.runs import GO_ON
from vae_course.runs.gpt_run import Run, Settings, mean_loss
from vae_course.training.resume import device_watched

__all__ = ["PRESETS", "Run", "Settings", "mean_loss", "settings_from", "train_and_save"]

PRESETS = {
    # The size and budget of the published CPU configuration (1.88): a few minutes on one core.
    "minutes": {"store": "float16"},
    # Less than an hour on one core, half of it if the core is free.
    "hour": {
        "steps": 12000, "batch_size": 8, "block_size": 128, "layers": 4, "heads": 6, "width": 192,
        "learning_rate": 2e-3, "precision": "bfloat16", "store": "float16", "evaluate_every": 500,
    },
}  # fmt: skip


def settings_from(preset: str | None = None, **given: object) -> Settings:
    r"""The preset's settings, with those that are given and not None in their place.

    Raises: ValueError on values that nothing can be trained with.
    """
    if preset is not None and preset not in PRESETS:
        raise ValueError(f"there is no preset {preset!r}; choose from {', '.join(PRESETS)}")
    chosen = {key: value for key, value in given.items() if value is not None}
    settings = Settings(**(PRESETS.get(preset, {}) | chosen))
    for field in ("steps", "batch_size", "block_size", "layers", "heads", "width"):
        if getattr(settings, field) < 1:
            raise ValueError(f"{field} must be 1 or more, but is {getattr(settings, field)}")
    if settings.width % settings.heads:
        raise ValueError(f"width {settings.width} can't be shared among {settings.heads} heads")
    if not 0 <= settings.dropout < 1:
        raise ValueError(f"dropout must be at least 0 and below 1, but is {settings.dropout}")
    if not settings.learning_rate > 0:
        raise ValueError(f"learning_rate must be positive, but is {settings.learning_rate}")
    return settings


def train_and_save(arguments: argparse.Namespace) -> str:
    r"""Do what the command line asks for; returns the sentence to print at the end.

    Raises: ValueError on arguments that don't fit; DataError if the text can't be had.
    """
    fields = [field.name for field in dataclasses.fields(Settings)]
    given = {name: getattr(arguments, name, None) for name in fields}
    given = {name: value for name, value in given.items() if value is not None}
    out, device = arguments.out, arguments.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"the device {device!r} can't be used: {error}") from None
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out {out} is a file; give a folder")
    if arguments.resume:
        if changed := sorted(set(given) - {"steps"}) + ["preset"] * (arguments.preset is not None):
            raise ValueError(f"--resume keeps the run's settings; leave out {', '.join(changed)}")
        run = Run.resume(out, steps=arguments.steps, device=device)
    else:
        if (out / "checkpoint.safetensors").exists():
            raise ValueError(f"{out} holds a run already: add --resume, or give another --out")
        run = Run(settings_from(arguments.preset, **given), device=device)
        out.mkdir(parents=True, exist_ok=True)
    options = [f"--{name.replace('_', '-')} {value}" for name, value in given.items()]
    options += [f"--preset {arguments.preset}"] * (arguments.preset is not None)
    options += ["--resume"] * arguments.resume
    run.commands.append(" ".join(["vae-course train --model gpt --out FOLDER", *options]))
    with device_watched(GO_ON):
        run.train(out)
    card = run.save_model(out)
    loss = card["measured"]["validation_loss"]
    return f"{out / 'model.safetensors'}: validation loss {loss} nats per character"
