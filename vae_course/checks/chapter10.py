r"""Exercises of notebook 10: discrete codes."""

import math

import torch
import torch.nn.functional as F

from . import draw
from .definition import Exercise
from .values import close

# --- nearest_code ----------------------------------------------------------------------------


def nearest_code(vectors, codebook):
    distance = torch.cdist(vectors, codebook)  # (N, K): from every vector to every code
    return distance.argmin(dim=1)  # (N,): the index of the nearest one


def _vectors_and_codes(g):
    return draw.normal(g, "N", "C"), draw.normal(g, "K", "C") * draw.number(g, 0.5, 2.0)


def _largest_product(vectors, codebook):
    return (vectors @ codebook.T).argmax(dim=1)


def _manhattan(vectors, codebook):
    return (vectors[:, None] - codebook).abs().sum(dim=2).argmin(dim=1)


def _cosine(vectors, codebook):
    return (F.normalize(vectors) @ F.normalize(codebook).T).argmax(dim=1)


def _one_hot(vectors, codebook):
    return F.one_hot(nearest_code(vectors, codebook), len(codebook))


nearest = Exercise(
    nearest_code,
    inputs=_vectors_and_codes,
    returns="(N,) whole numbers: for each vector the index of the code with the smallest distance",
    chapter=10, minutes=5, difficulty=1,
)  # fmt: skip
nearest.mistake("farthest", edit=("argmin", "argmax"),
                hint="This is the farthest code. The nearest one has the *smallest* distance.")
nearest.mistake("over-the-vectors", edit=("dim=1", "dim=0"),
                hint="You looked for the nearest vector of each code. It is the other way round: "
                     "one answer for each vector, so the minimum runs over the codes.")
nearest.mistake("distance-returned", edit=("distance.argmin(dim=1)", "distance.amin(dim=1)"),
                hint="That is how far the nearest code lies. Which one it is was asked: its index.")
nearest.mistake("code-returned", edit=("return distance.argmin(dim=1)",
                                       "return codebook[distance.argmin(dim=1)]"),
                hint="That is the code itself. Asked for is its index; looking it up comes next.")
nearest.mistake("one-answer-for-all", edit=("distance.argmin(dim=1)", "distance.argmin()"),
                hint="One number came for the whole table of distances. Every vector has a nearest "
                     "code of its own: take the minimum along the codes.")
nearest.mistake("largest-product", function=_largest_product,
                hint="The largest inner product favours long codes. The squared distance is "
                     "‖v‖² − 2 v·e + ‖e‖²: the length of the code, ‖e‖², belongs in it.")
nearest.mistake("cosine", function=_cosine,
                hint="You compared directions only. Two codes in one direction but of different "
                     "length are different codes: compare distances.")
nearest.mistake("manhattan", function=_manhattan,
                hint="You added up absolute differences. Asked for is the ordinary distance: the "
                     "root of the sum of squares.")
nearest.mistake("one-hot", function=_one_hot,
                hint="A table of zeros and ones came back. The index alone is asked, (N,).")
nearest.must("itself", lambda f: f(torch.eye(4), torch.eye(4)).tolist() == [0, 1, 2, 3],
             hint="Vectors that *are* codes must find themselves: four codes, in order, give 0, 1, "
                  "2, 3.")
nearest.must("length-counts",
             lambda f: f(torch.tensor([[1.0, 0.0]]), torch.tensor([[9.0, 0.0], [1.0, 0.5]])).item()
             == 1,
             hint="The vector (1, 0) lies nearer to (1, 0.5) than to (9, 0): the answer is 1.")

# --- straight_through ------------------------------------------------------------------------


def straight_through(latent, quantized):
    return latent + (quantized - latent).detach()


def _two_latents(g):
    return (draw.normal(g, "B", "C").requires_grad_(), draw.normal(g, "B", "C").requires_grad_())


def _value_and_gradients(function, args):
    latent, quantized = args
    out = function(latent, quantized)
    seen = {"value": out.detach()}
    weight = torch.linspace(-1, 2, out.numel()).view(out.shape)
    grads = torch.autograd.grad((weight * out).sum(), args, allow_unused=True)
    for name, grad in zip(("latent", "codes"), grads, strict=True):
        seen[f"gradient of the {name}"] = torch.zeros_like(latent) if grad is None else grad
    return seen


through = Exercise(
    straight_through,
    inputs=_two_latents,
    returns="the value of `quantized`; the gradient goes to `latent`, unchanged, and not to "
            "`quantized`",
    chapter=10, minutes=10, difficulty=2, observe=_value_and_gradients,
    explain={
        "value": "The value must be that of `quantized`.",
        "gradient of the latent": "Whatever gradient arrives at your result must arrive at "
                                  "`latent`, unchanged.",
        "gradient of the codes": "No gradient may reach `quantized`: the codes learn by a loss of "
                                 "their own.",
    },
)  # fmt: skip
through.mistake("codes-alone", edit=("latent + (quantized - latent).detach()", "quantized"),
                hint="The value is right, but the gradient ends at the codes: the encoder would "
                     "learn nothing.")
through.mistake("latent-alone", edit=("latent + (quantized - latent).detach()", "latent + 0"),
                hint="Nothing was rounded: the value of `latent` came back. The decoder must see "
                     "the codes.")
through.mistake("nothing-detached", edit=(".detach()", ""),
                hint="Without detach the two latents cancel, in the value and in the gradient: all "
                     "of it goes to the codes.")
through.mistake("detached-too-much", edit=("latent + (quantized - latent).detach()",
                                           "(latent + (quantized - latent)).detach() + 0 * latent"),
                hint="Everything was detached, so no gradient is left. Only the *difference* is "
                     "taken as a constant.")
through.mistake("roles-swapped", edit=("latent + (quantized - latent).detach()",
                                       "quantized + (latent - quantized).detach()"),
                hint="The two are swapped: this has the value of the latent and gives the gradient "
                     "to the codes.")
through.mistake("gradient-to-both",
                edit=("latent + (quantized - latent).detach()",
                      "quantized + latent - latent.detach()"),
                hint="The gradient reaches both. The codes get a loss of their own; here they are "
                     "constants.")
through.mistake("halfway", edit=("(quantized - latent)", "0.5 * (quantized - latent)"),
                hint="That is a point half way between the two. The decoder must see the code.")
through.mistake("sign", edit=("quantized - latent", "latent - quantized"),
                hint="The difference has the wrong sign: latent + (quantized − latent) is "
                     "quantized.")

# --- codebook_perplexity ---------------------------------------------------------------------


def codebook_perplexity(indices, size):
    share = torch.bincount(indices.flatten(), minlength=size) / indices.numel()  # (K,)
    used = share[share > 0]  # 0 · log 0 counts as 0
    return math.exp(-(used * used.log()).sum())  # exp of the entropy in nats


def _some_indices(g):
    size = draw.integer(g, 6, 12)
    used = draw.integer(g, 3, 5)  # some codes are never chosen
    shape = (draw.size(g, "B"), draw.size(g, "H"), draw.size(g, "W"))
    uneven = torch.rand(shape, generator=g) ** 2  # the first codes are chosen more often
    return (used * uneven).long(), size


def _used_codes(indices, size):
    return float(len(indices.unique()))


def _picture_by_picture(indices, size):
    return sum(codebook_perplexity(picture, size) for picture in indices) / len(indices)


def _share_of_the_largest(indices, size):
    return size * math.log(codebook_perplexity(indices, size)) / math.log(size)


perplexity = Exercise(
    codebook_perplexity,
    inputs=_some_indices,
    returns="a number from 1 to K: exp of the entropy of the codes' frequencies",
    chapter=10, minutes=10, difficulty=2,
)  # fmt: skip
perplexity.mistake("entropy", edit=("math.exp(-(used * used.log()).sum())",
                                    "float(-(used * used.log()).sum())"),
                   hint="This is the entropy in nats. The perplexity is its exponential: the "
                        "number of codes which, used equally often, would have that entropy.")
perplexity.mistake("bits", edit=("used.log()", "used.log2()"),
                   hint="The entropy is in bits, but exp needs nats (bits go with 2 to the power).")
perplexity.mistake("sign", edit=("math.exp(-(", "math.exp(+("),
                   hint="The sign is missing: logarithms of shares are negative, so the sum needs "
                        "a minus. A perplexity is at least 1.")
perplexity.mistake("counts-of-used", function=_used_codes,
                   hint="You counted the codes that occur at all. One that was chosen once counts "
                        "as much there as one chosen a thousand times; the entropy weighs them.")
perplexity.mistake("mean-over-codes", edit=(".sum())", ".mean())"),
                   hint="You averaged over the codes. The entropy is a sum of −p log p: the p is "
                        "the weight already.")
perplexity.mistake("mean-log", edit=("(used * used.log()).sum()", "used.log().mean()"),
                   hint="The logarithms were averaged with equal weights. Each counts as often as "
                        "its code is chosen: times p.")
perplexity.mistake("counts-for-shares", edit=(" / indices.numel()", " / len(indices)"),
                   hint="The shares do not add up to 1: divide by *all* indices, not by the number "
                        "of pictures.")
perplexity.mistake("largest-share", edit=("math.exp(-(used * used.log()).sum())",
                                          "float(1 / used.max())"),
                   hint="That is one over the share of the commonest code. The perplexity takes "
                        "all of them into account.")
perplexity.mistake("inverse-simpson", edit=("math.exp(-(used * used.log()).sum())",
                                            "float(1 / used.square().sum())"),
                   hint="That is one over the sum of squared shares, another way of counting. "
                        "Asked for is exp of the entropy.")
perplexity.mistake("bits-to-nats", edit=("math.exp(-", "2 ** float(-"),
                   hint="2 was raised to an entropy in nats. 2 goes with log2, exp with log.")
perplexity.mistake("one-more-of-each",
                   edit=("torch.bincount(indices.flatten(), minlength=size) / indices.numel()",
                         "(torch.bincount(indices.flatten(), minlength=size) + 1) "
                         "/ (indices.numel() + size)"),
                   hint="Each code was counted once more than it occurs. That smoothing lets codes "
                        "that were never chosen count as used.")
perplexity.mistake("picture-by-picture", function=_picture_by_picture,
                   hint="A perplexity was taken of each picture, and these were averaged. Count "
                        "the codes of all pictures together: a picture alone uses few of them.")
perplexity.mistake("share-of-the-largest", function=_share_of_the_largest,
                   hint="The entropy was divided by its largest value, log K, and the share "
                        "multiplied by K. The perplexity is the exponential of the entropy.")
perplexity.must("unused-codes",
                lambda f: close(torch.tensor(float(f(torch.tensor([[0, 0], [0, 0]]), 5))), 1.0),
                hint="If one code of five is chosen always, the perplexity is 1: codes "
                     "that never occur add nothing.")
perplexity.must("all-alike",
                lambda f: close(torch.tensor(float(f(torch.arange(8).view(2, 4), 8))), 8.0),
                hint="Eight codes, each chosen once, have a perplexity of 8.")

# --- commitment_loss -------------------------------------------------------------------------


def commitment_loss(latent, quantized):
    return (latent - quantized.detach()).square().mean()


def _pictures_of_latents(g):
    shape = ("B", "C", "H", "W")
    return (draw.normal(g, *shape).requires_grad_(), draw.normal(g, *shape).requires_grad_())


def _loss_and_gradients(function, args):
    loss = function(*args)
    if not (isinstance(loss, torch.Tensor) and loss.dim() == 0):
        return {"value": loss}
    seen = {"value": loss.detach()}
    grads = [None, None]
    if loss.requires_grad:
        grads = torch.autograd.grad(loss, args, allow_unused=True)
    for name, grad, arg in zip(("latent", "codes"), grads, args, strict=True):
        seen[f"gradient of the {name}"] = torch.zeros_like(arg) if grad is None else grad
    return seen


commitment = Exercise(
    commitment_loss,
    inputs=_pictures_of_latents,
    returns="a scalar: the mean squared difference; only `latent` gets a gradient",
    chapter=10, minutes=5, difficulty=1, observe=_loss_and_gradients,
    explain={
        "value": "The value must be the mean of all squared differences.",
        "gradient of the latent": "The gradient must pull every latent towards its code.",
        "gradient of the codes": "No gradient may reach the codes: commitment moves the latents.",
    },
)  # fmt: skip
commitment.mistake("both-pulled", edit=(".detach()", ""),
                   hint="The loss pulls the codes as well. Commitment moves the latents only: take "
                        "the codes as constants.")
commitment.mistake("codes-pulled", edit=("latent - quantized.detach()",
                                         "latent.detach() - quantized"),
                   hint="This moves the codes towards the latents: it is the codebook's own loss. "
                        "Commitment is the other half: the latents move, the codes stay.")
commitment.mistake("nothing-pulled", edit=("latent - quantized.detach()",
                                           "latent.detach() - quantized.detach() + 0 * latent"),
                   hint="Both are constants here, so the loss moves nothing.")
commitment.mistake("summed", edit=(".mean()", ".sum()"),
                   hint="You summed over everything. A mean is asked, so that the weight in front "
                        "does not depend on the size of the batch.")
commitment.mistake("per-picture", edit=(".mean()", ".flatten(start_dim=1).mean(dim=1)"),
                   hint="One number a picture came back. One for the whole batch is asked.")
commitment.mistake("not-squared", edit=(".square()", ""),
                   hint="The differences were not squared: positive and negative ones cancel.")
commitment.mistake("absolute", edit=(".square()", ".abs()"),
                   hint="These are absolute differences. The squared ones are asked.")
commitment.mistake("root", edit=("return (latent - quantized.detach()).square().mean()",
                                 "return (latent - quantized.detach()).square().mean().sqrt()"),
                   hint="You took a root at the end. The mean squared difference itself is asked.")
commitment.mistake("channels-summed", edit=(".mean()", ".sum(dim=1).mean()"),
                   hint="You summed over the numbers of a code before averaging. The mean runs "
                        "over all numbers alike.")
commitment.must("at-the-code",
                lambda f: float(f(draw.fixed(2, 3, 2, 2), draw.fixed(2, 3, 2, 2))) == 0,
                hint="A latent that is its code costs nothing: the loss must be 0.")
