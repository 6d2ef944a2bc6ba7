r"""Exercises of notebook 07: the latent space at work."""

import itertools
import math

import torch

from . import draw
from .definition import Exercise
from .properties import gives, reductions, structure
from .values import close, misfit

# --- slerp -----------------------------------------------------------------------------------


def slerp(start, end, t):
    cosine = (start / start.norm()) @ (end / end.norm())
    angle = torch.acos(cosine.clamp(-1, 1))  # Ω; rounding can push the cosine past 1
    if torch.sin(angle).abs() < 1e-3:  # parallel or opposite: no arc to follow
        return (1 - t) * start + t * end
    weights = torch.sin((1 - t) * angle), torch.sin(t * angle)
    return (weights[0] * start + weights[1] * end) / torch.sin(angle)


def _two_vectors(g):
    r"""An acute angle (observe tries the obtuse one too), norms whose product is below 1."""
    size = draw.integer(g, 3, 9)
    start, end = (x / x.norm() for x in (draw.normal(g, size) for _ in range(2)))
    sign = 1.0 if float(start @ end) > 0 else -1.0
    norms = draw.number(g, 0.4, 0.7), draw.number(g, 1.1, 1.4)
    return norms[0] * start, sign * norms[1] * end, draw.number(g, 0.15, 0.4)


def _straight_line(start, end, t):
    return (1 - t) * start + t * end


def _line_pushed_out(start, end, t):
    line = (1 - t) * start + t * end
    return line / line.norm() * ((1 - t) * start.norm() + t * end.norm())


def _direction_and_norm_apart(start, end, t):
    arc = slerp(start / start.norm(), end / end.norm(), t)
    return arc * ((1 - t) * start.norm() + t * end.norm())


def _observe_slerp(function, args):
    start, end, t = args
    return {
        "value": function(start, end, t),
        "obtuse_angle": function(start, -end, t),
        "beyond_the_end": function(start, end, 1 + t),
    }


def _ends(function):
    start, end = draw.fixed(3), 3 * draw.fixed(3, seed=8)
    return close(function(start, end, 0.0), start) and close(function(start, end, 1.0), end)


def _keeps_norm(function):
    start, end = (2 * row / row.norm() for row in draw.fixed(2, 3))
    return close([function(start, end, t).norm() for t in (0.2, 0.5, 0.9)], [2.0] * 3)


def _even_steps(function):
    start, end = torch.tensor([2.0, 0.0, 0.0]), torch.tensor([-1.0, 3**0.5, 0.0])
    return close(function(start, end, 0.25), [3**0.5, 1.0, 0.0])  # a quarter of 120 degrees


def _parallel(function):
    rows = draw.fixed(200, 20, seed=3)
    same = all(close(function(row, row, 0.3), row) for row in rows)
    return same and close(function(rows[0], 3 * rows[0], 0.5), 2 * rows[0], atol=1e-2)


def _opposite(function):
    start = draw.fixed(3)
    found = [function(start, -2 * start, t) for t in (0.0, 0.3, 0.6, 1.0)]
    return all(bool(f.norm() <= 2.01 * start.norm()) for f in found)


arc = Exercise(
    slerp,
    inputs=_two_vectors,
    returns="(D,), the point at t on the arc from start (t = 0) to end (t = 1), also for t beyond; "
    "on the straight line where the two are parallel or opposite",
    observe=_observe_slerp,
    explain={
        "value": "The point on the arc is off.",
        "obtuse_angle": "Right where start and end make an acute angle, wrong where it is obtuse "
        "(a negative cosine).",
        "beyond_the_end": "Right for t in [0, 1], wrong beyond: t = 1.2 goes on along the arc.",
    },
    chapter=7, minutes=12, difficulty=2, atol=1e-4,
)  # fmt: skip
arc.mistake("straight-line", function=_straight_line,
            hint="This is the straight line. It cuts through the inside of the sphere; the "
                 "weights of the arc are sines: sin((1 − t) Ω) and sin(t Ω), with t inside the "
                 "sine.")
arc.mistake("line-pushed-out", function=_line_pushed_out,
            hint="You took the straight line and scaled it to a norm in between. Equal steps of t "
                 "are then unequal steps of angle: slow at the ends, fast in the middle.")
arc.mistake("direction-and-norm-apart", function=_direction_and_norm_apart,
            hint="You interpolated the direction on the unit sphere and the norm on its own. A "
                 "sensible path, and the same for equal norms; asked for is the formula with both "
                 "sines applied to start and end themselves.")
arc.mistake("t-reversed", edit=("    cosine =", "    t = 1 - t\n    cosine ="),
            hint="The path runs backwards: t = 0 must give start, t = 1 end.")
arc.mistake("t-clamped", edit=("    cosine =", "    t = min(max(t, 0.0), 1.0)\n    cosine ="),
            hint="You clamped t to [0, 1]. Beyond 1 the arc goes on: that is how an edit is "
                 "exaggerated.")
arc.mistake("not-normalised", edit=("(start / start.norm()) @ (end / end.norm())", "start @ end"),
            hint="The cosine of the angle is the dot product of *unit* vectors. You took the dot "
                 "product of start and end as they are.")
arc.mistake("one-norm-only",
            edit=("(start / start.norm()) @ (end / end.norm())", "start @ end / start.norm()"),
            hint="The dot product was divided by one of the two norms. The cosine of the angle is "
                 "that of *both* vectors at length 1.")
arc.mistake("cosine-as-angle", edit=("torch.acos(cosine.clamp(-1, 1))", "cosine"),
            hint="You used the cosine as if it were the angle: take its arc cosine, torch.acos.")
arc.mistake("degrees",
            edit=("torch.acos(cosine.clamp(-1, 1))",
                  "torch.rad2deg(torch.acos(cosine.clamp(-1, 1)))"),
            hint="The angle was turned into degrees, but torch.sin reads radians.")
arc.mistake("half-angle",
            edit=("torch.acos(cosine.clamp(-1, 1))", "torch.acos(cosine.clamp(-1, 1)) / 2"),
            hint="You used half the angle Ω. (Quaternions do, in places; vectors don't.)")
arc.mistake("cosine-weights",
            edit=("torch.sin((1 - t) * angle), torch.sin(t * angle)",
                  "torch.cos((1 - t) * angle), torch.cos(t * angle)"),
            hint="The weights are sines. With cosines start's weight at t = 0 is cos Ω, not 1.")
arc.mistake("sine-not-divided", edit=(" / torch.sin(angle)", ""),
            hint="The division by sin Ω is missing, so t = 0 gives start shrunk by sin Ω.")
arc.mistake("divided-by-the-angle", edit=("/ torch.sin(angle)", "/ angle"),
            hint="You divided by Ω; the ends only come out right with sin Ω.")
arc.mistake("unit-result",
            edit=("    angle =",
                  "    start, end = start / start.norm(), end / end.norm()\n    angle ="),
            hint="You interpolate the unit vectors, so the norms of start and end are lost. "
                 "Normalise for the angle only.")
arc.mistake("shorter-way-of-quaternions",
            edit=("    angle =",
                  "    cosine, end = cosine.abs(), end * cosine.sign()\n    angle ="),
            hint="Where the cosine is negative you flipped the sign of end. That is right for "
                 "quaternions, where q and −q are one rotation; a latent and its negative are two "
                 "different pictures.")
arc.must("ends", _ends,
         hint="At t = 0 the result should be start, at t = 1 end, also where their norms differ.")
arc.must("keeps-the-norm", _keeps_norm,
         hint="Between two vectors of norm 2 every point of the arc has norm 2; yours has another "
              "one.")
arc.must("even-steps", _even_steps,
         hint="A quarter of the way along an arc of 120 degrees should be at 30 degrees: equal "
              "steps of t are equal steps of angle.")
arc.must("parallel", _parallel,
         hint="For parallel vectors (start = end, or start and 3 · start) the point on the "
              "straight line must come back. There Ω = 0 and the formula is 0 / 0; rounding can "
              "even give a cosine of 1.0000001, whose acos is NaN.")
arc.must("opposite", _opposite,
         hint="For exactly opposite vectors the point on the straight line must come back; sin Ω "
              "is 0 there, up to rounding.")

# --- attribute_direction ---------------------------------------------------------------------


def attribute_direction(latents, has_attribute):
    with_it, without_it = latents[has_attribute], latents[~has_attribute]
    difference = with_it.mean(dim=0) - without_it.mean(dim=0)  # (D,)
    return difference


def _two_groups(g):
    count, size = draw.integer(g, 11, 19), draw.integer(g, 3, 8)
    having = draw.integer(g, 3, count // 2 - 1)  # never half: sums are not means
    has = torch.randperm(count, generator=g) < having
    shift = 1.5 * torch.tensor([1.0, -1.0]).repeat(4)[:size]  # both signs: abs() shows
    return draw.normal(g, count, size) + 0.5 + shift * has[:, None], has


_SOME = torch.tensor([True, False, False, True, False, False])
_ROWS = draw.fixed(6, 4, seed=9)


def _doubled_rows(function):
    twice = function(torch.cat([_ROWS, _ROWS[_SOME]]), torch.cat([_SOME, _SOME[_SOME]]))
    return close(twice, function(_ROWS, _SOME))


def _order(function):
    other = torch.tensor([5, 2, 0, 1, 4, 3])
    return close(function(_ROWS[other], _SOME[other]), function(_ROWS, _SOME))


direction = Exercise(
    attribute_direction,
    inputs=_two_groups,
    returns="(D,), mean latent of those with the attribute minus mean of those without",
    chapter=7, minutes=6, difficulty=1,
)  # fmt: skip
direction.mistake("reversed",
                  edit=("latents[has_attribute], latents[~has_attribute]",
                        "latents[~has_attribute], latents[has_attribute]"),
                  hint="The direction is reversed: without minus with. Adding it would take the "
                       "attribute away.")
direction.mistake("sums",
                  edit=[("with_it.mean(dim=0) -", "with_it.sum(dim=0) -"),
                        ("without_it.mean(dim=0)", "without_it.sum(dim=0)")],
                  hint="You subtracted sums. The two groups have different sizes, so the larger "
                       "one wins: use means.")
direction.mistake("divided-by-all",
                  edit=[("with_it.mean(dim=0) -", "with_it.sum(dim=0) / len(latents) -"),
                        ("without_it.mean(dim=0)", "without_it.sum(dim=0) / len(latents)")],
                  hint="You divided by the number of all latents. Each group's mean is divided by "
                       "its own count. (That is what happens when latents are multiplied by the "
                       "mask, and then averaged.)")
direction.mistake("int-index",
                  edit=("latents[has_attribute], latents[~has_attribute]",
                        "latents[has_attribute.long()], latents[1 - has_attribute.long()]"),
                  hint="has_attribute was used as integers, so it picked rows 0 and 1 again and "
                       "again. A *bool* mask picks the rows where it is True: no .long() or "
                       ".int().")
direction.mistake("with-alone", edit=(" - without_it.mean(dim=0)", ""),
                  hint="This is the mean of those with the attribute. It holds everything that "
                       "all images share; subtract the mean of those without.")
direction.mistake("minus-the-mean-of-all", edit=("without_it.mean(dim=0)", "latents.mean(dim=0)"),
                  hint="You subtracted the mean of *all* latents, which contains those with the "
                       "attribute: the step comes out too short, and shorter the more common the "
                       "attribute is.")
direction.mistake("added", edit=("- without_it", "+ without_it"),
                  hint="The two means were added. A direction is a difference.")
direction.mistake("absolute", edit=("return difference", "return difference.abs()"),
                  hint="The absolute value was taken: the signs say which way each latent number "
                       "has to move.")
direction.mistake("unit-length",
                  edit=("return difference", "return difference / difference.norm()"),
                  hint="You scaled the direction to length 1. Keep its length: one step then "
                       "leads from one group's mean to the other's.")
direction.mistake("in-standard-deviations",
                  edit=("return difference", "return difference / latents.std(dim=0)"),
                  hint="You divided by the standard deviation of each latent number. What you add "
                       "to a latent must be in the latent's own units.")
direction.mistake("medians",
                  edit=[("with_it.mean(dim=0) -", "with_it.median(dim=0).values -"),
                        ("without_it.mean(dim=0)", "without_it.median(dim=0).values")],
                  hint="These are medians. For a step that leads from mean to mean, take means.")
direction.mistake("halved", edit=("return difference", "return difference / 2"),
                  hint="The result is half as long as it should be: one step leads from one mean "
                       "all the way to the other.")
direction.mistake("over-the-dimensions",
                  edit=[("with_it.mean(dim=0) -", "with_it.mean() -"),
                        ("without_it.mean(dim=0)", "without_it.mean()")],
                  hint="Images and dimensions were averaged together, so one number is left. "
                       "Average over the images, axis 0: D numbers.")
direction.must("shift", lambda f: close(f(_ROWS + 5, _SOME), f(_ROWS, _SOME)),
               hint="With 5 added to every latent the difference of the means stays the same; "
                    "yours changed. Each group needs its own mean.")
direction.must("mask-swapped", lambda f: close(f(_ROWS, ~_SOME), -f(_ROWS, _SOME)),
               hint="With the mask turned round (True for False) the direction should turn round "
                    "too; yours does something else.")
direction.must("doubled", _doubled_rows,
               hint="When each image with the attribute is there twice, the means and their "
                    "difference stay the same; yours changed. Are the groups' own sizes used?")
direction.must("order", _order,
               hint="The order of the images changes your answer: pick rows by the mask, not by "
                    "their position.")
direction.must("one-each", lambda f: close(f(_ROWS[:2], _SOME[:2]), _ROWS[0] - _ROWS[1]),
               hint="With one image of each kind the direction is their difference, exactly.")

# --- anomaly_threshold -----------------------------------------------------------------------


def anomaly_threshold(normal_scores, false_positive_rate):
    level = 1 - false_positive_rate
    return torch.quantile(normal_scores, level).item()


def _scores(g, count=None):
    count = count or 20 * draw.integer(g, 10, 20)
    return 50 + 20 * draw.normal(g, count).exp()  # skewed, as reconstruction errors are


def _three_sigma(normal_scores, false_positive_rate):
    return (normal_scores.mean() + 3 * normal_scores.std()).item()


def _two_sigma(normal_scores, false_positive_rate):
    return (normal_scores.mean() + 2 * normal_scores.std()).item()


def _maximum(normal_scores, false_positive_rate):
    return normal_scores.max().item()


def _mean_score(normal_scores, false_positive_rate):
    return normal_scores.mean().item()


def _flagged(scores, threshold):
    r"""Share of the scores above the threshold."""
    limit = float(threshold) + 1e-6 * abs(float(threshold))  # float32 scores, float64 thresholds
    return (scores.double() > limit).double().mean().item()


def _observe_threshold(function, args):
    scores, rate = args
    threshold = function(scores, rate)
    if misfit(threshold, 0.5) or not math.isfinite(threshold):
        return {"flagged_share": threshold, "size": math.nan}  # what is no number is named
    share = _flagged(scores, threshold)
    right = abs(share - rate) < 0.011  # several thresholds are: their size is not compared then
    size = math.nan if right else math.copysign(math.log1p(abs(float(threshold))), threshold)
    return {"flagged_share": share, "size": size}


def _ties(function):
    scores = torch.tensor([1.0] * 70 + [2.0] * 30)
    return all(_flagged(scores, function(scores, rate)) == 0 for rate in (0.1, 0.2))


def _moves_along(function):
    scores = _scores(draw.case(5), 300)
    moved = float(function(3 * scores - 40, 0.11))
    return math.isclose(moved, 3 * float(function(scores, 0.11)) - 40, rel_tol=1e-2)


def _one_far_out(function):
    scores = _scores(draw.case(6), 300)
    far = scores.clone()
    far[scores.argmax()] = 1e6
    return math.isclose(float(function(far, 0.2)), float(function(scores, 0.2)), rel_tol=1e-3)


def _negative_scores(function):
    scores = -_scores(draw.case(7), 400)
    return abs(_flagged(scores, function(scores, 0.1)) - 0.1) < 0.011


def _falls_as_rate_rises(function):
    scores = _scores(draw.case(8), 300)
    found = [float(function(scores, rate)) for rate in (0.02, 0.1, 0.3, 0.6)]
    return all(high > low for high, low in itertools.pairwise(found))


threshold = Exercise(
    anomaly_threshold,
    inputs=lambda g: (_scores(g), draw.integer(g, 1, 5) / 20 + 0.01),
    returns="one float: the score above which this share of the normal scores lies",
    observe=_observe_threshold,
    explain={
        "flagged_share": "The share of the normal scores above your threshold is not the "
        "false-positive rate."
    },
    chapter=7, minutes=6, difficulty=1, rtol=0.0, atol=0.011,
)  # fmt: skip
threshold.mistake("wrong-side", edit=("1 - false", "false"),
                  hint="The threshold is on the wrong side: with a rate of 5 % it flags 95 % of "
                       "the normal images. High scores are suspicious, so 5 % must lie *above* it.")
threshold.mistake("two-sided", edit=("false_positive_rate\n", "false_positive_rate / 2\n"),
                  hint="You left half of the rate to the low end. Only high scores are flagged: "
                       "the whole rate belongs to the upper tail.")
threshold.mistake("three-sigma", function=_three_sigma,
                  hint="Mean + 3 σ ignores the rate that was asked for (and counts on a bell "
                       "curve that scores seldom have).")
threshold.mistake("two-sigma", function=_two_sigma,
                  hint="Mean + 2 σ ignores the rate that was asked for (and counts on a bell "
                       "curve that scores seldom have).")
threshold.mistake("maximum", function=_maximum,
                  hint="This is the largest normal score: it flags none of them, whatever rate is "
                       "asked for.")
threshold.mistake("percent-twice", edit=("false_positive_rate\n", "false_positive_rate / 100\n"),
                  hint="The rate was divided by 100, but it is a share already: 0.05, not 5. The "
                       "threshold comes out far too high, and hardly anything is flagged.")
threshold.mistake("percentile-of-a-share", edit=(", level)", ", level / 100)"), in_pairs=False,
                  hint="The level was divided by 100, or given to a percentile function as it is: "
                       "`np.percentile` counts from 0 to 100, and a share from 0 to 1. This is "
                       "next to the smallest score.")
threshold.mistake("mean-score", function=_mean_score,
                  hint="The mean score ignores the rate: it flags a third or a half of the normal "
                       "images.")
threshold.mistake("bell-assumed",
                  edit=("torch.quantile(normal_scores, level)",
                        "(normal_scores.mean() + normal_scores.std() * "
                        "torch.special.ndtri(torch.tensor(level)))"),
                  hint="Mean + z · std holds for normally distributed scores. These are skewed: "
                       "count the scores instead, with a quantile.")
threshold.mistake("share-of-the-maximum",
                  edit=("torch.quantile(normal_scores, level)", "(level * normal_scores.max())"),
                  hint="You took a share of the largest *score*. Asked for is a share of the "
                       "*images*: a quantile.")
threshold.mistake("share-of-the-range",
                  edit=("torch.quantile(normal_scores, level)",
                        "normal_scores.min().lerp(normal_scores.max(), level)"),
                  hint="You went a share of the way from the smallest to the largest score. Asked "
                       "for is a share of the *images*: a quantile.")
threshold.mistake("not-sorted",
                  edit=("torch.quantile(normal_scores, level)",
                        "normal_scores[int(level * len(normal_scores))]"),
                  hint="You indexed the scores in the order in which they came. Sort them first "
                       "(or use torch.quantile).")
threshold.mistake("index-for-score",
                  edit=("torch.quantile(normal_scores, level).item()",
                        "float(int(level * len(normal_scores)))"),
                  hint="This is a position in the sorted list, not the score that stands there.")
threshold.mistake("level-for-score", edit=("torch.quantile(normal_scores, level).item()", "level"),
                  hint="This is the quantile's level, a number between 0 and 1, not the score at "
                       "that level.")
threshold.mistake("mean-of-the-tail",
                  edit=("torch.quantile(normal_scores, level)",
                        "normal_scores[normal_scores >= torch.quantile(normal_scores, "
                        "level)].mean()"),
                  hint="This is the average of the scores in the tail, not the score where the "
                       "tail begins.")
threshold.mistake("absolute-deviations",
                  edit=("torch.quantile(normal_scores, level)",
                        "torch.quantile((normal_scores - normal_scores.mean()).abs(), level)"),
                  hint="The quantile is one of distances from the mean, |score − mean|. The "
                       "threshold is compared with the scores themselves.")
threshold.mistake("centred-scores",
                  edit=("torch.quantile(normal_scores, level)",
                        "torch.quantile(normal_scores - normal_scores.mean(), level)"),
                  hint="The mean was subtracted before the quantile and not added back: the "
                       "threshold is compared with the scores themselves.")
threshold.must("ties", _ties,
               hint="With 70 scores of 1 and 30 of 2, and a rate of 0.1 or 0.2, the threshold "
                    "must be 2, so that `score > threshold` flags none: all thirty are alike, and "
                    "flagging them would be 30 %. Yours lies below 2.")
threshold.must("units", _moves_along,
               hint="In other units (3 · score − 40) the threshold should move along; yours "
                    "depends on the scale or the zero of the scores.")
threshold.must("one-far-out", _one_far_out,
               hint="One normal score of a million moved your threshold. A quantile does not care "
                    "how far out the farthest is.")
threshold.must("negative-scores", _negative_scores,
               hint="With negative scores the share above the threshold is off: is there a sign, "
                    "an abs() or a starting value of 0?")
threshold.must("falls", _falls_as_rate_rises,
               hint="A higher false-positive rate must give a lower threshold; the second "
                    "argument does not act so.")

# --- rate_in_bits ----------------------------------------------------------------------------


def rate_in_bits(mean, log_var):
    nats = 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum(dim=1)  # (B,): the KL
    return nats / math.log(2)  # one bit is ln 2 nats


def _entropy_of_q(mean, log_var):
    return 0.5 * (math.log(2 * math.pi * math.e) + log_var).sum(dim=1) / math.log(2)


def _floats_stored(mean, log_var):
    return torch.full_like(mean[:, 0], 32.0 * mean.shape[1])


def _one_bit(function):
    return gives(function, 1.0, [[math.sqrt(2 * math.log(2))]], [[0.0]])


def _needle(function):
    wide, narrow = (function(torch.zeros(1, 1), torch.full((1, 1), v)) for v in (-38.0, -40.0))
    return close(narrow - wide, [1 / math.log(2)], rtol=1e-2, atol=0)


rate = Exercise(
    rate_in_bits,
    inputs=lambda g: (draw.normal(g, "B", "D", scale=1.3), draw.normal(g, "B", "D")),
    returns="(B,), the KL of each image's Gaussian against N(0, I), in bits",
    chapter=7, minutes=6, difficulty=2,
)  # fmt: skip
rate.mistake("nats", edit=(" / math.log(2)", ""),
             hint="These are nats. One bit is ln 2 = 0.693 nats, so the number of bits is larger: "
                  "divide by ln 2.")
rate.mistake("multiplied", edit=("/ math", "* math"),
             hint="You multiplied by ln 2. A bit is *smaller* than a nat, so there are more of "
                  "them: divide.")
rate.mistake("base-ten", edit=("log(2)", "log(10)"),
             hint="You divided by ln 10: these are decimal digits. Bits need ln 2.")
rate.mistake("bytes", edit=("nats / math.log(2)", "nats / math.log(2) / 8"),
             hint="These are bytes: divided by 8 once too often.")
rate.mistake("log-of-the-kl", edit=("nats / math.log(2)", "torch.log2(nats)"),
             hint="You took log₂ *of* the KL. To change the unit, divide by ln 2.")
rate.mistake("only-the-logarithm",
             edit=[("- log_var)", "- log_var / math.log(2))"), (" / math.log(2)", "")],
             hint="Only log σ² was turned into bits; μ² and σ² come from natural logarithms too. "
                  "Add up the KL in nats, then convert the sum.")
rate.mistake("powers-of-two", edit=("log_var.exp()", "torch.exp2(log_var)"),
             hint="The variance is e^log_var whatever the unit of the result; you took 2^log_var. "
                  "Only the result changes its unit.")
rate.mistake("rounded-up", edit=("nats / math.log(2)", "(nats / math.log(2)).ceil()"),
             hint="You rounded up to whole bits. A rate is an average over many images coded "
                  "together; it need not be whole.")
rate.mistake("cost-under-the-prior", edit=("- 1 - log_var", "+ math.log(2 * math.pi)"),
             hint="This is −log₂ p(z), the cost of the code under the prior, without the bits "
                  "that q's own noise gives back. The rate is the difference, E[log₂ q − log₂ p].")
rate.mistake("entropy-of-q", function=_entropy_of_q,
             hint="This is the entropy of q, which knows nothing of the prior. The rate compares "
                  "the two.")
rate.mistake("floats-stored", function=_floats_stored,
             hint="32 bits for each number: that is what a file of floats costs, whatever the "
                  "image. The rate counts what the code *says*.")
rate.mistake("sign", edit=("return nats", "return -nats"),
             hint="The sign is wrong: a rate is never negative.")
rate.mistake("half-missing", edit=("0.5 *", ""),
             hint="The ½ of the Gaussian's KL is missing: every rate is doubled.")
rate.mistake("std-for-variance", edit=("log_var.exp()", "(0.5 * log_var).exp()"),
             hint="exp(½ · log_var) is σ; the KL asks for σ² = exp(log_var).")
rate.mistake("log-var-as-log-std",
             edit=("log_var.exp() - 1 - log_var", "(2 * log_var).exp() - 1 - 2 * log_var"),
             hint="You read log_var as log σ. It is log σ².")
rate.mistake("mean-dropped", edit=("mean.square() +", ""),
             hint="The mean is missing. A code far from 0 is rare under the prior, and rare "
                  "things cost bits.")
reductions(rate)
structure(rate, 2)
rate.must("zero-at-the-prior", lambda f: gives(f, 0, [[0.0]], [[0.0]]),
          hint="A code that is the prior says nothing about the image: with mean 0 and log_var 0 "
               "the rate is 0.")
rate.must("one-bit", _one_bit,
          hint="In one dimension, mean √(2 ln 2) = 1.177 and log_var 0 should cost exactly 1 bit.")
rate.must("needle", _needle,
          hint="For a very narrow q (log_var from −38 to −40) another 1.443 bits are due, and "
               "yours adds something else: a clamp, or a small constant inside a logarithm? "
               "log_var needs neither.")
