"""Diagrams: every ready-made one can be read, and the test that says so can fail."""

import matplotlib.colors
import numpy as np
import pytest
from matplotlib.patches import FancyArrowPatch

from vae_course.plots import diagrams
from vae_course.plots.diagrams import COLOURS, Diagram

READY = [name for name in diagrams.__all__ if name not in ("Diagram", "Node")]
GRADIENT = matplotlib.colors.to_rgba(COLOURS["gradient"])


def arrows(diagram, colour):
    patches = [patch for patch in diagram.axes.patches if isinstance(patch, FancyArrowPatch)]
    return [p for p in patches if p.get_edgecolor() == matplotlib.colors.to_rgba(colour)]


@pytest.mark.parametrize("name", READY)
def test_nothing_overlaps_or_leaves_the_canvas(name):
    diagram = getattr(diagrams, name)()
    assert diagram.problems() == []
    assert diagram.figure.get_size_inches()[0] <= 8.6  # inches: the widest that a page shows whole


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda d: (d.label(1, 1, "one word"), d.label(1.1, 1, "another")), "overlap"),
        (lambda d: d.label(1.9, 1, "a long sentence"), "leaves the canvas"),
        (lambda d: d.label(1, 1, "small", size=6), "6 points, at least 8"),
        (lambda d: d.encoder(0.2, 1, ""), "Polygon leaves the canvas"),
        (lambda d: d.decoder(1, 1, "a name that is much too long to stand here"), "leaves"),
    ],
)
def test_problems_are_found(draw, words):
    diagram = Diagram(2, 2)
    assert diagram.problems() == []
    draw(diagram)
    assert any(words in problem for problem in diagram.problems()), diagram.problems()


def test_arrows_dock_where_the_shapes_face_each_other():
    diagram = Diagram(6, 3)
    encoder, code = diagram.encoder(1, 1.5), diagram.code(3, 1.5)
    loss = diagram.loss(3, 0.4)
    diagram.arrow(encoder, code)
    diagram.arrow(code, loss)
    across, down = arrows(diagram, diagrams.GREY)
    assert across._posA_posB == [encoder.right, code.left]
    assert down._posA_posB == [code.bottom, loss.top]


def test_a_gradient_runs_back_in_its_own_colour_and_a_blocked_one_stops_half_way():
    diagram = Diagram(6, 2)
    encoder, loss = diagram.encoder(1, 1), diagram.loss(4, 1)
    diagram.gradient(loss, encoder)
    diagram.blocked(loss, encoder, "stops")
    whole, half = (arrow._posA_posB for arrow in arrows(diagram, COLOURS["gradient"]))
    assert whole[0][0] == loss.left[0] and whole[1][0] == encoder.right[0]
    assert half[1][0] == pytest.approx((loss.left[0] + encoder.right[0]) / 2)
    assert len(diagram.axes.lines) == 1  # the cross


def test_encoders_narrow_and_decoders_widen():
    diagram = Diagram(4, 2)
    encoder, decoder = diagram.encoder(1, 1), diagram.decoder(3, 1)
    assert encoder.sides[0] > encoder.sides[1]
    assert decoder.sides == encoder.sides[::-1]


def test_a_picture_keeps_the_canvas_and_refuses_other_shapes():
    diagram = Diagram(4, 2)
    diagram.image(1, 1, np.zeros((1, 28, 28)), "x")
    diagram.image(3, 1, np.zeros((8, 8, 3)))
    assert diagram.axes.get_xlim() == (0, 4) and diagram.axes.get_ylim() == (0, 2)
    with pytest.raises(ValueError, match=r"\(2, 8, 8\); expected \(H, W\)"):
        diagram.image(1, 1, np.zeros((2, 8, 8)))


def test_the_game_has_two_steps():
    both, one = diagrams.gan(), diagrams.gan("generator")
    assert both.figure.get_figheight() == 2 * one.figure.get_figheight()
    words = [text.get_text() for text in one.axes.texts]
    assert "detach()" not in words and "detach()" in [t.get_text() for t in both.axes.texts]
    with pytest.raises(ValueError, match='expected "discriminator", "generator" or None'):
        diagrams.gan("judge")
