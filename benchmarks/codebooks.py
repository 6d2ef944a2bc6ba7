r"""Codebooks that collapse, cured, and codebooks of many sizes: the tables of notebook 10.

    python -m benchmarks.codebooks          # the cures, over five seeds
    python -m benchmarks.codebooks sizes    # 16 to 1,024 letters, over three seeds

Trains small VQ-VAEs on the 3,500 training digits of mnist-5k and measures perplexity and squared
error on the 1,000 test digits: data/runs/codebook-cures.csv. For the sizes a small writer learns
the letters of each as well, and its nats on the test digits count: data/runs/codebook-sizes.csv.
About five and fifteen minutes of one core.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from vae_course import data, training, vq

RUNS = Path(__file__).resolve().parent.parent / "data" / "runs"
CODES = 64
SIZES = (16, 64, 256, 1024)
EPOCHS = 6
WAYS = {  # settings of the codebook, and whether it starts where vectors lie
    "by gradient": ({"average": 0.0}, False),
    "start from k-means": ({"average": 0.0}, True),
    "running averages": ({"average": 0.99}, False),
    "averages and revival": ({"average": 0.99, "revive": 2.0}, False),
}


def trained(
    images: data.ImageData, settings: dict, from_data: bool, *, seed: int, codes: int = CODES
) -> vq.VQVAE:
    r"""A small VQ-VAE after EPOCHS epochs, in eval mode."""
    torch.manual_seed(seed)
    model = vq.VQVAE(codes=codes, code_width=16, channels=16, **settings)
    if from_data:
        with torch.no_grad():
            vectors = model.encoder(images.train_images[:500]).permute(0, 2, 3, 1)
        model.codebook.start_from(vectors.flatten(end_dim=2), seed=seed)
    training.fit(model, vq.vq_loss, images.train_images, epochs=EPOCHS, batch_size=64,
                 learning_rate=2e-3, seed=seed, progress=False)  # fmt: skip
    return model.eval()


@torch.no_grad()
def measured(model: vq.VQVAE, images: torch.Tensor) -> dict[str, float]:
    indices = model.encode(images)
    error = (model.decode(indices) - images).square().mean().item()
    alive = vq.codebook_perplexity(indices, model.codebook.size)
    return {"perplexity": alive, "squared_error": error}


def written(model: vq.VQVAE, images: data.ImageData, *, seed: int) -> float:
    r"""Nats that a small writer of the model's letters pays for a test digit, given its class."""
    size = model.codebook.size
    torch.manual_seed(seed)
    writer = vq.prior_network(size, 49, layers=2, heads=4, width=64)
    with torch.no_grad():
        sequences, unseen = (
            vq.as_sequence(model.encode(pictures), labels, size)
            for pictures, labels in (
                (images.train_images, images.train_labels),
                (images.test_images, images.test_labels),
            )
        )

    def nats(writer, sequence):
        return vq.code_nll(writer, sequence).mean()

    history = training.fit(
        writer, nats, sequences, test_images=unseen, epochs=10, batch_size=32, learning_rate=3e-3,
        seed=seed, progress=False,
    )  # fmt: skip
    return history["test_loss"][-1]


def sizes(images: data.ImageData) -> None:
    settings, from_data = WAYS["averages and revival"]
    lines = ["codes,seed,perplexity,squared_error,nats_a_digit"]
    for codes in SIZES:
        for seed in range(3):
            model = trained(images, settings, from_data, seed=seed, codes=codes)
            found = measured(model, images.test_images)
            nats = written(model, images, seed=seed)
            lines.append(f"{codes},{seed},{found['perplexity']:.2f},{found['squared_error']:.5f},"
                         f"{nats:.2f}")  # fmt: skip
            print(lines[-1], flush=True)
    (RUNS / "codebook-sizes.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def cures(images: data.ImageData) -> None:
    lines = ["way,seed,perplexity,squared_error"]
    for way, (settings, from_data) in WAYS.items():
        for seed in range(5):
            found = measured(trained(images, settings, from_data, seed=seed), images.test_images)
            lines.append(f"{way},{seed},{found['perplexity']:.2f},{found['squared_error']:.5f}")
            print(lines[-1], flush=True)
    (RUNS / "codebook-cures.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    torch.set_num_threads(1)
    images = data.load_images("mnist-5k", validation=500)
    (sizes if sys.argv[1:] == ["sizes"] else cures)(images)


if __name__ == "__main__":
    main()
