r"""What sampling functions and gradient estimators are judged by.

A random answer can't be compared number by number: a sampling function is judged by statistics of
many draws, with tolerances of 6 standard errors or more, so that no right answer ever fails. A
gradient estimator gets its noise from outside; there we look at where it evaluates f, and at the
factor that each sample enters with.
"""

import math

import torch

from ._run import NotAttempted, describe

REPEATS = 600  # how often each row is drawn


def observe_sampling(function, args):
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
        return {"shape": shape} | dict.fromkeys(list(EXPLAIN_SAMPLING)[1:], False) | nothing
    first, second = [(z.detach() - mean) / std for z in draws]  # (B, D)
    many = function(*(row.repeat(REPEATS, 1) for row in rows)).detach()
    noise = (many.view(REPEATS, *mean.shape) - mean) / std  # (REPEATS, B, D)
    average, spread = noise.mean(dim=0), noise.std(dim=0)
    standard = (noise - average) / spread
    images = bool((spread > 1e-3).any())
    if images:
        dimensions = bool((standard[..., 0] - standard[..., 1]).abs().max() > 1e-2)
    else:  # one draw for the whole batch: only its pattern over rows and calls is no accident
        ratio = first / second
        dimensions = bool((ratio[:, 0] / ratio[:, 1] - 1).abs().max() > 1e-2)
        spread = noise[0].abs() / noise[0].abs().log().mean(dim=0).exp()
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
EXPLAIN_SAMPLING = {
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


_PLACES = {
    "mean + std·noise": lambda mean, std, noise: mean + std * noise,
    "mean - std·noise": lambda mean, std, noise: mean - std * noise,
    "mean + std²·noise": lambda mean, std, noise: mean + std**2 * noise,
    "mean + noise": lambda mean, std, noise: mean + noise,
    "std·noise": lambda mean, std, noise: std * noise,
    "noise": lambda mean, std, noise: noise,
    "mean": lambda mean, std, noise: mean,
}
NEAR = 2e-3  # finite differences evaluate f a small step beside the samples


def observe_estimator(function, args, *, pathwise: bool) -> dict:
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
            here = ((latent.detach() - sample).abs() < NEAR).to(latent.dtype)
            return here * latent if pathwise else here + 0 * latent

        return _number(function(probe, *(arg.detach().clone() for arg in args[1:])))

    fields = {
        "second_call": "the same",
        "f_is_evaluated_at": "",
        "factor_of_each_sample": torch.full_like(noise, math.nan),
    }
    try:
        value = function(recorded, *args[1:])
    except NotAttempted:
        if not seen:
            raise
        return fields | {"second_call": "None came back", "value": math.nan}
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
    return bool((distance.min(dim=1).values < NEAR).all())


def _number(value) -> torch.Tensor:
    r"""A copy of one number (a returned .grad changes at the next call); NaN if it is none."""
    if isinstance(value, torch.Tensor) and value.dim() == 0 and value.is_floating_point():
        return value.detach().double().clone()
    plain = isinstance(value, float | int) and not isinstance(value, bool)
    return torch.tensor(float(value) if plain else math.nan, dtype=torch.float64)


EXPLAIN_ESTIMATOR = {
    "second_call": "A second call with the same arguments gave another answer: all randomness is "
    "in `noise`, and nothing may be left behind from one call to the next.",
    "f_is_evaluated_at": "f is evaluated in the wrong place: it belongs to the samples, "
    "mean + std·noise.",
}
