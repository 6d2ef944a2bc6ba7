r"""What `sample_prior` is judged by: the latents that reach the decoder, and what becomes of them.

The answer is random, so it is not compared number by number. The decoder is ours: it writes down
the latents it is given. Statistics of 20,000 of them are judged with six standard errors of room.
"""

import torch
from torch import nn

from ._run import describe

MANY = 4000  # images of the large draw; 5 latents each
LATENTS = 5


class NotedDecoder(nn.Module):
    r"""Latents (B, D) to logits (B, 1, 4, 3); `seen` holds the latents of every call."""

    def __init__(self, latent_dim: int, generator: torch.Generator, *, training: bool):
        super().__init__()
        self.linear = nn.Linear(latent_dim, 12)
        with torch.no_grad():
            self.linear.weight.copy_(torch.randn(12, latent_dim, generator=generator))
            self.linear.bias.copy_(torch.linspace(-2, 2, 12))
        self.train(training)
        self.seen: list[torch.Tensor] = []

    def forward(self, latent):
        logits = self.linear(latent).unflatten(-1, (1, 4, 3))
        self.seen.append(latent.detach().clone())
        return logits

    def noted(self):
        r"""All latents, (number, D), and the logits that they gave."""
        seen = [latent.reshape(-1, latent.shape[-1]) for latent in self.seen]
        latent = torch.cat(seen) if seen else torch.zeros(0, self.linear.in_features)
        with torch.no_grad():
            return latent, self.linear(latent).unflatten(-1, (1, 4, 3))


_KINDS = {
    "probabilities": torch.sigmoid,
    "logits": lambda logits: logits,
    "sigmoid of the probabilities": lambda logits: torch.sigmoid(torch.sigmoid(logits)),
    "probabilities of black": lambda logits: torch.sigmoid(-logits),
    "softmax over the pixels": lambda logits: logits.flatten(1).softmax(1).view_as(logits),
    "softmax over the last axis": lambda logits: logits.softmax(-1),
    "softmax over the channels": lambda logits: logits.softmax(1),
    "rounded to 0 and 1": lambda logits: (logits > 0).to(logits.dtype),
    "logits cut off at 0 and 1": lambda logits: logits.clamp(0, 1),
    "tanh of the logits": torch.tanh,
    "exponentials of the logits": torch.exp,
    "probabilities times 255": lambda logits: 255 * torch.sigmoid(logits),
}


def _kind(pixels, logits) -> str:
    if pixels.numel() != logits.numel():
        return f"of {pixels.numel()} numbers for {logits.numel()} logits"
    pixels = pixels.detach().reshape(logits.shape).to(logits.dtype)
    for name, change in _KINDS.items():
        if torch.allclose(pixels, change(logits), rtol=1e-4, atol=1e-5):
            return name
    if bool(((pixels == 0) | (pixels == 1)).all()):
        return "a black-or-white draw"
    return f"something else, from {float(pixels.min()):.4g} to {float(pixels.max()):.4g}"


def _shape(value) -> str:
    if not isinstance(value, torch.Tensor):
        return describe(value)
    return f"{tuple(value.shape)}{'' if value.is_floating_point() else f', {value.dtype}'}"


def observe_generation(function, args):
    r"""Fields for function(decoder, count, latent_dim)."""
    decoder, count, latent_dim = args
    before, gradients = decoder.training, torch.is_grad_enabled()
    weights = [parameter.detach().clone() for parameter in decoder.parameters()]
    try:
        first = function(decoder, count, latent_dim)
        latents = decoder.noted()
        decoder.seen.clear()
        function(decoder, count, latent_dim)
        again = decoder.noted()[0]
        off = torch.is_grad_enabled() != gradients
        large = NotedDecoder(LATENTS, torch.Generator().manual_seed(1), training=before)
        function(large, MANY, LATENTS)
    finally:
        torch.set_grad_enabled(gradients)
    tensor = isinstance(first, torch.Tensor)
    after = [parameter.detach() for parameter in decoder.parameters()]
    return {
        "latents": _shape(latents[0]) if len(latents[0]) else "none: the decoder was not called",
        **_statistics(large.noted()[0]),
        "latents_differ_between_calls": not (
            latents[0].shape == again.shape and torch.equal(latents[0], again)
        ),
        "shape": _shape(first),
        "pixels_are": _kind(first, latents[1]) if tensor else "no tensor",
        "gradient": "none" if not (tensor and first.requires_grad) else "hangs on to the decoder",
        "gradients_afterwards": "switched off for everybody" if off else "as before",
        "mode_afterwards": _mode(decoder),
        "decoder_unchanged": all(map(torch.equal, weights, after)),
    }


def _mode(decoder) -> str:
    return "train" if decoder.training else "eval"


def _statistics(latent) -> dict:
    if latent.shape != (MANY, LATENTS):
        missing = {"average_of_the_latents": float("nan"), "spread_of_the_latents": float("nan")}
        return dict.fromkeys(_STATISTICS, False) | missing
    images = bool((latent.std(dim=0) > 1e-3).any())
    dimensions = bool((latent.std(dim=1) > 1e-3).any())
    centred = (latent - latent.mean()) / latent.std().clamp(min=1e-6)
    correlation = torch.corrcoef(centred.T) if images and dimensions else torch.eye(LATENTS)
    apart = (correlation - torch.eye(LATENTS)).abs().max() < 0.1
    half = float((centred.abs() < 0.6745).float().mean())
    rows, columns = latent.mean(dim=0), latent.std(dim=0)
    return {
        "latents_differ_between_images": images,
        "latents_differ_between_dimensions": dimensions,
        "dimensions_are_independent": bool(apart),
        "average_of_the_latents": float(latent.mean()),
        "average_is_0": not images or bool((rows.abs() < 0.1).all() and latent.mean().abs() < 0.05),
        "spread_of_the_latents": float(latent.std()) if images else 0.0,
        "spread_is_1": not images
        or bool(((columns - 1).abs() < 0.07).all() and abs(float(latent.std()) - 1) < 0.04),
        "half_of_them_within_0.6745_spreads": not images
        or not dimensions
        or abs(half - 0.5) < 0.025,
    }


_STATISTICS = (
    "latents_differ_between_images",
    "latents_differ_between_dimensions",
    "dimensions_are_independent",
    "average_of_the_latents",
    "average_is_0",
    "spread_of_the_latents",
    "spread_is_1",
    "half_of_them_within_0.6745_spreads",
)

_OFF_CENTRE = (
    "The latents do not scatter around 0 (the example shows their average). The prior is N(0, I)."
)
_SPREAD = (
    "The latents scatter too much or too little: their standard deviation should be 1 (the example "
    "shows it). The decoder was trained on codes of that spread, and on no others."
)
EXPLAIN_GENERATION = {
    "latents": "The decoder did not get count latents of latent_dim numbers each (the example "
    "shows what it got, all calls together).",
    "latents_differ_between_images": "Every image was made from the same latent: draw one for each "
    "image.",
    "latents_differ_between_dimensions": "All numbers within one latent are the same.",
    "dimensions_are_independent": "The numbers within one latent depend on each other: the prior "
    "has independent dimensions.",
    "average_of_the_latents": _OFF_CENTRE,
    "average_is_0": _OFF_CENTRE,
    "spread_of_the_latents": _SPREAD,
    "spread_is_1": _SPREAD,
    "half_of_them_within_0.6745_spreads": "The latents have the right centre and spread, but they "
    "are not normal: half of them should lie within 0.6745 standard deviations of 0.",
    "latents_differ_between_calls": "Two calls gave the same images: each call must draw anew.",
    "shape": "What comes back should be one tensor with the shape of the decoder's output, image "
    "after image.",
    "pixels_are": "What you made of the decoder's logits is not the probability that a pixel is "
    "white (the example says what it looks like).",
    "gradient": "The pixels still hang on to the decoder's gradient: every sample kept would keep "
    "the whole graph in memory.",
    "gradients_afterwards": "After the call gradients are switched off for the rest of the "
    "program: the next training step would raise an error. Switch them off for a few lines only.",
    "mode_afterwards": "The decoder came in one mode and went out in another.",
    "decoder_unchanged": "The decoder's weights are different afterwards: sampling must not train.",
}
