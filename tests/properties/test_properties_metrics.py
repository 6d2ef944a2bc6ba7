"""Metrics against definitions written as plain loops; what can't be measured is refused."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from property_tools import (
    EXAMPLES,
    NOT_COUNTS,
    WHOLE,
    Covers,
    agree,
    call,
    dtypes,
    laid_out,
    layouts,
    ones,
    refused,
    refuses_in_place_of,
    seeds,
    sizes,
    strange,
    tensors,
)
from torch.distributions import Normal, kl_divergence

from torch_tools import seeded
from vae_course import metrics, models

covers = Covers(metrics)
few = settings(max_examples=max(EXAMPLES // 3, 1))
counts = st.integers(2, 8)
NOT_SEEDS = [None, "0", 1.5, 2**70]


def pictures(count, seed=0, dtype=torch.float32):
    """Blobs of other places and sizes, all different."""
    x = torch.rand(count, 3, generator=seeded(seed)) * 10 + 9
    axis = torch.arange(28.0)
    square = (axis - x[:, :1]).square()[:, None] + (axis - x[:, 1:2]).square()[:, :, None]
    return (-square / x[:, 2, None, None]).exp()[:, None].to(dtype)


BAD_PICTURES = [None, [[0.5]], "text", np.full((3, 1, 28, 28), 0.5), ones(()), ones((28, 28)),
                ones((3, 28, 28)), ones((3, 3, 28, 28)), ones((0, 1, 28, 28)), ones((3, 1, 27, 28)),
                2 * ones((3, 1, 28, 28)), -ones((3, 1, 28, 28)), math.nan * ones((3, 1, 28, 28)),
                *(ones((3, 1, 28, 28), dtype) for dtype in WHOLE)]  # fmt: skip
BAD_FEATURES = [ones((3, 0)), ones((0, 4)), math.nan * ones((3, 4)), math.inf * ones((3, 4)),
                ones((3, 784)), *(ones((3, 4), dtype) for dtype in WHOLE)]  # fmt: skip


# ----------------------------------------------------------------------------------- features


@covers("digit_features", "classify", "class_histogram", "ClassHistogram", "sharpness")
@few
@given(st.integers(1, 4), dtypes, layouts, st.integers(1, 5), seeds)
def test_each_picture_is_measured_for_itself(count, dtype, layout, batch_size, seed):
    images = laid_out(pictures(count, seed, dtype), layout, requires_grad=seed % 2 == 0)
    features = call(metrics.digit_features, images, batch_size=batch_size)
    probs = call(metrics.classify, images, batch_size=batch_size)
    sharp = call(metrics.sharpness, images)
    assert features.shape == (count, 64) and (features >= 0).all()
    assert probs.shape == (count, 10)
    agree(probs.sum(dim=1), ones(count))
    assert call(metrics.class_histogram, images).label.tolist() == probs.argmax(1).tolist()
    for found in (features, probs, sharp):
        assert not found.requires_grad and found.dtype in (torch.float32, dtype)
    for row in range(count):
        alone = images[row : row + 1]
        agree(metrics.digit_features(alone)[0], features[row], terms=features[row] + 10, slack=50)
        picture = alone[0, 0].detach().double()
        around = picture[:-2, 1:-1] + picture[2:, 1:-1] + picture[1:-1, :-2] + picture[1:-1, 2:]
        exact = (around - 4 * picture[1:-1, 1:-1]).var()
        agree(sharp[row], exact, terms=exact + 1e-2, slack=100)


@pytest.mark.parametrize("name", ["digit_features", "classify", "class_histogram", "sharpness"])
def test_what_is_no_picture_is_refused(name):
    function = getattr(metrics, name)
    for wrong in BAD_PICTURES:
        refused(function, wrong, words="images")
    if name in ("digit_features", "classify"):
        for wrong in NOT_COUNTS:
            refused(function, pictures(2), batch_size=wrong, words="batch_size")


@given(st.lists(st.integers(0, 9), min_size=1, max_size=30))
def test_histogram_counts_and_its_entropy(labels):
    histogram = metrics.ClassHistogram(torch.tensor(labels))
    assert histogram.counts.tolist() == [labels.count(digit) for digit in range(10)]
    shares = [labels.count(digit) / len(labels) for digit in set(labels)]
    assert histogram.entropy == pytest.approx(-sum(p * math.log(p) for p in shares), abs=1e-12)
    assert histogram.shares.sum().item() == pytest.approx(1)


# -------------------------------------------------------------------------------------- Fréchet


def frechet(first, second):
    """In float64, by NumPy's eigenvalues."""
    first, second = (rows.detach().double().numpy() for rows in (first, second))
    covariances = [np.atleast_2d(np.cov(rows, rowvar=False)) for rows in (first, second)]
    eigenvalues = np.linalg.eigvals(covariances[0] @ covariances[1]).real.clip(min=0)
    shift = np.square(first.mean(axis=0) - second.mean(axis=0)).sum()
    return shift + sum(map(np.trace, covariances)) - 2 * np.sqrt(eigenvalues).sum()


@covers("frechet_distance", "frechet_floor", "Frechet")
@few
@given(counts, counts, sizes, dtypes, st.sampled_from([0.0, 1.0, 1e4]), seeds)
def test_frechet_distance_is_the_formula(some, others, width, dtype, far, seed):
    real = torch.randn(some + 10, width, generator=seeded(seed)).to(dtype) + far
    generated = 2 * torch.randn(others, width, generator=seeded(seed + 1)).to(dtype) + far
    held_out = torch.randn(others, width, generator=seeded(seed + 2)).to(dtype) + far
    found = call(metrics.frechet_distance, real, generated, held_out=held_out)
    size = 1 + frechet(real - far, 0 * generated)
    assert found.distance == pytest.approx(frechet(real, generated), abs=1e-5 * size)
    assert found.floor == pytest.approx(frechet(real, held_out), abs=1e-5 * size)
    assert call(metrics.frechet_floor, real, others, held_out=held_out) == found.floor
    assert (found.count, found.reference) == (others, some + 10)
    twice = metrics.frechet_distance(real, real, held_out=real).distance
    assert twice == pytest.approx(0, abs=1e-5 * size)


def test_distances_that_cannot_be_measured_are_refused():
    rows = torch.randn(9, 3, generator=seeded())
    for wrong in [*BAD_PICTURES, *BAD_FEATURES, ones((3, 2))]:
        refused(metrics.frechet_distance, wrong, rows[:4], held_out=rows)
        refused(metrics.frechet_distance, rows, wrong, held_out=rows)
        if wrong is not None:  # None: no held-out digits, they are split off
            refused(metrics.frechet_distance, rows, rows[:4], held_out=wrong)
    for wrong in (0, 1, 2.5, None, "3", True, math.nan):
        refused(metrics.frechet_floor, rows, wrong, words="count")
    for wrong in NOT_COUNTS:
        refused(metrics.frechet_floor, rows, 3, repeats=wrong, words="repeats")
    for wrong in NOT_SEEDS:
        refused(metrics.frechet_floor, rows, 3, seed=wrong, words="seed")
        refused(metrics.frechet_distance, rows, rows[:3], seed=wrong, words="seed")


# ----------------------------------------------------------------------------------- neighbours


@covers("precision_recall_density_coverage", "Neighbourhoods")
@given(counts, counts, sizes, dtypes, dtypes, st.integers(1, 9), st.data())
def test_neighbourhoods_are_their_definition(some, others, width, dtype, other, chunk, data):
    real, generated = (torch.randn(count, width, generator=seeded(data.draw(seeds)))
                       for count in (some, others))  # fmt: skip
    real, generated = real.to(dtype), generated.to(other)
    k = data.draw(st.integers(1, min(some, others) - 1))
    found = call(metrics.precision_recall_density_coverage, real, generated, k=k, chunk=chunk)
    real_rows, rows = real.double().tolist(), generated.double().tolist()

    def radii(points):
        return [sorted(math.dist(a, b) for b in points)[k] + 1e-6 for a in points]

    inside = [[math.dist(g, r) <= far for r, far in zip(real_rows, radii(real_rows))] for g in rows]
    near = [[math.dist(g, r) <= far for g, far in zip(rows, radii(rows))] for r in real_rows]
    assert found.in_real.tolist() == [any(row) for row in inside]
    assert found.in_generated.tolist() == [any(row) for row in near]
    assert found.covered.tolist() == [any(column) for column in zip(*inside)]
    assert found.density == pytest.approx(sum(map(sum, inside)) / (k * others), rel=1e-5)
    assert found.precision == pytest.approx(sum(map(any, inside)) / others)
    assert found.recall == pytest.approx(sum(map(any, near)) / some)
    assert found.coverage == pytest.approx(sum(map(any, zip(*inside))) / some)


def test_neighbourhoods_of_nothing_are_refused():
    rows = torch.randn(9, 3, generator=seeded())
    for wrong in [*BAD_PICTURES, *BAD_FEATURES, ones((9, 2))]:
        refuses_in_place_of(metrics.precision_recall_density_coverage, [rows, rows], wrong, "")
    for option in ("k", "chunk"):
        for wrong in NOT_COUNTS:
            refused(metrics.precision_recall_density_coverage, rows, rows, **{option: wrong})
    refused(metrics.precision_recall_density_coverage, rows, rows[:4], k=4, words="k")


@covers("expected_coverage")
@given(st.integers(1, 6), st.integers(1, 30), st.integers(1, 30))
def test_expected_coverage_is_a_chance(k, more, generated):
    """The k nearest of all others are drawn without looking: are they all real?"""
    real = k + more
    all_real = math.comb(real - 1, k) / math.comb(real - 1 + generated, k)
    found = metrics.expected_coverage(real, generated, k=k)
    assert found == pytest.approx(1 - all_real) and 0 <= found <= 1


def test_coverage_of_nothing_is_refused():
    for wrong in NOT_COUNTS:
        refused(metrics.expected_coverage, wrong, 5, words="real")
        refused(metrics.expected_coverage, 9, wrong, words="generated")
        refused(metrics.expected_coverage, 9, 5, k=wrong, words="k is|real is")
    refused(metrics.expected_coverage, 5, 9, k=5, words="real is 5")


@covers("memorisation", "Memorisation")
@few
@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 5), dtypes, st.integers(1, 6), seeds)
def test_memorisation_measures_distances_in_pixels(some, held, count, dtype, chunk, seed):
    sets = [pictures(n, seed + i, dtype) for i, n in enumerate((some, held, count))]
    found = call(metrics.memorisation, *sets, chunk=chunk)
    generated, held_out, training = (s.double().flatten(1).tolist() for s in sets)
    table = [[math.dist(g, t) for t in training] for g in generated]
    assert found.distance.tolist() == pytest.approx([min(row) for row in table], rel=1e-4, abs=1e-6)
    near = [[math.dist(h, t) for t in training] for h in held_out]
    exact = [min(row) for row in near]
    assert found.held_out_distance.tolist() == pytest.approx(exact, rel=1e-4, abs=1e-6)
    assert found.expected_from_training == count / (count + held)
    for row, which in zip(table, found.nearest.tolist()):
        assert row[which] == pytest.approx(min(row), rel=1e-4, abs=1e-6)
    assert 0 <= found.auc <= 1 and 0 <= found.copies <= 1 and found.excess <= 1 + 1e-6


def test_memorisation_refuses_other_things():
    good = [pictures(3, seed) for seed in range(3)]
    for wrong in BAD_PICTURES:
        refuses_in_place_of(metrics.memorisation, good, wrong, "generated|held_out|training")
    for wrong in NOT_COUNTS:
        refused(metrics.memorisation, *good, chunk=wrong, words="chunk")


# ----------------------------------------------------------------------------------- intervals


@covers("bootstrap_interval", "Estimate")
@few
@given(counts, dtypes | st.sampled_from(WHOLE), st.floats(0.05, 0.99), seeds, st.booleans())
def test_interval_lies_within_the_values(count, dtype, level, seed, centred):
    values = (3 * torch.rand(count, generator=seeded(seed))).to(dtype)
    options = {"level": level, "resamples": 30, "seed": seed}
    low, high = call(metrics.bootstrap_interval, values, **options)
    assert values.double().min() - 1e-9 <= low <= high <= values.double().max() + 1e-9
    assert metrics.bootstrap_interval(values, **options) == (low, high)
    pair = (values, values.double())
    low, high = call(metrics.bootstrap_interval, pair, lambda a, b: len(a) - len(b), **options,
                     centred=centred)  # fmt: skip
    assert low == high == 0


def test_intervals_that_cannot_be_drawn_are_refused():
    values = torch.arange(5.0)
    for wrong in (None, [1.0, 2.0], "text", np.arange(5.0), (), (values, None), ones(()), ones(1),
                  (values, ones(1)), ones(4, torch.complex64)):  # fmt: skip
        refused(metrics.bootstrap_interval, wrong, words="value")
    refused(metrics.bootstrap_interval, (values, values), words="2 sets")
    for wrong in (0, 1, 95, -0.5, math.nan, None, "0.95"):
        refused(metrics.bootstrap_interval, values, level=wrong, words="level")
    for wrong in (0, 19, 25.5, None, "30", math.nan):
        refused(metrics.bootstrap_interval, values, resamples=wrong, words="resamples")
    for wrong in NOT_SEEDS:
        refused(metrics.bootstrap_interval, values, seed=wrong, words="seed")
    refused(metrics.bootstrap_interval, values, "mean", words="str")
    refused(metrics.bootstrap_interval, values, lambda rows: None, words="None")


@covers("sample_report")
def test_report_gathers_the_single_numbers_and_refuses_what_they_refuse():
    generated, real, training = pictures(12), pictures(14, 1), pictures(16, 2)
    report = call(metrics.sample_report, generated, real, training, k=2, resamples=20)
    assert all(estimate.low <= estimate.high for estimate in report.values())
    distance = metrics.frechet_distance(training, generated, held_out=real)
    assert report["frechet_distance"].value == distance.distance
    near = metrics.memorisation(generated, real, training)
    assert report["memorisation_auc"].value == near.auc
    sharp = metrics.sharpness(generated).mean() / metrics.sharpness(real).mean()
    assert report["sharpness"].value == pytest.approx(sharp.item(), rel=1e-5)
    for wrong in BAD_PICTURES:
        refuses_in_place_of(metrics.sample_report, [generated, real, training], wrong,
                            "generated|real|training")  # fmt: skip
    refused(metrics.sample_report, generated, real[:11], training, words="real")
    for wrong in NOT_SEEDS:
        refused(metrics.sample_report, generated, real, training, seed=wrong, words="seed")


# ---------------------------------------------------------------------------------- likelihood


def small_vae(classes=None):
    torch.manual_seed(3)
    if classes:
        return models.ConditionalVAE.dense(2, classes=classes, hidden=3)
    return models.VAE.dense(2, hidden=3)


@covers("elbo", "Elbo", "latent_codes", "importance_bound")
@few
@given(
    st.integers(1, 5), dtypes, layouts, st.integers(1, 6), st.integers(1, 3), seeds, st.booleans()
)
def test_bounds_are_there_for_each_image(count, dtype, layout, batch, samples, seed, labelled):
    images = laid_out(pictures(count, seed, dtype), layout, requires_grad=seed % 2 == 0)
    vae = small_vae(3 if labelled else None)
    labels = {"labels": torch.arange(count) % 3} if labelled else {}
    found = call(metrics.elbo, vae, images, samples=samples, seed=seed, batch_size=batch, **labels)
    mean, log_var = call(metrics.latent_codes, vae, images, batch_size=batch)
    prior = Normal(torch.zeros(()).double(), 1.0)
    kl = kl_divergence(Normal(mean.double(), (0.5 * log_var.double()).exp()), prior).sum(dim=1)
    agree(found.kl, kl, terms=kl + 5, slack=50)
    assert torch.equal(found.total, found.reconstruction + found.kl)
    bound = call(metrics.importance_bound, vae, images, samples=samples, seed=seed, rows=batch,
                 **labels)  # fmt: skip
    for each in (found.total, bound, mean[:, 0]):
        assert each.shape == (count,) and each.isfinite().all() and not each.requires_grad
    again = metrics.importance_bound(vae, images, samples=samples, seed=seed, rows=batch, **labels)
    assert torch.equal(bound, again) and all(p.grad is None for p in vae.parameters())


def test_bounds_refuse_what_is_no_image_model_or_label():
    vae, images = small_vae(), pictures(3)
    bounds = [lambda *args, **options: metrics.importance_bound(*args, **{"samples": 2} | options),
              metrics.elbo]  # fmt: skip
    for function in [*bounds, metrics.latent_codes]:
        for wrong in (None, "model", torch.nn.Linear, torch.nn.Linear(784, 2), 3,
                      models.DenseAutoencoder(2)):  # fmt: skip
            refused(function, wrong, images, words="model")
        others = [ones(()), ones((0, 1, 28, 28)), *(ones((3, 1, 28, 28), dtype) for dtype in WHOLE)]
        for wrong in (None, [[0.5]], "text", np.ones((3, 1, 28, 28)), *others):
            refused(function, vae, wrong, words="images|image")
    for function in bounds:
        for wrong in (2 * ones((3, 1, 28, 28)), math.nan * ones((3, 1, 28, 28))):
            refused(function, vae, wrong, words=r"\[0, 1\]")
        for wrong in (None, [0, 1, 2], ones(3), ones(3, torch.bool), torch.arange(4),
                      torch.arange(3) + 1, torch.arange(3)[:, None], torch.tensor(1)):  # fmt: skip
            refused(function, small_vae(3), images, labels=wrong, words="label")
        refused(function, vae, images, labels=torch.arange(3), words="knows no labels")
        for wrong in NOT_SEEDS:
            refused(function, vae, images, seed=wrong, words="seed")
        for wrong in NOT_COUNTS:
            refused(function, vae, images, samples=wrong, words="samples")
    for wrong in NOT_COUNTS:
        refused(metrics.elbo, vae, images, batch_size=wrong, words="batch_size")
        refused(metrics.latent_codes, vae, images, batch_size=wrong, words="batch_size")
        refused(metrics.importance_bound, vae, images, samples=2, rows=wrong, words="rows")


# ----------------------------------------------------------------------------------- the codes


@covers("active_units", "aggregate_posterior", "AggregatePosterior")
@given(counts, sizes, dtypes, st.floats(0.001, 2), st.data())
def test_codes_are_summed_up_as_by_hand(count, latent, dtype, threshold, data):
    mean = data.draw(tensors((count, latent), dtype=dtype))
    log_var = data.draw(tensors((count, latent), dtype=dtype))
    active = call(metrics.active_units, mean, threshold=threshold)
    found = call(metrics.aggregate_posterior, mean, log_var)
    eps = torch.finfo(dtype).eps
    for unit in range(latent):
        means, variances = mean[:, unit].double(), log_var[:, unit].double().exp()
        spread = sum((means - sum(means) / count) ** 2)
        if abs(spread / (count - 1) - threshold) > 200 * eps:
            assert active[unit] == (spread / (count - 1) > threshold)
        variance = sum(variances) / count + spread / count
        size = 1 + variance.detach().abs() + means.abs().max().detach() ** 2
        agree(found.mean[unit], sum(means) / count, terms=size)
        if latent and 100 * eps * size < variance:
            agree(found.std[unit], variance.sqrt(), terms=size / variance.sqrt().detach())
            gauss = Normal(sum(means) / count, variance.sqrt())
            exact = kl_divergence(gauss, Normal(torch.zeros(()).double(), 1.0))
            agree(found.kl_to_prior[unit], exact, terms=size + size / variance.detach(), slack=50)
    assert active.shape == found.std.shape == (latent,) and active.dtype == torch.bool


@covers("mean_with_error")
@given(st.integers(2, 9), dtypes | st.sampled_from(WHOLE), st.data())
def test_mean_and_its_error(count, dtype, data):
    values = data.draw(tensors((count,), dtype=torch.float64, low=0, high=100)).detach().to(dtype)
    numbers = values.double().tolist()
    mean, error = call(metrics.mean_with_error, values)
    exact = math.fsum(numbers) / count
    spread = math.sqrt(math.fsum((x - exact) ** 2 for x in numbers) / (count - 1))
    assert mean == pytest.approx(exact, rel=1e-12)
    assert error == pytest.approx(spread / math.sqrt(count), rel=1e-9, abs=1e-12)


CODES = {"active_units": 1, "aggregate_posterior": 2}


@pytest.mark.parametrize("name", CODES)
@strange
def test_codes_name_what_is_no_tensor(name, wrong, words):
    refuses_in_place_of(getattr(metrics, name), [ones((3, 2))] * CODES[name], wrong, words)


def test_codes_of_other_shapes_and_dtypes_are_refused():
    for name, count in CODES.items():
        shapes = [ones(shape) for shape in ((), (3,), (1, 2), (3, 2, 1))]
        for wrong in [*shapes, *(ones((3, 2), dtype) for dtype in WHOLE)]:
            refuses_in_place_of(
                getattr(metrics, name), [ones((3, 2))] * count, wrong, "mean|log_var"
            )
    refused(metrics.aggregate_posterior, ones((3, 2)), ones((3, 1)), words="differ")
    for wrong in (math.nan, math.inf, None, "1", [1.0]):
        refused(metrics.active_units, ones((3, 2)), threshold=wrong, words="threshold")
    for wrong in (None, [1.0, 2.0], "text", np.ones(3), ones(()), ones(1), ones((3, 2)),
                  ones(3, torch.complex64)):  # fmt: skip
        refused(metrics.mean_with_error, wrong, words="values")


def test_every_public_function_has_a_property_test():
    covers.check()
