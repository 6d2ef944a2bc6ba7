"""The drawing pad: ink, centring as MNIST does it, and an explorer that follows what is drawn."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from vae_course import data, metrics, widgets
from vae_course.widgets import centred_digit, ink, our_digits

# Twenty drawings, two of each digit: ours, and those of a second hand.
SECOND = json.loads(Path(__file__).with_name("drawn_digits.json").read_text(encoding="utf-8"))
DRAWN = [(int(name), strokes) for hand in (our_digits(), SECOND) for name, strokes in hand.items()]


def moved(strokes, scale, right, down):
    return [[(scale * x + right, scale * y + down) for x, y in stroke] for stroke in strokes]


def right_of(prepare, scale=1.0, right=0.0, down=0.0, width=2.2):
    """How many of the twenty the course's classifier reads right."""
    pictures = [prepare(ink(moved(strokes, scale, right, down), width)) for _, strokes in DRAWN]
    read = metrics.classify(torch.tensor(np.array(pictures))[:, None]).argmax(dim=1).tolist()
    return sum(one == digit for one, (digit, _) in zip(read, DRAWN, strict=True))


def merely_smaller(fine):
    return fine.reshape(28, 10, 28, 10).mean(axis=(1, 3))


@pytest.mark.parametrize("width", [1.6, 2.2, 3.0])
def test_twenty_drawn_digits_are_read(width):
    assert len(DRAWN) == 20
    assert right_of(centred_digit, width=width) >= 18


@pytest.mark.parametrize("corner", [(0.5, 0.05), (0.02, 0.45)])
def test_also_those_that_are_small_and_in_a_corner_and_only_by_centring(corner):
    assert right_of(centred_digit, 0.45, *corner, width=1.2) >= 18
    assert right_of(merely_smaller, 0.45, *corner, width=1.2) < 10


def test_a_centred_digit_is_where_those_of_mnist_are():
    """Their larger side is 20 pixels, their centre of mass is at (14, 14), to half a pixel."""
    theirs = data.load_images("mnist-5k").train_images[:200, 0].numpy()
    ours = np.stack([centred_digit(ink(strokes)) for _, strokes in DRAWN])
    for pictures in (theirs, ours):
        sides = [[np.ptp(np.flatnonzero(p.any(axis=a))) + 1 for a in (0, 1)] for p in pictures]
        assert np.mean(np.max(sides, axis=1) == 20) > 0.97
        place = np.arange(28)
        for axis in (1, 2):
            centre = (pictures.sum(axis=axis) * place).sum(axis=1) / pictures.sum(axis=(1, 2))
            assert np.abs(centre - 14).max() < 0.8 and abs(centre.mean() - 14) < 0.2


def test_centring_neither_minds_where_it_stands_nor_how_large():
    strokes = our_digits()["5"]
    here = centred_digit(ink(moved(strokes, 0.5, 0.0, 0.1), 1.0))
    there = centred_digit(ink(moved(strokes, 0.5, 0.4, 0.45), 1.0))
    assert np.abs(here - there).max() < 1e-6
    larger = centred_digit(ink(moved(strokes, 1.0, 0.0, 0.0), 2.0))
    assert np.square(here - larger).mean() < 2e-3


def test_centring_of_what_is_no_digit():
    assert (centred_digit(np.zeros((50, 70))) == 0).all()
    dot = np.zeros((28, 28))
    dot[3, 3] = 1.0
    assert centred_digit(dot).sum() == pytest.approx(400, rel=0.01)  # a dot fills the box
    lopsided = np.zeros((100, 100))
    lopsided[:10], lopsided[:, :2] = 1, 1  # its centre of mass lies far up and to the left
    found = centred_digit(lopsided)
    assert found.shape == (28, 28) and found[-1].any() and 0 <= found.min() <= found.max() <= 1


@pytest.mark.parametrize("picture", [np.zeros((2, 3, 4)), np.full((5, 5), 255), np.zeros((0, 5)),
                                     np.full((3, 3), np.nan)])  # fmt: skip
def test_centring_refuses_what_is_no_picture(picture):
    with pytest.raises(ValueError, match=re.escape("expected (height, width) in [0, 1]")):
        centred_digit(picture)


@pytest.mark.parametrize("strokes", [[[(0.5, 1.5)]], [[]], [[(0.5,)]], [0.5], [[(0.1, "a")]],
                                     [[(0.1, float("nan"))]]])  # fmt: skip
def test_ink_refuses_what_are_no_strokes(strokes):
    with pytest.raises(ValueError, match="expected strokes"):
        ink(strokes)


def test_ink_is_as_wide_as_it_is_said():
    line = ink([[(0.1, 0.5), (0.9, 0.5)]], width=2.8)
    assert line[:, 140].sum() == pytest.approx(28, abs=1)
    assert ink([[(0.5, 0.5)]], width=2.8).sum() == pytest.approx(np.pi * 14**2, rel=0.1)  # a dot
    assert ink([]).sum() == 0


# --- the explorer --------------------------------------------------------------------------------

DIGITS = data.load_images("mnist-5k")
BASIS = torch.linalg.qr(torch.randn(784, 6, generator=torch.Generator().manual_seed(0)))[0]


def pad(latent_dim=6, **options):
    basis = BASIS[:, :latent_dim]
    given = {"images": DIGITS.train_images[:300], "labels": DIGITS.train_labels[:300]} | options
    return widgets.drawing_pad(
        lambda image: (image.flatten(1) @ basis, None),
        lambda code: (code @ basis.T).clamp(0, 1).view(-1, 1, 28, 28),
        **given,
    )


@pytest.mark.parametrize("latent_dim", [2, 6])
def test_picture_and_words_follow_every_control(latent_dim):
    explorer = pad(latent_dim)
    first = explorer.picture(), explorer.words()
    own = tuple(our_digits()["7"][:1])
    for change in ({"drawing": "4"}, {"drawing": own}, {"width": 3.4}, {"centred": False}):
        assert explorer.picture(**change) != first[0] and explorer.words(**change) != first[1]
    assert explorer.picture() == first[0]
    assert "yours, 1 stroke," in explorer.words(drawing=own)
    assert "yours, empty" in explorer.words(drawing=())


def test_a_training_digit_that_is_drawn_finds_itself():
    explorer = widgets.drawing_pad(
        lambda image: image.flatten(1)[:, ::10],
        lambda code: torch.zeros(len(code), 1, 28, 28),
        images=torch.tensor(np.stack([centred_digit(ink(s)) for _, s in DRAWN]))[:, None],
        labels=torch.tensor([digit for digit, _ in DRAWN]),
    )
    for name in our_digits():
        assert f"nearest training digits: {name}," in explorer.words(drawing=name)
        assert "The first is 0.00 away" in explorer.words(drawing=name)


def test_what_is_drawn_in_the_browser_moves_the_explorer():
    pytest.importorskip("anywidget")
    explorer = pad()
    row = explorer.rows["drawing"]
    assert row.pad.fresh and row.list.value == "3" and len(row.pad.strokes) == 2
    before = explorer.image.value
    row.pad.strokes = [[[0.2, 0.2], [0.5, 0.8]]]
    assert explorer.values["drawing"] == (((0.2, 0.2), (0.5, 0.8)),)
    assert explorer.image.value != before
    assert (row.list.value, row.pad.fresh) == ("yours", False)
    row.list.value = "8"
    assert explorer.values["drawing"] == "8" and row.pad.fresh
    assert row.pad.strokes[0][0] == list(our_digits()["8"][0][0])
    row.line.children[0].children[1].click()  # Clear
    assert explorer.values["drawing"] == () and row.pad.strokes == []
    explorer.set(width=3.0)
    assert row.pad.width == 3.0


def test_the_twin_shows_a_digit_of_ours():
    assert pad().static_picture([{"drawing": "3"}, {"drawing": "8"}]).width > 500


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"images": DIGITS.train_images[:5], "labels": DIGITS.train_labels[:5]}, "6 or more"),
        ({"labels": DIGITS.train_labels[:7]}, "300, 1, 28, 28) and 7 labels"),
        ({"images": torch.zeros(300, 3, 32, 32)}, "expected (N, 1, 28, 28)"),
        ({"latent_dim": 1}, "with D from 2"),
    ],
)
def test_pad_refuses_what_does_not_fit(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        pad(**options)


@pytest.mark.parametrize("value", ["ten", [[(2, 2)]], 3])
def test_a_drawing_is_strokes_or_one_of_ours(value):
    with pytest.raises(ValueError, match="expected"):
        pad().set(drawing=value)


def test_without_a_kernel_ours_can_be_chosen():
    from vae_course.widgets import frozen

    explorer = pad()
    assert frozen.plan(explorer.controls, explorer.live, 400)["drawing"] == list("0123456789")
