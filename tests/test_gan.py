r"""The game: what the losses measure, what each step changes, and what `fit_gan` refuses."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.distributions import Normal

from torch_tools import seeded, weights
from vae_course import gan, models
from vae_course.training import TrainingDiverged, TrainingInterrupted

LOG4 = math.log(4)


def players(*, spectral=False, channels=4, latent_dim=3):
    torch.manual_seed(0)
    generator = gan.Generator.conv(latent_dim, channels=channels)
    discriminator = gan.conv_discriminator(channels=channels, spectral=spectral)
    return generator, discriminator, torch.rand(6, 1, 28, 28), torch.randn(6, latent_dim)


def gradients(module):
    return [p.grad for p in module.parameters() if p.grad is not None and p.grad.any()]


# -------------------------------------------------------------------------------- the networks


def test_generator_is_the_decoder_of_the_vae_with_a_sigmoid():
    generator = gan.Generator.conv(20, channels=8)
    vae = models.VAE.conv(20, channels=8)
    generator.decoder.load_state_dict(vae.decoder.state_dict())
    latent = torch.randn(5, 20)
    torch.testing.assert_close(generator(latent), vae.decode(latent))
    torch.testing.assert_close(generator.decode(latent), generator(latent))


def test_discriminator_gives_one_logit_an_image_whatever_else_is_in_the_batch():
    _, discriminator, real, _ = players()
    logits = discriminator(real)
    assert logits.shape == (6,)
    torch.testing.assert_close(discriminator(real[2:3]), logits[2:3])


def test_spectral_normalisation_bounds_the_largest_singular_value():
    _, discriminator, real, _ = players(spectral=True)
    for _ in range(100):  # each forward pass in training mode refines the estimate
        discriminator(real)
    discriminator.eval()
    matrices = [layer.weight.flatten(1) for layer in discriminator if hasattr(layer, "weight")]
    largest = [torch.linalg.matrix_norm(matrix, 2).item() for matrix in matrices]
    assert len(largest) == 3 and largest == pytest.approx([1, 1, 1], abs=1e-3)


# ---------------------------------------------------------------------------------- the losses


def test_discriminator_that_knows_nothing_costs_log_4():
    assert gan.discriminator_loss(torch.zeros(3), torch.zeros(5)).item() == pytest.approx(LOG4)


def test_discriminator_loss_is_two_cross_entropies():
    real, fake = torch.randn(7), torch.randn(4)
    expected = F.binary_cross_entropy(real.sigmoid(), torch.ones(7))
    expected = expected + F.binary_cross_entropy(fake.sigmoid(), torch.zeros(4))
    torch.testing.assert_close(gan.discriminator_loss(real, fake), expected)


def test_no_discriminator_beats_the_optimal_one_whose_loss_is_the_jensen_shannon_divergence():
    x = torch.linspace(-8, 9, 3401, dtype=torch.float64)
    log_p, log_q = Normal(0.0, 1.0).log_prob(x), Normal(1.0, 1.0).log_prob(x)
    p, q, dx = log_p.exp(), log_q.exp(), x[1] - x[0]

    def loss(logits):
        return ((p * F.softplus(-logits) + q * F.softplus(logits)).sum() * dx).item()

    best = log_p - log_q  # D* = p / (p + q)
    middle = torch.logaddexp(log_p, log_q) - math.log(2)
    divergence = 0.5 * ((p * (log_p - middle)).sum() + (q * (log_q - middle)).sum()) * dx
    assert loss(best) == pytest.approx(LOG4 - 2 * divergence.item(), abs=1e-6)
    for change in (0.9 * best, best + 0.1, best + 0.2 * torch.sin(x)):
        assert loss(change) > loss(best)


def test_gradients_of_the_saturating_and_the_other_loss():
    logits = torch.tensor([-10.0, -2.0, 0.0, 3.0], dtype=torch.float64, requires_grad=True)
    probability = logits.sigmoid().detach()
    for loss, slope in {
        gan.saturating_generator_loss: -probability,
        gan.generator_loss: -(1 - probability),
    }.items():
        (found,) = torch.autograd.grad(loss(logits), logits)
        torch.testing.assert_close(found, slope / 4)


@pytest.mark.parametrize("sure", [200.0, 1e4])
def test_losses_stay_finite_where_the_discriminator_is_sure(sure):
    value = gan.discriminator_loss(torch.tensor([-sure]), torch.tensor([sure]))
    assert value.item() == pytest.approx(2 * sure)
    assert gan.generator_loss(torch.tensor([-sure])).item() == pytest.approx(sure)


def test_r1_penalty_of_a_linear_discriminator_is_half_its_squared_slope():
    discriminator = nn.Sequential(nn.Flatten(), nn.Linear(4, 1, bias=False), nn.Flatten(0))
    weight = discriminator[1].weight
    penalty = gan.r1_penalty(discriminator, torch.randn(9, 1, 2, 2))
    torch.testing.assert_close(penalty, 0.5 * weight.detach().square().sum())
    (gradient,) = torch.autograd.grad(penalty, weight)
    torch.testing.assert_close(gradient, weight.detach())


# ----------------------------------------------------------------------------------- the steps


def test_discriminator_step_changes_the_discriminator_alone_and_leaves_no_gradient_behind():
    generator, discriminator, real, latent = players()
    before = weights(generator), weights(discriminator)
    expected = gan.discriminator_loss(discriminator(real), discriminator(generator(latent)))
    optimizer = torch.optim.SGD(discriminator.parameters(), lr=0.1)
    slopes = torch.autograd.grad(expected, list(discriminator.parameters()))
    slopes = torch.cat([gradient.flatten() for gradient in slopes])
    loss = gan.discriminator_step(generator, discriminator, optimizer, real, latent)
    assert loss == pytest.approx(expected.item())
    assert torch.equal(weights(generator), before[0]) and not gradients(generator)
    torch.testing.assert_close(weights(discriminator), before[1] - 0.1 * slopes)


def test_generator_step_changes_the_generator_alone():
    generator, discriminator, _, latent = players()
    before = weights(generator), weights(discriminator)
    expected = gan.generator_loss(discriminator(generator(latent)))
    slopes = torch.autograd.grad(expected, list(generator.parameters()))
    slopes = torch.cat([gradient.flatten() for gradient in slopes])
    optimizer = torch.optim.SGD(generator.parameters(), lr=0.1)
    assert gan.generator_step(generator, discriminator, optimizer, latent) == pytest.approx(
        expected.item()
    )
    assert torch.equal(weights(discriminator), before[1])
    torch.testing.assert_close(weights(generator), before[0] - 0.1 * slopes)


def test_gradients_that_the_generator_step_leaves_behind_do_not_reach_the_next_step():
    results = []
    for generator_first in (False, True):
        generator, discriminator, real, latent = players()
        if generator_first:  # at rate 0: it leaves gradients and nothing else
            none = torch.optim.SGD(generator.parameters(), lr=0.0)
            gan.generator_step(generator, discriminator, none, latent)
            assert gradients(discriminator)
        optimizer = torch.optim.SGD(discriminator.parameters(), lr=0.1)
        gan.discriminator_step(generator, discriminator, optimizer, real, latent)
        results.append(weights(discriminator))
    assert torch.equal(*results)


def test_penalty_moves_the_weights_and_stays_out_of_the_loss():
    steps = []
    for r1 in (0.0, 3.0):
        generator, discriminator, real, latent = players()
        before, weighted = weights(discriminator), list(discriminator.parameters())
        penalty = gan.r1_penalty(discriminator, real)
        slopes = torch.autograd.grad(penalty, weighted, allow_unused=True)
        slopes = [torch.zeros_like(w) if s is None else s for w, s in zip(weighted, slopes)]
        slopes = torch.cat([slope.flatten() for slope in slopes])
        optimizer = torch.optim.SGD(weighted, lr=1.0)
        loss = gan.discriminator_step(generator, discriminator, optimizer, real, latent, r1=r1)
        steps.append((loss, weights(discriminator) - before))
        assert not real.requires_grad and not gradients(generator)
    (plain, moved), (penalised, moved_more) = steps
    assert penalised == plain and penalty > 0 and slopes.abs().max() > 1e-4
    torch.testing.assert_close(moved_more - moved, -3 * slopes, rtol=1e-3, atol=1e-6)


def test_trained_discriminator_becomes_p_over_p_plus_q():
    """One dimension: real N(0, 1), generated N(1, 1), so the best logit is ½ − x."""
    torch.manual_seed(0)
    generator = nn.Linear(1, 1)
    with torch.no_grad():
        generator.weight.fill_(1.0), generator.bias.fill_(1.0)
    discriminator = nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1), nn.Flatten(0))
    optimizer = torch.optim.Adam(discriminator.parameters(), lr=0.01)
    losses = [
        gan.discriminator_step(
            generator, discriminator, optimizer, torch.randn(1000, 1), torch.randn(1000, 1)
        )
        for _ in range(300)
    ]
    x = torch.linspace(-1.5, 2.5, 9)[:, None]
    with torch.no_grad():
        found = discriminator(x).sigmoid()
    assert (found - torch.sigmoid(0.5 - x[:, 0])).abs().max() < 0.06
    assert sum(losses[-50:]) / 50 == pytest.approx(LOG4 - 2 * 0.1114, abs=0.02)


@pytest.mark.parametrize(("real", "words"), [
    (torch.rand(4, 1, 32, 32), "must agree"), (torch.rand(4, 28, 28), "channel axis"),
    (2 * torch.rand(4, 1, 28, 28) - 1, "tanh"), (255 * torch.rand(4, 1, 28, 28), "255"),
    (torch.full((4, 1, 28, 28), math.nan), "NaN"),
])  # fmt: skip
def test_images_of_another_range_or_shape_are_refused(real, words):
    generator, discriminator, _, latent = players()
    optimizer = torch.optim.SGD(discriminator.parameters(), lr=0.1)
    before = weights(discriminator)
    with pytest.raises(ValueError, match=words):
        gan.discriminator_step(generator, discriminator, optimizer, real, latent)
    with pytest.raises(ValueError, match=words):
        gan.fit_gan(generator, discriminator, real, epochs=1)
    assert torch.equal(weights(discriminator), before)


def test_points_may_lie_anywhere():
    generator, discriminator = gan.point_generator(2), gan.point_discriminator()
    points = 50 * torch.randn(64, 2)
    history = gan.fit_gan(generator, discriminator, points, epochs=1, latent_dim=2)
    assert len(history) == 1


# ------------------------------------------------------------------------------------- fit_gan


def ring_game(*, seed=0, epochs=2, **options):
    torch.manual_seed(5)
    generator, discriminator = gan.point_generator(3, hidden=8), gan.point_discriminator(hidden=8)
    points = gan.ring_of_gaussians(300, generator=seeded(1))
    history = gan.fit_gan(
        generator, discriminator, points, epochs=epochs, latent_dim=3, seed=seed, **options
    )
    return generator, discriminator, history


def test_history_holds_the_game_and_both_networks_learn():
    generator, discriminator, history = ring_game()
    assert history.columns == ["epoch", "d_loss", "g_loss", "d_real", "d_fake"]
    assert 0 < history.last["d_fake"] < 1 and 0 < history.last["d_real"] < 1
    torch.manual_seed(5)
    assert not torch.equal(weights(generator), weights(gan.point_generator(3, hidden=8)))
    assert not torch.equal(weights(discriminator), weights(gan.point_discriminator(hidden=8)))


def test_losses_of_the_history_are_those_of_the_steps():
    """One batch an epoch at rate 0: the averages are plain losses of the untouched networks."""
    torch.manual_seed(5)
    generator, discriminator = gan.point_generator(3, hidden=8), gan.point_discriminator(hidden=8)
    points = gan.ring_of_gaussians(20_000)
    history = gan.fit_gan(generator, discriminator, points, epochs=1, latent_dim=3,
                          batch_size=20_000, learning_rate=1e-12, r1=2.0)  # fmt: skip
    with torch.no_grad():
        real, fake = discriminator(points), discriminator(generator(torch.randn(20_000, 3)))
    penalty = 2.0 * gan.r1_penalty(discriminator, points).item()
    loss = gan.discriminator_loss(real, fake).item() + penalty
    assert history.last["d_loss"] == pytest.approx(loss, abs=0.01)
    assert history.last["g_loss"] == pytest.approx(gan.generator_loss(fake).item(), abs=0.01)
    assert history.last["d_real"] == pytest.approx(real.sigmoid().mean().item(), abs=0.01)
    assert history.last["d_fake"] == pytest.approx(fake.sigmoid().mean().item(), abs=0.01)


def test_same_seed_same_game_and_the_random_numbers_outside_are_left_alone():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    with torch.random.fork_rng():
        first, again, other = ring_game(), ring_game(), ring_game(seed=1)
    assert torch.equal(weights(first[0]), weights(again[0])) and first[2].rows == again[2].rows
    assert not torch.equal(weights(first[0]), weights(other[0]))
    torch.manual_seed(3)
    points = gan.ring_of_gaussians(50, generator=seeded(1))
    with torch.random.fork_rng():
        networks = gan.point_generator(3), gan.point_discriminator()
    gan.fit_gan(*networks, points, epochs=1, latent_dim=3)
    assert torch.equal(torch.rand(2), expected)


def test_after_epoch_sees_eval_mode_and_does_not_disturb_the_game():
    seen = []

    def after(epoch, generator, history):
        seen.append((epoch, generator.training, len(history)))
        torch.rand(1000)

    assert torch.equal(weights(ring_game(after_epoch=after)[0]), weights(ring_game()[0]))
    assert seen == [(1, False, 1), (2, False, 2)]


def test_two_time_scales():
    torch.manual_seed(5)
    before = weights(gan.point_generator(3, hidden=8))
    still, discriminator, _ = ring_game(learning_rate=1e-12, discriminator_rate=1e-2)
    torch.testing.assert_close(weights(still), before, rtol=0, atol=1e-9)
    assert (weights(discriminator) - weights(ring_game(learning_rate=1e-12)[1])).abs().max() > 1e-3


def test_average_changes_what_is_handed_over_and_not_the_game():
    shown = []

    def after(epoch, generator, history):
        shown.append(weights(generator))

    plain, plain_judge, plain_history = ring_game(epochs=3)
    smooth, judge, history = ring_game(epochs=3, average=0.9, after_epoch=after)
    assert torch.equal(weights(judge), weights(plain_judge)) and history.rows == plain_history.rows
    assert not torch.equal(weights(smooth), weights(plain))
    assert torch.equal(weights(smooth), shown[-1])
    last, _, _ = ring_game(epochs=3, average=1e-12)  # of the past, nothing stays
    torch.testing.assert_close(weights(last), weights(plain))
    with pytest.raises(ValueError, match="average is 1"):
        ring_game(average=1)


def test_average_of_few_steps_forgets_the_start_sooner():
    network = nn.Linear(1, 1, bias=False)
    average, expected = gan.weight_average(network, 0.6), None
    for step in range(30):
        with torch.no_grad():
            network.weight.fill_(step**2)
        average.update_parameters(network)
        keep = min(0.6, (step + 1) / (step + 11))  # 2/12, 3/13, … up to 0.6
        expected = step**2 if step == 0 else keep * expected + (1 - keep) * step**2
        assert average.module.weight.item() == pytest.approx(expected, rel=1e-5)


def test_each_of_the_two_steps_draws_its_own_latents():
    generator, discriminator = gan.point_generator(3, hidden=8), gan.point_discriminator(hidden=8)
    seen = []
    generator.register_forward_hook(lambda _, given, __: seen.append(given[0]))
    points = gan.ring_of_gaussians(6)
    gan.fit_gan(generator, discriminator, points, epochs=1, latent_dim=3, batch_size=6)
    for_discriminator, for_generator = seen[-2:]
    assert for_discriminator.shape == for_generator.shape == (6, 3)
    assert (for_discriminator != for_generator).all()


def test_penalty_counts_in_the_whole_training_and_not_in_its_curve():
    losses, slopes = [], []
    for r1 in (0.0, 2.0):
        torch.manual_seed(5)
        generator, discriminator = gan.point_generator(3), gan.point_discriminator()
        with torch.no_grad():
            discriminator[0].weight.mul_(20)  # a steep one
        points = gan.ring_of_gaussians(6, generator=seeded(1))
        penalty = gan.r1_penalty(discriminator, points).item()
        assert penalty > 0.1
        history = gan.fit_gan(generator, discriminator, points, epochs=1, latent_dim=3,
                              batch_size=6, r1=r1, learning_rate=1e-3)  # fmt: skip
        losses.append(history.last["d_loss"])
        slopes.append(gan.r1_penalty(discriminator, points).item())
    assert losses[0] == losses[1]  # of the one batch, before the step
    assert slopes[1] < 0.8 * slopes[0]


def test_interrupted_by_hand_it_keeps_the_networks():
    def stop(epoch, generator, history):
        raise KeyboardInterrupt

    with pytest.raises(TrainingInterrupted, match="interrupted in epoch 1/5") as caught:
        ring_game(epochs=5, after_epoch=stop)
    assert caught.value.history.interrupted and len(caught.value.history) == 1


def test_it_plays_with_the_steps_that_students_write(monkeypatch):
    calls = []

    def spied(name, step):
        return lambda *args, **options: calls.append(name) or step(*args, **options)

    for name in ("discriminator_step", "generator_step"):
        monkeypatch.setattr(gan, name, spied(name, getattr(gan, name)))
    ring_game(epochs=1, batch_size=100)
    assert calls == ["discriminator_step", "generator_step"] * 3


def test_divergence_is_said_with_its_epoch_and_what_to_do():
    with pytest.raises(TrainingDiverged, match="learning rate is too high") as caught:
        ring_game(epochs=50, learning_rate=1e30)
    assert caught.value.epoch >= 1 and caught.value.learning_rate == 1e30


def test_missing_latent_dim_is_asked_for():
    points = torch.randn(10, 2)
    with pytest.raises(ValueError, match="Pass latent_dim"):
        gan.fit_gan(gan.point_generator(3), gan.point_discriminator(), points, epochs=1)


@pytest.mark.parametrize("spectral", [False, True])
def test_a_little_training_on_images_makes_generated_pixels_more_like_the_real_ones(spectral):
    """A world of one picture, a white square: after some steps the generator paints it."""
    real = torch.zeros(64, 1, 28, 28)
    real[:, :, 8:20, 8:20] = 1.0
    generator, discriminator, _, latent = players(spectral=spectral)
    before = (generator(latent) - real[:1]).square().mean().item()
    gan.fit_gan(generator, discriminator, real.repeat(4, 1, 1, 1), epochs=20, batch_size=32,
                learning_rate=2e-3)  # fmt: skip
    after = (generator(latent) - real[:1]).square().mean().item()
    assert after < 0.5 * before


# ------------------------------------------------------------------------------------ the ring


def test_ring_has_its_modes_on_a_circle():
    points = gan.ring_of_gaussians(4000, modes=5, radius=3.0, std=0.1, generator=seeded())
    centers = gan.ring_centers(5, radius=3.0)
    assert centers.norm(dim=1).tolist() == pytest.approx([3.0] * 5, rel=1e-5)
    distances = torch.cdist(points, centers)
    shares = torch.bincount(distances.argmin(dim=1), minlength=5) / 4000
    assert (shares - 0.2).abs().max() < 0.04
    assert distances.amin(dim=1).square().mean().item() == pytest.approx(2 * 0.1**2, rel=0.15)


def test_ring_is_repeatable_and_says_what_it_cannot_draw():
    first, again = (gan.ring_of_gaussians(9, generator=seeded(2)) for _ in range(2))
    assert torch.equal(first, again)
    for options in ({"count": 0}, {"count": 5, "std": -1}, {"count": 5, "modes": 0}):
        with pytest.raises(ValueError, match="expected"):
            gan.ring_of_gaussians(**options)


def test_modes_covered_counts_centres_once():
    centers = gan.ring_centers(8)
    assert gan.modes_covered(centers, centers, 1e-3) == 8
    assert gan.modes_covered(centers[:3].repeat(9, 1), centers, 0.1) == 3
    assert gan.modes_covered(torch.zeros(50, 2), centers, 1.0) == 0
    with pytest.raises(ValueError, match="samples has shape"):
        gan.modes_covered(torch.zeros(5, 3), centers, 1.0)
