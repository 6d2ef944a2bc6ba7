"""Explorers: slider, box and picture stay together; errors are seen; the twin tells the truth."""

import io

import numpy as np
import pytest
import torch
from IPython.utils.capture import capture_output
from PIL import Image

from vae_course import widgets
from vae_course.plots.pictures import fast_png
from vae_course.widgets import Again, Choice, Explorer, Slider, Switch

VIEW = "application/vnd.jupyter.widget-view+json"
ALT = "Two grey squares; the right one is lighter."


class Toy:
    """An explorer of a grey square, and a record of what was asked of it."""

    def __init__(self, **options):
        self.draws = []
        self.explorer = Explorer(
            "a grey square",
            {
                "grey": Slider("grey", 0.0, 10.0, 3.0, 0.5, unit="steps"),
                "size": Slider("size", 1, 9, 5, 1, play=300),
                "shape": Choice("shape", ["square", "bar"], "square"),
                "inverted": Switch("inverted"),
                "again": Again("New noise"),
            },
            self.draw,
            lambda grey, size, **_: f"It is {grey * size:g} <deep>.",
            **options,
        )
        self.draws.clear()

    def draw(self, *, grey, size, shape, inverted, again):
        self.draws.append((grey, size, shape, inverted, again))
        if grey == 9.0:
            raise ZeroDivisionError("nine is too <many>")
        pixels = np.full((size, size * (2 if shape == "bar" else 1)), grey * 20 + again, np.uint8)
        return fast_png(255 - pixels if inverted else pixels)

    def holders(self, name):
        return self.explorer.rows[name].holders


@pytest.fixture
def toy():
    return Toy()


def test_moving_the_slider_changes_the_picture_once(toy):
    before = toy.explorer.image.value
    box, slider = toy.holders("grey")
    slider.value = 4.0
    assert toy.explorer.image.value != before
    assert box.value == 4.0
    assert toy.draws == [(4.0, 5, "square", False, 0)]


def test_typing_a_number_moves_the_slider_once(toy):
    box, slider = toy.holders("grey")
    box.value = 7.25  # between two steps of the slider
    assert slider.value == 7.0
    assert box.value == toy.explorer.values["grey"] == 7.25
    assert [draw[0] for draw in toy.draws] == [7.25]


def test_a_slider_that_sends_its_step_back_does_not_overwrite_the_typed_number(toy):
    box, slider = toy.holders("grey")
    box.value = 7.25
    slider.value = 7.000000000000001  # what a browser makes of 7
    assert box.value == 7.25
    slider.value = 7.5  # the reader moves it after all
    assert box.value == 7.5
    assert [draw[0] for draw in toy.draws] == [7.25, 7.5]


def test_play_moves_slider_and_box(toy):
    box, slider, play = toy.holders("size")
    play.value = 6
    assert (box.value, slider.value) == (6, 6)
    assert len(toy.draws) == 1


def test_no_draw_without_a_change(toy):
    for widget in toy.holders("grey"):
        widget.value = 3.0
    toy.explorer.set(grey=3.0, size=5)
    assert toy.draws == []


def test_a_slider_of_whole_numbers_gives_whole_numbers(toy):
    toy.holders("size")[1].value = 7
    assert [type(draw[1]) for draw in toy.draws] == [int]


def test_the_browser_s_last_digit_is_no_move(toy):
    toy.holders("grey")[1].value = 3.0000000000000004
    assert toy.draws == []


def test_several_controls_at_once_draw_once(toy):
    toy.explorer.set(grey=1, size=2, shape="bar", inverted=True)
    assert toy.draws == [(1, 2, "bar", True, 0)]
    assert toy.holders("shape")[0].value == "bar"
    assert toy.holders("inverted")[0].value is True


def test_choice_and_switch_draw(toy):
    toy.holders("shape")[0].value = "bar"
    toy.holders("inverted")[0].value = True
    assert toy.draws == [(3.0, 5, "bar", False, 0), (3.0, 5, "bar", True, 0)]


def test_button_counts_from_where_it_stands(toy):
    toy.explorer.set(again=4)
    toy.explorer.rows["again"].line.click()
    toy.explorer.rows["again"].line.click()
    assert [draw[-1] for draw in toy.draws] == [4, 5, 6]


def test_box_beyond_the_range_stops_at_its_end(toy):
    box, slider = toy.holders("grey")
    box.value = -99
    assert box.value == slider.value == toy.explorer.values["grey"] == 0
    assert len(toy.draws) == 1


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"grey": 11}, ValueError, "grey is 11; expected 0.0 to 10.0"),
        ({"grey": float("nan")}, ValueError, "grey is nan; expected"),
        ({"grey": "much"}, TypeError, "grey is 'much'; expected a number"),
        ({"gray": 1}, ValueError, "no control 'gray'; there are grey, size"),
        ({"shape": "disc"}, ValueError, "expected one of 'square', 'bar'"),
        ({"inverted": 1}, TypeError, "expected True or False"),
        ({"again": -1}, ValueError, "expected a count"),
    ],
)
def test_set_refuses_what_no_control_can_be(toy, values, error, message):
    for ask in (toy.explorer.set, toy.explorer.picture, toy.explorer.words):
        with pytest.raises(error, match=message):
            ask(**values)
    assert toy.draws == []


def test_raising_draw_is_seen_twice_and_forgotten_later(toy):
    before = toy.explorer.image.value
    with pytest.raises(ZeroDivisionError):  # in the log, and for nbval
        toy.holders("grey")[1].value = 9.0
    assert "not up to date" in toy.explorer.status.value  # where the reader looks
    assert "nine is too &lt;many&gt;" in toy.explorer.status.value
    assert toy.explorer.image.value == before
    toy.holders("grey")[1].value = 3.0  # back to the very state of the picture
    assert "not up to date" not in toy.explorer.status.value
    assert "It is 15" in toy.explorer.status.value


def test_raising_describe_is_seen_too():
    def describe(n):
        return f"one over n is {1 / n:g}"

    explorer = Explorer(
        "one",
        {"n": Slider("n", 0, 3, 1, 1)},
        lambda n: fast_png(np.eye(3, dtype=np.uint8)),
        describe,
    )
    with pytest.raises(ZeroDivisionError):
        explorer.set(n=0)
    assert "ZeroDivisionError" in explorer.status.value


def test_first_draw_fails_in_the_cell_that_makes_the_explorer():
    with pytest.raises(TypeError, match=r"returned a NoneType; expected the bytes of a PNG"):
        Explorer("nothing", {}, lambda: None, lambda: "")


def test_state_is_said_in_words(toy):
    toy.explorer.set(grey=2.5, shape="bar")
    assert toy.explorer.status.value == (
        "grey = 2.5 steps, size = 5, shape: bar, inverted: off, New noise: pressed 0 times. "
        "It is 12.5 &lt;deep&gt;."
    )
    assert toy.explorer.words(grey=2.5, shape="bar").endswith("It is 12.5 <deep>.")


def test_limits_that_depend_on_other_controls():
    toy = Toy(limits=lambda **values: {"size": (1, 3 if values["inverted"] else 9)})
    toy.explorer.set(size=8)
    toy.holders("inverted")[0].value = True
    assert toy.draws == [(3.0, 8, "square", False, 0), (3.0, 3, "square", True, 0)]
    assert [(w.max, w.value) for w in toy.holders("size")] == [(3, 3)] * 3
    toy.holders("inverted")[0].value = False
    assert [(w.max, w.value) for w in toy.holders("size")] == [(9, 3)] * 3


def test_limits_may_move_beyond_where_the_slider_was():
    def limits(shift, place):
        return {"place": (shift, shift + 2)}

    controls = {"shift": Slider("shift", 0, 9, 0, 1), "place": Slider("place", 0, 11, 1, 1)}
    dot = fast_png(np.eye(3, dtype=np.uint8))
    explorer = Explorer("a", controls, lambda **_: dot, lambda **_: "", limits=limits)
    for shift in (8, 0, 9):
        explorer.set(shift=shift)
        assert [(w.min, w.max) for w in explorer.rows["place"].holders] == [(shift, shift + 2)] * 2
        assert shift <= explorer.values["place"] <= shift + 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Slider("n", 0, 1, 2), "low ≤ value ≤ high"),
        (lambda: Slider("n", 1, 1, 1), "low < high"),
        (lambda: Slider("n", 0, 1, 0, step=0), "a positive step"),
        (lambda: Slider("n", 0.0, 1.0, 0.5, play=100), "plays; expected whole"),
        (lambda: Choice("n", ["a"], "b"), "expected one of 'a'"),
        (lambda: Explorer("ends with a stop.", {}, lambda: b"", lambda: ""), "without a full stop"),
    ],
)
def test_controls_that_make_no_sense(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# --- what a notebook shows and stores ------------------------------------------------------------


def displayed(explorer):
    with capture_output() as captured:
        explorer.show()
    (output,) = captured.outputs
    return output.data


def test_display_is_a_view_and_one_constant_sentence(shell):
    first, second = Toy().explorer, Toy().explorer
    second.set(grey=7)
    assert displayed(first)["text/plain"] == displayed(second)["text/plain"]
    assert displayed(first)["text/plain"] == (
        "Interactive explorer: a grey square. "
        "Run this cell to move it; the figure below tells the same story."
    )
    assert displayed(first)[VIEW]["model_id"] == first.widget.model_id
    assert set(displayed(first)) == {"text/plain", VIEW}


def test_last_expression_of_a_cell_shows_it_too(shell, toy):
    with capture_output() as captured:
        shell.display_formatter.format(toy.explorer)
    (output,) = captured.outputs
    assert output.data["text/plain"] == toy.explorer.sentence


def test_terminal_gets_the_sentence(toy, capsys):
    toy.explorer.show()
    assert capsys.readouterr().out == toy.explorer.sentence + "\n"


def test_twin_holds_the_explorer_s_own_pictures(toy):
    states = [{"grey": 2.0}, {"grey": 8.0, "inverted": True}]
    sheet = np.asarray(toy.explorer.static_picture(states))
    for index, state in enumerate(states):
        picture = np.asarray(Image.open(io.BytesIO(toy.explorer.picture(**state))).convert("RGB"))
        toy.explorer.set(**state)
        assert toy.explorer.image.value == toy.explorer.picture(**state)
        assert (sheet[-5:, index * 29 : index * 29 + 5] == picture).all()


def test_twin_starts_from_the_first_values_wherever_the_explorer_stands(toy):
    before = np.asarray(toy.explorer.static_picture([{"size": 5}]))
    toy.explorer.set(grey=8.0)
    live = toy.explorer.image.value
    assert (np.asarray(toy.explorer.static_picture([{"size": 5}])) == before).all()
    assert toy.explorer.image.value == live


def test_twin_is_shown_with_alt_text(toy, shell):
    with capture_output() as captured:
        toy.explorer.static([{"grey": 2.0}, {"grey": 8.0}], labels=["dark", "light"], alt=ALT)
    assert captured.outputs[1].data["text/plain"] == f"Figure: {ALT}"
    assert captured.outputs[0].metadata["image/png"]["alt"] == ALT


def test_twin_refuses_wrong_states(toy):
    with pytest.raises(ValueError, match="no states"):
        toy.explorer.static([], alt=ALT)
    with pytest.raises(ValueError, match="expected 1, one a state"):
        toy.explorer.static([{"grey": 1}], labels=["a", "b"], alt=ALT)
    with pytest.raises(ValueError, match="grey is 99"):
        toy.explorer.static([{"grey": 99}], alt=ALT)


# --- the latent explorer of chapter 01 -----------------------------------------------------------

CODES = torch.tensor([[-2.0, -2.0], [-1.9, -2.0], [2.0, 2.0], [2.0, 1.9]])
LABELS = torch.tensor([3, 3, 7, 7])


def decode(latent):
    """Left half z1, right half z2, squeezed into 0 to 1."""
    halves = torch.sigmoid(latent).reshape(1, 1, 1, 2)
    return halves.repeat_interleave(14, dim=3).expand(1, 1, 28, 28)


def latent_explorer(**options):
    defaults = {"codes": CODES, "labels": LABELS, "class_names": "0123456789"}
    return widgets.latent_explorer(decode, **(defaults | options))


def picture(explorer, **values):
    return np.asarray(Image.open(io.BytesIO(explorer.picture(**values)))).astype(int)


def test_latent_explorer_shows_the_decoded_image():
    explorer = latent_explorer(limit=3.0)
    shown = picture(explorer, z1=-3.0, z2=3.0)
    height, width = shown.shape[:2]
    row = shown[height // 2, int(0.62 * width) : int(0.98 * width), 0]
    dark, light = (round(255 / (1 + np.exp(z))) for z in (3.0, -3.0))
    assert (row[: len(row) // 3] == dark).all()
    assert (row[-len(row) // 3 :] == light).all()


def test_latent_explorer_marks_the_place_on_the_map():
    explorer = latent_explorer(limit=3.0)
    there, elsewhere = picture(explorer, z1=1.5, z2=1.0), picture(explorer, z1=-1.5, z2=-1.0)
    ring = np.array([0xD5, 0x5E, 0x00])
    places = [np.argwhere(abs(shown - ring).max(-1) < 3).mean(0) for shown in (there, elsewhere)]
    assert places[0][0] < places[1][0] - 50  # higher up
    assert places[0][1] > places[1][1] + 50  # further right


def test_latent_explorer_leaves_no_trace_of_earlier_places():
    explorer = latent_explorer()
    first = explorer.picture(z1=1.0, z2=0.0)
    explorer.picture(z1=-1.0, z2=1.0)
    assert explorer.picture(z1=1.0, z2=0.0) == first


def test_latent_explorer_says_how_near_the_codes_are():
    explorer = latent_explorer(limit=3.0)
    assert "0.1 away. The 4 nearest codes: 2 of class 7, 2 of class 3." in explorer.words(
        z1=2.1, z2=2.0
    )
    plain = latent_explorer(labels=None, limit=3.0)
    assert plain.words(z1=2.0, z2=2.0).endswith("The nearest code is 0 away.")


def test_latent_explorer_s_range():
    codes = torch.tensor([[-10.0, 0.0], [8.0, 0.5]])
    around = latent_explorer(codes=codes, labels=None).controls
    assert around["z1"].low <= -10 and around["z1"].high >= 8
    assert around["z2"].low <= 0 and 0.5 <= around["z2"].high < 1
    given = latent_explorer(limit=((-1, 2), (0, 5))).controls
    assert [(c.low, c.high) for c in given.values()] == [(-1, 2), (0, 5)]
    alone = widgets.latent_explorer(decode).controls
    assert [(c.low, c.high, c.value) for c in alone.values()] == [(-3, 3, 0)] * 2


@pytest.mark.parametrize(
    ("decoder", "options", "message"),
    [
        (lambda z: 9 * torch.ones(1, 1, 28, 28), {}, "Logits need torch.sigmoid"),
        (lambda z: torch.zeros(1, 784), {}, r"returned shape \(1, 784\)"),
        (decode, {"codes": torch.zeros(5, 3)}, r"expected \(N, 2\)"),
        (decode, {"limit": -1.0}, "expected a positive number"),
    ],
)
def test_latent_explorer_says_what_is_wrong(decoder, options, message):
    with pytest.raises(ValueError, match=message):
        widgets.latent_explorer(decoder, **options)


def test_decode_runs_without_gradient():
    weight = torch.ones(1, requires_grad=True)
    seen = []

    def watched(latent):
        seen.append((decode(latent) * weight).requires_grad)
        return decode(latent)

    widgets.latent_explorer(watched)
    assert seen and not any(seen)
