"""What a good argument is: each check lets the good pass, and says what came, and what to do."""

import math

import pytest
import torch
from torch import nn

from vae_course import require

ones = torch.ones


def refused(check, *args, words, error=ValueError, **given):
    with pytest.raises(error, match=words):
        check(*args, **given)


@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 1, 4, 4)])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_pixels_are_those_in_0_to_1_and_nan_is_named_first(shape, dtype):
    image = torch.rand(shape, dtype=torch.float32).to(dtype)
    assert require.pixels(image=image) is None
    for wrong, words in [(math.inf, "inf"), (-math.inf, "-inf"), (-0.125, "-0.125"), (255.0, "255"),
                         (math.nan, r"holds 1 NaN, the first at \[")]:  # fmt: skip
        if image.numel():
            spoiled = image.clone()
            spoiled.view(-1)[-1] = wrong
            refused(require.pixels, image=spoiled, words=words)


@pytest.mark.parametrize("thing, words", [
    (None, "None"), ([1.0], "a list"), (torch.ones(2).long(), r"int64; .* floats: x.float\(\)"),
    (torch.ones(2).byte(), r"x.float\(\) / 255"), (torch.ones(2).cfloat(), "complex64"),
])  # fmt: skip
@pytest.mark.parametrize("check", [require.floats, require.batch, require.not_empty,
                                   require.pixels, require.same_shape])  # fmt: skip
def test_what_is_no_tensor_of_floats_is_named_everywhere(check, thing, words):
    refused(check, x=thing, words=words, error=TypeError)


def test_shapes():
    require.shape(("B", "T", 5), x=ones(2, 0, 5))
    refused(require.shape, ("B", "T", 5), x=ones(2, 5), words=r"\(2, 5\); expected \(B, T, 5\)")
    refused(require.shape, ("B", "T", 5), x=ones(2, 3, 4), words=r"\(2, 3, 4\)")
    refused(require.shape, ("K", "B"), x=ones(0, 3), least=1, words="K ≥ 1")
    require.same_shape(a=ones(2, 3), b=ones(2, 3))
    refused(require.same_shape, a=ones(2, 3), b=ones(2, 1), words=r"a \(2, 3\), b \(2, 1\)")
    refused(require.same_shape, a=ones(3), b=ones(3), words=r"a\[None\]")
    require.same_shape(a=ones(()), b=ones(()), batch=False)
    refused(require.batch, x=ones(0, 2), words="expected a batch")
    refused(require.not_empty, x=ones(0), words="nothing to average")


@pytest.mark.parametrize("came, advice", [
    ((1, 28, 28), r"image\[None\]"), ((5, 28, 28, 1), "movedim"), ((5, 28, 28), "unsqueeze"),
    ((5, 3, 32, 32), r"image_shape=\(3, 32, 32\)"),
])  # fmt: skip
def test_an_image_of_another_shape_comes_with_the_way_out(came, advice):
    require.image_of((1, 28, 28), ones(5, 1, 28, 28))
    require.image_of(None, ones(came))
    refused(
        require.image_of, (1, 28, 28), ones(came), words=rf"expects \(B, 1, 28, 28\): .*{advice}"
    )


def test_whole_numbers_in_tensors():
    require.labels(torch.tensor([0, 2]), classes=3, latents=2)
    refused(require.labels, torch.tensor([0, 3]), classes=3, latents=2, words="0 to 2")
    refused(require.labels, torch.tensor([0]), classes=3, latents=2, words="one label for each")
    refused(require.labels, ones(2), classes=3, latents=2, words="integers", error=TypeError)
    refused(require.labels, [0, 1], classes=3, latents=2, words="a list", error=TypeError)
    require.whole_values(3, x=torch.tensor([0.0, 2.0]))
    refused(require.whole_values, 3, x=torch.tensor([0.0, 3.0]), words="0 to 2")
    refused(require.whole_values, x=torch.tensor([0.0, 2.5]), words="2.5; expected whole")
    refused(require.whole_values, x=torch.tensor([math.nan]), words="nan")
    require.levels(256, x=torch.arange(256) / 255)
    refused(require.levels, 256, x=torch.tensor([0.5]), words="round after resizing")


def test_single_values():
    require.count(epochs=1)
    refused(require.count, epochs=0, words="epochs is 0; expected 1 or more")
    refused(require.count, epochs=1.5, words="1.5", error=TypeError)
    refused(require.count, epochs=True, words="True", error=TypeError)
    require.number(rate=0.5, least=0, most=1)
    refused(require.number, rate=2.0, least=0, most=1, words="0 or more, 1 or less")
    refused(require.number, rate="1", words="a str", error=TypeError)
    refused(require.positive, std=0, words="above 0")
    refused(require.seed, 2**63, words="below 2⁶³")
    refused(require.generator, 0, words="manual_seed", error=TypeError)


def test_networks_and_their_optimizers():
    model, other = nn.Linear(2, 2), nn.Linear(2, 2)
    require.network(model=model)
    refused(require.network, model=nn.Linear, words="the class Linear", error=TypeError)
    require.function(generator=model, judge=torch.sigmoid)
    refused(require.function, judge=nn.Linear, words="the class Linear", error=TypeError)
    refused(require.function, judge=3, words="a int", error=TypeError)
    require.optimizer_of(model, torch.optim.SGD(model.parameters(), lr=0.1))
    stranger = torch.optim.SGD(other.parameters(), lr=0.1)
    refused(require.optimizer_of, model, stranger, words="made for another one")
    refused(require.optimizer_of, model, torch.optim.SGD, words="the class SGD", error=TypeError)


def test_sets_of_examples():
    require.examples(images=ones(3, 2), labels=torch.arange(3), test_images=None)
    refused(
        require.examples, images=ones(3, 2), labels=torch.arange(2), words="one label per image"
    )
    refused(require.examples, images=ones(0, 2), words="at least one item")
    refused(require.examples, images=ones(3, 2).byte(), words="/ 255")


def test_sums_are_taken_in_float32_or_finer():
    half, double = ones(2).half(), ones(2).double()
    assert [t.dtype for t in require.common_floats(half, half.bfloat16())] == [torch.float32] * 2
    assert [t.dtype for t in require.common_floats(half, double)] == [torch.float64] * 2
