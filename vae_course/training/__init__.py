r"""Training: `fit` for a model in a notebook, and the core that every training of the course uses.

Notebook 01 writes the loop out by hand; here it is `one_epoch`. `fit` puts around it what a long
evening needs: seeds, a progress bar, held-out losses, checkpoints, and a clear word when the loss
becomes NaN. What all trainings share, a GAN's and the long runs' too, is `core.train_epochs`.
"""

from vae_course.training.core import (
    NotFinite,
    TrainingDiverged,
    TrainingInterrupted,
    count_parameters,
    seed_everything,
)
from vae_course.training.fit import evaluate, fit, one_epoch
from vae_course.training.history import History
from vae_course.training.resume import DeviceLost

__all__ = [
    "DeviceLost",
    "History",
    "NotFinite",
    "TrainingDiverged",
    "TrainingInterrupted",
    "count_parameters",
    "evaluate",
    "fit",
    "one_epoch",
    "seed_everything",
]
