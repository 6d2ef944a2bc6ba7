r"""Exercises of notebook 06: the losses and steps of a GAN, and counting the modes it covers.

A step is judged by what it changes (weights), what it leaves behind (gradients, modes, flags) and
what it returns, never by how it is written.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

from . import draw
from .definition import Exercise
from .properties import gives

_SIGMOID_FIRST = (
    'A sigmoid was applied before a loss that has one inside ("with logits"): it then sees '
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

# --- discriminator_loss ----------------------------------------------------------------------


def discriminator_loss(real_logits, fake_logits):
    real_target = torch.ones_like(real_logits)
    fake_target = torch.zeros_like(fake_logits)
    real_half = F.binary_cross_entropy_with_logits(real_logits, real_target)  # −log D(real)
    fake_half = F.binary_cross_entropy_with_logits(fake_logits, fake_target)  # −log(1 − D(fake))
    loss = real_half + fake_half
    return loss


def _two_batches(g):
    batch, other = draw.sizes(g, count=2, low=3, high=9)
    other = batch if g.initial_seed() % 2 else other  # as long as the other one, or not
    return draw.normal(g, batch, scale=2) + 1, draw.normal(g, other, scale=2) - 1


def _pooled(real_logits, fake_logits):
    target = torch.cat([torch.ones_like(real_logits), torch.zeros_like(fake_logits)])
    return F.binary_cross_entropy_with_logits(torch.cat([real_logits, fake_logits]), target)


def _wasserstein_critic(real_logits, fake_logits):
    return fake_logits.mean() - real_logits.mean()


def _hinge(real_logits, fake_logits):
    return F.relu(1 - real_logits).mean() + F.relu(1 + fake_logits).mean()


def _least_squares(real_logits, fake_logits):
    return (real_logits - 1).square().mean() + fake_logits.square().mean()


def _finite_where_sure(loss, *numbers):
    def holds(function):
        logits = [torch.tensor(each, requires_grad=True) for each in numbers]
        value = function(*logits)
        gradients = torch.autograd.grad(value, logits)
        finite = all(gradient.isfinite().all() for gradient in gradients)
        return finite and math.isclose(float(value.detach()), loss, rel_tol=1e-3)

    return holds


judging = Exercise(
    discriminator_loss,
    inputs=_two_batches,
    returns="one number: the average of −log D(real) plus the average of −log(1 − D(fake)), nats; "
    "differentiable",
    gradient=("real_logits", "fake_logits"),
    chapter=6, minutes=8, difficulty=1,
)  # fmt: skip
judging.mistake("labels-swapped",
                edit=[("torch.ones_like(real_logits)", "torch.zeros_like(real_logits)"),
                      ("torch.zeros_like(fake_logits)", "torch.ones_like(fake_logits)")],
                hint="The labels are swapped: this rewards calling real images fake. Real images "
                     "have the target 1, generated ones 0.")
judging.mistake("real-half-only", edit=(" + fake_half", ""),
                hint="Only the real half is there. Calling everything real would be perfect: the "
                     "generated images have to count against it.")
judging.mistake("fake-half-only", edit=("real_half +", ""),
                hint="Only the fake half is there. Calling everything fake would be perfect: the "
                     "real images have to count as well.")
judging.mistake("sigmoid-first",
                edit=[("(real_logits, real_t", "(real_logits.sigmoid(), real_t"),
                      ("(fake_logits, fake_t", "(fake_logits.sigmoid(), fake_t")],
                hint=_SIGMOID_FIRST)
judging.mistake("all-real", edit=("torch.zeros_like(fake_logits)", "torch.ones_like(fake_logits)"),
                hint="Both halves have the target 1. That is what the generator wants; the "
                     "discriminator's target for generated images is 0.")
judging.mistake("difference", edit=("+ fake_half", "- fake_half"),
                hint="The fake half is subtracted. Both halves are costs, so they add up.")
judging.mistake("sign", edit=("return", "return -1 *"),
                hint="The sign is wrong: this is the value V of the game, which the discriminator "
                     "maximises. An optimizer minimises, so return −V.")
judging.mistake("halved", edit=("loss\n", "loss / 2\n"),
                hint="The two halves were averaged; here they are added, so that a discriminator "
                     "that knows nothing has log 4, not log 2.")
judging.mistake("pooled", function=_pooled,
                hint="Real and generated logits were pooled and averaged together. Average each "
                     "half on its own and add the two: then a shorter batch of one kind does not "
                     "count less, and knowing nothing costs log 4.")
judging.mistake("summed",
                edit=[("real_target)", 'real_target, reduction="sum")'),
                      ("fake_target)", 'fake_target, reduction="sum")')],
                hint=_SUMMED)
judging.mistake("per-image",
                edit=[("real_target)", 'real_target, reduction="none")'),
                      ("fake_target)", 'fake_target, reduction="none")')],
                hint=_PER_IMAGE)
judging.mistake("averaged-too-early",
                edit=[("(real_logits, real_target)", "(real_logits.mean(), real_target.mean())"),
                      ("(fake_logits, fake_target)", "(fake_logits.mean(), fake_target.mean())")],
                hint=_TOO_EARLY)
judging.mistake("smoothed",
                edit=("torch.ones_like(real_logits)", "0.9 * torch.ones_like(real_logits)"),
                hint="The real target is 0.9 (one-sided label smoothing). It is a known trick, "
                     "but not the loss that is asked for: the target is 1.")
judging.mistake("wasserstein", function=_wasserstein_critic,
                hint="This is a Wasserstein critic's loss, a difference of averages. It needs a "
                     "critic whose slope is bounded; here the cross-entropy is asked for.")
judging.mistake("hinge", function=_hinge,
                hint="This is the hinge loss. It is in use, but its best discriminator is no "
                     "probability; the cross-entropy is asked for.")
judging.mistake("least-squares", function=_least_squares,
                hint="This is the least-squares loss (LSGAN): it punishes a logit of 5 for a real "
                     "image. The cross-entropy is asked for.")
judging.must("know-nothing", lambda f: gives(f, math.log(4), [0.0] * 3, [0.0] * 3),
             hint="All logits 0, so D = ½ everywhere: the answer is log 4 = 1.386.")
judging.must("by-hand", lambda f: gives(f, 1.00641, [1.0], [0.0]),
             hint="Try one real logit 1 and one fake logit 0: D(real) = 0.731, D(fake) = 0.5, and "
                  "the answer is −log 0.731 − log 0.5 = 0.313 + 0.693 = 1.006.")
judging.must("sure-and-wrong", _finite_where_sure(350.0, [-200.0], [150.0]),
             hint="A discriminator that is sure and wrong (logits −200 for real, 150 for fake) "
                  "costs 350 nats, with a gradient. A sigmoid in single precision is 0 or 1 "
                  "there, and its logarithm infinite: compute the loss from the logits.")

# --- generator_loss --------------------------------------------------------------------------


def generator_loss(fake_logits):
    wanted = torch.ones_like(fake_logits)  # the generator wants its images to be called real
    return F.binary_cross_entropy_with_logits(fake_logits, wanted)  # −log D(fake)


fooling = Exercise(
    generator_loss,
    inputs=lambda g: (draw.normal(g, "B", scale=2) - 0.7,),
    returns="one number: the average of −log D(fake), in nats; differentiable",
    gradient=("fake_logits",),
    chapter=6, minutes=5, difficulty=1,
)  # fmt: skip
fooling.mistake("saturating",
                edit=("F.binary_cross_entropy_with_logits(fake_logits, wanted)",
                      "-F.softplus(fake_logits).mean()"),
                hint="This is the saturating loss, log(1 − D(fake)). Its slope is D: next to "
                     "nothing as long as every image is recognised, which is when the generator "
                     "has most to learn. Use −log D(fake).")
fooling.mistake("labels-swapped", edit=("torch.ones_like", "torch.zeros_like"),
                hint="This is −log(1 − D(fake)), the discriminator's own half: minimising it "
                     "makes the images easier to recognise. The generator's target is 1.")
fooling.mistake("sigmoid-first", edit=("(fake_logits,", "(fake_logits.sigmoid(),"),
                hint=_SIGMOID_FIRST)
fooling.mistake("sign", edit=("return F", "return -F"),
                hint="The sign is wrong: log D(fake) is to be made large, so its negative is the "
                     "loss.")
fooling.mistake("halved", edit=("return F", "return 0.5 * F"),
                hint="The loss was halved. There is only one half here: the average of −log "
                     "D(fake).")
fooling.mistake("summed", edit=("wanted)", 'wanted, reduction="sum")'),
                hint=_SUMMED)
fooling.mistake("per-image", edit=("wanted)", 'wanted, reduction="none")'),
                hint=_PER_IMAGE)
fooling.mistake("averaged-too-early",
                edit=("(fake_logits, wanted)", "(fake_logits.mean(), wanted.mean())"),
                hint=_TOO_EARLY)
fooling.mistake("minus-probability",
                edit=("F.binary_cross_entropy_with_logits(fake_logits, wanted)",
                      "-fake_logits.sigmoid().mean()"),
                hint="This is −D(fake) without the logarithm: its slope is D (1 − D), flat again "
                     "where every image is recognised.")
fooling.mistake("no-logarithm",
                edit=("F.binary_cross_entropy_with_logits(fake_logits, wanted)",
                      "(1 - fake_logits.sigmoid()).mean()"),
                hint="This is 1 − D(fake), a probability without its logarithm.")
fooling.mistake("wasserstein",
                edit=("F.binary_cross_entropy_with_logits(fake_logits, wanted)",
                      "-fake_logits.mean()"),
                hint="This is a Wasserstein generator's loss, the average logit. With a "
                     "discriminator trained by cross-entropy, −log D(fake) is asked for.")
fooling.mistake("least-squares",
                edit=("F.binary_cross_entropy_with_logits(fake_logits, wanted)",
                      "(fake_logits - 1).square().mean()"),
                hint="This is the least-squares loss (LSGAN), which pulls logits above 1 back "
                     "down. −log D(fake) is asked for.")
fooling.must("know-nothing", lambda f: gives(f, math.log(2), [0.0] * 3),
             hint="All logits 0, so D = ½: the answer is log 2 = 0.693.")
fooling.must("by-hand", lambda f: gives(f, 2.12693, [-2.0]),
             hint="Try one logit, −2: D = 0.119 and the answer is −log 0.119 = 2.127.")
fooling.must("all-recognised", _finite_where_sure(150.0, [-150.0]),
             hint="Where the discriminator is sure (logit −150) the loss is 150 nats and its "
                  "slope −1. A sigmoid in single precision is 0 there, and log 0 infinite: "
                  "compute the loss from the logits.")

# --- the two steps: small networks, and a look at what a step did ------------------------------

_RATE = 0.5  # of plain gradient descent, so that a step can be compared


class _Player(nn.Module):
    r"""A small network with weights from `generator` and the gradients of earlier steps in it."""

    def __init__(self, generator, sizes, *, last):
        super().__init__()
        inputs, hidden, outputs = sizes
        self.first, self.second = nn.Linear(inputs, hidden), nn.Linear(hidden, outputs)
        self.last = last
        for weight in self.parameters():
            weight.data = draw.normal(generator, *weight.shape, scale=0.6)
            weight.grad = draw.normal(generator, *weight.shape)

    def forward(self, x):
        return self.last(self.second(torch.tanh(self.first(x))))


def _players(generator):
    r"""(generator, discriminator, real, latent) of a small game, with stale gradients."""
    batch, pixels, latent_dim, hidden, width = draw.sizes(generator, count=5, low=3, high=9)
    generator_network = _Player(generator, (latent_dim, hidden, pixels), last=nn.Sigmoid())
    discriminator = _Player(generator, (pixels, width, 1), last=nn.Flatten(start_dim=0))
    real, latent = draw.pixels(generator, batch, pixels), draw.normal(generator, batch, latent_dim)
    return generator_network, discriminator, real, latent


def _descent(network):
    return torch.optim.SGD(network.parameters(), lr=_RATE)


def _flat(tensors):
    return torch.cat([tensor.detach().flatten() for tensor in tensors]).clone()


def _gradients(network):
    return _flat(torch.zeros_like(p) if p.grad is None else p.grad for p in network.parameters())


def _observe_step(learner, other, optimizer, call, *, clean):
    r"""What two calls of a step do. learner should change, other not.

    clean: whether no gradient may be left in `other`. None, zeros and what was there before are
        all clean.
    """
    steps = []
    hook = optimizer.register_step_post_hook(lambda *_: steps.append(1))
    before = {name: _flat(net.parameters()) for name, net in _named(learner, other)}
    left_before = _gradients(other)
    modes = [module.training for net in (learner, other) for module in net.modules()]
    value = call()
    left = _gradients(other)
    first = {name: _flat(net.parameters()) for name, net in _named(learner, other)}
    taken = len(steps)
    kept = [module.training for net in (learner, other) for module in net.modules()] == modes
    frozen = any(not p.requires_grad for net in (learner, other) for p in net.parameters())
    kind = _number_kind(value)
    loss = value.detach() if isinstance(value, torch.Tensor) else value
    again = call()
    hook.remove()
    fields = {
        "loss": loss,
        "kind_of_number": kind,
        "steps_of_the_optimizer": str(taken),
        "change_of_the_other_network": first["other"] - before["other"],
        "change_of_the_learner": (before["learner"] - first["learner"]) / _RATE,
    }
    if clean:
        is_clean = bool(torch.equal(left, left_before) or not left.any())
        fields["gradient_left_in_the_other"] = "none" if is_clean else "some"
    second = (first["learner"] - _flat(learner.parameters())) / _RATE
    return fields | {
        "modes": "as before" if kept else "changed",
        "requires_grad": "False somewhere" if frozen else "as before",
        "loss_of_a_second_call": again.detach() if isinstance(again, torch.Tensor) else again,
        "change_of_a_second_call": second,
    }


def _named(learner, other):
    return (("learner", learner), ("other", other))


def _number_kind(value):
    if isinstance(value, torch.Tensor):
        return "a tensor with a graph" if value.requires_grad else "a tensor"
    return "a plain number"


def _explain_step(learner, other):
    r"""A sentence for each field, with the names of the two networks."""
    return {
        "loss": f"The number returned is not the {learner}'s loss before the step.",
        "kind_of_number": "Return a plain float: loss.item().",
        "steps_of_the_optimizer": "The optimizer that was passed has to take exactly one step in "
        "each call.",
        "change_of_the_other_network": f"The {other} changed. In this step only the {learner} may "
        "learn.",
        "change_of_the_learner": f"The loss returned is right, but the {learner}'s weights do not "
        "move by learning rate × its gradient.",
        "gradient_left_in_the_other": f"A gradient is left behind in the {other}: cut the graph "
        "where its images come out.",
        "modes": "A network is in another mode (train or eval) than before: put it back.",
        "requires_grad": "Parameters that could be trained before are frozen now: set "
        "requires_grad back to True.",
        "loss_of_a_second_call": "The first call is right, the second is not: something is "
        "carried over from one call to the next, an old gradient perhaps.",
        "change_of_a_second_call": "The first call is right, the second is not: something is "
        "carried over from one call to the next, an old gradient perhaps.",
    }


def _same_with_adam_and_images(reference, step):
    r"""Both functions do the same to convolutional networks under Adam, in eval mode too."""

    def result(each):
        g = draw.case(11)
        generator = nn.Sequential(_Player(g, (3, 5, 36), last=nn.Sigmoid()),
                                  nn.Unflatten(1, (1, 6, 6)))  # fmt: skip
        discriminator = nn.Sequential(nn.Flatten(),
                                      _Player(g, (36, 4, 1), last=nn.Flatten(0)))  # fmt: skip
        generator.eval()
        arguments = draw.pixels(g, 6, 1, 6, 6), draw.normal(g, 6, 3)
        learner = discriminator if step == "discriminator" else generator
        adam = torch.optim.Adam(learner.parameters(), lr=0.05)
        given = arguments if step == "discriminator" else arguments[1:]
        values = [each(generator, discriminator, adam, *given) for _ in range(3)]
        modes = [float(generator.training), float(discriminator.training)]
        return torch.cat([_flat(learner.parameters()), torch.tensor(values), torch.tensor(modes)])

    return lambda function: torch.allclose(result(function), result(reference), 1e-3, 1e-4)


def _step_survives(step):
    r"""Logits of ±200: the loss stays finite, and so do the weights."""

    def holds(function):
        g = draw.case(3)
        generator = _Player(g, (3, 4, 5), last=nn.Sigmoid())
        discriminator = _Player(g, (5, 4, 1), last=nn.Flatten(0))
        with torch.no_grad():
            discriminator.second.bias.fill_(200.0 if step == "discriminator" else -200.0)
        learner = discriminator if step == "discriminator" else generator
        real, latent = draw.pixels(g, 4, 5), draw.normal(g, 4, 3)
        given = (real, latent) if step == "discriminator" else (latent,)
        loss = function(generator, discriminator, _descent(learner), *given)
        return 190 < float(loss) < 210 and bool(_flat(learner.parameters()).isfinite().all())

    return holds


_STEP_GRADIENTS = (
    "The old gradients were not removed: backward() *adds* to them, so this step goes in the "
    "direction of all steps so far. Call optimizer.zero_grad() before backward()."
)
_AFTERWARDS = (
    "zero_grad() comes after step(). That tidies up for the next call, but in a GAN the other "
    "network's step may have left gradients here in between, and this step adds to them. Call it "
    "before backward()."
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
_ADAM = (
    "It works on vectors with plain gradient descent, and goes wrong on images (B, 1, H, W) with "
    "Adam and a generator in eval mode, three steps in a row."
)


def _steps(exercise, other):
    r"""The mistakes that both steps know, in what surrounds the loss."""
    trained_too = (
        f"    with torch.no_grad():\n        for weight in {other}.parameters():\n"
        "            if weight.grad is not None:\n"
        "                weight -= _RATE * weight.grad\n    return loss"
    )
    zero, step = "    optimizer.zero_grad()", "    optimizer.step()"
    for name, edit, hint in (
        ("gradients-not-zeroed", (zero, "    pass"), _STEP_GRADIENTS),
        ("zeroed-after-the-step", [(zero, "    pass"), (step, f"{step}\n{zero}")], _AFTERWARDS),
        ("zeroed-too-late", (step, f"{zero}\n{step}"), _TOO_LATE),
        ("no-step", (step, "    pass"), "The loss is right and nothing changes: optimizer.step() "
         "is missing."),
        ("two-steps", (step, f"{step}\n{step}"), "The optimizer took two steps along one "
         "gradient."),
        ("climbs", ("loss.backward()", "(-loss).backward()"), "The step goes uphill: the returned "
         "loss is right, its negative was sent backward."),
        ("own-latent", ("generator(latent)", "generator(torch.randn_like(latent))"), _OWN_LATENT),
        ("returns-a-tensor", (".item()", ""), _TENSOR),
        ("left-in-eval", ("    return loss", f"    {other}.eval()\n    return loss"), _EVAL),
        ("left-frozen", ("    return loss", f"    {other}.requires_grad_(False)\n    return loss"),
         _FROZEN),
    ):  # fmt: skip
        exercise.mistake(name, edit=edit, hint=hint)
    also = {
        "generator": "The generator's weights changed too, downhill on the discriminator's loss: "
        "it learns to be recognised. Detach its images, and step only the optimizer that was "
        "passed.",
        "discriminator": "The discriminator's weights changed too, downhill on the generator's "
        "loss: it learns to be fooled. Step only the optimizer that was passed.",
    }[other]
    cut = [(".detach()", "")] if other == "generator" else []
    edit = [*cut, ("    return loss", trained_too)]
    exercise.mistake("both-trained", edit=edit, hint=also)


# --- discriminator_step ----------------------------------------------------------------------


def discriminator_step(generator, discriminator, optimizer, real, latent):
    fake = generator(latent).detach()  # images without a history: the generator is a given here
    real_logits, fake_logits = discriminator(real), discriminator(fake)
    loss = discriminator_loss(real_logits, fake_logits)
    optimizer.zero_grad()  # the generator's last step left gradients in the discriminator
    loss.backward()
    optimizer.step()
    return loss.item()


def _discriminator_case(g):
    generator, discriminator, real, latent = _players(g)
    return generator, discriminator, _descent(discriminator), real, latent


def _observe_discriminator(function, args):
    generator, discriminator, optimizer, *_ = args
    return _observe_step(discriminator, generator, optimizer, lambda: function(*args), clean=True)


def _own_discriminator_optimizer(generator, discriminator, optimizer, real, latent):
    own = torch.optim.Adam(discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    return discriminator_step(generator, discriminator, own, real, latent)


_LOSS = "discriminator_loss(real_logits, fake_logits)"  # what wrong losses stand in for

d_step = Exercise(
    discriminator_step,
    inputs=_discriminator_case,
    returns="a float, the loss before the step; only the discriminator changes, and no gradient "
    "is left behind in the generator",
    observe=_observe_discriminator,
    explain=_explain_step("discriminator", "generator"),
    chapter=6, minutes=10, difficulty=2, cases=3,
)  # fmt: skip
d_step.mistake("detach-missing", edit=(".detach()", ""),
               hint="The weights are right, but a gradient is left behind in the generator: its "
                    "images were not detached. Backward went through it for nothing, and what it "
                    "left will be in the way if the generator's step does not zero it.")
_steps(d_step, "generator")
d_step.mistake("own-optimizer", function=_own_discriminator_optimizer,
               hint=_OWN_OPTIMIZER)
d_step.mistake("labels-swapped",
               edit=(_LOSS, "discriminator_loss(fake_logits, real_logits)"),
               hint="The labels are swapped: this teaches the discriminator to call real images "
                    "fake. Real is 1, generated is 0.")
d_step.mistake("all-real", edit=(_LOSS, "discriminator_loss(real_logits, -fake_logits)"),
               hint="Generated images have the target 1, which is the generator's wish. For the "
                    "discriminator they are 0.")
d_step.mistake("real-half-only", edit=(_LOSS, "F.softplus(-real_logits).mean()"),
               hint="Only the real images count. The discriminator learns to call everything "
                    "real: add the half of the generated ones.")
d_step.mistake("fake-half-only", edit=(_LOSS, "F.softplus(fake_logits).mean()"),
               hint="Only the generated images count. The discriminator learns to call everything "
                    "fake: add the half of the real ones.")
d_step.mistake("real-twice", edit=("discriminator(fake)", "discriminator(real)"),
               hint="The real images are used for both halves: the generator never plays.")
d_step.mistake("sigmoid-first",
               edit=(_LOSS, "discriminator_loss(real_logits.sigmoid(), fake_logits.sigmoid())"),
               hint=_SIGMOID_FIRST)
d_step.mistake("halved", edit=("loss.backward()", "loss = loss / 2\n    loss.backward()"),
               hint="The two halves were averaged (or pooled in one batch); here they are added. "
                    "It doubles the loss, and the step.")
d_step.mistake("summed",
               edit=(_LOSS, "F.softplus(-real_logits).sum() + F.softplus(fake_logits).sum()"),
               hint=_SUMMED)
d_step.mistake("sign", edit=("loss.backward()", "loss = -loss\n    loss.backward()"),
               hint="The sign of the loss is wrong: an optimizer minimises.")
d_step.mistake("generator-loss-returned",
               edit=("loss.item()", "F.softplus(-fake_logits).mean().item()"),
               hint="The discriminator is trained correctly, but the number returned is the "
                    "generator's loss.")
d_step.must("images-and-adam", _same_with_adam_and_images(discriminator_step, "discriminator"),
            hint=_ADAM)
d_step.must("sure-and-wrong", _step_survives("discriminator"),
            hint="With a discriminator that is sure and wrong (logits of 200) the loss must be "
                 "about 200 and the weights finite: compute the loss from the logits.")

# --- generator_step --------------------------------------------------------------------------


def generator_step(generator, discriminator, optimizer, latent):
    fake_logits = discriminator(generator(latent))  # no detach: the gradient must come through
    loss = generator_loss(fake_logits)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


def _generator_case(g):
    generator, discriminator, _, latent = _players(g)
    return generator, discriminator, _descent(generator), latent


def _observe_generator(function, args):
    generator, discriminator, optimizer, _ = args
    return _observe_step(generator, discriminator, optimizer, lambda: function(*args), clean=False)


def _own_generator_optimizer(generator, discriminator, optimizer, latent):
    own = torch.optim.Adam(generator.parameters(), lr=2e-4, betas=(0.5, 0.999))
    return generator_step(generator, discriminator, own, latent)


g_step = Exercise(
    generator_step,
    inputs=_generator_case,
    returns="a float, the non-saturating loss before the step; only the generator changes",
    observe=_observe_generator,
    explain=_explain_step("generator", "discriminator"),
    chapter=6, minutes=8, difficulty=2, cases=3,
)  # fmt: skip
g_step.mistake("detach-present", edit=("generator(latent))", "generator(latent).detach())"),
               hint="The generator's weights do not move: its images were detached (or made under "
                    "no_grad), so no gradient comes back to it. In this step the gradient has to "
                    "pass through the discriminator into the generator.")
_steps(g_step, "discriminator")
g_step.mistake("own-optimizer", function=_own_generator_optimizer,
               hint=_OWN_OPTIMIZER)
g_step.mistake("saturating",
               edit=("generator_loss(fake_logits)", "-F.softplus(fake_logits).mean()"),
               hint="This is the saturating loss, log(1 − D(fake)): nearly flat as long as the "
                    "discriminator recognises every image. Use −log D(fake).")
g_step.mistake("labels-swapped", edit=("(fake_logits)", "(-fake_logits)"),
               hint="The generator's images have the target 0: it learns to be recognised as a "
                    "fake. Its wish is 1, real.")
g_step.mistake("sigmoid-first", edit=("(fake_logits)", "(fake_logits.sigmoid())"),
               hint=_SIGMOID_FIRST)
g_step.mistake("minus-probability",
               edit=("generator_loss(fake_logits)", "-fake_logits.sigmoid().mean()"),
               hint="The loss is −D(fake) without the logarithm: flat where every image is "
                    "recognised.")
g_step.mistake("averaged-too-early",
               edit=("(fake_logits)", "(fake_logits.mean())"),
               hint=_TOO_EARLY)
g_step.mistake("summed", edit=("generator_loss(fake_logits)", "F.softplus(-fake_logits).sum()"),
               hint=_SUMMED)
g_step.mistake("halved", edit=("loss.backward()", "loss = loss / 2\n    loss.backward()"),
               hint="The loss was halved: there is only one half in this step.")
g_step.mistake("sign", edit=("loss.backward()", "loss = -loss\n    loss.backward()"),
               hint="The sign of the loss is wrong: an optimizer minimises, and log D(fake) is to "
                    "become large.")
g_step.must("images-and-adam", _same_with_adam_and_images(generator_step, "generator"),
            hint=_ADAM)
g_step.must("all-recognised", _step_survives("generator"),
            hint="With a discriminator that is sure (logits of −200) the loss must be about 200 "
                 "and the weights finite: compute the loss from the logits.")

# --- modes_covered ---------------------------------------------------------------------------


def modes_covered(samples, centers, radius):
    distances = torch.cdist(samples, centers)  # (N, M): each sample to each centre
    near = distances <= radius
    return int(near.any(dim=0).sum())  # centres with at least one sample


def _a_crowd(g):
    r"""A few crowded points; the radius lies in the gap between two distances."""
    count, modes = draw.sizes(g, count=2, low=5, high=14)
    samples, centers = (draw.normal(g, n, 2, scale=2) for n in (count, modes))
    distances = torch.cdist(samples, centers)
    order = distances.min(dim=0).values.sort().values  # of each centre's nearest sample
    place = draw.integer(g, modes // 3, 2 * modes // 3 - 1)
    low, high = order[place], order[place + 1]
    between = distances[(distances > low) & (distances < high)]
    steps = torch.cat([low[None], between.sort().values, high[None]])
    widest = (steps[1:] - steps[:-1]).argmax()
    return samples, centers, float((steps[widest] + steps[widest + 1]) / 2)


def _nearest_without_radius(samples, centers, radius):
    return len(torch.cdist(samples, centers).argmin(dim=1).unique())


def _mean_near(samples, centers, radius):
    return int(((samples.mean(dim=0) - centers).norm(dim=1) <= radius).sum())


_TWO = torch.tensor([[0.0, 0.0], [5.0, 0.0]])


def _covers(expected, samples, radius, centers=_TWO):
    return lambda function: function(samples.clone(), centers.clone(), radius) == expected


modes = Exercise(
    modes_covered,
    inputs=_a_crowd,
    returns="a whole number: how many centres have at least one sample at a distance of at most "
    "the radius",
    chapter=6, minutes=7, difficulty=1, cases=8,
)  # fmt: skip
modes.mistake("nearest-without-radius", function=_nearest_without_radius,
              hint="This counts the centres that are some sample's nearest, however far away: a "
                   "sample in the middle of nowhere covers a mode. The radius was not used.")
modes.mistake("nearest-only",
              edit=("near = distances <= radius",
                    "near = distances <= radius\n    near &= "
                    "F.one_hot(distances.argmin(dim=1), len(centers)).bool()"),
              hint="Each sample counts for its nearest centre only. A centre is covered by any "
                   "sample within the radius, also one that lies nearer to another centre.")
modes.mistake("good-samples", edit=("dim=0", "dim=1"),
              hint="This is the number of *samples* that lie near some centre. The centres are to "
                   "be counted: `any` over the other axis.")
modes.mistake("pairs", edit=("near.any(dim=0)", "near"),
              hint="This counts the pairs of a sample and a centre that are near each other: a "
                   "crowded centre counts many times. Each centre counts once.")
modes.mistake("all-samples", edit=(".any", ".all"),
              hint="A centre counts only if *all* samples are near it. One is enough.")
modes.mistake("crowds-only", edit=("near.any(dim=0)", "(near.sum(dim=0) > 1)"),
              hint="A centre with a single sample near it was not counted. One is enough.")
modes.mistake("missing-counted", edit=("return int", "return len(centers) - int"),
              hint="This is the number of centres that are *not* covered.")
modes.mistake("outside", edit=("<=", ">"),
              hint="The comparison is the wrong way round: near means distance ≤ radius.")
modes.mistake("squared-distance",
              edit=("torch.cdist(samples, centers)", "torch.cdist(samples, centers).square()"),
              hint="The squared distance is compared with the radius: take the root, or square "
                   "the radius.")
modes.mistake("manhattan", edit=("samples, centers)", "samples, centers, p=1)"),
              hint="The distances along the two axes are added (a diamond). The distance in the "
                   "plane is the root of the sum of squares.")
modes.mistake("box", edit=("samples, centers)", "samples, centers, p=math.inf)"),
              hint="Each axis is compared with the radius on its own (a square, whose corners are "
                   "too far away).")
modes.mistake("one-axis",
              edit=("torch.cdist(samples, centers)",
                    "(samples[:, None] - centers).abs().amin(dim=-1)"),
              hint="A sample counts if it is near in one of the two coordinates. Near means both: "
                   "the distance in the plane.")
modes.mistake("diameter", edit=("<= radius", "<= radius / 2"),
              hint="Half the radius was used: `radius` is the radius, not the diameter.")
modes.mistake("mean-of-the-samples", function=_mean_near,
              hint="The samples were averaged first. The average of a perfect ring lies in its "
                   "empty middle: each sample counts on its own.")
modes.mistake("share", edit=("int(near.any(dim=0).sum())", "near.any(dim=0).float().mean().item()"),
              hint="This is the share of centres; their number is asked for.")
modes.mistake("not-an-int", edit=("int(near.any(dim=0).sum())", "near.any(dim=0).sum()"),
              hint="The count is right, but it is a tensor or a float; a plain whole number is "
                   "asked for: int(…) around it.")
modes.must("far-away", _covers(0, torch.full((4, 2), 100.0), 1.0),
           hint="All samples are 100 away from all centres: 0 modes.")
modes.must("repeated", _covers(1, torch.zeros(50, 2), 1.0),
           hint="Fifty samples on one of two centres: 1 mode.")
modes.must("one-is-enough", _covers(2, torch.cat([torch.zeros(999, 2), _TWO[1:] + 0.3]), 0.5),
           hint="999 samples on one centre, one on the other: 2 modes. One sample is enough, "
                "whatever its share.")
modes.must("overlap", _covers(2, torch.tensor([[0.6, 0.0]]), 0.8,
                              torch.tensor([[0.0, 0], [1, 0], [9, 0]])),
           hint="One sample at (0.6, 0), centres at 0, 1 and 9 on the axis, radius 0.8: it is "
                "near two of them, so the answer is 2.")
modes.must("on-the-border", _covers(2, torch.tensor([[0.0, 0.0], [2.0, 4.0]]), 5.0),
           hint="A sample at a distance of exactly the radius, (2, 4) from (5, 0) with radius 5, "
                "counts: at most the radius, so ≤ and not <.")
