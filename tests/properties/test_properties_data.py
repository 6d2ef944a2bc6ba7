"""Each row in one batch, pixels that stay pixels, and names that nobody knows refused."""

import contextlib
import math
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from property_tools import WHOLE, Covers, call, dtypes, ones, refused, seeds, tensors

from torch_tools import seeded
from vae_course import data

covers = Covers(data)
NOT_PIXELS = [None, [[0.5]], "text", np.full((2, 2), 0.5), *(ones(3, dtype) for dtype in WHOLE)]


@covers("batches")
@given(
    st.integers(1, 12),
    st.integers(1, 14),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2),
    seeds,
    st.data(),
)
def test_batches_hold_each_row_once(count, size, shuffle, drop_last, others, seed, source):
    images = source.draw(tensors((count, 2), dtype=source.draw(dtypes)))
    more = [torch.arange(count), torch.arange(count).bool()][:others]
    options = {"batch_size": size, "shuffle": shuffle, "drop_last": drop_last}
    if drop_last and count < size:
        refused(data.batches, images, *more, **options, words="no batch")
        return
    found = list(call(data.batches, images, *more, **options, generator=seeded(seed)))
    rows = count - count % size if drop_last else count
    lengths = [size] * (rows // size) + [rows % size] * (rows % size > 0)
    if others:
        assert all(type(batch) is tuple and len(batch) == 1 + others for batch in found)
        assert [len(part) for batch in found for part in batch] == [
            n for n in lengths for _ in range(1 + others)
        ]
        order = torch.cat([batch[1] for batch in found])
        assert len(set(order.tolist())) == rows
        for tensor, parts in zip((images, *more), zip(*found)):
            joined = torch.cat(parts)
            assert joined.dtype == tensor.dtype and torch.equal(joined, tensor[order])
    else:
        assert [len(batch) for batch in found] == lengths
        joined = torch.cat(found)
        if not shuffle:
            assert torch.equal(joined, images[:rows])
        each, known = (Counter(map(tuple, rows.tolist())) for rows in (joined, images))
        assert each <= known, "a row came more often than it is there"


def test_batches_that_cannot_be_cut_are_refused_at_the_call():
    for wrong in (None, [[0.5]], "text", np.ones((3, 2)), ones(())):
        refused(data.batches, wrong, batch_size=2)
        refused(data.batches, ones(3), wrong, batch_size=2)
    refused(data.batches, ones(3), ones(4), batch_size=2, words=r"\[3, 4\]")
    refused(data.batches, ones((0, 2)), batch_size=2, words="0 images")
    for wrong in (0, -1, 2.0, None, "2", [2], math.nan):
        refused(data.batches, ones(3), batch_size=wrong, words="batch_size")
    refused(data.batches, ones(3), batch_size=2, generator=5, words="generator")


@covers("binarize", "add_noise")
@given(st.lists(st.integers(0, 3), max_size=3), dtypes, st.floats(0, 3), seeds, st.data())
def test_corrupted_pixels_are_pixels(shape, dtype, std, seed, source):
    images = source.draw(tensors(shape, dtype=dtype, low=0.0, high=1.0, special=(0.0, 1.0)))
    drawn = call(data.binarize, images, generator=seeded(seed))
    noisy = call(data.add_noise, images, std=std, generator=seeded(seed))
    for found in (drawn, noisy):
        assert found.shape == images.shape and found.dtype == dtype
        assert ((found >= 0) & (found <= 1)).all()
    assert ((drawn == 0) | (drawn == 1)).all()
    assert (drawn[images == 0] == 0).all() and (drawn[images == 1] == 1).all()
    assert torch.equal(drawn, data.binarize(images, generator=seeded(seed)))
    assert torch.equal(data.add_noise(images, std=0.0), images)


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -0.01, 1.01, 255.0])
def test_corruption_refuses_what_is_no_pixel(wrong):
    images = torch.full((2, 3), 0.5)
    images[1, 1] = wrong
    refused(data.binarize, images, words="images")
    refused(data.add_noise, images, std=0.1, words="images")


def test_corruption_refuses_other_things():
    for wrong in NOT_PIXELS:
        refused(data.binarize, wrong, words="images")
        refused(data.add_noise, wrong, std=0.1, words="images")
    for wrong in (-1.0, math.nan, math.inf, None, "1", [1.0], ones(())):
        refused(data.add_noise, ones(3), std=wrong, words="std")
    refused(data.binarize, ones(3), generator=5, words="generator")
    refused(data.add_noise, ones(3), std=0.1, generator=5, words="generator")


@covers("load_images", "load_text", "IMAGE_SETS", "DataError")
@given(
    st.text(max_size=20)
    | st.none()
    | st.integers()
    | st.lists(st.text(), max_size=2)
    | st.binary(max_size=9)
)
def test_names_that_nobody_knows_are_refused(name):
    if name in data.IMAGE_SETS or (isinstance(name, str | bytes) and Path(str(name)).exists()):
        return
    refused(data.load_images, name, words="There is no image set")
    with contextlib.suppress(OSError):  # a path that this system can't even ask for
        refused(data.load_text, name)


def test_names_of_other_kinds_are_refused():
    for wrong in (np.array(["mnist-5k", "mnist"]), ones(3), object(), ["mnist-5k"], {"mnist-5k"}):
        refused(data.load_images, wrong, words="There is no image set")
        refused(data.load_text, wrong)
    for wrong in (5, ["folder"], b"folder"):
        refused(data.load_images, folder=wrong)


@covers("ImageData")
@given(st.integers(1, 4), st.integers(0, 3), st.lists(st.integers(1, 5), min_size=3, max_size=3))
def test_image_data_says_what_it_holds(train, test, shape):
    images, labels = ones((train, *shape)), torch.zeros(train, dtype=torch.int64)
    made = data.ImageData("own", images, labels, ones((test, *shape)), labels[:test], ("a",), "us")
    assert made.image_shape == tuple(shape) and made.pixels == math.prod(shape)
    assert f"{train} training and {test} test images" in repr(made)
    assert made.to("cpu").train_images is images


@covers("cache_folder", "package_data")
@given(
    st.text(
        st.characters(exclude_characters="\0/\\~", exclude_categories=["Cs"]),
        min_size=1,
        max_size=9,
    )
)
def test_files_that_do_not_ship_are_named(name):
    assert isinstance(data.cache_folder(), Path)
    if name not in (".", ".."):
        with pytest.raises(data.DataError, match="has no file"):
            data.package_data(f"no-such-folder/{name}")
    for wrong in (None, 5, ["pretrained"], b"pretrained"):
        refused(data.package_data, wrong)


@covers("Column", "TableData")
@given(
    st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=6),
    st.floats(-50, 50),
    st.floats(0.1, 20),
    st.data(),
)
def test_a_table_comes_back_in_its_own_units(values, mean, std, source):
    codes = source.draw(st.lists(st.integers(0, 2), min_size=len(values), max_size=len(values)))
    columns = (
        data.Column("height", "number", mean=mean, std=std),
        data.Column("kind", "category", categories=("a", "b", "ü")),
        data.Column("legs", "count"),
    )
    number = (torch.tensor(values) - mean) / std
    rows = torch.stack([number, torch.tensor(codes).float(), torch.tensor(codes).float()], dim=1)
    none, labels = rows[:0], torch.zeros(len(rows), dtype=torch.long)
    table = data.TableData(
        "made", rows, none, none, labels, labels[:0], labels[:0], columns, ("one",), "here"
    )
    back = table.restore(rows)
    assert np.allclose(back["height"], values, atol=1e-2)
    assert [("a", "b", "ü").index(name) for name in back["kind"]] == codes == list(back["legs"])
    refused(table.restore, rows[:, :2], words=r"expected \(N, 3\)")


@covers("load_array")
@settings(max_examples=20)
@given(st.integers(8, 12), st.integers(8, 12), st.sampled_from([1, 3]), seeds)
def test_an_array_s_pixels_come_through_each_once(height, width, channels, seed):
    pixels = np.random.RandomState(seed % 2**32).randint(0, 256, (20, height, width, channels))
    mine = data.load_array(pixels.astype(np.uint8), seed=seed % 1000, layout="channels last")
    parts = [getattr(mine, f"{part}_images") for part in ("train", "validation", "test")]
    assert mine.image_shape == (channels, height, width) and min(map(len, parts)) > 0
    found = (torch.cat(parts) * 255).round().long().flatten(1)
    sent = torch.from_numpy(pixels.transpose(0, 3, 1, 2)).reshape(20, -1)
    assert Counter(map(tuple, found.tolist())) == Counter(map(tuple, sent.tolist()))


@covers("load_patches", "write_patches", "load_folder")
@settings(max_examples=5)
@given(st.integers(8, 24), seeds)
def test_patches_written_are_patches_read(size, seed):
    made = data.load_patches(size=size, images=30, seed=seed)
    assert made.image_shape == (3, size, size)
    with TemporaryDirectory() as folder:
        data.write_patches(Path(folder) / "mine", size=size, images=30, seed=seed)
        read = data.load_folder(Path(folder) / "mine")
    assert read.class_names == made.class_names
    for part in ("train", "validation", "test"):
        ours, theirs = (getattr(found, f"{part}_images") for found in (made, read))
        assert sorted(ours.sum((1, 2, 3)).tolist()) == pytest.approx(
            sorted(theirs.sum((1, 2, 3)).tolist())
        )
    refused(data.load_patches, size=65, words="expected 64 or less")
    refused(data.write_patches, None)


@covers("load_table", "load_table_example")
@settings(max_examples=20)
@given(st.integers(12, 40), seeds)
def test_a_table_s_numbers_are_standardised_by_the_training_rows(count, seed):
    random = np.random.RandomState(seed % 2**32)
    sent = {"a": random.normal(5, 3, count), "b": random.normal(-200, 40, count)}
    table = data.load_table(sent, seed=seed % 1000)
    assert len(table.train_rows) + len(table.validation_rows) + len(table.test_rows) == count
    assert table.train_rows.mean(dim=0).abs().max() < 1e-4
    back = table.restore(torch.cat([table.train_rows, table.validation_rows, table.test_rows]))
    assert sorted(back["b"]) == pytest.approx(sorted(sent["b"]), abs=1e-2)
    wines = data.load_table_example(seed=seed % 1000)
    assert len(wines.train_rows) + len(wines.validation_rows) + len(wines.test_rows) == 178


def test_every_public_function_has_a_property_test():
    covers.check()
