r"""What a good argument is: the one place that says it, a line at each call.

    require.same_shape(logits=logits, image=image)
    require.pixels(image=image)
    require.count(epochs=epochs, batch_size=batch_size)

Everything is passed by its name, which the message repeats: what came, what was expected, and what
to do about it. A wrong kind of thing is a TypeError, a wrong value or shape a ValueError.
"""

import functools
import math
from collections.abc import Iterable
from numbers import Integral, Real

import torch
from torch import Generator, Tensor, nn


def kind(thing: object) -> str:
    r"""What came, for a message: "a list", "None", "the class int"."""
    if thing is None:
        return "None"
    return f"the class {thing.__name__}" if isinstance(thing, type) else f"a {type(thing).__name__}"


def listed(given: dict[str, Tensor]) -> str:
    r"""For a message: "mean (3, 2), log_var (3, 4)"."""
    return ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in given.items())


# ------------------------------------------------------------------------- tensors of floats


def floats(**given: Tensor) -> None:
    r"""Tensors of floats, of any shape."""
    for name, value in given.items():
        if not isinstance(value, Tensor):
            raise TypeError(
                f"{name} is {kind(value)}; expected a torch.Tensor: torch.as_tensor may convert it"
            )
        if not value.is_floating_point():
            bytes_ = " / 255" if _like_bytes(value) else ""
            raise TypeError(
                f"{name} has dtype {value.dtype}; expected floats: {name}.float(){bytes_}"
            )


def _like_bytes(value: Tensor) -> bool:
    r"""Whether whole numbers are the bytes of pictures: of that dtype, or from 0 to 10 … 255."""
    if value.dtype == torch.uint8:
        return True
    if value.is_complex() or value.dtype == torch.bool or not value.numel():
        return False
    return bool(value.min() >= 0 and 10 <= value.max() <= 255)


def same_shape(*, batch: bool = True, **given: Tensor) -> None:
    r"""Floats of one shape, (batch, …) unless batch=False: nothing is broadcast by accident."""
    floats(**given)
    first, *others = given.values()
    if any(other.shape != first.shape for other in others):
        raise ValueError(f"expected the same shape everywhere, got {listed(given)}")
    if batch and first.dim() < 2:
        name = next(iter(given))
        raise ValueError(
            f"{name} has shape {tuple(first.shape)}; expected a batch, (batch, …): "
            f"add the batch dimension with {name}[None]"
        )


def batch(**given: Tensor) -> None:
    r"""Floats (B, …) with B ≥ 1, each of a shape of its own."""
    floats(**given)
    for name, value in given.items():
        if value.dim() < 2 or len(value) == 0:
            raise ValueError(f"{name} has shape {tuple(value.shape)}; expected a batch, (B, …)")


def not_empty(**given: Tensor) -> None:
    r"""Floats, at least one."""
    floats(**given)
    for name, value in given.items():
        if value.numel() == 0:
            raise ValueError(f"{name} has shape {tuple(value.shape)}; nothing to average over")


def shape(expected: tuple[int | str, ...], *, least: int = 0, **given: Tensor) -> None:
    r"""Floats of this shape, in which a word stands for any size: ("B", "T", 128).

    least: the smallest size of the first dimension
    """
    floats(**given)
    for name, value in given.items():
        sizes = tuple(value.shape)
        fits = len(sizes) == len(expected) and all(
            isinstance(wanted, str) or size == wanted
            for size, wanted in zip(sizes, expected, strict=True)
        )
        if not fits or sizes[0] < least:
            wanted = ", ".join(str(size) for size in expected) + "," * (len(expected) == 1)
            more = f" with {expected[0]} ≥ {least}" if least else ""
            raise ValueError(f"{name} has shape {sizes}; expected ({wanted}){more}")


def image_of(image_shape: tuple[int, ...] | None, image: Tensor) -> None:
    r"""A batch of the images (or rows) that a model was made for; None: of any."""
    if not isinstance(image, Tensor):
        raise TypeError(
            f"image is {kind(image)}; expected a torch.Tensor: torch.as_tensor may convert it"
        )
    came, wanted = tuple(image.shape), tuple(image_shape or image.shape[1:])
    if came[1:] == wanted:
        return
    if came == wanted:
        advice = "add the batch dimension with image[None]"
    elif len(wanted) == 3 and came[1:] == (*wanted[1:], wanted[0]):
        advice = "the channels come last: images.movedim(-1, 1)"
    elif wanted[:1] == (1,) and came[1:] == wanted[1:]:
        advice = "the channel dimension is missing: images.unsqueeze(1)"
    else:
        advice = f"resize them, or make the model with image_shape={came[1:]}"
    expected = ", ".join(str(size) for size in ("B", *wanted))
    raise ValueError(f"images have shape {came}; this model expects ({expected}): {advice}")


def pixels(**images: Tensor) -> None:
    r"""Floats in [0, 1]."""
    floats(**images)
    for name, image in images.items():
        if image.numel() == 0:
            continue
        low, high = (end.item() for end in image.detach().aminmax())  # both NaN if any pixel is
        if math.isnan(low):
            no_number = image.isnan()
            row = no_number.nonzero()[0].tolist()
            raise ValueError(
                f"{name} holds {int(no_number.sum())} NaN, the first at {row}; expected pixels in "
                "[0, 1]: look where the data, or the model that made them, first gives NaN"
            )
        if low < 0 or high > 1:
            raise ValueError(
                f"{name} values run from {low:.5g} to {high:.5g}; expected pixels in [0, 1]: "
                "divide bytes by 255; logits need .sigmoid(), the values of a tanh (images + 1) / 2"
            )


def dtype(expected: torch.dtype, **given: Tensor) -> None:
    r"""Tensors of this dtype."""
    for name, value in given.items():
        if value.dtype != expected:
            raise TypeError(
                f"{name} has dtype {value.dtype}, the network {expected}: {name}.to({expected})"
            )


def same_kind(*, real: Tensor, generated: Tensor) -> None:
    r"""Images of one shape, dtype and range, by which a discriminator can't tell them apart."""
    if real.shape[1:] != generated.shape[1:]:
        raise ValueError(
            f"real images have shape {tuple(real.shape)}, the generator's "
            f"{tuple(generated.shape)}: all but the first number must agree. Resize, or "
            "unsqueeze(1) a missing channel axis"
        )
    if real.dtype != generated.dtype:
        kind = generated.dtype
        raise ValueError(f"real images are {real.dtype}, the generator's {kind}: images.to({kind})")
    if real.dim() == 4:  # points, which are no images, may lie anywhere
        pixels(real=real)


def some_pixels(**images: Tensor) -> None:
    r"""Images of a size: a batch may be empty, its images not."""
    for name, image in images.items():
        if image.numel() == 0 and len(image):
            raise ValueError(f"{name} has shape {tuple(image.shape)}: no pixels to average over")


def levels(count: int, **images: Tensor) -> None:
    r"""Pixels in [0, 1] that are multiples of 1 / (count − 1), as those of files are."""
    pixels(**images)
    for name, image in images.items():
        exact = image.detach() * (count - 1)
        off = (exact - exact.round()).abs() > 0.05
        if off.any():
            raise ValueError(
                f"{name} holds {image[off][0]:.4g}, which is none of the {count} levels k / "
                f"{count - 1}: round after resizing, (images * {count - 1}).round() / {count - 1}"
            )


def same_latents(value: Tensor, **parameters: Tensor) -> None:
    r"""Means and log-variances for values (…, D): of their shape, or without its first sizes."""
    floats(value=value, **parameters)
    for name, given in parameters.items():
        alike = value.dim() > 0 and given.shape[-1:] == value.shape[-1:]
        if not alike or not _stretches(given, value.shape):
            raise ValueError(
                f"{name} has shape {tuple(given.shape)} and value {tuple(value.shape)}; expected "
                "the same, or what is left of it without its first dimensions"
            )


def _stretches(tensor: Tensor, to: torch.Size) -> bool:
    r"""Whether broadcasting makes the tensor as large as `to`, and no larger."""
    pairs = zip(reversed(tensor.shape), reversed(to), strict=False)
    return tensor.dim() <= len(to) and all(n in (1, m) for n, m in pairs)


def no_nan(**given: Tensor) -> None:
    r"""Floats without NaN; infinities may be among them."""
    floats(**given)
    for name, value in given.items():
        if value.isnan().any():
            row = value.isnan().nonzero()[0].tolist()
            raise ValueError(f"{name} holds NaN, the first at {row}: look where it comes from")


def directions(**vectors: Tensor) -> None:
    r"""Vectors (…, D) of one shape, none of them zero."""
    same_shape(**vectors, batch=False)
    for name, vector in vectors.items():
        if vector.dim() == 0:
            raise ValueError(f"{name} is a single number; expected the same shape (…, D)")
        if not (vector.norm(dim=-1) > 0).all():
            raise ValueError(f"{name} holds a zero vector: it has no direction to turn from")


def some_of(rows: int, **given: Tensor) -> None:
    r"""Which of the rows, (rows,) bool: some, not all."""
    for name, chosen in given.items():
        dtype = chosen.dtype if isinstance(chosen, Tensor) else kind(chosen)
        if dtype != torch.bool:
            raise ValueError(
                f"{name} is {dtype}; expected bool: integers would pick rows by number. "
                "Compare, as in values > threshold"
            )
        if chosen.shape != (rows,):
            raise ValueError(f"{name} has shape {tuple(chosen.shape)}; expected ({rows},)")
        if int(chosen.sum()) in (0, rows):
            raise ValueError(f"{name} holds for {int(chosen.sum())} of {rows}; expected some")


def std(std: float | Tensor, of: Tensor) -> Tensor:
    r"""A positive σ in the dtype of `of`: one for all values, or with as many dimensions as it."""
    if not isinstance(std, Tensor):
        number(std=std)
    std = torch.as_tensor(std, dtype=of.dtype, device=of.device)
    # As many dimensions: (batch,) would be stretched along the wrong axis.
    alone = std.numel() == 1 or std.dim() == of.dim()
    if not alone or not _stretches(std, of.shape):
        raise ValueError(f"std has shape {tuple(std.shape)}; expected () or {tuple(of.shape)}")
    if not (std > 0).all():
        raise ValueError(f"std must be positive, got {std.min():.3g}; pass log_std.exp()")
    return std


def common_floats(*tensors: Tensor) -> tuple[Tensor, ...]:
    r"""The tensors in one dtype, float32 or finer: what is summed in half precision is lost."""
    dtype = functools.reduce(torch.promote_types, (t.dtype for t in tensors), torch.float32)
    return tuple(tensor.to(dtype) for tensor in tensors)


# ------------------------------------------------------------------------ tensors of integers


def integers(*, dims: int, dtypes: tuple[torch.dtype, ...] = (), **given: Tensor) -> None:
    r"""Tensors of whole numbers with so many dimensions (bool is none)."""
    for name, value in given.items():
        if not isinstance(value, Tensor):
            raise TypeError(f"{name} is {kind(value)}; expected a torch.Tensor of whole numbers")
        dtype = value.dtype
        if dtype.is_floating_point or dtype.is_complex or dtype == torch.bool:
            raise TypeError(f"{name} has dtype {dtype}; expected integers: {name}.long()")
        if dtypes and dtype not in dtypes:
            raise TypeError(f"{name} has dtype {dtype}; expected int64: {name}.long()")
        if value.dim() != dims:
            raise ValueError(f"{name} has shape {tuple(value.shape)}; expected {dims} dimensions")


def below(limit: int, **given: Tensor) -> None:
    r"""Numbers from 0 to limit − 1."""
    for name, value in given.items():
        if value.numel() == 0:
            continue
        low, high = value.aminmax()
        if not (low >= 0 and high < limit):
            raise ValueError(f"{name} run from {low:g} to {high:g}; expected 0 to {limit - 1}")


def labels(label: Tensor, *, classes: int, latents: int) -> None:
    r"""One label in 0 … classes − 1 for each of the latents."""
    integers(label=label, dims=label.dim() if isinstance(label, Tensor) else 1)
    if label.shape != (latents,):
        raise ValueError(
            f"label has shape {tuple(label.shape)}; expected one label for each of the "
            f"{latents} latents, shape ({latents},)"
        )
    below(classes, labels=label)


def whole_values(limit: float = math.inf, **given: Tensor) -> None:
    r"""Whole numbers from 0 on, below `limit`, in a tensor of any dtype: classes and counts."""
    for name, value in given.items():
        if not isinstance(value, Tensor) or value.is_complex():
            raise TypeError(f"{name} is {kind(value)}; expected a torch.Tensor of whole numbers")
        broken = value != value.round() if value.is_floating_point() else value[:0]
        if broken.any():
            raise ValueError(f"{name} holds {value[broken][0]:g}; expected whole numbers")
        below(limit, **{name: value})


# ---------------------------------------------------------------------------- texts and tokens


def text(text: Iterable[str]) -> str:
    r"""One text: a str, or strings one after the other."""
    if isinstance(text, Iterable) and not isinstance(text, str | bytes | Tensor):
        text = list(text)
        if all(isinstance(part, str) for part in text):
            text = "".join(text)
    if not isinstance(text, str):
        raise TypeError(f"text is {kind(text)}; expected a str, such as the content of a file")
    return text


def token_list(tokens: Tensor | Iterable[int], vocabulary: int) -> list[int]:
    r"""Tokens in one row, (T,), as Python's integers in 0 … V − 1."""
    if not isinstance(tokens, Iterable) or (isinstance(tokens, Tensor) and tokens.dim() != 1):
        came = tuple(tokens.shape) if isinstance(tokens, Tensor) else kind(tokens)
        raise TypeError(f"tokens: got {came}; expected whole numbers in one row, (T,)")
    numbers = tokens.tolist() if isinstance(tokens, Tensor) else list(tokens)
    numbers = [n.item() if hasattr(n, "item") and n.ndim == 0 else n for n in numbers]
    for number in numbers:
        if not isinstance(number, int) or isinstance(number, bool):
            raise TypeError(f"among the tokens is {number!r}, {kind(number)}; expected integers")
        if not 0 <= number < vocabulary:
            raise ValueError(f"among the tokens is {number}; expected 0 to {vocabulary - 1}")
    return numbers


def tokens(tokens: Tensor, vocabulary: int, *, least: int = 0) -> None:
    r"""Integers below V in a table (B, T) with T ≥ least."""
    integers(tokens=tokens, dims=2, dtypes=(torch.int64, torch.int32))
    if tokens.shape[1] < least:
        raise ValueError(f"tokens have shape {tuple(tokens.shape)}; give at least one a sequence")
    if tokens.device.type == "cpu":  # a GPU's own kernel refuses them: here it would be waited for
        below(vocabulary, tokens=tokens)


def targets(targets: Tensor, *, logits: Tensor) -> None:
    r"""For logits (B, T, V): one of V characters at each position, (B, T) int64."""
    shape(("B", "T", "V"), logits=logits)
    integers(targets=targets, dims=2, dtypes=(torch.int64,))
    if logits.shape[:2] != targets.shape or targets.numel() == 0:
        raise ValueError(
            f"logits have shape {tuple(logits.shape)}, targets {tuple(targets.shape)}; expected "
            "(B, T, V) and (B, T), with at least one character"
        )
    if targets.device.type == "cpu":
        below(logits.shape[2], targets=targets)


def heads(**parts: Tensor) -> None:
    r"""Queries, keys and values of one shape (…, T, hs) and dtype."""
    floats(**parts)
    first, *others = parts.values()
    alike = all((part.shape, part.dtype) == (first.shape, first.dtype) for part in others)
    if not alike or first.dim() < 2 or first.shape[-1] == 0:
        came = ", ".join(f"{name} {tuple(part.shape)} {part.dtype}" for name, part in parts.items())
        raise ValueError(f"got {came}; expected the same shape (…, T, hs) and dtype in all")


def next_logits(logits: Tensor, temperature: float, top_k: int | None) -> None:
    r"""Logits (B, V) of which each row has one to draw, at a temperature ≥ 0, from top_k ≥ 1."""
    shape(("B", "V"), logits=logits)
    if logits.shape[1] == 0:
        raise ValueError(f"logits have shape {tuple(logits.shape)}; expected V ≥ 1 characters")
    if not isinstance(temperature, Real):
        raise TypeError(f"temperature is {kind(temperature)}; expected a number")
    if top_k is not None:
        count(top_k=top_k, least=-math.inf)
    if not 0 <= temperature < math.inf or (top_k is not None and top_k < 1):
        raise ValueError(f"got {temperature=}, {top_k=}; expected temperature ≥ 0 and top_k ≥ 1")
    largest = logits.amax(dim=-1)  # NaN if one in the row is
    if not largest.isfinite().all():
        raise ValueError(
            f"the largest logit of a row is {largest[~largest.isfinite()][0]:g}; expected a number "
            "in each row: a training that diverged?"
        )


# ------------------------------------------------------------------------------ single values


def count(*, least: int = 1, **given: int) -> None:
    r"""Whole numbers, `least` or more."""
    for name, value in given.items():
        if not isinstance(value, Integral) or isinstance(value, bool):
            came = f"{value!r}" if isinstance(value, Real) else kind(value)
            raise TypeError(f"{name} is {came}; expected a whole number")
        if value < least:
            raise ValueError(f"{name} is {value}; expected {least} or more")


def number(*, least: float = -math.inf, most: float = math.inf, **given: float) -> None:
    r"""Single finite numbers, from `least` to `most`."""
    for name, value in given.items():
        alone = isinstance(value, Tensor) and value.dim() == 0
        if not (alone or isinstance(value, Real)):
            raise TypeError(f"{name} is {kind(value)}; expected a number")
        if not (least <= value <= most and -math.inf < value < math.inf):
            bounds = [f"{least:g} or more"] * (least > -math.inf)
            bounds += [f"{most:g} or less"] * (most < math.inf)
            raise ValueError(
                f"{name} is {float(value):g}; expected a finite number{', ' * bool(bounds)}"
                f"{', '.join(bounds)}"
            )


def positive(**given: float) -> None:
    r"""Single finite numbers above 0."""
    number(**given)
    for name, value in given.items():
        if not value > 0:
            raise ValueError(f"{name} is {float(value):g}; expected a number above 0")


def seed(seed: int) -> None:
    r"""A whole number that torch can hold."""
    count(seed=seed, least=-(2**63))
    if seed >= 2**63:
        raise ValueError(f"seed is {seed}; expected a number below 2⁶³")


def generator(generator: Generator | None) -> None:
    r"""A source of random numbers, or None."""
    if generator is not None and not isinstance(generator, Generator):
        raise TypeError(
            f"generator is {kind(generator)}; expected torch.Generator().manual_seed(0), say"
        )


# ------------------------------------------------------------------- networks, and their training


def network(**given: nn.Module) -> None:
    r"""Instances of nn.Module."""
    for name, value in given.items():
        if not isinstance(value, nn.Module):
            raise TypeError(
                f"{name} is {kind(value)}; expected an nn.Module such as "
                "DenseAutoencoder(latent_dim=2)"
            )


def function(**given: object) -> None:
    r"""What can be called: networks and functions, no classes."""
    for name, value in given.items():
        if not callable(value) or isinstance(value, type):
            raise TypeError(f"{name} is {kind(value)}; expected a network, or a function")


def optimizer_of(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    r"""An optimizer that holds parameters of this model."""
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(
            f"optimizer is {kind(optimizer)}; expected an instance such as "
            "torch.optim.SGD(model.parameters(), lr=0.1)"
        )
    own = {id(p) for p in model.parameters()}
    if not any(id(p) in own for group in optimizer.param_groups for p in group["params"]):
        raise ValueError(
            "the optimizer holds no parameter of this model: it was made for another one. Make it "
            "again, after the model"
        )


def examples(**given: Tensor | None) -> None:
    r"""Images, labels, …: tensors of equally many rows, at least one; None is left out."""
    given = {name: tensor for name, tensor in given.items() if tensor is not None}
    for name, tensor in given.items():
        if not isinstance(tensor, Tensor):
            inside = [n for n in ("train_images", "images") if hasattr(tensor, n)]
            hint = f"pass its .{inside[0]}" if inside else "torch.as_tensor may convert it"
            raise TypeError(f"{name} is {kind(tensor)}; expected a torch.Tensor: {hint}")
        if tensor.dim() == 0 or len(tensor) == 0:
            raise ValueError(f"{name} has shape {tuple(tensor.shape)}; expected at least one item")
        if tensor.dtype == torch.uint8 and "images" in name:
            raise ValueError(f"{name} are bytes; expected pixels in [0, 1]: images.float() / 255")
    lengths = {name: len(tensor) for name, tensor in given.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"expected one label per image, got {lengths}")
