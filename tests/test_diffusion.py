"""The chain of noise: closed forms against distributions, and exact worlds."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Normal, kl_divergence

from vae_course import diffusion
from vae_course.diffusion import Diffusion
from vae_course.models import VAE


class Exact(nn.Module):
    r"""The best guess of v for data N(mean, std²): what an endlessly trained network would say."""

    def __init__(self, alpha_bar, mean=0.0, std=1.0):
        super().__init__()
        self.alpha_bar, self.mean, self.std = alpha_bar, mean, std

    def forward(self, noisy, time, label=None):
        left = self.alpha_bar[(time * (len(self.alpha_bar) - 1)).round().long()][:, None]
        variance = left * self.std**2 + 1 - left
        noise = (1 - left).sqrt() * (noisy - left.sqrt() * self.mean) / variance
        image = (noisy - (1 - left).sqrt() * noise) / left.sqrt()
        return left.sqrt() * noise - (1 - left).sqrt() * image


def exact_model(steps=200, mean=0.3, std=0.5):
    alpha_bar = diffusion.cosine_schedule(steps)
    return Diffusion(Exact(alpha_bar, mean, std), shape=(1,), alpha_bar=alpha_bar)


@pytest.mark.parametrize("schedule", [diffusion.cosine_schedule, diffusion.linear_schedule])
@pytest.mark.parametrize("steps", [50, 1000])
def test_a_schedule_falls_from_the_picture_to_noise(schedule, steps):
    left = schedule(steps)
    assert left.shape == (steps + 1,) and left[0] == 1 and left[-1] < 1e-3
    assert (left.diff() < 0).all() and (left > 0).all()


def test_noise_added_step_by_step_is_noise_added_at_once():
    left = diffusion.cosine_schedule(40)
    torch.manual_seed(0)
    x = torch.full((200_000, 1), 1.5, dtype=torch.float64)
    for t in range(1, 26):
        beta = 1 - left[t] / left[t - 1]
        x = (1 - beta).sqrt() * x + beta.sqrt() * torch.randn_like(x)
    assert x.mean().item() == pytest.approx(1.5 * left[25].sqrt().item(), abs=0.01)
    assert x.var().item() == pytest.approx(1 - left[25].item(), abs=0.01)


def test_the_term_of_a_step_is_the_kl_of_its_two_gaussians():
    left = diffusion.cosine_schedule(100)
    image, noise, error = torch.tensor([[0.7]]), torch.tensor([[-0.4]]), 0.3
    for t in (2, 30, 100):
        now, before = left[t], left[t - 1]
        beta = 1 - now / before
        noisy = diffusion.noised(image.double(), noise.double(), now[None])
        variance = beta * (1 - before) / (1 - now)

        def mean(guess, now=now, before=before, beta=beta, noisy=noisy):
            x0 = diffusion.image_from_noise(noisy, guess, now[None])
            return (before.sqrt() * beta * x0 + (1 - beta).sqrt() * (1 - before) * noisy) / (
                1 - now
            )

        q, p = (Normal(mean(noise.double() + off), variance.sqrt()) for off in (0.0, error))
        found = diffusion.diffusion_kl(
            beta[None], now[None], before[None], torch.tensor([error**2])
        )
        torch.testing.assert_close(found, kl_divergence(q, p)[0].to(found), rtol=1e-6, atol=1e-9)


def test_every_term_is_its_exact_value_to_a_thousandth_of_a_nat():
    r"""Data of N(0.3, 0.5²), half a million draws of each term, against closed forms."""
    left = diffusion.cosine_schedule(100, start=0.99)
    model = Diffusion(Exact(left, 0.3, 0.5), shape=(1,), alpha_bar=left)
    generator = torch.Generator().manual_seed(0)
    image, noise = torch.randn(2, 500_000, 1, generator=generator, dtype=torch.float64)
    image = 0.3 + 0.5 * image
    for t in (2, 3, 10, 50, 99, 100):
        now, before = left[t], left[t - 1]
        missed = now * 0.25 / (now * 0.25 + 1 - now)  # the variance of the noise, given x_t
        beta = 1 - now / before
        variance = beta * (1 - before) / (1 - now)
        expected = beta**2 / ((1 - beta) * (1 - now)) * missed / (2 * variance)
        found = model.terms(image, torch.full((len(image),), t), noise).mean()
        assert found.item() == pytest.approx(expected.item(), abs=1e-3)
    square = 0.3**2 + 0.5**2
    expected = (left[-1] * square - left[-1] - (1 - left[-1]).log()) / 2
    found = diffusion.end_kl(image, left[-1]).mean()
    assert found.item() == pytest.approx(expected.item(), abs=1e-3)


def test_the_end_is_a_kl_against_the_prior():
    image, left = torch.tensor([[0.5, -2.0]], dtype=torch.float64), torch.tensor(0.3).double()
    q = Normal(left.sqrt() * image, (1 - left).sqrt())
    expected = kl_divergence(q, Normal(torch.zeros(1, 2).double(), 1.0)).sum(dim=1)
    torch.testing.assert_close(diffusion.end_kl(image, left), expected)


def test_v_and_noise_say_the_same():
    image, noise, left = torch.randn(4, 3), torch.randn(4, 3), torch.rand(4)
    noisy = diffusion.noised(image, noise, left)
    v = left.sqrt()[:, None] * noise - (1 - left).sqrt()[:, None] * image
    torch.testing.assert_close(diffusion.noise_from_v(noisy, v, left), noise, rtol=1e-4, atol=1e-5)


def test_a_step_that_knows_the_noise_lands_where_the_chain_was():
    image, noise = torch.randn(5, 2).double(), torch.randn(5, 2).double()
    now, then = torch.full((5,), 0.2).double(), torch.full((5,), 0.6).double()
    noisy = diffusion.noised(image, noise, now)
    ddim = diffusion.ddim_step(noisy, noise, now, then)
    torch.testing.assert_close(ddim, diffusion.noised(image, noise, then))
    torch.testing.assert_close(diffusion.ddim_step(noisy, noise, now, torch.ones(5)), image)
    # q(x_s | x_t, x_0) of the chain: Bayes' rule for two Gaussians
    ratio = now[0] / then[0]
    variance = (1 - then[0]) * (1 - ratio) / (1 - now[0])
    mean = (then[0].sqrt() * (1 - ratio) * image
            + ratio.sqrt() * (1 - then[0]) * noisy) / (1 - now[0])  # fmt: skip
    fresh = torch.randn(5, 2).double()
    step = diffusion.ancestral_step(noisy, noise, now, then, fresh)
    torch.testing.assert_close(step, mean + variance.sqrt() * fresh)


@pytest.mark.parametrize("ancestral", [True, False])
def test_the_exact_predictor_draws_the_data(ancestral):
    model = exact_model()
    generator = torch.Generator().manual_seed(0)
    x = model.sample(20_000, steps=100, ancestral=ancestral, generator=generator)
    assert x.mean().item() == pytest.approx(0.3, abs=0.02)
    assert x.std().item() == pytest.approx(0.5, abs=0.02)


def test_the_bound_lies_above_the_truth_and_close_to_it():
    r"""Grey values of N(0.1, 0.2²): the exact predictor's bound, with all its terms."""
    model, levels = exact_model(steps=1000, mean=0.1, std=0.2), 256
    grid = torch.linspace(-1, 1, levels, dtype=torch.float64)
    half, inside = 1 / (levels - 1), Normal(0.1, 0.2)
    mass = inside.cdf(grid + half) - inside.cdf(grid - half)
    mass /= mass.sum()
    image = grid[torch.multinomial(mass, 4000, True, generator=torch.Generator().manual_seed(0))]
    found = diffusion.bound(
        model, image[:, None], draws=100, levels=levels, generator=torch.Generator().manual_seed(1)
    ).total.mean()
    entropy = -(mass * mass.log()).sum()  # the bound's gap: x₁ does not fill its grey value's cell
    assert entropy < found < entropy + 0.25


def test_a_better_predictor_has_a_lower_bound():
    exact, wrong = exact_model(), exact_model()
    wrong.network.mean = 1.0
    image = 0.3 + 0.5 * torch.randn(500, 1, generator=torch.Generator().manual_seed(0))
    totals = [
        diffusion.bound(m, image, generator=torch.Generator().manual_seed(2)).total.mean()
        for m in (exact, wrong)
    ]
    assert totals[0] + 0.1 < totals[1]


def test_guidance_goes_beyond_the_label_and_zero_is_the_label():
    class Labelled(nn.Module):
        def forward(self, noisy, time, label=None):
            return torch.zeros_like(noisy) if label is None else torch.ones_like(noisy)

    model = Diffusion(Labelled(), shape=(1,), steps=10, predicts="noise")
    x, t, label = torch.zeros(2, 1), torch.full((2,), 5), torch.zeros(2, dtype=torch.long)
    assert model.predict(x, t, label).tolist() == [[1.0]] * 2
    assert model.predict(x, t, label, guidance=2.0).tolist() == [[3.0]] * 2


class Heard(nn.Module):
    r"""A network that remembers what it was asked, and answers with a number for each class."""

    def __init__(self):
        super().__init__()
        self.times, self.labels = [], []

    def forward(self, noisy, time, label=None):
        self.times.append(time)
        self.labels.append(label)
        return torch.zeros_like(noisy) + (0 if label is None else label[:, None].to(noisy))


def test_the_loss_asks_for_all_times_but_the_first_and_hides_labels():
    model = Diffusion(Heard(), shape=(1,), steps=8, predicts="noise")
    torch.manual_seed(0)
    label = torch.zeros(800, dtype=torch.long)
    for drop in (0.25, 0.0):
        model.loss(torch.zeros(800, 1), label, drop=drop)
    times = (8 * torch.cat(model.network.times)).round().long()
    assert times.unique().tolist() == list(range(1, 9))
    hidden, shown = (labels == -1 for labels in model.network.labels)
    assert 0.15 < hidden.double().mean() < 0.35 and not shown.any()


@pytest.mark.parametrize("predicts", ["v", "noise"])
def test_the_loss_is_the_error_of_what_is_predicted(predicts):
    alpha_bar = torch.tensor([1.0, 0.64])
    model = Diffusion(Heard(), shape=(1,), alpha_bar=alpha_bar, predicts=predicts)
    torch.manual_seed(3)
    found = model.loss(torch.full((400, 1), 2.0))  # the answer is 0
    torch.manual_seed(3)
    torch.randperm(400), torch.rand(400)  # the times
    noise = torch.randn(400, 1)
    target = noise if predicts == "noise" else 0.8 * noise - 0.6 * 2
    assert found.item() == pytest.approx(target.square().mean().item(), rel=1e-5)


def test_the_label_is_heard_in_terms_and_samples():
    model = Diffusion(Heard(), shape=(1,), steps=20, predicts="noise")
    image, noise, t = torch.zeros(2, 1), torch.zeros(2, 1), torch.full((2,), 5)
    terms = model.terms(image, t, noise, torch.tensor([0, 1]))
    assert terms[0] == 0 and terms[1] > 0
    model.network.labels.clear()
    model.sample(2, label=torch.tensor([3, 4]), steps=2)
    assert [label.tolist() for label in model.network.labels] == [[3, 4]] * 2


def test_only_the_ancestral_way_draws_noise_as_it_goes():
    model, ends = exact_model(), {}
    for ancestral in (True, False):
        torch.manual_seed(0)
        drawn = torch.Generator().manual_seed(0)
        model.sample(3, steps=5, ancestral=ancestral, generator=drawn)
        ends[ancestral] = torch.rand(1, generator=drawn).item()
    once = torch.Generator().manual_seed(0)
    torch.randn(3, 1, generator=once)
    assert ends[False] == torch.rand(1, generator=once).item() != ends[True]


def test_the_first_term_is_the_mass_of_a_grey_values_cell():
    left = torch.tensor([1.0, 0.9, 0.1], dtype=torch.float64)
    model = Diffusion(Heard(), shape=(1,), alpha_bar=left, predicts="noise")  # guesses no noise
    image = torch.tensor([[-1.0], [-1 / 3], [1 / 3], [1.0]]).double()  # four grey values
    found = model.first_term(image, torch.zeros(4, 1).double(), levels=4)
    around = Normal(image[:, 0], (0.1 / 0.9) ** 0.5)  # the guess is the picture itself
    below, above = around.cdf(image[:, 0] - 1 / 3), around.cdf(image[:, 0] + 1 / 3)
    below[0], above[-1] = 0.0, 1.0
    torch.testing.assert_close(found, -(above - below).log())


def test_the_bound_is_the_sum_of_its_terms():
    model = exact_model(steps=3)
    image = torch.full((2, 1), 0.5)
    parts = diffusion.bound(model, image, draws=2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(parts.total, parts.end + parts.middle + parts.first)
    torch.testing.assert_close(parts.end, diffusion.end_kl(image.double(), model.alpha_bar[3]))
    drawn = torch.Generator().manual_seed(0)
    middle = 0
    for t in (2, 3):  # two parts of two terms: each is drawn once
        torch.rand(2, generator=drawn)
        noise = torch.randn(2, 1, generator=drawn)
        middle = middle + model.terms(image, torch.full((2,), t), noise)
    torch.testing.assert_close(parts.middle, middle)


@pytest.mark.parametrize(
    ("network", "shape"),
    [(diffusion.DenseDenoiser(6, width=32), (6,)), (diffusion.UNet(channels=8), (1, 28, 28))],
)
def test_networks_keep_the_shape_and_hear_the_label(network, shape):
    torch.manual_seed(0)
    for p in network.parameters():  # the last convolutions start at zero
        nn.init.normal_(p, std=0.2)
    x, time = torch.randn(3, *shape), torch.rand(3)
    label = torch.tensor([0, 5, 9])
    out = network(x, time, label)
    assert out.shape == x.shape
    assert not torch.allclose(out, network(x, time, None))
    assert not torch.allclose(out, network(x, time.flip(0), label))
    assert torch.allclose(network(x, time, None), network(x, time, torch.full((3,), -1)))


def test_each_layer_adds_to_what_came_and_hears_the_conditions():
    torch.manual_seed(0)
    network = diffusion.DenseDenoiser(2, width=16, layers=2)
    x, time = torch.randn(3, 2), torch.rand(3)
    inside = network.enter(x)
    for layer in network.layers:
        inside = inside + layer(inside + network.conditions(time, None))
    torch.testing.assert_close(network(x, time), network.leave(inside))
    block = diffusion.ResidualBlock(8, 8, 4)
    nn.init.normal_(block.conv_2.weight)
    picture = torch.randn(1, 8, 4, 4)
    assert not torch.allclose(block(picture, torch.zeros(1, 4)), block(picture, torch.ones(1, 4)))


def test_the_long_bridge_carries_what_the_halving_drops():
    torch.manual_seed(0)
    network = diffusion.UNet(channels=8)
    for p in network.parameters():
        nn.init.normal_(p, std=0.2)
    nn.init.zeros_(network.halve_1.weight)  # nothing passes below
    x, time = torch.randn(2, 1, 8, 8), torch.full((2,), 0.5)
    out = network(x, time)
    assert not torch.allclose(out[0], out[1])


def test_learning_lowers_the_loss_of_two_points():
    torch.manual_seed(0)
    model = Diffusion(diffusion.DenseDenoiser(1, width=32, layers=2), shape=(1,), steps=100)
    data = torch.tensor([[-1.0], [1.0]]).repeat(64, 1)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(400):
        loss = model.loss(data)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    x = model.sample(400, steps=50, generator=torch.Generator().manual_seed(0))
    assert (x.abs() - 1).abs().median() < 0.2 and 0.35 < (x > 0).double().mean() < 0.65


def test_latent_diffusion_scales_codes_and_leaves_the_vae_out_of_its_weights():
    torch.manual_seed(0)
    model = diffusion.LatentDiffusion(VAE.dense(3), width=16, layers=1)
    assert not any("decoder" in name for name in model.state_dict())
    codes = 5 + 2 * torch.randn(1000, 3)
    model.set_scale(codes)
    torch.testing.assert_close(model.mean, codes.mean(dim=0))
    losses = []
    for loss, given in (
        (model.loss, codes),
        (model.diffusion.loss, (codes - codes.mean(dim=0)) / codes.std(dim=0)),
    ):
        torch.manual_seed(0)
        losses.append(loss(given))
    torch.testing.assert_close(*losses)
    drawn = model.diffusion.sample(4, steps=5, generator=torch.Generator().manual_seed(0))
    expected = model.vae.decode(drawn * codes.std(dim=0) + codes.mean(dim=0))
    found = model.sample(4, steps=5, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(found, expected)
    pixels = model.sample(4, steps=5)
    assert pixels.shape == (4, 1, 28, 28) and 0 <= pixels.min() <= pixels.max() <= 1


def test_a_size_that_cannot_be_halved_twice_is_refused():
    with pytest.raises(ValueError, match="30 × 28 pixels came"):
        Diffusion.unet(channels=8, image_shape=(1, 30, 28))


def test_an_unknown_prediction_is_refused():
    with pytest.raises(ValueError, match="predicts is 'x'"):
        Diffusion(nn.Identity(), shape=(1,), predicts="x")


def test_the_terms_sum_to_half_a_nat_for_a_unit_error_of_one_step():
    r"""factor · error / 2β̃ at t = 2 of a two-step chain, by hand."""
    left = torch.tensor([1.0, 0.5, 0.25], dtype=torch.float64)
    beta = 1 - left[2] / left[1]
    variance = beta * (1 - left[1]) / (1 - left[2])
    expected = beta**2 / ((1 - beta) * (1 - left[2])) / (2 * variance)
    found = diffusion.diffusion_kl(beta[None], left[2:], left[1:2], torch.ones(1).double())
    assert found.item() == pytest.approx(expected.item()) and math.isfinite(found.item())
