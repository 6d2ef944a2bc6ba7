r"""The 64 features in which pictures of digits are compared, and the small classifier behind them.

The classifier ships with the course as "digit-features", weights and card; it was trained on
MNIST's training digits without the test digits of "mnist-5k", which are among them
(`python -m vae_course.metrics.train_features`). Every distance taken in its features depends on
them: never compare it with one taken in other features.
"""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vae_course import pretrained, require

FEATURES = 64
CLASSES = 10
NAME = "digit-features"


class DigitClassifier(nn.Module):
    r"""Three convolutions, a layer of 64 features (after its ReLU, so never negative), 10 logits.

    Shapes: image (B, 1, 28, 28) in [0, 1] → logits (B, 10)
    """

    num_features = FEATURES

    def __init__(self, channels: int = 16, features: int = FEATURES):
        super().__init__()
        wide = 2 * channels
        self.convolutions = nn.Sequential(
            nn.Conv2d(1, channels, kernel_size=5, stride=2, padding=2, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),  # (B, 16, 14, 14)
            nn.Conv2d(channels, wide, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU(),
            nn.MaxPool2d(2),  # (B, 32, 7, 7)
            nn.Conv2d(wide, wide, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU(),
        )
        self.to_features = nn.Linear(wide * 7 * 7, features)
        self.to_logits = nn.Linear(features, CLASSES)

    def features(self, image: Tensor) -> Tensor:
        r"""The layer before the logits: (B, 1, 28, 28) → (B, 64)."""
        return F.relu(self.to_features(self.convolutions(image).flatten(start_dim=1)))

    def forward(self, image: Tensor) -> Tensor:
        return self.to_logits(self.features(image))


@torch.no_grad()
def digit_features(images: Tensor, *, batch_size: int = 500) -> Tensor:
    r"""Features of pictures in the course's digit classifier, computed on the CPU.

    Shapes: images (N, 1, 28, 28) in [0, 1] → (N, 64), 0 or more, float32
    Raises: ValueError on a wrong shape or range; DataError if the classifier's files are missing.
    """
    check_images("images", images)
    require.count(batch_size=batch_size)
    model = _classifier()
    return torch.cat([model.features(_ready(batch)) for batch in images.split(batch_size)])


@torch.no_grad()
def classify(images: Tensor, *, batch_size: int = 500) -> Tensor:
    r"""Which digit each picture shows: probabilities of the course's classifier, on the CPU.

    It knows nothing but digits: for a picture that shows none it names one all the same.

    Shapes: images (N, 1, 28, 28) in [0, 1] → (N, 10), rows that sum to 1, float32
    Raises: ValueError on a wrong shape or range; DataError if the classifier's files are missing.
    """
    check_images("images", images)
    require.count(batch_size=batch_size)
    model = _classifier()
    logits = [model(_ready(batch)) for batch in images.split(batch_size)]
    return torch.cat(logits).softmax(dim=1)


def as_features(name: str, given: Tensor) -> Tensor:
    r"""Features of pictures (N, 1, 28, 28); features (N, D) that were made before, as they are.

    Raises: ValueError on pictures of a wrong shape or range, and on features that are not finite.
    """
    if not isinstance(given, Tensor) or given.dim() != 2:
        check_images(name, given)
        return digit_features(given)
    if given.shape[1] == 28 * 28:
        raise ValueError(
            f"{name} has shape {tuple(given.shape)}, flat pictures; expected (N, 1, 28, 28) or "
            "features (N, D): give .view(-1, 1, 28, 28)"
        )
    if not given.is_floating_point() or 0 in given.shape or not given.isfinite().all():
        raise ValueError(
            f"{name}: features (N, D) must be finite floats, at least one row, got {given.dtype} "
            f"{tuple(given.shape)}; pictures are (N, 1, 28, 28)"
        )
    return given.detach().cpu()


def check_images(name: str, images: Tensor) -> None:
    r"""Raises: ValueError, TypeError unless images are (N, 1, 28, 28) with pixels in [0, 1]."""
    require.pixels(**{name: images})
    if images.dim() != 4 or images.shape[1:] != (1, 28, 28) or len(images) == 0:
        raise ValueError(
            f"{name} has shape {tuple(images.shape)}; expected (N, 1, 28, 28), one grey picture "
            "a row: flat pictures need .view(-1, 1, 28, 28), a single one needs [None]"
        )


def _ready(batch: Tensor) -> Tensor:
    return batch.detach().to(device="cpu", dtype=torch.float32)


@functools.cache
def _classifier() -> DigitClassifier:
    with torch.random.fork_rng(devices=[]):  # its first weights are drawn, then replaced
        model, _ = pretrained.load(NAME, lambda card: DigitClassifier(**card["architecture"]))
    return model.requires_grad_(False)
