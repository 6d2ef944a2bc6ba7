r"""The transposed convolution, stamp by stamp: kernel, stride, padding, output_padding."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from vae_course.plots.pictures import fast_png, font
from vae_course.plots.style import PALETTE
from vae_course.widgets._controls import Slider
from vae_course.widgets._core import Explorer, Grip

WIDTH, HEIGHT = 800, 672  # dots
IMAGE, CELL = (16, 108), 48  # left and top of the image, and the side of its pixels
CANVAS = (256, 92, 520)  # left, top and side of the field in which the stamps land
INK, PALE, ORANGE = "#222222", "#666666", PALETTE[1]
TINTS = ["#FFFFFF", "#DCEAF5", "#9CC5E6", "#6FA8D6", "#4C8FC6"]  # 0, 1, 2, 3, 4 or more stamps


def transposed_explorer(
    *,
    title: str = "a transposed convolution, stamp by stamp",
    size: int = 2,
    kernel: int = 3,
    stride: int = 2,
    padding: int = 0,
    output_padding: int = 0,
) -> Explorer:
    r"""Each pixel of a small image lays its stamp, pixel · kernel, on the canvas; stamps add up.

    The arguments are where the sliders stand at first. Drawn: the image, the kernel, the canvas
    with its sums and how many stamps lie on each cell, the frame that padding leaves, and the
    size formula with the numbers put in. Settings that torch refuses are drawn too, and said.
    """
    controls = {
        "size": Slider("image side", 1, 3, size, 1),
        "kernel": Slider("kernel", 1, 5, kernel, 1),
        "stride": Slider("stride", 1, 3, stride, 1),
        "padding": Slider("padding", 0, 3, padding, 1),
        "output_padding": Slider("output_padding", 0, 2, output_padding, 1),
        "step": Slider("stamps laid", 0, 9, size * size, 1, play=900),
    }
    return Explorer(
        title, controls, _draw, _describe, limits=_limits, grips=_grips,
        live=dict.fromkeys(["kernel", "stride", "padding", "output_padding"])
        | {"step": range(size * size + 1)},
        hold="Press a pixel of the image to lay the stamps up to it.",
    )  # fmt: skip


def output_size(size: int, kernel: int, stride: int, padding: int, output_padding: int) -> int:
    r"""Cells along one side of the output; below 1 if padding crops everything away."""
    return (size - 1) * stride + kernel - 2 * padding + output_padding


def formula(size: int, kernel: int, stride: int, padding: int, output_padding: int) -> str:
    r"""The output size with the numbers put in: "(2 − 1) · 2 + 3 − 2 · 0 + 0 = 5"."""
    out = output_size(size, kernel, stride, padding, output_padding)
    text = f"({size} − 1) · {stride} + {kernel} − 2 · {padding} + {output_padding} = {out}"
    return text.replace("-", "−")


def stamps(
    size: int, kernel: int, stride: int, output_padding: int, step: int
) -> tuple[np.ndarray, np.ndarray]:
    r"""The canvas and the number of stamps on each cell after `step` stamps, not yet cropped."""
    side = output_size(size, kernel, stride, 0, output_padding)
    total, count = np.zeros((side, side), int), np.zeros((side, side), int)
    for row, column in _pixels(size)[:step]:
        top, left = row * stride, column * stride
        where = np.s_[top : top + kernel, left : left + kernel]
        total[where] += example_image(size)[row, column] * example_kernel(kernel)
        count[where] += 1
    return total, count


def example_image(size: int) -> np.ndarray:
    return np.arange(1, size * size + 1).reshape(size, size)


def example_kernel(kernel: int) -> np.ndarray:
    r"""1, 2, 3 … 9, 1, 2 … row by row: not symmetric, so a rotated kernel would be seen."""
    return (np.arange(kernel * kernel) % 9 + 1).reshape(kernel, kernel)


def _grips(size, **_) -> list[Grip]:
    left, top = (place / span for place, span in zip(IMAGE, (WIDTH, HEIGHT), strict=True))
    width, height = size * CELL / WIDTH, CELL / HEIGHT
    return [
        Grip((left, top + row * height, width, height), "step",
             (row * size + 0.5, (row + 1) * size + 0.5))
        for row in range(size)
    ]  # fmt: skip


def _limits(size, **_) -> dict[str, tuple[int, int]]:
    return {"step": (0, size * size)}


def _pixels(size: int) -> list[tuple[int, int]]:
    return [(row, column) for row in range(size) for column in range(size)]


def _refusal(size, kernel, stride, padding, output_padding) -> str:
    r"""Why torch raises an error at these settings; "" if it doesn't."""
    if output_padding >= stride:
        return "torch refuses this: output_padding must be smaller than the stride"
    if output_size(size, kernel, stride, padding, output_padding) < 1:
        return "torch refuses this: padding crops everything away"
    return ""


def _draw(size, kernel, stride, padding, output_padding, step) -> bytes:
    picture = Image.new("RGB", (WIDTH, HEIGHT), "white")
    pen = ImageDraw.Draw(picture)
    geometry = (size, kernel, stride, padding, output_padding)
    out = output_size(*geometry)
    names = "(side − 1) · stride + kernel − 2 · padding + output_padding"
    pen.text((16, 8), f"output side = {names}", fill=PALE, font=font(9.5))
    result = f",  so {out} × {out}" if out > 0 else ""
    pen.text((16, 34), f"output side = {formula(*geometry)}{result}", fill=INK, font=font(11.5))

    current = _pixels(size)[step - 1] if step else None
    pen.text((16, 84), f"image {size} × {size}", fill=INK, font=font(9.5))
    _table(pen, IMAGE, CELL, example_image(size), outlined=current)
    pen.text((16, 280), f"kernel {kernel} × {kernel}", fill=INK, font=font(9.5))
    _table(pen, (16, 304), 42, example_kernel(kernel))
    if current:
        pixel = example_image(size)[current]
        pen.text((16, 544), f"stamp {step} of {size * size}", fill=ORANGE, font=font(10.5))
        pen.text((16, 570), f"= {pixel} · kernel", fill=ORANGE, font=font(10.5))
    _draw_canvas(pen, size, kernel, stride, padding, output_padding, step)
    pen.text((16, 624), _legend(*geometry), fill=INK, font=font(8.5))
    return fast_png(picture)


def _table(pen, corner, cell, values, outlined=None) -> None:
    r"""A small table of numbers; one cell may be outlined."""
    for (row, column), value in np.ndenumerate(values):
        box = _box(corner, cell, row, column, row + 1, column + 1)
        pen.rectangle(box, outline=PALE)
        _centred(pen, box, str(value), 10)
    if outlined:
        row, column = outlined
        pen.rectangle(_box(corner, cell, row, column, row + 1, column + 1), outline=ORANGE, width=5)


def _draw_canvas(pen, size, kernel, stride, padding, output_padding, step) -> None:
    left, top, field = CANVAS
    total, count = stamps(size, kernel, stride, output_padding, step)
    side = len(total)
    cell = min(84, field // side)
    corner, points = (left, top), (11.5 if cell > 60 else 9 if cell > 44 else 7.5)
    kept = range(padding, side - padding)
    for (row, column), value in np.ndenumerate(total):
        box = _box(corner, cell, row, column, row + 1, column + 1)
        pen.rectangle(box, fill=TINTS[min(count[row, column], 4)], outline="#BBBBBB")
        inside = row in kept and column in kept
        if not inside:  # cropped: crossed out
            pen.line([(box[0], box[3]), (box[2], box[1])], fill="#999999", width=2)
        if count[row, column]:
            _centred(pen, box, str(value), points, fill=INK if inside else PALE, lower=4)
        if count[row, column] > 1:
            mark = f"×{count[row, column]}"
            pen.text((box[0] + 3, box[1] + 2), mark, fill=INK, font=font(points * 0.65))
    if step:
        row, column = (index * stride for index in _pixels(size)[step - 1])
        stamp = _box(corner, cell, row, column, row + kernel, column + kernel)
        pen.rectangle(stamp, outline=ORANGE, width=5)
    if kept:
        x0, y0, x1, y1 = _box(corner, cell, padding, padding, side - padding, side - padding)
        pen.rectangle([x0 - 3, y0 - 3, x1 + 3, y1 + 3], outline=INK, width=4)


def _legend(size, kernel, stride, padding, output_padding) -> str:
    first = ["black frame: the output", "×n: n stamps add up in this cell"]
    if stride > kernel and size > 1:
        first.append("white: no stamp")
    second = ["crossed out: cropped by padding"] if padding else []
    if output_padding:
        extra = "row and column" if output_padding == 1 else f"{output_padding} rows and columns"
        second.append(f"last {extra}: output_padding")
    if refusal := _refusal(size, kernel, stride, padding, output_padding):
        second = [refusal]
    return " · ".join(first) + "\n" + " · ".join(second)


def _box(corner, cell, top, left, bottom, right) -> list[int]:
    x, y = corner
    return [x + left * cell, y + top * cell, x + right * cell, y + bottom * cell]


def _centred(pen, box, text, points, fill=INK, lower=0) -> None:
    middle = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2 + lower)
    pen.text(middle, text, fill=fill, font=font(points), anchor="mm")


def _describe(size, kernel, stride, padding, output_padding, step) -> str:
    geometry = (size, kernel, stride, padding, output_padding)
    words = [f"Output side = {formula(*geometry)}."]
    if refusal := _refusal(*geometry):
        words.append(f"{refusal[0].upper()}{refusal[1:]}.")
    if step:
        row, column = _pixels(size)[step - 1]
        rows = _span("row", row * stride, kernel)
        columns = _span("column", column * stride, kernel)
        stamp = f"Stamp {step} of {size * size}, {example_image(size)[row, column]} · kernel"
        words.append(f"{stamp}, lies on {rows} and {columns}.")
    _, count = stamps(size, kernel, stride, output_padding, step)
    inner = count[padding : len(count) - padding, padding : len(count) - padding]
    if inner.size:
        numbers = np.unique(inner)[::-1]
        times = ", ".join(f"{(inner == number).sum()} under {number}" for number in numbers)
        words.append(f"Cells of the output by stamps on them: {times}.")
    return " ".join(words)


def _span(name: str, start: int, length: int) -> str:
    r"""Rows or columns that a stamp covers, in words, counted from 0."""
    return f"{name} {start}" if length == 1 else f"{name}s {start} to {start + length - 1}"
