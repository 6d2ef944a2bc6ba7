r"""How cost grows with the data: in memory and from disk, with the memory that a process may have.

    python -m benchmarks.streaming                    # 60,000, 600,000 and 6,000,000 images
    python -m benchmarks.streaming --images 600000 --limit 1024

For each number of images one epoch of the standard small VAE, in a process of its own whose own
memory is limited (RLIMIT_DATA, Linux): once with `fit` on a float tensor in memory, once with
`fit` on a DataLoader over a .npy file of bytes. The file is made of the bundled digits with noise,
784 bytes an image, and deleted again. The largest needs 4.7 GB of disk.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.epoch import course_loss, new_model
from benchmarks.machine import NOT_QUIET, cores, cpu_seconds_of_others
from vae_course import data, training
from vae_course.data import streaming

WAYS = ("memory", "disk")


def write_images(path: Path, count: int, *, chunk: int = 50_000) -> None:
    r"""`count` noisy digits as bytes, (count, 28, 28)."""
    digits = data.load_images("mnist-5k").train_images.mul(200).byte().numpy()[:, 0]
    file = np.lib.format.open_memmap(path, "w+", np.uint8, (count, 28, 28))
    random = np.random.default_rng(0)
    for start in range(0, count, chunk):
        rows = random.integers(0, len(digits), min(chunk, count - start))
        noise = random.integers(0, 56, (len(rows), 28, 28), dtype=np.uint8)
        file[start : start + len(rows)] = digits[rows] + noise
    file.flush()


def status(field: str) -> float:
    r"""A line of /proc/self/status, in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(field))) / 1024


class OwnMemory(threading.Thread):
    r"""The most memory of this process that is no mapped file, in MiB, by quarters of an epoch."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.samples: list[float] = []
        self.end = threading.Event()

    def run(self) -> None:
        while not self.end.wait(0.05):
            self.samples.append(status("RssAnon"))

    def quarters(self) -> list[int]:
        n = max(1, len(self.samples) // 4)
        return [round(max(self.samples[start : start + n])) for start in range(0, 4 * n, n)
                if self.samples[start : start + n]]  # fmt: skip


def one_epoch(way: str, path: Path, options) -> dict:
    r"""In a process of its own."""
    if options.limit:
        import resource

        limit = options.limit * 2**20
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    torch.set_num_threads(options.threads)
    memory = OwnMemory()
    start, others = time.perf_counter(), cpu_seconds_of_others()
    before = time.process_time()
    try:
        if way == "memory":
            images = torch.from_numpy(np.load(path)).float().div_(255).unsqueeze(1)
        else:
            images = streaming.image_batches(path, batch_size=options.batch_size)
        loaded = time.perf_counter()
        memory.start()
        history = training.fit(
            new_model("vae", 0), course_loss, images, epochs=1,
            batch_size=options.batch_size, progress=False,
        )  # fmt: skip
    except (MemoryError, RuntimeError) as error:
        return {"refused": str(error).splitlines()[0].split("Allocator: ")[-1][:100]}
    memory.end.set()
    seconds = time.perf_counter() - start
    return {
        "load": loaded - start, "epoch": time.perf_counter() - loaded,
        "processor": time.process_time() - before,
        "peak": status("VmHWM"), "quarters": memory.quarters(),
        "loss": history.last["train_loss"], "others": (cpu_seconds_of_others() - others) / seconds,
    }  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0],
        epilog="example: python -m benchmarks.streaming --images 600000 --limit 1024",
    )
    parser.add_argument("--images", type=int, nargs="+", default=[60_000, 600_000, 6_000_000])
    parser.add_argument("--limit", type=int, default=1536, help="MiB of own memory; 0 for none")
    parser.add_argument("--batch-size", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="for the files; default: the temporary folder")
    parser.add_argument("--only", nargs=2, help=argparse.SUPPRESS)  # way and file
    options = parser.parse_args(arguments)
    if options.only:
        return print(json.dumps(one_epoch(options.only[0], Path(options.only[1]), options)))
    print(f"{cores()}, {options.threads} threads; own memory limited to {options.limit} MiB\n")
    print("| images | floats (MiB) | way | load (s) | epoch (s) | processor (s) | peak (MiB) "
          "| own memory in each quarter (MiB) | train loss |\n" + "|---" * 9 + "|")  # fmt: skip
    own = sys.argv[1:] if arguments is None else arguments
    for count in options.images:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            path = Path(folder) / "images.npy"
            write_images(path, count)
            for way in WAYS:
                command = [sys.executable, "-m", "benchmarks.streaming", *own]
                done = subprocess.run(
                    [*command, "--only", way, str(path)], capture_output=True, text=True,
                    env=os.environ | {"OMP_NUM_THREADS": str(options.threads)},
                )  # fmt: skip
                print(row(count, way, done), flush=True)


def row(count: int, way: str, done: subprocess.CompletedProcess) -> str:
    start = f"| {count:,} | {count * 784 * 4 / 2**20:,.0f} | {way} |"
    if done.returncode:
        return f"{start} failed: {done.stderr.strip().splitlines()[-1]} ||||||"
    found = json.loads(done.stdout)
    if "refused" in found:
        return f"{start} refused: {found['refused']} ||||||"
    star = "*" if found["others"] > NOT_QUIET else ""
    return (
        f"{start} {found['load']:.1f} | {found['epoch']:.1f}{star} | {found['processor']:.1f} "
        f"| {found['peak']:,.0f} | {', '.join(map(str, found['quarters']))} | {found['loss']:.1f} |"
    )


if __name__ == "__main__":
    main()
