r"""Notebook 01 against the package, and its exercises against answers that nobody listed."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from check_tools import assert_helped, assert_passes
from notebook_code import definitions
from vae_course import checks, data, losses, models, training
from vae_course.checks import challenges

NOTEBOOK = "01_autoencoders"


def test_small_autoencoder_is_the_packages():
    torch.manual_seed(3)
    own = definitions(NOTEBOOK, "SmallAutoencoder").SmallAutoencoder(latent_dim=4)
    torch.manual_seed(3)
    packaged = models.DenseAutoencoder(latent_dim=4, hidden=256)
    image = torch.rand(5, 1, 28, 28)
    assert torch.equal(own.reconstruct(image), packaged.reconstruct(image))


def _reconstruction_loss(model, image):
    return losses.mse_per_image(image, model.reconstruct(image)).mean()


def test_the_loop_written_out_ends_where_fit_ends():
    notebook = definitions(NOTEBOOK, "train_autoencoder", "SEED", "BATCH_SIZE")
    # What the student has written by then:
    notebook.train_autoencoder.__globals__["mse_per_image"] = losses.mse_per_image
    images = torch.rand(150, 1, 28, 28)
    by_loop, by_fit = (_fresh_autoencoder(seed=5) for _ in range(2))
    optimizer = torch.optim.Adam(by_loop.parameters(), lr=1e-3)
    errors = notebook.train_autoencoder(by_loop, images, optimizer, epochs=2)
    history = training.fit(
        by_fit,
        _reconstruction_loss,
        images,
        epochs=2,
        batch_size=notebook.BATCH_SIZE,
        learning_rate=1e-3,
        seed=notebook.SEED,
        progress=False,
    )
    assert torch.allclose(by_loop.reconstruct(images), by_fit.reconstruct(images), atol=1e-5)
    assert errors == pytest.approx(history["train_loss"], rel=1e-4)


def _fresh_autoencoder(seed):
    torch.manual_seed(seed)
    return models.DenseAutoencoder(latent_dim=3, hidden=20)


def test_the_exercise_is_the_packages_loss():
    image, other = torch.rand(6, 1, 4, 5), torch.rand(6, 1, 4, 5)
    reference = checks.exercise("mse_per_image").reference
    assert torch.allclose(reference(image, other), losses.mse_per_image(image, other))


def _loop_only_first(image, reconstruction):
    return ((image[0] - reconstruction[0]) ** 2).mean().repeat(len(image))


# Wrong answers a student might write that no catalogue holds, and words the hint must contain.
UNLISTED = {
    "mse_per_image": [
        (lambda x, y: ((x - y) ** 4).flatten(1).mean(1), "too small"),
        (lambda x, y: ((x + y) ** 2).flatten(1).mean(1), "perfect reconstruction"),
        (lambda x, y: ((x - y) ** 2).flatten(1).var(1), "flat images"),
        (lambda x, y: ((x - y) ** 2).flatten(1).median(1).values, "too small"),
        (lambda x, y: ((x - y) ** 2).flatten(1).amax(1), "too large"),
        (_loop_only_first, "differ"),
        (lambda x, y: [((a - b) ** 2).mean().item() for a, b in zip(x, y)], "list"),
        (lambda x, y: F.binary_cross_entropy(y, x, reduction="none").flatten(1).mean(1), "flat"),
    ],
    "pca_reconstruct": [
        (lambda x, k: x, "differ"),
        (lambda x, k: x.mean(0).expand_as(x), "k = P"),
        (lambda x, k: torch.linalg.svd(x)[0], "shape"),
        (lambda x, k: torch.flip(checks.exercise("pca_reconstruct").reference(x, k), [0]), "order"),
        (lambda x, k: 2 * checks.exercise("pca_reconstruct").reference(x, k), "twice"),
        (lambda x, k: checks.exercise("pca_reconstruct").reference(x, k).numpy(), "NumPy array"),
    ],
    "denoising_loss": [
        (lambda m, c, n: F.mse_loss(m(n), c) / 2, "half"),
        (lambda m, c, n: F.mse_loss(m((n + c) / 2), c), "value"),
        (lambda m, c, n: -F.mse_loss(m(n), c), "sign"),
        (lambda m, c, n: F.mse_loss(m(n), c) / len(c), "factor of the size clean.shape[0]"),
        (lambda m, c, n: F.mse_loss(m(m(n)), c), "differ"),
    ],
    "compression_ratio": [
        (lambda s, d: s[1] * s[2] * 3 / d, "ratio of 392"),
        (lambda s, d: 2 * s[0] * s[1] * s[2] / d, "twice"),
        (lambda s, d: str(s[0] * s[1] * s[2] / d), "str"),
        (lambda s, d: (s[0] * s[1] * s[2]) ** 0.5 / d, "ratio of 392"),
        (lambda s, d: s[0] * s[1] * s[2] / (d + 1), "ratio of 392"),
        (lambda s, d: 392.0, "for every input"),
    ],
}


@pytest.mark.parametrize(
    "name, wrong, words",
    [(name, wrong, words) for name, rows in UNLISTED.items() for wrong, words in rows],
    ids=[f"{name}-{i}" for name, rows in UNLISTED.items() for i in range(len(rows))],
)
def test_unlisted_answer_is_rejected_with_a_hint_that_helps(name, wrong, words):
    assert_helped(name, wrong, words)


def _pca_by_left_vectors(images, k):
    values, vectors = torch.linalg.eigh(torch.cov(images.T))
    leading = vectors[:, values.argsort(descending=True)[:k]]
    return images.mean(0) + (images - images.mean(0)) @ leading @ leading.T


RIGHT = {
    "mse_per_image": lambda x, y: torch.stack([((a - b) ** 2).mean() for a, b in zip(x, y)]),
    "pca_reconstruct": _pca_by_left_vectors,
    "denoising_loss": lambda model, clean, noisy: F.mse_loss(model(noisy), clean),
    "compression_ratio": lambda shape, d: float(np.prod(shape)) / d,
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_answer_written_another_way_passes(name):
    assert_passes(name, RIGHT[name], range(5))


def test_a_number_of_numpy_passes():
    assert_passes("compression_ratio", lambda shape, d: np.prod(shape) / np.float64(d), range(5))


# ------------------------------------------------------------ the challenge


class Painter(torch.nn.Module):
    """Copies nothing: answers every image with one logit, from a code of `latent_dim` zeros."""

    def __init__(self, logit, latent_dim=8):
        super().__init__()
        self.logit, self.latent_dim = logit, latent_dim

    def encoder(self, image):
        return image.new_zeros(len(image), self.latent_dim)

    def decoder(self, code):
        return code.new_full((len(code), 1, 28, 28), self.logit)


def _use_greys(monkeypatch, *, train, test):
    """Ten training and ten test images of one grey each, one of each class."""
    labels = torch.arange(10)
    images = [torch.full((10, 1, 28, 28), grey) for grey in (train, test)]
    names = tuple("0123456789")
    greys = data.ImageData("greys", images[0], labels, images[1], labels, names, "made up")
    monkeypatch.setattr(challenges.data, "load_images", lambda *_, **__: greys)


def test_challenge_measures_the_error_of_the_test_digits(monkeypatch):
    _use_greys(monkeypatch, train=0.0, test=0.0)
    assert checks.challenge("01", Painter(-100.0)).passed
    result = checks.challenge("01", Painter(0.0))  # grey on black: 0.25
    assert result.score == pytest.approx(0.25) and not result.passed


def _told(result):
    return " ".join(str(result).replace("│", "").split())


def test_challenge_tells_learning_by_heart_from_too_little_training(monkeypatch):
    _use_greys(monkeypatch, train=0.0, test=1.0)
    assert "part of it is learned by heart" in _told(checks.challenge("01", Painter(-100.0)))
    _use_greys(monkeypatch, train=1.0, test=1.0)
    assert "Train longer" in _told(checks.challenge("01", Painter(-100.0)))


def test_challenge_refuses_a_longer_code():
    result = checks.challenge("01", Painter(0.0, latent_dim=9))
    assert result.status == "error" and "D at most 8" in _told(result)
