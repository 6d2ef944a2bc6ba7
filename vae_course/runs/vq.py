r"""Discrete codes: `vae-course train --model vq-vae`, and `--model vq-prior` to write them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from vae_course import metrics, pretrained, vq
from vae_course.runs import setting
from vae_course.runs.images import Images, can_be_judged, judged, up_and_down


@dataclasses.dataclass(frozen=True)
class Settings:
    r"""Everything that decides the weights. Learning rate: up to 200 steps up, then a cosine to 0.

    Raises: ValueError on values that nothing can be trained with.
    """

    model: str = "vq-vae"
    dataset: str = setting("mnist", "an image set, or a folder or file of your own")
    seed: int = setting(0, "of every random number")
    epochs: int = setting(20, "passes over the images")
    batch_size: int = setting(128, "images a step, over all processes together")
    learning_rate: float = setting(2e-3, "the highest one")
    codes: int = setting(128, "K, the letters of the codebook (vq-vae)")
    code_width: int = setting(16, "numbers a code (vq-vae)")
    width: int = setting(32, "channels: of the first convolution (vq-vae), of the transformer")
    revive: float = setting(2.0, "choices a step below which a code is put elsewhere (vq-vae)")
    codes_of: str = setting("vq-digits", "the vq-vae whose codes are learned (vq-prior)")
    layers: int = setting(4, "blocks of the transformer (vq-prior)")
    heads: int = setting(4, "attention heads a block (vq-prior)")
    dropout: float = setting(0.1, "share of values dropped (vq-prior)")
    weight_decay: float = setting(0.1, "of the matrices, by AdamW (vq-prior)")
    precision: str = setting("float32", "of matrix products", choices=("float32", "bfloat16"))
    store: str = setting("float16", "dtype of the stored weights", choices=("float32", "float16"))


DEFAULTS = {
    "vq-vae": {},
    "vq-prior": {"width": 128, "batch_size": 64, "learning_rate": 1.5e-3, "precision": "bfloat16"},
}


class Codes(nn.Module):
    r"""A VQ-VAE with its loss."""

    def __init__(self, model: vq.VQVAE, settings: Settings):
        super().__init__()
        self.model, self.half = model, settings.precision == "bfloat16"

    def forward(self, image: Tensor, label: Tensor) -> dict[str, Tensor]:
        r"""Batch averages: image (B, …), label (B,), unused → loss and its parts in nats."""
        with torch.autocast(image.device.type, torch.bfloat16, enabled=self.half):
            return vq.vq_loss(self.model, image)


class Letters(nn.Module):
    r"""A transformer with its loss, in nats a code."""

    def __init__(self, model: nn.Module, settings: Settings):
        super().__init__()
        self.model, self.half = model, settings.precision == "bfloat16"

    def forward(self, sequence: Tensor) -> dict[str, Tensor]:
        r"""Class token and codes (B, 1 + T) → loss."""
        with torch.autocast(sequence.device.type, torch.bfloat16, enabled=self.half):
            nll = vq.code_nll(self.model, sequence)
        return {"loss": nll.mean() / (sequence.shape[1] - 1)}


class Task:
    r"""A VQ-VAE or the transformer of its codes, and what its card says: see `run.Task`."""

    clip = 1.0

    def __init__(self, settings: Settings):
        self.settings = settings
        self.images = Images(settings.dataset, settings.batch_size)
        self.every, self.steps = self.images.steps, settings.epochs * self.images.steps
        self.identity, self.letters = self.images.identity, settings.model == "vq-prior"
        torch.manual_seed(settings.seed)
        if self.letters:
            self._make_prior()
        else:
            self._make_codes()
        self.stored = self.model

    def _make_codes(self) -> None:
        settings, data = self.settings, self.images.data
        self.architecture = {
            "codes": settings.codes, "code_width": settings.code_width, "channels": settings.width,
            "image_shape": data.image_shape, "revive": settings.revive,
        }  # fmt: skip
        self.model = vq.VQVAE(**self.architecture)
        with torch.no_grad():
            vectors = self.model.encoder(data.train_images[:1000]).permute(0, 2, 3, 1)
        self.model.codebook.start_from(vectors.flatten(end_dim=2), seed=settings.seed)
        self.objective: nn.Module = Codes(self.model, settings)
        rate = settings.learning_rate
        self.optimizers = [torch.optim.Adam(self.model.parameters(), rate, betas=(0.9, 0.99))]

    def _make_prior(self) -> None:
        settings, data = self.settings, self.images.data
        self.vqvae, card = pretrained.load(settings.codes_of)
        if not isinstance(self.vqvae, vq.VQVAE):
            raise ValueError(
                f"--codes-of {settings.codes_of} is a {pretrained.kind_of(card)}, not a VQVAE"
            )
        size = self.vqvae.codebook.size
        self.train_sequences = self._sequences(data.train_images, data.train_labels)
        self.test_sequences = self._sequences(data.test_images, data.test_labels)
        self.architecture = {
            "vocabulary": size + len(data.class_names), "block_size": math.prod(self.vqvae.grid),
            "layers": settings.layers, "heads": settings.heads, "width": settings.width,
        }  # fmt: skip
        self.model = vq.CharGPT(dropout=settings.dropout, **self.architecture)
        self.objective = Letters(self.model, settings)
        matrices = [p for p in self.model.parameters() if p.dim() >= 2]
        others = [p for p in self.model.parameters() if p.dim() < 2]
        groups = [
            {"params": matrices, "weight_decay": settings.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        self.optimizers = [torch.optim.AdamW(groups, settings.learning_rate, betas=(0.9, 0.99))]

    @torch.no_grad()
    def _sequences(self, images: Tensor, labels: Tensor) -> Tensor:
        indices = torch.cat([self.vqvae.encode(part) for part in images.split(1000)])
        return vq.as_sequence(indices, labels, self.vqvae.codebook.size)  # (N, 1 + T)

    def to(self, device: torch.device) -> None:
        self.model.to(device)
        self.images.to(device)
        if self.letters:
            self.vqvae.to(device)
            self.train_sequences = self.train_sequences.to(device)
            self.test_sequences = self.test_sequences.to(device)

    def batches(self, generator: torch.Generator) -> Iterator[tuple[Tensor, ...]]:
        if not self.letters:
            yield from self.images.batches(generator)
            return
        order = torch.randperm(len(self.train_sequences), generator=generator)
        for rows in order[: self.every * self.settings.batch_size].split(self.settings.batch_size):
            yield (self.train_sequences[rows.to(self.train_sequences.device)],)

    def learning_rate_at(self, step: int) -> float:
        return self.settings.learning_rate * up_and_down(step, self.steps)

    def place(self, step: int) -> dict[str, float]:
        return {"epoch": step // self.every}

    @torch.no_grad()
    def held_out(self) -> dict[str, float]:
        if self.letters:
            parts = self.test_sequences.split(500)
            totals = [self.objective(part)["loss"].item() * len(part) for part in parts]
            return {"test_loss": sum(totals) / len(self.test_sequences)}
        row = self.images.held_out(self.objective)
        indices = [self.model.encode(part) for part in self.images.test.split(500)]
        perplexity = vq.codebook_perplexity(torch.cat(indices), self.settings.codes)
        return row | {"test_perplexity": perplexity}

    def card(self) -> dict[str, object]:
        more = {"codes_of": self.settings.codes_of} if self.letters else {}
        return {
            "architecture": self.architecture, "data": self.images.card,
            **more,
        }  # fmt: skip

    @torch.no_grad()
    def measured(self) -> dict[str, object]:
        data = self.images.data
        if not self.letters:
            reconstruction = torch.cat([self.model.reconstruct(part)
                                        for part in self.images.test.split(500)])  # fmt: skip
            error = (reconstruction - self.images.test).square().mean().item()
            found = {name: round(value, 4) for name, value in self.held_out().items()}
            return found | {"squared_error": round(error, 6), "unit": "nats per image"}
        pairs = zip(self.images.test.split(500), self.images.test_labels.split(500), strict=True)
        nats = [vq.log_likelihood_bound(self.vqvae, self.model, *pair).cpu() for pair in pairs]
        mean, error = metrics.mean_with_error(torch.cat(nats))
        found = {
            "nats_a_code": round(self.held_out()["test_loss"], 4),
            "negative_log_likelihood_bound": {
                "mean": round(mean, 4), "standard_error": round(error, 4),
            },
            "how": f"all {len(self.images.test):,} test images given their class: codes and pixels",
        }  # fmt: skip
        if not can_be_judged(data):
            return found
        device, classes = self.images.train.device, len(data.class_names)
        labels = torch.arange(1000, device=device) % classes
        codes = vq.write_codes(self.model, labels, self.vqvae.grid, self.vqvae.codebook.size,
                               generator=torch.Generator(device).manual_seed(0))  # fmt: skip
        return found | judged(self.vqvae.decode(codes), labels, data)

    def sentence(self, card: dict) -> str:
        found = card["measured"]
        if self.letters:
            return f"{found['nats_a_code']} nats a code on test images"
        return f"squared error {found['squared_error']}, perplexity {found['test_perplexity']}"
