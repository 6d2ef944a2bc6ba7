r"""The examination: measure after measure, each a function that reports what it found.

Every limit below was set so that the healthy trainings of tests/test_clinic.py pass well within it.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from vae_course import losses, require
from vae_course.clinic import pictures
from vae_course.clinic.audit import Audit, audit, read_loss
from vae_course.clinic.recognise import Parts, kept, recognise
from vae_course.clinic.report import NOTABLE, REMARK, SEVERE, Finding, Report

_MOST = 512  # images that are looked at
_CRAFTED = 1024  # draws of the sampling layer
_PRIOR = 512  # samples from N(0, I)


@dataclasses.dataclass
class Case:
    r"""What the measures look at. Latents (N, D); outputs and pixels as the images."""

    parts: Parts
    images: Tensor
    test_images: Tensor | None
    loss: Callable | None
    audit: Audit | None
    history: dict[str, list[float]]
    batch_size: int
    training: bool
    mean: Tensor | None = None
    log_var: Tensor | None = None
    output: Tensor | None = None
    prior_output: Tensor | None = None
    shown: Callable[[Tensor], Tensor] = lambda output: output
    kind: str = ""
    findings: list[Finding] = dataclasses.field(default_factory=list)
    healthy: list[str] = dataclasses.field(default_factory=list)
    unread: list[str] = dataclasses.field(default_factory=list)
    measures: dict[str, float] = dataclasses.field(default_factory=dict)

    def find(self, name, severity, title, evidence, change, draw=None) -> None:
        self.findings.append(Finding(name, severity, title, evidence, change, draw))

    def has(self, *names: str) -> bool:
        return any(finding.name in names for finding in self.findings)

    @property
    def module(self) -> nn.Module | None:
        return self.parts.module


def examine(
    model: nn.Module | Parts,
    images: Tensor,
    *,
    test_images: Tensor | None = None,
    loss: Callable | None = None,
    history: Any = None,
    batch_size: int = 128,
    seed: int = 0,
) -> Report:
    r"""Examine a VAE on the images that it was trained on; the report names what is wrong.

    The model comes back as it was: its mode, its buffers, its gradients, and torch's random
    numbers too.

    model: the course's or anyone's, or `describe(...)` of it
    images, test_images: (N, …), as they were given to the model; 512 of each are looked at
    loss: the training's, loss(model, image) or loss(recon, x, mu, logvar); what it optimises is
        read from its values
    history: of the training: a `History`, a list of dicts or of numbers, a dict of lists
    batch_size: of the training; counts where a loss sums over the batch in one of its terms
    Raises: TypeError, ValueError on arguments, and if the parts of the model can't be found.
    """
    images = _some(_checked("images", images), seed)
    if test_images is not None:
        test_images = _some(_checked("test_images", test_images, least=2), seed)
        if test_images.shape[1:] != images.shape[1:]:
            raise ValueError(
                f"test_images are {tuple(test_images.shape[1:])} and images "
                f"{tuple(images.shape[1:])}; expected the same shape"
            )
    if loss is not None and not callable(loss):
        raise TypeError(f"loss is {require.kind(loss)}; expected a function")
    require.count(batch_size=batch_size)
    series = _series(history)
    module = model.module if isinstance(model, Parts) else model
    training = isinstance(module, nn.Module) and module.training
    named = type(model).__name__ if isinstance(model, nn.Module) else "the model described"
    case = Case(
        parts=None, images=images, test_images=test_images, loss=loss, audit=None, history=series,
        batch_size=batch_size, training=training,
    )  # fmt: skip
    if not _finite_first(case, module):
        return _report(case, named)
    case.parts = recognise(model, images)
    with kept(case.module):
        torch.manual_seed(seed)
        if loss is None:
            case.unread.append("what the loss optimises (no loss was given)")
        else:
            case.audit = audit(loss, case.parts, images, seed=seed)
        if not series:
            case.unread.append("the course of the training (no history was given)")
        if test_images is None:
            case.unread.append("images that the model was not trained on (none were given)")
        _prepare(case)
        for measure in MEASURES:
            measure(case)
    return _report(case, named)


def _report(case: Case, named: str) -> Report:
    findings = sorted(case.findings, key=lambda finding: -finding.severity)
    draw = None
    if case.output is not None and case.images.dim() == 4:
        draw = lambda: pictures.rows_of_images(  # noqa: E731
            case.images, case.shown(case.output), case.shown(case.prior_output)
        )
    size = "×".join(map(str, case.images.shape[1:]))
    return Report(
        subject=f"{named} on {len(case.images)} images of {size}",
        findings=tuple(findings), healthy=tuple(case.healthy), measures=case.measures,
        unread=tuple(case.unread), draw=draw,
    )  # fmt: skip


# ------------------------------------------------------------------------------- preparations


def _checked(name: str, images: Tensor, *, least: int = 16) -> Tensor:
    if not isinstance(images, Tensor):
        raise TypeError(f"{name} is {require.kind(images)}; expected a torch.Tensor")
    if images.dim() < 2 or len(images) < least:
        shape = tuple(images.shape)
        raise ValueError(f"{name} has shape {shape}; expected {least} images or more")
    return images.detach().cpu().float()


def _some(images: Tensor, seed: int) -> Tensor:
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    return images[order[:_MOST]]


def _series(history: Any) -> dict[str, list[float]]:
    r"""The losses of the epochs, {"train": […], "test": […]}, from any usual kind of history."""
    if history is None:
        return {}
    rows = getattr(history, "rows", history)
    if isinstance(rows, Mapping):
        columns = {str(key): list(values) for key, values in rows.items()}
    elif isinstance(rows, Sequence) and rows and isinstance(rows[0], Mapping):
        columns = {str(key): [row.get(key, math.nan) for row in rows] for key in rows[0]}
    elif isinstance(rows, Sequence) and all(isinstance(row, int | float) for row in rows):
        columns = {"loss": list(rows)}
    else:
        raise TypeError(
            f"history is {require.kind(history)}; expected a History, a list of dicts or of "
            "numbers, or a dict of lists"
        )
    losses_of = [name for name in columns if "loss" in name.lower()] or list(columns)[:1]
    held = [name for name in losses_of if any(w in name.lower() for w in ("test", "val", "dev"))]
    train = [name for name in losses_of if name not in held]
    series = {"train": columns[train[0]]} if train else {}
    if held:
        series["test"] = columns[held[0]]
    return {name: [float(v) for v in values] for name, values in series.items()}


def _finite_first(case: Case, module: nn.Module | None) -> bool:
    r"""NaN in images or weights: nothing else can then be measured."""
    for name, images in (("images", case.images), ("test_images", case.test_images)):
        if images is not None and not bool(images.isfinite().all()):
            bad = int((~images.isfinite()).flatten(1).any(dim=1).sum())
            case.find(
                "not-finite", SEVERE, f"There is NaN or infinity in {name}",
                f"{bad} of {len(images)} {name} hold values that are no numbers.",
                "Find them with images.isfinite() and leave them out: one is enough to spoil all "
                "weights in a single step.",
            )  # fmt: skip
    if isinstance(module, nn.Module):
        bad = [name for name, p in module.named_parameters() if not bool(p.isfinite().all())]
        if bad:
            case.find(
                "not-finite", SEVERE, "Weights of the model are NaN or infinite",
                f"{len(bad)} tensors of weights are spoilt, the first is {bad[0]}.",
                "The training diverged. Load a checkpoint from before; lower the learning rate, "
                "bound log_var (clamp(-10, 10)), compute the loss from logits.",
            )  # fmt: skip
            if case.images.dim() == 2 and bool(case.images.isfinite().all()):
                _columns(case, getattr(module, "likelihood", None))  # a usual cause
    for name, values in case.history.items():
        if any(not math.isfinite(v) for v in values) and not case.has("not-finite"):
            epoch = next(i for i, v in enumerate(values, 1) if not math.isfinite(v))
            case.find(
                "not-finite", SEVERE, "The loss became NaN or infinite",
                f"The {name} loss of epoch {epoch} is {values[epoch - 1]}.",
                "Lower the learning rate, bound log_var, compute the loss from logits.",
            )  # fmt: skip
    return not case.has("not-finite")


@torch.no_grad()
def _prepare(case: Case) -> None:
    parts, images = case.parts, case.images
    case.mean, spread = (t.detach().cpu().float() for t in _in_chunks(parts.encode, images))
    case.log_var = parts.log_var(spread)
    case.output = _in_chunks(parts.decode, case.mean).cpu().float()
    prior = torch.randn(_PRIOR, case.mean.shape[1])
    case.prior_output = _in_chunks(parts.decode, prior).cpu().float()
    case.kind = _kind(case)
    likelihood = parts.likelihood
    shapes = images.shape[1:]
    if likelihood is not None:
        case.shown = lambda output: likelihood.mean(output).reshape(len(output), *shapes)
    elif case.kind == "logits":
        case.shown = lambda output: output.sigmoid().reshape(len(output), *shapes)
    else:
        case.shown = lambda output: output.reshape(len(output), *shapes)


def _in_chunks(function: Callable, values: Tensor):
    made = [function(part) for part in values.split(256)]
    if isinstance(made[0], tuple):
        return tuple(torch.cat([pair[i] for pair in made]) for i in range(2))
    return torch.cat(made)


def _kind(case: Case) -> str:
    r"""What the decoder's numbers are: "probabilities", "logits" or "mean"."""
    likelihood = case.parts.likelihood
    if likelihood is not None:
        return "logits" if isinstance(likelihood, losses.Bernoulli) else "mean"
    outputs = torch.cat([case.output.flatten(), case.prior_output.flatten()])
    if bool(outputs.min() >= 0 and outputs.max() <= 1):
        return "probabilities"
    said = case.audit.reconstruction if case.audit is not None else ""
    if said in ("cross entropy with logits", "squared error after a sigmoid"):
        return "logits"
    if said in ("squared error", "absolute error"):
        return "mean"
    images = case.images.flatten(1)
    plain = (case.output.flatten(1) - images).square().mean()
    squashed = (case.output.flatten(1).sigmoid() - images).square().mean()
    return "logits" if squashed < plain else "mean"


# ------------------------------------------------------------------------------------ measures


def pixels(case: Case) -> None:
    images = case.images
    low, high = float(images.min()), float(images.max())
    case.measures |= {"lowest pixel": low, "highest pixel": high}
    if images.dim() == 2 and case.kind == "mean":
        _columns(case, case.parts.likelihood)
        return
    draw = lambda: pictures.histogram(images, case.shown(case.output))  # noqa: E731
    outputs = torch.cat([case.output.flatten(), case.prior_output.flatten()])
    bounded = case.kind in ("probabilities", "logits") or bool(
        outputs.min() >= 0 and outputs.max() <= 1  # whatever the likelihood makes of it
    )
    ran = f"The images run from {low:.3g} to {high:.3g}"
    if high > 1.5 and low >= 0 and (bounded or high > 20):
        full = 255 if high <= 255 else 65535
        case.find(
            "pixels-255", SEVERE, f"The pixels run to {high:.0f}, not to 1",
            f"{ran}; such a decoder reaches 0 to 1, and weights are made for inputs near 1.",
            f"Divide by {full}: images.float() / {full}. torchvision's ToTensor does it for "
            "pictures, but not for float arrays.", draw,
        )  # fmt: skip
    elif bounded and (low < -0.01 or high > 1.01):
        case.find(
            "pixels-normalised", SEVERE, "The images were normalised, and the decoder can't follow",
            f"{ran}; the decoder ends in a sigmoid or a Bernoulli loss, which knows 0 to 1 only.",
            "Leave Normalize(mean, std) out, or keep it and use a Gaussian likelihood without a "
            "sigmoid.", draw,
        )  # fmt: skip
    elif high <= 0.02 and high > 0:
        case.find(
            "pixels-dark", SEVERE, "The images are almost black",
            f"{ran}: as after dividing by 255 twice.",
            "Divide by 255 once (ToTensor has done it already).", draw,
        )  # fmt: skip
    elif high - low < 1e-6:
        case.find(
            "pixels-constant", SEVERE, "All images are the same", f"{ran}.",
            "Look at a few of them: the loading is wrong.", draw,
        )  # fmt: skip
    else:
        case.healthy.append(f"pixels from {low:.2g} to {high:.2g}")
    if case.test_images is not None:
        scale, other = images.std(), case.test_images.std()
        shift = float((case.test_images.mean() - images.mean()).abs() / scale.clamp(min=1e-9))
        ratio = float(other / scale.clamp(min=1e-9))
        case.measures |= {"test pixels' spread / training's": ratio}
        if shift > 1.5 or not 1 / 3 < ratio < 3:
            case.find(
                "test-scale", SEVERE, "Test images have another scale than training images",
                f"Training pixels: mean {images.mean():.3g}, spread {scale:.3g}; test pixels: mean "
                f"{case.test_images.mean():.3g}, spread {other:.3g}.",
                "Give both the same treatment, with the numbers of the training images.",
            )  # fmt: skip


def _columns(case: Case, likelihood: losses.Likelihood | None) -> None:
    r"""Numbers of a table are to have one scale; counts and categories have likelihoods for it."""
    rows = case.images
    if isinstance(likelihood, losses.Table):
        numbers = [isinstance(column, losses.Gaussian) for column in likelihood.columns]
        rows = rows[:, torch.tensor(numbers, dtype=torch.bool)]
    spreads = rows.std(dim=0)
    spreads = spreads[spreads > 1e-9 * rows.abs().max().clamp(min=1)]
    if len(spreads) < 2:
        return
    narrow, wide = float(spreads.min()), float(spreads.max())
    case.measures |= {"narrowest column (σ)": narrow, "widest column (σ)": wide}
    if wide > 50 * narrow:
        case.find(
            "columns-scale", SEVERE, "The columns have different scales",
            f"Their standard deviations run from {narrow:.3g} to {wide:.3g}: the widest drown all "
            "others, in the encoder and in the squared error.",
            "Standardise each column by the mean and standard deviation of the training rows "
            "(data.load_table does).",
        )  # fmt: skip
    else:
        case.healthy.append(f"columns with standard deviations from {narrow:.2g} to {wide:.2g}")


def decoder_scale(case: Case) -> None:
    outputs = torch.cat([case.output.flatten(), case.prior_output.flatten()])
    low, high = float(outputs.min()), float(outputs.max())
    case.measures |= {"lowest output": low, "highest output": high}
    read = case.audit
    said = read.reconstruction if read is not None else ""
    if said == "the model's likelihood" and isinstance(case.parts.likelihood, losses.Bernoulli):
        said = "cross entropy with logits"
    draw = lambda: pictures.histogram(case.images, case.output)  # noqa: E731
    ran = f"The decoder's outputs run from {low:.3g} to {high:.3g}"
    inside = low >= 0 and high <= 1
    if low >= 0.4999 and high <= 0.7312 and float(case.images.min()) < 0.3:
        case.find(
            "sigmoid-twice", SEVERE, "A sigmoid is applied twice",
            f"{ran}: no more than sigmoid(0) to sigmoid(1), so that black can't be reached.",
            "Keep one of them. With binary_cross_entropy_with_logits the decoder needs none.", draw,
        )  # fmt: skip
    elif said == "cross entropy with logits after a sigmoid":
        case.find(
            "sigmoid-twice", SEVERE, "The loss applies a sigmoid to what it takes for logits",
            "The loss behaves as binary_cross_entropy_with_logits(sigmoid(output), image).",
            "Hand the logits over as they are.", draw,
        )  # fmt: skip
    elif said == "cross entropy with logits" and inside:
        case.find(
            "probabilities-as-logits", SEVERE, "Probabilities are taken for logits",
            f"{ran}, so they are probabilities already; the loss is a cross entropy that expects "
            "logits and applies another sigmoid.",
            "Use binary_cross_entropy, or take the sigmoid out of the decoder (better: exact for "
            "small probabilities).", draw,
        )  # fmt: skip
    elif (said == "cross entropy with probabilities" and (low < -0.01 or high > 1.01)) or (
        read is not None and "between 0 and 1" in read.error and not inside
    ):
        case.find(
            "logits-as-probabilities", SEVERE, "Logits are taken for probabilities",
            f"{ran}; the loss is a cross entropy that expects probabilities.",
            "Use binary_cross_entropy_with_logits, and sigmoid(output) where pictures are shown.",
            draw,
        )  # fmt: skip
    elif case.kind in ("probabilities", "logits"):
        case.healthy.append(f"the decoder gives {case.kind}")


def sampling(case: Case) -> None:
    if case.parts.sample is None:
        case.unread.append("the sampling layer (it was not described)")
        return
    parts, dims = case.parts, case.mean.shape[1]
    mean = torch.randn(_CRAFTED, dims)
    log_var = 4 * torch.rand(_CRAFTED, dims) - 3
    spread = parts.spread(log_var)
    try:
        with torch.no_grad():
            noise = parts.sample(mean, spread).detach().cpu().float() - mean
            again = parts.sample(mean, spread).detach().cpu().float() - mean
    except Exception as error:  # the model is anyone's
        case.unread.append(f"the sampling layer ({' '.join(str(error).split())[:80]})")
        return
    draw = lambda: pictures.spread(log_var, noise)  # noqa: E731
    size = float(noise.square().mean().sqrt())
    case.measures["spread of z around its mean"] = size
    before = len(case.findings)
    if size < 1e-4:
        case.find(
            "no-noise", SEVERE, "The latent is the mean: nothing is drawn",
            f"In training mode z differs from its mean by {size:.1g} on average.",
            "Draw it: z = mean + torch.exp(0.5 * log_var) * torch.randn_like(mean). Without noise "
            "this is an autoencoder, and samples from the prior meet empty places.", draw,
        )  # fmt: skip
        return
    expected = noise / (0.5 * log_var).exp()
    if torch.allclose(noise, again, atol=1e-6 * size):
        case.find(
            "frozen-noise", SEVERE, "The noise is the same at every call",
            "Two calls gave the same latents to the last bit.",
            "Draw torch.randn_like(mean) inside forward, without a seed set there.", draw,
        )  # fmt: skip
    laws = {
        "exp(log_var / 2)": expected,
        "exp(log_var)": noise / log_var.exp(),
        "log_var": noise / log_var.abs().clamp(min=1e-3),
        "the same for all": noise,
        "exp(log_var / 4)": noise / (0.25 * log_var).exp(),
        "exp(2 · log_var)": noise / (2 * log_var).exp(),
    }
    fits = {law: _misfit(values, log_var) for law, values in laws.items()}
    law = min(fits, key=lambda name: fits[name])
    right = fits["exp(log_var / 2)"] < 0.12
    case.measures["misfit of the noise to exp(log_var / 2)"] = fits["exp(log_var / 2)"]
    standard = laws[law]
    by_image = float(standard.var(dim=0).mean() / standard.square().mean())
    by_dimension = float(standard.var(dim=1).mean() / standard.square().mean()) if dims > 1 else 1
    if by_image < 0.05 or by_dimension < 0.05:
        shared = "all images of a batch" if by_image < 0.05 else "all dimensions of a latent"
        case.find(
            "shared-noise", SEVERE, f"One noise value is shared by {shared}",
            f"Of the noise's variance only {min(by_image, by_dimension):.1%} is between them.",
            "torch.randn_like(mean) draws a number for each image and each dimension.", draw,
        )  # fmt: skip
    elif not right and abs(float(expected.mean())) < 0.15:
        _wrong_spread(case, law, fits, expected, log_var, draw)
    elif not case.has("frozen-noise"):
        centre = float(expected.mean())
        around = expected - centre
        kurtosis = float(around.pow(4).mean() / around.square().mean().square())
        case.measures |= {"kurtosis of the noise": kurtosis, "mean of the noise": centre}
        if kurtosis < 2.3 or kurtosis > 6 or abs(centre) > 0.15:
            like = "as of uniform numbers" if kurtosis < 2.3 else "of another kind"
            case.find(
                "not-normal", NOTABLE, f"The noise is not standard normal: {like}",
                f"Its mean is {centre:.2f} (0), its kurtosis {kurtosis:.2f} (3).",
                "torch.randn_like, not rand_like.", draw,
            )  # fmt: skip
    _sampling_gradient(case, mean, spread)
    if len(case.findings) == before:
        case.healthy.append("the sampling layer draws N(mean, exp(log_var))")


def _wrong_spread(
    case: Case, law: str, fits: dict, expected: Tensor, log_var: Tensor, draw: Callable
) -> None:
    low, high = (float(expected[end].std()) for end in (log_var < -2.8, log_var > 0.8))
    like = f" but like {law}" if fits[law] < 0.25 else ""
    doubt = "" if case.parts.named else " (or the encoder's second answer is log σ; then say so)"
    case.find(
        "wrong-spread", SEVERE, f"The spread is not exp(log_var / 2){like}",
        f"Near log_var = −3 the noise has {low:.2f} times the standard deviation that belongs "
        f"to it, near 1 {high:.2f} times{doubt}.",
        "z = mean + torch.exp(0.5 * log_var) * noise. exp(log_var) is the variance; the KL reads "
        "the same number as the logarithm of a variance.", draw,
    )  # fmt: skip


def _misfit(standard: Tensor, log_var: Tensor) -> float:
    r"""0 if these numbers have size 1 whatever log_var is."""
    sizes = standard.abs().clamp(min=1e-12).log().flatten()
    centred = log_var.flatten() - log_var.mean()
    slope = float((sizes * centred).sum() / centred.square().sum())
    return abs(math.log(max(float(standard.square().mean()), 1e-12)) / 2) + abs(slope)


def _sampling_gradient(case: Case, mean: Tensor, spread: Tensor) -> None:
    few = [mean[:16].clone().requires_grad_(), spread[:16].clone().requires_grad_()]
    try:
        with torch.enable_grad():
            missing = _without_gradient(case.parts.sample(*few).square().sum(), few)
    except Exception:  # the model is anyone's
        return
    if missing:
        case.find(
            "gradient-cut", SEVERE, "No gradient passes the sampling layer",
            f"The gradient of z with respect to {' and '.join(missing)} is missing.",
            "Reparameterise, z = mean + std * noise (rsample); look for .sample(), torch.normal, "
            ".detach(), .data and no_grad.",
        )  # fmt: skip


def _without_gradient(value: Tensor, code: list[Tensor]) -> list[str]:
    r"""Which of mean and log_var a number does not learn from."""
    found = [None, None]
    if value.requires_grad:
        found = torch.autograd.grad(value, code, allow_unused=True)
    return [
        name
        for name, gradient in zip(("mean", "log_var"), found, strict=True)
        if gradient is None or not bool(gradient.abs().sum() > 0)
    ]


def loss_terms(case: Case) -> None:
    read = case.audit
    if read is None:
        return
    if read.error:
        if not case.has("logits-as-probabilities"):
            case.unread.append(f"what the loss optimises ({read.error})")
        return
    case.measures |= {"reconstruction factor": read.recon_factor, "KL factor": read.kl_factor}
    listed = ", ".join(f"{value:.3g}·{name}" for name, value in read.coefficients.items())
    if read.kl == "none":
        case.find(
            "no-kl", SEVERE, "The loss has no KL term",
            "Its value does not move when mean and log_var do.",
            "Add the KL, 0.5 * (mean² + exp(log_var) − 1 − log_var) summed over the latents.",
        )  # fmt: skip
    elif read.kl == "sign":
        case.find(
            "kl-sign", SEVERE, "The KL has the wrong sign: the loss rewards it",
            f"The loss falls by {-read.kl_factor:.3g} for each nat of KL.",
            "Loss = reconstruction + KL. −0.5 · sum(1 + log_var − mean² − exp(log_var)) is the KL.",
        )  # fmt: skip
    elif read.kl not in ("right", "unknown"):
        meant = {
            "reads log σ": "it reads as log σ what the sampling layer reads as log σ²",
            "unbalanced": "its terms have other weights than 1 : 1 : −1",
            "mean missing": "mean² is missing", "σ for variance": "exp(log_var / 2) stands for the "
            "variance", "term missing": "a term is missing", "another": "other terms stand in it",
        }.get(read.kl, read.kl)  # fmt: skip
        case.find(
            "kl-formula", SEVERE, "The KL is not that of a Gaussian: " + meant,
            f"In s = log_var the loss moves as {listed}; expected 0.5·μ² + 0.5·exp(s) − 0.5·s.",
            "0.5 * (mean² + exp(log_var) − 1 − log_var) for each latent, summed.",
        )  # fmt: skip
    if read.reconstruction == "none":
        case.find(
            "no-reconstruction", SEVERE, "The loss does not depend on the decoder's output",
            "Its value does not move when the output does.",
            "Compare the output with the image, and let the gradient through.",
        )  # fmt: skip
    elif not read.reconstruction:
        case.unread.append("the reconstruction term (none of the usual ones)")
    if read.kl == "right" and read.reconstruction == "none":
        return
    if read.kl == "right" and read.reconstruction:
        _balance(case, read)


def _balance(case: Case, read: Audit) -> None:
    images = case.images
    dims, batch = case.mean.shape[1], case.batch_size
    values = images[0].numel()
    grow = (batch / min(16, len(images))) ** math.log2(max(read.batch, 1e-9))
    beta = read.beta * grow
    residual = (case.shown(case.output) - images).square().mean().sqrt().item()
    from_batch = (
        f" In a batch of {batch}: one term sums over the batch, the other averages."
        if abs(math.log2(max(read.batch, 1e-9))) > 0.5
        else ""
    )
    where = (
        "Sum the reconstruction over the pixels and the KL over the latents, for each image, and "
        "average both over the batch."
    )
    std = read.std
    likelihood = case.parts.likelihood
    if isinstance(likelihood, losses.Gaussian) and not isinstance(likelihood.std, str):
        std = likelihood.std * math.sqrt(read.beta) if read.beta > 0 else None
    if std is not None:
        std = std * math.sqrt(grow)
        case.measures |= {"σ that the loss stands for": std, "reconstruction error (rms)": residual}
        ratio = std / max(residual, 1e-9)
        evidence = (
            f"Squared error and KL of this loss are those of a Gaussian with σ = {std:.3g}; the "
            f"reconstruction's error is {residual:.3g}.{from_batch} At the σ of the data the KL "
            f"would weigh {max(ratio, 1 / ratio) ** 2:,.3g} times "
            f"{'less' if ratio > 1 else 'more'}."
        )
        draw = lambda: pictures.bars(  # noqa: E731
            ["σ of the loss", "error"], [std, residual], "pixel values"
        )
        if ratio > 6:
            case.find(
                "sigma-large", SEVERE, f"“MSE + KL” hides a σ of {std:.3g}: the KL weighs too much",
                evidence, where + " Divide the squared error by 2σ² with a σ near the error, or "
                "learn σ (losses.Gaussian('learned')).", draw,
            )  # fmt: skip
        elif ratio < 0.2:
            case.find(
                "sigma-small", SEVERE, f"The loss hides a σ of {std:.3g}: the KL hardly counts",
                evidence, where + " Choose a σ near the error, or learn it.", draw,
            )  # fmt: skip
        else:
            case.healthy.append(f"squared error with σ = {std:.3g}, error {residual:.3g}")
        return
    case.measures["effective β"] = beta
    accident = next(
        (
            why
            for value, why in (
                (values, "the reconstruction is averaged over the pixels, the KL summed"),
                (values / dims, "both are averaged, over pixels and over latents"),
                (1 / dims, "the KL is averaged over the latents, the reconstruction summed"),
                (values * batch, "the reconstruction is averaged over all, the KL summed over all"),
                (batch, "the KL is summed over the batch, the reconstruction averaged"),
                (1 / batch, "the reconstruction is summed over the batch, the KL averaged"),
                (values * batch / dims, "the KL is summed over the batch, all else averaged"),
            )
            if math.isclose(beta, value, rel_tol=0.03) and not math.isclose(value, 1, rel_tol=0.05)
        ),
        "",
    )
    draw = lambda: pictures.bars(["β of this loss", "β of the ELBO"], [beta, 1.0], "β")  # noqa: E731
    evidence = (
        f"Per image and in nats the loss is {read.reconstruction} + {beta:.3g} · KL"
        + (f": {accident}." if accident else ".")
        + from_batch
    )
    change = where if accident else "β = 1 is the ELBO; keep another only if you mean it."
    if beta >= 10:
        case.find("beta-large", SEVERE, f"The effective β is {beta:.3g}", evidence, change, draw)
    elif beta <= 0.17:
        case.find("beta-small", SEVERE, f"The effective β is {beta:.3g}", evidence, change, draw)
    elif accident:
        name = "beta-large" if beta > 1 else "beta-small"
        case.find(name, NOTABLE, f"The effective β is {beta:.3g}", evidence, change, draw)
    elif not 0.6 < beta < 1.6:
        case.find("beta", REMARK, f"The effective β is {beta:.3g}", evidence, change, draw)
    else:
        case.healthy.append(f"{read.reconstruction} + {beta:.3g} · KL")


def collapse(case: Case) -> None:
    kl = losses.gaussian_kl_per_dimension(case.mean, case.log_var.clamp(-60, 60)).mean(dim=0)
    active = int((case.mean.var(dim=0) > 0.01).sum())
    total, dims = float(kl.sum()), len(kl)
    variety = case.images.var(dim=0).sum().clamp(min=1e-12)
    moved = float(case.shown(case.prior_output).var(dim=0).sum() / variety)
    case.measures |= {
        "KL (nats / image)": total, "active latents": active, "latents": dims,
        "variety of samples / of images": moved,
    }  # fmt: skip
    draw = lambda: pictures.kl_bars(kl)  # noqa: E731
    if total < 0.5 or active == 0:
        case.find(
            "collapse", SEVERE, "Posterior collapse: the code says nothing about the image",
            f"KL {total:.2g} nats per image, {active} of {dims} latents move with the image.",
            "Look at the effective β first. Else: warm β up from 0, free bits, a weaker decoder, "
            "a smaller learning rate.", draw,
        )  # fmt: skip
    elif moved < 0.01:
        case.find(
            "decoder-ignores-code", SEVERE, "The decoder ignores the code",
            f"Samples vary {moved:.2%} as much as the images, though the KL is {total:.3g} nats.",
            "Look at how the latent enters the decoder: overwritten, detached, drowned by skip "
            "connections or by a saturated layer?", draw,
        )  # fmt: skip
    else:
        case.healthy.append(f"{active} of {dims} latents in use, KL {total:.3g} nats")


def prior(case: Case) -> None:
    std = (0.5 * case.log_var.clamp(-60, 60)).exp()
    latent = case.mean + std * torch.randn_like(std)
    use = case.mean.var(dim=0) > 0.01
    if not bool(use.any()):
        return
    centre = latent[:, use].mean(dim=0)
    width = latent[:, use].std(dim=0)
    far, wide = float(centre.abs().max()), float(width.max())
    narrow = float(width.min())
    case.measures |= {"widest code (σ)": wide, "narrowest code (σ)": narrow, "code off centre": far}
    draw = lambda: pictures.codes(latent)  # noqa: E731
    typical = float(width.square().mean().sqrt())
    case.measures["codes' width (σ, rms)"] = typical
    off = float(centre.square().mean().sqrt())
    evidence = (
        f"Over all images the codes have a width of {typical:.2f} (prior: 1) and lie up to "
        f"{far:.2f} from 0. Samples from N(0, I) meet places that the decoder never saw."
    )
    read = case.audit
    faults = ("beta-large", "beta-small", "sigma-large", "sigma-small", "kl-gradient")
    right = read is not None and read.kl == "right" and read.reconstruction not in ("", "none")
    if right and not case.has(*faults) and (not 0.4 < typical < 1.3 or off > 0.5):
        case.find(
            "codes-wide", REMARK, "The codes do not fill the prior, though the loss is right",
            evidence, "Train longer, with fewer latents, or draw from what the codes are instead "
            "of N(0, I).", draw,
        )  # fmt: skip
    elif typical > 2 or typical < 0.4 or off > 1:
        case.find(
            "prior-mismatch", SEVERE, "The codes do not lie where the prior draws", evidence,
            "The KL counts too little (or too much): look at the effective β and the KL's formula.",
            draw,
        )  # fmt: skip
    else:
        case.healthy.append(f"codes as wide as the prior (σ {typical:.2f})")


def fit_quality(case: Case) -> None:
    images = case.images
    error = (case.shown(case.output) - images).square().flatten(1).mean(dim=1)
    around = (images - images.mean(dim=0)).square().flatten(1).mean(dim=1).mean().clamp(min=1e-12)
    explained = 1 - float(error.mean() / around)
    case.measures["variance that reconstructions explain"] = explained
    draw = lambda: pictures.rows_of_images(  # noqa: E731
        images, case.shown(case.output), case.shown(case.prior_output)
    )
    turned = _axes(case)
    if turned:
        case.find(
            "axes", SEVERE, f"Reconstructions are {turned}",
            "They fit the image far better that way than as they are.",
            "Look at view, reshape, permute and Unflatten between decoder and image.", draw,
        )  # fmt: skip
    elif explained < 0.1:
        case.find(
            "underfit", SEVERE, "Reconstructions are hardly better than the mean image",
            f"They explain {explained:.0%} of the images' variance.",
            "Train longer or with another learning rate (1e-3 with Adam is usual); check that "
            "every part gets a gradient.", draw,
        )  # fmt: skip
    elif explained >= 0.1:
        case.healthy.append(f"reconstructions explain {explained:.0%} of the variance")
    if case.test_images is None or case.has("test-scale"):
        return
    with torch.no_grad():
        mean, _ = _in_chunks(case.parts.encode, case.test_images)
        output = _in_chunks(case.parts.decode, mean).cpu().float()
    test_error = (case.shown(output) - case.test_images).square().flatten(1).mean(dim=1)
    ratio = float(test_error.mean() / error.mean().clamp(min=1e-12))
    case.measures["reconstruction error, test / training"] = ratio
    draw = lambda: pictures.rows_of_images(  # noqa: E731
        case.test_images, case.shown(output), case.shown(case.prior_output)
    )
    if ratio > 1.8:
        case.find(
            "memorised", SEVERE, "The training images are memorised",
            f"The squared error on test images is {ratio:.2f} times that on training images.",
            "More or augmented images, a smaller model, fewer epochs: stop where the loss on "
            "validation images is lowest.", draw,
        )  # fmt: skip
    elif ratio > 1.5:
        case.find(
            "overfit", NOTABLE, "The model fits its training images better than others",
            f"The squared error on test images is {ratio:.2f} times that on training images.",
            "Stop where the loss on validation images is lowest; more images help.", draw,
        )  # fmt: skip
    else:
        case.healthy.append(f"test images are reconstructed as well ({ratio:.2f} times the error)")


def _axes(case: Case) -> str:
    r"""Whether reconstructions fit only when turned or mirrored; "" if not."""
    images = case.images
    if images.dim() != 4:
        return ""
    shown = case.shown(case.output)
    ways = {"mirrored": shown.flip(3), "upside down": shown.flip(2)}
    if images.shape[2] == images.shape[3]:
        ways["transposed (rows and columns exchanged)"] = shown.transpose(2, 3)

    def fits(other: Tensor) -> float:
        flat = [t - t.mean(dim=(2, 3), keepdim=True) for t in (images, other)]  # without brightness
        one, two = ((t - t.mean(dim=0)).flatten() for t in flat)
        return float((one * two).sum() / (one.norm() * two.norm()).clamp(min=1e-12))

    plain = fits(shown)
    best = max(ways, key=lambda way: fits(ways[way]))
    return best if fits(ways[best]) > plain + 0.3 else ""


def course(case: Case) -> None:
    train = case.history.get("train", [])
    if len(train) < 4:
        return
    draw = lambda: pictures.history(case.history)  # noqa: E731
    lowest = min(train)
    fall = max(train[0] - lowest, 1e-12)
    ups = sum(max(b - a, 0) for a, b in itertools.pairwise(train))
    end = train[-1] - lowest
    rough = ups / fall
    case.measures |= {"ups of the training loss / its fall": rough}
    quarter = max(1, len(train) // 4)
    late = (train[-1 - quarter] - train[-1]) / fall
    steady = quarter / (len(train) - 1)  # what a straight line would give
    case.measures["share of the fall in the last quarter"] = late
    scale = max(abs(train[0]), abs(lowest), 1e-12)
    if train[0] > 20 * abs(train[-1]) and train[0] > 20 * abs(train[1]):
        case.find(
            "learning-rate-high", SEVERE, "The first epoch exploded: the learning rate is too high",
            f"The training loss of the first epoch is {train[0]:.3g}, of the last {train[-1]:.3g}.",
            "A learning rate three to ten times smaller, or a warm-up over the first steps; "
            "gradients clipped to norm 1.", draw,
        )  # fmt: skip
    elif train[-1] > train[0] + 0.02 * scale or end > 0.5 * fall > 0.005 * scale or (
        rough > 1 and fall > 0.005 * scale and end > 0.1 * fall
    ):  # fmt: skip
        case.find(
            "learning-rate-high", SEVERE, "The training loss climbs: the learning rate is too high",
            f"From its lowest value {lowest:.4g} it went up to {train[-1]:.4g}; all ups together "
            f"are {rough:.1f} times its whole fall.",
            "A learning rate three to ten times smaller; gradients clipped to norm 1.", draw,
        )  # fmt: skip
    elif late > 0.6 * steady:
        poor = case.measures.get("variance that reconstructions explain", 1) < 0.3
        severity = SEVERE if poor else REMARK
        case.find(
            "not-finished", severity, "The training was not finished",
            f"In the last quarter of the epochs the loss fell by {late:.0%} of its whole fall.",
            "Train longer; if it is this slow from the start, a larger learning rate.", draw,
        )  # fmt: skip
    else:
        case.healthy.append("the training loss has settled")
    test = case.history.get("test", [])
    if len(test) >= 4:
        best = min(range(len(test)), key=lambda i: test[i])
        rise = (test[-1] - test[best]) / max(test[0] - test[best], 1e-12)
        case.measures["rise of the test loss after its lowest"] = rise
        falling = train[-1] < train[best]
        if best < len(test) - 2 and rise > 0.1 and falling and not case.has("memorised"):
            case.find(
                "overfit", NOTABLE, "The test loss rises while the training loss falls",
                f"It was lowest after epoch {best + 1} ({test[best]:.4g}) and ended at "
                f"{test[-1]:.4g}.",
                f"Stop there, after {best + 1} epochs; or more images, a smaller model.", draw,
            )  # fmt: skip


@torch.no_grad()
def modes(case: Case) -> None:
    module = case.module
    if module is None:
        return
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if norms:
        few = case.images[:128]
        module.train(False)
        calm = case.shown(case.parts.decode(case.parts.encode(few)[0]).cpu().float())
        for norm in norms:
            norm.train(True)
        try:
            lively = case.shown(_with_batch_statistics(case, norms, few))
        finally:
            module.train(False)
        calm_error = float((calm - few).square().mean())
        lively_error = float((lively - few).square().mean())
        case.measures["error in eval mode / with the batch's own statistics"] = calm_error / max(
            lively_error, 1e-12
        )
        if calm_error > 1.5 * lively_error and calm_error - lively_error > 1e-3 * float(few.var()):
            case.find(
                "batch-norm", SEVERE, "BatchNorm's stored statistics do not fit",
                f"In eval mode the squared error is {calm_error / lively_error:.1f} times that "
                "with the statistics of the batch.",
                "Train in model.train() and judge in model.eval(); a larger momentum, or more "
                "steps, or no BatchNorm where batches are small.",
            )  # fmt: skip
        else:
            case.healthy.append("BatchNorm gives the same in eval mode")
    if case.training and (norms or any(isinstance(m, nn.Dropout) for m in module.modules())):
        case.find(
            "training-mode", REMARK, "The model was left in training mode",
            "It has BatchNorm or dropout, and model.training is True.",
            "model.eval() before samples and scores (the clinic has looked at it in eval mode).",
        )  # fmt: skip


def _with_batch_statistics(case: Case, norms, few: Tensor) -> Tensor:
    module, parts = case.module, case.parts
    real = type(module).train
    # `encode` and `decode` put the model in eval mode; the norms are to stay in training mode.
    try:
        module.train = lambda mode=True: [
            real(module, mode), [norm.train(True) for norm in norms]
        ][0]  # fmt: skip
        return parts.decode(parts.encode(few)[0]).cpu().float()
    finally:
        del module.train


def dead_units(case: Case) -> None:
    module = case.module
    if module is None:
        return
    shares: dict[str, float] = {}

    def watch(name):
        def hook(layer, arguments, result):
            if isinstance(result, Tensor) and result.dim() >= 2:
                alive = (result.detach() > 0).transpose(0, 1).flatten(1).any(dim=1)
                shares[name] = 1 - float(alive.float().mean())

        return hook

    hooks = [
        layer.register_forward_hook(watch(name))
        for name, layer in module.named_modules()
        if isinstance(layer, nn.ReLU)
    ]
    try:
        with torch.no_grad():
            case.parts.decode(case.parts.encode(case.images)[0])
    finally:
        for hook in hooks:
            hook.remove()
    if not shares:
        return
    worst = max(shares, key=lambda name: shares[name])
    case.measures["dead ReLU units in the worst layer"] = shares[worst]
    if shares[worst] > 0.9:
        case.find(
            "dead-units", NOTABLE, "Most units of a layer never fire",
            f"In {worst}, {shares[worst]:.0%} of the ReLU units are 0 for all {len(case.images)} "
            "images.",
            "A smaller learning rate from the start; inputs of size 1; LeakyReLU.",
        )  # fmt: skip


def gradients(case: Case) -> None:
    r"""Whether every part of the model learns from the loss at all, and from its KL."""
    module, loss = case.module, case.loss
    if module is None or loss is None or case.audit is None or case.audit.error:
        return
    if case.audit.kl == "right":
        _kl_gradient(case)
    few = case.images[:32]
    module.train(True)
    try:
        with torch.enable_grad():
            module.zero_grad(set_to_none=True)
            value = _run_loss(case, few)
            if value is None:
                return
            if not value.requires_grad:
                case.find(
                    "no-gradient", SEVERE, "The loss carries no gradient to the model",
                    "Its value is cut off from the weights.",
                    "Look for .item(), .detach(), .data, torch.tensor(loss) or no_grad on the way.",
                )  # fmt: skip
                return
            value.backward()
    except Exception:  # the loss is anyone's
        return
    finally:
        module.train(False)
    trained = [(n, p) for n, p in module.named_parameters() if p.requires_grad]
    still = [n for n, p in trained if p.grad is None or not bool(p.grad.abs().sum() > 0)]
    weights = [n for n in still if not n.endswith("bias")]
    frozen = [n for n, p in module.named_parameters() if not p.requires_grad]
    case.measures["weights without a gradient"] = float(len(still))
    parts = {n.partition(".")[0] for n in weights} - {
        n.partition(".")[0] for n, _ in trained if n not in still
    }
    if parts:
        case.find(
            "no-gradient", SEVERE, f"No gradient reaches {', '.join(sorted(parts))}",
            f"{len(still)} of {len(trained)} tensors of weights have gradient 0, the first is "
            f"{still[0]}.",
            "Look for .detach(), no_grad, or a part that forward does not use.",
        )  # fmt: skip
    elif frozen and len(frozen) > len(trained):
        case.find(
            "frozen", NOTABLE, "Most of the model is frozen",
            f"{len(frozen)} tensors of weights have requires_grad=False, the first is {frozen[0]}.",
            "module.requires_grad_(True), if that was not meant.",
        )  # fmt: skip


def _kl_gradient(case: Case) -> None:
    r"""The loss moves with mean and log_var; does its gradient? Output and latent stand still."""
    parts, image = case.parts, case.images[:16]
    mean = torch.randn(len(image), case.mean.shape[1])
    spread = parts.spread(torch.rand(mean.shape) - 1.5)
    mean, spread = mean.requires_grad_(), spread.detach().requires_grad_()
    try:
        with torch.enable_grad():
            value = read_loss(case.loss, parts)(image, case.output[:16], mean, spread)
            missing = _without_gradient(value, [mean, spread])
    except Exception:  # the loss is anyone's
        return
    if missing:
        case.find(
            "kl-gradient", SEVERE, "Nothing learns from the KL",
            f"The loss moves with mean and log_var as a KL does, but its gradient with respect to "
            f"{' and '.join(missing)} is missing.",
            "Look for .detach(), .item(), .data or no_grad where the KL is computed.",
        )  # fmt: skip


def _run_loss(case: Case, few: Tensor) -> Tensor | None:
    loss, parts = case.loss, case.parts
    value = read_loss(loss, parts)
    if value.__name__ == "through":  # loss(model, image)
        made = loss(parts.module, parts.image(few) if "flattened" in parts.how else few)
        if isinstance(made, Mapping):
            made = made.get("loss", next(iter(made.values())))
        made = made[0] if isinstance(made, tuple | list) else made
        return made.mean() if isinstance(made, Tensor) else None
    return None


def prune(case: Case) -> None:
    r"""What follows from another finding is no finding of its own."""
    causes = {
        "collapse": ("not-finished",),
        "underfit": (
            *("collapse", "decoder-ignores-code", "sigmoid-twice", "pixels-255", "batch-norm"),
            *("pixels-normalised", "probabilities-as-logits", "logits-as-probabilities", "axes"),
            *("learning-rate-high", "not-finished", "no-reconstruction"),
        ),
        "prior-mismatch": ("pixels-255", "pixels-normalised", "learning-rate-high"),
        "decoder-ignores-code": ("pixels-255", "collapse"),
        "no-gradient": ("no-reconstruction", "dead-units", "gradient-cut"),
        "learning-rate-high": ("kl-gradient", "kl-sign"),
    }  # fmt: skip
    severe = {finding.name for finding in case.findings if finding.severity == SEVERE}
    case.findings = [
        finding for finding in case.findings if not severe & set(causes.get(finding.name, ()))
    ]


MEASURES = (
    pixels, decoder_scale, sampling, loss_terms, gradients, modes, dead_units,  # causes
    fit_quality, course, collapse, prior, prune,  # and what comes of them
)  # fmt: skip
