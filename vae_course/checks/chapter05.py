r"""Exercises of notebook 05: training a VAE."""

import math
from functools import partial

import torch
import torch.nn.functional as F

from . import _draw as draw
from ._exercise import Exercise, Mistake, Property
from ._generation import EXPLAIN_GENERATION, NotedDecoder, observe_generation
from ._likelihood import (
    SHAPES,
    close,
    far_logits,
    fixed_image,
    follows,
    image_case,
    pixel,
    stand_alone,
)

_LOGITS_FOR_PROBS = (
    "The logits were used as if they were probabilities. A logit may be any number, negative too; "
    "turn it into a probability, or use the function that takes logits."
)
_SIGMOID_TWICE = (
    "The sigmoid is taken twice: a function whose name ends in `with_logits` takes it itself. "
    "Every probability is then between 0.5 and 0.73, and no pixel can ever be black."
)
_LN2 = math.log(2)

# --- bernoulli_nll ---------------------------------------------------------------------------


def bernoulli_nll(logits, image):
    per_pixel = F.binary_cross_entropy_with_logits(logits, image, reduction="none")
    return per_pixel.flatten(start_dim=1).sum(dim=1)  # (B,): pixels add up, images stay apart


def _per_pixel(slips, logits, image):
    if "arguments-swapped" in slips:
        logits, image = image, logits
    if "rounded-image" in slips:
        image = image.round()
    if "sigmoid-twice" in slips:
        logits = torch.sigmoid(logits)
    if "log-of-logits" in slips:
        white, black = logits.log(), (1 - logits).log()
    elif "softmax" in slips:
        probs = logits.flatten(1).softmax(dim=1).view_as(logits)
        white, black = probs.log(), (1 - probs).log()
    else:
        white, black = F.logsigmoid(logits), F.logsigmoid(-logits)
    if "black-for-white" in slips:
        white, black = black, white
    if "white-only" in slips:
        per_pixel = -image * white
    elif "black-only" in slips:
        per_pixel = -(1 - image) * black
    elif "density-not-log" in slips:
        per_pixel = -(image * white.exp() + (1 - image) * black.exp())
    elif "squared-error" in slips:
        per_pixel = (white.exp() - image).square()
    elif "squared-error-of-logits" in slips:
        per_pixel = (logits - image).square()
    elif "absolute-error" in slips:
        per_pixel = (white.exp() - image).abs()
    else:
        per_pixel = -(image * white + (1 - image) * black)
    per_pixel = per_pixel / _LN2 if "bits" in slips else per_pixel
    return -per_pixel if "sign" in slips else per_pixel


def _nll_slipped(slips, logits, image):
    per_pixel = _per_pixel(slips, logits, image)
    flat = per_pixel.flatten(1)
    if "per-pixel" in slips:
        return per_pixel
    if "averaged-over-pixels" in slips:
        return flat.mean(dim=1)
    if "averaged-over-everything" in slips:
        return per_pixel.mean()
    if "summed-over-everything" in slips:
        return per_pixel.sum()
    if "averaged-over-images-too" in slips:
        return flat.sum(dim=1).mean()
    if "summed-over-images" in slips:
        return per_pixel.sum(dim=0)
    if "first-axis-only" in slips:
        return per_pixel.sum(dim=1)
    if "last-axis-only" in slips:
        return per_pixel.sum(dim=-1)
    if "channels-apart" in slips:
        return per_pixel.sum(dim=(-2, -1))
    return flat.sum(dim=1, keepdim="keeps-an-axis" in slips)


def _bce_of_logits(logits, image):
    return F.binary_cross_entropy(logits, image, reduction="none").flatten(1).sum(dim=1)


_NLL_REDUCTIONS = (
    Mistake("averaged-over-pixels", "You averaged over the pixels. The pixels are independent "
            "given the code, so their log-probabilities add up; against a KL that is a sum, the "
            "average hides a β equal to the number of pixels."),
    Mistake("averaged-over-everything", "Pixels and images were averaged: that is what the losses "
            "of PyTorch do unless told otherwise (`reduction`). Add up the pixels, keep the "
            "images apart."),
    Mistake("summed-over-everything", "Pixels and images were added up together: one number is "
            "left, and it grows with the batch. Keep one number per image."),
    Mistake("averaged-over-images-too", "The images were averaged too. That belongs into the "
            "training step, where it can be seen: return one number per image."),
    Mistake("per-pixel", "One number per pixel came back. Independent pixels: their "
            "log-probabilities add up to that of the image."),
    Mistake("summed-over-images", "You added up axis 0, the images. Add up what belongs to one "
            "image and keep the images apart."),
    Mistake("first-axis-only", "Only axis 1 was added up. That is all pixels for (B, P), but "
            "only the channels for (B, 1, 28, 28): an image may have several axes."),
    Mistake("last-axis-only", "Only the last axis was added up: for (B, 1, 28, 28) that is one "
            "row of pixels. An image may have several axes."),
    Mistake("channels-apart", "The last two axes were added up. Flat images (B, P) have no two "
            "axes to spare, and images with channels keep theirs apart. Everything after the "
            "batch is pixels."),
    Mistake("keeps-an-axis", "The shape is (B, 1), not (B,). Added to a KL of shape (B,) it would "
            "broadcast to (B, B) without a word."),
)


def _far(function) -> bool:
    logits, image, expected = far_logits()
    return close(function(logits, image), expected)


def _still_pulls(function) -> bool:
    r"""Sure and wrong at ±200: the gradient must be ±1, not 0 or NaN."""
    logits, image, _ = far_logits()
    leaf = logits.clone().requires_grad_()
    function(leaf, image).sum().backward()
    return close(leaf.grad, torch.tensor([[1.0], [-1.0], [0.0]]).expand(3, 4))


BERNOULLI_NLL = Exercise(
    name="bernoulli_nll",
    chapter=5,
    minutes=8,
    difficulty=2,
    returns="(B,), −log p(image | logits) of each image in nats, whatever the shape of an image",
    reference=bernoulli_nll,
    case=image_case,
    slipped=_nll_slipped,
    mistakes=(
        Mistake("sign", "This is the log-likelihood. A function called nll returns its negative, "
                "which is never below 0: minimising yours would make every image impossible."),
        Mistake("logits-as-probabilities", _LOGITS_FOR_PROBS, alone=_bce_of_logits),
        Mistake("log-of-logits", "You took the logarithm of the logits, which is NaN for negative "
                "ones. A logit may be any number: it is not yet a probability."),
        Mistake("sigmoid-twice", _SIGMOID_TWICE),
        Mistake("softmax", "A softmax ties the pixels together: their probabilities would add up "
                "to 1, as if exactly one pixel were white. Each pixel is a coin of its own."),
        Mistake("black-for-white", "Black and white are exchanged: either the sign of the logits, "
                "or log p and log(1 − p) stand at the wrong pixels. A large logit means that "
                "white is likely."),
        Mistake("white-only", "Only the white pixels count, −x log p. Then p = 1 everywhere is "
                "perfect: painting a black pixel white must cost something too."),
        Mistake("black-only", "Only the black pixels count, −(1 − x) log(1 − p). The white ones "
                "have a term as well."),
        Mistake("density-not-log", "The probabilities were added up without their logarithm. "
                "Probabilities multiply; it is their logarithms that add up."),
        Mistake("squared-error", "This is a squared error: a Gaussian likelihood with a fixed "
                "width (and without its constant). The pixels are Bernoulli here."),
        Mistake("squared-error-of-logits", "The logits themselves were compared with the pixels. "
                "They are log-odds: a black pixel wants a logit of −∞, not 0."),
        Mistake("absolute-error", "This is an absolute error (a Laplace likelihood). The pixels "
                "are Bernoulli here: a logarithm belongs in."),
        Mistake("arguments-swapped", "The two arguments are exchanged: the image was read as "
                "logits and the logits as the picture to be hit."),
        Mistake("rounded-image", "The pixels were rounded to 0 and 1. A grey pixel counts by its "
                "value: x of the white term and 1 − x of the black one."),
        Mistake("bits", "These are bits (logarithm to base 2). In nats there is no division by "
                "log 2."),
        *_NLL_REDUCTIONS,
    ),
    properties=(
        Property("one-image", lambda f: f(*fixed_image(1, 1, 4, 3)).shape == (1,),
                 "A batch of one image must give shape (1,): look for a `squeeze`."),
        Property("coin-toss", lambda f: close(pixel(f, 0, 1), _LN2) and
                 close(pixel(f, 0, 0), _LN2) and close(pixel(f, 0, 0.3), _LN2),
                 "One pixel with logit 0 is a fair coin: log 2 = 0.693 nats whether the pixel is "
                 "black, grey or white."),
        Property("one-pixel", lambda f: close(pixel(f, 2, 1), 0.126928) and
                 close(pixel(f, 2, 0), 2.126928),
                 "One pixel with logit 2 is white with probability 0.881: a white pixel should "
                 "cost 0.127 nats and a black one 2.127."),
        Property("grey", lambda f: close(pixel(f, 2, 0.25), 1.626928), "A grey pixel of 0.25 costs "
                 "a quarter of what a white one costs and three quarters of a black one: at logit "
                 "2, 1.627 nats."),
        Property("any-shape", lambda f: all(
                 close(f(*pair), f(*(t.flatten(1) for t in pair)))
                 for pair in (fixed_image(3, *shape) for shape in SHAPES)),
                 "The same image as (B, P), (B, 1, H, W) or (B, C, H, W) must give the same "
                 "number: everything after the batch axis is pixels."),
        Property("stands-alone", lambda f: stand_alone(f, *fixed_image(4, 1, 4, 3)),
                 "The answer for an image changes with the other images of the batch (their "
                 "number, say). Each image stands alone."),
        Property("sure-and-wrong", _far, "Four pixels with logits of 200 and −200: sure and wrong "
                 "costs 200 nats a pixel, sure and right costs 0. Yours gives something else: "
                 "sigmoid(200) is exactly 1 in single precision, so log(1 − p) is −∞, and a clamp "
                 "or a small constant (the built-in one of F.binary_cross_entropy too) caps the "
                 "cost. Compute it from the logits."),
        Property("still-pulls", _still_pulls, "At logits of ±200 on the wrong side the gradient "
                 "must be ±1 per pixel: with 0 or NaN the worst pixels are those that never learn. "
                 "Compute the loss from the logits, without a clamp."),
        Property("gradient", lambda f: follows(lambda logits: f(logits, fixed_image(4, 6)[1]
                 .to(logits.dtype)), fixed_image(4, 6)[0]), "The gradient does not follow the "
                 "values: look for `.detach()`, `.item()`, NumPy or `torch.no_grad()`. As a loss "
                 "it would train nothing."),
    ),
)

# --- negative_elbo ---------------------------------------------------------------------------


def negative_elbo(logits, image, mean, log_var, beta=1.0):
    per_pixel = F.binary_cross_entropy_with_logits(logits, image, reduction="none")
    reconstruction = per_pixel.flatten(start_dim=1).sum(dim=1)  # (B,) nats
    kl = 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum(dim=1)  # (B,) nats
    return (reconstruction + beta * kl).mean()  # averaged over the images, and nothing else


def _elbo_case(generator):
    logits, image = image_case(generator)
    latent = draw.integer(generator, 9, 12)  # no axis of an image is as long
    codes = [draw.normal(generator, len(image), latent) for _ in range(2)]
    if generator.initial_seed() % 2:  # every other case leaves beta to its default
        return logits, image, *codes
    return logits, image, *codes, 1.5 + 2 * float(torch.rand((), generator=generator))


def _elbo_slipped(slips, logits, image, mean, log_var, beta=1.0):
    reconstruction = _per_pixel(slips, logits, image).flatten(1)
    if "averaged-over-pixels" in slips:
        reconstruction = reconstruction.mean(dim=1)
    else:
        reconstruction = reconstruction.sum(dim=1)
    if "mean-and-log-var-swapped" in slips:
        mean, log_var = log_var, mean
    scale = 0.5 if "std-for-variance" in slips else 2.0 if "log-var-as-log-std" in slips else 1.0
    log_term = 2 * log_var if "log-var-as-log-std" in slips else log_var
    square = torch.zeros_like(mean) if "mean-dropped" in slips else mean.square()
    per_latent = square + (scale * log_var).exp() - (0 if "one-dropped" in slips else 1) - log_term
    per_latent = per_latent if "half-missing" in slips else 0.5 * per_latent
    averaged = "averaged-over-latents" in slips
    kl = per_latent.mean(dim=1) if averaged else per_latent.sum(dim=1)
    count = len(image)
    reconstruction = count * reconstruction if "reconstruction-summed" in slips else reconstruction
    kl = count * kl if "kl-summed" in slips else kl
    kl = torch.zeros_like(kl) if "kl-forgotten" in slips else kl
    kl = -kl if "kl-subtracted" in slips else kl
    reconstruction = 0 * kl if "reconstruction-forgotten" in slips else reconstruction
    reconstruction = -reconstruction if "reconstruction-sign" in slips else reconstruction
    if "beta-on-reconstruction" in slips:
        total = beta * reconstruction + kl
    elif "beta-on-both" in slips:
        total = beta * (reconstruction + kl)
    elif "beta-ignored" in slips:
        total = reconstruction + kl
    elif "beta-divides" in slips:
        total = reconstruction + kl / beta
    elif "beta-shared-out" in slips:
        total = (1 - beta) * reconstruction + beta * kl
    elif "beta-added" in slips:
        total = reconstruction + kl + beta
    else:
        total = reconstruction + beta * kl
    total = -total if "elbo-itself" in slips else total
    if "per-image" in slips:
        return total
    return total.sum() if "summed-over-images" in slips else total.mean()


def _elbo_of_probabilities(logits, image, mean, log_var, beta=1.0):
    reconstruction = _bce_of_logits(logits, image)
    kl = 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum(dim=1)
    return (reconstruction + beta * kl).mean()


def _fixed_elbo(batch=4, shape=(6,), latent=3):
    generator = torch.Generator().manual_seed(12)
    codes = [draw.normal(generator, batch, latent) for _ in range(2)]
    return [*fixed_image(batch, *shape), *codes]


def _is_scalar(function) -> bool:
    value = function(*_fixed_elbo())
    return isinstance(value, torch.Tensor) and value.dim() == 0


def _beta_alone(function, beta, reference) -> bool:
    logits, image, mean, log_var = _fixed_elbo()
    return close(function(logits, image, mean, log_var, beta=beta), reference(mean, log_var))


def _reconstruction_alone(mean, log_var):
    return bernoulli_nll(*_fixed_elbo()[:2]).mean()


def _per_unit_of_beta(function) -> bool:
    args = _fixed_elbo()
    values = [float(function(*args, beta=beta)) for beta in (0.0, 1.0, 2.0, 5.0)]
    step = values[1] - values[0]
    return all(math.isclose(values[i] - values[0], beta * step, rel_tol=1e-3, abs_tol=1e-3)
               for i, beta in ((2, 2.0), (3, 5.0)))


def _default_is_one(function) -> bool:
    args = _fixed_elbo()
    return close(function(*args), function(*args, 1.0))


def _batch_is_averaged(function) -> bool:
    args = _fixed_elbo()
    return close(function(*[torch.cat([arg, arg, arg]) for arg in args]), function(*args))


def _prior_costs_nothing(function) -> bool:
    logits, image, mean, log_var = _fixed_elbo()
    at_prior = function(logits, image, 0 * mean, 0 * log_var)
    return close(at_prior, _reconstruction_alone(mean, log_var))


def _same_for_any_shape(function) -> bool:
    flat = [function(*_fixed_elbo(shape=(math.prod(shape),))) for shape in SHAPES]
    return all(close(function(*_fixed_elbo(shape=s)), f) for s, f in zip(SHAPES, flat, strict=True))


def _far_elbo(function) -> bool:
    logits, image, nats = far_logits()
    zeros = torch.zeros(3, 2)
    needle = torch.full((3, 2), -30.0)
    return close(function(logits, image, zeros, zeros), nats.mean()) and close(
        function(0 * logits, image, zeros, needle), 4 * _LN2 + 29
    )


NEGATIVE_ELBO = Exercise(
    name="negative_elbo",
    chapter=5,
    minutes=12,
    difficulty=2,
    returns="one number, reconstruction + β · KL in nats per image, averaged over the batch",
    reference=negative_elbo,
    case=_elbo_case,
    slipped=_elbo_slipped,
    mistakes=(
        Mistake("kl-subtracted", "The KL is subtracted, which the ELBO does; this is the negative "
                "ELBO, so it is added. (Or your KL carries the sign of the paper, which prints "
                "−KL.) As it stands, training pays the encoder for running away from the prior."),
        Mistake("elbo-itself", "This is the ELBO itself (β times the KL and all): a training loop "
                "minimises, so it would make both terms worse. Return its negative."),
        Mistake("reconstruction-sign", "The reconstruction term has the wrong sign: log p(x | z) "
                "instead of −log p(x | z). Minimised, it makes the images as unlikely as it can."),
        Mistake("kl-forgotten", "There is no KL in it: this trains a plain autoencoder that may "
                "draw its clouds as small as it likes."),
        Mistake("reconstruction-forgotten", "Only the KL is there. The cheapest code then says "
                "nothing about the image."),
        Mistake("averaged-over-pixels", "The reconstruction was averaged over the pixels while the "
                "KL is a sum over latents: β is multiplied by the number of pixels, and the KL "
                "wins. Notebook 04 shows what is left of the digits."),
        Mistake("averaged-over-latents", "The KL was averaged over the latents while the "
                "reconstruction is a sum over pixels: an unstated β of 1/D."),
        Mistake("summed-over-images", "The images were summed. The loss, and with it every step "
                "of the optimizer, grows with the batch size: average over the images."),
        Mistake("reconstruction-summed", "The reconstruction is summed over the batch, the KL "
                "averaged: the larger the batch, the less the KL counts. Average both."),
        Mistake("kl-summed", "The KL is summed over the batch, the reconstruction averaged: an "
                "unstated β equal to the batch size. Average both."),
        Mistake("per-image", "One number per image came back. A loss to be differentiated is one "
                "number: this is the place where the batch is averaged."),
        Mistake("beta-on-reconstruction", "β weighs the reconstruction. It belongs to the KL: "
                "a larger β means a code that says less."),
        Mistake("beta-on-both", "β multiplies the whole loss, which only rescales the learning "
                "rate. Look at where your brackets close: it weighs the KL alone."),
        Mistake("beta-ignored", "β plays no part: the answer is the same for every β."),
        Mistake("beta-divides", "The KL was divided by β: raising β would let it count less."),
        Mistake("beta-shared-out", "The reconstruction was weighed with 1 − β. With the default "
                "β = 1 nothing of it is left. Only the KL has a weight."),
        Mistake("beta-added", "β was added to the loss. A constant has no gradient: β is a "
                "factor, before the KL."),
        Mistake("logits-as-probabilities", _LOGITS_FOR_PROBS, alone=_elbo_of_probabilities),
        Mistake("sigmoid-twice", _SIGMOID_TWICE),
        Mistake("squared-error", "The reconstruction is a squared error. That is a Gaussian "
                "likelihood with σ² = ½, said by nobody; the pixels are Bernoulli here."),
        Mistake("arguments-swapped", "Logits and image are exchanged in the reconstruction term."),
        Mistake("half-missing", "The ½ before the KL is missing: an unstated β of 2."),
        Mistake("std-for-variance", "In the KL, exp(½ · log_var) stands where the variance "
                "exp(log_var) belongs."),
        Mistake("log-var-as-log-std", "The KL reads log_var as log σ. The sampling layer reads it "
                "as log σ²: the two halves of the loss speak of different Gaussians."),
        Mistake("mean-dropped", "The mean is missing from the KL: codes may wander anywhere."),
        Mistake("one-dropped", "The −1 of the KL is missing: at the prior the KL must be 0."),
        Mistake("mean-and-log-var-swapped", "mean and log_var are exchanged in the KL."),
    ),
    properties=(
        Property("one-number", _is_scalar, "What comes back should be a tensor with one number, "
                 "shape (): something that .backward() can start from."),
        Property("default", _default_is_one, "Without beta the answer must be that for beta = 1: "
                 "the default in the signature is beta=1.0."),
        Property("batch-averaged", _batch_is_averaged, "The same batch three times over must give "
                 "the same loss: one of the terms is not averaged over the images."),
        Property("any-shape", _same_for_any_shape, "Images as (B, P), (B, 1, H, W) or (B, C, H, "
                 "W) must give the same number: everything after the batch axis is pixels."),
        Property("keyword", lambda f: _beta_alone(f, 0.0, _reconstruction_alone), "With beta=0.0 "
                 "given by name only the reconstruction is left, summed over pixels and averaged "
                 "over images, and yours is something else: is the parameter called beta, does "
                 "it weigh the KL alone, and does `beta or 1` not turn 0 into 1?"),
        Property("straight-in-beta", _per_unit_of_beta, "Each further unit of β should add the "
                 "same amount, the KL. Yours is no straight line in β: is it squared, capped, or "
                 "does it weigh both terms?"),
        Property("at-the-prior", _prior_costs_nothing, "At mean 0 and log_var 0 the encoder's "
                 "Gaussian is the prior and only the reconstruction should be left: look at the "
                 "KL."),
        Property("extremes", _far_elbo, "Logits of ±200 on the wrong side cost 200 nats a pixel, "
                 "and a log_var of −30 costs 14.5 nats; yours gives something else. A clamp or a "
                 "small constant inside a logarithm changed it, or log(1 − p) overflowed: compute "
                 "from the logits, and from log_var."),
        Property("gradient", lambda f: follows(lambda logits, mean, log_var: f(
                 logits, _fixed_elbo()[1].to(logits.dtype), mean, log_var), *_fixed_elbo()[:1],
                 *_fixed_elbo()[2:]), "The gradient does not follow the values: it has to reach "
                 "the logits, mean and log_var through every term. Look for `.detach()`, "
                 "`.item()`, NumPy or `torch.no_grad()`."),
    ),
)

# --- iwae_bound ------------------------------------------------------------------------------


def iwae_bound(log_weights):
    samples = log_weights.shape[0]  # K importance samples of each image
    return torch.logsumexp(log_weights, dim=0) - math.log(samples)  # (B,): log of the mean weight


def _weights_case(generator):
    samples, batch = draw.sizes(generator, count=2, low=3, high=9)
    return (draw.normal(generator, samples, batch, scale=1.3) - 2,)


def _iwae_slipped(slips, log_weights):
    samples, batch = log_weights.shape
    w = -log_weights if "weights-negated" in slips else log_weights
    axis = 1 if "wrong-axis" in slips else (0, 1) if "one-number" in slips else 0
    both = samples * batch
    number = both if "one-number" in slips else batch if "wrong-axis" in slips else samples
    number = batch if "log-of-the-batch" in slips else number
    number = samples - 1 if "one-sample-too-few" in slips else number
    total = torch.logsumexp(w, dim=axis)
    if "mean-of-the-logs" in slips:
        value = w.mean(dim=axis)
    elif "sum-of-the-logs" in slips:
        value = w.sum(dim=axis)
    elif "largest-only" in slips:
        value = w.amax(dim=axis)
    elif "logarithm-missing" in slips:
        value = total.exp() / number
    elif "self-normalised" in slips:
        value = (w.softmax(dim=0) * w).sum(dim=axis)
    elif "weights-as-logs" in slips:
        value = w.mean(dim=axis).log()
    elif "log-k-forgotten" in slips:
        value = total
    elif "log-k-added" in slips:
        value = total + math.log(number)
    elif "divided-by-k" in slips:
        value = total / number
    elif "k-subtracted" in slips:
        value = total - number
    elif "divided-by-log-k" in slips:
        value = total / math.log(number)
    elif "averaged-over-images" in slips:
        value = (total - math.log(number)).mean()
    else:
        value = total - math.log(number)
    value = value / _LN2 if "bits" in slips else value
    return -value if "sign" in slips else value


def _weights(*rows):
    return torch.tensor(rows)


def _all_count(function) -> bool:
    weights = draw.normal(torch.Generator().manual_seed(3), 5, 4)
    raised = [function(weights + 0.5 * F.one_hot(torch.tensor(i), 5)[:, None]) for i in range(5)]
    return all(bool((value > function(weights) + 1e-4).all()) for value in raised)


def _order_is_free(function) -> bool:
    weights = draw.normal(torch.Generator().manual_seed(3), 6, 4)
    return close(function(weights.flip(0)), function(weights))


def _shift(function) -> bool:
    weights = draw.normal(torch.Generator().manual_seed(3), 6, 4)
    return close(function(weights - 5), function(weights) - 5)


def _more_than_the_mean(function) -> bool:
    weights = draw.normal(torch.Generator().manual_seed(4), 50, 8, scale=3.0)
    return bool((function(weights) > weights.mean(dim=0) + 0.5).all())


IWAE_BOUND = Exercise(
    name="iwae_bound",
    chapter=5,
    minutes=8,
    difficulty=2,
    returns="(B,), the logarithm of the mean of the S weights of each image, in nats",
    reference=iwae_bound,
    case=_weights_case,
    slipped=_iwae_slipped,
    mistakes=(
        Mistake("log-k-forgotten", "This is the logarithm of the *sum* of the weights: the log S "
                "of the mean is missing. It grows with S, and is no bound."),
        Mistake("log-k-added", "log S is added. The mean is the sum divided by S: which sign does "
                "a division get under a logarithm?"),
        Mistake("divided-by-k", "The logarithm was divided by S. The weights are to be averaged, "
                "inside the logarithm."),
        Mistake("k-subtracted", "S itself was subtracted, not its logarithm."),
        Mistake("divided-by-log-k", "The logarithm of the sum was divided by log S. A quotient "
                "under a logarithm becomes a difference."),
        Mistake("one-sample-too-few", "The sum was divided by S − 1, as for a variance. A mean "
                "has S in it."),
        Mistake("log-of-the-batch", "You divided by the number of images. The mean runs over the "
                "samples, axis 0."),
        Mistake("mean-of-the-logs", "This is the mean of the logarithms: the plain ELBO, averaged "
                "over S samples. More samples make it steadier, not tighter. The logarithm of "
                "the mean is asked for."),
        Mistake("sum-of-the-logs", "The log-weights were added up, so the weights were "
                "multiplied. They are to be averaged."),
        Mistake("largest-only", "Only the largest weight was kept. It decides the order of "
                "magnitude, but the others count too, and so does log S."),
        Mistake("logarithm-missing", "This is the mean weight, an estimate of p(x) itself. Its "
                "logarithm is asked for."),
        Mistake("weights-as-logs", "The input was averaged as if it held the weights, and then the "
                "logarithm was taken. It holds *log*-weights (hence the NaN: they are negative)."),
        Mistake("self-normalised", "The log-weights were averaged with normalised weights. That "
                "softmax is what the *gradient* of the bound weighs the samples with; the bound is "
                "the logarithm of the plain mean."),
        Mistake("weights-negated", "The log-weights have the wrong sign: a sample that explains "
                "the image well must get a large weight."),
        Mistake("sign", "This is the negative bound. A bound on log p(x) is asked for, larger is "
                "better; a loss would turn its sign."),
        Mistake("wrong-axis", "You averaged over axis 1, the images. The samples are axis 0: one "
                "bound per image."),
        Mistake("one-number", "Samples and images were averaged under one logarithm. Keep one "
                "bound per image."),
        Mistake("averaged-over-images", "The images were averaged. Keep one bound per image."),
        Mistake("bits", "These are bits. Divide by log 2 only when bits are asked for."),
    ),
    properties=(
        Property("one-sample", lambda f: close(f(_weights([-3.0, 2.0])), _weights(-3.0, 2.0)),
                 "With one sample the bound is that sample's log-weight, the one-sample ELBO."),
        Property("one-image", lambda f: f(torch.zeros(5, 1)).shape == (1,), "For one image, shape "
                 "(S, 1), the answer has shape (1,): look for a `squeeze`."),
        Property("equal-weights", lambda f: close(f(torch.full((7, 3), -2.5)), [-2.5] * 3),
                 "If all S log-weights are −2.5, their mean weight has the logarithm −2.5, "
                 "whatever S is."),
        Property("stands-alone", lambda f: stand_alone(
                 f, draw.normal(torch.Generator().manual_seed(3), 6, 4), dim=1), "The bound of an "
                 "image changes with the other images of the batch. Each image stands alone."),
        Property("all-count", _all_count, "A sample that explains the image better must raise the "
                 "bound, whichever of the S it is: all of them count."),
        Property("any-order", _order_is_free, "The order of the samples must not matter: all of "
                 "them count alike."),
        Property("shifts", _shift, "If every log-weight is lowered by 5, the bound should be lower "
                 "by 5. A small constant inside a logarithm, or a clamp, breaks that."),
        Property("underflow", lambda f: close(f(torch.full((4, 2), -800.0)), [-800.0] * 2),
                 "Log-weights of −800 must give −800. exp(−800) is 0 in single precision, and "
                 "log 0 is −∞ (or, with a clamp or a small constant, a number that has nothing to "
                 "do with the weights). The exponential must never be taken as it stands: there "
                 "is a function for log-sum-exp."),
        Property("overflow", lambda f: close(f(torch.full((4, 2), 800.0)), [800.0] * 2),
                 "Log-weights of +800 (densities of grey pixels can be that large) must give 800: "
                 "exp(800) is ∞. Subtract the largest weight first, or use the function that "
                 "does."),
        Property("spread", lambda f: close(f(_weights([-800.0], [-3.0], [-1200.0], [-3.0])),
                 [-3 + math.log(0.5)]), "Log-weights of −800, −3, −1200 and −3 should give −3.693: "
                 "the small ones count as 0, but they count among the S. Subtracting the *mean* "
                 "weight first does not help: subtract the largest."),
        Property("not-the-elbo", _more_than_the_mean, "For spread-out weights the bound must lie "
                 "above the mean of the log-weights, the plain ELBO."),
        Property("gradient", lambda f: follows(
                 f, draw.normal(torch.Generator().manual_seed(3), 6, 4)), "The gradient does not "
                 "follow the values: look for `.detach()`, `.item()`, NumPy or "
                 "`torch.no_grad()`. The importance-weighted autoencoder trains on this bound."),
    ),
)

# --- sample_prior ----------------------------------------------------------------------------


def sample_prior(decoder, count, latent_dim):
    latent = torch.randn(count, latent_dim)  # (count, D): the prior N(0, I)
    with torch.no_grad():  # nothing will be learnt from these images
        logits = decoder(latent)  # (count, …)
    return torch.sigmoid(logits)  # probabilities of white, pixel by pixel


def _generation_case(generator):
    count, latent_dim = draw.sizes(generator, count=2, low=4, high=9)
    training = bool(generator.initial_seed() % 2)
    return NotedDecoder(latent_dim, generator, training=training), count, latent_dim


_NOISES = {
    "uniform": torch.rand,
    "uniform-both-sides": lambda *shape: 2 * torch.rand(*shape) - 1,
    "one-latent-for-all": lambda count, dim: torch.randn(1, dim).expand(count, dim),
    "one-number-for-all-dimensions": lambda count, dim: torch.randn(count, 1).expand(count, dim),
    "the-mean-of-the-prior": torch.zeros,
    "ones": torch.ones,
    "positive-half": lambda *shape: torch.randn(*shape).abs(),
    "on-a-sphere": lambda *shape: F.normalize(torch.randn(*shape), dim=1),
    "spread-over-root-d": lambda count, dim: torch.randn(count, dim) / math.sqrt(dim),
    "latents-swapped": lambda count, dim: torch.randn(dim, count),
    "latent-dim-written-in": lambda count, dim: torch.randn(count, 20),
    "count-ignored": lambda count, dim: torch.randn(1, dim),
    "no-batch-axis": lambda count, dim: torch.randn(dim),
}


def _sample_slipped(slips, decoder, count, latent_dim):
    if "eval-left-on" in slips or "train-left-on" in slips:
        decoder.train("train-left-on" in slips)
    if "fixed-seed" in slips:
        torch.default_generator.manual_seed(0)
    chosen = [noise for name, noise in _NOISES.items() if name in slips]
    latent = (chosen[0] if chosen else torch.randn)(count, latent_dim)
    if "gradients-left-off" in slips:
        torch.set_grad_enabled(False)
    logits = decoder(latent)
    logits = logits if "gradient-kept" in slips else logits.detach()
    if "logits-returned" in slips:
        return logits
    if "softmax" in slips:
        return logits.flatten(1).softmax(dim=1).view_as(logits)
    if "tanh" in slips:
        return torch.tanh(logits)
    if "cut-off" in slips:
        return logits.clamp(0, 1)
    pixels = torch.sigmoid(-logits if "black-for-white" in slips else logits)
    pixels = torch.sigmoid(pixels) if "sigmoid-twice" in slips else pixels
    if "coins-tossed" in slips:
        return torch.bernoulli(pixels)
    if "rounded" in slips:
        return pixels.round()
    if "bytes" in slips:
        return 255 * pixels
    if "flattened" in slips:
        return pixels.flatten(1)
    return list(pixels) if "a-list" in slips else pixels


def _alone(name, hint):
    r"""A mistake that is not tried in pairs: there are many, and each call draws thousands."""
    return Mistake(name, hint, alone=partial(_sample_slipped, frozenset({name})))


_MODE = (
    "The decoder came in {} mode and left in {} mode. Sampling should leave no trace: whoever goes "
    "on training does it in the wrong mode (dropout and batch norm behave differently in the two). "
    "Put it back as you found it, or don't touch it."
)

SAMPLE_PRIOR = Exercise(
    name="sample_prior",
    chapter=5,
    minutes=8,
    difficulty=2,
    returns="(count, …), pixel probabilities of images decoded from samples of N(0, I), no "
    "gradient",
    reference=sample_prior,
    case=_generation_case,
    slipped=_sample_slipped,
    observe=observe_generation,
    explain=EXPLAIN_GENERATION,
    cases=2,
    rtol=0.0,
    atol=0.05,
    mistakes=(
        Mistake("uniform", "The latents are uniform on [0, 1): torch.rand. That is one corner of "
                "the latent space, never negative. The prior is a normal distribution."),
        Mistake("uniform-both-sides", "The latents are uniform on [−1, 1). The prior is normal: a "
                "third of its values lie further out."),
        Mistake("one-latent-for-all", "All images were made from one latent: you will see the "
                "same picture count times. Draw a row for each."),
        _alone("one-number-for-all-dimensions", "One number was drawn for each image and used in "
                "all its dimensions: these latents lie on a diagonal line."),
        _alone("the-mean-of-the-prior", "All latents are 0, the centre of the prior. That shows "
                "one image; a sample is drawn at random."),
        _alone("ones", "All latents are 1. A sample of the prior is drawn at random."),
        _alone("positive-half", "None of the latents is negative: only one corner of the prior is "
                "visited."),
        _alone("on-a-sphere", "The latents were scaled to length 1. Samples of N(0, I) have a "
                "length near √D; this decoder has never seen codes so close to the centre."),
        _alone("spread-over-root-d", "The latents were divided by √D, as for initial weights. "
                "The prior has standard deviation 1 in every dimension."),
        _alone("latents-swapped", "The latents have the shape (latent_dim, count): the first axis "
                "is the batch."),
        _alone("latent-dim-written-in", "The size 20 is written into the function; latent_dim "
                "says how many numbers this decoder wants."),
        _alone("count-ignored", "One image came back instead of count."),
        _alone("no-batch-axis", "One latent without a batch axis was decoded: shape "
                "(latent_dim,). The decoder wants (count, latent_dim)."),
        Mistake("fixed-seed", "Every call gives the same images: a seed is set inside the "
                "function. (With torch.manual_seed that also resets the random numbers of whoever "
                "calls it.) Seed once, outside."),
        Mistake("logits-returned", "These are logits: they go below 0 and above 1. A decoder's "
                "last step, from logits to probabilities, is yours to take."),
        Mistake("sigmoid-twice", "The sigmoid was taken twice: all pixels lie between 0.5 and "
                "0.73, a grey fog. The decoder gives logits; one sigmoid is enough."),
        Mistake("black-for-white", "Black and white are exchanged: these are the probabilities of "
                "black."),
        _alone("softmax", "A softmax over the pixels makes them add up to 1: a nearly black "
                "picture. Each pixel is a coin of its own."),
        _alone("tanh", "tanh of the logits lies between −1 and 1. A Bernoulli decoder's logits "
                "become probabilities by another function."),
        _alone("cut-off", "The logits were cut off at 0 and 1. A logit of 0 means "
                "a fifty-fifty pixel, not a black one."),
        Mistake("coins-tossed", "You tossed a coin for each pixel: black or white. That is a "
                "sample of p(x | z), and an honest one; here its probabilities are asked for, "
                "which show what the decoder knows without the snow."),
        _alone("rounded", "The pixels were rounded to 0 and 1. How sure the decoder is gets lost: "
                "return the probabilities."),
        _alone("bytes", "The pixels go from 0 to 255. Probabilities go from 0 to 1."),
        _alone("flattened", "The images were flattened. Keep the shape that the decoder gives "
                "them."),
        _alone("a-list", "A list of images came back. One tensor is asked for, (count, …)."),
        Mistake("gradient-kept", "The images still require a gradient. Each of them keeps the "
                "graph of its making in memory, and .numpy() refuses them: switch the gradient "
                "off while you decode."),
        Mistake("gradients-left-off", "Gradients are switched off for good "
                "(torch.set_grad_enabled(False)): after this call nothing trains any more. Use a "
                "`with` block, which ends."),
        Mistake("eval-left-on", _MODE.format("train", "eval")),
        Mistake("train-left-on", _MODE.format("eval", "train")),
    ),
)

EXERCISES = [BERNOULLI_NLL, NEGATIVE_ELBO, IWAE_BOUND, SAMPLE_PRIOR]
