r"""How many samples are read as the digit that was asked for: 10,000 of each model, an interval.

    VAE_COURSE_DATA=folder-of-mnist python -m benchmarks.read_as_asked

A thousand samples leave an interval of two points in a hundred, so that two draws of one model lie
on either side of a target of 97 %. Here each class is asked for 1,000 times. The reader is the
classifier of `metrics.classify`; how it reads MNIST's own 10,000 test digits stands in the last
row. Intervals: Wilson, 95 %. Writes data/runs/read-as-asked.csv. Names as arguments measure only
those anew. About two minutes of one core. (`diffusion` of pixels is left out: 10,000 of its
samples would take an hour.)
"""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from vae_course import data, gpt, metrics, pretrained
from vae_course.files import write_rows
from vae_course.gpt import CharGPT

OUT = Path(__file__).resolve().parent.parent / "data" / "runs" / "read-as-asked.csv"
COUNT, PART = 10_000, 500
COLUMNS = ("model", "samples", "read_as_asked", "low", "high")


def wilson(share: float, count: int, z: float = 1.96) -> tuple[float, float]:
    r"""The 95 % interval of a share of `count` independent draws.

    Source: Wilson 1927.
    """
    middle = share + z**2 / (2 * count)
    half = z * math.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return (middle - half) / (1 + z**2 / count), (middle + half) / (1 + z**2 / count)


def ways() -> dict[str, Callable[[Tensor], Tensor]]:
    r"""Labels (B,) → pixels (B, 1, 28, 28) in [0, 1], of the models that are told a class."""
    letters, _ = pretrained.load("vq-digits")
    prior, _ = pretrained.load("vq-prior")
    latents, _ = pretrained.load("latent-diffusion")
    vae, _ = pretrained.load("vae-conditional")

    def written(label: Tensor, temperature: float = 1.0) -> Tensor:
        size = letters.codebook.size
        codes = quick_codes(prior, label, letters.grid, size, temperature=temperature)
        return letters.decode(codes)

    return {
        "vq-prior": written,
        "vq-prior, temperature 0.9": lambda label: written(label, 0.9),
        "latent-diffusion": lambda label: latents.sample(len(label), label=label, steps=50),
        "vae-conditional": lambda label: vae.decode(torch.randn(len(label), vae.latent_dim), label),
    }


def quick_codes(prior: CharGPT, label: Tensor, grid: tuple[int, int], codes: int, *,
                temperature: float = 1.0) -> Tensor:  # fmt: skip
    r"""`vq.write_codes` twenty times as fast: keys and values of what stands are kept.

    Raises: RuntimeError if the last logits are not those of the model itself.
    """
    token, written, logits = codes + label, [], None
    kept: list[list[Tensor]] = [[] for _ in prior.blocks]
    for place in range(math.prod(grid)):
        x = (prior.token_embedding(token) + prior.position_embedding.weight[place])[:, None]
        for block, before in zip(prior.blocks, kept, strict=True):
            query, key, value = block.attention.split_heads(block.norm_1(x))  # (B, nh, 1, hs)
            if before:
                key, value = (torch.cat(pair, dim=2) for pair in zip(before, (key, value),
                                                                     strict=True))  # fmt: skip
            before[:] = key, value
            mixed = F.scaled_dot_product_attention(query, key, value)
            x = x + block.attention.project(mixed.transpose(1, 2).flatten(2))
            x = x + block.feed_forward(block.norm_2(x))
        logits = prior.to_logits(prior.norm(x))[:, 0]  # (B, V)
        token = gpt.sample_next(logits, temperature)
        written.append(token)
    sequence = torch.stack([codes + label, *written], dim=1)  # (B, 1 + T)
    whole = prior(sequence[:4, :-1])[:, -1]
    if not torch.allclose(whole, logits[:4], atol=1e-3):
        raise RuntimeError("the quick writer is not the model")
    return sequence[:, 1:].clamp(max=codes - 1).unflatten(1, grid)


def right(pictures: Tensor, label: Tensor) -> int:
    return int((metrics.classify(pictures).argmax(dim=1) == label).sum())


@torch.no_grad()
def main() -> None:
    torch.set_num_threads(1)
    wanted = sys.argv[1:]
    kept = {}
    if wanted and OUT.exists():
        with OUT.open(encoding="utf-8") as file:
            kept = {row["model"]: row for row in csv.DictReader(file)}
    labels = torch.arange(COUNT) % 10
    for name, draw in ways().items():
        if wanted and name not in wanted:
            continue
        torch.manual_seed(1)  # another draw than that of `shipped_samples`
        found = sum(right(draw(part).float(), part) for part in labels.split(PART))
        kept[name.replace(",", ";")] = row(name, found)
    images = data.load_images("mnist")
    pairs = zip(images.test_images.split(PART), images.test_labels.split(PART), strict=True)
    kept["real test digits"] = row("real test digits", sum(right(*pair) for pair in pairs))
    write_rows(OUT, list(kept.values()), COLUMNS)


def row(name: str, found: int) -> dict[str, object]:
    share = found / COUNT
    low, high = (f"{end:.4f}" for end in wilson(share, COUNT))
    print(f"{name:26s} {share:.2%} ({low} to {high})", flush=True)
    share = f"{share:.4f}"
    return dict(zip(COLUMNS, (name.replace(",", ";"), COUNT, share, low, high), strict=True))


if __name__ == "__main__":
    main()
