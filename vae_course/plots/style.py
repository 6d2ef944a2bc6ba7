r"""The house style: colours that all readers can tell apart, markers, line styles."""

from typing import Any

import matplotlib
from cycler import cycler

from vae_course.plots.pictures import DPI

# Okabe & Ito 2008: eight colours that all readers can tell apart. Yellow, faint on white, is last.
PALETTE = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442"]
MARKERS = ["o", "s", "^", "D", "v", "X", "P", "*", "<", "h"]
LINE_STYLES = ["-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (6, 3))]
FIGURE_SIZE = (6.4, 3.6)  # inches

HOUSE_STYLE: dict[str, Any] = {
    "figure.figsize": FIGURE_SIZE,
    "figure.dpi": DPI,
    "figure.constrained_layout.use": True,
    # A margin on all sides: on a dark page the white picture ends somewhere.
    "figure.constrained_layout.w_pad": 0.09,
    "figure.constrained_layout.h_pad": 0.09,
    "figure.facecolor": "white",
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "axes.labelcolor": "#333333",
    "axes.edgecolor": "#888888",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.7,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "xtick.color": "#888888",
    "ytick.color": "#888888",
    "xtick.labelcolor": "#333333",
    "ytick.labelcolor": "#333333",
    "legend.fontsize": 9,
    "legend.frameon": False,
    "legend.handlelength": 2.8,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "image.cmap": "cividis",
    "axes.prop_cycle": cycler(color=PALETTE) + cycler(linestyle=LINE_STYLES),
}


def use_house_style() -> None:
    r"""Make every figure drawn from here on look like those of the course."""
    matplotlib.rcParams.update(HOUSE_STYLE)
