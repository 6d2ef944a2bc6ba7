"""The GAN's functions against plain loops; what does not fit is refused before anything learns."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from property_tools import (
    NOT_COUNTS,
    WHOLE,
    Covers,
    agree,
    call,
    dtypes,
    ones,
    refused,
    refuses_in_place_of,
    seeds,
    sizes,
    strange,
    tensors,
)  # fmt: skip
from torch import nn

from torch_tools import seeded, weights
from vae_course import gan, models

covers = Covers(gan)
counts = st.integers(1, 6)
NOT_NUMBERS = [-1.0, math.nan, math.inf, None, "1", [1.0]]


def log_sigmoid(x):
    """log(1 / (1 + exp(−x))) for one float, exact wherever x lies."""
    return -math.log1p(math.exp(-x)) if x > 0 else x - math.log1p(math.exp(x))


# ------------------------------------------------------------------------------------- losses


@covers("discriminator_loss", "generator_loss", "saturating_generator_loss")
@given(st.data(), dtypes, counts, counts)
def test_losses_are_means_of_log_probabilities(data, dtype, some, others):
    shape = data.draw(st.sampled_from([(some,), (some, 1), ()]))
    real = data.draw(tensors(shape, dtype=dtype, low=-60.0, high=60.0))
    fake = data.draw(tensors((others,), dtype=dtype, low=-60.0, high=60.0))
    real_logits, fake_logits = (t.detach().double().flatten().tolist() for t in (real, fake))
    of_real = -sum(map(log_sigmoid, real_logits)) / len(real_logits)
    taken_for_fake = -sum(log_sigmoid(-x) for x in fake_logits) / others
    taken_for_real = -sum(map(log_sigmoid, fake_logits)) / others
    size = torch.tensor(max(map(abs, real_logits + fake_logits)) + 1.0, dtype=torch.float64)
    for found, expected in (
        (call(gan.discriminator_loss, real, fake), of_real + taken_for_fake),
        (call(gan.generator_loss, fake), taken_for_real),
        (call(gan.saturating_generator_loss, fake), -taken_for_fake),
    ):
        # softplus is taken to be the identity from 20 on, where the two differ by exp(−20)
        assert abs(found.item() - expected) < 16 * torch.finfo(dtype).eps * size + 1e-8


LOSSES = {"discriminator_loss": 2, "generator_loss": 1, "saturating_generator_loss": 1}
every_loss = pytest.mark.parametrize("name", LOSSES)


@every_loss
@strange
def test_losses_name_what_is_no_tensor(name, wrong, words):
    refuses_in_place_of(getattr(gan, name), [ones(3)] * LOSSES[name], wrong, words)


@every_loss
def test_losses_of_nothing_and_of_other_dtypes_are_refused(name):
    function, count = getattr(gan, name), LOSSES[name]
    refuses_in_place_of(function, [ones(3)] * count, ones((0,)), r"\(0,\)")
    for dtype in WHOLE:
        refuses_in_place_of(function, [ones(3)] * count, ones(3, dtype), str(dtype))


@every_loss
@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_broken_logits_break_the_loss_or_cost_nothing(name, wrong):
    """NaN stays NaN. An infinite logit is a sure judge: right it costs 0, wrong infinitely much."""
    for place in range(LOSSES[name]):
        logits = [torch.zeros(2) for _ in range(LOSSES[name])]
        logits[place][0] = wrong
        value = getattr(gan, name)(*logits).item()
        assert math.isnan(value) == math.isnan(wrong)
        assert math.isnan(value) or abs(value) in (math.inf, pytest.approx(0.5 * math.log(2)),
                                                   pytest.approx(1.5 * math.log(2)))  # fmt: skip


# ------------------------------------------------------------------------------------ penalty


@covers("r1_penalty")
@given(st.data(), counts)
def test_penalty_is_half_the_squared_slope(data, count):
    shape = data.draw(st.lists(sizes, min_size=1, max_size=3).map(tuple))
    real = data.draw(tensors((count, *shape)))
    torch.manual_seed(data.draw(seeds))
    slopes = torch.randn(shape)
    shaped = data.draw(st.sampled_from([(-1,), (-1, 1)]))

    def judge(x):
        return (x.square() * slopes).flatten(1).sum(1).view(shaped)

    found = call(gan.r1_penalty, judge, real)
    exact = 0.5 * sum((2 * row.double() * slopes).square().sum() for row in real) / count
    agree(found, exact.detach(), slack=100)


@strange
def test_penalty_names_what_is_no_tensor(wrong, words):
    refused(gan.r1_penalty, lambda x: x.sum(1), wrong, words=words)


def test_penalty_needs_a_gradient_and_one_logit_an_image():
    def judge(x):
        return x.flatten(1).sum(1)

    for images in (ones((0, 2)), ones((3,)), ones(()), ones((3, 2), torch.int64)):
        refused(gan.r1_penalty, judge, images)
    refused(gan.r1_penalty, lambda x: judge(x).mean(), ones((3, 2)), words="one logit an image")
    refused(gan.r1_penalty, lambda x: judge(x).detach(), ones((3, 2)), words="with a gradient")
    with torch.no_grad():
        refused(gan.r1_penalty, judge, ones((3, 2)), words="no_grad")
    refused(gan.r1_penalty, None, ones((3, 2)), words="NoneType")


# -------------------------------------------------------------------------------------- steps


def players(latent_dim=3):
    torch.manual_seed(0)
    generator, judge = gan.point_generator(latent_dim, hidden=4), gan.point_discriminator(hidden=4)
    rates = {"lr": 0.1}
    optimizers = [torch.optim.SGD(net.parameters(), **rates) for net in (generator, judge)]
    return generator, judge, *optimizers


@covers("discriminator_step", "generator_step")
@given(st.data(), counts, counts, st.sampled_from([0.0, 0.5]))
def test_steps_report_the_loss_before_and_change_one_player(data, some, others, r1):
    generator, judge, for_generator, for_judge = players()
    real, latent = data.draw(tensors((some, 2))).detach(), data.draw(tensors((others, 3)))
    before = weights(generator), weights(judge)
    expected = gan.discriminator_loss(judge(real), judge(generator(latent))).item()
    loss = call(gan.discriminator_step, generator, judge, for_judge, real, latent.detach(), r1=r1)
    assert loss == pytest.approx(expected, rel=1e-5)
    assert torch.equal(weights(generator), before[0]) and weights(judge).isfinite().all()
    before = weights(judge)
    expected = gan.generator_loss(judge(generator(latent))).item()
    loss = call(gan.generator_step, generator, judge, for_generator, latent.detach())
    assert loss == pytest.approx(expected, rel=1e-5)
    assert torch.equal(weights(judge), before)


BAD_BATCHES = [None, [[0.0, 0.0]], np.zeros((3, 2)), "text", ones(()), ones((3,)), ones((0, 2)),
               ones((3, 2), torch.int64), ones((3, 2), torch.bool), ones((3, 5))]  # fmt: skip


def test_steps_refuse_before_they_change_anything():
    generator, judge, for_generator, for_judge = players()
    before = weights(generator), weights(judge)
    good = [generator, judge, for_judge, ones((3, 2)), ones((3, 3))]
    for wrong in BAD_BATCHES:
        refused(gan.discriminator_step, *good[:3], wrong, good[4])
    for wrong in BAD_BATCHES[:-1]:
        refused(gan.discriminator_step, *good[:4], wrong)
        refused(gan.generator_step, generator, judge, for_generator, wrong)
    for place in range(3):
        for wrong in (None, "network", 3, torch.nn.Linear):
            refused(gan.discriminator_step, *good[:place], wrong, *good[place + 1 :])
            other = [generator, judge, for_generator, good[4]]
            refused(gan.generator_step, *other[:place], wrong, *other[place + 1 :])
    for r1 in NOT_NUMBERS:
        refused(gan.discriminator_step, *good, r1=r1, words="r1")
    # The optimizer of the other player would let the wrong one learn, and this one never.
    refused(gan.discriminator_step, generator, judge, for_generator, *good[3:], words="optimizer")
    refused(gan.generator_step, generator, judge, for_judge, good[4], words="optimizer")
    double = ones((3, 2), torch.float64)
    refused(gan.discriminator_step, *good[:3], double, good[4], words="float64")
    assert torch.equal(weights(generator), before[0]) and torch.equal(weights(judge), before[1])


# ------------------------------------------------------------------------------------ fit_gan


@covers("fit_gan", "weight_average", "mean_probabilities")
@given(counts, st.integers(1, 7), st.integers(1, 2), seeds)
def test_a_short_game_leaves_finite_networks_and_one_row_an_epoch(count, batch_size, epochs, seed):
    generator, judge, *_ = players()
    points = gan.ring_of_gaussians(count, generator=seeded(seed))
    history = call(gan.fit_gan, generator, judge, points, epochs=epochs, latent_dim=3,
                   batch_size=batch_size, seed=seed, r1=0.5, average=0.5)  # fmt: skip
    assert [row["epoch"] for row in history.rows] == list(range(1, epochs + 1))
    assert all(math.isfinite(value) for row in history.rows for value in row.values())
    assert weights(generator).isfinite().all() and weights(judge).isfinite().all()


BAD_SETTINGS = {
    "epochs": NOT_COUNTS, "batch_size": NOT_COUNTS, "latent_dim": [0, -1, 2.5, "3", True],
    "learning_rate": [0, *NOT_NUMBERS], "discriminator_rate": [0, -1.0, math.nan, "1", [1.0]],
    "r1": NOT_NUMBERS, "average": [1.0, *NOT_NUMBERS], "seed": [None, "0", 1.5, 2**70, True],
}  # fmt: skip


@pytest.mark.parametrize("option", BAD_SETTINGS)
def test_games_that_cannot_be_played_are_refused(option):
    for wrong in BAD_SETTINGS[option]:
        generator, judge, *_ = players()
        before = weights(generator), weights(judge)
        options = {"epochs": 1, "latent_dim": 3, "progress": False} | {option: wrong}
        refused(gan.fit_gan, generator, judge, ones((4, 2)), **options)
        assert torch.equal(weights(generator), before[0])
        assert torch.equal(weights(judge), before[1])


def test_games_without_players_or_pictures_are_refused():
    generator, judge, *_ = players()
    options = {"epochs": 1, "latent_dim": 3, "progress": False}
    for wrong in [*BAD_BATCHES, ones((3, 2), torch.float64)]:
        refused(gan.fit_gan, generator, judge, wrong, **options)
    for wrong in (None, "network", nn.Linear, 3):
        refused(gan.fit_gan, wrong, judge, ones((4, 2)), **options)
        refused(gan.fit_gan, generator, wrong, ones((4, 2)), **options)


# ----------------------------------------------------------------------------------- networks


@covers("Generator", "conv_discriminator")
@given(st.integers(0, 3), st.integers(1, 5), st.booleans(), st.data())
def test_networks_for_images(count, latent_dim, spectral, data):
    generator = gan.Generator.conv(latent_dim, channels=1)
    latent = data.draw(tensors((count, latent_dim), low=-100.0, high=100.0))
    pixels = call(generator, latent)
    assert pixels.shape == (count, 1, 28, 28) and ((pixels >= 0) & (pixels <= 1)).all()
    assert torch.equal(call(generator.decode, latent), pixels)
    judge = gan.conv_discriminator(channels=1, spectral=spectral).eval()
    assert call(judge, pixels).shape == (count,)


def test_generator_refuses_what_are_no_latents():
    generator = gan.Generator.conv(3, channels=1)
    shapes = [ones(shape) for shape in ((), (3,), (2, 4), (2, 1, 3))]
    dtypes = [ones((2, 3), dtype) for dtype in (torch.int64, torch.float64)]
    for wrong in (None, [[0.0] * 3], np.zeros((1, 3)), "text", *shapes, *dtypes):
        refused(generator, wrong)
        refused(generator.decode, wrong)


@pytest.mark.parametrize("wrong", NOT_COUNTS)
def test_networks_of_no_size_are_refused(wrong):
    refused(gan.Generator.conv, wrong, words="latent_dim")
    refused(gan.Generator.conv, 3, channels=wrong, words="channels")
    refused(gan.Generator, models.conv_decoder(3), latent_dim=wrong, words="latent_dim")
    refused(gan.conv_discriminator, channels=wrong, words="channels")
    refused(gan.point_generator, wrong, words="latent_dim")
    refused(gan.point_generator, 3, hidden=wrong, words="hidden")
    refused(gan.point_discriminator, hidden=wrong, words="hidden")


@covers("point_generator", "point_discriminator")
@given(st.integers(0, 5), st.integers(1, 4), st.integers(1, 5), st.booleans(), st.data())
def test_networks_for_points(count, latent_dim, hidden, spectral, data):
    generator = gan.point_generator(latent_dim, hidden=hidden)
    points = call(generator, data.draw(tensors((count, latent_dim))))
    judge = gan.point_discriminator(hidden=hidden, spectral=spectral).eval()
    assert points.shape == (count, 2) and call(judge, points).shape == (count,)


# --------------------------------------------------------------------------------------- ring


@covers("ring_centers")
@given(st.integers(1, 50), st.floats(0, 100))
def test_centres_are_the_corners_of_a_polygon(modes, radius):
    found = call(gan.ring_centers, modes, radius=radius)
    angles = [2 * math.pi * mode / modes for mode in range(modes)]
    exact = [[radius * math.cos(angle), radius * math.sin(angle)] for angle in angles]
    assert (
        found.double() - torch.tensor(exact, dtype=torch.float64)
    ).abs().max() <= 1e-5 * radius + 1e-30


@covers("ring_of_gaussians")
@given(st.integers(1, 30), st.integers(1, 9), st.floats(0, 10), st.floats(0, 0.1), seeds)
def test_points_lie_around_their_centres(count, modes, radius, std, seed):
    options = {"modes": modes, "radius": radius, "std": std}
    points = call(gan.ring_of_gaussians, count, **options, generator=seeded(seed))
    again = gan.ring_of_gaussians(count, **options, generator=seeded(seed))
    assert points.shape == (count, 2) and torch.equal(points, again)
    distance = torch.cdist(points, gan.ring_centers(modes, radius=radius)).min(dim=1).values
    assert (distance <= 8 * std + 1e-2 * (radius + std) * (count > 25) + 1e-5 * radius + 1e-9).all()


def test_rings_that_do_not_exist_are_refused():
    for wrong in NOT_COUNTS:
        refused(gan.ring_centers, wrong, words="modes")
        refused(gan.ring_of_gaussians, wrong, words="count")
        refused(gan.ring_of_gaussians, 3, modes=wrong, words="modes")
    for wrong in NOT_NUMBERS:
        refused(gan.ring_centers, 3, radius=wrong, words="radius")
        refused(gan.ring_of_gaussians, 3, radius=wrong, words="radius")
        refused(gan.ring_of_gaussians, 3, std=wrong, words="std")
    refused(gan.ring_of_gaussians, 3, generator=5, words="generator")


@covers("modes_covered")
@given(st.data(), dtypes, dtypes, st.integers(0, 6), st.integers(0, 4), st.floats(0, 8))
def test_covered_centres_are_counted(data, dtype, other, count, modes, radius):
    samples = data.draw(tensors((count, 2), dtype=dtype))
    centers = data.draw(tensors((modes, 2), dtype=other))
    found = call(gan.modes_covered, samples, centers, radius)
    expected = {  # within a rounding error of the radius both answers are right
        sum(
            any(math.dist(s, c) <= radius + slip for s in samples.double().tolist())
            for c in centers.double().tolist()
        )
        for slip in (-1e-5, 0.0, 1e-5)
    }
    assert type(found) is int and min(expected) <= found <= max(expected)


@strange
def test_modes_covered_names_what_is_no_tensor(wrong, words):
    refuses_in_place_of(gan.modes_covered, [ones((3, 2)), ones((4, 2))], wrong, words, radius=1.0)


def test_modes_covered_refuses_other_shapes_and_radii():
    for wrong in (ones(()), ones((2,)), ones((3, 1)), ones((3, 3)), ones((1, 3, 2))):
        refuses_in_place_of(gan.modes_covered, [ones((3, 2)), ones((4, 2))], wrong,
                            "expected", radius=1.0)  # fmt: skip
        refused(gan.modes_covered, wrong, wrong, 1.0)
    for wrong in NOT_NUMBERS:
        refused(gan.modes_covered, ones((3, 2)), ones((4, 2)), wrong, words="radius")
    broken = torch.tensor([[math.nan, 0.0], [math.inf, 0.0]])
    assert gan.modes_covered(broken, ones((4, 2)), 5.0) == 0


def test_every_public_function_has_a_property_test():
    covers.check()
