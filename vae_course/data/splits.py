r"""Training, validation and test rows by seed, with what belongs together in one of the three.

A test picture that is nearly a training picture measures memory, not understanding. So pictures
that are near-duplicates stay together. "Near" is measured in a simple way: each picture becomes a
grey thumbnail of 16 × 16, its mean is taken off and it is divided by its standard deviation (by
0.02 at least). Two pictures are near-duplicates if the thumbnails differ by less than 0.1, root
mean square. That finds copies, other file formats and sizes, small noise, other brightness and
contrast. It does not find mirrored, turned, shifted or cropped copies, and not two pictures of
one person: for those, say which pictures belong together with `groups`.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vae_course import require

__all__ = ["Split", "near_duplicates", "split_rows"]

NEAR = 0.1  # root mean square difference of two thumbnails, in their standard deviations
_SIDE = 16
_LEAST_STD = 0.02
_DIRECTIONS = 8  # principal components in which neighbours are looked for first
_MOST_ALIKE = 0.3  # of all pictures in one group: then likeness says nothing


@dataclasses.dataclass(frozen=True)
class Split:
    r"""Row numbers of each part, (rows,) int64, in rising order."""

    train: Tensor
    validation: Tensor
    test: Tensor


def thumbnails(images: Tensor) -> Tensor:
    r"""Grey, 16 × 16, mean 0 and standard deviation 1. Shapes: (N, C, H, W) → (N, 256)"""
    small = torch.cat([_shrunk(part) for part in images.split(1024)])
    small = small.flatten(1) - small.flatten(1).mean(dim=1, keepdim=True)
    return small / small.std(dim=1, correction=0, keepdim=True).clamp(min=_LEAST_STD)


def _shrunk(images: Tensor) -> Tensor:
    grey = images.float().mean(dim=1, keepdim=True)
    grey = grey / 255 if images.dtype == torch.uint8 else grey
    return F.interpolate(grey, (_SIDE, _SIDE), mode="bilinear", antialias=True)


def _components(links, count: int) -> np.ndarray:
    r"""Which of the numbers 0 to count − 1 hang together by the links (two arrays of numbers)."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    rows, columns = (np.asarray(each, dtype=np.int32) for each in links)  # SciPy 1.11: 32 bits
    table = coo_array((np.ones(len(rows)), (rows, columns)), shape=(count, count))
    return connected_components(table, directed=False)[1]


def near_duplicates(images: Tensor) -> Tensor:
    r"""A group number for each picture; near-duplicates, and theirs, share one.

    Shapes: (N, C, H, W) → (N,), int64, 0 to the number of groups − 1
    """
    from scipy.spatial import cKDTree  # here: SciPy's import takes longer than most cells

    small = thumbnails(images).numpy().astype(np.float32)
    distinct, row_of = np.unique(small, axis=0, return_inverse=True)
    row_of = row_of.reshape(-1)  # NumPy 2.0 gave it two dimensions
    # A projection only shortens distances: neighbours are neighbours among the components too.
    centred = distinct - distinct.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    near = NEAR * _SIDE  # rms over 256 values → Euclidean
    components = centred @ directions[:, -_DIRECTIONS:]
    pairs = cKDTree(components).query_pairs(near, output_type="ndarray")
    far = [
        np.linalg.norm(distinct[part[:, 0]] - distinct[part[:, 1]], axis=1) >= near
        for part in np.array_split(pairs, 1 + len(pairs) // 100_000)
    ]
    pairs = pairs[~np.concatenate(far)] if len(pairs) else pairs
    groups = _components(pairs.T, len(distinct))
    return torch.from_numpy(groups[row_of].astype(np.int64))


def split_rows(
    rows: int,
    *,
    validation: float,
    test: float,
    seed: int,
    labels: Tensor | None = None,
    groups: Tensor | None = None,
    what: str = "images",
) -> Split:
    r"""Draw the rows of each part; a group stays together, a class has its share in each part.

    validation, test: shares of all rows, 0 to 0.5 each; at least one row where it is not 0
    labels, groups: (rows,), int64; without groups each row is one
    Raises: TypeError, ValueError on the shares and the seed, or if a part would be empty.
    """
    require.number(validation=validation, test=test, least=0, most=0.5)
    require.seed(seed)
    labels = torch.zeros(rows, dtype=torch.int64) if labels is None else labels
    groups = torch.arange(rows) if groups is None else groups
    shares = {name: share for name, share in (("test", test), ("validation", validation)) if share}
    together = _together(groups, torch.Generator().manual_seed(seed))
    if len(together) <= len(shares):
        alike = f", {len(together)} of them really different," if len(together) < rows else ""
        raise ValueError(
            f"{rows} {what}{alike} can't be split into {len(shares) + 1} parts: give more {what}, "
            "or pass validation=0 or test=0"
        )
    counts = labels.bincount()
    free = counts - 1  # one of each class stays in training
    quotas = {}
    for name, share in shares.items():
        quotas[name] = _quotas(counts, free, max(1, round(share * rows)))
        free = free - quotas[name]
    parts: dict[str, list[list[int]]] = {"train": [], **{name: [] for name in shares}}
    for group in together:
        label = labels[group[0]]
        part = next((n for n, quota in quotas.items() if quota[label] >= len(group)), "train")
        parts[part].append(group)
        if part != "train":
            quotas[part][label] -= len(group)
    for name in shares:
        if not parts[name]:  # its groups were larger than its share
            parts["train"].sort(key=len, reverse=True)
            parts[name].append(parts["train"].pop())
    if not parts["train"]:
        raise ValueError(f"{rows} {what} leave none for training: lower validation and test")
    chosen = {name: torch.tensor(sorted(itertools.chain(*part))) for name, part in parts.items()}
    none = torch.zeros(0, dtype=torch.int64)
    return Split(chosen["train"], chosen.get("validation", none), chosen.get("test", none))


def _together(groups: Tensor, generator: torch.Generator) -> list[list[int]]:
    r"""The rows of each group, the groups in random order."""
    members: dict[int, list[int]] = {}
    for row in torch.randperm(len(groups), generator=generator).tolist():
        members.setdefault(int(groups[row]), []).append(row)
    return list(members.values())


def _quotas(counts: Tensor, free: Tensor, total: int) -> Tensor:
    r"""How many of the total come from each class: its share, the largest remainders rounded up."""
    exact = total * counts / counts.sum()
    quotas = exact.floor().long()
    by_remainder = (exact - quotas).argsort(descending=True, stable=True)
    quotas[by_remainder[: total - int(quotas.sum())]] += 1
    return quotas.minimum(free.clamp(min=0))


def grouping(
    images: Tensor, groups: Tensor | None, *, kept_together: bool = True
) -> tuple[Tensor, list[str]]:
    r"""Group numbers for `split_rows` from likeness and from what the user said, and notes on it.

    kept_together: whether the notes may say so; False for a split that came with the images

    Shapes: images (N, C, H, W), groups (N,) or None → (N,)
    """
    alike, notes = near_duplicates(images), []
    sizes = alike.bincount()
    if len(images) >= 20 and sizes.max() > _MOST_ALIKE * len(images):
        notes.append(
            f"{int(sizes.max()):,} of {len(images):,} pictures look alike as thumbnails, so "
            "near-duplicates were not looked for"
        )
        alike = torch.arange(len(images))
    elif sizes.max() > 1:
        several = int(sizes[sizes > 1].sum())
        notes.append(
            f"{several:,} pictures have near-duplicates"
            f"{'; they were kept together' * kept_together}, in {int((sizes > 1).sum()):,} groups"
        )
    if groups is None:
        return alike, notes
    first, second = alike.numpy(), groups.numpy() + int(alike.max()) + 1
    component = _components((first, second), int(second.max()) + 1)
    return torch.from_numpy(component[first].astype(np.int64)), notes
