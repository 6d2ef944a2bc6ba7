r"""Chapter 07: three sliders that lean, thicken and widen a digit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import matplotlib

from vae_course.plots.pictures import as_array, checked_pixels
from vae_course.plots.style import HOUSE_STYLE, PALETTE
from vae_course.widgets._controls import Choice, Slider
from vae_course.widgets._core import Explorer
from vae_course.widgets._drawing import LiveFigure, house_figure

_UNITS = {"slant": "°", "thickness": " px", "width": " px"}


def mixer_explorer(
    decode: Callable,
    latents,
    directions: Mapping[str, object],
    *,
    names: Sequence[str],
    measure: Callable | None = None,
    reach: float = 1.5,
) -> Explorer:
    r"""A digit beside its edit: latent + Σ slider · direction, and both measured from the pixels.

    decode: (B, D) tensor → (B, 1, H, W) pixels from 0 to 1, called without gradient
    latents: (N, D), the digits to choose from, with N names; directions: name → (D,)
    measure: images (B, 1, H, W) → (B, number of directions); by default attributes.measure, which
        gives slant, thickness and width in that order
    Raises: ValueError if the counts or sizes differ.
    """
    import torch

    if measure is None:
        from vae_course.metrics.attributes import measure
    names, kinds = [str(name) for name in names], list(directions)
    codes = torch.as_tensor(latents).detach().float().cpu()
    steps = torch.stack([torch.as_tensor(directions[kind]).float().cpu() for kind in kinds])
    if len(names) != len(codes) or steps.shape[1:] != codes.shape[1:]:
        raise ValueError(
            f"latents {tuple(codes.shape)}, {len(names)} names, directions {tuple(steps.shape)}; "
            "expected (N, D), N names and (D,) each"
        )

    with matplotlib.rc_context(HOUSE_STYLE):
        figure = house_figure(6.4, 2.7)
        left, right, bars = figure.subplots(1, 3, width_ratios=[1, 1, 1.15])
        pictures = []
        for axes, title in ((left, "as decoded"), (right, "edited")):
            axes.set_axis_off()
            axes.set_title(title, loc="center", fontsize=11.5)
            blank = [[0.0] * 28] * 28
            shown = axes.imshow(blank, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            pictures.append(shown)
        bars.set(xlim=(-reach - 0.15, reach + 0.15), ylim=(len(kinds) - 0.4, -0.6))
        bars.set(yticks=[])
        bars.set_xlabel("bars: steps", fontsize=10.5)
        bars.set_title("numbers: measured", loc="center", fontsize=11.5)
        bars.grid(False)  # the numbers stand where the lines would be
        for row in range(len(kinds)):
            bars.vlines(0, row - 0.14, row + 0.14, color="#666666", linewidth=1)
        boxes = bars.barh(range(len(kinds)), [0.0] * len(kinds), height=0.28, color=PALETTE[0])
        plain = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        texts = [
            bars.text(-reach - 0.1, row - 0.3, "", size=10.5, va="center", bbox=plain)
            for row in range(len(kinds))
        ]
    live = LiveFigure(figure, [*pictures, *boxes, *texts])

    last = {}  # what was drawn last: describing it must not decode it again

    def edited(digit: str, amounts: Mapping[str, float]):
        key = digit, *(float(amounts[kind]) for kind in kinds)
        if key not in last:
            code = codes[names.index(digit)]
            with torch.no_grad():
                images = decode(torch.stack([code, code + torch.tensor(key[1:]) @ steps]))
            last.clear()
            last[key] = images, measure(images)
        return last[key]

    def said(values, row: int) -> str:
        unit = _UNITS.get(kinds[row], "")
        before, after = (f"{float(v[row]):.1f}".replace("-", "−") for v in values)
        return f"{kinds[row]} {before} → {after}{unit}"

    def draw(digit: str, **amounts: float) -> bytes:
        images, values = edited(digit, amounts)
        for shown, picture in zip(
            pictures, checked_pixels(as_array(images), clip=False), strict=True
        ):
            shown.set_data(picture)
        for row, kind in enumerate(kinds):
            boxes[row].set_width(amounts[kind])
            texts[row].set_text(said(values, row))
        return live.png()

    def describe(digit: str, **amounts: float) -> str:
        _, values = edited(digit, amounts)
        changes = "; ".join(said(values, row) for row in range(len(kinds)))
        return f"Measured from the pixels, before and after: {changes}."

    sliders = {kind: Slider(kind, -reach, reach, 0.0, 0.1) for kind in kinds}
    controls = {"digit": Choice("digit", names, names[0]), **sliders}

    def grips(**_values):
        rows = [(row - 0.5, row + 0.4) for row in range(len(kinds))]
        return [live.grip(bars, kind, down=row) for kind, row in zip(kinds, rows, strict=True)]

    return Explorer(
        "attributes of a digit, mixed", controls, draw, describe, grips=grips,
        live={"digit": 4} | dict.fromkeys(kinds, 7),
        hold="Press or drag on a bar.",
    )  # fmt: skip
