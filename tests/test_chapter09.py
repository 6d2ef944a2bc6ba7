"""Chapter 09: exercises, the patients of the clinic, the explorer, the challenge."""

import functools

import pytest
import torch

from check_tools import assert_both_named, assert_helped, assert_passes
from clinic_trainings import always
from vae_course import checks, clinic, data, losses, models, widgets
from vae_course.clinic import patients

# ---------------------------------------------- the references and the package's functions


def test_gaussian_nll_is_that_of_the_package():
    mean, log_var, image = (torch.randn(4, 3, 5, 5) for _ in range(3))
    reference = checks.exercise("gaussian_nll").reference
    torch.testing.assert_close(
        reference(mean, log_var, image),
        losses.gaussian_nll(mean, image, std=(0.5 * log_var).exp()),
    )
    predicted = torch.cat([mean, 0.5 * log_var], dim=1)
    torch.testing.assert_close(
        reference(mean, log_var, image), losses.Gaussian("predicted").nll(predicted, image)
    )


def test_standardize_is_what_the_loader_of_tables_does():
    wine = data.load_table_example()
    in_units = torch.tensor(wine.restore(wine.test_rows).to_numpy())
    mean = torch.tensor([column.mean for column in wine.columns])
    std = torch.tensor([column.std for column in wine.columns])
    found = checks.exercise("standardize").reference(in_units, mean, std)
    torch.testing.assert_close(found.float(), wine.test_rows, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("beta", [0.1, 1.0, 20.0])
def test_audit_reads_what_the_clinic_reads(beta):
    torch.manual_seed(0)
    model = models.VAE.dense(4, hidden=16, image_shape=(1, 8, 8))
    images = torch.rand(64, 1, 8, 8)

    def loss(model, image):
        reconstruction, kl = model.elbo_terms(image)
        return (reconstruction + beta * kl).mean() / 64

    found = []
    for _ in range(12):  # other weights: other reconstructions and KLs
        with torch.no_grad():
            for weight in model.parameters():
                weight += 0.05 * torch.randn_like(weight)
            torch.manual_seed(1)
            value = loss(model, images)
            torch.manual_seed(1)
            found.append([value, *(part.mean() for part in model.elbo_terms(images))])
    own = checks.exercise("audit").reference(*torch.tensor(found).T)
    assert own == pytest.approx(beta, rel=2e-2)
    read = clinic.audit(loss, clinic.recognise(model, images), images)
    assert read.beta == pytest.approx(beta, rel=2e-2)


# ------------------------------------------------------------------ right, in other words


def divisor_by_where(table, mean, std):
    return (table - mean) / std.where(std != 0, torch.ones_like(std))


def gaussian_as_energy_and_normaliser(mean, log_var, image):
    energy = 0.5 * (image - mean) ** 2 * (-log_var).exp()
    return energy.flatten(1).sum(1) + 0.5 * (log_var + losses.LOG_2PI).flatten(1).sum(1)


def audit_by_differences(loss_value, reconstruction, kl):
    terms = torch.stack([reconstruction, kl], 1).double()
    terms, values = terms[1:] - terms[:1], loss_value[1:] - loss_value[:1]
    weight = torch.linalg.pinv(terms) @ values.double()
    return weight[1] / weight[0]


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("standardize", divisor_by_where),
        ("gaussian_nll", gaussian_as_energy_and_normaliser),
        ("audit", audit_by_differences),
    ],
)
def test_right_answers_written_another_way_pass(name, function):
    assert_passes(name, function, range(6))


# -------------------------------------------------------------------- wrong in other ways


def _same_divisor(table, mean, std):
    return (table - mean) / (std + 1e-6)


def _clamped(mean, log_var, image):
    log_var = log_var.clamp(min=-10)
    return checks.exercise("gaussian_nll").reference(mean, log_var, image)


def _first_value(loss_value, reconstruction, kl):
    return float(loss_value[0])


@pytest.mark.parametrize(
    ("name", "wrong", "words"),
    [
        ("standardize", _same_divisor, "new value of 9 gives 2"),
        ("gaussian_nll", _clamped, "a clamp"),
        ("audit", _first_value, "reconstruction + kl"),
    ],
)
def test_wrong_in_another_way_is_helped(name, wrong, words):
    assert_helped(name, wrong, words)


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("gaussian_nll", "half-missing", "averaged-over-values"),
        ("gaussian_nll", "constant-dropped", "std-for-variance"),
        ("standardize", "not-centred", "variance"),
        ("audit", "no-constant", "inverted"),
    ],
)
def test_two_mistakes_at_once_are_both_named(name, first, second):
    assert_both_named(name, first, second)


# ------------------------------------------------------------------------------ the clinic

admit = functools.cache(patients.admit)


SOME = {"nothing", "pixels normalised", "a sigmoid twice", "the KL counts too much", "no noise"}


@pytest.mark.parametrize("illness", always(SOME, patients.ILLNESSES))
def test_the_clinic_names_every_patient(illness):
    patient = admit(illness)
    report = patient.examine()
    if not patient.finding:
        assert not report.severe
    elif patient.finding == "learning-rate-high":  # how it ends is a matter of luck
        assert {patient.finding, "collapse", "dead-units"} & set(report.names)
    else:
        assert patient.finding in report.names


def test_a_patient_shows_pictures_and_unknown_ones_are_refused():
    shown = admit("pixels normalised").pictures(5)
    assert [tuple(images.shape) for images in shown.values()] == [(5, 1, 14, 14)] * 3
    assert shown["test images"].min() >= 0 and shown["test images"].max() <= 1
    with pytest.raises(ValueError, match="pixels normalised"):
        patients.admit("a cold")


@pytest.fixture(scope="module")
def explorer():
    chosen = ["no noise", "nothing", "pixels normalised"]
    return widgets.diagnosis_explorer([admit(illness) for illness in chosen])


def test_the_explorer_keeps_its_secret_until_the_guess_is_right(explorer):
    for guess in ("not yet", "pixels normalised"):
        words = explorer.words(patient=1, guess=guess)
        assert "no noise" not in words.replace(f"your diagnosis: {guess}", "")
    assert "It is not: nothing." in explorer.words(patient=1, guess="nothing")
    found = explorer.words(patient=1, guess="no noise")
    assert "Right: no noise." in found and "z = mean" in found and "nothing is drawn" in found
    assert "It is: pixels normalised." in explorer.words(patient=3, guess="tell me")
    guesses = ("not yet", "nothing")
    assert len({explorer.picture(patient=p, guess=g) for p in (1, 2) for g in guesses}) == 4
    assert explorer.picture(patient=1) == explorer.picture(patient=1)


def test_the_explorer_wants_different_patients():
    with pytest.raises(ValueError, match="two or more"):
        widgets.diagnosis_explorer([admit("nothing"), admit("nothing")])


# --------------------------------------------------------------------------- the challenge


def test_the_challenge_counts_the_bits_that_are_saved():
    torch.manual_seed(0)
    shape = {"image_shape": (3, 24, 24)}
    untrained = models.VAE.conv(4, channels=8, **shape, likelihood=losses.Gaussian("learned"))
    found = checks.challenge("09", untrained)
    assert not found.passed and found.score < 0  # at sigma = 1 it is worse than the levels alone
    images = torch.rand(30, 3, 24, 24).mul(255).round() / 255
    flat = checks.challenge("09", (untrained, images))
    assert flat.score != found.score and "bits a value" in str(flat)
    logistic = losses.DiscretizedLogistic()
    assert checks.challenge("09", models.VAE.conv(4, **shape, likelihood=logistic)).score < 0
    refused = checks.challenge("09", models.VAE.conv(4, **shape))
    assert refused.status == "error" and "Bernoulli" in str(refused)
