r"""Three cures of a codebook that collapses, over five seeds: the table of notebook 10.

    python -m benchmarks.codebooks

Trains a small VQ-VAE on the 3,500 training digits of mnist-5k in each way, and writes
data/runs/codebook-cures.csv: perplexity and squared error on the 1,000 test digits. About five
minutes of one core.
"""

from __future__ import annotations

from pathlib import Path

import torch

from vae_course import data, training, vq

OUT = Path(__file__).resolve().parent.parent / "data" / "runs" / "codebook-cures.csv"
CODES = 64
EPOCHS = 6
WAYS = {  # settings of the codebook, and whether it starts where vectors lie
    "by gradient": ({"average": 0.0}, False),
    "start from k-means": ({"average": 0.0}, True),
    "running averages": ({"average": 0.99}, False),
    "averages and revival": ({"average": 0.99, "revive": 2.0}, False),
}


def trained(images: data.ImageData, settings: dict, from_data: bool, *, seed: int) -> vq.VQVAE:
    r"""A small VQ-VAE after EPOCHS epochs, in eval mode."""
    torch.manual_seed(seed)
    model = vq.VQVAE(codes=CODES, code_width=16, channels=16, **settings)
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
    return {"perplexity": vq.codebook_perplexity(indices, CODES), "squared_error": error}


def main() -> None:
    torch.set_num_threads(1)
    images = data.load_images("mnist-5k", validation=500)
    lines = ["way,seed,perplexity,squared_error"]
    for way, (settings, from_data) in WAYS.items():
        for seed in range(5):
            found = measured(trained(images, settings, from_data, seed=seed), images.test_images)
            lines.append(f"{way},{seed},{found['perplexity']:.2f},{found['squared_error']:.5f}")
            print(lines[-1], flush=True)
    OUT.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
