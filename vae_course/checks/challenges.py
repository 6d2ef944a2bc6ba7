r"""Challenges: train a model of your own, and see how far it is from a chapter's target.

    checks.challenge("01")           # prints the task
    checks.challenge("01", model)    # measures the model: passed, or how far, and where it loses

Each chapter has one short function below. Its docstring is the task as the student reads it; it
measures a trained model and returns the score, alone or with a sentence on where the model loses:

    @_challenge("01", target=0.011, unit="squared error a pixel on unseen digits", better="lower")
    def _chapter01(model):
        r'''Train an autoencoder with a code of at most 16 numbers on the 4,000 training digits.'''
        images = data.load_images("mnist-5k").test_images
        error = losses.mse_per_image(images, model.reconstruct(images))
        return error.mean(), f"The worst digit has an error of {error.max():.3f}."
"""

import inspect
import math
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from vae_course import data, gan, gpt, losses, metrics, progress
from vae_course.checks import box
from vae_course.metrics import attributes
from vae_course.pretrained import load_vae
from vae_course.printing import say
from vae_course.vq import codebook_perplexity

__all__ = ["CHALLENGES", "Challenge", "Result", "challenge"]

SEED = 0  # of the noise that a measurement draws: the same model always gets the same score
_WIDTH = 78


@dataclass(frozen=True)
class Challenge:
    r"""What is asked of a chapter's model.

    measure(model) → the score, or (score, where the model loses); it is called without gradients,
    with the model in evaluation mode. `challenge` does everything else.
    """

    chapter: str
    task: str
    target: float
    unit: str
    better: Literal["lower", "higher"]
    measure: Callable[[Any], Any]

    def reached(self, score: float) -> bool:
        return score <= self.target if self.better == "lower" else score >= self.target

    @property
    def goal(self) -> str:
        bound = "at most" if self.better == "lower" else "at least"
        return f"{bound} {self.target:.4g} {self.unit}"


@dataclass(frozen=True)
class Result:
    r"""What a challenge found: `passed`, `score` (None without a model), `target`, `where`."""

    challenge: Challenge
    status: Literal["task", "passed", "not yet", "error"]
    score: float | None = None
    where: str = ""

    @property
    def passed(self) -> bool:
        return self.status == "passed"

    @property
    def target(self) -> float:
        return self.challenge.target

    def told(self) -> tuple[str, list[str]]:
        r"""Title, its sign first, and paragraphs."""
        asked, name = self.challenge, f"challenge {self.challenge.chapter}"
        title, paragraphs = {
            "task": (f"▷ {name}", [asked.task, f"Target: {asked.goal}."]),
            "passed": (f"✓ {name}: passed", []),
            "not yet": (f"✗ {name}: not there yet", []),
            "error": (f"! {name}: the model could not be measured", [self.where]),
        }[self.status]
        if self.score is not None:
            distance = abs(self.score - self.target)
            missing = "" if self.passed else f" {distance:.3g} is missing."
            paragraphs = [f"{self.score:.4g}; asked for: {asked.goal}.{missing}", self.where]
        return title, "\n".join(filter(None, paragraphs)).splitlines()

    def __str__(self) -> str:
        title, paragraphs = self.told()
        lines = [f"┌─ {title}"]
        for paragraph in paragraphs:
            lines += ["│  " + line for line in textwrap.wrap(paragraph, _WIDTH - 3) or [""]]
        return "\n".join([*lines, "└─"])

    __repr__ = __str__

    def _ipython_display_(self) -> None:
        r"""Nothing: the box was printed already."""


CHALLENGES: dict[str, Challenge] = {}


def _challenge(chapter: str, *, target: float, unit: str, better: Literal["lower", "higher"]):
    r"""Makes a challenge of a function that measures a model; its docstring is the task."""

    def register(measure: Callable) -> Callable:
        paragraphs = inspect.cleandoc(measure.__doc__ or "").split("\n\n")
        task = "\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
        CHALLENGES[chapter] = Challenge(chapter, task, target, unit, better, measure)
        return measure

    return register


def challenge(chapter: str, model: Any = None) -> Result:
    r"""Measure a trained model against the chapter's target; print and return the result.

    Without a model it prints the task. Random numbers, the grad mode and the model's training mode
    are left as they were.

    Raises: ValueError for a chapter without a challenge.
    """
    name = f"{chapter:02d}" if isinstance(chapter, int) else str(chapter)
    if name not in CHALLENGES:
        known = ", ".join(sorted(CHALLENGES)) or "none yet"
        raise ValueError(f"chapter {name!r} has no challenge; there are: {known}")
    asked = CHALLENGES[name]
    result = Result(asked, "task") if model is None or model is ... else _measure(asked, model)
    if result.passed:
        progress.record("challenges", name)
    if result.status == "task":  # nothing is judged, and notebooks store it
        say(str(result))
    else:
        box.put(str(result), *result.told())
    return result


def _measure(asked: Challenge, model: Any) -> Result:
    training = isinstance(model, nn.Module) and model.training
    if training:
        model.eval()
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            torch.default_generator.manual_seed(SEED)
            found = asked.measure(model)
    except Exception as error:
        kind = f"A {type(model).__name__} came, and measuring it raised {type(error).__name__}"
        return Result(asked, "error", None, f"{kind}: {str(error)[:300]}\n{asked.task}")
    finally:
        if training:
            model.train()
    score, where = found if isinstance(found, tuple) else (found, "")
    score = float(score)
    return Result(asked, "passed" if asked.reached(score) else "not yet", score, where)


# --- chapter 01 ---------------------------------------------------------------------------------


@_challenge(
    "01", target=0.0210, unit="squared error a pixel on the 1,000 test digits", better="lower"
)
def _chapter01(model):
    r"""Train an autoencoder with a code of at most 8 numbers, in about a minute.

    Use the 3,500 training digits of data.load_images("mnist-5k", validation=500), and choose by the
    500 validation digits. `model` has two parts, as in section 3: model.encoder(image) gives the
    code, (B, 8), and model.decoder(code) the logits, (B, 1, 28, 28).
    """
    digits = data.load_images("mnist-5k", validation=500)
    error = _error_through_code(model, digits.test_images, at_most=8)
    learned = _error_through_code(model, digits.train_images, at_most=8).mean()
    by_class = torch.stack([error[digits.test_labels == label].mean() for label in range(10)])
    where = (
        f"It loses most on the {by_class.argmax()}s ({by_class.max():.4f}) and least on the "
        f"{by_class.argmin()}s ({by_class.min():.4f}). On its training digits the error is "
        f"{learned:.4f}"
    )
    if learned < 0.75 * error.mean():
        advice = (
            "much lower, so part of it is learned by heart. More variety in the training "
            "digits will help more than a larger network."
        )
    else:
        advice = (
            "not much lower, so little is learned by heart. Train longer, with steps that "
            "get smaller towards the end, or give it another layer."
        )
    return error.mean(), f"{where}, {advice}"


def _error_through_code(model: nn.Module, images: Tensor, *, at_most: int) -> Tensor:
    r"""Squared error of each image after its way through the code; a longer code is refused."""
    code = model.encoder(images)
    if code.shape[:1] != images.shape[:1] or code.dim() != 2 or code.shape[1] > at_most:
        raise ValueError(
            f"the code of {len(images)} images has shape {tuple(code.shape)}; expected "
            f"({len(images)}, D) with D at most {at_most}"
        )
    return losses.mse_per_image(images, torch.sigmoid(model.decoder(code)))


# --- chapter 02 ---------------------------------------------------------------------------------


@_challenge(
    "02", target=0.0160, unit="squared error a pixel on the 1,000 test digits", better="lower"
)
def _chapter02(model):
    r"""Train a convolutional autoencoder of at most 35,000 weights, with a code of at most 16.

    Use the 3,500 training digits of data.load_images("mnist-5k", validation=500), and choose by the
    500 validation digits; a minute or two of training is enough. model.encoder(image) gives the
    code, (B, 16), and model.decoder(code) the logits, (B, 1, 28, 28).
    """
    weights = sum(parameter.numel() for parameter in model.parameters())
    if weights > 35_000:
        raise ValueError(f"the model has {weights:,} weights; expected at most 35,000")
    digits = data.load_images("mnist-5k", validation=500)
    error = _error_through_code(model, digits.test_images, at_most=16)
    learned = _error_through_code(model, digits.train_images, at_most=16).mean()
    dense = sum(
        parameter.numel()
        for module in model.modules()
        if isinstance(module, nn.Linear)
        for parameter in module.parameters()
    )
    where = f"{dense / max(weights, 1):.0%} of its {weights:,} weights sit in dense layers. "
    where += f"On its training digits the error is {learned:.4f}, "
    if learned < 0.9 * error.mean():
        where += "lower than on the test digits: it has begun to learn by heart."
    else:
        where += (
            "hardly lower, so it can still learn: more passes, steps that get smaller, or more "
            "channels paid for with smaller dense layers."
        )
    return error.mean(), where


# --- chapter 03 ---------------------------------------------------------------------------------

SHAKE = 0.25  # of the spread of the means: the least that a code is shaken by


@_challenge("03", target=20.0, unit="squared error per unseen digit, its code shaken",
            better="lower")  # fmt: skip
def _chapter03(model):
    r"""Train an autoencoder whose code is ten numbers, each drawn from a cloud, on the 4,000
    training digits of "mnist-5k". It has `encode(image)`, which gives mean and log_var, (B, 10)
    each, and `decode(latent)`, which gives pixels. The challenge draws the codes of the 1,000 test
    digits: with your σ, or with a quarter of the spread of your means over the digits, whichever
    is larger."""
    images = data.load_images("mnist-5k").test_images
    mean, log_var = model.encode(images)
    if mean.shape != (len(images), 10) or log_var.shape != mean.shape:
        raise ValueError(f"codes of shape {tuple(mean.shape)}; expected ten numbers an image")
    std, least = torch.exp(0.5 * log_var), SHAKE * mean.std(dim=0)
    shaken = mean + torch.maximum(std, least) * torch.randn_like(mean)
    squared = [losses.mse_per_image(images, model.decode(z)) * 784 for z in (mean, shaken)]
    calm, score = (each.mean().item() for each in squared)
    narrow = int((std.median(dim=0).values < least).sum())
    return score, (
        f"Unshaken the error would be {calm:.1f}. In {narrow} of 10 dimensions a typical cloud is "
        "narrower than the shaking: there the decoder gets codes that it never met in training."
    )


# --- chapter 04 ---------------------------------------------------------------------------------

ALLOWED_NATS, FINE = 10.0, 10.0  # the rate, and what each nat above it costs


@_challenge("04", target=118.0, unit="nats of reconstruction, each nat of KL above ten counted "
            "tenfold", better="lower")  # fmt: skip
def _chapter04(model):
    r"""Train a VAE on the 4,000 training digits of "mnist-5k" that tells an unseen digit in ten
    nats: its KL on the 1,000 test digits is at most 10 on average, and its reconstruction term,
    -log p(x | z) with one draw a digit, is as small as you can make it. `model(image)` gives
    logits, mean and log_var, as `VAE` does. Any number of latents, any network, any loss."""
    images = data.load_images("mnist-5k").test_images
    logits, mean, log_var = model(images)
    kl = losses.gaussian_kl(mean, log_var).mean().item()
    reconstruction = losses.bernoulli_nll(logits, images).mean().item()
    score = reconstruction + FINE * max(0.0, kl - ALLOWED_NATS)
    if kl > ALLOWED_NATS:
        where = "too many nats: a larger β saves some"
    elif kl < ALLOWED_NATS - 1:
        where = "nats are left over: a smaller β may spend them"
    else:
        where = "the nats are well spent: what is left is the network and the training"
    return score, f"Reconstruction {reconstruction:.1f}, KL {kl:.2f}: {where}."


# --- chapter 05 ---------------------------------------------------------------------------------

BY_HEART = 12.0  # nats between training and test digits: more is overfitting


@_challenge("05", target=113.0, unit="nats a test digit (−ELBO)", better="lower")
def _chapter05(model):
    r"""Train a VAE for at most three minutes on two cores, from nothing but the 4,000 training
    digits of "mnist-5k" (those that you hold back for validation are some of them). It has what
    the VAE of the chapter has: `encode`, `sampling`, and a `decoder` that returns logits; any
    number of latents. Measured is the −ELBO on the 1,000 test digits, grey pixels read as
    probabilities. The models that ship with the course don't count: they have seen those digits.
    """
    images = data.load_images("mnist-5k")
    if not isinstance(likelihood := getattr(model, "likelihood", losses.Bernoulli()),
                      losses.Bernoulli):  # fmt: skip
        raise ValueError(
            f"its likelihood is {type(likelihood).__name__}: nats of another likelihood can't be "
            "compared; expected Bernoulli logits"
        )
    found = metrics.elbo(model, images.test_images, samples=3)
    known = metrics.elbo(model, images.train_images[:1000], samples=3)
    score, gap = found.total.mean(), (found.total.mean() - known.total.mean()).item()
    where = (
        "it has learnt them by heart" if gap > BY_HEART
        else "there is room for more training, or for a wider network"
    )  # fmt: skip
    return score, (
        f"Reconstruction {found.reconstruction.mean():.1f} + KL {found.kl.mean():.1f}. Training "
        f"digits cost {gap:.1f} nats less: {where}."
    )


# --- chapter 06 ---------------------------------------------------------------------------------

DRAWN, NEAR = 4000, 0.15  # samples; how near to its centre a sample counts


@_challenge("06", target=0.09, unit="of all samples at the cluster that gets fewest "
            "(a perfect generator: 0.124)", better="higher")  # fmt: skip
def _chapter06(model):
    r"""Train a generator, latents (B, 4) → points (B, 2), by a game on the ring of eight clusters,
    gan.ring_of_gaussians(4000), in at most three minutes. The challenge draws 4,000 samples from
    latents of N(0, I), counts those within 0.15 of each of the eight centres, and looks at the
    cluster that gets fewest."""
    samples, centers = model(torch.randn(DRAWN, 4)), gan.ring_centers(8)
    if samples.shape != (DRAWN, 2):
        raise ValueError(f"samples of shape {tuple(samples.shape)}; expected ({DRAWN}, 2)")
    near = torch.cdist(samples, centers) <= NEAR  # (samples, 8)
    shares = near.double().mean(dim=0)  # (8,)
    x, y = centers[shares.argmin()].tolist()
    covered, lost = int((shares > 0).sum()), 1 - near.any(dim=1).double().mean().item()
    where = f"{covered} of 8 clusters are visited; the one at ({x:.1f}, {y:.1f}) gets fewest. "
    if covered < 8:
        return shares.min(), where + "Where modes are missing, the discriminator is too slow."
    return shares.min(), where + (
        f"{lost:.0%} of all samples lie on no cluster: "
        + ("most are on their way between two. " if lost > 0.5 else "")
        + "More steps, smaller ones towards the end, sharpen what is there."
    )


# --- chapter 07 ---------------------------------------------------------------------------------

WIDER, MOST_SLANT, MOST_THICKNESS = 3.0, 5.0, 0.5  # pixels, degrees, pixels


@_challenge("07", target=0.82, unit="of the 1,000 test digits edited as asked", better="higher")
def _chapter07(edit):
    r"""Write edit(codes), (N, 20) to (N, 20), that makes digits wider and changes nothing else.

    The codes are means of pretrained.load_vae("vae-conv"), and its decoder draws before and after.
    A digit counts if it is at least 3 pixels wider, leans within 5 degrees of what it did, has a
    stroke within half a pixel of what it had (vae_course.metrics.attributes), and is read as its
    own label by metrics.classify. `edit` gets the codes of the 1,000 test digits and no labels.
    """
    model, _ = load_vae("vae-conv")
    digits = data.load_images("mnist-5k")
    codes, _ = metrics.latent_codes(model, digits.test_images)
    edited = edit(codes.clone())
    if not isinstance(edited, Tensor) or edited.shape != codes.shape:
        came = tuple(edited.shape) if isinstance(edited, Tensor) else type(edited).__name__
        raise ValueError(f"edit returned {came}; expected codes of shape {tuple(codes.shape)}")
    images = model.decode(edited)
    change = attributes.measure(images) - attributes.measure(model.decode(codes))
    passed = {
        "are wide enough": change[:, 2] >= WIDER,
        "keep their slant": change[:, 0].abs() <= MOST_SLANT,
        "keep their stroke": change[:, 1].abs() <= MOST_THICKNESS,
        "are read as their label": metrics.classify(images).argmax(dim=1) == digits.test_labels,
    }
    shares = {name: part.float().mean().item() for name, part in passed.items()}
    where = ", ".join(f"{share:.0%} {name}" for name, share in shares.items())
    whole = torch.stack(list(passed.values())).all(dim=0).float().mean()
    least = _GOAL[min(shares, key=shares.get)]
    return whole, f"{where}. Most is lost where the digits should {least}."


_GOAL = {
    "are wide enough": "get wide enough",
    "keep their slant": "keep their slant",
    "keep their stroke": "keep their stroke",
    "are read as their label": "stay what they are",
}


# --- chapter 08 ---------------------------------------------------------------------------------


@_challenge("08", target=1.39, unit="nats a character on the validation part", better="lower")
def _chapter08(model):
    r"""Train a character model on the first 90 % of data.load_text("python-docs"), in about three
    minutes on two cores. model(tokens), tokens (B, T), gives the logits of each next character,
    (B, T, V), for the characters of gpt.CharTokenizer(text). It is judged on the last 10 %, in
    windows of model.block_size side by side (32 if it has none). bzip2 needs about 1.39 nats a
    character for this part."""
    text = data.load_text("python-docs")
    tokenizer = gpt.CharTokenizer(text)
    _, tokens = gpt.split(tokenizer.encode(text))
    block = int(getattr(model, "block_size", 32))
    count = (len(tokens) - 1) // block
    given = tokens[: count * block].view(count, block)
    asked = tokens[1 : count * block + 1].view(count, block)
    _refuse_a_look_ahead(model, given[:1], len(tokenizer))
    parts = list(zip(given.split(64), asked.split(64), strict=True))
    nats = torch.cat([_nats(model(these), those) for these, those in parts])  # (count, block)
    early = nats[:, : block // 4].mean()
    late = nats[:, -(block // 4) :].mean()
    where = (
        f"In the first quarter of a window it needs {early:.2f} nats a character, in the last "
        f"{late:.2f}: "
    )
    if early - late > 0.25:
        where += (
            "it uses its context well, and each window begins in the dark. A longer block helps."
        )
    else:
        where += "a long context helps it little so far. More steps, or more layers, come first."
    return nats.mean(), where


def _nats(logits: Tensor, asked: Tensor) -> Tensor:
    log_probs = logits.log_softmax(dim=-1)  # (B, T, V)
    return -log_probs.gather(-1, asked[..., None])[..., 0]  # (B, T)


def _refuse_a_look_ahead(model: Any, given: Tensor, vocabulary: int) -> None:
    r"""ValueError if another last character moves the predictions before it."""
    changed = given.clone()
    changed[0, -1] = (changed[0, -1] + 1) % vocabulary
    logits = model(given)
    if logits.shape != (*given.shape, vocabulary):
        raise ValueError(
            f"logits of shape {tuple(logits.shape)} for tokens of shape {tuple(given.shape)}; "
            f"expected (B, T, V) with V = {vocabulary}"
        )
    if (model(changed) - logits)[0, :-1].abs().max() > 1e-3:
        raise ValueError("another last character moves earlier predictions: it reads the future")


# --- chapter 09 ---------------------------------------------------------------------------------


@_challenge("09", target=0.25, unit="bits saved for each of a test picture's values",
            better="higher")  # fmt: skip
def _chapter09(model):
    r"""Train a VAE of colour pictures in at most three minutes: those of data.load_patches(size=24,
    images=1500), or your own. It is judged by what it saves: bits a value (8 bits each, 3 × 24 × 24
    of them in a bundled picture) on test pictures, against somebody who knows only how often each
    level occurs in each channel of them.

    With your own pictures hand in both: checks.challenge("09", (model, own.test_images)). The
    likelihood is one of photographs: Gaussian (with any σ), or the discretised logistic."""
    images = None
    if isinstance(model, tuple):
        model, images = model
    model.eval()
    if images is None:
        images = data.load_patches(size=24, images=1500).test_images
    likelihood = getattr(model, "likelihood", None)
    if not isinstance(likelihood, losses.Gaussian | losses.DiscretizedLogistic):
        raise ValueError(
            f"the likelihood is {type(likelihood).__name__}; expected losses.Gaussian or "
            "losses.DiscretizedLogistic: another one gives no bits of an 8-bit picture"
        )
    reconstruction, kl = (part.mean().item() for part in model.elbo_terms(images))
    values = images[0].numel()
    if isinstance(likelihood, losses.Gaussian):  # a density: a level is 1/255 wide
        reconstruction += values * math.log(255)
    bits = (reconstruction + kl) / (values * math.log(2))
    known = _entropy_of_levels(images)
    share = kl / (values * math.log(2) * bits)
    error = (model.reconstruct(images) - images).square().mean().sqrt().item()
    where = (
        f"{bits:.3f} bits a value; knowing the levels alone takes {known:.3f}. The code takes "
        f"{share:.1%} of them; reconstructions are off by {error:.3f} (root mean square), "
    )
    spread = images.std(dim=0).mean().item()
    if error > 0.5 * spread:
        advice = "much: more passes or a larger code will help most."
    else:
        advice = "little: what is left is texture, which wants a σ for each value."
    return known - bits, where + advice


def _entropy_of_levels(images: Tensor) -> float:
    r"""Bits a value for one who knows the histogram of each channel's 256 levels."""
    levels = (images * 255).round().long().transpose(0, 1).flatten(start_dim=1)  # (C, …)
    shares = torch.stack([channel.bincount(minlength=256) for channel in levels]).double()
    shares = shares / shares.sum(dim=1, keepdim=True)
    return -(shares * shares.clamp(min=1e-30).log2()).sum(dim=1).mean().item()


# --- chapter 10 ---------------------------------------------------------------------------------


@_challenge(
    "10", target=0.0045, unit="squared error a pixel on the 1,000 test digits", better="lower"
)
def _chapter10(model):
    r"""Train an alphabet of at most 64 letters that copies digits with at most 49 of them.

    Use the 3,500 training digits of data.load_images("mnist-5k", validation=500), and choose by the
    500 validation digits; a minute or two of training is enough. model.encode(image) gives the
    letters, (B, 7, 7) whole numbers, and model.decode(letters) the pixels, (B, 1, 28, 28).
    """
    digits = data.load_images("mnist-5k", validation=500)
    letters = model.encode(digits.test_images)
    most, places = int(letters.max()) + 1, letters[0].numel()
    if letters.is_floating_point() or most > 64 or places > 49:
        raise ValueError(f"{places} letters up to {most - 1} came; expected 49 or fewer, below 64")
    error = (model.decode(letters) - digits.test_images).square().flatten(1).mean(dim=1)
    alive = codebook_perplexity(letters, 64)
    by_class = torch.stack([error[digits.test_labels == label].mean() for label in range(10)])
    return error.mean(), (
        f"{alive:.0f} letters are in use; the worst digit is {int(by_class.argmax())}, with an "
        f"error of {by_class.max():.4f}."
    )


@_challenge(
    "11", target=18.0, unit="Fréchet distance of 1,000 samples from the bundled digits",
    better="lower",
)  # fmt: skip
def _chapter11(model):
    r"""Learn where the codes of the shipped VAE lie, so that it writes digits.

    model.sample(1000) must return pictures (1000, 1, 28, 28) with pixels in [0, 1]. Use
    pretrained.load("vae-conv") and the training digits of data.load_images("mnist-5k"). N(0, I) is
    at about 100; two minutes of training are enough.
    """
    images = data.load_images("mnist-5k")
    samples = model.sample(1000).float()
    if samples.shape != (1000, 1, 28, 28):
        came = tuple(samples.shape)
        raise ValueError(f"samples of shape {came} came; expected (1000, 1, 28, 28)")
    real = torch.cat([images.train_images, images.test_images])
    found = metrics.frechet_distance(real, samples.clamp(0, 1))
    counts = metrics.class_histogram(samples.clamp(0, 1)).counts
    least = int(counts.argmin())
    return found.distance, f"Digit {least} is written least often, {counts[least]} times in 1,000."
