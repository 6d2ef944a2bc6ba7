r"""Checkpoints: all that a training needs to go on, in one file that is whole or not there.

The file is safetensors: the tensors (weights, optimizer, random states) and, in its header, one
JSON text (epoch, log, settings) with a SHA-256 of both. One file and not two, because two files
can't be renamed in one step. Nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from vae_course.files import write_whole

FORMAT = "vae-course checkpoint 1"

Optimizers = torch.optim.Optimizer | Sequence[torch.optim.Optimizer]


class CheckpointError(ValueError):
    r"""A checkpoint can't be used; the message says which file, why, and what to do."""


@dataclass(frozen=True)
class Checkpoint:
    r"""What `read_checkpoint` found: `state` as it was given, and named tensors."""

    path: Path
    state: dict[str, Any]
    tensors: dict[str, Tensor]

    def restore(
        self,
        *,
        model: nn.Module,
        optimizer: Optimizers | None = None,
        scheduler: LRScheduler | None = None,
        generators: Mapping[str, Any] | None = None,
    ) -> None:
        r"""Put everything back in place: model, optimizers, scheduler, all random numbers.

        Without an optimizer only the weights are restored.
        Raises: CheckpointError if the checkpoint belongs to another model or optimizer; then
        nothing has been changed.
        """
        self._check_weights(model.state_dict())
        if optimizer is None:
            model.load_state_dict(self._below("model"))
            return
        optimizers = _listed(optimizer)
        self._check_optimizers(optimizers)
        for name in generators or {}:
            if f"generator/{name}" not in self.tensors and name not in self.state["streams"]:
                raise self._foreign(f"it holds no random numbers named {name!r}")
        if scheduler is not None and not self.state.get("scheduler"):
            raise self._foreign("it holds no scheduler")
        model.load_state_dict(self._below("model"))
        for index, held in enumerate(optimizers):
            groups = self._groups(index)
            held.load_state_dict({"state": self._moments(index), "param_groups": groups})
        if scheduler is not None:
            scheduler.load_state_dict(_like(scheduler.state_dict(), self.state["scheduler"]))
        for name, generator in (generators or {}).items():
            if isinstance(generator, torch.Generator):
                generator.set_state(self.tensors[f"generator/{name}"])
            else:
                set_stream(generator, self.state["streams"][name])
        for name, generator in (("python", random), ("numpy", np.random)):
            set_stream(generator, self.state["streams"][name])
        torch.set_rng_state(self.tensors["random/cpu"])
        device = next((p.device for p in model.parameters()), torch.device("cpu"))
        if device.type == "cuda" and "random/cuda" in self.tensors:
            torch.cuda.set_rng_state(self.tensors["random/cuda"], device)
        if device.type == "mps" and "random/mps" in self.tensors:
            torch.mps.set_rng_state(self.tensors["random/mps"])

    def _below(self, prefix: str) -> dict[str, Tensor]:
        start = f"{prefix}/"
        return {k.removeprefix(start): v for k, v in self.tensors.items() if k.startswith(start)}

    def _check_weights(self, own: Mapping[str, Tensor]) -> None:
        stored = {name: tuple(tensor.shape) for name, tensor in self._below("model").items()}
        wanted = {name: tuple(tensor.shape) for name, tensor in own.items()}
        for name in [*wanted, *(name for name in stored if name not in wanted)]:
            if stored.get(name) != wanted.get(name):
                here = wanted.get(name, "nothing of that name")
                there = stored.get(name, "nothing of that name")
                raise self._foreign(f"{name!r} is {here} in the model and {there} in the file")

    def _check_optimizers(self, optimizers: Sequence[torch.optim.Optimizer]) -> None:
        own = [_shape(type(held).__name__, held.param_groups) for held in optimizers]
        stored = [_shape(held["class"], held["groups"]) for held in self.state["optimizers"]]
        if own != stored:
            raise self._foreign(f"its optimizers hold {stored}, those given {own}")

    def _groups(self, index: int) -> list[dict[str, Any]]:
        groups = self.state["optimizers"][index]["groups"]  # JSON has made lists of the tuples
        return [
            {k: tuple(v) if isinstance(v, list) and k != "params" else v for k, v in group.items()}
            for group in groups
        ]

    def _moments(self, index: int) -> dict[int, dict[str, Tensor]]:
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in self._below(f"optimizer{index}").items():
            parameter, key = name.split("/")
            moments.setdefault(int(parameter), {})[key] = tensor
        return moments

    def _foreign(self, what: str) -> CheckpointError:
        return CheckpointError(
            f"{self.path} is the checkpoint of another training: {what}. Give another path to "
            "start again; this file stays as it is"
        )


def write_checkpoint(
    path: str | Path,
    *,
    model: nn.Module,
    optimizer: Optimizers = (),
    scheduler: LRScheduler | None = None,
    generators: Mapping[str, Any] | None = None,
    state: Mapping[str, Any],
) -> None:
    r"""Store a training at this moment, in place of an earlier checkpoint at `path`.

    optimizer: one, or several; generators: of torch, NumPy or Python, beside the global ones
    state: anything JSON can hold (epoch, log, settings)
    Raises: OSError if the file can't be written; the earlier checkpoint is then still there.
    """
    state = dict(state)
    tensors = {f"model/{name}": value for name, value in model.state_dict().items()}
    state["optimizers"] = []
    for number, held in enumerate(_listed(optimizer)):
        inside = held.state_dict()
        for index, moments in inside["state"].items():
            start = f"optimizer{number}/{index}"
            tensors |= {f"{start}/{key}": value for key, value in moments.items()}
        held_groups = {"class": type(held).__name__, "groups": inside["param_groups"]}
        state["optimizers"].append(held_groups)
    if scheduler is not None:
        state["scheduler"] = scheduler.state_dict()
    state["streams"] = {"python": stream(random), "numpy": stream(np.random)}
    for name, generator in (generators or {}).items():
        if isinstance(generator, torch.Generator):
            tensors[f"generator/{name}"] = generator.get_state()
        else:
            state["streams"][name] = stream(generator)
    tensors["random/cpu"] = torch.get_rng_state()
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    if device.type == "cuda":
        tensors["random/cuda"] = torch.cuda.get_rng_state(device)
    if device.type == "mps":
        tensors["random/mps"] = torch.mps.get_rng_state()
    # Copies of their own: safetensors refuses tensors that share memory (tied or sliced weights).
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    text = json.dumps(state, default=lambda value: value.tolist())
    header = {"format": FORMAT, "state": text, "sha256": _digest(text, tensors)}
    try:
        write_whole(Path(path), save(tensors, header))
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(
            error.errno,
            f"{reason}: the checkpoint {path} could not be written. The earlier one, if there is "
            "one, is still there and whole: put the disk right, and resume from it",
        ) from error


def read_checkpoint(path: str | Path) -> Checkpoint:
    r"""Read what `write_checkpoint` stored, and check every bit of it.

    Raises: FileNotFoundError; CheckpointError if the file is damaged or something else.
    """
    path = Path(path)
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"{path} is no checkpoint, or damaged ({error}): give another path to start again"
        ) from None
    if header.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} holds tensors, but is no checkpoint of this course (expected the format "
            f"{FORMAT!r}, got {header.get('format')!r}): give another path"
        )
    if header.get("sha256") != _digest(header.get("state", ""), tensors):
        raise CheckpointError(
            f"{path} is damaged: its checksum does not match. Give another path to start again"
        )
    return Checkpoint(path, json.loads(header["state"]), tensors)


def remove_remains(path: str | Path) -> None:
    r"""Delete the unfinished files that killed processes have left beside a checkpoint."""
    path = Path(path)
    for part in path.parent.glob(f".{path.name}.*.part"):
        part.unlink(missing_ok=True)


def stream(generator: Any) -> Any:
    r"""Where a source of random numbers stands, as JSON can hold it; of NumPy's or Python's."""
    if isinstance(generator, np.random.Generator):
        return generator.bit_generator.state
    if hasattr(generator, "getstate"):
        return generator.getstate()
    return generator.get_state(legacy=False)


def set_stream(generator: Any, state: Any) -> None:
    if isinstance(generator, np.random.Generator):
        generator.bit_generator.state = state
    elif hasattr(generator, "setstate"):
        version, numbers, gauss = state
        generator.setstate((version, tuple(numbers), gauss))
    else:
        generator.set_state(state)


def _like(own: Mapping[str, Any], stored: Mapping[str, Any]) -> dict[str, Any]:
    r"""A scheduler's state as it was: JSON has made texts of the whole numbers that are keys."""
    return {
        name: type(own[name])({int(key): number for key, number in value.items()})
        if isinstance(value, dict) and isinstance(own.get(name), dict)
        else value
        for name, value in stored.items()
    }


def _digest(text: str, tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _listed(optimizer: Optimizers) -> Sequence[torch.optim.Optimizer]:
    return [optimizer] if isinstance(optimizer, torch.optim.Optimizer) else optimizer


def _shape(name: str, groups: Sequence[Mapping[str, Any]]) -> str:
    r"""Such as "Adam of 4 + 2 parameters"."""
    return f"{name} of {' + '.join(str(len(group['params'])) for group in groups)} parameters"
