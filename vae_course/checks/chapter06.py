r"""Exercises of notebook 06: the losses and steps of a GAN, and counting the modes it covers."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from . import _draw as draw
from ._exercise import Exercise, Mistake, Property
from ._gan import (
    Player,
    cut,
    descent,
    explain_step,
    finish,
    flat,
    fooled,
    halves,
    observe_step,
    players,
)

# --- discriminator_loss ----------------------------------------------------------------------


def discriminator_loss(real_logits, fake_logits):
    real_target = torch.ones_like(real_logits)
    fake_target = torch.zeros_like(fake_logits)
    real_half = F.binary_cross_entropy_with_logits(real_logits, real_target)  # −log D(real)
    fake_half = F.binary_cross_entropy_with_logits(fake_logits, fake_target)  # −log(1 − D(fake))
    return real_half + fake_half


def _two_batches(generator):
    batch, other = draw.sizes(generator, count=2, low=3, high=9)
    return draw.normal(generator, batch, scale=2) + 1, draw.normal(generator, other, scale=2) - 1


def _discriminator_slipped(slips, real_logits, fake_logits):
    return halves(slips, real_logits, fake_logits)


def _pooled(real_logits, fake_logits):
    target = torch.cat([torch.ones_like(real_logits), torch.zeros_like(fake_logits)])
    return F.binary_cross_entropy_with_logits(torch.cat([real_logits, fake_logits]), target)


def _wasserstein_critic(real_logits, fake_logits):
    return fake_logits.mean() - real_logits.mean()


def _hinge(real_logits, fake_logits):
    return F.relu(1 - real_logits).mean() + F.relu(1 + fake_logits).mean()


def _least_squares(real_logits, fake_logits):
    return (real_logits - 1).square().mean() + fake_logits.square().mean()


def _gives(function, expected, *numbers):
    value = function(*(torch.tensor(each) for each in numbers))
    return math.isclose(float(value), expected, rel_tol=1e-3, abs_tol=1e-6)


def _finite_where_sure(function, *numbers, loss):
    logits = [torch.tensor(each, requires_grad=True) for each in numbers]
    value = function(*logits)
    gradients = torch.autograd.grad(value, logits)
    finite = all(gradient.isfinite().all() for gradient in gradients)
    return finite and math.isclose(float(value.detach()), loss, rel_tol=1e-3)


def _gradients_agree(function, reference, *counts):
    generator = torch.Generator().manual_seed(7)
    logits = [draw.normal(generator, count).requires_grad_() for count in counts]
    value = function(*logits)
    if not (isinstance(value, torch.Tensor) and value.requires_grad):
        return False
    mine = torch.autograd.grad(value, logits, allow_unused=True)
    right = torch.autograd.grad(reference(*logits), logits)
    return all(
        a is not None and torch.allclose(a, b, rtol=1e-3, atol=1e-6)
        for a, b in zip(mine, right, strict=True)
    )


_NO_GRADIENT = (
    "The gradient does not follow the values: it has to reach every logit. Look for `.detach()`, "
    "`.item()`, NumPy, `torch.no_grad()` or a clamp."
)
_SIGMOID_FIRST = (
    "A sigmoid was applied before a loss that has one inside (\"with logits\"): it then sees "
    "numbers between 0 and 1 as logits, so D can never be surer than 0.73. Pass the logits."
)
_PER_IMAGE = "One number per image came back; a training step needs one: average over the batch."
_SUMMED = (
    "The images are summed. Average them, so that the loss (and the best learning rate) does not "
    "grow with the batch."
)
_TOO_EARLY = (
    "The logits were averaged first and one cross-entropy taken of the average. Each image has a "
    "cross-entropy of its own; the average comes last."
)

DISCRIMINATOR_LOSS = Exercise(
    name="discriminator_loss",
    chapter=6,
    minutes=8,
    difficulty=1,
    returns="one number: the average of −log D(real) plus the average of −log(1 − D(fake)), nats",
    reference=discriminator_loss,
    case=_two_batches,
    slipped=_discriminator_slipped,
    mistakes=(
        Mistake("labels-swapped", "The labels are swapped: this rewards calling real images fake. "
                "Real images have the target 1, generated ones 0."),
        Mistake("real-half-only", "Only the real half is there. Calling everything real would be "
                "perfect: the generated images have to count against it."),
        Mistake("fake-half-only", "Only the fake half is there. Calling everything fake would be "
                "perfect: the real images have to count as well."),
        Mistake("sigmoid-first", _SIGMOID_FIRST),
        Mistake("all-real", "Both halves have the target 1. That is what the generator wants; the "
                "discriminator's target for generated images is 0."),
        Mistake("difference", "The fake half is subtracted. Both halves are costs, so they add "
                "up."),
        Mistake("sign", "The sign is wrong: this is the value V of the game, which the "
                "discriminator maximises. An optimizer minimises, so return −V."),
        Mistake("halved", "The two halves were averaged; here they are added, so that a "
                "discriminator that knows nothing has log 4, not log 2."),
        Mistake("pooled", "Real and generated logits were pooled and averaged together. Average "
                "each half on its own and add the two: then a shorter batch of one kind does not "
                "count less, and knowing nothing costs log 4.", alone=_pooled),
        Mistake("summed", _SUMMED),
        Mistake("per-image", _PER_IMAGE),
        Mistake("averaged-too-early", _TOO_EARLY),
        Mistake("smoothed", "The real target is 0.9 (one-sided label smoothing). It is a known "
                "trick, but not the loss that is asked for: the target is 1."),
        Mistake("wasserstein", "This is a Wasserstein critic's loss, a difference of averages. It "
                "needs a critic whose slope is bounded; here the cross-entropy is asked for.",
                alone=_wasserstein_critic),
        Mistake("hinge", "This is the hinge loss. It is in use, but its best discriminator is no "
                "probability; the cross-entropy is asked for.", alone=_hinge),
        Mistake("least-squares", "This is the least-squares loss (LSGAN): it punishes a logit of 5 "
                "for a real image. The cross-entropy is asked for.", alone=_least_squares),
    ),
    properties=(
        Property("know-nothing", lambda f: _gives(f, math.log(4), [0.0] * 3, [0.0] * 3),
                 "All logits 0, so D = ½ everywhere: the answer is log 4 = 1.386."),
        Property("by-hand", lambda f: _gives(f, 1.00641, [1.0], [0.0]), "Try one real logit 1 and "
                 "one fake logit 0: D(real) = 0.731, D(fake) = 0.5, and the answer is −log "
                 "0.731 − log 0.5 = 0.313 + 0.693 = 1.006."),
        Property("sure-and-wrong", lambda f: _finite_where_sure(f, [-200.0], [150.0], loss=350.0),
                 "A discriminator that is sure and wrong (logits −200 for real, 150 for fake) "
                 "costs 350 nats, with a gradient. A sigmoid in single precision is 0 or 1 there, "
                 "and its logarithm infinite: compute the loss from the logits."),
        Property("gradient", lambda f: _gradients_agree(f, discriminator_loss, 4, 6),
                 _NO_GRADIENT),
    ),
)

# --- generator_loss --------------------------------------------------------------------------


def generator_loss(fake_logits):
    wanted = torch.ones_like(fake_logits)  # the generator wants its images to be called real
    return F.binary_cross_entropy_with_logits(fake_logits, wanted)  # −log D(fake)


def _one_batch(generator):
    return (draw.normal(generator, draw.integer(generator, 3, 9), scale=2) - 0.7,)


def _minus_probability(fake_logits):
    return -fake_logits.sigmoid().mean()


def _log_one_minus(fake_logits):
    return (1 - fake_logits.sigmoid()).mean()


def _critic_of_generator(fake_logits):
    return -fake_logits.mean()


def _least_squares_generator(fake_logits):
    return (fake_logits - 1).square().mean()


GENERATOR_LOSS = Exercise(
    name="generator_loss",
    chapter=6,
    minutes=5,
    difficulty=1,
    returns="one number: the average of −log D(fake), in nats",
    reference=generator_loss,
    case=_one_batch,
    slipped=lambda slips, fake_logits: fooled(slips, fake_logits),
    mistakes=(
        Mistake("saturating", "This is the saturating loss, log(1 − D(fake)). Its slope is D: next "
                "to nothing as long as every image is recognised, which is when the generator has "
                "most to learn. Use −log D(fake)."),
        Mistake("labels-swapped", "This is −log(1 − D(fake)), the discriminator's own half: "
                "minimising it makes the images easier to recognise. The generator's target is "
                "1."),
        Mistake("sigmoid-first", _SIGMOID_FIRST),
        Mistake("sign", "The sign is wrong: log D(fake) is to be made large, so its negative is "
                "the loss."),
        Mistake("halved", "The loss was halved. There is only one half here: the average of −log "
                "D(fake)."),
        Mistake("summed", _SUMMED),
        Mistake("per-image", _PER_IMAGE),
        Mistake("averaged-too-early", _TOO_EARLY),
        Mistake("minus-probability", "This is −D(fake) without the logarithm: its slope is D (1 − "
                "D), flat again where every image is recognised.", alone=_minus_probability),
        Mistake("no-logarithm", "This is 1 − D(fake), a probability without its logarithm.",
                alone=_log_one_minus),
        Mistake("wasserstein", "This is a Wasserstein generator's loss, the average logit. With a "
                "discriminator trained by cross-entropy, −log D(fake) is asked for.",
                alone=_critic_of_generator),
        Mistake("least-squares", "This is the least-squares loss (LSGAN), which pulls logits above "
                "1 back down. −log D(fake) is asked for.", alone=_least_squares_generator),
    ),
    properties=(
        Property("know-nothing", lambda f: _gives(f, math.log(2), [0.0] * 3),
                 "All logits 0, so D = ½: the answer is log 2 = 0.693."),
        Property("by-hand", lambda f: _gives(f, 2.12693, [-2.0]), "Try one logit, −2: D = 0.119 "
                 "and the answer is −log 0.119 = 2.127."),
        Property("all-recognised", lambda f: _finite_where_sure(f, [-150.0], loss=150.0),
                 "Where the discriminator is sure (logit −150) the loss is 150 nats and its slope "
                 "−1. A sigmoid in single precision is 0 there, and log 0 infinite: compute the "
                 "loss from the logits."),
        Property("gradient", lambda f: _gradients_agree(f, generator_loss, 5), _NO_GRADIENT),
    ),
)

# --- discriminator_step ----------------------------------------------------------------------


def discriminator_step(generator, discriminator, optimizer, real, latent):
    fake = generator(latent).detach()  # images without a history: the generator is a given here
    real_logits, fake_logits = discriminator(real), discriminator(fake)
    loss = F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()
    optimizer.zero_grad()  # the generator's last step left gradients in the discriminator
    loss.backward()
    optimizer.step()
    return loss.item()


def _discriminator_case(generator):
    network, discriminator, real, latent = players(generator)
    return network, discriminator, descent(discriminator), real, latent


def _observe_discriminator(function, args):
    generator, discriminator, optimizer, *_ = args
    return observe_step(
        discriminator, generator, optimizer, lambda: function(*args), clean=True
    )


def _discriminator_step_slipped(slips, generator, discriminator, optimizer, real, latent):
    latent = torch.randn_like(latent) if "own-latent" in slips else latent
    attached = "detach-missing" in slips or "both-trained" in slips
    fake = cut(latent, generator, detach=not attached)
    fake = real if "real-twice" in slips else fake
    loss = halves(slips, discriminator(real), discriminator(fake))
    value = fooled((), discriminator(fake)) if "generator-loss-returned" in slips else loss
    return finish(slips, optimizer, loss, discriminator, generator, value)


def _own_discriminator_optimizer(generator, discriminator, optimizer, real, latent):
    own = torch.optim.Adam(discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    return discriminator_step(generator, discriminator, own, real, latent)


def _same_with_adam_and_images(function, reference, *, step):
    r"""Both functions do the same to convolutional networks under Adam, in eval mode too."""
    results = []
    for each in (function, reference):
        seeds = torch.Generator().manual_seed(11)
        generator = nn.Sequential(Player(seeds, (3, 5, 36), last=nn.Sigmoid()),
                                  nn.Unflatten(1, (1, 6, 6)))
        discriminator = nn.Sequential(nn.Flatten(),
                                      Player(seeds, (36, 4, 1), last=nn.Flatten(start_dim=0)))
        generator.eval()
        real, latent = torch.rand(6, 1, 6, 6, generator=seeds), draw.normal(seeds, 6, 3)
        learner = discriminator if step == "discriminator" else generator
        adam = torch.optim.Adam(learner.parameters(), lr=0.05)
        arguments = (real, latent) if step == "discriminator" else (latent,)
        values = [each(generator, discriminator, adam, *arguments) for _ in range(3)]
        if generator.training or not discriminator.training:
            return False
        results.append(torch.cat([flat(learner.parameters()), torch.tensor(values)]))
    return torch.allclose(*results, rtol=1e-3, atol=1e-4)


def _step_survives(function, *, step):
    r"""Logits of ±200: the loss stays finite, and so do the weights."""
    seeds = torch.Generator().manual_seed(3)
    generator = Player(seeds, (3, 4, 5), last=nn.Sigmoid())
    discriminator = Player(seeds, (5, 4, 1), last=nn.Flatten(start_dim=0))
    with torch.no_grad():
        discriminator.second.bias.fill_(200.0 if step == "discriminator" else -200.0)
    learner = discriminator if step == "discriminator" else generator
    real, latent = torch.rand(4, 5, generator=seeds), draw.normal(seeds, 4, 3)
    arguments = (real, latent) if step == "discriminator" else (latent,)
    loss = function(generator, discriminator, descent(learner), *arguments)
    return 190 < float(loss) < 210 and bool(flat(learner.parameters()).isfinite().all())


_STEP_GRADIENTS = (
    "The old gradients were not removed: backward() *adds* to them, so this step goes in the "
    "direction of all steps so far. Call optimizer.zero_grad() before backward()."
)
_TOO_LATE = (
    "The optimizer found no gradient to step along: zero_grad() came between backward() and "
    "step(), or backward() is missing. The order is zero_grad, backward, step."
)
_OWN_LATENT = (
    "You drew fresh latents instead of using the argument `latent`. With the latents given, a step "
    "can be repeated and tested."
)
_OWN_OPTIMIZER = (
    "The optimizer that was passed was not used: a new one was made inside. A fresh Adam at every "
    "step forgets its moments, so all its steps have the same length."
)
_TENSOR = (
    "A tensor came back. A float was asked for: a list of tensors keeps every step's graph in "
    "memory. End with loss.item()."
)
_EVAL = (
    "A network was left in eval mode. Whoever trains on has batch normalisation and dropout "
    "switched off without knowing: put it back, or leave the mode alone."
)
_FROZEN = (
    "requires_grad was switched off and not on again: that network can't learn in its own step "
    "any more. Put it back, or use .detach()."
)

DISCRIMINATOR_STEP = Exercise(
    name="discriminator_step",
    chapter=6,
    minutes=15,
    difficulty=2,
    returns="a float, the loss before the step; only the discriminator changes, and no gradient "
    "is left behind in the generator",
    reference=discriminator_step,
    case=_discriminator_case,
    slipped=_discriminator_step_slipped,
    observe=_observe_discriminator,
    explain=explain_step("discriminator", "generator"),
    cases=3,
    mistakes=(
        Mistake("detach-missing", "The weights are right, but a gradient is left behind in the "
                "generator: its images were not detached. Backward went through it for nothing, "
                "and what it left will be in the way if the generator's step does not zero it."),
        Mistake("both-trained", "The generator's weights changed too, downhill on the "
                "discriminator's loss: it learns to be recognised. Detach its images, and step "
                "only the optimizer that was passed."),
        Mistake("gradients-not-zeroed", _STEP_GRADIENTS + " In a GAN they are not even its own: "
                "the generator's step leaves some in the discriminator."),
        Mistake("zeroed-too-late", _TOO_LATE),
        Mistake("no-step", "The loss is right and nothing changes: optimizer.step() is missing."),
        Mistake("two-steps", "The optimizer took two steps along one gradient."),
        Mistake("own-optimizer", _OWN_OPTIMIZER, alone=_own_discriminator_optimizer),
        Mistake("labels-swapped", "The labels are swapped: this teaches the discriminator to call "
                "real images fake. Real is 1, generated is 0."),
        Mistake("all-real", "Generated images have the target 1, which is the generator's wish. "
                "For the discriminator they are 0."),
        Mistake("real-half-only", "Only the real images count. The discriminator learns to call "
                "everything real: add the half of the generated ones."),
        Mistake("fake-half-only", "Only the generated images count. The discriminator learns to "
                "call everything fake: add the half of the real ones."),
        Mistake("real-twice", "The real images are used for both halves: the generator never "
                "plays."),
        Mistake("sigmoid-first", _SIGMOID_FIRST),
        Mistake("halved", "The two halves were averaged (or pooled in one batch); here they are "
                "added. It doubles the loss, and the step."),
        Mistake("summed", _SUMMED),
        Mistake("climbs", "The step goes uphill: the returned loss is right, its negative was "
                "sent backward."),
        Mistake("sign", "The sign of the loss is wrong: an optimizer minimises."),
        Mistake("own-latent", _OWN_LATENT),
        Mistake("generator-loss-returned", "The discriminator is trained correctly, but the number "
                "returned is the generator's loss."),
        Mistake("returns-a-tensor", _TENSOR),
        Mistake("left-in-eval", _EVAL),
        Mistake("left-frozen", _FROZEN),
    ),
    properties=(
        Property("images-and-adam", lambda f: _same_with_adam_and_images(
                     f, discriminator_step, step="discriminator"),
                 "It works on vectors with plain gradient descent, and not on images (B, 1, H, W) "
                 "with Adam and a generator in eval mode: does it flatten, rely on the kind of "
                 "optimizer, or change a mode?"),
        Property("sure-and-wrong", lambda f: _step_survives(f, step="discriminator"),
                 "With a discriminator that is sure and wrong (logits of 200) the loss must be "
                 "about 200 and the weights finite: compute the loss from the logits."),
    ),
)

# --- generator_step --------------------------------------------------------------------------


def generator_step(generator, discriminator, optimizer, latent):
    fake_logits = discriminator(generator(latent))  # no detach: the gradient must come through
    loss = F.softplus(-fake_logits).mean()  # −log D(fake)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def _generator_case(generator):
    network, discriminator, _, latent = players(generator)
    return network, discriminator, descent(network), latent


def _observe_generator(function, args):
    generator, discriminator, optimizer, _ = args
    return observe_step(
        generator, discriminator, optimizer, lambda: function(*args), clean=False
    )


def _generator_step_slipped(slips, generator, discriminator, optimizer, latent):
    latent = torch.randn_like(latent) if "own-latent" in slips else latent
    fake = cut(latent, generator, detach="detach-present" in slips)
    loss = fooled(slips, discriminator(fake))
    return finish(slips, optimizer, loss, generator, discriminator, loss)


def _own_generator_optimizer(generator, discriminator, optimizer, latent):
    own = torch.optim.Adam(generator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    return generator_step(generator, discriminator, own, latent)


def _probability_loss(generator, discriminator, optimizer, latent):
    loss = -discriminator(generator(latent)).sigmoid().mean()
    return finish((), optimizer, loss, generator, discriminator, loss)


GENERATOR_STEP = Exercise(
    name="generator_step",
    chapter=6,
    minutes=12,
    difficulty=2,
    returns="a float, the non-saturating loss before the step; only the generator changes",
    reference=generator_step,
    case=_generator_case,
    slipped=_generator_step_slipped,
    observe=_observe_generator,
    explain=explain_step("generator", "discriminator"),
    cases=3,
    mistakes=(
        Mistake("detach-present", "The generator's weights do not move: its images were detached "
                "(or made under no_grad), so no gradient comes back to it. In this step the "
                "gradient has to pass through the discriminator into the generator."),
        Mistake("both-trained", "The discriminator's weights changed too, downhill on the "
                "generator's loss: it learns to be fooled. Step only the optimizer that was "
                "passed."),
        Mistake("gradients-not-zeroed", _STEP_GRADIENTS),
        Mistake("zeroed-too-late", _TOO_LATE),
        Mistake("no-step", "The loss is right and nothing changes: optimizer.step() is missing."),
        Mistake("two-steps", "The optimizer took two steps along one gradient."),
        Mistake("own-optimizer", _OWN_OPTIMIZER, alone=_own_generator_optimizer),
        Mistake("saturating", "This is the saturating loss, log(1 − D(fake)): nearly flat as long "
                "as the discriminator recognises every image. Use −log D(fake)."),
        Mistake("labels-swapped", "The generator's images have the target 0: it learns to be "
                "recognised as a fake. Its wish is 1, real."),
        Mistake("sigmoid-first", _SIGMOID_FIRST),
        Mistake("minus-probability", "The loss is −D(fake) without the logarithm: flat where every "
                "image is recognised.", alone=_probability_loss),
        Mistake("averaged-too-early", _TOO_EARLY),
        Mistake("summed", _SUMMED),
        Mistake("halved", "The loss was halved: there is only one half in this step."),
        Mistake("climbs", "The step goes uphill: the returned loss is right, its negative was "
                "sent backward."),
        Mistake("sign", "The sign of the loss is wrong: an optimizer minimises, and log D(fake) is "
                "to become large."),
        Mistake("own-latent", _OWN_LATENT),
        Mistake("returns-a-tensor", _TENSOR),
        Mistake("left-in-eval", _EVAL),
        Mistake("left-frozen", _FROZEN),
    ),
    properties=(
        Property("images-and-adam", lambda f: _same_with_adam_and_images(
                     f, generator_step, step="generator"),
                 "It works on vectors with plain gradient descent, and not on images (B, 1, H, W) "
                 "with Adam and a generator in eval mode: does it flatten, rely on the kind of "
                 "optimizer, or change a mode?"),
        Property("all-recognised", lambda f: _step_survives(f, step="generator"),
                 "With a discriminator that is sure (logits of −200) the loss must be about 200 "
                 "and the weights finite: compute the loss from the logits."),
    ),
)

# --- modes_covered ---------------------------------------------------------------------------


def modes_covered(samples, centers, radius):
    distances = torch.cdist(samples, centers)  # (N, M): each sample to each centre
    near = distances <= radius
    return int(near.any(dim=0).sum())  # centres with at least one sample


def _modes_case(generator):
    r"""A few crowded points; the radius lies in the gap between two distances."""
    count, modes = draw.sizes(generator, count=2, low=5, high=14)
    samples, centers = (draw.normal(generator, n, 2, scale=2) for n in (count, modes))
    distances = torch.cdist(samples, centers)
    order = distances.min(dim=0).values.sort().values  # of each centre's nearest sample
    place = draw.integer(generator, modes // 3, 2 * modes // 3 - 1)
    low, high = order[place], order[place + 1]
    between = distances[(distances > low) & (distances < high)]
    steps = torch.cat([low[None], between.sort().values, high[None]])
    widest = (steps[1:] - steps[:-1]).argmax()
    return samples, centers, float((steps[widest] + steps[widest + 1]) / 2)


def _modes_slipped(slips, samples, centers, radius):
    radius = radius / 2 if "diameter" in slips else radius
    offset = samples[:, None] - centers  # (N, M, 2)
    if "squared-distance" in slips:
        distances = offset.square().sum(dim=-1)
    elif "manhattan" in slips:
        distances = offset.abs().sum(dim=-1)
    elif "box" in slips:
        distances = offset.abs().amax(dim=-1)
    elif "one-axis" in slips:
        distances = offset.abs().amin(dim=-1)
    else:
        distances = offset.norm(dim=-1)
    near = distances > radius if "outside" in slips else distances <= radius
    if "nearest-only" in slips:
        near = near & F.one_hot(distances.argmin(dim=1), len(centers)).bool()
    if "all-samples" in slips:
        count = near.all(dim=0).sum()
    elif "good-samples" in slips:
        count = near.any(dim=1).sum()
    elif "pairs" in slips:
        count = near.sum()
    elif "crowds-only" in slips:
        count = (near.sum(dim=0) > 1).sum()
    else:
        count = near.any(dim=0).sum()
    count = len(centers) - count if "missing-counted" in slips else count
    if "share" in slips:
        return float(count) / len(centers)
    return count if "not-an-int" in slips else int(count)


def _nearest_without_radius(samples, centers, radius):
    return len(torch.cdist(samples, centers).argmin(dim=1).unique())


def _mean_near(samples, centers, radius):
    return int(((samples.mean(dim=0) - centers).norm(dim=1) <= radius).sum())


def _far_away(function):
    centers = torch.tensor([[0.0, 0.0], [5.0, 0.0]])
    return function(torch.full((4, 2), 100.0), centers, 1.0) == 0


def _overlap(function):
    centers = torch.tensor([[0.0, 0.0], [1.0, 0.0], [9.0, 0.0]])
    return function(torch.tensor([[0.6, 0.0]]), centers, 0.8) == 2


def _repeated(function):
    centers = torch.tensor([[0.0, 0.0], [5.0, 0.0]])
    return function(torch.zeros(50, 2), centers, 1.0) == 1


def _one_is_enough(function):
    centers = torch.tensor([[0.0, 0.0], [5.0, 0.0]])
    samples = torch.cat([torch.zeros(999, 2), torch.tensor([[5.3, 0.1]])])
    return function(samples, centers, 0.5) == 2


def _not_a_number(function):
    samples = torch.tensor([[0.1, 0.0], [math.nan, math.nan]])
    return function(samples, torch.tensor([[0.0, 0.0], [5.0, 0.0]]), 1.0) == 1


MODES_COVERED = Exercise(
    name="modes_covered",
    chapter=6,
    minutes=8,
    difficulty=1,
    returns="a whole number: how many centres have at least one sample within the radius",
    reference=modes_covered,
    case=_modes_case,
    slipped=_modes_slipped,
    cases=8,
    mistakes=(
        Mistake("nearest-without-radius", "This counts the centres that are some sample's nearest, "
                "however far away: a sample in the middle of nowhere covers a mode. The radius was "
                "not used.", alone=_nearest_without_radius),
        Mistake("nearest-only", "Each sample counts for its nearest centre only. A centre is "
                "covered by any sample within the radius, also one that lies nearer to another "
                "centre."),
        Mistake("good-samples", "This is the number of *samples* that lie near some centre. The "
                "centres are to be counted: `any` over the other axis."),
        Mistake("pairs", "This counts the pairs of a sample and a centre that are near each other: "
                "a crowded centre counts many times. Each centre counts once."),
        Mistake("all-samples", "A centre counts only if *all* samples are near it. One is "
                "enough."),
        Mistake("crowds-only", "A centre with a single sample near it was not counted. One is "
                "enough."),
        Mistake("missing-counted", "This is the number of centres that are *not* covered."),
        Mistake("outside", "The comparison is the wrong way round: near means distance ≤ radius."),
        Mistake("squared-distance", "The squared distance is compared with the radius: take the "
                "root, or square the radius."),
        Mistake("manhattan", "The distances along the two axes are added (a diamond). The distance "
                "in the plane is the root of the sum of squares."),
        Mistake("box", "Each axis is compared with the radius on its own (a square, whose corners "
                "are too far away)."),
        Mistake("one-axis", "A sample counts if it is near in one of the two coordinates. Near "
                "means both: the distance in the plane."),
        Mistake("diameter", "Half the radius was used: `radius` is the radius, not the diameter."),
        Mistake("mean-of-the-samples", "The samples were averaged first. The average of a perfect "
                "ring lies in its empty middle: each sample counts on its own.", alone=_mean_near),
        Mistake("share", "This is the share of centres; their number is asked for."),
        Mistake("not-an-int", "The count is right, but it is a tensor or a float; a plain whole "
                "number is asked for: int(…) around it."),
    ),
    properties=(
        Property("far-away", _far_away, "All samples are 100 away from all centres: 0 modes."),
        Property("repeated", _repeated, "Fifty samples on one of two centres: 1 mode."),
        Property("one-is-enough", _one_is_enough, "999 samples on one centre, one on the other: 2 "
                 "modes. One sample is enough, whatever its share."),
        Property("overlap", _overlap, "One sample at (0.6, 0), centres at 0, 1 and 9 on the axis, "
                 "radius 0.8: it is near two of them, so the answer is 2."),
        Property("not-a-number", _not_a_number, "A sample that is NaN (from a generator that "
                 "diverged) is near nothing, and must not hide the others."),
    ),
)

EXERCISES = [
    DISCRIMINATOR_LOSS,
    GENERATOR_LOSS,
    DISCRIMINATOR_STEP,
    GENERATOR_STEP,
    MODES_COVERED,
]
