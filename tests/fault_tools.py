"""Things that go wrong, on demand: a server that lies, a disk that is small, a killed process."""

import contextlib
import errno
import functools
import gzip
import hashlib
import http.server
import io
import os
import random
import struct
import subprocess
import sys
import tarfile
import threading
import time

import numpy as np
import pytest
from PIL import Image

HTML = b"<!DOCTYPE html><html><body>Please log in to use this network.</body></html>"
COUNTS = {"train": 30, "t10k": 10}  # images in each part of the small stand-in of Fashion-MNIST
TEXT = b"First Citizen:\nBefore we proceed any further, hear me speak.\n" * 100
PEOPLE = {"Ada_Lovelace": 4, "Alan_Turing": 3}


# ------------------------------------------------------------------------- small data sets


def idx(array):
    """The bytes of an uint8 array in the format of MNIST's files."""
    return struct.pack(f">{1 + array.ndim}I", 0x800 + array.ndim, *array.shape) + array.tobytes()


def idx_files():
    """A small MNIST-like set: name → bytes, packed as it is published."""
    chance, files = np.random.default_rng(1), {}
    for part, count in COUNTS.items():
        pixels = chance.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        labels = chance.integers(0, 10, count, dtype=np.uint8)
        for kind, array in (("images-idx3", pixels), ("labels-idx1", labels)):
            files[f"{part}-{kind}-ubyte.gz"] = gzip.compress(idx(array), mtime=0)
    return files


def faces_files():
    """Labeled Faces in the Wild in small: the archive of pictures, and the lists beside it."""
    chance, archive = np.random.default_rng(0), io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as pack:
        for person, count in PEOPLE.items():
            for number in range(1, count + 1):
                small = Image.fromarray(chance.integers(0, 256, (25, 25, 3), dtype=np.uint8))
                picture = io.BytesIO()
                small.resize((250, 250)).save(picture, "JPEG")
                entry = tarfile.TarInfo(f"lfw_funneled/{person}/{person}_{number:04d}.jpg")
                entry.size = len(picture.getvalue())
                pack.addfile(entry, io.BytesIO(picture.getvalue()))
    lists = {name: b"0\n" for name in ("pairsDevTrain.txt", "pairsDevTest.txt", "pairs.txt")}
    return lists | {"lfw-funneled.tgz": gzip.compress(archive.getvalue(), mtime=0)}


@functools.cache
def all_files():
    return idx_files() | {"input.txt": TEXT} | faces_files()


# ------------------------------------------------------------------------- the server


class Server:
    """Serves `files`; whole, or one of them changed by `spoil`. Both sides can be made to meet."""

    def __init__(self, files):
        self.files = dict(files)
        self.victim, self.spoil, self.honest = None, None, True
        self.meeting: dict[str, threading.Barrier] = {}
        self.sent: list[str] = []
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}/"

    def spoil_one(self, name, how, *, honest=True):
        """Send how(content) in place of a file; honest=False still announces the whole length."""
        self.victim, self.spoil, self.honest = name, how, honest

    def heal(self):
        self.victim = None

    def __enter__(self):
        options = {"poll_interval": 0.01}
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs=options)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(server):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                name = self.path.rsplit("/", 1)[1]
                if name not in server.files:
                    self.send_error(404)
                    return
                whole = content = server.files[name]
                if name == server.victim:
                    content = server.spoil(whole)
                real = "Method" not in self.headers  # torchvision first looks for redirections
                if real and name in server.meeting:
                    server.meeting[name].wait(timeout=60)
                self.send_response(200)
                length = len(content if server.honest else whole)
                self.send_header("Content-Length", str(length))
                self.end_headers()
                if real:
                    server.sent.append(name)
                with contextlib.suppress(ConnectionError):
                    self.wfile.write(content)

            def log_message(self, *_):
                pass

        return Handler


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def point_to(url, files):
    """Make the published addresses and checksums those of small files on a server of our own.

    What is patched: (object, attribute, value), for monkeypatch or setattr.
    """
    from sklearn.datasets import _lfw as lfw
    from sklearn.datasets._base import RemoteFileMetadata
    from torchvision import datasets

    from vae_course.data import mnist, text

    def remote(name):
        return RemoteFileMetadata(name, url + name, sha256(files[name]))

    idx = [(name, hashlib.md5(data).hexdigest()) for name, data in files.items() if "idx" in name]
    return [
        (mnist, "_COUNTS", COUNTS),
        (datasets.FashionMNIST, "mirrors", [url]),
        (datasets.FashionMNIST, "resources", idx),
        (text, "_SHAKESPEARE", url + "input.txt"),
        (text, "_SHAKESPEARE_SHA256", sha256(files["input.txt"])),
        (lfw, "TARGETS", tuple(remote(name) for name in files if name.startswith("pairs"))),
        (lfw, "FUNNELED_ARCHIVE", remote("lfw-funneled.tgz")),
    ]


def without_proxies(monkeypatch):
    """A proxy of whoever runs the tests must not stand between them and our server."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


# ------------------------------------------------------------------------- damage


def cut_to(share):
    return lambda content: content[: int(share * len(content))]


def flip_one_bit(content, chance):
    damaged = bytearray(content)
    damaged[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    return bytes(damaged)


def damages(content, *, flips, cuts, seed=0):
    """Copies of a file, each with one bit flipped, or ended too early."""
    chance = random.Random(seed)
    for _ in range(flips):
        yield flip_one_bit(content, chance)
    for _ in range(cuts):
        yield content[: chance.randrange(len(content))]


# ------------------------------------------------------------------------- disks


class FullAfter:
    """Stands for `open`: the disk has room for so many bytes of what is written, then is full."""

    def __init__(self, room):
        self.room = room

    def __call__(self, path, mode="r", *args, **kwargs):
        file = open(path, mode, *args, **kwargs)  # noqa: SIM115
        if "r" in mode:
            return file
        write = file.write

        class Small:
            def write(_, content):
                fits = content[: self.room]
                write(fits)
                self.room -= len(fits)
                if len(fits) < len(content):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                return len(content)

            def __enter__(_):
                return _

            def __exit__(_, *error):
                file.close()

        return Small()


class SmallDisk:
    """A file system in memory (tmpfs) of its own; Linux, where mounting is permitted."""

    def __init__(self, folder):
        self.folder = folder

    def _mount(self, options, *, first=False):
        where = ["tmpfs", str(self.folder)] if first else [str(self.folder)]
        command = ["mount", *(["-t", "tmpfs"] if first else []), "-o", options, *where]
        return subprocess.run(command, capture_output=True, text=True)

    def resize(self, size):
        assert self._mount(f"remount,size={size}").returncode == 0

    def make_read_only(self):
        assert self._mount("remount,ro").returncode == 0


@contextlib.contextmanager
def small_disk(folder, size):
    if sys.platform != "linux":
        pytest.skip("small disks are tmpfs, which only Linux has")
    folder.mkdir(exist_ok=True)
    disk = SmallDisk(folder)
    try:
        mounted = disk._mount(f"size={size}", first=True)
    except FileNotFoundError:
        pytest.skip("there is no mount command here")
    if mounted.returncode:
        pytest.skip(f"mounting is not permitted here: {mounted.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def files_below(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


# ------------------------------------------------------------------------- killed

FIT = """
import sys, torch
from vae_course import losses, models
from vae_course.training import fit
torch.set_num_threads(1)
torch.manual_seed(7)
model = models.VAE.dense(2, hidden=64)
images = torch.rand(64, 1, 28, 28, generator=torch.Generator().manual_seed(1))
def loss(model, image):
    logits, mean, log_var = model(image)
    return losses.negative_elbo(logits, image, mean, log_var)
print("ready", flush=True)
path = sys.argv[1] + "/checkpoint.safetensors"
fit(model, loss, images, epochs=int(sys.argv[2]), batch_size=8, progress=False, checkpoint=path)
"""


def wait_for(process, path):
    """Until this process has written the file or folder anew, or has ended."""
    before = path.stat().st_mtime_ns if path.exists() else None
    while process.poll() is None:
        if path.exists() and path.stat().st_mtime_ns != before:
            return
        time.sleep(0.002)


# ------------------------------------------------------------------------- what is said


def assert_one_sentence(error, *parts):
    message = str(error.value)
    one = message.replace("et al. ", "")
    assert one.endswith(".") and ". " not in one and "\n" not in one, message
    for part in parts:
        assert str(part) in message, message
