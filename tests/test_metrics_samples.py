"""Sample metrics on cases whose answer is known; real digits are the bundled ones."""

import dataclasses
import itertools
import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from torch_tools import seeded, weights
from vae_course import metrics, pretrained
from vae_course.data import DataError, load_images, package_data
from vae_course.metrics import features, frechet, neighbours, train_features

COUNT = 500


def blurred(images, std=1.0):
    steps = torch.arange(-4.0, 5)
    kernel = torch.exp(-0.5 * (steps / std) ** 2)
    kernel = kernel / kernel.sum()
    images = F.conv2d(images, kernel.view(1, 1, 1, -1), padding=(0, 4))
    return F.conv2d(images, kernel.view(1, 1, -1, 1), padding=(4, 0)).clamp(0, 1)


def noisy(images, std, seed=0):
    return (images + std * torch.randn(images.shape, generator=seeded(seed))).clamp(0, 1)


@pytest.fixture(scope="module")
def digits():
    return load_images("mnist-5k")


@pytest.fixture(scope="module")
def cases(digits):
    """Each set holds COUNT pictures; `training` and `real` (held out) are disjoint from `fresh`."""
    fresh, training = digits.train_images[:COUNT], digits.train_images[COUNT:]
    labels = digits.train_labels
    mean_of_3 = training[labels[COUNT:] == 3].mean(dim=0, keepdim=True)
    return {
        "training": training,
        "real": digits.test_images,
        "fresh": fresh,
        "one class": training[labels[COUNT:] == 3][torch.arange(COUNT) % 350],
        "blurred": blurred(fresh),
        "mean with noise": noisy(mean_of_3.expand(COUNT, -1, -1, -1), 0.05),
        "copies": training[:COUNT],
    }


@pytest.fixture(scope="module")
def reports(cases):
    training, real = cases["training"], cases["real"]
    return {
        name: metrics.sample_report(images, real, training, resamples=40)
        for name, images in cases.items()
        if name not in ("training", "real")
    }


class TestKnownCases:
    """The five cases, each through the whole report."""

    def test_fresh_real_digits_look_real(self, reports):
        report = reports["fresh"]
        assert report["frechet_distance"].value < 2 * report["frechet_distance"].real
        for name in ("precision", "recall", "coverage"):
            assert report[name].value == pytest.approx(report[name].real, abs=0.04)
            assert report[name].value > 0.85
        assert report["density"].value == pytest.approx(1, abs=0.15)
        assert report["class_entropy"].value == pytest.approx(math.log(10), abs=0.01)
        assert report["sharpness"].value == pytest.approx(1, abs=0.05)
        assert 0.4 < report["memorisation_auc"].value < 0.6
        assert report["memorisation_copies"].value < 0.04
        assert abs(report["memorisation_excess"].value) < 0.2

    def test_one_class_is_precise_and_covers_nothing(self, reports):
        report = reports["one class"]
        assert report["precision"].value > 0.85
        assert report["recall"].value < 0.15 and report["coverage"].value < 0.15
        assert report["class_entropy"].value < 0.05
        assert report["frechet_distance"].value > 50 * report["frechet_distance"].real

    def test_blurred(self, reports, cases):
        report = reports["blurred"]
        assert report["sharpness"].high < 0.2
        assert report["frechet_distance"].low > 10 * report["frechet_distance"].real
        assert report["recall"].high < 0.3 and report["precision"].value > 0.85
        # Bland pictures are near to everything: nearer to the training set than new digits are,
        # but to the held-out set as well, so they are no copies.
        assert report["memorisation_auc"].low > 0.55
        assert abs(report["memorisation_excess"].value) < 0.2

    def test_mean_with_noise_fools_precision_alone(self, reports):
        report = reports["mean with noise"]
        assert report["precision"].value > 0.98
        assert report["recall"].value < 0.02 and report["coverage"].value < 0.03
        assert report["class_entropy"].value < 0.3
        assert report["frechet_distance"].value > 50 * report["frechet_distance"].real

    def test_mean_of_all_digits_fools_precision_in_pixels(self, cases):
        mean = cases["training"].mean(dim=0, keepdim=True).expand(COUNT, -1, -1, -1)
        real, generated = cases["real"][:COUNT], noisy(mean, 0.05)
        # Two by two pixels make 196 features: the pictures in a coarser grid.
        found = metrics.precision_recall_density_coverage(
            *(F.avg_pool2d(images, 2).flatten(1) for images in (real, generated))
        )
        assert found.precision == 1 and found.recall == 0 and found.density > 10
        found = metrics.precision_recall_density_coverage(real, generated)
        assert found.precision < 0.05  # the classifier's features are not taken in

    def test_copies_of_the_training_set_beat_all_but_the_memorisation_test(self, reports):
        report = reports["copies"]
        for name in ("precision", "recall", "coverage"):
            assert report[name].value > 0.85
        assert report["memorisation_auc"].value == 1
        assert report["memorisation_copies"].value == 1
        assert report["memorisation_excess"].value == pytest.approx(1)


class TestReport:
    def test_intervals_hold_their_values(self, reports):
        for name, report in reports.items():
            for key, (value, low, high, real) in report.items():
                assert low <= high and math.isfinite(real), (name, key)
                assert low - 1e-6 <= value <= high + 1e-6, (name, key)
            assert report["class_entropy"].high <= math.log(10)

    def test_same_seed_same_report_and_no_other_random_number_drawn(self, cases):
        given = cases["fresh"][:100], cases["real"][:150], cases["training"][:300]
        state = torch.get_rng_state()
        first = metrics.sample_report(*given, resamples=20, seed=3)
        assert torch.equal(state, torch.get_rng_state())
        torch.manual_seed(99)
        assert repr(first).count("\n") == 10 and "tensor" not in repr(first)  # a table
        assert metrics.sample_report(*given, resamples=20, seed=3) == first
        assert metrics.sample_report(*given, resamples=20, seed=4) != first

    def test_the_floor_is_that_of_as_many_real_digits(self, cases):
        fresh, real, training = cases["fresh"][:100], cases["real"][:150], cases["training"][:300]
        found = metrics.sample_report(fresh, real, training, resamples=20, seed=3)
        held_out, seen = metrics.digit_features(real), metrics.digit_features(training)
        floor = metrics.frechet_floor(seen, 100, held_out=held_out, seed=3)
        assert found["frechet_distance"].real == pytest.approx(floor, rel=1e-6)

    def test_too_few_real_digits(self, cases):
        fresh, real = cases["fresh"], cases["real"]
        with pytest.raises(ValueError, match="compare 400 samples"):
            metrics.sample_report(fresh, real[:400], cases["training"])
        with pytest.raises(ValueError, match="300 training pictures"):
            metrics.sample_report(fresh, real, cases["training"][:300])


class TestClassifier:
    def test_card_and_file(self):
        card = json.loads(package_data("pretrained/digit-features.json").read_text("utf-8"))
        path = package_data("pretrained/digit-features.safetensors")
        assert card["measured"]["test_accuracy"] >= 0.99
        assert path.stat().st_size == card["weights"]["bytes"] < 1e6
        assert "train_features" in card["command"] and card["protocol"]["seed"] == 0

    def test_names_digits_that_it_has_not_seen(self, digits):
        probs = metrics.classify(digits.test_images)
        right = probs.argmax(dim=1) == digits.test_labels
        assert right.double().mean() > 0.985
        torch.testing.assert_close(probs.sum(dim=1), torch.ones(1000))

    def test_batches_and_neighbours_do_not_matter(self, cases):
        images = cases["real"][:40]
        whole = metrics.digit_features(images)
        assert whole.shape == (40, 64) and not whole.requires_grad and whole.min() >= 0
        torch.testing.assert_close(metrics.digit_features(images, batch_size=7), whole)
        torch.testing.assert_close(metrics.digit_features(images.flip(0)), whole.flip(0))
        torch.testing.assert_close(metrics.digit_features(images.double()), whole)

    def test_features_are_the_layer_before_the_logits(self, cases):
        model = features._classifier()
        logits = model.to_logits(metrics.digit_features(cases["real"][:20]))
        torch.testing.assert_close(logits.softmax(1), metrics.classify(cases["real"][:20]))

    @pytest.mark.parametrize(
        "images, words",
        [
            (torch.zeros(3, 28, 28), r"shape \(3, 28, 28\); expected \(N, 1, 28, 28\)"),
            (torch.zeros(3, 784), "view"),
            (torch.zeros(3, 3, 28, 28), r"shape \(3, 3, 28, 28\)"),
            (torch.zeros(0, 1, 28, 28), r"shape \(0, 1, 28, 28\)"),
            (torch.zeros(2, 1, 28, 28, dtype=torch.uint8), "torch.uint8"),
            (np.zeros((2, 1, 28, 28)), "ndarray"),
            (torch.full((2, 1, 28, 28), -1.0), "tanh"),
            (torch.full((2, 1, 28, 28), 255.0), "divide bytes by 255"),
            (torch.full((2, 1, 28, 28), math.nan), "NaN"),
        ],
        ids=["no channel", "flat", "colour", "none", "bytes", "array", "tanh", "255", "NaN"],
    )
    def test_bad_pictures(self, images, words):
        good = torch.zeros(30, 1, 28, 28)
        for measure in (
            metrics.digit_features,
            metrics.classify,
            metrics.class_histogram,
            metrics.sharpness,
            lambda images: metrics.frechet_distance(images, good),
            lambda images: metrics.precision_recall_density_coverage(good, images),
            lambda images: metrics.memorisation(images, good, good),
        ):
            with pytest.raises((ValueError, TypeError), match=words):
                measure(images)

    def test_missing_weights(self, monkeypatch):
        def nothing(relative):
            raise DataError(f"The course has no file {relative}")

        monkeypatch.setattr(pretrained, "package_data", nothing)
        with pytest.raises(DataError, match="digit-features"):
            features._classifier.__wrapped__()


class TestTrainFeatures:
    def small(self, digits):
        parts = {name: getattr(digits, name)[:200] for name in ("train_images", "train_labels")}
        parts |= {name: getattr(digits, name)[:100] for name in ("test_images", "test_labels")}
        return dataclasses.replace(digits, **parts)

    def test_seed_decides_the_weights_and_they_load(self, digits, tmp_path):
        data, made = self.small(digits), []
        for seed in (5, 5, 6):
            settings = train_features.Settings(dataset="mnist-5k", epochs=2, seed=seed)
            made.append(train_features.train(settings, data, progress=False))
        first, again, other = map(weights, made)
        assert torch.equal(first, again) and not torch.equal(first, other)
        card = train_features.save(settings, data, made[2], tmp_path)
        loaded, again = pretrained.load(
            tmp_path / "digit-features.safetensors",
            lambda card: features.DigitClassifier(**card["architecture"]),
        )
        assert again == card
        accuracy = (loaded(data.test_images).argmax(1) == data.test_labels).double().mean()
        assert accuracy.item() == pytest.approx(card["measured"]["test_accuracy"], abs=1e-4)

    def test_jitter(self, cases):
        images = cases["real"][:5]
        still = train_features.jitter(images, shift=0, turn=0)
        torch.testing.assert_close(still, images, atol=1e-4, rtol=0)
        torch.manual_seed(0)
        moved = train_features.jitter(images, shift=2, turn=8)
        difference = (moved - images).abs().flatten(1).mean(dim=1)
        assert (difference > 0.01).all() and moved.max() <= 1 + 1e-5

    def test_digits_to_test_with_are_left_out(self, digits):
        data = self.small(digits)
        kept = train_features.leave_out(data, data.train_images[10:50])
        assert torch.equal(
            kept.train_images, torch.cat([data.train_images[:10], data.train_images[50:]])
        )
        assert len(kept.train_labels) == 160 and len(kept.test_images) == 100

    def test_command(self, digits, monkeypatch, tmp_path, capsys):
        small = self.small(digits)
        monkeypatch.setattr(train_features, "load_images", lambda name: small)
        arguments = ["--out", str(tmp_path), "--images-from", "mnist-5k", "--epochs", "1"]
        assert train_features.main(arguments) == 0
        assert "test accuracy" in capsys.readouterr().out
        assert (tmp_path / "digit-features.safetensors").is_file()

        def lost(name):
            raise DataError("no digits here")

        monkeypatch.setattr(train_features, "load_images", lost)
        assert train_features.main(arguments) == 2
        assert "no digits here" in capsys.readouterr().err


def with_moments(count, mean, factor, seed=0):
    """Rows whose mean and covariance (over count − 1) are exactly mean and factor · factorᵀ."""
    rows = torch.randn(count, len(mean), generator=seeded(seed), dtype=torch.float64)
    rows = rows - rows.mean(dim=0)
    whiten = torch.linalg.inv(torch.linalg.cholesky(rows.T @ rows / (count - 1)))
    return rows @ whiten.T @ factor.T + mean


class TestFrechet:
    zero, spread = torch.zeros(4, dtype=torch.float64), torch.tensor([1.0, 2.0, 0.5, 3.0]).double()

    def between(self, first, second):
        return frechet.distance_to(first)(second)

    def test_gaussians_with_diagonal_covariance(self):
        mean, other = self.zero + 1.5, torch.tensor([2.0, 2.0, 0.1, 1.0]).double()
        first = with_moments(50, self.zero, self.spread.diag())
        second = with_moments(80, mean, other.diag(), seed=1)
        exact = 4 * 1.5**2 + (self.spread - other).square().sum().item()
        assert self.between(first, second) == pytest.approx(exact, rel=1e-9)

    def test_gaussians_with_any_covariance(self):
        factors = [torch.randn(4, 4, generator=seeded(s), dtype=torch.float64) for s in (0, 1)]
        first, second = (with_moments(60, self.zero, factor) for factor in factors)
        # tr (C₁ C₂)^½ is the sum of the singular values of A₁ᵀ A₂, where C = A Aᵀ.
        nuclear = torch.linalg.svdvals(factors[0].T @ factors[1]).sum()
        exact = sum(factor.square().sum() for factor in factors) - 2 * nuclear
        assert self.between(first, second) == pytest.approx(exact.item(), rel=1e-8)
        assert self.between(second, first) == pytest.approx(exact.item(), rel=1e-8)

    def test_same_set_any_order(self):
        rows = torch.randn(70, 6, generator=seeded())
        assert self.between(rows, rows.flip(0)) == pytest.approx(0, abs=1e-6)
        assert self.between(rows[:3], rows[:3]) == pytest.approx(0, abs=1e-6)  # singular

    def test_turned_moved_and_scaled(self):
        first, second = torch.randn(2, 90, 5, generator=seeded(), dtype=torch.float64)
        second = second * 1.3 + 0.4
        turn = torch.linalg.qr(torch.randn(5, 5, generator=seeded(1), dtype=torch.float64)).Q
        distance = self.between(first, second)
        moved = self.between(first @ turn + 7, second @ turn + 7)
        assert moved == pytest.approx(distance, rel=1e-8)
        assert self.between(3 * first, 3 * second) == pytest.approx(9 * distance, rel=1e-8)

    def test_is_what_torchmetrics_says_with_our_classifier_as_extractor(self, cases):
        from torchmetrics.image.fid import FrechetInceptionDistance

        class Extractor(torch.nn.Module):
            num_features = 64

            def forward(self, images):
                return metrics.digit_features(images)

        real, generated = cases["real"], cases["blurred"]
        metric = FrechetInceptionDistance(feature=Extractor(), normalize=True)
        for batch in real.split(100):
            metric.update(batch, real=True)
        metric.update(generated, real=False)
        found = metrics.frechet_distance(real, generated)
        assert found.distance == pytest.approx(metric.compute().item(), rel=1e-4)
        assert (found.count, found.reference) == (COUNT, 1000)

    def test_the_floor_falls_with_the_count(self, cases):
        real = metrics.digit_features(cases["training"])
        held_out = metrics.digit_features(cases["real"])
        floors = [metrics.frechet_floor(real, n, held_out=held_out) for n in (100, 300, 1000)]
        assert floors[0] > 2 * floors[1] > 4 * floors[2] > 0
        split_off = metrics.frechet_floor(real, 300)
        assert split_off == pytest.approx(floors[1], rel=0.5)
        assert metrics.frechet_floor(real, 300) == split_off
        assert metrics.frechet_floor(real, 300, seed=1) != split_off

    def test_the_distance_comes_with_its_floor(self):
        real = torch.randn(300, 3, generator=seeded())
        held_out = torch.randn(80, 3, generator=seeded(1))
        found = metrics.frechet_distance(real, held_out, held_out=held_out)
        assert found.distance == found.floor > 0

    def test_far_from_zero_the_spread_is_not_lost(self):
        first, second = torch.randn(2, 60, 3, generator=seeded(), dtype=torch.float64)
        near = self.between(first, 2 * second)
        assert self.between(first + 1e7, 2 * second + 1e7) == pytest.approx(near, rel=1e-6)

    def test_what_is_split_off_is_compared_with_the_rest(self):
        rows = torch.randn(6, 2, generator=seeded(), dtype=torch.float64)
        halves = []
        for chosen in itertools.combinations(range(6), 3):
            others = [row for row in range(6) if row not in chosen]
            halves.append(self.between(rows[others], rows[list(chosen)]))
        for seed in range(3):
            floor = metrics.frechet_floor(rows, 3, repeats=1, seed=seed)
            assert min(abs(floor - distance) for distance in halves) < 1e-9

    def test_bad_sets(self):
        rows = torch.randn(100, 3)
        with pytest.raises(ValueError, match="split off 100 real digits, it needs 120"):
            metrics.frechet_distance(rows, rows[:60])
        with pytest.raises(ValueError, match="compare 50 pictures"):
            metrics.frechet_distance(rows, rows[:60], held_out=rows[:50])
        with pytest.raises(ValueError, match="as many columns"):
            metrics.frechet_distance(rows, rows[:20, :2])
        with pytest.raises(ValueError, match="at least 2 pictures"):
            metrics.frechet_distance(rows, rows[:1])
        with pytest.raises(ValueError, match="finite"):
            metrics.frechet_distance(rows / 0, rows[:20])
        with pytest.raises(ValueError, match="flat pictures"):
            metrics.frechet_distance(torch.rand(100, 784), rows)


class TestNeighbours:
    def by_definition(self, real, generated, k):
        def radius(rows):
            return [sorted(math.dist(a, b) for b in rows)[k] for a in rows]

        real, generated = real.tolist(), generated.tolist()
        real_radius, generated_radius = radius(real), radius(generated)
        inside = [[math.dist(g, r) <= b for r, b in zip(real, real_radius)] for g in generated]
        near = [
            any(math.dist(g, r) <= b for g, b in zip(generated, generated_radius)) for r in real
        ]
        count = len(generated)
        return (
            sum(map(any, inside)) / count,
            sum(near) / len(real),
            sum(map(sum, inside)) / (k * count),
            sum(map(any, zip(*inside))) / len(real),
        )

    def four(self, found):
        return found.precision, found.recall, found.density, found.coverage

    @pytest.mark.parametrize("k", [1, 3])
    def test_is_the_definition(self, k):
        real = torch.randn(40, 2, generator=seeded())
        generated = torch.randn(30, 2, generator=seeded(1)) * 0.7 + 1.8
        found = metrics.precision_recall_density_coverage(real, generated, k=k)
        expected = self.by_definition(real, generated, k)
        assert self.four(found) == pytest.approx(expected)
        assert 0 < found.precision < 1 and 0 < found.recall < 1

    def test_a_ball_holds_what_lies_on_its_edge(self):
        left, right = torch.tensor([[-1.0], [-9.0]]), torch.tensor([[0.0], [1.0]])
        found = metrics.precision_recall_density_coverage(left, right, k=1)
        assert found.in_generated.tolist() == [True, False]  # −1 is as far from 0 as 1 is
        found = metrics.precision_recall_density_coverage(right, left, k=1)
        assert found.in_real.tolist() == [True, False] and found.covered.tolist() == [True, False]

    def test_far_from_zero_the_distances_are_not_rounded(self):
        steps = torch.randint(0, 50, (2, 40, 3), generator=seeded()).float()
        near = metrics.precision_recall_density_coverage(*steps, k=2)
        far = metrics.precision_recall_density_coverage(*(steps + 2.0**20), k=2)
        assert self.four(near) == self.four(far)

    def test_chunks_do_not_matter(self):
        real, generated = torch.randn(2, 201, 8, generator=seeded())
        tables = [
            metrics.precision_recall_density_coverage(real, generated, chunk=chunk)
            for chunk in (1, 64, 500)
        ]
        for field in dataclasses.fields(neighbours.Neighbourhoods):
            first, *others = (getattr(table, field.name) for table in tables)
            assert all(torch.equal(first, other) for other in others), field.name

    def test_same_set_and_strangers(self):
        rows = torch.randn(100, 5, generator=seeded())
        same = metrics.precision_recall_density_coverage(rows, rows)
        assert (same.precision, same.recall, same.coverage) == (1, 1, 1)
        far = metrics.precision_recall_density_coverage(rows, rows + 100)
        assert self.four(far) == (0, 0, 0, 0)

    def test_turned_and_scaled(self):
        real, generated = torch.randn(2, 150, 4, generator=seeded(), dtype=torch.float64)
        turn = torch.linalg.qr(torch.randn(4, 4, generator=seeded(1), dtype=torch.float64)).Q
        first = metrics.precision_recall_density_coverage(real, generated)
        second = metrics.precision_recall_density_coverage(
            3 * real.flip(0) @ turn + 1, 3 * generated @ turn + 1
        )
        assert self.four(first) == pytest.approx(self.four(second))

    def test_an_outlier_raises_precision_but_hardly_density(self):
        real = torch.randn(200, 2, generator=seeded())
        real[0] = 50.0  # its ball reaches all the way back
        strangers = torch.randn(200, 2, generator=seeded(1)) + 20
        found = metrics.precision_recall_density_coverage(real, strangers)
        assert found.precision == 1 and found.density < 0.25 and found.coverage < 0.01

    @pytest.mark.parametrize("real, generated", [(400, 400), (300, 600)])
    def test_coverage_expected_of_the_same_distribution(self, real, generated):
        rows = torch.randn(8, real + generated, 6, generator=seeded())
        found = [metrics.precision_recall_density_coverage(r[:real], r[real:]) for r in rows]
        expected = metrics.expected_coverage(real, generated)
        assert np.mean([f.coverage for f in found]) == pytest.approx(expected, abs=0.015)
        assert np.mean([f.density for f in found]) == pytest.approx(1, abs=0.05)

    def test_expected_coverage_by_counting(self):
        # Of 4 other pictures, 2 real and 2 generated, in any order: are the 2 nearest both real?
        orders = list(itertools.permutations("rrgg"))
        both_real = sum(order[:2] == ("r", "r") for order in orders) / len(orders)
        assert metrics.expected_coverage(3, 2, k=2) == pytest.approx(1 - both_real)
        assert metrics.expected_coverage(10**6, 10**6) == pytest.approx(1 - 2**-5, abs=1e-4)

    def test_bad_settings(self):
        rows = torch.randn(20, 3)
        for settings in ({"k": 0}, {"k": 20}, {"chunk": 0}):
            with pytest.raises(ValueError, match="expected 1 ≤ k < 20 and chunk ≥ 1"):
                metrics.precision_recall_density_coverage(rows, rows, **settings)
        with pytest.raises(ValueError, match="3 features, generated 2"):
            metrics.precision_recall_density_coverage(rows, rows[:, :2])


class TestMemorisation:
    def test_copies_and_where_they_come_from(self, cases):
        training, real = cases["training"], cases["real"]
        picked = torch.randperm(len(training), generator=seeded())[:100]
        found = metrics.memorisation(training[picked], real, training)
        assert torch.equal(found.nearest, picked) and found.distance.max() == 0
        assert found.auc == 1 and found.copies == 1 and found.excess == pytest.approx(1)

    def test_copies_moved_by_a_pixel_show_in_the_excess_alone(self, cases):
        moved = torch.roll(cases["copies"], shifts=1, dims=3)
        found = metrics.memorisation(moved, cases["real"], cases["training"])
        assert found.copies < 0.05 and found.auc < 0.6 and found.excess > 0.4

    def test_a_tenth_of_copies_is_found(self, cases):
        mixed = torch.cat([cases["fresh"][:450], cases["training"][:50]])
        found = metrics.memorisation(mixed, cases["real"], cases["training"])
        assert 0.1 <= found.copies < 0.13

    def test_held_out_digits_are_no_copies(self, cases):
        real = cases["real"]
        found = metrics.memorisation(real[:COUNT], real[COUNT:], cases["training"])
        assert 0.45 < found.auc < 0.55 and found.copies < 0.04 and abs(found.excess) < 0.2

    def test_chunks_do_not_matter_and_distances_are_exact(self, cases):
        given = cases["fresh"][:60], cases["real"][:50], cases["training"][:300]
        first, second = (metrics.memorisation(*given, chunk=chunk) for chunk in (7, 1000))
        table = torch.cdist(given[0].flatten(1).double(), given[2].flatten(1).double())
        torch.testing.assert_close(first.distance.double(), table.min(dim=1).values)
        torch.testing.assert_close(first.distance, second.distance)
        assert torch.equal(first.nearest, second.nearest)
        assert torch.equal(first.nearest, table.argmin(dim=1))

    def test_samples_that_are_in_both_sets_count_as_chance(self, cases):
        real = cases["real"][:50]
        found = metrics.memorisation(real, real, torch.cat([real, cases["training"][:150]]))
        assert found.excess == pytest.approx(0, abs=1e-6)

    def test_chance_of_being_nearer_is_the_area_under_the_curve(self):
        from sklearn.metrics import roc_auc_score

        near, far = torch.randint(0, 9, (40,), generator=seeded()), torch.randint(3, 12, (70,))
        area = roc_auc_score([0] * 40 + [1] * 70, torch.cat([near, far]).numpy())
        assert neighbours.nearer_chance(near, far) == pytest.approx(area)
        assert neighbours.nearer_chance(far, far) == 0.5

    def test_bad_chunk(self, cases):
        with pytest.raises(ValueError, match="chunk is 0"):
            metrics.memorisation(*[cases["fresh"][:5]] * 3, chunk=0)


class TestSharpness:
    def test_known_pictures(self):
        flat = torch.full((1, 1, 28, 28), 0.3)
        board = (torch.arange(28)[:, None] + torch.arange(28)) % 2  # a Laplacian of ±4
        board = board.float()[None, None]
        found = metrics.sharpness(torch.cat([flat, board, 0.5 * board, 0.5 * board + 0.25]))
        exact = 16 * 676 / 675  # variance of ±4 over the 26 · 26 inner pixels
        expected = torch.tensor([0, exact, exact / 4, exact / 4])
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)

    def test_blur_lowers_and_noise_raises_it(self, cases):
        images = cases["fresh"]
        sets = [blurred(images, 1.5), blurred(images), images, noisy(images, 0.2)]
        means = [metrics.sharpness(given).mean() for given in sets]
        assert means == sorted(means) and means[0] < 0.05 * means[2]


class TestClassHistogram:
    def test_all_classes_and_one(self, digits):
        histogram = metrics.class_histogram(digits.test_images)  # 100 a class
        assert histogram.counts.sum() == 1000 and (histogram.counts - 100).abs().max() <= 5
        assert histogram.shares.sum() == pytest.approx(1)
        assert histogram.entropy == pytest.approx(math.log(10), abs=0.002)
        threes = metrics.class_histogram(digits.test_images[digits.test_labels == 3])
        assert threes.shares.argmax() == 3 and threes.entropy < 0.2

    def test_entropy_in_closed_form(self):
        assert metrics.ClassHistogram(torch.tensor([4] * 9)).entropy == 0
        half = metrics.ClassHistogram(torch.tensor([0, 9] * 7))
        assert half.entropy == pytest.approx(math.log(2))
        assert half.counts.tolist() == [7, *[0] * 8, 7]


class TestBootstrap:
    values = torch.randn(60, generator=seeded()).double().exp()

    def test_agrees_with_scipy(self):
        from scipy.stats import bootstrap

        expected = bootstrap(
            (self.values.numpy(),), np.mean, method="percentile", n_resamples=9999
        ).confidence_interval
        found = metrics.bootstrap_interval(self.values, resamples=4000)
        width = expected.high - expected.low
        assert found[0] == pytest.approx(expected.low, abs=0.07 * width)
        assert found[1] == pytest.approx(expected.high, abs=0.07 * width)

    def test_holds_the_truth_about_95_times_in_100(self):
        rows = torch.randn(200, 50, generator=seeded())
        intervals = [metrics.bootstrap_interval(row, resamples=200) for row in rows]
        held = sum(low <= 0 <= high for low, high in intervals)
        assert 180 <= held <= 198
        narrow = [metrics.bootstrap_interval(row, resamples=200, level=0.5) for row in rows[:100]]
        assert 35 <= sum(low <= 0 <= high for low, high in narrow) <= 65

    def test_seeds(self):
        first = metrics.bootstrap_interval(self.values, seed=1)
        assert metrics.bootstrap_interval(self.values, seed=1) == first
        assert metrics.bootstrap_interval(self.values, seed=2) != first

    def test_equal_values_have_no_width(self):
        assert metrics.bootstrap_interval(torch.ones(9)) == (1, 1)

    def test_rows_stay_together_and_sets_apart(self):
        pairs = torch.stack([self.values, -self.values], dim=1)
        assert metrics.bootstrap_interval(pairs, lambda rows: rows.sum()) == (0, 0)
        low, high = metrics.bootstrap_interval(
            (self.values, self.values), lambda a, b: a.mean() - b.mean()
        )
        assert low < -0.1 and high > 0.1

    def test_centred_takes_away_the_push_of_repeated_rows(self):
        def distinct(rows):
            return len(rows.unique())

        low, high = metrics.bootstrap_interval(self.values, distinct)
        assert high < 60  # repeated rows never leave all of them
        low, high = metrics.bootstrap_interval(self.values, distinct, centred=True)
        assert low < 60 < high

    def test_bad_arguments(self):
        for values in (torch.ones(1), torch.tensor(3.0), (self.values, torch.ones(1))):
            with pytest.raises(ValueError, match="at least 2 rows"):
                metrics.bootstrap_interval(values)
        for settings in ({"level": 95}, {"level": 0.0}, {"resamples": 5}):
            with pytest.raises(ValueError, match="expected 0 < level < 1"):
                metrics.bootstrap_interval(self.values, **settings)
