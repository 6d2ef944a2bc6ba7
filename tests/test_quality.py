"""Seconds to a quality: what counts as reached, and that each recipe is what its name says."""

import math
import statistics
from dataclasses import replace

import pytest
import torch
from torch import nn

from benchmarks import epoch, quality
from benchmarks.quality import CHANGES, OURS, RECIPES, TARGET, Recipe, by_fit, to_target
from notebook_code import FOLDER
from vae_course import data, training
from vae_course.admin.notebooks import read_notebook


@pytest.fixture(scope="module")
def few():
    images = data.load_images("mnist-5k")
    return images.train_images[:200], images.test_images[:50]


def log(*losses):
    return [{"epoch": n, "seconds": 10.0 * n, "loss": loss} for n, loss in enumerate(losses, 1)]


class TestToTarget:
    def test_a_constant_rate_stops_inside_an_epoch(self):
        epochs, seconds = to_target(log(120.0, TARGET + 3, TARGET - 1), whole=False)
        assert epochs == pytest.approx(2.75) and seconds == pytest.approx(27.5)

    def test_a_schedule_counts_whole(self):
        assert to_target(log(120.0, TARGET + 3, TARGET - 1), whole=True) == (3, 30)

    def test_met_exactly(self):
        assert to_target(log(120.0, TARGET), whole=False) == pytest.approx((2, 20))

    def test_the_first_epoch_counts_whole(self):
        assert to_target(log(TARGET - 1), whole=False) == (1, 10)

    def test_never(self):
        assert to_target(log(120.0, 110.0), whole=False) == (math.inf, math.inf)


def test_each_recipe_adds_one_change_to_the_one_before():
    names = list(RECIPES)
    assert RECIPES[names[0]] == Recipe()
    assert RECIPES[names[1]] == replace(Recipe(), bias=True, centred=True)
    one_rate, two_rates = RECIPES[names[2]], RECIPES[names[3]]
    for recipe in (one_rate, two_rates):
        assert replace(recipe, epochs=15, rate=1e-3, decoder=1.0) == replace(
            RECIPES[names[1]], batch_size=256, warm_up=0.05
        )
    assert one_rate.decoder == 1 and one_rate.rate < two_rates.decoder * two_rates.rate
    assert two_rates == replace(OURS, half=False)
    assert CHANGES["as chosen"] == {}
    assert all(replace(OURS, **change) != OURS for change in list(CHANGES.values())[1:])


@pytest.mark.parametrize("name", CHANGES)
def test_what_was_tried_trains(few, name):
    if CHANGES[name].get("muon") and not hasattr(torch.optim, "Muon"):
        pytest.skip("this torch has no Muon")
    recipe = replace(OURS, **{**CHANGES[name], "epochs": 2, "batch_size": 100})
    first, last = by_fit(recipe, *few, 0)
    assert last["seconds"] > first["seconds"] > 0
    assert last["loss"] < 540  # a fair coin for each pixel: 543 nats


def test_the_decoder_starts_at_the_average_digit(few):
    images, judged = few
    model = quality.prepared(Recipe(bias=True), images, 0)
    shown = torch.sigmoid(model.decoder[-2].bias)
    average = images.mean(dim=0).flatten()
    assert torch.allclose(shown, average.clamp(1e-3, 1 - 1e-3), atol=1e-5)


def test_what_notebook_05_shows_is_the_recipe(few):
    """Its folded code, run: every weight as after the recipe of the fourth row, to the last bit."""
    (code,) = (
        part.split("```")[0]
        for cell in read_notebook(FOLDER / "05_vae_training.ipynb")["cells"]
        for part in cell["source"].split("```python\n")[1:]
        if "OneCycleLR" in part
    )
    images, judged = few
    model = epoch.new_model("vae", 0)
    known = {"images": images, "model": model, "loss": epoch.course_loss, "nn": nn,
             "torch": torch, "math": math, "training": training}  # fmt: skip
    torch.manual_seed(1)
    exec(code, known)
    recipe = RECIPES["+ encoder 0.008, decoder 0.032"]
    found = training.evaluate(model, epoch.course_loss, judged, seed=0)["loss"]
    assert found == by_fit(recipe, images, judged, 0)[-1]["loss"]


def test_the_clock_leaves_a_measurement_out():
    clock = quality.Clock()

    def measurement():
        return sum(number * number for number in range(2_000_000)) and 7.0

    before = clock.seconds()
    assert clock.without(measurement) == 7.0
    assert clock.seconds() - before < 0.05


def test_stops_only_when_asked(few, monkeypatch):
    monkeypatch.setattr(quality, "TARGET", 1000.0)
    recipe = Recipe(epochs=3, batch_size=50)
    assert len(by_fit(recipe, *few, 0, stop=True)) == 1
    assert len(by_fit(recipe, *few, 0)) == 3


def test_the_stored_tables_hold_what_the_code_runs():
    table, tried = quality.read(quality.MEASURED), quality.read(quality.TRIED)
    assert list(dict.fromkeys(row["recipe"] for row in table)) == ["usual", *RECIPES]
    assert list(dict.fromkeys(row["change"] for row in tried)) == list(CHANGES)
    found = quality.reached(table)
    seconds = [row["seconds"] for row in found.values()]
    assert all(math.isfinite(number) for number in seconds)
    chosen = [row["validation_loss"] for row in tried if row["change"] == "as chosen"]
    assert statistics.mean(chosen) < 108


def test_a_running_average_forgets_where_it_began():
    average = quality.running_average(0.998)
    kept = torch.tensor(1000.0)
    for count in range(1, 940):
        kept = average(kept, torch.tensor(0.0), torch.tensor(count))
    assert abs(kept) < 1e-3


def test_the_epoch_by_hand_is_the_epoch(few):
    """One batch, so one step: the loss and Adam's step, which is the sign of each gradient."""
    images = few[0][:50]
    loss = {}
    by_hand, by_autograd = (epoch.new_model("vae", 0) for _ in range(2))
    loss["by hand"] = epoch.epoch_by_hand(by_hand, images, batch_size=50, seed=3)
    torch.manual_seed(3)
    image = images[torch.randperm(50)]
    adam = torch.optim.Adam(by_autograd.parameters(), lr=epoch.LEARNING_RATE)
    loss["by autograd"] = epoch.course_loss(by_autograd, image)
    loss["by autograd"].backward()
    adam.step()
    assert loss["by hand"] == pytest.approx(loss["by autograd"].item(), rel=1e-5)
    for mine, right in zip(by_hand.parameters(), by_autograd.parameters(), strict=True):
        assert (mine - right).abs().quantile(0.999) < 1e-5
