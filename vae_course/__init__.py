"""A course on variational autoencoders: the helper package that its notebooks run on.

Importing the package loads nothing heavy. Each module imports what it needs:

    from vae_course import data, losses, models, plots, training
"""

__version__ = "0.1.0"
