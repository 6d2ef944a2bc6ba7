r"""Exercises of notebook 01: autoencoders."""

import math

import torch
from torch import nn

from . import draw
from .definition import Exercise
from .values import close

# --- mse_per_image ---------------------------------------------------------------------------


def mse_per_image(image, reconstruction):
    difference = image - reconstruction  # (B, …)
    return difference.square().flatten(start_dim=1).mean(dim=1)  # (B,)


def _one_flattened(image, reconstruction):
    return (image.flatten(start_dim=1) - reconstruction).square().mean(dim=1)


mse = Exercise(
    mse_per_image,
    inputs=lambda g: tuple(draw.pixels(g, "B", 1, "H", "W") for _ in range(2)),
    returns="(B,), the squared error of each image, averaged over its pixels",
    chapter=1, minutes=5, difficulty=1,
)  # fmt: skip
mse.mistake("mean-over-batch-too", edit=(".flatten(start_dim=1).mean(dim=1)", ".mean()"),
            hint="You averaged over the images too, so one number is left. Keep one error per "
                 "image: average over the pixel axes only.")
mse.mistake("sum-over-everything", edit=(".flatten(start_dim=1).mean(dim=1)", ".sum()"),
            hint="You summed over all images and pixels. Keep one number per image, and average "
                 "over its pixels.")
mse.mistake("averaged-over-the-batch", edit=(".flatten(start_dim=1).mean(dim=1)", ".mean(dim=0)"),
            hint="You averaged over axis 0, the images: what is left is an error per pixel. The "
                 "batch axis is the one to keep.")
mse.mistake("last-axis-only", edit=(".flatten(start_dim=1).mean(dim=1)", ".mean(dim=-1)"),
            hint="Only the last axis was averaged: an image has all the axes after the first. "
                 "Flatten each image first.")
mse.mistake("summed", edit=(".mean(dim=1)", ".sum(dim=1)"),
            hint="The pixels' errors are summed; here they are to be averaged.")
mse.mistake("divided-by-batch", edit=(".mean(dim=1)", ".sum(dim=1) / len(image)"),
            hint="The sum over pixels is divided by the number of images; an average over pixels "
                 "divides by the number of pixels.")
mse.mistake("not-squared", edit=(".square()", ""),
            hint="The differences are not squared: positive and negative ones cancel, and a bad "
                 "reconstruction can score 0.")
mse.mistake("absolute", edit=(".square()", ".abs()"),
            hint="This is the absolute error (MAE). Squared error punishes one large difference "
                 "more than many small ones.")
mse.mistake("square-of-the-mean",
            edit=(".square().flatten(start_dim=1).mean(dim=1)",
                  ".flatten(start_dim=1).mean(dim=1).square()"),
            hint="The differences were averaged first and squared then: they cancel before they "
                 "can count. Square each pixel's difference, then average.")
mse.mistake("root", edit=("  # (B,)", ".sqrt()  # (B,)"),
            hint="A square root was taken at the end (RMSE). The plain mean of squares is asked "
                 "for.")
mse.mistake("halved", edit=("return difference", "return 0.5 * difference"),
            hint="There is a factor ½ too much. Some books put it there to tidy the derivative; "
                 "the mean squared error has none.")
mse.mistake("keeps-an-axis", edit=(".mean(dim=1)", ".mean(dim=1, keepdim=True)"),
            hint="The shape is (B, 1), not (B,): an axis of length 1 was kept. Later sums would "
                 "broadcast it silently.")
mse.mistake("one-flattened", function=_one_flattened,
            hint="One of the two pictures was flattened and the other not, so (B, P) meets (B, 1, "
                 "H, W). Give both the same shape before subtracting.")
mse.must("zero-for-equal", lambda f: close(f(*[torch.ones(2, 1, 3, 4)] * 2), [0.0, 0.0]),
         hint="For a perfect reconstruction every error must be 0.")
mse.must("any-image-shape", lambda f: f(torch.zeros(2, 5), torch.ones(2, 5)).tolist() == [1, 1],
         hint="Two flat images, (2, 5), black against white, must give 1 for "
              "each: everything after the batch axis is pixels.")

# --- pca_reconstruct -------------------------------------------------------------------------


def pca_reconstruct(images, k):
    mean = images.mean(dim=0)  # (P,)
    centred = images - mean  # (N, P)
    _, _, directions = torch.linalg.svd(centred, full_matrices=False)  # rows, strongest first
    leading = directions[:k]  # (k, P)
    codes = centred @ leading.T  # (N, k)
    return codes @ leading + mean  # (N, P)


def _images_with_directions(g):
    r"""Pixels in [0, 1] that vary along directions of clearly different strength."""
    pixels, k = draw.integer(g, 7, 9), draw.integer(g, 2, 4)
    spread = 0.6 ** torch.arange(pixels)
    mixing = torch.linalg.qr(draw.normal(g, pixels, pixels)).Q
    images = (draw.normal(g, 17, pixels) * spread) @ mixing + draw.normal(g, pixels, scale=0.7)
    return torch.sigmoid(2 * images), k


def _first_pixels(images, k):
    kept = torch.zeros_like(images)
    kept[:, :k] = images[:, :k]
    return kept


def _exact_with_all_components(function):
    images = draw.pixels(draw.case(1), 9, 5)
    return close(function(images, 5), images)


pca = Exercise(
    pca_reconstruct,
    inputs=_images_with_directions,
    returns="(N, P), the images projected on their k leading principal components and back",
    chapter=1, minutes=15, difficulty=2, rtol=1e-3, atol=1e-3,
)  # fmt: skip
pca.mistake("not-centred", edit=("images.mean(dim=0)", "torch.zeros_like(images[0])"),
            hint="The data were not centred: PCA looks for directions of spread around the mean "
                 "image. Without subtracting it the first direction is spent on pointing at the "
                 "mean.")
pca.mistake("mean-not-added-back", edit=(" + mean", ""),
            hint="You removed the mean image and did not put it back: the reconstructions are "
                 "centred at 0.")
pca.mistake("smallest-components", edit=("directions[:k]", "directions[-k:]"),
            hint="These are the k weakest directions. `eigh` sorts upwards, `svd` sorts "
                 "downwards: take the k strongest.")
pca.mistake("centred-by-image", edit=("mean(dim=0)", "mean(dim=1, keepdim=True)"),
            hint="Each image lost its own mean (over its pixels). PCA subtracts the mean image: "
                 "an average over the images, one value a pixel.")
pca.mistake("one-mean-for-all", edit=("mean(dim=0)", "mean()"),
            hint="One number, the mean of all pixels of all images, was subtracted. PCA subtracts "
                 "the mean image: one value a pixel.")
pca.mistake("one-component-short", edit=("[:k]", "[: k - 1]"),
            hint="Only k − 1 components were kept: slices end before their end index.")
pca.mistake("one-component-more", edit=("[:k]", "[: k + 1]"),
            hint="k + 1 components were kept, one too many.")
pca.mistake("only-component-k", edit=("[:k]", "[k - 1 : k]"),
            hint="Only the k-th component was used. All of the first k belong in the sum.")
pca.mistake("columns-for-rows", edit=("directions[:k]", "directions[:, :k].T"),
            hint="`svd` returns the directions as rows of its third result (it is Vᵀ, not V): you "
                 "took columns.")
pca.mistake("codes-returned", edit=("codes @ leading + mean", "codes"),
            hint="These are the codes, k numbers an image. Turn them back into pixels: multiply "
                 "by the directions again.")
pca.mistake("scaled-codes",
            edit=[("_, _, directions", "_, strengths, directions"),
                  ("@ leading.T", "@ leading.T * strengths[: len(leading)]")],
            hint="The codes were multiplied by the singular values. Projections of the data on "
                 "the directions already have the right length.")
pca.mistake("standardised",
            edit=[("centred = images - mean", "centred = (images - mean) / images.std(dim=0)"),
                  ("codes @ leading", "codes @ leading * images.std(dim=0)")],
            hint="Each pixel was divided by its standard deviation first. That is PCA of the "
                 "correlations: other directions, a worse squared error.")
pca.mistake("first-pixels", function=_first_pixels,
            hint="You kept the first k pixels. The k leading components are directions that mix "
                 "all pixels.")
pca.must("all-components", _exact_with_all_components,
         hint="With k = P components nothing is lost: the images must come back unchanged.")

# --- denoising_loss --------------------------------------------------------------------------


def denoising_loss(model, clean, noisy):
    restored = model(noisy)  # (B, 1, H, W): the model never sees the clean image …
    return (restored - clean).square().mean()  # … and is measured against nothing else


class _Restorer(nn.Module):
    r"""A small model with known weights that returns pixels."""

    def __init__(self, g, pixels):
        super().__init__()
        self.weight = nn.Parameter(draw.normal(g, pixels, pixels) / 2)
        self.bias = nn.Parameter(draw.normal(g, pixels) / 2)

    def forward(self, image):
        return torch.sigmoid(image.flatten(1) @ self.weight + self.bias).view_as(image)


def _a_model_and_images(g):
    clean = draw.pixels(g, "B", 1, "H", "W")
    noisy = (clean + draw.normal(g, *clean.shape, scale=0.4)).clamp(0, 1)
    return _Restorer(g, clean[0].numel()), clean, noisy


def _both_restored(model, clean, noisy):
    return denoising_loss(model, clean, noisy) + denoising_loss(model, clean, clean)


def _cross_entropy(model, clean, noisy):
    return nn.functional.binary_cross_entropy(model(noisy), clean)


denoising = Exercise(
    denoising_loss,
    inputs=_a_model_and_images,
    returns="one number, the mean squared error of the restored images, with its gradient",
    gradient=("model",),
    chapter=1, minutes=5, difficulty=1,
)  # fmt: skip
denoising.mistake("noisy-target", edit=("- clean)", "- noisy)"),
                  hint="The restored image is compared with the noisy one: the best answer to "
                       "that is to copy the noise. Compare it with the clean image.")
denoising.mistake("clean-input", edit=("model(noisy)", "model(clean)"),
                  hint="The clean image went into the model. In use it will only get noisy ones: "
                       "feed it those.")
denoising.mistake("no-model", edit=("model(noisy)", "noisy"),
                  hint="The model was not used: this is the distance of the noisy image from the "
                       "clean one, the number the model has to beat.")
denoising.mistake("noise-target", edit=("- clean)", "- (noisy - clean))"),
                  hint="The target is the noise (noisy − clean). A model can be trained to "
                       "predict that, but here it returns the image.")
denoising.mistake("sigmoid-again", edit=("model(noisy)", "torch.sigmoid(model(noisy))"),
                  hint="A sigmoid was applied to the model's output. It returns pixels already; a "
                       "second squeeze keeps them between 0.5 and 0.73.")
denoising.mistake("gradient-cut", edit=("(restored -", "(restored.detach() -"),
                  hint="The value is right but no gradient reaches the model: `.detach()`, "
                       "`.item()` or `no_grad` cut the graph. The weights would never change.")
denoising.mistake("absolute", edit=(".square()", ".abs()"),
                  hint="This is the mean absolute error; the squared error is asked for.")
denoising.mistake("summed", edit=(".mean()", ".sum()"),
                  hint="The errors are summed over all pixels and images; the mean is asked for, "
                       "so that the value does not depend on the batch size.")
denoising.mistake("summed-over-pixels", edit=(".mean()", ".flatten(1).sum(dim=1).mean()"),
                  hint="The errors are summed over the pixels of each image, then averaged over "
                       "images. Here everything is averaged.")
denoising.mistake("per-image", edit=(".mean()", ".flatten(1).mean(dim=1)"),
                  hint="One number per image came back; a training step needs one number: average "
                       "over the images too.")
denoising.mistake("squared-last", edit=(".square().mean()", ".mean().square()"),
                  hint="The errors were averaged first and then squared: positive and negative "
                       "ones cancel. Square each, then average.")
denoising.mistake("both-restored", function=_both_restored,
                  hint="The error of restoring the clean image was added. Only the noisy one is "
                       "to be restored.")
denoising.mistake("cross-entropy", function=_cross_entropy,
                  hint="This is the binary cross-entropy; the mean squared error is asked for.")
denoising.mistake("root", edit=(".mean()", ".mean().sqrt()"),
                  hint="A square root was taken at the end (RMSE); the mean of squares is asked.")

# --- compression_ratio -----------------------------------------------------------------------


def compression_ratio(image_shape, latent_dim):
    return math.prod(image_shape) / latent_dim  # numbers in per number kept


def _a_shape_and_a_code(g):
    r"""Sizes whose ratio is far from a whole number: a `//` or a rounding shows."""
    while True:
        *shape, latent_dim = draw.sizes(g, count=4, low=2, high=31)
        if 0.2 < math.prod(shape) / latent_dim % 1 < 0.8:
            return tuple(shape), latent_dim


ratio = Exercise(
    compression_ratio,
    inputs=_a_shape_and_a_code,
    returns="a float, the values in an image per value kept in its code",
    chapter=1, minutes=3, difficulty=1, rtol=1e-6, atol=0.0,
)  # fmt: skip
ratio.mistake("inverted",
              edit=("math.prod(image_shape) / latent_dim", "latent_dim / math.prod(image_shape)"),
              hint="This is the code's share of the image, the ratio upside down. Values in per "
                   "value kept: a number above 1 means compression.")
ratio.mistake("channels-dropped", edit=("math.prod(image_shape)", "math.prod(image_shape[1:])"),
              hint="The channels were left out: a colour image has three values a pixel. All axes "
                   "of image_shape count.")
ratio.mistake("sides-added", edit=("math.prod(image_shape)", "sum(image_shape)"),
              hint="The sides were added; the number of values is their product.")
ratio.mistake("one-side", edit=("math.prod(image_shape)", "image_shape[-1]"),
              hint="Only one side of the image was counted. The number of values is the product "
                   "of all axes.")
ratio.mistake("taken-for-square",
              edit=("math.prod(image_shape)", "image_shape[0] * image_shape[1] ** 2"),
              hint="One side was used twice, as if all images were square.")
ratio.mistake("batch-axis", edit=("math.prod(image_shape)", "image_shape[0]"),
              hint="image_shape has no batch axis: (channels, height, width). Its first entry "
                   "alone is the number of channels.")
ratio.mistake("whole-number", edit=(" / ", " // "),
              hint="`//` throws the remainder away; the ratio is a float.")
ratio.mistake("saved-share",
              edit=("math.prod(image_shape) / latent_dim",
                    "1 - latent_dim / math.prod(image_shape)"),
              hint="This is the share saved, 1 − kept / all. The ratio asked for is all / kept.")
ratio.mistake("difference", edit=(" / ", " - "),
              hint="This is how many values were saved, a difference; a ratio divides.")
ratio.mistake("bits-for-values", edit=("math", "8 * math"),
              hint="The pixels were counted in bits and the code in values. Count the same thing "
                   "on both sides (notebook 07 counts bits properly).")
ratio.mistake("square-code", edit=("latent_dim  #", "latent_dim**2  #"),
              hint="latent_dim was squared: the code is a vector of that many numbers.")
ratio.must("mnist", lambda f: abs(f((1, 28, 28), 2) - 392) < 1e-3,
           hint="A 28 × 28 digit in 2 numbers is a ratio of 392.")
ratio.must("any-number-of-axes", lambda f: abs(f((784,), 8) - 98) < 1e-3,
           hint="A flat image_shape such as (784,) must work as well.")
