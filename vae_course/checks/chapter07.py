r"""Exercises of notebook 07: the latent space at work."""

import itertools
import math

import torch

from . import _draw as draw
from ._exercise import Exercise, Mistake, Property
from ._kl import gives, gradient, reduce, structure
from ._slerp import SLERP

# --- attribute_direction ---------------------------------------------------------------------


def attribute_direction(latents, has_attribute):
    with_it, without_it = latents[has_attribute], latents[~has_attribute]
    return with_it.mean(dim=0) - without_it.mean(dim=0)


def _direction_case(generator):
    count, size = draw.integer(generator, 11, 19), draw.integer(generator, 3, 8)
    having = draw.integer(generator, 3, count // 2 - 1)  # never half: sums are not means
    has = torch.randperm(count, generator=generator) < having
    shift = 1.5 * torch.tensor([1.0, -1.0]).repeat(4)[:size]  # both signs: abs() shows
    return draw.normal(generator, count, size) + 0.5 + shift * has[:, None], has


def _direction_slipped(slips, latents, has_attribute):
    count, having = len(latents), int(has_attribute.sum())
    if "int-index" in slips:
        picked = has_attribute.long()
        with_it, without_it = latents[picked], latents[1 - picked]
        having = count - having if "sums" in slips else having
    else:
        with_it, without_it = latents[has_attribute], latents[~has_attribute]
    if "over-the-dimensions" in slips:
        return with_it.mean() - without_it.mean()
    if "medians" in slips:
        first, second = with_it.median(dim=0).values, without_it.median(dim=0).values
    elif "sums" in slips:
        first, second = with_it.sum(dim=0), without_it.sum(dim=0)
    elif "divided-by-all" in slips:
        first, second = with_it.sum(dim=0) / count, without_it.sum(dim=0) / count
    else:
        first, second = with_it.mean(dim=0), without_it.mean(dim=0)
    second = latents.mean(dim=0) if "minus-the-mean-of-all" in slips else second
    second = torch.zeros_like(first) if "with-alone" in slips else second
    difference = first + second if "added" in slips else first - second
    difference = second - first if "reversed" in slips else difference
    difference = difference.abs() if "absolute" in slips else difference
    if "in-standard-deviations" in slips:
        difference = difference / latents.std(dim=0)
    if "unit-length" in slips:
        difference = difference / difference.norm()
    return difference / 2 if "halved" in slips else difference


_SOME = torch.tensor([True, False, False, True, False, False])


def _direction_parts():
    return draw.normal(torch.Generator().manual_seed(9), 6, 4)


def _shift_changes_nothing(function) -> bool:
    latents = _direction_parts()
    return torch.allclose(function(latents + 5, _SOME), function(latents, _SOME), atol=1e-4)


def _mask_swapped(function) -> bool:
    latents = _direction_parts()
    return torch.allclose(function(latents, ~_SOME), -function(latents, _SOME), atol=1e-5)


def _doubled_rows(function) -> bool:
    latents = _direction_parts()
    twice = function(torch.cat([latents, latents[_SOME]]), torch.cat([_SOME, _SOME[_SOME]]))
    return torch.allclose(twice, function(latents, _SOME), atol=1e-5)


def _order(function) -> bool:
    latents, other = _direction_parts(), torch.tensor([5, 2, 0, 1, 4, 3])
    return torch.allclose(function(latents[other], _SOME[other]), function(latents, _SOME),
                          atol=1e-5)  # fmt: skip


def _single(function) -> bool:
    latents, one = _direction_parts()[:2], torch.tensor([False, True])
    return torch.allclose(function(latents, one), latents[1] - latents[0], atol=1e-5)


ATTRIBUTE_DIRECTION = Exercise(
    name="attribute_direction",
    chapter=7,
    minutes=6,
    difficulty=1,
    returns="(D,), mean latent of those with the attribute minus mean of those without",
    reference=attribute_direction,
    case=_direction_case,
    slipped=_direction_slipped,
    mistakes=(
        Mistake("reversed", "The direction is reversed: without minus with. Adding it would take "
                "the attribute away."),
        Mistake("sums", "You subtracted sums. The two groups have different sizes, so the larger "
                "one wins: use means."),
        Mistake("divided-by-all", "You divided by the number of all latents. Each group's mean is "
                "divided by its own count. (That is what happens when latents are multiplied by "
                "the mask, and then averaged.)"),
        Mistake("int-index", "has_attribute was used as integers, so it picked rows 0 and 1 again "
                "and again. A *bool* mask picks the rows where it is True: no .long() or .int()."),
        Mistake("with-alone", "This is the mean of those with the attribute. It holds everything "
                "that all images share; subtract the mean of those without."),
        Mistake("minus-the-mean-of-all", "You subtracted the mean of *all* latents, which contains "
                "those with the attribute: the step comes out too short, and shorter the more "
                "common the attribute is."),
        Mistake("added", "The two means were added. A direction is a difference."),
        Mistake("absolute", "The absolute value was taken: the signs say which way each latent "
                "number has to move."),
        Mistake("unit-length", "You scaled the direction to length 1. Keep its length: one step "
                "then leads from one group's mean to the other's."),
        Mistake("in-standard-deviations", "You divided by the standard deviation of each latent "
                "number. What you add to a latent must be in the latent's own units."),
        Mistake("medians", "These are medians. For a step that leads from mean to mean, "
                "take means."),
        Mistake("halved", "The result is half as long as it should be: one step leads from one "
                "mean all the way to the other."),
        Mistake("over-the-dimensions", "Images and dimensions were averaged together, so one "
                "number is left. Average over the images, axis 0: D numbers."),
    ),
    properties=(
        Property("shift", _shift_changes_nothing, "With 5 added to every latent the difference of "
                 "the means stays the same; yours changed. Each group needs its own mean."),
        Property("mask-swapped", _mask_swapped, "With the mask turned round (True for False) the "
                 "direction should turn round too; yours does something else."),
        Property("doubled", _doubled_rows, "When each image with the attribute is there twice, the "
                 "means and their difference stay the same; yours changed. Are the groups' own "
                 "sizes used?"),
        Property("order", _order, "The order of the images changes your answer: pick rows by the "
                 "mask, not by their position."),
        Property("one-each", _single, "With one image of each kind the direction is their "
                 "difference, exactly."),
    ),
)  # fmt: skip

# --- anomaly_threshold -----------------------------------------------------------------------


def anomaly_threshold(normal_scores, false_positive_rate):
    return torch.quantile(normal_scores, 1 - false_positive_rate).item()


def _threshold_case(generator):
    count = 20 * draw.integer(generator, 10, 20)
    scores = 50 + 20 * draw.normal(generator, count).exp()  # skewed, as reconstruction errors are
    return scores, draw.integer(generator, 1, 5) / 20 + 0.01


def _threshold_slipped(slips, normal_scores, false_positive_rate):
    level = 1 - false_positive_rate
    if "wrong-side" in slips:
        level = false_positive_rate
    elif "two-sided" in slips:
        level = 1 - false_positive_rate / 2
    elif "percent-twice" in slips:
        level = 1 - false_positive_rate / 100
    mean, std = normal_scores.mean(), normal_scores.std()
    if "absolute-deviations" in slips:
        return torch.quantile((normal_scores - mean).abs(), level).item()
    if "centred-scores" in slips:
        return torch.quantile(normal_scores - mean, level).item()
    if "bell-assumed" in slips:
        return (mean + std * torch.special.ndtri(torch.tensor(level))).item()
    if "share-of-the-maximum" in slips:
        return level * normal_scores.max().item()
    if "share-of-the-range" in slips:
        low, high = normal_scores.aminmax()
        return (low + level * (high - low)).item()
    if "not-sorted" in slips:
        return normal_scores[int(level * len(normal_scores))].item()
    if "index-for-score" in slips:
        return float(int(level * len(normal_scores)))
    if "level-for-score" in slips:
        return level
    if "mean-of-the-tail" in slips:
        cut = torch.quantile(normal_scores, level)
        return normal_scores[normal_scores >= cut].mean().item()
    return torch.quantile(normal_scores, level).item()


def _three_sigma(normal_scores, false_positive_rate):
    return (normal_scores.mean() + 3 * normal_scores.std()).item()


def _two_sigma(normal_scores, false_positive_rate):
    return (normal_scores.mean() + 2 * normal_scores.std()).item()


def _maximum(normal_scores, false_positive_rate):
    return normal_scores.max().item()


def _mean_score(normal_scores, false_positive_rate):
    return normal_scores.mean().item()


def _flagged(scores, threshold):
    r"""Share of the scores above the threshold; what is no number is handed on, to be named."""
    number = isinstance(threshold, int | float) and not isinstance(threshold, bool)
    if isinstance(threshold, torch.Tensor) and threshold.dim() == 0 and not threshold.is_complex():
        number = threshold.dtype != torch.bool
    if not number and type(threshold).__module__ == "numpy" and not getattr(threshold, "shape", 1):
        number, threshold = True, float(threshold)
    if not number:
        return threshold
    limit = float(threshold) + 1e-6 * abs(float(threshold))  # float32 scores, float64 thresholds
    return (scores.double() > limit).double().mean().item()


def _observe_threshold(function, args):
    scores, rate = args
    threshold = function(scores, rate)
    share = _flagged(scores, threshold)
    if not isinstance(share, float) or not math.isfinite(threshold):
        return {"flagged_share": share, "size": "none"}
    return {"flagged_share": share, "size": f"1e{round(math.log10(abs(float(threshold)) + 1e-9))}"}


def _shares(function, scores, *rates):
    return [_flagged(scores, function(scores, rate)) for rate in rates]


def _ties(function) -> bool:
    scores = torch.tensor([1.0] * 70 + [2.0] * 30)
    return max(_shares(function, scores, 0.1, 0.2)) == 0.0


def _moves_along(function) -> bool:
    scores, rate = _threshold_case(torch.Generator().manual_seed(5))
    first, moved = function(scores, rate), function(3 * scores - 40, rate)
    return math.isclose(float(moved), 3 * float(first) - 40, rel_tol=1e-2)


def _one_far_out(function) -> bool:
    scores, _ = _threshold_case(torch.Generator().manual_seed(6))
    far = scores.clone()
    far[scores.argmax()] = 1e6
    return math.isclose(float(function(far, 0.2)), float(function(scores, 0.2)), rel_tol=1e-3)


def _negative_scores(function) -> bool:
    scores = -50 - 20 * draw.normal(torch.Generator().manual_seed(7), 400).exp()
    return abs(_shares(function, scores, 0.1)[0] - 0.1) < 0.011


def _falls_as_rate_rises(function) -> bool:
    scores, _ = _threshold_case(torch.Generator().manual_seed(8))
    found = [float(function(scores, rate)) for rate in (0.02, 0.1, 0.3, 0.6)]
    return all(high > low for high, low in itertools.pairwise(found))


ANOMALY_THRESHOLD = Exercise(
    name="anomaly_threshold",
    chapter=7,
    minutes=6,
    difficulty=1,
    returns="one float: the score above which this share of the normal scores lies",
    reference=anomaly_threshold,
    case=_threshold_case,
    slipped=_threshold_slipped,
    observe=_observe_threshold,
    explain={"flagged_share": "The share of the normal scores above your threshold is not the "
             "false-positive rate."},
    atol=0.011,
    rtol=0.0,
    mistakes=(
        Mistake("wrong-side", "The threshold is on the wrong side: with a rate of 5 % it flags "
                "95 % of the normal images. High scores are suspicious, so 5 % must lie *above* "
                "it."),
        Mistake("two-sided", "You left half of the rate to the low end. Only high scores are "
                "flagged: the whole rate belongs to the upper tail."),
        Mistake("three-sigma", "Mean + 3 σ ignores the rate that was asked for (and counts on a "
                "bell curve that scores seldom have).", alone=_three_sigma),
        Mistake("two-sigma", "Mean + 2 σ ignores the rate that was asked for (and counts on a "
                "bell curve that scores seldom have).", alone=_two_sigma),
        Mistake("maximum", "This is the largest normal score: it flags none of them, whatever "
                "rate is asked for.", alone=_maximum),
        Mistake("percent-twice", "The rate was divided by 100, but it is a share already: 0.05, "
                "not 5. The threshold comes out far too high, and hardly anything is flagged."),
        Mistake("mean-score", "The mean score ignores the rate: it flags a third or a half of "
                "the normal images.", alone=_mean_score),
        Mistake("bell-assumed", "Mean + z · std holds for normally distributed scores. These are "
                "skewed: count the scores instead, with a quantile."),
        Mistake("share-of-the-maximum", "You took a share of the largest *score*. Asked for is a "
                "share of the *images*: a quantile."),
        Mistake("share-of-the-range", "You went a share of the way from the smallest to the "
                "largest score. Asked for is a share of the *images*: a quantile."),
        Mistake("not-sorted", "You indexed the scores in the order in which they came. Sort them "
                "first (or use torch.quantile)."),
        Mistake("index-for-score", "This is a position in the sorted list, not the score that "
                "stands there."),
        Mistake("level-for-score", "This is the quantile's level, a number between 0 and 1, not "
                "the score at that level."),
        Mistake("mean-of-the-tail", "This is the average of the scores in the tail, not the score "
                "where the tail begins."),
        Mistake("absolute-deviations", "The quantile is one of distances from the mean, |score − "
                "mean|. The threshold is compared with the scores themselves."),
        Mistake("centred-scores", "The mean was subtracted before the quantile and not added back: "
                "the threshold is compared with the scores themselves."),
    ),
    properties=(
        Property("ties", _ties, "With 70 scores of 1 and 30 of 2, and a rate of 0.1 or 0.2, the "
                 "threshold must be 2, so that `score > threshold` flags none: all thirty are "
                 "alike, and flagging them would be 30 %. Yours lies below 2."),
        Property("units", _moves_along, "In other units (3 · score − 40) the threshold should "
                 "move along; yours depends on the scale or the zero of the scores."),
        Property("one-far-out", _one_far_out, "One normal score of a million moved your threshold. "
                 "A quantile does not care how far out the farthest is."),
        Property("negative-scores", _negative_scores, "With negative scores the share above the "
                 "threshold is off: is there a sign, an abs() or a starting value of 0?"),
        Property("falls", _falls_as_rate_rises, "A higher false-positive rate must give a lower "
                 "threshold; the second argument does not act so."),
    ),
)  # fmt: skip

# --- rate_in_bits ----------------------------------------------------------------------------


def rate_in_bits(mean, log_var):
    nats = 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum(dim=1)  # (B,): the KL
    return nats / math.log(2)  # one bit is ln 2 nats


def _rate_case(generator):
    batch, latent = draw.sizes(generator, count=2, low=3, high=9)
    return draw.normal(generator, batch, latent, scale=1.3), draw.normal(generator, batch, latent)


def _rate_slipped(slips, mean, log_var):
    variance = (0.5 * log_var).exp() if "std-for-variance" in slips else log_var.exp()
    variance = (2 * log_var).exp() if "log-var-as-log-std" in slips else variance
    variance = torch.exp2(log_var) if "powers-of-two" in slips else variance
    log_term = 2 * log_var if "log-var-as-log-std" in slips else log_var
    log_term = log_term / math.log(2) if "only-the-logarithm" in slips else log_term
    square = torch.zeros_like(mean) if "mean-dropped" in slips else mean.square()
    inside = square + variance - 1 - log_term
    if "cost-under-the-prior" in slips:
        inside = square + variance + math.log(2 * math.pi)
    inside = -inside if "sign" in slips else inside
    inside = inside if "half-missing" in slips else 0.5 * inside
    rate = reduce(slips, inside)
    if "log-of-the-kl" in slips:
        return torch.log2(rate)
    if "nats" in slips or "only-the-logarithm" in slips:
        return rate
    if "base-ten" in slips:
        return rate / math.log(10)
    if "multiplied" in slips:
        return rate * math.log(2)
    if "bytes" in slips:
        return rate / math.log(2) / 8
    return (rate / math.log(2)).ceil() if "rounded-up" in slips else rate / math.log(2)


def _entropy_of_q(mean, log_var):
    return 0.5 * (math.log(2 * math.pi * math.e) + log_var).sum(dim=1) / math.log(2)


def _floats_stored(mean, log_var):
    return torch.full_like(mean[:, 0], 32.0 * mean.shape[1])


def _one_bit(function) -> bool:
    return gives(function, 1.0, [[math.sqrt(2 * math.log(2))]], [[0.0]])


def _needle(function) -> bool:
    narrow, narrower = (float(function(torch.zeros(1, 1), torch.full((1, 1), v))) for v in
                        (-38.0, -40.0))  # fmt: skip
    return math.isclose(narrower - narrow, 1 / math.log(2), rel_tol=1e-3)


RATE_IN_BITS = Exercise(
    name="rate_in_bits",
    chapter=7,
    minutes=6,
    difficulty=2,
    returns="(B,), the KL of each image's Gaussian against N(0, I), in bits",
    reference=rate_in_bits,
    case=_rate_case,
    slipped=_rate_slipped,
    mistakes=(
        Mistake("nats", "These are nats. One bit is ln 2 = 0.693 nats, so the number of bits is "
                "larger: divide by ln 2."),
        Mistake("multiplied", "You multiplied by ln 2. A bit is *smaller* than a nat, so there are "
                "more of them: divide."),
        Mistake("base-ten", "You divided by ln 10: these are decimal digits. Bits need ln 2."),
        Mistake("bytes", "These are bytes: divided by 8 once too often."),
        Mistake("log-of-the-kl", "You took log₂ *of* the KL. To change the unit, divide by ln 2."),
        Mistake("only-the-logarithm", "Only log σ² was turned into bits; μ² and σ² come from "
                "natural logarithms too. Add up the KL in nats, then convert the sum."),
        Mistake("powers-of-two", "The variance is e^log_var whatever the unit of the result; you "
                "took 2^log_var. Only the result changes its unit."),
        Mistake("rounded-up", "You rounded up to whole bits. A rate is an average over many "
                "images coded together; it need not be whole."),
        Mistake("cost-under-the-prior", "This is −log₂ p(z), the cost of the code under the prior, "
                "without the bits that q's own noise gives back. The rate is the difference, "
                "E[log₂ q − log₂ p]."),
        Mistake("entropy-of-q", "This is the entropy of q, which knows nothing of the prior. The "
                "rate compares the two.", alone=_entropy_of_q),
        Mistake("floats-stored", "32 bits for each number: that is what a file of floats costs, "
                "whatever the image. The rate counts what the code *says*.", alone=_floats_stored),
        Mistake("sign", "The sign is wrong: a rate is never negative."),
        Mistake("half-missing", "The ½ of the Gaussian's KL is missing: every rate is doubled."),
        Mistake("std-for-variance", "exp(½ · log_var) is σ; the KL asks for σ² = exp(log_var)."),
        Mistake("log-var-as-log-std", "You read log_var as log σ. It is log σ²."),
        Mistake("mean-dropped", "The mean is missing. A code far from 0 is rare under the prior, "
                "and rare things cost bits."),
        Mistake("per-dimension", "One number per image and dimension came back. Independent "
                "dimensions cost their bits one after the other: add them up."),
        Mistake("averaged-over-latents", "You averaged over the latent dimensions: bits per "
                "latent number. The code holds all of them: add them up."),
        Mistake("summed-over-images", "You summed over axis 0, the images. Add up the dimensions, "
                "axis 1: one rate for each image."),
        Mistake("summed-over-everything", "Images and dimensions were added up together. Each "
                "image has its own rate: simple ones are cheap."),
        Mistake("averaged-over-everything", "Everything was averaged. Add up the dimensions, and "
                "keep the images apart."),
        Mistake("averaged-over-images-too", "The images were averaged too: return one rate per "
                "image. The average belongs in the table."),
        Mistake("keeps-an-axis", "The shape is (B, 1), not (B,): drop keepdim."),
    ),
    properties=(
        *structure(2),
        Property("zero-at-the-prior", lambda f: gives(f, 0, [[0.0]], [[0.0]]), "A code that is the "
                 "prior says nothing about the image: with mean 0 and log_var 0 the rate is 0."),
        Property("one-bit", _one_bit, "In one dimension, mean √(2 ln 2) = 1.177 and log_var 0 "
                 "should cost exactly 1 bit."),
        Property("needle", _needle, "For a very narrow q (log_var from −38 to −40) another "
                 "1.443 bits are due, and yours adds something else: a clamp, or a small constant "
                 "inside a logarithm? log_var needs neither."),
        gradient(2),
    ),
)  # fmt: skip

EXERCISES = [SLERP, ATTRIBUTE_DIRECTION, ANOMALY_THRESHOLD, RATE_IN_BITS]
