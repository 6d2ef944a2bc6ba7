r"""How good is a generative model? Likelihood bounds, latent space, and quality of the samples."""

from vae_course.metrics.features import classify, digit_features
from vae_course.metrics.frechet import Frechet, frechet_distance, frechet_floor
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
from vae_course.metrics.neighbours import (
    Memorisation,
    Neighbourhoods,
    expected_coverage,
    memorisation,
    precision_recall_density_coverage,
)
from vae_course.metrics.samples import (
    ClassHistogram,
    Estimate,
    bootstrap_interval,
    class_histogram,
    sample_report,
    sharpness,
)

__all__ = [
    "AggregatePosterior",
    "ClassHistogram",
    "Elbo",
    "Estimate",
    "Frechet",
    "Memorisation",
    "Neighbourhoods",
    "active_units",
    "aggregate_posterior",
    "bootstrap_interval",
    "class_histogram",
    "classify",
    "digit_features",
    "elbo",
    "expected_coverage",
    "frechet_distance",
    "frechet_floor",
    "importance_bound",
    "latent_codes",
    "mean_with_error",
    "memorisation",
    "precision_recall_density_coverage",
    "sample_report",
    "sharpness",
]
