r"""Interactive explorers: pictures that follow a slider, each with a static twin.

In a notebook, with a model that has two latent numbers:
    explorer = widgets.latent_explorer(model.decode, codes=codes, labels=labels)
    explorer.show()
    explorer.static([{"z1": 0.0, "z2": 1.5}, {"z1": 2.0, "z2": -1.0}], alt="…")
"""

from vae_course.widgets._controls import Again, Choice, Slider, Switch, Text
from vae_course.widgets._core import Explorer, Grip
from vae_course.widgets._drawing import LiveFigure, house_figure
from vae_course.widgets.anomaly import anomaly_explorer
from vae_course.widgets.blender import blend_explorer
from vae_course.widgets.codes import codes_explorer
from vae_course.widgets.diagnosis import diagnosis_explorer
from vae_course.widgets.diffusion import diffusion_explorer
from vae_course.widgets.gan import two_generators_explorer
from vae_course.widgets.gpt import gpt_explorer
from vae_course.widgets.kl import elbo_gap_explorer, kl_explorer
from vae_course.widgets.latent import latent_explorer
from vae_course.widgets.mixer import mixer_explorer
from vae_course.widgets.pad import centred_digit, drawing_pad, ink, our_digits
from vae_course.widgets.quiz import Quiz
from vae_course.widgets.reparameterization import reparameterization_explorer
from vae_course.widgets.training import class_explorer, training_explorer
from vae_course.widgets.transposed import transposed_explorer

__all__ = [
    "Again",
    "Choice",
    "Explorer",
    "Grip",
    "LiveFigure",
    "Quiz",
    "Slider",
    "Switch",
    "Text",
    "anomaly_explorer",
    "blend_explorer",
    "centred_digit",
    "class_explorer",
    "codes_explorer",
    "diagnosis_explorer",
    "diffusion_explorer",
    "drawing_pad",
    "elbo_gap_explorer",
    "gpt_explorer",
    "house_figure",
    "ink",
    "kl_explorer",
    "latent_explorer",
    "mixer_explorer",
    "our_digits",
    "reparameterization_explorer",
    "training_explorer",
    "transposed_explorer",
    "two_generators_explorer",
]
