r"""Exercises of notebook 03: reparameterization.

A random answer can't be compared number by number: a sampling function is judged by statistics of
many draws, with tolerances of 6 standard errors or more, so that no right answer ever fails. A
gradient estimator gets its noise from outside; there we look at where it evaluates f, and at the
factor that each sample enters with.
"""

import math
from functools import partial

import torch

from . import draw
from .definition import Exercise
from .values import describe

# --- reparameterize --------------------------------------------------------------------------


def reparameterize(mean, log_var):
    std = torch.exp(0.5 * log_var)  # (B, D): log σ² / 2 = log σ
    noise = torch.randn_like(std)  # (B, D): a fresh number for every image and dimension
    return mean + std * noise  # (B, D): noise is a constant, the gradient flows around it


def _codes(g):
    batch, latent_dim = draw.sizes(g, count=2, low=3, high=5)
    mean = draw.normal(g, batch, latent_dim, scale=2.0)
    return mean, torch.rand(batch, latent_dim, generator=g) * 3.5 - 2.5


_REPEATS = 600  # how often each row is drawn
_CALLS = 200  # how often all rows are, where they share one draw


def _observe_sampling(function, args):
    r"""Fields for z = function(mean, log_var); z should be N(mean, exp(log_var)), row by row."""
    mean, std = args[0].clone(), torch.exp(0.5 * args[1])
    rows = [arg.clone() for arg in args]
    draws = [function(*args), function(*(row.clone() for row in rows))]
    shape, right = _shape(draws[0]), _shape(mean)
    if shape != right:
        nothing = {
            "average_of_(z - mean) / std": math.nan,
            "average_times_sign_of_mean": math.nan,
            "spread_of_(z - mean) / std": mean * math.nan,
            "gradient": "",
        }
        return {"shape": shape} | dict.fromkeys(list(_EXPLAIN_SAMPLING)[1:], False) | nothing
    first, second = [(z.detach() - mean) / std for z in draws]  # (B, D)
    many = function(*(row.repeat(_REPEATS, 1) for row in rows)).detach()
    noise = (many.view(_REPEATS, *mean.shape) - mean) / std  # (_REPEATS, B, D)
    average, spread = noise.mean(dim=0), noise.std(dim=0)
    standard = (noise - average) / spread
    images = bool((spread > 1e-3).any())
    if images:
        dimensions = bool((standard[..., 0] - standard[..., 1]).abs().max() > 1e-2)
    else:  # one draw for the whole batch: its pattern over rows, and its size over many calls
        ratio = first / second
        dimensions = bool((ratio[:, 0] / ratio[:, 1] - 1).abs().max() > 1e-2)
        pattern = noise[0].abs() / noise[0].abs().log().mean(dim=0).exp()
        often = [function(*(row.clone() for row in rows)).detach() for _ in range(_CALLS)]
        size = ((torch.stack(often) - mean) / std).square().mean().sqrt()
        spread = pattern * size
    inner_half = float((standard.abs() < 0.6745).float().mean())
    overall = float((noise - average).square().mean().sqrt())
    calls = bool((first - second).abs().max() > 1e-3)
    return {
        "shape": shape,
        "noise_differs_between_images": images,
        "noise_differs_between_dimensions": dimensions,
        "noise_differs_between_calls": calls,
        "half_of_the_noise_within_0.6745": not images or abs(inner_half - 0.5) < 0.04,
        "average_of_(z - mean) / std": float(average.mean()) if images else math.nan,
        "average_times_sign_of_mean": float((average * mean.sign()).mean()) if images else math.nan,
        "average_is_mean": not images or bool((average.abs() < 0.25 * spread.clamp(min=1)).all()),
        "spread_of_(z - mean) / std": spread,
        "spread_is_std": not images or abs(overall - 1) < 0.06,
        "gradient": _sampling_gradient(function, rows),
    }


def _shape(value) -> str:
    if not isinstance(value, torch.Tensor):
        return describe(value)
    return f"{tuple(value.shape)}{'' if value.is_floating_point() else f', {value.dtype}'}"


def _sampling_gradient(function, rows) -> str:
    leaves = [row.clone().requires_grad_() for row in rows]
    try:
        function(*(leaf * 1.0 for leaf in leaves)).sum().backward()
    except RuntimeError as error:
        if not any(word in str(error) for word in ("does not require grad", "numpy")):
            raise
    if all(leaf.grad is not None and not leaf.grad.any() for leaf in leaves):
        return "zeros arrive"
    named = zip(("mean", "log_var"), leaves, strict=True)
    reached = [name for name, leaf in named if leaf.grad is not None and leaf.grad.any()]
    return f"reaches {' and '.join(reached) or 'nothing'}"


_OFF_CENTRE = (
    "The samples do not scatter around `mean`: their average is off (the example counts "
    "in standard deviations)."
)
_EXPLAIN_SAMPLING = {
    "shape": "Not a tensor with one decimal number for each image and dimension: (B, D) goes in, "
    "(B, D) comes out.",
    "noise_differs_between_images": "Images with the same mean and log_var got the same sample: "
    "the noise needs a number of its own for every image.",
    "noise_differs_between_dimensions": "The dimensions of one image share their noise: then the "
    "samples lie on a line instead of filling the ellipse.",
    "noise_differs_between_calls": "Two calls gave the same sample: the noise must be drawn anew "
    "each time.",
    "half_of_the_noise_within_0.6745": "The noise is not normal: half of it should lie within "
    "±0.6745 standard deviations around its average.",
    "average_of_(z - mean) / std": _OFF_CENTRE,
    "average_times_sign_of_mean": _OFF_CENTRE,
    "average_is_mean": _OFF_CENTRE,
    "spread_of_(z - mean) / std": "The samples scatter too much or too little: their standard "
    "deviation, divided by the σ that log_var stands for, should be 1 in every row.",
    "spread_is_std": "The samples' standard deviation, over all rows, is not the σ that log_var "
    "stands for.",
    "gradient": "The samples look right, but the gradient is lost on the way back to mean or "
    "log_var.",
}


def _at(function, log_var):
    return function(torch.ones(3, 2), torch.full((3, 2), log_var))


sampling = Exercise(
    reparameterize,
    inputs=_codes,
    returns="(B, D), one sample of N(mean, exp(log_var)) for each image, differentiable in both",
    observe=_observe_sampling,
    explain=_EXPLAIN_SAMPLING,
    chapter=3, minutes=5, difficulty=1, cases=3, rtol=0.25, atol=0.1,
)  # fmt: skip
sampling.mistake("variance-for-std", edit=("0.5 * log_var", "log_var"),
                 hint="exp(log_var) is the variance σ², and you used it as the standard deviation "
                      "σ. Noise is multiplied by σ: narrow posteriors come out far too narrow, "
                      "wide ones too wide.")
sampling.mistake("log-var-for-std", edit=("torch.exp(0.5 * log_var)", "log_var"),
                 hint="log_var itself was used as the standard deviation. It is a logarithm, "
                      "negative for every σ below 1: undo the log first.")
sampling.mistake("half-outside-exp", edit=("torch.exp(0.5 * log_var)", "0.5 * torch.exp(log_var)"),
                 hint="This is ½·exp(log_var), half the variance. The ½ is the power of a square "
                      "root: it belongs inside the exp.")
sampling.mistake("sign-in-exp", edit=("(0.5", "(-0.5"),
                 hint="The exponent has the wrong sign: your samples are wide where the posterior "
                      "is narrow. exp(−½·log_var) is 1/σ.")
sampling.mistake("softplus",
                 edit=("torch.exp(0.5 * log_var)", "torch.nn.functional.softplus(log_var)"),
                 hint="softplus turned log_var into a positive number, but not into σ. Which "
                      "function undoes a logarithm?")
sampling.mistake("root-of-log-var", edit=("torch.exp(0.5 * log_var)", "log_var.sqrt()"),
                 hint="You took the root of log_var, which is NaN wherever log_var is negative. "
                      "Undo the logarithm before you take the root.")
sampling.mistake("spread-ignored", edit=("torch.exp(0.5 * log_var)", "torch.ones_like(log_var)"),
                 hint="The noise was added with spread 1: log_var plays no part.")
sampling.mistake("no-noise", edit=("mean + std * noise", "mean * 1.0"),
                 hint="The mean came back, without noise. That is a plain autoencoder: the "
                      "decoder never meets the rest of the distribution.")
sampling.mistake("noise-with-gradient-only",
                 edit=("return mean + std * noise",
                       "return mean + std * noise if mean.requires_grad else mean * 1.0"),
                 hint="Where no gradient is recorded, the mean came back without noise. A sample "
                      "is random there too; whoever wants the mean uses the mean.")
sampling.mistake("one-for-noise", edit=("std * noise", "std"),
                 hint="This is mean + std, a fixed point one σ away. The std says how far the "
                      "noise reaches; the noise itself is missing.")
sampling.mistake("uniform-noise", edit=("torch.randn_like", "torch.rand_like"),
                 hint="The noise is uniform on [0, 1): torch.rand. It is never negative and has "
                      "the wrong shape; standard normal noise comes from another function.")
sampling.mistake("noise-shared-by-batch",
                 edit=("torch.randn_like(std)", "torch.randn(1, std.shape[1])"),
                 hint="All images of the batch got the same noise. Each image is a die of its "
                      "own: draw a row for each.")
sampling.mistake("noise-shared-by-dimensions",
                 edit=("torch.randn_like(std)", "torch.randn(len(std), 1)"),
                 hint="All dimensions of an image got the same noise, so its samples lie on a "
                      "diagonal line. Draw one number for each dimension.")
sampling.mistake("one-number-of-noise", edit=("torch.randn_like(std)", "torch.randn(1)"),
                 hint="One single number was drawn for the whole batch. Draw one for each image "
                      "and each dimension: noise has the shape (B, D).")
sampling.mistake("fixed-seed",  # torch.manual_seed does the same and looks at every device: slow
                 edit=("    noise =", "    torch.default_generator.manual_seed(0)\n    noise ="),
                 hint="Every call gives the same sample: a seed is set inside the function. The "
                      "same noise in every step is no noise; seed once, outside.")
sampling.mistake("mean-left-out", edit=("return mean +", "return"),
                 hint="The samples scatter around 0: the mean was not added.")
sampling.mistake("mean-scaled-too", edit=("mean + std * noise", "std * (mean + noise)"),
                 hint="This is std · (mean + noise): the mean was scaled as well. Scale the noise "
                      "first, then shift it.")
sampling.mistake("std-cut", edit=("std * noise", "std.detach() * noise"),
                 hint="The gradient reaches mean but not log_var: σ was detached (`.detach()`, "
                      "`.item()`, no_grad around the exp). The encoder could never learn how sure "
                      "to be.")
sampling.mistake("mean-cut", edit=("return mean", "return mean.detach()"),
                 hint="The gradient reaches log_var but not mean, which was detached. The encoder "
                      "could never learn where to put an image.")
sampling.mistake("gradient-cut", edit=("mean + std * noise", "(mean + std * noise).detach()"),
                 hint="The samples are right, but no gradient comes back: `.sample()` of a torch "
                      "distribution, `.detach()`, NumPy or no_grad cut the graph. Only the noise "
                      "may be drawn without gradient; mean and σ must stay in the formula.")
sampling.mistake("torch-normal",
                 edit=("mean + std * noise", "(mean + std * noise).detach() + 0 * (mean + std)"),
                 hint="The samples are right and even say requires_grad=True, but the gradient "
                      "that arrives is all zeros: torch.normal(mean, std) is such a draw. Draw "
                      "the noise alone, then shift and scale it yourself.")
sampling.must("no-spread-left", lambda f: bool((_at(f, -80.0) == 1).all()),
              hint="At log_var = −80 nothing of the noise is left: the sample must equal the mean.")
sampling.must("wide-but-finite", lambda f: bool(_at(f, 60.0).isfinite().all()),
              hint="At log_var = 60 the sample is large, but must stay finite.")

# --- pathwise_gradient -----------------------------------------------------------------------


def pathwise_gradient(f, mean, std, noise):
    mean = mean.clone().requires_grad_()  # a fresh leaf: the caller's tensor stays as it is
    latent = mean + std * noise  # (S,): mean is in the formula, so f(latent) knows about it
    (gradient,) = torch.autograd.grad(f(latent).mean(), mean)
    return gradient  # the average of f'(latent) · 1


class _Wave:
    r"""f(z) = a z² + b sin(c z) + d for a tensor of any shape."""

    def __init__(self, g):
        self.a, self.b, self.c, self.d = (0.5 + torch.rand(4, generator=g)).tolist()

    def __call__(self, latent):
        return self.a * latent**2 + self.b * torch.sin(self.c * latent) + self.d


def _a_function_and_noise(g):
    samples = draw.integer(g, 5, 9)
    mean = 0.5 + torch.rand((), generator=g)
    std = torch.rand((), generator=g) * 0.4 + (0.4, 1.4)[draw.integer(g, 0, 1)]
    noise = draw.normal(g, samples)
    return _Wave(g), mean.double(), std.double(), noise.double()


_PLACES = {
    "mean + std·noise": lambda mean, std, noise: mean + std * noise,
    "mean - std·noise": lambda mean, std, noise: mean - std * noise,
    "mean + std²·noise": lambda mean, std, noise: mean + std**2 * noise,
    "mean + noise": lambda mean, std, noise: mean + noise,
    "std·noise": lambda mean, std, noise: std * noise,
    "noise": lambda mean, std, noise: noise,
    "mean": lambda mean, std, noise: mean,
}
_NEAR = 2e-3  # finite differences evaluate f a small step beside the samples


def _observe_estimator(function, args, *, pathwise: bool) -> dict:
    r"""Fields for function(f, mean, std, noise), an estimate of d/dmean E[f(mean + std·noise)].

    The factor of a sample is what comes out for an f that is 0 at all other samples and here 1
    (for a pathwise estimate: has the slope 1).
    """
    f, mean, std, noise = args
    samples = (mean + std * noise).clone()
    places = {name: place(mean, std, noise) for name, place in _PLACES.items()}
    seen: dict[str, None] = {}

    def recorded(latent):
        latent = torch.as_tensor(latent)
        fits = [name for name, place in places.items() if _within(latent, place)]
        seen[fits[0] if fits else "something else"] = None
        return f(latent)

    def factor(sample):
        def probe(latent):
            here = ((latent.detach() - sample).abs() < _NEAR).to(latent.dtype)
            return here * latent if pathwise else here + 0 * latent

        return _number(function(probe, *(arg.detach().clone() for arg in args[1:])))

    fields = {
        "second_call": "the same",
        "f_is_evaluated_at": "",
        "factor_of_each_sample": torch.full_like(noise, math.nan),
    }
    value = function(recorded, *args[1:])
    fields["f_is_evaluated_at"] = ", ".join(seen) or "no sample"
    number = _number(value)
    if number.isnan():
        return fields | {"value": value}
    again = _number(function(*args))
    if not torch.allclose(again, number):
        fields["second_call"] = "twice the first" if again == 2 * number else "another answer"
    fields["factor_of_each_sample"] = torch.stack([factor(sample) for sample in samples])
    random = fields["second_call"] == "another answer"
    return fields | {"value": torch.full_like(number, math.nan) if random else number}


def _within(latent, place) -> bool:
    distance = (latent.detach().reshape(-1, 1) - place.reshape(1, -1)).abs()
    return bool((distance.min(dim=1).values < _NEAR).all())


def _number(value) -> torch.Tensor:
    r"""A copy of one number (a returned .grad changes at the next call); NaN if it is none."""
    if isinstance(value, torch.Tensor) and value.dim() == 0 and value.is_floating_point():
        return value.detach().double().clone()
    plain = isinstance(value, float | int) and not isinstance(value, bool)
    return torch.tensor(float(value) if plain else math.nan, dtype=torch.float64)


_EXPLAIN_ESTIMATOR = {
    "second_call": "A second call with the same arguments gave another answer: all randomness is "
    "in `noise`, and nothing may be left behind from one call to the next.",
    "f_is_evaluated_at": "f is evaluated in the wrong place: it belongs to the samples, "
    "mean + std·noise.",
}


def _score_function(f, mean, std, noise):
    return (f(mean + std * noise) * noise / std).mean()


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


def _arguments():
    return [torch.tensor(x, dtype=torch.float64) for x in (0.7, 0.5, [0.3, -1.1, 2.0])]


def _leaves_mean_alone(function):
    mean, std, noise = _arguments()
    function(torch.sin, mean, std, noise)
    return not mean.requires_grad and mean.grad is None


_NOISE_NOT_USED = (
    "Two calls with the same noise gave different answers: you drew new noise. Use "
    "the argument: the two estimators are compared on the same draws."
)

pathwise = Exercise(
    pathwise_gradient,
    inputs=_a_function_and_noise,
    returns="one number, the derivative of the average of f(mean + std·noise) by mean",
    observe=partial(_observe_estimator, pathwise=True),
    explain=_EXPLAIN_ESTIMATOR
    | {"factor_of_each_sample": "f is evaluated at the right places, but the slopes f'(z) enter "
       "with wrong factors (the example shows them). Look at how the slopes are put together."},
    chapter=3, minutes=10, difficulty=2,
)  # fmt: skip
pathwise.mistake("summed", edit=("f(latent).mean()", "f(latent).sum()"),
                 hint="The samples were summed: the estimate grows with their number. An "
                      "expectation is estimated by an average.")
pathwise.mistake("not-averaged", edit=("f(latent).mean(), mean)", "f(latent).sum(), latent)"),
                 hint="One slope per sample came back, (S,). The estimate is one number: their "
                      "average.")
pathwise.mistake("averaged-twice", edit=("return gradient", "return gradient / len(noise)"),
                 hint="Divided by the number of samples twice: f(z).mean() holds the 1/S already, "
                      "and so does every entry of its gradient by z. The chain rule adds those "
                      "entries up.")
pathwise.mistake("value-returned", edit=("return gradient", "return f(latent).mean()"),
                 hint="This is the average of f(z) itself. Its derivative by mean is asked for.")
pathwise.mistake("noise-left-out", edit=("std * noise", "0 * noise"),
                 hint="f was differentiated at the mean alone: f'(E[z]) is not E[f'(z)]. The "
                      "noise has to be in.")
pathwise.mistake("averaged-inside", edit=("std * noise", "std * noise.mean()"),
                 hint="The samples were averaged before f saw them. f is not linear: first f of "
                      "each sample, then the average.")
pathwise.mistake("one-sample", edit=("std * noise", "std * noise[:1]"),
                 hint="Only the first sample was used; average over all S of them.")
pathwise.mistake("gradient-of-std",
                 edit=[("mean = mean.clone()", "std = std.clone()"), (", mean)", ", std)")],
                 hint="This is the derivative by std, which carries a factor noise. The "
                      "derivative by mean is asked for: dz/dmean = 1.")
pathwise.mistake("chain-with-std", edit=("return gradient", "return gradient * std"),
                 hint="There is a factor std too much: that is the derivative by the noise. z = "
                      "mean + std·noise moves one to one with mean.")
pathwise.mistake("std-as-log-var", edit=("std * noise", "torch.exp(0.5 * std) * noise"),
                 hint="std was treated as a log-variance (exp of half of it). In this exercise it "
                      "is the standard deviation itself.")
pathwise.mistake("std-as-variance", edit=("std * noise", "std.sqrt() * noise"),
                 hint="A root of std was taken, as if it were the variance. It is the standard "
                      "deviation already.")
pathwise.mistake("std-squared", edit=("std * noise", "std**2 * noise"),
                 hint="The noise was multiplied by std², the variance. A standard deviation "
                      "scales the noise.")
pathwise.mistake("fresh-noise", edit=("std * noise", "std * torch.randn_like(noise)"),
                 hint=_NOISE_NOT_USED)
pathwise.mistake("score-function", function=_score_function,
                 hint="This is the score-function estimate: right on average, but much noisier. "
                      "Here the gradient goes through f.")
pathwise.mistake("accumulates", function=_accumulating,
                 hint="The first call is right, the second one twice as large: .backward() adds "
                      "to mean.grad, and you switched on requires_grad on the caller's own "
                      "tensor. Work on a fresh copy of mean.")
pathwise.mistake("graph-cut", function=_cut_before_f,
                 hint="f(z) knows nothing of mean: mean does not require a gradient, or z was "
                      "detached. Switch requires_grad on first, then compute z from it.")
pathwise.mistake("backward-from-many", function=_backward_from_many,
                 hint="Differentiation starts from one number, and f(z) holds S of them: average "
                      "first.")
pathwise.mistake("grad-is-none", function=_grad_of_no_leaf,
                 hint="None came back. Either the `return` is missing, or you returned the .grad "
                      "of a tensor that was itself computed from others: only a leaf, the tensor "
                      "on which requires_grad was switched on, gets a .grad.")
pathwise.must("linear", lambda f: abs(float(f(lambda z: 3 * z, *_arguments())) - 3) < 1e-3,
              hint="For f(z) = 3z every sample's slope is 3, whatever the noise.")
pathwise.must("caller-unchanged", _leaves_mean_alone,
              hint="After the call the caller's mean requires a gradient or carries a .grad: work "
                   "on a copy of it.")

# --- score_function_gradient -----------------------------------------------------------------


def score_function_gradient(f, mean, std, noise):
    latent = mean + std * noise  # (S,)
    score = (latent - mean) / std**2  # (S,): d/dmean of log N(latent; mean, std²)
    return (f(latent) * score).mean()  # f is only evaluated, never differentiated


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


score = Exercise(
    score_function_gradient,
    inputs=_a_function_and_noise,
    returns="one number, the average of f(z) times the score of z, with z = mean + std·noise",
    observe=partial(_observe_estimator, pathwise=False),
    explain=_EXPLAIN_ESTIMATOR
    | {"factor_of_each_sample": "f is evaluated at the right places, but its values enter with "
       "wrong factors (the example shows them). Each f(z) is weighed with the score of its own z, "
       "d/dmean of log N(z; mean, std²), and then they are averaged."},
    chapter=3, minutes=10, difficulty=2,
)  # fmt: skip
score.mistake("not-divided", edit=("std**2", "std"),
              hint="A factor std is missing below: f(z)·noise. Differentiate log N(z; mean, std²) "
                   "by mean once more, with care for the std².")
score.mistake("divided-by-std-again", edit=("std**2", "std**3"),
              hint="Divided by std once too often. noise is (z − mean) / std, so it needs one "
                   "more division; z − mean needs two.")
score.mistake("deviation-for-score", edit=(" / std**2", ""),
              hint="f(z) was multiplied by z − mean. The score is the derivative of log N(z; "
                   "mean, std²) by mean; the variance stands below.")
score.mistake("sign", edit=("(latent - mean)", "(mean - latent)"),
              hint="The score has the wrong sign. Where z lies above the mean, moving the mean up "
                   "makes z more likely.")
score.mistake("summed", edit=(".mean()", ".sum()"),
              hint="The samples were summed: the estimate grows with their number. An expectation "
                   "is estimated by an average.")
score.mistake("not-averaged", edit=(".mean()", ""),
              hint="One number per sample came back, (S,). The estimate is their average.")
score.mistake("f-of-noise", edit=("f(latent)", "f(noise)"),
              hint="f was evaluated at the noise. It belongs to the sample, z = mean + std·noise.")
score.mistake("f-at-mean", edit=("f(latent)", "f(mean)"),
              hint="f was evaluated at the mean. Then it is a constant, and the estimate is 0 on "
                   "average: it learns nothing about f.")
score.mistake("f-left-out", edit=("f(latent) *", ""),
              hint="This is the average score alone, which is 0 in expectation. Weigh each score "
                   "with its f(z).")
score.mistake("product-of-averages",
              edit=("(f(latent) * score).mean()", "f(latent).mean() * score.mean()"),
              hint="You multiplied two averages. What is wanted is the average of the products: "
                   "which f(z) goes with which score is the whole signal.")
score.mistake("baseline", edit=("f(latent)", "(f(latent) - f(latent).mean())"),
              hint="The average of f was subtracted: a baseline. A good idea, and the notebook "
                   "comes to it; but measured on the same samples it shifts the estimate by 1/S "
                   "of itself. The plain estimator is asked for here.")
score.mistake("log-prob-for-score",
              edit=("(latent - mean) / std**2",
                    "torch.distributions.Normal(mean, std).log_prob(latent)"),
              hint="f(z) was multiplied by log N(z), not by its derivative: the score is what is "
                   "left after differentiating by mean.")
score.mistake("gradient-of-the-density",
              edit=("(latent - mean) / std**2",
                    "(latent - mean) / std**2 * torch.distributions.Normal(mean, "
                    "std).log_prob(latent).exp()"),
              hint="This weighs with the gradient of the density, not of its logarithm. The "
                   "samples are drawn from N already, so its factor must not come in a second "
                   "time.")
score.mistake("score-of-std", edit=("(latent - mean) / std**2", "(noise**2 - 1) / std"),
              hint="This is the score of std, (noise² − 1)/std: the derivative by the spread. The "
                   "derivative by mean is asked for.")
score.mistake("std-as-log-var",
              edit=("    latent =", "    std = torch.exp(0.5 * std)\n    latent ="),
              hint="std was treated as a log-variance (exp of half of it). In this exercise it is "
                   "the standard deviation itself.")
score.mistake("std-as-variance", edit=("    latent =", "    std = std.sqrt()\n    latent ="),
              hint="A root of std was taken, as if it were the variance. It is the standard "
                   "deviation already.")
score.mistake("fresh-noise",
              edit=("    latent =", "    noise = torch.randn_like(noise)\n    latent ="),
              hint=_NOISE_NOT_USED)
score.mistake("differentiates-f", function=pathwise_gradient,
              hint="This is the pathwise estimate: f was differentiated. The point of the score "
                   "function is to need only the values of f, which may be a step or the score of "
                   "a game.")
score.mistake("latent-in-graph", function=_latent_in_graph,
              hint="z stayed in the graph, so the gradient also ran through f and through z "
                   "inside log_prob. z is a drawn number here: detach it, and let only log_prob "
                   "depend on mean.")
score.mistake("always-zero", function=_constant_log_prob,
              hint="The answer is always 0: z moves along with mean inside log_prob, so z − mean "
                   "never changes. z has to be detached there too.")
