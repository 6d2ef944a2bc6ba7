r"""Chapter 05: its exercises, the explorer, and the notebook's own functions."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.distributions import Bernoulli, Normal, kl_divergence

from check_tools import assert_both_named, assert_helped, assert_passes, flat, verdict
from house_rules import Notebook
from notebook_code import FOLDER, definitions
from vae_course import checks, losses, metrics, training
from vae_course.admin.notebooks import read_notebook
from vae_course.checks import draw
from vae_course.models import VAE, ConditionalVAE
from vae_course.widgets import class_explorer, training_explorer
from vae_course.widgets.training import sheet

NOTEBOOK, COMPANION = "05_vae_training", "05b_how_good_is_it"

NAMES = ["bernoulli_nll", "negative_elbo", "iwae_bound", "sample_prior"]


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# ------------------------------------------------------------------ the package and the truth


@pytest.mark.parametrize("name", NAMES[:3])
def test_reference_agrees_with_the_package(name):
    exercise = checks.exercise(name)
    for seed in range(6):
        args = exercise.inputs(draw.case(seed))
        torch.testing.assert_close(exercise.reference(*args), getattr(losses, name)(*args))


def test_bernoulli_nll_is_what_torch_distributions_says():
    logits, image = drawn(5, 1, 4, 4), (drawn(5, 1, 4, 4, seed=1) > 0).float()
    expected = -Bernoulli(logits=logits).log_prob(image).sum(dim=(1, 2, 3))
    torch.testing.assert_close(losses.bernoulli_nll(logits, image), expected)


def test_sampling_the_prior_is_decoding_normal_latents():
    torch.manual_seed(1)
    model = VAE.conv(5, channels=4)
    reference = checks.exercise("sample_prior").reference
    torch.manual_seed(2)
    images = reference(model.decoder, 7, 5)
    torch.manual_seed(2)
    latent = torch.randn(7, 5)
    assert torch.equal(images, model.decode(latent).detach())
    assert images.shape == (7, 1, 28, 28) and not images.requires_grad


# ------------------------------------------------------------ right answers written another way


def nll_by_softplus(logits, image):
    return (F.softplus(logits) - image * logits).reshape(len(logits), -1).sum(-1)


def nll_by_log_sigmoid(logits, image):
    white, black = F.logsigmoid(logits), F.logsigmoid(-logits)
    return -(image * white + (1 - image) * black).sum(tuple(range(1, image.dim())))


def nll_image_by_image(logits, image):
    pairs = zip(logits, image, strict=True)
    each = [F.binary_cross_entropy_with_logits(*pair, reduction="sum") for pair in pairs]
    return torch.stack(each)


def elbo_by_distributions(logits, image, mean, log_var, beta=1.0):
    q = Normal(mean, torch.exp(log_var / 2))
    kl = kl_divergence(q, Normal(torch.zeros_like(mean), torch.ones_like(mean))).sum()
    return (nll_by_softplus(logits, image).sum() + beta * kl) / len(image)


def elbo_as_published(logits, image, mean, log_var, beta=1.0):
    bce = F.binary_cross_entropy_with_logits(logits, image, reduction="sum")
    kld = -0.5 * torch.sum(1 + log_var - mean.pow(2) - log_var.exp())
    return (bce + beta * kld) / image.shape[0]


def iwae_by_the_largest(log_weights):
    top = log_weights.max(dim=0).values
    return top + (log_weights - top).exp().mean(dim=0).log()


def iwae_one_by_one(log_weights):
    total = log_weights[0]
    for row in log_weights[1:]:
        total = torch.logaddexp(total, row)
    return total - torch.log(torch.tensor(float(len(log_weights))))


def sample_by_distributions(decoder, count, latent_dim):
    latent = Normal(0.0, 1.0).sample((count, latent_dim))
    return decoder(latent).detach().sigmoid()


@torch.no_grad()
def sample_in_pieces(decoder, count, latent_dim):
    latent = torch.normal(0.0, 1.0, size=(count, latent_dim))
    return torch.cat([1 / (1 + torch.exp(-decoder(piece))) for piece in latent.split(3)])


def sample_and_put_back(decoder, count, latent_dim):
    mode = decoder.training
    decoder.eval()
    with torch.inference_mode():
        images = torch.sigmoid(decoder(torch.randn(count, latent_dim)))
    decoder.train(mode)
    return images


RIGHT = [
    ("bernoulli_nll", nll_by_softplus), ("bernoulli_nll", nll_by_log_sigmoid),
    ("bernoulli_nll", nll_image_by_image), ("negative_elbo", elbo_by_distributions),
    ("negative_elbo", elbo_as_published), ("iwae_bound", iwae_by_the_largest),
    ("iwae_bound", iwae_one_by_one), ("sample_prior", sample_by_distributions),
    ("sample_prior", sample_in_pieces), ("sample_prior", sample_and_put_back),
]  # fmt: skip


@pytest.mark.parametrize(("name", "function"), RIGHT, ids=[f.__name__ for _, f in RIGHT])
def test_right_answer_written_another_way_passes(name, function):
    assert_passes(name, function, range(6))


# ------------------------------------------------- wrong answers that no catalogue entry foresaw


def nll(logits, image):
    return F.binary_cross_entropy_with_logits(logits, image, reduction="none").flatten(1)


def nll_from_probabilities(logits, image, eps=0.0):
    p = torch.sigmoid(logits)
    per_pixel = -(image * (p + eps).log() + (1 - image) * (1 - p + eps).log())
    return per_pixel.flatten(1).sum(1)


def nll_of_clamped(logits, image):
    return nll(logits.clamp(-10, 10), image).sum(1)


def nll_by_bce(logits, image):
    p = torch.sigmoid(logits)
    return F.binary_cross_entropy(p, image, reduction="none").flatten(1).sum(1)


def nll_by_log_one_plus_exp(logits, image):
    return (torch.log(1 + torch.exp(logits)) - image * logits).flatten(1).sum(1)


def nll_per_white_pixel(logits, image):
    return nll(logits, image).sum(1) / image.flatten(1).sum(1)


def nll_minus_entropy(logits, image):
    entropy = torch.special.entr(image) + torch.special.entr(1 - image)
    return nll(logits, image).sum(1) - entropy.flatten(1).sum(1)


def nll_without_grad(logits, image):
    with torch.no_grad():
        return nll(logits, image).sum(1)


def nll_of_a_coin(logits, image):
    return nll(logits, torch.bernoulli(image)).sum(1)


def kl(mean, log_var):
    return 0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum(1)


def elbo(logits, image, mean, log_var, beta=1.0):
    return (nll(logits, image).sum(1) + beta * kl(mean, log_var)).mean()


def elbo_default_four(logits, image, mean, log_var, beta=4.0):
    return elbo(logits, image, mean, log_var, beta)


def elbo_or_one(logits, image, mean, log_var, beta=1.0):
    return elbo(logits, image, mean, log_var, beta or 1.0)


def elbo_other_keyword(logits, image, mean, log_var, kl_weight=1.0):
    return elbo(logits, image, mean, log_var, kl_weight)


def elbo_beta_capped(logits, image, mean, log_var, beta=1.0):
    return elbo(logits, image, mean, log_var, min(beta, 4.0))


def elbo_beta_squared(logits, image, mean, log_var, beta=1.0):
    return elbo(logits, image, mean, log_var, beta**2)


def elbo_eps(logits, image, mean, log_var, beta=1.0):
    cost = 0.5 * (mean**2 + log_var.exp() - 1 - torch.log(log_var.exp() + 1e-8)).sum(1)
    return (nll(logits, image).sum(1) + beta * cost).mean()


def elbo_one_minus_once(logits, image, mean, log_var, beta=1.0):
    cost = 0.5 * ((mean**2 + log_var.exp() - log_var).sum(1) - 1)
    return (nll(logits, image).sum(1) + beta * cost).mean()


def elbo_item(logits, image, mean, log_var, beta=1.0):
    return elbo(logits, image, mean, log_var, beta).item()


def elbo_kl_cut(logits, image, mean, log_var, beta=1.0):
    return (nll(logits, image).sum(1) + beta * kl(mean, log_var).detach()).mean()


def elbo_free_bits(logits, image, mean, log_var, beta=1.0):
    return (nll(logits, image).sum(1) + beta * kl(mean, log_var).clamp(min=8)).mean()


def elbo_of_one_channel(logits, image, mean, log_var, beta=1.0):
    first = slice(None, None if image.dim() == 2 else 1)
    return elbo(logits[:, first], image[:, first], mean, log_var, beta)


def elbo_batch_written_in(logits, image, mean, log_var, beta=1.0):
    return elbo(logits, image, mean, log_var, beta) * len(image) / 128


def elbo_needs_beta(logits, image, mean, log_var, beta):
    return elbo(logits, image, mean, log_var, beta)


def iwae(w):
    return torch.logsumexp(w, 0) - math.log(len(w))


def sampled(decoder, latent):
    with torch.no_grad():
        return torch.sigmoid(decoder(latent))


def sample_in_a_list_of_batches(decoder, count, latent_dim):
    return torch.stack([sampled(decoder, torch.randn(1, latent_dim)) for _ in range(count)])


def sample_by_generator(decoder, count, latent_dim):
    noise = torch.Generator().manual_seed(0)
    return sampled(decoder, torch.randn(count, latent_dim, generator=noise))


def sample_and_restart_weights(decoder, count, latent_dim):
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.mul_(0.5)
    return sampled(decoder, torch.randn(count, latent_dim))


def sample_correlated(decoder, count, latent_dim):
    shared = torch.randn(count, 1)
    return sampled(decoder, 0.8 * torch.randn(count, latent_dim) + 0.6 * shared)


def sample_laplace(decoder, count, latent_dim):
    heavy = torch.distributions.Laplace(0.0, 0.5**0.5).sample((count, latent_dim))
    return sampled(decoder, heavy)


UNLISTED = {
    "bernoulli_nll": {
        "log of the sigmoid": (nll_from_probabilities, "single precision"),
        "eps in the logarithms": (lambda a, x: nll_from_probabilities(a, x, 1e-8), "constant"),
        "clamped logits": (nll_of_clamped, "clamp"),
        "sigmoid, then BCE": (nll_by_bce, "binary_cross_entropy"),
        "log(1 + exp)": (nll_by_log_one_plus_exp, "from the logits"),
        "per white pixel": (nll_per_white_pixel, "fair coin"),
        "minus the entropy": (nll_minus_entropy, "0.693"),
        "no gradient": (nll_without_grad, "no_grad"),
        "coins tossed": (nll_of_a_coin, "Two calls"),
        "last pixel lost": (lambda a, x: nll(a, x)[:, :-1].sum(1), "0.693"),
        "batch in it": (lambda a, x: nll(a, x).sum(1) / len(x), "logits.shape[0]"),
        "doubled": (lambda a, x: 2 * nll(a, x).sum(1), "twice"),
        "squeezed": (lambda a, x: nll(a, x).sum(1).squeeze(), "squeeze"),
        "a float": (lambda a, x: float(nll(a, x).std()), "shape"),
        "NumPy": (lambda a, x: nll(a, x).sum(1).numpy(), "NumPy array"),
    },
    "negative_elbo": {
        "default of 4": (elbo_default_four, "default"),
        "beta or 1": (elbo_or_one, "beta or 1"),
        "another name for beta": (elbo_other_keyword, "called beta"),
        "beta capped": (elbo_beta_capped, "capped"),
        "beta squared": (elbo_beta_squared, "squared"),
        "eps in the KL": (elbo_eps, "small constant"),
        "−1 once, not D times": (elbo_one_minus_once, "look at the KL"),
        "a float": (elbo_item, "gradient"),
        "KL cut": (elbo_kl_cut, "detach"),
        "free bits": (elbo_free_bits, "KL"),
        "one channel": (elbo_of_one_channel, "after the batch axis"),
        "batch written in": (elbo_batch_written_in, "three times"),
        "no default": (elbo_needs_beta, "signature"),
        "clamped logits": (lambda a, x, m, v, beta=1.0: elbo(a.clamp(-8, 8), x, m, v, beta),
                           "clamp"),
        "clamped log_var": (lambda a, x, m, v, beta=1.0: elbo(a, x, m, v.clamp(-10, 10), beta),
                            "clamp"),
        "half of everything": (lambda a, x, m, v, beta=1.0: 0.5 * elbo(a, x, m, v, beta), "half"),
    },
    "iwae_bound": {
        "exponentials as they stand": (lambda w: w.exp().mean(0).log(), "−800"),
        "eps in the logarithm": (lambda w: (w.exp().mean(0) + 1e-8).log(), "constant"),
        "mean subtracted first": (lambda w: w.mean(0) + (w - w.mean(0)).exp().mean(0).log(),
                                  "largest"),
        "clamped": (lambda w: iwae(w.clamp(min=-50)), "clamp"),
        "S written in": (lambda w: torch.logsumexp(w, 0) - math.log(5), "one sample"),
        "median": (lambda w: w.median(0).values, "all of them count"),
        "first sample": (lambda w: w[0], "all of them"),
        "root": (lambda w: 0.5 * torch.logsumexp(2 * w, 0) - 0.5 * math.log(len(w)), "large"),
        "log base 10 of S": (lambda w: torch.logsumexp(w, 0) - math.log10(len(w)), "whatever S"),
        "variance added": (lambda w: w.mean(0) + 0.5 * w.var(0), "one sample"),
        "no gradient": (lambda w: iwae(w.detach()), "detach"),
        "keeps the axis": (lambda w: torch.logsumexp(w, 0, keepdim=True) - math.log(len(w)),
                           "shape"),
        "NumPy": (lambda w: iwae(w).numpy(), "NumPy array"),
        "product": (lambda w: w.prod(0), "−2.5"),
    },
    "sample_prior": {
        "half as wide": (lambda d, n, k: sampled(d, 0.5 * torch.randn(n, k)), "standard deviation"),
        "temperature 0.8": (lambda d, n, k: sampled(d, 0.8 * torch.randn(n, k)), "scatter"),
        "shifted": (lambda d, n, k: sampled(d, 1 + torch.randn(n, k)), "around 0"),
        "correlated": (sample_correlated, "independent"),
        "Laplace": (sample_laplace, "not normal"),
        "one too many axes": (sample_in_a_list_of_batches, "one tensor"),
        "weights changed": (sample_and_restart_weights, "must not train"),
        "decoder not called": (lambda d, n, k: torch.rand(n, 1, 4, 3), "not called"),
        "one too many": (lambda d, n, k: sampled(d, torch.randn(n + 1, k)), "count latents"),
        "inverted": (lambda d, n, k: 1 - 2 * sampled(d, torch.randn(n, k)), "not the probability"),
        "NumPy": (lambda d, n, k: sampled(d, torch.randn(n, k)).numpy(), "one tensor"),
        "signature": (lambda d, n: sampled(d, torch.randn(n, 5)), "signature"),
        "truncated": (lambda d, n, k: sampled(d, torch.randn(n, k).clamp(-1, 1)), "latents"),
    },
}  # fmt: skip


@pytest.mark.parametrize(("name", "wrong", "words"), flat(UNLISTED))
def test_slip_nobody_listed_is_rejected_with_a_useful_hint(name, wrong, words):
    assert_helped(name, wrong, words)


PAIRS = [
    ("bernoulli_nll", "sign", "averaged-over-pixels"),
    ("bernoulli_nll", "sigmoid-twice", "summed-over-everything"),
    ("bernoulli_nll", "sign", "bits"), ("bernoulli_nll", "squared-error", "averaged-over-pixels"),
    ("bernoulli_nll", "black-for-white", "averaged-over-everything"),
    ("negative_elbo", "averaged-over-pixels", "averaged-over-latents"),
    ("negative_elbo", "kl-subtracted", "half-missing"),
    ("negative_elbo", "summed-over-images", "beta-on-reconstruction"),
    ("negative_elbo", "sigmoid-twice", "averaged-over-pixels"),
    ("negative_elbo", "squared-error", "averaged-over-pixels"),
    ("negative_elbo", "elbo-itself", "std-for-variance"),
    ("iwae_bound", "log-k-forgotten", "wrong-axis"), ("iwae_bound", "sign", "log-k-forgotten"),
    ("iwae_bound", "mean-of-the-logs", "wrong-axis"), ("iwae_bound", "sign", "bits"),
    ("sample_prior", "uniform", "logits-returned"),
    ("sample_prior", "gradient-kept", "eval-left-on"),
    ("sample_prior", "gradient-kept", "logits-returned"),
    ("sample_prior", "fixed-seed", "gradient-kept"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "first", "second"), PAIRS)
def test_pair_of_mistakes_is_recognised(name, first, second):
    assert_both_named(name, first, second)


def test_a_fixed_seed_is_recognised_in_a_generator_of_its_own_too():
    assert verdict("sample_prior", sample_by_generator, 3).mistake == "fixed-seed"


def test_the_checks_leave_gradients_on():
    for wrong in ("gradients-left-off", "gradient-kept"):
        verdict("sample_prior", checks.exercise("sample_prior").wrong(wrong), 3)
        assert torch.is_grad_enabled()


def test_a_real_decoder_with_dropout_comes_back_in_its_mode():
    decoder = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5))
    for mode in (True, False):
        decoder.train(mode)
        checks.exercise("sample_prior").reference(decoder, 5, 3)
        assert decoder.training is mode


# ----------------------------------------------------------------------------- the explorers


def a_history():
    columns = ("train_loss", "test_loss", "test_reconstruction", "test_kl")
    rows = [{"epoch": e, **{c: 100.0 + e + i for i, c in enumerate(columns)}} for e in range(1, 5)]
    return training.History(rows)


def a_training_explorer(**options):
    samples, copies = drawn(5, 12, 1, 28, 28).sigmoid(), drawn(5, 6, 1, 28, 28, seed=1).sigmoid()
    return training_explorer(a_history(), samples, originals=copies[0], copies=copies, **options)


def test_training_explorer_shows_the_epoch_and_says_its_terms():
    explorer = a_training_explorer()
    pictures = [explorer.picture(epoch=epoch) for epoch in range(5)]
    assert len(set(pictures)) == 5 and explorer.picture(epoch=2) == pictures[2]
    words = explorer.words(epoch=3)
    assert "reconstruction 105.0 + KL 106.0 = −ELBO 104.0" in words and "training 103.0" in words
    assert "Test images: recon" in words
    assert "Before training" in explorer.words()


def test_training_explorer_prefers_validation_images():
    history = a_history()
    for row in history.rows:
        row |= {name.replace("test", "validation"): 50.0 for name in list(row) if "test_" in name}
    samples = drawn(5, 12, 1, 28, 28).sigmoid()
    assert "Validation images: reconstruction 50.0" in training_explorer(history, samples).words(
        epoch=2
    )


def test_training_explorer_works_without_copies_and_wants_one_snapshot_more_than_epochs():
    samples = drawn(5, 12, 1, 28, 28).sigmoid()
    plain = training_explorer(a_history(), samples)
    assert plain.picture(epoch=0) != plain.picture(epoch=4)
    with pytest.raises(ValueError, match="expected 5"):
        training_explorer(a_history(), samples[:4])
    with pytest.raises(ValueError, match="belong together"):
        training_explorer(a_history(), samples, originals=samples[0])


def test_class_explorer_decodes_the_class_and_the_two_latents_that_are_moved():
    asked = []

    def decode(latent, label):
        asked.append((latent.clone(), label.clone()))
        return (latent[:, 3:4] * 0.1 + label[:, None] / 10 + 0.3)[..., None, None].expand(
            -1, 1, 28, 28
        )

    names = ["shirt", "shoe", "bag"]
    explorer = class_explorer(decode, names, latent_dim=5, dimensions=(3, 1))
    first = explorer.picture(), explorer.words()
    for change in ({"label": 2}, {"za": 1.0}):
        assert explorer.picture(**change) != first[0] and explorer.words(**change) != first[1]
    explorer.picture(za=1.5, zb=-2.0)
    latent, label = asked[-1]
    assert latent.tolist() == [[0, -2.0, 0, 1.5, 0]] * 3 and label.tolist() == [0, 1, 2]
    assert "Asked for: bag" in explorer.words(label=2)


def test_class_explorer_tells_what_the_judge_reads():
    def decode(latent, label):
        return (label[:, None, None, None] / 10.0).expand(-1, 1, 8, 8)

    def judge(pixels):  # reads every class as it was asked for, except that 0 looks like 2
        label = (10 * pixels[:, 0, 0, 0]).round().long()
        return F.one_hot(torch.where(label == 0, 2, label), 3).float()

    explorer = class_explorer(decode, ["a", "b", "c"], latent_dim=2, judge=judge)
    assert "The classifier says: c (100% sure)" in explorer.words(label=0)
    assert "reads 2 of 3 classes as asked" in explorer.words(label=1)


def test_sheet_lays_images_out_row_by_row():
    page = sheet(torch.arange(5.0)[:, None, None, None].expand(5, 1, 3, 4) / 10, columns=3)
    assert page.shape == (3 + 2 + 3, 4 + 2 + 4 + 2 + 4)
    assert page[0, 6] == round(255 * 0.1) and page[5, 0] == round(255 * 0.3)
    assert (page[3:5] == 255).all() and (page[5:, 12:] == 255).all()


# ------------------------------------------------------------- the notebook's own functions

NETWORK = ("make_encoder", "make_decoder", "ConvVAE")


def test_notebook_s_network_is_the_package_s():
    own = definitions(NOTEBOOK, *NETWORK).ConvVAE(6, 5)
    theirs = VAE.conv(6, channels=5)
    theirs.load_state_dict(own.state_dict())
    image = torch.rand(4, 1, 28, 28)
    for model in (own, theirs):
        torch.manual_seed(3)
        model.result = model(image)
    for mine, right in zip(own.result, theirs.result, strict=True):
        torch.testing.assert_close(mine, right)
    torch.testing.assert_close(own.decode(own.result[1]), theirs.decode(own.result[1]))


def test_notebook_s_loss_is_the_package_s():
    own = definitions(NOTEBOOK, "vae_loss").vae_loss
    own.__globals__["negative_elbo"] = checks.exercise("negative_elbo").reference
    torch.manual_seed(1)
    model, image = VAE.conv(5, channels=4), torch.rand(7, 1, 28, 28)
    torch.manual_seed(2)
    terms = own(model, image)
    torch.manual_seed(2)
    logits, mean, log_var = model(image)
    torch.testing.assert_close(terms["loss"], losses.negative_elbo(logits, image, mean, log_var))
    torch.testing.assert_close(terms["kl"], losses.gaussian_kl(mean, log_var).mean())


def test_companion_s_log_weights_give_the_package_s_bound():
    own = definitions(COMPANION, "log_weights").log_weights
    torch.manual_seed(1)
    model, image = VAE.dense(3, hidden=8), torch.rand(5, 1, 28, 28)
    torch.manual_seed(0)
    code = metrics.latent_codes(model, image)
    bound = losses.iwae_bound(own(model, image, *code, 4000))
    expected = metrics.importance_bound(model, image, samples=4000, seed=1)
    assert (bound - expected).abs().max() < 0.05
    assert (bound >= own(model, image, *code, 4000).mean(dim=0) - 1e-4).all()


def linear_model(width=0.5):
    r"""Two pixels with logits that hang on one latent each: posterior and ELBO factorise."""
    model = VAE(nn.Flatten(), nn.Flatten(), latent_dim=2)
    model.encoder = nn.Sequential(nn.Flatten(), nn.Linear(2, 4))
    model.decoder = nn.Sequential(nn.Linear(2, 2), nn.Unflatten(1, (1, 1, 2)))
    with torch.no_grad():
        for layer in (model.encoder[1], model.decoder[0]):
            layer.weight.zero_(), layer.bias.zero_()
        model.decoder[0].weight.copy_(6 * torch.eye(2))
    return model


def test_refined_clouds_leave_no_amortisation_gap_and_the_model_as_it_was():
    own = definitions(COMPANION, "refined", "gaps", "log_weights")
    own.gaps.__globals__["iwae_bound"] = losses.iwae_bound
    torch.manual_seed(0)
    model, image = linear_model(), torch.tensor([[1.0, 0.0], [0.0, 0.0]]).view(2, 1, 1, 2)
    before = [p.clone() for p in model.parameters()]
    nll, amortisation, family = own.gaps(model, image)  # the encoder says N(0, I) to all
    assert (amortisation > 0.4).all() and (family > 0).all()
    exact = torch.full((2,), 2 * math.log(2))  # p(x) is a quarter, by symmetry
    torch.testing.assert_close(nll - amortisation - family, exact, atol=0.08, rtol=0)
    assert all(map(torch.equal, before, model.parameters()))
    mean, log_var = own.refined(model, image)
    assert mean[0, 0] > 0.3 and mean[0, 1] < -0.3 and (log_var < -0.3).all()


def test_notebook_s_label_is_the_package_s():
    writer = ConditionalVAE.dense(4, classes=10, hidden=8)
    wanted = ("with_label", "LabelSeeingVAE", "names", "images", "DATASET")
    own = definitions(NOTEBOOK, *wanted)
    latent, label = drawn(3, 4), torch.tensor([0, 7, 9])
    assert torch.equal(own.with_label(latent, label, 10), writer.decoder_input(latent, label))
    layers = nn.Linear(784 + 10, 2 * 4), writer.decoder
    seeing = own.LabelSeeingVAE(*layers, latent_dim=4, classes=10)
    image = torch.rand(3, 1, 28, 28)
    assert [part.shape for part in seeing(image, label)[1:]] == [(3, 4), (3, 4)]
    one, other = seeing.encode(image, label), seeing.encode(image, 9 - label)
    assert not torch.equal(one[0], other[0]), "its encoder looks at the label"


def test_notebook_s_manifold_puts_the_inverse_of_the_distribution_function_on_its_axes():
    class Corner(nn.Module):
        def decode(self, latent):  # each image is as bright as Φ(z₁), its first row as Φ(z₂)
            share = torch.special.ndtr(latent)
            page = share[:, 0, None, None, None].expand(-1, 1, 28, 28).clone()
            page[:, :, 0] = share[:, 1, None, None]
            return page

    page = definitions(NOTEBOOK, "manifold").manifold(Corner(), size=4)
    shares = torch.tensor([0.125, 0.375, 0.625, 0.875])
    torch.testing.assert_close(page[14, 14::28], shares)  # z₁ from left to right, equal shares
    torch.testing.assert_close(page[0::28, 0], shares.flip(0))  # z₂ from bottom to top


def test_best_width_of_a_gaussian_is_the_rms_error():
    model = VAE.dense(3, hidden=8, likelihood=losses.Gaussian("learned"))
    output, image = drawn(64, 1, 28, 28), drawn(64, 1, 28, 28, seed=1)
    rms = (output - image).square().mean().sqrt().item()

    def nll_at(std):
        with torch.no_grad():
            model.likelihood.log_std.fill_(math.log(std))
        return model.likelihood.nll(output, image).mean().item()

    assert nll_at(rms) < nll_at(0.97 * rms) and nll_at(rms) < nll_at(1.03 * rms)


def test_companion_s_hidden_sigma_is_that_of_the_reduction():
    folds = Notebook(path := FOLDER / f"{COMPANION}.ipynb", read_notebook(path)).folded
    (fold,) = [fold for fold in folds if "def hidden_sigma" in fold]
    solved = {"math": math}
    exec(fold.split("```")[1].removeprefix("python\n"), solved)
    hidden_sigma = solved["hidden_sigma"]
    assert solved["my_beta"] == 784, "the average over the pixels of a 28 × 28 image"
    squares, kl = 37.0, 11.0
    cases = {1.0: squares + kl, 2.0: squares / 2 + kl, 784.0: squares / 784 + kl}
    for beta, loss in cases.items():
        two_variances = 2 * hidden_sigma(beta) ** 2
        assert squares / two_variances + kl == pytest.approx(loss), beta


# ------------------------------------------------------------------------------ the challenge


def test_challenge_measures_the_test_digits_and_says_what_kind_of_loss_it_is():
    torch.manual_seed(0)
    model = VAE.dense(4, hidden=8)
    found = checks.challenge("05", model)
    assert found.status == "not yet" and 400 < found.score < 700
    assert "room for more training" in found.where
    assert checks.challenge("05", model).score == found.score


def test_challenge_refuses_another_likelihood():
    model = VAE.dense(4, hidden=8, likelihood=losses.Gaussian(0.1))
    assert "Gaussian" in checks.challenge("05", model).where
    assert checks.challenge("05").status == "task"
