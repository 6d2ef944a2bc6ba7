r"""How good are the samples? One number each for what can be wrong with them, with its interval.

No number stands alone: a mean picture with noise has a high precision, one perfect digit a
thousand times has a precision of 1, and copies of the training set beat every model.
`sample_report` gathers them all.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from vae_course import require
from vae_course.metrics.features import CLASSES, check_images, classify, digit_features
from vae_course.metrics.frechet import distance_to, frechet_floor
from vae_course.metrics.neighbours import (
    memorisation,
    nearer_chance,
    precision_recall_density_coverage,
)


class Estimate(NamedTuple):
    r"""A number, its 95 % interval, and what real digits that the model never saw score."""

    value: float
    low: float
    high: float
    real: float


class Report(dict[str, Estimate]):
    r"""Estimates by name; shown as a table."""

    def __repr__(self) -> str:
        lines = [f"{'':20}    value  95 % interval         real digits"]
        for name, found in self.items():
            interval = f"{found.low:.3f} to {found.high:.3f}"
            lines.append(f"{name:20} {found.value:8.3f}  {interval:20} {found.real:8.3f}")
        return "\n".join(lines)


@dataclass(frozen=True)
class ClassHistogram:
    r"""How often each digit was named. label: (N,) the class of each picture."""

    label: Tensor

    @property
    def counts(self) -> Tensor:
        r"""(10,), whole numbers."""
        return torch.bincount(self.label, minlength=CLASSES)

    @property
    def shares(self) -> Tensor:
        r"""(10,), summing to 1."""
        return self.counts / len(self.label)

    @property
    def entropy(self) -> float:
        r"""Nats: 0 for one class only, ln 10 = 2.303 for all ten equally often."""
        return _entropy(self.label)

    def __repr__(self) -> str:
        counts = ", ".join(f"{digit}: {n:,}" for digit, n in enumerate(self.counts.tolist()))
        nats = f"{self.entropy:.3f} of {math.log(CLASSES):.3f} nats"
        return f"ClassHistogram({counts}; entropy {nats})"


def class_histogram(images: Tensor) -> ClassHistogram:
    r"""Which digits a set of pictures shows, as the course's classifier names them.

    Shapes: images (N, 1, 28, 28) in [0, 1]
    Raises: ValueError on a wrong shape or range.
    """
    return ClassHistogram(classify(images).argmax(dim=1))


def sharpness(images: Tensor) -> Tensor:
    r"""Variance of the Laplacian over each picture: edges and noise raise it, blur lowers it.

    Compare means: sharpness(samples).mean() / sharpness(real).mean() is 1 for real digits. Above
    1 means noise or ragged edges, not quality.

    Shapes: images (N, 1, 28, 28) in [0, 1] → (N,)
    Units: squared pixel values
    Raises: ValueError on a wrong shape or range.
    Source: Pech-Pacheco et al. 2000.
    """
    check_images("images", images)
    (images,) = require.common_floats(images.detach())
    kernel = images.new_tensor([[0, 1, 0], [1, -4, 1], [0, 1, 0]])[None, None]
    return F.conv2d(images, kernel).flatten(start_dim=1).var(dim=1)


def bootstrap_interval(
    values: Tensor | tuple[Tensor, ...],
    statistic: Callable[..., float] | None = None,
    *,
    level: float = 0.95,
    resamples: int = 1000,
    centred: bool = False,
    seed: int = 0,
) -> tuple[float, float]:
    r"""Percentile bootstrap: the statistic of rows drawn with replacement, again and again.

    values: (N, …), one row a picture; or several such tensors, each resampled for itself
    statistic: of those tensors; by default the mean of one tensor
    centred: move the interval so that the resampled values are centred on the statistic itself.
        For statistics that repeated rows push to one side, such as a Fréchet distance (up) or an
        entropy (down).
    The interval tells how far another draw of as many samples from the same model may fall. It
    says nothing about training the model again: that needs several seeds.
    Raises: ValueError on fewer than 2 rows, a level outside (0, 1) or too few resamples.
    Source: Efron & Tibshirani 1993, chapter 13.
    """
    sets = values if isinstance(values, tuple) else (values,)
    if not all(isinstance(part, Tensor) and not part.is_complex() for part in sets):
        came = ", ".join(map(require.kind, sets))
        raise TypeError(f"values: {came}; expected tensors of numbers")
    if not sets or any(part.dim() == 0 or len(part) < 2 for part in sets):
        shapes = [tuple(part.shape) for part in sets]
        raise ValueError(f"values have shapes {shapes}; expected at least 2 rows in each")
    require.number(level=level)
    require.count(resamples=resamples, least=-math.inf)
    require.seed(seed)
    if not 0 < level < 1 or resamples < 20:
        raise ValueError(
            f"level is {level} and resamples {resamples}; expected 0 < level < 1, such as 0.95, "
            "and at least 20 resamples"
        )
    if statistic is None and len(sets) > 1:
        raise ValueError(f"{len(sets)} sets of values came: pass statistic=…, of all of them")
    if statistic is None:
        sets = tuple(part.cpu().double() for part in sets)
        statistic = torch.mean
    generator = torch.Generator().manual_seed(seed)
    found = torch.empty(resamples, dtype=torch.float64)
    for index in range(resamples):
        rows = [torch.randint(len(part), (len(part),), generator=generator) for part in sets]
        drawn = [part[row] for part, row in zip(sets, rows, strict=True)]
        found[index] = float(statistic(*drawn))
    if centred:
        found += float(statistic(*sets)) - found.mean()
    tail = (1 - level) / 2
    return found.quantile(tail).item(), found.quantile(1 - tail).item()


def sample_report(
    generated: Tensor,
    real: Tensor,
    training: Tensor,
    *,
    k: int = 5,
    resamples: int = 200,
    seed: int = 0,
) -> Report:
    r"""All numbers of a row of the comparison table, each with its interval and a real set's score.

    generated: M samples; real: held-out digits, M or more; training: the model's training digits.

    "frechet_distance": to the training digits; its `real` is the floor, M held-out digits
    "precision", "recall", "density", "coverage": against M held-out digits; their `real` is what
        M training digits score
    "class_entropy": nats, at most ln 10; "sharpness": over that of the held-out digits
    "memorisation_auc", "memorisation_copies", "memorisation_excess": see `memorisation`

    Intervals are bootstraps over the pictures: they hold for this model and these real sets.
    Held against real digits drawn afresh, 1,000 at a time: that of the distance is up to twice
    too wide near the floor; those of precision, density and coverage, which keep the balls as
    they are, have only half to three quarters of the width. Recall keeps the samples' balls: held
    against samples drawn afresh, its interval has only half to two thirds of the width, and its
    value may be a lucky one. Where a decision hangs on one of the four, draw several times.
    Shapes: pictures (M, 1, 28, 28), (H, 1, 28, 28), (N, 1, 28, 28) in [0, 1]
    Raises: ValueError on wrong shapes or ranges, or fewer real or training pictures than samples.
    """
    check_images("generated", generated)
    require.seed(seed)
    count = len(generated)
    for name, images in {"real": real, "training": training}.items():
        check_images(name, images)
        if len(images) < count:
            raise ValueError(
                f"{count} generated and {len(images)} {name} pictures; expected as many {name} "
                f"ones or more, since the numbers depend on the count: compare {len(images)} "
                "samples"
            )
    generator = torch.Generator().manual_seed(seed)
    some_real, some_training = (
        torch.randperm(len(images), generator=generator)[:count] for images in (real, training)
    )
    settings = {"resamples": resamples, "seed": seed}
    report = Report()

    def add(name, value, values, statistic=None, *, real, centred=False):
        interval = bootstrap_interval(values, statistic, centred=centred, **settings)
        report[name] = Estimate(value, *interval, real)

    features, real_features, training_features = map(digit_features, (generated, real, training))
    distance = distance_to(training_features)
    floor = frechet_floor(training_features, count, held_out=real_features, seed=seed)
    add("frechet_distance", distance(features), features, distance, real=floor, centred=True)

    real_set = real_features[some_real]
    found = precision_recall_density_coverage(real_set, features, k=k)
    ceiling = precision_recall_density_coverage(real_set, training_features[some_training], k=k)
    add("precision", found.precision, found.in_real, real=ceiling.precision)
    add("recall", found.recall, found.in_generated, real=ceiling.recall)
    add("density", found.density, found.density_per_image, real=ceiling.density)
    add("coverage", found.coverage, found.covered, real=ceiling.coverage)

    label = class_histogram(generated).label
    entropy = class_histogram(real).entropy
    add("class_entropy", _entropy(label), label, _entropy, real=entropy, centred=True)
    found = report["class_entropy"]
    report["class_entropy"] = found._replace(high=min(found.high, math.log(CLASSES)))
    ratio = sharpness(generated) / sharpness(real).mean()
    add("sharpness", ratio.mean().item(), ratio, real=1.0)

    near = memorisation(generated, real, training)
    pair = (near.distance, near.held_out_distance)
    add("memorisation_auc", near.auc, pair, nearer_chance, real=0.5)
    copied = (near.distance < near.copy_distance).cpu().double()
    add("memorisation_copies", near.copies, copied, real=0.01)
    add("memorisation_excess", near.excess, near.excess_per_image, real=0.0)
    return report


def _entropy(label: Tensor) -> float:
    shares = torch.bincount(label, minlength=CLASSES).cpu().double() / len(label)
    return torch.special.entr(shares).sum().item()
