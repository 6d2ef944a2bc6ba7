r"""What nearest neighbours say: are the samples digits, are all digits there, are they copies?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vae_course import require
from vae_course.metrics.features import as_features, check_images


@dataclass(frozen=True)
class Neighbourhoods:
    r"""Precision, recall, density and coverage, with what each picture adds to them.

    Per generated picture (M,): in_real (bool), density_per_image
    Per real picture (N,): in_generated (bool), covered (bool)
    """

    in_real: Tensor
    density_per_image: Tensor
    in_generated: Tensor
    covered: Tensor

    @property
    def precision(self) -> float:
        r"""Share of generated pictures inside some real picture's ball: 0 to 1."""
        return self.in_real.cpu().double().mean().item()

    @property
    def recall(self) -> float:
        r"""Share of real pictures inside some generated picture's ball: 0 to 1."""
        return self.in_generated.cpu().double().mean().item()

    @property
    def density(self) -> float:
        r"""How many real balls hold a generated picture, over k: 1 for real ones, may exceed 1."""
        return self.density_per_image.cpu().double().mean().item()

    @property
    def coverage(self) -> float:
        r"""Share of real pictures whose ball holds a generated one: see `expected_coverage`."""
        return self.covered.cpu().double().mean().item()

    def __repr__(self) -> str:
        return (
            f"Neighbourhoods(precision {self.precision:.3f}, recall {self.recall:.3f}, "
            f"density {self.density:.3f}, coverage {self.coverage:.3f}; "
            f"{len(self.in_real):,} generated, {len(self.covered):,} real pictures)"
        )


def precision_recall_density_coverage(
    real: Tensor, generated: Tensor, *, k: int = 5, chunk: int = 500
) -> Neighbourhoods:
    r"""Is each sample near a real digit, and each real digit near a sample, in the features?

    Around each picture lies a ball that reaches to its k-th neighbour in its own set. Precision
    asks whether a sample lies in any real ball, density in how many; recall asks whether a real
    digit lies in any sample's ball, coverage whether its own ball holds a sample. One far-off
    outlier has a huge ball: precision and recall then see what is not there, density and coverage
    don't. All four depend on k and on both counts: compare at one count.

    Precision alone is fooled: the mean of all 3s with a little noise, a thousand times, has a
    precision of 1 in the course's features (recall 0, coverage under 0.01), and so has the mean
    of all digits when pixels are the features.

    chunk: rows of the distance table held at a time; the result does not depend on it.
    Shapes: pictures (N, 1, 28, 28) in [0, 1], or features (N, D), and (M, …) likewise
    Raises: ValueError on wrong shapes, ranges, k or chunk.
    Source: Kynkäänniemi et al. 2019 (precision, recall); Naeem et al. 2020 (density, coverage).
    """
    real, generated = as_features("real", real), as_features("generated", generated)
    fewest = min(len(real), len(generated))
    if real.shape[1] != generated.shape[1]:
        raise ValueError(f"real has {real.shape[1]} features, generated {generated.shape[1]}")
    require.count(k=k, chunk=chunk, least=-math.inf)
    if not 1 <= k < fewest or chunk < 1:
        raise ValueError(
            f"k is {k} and chunk {chunk} with {len(real)} real and {len(generated)} generated "
            f"pictures; expected 1 ≤ k < {fewest} and chunk ≥ 1"
        )
    real, generated = require.common_floats(real, generated)
    real_radius, generated_radius = _radius(real, k, chunk), _radius(generated, k, chunk)
    in_real, density = [], []
    in_generated = torch.zeros(len(real), dtype=torch.bool)
    covered = torch.zeros(len(real), dtype=torch.bool)
    for rows, radius in zip(generated.split(chunk), generated_radius.split(chunk), strict=True):
        distance = _distances(rows, real)  # (chunk, N)
        inside = distance <= real_radius
        in_real.append(inside.any(dim=1))
        density.append(inside.sum(dim=1) / k)
        covered |= inside.any(dim=0)
        in_generated |= (distance <= radius[:, None]).any(dim=0)
    return Neighbourhoods(torch.cat(in_real), torch.cat(density), in_generated, covered)


def expected_coverage(real: int, generated: int, *, k: int = 5) -> float:
    r"""The coverage that `generated` pictures from the very distribution of `real` ones reach.

    The k nearest of the other pictures, both sets mixed, must not all be real: with equal counts
    about 1 − 2⁻ᵏ, 0.969 at k = 5.
    Raises: ValueError unless there is a generated picture, and k other real ones.
    Source: Naeem et al. 2020, equation 9.
    """
    require.count(generated=generated, k=k)
    require.count(real=real, least=k + 1)
    total = real + generated
    return 1 - math.prod((real - i) / (total - i) for i in range(1, k + 1))


@dataclass(frozen=True)
class Memorisation:
    r"""Distances to the nearest training picture, of samples (M,) and of held-out digits (H,).

    nearest: (M,) which training picture that is, to be shown beside the sample
    from_training: share of samples whose nearest real picture, of the training and held-out ones
        together, is a training one; expected_from_training: the same for samples that know
        neither, training / (training + held-out)

    A model that shows one picture again and again has a single nearest picture, so `excess` says
    little about it: look at the coverage first.
    """

    distance: Tensor
    held_out_distance: Tensor
    nearest: Tensor
    from_training: Tensor
    expected_from_training: float

    @property
    def auc(self) -> float:
        r"""Chance that a sample is nearer to the training set than a held-out digit is.

        0.5: as near as new digits; towards 1: copies, or bland pictures; towards 0: far from all
        digits.
        """
        return nearer_chance(self.distance, self.held_out_distance)

    @property
    def excess_per_image(self) -> Tensor:
        r"""(M,), with the mean `excess`."""
        return (self.from_training - self.expected_from_training) / (
            1 - self.expected_from_training
        )

    @property
    def excess(self) -> float:
        r"""0: as often nearest to a training picture as chance has it; 1: always, all copies."""
        return self.excess_per_image.cpu().double().mean().item()

    @property
    def copies(self) -> float:
        r"""Share of samples nearer to the training set than 99 % of held-out digits: about 0.01."""
        return (self.distance < self.copy_distance).cpu().double().mean().item()

    @property
    def copy_distance(self) -> float:
        r"""The distance that 1 % of the held-out digits stay below."""
        return self.held_out_distance.cpu().double().quantile(0.01).item()

    def __repr__(self) -> str:
        return (
            f"Memorisation(auc {self.auc:.3f}, excess {self.excess:.3f}, "
            f"copies {self.copies:.3f}; {len(self.distance):,} samples)"
        )


def memorisation(
    generated: Tensor, held_out: Tensor, training: Tensor, *, chunk: int = 500
) -> Memorisation:
    r"""Are samples nearer to the training pictures than new real digits are? Distances in pixels.

    Bland pictures (blurred, averaged) are near to everything, so `auc` and `copies` alone would
    accuse them; they are just as near to the held-out digits, which `excess` shows. Only copies
    have all three high; copies that were moved or changed a little have a high `excess` alone.

    Shapes: pictures (M, 1, 28, 28), (H, 1, 28, 28), (N, 1, 28, 28) in [0, 1]
    Units: Euclidean distance between pictures, pixels in [0, 1]
    Raises: ValueError on wrong shapes, ranges or chunk.
    Source: after the data-copying test of Meehan, Chaudhuri & Dasgupta 2020 (the auc is its U
        statistic, here over all cells at once).
    """
    named = {"generated": generated, "held_out": held_out, "training": training}
    for name, images in named.items():
        check_images(name, images)
    require.count(chunk=chunk)
    generated, held_out, training = (
        images.detach().flatten(start_dim=1).to(device="cpu", dtype=torch.float32)
        for images in named.values()
    )
    distance, nearest = _nearest(generated, training, chunk)
    held_out_distance, _ = _nearest(held_out, training, chunk)
    to_held_out, _ = _nearest(generated, held_out, chunk)
    share = len(training) / (len(training) + len(held_out))
    # A tie, the same picture in both sets, says nothing: it counts as expected by chance.
    closer = torch.where(distance == to_held_out, share, (distance < to_held_out).float())
    return Memorisation(distance, held_out_distance, nearest, closer, share)


def nearer_chance(distance: Tensor, other: Tensor) -> float:
    r"""P(distance < other) + ½ P(distance = other) over all pairs: the area under the ROC curve.

    Shapes: (M,), (H,) → float
    Source: Mann & Whitney 1947.
    """
    ordered = other.sort().values
    farther = len(other) - torch.searchsorted(ordered, distance, right=True)
    same_or_farther = len(other) - torch.searchsorted(ordered, distance, right=False)
    return (farther + same_or_farther).cpu().double().mean().item() / (2 * len(other))


def _distances(rows: Tensor, others: Tensor) -> Tensor:
    # Not by a matrix product: its rounding would make identical pictures differ.
    return torch.cdist(rows, others, compute_mode="donot_use_mm_for_euclid_dist")


def _radius(features: Tensor, k: int, chunk: int) -> Tensor:
    r"""Distance to the k-th neighbour, the picture itself not counted: (N, D) → (N,)."""
    nearest = [
        _distances(rows, features).kthvalue(k + 1, dim=1).values for rows in features.split(chunk)
    ]
    return torch.cat(nearest)


def _nearest(rows: Tensor, others: Tensor, chunk: int) -> tuple[Tensor, Tensor]:
    r"""Distance to the nearest of the others, and which it is: (M, D), (N, D) → (M,), (M,).

    Found by a matrix product, which is quick, then measured without its rounding.
    """
    half_square = 0.5 * others.square().sum(dim=1)  # (N,)
    which = [
        torch.addmm(half_square, part, others.T, alpha=-1).argmin(dim=1)
        for part in rows.split(chunk)
    ]
    which = torch.cat(which)
    distance = [
        (part - others[index]).norm(dim=1)
        for part, index in zip(rows.split(chunk), which.split(chunk), strict=True)
    ]
    return torch.cat(distance), which
