r"""Moving pictures that play in a notebook and on a web page: APNG and GIF, made with Pillow."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from vae_course.plots.pictures import as_array, checked_pixels, display_png, in_notebook
from vae_course.printing import say

__all__ = ["animation", "frames_of", "show_animation", "there_and_back"]

_GREYS = 32  # enough for a blurred digit, and half the bytes


def there_and_back(frames, *, rest: int = 6):
    r"""The frames forwards and backwards, with a rest at both ends: it loops without a jump.

    Shapes: (N, 1, H, W) → (2 · N + 2 · rest − 2, 1, H, W), pixels from 0 to 1
    """
    import torch

    first, last = frames[:1].repeat(rest, 1, 1, 1), frames[-1:].repeat(rest, 1, 1, 1)
    return torch.cat([first, frames[1:], last, frames[1:-1].flip(0)])


def animation(frames, *, milliseconds: int = 60, scale: int = 6, format: str = "png") -> bytes:
    r"""Grey images as an endless animation; a PNG player that can't play shows the first frame.

    frames: (N, 1, H, W) or (N, H, W), pixels from 0 to 1, at least two
    milliseconds: time of each frame; scale: screen pixels an image pixel
    format: "png" (animated PNG) or "gif"
    Raises: ValueError on other pixels, one frame, or another format.
    """
    if format not in ("png", "gif"):
        raise ValueError(f"format is {format!r}; expected 'png' or 'gif'")
    pixels = checked_pixels(as_array(frames), clip=False)
    if len(pixels) < 2:
        raise ValueError(f"{len(pixels)} frame; an animation needs at least two")
    step = 255 / (_GREYS - 1)
    pictures = []
    for frame in pixels:
        size = (frame.shape[1] * scale, frame.shape[0] * scale)
        large = Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC)
        pictures.append(Image.fromarray((np.round(np.asarray(large) / step) * step).astype("u1")))
    file = io.BytesIO()
    options = {"save_all": True, "append_images": pictures[1:], "duration": milliseconds, "loop": 0}
    extra = {"default_image": False} if format == "png" else {"disposal": 1}
    pictures[0].save(file, format=format, optimize=True, **options, **extra)
    return file.getvalue()


def show_animation(png: bytes, *, alt: str, width: int = 168) -> None:
    r"""Play an animated PNG in the notebook; elsewhere print what it shows.

    alt: one sentence that tells what can be seen, stored with it and shown under it
    Raises: ValueError if alt is missing or too short.
    """
    alt = " ".join(alt.split())
    if len(alt) <= 20:
        raise ValueError(f"alt is {alt!r}; expected a sentence that says what can be seen")
    if in_notebook():
        display_png(png, alt=alt, width=width, kind="Animation")
    else:
        say(f"Animation: {alt}")


def frames_of(file: bytes) -> Sequence[Image.Image]:
    r"""The frames of an animation, as grey pictures: to look at one, or to test it."""
    picture = Image.open(io.BytesIO(file))
    frames = []
    for index in range(picture.n_frames):
        picture.seek(index)
        frames.append(picture.convert("L"))
    return frames
