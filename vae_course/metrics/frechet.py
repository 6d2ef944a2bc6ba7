r"""Fréchet distance between two sets of pictures, with what real digits would score beside it."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vae_course import require
from vae_course.metrics.features import as_features


@dataclass(frozen=True)
class Frechet:
    r"""A distance that means nothing without the other three numbers.

    distance: between `reference` real and `count` generated pictures, in squared feature units
    floor: what `count` real digits that are not among the reference score, measured the same way
    """

    distance: float
    floor: float
    count: int
    reference: int


def frechet_distance(
    real: Tensor, generated: Tensor, *, held_out: Tensor | None = None, seed: int = 0
) -> Frechet:
    r"""‖m₁ − m₂‖² + tr(C₁ + C₂ − 2 (C₁ C₂)^½) of the features' means m and covariances C.

    Both sets are summed up by a Gaussian: two sets that differ in everything but these moments
    are at distance 0. It falls as the sets grow, for real digits too, so compare at one count,
    with one extractor, against one reference, and read it beside its floor. This is not "FID",
    which is measured in another network's features.

    held_out: real digits for the floor, as many as generated or more; see `frechet_floor`.
    Shapes: pictures (N, 1, 28, 28) in [0, 1], or features (N, D) made before
    Units: squares of feature units, so the scale is that of the course's classifier.
    Raises: ValueError on wrong shapes or ranges, or too few real digits for the floor.
    Source: Dowson & Landau 1982; Heusel et al. 2017. Computed by torchmetrics.
    """
    real, generated = as_features("real", real), as_features("generated", generated)
    floor = frechet_floor(real, len(generated), held_out=held_out, seed=seed)
    return Frechet(distance_to(real)(generated), floor, len(generated), len(real))


def frechet_floor(
    real: Tensor, count: int, *, held_out: Tensor | None = None, repeats: int = 5, seed: int = 0
) -> float:
    r"""The Fréchet distance that `count` real digits keep from disjoint real ones: the noise floor.

    With held_out, `count` of those are compared with all of `real`. Without, `count` digits are
    drawn out of `real` and compared with the rest, which is a little too high: the rest is a
    smaller reference. Mean over `repeats` draws, where there is anything to choose.

    Shapes: pictures (N, 1, 28, 28) in [0, 1], or features (N, D) made before
    Raises: ValueError if there are fewer than `count` held-out digits, or 2 · count real ones.
    """
    require.count(repeats=repeats, count=count)
    require.seed(seed)
    if count < 2:
        raise ValueError(f"count is {count}; a covariance needs at least 2 pictures")
    generator = torch.Generator().manual_seed(seed)
    real = as_features("real", real)
    if held_out is not None:
        held_out = as_features("held_out", held_out)
        if len(held_out) < count:
            raise ValueError(
                f"the floor of {count} pictures needs as many held-out real digits, but there are "
                f"{len(held_out)}: give more of them, or compare {len(held_out)} pictures"
            )
        distance = distance_to(real)
        if len(held_out) == count:
            return distance(held_out)
        draws = [torch.randperm(len(held_out), generator=generator) for _ in range(repeats)]
        return sum(distance(held_out[draw[:count]]) for draw in draws) / repeats
    if len(real) < 2 * count:
        raise ValueError(
            f"the floor of {count} pictures can't be split off {len(real)} real digits, it needs "
            f"{2 * count}: pass held_out=…, at least {count} other real digits, or compare fewer"
        )
    draws = [torch.randperm(len(real), generator=generator) for _ in range(repeats)]
    return sum(distance_to(real[d[count:]])(real[d[:count]]) for d in draws) / repeats


def distance_to(real: Tensor):
    r"""A function from features (M, D) to their Fréchet distance from `real`, features (N, D).

    torchmetrics keeps the sums of the reference, so that a second call costs a second set only.
    Raises: ValueError if one set has fewer than 2 rows, or other features than the other.
    """
    from torchmetrics.image.fid import FrechetInceptionDistance

    _check(real, real)
    extractor = nn.Identity()  # the features are made already, once
    extractor.num_features = real.shape[1]
    metric = FrechetInceptionDistance(feature=extractor, normalize=True, reset_real_features=False)
    double = real.cpu().double()  # Apple's MPS has no doubles
    center = double.mean(dim=0)  # far from 0 the sums of squares would swallow the spread
    metric.update(double - center, real=True)
    return functools.partial(_distance, metric, real, center)


def _distance(metric, real: Tensor, center: Tensor, generated: Tensor) -> float:
    _check(real, generated)
    metric.reset()
    metric.update(generated.cpu().double() - center, real=False)
    return max(0.0, metric.compute().item())  # identical sets: rounding may go below 0


def _check(real: Tensor, generated: Tensor) -> None:
    if real.shape[1] != generated.shape[1] or min(len(real), len(generated)) < 2:
        raise ValueError(
            f"features of shape {tuple(real.shape)} and {tuple(generated.shape)}; expected as many "
            "columns in both, and at least 2 pictures each"
        )
