r"""Train the classifier whose features the sample metrics use, on MNIST's training digits.

    python -m vae_course.metrics.train_features --out FOLDER

Writes digit-features.safetensors (float16) and digit-features.json, its card, a few minutes on one
core. The same seed on the same machine, with as many threads, makes the same weights. MNIST is
read from VAE_COURSE_DATA or downloaded.

The 5,000 digits of "mnist-5k" are among the 60,000 training digits of "mnist", its test digits
too. Those 1,000 are left out here, so that they are new to the classifier.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from vae_course import pretrained
from vae_course.data import IMAGE_SETS, ImageData, load_images
from vae_course.files import DataError
from vae_course.metrics.features import NAME, DigitClassifier
from vae_course.training import evaluate, fit


@dataclasses.dataclass(frozen=True)
class Settings:
    r"""Everything that decides the weights, besides the images."""

    dataset: str = "mnist"
    seed: int = 0
    epochs: int = 8
    batch_size: int = 128
    learning_rate: float = 2e-3  # of Adam at the start; falls to 0 along half a cosine
    shift: float = 2.0  # pixels, the farthest that a training picture is moved each way
    turn: float = 8.0  # degrees, the farthest that it is turned


def train(settings: Settings, data: ImageData, *, progress: bool = True) -> DigitClassifier:
    r"""A trained classifier in eval mode. Raises: as `training.fit`."""
    torch.manual_seed(settings.seed)
    model = DigitClassifier()
    model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate)
    steps = settings.epochs * math.ceil(len(data.train_images) / settings.batch_size)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)

    def loss(model: DigitClassifier, image: Tensor, label: Tensor) -> Tensor:
        if model.training:
            image = jitter(image, shift=settings.shift, turn=settings.turn)
        return F.cross_entropy(model(image), label)

    fit(
        model, loss, data.train_images, labels=data.train_labels, epochs=settings.epochs,
        batch_size=settings.batch_size, optimizer=optimizer, scheduler=scheduler,
        seed=settings.seed, progress=progress,
    )  # fmt: skip
    return model.eval().to(memory_format=torch.contiguous_format)


def leave_out(data: ImageData, images: Tensor) -> ImageData:
    r"""The set without those training pictures that are also in `images`, bit for bit."""
    others = {image.numpy().tobytes() for image in images}
    kept = [image.numpy().tobytes() not in others for image in data.train_images]
    rows = torch.tensor(kept).nonzero().flatten()
    return dataclasses.replace(
        data, train_images=data.train_images[rows], train_labels=data.train_labels[rows]
    )


def jitter(images: Tensor, *, shift: float, turn: float) -> Tensor:
    r"""Each picture moved by up to `shift` pixels and turned by up to `turn` degrees.

    Shapes: images (B, 1, H, W) → the same; what comes in from outside is black.
    """
    count, size = len(images), images.shape[-1]
    angle = (2 * torch.rand(count) - 1) * math.radians(turn)
    moved = (2 * torch.rand(2, count) - 1) * 2 * shift / size  # the grid runs from −1 to 1
    rows = [torch.stack([angle.cos(), -angle.sin(), moved[0]], dim=1)]
    rows += [torch.stack([angle.sin(), angle.cos(), moved[1]], dim=1)]
    grid = F.affine_grid(torch.stack(rows, dim=1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, align_corners=False)


def save(settings: Settings, data: ImageData, model: DigitClassifier, out: Path, **more) -> dict:
    r"""Write weights and card into `out`; accuracies are those of the weights as stored."""
    path = out / f"{NAME}.safetensors"
    card = pretrained.save(
        path, model, dtype="float16",
        architecture={
            "channels": model.convolutions[0].out_channels, "features": model.num_features,
        },
        purpose="64 features in which sample quality is measured, and the class of a digit",
        data={
            "name": data.name, "source": data.source,
            "training_images": len(data.train_images),
            "left_out": "training pictures that are test digits of mnist-5k",
            "test_images": len(data.test_images),
        },
        protocol=dataclasses.asdict(settings),
        command="python -m vae_course.metrics.train_features --out FOLDER",
    )  # fmt: skip
    test = evaluate(model, _scores, data.test_images, labels=data.test_labels)
    card["measured"] = {
        "test_accuracy": round(test["accuracy"], 4),
        "test_loss": round(test["loss"], 4),
        "unit": "share of digits named rightly; cross-entropy in nats",
        "how": f"all {len(data.test_images):,} test digits, once, after the last epoch, with "
        "the weights as stored; nothing was chosen by them",
        **more,
        "threads": torch.get_num_threads(),
    }
    pretrained.write_card(path, card)
    return card


def _scores(model: DigitClassifier, image: Tensor, label: Tensor) -> dict[str, Tensor]:
    logits = model(image)
    right = (logits.argmax(dim=1) == label).float().mean()
    return {"loss": F.cross_entropy(logits, label), "accuracy": right}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for weights and card")
    parser.add_argument("--images-from", choices=IMAGE_SETS, default="mnist", help="default mnist")
    parser.add_argument("--epochs", type=int, default=Settings.epochs)
    parser.add_argument("--seed", type=int, default=Settings.seed)
    chosen = parser.parse_args(arguments)
    settings = Settings(dataset=chosen.images_from, epochs=chosen.epochs, seed=chosen.seed)
    try:
        data = leave_out(load_images(chosen.images_from), load_images("mnist-5k").test_images)
        start = time.perf_counter()
        model = train(settings, data)
    except (DataError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    card = save(settings, data, model, chosen.out, seconds=round(time.perf_counter() - start))
    print(f"test accuracy {card['measured']['test_accuracy']:.2%}, written to {chosen.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
