r"""What `fit(checkpoint=…)` does with the file: go on from it, and write it after each epoch."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vae_course.training.checkpoints import (
    CheckpointError,
    read_checkpoint,
    remove_remains,
    write_checkpoint,
)
from vae_course.training.history import History

GO_ON = (  # a long run, from the command line
    "A checkpoint in --out is kept: give the same command with --resume to go on from it, and "
    "with --device cpu if the device stays away."
)
_LOST = re.compile(r"(CUDA|HIP|XPU|MPS|NCCL|cuDNN|CUBLAS)( \w+)? error", re.IGNORECASE)


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
    r"""A training and its checkpoint file; with path None nothing is read or written."""

    def __init__(
        self,
        path: str | Path | None,
        data: list[Tensor],
        *,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        shuffling: torch.Generator,
        history: History,
        settings: dict[str, Any],
    ):
        self.path = None if path is None else Path(path)
        self.model, self.optimizer, self.history = model, optimizer, history
        self.generators = {"shuffling": shuffling}
        self.settings = {} if path is None else {"data": fingerprint(*data), **settings}

    def start(self, epochs: int) -> int:
        r"""How many epochs are done already. Raises: CheckpointError, OSError."""
        if self.path is None:
            return 0
        if not self.path.parent.is_dir():
            raise FileNotFoundError(f"there is no folder {self.path.parent} for the checkpoint")
        remove_remains(self.path)
        if not self.path.exists():
            return 0
        found = read_checkpoint(self.path)
        self._compare(found.state.get("settings"), len(found.state.get("rows", [])), epochs)
        found.restore(model=self.model, optimizer=self.optimizer, generators=self.generators)
        self.history.rows.extend(found.state["rows"])
        return len(self.history.rows)

    def _compare(self, stored: dict[str, Any] | None, done: int, epochs: int) -> None:
        if stored is None or stored.keys() != self.settings.keys():
            raise CheckpointError(f"{self.path} was not written by fit(); give another path")
        for name, value in self.settings.items():
            if stored[name] != value:
                raise CheckpointError(
                    f"{self.path} belongs to a training with {name} {stored[name]}, this one has "
                    f"{value}: give another path, or delete the file to start again"
                )
        if done > epochs:
            raise CheckpointError(
                f"{self.path} holds {done} epochs already, more than epochs={epochs}: ask for "
                "more, or delete the file to start again"
            )

    def device_watched(self):
        r"""A context in which a lost device gets a message that says what is kept."""
        if self.path is None:
            return device_watched("fit(checkpoint=…) would have kept the epochs completed.")
        return device_watched(
            f"The epochs completed are in {self.path}: make the same call again to go on after "
            "them, with the model on the CPU if the device stays away."
        )

    def save(self) -> None:
        if self.path is not None:
            write_checkpoint(
                self.path,
                model=self.model,
                optimizer=self.optimizer,
                generators=self.generators,
                state={"settings": self.settings, "rows": self.history.rows},
            )


def fingerprint(*tensors: Tensor) -> str:
    r"""Sixteen hexadecimal digits that differ when a pixel or a label differs."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:16]
