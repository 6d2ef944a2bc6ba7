r"""Exercises of notebook 05: training a VAE.

`sample_prior` is random, so it is not compared number by number. Its decoder is ours: it writes
down the latents it is given. Statistics of 20,000 of them are judged with six standard errors of
room.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

from . import draw
from .definition import Exercise
from .properties import SHAPES, far_logits, fixed_image, image_case, pixel, stand_alone
from .values import close, describe

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


def _any_shape(function):
    pairs = (fixed_image(3, *shape) for shape in SHAPES)
    return all(close(function(*p), function(*(t.flatten(1) for t in p))) for p in pairs)


def _coin(function):
    return all(close(pixel(function, 0, value), _LN2) for value in (1, 0, 0.3))


def _one_pixel(function):
    return close(pixel(function, 2, 1), 0.126928) and close(pixel(function, 2, 0), 2.126928)


def _far(function):
    logits, image, expected = far_logits()
    return close(function(logits, image), expected)


def _still_pulls(function):
    r"""Sure and wrong at ±200: the gradient must be ±1, not 0 or NaN."""
    logits, image, _ = far_logits()
    leaf = logits.clone().requires_grad_()
    function(leaf, image).sum().backward()
    return close(leaf.grad, torch.tensor([[1.0], [-1.0], [0.0]]).expand(3, 4))


nll = Exercise(
    bernoulli_nll,
    inputs=image_case,
    returns="(B,), −log p(image | logits) of each image in nats, whatever the shape of an image; "
    "differentiable",
    gradient=("logits",),
    chapter=5, minutes=4, difficulty=2,
)  # fmt: skip
nll.mistake("sign", edit=("return per", "return -per"),
            hint="This is the log-likelihood. A function called nll returns its negative, which "
                 "is never below 0: minimising yours would make every image impossible.")
nll.mistake("logits-as-probabilities", edit=("entropy_with_logits", "entropy"), in_pairs=False,
            hint=_LOGITS_FOR_PROBS)
nll.mistake("log-of-logits",
            edit=('F.binary_cross_entropy_with_logits(logits, image, reduction="none")',
                  "-(image * logits.log() + (1 - image) * (1 - logits).log())"),
            hint="You took the logarithm of the logits, which is NaN for negative ones. A logit "
                 "may be any number: it is not yet a probability.")
nll.mistake("sigmoid-twice", edit=("(logits, image,", "(logits.sigmoid(), image,"),
            hint=_SIGMOID_TWICE)
nll.mistake("softmax",
            edit=('F.binary_cross_entropy_with_logits(logits, image, reduction="none")',
                  "F.binary_cross_entropy(\n        "
                  'logits.flatten(1).softmax(dim=1).view_as(logits), image, reduction="none")'),
            hint="A softmax ties the pixels together: their probabilities would add up to 1, as "
                 "if exactly one pixel were white. Each pixel is a coin of its own.")
nll.mistake("black-for-white", edit=("(logits, image,", "(-logits, image,"),
            hint="Black and white are exchanged: either the sign of the logits, or log p and "
                 "log(1 − p) stand at the wrong pixels. A large logit means that white is likely.")
nll.mistake("white-only",
            edit=('F.binary_cross_entropy_with_logits(logits, image, reduction="none")',
                  "-image * F.logsigmoid(logits)"),
            hint="Only the white pixels count, −x log p. Then p = 1 everywhere is perfect: "
                 "painting a black pixel white must cost something too.")
nll.mistake("black-only",
            edit=('F.binary_cross_entropy_with_logits(logits, image, reduction="none")',
                  "-(1 - image) * F.logsigmoid(-logits)"),
            hint="Only the black pixels count, −(1 − x) log(1 − p). The white ones have a term as "
                 "well.")
nll.mistake("density-not-log",
            edit=('F.binary_cross_entropy_with_logits(logits, image, reduction="none")',
                  "-(image * logits.sigmoid() + (1 - image) * (-logits).sigmoid())"),
            hint="The probabilities were added up without their logarithm. Probabilities "
                 "multiply; it is their logarithms that add up.")
nll.mistake("squared-error",
            edit=('F.binary_cross_entropy_with_logits(logits, image, reduction="none")',
                  "(logits.sigmoid() - image).square()"),
            hint="This is a squared error: a Gaussian likelihood with a fixed width (and without "
                 "its constant). The pixels are Bernoulli here.")
nll.mistake("squared-error-of-logits",
            edit=('F.binary_cross_entropy_with_logits(logits, image, reduction="none")',
                  "(logits - image).square()"),
            hint="The logits themselves were compared with the pixels. They are log-odds: a black "
                 "pixel wants a logit of −∞, not 0.")
nll.mistake("absolute-error",
            edit=('F.binary_cross_entropy_with_logits(logits, image, reduction="none")',
                  "(logits.sigmoid() - image).abs()"),
            hint="This is an absolute error (a Laplace likelihood). The pixels are Bernoulli "
                 "here: a logarithm belongs in.")
nll.mistake("arguments-swapped", edit=("(logits, image,", "(image, logits,"),
            hint="The two arguments are exchanged: the image was read as logits and the logits as "
                 "the picture to be hit.")
nll.mistake("rounded-image", edit=("(logits, image,", "(logits, image.round(),"),
            hint="The pixels were rounded to 0 and 1. A grey pixel counts by its value: x of the "
                 "white term and 1 − x of the black one.")
nll.mistake("bits", edit=('"none")', '"none") / _LN2'),
            hint="These are bits (logarithm to base 2). In nats there is no division by log 2.")
nll.mistake("averaged-over-pixels", edit=(".sum(dim=1)", ".mean(dim=1)"),
            hint="You averaged over the pixels. The pixels are independent given the code, so "
                 "their log-probabilities add up; against a KL that is a sum, the average hides a "
                 "β equal to the number of pixels.")
nll.mistake("averaged-over-everything", edit=(".flatten(start_dim=1).sum(dim=1)", ".mean()"),
            hint="Pixels and images were averaged: that is what the losses of PyTorch do unless "
                 "told otherwise (`reduction`). Add up the pixels, keep the images apart.")
nll.mistake("summed-over-everything", edit=(".flatten(start_dim=1).sum(dim=1)", ".sum()"),
            hint="Pixels and images were added up together: one number is left, and it grows with "
                 "the batch. Keep one number per image.")
nll.mistake("averaged-over-images-too", edit=(".sum(dim=1)", ".sum(dim=1).mean()"),
            hint="The images were averaged too. That belongs into the training step, where it can "
                 "be seen: return one number per image.")
nll.mistake("per-pixel", edit=(".flatten(start_dim=1).sum(dim=1)", ""),
            hint="One number per pixel came back. Independent pixels: their log-probabilities add "
                 "up to that of the image.")
nll.mistake("summed-over-images", edit=(".flatten(start_dim=1).sum(dim=1)", ".sum(dim=0)"),
            hint="You added up axis 0, the images. Add up what belongs to one image and keep the "
                 "images apart.")
nll.mistake("first-axis-only", edit=(".flatten(start_dim=1).sum(dim=1)", ".sum(dim=1)"),
            hint="Only axis 1 was added up. That is all pixels for (B, P), but only the channels "
                 "for (B, 1, 28, 28): an image may have several axes.")
nll.mistake("last-axis-only", edit=(".flatten(start_dim=1).sum(dim=1)", ".sum(dim=-1)"),
            hint="Only the last axis was added up: for (B, 1, 28, 28) that is one row of pixels. "
                 "An image may have several axes.")
nll.mistake("channels-apart", edit=(".flatten(start_dim=1).sum(dim=1)", ".sum(dim=(-2, -1))"),
            hint="The last two axes were added up. Flat images (B, P) have no two axes to spare, "
                 "and images with channels keep theirs apart. Everything after the batch is "
                 "pixels.")
nll.mistake("keeps-an-axis", edit=(".sum(dim=1)", ".sum(dim=1, keepdim=True)"),
            hint="The shape is (B, 1), not (B,). Added to a KL of shape (B,) it would broadcast "
                 "to (B, B) without a word.")
nll.must("one-image", lambda f: f(*fixed_image(1, 1, 4, 3)).shape == (1,),
         hint="A batch of one image must give shape (1,): look for a `squeeze`.")
nll.must("coin-toss", _coin,
         hint="One pixel with logit 0 is a fair coin: log 2 = 0.693 nats whether the pixel is "
              "black, grey or white.")
nll.must("one-pixel", _one_pixel,
         hint="One pixel with logit 2 is white with probability 0.881: a white pixel should cost "
              "0.127 nats and a black one 2.127.")
nll.must("grey", lambda f: close(pixel(f, 2, 0.25), 1.626928),
         hint="A grey pixel of 0.25 costs a quarter of what a white one costs and three quarters "
              "of a black one: at logit 2, 1.627 nats.")
nll.must("any-shape", _any_shape,
         hint="The same image as (B, P), (B, 1, H, W) or (B, C, H, W) must give the same number: "
              "everything after the batch axis is pixels.")
nll.must("stands-alone", lambda f: stand_alone(f, *fixed_image(4, 1, 4, 3)),
         hint="The answer for an image changes with the other images of the batch (their number, "
              "say). Each image stands alone.")
nll.must("sure-and-wrong", _far,
         hint="Four pixels with logits of 200 and −200: sure and wrong costs 200 nats a pixel, "
              "sure and right costs 0. Yours gives something else: sigmoid(200) is exactly 1 in "
              "single precision, so log(1 − p) is −∞, and a clamp or a small constant (the "
              "built-in one of F.binary_cross_entropy too) caps the cost. Compute it from the "
              "logits.")
nll.must("still-pulls", _still_pulls,
         hint="At logits of ±200 on the wrong side the gradient must be ±1 per pixel: with 0 or "
              "NaN the worst pixels are those that never learn. Compute the loss from the logits, "
              "without a clamp.")

# --- negative_elbo ---------------------------------------------------------------------------


def negative_elbo(logits, image, mean, log_var, beta=1.0):
    per_pixel = F.binary_cross_entropy_with_logits(logits, image, reduction="none")
    reconstruction = per_pixel.flatten(start_dim=1).sum(dim=1)  # (B,) nats
    kl = 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum(dim=1)  # (B,) nats
    return (reconstruction + beta * kl).mean()  # averaged over the images, and nothing else


def _images_and_codes(g):
    logits, image = image_case(g)
    latent = draw.integer(g, 10, 13)  # no axis of an image is as long
    codes = [draw.normal(g, len(image), latent) for _ in range(2)]
    if g.initial_seed() % 2:  # every other case leaves beta to its default
        return logits, image, *codes
    return logits, image, *codes, draw.number(g, 1.5, 3.5)


def _some(batch=4, shape=(6,), latent=3):
    codes = draw.fixed(batch, latent, seed=12), draw.fixed(batch, latent, seed=13)
    return [*fixed_image(batch, *shape), *codes]


def _is_scalar(function):
    value = function(*_some())
    return isinstance(value, torch.Tensor) and value.dim() == 0


def _reconstruction_is_left(function):
    args = _some()
    return close(function(*args, beta=0.0), bernoulli_nll(*args[:2]).mean())


def _per_unit_of_beta(function):
    values = [float(function(*_some(), beta=beta)) for beta in (0.0, 1.0, 2.0, 5.0)]
    step = values[1] - values[0]
    return close(values, [values[0] + beta * step for beta in (0.0, 1.0, 2.0, 5.0)])


def _batch_is_averaged(function):
    return close(function(*[torch.cat([arg] * 3) for arg in _some()]), function(*_some()))


def _prior_costs_nothing(function):
    logits, image, mean, log_var = _some()
    at_prior = function(logits, image, 0 * mean, 0 * log_var)
    return close(at_prior, bernoulli_nll(logits, image).mean())


def _same_for_any_shape(function):
    flat = [function(*_some(shape=(math.prod(shape),))) for shape in SHAPES]
    return all(close(function(*_some(shape=s)), f) for s, f in zip(SHAPES, flat, strict=True))


def _far_elbo(function):
    logits, image, nats = far_logits()
    zeros, needle = torch.zeros(3, 2), torch.full((3, 2), -30.0)
    fair = function(0 * logits, image, zeros, needle)
    return close(function(logits, image, zeros, zeros), nats.mean()) and close(fair, 4 * _LN2 + 29)


elbo = Exercise(
    negative_elbo,
    inputs=_images_and_codes,
    returns="one number, reconstruction + β · KL in nats per image, averaged over the batch; "
    "differentiable",
    gradient=("logits", "mean", "log_var"),
    chapter=5, minutes=5, difficulty=2,
)  # fmt: skip
elbo.mistake("kl-subtracted", edit=("+ beta", "- beta"),
             hint="The KL is subtracted, which the ELBO does; this is the negative ELBO, so it is "
                  "added. (Or your KL carries the sign of the paper, which prints −KL.) As it "
                  "stands, training pays the encoder for running away from the prior.")
elbo.mistake("elbo-itself", edit=("return (", "return -("),
             hint="This is the ELBO itself (β times the KL and all): a training loop minimises, "
                  "so it would make both terms worse. Return its negative.")
elbo.mistake("reconstruction-sign", edit=("(reconstruction", "(-reconstruction"),
             hint="The reconstruction term has the wrong sign: log p(x | z) instead of −log p(x | "
                  "z). Minimised, it makes the images as unlikely as it can.")
elbo.mistake("kl-forgotten", edit=(" + beta * kl", ""),
             hint="There is no KL in it: this trains a plain autoencoder that may draw its clouds "
                  "as small as it likes.")
elbo.mistake("reconstruction-forgotten", edit=("reconstruction +", ""),
             hint="Only the KL is there. The cheapest code then says nothing about the image.")
elbo.mistake("averaged-over-pixels", edit=("start_dim=1).sum(dim=1)", "start_dim=1).mean(dim=1)"),
             hint="The reconstruction was averaged over the pixels while the KL is a sum over "
                  "latents: β is multiplied by the number of pixels, and the KL wins. Notebook 04 "
                  "shows what is left of the digits.")
elbo.mistake("averaged-over-latents", edit=("- log_var).sum(dim=1)", "- log_var).mean(dim=1)"),
             hint="The KL was averaged over the latents while the reconstruction is a sum over "
                  "pixels: an unstated β of 1/D.")
elbo.mistake("summed-over-images", edit=(".mean()", ".sum()"),
             hint="The images were summed. The loss, and with it every step of the optimizer, "
                  "grows with the batch size: average over the images.")
elbo.mistake("reconstruction-summed",
             edit=("reconstruction = per_pixel", "reconstruction = len(image) * per_pixel"),
             hint="The reconstruction is summed over the batch, the KL averaged: the larger the "
                  "batch, the less the KL counts. Average both.")
elbo.mistake("kl-summed", edit=("kl = 0.5", "kl = len(image) * 0.5"),
             hint="The KL is summed over the batch, the reconstruction averaged: an unstated β "
                  "equal to the batch size. Average both.")
elbo.mistake("per-image", edit=(".mean()", ""),
             hint="One number per image came back. A loss to be differentiated is one number: "
                  "this is the place where the batch is averaged.")
elbo.mistake("beta-on-reconstruction",
             edit=("reconstruction + beta * kl", "beta * reconstruction + kl"),
             hint="β weighs the reconstruction. It belongs to the KL: a larger β means a code "
                  "that says less.")
elbo.mistake("beta-on-both", edit=("reconstruction + beta * kl", "beta * (reconstruction + kl)"),
             hint="β multiplies the whole loss, which only rescales the learning rate. Look at "
                  "where your brackets close: it weighs the KL alone.")
elbo.mistake("beta-ignored", edit=("beta * kl", "kl"),
             hint="β plays no part: the answer is the same for every β.")
elbo.mistake("beta-divides", edit=("beta * kl", "kl / beta"),
             hint="The KL was divided by β: raising β would let it count less.")
elbo.mistake("beta-shared-out", edit=("(reconstruction", "((1 - beta) * reconstruction"),
             hint="The reconstruction was weighed with 1 − β. With the default β = 1 nothing of "
                  "it is left. Only the KL has a weight.")
elbo.mistake("beta-added", edit=("beta * kl", "kl + beta"),
             hint="β was added to the loss. A constant has no gradient: β is a factor, before the "
                  "KL.")
elbo.mistake("logits-as-probabilities", edit=("entropy_with_logits", "entropy"), in_pairs=False,
             hint=_LOGITS_FOR_PROBS)
elbo.mistake("sigmoid-twice",
             edit=("(logits, image, reduction", "(logits.sigmoid(), image, reduction"),
             hint=_SIGMOID_TWICE)
elbo.mistake("squared-error",
             edit=('F.binary_cross_entropy_with_logits(logits, image, reduction="none")',
                   "(logits.sigmoid() - image).square()"),
             hint="The reconstruction is a squared error. That is a Gaussian likelihood with σ² = "
                  "½, said by nobody; the pixels are Bernoulli here.")
elbo.mistake("arguments-swapped", edit=("(logits, image, reduction", "(image, logits, reduction"),
             hint="Logits and image are exchanged in the reconstruction term.")
elbo.mistake("half-missing", edit=("0.5 *", ""),
             hint="The ½ before the KL is missing: an unstated β of 2.")
elbo.mistake("std-for-variance", edit=("log_var.exp()", "(0.5 * log_var).exp()"),
             hint="In the KL, exp(½ · log_var) stands where the variance exp(log_var) belongs.")
elbo.mistake("log-var-as-log-std",
             edit=("log_var.exp() - 1 - log_var", "(2 * log_var).exp() - 1 - 2 * log_var"),
             hint="The KL reads log_var as log σ. The sampling layer reads it as log σ²: the two "
                  "halves of the loss speak of different Gaussians.")
elbo.mistake("mean-dropped", edit=("mean.square() +", ""),
             hint="The mean is missing from the KL: codes may wander anywhere.")
elbo.mistake("one-dropped", edit=(" - 1", ""),
             hint="The −1 of the KL is missing: at the prior the KL must be 0.")
elbo.mistake("mean-and-log-var-swapped",
             edit=("    kl =", "    mean, log_var = log_var, mean\n    kl ="),
             hint="mean and log_var are exchanged in the KL.")
elbo.must("one-number", _is_scalar,
          hint="What comes back should be a tensor with one number, shape (): something that "
               ".backward() can start from.")
elbo.must("default", lambda f: close(f(*_some()), f(*_some(), 1.0)),
          hint="Without beta the answer must be that for beta = 1: the default in the signature "
               "is beta=1.0.")
elbo.must("batch-averaged", _batch_is_averaged,
          hint="The same batch three times over must give the same loss, and yours changes: is "
               "everything averaged over the images?")
elbo.must("any-shape", _same_for_any_shape,
          hint="Images as (B, P), (B, 1, H, W) or (B, C, H, W) must give the same number: "
               "everything after the batch axis is pixels.")
elbo.must("keyword", _reconstruction_is_left,
          hint="With beta=0.0 given by name only the reconstruction is left, summed over pixels "
               "and averaged over images, and yours is something else: is the parameter called "
               "beta, does it weigh the KL alone, and does `beta or 1` not turn 0 into 1?")
elbo.must("straight-in-beta", _per_unit_of_beta,
          hint="Each further unit of β should add the same amount, the KL. Yours is no straight "
               "line in β: is it squared, capped, or does it weigh both terms?")
elbo.must("at-the-prior", _prior_costs_nothing,
          hint="At mean 0 and log_var 0 the encoder's Gaussian is the prior and only the "
               "reconstruction should be left: look at the KL.")
elbo.must("extremes", _far_elbo,
          hint="Logits of ±200 on the wrong side cost 200 nats a pixel, and a log_var of −30 "
               "costs 14.5 nats; yours gives something else. A clamp or a small constant inside a "
               "logarithm changed it, or log(1 − p) overflowed: compute from the logits, and from "
               "log_var.")

# --- iwae_bound ------------------------------------------------------------------------------


def iwae_bound(log_weights):
    samples = log_weights.shape[0]  # S importance samples of each image
    bound = torch.logsumexp(log_weights, dim=0) - math.log(samples)  # log of the mean weight
    return bound  # (B,)


_WEIGHTS = draw.fixed(6, 4, seed=3)


def _bound_is(expected, *rows):
    return lambda function: close(function(torch.tensor(rows)), expected)


def _all_count(function):
    raised = [function(_WEIGHTS + 0.5 * F.one_hot(torch.tensor(i), 6)[:, None]) for i in range(6)]
    return all(bool((value > function(_WEIGHTS) + 1e-4).all()) for value in raised)


def _more_than_the_mean(function):
    weights = draw.fixed(50, 8, seed=4, scale=3.0)
    return bool((function(weights) > weights.mean(dim=0) + 0.5).all())


iwae = Exercise(
    iwae_bound,
    inputs=lambda g: (draw.normal(g, "S", "B", scale=1.3) - 2,),
    returns="(B,), the logarithm of the mean of the S weights of each image, in nats; "
    "differentiable",
    gradient=("log_weights",),
    chapter=5, minutes=5, difficulty=2,
)  # fmt: skip
iwae.mistake("log-k-forgotten", edit=(" - math.log(samples)", ""),
             hint="This is the logarithm of the *sum* of the weights: the log S of the mean is "
                  "missing. It grows with S, and is no bound.")
iwae.mistake("log-k-added", edit=("- math", "+ math"),
             hint="log S is added. The mean is the sum divided by S: which sign does a division "
                  "get under a logarithm?")
iwae.mistake("divided-by-k", edit=("- math.log(samples)", "/ samples"),
             hint="The logarithm was divided by S. The weights are to be averaged, inside the "
                  "logarithm.")
iwae.mistake("k-subtracted", edit=("math.log(samples)", "samples"),
             hint="S itself was subtracted, not its logarithm.")
iwae.mistake("divided-by-log-k", edit=("- math", "/ math"),
             hint="The logarithm of the sum was divided by log S. A quotient under a logarithm "
                  "becomes a difference.")
iwae.mistake("one-sample-too-few", edit=("math.log(samples)", "math.log(samples - 1)"),
             hint="The sum was divided by S − 1, as for a variance. A mean has S in it.")
iwae.mistake("log-of-the-batch", edit=("shape[0]", "shape[1]"),
             hint="You divided by the number of images. The mean runs over the samples, axis 0.")
iwae.mistake("mean-of-the-logs",
             edit=[("torch.logsumexp", "torch.mean"), (" - math.log(samples)", "")],
             hint="This is the mean of the logarithms: the plain ELBO, averaged over S samples. "
                  "More samples make it steadier, not tighter. The logarithm of the mean is asked "
                  "for.")
iwae.mistake("sum-of-the-logs",
             edit=[("torch.logsumexp", "torch.sum"), (" - math.log(samples)", "")],
             hint="The log-weights were added up, so the weights were multiplied. They are to be "
                  "averaged.")
iwae.mistake("largest-only",
             edit=("torch.logsumexp(log_weights, dim=0) - math.log(samples)",
                   "log_weights.amax(dim=0)"),
             hint="Only the largest weight was kept. It decides the order of magnitude, but the "
                  "others count too, and so does log S.")
iwae.mistake("logarithm-missing",
             edit=("torch.logsumexp(log_weights, dim=0) - math.log(samples)",
                   "log_weights.exp().mean(dim=0)"),
             hint="This is the mean weight, an estimate of p(x) itself. Its logarithm is asked "
                  "for.")
iwae.mistake("weights-as-logs",
             edit=("torch.logsumexp(log_weights, dim=0) - math.log(samples)",
                   "log_weights.mean(dim=0).log()"),
             hint="The input was averaged as if it held the weights, and then the logarithm was "
                  "taken. It holds *log*-weights (hence the NaN: they are negative).")
iwae.mistake("self-normalised",
             edit=("torch.logsumexp(log_weights, dim=0) - math.log(samples)",
                   "(log_weights.softmax(dim=0) * log_weights).sum(dim=0)"),
             hint="The log-weights were averaged with normalised weights. That softmax is what "
                  "the *gradient* of the bound weighs the samples with; the bound is the "
                  "logarithm of the plain mean.")
iwae.mistake("weights-negated", edit=("(log_weights,", "(-log_weights,"),
             hint="The log-weights have the wrong sign: a sample that explains the image well "
                  "must get a large weight.")
iwae.mistake("sign", edit=("return bound", "return -bound"),
             hint="This is the negative bound. A bound on log p(x) is asked for, larger is "
                  "better; a loss would turn its sign.")
iwae.mistake("wrong-axis", edit=[("dim=0", "dim=1"), ("shape[0]", "shape[1]")],
             hint="You averaged over axis 1, the images. The samples are axis 0: one bound per "
                  "image.")
iwae.mistake("one-number",
             edit=[("dim=0", "dim=(0, 1)"), ("log_weights.shape[0]", "log_weights.numel()")],
             hint="Samples and images were averaged under one logarithm. Keep one bound per image.")
iwae.mistake("averaged-over-images", edit=("  # (B,)", ".mean()  # (B,)"),
             hint="The images were averaged. Keep one bound per image.")
iwae.mistake("bits", edit=("  # (B,)", " / _LN2  # (B,)"),
             hint="These are bits. Divide by log 2 only when bits are asked for.")
iwae.must("one-sample", _bound_is([-3.0, 2.0], [-3.0, 2.0]),
          hint="With one sample the bound is that sample's log-weight, the one-sample ELBO.")
iwae.must("one-image", lambda f: f(torch.zeros(5, 1)).shape == (1,),
          hint="For one image, shape (S, 1), the answer has shape (1,): look for a `squeeze`.")
iwae.must("equal-weights", lambda f: close(f(torch.full((7, 3), -2.5)), [-2.5] * 3),
          hint="If all S log-weights are −2.5, their mean weight has the logarithm −2.5, whatever "
               "S is.")
iwae.must("stands-alone", lambda f: stand_alone(f, _WEIGHTS, dim=1),
          hint="The bound of an image changes with the other images of the batch. Each image "
               "stands alone.")
iwae.must("all-count", _all_count,
          hint="A sample that explains the image better must raise the bound, whichever of the S "
               "it is: all of them count.")
iwae.must("any-order", lambda f: close(f(_WEIGHTS.flip(0)), f(_WEIGHTS)),
          hint="The order of the samples must not matter: all of them count alike.")
iwae.must("shifts", lambda f: close(f(_WEIGHTS - 5), f(_WEIGHTS) - 5),
          hint="If every log-weight is lowered by 5, the bound should be lower by 5. A small "
               "constant inside a logarithm, or a clamp, breaks that.")
iwae.must("underflow", lambda f: close(f(torch.full((4, 2), -800.0)), [-800.0] * 2),
          hint="Log-weights of −800 must give −800. exp(−800) is 0 in single precision, and log 0 "
               "is −∞ (or, with a clamp or a small constant, a number that has nothing to do with "
               "the weights). The exponential must never be taken as it stands: there is a "
               "function for log-sum-exp.")
iwae.must("overflow", lambda f: close(f(torch.full((4, 2), 800.0)), [800.0] * 2),
          hint="Log-weights of +800 (densities of grey pixels can be that large) must give 800: "
               "exp(800) is ∞. Subtract the largest weight first, or use the function that does.")
iwae.must("far-apart", _bound_is([-800.0, 800.0], [-800.0, 800.0], [-800.0, 800.0]),
          hint="Two images, one with log-weights of −800 and one with 800, must give −800 and "
               "800. Subtracting one largest weight for the whole batch leaves nothing of the "
               "first image: each image has its own largest.")
iwae.must("spread", _bound_is([-3 + math.log(0.5)], [-800.0], [-3.0], [-1200.0], [-3.0]),
          hint="Log-weights of −800, −3, −1200 and −3 should give −3.693: the small ones count as "
               "0, but they count among the S. Subtracting the *mean* weight first does not help: "
               "subtract the largest.")
iwae.must("not-the-elbo", _more_than_the_mean,
          hint="For spread-out weights the bound must lie above the mean of the log-weights, the "
               "plain ELBO.")

# --- sample_prior ----------------------------------------------------------------------------


def sample_prior(decoder, count, latent_dim):
    latent = torch.randn(count, latent_dim)  # (count, D): the prior N(0, I)
    with torch.no_grad():  # nothing will be learnt from these images
        logits = decoder(latent)  # (count, …)
    return torch.sigmoid(logits)  # probabilities of white, pixel by pixel


_MANY = 4000  # images of the large draw; 5 latents each
_LATENTS = 5


class _NotedDecoder(nn.Module):
    r"""Latents (B, D) to logits (B, 1, 4, 3); `seen` holds the latents of every call."""

    def __init__(self, latent_dim: int, generator: torch.Generator, *, training: bool):
        super().__init__()
        self.linear = nn.Linear(latent_dim, 12)
        with torch.no_grad():
            self.linear.weight.copy_(torch.randn(12, latent_dim, generator=generator))
            self.linear.bias.copy_(torch.linspace(-2, 2, 12))
        self.train(training)
        self.seen: list[torch.Tensor] = []

    def forward(self, latent):
        logits = self.linear(latent).unflatten(-1, (1, 4, 3))
        self.seen.append(latent.detach().clone())
        return logits

    def noted(self):
        r"""All latents, (number, D), and the logits that they gave."""
        seen = [latent.reshape(-1, latent.shape[-1]) for latent in self.seen]
        latent = torch.cat(seen) if seen else torch.zeros(0, self.linear.in_features)
        with torch.no_grad():
            return latent, self.linear(latent).unflatten(-1, (1, 4, 3))


_KINDS = {
    "probabilities": torch.sigmoid,
    "logits": lambda logits: logits,
    "sigmoid of the probabilities": lambda logits: torch.sigmoid(torch.sigmoid(logits)),
    "probabilities of black": lambda logits: torch.sigmoid(-logits),
    "softmax over the pixels": lambda logits: logits.flatten(1).softmax(1).view_as(logits),
    "softmax over the last axis": lambda logits: logits.softmax(-1),
    "softmax over the channels": lambda logits: logits.softmax(1),
    "rounded to 0 and 1": lambda logits: (logits > 0).to(logits.dtype),
    "logits cut off at 0 and 1": lambda logits: logits.clamp(0, 1),
    "tanh of the logits": torch.tanh,
    "exponentials of the logits": torch.exp,
    "probabilities times 255": lambda logits: 255 * torch.sigmoid(logits),
}


def _kind(pixels, logits) -> str:
    if pixels.numel() != logits.numel():
        return f"of {pixels.numel()} numbers for {logits.numel()} logits"
    pixels = pixels.detach().reshape(logits.shape).to(logits.dtype)
    for name, change in _KINDS.items():
        if torch.allclose(pixels, change(logits), rtol=1e-2, atol=5e-3):
            return name
    if bool(((pixels == 0) | (pixels == 1)).all()):
        return "a black-or-white draw"
    return f"something else, from {float(pixels.min()):.4g} to {float(pixels.max()):.4g}"


def _shape(value) -> str:
    if not isinstance(value, torch.Tensor):
        return describe(value)
    return f"{tuple(value.shape)}{'' if value.is_floating_point() else f', {value.dtype}'}"


def _observe_generation(function, args):
    r"""Fields for function(decoder, count, latent_dim)."""
    decoder, count, latent_dim = args
    before, gradients = decoder.training, torch.is_grad_enabled()
    weights = [parameter.detach().clone() for parameter in decoder.parameters()]
    try:
        first = function(decoder, count, latent_dim)
        latents = decoder.noted()
        decoder.seen.clear()
        function(decoder, count, latent_dim)
        again = decoder.noted()[0]
        off = torch.is_grad_enabled() != gradients
        large = _NotedDecoder(_LATENTS, torch.Generator().manual_seed(1), training=before)
        function(large, _MANY, _LATENTS)
    finally:
        torch.set_grad_enabled(gradients)
    tensor = isinstance(first, torch.Tensor)
    after = [parameter.detach() for parameter in decoder.parameters()]
    return {
        "latents": _shape(latents[0]) if len(latents[0]) else "none: the decoder was not called",
        **_statistics(large.noted()[0]),
        "latents_differ_between_calls": not (
            latents[0].shape == again.shape and torch.equal(latents[0], again)
        ),
        "shape": _shape(first),
        "pixels_are": _kind(first, latents[1]) if tensor else "no tensor",
        "gradient": "none" if not (tensor and first.requires_grad) else "hangs on to the decoder",
        "gradients_afterwards": "switched off for everybody" if off else "as before",
        "mode_afterwards": _mode(decoder),
        "decoder_unchanged": all(map(torch.equal, weights, after)),
    }


def _mode(decoder) -> str:
    return "train" if decoder.training else "eval"


def _statistics(latent) -> dict:
    if latent.shape != (_MANY, _LATENTS):
        missing = {"average_of_the_latents": float("nan"), "spread_of_the_latents": float("nan")}
        return dict.fromkeys(_STATISTICS, False) | missing
    images = bool((latent.std(dim=0) > 1e-3).any())
    dimensions = bool((latent.std(dim=1) > 1e-3).any())
    centred = (latent - latent.mean()) / latent.std().clamp(min=1e-6)
    correlation = torch.corrcoef(centred.T) if images and dimensions else torch.eye(_LATENTS)
    apart = (correlation - torch.eye(_LATENTS)).abs().max() < 0.1
    half = float((centred.abs() < 0.6745).float().mean())
    rows, columns = latent.mean(dim=0), latent.std(dim=0)
    return {
        "latents_differ_between_images": images,
        "latents_differ_between_dimensions": dimensions,
        "dimensions_are_independent": bool(apart),
        "average_of_the_latents": float(latent.mean()),
        "average_is_0": not images or bool((rows.abs() < 0.1).all() and latent.mean().abs() < 0.05),
        "spread_of_the_latents": float(latent.std()) if images else 0.0,
        "spread_is_1": not images
        or bool(((columns - 1).abs() < 0.07).all() and abs(float(latent.std()) - 1) < 0.04),
        "half_of_them_within_0.6745_spreads": not images
        or not dimensions
        or abs(half - 0.5) < 0.025,
    }


_STATISTICS = (
    "latents_differ_between_images",
    "latents_differ_between_dimensions",
    "dimensions_are_independent",
    "average_of_the_latents",
    "average_is_0",
    "spread_of_the_latents",
    "spread_is_1",
    "half_of_them_within_0.6745_spreads",
)

_OFF_CENTRE = (
    "The latents do not scatter around 0 (the example shows their average). The prior is N(0, I)."
)
_SPREAD = (
    "The latents scatter too much or too little: their standard deviation should be 1 (the example "
    "shows it). The decoder was trained on codes of that spread, and on no others."
)
_EXPLAIN_GENERATION = {
    "latents": "The decoder did not get count latents of latent_dim numbers each (the example "
    "shows what it got, all calls together).",
    "latents_differ_between_images": "Every image was made from the same latent: draw one for each "
    "image.",
    "latents_differ_between_dimensions": "All numbers within one latent are the same.",
    "dimensions_are_independent": "The numbers within one latent depend on each other: the prior "
    "has independent dimensions.",
    "average_of_the_latents": _OFF_CENTRE,
    "average_is_0": _OFF_CENTRE,
    "spread_of_the_latents": _SPREAD,
    "spread_is_1": _SPREAD,
    "half_of_them_within_0.6745_spreads": "The latents have the right centre and spread, but they "
    "are not normal: half of them should lie within 0.6745 standard deviations of 0.",
    "latents_differ_between_calls": "Two calls gave the same images: each call must draw anew.",
    "shape": "What comes back should be one tensor with the shape of the decoder's output, image "
    "after image.",
    "pixels_are": "What you made of the decoder's logits is not the probability that a pixel is "
    "white (the example says what it looks like).",
    "gradient": "The pixels still hang on to the decoder's gradient: every sample kept would keep "
    "the whole graph in memory.",
    "gradients_afterwards": "After the call gradients are switched off for the rest of the "
    "program: the next training step would raise an error. Switch them off for a few lines only.",
    "mode_afterwards": "The decoder came in one mode and went out in another.",
    "decoder_unchanged": "The decoder's weights are different afterwards: sampling must not train.",
}


def _a_decoder(g):
    count, latent_dim = draw.sizes(g, count=2, low=4, high=9)
    training = bool(g.initial_seed() % 2)
    return _NotedDecoder(latent_dim, g, training=training), count, latent_dim


_MODE = (
    "The decoder came in {} mode and left in {} mode. Sampling should leave no trace: whoever goes "
    "on training does it in the wrong mode (dropout and batch norm behave differently in the two). "
    "Put it back as you found it, or don't touch it."
)

prior = Exercise(
    sample_prior,
    inputs=_a_decoder,
    returns="(count, …), pixel probabilities of images decoded from samples of N(0, I), no "
    "gradient",
    observe=_observe_generation,
    explain=_EXPLAIN_GENERATION,
    chapter=5, minutes=8, difficulty=2, cases=2, rtol=0.0, atol=0.05,
)  # fmt: skip
prior.mistake("uniform", edit=("torch.randn", "torch.rand"),
              hint="The latents are uniform on [0, 1): torch.rand. That is one corner of the "
                   "latent space, never negative. The prior is a normal distribution.")
prior.mistake("uniform-both-sides",
              edit=("torch.randn(count, latent_dim)", "2 * torch.rand(count, latent_dim) - 1"),
              hint="The latents are uniform on [−1, 1). The prior is normal: a third of its "
                   "values lie further out.")
prior.mistake("one-latent-for-all",
              edit=("torch.randn(count, latent_dim)",
                    "torch.randn(1, latent_dim).expand(count, latent_dim)"),
              hint="All images were made from one latent: you will see the same picture count "
                   "times. Draw a row for each.")
prior.mistake("one-number-for-all-dimensions",
              edit=("torch.randn(count, latent_dim)",
                    "torch.randn(count, 1).expand(count, latent_dim)"), in_pairs=False,
              hint="One number was drawn for each image and used in all its dimensions: these "
                   "latents lie on a diagonal line.")
prior.mistake("the-mean-of-the-prior", edit=("torch.randn", "torch.zeros"), in_pairs=False,
              hint="All latents are 0, the centre of the prior. That shows one image; a sample is "
                   "drawn at random.")
prior.mistake("ones", edit=("torch.randn", "torch.ones"), in_pairs=False,
              hint="All latents are 1. A sample of the prior is drawn at random.")
prior.mistake("positive-half",
              edit=("torch.randn(count, latent_dim)", "torch.randn(count, latent_dim).abs()"),
              in_pairs=False,
              hint="None of the latents is negative: only one corner of the prior is visited.")
prior.mistake("on-a-sphere",
              edit=("torch.randn(count, latent_dim)",
                    "F.normalize(torch.randn(count, latent_dim), dim=1)"), in_pairs=False,
              hint="The latents were scaled to length 1. Samples of N(0, I) have a length near "
                   "√D; this decoder has never seen codes so close to the centre.")
prior.mistake("spread-over-root-d",
              edit=("torch.randn(count, latent_dim)",
                    "torch.randn(count, latent_dim) / math.sqrt(latent_dim)"), in_pairs=False,
              hint="The latents were divided by √D, as for initial weights. The prior has "
                   "standard deviation 1 in every dimension.")
prior.mistake("latents-swapped",
              edit=("torch.randn(count, latent_dim)", "torch.randn(latent_dim, count)"),
              in_pairs=False,
              hint="The latents have the shape (latent_dim, count): the first axis is the batch.")
prior.mistake("latent-dim-written-in",
              edit=("torch.randn(count, latent_dim)", "torch.randn(count, 20)"),
              in_pairs=False,
              hint="The size 20 is written into the function; latent_dim says how many numbers "
                   "this decoder wants.")
prior.mistake("count-ignored",
              edit=("torch.randn(count, latent_dim)", "torch.randn(1, latent_dim)"),
              in_pairs=False,
              hint="One image came back instead of count.")
prior.mistake("no-batch-axis",
              edit=("torch.randn(count, latent_dim)", "torch.randn(latent_dim)"),
              in_pairs=False,
              hint="One latent without a batch axis was decoded: shape (latent_dim,). The decoder "
                   "wants (count, latent_dim).")
prior.mistake("fixed-seed",
              edit=("    latent =", "    torch.default_generator.manual_seed(0)\n    latent ="),
              hint="Every call gives the same images: a seed is set inside the function. (With "
                   "torch.manual_seed that also resets the random numbers of whoever calls it.) "
                   "Seed once, outside.")
prior.mistake("logits-returned", edit=("torch.sigmoid(logits)", "logits"),
              hint="These are logits: they go below 0 and above 1. A decoder's last step, from "
                   "logits to probabilities, is yours to take.")
prior.mistake("sigmoid-twice",
              edit=("torch.sigmoid(logits)", "torch.sigmoid(torch.sigmoid(logits))"),
              hint="The sigmoid was taken twice: all pixels lie between 0.5 and 0.73, a grey fog. "
                   "The decoder gives logits; one sigmoid is enough.")
prior.mistake("black-for-white", edit=("torch.sigmoid(logits)", "torch.sigmoid(-logits)"),
              hint="Black and white are exchanged: these are the probabilities of black.")
prior.mistake("softmax",
              edit=("torch.sigmoid(logits)", "logits.flatten(1).softmax(dim=1).view_as(logits)"),
              in_pairs=False,
              hint="A softmax over the pixels makes them add up to 1: a nearly black picture. "
                   "Each pixel is a coin of its own.")
prior.mistake("tanh", edit=("torch.sigmoid(logits)", "torch.tanh(logits)"), in_pairs=False,
              hint="tanh of the logits lies between −1 and 1. A Bernoulli decoder's logits become "
                   "probabilities by another function.")
prior.mistake("cut-off", edit=("torch.sigmoid(logits)", "logits.clamp(0, 1)"), in_pairs=False,
              hint="The logits were cut off at 0 and 1. A logit of 0 means a fifty-fifty pixel, "
                   "not a black one.")
prior.mistake("coins-tossed",
              edit=("torch.sigmoid(logits)", "torch.bernoulli(torch.sigmoid(logits))"),
              hint="You tossed a coin for each pixel: black or white. That is a sample of p(x | "
                   "z), and an honest one; here its probabilities are asked for, which show what "
                   "the decoder knows without the snow.")
prior.mistake("rounded",
              edit=("torch.sigmoid(logits)", "torch.sigmoid(logits).round()"),
              in_pairs=False,
              hint="The pixels were rounded to 0 and 1. How sure the decoder is gets lost: return "
                   "the probabilities.")
prior.mistake("bytes",
              edit=("torch.sigmoid(logits)", "255 * torch.sigmoid(logits)"),
              in_pairs=False,
              hint="The pixels go from 0 to 255. Probabilities go from 0 to 1.")
prior.mistake("flattened",
              edit=("torch.sigmoid(logits)", "torch.sigmoid(logits).flatten(1)"),
              in_pairs=False,
              hint="The images were flattened. Keep the shape that the decoder gives them.")
prior.mistake("a-list",
              edit=("torch.sigmoid(logits)", "list(torch.sigmoid(logits))"),
              in_pairs=False,
              hint="A list of images came back. One tensor is asked for, (count, …).")
prior.mistake("gradient-kept", edit=("with torch.no_grad():", "if True:"),
              hint="The images still require a gradient. Each of them keeps the graph of its "
                   "making in memory, and .numpy() refuses them: switch the gradient off while "
                   "you decode.")
prior.mistake("gradients-left-off",
              edit=("    with torch.no_grad():", "    torch.set_grad_enabled(False)\n    if True:"),
              hint="Gradients are switched off for good (torch.set_grad_enabled(False)): after "
                   "this call nothing trains any more. Use a `with` block, which ends.")
prior.mistake("eval-left-on", edit=("    latent =", "    decoder.eval()\n    latent ="),
              hint=_MODE.format("train", "eval"))
prior.mistake("train-left-on", edit=("    latent =", "    decoder.train()\n    latent ="),
              hint=_MODE.format("eval", "train"))
