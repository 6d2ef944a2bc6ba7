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
