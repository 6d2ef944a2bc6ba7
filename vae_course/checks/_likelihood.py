r"""What the exercises on likelihoods and bounds share: inputs, and properties of right answers.

Of a wrong answer that nobody listed, the first property that fails is told. So they go from what
is plain to see (one image, one pixel, a number known by heart) to what is not (an overflow).
"""

import math

import torch

from . import _draw as draw

SHAPES = ((6,), (1, 4, 3), (2, 3, 5))  # of one image: flat, grey, in colour


def image_case(generator):
    r"""Logits and image, (B, P), (B, 1, H, W), (B, 2, H, W): consecutive seeds, all three."""
    batch, first, second = draw.sizes(generator, count=3, low=3, high=8)
    kinds = ((first,), (1, first, second), (2, first, second))
    shape = (batch, *kinds[generator.initial_seed() % 3])
    image = draw.pixels(generator, *shape)
    return draw.normal(generator, *shape, scale=1.5), image


def fixed_image(*shape):
    generator = torch.Generator().manual_seed(9)
    return draw.normal(generator, *shape), draw.pixels(generator, *shape)


def close(value, expected) -> bool:
    value = torch.as_tensor(value).detach().double()
    expected = torch.as_tensor(expected).detach().double()
    return value.shape == expected.shape and torch.allclose(value, expected, rtol=1e-3, atol=1e-3)


def follows(function, *args, step=1e-2) -> bool:
    r"""Autograd against a small step, one argument at a time: right for a wrong formula too."""
    args = [arg.double() for arg in args]
    for index, arg in enumerate(args):
        leaf = arg.clone().requires_grad_()
        function(*args[:index], leaf, *args[index + 1 :]).sum().backward()
        move = step * torch.linspace(0.5, 1.5, arg.numel(), dtype=arg.dtype).view_as(arg)
        ahead, behind = (
            function(*args[:index], arg + sign * move, *args[index + 1 :]).sum() for sign in (1, -1)
        )
        slope, expected = float((leaf.grad * move).sum()), float(ahead - behind) / 2
        if not math.isclose(slope, expected, rel_tol=0.02, abs_tol=2e-4):
            return False
    return True


def stand_alone(function, *args, dim=0) -> bool:
    r"""The answer for a batch is that of its images one by one, in order."""
    parts = [function(*(a.narrow(dim, i, 1) for a in args)) for i in range(args[0].shape[dim])]
    whole = function(*args)
    return whole.dim() == 1 and close(whole, torch.stack(parts).reshape(-1))


def pixel(function, logit, value) -> float:
    r"""The answer for one image of one pixel, as a number."""
    return float(function(torch.tensor([[float(logit)]]), torch.tensor([[float(value)]])))


def far_logits(shape=(3, 4)):
    r"""Sure and wrong, sure and right, in one batch: (logits, image, nats of each image)."""
    sign = torch.tensor([[1.0], [-1.0], [1.0]]).expand(shape)
    image = torch.tensor([[0.0], [1.0], [1.0]]).expand(shape)
    return 200.0 * sign, image.clone(), torch.tensor([200.0, 200.0, 0.0]) * shape[1]
