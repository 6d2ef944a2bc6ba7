r"""What every loader of images returns: one set, split in three, in memory."""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from vae_course import require

__all__ = ["ImageData"]

_PARTS = ("train", "validation", "test")
_FEW_NOTES = 3  # that are printed


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class ImageData:
    r"""A set of images with labels, in memory, split into training, validation and test images.

    Choose on the validation images and report on the test images. A set that was loaded without
    validation images has none of them, a tensor of length 0.

    train_images, validation_images, test_images: (images, channels, height, width), float32, from
        0 (black) to 1 (white)
    train_labels, validation_labels, test_labels: (images,), int64, an index into class_names
    source: who made the set, for a caption
    notes: what the loader did that you should know, one sentence each
    """

    name: str
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    class_names: tuple[str, ...]
    source: str
    validation_images: Tensor | None = None
    validation_labels: Tensor | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self):
        if self.validation_images is None:
            object.__setattr__(self, "validation_images", self.train_images[:0])
        if self.validation_labels is None:
            object.__setattr__(self, "validation_labels", self.train_labels[:0])

    @property
    def image_shape(self) -> tuple[int, int, int]:
        r"""(channels, height, width) of one image."""
        return tuple(self.train_images.shape[1:])

    @property
    def pixels(self) -> int:
        r"""The values of one image: channels · height · width."""
        return math.prod(self.image_shape)

    def to(self, device: torch.device | str) -> ImageData:
        r"""The same set with its tensors on another device; nothing is copied if it is there."""
        fields = [f"{part}_{what}" for part in _PARTS for what in ("images", "labels")]
        moved = {field: getattr(self, field).to(device) for field in fields}
        return dataclasses.replace(self, **moved)

    def with_validation(self, images: int) -> ImageData:
        r"""The same set, its last training images set aside for validation.

        Raises: TypeError, ValueError unless training images are left; ValueError if the set has
            validation images already.
        """
        require.count(validation=images, least=0)
        if images == 0:
            return self
        if len(self.validation_images):
            raise ValueError(f"{self.name} has {len(self.validation_images)} validation images")
        kept = len(self.train_images) - images
        if kept < 1:
            raise ValueError(
                f"validation is {images}; expected fewer than the {len(self.train_images)} "
                f"training images of {self.name}, from which they are taken"
            )
        return dataclasses.replace(
            self,
            train_images=self.train_images[:kept],
            train_labels=self.train_labels[:kept],
            validation_images=self.train_images[kept:],
            validation_labels=self.train_labels[kept:],
        )

    def __repr__(self) -> str:
        size = "×".join(str(side) for side in self.image_shape)
        counts = [f"{len(self.train_images):,} training"]
        if len(self.validation_images):
            counts.append(f"{len(self.validation_images):,} validation")
        classes = len(self.class_names)
        lines = [
            f"ImageData({self.name!r}: {', '.join(counts)} and {len(self.test_images):,} test "
            f"images of {size} pixels, {classes} class{'es' * (classes != 1)}; {self.source})"
        ]
        lines += [f"  note: {note}" for note in self.notes[:_FEW_NOTES]]
        if len(self.notes) > _FEW_NOTES:
            lines.append(f"  and {len(self.notes) - _FEW_NOTES} more in .notes")
        return "\n".join(lines)
