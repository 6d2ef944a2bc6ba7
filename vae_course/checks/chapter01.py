r"""Exercises of notebook 01: autoencoders."""

import math

import torch
from torch import nn

from . import _draw as draw
from ._exercise import Exercise, Mistake, Property

# --- mse_per_image ---------------------------------------------------------------------------


def mse_per_image(image, reconstruction):
    difference = image - reconstruction  # (B, …)
    return difference.square().flatten(start_dim=1).mean(dim=1)  # (B,)


def _mse_case(generator):
    batch, height, width = draw.sizes(generator, count=3, low=3, high=8)
    shape = (batch, 1, height, width)
    return draw.pixels(generator, *shape), draw.pixels(generator, *shape)


def _mse_slipped(slips, image, reconstruction):
    difference = image - reconstruction
    if "not-squared" in slips:
        error = difference
    elif "absolute" in slips:
        error = difference.abs()
    else:
        error = difference.square()
    flat = error.flatten(start_dim=1)
    if "mean-over-batch-too" in slips:
        result = error.mean()
    elif "sum-over-everything" in slips:
        result = error.sum()
    elif "averaged-over-the-batch" in slips:
        result = error.mean(dim=0)
    elif "last-axis-only" in slips:
        result = error.mean(dim=-1)
    elif "summed" in slips:
        result = flat.sum(dim=1)
    elif "divided-by-batch" in slips:
        result = flat.sum(dim=1) / len(image)
    elif "keeps-an-axis" in slips:
        result = flat.mean(dim=1, keepdim=True)
    else:
        result = flat.mean(dim=1)
    result = result.abs().sqrt() if "root" in slips else result
    return result / 2 if "halved" in slips else result


def _mse_one_flattened(image, reconstruction):
    return (image.flatten(start_dim=1) - reconstruction).square().mean(dim=1)


MSE_PER_IMAGE = Exercise(
    name="mse_per_image",
    chapter=1,
    minutes=5,
    difficulty=1,
    returns="(B,), the squared error of each image, averaged over its pixels",
    reference=mse_per_image,
    case=_mse_case,
    slipped=_mse_slipped,
    mistakes=(
        Mistake(
            "mean-over-batch-too",
            "You averaged over the images too, so one number is left. "
            "Keep one error per image: average over the pixel axes only.",
        ),
        Mistake(
            "sum-over-everything",
            "You summed over all images and pixels. Keep one number per "
            "image, and average over its pixels.",
        ),
        Mistake(
            "averaged-over-the-batch",
            "You averaged over axis 0, the images: what is left is "
            "an error per pixel. The batch axis is the one to keep.",
        ),
        Mistake(
            "last-axis-only",
            "Only the last axis was averaged: an image has all the axes "
            "after the first. Flatten each image first.",
        ),
        Mistake("summed", "The pixels' errors are summed; here they are to be averaged."),
        Mistake(
            "divided-by-batch",
            "The sum over pixels is divided by the number of images; an "
            "average over pixels divides by the number of pixels.",
        ),
        Mistake(
            "not-squared",
            "The differences are not squared: positive and negative ones cancel, "
            "and a bad reconstruction can score 0.",
        ),
        Mistake(
            "absolute",
            "This is the absolute error (MAE). Squared error punishes one large "
            "difference more than many small ones.",
        ),
        Mistake(
            "root",
            "A square root was taken at the end (RMSE). The plain mean of squares is asked for.",
        ),
        Mistake(
            "halved",
            "There is a factor ½ too much. Some books put it there to tidy the "
            "derivative; the mean squared error has none.",
        ),
        Mistake(
            "keeps-an-axis",
            "The shape is (B, 1), not (B,): an axis of length 1 was kept. "
            "Later sums would broadcast it silently.",
        ),
        Mistake(
            "one-flattened",
            "One of the two pictures was flattened and the other not, so "
            "(B, P) meets (B, 1, H, W). Give both the same shape before subtracting.",
            alone=_mse_one_flattened,
        ),
    ),
    properties=(
        Property(
            "zero-for-equal",
            lambda f: bool((f(torch.ones(2, 1, 3, 4), torch.ones(2, 1, 3, 4)) == 0).all()),
            "For a perfect reconstruction every error must be 0.",
        ),
        Property(
            "any-image-shape",
            lambda f: f(torch.zeros(2, 5), torch.ones(2, 5)).tolist() == [1, 1],
            "Images that are already flat, (B, P), must work as well: white "
            "against black gives 1 per image.",
        ),
    ),
)

# --- pca_reconstruct -------------------------------------------------------------------------


def pca_reconstruct(images, k):
    mean = images.mean(dim=0)  # (P,)
    centred = images - mean  # (N, P)
    _, _, directions = torch.linalg.svd(centred, full_matrices=False)  # rows, strongest first
    leading = directions[:k]  # (k, P)
    codes = centred @ leading.T  # (N, k)
    return codes @ leading + mean  # (N, P)


def _pca_case(generator):
    count, pixels, k = 17, draw.integer(generator, 7, 9), draw.integer(generator, 2, 4)
    spread = torch.arange(1, pixels + 1) / 3.0  # a clear order of directions
    mixing = torch.linalg.qr(draw.normal(generator, pixels, pixels)).Q
    images = (draw.normal(generator, count, pixels) * spread) @ mixing
    return images + draw.normal(generator, pixels, scale=2.0), k


def _pca_slipped(slips, images, k):
    mean = images.mean(dim=0)
    if "centred-by-image" in slips:
        mean = images.mean(dim=1, keepdim=True)
    elif "one-mean-for-all" in slips:
        mean = images.mean()
    elif "not-centred" in slips:
        mean = torch.zeros_like(mean)
    centred = images - mean
    scale = images.std(dim=0) if "standardised" in slips else 1.0
    left, strengths, directions = torch.linalg.svd(centred / scale, full_matrices=False)
    if "smallest-components" in slips:
        leading = directions[-k:]
    elif "one-component-short" in slips:
        leading = directions[: k - 1]
    elif "one-component-more" in slips:
        leading = directions[: k + 1]
    elif "only-component-k" in slips:
        leading = directions[k - 1 : k]
    elif "columns-for-rows" in slips:
        leading = directions[:, :k].T
    else:
        leading = directions[:k]
    codes = (centred / scale) @ leading.T
    if "codes-returned" in slips:
        return codes
    if "scaled-codes" in slips:
        codes = codes * strengths[: codes.shape[1]]
    restored = (codes @ leading) * scale
    return restored if "mean-not-added-back" in slips else restored + mean


def _first_pixels(images, k):
    kept = torch.zeros_like(images)
    kept[:, :k] = images[:, :k]
    return kept


PCA_RECONSTRUCT = Exercise(
    name="pca_reconstruct",
    chapter=1,
    minutes=15,
    difficulty=2,
    returns="(N, P), the images projected on their k leading principal components and back",
    reference=pca_reconstruct,
    case=_pca_case,
    slipped=_pca_slipped,
    rtol=1e-3,
    atol=1e-3,
    mistakes=(
        Mistake(
            "not-centred",
            "The data were not centred: PCA looks for directions of spread "
            "around the mean image. Without subtracting it the first direction is spent on "
            "pointing at the mean.",
        ),
        Mistake(
            "mean-not-added-back",
            "You removed the mean image and did not put it back: the "
            "reconstructions are centred at 0.",
        ),
        Mistake(
            "smallest-components",
            "These are the k weakest directions. `eigh` sorts upwards, "
            "`svd` sorts downwards: take the k strongest.",
        ),
        Mistake(
            "centred-by-image",
            "Each image lost its own mean (over its pixels). PCA subtracts "
            "the mean image: an average over the images, one value a pixel.",
        ),
        Mistake(
            "one-mean-for-all",
            "One number, the mean of all pixels of all images, was "
            "subtracted. PCA subtracts the mean image: one value a pixel.",
        ),
        Mistake(
            "one-component-short",
            "Only k − 1 components were kept: slices end before their end index.",
        ),
        Mistake("one-component-more", "k + 1 components were kept, one too many."),
        Mistake(
            "only-component-k",
            "Only the k-th component was used. All of the first k belong in the sum.",
        ),
        Mistake(
            "columns-for-rows",
            "`svd` returns the directions as rows of its third result "
            "(it is Vᵀ, not V): you took columns.",
        ),
        Mistake(
            "codes-returned",
            "These are the codes, k numbers an image. Turn them back into "
            "pixels: multiply by the directions again.",
        ),
        Mistake(
            "scaled-codes",
            "The codes were multiplied by the singular values. Projections of "
            "the data on the directions already have the right length.",
        ),
        Mistake(
            "standardised",
            "Each pixel was divided by its standard deviation first. That is "
            "PCA of the correlations: other directions, a worse squared error.",
        ),
        Mistake(
            "first-pixels",
            "You kept the first k pixels. The k leading components are "
            "directions that mix all pixels.",
            alone=_first_pixels,
        ),
    ),
    properties=(
        Property(
            "all-components",
            lambda f: _pca_is_exact(f),
            "With k = P components nothing is lost: the images must come back unchanged.",
        ),
    ),
)


def _pca_is_exact(function) -> bool:
    images = draw.normal(torch.Generator().manual_seed(1), 9, 5) + 3
    return torch.allclose(function(images, 5), images, atol=1e-3)


# --- denoising_loss --------------------------------------------------------------------------


def denoising_loss(model, clean, noisy):
    restored = model(noisy)  # (B, 1, H, W): the model never sees the clean image …
    return (restored - clean).square().mean()  # … and is measured against nothing else


class _Restorer(nn.Module):
    r"""A small model with known weights, drawn anew for each case."""

    def __init__(self, generator, height, width):
        super().__init__()
        self.weight = nn.Parameter(draw.normal(generator, height * width, height * width) / 4)
        self.bias = nn.Parameter(draw.normal(generator, height * width) / 4)

    def forward(self, image):
        return (image.flatten(1) @ self.weight + self.bias).view_as(image)


def _denoising_case(generator):
    batch, height, width = draw.sizes(generator, count=3, low=3, high=6)
    clean = draw.pixels(generator, batch, 1, height, width)
    noisy = (clean + draw.normal(generator, *clean.shape, scale=0.4)).clamp(0, 1)
    return _Restorer(generator, height, width), clean, noisy


def _observe_denoising(function, args):
    model, clean, noisy = args
    value = function(model, clean, noisy)
    learns = isinstance(value, torch.Tensor) and value.requires_grad
    return {"value": value, "gradient_reaches_the_model": learns}


def _denoising_slipped(slips, model, clean, noisy):
    seen = clean if "clean-input" in slips else noisy
    restored = noisy if "no-model" in slips else model(seen)
    restored = torch.sigmoid(restored) if "sigmoid-again" in slips else restored
    restored = restored.detach() if "gradient-cut" in slips else restored
    if "noisy-target" in slips:
        target = noisy
    elif "noise-target" in slips:
        target = noisy - clean
    else:
        target = clean
    difference = restored - target
    error = difference.abs() if "absolute" in slips else difference.square()
    if "summed" in slips:
        return error.sum()
    if "summed-over-pixels" in slips:
        return error.flatten(1).sum(dim=1).mean()
    if "per-image" in slips:
        return error.flatten(1).mean(dim=1)
    return error.mean().sqrt() if "root" in slips else error.mean()


DENOISING_LOSS = Exercise(
    name="denoising_loss",
    chapter=1,
    minutes=5,
    difficulty=1,
    returns="one number, the mean squared error of the restored images, with its gradient",
    reference=denoising_loss,
    case=_denoising_case,
    slipped=_denoising_slipped,
    observe=_observe_denoising,
    explain={
        "gradient_reaches_the_model": "No gradient reaches the model's weights: something "
        "(`.item()`, `.detach()`, `torch.no_grad()`) cut the graph."
    },
    mistakes=(
        Mistake(
            "noisy-target",
            "The restored image is compared with the noisy one: the best "
            "answer to that is to copy the noise. Compare it with the clean image.",
        ),
        Mistake(
            "clean-input",
            "The clean image went into the model. In use it will only get "
            "noisy ones: feed it those.",
        ),
        Mistake(
            "no-model",
            "The model was not used: this is the distance of the noisy image from "
            "the clean one, the number the model has to beat.",
        ),
        Mistake(
            "noise-target",
            "The target is the noise (noisy − clean). A model can be trained to "
            "predict that, but here it returns the image.",
        ),
        Mistake(
            "sigmoid-again",
            "A sigmoid was applied to the model's output. It returns pixels "
            "already; a second squeeze keeps them between 0.5 and 0.73.",
        ),
        Mistake(
            "gradient-cut",
            "The value is right but no gradient reaches the model: `.detach()`, "
            "`.item()` or `no_grad` cut the graph. The weights would never change.",
        ),
        Mistake("absolute", "This is the mean absolute error; the squared error is asked for."),
        Mistake(
            "summed",
            "The errors are summed over all pixels and images; the mean is asked "
            "for, so that the value does not depend on the batch size.",
        ),
        Mistake(
            "summed-over-pixels",
            "The errors are summed over the pixels of each image, then "
            "averaged over images. Here everything is averaged.",
        ),
        Mistake(
            "per-image",
            "One number per image came back; a training step needs one number: "
            "average over the images too.",
        ),
        Mistake("root", "A square root was taken at the end (RMSE); the mean of squares is asked."),
    ),
)

# --- compression_ratio -----------------------------------------------------------------------


def compression_ratio(image_shape, latent_dim):
    return math.prod(image_shape) / latent_dim  # numbers in per number kept


def _ratio_case(generator):
    channels, height, width, latent_dim = draw.sizes(generator, count=4, low=2, high=31)
    return (channels, height, width), latent_dim


def _ratio_slipped(slips, image_shape, latent_dim):
    channels, height, width = image_shape
    values = channels * height * width
    if "channels-dropped" in slips:
        values = height * width
    elif "sides-added" in slips:
        values = channels + height + width
    elif "one-side" in slips:
        values = width
    elif "taken-for-square" in slips:
        values = channels * height * height
    elif "batch-axis" in slips:
        values = channels
    if "bits-for-values" in slips:
        values = 8 * values
    if "inverted" in slips:
        return latent_dim / values
    if "whole-number" in slips:
        return values // latent_dim
    if "saved-share" in slips:
        return 1 - latent_dim / values
    if "difference" in slips:
        return float(values - latent_dim)
    if "square-code" in slips:
        return values / latent_dim**2
    return values / latent_dim


COMPRESSION_RATIO = Exercise(
    name="compression_ratio",
    chapter=1,
    minutes=3,
    difficulty=1,
    returns="a float, the values in an image per value kept in its code",
    reference=compression_ratio,
    case=_ratio_case,
    slipped=_ratio_slipped,
    mistakes=(
        Mistake(
            "inverted",
            "This is the code's share of the image, the ratio upside down. "
            "Values in per value kept: a number above 1 means compression.",
        ),
        Mistake(
            "channels-dropped",
            "The channels were left out: a colour image has three values "
            "a pixel. All axes of image_shape count.",
        ),
        Mistake("sides-added", "The sides were added; the number of values is their product."),
        Mistake(
            "one-side",
            "Only one side of the image was counted. The number of values is the "
            "product of all axes.",
        ),
        Mistake("taken-for-square", "One side was used twice, as if all images were square."),
        Mistake(
            "batch-axis",
            "image_shape has no batch axis: (channels, height, width). Its first "
            "entry alone is the number of channels.",
        ),
        Mistake("whole-number", "`//` throws the remainder away; the ratio is a float."),
        Mistake(
            "saved-share",
            "This is the share saved, 1 − kept / all. The ratio asked for is all / kept.",
        ),
        Mistake("difference", "This is how many values were saved, a difference; a ratio divides."),
        Mistake(
            "bits-for-values",
            "The pixels were counted in bits and the code in values. Count "
            "the same thing on both sides (notebook 07 counts bits properly).",
        ),
        Mistake(
            "square-code", "latent_dim was squared: the code is a vector of that many numbers."
        ),
    ),
    properties=(
        Property(
            "mnist",
            lambda f: abs(f((1, 28, 28), 2) - 392) < 1e-6,
            "A 28 × 28 digit in 2 numbers is a ratio of 392.",
        ),
        Property(
            "any-number-of-axes",
            lambda f: abs(f((784,), 8) - 98) < 1e-6,
            "A flat image_shape such as (784,) must work as well.",
        ),
    ),
)

EXERCISES = [MSE_PER_IMAGE, PCA_RECONSTRUCT, DENOISING_LOSS, COMPRESSION_RATIO]
