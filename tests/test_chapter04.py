r"""Chapter 04: KLs against the truth, its exercises, the explorers, the notebook's functions."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence

from check_tools import assert_both_named, assert_helped, assert_passes, flat, verdict
from notebook_code import definitions
from vae_course import checks, losses, pretrained
from vae_course.checks import draw
from vae_course.models import VAE
from vae_course.widgets import elbo_gap_explorer, kl_explorer
from vae_course.widgets.kl import LinearGaussian, kl_between_curves

NOTEBOOK, COMPANION = "04_kl_loss", "04b_kl_loss_deeper"


def normals(count, *shape, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=dtype) for _ in range(count)]


def std(log_var):
    return torch.exp(0.5 * log_var)


# ------------------------------------------------------------------ the package and the truth


def test_gaussian_kl_is_what_torch_distributions_says():
    mean, log_var = normals(2, 50, 7)
    q, p = Normal(mean, std(log_var)), Normal(torch.zeros(()).double(), 1.0)
    expected = kl_divergence(q, p).sum(dim=1)
    assert (losses.gaussian_kl(mean, log_var) - expected).abs().max() < 1e-6


def test_gaussian_kl_between_is_what_torch_distributions_says():
    mean_q, log_var_q, mean_p, log_var_p = normals(4, 50, 7)
    expected = kl_divergence(Normal(mean_q, std(log_var_q)), Normal(mean_p, std(log_var_p)))
    value = losses.gaussian_kl_between(mean_q, log_var_q, mean_p, log_var_p)
    assert (value - expected.sum(dim=1)).abs().max() < 1e-6


def test_monte_carlo_meets_the_closed_form_within_its_error_which_shrinks_as_root_n():
    mean, log_var = normals(2, 6, 4)
    exact, errors = losses.gaussian_kl(mean, log_var), []
    for samples in (400, 40_000):
        noise = normals(1, samples, 6, 4, seed=samples)[0]
        each = torch.stack([losses.monte_carlo_kl(mean, log_var, n[None]) for n in noise[:400]])
        error = each.std(dim=0) / math.sqrt(samples)
        estimate = losses.monte_carlo_kl(mean, log_var, noise)
        assert ((estimate - exact).abs() < 4 * error).all()
        errors.append((estimate - exact).square().mean().sqrt())
    assert errors[1] < errors[0] / 3


@pytest.mark.parametrize("name", ["gaussian_kl", "gaussian_kl_between", "monte_carlo_kl"])
def test_reference_agrees_with_the_package(name):
    exercise = checks.exercise(name)
    args = exercise.inputs(draw.case(3))
    torch.testing.assert_close(exercise.reference(*args), getattr(losses, name)(*args))


def test_effective_beta_is_what_the_reductions_do_to_a_real_batch():
    per_pixel, per_latent = torch.rand(16, 30), torch.rand(16, 5)
    reduced = {
        "sum": lambda t: t.sum(),
        "batchmean": lambda t: t.sum() / len(t),
        "mean": lambda t: t.mean(),
    }
    right = checks.exercise("effective_beta").reference
    for r, of_pixels in reduced.items():
        for k, of_latents in reduced.items():
            weight_r = of_pixels(per_pixel) / per_pixel.sum(1).mean()
            weight_k = of_latents(per_latent) / per_latent.sum(1).mean()
            assert right(r, k, 30, 5, 16) == pytest.approx(float(weight_k / weight_r), rel=1e-4)


@pytest.mark.parametrize(("reductions", "beta"), [
    (("mean", "mean"), 784 / 20), (("mean", "batchmean"), 784), (("mean", "sum"), 784 * 128),
    (("batchmean", "mean"), 1 / 20), (("sum", "sum"), 1), (("batchmean", "batchmean"), 1),
])  # fmt: skip
def test_effective_beta_of_the_reductions_in_the_literature(reductions, beta):
    found = checks.exercise("effective_beta").reference(*reductions, 784, 20, 128)
    assert found == pytest.approx(beta)


# ------------------------------------------------------------ right answers written another way


def kl_by_distributions(mean, log_var):
    prior = Independent(Normal(torch.zeros_like(mean), torch.ones_like(mean)), 1)
    return kl_divergence(Independent(Normal(mean, std(log_var)), 1), prior)


def kl_as_printed_in_the_paper(mean, log_var):
    return -0.5 * (1 + log_var - mean.pow(2) - log_var.exp()).sum(-1)


def kl_image_by_image(mean, log_var):
    def of_one(mean, log_var):
        return sum(0.5 * (m * m + math.e**v - v - 1) for m, v in zip(mean, log_var, strict=True))

    return torch.stack(list(map(of_one, mean, log_var)))


def between_by_distributions(mean_q, log_var_q, mean_p, log_var_p):
    return kl_divergence(Normal(mean_q, std(log_var_q)), Normal(mean_p, std(log_var_p))).sum(1)


def between_by_matrices(mean_q, log_var_q, mean_p, log_var_p):
    q = MultivariateNormal(mean_q, scale_tril=torch.diag_embed(std(log_var_q)))
    p = MultivariateNormal(mean_p, scale_tril=torch.diag_embed(std(log_var_p)))
    return kl_divergence(q, p)


def between_in_a_frame_where_p_is_standard(mean_q, log_var_q, mean_p, log_var_p):
    return kl_as_printed_in_the_paper((mean_q - mean_p) / std(log_var_p), log_var_q - log_var_p)


def sampled_by_the_package(mean, log_var, noise):
    return losses.monte_carlo_kl(mean, log_var, noise)


def sampled_without_constants(mean, log_var, noise):
    latent = mean + std(log_var) * noise
    return 0.5 * (latent**2 - noise**2 - log_var).sum(-1).mean(0)


def sampled_one_by_one(mean, log_var, noise):
    q = Independent(Normal(mean, std(log_var)), 1)
    p = Independent(Normal(torch.zeros_like(mean), 1.0), 1)
    latents = [mean + n * std(log_var) for n in noise]
    return torch.stack([q.log_prob(z) - p.log_prob(z) for z in latents]).mean(dim=0)


def beta_relative_to_the_total_sum(reconstruction, kl, pixels, latent_dim, batch_size):
    r = {"sum": 1, "batchmean": 1 / batch_size, "mean": 1 / (batch_size * pixels)}
    k = {"sum": 1, "batchmean": 1 / batch_size, "mean": 1 / (batch_size * latent_dim)}
    return k[kl] / r[reconstruction]


def beta_by_ifs(reconstruction, kl, pixels, latent_dim, batch_size):
    beta = 1.0
    if reconstruction == "mean":
        beta *= pixels
    elif reconstruction == "sum":
        beta /= batch_size
    if kl == "mean":
        beta /= latent_dim
    elif kl == "sum":
        beta *= batch_size
    return np.float64(beta)


RIGHT = {
    "gaussian_kl": [kl_by_distributions, kl_as_printed_in_the_paper, kl_image_by_image],
    "gaussian_kl_between": [between_by_distributions, between_by_matrices,
                            between_in_a_frame_where_p_is_standard],
    "monte_carlo_kl": [sampled_by_the_package, sampled_without_constants, sampled_one_by_one],
    "mutual_information": [lambda e: e.log_softmax(1).diag().mean() + math.log(len(e)),
                           lambda e: math.log(len(e)) - F.cross_entropy(e, torch.arange(len(e)))],
    "effective_beta": [beta_relative_to_the_total_sum, beta_by_ifs],
}  # fmt: skip


@pytest.mark.parametrize(("name", "function"), flat(RIGHT))
def test_right_answer_written_another_way_passes(name, function):
    assert_passes(name, function, range(5))


# ------------------------------------------------- wrong answers that no catalogue entry foresaw


def kl(mean, log_var):
    return 0.5 * (mean**2 + log_var.exp() - 1 - log_var)


def between(mq, vq, mp, vp):
    return 0.5 * ((vq - vp).exp() + (mq - mp) ** 2 / vp.exp() - 1 + vp - vq)


def clamped(v):
    return v.clamp(-10, 10)


def eps_kl(mean, log_var):
    variance = log_var.exp()
    return 0.5 * (mean**2 + variance - 1 - torch.log(variance + 1e-8)).sum(1)


def softplus_kl(mean, log_var):
    variance = F.softplus(log_var)
    return 0.5 * (mean**2 + variance - 1 - variance.log()).sum(1)


def eps_between(mq, vq, mp, vp):
    spread, shift = (v.exp() / (vp.exp() + 1e-6) for v in (vq, 2 * (mq - mp).abs().log()))
    return 0.5 * (spread + shift - 1 + vp - vq).sum(1)


def log_ratio(mean, log_var, noise, *, latent=None, q=None):
    latent = mean + std(log_var) * noise if latent is None else latent
    q = Normal(mean, std(log_var)) if q is None else q
    return q.log_prob(latent) - Normal(0.0, 1.0).log_prob(latent)


def by_densities(mean, log_var, noise):
    latent = mean + std(log_var) * noise
    ratio = Normal(mean, std(log_var)).log_prob(latent).exp()
    return (ratio / Normal(0.0, 1.0).log_prob(latent).exp()).log().sum(2).mean(0)


def low_variance_estimator(mean, log_var, noise):
    ratio = log_ratio(mean, log_var, noise).sum(2)
    return ((-ratio).exp() - 1 + ratio).mean(0)


def gradient_cut_in_the_samples(mean, log_var, noise):
    latent = (mean + std(log_var) * noise).detach()
    return log_ratio(mean, log_var, noise, latent=latent).sum(2).mean(0)


def q_at_the_origin(mean, log_var, noise):
    return log_ratio(mean, log_var, noise, q=Normal(0.0, std(log_var))).sum(2).mean(0)


def information_by_densities(log_q_each):
    return (log_q_each.diag() - log_q_each.exp().mean(1).log()).mean()


def weight(reduction, values, batch):
    return {"sum": batch, "batchmean": 1, "mean": 1 / values}[reduction]


def sum_divides(reconstruction, kl, pixels, latent_dim, batch_size):
    k = {"sum": 1 / batch_size, "batchmean": 1, "mean": 1 / latent_dim}[kl]
    return k / {"sum": 1 / batch_size, "batchmean": 1, "mean": 1 / pixels}[reconstruction]


UNLISTED = {
    "gaussian_kl": {
        "clamp": (lambda m, v: kl(m, clamped(v)).sum(1), "clamp"),
        "eps in the logarithm": (eps_kl, "small constant"),
        "softplus for the variance": (softplus_kl, "the KL must be 0"),
        "absolute mean": (lambda m, v: (kl(m, v) + 0.5 * (m.abs() - m**2)).sum(1), "the mean"),
        "one image squeezed away": (lambda m, v: kl(m, v).sum(1).squeeze(), "squeeze"),
        "gradient cut in one term": (lambda m, v: (kl(m, v) + v - v.detach()).sum(1), ".detach()"),
        "last dimension lost": (lambda m, v: kl(m, v)[:, :-1].sum(1), "left out"),
        "divided by the batch": (lambda m, v: kl(m, v).sum(1) / len(m), "mean.shape[0]"),
        "−1 once, not D times": (lambda m, v: (kl(m, v) + 0.5).sum(1) - 0.5, "once"),
        "base 10": (lambda m, v: (kl(m, v) + 0.5 * (10**v - v.exp())).sum(1), "log_var enters"),
        "largest dimension": (lambda m, v: kl(m, v).max(1).values, "is not the sum"),
        "NumPy": (lambda m, v: kl(m, v).sum(1).numpy(), "NumPy array"),
    },
    "gaussian_kl_between": {
        "eps in the divisions": (eps_between, "small constant"),
        "spread subtracted": (lambda mq, vq, mp, vp: (between(mq, vq, mp, vp) + 0.5 * (
            vq.exp() - vp.exp() - (vq - vp).exp())).sum(1), "equal Gaussians"),
        "arguments as mean, mean": (lambda mq, vq, mp, vp: between(mq, mp, vq, vp).sum(1),
                                    "equal Gaussians"),
        "means added": (lambda mq, vq, mp, vp: between(mq, vq, -mp, vp).sum(1), "equal Gaussians"),
        "only log σ_q": (lambda mq, vq, mp, vp: (between(mq, vq, mp, vp) - 0.5 * vp).sum(1),
                         "equal Gaussians"),
        "p not trained": (lambda mq, vq, mp, vp: between(mq, vq, mp.detach(), vp.detach()).sum(1),
                          "no gradient reaches mean_p"),
        "off by one": (lambda *a: between(*a).sum(1) + 1, "constant term"),
    },
    "monte_carlo_kl": {
        "densities, then the logarithm": (by_densities, "log-densities"),
        "another estimator": (low_variance_estimator, "is not the sum"),
        "samples detached": (gradient_cut_in_the_samples, "gradient"),
        "q at the origin": (q_at_the_origin, "by hand"),
        "clamped at the end": (lambda *a: log_ratio(*a).sum(2).mean(0).clamp(min=0), "negative"),
        "absolute at the end": (lambda *a: log_ratio(*a).sum(2).mean(0).abs(), "without its sign"),
        "S − 1": (lambda m, v, n: log_ratio(m, v, n).sum(2).sum(0) / (len(n) - 1), "average"),
        "median": (lambda *a: log_ratio(*a).sum(2).median(0).values, "is not the sum"),
        "a thousand of its own": (lambda m, v, n: log_ratio(m, v, torch.randn(1000, *m.shape))
                                  .sum(2).mean(0), "Two calls"),
        "noise subtracted": (lambda m, v, n: log_ratio(m, v, -n).sum(2).mean(0), "by hand"),
        "bits": (lambda *a: log_ratio(*a).sum(2).mean(0) / math.log(2), "bits"),
        "wrong axis": (lambda *a: log_ratio(*a).sum(1).mean(0), "shape"),
    },
    "mutual_information": {
        "densities, then the logarithm": (information_by_densities, "log-densities of −300"),
        "largest cloud only": (lambda e: (e.diag() - e.amax(1)).mean() + math.log(len(e)), "tell"),
        "one number per image": (lambda e: e.log_softmax(1).diag() + math.log(len(e)), "shape"),
        "bits": (lambda e: (e.log_softmax(1).diag().mean() + math.log(len(e))) / math.log(2),
                 "bits"),
    },
    "effective_beta": {
        "a ratio of sizes": (lambda r, k, p, d, b: p / d, "Both terms summed"),
        "sizes written in": (lambda r, k, p, d, b: weight(k, 20, b) / weight(r, 784, b),
                             "written into"),
        "batch written in": (lambda r, k, p, d, b: weight(k, d, 128) / weight(r, p, 128),
                             "written into"),
        "sum divides by the batch": (sum_divides, "adds up the images"),
        "difference": (lambda r, k, p, d, b: weight(k, d, b) - weight(r, p, b), "β is 1"),
        "root": (lambda r, k, p, d, b: (weight(k, d, b) / weight(r, p, b)) ** 0.5, "square root"),
        "a tensor of one": (lambda r, k, p, d, b: torch.tensor([1.0]), "one number"),
        "a reduction forgotten": (lambda r, k, p, d, b: {"sum": b, "mean": 1 / d}[k], "batchmean"),
    },
}  # fmt: skip


@pytest.mark.parametrize(("name", "wrong", "words"), flat(UNLISTED))
def test_slip_nobody_listed_is_rejected_with_a_useful_hint(name, wrong, words):
    assert_helped(name, wrong, words)


def test_right_gradient_is_not_doubted_where_only_the_values_are_wrong():
    found = verdict("gaussian_kl", lambda m, v: 1.7 * kl(m, v).sum(1))
    assert "1.7 times" in found.hint and "gradient" not in found.hint


PAIRS = [
    ("gaussian_kl", "sign", "half-missing"),
    ("gaussian_kl", "half-missing", "averaged-over-latents"),
    ("gaussian_kl", "sign", "summed-over-everything"), ("gaussian_kl", "std-for-variance", "sign"),
    ("gaussian_kl", "half-missing", "averaged-over-everything"),
    ("gaussian_kl_between", "swapped", "half-missing"),
    ("gaussian_kl_between", "swapped", "averaged-over-latents"),
    ("gaussian_kl_between", "shift-over-q", "log-ratio-flipped"),
    ("monte_carlo_kl", "sign", "averaged-over-latents"), ("monte_carlo_kl", "sign", "one-number"),
    ("monte_carlo_kl", "prior-samples", "sign"),
    ("effective_beta", "inverted", "batch-forgotten"),
    ("effective_beta", "sizes-swapped", "batch-forgotten"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "first", "second"), PAIRS)
def test_pair_of_mistakes_is_recognised(name, first, second):
    assert_both_named(name, first, second)


def test_every_draw_of_monte_carlo_kl_has_estimates_of_both_signs():
    """Else an absolute value at the end is right on some draws and wrong on others."""
    exercise = checks.exercise("monte_carlo_kl")
    for seed in range(300):
        estimates = exercise.reference(*exercise.inputs(draw.case(seed)))
        assert estimates.min() < -1e-2 and estimates.max() > 1e-2


# ----------------------------------------------------------------------------- the explorers


@pytest.mark.parametrize(("mean", "log_var"), [(0.0, 0.0), (1.5, -1.0), (-4.0, -3.0), (4.0, 2.0)])
def test_area_under_the_curve_is_the_closed_form(mean, log_var):
    q, p = [torch.tensor([[mean]]), torch.tensor([[log_var]])], [torch.zeros(1, 1)] * 2
    found = kl_between_curves(mean, log_var, "normal")
    assert found["q first"] == pytest.approx(losses.gaussian_kl(*q).item(), abs=1e-4)
    exact = losses.gaussian_kl_between(*p, *q).item()
    assert found["p first"] == pytest.approx(exact, rel=1e-4, abs=1e-4)


def test_one_bump_costs_one_bit_and_p_first_prefers_both():
    one, both = (kl_between_curves(*at, "bumps") for at in ((2.0, 2 * math.log(0.6)), (0.0, 1.47)))
    assert one["q first"] == pytest.approx(math.log(2), abs=0.01) and one["p first"] > 3
    assert both["p first"] < 0.6 < one["p first"] and both["q first"] > one["q first"]


def test_kl_explorer_fills_in_the_formula_and_both_units():
    explorer = kl_explorer()
    words = explorer.words(mean=2.0, log_var=0.0)
    assert "½ (4.00 + 1.00 − 1 − 0.00) = 2.00" in words
    assert "KL(q ‖ p) is 2.00 nats, 2.89 bits" in words
    words = explorer.words(mean=2.0, log_var=-1.0, direction="p first")
    assert "½ (13.59 − 1 − 1.00) = 5.80" in words and "KL(p ‖ q) is 5.80 nats" in words
    assert "no closed form" in explorer.words(target="bumps")
    assert "leaves the frame" in explorer.words(mean=4.0, log_var=-3.0, direction="p first")


@pytest.mark.parametrize("make", [kl_explorer, elbo_gap_explorer])
def test_each_control_changes_the_picture_and_the_words(make):
    explorer = make()
    other = {"mean": 0.8, "log_var": -0.5, "target": "bumps", "direction": "p first",
             "x": -1.0, "samples": 8}  # fmt: skip
    first = explorer.picture(), explorer.words()
    for name in explorer.controls:
        changed = explorer.picture(**{name: other[name]}), explorer.words(**{name: other[name]})
        assert changed[0] != first[0] and changed[1] != first[1], name
    assert (explorer.picture(), explorer.words()) == first


def test_box_and_slider_drive_the_picture():
    explorer = kl_explorer()
    before = explorer.image.value
    box, slider = explorer.rows["mean"].holders
    box.value = -2.0
    assert slider.value == -2.0 and explorer.image.value != before
    assert explorer.image.value == explorer.picture(mean=-2.0)


@pytest.mark.parametrize(("x", "mean", "log_var"), [(1.5, 0.0, 0.0), (-3.0, 2.0, -2.0), (0, 1, 1)])
def test_elbo_and_gap_add_up_to_log_p(x, mean, log_var):
    found = LinearGaussian(1.3, 0.6).terms(x, mean, log_var)
    assert found["elbo"] + found["kl_posterior"] == pytest.approx(found["log_evidence"], abs=1e-9)
    exact = Normal(0.0, math.sqrt(1.3**2 + 0.6**2)).log_prob(torch.tensor(float(x))).item()
    assert found["log_evidence"] == pytest.approx(exact, abs=1e-5)


def test_elbo_explorer_says_the_sum_and_tightens_with_k():
    explorer, world = elbo_gap_explorer(), LinearGaussian(1.0, 0.6)
    start = {name: f"{value:.2f}" for name, value in world.terms(1.5, 0.0, 0.0).items()}
    sentence = "= {elbo} nats; log p(x) = {log_evidence}; the gap, {kl_posterior}, is"
    assert sentence.format(**start).replace("-", "−") in explorer.words()
    bounds = []
    for samples in (1, 4, 16, 64):
        words = explorer.words(mean=0.2, log_var=-1.0, samples=samples)
        bounds.append(float(words.split("the bound is ")[1].split(". The")[0].replace("−", "-")))
    exact = {name: round(value, 2) for name, value in world.terms(1.5, 0.2, -1.0).items()}
    assert bounds == sorted(bounds) and bounds[0] == exact["elbo"]
    assert exact["log_evidence"] - 0.1 < bounds[-1] <= exact["log_evidence"]


def test_world_without_noise_is_refused():
    with pytest.raises(ValueError, match="noise_std is 0"):
        elbo_gap_explorer(noise_std=0)


# ------------------------------------------------------------- the notebook's own functions


def lesson(*names):
    r"""Functions of the lesson, with the references in the place of the student's own."""
    own = definitions(NOTEBOOK, *names)
    for name in names:
        space = getattr(getattr(own, name), "__globals__", {})
        space.setdefault("gaussian_kl", checks.exercise("gaussian_kl").reference)
    return own


def test_notebook_s_discrete_kl():
    own = definitions(NOTEBOOK, "kl_discrete").kl_discrete
    q, p = (F.softmax(t, dim=0) for t in normals(2, 9))
    expected = kl_divergence(torch.distributions.Categorical(q), torch.distributions.Categorical(p))
    torch.testing.assert_close(own(q, p), expected)


@pytest.mark.parametrize("own", [
    lambda: lesson("vae_loss").vae_loss, lambda: definitions(COMPANION, "vae_loss").vae_loss,
], ids=["lesson", "companion"])  # fmt: skip
def test_notebooks_loss_is_the_package_s(own):
    torch.manual_seed(1)
    model, image = VAE.dense(5, hidden=16), torch.rand(7, 1, 28, 28)
    torch.manual_seed(2)
    terms = own()(3.0)(model, image)
    torch.manual_seed(2)
    expected = losses.negative_elbo(*[(out := model(image))[0], image, *out[1:]], beta=3.0)
    torch.testing.assert_close(terms["loss"], expected)
    torch.testing.assert_close(terms["loss"], terms["reconstruction"] + 3 * terms["kl"])


def test_notebook_s_elbo_plus_gap_is_log_p_for_any_cloud_in_both_worlds():
    own = lesson("s", "b", "x", "straight", "tilted", "world", "exact_elbo")
    mean, log_var = normals(2, 30, 2)
    q = MultivariateNormal(mean, torch.diag_embed(log_var.exp()))
    for weights in (own.straight, own.tilted):
        log_evidence, posterior_mean, precision = own.world(weights)
        posterior = MultivariateNormal(posterior_mean[0], precision_matrix=precision)
        total = own.exact_elbo(weights, mean, log_var) + kl_divergence(q, posterior)
        assert (total - log_evidence).abs().max() < 1e-9
    assert own.world(own.straight)[2][0, 1].abs() < 1e-12 < own.world(own.tilted)[2][0, 1].abs()


def test_companion_splits_the_rate_as_the_formula_says():
    own = definitions(COMPANION, "log_each").log_each
    mean, log_var = normals(2, 6, 2, seed=3)
    latent = normals(1, 9, 2, seed=4)[0]
    mixture = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(torch.ones(6).double()),
        Independent(Normal(mean, std(log_var)), 1),
    )
    each = own(latent, mean, log_var)  # (9, 6)
    torch.testing.assert_close(each.logsumexp(1) - math.log(6), mixture.log_prob(latent))


@pytest.mark.parametrize("apart, nats", [(0.0, 0.0), (50.0, math.log(5))])
def test_information_of_clouds_that_coincide_and_of_clouds_that_do_not_touch(apart, nats):
    centre = apart * torch.arange(5.0)  # five clouds of width 1 in a row
    each = Normal(centre, 1.0).log_prob((centre + 0.3)[:, None])  # (5, 5)
    found = checks.exercise("mutual_information").reference(each)
    assert found.item() == pytest.approx(nats, abs=1e-5)


def test_companion_s_cures_touch_the_training_only():
    own = definitions(COMPANION, "vae_loss", "warm_up_loss", "free_bits_loss")
    torch.manual_seed(1)
    model, image = VAE.dense(5, hidden=16), torch.rand(7, 1, 28, 28)

    def loss_of(loss, train):
        model.train(train)
        torch.manual_seed(2)
        found = loss(model, image)
        return (found["loss"] if isinstance(found, dict) else found).item()

    plain = loss_of(own.vae_loss(1), True)
    warm = own.warm_up_loss(4)
    rising = [loss_of(warm, True) for _ in range(5)]
    assert rising[0] < rising[1] < rising[2] < rising[3] == rising[4] == plain
    assert loss_of(own.warm_up_loss(4), False) == plain
    assert loss_of(own.free_bits_loss, True) > plain  # the floor binds: 5 · ½


@pytest.mark.parametrize("name", [NOTEBOOK, COMPANION])
def test_badly_reduced_losses_have_the_effective_beta_they_are_said_to(name):
    own = definitions(name, "averaged_loss").averaged_loss
    loss = definitions(COMPANION, "vae_loss").vae_loss
    torch.manual_seed(1)
    model, image = VAE.dense(20, hidden=16), torch.rand(7, 1, 28, 28)

    def value(loss):
        torch.manual_seed(2)
        found = loss(model, image)
        return found["loss"] if isinstance(found, dict) else found

    torch.testing.assert_close(784 * value(own), value(loss(784 / 20)))
    if name == COMPANION:
        half = definitions(name, "averaged_loss", "half_averaged_loss").half_averaged_loss
        torch.testing.assert_close(value(half), value(loss(1 / 20)))


# ------------------------------------------------------------- what ships, and the challenge


@pytest.mark.parametrize("part, latents, betas", [
    ("maps", {2}, {0, 1, 4, 16}), ("sweep", {10, 20}, {0.25, 0.5, 1, 2, 4, 8, 16}),
])  # fmt: skip
def test_logs_hold_three_seeds_and_add_up(part, latents, betas):
    rows = [{k: v for k, v in row.items() if v is not None}
            for row in pretrained.load_results(f"beta-{part}")]  # fmt: skip
    assert {row["latent_dim"] for row in rows} == latents and {r["beta"] for r in rows} == betas
    for row in rows:
        total = row["reconstruction"] + row["kl"]
        assert abs(total - row["negative_elbo"]) < 1e-3
        each = [value for name, value in row.items() if name.startswith("kl_")]
        assert len(each) == row["latent_dim"] and abs(sum(each) - row["kl"]) < 1e-2
        assert 0 <= row["aggregate_kl"] <= row["kl"] and row["frechet_prior"] > row["floor"]
    seeds = {}
    for row in rows:
        seeds.setdefault((row["latent_dim"], row["beta"]), []).append(row["seed"])
    assert all(sorted(found) == [0, 1, 2] for (_, beta), found in seeds.items() if beta != 16)


def test_challenge_counts_every_nat_above_ten_tenfold():
    class Told(torch.nn.Module):
        r"""The image itself as logits, and a KL of `nats`."""

        def __init__(self, nats):
            super().__init__()
            self.nats = nats

        def forward(self, image):
            mean = torch.full((len(image), 1), math.sqrt(2 * self.nats))
            return 20 * (2 * image - 1), mean, torch.zeros_like(mean)

    cheap, dear = (checks.challenge("04", Told(nats)) for nats in (9.5, 12.0))
    assert dear.score == pytest.approx(cheap.score + 20, abs=1e-2)
    assert "a larger β" in dear.where and "well spent" in cheap.where
    assert "left over" in checks.challenge("04", Told(1.0)).where
