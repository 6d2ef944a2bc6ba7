r"""Pictures as numpy arrays and Pillow images: small PNG files to store, fast ones to look at."""

from __future__ import annotations

import base64
import functools
import io
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFont

DPI = 150  # dots per inch of a stored picture
CSS_DPI = 100  # at which it is shown: one and a half dots a screen pixel keep text sharp


def as_array(values) -> np.ndarray:
    r"""Numbers from a tensor (on any device, with or without gradient), an array or a list."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    return np.asarray(values)


def checked_pixels(images: np.ndarray, *, clip: bool) -> np.ndarray:
    r"""Images of any grey or colour layout → (N, H, W) or (N, H, W, 3), uint8 from 0 to 255.

    Raises: ValueError on another shape, on NaN, and on values outside [0, 1] unless clip is set.
    """
    shape = images.shape
    if images.ndim == 4 and shape[1] in (1, 3):
        images = images[:, 0] if shape[1] == 1 else images.transpose(0, 2, 3, 1)
    elif images.ndim != 3:
        raise ValueError(
            f"images of shape {shape}; expected (N, 1, H, W), (N, H, W) or (N, 3, H, W)"
        )
    if images.size == 0:
        raise ValueError(f"images of shape {shape}: nothing to draw")
    images = images.astype(np.float32)
    low, high = images.min(), images.max()
    if not np.isfinite(low + high):
        raise ValueError("the images hold NaN or infinity; look where the model first gives them")
    if not clip and (low < -1e-4 or high > 1 + 1e-4):
        raise ValueError(
            f"pixels from {low:.3g} to {high:.3g}; expected 0 to 1. Logits need torch.sigmoid; "
            "where values a little outside are right (PCA, a linear decoder), pass clip=True"
        )
    return (images.clip(0, 1) * 255).round().astype(np.uint8)


def image_strip(pixels: np.ndarray, *, scale: float) -> np.ndarray:
    r"""Images (N, H, W) or (N, H, W, 3), uint8, side by side with white gaps, enlarged.

    A whole `scale` keeps the pixels as squares; another one smooths them.
    """
    gap = max(2, round(2 * scale))
    parts = []
    for image in pixels:
        parts.append(np.asarray(enlarged(image, scale)))
        parts.append(np.full((parts[0].shape[0], gap, *parts[0].shape[2:]), 255, np.uint8))
    return np.concatenate(parts[:-1], axis=1)


def enlarged(image: np.ndarray, scale: float) -> Image.Image:
    r"""A uint8 image (H, W) or (H, W, 3), `scale` times as wide and high."""
    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    smooth = Image.Resampling.NEAREST if scale == int(scale) else Image.Resampling.BICUBIC
    return Image.fromarray(image).resize(size, smooth)


def figure_picture(figure) -> Image.Image:
    r"""A matplotlib Figure as an RGB picture, at the figure's own resolution."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=figure.dpi, pil_kwargs={"compress_level": 1})
    picture = Image.open(file).convert("RGBA")
    white = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(white, picture).convert("RGB")


def small_png(picture: Image.Image) -> bytes:
    r"""A PNG for storing, a third of the usual size: a palette, where nobody sees a difference.

    86 greys (off by at most 1 in 255) and 170 colours, chosen so that rare ones are covered too:
    one red dot stays red. A picture with a channel that would change by more than 32 in 255, or
    all of whose pixels would change by more than 2 on average, is stored as it is: photographs.
    """
    pixels = np.asarray(picture.convert("RGB"))
    index = np.round(pixels[..., 0] / 3).astype(np.uint8)
    palette = np.repeat(np.arange(0, 256, 3, dtype=np.uint8), 3)
    coloured = np.ptp(pixels, axis=-1) > 0
    off = mean = 0
    if coloured.any():
        line = Image.fromarray(np.ascontiguousarray(pixels[coloured][None]))
        reduced = line.quantize(170, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        difference = np.asarray(ImageChops.difference(line, reduced.convert("RGB")))
        off, mean = difference.max(), difference.max(axis=-1).sum() / coloured.size
        index[coloured] = np.asarray(reduced)[0] + 86
        palette = np.append(palette, np.array(reduced.getpalette()[: 3 * 170], np.uint8))
    if off <= 32 and mean <= 2:
        picture = Image.fromarray(index)
        picture.putpalette(palette.tobytes())  # the grey levels become indices
    file = io.BytesIO()
    picture.save(file, format="png", optimize=True)
    return file.getvalue()


def caption(words: str, *, kind: str = "Figure") -> dict[str, str]:
    r"""The line under a picture as Jupyter's formats: Markdown, which wraps, and plain text."""
    marked = re.sub(r"([\\`*_\[\]$])", r"\\\1", words).replace("<", "&lt;")
    return {"text/markdown": f"*{kind}:* {marked}", "text/plain": f"{kind}: {words}"}


def in_notebook() -> bool:
    r"""Whether what is displayed reaches a notebook (or another front end of IPython)."""
    return "IPython" in sys.modules and sys.modules["IPython"].get_ipython() is not None


def display_png(png: bytes, *, alt: str, width: int, kind: str = "Figure") -> None:
    r"""Display a PNG at that many screen pixels, with its alt text, and the same words under it."""
    from IPython.display import display

    data = {
        "image/png": base64.b64encode(png).decode(),
        "text/plain": f"{'An' if kind[0] == 'A' else 'A'} {kind.lower()}; "
        "the line below it says what it shows.",
    }
    display(data, metadata={"image/png": {"alt": alt, "width": width}}, raw=True)
    display(caption(alt, kind=kind), raw=True)


def fast_png(picture: Image.Image | np.ndarray) -> bytes:
    r"""A PNG for one look: compressed as little as pays off (a few milliseconds)."""
    if isinstance(picture, np.ndarray):
        picture = Image.fromarray(picture)
    file = io.BytesIO()
    picture.save(file, format="png", compress_level=1)
    return file.getvalue()


@functools.lru_cache(maxsize=16)
def font(points: float) -> ImageFont.FreeTypeFont:
    r"""The font of the figures (it travels with matplotlib), in points at our resolution."""
    import matplotlib

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return ImageFont.truetype(str(folder / "DejaVuSans.ttf"), round(points * DPI / 72))


def labelled_grid(
    pictures: Sequence[Image.Image], labels: Sequence[str], *, columns: int, points: float = 11
) -> Image.Image:
    r"""Pictures of one size in rows of `columns`, each under its label."""
    gap, head = 24, round(points * DPI / 72 * 1.8)
    width, height = pictures[0].size
    rows = -(-len(pictures) // columns)
    columns = min(columns, len(pictures))
    size = (columns * (width + gap) - gap, rows * (height + head + gap) - gap)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    for index, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        corner = (index % columns * (width + gap), index // columns * (height + head + gap))
        draw.text((corner[0] + 6, corner[1] + 4), label, fill="#222222", font=font(points))
        sheet.paste(picture, (corner[0], corner[1] + head))
    return sheet
