"""Settings of all tests, the notebooks' included: their kernels inherit the environment."""

import os
from pathlib import Path

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
