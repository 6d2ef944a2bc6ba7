"""Bounds on the likelihood, held against a model whose likelihood is known exactly."""

import itertools
import math

import pytest
import torch
from torch import nn

from torch_tools import seeded
from vae_course import data, losses, metrics, models, pretrained


class Pixels(nn.Module):
    """A decoder that ignores the latent: p(x | z) = p(x), so log p(x) is known."""

    def __init__(self, logits):
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, latent):
        return self.logits.expand(len(latent), *self.logits.shape)


class Codes(nn.Module):
    """An encoder with the same answer for every image."""

    def __init__(self, mean, log_var):
        super().__init__()
        self.code = nn.Parameter(torch.cat([mean, log_var]))

    def forward(self, image):
        return self.code.expand(len(image), -1)


@pytest.fixture
def images():
    return torch.rand(7, 1, 4, 4, generator=seeded()).round()


@pytest.fixture
def known(images):
    """The VAE whose latent is not used, and log p(x) of the images."""
    logits = torch.randn(1, 4, 4, generator=seeded(1))
    mean, log_var = torch.tensor([0.4, -0.3]), torch.tensor([-0.5, 0.3])
    vae = models.VAE(Codes(mean, log_var), Pixels(logits), latent_dim=2)
    log_p = torch.distributions.Bernoulli(logits=logits).log_prob(images).sum(dim=(1, 2, 3))
    return vae, log_p


def small_vae():
    torch.manual_seed(2)
    return models.VAE.dense(3, hidden=8)


# ------------------------------------------------------------------------- the bound


def test_the_gap_of_the_elbo_is_the_kl_to_the_posterior(known, images):
    # Here the posterior is the prior, so the gap is KL(q ‖ N(0, I)), and closed-form.
    vae, log_p = known
    found = metrics.elbo(vae, images)
    variance = torch.tensor([-0.5, 0.3]).exp()
    kl = 0.5 * (torch.tensor([0.16, 0.09]) + variance - 1 - variance.log()).sum()
    assert torch.allclose(found.kl, kl.expand(7)) and torch.allclose(found.reconstruction, -log_p)
    assert torch.allclose(found.total, -log_p + kl)


def test_many_samples_close_the_gap(known, images):
    vae, log_p = known
    bound = metrics.importance_bound(vae, images, samples=20_000, rows=5000)
    assert torch.allclose(bound, log_p, atol=0.05)


def test_the_bound_grows_with_the_samples_on_average():
    images = torch.rand(60, 1, 28, 28, generator=seeded()).round()
    vae = small_vae()
    with torch.no_grad():
        vae.encoder[-1].bias[3:] += 1.5  # a wide posterior: loose bounds
        vae.decoder[2].weight *= 20
    means = [metrics.importance_bound(vae, images, samples=k).mean() for k in (1, 4, 16, 64)]
    steps = [after - before for before, after in itertools.pairwise(means)]
    assert min(steps) > 0.1, means


def test_one_sample_is_the_elbo_on_average():
    images = torch.rand(1, 1, 28, 28, generator=seeded()).round().expand(4000, -1, -1, -1)
    vae = small_vae()
    one = metrics.importance_bound(vae, images, samples=1)
    mean, error = metrics.mean_with_error(-one)
    assert abs(mean - metrics.elbo(vae, images[:1], samples=4000).total.item()) < 6 * error


@pytest.mark.parametrize("rows", [1, 3, 10, 64, 5000])
def test_rows_bound_what_is_decoded_at_once_and_change_nothing_else(known, images, rows):
    vae, log_p = known
    decoded = []
    with torch.no_grad():
        vae.encoder.code.zero_()  # q(z | x) is the prior: every single weight is p(x)
    vae.decoder.register_forward_hook(lambda _, inputs, __: decoded.append(len(inputs[0])))
    bound = metrics.importance_bound(vae, images, samples=64, rows=rows)
    assert max(decoded) <= rows and sum(decoded) == 64 * len(images)
    torch.testing.assert_close(bound, log_p)


def test_memory_does_not_grow_with_the_number_of_samples():
    images, seen = torch.rand(2, 1, 28, 28, generator=seeded()).round(), {}
    vae = small_vae()
    for samples in (1000, 20_000):
        sizes = seen[samples] = []
        keep = sizes.append
        hook = vae.decoder.register_forward_hook(lambda _, i, out, keep=keep: keep(out.numel()))
        metrics.importance_bound(vae, images, samples=samples, rows=500)
        hook.remove()
    assert max(seen[1000]) == max(seen[20_000]) == 500 * 784


def test_extreme_weights_do_not_overflow(images):
    far = models.VAE(
        Codes(torch.tensor([40.0]), torch.tensor([-8.0])), Pixels(torch.full((1, 4, 4), 90.0)),
        latent_dim=1,
    )  # fmt: skip
    bound = metrics.importance_bound(far, images, samples=10)
    assert bound.isfinite().all() and (bound < -700).all()


def test_the_same_seed_gives_the_same_bound_and_nothing_outside_is_touched():
    images = torch.rand(5, 1, 28, 28, generator=seeded()).round()
    vae = small_vae().train()
    torch.manual_seed(9)
    state = torch.get_rng_state()
    first = metrics.importance_bound(vae, images, samples=3)
    assert torch.equal(first, metrics.importance_bound(vae, images, samples=3))
    assert not torch.equal(first, metrics.importance_bound(vae, images, samples=3, seed=1))
    assert torch.equal(state, torch.get_rng_state()) and vae.training
    assert not first.requires_grad and all(p.grad is None for p in vae.parameters())


def test_labels_reach_a_conditional_vae():
    torch.manual_seed(0)
    vae = models.ConditionalVAE.dense(2, classes=3, hidden=6)
    images, labels = torch.rand(6, 1, 28, 28, generator=seeded(5)), torch.tensor([0, 1, 2] * 2)
    with torch.no_grad():
        vae.decoder[0].weight[:, :2] = 0  # the label alone decides the pixels: log p is known
        logits = vae.decoder(vae.decoder_input(torch.zeros(6, 2), labels))
    log_p = torch.distributions.Bernoulli(logits=logits).log_prob(images.round()).sum((1, 2, 3))
    options = {"samples": 500, "rows": 700}
    right = metrics.importance_bound(vae, images.round(), labels=labels, **options)
    wrong = metrics.importance_bound(vae, images.round(), labels=labels.flip(0), **options)
    assert torch.allclose(right, log_p, atol=0.1)
    assert not torch.allclose(wrong, log_p, atol=0.1)
    with pytest.raises(ValueError, match="labels"):
        metrics.elbo(vae, images)
    with pytest.raises(ValueError, match="knows no labels"):
        metrics.elbo(small_vae(), images, labels=labels)


@pytest.mark.parametrize("rows", [5, 700])
def test_each_image_keeps_its_label_when_many_are_decoded_at_once(rows):
    torch.manual_seed(0)
    vae = models.ConditionalVAE.dense(2, classes=3, hidden=6)
    with torch.no_grad():
        vae.decoder[0].weight[:, :2] = 0  # the label alone decides the pixels
        vae.encoder[-1].weight.zero_(), vae.encoder[-1].bias.zero_()  # q(z | x) is the prior
    images, labels = torch.rand(4, 1, 28, 28, generator=seeded(5)), torch.tensor([2, 0, 1, 1])
    bound = metrics.importance_bound(vae, images, labels=labels, samples=5, rows=rows)
    exact = metrics.elbo(vae, images, labels=labels)
    torch.testing.assert_close(bound, -exact.reconstruction, rtol=1e-4, atol=1e-3)


def test_codes_are_measured_without_dropout():
    vae, images = small_vae(), torch.rand(5, 1, 28, 28, generator=seeded())
    vae.encoder.insert(0, nn.Dropout(0.5))
    vae.train()
    first, again = metrics.latent_codes(vae, images), metrics.latent_codes(vae, images)
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1]) and vae.training
    assert torch.equal(metrics.elbo(vae, images).kl, metrics.elbo(vae, images).kl)


@pytest.mark.parametrize("options, words", [
    ({"samples": 0}, "samples is 0"),
    ({"samples": 2, "rows": 0}, "rows is 0"),
])  # fmt: skip
def test_bad_counts(images, known, options, words):
    with pytest.raises(ValueError, match=words):
        metrics.importance_bound(known[0], images, **options)


def test_images_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        metrics.elbo(small_vae(), torch.full((2, 1, 28, 28), 255.0))
    with pytest.raises(TypeError, match="expected a torch"):
        metrics.importance_bound(small_vae(), [[0.0]], samples=1)


# ------------------------------------------------------------------------- the latent space


def test_active_units_are_those_whose_means_move():
    mean = torch.randn(500, 4, generator=seeded()) * torch.tensor([1.0, 0.05, 0.2, 0.0])
    assert metrics.active_units(mean).tolist() == [True, False, True, False]
    assert metrics.active_units(mean, threshold=1e-4).tolist() == [True, True, True, False]
    with pytest.raises(ValueError, match="at least 2 images"):
        metrics.active_units(mean[:1])


def test_aggregate_posterior_has_the_moments_of_the_mixture():
    mean = torch.randn(200, 3, generator=seeded()) * 0.6 + torch.tensor([0.0, 1.0, -2.0])
    log_var = torch.randn(200, 3, generator=seeded(1)) - 1
    noise = torch.randn(2000, 200, 3, generator=seeded(2))
    draws = (mean + (0.5 * log_var).exp() * noise).flatten(end_dim=1)
    found = metrics.aggregate_posterior(mean, log_var)
    assert torch.allclose(found.mean, draws.mean(dim=0), atol=0.01)
    assert torch.allclose(found.std, draws.std(dim=0), atol=0.01)
    gaussian = torch.distributions.Normal(found.mean, found.std)
    kl = torch.distributions.kl_divergence(gaussian, torch.distributions.Normal(0.0, 1.0))
    assert torch.allclose(found.kl_to_prior, kl, atol=1e-5)
    with pytest.raises(ValueError, match="differ"):
        metrics.aggregate_posterior(mean, log_var[:, :2])


def test_the_kl_of_the_aggregate_is_at_most_the_average_kl():
    # The average KL is the KL of the aggregate plus what z tells about which image it was.
    vae, images = small_vae(), torch.rand(50, 1, 28, 28, generator=seeded())
    mean, log_var = metrics.latent_codes(vae, images)
    average = metrics.elbo(vae, images).kl.mean()
    assert metrics.aggregate_posterior(mean, log_var).kl_to_prior.sum() <= average + 1e-6


def test_latent_codes_are_those_of_the_encoder_whatever_the_batch():
    vae, images = small_vae(), torch.rand(11, 1, 28, 28)
    whole = metrics.latent_codes(vae, images)
    pieces = metrics.latent_codes(vae, images, batch_size=4)
    for first, second, direct in zip(whole, pieces, vae.encode(images)):
        assert torch.allclose(first, second, atol=1e-6) and torch.allclose(first, direct, atol=1e-6)


def test_mean_with_error():
    values = torch.tensor([1.0, 2.0, 3.0, 4.0])
    mean, error = metrics.mean_with_error(values)
    assert mean == 2.5 and error == pytest.approx(math.sqrt(5 / 3) / 2)
    with pytest.raises(ValueError, match="one number an image"):
        metrics.mean_with_error(torch.ones(3, 2))


# --------------------------------------------------------------- precision, and any likelihood


def test_bounds_in_bfloat16_equal_those_in_float32_within_their_standard_error():
    vae, _ = pretrained.load_vae("vae-conv")
    digits = data.load_images("mnist-5k").test_images[:64]

    def bounds():
        elbo = metrics.elbo(vae, digits, samples=4)
        return elbo.total, elbo.kl, metrics.importance_bound(vae, digits, samples=40)

    exact = bounds()
    with torch.autocast("cpu", torch.bfloat16):
        half = bounds()
    for found, expected in zip(half, exact, strict=True):
        assert found.dtype == torch.float32
        _, error = metrics.mean_with_error(expected)
        assert abs(found.mean() - expected.mean()) < error
        assert (found - expected).abs().max() < 1.5, "no single image is far off either"
    vae.bfloat16()
    assert (metrics.importance_bound(vae, digits, samples=40) - exact[2]).abs().max() < 1.5


@pytest.mark.parametrize("spec", ["gaussian:0.5", "logistic", "poisson", "categorical:3"])
def test_bounds_ask_the_likelihood_of_the_model(spec):
    """A decoder that ignores z: with the prior as posterior every bound is log p(x) itself."""
    likelihood = losses.likelihood_of(spec)
    logits = torch.randn(2 * likelihood.channels, 4, 4, generator=seeded(1))
    codes = Codes(torch.zeros(2), torch.zeros(2))
    vae = models.VAE(codes, Pixels(logits), latent_dim=2, likelihood=likelihood)
    images = likelihood.sample(logits.expand(6, *logits.shape), seeded())
    log_p = -likelihood.nll(logits.expand(6, *logits.shape), images)
    bound = metrics.importance_bound(vae, images, samples=9, rows=4)
    torch.testing.assert_close(bound, log_p)
    torch.testing.assert_close(-metrics.elbo(vae, images).total, log_p)


def test_bounds_of_a_compiled_model_are_those_of_the_model():
    vae, images = small_vae(), torch.rand(3, 1, 28, 28)
    bound = metrics.importance_bound(torch.compile(vae), images, samples=3)
    assert torch.equal(bound, metrics.importance_bound(vae, images, samples=3))


def test_results_show_a_few_numbers_and_no_tensors():
    elbo = metrics.Elbo(torch.full((5000,), 80.0), torch.full((5000,), 25.0))
    words = "5,000 images: 105.00 nats an image = reconstruction 80.00 + KL 25.00"
    assert repr(elbo) == f"Elbo({words})"
    posterior = metrics.aggregate_posterior(torch.randn(500, 20), torch.zeros(500, 20))
    assert "20 dimensions" in repr(posterior) and len(repr(posterior)) < 150
