r"""What a model is made of, found by trying: encoder, sampling layer, decoder, of ours or anyone's.

A VAE is written in many ways. Nearly all of them have in common that one call of the model makes a
mean, something that says the spread, a latent and an output. `recognise` lets a few images through,
watches every module and every method with a usual name, and finds these four tensors among what
comes out: so it knows where they pass. There it can later read them, and put others in their place.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import inspect
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vae_course.losses import Likelihood
from vae_course.require import kind

__all__ = ["Parts", "describe", "kept", "recognise"]

_SAMPLERS = re.compile(r"^_?(re_?param\w*|sampl\w*|bottleneck)$")
_ENCODERS = re.compile(r"^_?(encode|encode_\w+|inference|posterior|get_(latent|posterior)\w*)$")
_DECODERS = re.compile(r"^_?(decode|decode_\w+|output|generate|generator|gen|dec|decoder\w*)$")
_MEAN = re.compile(
    r"(^|_|\.)(z_?)?(mu|mean|means|loc|m|embedding)(_|$|\d)|mu$|mean$", re.IGNORECASE
)
_LOG_STD = re.compile(r"log_?(std|sigma(?!_?(sq|2))|sd|scale|s$)", re.IGNORECASE)
_LOG_VAR = re.compile(
    r"log_?(var|cov|v$|sigma_?(sq|2))|(^|_|\.)lv$|(^|_|\.)var(iance)?$", re.IGNORECASE
)
_STD = re.compile(r"(^|_|\.)(std|stddev|sigma|scale)$", re.IGNORECASE)
_SPREAD = re.compile(r"var|std|sigma|scale|logv|log_s|log_cov|(^|_|\.)lv$", re.IGNORECASE)
_SEED = 20_000


# ------------------------------------------------------------- tensors in what a function returns


def _fields(thing: Any) -> dict[Any, Any]:
    r"""What a returned thing is made of: items, keys, or attributes; {} if it is a leaf."""
    if isinstance(thing, Mapping):
        return dict(thing)
    if isinstance(thing, tuple | list):
        names = getattr(thing, "_fields", None)
        return dict(zip(names or range(len(thing)), thing, strict=True))
    if isinstance(thing, Tensor | str | bytes | int | float | nn.Module) or thing is None:
        return {}
    if isinstance(thing, torch.distributions.Independent):
        return {"base_dist": thing.base_dist}
    if isinstance(thing, torch.distributions.Normal):
        return {"loc": thing.loc, "scale": thing.scale}
    if isinstance(thing, torch.distributions.MultivariateNormal):
        scale = thing.scale_tril.diagonal(dim1=-2, dim2=-1)
        independent = torch.equal(torch.diag_embed(scale), thing.scale_tril)
        return {"loc": thing.loc, "scale": scale} if independent else {}
    if isinstance(thing, torch.distributions.Distribution):
        return {}
    return dict(vars(thing)) if hasattr(thing, "__dict__") else {}


def _walk(thing: Any, path: tuple = ()) -> Iterator[tuple[tuple, Tensor]]:
    if isinstance(thing, Tensor):
        yield path, thing
    elif len(path) < 4:
        for key, part in _fields(thing).items():
            yield from _walk(part, (*path, key))


def _put(thing: Any, path: tuple, new: Tensor) -> Any:
    r"""The same thing with another tensor at `path`; the thing itself is not changed."""
    if not path:
        return new
    key, rest = path[0], path[1:]
    part = _put(_fields(thing)[key], rest, new)
    if isinstance(thing, torch.distributions.Independent):
        return torch.distributions.Independent(
            part, thing.reinterpreted_batch_ndims, validate_args=False
        )
    if isinstance(thing, torch.distributions.Normal):  # mean and scale are put one after the other
        changed = copy.copy(thing)
        setattr(changed, key, part)
        changed._batch_shape = part.shape
        return changed
    if isinstance(thing, torch.distributions.MultivariateNormal):
        changed = copy.copy(thing)
        if key == "loc":
            changed.loc = part
        else:
            changed.scale_tril = changed._unbroadcasted_scale_tril = torch.diag_embed(part)
        changed._batch_shape = part.shape[:-1]
        return changed
    if isinstance(thing, tuple) and hasattr(thing, "_fields"):
        return thing._replace(**{key: part})
    if isinstance(thing, tuple | list):
        return type(thing)(part if place == key else item for place, item in enumerate(thing))
    changed = copy.copy(thing)
    if isinstance(thing, Mapping):
        changed[key] = part
        if hasattr(changed, key):  # a dictionary whose keys are attributes too
            with contextlib.suppress(AttributeError):
                setattr(changed, key, part)
        return changed
    object.__setattr__(changed, key, part)
    return changed


def _equal(one: Tensor, other: Tensor) -> bool:
    return one.numel() == other.numel() and bool(
        torch.equal(one.reshape(-1).float(), other.reshape(-1).float())
    )


# ------------------------------------------------------------------------------------ the parts


@dataclasses.dataclass
class Parts:
    r"""A model as the clinic uses it. Latents are flat here, (B, D), whatever the model's shape.

    encode(image) → (mean, spread), each (B, D), in eval mode
    sample(mean, spread) → (B, D), in training mode; None if the model hides it
    decode(latent) → (B, C, H, W) or what the decoder gives, in eval mode
    at(call, image, output, mean, spread): what `call` returns while the model gives these values
    reading: what the spread is: "log_var", "log_std" or "std"
    named: whether the model itself says so, by a name; else it is the usual guess
    """

    encode: Callable[[Tensor], tuple[Tensor, Tensor]]
    decode: Callable[[Tensor], Tensor]
    sample: Callable[[Tensor, Tensor], Tensor] | None
    at: Callable[..., Any] | None = None
    reading: str = "log_var"
    named: bool = False
    module: nn.Module | None = None
    likelihood: Any = None
    how: str = ""
    image: Callable[[Tensor], Tensor] = lambda image: image
    output_shape: tuple[int, ...] = ()

    def log_var(self, spread: Tensor) -> Tensor:
        if self.reading == "std":
            return 2 * spread.clamp(min=1e-12).log()
        return 2 * spread if self.reading == "log_std" else spread

    def spread(self, log_var: Tensor) -> Tensor:
        if self.reading == "std":
            return (0.5 * log_var).exp()
        return 0.5 * log_var if self.reading == "log_std" else log_var


def describe(
    *,
    encode: Callable[[Tensor], tuple[Tensor, Tensor]],
    decode: Callable[[Tensor], Tensor],
    sample: Callable[[Tensor, Tensor], Tensor] | None = None,
    spread: str = "log_var",
    module: nn.Module | None = None,
) -> Parts:
    r"""A model by its parts, for `examine` where it can't find them itself.

    encode(image) → (mean, spread), each (B, D); sample(mean, spread) → (B, D), with its noise;
    decode(latent) → pixels or logits, as many as the image has
    spread: what the encoder's second answer is, "log_var", "log_std" or "std"
    module: the nn.Module behind them, whose weights and modes are looked at
    Raises: TypeError, ValueError on other arguments.
    """
    for name, given in (("encode", encode), ("decode", decode), ("sample", sample)):
        if not callable(given) and not (name == "sample" and given is None):
            raise TypeError(f"{name} is {kind(given)}; expected a function")
    if spread not in ("log_var", "log_std", "std"):
        raise ValueError(f"spread is {spread!r}; expected 'log_var', 'log_std' or 'std'")
    return Parts(
        encode=encode, decode=decode, sample=sample, reading=spread, named=True, module=module,
        how="described by three functions",
    )  # fmt: skip


@contextlib.contextmanager
def kept(module: nn.Module | None) -> Iterator[None]:
    r"""Modes, buffers, gradients and random numbers are afterwards what they were before."""
    if module is None:
        with torch.random.fork_rng(devices=[]):
            yield
        return
    modes = [(part, part.training) for part in module.modules()]
    buffers = [(buffer, buffer.detach().clone()) for buffer in module.buffers()]
    gradients = [(parameter, parameter.grad) for parameter in module.parameters()]
    try:
        with torch.random.fork_rng():
            yield
    finally:
        for part, training in modes:
            part.training = training
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
        for parameter, gradient in gradients:
            parameter.grad = gradient


# --------------------------------------------------------------------------- watching a model


@dataclasses.dataclass
class _Seen:
    r"""One call of a module or method: what went in and what came out."""

    point: str
    arguments: tuple
    result: Any
    names: tuple[str, ...] = ()


class _Watch:
    r"""Reads, and on request replaces, what passes the points of a model."""

    def __init__(self, model: nn.Module):
        self.model = model
        self.seen: list[_Seen] = []
        self.replace: dict[str, Callable[[Any], Any]] = {}

    def _note(self, point: str, arguments: tuple, result: Any, names: tuple[str, ...] = ()) -> Any:
        self.seen.append(_Seen(point, arguments, result, names))
        return self.replace[point](result) if point in self.replace else result

    @contextlib.contextmanager
    def installed(self) -> Iterator[_Watch]:
        hooks, methods = [], []
        for name, module in self.model.named_modules():
            if name:
                hooks.append(module.register_forward_hook(self._hook(name)))
        for name in dir(type(self.model)):
            if name != "forward" and not (
                _SAMPLERS.match(name) or _ENCODERS.match(name) or _DECODERS.match(name)
            ):
                continue
            method = getattr(self.model, name, None)
            if callable(method) and not isinstance(method, nn.Module | type):
                methods.append((name, self.model.__dict__.get(name)))
                object.__setattr__(self.model, name, self._wrapped(name, method))
        try:
            yield self
        finally:
            for hook in hooks:
                hook.remove()
            for name, own in methods:
                if own is None:
                    self.model.__dict__.pop(name, None)
                else:  # a method that was put on the object itself
                    object.__setattr__(self.model, name, own)

    def _hook(self, name: str):
        def hook(module, arguments, result):
            return self._note(name, arguments, result)

        return hook

    def _wrapped(self, name: str, method: Callable):
        try:
            names = tuple(inspect.signature(method).parameters)
        except (TypeError, ValueError):
            names = ()

        def wrapper(*arguments, **options):
            result = method(*arguments, **options)
            given = (*arguments, *options.values())
            return self._note(f"{name}()", given, result, names)

        return wrapper


def recognise(model: nn.Module, images: Tensor) -> Parts:
    r"""Find the parts of a model by letting a few images through.

    Raises: TypeError unless it is a module; ValueError, with what was tried, if they aren't found.
    """
    if isinstance(model, Parts):
        return model
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"model is {kind(model)}; expected an nn.Module, or clinic.describe(encode=…, "
            "sample=…, decode=…)"
        )
    model = _unwrapped(model)
    with kept(model), torch.no_grad():
        return _Recogniser(model, images[:6]).parts()


def _unwrapped(model: nn.Module) -> nn.Module:
    for name in ("_orig_mod", "module"):  # torch.compile; DataParallel, DistributedDataParallel
        inner = getattr(model, name, None)
        if isinstance(inner, nn.Module) and type(model).__name__ in (
            "OptimizedModule", "DataParallel", "DistributedDataParallel", "AveragedModel",
        ):  # fmt: skip
            return _unwrapped(inner)
    return model


class _Recogniser:
    def __init__(self, model: nn.Module, images: Tensor):
        self.model, self.images = model, images
        first = next(model.parameters(), None)
        self.place = (images.device, images.dtype) if first is None else (first.device, first.dtype)
        self.image = lambda image: image.to(*self.place)
        self.tried: list[str] = []

    # One call of the whole model, watched. The seed makes it the same each time.

    def call(self, image: Tensor, *, train: bool, seed: int) -> list[_Seen]:
        self.model.train(train)
        watch = _Watch(self.model)
        with torch.random.fork_rng(devices=[]), watch.installed():
            torch.manual_seed(seed)
            self.run(self.image(image))
        return watch.seen

    def run(self, image: Tensor) -> Any:
        return self.model(image)

    def parts(self) -> Parts:
        self._find_entry()
        train = self.call(self.images, train=True, seed=_SEED)
        again = self.call(self.images, train=True, seed=_SEED + 1)
        evaluated = self.call(self.images, train=False, seed=_SEED)
        self.evaluated = evaluated
        self._find_output(evaluated)
        self._find_posterior(train, again, evaluated)
        self._find_latent(train)
        self._find_points(train)
        return self._made()

    def _find_entry(self) -> None:
        failures = []
        flat = lambda image: image.flatten(1)  # noqa: E731
        for shaped, said in ((lambda image: image, "as they are"), (flat, "flattened")):
            place, shape = self.place, shaped
            self.image = lambda image, shape=shape, place=place: shape(image.to(*place))
            try:
                self.call(self.images, train=False, seed=_SEED)
                self.entry = said
                return
            except Exception as error:  # the model is anyone's
                failures.append(f"images {said}: {_short(error)}")
        self._give_up("calling it on images fails (" + "; ".join(failures) + ")")

    def _find_output(self, seen: list[_Seen]) -> None:
        r"""The output is the last tensor with a value, or so many values, for each pixel."""
        pixels, batch = self.images[0].numel(), len(self.images)
        final = seen[-1]  # forward itself
        if self.likelihood() is not None:
            self.output = next(tensor for _, tensor in _walk(final.result))
            return
        found = [
            (path, tensor)
            for path, tensor in _walk(final.result)
            if self._is_batch(tensor) and tensor.numel() % (batch * pixels) == 0
            and not _equal(tensor, self.images)
        ]  # fmt: skip
        if found:
            self.output = found[0][1]
            return
        for call in reversed(seen[:-1]):
            for _, tensor in _walk(call.result):
                if self._is_batch(tensor) and tensor.numel() == batch * pixels:
                    self.output = tensor
                    return
        self._give_up(f"nothing that comes out has a value for each of the {pixels} pixels")

    def _is_batch(self, tensor: Tensor) -> bool:
        return tensor.dim() >= 2 and len(tensor) == len(self.images) and tensor.is_floating_point()

    def _find_posterior(self, train, again, evaluated) -> None:
        self.layer = None  # what takes mean and spread and gives a latent
        for search in (self._by_sampler, self._by_result, self._by_modules, self._by_halves):
            found = search(train, again, evaluated)
            if found is not None:
                self.mean, self.second, self.reading, self.named, self.by = found
                return
        self._give_up(
            "no mean and no log-variance was found: no method like reparameterize(mu, log_var), no "
            "pair of equal shape among what encode or forward return, no layers named mu and "
            "log_var"
        )

    def _by_sampler(self, train, again, evaluated):
        for call in train:
            name = call.point.rstrip("()").rpartition(".")[2]
            tensors = [a for a in call.arguments if isinstance(a, Tensor) and self._is_batch(a)]
            pair = len(tensors) >= 2 and tensors[0].shape == tensors[1].shape
            if pair and (_SAMPLERS.match(name) or self._samples(call)):
                logarithm = self._logarithm(tensors[1], train)
                if logarithm is not None:  # the sampler takes a standard deviation
                    return (tensors[0], *logarithm)
                labels = call.names or self._names_of_forward(call.point)
                label = labels[1] if len(labels) > 1 else ""
                self.layer = call.point
                return (*tensors[:2], *self._reading(label, tensors[1]), call.point)
        return None

    def _logarithm(self, positive: Tensor, train: list[_Seen]):
        r"""The tensor whose exponential a sampling layer was given, if that is what it was."""
        if not bool((positive > 0).all()):
            return None
        for call in train:
            for path, tensor in [*_walk(call.result), *_halves(call.result)]:
                if tensor.shape != positive.shape or _equal(tensor, positive):
                    continue
                for share in (0.5, 1.0):
                    if torch.allclose((share * tensor).exp(), positive, rtol=1e-4):
                        name = ".".join(map(str, (call.point, *path)))
                        return tensor, *self._reading(name, tensor), call.point
        return None

    def _names_of_forward(self, point: str) -> tuple[str, ...]:
        try:
            module = self.model.get_submodule(point)
            return tuple(inspect.signature(module.forward).parameters)
        except (AttributeError, TypeError, ValueError):
            return ()

    def _samples(self, call: _Seen) -> bool:
        r"""Whether a module that takes two tensors gives one like them: a sampling layer."""
        if call.point.endswith("()"):
            return False
        if len(call.arguments) != 2 or not isinstance(call.result, Tensor):
            return False
        return call.result.shape == call.arguments[0].shape and not _equal(call.result, self.output)

    def _by_result(self, train, again, evaluated):
        wanted = [c for c in train if _ENCODERS.match(c.point.rstrip("()")) or c is train[-1]
                  or c.point in ("encoder", "enc")]  # fmt: skip
        for call in wanted:
            other = next((c for c in again if c.point == call.point), call)
            tensors = self._latent_like(call.result)
            changed = dict(_walk(other.result))
            dropout = any(isinstance(m, nn.Dropout) for m in self.model.modules())
            still = [
                (path, tensor) for path, tensor in tensors
                if dropout or _equal(tensor, changed.get(path, tensor))
            ]  # fmt: skip
            named = self._named_pair(still)
            if named is not None:
                return (*named, call.point)
            unequal: list[tuple[tuple, Tensor]] = []
            for path, tensor in still:
                if not any(_equal(tensor, known) for _, known in unequal):
                    unequal.append((path, tensor))
            if len(unequal) >= 2 and unequal[0][1].shape == unequal[1][1].shape:
                first, second = unequal[0][1], unequal[1][1]
                return (first, second, *self._reading("", second), call.point)
        return None

    def _latent_like(self, result: Any) -> list[tuple[tuple, Tensor]]:
        return [
            (path, tensor)
            for path, tensor in _walk(result)
            if self._is_batch(tensor) and not _equal(tensor, self.images)
            and tensor.numel() != self.output.numel()
        ]  # fmt: skip

    def _named_pair(self, tensors: Sequence[tuple[tuple, Tensor]]):
        means, spreads = [], []
        for path, tensor in tensors:
            name = ".".join(str(key) for key in path if not isinstance(key, int))
            if not name:
                continue
            if _SPREAD.search(name):
                spreads.append((name, tensor))
            elif _MEAN.search(name):
                means.append((name, tensor))
        for _, mean in means:
            pairs = [(name, t) for name, t in spreads if t.shape == mean.shape]
            logs = [pair for pair in pairs if _LOG_VAR.search(pair[0]) or _LOG_STD.search(pair[0])]
            for name, spread in logs or pairs:
                return (mean, spread, *self._reading(name, spread))
        return None

    def _by_modules(self, train, again, evaluated):
        outputs = [
            ((call.point.rpartition(".")[2],), call.result)
            for call in train
            if isinstance(call.result, Tensor) and self._is_batch(call.result)
        ]
        named = self._named_pair(outputs)
        return None if named is None else (*named, "layers")

    def _by_halves(self, train, again, evaluated):
        r"""An encoder that gives mean and log-variance in one tensor, cut in halves."""
        wide = [c for c in train if isinstance(c.result, Tensor) and self._is_batch(c.result)
                and c.result.shape[1] % 2 == 0]  # fmt: skip
        for call in train:
            name = call.point.rstrip("()").rpartition(".")[2]
            if not _DECODERS.match(name) or not call.arguments:
                continue
            latent = call.arguments[0]
            if not isinstance(latent, Tensor) or not self._is_batch(latent):
                continue
            for encoder in wide:
                halves = encoder.result.chunk(2, dim=1)
                if halves[0].numel() == latent.numel() and halves[0].numel() < self.output.numel():
                    return (*halves, *self._reading("", halves[1]), encoder.point)
        return None

    def _reading(self, name: str, values: Tensor) -> tuple[str, bool]:
        r"""What the second tensor is, and whether a name says so."""
        if _LOG_STD.search(name):
            return "log_std", True
        if _LOG_VAR.search(name):
            return "log_var", True
        if _STD.search(name) and bool((values > 0).all()):
            return "std", True
        source = ""
        for method in ("encode", "forward"):
            with contextlib.suppress(OSError, TypeError):
                source += inspect.getsource(getattr(type(self.model), method, None))
        if _LOG_STD.search(source) and not re.search(r"log_?var", source, re.IGNORECASE):
            return "log_std", True
        return "log_var", bool(re.search(r"log_?var", source, re.IGNORECASE))

    def _find_latent(self, train: list[_Seen]) -> None:
        self.latent, self.decoder = None, None
        for call in train:
            if call.point == self.layer:
                for path, tensor in _walk(call.result):
                    inside = {"loc", "scale"} & {key for key in path if isinstance(key, str)}
                    if tensor.shape == self.mean.shape and not inside:
                        self.latent = tensor
        names = [c for c in train if _DECODERS.match(c.point.rstrip("()").rpartition(".")[2])]
        others = [c for c in train if not c.point.endswith("()") and c not in names]
        whole = [call for call in names if _equal_output(call.result, self.output)]
        for call in [*whole, *others]:
            given = [a for a in call.arguments if isinstance(a, Tensor)]
            if not given or given[0].numel() != self.mean.numel():
                continue
            if self.latent is not None and not _equal(given[0], self.latent):
                continue
            if call in others and not _equal_output(call.result, self.output):
                continue
            self.latent = given[0]
            self.decoder, self.latent_shape = call.point, given[0].shape[1:]
            return
        if self.latent is None or self.decoder is None:
            self._give_up("no decoder was found: no method or layer named decode or decoder that "
                          f"takes latents of shape {tuple(self.mean.shape)}")  # fmt: skip

    def _find_points(self, train: list[_Seen]) -> None:
        r"""Where mean, spread, latent and output pass: (point, path) → (which, shape there)."""
        self.points: dict[str, dict[tuple, tuple[str, torch.Size]]] = {}
        self.drawn_by = None
        self.both = torch.cat([self.mean.flatten(1), self.second.flatten(1)], dim=1)
        self.outputs = [
            tensor
            for call in train
            for _, tensor in _walk(call.result)
            if tensor.numel() == self.output.numel() and self._is_batch(tensor)
            and (call is train[-1] or call.point == self.decoder)
            and not _equal(tensor, self.images)
        ]  # fmt: skip
        for call in train:
            for path, tensor in _walk(call.result):
                which = self._which(call, path, tensor)
                if which is not None:
                    self.points.setdefault(call.point, {})[path] = (which, tensor.shape)
            for _, thing in _objects(call.result):
                roles = {p: (self._which(call, p, t), t.shape) for p, t in _walk(thing)}
                roles = {p: role for p, role in roles.items() if role[0]}
                if "mean" in [which for which, _ in roles.values()] and self.drawn_by is None:
                    self.drawn_by = thing, roles

    def _which(self, call: _Seen, path: tuple, tensor: Tensor) -> str | None:
        if not self._is_batch(tensor):
            return None
        if _equal(tensor, self.mean):
            return "mean"
        if _equal(tensor, self.second):
            return "spread"
        if tensor.shape == self.second.shape and path and self.reading != "std":
            half = 0.5 if self.reading == "log_var" else 1.0
            for which, share in (("scale", half), ("variance", 2 * half)):
                if torch.allclose(tensor, (share * self.second).exp(), rtol=1e-4):
                    return which
        if self.latent is not None and _equal(tensor, self.latent):
            return "latent"
        if tensor.numel() == self.output.numel() and (
            call.point == self.decoder or any(_equal(tensor, output) for output in self.outputs)
        ):
            return "output"
        if tensor.numel() == self.both.numel() and _equal(tensor.flatten(1), self.both):
            return "both"
        return None

    def _give_up(self, why: str) -> None:
        raise ValueError(
            f"The parts of this {type(self.model).__name__} were not recognised: {why}. Describe "
            "them: clinic.describe(encode=lambda x: (mean, log_var), sample=lambda mean, log_var: "
            "z, decode=lambda z: pixels, module=model)."
        )

    def likelihood(self) -> Likelihood | None:
        found = getattr(self.model, "likelihood", None)
        return found if isinstance(found, Likelihood) else None

    # What examine works with.

    def _made(self) -> Parts:
        return Parts(
            encode=self._encode,
            decode=self._decode,
            sample=self._sample,
            at=self._at,
            reading=self.reading,
            named=self.named,
            module=self.model,
            likelihood=self.likelihood(),
            how=f"mean and spread from {self.by}, decoder {self.decoder}, images {self.entry}",
            image=self.image,
            output_shape=tuple(self.output.shape[1:]),
        )

    def _encode(self, image: Tensor) -> tuple[Tensor, Tensor]:
        seen = self.call(image, train=False, seed=_SEED)
        found: dict[str, Tensor] = {}
        for call in seen:
            fields = dict(_walk(call.result))
            for path, (which, _) in self.points.get(call.point, {}).items():
                if path in fields and which not in found:
                    found[which] = fields[path].flatten(1)
        if "both" in found and not {"mean", "spread"} <= found.keys():
            found["mean"], found["spread"] = found["both"].chunk(2, dim=1)
        if not {"mean", "spread"} <= found.keys():  # they pass as arguments only
            call = next(c for c in seen if c.point == self.by)
            tensors = [a for a in call.arguments if isinstance(a, Tensor)]
            return tensors[0].flatten(1), tensors[1].flatten(1)
        return found["mean"], found["spread"]

    def _decode(self, latent: Tensor) -> Tensor:
        self.model.train(False)
        latent = latent.to(*self.place).reshape(len(latent), *self.latent_shape)
        result = self._point(self.decoder)(latent)
        pixels = math.prod(self.output.shape[1:])
        for _, tensor in _walk(result):
            if tensor.numel() == len(latent) * pixels:
                return tensor.reshape(len(latent), *self.output.shape[1:])
        raise ValueError(f"{self.decoder} gives {kind(result)} for latents alone")

    def _crafted(self, output=None, mean=None, spread=None, latent=None, roles=None):
        r"""For each point, what puts these values in the place of the model's own."""
        new = {"output": output, "mean": mean, "spread": spread, "latent": latent}
        if mean is not None:
            new["both"] = torch.cat([mean.flatten(1), spread.flatten(1)], dim=1)
            if self.reading != "std":
                half = 0.5 if self.reading == "log_var" else 1.0
                new["scale"], new["variance"] = (half * spread).exp(), (2 * half * spread).exp()

        def at(paths):
            def swap(result):
                for path, (which, shape) in paths.items():
                    value = new.get(which)
                    if value is not None:
                        value = value.to(*self.place).reshape(len(value), *shape[1:])
                        result = _put(result, path, value)
                return result

            return swap

        if roles is not None:
            return {"drawn": at(roles)}
        return {point: at(paths) for point, paths in self.points.items()}

    def _sample(self, mean: Tensor, spread: Tensor) -> Tensor:
        r"""Latents as the model draws them in training mode, with gradients if these have them."""
        self.model.train(True)
        shape = self.mean.shape[1:]
        mean = mean.to(*self.place).reshape(len(mean), *shape)
        spread = spread.to(*self.place).reshape(len(mean), *shape)
        paths = self.points.get(self.layer, {})
        drawn = next((path for path, (which, _) in paths.items() if which == "latent"), None)
        if drawn is not None:
            return dict(_walk(self._point(self.layer)(mean, spread)))[drawn].flatten(1)
        if self.drawn_by is not None and (_equal(self.latent, self.mean) or not self._reaches()):
            thing, roles = self.drawn_by  # a distribution, which draws by itself
            thing = self._crafted(mean=mean, spread=spread, roles=roles)["drawn"](thing)
            draw = getattr(thing, "rsample", None) if self._latent_has_gradient() else None
            return (draw or thing.sample)().flatten(1)
        if not self._reaches():
            raise ValueError("mean and log-variance can't be chosen from outside")
        watch = _Watch(self.model)
        watch.replace = {
            point: swap
            for point, swap in self._crafted(mean=mean, spread=spread).items()
            if point != "forward()"
            and not any(which == "latent" for which, _ in self.points[point].values())
        }
        few = self.images[torch.arange(len(mean)) % len(self.images)]
        with watch.installed():
            self.run(self.image(few))
        call = next(c for c in watch.seen if c.point == self.decoder)
        return next(a for a in call.arguments if isinstance(a, Tensor)).flatten(1)

    def _reaches(self) -> bool:
        r"""Whether mean and spread pass a point before the latent is drawn of them."""
        passing = {
            which
            for point, paths in self.points.items()
            if point != "forward()"
            for which, _ in paths.values()
        }
        return "both" in passing or ("mean" in passing and bool({"spread", "scale"} & passing))

    def _latent_has_gradient(self) -> bool:
        if _equal(self.latent, self.mean):
            return True  # nothing is known of how it draws in training
        with torch.enable_grad():
            seen = self.call(self.images, train=True, seed=_SEED)
        call = next(c for c in seen if c.point == self.decoder)
        return next(a for a in call.arguments if isinstance(a, Tensor)).requires_grad

    def _point(self, name: str) -> Callable:
        return getattr(self.model, name[:-2]) if name.endswith("()") else (
            self.model.get_submodule(name)
        )  # fmt: skip

    def _at(self, call, image, output, mean, spread, latent=None):
        watch = _Watch(self.model)
        watch.replace = self._crafted(output, mean, spread, latent)
        with watch.installed():
            return call(self.model, self.image(image) if self.entry == "flattened" else image)


def _halves(result: Any) -> Iterator[tuple[tuple, Tensor]]:
    if isinstance(result, Tensor) and result.dim() >= 2 and result.shape[1] % 2 == 0:
        yield ("second half",), result.chunk(2, dim=1)[1]


def _objects(thing: Any, path: tuple = ()) -> Iterator[tuple[tuple, Any]]:
    r"""Distributions in what a function returned: things that know how to draw."""
    if isinstance(thing, Tensor | nn.Module) or len(path) > 3:
        return
    if callable(getattr(thing, "rsample", None)) or callable(getattr(thing, "sample", None)):
        yield path, thing
    for key, part in _fields(thing).items():
        yield from _objects(part, (*path, key))


def _equal_output(result: Any, output: Tensor) -> bool:
    return any(tensor.numel() == output.numel() for _, tensor in _walk(result))


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
