r"""Limits on the process that runs a student's code: memory, file size, where it may write.

The operating system keeps them, not Python. On Linux with Landlock (kernel 5.13, and 6.12 for all
of it) the process and whatever it starts can write below the given folders only, read only what
Python needs to run, open no TCP connection (6.7) and send no signal to others (6.12). Elsewhere
only the limits on memory, time and file size hold, as far as the system has them.

Source: linux/landlock.h; https://docs.kernel.org/userspace-api/landlock.html
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
import sys
from pathlib import Path

_CREATE, _ADD, _RESTRICT = 444, 445, 446  # system calls, the same on all architectures
_EXECUTE, _WRITE, _READ = 1 << 0, 1 << 1, 1 << 2
_CHANGES = [0, 0x1FF2, 0x3FF2, 0x7FF2]  # write, remove, make; then refer; then truncate, by version
_CONNECT_TCP, _SCOPES = 1 << 1, 0b11  # signals and abstract sockets
_DEVICES = ("/dev/null", "/dev/shm", "/dev/ptmx", "/dev/pts", "/dev/tty")
_SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/etc", "/proc", "/sys", "/dev", "/opt", "/nix")


def limit(memory_mb: int, file_mb: int = 64, cpu_seconds: int = 900) -> None:
    r"""Set limits for this process and its children. Torch alone needs about 900 MB of memory.

    The data segment is limited, not the address space: torch maps 3 GB that it never uses.
    """
    try:
        import resource
    except ImportError:  # Windows
        return
    wanted = {
        "RLIMIT_DATA": memory_mb * 2**20,
        "RLIMIT_FSIZE": file_mb * 2**20,
        "RLIMIT_CPU": cpu_seconds,
        "RLIMIT_CORE": 0,
    }
    for name, value in wanted.items():
        with contextlib.suppress(AttributeError, ValueError, OSError):  # not on this system
            resource.setrlimit(getattr(resource, name), (value, value))


def version() -> int:
    r"""Landlock's version here, 0 where there is none."""
    if not sys.platform.startswith("linux"):
        return 0
    return max(0, _call(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(1)))


def shut(write: list[str], read: list[str]) -> int:
    r"""From now on: write below `write` only, read files below `read`, these and the system's.

    Can't be undone. Returns Landlock's version; 0 means that nothing was shut.
    """
    here = version()
    if here == 0:
        return 0
    changes = _CHANGES[min(here, 3)]
    handled = struct.pack(
        "QQQ",
        changes | _READ | _EXECUTE,
        _CONNECT_TCP if here >= 4 else 0,
        _SCOPES if here >= 6 else 0,
    )[: 8 if here < 4 else 16 if here < 6 else 24]
    rules = _call(_CREATE, ctypes.c_char_p(handled), ctypes.c_size_t(len(handled)), 0)
    if rules < 0:
        return 0
    for folder in {*write, *_DEVICES}:
        _allow(rules, folder, changes | _READ)
    for folder in {*read, *_python(), *_SYSTEM}:
        _allow(rules, folder, _READ | _EXECUTE)
    ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)  # PR_SET_NO_NEW_PRIVS, which Landlock asks for
    done = _call(_RESTRICT, rules, 0)
    os.close(rules)
    return here if done == 0 else 0


def _python() -> set[str]:
    r"""Where this Python reads from: itself, its packages, and the course's package and data.

    The checkout's root is on sys.path of an editable install, and holds the assignments: left out.
    """
    package = Path(__file__).resolve().parent.parent
    folders = {sys.prefix, sys.base_prefix, sys.exec_prefix, str(package)}
    folders |= {entry for entry in sys.path if entry and Path(entry) != package.parent}
    folders.add(str(package.parent / "data"))
    return folders


def _allow(rules: int, folder: str, access: int) -> None:
    try:
        opened = os.open(folder, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # not on this system
    if not os.path.isdir(folder):
        access &= _EXECUTE | _WRITE | _READ | (1 << 14)  # what a file knows
    attribute = struct.pack("=Qi", access, opened)
    _call(_ADD, rules, 1, ctypes.c_char_p(attribute), 0)
    os.close(opened)


def _call(number: int, *arguments) -> int:
    return ctypes.CDLL(None, use_errno=True).syscall(ctypes.c_long(number), *arguments)
