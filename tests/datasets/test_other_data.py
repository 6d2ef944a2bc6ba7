"""A notebook runs on another image set when the one line in its Settings cell is changed.

    python -m pytest -n0 -m datasets tests/datasets

The clothes are drawn here: ten shapes in Fashion-MNIST's own file format, because the real files
can't be had without a network. On them the code must run; the claims (`assert`) are bands for real
images, so they are not judged here, only counted. The full MNIST is taken where VAE_COURSE_DATA has
it.
"""

import os
import re

import nbclient
import nbformat
import numpy as np
import pytest
import torch

from fault_tools import idx
from vae_course.admin.notebooks import find_notebooks, read_notebook, run_notebook, write_notebook
from vae_course.data import cache_folder, load_images

pytestmark = pytest.mark.datasets


def garment(kind, random):
    r"""One of ten shapes, 28 × 28 bytes: wide or narrow, one part or two, with a texture."""
    picture = np.zeros((28, 28))
    rows, columns = np.mgrid[:28, :28] - 13.5
    width, height = 4 + kind % 5 + random.normal(0, 0.5), 11 - kind // 2 + random.normal(0, 0.5)
    body = (abs(columns) < width) & (abs(rows) < height)
    if kind % 2:  # two legs, or sleeves
        body &= (abs(columns) > 1.5) | (rows < -height / 3)
    else:
        body |= (abs(columns) < width + 4) & (abs(rows + height / 2) < 2)
    shade = 0.5 + 0.05 * kind + random.normal(0, 0.05)
    picture[body] = shade + 0.1 * np.sin(columns[body] * (kind + 1) / 3)
    noise = random.normal(0, 0.02, picture.shape)
    return (np.clip(picture + noise * body, 0, 1) * 255).astype(np.uint8)


@pytest.fixture(scope="module")
def clothes(tmp_path_factory):
    r"""A shared folder with 60,000 + 10,000 drawn garments in Fashion-MNIST's files."""
    folder, random = tmp_path_factory.mktemp("shared"), np.random.default_rng(0)
    raw = folder / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    drawn = {kind: [garment(kind, random) for _ in range(300)] for kind in range(10)}
    for part, count in (("train", 60_000), ("t10k", 10_000)):
        labels = np.arange(count, dtype=np.uint8) % 10
        pixels = np.stack([drawn[kind][random.integers(300)] for kind in labels])
        (raw / f"{part}-images-idx3-ubyte").write_bytes(idx(pixels))
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(idx(labels))
    return folder


def changed_copy(dataset, number, folder, tmp_path, monkeypatch):
    (path,) = find_notebooks([number])
    notebook, changed = read_notebook(path), 0
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            cell["source"], count = re.subn(
                r'^DATASET = "[\w-]+"', f'DATASET = "{dataset}"', cell["source"], flags=re.M
            )
            changed += count
    assert changed == 1, "one line in the Settings cell names the data set"
    copy = tmp_path / path.name
    write_notebook(notebook, copy)
    monkeypatch.setenv("VAE_COURSE_DATA", str(folder))
    return copy


@pytest.mark.parametrize("number", ["05"])
def test_on_clothes(number, clothes, tmp_path, monkeypatch):
    copy = changed_copy("fashion-mnist", number, clothes, tmp_path, monkeypatch)
    notebook = nbformat.read(copy, as_version=4)
    nbclient.NotebookClient(notebook, timeout=600, allow_errors=True).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    errors = [output for output in outputs if output.output_type == "error"]
    broken = [f"{error.ename}: {error.evalue}" for error in errors]
    assert all(text.startswith("AssertionError") for text in broken), broken
    claims = [cell for cell in notebook.cells if re.search(r"^ *assert ", cell.source, re.M)]
    print(f"{number}: {len(broken)} of {len(claims)} claims about real images fail on drawn ones")
    assert len(broken) < len(claims) / 3


def folder_with_mnist():
    folder = cache_folder()
    if not (folder / "MNIST" / "raw").is_dir():
        pytest.skip(f"no MNIST in {folder}; VAE_COURSE_DATA names the folder that has it")
    return folder


@pytest.mark.parametrize("number", ["05"])
def test_on_all_digits(number, tmp_path, monkeypatch):
    folder = folder_with_mnist()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    copy = changed_copy("mnist", number, os.fspath(folder), tmp_path, monkeypatch)
    print(f"{number} on mnist: {run_notebook(copy):.0f} s")


def test_bundled_digits_are_training_digits_of_the_full_set():
    folder = folder_with_mnist()
    full, small = load_images("mnist", folder=folder), load_images("mnist-5k")
    known = {image.numpy().tobytes() for image in full.train_images}
    both = torch.cat([small.train_images, small.test_images])
    assert all(image.numpy().tobytes() in known for image in both)
