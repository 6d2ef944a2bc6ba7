r"""What the two training steps of chapter 06 share: small networks, and a look at what a step did.

A step is judged by what it changes (weights), what it leaves behind (gradients, modes, flags) and
what it returns, never by how it is written.
"""

import torch
import torch.nn.functional as F
from torch import nn

from . import _draw as draw

RATE = 0.5  # of the optimizer in the cases: plain gradient descent, so that a step can be compared


class Player(nn.Module):
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


def players(generator):
    r"""(generator, discriminator, real, latent) of a small game, with stale gradients."""
    batch, pixels, latent_dim, hidden, width = draw.sizes(generator, count=5, low=3, high=9)
    generator_network = Player(generator, (latent_dim, hidden, pixels), last=nn.Sigmoid())
    discriminator = Player(generator, (pixels, width, 1), last=nn.Flatten(start_dim=0))
    real, latent = draw.pixels(generator, batch, pixels), draw.normal(generator, batch, latent_dim)
    return generator_network, discriminator, real, latent


def descent(network):
    return torch.optim.SGD(network.parameters(), lr=RATE)


def flat(tensors):
    return torch.cat([tensor.detach().flatten() for tensor in tensors]).clone()


def _gradients(network):
    return flat(torch.zeros_like(p) if p.grad is None else p.grad for p in network.parameters())


def observe_step(learner, other, optimizer, call, *, clean):
    r"""What two calls of a step do. learner should change, other not.

    clean: whether no gradient may be left in `other`. None, zeros and what was there before are
        all clean.
    """
    steps = []
    hook = optimizer.register_step_post_hook(lambda *_: steps.append(1))
    before = {name: flat(net.parameters()) for name, net in _named(learner, other)}
    left_before = _gradients(other)
    modes = [module.training for net in (learner, other) for module in net.modules()]
    value = call()
    left = _gradients(other)
    first = {name: flat(net.parameters()) for name, net in _named(learner, other)}
    taken = len(steps)
    kept = [module.training for net in (learner, other) for module in net.modules()] == modes
    frozen = any(not p.requires_grad for net in (learner, other) for p in net.parameters())
    kind = _kind(value)
    loss = value.detach() if isinstance(value, torch.Tensor) else value
    again = call()
    hook.remove()
    fields = {
        "value": loss,
        "kind_of_number": kind,
        "steps_of_the_optimizer": str(taken),
        "change_of_the_other_network": first["other"] - before["other"],
        "change_of_the_learner": (before["learner"] - first["learner"]) / RATE,
    }
    if clean:
        is_clean = bool(torch.equal(left, left_before) or not left.any())
        fields["gradient_left_in_the_other"] = "none" if is_clean else "some"
    second = (first["learner"] - flat(learner.parameters())) / RATE
    return fields | {
        "modes": "as before" if kept else "changed",
        "requires_grad": "False somewhere" if frozen else "as before",
        "value_of_a_second_call": again.detach() if isinstance(again, torch.Tensor) else again,
        "change_of_a_second_call": second,
    }


def _named(learner, other):
    return (("learner", learner), ("other", other))


def _kind(value):
    if isinstance(value, torch.Tensor):
        return "a tensor with a graph" if value.requires_grad else "a tensor"
    return "a plain number"


def explain_step(learner, other):
    r"""A sentence for each field, with the names of the two networks."""
    return {
        "value": f"The number returned is not the {learner}'s loss before the step.",
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
        "value_of_a_second_call": "The first call is right, the second is not: something is "
        "carried over from one call to the next, an old gradient perhaps.",
        "change_of_a_second_call": "The first call is right, the second is not: something is "
        "carried over from one call to the next, an old gradient perhaps.",
    }


def cut(latent, generator, *, detach):
    return generator(latent).detach() if detach else generator(latent)


def finish(slips, optimizer, loss, learner, other, value):
    r"""zero, backward, step and return, as the slips say."""
    if "gradients-not-zeroed" not in slips:
        optimizer.zero_grad()
    (-loss if "climbs" in slips else loss).backward()
    if "zeroed-too-late" in slips:
        optimizer.zero_grad()
    if "no-step" not in slips:
        optimizer.step()
    if "two-steps" in slips:
        optimizer.step()
    if "both-trained" in slips:
        with torch.no_grad():
            for weight in other.parameters():
                if weight.grad is not None:
                    weight -= RATE * weight.grad
    if "left-in-eval" in slips:
        other.eval()
    if "left-frozen" in slips:
        other.requires_grad_(False)
    if "returns-a-tensor" in slips:
        return value
    return value.item()


def halves(slips, real_logits, fake_logits):
    r"""The discriminator's loss with its slips."""
    real_target = torch.ones_like(real_logits)
    fake_target = torch.zeros_like(fake_logits)
    if "labels-swapped" in slips:
        real_target, fake_target = 1 - real_target, 1 - fake_target
    if "all-real" in slips:
        fake_target = torch.ones_like(fake_logits)
    if "smoothed" in slips:
        real_target = 0.9 * real_target
    if "sigmoid-first" in slips:
        real_logits, fake_logits = real_logits.sigmoid(), fake_logits.sigmoid()
    if "averaged-too-early" in slips:
        real_logits, fake_logits = real_logits.mean(), fake_logits.mean()
        real_target, fake_target = real_target.mean(), fake_target.mean()
    how = "sum" if "summed" in slips else "none" if "per-image" in slips else "mean"
    cross_entropy = F.binary_cross_entropy_with_logits
    real = cross_entropy(real_logits, real_target, reduction=how)
    fake = cross_entropy(fake_logits, fake_target, reduction=how)
    if "per-image" in slips and len(real) != len(fake):
        fake = fake.mean()
    if "real-half-only" in slips:
        loss = real
    elif "fake-half-only" in slips:
        loss = fake
    elif "difference" in slips:
        loss = real - fake
    else:
        loss = real + fake
    loss = loss / 2 if "halved" in slips else loss
    return -loss if "sign" in slips else loss


def fooled(slips, fake_logits):
    r"""The generator's loss with its slips."""
    fake_logits = fake_logits.sigmoid() if "sigmoid-first" in slips else fake_logits
    fake_logits = fake_logits.mean() if "averaged-too-early" in slips else fake_logits
    if "saturating" in slips:
        loss = -F.softplus(fake_logits)
    elif "labels-swapped" in slips:
        loss = F.softplus(fake_logits)
    else:
        loss = F.softplus(-fake_logits)
    if "per-image" not in slips:
        loss = loss.sum() if "summed" in slips else loss.mean()
    loss = loss / 2 if "halved" in slips else loss
    return -loss if "sign" in slips else loss
