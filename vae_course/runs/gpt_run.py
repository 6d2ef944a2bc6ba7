r"""One training run of a GPT: settings, the loop, the log, checkpoints, weights and card."""

from __future__ import annotations

import bz2
import csv
import dataclasses
import hashlib
import io
import json
import math
import platform
import time
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn
from tqdm import tqdm

from vae_course.data.text import load_text
from vae_course.files import write_whole
from vae_course.gpt import CharGPT, CharTokenizer, language_model_loss, random_windows, split
from vae_course.training.checkpoints import (
    CheckpointError,
    read_checkpoint,
    remove_remains,
    write_checkpoint,
)


@dataclasses.dataclass(frozen=True)
class Settings:
    r"""Everything that decides the weights. Learning rate: up, level, then in a line down to 0."""

    dataset: str = "shakespeare"
    seed: int = 0
    steps: int = 2000
    batch_size: int = 12  # windows a step
    block_size: int = 64  # characters a window
    layers: int = 4
    heads: int = 4
    width: int = 128
    dropout: float = 0.0
    learning_rate: float = 3e-3
    warm_up: int = 100  # steps
    decay: float = 0.6  # the last share of the steps, in which the learning rate falls
    weight_decay: float = 0.1
    precision: str = "float32"  # of the matrix products in training, or "bfloat16"
    store: str = "float32"  # how the weights are stored at the end, or "float16"
    evaluate_every: int = 250  # steps

    @property
    def architecture(self) -> dict[str, float]:
        return {key: getattr(self, key) for key in ("block_size", "layers", "heads", "width")}

    def learning_rate_at(self, step: int) -> float:
        r"""Of step 0, 1, …, steps − 1."""
        rising = (step + 1) / max(1, self.warm_up)
        falling = (self.steps - step) / max(1.0, self.decay * self.steps)
        return self.learning_rate * min(1.0, rising, falling)


@torch.no_grad()
def mean_loss(model: nn.Module, tokens: Tensor, block_size: int, *, batch_size: int = 64) -> float:
    r"""Nats per character over a whole text, cut into windows of block_size side by side.

    Every character but the first is predicted once, from what its window shows before it: on
    average half a block. The mean over random windows estimates the same number.
    """
    training, total = model.training, 0.0
    model.eval()
    context, target = tokens[:-1].split(block_size), tokens[1:].split(block_size)
    whole = len(context) - (len(context[-1]) < block_size)  # the last window may be a short one
    ranges = [(first, min(first + batch_size, whole)) for first in range(0, whole, batch_size)]
    for first, last in [*ranges, *([(whole, whole + 1)] if whole < len(context) else [])]:
        seen, wanted = torch.stack(context[first:last]), torch.stack(target[first:last])
        total += language_model_loss(model(seen), wanted).item() * wanted.numel()
    model.train(training)
    return total / (len(tokens) - 1)


class Run:
    r"""One training: the model, its optimizer, random numbers and log, at some step."""

    def __init__(self, settings: Settings, *, device: str = "cpu"):
        self.settings, self.device = settings, torch.device(device)
        text = load_text(settings.dataset)
        self.sha256 = hashlib.sha256(text.encode()).hexdigest()
        self.tokenizer = CharTokenizer(text)
        self.train_tokens, self.validation_tokens = split(self.tokenizer.encode(text))
        if min(len(self.train_tokens), len(self.validation_tokens)) <= settings.block_size:
            raise ValueError(
                f"{len(text)} characters of {settings.dataset!r} are too short for windows of "
                f"{settings.block_size}: give more text, or a smaller block size"
            )
        self.train_tokens = self.train_tokens.to(device)  # (N,)
        self.validation_tokens = self.validation_tokens.to(device)
        torch.manual_seed(settings.seed)
        vocabulary = len(self.tokenizer)
        self.model = CharGPT(vocabulary, dropout=settings.dropout, **settings.architecture)
        self.model.to(device)
        self.windows = torch.Generator().manual_seed(settings.seed)
        self.optimizer = _adamw(self.model, settings)
        self.step, self.rows, self.seconds = 0, [], 0.0
        self.commands: list[str] = []

    def train_step(self) -> Tensor:
        r"""One step of AdamW on random windows; returns the loss in nats per character."""
        settings = self.settings
        for group in self.optimizer.param_groups:
            group["lr"] = settings.learning_rate_at(self.step)
        context, target = random_windows(  # (B, T) each
            self.train_tokens, settings.block_size, settings.batch_size, generator=self.windows
        )
        half = settings.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=half):
            loss = language_model_loss(self.model(context), target)
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.step += 1
        return loss.detach()

    def train(self, out: Path) -> None:
        r"""To the last step; evaluates, logs and stores a checkpoint every so often."""
        settings, losses, start = self.settings, [], time.perf_counter() - self.seconds
        self.model.train()
        with tqdm(total=settings.steps, initial=self.step, unit="step", disable=None) as bar:
            while self.step < settings.steps:
                losses.append(self.train_step())
                bar.update()
                if self.step % settings.evaluate_every and self.step != settings.steps:
                    continue
                loss = self.validation_loss(precision=settings.precision)
                self._check_finite(torch.stack(losses), loss)
                row = {
                    "step": self.step,
                    "characters": self.step * settings.batch_size * settings.block_size,
                    "learning_rate": round(settings.learning_rate_at(self.step - 1), 8),
                    "train_loss": round(torch.stack(losses).mean().item(), 4),
                    "validation_loss": round(loss, 4),
                    "seconds": round(time.perf_counter() - start),
                }
                losses.clear()
                self.rows.append(row)
                self.seconds = time.perf_counter() - start
                self.save_checkpoint(out)
                tqdm.write(" · ".join(f"{key} {value}" for key, value in row.items()))

    def _check_finite(self, losses: Tensor, validation_loss: float) -> None:
        r"""Nothing is stored of a run that diverged. Raises: FloatingPointError."""
        bad = (~losses.isfinite()).nonzero().flatten().tolist()
        if bad or not math.isfinite(validation_loss):
            name, value, step = "validation loss", validation_loss, self.step
            if bad:
                name, value = "loss", losses[bad[0]].item()
                step += 1 + bad[0] - len(losses)
            raise FloatingPointError(
                f"the {name} became {value} in step {step}, learning rate "
                f"{self.settings.learning_rate_at(step - 1):.2g}: try a smaller one"
            )

    def validation_loss(self, *, precision: str = "float32") -> float:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            return mean_loss(self.model, self.validation_tokens, self.settings.block_size)

    def save_checkpoint(self, out: Path) -> None:
        r"""All that a later `resume` needs, in one file; and the log beside it."""
        state = {"settings": dataclasses.asdict(self.settings), "step": self.step}
        state |= {"rows": self.rows, "seconds": self.seconds, "sha256": self.sha256}
        write_checkpoint(
            out / "checkpoint.safetensors", model=self.model, optimizer=self.optimizer,
            generators={"windows": self.windows}, state=state | {"commands": self.commands},
        )  # fmt: skip
        write_whole(out / "log.csv", _csv(self.rows))

    @classmethod
    def resume(cls, out: Path, *, steps: int | None = None, device: str = "cpu") -> Run:
        r"""The run of a checkpoint, as if it had never stopped; more or fewer steps may follow.

        Raises: ValueError if there is no checkpoint, or its text is not the one at hand.
        """
        path = out / "checkpoint.safetensors"
        remove_remains(path)
        try:
            found = read_checkpoint(path)
            settings = Settings(**found.state["settings"])
        except FileNotFoundError:
            raise CheckpointError(f"there is no checkpoint to resume in {out}") from None
        except (KeyError, TypeError):
            raise CheckpointError(f"{path} is not a checkpoint of --model gpt") from None
        run = cls(dataclasses.replace(settings, steps=steps or settings.steps), device=device)
        state = found.state
        if run.sha256 != state["sha256"]:
            raise ValueError(f"the text {settings.dataset!r} is not the one {path} was trained on")
        found.restore(
            model=run.model, optimizer=run.optimizer, generators={"windows": run.windows}
        )
        run.step, run.rows, run.seconds = state["step"], state["rows"], state["seconds"]
        run.commands = state["commands"]
        return run

    def save_model(self, out: Path) -> dict:
        r"""Weights and card. The losses on the card are measured with the weights as stored."""
        settings = self.settings
        stored = {
            name: value.detach().cpu().to(getattr(torch, settings.store)).contiguous()
            for name, value in self.model.state_dict().items()
        }
        self.model.load_state_dict(stored)
        content = save(stored)
        text = self.tokenizer.decode(self.validation_tokens)
        zipped = 8 * len(bz2.compress(text.encode())) / len(text)  # bits per character
        card = {
            "model": "CharGPT, a character-level GPT (vae_course.gpt)",
            "architecture": {"vocabulary": len(self.tokenizer)} | settings.architecture,
            "parameters": sum(parameter.numel() for parameter in self.model.parameters()),
            "weights": {"dtype": settings.store, "bytes": len(content)},
            "data": {
                "name": settings.dataset,
                "sha256": self.sha256,
                "split": "first 90 % of the characters for training, last 10 % for validation",
            },
            "protocol": dataclasses.asdict(settings),
            "commands": self.commands,
            "measured": {
                "validation_loss": round(self.validation_loss(), 4),
                "unit": "nats per character",
                "how": f"all {len(self.validation_tokens) - 1:,} characters of the validation "
                f"split, in windows of {settings.block_size} side by side, float32, with the "
                "weights as stored",
                "bits_per_character_of_bzip2_on_the_same_text": round(zipped, 4),
                "train_loss_of_the_last_steps": self.rows[-1]["train_loss"],
                "steps": self.step,
                "characters_seen": self.rows[-1]["characters"],
                "seconds": round(self.seconds),
                "threads": torch.get_num_threads(),
                "device": str(self.device),
            },
            "versions": {"python": platform.python_version(), "torch": torch.__version__},
            "licence": "MIT",
            "characters": self.tokenizer.characters,
        }
        write_whole(out / "model.safetensors", content)
        write_whole(out / "model.json", (json.dumps(card, indent=1) + "\n").encode())
        return card


def _adamw(model: nn.Module, settings: Settings) -> torch.optim.AdamW:
    r"""AdamW; matrices shrink towards 0 (weight decay), biases and norms do not."""
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    others = [p for p in model.parameters() if p.dim() < 2]
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.99), fused=True)


def _csv(rows: list[dict[str, float]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
