r"""Exercises of notebook 03: reparameterization."""

import math
from functools import partial

import torch

from . import _draw as draw
from ._exercise import Exercise, Mistake, Property
from ._sampling import EXPLAIN_ESTIMATOR, EXPLAIN_SAMPLING, observe_estimator, observe_sampling

# --- reparameterize --------------------------------------------------------------------------


def reparameterize(mean, log_var):
    std = torch.exp(0.5 * log_var)  # (B, D): log σ² / 2 = log σ
    noise = torch.randn_like(std)  # (B, D): a fresh number for every image and dimension
    return mean + std * noise  # (B, D): noise is a constant, the gradient flows around it


def _sampling_case(generator):
    batch, latent_dim = draw.sizes(generator, count=2, low=3, high=5)
    mean = draw.normal(generator, batch, latent_dim, scale=2.0)
    return mean, torch.rand(batch, latent_dim, generator=generator) * 3.5 - 2.5


def _sampling_slipped(slips, mean, log_var):
    if "fixed-seed" in slips:
        torch.default_generator.manual_seed(0)
    if "variance-for-std" in slips:
        std = log_var.exp()
    elif "log-var-for-std" in slips:
        std = log_var
    elif "half-outside-exp" in slips:
        std = 0.5 * log_var.exp()
    elif "sign-in-exp" in slips:
        std = torch.exp(-0.5 * log_var)
    elif "softplus" in slips:
        std = torch.nn.functional.softplus(log_var)
    elif "root-of-log-var" in slips:
        std = log_var.sqrt()
    elif "spread-ignored" in slips:
        std = torch.ones_like(log_var)
    else:
        std = torch.exp(0.5 * log_var)
    if "no-noise" in slips:
        return mean * 1.0
    if "one-for-noise" in slips:
        return mean + std
    if "uniform-noise" in slips:
        noise = torch.rand_like(std)
    elif "noise-shared-by-batch" in slips:
        noise = torch.randn(1, std.shape[1])
    elif "noise-shared-by-dimensions" in slips:
        noise = torch.randn(std.shape[0], 1)
    elif "one-number-of-noise" in slips:
        noise = torch.randn(1)
    else:
        noise = torch.randn_like(std)
    std = std.detach() if "std-cut" in slips else std
    mean = mean.detach() if "mean-cut" in slips else mean
    centre = torch.zeros_like(mean) if "mean-left-out" in slips else mean
    sample = std * (centre + noise) if "mean-scaled-too" in slips else centre + std * noise
    if "torch-normal" in slips:
        return sample.detach() + 0 * (mean + std)
    return sample.detach() if "gradient-cut" in slips else sample


def _at(function, log_var):
    return function(torch.ones(3, 2), torch.full((3, 2), log_var))


REPARAMETERIZE = Exercise(
    name="reparameterize",
    chapter=3,
    minutes=5,
    difficulty=1,
    returns="(B, D), one sample of N(mean, exp(log_var)) for each image, differentiable in both",
    reference=reparameterize,
    case=_sampling_case,
    slipped=_sampling_slipped,
    observe=observe_sampling,
    explain=EXPLAIN_SAMPLING,
    cases=3,
    rtol=0.25,
    atol=0.1,
    mistakes=(
        Mistake("variance-for-std", "exp(log_var) is the variance σ², and you used it as the "
                "standard deviation σ. Noise is multiplied by σ: narrow posteriors come out far "
                "too narrow, wide ones too wide."),
        Mistake("log-var-for-std", "log_var itself was used as the standard deviation. It is a "
                "logarithm, negative for every σ below 1: undo the log first."),
        Mistake("half-outside-exp", "This is ½·exp(log_var), half the variance. The ½ is the power "
                "of a square root: it belongs inside the exp."),
        Mistake("sign-in-exp", "The exponent has the wrong sign: your samples are wide where the "
                "posterior is narrow. exp(−½·log_var) is 1/σ."),
        Mistake("softplus", "softplus turned log_var into a positive number, but not into σ. Which "
                "function undoes a logarithm?"),
        Mistake("root-of-log-var", "You took the root of log_var, which is NaN wherever log_var is "
                "negative. Undo the logarithm before you take the root."),
        Mistake("spread-ignored", "The noise was added with spread 1: log_var plays no part."),
        Mistake("no-noise", "The mean came back, without noise. That is a plain autoencoder: the "
                "decoder never meets the rest of the distribution."),
        Mistake("one-for-noise", "This is mean + std, a fixed point one σ away. The std says how "
                "far the noise reaches; the noise itself is missing."),
        Mistake("uniform-noise", "The noise is uniform on [0, 1): torch.rand. It is never negative "
                "and has the wrong shape; standard normal noise comes from another function."),
        Mistake("noise-shared-by-batch", "All images of the batch got the same noise. Each image "
                "is a die of its own: draw a row for each."),
        Mistake("noise-shared-by-dimensions", "All dimensions of an image got the same noise, so "
                "its samples lie on a diagonal line. Draw one number for each dimension."),
        Mistake("one-number-of-noise", "One single number was drawn for the whole batch. Draw one "
                "for each image and each dimension: noise has the shape (B, D)."),
        Mistake("fixed-seed", "Every call gives the same sample: a seed is set inside the "
                "function. The same noise in every step is no noise; seed once, outside."),
        Mistake("mean-left-out", "The samples scatter around 0: the mean was not added."),
        Mistake("mean-scaled-too", "This is std · (mean + noise): the mean was scaled as well. "
                "Scale the noise first, then shift it."),
        Mistake("std-cut", "The gradient reaches mean but not log_var: σ was detached "
                "(`.detach()`, `.item()`, no_grad around the exp). The encoder could never "
                "learn how sure to be."),
        Mistake("mean-cut", "The gradient reaches log_var but not mean, which was detached. The "
                "encoder could never learn where to put an image."),
        Mistake("gradient-cut", "The samples are right, but no gradient comes back: `.sample()` of "
                "a torch distribution, `.detach()`, NumPy or no_grad cut the graph. Only the noise "
                "may be drawn without gradient; mean and σ must stay in the formula."),
        Mistake("torch-normal", "The samples are right and even say requires_grad=True, but the "
                "gradient that arrives is all zeros: torch.normal(mean, std) is such a draw. Draw "
                "the noise alone, then shift and scale it yourself."),
    ),
    properties=(
        Property("no-spread-left", lambda f: bool((_at(f, -80.0) == 1).all()),
                 "At log_var = −80 nothing of the noise is left: the sample must equal the mean."),
        Property("wide-but-finite", lambda f: bool(_at(f, 60.0).isfinite().all()),
                 "At log_var = 60 the sample is large, but must stay finite."),
    ),
)

# --- pathwise_gradient -----------------------------------------------------------------------


def pathwise_gradient(f, mean, std, noise):
    mean = mean.clone().requires_grad_()  # a fresh leaf: the caller's tensor stays as it is
    latent = mean + std * noise  # (S,): mean is in the formula, so f(latent) knows about it
    (gradient,) = torch.autograd.grad(f(latent).mean(), mean)
    return gradient  # the average of f'(latent) · 1


class _Wave:
    r"""f(z) = a z² + b sin(c z) + d for a tensor of any shape."""

    def __init__(self, generator):
        self.a, self.b, self.c, self.d = (0.5 + torch.rand(4, generator=generator)).tolist()

    def __call__(self, latent):
        return self.a * latent**2 + self.b * torch.sin(self.c * latent) + self.d


def _estimator_case(generator):
    samples = draw.integer(generator, 5, 9)
    mean = 0.5 + torch.rand((), generator=generator)
    std = torch.rand((), generator=generator) * 0.4 + (0.4, 1.4)[draw.integer(generator, 0, 1)]
    noise = draw.normal(generator, samples)
    return _Wave(generator), mean.double(), std.double(), noise.double()


def _pathwise_slipped(slips, f, mean, std, noise):
    mean, std = mean.clone().requires_grad_(), std.clone().requires_grad_()
    drawn = torch.randn_like(noise) if "fresh-noise" in slips else noise
    drawn = drawn[:1] if "one-sample" in slips else drawn
    drawn = drawn.mean() if "averaged-inside" in slips else drawn
    spread = std
    if "std-as-log-var" in slips:
        spread = torch.exp(0.5 * std)
    elif "std-as-variance" in slips:
        spread = std.sqrt()
    elif "std-squared" in slips:
        spread = std.square()
    latent = mean + spread * drawn
    latent = mean + 0 * drawn if "noise-left-out" in slips else latent
    values = f(latent)
    if "value-returned" in slips:
        return values.mean()
    (slopes,) = torch.autograd.grad(values.sum(), latent)  # (S,): f'(z)
    if "gradient-of-std" in slips:
        slopes = slopes * drawn
    if "chain-with-std" in slips:
        slopes = slopes * std.detach()
    if "averaged-twice" in slips:
        slopes = slopes / len(noise)
    if "not-averaged" in slips:
        return slopes
    return slopes.sum() if "summed" in slips else slopes.mean()


def _accumulating(f, mean, std, noise):
    mean.requires_grad_()
    f(mean + std * noise).mean().backward()
    return mean.grad


def _grad_of_no_leaf(f, mean, std, noise):
    mean = mean.clone().requires_grad_() * 1
    f(mean + std * noise).mean().backward()
    return mean.grad


def _backward_from_many(f, mean, std, noise):
    mean = mean.clone().requires_grad_()
    f(mean + std * noise).backward()
    return mean.grad


def _cut_before_f(f, mean, std, noise):
    latent = (mean + std * noise).detach()
    return torch.autograd.grad(f(latent).mean(), mean)[0]


_NOISE_NOT_USED = ("Two calls with the same noise gave different answers: you drew new noise. Use "
                   "the argument: the two estimators are compared on the same draws.")

PATHWISE_GRADIENT = Exercise(
    name="pathwise_gradient",
    chapter=3,
    minutes=10,
    difficulty=2,
    returns="one number, the derivative of the average of f(mean + std·noise) by mean",
    reference=pathwise_gradient,
    case=_estimator_case,
    slipped=_pathwise_slipped,
    observe=partial(observe_estimator, pathwise=True),
    explain=EXPLAIN_ESTIMATOR | {
        "factor_of_each_sample": "f is evaluated at the right places, but the slopes f'(z) enter "
        "with wrong factors (the example shows them). Look at how the slopes are put together.",
    },
    mistakes=(
        Mistake("summed", "The samples were summed: the estimate grows with their number. An "
                "expectation is estimated by an average."),
        Mistake("not-averaged", "One slope per sample came back, (S,). The estimate is one number: "
                "their average."),
        Mistake("averaged-twice", "Divided by the number of samples twice: f(z).mean() "
                "holds the 1/S already, and so does every entry of its gradient by z. The chain "
                "rule adds those entries up."),
        Mistake("value-returned", "This is the average of f(z) itself. Its derivative by mean is "
                "asked for."),
        Mistake("noise-left-out", "f was differentiated at the mean alone: f'(E[z]) is not "
                "E[f'(z)]. The noise has to be in."),
        Mistake("averaged-inside", "The samples were averaged before f saw them. f is not linear: "
                "first f of each sample, then the average."),
        Mistake("one-sample", "Only the first sample was used; average over all S of them."),
        Mistake("gradient-of-std", "This is the derivative by std, which carries a factor noise. "
                "The derivative by mean is asked for: dz/dmean = 1."),
        Mistake("chain-with-std", "There is a factor std too much: that is the derivative by the "
                "noise. z = mean + std·noise moves one to one with mean."),
        Mistake("std-as-log-var", "std was treated as a log-variance (exp of half of it). In this "
                "exercise it is the standard deviation itself."),
        Mistake("std-as-variance", "A root of std was taken, as if it were the variance. It is the "
                "standard deviation already."),
        Mistake("std-squared", "The noise was multiplied by std², the variance. A standard "
                "deviation scales the noise."),
        Mistake("fresh-noise", _NOISE_NOT_USED),
        Mistake("score-function", "This is the score-function estimate: right on average, but much "
                "noisier. Here the gradient goes through f.",
                alone=lambda f, mean, std, noise: (f(mean + std * noise) * noise / std).mean()),
        Mistake("accumulates", "The first call is right, the second one twice as large: "
                ".backward() adds to mean.grad, and you switched on requires_grad on the caller's "
                "own tensor. Work on a fresh copy of mean.", alone=_accumulating),
        Mistake("graph-cut", "f(z) knows nothing of mean: mean does not require a gradient, or "
                "z was detached. Switch requires_grad on first, then compute z from it.",
                alone=_cut_before_f),
        Mistake("backward-from-many", "Differentiation starts from one number, and f(z) holds S of "
                "them: average first.", alone=_backward_from_many),
        Mistake("grad-is-none", "None came back. Either the `return` is missing, or you returned "
                "the .grad of a tensor that was itself computed from others: only a leaf, the "
                "tensor on which requires_grad was switched on, gets a .grad.",
                alone=_grad_of_no_leaf),
    ),
    properties=(
        Property("linear", lambda f: abs(float(f(lambda z: 3 * z, *_arguments())) - 3) < 1e-4,
                 "For f(z) = 3z every sample's slope is 3, whatever the noise."),
        Property("caller-unchanged", lambda f: _leaves_mean_alone(f),
                 "After the call the caller's mean requires a gradient or carries a .grad: work on "
                 "a copy of it."),
    ),
)


def _arguments():
    return [torch.tensor(x, dtype=torch.float64) for x in (0.7, 0.5, [0.3, -1.1, 2.0])]


def _leaves_mean_alone(function) -> bool:
    mean, std, noise = _arguments()
    function(torch.sin, mean, std, noise)
    return not mean.requires_grad and mean.grad is None


# --- score_function_gradient -----------------------------------------------------------------


def score_function_gradient(f, mean, std, noise):
    latent = mean + std * noise  # (S,)
    score = (latent - mean) / std**2  # (S,): d/dmean of log N(latent; mean, std²)
    return (f(latent) * score).mean()  # f is only evaluated, never differentiated


def _score_slipped(slips, f, mean, std, noise):
    drawn = torch.randn_like(noise) if "fresh-noise" in slips else noise
    spread = std
    if "std-as-log-var" in slips:
        spread = torch.exp(0.5 * std)
    elif "std-as-variance" in slips:
        spread = std.sqrt()
    latent = mean + spread * drawn
    if "f-of-noise" in slips:
        values = f(drawn)
    elif "f-at-mean" in slips:
        values = f(mean).expand_as(drawn)
    elif "f-left-out" in slips:
        values = torch.ones_like(drawn)
    else:
        values = f(latent)
    if "baseline" in slips:
        values = values - values.mean()
    power = 1 if "not-divided" in slips else 3 if "divided-by-std-again" in slips else 2
    power = 0 if "deviation-for-score" in slips else power
    score = (latent - mean) / spread**power
    log_density = -0.5 * ((latent - mean) / spread) ** 2 - torch.log(spread * math.tau**0.5)
    if "score-of-std" in slips:
        score = (drawn**2 - 1) / spread
    if "log-prob-for-score" in slips:
        score = log_density
    if "gradient-of-the-density" in slips:
        score = score * log_density.exp()
    score = -score if "sign" in slips else score
    if "product-of-averages" in slips:
        return values.mean() * score.mean()
    if "not-averaged" in slips:
        return values * score
    return (values * score).sum() if "summed" in slips else (values * score).mean()


def _latent_in_graph(f, mean, std, noise):
    mean = mean.clone().requires_grad_()
    latent = mean + std * noise
    surrogate = f(latent) * torch.distributions.Normal(mean, std).log_prob(latent)
    return torch.autograd.grad(surrogate.mean(), mean)[0]


def _constant_log_prob(f, mean, std, noise):
    mean = mean.clone().requires_grad_()
    latent = mean + std * noise
    surrogate = f(latent.detach()) * torch.distributions.Normal(mean, std).log_prob(latent)
    return torch.autograd.grad(surrogate.mean(), mean)[0]


SCORE_FUNCTION_GRADIENT = Exercise(
    name="score_function_gradient",
    chapter=3,
    minutes=10,
    difficulty=2,
    returns="one number, the average of f(z) times the score of z, with z = mean + std·noise",
    reference=score_function_gradient,
    case=_estimator_case,
    slipped=_score_slipped,
    observe=partial(observe_estimator, pathwise=False),
    explain=EXPLAIN_ESTIMATOR | {
        "factor_of_each_sample": "f is evaluated at the right places, but its values enter with "
        "wrong factors (the example shows them). Each f(z) is weighed with the score of its own z, "
        "d/dmean of log N(z; mean, std²), and then they are averaged.",
    },
    mistakes=(
        Mistake("not-divided", "A factor std is missing below: f(z)·noise. Differentiate "
                "log N(z; mean, std²) by mean once more, with care for the std²."),
        Mistake("divided-by-std-again", "Divided by std once too often. noise is (z − mean) / std, "
                "so it needs one more division; z − mean needs two."),
        Mistake("deviation-for-score", "f(z) was multiplied by z − mean. The score is the "
                "derivative of log N(z; mean, std²) by mean; the variance stands below."),
        Mistake("sign", "The score has the wrong sign. Where z lies above the mean, moving "
                "the mean up makes z more likely."),
        Mistake("summed", "The samples were summed: the estimate grows with their number. "
                "An expectation is estimated by an average."),
        Mistake("not-averaged", "One number per sample came back, (S,). The estimate is their "
                "average."),
        Mistake("f-of-noise", "f was evaluated at the noise. It belongs to the sample, "
                "z = mean + std·noise."),
        Mistake("f-at-mean", "f was evaluated at the mean. Then it is a constant, and the "
                "estimate is 0 on average: it learns nothing about f."),
        Mistake("f-left-out", "This is the average score alone, which is 0 in expectation. "
                "Weigh each score with its f(z)."),
        Mistake("product-of-averages", "You multiplied two averages. What is wanted is the average "
                "of the products: which f(z) goes with which score is the whole signal."),
        Mistake("baseline", "The average of f was subtracted: a baseline. A good idea, and the "
                "notebook comes to it; but measured on the same samples it shifts the estimate by "
                "1/S of itself. The plain estimator is asked for here."),
        Mistake("log-prob-for-score", "f(z) was multiplied by log N(z), not by its derivative: the "
                "score is what is left after differentiating by mean."),
        Mistake("gradient-of-the-density", "This weighs with the gradient of the density, not of "
                "its logarithm. The samples are drawn from N already, so its factor must not come "
                "in a second time."),
        Mistake("score-of-std", "This is the score of std, (noise² − 1)/std: the derivative by the "
                "spread. The derivative by mean is asked for."),
        Mistake("std-as-log-var", "std was treated as a log-variance (exp of half of it). In this "
                "exercise it is the standard deviation itself."),
        Mistake("std-as-variance", "A root of std was taken, as if it were the variance. It is the "
                "standard deviation already."),
        Mistake("fresh-noise", _NOISE_NOT_USED),
        Mistake("differentiates-f", "This is the pathwise estimate: f was differentiated. The "
                "point of the score function is to need only the values of f, which may be a step "
                "or the score of a game.", alone=pathwise_gradient),
        Mistake("latent-in-graph", "z stayed in the graph, so the gradient also ran through f and "
                "through z inside log_prob. z is a drawn number here: detach it, and let only "
                "log_prob depend on mean.", alone=_latent_in_graph),
        Mistake("always-zero", "The answer is always 0: z moves along with mean inside log_prob, "
                "so z − mean never changes. z has to be detached there too.",
                alone=_constant_log_prob),
    ),
)

EXERCISES = [REPARAMETERIZE, PATHWISE_GRADIENT, SCORE_FUNCTION_GRADIENT]
