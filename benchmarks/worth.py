r"""What being a VAE is worth: `vae-conv-4000` and its twin, trained three times, in 07b's jobs.

    python -m benchmarks.worth --folder FOLDER   # trains seeds 1 and 2 (ten minutes), then measures
    python -m benchmarks.worth --folder FOLDER --seeds 1

The notebook's own cells do the measuring, with other weights in the place of those that ship (seed
0). What the VAE is ahead of its twin goes to `data/runs/vae-and-twin.csv`, a row for each seed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import matplotlib

from benchmarks import siblings
from vae_course import pretrained
from vae_course.admin.notebooks import read_notebook
from vae_course.files import write_rows

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / "notebooks/07b_latent_space_deeper.ipynb"
TABLE = ROOT / "data/runs/vae-and-twin.csv"
VAE, TWIN = "vae-conv-4000", "autoencoder-conv-4000"
HOLES = ("lower half", "diagonal half")


def trained(folder: Path, seed: int) -> dict[str, Path | str]:
    r"""Where both models' weights are, by the name of those that ship; trained if missing."""
    if seed == 0:
        return {VAE: VAE, TWIN: TWIN}
    place = folder / str(seed)
    if not (place / "model.safetensors").exists():
        command = ["train", "--model", "conv-vae", "--dataset", "mnist-5k", "--epochs", "80"]
        command += ["--seed", str(seed), "--out", str(place)]
        subprocess.run([sys.executable, "-m", "vae_course", *command], check=True)
    if not (place / f"{TWIN}.safetensors").exists():
        siblings.train("autoencoder", place, seed=seed)
    return {VAE: place / "model.safetensors", TWIN: place / f"{TWIN}.safetensors"}


def measured(weights: dict[str, Path | str]) -> dict[str, float]:
    r"""The notebook's numbers with these weights: how far the VAE is ahead of its twin."""
    scope: dict = {"__name__": "__main__"}
    for number, cell in enumerate(read_notebook(NOTEBOOK)["cells"]):
        if cell["cell_type"] != "code" or "claim" in cell["metadata"].get("tags", []):
            continue
        source = "".join(cell["source"])
        if TABLE.stem in source:
            break
        exec(compile(source, f"{NOTEBOOK.name} [{number}]", "exec"), scope)
        if "load_vae" in scope:
            scope["load"] = lambda name, model: pretrained.load(weights.get(name, name), model)
            scope["load_vae"] = lambda name: pretrained.load_vae(weights.get(name, name))
    decibels, hidden, read = scope["decibels"], scope["hidden"], scope["read"]
    ahead = decibels["search, VAE"] - decibels["search, twin"]
    found = {"noise, dB": ahead.mean().item()}
    for numbers, unit, factor in ((hidden, "dB", 1), (read, "points read", 100)):
        for hole in HOLES:
            ahead = numbers[hole]["search, VAE"] - numbers[hole]["search, twin"]
            found[f"{hole}, {unit}"] = factor * ahead.mean().item()
    found["bits saved"] = scope["each_cost"]["twin"] - scope["each_cost"]["VAE"]
    ahead = (scope["accuracy"]["VAE"] - scope["accuracy"]["twin"]).mean(dim=1)
    for labels, points in zip(scope["label_counts"], ahead.tolist(), strict=True):
        found[f"labels, {labels} a class, points"] = points
    return found


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--folder", type=Path, required=True, help="of the other weights")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args(argv)
    matplotlib.use("Agg")
    rows = []
    for seed in options.seeds:
        found = measured(trained(options.folder, seed))
        rows.append({"seed": seed} | {name: f"{value:.3f}" for name, value in found.items()})
        print(rows[-1], flush=True)
    write_rows(TABLE, rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
