r"""The machine that something is measured on: its cores, its load, what a process takes of it.

Loads no torch, so that the memory of what is measured is not the measurer's.
"""

from __future__ import annotations

import os
import platform
import threading
import time
from pathlib import Path

NOT_QUIET = 0.05  # share of a measured time that others may use the processor


def cores() -> str:
    r"""Such as "AMD EPYC, 2 cores"."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = [line for line in cpuinfo.read_text().splitlines() if "model name" in line]
        name = lines[0].split(":")[1].strip() if lines else name
    return f"{name}, {count} cores"


def cpu_seconds_of_others() -> float:
    r"""Processor time that everything but this program has used so far (0 where unknown)."""
    try:
        ticks = [
            int(number) for number in Path("/proc/stat").read_text().split("\n")[0].split()[1:]
        ]
    except OSError:
        return 0.0
    busy = (sum(ticks[:8]) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")
    return busy - sum(os.times()[:4])  # children that have ended are ours


def folder_bytes(folder: Path) -> int:
    r"""What the files below a folder take on disk; 0 where there is none."""
    total, seen = 0, set()
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                entry = os.lstat(os.path.join(place, name))
            except OSError:  # gone meanwhile
                continue
            if entry.st_ino not in seen:
                seen.add(entry.st_ino)
                total += getattr(entry, "st_blocks", 0) * 512 or entry.st_size
    return total


class Watch:
    r"""Peak memory of a process with all its children, and peak disk of a folder, by sampling.

    Memory is resident memory (RSS), summed; pages that two processes share count twice. What
    lives shorter than `every` seconds may be missed. Processor time, summed over all of them,
    tells what a step costs on a busy machine too: with one thread it is nearly the time that the
    step takes on a quiet one.
    """

    def __init__(self, folder: Path | None = None, *, every: float = 0.1, disk_every: float = 2.0):
        self.folder, self.every, self.disk_every = folder, every, disk_every
        self.memory = self.disk = 0
        self.processor: dict[int, float] = {}  # seconds, by process
        self._process = None
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Watch:
        self._others, self._start = cpu_seconds_of_others(), time.perf_counter()
        self._thread.start()
        return self

    def follow(self, pid: int) -> None:
        import psutil

        self._process = psutil.Process(pid)

    def __exit__(self, *_) -> None:
        self.seconds = time.perf_counter() - self._start
        self._end.set()
        self._thread.join()
        if self.folder is not None:
            self.disk = max(self.disk, folder_bytes(self.folder))
        others = cpu_seconds_of_others() - self._others
        self.others = max(0.0, others) / self.seconds

    def _sample(self) -> None:
        next_disk = 0.0
        while not self._end.wait(self.every):
            self.look()
            if self.folder is not None and time.perf_counter() > next_disk:
                began = time.perf_counter()
                self.disk = max(self.disk, folder_bytes(self.folder))
                spent = time.perf_counter() - began
                next_disk = time.perf_counter() + max(self.disk_every, 20 * spent)

    def look(self) -> float:
        r"""One sample of memory and processor time; returns the latter, in seconds so far."""
        import psutil

        total = 0
        try:
            family = [self._process, *self._process.children(recursive=True)]
        except (AttributeError, psutil.Error):  # not started, or ended
            family = []
        for process in family:
            try:
                total += process.memory_info().rss
                used = process.cpu_times()
                self.processor[process.pid] = used.user + used.system
            except psutil.Error:
                continue
        self.memory = max(self.memory, total)
        return round(sum(list(self.processor.values())), 2)

    def row(self) -> dict[str, float]:
        r"""Seconds by the clock and of processors, MiB; how many processors others kept busy."""
        return {
            "seconds": round(self.seconds, 2), "memory": round(self.memory / 2**20),
            "disk": round(self.disk / 2**20, 1),
            "processor": round(sum(self.processor.values()), 2), "others": round(self.others, 2),
        }  # fmt: skip
