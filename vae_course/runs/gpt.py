r"""Character-level GPTs: `vae-course train --model gpt`."""

from __future__ import annotations

import bz2
import dataclasses
import hashlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from vae_course.data import load_text
from vae_course.gpt import CharGPT, CharTokenizer, language_model_loss, random_windows, split
from vae_course.runs import setting


@dataclasses.dataclass(frozen=True)
class Settings:
    r"""Everything that decides the weights. Learning rate: up, level, then in a line down to 0.

    Raises: ValueError on values that nothing can be trained with.
    """

    model: str = "gpt"
    dataset: str = setting("shakespeare", "shakespeare, python-docs or the path of a text file")
    seed: int = setting(0, "of every random number")
    steps: int = setting(2000, "optimizer steps in all; may change with --resume")
    batch_size: int = setting(12, "windows a step, over all processes together")
    block_size: int = setting(64, "characters of context")
    layers: int = setting(4, "blocks")
    heads: int = setting(4, "attention heads a block")
    width: int = setting(128, "channels")
    dropout: float = setting(0.0, "share of values dropped")
    learning_rate: float = setting(3e-3, "the highest one")
    warm_up: int = setting(100, "steps in which the learning rate rises")
    decay: float = setting(0.6, "the last share of the steps, in which it falls")
    weight_decay: float = setting(0.1, "of the matrices, by AdamW")
    precision: str = setting("float32", "of matrix products", choices=("float32", "bfloat16"))
    store: str = setting("float32", "dtype of the stored weights", choices=("float32", "float16"))
    evaluate_every: int = setting(250, "steps from one line of the log to the next")

    def __post_init__(self):
        if self.width % self.heads:
            raise ValueError(f"width {self.width} can't be shared among {self.heads} heads")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1, but is {self.dropout}")


DEFAULTS = {"gpt": {}}
PRESETS = {
    # The size and budget of the published CPU configuration (1.88): a few minutes on one core.
    "minutes": {"store": "float16"},
    # Less than an hour on one core, half of it if the core is free.
    "hour": {
        "steps": 12000, "batch_size": 8, "block_size": 128, "layers": 4, "heads": 6, "width": 192,
        "learning_rate": 2e-3, "precision": "bfloat16", "store": "float16", "evaluate_every": 500,
    },
}  # fmt: skip
MAY_CHANGE = ("steps",)  # with --resume


class Objective(nn.Module):
    r"""A GPT with its loss: what is called, and wrapped by Accelerate, in each step."""

    def __init__(self, model: CharGPT, settings: Settings):
        super().__init__()
        self.model, self.half = model, settings.precision == "bfloat16"

    def forward(self, context: Tensor, target: Tensor) -> dict[str, Tensor]:
        r"""Nats per character: context, target (B, T) → loss."""
        with torch.autocast(context.device.type, torch.bfloat16, enabled=self.half):
            return {"loss": language_model_loss(self.model(context), target)}


class Task:
    r"""A GPT, its text, its optimizer, and what its card says: see `run.Task`."""

    clip = 1.0

    def __init__(self, settings: Settings):
        self.settings = settings
        text = load_text(settings.dataset)
        self.identity = hashlib.sha256(text.encode()).hexdigest()
        self.tokenizer = CharTokenizer(text)
        self.train_tokens, self.validation_tokens = split(self.tokenizer.encode(text))
        if min(len(self.train_tokens), len(self.validation_tokens)) <= settings.block_size:
            raise ValueError(
                f"{len(text)} characters of {settings.dataset!r} are too short for windows of "
                f"{settings.block_size}: give more text, or a smaller block size"
            )
        self.architecture = {"vocabulary": len(self.tokenizer)} | {
            key: getattr(settings, key) for key in ("block_size", "layers", "heads", "width")
        }
        torch.manual_seed(settings.seed)
        self.model = CharGPT(dropout=settings.dropout, **self.architecture)
        self.stored, self.objective = self.model, Objective(self.model, settings)
        self.optimizers = [adamw(self.model, settings)]
        self.steps, self.every = settings.steps, settings.evaluate_every

    def to(self, device: torch.device) -> None:
        self.model.to(device)
        self.train_tokens = self.train_tokens.to(device)
        self.validation_tokens = self.validation_tokens.to(device)

    def batches(self, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        size = self.settings.block_size, self.settings.batch_size
        while True:
            yield random_windows(self.train_tokens, *size, generator=generator)  # (B, T) each

    def learning_rate_at(self, step: int) -> float:
        rising = (step + 1) / max(1, self.settings.warm_up)
        falling = (self.steps - step) / max(1.0, self.settings.decay * self.steps)
        return self.settings.learning_rate * min(1.0, rising, falling)

    def place(self, step: int) -> dict[str, float]:
        return {"step": step, "characters": step * self.settings.batch_size * self.model.block_size}

    def held_out(self) -> dict[str, float]:
        device, half = self.validation_tokens.device.type, self.objective.half
        with torch.autocast(device, torch.bfloat16, enabled=half):
            loss = mean_loss(self.model, self.validation_tokens, self.model.block_size)
        return {"validation_loss": loss}

    def card(self) -> dict[str, object]:
        return {
            "architecture": self.architecture,
            "data": {
                "name": self.settings.dataset, "sha256": self.identity,
                "split": "first 90 % of the characters for training, last 10 % for validation",
            },
            "characters": self.tokenizer.characters,
        }  # fmt: skip

    def measured(self) -> dict[str, object]:
        tokens, size = self.validation_tokens, self.model.block_size
        text = self.tokenizer.decode(tokens)
        zipped = 8 * len(bz2.compress(text.encode())) / len(text)  # bits per character
        return {
            "validation_loss": round(mean_loss(self.model, tokens, size), 4),
            "unit": "nats per character",
            "how": f"all {len(tokens) - 1:,} characters of the validation split, in windows of "
            f"{size} side by side, float32, with the weights as stored",
            "bits_per_character_of_bzip2_on_the_same_text": round(zipped, 4),
        }

    def sentence(self, card: dict) -> str:
        return f"validation loss {card['measured']['validation_loss']} nats per character"


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


def adamw(model: nn.Module, settings: Settings) -> torch.optim.AdamW:
    r"""AdamW; matrices shrink towards 0 (weight decay), biases and norms do not."""
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    others = [p for p in model.parameters() if p.dim() < 2]
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.99), fused=True)
