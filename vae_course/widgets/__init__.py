r"""Interactive explorers: pictures that follow a slider, each with a static twin.

In a notebook, with a model that has two latent numbers:
    explorer = widgets.latent_explorer(model.decode, codes=codes, labels=labels)
    explorer.show()
    explorer.static([{"z1": 0.0, "z2": 1.5}, {"z1": 2.0, "z2": -1.0}], alt="…")
"""

from vae_course.widgets._controls import Again, Choice, Slider, Switch, Text
from vae_course.widgets._core import Explorer
from vae_course.widgets._drawing import LiveFigure, house_figure
from vae_course.widgets.gpt import gpt_explorer
from vae_course.widgets.kl import elbo_gap_explorer, kl_explorer
from vae_course.widgets.latent import latent_explorer
from vae_course.widgets.reparameterization import reparameterization_explorer
from vae_course.widgets.transposed import transposed_explorer

__all__ = [
    "Again",
    "Choice",
    "Explorer",
    "LiveFigure",
    "Slider",
    "Switch",
    "Text",
    "elbo_gap_explorer",
    "gpt_explorer",
    "house_figure",
    "kl_explorer",
    "latent_explorer",
    "reparameterization_explorer",
    "transposed_explorer",
]
