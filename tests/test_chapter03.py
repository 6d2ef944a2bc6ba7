r"""Chapter 03: its exercises, the two estimators against the truth, the explorer, the notebook."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import Laplace, MultivariateNormal, Normal

from check_tools import assert_both_named, assert_helped, assert_named, assert_passes, verdict
from notebook_code import definitions
from vae_course import checks, models
from vae_course.widgets import reparameterization, reparameterization_explorer

reparameterize = checks.exercise("reparameterize").reference
pathwise = checks.exercise("pathwise_gradient").reference
score = checks.exercise("score_function_gradient").reference


def half(log_var):
    return torch.exp(0.5 * log_var)


# ------------------------------------------------------------ the references against the truth


def test_reference_is_the_package_s_sampling_layer():
    mean, log_var = torch.randn(2, 5, 3)
    torch.manual_seed(4)
    mine = reparameterize(mean, log_var)
    torch.manual_seed(4)
    assert torch.equal(mine, models.GaussianSampling()(mean, log_var))


@pytest.mark.parametrize("estimate", [pathwise, score])
@pytest.mark.parametrize(("f", "exact"), [
    (lambda z: (z - 3) ** 2, lambda mean, std: 2 * (mean - 3)),
    (torch.sin, lambda mean, std: math.cos(mean) * math.exp(-(std**2) / 2)),
    (torch.exp, lambda mean, std: math.exp(mean + std**2 / 2)),
], ids=["square", "sin", "exp"])  # fmt: skip
def test_both_estimators_meet_the_analytic_gradient(estimate, f, exact):
    mean, std = torch.tensor(0.4).double(), torch.tensor(0.7).double()
    noise = torch.randn(200, 1000, generator=torch.Generator().manual_seed(5)).double()
    parts = torch.stack([estimate(f, mean, std, row) for row in noise])
    error = parts.std() / math.sqrt(len(parts))
    assert abs(parts.mean() - exact(0.4, 0.7)) < 4 * error
    assert error < 0.03


def test_pathwise_is_the_quieter_one():
    noise = torch.randn(4000, 1, generator=torch.Generator().manual_seed(6))
    mean, std = torch.tensor(1.0), torch.tensor(0.5)

    def variance(estimate):
        return torch.stack([estimate(lambda z: (z - 3) ** 2, mean, std, n) for n in noise]).var()

    # With a = μ − 3 it is 4 σ² and a⁴ / σ² + 14 a² + 15 σ², as the notebook says: 1 and 123.75.
    assert 100 < variance(score) / variance(pathwise) < 150


def test_notebook_s_promise_of_twenty_slips():
    assert len(checks.exercise("reparameterize").mistakes) >= 20


# ------------------------------------------------------------ right answers written another way


def by_single_numbers(mean, log_var):
    def one(m, v):
        return m + math.e ** (v / 2) * torch.randn(())

    rows = zip(mean, log_var, strict=True)
    return torch.stack([torch.stack(list(map(one, *row))) for row in rows])


def by_box_and_muller(mean, log_var):
    radius = torch.sqrt(-2 * torch.log1p(-torch.rand_like(mean)))
    return mean + half(log_var) * radius * torch.cos(2 * math.pi * torch.rand_like(mean))


def by_numpy_noise(mean, log_var):
    return mean + half(log_var) * torch.from_numpy(np.random.randn(*mean.shape)).float()


def by_covariance(mean, log_var):
    return MultivariateNormal(mean, torch.diag_embed(log_var.exp())).rsample()


def minus_is_as_good(mean, log_var):
    return mean - log_var.exp().sqrt() * torch.normal(0.0, 1.0, size=mean.shape)


def slopes_averaged(f, mean, std, noise):
    latent = (mean + std * noise).requires_grad_()
    f(latent).sum().backward()
    return latent.grad.mean()


def by_functional_grad(f, mean, std, noise):
    return torch.func.grad(lambda m: f(m + std * noise).mean())(mean)


def by_differences(f, mean, std, noise):
    step, latent = 1e-4, mean + std * noise
    return float(((f(latent + step) - f(latent - step)) / (2 * step)).mean())


def one_by_one(f, mean, std, noise):
    total = 0.0
    for each in noise:
        leaf = mean.clone().requires_grad_()
        f(leaf + std * each).backward()
        total += leaf.grad.item()
    return total / len(noise)


def from_a_new_leaf(f, mean, std, noise):
    leaf = torch.tensor(float(mean), requires_grad=True)
    f(leaf + std * noise).mean().backward()
    return leaf.grad


def by_log_prob(f, mean, std, noise):
    leaf = mean.clone().requires_grad_()
    latent = (mean + std * noise).detach()
    surrogate = f(latent) * Normal(leaf, std).log_prob(latent)
    return torch.autograd.grad(surrogate.mean(), leaf)[0]


def by_dot_product(f, mean, std, noise):
    return torch.dot(f(mean + std * noise), noise) / (len(noise) * std)


def by_a_sum(f, mean, std, noise):
    return sum(float(f(mean + std * e) * e / std) for e in noise) / len(noise)


RIGHT = [
    *(("reparameterize", f) for f in (
        by_single_numbers, by_box_and_muller, by_numpy_noise, by_covariance, minus_is_as_good)),
    *(("pathwise_gradient", f) for f in (
        slopes_averaged, by_functional_grad, by_differences, one_by_one, from_a_new_leaf)),
    *(("score_function_gradient", f) for f in (by_log_prob, by_dot_product, by_a_sum)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "function"), RIGHT, ids=[f.__name__ for _, f in RIGHT])
def test_right_answer_written_another_way_passes(name, function):
    assert_passes(name, function, range(2 if function is by_single_numbers else 6))  # it is slow


# ------------------------------------------------------------ wrong answers that nobody listed


def noise_from_minus_one_to_one(mean, log_var):
    return mean + half(log_var) * (2 * torch.rand_like(mean) - 1)


def laplace_noise(mean, log_var):
    return Laplace(mean, half(log_var) / math.sqrt(2)).rsample()


def noise_never_negative(mean, log_var):
    return mean + half(log_var) * torch.randn_like(mean).abs()


def sigmoid_for_std(mean, log_var):
    return mean + torch.sigmoid(log_var) * torch.randn_like(mean)


def power_of_two(mean, log_var):
    return mean + 2 ** (0.5 * log_var) * torch.randn_like(mean)


def averages_ten_draws(mean, log_var):
    return mean + half(log_var) * torch.randn(10, *mean.shape).mean(dim=0)


def arguments_swapped(mean, log_var):
    return log_var + half(mean) * torch.randn_like(mean)


def returns_three_things(mean, log_var):
    return mean + half(log_var) * torch.randn_like(mean), mean, log_var


def averaged_over_the_batch(mean, log_var):
    return (mean + half(log_var) * torch.randn_like(mean)).mean(dim=0)


def std_with_a_floor(mean, log_var):
    return mean + (half(log_var) + 0.1) * torch.randn_like(mean)


def noise_of_the_transposed_shape(mean, log_var):
    return mean + half(log_var) * torch.randn(mean.shape[1], mean.shape[0])


def numpy_all_the_way(mean, log_var):
    return torch.tensor(np.random.normal(mean.numpy(), np.exp(0.5 * log_var.numpy())))


def changes_its_argument(mean, log_var):
    log_var.mul_(0.5).exp_()
    return mean + log_var * torch.randn_like(mean)


def std_left_out(f, mean, std, noise):
    return pathwise(f, mean, torch.ones_like(std), noise)


def f_differentiated_twice_over(f, mean, std, noise):
    return pathwise(lambda z: f(z) ** 2 / 2, mean, std, noise)


def a_tuple_of_gradients(f, mean, std, noise):
    leaf = mean.clone().requires_grad_()
    return torch.autograd.grad(f(leaf + std * noise).mean(), leaf)


def only_the_largest(f, mean, std, noise):
    leaf = mean.clone().requires_grad_()
    return torch.autograd.grad(f(leaf + std * noise).max(), leaf)[0]


def difference_from_the_mean(f, mean, std, noise):
    return pathwise(f, mean, std, noise) - pathwise(f, mean, 0 * std, noise)


def item_taken(f, mean, std, noise):
    leaf = mean.clone().requires_grad_()
    f(leaf.item() + std * noise).mean().backward()
    return leaf.grad


def one_too_few(f, mean, std, noise):
    return pathwise(f, mean, std, noise) * len(noise) / (len(noise) - 1)


def noise_turned_round(f, mean, std, noise):
    return pathwise(f, mean, std, -noise)


def std_not_in_the_sample(f, mean, std, noise):
    return (f(mean + noise) * noise / std).mean()


def latent_for_score(f, mean, std, noise):
    latent = mean + std * noise
    return (f(latent) * latent / std**2).mean()


def size_of_the_noise(f, mean, std, noise):
    return (f(mean + std * noise) * noise.abs() / std).mean()


def two_sided(f, mean, std, noise):
    return ((f(mean + std * noise) - f(mean - std * noise)) * noise / std).mean()


def f_at_the_mean_as_baseline(f, mean, std, noise):
    return ((f(mean + std * noise) - f(mean)) * noise / std).mean()


def own_variance(f, mean, std, noise):
    latent = mean + std * noise
    return (f(latent) * (latent - mean) / latent.var()).mean()


def whitened(f, mean, std, noise):
    values = f(mean + std * noise)
    return ((values - values.mean()) / values.std() * noise / std).mean()


WRONG_PLACE, WRONG_FACTORS = "f is evaluated in the wrong place", "wrong factors"
UNLISTED = [
    ("reparameterize", noise_from_minus_one_to_one, "noise is not normal"),
    ("reparameterize", laplace_noise, "noise is not normal"),
    ("reparameterize", noise_never_negative, "do not scatter around"),
    ("reparameterize", sigmoid_for_std, "too much or too little"),
    ("reparameterize", power_of_two, "too much or too little"),
    ("reparameterize", averages_ten_draws, "too much or too little"),
    ("reparameterize", arguments_swapped, "do not scatter around"),
    ("reparameterize", returns_three_things, "a tuple of 3"),
    ("reparameterize", averaged_over_the_batch, "(B, D) goes in"),
    ("reparameterize", std_with_a_floor, "is not the σ"),
    ("reparameterize", noise_of_the_transposed_shape, "mean ("),
    ("reparameterize", changes_its_argument, "changed its argument log_var"),
    ("pathwise_gradient", std_left_out, "'mean + noise'"),
    ("pathwise_gradient", f_differentiated_twice_over, WRONG_FACTORS),
    ("pathwise_gradient", a_tuple_of_gradients, "A tuple of 1 came back"),
    ("pathwise_gradient", only_the_largest, WRONG_FACTORS),
    ("pathwise_gradient", difference_from_the_mean, "'mean + std·noise, mean'"),
    ("pathwise_gradient", one_too_few, WRONG_FACTORS),
    ("pathwise_gradient", noise_turned_round, "'mean - std·noise'"),
    ("score_function_gradient", std_not_in_the_sample, WRONG_PLACE),
    ("score_function_gradient", latent_for_score, WRONG_FACTORS),
    ("score_function_gradient", size_of_the_noise, WRONG_FACTORS),
    ("score_function_gradient", two_sided, "'mean + std·noise, mean - std·noise'"),
    ("score_function_gradient", f_at_the_mean_as_baseline, "'mean + std·noise, mean'"),
    ("score_function_gradient", own_variance, WRONG_FACTORS),
    ("score_function_gradient", whitened, WRONG_FACTORS),
]


@pytest.mark.parametrize(("name", "function", "words"), UNLISTED,
                         ids=[f.__name__ for _, f, _ in UNLISTED])  # fmt: skip
def test_wrong_answer_that_nobody_listed_gets_a_useful_hint(name, function, words):
    assert_helped(name, function, words, seeds=(0, 1))


@pytest.mark.parametrize(("name", "function", "mistake"), [
    ("reparameterize", numpy_all_the_way, "gradient-cut"),
    ("pathwise_gradient", item_taken, "graph-cut"),
])  # fmt: skip
def test_listed_mistake_in_a_student_s_own_words_is_recognised(name, function, mistake):
    assert_named(name, function, mistake)


PAIRS = [
    ("reparameterize", "variance-for-std", "torch-normal"),
    ("reparameterize", "variance-for-std", "gradient-cut"),
    ("reparameterize", "variance-for-std", "noise-shared-by-batch"),
    ("reparameterize", "variance-for-std", "noise-shared-by-dimensions"),
    ("reparameterize", "variance-for-std", "uniform-noise"),
    ("reparameterize", "log-var-for-std", "std-cut"),
    ("reparameterize", "mean-left-out", "noise-shared-by-dimensions"),
    ("reparameterize", "fixed-seed", "gradient-cut"),
    ("pathwise_gradient", "summed", "gradient-of-std"),
    ("pathwise_gradient", "std-as-log-var", "not-averaged"),
    ("pathwise_gradient", "std-as-variance", "summed"),
    ("score_function_gradient", "summed", "not-divided"),
    ("score_function_gradient", "sign", "divided-by-std-again"),
    ("score_function_gradient", "f-at-mean", "deviation-for-score"),
    ("score_function_gradient", "baseline", "summed"),
]


@pytest.mark.parametrize(("name", "first", "second"), PAIRS)
def test_pair_of_slips_is_named(name, first, second):
    assert_both_named(name, first, second)


def test_an_answer_that_edits_its_arguments_harms_no_later_check():
    def edits(f, mean, std, noise):
        mean.requires_grad_()
        f(mean + std * noise).sum().backward()
        noise.zero_()
        return mean.grad

    for _ in range(2):
        assert verdict("pathwise_gradient", edits).status != "passed"
        assert verdict("pathwise_gradient", pathwise).passed
        assert verdict("reparameterize", changes_its_argument).status == "wrong"
        assert verdict("reparameterize", reparameterize).passed


# ------------------------------------------------------------ the notebook against the package

NOTEBOOK, COMPANION = "03_reparameterization", "03b_reparameterization_deeper"


def test_first_screen_s_draw_lets_no_gradient_through_and_the_exercise_s_does():
    directly = definitions(NOTEBOOK, "draw_directly").draw_directly
    mean, log_var = torch.randn(2, 6, 4).requires_grad_()
    for draw, arrives in ((directly, False), (reparameterize, True)):
        (given,) = torch.autograd.grad(draw(mean, log_var).sum(), mean)
        assert bool(given.any()) is arrives


def test_companion_s_estimators_are_the_exercises_on_its_world():
    names = ["MEAN", "STD", "TARGET", "EXACT", "pathwise", "score_function"]
    notebook = definitions(COMPANION, *names)
    noise = torch.randn(50)
    mean, std = torch.tensor(notebook.MEAN), torch.tensor(notebook.STD)

    def f(latent):
        return (latent - notebook.TARGET).square()

    torch.testing.assert_close(notebook.pathwise(noise), pathwise(f, mean, std, noise))
    torch.testing.assert_close(notebook.score_function(noise), score(f, mean, std, noise))
    lowered = notebook.score_function(noise, baseline=2.0)
    torch.testing.assert_close(lowered, score(lambda z: f(z) - 2, mean, std, noise))
    assert notebook.EXACT == 2 * (notebook.MEAN - notebook.TARGET)


def test_companion_s_variances_of_a_cosine_are_the_integrals():
    exact = definitions(COMPANION, "exact_variances").exact_variances
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    weights = weights / weights.sum()
    for omega in (0.5, 2.0, 4.0):
        latent = 0.3 + 0.5 * nodes
        samples = (-omega * np.sin(omega * latent), np.cos(omega * latent) * nodes / 0.5)
        for each, stated in zip(samples, exact(omega), strict=True):
            variance = weights @ each**2 - (weights @ each) ** 2
            assert variance == pytest.approx(stated, rel=1e-6)


@pytest.mark.parametrize("way", ["σ itself", "softplus", "log σ²"])
def test_notebook_s_search_starts_at_one_and_log_variance_is_pushed_alike_at_every_scale(way):
    notebook = definitions(NOTEBOOK, "to_std", "start")
    begin = torch.tensor(notebook.start[way]).double()
    torch.testing.assert_close(notebook.to_std[way](begin), torch.tensor(1.0).double())
    pushes = []
    for output in (-6.0, 0.0, 6.0) if way == "log σ²" else (0.2, 1.0, 5.0):
        r = torch.tensor(output).double().requires_grad_()
        std = notebook.to_std[way](r)
        loss = std.log() + 0.5 * (1.2 * std.detach() / std) ** 2  # 20 % too narrow
        pushes.append(torch.autograd.grad(loss, r)[0].item())
    alike = max(pushes) - min(pushes) < 1e-9
    assert alike is (way == "log σ²")
    if alike:
        assert pushes[0] == pytest.approx((1 - 1.2**2) / 2)


# ------------------------------------------------------------ the challenge


class Coder:
    r"""Codes that hold the first ten pixels of the middle row, and a decoder that paints them."""

    def __init__(self, log_var):
        self.log_var = log_var

    def encode(self, image):
        mean = image[:, 0, 14, 9:19]
        return mean, torch.full_like(mean, self.log_var)

    def decode(self, latent):
        image = torch.zeros(len(latent), 1, 28, 28)
        image[:, 0, 14, 9:19] = latent
        return image


def test_challenge_shakes_narrow_clouds_and_leaves_wide_ones():
    sharp, narrow, wide = (checks.challenge("03", Coder(v)) for v in (-30.0, -8.0, 2.0))
    assert sharp.score == narrow.score < wide.score, "below the floor, σ does not count"
    assert "In 10 of 10" in sharp.where and "In 0 of 10" in wide.where
    assert not wide.passed and checks.challenge("03", Coder(2.0)).score == wide.score


def test_challenge_refuses_codes_of_another_size():
    assert checks.challenge("03", models.VAE.dense(8, hidden=10)).status == "error"
    assert checks.challenge("03", models.VAE.dense(10, hidden=10)).status == "not yet"
    assert checks.challenge("03").status == "task"


# ------------------------------------------------------------ the explorer


@pytest.fixture(scope="module")
def explorer():
    return reparameterization_explorer()


def test_every_control_changes_the_picture(explorer):
    start = explorer.picture()
    changes = [{"mean": -1.0}, {"log_var": 1.0}, {"sample": 4}, {"noise": 1}]
    for change in [*changes, {"arrow": "mean"}, {"arrow": "none"}]:
        assert explorer.picture(**change) != start, change
    assert explorer.picture() == start


def test_noise_stays_when_mean_and_spread_move(explorer):
    told = [explorer.words(mean=m, log_var=v) for m, v in ((0.0, 0.0), (-2.0, 1.4), (1.0, -4.0))]
    noise = {words.split("σ · ε = ")[1].split(" · ")[1].split(" = ")[0] for words in told}
    assert len(noise) == 1
    other = explorer.words(noise=1).split("σ · ε = ")[1].split(" · ")[1].split(" = ")[0]
    assert other not in noise


@pytest.mark.parametrize("mean", [-2.0, 0.3])
@pytest.mark.parametrize("log_var", [-4.0, 0.0, 1.4])
@pytest.mark.parametrize("sample", [1, 5])
def test_formula_says_what_the_trick_computes(mean, log_var, sample):
    text = reparameterization.formula(mean, log_var, sample, noise=2).replace("−", "-")
    first, second = text.splitlines()
    assert float(first.rsplit("= ")[-1]) == round(math.exp(log_var / 2), 2)
    left, value = second.removeprefix("z = μ + σ · ε = ").split(" = ")
    shift, product = left.split(" + ")
    std, draw = (float(part.strip("()")) for part in product.split(" · "))
    assert float(shift) == mean and std == round(math.exp(log_var / 2), 2)
    assert abs(mean + math.exp(log_var / 2) * draw - float(value)) < 0.02


def test_arrows_are_said_in_words(explorer):
    assert "every sample moves by 0.1" in explorer.words(arrow="mean")
    draw = reparameterization._draws(0)[1]
    expected = f"sample 2 moves by {0.1 * draw:.3f}".replace("-", "−")
    assert expected in explorer.words(arrow="std", sample=2)
    assert "moves by" not in explorer.words(arrow="none")


def test_both_ends_of_every_slider_can_be_drawn(explorer):
    for mean in (-2.0, 2.0):
        for log_var in (-4.0, 1.4):
            assert explorer.picture(mean=mean, log_var=log_var).startswith(b"\x89PNG")
