r"""Exercises of notebook 04: the KL loss."""

import math

import torch

from . import _draw as draw
from ._exercise import Exercise, Mistake, Property
from ._kl import HALF, MEAN_OVER_LATENTS, NOISE, fixed, gives, gradient, reduce, structure
from ._kl import REDUCTIONS as REDUCTION_MISTAKES

_SIGN = (
    "The sign is wrong. Kingma & Welling print −KL, because it enters the ELBO with a minus; the "
    "KL itself is never negative, and a loss with this sign drives the two apart."
)

# --- gaussian_kl -----------------------------------------------------------------------------


def gaussian_kl(mean, log_var):
    per_dimension = 0.5 * (mean.square() + log_var.exp() - 1 - log_var)  # (B, D)
    return per_dimension.sum(dim=1)  # (B,)


def _two_sizes(generator):
    return draw.sizes(generator, count=2, low=3, high=9)


def _kl_case(generator):
    batch, latent = _two_sizes(generator)
    return draw.normal(generator, batch, latent, scale=1.3), draw.normal(generator, batch, latent)


def _kl_slipped(slips, mean, log_var):
    if "std-for-variance" in slips:
        variance = (0.5 * log_var).exp()
    elif "variance-squared" in slips or "log-var-as-log-std" in slips:
        variance = (2 * log_var).exp()
    elif "log-var-not-exponentiated" in slips:
        variance = log_var
    else:
        variance = log_var.exp()
    if "log-var-as-log-std" in slips:
        log_term = 2 * log_var
    elif "log-of-log-var" in slips:
        log_term = log_var.log()
    elif "log-term-dropped" in slips:
        log_term = torch.zeros_like(log_var)
    elif "log-std-term" in slips:
        log_term = 0.5 * log_var
    else:
        log_term = -log_var if "log-term-added" in slips else log_var
    if "mean-dropped" in slips:
        square = torch.zeros_like(mean)
    elif "mean-over-variance" in slips:
        square = mean.square() / log_var.exp()
    else:
        square = mean if "mean-not-squared" in slips else mean.square()
    one = 0.0 if "one-dropped" in slips else 1.0
    if "swapped" in slips:
        inside = (1 + square) / variance - one + log_term
    else:
        inside = square + variance - one - log_term
    if "half-on-one-term" in slips:
        per_dimension = 0.5 * square + variance - one - log_term
    else:
        per_dimension = inside if "half-missing" in slips else 0.5 * inside
    per_dimension = -per_dimension if "sign" in slips else per_dimension
    per_dimension = per_dimension / math.log(2) if "bits" in slips else per_dimension
    return reduce(slips, per_dimension)


GAUSSIAN_KL = Exercise(
    name="gaussian_kl",
    chapter=4,
    minutes=10,
    difficulty=2,
    returns="(B,), the KL of each image's Gaussian against N(0, I), in nats",
    reference=gaussian_kl,
    case=_kl_case,
    slipped=_kl_slipped,
    mistakes=(
        Mistake("sign", _SIGN),
        Mistake("half-missing", HALF),
        Mistake("half-on-one-term", "Only μ² is halved. The ½ stands before all the terms: look at "
                "where your brackets close."),
        Mistake("std-for-variance", "exp(½ · log_var) is the standard deviation σ; this formula "
                "asks for the variance σ² = exp(log_var). (σ belongs in the sampling layer.)"),
        Mistake("variance-squared", "exp(log_var) is squared, as if it were a standard deviation; "
                "it is the variance already."),
        Mistake("log-var-as-log-std", "You read log_var as log σ, so σ² became exp(2 · log_var). "
                "It is log σ². The sampling layer reads it so: the two parts of the model would "
                "speak of different Gaussians."),
        Mistake("log-var-not-exponentiated", "log_var itself was used where the variance belongs: "
                "take its exponential there, and keep it as it is in the last term."),
        Mistake("log-of-log-var", "You took the logarithm of log_var, which is NaN where it is "
                "negative. log_var *is* the logarithm, log σ²."),
        Mistake("log-std-term", "The last term is log σ = ½ · log_var; inside the bracket log σ² "
                "is needed (the ½ stands outside already)."),
        Mistake("log-term-dropped", "The term log σ² is missing. Without it nothing stops the "
                "variance from shrinking to 0: the KL no longer punishes a needle."),
        Mistake("log-term-added", "log σ² has the wrong sign: the KL must grow without bound as "
                "the variance shrinks to 0."),
        Mistake("mean-dropped", "The mean is missing: codes could wander anywhere at no cost. A "
                "Gaussian far from the prior must have a large KL."),
        Mistake("mean-not-squared", "The mean is not squared: a Gaussian at −3 is as far from the "
                "prior as one at +3."),
        Mistake("mean-over-variance", "μ² was divided by q's variance. The distance is measured in "
                "units of the second distribution, the prior, whose variance is 1."),
        Mistake("one-dropped", "The −1 is missing: at μ = 0, σ = 1 the two Gaussians are the same "
                "and the KL must be 0."),
        Mistake("swapped", "This is KL(prior ‖ q), the other direction. Here q, the encoder's "
                "Gaussian, comes first: the average is taken over samples of q."),
        Mistake("bits", "These are bits (logarithm to base 2). In nats there is no division by "
                "log 2."),
        *REDUCTION_MISTAKES,
    ),
    properties=(
        *structure(2),
        Property("zero-at-the-prior", lambda f: gives(f, 0, [[0.0]], [[0.0]]), "With mean 0 and "
                 "log_var 0 the Gaussian *is* the prior: the KL must be 0."),
        Property("mean-alone", lambda f: gives(f, 4.5, [[3.0]], [[0.0]]) and
                 gives(f, 4.5, [[-3.0]], [[0.0]]), "In one dimension, log_var 0 and a mean of 3 "
                 "or −3 should give 4.5 nats: look at how the mean enters."),
        Property("variance-alone", lambda f: gives(f, 2.19453, [[0.0]], [[2.0]]), "In one "
                 "dimension, mean 0 and log_var 2 should give 2.195 nats: look at how log_var "
                 "enters (once as a variance, once as its logarithm)."),
        Property("tiny-variance", lambda f: torch.allclose(
                 f(torch.zeros(2, 3), torch.full((2, 3), -30.0)), torch.full((2,), 43.5)),
                 "At log_var = −30, three dimensions, the KL is 43.5 nats and yours is not: a "
                 "clamp, or a small constant inside a logarithm, changed it. log_var needs "
                 "neither."),
        gradient(2),
    ),
)

# --- gaussian_kl_between ---------------------------------------------------------------------


def gaussian_kl_between(mean_q, log_var_q, mean_p, log_var_p):
    spread = (log_var_q - log_var_p).exp()  # (B, D): variance of q over variance of p
    shift = (mean_q - mean_p).square() / log_var_p.exp()  # (B, D): squared, in p's units
    return 0.5 * (spread + shift - 1 + log_var_p - log_var_q).sum(dim=1)  # (B,)


def _between_case(generator):
    batch, latent = _two_sizes(generator)
    return tuple(draw.normal(generator, batch, latent, scale=0.9) for _ in range(4))


def _between_slipped(slips, mean_q, log_var_q, mean_p, log_var_p):
    if "swapped" in slips:
        mean_q, log_var_q, mean_p, log_var_p = mean_p, log_var_p, mean_q, log_var_q
    scale = 0.5 if "std-for-variance" in slips else 2.0 if "log-var-as-log-std" in slips else 1.0
    var_q, var_p = (scale * log_var_q).exp(), (scale * log_var_p).exp()
    spread = var_p / var_q if "spread-inverted" in slips else var_q / var_p
    spread = var_q if "spread-not-divided" in slips else spread
    difference = mean_q - mean_p
    square = difference if "shift-not-squared" in slips else difference.square()
    square = mean_q.square() - mean_p.square() if "squares-subtracted" in slips else square
    if "shift-over-q" in slips:
        shift = square / var_q
    elif "shift-dropped" in slips:
        shift = torch.zeros_like(square)
    else:
        shift = square if "shift-not-divided" in slips else square / var_p
    log_ratio = log_var_p - log_var_q
    log_ratio = 2 * log_ratio if "log-var-as-log-std" in slips else log_ratio
    if "log-ratio-flipped" in slips:
        log_ratio = -log_ratio
    elif "log-ratio-dropped" in slips:
        log_ratio = torch.zeros_like(log_ratio)
    elif "log-ratio-halved" in slips:
        log_ratio = 0.5 * log_ratio
    one = 0.0 if "one-dropped" in slips else 1.0
    inside = spread + shift - one + log_ratio
    per_dimension = inside if "half-missing" in slips else 0.5 * inside
    return reduce(slips, -per_dimension if "sign" in slips else per_dimension)


def _p_ignored(mean_q, log_var_q, mean_p, log_var_p):
    return gaussian_kl(mean_q, log_var_q)


def _difference_of_kls(mean_q, log_var_q, mean_p, log_var_p):
    return gaussian_kl(mean_q, log_var_q) - gaussian_kl(mean_p, log_var_p)


def _symmetrised(mean_q, log_var_q, mean_p, log_var_p):
    there = gaussian_kl_between(mean_q, log_var_q, mean_p, log_var_p)
    return (there + gaussian_kl_between(mean_p, log_var_p, mean_q, log_var_q)) / 2


def _zero_for_equal(function) -> bool:
    mean, log_var = fixed(2)
    return bool((function(mean, log_var, mean, log_var).abs() < 1e-5).all())


def _both_needles(function) -> bool:
    zeros, needle = torch.zeros(2, 3), torch.full((2, 3), -30.0)
    return torch.allclose(function(zeros, needle - 2, zeros, needle),
                          torch.full((2,), 1.5 * (math.exp(-2) + 1)), rtol=1e-3)


GAUSSIAN_KL_BETWEEN = Exercise(
    name="gaussian_kl_between",
    chapter=4,
    minutes=15,
    difficulty=3,
    returns="(B,), KL(q ‖ p) of each image's two Gaussians, in nats",
    reference=gaussian_kl_between,
    case=_between_case,
    slipped=_between_slipped,
    mistakes=(
        Mistake("swapped", "This is KL(p ‖ q). The KL is not symmetric: the average runs over the "
                "first distribution, and distances are measured in the units of the second."),
        Mistake("symmetrised", "This is the average of both directions. KL(q ‖ p) is one of them.",
                alone=_symmetrised),
        Mistake("p-ignored", "The second Gaussian was not used: this is the KL against N(0, I).",
                alone=_p_ignored),
        Mistake("difference-of-kls", "You subtracted two KLs against N(0, I). A KL is not a "
                "distance along a line: compare q with p directly.", alone=_difference_of_kls),
        Mistake("sign", "The sign is wrong: a KL is never negative, and 0 for equal Gaussians."),
        Mistake("half-missing", HALF),
        Mistake("std-for-variance", "exp(½ · log_var) is a standard deviation; the formula asks "
                "for variances, exp(log_var), of q and of p."),
        Mistake("log-var-as-log-std", "You read log_var as log σ, so the variances became "
                "exp(2 · log_var). It is log σ²."),
        Mistake("spread-inverted", "The ratio of variances is upside down: q's variance over p's. "
                "A wide q under a narrow p must be expensive."),
        Mistake("spread-not-divided", "q's variance stands there alone. What counts is how wide q "
                "is compared with p: divide by p's variance."),
        Mistake("shift-not-squared", "The difference of the means is not squared: a shift to the "
                "left costs as much as one to the right."),
        Mistake("squares-subtracted", "You took μ_q² − μ_p²; the square of the difference, "
                "(μ_q − μ_p)², is needed."),
        Mistake("shift-over-q", "The shift is measured in q's variance. It is q that is looked at "
                "through p: divide by p's variance."),
        Mistake("shift-not-divided", "The squared shift is not measured in units of p: divide by "
                "p's variance. The same step is far for a narrow p and near for a wide one."),
        Mistake("shift-dropped", "The means do not enter at all: two Gaussians in different places "
                "are different."),
        Mistake("log-ratio-flipped", "The logarithms have the wrong sign: a q that shrinks to a "
                "needle must get a growing KL, so −log σ_q² belongs there."),
        Mistake("log-ratio-dropped", "The logarithms of the variances are missing: nothing would "
                "stop q from shrinking to a needle."),
        Mistake("log-ratio-halved", "The logarithms are halved twice: log_var_p − log_var_q inside "
                "the bracket with the ½, or log(σ_p / σ_q) outside it."),
        Mistake("one-dropped", "The −1 is missing: for equal Gaussians the KL must be 0."),
        *REDUCTION_MISTAKES,
    ),
    properties=(
        Property("zero-for-equal", _zero_for_equal, "For two equal Gaussians the KL must be 0."),
        *structure(4),
        Property("shift-alone", lambda f: gives(f, 2.25, [[2.0]], [[0.6931]], [[5.0]], [[0.6931]]),
                 "Two Gaussians of variance 2, three apart, should give 2.25 nats in one "
                 "dimension: look at how the means enter."),
        Property("spread-alone", lambda f: gives(f, 0.31815, [[1.0]], [[0.0]], [[1.0]], [[1.38629]])
                 and gives(f, 0.80685, [[1.0]], [[1.38629]], [[1.0]], [[0.0]]),
                 "With equal means, a q of variance 1 under a p of variance 4 should give 0.318 "
                 "nats, and the other way round 0.807: look at how the log-variances enter."),
        Property("two-needles", _both_needles, "Two very narrow Gaussians, log_var −32 and −30, "
                 "should give 1.703 nats: a clamp, or a small constant in a division or logarithm, "
                 "changed the answer. Differences of log-variances need neither."),
        gradient(4),
    ),
)

# --- monte_carlo_kl --------------------------------------------------------------------------


def monte_carlo_kl(mean, log_var, noise):
    std = torch.exp(0.5 * log_var)  # (B, D)
    latent = mean + std * noise  # (S, B, D): samples of q, the same in every run for one noise
    log_q = torch.distributions.Normal(mean, std).log_prob(latent)  # (S, B, D)
    log_p = torch.distributions.Normal(0.0, 1.0).log_prob(latent)  # (S, B, D)
    return (log_q - log_p).sum(dim=2).mean(dim=0)  # dimensions add up, samples are averaged


def _monte_carlo_case(generator):
    samples, batch, latent = draw.sizes(generator, count=3, low=3, high=9)
    mean, log_var = (draw.normal(generator, batch, latent, scale=s) for s in (1.0, 0.7))
    return mean, log_var, draw.normal(generator, samples, batch, latent)


def _monte_carlo_slipped(slips, mean, log_var, noise):
    std = log_var.exp() if "variance-for-std" in slips else (0.5 * log_var).exp()
    if "prior-samples" in slips:
        latent = noise
    elif "noise-not-scaled" in slips:
        latent = mean + noise
    elif "mean-forgotten" in slips:
        latent = std * noise
    else:
        latent = mean + (log_var.exp() if "variance-in-sampling" in slips else std) * noise
    log_q = -0.5 * ((latent - mean) / std).square() - std.log() - 0.5 * math.log(2 * math.pi)
    log_p = -0.5 * latent.square() - 0.5 * math.log(2 * math.pi)
    if "log-std-dropped" in slips:
        log_q = log_q + std.log()
    if "constant-on-one-side" in slips:
        log_q = log_q + 0.5 * math.log(2 * math.pi)
    if "prior-dropped" in slips:
        log_ratio = log_q
    elif "q-dropped" in slips:
        log_ratio = -log_p
    elif "weighted-by-q" in slips:
        log_ratio = log_q.exp() * (log_q - log_p)
    else:
        log_ratio = log_q - log_p
    log_ratio = -log_ratio if "sign" in slips else log_ratio
    log_ratio = log_ratio.abs() if "absolute" in slips else log_ratio
    log_ratio = log_ratio.clamp(min=0) if "clamped-early" in slips else log_ratio
    reduced = log_ratio.mean(dim=2) if "averaged-over-latents" in slips else log_ratio.sum(dim=2)
    if "log-of-mean" in slips:
        return reduced.exp().mean(dim=0).log()
    if "summed-over-samples" in slips:
        return reduced.sum(dim=0)
    if "averaged-over-images" in slips:
        return reduced.mean(dim=1)
    if "per-sample" in slips:
        return reduced
    if "first-sample-only" in slips:
        return reduced[0]
    return reduced.mean() if "one-number" in slips else reduced.mean(dim=0)


def _own_noise(mean, log_var, noise):
    return _monte_carlo_slipped(frozenset(), mean, log_var, torch.randn_like(noise))


def _closed_form(mean, log_var, noise):
    return gaussian_kl(mean, log_var)


def _samples_are_averaged(function) -> bool:
    mean, log_var = fixed(2)
    alone = torch.stack([function(mean, log_var, each[None]) for each in NOISE])
    return torch.allclose(function(mean, log_var, NOISE), alone.mean(dim=0), rtol=1e-3, atol=1e-4)


def _same_twice(function) -> bool:
    return torch.equal(function(*fixed(2), NOISE), function(*fixed(2), NOISE))


def _may_be_negative(function) -> bool:
    value = float(function(*map(torch.tensor, ([[0.1]], [[0.2]], [[[-1.0]]]))))  # −0.095
    return not (math.isclose(value, 0.09482, rel_tol=1e-3) or abs(value) < 1e-6)


def _survives_far_samples(function) -> bool:
    value = function(torch.zeros(2, 3), torch.full((2, 3), -2.0), torch.full((4, 2, 3), 20.0))
    return bool(value.isfinite().all())


MONTE_CARLO_KL = Exercise(
    name="monte_carlo_kl",
    chapter=4,
    minutes=15,
    difficulty=2,
    returns="(B,), the average of log q(z) − log p(z) over the S samples of each image, in nats",
    reference=monte_carlo_kl,
    case=_monte_carlo_case,
    slipped=_monte_carlo_slipped,
    mistakes=(
        Mistake("sign", "This averages log p(z) − log q(z), the negative: q comes first."),
        Mistake("closed-form", "This is the closed form; the noise was not used. Here the KL is to "
                "be estimated from samples, as where no closed form exists.", alone=_closed_form),
        Mistake("own-noise", "You drew fresh noise instead of using the argument. With the noise "
                "given, the same inputs give the same estimate, and it can be tested.",
                alone=_own_noise),
        Mistake("prior-samples", "The average runs over samples of the prior (the noise itself). "
                "KL(q ‖ p) is an average over samples of q: z = mean + std · noise."),
        Mistake("noise-not-scaled", "The noise was added without the standard deviation: these are "
                "samples of N(mean, 1), not of q."),
        Mistake("mean-forgotten", "The samples are centred at 0: the mean was not added."),
        Mistake("variance-for-std", "exp(log_var) is the variance. Both the samples and the "
                "density of q need the standard deviation, exp(½ · log_var)."),
        Mistake("variance-in-sampling", "The noise is scaled by exp(log_var), the variance; it "
                "needs the standard deviation, exp(½ · log_var). (Your density is right.)"),
        Mistake("log-std-dropped", "The density of q lacks its normaliser, −log σ: a narrow "
                "Gaussian is also a high one."),
        Mistake("constant-on-one-side", "½ log 2π stands in one of the densities only. It cancels "
                "if both have it."),
        Mistake("prior-dropped", "Only log q was averaged: that is the negative entropy. The "
                "prior's log p(z) has to be subtracted."),
        Mistake("q-dropped", "Only −log p was averaged: that is the cross-entropy. log q(z) "
                "belongs there too."),
        Mistake("weighted-by-q", "Each sample was weighted by q(z) once more. The samples come "
                "from q: likely places are there more often already. The plain mean is the "
                "integral."),
        Mistake("log-of-mean", "This is the logarithm of the mean ratio q / p. The KL is the mean "
                "of the logarithms; by Jensen's inequality the two differ."),
        Mistake("absolute", "The absolute value was taken sample by sample. Single samples may be "
                "negative; it is their average that tends to the KL."),
        Mistake("clamped-early", "Negative samples were cut off at 0. A KL is never negative, its "
                "samples are: without them the average is too large."),
        Mistake("averaged-over-latents", MEAN_OVER_LATENTS),
        Mistake("summed-over-samples", "The samples are summed; they are to be averaged, or the "
                "answer grows with S."),
        Mistake("averaged-over-images", "You averaged over the images and kept the samples apart. "
                "Average the samples (axis 0) and keep one number per image."),
        Mistake("per-sample", "One number per sample and image came back: average over the "
                "samples, axis 0."),
        Mistake("first-sample-only", "Only the first sample was used. All S count: the error "
                "shrinks as 1/√S."),
        Mistake("one-number", "Samples and images were averaged together. Keep one KL per image."),
    ),
    properties=(
        Property("noise-used", _same_twice, "The same call gave two answers: noise is drawn "
                 "inside. Use the argument; then an estimate can be repeated and tested."),
        Property("may-be-negative", _may_be_negative, "An estimate may come out negative by "
                 "chance, and must be left so: a clamp or an absolute value would make it too "
                 "large on average."),
        *structure(2, NOISE),
        Property("samples-averaged", _samples_are_averaged, "The answer for S samples is not the "
                 "plain average of the answers for each sample alone."),
        Property("far-sample", _survives_far_samples, "For a sample far out (noise = 20) the "
                 "answer must stay finite: stay with log-densities, since exp(−200) is 0 in "
                 "single precision, and log 0 is −∞."),
        Property("by-hand", lambda f: gives(f, 3.3970, [[2.0]], [[-1.0]], [[[1.0]]]), "Try one "
                 "sample, one dimension: mean 2, log_var −1, noise +1. The sample is z = 2.607 and "
                 "the answer 3.397. Work out z, log q(z) and log p(z) by hand and compare."),
        gradient(2, NOISE),
    ),
)

# --- effective_beta --------------------------------------------------------------------------


def effective_beta(reconstruction, kl, pixels, latent_dim, batch_size):
    def weight(reduction, values_per_image):  # of a per-image sum, averaged over the batch
        return {"sum": batch_size, "batchmean": 1, "mean": 1 / values_per_image}[reduction]

    return weight(kl, latent_dim) / weight(reconstruction, pixels)


REDUCTIONS = ("sum", "batchmean", "mean")


def _beta_case(generator):
    # Nine cases with consecutive seeds: every pair of reductions comes up once.
    index = generator.initial_seed() % 9
    latent_dim, batch_size, pixels = sorted(draw.sizes(generator, count=3, low=3, high=60))
    return REDUCTIONS[index // 3], REDUCTIONS[index % 3], pixels, latent_dim, batch_size


def _beta_slipped(slips, reconstruction, kl, pixels, latent_dim, batch_size):
    if "sizes-swapped" in slips:
        pixels, latent_dim = latent_dim, pixels
    latent_dim = pixels if "pixels-for-both" in slips else latent_dim

    def weight(reduction, values):
        table = {"sum": batch_size, "batchmean": 1, "mean": 1 / values}
        if "batch-forgotten" in slips:
            table["sum"] = 1
        if "mean-as-batchmean" in slips:
            table["mean"] = 1
        if "batchmean-as-mean" in slips:
            table["batchmean"] = 1 / values
        if "batchmean-as-sum" in slips:
            table["batchmean"] = batch_size
        if "mean-forgets-batch" in slips:
            table["mean"] = batch_size / values
        if "mean-divides-twice" in slips:
            table["mean"] = 1 / (values * batch_size)
        if "mean-taken-as-one" in slips:
            table = {name: value * values for name, value in table.items()}
        return table[reduction]

    up, down = weight(kl, latent_dim), weight(reconstruction, pixels)
    up = 1 if "kl-ignored" in slips else up
    down = 1 if "reconstruction-ignored" in slips else down
    if "multiplied" in slips:
        return up * down
    if "inverted" in slips:
        up, down = down, up
    return float(up // down) if "whole-number" in slips else up / down


def _beta(function, expected, reconstruction, kl) -> bool:
    return math.isclose(function(reconstruction, kl, 784, 20, 128), expected, rel_tol=1e-3)


def _right_for_other_sizes(function) -> bool:
    pairs = {("mean", "mean"): 61.44, ("batchmean", "sum"): 64, ("batchmean", "mean"): 0.02}
    return all(math.isclose(function(*names, 3072, 50, 64), beta, rel_tol=1e-3)
               for names, beta in pairs.items())


def _always_one(reconstruction, kl, pixels, latent_dim, batch_size):
    return 1.0


def _equal_names_cancel(reconstruction, kl, pixels, latent_dim, batch_size):
    right = effective_beta(reconstruction, kl, pixels, latent_dim, batch_size)
    return 1.0 if reconstruction == kl else right


EFFECTIVE_BETA = Exercise(
    name="effective_beta",
    chapter=4,
    minutes=12,
    difficulty=2,
    returns="a float, how much the KL counts against the reconstruction, both as per-image sums",
    reference=effective_beta,
    case=_beta_case,
    slipped=_beta_slipped,
    cases=9,
    mistakes=(
        Mistake("inverted", "This is 1/β, the reconstruction's weight against the KL. β stands "
                "before the KL."),
        Mistake("equal-names-cancel", "The same word on both terms does not mean β = 1: the two "
                "\"mean\"s divide by different counts, pixels here and latents there.",
                alone=_equal_names_cancel),
        Mistake("always-one", "β is 1 only if both terms are per-image sums, averaged (or summed) "
                "over the batch in the same way. Each reduction hides a weight.",
                alone=_always_one),
        Mistake("batch-forgotten", "\"sum\" adds up all images of the batch too, so against "
                "\"batchmean\" it weighs batch_size times as much."),
        Mistake("mean-as-batchmean", "\"mean\" was taken as an average over images only. It also "
                "divides by the number of values in each image: pixels, or latents."),
        Mistake("batchmean-as-mean", "\"batchmean\" sums over the values of an image and averages "
                "over images only: it does not divide by pixels or latents."),
        Mistake("batchmean-as-sum", "\"batchmean\" divides by the number of images, \"sum\" does "
                "not."),
        Mistake("mean-forgets-batch", "\"mean\" divides by the batch size as well, like "
                "\"batchmean\": it averages over all values of all images."),
        Mistake("mean-divides-twice", "\"mean\" was divided by the batch size once too often: "
                "relative to \"batchmean\", which has that division already, only the values of "
                "an image are left."),
        Mistake("mean-taken-as-one", "\"mean\" got the weight 1 in both terms. Then the two terms "
                "have different yardsticks (a pixel here, a latent there). Measure both against "
                "the per-image sum."),
        Mistake("sizes-swapped", "pixels and latent_dim are exchanged: the reconstruction is a sum "
                "over pixels, the KL over latents."),
        Mistake("pixels-for-both", "The KL was divided by the number of pixels. It has one term "
                "per latent dimension."),
        Mistake("kl-ignored", "Only the reconstruction's reduction was used; the KL's rescales it "
                "as well."),
        Mistake("reconstruction-ignored", "Only the KL's reduction was used. Making the "
                "reconstruction smaller is the same as making the KL larger."),
        Mistake("multiplied", "The two weights are multiplied; β is the KL's weight divided by the "
                "reconstruction's."),
        Mistake("whole-number", "`//` throws the remainder away: a β of 1/20 would become 0."),
    ),
    properties=(
        Property("sum-sum", lambda f: _beta(f, 1, "sum", "sum"), "Both terms summed over "
                 "everything is the per-image ELBO times the batch size: β is 1."),
        Property("mean-mean", lambda f: _beta(f, 39.2, "mean", "mean"), "Both losses averaged over "
                 "everything, 784 pixels and 20 latents: β is 39.2. What does each \"mean\" "
                 "divide by?"),
        Property("sum-of-a-batch", lambda f: _beta(f, 128, "batchmean", "sum"), "Reconstruction "
                 "per image, KL summed over a batch of 128: β is 128. \"sum\" adds up the images "
                 "too."),
        Property("mean-of-the-kl", lambda f: _beta(f, 0.05, "batchmean", "mean"), "Reconstruction "
                 "per image, KL averaged over everything, 20 latents: β is 0.05."),
        Property("other-sizes", _right_for_other_sizes, "It is right for 784 pixels, 20 latents "
                 "and a batch of 128, and wrong for 3,072, 50 and 64: is a size written into the "
                 "function?"),
    ),
)


EXERCISES = [GAUSSIAN_KL, GAUSSIAN_KL_BETWEEN, MONTE_CARLO_KL, EFFECTIVE_BETA]
