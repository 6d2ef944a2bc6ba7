r"""Exercises of notebook 04: the KL loss."""

import math

import torch

from . import draw
from .definition import Exercise
from .properties import HALF, MEAN_OVER_LATENTS, gives, reductions, structure
from .values import close

# --- gaussian_kl -----------------------------------------------------------------------------


def gaussian_kl(mean, log_var):
    per_dimension = 0.5 * (mean.square() + log_var.exp() - 1 - log_var)  # (B, D)
    return per_dimension.sum(dim=1)  # (B,)


def _needle(function):
    return close(function(torch.zeros(2, 3), torch.full((2, 3), -30.0)), [43.5] * 2)


kl = Exercise(
    gaussian_kl,
    inputs=lambda g: (draw.normal(g, "B", "D", scale=1.3), draw.normal(g, "B", "D")),
    returns="(B,), the KL of each image's Gaussian against N(0, I), in nats; differentiable",
    gradient=("mean", "log_var"),
    chapter=4, minutes=10, difficulty=2,
)  # fmt: skip
kl.mistake("sign", edit=("return per", "return -per"),
           hint="The sign is wrong. Kingma & Welling print −KL, because it enters the ELBO with a "
                "minus; the KL itself is never negative, and a loss with this sign drives the two "
                "apart.")
kl.mistake("half-missing", edit=("0.5 * (", "("),
           hint=HALF)
kl.mistake("half-on-one-term", edit=("0.5 * (mean", "(0.5 * mean"),
           hint="Only μ² is halved. The ½ stands before all the terms: look at where your "
                "brackets close.")
kl.mistake("std-for-variance", edit=("log_var.exp()", "(0.5 * log_var).exp()"),
           hint="exp(½ · log_var) is the standard deviation σ; this formula asks for the variance "
                "σ² = exp(log_var). (σ belongs in the sampling layer.)")
kl.mistake("variance-squared", edit=("log_var.exp()", "(2 * log_var).exp()"),
           hint="exp(log_var) is squared, as if it were a standard deviation; it is the variance "
                "already.")
kl.mistake("log-var-as-log-std",
           edit=("log_var.exp() - 1 - log_var", "(2 * log_var).exp() - 1 - 2 * log_var"),
           hint="You read log_var as log σ, so σ² became exp(2 · log_var). It is log σ². The "
                "sampling layer reads it so: the two parts of the model would speak of different "
                "Gaussians.")
kl.mistake("log-var-not-exponentiated", edit=("log_var.exp()", "log_var"),
           hint="log_var itself was used where the variance belongs: take its exponential there, "
                "and keep it as it is in the last term.")
kl.mistake("log-of-log-var", edit=("- log_var)", "- log_var.log())"),
           hint="You took the logarithm of log_var, which is NaN where it is negative. log_var "
                "*is* the logarithm, log σ².")
kl.mistake("log-std-term", edit=("- log_var)", "- 0.5 * log_var)"),
           hint="The last term is log σ = ½ · log_var; inside the bracket log σ² is needed (the ½ "
                "stands outside already).")
kl.mistake("log-term-dropped", edit=(" - log_var)", ")"),
           hint="The term log σ² is missing. Without it nothing stops the variance from shrinking "
                "to 0: the KL no longer punishes a needle.")
kl.mistake("log-term-added", edit=("- log_var)", "+ log_var)"),
           hint="log σ² has the wrong sign: the KL must grow without bound as the variance "
                "shrinks to 0.")
kl.mistake("mean-dropped", edit=("mean.square() +", ""),
           hint="The mean is missing: codes could wander anywhere at no cost. A Gaussian far from "
                "the prior must have a large KL.")
kl.mistake("mean-not-squared", edit=("mean.square()", "mean"),
           hint="The mean is not squared: a Gaussian at −3 is as far from the prior as one at +3.")
kl.mistake("mean-over-variance", edit=("mean.square()", "mean.square() / log_var.exp()"),
           hint="μ² was divided by q's variance. The distance is measured in units of the second "
                "distribution, the prior, whose variance is 1.")
kl.mistake("one-dropped", edit=(" - 1", ""),
           hint="The −1 is missing: at μ = 0, σ = 1 the two Gaussians are the same and the KL "
                "must be 0.")
kl.mistake("swapped",
           edit=("mean.square() + log_var.exp() - 1 - log_var",
                 "(1 + mean.square()) / log_var.exp() - 1 + log_var"),
           hint="This is KL(prior ‖ q), the other direction. Here q, the encoder's Gaussian, "
                "comes first: the average is taken over samples of q.")
kl.mistake("bits", edit=("  # (B, D)", " / math.log(2)  # (B, D)"),
           hint="These are bits (logarithm to base 2). In nats there is no division by log 2.")
reductions(kl)
structure(kl, 2)
kl.must("zero-at-the-prior", lambda f: gives(f, 0, [[0.0]], [[0.0]]),
        hint="With mean 0 and log_var 0 the Gaussian *is* the prior: the KL must be 0.")
kl.must("mean-alone", lambda f: all(gives(f, 4.5, [[x]], [[0.0]]) for x in (3.0, -3.0)),
        hint="In one dimension, log_var 0 and a mean of 3 or −3 should give 4.5 nats: look at how "
             "the mean enters.")
kl.must("variance-alone", lambda f: gives(f, 2.19453, [[0.0]], [[2.0]]),
        hint="In one dimension, mean 0 and log_var 2 should give 2.195 nats: look at how log_var "
             "enters (once as a variance, once as its logarithm).")
kl.must("tiny-variance", _needle,
        hint="At log_var = −30, three dimensions, the KL is 43.5 nats and yours is not: a clamp, "
             "or a small constant inside a logarithm, changed it. log_var needs neither.")

# --- gaussian_kl_between ---------------------------------------------------------------------


def gaussian_kl_between(mean_q, log_var_q, mean_p, log_var_p):
    spread = (log_var_q - log_var_p).exp()  # (B, D): variance of q over variance of p
    shift = (mean_q - mean_p).square() / log_var_p.exp()  # (B, D): squared, in p's units
    return 0.5 * (spread + shift - 1 + log_var_p - log_var_q).sum(dim=1)  # (B,)


def _p_ignored(mean_q, log_var_q, mean_p, log_var_p):
    return gaussian_kl(mean_q, log_var_q)


def _difference_of_kls(mean_q, log_var_q, mean_p, log_var_p):
    return gaussian_kl(mean_q, log_var_q) - gaussian_kl(mean_p, log_var_p)


def _symmetrised(mean_q, log_var_q, mean_p, log_var_p):
    there = gaussian_kl_between(mean_q, log_var_q, mean_p, log_var_p)
    return (there + gaussian_kl_between(mean_p, log_var_p, mean_q, log_var_q)) / 2


def _zero_for_equal(function):
    mean, log_var = draw.fixed(4, 3), draw.fixed(4, 3, seed=8)
    return bool((function(mean, log_var, mean, log_var).abs() < 1e-5).all())


def _spread_alone(function):
    there = gives(function, 0.31815, [[1.0]], [[0.0]], [[1.0]], [[1.38629]])
    return there and gives(function, 0.80685, [[1.0]], [[1.38629]], [[1.0]], [[0.0]])


def _both_needles(function):
    zeros, needle = torch.zeros(2, 3), torch.full((2, 3), -30.0)
    return close(function(zeros, needle - 2, zeros, needle), [1.5 * (math.exp(-2) + 1)] * 2)


between = Exercise(
    gaussian_kl_between,
    inputs=lambda g: tuple(draw.normal(g, "B", "D", scale=0.9) for _ in range(4)),
    returns="(B,), KL(q ‖ p) of each image's two Gaussians, in nats; differentiable",
    gradient=("mean_q", "log_var_q", "mean_p", "log_var_p"),
    chapter=4, minutes=15, difficulty=3,
)  # fmt: skip
between.mistake("swapped",
                edit=("    spread =",
                      "    mean_q, log_var_q, mean_p, log_var_p = mean_p, log_var_p, mean_q, "
                      "log_var_q\n    spread ="),
                hint="This is KL(p ‖ q). The KL is not symmetric: the average runs over the first "
                     "distribution, and distances are measured in the units of the second.")
between.mistake("symmetrised", function=_symmetrised,
                hint="This is the average of both directions. KL(q ‖ p) is one of them.")
between.mistake("p-ignored", function=_p_ignored,
                hint="The second Gaussian was not used: this is the KL against N(0, I).")
between.mistake("difference-of-kls", function=_difference_of_kls,
                hint="You subtracted two KLs against N(0, I). A KL is not a distance along a "
                     "line: compare q with p directly.")
between.mistake("sign", edit=("return ", "return -"),
                hint="The sign is wrong: a KL is never negative, and 0 for equal Gaussians.")
between.mistake("half-missing", edit=("0.5 *", ""),
                hint=HALF)
between.mistake("std-for-variance",
                edit=[("(log_var_q - log_var_p).exp()", "(0.5 * (log_var_q - log_var_p)).exp()"),
                      ("log_var_p.exp()", "(0.5 * log_var_p).exp()")],
                hint="exp(½ · log_var) is a standard deviation; the formula asks for variances, "
                     "exp(log_var), of q and of p.")
between.mistake("log-var-as-log-std",
                edit=[("(log_var_q - log_var_p).exp()", "(2 * (log_var_q - log_var_p)).exp()"),
                      ("log_var_p.exp()", "(2 * log_var_p).exp()"),
                      ("+ log_var_p - log_var_q", "+ 2 * (log_var_p - log_var_q)")],
                hint="You read log_var as log σ, so the variances became exp(2 · log_var). It is "
                     "log σ².")
between.mistake("spread-inverted",
                edit=("(log_var_q - log_var_p).exp()", "(log_var_p - log_var_q).exp()"),
                hint="The ratio of variances is upside down: q's variance over p's. A wide q "
                     "under a narrow p must be expensive.")
between.mistake("spread-not-divided", edit=("(log_var_q - log_var_p).exp()", "log_var_q.exp()"),
                hint="q's variance stands there alone. What counts is how wide q is compared with "
                     "p: divide by p's variance.")
between.mistake("shift-not-squared", edit=(".square()", ""),
                hint="The difference of the means is not squared: a shift to the left costs as "
                     "much as one to the right.")
between.mistake("squares-subtracted",
                edit=("(mean_q - mean_p).square()", "(mean_q.square() - mean_p.square())"),
                hint="You took μ_q² − μ_p²; the square of the difference, (μ_q − μ_p)², is needed.")
between.mistake("shift-over-q", edit=("log_var_p.exp()", "log_var_q.exp()"),
                hint="The shift is measured in q's variance. It is q that is looked at through p: "
                     "divide by p's variance.")
between.mistake("shift-over-a-std", edit=("log_var_p.exp()", "(0.5 * log_var_p).exp()"),
                hint="The squared shift was divided by p's standard deviation. A square goes with "
                     "the variance, exp(log_var_p).")
between.mistake("shift-not-divided", edit=(" / log_var_p.exp()", ""),
                hint="The squared shift is not measured in units of p: divide by p's variance. "
                     "The same step is far for a narrow p and near for a wide one.")
between.mistake("shift-dropped", edit=(" + shift", ""),
                hint="The means do not enter at all: two Gaussians in different places are "
                     "different.")
between.mistake("log-ratio-flipped", edit=("+ log_var_p - log_var_q", "- log_var_p + log_var_q"),
                hint="The logarithms have the wrong sign: a q that shrinks to a needle must get a "
                     "growing KL, so −log σ_q² belongs there.")
between.mistake("log-ratio-dropped", edit=(" + log_var_p - log_var_q", ""),
                hint="The logarithms of the variances are missing: nothing would stop q from "
                     "shrinking to a needle.")
between.mistake("log-ratio-halved",
                edit=("+ log_var_p - log_var_q", "+ 0.5 * (log_var_p - log_var_q)"),
                hint="The logarithms are halved twice: log_var_p − log_var_q inside the bracket "
                     "with the ½, or log(σ_p / σ_q) outside it.")
between.mistake("one-dropped", edit=(" - 1", ""),
                hint="The −1 is missing: for equal Gaussians the KL must be 0.")
reductions(between)
between.must("zero-for-equal", _zero_for_equal,
             hint="For two equal Gaussians the KL must be 0.")
structure(between, 4)
between.must("shift-alone", lambda f: gives(f, 2.25, [[2.0]], [[0.6931]], [[5.0]], [[0.6931]]),
             hint="Two Gaussians of variance 2, three apart, should give 2.25 nats in one "
                  "dimension: look at how the means enter.")
between.must("spread-alone", _spread_alone,
             hint="With equal means, a q of variance 1 under a p of variance 4 should give 0.318 "
                  "nats, and the other way round 0.807: look at how the log-variances enter.")
between.must("two-needles", _both_needles,
             hint="Two very narrow Gaussians, log_var −32 and −30, should give 1.703 nats: a "
                  "clamp, or a small constant in a division or logarithm, changed the answer. "
                  "Differences of log-variances need neither.")

# --- monte_carlo_kl --------------------------------------------------------------------------


def monte_carlo_kl(mean, log_var, noise):
    std = torch.exp(0.5 * log_var)  # (B, D)
    latent = mean + std * noise  # (S, B, D): samples of q, the same in every run for one noise
    log_q = torch.distributions.Normal(mean, std).log_prob(latent)  # (S, B, D)
    log_p = torch.distributions.Normal(0.0, 1.0).log_prob(latent)  # (S, B, D)
    return (log_q - log_p).sum(dim=2).mean(dim=0)  # dimensions add up, samples are averaged


def _codes_and_noise(g):
    r"""Of the first image all samples lie near the middle of a wide q: its estimate is negative."""
    mean, log_var = (draw.normal(g, "B", "D", scale=s) for s in (1.0, 0.7))
    noise = draw.normal(g, "S", "B", "D")
    mean[0], log_var[0], noise[:, 0] = 0.1 * mean[0], 0.3 + log_var[0].abs(), 0.1 * noise[:, 0]
    return mean, log_var, noise


def _closed_form(mean, log_var, noise):
    return gaussian_kl(mean, log_var)


_NOISE = draw.fixed(5, 4, 3, seed=8)
_CODES = draw.fixed(4, 3, seed=7), draw.fixed(4, 3, seed=6)


def _samples_are_averaged(function):
    alone = torch.stack([function(*_CODES, each[None]) for each in _NOISE])
    return close(function(*_CODES, _NOISE), alone.mean(dim=0))


def _same_twice(function):
    return torch.equal(function(*_CODES, _NOISE), function(*_CODES, _NOISE))


def _may_be_negative(function):
    value = float(function(*map(torch.tensor, ([[0.1]], [[0.2]], [[[-1.0]]]))))  # −0.095
    return not (math.isclose(value, 0.09482, rel_tol=1e-3) or abs(value) < 1e-6)


def _survives_far_samples(function):
    value = function(torch.zeros(2, 3), torch.full((2, 3), -2.0), torch.full((4, 2, 3), 20.0))
    return bool(value.isfinite().all())


sampled = Exercise(
    monte_carlo_kl,
    inputs=_codes_and_noise,
    returns="(B,), the average of log q(z) − log p(z) over the S samples of each image, in nats; "
    "differentiable",
    gradient=("mean", "log_var"),
    chapter=4, minutes=15, difficulty=2,
)  # fmt: skip
sampled.mistake("sign", edit=("(log_q - log_p)", "(log_p - log_q)"),
                hint="This averages log p(z) − log q(z), the negative: q comes first.")
sampled.mistake("closed-form", function=_closed_form,
                hint="This is the closed form; the noise was not used. Here the KL is to be "
                     "estimated from samples, as where no closed form exists.")
sampled.mistake("entropy-in-closed-form",
                edit=("torch.distributions.Normal(mean, std).log_prob(latent)",
                      "(-0.5 * (1 + log_var + math.log(2 * math.pi))).expand_as(latent)"),
                hint="For log q you took its average, the closed form of the entropy, and for log "
                     "p the samples. Here both are to be evaluated at the same samples: their "
                     "errors partly cancel.")
sampled.mistake("own-noise", edit=("std * noise", "std * torch.randn_like(noise)"), in_pairs=False,
                hint="You drew fresh noise instead of using the argument. With the noise given, "
                     "the same inputs give the same estimate, and it can be tested.")
sampled.mistake("variance-for-std", edit=("0.5 * log_var", "log_var"),
                hint="exp(log_var) is the variance. Both the samples and the density of q need "
                     "the standard deviation, exp(½ · log_var).")
sampled.mistake("variance-in-sampling", edit=("mean + std *", "mean + log_var.exp() *"),
                hint="The noise is scaled by exp(log_var), the variance; it needs the standard "
                     "deviation, exp(½ · log_var). (Your density is right.)")
sampled.mistake("prior-samples", edit=("mean + std * noise", "noise"),
                hint="The average runs over samples of the prior (the noise itself). KL(q ‖ p) is "
                     "an average over samples of q: z = mean + std · noise.")
sampled.mistake("noise-not-scaled", edit=("std * noise", "noise"),
                hint="The noise was added without the standard deviation: these are samples of "
                     "N(mean, 1), not of q.")
sampled.mistake("mean-forgotten", edit=("latent = mean +", "latent ="),
                hint="The samples are centred at 0: the mean was not added.")
sampled.mistake("log-std-dropped",
                edit=("torch.distributions.Normal(mean, std).log_prob(latent)",
                      "torch.distributions.Normal(mean, std).log_prob(latent) + std.log()"),
                hint="The density of q lacks its normaliser, −log σ: a narrow Gaussian is also a "
                     "high one.")
sampled.mistake("constant-on-one-side",
                edit=("torch.distributions.Normal(mean, std).log_prob(latent)",
                      "torch.distributions.Normal(mean, std).log_prob(latent) + 0.5 * "
                      "math.log(2 * math.pi)"),
                hint="½ log 2π stands in one of the densities only. It cancels if both have it.")
sampled.mistake("prior-dropped", edit=("log_q - log_p", "log_q"),
                hint="Only log q was averaged: that is the negative entropy. The prior's log p(z) "
                     "has to be subtracted.")
sampled.mistake("q-dropped", edit=("log_q - log_p", "-log_p"),
                hint="Only −log p was averaged: that is the cross-entropy. log q(z) belongs there "
                     "too.")
sampled.mistake("weighted-by-q", edit=("(log_q - log_p)", "(log_q.exp() * (log_q - log_p))"),
                hint="Each sample was weighted by q(z) once more. The samples come from q: likely "
                     "places are there more often already. The plain mean is the integral.")
sampled.mistake("absolute", edit=("(log_q - log_p)", "(log_q - log_p).abs()"),
                hint="The absolute value was taken sample by sample. Single samples may be "
                     "negative; it is their average that tends to the KL.")
sampled.mistake("log-of-mean", edit=(".mean(dim=0)", ".exp().mean(dim=0).log()"),
                hint="This is the logarithm of the mean ratio q / p. The KL is the mean of the "
                     "logarithms; by Jensen's inequality the two differ.")
sampled.mistake("clamped-early", edit=("(log_q - log_p)", "(log_q - log_p).clamp(min=0)"),
                hint="Negative samples were cut off at 0. A KL is never negative, its samples "
                     "are: without them the average is too large.")
sampled.mistake("averaged-over-latents", edit=(".sum(dim=2)", ".mean(dim=2)"),
                hint=MEAN_OVER_LATENTS)
sampled.mistake("summed-over-samples", edit=(".mean(dim=0)", ".sum(dim=0)"),
                hint="The samples are summed; they are to be averaged, or the answer grows with S.")
sampled.mistake("averaged-over-images", edit=(".mean(dim=0)", ".mean(dim=1)"),
                hint="You averaged over the images and kept the samples apart. Average the "
                     "samples (axis 0) and keep one number per image.")
sampled.mistake("per-sample", edit=(".mean(dim=0)", ""),
                hint="One number per sample and image came back: average over the samples, axis 0.")
sampled.mistake("first-sample-only", edit=(".mean(dim=0)", "[0]"),
                hint="Only the first sample was used. All S count: the error shrinks as 1/√S.")
sampled.mistake("one-number", edit=(".mean(dim=0)", ".mean()"),
                hint="Samples and images were averaged together. Keep one KL per image.")
sampled.must("noise-used", _same_twice,
             hint="The same call gave two answers: noise is drawn inside. Use the argument; then "
                  "an estimate can be repeated and tested.")
sampled.must("may-be-negative", _may_be_negative,
             hint="An estimate may come out negative by chance, and must be left so: a clamp or "
                  "an absolute value would make it too large on average.")
structure(sampled, 2, _NOISE)
sampled.must("samples-averaged", _samples_are_averaged,
             hint="The answer for S samples is not the plain average of the answers for each "
                  "sample alone.")
sampled.must("far-sample", _survives_far_samples,
             hint="For a sample far out (noise = 20) the answer must stay finite: stay with "
                  "log-densities, since exp(−200) is 0 in single precision, and log 0 is −∞.")
sampled.must("by-hand", lambda f: gives(f, 3.3970, [[2.0]], [[-1.0]], [[[1.0]]]),
             hint="Try one sample, one dimension: mean 2, log_var −1, noise +1. The sample is z = "
                  "2.607 and the answer 3.397. Work out z, log q(z) and log p(z) by hand and "
                  "compare.")

# --- mutual_information ----------------------------------------------------------------------


def mutual_information(log_q_each):
    log_q = torch.logsumexp(log_q_each, dim=1) - math.log(len(log_q_each))  # (N,): all clouds
    return (log_q_each.diagonal() - log_q).mean()


def _codes_under_every_cloud(g):
    """A code of each of N images, and its log-density under the cloud of each: (N, N)."""
    mean, log_var = draw.normal(g, "B", 2), draw.normal(g, "B", 2) - 2
    latent = mean + (0.5 * log_var).exp() * draw.normal(g, "B", 2)
    squared = (latent[:, None] - mean).square() / log_var.exp()  # (N, N, 2)
    return (-0.5 * (squared + log_var + math.log(2 * math.pi)).sum(dim=2),)


def _own_cloud_left_out(log_q_each):
    count = len(log_q_each)
    others = log_q_each.masked_fill(torch.eye(count, dtype=torch.bool), -torch.inf)
    log_q = torch.logsumexp(others, dim=1) - math.log(max(count - 1, 1))
    return (log_q_each.diagonal() - log_q).mean()


told = Exercise(
    mutual_information,
    inputs=_codes_under_every_cloud,
    returns="a scalar, what a code tells about which of the N images it came from, in nats",
    chapter=4, minutes=8, difficulty=2,
)  # fmt: skip
told.mistake("count-forgotten", edit=(" - math.log(len(log_q_each))", ""),
             hint="The clouds were added up, not averaged. q(z) is their sum divided by N; in "
                  "logarithms, subtract log N.")
told.mistake("count-added", edit=("- math.log(len", "+ math.log(len"),
             hint="log N was added. Dividing by N means subtracting log N.")
told.mistake("mean-of-the-logs",
             edit=("torch.logsumexp(log_q_each, dim=1) - math.log(len(log_q_each))",
                   "log_q_each.mean(dim=1)"),
             hint="The log-densities were averaged. q(z) is the average of the densities; its "
                  "logarithm is taken afterwards.")
told.mistake("wrong-axis", edit=("dim=1", "dim=0"),
             hint="The average ran down the columns, over codes under one cloud. q(z) averages "
                  "the clouds at one code: along a row, axis 1.")
told.mistake("sign", edit=("log_q_each.diagonal() - log_q", "log_q - log_q_each.diagonal()"),
             hint="The sign is wrong: it is the log of the code's own cloud minus the log of all "
                  "clouds.")
told.mistake("any-cloud", edit=("log_q_each.diagonal()", "log_q_each.mean(dim=1)"),
             hint="The first term averages over all clouds. It belongs to the cloud that the code "
                  "was drawn from: row n, column n, the diagonal.")
told.mistake("all-clouds-dropped", edit=(" - log_q)", ")"),
             hint="Only the density under the own cloud was averaged. log q(z), all clouds "
                  "together, has to be subtracted.")
told.mistake("own-cloud-left-out", function=_own_cloud_left_out,
             hint="q(z) was averaged over the other clouds only. A code's own cloud is one of the "
                  "N.")
told.mistake("summed", edit=(").mean()", ").sum()"),
             hint="The images were added up. The information is an average over the N images.")
told.must("log-n-at-most", lambda f: gives(f, math.log(3), (100 * torch.eye(3) - 100).tolist()),
          hint="Three clouds that don't touch tell exactly which image it was: log 3 = 1.099 "
               "nats.")
told.must("nothing-told", lambda f: gives(f, 0.0, [[-1.0, -1.0], [-2.0, -2.0]]),
          hint="If all clouds are the same, the code tells nothing: 0 nats.")
told.must("far-out", lambda f: gives(f, math.log(2), [[-300.0, -500.0], [-500.0, -300.0]]),
          hint="At log-densities of −300 the answer must stay finite: exp(−300) is 0 in single "
               "precision. torch.logsumexp never leaves the logarithms.")

# --- effective_beta --------------------------------------------------------------------------


def effective_beta(reconstruction, kl, pixels, latent_dim, batch_size):
    def weight(reduction, values_per_image):  # of a per-image sum, averaged over the batch
        return {"sum": batch_size, "batchmean": 1, "mean": 1 / values_per_image}[reduction]

    return weight(kl, latent_dim) / weight(reconstruction, pixels)


_REDUCTIONS = ("sum", "batchmean", "mean")


def _reductions_and_sizes(g):
    # Nine cases with consecutive seeds: every pair of reductions comes up once.
    index = g.initial_seed() % 9
    latent_dim, batch_size, pixels = sorted(draw.sizes(g, count=3, low=3, high=60))
    return _REDUCTIONS[index // 3], _REDUCTIONS[index % 3], pixels, latent_dim, batch_size


def _beta_is(expected, *names, sizes=(784, 20, 128)):
    return lambda function: math.isclose(function(*names, *sizes), expected, rel_tol=1e-3)


def _right_for_other_sizes(function):
    pairs = {("mean", "mean"): 61.44, ("batchmean", "sum"): 64, ("batchmean", "mean"): 0.02}
    sizes = (3072, 50, 64)
    return all(_beta_is(beta, *names, sizes=sizes)(function) for names, beta in pairs.items())


def _always_one(reconstruction, kl, pixels, latent_dim, batch_size):
    return 1.0


def _equal_names_cancel(reconstruction, kl, pixels, latent_dim, batch_size):
    right = effective_beta(reconstruction, kl, pixels, latent_dim, batch_size)
    return 1.0 if reconstruction == kl else right


beta = Exercise(
    effective_beta,
    inputs=_reductions_and_sizes,
    returns="a float, how much the KL counts against the reconstruction, both as per-image sums",
    chapter=4, minutes=12, difficulty=2, cases=9,
)  # fmt: skip
beta.mistake("inverted",
             edit=("weight(kl, latent_dim) / weight(reconstruction, pixels)",
                   "weight(reconstruction, pixels) / weight(kl, latent_dim)"),
             hint="This is 1/β, the reconstruction's weight against the KL. β stands before the "
                  "KL.")
beta.mistake("equal-names-cancel", function=_equal_names_cancel,
             hint='The same word on both terms does not mean β = 1: the two "mean"s divide by '
                  "different counts, pixels here and latents there.")
beta.mistake("always-one", function=_always_one,
             hint="β is 1 only if both terms are per-image sums, averaged (or summed) over the "
                  "batch in the same way. Each reduction hides a weight.")
beta.mistake("batch-forgotten", edit=('"sum": batch_size', '"sum": 1'),
             hint='"sum" adds up all images of the batch too, so against "batchmean" it weighs '
                  "batch_size times as much.")
beta.mistake("mean-as-batchmean", edit=('"mean": 1 / values_per_image', '"mean": 1'),
             hint='"mean" was taken as an average over images only. It also divides by the number '
                  "of values in each image: pixels, or latents.")
beta.mistake("batchmean-as-mean", edit=('"batchmean": 1', '"batchmean": 1 / values_per_image'),
             hint='"batchmean" sums over the values of an image and averages over images only: it '
                  "does not divide by pixels or latents.")
beta.mistake("batchmean-as-sum", edit=('"batchmean": 1', '"batchmean": batch_size'),
             hint='"batchmean" divides by the number of images, "sum" does not.')
beta.mistake("mean-forgets-batch", edit=('"mean": 1', '"mean": batch_size'),
             hint='"mean" divides by the batch size as well, like "batchmean": it averages over '
                  "all values of all images.")
beta.mistake("mean-divides-twice",
             edit=('"mean": 1 / values_per_image', '"mean": 1 / (values_per_image * batch_size)'),
             hint='"mean" was divided by the batch size once too often: relative to "batchmean", '
                  "which has that division already, only the values of an image are left.")
beta.mistake("mean-taken-as-one", edit=("}[reduction]", "}[reduction] * values_per_image"),
             hint='"mean" got the weight 1 in both terms. Then the two terms have different '
                  "yardsticks (a pixel here, a latent there). Measure both against the per-image "
                  "sum.")
beta.mistake("sizes-swapped",
             edit=[("weight(kl, latent_dim)", "weight(kl, pixels)"),
                   ("weight(reconstruction, pixels)", "weight(reconstruction, latent_dim)")],
             hint="pixels and latent_dim are exchanged: the reconstruction is a sum over pixels, "
                  "the KL over latents.")
beta.mistake("pixels-for-both", edit=("weight(kl, latent_dim)", "weight(kl, pixels)"),
             hint="The KL was divided by the number of pixels. It has one term per latent "
                  "dimension.")
beta.mistake("kl-ignored", edit=("weight(kl, latent_dim)", "1"),
             hint="Only the reconstruction's reduction was used; the KL's rescales it as well.")
beta.mistake("reconstruction-ignored", edit=(" / weight(reconstruction, pixels)", ""),
             hint="Only the KL's reduction was used. Making the reconstruction smaller is the "
                  "same as making the KL larger.")
beta.mistake("multiplied", edit=("/ weight", "* weight"),
             hint="The two weights are multiplied; β is the KL's weight divided by the "
                  "reconstruction's.")
beta.mistake("whole-number", edit=("/ weight", "// weight"),
             hint="`//` throws the remainder away: a β of 1/20 would become 0.")
beta.must("sum-sum", _beta_is(1, "sum", "sum"),
          hint="Both terms summed over everything is the per-image ELBO times the batch size: β "
               "is 1.")
beta.must("mean-mean", _beta_is(39.2, "mean", "mean"),
          hint="Both losses averaged over everything, 784 pixels and 20 latents: β is 39.2. What "
               'does each "mean" divide by?')
beta.must("sum-of-a-batch", _beta_is(128, "batchmean", "sum"),
          hint='Reconstruction per image, KL summed over a batch of 128: β is 128. "sum" adds up '
               "the images too.")
beta.must("mean-of-the-kl", _beta_is(0.05, "batchmean", "mean"),
          hint="Reconstruction per image, KL averaged over everything, 20 latents: β is 0.05.")
beta.must("other-sizes", _right_for_other_sizes,
          hint="It is right for 784 pixels, 20 latents and a batch of 128, and wrong for 3,072, "
               "50 and 64: is a size written into the function?")
