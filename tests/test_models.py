"""The models: shapes, the published architecture, and what the label may change."""

import pytest
import torch

from vae_course import losses, models
from vae_course.training import count_parameters


@pytest.mark.parametrize("kind, latent_dim, width, parameters", [
    ("dense-vae", 20, 400, 784 * 400 + 400 + 400 * 40 + 40 + 20 * 400 + 400 + 400 * 784 + 784),
    ("conv-vae", 20, 32, 258025),
    ("conditional-vae", 20, 32, 258025 + 10 * 64 * 49),
    ("paper-vae", 50, 200, 784 * 200 + 200 * 200 + 200 * 100 + 50 * 200 + 200 * 200 + 200 * 784
     + 4 * 200 + 100 + 784),
])  # fmt: skip
def test_each_kind_has_the_parameters_that_its_widths_say(kind, latent_dim, width, parameters):
    vae = models.build_vae(kind, latent_dim=latent_dim, width=width)
    assert count_parameters(vae) == parameters
    image, label = torch.rand(3, 1, 28, 28), torch.tensor([0, 4, 9])
    labels = (label,) if kind == "conditional-vae" else ()
    logits, mean, log_var = vae(image, *labels)
    assert logits.shape == image.shape and mean.shape == log_var.shape == (3, latent_dim)
    assert vae.decode(mean, *labels).shape == image.shape
    losses.negative_elbo(logits, image, mean, log_var).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in vae.parameters())


def test_dense_networks_are_as_deep_as_asked():
    one, deep = (models.VAE.dense(2, hidden=30, layers=n) for n in (1, 3))
    assert count_parameters(deep) - count_parameters(one) == 2 * 2 * (30 * 30 + 30)
    same = models.build_vae("dense-vae", latent_dim=2, width=30, layers=3)
    assert [p.shape for p in same.parameters()] == [p.shape for p in deep.parameters()]
    with pytest.raises(ValueError, match="layers is 0"):
        models.VAE.dense(2, layers=0)


def test_the_paper_model_is_tanh_and_linear_at_the_ends():
    names = [type(layer).__name__ for layer in models.VAE.paper().decoder]
    assert names == ["Linear", "Tanh", "Linear", "Tanh", "Linear", "Unflatten"]


@pytest.mark.parametrize("kind, latent_dim", [("vae", 20), ("paper-vae", 20)])
def test_unknown_kinds_are_refused(kind, latent_dim):
    with pytest.raises(ValueError, match="there is no"):
        models.build_vae(kind, latent_dim=latent_dim, width=200)


def conditional():
    torch.manual_seed(0)
    return models.ConditionalVAE.dense(4, classes=3, hidden=8)


def test_the_label_reaches_the_decoder_and_not_the_encoder():
    vae, image = conditional(), torch.rand(5, 1, 28, 28)
    torch.manual_seed(1)
    zeros = vae(image, torch.zeros(5, dtype=torch.long))
    torch.manual_seed(1)
    ones = vae(image, torch.ones(5, dtype=torch.long))
    assert torch.equal(zeros[1], ones[1]) and torch.equal(zeros[2], ones[2])
    assert not torch.allclose(zeros[0], ones[0])


def test_each_image_gets_its_own_label():
    vae, latent = conditional(), torch.randn(1, 4).expand(3, 4)
    together = vae.decode(latent, torch.tensor([2, 0, 1]))
    for row, label in enumerate([2, 0, 1]):
        alone = vae.decode(latent[:1], torch.tensor([label]))
        assert torch.allclose(together[row], alone[0], atol=1e-6)


@pytest.mark.parametrize("label, error, words", [
    (torch.tensor([0, 1]), ValueError, "one label for each of the 3 latents"),
    (torch.tensor([[0], [1], [2]]), ValueError, "one label for each"),
    (torch.tensor([0, 1, 3]), ValueError, "expected 0 to 2"),
    (torch.tensor([0, -1, 1]), ValueError, "expected 0 to 2"),
    (torch.tensor([0.0, 1.0, 2.0]), TypeError, "integers"),
])  # fmt: skip
def test_bad_labels_are_refused(label, error, words):
    with pytest.raises(error, match=words):
        conditional().decode(torch.randn(3, 4), label)


# ------------------------------------------------------------- what goes where inside a VAE


class Fixed(torch.nn.Module):
    """The same output for every input, and the last input kept."""

    def __init__(self, *rows):
        super().__init__()
        self.output = torch.tensor(rows)

    def forward(self, given):
        self.given = given
        return self.output


def test_sampling_moves_with_the_mean_and_stretches_with_the_spread():
    mean, log_var = torch.randn(4, 3).requires_grad_(), torch.randn(4, 3).requires_grad_()
    latent = models.GaussianSampling()(mean, log_var)
    noise = ((latent - mean) / (0.5 * log_var).exp()).detach()
    by_mean, by_log_var = torch.autograd.grad(latent.sum(), (mean, log_var))
    torch.testing.assert_close(by_mean, torch.ones(4, 3))
    torch.testing.assert_close(by_log_var, 0.5 * (0.5 * log_var).exp().detach() * noise)


def test_the_first_half_of_the_code_is_the_mean_and_the_second_the_log_variance():
    encoder, decoder = Fixed([1.0, 2.0, -90.0, 7.0]), Fixed([5.0])
    vae = models.VAE(encoder, decoder, latent_dim=2)
    mean, log_var = vae.encode(torch.zeros(1, 4))
    assert mean.tolist() == [[1, 2]] and log_var.tolist() == [[-90, 7]]
    logits, mean, log_var = vae(torch.zeros(1, 4))
    assert logits.tolist() == [[5]], "logits, not probabilities"
    assert mean.tolist() == [[1, 2]] and log_var.tolist() == [[-90, 7]]
    first, second = decoder.given[0].tolist()
    assert first == pytest.approx(1) and second != 2, "a draw around the mean is decoded"
    assert vae.decode(torch.zeros(1, 2)).item() == pytest.approx(torch.tensor(5.0).sigmoid().item())


def test_an_autoencoder_gives_logits_and_reconstructs_pixels():
    encoder, decoder = Fixed([1.0, 2.0]), Fixed([5.0])
    autoencoder = models.Autoencoder(encoder, decoder)
    assert autoencoder(torch.zeros(1, 4)).item() == 5
    probability = torch.tensor(5.0).sigmoid().item()
    assert autoencoder.decode(torch.zeros(1, 2)).item() == pytest.approx(probability)
    assert autoencoder.reconstruct(torch.zeros(1, 4)).item() == pytest.approx(probability)
    assert decoder.given.tolist() == [[1, 2]]


@pytest.mark.parametrize("make", [models.dense_encoder, models.conv_encoder,
                                  models.dense_decoder, models.conv_decoder])  # fmt: skip
def test_networks_bend_straight_lines(make):
    """Without its nonlinearity a network maps the middle of two inputs to the middle of the two."""
    torch.manual_seed(0)
    network = make(6)
    shape = (6,) if "decoder" in make.__name__ else (1, 28, 28)
    ends = 3 * torch.randn(2, *shape)
    outputs, middle = network(ends), network(ends.mean(dim=0, keepdim=True))
    assert (outputs.mean(dim=0) - middle[0]).abs().max() > 1e-2


def test_between_two_layers_with_weights_stands_a_nonlinearity():
    for network in (models.conv_encoder(6), models.conv_decoder(6)):
        kinds = [type(layer).__name__ for layer in network if "latten" not in type(layer).__name__]
        bends = [kind == "ReLU" for kind in kinds]
        assert bends == [False, True, False, True, False], kinds


def test_the_label_stands_behind_the_latent():
    vae = models.ConditionalVAE(Fixed([0.0] * 4), Fixed([0.0]), latent_dim=2, classes=3)
    made = vae.decoder_input(torch.tensor([[7.0, 8.0], [9.0, 4.0]]), torch.tensor([2, 0]))
    assert made.tolist() == [[7, 8, 0, 0, 1], [9, 4, 1, 0, 0]]
    logits, mean, log_var = vae(torch.zeros(1, 4), torch.tensor([1]))
    assert vae.decoder.given[0, 2:].tolist() == [0, 1, 0] and vae.decoder.given[0, :2].any()


# ----------------------------------------------------------- any shape, and any likelihood


def targets(spec, shape):
    """Five images of this shape that the likelihood gives a probability to."""
    name, levels = spec.split(":")[0], {"categorical:4": 4, "poisson": 9}.get(spec, 256)
    whole = torch.randint(levels, (5, *shape))
    return whole.float() if name in ("categorical", "poisson") else whole / (levels - 1)


SHAPES = [(1, 8, 8), (3, 17, 30), (4, 9, 40), (2, 64, 64), (1, 28, 28)]
SPECS = ["bernoulli", "gaussian:0.1", "gaussian:learned", "gaussian:predicted", "logistic",
         "categorical:4", "poisson"]  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("kind", ["conv-vae", "dense-vae", "conditional-vae"])
def test_models_of_any_shape_ask_their_likelihood(kind, spec, shape):
    torch.manual_seed(0)
    vae = models.build_vae(kind, latent_dim=3, width=4, image_shape=shape, likelihood=spec)
    image, label = targets(spec, shape), [torch.arange(5)] * (kind == "conditional-vae")
    nll, kl = vae.elbo_terms(image, *label)
    (nll + kl).mean().backward()
    assert nll.shape == kl.shape == (5,) and all(p.grad is not None for p in vae.parameters())
    assert vae.reconstruct(image, *label).shape == image.shape
    shown = vae.likelihood.mean(vae.output(vae.encode(image)[0], *label))
    assert torch.equal(vae.decode(vae.encode(image)[0], *label), shown)
    drawn = vae.sample(5, *label, noise=True)
    assert drawn.shape == image.shape and vae.elbo_terms(drawn, *label)[0].isfinite().all()


def test_the_default_is_the_bernoulli_of_notebook_05():
    torch.manual_seed(0)
    vae, image = models.VAE.conv(5), torch.rand(3, 1, 28, 28)
    assert vae.likelihood.spec == "bernoulli" and not list(vae.likelihood.parameters())
    torch.manual_seed(1)
    nll, kl = vae.elbo_terms(image)
    torch.manual_seed(1)
    logits, mean, log_var = vae(image)
    assert torch.equal((nll + kl).mean(), losses.negative_elbo(logits, image, mean, log_var))


@pytest.mark.parametrize("make", [models.VAE.conv, models.VAE.dense, models.ConvAutoencoder,
                                  models.DenseAutoencoder])  # fmt: skip
def test_a_wrong_shape_is_said_before_torch_says_it(make):
    model = make(3)
    for shape, words in [((5, 3, 32, 32), r"image_shape=\(3, 32, 32\)"), ((1, 28, 28), "None"),
                         ((5, 28, 28, 1), "movedim"), ((5, 784), "resize")]:  # fmt: skip
        with pytest.raises(ValueError, match=words):
            model(torch.rand(shape))
    with pytest.raises(TypeError, match=r"uint8; expected floats"):
        models.VAE.dense(3)(torch.zeros(2, 1, 28, 28, dtype=torch.uint8))


def test_images_too_small_to_be_halved_are_refused():
    with pytest.raises(ValueError, match=r"at least 8 × 8"):
        models.VAE.conv(3, image_shape=(3, 7, 30))


def test_halving_and_doubling_meet_at_every_size():
    for side in range(8, 40):
        shapes = models.conv_shapes(4, (3, side, 11))
        assert shapes[0] == (3, side, 11) and min(shapes[-1][1:]) in (4, 5)
        decoder = models.conv_decoder(2, channels=4, image_shape=(3, side, 11))
        assert decoder(torch.zeros(1, 2)).shape == (1, 3, side, 11)


def test_a_table_is_learned_by_columns():
    """Two clusters of rows that differ in all columns: samples come from both, from no other."""
    torch.manual_seed(0)
    second = torch.arange(600) % 2
    rows = torch.stack([4.0 * second - 2 + 0.1 * torch.randn(600), 2.0 * second,
                        torch.poisson(1 + 15.0 * second)], dim=1)  # fmt: skip
    vae = models.VAE.table(2, ["gaussian:learned", "categorical:3", "poisson"], hidden=32)
    optimizer = torch.optim.Adam(vae.parameters(), lr=0.01)
    for _ in range(150):
        optimizer.zero_grad()
        sum(vae.elbo_terms(rows)).mean().backward()
        optimizer.step()
    assert vae.likelihood.columns[0].log_std.item() < -0.5
    shown = vae.reconstruct(rows)
    assert torch.equal(shown[:, 1], rows[:, 1])
    assert ((shown[:, 0] > 0) == (second == 1)).all() and ((shown[:, 2] > 6) == (second == 1)).all()
    drawn = vae.sample(200, noise=True)
    assert set(drawn[:, 1].tolist()) == {0.0, 2.0}


def test_a_learned_spread_of_each_pixel_is_trained_and_stored():
    spread = losses.Gaussian("learned", shape=(1, 8, 8))
    vae = models.VAE.dense(2, hidden=4, image_shape=(1, 8, 8), likelihood=spread)
    sum(vae.elbo_terms(torch.rand(3, 1, 8, 8))).mean().backward()
    assert spread.log_std.grad.shape == (1, 8, 8)
    assert "likelihood.log_std" in vae.state_dict()


def test_samples_are_decoded_draws_from_the_prior_and_the_mode_is_kept():
    nothing, gaussian = torch.nn.Identity(), losses.Gaussian()
    vae = models.VAE(Fixed([0.0] * 4), nothing, latent_dim=2, likelihood=gaussian)
    vae.register_parameter("anything", torch.nn.Parameter(torch.zeros(())))
    vae.train()
    drawn = vae.sample(20_000, generator=torch.Generator().manual_seed(0))
    assert vae.training and not drawn.requires_grad
    assert drawn.mean(dim=0).abs().max() < 0.03 and (drawn.std(dim=0) - 1).abs().max() < 0.03
    again = vae.sample(20_000, generator=torch.Generator().manual_seed(0))
    assert torch.equal(drawn, again)
    noisy = vae.sample(20_000, noise=True, generator=torch.Generator().manual_seed(0))
    assert (noisy.std(dim=0) - 2**0.5).abs().max() < 0.04


def test_sums_are_float32_in_a_network_of_half_precision():
    torch.manual_seed(0)
    vae, image = models.VAE.conv(4), torch.rand(6, 1, 28, 28)
    mean, log_var = vae.encode(image)
    exact = vae.likelihood.nll(vae.output(mean), image)
    half = models.VAE.conv(4)
    half.load_state_dict(vae.state_dict())
    half.bfloat16()
    for model, image_ in ((half, image), (half, image.bfloat16())):
        mean, log_var = model.encode(image_)
        nll = model.likelihood.nll(model.output(mean), image)
        assert mean.dtype == log_var.dtype == nll.dtype == torch.float32
        torch.testing.assert_close(nll, exact, rtol=2e-3, atol=0)  # bfloat16 sums: 8 digits of 2


def test_wrapped_models_are_unwrapped():
    vae = models.VAE.dense(2, hidden=4)
    assert models.unwrap(vae) is vae
    assert models.unwrap(torch.compile(vae)) is vae
    assert models.unwrap(torch.compile(torch.nn.DataParallel(vae))) is vae
