r"""Long trainings, `vae-course train`: one `Run` for every model, and one file for each family.

A run writes into one folder: log.csv (a row each epoch, or every so many steps of a text model),
checkpoint.safetensors (all that is needed to go on), and at the end model.safetensors with
model.json, its card.

To add a model, write a file like vae.py, with three things in it, and name it in `FAMILIES`:

    Settings    a frozen dataclass of all that decides the weights; each field is an option of the
                command line (`setting`), with a default and a help text; model, dataset, seed,
                batch_size, learning_rate and precision are expected
    DEFAULTS    {model: {field: value}}: where a model differs from those defaults
    Task        what is trained, made from settings; what it must have stands in `run.Task`
"""

from __future__ import annotations

import dataclasses
import importlib
from types import ModuleType

# Which file describes a model. Their names are known without loading torch.
FAMILIES = {
    "conv-vae": "vae", "dense-vae": "vae", "conditional-vae": "vae", "paper-vae": "vae",
    "table-vae": "vae", "two-level-vae": "vae", "gpt": "gpt", "vq-vae": "vq", "vq-prior": "vq",
    "diffusion": "diffusion", "latent-diffusion": "diffusion",
}  # fmt: skip


def family(model: str) -> ModuleType:
    r"""The module that describes a model. Raises: ValueError if there is no such model."""
    if model not in FAMILIES:
        raise ValueError(f"there is no model {model!r}; choose from {', '.join(FAMILIES)}")
    return importlib.import_module(f"vae_course.runs.{FAMILIES[model]}")


def setting(default: object, text: str, *, choices: tuple[str, ...] = ()) -> dataclasses.Field:
    r"""A field of `Settings` that is an option of the command line too."""
    return dataclasses.field(default=default, metadata={"help": text, "choices": choices})
