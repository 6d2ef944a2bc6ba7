r"""What `fit(checkpoint=…)` does with the file: go on from it, and write it after each epoch.

A training is more than weights and optimizer. Whatever else decides the result is either stored
(the scheduler, random numbers, generators found in the loss, the model or the DataLoader) or named,
and then the file is not resumed from (a counter in the loss, a learning rate changed by hand).
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import random
import re
import types
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from vae_course.training.checkpoints import (
    CheckpointError,
    read_checkpoint,
    remove_remains,
    write_checkpoint,
)
from vae_course.training.history import History

Generators = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)

_LOST = re.compile(r"(CUDA|HIP|XPU|MPS|NCCL|cuDNN|CUBLAS)( \w+)? error", re.IGNORECASE)
_LIBRARIES = {"numpy", "scipy", "torch", "torchvision", "vae_course"}  # keep no state
_DEPTH = 8  # attributes of attributes that are looked into
_ITEMS = 50  # entries of a list or dict that are looked at


class DeviceLost(OSError):
    r"""The GPU stopped working in the middle of a training; the message says how to go on."""


@contextmanager
def device_watched(go_on: str) -> Iterator[None]:
    r"""A GPU's error inside becomes a DeviceLost that ends with `go_on`; others pass through."""
    try:
        yield
    except RuntimeError as error:
        if not _LOST.match(str(error)):
            raise
        raise DeviceLost(
            f"The device stopped working ({str(error).splitlines()[0]}). Python can't get it back "
            f"before it is started again: restart the kernel or the program. {go_on} On the CPU a "
            "mistake in the model or the data, if it was one, is named."
        ) from error


class Resumable:
    r"""A training by `fit` and its checkpoint file."""

    def __init__(
        self,
        path: str | Path,
        data: list[Tensor],
        *,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        scheduler: torch.optim.lr_scheduler.LRScheduler | None,
        shuffling: torch.Generator,
        history: History,
        loss: Callable,
        images: Tensor | DataLoader,
        settings: dict[str, Any],
    ):
        self.path = Path(path)
        self.model, self.optimizer, self.scheduler = model, optimizer, scheduler
        self.history = history
        roots = {"loss": loss, "images": images if isinstance(images, DataLoader) else None}
        self.look = lambda: inside(roots, model, known=(optimizer, scheduler, history, shuffling))
        found, self.counters = self.look()
        self.generators = {"shuffling": shuffling, **found}
        self.settings = plain(
            {"data": fingerprint(*data), **settings}
            | {"optimizer": _described(optimizer), "scheduler": _described(scheduler)}
        )
        self.outside, self.warned = self._out_of_reach(images), False
        self.go_on = (
            f"The epochs completed are in {self.path}: make the same call again to go on after "
            "them, with the model on the CPU if the device stays away."
        )

    def start(self, epochs: int) -> int:
        r"""How many epochs are done already. Raises: CheckpointError, OSError."""
        if not self.path.parent.is_dir():
            raise FileNotFoundError(f"there is no folder {self.path.parent} for the checkpoint")
        remove_remains(self.path)
        if not self.path.exists():
            return 0
        found = read_checkpoint(self.path)
        self._compare(found.state, epochs)
        found.restore(
            model=self.model, optimizer=self.optimizer, scheduler=self.scheduler,
            generators=self.generators,
        )  # fmt: skip
        self.history.rows.extend(found.state["rows"])
        return len(self.history.rows)

    def _compare(self, state: dict[str, Any], epochs: int) -> None:
        stored, done = state.get("settings"), len(state.get("rows", []))
        if not isinstance(stored, dict) or stored.keys() != self.settings.keys():
            raise CheckpointError(
                f"{self.path} was not written by fit(), or not by this version of it; give "
                "another path"
            )
        for name, value in self.settings.items():
            if stored[name] != value:
                raise CheckpointError(
                    f"{self.path} belongs to a training with {name} {stored[name]}, this one has "
                    f"{value}: make the same call as before, or give another path"
                )
        if reason := state.get("outside"):
            raise CheckpointError(
                f"{self.path} can't be resumed from as if nothing had been: {reason}. Its weights "
                "can be used: training.checkpoints.read_checkpoint(path).restore(model=model)"
            )
        if done > epochs:
            raise CheckpointError(
                f"{self.path} holds {done} epochs already, more than epochs={epochs}: ask for "
                "more, or give another path"
            )

    def save(self) -> None:
        r"""Raises: OSError; the earlier file is then still there."""
        if not self.warned and (reason := self.outside or self._changed()):
            self.outside, self.warned = reason, True
            warnings.warn(
                f"{self.path} will not be resumed from: {reason}", RuntimeWarning, stacklevel=4
            )
        write_checkpoint(
            self.path, model=self.model, optimizer=self.optimizer, scheduler=self.scheduler,
            generators=self.generators,
            state={"settings": self.settings, "rows": self.history.rows, "outside": self.outside},
        )  # fmt: skip

    def _out_of_reach(self, images: Tensor | DataLoader) -> str | None:
        if self.scheduler is None and getattr(self.optimizer.step, "_wrapped_by_lr_sched", False):
            return (
                "the optimizer has a scheduler that fit doesn't know; pass it as scheduler=…, then "
                "it steps once a batch and is stored"
            )
        copied = [name for name in self.generators if name.startswith("images.dataset")]
        if copied and images.num_workers:
            return (
                f"{copied[0]} is copied into the DataLoader's workers, where nobody can read it; "
                "use num_workers=0, or torch's own random numbers, which each epoch seeds anew"
            )
        return None

    def _changed(self) -> str | None:
        found, counters = self.look()
        for name, value in counters.items():
            if self.counters.get(name, value) != value:
                return (
                    f"{name} changed from {self.counters[name]} to {value} during the training, "
                    "and fit can't put it back; keep it in the model, as a buffer "
                    "(register_buffer), which is stored"
                )
        before = self.settings["optimizer"]
        if self.scheduler is None and plain(_described(self.optimizer)) != before:
            return (
                "the optimizer's settings were changed by hand during the training; use a "
                "scheduler of torch.optim.lr_scheduler, and pass it as scheduler=…"
            )
        if new := [name for name in found if name not in self.generators]:
            return f"{new[0]} came up during the training; make it before"
        return None


def inside(
    roots: dict[str, object], model: nn.Module, known: tuple[object, ...]
) -> tuple[dict[str, object], dict[str, float]]:
    r"""Generators, and numbers that may be counters, of all that training calls: by their path.

    Looked for in attributes, in lists and dicts, and in the variables that a function uses.
    """
    generators: dict[str, object] = {}
    numbers: dict[str, float] = {}
    seen = {id(thing) for thing in known if thing is not None}

    def look(name: str, thing: object, depth: int = 0) -> None:
        if isinstance(thing, bool | str | bytes | type | types.ModuleType | Tensor | np.ndarray):
            return
        if isinstance(thing, int | float):
            numbers[name] = thing
            return
        if thing is None or depth > _DEPTH or id(thing) in seen or _of_a_library(thing):
            return
        seen.add(id(thing))
        if isinstance(thing, Generators):
            generators[name] = thing
            return
        for part, value in _parts(thing):
            look(f"{name}{part}", value, depth + 1)

    for name, module in model.named_modules():
        seen.add(id(module))
        for key, value in vars(module).items():
            if not key.startswith("_") and key != "epochs_begun":
                look(".".join(filter(None, ("model", name, key))), value)
    for name, root in roots.items():
        look(name, root)
    return generators, numbers


def _of_a_library(thing: object) -> bool:
    module = getattr(thing, "__module__", None) or ""
    return isinstance(thing, types.FunctionType) and module.split(".")[0] in _LIBRARIES


def _parts(thing: object) -> Iterator[tuple[str, object]]:
    if isinstance(thing, list | tuple):
        yield from ((f"[{index}]", value) for index, value in enumerate(thing[:_ITEMS]))
    elif isinstance(thing, dict):
        yield from ((f"[{key!r}]", value) for key, value in list(thing.items())[:_ITEMS])
    elif isinstance(thing, functools.partial):
        yield from (("", thing.func), ("", thing.args), ("", thing.keywords))
    elif isinstance(thing, types.MethodType):
        yield from (("", thing.__self__), ("", thing.__func__))
    elif isinstance(thing, types.FunctionType):
        try:
            used = inspect.getclosurevars(thing)
        except ValueError:  # a variable that has no value yet
            return
        yield from ((f": {key}", value) for key, value in used.nonlocals.items())
        yield from ((f": {key}", value) for key, value in used.globals.items())
        yield from ((f"({key})", value) for key, value in (thing.__kwdefaults__ or {}).items())
        yield from ((f"({index})", value) for index, value in enumerate(thing.__defaults__ or ()))
    elif not isinstance(thing, nn.Module) and hasattr(thing, "__dict__"):
        yield from ((f".{key}", value) for key, value in vars(thing).items() if key != "_iterator")


def _described(thing: object) -> dict[str, Any] | None:
    r"""Class and settings of an optimizer or scheduler, without what it has learned."""
    if thing is None:
        return None
    if isinstance(thing, torch.optim.Optimizer):
        groups = [
            {key: value for key, value in group.items() if key != "params"}
            | {"parameters": len(group["params"])}
            for group in thing.param_groups
        ]
        return {"class": type(thing).__name__, "groups": groups}
    return {"class": type(thing).__name__, **thing.state_dict()}


def plain(value: Any) -> Any:
    r"""A value as it comes back from JSON, to be compared with one that does."""
    return json.loads(json.dumps(value, default=_as_lists))


def _as_lists(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else type(value).__name__


def fingerprint(*tensors: Tensor) -> str:
    r"""Sixteen hexadecimal digits that differ when a pixel or a label differs."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:16]
