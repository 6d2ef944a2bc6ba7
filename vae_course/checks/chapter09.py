r"""Exercises of notebook 09: your own data, and what is wrong with it."""

import math

import torch

from . import draw
from .definition import Exercise
from .properties import HALF, SHAPES, gives, stand_alone
from .values import close

# --- gaussian_nll ----------------------------------------------------------------------------


def gaussian_nll(mean, log_var, image):
    squared = (image - mean).square() / log_var.exp()  # in units of σ
    per_value = 0.5 * (squared + log_var + math.log(2 * math.pi))
    return per_value.flatten(start_dim=1).sum(dim=1)  # (B,)


_KINDS = (("P",), (1, "H", "W"), (3, "H", "W"))  # flat, grey, in colour


def _means_and_images(g):
    shape = ("B", *_KINDS[g.initial_seed() % 3])
    image = draw.pixels(g, *shape)
    mean = image + draw.normal(g, *shape, scale=0.8)
    return mean, draw.normal(g, *shape, scale=0.9) - 0.5, image


def _constant_once(mean, log_var, image):
    pixels = image[0].numel()
    constant = 0.5 * math.log(2 * math.pi)
    return gaussian_nll(mean, log_var, image) - (pixels - 1) * constant


def _half_log_squared(mean, log_var, image):
    return (image - mean).square().flatten(start_dim=1).sum(dim=1)


def _three(*shape, seed=7):
    return tuple(draw.fixed(*shape, seed=seed + i) for i in range(3))


def _narrow(function):
    zeros = torch.zeros(2, 3)
    return close(function(zeros, zeros - 30, zeros), [3 * 0.5 * (math.log(2 * math.pi) - 30)] * 2)


likelihood = Exercise(
    gaussian_nll,
    inputs=_means_and_images,
    returns="(B,), −log N(image; mean, σ²) of each image with log_var = log σ², summed over its "
    "values, the constant included, in nats; differentiable",
    gradient=("mean", "log_var"),
    chapter=9, minutes=10, difficulty=2,
)  # fmt: skip
likelihood.mistake("sign", edit=("return per", "return -per"),
                   hint="This is the log-likelihood. The *negative* log-likelihood is asked: a "
                        "loss, which falls as the fit gets better.")
likelihood.mistake("half-missing", edit=("0.5 * (", "("), hint=HALF)
likelihood.mistake("half-on-the-square-only",
                   edit=("0.5 * (squared + log_var + math.log(2 * math.pi))",
                         "0.5 * squared + log_var + math.log(2 * math.pi)"),
                   hint="Only the square is halved. log σ = ½ · log_var and log √(2π) = "
                        "½ · log 2π have their ½ too: look at where your brackets close.")
likelihood.mistake("constant-dropped", edit=(" + math.log(2 * math.pi)", ""),
                   hint="The constant ½ · log 2π of each value is missing. It changes no gradient, "
                        "but without it the number is not in nats that can be compared.")
likelihood.mistake("constant-once", function=_constant_once,
                   hint="½ · log 2π was counted once an image. Every value of the image has its "
                        "own Gaussian, so every value brings one.")
likelihood.mistake("pi-for-two-pi", edit=("2 * math.pi", "math.pi"),
                   hint="The constant is ½ · log(2π); the 2 is missing.")
likelihood.mistake("std-for-variance", edit=("log_var.exp()", "(0.5 * log_var).exp()"),
                   hint="exp(½ · log_var) is σ. The squared difference is divided by σ² = "
                        "exp(log_var).")
likelihood.mistake("variance-squared", edit=("log_var.exp()", "(2 * log_var).exp()"),
                   hint="exp(log_var) is the variance already, and you squared it.")
likelihood.mistake("log-var-as-log-std",
                   edit=[("log_var.exp()", "(2 * log_var).exp()"),
                         ("+ log_var +", "+ 2 * log_var +")],
                   hint="You read log_var as log σ. It is log σ², as in the sampling layer and in "
                        "the KL.")
likelihood.mistake("not-exponentiated", edit=("log_var.exp()", "log_var"),
                   hint="You divided by log_var itself. The variance is its exponential.")
likelihood.mistake("log-term-dropped", edit=("squared + log_var +", "squared +"),
                   hint="log σ² is missing. With it gone a network makes σ as large as it can, and "
                        "every error costs nothing.")
likelihood.mistake("log-term-subtracted", edit=("squared + log_var +", "squared - log_var +"),
                   hint="log σ² has the wrong sign: a wide Gaussian spreads its probability thin, "
                        "so it must *cost* something.")
likelihood.mistake("log-term-halved", edit=("squared + log_var +", "squared + 0.5 * log_var +"),
                   hint="log_var is halved twice: the bracket has its ½ in front already.")
likelihood.mistake("variance-ignored", edit=(" / log_var.exp()", ""),
                   hint="The squared difference was not divided by σ². An error of one σ costs "
                        "half a nat, however large σ is.")
likelihood.mistake("multiplied", edit=(" / log_var.exp()", " * log_var.exp()"),
                   hint="You multiplied by σ². The wider the Gaussian, the *less* the same error "
                        "costs: divide.")
likelihood.mistake("not-squared", edit=(".square()", ""),
                   hint="The difference is not squared: too dark would earn what too bright costs.")
likelihood.mistake("absolute", edit=(".square()", ".abs()"),
                   hint="You took the absolute difference. A Gaussian has the squared one.")
likelihood.mistake("squared-error-alone", function=_half_log_squared,
                   hint="This is the sum of squared errors. It becomes a likelihood when it is "
                        "told its unit, σ: ½ (x − μ)² / σ² + ½ log σ² + ½ log 2π.")
likelihood.mistake("per-value", edit=(".flatten(start_dim=1).sum(dim=1)", ""),
                   hint="One number for each value came back. Independent values add up: one "
                        "number an image.")
likelihood.mistake("averaged-over-values", edit=(".sum(dim=1)", ".mean(dim=1)"),
                   hint="You averaged over the values of an image. Independent ones add up; with "
                        "an average the KL weighs as many times too much as there are values.")
likelihood.mistake("summed-over-images", edit=(".flatten(start_dim=1).sum(dim=1)", ".sum()"),
                   hint="The whole batch was added up. Keep one number an image; the training step "
                        "averages.")
likelihood.mistake("averaged-over-images-too", edit=(".sum(dim=1)", ".sum(dim=1).mean()"),
                   hint="The images were averaged too. Return one number an image; the average "
                        "belongs in the training step, where it can be seen.")
likelihood.must("one-image",
                lambda f: all(f(*_three(1, *shape)).shape == (1,) for shape in SHAPES),
                hint="A batch of one image must give shape (1,), whatever the image's own shape.")
likelihood.must("at-the-mean", lambda f: gives(f, 0.918939, [[2.0]], [[0.0]], [[2.0]]),
                hint="One value that is its mean, with σ = 1, costs ½ log 2π = 0.919 nats.")
likelihood.must("one-sigma-off", lambda f: gives(f, 2.112086, [[5.0]], [[1.386294]], [[3.0]]),
                hint="One value that lies one σ = 2 from its mean (log_var = 1.386) costs "
                     "½ + log 2 + ½ log 2π = 2.112 nats.")
likelihood.must("small-variance", _narrow,
                hint="At log_var = −30 the answer is off: a clamp, or a small constant added to "
                     "the variance, changed it. log_var needs neither.")
likelihood.must("stands-alone", lambda f: stand_alone(f, *_three(4, 2, 3)),
                hint="The answer for an image changes with the other images in the batch. Each "
                     "stands alone.")

# --- standardize -----------------------------------------------------------------------------


def standardize(table, mean, std):
    scale = torch.where(std > 0, std, 1.0)  # a column that never varied is centred only
    return (table - mean) / scale


def _table_and_statistics(g):
    rows, columns = draw.size(g, "N"), draw.size(g, "F")
    mean, std = draw.normal(g, columns, scale=5.0), 0.3 + 4 * torch.rand(columns, generator=g)
    still = draw.integer(g, 0, columns - 1)
    std[still - 1] = draw.number(g, 0.3, 0.7)  # always a column whose std is below 1
    table = mean + 0.7 + 1.3 * std * draw.normal(g, rows, columns)  # other rows, another mean
    std[still] = 0.0  # constant in the training rows, and once not in these
    table[:, still] = mean[still]
    table[draw.integer(g, 0, rows - 1), still] += 2.0
    return table, mean, std


def _own_statistics(table, mean, std):
    return standardize(table, table.mean(dim=0), table.std(dim=0) * (std > 0))


def _own_mean(table, mean, std):
    return standardize(table, table.mean(dim=0), std)


def _rows_standardised(table, mean, std):
    return (table - table.mean(dim=1, keepdim=True)) / table.std(dim=1, keepdim=True)


def _to_unit_range(table, mean, std):
    low, high = table.min(dim=0).values, table.max(dim=0).values
    return (table - low) / (high - low)


def _one_for_all(table, mean, std):
    return (table - mean.mean()) / std.mean()


def _example(value, mean, std):
    return torch.tensor([[value]]), torch.tensor([mean]), torch.tensor([std])


scaled = Exercise(
    standardize,
    inputs=_table_and_statistics,
    returns="(N, F): every column minus its mean, divided by its std; a column whose std is 0 is "
    "centred only",
    chapter=9, minutes=5, difficulty=1,
)  # fmt: skip
scaled.mistake("divided-by-zero", edit=("torch.where(std > 0, std, 1.0)", "std"),
               hint="A column that is constant in the training rows has std 0, and 0/0 is NaN, 1/0 "
                    "infinite. Divide such a column by 1 instead.")
scaled.mistake("tiny-divisor", edit=("torch.where(std > 0, std, 1.0)", "std.clamp(min=1e-8)"),
               hint="Where std is 0 you divide by a tiny number. It looks harmless until a new row "
                    "moves in that column: then its value is a hundred million. Divide by 1 there.")
scaled.mistake("raised-to-one", edit=("torch.where(std > 0, std, 1.0)", "std.clamp(min=1.0)"),
               hint="Every std below 1 was raised to 1: columns with small numbers keep their "
                    "small spread. Divide by 1 only where std is 0.")
scaled.mistake("constant-set-to-zero", edit=("return (table - mean) / scale",
                                             "return (table - mean) / scale * (std > 0)"),
               hint="Constant columns became 0 everywhere. Centre them only: a row that differs "
                    "there should still differ.")
scaled.mistake("constant-left-out", edit=("return (table - mean) / scale",
                                          "return ((table - mean) / scale)[:, std > 0]"),
               hint="Columns are missing: the constant ones were left out. (N, F) is asked, so "
                    "that the table can be put back together.")
scaled.mistake("constant-not-centred", edit=("(table - mean)",
                                             "(table - torch.where(std > 0, mean, 0.0))"),
               hint="Columns with std 0 were not centred. They are divided by 1, but their mean "
                    "comes off like that of the others.")
scaled.mistake("own-statistics", function=_own_statistics,
               hint="You took mean and std of *this* table. They come from the training rows and "
                    "are given: new rows must be measured by the same yardstick.")
scaled.mistake("own-mean", function=_own_mean,
               hint="The mean of this table was taken off, not the given one of the training "
                    "rows: a shift of all new rows would go unseen.")
scaled.mistake("not-centred", edit=("(table - mean)", "table"),
               hint="The mean was not taken off.")
scaled.mistake("not-scaled", edit=(" / scale", ""),
               hint="The columns are centred but not divided by their std: a column in grams "
                    "would still count a million times one in tonnes.")
scaled.mistake("variance", edit=(" / scale", " / scale.square()"),
               hint="You divided by the variance. Divided by the standard deviation, a column has "
                    "spread 1.")
scaled.mistake("root", edit=(" / scale", " / scale.sqrt()"),
               hint="std was taken for a variance: it is the root already.")
scaled.mistake("multiplied", edit=(" / scale", " * scale"),
               hint="You multiplied by the std: wide columns became wider still.")
scaled.mistake("mean-added", edit=("table - mean", "table + mean"),
               hint="The mean was added. It comes off.")
scaled.mistake("brackets", edit=("(table - mean) / scale", "table - mean / scale"),
               hint="Only the mean was divided: the difference needs brackets.")
scaled.mistake("restored", edit=("(table - mean) / scale", "table * scale + mean"),
               hint="This is the way back, from standardised values to the table's own units.")
scaled.mistake("rows", function=_rows_standardised,
               hint="You standardised the rows. Each *column* is measured in a unit of its own.")
scaled.mistake("unit-range", function=_to_unit_range,
               hint="This brings each column to [0, 1] by its smallest and largest value. Mean 0 "
                    "and spread 1 are asked.")
scaled.mistake("one-for-all", function=_one_for_all,
               hint="One mean and one std for the whole table: each column has its own.")
scaled.mistake("one-std-for-all", edit=(" / scale", " / std.mean()"),
               hint="One std, the average, was used for the whole table: each column has its own.")
scaled.must("by-hand", lambda f: gives(lambda *a: f(*a), 2.0, [[11.0]], [5.0], [3.0]),
            hint="A value of 11 in a column with mean 5 and std 3 is 2 standard deviations up.")
scaled.must("constant-column", lambda f: close(f(*_example(7.0, 7.0, 0.0)), [[0.0]]),
            hint="A column with mean 7 and std 0 that holds a 7 gives 0, not NaN.")
scaled.must("constant-column-moves", lambda f: close(f(*_example(9.0, 7.0, 0.0)), [[2.0]]),
            hint="In a column with mean 7 and std 0 a new value of 9 gives 2: centred, divided "
                 "by 1.")

# --- audit -----------------------------------------------------------------------------------


def audit(loss_value, reconstruction, kl):
    one = torch.ones_like(kl)
    terms = torch.stack([reconstruction, kl, one], dim=1).double()  # (M, 3)
    weight = torch.linalg.lstsq(terms, loss_value[:, None].double()).solution  # (3, 1)
    return float(weight[1] / weight[0])  # of the KL, against that of the reconstruction


def _probes(g):
    probes = draw.integer(g, 5, 9)
    reconstruction = 100 + draw.normal(g, probes, scale=25.0)
    kl = 5 + 30 * torch.rand(probes, generator=g)
    beta, scale = math.exp(draw.number(g, -2, 3)), math.exp(draw.number(g, -4, 2))
    constant = draw.number(g, 5, 30)
    return scale * (reconstruction + beta * kl + constant), reconstruction, kl


def _scale_taken_as_one(loss_value, reconstruction, kl):
    return float(((loss_value - reconstruction) / kl).mean())


def _of_the_means(loss_value, reconstruction, kl):
    return float((loss_value.mean() - reconstruction.mean()) / kl.mean())


def _kl_alone(loss_value, reconstruction, kl):
    loss, kl = loss_value - loss_value.mean(), kl - kl.mean()
    return float((loss * kl).sum() / kl.square().sum())


def _quotient(loss_value, reconstruction, kl):
    return float((loss_value / (reconstruction + kl)).mean())


def _two_slopes(loss_value, reconstruction, kl):
    slope = _kl_alone(loss_value, reconstruction, kl)
    return slope / _kl_alone(loss_value, kl, reconstruction)


def _ratio_of_sizes(loss_value, reconstruction, kl):
    return float(kl.mean() / reconstruction.mean())


def _world(beta, scale=1.0, constant=0.0):
    r"""Six probes of a loss with this β: (loss_value, reconstruction, kl)."""
    reconstruction = torch.tensor([90.0, 110.0, 100.0, 140.0, 75.0, 95.0])
    kl = torch.tensor([12.0, 8.0, 25.0, 17.0, 30.0, 5.0])
    return scale * (reconstruction + beta * kl + constant), reconstruction, kl


def _reads(beta, **options):
    return lambda f: math.isclose(float(f(*_world(beta, **options))), beta, rel_tol=5e-3,
                                  abs_tol=5e-3)  # fmt: skip


audited = Exercise(
    audit,
    inputs=_probes,
    returns="a float: the β of loss = scale · (reconstruction + β · kl + constant), with scale and "
            "constant unknown",
    chapter=9, minutes=15, difficulty=3, rtol=5e-3,
)  # fmt: skip
audited.mistake("inverted", edit=("weight[1] / weight[0]", "weight[0] / weight[1]"),
                hint="This is 1/β, the reconstruction's weight against the KL's.")
audited.mistake("weight-of-the-kl", edit=("weight[1] / weight[0]", "weight[1]"),
                hint="This is the KL's weight in the loss as it stands. Divide by the weight of "
                     "the reconstruction: a loss that is averaged over pixels has both of them "
                     "small.")
audited.mistake("weight-of-the-reconstruction", edit=("weight[1] / weight[0]", "weight[0]"),
                hint="This is the reconstruction's weight, the loss's own scale. β is the KL's "
                     "weight divided by it.")
audited.mistake("no-constant", edit=("[reconstruction, kl, one]", "[reconstruction, kl]"),
                hint="The constant has no column in your fit, so the two weights bend to make up "
                     "for it. Add a column of ones.")
audited.mistake("constant-taken", edit=("weight[1] / weight[0]", "weight[2] / weight[0]"),
                hint="This is the constant, not the KL's weight.")
audited.mistake("constant-for-the-scale", edit=("weight[1] / weight[0]", "weight[1] / weight[2]"),
                hint="You divided by the constant's weight. The reconstruction's is the yardstick.")
audited.mistake("share", edit=("weight[1] / weight[0]", "weight[1] / (weight[0] + weight[1])"),
                hint="This is the KL's share of the two weights. β is the quotient of the two.")
audited.mistake("product", edit=("weight[1] / weight[0]", "weight[1] * weight[0]"),
                hint="The two weights were multiplied; divide them.")
audited.mistake("scale-taken-as-one", function=_scale_taken_as_one,
                hint="(loss − reconstruction) / kl assumes that the reconstruction enters with "
                     "weight 1. A loss that averages over pixels does not: find both weights.")
audited.mistake("of-the-means", function=_of_the_means,
                hint="One equation, from the averages, can't tell three unknowns apart: the scale, "
                     "β and the constant. Use that the probes differ.")
audited.mistake("kl-alone", function=_kl_alone,
                hint="You fitted the loss by the KL alone. The reconstruction moves too from probe "
                     "to probe, and its part ends up in your slope: fit both at once.")
audited.mistake("two-slopes", function=_two_slopes,
                hint="You fitted the two slopes one after the other. Reconstruction and KL move "
                     "together from probe to probe, so fit both in one least squares.")
audited.mistake("quotient", function=_quotient,
                hint="loss / (reconstruction + kl) is the loss's scale if β were 1. β itself is "
                     "asked.")
audited.mistake("size-of-the-terms", function=_ratio_of_sizes,
                hint="That is how large the KL is against the reconstruction. β is how much each "
                     "nat *counts*; the loss was not used at all.")
audited.must("plain-elbo", _reads(1.0),
             hint="For loss = reconstruction + kl the answer is 1.")
audited.must("scaled-elbo", _reads(1.0, scale=1 / 784),
             hint="The same loss divided by 784 has the same β, 1: its own scale must not matter.")
audited.must("no-kl", _reads(0.0, constant=10.0),
             hint="For loss = reconstruction + 10, in which no KL is, the answer is 0.")
audited.must("constant", _reads(4.0, constant=20.0),
             hint="For loss = reconstruction + 4 · kl + 20 the answer is 4: a constant changes "
                  "nothing.")
