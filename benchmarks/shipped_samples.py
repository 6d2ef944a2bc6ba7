r"""The samples of every digit model that ships, judged alike: the tables of notebooks 10 and 11.

    VAE_COURSE_DATA=folder-of-mnist python -m benchmarks.shipped_samples

1,000 samples of each with the metrics of notebook 06, against MNIST's 60,000 training and 10,000
test digits. Writes data/runs/shipped-samples.csv, a row a model; names as arguments measure only
those anew. About ten minutes of one core.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from vae_course import data, metrics, pretrained, vq

OUT = Path(__file__).resolve().parent.parent / "data" / "runs" / "shipped-samples.csv"
COUNT = 1000
LABELS = torch.arange(COUNT) % 10
COLUMNS = ("frechet_distance", "precision", "recall", "density", "coverage", "class_entropy",
           "sharpness", "memorisation_copies")  # fmt: skip


def from_prior(name: str) -> Tensor:
    vae, _ = pretrained.load(name)
    latent = torch.randn(COUNT, vae.latent_dim)
    return vae.decode(latent, LABELS) if "conditional" in name else vae.decode(latent)


def from_posteriors(name: str, images: Tensor) -> Tensor:
    r"""Decoded codes of training digits: draws from the aggregate posterior."""
    vae, _ = pretrained.load(name)
    chosen = torch.randperm(len(images))[:COUNT]
    mean, log_var = vae.encode(images[chosen])
    return vae.decode(mean + torch.exp(0.5 * log_var) * torch.randn_like(mean))


def from_letters(temperature: float) -> Tensor:
    model, _ = pretrained.load("vq-digits")
    prior, _ = pretrained.load("vq-prior")
    size = model.codebook.size
    return model.decode(vq.write_codes(prior, LABELS, model.grid, size, temperature=temperature))


def from_pixels(steps: int) -> Tensor:
    model, _ = pretrained.load("diffusion")
    parts = [model.sample(len(part), label=part, steps=steps) for part in LABELS.split(250)]
    return ((torch.cat(parts) + 1) / 2).clamp(0, 1)


def from_latents(steps: int) -> Tensor:
    model, _ = pretrained.load("latent-diffusion")
    return model.sample(COUNT, label=LABELS, steps=steps)


def from_generator(name: str) -> Tensor:
    generator, _ = pretrained.load(name)
    return generator(torch.randn(COUNT, generator.latent_dim))


def ways(images: data.ImageData) -> dict[str, Callable[[], Tensor]]:
    return {
        "vae-conv": lambda: from_prior("vae-conv"),
        "vae-conv, posterior codes": lambda: from_posteriors("vae-conv", images.train_images),
        "vae-conditional": lambda: from_prior("vae-conditional"),
        "compared-gan": lambda: from_generator("compared-gan"),
        "compared-stable-gan": lambda: from_generator("compared-stable-gan"),
        "vq-prior": lambda: from_letters(1.0),
        "vq-prior, temperature 0.9": lambda: from_letters(0.9),
        "latent-diffusion": lambda: from_latents(50),
        "latent-diffusion, 10 steps": lambda: from_latents(10),
        "diffusion": lambda: from_pixels(50),
    }


@torch.no_grad()
def main() -> None:
    torch.set_num_threads(1)
    images = data.load_images("mnist")
    wanted = sys.argv[1:]
    kept = OUT.read_text(encoding="utf-8").splitlines()[1:] if wanted and OUT.exists() else []
    lines = ["model,samples,read_as_asked," + ",".join(f"{c},{c}_low,{c}_high,{c}_real"
                                                       for c in COLUMNS)]  # fmt: skip
    for name, draw in ways(images).items():
        if wanted and name not in wanted:
            continue
        torch.manual_seed(0)
        samples = draw().float()
        report = metrics.sample_report(samples, images.test_images, images.train_images)
        asked = (metrics.classify(samples).argmax(dim=1) == LABELS).double().mean().item()
        unasked = name.startswith(("compared", "vae-conv"))
        cells = [name.replace(",", ";"), str(COUNT), "" if unasked else f"{asked:.4f}"]
        cells += [f"{value:.4f}" for column in COLUMNS for value in report[column]]
        lines.append(",".join(cells))
        kept = [line for line in kept if not line.startswith(cells[0] + ",")]
        print(name, f"{report['frechet_distance'].value:.2f}", flush=True)
    OUT.write_text("\n".join([*lines[:1], *kept, *lines[1:]]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
