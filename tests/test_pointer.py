"""The pointer on the pictures: what a press sets, on every explorer, and how presses arrive."""

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from vae_course import data, pretrained, training, widgets
from vae_course.plots.pictures import fast_png
from vae_course.widgets import Choice, Explorer, Grip, Slider, Switch

# --- grips ---------------------------------------------------------------------------------------


def toy(grips, **options):
    controls = {
        "speed": Slider("speed", 0.0, 10.0, 3.0, 0.5),
        "count": Slider("count", 1, 9, 5, 1),
        "shape": Choice("shape", {"a square": "square", "a bar": "bar", "a disc": "disc"}, "bar"),
        "dark": Switch("dark"),
    }

    def draw(speed, count, shape, dark):
        return fast_png(np.full((2, 2), round(10 * speed) + count, np.uint8))

    return Explorer("a toy", controls, draw, lambda **_: "Grey.", grips=grips, **options)


LEFT = Grip((0.0, 0.0, 0.5, 1.0), "speed", (0.0, 10.0), "count", (9.0, 1.0))
RIGHT = Grip((0.5, 0.5, 0.5, 0.5), "shape", (-0.5, 2.5))


def test_a_press_sets_the_controls_along_both_axes():
    explorer = toy([LEFT, RIGHT])
    assert explorer.held(0.26, 0.0) == {"speed": 5.0, "count": 9}
    assert explorer.held(0.25, 0.99) == {"speed": 5.0, "count": 1}
    assert [explorer.held(x, 0.9)["shape"] for x in (0.55, 0.75, 0.99)] == ["square", "bar", "disc"]
    before = explorer.image.value
    explorer.press(0.5, 0.5)  # the first of two that meet
    assert explorer.values == {"speed": 10.0, "count": 5, "shape": "bar", "dark": False}
    assert explorer.image.value != before and "speed = 10," in explorer.status.value
    assert [holder.value for holder in explorer.rows["speed"].holders] == [10.0, 10.0]


def test_outside_of_all_grips_nothing_happens():
    explorer = toy([LEFT, RIGHT])
    before = explorer.values
    for place in ((0.7, 0.3), (-0.1, 0.5), (0.2, 1.2)):
        assert explorer.held(*place) == {}
        explorer.press(*place)
    assert explorer.values == before
    assert toy(()).held(0.5, 0.5) == {}


def test_values_beyond_the_ends_and_between_steps():
    explorer = toy([Grip((0.0, 0.0, 1.0, 1.0), "speed", (-5.0, 14.6))])
    assert [explorer.held(x, 0)["speed"] for x in (0.0, 0.5, 1.0)] == [0.0, 5.0, 10.0]
    whole = toy([Grip((0.0, 0.0, 1.0, 1.0), "count", (1.4, 1.4))]).held(0.3, 0.3)["count"]
    assert whole == 1 and isinstance(whole, int)


def test_ends_may_have_more_values_between_them():
    explorer = toy([Grip((0.0, 0.0, 1.0, 1.0), "speed", (0.0, 8.0, 10.0))])
    assert [explorer.held(x, 0)["speed"] for x in (0.25, 0.5, 0.75)] == [4.0, 8.0, 9.0]


def test_grips_that_depend_on_the_values_and_on_limits():
    def grips(count, **_):
        return [Grip((0.0, 0.0, count / 10, 1.0), "count", (1, count))]

    explorer = toy(grips, limits=lambda **values: {"count": (1, 7 if values["dark"] else 9)})
    explorer.press(0.25, 0.5)
    assert explorer.values["count"] == 3
    assert explorer.held(0.35, 0.5) == {} and explorer.held(0.25, 0.5) != {}
    assert explorer.grips(count=8)[0].box == (0.0, 0.0, 0.8, 1.0)
    explorer.set(dark=True)
    wide = toy([Grip((0.0, 0.0, 1.0, 1.0), "count")], limits=lambda **_: {"count": (2, 4)})
    assert wide.held(0.5, 0.5) == {"count": 2}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Grip((0.0, 0.0, 2.0, 1.0), "speed"), "fractions of the picture"),
        (lambda: Grip((0.0, 0.0, 0.0, 1.0), "speed"), "fractions of the picture"),
        (lambda: Grip((0.0, 0.0, 1.0, 1.0)), "the name of a control"),
        (lambda: Grip((0.0, 0.0, 1.0, 1.0), "speed", (1.0,)), "two or more finite numbers"),
        (lambda: Grip((0.0, 0.0, 1.0, 1.0), y="speed", y_ends=(0, math.inf)), "y_ends is"),
        (lambda: toy([Grip((0.0, 0.0, 1.0, 1.0), "sped")]), "a grip moves 'sped'; expected"),
        (lambda: toy([Grip((0.0, 0.0, 1.0, 1.0), y="dark")]), "a grip moves 'dark'; expected"),
    ],
)
def test_grips_that_make_no_sense(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# --- the picture ---------------------------------------------------------------------------------


def test_the_front_end_s_message_moves_and_is_answered(monkeypatch):
    pytest.importorskip("anywidget")
    explorer = toy([LEFT])
    answers = []
    monkeypatch.setattr(explorer.image, "send", answers.append)
    explorer.image._handle_custom_msg({"x": 0.4, "y": 0.5, "kind": "press"}, [])
    assert explorer.values["speed"] == 8.0 and answers == [{"drawn": True}]
    assert explorer.image.grips == [
        {"box": LEFT.box, "x": "speed", "x_ends": LEFT.x_ends, "y": "count", "y_ends": LEFT.y_ends}
    ]
    assert explorer.image.alt == "a toy" and explorer.image.png == explorer.image.value


def test_a_press_that_fails_is_told_and_answered(monkeypatch):
    pytest.importorskip("anywidget")
    explorer = toy([LEFT])
    answers = []
    monkeypatch.setattr(explorer.image, "send", answers.append)

    def fail(**_values):
        raise ZeroDivisionError("no picture")

    monkeypatch.setattr(explorer, "_draw", fail)
    explorer.image._handle_custom_msg({"x": 0.4, "y": 0.5, "kind": "press"}, [])
    assert "no picture" in explorer.status.value and answers == [{"drawn": True}]


def test_the_line_above_says_so_only_where_there_is_something_to_hold():
    pytest.importorskip("anywidget")
    said = [toy(grips).widget.children[0].value for grips in ([LEFT], ())]
    assert "Press or drag on the picture. Drag a slider" in said[0] and "Press or" not in said[1]


def test_without_anywidget_it_is_an_image():
    code = """
import sys
sys.modules["anywidget"] = None
from vae_course import widgets
explorer = widgets.transposed_explorer()
explorer.press(0.05, 0.2)
head = explorer.widget.children[0].value
print(type(explorer.image).__name__, explorer.values["step"], "Press" in head)"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "Image 1 False\n"


def test_colab_s_widget_manager_is_switched_on(monkeypatch):
    pytest.importorskip("anywidget")
    calls = []

    class Colab:
        class output:
            enable_custom_widget_manager = staticmethod(lambda: calls.append("on"))

    monkeypatch.setitem(sys.modules, "google.colab", Colab)
    toy([LEFT])
    assert calls == ["on"]


def test_the_module_travels_with_the_package_and_imports_nothing():
    source = Path(widgets.__file__).with_name("picture.js").read_text(encoding="utf-8")
    assert "export function grip(" in source and "export default" in source
    assert not re.search(r"^\s*import|https?:", source, re.M)


# --- every explorer ------------------------------------------------------------------------------


def decode(latent):
    """Two numbers → (B, 1, 28, 28): the sides of a light patch."""
    grid = torch.linspace(-3, 3, 28)
    across = torch.sigmoid(4 * (grid[None] - latent[:, :1]))  # (B, 28)
    down = torch.sigmoid(4 * (grid[None] - latent[:, 1:2]))
    return (down[:, :, None] * across[:, None])[:, None]


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def latent():
    return widgets.latent_explorer(decode, codes=drawn(50, 2), labels=torch.arange(50) % 5, limit=3)


def blender():
    codes = drawn(3, 4)
    return widgets.blend_explorer(decode, decode(codes), codes, names="abc")


def mixer():
    steps = {name: drawn(4, seed=i) for i, name in enumerate(("slant", "thickness", "width"))}
    measure = lambda images: images.flatten(1)[:, :3]  # noqa: E731
    return widgets.mixer_explorer(decode, drawn(2, 4), steps, names=["a", "b"], measure=measure)


def anomaly():
    odd = torch.arange(60) % 5 == 0
    images, others = drawn(60, 1, 28, 28).sigmoid(), {"s": drawn(500, seed=2)}
    return widgets.anomaly_explorer({"s": drawn(60) + 2 * odd}, odd, images, set_on=others)


def training_pass():
    terms = ("loss", "reconstruction", "kl")
    row = {f"{part}_{term}": 1.0 for part in ("train", "test") for term in terms}
    history = training.History([row | {"epoch": epoch} for epoch in range(1, 7)])
    return widgets.training_explorer(history, drawn(7, 6, 1, 28, 28).sigmoid())


def classes():
    return widgets.class_explorer(lambda z, label: decode(z), "abcdefg", latent_dim=2)


def two_generators():
    return widgets.two_generators_explorer(decode, decode, latent_dim=4)


def gpt():
    model, tokenizer, _ = pretrained.load_gpt("gpt-shakespeare-minutes")
    return widgets.gpt_explorer(model, tokenizer, prompt="ROMEO:\nO, she")


def codes():
    digits = data.load_images("mnist-5k")
    model, prior = pretrained.load("vq-digits")[0], pretrained.load("vq-prior")[0]
    images, labels = digits.test_images[:2], digits.test_labels[:2]
    return widgets.codes_explorer(model, prior, images, labels, names=["a", "b"])


def diffusion():
    model, _ = pretrained.load("diffusion")
    return widgets.diffusion_explorer(model, names=list("0123456789"), steps=4)


# What a press in the middle of each grip sets, in the order of the grips.
MIDDLES = {
    latent: [{"z1": 0.0, "z2": 0.0}],
    widgets.kl_explorer: [{"mean": 0.0, "log_var": -0.9}],  # the peak at 0.625
    widgets.elbo_gap_explorer: [{"mean": 0.0, "log_var": -1.4}],  # at 0.8
    widgets.transposed_explorer: [{"step": 2}, {"step": 4}],
    widgets.reparameterization_explorer: [*({"sample": i} for i in range(1, 6)), {"mean": 0.0}],
    blender: [{"t": 0.5}],
    mixer: [{"slant": 0.0}, {"thickness": 0.0}, {"width": 0.0}],
    anomaly: [None],
    training_pass: [{"epoch": 3}] * 2,
    classes: [{"label": 2}, {"label": 5}],
    two_generators: [{"angle": 180}] * 2,
    gpt: [{"cursor": 7}] * 2,
    codes: [{"row": 3, "column": 3}],
    diffusion: [{"done": 2}] * 2,
}


@pytest.fixture(scope="module")
def made():
    made = {}
    return lambda make: made[make] if make in made else made.setdefault(make, make())


def middle(grip):
    left, top, width, height = grip.box
    return left + width / 2, top + height / 2


@pytest.mark.parametrize("make", MIDDLES, ids=lambda make: make.__name__)
def test_a_press_in_the_middle_sets_what_belongs_there(make, made):
    explorer = made(make)
    assert len(explorer.grips()) == len(MIDDLES[make])
    for grip, expected in zip(explorer.grips(), MIDDLES[make]):
        assert expected is None or explorer.held(*middle(grip)) == pytest.approx(expected)
        explorer.press(*middle(grip))
        assert explorer.held(*middle(grip)).items() <= explorer.values.items()


@pytest.mark.parametrize("make", MIDDLES, ids=lambda make: make.__name__)
def test_a_press_at_the_rim_does_nothing(make, made):
    explorer = made(make)
    assert all(explorer.held(x, y) == {} for x in (0.001, 0.999) for y in (0.001, 0.999))


@pytest.mark.parametrize("make", MIDDLES, ids=lambda make: make.__name__)
def test_a_press_elsewhere_draws_another_picture(make, made):
    """Over all that can be held, a press moves at least one control, the picture and the words."""
    explorer = made(make)
    for left, top, width, height in [grip.box for grip in explorer.grips(**explorer.values)]:
        places = [(left + s * width, top + s * height) for s in (0.2, 0.8)]
        seen = []
        for place in places:
            explorer.press(*place)
            seen.append((explorer.values, explorer.image.value, explorer.status.value))
        if explorer.held(*places[0]) != explorer.held(*places[1]):
            assert all(one != other for one, other in zip(*seen))
    assert json.dumps([grip.box for grip in explorer.grips()])  # plain numbers


def test_the_threshold_goes_where_it_is_pressed(made):
    """The line's own place in the histogram, in black, is the place that was pressed."""
    import io

    from PIL import Image

    explorer = made(anomaly)
    left, top, width, height = explorer.grips()[0].box
    for share in (0.35, 0.5, 0.65):
        explorer.press(left + share * width, top + height / 2)
        shown = np.asarray(Image.open(io.BytesIO(explorer.image.value)).convert("L")).astype(int)
        rows = slice(int((top + 0.5 * height) * len(shown)), int((top + 0.9 * height) * len(shown)))
        begin = int(left * shown.shape[1]) + 4
        columns = shown[rows, begin : int((left + width) * shown.shape[1]) - 4].mean(axis=0)
        found = (begin + columns.argmin()) / shown.shape[1]
        assert found == pytest.approx(left + share * width, abs=0.03)


def test_the_peak_of_q_goes_where_it_is_pressed():
    explorer = widgets.kl_explorer()
    left, top, width, height = explorer.grips()[0].box
    explorer.press(left + 0.75 * width, top + 0.4 * height)  # at z = 3, density 0.75
    peak = math.exp(-0.5 * explorer.values["log_var"]) / math.sqrt(2 * math.pi)
    assert explorer.values["mean"] == 3.0 and peak == pytest.approx(0.75, abs=0.03)
