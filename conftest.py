"""Settings of all tests, the notebooks' included: their kernels inherit the environment."""

import argparse
import os
import re
from pathlib import Path

import pytest

# A progress bar is for eyes: in a compared output it would only be noise.
os.environ.setdefault("TQDM_DISABLE", "1")
if int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")) > 1:
    # Workers side by side, one thread each: two busy pools on two cores are many times slower.
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")

# What pyproject.toml says to pytest, said to the kernels: a call that a library announces to
# remove, in a cell (__main__) or in the package, fails. Python takes whole names here, no patterns.
package = Path(__file__).parent / "vae_course"
files = (path.relative_to(package.parent).with_suffix("") for path in package.rglob("*.py"))
modules = sorted(".".join(path.parts).removesuffix(".__init__") for path in files)
os.environ["PYTHONWARNINGS"] = ",".join(
    ["error::PendingDeprecationWarning:__main__"]
    + [f"error::DeprecationWarning:{module}" for module in ["__main__", *modules]]
    + [f"error::FutureWarning:{module}" for module in ["__main__", *modules]]
)


def pytest_xdist_auto_num_workers(config):
    """One worker a processor, but not more than four (each loads torch: 0.5 GB)."""
    if hasattr(os, "sched_getaffinity"):
        processors = len(os.sched_getaffinity(0))
    else:
        processors = os.cpu_count() or 1
    return min(processors, 4)


def pytest_addoption(parser):
    parser.addoption("--share", metavar="K/N", type=share, default=(0, 1), help=(
        "run share K (from 0 on) of N of what was chosen: together the N shares are all of it. "
        "Tests of one parameter, and a notebook's cells, stay together."))  # fmt: skip


def share(text):
    """(K, N) of "K/N"."""
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    if not found or int(found[1]) >= int(found[2]):
        raise argparse.ArgumentTypeError(f"{text!r}: expected K/N, whole numbers, K < N, as in 0/3")
    return int(found[1]), int(found[2])


@pytest.hookimpl(trylast=True)  # after -m has chosen
def pytest_collection_modifyitems(config, items):
    which, count = config.option.share
    numbers, chosen, others = {}, [], []
    for item in items:
        case = item.callspec.id if hasattr(item, "callspec") else item.name
        key = item.path, "" if item.path.suffix == ".ipynb" else case
        ours = numbers.setdefault(key, len(numbers)) % count == which
        (chosen if ours else others).append(item)
    if others:
        config.hook.pytest_deselected(items=others)
        items[:] = chosen
