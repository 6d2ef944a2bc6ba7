"""What several tests need of torch: seeded generators, a small VAE, weights and checkpoints."""

import torch

from vae_course import losses, models
from vae_course.training.checkpoints import read_checkpoint


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def small_vae(hidden=6):
    torch.manual_seed(7)
    return models.VAE.dense(2, hidden=hidden)


def elbo_loss(model, image):
    logits, mean, log_var = model(image)
    return losses.negative_elbo(logits, image, mean, log_var)


def weights(module):
    """A copy of all trainable numbers, one after the other."""
    return torch.cat([p.detach().flatten() for p in module.parameters()])


def contents(path):
    """(all tensors, what the header says but for times and command lines) of a checkpoint."""
    found = read_checkpoint(path)
    state = {k: v for k, v in found.state.items() if k not in ("seconds", "commands")}
    state["rows"] = [{k: v for k, v in row.items() if k != "seconds"} for row in state["rows"]]
    return found.tensors, state


def assert_same_checkpoint(first, second):
    (tensors, state), (others, other_state) = contents(first), contents(second)
    assert state == other_state and tensors.keys() == others.keys()
    for name, tensor in tensors.items():
        assert torch.equal(tensor, others[name]), name
