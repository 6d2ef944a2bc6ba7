r"""What a loss optimises, read from its values: which reconstruction, which KL, and the β between.

The loss is a black box. It is called while mean, log-variance and output are replaced by
chosen ones, a few dozen of them. How its value moves says what is in it: a linear regression on
the terms that a Gaussian KL is made of, and on the reconstruction losses in use. Nothing is assumed
about sums and means: the factors that come out say where it averages.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vae_course.clinic.recognise import Parts, kept

__all__ = ["Audit", "audit", "read_loss"]

_PROBES, _ROWS = 40, 16
_RECON = re.compile(r"rec|x_?hat|out|logit|pred|decoded|^y|x_tilde|x_?prime", re.IGNORECASE)
_MEAN = re.compile(r"^(z_?)?(mu|mean|m|loc)(_?z)?$", re.IGNORECASE)
_SPREAD = re.compile(r"log|var|sigma|std", re.IGNORECASE)


@dataclasses.dataclass
class Audit:
    r"""What the loss was found to be.

    reconstruction: its name, "" if it is none of the known; recon_factor: loss = factor · nats
    kl: "right", "none", or what is wrong with it; kl_factor: loss = factor · KL in nats
    beta: kl_factor / recon_factor: the β of the per-image ELBO
    std: the σ that a squared error stands for at β = 1; None for other reconstructions
    batch: how β changes if the batch doubles, 1 if not at all
    error: why it could not be read, "" if it could
    """

    reconstruction: str = ""
    recon_factor: float = math.nan
    kl: str = ""
    kl_factor: float = math.nan
    coefficients: dict[str, float] = dataclasses.field(default_factory=dict)
    batch: float = 1.0
    error: str = ""

    @property
    def beta(self) -> float:
        r"""NaN where a term is missing or unknown; for a squared error at the σ of the loss, 1."""
        return self.kl_factor / self.recon_factor if self.recon_factor else math.nan

    @property
    def std(self) -> float | None:
        if self.reconstruction not in SQUARED or not self.recon_factor > 0:
            return None
        ratio = self.kl_factor / self.recon_factor
        return math.sqrt(ratio) if ratio > 0 else None


def read_loss(loss: Callable, parts: Parts) -> Callable[[Tensor, Tensor, Tensor, Tensor], float]:
    r"""The loss as a function (image, output, mean, spread) → its value, whatever it takes.

    loss(model, image), or loss(recon, x, mu, logvar) in any order that its names tell.
    """
    names = _names(loss)
    if len(names) >= 3 and not re.match(r"^(model|vae|net|self|module)$", names[0]):
        order = _order(names)
        shape = parts.output_shape

        def called(image, output, mean, spread):
            outputs = output.reshape(len(output), *shape) if shape else output
            given = {"output": outputs, "image": image, "mean": mean, "spread": spread}
            try:
                return _scalar(loss(*(given[which] for which in order)))
            except (RuntimeError, ValueError):  # shapes: flat ones are usual
                given["output"] = outputs.flatten(1)
                given["image"] = image.flatten(1)
                return _scalar(loss(*(given[which] for which in order)))

        return called
    if parts.at is None:
        raise ValueError("a model that is described needs a loss of (output, image, mean, log_var)")

    def through(image, output, mean, spread):
        latent = mean + torch.exp(0.5 * parts.log_var(spread)) * torch.randn_like(mean)
        call = lambda model, image: loss(model, image)  # noqa: E731
        return _scalar(parts.at(call, image, output, mean, spread, latent))

    return through


def _names(loss: Callable) -> list[str]:
    try:
        signature = inspect.signature(loss)
    except (TypeError, ValueError):
        return []
    usual = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    given = [p for p in signature.parameters.values() if p.kind in usual]
    return [p.name for p in given if p.default is p.empty]


def _order(names: list[str]) -> list[str]:
    order: list[str] = []
    for name in names[:4]:
        if _MEAN.match(name) and "mean" not in order:
            order.append("mean")
        elif _RECON.search(name) and not _MEAN.match(name) and "output" not in order:
            order.append("output")
        elif _SPREAD.search(name) and "spread" not in order:
            order.append("spread")
        else:
            order.append("image")
    if sorted(order) != ["image", "mean", "output", "spread"]:
        return ["output", "image", "mean", "spread"]
    return order


def _scalar(result: Any) -> Tensor:
    if isinstance(result, Mapping):
        result = result.get("loss", next(iter(result.values())))
    if isinstance(result, tuple | list):
        result = result[0]
    return torch.as_tensor(result).float().mean()


# ----------------------------------------------------------------------- what losses are made of


def _per_image(values: Tensor) -> Tensor:
    return values.flatten(1).sum(dim=1)


def _bernoulli(output: Tensor, image: Tensor) -> Tensor:
    return _per_image(F.binary_cross_entropy_with_logits(output, image, reduction="none"))


def _cross_entropy(output: Tensor, image: Tensor) -> Tensor:
    inside = output.clamp(1e-7, 1 - 1e-7)
    return -_per_image(image * inside.log() + (1 - image) * (1 - inside).log())


def _squared(output: Tensor, image: Tensor) -> Tensor:
    return 0.5 * _per_image((output - image).square())


RECONSTRUCTIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross entropy with logits": _bernoulli,
    "cross entropy with probabilities": _cross_entropy,
    "squared error": _squared,
    "squared error after a sigmoid": lambda o, x: _squared(o.sigmoid(), x),
    "cross entropy with logits after a sigmoid": lambda o, x: _bernoulli(o.sigmoid(), x),
    "absolute error": lambda o, x: _per_image((o - x).abs()),
}
SQUARED = ("squared error", "squared error after a sigmoid")
_TERMS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "μ²": lambda mean, s: mean.square(),
    "exp(s)": lambda mean, s: s.exp(),
    "s": lambda mean, s: s,
    "exp(s/2)": lambda mean, s: (0.5 * s).exp(),
    "exp(2s)": lambda mean, s: (2 * s).exp(),
}


def audit(loss: Callable, parts: Parts, images: Tensor, *, seed: int = 0) -> Audit:
    r"""Read a loss. Images (N, …), N ≥ 8. Never raises for a loss: `.error` says what failed."""
    with kept(parts.module), torch.no_grad():
        torch.manual_seed(seed)
        try:
            return _audit(read_loss(loss, parts), parts, images)
        except Exception as error:  # the loss is anyone's
            return Audit(error=" ".join(str(error).split())[:200] or type(error).__name__)


def _audit(value: Callable, parts: Parts, images: Tensor) -> Audit:
    image = images[:_ROWS]
    half = len(image) // 2
    mean, spread = parts.encode(image)
    output = parts.decode(mean).clamp(-4, 4)  # a sick model's are huge, and drown all else
    mean = mean.clamp(-2, 2)
    spread = parts.spread(parts.log_var(spread).clamp(-3, 1))
    if parts.module is not None:
        parts.module.train(False)
    found = Audit()
    crafted = [_latents(mean.shape, parts) for _ in range(_PROBES)]
    whole = [float(value(image, output, m, parts.spread(lv))) for m, lv in crafted]
    part = [
        float(value(image[:half], output[:half], m[:half], parts.spread(lv)[:half]))
        for m, lv in crafted
    ]
    found.kl, found.kl_factor, found.coefficients = _read_kl(crafted, whole, parts)
    *_, halved = _read_kl([(m[:half], lv[:half]) for m, lv in crafted], part, parts)
    kl_grows = _ratio(found.coefficients, halved)
    outputs = _outputs(output, image)
    whole = [float(value(image, o, mean, spread)) for o in outputs]
    part = [float(value(image[:half], o[:half], mean[:half], spread[:half])) for o in outputs]
    known = dict(RECONSTRUCTIONS)
    if parts.likelihood is not None:
        known = {"the model's likelihood": parts.likelihood.nll} | known
    found.reconstruction, found.recon_factor = _read_reconstruction(outputs, image, whole, known)
    name = found.reconstruction
    if name and name != "none":
        few = [o[:half] for o in outputs]
        _, factor = _read_reconstruction(few, image[:half], part, {name: known[name]})
        recon_grows = found.recon_factor / factor if factor else 1.0
        found.batch = kl_grows / recon_grows
    return found


def _latents(shape: torch.Size, parts: Parts) -> tuple[Tensor, Tensor]:
    r"""Means and log-variances whose KL is well above zero, others at each call."""
    mean = torch.randn(shape) * (0.5 + 1.5 * torch.rand(()))
    log_var = torch.randn(shape) * (0.3 + 0.5 * torch.rand(())) + (2.5 * torch.rand(()) - 2)
    return mean, log_var


def _outputs(output: Tensor, image: Tensor) -> list[Tensor]:
    inside = bool(output.min() >= 0 and output.max() <= 1)
    crafted = []
    for _ in range(_PROBES):
        noise = torch.rand_like(output) if inside else 2 * torch.randn_like(output)
        share = 0.3 + 0.7 * torch.rand(())
        mixed = share * noise + (1 - share) * output
        crafted.append(mixed.clamp(0.02, 0.98) if inside else mixed)
    return crafted


def _fit(features: Tensor, values: Tensor) -> tuple[Tensor, float]:
    r"""Least squares with a constant: coefficients, and the share of the variance explained."""
    features, values = features.double(), values.double()
    centred = features - features.mean(dim=0)
    scale = centred.std(dim=0).clamp(min=1e-30)
    target = values - values.mean()
    solution = torch.linalg.lstsq(centred / scale, target[:, None]).solution[:, 0]
    rest = target - (centred / scale) @ solution
    total = target.square().sum()
    explained = 1 - float(rest.square().sum() / total) if total > 0 else 0.0
    return solution / scale, explained


def _read_kl(crafted, values, parts) -> tuple[str, float, dict[str, float]]:
    s_of = (lambda lv: 0.5 * lv) if parts.reading in ("log_std", "std") else (lambda lv: lv)
    rows = [
        [float(_per_image(term(m, s_of(lv))).mean()) for term in _TERMS.values()]
        for m, lv in crafted
    ]
    target = torch.tensor(values)
    if not bool(target.isfinite().all()):
        raise ValueError("the loss is NaN or infinite for ordinary means and log-variances")
    moves = float(target.std())
    if moves <= 1e-6 * max(1.0, float(target.abs().mean())):
        return "none", 0.0, {}
    right = torch.tensor(rows) @ torch.tensor(_weights(parts.reading))
    (factor,), fits = _fit(right[:, None], target)
    coefficients, explained = _fit(torch.tensor(rows), target)
    # A KL that is estimated from samples is noisy, and so is a tiny one beside a large loss, by
    # rounding: then no free fit does much better than the formula.
    hardly_better = 1 - explained > 0.5 * (1 - fits)
    if fits > 0.9995 or (fits > 0.95 and (hardly_better or explained < 0.9995)):
        return ("right" if factor > 0 else "sign"), float(factor), {"KL": float(factor)}
    named = {name: float(c) for name, c in zip(_TERMS, coefficients, strict=True)}
    largest = max(abs(c) for c in named.values())
    named = {name: c for name, c in named.items() if abs(c) > 0.02 * largest}
    if explained < 0.9 or hardly_better:
        return "unknown", math.nan, named
    return _formula(named), math.nan, named


def _weights(reading: str) -> list[float]:
    return [0.5, 0.5, -0.5, 0.0, 0.0] if reading == "log_var" else [0.5, 0.0, -1.0, 0.0, 0.5]


def _formula(found: dict[str, float]) -> str:
    r"""Names a wrong KL by the terms that are in it."""
    has = set(found)
    if has == {"μ²", "exp(2s)", "s"}:
        return "reads log σ"
    if has == {"μ²", "exp(s)", "s"} and found["μ²"] > 0 and found["exp(s)"] > 0:
        return "unbalanced"
    if has == {"exp(s)", "s"}:
        return "mean missing"
    if has == {"μ²", "exp(s/2)", "s"}:
        return "σ for variance"
    if has == {"μ²", "s"} or has == {"μ²", "exp(s)"}:
        return "term missing"
    return "another"


def _ratio(whole: dict[str, float], half: dict[str, float]) -> float:
    shared = [name for name in whole if half.get(name)]
    return whole[shared[0]] / half[shared[0]] if shared else 1.0


def _read_reconstruction(outputs, image, values, known) -> tuple[str, float]:
    target = torch.tensor(values)
    if not bool(target.isfinite().all()):
        raise ValueError("the loss is NaN or infinite for ordinary outputs of the decoder")
    if float(target.std()) <= 1e-6 * max(1e-3, float(target.abs().mean())):
        return "none", 0.0
    best = ("", math.nan, 0.0)
    for name, term in known.items():
        try:
            shown = [o.reshape(image.shape) if o.numel() == image.numel() else o for o in outputs]
            nats = torch.tensor([float(term(o, image).mean()) for o in shown])
        except (ValueError, RuntimeError, TypeError):
            continue
        if not bool(nats.isfinite().all()):
            continue
        (factor,), explained = _fit(nats[:, None], target)
        if explained > best[2] + 1e-6:
            best = (name, float(factor), explained)
    return (best[0], best[1]) if best[2] > 0.999 else ("", math.nan)
