r"""Makes data/openings: what first pictures show of trainings that come later in their notebooks.

    python -m benchmarks.openings          # 01, 03, 04b, 07b, 09: three minutes
    python -m benchmarks.openings 03

A notebook's cells are run in order, up to the one that puts the tensors of its first picture into
`live` and compares them with the stored ones. These replace the file, as float16.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import matplotlib
import torch
from safetensors.torch import save

from vae_course.admin.notebooks import read_notebook
from vae_course.files import write_whole

ROOT = Path(__file__).resolve().parents[1]
CHAPTERS = ("01", "03", "04b", "07b", "09")


def live_tensors(path: Path) -> dict[str, torch.Tensor]:
    r"""`live` of a notebook, by running its cells; a stored file that differs is no error."""
    scope: dict = {"__name__": "__main__"}
    for number, cell in enumerate(read_notebook(path)["cells"]):
        if cell["cell_type"] != "code":
            continue
        source = "".join(cell["source"])
        try:
            exec(compile(source, f"{path.name} [{number}]", "exec"), scope)
        except Exception:  # no such file yet, or another picture than the stored one
            if "load_opening(" not in source and "live" not in scope:
                raise
        if "live" in scope:
            return scope["live"]
    raise ValueError(f"{path.name} has no cell that sets `live`")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("chapters", nargs="*", help=f"of {', '.join(CHAPTERS)}; all, if none")
    chapters = parser.parse_args(argv).chapters or CHAPTERS
    if unknown := set(chapters) - set(CHAPTERS):
        parser.error(f"no stored opening: {', '.join(unknown)}; there are {', '.join(CHAPTERS)}")
    matplotlib.use("Agg")
    for chapter in chapters:
        (path,) = (ROOT / "notebooks").glob(f"{chapter}_*.ipynb")
        tensors = {key: value.half().contiguous() for key, value in live_tensors(path).items()}
        file = ROOT / f"data/openings/{chapter}.safetensors"
        file.parent.mkdir(exist_ok=True)
        write_whole(file, save(tensors))
        print(file.name, {key: tuple(value.shape) for key, value in tensors.items()})
    return 0


if __name__ == "__main__":
    sys.exit(main())
