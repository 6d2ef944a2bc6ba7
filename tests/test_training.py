"""The training loop: repeatable, interruptible, honest averages, clear errors."""

import itertools
import math
import random
import re

import numpy as np
import pytest
import torch
from torch import nn

from torch_tools import seeded, small_vae, weights
from vae_course import data, losses, models, training
from vae_course.training import History, TrainingDiverged, TrainingInterrupted, core, evaluate, fit


@pytest.fixture
def images():
    return torch.rand(50, 1, 28, 28, generator=seeded(1))


def reconstruction_loss(model, image):
    return losses.bernoulli_nll(model(image), image).mean()


def elbo_loss(model, image):
    logits, mean, log_var = model(image)
    kl = losses.gaussian_kl(mean, log_var).mean()
    nll = losses.bernoulli_nll(logits, image).mean()
    return {"loss": nll + kl, "nll": nll, "kl": kl}


class Shift(nn.Module):
    """One weight, so that losses can be written down by hand."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, image):
        return image + self.weight


X = torch.rand(8, 1)
OTHER = Shift()
def standing_still(model):
    return torch.optim.SGD(model.parameters(), lr=0.0)


def trained_weights(images, **options):
    model = small_vae()
    options = {"epochs": 2, "batch_size": 16, "progress": False, **options}
    fit(model, elbo_loss, images, **options)
    return weights(model)


class TestRepeatable:
    def test_same_seed_gives_identical_weights_and_history(self, images):
        histories, results = [], []
        for _ in range(2):
            model = small_vae()
            histories.append(
                fit(model, elbo_loss, images, epochs=3, batch_size=16, test_images=images[:20],
                    seed=5, progress=False)
            )  # fmt: skip
            results.append(weights(model))
        assert torch.equal(*results)
        assert histories[0].rows == histories[1].rows

    def test_another_seed_gives_other_weights(self, images):
        assert not torch.equal(trained_weights(images, seed=0), trained_weights(images, seed=1))

    def test_the_order_of_the_images_depends_on_the_seed(self):
        seen = {0: [], 1: []}
        for seed, order in seen.items():

            def loss(model, image, order=order):
                order += image.flatten().tolist()
                return model(image).mean()

            fit(Shift(), loss, torch.arange(20.0)[:, None], epochs=2, batch_size=8, seed=seed)
        assert seen[0] != seen[1]
        assert seen[0][:20] != seen[0][20:]  # another order in the second epoch
        assert sorted(seen[0]) == sorted([*range(20)] * 2)

    @pytest.mark.parametrize(
        "watching",
        [
            {"test_images": torch.full((30, 1, 28, 28), 0.5)},
            {"after_epoch": lambda epoch, model, history: model(torch.rand(3, 1, 28, 28))},
            {"progress": True},
        ],
        ids=["test images", "after_epoch", "progress"],
    )
    def test_watching_does_not_change_the_training(self, images, watching):
        assert torch.equal(trained_weights(images), trained_weights(images, **watching))

    def test_random_numbers_outside_are_left_alone(self, images):
        model = small_vae()
        torch.manual_seed(3)
        expected = torch.rand(4)
        torch.manual_seed(3)
        fit(model, elbo_loss, images, epochs=1, test_images=images, progress=False)
        assert torch.equal(torch.rand(4), expected)

    def test_seed_everything_seeds_all_three(self):
        def draw():
            training.seed_everything(11)
            return random.random(), np.random.rand(), torch.rand(1).item()

        assert draw() == draw()


class TestInterrupt:
    def stopped_at_call(self, number):
        calls = itertools.count(1)

        def loss(model, image):
            if next(calls) == number:
                raise KeyboardInterrupt
            return reconstruction_loss(model, image)

        return loss

    def interrupted(self, number, images, **options):
        model = models.DenseAutoencoder(2, hidden=8)
        before = weights(model)
        with pytest.raises(TrainingInterrupted) as caught:
            fit(model, self.stopped_at_call(number), images, epochs=9, batch_size=16, **options)
        assert isinstance(caught.value, KeyboardInterrupt)  # so that Run All stops
        assert not torch.equal(weights(model), before)
        return str(caught.value), caught.value.history

    def test_goes_on_to_the_caller_with_model_and_history_kept(self, images):
        said, history = self.interrupted(7, images)  # 4 steps an epoch
        assert history.interrupted and history["epoch"] == [1]
        loss = history.last["train_loss"]
        assert said == f"interrupted in epoch 2/9, model kept · train loss {loss:.2f}"

    def test_a_history_of_ones_own_keeps_the_rows(self, images):
        mine = History()
        _, history = self.interrupted(7, images, history=mine)
        assert history is mine and len(mine) == 1

    def test_in_the_first_epoch(self, images):
        said, history = self.interrupted(2, images)
        assert history.interrupted and len(history) == 0
        assert said == "interrupted in epoch 1/9, model kept"
        with pytest.raises(IndexError, match="not one epoch"):
            _ = history.last
        with pytest.raises(ValueError, match="not one epoch"):
            history.plot()

    def test_uninterrupted_says_so(self, images):
        model = models.DenseAutoencoder(2, hidden=8)
        assert not fit(model, reconstruction_loss, images, epochs=1, progress=False).interrupted


class TestAgain:
    """A second call on the same model: other random numbers, the history goes on."""

    def orders(self, *calls):
        seen, model, histories = [], Shift(), []

        def loss(model, image):
            seen.append((image.flatten().tolist(), torch.rand(1).item(), random.random()))
            return model(image).mean()

        for options in calls:
            options = {"epochs": 1, "batch_size": 8, "progress": False, **options}
            histories.append(fit(model, loss, torch.arange(16.0)[:, None], **options))
        return seen, histories

    def test_repeats_neither_order_nor_noise(self):
        seen, _ = self.orders({}, {}, {})
        for part in range(3):
            assert len({str(batch[part]) for batch in seen}) == 6

    def test_two_such_calls_on_a_new_model_give_the_same_again(self):
        assert self.orders({}, {})[0] == self.orders({}, {})[0]
        assert self.orders({}, {})[0] != self.orders({}, {"seed": 1})[0]

    def test_an_interrupted_epoch_counts(self):
        model, seen = Shift(), []

        def loss(model, image):
            seen.append(image.flatten().tolist())
            if len(seen) == 1:
                raise KeyboardInterrupt
            return model(image).mean()

        options = {"epochs": 1, "batch_size": 8, "progress": False}
        with pytest.raises(KeyboardInterrupt):
            fit(model, loss, torch.arange(16.0)[:, None], **options)
        fit(model, loss, torch.arange(16.0)[:, None], **options)
        assert seen[0] != seen[1]

    def test_a_history_goes_on(self):
        mine = History()
        _, histories = self.orders({"history": mine, "epochs": 2}, {"history": mine})
        assert histories == [mine, mine] and mine["epoch"] == [1, 2, 3]

    def test_a_history_that_was_interrupted_and_goes_on_is_whole(self):
        mine = History([{"epoch": 1, "train_loss": 1.0}], interrupted=True)
        self.orders({"history": mine})
        assert mine["epoch"] == [1, 2] and not mine.interrupted

    def test_a_history_with_rows_and_a_checkpoint_are_refused(self, tmp_path):
        mine = History([{"epoch": 1, "train_loss": 1.0}])
        with pytest.raises(ValueError, match="which has its own"):
            self.orders({"history": mine, "checkpoint": tmp_path / "c.safetensors"})


class TestRecipes:
    """A scheduler, a clipped gradient, early stopping, a last batch of one."""

    def test_a_scheduler_steps_once_a_batch(self):
        model, rates = Shift(), []
        optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))

        def loss(model, image):
            rates.append(optimizer.param_groups[0]["lr"])
            return model(image).mean()

        fit(model, loss, torch.rand(12, 1), epochs=2, batch_size=4, optimizer=optimizer,
            scheduler=scheduler, progress=False)  # fmt: skip
        assert rates == pytest.approx([1 / n for n in range(1, 7)])

    @pytest.mark.parametrize("clip, moved", [(None, 3.0), (0.5, 0.5), (100.0, 3.0)])
    def test_a_gradient_is_shortened(self, clip, moved):
        model = Shift()
        fit(model, lambda model, image: 3 * model(image).mean(), torch.rand(4, 1), epochs=1,
            optimizer=torch.optim.SGD(model.parameters(), lr=1.0), clip=clip,
            progress=False)  # fmt: skip
        assert model.weight.item() == pytest.approx(-moved, rel=1e-4)

    def losses(self, values, **options):
        model, values = Shift(), iter(values)

        def loss(model, image):
            found = model(image).mean() * 0
            return found if model.training else found + next(values)

        held_out = {"validation_images": X[:2], **options}
        return fit(model, loss, X, epochs=9, patience=2, progress=False, **held_out)

    def test_patience_waits_for_a_lower_validation_loss(self):
        history = self.losses([5.0, 3.0, 4.0, 2.5, 2.6, 2.5, 1.0])
        assert history["validation_loss"] == pytest.approx([5.0, 3.0, 4.0, 2.5, 2.6, 2.5])

    def test_patience_watches_validation_before_test(self):
        history = self.losses([1, 9, 1, 8, 1, 7, 1], test_images=X[:2])  # both in turn
        assert history["validation_loss"] == [1, 1, 1] and history["test_loss"] == [9, 8, 7]

    def test_patience_without_anything_to_watch(self):
        with pytest.raises(ValueError, match="pass validation_images"):
            self.losses([], validation_images=None)

    def test_test_batches_are_no_larger_than_those_of_training(self):
        sizes = set()

        def loss(model, image):
            sizes.add(len(image))
            return model(image).mean()

        fit(Shift(), loss, torch.rand(30, 1), epochs=1, batch_size=7, progress=False,
            test_images=torch.rand(300, 1))  # fmt: skip
        assert max(sizes) == 7

    def test_a_last_batch_of_one_and_batch_normalization(self):
        model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
        with pytest.raises(ValueError, match=r"batch holds a single image.*another batch_size"):
            fit(model, lambda model, image: model(image).mean(), torch.rand(9, 3), epochs=1,
                batch_size=4, progress=False)  # fmt: skip

    def test_one_epoch_is_the_loop_of_fit(self, images):
        by_hand, by_fit = small_vae(), small_vae()
        optimizer = core.adam(by_hand, 1e-3)
        with core.random_numbers(by_hand, 0):
            batches = data.batches(images, batch_size=16, generator=seeded(0))
            means = training.one_epoch(by_hand, elbo_loss, batches, optimizer)
        history = fit(by_fit, elbo_loss, images, epochs=1, batch_size=16, progress=False)
        assert torch.equal(weights(by_hand), weights(by_fit))
        assert history.last == {"epoch": 1} | {f"train_{k}": v for k, v in means.items()}


class TestDiverged:
    def fit_with_losses(self, values, **options):
        values = iter(values)

        def loss(model, image):
            return model(image).mean() * 0 + model.weight + next(values)

        model = Shift()
        options = {"epochs": 9, "batch_size": 4, "learning_rate": 0.05, **options}
        images = options.pop("images", torch.rand(16, 1))
        with pytest.raises(TrainingDiverged) as caught:
            fit(model, loss, images, **options)
        return caught.value, model

    @pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
    def test_names_epoch_step_learning_rate_and_causes(self, bad):
        error, model = self.fit_with_losses([1, 1, 1, 1, 1, 1, bad])
        assert (error.epoch, error.step, error.learning_rate) == (2, 3, 0.05)
        assert len(error.history) == 1
        message = str(error)
        assert f"the loss became {bad} in epoch 2, step 3 of 4, learning rate 0.05." in message
        for cause in ("try 0.005", "log_var.clamp", "log of 0", "they lie in [0, 1]"):
            assert cause in message
        assert model.weight.isfinite()  # stopped before the bad step was taken

    def test_reports_the_range_of_images_that_are_not_in_0_1(self):
        images = torch.linspace(-0.5, 2.5, 16)[:, None]
        error, _ = self.fit_with_losses([math.nan], images=images)
        assert "images outside [0, 1]: they run from -0.5 to 2.5" in str(error)
        error, _ = self.fit_with_losses([math.nan], images=images * math.nan)
        assert "images[0] holds NaN" in str(error)

    def test_a_nan_in_the_test_images_is_named_with_its_row(self):
        images = torch.rand(9, 1)
        spoiled = images.clone()
        spoiled[4] = math.nan
        with pytest.raises(TrainingDiverged, match=r"test_images\[4\] holds NaN") as caught:
            fit(Shift(), lambda model, image: model(image).mean(), images, epochs=1,
                test_images=spoiled, progress=False)  # fmt: skip
        assert "the test loss became nan" in str(caught.value)

    def test_names_the_learning_rate_of_the_optimizer_in_use(self, images):
        model = models.DenseAutoencoder(2, hidden=8)
        optimizer = torch.optim.SGD(model.parameters(), lr=1e6)
        with pytest.raises(TrainingDiverged, match=r"learning rate 1e\+06") as caught:
            fit(model, reconstruction_loss, images, epochs=50, optimizer=optimizer, progress=False)
        assert caught.value.learning_rate == 1e6

    def test_a_test_loss_that_is_not_finite(self):
        def loss(model, image):
            return model(image).mean() if model.training else model(image).mean() * math.inf

        with pytest.raises(TrainingDiverged, match="the test loss became inf in epoch 1, step 2"):
            fit(Shift(), loss, torch.ones(8, 1), epochs=1, batch_size=4, test_images=torch.ones(2))

    def test_a_finite_loss_with_a_gradient_that_is_not(self):
        def loss(model, image):
            return model.weight.abs().sqrt()  # 0, with an infinite slope

        with pytest.raises(TrainingDiverged, match="a weight of the model became NaN"):
            fit(Shift(), loss, torch.ones(4, 1), epochs=1)

    def test_reading_the_losses_late_finds_the_same_step(self):
        """As on a GPU, where losses are read 50 at a time."""
        averages = core.Averages(Shift(), stop_at_nan=True)
        averages.read_every = 50
        for value in (1.0, 2.0, math.nan, 4.0):
            averages.add({"loss": torch.tensor(value)}, 8)
        with pytest.raises(core.NotFinite) as caught:
            averages.means()
        assert caught.value.step == 3

        averages = core.Averages(Shift(), stop_at_nan=True)
        averages.read_every = 2
        for value, count in ((1.0, 8), (2.0, 8), (4.0, 2)):
            averages.add({"loss": torch.tensor(value)}, count)
        assert averages.means() == {"loss": pytest.approx((8 + 16 + 8) / 18)}


class TestAverages:
    def test_mean_over_images_not_over_batches(self):
        images = torch.tensor([1.0, 2, 3, 4, 100])[:, None]  # batches of 4 and 1

        def loss(model, image):
            value = model(image).mean()
            return {"loss": value, "square": image.square().mean(), "count": len(image)}

        model = Shift()
        history = fit(
            model, loss, images, epochs=2, batch_size=4, optimizer=standing_still(model),
            test_images=images, progress=False,
        )  # fmt: skip
        mean, square = images.mean().item(), images.square().mean().item()
        for row in history.rows:
            assert row["train_loss"] == pytest.approx(mean)
            assert row["train_square"] == pytest.approx(square)
            assert row["train_count"] == pytest.approx((4 * 4 + 1 * 1) / 5)
            assert row["test_loss"] == pytest.approx(mean)
        assert history["epoch"] == [1, 2]
        assert evaluate(model, loss, images, batch_size=2)["square"] == pytest.approx(square)

    def test_evaluate_equals_the_whole_set_at_once(self, images):
        model = models.DenseAutoencoder(2, hidden=8)
        with torch.no_grad():
            expected = reconstruction_loss(model, images).item()
        result = evaluate(model, reconstruction_loss, images, batch_size=7)
        assert result == {"loss": pytest.approx(expected, rel=1e-6)}

    def test_evaluate_with_noise_gives_the_same_twice(self, images):
        model = small_vae()
        first = evaluate(model, elbo_loss, images)
        assert first == evaluate(model, elbo_loss, images)
        assert first != evaluate(model, elbo_loss, images, seed=1)
        assert first["loss"] == pytest.approx(first["nll"] + first["kl"], rel=1e-5)

    def test_last_test_loss_is_what_evaluate_gives(self, images):
        model = small_vae()
        options = {"epochs": 2, "seed": 5, "progress": False}
        history = fit(model, elbo_loss, images, test_images=images[:20], **options)
        assert history.last["test_loss"] == evaluate(model, elbo_loss, images[:20])["loss"]

    def test_evaluate_leaves_weights_and_gradients_alone(self, images):
        model = small_vae()
        before = weights(model)
        evaluate(model, elbo_loss, images)
        assert torch.equal(weights(model), before)
        assert all(p.grad is None for p in model.parameters())


class TestModes:
    def model_and_loss(self, seen):
        model = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5), nn.BatchNorm1d(3))

        def loss(model, image):
            seen.append((model.training, torch.is_grad_enabled()))
            return model(image).square().mean()

        return model, loss

    @pytest.mark.parametrize("training_before", [True, False])
    def test_train_to_train_eval_to_test_and_back(self, training_before):
        seen = []
        model, loss = self.model_and_loss(seen)
        model.train(training_before)
        model[1].train(not training_before)
        fit(model, loss, torch.rand(8, 3), epochs=1, test_images=torch.rand(8, 3), progress=False)
        assert seen == [(True, True), (False, False)]
        assert [m.training for m in model] == [
            training_before, not training_before, training_before,
        ]  # fmt: skip

    def test_back_after_an_error(self):
        model, _ = self.model_and_loss([])
        model.eval()
        with pytest.raises(ZeroDivisionError):
            fit(model, lambda model, image: 1 / 0, torch.rand(8, 3), epochs=1, progress=False)
        assert not model.training

    def test_after_epoch_is_told_in_eval_mode(self):
        seen, calls = [], []
        model, loss = self.model_and_loss(seen)

        def after_epoch(epoch, model, history):
            calls.append((epoch, model.training, len(history), torch.rand(1).item()))
            model.train()  # whatever it does, the next epoch starts in train mode

        fit(model, loss, torch.rand(8, 3), epochs=2, after_epoch=after_epoch, progress=False)
        assert [call[:3] for call in calls] == [(1, False, 1), (2, False, 2)]
        assert calls[0][3] == calls[1][3]  # the same random numbers, to compare pictures
        assert all(mode for mode, _ in seen)


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
class TestThreads:
    """A small network is not shared between threads: they would wait longer than they work."""

    def used(self, model, images):
        used = []

        def loss(model, image):
            used.append(torch.get_num_threads())
            return reconstruction_loss(model, image)

        fit(model, loss, images, epochs=1, progress=False)
        return set(used)

    def test_small_networks_take_one_large_ones_all(self, images):
        small, large = (
            nn.Sequential(nn.Conv2d(1, 1, 1)),
            nn.Sequential(nn.Flatten(), nn.Linear(784, 784), nn.Unflatten(1, (1, 28, 28))),
        )
        assert self.used(small, images) == {1} and torch.get_num_threads() == 2
        assert self.used(large, images) == {2} and torch.get_num_threads() == 2

    def test_as_many_as_before_after_an_error(self, images):
        with pytest.raises(ZeroDivisionError):
            fit(Shift(), lambda model, image: 1 / 0, images, epochs=1, progress=False)
        assert torch.get_num_threads() == 2


class TestLabels:
    def test_each_image_keeps_its_label(self):
        images = torch.arange(20.0)[:, None]
        labels = torch.arange(20)
        seen = []

        def loss(model, image, label):
            assert torch.equal(image[:, 0].long(), label)
            seen.extend(label.tolist())
            return model(image).mean()

        fit(Shift(), loss, images, labels=labels, test_images=images[:4], test_labels=labels[:4],
            epochs=1, batch_size=8, progress=False)  # fmt: skip
        assert sorted(seen[:20]) == list(range(20))
        assert seen[:20] != list(range(20))
        assert seen[20:] == [0, 1, 2, 3]
        evaluate(Shift(), loss, images, labels=labels, batch_size=8)


class TestPrinted:
    def test_one_line_is_left(self, images, capsys):
        model = models.DenseAutoencoder(2, hidden=8)
        history = fit(model, reconstruction_loss, images, epochs=3, test_images=images)
        train, test = history.last["train_loss"], history.last["test_loss"]
        captured = capsys.readouterr()
        assert captured.out == f"epoch 3/3 · train loss {train:.2f} · test loss {test:.2f}\n"
        assert captured.err == ""  # no bar where stderr is not a terminal

    def test_small_losses_keep_their_digits(self, capsys):
        model = Shift()
        fit(model, lambda model, image: model(image).mean(), torch.full((4, 1), 0.001234),
            epochs=1, optimizer=standing_still(model))  # fmt: skip
        assert capsys.readouterr().out == "epoch 1/1 · train loss 0.001234\n"

    def test_silent_without_progress(self, images, capsys):
        trained_weights(images, progress=False)
        assert capsys.readouterr() == ("", "")


class TestOptimizer:
    def test_linear_regression_reaches_the_closed_form(self):
        generator = seeded()
        x = torch.randn(64, 3, generator=generator)
        y = x @ torch.tensor([1.0, -2.0, 0.5]) + 3 + 0.1 * torch.randn(64, generator=generator)
        exact = torch.linalg.lstsq(torch.cat([x, torch.ones(64, 1)], dim=1), y).solution

        model = nn.Linear(3, 1)
        fit(model, lambda model, x, y: (model(x)[:, 0] - y).square().mean(), x, labels=y,
            epochs=300, batch_size=64, optimizer=torch.optim.SGD(model.parameters(), lr=0.3),
            progress=False)  # fmt: skip
        found = torch.cat([model.weight.detach()[0], model.bias.detach()])
        assert torch.allclose(found, exact, atol=1e-5)

    def test_default_is_adam_with_the_learning_rate(self, images):
        expected, found = (models.DenseAutoencoder(2, hidden=8) for _ in range(2))
        found.load_state_dict(expected.state_dict())
        optimizer = torch.optim.Adam(expected.parameters(), lr=0.01, fused=False)
        options = {"epochs": 2, "batch_size": 16, "progress": False}
        fit(expected, reconstruction_loss, images, optimizer=optimizer, **options)
        fit(found, reconstruction_loss, images, learning_rate=0.01, **options)
        assert torch.allclose(weights(found), weights(expected), atol=1e-5)

    def test_weights_with_gaps_in_memory(self):
        """A fused Adam step on a slice such as basis[:, :2] is wrong on the CPU (torch 2.15)."""

        class Projection(nn.Module):
            def __init__(self):
                super().__init__()
                basis = torch.randn(5, 14, generator=seeded())
                self.basis = nn.Parameter(basis[:, ::2])

            def forward(self, image):
                return image @ self.basis

        x = torch.rand(16, 5, generator=seeded(1))
        results = []
        for given in (False, True):
            model = Projection()
            plain = torch.optim.Adam(model.parameters(), lr=0.01, fused=False) if given else None
            fit(model, lambda model, x: (model(x) - 1).square().mean(), x, epochs=20,
                learning_rate=0.01, optimizer=plain, progress=False)  # fmt: skip
            results.append(model.basis.detach())
        assert torch.allclose(*results, atol=1e-5)

    def test_frozen_weights_stay(self, images):
        model = models.DenseAutoencoder(2, hidden=8)
        model.encoder.requires_grad_(False)
        encoder, decoder = weights(model.encoder), weights(model.decoder)
        fit(model, reconstruction_loss, images, epochs=1, progress=False)
        assert torch.equal(weights(model.encoder), encoder)
        assert not torch.equal(weights(model.decoder), decoder)


def test_count_parameters():
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 3))
    assert training.count_parameters(model) == 3 * 2 + 2 + 2 * 3 + 3
    model[0].bias.requires_grad_(False)
    assert training.count_parameters(model) == 3 * 2 + 2 * 3 + 3
    model.append(model[1])  # shared
    assert training.count_parameters(model) == 3 * 2 + 2 * 3 + 3


BAD_ARGUMENTS = {
    "no epochs": ({"epochs": 0}, ValueError, "epochs is 0"),
    "no batch": ({"batch_size": 0}, ValueError, "batch_size is 0"),
    "half an epoch": ({"epochs": 0.5}, TypeError, "epochs is 0.5"),
    "no clipping": ({"clip": 0}, ValueError, "clip is 0.*above 0"),
    "no history": ({"history": []}, TypeError, "history is a list"),
    "a scheduler without its optimizer": (
        {"scheduler": torch.optim.lr_scheduler.ConstantLR(torch.optim.SGD([X], lr=1))},
        ValueError, "another optimizer's",
    ),
    "no scheduler": ({"scheduler": 0.1}, TypeError, "scheduler is a float"),
    "data set": ({"images": type("D", (), {"train_images": X})()}, TypeError, r"\.train_images"),
    "array": ({"images": X.numpy()}, TypeError, "images is a ndarray.*as_tensor"),
    "no images": ({"images": X[:0]}, ValueError, r"images has shape \(0, 1\)"),
    "bytes": ({"images": (X * 255).byte()}, ValueError, "images are bytes.*/ 255"),
    "class": ({"model": Shift}, TypeError, "model is the class Shift"),
    "no weights": ({"model": nn.Flatten()}, ValueError, "no trainable parameters"),
    "learning rate": ({"learning_rate": -1}, ValueError, "learning_rate is -1"),
    "label count": ({"labels": X[:4]}, ValueError, "'images': 8, 'labels': 4"),
    "test labels missing": ({"labels": X, "test_images": X}, ValueError, "test_labels are missing"),
    "labels missing": ({"test_labels": X, "test_images": X}, ValueError, "labels are missing"),
    "no test images": ({"labels": X, "test_labels": X}, ValueError, "without test_images"),
    "test images": ({"test_images": X.numpy()}, TypeError, "test_images is a ndarray"),
    "optimizer class": ({"optimizer": torch.optim.SGD}, TypeError, "the class SGD"),
    "optimizer of another model": (
        {"optimizer": torch.optim.SGD(OTHER.parameters(), lr=1)},
        ValueError,
        "made for another",
    ),
}


@pytest.mark.parametrize(("change", "kind", "words"), BAD_ARGUMENTS.values(), ids=BAD_ARGUMENTS)
def test_bad_arguments_are_named(change, kind, words):
    arguments = {
        "model": Shift(), "loss": lambda model, image, *label: model(image).mean(), "images": X,
        "epochs": 1, "progress": False, **change,
    }  # fmt: skip
    with pytest.raises(kind, match=words):
        fit(**arguments)


BAD_LOSSES = {
    "nothing": (lambda model, image: None, TypeError, "a return missing"),
    "a float": (lambda model, image: model(image).mean().item(), TypeError, "a float"),
    "per image": (lambda model, image: model(image)[:, 0], ValueError, r"\(8,\).*\.mean\(\)"),
    "a tuple": (lambda model, image: (model(image).mean(), 0), TypeError, "a tuple"),
    "no loss": (lambda model, image: {"kl": model(image).mean()}, ValueError, r"\['kl'\]"),
    "detached": (lambda model, image: model(image).detach().mean(), ValueError, "no gradient"),
    "without model": (lambda model, image: image.mean(), ValueError, "never calls the model"),
    "list in dict": (
        lambda model, image: {"loss": model(image).mean(), "kl": [1]}, TypeError, "as 'kl'",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("loss", "kind", "words"), BAD_LOSSES.values(), ids=BAD_LOSSES)
def test_bad_losses_are_named(loss, kind, words):
    with pytest.raises(kind, match=re.compile(words, re.DOTALL)):
        fit(Shift(), loss, X, epochs=1, progress=False)


def test_no_grad_around_fit_is_named():
    with torch.no_grad(), pytest.raises(ValueError, match=r"no_grad"):
        fit(Shift(), lambda model, image: model(image).mean(), X, epochs=1, progress=False)
