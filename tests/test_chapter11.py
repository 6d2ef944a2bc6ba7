"""Notebook 11: right answers in other styles pass its checks; two levels, a chain, an explorer."""

import math

import pytest
import torch

from vae_course import checks, metrics, pretrained, widgets
from vae_course.models import TwoLevelVAE


@pytest.fixture(scope="module")
def two_levels():
    torch.manual_seed(0)
    return TwoLevelVAE.dense((4, 2), hidden=16).eval()


def test_the_bound_of_two_levels_is_the_average_of_its_weights(two_levels):
    image = torch.rand(3, 1, 28, 28)
    torch.manual_seed(0)
    with torch.no_grad():
        weights = two_levels.log_weights(image, 4000)  # (S, B): log p(x, z) − log q(z | x)
        parts = [sum(two_levels.elbo_terms(image)) for _ in range(1000)]
    error = weights.std(dim=0) / math.sqrt(4000)
    assert (weights.mean(dim=0) + torch.stack(parts).mean(dim=0)).abs().max() < 6 * error.max()
    found = metrics.elbo(two_levels, image, samples=200)
    bound = metrics.importance_bound(two_levels, image, samples=500)
    assert (bound > -found.total - 0.1).all()  # more samples, a tighter bound


def test_what_is_above_decides_what_is_below(two_levels):
    samples = two_levels.sample(5, z2=torch.zeros(5, 2))
    assert samples.shape == (5, 1, 28, 28) and samples.min() >= 0 and samples.max() <= 1
    pixels = two_levels.sample(2, noise=True, generator=torch.Generator().manual_seed(0))
    assert set(pixels.unique().tolist()) <= {0.0, 1.0}
    with pytest.raises(ValueError, match="1, 28, 28"):
        two_levels(torch.rand(2, 1, 27, 27))


def test_the_upper_kl_is_zero_where_it_says_nothing(two_levels):
    with torch.no_grad():
        silent = TwoLevelVAE.dense((4, 2), hidden=16)
        silent.upper.weight.zero_()
        silent.upper.bias.zero_()
        _, lower, upper = silent(torch.rand(3, 1, 28, 28))
    assert upper.abs().max() < 1e-6 and (lower > 0).all()


@pytest.fixture(scope="module")
def explorer():
    model, _ = pretrained.load("diffusion")
    return widgets.diffusion_explorer(model, names=list("0123456789"), steps=5)


def test_time_runs_from_noise_to_a_digit(explorer):
    assert "t = 1000 of 1000: 0%" in explorer.words(done=0)
    end = explorer.words(done=5)
    assert "t = 0 of 1000: 100%" in end and "by 0.00" in end
    assert explorer.picture(done=0) != explorer.picture(done=5)
    assert explorer.picture(done=5, guidance=4.0) != explorer.picture(done=5, guidance=0.0)


def test_what_the_cards_say_of_the_samples():
    table = {row["model"]: row for row in pretrained.load_results("shipped-samples")}
    ours = table["latent-diffusion"]
    assert ours["frechet_distance"] < 3 * ours["frechet_distance_real"]
    _, card = pretrained.load("two-level-vae")
    found = card["measured"]
    key = next(key for key in found if key.startswith("negative_importance_bound"))
    assert found[key]["mean"] < found["negative_elbo"]["mean"] < 95


def test_the_challenge_measures_samples():
    model, _ = pretrained.load("latent-diffusion")

    class ClassByClass:
        def sample(self, count):
            return model.sample(count, label=torch.arange(count) % 10, steps=10)

    assert checks.challenge("11", ClassByClass()).passed
    wrong = checks.challenge("11", type("Flat", (), {"sample": lambda self, n: torch.rand(n, 3)})())
    assert wrong.status == "error" and "expected (1000, 1, 28, 28)" in str(wrong)
