r"""What stands around the training loop: checks, averages, random numbers, the progress bar."""

import math
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from numbers import Real

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from vae_course.data import batches

# Reading a number from a GPU waits for it to finish, so there the losses are read 50 steps at a
# time. The message still names the right step, but up to 49 further steps have been taken.
READ_EVERY_ON_GPU = 50

# Threads share the work of one operation and meet at its end. With fewer parameters they wait
# longer than they work: the ring of notebook 06 (9,000) took 1.4 times as long with two.
PARAMETERS_FOR_ONE_THREAD = 20_000


class NotFinite(Exception):
    r"""Something became NaN or infinite at `step` of the epoch; `fit` makes a message of it."""

    def __init__(self, what: str, step: int):
        super().__init__(what)
        self.step = step


# ------------------------------------------------------------------- checks of the arguments


def check_arguments(epochs, batch_size, labels, test_images, test_labels, streamed=False) -> None:
    r"""streamed: a DataLoader is among the images, and whether it has labels is seen later."""
    if epochs < 1 or batch_size < 1:
        raise ValueError(f"got epochs={epochs}, batch_size={batch_size}; expected at least 1 each")
    if test_images is None and test_labels is not None:
        raise ValueError("got test_labels without test_images; pass both or neither")
    if streamed:
        return
    if test_images is not None and (labels is None) != (test_labels is None):
        missing = "labels" if labels is None else "test_labels"
        raise ValueError(f"{missing} are missing; the loss takes labels always or never")
    check_tensors(test_images=test_images, test_labels=test_labels)


def device_of(model: nn.Module, default: torch.device | str = "cpu") -> torch.device:
    first = next(model.parameters(), None)
    return torch.device(default) if first is None else first.device


def on_model_device(model: nn.Module, **tensors: Tensor | None) -> list[Tensor]:
    r"""The tensors that were given, on the model's device. Raises: TypeError, ValueError."""
    check_tensors(**tensors)
    check_model(model)
    given = [tensor for tensor in tensors.values() if tensor is not None]
    if not given:
        raise TypeError(f"{next(iter(tensors))} is None; expected a torch.Tensor")
    device = device_of(model, default=given[0].device)
    return [tensor.to(device) for tensor in given]


def check_model(model: nn.Module) -> None:
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"model is {_kind(model)}; expected an nn.Module such as DenseAutoencoder(latent_dim=2)"
        )


def check_tensors(**tensors: Tensor | None) -> None:
    for name, tensor in tensors.items():
        if tensor is None:
            continue
        if not isinstance(tensor, Tensor):
            inside = [n for n in ("train_images", "images") if hasattr(tensor, n)]
            hint = f"pass its .{inside[0]}" if inside else "torch.as_tensor may convert it"
            raise TypeError(f"{name} is {_kind(tensor)}; expected a torch.Tensor: {hint}")
        if tensor.dim() == 0 or len(tensor) == 0:
            raise ValueError(f"{name} has shape {tuple(tensor.shape)}; expected at least one item")
        if tensor.dtype == torch.uint8 and "images" in name:
            raise ValueError(f"{name} are bytes; expected pixels in [0, 1]: images.float() / 255")
    lengths = {name: len(tensor) for name, tensor in tensors.items() if tensor is not None}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"expected one label per image, got {lengths}")


def adam(model: nn.Module, learning_rate: float, *, betas=(0.9, 0.999)) -> torch.optim.Adam:
    r"""Adam, fused (one pass over each weight a step, not ten) wherever that is safe."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        raise ValueError(
            "the model has no trainable parameters: are its layers attributes of an nn.Module "
            "(lists need nn.ModuleList), and is requires_grad still True?"
        )
    if not 0 < learning_rate < math.inf:
        raise ValueError(f"learning_rate is {learning_rate}; expected a positive number like 1e-3")
    # The fused kernel walks through memory in a straight line: on weights with gaps (a slice such
    # as basis[:, :2]) it gives wrong numbers on the CPU, silently (seen with torch 2.15).
    gapless = all(
        p.is_contiguous() or p.is_contiguous(memory_format=torch.channels_last) for p in parameters
    )
    try:
        return torch.optim.Adam(parameters, lr=learning_rate, betas=betas, fused=gapless)
    except RuntimeError:  # no fused kernel for this device or dtype
        return torch.optim.Adam(parameters, lr=learning_rate, betas=betas)


def check_optimizer(optimizer: torch.optim.Optimizer, model: nn.Module) -> None:
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(
            f"optimizer is {_kind(optimizer)}; expected an instance such as "
            "torch.optim.SGD(model.parameters(), lr=0.1)"
        )
    own = {id(p) for p in model.parameters()}
    if not any(id(p) in own for group in optimizer.param_groups for p in group["params"]):
        raise ValueError(
            "the optimizer holds no parameter of this model: it was made for another one. Make it "
            "again, after the model"
        )


def terms(result: object, *, trains: bool = False) -> dict[str, Tensor]:
    r"""What a loss function returned as a dict of scalars. Raises: TypeError, ValueError."""
    named = dict(result) if isinstance(result, Mapping) else {"loss": result}
    if "loss" not in named:
        raise ValueError(f"the loss returned a dict of {list(named)}; expected 'loss' among them")
    for name, value in named.items():
        if isinstance(value, Real) and name != "loss":
            named[name] = torch.tensor(float(value))
        elif not isinstance(value, Tensor):
            hint = "is a return missing?" if value is None else "leave out .item() and float()"
            came = f"{_kind(value)} as {name!r}"
            raise TypeError(f"the loss returned {came}; expected a tensor: {hint}")
        elif value.dim() > 0:
            raise ValueError(
                f"the loss returned shape {tuple(value.shape)} as {name!r}; expected one number: "
                "end with .mean(), the average over the batch"
            )
    if trains and not named["loss"].requires_grad:
        raise ValueError(
            "the loss carries no gradient back to the model: look for .detach(), .data, .item(), "
            "torch.tensor(loss), NumPy, or torch.no_grad() on the way, or for a loss that never "
            "calls the model"
        )
    return named


def check_finite(model: nn.Module, row: dict[str, float], step: int) -> None:
    r"""The end of an epoch: neither test loss nor weights may be NaN. Raises: NotFinite."""
    for name, value in row.items():
        if name.endswith("_loss") and not math.isfinite(value):
            raise NotFinite(f"the {name.replace('_', ' ')} became {value}", step)
    if not all(p.isfinite().all() for p in model.parameters()):
        raise NotFinite("a weight of the model became NaN or infinite", step)


def _kind(thing: object) -> str:
    return f"the class {thing.__name__}" if isinstance(thing, type) else f"a {type(thing).__name__}"


# ------------------------------------------------------------------------- inside the loop


def shuffled(data: list[Tensor], batch_size: int, generator: torch.Generator) -> Iterator:
    return _tuples(batches(*data, batch_size=batch_size, generator=generator))


def in_order(data: list[Tensor], batch_size: int) -> Iterator:
    return _tuples(batches(*data, batch_size=batch_size, shuffle=False))


def _tuples(items: Iterator) -> Iterator[tuple[Tensor, ...]]:
    return ((item,) if isinstance(item, Tensor) else item for item in items)


class Averages:
    r"""Means over images, not over batches: the last batch may be a short one."""

    def __init__(self, model: nn.Module, *, stop_at_nan: bool = False):
        self.read_every = 1 if device_of(model).type == "cpu" else READ_EVERY_ON_GPU
        self.stop_at_nan = stop_at_nan
        self.step = 0
        self.unread: list[tuple[dict[str, Tensor], int]] = []
        self.sums: dict[str, float] = defaultdict(float)
        self.counts: dict[str, int] = defaultdict(int)

    def add(self, named: dict[str, Tensor], images: int) -> None:
        r"""Note one batch's averages. Raises: NotFinite if the loss is, and stop_at_nan."""
        self.unread.append(({name: value.detach() for name, value in named.items()}, images))
        if len(self.unread) >= self.read_every:
            self._read()

    def _read(self) -> None:
        for named, images in self.unread:
            self.step += 1
            for name, value in named.items():
                number = value.item()
                if self.stop_at_nan and name == "loss" and not math.isfinite(number):
                    raise NotFinite(f"the loss became {number}", self.step)
                self.sums[name] += images * number
                self.counts[name] += images
        self.unread.clear()

    def means(self, prefix: str = "") -> dict[str, float]:
        self._read()
        return {prefix + name: self.sums[name] / self.counts[name] for name in self.sums}


# ------------------------------------------------------------------------- around the loop


@contextmanager
def around_training(model: nn.Module, seed: int, progress: bool, steps: int) -> Iterator[tqdm]:
    r"""Seeded random numbers and a progress bar inside; everything as before outside."""
    # disable=None shows the bar in notebooks and terminals, but not where stderr is a file.
    hidden = True if not progress or os.environ.get("TQDM_DISABLE") else None
    bar = tqdm(total=steps, unit="batch", leave=False, disable=hidden)
    try:
        with modes_kept(model), random_numbers(model, seed), one_thread_if_small(model):
            yield bar
    finally:
        bar.total = bar.n  # a notebook would keep an unfinished bar, in red
        bar.close()


@contextmanager
def aside(model: nn.Module, seed: int) -> Iterator[None]:
    r"""The model in eval mode and random numbers of its own, without a trace on the training."""
    with modes_kept(model), random_numbers(model, seed):
        model.eval()
        yield


@contextmanager
def one_thread_if_small(model: nn.Module) -> Iterator[None]:
    r"""Inside, one thread for a network too small to be shared; outside, as many as before."""
    threads = torch.get_num_threads()
    if sum(p.numel() for p in model.parameters()) < PARAMETERS_FOR_ONE_THREAD:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def modes_kept(model: nn.Module) -> Iterator[None]:
    r"""Each part of the model back in its mode, train or eval, at the end."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def random_numbers(model: nn.Module, seed: int) -> Iterator[None]:
    r"""torch's random numbers start from `seed` inside and go on as if nothing was, outside."""
    device = device_of(model)
    apple = torch.mps.get_rng_state() if device.type == "mps" else None
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        try:
            yield
        finally:
            if apple is not None:
                torch.mps.set_rng_state(apple)
