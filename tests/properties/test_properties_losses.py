"""Losses against torch.distributions and plain loops in float64; everything else is refused."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from property_tools import (
    FLOATS,
    WHOLE,
    Covers,
    agree,
    call,
    dtypes,
    image_shapes,
    laid_out,
    layouts,
    ones,
    refused,
    refuses_in_place_of,
    sizes,
    strange,
    tensors,
    unlike,
)  # fmt: skip
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

from vae_course import losses

covers = Covers(losses)


def normal(mean, log_var):
    return Independent(Normal(mean.double(), (0.5 * log_var.double()).exp()), 1)


def per_image(table):
    """Sums over all but the first dimension, one image after the other."""
    return torch.stack([row.double().sum() for row in table]) if len(table) else torch.zeros(0)


@st.composite
def alike(draw, count, *, low=-4.0, high=4.0, shape=None, special=()):
    """`count` tensors of one shape and dtype."""
    shape = draw(image_shapes() if shape is None else shape)
    dtype = draw(dtypes)
    kind = tensors(shape, dtype=dtype, low=low, high=high, special=special)
    return [draw(kind) for _ in range(count)]


codes = st.tuples(sizes, sizes)


# ------------------------------------------------------------------------------- right answers


@covers("mse_per_image")
@given(alike(2, low=0.0, high=1.0))
def test_mse_is_the_mean_of_squares(pair):
    image, other = pair
    size = image[0].numel()
    expected = per_image((image.double() - other.double()) ** 2) / size
    agree(call(losses.mse_per_image, image, other), expected, terms=expected + 1e-6)


@covers("bernoulli_nll")
@given(st.data())
def test_bernoulli_nll_is_the_log_probability_of_grey_pixels(data):
    shape, dtype = data.draw(image_shapes()), data.draw(dtypes)
    image = data.draw(tensors(shape, dtype=dtype, low=0.0, high=1.0, special=(0.0, 1.0)))
    logits = data.draw(tensors(shape, dtype=dtype, low=-80.0, high=80.0))
    found = call(losses.bernoulli_nll, logits, image)
    distribution = Bernoulli(logits=logits.double(), validate_args=False)
    terms = per_image(1 + logits.double().abs())
    agree(found, -per_image(distribution.log_prob(image.double())), terms=terms)
    if logits.requires_grad:
        (slope,) = torch.autograd.grad(found.sum(), logits)
        agree(slope, logits.double().sigmoid() - image.double(), terms=ones(shape))


@covers("gaussian_nll")
@given(st.data())
def test_gaussian_nll_is_the_normal_density(data):
    shape, dtype = data.draw(image_shapes()), data.draw(dtypes)
    mean, image = (data.draw(tensors(shape, dtype=dtype)) for _ in range(2))
    part = tuple(data.draw(st.sampled_from([1, size])) for size in shape)
    std = data.draw(
        st.one_of(st.floats(0.25, 4.0), *(
            tensors(given, dtype=dtype, low=0.25, high=4.0) for given in ((), part, shape)))
    )  # fmt: skip
    found = call(losses.gaussian_nll, mean, image, std=std)
    exact = torch.as_tensor(std, dtype=dtype).double()
    expected = -Normal(mean.double(), exact).log_prob(image.double())
    terms = per_image(expected.abs() + exact.log().abs() + ((mean - image) / exact) ** 2 + 1)
    agree(found, per_image(expected), terms=terms)


@covers("gaussian_kl", "gaussian_kl_per_dimension")
@given(alike(2, shape=codes, low=-6.0, high=6.0))
def test_gaussian_kl_is_what_torch_distributions_says(pair):
    mean, log_var = pair
    prior = Normal(torch.zeros(()).double(), 1.0)
    posterior = Normal(mean.double(), (0.5 * log_var.double()).exp())
    each = kl_divergence(posterior, prior)
    terms = mean.double().square() + log_var.double().exp() + 1 + log_var.double().abs()
    agree(call(losses.gaussian_kl_per_dimension, mean, log_var), each, terms=terms)
    found = call(losses.gaussian_kl, mean, log_var)
    agree(found, per_image(each), terms=per_image(terms))
    if mean.requires_grad:
        (slope,) = torch.autograd.grad(found.sum(), mean)
        agree(slope, mean)


@covers("gaussian_kl_between")
@given(alike(4, shape=codes, low=-3.0, high=3.0))
def test_kl_between_two_gaussians_is_what_torch_distributions_says(four):
    mean_q, log_var_q, mean_p, log_var_p = four
    found = call(losses.gaussian_kl_between, *four)
    expected = kl_divergence(normal(mean_q, log_var_q), normal(mean_p, log_var_p))
    spread = (log_var_q.double() - log_var_p.double()).exp() * (1 + log_var_q.double().abs())
    shift = (mean_q.double() - mean_p.double()).square() * (-log_var_p.double()).exp()
    terms = per_image(spread + shift + 1 + log_var_p.double().abs() + log_var_q.double().abs())
    agree(found, expected, terms=4 * terms)
    agree(call(losses.gaussian_kl_between, *four[:2], *four[:2]), 0 * expected, terms=terms)


@covers("gaussian_log_prob")
@given(st.data())
def test_log_density_is_that_of_independent_normals(data):
    shape = data.draw(st.lists(sizes, min_size=1, max_size=3).map(tuple))
    dtype = data.draw(dtypes)
    value = data.draw(tensors(shape, dtype=dtype))
    starts = st.integers(0, len(shape) - 1)
    mean, log_var = (data.draw(tensors(shape[data.draw(starts):], dtype=dtype, low=-3.0, high=3.0))
                     for _ in range(2))  # fmt: skip
    found = call(losses.gaussian_log_prob, value, mean, log_var)
    each = Normal(mean.double(), (0.5 * log_var.double()).exp()).log_prob(value.double())
    terms = (each.abs() + log_var.double().abs() + 2).sum(dim=-1)
    agree(found, each.sum(dim=-1), terms=4 * terms)
    assert found.shape == value.shape[:-1]


@covers("monte_carlo_kl")
@given(st.data())
def test_monte_carlo_kl_is_the_mean_of_log_ratios(data):
    samples, batch, latent = (data.draw(sizes) for _ in range(3))
    dtype = data.draw(st.sampled_from(FLOATS[:2]))
    mean, log_var = data.draw(tensors((2, batch, latent), dtype=dtype)).unbind()
    noise = data.draw(tensors((samples, batch, latent), dtype=dtype))
    expected = torch.zeros(batch, dtype=torch.float64)
    for draw in noise.double():
        point = mean.double() + (0.5 * log_var.double()).exp() * draw
        prior = normal(torch.zeros(batch, latent), torch.zeros(batch, latent))
        expected += (normal(mean, log_var).log_prob(point) - prior.log_prob(point)) / samples
    agree(call(losses.monte_carlo_kl, mean, log_var, noise), expected, slack=1e4,
          terms=expected.abs() + latent * 100)  # fmt: skip


@covers("negative_elbo")
@given(st.data())
def test_negative_elbo_is_the_mean_of_its_two_parts(data):
    batch, latent, dtype = data.draw(sizes), data.draw(sizes), data.draw(dtypes)
    beta = data.draw(st.floats(0, 10) | st.just(torch.tensor(2.0)))
    logits = data.draw(tensors((batch, 2, 3), dtype=dtype))
    image = data.draw(tensors((batch, 2, 3), dtype=dtype, low=0.0, high=1.0))
    mean, log_var = (data.draw(tensors((batch, latent), dtype=dtype)) for _ in range(2))
    total = terms = 0.0
    for row in range(batch):
        log_prob = Bernoulli(logits=logits[row].double(), validate_args=False).log_prob
        prior = normal(torch.zeros(latent), torch.zeros(latent))
        kl = kl_divergence(normal(mean[row], log_var[row]), prior)
        total += (float(beta) * kl - log_prob(image[row].double()).sum()) / batch
        terms += logits[row].double().abs().sum() + 6 + float(beta) * 100 * latent
    found = call(losses.negative_elbo, logits, image, mean, log_var, beta)
    agree(found, total, terms=terms)


@covers("iwae_bound")
@given(st.data())
def test_iwae_bound_is_the_log_of_the_mean_weight(data):
    samples, batch, dtype = data.draw(sizes), data.draw(st.integers(0, 4)), data.draw(dtypes)
    special = (-math.inf, -300.0)
    weights = data.draw(tensors((samples, batch), dtype=dtype, low=-30.0, high=30.0,
                                special=special))  # fmt: skip
    found = call(losses.iwae_bound, weights)
    for column, bound in zip(weights.T, found):
        mean = sum(math.exp(w) for w in column.double().tolist()) / samples
        if mean == 0:
            assert bound == -math.inf
        else:
            expected = torch.tensor(math.log(mean), dtype=torch.float64)
            agree(bound, expected, terms=column[column.isfinite()].double().abs().max() + 4)
    if samples == 1:
        assert torch.equal(found, weights[0])


@covers("free_bits_kl")
@given(alike(2, shape=codes), st.floats(0, 5))
def test_free_bits_charge_each_dimension_at_least_the_floor(pair, floor):
    mean, log_var = pair
    each = 0.5 * (mean.double() ** 2 + log_var.double().exp() - 1 - log_var.double())
    expected = sum(max(column.mean().item(), floor) for column in each.T)
    terms = (each.abs().mean(dim=0) + 40 + floor).sum()
    found = call(losses.free_bits_kl, mean, log_var, floor=floor)
    agree(found, torch.tensor(expected, dtype=torch.float64), terms=terms)


@covers("check_pixels")
@given(st.data())
def test_pixels_are_checked(data):
    shape = data.draw(st.lists(st.integers(0, 3), max_size=3).map(tuple))
    image = data.draw(tensors(shape, dtype=data.draw(dtypes), low=0.0, high=1.0))
    assert call(losses.check_pixels, image) is None
    if image.numel():
        spoiled = image.detach().clone().flatten()
        place = data.draw(st.integers(0, len(spoiled) - 1))
        wrong = data.draw(st.sampled_from([math.nan, math.inf, -math.inf, -0.1, 1.1, 255.0]))
        spoiled[place] = wrong
        refused(losses.check_pixels, spoiled.view(shape), words="nan|inf|-0.1|1.1|255")


# ------------------------------------------------------------------ rows that have nothing to do

BATCHED = {  # functions whose result is one number an image, with the shapes of their arguments
    "mse_per_image": [(3, 2, 2)] * 2, "bernoulli_nll": [(3, 2, 2)] * 2,
    "gaussian_nll": [(3, 2, 2)] * 2, "gaussian_kl": [(3, 2)] * 2,
    "gaussian_kl_between": [(3, 2)] * 4, "gaussian_log_prob": [(3, 2)] * 3,
}  # fmt: skip


@pytest.mark.parametrize("name", BATCHED)
@given(data=st.data())
def test_what_is_broken_in_one_image_stays_there(name, data):
    """NaN and infinity come out as such, and only in the rows where they went in."""
    function, shapes = getattr(losses, name), BATCHED[name]
    args = [data.draw(tensors(shape, low=0.0, high=1.0)).detach().clone() for shape in shapes]
    clean = function(*args)
    which = 0 if name == "bernoulli_nll" else data.draw(st.integers(0, len(args) - 1))
    row = data.draw(st.integers(0, 2))
    args[which][row].flatten()[0] = data.draw(st.sampled_from([math.nan, math.inf, -math.inf]))
    found = call(function, *args)
    others = [index for index in range(3) if index != row]
    assert torch.equal(found[others], clean[others])
    if args[which].isnan().any():
        assert found[row].isnan()


@pytest.mark.parametrize("name", BATCHED)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_no_images_no_losses(name, dtype):
    args = [torch.zeros((0, *shape[1:]), dtype=dtype) for shape in BATCHED[name]]
    assert call(getattr(losses, name), *args).shape == (0,)


@pytest.mark.parametrize("name", BATCHED)
@given(layout=layouts, wide=st.sampled_from(FLOATS), place=st.integers(0, 1))
def test_layout_and_a_second_dtype_change_nothing(name, layout, wide, place):
    generator = torch.Generator().manual_seed(0)
    args = [torch.rand(shape, generator=generator) for shape in BATCHED[name]]
    if layout == "stretched":
        args = [arg[:1].expand(arg.shape).contiguous() for arg in args]
    expected = getattr(losses, name)(*(arg.double() for arg in args))
    args = [laid_out(arg, layout) for arg in args]
    args[place] = args[place].to(wide)
    found = getattr(losses, name)(*args)
    coarsest = max(torch.finfo(arg.dtype).eps for arg in args)
    assert (found.double() - expected).abs().max() <= 64 * coarsest


# ------------------------------------------------------------------------------------ refusals

FITTING = BATCHED | {
    "gaussian_kl_per_dimension": [(3, 2)] * 2, "monte_carlo_kl": [(3, 2), (3, 2), (5, 3, 2)],
    "negative_elbo": [(3, 2, 2), (3, 2, 2), (3, 2), (3, 2)], "iwae_bound": [(5, 3)],
    "free_bits_kl": [(3, 2)] * 2, "check_pixels": [(3, 2)],
}  # fmt: skip
OPTIONS = {"free_bits_kl": {"floor": 0.1}}
every = pytest.mark.parametrize("name", FITTING)


def fitting(name, dtype=torch.float32):
    return [ones(shape, dtype) for shape in FITTING[name]]


@every
@given(data=st.data())
def test_shapes_that_would_broadcast_are_refused(name, data):
    args = fitting(name)
    place = data.draw(st.integers(0, len(args) - 1))
    shape = data.draw(unlike(args[place].shape))
    args[place] = torch.ones(shape)
    harmless = name == "check_pixels" or (name == "iwae_bound" and len(shape) == 2)
    if name == "gaussian_log_prob" and place > 0 and shape[-1:] == (2,):
        harmless = all(a in (1, b) for a, b in zip(shape[::-1], (2, 3))) and len(shape) < 3
    if name == "gaussian_log_prob" and place == 0:
        harmless = shape[-2:] == (3, 2)  # more values under the same distributions
    if name == "monte_carlo_kl" and place == 2:
        harmless = len(shape) == 3 and shape[1:] == (3, 2)  # another number of samples
    if not harmless:
        message = refused(getattr(losses, name), *args, **OPTIONS.get(name, {}))
        assert str(tuple(shape)) in message or "images" in message, message


@every
@strange
def test_what_is_no_tensor_is_named(name, wrong, words):
    function, options = getattr(losses, name), OPTIONS.get(name, {})
    refuses_in_place_of(function, fitting(name), wrong, words, **options)


@every
@pytest.mark.parametrize("dtype", [*WHOLE, torch.complex64], ids=str)
def test_what_is_no_float_is_named(name, dtype):
    function, options = getattr(losses, name), OPTIONS.get(name, {})
    for place, arg in enumerate(fitting(name)):
        refuses_in_place_of(function, fitting(name), arg.to(dtype), str(dtype), places=[place],
                            **options)  # fmt: skip


@every
@pytest.mark.parametrize("shape", [(), (3,)], ids=str)
def test_what_has_no_batch_is_refused(name, shape):
    if name in ("check_pixels", "gaussian_log_prob"):
        assert name != "gaussian_log_prob" or refused(losses.gaussian_log_prob, *[ones(())] * 3)
        return
    refused(getattr(losses, name), *(ones(shape) for _ in FITTING[name]), **OPTIONS.get(name, {}))


def test_std_must_be_positive_and_fit():
    shapes = [ones(shape) for shape in ((3,), (2, 2), (4, 3, 2, 2), (3, 1, 3))]
    values = [-ones((3, 2, 2)), 0 * ones((3, 1, 1)), math.nan * ones(())]
    for std in (0, -1.0, math.nan, math.inf, None, "1", [1.0], *shapes, *values):
        refused(losses.gaussian_nll, ones((3, 2, 2)), ones((3, 2, 2)), std=std, words="std")


@pytest.mark.parametrize("wrong", [math.nan, math.inf, None, "1", [1.0], ones((3,))])
def test_weights_are_single_finite_numbers(wrong):
    refused(losses.negative_elbo, *fitting("negative_elbo"), wrong, words="beta")
    refused(losses.free_bits_kl, *fitting("free_bits_kl"), floor=wrong, words="floor")


def test_nothing_has_no_mean():
    empty = [ones((0, *shape[1:])) for shape in FITTING["negative_elbo"]]
    refused(losses.negative_elbo, *empty, words="empty")
    refused(losses.free_bits_kl, ones((0, 2)), ones((0, 2)), floor=0.1, words="at least one image")
    refused(losses.iwae_bound, ones((0, 3)), words="at least one sample")
    refused(losses.monte_carlo_kl, ones((3, 2)), ones((3, 2)), ones((0, 3, 2)), words="samples")
    refused(losses.mse_per_image, ones((3, 0)), ones((3, 0)), words="no pixels")


def test_every_public_function_has_a_property_test():
    covers.check()
