r"""Chapter 06: its exercises, right and wrong answers; the explorers; the notebook's functions."""

import functools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.distributions import Bernoulli

from check_tools import assert_both_named, assert_helped, assert_named, assert_passes, flat, verdict
from notebook_code import FOLDER, definitions
from vae_course import checks, data, gan, metrics, widgets
from vae_course.admin.notebooks import read_notebook
from vae_course.checks import draw

NOTEBOOK, COMPANION = "06_gan_comparison", "06b_how_good_are_samples"


def logits(*shape, seed=0):
    return 3 * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# ------------------------------------------------------------------ the package and the truth


def test_reference_losses_agree_with_the_package():
    real, fake = logits(7), logits(5, seed=1)
    right = {e.name: e.reference for e in checks.exercises(6)}
    torch.testing.assert_close(
        right["discriminator_loss"](real, fake), gan.discriminator_loss(real, fake)
    )
    torch.testing.assert_close(right["generator_loss"](fake), gan.generator_loss(fake))


@pytest.mark.parametrize("name", ["discriminator_step", "generator_step"])
def test_reference_steps_agree_with_the_package(name):
    exercise, weights = checks.exercise(name), []
    for step in (exercise.reference, getattr(gan, name)):
        args = exercise.inputs(draw.case(3))
        losses = [step(*args) for _ in range(3)]
        both = [p for network in args[:2] for p in network.parameters()]
        weights.append(torch.cat([p.detach().flatten() for p in both] + [torch.tensor(losses)]))
    torch.testing.assert_close(*weights)


def test_reference_count_agrees_with_the_package():
    exercise = checks.exercise("modes_covered")
    for seed in range(20):
        args = exercise.inputs(draw.case(seed))
        assert exercise.reference(*args) == gan.modes_covered(*args)


def test_cases_of_modes_covered_are_neither_empty_nor_full_and_far_from_ties():
    exercise = checks.exercise("modes_covered")
    for seed in range(200):
        samples, centers, radius = exercise.inputs(draw.case(seed))
        assert 0 < exercise.reference(samples, centers, radius) < len(centers)
        assert (torch.cdist(samples, centers) - radius).abs().min() > 1e-5


# ------------------------------------------------------------ right answers written another way


def by_softplus(real_logits, fake_logits):
    return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()


def by_logsigmoid(real_logits, fake_logits):
    return -F.logsigmoid(real_logits).mean() - F.logsigmoid(-fake_logits).mean()


def by_bernoulli(real_logits, fake_logits):
    real = Bernoulli(logits=real_logits).log_prob(torch.ones(len(real_logits)))
    fake = Bernoulli(logits=fake_logits).log_prob(torch.zeros(len(fake_logits)))
    return -(real.mean() + fake.mean())


def fooled_by_softplus(fake_logits):
    return torch.logaddexp(torch.zeros_like(fake_logits), -fake_logits).mean()


def fooled_by_logsigmoid(fake_logits):
    return -F.logsigmoid(fake_logits).sum() / len(fake_logits)


def d_step_two_backwards(generator, discriminator, optimizer, real, latent):
    """As in the DCGAN tutorial: the gradients of the two halves add up."""
    discriminator.zero_grad()
    real_half = F.softplus(-discriminator(real)).mean()
    real_half.backward()
    with torch.no_grad():
        fake = generator(latent)
    fake_half = F.softplus(discriminator(fake)).mean()
    fake_half.backward()
    optimizer.step()
    return real_half.item() + fake_half.item()


def d_step_one_batch(generator, discriminator, optimizer, real, latent):
    images = torch.cat([real, generator(latent).detach()])
    real_logits, fake_logits = discriminator(images).split([len(real), len(latent)])
    loss = by_logsigmoid(real_logits, fake_logits)
    optimizer.zero_grad(set_to_none=False)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return float(loss.detach())


def d_step_frozen_and_thawed(generator, discriminator, optimizer, real, latent):
    for p in generator.parameters():
        p.requires_grad_(False)
    optimizer.zero_grad()
    loss = by_softplus(discriminator(real), discriminator(generator(latent)))
    loss.backward()
    optimizer.step()
    for p in generator.parameters():
        p.requires_grad_(True)
    return loss.item()


def d_step_by_autograd(generator, discriminator, optimizer, real, latent):
    loss = by_softplus(discriminator(real), discriminator(generator(latent)))
    weights = list(discriminator.parameters())
    for weight, gradient in zip(weights, torch.autograd.grad(loss, weights)):
        weight.grad = gradient
    optimizer.step()
    return loss.item()


def g_step_discriminator_frozen(generator, discriminator, optimizer, latent):
    discriminator.requires_grad_(False)
    optimizer.zero_grad()
    loss = fooled_by_softplus(discriminator(generator(latent)))
    loss.backward()
    optimizer.step()
    discriminator.requires_grad_(True)
    return loss.item()


def g_step_cleans_up(generator, discriminator, optimizer, latent):
    generator.zero_grad()
    loss = fooled_by_logsigmoid(discriminator(generator(latent)))
    loss.backward()
    optimizer.step()
    discriminator.zero_grad()
    generator.zero_grad()
    return float(loss.detach().numpy())


def g_step_by_autograd(generator, discriminator, optimizer, latent):
    loss = gan.generator_loss(discriminator(generator(latent)))
    weights = list(generator.parameters())
    for weight, gradient in zip(weights, torch.autograd.grad(loss, weights)):
        weight.grad = gradient
    optimizer.step()
    return loss.item()


def modes_by_a_loop(samples, centers, radius):
    return sum(any(math.dist(s, c) <= radius for s in samples.tolist()) for c in centers.tolist())


def modes_by_squares(samples, centers, radius):
    squares = ((samples[:, None] - centers[None]) ** 2).sum(-1)
    return (squares <= radius**2).any(0).sum().item()


def modes_by_minimum(samples, centers, radius):
    offset = samples.numpy()[None] - centers.numpy()[:, None]
    return int(np.count_nonzero(np.nanmin(np.hypot(*np.moveaxis(offset, -1, 0)), axis=1) <= radius))


RIGHT = {
    "discriminator_loss": [by_softplus, by_logsigmoid, by_bernoulli],
    "generator_loss": [fooled_by_softplus, fooled_by_logsigmoid],
    "discriminator_step": [d_step_two_backwards, d_step_one_batch, d_step_frozen_and_thawed,
                           d_step_by_autograd, gan.discriminator_step],
    "generator_step": [g_step_discriminator_frozen, g_step_cleans_up, g_step_by_autograd,
                       gan.generator_step],
    "modes_covered": [modes_by_a_loop, modes_by_squares, modes_by_minimum],
}  # fmt: skip


@pytest.mark.parametrize(("name", "function"), flat(RIGHT))
def test_right_answer_written_another_way_passes(name, function):
    assert_passes(name, function, range(5))


# ------------------------------------------------- wrong answers that no catalogue entry foresaw


def logs_of_probabilities(real_logits, fake_logits):
    real, fake = real_logits.sigmoid(), fake_logits.sigmoid()
    return -(real.log().mean() + (1 - fake).log().mean())


def logs_with_a_small_constant(real_logits, fake_logits):
    real, fake = real_logits.sigmoid(), fake_logits.sigmoid()
    return -((real + 1e-8).log().mean() + (1 - fake + 1e-8).log().mean())


def probabilities_not_logits(real_logits, fake_logits):
    return (1 - real_logits.sigmoid()).mean() + fake_logits.sigmoid().mean()


def bits(real_logits, fake_logits):
    return by_softplus(real_logits, fake_logits) / math.log(2)


def real_detached(real_logits, fake_logits):
    return by_softplus(real_logits.detach(), fake_logits)


def clamped(real_logits, fake_logits):
    return by_softplus(real_logits.clamp(-10, 10), fake_logits.clamp(-10, 10))


def both_numbers(real_logits, fake_logits):
    return F.softplus(-real_logits).mean(), F.softplus(fake_logits).mean()


def by_item(real_logits, fake_logits):
    return by_softplus(real_logits, fake_logits).item()


def weighted(real_logits, fake_logits):
    return F.softplus(-real_logits).mean() + 0.5 * F.softplus(fake_logits).mean()


def fooled_by_log(fake_logits):
    return -fake_logits.sigmoid().log().mean()


def fooled_with_constant(fake_logits):
    return -(fake_logits.sigmoid() + 1e-7).log().mean()


def d_step(loss=by_softplus, *, before=None, after=None, detach=True, back=None):
    """The reference step with one of its pieces replaced."""

    def step(generator, discriminator, optimizer, real, latent):
        if before:
            before(generator, discriminator, optimizer)
        fake = generator(latent).detach() if detach else generator(latent)
        value = loss(discriminator(real), discriminator(fake))
        optimizer.zero_grad()
        (back or torch.Tensor.backward)(value)
        optimizer.step()
        if after:
            after(generator, discriminator, optimizer)
        return value.item()

    return step


def d_step_in_no_grad(generator, discriminator, optimizer, real, latent):
    with torch.no_grad():
        loss = by_softplus(discriminator(real), discriminator(generator(latent)))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def d_step_by_hand(generator, discriminator, optimizer, real, latent):
    loss = by_softplus(discriminator(real), discriminator(generator(latent).detach()))
    weights = list(discriminator.parameters())
    for weight, gradient in zip(weights, torch.autograd.grad(loss, weights)):
        weight.data -= optimizer.param_groups[0]["lr"] * gradient
    return loss.item()


def d_step_loss_afterwards(generator, discriminator, optimizer, real, latent):
    gan.discriminator_step(generator, discriminator, optimizer, real, latent)
    return by_softplus(discriminator(real), discriminator(generator(latent).detach())).item()


def d_step_one_image(generator, discriminator, optimizer, real, latent):
    return gan.discriminator_step(generator, discriminator, optimizer, real[:1], latent[:1])


def d_step_flattens(generator, discriminator, optimizer, real, latent):
    return gan.discriminator_step(generator, discriminator, optimizer, real.flatten(1), latent)


def d_step_noise_as_image(generator, discriminator, optimizer, real, latent):
    return gan.discriminator_step(
        lambda z: torch.rand_like(real), discriminator, optimizer, real, latent
    )


def d_step_no_return(generator, discriminator, optimizer, real, latent):
    gan.discriminator_step(generator, discriminator, optimizer, real, latent)


def clip(generator, discriminator, optimizer):
    with torch.no_grad():
        for p in discriminator.parameters():
            p.clamp_(-0.01, 0.01)


def g_step(loss=fooled_by_softplus, *, before=None, after=None):
    def step(generator, discriminator, optimizer, latent):
        if before:
            before(generator, discriminator, optimizer)
        value = loss(discriminator(generator(latent)))
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        if after:
            after(generator, discriminator, optimizer)
        return value.item()

    return step


def g_step_through_no_grad(generator, discriminator, optimizer, latent):
    with torch.no_grad():
        loss = fooled_by_softplus(discriminator(generator(latent)))
    loss.backward()
    optimizer.step()
    return loss.item()


def g_step_trains_d_as_well(generator, discriminator, optimizer, latent):
    other = torch.optim.SGD(discriminator.parameters(), lr=0.01)
    loss = fooled_by_softplus(discriminator(generator(latent)))
    generator.zero_grad()
    other.zero_grad()
    loss.backward()
    optimizer.step()
    other.step()
    return loss.item()


def g_step_half_the_latents(generator, discriminator, optimizer, latent):
    return gan.generator_step(generator, discriminator, optimizer, latent[::2])


def g_step_loss_afterwards(generator, discriminator, optimizer, latent):
    gan.generator_step(generator, discriminator, optimizer, latent)
    return fooled_by_softplus(discriminator(generator(latent))).item()


def g_step_clips_the_gradient(generator, discriminator, optimizer, latent):
    loss = fooled_by_softplus(discriminator(generator(latent)))
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(generator.parameters(), 1e-3)
    optimizer.step()
    return loss.item()


def distances(samples, centers):
    return torch.cdist(samples, centers)


UNLISTED = {
    "discriminator_loss": {
        "logarithms of sigmoids": (logs_of_probabilities, "sure and wrong"),
        "a small constant": (logs_with_a_small_constant, "sure and wrong"),
        "probabilities without log": (probabilities_not_logits, "log 4"),
        "bits": (bits, "bits"),
        "real logits detached": (real_detached, "gradient"),
        "clamped": (clamped, "sure and wrong"),
        "both halves apart": (both_numbers, "one number"),
        "a float": (by_item, "gradient"),
        "fakes count half": (weighted, "log 4"),
        "arguments swapped and signs": (lambda r, f: by_softplus(-f, r), "log 0.731"),
    },
    "generator_loss": {
        "logarithm of the sigmoid": (fooled_by_log, "infinite"),
        "a small constant": (fooled_with_constant, "sure"),
        "detached": (lambda f: F.softplus(-f.detach()).mean(), "gradient"),
        "bits": (lambda f: F.softplus(-f).mean() / math.log(2), "bits"),
        "median": (lambda f: F.softplus(-f).median(), "differ"),
        "squared": (lambda f: F.softplus(-f).square().mean(), "log 2"),
        "target 0.9": (lambda f: F.binary_cross_entropy_with_logits(f, 0.9 + 0 * f), "answer is"),
        "hinge": (lambda f: F.relu(1 - f).mean(), "log 2"),
    },
    "discriminator_step": {
        "a step without a graph": (d_step_in_no_grad, "torch.no_grad()"),
        "weights moved by hand": (d_step_by_hand, "exactly one step"),
        "loss after the step": (d_step_loss_afterwards, "before the step"),
        "one image only": (d_step_one_image, "loss before the step"),
        "hinge": (d_step(lambda r, f: F.relu(1 - r).mean() + F.relu(1 + f).mean()), "loss"),
        "noise instead of the generator": (d_step_noise_as_image, "before the step"),
        "images flattened": (d_step_flattens, "images (B, 1, H, W)"),
        "weights clipped": (d_step(after=clip), "do not move by"),
        "no return": (lambda *a: d_step_no_return(*a) or "done", "number"),
        "logarithms of sigmoids": (d_step(logs_of_probabilities), "from the logits"),
        "generator put to train": (d_step(after=lambda g, d, o: g.train()), "eval mode"),
        "generator updated by momentum": (d_step(after=lambda g, d, o: torch.optim.SGD(
            g.parameters(), lr=0.1).step()), "generator changed"),
        "gradient scaled": (d_step(back=lambda v: (10 * v).backward()), "do not move by"),
        "discriminator re-initialised": (d_step(before=lambda g, d, o: d.first.reset_parameters()),
                                         "before the step"),
    },
    "generator_step": {
        "discriminator learns a little": (g_step_trains_d_as_well, "discriminator changed"),
        "half of the latents": (g_step_half_the_latents, "loss before the step"),
        "loss after the step": (g_step_loss_afterwards, "before the step"),
        "gradient clipped": (g_step_clips_the_gradient, "do not move by"),
        "hinge": (g_step(lambda f: -f.mean()), "loss"),
        "weights clipped": (g_step(after=clip), "discriminator changed"),
        "logarithm of the sigmoid": (g_step(fooled_by_log), "from the logits"),
        "generator put to train": (g_step(after=lambda g, d, o: g.train()), "eval mode"),
        "target 0.9": (g_step(lambda f: F.binary_cross_entropy_with_logits(f, 0.9 + 0 * f)),
                       "loss"),
    },
    "modes_covered": {
        "at least one in a hundred": (
            lambda s, c, r: int(((distances(s, c) <= r).float().mean(0) >= 0.2).sum()), "enough"),
        "strictly three": (lambda s, c, r: int(((distances(s, c) <= r).sum(0) >= 3).sum()),
                           "enough"),
        "radius squared": (lambda s, c, r: int((distances(s, c) <= r * r).any(0).sum()), "enough"),
        "every other sample": (lambda s, c, r: gan.modes_covered(s[::2], c, r), "enough"),
        "a list": (lambda s, c, r: (distances(s, c) <= r).any(0).tolist(), "whole number"),
        "radius written in": (lambda s, c, r: int((distances(s, c) <= 0.3).any(0).sum()), "enough"),
        "off by one": (lambda s, c, r: gan.modes_covered(s, c, r) + 1, "off by +1"),
        "border left out": (lambda s, c, r: int((distances(s, c).amin(0) < r).sum()), "not <"),
        "first sample only": (lambda s, c, r: gan.modes_covered(s[:1], c, r), "enough"),
    },
}  # fmt: skip


@pytest.mark.parametrize(("name", "wrong", "words"), flat(UNLISTED))
def test_slip_nobody_listed_is_rejected_with_a_useful_hint(name, wrong, words):
    assert_helped(name, wrong, words)


# Written as a student would, and recognised as what the catalogue calls them.


def d_step_zeroes_the_generator(generator, discriminator, optimizer, real, latent):
    loss = by_softplus(discriminator(real), discriminator(generator(latent).detach()))
    generator.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def d_step_pooled(generator, discriminator, optimizer, real, latent):
    images = torch.cat([real, generator(latent).detach()])
    target = torch.cat([torch.ones(len(real)), torch.zeros(len(latent))])
    loss = F.binary_cross_entropy_with_logits(discriminator(images), target)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def d_step_never_backward(generator, discriminator, optimizer, real, latent):
    optimizer.zero_grad()
    loss = by_softplus(discriminator(real), discriminator(generator(latent).detach()))
    optimizer.step()
    return loss.item()


def g_step_generates_without_graph(generator, discriminator, optimizer, latent):
    with torch.no_grad():
        fake = generator(latent)
    loss = fooled_by_softplus(discriminator(fake))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def g_step_freezes(generator, discriminator, optimizer, latent):
    discriminator.requires_grad_(False)
    return gan.generator_step(generator, discriminator, optimizer, latent)


def g_step_zeroes_the_discriminator(generator, discriminator, optimizer, latent):
    discriminator.zero_grad()
    loss = fooled_by_softplus(discriminator(generator(latent)))
    loss.backward()
    optimizer.step()
    return loss.item()


LISTED = [
    ("discriminator_step", d_step_zeroes_the_generator, "gradients-not-zeroed"),
    ("discriminator_step", d_step_pooled, "halved"),
    ("discriminator_step", d_step_never_backward, "zeroed-too-late"),
    ("discriminator_step", d_step(detach=False), "detach-missing"),
    ("discriminator_step", d_step(before=lambda g, d, o: g.zero_grad(), detach=False),
     "detach-missing"),
    ("modes_covered", lambda s, c, r: float(gan.modes_covered(s, c, r)), "not-an-int"),
    ("discriminator_step", d_step(after=lambda g, d, o: g.eval()), "left-in-eval"),
    ("generator_step", g_step_generates_without_graph, "detach-present"),
    ("generator_step", g_step_freezes, "left-frozen"),
    ("generator_step", g_step_zeroes_the_discriminator, "gradients-not-zeroed"),
    ("generator_step", g_step(lambda f: (1 - f.sigmoid()).log().mean()), "saturating"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "wrong", "mistake"), LISTED)
def test_listed_mistake_in_a_student_s_own_words_is_recognised(name, wrong, mistake):
    assert_named(name, wrong, mistake)


def test_one_that_looks_the_same_from_outside_is_named_too():
    found = verdict("generator_step", g_step_generates_without_graph)
    assert "detached" in found.hint and "backward() is missing" in found.hint


PAIRS = [
    ("discriminator_loss", "labels-swapped", "sigmoid-first"),
    ("discriminator_loss", "halved", "sign"),
    ("generator_loss", "sigmoid-first", "summed"),
    ("discriminator_step", "detach-missing", "gradients-not-zeroed"),
    ("discriminator_step", "labels-swapped", "returns-a-tensor"),
    ("discriminator_step", "real-half-only", "gradients-not-zeroed"),
    ("discriminator_step", "sigmoid-first", "own-latent"),
    ("generator_step", "saturating", "gradients-not-zeroed"),
    ("generator_step", "both-trained", "saturating"),
    ("modes_covered", "squared-distance", "nearest-only"),
    ("modes_covered", "good-samples", "diameter"),
]


@pytest.mark.parametrize(("name", "first", "second"), PAIRS)
def test_pair_of_mistakes_is_recognised(name, first, second):
    assert_both_named(name, first, second)


# ------------------------------------------------------------------- the explorer and the quiz


def bars(latent):
    """A picture whose left half follows the first latent, and the right half the second."""
    level = latent[:, :2].sigmoid()  # (B, 2)
    return level.repeat_interleave(14, dim=1)[:, None, None, :].expand(-1, 1, 28, 28)


def blind(latent):
    return torch.full((len(latent), 1, 28, 28), 0.5)


def explorer():
    return widgets.two_generators_explorer(bars, blind, latent_dim=4)


def test_each_control_changes_the_picture_and_the_words():
    shown = explorer()
    other = {"angle": 120, "length": 1.5, "coordinate": 2, "shift": 2.0, "pair": 3}
    start = {"shift": 1.0}
    first = shown.picture(**start), shown.words(**start)
    for name in shown.controls:
        changed = start | {name: other[name]}
        assert shown.picture(**changed) != first[0] and shown.words(**changed) != first[1], name
    assert (shown.picture(**start), shown.words(**start)) == first


def test_words_say_length_and_what_a_shift_moves():
    words = explorer().words(length=1.0)
    assert "The latent is 2.0 long (typical: 2.0)." in words
    assert "Coordinate 1 is not shifted." in words
    assert "The latent is 0.0 long" in explorer().words(length=0.0)
    moved = explorer().words(shift=4.0, coordinate=1).split("moved ")[1]
    assert "the GAN generator's by 0.000" in moved and "the VAE decoder's by 0.000" not in moved
    assert "by 0.000 and" in explorer().words(shift=4.0, coordinate=4).split("moved ")[1]


def test_both_generators_get_the_same_latent_and_it_has_the_length_that_is_said():
    seen = {}

    def note(name):
        def decode(latent):
            seen.setdefault(name, []).append(latent.clone())
            return blind(latent)

        return decode

    shown = widgets.two_generators_explorer(note("vae"), note("gan"), latent_dim=9)
    shown.picture(angle=90, length=2.0)
    for one, other in zip(seen["vae"], seen["gan"], strict=True):
        assert torch.equal(one, other)
    walk = seen["vae"][-1]  # (13, 9)
    assert walk.norm(dim=1).tolist() == pytest.approx([6.0] * 13, rel=1e-5)
    torch.testing.assert_close(walk[0], walk[-1], rtol=0, atol=1e-5)  # a full circle
    assert (walk[0] @ walk[3]).item() == pytest.approx(0, abs=1e-4)  # a quarter of it


def test_box_and_slider_drive_the_picture():
    shown = explorer()
    before = shown.image.value
    shown.rows["angle"].holders[0].value = 180
    assert shown.image.value != before and shown.image.value == shown.picture(angle=180)


@pytest.mark.parametrize(("decode", "latent_dim", "words"), [
    (lambda latent: torch.zeros(len(latent), 28, 28), 4, r"returned shape \(1, 28, 28\)"),
    (lambda latent: blind(latent) * 5, 4, "expected 0 to 1"), (blind, 1, "latent_dim is 1"),
])  # fmt: skip
def test_explorer_refuses_what_is_no_decoder(decode, latent_dim, words):
    with pytest.raises(ValueError, match=words):
        widgets.two_generators_explorer(decode, blind, latent_dim=latent_dim)


def quiz(**options):
    shades = {"real": 0.1, "VAE": 0.5, "GAN": 0.9}
    return widgets.Quiz(
        {name: torch.full((30, 1, 28, 28), shade) for name, shade in shades.items()}, **options
    )


def test_quiz_asks_pictures_of_the_source_it_says_evenly_and_repeatably():
    asked = quiz()
    assert sorted(map(asked.key.count, ("real", "VAE", "GAN"))) == [6, 7, 7]
    shade = {26: "real", 128: "VAE", 230: "GAN"}
    assert [shade[int(picture[0, 0])] for picture in asked.pictures] == asked.key
    assert quiz().key == asked.key != quiz(seed=1).key


def test_quiz_can_be_taken_on_the_keyboard_to_full_score():
    taken = quiz()
    assert "Picture 1 of 20." in taken.status.value
    for name in taken.key:
        assert taken.typed.value == ""
        taken.typed.value = name[0].lower() if name == "real" else name[0]
    assert taken.finished and taken.right == 20
    assert "20 of 20 right; pure guessing gives 6.7 on average" in taken.words()
    assert "less than 1 %" in taken.words()
    assert "VAE (7 pictures): you said 7 × VAE" in taken.words()
    sheet = taken.image.value
    taken.typed.value = "r"  # after the end nothing changes
    assert taken.image.value == sheet and len(taken.given) == 20


def test_quiz_by_buttons_counts_what_is_right():
    taken = quiz(count=6)
    buttons = {button.description: button for button in taken.buttons}
    for number, name in enumerate(taken.key):
        before = taken.image.value
        buttons[name if number < 2 else ("VAE" if name != "VAE" else "GAN")].click()
        assert number == 5 or taken.image.value != before or taken.key[number + 1] == name
    assert taken.right == 2 and "2 of 6 right; pure guessing gives 2.0" in taken.words()
    assert "65 %" in taken.words()  # P(2 or more of 6 at ⅓) = 0.649
    taken.again.click()
    assert not taken.given and "Picture 1 of 6." in taken.status.value


def test_quiz_ignores_other_letters_and_refuses_other_names():
    taken = quiz()
    taken.typed.value = "x"
    assert not taken.given and taken.typed.value == ""
    with pytest.raises(ValueError, match="expected one of real, VAE, GAN"):
        taken.answer("diffusion")


def test_quiz_says_what_it_cannot_ask():
    few = torch.zeros(2, 1, 28, 28)
    with pytest.raises(ValueError, match="different letters"):
        widgets.Quiz({"real": few, "reel": few})
    with pytest.raises(ValueError, match=r"2 pictures of 'real'; expected 10"):
        widgets.Quiz({"real": few, "GAN": few})


def test_quiz_on_paper_hides_the_key_and_its_sentence_is_the_same_in_every_run(capsys):
    asked = quiz()
    assert asked._sheet(answers=False).tobytes() != asked._sheet(answers=True).tobytes()
    asked.show()
    assert "Interactive quiz, 20 pictures: real, VAE or GAN?" in capsys.readouterr().out


# ------------------------------------------------------------- the notebook's own functions


def test_notebook_s_loop_plays_the_package_s_game():
    own = definitions(NOTEBOOK, "one_pass", "play")
    images, weights = torch.rand(130, 1, 28, 28), []

    for by_hand in (True, False):
        torch.manual_seed(0)
        players = gan.Generator.conv(4, channels=2), gan.conv_discriminator(channels=2)
        torch.manual_seed(1)
        if by_hand:
            turns = (gan.discriminator_step, gan.generator_step)
            history = own.play(players, turns, images, epochs=2, rates=(1e-3, 2e-3), latent_dim=4)
        else:
            g, d = (
                torch.optim.Adam(network.parameters(), rate, betas=(0.5, 0.999))
                for network, rate in zip(players, (1e-3, 2e-3), strict=True)
            )
            for _ in range(2):
                for real in data.batches(images, batch_size=64):
                    gan.discriminator_step(*players, d, real, torch.randn(len(real), 4))
                    gan.generator_step(*players, g, torch.randn(len(real), 4))
                torch.randn(1000, 4)  # for what is written down after each epoch
        weights.append(torch.cat([p.detach().flatten() for n in players for p in n.parameters()]))
    torch.testing.assert_close(*weights, rtol=1e-4, atol=1e-6)
    assert len(history) == 2 and set(history[0]) == {"d_real", "d_fake", "d_loss"}


def test_notebook_s_divergence_is_between_0_and_log_2():
    own = definitions(NOTEBOOK, "js_divergence", "x", "dx")
    p, q = (torch.distributions.Normal(m, 0.5).log_prob(own.x).exp() for m in (0.0, 1.0))
    assert own.js_divergence(p, p).item() == pytest.approx(0, abs=1e-9)
    assert own.js_divergence(p, q).item() == pytest.approx(own.js_divergence(q, p).item())
    far = torch.distributions.Normal(5.0, 0.3).log_prob(own.x).exp()
    assert own.js_divergence(p, far).item() == pytest.approx(math.log(2), abs=1e-4)


def test_notebook_s_wasserstein_distance_is_the_way_of_the_mass():
    own = definitions(NOTEBOOK, "wasserstein", "bump", "x", "dx")
    assert (own.bump(1.5).sum() * own.dx).item() == pytest.approx(1, abs=1e-6)
    for way in (0.5, 2.0, 4.5):  # moved as a whole: the way itself
        distance = own.wasserstein(own.bump(0.0), own.bump(way))
        assert distance.item() == pytest.approx(way, abs=1e-6)
        assert own.wasserstein(own.bump(way), own.bump(0.0)).item() == pytest.approx(way, abs=1e-6)
    halves = (own.bump(-1.0) + own.bump(3.0)) / 2  # to the left half and to the right half
    spread = 0.5 - 2 / math.pi**2  # E|x| of a bump at 0
    moved = own.wasserstein(own.bump(0.0), halves).item()
    assert moved == pytest.approx(2 - spread, abs=1e-3)


def test_notebook_s_two_are_apart_where_no_mark_reaches_among_the_other_s():
    own = definitions(COMPANION, "apart")
    rows = {
        "first": torch.tensor([[3.0, 0.0, 3.0, 1.0], [2.0, 1.0, 0.0, 2.0]]),
        "second": torch.tensor([[1.0, 2.0, 1.0, 2.0], [0.0, 3.0, 2.0, 3.0]]),
    }
    assert own.apart(rows, "first", "second") == [1, -1, 0, 0], "a touch is no gap"
    assert own.apart(rows, "second", "first") == [-1, 1, 0, 0]


# ------------------------------------------------------------- the notebook's own exercise


def source_of(start):
    cells = read_notebook(FOLDER / f"{COMPANION}.ipynb")["cells"]
    (source,) = (c["source"] for c in cells if start in c["source"])
    return source


def test_notebook_s_five_numbers_are_the_report_s():
    images = data.load_images("mnist-5k", validation=1000)
    sets = {"test": images.test_images, "third": images.validation_images}
    own = {"torch": torch, "functools": functools, "metrics": metrics} | sets
    for start in ("test_sharpness = metrics", "def five_numbers"):
        exec(source_of(start), own)
    found = own["five_numbers"](sets["third"], own["test_features"])
    report = metrics.sample_report(sets["third"], sets["test"], images.train_images, resamples=20)
    names = ("sharpness", "precision", "recall", "coverage")
    wanted = [report[name].value for name in names]
    assert [found[0], *found[2:]] == pytest.approx(wanted, abs=1e-5)


@pytest.fixture
def folded_coverage():
    """The folded solution of the exercise that the package's number judges, not the checker."""
    own = {"torch": torch}
    exec(source_of("def coverage(real, samples, k):\n    reach").split("```")[1][7:], own)
    return own["coverage"]


def told_by_the_notebook(coverage, capsys):
    """What the judge says, and the function with which the notebook goes on."""
    known = {"torch": torch, "metrics": metrics}
    exec(source_of("real_points = torch.tensor"), known)
    exec(source_of("def coverage_of_the_course"), known)
    goes_on = known["checked"](coverage)
    return capsys.readouterr().out.strip(), goes_on


def test_folded_coverage_is_the_package_s(folded_coverage, capsys):
    assert told_by_the_notebook(folded_coverage, capsys) == ("coverage: right", folded_coverage)
    torch.manual_seed(0)
    for k in (1, 5, 7):
        real, samples = torch.randn(60, 6), 1.5 * torch.randn(40, 6)
        found = metrics.precision_recall_density_coverage(real, samples, k=k).coverage
        assert folded_coverage(real, samples, k) == pytest.approx(found)


def balls(center, others, k):
    reach = torch.cdist(center, center).topk(k, dim=1, largest=False).values[:, -1:]
    return torch.cdist(center, others) <= reach  # (centers, others)


def open_balls(center, others, k):
    reach = torch.cdist(center, center).kthvalue(k + 1, dim=1).values
    return torch.cdist(center, others) < reach[:, None]


@pytest.mark.parametrize("right", [
    lambda r, s, k: balls(r, s, k + 1).any(dim=1).float().mean(),  # a tensor will do
    lambda r, s, k: balls(r, s, k + 1).any(dim=1).sum().item() / len(r),
])  # fmt: skip
def test_notebook_s_judge_takes_other_right_answers(right, capsys):
    assert told_by_the_notebook(right, capsys) == ("coverage: right", right)


@pytest.mark.parametrize("wrong, told", [
    (lambda r, s, k: None, "not attempted yet"),
    (lambda r, s, k: balls(r, s, k).any(dim=1).double().mean().item(), "0.60 (1.00)"),
    (lambda r, s, k: balls(r, s, k + 2).any(dim=1).double().mean().item(), "1.00 (0.60)"),
    (lambda r, s, k: balls(r, s, k + 1).any(dim=0).double().mean().item(), "0.83 (0.60)"),
    (lambda r, s, k: balls(s, r, k + 1).any(dim=0).double().mean().item(), "0.90 (0.60)"),
    (lambda r, s, k: balls(r, s, k + 1).any(dim=1).sum().item(), "6.00 (0.60)"),
    (lambda r, s, k: balls(r, s, k + 1).any(dim=1), "return one number"),
    (lambda r, s, k: open_balls(r, s, k).any(dim=1).double().mean().item(), "0.00 (0.33)"),
    (lambda r, s, k: r @ s, "stops with RuntimeError"),
], ids=["stub", "itself too", "one more", "precision", "recall", "count", "points", "edge",
        "stops"])  # fmt: skip
def test_notebook_s_judge_finds_wrong_coverage(wrong, told, capsys):
    said, goes_on = told_by_the_notebook(wrong, capsys)
    assert goes_on is not wrong and goes_on.__name__ == "coverage_of_the_course"
    assert told in said


# --------------------------------------------------------------------------- the challenge


def on_the_ring(shares):
    """Samples fall on the eight centres in these shares, the rest of them in the middle."""
    edges = torch.tensor(shares).cumsum(0)  # (8,)
    places = torch.cat([gan.ring_centers(8), torch.zeros(1, 2)])

    def generator(latent):
        uniform = torch.special.ndtr(latent[:, 0].contiguous())
        return places[torch.searchsorted(edges, uniform)]

    return generator


def test_challenge_is_passed_by_all_eight_and_says_what_is_missing():
    perfect = checks.challenge("06", on_the_ring([0.125] * 8))
    assert perfect.passed and perfect.score == pytest.approx(0.125, abs=0.02)
    lost = checks.challenge("06", on_the_ring([0.03] * 8))
    assert not lost.passed and "8 of 8 clusters" in lost.where and "76% of all" in lost.where
    seven = checks.challenge("06", on_the_ring([0.14] * 7 + [0.0]))
    assert not seven.passed and seven.score == 0
    assert "7 of 8 clusters" in seven.where and "(1.4, -1.4)" in seven.where
    assert checks.challenge("06", lambda latent: latent).status == "error"
