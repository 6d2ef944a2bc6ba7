r"""What the functions of `gpt` ask of their arguments: shapes that fit, tokens that exist."""

import math
from collections.abc import Iterable
from numbers import Real

import torch
from torch import Tensor

from vae_course.require import check_tensors, check_whole, check_whole_tensor, kind


def as_text(text: Iterable[str]) -> str:
    r"""One string. Raises: TypeError unless it is one already, or consists of strings."""
    if isinstance(text, Iterable) and not isinstance(text, str | bytes | Tensor):
        text = list(text)
        if all(isinstance(part, str) for part in text):
            text = "".join(text)
    if not isinstance(text, str):
        raise TypeError(f"text is {kind(text)}; expected a str, such as the content of a file")
    return text


def as_numbers(tokens: Tensor | Iterable[int], vocabulary: int) -> list[int]:
    r"""Tokens as Python's integers. Raises: ValueError, TypeError unless all are in 0 … V − 1."""
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


def check_tokens(tokens: Tensor, vocabulary: int, *, least: int = 0) -> None:
    r"""Raises: TypeError, ValueError unless they are (B, T) integers below V, T ≥ least."""
    check_whole_tensor("tokens", tokens, dims=2, dtypes=(torch.int64, torch.int32))
    if tokens.shape[1] < least:
        raise ValueError(f"tokens have shape {tuple(tokens.shape)}; give at least one a sequence")
    _check_range("tokens", tokens, vocabulary)


def check_targets(logits: Tensor, targets: Tensor) -> None:
    r"""Raises: ValueError, TypeError unless each position has its target, one of V characters."""
    check_tensors(logits=logits)
    check_whole_tensor("targets", targets, dims=2, dtypes=(torch.int64,))
    if logits.dim() != 3 or logits.shape[:2] != targets.shape or targets.numel() == 0:
        raise ValueError(
            f"logits have shape {tuple(logits.shape)}, targets {tuple(targets.shape)}; expected "
            "(B, T, V) and (B, T), with at least one character"
        )
    _check_range("targets", targets, logits.shape[2])


def _check_range(name: str, tokens: Tensor, vocabulary: int) -> None:
    if tokens.device.type != "cpu" or tokens.numel() == 0:
        return  # a GPU's own kernel refuses what is out of range: here it would be waited for
    low, high = tokens.aminmax()
    if low < 0 or high >= vocabulary:
        raise ValueError(f"{name} run from {low} to {high}; expected 0 to {vocabulary - 1}")


def check_heads(**parts: Tensor) -> None:
    r"""Raises: ValueError, TypeError unless queries, keys and values are alike, (…, T, hs)."""
    check_tensors(**parts)
    kinds = {name: (tuple(part.shape), part.dtype) for name, part in parts.items()}
    shape = kinds["query"][0]
    if len(set(kinds.values())) > 1 or len(shape) < 2 or shape[-1] == 0:
        listed = ", ".join(f"{name} {shape} {dtype}" for name, (shape, dtype) in kinds.items())
        raise ValueError(f"got {listed}; expected the same shape (…, T, hs) and dtype in all")


def check_stream(x: Tensor, width: int) -> None:
    r"""Raises: ValueError, TypeError unless x is (B, T, width)."""
    check_tensors(x=x)
    if x.dim() != 3 or x.shape[2] != width:
        raise ValueError(f"x has shape {tuple(x.shape)}; expected (B, T, {width})")


def check_sampling(logits: Tensor, temperature: float, top_k: int | None) -> None:
    r"""Raises: ValueError, TypeError unless a character can be drawn from each row of logits."""
    check_tensors(logits=logits)
    if logits.dim() != 2 or logits.shape[1] == 0:
        raise ValueError(
            f"logits have shape {tuple(logits.shape)}; expected (B, V), as in logits[:, -1]"
        )
    if not isinstance(temperature, Real):
        raise TypeError(f"temperature is {kind(temperature)}; expected a number")
    if top_k is not None:
        check_whole(top_k=top_k, least=-math.inf)
    if not 0 <= temperature < math.inf or (top_k is not None and top_k < 1):
        raise ValueError(f"got {temperature=}, {top_k=}; expected temperature ≥ 0 and top_k ≥ 1")
    largest = logits.amax(dim=-1)  # NaN if one in the row is
    if not largest.isfinite().all():
        raise ValueError(
            f"the largest logit of a row is {largest[~largest.isfinite()][0]:g}; expected a number "
            "in each row: a training that diverged?"
        )
