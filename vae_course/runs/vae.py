r"""VAEs: `vae-course train --model conv-vae` and its like."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from vae_course import losses, metrics, pretrained
from vae_course.data import IMAGE_SETS, Column, TableData, binarize
from vae_course.models import IMAGE_SHAPE, VAE, ConditionalVAE, TwoLevelVAE, build_vae
from vae_course.runs import page, setting
from vae_course.runs.images import Images, up_and_down
from vae_course.training import History


@dataclasses.dataclass(frozen=True)
class Settings:
    r"""Everything that decides the weights. Learning rate: up to 200 steps up, then a cosine to 0.

    Raises: ValueError on values that nothing can be trained with.
    """

    model: str = "conv-vae"
    dataset: str = setting("mnist", "an image set, or a folder or file of your own")
    size: int = setting(0, "pixels, the side of a folder's pictures; 0: as they are")
    loading: str = setting("", 'how your own data are read, "channels=3, skip_unreadable=True"')
    seed: int = setting(0, "of every random number")
    epochs: int = setting(200, "passes; over pictures of your own, what makes 3,000 steps")
    samples: int = setting(1, "K: 1 trains the ELBO, more the importance-weighted bound")
    gradient: str = setting(
        "usual", "of the bound; path: the encoder hears its draws alone (Tucker et al. 2019)",
        choices=("usual", "path"),
    )
    start: str = setting("", "weights to begin with: a model that ships, or model.safetensors")
    latent_dim: int = setting(20, "dimensions of z")
    upper_dim: int = setting(16, "dimensions of the upper z of two-level-vae")
    width: int = setting(32, "channels of the first convolution, or hidden units of dense-vae")
    layers: int = setting(1, "hidden ones of dense-vae")
    likelihood: str = setting("bernoulli", "of the pixels: bernoulli, gaussian:learned, logistic …")
    batch_size: int = setting(128, "images a step, over all processes together")
    learning_rate: float = setting(1e-3, "the highest one")
    optimizer: str = setting("adam", "muon needs torch 2.9", choices=("adam", "muon"))
    binarized: bool = setting(False, "black or white pixels, drawn anew in each epoch")
    precision: str = setting("float32", "of matrix products", choices=("float32", "bfloat16"))
    store: str = setting("float32", "dtype of the stored weights", choices=("float32", "float16"))
    importance_samples: int = setting(100, "of the bound on log p(x) measured at the end")

    def __post_init__(self):
        if self.model == "paper-vae" and (self.latent_dim, self.width) != (50, 200):
            raise ValueError("paper-vae is 784-200-200-50: leave out --latent-dim and --width")
        if self.model == "two-level-vae" and self.gradient != "usual":
            raise ValueError("two-level-vae is trained by the usual gradient: leave out --gradient")
        for name, models in _ONLY_OF.items():
            if self.model not in models and getattr(self, name) != getattr(type(self), name):
                option = "--" + name.replace("_", "-")
                which = " and ".join(models)
                raise ValueError(f"{self.model} has no choice of {option} ({which}): leave it out")


_PIXELS = ("conv-vae", "dense-vae", "conditional-vae")  # of any size, colour and likelihood
_ONLY_OF = {"layers": ("dense-vae",), "upper_dim": ("two-level-vae",), "likelihood": _PIXELS}

STEPS = 3000  # of training on data of one's own, unless their epochs are given

# Where a model differs from the defaults in `Settings`.
DEFAULTS = {
    "conv-vae": {},
    "conditional-vae": {},
    "two-level-vae": {
        "latent_dim": 32, "epochs": 80, "learning_rate": 2e-3, "binarized": True,
        "precision": "bfloat16", "store": "float16", "importance_samples": 100,
    },
    "dense-vae": {"width": 400},
    "table-vae": {"width": 128, "latent_dim": 8, "batch_size": 32},
    # The protocol of Burda et al. 2016, trained in larger batches with a faster optimizer.
    "paper-vae": {
        "latent_dim": 50, "width": 200, "batch_size": 500, "epochs": 800, "optimizer": "muon",
        "learning_rate": 1e-2, "binarized": True, "importance_samples": 5000,
    },
}  # fmt: skip


# And where pictures of one's own differ: no coin tosses, and seldom tens of thousands of them.
_PICTURES = {"likelihood": "gaussian:learned", "latent_dim": 32, "batch_size": 32, "epochs": 0}
OWN_DEFAULTS = {model: _PICTURES for model in _PIXELS}


class Objective(nn.Module):
    r"""A VAE with its loss: what is called, and wrapped by Accelerate, in each step."""

    def __init__(self, vae: VAE, settings: Settings):
        super().__init__()
        self.vae, self.samples = vae, settings.samples
        self.half, self.binarized = settings.precision == "bfloat16", settings.binarized
        self.by_path = settings.gradient == "path"

    def forward(self, image: Tensor, label: Tensor) -> dict[str, Tensor]:
        r"""Batch averages in nats: image (B, 1, 28, 28), label (B,) → loss, reconstruction, kl."""
        image = binarize(image) if self.binarized else image
        count = self.samples
        if isinstance(self.vae, TwoLevelVAE):
            return self._two_levels(image)
        given = [label] if isinstance(self.vae, ConditionalVAE) else []
        with torch.autocast(image.device.type, torch.bfloat16, enabled=self.half):
            mean, log_var = (part.float() for part in self.vae.encode(image))  # (B, D)
        wide_mean, wide_log_var = (part.expand(count, *part.shape) for part in (mean, log_var))
        latent = self.vae.sampling(wide_mean, wide_log_var)  # (K, B, D)
        with torch.autocast(image.device.type, torch.bfloat16, enabled=self.half):
            output = self.vae.output(
                latent.flatten(end_dim=1), *(part.repeat(count) for part in given)
            )  # (K · B, …)
        repeated = image.repeat(count, *[1] * (image.dim() - 1))
        nll = self.vae.likelihood.nll(output.float(), repeated).view(count, -1)  # (K, B)
        kl = losses.gaussian_kl(mean, log_var)  # (B,)
        if count == 1 and not self.by_path:
            loss = nll[0] + kl  # −ELBO, with the KL in closed form
        else:
            zero = torch.zeros_like(wide_mean)
            prior = losses.gaussian_log_prob(latent, zero, zero)
            held = self.by_path and torch.is_grad_enabled()
            q = [part.detach() if held else part for part in (wide_mean, wide_log_var)]
            log_weights = prior - losses.gaussian_log_prob(latent, *q) - nll  # (K, B)
            loss = -losses.iwae_bound(log_weights)  # (B,)
            if held:
                hear_the_path(latent, log_weights)
        return {"loss": loss.mean(), "reconstruction": nll.mean(), "kl": kl.mean()}

    def _two_levels(self, image: Tensor) -> dict[str, Tensor]:
        with torch.autocast(image.device.type, torch.bfloat16, enabled=self.half):
            output, lower, upper = self.vae(image)
        nll = self.vae.likelihood.nll(output.float(), image)  # (B,)
        return {
            "loss": (nll + lower + upper).mean(), "reconstruction": nll.mean(),
            "kl": (lower + upper).mean(), "kl_upper": upper.mean(),
        }  # fmt: skip


def hear_the_path(latent: Tensor, log_weights: Tensor) -> None:
    r"""Let the gradient of an importance-weighted bound reach the encoder by the draws alone.

    The density q(z | x) in `log_weights` holds its parameters still. What is left out has the mean
    0 if what comes back through each draw is multiplied by its weight once more; it is noise, and
    all of the noise once q(z | x) is the posterior. With one draw there is nothing to multiply.

    Shapes: latent (K, B, D), which requires a gradient; log_weights (K, B)
    Source: Tucker et al. 2019, equation 10; with one draw Roeder et al. 2017.
    """
    weights = log_weights.detach().softmax(dim=0).unsqueeze(-1)  # (K, B, 1)
    latent.register_hook(lambda gradient: weights * gradient)


class Task:
    r"""A VAE, its images, its optimizers, and what its card says: see `run.Task`."""

    clip = None

    def __init__(self, settings: Settings):
        self.images = Images(
            settings.dataset, settings.batch_size, size=settings.size, loading=settings.loading
        )
        if not settings.epochs:
            enough = min(200, max(10, round(STEPS / self.images.steps)))
            settings = dataclasses.replace(settings, epochs=enough)
        self.settings = settings
        self.architecture = self._architecture()
        torch.manual_seed(settings.seed)
        self.model = build_vae(**self.architecture)
        if settings.dataset not in IMAGE_SETS and not isinstance(self.images.data, TableData):
            begin_at_the_data(self.model, self.images.train)
        if settings.model == "paper-vae":
            initialize_as_published(self.model, self.images.train)
        if settings.start:
            begin_with(self.model, settings.start)
        self.stored, self.objective = self.model, Objective(self.model, settings)
        self.optimizers = make_optimizers(self.model, settings)
        self.every, self.steps = self.images.steps, settings.epochs * self.images.steps
        self.identity = self.images.identity

    def _architecture(self) -> dict[str, object]:
        r"""What `build_vae` makes the model from; only what differs from its defaults."""
        settings, data = self.settings, self.images.data
        made = {"kind": settings.model}
        made |= {"latent_dim": settings.latent_dim, "width": settings.width}
        if isinstance(data, TableData) != (settings.model == "table-vae"):
            what = f"{settings.model} is not for {settings.dataset!r}"
            raise ValueError(f"{what}: table-vae is for tables, the others for images")
        if isinstance(data, TableData):
            return made | {"likelihood": [column_likelihood(column) for column in data.columns]}
        more = {
            "image_shape": (data.image_shape, IMAGE_SHAPE), "layers": (settings.layers, 1),
            "upper_dim": (settings.upper_dim, 16),
            "likelihood": (settings.likelihood, "bernoulli"),
        }  # fmt: skip
        if settings.model == "conditional-vae":
            more["classes"] = len(data.class_names), 10
        return made | {name: value for name, (value, usual) in more.items() if value != usual}

    def to(self, device: torch.device) -> None:
        self.model.to(device)
        self.images.to(device)

    def batches(self, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        return self.images.batches(generator)

    def learning_rate_at(self, step: int) -> float:
        return self.settings.learning_rate * up_and_down(step, self.steps)

    def place(self, step: int) -> dict[str, float]:
        return {"epoch": step // self.every}

    def held_out(self) -> dict[str, float]:
        return self.images.held_out(self.objective)

    def card(self) -> dict[str, object]:
        return {"architecture": self.architecture, "data": self.images.card}

    @torch.no_grad()
    def measured(self) -> dict[str, object]:
        settings, vae, images = self.settings, self.model, self.images.test
        pixels = f"likelihood {self.architecture.get('likelihood', 'bernoulli, of grey pixels')}"
        if settings.binarized:
            generator = torch.Generator(device=images.device).manual_seed(settings.seed)
            images = binarize(images, generator=generator)
            pixels = "pixels drawn once with the run's seed"
        labels = self.images.test_labels if isinstance(vae, ConditionalVAE) else None
        rows = max(50, 2000 * math.prod(IMAGE_SHAPE) // images[0].numel())  # memory for so many
        found = metrics.elbo(vae, images, labels=labels, batch_size=min(500, rows))
        samples = settings.importance_samples
        bound = metrics.importance_bound(
            vae, images, samples=samples, labels=labels, rows=min(2000, rows)
        )
        if isinstance(vae, TwoLevelVAE):
            codes = torch.cat([vae.encode_upper(part)[1] for part in images.split(500)])
        else:
            codes = metrics.latent_codes(vae, images)[0]
        numbers = {
            "negative_elbo": found.total, "reconstruction": found.reconstruction, "kl": found.kl,
            f"negative_importance_bound_{samples}": -bound,
        }  # fmt: skip
        measured: dict[str, object] = {}
        for name, values in numbers.items():
            if len(values) < 2:  # one test picture tells no error
                measured[name] = {"mean": round(float(values.mean()), 4), "standard_error": None}
                continue
            mean, error = metrics.mean_with_error(values.cpu())
            measured[name] = {"mean": round(mean, 4), "standard_error": round(error, 4)}
        measured["unit"] = "nats per image"
        measured["how"] = f"all {len(images):,} of the test set, {pixels}"
        if len(codes) > 1:
            measured["active_units"] = int(metrics.active_units(codes).sum())
        return measured

    def sentence(self, card: dict) -> str:
        found = card["measured"]["negative_elbo"]
        error = "" if found["standard_error"] is None else f" ± {found['standard_error']}"
        return f"−ELBO {found['mean']}{error} nats each, on the test set"

    def page(self, out: Path, card: dict, history: History) -> Path:
        return page.write_page(out, self.model, card, self.images.data, history)


def column_likelihood(column: Column) -> str:
    r"""What a column of a table is modelled by, as `losses.likelihood_of` reads it."""
    return {
        "number": "gaussian:learned", "count": "poisson",
        "category": f"categorical:{len(column.categories)}",
    }[column.kind]  # fmt: skip


def initialize_as_published(vae: VAE, images: Tensor) -> None:
    r"""Glorot uniform weights; the output biases are the logits of the mean training pixels."""
    for layer in vae.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    last = [layer for layer in vae.decoder if isinstance(layer, nn.Linear)][-1]
    with torch.no_grad():
        last.bias.copy_(torch.logit(images.mean(dim=0).flatten(), eps=1e-3))


SPREAD_SHARE = 10.0  # of the learning rate


@torch.no_grad()
def begin_at_the_data(vae: nn.Module, images: Tensor) -> None:
    r"""Let the decoder begin at the average colours, and σ at how far off these are.

    A σ that begins at 1 would spend the training on its way; see notebook 09.
    """
    last = [layer for layer in vae.decoder.modules() if getattr(layer, "bias", None) is not None]
    channels, width = images.shape[1], vae.likelihood.channels
    if not last or width > 2 or last[-1].bias.numel() % (channels * width):
        return
    colour = images.mean(dim=(0, 2, 3))  # (C,)
    off = (images - images.mean(dim=0)).square().mean().sqrt().clamp(min=1e-3)
    bias = last[-1].bias.view(channels * width, -1)  # (width · C, 1), or (width · C, H · W)
    likelihood = vae.likelihood
    if isinstance(likelihood, losses.Bernoulli):
        bias.copy_(torch.logit(colour, eps=1e-3)[:, None].expand_as(bias))
    elif isinstance(likelihood, losses.DiscretizedLogistic):
        bias[:channels] = (2 * colour - 1)[:, None]
        bias[channels:] = torch.log(2 * off * math.sqrt(3) / math.pi)  # σ = π s / √3
    elif isinstance(likelihood, losses.Gaussian):
        bias[:channels] = colour[:, None]
        if likelihood.std == "predicted":
            bias[channels:] = torch.log(off)
        elif likelihood.std == "learned":
            likelihood.log_std.fill_(torch.log(off))


def begin_with(vae: nn.Module, start: str) -> None:
    r"""Take the weights of a trained model. Raises: DataError, ValueError if it is another one."""
    found = pretrained.load(start)[0].state_dict()
    shapes = [{name: tuple(value.shape) for name, value in part.items()}
              for part in (found, vae.state_dict())]  # fmt: skip
    if shapes[0] != shapes[1]:
        raise ValueError(f"--start {start} has other layers than this model: give the same sizes")
    vae.load_state_dict(found)


def make_optimizers(vae: nn.Module, settings: Settings) -> list[torch.optim.Optimizer]:
    r"""Adam, a learned σ at ten times its rate; or Muon for the matrices, and Adam at a fifth."""
    rate = settings.learning_rate
    if settings.optimizer == "adam":
        spread = list(getattr(vae, "likelihood", nn.Identity()).parameters())  # a learned σ
        weights = [p for p in vae.parameters() if all(p is not other for other in spread)]
        groups = [{"params": weights}]
        if spread:  # Adam moves a number by about the rate in a step, and σ may have far to go
            groups.append({"params": spread, "share": SPREAD_SHARE})
        return [torch.optim.Adam(groups, lr=rate, fused=True)]
    if not hasattr(torch.optim, "Muon"):
        raise ValueError(f"optimizer muon needs torch 2.9 or newer, this is {torch.__version__}")
    matrices = [p for p in vae.parameters() if p.dim() == 2]
    others = [p for p in vae.parameters() if p.dim() != 2]
    muon = torch.optim.Muon(
        matrices, lr=rate, weight_decay=0.0, adjust_lr_fn="match_rms_adamw"
    )  # fmt: skip
    adam = torch.optim.Adam(others, lr=rate, fused=True)
    adam.param_groups[0]["share"] = 0.2
    return [muon, adam]
