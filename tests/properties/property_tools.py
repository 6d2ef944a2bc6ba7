"""What the property-based tests share: tensors of all kinds, and what counts as a clear refusal.

An ordinary run repeats the same few examples each time. To search for longer, with new ones:
VAE_COURSE_EXAMPLES=2000 python -m pytest -n 0 tests/properties
"""

import inspect
import os
import re

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor

LONG = "VAE_COURSE_EXAMPLES" in os.environ
EXAMPLES = int(os.environ.get("VAE_COURSE_EXAMPLES", 20))
SIMPLIFIED = os.environ.get("VAE_COURSE_SHRINK") != "0"  # benchmarks.mutations has no use for it
settings.register_profile(
    "vae-course",
    max_examples=EXAMPLES,
    derandomize=not LONG,
    database=None,
    deadline=None,
    phases=list(Phase)[: None if SIMPLIFIED else list(Phase).index(Phase.shrink)],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
settings.load_profile("vae-course")

FLOATS = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
WHOLE = [torch.int64, torch.int32, torch.uint8, torch.bool]
NOT_WHOLE = [-1, 2.5, None, "3", True, float("nan")]
NOT_COUNTS = [0, *NOT_WHOLE]
seeds = st.integers(0, 2**31 - 1)


# ------------------------------------------------------------------------------------ tensors

sizes = st.integers(1, 4)
dtypes = st.sampled_from(FLOATS)
layouts = st.sampled_from(["plain", "plain", "turned", "with gaps", "with an offset", "stretched"])


@st.composite
def tensors(draw, shape, *, dtype=torch.float32, low=-4.0, high=4.0, special=()):
    """A tensor of this shape, in any memory layout; `special` values may be among its numbers."""
    numbers = st.floats(low, high, allow_subnormal=False)
    elements = numbers if not special else st.one_of(numbers, st.sampled_from(special))
    array = draw(hnp.arrays(np.float64, shape, elements=elements))
    return laid_out(torch.from_numpy(array).to(dtype), draw(layouts), draw(st.booleans()))


def laid_out(tensor, layout, requires_grad=False):
    """The same numbers, lying differently in memory."""
    if layout == "turned" and tensor.dim() > 1:
        tensor = tensor.transpose(0, -1).contiguous().transpose(0, -1)
    elif layout == "with gaps":
        tensor = torch.stack([tensor, tensor + 1], dim=-1)[..., 0]
    elif layout == "with an offset":
        tensor = torch.cat([torch.full((3,), 7.0).to(tensor), tensor.flatten()])[3:].view(
            tensor.shape
        )
    elif layout == "stretched" and tensor.dim() and len(tensor) > 1:
        tensor = tensor[:1].expand(tensor.shape)
    return tensor.requires_grad_(requires_grad and tensor.is_floating_point())


def image_shapes(most=3):
    """(batch, …) with 1 to `most` further dimensions."""
    return st.lists(sizes, min_size=2, max_size=1 + most).map(tuple)


@st.composite
def unlike(draw, shape):
    """Another shape, one that would broadcast against `shape` if nobody looked."""
    shape = tuple(shape)
    ways = [(1, *shape), (3, *shape), shape[1:], (*shape, 1), (*shape[:-1], shape[-1] + 1)]
    ways += [(*shape[:axis], 1, *shape[axis + 1 :]) for axis in range(len(shape))]
    ways += [tuple(reversed(shape)), ()]
    return draw(st.sampled_from([way for way in ways if way != shape]))


def ones(shape, dtype=torch.float32):
    return torch.ones(shape, dtype=dtype)


# --------------------------------------------------------------------------------- judgements


def call(function, *args, **options):
    """What the function returns; its arguments and the global random numbers stay as they were."""
    tensors = [a for a in (*args, *options.values()) if isinstance(a, Tensor)]
    before = [tensor.detach().clone() for tensor in tensors]
    state = torch.get_rng_state()
    result = function(*args, **options)
    for tensor, copy in zip(tensors, before):
        assert torch.equal(tensor.detach().nan_to_num(), copy.nan_to_num()), "changed its argument"
        assert not tensor.is_leaf or tensor.grad is None
    assert torch.equal(torch.get_rng_state(), state), "drew from the global random numbers"
    return result


def agree(found, expected, *, terms=None, slack=16):
    """Equal up to rounding: of the size of `terms` (by default the result) in found's dtype."""
    assert found.shape == expected.shape, (found.shape, expected.shape)
    info = torch.finfo(found.dtype)
    size = (expected if terms is None else terms).detach().double().abs()
    exact = expected.detach().double()
    fits = size < info.max / 8  # elsewhere the dtype has no such number
    error = (found.detach().double() - exact).abs()
    bound = slack * (info.eps * size + info.tiny)
    # Never a finite number that is wrong: what is too large may be inf or NaN.
    right = (error <= bound) | (~fits & (~found.isfinite() | (error <= bound)))
    assert right.all(), f"{found} instead of {exact}, off by {error} where {bound} is rounding"


def refused(function, *args, words="", **options):
    """The function raises ValueError or TypeError, with a message that says what came."""
    with pytest.raises((ValueError, TypeError)) as caught:
        function(*args, **options)
    message = str(caught.value)
    assert type(caught.value) in (ValueError, TypeError), type(caught.value)
    assert len(message) > 15, f"says too little: {message!r}"
    assert re.search(words, message), f"{message!r} does not say {words!r}"
    return message


STRANGE = {  # what comes instead of a tensor, and the word that must be said about it
    "None": (None, "None"),
    "a list": ([[0.5, 0.5]], "list"),
    "an array": (np.full((2, 2), 0.5), "ndarray"),
    "a text": ("0.5", "str|0\\.5"),
}
strange = pytest.mark.parametrize("wrong, words", STRANGE.values(), ids=STRANGE.keys())


def refuses_in_place_of(function, args, wrong, words, *, places=None, **options):
    """Each of the arguments in turn is replaced by something that does not belong there."""
    for place in range(len(args)) if places is None else places:
        given = [*args[:place], wrong, *args[place + 1 :]]
        refused(function, *given, words=words, **options)


# ----------------------------------------------------------------------------------- coverage


class Covers:
    """Notes which public names have a property test: @covers("name", …) above it."""

    def __init__(self, module):
        self.module, self.seen = module, set()

    def __call__(self, *names):
        self.seen.update(names)
        return lambda test: test

    def check(self):
        public = getattr(self.module, "__all__", None) or [
            name
            for name, thing in vars(self.module).items()
            if (inspect.isfunction(thing) or inspect.isclass(thing))
            and thing.__module__ == self.module.__name__
            and not name.startswith("_")
        ]
        assert public and not set(public) - self.seen, "public, without a property test"
        assert not self.seen - set(public), "tested as public, but is not"
