r"""How good is a generative model? Likelihood bounds, latent space, and quality of the samples."""

from vae_course.metrics.likelihood import (
    AggregatePosterior,
    Elbo,
    active_units,
    aggregate_posterior,
    elbo,
    importance_bound,
    latent_codes,
    mean_with_error,
)

__all__ = [
    "AggregatePosterior",
    "Elbo",
    "active_units",
    "aggregate_posterior",
    "elbo",
    "importance_bound",
    "latent_codes",
    "mean_with_error",
]
