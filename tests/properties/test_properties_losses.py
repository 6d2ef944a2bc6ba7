"""Losses against torch.distributions and plain loops in float64; everything else is refused."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
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
from torch.distributions import Bernoulli, Categorical, Independent, Normal, kl_divergence

from vae_course import data as data_room
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
    exact = torch.as_tensor(std, dtype=torch.promote_types(dtype, torch.float32)).double()
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


# --------------------------------------------------------------------------------- likelihoods

SPECS = ["bernoulli", "gaussian", "gaussian:0.3", "gaussian:learned", "gaussian:learned:2x3x3",
         "gaussian:predicted", "logistic", "logistic:4", "categorical:3", "poisson"]  # fmt: skip


@st.composite
def outputs_and_targets(draw, likelihood, batch=3, shape=(2, 3, 3)):
    output = draw(tensors((batch, likelihood.channels * shape[0], *shape[1:]), dtype=draw(dtypes)))
    values = {"bernoulli": tensors((batch, *shape), low=0.0, high=1.0),
              "gaussian": tensors((batch, *shape))}  # fmt: skip
    name = likelihood.spec.split(":")[0]
    most = {"logistic": getattr(likelihood, "levels", 0), "categorical": 3, "poisson": 20}.get(name)
    if name in values:
        return output, draw(values[name]).detach()
    whole = draw(hnp.arrays(np.int64, (batch, *shape), elements=st.integers(0, most - 1)))
    target = torch.from_numpy(whole)
    return output, target / (most - 1) if name == "logistic" else target.float()


def said_by_torch(likelihood, output):
    """The same distribution of each value, by torch.distributions in float64."""
    output, name = output.detach().double(), likelihood.spec.split(":")[0]
    if name == "bernoulli":
        return Bernoulli(logits=output, validate_args=False)
    if name == "poisson":
        return torch.distributions.Poisson(output.exp())
    if name == "categorical":
        return Categorical(logits=output.unflatten(1, (3, 2)).movedim(1, -1))
    std = {"gaussian:0.3": 0.3}.get(likelihood.spec, 1.0)
    if likelihood.spec.startswith("gaussian:learned"):
        std = likelihood.log_std.detach().double().exp()
    if likelihood.spec == "gaussian:predicted":
        output, log_std = output[:, :2], output[:, 2:]
        std = log_std.exp()
    return Normal(output, std)


@covers("Likelihood", "likelihood_of", "Bernoulli", "Gaussian", "Categorical", "Poisson")
@pytest.mark.parametrize("spec", [spec for spec in SPECS if "logistic" not in spec])
@given(data=st.data())
def test_likelihoods_are_those_of_torch_distributions(spec, data):
    likelihood = losses.likelihood_of(spec)
    assert losses.likelihood_of(likelihood.spec).spec == likelihood.spec
    for parameter in likelihood.parameters():
        torch.nn.init.uniform_(parameter, -1, 1)
    output, target = data.draw(outputs_and_targets(likelihood))
    expected = -said_by_torch(likelihood, output).log_prob(target.double())
    found = likelihood.nll(output, target)
    assert found.dtype == torch.promote_types(output.dtype, torch.float32)
    agree(found, per_image(expected), terms=per_image(expected.abs() + output.double().exp().sum()))
    if spec != "categorical:3":
        mean = said_by_torch(likelihood, output).mean
        torch.testing.assert_close(likelihood.mean(output).double(), mean, rtol=0.01, atol=0.01)


@covers("DiscretizedLogistic")
@pytest.mark.parametrize("levels", [2, 4, 256])
@given(st.floats(-3, 3), st.floats(-9, 3))
def test_the_levels_have_the_probability_of_their_intervals(levels, place, log_scale):
    likelihood = losses.DiscretizedLogistic(levels)
    output = torch.tensor([[[place], [log_scale]]], dtype=torch.float64).expand(levels, 2, 1)
    level = torch.arange(levels).double() / (levels - 1)  # one image a level
    probs = (-likelihood.nll(output, level[:, None, None])).exp()
    edges = (2 * level + 1 / (levels - 1) - 1)[:-1]  # between a level and the next one
    below = torch.sigmoid((edges - place) / math.exp(max(log_scale, -7)))
    edges_too = torch.cat([torch.zeros(1), below, torch.ones(1)])
    torch.testing.assert_close(probs, edges_too.diff(), rtol=1e-6, atol=1e-9)
    assert probs.sum().item() == pytest.approx(1)
    assert likelihood.mean(output[:1]).item() == pytest.approx(min(max((place + 1) / 2, 0), 1))


@pytest.mark.parametrize("spec", SPECS)
def test_many_draws_have_the_mean_and_are_possible_targets(spec):
    torch.manual_seed(0)
    likelihood = losses.likelihood_of(spec)
    output = torch.randn(1, likelihood.channels * 2, 3, 3).expand(20_000, -1, -1, -1)
    random = torch.Generator().manual_seed(0)
    drawn = likelihood.sample(output, random)
    random.manual_seed(0)
    assert torch.equal(drawn, likelihood.sample(output, random))
    assert likelihood.nll(output[:9], drawn[:9]).isfinite().all() and drawn.dtype == output.dtype
    if spec.startswith("logistic"):
        level = torch.linspace(0, 1, likelihood.levels)[:, None]  # one image a level
        places, log_scales = output[0].reshape(2, -1, 1)
        pairs = [torch.cat(pair).expand(len(level), 2) for pair in zip(places, log_scales)]
        probs = [(-likelihood.nll(pair, level)).exp() for pair in pairs]
        mean = torch.stack([(level[:, 0] * each).sum() for each in probs]).view(2, 3, 3)
    elif spec == "categorical:3":
        mean = (said_by_torch(likelihood, output[:1]).probs * torch.arange(3)).sum(-1)[0]
    else:
        mean = said_by_torch(likelihood, output[:1]).mean[0]
    error = drawn.double().std(dim=0) / math.sqrt(len(drawn))
    assert ((drawn.double().mean(dim=0) - mean).abs() < 5 * error + 1e-6).all()


@covers("Table")
@given(st.data())
def test_a_row_of_a_table_is_the_sum_of_its_columns(data):
    columns = ["gaussian:0.3", "categorical:3", "poisson", "bernoulli", "gaussian:predicted"]
    table = losses.Table(columns)
    assert (table.spec, table.channels, table.inputs) == (columns, 8, 7)
    parts = [data.draw(outputs_and_targets(column, shape=(1,))) for column in table.columns]
    output = torch.cat([part.float() for part, _ in parts], dim=1)
    row = torch.cat([value for _, value in parts], dim=1)
    each = [column.nll(part.float(), value) for column, (part, value) in zip(table.columns, parts)]
    torch.testing.assert_close(table.nll(output, row), sum(each))
    torch.testing.assert_close(table.nll_per_column(output, row), torch.stack(each, dim=1))
    assert table.mean(output).shape == table.sample(output).shape == row.shape
    one_hot = torch.nn.functional.one_hot(row[:, 1].long(), 3)
    seen = [row[:, :1], one_hot, (1 + row[:, 2:3]).log(), row[:, 3:]]
    torch.testing.assert_close(table.features(row), torch.cat(seen, dim=1))


def test_a_table_knows_the_columns_that_the_data_room_describes():
    made = data_room.load_table({"a": [0.5, 1.5] * 20, "b": ["x", "y"] * 20, "c": range(40)},
                                counts=["c"])  # fmt: skip
    assert losses.Table(made.columns).spec == ["gaussian:learned", "categorical:2", "poisson"]


def test_what_a_likelihood_gives_no_probability_to_is_refused():
    output, value = ones((2, 2)), ones((2, 2))
    refused(losses.Bernoulli().nll, output, 3 * value, words="run from 3 to 3")
    refused(losses.Poisson().nll, output, 0.5 * value, words="0.5; expected whole numbers")
    refused(losses.Poisson().nll, output, -value, words="-1")
    refused(losses.Categorical(2).nll, output, 2 * value[:, :1], words="0 to 1")
    refused(losses.DiscretizedLogistic().nll, output, 0.33 * value[:, :1], words="round after")
    refused(losses.Table(["poisson"]).nll, output, value, words="expected")
    for spec in ("gaussian:-1", "gaussian:x", "categorical", "categorical:1", "logistic:1"):
        refused(losses.likelihood_of, spec, words=spec.split(":")[0])
    refused(losses.Table, [], words="columns")


def test_a_learned_spread_finds_the_spread_of_the_errors_and_not_less_than_the_least():
    """The best σ is the root of the mean squared error; for a value that never changes, 1e-3."""
    likelihood = losses.Gaussian("learned", shape=(2,))
    errors = torch.tensor([[0.3, 0.0], [-0.3, 0.0]])
    optimizer = torch.optim.Adam(likelihood.parameters(), lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        likelihood.nll(torch.zeros(2, 2), errors).mean().backward()
        optimizer.step()
    _, std = likelihood.mean_and_std(torch.zeros(2, 2))
    torch.testing.assert_close(std, torch.tensor([[0.3, 0.001]]), rtol=0.01, atol=0)
    _, std = losses.Gaussian("predicted").mean_and_std(torch.tensor([[0.0, -20.0]]))
    assert std.item() == pytest.approx(1e-3)


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
    found = call(getattr(losses, name), *args)
    assert found.shape == (0,)
    assert found.dtype == torch.promote_types(dtype, torch.float32), "sums in half precision"


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
    "free_bits_kl": [(3, 2)] * 2,
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
    harmless = name == "iwae_bound" and len(shape) == 2
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
    if name == "gaussian_log_prob":
        refused(losses.gaussian_log_prob, *[ones(())] * 3)
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
    refused(losses.free_bits_kl, ones((0, 2)), ones((0, 2)), floor=0.1, words="batch")
    refused(losses.iwae_bound, ones((0, 3)), words="samples ≥ 1")
    refused(losses.monte_carlo_kl, ones((3, 2)), ones((3, 2)), ones((0, 3, 2)), words="samples")
    refused(losses.mse_per_image, ones((3, 0)), ones((3, 0)), words="no pixels")


def test_every_public_function_has_a_property_test():
    covers.check()
