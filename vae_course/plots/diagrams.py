r"""Diagrams in one visual language: the same shape and colour for the same thing in every chapter.

    from vae_course.plots import diagrams
    diagram = diagrams.Diagram(5, 2)  # inches; (0, 0) is the lower left corner
    image = diagram.image(0.6, 1.0)
    encoder = diagram.encoder(2.2, 1.0, "encoder", "784 → 2")
    code = diagram.code(4.0, 1.0, "z")
    diagram.arrow(image, encoder, "(B, 784)")
    diagram.arrow(encoder, code, "(B, 2)")
    diagram.gradient(code, encoder)
    plots.show(diagram.figure, alt="An image runs through the encoder into a code of two numbers.")

An encoder narrows from left to right, a decoder widens, a cloud is a Gaussian, a die is noise, a
column of cells is a code, a black box is a loss. Data flows along grey arrows with the shape of the
tensor on them; gradients go back along dashed ones, and a cross says where they stop.
Ready-made: `autoencoder`, `stamp`, `computation_graphs`, `elbo`, `vae`, `gan`, `edit`, `search`,
`attention`, `quantisation`, `code_writer`, `latent_diffusion`; each returns its Diagram.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Ellipse, FancyArrowPatch, FancyBboxPatch, Polygon, Rectangle
from matplotlib.path import Path
from PIL import Image, ImageDraw, ImageFilter

from vae_course.plots.pictures import DPI, as_array, font
from vae_course.plots.style import HOUSE_STYLE, PALETTE

__all__ = [
    "Diagram",
    "Node",
    "attention",
    "autoencoder",
    "code_writer",
    "computation_graphs",
    "edit",
    "elbo",
    "gan",
    "illnesses",
    "latent_diffusion",
    "quantisation",
    "search",
    "stamp",
    "vae",
]

BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY = PALETTE[:6]
COLOURS = {
    "encoder": BLUE,
    "decoder": GREEN,
    "latent": ORANGE,
    "noise": SKY,
    "codebook": PURPLE,
    "gradient": VERMILION,
    "plain": "#666666",
}
INK, GREY = "#222222", "#555555"
TEXT, SMALL = 9.5, 8.5  # points

Point = tuple[float, float]


@dataclass(frozen=True)
class Node:
    r"""A thing in a diagram: its centre and size in inches, and the points where arrows dock."""

    x: float
    y: float
    width: float
    height: float
    sides: tuple[float, float] | None = None  # heights of the left and right side of a trapezoid

    @property
    def left(self) -> Point:
        return (self.x - self.width / 2, self.y)

    @property
    def right(self) -> Point:
        return (self.x + self.width / 2, self.y)

    @property
    def top(self) -> Point:
        return (self.x, self.y + self.height / 2)

    @property
    def bottom(self) -> Point:
        return (self.x, self.y - self.height / 2)


def tint(colour: str, share: float = 0.2) -> tuple[float, ...]:
    r"""The colour mixed with white: the inside of a shape."""
    return tuple(1 - share * (1 - channel) for channel in to_rgb(colour))


@functools.cache
def digit(character: str = "3") -> np.ndarray:
    r"""A drawn digit for diagrams, (28, 28), from 0 to 1: no data set is needed."""
    picture = Image.new("L", (112, 112))
    draw = ImageDraw.Draw(picture)
    draw.text((56, 58), character, fill=255, font=font(44), anchor="mm", stroke_width=4)
    picture = picture.filter(ImageFilter.GaussianBlur(3)).resize((28, 28), Image.Resampling.BOX)
    return np.asarray(picture) / 255


class Diagram:
    r"""An empty canvas of width × height inches; methods draw on it and return a Node.

    Every shape takes the x and y of its centre in inches, from the lower left corner.
    """

    def __init__(self, width: float, height: float) -> None:
        with matplotlib.rc_context(HOUSE_STYLE):
            self.figure = Figure(figsize=(width, height), dpi=DPI, layout="none")
            self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set(xlim=(0, width), ylim=(0, height))
        self.axes.set_axis_off()

    # --- things -----------------------------------------------------------------------------------

    def encoder(self, x, y, text="encoder", shape="", *, width=1.1, height=1.2, colour=None):
        r"""A trapezoid that narrows to the right. shape: small print under its name."""
        return self._trapezoid(x, y, text, shape, width, (height, height / 2), colour or "encoder")

    def decoder(self, x, y, text="decoder", shape="", *, width=1.1, height=1.2, colour=None):
        r"""A trapezoid that widens to the right."""
        return self._trapezoid(x, y, text, shape, width, (height / 2, height), colour or "decoder")

    def _trapezoid(self, x, y, text, shape, width, sides, colour):
        left, right = sides[0] / 2, sides[1] / 2
        corners = [
            *((x - width / 2, y - left), (x - width / 2, y + left)),
            *((x + width / 2, y + right), (x + width / 2, y - right)),
        ]
        self.add(Polygon(corners, joinstyle="round"), colour)
        self._names(x, y, text, shape)
        return Node(x, y, width, sum(sides) / 2, sides)

    def box(self, x, y, text="", shape="", *, width=1.1, height=0.6, colour="plain"):
        r"""A rounded box for whatever has no shape of its own. colour: a key of COLOURS, or one."""
        corner = (x - width / 2 + 0.06, y - height / 2 + 0.06)
        style = "round,pad=0.06,rounding_size=0.1"
        self.add(FancyBboxPatch(corner, width - 0.12, height - 0.12, boxstyle=style), colour)
        self._names(x, y, text, shape)
        return Node(x, y, width, height)

    def block(self, x, y, text="block", *, width=1.1, height=1.3):
        r"""A transformer block: attention, then the network of each token, each with a bypass."""
        node = self.box(x, y, width=width, height=height, colour="encoder")
        self.label(x, y + height / 2 - 0.16, text)
        for name, middle in (("attention", y + 0.08), ("MLP", y - 0.36)):
            self.box(x, middle, name, width=width - 0.24, height=0.34, colour="decoder")
        return node

    def loss(self, x, y, text="loss", *, width=1.1, height=0.4):
        r"""A black box: one number, where gradients begin."""
        node = self.box(x, y, width=width, height=height, colour="black")
        self.axes.patches[-1].set_facecolor(INK)
        self.label(x, y, text, color="white")
        return node

    def cloud(self, x, y, text="", *, width=1.2, height=0.9, label=""):
        r"""A Gaussian: dense in the middle, its dashed line one standard deviation away."""
        for share in np.linspace(1, 0.08, 14):
            size = (share * width, share * height)
            self.add(Ellipse((x, y), *size, alpha=0.06, lw=0, ec="none"), "latent", fill=1)
        line = Ellipse((x, y), 0.5 * width, 0.5 * height, ls=(0, (3, 2)), lw=1.2)
        self.add(line, "latent", fill=None)
        self._names(x, y, text)
        if label:
            self.label(x, y - height / 2 - 0.1, label, size=SMALL)
        return Node(x, y, width, height)

    def code(
        self, x, y, text="", *, cells=3, values=None, vertical=True, cell=0.2, colour="latent"
    ):
        r"""A vector, one cell a number; `text` stands over it. values in [0, 1] shade the cells."""
        values = np.linspace(0.25, 0.85, cells) if values is None else as_array(values)
        width, height = (cell, len(values) * cell) if vertical else (len(values) * cell, cell)
        for index, value in enumerate(values):
            across, down = (0, index) if vertical else (index, 0)
            corner = (x - width / 2 + across * cell, y + height / 2 - (down + 1) * cell)
            self.add(Rectangle(corner, cell, cell, lw=1), colour, fill=0.15 + 0.7 * float(value))
        if text:
            self.label(x, y + height / 2 + 0.13, text)
        return Node(x, y, width, height)

    def codebook(self, x, y, text="codebook", *, rows=5, cells=3, chosen=None, cell=0.17):
        r"""A table of K codes, one a row with its number; the chosen one is framed."""
        shades = np.random.default_rng(4).random((rows, cells))
        gap = 0.05
        height = rows * (cell + gap) - gap
        for row, values in enumerate(shades):
            middle = y + height / 2 - cell / 2 - row * (cell + gap)
            node = self.code(x, middle, values=values, vertical=False, cell=cell, colour="codebook")
            self.label(node.left[0] - 0.11, middle, str(row), size=8, color=GREY)
            if row == chosen:
                corner = (node.left[0] - 0.02, middle - cell / 2 - 0.02)
                frame = Rectangle(corner, node.width + 0.04, cell + 0.04, lw=2.2)
                self.add(frame, "black", fill=None)
        if text:
            self.label(x, y + height / 2 + 0.15, text)
        return Node(x, y, cells * cell, height)

    def noise(self, x, y, text="", *, size=0.42):
        r"""A die: random numbers without parameters. `text` stands over it."""
        node = self.box(x, y, width=size, height=size, colour="noise")
        spread = 0.24 * size
        for across, up in [(-1, -1), (-1, 1), (0, 0), (1, -1), (1, 1)]:
            pip = Circle(
                (x + across * spread, y + up * spread), 0.075 * size, lw=0, fc=INK, zorder=3
            )
            self.axes.add_patch(pip)
        if text:
            self.label(x, y + size / 2 + 0.13, text)
        return node

    def image(self, x, y, pixels=None, text="", *, size=0.8, frame=INK):
        r"""A thumbnail, (H, W) or in colour (H, W, 3), from 0 to 1; `text` stands over it."""
        pixels = digit() if pixels is None else np.squeeze(as_array(pixels))
        if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[-1] != 3):
            raise ValueError(f"pixels have shape {pixels.shape}; expected (H, W) or (H, W, 3)")
        extent = (x - size / 2, x + size / 2, y - size / 2, y + size / 2)
        limits = (self.axes.get_xlim(), self.axes.get_ylim())
        look = {"cmap": "gray", "vmin": 0, "vmax": 1, "interpolation": "nearest"}
        self.axes.imshow(pixels.clip(0, 1), extent=extent, aspect="auto", zorder=2, **look)
        self.axes.set(xlim=limits[0], ylim=limits[1])
        self.axes.add_patch(
            Rectangle((extent[0], extent[2]), size, size, fc="none", ec=frame, lw=0.8, zorder=3)
        )
        if text:
            self.label(x, y + size / 2 + 0.13, text)
        return Node(x, y, size, size)

    def grid(self, x, y, values, text="", *, cell=0.22, colour="plain", numbers=False):
        r"""A matrix (rows, columns) of cells, shaded from 0 to 1; NaN is a crossed-out cell."""
        values = as_array(values)
        rows, columns = values.shape
        left, top = x - columns * cell / 2, y + rows * cell / 2
        for row, column in itertools.product(range(rows), range(columns)):
            value, corner = values[row, column], (left + column * cell, top - (row + 1) * cell)
            empty = np.isnan(value)
            fill = 0.04 if empty else 0.85 * float(np.clip(value, 0, 1))
            self.add(Rectangle(corner, cell, cell, lw=0.8), colour, fill=fill)
            middle = (corner[0] + cell / 2, corner[1] + cell / 2)
            if empty:
                self.label(*middle, "×", size=8, color="#999999")
            elif numbers:
                self.label(*middle, f"{value:g}", size=8)
        if text:
            self.label(x, top + 0.13, text)
        return Node(x, y, columns * cell, rows * cell)

    def operation(self, x, y, text="+", *, size=0.3):
        r"""A small circle: +, ×, −."""
        self.add(Circle((x, y), size / 2, lw=1.3), "black", fill=0.0)
        self.label(x, y, text, size=12, va="center_baseline")
        return Node(x, y, size, size)

    def add(self, patch, colour: str, *, fill: float | None = 0.2) -> None:
        r"""Any patch of matplotlib in a colour of the house, its inside a tint; None: empty."""
        colour = COLOURS.get(colour, colour)
        if patch.get_linewidth() > 0:
            patch.set_edgecolor(colour)
        patch.set_facecolor("none" if fill is None else tint(colour, fill))
        patch.set_zorder(4 if fill is None else 2)
        self.axes.add_patch(patch)

    # --- arrows and words -------------------------------------------------------------------------

    def arrow(self, start, end, label="", *, side="above", via=(), bend=0.0, colour=GREY):
        r"""Data that flows from a Node or point to another; the label, its shape, stands beside it.

        via: corners that the arrow passes; bend: a curve instead of a straight line (0.3 is much)
        side: of the label: "above", "below", "left" or "right"
        """
        look = {"color": COLOURS.get(colour, colour), "lw": 1.4 if colour == GREY else 1.8}
        self._arrow(start, end, label, side, via, bend, **look)

    def gradient(self, start, end, label="", *, side="below", via=(), bend=0.0, offset=-0.12):
        r"""A gradient on its way back, from the later node to the earlier one.

        offset: inches beside the straight way, where the data's own arrow runs (below it)
        """
        look = {"color": COLOURS["gradient"], "lw": 1.5, "ls": (0, (4, 2))}
        self._arrow(start, end, label, side, via, bend, offset, **look)

    def blocked(self, start, end, label="", *, side="below", offset=-0.12, share=0.5):
        r"""A gradient that is stopped: it ends in a cross after `share` of its way."""
        start, end = self._docked(start, end, offset)
        stop = tuple(a + share * (b - a) for a, b in zip(start, end, strict=True))
        self._path([start, stop], 0, color=COLOURS["gradient"], lw=1.5, ls=(0, (4, 2)), style="-")
        look = {"marker": "X", "ms": 10, "mfc": COLOURS["gradient"], "mec": "white", "mew": 1}
        self.axes.plot(*stop, zorder=6, **look)
        if label:
            self._beside(stop, label, side, COLOURS["gradient"], gap=0.13)

    def label(self, x, y, text, *, size=TEXT, color=INK, ha="center", va="center", weight=None):
        r"""Words anywhere; the point is their middle unless ha or va say otherwise."""
        return self.axes.text(
            x, y, text, size=size, color=color, ha=ha, va=va, weight=weight, zorder=7
        )

    def brace(self, left: float, right: float, y: float, text: str, *, below: bool = True):
        r"""A bracket from x = left to x = right with words in its middle."""
        down = -0.1 if below else 0.1
        xs, ys = [left, left, right, right], [y - down, y, y, y - down]
        self.axes.plot(xs, ys, color=GREY, lw=1, solid_joinstyle="round")
        self.label((left + right) / 2, y + 1.3 * down, text, va="top" if below else "bottom")

    def problems(self) -> list[str]:
        r"""What can't be read: words that cover one another, leave the canvas or are too small."""
        self.figure.draw_without_rendering()
        width, height = (side * self.figure.dpi for side in self.figure.get_size_inches())
        texts = [text for text in self.axes.texts if text.get_text()]
        boxes = [text.get_window_extent() for text in texts]
        found = []
        for text, box in zip(texts, boxes, strict=True):
            if box.x0 < 0 or box.y0 < 0 or box.x1 > width or box.y1 > height:
                found.append(f"{text.get_text()!r} leaves the canvas")
            if text.get_size() < 8:
                found.append(f"{text.get_text()!r} has {text.get_size():g} points, at least 8")
        pairs = itertools.combinations(zip(texts, boxes, strict=True), 2)
        for (one, box), (other, beside) in pairs:
            across = min(box.x1, beside.x1) - max(box.x0, beside.x0)
            along = min(box.y1, beside.y1) - max(box.y0, beside.y0)
            if across > 1 and along > 1:
                found.append(f"{one.get_text()!r} and {other.get_text()!r} overlap")
        for patch in self.axes.patches:
            box = patch.get_window_extent()
            if box.x0 < -1 or box.y0 < -1 or box.x1 > width + 1 or box.y1 > height + 1:
                found.append(f"a {type(patch).__name__} leaves the canvas")
        return found

    # --- how it is drawn --------------------------------------------------------------------------

    def _names(self, x: float, y: float, text: str, shape: str = "") -> None:
        up = 0.09 if text and shape else 0
        if text:
            self.label(x, y + up, text)
        if shape:
            self.label(x, y - up, shape, size=SMALL, color=GREY)

    def _arrow(self, start, end, label, side, via, bend, offset=0.0, **look) -> None:
        first = _docking(start, via[0] if via else end)
        last = _docking(end, via[-1] if via else start)
        if not via:
            first, last = self._docked(start, end, offset)
        points = [first, *via, last]
        self._path(points, bend, style="-|>,head_length=0.45,head_width=0.2", **look)
        if label:
            pairs = list(itertools.pairwise(points))
            one, other = max(pairs, key=lambda p: np.hypot(p[1][0] - p[0][0], p[1][1] - p[0][1]))
            rise = -bend * (other[0] - one[0]) / 2
            middle = ((one[0] + other[0]) / 2, (one[1] + other[1]) / 2 + rise)
            self._beside(middle, label, side, look["color"])

    def _docked(self, start, end, offset: float) -> tuple[Point, Point]:
        r"""Where a straight arrow leaves and arrives, moved `offset` to the side."""
        first, last = _docking(start, end), _docking(end, start)
        across = abs(last[0] - first[0]) >= abs(last[1] - first[1])
        move = (0, offset) if across else (offset, 0)
        return tuple((x + move[0], y + move[1]) for x, y in (first, last))

    def _path(self, points: Sequence[Point], bend: float, *, style: str, **look) -> None:
        shape = {"path": Path(points)} if len(points) > 2 else {"posA": points[0]}
        if len(points) == 2:
            shape |= {"posB": points[1], "connectionstyle": f"arc3,rad={bend}"}
        self.axes.add_patch(
            FancyArrowPatch(
                **shape,
                arrowstyle=style,
                mutation_scale=14,
                shrinkA=1.5,
                shrinkB=1.5,
                joinstyle="round",
                fill=True,
                zorder=5,
                **look,
            )
        )

    def _beside(self, point: Point, text: str, side: str, colour, gap: float = 0.07) -> None:
        moves = {
            "above": (0, gap, "center", "bottom"),
            "below": (0, -gap, "center", "top"),
            "left": (-gap, 0, "right", "center"),
            "right": (gap, 0, "left", "center"),
        }
        x, y, ha, va = moves[side]
        self.label(point[0] + x, point[1] + y, text, size=SMALL, color=colour, ha=ha, va=va)


def _docking(here: Node | Point, there: Node | Point) -> Point:
    r"""The point on a node's border that faces another node or point."""
    if not isinstance(here, Node):
        return here
    x, y = (there.x, there.y) if isinstance(there, Node) else there
    width, height = (there.width, there.height) if isinstance(there, Node) else (0, 0)
    aside = abs(x - here.x) - (here.width + width) / 2  # free space between the two
    above = abs(y - here.y) - (here.height + height) / 2
    if aside >= above:
        to_the_right = x > here.x
        edge = here.right if to_the_right else here.left
        room = here.sides[to_the_right] if here.sides else here.height
        # A straight arrow, where the other's middle lies beside this side.
        level = y if abs(y - here.y) < 0.45 * room and height <= room else here.y
        return (edge[0], level)
    return here.top if y > here.y else here.bottom


# --- ready-made ---------------------------------------------------------------------------------


def autoencoder(*, latent_dim: int = 2, pixels: int = 784, cells: int | None = None) -> Diagram:
    r"""Chapter 01: an image, its code and its copy; the loss compares the first with the last."""
    diagram = Diagram(7.2, 2.3)
    image = diagram.image(0.6, 1.5, text="image x")
    encoder = diagram.encoder(2.15, 1.5, "encoder", f"{pixels} → {latent_dim}")
    code = diagram.code(3.6, 1.5, "code z", cells=cells or min(latent_dim, 5))
    decoder = diagram.decoder(5.05, 1.5, "decoder", f"{latent_dim} → {pixels}")
    copy = diagram.image(6.6, 1.5, _smooth(digit()), text="copy x̂")
    loss = diagram.loss(3.6, 0.35, "squared error", width=1.5)
    diagram.arrow(image, encoder, f"(B, {pixels})")
    diagram.arrow(encoder, code, f"(B, {latent_dim})")
    diagram.arrow(code, decoder)
    diagram.arrow(decoder, copy, f"(B, {pixels})")
    diagram.arrow(image.bottom, loss, via=[(0.6, 0.35)])
    diagram.arrow(copy.bottom, loss, via=[(6.6, 0.35)])
    return diagram


def stamp() -> Diagram:
    r"""Chapter 02: each input pixel stamps the kernel, times its value, into a larger picture."""
    diagram = Diagram(7.4, 2.9)
    shades = [[0.2, 0.5, 0.2], [0.5, 1.0, 0.5], [0.2, 0.5, 0.2]]
    for shift in (0.12, 0.0):  # two channels, one behind the other
        pixels = diagram.grid(0.7 + shift, 0.95 + shift, np.zeros((2, 2)), cell=0.36)
        kernel = diagram.grid(2.1 + shift, 2.2 + shift, shades, cell=0.26, colour="codebook")
    output = diagram.grid(6.0, 1.25, np.zeros((5, 5)), cell=0.3)
    for name, colour, column in (("a", BLUE, 0), ("b", ORANGE, 1)):
        corner = (pixels.left[0] + column * 0.36, pixels.y)
        diagram.add(Rectangle(corner, 0.36, 0.36, lw=1.5), colour, fill=0.6)
        diagram.label(corner[0] + 0.18, corner[1] + 0.18, name, weight="bold")
        left, top = output.left[0] + column * 0.6, output.top[1]
        for row, across in itertools.product(range(3), range(3)):
            corner = (left + across * 0.3, top - (row + 1) * 0.3)
            cell = Rectangle(corner, 0.3, 0.3, fc=colour, alpha=0.75 * shades[row][across], lw=0)
            cell.set_zorder(3)
            diagram.axes.add_patch(cell)
        diagram.add(Rectangle((left, top - 0.9), 0.9, 0.9, lw=2), colour, fill=None)
    times = diagram.operation(2.1, 0.95, "×")
    plus = diagram.operation(3.9, 0.95, "+")
    bias = diagram.code(3.9, 1.75, "bias", cells=1, colour="plain")
    diagram.arrow((pixels.right[0] + 0.12, 0.95), times)
    diagram.arrow(kernel, times)
    diagram.arrow(times, plus, "stamps")
    diagram.arrow(bias, plus)
    diagram.arrow(plus, (output.left[0], 0.95))
    diagram.label(3.9, 0.58, "sum over stamps\nand channels in", size=SMALL, color=GREY, va="top")
    diagram.label(0.76, 1.78, "input")
    diagram.label(0.76, 1.6, "(B, 2, 2, 2)", size=SMALL, color=GREY)
    diagram.label(2.75, 2.4, "kernel", ha="left")
    diagram.label(2.75, 2.2, "(2, channels out, 3, 3)", size=SMALL, color=GREY, ha="left")
    diagram.label(6.0, 2.62, "output")
    diagram.label(6.0, 2.44, "(B, channels out, 5, 5)", size=SMALL, color=GREY)
    diagram.label(5.7, 2.15, "a × kernel", size=SMALL, color=BLUE, weight="bold", ha="right")
    diagram.label(6.0, 2.15, "b × kernel", size=SMALL, color="#8A5C00", weight="bold", ha="left")
    diagram.label(6.0, 0.3, "stride 2: two stamps share a column", size=SMALL, color=GREY)
    return diagram


def computation_graphs() -> Diagram:
    r"""Chapter 03: a sample that stops the gradient, and noise from outside that lets it pass."""
    diagram = Diagram(7.6, 4.7)
    for y, title in (
        (3.45, "Draw z from the cloud: the gradient stops at the die"),
        (1.3, "Draw the noise, compute z: the gradient passes beside the die"),
    ):
        diagram.label(0.12, y + 1.03, title, ha="left", weight="bold")
        image = diagram.image(0.5, y, size=0.7)
        encoder = diagram.encoder(1.65, y)
        mean = diagram.box(2.95, y + 0.4, "μ", width=0.5, height=0.4, colour="latent")
        std = diagram.box(2.95, y - 0.4, "σ", width=0.5, height=0.4, colour="latent")
        latent = diagram.code(5.1, y, "z", cells=2)
        decoder = diagram.decoder(6.05, y, width=0.95)
        loss = diagram.loss(7.15, y, width=0.7)
        diagram.arrow(image, encoder)
        diagram.arrow(encoder.right, mean.left)
        diagram.arrow(encoder.right, std.left)
        diagram.arrow(latent, decoder)
        diagram.arrow(decoder, loss)
        diagram.gradient(loss, decoder)
        diagram.gradient(decoder, latent)
        if y > 2:
            draw = diagram.noise(4.1, y, "z ~ N(μ, σ²)")
            diagram.arrow(mean.right, draw.left)
            diagram.arrow(std.right, draw.left)
            diagram.arrow(draw, latent)
            diagram.blocked(latent, draw, "0 arrives", share=0.5)
            continue
        times = diagram.operation(3.75, y - 0.4, "×")
        plus = diagram.operation(4.35, y, "+")
        noise = diagram.noise(3.75, y - 1.02)
        diagram.label(4.05, y - 1.02, "ε ~ N(0, 1)", ha="left")
        diagram.arrow(noise, times)
        diagram.arrow(std, times)
        diagram.arrow(mean.right, plus.top, via=[(plus.x, mean.y)])
        diagram.arrow(times.right, plus.bottom, via=[(plus.x, times.y)])
        diagram.arrow(plus, latent)
        diagram.gradient(latent, plus)
        corner = (plus.x - 0.13, mean.y - 0.12)
        diagram.gradient((corner[0], plus.y + 0.1), (3.2, corner[1]), via=[corner])
        corner = (plus.x + 0.14, times.y - 0.13)
        diagram.gradient(
            (corner[0], plus.y - 0.1), (times.right[0] - 0.05, corner[1]), via=[corner]
        )
        diagram.gradient(times, std)
        for node, up in ((mean, 0.12), (std, -0.12)):
            start, end = (node.left[0], node.y - 0.1), (encoder.right[0], y + up - 0.1)
            diagram.gradient(start, end, offset=0)
    return diagram


def elbo() -> Diagram:
    r"""Chapter 04: log p(x) is the ELBO plus a gap; the ELBO, one term minus another."""
    diagram = Diagram(7.4, 2.95)
    left, bound, evidence, fit = 1.55, 4.4, 5.9, 7.0  # where the bars end
    for x, high in ((bound, 1.95), (evidence, 2.62), (fit, 2.2)):
        line = diagram.axes.plot([x, x], [0.42, high], color=GREY, lw=1.2, ls=(0, (3, 2)))
        line[0].set_zorder(1)
    diagram.label(evidence, 2.75, "log p(x)", weight="bold")
    bars = (
        (2.2, "reconstruction", left, fit, "decoder", "E log p(x|z)"),
        (1.55, "minus the code's cost", bound, fit, "latent", "KL(q(z|x) ‖ p(z))"),
        (0.9, "what is left", left, bound, "encoder", "ELBO"),
    )
    for y, name, start, end, colour, text in bars:
        diagram.add(Rectangle((start, y - 0.21), end - start, 0.42), colour, fill=0.25)
        diagram.label(left - 0.1, y, name, ha="right", size=SMALL)
        diagram.label((start + end) / 2, y, text)
    gap = Rectangle((bound, 0.69), evidence - bound, 0.42, hatch="////", lw=1)
    diagram.add(gap, "noise", fill=0.12)
    middle = (bound + evidence) / 2
    diagram.label(middle, 0.9, "gap").set_bbox({"fc": "white", "ec": "none", "pad": 2})
    diagram.label(middle, 0.53, "KL(q(z|x) ‖ p(z|x)) ≥ 0", size=SMALL).set_bbox(
        {"fc": "white", "ec": "none", "pad": 1}
    )
    diagram.arrow((left, 0.3), (fit, 0.3), "nats: further right is better", side="below")
    return diagram


def vae() -> Diagram:
    r"""Chapter 05: the whole VAE, with the shape of every tensor and the gradients' way."""
    diagram = Diagram(8.2, 3.75)
    image = diagram.image(0.5, 2.1, size=0.7)
    diagram.label(0.5, 1.5, "x\n(B, 1, 28, 28)", va="center", size=SMALL)
    encoder = diagram.encoder(1.95, 2.1, width=1.0)
    mean = diagram.box(3.2, 2.5, "μ", width=0.45, height=0.4, colour="latent")
    log_var = diagram.box(3.2, 1.7, "log σ²", width=0.62, height=0.4, colour="latent")
    cloud = diagram.cloud(4.35, 2.1, "q(z|x)", width=1.1, height=1.0)
    noise = diagram.noise(4.35, 3.1)
    diagram.label(4.65, 3.1, "ε (B, D)", ha="left", size=SMALL)
    latent = diagram.code(5.3, 2.1, "z", cells=3)
    decoder = diagram.decoder(6.4, 2.1, width=1.0)
    copy = diagram.image(7.6, 2.1, _smooth(digit()), size=0.7)
    kl = diagram.loss(4.35, 0.85, "KL(q(z|x) ‖ p(z))", width=1.6)
    nll = diagram.loss(7.3, 0.85, "−log p(x|z)", width=1.2)
    plus = diagram.operation(5.9, 0.85, "+")
    total = diagram.loss(5.9, 0.27, "−ELBO", width=0.9, height=0.36)
    diagram.arrow(image, encoder)
    diagram.arrow(encoder.right, mean.left)
    diagram.arrow(encoder.right, log_var.left)
    for node, up in ((mean, 0.3), (log_var, -0.3)):
        diagram.label(node.x, node.y + up, "(B, D)", size=SMALL, color=GREY)
    diagram.arrow(mean.right, (cloud.left[0] + 0.12, 2.25))
    diagram.arrow(log_var.right, (cloud.left[0] + 0.12, 1.95))
    diagram.arrow(noise, cloud)
    diagram.arrow(cloud, latent)
    diagram.label(5.3, 1.68, "(B, D)", size=SMALL, color=GREY)
    diagram.arrow(latent, decoder)
    diagram.arrow(decoder, copy)
    diagram.label(7.6, 2.72, "x̂\n(B, 1, 28, 28)", size=SMALL, color=GREY)
    diagram.arrow(cloud, kl)
    diagram.arrow((7.6, 1.75), (7.6, 1.05))
    diagram.arrow(image.top, nll.right, via=[(0.5, 3.55), (8.08, 3.55), (8.08, 0.85)])
    diagram.arrow(kl, plus)
    diagram.arrow(nll, plus)
    diagram.arrow(plus, total)
    for later, earlier in ((plus, kl), (plus, nll), (copy, decoder), (decoder, latent)):
        diagram.gradient(later, earlier)
    diagram.gradient((7.6, 1.05), (7.6, 1.75))
    diagram.gradient(latent, cloud)
    diagram.gradient(kl, cloud)
    for node, up in ((mean, 0.15), (log_var, -0.15)):
        start = (cloud.left[0] + 0.1, cloud.y + up - 0.1)
        diagram.gradient(start, (node.right[0], node.y - 0.1), offset=0)
        end = (encoder.right[0], encoder.y + up - 0.1)
        diagram.gradient((node.left[0], node.y - 0.1), end, offset=0)
    return diagram


def illnesses() -> Diagram:
    r"""Chapter 09: from files to samples, with the five places where a VAE falls ill."""
    diagram = Diagram(8.2, 3.1)
    y = 1.65
    files = diagram.box(0.6, y, "files", width=0.7, height=0.6)
    image = diagram.image(1.75, y, size=0.7)
    encoder = diagram.encoder(2.95, y, width=1.0)
    cloud = diagram.cloud(4.2, y, "q(z|x)", width=1.1, height=1.0)
    noise = diagram.noise(4.2, y + 0.92)
    decoder = diagram.decoder(5.5, y, width=1.0)
    copy = diagram.image(6.75, y, _smooth(digit()), size=0.7)
    loss = diagram.loss(4.2, 0.45, "−log p(x|z) + KL", width=1.6)
    step = diagram.box(1.75, 0.45, "one step", width=0.9, height=0.4)
    for start, end in ((files, image), (image, encoder), (encoder, cloud), (noise, cloud),
                       (cloud, decoder), (decoder, copy), (cloud, loss)):  # fmt: skip
        diagram.arrow(start, end)
    diagram.arrow(copy.bottom, loss.right, via=[(6.75, 0.45)])
    diagram.gradient(loss, step)
    marks = (
        (1.2, 2.5, "1  pixels"), (5.15, 2.6, "2  noise"), (6.75, 2.5, "3  outputs"),
        (5.75, 0.72, "4  sums and means"), (1.75, 0.95, "5  steps and images"),
    )  # fmt: skip
    for x, height, text in marks:
        diagram.label(x, height, text, color=COLOURS["gradient"], weight="bold")
    return diagram


def gan(step: str | None = None) -> Diagram:
    r"""Chapter 06: the two steps of the game, and where each step's gradient goes.

    step: "discriminator" or "generator"; None draws both, one above the other
    """
    steps = ("discriminator", "generator") if step is None else (step,)
    if not set(steps) <= {"discriminator", "generator"}:
        raise ValueError(f'step is {step!r}; expected "discriminator", "generator" or None')
    diagram = Diagram(7.6, 2.2 * len(steps))
    for row, name in enumerate(reversed(steps)):
        y, judged = 2.2 * row + 0.95, name == "discriminator"
        title = (
            "Discriminator's step: tell the two apart"
            if judged
            else ("Generator's step: be taken for real")
        )
        diagram.label(0.12, y + 1.0, title, ha="left", weight="bold")
        up = 0.4 if judged else 0.0
        noise = diagram.noise(0.45, y - up, "z")
        generator = diagram.decoder(1.75, y - up, "generator", height=0.85)
        fake = diagram.image(3.25, y - up, _smooth(digit("8")), size=0.6)
        judge = diagram.encoder(4.9, y, "discriminator", width=1.3, height=1.3)
        text = "−log D(x)\n−log(1 − D(G(z)))" if judged else "−log D(G(z))"
        loss = diagram.loss(6.85, y, "loss", width=0.8)
        diagram.label(6.85, y - 0.3, text, size=SMALL, color=GREY, va="top")
        diagram.arrow(noise, generator, "(B, D)")
        diagram.arrow(generator, fake)
        diagram.arrow(fake, judge)
        diagram.arrow(judge, loss, "logit (B,)")
        diagram.gradient(loss, judge)
        diagram.label(fake.x, fake.bottom[1] - 0.12, "fake", size=SMALL)
        if judged:
            real = diagram.image(3.25, y + up, size=0.6)
            diagram.label(fake.left[0] - 0.1, y + up, "real", ha="right", size=SMALL)
            diagram.arrow(real, judge)
            diagram.blocked(judge, fake, "detach()", share=0.45)
            diagram.label(generator.x, y + 0.15, "not changed", size=SMALL, color=GREY)
        else:
            diagram.gradient(judge, fake)
            diagram.gradient(fake, generator)
            diagram.label(judge.x, y - 0.8, "not changed", size=SMALL, color=GREY)
    return diagram


def edit(attribute: str = "thicker") -> Diagram:
    r"""Chapter 07: an image is changed by a step in the latent space."""
    diagram = Diagram(7.6, 2.2)
    image = diagram.image(0.5, 0.85, text="x", size=0.75)
    encoder = diagram.encoder(1.75, 0.85, width=1.0)
    code = diagram.code(3.0, 0.85, "z", cells=4)
    plus = diagram.operation(3.85, 0.85, "+")
    changed = diagram.code(4.7, 0.85, "z + αv", values=[0.25, 0.9, 0.3, 0.85])
    direction = diagram.code(3.85, 1.7, values=[0.1, 0.9, 0.2, 0.1], vertical=False)
    diagram.label(4.35, 1.7, f'α · v, the direction "{attribute}"', ha="left")
    decoder = diagram.decoder(5.85, 0.85, width=1.0)
    thick = Image.fromarray((digit() * 255).astype(np.uint8)).filter(ImageFilter.MaxFilter(3))
    result = diagram.image(7.1, 0.85, _smooth(np.asarray(thick) / 255, 0.7), text="x̂", size=0.75)
    for one, other in itertools.pairwise((image, encoder, code, plus, changed, decoder, result)):
        diagram.arrow(one, other)
    diagram.arrow(direction, plus)
    diagram.label(3.0, 0.25, "(B, D)", size=SMALL, color=GREY)
    diagram.label(4.7, 0.25, "(B, D)", size=SMALL, color=GREY)
    return diagram


def search(latent_dim: int = 20, shape: str = "1, 28, 28") -> Diagram:
    r"""Chapter 07b: gradients look for the code that explains a picture; the encoder is idle."""
    diagram = Diagram(7.6, 2.75)
    noisy = digit() + np.random.default_rng(0).normal(0, 0.5, digit().shape)
    code = diagram.code(0.6, 1.85, "code z", cells=4)
    decoder = diagram.decoder(2.35, 1.85, "decoder", "frozen")
    drawn = diagram.image(4.2, 1.85, _smooth(digit()), text="drawn x̂")
    loss = diagram.loss(5.75, 1.85, "−log p(given | x̂)", width=1.45)
    given = diagram.image(7.1, 1.85, noisy.clip(0, 1), text="given", size=0.75)
    diagram.loss(0.95, 0.35, "½ ‖z‖²", width=0.9)
    diagram.arrow(code, decoder, f"(N, {latent_dim})")
    diagram.arrow(decoder, drawn, f"(N, {shape})")
    diagram.arrow(drawn, loss)
    diagram.arrow(given, loss)
    diagram.arrow((0.54, 1.45), (0.54, 0.55))
    diagram.gradient((0.68, 0.55), (0.68, 1.45), offset=0)
    way = [(5.75, 0.95), (1.15, 0.95), (1.15, 1.55)]
    words = "through the decoder to z; the decoder itself stays"
    diagram.gradient(loss.bottom, (0.72, 1.55), words, via=way)
    return diagram


def attention(tokens: str = "to be") -> Diagram:
    r"""Chapter 08: one head. Each token asks, looks back at the keys, and takes in their values."""
    diagram = Diagram(7.6, 3.1)
    count = len(tokens)
    name = "(B, T, C)"
    source = diagram.code(
        0.45, 1.5, cells=count, cell=min(0.26, 1.8 / count), values=np.full(count, 0.1)
    )
    for index, token in enumerate(tokens):
        diagram.label(
            0.45,
            source.top[1] - source.height / count * (index + 0.5),
            "␣" if token == " " else token,
        )
    diagram.label(0.45, source.bottom[1] - 0.14, name, size=SMALL, color=GREY)
    query, key, value = (
        diagram.box(1.85, y, text, width=0.9, height=0.42, colour=colour)
        for y, text, colour in (
            (2.4, "query", "encoder"),
            (1.5, "key", "encoder"),
            (0.7, "value", "decoder"),
        )
    )
    for node in (query, key, value):
        diagram.arrow(source.right, node.left)
    lower = np.tril(np.ones((count, count)))
    scores = np.where(lower, np.random.default_rng(2).random((count, count)), np.nan)
    weights = np.exp(2 * np.nan_to_num(scores)) * lower
    weights /= weights.sum(axis=1, keepdims=True)
    dot = diagram.operation(2.95, 1.95, "·")
    cell = min(0.22, 1.1 / count)
    first = diagram.grid(4.0, 1.95, scores, "q · k / √C", cell=cell, colour="encoder")
    masked = np.where(lower, weights, np.nan)
    second = diagram.grid(5.85, 1.95, masked, "weights", cell=cell, colour="latent")
    times = diagram.operation(5.85, 0.7, "×")
    output = diagram.code(7.2, 0.7, cells=count, cell=0.9 * cell, colour="decoder")
    diagram.arrow(query, dot)
    diagram.arrow(key, dot)
    diagram.arrow(dot, first)
    diagram.arrow(first, second, "softmax")
    diagram.arrow(second, times)
    diagram.arrow(value, times, name, side="below")
    diagram.arrow(times, output, name, side="below")
    diagram.label(4.0, first.bottom[1] - 0.14, "(B, T, T), × is the mask", size=SMALL, color=GREY)
    return diagram


def quantisation() -> Diagram:
    r"""Chapter 10: each code becomes the nearest row of a table; the gradient steps over it."""
    diagram = Diagram(8.2, 2.4)
    image = diagram.image(0.5, 1.4, text="x", size=0.7)
    encoder = diagram.encoder(1.7, 1.4, width=1.0)
    before = diagram.code(2.85, 1.4, "z")
    book = diagram.codebook(3.95, 1.4, "codebook (K, C)", chosen=2)
    after = diagram.code(4.95, 1.4, "e₂", values=[0.7, 0.35, 0.5], colour="codebook")
    decoder = diagram.decoder(6.0, 1.4, width=1.0)
    copy = diagram.image(7.05, 1.4, _smooth(digit()), text="x̂", size=0.6)
    loss = diagram.loss(7.82, 1.4, width=0.6)
    way = (image, encoder, before, book, after, decoder, copy, loss)
    for one, other in itertools.pairwise(way):
        diagram.arrow(one, other)
    diagram.label(3.25, 1.55, "nearest", size=TEXT, color=GREY)
    for later, earlier in ((loss, copy), (copy, decoder), (decoder, after), (before, encoder)):
        diagram.gradient(later, earlier)
    corners = [(after.x, 0.4), (before.x, 0.4)]
    label = "straight through: the gradient at e₂ is taken as the gradient at z"
    diagram.gradient(after.bottom, before.bottom, via=corners)
    diagram.label(3.9, 0.2, label, size=10.5, color="#A84900")
    return diagram


def latent_diffusion() -> Diagram:
    r"""Chapter 11: a small network turns noise into codes, and the VAE's decoder paints them."""
    diagram = Diagram(7.6, 3.1)
    image = diagram.image(0.5, 2.3, text="x", size=0.7)
    encoder = diagram.encoder(1.75, 2.3, width=1.0, height=1.0)
    cloud = diagram.cloud(4.1, 2.3, "codes of digits", width=1.7, height=1.1)
    prior = diagram.cloud(1.5, 0.65, "N(0, I)", width=1.1, height=0.9)
    code = diagram.code(5.3, 0.65, "z", cells=4)
    decoder = diagram.decoder(6.2, 0.65, width=0.95, height=1.0)
    sample = diagram.image(7.2, 0.65, _smooth(digit("8")), size=0.6)
    diagram.arrow(image, encoder)
    diagram.arrow(encoder, cloud, "q(z|x)")
    diagram.label(5.1, 2.3, "of all images together:\nwhat is to be learned", ha="left", size=SMALL)
    steps = [
        diagram.code(x, 0.65, cells=4, values=v)
        for x, v in (
            (2.75, [0.9, 0.1, 0.6, 0.0]),
            (3.6, [0.7, 0.3, 0.7, 0.2]),
            (4.45, [0.4, 0.4, 0.7, 0.6]),
        )
    ]
    diagram.arrow(prior, steps[0])
    for before, after in itertools.pairwise([*steps, code]):
        diagram.arrow(before, after, colour="decoder")
    diagram.label(3.6, 0.12, "a small network removes noise, step by step", color="#00664A")
    diagram.arrow(code, decoder)
    diagram.arrow(decoder, sample)
    diagram.arrow(cloud.bottom, (4.1, 1.25), "trained on these", side="right")
    return diagram


def code_writer() -> Diagram:
    r"""Chapter 10: a GPT reads a class token, writes codes one by one; the decoder paints them."""
    diagram = Diagram(8.4, 2.2)
    numbers = np.array([[0.2, 0.5, 0.9], [0.4, 0.7, np.nan], [np.nan, np.nan, np.nan]])
    token = diagram.box(0.45, 1.44, "5", width=0.36, height=0.34)
    diagram.label(0.45, 1.76, "class", size=TEXT)
    grid = diagram.grid(1.55, 1.1, numbers, "codes (B, 49)", cell=0.34, colour="codebook")
    block = diagram.block(3.2, 1.1, "GPT")
    probs = diagram.code(4.8, 1.1, "p(next code)", cells=5, values=[0.1, 0.2, 0.9, 0.3, 0.1])
    full = np.array([[0.2, 0.5, 0.9], [0.4, 0.7, 0.6], [0.3, 0.8, 0.1]])
    codes = diagram.grid(5.85, 1.1, full, "all written", cell=0.26, colour="codebook")
    decoder = diagram.decoder(6.9, 1.1, width=0.9)
    image = diagram.image(7.95, 1.1, _smooth(digit("5")), size=0.65)
    diagram.arrow(token.right, (1.04, 1.44))
    diagram.arrow(grid, block)
    diagram.arrow(block, probs, "(B, K)")
    diagram.arrow(probs.bottom, grid.bottom, via=[(4.8, 0.25), (1.55, 0.25)])
    diagram.label(3.2, 0.11, "a draw: the next code", size=TEXT, color=GREY)
    diagram.arrow(probs, codes)
    diagram.arrow(codes, decoder)
    diagram.arrow(decoder, image)
    return diagram


def _smooth(pixels: np.ndarray, radius: float = 1.2) -> np.ndarray:
    r"""A blurred copy, as autoencoders give it."""
    picture = Image.fromarray((pixels * 255).astype(np.uint8))
    return np.asarray(picture.filter(ImageFilter.GaussianBlur(radius))) / 255
