r"""Chapter 07: a threshold on an anomaly score, what it catches and what it misses."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib
import numpy as np

from vae_course.plots.pictures import as_array, checked_pixels
from vae_course.plots.style import HOUSE_STYLE, PALETTE
from vae_course.widgets._controls import Choice, Slider
from vae_course.widgets._core import Explorer
from vae_course.widgets._drawing import LiveFigure, house_figure

_SHOWN = 8  # digits a row
_BINS = 20  # of the histogram
_ROWS = {
    "anomalies caught": (True, True),
    "anomalies missed": (True, False),
    "false alarms": (False, True),
}  # name: (is an anomaly, is flagged)


def anomaly_explorer(
    scores: Mapping[str, object],
    is_anomaly,
    images,
    *,
    set_on: Mapping[str, object],
    allowed: int = 10,
) -> Explorer:
    r"""A slider for the false alarms that you allow; histogram, confusion matrix, and the digits.

    Of the anomalies caught and missed and of the false alarms the eight nearest to the threshold
    are shown: those for which it was a close call.

    scores: name → (N,), high where suspicious; is_anomaly: (N,) bool; images: (N, 1, H, W)
    set_on: name → (M,), the same scores of *other* normal images: they set the threshold
    allowed: false alarms at first, in % of those normal images
    Raises: ValueError if the lengths differ, one of the two kinds is missing, or `set_on` lacks a
        score.
    """
    truth = as_array(is_anomaly).astype(bool)
    pixels = checked_pixels(as_array(images), clip=False)
    values = {str(name): as_array(score).astype(float) for name, score in scores.items()}
    lengths = {len(pixels), len(truth), *map(len, values.values())}
    if not values or len(lengths) > 1 or not truth.any() or truth.all():
        raise ValueError(
            f"{len(pixels)} images, {truth.sum()} anomalies of {len(truth)}, scores of length "
            f"{[len(v) for v in values.values()]}; expected one length, and both kinds"
        )
    if missing := [name for name in values if name not in set_on]:
        raise ValueError(f"set_on lacks {missing}; it holds {list(set_on)}")
    normal = {name: as_array(set_on[name]).astype(float) for name in values}
    size = pixels.shape[1]
    edges = {
        name: np.linspace(*np.quantile(v, [0.0, 0.995]), _BINS + 1) for name, v in values.items()
    }

    with matplotlib.rc_context(HOUSE_STYLE):
        figure = house_figure(6.2, 4.4)
        upper, lower = figure.subfigures(2, 1)  # laid out apart: the labels below move nothing
        above, matrix = upper.subplots(1, 2, width_ratios=[1.5, 1])
        below = lower.subplots()
        above.set(xlim=(0, 1), ylim=(0, 1), yticks=[], xlabel=" ", xticks=[])  # room for `scale`
        scale = above.text(0.5, -0.04, "", ha="center", va="top")  # which score, by its name
        above.set_ylabel("share of its kind")
        looks = (
            ("normal", {"fill": True, "color": PALETTE[0], "alpha": 0.5}),
            ("anomaly", {"color": PALETTE[1], "linewidth": 2}),
        )
        stairs = [
            above.stairs(np.zeros(_BINS), np.linspace(0, 1, _BINS + 1), label=name, **look)
            for name, look in looks
        ]
        line = above.axvline(0.5, color="black", linewidth=2, linestyle="--", label="threshold")
        above.legend(loc="lower left", bbox_to_anchor=(-0.08, 1), ncols=3, handlelength=1.3,
                     columnspacing=0.9, borderpad=0.2)  # fmt: skip
        matrix.set(xlim=(-0.5, 1.5), ylim=(1.5, -0.5))
        matrix.set_xticks([0, 1], ["passed", "flagged"])
        matrix.set_yticks([0, 1], ["normal", "anomaly"])
        matrix.tick_params(length=0)
        matrix.grid(False)
        counts = matrix.imshow(np.zeros((2, 2)), cmap="Blues", vmin=0, vmax=1.6, aspect="auto",
                               interpolation="nearest")  # fmt: skip
        centred = {"ha": "center", "va": "center", "size": 11}
        texts = [matrix.text(c, r, "", **centred) for r in (0, 1) for c in (0, 1)]
        below.set_axis_off()
        height, gap = size + 3, size + 2
        rows = below.imshow(
            np.full((len(_ROWS) * height, _SHOWN * gap), 255, np.uint8), cmap="gray", vmin=0,
            vmax=255, interpolation="nearest",
        )  # fmt: skip
        names = [
            below.text(-6, (row + 0.45) * height, "", ha="right", va="center", size=9)
            for row in range(len(_ROWS))
        ]
    live = LiveFigure(figure, [*stairs, line, scale, counts, *texts, rows, *names])

    def state(score: str, allowed: int):
        found = values[score]
        threshold = float(np.quantile(normal[score], 1 - allowed / 100))
        flagged = found > threshold
        table = np.array([[(kind & ~flagged).sum(), (kind & flagged).sum()]
                          for kind in (~truth, truth)])  # fmt: skip
        return found, threshold, flagged, table

    def draw(score: str, allowed: int) -> bytes:
        found, threshold, flagged, table = state(score, allowed)
        low, high = edges[score][0], edges[score][-1]
        heights = [
            np.histogram(found[kind].clip(low, high), edges[score])[0] / kind.sum()
            for kind in (~truth, truth)
        ]
        top = max(height.max() for height in heights) * 1.05
        for artist, shares in zip(stairs, heights, strict=True):
            artist.set_data(values=shares / top)
        line.set_xdata([(threshold - low) / (high - low)] * 2)
        scale.set_text(f"{score}, low to high")
        counts.set_data(table / table.sum(axis=1, keepdims=True))
        for text, count in zip(texts, table.flat, strict=True):
            text.set_text(str(count))
        sheet = np.full((len(_ROWS) * height, _SHOWN * gap), 255, np.uint8)
        for row, (name, (anomalous, caught)) in enumerate(_ROWS.items()):
            members = np.flatnonzero((truth == anomalous) & (flagged == caught))
            order = np.argsort(np.abs(found[members] - threshold))  # the closest decisions first
            for column, index in enumerate(members[order][:_SHOWN]):
                top_left = row * height + 1, column * gap + 1
                sheet[top_left[0] : top_left[0] + size, top_left[1] : top_left[1] + size] = pixels[
                    index
                ]
            names[row].set_text(f"{name} ({len(members)})")
        rows.set_data(sheet)
        return live.png()

    def describe(score: str, allowed: int) -> str:
        _, threshold, _, table = state(score, allowed)
        (passed, alarms), (missed, caught) = table
        precision = f"{caught / (caught + alarms):.0%}" if caught + alarms else "none"
        return (
            f"Threshold {threshold:.4g}. Of {caught + missed} anomalies {caught} are caught and "
            f"{missed} missed; of {passed + alarms} normal digits {alarms} are flagged, where "
            f"{allowed} % were allowed. Of all flagged digits {precision} are anomalies."
        )

    controls = {
        "score": Choice("score", list(values), next(iter(values))),
        "allowed": Slider("false alarms allowed", 1, 60, allowed, 1, unit="% of normal digits"),
    }

    alarms = {
        name: [100 * float((normal[name] > place).mean())
               for place in np.linspace(edges[name][0], edges[name][-1], 201)]
        for name in values
    }  # fmt: skip

    return Explorer(
        "a threshold, and what it catches", controls, draw, describe,
        grips=lambda score, **_: [live.grip(above, "allowed", x_ends=alarms[score])],
        hold="Press or drag in the histogram to move the threshold.",
    )  # fmt: skip
